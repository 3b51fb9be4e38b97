"""Base-stock levels for one warehouse and many retailers: METRIC, the two-moment approximation, and the exact model.

The warehouse's level is enumerated: given it, each retailer is a newsvendor that faces what is on order there. A larger
level is not worth trying once its holding cost, with the retailers never waiting, exceeds the best cost found.

See `meio_jax.solvers.one_for_one` for the models, their sources and their time convention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meio_jax.errors import UnknownNameError, UnsuitableError
from meio_jax.network import Network
from meio_jax.policies.base_stock import BaseStock
from meio_jax.solvers.laws import Poisson, as_law
from meio_jax.solvers.method import Method
from meio_jax.solvers.one_for_one import APPROACHES, on_order, one_for_one, poisson_rates
from meio_jax.solvers.plain import not_average
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution, column
from meio_jax.solvers.tree import TreeSystem, not_tree, tree_system

__all__ = ["METHODS", "base_stock_solution", "metric"]

_SOURCES = {
    "metric": ("METRIC", "Sherbrooke 1968, Operations Research 16(1)"),
    "two_moment": ("two-moment", "Graves 1985, Management Science 31(10)"),
    "exact": ("one-for-one", "Simon 1971, Operations Research 19(5); Axsater 1990, Operations Research 38(1)"),
}


def metric(
    system: Network | TreeSystem, demand: Sequence[Any], *, approach: str = "metric", lane: int | None = None
) -> Solution:
    """The best installation base-stock levels of a warehouse and its retailers in a model of Poisson demand.

    Args:
      system: a `Network` or plain numbers: a warehouse and the retailers that it feeds.
      demand: ``[K]`` `Poisson` laws of one period of each retailer, independent.
      approach: "metric", "two_moment" or "exact" (see `meio_jax.solvers.one_for_one`).
      lane: which lane's numbers of a network.

    Returns:
      ``local_levels`` and the model's cost of them; ``numbers["exact_cost"]`` is what they cost exactly where orders
      are served first come, first served. The claim is "exact" for the exact model of plain numbers or of one retailer,
      and "approximate" elsewhere, as the simulator shares out scarce stock in another way.

    Raises:
      UnsuitableError: the network is not a warehouse with retailers, or demand is not Poisson.
      UnknownNameError: there is no such approach.
    """
    if approach not in APPROACHES:
        raise UnknownNameError(f"approach {approach!r} is not one of {', '.join(APPROACHES)}")
    network = system if isinstance(system, Network) else None
    plain = tree_system(system, lane=lane) if isinstance(system, Network) else system
    if len(plain.parent) < 2 or any(plain.parent[1:]):
        raise UnsuitableError("it is for one warehouse whose retailers serve the customers: see `decomposition`")
    rates = poisson_rates([as_law(x) for x in demand])
    flow = plain.flow(rates)
    own = [float(f * t) for f, t in zip(flow, plain.covered, strict=True)]
    at_warehouse = on_order(None, 0, 1.0, own[0], approach)
    h, retailers = plain.holding_cost, range(1, len(own))

    def retail(level: int) -> tuple[float, list[int]]:
        """Cost and best levels of the retailers, the warehouse's level being given."""
        known: dict[tuple[float, ...], tuple[float, int]] = {}  # retailers that are alike
        for n, b in zip(retailers, plain.backlog_cost, strict=True):
            if (kind := (flow[n], own[n], h[n], b)) not in known:
                p = on_order(at_warehouse, level, float(flow[n] / flow[0]) if flow[0] else 0.0, own[n], approach)
                reach = np.cumsum(p)
                s = int(np.searchsorted(reach, min(b / (b + h[n]), reach[-1])))
                short = np.arange(p.size) - s
                known[kind] = h[n] * float(np.maximum(-short, 0) @ p) + b * float(np.maximum(short, 0) @ p), s
        found = [known[flow[n], own[n], h[n], b] for n, b in zip(retailers, plain.backlog_cost, strict=True)]
        return sum(cost for cost, _ in found), [s for _, s in found]

    never_waiting = retail(at_warehouse.size)[0]
    best_cost, levels = np.inf, [0] * len(own)
    for s in range(at_warehouse.size + 1):
        held = h[0] * float(np.maximum(s - np.arange(at_warehouse.size), 0) @ at_warehouse)
        if held + never_waiting > best_cost:
            break
        cost, below = retail(s)
        if held + cost < best_cost - 1e-12:
            best_cost, levels = held + cost, [s, *below]
    found = one_for_one(plain, rates, levels, approach=approach)
    exact = one_for_one(plain, rates, levels) if approach != "exact" else found
    name, reference = _SOURCES[approach]
    claim = "exact" if approach == "exact" and (network is None or len(own) == 2) else "approximate"
    return base_stock_solution(plain, levels, found.cost, network).replace(
        method=name,
        reference=reference,
        constant_cost=plain.constant_cost(rates),
        claim=claim,
        numbers={"exact_cost": exact.cost, "owed": tuple(found.owed.tolist())},
    )


def base_stock_solution(
    system: TreeSystem, levels: Sequence[float], cost: float, network: Network | None = None
) -> Solution:
    """Installation base-stock levels ``[N]`` of a tree as a `Solution`; with a network, what plays them."""
    echelon = np.asarray(levels, float)
    for n in range(len(echelon) - 1, 0, -1):
        echelon[system.parent[n]] += echelon[n]
    played: dict[str, Any] = {}
    if network is not None:
        played = {"policy": BaseStock(), "theta": {"level": column(levels, network)}}
    return Solution(cost, tuple(echelon.tolist()), tuple(float(x) for x in levels), **played)


def _unfit(problem: Problem) -> str | None:
    reason = not_average(problem) or not_tree(problem.network)
    if reason is not None:
        return reason
    w = problem.network.wiring
    if w.n_nodes < 2 or any(w.src[arcs[0]] != 0 for arcs in w.in_arcs[1:]):
        return "it is for one warehouse whose retailers serve the customers; `decomposition_aggregation` takes any tree"
    if not all(isinstance(law, Poisson) for law in problem.laws):
        return "demand must be Poisson: `federgruen_zipkin` bounds the cost of other laws, `search` finds levels"
    return None


METHODS = (
    Method(
        "metric",
        "METRIC: base-stock levels of a warehouse and its retailers",
        "approximate",
        lambda problem: metric(problem.network, problem.laws),
        _unfit,
        1,
    ),
    Method(
        "two_moment",
        "two-moment approximation of a warehouse and its retailers",
        "approximate",
        lambda problem: metric(problem.network, problem.laws, approach="two_moment"),
        _unfit,
        1,
    ),
    Method(
        "one_for_one",
        "base-stock levels of a warehouse and its retailers, exact if served first come, first served",
        "approximate",
        lambda problem: metric(problem.network, problem.laws, approach="exact"),
        _unfit,
    ),
)
