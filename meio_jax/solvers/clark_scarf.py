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

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, NumberError
from meio_jax.network import Network
from meio_jax.solvers.laws import Law, as_law, convolve
from meio_jax.solvers.newsvendor import covered_periods
from meio_jax.solvers.solution import Solution

__all__ = ["SerialSystem", "clark_scarf", "serial_system"]

#: Lattice points in a standard deviation of the shortest lead-time demand, where demand is continuous.
FINENESS = 100
_REFERENCE = "Clark & Scarf 1960; Chen & Zheng 1994; Snyder & Shen 2019, section 6.2"


@dataclasses.dataclass(frozen=True)
class SerialSystem:
    """A serial system in plain numbers, upstream first.

    Attributes:
      holding_cost: ``[N]`` local rates, money per unit and period.
      lead_time: ``[N]`` periods from the stage before (or from outside) to each stage; fractions are allowed where the
        law of demand has them (normal, Poisson).
      backlog_cost: money per unit owed to the customer and period.
      transit_cost: ``[N]`` money per unit in transit to each stage and period; ``"upstream"`` is the local rate of
        where it came from, 0 from outside.
      timing: ``"demand_first"``, ``"order_first"`` or ``"ship_first"``.
      unit_cost: money per unit that passes through the whole system (purchase, operation); no policy changes it.

    Raises:
      InputError: the lengths differ.
      NumberError: a number is NaN, negative or absurdly large.
      UnknownNameError: there is no such timing.
    """

    holding_cost: Sequence[float]
    lead_time: Sequence[float]
    backlog_cost: float
    transit_cost: Sequence[float] | str | float = 0.0
    timing: str = "order_first"
    unit_cost: float = 0.0

    def __post_init__(self) -> None:
        stages = len(self.holding_cost)
        if not stages:
            raise InputError("a serial system needs at least one stage")
        transit = self.transit_cost
        if isinstance(transit, str):
            if transit != "upstream":
                raise InputError(f"transit_cost {transit!r} is neither numbers nor 'upstream'")
            transit = (0.0, *list(self.holding_cost)[:-1])
        elif np.ndim(transit) == 0:
            transit = (transit,) * stages  # type: ignore[assignment]
        rows = {"holding_cost": self.holding_cost, "lead_time": self.lead_time, "transit_cost": transit}
        for name, values in rows.items():
            numbers = tuple(float(x) for x in values)  # type: ignore[union-attr]
            if len(numbers) != stages:
                raise InputError(f"{name} has {len(numbers)} values, and there are {stages} stages (upstream first)")
            object.__setattr__(self, name, numbers)
        for name in (*rows, "backlog_cost", "unit_cost"):
            for x in np.ravel(getattr(self, name)):
                if not 0 <= x <= LARGEST:
                    raise NumberError(f"{name} = {x:g} is outside [0, {LARGEST:g}]")
        if self.backlog_cost == 0:
            raise NumberError("backlog_cost is 0: it would be best to serve nobody")
        covered_periods(0.0, self.timing, serves_customers=True)

    @property
    def echelon_holding_cost(self) -> tuple[float, ...]:
        """``[N]`` what each stage's local rate adds to that of the stage before it."""
        return tuple(float(x) for x in np.diff(np.asarray(self.holding_cost), prepend=0.0))

    @property
    def covered(self) -> tuple[float, ...]:
        """``[N]`` periods of demand that each stage's echelon position must cover."""
        last = len(self.lead_time) - 1
        return tuple(covered_periods(t, self.timing, serves_customers=j == last) for j, t in enumerate(self.lead_time))

    def constant_cost(self, mean: float) -> float:
        """Cost per period that no policy changes, for a mean demand per period: in transit, purchase, operation."""
        return mean * (float(np.dot(self.transit_cost, self.lead_time)) + self.unit_cost)


