"""The dynamics: one period of a supply network, deterministic, keyless, differentiable, all lanes at once.

One period, in order (the full text, with every rounding rule, is section 3 of ARCHITECTURE.md):

1. wanted orders become the nearest orders that lots, minima and capacities allow; customers ask for their demand;
2. suppliers ship; every node receives, builds what its scarcest input, its capacity and its yield allow, and serves its
   outgoing arcs; with ``ship_first`` the inner arcs are served before anything is received;
3. what is not served is kept as backlog or lost; goodwill follows the service of the period;
4. stock ages, expires and overflows; pipelines move on.

``demand_first`` and ``order_first`` have the same dynamics: they differ in what the planner saw before ordering. Event
order after Zipkin, Foundations of Inventory Management (2000), section 9.4, and Snyder and Shen, Fundamentals of Supply
Chain Theory (2019), section 6.2. The simulator never stops a gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, by_rank, reduce_groups, rows, sum_first, sum_groups
from meio_jax.network import Network, Wiring
from meio_jax.scenario import Shock
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
    """

    on_hand: Array
    components: Array
    backlog: Array
    pipeline: Array
    demand: Array
    goodwill: Array | None
    t: Array

    def replace(self, **changes: Any) -> State:
        return dataclasses.replace(self, **changes)


@pytree
class Flows:
    """Everything that moved in a period or stands at its end; costs and KPIs read nothing else.

    ordered, shipped, filled, lost, backlog: ``[E, B]``; received, in_transit: ``[I, B]``;
    started, built, expired, overflow, on_hand: ``[N, B]``; components: ``[M or 0, B]``. Meanings in ARCHITECTURE.md,
    section 2.
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


def initial_state(network: Network, lanes: int) -> State:
    """The state at time 0, from the network's initial stock and pipeline, nothing owed, full goodwill."""
    w = network.wiring
    dtype = network.holding_cost.dtype

    def wide(x: Array) -> Array:
        return jnp.broadcast_to(x, (*x.shape[:-1], lanes)).astype(dtype)

    stock = wide(network.initial_on_hand)
    return State(
        on_hand=_fresh(network, stock),
        components=jnp.zeros((w.n_inputs if network.holds_components else 0, lanes), dtype),
        backlog=jnp.zeros((w.n_arcs, lanes), dtype),
        pipeline=wide(network.initial_pipeline),
        demand=jnp.zeros((w.n_customers, lanes), dtype),
        goodwill=None if network.erosion is None else jnp.ones((w.n_customers, lanes), dtype),
        t=jnp.zeros((), jnp.int32),
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
    asked = shock.demand if state.goodwill is None else shock.demand * state.goodwill
    asked = _whole(w, asked, 0.5).astype(placed.dtype)
    ordered = jnp.concatenate([placed, asked])
    owed = state.backlog + ordered
    want = owed
    if shock.available is not None:
        want = jnp.concatenate([_whole(w, owed[:inner] * shock.available), owed[inner:]])
    shipments = _Shipments(w, network, shock)
    if w.outside_arcs:
        shipments.add(w.outside_arcs, rows(want, w.outside_arcs))
    if allocation is not None:
        want = jnp.minimum(want, _whole(w, jnp.maximum(allocation, 0.0)))

    play = _ship_first if w.timing == "ship_first" else _receive_first
    stock, inputs, received, started, built = play(network, state, shock, owed, want, shipments)
    shipped = shipments.all()

    unmet = jnp.minimum(ordered, owed - shipped)
    lost = jnp.zeros_like(owed) if network.keep is None else _whole(w, (1.0 - network.keep) * unmet, 0.5)
    backlog = jnp.maximum(owed - shipped - lost, 0.0)
    goodwill = state.goodwill
    if goodwill is not None and network.erosion is not None and network.restoration is not None:
        some = asked > 0
        share = jnp.where(some, unmet[inner:] / jnp.where(some, asked, 1.0), 0.0)
        goodwill = goodwill * (1.0 - network.erosion * share) + network.restoration * (1.0 - goodwill) * (1.0 - share)
    stock, expired = _age(network, stock)
    stock, overflow = _store(network, stock)
    pipeline = shipments.advance(state.pipeline)

    flows = Flows(
        ordered=ordered,
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
    )
    after = State(
        on_hand=stock,
        components=inputs,
        backlog=backlog,
        pipeline=pipeline,
        demand=asked,
        goodwill=goodwill,
        t=state.t + 1,
    )
    return after, flows


def place_orders(network: Network, orders: Array) -> Array:
    """The nearest orders that lots, minimum orders and order capacities allow, ``[I, B]``. NaN stays NaN."""
    wanted = jnp.maximum(orders, 0.0)
    lot, least, most = network.lot_size, network.minimum_order, network.order_capacity
    if network.wiring.integer:
        lot = jnp.ones((1, 1), wanted.dtype) if lot is None else jnp.where(lot == 0, 1.0, lot)
    q = wanted
    size = jnp.ones((1, 1), q.dtype) if lot is None else jnp.where(lot > 0, lot, 1.0)
    if lot is not None:
        q = jnp.where(lot == 0, q, jnp.floor(q / size + 0.5) * lot)
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


def _whole(w: Wiring, x: Array, half: float = 0.0) -> Array:
    """Rounded down after adding ``half``, in networks whose quantities are whole."""
    return jnp.floor(x + half) if w.integer else x


class _Shipments:
    """What has left on each arc so far in this period, and when it arrives."""

    def __init__(self, w: Wiring, network: Network, shock: Shock) -> None:
        self.wiring = w
        self.parts: list[tuple[Sequence[int], Array]] = []
        lead = shock.lead_time if shock.lead_time is not None else network.lead_time
        self.lead: Array | None = None
        if lead is not None:
            low, high = (np.asarray(x, np.int32)[:, None] for x in (w.min_lead_time, w.max_lead_time))
            self.lead = jnp.clip(lead.astype(jnp.int32), low, high)

    def add(self, arcs: Sequence[int], units: Array) -> None:
        self.parts.append((arcs, units))

    def all(self) -> Array:
        return assemble(self.parts, self.wiring.n_arcs)

    def instant(self, arcs: Sequence[int]) -> Array | None:
        """Units on ``arcs`` that arrive within this period, ``[len(arcs), B]``, or None if there can be none."""
        at = {e: (p, i) for p, (index, _) in enumerate(self.parts) for i, e in enumerate(index)}
        shortest = self.wiring.lead_time if self.lead is None else self.wiring.min_lead_time
        quick = [e for e in arcs if shortest[e] == 0]
        if not quick:
            return None
        offset = np.cumsum([0, *(len(index) for index, _ in self.parts)])
        sent = jnp.concatenate([units for _, units in self.parts])
        units = rows(sent, [int(offset[at[e][0]]) + at[e][1] for e in quick])
        if self.lead is not None:
            units = jnp.where(rows(self.lead, quick) == 0, units, 0.0)
        slow = [e for e in arcs if shortest[e] > 0]
        position = {e: i for i, e in enumerate(arcs)}
        parts = [([position[e] for e in quick], units)]
        if slow:
            parts.append(([position[e] for e in slow], jnp.zeros((len(slow), units.shape[-1]), units.dtype)))
        return assemble(parts, len(arcs))

    def advance(self, pipeline: Array) -> Array:
        """The pipeline one period on, ``[L, I, B]``, with this period's shipments in it."""
        slots, inner = pipeline.shape[:2]
        shipped = self.all()[:inner]
        moved = jnp.concatenate([pipeline[1:], jnp.zeros_like(pipeline[:1])])
        due = np.arange(1, slots + 1, dtype=np.int32)[:, None, None]
        if self.lead is None:
            lead = np.asarray(self.wiring.lead_time, np.int32)
            if (lead == slots).all():
                return jnp.concatenate([pipeline[1:], shipped[None]])
            return jnp.where(lead[None, :, None] == due, moved + shipped, moved)
        return jnp.where(self.lead[None] == due, moved + shipped, moved)


def _receive_first(
    network: Network, state: State, shock: Shock, owed: Array, want: Array, shipments: _Shipments
) -> tuple[Array, Array, Array, Array, Array]:
    """Nodes from upstream to downstream: receive, build, serve. Nodes that cannot deliver to each other today go
    together.
    """
    w = network.wiring
    parts: dict[str, list[tuple[Sequence[int], Array]]] = {
        k: [] for k in ("stock", "inputs", "received", "started", "built")
    }
    for nodes in w.waves:
        site = _Site(network, shock, nodes)
        received = _receive(state, site, shipments)
        stock = jnp.stack([rows(x, nodes) for x in state.on_hand]) if len(nodes) < w.n_nodes else state.on_hand
        outgoing = [e for n in nodes for e in w.out_arcs[n]]
        need = site.net_demand(owed, stock, w.out_arcs)
        inputs, started, built = site.build(site.inputs(state.components, received), need)
        stock = stock + site.fresh(built)
        shipped = _serve(w, [w.out_arcs[n] for n in nodes], sum_first(stock), want)
        stock = _issue(network, stock, shipped, [w.out_arcs[n] for n in nodes])
        shipments.add(outgoing, shipped)
        for key, index, part in (
            ("stock", nodes, stock),
            ("received", site.incoming, received),
            ("started", nodes, started),
            ("built", nodes, built),
            ("inputs", site.slots, inputs),
        ):
            parts[key].append((index, part))
    stock = _assemble_ages(parts["stock"], w.n_nodes)
    inputs = assemble(parts["inputs"], w.n_inputs) if network.holds_components else state.components
    return (
        stock,
        inputs,
        assemble(parts["received"], w.n_inner),
        assemble(parts["started"], w.n_nodes),
        assemble(parts["built"], w.n_nodes),
    )


def _ship_first(
    network: Network, state: State, shock: Shock, owed: Array, want: Array, shipments: _Shipments
) -> tuple[Array, Array, Array, Array, Array]:
    """Inner arcs from the stock of the start of the period, then receipts, then customers."""
    w = network.wiring
    nodes = tuple(range(w.n_nodes))
    site = _Site(network, shock, nodes)
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
        shipped = _serve(w, to_nodes, sum_first(stock), want)
        shipments.add(sending, shipped)
        stock = _issue(network, stock, shipped, to_nodes)
    received = _receive(state, site, shipments)
    need = site.net_demand(owed, stock, to_customers)
    inputs, started_too, built_too = site.build(site.inputs(inputs, received), need, built)
    stock = stock + site.fresh(built_too)
    shipped = _serve(w, to_customers, sum_first(stock), want)
    shipments.add([e for out in to_customers for e in out], shipped)
    stock = _issue(network, stock, shipped, to_customers)
    inputs = inputs if network.holds_components else state.components
    return stock, inputs, received, started + started_too, built + built_too


def _receive(state: State, site: _Site, shipments: _Shipments) -> Array:
    """Units that arrive on the incoming arcs of a site, ``[len(incoming), B]``."""
    due = rows(state.pipeline[0], site.incoming)
    instant = shipments.instant(site.incoming)
    return due if instant is None else due + instant


class _Site:
    """The part of a network that a group of nodes needs to receive and to build."""

    def __init__(self, network: Network, shock: Shock, nodes: Sequence[int]) -> None:
        w = network.wiring
        self.network, self.wiring, self.nodes = network, w, nodes
        self.slots = [m for n in nodes for m in w.inputs_of_node[n]]
        self.incoming = sorted(e for m in self.slots for e in w.arcs_of_input[m])
        rate = shock.yield_ if shock.yield_ is not None else network.yield_
        self.rate = None if rate is None else rows(rate, nodes)
        self.capacity = None if network.capacity is None else rows(network.capacity, nodes)
        self.units = None if network.units is None else rows(network.units, [w.arcs_of_input[m][0] for m in self.slots])

    def inputs(self, components: Array, received: Array) -> Array:
        """Inputs on hand after receipts, ``[len(slots), B]``."""
        place = {e: i for i, e in enumerate(self.incoming)}
        arrived = sum_groups(received, [[place[e] for e in self.wiring.arcs_of_input[m]] for m in self.slots])
        return rows(components, self.slots) + arrived if self.network.holds_components else arrived

    def net_demand(self, owed: Array, stock: Array, out_arcs: Sequence[Sequence[int]]) -> Array | None:
        """What make-to-order nodes have to build, infinite at the others; None if there is no such node."""
        to_order = np.asarray([self.wiring.make_to_order[n] for n in self.nodes])[:, None]
        if not to_order.any():
            return None
        need = sum_groups(owed, [out_arcs[n] for n in self.nodes]) - sum_first(stock)
        return jnp.where(to_order, jnp.maximum(need, 0.0), jnp.inf)

    def build(self, inputs: Array, need: Array | None, used: Array | None = None) -> tuple[Array, Array, Array]:
        """Build as much as inputs, capacity, yield and need allow: inputs left, units started, good units."""
        w, whole = self.wiring, self.wiring.integer
        place = {m: i for i, m in enumerate(self.slots)}
        of_node = [[place[m] for m in w.inputs_of_node[n]] for n in self.nodes]
        each = inputs if self.units is None else inputs / self.units
        feasible = _whole(w, reduce_groups(each, of_node, jnp.minimum, jnp.inf))
        limit = need
        if self.capacity is not None:
            room = self.capacity if used is None else self.capacity - used
            limit = room if limit is None else jnp.minimum(room, limit)
        rate = self.rate
        if limit is None:
            started = feasible
            built = feasible if rate is None else _whole(w, feasible * rate)
        else:
            limit = _whole(w, jnp.broadcast_to(limit, feasible.shape))
            enough = limit
            if rate is not None:
                # Starts that make the limit: none for none, all where nothing comes of them. Both branches stay finite.
                open_ended = jnp.isinf(limit) | (rate == 0)
                starts = jnp.where(open_ended, 0.0, limit) / jnp.where(rate == 0, 1.0, rate)
                enough = jnp.where(
                    open_ended, jnp.where(limit == 0, 0.0, jnp.inf), jnp.ceil(starts) if whole else starts
                )
            started = jnp.minimum(feasible, enough)
            built = started if rate is None else jnp.minimum(_whole(w, started * rate), limit)
        if not self.network.holds_components:
            return inputs, started, built
        spread = rows(started, [i for i, slots in enumerate(of_node) for _ in slots])
        left = inputs - (spread if self.units is None else spread * self.units)
        return jnp.maximum(left, 0.0), started, built

    def fresh(self, built: Array) -> Array:
        return _fresh(self.network, built, self.nodes)


def _fresh(network: Network, units: Array, nodes: Sequence[int] | None = None) -> Array:
    """Units that have just arrived, in their age class: ``[A, n, B]``."""
    if network.shelf_life is None:
        return units[None]
    w = network.wiring
    life = network.shelf_life if nodes is None else rows(network.shelf_life, nodes)
    enters = jnp.minimum(life, w.ages) - 1
    ages = np.arange(w.ages)[:, None, None]
    return jnp.where(ages == enters[None], units[None], 0.0)


def _serve(w: Wiring, groups: Sequence[Sequence[int]], stock: Array, want: Array) -> Array:
    """Share the stock of each node among its arcs, ``[number of arcs, B]`` in the order of the groups."""
    arcs = [e for g in groups for e in g]
    owner = [n for n, g in enumerate(groups) for _ in g]
    want = rows(want, arcs)
    place = {e: i for i, e in enumerate(arcs)}
    local = [[place[e] for e in g] for g in groups]
    if all(len(g) <= 1 for g in groups):
        return jnp.minimum(want, rows(stock, owner))
    if w.allocation == "priority":
        return _in_turn(local, stock, want)
    total = sum_groups(want, local)
    short = total > stock
    if not w.integer:
        share = jnp.where(short, stock / jnp.where(short, total, 1.0), 1.0)
        return want * rows(share, owner)
    # Whole shares first; what is left over by rounding down goes out in turn.
    share = jnp.floor(want * rows(stock, owner) / rows(jnp.where(short, total, 1.0), owner))
    base = jnp.where(rows(short, owner), share, want)
    return base + _in_turn(local, jnp.maximum(stock - sum_groups(base, local), 0.0), want - base)


def _in_turn(groups: Sequence[Sequence[int]], stock: Array, want: Array) -> Array:
    """Each arc takes what it wants of what those before it left."""
    taken = []
    for wanted in by_rank(want, groups, 0.0):
        taken.append(jnp.minimum(wanted, stock))
        stock = stock - taken[-1]
    n = len(groups)
    return rows(jnp.concatenate(taken), [r * n + k for k, g in enumerate(groups) for r in range(len(g))])


def _issue(network: Network, stock: Array, shipped: Array, groups: Sequence[Sequence[int]]) -> Array:
    """Take what was shipped out of the stock, by age."""
    count = 0
    local = []
    for g in groups:
        local.append(list(range(count, count + len(g))))
        count += len(g)
    left = sum_groups(shipped, local)
    return _take(stock, left, network.wiring.issuing)


def _take(stock: Array, amount: Array, issuing: str) -> Array:
    if stock.shape[0] == 1:
        return jnp.maximum(stock - amount[None], 0.0)
    order = range(stock.shape[0]) if issuing == "fifo" else range(stock.shape[0] - 1, -1, -1)
    classes = list(stock)
    for a in order:
        take = jnp.minimum(classes[a], amount)
        classes[a], amount = classes[a] - take, amount - take
    return jnp.stack(classes)


def _age(network: Network, stock: Array) -> tuple[Array, Array]:
    """One period older: what could be used for the last time now is gone."""
    if network.shelf_life is None:
        return stock, jnp.zeros_like(stock[0])
    perishes = jnp.isfinite(network.shelf_life)
    older = jnp.concatenate([stock[1:], jnp.zeros_like(stock[:1])])
    return jnp.where(perishes[None], older, stock), jnp.where(perishes, stock[0], 0.0)


def _store(network: Network, stock: Array) -> tuple[Array, Array]:
    """Scrap what does not fit, oldest first."""
    if network.storage is None:
        return stock, jnp.zeros_like(stock[0])
    over = jnp.maximum(sum_first(stock) - network.storage, 0.0)
    return _take(stock, over, "fifo"), over


def _assemble_ages(parts: Sequence[tuple[Sequence[int], Array]], count: int) -> Array:
    if len(parts) == 1:
        return parts[0][1]
    ages = parts[0][1].shape[0]
    return jnp.stack([assemble([(index, x[a]) for index, x in parts], count) for a in range(ages)])


def lanes_of(tree: Any) -> int:
    """The number of lanes of a state or of flows."""
    return int(jax.tree.leaves(tree)[0].shape[-1])
