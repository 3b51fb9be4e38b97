"""From a description to a `Network`: every mistake is found here, named, and located."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.elements import ARC_NUMBERS, CUSTOMER, LONGEST, NODE_NUMBERS, OUTSIDE, Arc, Node, Number
from meio_jax.errors import (
    CycleError,
    DuplicateNameError,
    InputError,
    MissingSupplierError,
    NumberError,
    OrphanNodeError,
    UnknownNameError,
)
from meio_jax.network import ALLOCATIONS, ISSUING, TIMINGS, Network, Wiring

__all__ = ["build_network"]


def _topological(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[str]:
    """The given order where it is upstream before downstream, else the nearest such order. Raises `CycleError`."""
    position = {n: i for i, n in enumerate(names)}
    feeders: dict[str, set[str]] = {n: set() for n in names}
    fed: dict[str, set[str]] = {n: set() for n in names}
    for src, dst in edges:
        feeders[dst].add(src)
        fed[src].add(dst)
    waiting = {n: len(f) for n, f in feeders.items()}
    ready = [position[n] for n in names if not waiting[n]]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for n in fed[name]:
            waiting[n] -= 1
            if not waiting[n]:
                heapq.heappush(ready, position[n])
    if len(order) < len(names):
        left = set(names) - set(order)
        path = [min(left, key=position.__getitem__)]
        while path.count(path[-1]) < 2:  # every node left has a feeder that is left: walking up must repeat
            path.append(min((f for f in feeders[path[-1]] if f in left), key=position.__getitem__))
        loop = path[path.index(path[-1]) :][::-1]
        raise CycleError(f"the arcs {' -> '.join(loop)} form a cycle; a supply network must be acyclic")
    return order


def _check_number(where: str, name: str, value: Any, n: Number) -> None:
    for x in np.ravel(np.asarray(value, dtype=float)):
        if math.isnan(x):
            raise NumberError(f"{where}: {name} is NaN; give a number of {n.unit}")
        if not n.low <= x <= n.high:
            if math.isinf(x) and n.default is None and x > 0:
                continue
            raise NumberError(f"{where}: {name} = {x:g} {n.unit} is outside [{n.low:g}, {n.high:g}]")
        if n.whole and x != int(x):
            raise NumberError(f"{where}: {name} = {x:g} must be a whole number of {n.unit}")


def _stack(items: Sequence[Any], name: str, table: dict[str, Number]) -> np.ndarray:
    """One row per item, lanes last: ``[len(items), 1|B]``; ``None`` becomes infinity (no limit)."""
    rows = [np.atleast_1d(np.asarray(np.inf if (v := getattr(x, name)) is None else v, dtype=float)) for x in items]
    lanes = {r.shape[-1] for r in rows} - {1}
    if len(lanes) > 1 or any(r.ndim > 1 for r in rows):
        raise InputError(f"{name}: values per lane must be one-dimensional and of one length, got {sorted(lanes)}")
    width = lanes.pop() if lanes else 1
    return np.stack([np.broadcast_to(r, (width,)) for r in rows]) if rows else np.zeros((0, 1))


def build_network(
    nodes: Sequence[Node],
    arcs: Sequence[Arc],
    *,
    timing: str = "order_first",
    allocation: str = "proportional",
    issuing: str = "fifo",
    integer: bool = False,
) -> Network:
    """Check a description and turn it into a `Network`.

    Args:
      nodes: `Node` objects, in any order.
      arcs: `Arc` objects, in any order; among the customer arcs and among the inner arcs of a node, the given order
        is the order of priority.
      timing: ``"demand_first"``, ``"order_first"`` or ``"ship_first"``; see `meio_jax.simulator`.
      allocation: how scarce stock is shared among a node's outgoing arcs.
      issuing: which age leaves first, where stock perishes.
      integer: quantities stay whole: builds, yields, losses and shares are rounded down.

    Raises:
      DuplicateNameError, UnknownNameError, CycleError, OrphanNodeError, MissingSupplierError, NumberError, InputError:
        each says where and what to do.
    """
    for value, allowed, what in (
        (timing, TIMINGS, "timing"),
        (allocation, ALLOCATIONS, "allocation"),
        (issuing, ISSUING, "issuing"),
    ):
        if value not in allowed:
            raise UnknownNameError(f"{what} {value!r} is not one of {', '.join(allowed)}")
    if not nodes:
        raise InputError("a network needs at least one node")
    names = [node.name for node in nodes]
    times = Counter(names)
    for name in names:
        if name in (OUTSIDE, CUSTOMER) or not isinstance(name, str) or not name:
            raise InputError(f"node name {name!r}: must be a non-empty string other than {OUTSIDE!r} and {CUSTOMER!r}")
        if times[name] > 1:
            raise DuplicateNameError(f"node {name!r} appears more than once")
    arcs = [
        a if a.name else dataclasses.replace(a, name=f"{a.src}->{a.dst}" + (f":{a.component}" if a.component else ""))
        for a in arcs
    ]
    arc_times = Counter(a.name for a in arcs)
    for arc in arcs:
        if arc_times[arc.name] > 1:
            raise DuplicateNameError(f"arc {arc.name!r} appears more than once; give each its own name")
        for end, special in ((arc.src, OUTSIDE), (arc.dst, CUSTOMER)):
            if end != special and end not in times:
                raise UnknownNameError(f"arc {arc.name!r}: {end!r} is no node; nodes are {', '.join(names)}")
        if arc.src == OUTSIDE and arc.dst == CUSTOMER:
            raise InputError(f"arc {arc.name!r} goes from outside to a customer without passing a node")
    inner = [a for a in arcs if a.dst != CUSTOMER]
    customers = [a for a in arcs if a.dst == CUSTOMER]
    fed, feeding = {a.dst for a in arcs}, {a.src for a in arcs}
    for node in nodes:
        feeds, leaves = node.name in fed, node.name in feeding
        if not feeds and not leaves:
            raise OrphanNodeError(f"node {node.name!r} has no arc; connect it or remove it")
        if not feeds:
            raise MissingSupplierError(
                f"node {node.name!r} has no supplier; add an arc from {OUTSIDE!r} or from a node to it"
            )
        if not leaves:
            raise OrphanNodeError(f"node {node.name!r} feeds nobody; add an arc to a node or to {CUSTOMER!r}")
        if not isinstance(node.make_to_order, bool):
            raise InputError(f"node {node.name!r}: make_to_order must be true or false")
        for key, n in NODE_NUMBERS.items():
            if getattr(node, key) is not None:
                _check_number(f"node {node.name!r}", key, getattr(node, key), n)
    bounds: dict[str, tuple[int, int, int]] = {}
    for arc in arcs:
        where = f"arc {arc.name!r}"
        kind = "customer" if arc.dst == CUSTOMER else "inner"
        for key, n in ARC_NUMBERS.items():
            value = getattr(arc, key)
            if n.of not in ("all", kind) and not (value is n.default or np.all(np.asarray(value) == n.default)):
                raise InputError(f"{where}: {key} is for {n.of} arcs, and this is one of the others")
            if value is not None:
                _check_number(where, key, value, n)
        low = arc.lead_time if arc.min_lead_time is None else arc.min_lead_time
        high = arc.lead_time if arc.max_lead_time is None else arc.max_lead_time
        for key, x in (("lead_time", arc.lead_time), ("min_lead_time", low), ("max_lead_time", high)):
            if isinstance(x, bool) or int(x) != x or not 0 <= x <= LONGEST:
                raise NumberError(f"{where}: {key} = {x} must be a whole number of periods in [0, {LONGEST}]")
        if not low <= arc.lead_time <= high:
            raise NumberError(f"{where}: lead times must satisfy {low} <= {arc.lead_time} <= {high}")
        if kind == "customer" and high:
            raise InputError(f"{where}: customers are served from stock; model a delivery time as a node before them")
        bounds[arc.name] = (int(arc.lead_time), int(low), int(high))
        if np.any(
            np.asarray(arc.minimum_order) > (np.inf if arc.order_capacity is None else np.asarray(arc.order_capacity))
        ):
            raise NumberError(f"{where}: minimum_order exceeds order_capacity, so no order could ever be placed")

    ordered = _topological(names, [(a.src, a.dst) for a in inner if a.src != OUTSIDE])
    index = {name: i for i, name in enumerate(ordered)} | {OUTSIDE: -1, CUSTOMER: -1}
    nodes = sorted(nodes, key=lambda x: index[x.name])
    inner.sort(key=lambda a: index[a.src])
    customers.sort(key=lambda a: index[a.src])
    arcs = [*inner, *customers]
    shelf = _stack(nodes, "shelf_life", NODE_NUMBERS)
    wiring = Wiring(
        nodes=tuple(ordered),
        arcs=tuple(a.name for a in arcs),
        src=tuple(index[a.src] for a in arcs),
        dst=tuple(index[a.dst] for a in arcs),
        component=tuple(a.component for a in inner),
        lead_time=tuple(bounds[a.name][0] for a in inner),
        min_lead_time=tuple(bounds[a.name][1] for a in inner),
        max_lead_time=tuple(bounds[a.name][2] for a in inner),
        make_to_order=tuple(x.make_to_order for x in nodes),
        ages=int(shelf[np.isfinite(shelf)].max(initial=1)),
        timing=timing,
        allocation=allocation,
        issuing=issuing,
        integer=integer,
    )

    leaves: dict[str, Array | None] = {}
    for key, n in NODE_NUMBERS.items():
        leaves[key] = _leaf(_stack(nodes, key, NODE_NUMBERS), n)
    for key, n in ARC_NUMBERS.items():
        if key != "initial_pipeline":
            of = {"all": arcs, "inner": inner, "customer": customers}[n.of]
            leaves[key] = _leaf(_stack(of, key, ARC_NUMBERS), n)
    if leaves["component_holding_cost"] is not None:
        rates = np.asarray(leaves["component_holding_cost"])
        for sources in wiring.arcs_of_input:
            if not np.all(rates[list(sources)] == rates[sources[0]]):
                raise InputError(
                    f"arcs {', '.join(wiring.arcs[e] for e in sources)} supply one component: one component_holding_cost"
                )
        leaves["component_holding_cost"] = jnp.asarray(rates[[s[0] for s in wiring.arcs_of_input]])
    if leaves["erosion"] is not None or leaves["restoration"] is not None:
        for key in ("erosion", "restoration"):
            if leaves[key] is None:
                leaves[key] = jnp.zeros((len(customers), 1))
    for key, rows in (("holding_cost", len(nodes)), ("initial_on_hand", len(nodes)), ("backlog_cost", len(arcs))):
        if leaves[key] is None:
            leaves[key] = jnp.zeros((rows, 1))
    if leaves["units"] is not None:
        units = np.asarray(leaves["units"])
        for sources in wiring.arcs_of_input:
            if not np.all(units[list(sources)] == units[sources[0]]):
                raise InputError(
                    f"arcs {', '.join(wiring.arcs[e] for e in sources)} supply one component: give them one units"
                )
    leaves["initial_pipeline"] = jnp.asarray(_pipeline(inner, wiring))
    return Network(wiring=wiring, **leaves)  # type: ignore[arg-type]


def _leaf(values: np.ndarray, n: Number) -> Array | None:
    """Drop a feature that nobody uses, so that it is not compiled."""
    unused = np.inf if n.default is None else n.default
    return None if np.all(values == unused) else jnp.asarray(values)


def _pipeline(inner: Sequence[Any], wiring: Wiring) -> np.ndarray:
    rows = np.zeros((wiring.slots, len(inner), 1))
    for e, arc in enumerate(inner):
        values = np.atleast_1d(np.asarray(arc.initial_pipeline, dtype=float))
        if np.asarray(arc.initial_pipeline).ndim == 0:  # one number: the same in every period of the lead time
            values = np.full(arc.lead_time, float(values[0]))
        if len(values) > max(wiring.max_lead_time[e], 0):
            raise InputError(
                f"arc {arc.name!r}: initial_pipeline has {len(values)} periods, its longest lead time is {wiring.max_lead_time[e]}"
            )
        rows[: len(values), e, 0] = values
    return rows
