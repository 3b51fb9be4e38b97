"""A retail distribution network around a demand history: one distribution centre, one node for each store."""

from __future__ import annotations

import dataclasses

import numpy as np

from meio_jax.build import build_network
from meio_jax.data import History
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.network import Network

__all__ = ["RetailCosts", "distribution_centre"]


@dataclasses.dataclass(frozen=True)
class RetailCosts:
    """What a planner would have to supply, as shares of the unit's selling price; holding is per unit and day.

    The defaults are assumptions, not data: sales histories carry no costs. Holding in a store is dearer than in the
    distribution centre (shelf space, chilling, waste); an unmet sale is lost with its margin and some goodwill. An
    order costs nothing unless ``store_order`` or ``centre_order`` is given.
    """

    centre_holding: float = 0.005
    store_holding: float = 0.02
    lost_sale: float = 0.6
    store_order: float = 0.0
    centre_order: float = 0.0
    supplier_lead_time: int = 3
    store_lead_time: int = 1


def distribution_centre(history: History, costs: RetailCosts | None = None) -> Network:
    """Supplier -> distribution centre -> stores, daily, in whole units, unmet sales lost.

    Orders are placed in the morning before demand is seen (``order_first``). Stock at the start covers three days of
    mean demand in the centre and in each store, and each period of a lead time has a day's on its way, so that a short
    run does not begin with a crisis.
    """
    costs = costs or RetailCosts()
    price = history.unit_value
    mean = np.asarray(history.demand.mean(0))
    three_days = np.ceil(3 * mean)
    nodes = [
        Node(
            "centre",
            holding_cost=costs.centre_holding * price,
            initial_on_hand=float(np.ceil(3 * mean.sum())),
        )
    ]
    arcs = [
        Arc(
            OUTSIDE,
            "centre",
            name="supplier",
            lead_time=costs.supplier_lead_time,
            fixed_order_cost=costs.centre_order * price,
            initial_pipeline=float(np.ceil(mean.sum())),
        )
    ]
    for store, stock, rate in zip(history.customers, three_days, mean, strict=True):
        name = f"store {store}"
        nodes.append(Node(name, holding_cost=costs.store_holding * price, initial_on_hand=float(stock)))
        arcs.append(
            Arc(
                "centre",
                name,
                lead_time=costs.store_lead_time,
                fixed_order_cost=costs.store_order * price,
                initial_pipeline=float(np.ceil(rate)),
            )
        )
        arcs.append(Arc(name, CUSTOMER, keep=0.0, lost_cost=costs.lost_sale * price))
    return build_network(nodes, arcs, timing="order_first", allocation="proportional", integer=True)
