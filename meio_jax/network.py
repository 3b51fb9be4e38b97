"""A supply network: wiring that is fixed when a program is traced, and numbers that are array leaves.

Shape vocabulary, used in every docstring of the project:

==== ==========================================================================================
B    lanes: independent copies of the system, always the last axis (parameters may have 1 there)
N    nodes, upstream before downstream
I    inner arcs: everything that a planner can order on (from outside or from another node)
C    customer arcs
E    arcs, E = I + C, inner arcs first; each block is sorted by source
M    inputs: pairs (node, component), M >= N
L    pipeline slots, the longest lead time (at least 1)
D    mail slots, the longest order delay (0: orders are with their source at once)
A    age classes, the longest shelf life (1 where nothing perishes)
==== ==========================================================================================

Stock lives on nodes; everything that moves lives on arcs. An arc from ``OUTSIDE`` is a supplier, an arc to ``CUSTOMER``
is a customer, and demand is simply the order on that arc.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from jax import Array

from meio_jax.struct import pytree, static

__all__ = ["ALLOCATIONS", "ISSUING", "TIMINGS", "Network", "Wiring"]

TIMINGS = ("demand_first", "order_first", "ship_first")
ALLOCATIONS = ("proportional", "priority")
ISSUING = ("fifo", "lifo")


def _group(owner: Sequence[int], count: int) -> tuple[tuple[int, ...], ...]:
    """For each of ``count`` owners the indices that it owns, ascending; a negative owner is nobody."""
    groups: list[list[int]] = [[] for _ in range(count)]
    for index, k in enumerate(owner):
        if k >= 0:
            groups[k].append(index)
    return tuple(map(tuple, groups))


@dataclasses.dataclass(frozen=True)
class Wiring:
    """Who feeds whom, and the rules that change the program. Hashable; made by `build_network`.

    ``src [E]`` holds node indices, -1 for outside; ``dst [E]`` holds node indices, -1 for the customer.
    ``lead_time``, ``min_lead_time``, ``max_lead_time``, ``order_delay`` are ``[I]`` whole periods.
    """

    nodes: tuple[str, ...]
    arcs: tuple[str, ...]
    src: tuple[int, ...]
    dst: tuple[int, ...]
    component: tuple[str, ...]
    lead_time: tuple[int, ...]
    min_lead_time: tuple[int, ...]
    max_lead_time: tuple[int, ...]
    make_to_order: tuple[bool, ...]
    ages: int = 1
    timing: str = "order_first"
    allocation: str = "proportional"
    issuing: str = "fifo"
    integer: bool = False
    order_delay: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.order_delay:
            object.__setattr__(self, "order_delay", (0,) * self.n_inner)

    @property
    def n_nodes(self) -> int:
        return len(self.nodes)

    @property
    def n_arcs(self) -> int:
        return len(self.arcs)

    @property
    def n_inner(self) -> int:
        return len(self.component)

    @property
    def n_customers(self) -> int:
        return self.n_arcs - self.n_inner

    @property
    def n_inputs(self) -> int:
        return len(self.inputs)

    @property
    def slots(self) -> int:
        """Pipeline slots L: the longest lead time, at least 1."""
        return max(1, *self.max_lead_time)

    @property
    def mail_slots(self) -> int:
        """Slots D for orders on their way to their source: the longest order delay, 0 where no order travels."""
        return max(self.order_delay)

    @cached_property
    def inputs(self) -> tuple[tuple[int, str], ...]:
        """The M pairs (node, component), sorted by node, in order of first appearance."""
        return tuple({(n, self.component[e]): None for n, arcs in enumerate(self.in_arcs) for e in arcs})

    @cached_property
    def input_of_arc(self) -> tuple[int, ...]:
        """For each inner arc the index of the input that it feeds."""
        index = {key: m for m, key in enumerate(self.inputs)}
        return tuple(index[self.dst[e], self.component[e]] for e in range(self.n_inner))

    @cached_property
    def node_of_input(self) -> tuple[int, ...]:
        return tuple(node for node, _ in self.inputs)

    @cached_property
    def arcs_of_input(self) -> tuple[tuple[int, ...], ...]:
        return _group(self.input_of_arc, self.n_inputs)

    @cached_property
    def inputs_of_node(self) -> tuple[tuple[int, ...], ...]:
        return _group(self.node_of_input, self.n_nodes)

    @cached_property
    def out_arcs(self) -> tuple[tuple[int, ...], ...]:
        """For each node its outgoing arcs, inner before customer: also their order of priority."""
        return _group(self.src, self.n_nodes)

    @cached_property
    def in_arcs(self) -> tuple[tuple[int, ...], ...]:
        """For each node its incoming arcs."""
        return _group(self.dst, self.n_nodes)

    @cached_property
    def outside_arcs(self) -> tuple[int, ...]:
        return tuple(e for e in range(self.n_inner) if self.src[e] < 0)

    @cached_property
    def customer_arcs(self) -> tuple[int, ...]:
        return tuple(range(self.n_inner, self.n_arcs))

    @cached_property
    def waves(self) -> tuple[tuple[int, ...], ...]:
        """Nodes in groups that can be played at once: only an arc that may deliver within the period separates two."""
        depth = [0] * self.n_nodes
        if self.timing != "ship_first":
            for node, arcs in enumerate(self.in_arcs):  # nodes are in topological order
                before = [depth[self.src[e]] + (self.min_lead_time[e] == 0) for e in arcs if self.src[e] >= 0]
                depth[node] = max(before, default=0)
        return _group(depth, max(depth) + 1)

    @cached_property
    def related(self) -> tuple[tuple[int, ...], ...]:
        """For each node itself, all that it feeds and all that feeds it, however far: what its orders can help or hurt
        other than by competing for the same stock.
        """
        below: list[set[int]] = [set() for _ in self.nodes]
        for n in range(self.n_nodes - 1, -1, -1):
            for e in self.out_arcs[n]:
                if e < self.n_inner:
                    below[n] |= {self.dst[e]} | below[self.dst[e]]
        above: list[set[int]] = [set() for _ in self.nodes]
        for n, found in enumerate(below):
            for m in found:
                above[m].add(n)
        return tuple(tuple(sorted({n} | below[n] | above[n])) for n in range(self.n_nodes))

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """For each node the longest path from outside, 0 for a node fed by suppliers only: its echelon for drawing."""
        level = [0] * self.n_nodes
        for node, arcs in enumerate(self.in_arcs):
            level[node] = max((level[self.src[e]] + 1 for e in arcs if self.src[e] >= 0), default=0)
        return tuple(level)


@pytree
class Network:
    """A wiring and its numbers. A leaf that is ``None`` is a feature that this program does not contain.

    Leaves end in a lane axis of size 1 (the same in all lanes) or B. Replace numbers with
    ``network.replace(...)``: that never compiles anew unless a leaf turns from or to ``None`` or changes its shape.
    """

    wiring: Wiring = static()
    holding_cost: Array  # [N, 1|B]
    initial_on_hand: Array  # [N, 1|B]
    initial_pipeline: Array  # [L, I, 1|B]; slot 0 is due in the first period
    backlog_cost: Array  # [E, 1|B]
    lost_cost: Array | None = None  # [E, 1|B]
    units: Array | None = None  # [I, 1|B]; None: 1 of each component in a unit
    keep: Array | None = None  # [E, 1|B]; None: every unmet order is kept
    unit_cost: Array | None = None  # [I, 1|B]
    price: Array | None = None  # [C, 1|B]
    transit_holding_cost: Array | None = None  # [I, 1|B]
    component_holding_cost: Array | None = None  # [M, 1|B]
    fixed_order_cost: Array | None = None  # [I, 1|B]
    lot_size: Array | None = None  # [I, 1|B]
    minimum_order: Array | None = None  # [I, 1|B]
    order_capacity: Array | None = None  # [I, 1|B]
    erosion: Array | None = None  # [C, 1|B]
    restoration: Array | None = None  # [C, 1|B]
    capacity: Array | None = None  # [N, 1|B]
    operating_cost: Array | None = None  # [N, 1|B]
    storage: Array | None = None  # [N, 1|B]
    yield_: Array | None = None  # [N, 1|B]
    shelf_life: Array | None = None  # [N, 1|B]; infinite where a unit keeps for ever
    scrap_cost: Array | None = None  # [N, 1|B]
    #: Lead times as numbers, for sweeps over them in one program; None: the wiring's own, which is faster.
    lead_time: Array | None = None  # [I, 1|B]
    initial_orders: Array | None = None  # [D, I, 1|B]; slot 0 reaches its source in the first period; None: no mail yet

    def replace(self, **changes: Any) -> Network:
        """A copy with other leaves. Raises `TypeError` for a name that is no field."""
        return dataclasses.replace(self, **changes)

    @property
    def holds_components(self) -> bool:
        """Whether inputs can wait at a node; where none can, what is received is built at once."""
        w = self.wiring
        return (
            w.n_inputs > w.n_nodes
            or self.capacity is not None
            or any(w.make_to_order)
            or (w.integer and self.units is not None)
        )
