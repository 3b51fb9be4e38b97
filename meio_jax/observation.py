"""What the planner sees before ordering, and the inventory positions that classical rules read from it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, rows, sum_first, sum_groups
from meio_jax.network import Network, Wiring
from meio_jax.scenario import Shock
from meio_jax.simulator import State
from meio_jax.stock import to_whole
from meio_jax.struct import pytree, static

__all__ = [
    "Observation",
    "Reports",
    "echelon_position",
    "file_report",
    "init_reports",
    "installation_position",
    "observe",
]


@pytree
class Observation:
    """The planner's picture of the system at the time of ordering.

    on_hand ``[A, N, B]``, components ``[M or 0, B]``, pipeline ``[L, I, B]``: as in `State`.
    owed ``[E, B]``: backlog on each arc, and with ``demand_first`` also what reaches its source in this period: demand
    on customer arcs, and orders that were in the mail.
    demand ``[C, B]``: the newest demand seen: this period's with ``demand_first``, else the previous one's.
    available ``[I, B]``: share that each source can ship now; None where there are no outages.
    unreported ``[I, B]``: orders placed since the reports that this picture is made of; None where reports are prompt.
    unheard ``[I, B]``: orders placed since the report of the arc's source was written, which its stock in this picture
    has yet to serve; 0 on arcs from outside; None where reports are prompt.
    report_age ``[N, B]``: age of each node's report in periods; None where reports are prompt.
    t ``[]``: the period.
    mail ``[D, I, B]``: orders on their way to their source that are not part of ``owed``; None where no order travels.
    """

    on_hand: Array
    components: Array
    owed: Array
    pipeline: Array
    demand: Array
    t: Array
    available: Array | None = None
    unreported: Array | None = None
    unheard: Array | None = None
    report_age: Array | None = None
    mail: Array | None = None

    def replace(self, **changes: Any) -> Observation:
        return dataclasses.replace(self, **changes)


def observe(network: Network, state: State, shock: Shock) -> Observation:
    """The prompt and complete picture. Of the coming shock it reads only what is known before ordering:
    demand with ``demand_first``, and which suppliers are up.
    """
    w = network.wiring
    owed, demand, mail = state.backlog, state.demand, state.mail
    if w.timing == "demand_first":
        demand = shock.demand if state.goodwill is None else shock.demand * state.goodwill
        demand = to_whole(w, demand, 0.5).astype(owed.dtype)
        inner = owed[: w.n_inner]
        if mail is not None:  # the morning's mail has been opened
            inner, mail = inner + mail[0], jnp.concatenate([jnp.zeros_like(mail[:1]), mail[1:]])
        owed = jnp.concatenate([inner, owed[w.n_inner :] + demand])
    return Observation(
        on_hand=state.on_hand,
        components=state.components,
        owed=owed,
        pipeline=state.pipeline,
        demand=demand,
        t=state.t,
        available=shock.available,
        mail=mail,
    )


@pytree
class Reports:
    """Past pictures, newest first, from which late reports are read. ``depth`` is the oldest age kept plus one."""

    depth: int = static()
    on_hand: Array  # [depth, A, N, B]
    components: Array  # [depth, M|0, B]
    owed: Array  # [depth, E, B]
    pipeline: Array  # [depth, L, I, B]
    demand: Array  # [depth, C, B]
    orders: Array  # [depth, I, B]; orders placed, newest first
    mail: Array | None = None  # [depth, D, I, B]


def init_reports(network: Network, state: State, oldest: int) -> Reports:
    """The memory of reports for ages up to ``oldest``: before time 0 everything stood as it does in ``state``."""
    depth = oldest + 1

    def repeat(x: Array) -> Array:
        return jnp.broadcast_to(x, (depth, *x.shape))

    inner = network.wiring.n_inner
    return Reports(
        depth=depth,
        on_hand=repeat(state.on_hand),
        components=repeat(state.components),
        owed=repeat(state.backlog),
        pipeline=repeat(state.pipeline),
        demand=repeat(state.demand),
        orders=jnp.zeros((depth, inner, state.backlog.shape[-1]), state.backlog.dtype),
        mail=None if state.mail is None else repeat(state.mail),
    )


def file_report(network: Network, reports: Reports, seen: Observation, age: Array) -> tuple[Reports, Observation]:
    """File this period's true picture and return what has been reported of it.

    A node reports its stock, its components, its demand, what it owes its customers, and what is owed to it and on its
    way, its orders in the mail among it.
    The planner knows its own orders: those placed since the report was written are ``unreported``.

    Args:
      age: ``[N, B]`` periods since each node's newest report was written; clipped to the memory's depth.
    """
    w = network.wiring
    age = jnp.clip(jnp.round(age).astype(jnp.int32), 0, reports.depth - 1)

    def push(past: Array, now: Array) -> Array:
        return jnp.concatenate([now[None], past[:-1]])

    filed = dataclasses.replace(
        reports,
        on_hand=push(reports.on_hand, seen.on_hand),
        components=push(reports.components, seen.components),
        owed=push(reports.owed, seen.owed),
        pipeline=push(reports.pipeline, seen.pipeline),
        demand=push(reports.demand, seen.demand),
        mail=None if reports.mail is None or seen.mail is None else push(reports.mail, seen.mail),
    )
    by_target = rows(age, list(w.dst[: w.n_inner]))
    by_source = rows(age, list(w.src[w.n_inner :]))
    # What is owed on an inner arc is told by who ordered: with a pipeline of the same age, no order counts twice.
    of_arc = jnp.concatenate([by_target, by_source])
    of_input = rows(age, list(w.node_of_input)) if seen.components.shape[0] else age[:0]

    def pick(past: Array, ages: Array) -> Array:
        out = past[0]
        for k in range(1, reports.depth):
            out = jnp.where(ages == k, past[k], out)
        return out

    def placed_since(ages: Array) -> Array:
        placed = jnp.zeros_like(filed.orders[0])
        for k in range(reports.depth - 1):  # orders[k] was placed k + 1 periods ago
            placed = placed + jnp.where(ages > k, filed.orders[k], 0.0)
        return placed

    inner_sources = np.asarray(w.src[: w.n_inner])
    of_sources = jnp.where((inner_sources >= 0)[:, None], rows(age, [max(int(n), 0) for n in inner_sources]), 0)
    return filed, seen.replace(
        on_hand=pick(filed.on_hand, age),
        components=pick(filed.components, of_input),
        owed=pick(filed.owed, of_arc),
        pipeline=pick(filed.pipeline, by_target),
        demand=pick(filed.demand, by_source),
        mail=None if filed.mail is None else pick(filed.mail, by_target),
        unreported=placed_since(by_target),
        unheard=placed_since(of_sources),
        report_age=age,
    )


def note_orders(reports: Reports, ordered: Array) -> Reports:
    """Remember the orders ``[I, B]`` that were placed in this period."""
    return dataclasses.replace(reports, orders=jnp.concatenate([ordered[None], reports.orders[:-1]]))


def on_order(network: Network, seen: Observation) -> Array:
    """``[M, B]`` units of each input that are ordered and not yet received, wherever they are."""
    w = network.wiring
    coming = sum_first(seen.pipeline) + seen.owed[: w.n_inner]
    if seen.mail is not None:
        coming = coming + sum_first(seen.mail)
    if seen.unreported is not None:
        coming = coming + seen.unreported
    return sum_groups(coming, w.arcs_of_input)


def installation_position(network: Network, seen: Observation) -> Array:
    """``[M, B]`` installation inventory position of each node with respect to each of its inputs, in units of the
    node's own product:
    on hand + (inputs waiting + on order) / units - owed to customers and other nodes.
    """
    w = network.wiring
    inputs = on_order(network, seen)
    if seen.components.shape[0]:
        inputs = inputs + seen.components
    if network.units is not None:
        inputs = inputs / rows(network.units, [arcs[0] for arcs in w.arcs_of_input])
    own = sum_first(seen.on_hand) - sum_groups(seen.owed, w.out_arcs)
    return inputs + rows(own, list(w.node_of_input))


def echelon_position(network: Network, seen: Observation) -> Array:
    """``[M, B]`` echelon inventory position: the installation position plus all that is downstream of it, in own units.

    Axsaeter and Rosling (1993), Management Science 39(10): the sum of the installation positions of the node and of
    everything it feeds, each in units of this node's product. An input with several sources counts for each of them in
    equal shares. Orders that a source within the echelon has not heard of, in the mail or placed since its report was
    written, are taken off its position as if it had: they add nothing to what the echelon has.
    """
    w = network.wiring
    local = installation_position(network, seen)
    unheard = [x for x in (None if seen.mail is None else sum_first(seen.mail), seen.unheard) if x is not None]
    if unheard:
        to_nodes = [[e for e in out if e < w.n_inner] for out in w.out_arcs]
        local = local - rows(sum_groups(sum(unheard[1:], unheard[0]), to_nodes), list(w.node_of_input))
    return accumulate_downstream(network, local)


def accumulate_downstream(network: Network, local: Array) -> Array:
    """``[M, B]`` to ``[M, B]``: add to each input's value those of the inputs that its node feeds, times their
    units.
    """
    w = network.wiring
    sources = [len(w.arcs_of_input[m]) for m in range(w.n_inputs)]
    parts: list[tuple[list[int], Array]] = []
    for nodes in from_customers(w):
        index = [m for n in nodes for m in w.inputs_of_node[n]]
        fed = [[e for e in w.out_arcs[n] if e < w.n_inner] for n in nodes]
        value = rows(local, index)
        arcs = [e for f in fed for e in f]
        if arcs:
            done = jnp.concatenate([p for _, p in parts])
            place = {m: i for i, m in enumerate(m for index_, _ in parts for m in index_)}
            below = rows(done, [place[w.input_of_arc[e]] for e in arcs])
            if network.units is not None:
                below = below * rows(network.units, arcs)
            share = np.asarray([1.0 / sources[w.input_of_arc[e]] for e in arcs], local.dtype)[:, None]
            below = below if (share == 1).all() else below * share
            at = {e: i for i, e in enumerate(arcs)}
            per_node = sum_groups(below, [[at[e] for e in f] for f in fed])
            value = value + rows(per_node, [k for k, n in enumerate(nodes) for _ in w.inputs_of_node[n]])
        parts.append((index, value))
    return assemble(parts, w.n_inputs)


def from_customers(w: Wiring) -> list[list[int]]:
    """Nodes grouped by their longest way to a customer, nearest first: the order in which orders travel upstream."""
    depth = [0] * w.n_nodes
    for n in range(w.n_nodes - 1, -1, -1):
        depth[n] = max((depth[w.dst[e]] + 1 for e in w.out_arcs[n] if e < w.n_inner), default=0)
    return [[n for n in range(w.n_nodes) if depth[n] == d] for d in range(max(depth) + 1)]


def is_finite(seen: Observation) -> Array:
    """``[B]`` whether everything that the planner sees is finite."""
    checks = [jnp.isfinite(x).reshape(-1, x.shape[-1]).all(0) for x in jax.tree.leaves(seen) if x.ndim > 1]
    return jnp.stack(checks).all(0)
