"""The size of each term and indicator in a network, by which a weight means the same on every network."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.kpis import COSTS, KPIS, flow_of_nodes, unit_values
from meio_jax.kpis.values import lead_times
from meio_jax.kpis.wide import mean_orders
from meio_jax.network import Network
from meio_jax.rewards.terms import TERMS

__all__ = ["reference_sizes"]

#: Money indicators and the cost term that has their size; all others have the size of the total cost.
_SAME = {
    "holding_cost": "holding", "transit_cost": "transit", "ordering_cost": "fixed", "purchase_cost": "purchase",
    "operating_cost": "operating", "backlog_cost": "backlog", "lost_cost": "lost", "scrap_cost": "scrap",
    "sales": "revenue", "lost_revenue": "revenue",
}  # fmt: skip


def reference_sizes(network: Network, mean_demand: Any) -> dict[str, Array]:
    """For each term and each indicator what it would be in a period that runs to plan, ``[1|B]``.

    In that period the customers' mean demand is passed on at once: each arc carries its mean order (`mean_orders`),
    each node holds one period's demand, the pipelines are full, every arc is ordered on, and one period's demand is
    owed or lost. So a holding cost of 3 sizes is three periods of cover at the network's own rates, a backlog of 0.1 a
    tenth of a day's orders. The total cost has the size of all that runs to plan, without what is owed or lost (where
    that is nothing: with it). Shares and times are their own measure and have size 1, and so has what costs nothing.
    Twice the demand, another currency or the same network twice leave every sized term as it is.

    Args:
      mean_demand: each customer's per period, ``[C]`` or ``[C, 1|B]`` units: `Scale.demand`, or that of the processes
        (`meio_jax.processes.mean_demand`).

    Raises:
      InputError: ``mean_demand`` does not fit the network.
    """
    w = network.wiring
    demand = jnp.asarray(mean_demand, network.holding_cost.dtype)
    demand = demand[:, None] if demand.ndim == 1 else demand
    if demand.ndim != 2 or demand.shape[0] != w.n_customers:
        raise InputError(f"mean_demand has shape {np.shape(mean_demand)}, expected ({w.n_customers},) or with lanes")
    flow, ordered = flow_of_nodes(network, demand), mean_orders(network, demand)
    inner = ordered[: w.n_inner]
    lead = lead_times(network)

    def total(rate: Array | None, units: Array) -> Array:
        return jnp.zeros_like(units[0]) if rate is None else (rate * units).sum(0)

    values = unit_values(network)
    sizes = {
        "holding": total(network.holding_cost, flow),
        "transit": total(network.transit_holding_cost, inner * lead),
        "backlog": total(network.backlog_cost, ordered),
        "lost": total(network.lost_cost, ordered),
        "fixed": total(network.fixed_order_cost, jnp.ones_like(inner)),
        "purchase": total(network.unit_cost, inner),
        "operating": total(network.operating_cost, flow),
        "scrap": total(None if network.scrap_cost is None else jnp.abs(network.scrap_cost), flow),
        "revenue": total(network.price, demand),
    }
    planned = sum(sizes[k] for k in ("holding", "transit", "fixed", "purchase", "operating"))
    sizes["cost"] = jnp.where(planned > 0, planned, sizes["backlog"] + sizes["lost"])
    units = demand.sum(0)
    on_the_way = (inner * lead).sum(0)
    places = {
        "stock": flow.sum(0),
        "in_transit": jnp.where(on_the_way > 0, on_the_way, inner.sum(0)),
        "ordered": inner.sum(0),
        "scrapped": flow.sum(0),
    }
    sizes |= {name: places.get(name, units) for name in TERMS}
    of_unit = {
        "unit": units,
        "unit/period": units,
        "event/period": jnp.full_like(units, float(w.n_customers)),
        "money": (values.node * flow).sum(0),
        "money/period": sizes["cost"],
    }
    sizes |= {name: of_unit.get(kpi.unit, jnp.ones_like(units)) for name, kpi in KPIS.items()}
    sizes |= {name: sizes[term] for name, term in _SAME.items()}
    sizes |= {"average_stock": places["stock"], "average_in_transit": places["in_transit"]}
    sizes |= {"expired": places["scrapped"], "expired_value": of_unit["money"], "obsolescence": of_unit["money"]}
    assert set(sizes) == {"cost", *COSTS, *TERMS, *KPIS}
    return {name: jnp.where(size > 0, size, 1.0) for name, size in sizes.items()}
