"""Difference rewards: what a decision was worth beside what the default would have brought in the same world.

The outside world is data, so the same scenario can be played twice. Demand that was high was high in both plays: its
luck leaves the signal. Both are played in the ledger, not in what has been reported, so credit arrives in the period in
which it is due however late the reports are. Wolpert and Tumer (2001), Optimal Payoff Functions for Members of
Collectives, Advances in Complex Systems 4: the difference reward of an agent is aligned with the reward of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.observation import observe
from meio_jax.rewards.base import Played, begin_reward, needed, pay
from meio_jax.scenario import Shock
from meio_jax.simulator import State, initial_state, transition
from meio_jax.struct import pytree, static

__all__ = ["Difference", "DifferenceCarry", "difference_rewards"]


class DifferenceCarry(NamedTuple):
    """The system that follows the default, what its rule remembers, and the memories of both rewards."""

    state: State
    memory: Any
    own: Any
    other: Any


@pytree
class Difference:
    """A reward less that of a second system, which a default rule has run from time 0 under the same shocks.

    The second system owes nothing to the first one's decisions, so the difference of returns is that of policies and
    no ranking changes; what is left out is the luck that both have.

    of: a reward, or weights or None as in `meio_jax.rewards.reward`. rule, theta: a deterministic policy and its
    numbers, for example ``BaseStock()``; it sees the ledger, promptly.
    """

    of: Any
    rule: Any = static()
    theta: Any

    def init(self, network: Network, lanes: int) -> DifferenceCarry:
        memory = self.rule.memory(network, lanes)
        own = begin_reward(self.of, network, lanes)
        return DifferenceCarry(initial_state(network, lanes), memory, own, own)

    def apply(self, carry: DifferenceCarry, network: Network, played: Played) -> tuple[Array, DifferenceCarry]:
        (shock,) = needed(played, "shock")
        seen = observe(network, carry.state, shock)
        key = jax.random.key(0)  # the rule is deterministic
        decision, memory = self.rule.apply(network, self.theta, carry.memory, seen, key)
        state, flows = transition(network, carry.state, decision.orders, shock, decision.allocation)
        paid, own = pay(self.of, carry.own, network, played)
        other_paid, other = pay(self.of, carry.other, network, Played(flows, carry.state, state, shock))
        return paid - other_paid, DifferenceCarry(state, memory, own, other)


def difference_rewards(
    reward: Any,
    network: Network,
    start: State,
    orders: Array,
    shocks: Shock,
    default: Array,
    *,
    window: int,
    agents: Sequence[Sequence[int]] | None = None,
    discount: Array | float = 1.0,
) -> Array:
    """``[T, K, B]``: what each agent's orders of each period were worth over the next ``window`` periods.

    For period t and agent k the scenario is played again from t with the default in place of what the agent ordered in
    t; all other orders, then and later, are as they were. The value is the discounted reward of what happened less that
    of what would have. Consequences beyond the window, or the end, are not counted.

    Args:
      reward: a reward, or weights or None as in `meio_jax.rewards.reward`.
      start: the state before the first period.
      orders: ``[T, I, B]`` what was ordered (as wanted, before lots and capacities).
      shocks: leaves ``[T, .., B]``.
      default: ``[T, I, B]``, ``[I, B]`` or ``[I, 1]`` the orders to compare with.
      window: periods that an order is answered for; at least its lead time and one more to show anything.
      agents: for each the inner arcs that it orders on; default: for each node those that lead to it.
      discount: a period.

    Raises:
      InputError: the window is below 1, an arc is not one of the inner arcs, or shapes do not fit.
    """
    w = network.wiring
    groups = w.in_arcs if agents is None else agents
    if window < 1:
        raise InputError(f"window = {window} must be at least 1 period")
    if orders.ndim != 3 or orders.shape[1] != w.n_inner or shocks.demand.shape[0] != orders.shape[0]:
        raise InputError(f"orders have shape {orders.shape}, expected ({shocks.demand.shape[0]}, {w.n_inner}, lanes)")
    mask = np.zeros((len(groups), w.n_inner, 1), bool)
    for k, arcs in enumerate(groups):
        if any(not 0 <= e < w.n_inner for e in arcs):
            raise InputError(f"agent {k}: arcs {list(arcs)} must lie in [0, {w.n_inner - 1}]")
        mask[k, list(arcs)] = True
    periods, lanes = orders.shape[0], orders.shape[-1]
    default = jnp.broadcast_to(default, orders.shape)

    def play(now: tuple[State, Any], what: tuple[Array, Shock]) -> tuple[tuple[State, Any], Array]:
        (state, carry), (order, shock) = now, what
        after, flows = transition(network, state, order, shock)
        paid, carry = pay(reward, carry, network, Played(flows, state, after, shock))
        return (after, carry), paid

    def record(now: tuple[State, Any], what: tuple[Array, Shock]) -> tuple[tuple[State, Any], Any]:
        then, paid = play(now, what)
        return then, (now, paid)

    begun = start, begin_reward(reward, network, lanes)
    _, (moments, paid) = jax.lax.scan(record, begun, (orders, shocks))
    longer = jax.tree.map(lambda x: jnp.concatenate([x, jnp.repeat(x[-1:], window - 1, 0)]), (orders, shocks, paid))
    fade = jnp.asarray(discount, paid.dtype) ** jnp.arange(window)

    def worth(t: Array, now: tuple[State, Any], instead: Array, own: Array) -> Array:
        ordered, outside, got = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, t, window), longer)
        ordered = ordered.at[0].set(jnp.where(own, instead, ordered[0]))
        _, other = jax.lax.scan(play, now, (ordered, outside))
        counts = fade * (t + jnp.arange(window) < periods)
        return (counts[:, None] * (got - other)).sum(0)

    def of_agent(own: Array) -> Array:
        return jax.vmap(worth, in_axes=(0, 0, 0, None))(jnp.arange(periods), moments, default, own)

    return jnp.moveaxis(jax.lax.map(of_agent, jnp.asarray(mask)), 0, 1)
