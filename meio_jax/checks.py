"""Every mistake in a description is found here, named, and located; nothing is built from a wrong one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from meio_jax.elements import ARC_NUMBERS, CUSTOMER, LONGEST, NODE_NUMBERS, OUTSIDE, Arc, Node, Number
from meio_jax.errors import (
    DuplicateNameError,
    InputError,
    MissingSupplierError,
    NumberError,
    OrphanNodeError,
    UnknownNameError,
)
from meio_jax.network import ALLOCATIONS, ISSUING, TIMINGS

__all__ = ["check_arcs", "check_nodes", "check_rules", "check_whole", "lead_time_bounds", "order_delay"]

#: Quantities that must be whole where a network counts in whole units.
WHOLE = ("initial_on_hand", "initial_pipeline", "initial_orders", "lot_size", "minimum_order", "units")


def check_rules(timing: str, allocation: str, issuing: str) -> None:
    """Raises `UnknownNameError`."""
    rules = {"timing": (timing, TIMINGS), "allocation": (allocation, ALLOCATIONS), "issuing": (issuing, ISSUING)}
    for what, (value, allowed) in rules.items():
        if value not in allowed:
            raise UnknownNameError(f"{what} {value!r} is not one of {', '.join(allowed)}")


def check_nodes(nodes: Sequence[Node], arcs: Sequence[Arc]) -> None:
    """Names, connections and numbers of the nodes."""
    if not nodes:
        raise InputError("a network needs at least one node")
    names = [node.name for node in nodes]
    times = Counter(names)
    for name in names:
        if name in (OUTSIDE, CUSTOMER) or not isinstance(name, str) or not name:
            raise InputError(f"node name {name!r}: must be a non-empty string other than {OUTSIDE!r} and {CUSTOMER!r}")
        if times[name] > 1:
            raise DuplicateNameError(f"node {name!r} appears more than once")
    fed, feeding = {a.dst for a in arcs}, {a.src for a in arcs}
    for node in nodes:
        feeds, feeder = node.name in fed, node.name in feeding
        if not feeds and not feeder:
            raise OrphanNodeError(f"node {node.name!r} has no arc; connect it or remove it")
        if not feeds:
            raise MissingSupplierError(
                f"node {node.name!r} has no supplier; add an arc from {OUTSIDE!r} or from a node to it"
            )
        if not feeder:
            raise OrphanNodeError(f"node {node.name!r} feeds nobody; add an arc to a node or to {CUSTOMER!r}")
        if not isinstance(node.make_to_order, bool):
            raise InputError(f"node {node.name!r}: make_to_order must be true or false")
        for key, n in NODE_NUMBERS.items():
            _check_number(f"node {node.name!r}", key, getattr(node, key), n)


def check_arcs(nodes: Sequence[Node], arcs: Sequence[Arc]) -> None:
    """Names, ends, numbers and lead times of the arcs, which must have names by now."""
    names = {node.name for node in nodes}
    arc_times = Counter(a.name for a in arcs)
    for arc in arcs:
        if arc_times[arc.name] > 1:
            raise DuplicateNameError(f"arc {arc.name!r} appears more than once; give each its own name")
        for end, special in ((arc.src, OUTSIDE), (arc.dst, CUSTOMER)):
            if end != special and end not in names:
                raise UnknownNameError(
                    f"arc {arc.name!r}: {end!r} is no node; nodes are {', '.join(node.name for node in nodes)}"
                )
        if arc.src == OUTSIDE and arc.dst == CUSTOMER:
            raise InputError(f"arc {arc.name!r} goes from outside to a customer without passing a node")
        where = f"arc {arc.name!r}"
        kind = "customer" if arc.dst == CUSTOMER else "inner"
        for key, n in ARC_NUMBERS.items():
            value = getattr(arc, key)
            if n.of not in ("all", kind) and not (value is n.default or np.all(np.asarray(value) == n.default)):
                raise InputError(f"{where}: {key} is for {n.of} arcs, and this is one of the others")
            _check_number(where, key, value, n)
        _, _, high = lead_time_bounds(arc)
        if kind == "customer" and high:
            raise InputError(f"{where}: customers are served from stock; model a delivery time as a node before them")
        if order_delay(arc) and kind == "customer":
            raise InputError(f"{where}: demand is with its node at once; order_delay is for inner arcs")
        if np.any(
            np.asarray(arc.minimum_order) > (np.inf if arc.order_capacity is None else np.asarray(arc.order_capacity))
        ):
            raise NumberError(f"{where}: minimum_order exceeds order_capacity, so no order could ever be placed")


def lead_time_bounds(arc: Arc) -> tuple[int, int, int]:
    """Nominal, shortest and longest lead time in periods. Raises `NumberError`."""
    where = f"arc {arc.name!r}"
    low = arc.lead_time if arc.min_lead_time is None else arc.min_lead_time
    high = arc.lead_time if arc.max_lead_time is None else arc.max_lead_time
    for key, x in (("lead_time", arc.lead_time), ("min_lead_time", low), ("max_lead_time", high)):
        if not _is_period(x):
            raise NumberError(f"{where}: {key} = {x} must be a whole number of periods in [0, {LONGEST}]")
    if not low <= arc.lead_time <= high:
        raise NumberError(f"{where}: lead times must satisfy {low} <= {arc.lead_time} <= {high}")
    return int(arc.lead_time), int(low), int(high)


def order_delay(arc: Arc) -> int:
    """Periods that an order travels to its source. Raises `NumberError`."""
    if not _is_period(arc.order_delay):
        raise NumberError(
            f"arc {arc.name!r}: order_delay = {arc.order_delay} must be a whole number of periods in [0, {LONGEST}]"
        )
    return int(arc.order_delay)


def check_whole(items: Sequence[Node | Arc]) -> None:
    """In a network of whole units nothing may begin with, or come in, parts of one. Raises `NumberError`."""
    for item in items:
        for key in WHOLE:
            value = np.asarray(getattr(item, key, 0.0), dtype=float)
            if np.any(value != np.floor(value)):
                raise NumberError(f"{item.name!r}: {key} = {value} is not whole, and the network counts in whole units")


def _is_period(x: Any) -> bool:
    """Whether x is a whole number of periods that a lead time may have; False too for NaN and for what is no number."""
    if isinstance(x, (bool, np.bool_)) or np.ndim(x) != 0:
        return False
    try:
        return 0 <= x <= LONGEST and int(x) == x
    except (TypeError, ValueError):
        return False


def _check_number(where: str, name: str, value: Any, n: Number) -> None:
    if value is None:
        if n.default is None:
            return
        raise NumberError(f"{where}: {name} is None; give a number of {n.unit}")
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise NumberError(f"{where}: {name} = {value!r} is neither a number nor one number per lane") from error
    if numbers.size == 0:
        raise NumberError(f"{where}: {name} is empty; give a number of {n.unit}")
    for x in np.ravel(numbers):
        if math.isnan(x):
            raise NumberError(f"{where}: {name} is NaN; give a number of {n.unit}")
        if not n.low <= x <= n.high:
            if math.isinf(x) and n.default is None and x > 0:
                continue
            raise NumberError(f"{where}: {name} = {x:g} {n.unit} is outside [{n.low:g}, {n.high:g}]")
        if n.whole and x != int(x):
            raise NumberError(f"{where}: {name} = {x:g} must be a whole number of {n.unit}")
