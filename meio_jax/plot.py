"""Figures: the network, learning curves, stock over time, policies side by side. Nothing here needs a display.

Each function draws into ``ax`` where one is given, else into a new `matplotlib.figure.Figure` that belongs to no global
state, and returns the figure: ``draw_network(network).savefig("network.png", dpi=150)``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path
from scipy import stats

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.network import Network, Wiring

__all__ = ["comparison", "draw_network", "learning_curve", "mermaid", "stock_over_time"]

INK, QUIET, PAPER = "#1f2933", "#7b8794", "#ffffff"
NODE, SUPPLIER, CUSTOMER = "#dbeafe", "#e7e5e4", "#fde68a"
BLUE, RED, GOLD = "#2563eb", "#dc2626", "#d97706"
GREEN = "#059669"  # the optimum, and nothing else
CYCLE = (BLUE, GOLD, "#7c3aed", "#db2777", "#0891b2", "#65a30d", "#9f1239", "#475569")
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
        apart = _HIGH + 2 * (_ABOVE + _SMALL + 0.06) if above[n] or below[n] else _ROW
        size[n] = max(apart, 0.36 * beside)
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

    def settle(level: int, neighbours: Callable[[Any], Iterable[Any]]) -> None:
        keys = order[level]
        near = {k: [y[m] for m in neighbours(k)] for k in keys}
        wish = [float(np.mean(near[k])) if near[k] else y[k] for k in keys]
        y.update(zip(keys, _apart(wish, [size[k] for k in keys]), strict=True))

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
            ends[e] = (x[n] + (-1 if supplier else 1) * (_WIDE / 2 + (_SIDE if supplier else 0.45)), y[n] - 0.36 * k)
        else:
            ends[e] = (
                x[n] + (-0.2 if supplier else 0.2) + 0.4 * k,
                y[n] + (1 if supplier else -1) * (_HIGH / 2 + _ABOVE),
            )
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
    if not size:
        return []
    steps = np.concatenate([[0.0], np.cumsum([(a + b) / 2 for a, b in itertools.pairwise(size)])])
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


def _draw_supplier(ax: Axes, x: float, y: float, scale: float, down: bool = False, size: float = _SMALL) -> None:
    s = size
    right = [(-s * 0.8, s), (-s * 0.8, -s), (s, 0.0)]
    points = [(x + b, y - a) if down else (x + a, y + b) for a, b in right]
    ax.add_patch(Polygon(points, closed=True, facecolor=SUPPLIER, edgecolor=INK, linewidth=0.9 * scale, zorder=3))


def _draw_customer(ax: Axes, x: float, y: float, scale: float, size: float = _SMALL) -> None:
    s = size
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
                a, b = ends if sign > 0 else ends[::-1]
                pieces = [_curve(a, b, level=False)]
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
            text = _number(lead[e]) if low == high else f"{low}..{high}"
            a, b, c, d = np.asarray(pieces[0])
            x, y = (a + 3 * b + 3 * c + d) / 8
            paper = {"boxstyle": "round,pad=0.12", "facecolor": PAPER, "edgecolor": "none"}
            ax.text(x, y, text, ha="center", va="center", fontsize=7.5 * scale, color=INK, zorder=2, bbox=paper)


def _curve(a: tuple[float, float], b: tuple[float, float], level: bool = True) -> list[tuple[float, float]]:
    """Four points of a cubic curve, level at both ends or straight."""
    if level:
        middle = (a[0] + b[0]) / 2
        return [a, (middle, a[1]), (middle, b[1]), b]
    return [
        a,
        (a[0] + (b[0] - a[0]) / 3, a[1] + (b[1] - a[1]) / 3),
        (b[0] + (a[0] - b[0]) / 3, b[1] + (a[1] - b[1]) / 3),
        b,
    ]


def _draw_legend(ax: Axes, left: float, low: float, note: str, scale: float) -> None:
    y, x = low + 0.22, left + 0.3
    style: dict[str, Any] = {"va": "center", "fontsize": 7.5 * scale, "color": QUIET}
    _draw_supplier(ax, x, y, scale, size=0.08)
    ax.text(x + 0.2, y, "supplier", **style)
    _draw_customer(ax, x + 0.88, y, scale, size=0.08)
    ax.text(x + 1.08, y, "customer", **style)
    ax.text(x + 1.85, y, note, **style)


def learning_curve(
    metrics: Mapping[str, Any],
    baselines: Mapping[str, float] | None = None,
    ax: Axes | None = None,
    *,
    optimum: float | None = None,
    x_label: str = "updates",
    y_label: str = "cost per period",
    title: str | None = None,
) -> Figure:
    """Cost during learning, with a 95 % band, beside what other policies cost.

    Args:
      metrics: ``{"cost": [K] or [runs, K]}``, or several of these by the name of the learner. Optional: ``"steps"``
        ``[K]`` (else 1, 2, ...), ``"low"`` and ``"high"`` ``[K]``. With several runs and no band given, the band is the
        95 % interval of their mean (Student's t).
      baselines: cost of other policies, by name: horizontal lines, each labelled.
      ax: where to draw.
      optimum: the best cost that there is, if it is known.
      x_label, y_label, title: texts.

    Raises:
      InputError: shapes do not fit.
    """
    figure, ax = _axes(ax, (6.4, 3.6))
    curves: Mapping[str, Any] = {"": metrics} if "cost" in metrics else metrics
    lines: list[tuple[float, str, str]] = []
    spans, visible = [], []
    for colour, (name, curve) in zip(CYCLE * (1 + len(curves) // len(CYCLE)), curves.items(), strict=False):
        runs = np.atleast_2d(np.asarray(curve["cost"], float))
        mean = runs.mean(axis=0)
        steps = np.asarray(curve.get("steps", np.arange(1, mean.size + 1)), float)
        low, high = curve.get("low"), curve.get("high")
        if low is None and high is None and runs.shape[0] > 1:
            half = stats.t.ppf(0.975, runs.shape[0] - 1) * runs.std(axis=0, ddof=1) / np.sqrt(runs.shape[0])
            low, high = mean - half, mean + half
        for x in (steps, low, high):
            if x is not None and np.shape(x) != mean.shape:
                raise InputError(f"learning curve {name!r}: cost has {mean.size} points, something else {np.shape(x)}")
        if low is not None and high is not None:
            ax.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(steps, mean, color=colour, linewidth=1.8, solid_capstyle="round")
        spans += [float(steps[0]), float(steps[-1])]
        visible.append(mean[mean.size // 4 :])
        if name and np.any(np.isfinite(mean)):
            lines.append((float(mean[np.isfinite(mean)][-1]), name, colour))
    greys = ("#52606d", "#7b8794", "#9aa5b1")
    for i, (name, cost) in enumerate((baselines or {}).items()):
        ax.axhline(cost, color=greys[i % 3], linewidth=1.0, linestyle=(0, (5, 2 + 2 * (i % 3))), zorder=1)
        lines.append((cost, f"{name} {_figures(cost)}", greys[i % 3]))
    if optimum is not None:
        ax.axhline(optimum, color=GREEN, linewidth=1.4, zorder=1)
        lines.append((optimum, f"optimum {_figures(optimum)}", GREEN))
    # What matters is the end of learning: the wild beginning may leave the picture.
    inside = np.concatenate([*visible, [y for y, _, _ in lines]])
    inside = inside[np.isfinite(inside)]
    if inside.size and np.ptp(inside):
        pad = 0.06 * np.ptp(inside)
        ax.set_ylim(inside.min() - pad, inside.max() + pad)
    if min(spans) < max(spans):
        ax.set_xlim(min(spans), max(spans))
    _labels_at_the_right(ax, lines)
    _finish(ax, title, x_label, y_label)
    return figure


def _labels_at_the_right(ax: Axes, lines: Sequence[tuple[float, str, str]]) -> None:
    """Texts beside the ends of lines, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    lines = sorted(lines, key=lambda x: -x[0])
    room = 9.0 / 72 / ax.get_window_extent().height * _figure(ax).dpi * 1.15
    heights = [(y - low) / (high - low) for y, _, _ in lines]
    for at, (_, text, colour) in zip(_apart(heights, [room] * len(lines)), lines, strict=True):
        ax.text(1.015, at, text, transform=ax.transAxes, va="center", fontsize=8.5, color=colour)


def _axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    if ax is not None:
        return _figure(ax), ax
    figure = Figure(figsize=size, facecolor=PAPER, layout="constrained")
    return figure, figure.add_subplot()


def _finish(ax: Axes, title: str | None, x_label: str = "", y_label: str = "") -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#9aa5b1")
    ax.tick_params(colors="#52606d", labelsize=8.5)
    ax.set_xlabel(x_label, fontsize=9, color=INK)
    ax.set_ylabel(y_label, fontsize=9, color=INK)
    if title:
        ax.set_title(title, fontsize=11, fontweight="bold", color=INK, loc="left")


def stock_over_time(
    network: Network,
    flows: Any,
    *,
    nodes: Sequence[str] | None = None,
    lane: int = 0,
    periods: slice = slice(None),
    columns: int | None = None,
    title: str | None = None,
) -> Figure:
    """Stock, what is owed, and what is asked of selected nodes, one small picture each on a common time axis.

    Args:
      network: whose nodes these are.
      flows: anything with ``on_hand`` ``[T, N, B]``, ``backlog`` ``[T, E, B]`` and ``ordered`` ``[T, E, B]`` (or
        without the lane axis), as attributes or as keys; or a trajectory, which has such ``flows``.
      nodes: names; None: all, at most 12.
      lane: which lane.
      periods: which part of the horizon.
      columns: pictures side by side; None: 1 up to four nodes, else 2 or 3.
      title: above all.

    Raises:
      InputError, UnknownNameError: shapes or names do not fit.
    """
    w = network.wiring
    flows = getattr(flows, "flows", flows)

    def read(name: str, rows: int) -> np.ndarray:
        """``[T, rows]`` of the lane."""
        values = np.asarray(flows[name] if isinstance(flows, Mapping) else getattr(flows, name), float)
        values = values[..., None] if values.ndim == 2 else values
        if values.ndim != 3 or values.shape[1] != rows:
            raise InputError(f"{name} has shape {values.shape}; expected [periods, {rows}, lanes]")
        return values[:, :, lane]

    on_hand, backlog, ordered = read("on_hand", w.n_nodes), read("backlog", w.n_arcs), read("ordered", w.n_arcs)
    names = list(w.nodes[:12] if nodes is None else nodes)
    for name in names:
        if name not in w.nodes:
            raise UnknownNameError(f"nodes: {name!r} is no node; nodes are {', '.join(w.nodes)}")
    across = columns or (1 if len(names) <= 4 else 2 if len(names) <= 8 else 3)
    down = -(-len(names) // across)
    figure = Figure(figsize=(max(6.4, 3.6 * across), 0.75 + 1.35 * down), facecolor=PAPER, layout="constrained")
    panels = figure.subplots(down, across, sharex=True, squeeze=False)
    time = np.arange(on_hand.shape[0])[periods]
    for i, panel in enumerate(panels.T.ravel() if across == 1 else panels.ravel()):
        if i >= len(names):
            panel.axis("off")
            continue
        n = w.nodes.index(names[i])
        arcs = list(w.out_arcs[n])
        stock = on_hand[periods, n]
        owed, asked = backlog[periods][:, arcs].sum(axis=1), ordered[periods][:, arcs].sum(axis=1)
        panel.fill_between(time, stock, step="mid", color=BLUE, alpha=0.25, linewidth=0)
        panel.plot(time, stock, drawstyle="steps-mid", color=BLUE, linewidth=1.1, label="on hand")
        panel.fill_between(time, -owed, step="mid", color=RED, alpha=0.45, linewidth=0, label="owed (backlog)")
        panel.plot(time, asked, color=GOLD, linewidth=0.9, marker=".", markersize=3, label="asked for")
        panel.axhline(0, color="#9aa5b1", linewidth=0.7)
        _finish(panel, None)
        panel.set_title(names[i], fontsize=9, fontweight="bold", color=INK, loc="left", pad=2)
        panel.set_xlim(time[0] - 0.5, time[-1] + 0.5) if time.size else None
        if i >= len(names) - across:
            panel.set_xlabel("period", fontsize=9, color=INK)
            panel.tick_params(labelbottom=True)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize=8.5)
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold", color=INK, x=0.02, ha="left")
    return figure


def comparison(
    rows: Sequence[Any],
    ax: Axes | None = None,
    *,
    optimum: float | None = None,
    x_label: str = "cost per period (95 % interval)",
    title: str | None = None,
) -> Figure:
    """Policies from the cheapest down: a dot for the mean cost, a line for its interval, the gap written beside it.

    Args:
      rows: for each policy a mapping with ``name``, ``mean`` and, where known, ``low`` and ``high``; or a tuple.
      ax: where to draw.
      optimum: the best cost that there is; gaps are measured from it, else from the cheapest policy.
      x_label, title: texts.

    Raises:
      InputError: a row has no name and mean.
    """
    read = []
    for row in rows:
        values = [row.get(k) for k in ("name", "mean", "low", "high")] if isinstance(row, Mapping) else list(row)
        if len(values) < 2 or values[0] is None or values[1] is None:
            raise InputError(f"comparison: {row!r} has no name and mean")
        mean = float(values[1])
        low, high = (float(v) if v is not None else mean for v in (*values[2:4], None, None)[:2])
        read.append((str(values[0]), mean, low, high))
    if not read:
        raise InputError("comparison: no policy to compare")
    read.sort(key=lambda row: row[1])
    figure, ax = _axes(ax, (6.4, 0.95 + 0.34 * len(read)))
    least = read[0][1] if optimum is None else optimum
    for y, (_, mean, low, high) in enumerate(read):
        colour = BLUE if y == 0 else "#52606d"
        ax.plot([low, high], [y, y], color=colour, linewidth=2.2, alpha=0.55, solid_capstyle="round")
        ax.plot([mean], [y], "o", color=colour, markersize=6)
        gap = f"  {100 * (mean - least) / abs(least):+.2f} %" if least and (optimum is not None or y) else ""
        ax.text(
            1.015,
            y,
            f"{_figures(mean)}{gap}",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            color=colour,
        )
    if optimum is not None:
        ax.axvline(optimum, color=GREEN, linewidth=1.4, zorder=0)
        ax.text(optimum, -0.75, f" optimum {_figures(optimum)}", color=GREEN, fontsize=8.5, va="center")
    ax.set_yticks(range(len(read)), [name for name, *_ in read])
    ax.set_ylim(len(read) - 0.5, -1.0 if optimum is not None else -0.5)
    ax.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    ax.set_axisbelow(True)
    _finish(ax, title, x_label)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    return figure


def _figures(x: float) -> str:
    """Enough figures to tell policies apart."""
    return f"{x:,.1f}" if abs(x) >= 1000 else f"{x:.2f}" if abs(x) >= 10 else f"{x:.4g}"


def mermaid(network: Network) -> str:
    """The network as a Mermaid flowchart, for Markdown: nodes, lead times on arcs, suppliers and customers as circles.

    Names are quoted, so any name is safe; identifiers are ``n0``, ``n1``, ...
    """
    w = network.wiring
    lines = ["flowchart LR"]
    lines += [f"  n{n}[{_quoted(name)}]" for n, name in enumerate(w.nodes)]
    for e in range(w.n_arcs):
        if w.dst[e] < 0:
            lines.append(f"  n{w.src[e]} --> c{e}((customer))")
        else:
            start = f"s{e}((supplier))" if w.src[e] < 0 else f"n{w.src[e]}"
            low, high = w.min_lead_time[e], w.max_lead_time[e]
            time = f"{w.lead_time[e]}" if low == high else f"{low}..{high}"
            lines.append(f'  {start} -->|"{time}"| n{w.dst[e]}')
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    escaped = name.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return f'"{" ".join(escaped.split())}"'
