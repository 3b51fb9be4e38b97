"""(s, S) under periodic review with backorders and a fixed cost: exact optimum, exact cost of any pair, approximation.

With p_j the probability of demand j in a period and G(y) the cost of position y (`meio_jax.solvers.single_stage`), the
positions of a cycle are S less a renewal process, and with m(j) the expected periods spent j below S

    m(0) = 1 / (1 - p_0),    m(j) = sum_{i=1..j} p_i m(j - i) / (1 - p_0),
    c(s, S) = (K + sum_{j < S - s} m(j) G(S - j)) / sum_{j < S - s} m(j),

an order being placed where the position is at or below s (as `ReorderUpTo` does). A policy of this form is optimal
among all: Scarf (1960), Iglehart (1963).

The minimum is that of a ratio. For a guess c of it the best pair of "cost less c for every period" has s(c) = the
largest y below the minimiser of G with G(y) >= c, whatever S is, so one convolution of m with G - c gives the best S;
its own cost is the next guess, and where that is no lower the pair is optimal. It ends at the pair that the search of
Zheng and Federgruen finds, after a handful of convolutions instead of a walk over pairs.

Zheng and Federgruen, Operations Research 39(4), 1991, https://doi.org/10.1287/opre.39.4.654; Dinkelbach, Management
Science 13(7), 1967, https://doi.org/10.1287/mnsc.13.7.492 (ratios); Ehrhardt and Mosier, Management Science 30(5),
1984, https://doi.org/10.1287/mnsc.30.5.618.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import signal, special

from meio_jax.errors import NumberError, UnsuitableError
from meio_jax.network import Network
from meio_jax.policies.reorder import ReorderUpTo
from meio_jax.solvers.laws import Law, convolve
from meio_jax.solvers.method import Method
from meio_jax.solvers.newsvendor import newsvendor
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.single_stage import LARGEST_TABLE, Stage, as_stage, counts, unfit
from meio_jax.solvers.solution import Solution, column

__all__ = ["METHODS", "power_approximation", "s_S", "s_S_cost"]

_TAKES = ("fixed_order_cost",)
_INSTEAD = (
    "clipped_normal(mean, sd) or discretised(...) put it on a fine lattice, and without a fixed cost `base_stock` "
    "takes it as it is"
)
_REFERENCE = "Zheng & Federgruen 1991"


def _renewals(p: np.ndarray, n: int) -> np.ndarray:
    """``[n]`` m(j), the expected periods that a cycle spends j steps below where it began."""
    still = 1.0 - p[0]
    start = np.zeros(n)
    start[0] = 1.0 / still
    return np.asarray(signal.lfilter([1.0], np.append(1.0, -p[1:] / still), start))


def _ratio(fixed: float, m: np.ndarray, g: np.ndarray) -> float:
    """c(s, S) from ``m[j]`` and ``g[j]`` = G(S - j), j < S - s."""
    return float((fixed + m @ g) / m.sum())


def s_S(system: Network | Stage, demand: Any, *, lane: int | None = None) -> Solution:
    """The optimal (s, S) policy, which is optimal among all policies, and its long-run average cost per period.

    Args:
      system: a one-node `Network` with backorders, or a `Stage`.
      demand: of one period, on a lattice that meets 0 (whole units, or any other step); see `as_law`.
      lane: which lane's numbers of a network.

    Returns:
      numbers: ``reorder`` s (order at or below), ``up_to`` S, ``orders`` per period; a policy that plays them where a
      network was given.

    Raises:
      UnsuitableError: the network is no such stage, or demand is not on such a lattice; says what can treat it.
      UnboundedError: a rate is 0.
      NumberError: the table that is needed is too large.
    """
    stage, law = as_stage(system, demand, takes=_TAKES, lane=lane)
    stage.check_bounded()
    step, p = counts(law, instead=_INSTEAD)
    best = round(newsvendor(law.over(stage.covered), stage.holding_cost, stage.backlog_cost).echelon_levels[0] / step)
    G, fixed = stage.position_cost(law), stage.fixed_cost
    if p[0] == 1.0:  # nobody ever asks for anything
        return _solution(stage, law, system, (best - 1) * step, best * step, 0.0, 0.0, "(s, S), exact", 0)
    # A start from the deterministic lot, spread around the minimiser of G as its backorders are.
    h, b = stage.holding_cost, stage.backlog_cost
    lot = max(1, round(math.sqrt(2 * fixed * law.mean * (h + b) / (h * b)) / step))
    up = best + math.floor((lot - 1) * b / (h + b))
    m = _renewals(p, _checked(lot))
    cost = _ratio(fixed, m, G(step * (up - np.arange(lot))))
    pair, rounds = (up - lot, up), 0
    low, high = _reaches(G, best, step, cost)
    g = G(step * np.arange(low, high + 1))
    m = _renewals(p, _checked(high - low + 1))
    while True:
        rounds += 1
        # Positions cheaper than the guess: an interval around the minimiser, as G is convex.
        inside = np.flatnonzero(g < cost)
        first, last = (int(inside[0]), int(inside[-1])) if inside.size else (best - low, best - low)
        n = last - first + 1
        over = convolve(m[:n], g[first : last + 1] - cost)[:n]
        k = int(np.argmin(over))
        found = _ratio(fixed, m[: k + 1], g[first : first + k + 1][::-1])
        if not found < cost:
            break
        cost, pair = found, (low + first - 1, low + first + k)
    orders = 1.0 / float(m[: pair[1] - pair[0]].sum())
    return _solution(stage, law, system, pair[0] * step, pair[1] * step, cost, orders, "(s, S), exact", rounds)


def _checked(n: int) -> int:
    if n > LARGEST_TABLE:
        raise NumberError(f"the order-up-to table needs {n} entries, because of the fixed cost: use larger units")
    return n


def _reaches(G: Callable[[Any], np.ndarray], best: int, step: float, cost: float) -> tuple[int, int]:
    """The lattice points furthest from the minimiser, down and up, at which the convex G is at most ``cost``."""

    def reach(sign: int) -> int:
        far = 1
        while G(step * (best + sign * far)) <= cost:
            far = _checked(2 * far)
        near = far // 2
        while far - near > 1:
            middle = (near + far) // 2
            near, far = (middle, far) if G(step * (best + sign * middle)) <= cost else (near, middle)
        return best + sign * near

    return reach(-1), reach(1)


def s_S_cost(
    reorder: float, up_to: float, system: Network | Stage, demand: Any, *, lane: int | None = None
) -> Solution:
    """The long-run average cost per period of any (s, S), without error; arguments as for `s_S`.

    As `ReorderUpTo` has it, an ``up_to`` below ``reorder`` counts as ``reorder``. Neither need lie on the lattice.

    Raises:
      as `s_S`; `NumberError` also where a level is not finite. A rate of 0 is allowed.
    """
    for name, x in (("reorder", reorder), ("up_to", up_to)):
        if not math.isfinite(x):
            raise NumberError(f"{name} = {x:g} must be finite")
    stage, law = as_stage(system, demand, takes=_TAKES, lane=lane)
    step, p = counts(law, instead=_INSTEAD)
    up = max(reorder, up_to)
    if p[0] == 1.0:
        cost, orders = float(stage.position_cost(law)(up)), 0.0
    else:
        # Where s = S the position is below S whenever anything was asked for: the same as s just below S.
        n = _checked(max(1, math.ceil((up - reorder) / step - 1e-9)))
        m = _renewals(p, n)
        cost = _ratio(stage.fixed_cost, m, stage.position_cost(law)(up - step * np.arange(n)))
        orders = 1.0 / float(m.sum())
    found = _solution(stage, law, system, reorder, up, cost, orders, "(s, S), given", 0)
    return found.replace(claim="exact", lower_bound=-math.inf, upper_bound=found.cost)


def power_approximation(system: Network | Stage, demand: Any, *, lane: int | None = None) -> Solution:
    """The revised power approximation of (s, S) from two moments (Ehrhardt and Mosier 1984), and its exact cost.

    For a lattice the levels are rounded to it. For continuous demand they come back without a cost that is known: it is
    NaN, and ``claim`` says "approximate".

    Raises:
      UnsuitableError, UnboundedError: as `s_S`; also where demand does not vary or nothing is asked for.
    """
    stage, law = as_stage(system, demand, takes=_TAKES, lane=lane)
    stage.check_bounded()
    covered = law.over(stage.covered)
    if not (law.mean > 0 and covered.sd > 0):
        raise UnsuitableError("the power approximation needs demand that varies: `eoq` is for demand that does not")
    h, b = stage.holding_cost, stage.backlog_cost
    spread = (1 + (covered.sd / law.mean) ** 2) ** 0.116
    lot = 1.30 * law.mean**0.494 * (stage.fixed_cost / h) ** 0.506 * spread
    z = math.sqrt(lot * h / (covered.sd * b))
    level = covered.mean + covered.sd * float(special.ndtri(stage.fractile))
    if z > 0:
        reorder = 0.973 * covered.mean + covered.sd * (0.183 / z + 1.063 - 2.192 * z)
    else:
        reorder = level
    up = reorder + lot
    if lot <= 1.5 * law.mean:  # small lots: nothing above the base-stock level
        reorder, up = min(reorder, level), min(up, level)
    numbers = {"reorder": reorder, "up_to": up}
    if law.step is None:
        return Solution(
            math.nan, method="power approximation", reference="Ehrhardt & Mosier 1984", claim="approximate",
            numbers=numbers,
        )  # fmt: skip
    reorder, up = (law.step * round(x / law.step) for x in (reorder, up))
    found = s_S_cost(reorder, up, system, law, lane=lane)
    return found.replace(method="power approximation", reference="Ehrhardt & Mosier 1984", details=numbers)


def _solution(
    stage: Stage, law: Law, system: Any, reorder: float, up: float, cost: float, orders: float, method: str, rounds: int
) -> Solution:
    constant = stage.constant_cost(law.mean)
    total = cost + constant
    played: dict[str, Any] = {}
    if isinstance(system, Network):
        theta = {"reorder": column([reorder], system), "up_to": column([up], system)}
        played = {"policy": ReorderUpTo(), "theta": theta}
    return Solution(
        total, method=method, constant_cost=constant, reference=_REFERENCE, claim="optimal",
        lower_bound=total, upper_bound=total,
        numbers={"reorder": float(reorder), "up_to": float(up), "orders": orders}, details={"rounds": rounds},
        **played,
    )  # fmt: skip


def _solve(problem: Problem) -> Solution:
    return s_S(problem.network, problem.laws[0])


METHODS: tuple[Method, ...] = (
    Method(
        "s_S", "optimal (s, S) of one stage with a fixed order cost and backorders", "optimal", _solve,
        functools.partial(unfit, takes=_TAKES, whole=True),
    ),
)  # fmt: skip
