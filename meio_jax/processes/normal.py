"""Normal demand, cut off at zero."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.stats import norm

from meio_jax.processes.base import Inverted, Parameter, Process, rounded_if, rows_of, spread, switch_of
from meio_jax.processes.inverse import normal_of_word
from meio_jax.struct import pytree, static

__all__ = ["Normal", "clipped_normal_moments", "normal"]


def clipped_normal_moments(mean: Array, sd: Array, rounded: bool = False) -> tuple[Array, Array]:
    """First and second moment of max(0, X) for X normal, or of max(0, floor(X + 1/2)).

    With z = mean / sd: E = mean Phi(z) + sd phi(z), E2 = (mean^2 + sd^2) Phi(z) + mean sd phi(z). Rounding is accounted
    for by the midpoint rule (Euler-Maclaurin): exact to 1e-3 units from sd = 0.5 on.
    """
    safe = jnp.maximum(sd, 1e-9)
    z = mean / safe
    phi, Phi = norm.pdf(z), norm.cdf(z)
    first = mean * Phi + sd * phi
    second = (mean**2 + sd**2) * Phi + mean * sd * phi
    if rounded:
        density = phi / safe
        first = first - density / 24.0
        second = second + Phi / 12.0
    sure = jnp.floor(mean + 0.5) if rounded else mean
    return jnp.where(sd > 0, first, jnp.maximum(sure, 0.0)), jnp.where(sd > 0, second, jnp.maximum(sure, 0.0) ** 2)


@pytree
class Normal(Inverted):
    """max(0, mean + sd Z), or that rounded to whole units. Differentiable in both parameters if not rounded."""

    mean: Array  # [K, 1|B] of the normal before it is cut off
    sd: Array  # [K, 1|B]
    rounded: bool = static(default=False)

    role = "demand"
    kind = "normal"
    parameters: ClassVar = {
        "mean": Parameter("mean before the cut at 0", "unit/period"),
        "sd": Parameter("standard deviation before the cut at 0", "unit/period"),
        "rounded": Parameter("whole units only", form="switch", default=False),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return normal([5.0, 1.0, 100.0], [1.0, 2.0, 0.0]), normal([5.0, 1.0, 20.0], [1.0, 2.0, 6.0], rounded=True)

    def _value(self, z: Array) -> Array:
        return jnp.maximum(rounded_if(self.rounded, self.mean + self.sd * z), 0.0)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        return self._value(jax.random.normal(key, (self.rows, lanes), self.mean.dtype)), carry

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        return self._value(normal_of_word(word, self.mean.dtype))

    def long_run_mean(self) -> Array:
        return clipped_normal_moments(self.mean, self.sd, self.rounded)[0]

    def long_run_sd(self) -> Array:
        return spread(*clipped_normal_moments(self.mean, self.sd, self.rounded))


def normal(mean: Any, sd: Any, *, rounded: bool = False) -> Normal:
    """Independent normal demand, cut off at 0 (not redrawn: 0 has positive probability).

    Args:
      mean, sd: units per period, before the cut: numbers, one per row, or ``[K, B]``.
      rounded: to whole units.

    Raises:
      ParameterError: a number is negative, not finite or above 1e9.
    """
    numbers = rows_of("normal", Normal.parameters, mean=mean, sd=sd)
    return Normal(**numbers, rounded=switch_of("normal", "rounded", rounded))
