"""The single stage: newsvendor, and base stock with a lead time.

Snyder and Shen, Fundamentals of Supply Chain Theory, 2nd edition, sections 4.3 and 4.4; Arrow, Harris and Marschak
(1951), https://doi.org/10.2307/1906813.
"""

from __future__ import annotations

import math
from typing import Any

from meio_jax.elements import LARGEST
from meio_jax.errors import NumberError, UnknownNameError
from meio_jax.network import TIMINGS
from meio_jax.solvers.laws import Law, as_law
from meio_jax.solvers.solution import Solution

__all__ = ["base_stock", "base_stock_cost", "covered_periods", "newsvendor"]


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


def _rates(**rates: float) -> None:
    for name, x in rates.items():
        if not 0 <= x <= LARGEST:
            raise NumberError(f"{name} = {x:g} money/unit/period is outside [0, {LARGEST:g}]")


def newsvendor(demand: Any, holding_cost: float, backlog_cost: float) -> Solution:
    """The level y that minimises ``holding_cost E[y - D]+ + backlog_cost E[D - y]+``: the critical fractile.

    Args:
      demand: over the time that the level must cover; see `meio_jax.solvers.laws.as_law`.
      holding_cost: money per unit left over.
      backlog_cost: money per unit short.

    Raises:
      NumberError: a rate is NaN, negative or absurdly large, or both are 0.
    """
    _rates(holding_cost=holding_cost, backlog_cost=backlog_cost)
    if holding_cost + backlog_cost == 0:
        raise NumberError("holding_cost and backlog_cost are both 0: every level is optimal")
    law = as_law(demand)
    fractile = backlog_cost / (holding_cost + backlog_cost)
    if fractile in (0.0, 1.0):  # nothing to lose on one side: cover all of the law, or none of it
        first, p = law.lattice(law.step or law.sd / 100 or 1.0)
        level = first if fractile == 0.0 else first + (law.step or law.sd / 100) * (p.size - 1)
    else:
        level = law.ppf(fractile)
    cost = _cost(law, level, holding_cost, backlog_cost)
    return Solution(cost, (level,), (level,), "newsvendor", reference="Snyder & Shen 2019, section 4.3")


def _cost(law: Law, level: float, holding_cost: float, backlog_cost: float) -> float:
    return float(holding_cost * (level - law.mean) + (holding_cost + backlog_cost) * law.loss(level))


def base_stock(
    demand: Any,
    lead_time: float,
    holding_cost: float,
    backlog_cost: float,
    *,
    timing: str = "order_first",
    transit_cost: float = 0.0,
) -> Solution:
    """The optimal base-stock level of one stage with backorders, and its long-run average cost per period.

    Args:
      demand: of one period; see `meio_jax.solvers.laws.as_law`.
      lead_time: periods; a fraction is allowed for normal and Poisson demand.
      holding_cost, backlog_cost: money per unit and period, at the end of the period.
      timing: ``"demand_first"``, ``"order_first"`` or ``"ship_first"``.
      transit_cost: money per unit in transit and period.

    Raises:
      NumberError, UnknownNameError: a number or the timing is out of its domain.
    """
    law = as_law(demand)
    _rates(transit_cost=transit_cost)
    best = newsvendor(law.over(covered_periods(lead_time, timing, serves_customers=True)), holding_cost, backlog_cost)
    transit = transit_cost * lead_time * law.mean
    best_levels = best.echelon_levels, best.local_levels
    return Solution(best.cost + transit, *best_levels, "base stock", transit, "Snyder & Shen 2019, section 4.3.4")


def base_stock_cost(
    level: float,
    demand: Any,
    lead_time: float,
    holding_cost: float,
    backlog_cost: float,
    *,
    timing: str = "order_first",
    transit_cost: float = 0.0,
) -> float:
    """The long-run average cost per period of any base-stock level; arguments as for `base_stock`.

    Raises:
      NumberError, UnknownNameError: as `base_stock`; also where the level is not finite.
    """
    if not math.isfinite(level):
        raise NumberError(f"level = {level:g} must be finite")
    _rates(holding_cost=holding_cost, backlog_cost=backlog_cost, transit_cost=transit_cost)
    law = as_law(demand)
    total = law.over(covered_periods(lead_time, timing, serves_customers=True))
    return _cost(total, level, holding_cost, backlog_cost) + transit_cost * lead_time * law.mean
