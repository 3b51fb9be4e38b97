"""The single stage: newsvendor, and base stock with a lead time.

Snyder and Shen, Fundamentals of Supply Chain Theory, 2nd edition, sections 4.3 and 4.4; Arrow, Harris and Marschak
(1951), https://doi.org/10.2307/1906813.
"""

from __future__ import annotations

import math
from typing import Any, overload

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, NumberError, UnboundedError
from meio_jax.network import Network
from meio_jax.solvers.laws import Law, as_law
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.single_stage import Stage, as_stage, check_rates, covered_periods, unfit
from meio_jax.solvers.solution import Solution, plays_echelon_levels

__all__ = ["METHODS", "base_stock", "base_stock_cost", "covered_periods", "newsvendor", "newsvendor_profit"]


def newsvendor(demand: Any, holding_cost: float, backlog_cost: float) -> Solution:
    """The level y that minimises ``holding_cost E[y - D]+ + backlog_cost E[D - y]+``: the critical fractile.

    Args:
      demand: over the time that the level must cover; see `meio_jax.solvers.laws.as_law`.
      holding_cost: money per unit left over.
      backlog_cost: money per unit short.

    Raises:
      NumberError: a rate is NaN, negative or absurdly large, or both are 0.
    """
    check_rates(holding_cost=holding_cost, backlog_cost=backlog_cost)
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
    return Solution(
        cost, (level,), (level,), "newsvendor", reference="Snyder & Shen 2019, section 4.3", claim="optimal",
        lower_bound=cost, upper_bound=cost, numbers={"fractile": fractile},
    )  # fmt: skip


def newsvendor_profit(
    demand: Any, price: float, unit_cost: float, *, salvage: float = 0.0, goodwill_cost: float = 0.0
) -> Solution:
    """The quantity that maximises ``price E min(D, Q) + salvage E[Q - D]+ - goodwill_cost E[D - Q]+ - unit_cost Q``.

    The cost is the negative expected profit. It is `newsvendor` with ``unit_cost - salvage`` per unit left over and
    ``price + goodwill_cost - unit_cost`` per unit short; where the latter is not positive nothing is bought.

    Args:
      demand: of the season, not negative; see `meio_jax.solvers.laws.as_law`.
      price: money per unit sold.
      unit_cost: money per unit bought.
      salvage: money per unit left over; negative: disposal costs.
      goodwill_cost: money per unit of demand that is not met, beyond the lost margin.

    Raises:
      NumberError: a number is NaN, negative (``salvage`` may be) or absurdly large, or what is left over or what is
        short costs nothing.
      UnboundedError: a unit left over brings more than it cost.
    """
    check_rates("money/unit", price=price, unit_cost=unit_cost, goodwill_cost=goodwill_cost)
    if not abs(salvage) <= LARGEST:
        raise NumberError(f"salvage = {salvage:g} money/unit is outside [{-LARGEST:g}, {LARGEST:g}]")
    if salvage > unit_cost:
        raise UnboundedError(
            f"salvage = {salvage:g} exceeds unit_cost = {unit_cost:g}: every unit more that is bought earns"
        )
    law = as_law(demand)
    over, under = unit_cost - salvage, price + goodwill_cost - unit_cost
    if under <= 0:  # a unit costs more than it can save
        level, method = 0.0, "nothing is bought"
        cost = goodwill_cost * law.mean
    else:
        best = newsvendor(law, over, under)
        level, method = max(best.echelon_levels[0], 0.0), "newsvendor"
        cost = _cost(law, level, over, under) - (price - unit_cost) * law.mean
    return Solution(
        cost, (level,), (level,), method, reference="Snyder & Shen 2019, section 4.3.2.3", criterion="total",
        claim="optimal", lower_bound=cost, upper_bound=cost,
        numbers={"profit": -cost, "overage": over, "underage": under},
    )  # fmt: skip


def _cost(law: Law, level: float, holding_cost: float, backlog_cost: float) -> float:
    return float(holding_cost * (level - law.mean) + (holding_cost + backlog_cost) * law.loss(level))


@overload
def base_stock(demand: Network | Stage, lead_time: Any, *, lane: int | None = None) -> Solution: ...
@overload
def base_stock(
    demand: Any,
    lead_time: float,
    holding_cost: float,
    backlog_cost: float,
    *,
    timing: str = ...,
    transit_cost: float = ...,
) -> Solution: ...
def base_stock(
    demand: Any,
    lead_time: Any,
    holding_cost: float | None = None,
    backlog_cost: float | None = None,
    *,
    timing: str = "order_first",
    transit_cost: float = 0.0,
    lane: int | None = None,
) -> Solution:
    """The optimal base-stock level of one stage with backorders, and its long-run average cost per period.

    Also ``base_stock(system, demand)`` of a one-node `Network` or of a `Stage`; with a network the solution can be
    played.

    Args:
      demand: of one period; see `meio_jax.solvers.laws.as_law`.
      lead_time: periods; a fraction is allowed for normal and Poisson demand.
      holding_cost, backlog_cost: money per unit and period, at the end of the period.
      timing: ``"demand_first"``, ``"order_first"`` or ``"ship_first"``.
      transit_cost: money per unit in transit and period.
      lane: which lane's numbers of a network.

    Raises:
      NumberError, UnknownNameError: a number or the timing is out of its domain.
      UnsuitableError: the network is not one node with backorders, or has fixed costs, lots, limits or perishables;
        says which method can.
    """
    network = demand if isinstance(demand, Network) else None
    if isinstance(demand, (Network, Stage)):
        if holding_cost is not None or backlog_cost is not None:
            raise InputError("base_stock(system, demand): a network or a Stage brings its own rates")
        stage, law = as_stage(demand, lead_time, lane=lane)
    else:
        if holding_cost is None or backlog_cost is None:
            raise InputError("base_stock(demand, lead_time, holding_cost, backlog_cost): give both rates")
        stage, law = Stage(holding_cost, backlog_cost, lead_time, 0.0, timing, transit_cost), as_law(demand)
    best = newsvendor(law.over(stage.covered), stage.holding_cost, stage.backlog_cost)
    constant = stage.constant_cost(law.mean)
    cost, level = best.cost + constant, best.echelon_levels[0]
    return Solution(
        cost, (level,), (level,), "base stock", constant, "Snyder & Shen 2019, section 4.3.4", claim="optimal",
        lower_bound=cost, upper_bound=cost,
        numbers={"fractile": stage.fractile, "safety_stock": level - law.mean * stage.covered},
        **(plays_echelon_levels(network, [level]) if network is not None else {}),
    )  # fmt: skip


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
    check_rates(holding_cost=holding_cost, backlog_cost=backlog_cost, transit_cost=transit_cost)
    law = as_law(demand)
    total = law.over(covered_periods(lead_time, timing, serves_customers=True))
    return _cost(total, level, holding_cost, backlog_cost) + transit_cost * lead_time * law.mean


def _solve(problem: Problem) -> Solution:
    return base_stock(problem.network, problem.laws[0])


METHODS: tuple[Method, ...] = (
    Method("base_stock", "optimal base-stock level of one stage with backorders", "optimal", _solve, unfit),
)
