"""Potential-based shaping: what a state is worth is paid when it is reached, and taken back when it is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from meio_jax.indexing import sum_first, sum_groups
from meio_jax.kpis import checked, unit_values
from meio_jax.network import Network
from meio_jax.rewards.base import Played, needed
from meio_jax.simulator import State
from meio_jax.struct import pytree, static

__all__ = ["Shaped", "shaped", "value_of_stock"]


def value_of_stock(network: Network, state: State) -> Array:
    """``[B]`` standard cost of all that is in stock, waiting and on its way, less that of what customers are owed.

    With it a purchase is no loss when it is made, but when the unit leaves or is kept for long.
    """
    w, values = network.wiring, unit_values(network)
    worth = (values.node * sum_first(state.on_hand)).sum(0) + (values.arc * sum_first(state.pipeline)).sum(0)
    if state.components.shape[0]:
        worth = worth + (values.input * state.components).sum(0)
    owed = sum_groups(state.backlog, [[e for e in out if e >= w.n_inner] for out in w.out_arcs])
    return worth - (values.node * owed).sum(0)


@pytree
class Shaped:
    """A reward ``+ discount x potential(after) - potential(before)``.

    Discounted returns of all policies change by the same two numbers, what the first state was worth and, discounted,
    the last, so no policy gains on another; the signal arrives earlier. Ng, Harada and Russell (1999), Policy
    Invariance under Reward Transformations. The discount must be the learner's.

    potential: ``(network, state) -> [B]``, a pure function.
    """

    of: Any
    potential: Callable[[Network, State], Array] = static(default=value_of_stock)
    discount: Array | float = 1.0

    def init(self, network: Network, lanes: int) -> Any:
        return self.of.init(network, lanes)

    def apply(self, carry: Any, network: Network, played: Played) -> tuple[Array, Any]:
        before, after = needed(played, "before", "after")
        paid, carry = self.of.apply(carry, network, played)
        gained = self.potential(network, after) * jnp.asarray(self.discount, paid.dtype)
        return paid + gained - self.potential(network, before), carry


def shaped(
    of: Any, potential: Callable[[Network, State], Array] = value_of_stock, *, discount: Array | float
) -> Shaped:
    """`Shaped` of a checked discount. Raises `NumberError` where it is outside [0, 1]."""
    return Shaped(of, potential, checked("discount", discount, 0.0, 1.0))
