"""A node's own part of a period: build from what has arrived, serve what is owed, grow older, fit into the store."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, by_rank, reduce_groups, rows, sum_first, sum_groups
from meio_jax.network import Network, Wiring
from meio_jax.scenario import Shock

__all__ = ["Site", "age", "assemble_ages", "fresh", "issue", "rounded_down", "serve", "store", "to_whole"]


@jax.custom_jvp
def rounded_down(x: Array) -> Array:
    """``floor(x)`` with the derivative of the identity, the straight-through estimator: Bengio, Leonard and Courville
    (2013), arXiv 1308.3432. The true derivative is 0 almost everywhere and says nothing about what a unit more brings.
    """
    return jnp.floor(x)


@rounded_down.defjvp
def _straight_through(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return rounded_down(*primals), tangents[0]


def to_whole(w: Wiring, x: Array, half: float = 0.0) -> Array:
    """Rounded down after adding ``half``, in networks whose quantities are whole; differentiates as if it were not."""
    return rounded_down(x + half) if w.integer else x


class Site:
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
        feasible = to_whole(w, reduce_groups(each, of_node, jnp.minimum, jnp.inf))
        limit = need
        if self.capacity is not None:
            room = self.capacity if used is None else self.capacity - used
            limit = room if limit is None else jnp.minimum(room, limit)
        rate = self.rate
        if limit is None:
            started = feasible
            built = feasible if rate is None else to_whole(w, feasible * rate)
        else:
            limit = to_whole(w, jnp.broadcast_to(limit, feasible.shape))
            enough = limit
            if rate is not None:
                # Starts that make the limit: none for none, all where nothing comes of them. Both branches stay finite.
                open_ended = jnp.isinf(limit) | (rate == 0)
                starts = jnp.where(open_ended, 0.0, limit) / jnp.where(rate == 0, 1.0, rate)
                enough = jnp.where(
                    open_ended, jnp.where(limit == 0, 0.0, jnp.inf), jnp.ceil(starts) if whole else starts
                )
            started = jnp.minimum(feasible, enough)
            built = started if rate is None else jnp.minimum(to_whole(w, started * rate), limit)
        if not self.network.holds_components:
            return inputs, started, built
        spread = rows(started, [i for i, slots in enumerate(of_node) for _ in slots])
        left = inputs - (spread if self.units is None else spread * self.units)
        return jnp.maximum(left, 0.0), started, built

    def fresh(self, built: Array) -> Array:
        return fresh(self.network, built, self.nodes)


def fresh(network: Network, units: Array, nodes: Sequence[int] | None = None) -> Array:
    """Units that have just arrived, in their age class: ``[A, n, B]``."""
    if network.shelf_life is None:
        return units[None]
    w = network.wiring
    life = network.shelf_life if nodes is None else rows(network.shelf_life, nodes)
    enters = jnp.minimum(life, w.ages) - 1
    ages = np.arange(w.ages)[:, None, None]
    return jnp.where(ages == enters[None], units[None], 0.0)


def serve(w: Wiring, groups: Sequence[Sequence[int]], stock: Array, want: Array) -> Array:
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
    share = rounded_down(want * rows(stock, owner) / rows(jnp.where(short, total, 1.0), owner))
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


def issue(network: Network, stock: Array, shipped: Array, groups: Sequence[Sequence[int]]) -> Array:
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


def age(network: Network, stock: Array) -> tuple[Array, Array]:
    """One period older: what could be used for the last time now is gone."""
    if network.shelf_life is None:
        return stock, jnp.zeros_like(stock[0])
    perishes = jnp.isfinite(network.shelf_life)
    older = jnp.concatenate([stock[1:], jnp.zeros_like(stock[:1])])
    return jnp.where(perishes[None], older, stock), jnp.where(perishes, stock[0], 0.0)


def store(network: Network, stock: Array) -> tuple[Array, Array]:
    """Scrap what does not fit, oldest first."""
    if network.storage is None:
        return stock, jnp.zeros_like(stock[0])
    over = jnp.maximum(sum_first(stock) - network.storage, 0.0)
    return _take(stock, over, "fifo"), over


def assemble_ages(parts: Sequence[tuple[Sequence[int], Array]], count: int) -> Array:
    """Stock by age ``[A, N, B]`` of all nodes from that of groups of them."""
    if len(parts) == 1:
        return parts[0][1]
    ages = parts[0][1].shape[0]
    return jnp.stack([assemble([(index, x[a]) for index, x in parts], count) for a in range(ages)])