def serial_system(network: Network, *, lane: int | None = None) -> SerialSystem:
    """A serial network as plain numbers, all of whose costs are kept (revenue is not a cost).

    Args:
      network: serial, with backorders and without whatever a Clark-Scarf recursion has no word for.
      lane: which lane's numbers; needed only where numbers differ between lanes.

    Raises:
      InputError: the network is no such system; says why.
    """
    w = network.wiring
    inner, last = range(w.n_inner), w.n_nodes - 1
    chain = all(w.src[e] == w.dst[e] - 1 for e in inner) and sorted(w.dst[: w.n_inner]) == list(range(w.n_nodes))
    if not chain or w.n_customers != 1 or w.src[-1] != last:
        raise InputError("the network is not serial: one supplier, a chain of nodes and one customer at its end")

    def row(name: str, rows: int, empty: float) -> np.ndarray:
        """``[rows]`` of a leaf, or what its absence means."""
        leaf = getattr(network, name)
        if leaf is None:
            return np.full(rows, empty)
        values = np.asarray(leaf, float)
        if values.shape[-1] == 1:
            return values[:, 0]
        if lane is None:
            raise InputError(f"{name} differs between lanes: say which lane")
        return values[:, lane]

    n, arcs = w.n_nodes, w.n_arcs
    neutral = [
        ("capacity", n, math.inf), ("storage", n, math.inf), ("yield_", n, 1.0), ("shelf_life", n, math.inf),
        ("units", n, 1.0), ("fixed_order_cost", n, 0.0), ("lot_size", n, 0.0), ("minimum_order", n, 0.0),
        ("order_capacity", n, math.inf), ("erosion", 1, 0.0), ("keep", arcs, 1.0),
    ]  # fmt: skip
    for name, rows, value in neutral:
        if not np.all(row(name, rows, value) == value):
            raise InputError(f"{name} has no place in a Clark-Scarf recursion; it is exact only without it")
    if any(w.make_to_order):
        raise InputError("a node that makes to order holds no stock: leave it out and add its lead time to the next")
    backlog = row("backlog_cost", arcs, 0.0)
    if np.any(backlog[:-1]):
        raise InputError("backlog_cost between stages has no place in a Clark-Scarf recursion, only the customer's")
    into = np.argsort(w.dst[: w.n_inner])  # the arc into each node
    lead_time = row("lead_time", n, math.nan) if network.lead_time is not None else np.asarray(w.lead_time, float)
    # A unit passes every arc and every node once, so what it pays there is a constant.
    passing = row("unit_cost", n, 0.0).sum() + row("operating_cost", n, 0.0).sum()
    return SerialSystem(
        holding_cost=row("holding_cost", n, 0.0).tolist(),
        lead_time=np.round(lead_time[into]).tolist(),
        backlog_cost=float(backlog[-1]),
        transit_cost=row("transit_holding_cost", n, 0.0)[into].tolist(),
        timing=w.timing,
        unit_cost=float(passing),
    )


def clark_scarf(
    system: Network | SerialSystem,
    demand: Any,
    *,
    levels: Sequence[float] | None = None,
    lead_time_demand: Sequence[Any] | None = None,
    lane: int | None = None,
) -> Solution:
    """The optimal echelon base-stock policy of a serial system, or the cost of a given one, per period in the long run.

    Lattice demand (`Poisson`, `Pmf`) is computed without error, continuous demand within about 1e-6 of the cost. A
    stage whose local rate is below that of the stage before it should take all there is: its echelon level is infinite.

    Args:
      system: a serial `Network`, or plain numbers.
      demand: of one period, independent between periods; see `meio_jax.solvers.laws.as_law`.
      levels: ``[N]`` echelon levels to evaluate instead of optimising, upstream first.
      lead_time_demand: ``[N]`` laws of the demand that each stage's echelon position covers (with the extra period that
        the timing asks for), where they are not sums of the demand of ``system.covered`` periods.
      lane: which lane's numbers of a network.

    Raises:
      InputError: the network is not serial, has features that the recursion has no word for, or lengths differ.
      ParameterError: demand is out of its domain, or not defined over a fraction of a period.
    """
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
    if levels is not None and np.any(np.isnan(np.asarray(levels, float))):
        raise NumberError("levels: NaN")
    rates = system.echelon_holding_cost
    found, cost = _recursion(rates, laws, system.backlog_cost, levels)
    mean = law.mean
    # The recursion charges stock in transit at the rate of where it came from, and an upper stage's stock before the
    # demand of the period in which it arrives.
    transit = mean * sum(t * h for t, h in zip(system.lead_time[1:], system.holding_cost[:-1], strict=True))
    early = mean * sum(rates[:-1]) if system.timing == "order_first" else 0.0
    constant = system.constant_cost(mean)
    reached = np.minimum.accumulate(found)  # no stage can hold more than the stages before it let through
    local = tuple(float(x) for x in reached - np.append(reached[1:], 0.0))
    method = "Clark-Scarf" if levels is None else "echelon base stock"
    return Solution(cost - transit - early + constant, tuple(found), local, method, constant, _REFERENCE)


