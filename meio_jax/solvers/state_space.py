"""Which numbers of a network's state vary, and how they are counted: the coordinates of a dynamic program.

Read off the network: stock by age class where units perish, components where a node can hold them, backlog where unmet
orders are kept, pipeline slots in use; with ``demand_first`` the demand that the planner has seen. Two reductions merge
states from which every future is the same, cost included:

- what is due now and meets no limit on its way into stock is counted as stock (not at ``ship_first`` nodes that ship to
  other nodes, nor where there are components, capacities, yields or operating costs);
- at a node whose only outgoing arc is one customer's, who pays no price, stock and what that customer is owed are one
  number, the net inventory. With ``demand_first`` what is owed has this period's demand in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.network import Network
from meio_jax.observation import observe
from meio_jax.policies.table import Coordinate, read
from meio_jax.scenario import Shock
from meio_jax.simulator import State, initial_state

__all__ = ["Box", "Layout", "Lookup", "layout_of", "number", "unusable"]


def number(network: Network, name: str, rows: int, empty: float) -> np.ndarray:
    """``[rows]`` float64 of a leaf with one lane, or what its absence means."""
    leaf = getattr(network, name)
    return np.full(rows, empty) if leaf is None else np.asarray(leaf, float)[:, 0]


def unusable(network: Network) -> str | None:
    """Why a network has no table of states, or None. Cheap."""
    w = network.wiring
    if not w.integer:
        return (
            "quantities are not whole, and there is no table of all: build the network with integer=True (in a file, "
            "integer: true), or use 'base_stock' for one stage, 'clark_scarf' for a chain, 'search' for anything"
        )
    if any(leaf.shape[-1] != 1 for leaf in jax.tree.leaves(network)):
        return "its numbers differ between lanes; give one lane"
    if w.min_lead_time != w.max_lead_time or network.lead_time is not None:
        return "its lead times vary; the state would have to hold the age of every order ('search' can treat it)"
    if any(w.order_delay):
        return "its orders travel (order_delay), and the mail is no part of the state ('search' can treat it)"
    if network.erosion is not None:
        return "goodwill is a continuous part of the state ('search' can treat it)"
    return None


class Slot(NamedTuple):
    """Where a coordinate lies in `State`: kind is "stock", "net", "component", "backlog", "pending" or "pipeline"."""

    kind: str
    where: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The coordinates of a network's observed state, static and hashable.

    Attributes:
      coordinates: how each is read from an `Observation`.
      slots: where each is written back into a `State`.
    """

    coordinates: tuple[Coordinate, ...]
    slots: tuple[Slot, ...]

    def read(self, network: Network, state: State, demand: Array) -> Array:
        """``[D, B]`` of a state and the demand ``[C, B]`` of the coming period (seen with ``demand_first`` only)."""
        return read(self.coordinates, observe(network, state, Shock(demand=demand)))

    def write(self, network: Network, x: Array, demand: Array) -> tuple[State, Array]:
        """The inverse: a state that stands for all those with these coordinates ``[D, B]``, and its demand ``[C, B]``.

        With ``demand_first`` the demand is that of the coordinates, else the one given.
        """
        w = network.wiring
        seen = w.timing == "demand_first"
        state = jax.tree.map(lambda leaf: leaf * 0, initial_state(network, x.shape[-1]))
        on_hand, components, backlog, pipeline = state.on_hand, state.components, state.backlog, state.pipeline
        asked = jnp.zeros_like(demand) if seen else demand
        for (kind, index), row in zip(self.slots, x, strict=True):
            if kind == "stock":
                on_hand = on_hand.at[index].set(row)
            elif kind == "net":
                age, node, arc = index
                on_hand = on_hand.at[age, node].set(jnp.maximum(row, 0.0))
                short = jnp.maximum(-row, 0.0)
                if seen:
                    asked = asked.at[arc - w.n_inner].set(short)
                else:
                    backlog = backlog.at[arc].set(short)
            elif kind == "component":
                components = components.at[index].set(row)
            elif kind == "backlog":
                backlog = backlog.at[index].set(row)
            elif kind == "pending":
                asked = asked.at[index].set(row)
            else:
                pipeline = pipeline.at[index].set(row)
        return state.replace(on_hand=on_hand, components=components, backlog=backlog, pipeline=pipeline), asked

    def receiver(self, arc: int, lead_time: int) -> int:
        """The coordinate into which an order of today on an arc from outside goes."""
        field = ("pipeline", (lead_time - 1, arc), 1)
        return next(d for d, c in enumerate(self.coordinates) if field in c.terms)


