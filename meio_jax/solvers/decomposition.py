"""Heuristic base-stock levels for distribution trees of any depth (Rong, Atan and Snyder 2017), with Poisson demand.

Decomposition-aggregation: each way from the supplier to a customer is a serial system of its own, whose levels the
newsvendor heuristic of Shang and Song gives. The leaves keep these. A node that several ways share gets the least level
at which it owes no more than it would in all of them together ("backorder matching"), from the supplier down; what is
owed is computed exactly, delays from above included, on both sides.

Recursive optimisation: from the leaves up, each node gets the level that is best for all below it, whose levels are
then fixed, if it never waits itself and what it holds is charged at what its stock costs more than its supplier's.

Both are for first come, first served, and their levels are costed exactly for it.

Rong, Atan and Snyder, Production and Operations Management 26(9), 2017, https://doi.org/10.1111/poms.12717.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from meio_jax.network import Network
from meio_jax.solvers.laws import Poisson, as_law
from meio_jax.solvers.method import Method
from meio_jax.solvers.metric import base_stock_solution
from meio_jax.solvers.one_for_one import on_order, one_for_one, poisson_rates
from meio_jax.solvers.plain import not_average
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.serial import SerialSystem
from meio_jax.solvers.shang_song import ROUNDINGS, newsvendor_levels
from meio_jax.solvers.solution import Solution
from meio_jax.solvers.tree import TreeSystem, not_tree, tree_system

__all__ = ["METHODS", "decomposition_aggregation", "recursive_optimisation"]

_REFERENCE = "Rong, Atan & Snyder 2017, Production and Operations Management 26(9)"


def decomposition_aggregation(
    system: Network | TreeSystem, demand: Sequence[Any], *, rounding: str = "nearest", lane: int | None = None
) -> Solution:
    """Base-stock levels of a distribution tree by decomposition into serial systems and backorder matching.

    Args:
      system: a `Network` or plain numbers: a tree whose leaves serve the customers.
      demand: ``[K]`` `Poisson` laws of one period of each leaf, independent.
      rounding: of the serial systems' echelon levels, see `meio_jax.solvers.shang_song.ROUNDINGS`.
      lane: which lane's numbers of a network.

    Returns:
      ``local_levels`` and their exact cost under first come, first served ("exact" for plain numbers or where no node
      feeds two others; else "approximate", as the simulator shares out scarce stock in another way).

    Raises:
      UnsuitableError: the network is no such tree, demand is not Poisson, or a holding rate does not rise downstream.
    """
    network, plain, rates = _read(system, demand, lane)
    flow = plain.flow(rates)
    target = np.zeros(len(flow))  # what each node may owe
    levels = [0] * len(flow)
    for leaf, rate, b in zip(plain.leaves, rates, plain.backlog_cost, strict=True):
        way = plain.path(leaf)
        chain = SerialSystem(
            [plain.holding_cost[n] for n in way], [plain.lead_time[n] for n in way], b, timing=plain.timing
        )
        low, high = newsvendor_levels(chain, Poisson(rate))
        echelon = [max(0, ROUNDINGS[rounding]((x + y) / 2)) for x, y in zip(low, high, strict=True)]
        reached = np.minimum.accumulate(echelon)
        local = (reached - np.append(reached[1:], 0)).astype(int)
        single = TreeSystem(range(-1, len(way) - 1), chain.holding_cost, chain.lead_time, (b,), timing=plain.timing)
        target[way] += one_for_one(single, [rate], local).owed
        levels[leaf] = int(local[-1])
    laws: list[np.ndarray] = []
    for n, p in enumerate(plain.parent):
        share = 1.0 if p < 0 or not flow[p] else float(flow[n] / flow[p])
        own = float(flow[n] * plain.covered[n])
        laws.append(on_order(None if p < 0 else laws[p], 0 if p < 0 else levels[p], share, own, "exact"))
        if plain.children[n]:
            beyond = np.append(np.cumsum(laws[n][::-1])[::-1][1:], 0.0)  # P(O > s)
            owed = np.cumsum(beyond[::-1])[::-1]  # E[O - s]+
            levels[n] = int(np.argmax(owed <= target[n] * (1 + 1e-9) + 1e-12))
    return _solution(plain, rates, levels, network, "decomposition-aggregation")


def recursive_optimisation(system: Network | TreeSystem, demand: Sequence[Any], *, lane: int | None = None) -> Solution:
    """Base-stock levels of a distribution tree, one node after the other from the leaves up.

    Args, returns and raises as `decomposition_aggregation`, but holding rates may be any.
    """
    network, plain, rates = _read(system, demand, lane)
    levels = [0] * len(plain.parent)
    for n in range(len(plain.parent) - 1, -1, -1):
        below = _subtree(plain, n)
        place = {m: k for k, m in enumerate(below)}
        before = plain.holding_cost[plain.parent[n]] if n else 0.0
        leaves = [k for k, m in enumerate(plain.leaves) if m in place]
        part = TreeSystem(
            [-1, *(place[plain.parent[m]] for m in below[1:])],
            [max(0.0, plain.holding_cost[m] - before) for m in below],
            [plain.lead_time[m] for m in below],
            [plain.backlog_cost[k] + before for k in leaves],
            timing=plain.timing,
        )
        asked = [rates[k] for k in leaves]
        fixed = [levels[m] for m in below[1:]]

        def cost(s: int, part: TreeSystem = part, asked: Any = asked, fixed: Any = fixed) -> float:
            return one_for_one(part, asked, [s, *fixed]).cost

        levels[n] = _least(cost, round(sum(asked) * part.covered[0]))
    return _solution(plain, rates, levels, network, "recursive optimisation")


def _read(
    system: Network | TreeSystem, demand: Sequence[Any], lane: int | None
) -> tuple[Network | None, TreeSystem, list[float]]:
    network = system if isinstance(system, Network) else None
    plain = tree_system(system, lane=lane) if isinstance(system, Network) else system
    rates = poisson_rates([as_law(x) for x in demand])
    plain.flow(rates)  # one for each leaf
    return network, plain, rates


def _subtree(system: TreeSystem, root: int) -> list[int]:
    """``root`` and all below it, every node after the one that feeds it."""
    found = [root]
    for m in range(root + 1, len(system.parent)):
        if system.parent[m] in found:
            found.append(m)
    return found


def _least(cost: Callable[[int], float], start: int) -> int:
    """The smallest minimiser of a convex function of 0, 1, 2, ...: ever longer steps, then ever shorter ones."""
    known: dict[int, float] = {}

    def at(s: int) -> float:
        if s not in known:
            known[s] = cost(s)
        return known[s]

    best, step = max(0, start), 1
    while True:
        ahead, back = best + step, max(0, best - step)
        if at(ahead) < at(best) - 1e-12:
            best, step = ahead, 2 * step
        elif at(back) <= at(best) + 1e-12 and back < best:
            best, step = back, 2 * step
        elif step > 1:
            step = step // 2
        else:
            return best


def _solution(
    system: TreeSystem, rates: Sequence[float], levels: Sequence[int], network: Network | None, method: str
) -> Solution:
    found = one_for_one(system, rates, levels)
    fair = network is None or all(len(m) <= 1 for m in system.children)
    return base_stock_solution(system, levels, found.cost, network).replace(
        method=method,
        reference=_REFERENCE,
        constant_cost=system.constant_cost(rates),
        claim="exact" if fair else "approximate",
        numbers={"owed": tuple(found.owed.tolist())},
    )


def _unfit(problem: Problem) -> str | None:
    reason = not_average(problem) or not_tree(problem.network)
    if reason is None and not all(isinstance(law, Poisson) for law in problem.laws):
        return "demand must be Poisson: `search` finds base-stock levels for other laws"
    return reason


def _unfit_for_newsvendor(problem: Problem) -> str | None:
    reason = _unfit(problem)
    if reason is None:
        plain = tree_system(problem.network)
        h = plain.holding_cost
        if any(h[n] <= (h[p] if p >= 0 else 0.0) for n, p in enumerate(plain.parent)):
            return "its newsvendor levels need holding rates that rise downstream; `recursive_optimisation` does not"
    return reason


METHODS = (
    Method(
        "decomposition_aggregation",
        "decomposition-aggregation: base-stock levels of a distribution tree",
        "approximate",
        lambda problem: decomposition_aggregation(problem.network, problem.laws),
        _unfit_for_newsvendor,
        1,
    ),
    Method(
        "recursive_optimisation",
        "recursive optimisation: base-stock levels of a distribution tree",
        "approximate",
        lambda problem: recursive_optimisation(problem.network, problem.laws),
        _unfit,
        1,
    ),
)
