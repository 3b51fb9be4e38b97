"""One stage with backorders in plain numbers: what base-stock, (s, S) and (r, nQ) computations read of a network.

All these rules are exact by one fact: with backorders, and every order in full after its lead time, the cost of the
period in which an order becomes useful depends on nothing but the inventory position y at which it was placed,

    G(y) = holding_cost E[y - D]+ + backlog_cost E[D - y]+,

D being the demand of the periods that the position must cover (Snyder and Shen, 2nd edition, section 4.3.4).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, NumberError, UnboundedError, UnknownNameError, UnsuitableError
from meio_jax.network import TIMINGS, Network
from meio_jax.solvers.laws import Law, as_law
from meio_jax.solvers.plain import lead_times, numbers
from meio_jax.solvers.problem import Problem

__all__ = ["Stage", "as_stage", "check_rates", "counts", "covered_periods", "misfit", "single_stage", "unfit"]

#: Lattice points that a table may have.
LARGEST_TABLE = 2_000_000


def covered_periods(lead_time: float, timing: str, *, serves_customers: bool) -> float:
    """Periods of demand between an order and the moment at which what it brought is used.

    With ``demand_first`` the order already knows its own period's demand: the lead time. With ``order_first`` a stage
    that serves customers must also cover the period of arrival, while one that serves other stages has it in time for
    their orders. With ``ship_first`` arrivals come too late for the next stage's order of that period as well.

    Raises:
      UnknownNameError: there is no such timing.
      NumberError: the lead time is NaN, negative or infinite.
    """
    if timing not in TIMINGS:
        raise UnknownNameError(f"timing {timing!r} is not one of {', '.join(TIMINGS)}")
    if not 0 <= lead_time <= LARGEST:
        raise NumberError(f"lead_time = {lead_time:g} periods is outside [0, {LARGEST:g}]")
    return lead_time + (timing == "ship_first" or (timing == "order_first" and serves_customers))


def check_rates(unit: str = "money/unit/period", **rates: float) -> None:
    """Raises `NumberError` where a number is NaN, negative or absurdly large."""
    for name, x in rates.items():
        if not 0 <= x <= LARGEST:
            raise NumberError(f"{name} = {x:g} {unit} is outside [0, {LARGEST:g}]")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage that is reviewed every period and keeps all unmet demand as backlog.

    Attributes:
      holding_cost, backlog_cost: money per unit and period, at the end of the period.
      lead_time: periods; fractions are allowed where the law of demand has them (normal, Poisson).
      fixed_cost: money per order, whatever its size.
      timing: ``"demand_first"``, ``"order_first"`` or ``"ship_first"``.
      transit_cost: money per unit in transit and period.
      unit_cost: money per unit that passes (purchase and operation less revenue); no policy changes it.
      lot: orders are whole multiples of so many units; 0: any quantity.

    Raises:
      NumberError: a number is NaN, negative (``unit_cost`` may be) or absurdly large, or both rates are 0.
      UnknownNameError: there is no such timing.
    """

    holding_cost: float
    backlog_cost: float
    lead_time: float = 0.0
    fixed_cost: float = 0.0
    timing: str = "order_first"
    transit_cost: float = 0.0
    unit_cost: float = 0.0
    lot: float = 0.0

    def __post_init__(self) -> None:
        check_rates(holding_cost=self.holding_cost, backlog_cost=self.backlog_cost, transit_cost=self.transit_cost)
        check_rates("money/order", fixed_cost=self.fixed_cost)
        check_rates("units", lot=self.lot)
        if not abs(self.unit_cost) <= LARGEST:
            raise NumberError(f"unit_cost = {self.unit_cost:g} money/unit is outside [{-LARGEST:g}, {LARGEST:g}]")
        if self.holding_cost + self.backlog_cost == 0:
            raise NumberError("holding_cost and backlog_cost are both 0: every level is optimal")
        covered_periods(self.lead_time, self.timing, serves_customers=True)

    @property
    def covered(self) -> float:
        """Periods of demand that the inventory position must cover."""
        return covered_periods(self.lead_time, self.timing, serves_customers=True)

    @property
    def fractile(self) -> float:
        """The critical ratio b / (h + b): the probability of no stock-out at the best position."""
        return self.backlog_cost / (self.holding_cost + self.backlog_cost)

    def constant_cost(self, mean: float) -> float:
        """Cost per period that no policy changes, for a mean demand per period: in transit, and what a unit pays."""
        return mean * (self.transit_cost * self.lead_time + self.unit_cost)

    def position_cost(self, demand: Law) -> Callable[[Any], np.ndarray]:
        """G, from positions to money per period, of the same shape."""
        law, h, b = demand.over(self.covered), self.holding_cost, self.backlog_cost
        return lambda y: h * (np.asarray(y, float) - law.mean) + (h + b) * law.loss(y)

    def check_bounded(self) -> None:
        """Raises `UnboundedError` where ever larger or ever rarer orders cost ever less."""
        for name, x in (("holding_cost", self.holding_cost), ("backlog_cost", self.backlog_cost)):
            if x == 0:
                raise UnboundedError(f"{name} is 0: there is no best policy, the rarer an order the better; give it")


