"""Figures: the network, learning curves, stock over time, policies side by side. Nothing here needs a display.

Each function draws into ``ax`` where one is given, else into a new `matplotlib.figure.Figure` that belongs to no global
state, and returns the figure: ``draw_network(network).savefig("network.png", dpi=150)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.network import Network, Wiring

__all__ = ["comparison", "draw_network", "learning_curve", "mermaid", "stock_over_time"]

INK, QUIET, PAPER = "#1f2933", "#7b8794", "#ffffff"
NODE, SUPPLIER, CUSTOMER = "#dbeafe", "#e7e5e4", "#fde68a"
BLUE, RED, GOLD = "#2563eb", "#dc2626", "#d97706"
CYCLE = (BLUE, "#059669", GOLD, "#7c3aed", "#db2777", "#0891b2", "#65a30d", "#475569")
_SHADES = LinearSegmentedColormap.from_list("stock", ["#f0f7ff", "#7db4fb"])

# Sizes in inches: the data of a drawing are inches, so that text fits its box.
_WIDE, _HIGH, _SMALL = 1.22, 0.44, 0.13
_COLUMN, _ROW, _THREAD = 1.95, 0.58, 0.22
_SIDE, _ABOVE = 0.6, 0.46  # from a node's edge to its suppliers and customers


class _Layout(NamedTuple):
    """Positions in inches: of nodes, of outside and customer arcs' ends, and of the points that long arcs pass."""

    nodes: list[tuple[float, float]]
    ends: dict[int, tuple[float, float]]
    via: dict[int, list[tuple[float, float]]]


def _layout(w: Wiring) -> _Layout:
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
        size[n] = max(_ROW + _ABOVE * 2 * max(above[n] > 0, below[n] > 0), 0.36 * beside)
    via: dict[int, list[Any]] = {}
    for e in range(w.n_inner):
        if w.src[e] >= 0:
            stops: list[Any] = [(e, level) for level in range(w.levels[w.src[e]] + 1, w.levels[w.dst[e]])]
            for stop in stops:
                columns[stop[1]].append(stop)
                size[stop] = _THREAD
            via[e] = stops
            nx.add_path(graph, [w.src[e], *stops, w.dst[e]])
    graph.add_nodes_from(size)
    order = _ordered(graph, columns)
    start = nx.multipartite_layout(graph, subset_key=order, scale=_ROW)
    x = {key: level * _COLUMN for level, keys in order.items() for key in keys}
    y = {key: -float(start[key][1]) for key in graph}
    for sweep in range(40):  # down and up, each column as near to its neighbours as it may be
        for level in sorted(order, reverse=bool(sweep % 2)):
            keys = order[level]
            near = {k: [y[m] for m in nx.all_neighbors(graph, k)] for k in keys}
            wish = [float(np.mean(near[k])) if near[k] else y[k] for k in keys]
            y |= dict(zip(keys, _apart(wish, [size[k] for k in keys]), strict=True))
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
            ends[e] = (x[n] + (-1 if supplier else 1) * (_WIDE / 2 + (_SIDE if supplier else 0.45)), y[n] - 0.36 * k)
        else:
            ends[e] = (x[n] + (-0.2 if supplier else 0.2) + 0.4 * k, y[n] + (1 if supplier else -1) * (_HIGH / 2 + _ABOVE))
    points = {e: [(x[s], y[s]) for s in stops] for e, stops in via.items()}
    return _Layout([(x[n], y[n]) for n in range(w.n_nodes)], ends, points)


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


def _apart(wish: Sequence[float], size: Sequence[float]) -> list[float]:
    """The positions nearest to the wishes (least squares) that descend by at least the mean size of two neighbours."""
    steps = np.concatenate([[0.0], np.cumsum([(a + b) / 2 for a, b in zip(size[:-1], size[1:], strict=True)])])
    blocks: list[tuple[float, int]] = []  # mean and weight; pool adjacent violators
    for value in np.asarray(wish) + steps:
        blocks.append((float(value), 1))
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [((a * m + b * n) / (m + n), m + n)]
    flat = [value for value, count in blocks for _ in range(count)]
    return [float(v - s) for v, s in zip(flat, steps, strict=True)]


def _number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def _values(wiring: Wiring, values: Any, what: str) -> dict[str, float]:
    """By node name, from a mapping (of some nodes) or from ``[N]`` or ``[N, 1]``."""
    if values is None:
        return {}
    if isinstance(values, Mapping):
        for name in values:
            if name not in wiring.nodes:
                raise UnknownNameError(f"{what}: {name!r} is no node; nodes are {', '.join(wiring.nodes)}")
        return {k: float(v) for k, v in values.items()}
    numbers = np.asarray(values, float)
    if numbers.size != wiring.n_nodes:
        raise InputError(f"{what} has shape {numbers.shape}, and there are {wiring.n_nodes} nodes")
    return dict(zip(wiring.nodes, numbers.ravel().tolist(), strict=True))


