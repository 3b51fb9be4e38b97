"""Demand that takes each whole number of an interval equally often."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import ParameterError
from meio_jax.processes.base import Inverted, Parameter, Process, rows_of
from meio_jax.processes.inverse import below
from meio_jax.struct import pytree

__all__ = ["DiscreteUniform", "discrete_uniform"]


@pytree
class DiscreteUniform(Inverted):
    """Uniform on low, low + 1, ..., high."""

    low: Array  # [K, 1|B]
    high: Array  # [K, 1|B]

    role = "demand"
    kind = "discrete_uniform"
    parameters: ClassVar = {
        "low": Parameter("least demand", "unit/period", high=1e6, whole=True),
        "high": Parameter("greatest demand", "unit/period", high=1e6, whole=True),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (discrete_uniform([0, 3, 5], [4, 3, 1000]),)

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        n = (self.high - self.low + 1.0).astype(jnp.uint32)
        return self.high - below(word, n).astype(self.high.dtype)

    def long_run_mean(self) -> Array:
        return (self.low + self.high) / 2.0

    def long_run_sd(self) -> Array:
        return jnp.sqrt(((self.high - self.low + 1.0) ** 2 - 1.0) / 12.0)


def discrete_uniform(low: Any, high: Any) -> DiscreteUniform:
    """Independent demand, uniform on the whole numbers from ``low`` to ``high``, both included.

    Raises:
      ParameterError: a bound is negative, not whole, not finite, above 1e6, or low exceeds high.
    """
    numbers = rows_of("discrete_uniform", DiscreteUniform.parameters, low=low, high=high)
    for row in np.nonzero(np.asarray(numbers["low"] > numbers["high"]).any(-1))[0]:
        raise ParameterError(f"discrete_uniform: low exceeds high in row {row}")
    return DiscreteUniform(**numbers)
