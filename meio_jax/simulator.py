"""The dynamics: one period of a supply network, deterministic, keyless, differentiable, all lanes at once.

One period, in order (the full text, with every rounding rule, is section 3 of ARCHITECTURE.md):

1. wanted orders become the nearest orders that lots, minima and capacities allow, and travel to their source; customers
   ask for their demand;
2. suppliers ship; every node receives, builds what its scarcest input, its capacity and its yield allow, and serves its
   outgoing arcs; with ``ship_first`` the inner arcs are served before anything is received;
3. what is not served is kept as backlog or lost; goodwill follows the service of the period;
4. stock ages, expires and overflows; pipelines move on.

``demand_first`` and ``order_first`` have the same dynamics: they differ in what the planner saw before ordering. Event
order after Zipkin, Foundations of Inventory Management (2000), section 9.4, and Snyder and Shen, Fundamentals of Supply
Chain Theory (2019), section 6.2. The simulator never stops a gradient; what is rounded, to lots or to whole units, has
the gradient of what it was before (`meio_jax.stock.rounded_down`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, rows, sum_first
from meio_jax.network import Network
from meio_jax.scenario import Shock
from meio_jax.shipments import Shipments, deliver_mail
from meio_jax.stock import Site, age, assemble_ages, fresh, issue, rounded_down, serve, store, to_whole
from meio_jax.struct import pytree

__all__ = ["Flows", "State", "initial_state", "place_orders", "transition"]


@pytree
class State:
    """Everything that the future depends on, at the start of a period.

    on_hand:    ``[A, N, B]`` stock by age; class a can be used in a + 1 more periods, this one included.
    components: ``[M, B]`` inputs waiting at nodes; ``[0, B]`` where the network cannot hold any.
    backlog:    ``[E, B]`` units owed on each arc.
    pipeline:   ``[L, I, B]`` units on their way; slot 0 is received in the coming period.
    demand:     ``[C, B]`` what customers asked for in the previous period.
    goodwill:   ``[C, B]`` factor on demand, or None.
    t:          ``[]`` int32, the coming period.
    mail:       ``[D, I, B]`` orders on their way to their source, slot 0 reaches it in the coming period; None where
                all orders are there at once.
    """

    on_hand: Array
    components: Array
    backlog: Array
    pipeline: Array
    demand: Array
    goodwill: Array | None
    t: Array
    mail: Array | None = None

    def replace(self, **changes: Any) -> State:
        return dataclasses.replace(self, **changes)


@pytree
class Flows:
    """Everything that moved in a period or stands at its end; costs and KPIs read nothing else.

    ordered, shipped, filled, lost, backlog: ``[E, B]``; received, in_transit: ``[I, B]``;
    started, built, expired, overflow, on_hand: ``[N, B]``; components: ``[M or 0, B]``; arrived, in_mail: ``[I, B]``,
    None where no order travels. Meanings in ARCHITECTURE.md, section 2.
    """

    ordered: Array
    shipped: Array
    filled: Array
    lost: Array
    backlog: Array
    received: Array
    in_transit: Array
    started: Array
    built: Array
    expired: Array
    overflow: Array
    on_hand: Array
    components: Array
    arrived: Array | None = None
    in_mail: Array | None = None


def initial_state(network: Network, lanes: int) -> State:
    """The state at time 0, from the network's initial stock, pipeline and mail, nothing owed, full goodwill."""
    w = network.wiring
    dtype = network.holding_cost.dtype

    def wide(x: Array) -> Array:
        return jnp.broadcast_to(x, (*x.shape[:-1], lanes)).astype(dtype)

    stock = wide(network.initial_on_hand)
    mail = None
    if w.mail_slots:
        shape = (w.mail_slots, w.n_inner, lanes)
        mail = jnp.zeros(shape, dtype) if network.initial_orders is None else wide(network.initial_orders)
    return State(
        on_hand=fresh(network, stock),
        components=jnp.zeros((w.n_inputs if network.holds_components else 0, lanes), dtype),
        backlog=jnp.zeros((w.n_arcs, lanes), dtype),
        pipeline=wide(network.initial_pipeline),
        demand=jnp.zeros((w.n_customers, lanes), dtype),
        goodwill=None if network.erosion is None else jnp.ones((w.n_customers, lanes), dtype),
        t=jnp.zeros((), jnp.int32),
        mail=mail,
    )


