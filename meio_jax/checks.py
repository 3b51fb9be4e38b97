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
from meio_jax.network import ALLOCATIONS, ISSUING, TIMINGS, Network, Wiring

__all__ = [
    "check_arcs",
    "check_network",
    "check_nodes",
    "check_one_per_input",
    "check_rules",
    "check_whole",
    "lead_time_bounds",
    "order_delay",
]

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


#: Leaves that every network has.
ALWAYS = ("holding_cost", "initial_on_hand", "initial_pipeline", "backlog_cost")
#: Lead times as leaves are no number of an arc; the wiring says how far they may go.
_LEAD_TIME = Number("periods from shipment to receipt", "period", high=LONGEST, whole=True)


def check_network(network: Network) -> None:
    """Refuse a network whose leaves are not what `build_network` would have made: after `Network.replace`, or made by
    other means. Reads the values, so call it outside of compiled code.

    Raises:
      InputError: a leaf is missing, has the wrong shape or another number of lanes, or needs another leaf beside it.
      NumberError: a number is NaN, infinite, out of its domain or not whole where it must be; says which leaf, node or
        arc, and lane.
    """
    w = network.wiring
    inner, inputs = w.arcs[: w.n_inner], tuple(f"{w.nodes[n]}:{c}" if c else w.nodes[n] for n, c in w.inputs)
    owner = {"all": w.arcs, "inner": inner, "customer": w.arcs[w.n_inner :]}
    lanes: dict[int, str] = {}
    tables = {k: ("node", w.nodes, n) for k, n in NODE_NUMBERS.items()}
    tables |= {k: ("arc", owner[n.of], n) for k, n in ARC_NUMBERS.items()}
    tables |= {"component_holding_cost": ("input", inputs, ARC_NUMBERS["component_holding_cost"])}
    tables |= {"lead_time": ("arc", inner, _LEAD_TIME)}
    queues = {"initial_pipeline": w.slots, "initial_orders": w.mail_slots}
    for key, (what, names, n) in tables.items():
        leaf = getattr(network, key)
        if leaf is None:
            if key in ALWAYS:
                raise InputError(f"network: {key} is None; every network has it")
            continue
        try:
            x = np.asarray(leaf)
            low, high = (np.asarray(v, x.dtype if x.dtype.kind == "f" else float) for v in (n.low, n.high))
            bad = ~((x >= low) & (x <= high) | np.isposinf(x) & (n.default is None))
        except (TypeError, ValueError) as error:
            raise InputError(f"network: {key} is no array of numbers") from error
        shape = (queues[key], len(names)) if key in queues else (len(names),)
        if x.shape[:-1] != shape or x.ndim == 0:
            wanted = ", ".join(map(str, shape))
            raise InputError(f"network: {key} has shape {x.shape}, expected ({wanted}, 1) or ({wanted}, lanes)")
        if x.shape[-1] != 1:
            lanes.setdefault(x.shape[-1], key)
        of, near = (np.moveaxis(v, -2, 0) if v.ndim > 2 else v for v in (x, bad))
        _refuse(key, what, names, of, near, f"outside [{n.low:g}, {n.high:g}] {n.unit}")
        if n.whole or (w.integer and key in WHOLE):
            why = "" if n.whole else ", and the network counts in whole units"
            _refuse(key, what, names, of, np.isfinite(of) & (of != np.floor(of)), f"not whole{why}")
    if len(lanes) > 1:
        raise InputError(
            f"network: numbers per lane differ in length: {', '.join(f'{v} has {k}' for k, v in lanes.items())}"
        )
    if (network.erosion is None) != (network.restoration is None):
        raise InputError("network: erosion and restoration belong together; give both, or None for both")
    check_one_per_input(w, "units", network.units)
    if network.minimum_order is not None and network.order_capacity is not None:
        least, most = np.asarray(network.minimum_order), np.asarray(network.order_capacity)
        least, most = np.broadcast_arrays(least, most)
        _refuse("minimum_order", "arc", inner, least, least > most, "above order_capacity: nothing could be ordered")
    if network.shelf_life is not None:
        life = np.asarray(network.shelf_life)
        beyond = np.isfinite(life) & (life > w.ages)
        _refuse("shelf_life", "node", w.nodes, life, beyond, f"more than the {w.ages} age classes of the wiring")
    if network.lead_time is not None:
        time = np.asarray(network.lead_time)
        bounds = (np.asarray(b)[:, None] for b in (w.min_lead_time, w.max_lead_time))
        off = np.logical_or(*(f(time, b) for f, b in zip((np.less, np.greater), bounds, strict=True)))
        _refuse("lead_time", "arc", inner, time, off, "outside of the bounds of the wiring")


def _refuse(key: str, what: str, names: Sequence[str], x: np.ndarray, bad: np.ndarray, why: str) -> None:
    """Name the first bad number of ``x [rows, .., lanes]``, if there is one."""
    if not bad.any():
        return
    at = tuple(int(i[0]) for i in np.nonzero(bad))
    slot = f", slot {at[1]}" if len(at) > 2 else ""
    lane = f", lane {at[-1]}" if x.shape[-1] > 1 else ""
    raise NumberError(f"network: {key} of {what} {names[at[0]]!r}{slot}{lane} is {x[at]:g}, {why}")


def check_one_per_input(wiring: Wiring, key: str, leaf: Any) -> None:
    """Alternative sources supply the same thing, so they share what is said of it. Raises `InputError`."""
    if leaf is None:
        return
    values = np.asarray(leaf)
    for sources in wiring.arcs_of_input:
        if not np.all(values[list(sources)] == values[sources[0]]):
            arcs = ", ".join(wiring.arcs[e] for e in sources)
            raise InputError(f"arcs {arcs} supply one component: give them one {key}")
