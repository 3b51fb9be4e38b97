"""Geometric demand, from the closed form of its inverse."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from meio_jax.processes.base import Inverted, Parameter, Process, rows_of
from meio_jax.processes.inverse import tail
from meio_jax.struct import pytree

__all__ = ["Geometric", "geometric"]


@pytree
class Geometric(Inverted):
    """P(d) = p (1 - p)^d for d = 0, 1, ... with p = 1 / (1 + mean), so P(D >= d) = (1 - p)^d."""

    mean: Array  # [K, 1|B]

    role = "demand"
    kind = "geometric"
    parameters: ClassVar = {"mean": Parameter("mean demand, (1 - p) / p", "unit/period", high=1e6)}

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (geometric([0.0, 1.0, 20.0]),)

    def prepare(self) -> Array:
        """-1 / log(1 - p); 0 where the mean is 0."""
        positive = jnp.maximum(self.mean, 1e-9)
        return jnp.where(self.mean > 0, 1.0 / jnp.log1p(1.0 / positive), 0.0)

    def invert(self, carry: Array, word: Array, t: Array) -> Array:
        return jnp.floor(-jnp.log(jnp.minimum(tail(word, self.mean.dtype), 1.0)) * carry)

    def long_run_mean(self) -> Array:
        return self.mean

    def long_run_sd(self) -> Array:
        return jnp.sqrt(self.mean * (1.0 + self.mean))


def geometric(mean: Any) -> Geometric:
    """Independent geometric demand on 0, 1, 2, ...

    Raises:
      ParameterError: a mean is negative, not finite or above 1e6.
    """
    return Geometric(**rows_of("geometric", Geometric.parameters, mean=mean))