def layout_of(network: Network, *, merge: bool = True) -> Layout:
    """The coordinates of a network for which `unusable` has no objection; ``merge=False`` merges no states."""
    w = network.wiring
    keep = number(network, "keep", w.n_arcs, 1.0)
    price = number(network, "price", w.n_customers, 0.0)
    operating = number(network, "operating_cost", w.n_nodes, 0.0)
    life = np.minimum(number(network, "shelf_life", w.n_nodes, np.inf), w.ages).astype(int)
    perishes = np.isfinite(number(network, "shelf_life", w.n_nodes, np.inf))
    seen = w.timing == "demand_first"
    smooth = merge and not network.holds_components and network.yield_ is None

    def joins(node: int) -> bool:
        """Whether what is due at a node may be counted as stock."""
        ships_before = w.timing == "ship_first" and any(e < w.n_inner for e in w.out_arcs[node])
        return smooth and operating[node] == 0 and not ships_before

    found: list[tuple[Coordinate, Slot]] = []
    netted: set[int] = set()

    def add(name: str, kind: str, index: tuple[int, ...], terms: Sequence[tuple[str, tuple[int, ...], int]]) -> None:
        found.append((Coordinate(name, tuple(terms)), Slot(kind, index)))

    for n, node in enumerate(w.nodes):
        due = [("pipeline", (0, e), 1) for e in w.in_arcs[n] if w.lead_time[e] > 0] if joins(n) else []
        fresh = life[n] - 1
        if not perishes[n]:
            out = w.out_arcs[n]
            alone = merge and len(out) == 1 and out[0] >= w.n_inner and price[out[0] - w.n_inner] == 0
            if alone and not w.make_to_order[n] and (not seen or keep[out[0]] in (0.0, 1.0)):
                netted.add(out[0])
                terms = [("on_hand", (fresh, n), 1), *due, ("owed", (out[0],), -1)]
                add(f"net inventory of {node}", "net", (fresh, n, out[0]), terms)
            else:
                add(f"stock of {node}", "stock", (fresh, n), [("on_hand", (fresh, n), 1), *due])
            continue
        for a in range(life[n]):
            terms = [("on_hand", (a, n), 1), *(due if a == fresh else [])]
            add(f"stock of {node}, {a + 1} periods left", "stock", (a, n), terms)
    if network.holds_components:
        for m, (n, name) in enumerate(w.inputs):
            add(f"component {name or w.nodes[n]} at {w.nodes[n]}", "component", (m,), [("components", (m,), 1)])
    for e in range(w.n_arcs):
        kept = keep[e] > 0 and (e >= w.n_inner or w.src[e] >= 0) and e not in netted
        if kept and seen and e >= w.n_inner:
            add(f"owed on {w.arcs[e]}", "backlog", (e,), [("owed", (e,), 1), ("demand", (e - w.n_inner,), -1)])
        elif kept:
            add(f"owed on {w.arcs[e]}", "backlog", (e,), [("owed", (e,), 1)])
        if seen and e >= w.n_inner and e not in netted:
            add(f"demand on {w.arcs[e]}", "pending", (e - w.n_inner,), [("demand", (e - w.n_inner,), 1)])
    for e in range(w.n_inner):
        for k in range(1 if joins(w.dst[e]) else 0, w.lead_time[e]):
            add(f"on {w.arcs[e]}, due in {k}", "pipeline", (k, e), [("pipeline", (k, e), 1)])
    coordinates, slots = zip(*found, strict=True)
    return Layout(tuple(coordinates), tuple(slots))


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """Whole numbers ``low .. high`` of each coordinate, counted through with the last coordinate fastest."""

    low: np.ndarray  # [D] int64
    high: np.ndarray  # [D] int64

    @property
    def sizes(self) -> np.ndarray:
        return self.high - self.low + 1

    @property
    def cells(self) -> int:
        """As a Python integer: it may be too large for 64 bits."""
        total = 1
        for size in self.sizes:
            total *= int(size)
        return total

    @property
    def strides(self) -> np.ndarray:
        return np.append(np.cumprod(self.sizes[:0:-1])[::-1], 1).astype(np.int64)

    def encode(self, x: Any) -> np.ndarray:
        """Cells ``[n]`` of points ``[D, n]``, clamped to the box."""
        inside = np.clip(np.asarray(x), self.low[:, None], self.high[:, None]).astype(np.int64)
        return self.strides @ (inside - self.low[:, None])

    def decode(self, cells: np.ndarray) -> np.ndarray:
        """Points ``[D, n]`` of cells ``[n]``."""
        return self.low[:, None] + (cells[None] // self.strides[:, None]) % self.sizes[:, None]


class Lookup:
    """From cells of a box to indices of known states; by a table where the box is small, else by bisection."""

    #: Cells of a box that are worth a table.
    TABLE = 40_000_000

    def __init__(self, box: Box, cells: np.ndarray) -> None:
        self.count = len(cells)
        if box.cells <= self.TABLE:
            self.table: np.ndarray | None = np.full(box.cells, -1, np.int32)
            self.table[cells] = np.arange(self.count, dtype=np.int32)
        else:
            self.table = None
            self.order = np.argsort(cells).astype(np.int32)
            self.sorted = cells[self.order]

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        """Indices of the shape of ``cells``, -1 where a cell is no known state."""
        if self.table is not None:
            inside = (cells >= 0) & (cells < len(self.table))
            return np.where(inside, self.table[np.where(inside, cells, 0)], -1)
        at = np.minimum(np.searchsorted(self.sorted, cells), self.count - 1)
        return np.where(self.sorted[at] == cells, self.order[at], -1)
