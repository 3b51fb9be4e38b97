"""What a user writes down: sites and lanes of supply. `meio_jax.build` checks them and makes a `Network`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import Array

__all__ = ["ARC_NUMBERS", "CUSTOMER", "LARGEST", "LONGEST", "NODE_NUMBERS", "OUTSIDE", "Arc", "Node", "Number"]

OUTSIDE = "outside"
CUSTOMER = "customer"

#: No number in a network may exceed this: it is almost surely a unit mistake, and float32 sums would lose it.
LARGEST = 1e9
#: The longest lead time, order delay and shelf life, in periods.
LONGEST = 512

#: A scalar, or one value per lane.
Numeric = float | Sequence[float] | np.ndarray | Array


class Number(NamedTuple):
    """What a number of a network means: the builder, the file schema and the documentation all read this."""

    doc: str
    unit: str
    default: float | None = 0.0
    low: float = 0.0
    high: float = LARGEST
    whole: bool = False
    of: str = "all"  # arcs only: "inner", "customer" or "all"


def _number(*args: Any, **kwargs: Any) -> Any:
    n = Number(*args, **kwargs)
    return dataclasses.field(default=n.default, metadata={"number": n})


@dataclasses.dataclass(frozen=True)
class Node:
    """A site that stocks or builds. A number may be one value for all lanes or one per lane; ``None`` is "no limit".

    ``make_to_order``: the node builds only what is on order from it, and holds components instead of stock.
    """

    name: str
    holding_cost: Numeric = _number("cost of a unit in stock at the end of a period", "money/unit/period")
    initial_on_hand: Numeric = _number("stock at time 0 (fresh, where it perishes)", "unit")
    capacity: Numeric | None = _number("most good units built in a period (none: no limit)", "unit/period", None)
    operating_cost: Numeric = _number("cost of a good unit built", "money/unit")
    storage: Numeric | None = _number(
        "most units kept at a period's end; the rest is scrapped (none: no limit)", "unit", None
    )
    yield_: Numeric = _number("good units per unit started", "1", 1.0, 0.0, 1.0)
    shelf_life: Numeric | None = _number(
        "periods a unit can be used, from its arrival (none: for ever)", "period", None, 1, LONGEST, True
    )
    scrap_cost: Numeric = _number("cost of a unit that expires or overflows", "money/unit", 0.0, -LARGEST)
    make_to_order: bool = False


@dataclasses.dataclass(frozen=True)
class Arc:
    """A lane of supply from ``src`` to ``dst``: node names, `OUTSIDE` or `CUSTOMER`.

    ``component``: arcs into a node that name the same component are alternative sources of it; different components
    are built together and the scarcest binds. ``lead_time``: periods from shipment to receipt, 0 is within the period.
    For random lead times give ``min_lead_time`` and ``max_lead_time`` as well: they bound what may be drawn.
    ``order_delay``: periods that an order travels to ``src`` before it can be shipped, 0 is within the period.
    """

    src: str
    dst: str
    name: str | None = None
    component: str = ""
    lead_time: int = 0
    min_lead_time: int | None = None
    max_lead_time: int | None = None
    order_delay: int = 0
    units: Numeric = _number(
        "units of this component in a unit built (bill of materials)", "unit/unit", 1.0, 1e-9, of="inner"
    )
    unit_cost: Numeric = _number("cost of a unit shipped", "money/unit", of="inner")
    transit_holding_cost: Numeric = _number(
        "cost of a unit in transit at the end of a period", "money/unit/period", of="inner"
    )
    component_holding_cost: Numeric = _number(
        "cost of a unit of this component waiting at the node", "money/unit/period", of="inner"
    )
    fixed_order_cost: Numeric = _number("cost of placing an order of any size", "money/order", of="inner")
    lot_size: Numeric = _number("orders are whole multiples of this (0: any quantity)", "unit", of="inner")
    minimum_order: Numeric = _number("smallest order that is not zero", "unit", of="inner")
    order_capacity: Numeric | None = _number(
        "largest order in a period (none: no limit)", "unit/period", None, of="inner"
    )
    initial_pipeline: Numeric = _number(
        "units on their way at time 0, one number a period, soonest first", "unit", of="inner"
    )
    initial_orders: Numeric = _number(
        "orders on their way to the source at time 0, one number a period, soonest first", "unit", of="inner"
    )
    price: Numeric = _number("revenue of a unit shipped to the customer", "money/unit", of="customer")
    erosion: Numeric = _number(
        "share of goodwill lost when all demand of a period is unserved", "1", 0.0, 0.0, 1.0, of="customer"
    )
    restoration: Numeric = _number(
        "share of lost goodwill that a fully served period restores", "1", 0.0, 0.0, 1.0, of="customer"
    )
    backlog_cost: Numeric = _number("cost of a unit of backlog at the end of a period", "money/unit/period")
    lost_cost: Numeric = _number("cost of a unit of unmet demand that is lost", "money/unit")
    keep: Numeric = _number("share of unmet demand kept as backlog (1 backorder, 0 lost sale)", "1", 1.0, 0.0, 1.0)


NODE_NUMBERS: dict[str, Number] = {f.name: f.metadata["number"] for f in dataclasses.fields(Node) if f.metadata}
ARC_NUMBERS: dict[str, Number] = {f.name: f.metadata["number"] for f in dataclasses.fields(Arc) if f.metadata}
