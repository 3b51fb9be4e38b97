"""A lower bound for one warehouse and many retailers (Federgruen and Zipkin 1984).

Let the warehouse take stock back from a retailer as freely as it ships it (the allocation may be negative). Then all
that matters of the retailers' positions is their sum x, and the best division of x costs

    G(x) = min over sum y_i <= x of sum_i E[(h_i - h_w) (y_i - D_i) + (b_i + h_i) [y_i - D_i]-],

where h_w and h_i are the holding rates, b_i the backorder rates and D_i the demand that retailer i must cover. The
bound is min over Y of E[h_w (Y - D_w) + G(Y - D_w)], D_w being the demand of all over the warehouse's lead time. With
one retailer it is the Clark-Scarf recursion, and exact.

A warehouse that can hold nothing makes the constraint an equality. For retailers with equal lead times and rates and
normal demand that bound is (h + b) phi(z) sqrt(L_w Var(sum D) + (L + 1) (sum sd)^2), z the b / (h + b) quantile.

G is an infimal convolution of convex functions: on a lattice, their slopes in order. Normal demand is replaced by a
lattice law below it in the convex order (`meio_jax.solvers.convex_order`), so the bound stays one; a law above it says
how much was given away.

Federgruen and Zipkin, Management Science 30(1), 1984, https://doi.org/10.1287/mnsc.30.1.69; Operations Research 32(4),
1984, https://doi.org/10.1287/opre.32.4.818; Eppen and Schrage (1981).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from meio_jax.errors import InputError, UnsuitableError
from meio_jax.network import Network
from meio_jax.solvers import convex_order
from meio_jax.solvers.lattice import extended, minimum
from meio_jax.solvers.laws import Law, Normal, as_law, convolve
from meio_jax.solvers.method import Method
from meio_jax.solvers.plain import not_average, numbers
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution, plays_echelon_levels
from meio_jax.solvers.tree import TreeSystem, not_tree, total_law, tree_system

__all__ = ["METHODS", "federgruen_zipkin"]

#: Lattice points in a standard deviation of the shortest lead-time demand, where demand is continuous.
FINENESS = 300


def federgruen_zipkin(
    system: Network | TreeSystem,
    demand: Sequence[Any],
    *,
    total: Any = None,
    holds_stock: bool = True,
    fineness: float = FINENESS,
    lane: int | None = None,
) -> Solution:
    """A lower bound on the long-run average cost of one warehouse and many retailers, and echelon levels from it.

    Args:
      system: a `Network` or plain numbers: a warehouse and the retailers that it feeds. A warehouse whose ``storage``
        is 0 holds nothing.
      demand: ``[K]`` of one period of each retailer, independent between periods; normal, or all on one lattice.
      total: demand of all retailers together in one period; None: they are independent. With it they may be correlated.
      holds_stock: whether the warehouse may keep anything; if not, its holding rate does not matter.
      fineness: lattice points in a standard deviation, where demand is normal; the bound is within about
        0.4 / fineness^2 of the exact one.
      lane: which lane's numbers of a network.

    Returns:
      The bound as ``cost`` and ``lower_bound``; ``details["error"]`` is by how much it can fall short of the exact
      Federgruen-Zipkin bound. The levels minimise the relaxation; played as echelon base stock they cost more.

    Raises:
      UnsuitableError: the network is not a warehouse with retailers, or has features that the bound has no word for;
        demand is neither normal nor on one lattice.
      InputError: the number of laws is wrong.
    """
    network = system if isinstance(system, Network) else None
    if isinstance(system, Network):
        holds_stock = holds_stock and not _no_storage(system, lane)
        reason = _not_two_levels(system, lane)
        if reason is not None:
            raise UnsuitableError(reason)
        system = tree_system(system, lane=lane, allowed=("storage",))
    if len(system.parent) < 2 or any(system.parent[1:]):
        raise UnsuitableError("the bound is for a warehouse whose children serve customers, one level of them")
    laws = [as_law(x) for x in demand]
    if len(laws) != len(system.leaves):
        raise InputError(f"demand: {len(laws)} laws given for {len(system.leaves)} retailers")
    whole = total_law(laws) if total is None else as_law(total)
    means = [law.mean for law in laws]
    if abs(whole.mean - sum(means)) > 1e-6 * (1 + abs(whole.mean)):
        raise InputError(f"total: its mean is {whole.mean:g}, and the retailers' means sum to {sum(means):g}")
    at_retailers = np.asarray(system.holding_cost[1:])
    at_warehouse = system.holding_cost[0] if holds_stock else float(at_retailers.max())
    covers = [law.over(t) for law, t in zip(laws, system.covered[1:], strict=True)]
    above = whole.over(system.covered[0])
    # As in the recursion of a serial system: what is in transit is charged at the warehouse's rate, and its stock
    # before the demand of the period in which it arrives.
    until = system.lead_time[0] + (system.timing != "demand_first")
    transit = at_warehouse * float(np.dot(means, system.lead_time[1:]))
    early = at_warehouse * whole.mean * (until - system.covered[0])
    constant = system.constant_cost(means)
    backlog = np.asarray(system.backlog_cost)
    found = _bounds([*covers, above], at_warehouse, at_retailers, backlog, fineness)
    cost = found.lower + constant - transit - early
    levels = (found.level, *found.levels)
    played = {} if network is None else plays_echelon_levels(network, levels)
    return Solution(
        cost,
        levels,
        method="Federgruen-Zipkin",
        constant_cost=constant,
        reference="Federgruen & Zipkin 1984, Management Science 30(1)",
        claim="bound",
        lower_bound=cost,
        details={"error": found.upper - found.lower, "holds_stock": holds_stock},
        **played,
    )


class _Relaxed(NamedTuple):
    lower: float
    upper: float
    level: float
    levels: tuple[float, ...]


def _bounds(laws: list[Law], at_warehouse: float, at_retailers: Any, backlog: Any, fineness: float) -> _Relaxed:
    """The relaxation's optimum from below and above; the last law is the warehouse's."""
    random = [law for law in laws if law.sd > 0]
    if all(isinstance(law, Normal) for law in random):
        step = min((law.sd for law in random), default=1.0) / fineness
        normals = [law if isinstance(law, Normal) else Normal(law.mean, 0.0) for law in laws]
        low, high = (
            _relaxed([side(law, step) for law in normals], step, at_warehouse, at_retailers, backlog)
            for side in (convex_order.below, convex_order.above)
        )
    else:
        steps = {law.step for law in random}
        given = next(iter(steps))
        if len(steps) > 1 or given is None:
            raise UnsuitableError("demand must be normal, or all on one lattice: give `discretised` laws one step=")
        low = high = _relaxed(laws, given, at_warehouse, at_retailers, backlog)
    rounding = 1e-10 * float(backlog.max() + at_retailers.max()) * math.fsum(law.sd for law in laws)
    return _Relaxed(low[0] - rounding, high[0] + rounding, low[1], low[2])


def _relaxed(
    laws: Sequence[Law], step: float, at_warehouse: float, at_retailers: Any, backlog: Any
) -> tuple[float, float, tuple[float, ...]]:
    """Cost, warehouse level and retailers' levels where all laws are on lattices of one step."""
    *covers, ahead = [law.lattice(step) if law.sd > 0 else (law.mean, np.ones(1)) for law in laws]
    lowest = -float(np.min(backlog + at_warehouse))  # the cheapest backorder: what is short beyond all is short there
    highest = min(0.0, float(np.min(at_retailers - at_warehouse)))
    origin, base, slopes, levels = 0.0, 0.0, [], []
    for (first, p), holding, b in zip(covers, at_retailers, backlog, strict=True):
        steps = (holding - at_warehouse) - (b + holding) * (1 - np.cumsum(p)[:-1])  # slopes between lattice points
        begin = int(np.searchsorted(steps, lowest, side="right"))
        stop = max(begin, int(np.searchsorted(steps, highest, side="left")))
        x = first + step * np.arange(p.size)
        y = first + step * begin
        base += float((holding - at_warehouse) * (y - x @ p) + (b + holding) * (np.maximum(x - y, 0.0) @ p))
        origin += y
        slopes.append(steps[begin:stop])
        levels.append(first + step * stop)
    merged = np.sort(np.concatenate(slopes))
    divided = base + step * np.append(0.0, np.cumsum(merged))
    first, p = ahead
    width = p.size - 1
    row = extended(divided[None], width, width, lowest, highest, step)[0]
    origin += first
    at = origin + step * np.arange(divided.size + width)
    mean = first + step * float(np.arange(p.size) @ p)
    total = convolve(row, p, "valid") + at_warehouse * (at - mean)
    level, cost = minimum(total, at, highest + at_warehouse, False, 1e-12 * (backlog.max() + at_warehouse))
    return cost, level, tuple(float(x) for x in levels)


