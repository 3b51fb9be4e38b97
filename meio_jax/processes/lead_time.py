"""Lead times: fixed, or drawn for each order from a distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.elements import LONGEST
from meio_jax.processes.base import Inverted, Parameter, Process, outcomes_of, rows_of, spread, switch_of
from meio_jax.processes.empirical import ascending
from meio_jax.processes.inverse import pick, thresholds_of_probabilities
from meio_jax.struct import pytree, static

__all__ = ["DiscreteLeadTime", "FixedLeadTime", "discrete", "fixed", "in_order"]


def in_order(drawn: Array, previous: Array | None) -> tuple[Array, Array | None]:
    """Lead times under which no order overtakes the one before: max(drawn, previous - 1); None: they may."""
    if previous is None:
        return drawn, None
    effective = jnp.maximum(drawn, previous - 1)
    return effective, effective


@pytree
class FixedLeadTime(Inverted):
    """The same lead time for every order of an arc, as a number that can be swept."""

    periods: Array  # [I, 1|B]

    role = "lead_time"
    kind = "fixed"
    parameters: ClassVar = {"periods": Parameter("lead time", "period", high=LONGEST, whole=True)}

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (fixed([0, 2, 5]),)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        return jnp.broadcast_to(self.periods, (self.rows, lanes)).astype(jnp.int32), carry

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        return jnp.broadcast_to(self.periods, word.shape).astype(jnp.int32)

    def long_run_mean(self) -> Array:
        return self.periods

    def long_run_sd(self) -> Array:
        return jnp.zeros_like(self.periods)

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.periods), np.asarray(self.periods)


@pytree
class DiscreteLeadTime(Inverted):
    """A lead time for each order: values[j] with probabilities[j]. Orders may overtake each other if ``crossing``."""

    values: Array  # [J, I, 1|B], ascending
    probabilities: Array  # [J, I, 1|B]
    crossing: bool = static(default=True)

    role = "lead_time"
    kind = "discrete"
    parameters: ClassVar = {
        "values": Parameter("possible lead times", "period", high=LONGEST, whole=True, form="outcomes"),
        "probabilities": Parameter("how often each occurs; they sum to 1", high=1.0, form="outcomes"),
        "crossing": Parameter("a later order may arrive earlier", form="switch", default=True),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        values, p = [[0, 1, 4], [2], [3, 1]], [[0.2, 0.3, 0.5], [1.0], [0.5, 0.5]]
        return discrete(values, p), discrete(values, p, crossing=False)

    @property
    def memoryless(self) -> bool:
        return self.crossing

    @property
    def invertible(self) -> bool:
        return self.crossing

    def init(self, key: Array, lanes: int) -> Any:
        table = thresholds_of_probabilities(self.probabilities)
        return table, None if self.crossing else jnp.zeros((self.rows, lanes), jnp.int32)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        table, previous = carry
        drawn, _ = super().sample(key, carry, t, lanes)
        effective, previous = in_order(drawn, previous)
        return effective, (table, previous)

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        return pick(word, carry[0], self.values).astype(jnp.int32)

    def long_run_mean(self) -> Array | None:
        return (self.values * self.probabilities).sum(0) if self.crossing else None

    def long_run_sd(self) -> Array | None:
        mean = self.long_run_mean()
        return None if mean is None else spread(mean, (self.values**2 * self.probabilities).sum(0))

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        v, p = np.asarray(self.values), np.asarray(self.probabilities)
        return np.where(p > 0, v, np.inf).min(0), np.where(p > 0, v, -np.inf).max(0)


def fixed(periods: Any) -> FixedLeadTime:
    """Fixed lead times as numbers: a number, one per arc, or ``[I, B]``. (The wiring's own lead times cost less.)

    Raises:
      ParameterError: a lead time is negative, not whole or above 512.
    """
    return FixedLeadTime(**rows_of("fixed", FixedLeadTime.parameters, periods=periods))


def discrete(values: Any, probabilities: Any, *, crossing: bool = True) -> DiscreteLeadTime:
    """Random lead times, independent from order to order and from arc to arc.

    Args:
      values: ``[J]`` for all arcs, a list for each arc, or ``[J, I, 1|B]``; whole periods.
      probabilities: the same shape.
      crossing: False delays an order so that it never overtakes the one before: max(drawn, previous - 1).

    Raises:
      ParameterError: a number is out of its domain, or the probabilities of an arc do not sum to 1.
    """
    numbers = outcomes_of("discrete", DiscreteLeadTime.parameters, values=values, probabilities=probabilities)
    return DiscreteLeadTime(**ascending(**numbers), crossing=switch_of("discrete", "crossing", crossing))
