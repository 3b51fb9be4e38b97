"""The network as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.network import Network, Wiring
from meio_jax.plot.layout import HIGH, SMALL, WIDE, Layout, layout_of
from meio_jax.plot.style import (
    CUSTOMER,
    INK,
    NODE,
    PAPER,
    QUIET,
    SHADES,
    SUPPLIER,
    figure_of,
    lane_of,
    number,
)

__all__ = ["draw_network"]


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
    at = layout_of(w)
    shown = _values(w, values, "values")
    note = "on arcs: lead time    in nodes: holding cost h" + (f" · {value_label}" if shown else "")
    points = np.array([*at.ends.values(), *(p for stops in at.via.values() for p in stops), *at.nodes])
    boxes = np.array(at.nodes)
    left = min(points[:, 0].min() - 0.3, boxes[:, 0].min() - WIDE / 2 - 0.15)
    right = max(points[:, 0].max() + 0.3, boxes[:, 0].max() + WIDE / 2 + 0.15)
    if legend:  # room for its line
        more = max(0.0, 2.2 + 0.062 * len(note) - (right - left)) / 2
        left, right = left - more, right + more
    low = min(points[:, 1].min() - 0.3, boxes[:, 1].min() - HIGH / 2 - 0.15) - (0.34 if legend else 0.0)
    high = max(points[:, 1].max() + 0.3, boxes[:, 1].max() + HIGH / 2 + 0.15) + (0.3 if title else 0.0)
    width, height = right - left, high - low
    if ax is None:
        figure = Figure(figsize=(width, height), facecolor=PAPER)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        scale = 1.0
    else:
        figure = figure_of(ax)
        frame = ax.get_window_extent()
        scale = min(frame.width / figure.dpi / width, frame.height / figure.dpi / height)
    ax.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    ax.axis("off")

    holding = lane_of(network.holding_cost, lane)
    lead = lane_of(network.lead_time, lane) if network.lead_time is not None else np.asarray(w.lead_time, float)
    _draw_arcs(ax, w, at, lead, scale)
    least, most = (min(shown.values()), max(shown.values())) if shown else (0.0, 0.0)
    for n, name in enumerate(w.nodes):
        (x, y), fill, second = at.nodes[n], NODE, f"h {number(holding[n])}"
        if name in shown:
            fill = to_hex(SHADES((shown[name] - least) / (most - least or 1.0)))
            second += f" · {number(shown[name])}"
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


def _draw_box(ax: Axes, x: float, y: float, fill: str, scale: float, double: bool) -> None:
    for grow in (0.045, 0.0) if double else (0.0,):  # a second line around a node that makes to order
        box = FancyBboxPatch(
            (x - WIDE / 2 + 0.06 - grow, y - HIGH / 2 + 0.06 - grow),
            WIDE - 0.12 + 2 * grow,
            HIGH - 0.12 + 2 * grow,
            boxstyle="round,pad=0.06",
            facecolor=PAPER if grow else fill,
            edgecolor=INK,
            linewidth=0.9 * scale,
            zorder=3,
        )
        ax.add_patch(box)


def _draw_supplier(ax: Axes, x: float, y: float, scale: float, down: bool = False, size: float = SMALL) -> None:
    s = size
    right = [(-s * 0.8, s), (-s * 0.8, -s), (s, 0.0)]
    points = [(x + b, y - a) if down else (x + a, y + b) for a, b in right]
    ax.add_patch(Polygon(points, closed=True, facecolor=SUPPLIER, edgecolor=INK, linewidth=0.9 * scale, zorder=3))


def _draw_customer(ax: Axes, x: float, y: float, scale: float, size: float = SMALL) -> None:
    s = size
    points = [(x - s, y), (x, y + s), (x + s, y), (x, y - s)]
    ax.add_patch(Polygon(points, closed=True, facecolor=CUSTOMER, edgecolor=INK, linewidth=0.9 * scale, zorder=3))


def _draw_arcs(ax: Axes, w: Wiring, at: Layout, lead: np.ndarray, scale: float) -> None:
    """Arcs as smooth curves that leave to the right and arrive from the left, with their lead times on them."""
    for e in range(w.n_arcs):
        if e in at.ends:
            x, y = at.ends[e]
            nx_, ny = at.nodes[w.dst[e] if w.src[e] < 0 else w.src[e]]
            if abs(x - nx_) < WIDE / 2:  # above or below
                sign = 1 if y > ny else -1
                ends = [(x, y - sign * SMALL), (x, ny + sign * HIGH / 2)]
                a, b = ends if sign > 0 else ends[::-1]
                pieces = [_curve(a, b, level=False)]
            elif x < nx_:
                pieces = [_curve((x + SMALL, y), (nx_ - WIDE / 2, ny + (y - ny) * 0.3))]
            else:
                pieces = [_curve((nx_ + WIDE / 2, ny + (y - ny) * 0.3), (x - SMALL, y))]
        else:
            x, y = at.nodes[w.src[e]]
            here, pieces = (x + WIDE / 2, y), []
            for x, y in at.via[e]:  # straight past the boxes of a column, curved between columns
                pieces += [_curve(here, (x - WIDE / 2, y)), _curve((x - WIDE / 2, y), (x + WIDE / 2, y))]
                here = (x + WIDE / 2, y)
            x, y = at.nodes[w.dst[e]]
            pieces.append(_curve(here, (x - WIDE / 2, y)))
        vertices = [pieces[0][0], *(p for piece in pieces for p in piece[1:])]
        path = Path(vertices, [Path.MOVETO, *[Path.CURVE4] * (len(vertices) - 1)])
        style: dict[str, Any] = {"color": QUIET, "linewidth": scale, "shrinkA": 0, "shrinkB": 0, "zorder": 1}
        ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=7 * scale, **style))
        if w.dst[e] >= 0:
            low, high = w.min_lead_time[e], w.max_lead_time[e]
            text = number(lead[e]) if low == high else f"{low}..{high}"
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
