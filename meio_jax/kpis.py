"""Costs and key performance indicators, read from `Flows` and nothing else.

A period's `tally` is additive: sums over periods, lanes and machines are all that is needed to compute any ratio here
exactly. `kpis` turns summed tallies into indicators. Definitions after Silver, Pyke and Thomas, Inventory and
Production Management in Supply Chains (2017), chapter 6, and Snyder and Shen (2019), section 4.3.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from meio_jax.indexing import sum_groups
from meio_jax.network import Network
from meio_jax.simulator import Flows
from meio_jax.struct import pytree

__all__ = ["COSTS", "Tally", "cost_terms", "costs_by_node", "kpis", "tally", "total_cost"]

#: Terms of the total cost; revenue counts negative.
COSTS = ("holding", "transit", "backlog", "lost", "fixed", "purchase", "operating", "scrap", "revenue")


def cost_terms(network: Network, flows: Flows) -> dict[str, Array]:
    """The parts of the period's cost, money ``[B]`` each; revenue is positive here. Absent features cost nothing."""
    inner = network.wiring.n_inner
    zero = jnp.zeros_like(flows.on_hand[0])

    def charge(rate: Array | None, units: Array) -> Array:
        return zero if rate is None else (rate * units).sum(0)

    holding = charge(network.holding_cost, flows.on_hand)
    if flows.components.shape[0]:
        holding = holding + charge(network.component_holding_cost, flows.components)
    return {
        "holding": holding,
        "transit": charge(network.transit_holding_cost, flows.in_transit),
        "backlog": charge(network.backlog_cost, flows.backlog),
        "lost": charge(network.lost_cost, flows.lost),
        "fixed": charge(network.fixed_order_cost, (flows.ordered[:inner] > 0).astype(zero.dtype)),
        "purchase": charge(network.unit_cost, flows.shipped[:inner]),
        "operating": charge(network.operating_cost, flows.built),
        "scrap": charge(network.scrap_cost, flows.expired + flows.overflow),
        "revenue": charge(network.price, flows.shipped[inner:]),
    }


def total_cost(network: Network, flows: Flows) -> Array:
    """The period's cost in money, ``[B]``: the negative of the profit where customers pay a price."""
    terms = cost_terms(network, flows)
    revenue = terms.pop("revenue")
    return sum(terms.values(), -revenue)


def costs_by_node(network: Network, flows: Flows) -> dict[str, Array]:
    """The terms of `cost_terms` at the node where each arises, ``[N, B]``; absent features are left out.

    What a node owes, loses or sells is its own (what suppliers outside owe: the receiver's), and so is what it orders
    and what is on its way to it.
    """
    w = network.wiring
    inner = w.n_inner
    owed_by = [arcs + tuple(e for e in w.in_arcs[n] if w.src[e] < 0) for n, arcs in enumerate(w.out_arcs)]
    to_customers = [[e - inner for e in arcs if e >= inner] for arcs in w.out_arcs]
    here: list[list[int]] = [[n] for n in range(w.n_nodes)]
    scrapped = flows.expired + flows.overflow
    placed = (flows.ordered[:inner] > 0).astype(flows.on_hand.dtype)
    table = {
        "holding": (network.holding_cost, flows.on_hand, here),
        "transit": (network.transit_holding_cost, flows.in_transit, w.in_arcs),
        "backlog": (network.backlog_cost, flows.backlog, owed_by),
        "lost": (network.lost_cost, flows.lost, owed_by),
        "fixed": (network.fixed_order_cost, placed, w.in_arcs),
        "purchase": (network.unit_cost, flows.shipped[:inner], w.in_arcs),
        "operating": (network.operating_cost, flows.built, here),
        "scrap": (network.scrap_cost, scrapped, here),
        "revenue": (network.price, flows.shipped[inner:], to_customers),
    }
    terms = {name: sum_groups(rate * units, at) for name, (rate, units, at) in table.items() if rate is not None}
    if flows.components.shape[0] and network.component_holding_cost is not None:
        waiting = sum_groups(network.component_holding_cost * flows.components, w.inputs_of_node)
        terms["holding"] = terms["holding"] + waiting
    return terms


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
    share of customer-periods with demand in which none of it was unmet (type 1). stockouts: customer-periods with unmet
    demand, per period.
    stock, in_transit, backlog: average units. lost: units per period. turnover: units sold per period over average
    stock. days_of_supply:
    average stock over demand per period.
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
