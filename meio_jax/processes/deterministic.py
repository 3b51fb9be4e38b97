"""The same demand in every period."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from meio_jax.processes.base import Inverted, Parameter, Process, rows_of
from meio_jax.struct import pytree

__all__ = ["Deterministic", "deterministic"]


@pytree
class Deterministic(Inverted):
    """A constant, and no noise drawn."""

    value: Array  # [K, 1|B]

    role = "demand"
    kind = "deterministic"
    parameters: ClassVar = {"value": Parameter("demand of each period", "unit")}

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (deterministic([0.0, 4.0, 2.5]),)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        return jnp.broadcast_to(self.value, (self.rows, lanes)), carry

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        return jnp.broadcast_to(self.value, word.shape)

    def long_run_mean(self) -> Array:
        return self.value

    def long_run_sd(self) -> Array:
        return jnp.zeros_like(self.value)


def deterministic(value: Any) -> Deterministic:
    """Demand of ``value`` units in every period: a number, one per row, or ``[K, B]``.

    Raises:
      ParameterError: a value is negative, not finite or above 1e9.
    """
    return Deterministic(**rows_of("deterministic", Deterministic.parameters, value=value))