def _common_step(laws: Sequence[Law]) -> tuple[float, bool]:
    """The lattice of the computation, and whether demand really is continuous."""
    steps = {law.step for law in laws if law.sd > 0}
    if len(steps) > 1:
        raise InputError("the laws of lead-time demand must be all continuous or on lattices of one step")
    step = steps.pop() if steps else laws[0].step
    if step is not None:
        return step, False
    return min((law.sd for law in laws if law.sd > 0), default=1.0) / FINENESS, True


def _recursion(
    rates: Sequence[float], laws: Sequence[Law], backlog_cost: float, levels: Sequence[float] | None
) -> tuple[list[float], float]:
    """Levels (the best ones, or as given) and cost, in-transit stock charged at the rate of where it came from.

    C_j is kept on the lattice ``origin + step (0 .. n - 1)``, outside of which it is exactly linear with known slopes.
    Given levels need not lie on that lattice: each brings its own shifted copy of it (a row), on which it does.
    """
    step, smooth = _common_step(laws)
    tables = [law.lattice(step) for law in laws]
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
        rows = _extended(rows[: j + 1], width, width, low_slope, high_slope, step)  # only rows of stages above remain
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
            level, value = _minimum(rows[0], at[0], high_slope, curved, 1e-12 * penalty)
        else:
            level = float(levels[j])
            rows, origin, value = _reaching(rows, origin, level, shifts[j], low_slope, high_slope, step)
            at = origin + step * np.arange(rows.shape[1]) + np.asarray(shifts[: j + 1])[:, None]
        found[j] = level
        if math.isfinite(level):
            rows = np.where(at >= level - 1e-9 * step, value, rows)
            high_slope = 0.0
    return found, value


def _extended(rows: np.ndarray, left: int, right: int, low_slope: float, high_slope: float, step: float) -> np.ndarray:
    """Rows ``[R, n]`` with so many points more on either side, along their slopes there."""
    low = rows[:, :1] - low_slope * step * np.arange(left, 0, -1)
    high = rows[:, -1:] + high_slope * step * np.arange(1, right + 1)
    return np.concatenate([low, rows, high], axis=1)


def _minimum(c: np.ndarray, at: np.ndarray, high_slope: float, smooth: bool, rounding: float) -> tuple[float, float]:
    """The smallest minimiser of a convex function on a lattice, and its value; infinite where it falls for ever."""
    if high_slope < -rounding:
        return math.inf, math.nan
    k = int(np.argmax(c <= c.min() + rounding * max(1.0, at[-1] - at[0])))
    if not smooth or k in (0, c.size - 1):
        return float(at[k]), float(c[k])
    before, here, after = c[k - 1 : k + 2]
    bend = before - 2 * here + after
    if bend <= 0:
        return float(at[k]), float(here)
    shift = 0.5 * (before - after) / bend  # the parabola through three points
    return float(at[k] + shift * (at[1] - at[0])), float(here - 0.125 * (before - after) ** 2 / bend)


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
    rows = _extended(rows, left, right, low_slope, high_slope, step)
    return rows, origin - left * step, float(rows[-1, k + left])