def draw_network(
    network: Network,
    ax: Axes | None = None,
    *,
    values: Any = None,
    value_label: str = "level",
    title: str | None = None,
    lane: int = 0,
    legend: bool = True,
) -> Figure:
    """Nodes with their holding cost, arcs with their lead time, suppliers on the left, customers on the right.

    Args:
      network: any network.
      ax: where to draw; None makes a figure of the right size.
      values: a number per node to write and to shade by, such as base-stock levels or stock: ``[N]``, or a mapping
        from names of nodes.
      value_label: what the number is.
      title: above the drawing.
      lane: which lane's numbers.
      legend: whether to explain the shapes.

    Raises:
      InputError, UnknownNameError: ``values`` do not fit the nodes.
    """
    w = network.wiring
    at = _layout(w)
    shown = _values(w, values, "values")
    note = "on arcs: lead time    in nodes: holding cost h" + (f" · {value_label}" if shown else "")
    points = np.array([*at.ends.values(), *(p for stops in at.via.values() for p in stops), *at.nodes])
    boxes = np.array(at.nodes)
    left = min(points[:, 0].min() - 0.3, boxes[:, 0].min() - _WIDE / 2 - 0.15)
    right = max(points[:, 0].max() + 0.3, boxes[:, 0].max() + _WIDE / 2 + 0.15)
    if legend:  # room for its line
        more = max(0.0, 2.2 + 0.062 * len(note) - (right - left)) / 2
        left, right = left - more, right + more
    low = min(points[:, 1].min() - 0.3, boxes[:, 1].min() - _HIGH / 2 - 0.15) - (0.34 if legend else 0.0)
    high = max(points[:, 1].max() + 0.3, boxes[:, 1].max() + _HIGH / 2 + 0.15) + (0.3 if title else 0.0)
    width, height = right - left, high - low
    if ax is None:
        figure = Figure(figsize=(width, height), facecolor=PAPER)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        scale = 1.0
    else:
        figure = _figure(ax)
        frame = ax.get_window_extent()
        scale = min(frame.width / figure.dpi / width, frame.height / figure.dpi / height)
    ax.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    ax.axis("off")

    holding = _lane(network.holding_cost, lane)
    lead = _lane(network.lead_time, lane) if network.lead_time is not None else np.asarray(w.lead_time, float)
    _draw_arcs(ax, w, at, lead, scale)
    least, most = (min(shown.values()), max(shown.values())) if shown else (0.0, 0.0)
    for n, name in enumerate(w.nodes):
        (x, y), fill, second = at.nodes[n], NODE, f"h {_number(holding[n])}"
        if name in shown:
            fill = to_hex(_SHADES((shown[name] - least) / (most - least or 1.0)))
            second += f" · {_number(shown[name])}"
        _draw_box(ax, x, y, fill, scale, double=w.make_to_order[n])
        text = name if len(name) <= 16 else name[:15] + "…"
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 4}
        ax.text(x, y + 0.085, text, fontsize=8.5 * scale, fontweight="bold", **style)
        ax.text(x, y - 0.105, second, fontsize=7.5 * scale, **style)
    for e, (x, y) in at.ends.items():
        if w.dst[e] < 0:
            _draw_customer(ax, x, y, scale)
        else:
            _draw_supplier(ax, x, y, scale, down=w.levels[w.dst[e]] > 0)
    if legend:
        _draw_legend(ax, left, low, note, scale)
    if title:
        middle = (left + right) / 2
        ax.text(middle, high - 0.1, title, ha="center", va="top", fontsize=11 * scale, color=INK, fontweight="bold")
    return figure


def _lane(leaf: Any, lane: int) -> np.ndarray:
    values = np.asarray(leaf, float)
    return values[:, lane if values.shape[-1] > 1 else 0]


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    if figure is None:
        raise InputError("ax belongs to no figure")
    return figure


def _draw_box(ax: Axes, x: float, y: float, fill: str, scale: float, double: bool) -> None:
    for grow in (0.045, 0.0) if double else (0.0,):  # a second line around a node that makes to order
        box = FancyBboxPatch(
            (x - _WIDE / 2 + 0.06 - grow, y - _HIGH / 2 + 0.06 - grow),
            _WIDE - 0.12 + 2 * grow,
            _HIGH - 0.12 + 2 * grow,
            boxstyle="round,pad=0.06",
            facecolor=PAPER if grow else fill,
            edgecolor=INK,
            linewidth=0.9 * scale,
            zorder=3,
        )
        ax.add_patch(box)