def transition(
    network: Network, state: State, orders: Array, shock: Shock, allocation: Array | None = None
) -> tuple[State, Flows]:
    """Play one period.

    Args:
      orders: ``[I, B]`` units wanted on each inner arc. NaN surfaces in the state; it never becomes an order of zero.
      shock: what the outside world does in this period.
      allocation: ``[E, B]`` the most that may leave on each arc (`inf`: no limit); None: the wiring's rule alone.

    Returns:
      The next state, and what moved.
    """
    w = network.wiring
    inner = w.n_inner
    placed = place_orders(network, orders)
    arrived, mail = deliver_mail(w, state.mail, placed)
    asked = shock.demand if state.goodwill is None else shock.demand * state.goodwill
    asked = to_whole(w, asked, 0.5).astype(placed.dtype)
    ordered = jnp.concatenate([arrived, asked])  # what is new on each arc for its source to serve
    owed = state.backlog + ordered
    want = owed
    if shock.available is not None:
        want = jnp.concatenate([to_whole(w, owed[:inner] * shock.available), owed[inner:]])
    shipments = Shipments(w, network, shock)
    if w.outside_arcs:
        shipments.add(w.outside_arcs, rows(want, w.outside_arcs))
    if allocation is not None:
        want = jnp.minimum(want, to_whole(w, jnp.maximum(allocation, 0.0)))

    play = _ship_first if w.timing == "ship_first" else _receive_first
    stock, inputs, received, started, built = play(network, state, shock, owed, want, shipments)
    shipped = shipments.all()

    unmet = jnp.minimum(ordered, owed - shipped)
    lost = jnp.zeros_like(owed) if network.keep is None else to_whole(w, (1.0 - network.keep) * unmet, 0.5)
    backlog = jnp.maximum(owed - shipped - lost, 0.0)
    goodwill = state.goodwill
    if goodwill is not None and network.erosion is not None and network.restoration is not None:
        some = asked > 0
        share = jnp.where(some, unmet[inner:] / jnp.where(some, asked, 1.0), 0.0)
        goodwill = goodwill * (1.0 - network.erosion * share) + network.restoration * (1.0 - goodwill) * (1.0 - share)
    stock, expired = age(network, stock)
    stock, overflow = store(network, stock)
    pipeline = shipments.advance(state.pipeline)

    flows = Flows(
        ordered=ordered if mail is None else jnp.concatenate([placed, asked]),
        shipped=shipped,
        filled=ordered - unmet,
        lost=lost,
        backlog=backlog,
        received=received,
        in_transit=sum_first(pipeline),
        started=started,
        built=built,
        expired=expired,
        overflow=overflow,
        on_hand=sum_first(stock),
        components=inputs,
        arrived=None if mail is None else arrived,
        in_mail=None if mail is None else sum_first(mail),
    )
    after = State(
        on_hand=stock,
        components=inputs,
        backlog=backlog,
        pipeline=pipeline,
        demand=asked,
        goodwill=goodwill,
        t=state.t + 1,
        mail=mail,
    )
    return after, flows


def place_orders(network: Network, orders: Array) -> Array:
    """The nearest orders that lots, minimum orders and order capacities allow, ``[I, B]``. NaN stays NaN.

    Rounding to lots differentiates as the identity; a minimum order has no such stand-in, below it the gradient is 0.
    """
    wanted = jnp.maximum(orders, 0.0)
    lot, least, most = network.lot_size, network.minimum_order, network.order_capacity
    if network.wiring.integer:
        lot = jnp.ones((1, 1), wanted.dtype) if lot is None else jnp.where(lot == 0, 1.0, lot)
    q = wanted
    size = jnp.ones((1, 1), q.dtype) if lot is None else jnp.where(lot > 0, lot, 1.0)
    if lot is not None:
        q = jnp.where(lot == 0, q, rounded_down(q / size + 0.5) * lot)
    floor = None
    if least is not None:
        floor = least if lot is None else jnp.where(lot > 0, jnp.ceil(least / size) * size, least)
        q = jnp.where(wanted < floor, jnp.where(wanted < 0.5 * floor, 0.0, floor), q)
        q = q + (floor - floor)  # a NaN minimum surfaces
    if most is not None:
        cap = most
        if lot is not None:  # no product with an infinite capacity: its gradient would be NaN
            some = ~jnp.isinf(most)
            cap = jnp.where((lot > 0) & some, jnp.floor(jnp.where(some, most, 0.0) / size) * size, most)
        q = jnp.minimum(q, cap)
        if floor is not None:
            q = jnp.where(floor > cap, q * 0.0, q)
    return q