def counts(demand: Law, *, instead: str) -> tuple[float, np.ndarray]:
    """Step, and probabilities ``[K]`` of 0, 1, 2, ... steps, of demand on a lattice through 0.

    Args:
      demand: of one period.
      instead: what to do where demand is continuous, for the message.

    Raises:
      UnsuitableError: demand is continuous, may be negative, or its lattice does not meet 0.
    """
    if demand.step is None:
        raise UnsuitableError(f"demand is continuous, and whole units are needed here: {instead}")
    first, p = demand.lattice(demand.step)
    start = round(first / demand.step)
    if start < 0:
        raise UnsuitableError(f"demand may be {first:g}: returns have no place here; cut it off at 0")
    if abs(first / demand.step - start) > 1e-9:
        raise UnsuitableError(
            f"demand takes the values {first:g} + k {demand.step:g}, which never are 0: give discretised(..., low=0)"
        )
    if start + p.size > LARGEST_TABLE:
        raise UnsuitableError(f"demand takes {start + p.size} values: too many for a table; use larger units")
    return demand.step, np.concatenate([np.zeros(start), p])


def misfit(network: Network, takes: Collection[str] = (), lane: int | None = None) -> str | None:
    """Why a network is no single stage with backorders, and which method can treat it; None: it is one.

    Args:
      takes: what else the method can treat: "fixed_order_cost", "lot_size".
      lane: which lane's numbers; needed only where numbers differ between lanes.
    """
    w = network.wiring
    if w.n_nodes > 1:
        chain = w.n_customers == 1 and all(w.src[e] == w.dst[e] - 1 for e in range(w.n_inner))
        other = '"clark_scarf" can' if chain else "`search` tunes a rule on any network"
        return f"it has {w.n_nodes} nodes, and this is for one: {other}"
    if w.n_inner > 1:
        return f'its node has {w.n_inner} suppliers, and this is for one: "value_iteration" can'
    if w.n_customers > 1:
        return f"its node has {w.n_customers} customers: make them one whose demand is the sum"
    if any(w.make_to_order):
        return "its node makes to order and so holds no stock: nothing is to be decided"

    read = ("holding_cost", "backlog_cost", "transit_holding_cost", "unit_cost", "operating_cost", "price", "lead_time")
    for name in (*read, "keep", "fixed_order_cost", "lot_size", "units", "erosion", *(name for name, _ in _NEUTRAL)):
        leaf = getattr(network, name)
        if lane is None and leaf is not None and leaf.shape[-1] > 1:
            return f"{name} differs between lanes: say which lane"

    def other_than(name: str, neutral: float, row: int = 0) -> float | None:
        """A number that the leaf has and a plain stage does not."""
        x = numbers(network, name, row + 1, neutral, lane)[row]
        return None if x == neutral else float(x)

    keep = other_than("keep", 1.0, w.n_inner)
    if keep is not None:
        return f'unmet demand is lost (keep = {keep:g}), and this is for backorders: "value_iteration" can'
    for name, neutral in _NEUTRAL:
        x = other_than(name, neutral)
        if x is not None:
            return f'it has {name} = {x:g}, and this is exact only without it: "value_iteration" can'
    if other_than("units", 1.0) is not None:
        return "units is not 1: count in units of what the customer asks for"
    if other_than("erosion", 0.0) is not None:
        return "demand reacts to service (erosion): `search` tunes a rule on any network"
    fixed, lot = (other_than(name, 0.0) for name in ("fixed_order_cost", "lot_size"))
    return _beyond(fixed or 0.0, lot or 0.0, takes)


