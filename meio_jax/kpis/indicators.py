"""Every indicator by name, with its unit, its definition and where that is from.

Definitions after Silver, Pyke and Thomas, Inventory and Production Management in Supply Chains (2017), "SPT"; Snyder
and Shen, Fundamentals of Supply Chain Theory (2019), "SS"; Axsaeter, Inventory Control (2015), "AX"; Chen, Drezner,
Ryan and Simchi-Levi (2000), Quantifying the Bullwhip Effect, doi:10.1287/mnsc.46.3.436, "CDRS". `docs/kpis.md` has
them at length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from meio_jax.errors import UnknownNameError
from meio_jax.kpis.books import GROUPS, Books, known
from meio_jax.kpis.standards import Standards
from meio_jax.kpis.wide import WideTally
from meio_jax.network import Network

__all__ = ["KPIS", "Kpi", "indicators", "kpi_named"]

Measure = Callable[[Books], Array]


class Kpi(NamedTuple):
    """An indicator: ``of(books) -> [G, B]``.

    better: "low", "high", or "" where neither is. groups: the groupings for which it is defined. share: for a share of
    good events the sums of which it is the ratio, as a constraint on it needs them.
    """

    unit: str
    better: str
    doc: str
    of: Measure
    groups: tuple[str, ...] = GROUPS
    share: tuple[Measure, Measure] | None = None


def over(a: Array, b: Array, empty: float = 0.0) -> Array:
    """``a / b``, ``empty`` where b is 0; NaN stays NaN, and its gradient is finite."""
    return jnp.where(b == 0, empty + 0.0 * a, a / jnp.where(b == 0, 1.0, b))


def _rate(field: str) -> Measure:
    return lambda b: over(getattr(b, field), b.periods)


def _money(term: str) -> Measure:
    return lambda b: over(b.money(term), b.periods)


def _share(good: Measure, of: Measure) -> Measure:
    return lambda b: over(good(b), of(b), 1.0)


def _below(name: str) -> Measure:
    return lambda b: jnp.maximum(getattr(b.standards, name) - KPIS[name].of(b), 0.0)


def _ratio(which: str, relative: bool = False) -> Measure:
    def of(b: Books) -> Array:
        mean, variance = b.placed_moments
        mean0, variance0 = getattr(b, which)
        if not relative:
            return over(variance, variance0)
        return over(variance * mean0**2, variance0 * mean**2)

    return of


def _wait(b: Books) -> Array:
    return over(b.backlog, b.demand - b.lost)


def _wait_if_late(b: Books) -> Array:
    return over(b.backlog, b.demand - b.filled - b.lost)


_SITES = ("total", "echelon", "node")
_FILLED = (lambda b: b.filled, lambda b: b.demand)
_PERIODS = (lambda b: b.asked - b.short, lambda b: b.asked)
_CYCLES = (lambda b: b.cycles - b.short_cycles, lambda b: b.cycles)
_READY = (lambda b: b.ready, lambda b: b.node_periods)

#: All indicators. Money is per period, units of stock are averages over periods.
KPIS: dict[str, Kpi] = {
    "fill_rate": Kpi("1", "high", "share of demand served from stock in its own period; type 2, P2, S2 (SPT 6, AX 5)",
                     _share(*_FILLED), share=_FILLED),
    "period_service": Kpi("1", "high", "share of customer-periods with demand in which none was unmet: type 1 where "
                          "each period brings a replenishment (SS 4.3); `kpis` calls it cycle_service",
                          _share(*_PERIODS), share=_PERIODS),
    "cycle_service_level": Kpi("1", "high", "share of replenishment cycles without a stockout; type 1, P1, S1 (SPT 6, "
                               "AX 5); what counts as one: `wide_tally`", _share(*_CYCLES), _SITES, _CYCLES),
    "ready_rate": Kpi("1", "high", "share of node-periods that end with stock on hand; P3, S3 (SPT 6, AX 5)",
                      _share(*_READY), _SITES, _READY),
    "stockouts": Kpi("event/period", "low", "customer-periods with unmet demand", _rate("short")),
    "short_units": Kpi("unit/period", "low", "demand not served in its own period, kept or lost",
                       lambda b: over(b.demand - b.filled, b.periods)),
    "lost_sales": Kpi("unit/period", "low", "unmet demand that was not kept", _rate("lost")),
    "lost_revenue": Kpi("money/period", "low", "customers' lost demand at its price", _rate("lost_value")),
    "backorders": Kpi("unit", "low", "units owed at the end of a period", _rate("backlog")),
    "wait": Kpi("period", "low", "mean wait of a unit that was not lost: Little's law, backlog over the rate of demand "
                "(Little 1961, AX 5)", _wait),
    "wait_if_late": Kpi("period", "low", "mean wait of a unit that was backordered", _wait_if_late),
    "average_stock": Kpi("unit", "low", "stock on hand", _rate("stock"), _SITES),
    "average_in_transit": Kpi("unit", "low", "on its way between two places", _rate("in_transit"), _SITES),
    "holding_cost": Kpi("money/period", "low", "of stock and of components that wait", _money("holding"), _SITES),
    "transit_cost": Kpi("money/period", "low", "holding of what is on its way", _money("transit"), _SITES),
    "ordering_cost": Kpi("money/period", "low", "fixed cost of orders", _money("fixed"), _SITES),
    "purchase_cost": Kpi("money/period", "low", "unit costs of all arcs, transport included", _money("purchase"),
                         _SITES),
    "transport_cost": Kpi("money/period", "low", "unit costs of arcs between nodes", _rate("transport"), _SITES),
    "operating_cost": Kpi("money/period", "low", "of units built", _money("operating"), _SITES),
    "backlog_cost": Kpi("money/period", "low", "of units owed", _money("backlog"), _SITES),
    "lost_cost": Kpi("money/period", "low", "of units lost", _money("lost"), _SITES),
    "scrap_cost": Kpi("money/period", "low", "of scrapping, beside the units' value", _money("scrap"), _SITES),
    "sales": Kpi("money/period", "high", "revenue of units shipped to customers", _money("revenue"), _SITES),
    "total_cost": Kpi("money/period", "low", "all costs less revenue", _rate("cost"), _SITES),
    "stock_value": Kpi("money", "low", "stock on hand at standard cost", _rate("stock_value"), _SITES),
    "working_capital": Kpi("money", "low", "stock, components and pipeline at standard cost", _rate("capital"), _SITES),
    "turnover": Kpi("1/period", "high", "what left at cost over stock at cost (SPT 2, SS 1)",
                    lambda b: over(b.sold_value, b.stock_value), _SITES),
    "days_of_supply": Kpi("period", "low", "stock at cost over demand at cost per period",
                          lambda b: over(b.stock_value, b.demand_value), _SITES),
    "expired": Kpi("unit/period", "low", "scrapped for age or for lack of storage", _rate("scrapped"), _SITES),
    "expired_value": Kpi("money/period", "low", "the same at standard cost", _rate("scrapped_value"), _SITES),
    "slow_moving": Kpi("money", "low", "at cost, average stock beyond `coverage` periods of its node's mean demand",
                       _rate("slow_value"), _SITES),
    "obsolescence": Kpi("money/period", "low", "expired value, and slow-moving value written down at its rate",
                        lambda b: over(b.scrapped_value + b.standards.write_down * b.slow_value, b.periods), _SITES),
    "bullwhip": Kpi("1", "low", "variance of orders over variance of the customers' demand behind them (CDRS)",
                    _ratio("final_moments"), _SITES),
    "bullwhip_stage": Kpi("1", "low", "variance of orders placed over variance of orders received (CDRS)",
                          _ratio("received_moments"), _SITES),
    "bullwhip_relative": Kpi("1", "low", "the bullwhip of squared coefficients of variation, free of units "
                             "(Fransoo and Wouters 2000, doi:10.1108/13598540010319993)",
                             _ratio("final_moments", relative=True), _SITES),
    "expedited": Kpi("unit/period", "low", "units sent on an arc faster than the slowest source of its input",
                     _rate("expedited"), _SITES),
    "expedited_share": Kpi("1", "low", "the same over all units sent to the nodes",
                           lambda b: over(b.expedited, b.supplied), _SITES),
    "expedite_cost": Kpi("money/period", "low", "what these cost more than from the regular source",
                         _rate("expedite_premium"), _SITES),
    "fill_rate_shortfall": Kpi("1", "low", "how far below its target, 0 above", _below("fill_rate")),
    "period_service_shortfall": Kpi("1", "low", "how far below its target, 0 above", _below("period_service")),
    "cycle_service_level_shortfall": Kpi("1", "low", "how far below its target, 0 above",
                                         _below("cycle_service_level"), _SITES),
    "ready_rate_shortfall": Kpi("1", "low", "how far below its target, 0 above", _below("ready_rate"), _SITES),
}  # fmt: skip


def kpi_named(name: str, by: str = "total") -> Kpi:
    """The indicator of that name.

    Raises:
      UnknownNameError: there is none, or it is not defined for this grouping.
    """
    known(by)
    if name not in KPIS:
        raise UnknownNameError(f"indicator {name!r} is not one of {', '.join(sorted(KPIS))}")
    found = KPIS[name]
    if by not in found.groups:
        raise UnknownNameError(f"indicator {name!r} is defined by {', '.join(found.groups)}, not by {by}")
    return found


def indicators(
    network: Network,
    sums: WideTally | Any,
    *,
    by: str = "total",
    names: Iterable[str] | None = None,
    standards: Standards | None = None,
) -> dict[str, Array]:
    """Indicators from summed wide tallies: ``[B]`` each of the whole network, else ``[G, B]`` (`group_names`).

    Args:
      sums: of `meio_jax.kpis.wide_tally`, for example ``rollout(..., measure=wide_tally).totals``.
      by: "total", "echelon", "node" or "customer".
      names: which; default: all that are defined for this grouping.
      standards: targets of service and what is slow; default: `Standards()`.

    Raises:
      UnknownNameError: there is no such grouping or indicator.
    """
    known(by)
    if isinstance(names, str):
        names = (names,)
    wanted = [k for k, kpi in KPIS.items() if by in kpi.groups] if names is None else list(names)
    books = Books(network, sums, by, standards)
    found = {name: kpi_named(name, by).of(books) for name in wanted}
    return {name: x[0] if by == "total" else x for name, x in found.items()}