def _receive_first(
    network: Network, state: State, shock: Shock, owed: Array, want: Array, shipments: Shipments
) -> tuple[Array, Array, Array, Array, Array]:
    """Nodes from upstream to downstream: receive, build, serve. Nodes that cannot deliver to each other today go
    together.
    """
    w = network.wiring
    parts: dict[str, list[tuple[Sequence[int], Array]]] = {
        k: [] for k in ("stock", "inputs", "received", "started", "built")
    }
    for nodes in w.waves:
        site = Site(network, shock, nodes)
        received = _receive(state, site, shipments)
        stock = jnp.stack([rows(x, nodes) for x in state.on_hand]) if len(nodes) < w.n_nodes else state.on_hand
        outgoing = [e for n in nodes for e in w.out_arcs[n]]
        need = site.net_demand(owed, stock, w.out_arcs)
        inputs, started, built = site.build(site.inputs(state.components, received), need)
        stock = stock + site.fresh(built)
        shipped = serve(w, [w.out_arcs[n] for n in nodes], sum_first(stock), want)
        stock = issue(network, stock, shipped, [w.out_arcs[n] for n in nodes])
        shipments.add(outgoing, shipped)
        for key, index, part in (
            ("stock", nodes, stock),
            ("received", site.incoming, received),
            ("started", nodes, started),
            ("built", nodes, built),
            ("inputs", site.slots, inputs),
        ):
            parts[key].append((index, part))
    stock = assemble_ages(parts["stock"], w.n_nodes)
    inputs = assemble(parts["inputs"], w.n_inputs) if network.holds_components else state.components
    return (
        stock,
        inputs,
        assemble(parts["received"], w.n_inner),
        assemble(parts["started"], w.n_nodes),
        assemble(parts["built"], w.n_nodes),
    )


def _ship_first(
    network: Network, state: State, shock: Shock, owed: Array, want: Array, shipments: Shipments
) -> tuple[Array, Array, Array, Array, Array]:
    """Inner arcs from the stock of the start of the period, then receipts, then customers."""
    w = network.wiring
    nodes = tuple(range(w.n_nodes))
    site = Site(network, shock, nodes)
    to_nodes = [tuple(e for e in out if e < w.n_inner) for out in w.out_arcs]
    to_customers = [tuple(e for e in out if e >= w.n_inner) for out in w.out_arcs]
    stock, inputs = state.on_hand, state.components
    started = built = jnp.zeros_like(stock[0])
    if any(w.make_to_order):
        now = np.asarray(w.make_to_order)[:, None]  # the others build after receipts
        left, start, good = site.build(inputs, site.net_demand(owed, stock, to_nodes))
        inputs = jnp.where(now[list(w.node_of_input)], left, inputs)
        started, built = jnp.where(now, start, 0.0), jnp.where(now, good, 0.0)
        stock = stock + site.fresh(built)
    sending = [e for out in to_nodes for e in out]
    if sending:
        shipped = serve(w, to_nodes, sum_first(stock), want)
        shipments.add(sending, shipped)
        stock = issue(network, stock, shipped, to_nodes)
    received = _receive(state, site, shipments)
    need = site.net_demand(owed, stock, to_customers)
    inputs, started_too, built_too = site.build(site.inputs(inputs, received), need, built)
    stock = stock + site.fresh(built_too)
    shipped = serve(w, to_customers, sum_first(stock), want)
    shipments.add([e for out in to_customers for e in out], shipped)
    stock = issue(network, stock, shipped, to_customers)
    inputs = inputs if network.holds_components else state.components
    return stock, inputs, received, started + started_too, built + built_too


def _receive(state: State, site: Site, shipments: Shipments) -> Array:
    """Units that arrive on the incoming arcs of a site, ``[len(incoming), B]``."""
    due = rows(state.pipeline[0], site.incoming)
    instant = shipments.instant(site.incoming)
    return due if instant is None else due + instant
