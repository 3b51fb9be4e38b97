"""What is seen of each node, input and arc, in numbers of order one whose count does not depend on the wiring.

A network that is shared by all nodes, or that sends messages along arcs, sees of every node the same F numbers, of
every network. Where a network lacks something its number is that of nothing happening: no mail, a source that is up.
Beside what changes there are *facts*: costs, lead times, limits, each as a share in [0, 1] or as a logarithm, so that
they need no moments and mean the same in every network.

========== =============================================================================================================
nodes      ``on_hand``; ``expires k``: units that can be used in k more periods besides this one; ``owed``; all over the
           node's mean throughput; ``report_age``: periods / 4; ``calendar``, ``progress`` as in `meio_jax.features`
inputs     ``components`` over mean throughput; ``echelon``, ``installation``: distance of these positions from their
           reference levels in spreads
arcs       ``owed``, ``pipeline k`` (slot k, the last one for all later), ``mail``, ``unreported``, ``demand`` over the
           mean order or demand; ``available``
facts      holding cost; expiry, capacity, storage (how tight), yield, make to order, depth; spread and level over flow,
           periods covered; who is at the ends of an arc, its lead time and delay, its shares in its source's and its
           target's flow, what a late or lost unit costs, unit and fixed cost, how tight its limits are
========== =============================================================================================================
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import Scale
from meio_jax.indexing import rows, sum_first, sum_groups
from meio_jax.network import Network
from meio_jax.observation import Observation, echelon_position, installation_position
from meio_jax.policies.guess import exposure

__all__ = ["Views", "view_names", "views"]

#: What is added to a sum of costs or of flows that is divided by.
TINY = 1e-6


class Views(NamedTuple):
    """Leaves ``[B, N, F]``, ``[B, M, F]``, ``[B, E, F]`` of what changes, and the same of facts."""

    nodes: Any
    inputs: Any
    arcs: Any
    node_facts: Any
    input_facts: Any
    arc_facts: Any


Fields = list[tuple[str, Array]]


def views(
    network: Network, seen: Observation, scale: Scale, *, slots: int = 4, ages: int = 2,
    cycle: int | None = None, horizon: int | None = None,
) -> Views:  # fmt: skip
    """Finite where the observation is; NaN stays NaN.

    Args:
      slots: of the pipeline that are told apart; the last one holds all later ones too. ages: of stock that perishes.
    """
    lanes = seen.on_hand.shape[-1]

    def join(fields: Fields) -> Array:
        count = max(x.shape[0] for _, x in fields)
        wide = [jnp.broadcast_to(x, (count, lanes)) for _, x in fields]
        return jnp.moveaxis(jnp.stack(wide), (0, 1, 2), (2, 1, 0))

    return Views(*map(join, _fields(network, seen, scale, slots, ages, cycle, horizon)))


def view_names(
    network: Network, seen: Observation, scale: Scale, *, slots: int = 4, ages: int = 2,
    cycle: int | None = None, horizon: int | None = None,
) -> Views:  # fmt: skip
    """The names of the last axis of each leaf of `views`; shapes are read, values are not."""
    found: list[Fields] = []

    def look() -> None:
        found.extend(_fields(network, seen, scale, slots, ages, cycle, horizon))

    jax.eval_shape(look)
    return Views(*(tuple(name for name, _ in part) for part in found))


def _fields(
    network: Network, seen: Observation, scale: Scale, slots: int, ages: int, cycle: int | None, horizon: int | None
) -> tuple[Fields, ...]:
    """Of each leaf its fields, ``[N|M|E or 1, 1|B]`` each."""
    return (
        _nodes(network, seen, scale, ages, cycle, horizon),
        _inputs(network, seen, scale),
        _arcs(network, seen, scale, slots),
        _node_facts(network, scale),
        _input_facts(network, scale),
        _arc_facts(network, scale),
    )


def _nodes(
    network: Network, seen: Observation, scale: Scale, ages: int, cycle: int | None, horizon: int | None
) -> Fields:
    w, dtype = network.wiring, seen.on_hand.dtype
    nothing = jnp.zeros((w.n_nodes, 1), dtype)
    fields = [("on_hand", sum_first(seen.on_hand) / scale.node)]
    for k in range(ages):
        expires = nothing
        if network.shelf_life is not None and k < w.ages:
            expires = jnp.where(jnp.isfinite(network.shelf_life), seen.on_hand[k], 0.0) / scale.node
        fields.append((f"expires {k}", expires))
    fields.append(("owed", sum_groups(seen.owed, w.out_arcs) / scale.node))
    age = nothing if seen.report_age is None else seen.report_age.astype(dtype) / 4.0
    fields.append(("report_age", age))
    if cycle is not None:
        angle = ((seen.t % cycle).astype(dtype) * (2.0 * np.pi / cycle))[None, None]
        fields += [("calendar sin", jnp.sin(angle)), ("calendar cos", jnp.cos(angle))]
    if horizon is not None:
        fields.append(("progress", (seen.t.astype(dtype) / horizon)[None, None]))
    return fields


def _inputs(network: Network, seen: Observation, scale: Scale) -> Fields:
    w = network.wiring
    waiting = jnp.zeros((w.n_inputs, 1), seen.on_hand.dtype)
    if seen.components.shape[0]:
        size = rows(scale.node, w.node_of_input)
        if network.units is not None:
            size = size * rows(network.units, [arcs[0] for arcs in w.arcs_of_input])
        waiting = seen.components / size
    return [
        ("components", waiting),
        ("echelon", (echelon_position(network, seen) - scale.echelon) / scale.echelon_spread),
        ("installation", (installation_position(network, seen) - scale.local) / scale.local_spread),
    ]


def _arcs(network: Network, seen: Observation, scale: Scale, slots: int) -> Fields:
    w, dtype = network.wiring, seen.on_hand.dtype
    customers = jnp.zeros((w.n_customers, 1), dtype)

    def inner(x: Array | None, rest: Array | float = 0.0) -> Array:
        """``[E, B]`` of what only inner arcs have."""
        if x is None:
            return jnp.full((w.n_arcs, 1), rest, dtype)
        return jnp.concatenate([x, jnp.broadcast_to(customers + rest, (w.n_customers, x.shape[-1]))])

    fields = [("owed", seen.owed / _sizes(scale))]
    for k in range(slots):
        there = seen.pipeline[k:] if k == slots - 1 else seen.pipeline[k : k + 1]
        fields.append((f"pipeline {k}", inner(sum_first(there) / scale.arc if there.shape[0] else None)))
    fields.append(("mail", inner(None if seen.mail is None else sum_first(seen.mail) / scale.arc)))
    fields.append(("unreported", inner(None if seen.unreported is None else seen.unreported / scale.arc)))
    newest = seen.demand / scale.demand
    fields.append(("demand", jnp.concatenate([jnp.zeros((w.n_inner, newest.shape[-1]), dtype), newest])))
    up = None if seen.available is None else seen.available.astype(dtype)
    return [*fields, ("available", inner(up, 1.0))]


def _sizes(scale: Scale) -> Array:
    """``[E, 1|B]`` mean order or demand on each arc."""
    lanes = max(scale.arc.shape[-1], scale.demand.shape[-1])
    parts = [jnp.broadcast_to(x, (x.shape[0], lanes)) for x in (scale.arc, scale.demand)]
    return jnp.concatenate(parts)


def _share(x: Array, of: Array) -> Array:
    """The part of x in x + of: in [0, 1) for numbers that are not negative, 0 where ``of`` is infinite."""
    return x / (x + of + TINY)


def _tight(flow: Array, limit: Array | None) -> Array:
    """How much of what a limit allows is used by the mean flow; 0 without one."""
    return jnp.zeros_like(flow) if limit is None else _share(flow, limit)


def _node_facts(network: Network, scale: Scale) -> Fields:
    w, flow = network.wiring, scale.node
    dtype = flow.dtype
    holding = jnp.abs(network.holding_cost)
    expiry = jnp.zeros_like(flow) if network.shelf_life is None else 1.0 / (1.0 + network.shelf_life)
    level = np.asarray(w.levels, dtype)[:, None]
    return [
        ("holding", _share(holding, holding.mean(0, keepdims=True))),
        ("expiry", expiry),
        ("capacity", _tight(flow, network.capacity)),
        ("storage", _tight(flow, network.storage)),
        ("yield", jnp.ones_like(flow) if network.yield_ is None else network.yield_),
        ("make_to_order", jnp.asarray(np.asarray(w.make_to_order, dtype)[:, None])),
        ("depth", jnp.asarray(np.log1p(level))),
        ("sources", jnp.asarray(np.log1p(np.asarray([[len(a)] for a in w.in_arcs], dtype)))),
        ("targets", jnp.asarray(np.log1p(np.asarray([[len(a)] for a in w.out_arcs], dtype)))),
    ]


def _input_facts(network: Network, scale: Scale) -> Fields:
    flow = rows(scale.node, network.wiring.node_of_input)
    return [
        ("echelon spread", jnp.log1p(scale.echelon_spread / flow)),
        ("local spread", jnp.log1p(scale.local_spread / flow)),
        ("echelon level", jnp.log1p(jnp.maximum(scale.echelon, 0.0) / flow)),
        ("local level", jnp.log1p(jnp.maximum(scale.local, 0.0) / flow)),
        ("periods", jnp.log1p(exposure(network, cascade=True).astype(flow.dtype))),
    ]


def _arc_facts(network: Network, scale: Scale) -> Fields:
    w, dtype = network.wiring, scale.arc.dtype
    size = _sizes(scale)
    holding = jnp.abs(network.holding_cost)
    cheap = holding.mean(0, keepdims=True)

    def constant(values: Any) -> Array:
        return jnp.asarray(np.asarray(values, dtype)[:, None])

    def ends(x: Array, end: tuple[int, ...], rest: Array) -> Array:
        """Of the node at an end of each arc; ``rest`` outside."""
        padded = jnp.concatenate([x, jnp.broadcast_to(rest, (1, x.shape[-1]))])
        return rows(padded, [n if n >= 0 else w.n_nodes for n in end])

    def inner(x: Array | None) -> Array:
        return (
            jnp.zeros((w.n_arcs, 1), dtype)
            if x is None
            else jnp.concatenate([x, jnp.zeros_like(x[:1]).repeat(w.n_customers, 0)])
        )

    units = jnp.ones_like(scale.arc) if network.units is None else network.units
    into = jnp.concatenate([scale.arc / units / rows(scale.node, w.dst[: w.n_inner]), jnp.ones_like(scale.demand)])
    late = network.backlog_cost if network.lost_cost is None else network.backlog_cost + network.lost_cost
    kept = jnp.ones_like(late) if network.keep is None else network.keep
    lead = constant(w.lead_time) if network.lead_time is None else network.lead_time.astype(dtype)
    unit_cost, fixed = network.unit_cost, network.fixed_order_cost
    dear = None if unit_cost is None else _share(jnp.abs(unit_cost), jnp.abs(unit_cost).mean(0, keepdims=True))
    target = rows(holding * scale.node, w.dst[: w.n_inner])
    return [
        ("outside", constant([float(n < 0) for n in w.src])),
        ("customer", constant([float(n < 0) for n in w.dst])),
        ("lead_time", inner(jnp.log1p(lead))),
        ("lead_time range", inner(jnp.log1p(constant(np.subtract(w.max_lead_time, w.min_lead_time))))),
        ("order_delay", inner(jnp.log1p(constant(w.order_delay)))),
        ("of source", jnp.minimum(size / ends(scale.node, w.src, jnp.asarray(jnp.inf, dtype)), 1.0)),
        ("of target", jnp.minimum(into, 1.0)),
        ("late", _share(jnp.abs(late), ends(holding, w.src, cheap))),
        ("kept", kept),
        ("unit_cost", inner(dear)),
        ("fixed_order_cost", inner(None if fixed is None else _share(fixed, target))),
        ("capacity", inner(_tight(scale.arc, network.order_capacity))),
        ("minimum", inner(None if network.minimum_order is None else _share(network.minimum_order, scale.arc))),
        ("lot", inner(None if network.lot_size is None else _share(network.lot_size, scale.arc))),
    ]
