"""A distribution system in plain numbers: a tree whose leaves serve the customers, from a network or by hand."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, NumberError, UnsuitableError
from meio_jax.network import Network
from meio_jax.solvers.laws import Law, Normal, Pmf, Poisson
from meio_jax.solvers.newsvendor import covered_periods
from meio_jax.solvers.plain import lead_times, numbers, obstacle, passing_cost

__all__ = ["TreeSystem", "not_tree", "total_law", "tree_system"]


@dataclasses.dataclass(frozen=True)
class TreeSystem:
    """A distribution system, every node after the one that feeds it.

    Attributes:
      parent: ``[N]`` the node that feeds each node, -1 for the first, which is fed from outside.
      holding_cost: ``[N]`` local rates, money per unit and period.
      lead_time: ``[N]`` periods to each node from the one that feeds it.
      backlog_cost: ``[K]`` money per unit owed and period at each leaf, in the order of the nodes.
      transit_cost: ``[N]`` money per unit in transit to each node and period; a number for all.
      unit_cost: ``[N]`` money per unit that passes into each node; a number for all.
      timing: ``"demand_first"``, ``"order_first"`` or ``"ship_first"``.

    Raises:
      InputError: the lengths differ, or ``parent`` is no tree.
      NumberError: a number is NaN, negative or absurdly large, or a customer's backlog costs nothing.
      UnknownNameError: there is no such timing.
    """

    parent: Sequence[int]
    holding_cost: Sequence[float]
    lead_time: Sequence[float]
    backlog_cost: Sequence[float]
    transit_cost: Sequence[float] | float = 0.0
    unit_cost: Sequence[float] | float = 0.0
    timing: str = "order_first"

    def __post_init__(self) -> None:
        n = len(self.parent)
        if not n or self.parent[0] != -1 or any(not 0 <= self.parent[i] < i for i in range(1, n)):
            raise InputError("parent must be -1 for the first node and an earlier node for every other")
        object.__setattr__(self, "parent", tuple(int(x) for x in self.parent))
        for name, count in (
            ("holding_cost", n), ("lead_time", n), ("transit_cost", n), ("unit_cost", n),
            ("backlog_cost", len(self.leaves)),
        ):  # fmt: skip
            values = getattr(self, name)
            values = (values,) * count if np.ndim(values) == 0 else values
            if len(values) != count:
                raise InputError(f"{name} has {len(values)} values, expected {count}")
            for x in values:
                if not 0 <= x <= LARGEST:
                    raise NumberError(f"{name} = {x:g} is outside [0, {LARGEST:g}]")
            object.__setattr__(self, name, tuple(float(x) for x in values))
        if min(self.backlog_cost) == 0:
            raise NumberError("backlog_cost is 0: it would be best to serve nobody")
        covered_periods(0.0, self.timing, serves_customers=True)

    @functools.cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """For each node those that it feeds."""
        return tuple(tuple(m for m, p in enumerate(self.parent) if p == n) for n in range(len(self.parent)))

    @functools.cached_property
    def leaves(self) -> tuple[int, ...]:
        """The nodes that serve customers."""
        return tuple(n for n in range(len(self.parent)) if n not in self.parent)

    @functools.cached_property
    def covered(self) -> tuple[float, ...]:
        """``[N]`` periods of demand between an order of each node and the use of what it brought."""
        return tuple(
            covered_periods(t, self.timing, serves_customers=not self.children[n]) for n, t in enumerate(self.lead_time)
        )

    def flow(self, leaf_rates: Sequence[float]) -> np.ndarray:
        """``[N]`` sums over the leaves below each node of a number ``[K]`` per leaf.

        Raises:
          InputError: there is not one number for each leaf.
        """
        if len(leaf_rates) != len(self.leaves):
            raise InputError(f"{len(leaf_rates)} given for {len(self.leaves)} leaves: give one for each, in node order")
        out = np.zeros(len(self.parent))
        out[list(self.leaves)] = leaf_rates
        for n in range(len(self.parent) - 1, 0, -1):
            out[self.parent[n]] += out[n]
        return out

    def constant_cost(self, means: Sequence[float]) -> float:
        """Cost per period that no policy changes, for mean demands ``[K]``: in transit, purchase, operation."""
        each = np.asarray(self.transit_cost) * np.asarray(self.lead_time) + np.asarray(self.unit_cost)
        return float(self.flow(means) @ each)

    def path(self, leaf: int) -> list[int]:
        """The nodes from the first to ``leaf``."""
        way = [leaf]
        while self.parent[way[-1]] >= 0:
            way.append(self.parent[way[-1]])
        return way[::-1]


def not_tree(network: Network, *, lane: int | None = None, allowed: tuple[str, ...] = ()) -> str | None:
    """Why a network is no distribution tree with backorders; None where it is one."""
    w = network.wiring
    into = [len(arcs) for arcs in w.in_arcs]
    outside = [e for e in range(w.n_inner) if w.src[e] < 0]
    if max(into) > 1 or len(outside) != 1 or w.dst[outside[0]] != 0:
        return (
            "the network is no distribution tree: every node must have one source, and one node the supplier; "
            "`rosling` treats assembly, `search` any network"
        )
    for n, out in enumerate(w.out_arcs):
        to_customers = sum(e >= w.n_inner for e in out)
        if to_customers > 1 or (to_customers == 1 and len(out) > 1):
            return f"{w.nodes[n]} serves a customer and others as well: give each customer a node of its own"
    return obstacle(network, lane=lane, allowed=allowed)


def tree_system(network: Network, *, lane: int | None = None, allowed: tuple[str, ...] = ()) -> TreeSystem:
    """A distribution network as plain numbers, all of whose costs are kept (revenue is not a cost).

    Raises:
      UnsuitableError: the network is no such system; says why.
    """
    reason = not_tree(network, lane=lane, allowed=allowed)
    if reason is not None:
        raise UnsuitableError(reason)
    w = network.wiring
    into = [arcs[0] for arcs in w.in_arcs]
    per_arc, per_node = passing_cost(network, lane)
    return TreeSystem(
        parent=[w.src[e] for e in into],
        holding_cost=numbers(network, "holding_cost", w.n_nodes, lane=lane).tolist(),
        lead_time=lead_times(network, lane)[into].tolist(),
        backlog_cost=numbers(network, "backlog_cost", w.n_arcs, lane=lane)[w.n_inner :].tolist(),
        transit_cost=numbers(network, "transit_holding_cost", w.n_inner, lane=lane)[into].tolist(),
        unit_cost=(per_arc[into] + per_node).tolist(),
        timing=w.timing,
    )


def total_law(laws: Sequence[Law]) -> Law:
    """The law of a sum of independent demands.

    Raises:
      UnsuitableError: they are neither all normal nor all on lattices of one step.
    """
    if all(isinstance(x, Normal) for x in laws):
        return Normal(sum(x.mean for x in laws), float(np.hypot.reduce([x.sd for x in laws])))
    if all(isinstance(x, Poisson) for x in laws):
        return Poisson(sum(x.mean for x in laws))
    steps = {x.step for x in laws}
    step = steps.pop()
    if steps or step is None:
        raise UnsuitableError(
            "the laws of demand must be all normal or all on lattices of one step: give `discretised` laws one step="
        )
    first, p = 0.0, np.ones(1)
    for x in laws:
        low, q = x.lattice(step)
        first, p = first + low, np.convolve(p, q)
    return Pmf(p / p.sum(), first, step)
