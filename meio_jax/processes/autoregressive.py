"""Demand that remembers: a first-order autoregression, cut off at zero."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.processes.base import Parameter, Process, rounded_if, rows_of, spread, switch_of
from meio_jax.processes.normal import clipped_normal_moments
from meio_jax.struct import pytree, static

__all__ = ["Autoregressive", "autoregressive"]


@pytree
class Autoregressive(Process):
    """max(0, X) with X' = mean + phi (X - mean) + sd sqrt(1 - phi^2) Z: every X has the same mean and sd."""

    mean: Array  # [K, 1|B]
    sd: Array  # [K, 1|B]
    correlation: Array  # [K, 1|B], phi
    rounded: bool = static(default=False)

    role = "demand"
    kind = "autoregressive"
    parameters: ClassVar = {
        "mean": Parameter("mean before the cut at 0", "unit/period"),
        "sd": Parameter("standard deviation of a period's demand before the cut at 0", "unit/period"),
        "correlation": Parameter("of two periods in a row", low=-1.0, high=1.0, open_low=True, open_high=True),
        "rounded": Parameter("whole units only", form="switch", default=False),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (
            autoregressive([10.0, 5.0, 1.0], [2.0, 1.0, 2.0], [0.7, -0.5, 0.0]),
            autoregressive([10.0, 50.0, 3.0], [2.0, 9.0, 2.0], 0.9, rounded=True),
        )

    def init(self, key: Array, lanes: int) -> Array:
        """The deviation in standard deviations, from its stationary distribution. The key is consumed."""
        return jax.random.normal(key, (self.rows, lanes), self.mean.dtype)

    def sample(self, key: Array, carry: Array, t: Array, lanes: int) -> tuple[Array, Array]:
        noise = jax.random.normal(key, (self.rows, lanes), self.mean.dtype)
        z = self.correlation * carry + jnp.sqrt(1.0 - self.correlation**2) * noise
        return jnp.maximum(rounded_if(self.rounded, self.mean + self.sd * z), 0.0), z

    def long_run_mean(self) -> Array:
        return clipped_normal_moments(self.mean, self.sd, self.rounded)[0]

    def long_run_sd(self) -> Array:
        return spread(*clipped_normal_moments(self.mean, self.sd, self.rounded))


def autoregressive(mean: Any, sd: Any, correlation: Any, *, rounded: bool = False) -> Autoregressive:
    """AR(1) demand, started from its stationary distribution.

    Args:
      mean, sd: units per period, of the demand before it is cut off at 0 (not of the innovations).
      correlation: between two periods in a row, inside (-1, 1).
      rounded: to whole units.

    Raises:
      ParameterError: a number is out of its domain.
    """
    numbers = rows_of("autoregressive", Autoregressive.parameters, mean=mean, sd=sd, correlation=correlation)
    return Autoregressive(**numbers, rounded=switch_of("autoregressive", "rounded", rounded))
