"""The books of a network or of its parts: sums of a `WideTally`, grouped, from which indicators are ratios.

A property reads only those sums that it needs, so a running indicator carries no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax.numpy as jnp
from jax import Array

from meio_jax.errors import UnknownNameError
from meio_jax.indexing import rows, sum_groups
from meio_jax.kpis.costs import costs_at_nodes
from meio_jax.kpis.standards import Standards
from meio_jax.kpis.values import Values, unit_values
from meio_jax.kpis.wide import echelons, streams
from meio_jax.network import Network, Wiring

__all__ = ["GROUPS", "Books", "group_names"]

#: How indicators are grouped: the whole network, levels of the wiring from the suppliers down, nodes, customers' arcs.
GROUPS = ("total", "echelon", "node", "customer")


def group_names(w: Wiring, by: str) -> tuple[str, ...]:
    """What each row of an indicator grouped so belongs to.

    Raises:
      UnknownNameError: there is no such grouping.
    """
    known(by)
    if by == "echelon":
        return tuple(f"echelon {k}: {', '.join(w.nodes[n] for n in level)}" for k, level in enumerate(echelons(w)))
    return {"total": ("total",), "node": w.nodes, "customer": w.arcs[w.n_inner :]}[by]


def known(by: str) -> None:
    """Refuse a grouping that there is not."""
    if by not in GROUPS:
        raise UnknownNameError(f"by={by!r} is not one of {', '.join(GROUPS)}")


class Books:
    """Sums by group, each ``[G, B]``: units, unit-periods, money or counts, over all periods of the sums.

    Service: of the whole it is that of its customers, of an echelon or a node that of all it serves, nodes or
    customers, of a customer its own.
    """

    def __init__(self, network: Network, sums: Any, by: str, standards: Standards | None = None) -> None:
        known(by)
        self.network, self.sums, self.by = network, sums, by
        self.standards = Standards() if standards is None else standards
        w = network.wiring
        everyone: Sequence[Sequence[int]] = [range(w.n_nodes)]
        one_each: Sequence[Sequence[int]] = [[n] for n in range(w.n_nodes)]
        self._nodes = {"total": everyone, "echelon": echelons(w), "node": one_each, "customer": ()}[by]
        served = [[e for n in nodes for e in w.out_arcs[n]] for nodes in self._nodes]
        customers = [[e] for e in w.customer_arcs]
        self._served = {"total": [list(w.customer_arcs)], "customer": customers}.get(by, served)

    def _of_nodes(self, x: Array) -> Array:
        return sum_groups(x, self._nodes)

    def _of_served(self, x: Array) -> Array:
        return sum_groups(x, self._served)

    def _of_supply(self, x: Array) -> Array:
        """``[I, B]`` to the groups of the nodes that receive."""
        w = self.network.wiring
        return sum_groups(x, [[e for n in nodes for e in w.in_arcs[n]] for nodes in self._nodes])

    @cached_property
    def periods(self) -> Array:
        return self.sums.periods[None]

    # Service.

    @cached_property
    def _heard(self) -> Array:
        arrived, ordered = self.sums.arrived, self.sums.ordered
        return ordered if arrived is None else jnp.concatenate([arrived, ordered[self.network.wiring.n_inner :]])

    @property
    def demand(self) -> Array:
        return self._of_served(self._heard)

    @property
    def filled(self) -> Array:
        return self._of_served(self.sums.filled)

    @property
    def lost(self) -> Array:
        return self._of_served(self.sums.lost)

    @property
    def backlog(self) -> Array:
        return self._of_served(self.sums.backlog)

    @property
    def asked(self) -> Array:
        return self._of_served(self.sums.asked)

    @property
    def short(self) -> Array:
        return self._of_served(self.sums.short)

    @property
    def lost_value(self) -> Array:
        """Customers' demand that was lost, at the price that they would have paid; 0 where there are no prices."""
        w, price = self.network.wiring, self.network.price
        lost = self.sums.lost[w.n_inner :]
        lost = lost * 0.0 if price is None else lost * price
        return sum_groups(lost, [[e - w.n_inner for e in arcs if e >= w.n_inner] for arcs in self._served])

    # Stock.

    @property
    def ready(self) -> Array:
        return self._of_nodes(self.sums.ready)

    @property
    def node_periods(self) -> Array:
        return self._of_nodes(jnp.broadcast_to(self.sums.periods, self.sums.ready.shape))

    @property
    def cycles(self) -> Array:
        return self._of_nodes(self.sums.cycles)

    @property
    def short_cycles(self) -> Array:
        return self._of_nodes(self.sums.short_cycles)

    @property
    def stock(self) -> Array:
        return self._of_nodes(self.sums.on_hand)

    @property
    def in_transit(self) -> Array:
        return self._of_supply(self.sums.in_transit)

    @property
    def scrapped(self) -> Array:
        return self._of_nodes(self.sums.scrapped)

    # Value.

    @cached_property
    def values(self) -> Values:
        return unit_values(self.network)

    @property
    def stock_value(self) -> Array:
        return self._of_nodes(self.sums.on_hand * self.values.node)

    @property
    def capital(self) -> Array:
        """Stock, components that wait, and what is on its way to the group, at cost."""
        held = self.sums.on_hand * self.values.node
        if self.sums.components.shape[0]:
            held = held + sum_groups(self.sums.components * self.values.input, self.network.wiring.inputs_of_node)
        return self._of_nodes(held) + self._of_supply(self.sums.in_transit * self.values.arc)

    @property
    def scrapped_value(self) -> Array:
        return self._of_nodes(self.sums.scrapped * self.values.node)

    @property
    def sold_value(self) -> Array:
        """What left the group, at cost: of the whole, what was sold to customers."""
        return self._of_served(self.sums.shipped * self._source_value)

    @property
    def demand_value(self) -> Array:
        return self._of_served(self._heard * self._source_value)

    @property
    def _source_value(self) -> Array:
        w = self.network.wiring
        dear = jnp.concatenate([self.values.node, jnp.zeros_like(self.values.node[:1])])  # the last: of suppliers
        return rows(dear, [n if n >= 0 else w.n_nodes for n in w.src])

    @property
    def slow_value(self) -> Array:
        """At cost, stock beyond ``coverage`` periods of the mean demand on its node."""
        demand = sum_groups(self._heard, self.network.wiring.out_arcs)
        slow = jnp.maximum(self.sums.on_hand - self.standards.coverage * demand, 0.0)
        return self._of_nodes(slow * self.values.node)

    # Money.

    @cached_property
    def _costs(self) -> dict[str, Array]:
        sums = self.sums
        return costs_at_nodes(self.network, sums, sums.placed, sums.scrapped)

    def money(self, term: str) -> Array:
        """A term of `meio_jax.kpis.costs.COSTS`, 0 where the network has no such cost."""
        found = self._costs.get(term)
        return self._of_nodes(jnp.zeros_like(self.sums.on_hand) if found is None else found)

    @property
    def cost(self) -> Array:
        found = dict(self._costs)
        revenue = found.pop("revenue", 0.0)
        return self._of_nodes(sum(found.values(), -revenue + jnp.zeros_like(self.sums.on_hand)))

    @property
    def transport(self) -> Array:
        """The part of purchases that is paid on arcs between nodes."""
        w, cost = self.network.wiring, self.network.unit_cost
        inner = self.sums.shipped[: w.n_inner]
        between = jnp.asarray([[float(n >= 0)] for n in w.src[: w.n_inner]], inner.dtype)
        return self._of_supply(inner * (0.0 if cost is None else cost * between))

    # Expediting.

    @property
    def supplied(self) -> Array:
        return self._of_supply(self.sums.shipped[: self.network.wiring.n_inner])

    @property
    def expedited(self) -> Array:
        return self._of_supply(self.sums.shipped[: self.network.wiring.n_inner] * self.values.express)

    @property
    def expedite_premium(self) -> Array:
        return self._of_supply(self.sums.shipped[: self.network.wiring.n_inner] * self.values.premium)

    # Variability of orders.

    def _moments(self, which: int, squares: Array) -> tuple[Array, Array]:
        """Mean and variance of a stream of orders in each group; a variance of the size of rounding is 0."""
        n, sums = self.sums.periods, self.sums
        w = self.network.wiring
        apart = sums.ordered if sums.centre is None else sums.ordered - sums.centre
        first, count = w.n_nodes, len(echelons(w))
        here = {"node": range(first), "echelon": range(first, first + count), "total": [first + count]}[self.by]
        sizes = jnp.where(n == 0, 1.0, n)
        off = rows(streams(self.network, apart)[which], list(here)) / sizes
        mean = rows(streams(self.network, sums.ordered)[which], list(here)) / sizes
        square = rows(squares, list(here)) / sizes
        variance = square - off**2
        return mean, jnp.where(variance <= 8.0 * jnp.finfo(square.dtype).eps * square, variance * 0.0, variance)

    @property
    def placed_moments(self) -> tuple[Array, Array]:
        return self._moments(0, self.sums.placed_squares)

    @property
    def received_moments(self) -> tuple[Array, Array]:
        return self._moments(1, self.sums.received_squares)

    @property
    def final_moments(self) -> tuple[Array, Array]:
        return self._moments(2, self.sums.final_squares)
