"""(r, nQ) under periodic review with backorders: exact cost, and the best reorder point and lot jointly.

Where the position is at or below r, the fewest lots of Q are ordered that lift it above (as `ReorderLots` does). With
demand in whole units the position after ordering is then uniform on r + 1 .. r + Q, and independent of what is asked
for next, so that an order is placed with probability E[min(D, Q)] / Q and

    c(r, Q) = (K E[min(D, Q)] + sum_{y = r+1 .. r+Q} G(y)) / Q.

G is convex, so the best Q positions are Q neighbours, and those for Q + 1 hold those for Q: all lots are compared in
one sweep over positions in the order of their cost. Their average A(Q) rises with Q and never exceeds c, so the sweep
may end where A(Q) passes the best cost that was found. (With a fixed cost that falls as 1 / Q, as it does where units
are asked for one by one, c has one valley, and this is the algorithm of Federgruen and Zheng; here it need not have.)

Hadley and Whitin, Analysis of Inventory Systems (1963), section 5-3; Veinott, Operations Research 13(3), 1965,
https://doi.org/10.1287/opre.13.3.424 (given lots, no fixed cost: optimal among all policies); Federgruen and Zheng,
Operations Research 40(4), 1992, https://doi.org/10.1287/opre.40.4.808.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from meio_jax.errors import NumberError, UnsuitableError
from meio_jax.network import Network
from meio_jax.policies.reorder import ReorderLots
from meio_jax.solvers.laws import Law
from meio_jax.solvers.method import Method
from meio_jax.solvers.newsvendor import newsvendor
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.single_stage import LARGEST_TABLE, Stage, as_stage, counts, unfit
from meio_jax.solvers.solution import Solution, column

__all__ = ["METHODS", "Lots", "best_lots", "lots_cost", "r_nQ", "r_nQ_cost", "whole_lots"]

_TAKES = ("fixed_order_cost", "lot_size")
_INSTEAD = (
    "`r_Q` takes normal demand under continuous review; clipped_normal(mean, sd) is normal demand on a fine lattice"
)
_REFERENCE = "Federgruen & Zheng 1992; Veinott 1965"


class Lots(NamedTuple):
    """The best reorder point and lot, in steps of the lattice, and their cost without what no policy changes."""

    reorder: int
    lot: int
    cost: float
    swept: int


def best_lots(
    G: Callable[[Any], np.ndarray],
    start: int,
    p: np.ndarray,
    fixed: float,
    *,
    guess: int,
    lot: int = 0,
    multiple: int = 1,
) -> Lots:
    """The best lot and reorder point for a convex cost of positions.

    Args:
      G: from positions in steps ``[n]`` to money per unit of time.
      start: its minimiser.
      p: ``[K]`` probabilities of 0, 1, 2, ... steps being asked for at once.
      fixed: money per order, times how often in a unit of time something may be asked for.
      guess: a sensible lot, to start from.
      lot: only this one; 0: all.
      multiple: only whole multiples of this.

    Raises:
      NumberError: the table that is needed is too large.
    """
    # E[min(D, Q)], the sum of P(D > k) over k < Q.
    tail = np.append(np.cumsum(p[::-1])[::-1][1:], 0.0)

    def placed(n: int) -> np.ndarray:
        """``[n]`` probability of an order for the lots 1 .. n."""
        more = np.zeros(n)
        more[: min(n, tail.size)] = tail[:n]
        return np.cumsum(more) / np.arange(1, n + 1)

    half, k = lot or guess + multiple, 0
    while True:
        if half > LARGEST_TABLE:
            raise NumberError(f"a lot of about {guess} steps needs too large a table: use larger units")
        at = np.arange(start - half, start + half + 1)
        costs = G(at)
        # The sublevel set within the table holds every neighbour that is cheaper than the cheaper edge.
        order = np.argsort(costs, kind="stable")
        order = order[: int(np.count_nonzero(costs < min(costs[0], costs[-1])))]
        average = np.cumsum(costs[order]) / np.arange(1, order.size + 1)
        total = average + fixed * placed(order.size)
        allowed = slice(lot - 1, lot) if lot else slice(multiple - 1, None, multiple)
        if total[allowed].size:
            k = int(np.argmin(total[allowed])) * (0 if lot else multiple) + (lot or multiple)
            if lot or average[-1] >= total[k - 1]:
                break
        half *= 2
    reorder = int(at[order[:k]].min()) - 1
    return Lots(reorder, k, lots_cost(G, reorder, k, p, fixed), order.size)


def lots_cost(G: Callable[[Any], np.ndarray], reorder: int, lot: int, p: np.ndarray, fixed: float) -> float:
    """The cost of any reorder point and lot, in steps; arguments as for `best_lots`."""
    placed = float(np.minimum(np.arange(p.size), lot) @ p) / lot
    return fixed * placed + float(np.mean(G(np.arange(reorder + 1, reorder + lot + 1))))


def r_nQ(system: Network | Stage, demand: Any, *, lot: float | None = None, lane: int | None = None) -> Solution:
    """The best (r, nQ) policy and its long-run average cost per period.

    Where the system orders in given lots the best whole multiple of these is found; without a fixed cost it is the lot
    itself, and the policy is optimal among all.

    Args:
      system: a one-node `Network` with backorders, or a `Stage`.
      demand: of one period, on a lattice that meets 0; see `as_law`.
      lot: Q, units, where it is given and only r is to be found.
      lane: which lane's numbers of a network.

    Returns:
      numbers: ``reorder`` r (order at or below), ``lot`` Q, ``orders`` per period; a policy that plays them where a
      network was given.

    Raises:
      UnsuitableError: the network is no such stage, demand is not on such a lattice, or comes only in multiples of
        several steps (then where one starts matters for ever); says what can treat it.
      UnboundedError: a rate is 0.
      NumberError: a lot is no whole multiple of a step of demand, or the table that is needed is too large.
    """
    stage, law, step, p = _read(system, demand, lane)
    stage.check_bounded()
    given = 0 if lot is None else whole_lots("lot", lot, step)
    multiple = whole_lots("lot_size", stage.lot, step) if stage.lot else 1
    if given % multiple:
        raise NumberError(f"lot = {lot:g} is no multiple of the lots of {stage.lot:g} that the system orders in")
    h, b = stage.holding_cost, stage.backlog_cost
    start = round(newsvendor(law.over(stage.covered), h, b).echelon_levels[0] / step)
    G = stage.position_cost(law)
    guess = max(1, round(math.sqrt(2 * stage.fixed_cost * law.mean * (h + b) / (h * b)) / step))
    found = best_lots(lambda y: G(step * y), start, p, stage.fixed_cost, guess=guess, lot=given, multiple=multiple)
    solution = _solution(stage, law, p, system, found.reorder, found.lot, step, found.cost, "(r, nQ), exact")
    optimal = stage.fixed_cost == 0 and found.lot == multiple
    bounds = {"claim": "optimal", "lower_bound": solution.cost} if optimal else {}
    return solution.replace(details={"swept": found.swept}, **bounds)


def r_nQ_cost(reorder: float, lot: float, system: Network | Stage, demand: Any, *, lane: int | None = None) -> Solution:
    """The long-run average cost per period of any (r, nQ), without error; arguments as for `r_nQ`.

    Raises:
      as `r_nQ`; `NumberError` also where the reorder point is not on the lattice. A rate of 0 is allowed.
    """
    stage, law, step, p = _read(system, demand, lane)
    size = whole_lots("lot", lot, step)
    if stage.lot and size % whole_lots("lot_size", stage.lot, step):
        raise NumberError(f"lot = {lot:g} is no multiple of the lots of {stage.lot:g} that the system orders in")
    if not (math.isfinite(reorder) and abs(reorder / step - round(reorder / step)) <= 1e-9):
        raise NumberError(f"reorder = {reorder:g} must be a whole multiple of {step:g}, as demand is")
    G = stage.position_cost(law)
    cost = lots_cost(lambda y: G(step * y), round(reorder / step), size, p, stage.fixed_cost)
    return _solution(stage, law, p, system, round(reorder / step), size, step, cost, "(r, nQ), given")


def whole_lots(what: str, size: float, step: float) -> int:
    """A lot in steps of the lattice of demand. Raises `NumberError` where it is none, or not positive."""
    n = round(size / step) if 0 < size / step <= LARGEST_TABLE else 0
    if n < 1 or abs(size / step - n) > 1e-9:
        raise NumberError(f"{what} = {size:g} must be a positive whole multiple of {step:g}, as demand is")
    return n


def _read(system: Network | Stage, demand: Any, lane: int | None) -> tuple[Stage, Law, float, np.ndarray]:
    stage, law = as_stage(system, demand, takes=_TAKES, lane=lane)
    step, p = counts(law, instead=_INSTEAD)
    common = int(np.gcd.reduce(np.flatnonzero(p))) if p.size > 1 else 0
    if common != 1:
        why = f"comes in multiples of {common * step:g} only: count in these" if common else "is 0: nothing is ordered"
        raise UnsuitableError(f"demand {why}")
    return stage, law, step, p


def _solution(
    stage: Stage, law: Law, p: np.ndarray, system: Any, reorder: int, lot: int, step: float, cost: float, method: str
) -> Solution:
    constant = stage.constant_cost(law.mean)
    played: dict[str, Any] = {}
    if isinstance(system, Network):
        theta = {"reorder": column([reorder * step], system), "lot": column([lot * step], system)}
        played = {"policy": ReorderLots(), "theta": theta}
    orders = float(np.minimum(np.arange(p.size), lot) @ p) / lot
    return Solution(
        cost + constant, method=method, constant_cost=constant, reference=_REFERENCE, upper_bound=cost + constant,
        numbers={"reorder": reorder * step, "lot": lot * step, "orders": orders}, **played,
    )  # fmt: skip


def _solve(problem: Problem) -> Solution:
    return r_nQ(problem.network, problem.laws[0])


METHODS: tuple[Method, ...] = (
    Method(
        "r_nQ", "best (r, nQ) of one stage with backorders, given lots or not", "exact", _solve,
        functools.partial(unfit, takes=_TAKES, whole=True),
    ),
)  # fmt: skip
