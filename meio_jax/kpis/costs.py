"""What a period costs, read from `Flows` and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from meio_jax.indexing import sum_groups
from meio_jax.network import Network
from meio_jax.simulator import Flows

__all__ = ["COSTS", "cost_terms", "costs_at_nodes", "costs_by_node", "total_cost"]

#: Terms of the total cost; revenue counts negative.
COSTS = ("holding", "transit", "backlog", "lost", "fixed", "purchase", "operating", "scrap", "revenue")


def cost_terms(network: Network, flows: Flows) -> dict[str, Array]:
    """The parts of the period's cost, money ``[B]`` each; revenue is positive here. Absent features cost nothing."""
    inner = network.wiring.n_inner
    zero = jnp.zeros_like(flows.on_hand[0])

    def charge(rate: Array | None, units: Array) -> Array:
        return zero if rate is None else (rate * units).sum(0)

    holding = charge(network.holding_cost, flows.on_hand)
    if flows.components.shape[0]:
        holding = holding + charge(network.component_holding_cost, flows.components)
    return {
        "holding": holding,
        "transit": charge(network.transit_holding_cost, flows.in_transit),
        "backlog": charge(network.backlog_cost, flows.backlog),
        "lost": charge(network.lost_cost, flows.lost),
        "fixed": charge(network.fixed_order_cost, (flows.ordered[:inner] > 0).astype(zero.dtype)),
        "purchase": charge(network.unit_cost, flows.shipped[:inner]),
        "operating": charge(network.operating_cost, flows.built),
        "scrap": charge(network.scrap_cost, flows.expired + flows.overflow),
        "revenue": charge(network.price, flows.shipped[inner:]),
    }


def total_cost(network: Network, flows: Flows) -> Array:
    """The period's cost in money, ``[B]``: the negative of the profit where customers pay a price."""
    terms = cost_terms(network, flows)
    revenue = terms.pop("revenue")
    return sum(terms.values(), -revenue)


def costs_by_node(network: Network, flows: Flows) -> dict[str, Array]:
    """The terms of `cost_terms` at the node where each arises, ``[N, B]``; absent features are left out.

    What a node owes, loses or sells is its own (what suppliers outside owe: the receiver's), and so is what it orders
    and what is on its way to it.
    """
    placed = (flows.ordered[: network.wiring.n_inner] > 0).astype(flows.on_hand.dtype)
    return costs_at_nodes(network, flows, placed, flows.expired + flows.overflow)


def costs_at_nodes(network: Network, moved: Any, placed: Array, scrapped: Array) -> dict[str, Array]:
    """`costs_by_node` of flows or of their sums over periods: costs are linear in what moves, but for the number of
    orders ``placed [I, B]``. ``scrapped [N, B]``: units expired or overflowed.
    """
    w = network.wiring
    inner = w.n_inner
    owed_by = [arcs + tuple(e for e in w.in_arcs[n] if w.src[e] < 0) for n, arcs in enumerate(w.out_arcs)]
    to_customers = [[e - inner for e in arcs if e >= inner] for arcs in w.out_arcs]
    here: list[list[int]] = [[n] for n in range(w.n_nodes)]
    table: Mapping[str, tuple[Array | None, Array, Sequence[Sequence[int]]]] = {
        "holding": (network.holding_cost, moved.on_hand, here),
        "transit": (network.transit_holding_cost, moved.in_transit, w.in_arcs),
        "backlog": (network.backlog_cost, moved.backlog, owed_by),
        "lost": (network.lost_cost, moved.lost, owed_by),
        "fixed": (network.fixed_order_cost, placed, w.in_arcs),
        "purchase": (network.unit_cost, moved.shipped[:inner], w.in_arcs),
        "operating": (network.operating_cost, moved.built, here),
        "scrap": (network.scrap_cost, scrapped, here),
        "revenue": (network.price, moved.shipped[inner:], to_customers),
    }
    terms = {name: sum_groups(rate * units, at) for name, (rate, units, at) in table.items() if rate is not None}
    if moved.components.shape[0] and network.component_holding_cost is not None:
        waiting = sum_groups(network.component_holding_cost * moved.components, w.inputs_of_node)
        terms["holding"] = terms["holding"] + waiting
    return terms