def _draw_supplier(ax: Axes, x: float, y: float, scale: float, down: bool = False) -> None:
    s = _SMALL
    right = [(-s * 0.8, s), (-s * 0.8, -s), (s, 0.0)]
    points = [(x + b, y - a) if down else (x + a, y + b) for a, b in right]
    ax.add_patch(Polygon(points, closed=True, facecolor=SUPPLIER, edgecolor=INK, linewidth=0.9 * scale, zorder=3))


def _draw_customer(ax: Axes, x: float, y: float, scale: float) -> None:
    s = _SMALL
    points = [(x - s, y), (x, y + s), (x + s, y), (x, y - s)]
    ax.add_patch(Polygon(points, closed=True, facecolor=CUSTOMER, edgecolor=INK, linewidth=0.9 * scale, zorder=3))


def _draw_arcs(ax: Axes, w: Wiring, at: _Layout, lead: np.ndarray, scale: float) -> None:
    """Arcs as smooth curves that leave to the right and arrive from the left, with their lead times on them."""
    for e in range(w.n_arcs):
        if e in at.ends:
            x, y = at.ends[e]
            nx_, ny = at.nodes[w.dst[e] if w.src[e] < 0 else w.src[e]]
            if abs(x - nx_) < _WIDE / 2:  # above or below
                sign = 1 if y > ny else -1
                ends = [(x, y - sign * _SMALL), (x, ny + sign * _HIGH / 2)]
                pieces = [_curve(*(ends if sign > 0 else ends[::-1]), level=False)]
            elif x < nx_:
                pieces = [_curve((x + _SMALL, y), (nx_ - _WIDE / 2, ny + (y - ny) * 0.3))]
            else:
                pieces = [_curve((nx_ + _WIDE / 2, ny + (y - ny) * 0.3), (x - _SMALL, y))]
        else:
            x, y = at.nodes[w.src[e]]
            here, pieces = (x + _WIDE / 2, y), []
            for x, y in at.via[e]:  # straight past the boxes of a column, curved between columns
                pieces += [_curve(here, (x - _WIDE / 2, y)), _curve((x - _WIDE / 2, y), (x + _WIDE / 2, y))]
                here = (x + _WIDE / 2, y)
            x, y = at.nodes[w.dst[e]]
            pieces.append(_curve(here, (x - _WIDE / 2, y)))
        vertices = [pieces[0][0], *(p for piece in pieces for p in piece[1:])]
        path = Path(vertices, [Path.MOVETO, *[Path.CURVE4] * (len(vertices) - 1)])
        style: dict[str, Any] = {"color": QUIET, "linewidth": scale, "shrinkA": 0, "shrinkB": 0, "zorder": 1}
        ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=7 * scale, **style))
        if w.dst[e] >= 0:
            low, high = w.min_lead_time[e], w.max_lead_time[e]
            text = _number(lead[e]) if low == high else f"{low}–{high}"
            a, b, c, d = np.asarray(pieces[0])
            x, y = (a + 3 * b + 3 * c + d) / 8
            paper = {"boxstyle": "round,pad=0.12", "facecolor": PAPER, "edgecolor": "none"}
            ax.text(x, y, text, ha="center", va="center", fontsize=7.5 * scale, color=INK, zorder=2, bbox=paper)


def _curve(a: tuple[float, float], b: tuple[float, float], level: bool = True) -> list[tuple[float, float]]:
    """Four points of a cubic curve, level at both ends or straight."""
    if level:
        middle = (a[0] + b[0]) / 2
        return [a, (middle, a[1]), (middle, b[1]), b]
    return [a, (a[0] + (b[0] - a[0]) / 3, a[1] + (b[1] - a[1]) / 3), (b[0] + (a[0] - b[0]) / 3, b[1] + (a[1] - b[1]) / 3), b]


def _draw_legend(ax: Axes, left: float, low: float, note: str, scale: float) -> None:
    y, x = low + 0.2, left + 0.25
    style: dict[str, Any] = {"va": "center", "fontsize": 7.5 * scale, "color": QUIET}
    _draw_supplier(ax, x, y, scale)
    ax.text(x + 0.2, y, "supplier", **style)
    _draw_customer(ax, x + 0.88, y, scale)
    ax.text(x + 1.08, y, "customer", **style)
    ax.text(x + 1.85, y, note, **style)