def _no_storage(network: Network, lane: int | None) -> bool:
    storage = numbers(network, "storage", network.wiring.n_nodes, math.inf, lane)
    return bool(storage[0] == 0)


def _not_two_levels(network: Network, lane: int | None = None) -> str | None:
    reason = not_tree(network, lane=lane, allowed=("storage",))
    if reason is not None:
        return reason
    w = network.wiring
    storage = numbers(network, "storage", w.n_nodes, math.inf, lane)
    if np.any(np.isfinite(storage[1:])) or (math.isfinite(storage[0]) and storage[0] != 0):
        return "storage has no place in this bound, but for a warehouse that holds nothing; `search` finds good levels"
    if w.n_nodes < 2 or any(w.src[arcs[0]] != 0 for arcs in w.in_arcs[1:]):
        return "it is for one warehouse whose retailers serve the customers; `decomposition_aggregation` takes any tree"
    return None


def _unfit(problem: Problem) -> str | None:
    reason = not_average(problem) or _not_two_levels(problem.network)
    if reason is None:
        kinds = {None if law.step is None else law.step for law in problem.laws if law.sd > 0}
        if len(kinds) > 1 or (kinds == {None} and not all(isinstance(law, Normal) for law in problem.laws if law.sd)):
            return "demand must be normal, or all on one lattice: give `discretised` laws one step="
    return reason


METHODS = (
    Method(
        "federgruen_zipkin",
        "Federgruen-Zipkin lower bound for one warehouse and many retailers",
        "bound",
        lambda problem: federgruen_zipkin(problem.network, problem.laws),
        _unfit,
    ),
)
