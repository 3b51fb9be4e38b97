"""Demand with any distribution on a finite set of values."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.processes.base import Inverted, Parameter, Process, outcomes_of, spread
from meio_jax.processes.inverse import pick, thresholds_of_probabilities
from meio_jax.struct import pytree

__all__ = ["Empirical", "ascending", "empirical"]


def ascending(values: Array, probabilities: Array) -> dict[str, Array]:
    """The outcomes of each row in ascending order, which the inverse distribution needs."""
    order = np.argsort(np.asarray(values), axis=0, kind="stable")
    wide = np.broadcast_shapes(values.shape, probabilities.shape)
    order, v, p = (np.broadcast_to(np.asarray(x), wide) for x in (order, values, probabilities))
    return {
        "values": jnp.asarray(np.take_along_axis(v, order, 0)),
        "probabilities": jnp.asarray(np.take_along_axis(p, order, 0)),
    }


@pytree
class Empirical(Inverted):
    """P(d = values[j]) = probabilities[j]."""

    values: Array  # [J, K, 1|B], ascending
    probabilities: Array  # [J, K, 1|B]

    role = "demand"
    kind = "empirical"
    parameters: ClassVar = {
        "values": Parameter("possible demands", "unit/period", form="outcomes"),
        "probabilities": Parameter("how often each occurs; they sum to 1", high=1.0, form="outcomes"),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (empirical([[0, 1, 2], [10.5], [7, 3]], [[0.5, 0.25, 0.25], [1.0], [0.1, 0.9]]),)

    def prepare(self) -> Array:
        return thresholds_of_probabilities(self.probabilities)

    def invert(self, carry: Array, word: Array, t: Array) -> Array:
        return pick(word, carry, self.values)

    def long_run_mean(self) -> Array:
        return (self.values * self.probabilities).sum(0)

    def long_run_sd(self) -> Array:
        return spread(self.long_run_mean(), (self.values**2 * self.probabilities).sum(0))


def empirical(values: Any, probabilities: Any) -> Empirical:
    """Independent demand with a given distribution.

    Args:
      values: ``[J]`` for all rows, a list for each row, or ``[J, K, 1|B]``.
      probabilities: the same shape.

    Raises:
      ParameterError: a number is out of its domain, or the probabilities of a row do not sum to 1.
    """
    numbers = outcomes_of("empirical", Empirical.parameters, values=values, probabilities=probabilities)
    return Empirical(**ascending(**numbers))
