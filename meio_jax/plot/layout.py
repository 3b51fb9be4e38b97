"""Where the nodes and arcs of a network stand in a drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from meio_jax.network import Wiring
from meio_jax.plot.style import spread_out

# Sizes in inches: the data of a drawing are inches, so that text fits its box.
WIDE, HIGH, SMALL = 1.22, 0.44, 0.13
COLUMN, ROW, THREAD = 1.95, 0.58, 0.22
SIDE, ABOVE = 0.6, 0.46  # from a node's edge to its suppliers and customers


class Layout(NamedTuple):
    """Positions in inches: of nodes, of outside and customer arcs' ends, and of the points that long arcs pass."""

    nodes: list[tuple[float, float]]
    ends: dict[int, tuple[float, float]]
    via: dict[int, list[tuple[float, float]]]


def layout_of(w: Wiring) -> Layout:
    """Columns are `Wiring.levels`; rows follow the neighbours, so that arcs cross little and bend little.

    An arc over several columns passes a point in each of them (Sugiyama, Tagawa and Toda 1981). Suppliers stand on the
    left of nodes that have no other feeder, else above; customers on the right of nodes that feed no other, else below.
    """
    graph, columns = nx.DiGraph(), {level: [] for level in range(max(w.levels) + 1)}  # type: tuple[Any, dict[int, Any]]
    size: dict[Any, float] = {}
    left, above, right, below = ([0] * w.n_nodes for _ in range(4))
    feeds = {w.src[e] for e in range(w.n_inner)}
    for e in range(w.n_arcs):
        if w.src[e] < 0:
            (above if w.levels[w.dst[e]] else left)[w.dst[e]] += 1
        elif w.dst[e] < 0:
            (below if w.src[e] in feeds else right)[w.src[e]] += 1
    for n, level in enumerate(w.levels):
        columns[level].append(n)
        beside = max(left[n], right[n], 1)
        apart = HIGH + 2 * (ABOVE + SMALL + 0.06) if above[n] or below[n] else ROW
        size[n] = max(apart, 0.36 * beside)
    via: dict[int, list[Any]] = {}
    for e in range(w.n_inner):
        if w.src[e] >= 0:
            stops: list[Any] = [(e, level) for level in range(w.levels[w.src[e]] + 1, w.levels[w.dst[e]])]
            for stop in stops:
                columns[stop[1]].append(stop)
                size[stop] = THREAD
            via[e] = stops
            nx.add_path(graph, [w.src[e], *stops, w.dst[e]])
    graph.add_nodes_from(size)
    order = _ordered(graph, columns)
    start = nx.multipartite_layout(graph, subset_key=order, scale=ROW)
    x = {key: level * COLUMN for level, keys in order.items() for key in keys}
    y = {key: -float(start[key][1]) for key in graph}

    def settle(level: int, neighbours: Callable[[Any], Iterable[Any]]) -> None:
        keys = order[level]
        near = {k: [y[m] for m in neighbours(k)] for k in keys}
        wish = [float(np.mean(near[k])) if near[k] else y[k] for k in keys]
        y.update(zip(keys, spread_out(wish, [size[k] for k in keys]), strict=True))

    for sweep in range(20):  # to and fro, each column as near to its neighbours as it may be
        for level in sorted(order, reverse=bool(sweep % 2)):
            settle(level, lambda k: nx.all_neighbors(graph, k))
    widest = max(order, key=lambda level: sum(size[k] for k in order[level]))
    for level in range(widest - 1, -1, -1):  # then each column in the middle of what the widest one dictates
        settle(level, graph.successors)
    for level in range(widest + 1, len(order)):
        settle(level, graph.predecessors)
    ends: dict[int, tuple[float, float]] = {}
    taken = {"left": [0] * w.n_nodes, "above": [0] * w.n_nodes, "right": [0] * w.n_nodes, "below": [0] * w.n_nodes}
    for e in range(w.n_arcs):
        supplier, n = w.src[e] < 0, w.dst[e] if w.src[e] < 0 else w.src[e]
        if w.src[e] >= 0 and w.dst[e] >= 0:
            continue
        side = ("above" if w.levels[n] else "left") if supplier else ("below" if n in feeds else "right")
        total = {"left": left, "above": above, "right": right, "below": below}[side][n]
        k = taken[side][n] - (total - 1) / 2
        taken[side][n] += 1
        if side in ("left", "right"):
            ends[e] = (x[n] + (-1 if supplier else 1) * (WIDE / 2 + (SIDE if supplier else 0.45)), y[n] - 0.36 * k)
        else:
            ends[e] = (
                x[n] + (-0.2 if supplier else 0.2) + 0.4 * k,
                y[n] + (1 if supplier else -1) * (HIGH / 2 + ABOVE),
            )
    points = {e: [(x[s], y[s]) for s in stops] for e, stops in via.items()}
    return Layout([(x[n], y[n]) for n in range(w.n_nodes)], ends, points)


def _ordered(graph: Any, columns: Mapping[int, list[Any]]) -> dict[int, list[Any]]:
    """The order within columns, top first, with the fewest crossings that barycentre sweeps find."""

    def crossings(order: Mapping[int, list[Any]]) -> int:
        place = {k: i for keys in order.values() for i, k in enumerate(keys)}
        count = 0
        for keys in order.values():
            ends = [(place[a], place[b]) for a in keys for b in graph.successors(a)]
            count += sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(ends) for c, d in ends[:i])
        return count

    now = {level: list(keys) for level, keys in columns.items()}
    best, fewest = now, crossings(now)
    for sweep in range(12):
        if not fewest:
            break
        now = {level: list(keys) for level, keys in now.items()}
        down = sweep % 2 == 0
        for level in sorted(now, reverse=not down):
            place = {k: i / max(1, len(keys) - 1) for keys in now.values() for i, k in enumerate(keys)}
            near = {k: list(graph.predecessors(k) if down else graph.successors(k)) for k in now[level]}
            mean = {k: float(np.mean([place[m] for m in near[k]])) if near[k] else place[k] for k in now[level]}
            now[level].sort(key=mean.__getitem__)
        if (found := crossings(now)) < fewest:
            best, fewest = now, found
    return best