def _beyond(fixed: float, lot: float, takes: Collection[str]) -> str | None:
    """Whether there is a fixed cost or a lot that a method cannot treat, and which method can."""
    for name, x in (("fixed_order_cost", fixed), ("lot_size", lot)):
        if x and name not in takes:
            return f'it has {name} = {x:g}: "{"r_nQ" if lot else "s_S"}" can'
    return None


_NEUTRAL = (
    ("capacity", math.inf), ("storage", math.inf), ("order_capacity", math.inf), ("minimum_order", 0.0),
    ("shelf_life", math.inf), ("yield_", 1.0),
)  # fmt: skip


def single_stage(network: Network, *, takes: Collection[str] = (), lane: int | None = None) -> Stage:
    """A one-node network as plain numbers, with all that its ledger charges; revenue is a negative cost.

    Args:
      network: one node, one supplier, one customer whose unmet demand is kept.
      takes: what the method can treat beyond that: "fixed_order_cost", "lot_size".
      lane: which lane's numbers; needed only where numbers differ between lanes.

    Raises:
      UnsuitableError: the network is no such stage, or numbers differ between lanes and no lane was given; says why and
        which method can.
    """
    reason = misfit(network, takes, lane)
    if reason is not None:
        raise UnsuitableError(f"the network is no single stage that this method can treat: {reason}")

    def number(name: str, row: int = 0) -> float:
        return float(numbers(network, name, row + 1, lane=lane)[row])

    # To a supplier without limits an order in the mail is as good as goods on their way, but costs nothing.
    mail = network.wiring.order_delay[0]
    transit = number("transit_holding_cost")
    return Stage(
        holding_cost=number("holding_cost"),
        backlog_cost=number("backlog_cost", network.wiring.n_inner),
        lead_time=float(lead_times(network, lane)[0]) + mail,
        fixed_cost=number("fixed_order_cost"),
        timing=network.wiring.timing,
        transit_cost=transit,
        unit_cost=number("unit_cost") + number("operating_cost") - number("price") - transit * mail,
        lot=number("lot_size"),
    )


def as_stage(
    system: Network | Stage, demand: Any, *, takes: Collection[str] = (), lane: int | None = None
) -> tuple[Stage, Law]:
    """The plain numbers of either, and the law of demand. Raises what `single_stage` and `as_law` raise."""
    stage = single_stage(system, takes=takes, lane=lane) if isinstance(system, Network) else system
    if not isinstance(stage, Stage):
        raise InputError(f"a Network or a Stage is needed, got {type(system).__name__}")
    reason = _beyond(stage.fixed_cost, stage.lot, takes)
    if reason is not None:
        raise UnsuitableError(f"the stage is none that this method can treat: {reason}")
    return stage, as_law(demand)


def unfit(problem: Problem, *, takes: Collection[str] = (), whole: bool = False) -> str | None:
    """Why a problem is no stationary single stage with backorders and long-run average cost; None: it is one.

    Args:
      takes: as for `misfit`.
      whole: demand must be in whole units.
    """
    reason = misfit(problem.network, takes)
    if reason is not None:
        return reason
    if problem.criterion != "average":
        return f'the criterion is "{problem.criterion}", and this is for "average": "value_iteration" can'
    for name in ("lead_time", "supply", "yield_", "reporting"):
        if getattr(problem.processes, name) is not None:
            return f"its {name} process has no place here: `search` tunes a rule on any network"
    if not problem.laws:
        return f"the law of demand is not known: {problem.no_laws or 'give laws='}"
    step = problem.laws[0].step
    if step is None and whole:
        return "demand is continuous, and whole units, or any lattice, are needed here: give such a law"
    if problem.network.wiring.integer and (step is None or step != round(step)):
        return "the network counts whole units, and the law of demand does not: give the law that it is rounded to"
    return None
