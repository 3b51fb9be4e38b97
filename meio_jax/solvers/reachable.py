"""Every state that a network can reach within limits, and where each order and demand leads: one table, all of it
played by the simulator's own `transition` and priced by `total_cost`, in lanes.

An arc from outside with a lead time of at least 1 is *passive*: its order enters one coordinate of the next state and
adds a known amount to the cost, whatever the state and the demand. So the table holds what happens without such orders;
they are added on the way. The orders on all other arcs are *active* and played out.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import NonFiniteError, UnsuitableError
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.observation import echelon_position, observe
from meio_jax.scenario import Shock
from meio_jax.simulator import transition
from meio_jax.solvers.limits import Demand, Limits, box_of, order_values, start_of
from meio_jax.solvers.state_space import Box, Layout, Lookup, number

__all__ = ["Table", "double", "explore", "next_states", "position_per_order"]

#: Lanes that are played at once: what stays in the cache of a core.
LANES = 1 << 14
#: Such plays whose results are looked at together.
TOGETHER = 8


def double(network: Network) -> Network:
    """The network in float64, numbers as they were written: what was 0.1 before it was rounded is 0.1 again.

    To be called, like everything that computes with it, where JAX has 64 bits.
    """

    def wide(x: Any) -> Array:
        x = np.asarray(x)
        if x.dtype == np.float32:
            x = np.asarray([float(str(v)) for v in x.ravel()]).reshape(x.shape)
        return jnp.asarray(x, jnp.float64)

    return jax.tree.map(wide, network)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """S states, n1 active and n2 passive combinations of orders, W demands.

    Attributes:
      cells: ``[S]`` the states, as cells of ``box``; the first ones are those of time 0.
      active, passive: ``[n1, I]``, ``[n2, I]`` orders; an order is the sum of one of each.
      after: ``[S, n1, W]`` cells of the next states, without passive orders.
      shift: ``[n2]`` what a passive combination adds to a cell.
      cost: ``[S, n1]`` expected cost of the period, without passive orders; extra: ``[n2]`` what these add to it.
      clipped: ``[S, n1]`` probability that a next state lay outside of the box and was moved to its edge.
      allowed: ``[S, n1, n2]``, or None: all are.
      position: ``[S, M]`` echelon positions before ordering.
      values: for each inner arc the orders on it, nothing first.
      moved: ``[D]`` the coordinates of next states that depend on the demand.
      start, start_probabilities: indices of the states of time 0, and how likely each is.
    """

    network: Network
    layout: Layout
    box: Box
    limits: Limits
    demand: Demand
    lookup: Lookup
    cells: np.ndarray
    active: np.ndarray
    passive: np.ndarray
    after: np.ndarray
    shift: np.ndarray
    cost: np.ndarray
    extra: np.ndarray
    clipped: np.ndarray
    allowed: np.ndarray | None
    position: np.ndarray
    values: list[np.ndarray]
    moved: np.ndarray
    start: np.ndarray
    start_probabilities: np.ndarray

    @property
    def states(self) -> int:
        return len(self.cells)

    def orders(self, choice: np.ndarray) -> np.ndarray:
        """``[.., I]`` orders of the choices ``n1 * n2 -> active, passive``."""
        one, two = np.divmod(choice, len(self.passive))
        return self.active[one] + self.passive[two]


def next_states(network: Network, layout: Layout, x: Array, orders: Array, demand: Array) -> tuple[Array, Array]:
    """Play one period in lanes: coordinates of the next observed states ``[D, B]``, cost ``[B]``.

    Args:
      x: ``[D, B]`` coordinates; orders: ``[I, B]``.
      demand: ``[C, B]`` the demand not seen yet: with ``demand_first`` that of the next period, else of this one.
    """
    state, asked = layout.write(network, x, demand)
    after, flows = transition(network, state, orders, Shock(demand=asked))
    return layout.read(network, after, demand), total_cost(network, flows)


_next_states = jax.jit(next_states, static_argnames="layout")


@functools.partial(jax.jit, static_argnames=("layout", "small"))
def _play(
    network: Network, layout: Layout, x: Array, orders: Array, demand: Array, p: Array, edges: Array, *, small: bool
) -> tuple[Array, Array, Array, Array, Array]:
    """All orders ``[I, n1]`` and demands ``[C, W]`` in all states ``[D, n]``: cells ``[n, n1, W]``, expected cost and
    probability of leaving the box ``[n, n1]``, echelon positions before ordering ``[n, M]``, and ``[n, D]`` whether a
    next coordinate depends on the demand.
    """
    low, high, strides = edges
    n, n1, w = x.shape[1], orders.shape[1], demand.shape[1]

    def spread(v: Array, axis: int) -> Array:
        shape = [v.shape[0], 1, 1, 1]
        shape[axis] = v.shape[1]
        return jnp.broadcast_to(v.reshape(shape), (v.shape[0], n, n1, w)).reshape(v.shape[0], -1)

    after, cost = next_states(network, layout, spread(x, 1), spread(orders, 2), spread(demand, 3))
    inside = jnp.clip(after, low[:, None], high[:, None])
    cell = (strides[:, None] * (inside - low[:, None])).sum(0).astype(jnp.int64).reshape(n, n1, w)
    cell = cell.astype(jnp.int32) if small else cell
    left = (inside != after).any(0).reshape(n, n1, w) @ p
    state, asked = layout.write(network, x, jnp.zeros((demand.shape[0], n), x.dtype))
    position = echelon_position(network, observe(network, state, Shock(demand=asked)))
    lanes = inside.reshape(-1, n, n1, w)
    varies = (lanes != lanes[..., :1]).any((2, 3)).T
    return cell, cost.reshape(n, n1, w) @ p, left, position.T, varies


def explore(
    network: Network, layout: Layout, limits: Limits, demand: Demand, *, passive: bool = True, max_states: int
) -> Table:
    """The states that the network's initial state can lead to, and their table. Computes where JAX has 64 bits.

    Args:
      network: in float64.
      passive: False plays every order out (the general form; the same results, more slowly).
      max_states: refuse more.

    Raises:
      UnsuitableError: more states; says how many and what to bound.
      NonFiniteError: a cost is not finite.
    """
    w = network.wiring
    box = box_of(network, layout, limits, demand)
    if box.cells >= 2**62:
        raise UnsuitableError(f"the box of states has {float(box.cells):.1e} cells; {_advice(layout, box)}")
    values = order_values(network, limits)
    quiet = [e for e in range(w.n_inner) if passive and w.src[e] < 0 and w.lead_time[e] >= 1]
    active = _combinations(values, [e for e in range(w.n_inner) if e not in quiet])
    silent = _combinations(values, quiet)
    shift = np.zeros(len(silent), np.int64)
    for e in quiet:
        shift += silent[:, e].astype(np.int64) * box.strides[layout.receiver(e, w.lead_time[e])]
    play = functools.partial(
        _play, network, layout, orders=jnp.asarray(active.T), demand=jnp.asarray(demand.values),
        p=jnp.asarray(demand.probabilities), edges=jnp.asarray([box.low, box.high, box.strides], jnp.float64),
        small=box.cells < 2**31,
    )  # fmt: skip
    chunk = max(1, LANES // (len(active) * len(demand.probabilities)))
    need = position_per_order(network)

    lanes = len(demand.probabilities) if w.timing == "demand_first" else 1
    first = box.encode(start_of(network, layout, demand.values[:, :lanes]))
    frontier, start = np.unique(first, return_inverse=True)
    weights = demand.probabilities if lanes > 1 else np.ones(1)
    known = _Known(box, frontier)
    parts: list[tuple[np.ndarray, ...]] = []
    moved = np.zeros(len(box.low), bool)
    while len(frontier):
        fresh = []
        for at in range(0, len(frontier), TOGETHER * chunk):
            some = frontier[at : at + TOGETHER * chunk]
            pieces = []
            for k in range(0, len(some), chunk):
                padded = np.resize(some[k : k + chunk], chunk)  # one size, one program
                pieces.append(play(x=jnp.asarray(box.decode(padded), jnp.float64)))
            *out, varies = (np.concatenate([np.asarray(v) for v in x])[: len(some)] for x in zip(*pieces, strict=True))
            moved |= varies.any(0)
            if not np.isfinite(out[1]).all():
                raise NonFiniteError("a period's cost is not finite; look for a NaN or an infinity in the network")
            room = limits.position + 1e-9 - out[3]  # [n, M]
            ordered = [(orders @ need.T)[None] for orders in (active, silent)]  # [1, n1|n2, M]
            total = ordered[0][:, :, None] + ordered[1][:, None]  # [1, n1, n2, M]
            allowed = ((total <= room[:, None, None]) | (total == 0)).all(-1)
            parts.append((*out, allowed))
            fresh.append(known.add(out[0], allowed, shift))
            if known.count > max_states:
                raise UnsuitableError(
                    f"more than {max_states} states can be reached ({known.count} so far); {_advice(layout, box)}"
                )
        frontier = np.concatenate(fresh)
    after, cost, clipped, position, allowed = (np.concatenate(x) for x in zip(*parts, strict=True))
    parts.clear()
    cells = known.in_order()
    extra = _extra(network, layout, cells[:1], box, silent, demand)
    return Table(
        network, layout, box, limits, demand, Lookup(box, cells), cells, active, silent, after, shift, cost, extra,
        clipped, None if allowed.all() else allowed, position, values, moved, start.reshape(-1), weights,
    )  # fmt: skip


class _Known:
    """The states seen so far, in the order in which they are expanded."""

    def __init__(self, box: Box, cells: np.ndarray) -> None:
        self.marks = np.zeros(box.cells, bool) if box.cells <= Lookup.TABLE * 4 else None
        if self.marks is not None:
            self.marks[cells] = True
        self.sorted = cells
        self.parts, self.count = [cells], len(cells)

    def add(self, after: np.ndarray, allowed: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """New cells among ``after [n, n1, W]`` shifted by every allowed passive order ``[n, n1, n2]``."""
        flat = after.reshape(-1, after.shape[-1])
        allowed = allowed.reshape(len(flat), -1)
        differs = np.ones(flat.shape, bool)
        differs[:, 1:] = flat[:, 1:] != flat[:, :-1]
        row, cell = np.nonzero(differs)[0], flat[differs]
        found = []
        for k, step in enumerate(shift):
            here = cell if allowed[:, k].all() else cell[allowed[row, k]]
            if k == 0 and len(shift) > 1 and allowed.all():
                here = cell = np.unique(cell)
            found.append(self._new(here + step))
        new = np.concatenate(found)
        self.parts.append(new)
        self.count += len(new)
        return new

    def _new(self, cells: np.ndarray) -> np.ndarray:
        if self.marks is not None:
            new = np.unique(cells[~self.marks[cells]])
            self.marks[new] = True
            return new
        cells = np.unique(cells)
        at = np.minimum(np.searchsorted(self.sorted, cells), len(self.sorted) - 1)
        new = cells[self.sorted[at] != cells]
        if len(new):
            self.sorted = np.union1d(self.sorted, new)
        return new

    def in_order(self) -> np.ndarray:
        return np.concatenate(self.parts)


def _combinations(values: list[np.ndarray], arcs: list[int]) -> np.ndarray:
    """``[n, I]`` every combination of the values of some arcs, nothing on the others."""
    rows = list(itertools.product(*(v if e in arcs else [0.0] for e, v in enumerate(values))))
    return np.asarray(rows, float).reshape(len(rows), len(values))


def position_per_order(network: Network) -> np.ndarray:
    """``[M, I]`` what a unit ordered on an arc adds to the position of the input that it feeds."""
    w = network.wiring
    units = number(network, "units", w.n_inner, 1.0)
    matrix = np.zeros((w.n_inputs, w.n_inner))
    for e, m in enumerate(w.input_of_arc):
        matrix[m, e] = 1.0 / units[e]
    return matrix


def _extra(
    network: Network, layout: Layout, cell: np.ndarray, box: Box, passive: np.ndarray, demand: Demand
) -> np.ndarray:
    """``[n2]`` what each passive combination adds to the cost of a period: the same in every state, so of any one."""
    n = len(passive)
    x = jnp.asarray(np.repeat(box.decode(cell), n, 1), jnp.float64)
    shock = jnp.asarray(np.repeat(demand.values[:, :1], n, 1))
    cost = np.asarray(_next_states(network, layout, x, jnp.asarray(passive.T), shock)[1])
    return cost - cost[0]


def _advice(layout: Layout, box: Box) -> str:
    sizes = sorted(zip(box.sizes, layout.coordinates, strict=True), key=lambda pair: -pair[0])
    wide = ", ".join(f"{c.name} ({size} values)" for size, c in sizes[:4])
    return f"bound order=, position= or backlog= more tightly, or use 'search'; the widest coordinates are {wide}"
