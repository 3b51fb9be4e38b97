"""The sums that every rollout keeps, and the indicators that they give: of the whole network, a number a lane.

A period's `tally` is additive: sums over periods, lanes and machines are all that is needed to compute any ratio here
exactly. `meio_jax.kpis.wide` keeps more, by node and by customer.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from meio_jax.kpis.costs import COSTS, cost_terms
from meio_jax.network import Network
from meio_jax.simulator import Flows
from meio_jax.struct import pytree

__all__ = ["Tally", "kpis", "tally"]


@pytree
class Tally:
    """Additive measures of a period (or, summed, of a horizon); every leaf is ``[B]``.

    cost and its parts in money; demand, filled, lost, sold, ordered, expired: units; backlog, stock, in_transit:
    unit-periods; stockouts: customer-periods with unmet demand; served: customer-periods with demand and none unmet;
    asked: customer-periods with demand; periods: 1.
    """

    cost: Array
    holding: Array
    transit: Array
    backlog_cost: Array
    lost_cost: Array
    fixed: Array
    purchase: Array
    operating: Array
    scrap: Array
    revenue: Array
    demand: Array
    filled: Array
    lost: Array
    sold: Array
    backlog: Array
    stockouts: Array
    served: Array
    asked: Array
    stock: Array
    in_transit: Array
    ordered: Array
    expired: Array
    periods: Array


def tally(network: Network, flows: Flows) -> Tally:
    """The additive measures of one period."""
    inner = network.wiring.n_inner
    terms = cost_terms(network, flows)
    demand, filled = flows.ordered[inner:], flows.filled[inner:]
    unmet = demand - filled
    # A rounding error of the allocation is no stockout.
    out = (unmet > 1e-5 * demand) & (demand > 0)
    asked = demand > 0
    dtype = demand.dtype
    none = unmet.sum(0) * 0.0  # NaN where demand is, which comparisons would hide
    return Tally(
        cost=sum((terms[k] for k in COSTS[:-1]), -terms["revenue"]),
        holding=terms["holding"],
        transit=terms["transit"],
        backlog_cost=terms["backlog"],
        lost_cost=terms["lost"],
        fixed=terms["fixed"],
        purchase=terms["purchase"],
        operating=terms["operating"],
        scrap=terms["scrap"],
        revenue=terms["revenue"],
        demand=demand.sum(0),
        filled=filled.sum(0),
        lost=flows.lost[inner:].sum(0),
        sold=flows.shipped[inner:].sum(0),
        backlog=flows.backlog[inner:].sum(0),
        stockouts=out.sum(0).astype(dtype) + none,
        served=(asked & ~out).sum(0).astype(dtype) + none,
        asked=asked.sum(0).astype(dtype) + none,
        stock=flows.on_hand.sum(0),
        in_transit=flows.in_transit.sum(0),
        ordered=flows.ordered[:inner].sum(0),
        expired=(flows.expired + flows.overflow).sum(0),
        periods=jnp.ones_like(flows.on_hand[0]),
    )


def kpis(sums: Tally) -> dict[str, Array]:
    """Indicators from summed tallies, each ``[B]``.

    cost: money per period. fill_rate: share of demand served from stock in its own period (type 2). cycle_service:
    share of customer-periods with demand in which none of it was unmet: the cycle service level (type 1) where each
    period is a replenishment cycle; of longer cycles that is ``cycle_service_level`` in `meio_jax.kpis.KPIS`, where
    this one is called ``period_service``. stockouts: customer-periods with unmet demand, per period. stock, in_transit,
    backlog: average units. lost, expired: units per period. turnover: units sold per period over average stock.
    days_of_supply: average stock over demand per period.
    """

    def over(a: Array, b: Array, empty: float) -> Array:
        return jnp.where(b == 0, empty, a / jnp.where(b == 0, 1.0, b))  # NaN stays NaN

    n = sums.periods
    return {
        "cost": over(sums.cost, n, 0.0),
        "fill_rate": over(sums.filled, sums.demand, 1.0),
        "cycle_service": over(sums.served, sums.asked, 1.0),
        "stockouts": over(sums.stockouts, n, 0.0),
        "stock": over(sums.stock, n, 0.0),
        "in_transit": over(sums.in_transit, n, 0.0),
        "backlog": over(sums.backlog, n, 0.0),
        "lost": over(sums.lost, n, 0.0),
        "turnover": over(sums.sold, sums.stock, 0.0),
        "days_of_supply": over(sums.stock, sums.demand, 0.0),
        "expired": over(sums.expired, n, 0.0),
    }
