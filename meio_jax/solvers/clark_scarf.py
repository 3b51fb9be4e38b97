"""The exact optimum of a serial system with backorders (Clark and Scarf 1960).

Stages are ordered as nodes are, upstream first; write h'_1 <= ... <= h'_N for their local holding rates, h_j = h'_j -
h'_{j-1} for their echelon rates, H for the sum of these (h'_N), b for the backorder rate and D_j for the demand over
the periods that stage j's echelon position must cover. From the customer upstream, with G_{N+1}(x) = (b + H) [-x]+:

    C_j(y) = E[h_j (y - D_j) + G_{j+1}(y - D_j)],   S_j = argmin C_j,   G_j(x) = C_j(min(S_j, x)),

and C_1(S_1) is the optimal long-run average cost with stock in transit charged at the local rate of where it came from;
S_j are the optimal echelon base-stock levels. Any other levels put in place of the minimisers give the cost of the
echelon base-stock policy with these levels.

Clark and Scarf, Management Science 6(4), 1960, https://doi.org/10.1287/mnsc.6.4.475; Chen and Zheng, Management Science
40(11), 1994, https://doi.org/10.1287/mnsc.40.11.1426; Snyder and Shen, 2nd edition, section 6.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from meio_jax.errors import InputError, NumberError
from meio_jax.network import Network
from meio_jax.solvers import convex_order
from meio_jax.solvers.lattice import extended, minimum
from meio_jax.solvers.laws import Law, Normal, as_law, convolve
from meio_jax.solvers.method import Method
from meio_jax.solvers.plain import not_average
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.serial import SerialSystem, not_serial, serial_system
from meio_jax.solvers.solution import Solution, plays_echelon_levels

__all__ = ["METHODS", "Recursion", "SerialSystem", "clark_scarf", "recursion", "serial_system"]

#: Lattice points in a standard deviation of the shortest lead-time demand, where demand is continuous.
FINENESS = 100
#: No lattice is finer.
FINEST = 10_000
#: Proven bounds are widened by this share of the backorder cost of a standard deviation, for rounding.
ROUNDING = 1e-10
_REFERENCE = "Clark & Scarf 1960; Chen & Zheng 1994; Snyder & Shen 2019, section 6.2"


def clark_scarf(
    system: Network | SerialSystem,
    demand: Any,
    *,
    levels: Sequence[float] | None = None,
    lead_time_demand: Sequence[Any] | None = None,
    tolerance: float | None = None,
    lane: int | None = None,
) -> Solution:
    """The optimal echelon base-stock policy of a serial system, or the cost of a given one, per period in the long run.

    Lattice demand (`Poisson`, `Pmf`) is computed without error but rounding. Continuous demand is computed on a
    lattice, on which the trapezoidal rule is within about 1e-6 of the cost; ``lower_bound`` and ``upper_bound`` are
    proven by lattice laws on either side of it in the convex order (`meio_jax.solvers.convex_order`), and
    ``details["error"]`` is their distance. They bound the optimum, also where other levels are evaluated, whose cost is
    then only computed. A stage whose local rate is below that of the stage before it should take all there is: its
    echelon level is infinite.

    Where orders travel between stages (`Arc.order_delay`) the policy is optimal among those that ship what is owed, so
    its cost is claimed to be exact only, without a lower bound; ``local_levels`` is then empty, as stages that see only
    themselves pay more.

    Args:
      system: a serial `Network`, or plain numbers.
      demand: of one period, independent between periods; see `meio_jax.solvers.laws.as_law`.
      levels: ``[N]`` echelon levels to evaluate instead of optimising, upstream first.
      lead_time_demand: ``[N]`` laws of the demand that each stage's echelon position covers (with the extra period that
        the timing asks for), where they are not sums of the demand of ``system.covered`` periods.
      tolerance: choose the coarsest lattice on which the bounds are proven to lie within this share of the cost; None:
        `FINENESS` points a standard deviation, bounds within about 2e-5.
      lane: which lane's numbers of a network.

    Raises:
      UnsuitableError: the network is not serial, or has features that the recursion has no word for.
      InputError: lengths differ.
      NumberError: a level is NaN, or the tolerance cannot be met.
      ParameterError: demand is out of its domain, or not defined over a fraction of a period.
    """
    network = system if isinstance(system, Network) else None
    if isinstance(system, Network):
        system = serial_system(system, lane=lane)
    law, stages = as_law(demand), len(system.holding_cost)
    if lead_time_demand is None:
        laws: list[Law] = [law.over(t) for t in system.covered]
    else:
        laws = [as_law(x) for x in lead_time_demand]
    for name, given in (("levels", levels), ("lead_time_demand", lead_time_demand)):
        if given is not None and len(given) != stages:
            raise InputError(f"{name} has {len(given)} values, and there are {stages} stages (upstream first)")
    rates = system.echelon_holding_cost
    mean = law.mean
    # The recursion charges stock in transit at the rate of where it came from, and an upper stage's stock before the
    # demand of the period in which it arrives.
    transit = mean * sum(t * h for t, h in zip(system.lead_time[1:], system.holding_cost[:-1], strict=True))
    early = mean * sum(rates[:-1]) if system.timing == "order_first" else 0.0
    constant = system.constant_cost(mean)
    shift = constant - transit - early
    found = recursion(rates, laws, system.backlog_cost, levels=levels, tolerance=tolerance, shift=shift)
    reached = np.minimum.accumulate(found.levels)  # no stage can hold more than the stages before it let through
    played = {} if network is None else plays_echelon_levels(network, reached)
    # With mail between stages a planner who orders early and holds back what is owed could still ship on later news.
    mail = network is not None and any(
        network.wiring.order_delay[e] for e in range(stages) if network.wiring.src[e] >= 0
    )
    return Solution(
        found.cost,
        found.levels,
        () if mail else tuple(float(x) for x in reached - np.append(reached[1:], 0.0)),
        "Clark-Scarf" if levels is None else "echelon base stock",
        constant,
        _REFERENCE,
        claim="optimal" if levels is None and not mail else "exact",
        lower_bound=-math.inf if mail else found.lower,
        upper_bound=found.upper,
        details={"error": found.upper - found.lower, "fineness": found.fineness},
        **played,
    )


class Recursion(NamedTuple):
    """What the recursion says: levels ``[N]``; money per period; points a standard deviation (None: exact lattice)."""

    levels: tuple[float, ...]
    cost: float
    lower: float
    upper: float
    fineness: float | None


def recursion(
    rates: Sequence[float],
    laws: Sequence[Law],
    backlog_cost: float,
    *,
    levels: Sequence[float] | None = None,
    tolerance: float | None = None,
    shift: float = 0.0,
) -> Recursion:
    """Optimal echelon levels (or the cost of given ones) of stages in series, with proven bounds on the optimum.

    Args:
      rates: ``[N]`` echelon holding rates, upstream first; laws: ``[N]`` demand that each stage's position covers.
      shift: constant cost to add.

    Raises:
      InputError, NumberError: as `clark_scarf`.
    """
    if levels is not None and np.any(np.isnan(np.asarray(levels, float))):
        raise NumberError("levels: NaN")
    if tolerance is not None and not tolerance > 0:
        raise NumberError(f"tolerance = {tolerance:g} must be positive: a share of the cost")
    least = min((law.sd for law in laws if law.sd > 0), default=0.0)
    rounding = ROUNDING * (backlog_cost + sum(rates)) * math.fsum(law.sd for law in laws)
    if not least or any(law.step is not None for law in laws if law.sd > 0):
        step = next((law.step for law in laws if law.step is not None), 1.0)
        found, cost = _on_lattice(rates, laws, backlog_cost, levels, step)
        best = cost if levels is None else _on_lattice(rates, laws, backlog_cost, None, step)[1]
        return Recursion(found, cost + shift, best + shift - rounding, best + shift + rounding, None)
    # The bounds' distance falls with the square of the step; on a lattice of 10 points it tells how far to go.
    fineness = FINENESS if tolerance is None else 10.0
    while True:
        step = least / fineness
        found, cost = _on_lattice(rates, laws, backlog_cost, levels, step)
        if not all(isinstance(law, Normal) for law in laws):
            return Recursion(found, cost + shift, -math.inf, math.inf, fineness)
        normals = [law for law in laws if isinstance(law, Normal)]
        lower, upper = (
            _on_lattice(rates, [side(law, step) for law in normals], backlog_cost, None, step)[1] + shift
            for side in (convex_order.below, convex_order.above)
        )
        lower, upper = lower - rounding, upper + rounding
        # A kink that no random demand smooths (a last lead time of 0) costs the trapezoidal rule more than the bounds.
        cost = max(cost, lower - shift)
        cost = min(cost, upper - shift) if levels is None else cost
        if tolerance is None or upper - lower <= tolerance * abs(cost + shift):
            return Recursion(found, cost + shift, lower, upper, fineness)
        if fineness >= FINEST:
            raise NumberError(
                f"tolerance = {tolerance:g}: the bounds stay {upper - lower:g} apart on the finest lattice"
            )
        wanted = fineness * math.sqrt((upper - lower) / (tolerance * max(abs(cost + shift), 1e-300)))
        fineness = min(FINEST, max(1.2 * fineness, 1.02 * wanted))


def _on_lattice(
    rates: Sequence[float], laws: Sequence[Law], backlog_cost: float, levels: Sequence[float] | None, step: float
) -> tuple[tuple[float, ...], float]:
    """Levels (the best ones, or as given) and cost, in-transit stock charged at the rate of where it came from.

    C_j is kept on the lattice ``origin + step (0 .. n - 1)``, outside of which it is exactly linear with known slopes.
    Given levels need not lie on that lattice: each brings its own shifted copy of it (a row), on which it does.
    """
    steps = {law.step for law in laws if law.sd > 0}
    if len(steps) > 1:
        raise InputError("the laws of lead-time demand must be all continuous or on lattices of one step")
    smooth = steps == {None}
    tables = [law.lattice(step) if law.sd > 0 else (law.mean, np.ones(1)) for law in laws]
    stages, penalty = len(laws), backlog_cost + sum(rates)
    origins = [-step + sum(first for first, _ in tables[j:]) for j in range(stages)] + [-step]
    shifts = [0.0] * stages  # of the row on which the level of a stage lies
    if levels is not None:
        for j, level in enumerate(levels):
            if math.isfinite(level):
                off = (level - origins[j]) / step
                shifts[j] = max(0.0, off - math.floor(off + 1e-9)) * step
    # G_{N+1} on three points is enough: it is linear on both sides of 0.
    origin, low_slope, high_slope = -step, -penalty, 0.0
    rows = np.maximum(-(origin + step * np.arange(3) + np.asarray(shifts)[:, None]), 0.0) * penalty
    found, value = [0.0] * stages, 0.0
    for j in reversed(range(stages)):
        first, p = tables[j]
        n, width = rows.shape[1], p.size - 1
        rows = extended(rows[: j + 1], width, width, low_slope, high_slope, step)  # only rows of stages above remain
        origin += first
        at = origin + step * np.arange(n + width) + np.asarray(shifts[: j + 1])[:, None]
        if j == stages - 1 and smooth:  # no lattice needed yet, nor its error at the kink
            rows = penalty * laws[j].loss(at)
        else:
            rows = np.stack([convolve(row, p, "valid") for row in rows])
        rows += rates[j] * (at - laws[j].mean)
        low_slope, high_slope = low_slope + rates[j], high_slope + rates[j]
        if levels is None:
            curved = smooth and any(law.sd > 0 for law in laws[j:])  # else a kink, which lies on the lattice
            level, value = minimum(rows[0], at[0], high_slope, curved, 1e-12 * penalty)
        else:
            level = float(levels[j])
            rows, origin, value = _reaching(rows, origin, level, shifts[j], low_slope, high_slope, step)
            at = origin + step * np.arange(rows.shape[1]) + np.asarray(shifts[: j + 1])[:, None]
        found[j] = level
        if math.isfinite(level):
            rows = np.where(at >= level - 1e-9 * step, value, rows)
            high_slope = 0.0
    return tuple(found), value


def _reaching(
    rows: np.ndarray, origin: float, level: float, shift: float, low_slope: float, high_slope: float, step: float
) -> tuple[np.ndarray, float, float]:
    """Rows extended until they hold the level, their new origin, and the value at the level (on the last row)."""
    if not math.isfinite(level):
        if level < 0 or high_slope < 0:
            raise NumberError(f"levels: {level:g} has no finite cost")
        return rows, origin, math.inf
    k = round((level - shift - origin) / step)
    left, right = max(0, -k), max(0, k - rows.shape[1] + 2)  # one more: every row must end beyond the level
    if left + right > 5_000_000:
        raise NumberError(f"levels: {level:g} is far from all that demand can do")
    rows = extended(rows, left, right, low_slope, high_slope, step)
    return rows, origin - left * step, float(rows[-1, k + left])


def _unfit(problem: Problem) -> str | None:
    return not_average(problem) or not_serial(problem.network)


METHODS = (
    Method(
        "clark_scarf",
        "Clark-Scarf recursion: the optimum of a serial system",
        "optimal",
        lambda problem: clark_scarf(problem.network, problem.laws[0]),
        _unfit,
    ),
)
