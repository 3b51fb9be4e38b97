"""From a description to a `Network`."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import Array

from meio_jax.checks import (
    check_arcs,
    check_nodes,
    check_one_per_input,
    check_rules,
    check_whole,
    lead_time_bounds,
    order_delay,
)
from meio_jax.elements import ARC_NUMBERS, CUSTOMER, NODE_NUMBERS, OUTSIDE, Arc, Node, Number
from meio_jax.errors import CycleError, InputError
from meio_jax.network import Network, Wiring

__all__ = ["build_network"]


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
    check_rules(timing, allocation, issuing)
    arcs = _named(arcs)
    check_nodes(nodes, arcs)
    check_arcs(nodes, arcs)
    if integer:
        check_whole([*nodes, *arcs])
    inner = [a for a in arcs if a.dst != CUSTOMER]
    ordered = _topological([node.name for node in nodes], [(a.src, a.dst) for a in inner if a.src != OUTSIDE])
    index = {name: i for i, name in enumerate(ordered)} | {OUTSIDE: -1, CUSTOMER: -1}
    nodes = sorted(nodes, key=lambda x: index[x.name])
    inner.sort(key=lambda a: index[a.src])
    customers = sorted((a for a in arcs if a.dst == CUSTOMER), key=lambda a: index[a.src])
    arcs = [*inner, *customers]
    bounds = [lead_time_bounds(a) for a in inner]
    shelf = _stack(nodes, "shelf_life")
    wiring = Wiring(
        nodes=tuple(ordered),
        arcs=tuple(str(a.name) for a in arcs),
        src=tuple(index[a.src] for a in arcs),
        dst=tuple(index[a.dst] for a in arcs),
        component=tuple(a.component for a in inner),
        lead_time=tuple(b[0] for b in bounds),
        min_lead_time=tuple(b[1] for b in bounds),
        max_lead_time=tuple(b[2] for b in bounds),
        order_delay=tuple(map(order_delay, inner)),
        make_to_order=tuple(x.make_to_order for x in nodes),
        ages=int(shelf[np.isfinite(shelf)].max(initial=1)),
        timing=timing,
        allocation=allocation,
        issuing=issuing,
        integer=integer,
    )
    return Network(wiring=wiring, **_leaves(nodes, inner, customers, wiring))


def _named(arcs: Sequence[Arc]) -> list[Arc]:
    """Arcs without a name are called after their ends, and their component where they have one."""

    def name(arc: Arc) -> str:
        return f"{arc.src}->{arc.dst}" + (f":{arc.component}" if arc.component else "")

    return [arc if arc.name else dataclasses.replace(arc, name=name(arc)) for arc in arcs]


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


def _leaves(nodes: Sequence[Node], inner: Sequence[Arc], customers: Sequence[Arc], wiring: Wiring) -> dict[str, Any]:
    """The array leaves by name, features that nobody uses left out."""
    leaves: dict[str, Array | None] = {}
    for key, n in NODE_NUMBERS.items():
        leaves[key] = _leaf(_stack(nodes, key), n)
    of = {"all": [*inner, *customers], "inner": inner, "customer": customers}
    for key, n in ARC_NUMBERS.items():
        if key not in ("initial_pipeline", "initial_orders"):
            leaves[key] = _leaf(_stack(of[n.of], key), n)
    for key in ("units", "component_holding_cost"):
        check_one_per_input(wiring, key, leaves[key])
    if leaves["component_holding_cost"] is not None:
        leaves["component_holding_cost"] = leaves["component_holding_cost"][
            np.asarray([sources[0] for sources in wiring.arcs_of_input])
        ]
    always = {"holding_cost": len(nodes), "initial_on_hand": len(nodes), "backlog_cost": wiring.n_arcs}
    if leaves["erosion"] is not None or leaves["restoration"] is not None:
        always |= {"erosion": len(customers), "restoration": len(customers)}
    for key, rows in always.items():
        if leaves[key] is None:
            leaves[key] = _put(np.zeros((rows, 1)))
    lanes = {leaf.shape[-1]: key for key, leaf in leaves.items() if leaf is not None and leaf.shape[-1] > 1}
    if len(lanes) > 1:
        raise InputError(f"numbers per lane differ in length: {', '.join(f'{v} has {k}' for k, v in lanes.items())}")
    longest, delay = wiring.max_lead_time, wiring.order_delay
    leaves["initial_pipeline"] = _put(_queue(inner, "initial_pipeline", wiring.slots, wiring.lead_time, longest))
    mail = _queue(inner, "initial_orders", wiring.mail_slots, delay, delay)
    leaves["initial_orders"] = _put(mail) if mail.any() else None
    return leaves


def _stack(items: Sequence[Any], name: str) -> np.ndarray:
    """One row per item, lanes last: ``[len(items), 1|B]``; ``None`` becomes infinity (no limit)."""
    rows = [np.atleast_1d(np.asarray(np.inf if (v := getattr(x, name)) is None else v, dtype=float)) for x in items]
    lanes = {r.shape[-1] for r in rows} - {1}
    if len(lanes) > 1 or any(r.ndim > 1 for r in rows):
        raise InputError(f"{name}: values per lane must be one-dimensional and of one length, got {sorted(lanes)}")
    width = lanes.pop() if lanes else 1
    return np.stack([np.broadcast_to(r, (width,)) for r in rows]) if rows else np.zeros((0, 1))


def _put(values: np.ndarray) -> Array:
    """On the device, in JAX's precision. `jnp.asarray` and `jnp.zeros` would compile a program for each shape."""
    return jax.device_put(np.asarray(values, jax.dtypes.canonicalize_dtype(values.dtype)))


def _leaf(values: np.ndarray, n: Number) -> Array | None:
    """Drop a feature that nobody uses, so that it is not compiled."""
    unused = np.inf if n.default is None else n.default
    return None if np.all(values == unused) else _put(values)


def _queue(inner: Sequence[Any], key: str, slots: int, usual: Sequence[int], longest: Sequence[int]) -> np.ndarray:
    """``[slots, I, 1]``: what is on its way at time 0 on each arc. One number is the same in each of ``usual`` periods;
    a list has at most ``longest`` entries.
    """
    what = {"initial_pipeline": "longest lead time", "initial_orders": "order delay"}[key]
    rows = np.zeros((slots, len(inner), 1))
    for e, arc in enumerate(inner):
        given = np.asarray(getattr(arc, key), dtype=float)
        values = np.full(usual[e], float(given)) if given.ndim == 0 else given
        if values.ndim > 1:
            raise InputError(f"arc {arc.name!r}: {key} has shape {values.shape}; give one number per period")
        if len(values) > longest[e]:
            raise InputError(f"arc {arc.name!r}: {key} has {len(values)} periods, its {what} is {longest[e]}")
        rows[: len(values), e, 0] = values
    return rows
