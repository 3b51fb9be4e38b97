"""What only the order of periods shows: how long each unit was owed, and exact replenishment cycles.

A measure with memory has ``init(network, lanes) -> memory`` and ``apply(memory, network, flows) -> (sums of the period,
memory)``; `watch` plays it along a trajectory, and its sums are as additive as any tally.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.indexing import sum_groups
from meio_jax.kpis.wide import TINY
from meio_jax.network import Network
from meio_jax.simulator import Flows
from meio_jax.struct import pytree, static

__all__ = ["CycleTally", "Cycles", "WaitTally", "Waits", "watch"]


class WaitTally(NamedTuple):
    """served ``[K + 1, C, B]``: units shipped to customers that had waited k periods, in the last row K or more; of
    them row 0 is what was filled. waiting ``[C, B]``: unit-periods of backlog at ends of periods; aged ``[C, B]``: the
    same times the age of each unit in periods, 1 at the end of the period in which it was asked for.
    """

    served: Array
    waiting: Array
    aged: Array

    @property
    def mean_age(self) -> Array:
        """``[C, B]`` the mean age of what is owed, 0 where nothing was."""
        return jnp.where(self.waiting == 0, 0.0, self.aged / jnp.where(self.waiting == 0, 1.0, self.waiting))

    @property
    def within(self) -> Array:
        """``[K, C, B]`` share of what was shipped that had waited at most k periods; 1 where nothing was shipped."""
        total = self.served.sum(0)
        share = jnp.cumsum(self.served, 0)[:-1] / jnp.where(total == 0, 1.0, total)
        return jnp.where(total == 0, 1.0, share)


@pytree
class Waits:
    """Units owed to customers by the time that they have waited: the oldest is served first, what is lost is new.

    longest: K, from which on waits are not told apart. Ages of units beyond it count as K + 1.

    Raises:
      InputError: K is below 1.
    """

    longest: int = static(default=8)

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise InputError(f"longest = {self.longest} must be at least 1 period")

    def init(self, network: Network, lanes: int) -> Array:
        """``[K + 1, C, B]`` units that have been owed for k periods: none."""
        return jnp.zeros((self.longest + 1, network.wiring.n_customers, lanes), network.holding_cost.dtype)

    def apply(self, queue: Array, network: Network, flows: Flows) -> tuple[WaitTally, Array]:
        """One period: serve the oldest, lose of the new, and all that is left has waited a period more."""
        inner = network.wiring.n_inner
        due = jnp.concatenate([flows.ordered[None, inner:], queue[1:]])
        older = jnp.flip(jnp.cumsum(jnp.flip(due, 0), 0), 0)  # units that have waited k periods or more
        left = jnp.maximum(older - flows.shipped[inner:], 0.0)
        left = left - jnp.concatenate([left[1:], jnp.zeros_like(left[:1])])
        served = due - left
        left = jnp.concatenate([jnp.maximum(left[:1] - flows.lost[inner:], 0.0), left[1:]])
        age = jnp.arange(1, self.longest + 2, dtype=left.dtype)[:, None, None]
        after = jnp.concatenate([jnp.zeros_like(left[:1]), left[:-2], left[-2:].sum(0, keepdims=True)])
        return WaitTally(served, left.sum(0), (left * age).sum(0)), after


class CycleTally(NamedTuple):
    """cycles ``[N, B]``: replenishment cycles that ended; short ``[N, B]``: of them those with a stockout."""

    cycles: Array
    short: Array

    @property
    def level(self) -> Array:
        """``[N, B]`` the cycle service level; 1 where no cycle ended."""
        none = self.cycles == 0
        return jnp.where(none, 1.0, 1.0 - self.short / jnp.where(none, 1.0, self.cycles))


@pytree
class Cycles:
    """Replenishment cycles of each node's stock, from one period in which units are added to the next.

    A cycle has a stockout if within it some demand on the node was unmet or still owed. Where all unmet demand is kept
    `meio_jax.kpis.wide_tally` counts the same without a memory.
    """

    def init(self, network: Network, lanes: int) -> Array:
        """``[N, B]`` whether there was a stockout since the last replenishment: none yet."""
        return jnp.zeros((network.wiring.n_nodes, lanes), bool)

    def apply(self, out: Array, network: Network, flows: Flows) -> tuple[CycleTally, Array]:
        """One period: if it begins with a replenishment the cycle before it has ended."""
        w, inner = network.wiring, network.wiring.n_inner
        new = flows.ordered if flows.arrived is None else jnp.concatenate([flows.arrived, flows.ordered[inner:]])
        lacks = (flows.backlog + flows.lost > TINY * new) | (new - flows.filled > TINY * new)
        lacks = lacks.astype(flows.on_hand.dtype)
        early = jnp.zeros_like(lacks)
        if w.timing == "ship_first":  # nodes are served before the delivery
            early = jnp.concatenate([lacks[:inner], early[inner:]])
        before = out | (sum_groups(early, w.out_arcs) > 0)
        now = sum_groups(lacks - early, w.out_arcs) > 0
        ended = flows.built > 0
        nan = (flows.built + sum_groups(new * 0.0, w.out_arcs)) * 0.0
        found = CycleTally(ended.astype(nan.dtype) + nan, (ended & before).astype(nan.dtype) + nan)
        return found, jnp.where(ended, now, before | now)


def watch(measure: Any, network: Network, flows: Flows) -> Any:
    """The sums over a trajectory of a measure with memory, from its start.

    Args:
      measure: `Waits` or `Cycles`.
      flows: every period, leaves ``[T, .., B]``: ``rollout(..., keep_trajectory=True).trajectory.flows``.
    """

    def period(loop: tuple[Any, Any], now: Flows) -> tuple[tuple[Any, Any], None]:
        memory, total = loop
        found, memory = measure.apply(memory, network, now)
        return (memory, jax.tree.map(jnp.add, total, found)), None

    first = jax.tree.map(lambda x: x[0], flows)
    memory = measure.init(network, flows.on_hand.shape[-1])
    shapes = jax.eval_shape(measure.apply, memory, network, first)[0]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.scan(period, (memory, zeros), flows)[0][1]
