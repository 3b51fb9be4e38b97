"""Where the safety stock is: a guaranteed-service solution drawn on its network."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.plot.layout import HIGH, WIDE, layout_of
from meio_jax.plot.network import _draw_arcs, _draw_box, _draw_customer, _draw_supplier
from meio_jax.plot.style import INK, PAPER, QUIET, figure_of, lane_of, number
from meio_jax.solvers.solution import Solution

__all__ = ["plot_service_times"]

#: From no safety stock to the dearest.
_SHADES = LinearSegmentedColormap.from_list("safety stock", [PAPER, "#7db4fb"])
#: Inches that the legend needs.
_LEGEND_WIDE, _LEGEND_HIGH = 5.3, 0.62


def plot_service_times(
    network: Network,
    solution: Solution,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    lane: int = 0,
    legend: bool = True,
) -> Figure:
    """Each node with its promised service time, the periods that it covers and its safety stock; the dearer, the bluer.

    Args:
      network: whose arcs show their lead times.
      solution: of `guaranteed_service`, `guaranteed_service_milp` or `service_cost`, for these nodes.
      ax: where to draw; None makes a figure of the right size.
      title: above the drawing.
      lane: which lane's lead times.
      legend: whether to explain.

    Raises:
      InputError: the solution has no service times, or other nodes.
    """
    w, found = network.wiring, _by_node(solution, network)
    at = layout_of(w)
    points = np.array([*at.ends.values(), *(p for stops in at.via.values() for p in stops), *at.nodes])
    boxes = np.array(at.nodes)
    left = min(points[:, 0].min() - 0.3, boxes[:, 0].min() - WIDE / 2 - 0.15)
    right = max(points[:, 0].max() + 0.3, boxes[:, 0].max() + WIDE / 2 + 0.25)
    if legend:
        more = max(0.0, _LEGEND_WIDE - (right - left)) / 2
        left, right = left - more, right + more
    low = min(points[:, 1].min() - 0.3, boxes[:, 1].min() - HIGH / 2 - 0.15) - (_LEGEND_HIGH if legend else 0.0)
    high = max(points[:, 1].max() + 0.3, boxes[:, 1].max() + HIGH / 2 + 0.15) + (0.3 if title else 0.0)
    if ax is None:
        figure = Figure(figsize=(right - left, high - low), facecolor=PAPER)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        scale = 1.0
    else:
        figure = figure_of(ax)
        frame = ax.get_window_extent()
        scale = min(frame.width / (right - left), frame.height / (high - low)) / figure.dpi
    ax.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    ax.axis("off")

    lead = lane_of(network.lead_time, lane) if network.lead_time is not None else np.asarray(w.lead_time, float)
    _draw_arcs(ax, w, at, lead, scale)
    dearest = max(cost for *_, cost in found.values()) or 1.0
    for n, name in enumerate(w.nodes):
        (x, y), (promise, covered, stock, cost) = at.nodes[n], found[name]
        _draw_box(ax, x, y, to_hex(_SHADES(cost / dearest)), scale, double=False)
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 4}
        ax.text(x, y + 0.085, _cut(name), fontsize=8.5 * scale, fontweight="bold", **style)
        what = f"covers {covered} · {number(stock)}" if stock else "no safety stock"
        ax.text(x, y - 0.105, what, fontsize=7.5 * scale, **style)
        _draw_promise(ax, x + WIDE / 2, y, str(promise), scale)
    for e, (x, y) in at.ends.items():
        if w.dst[e] < 0:
            _draw_customer(ax, x, y, scale)
        else:
            _draw_supplier(ax, x, y, scale, down=w.levels[w.dst[e]] > 0)
    if legend:
        _draw_legend(ax, left + 0.25, low, dearest, scale)
    if title:
        middle = (left + right) / 2
        ax.text(middle, high - 0.1, title, ha="center", va="top", fontsize=11 * scale, color=INK, fontweight="bold")
    return figure


def _by_node(solution: Solution, network: Network) -> dict[str, tuple[int, int, float, float]]:
    """Promised service time, periods covered, safety stock and its cost, by name."""
    rows = solution.numbers
    if "service_time" not in rows or "node" not in rows:
        raise InputError(f"the solution of {solution.method!r} has no service times; draw_network draws levels")
    if set(rows["node"]) != set(network.wiring.nodes):
        odd = sorted(set(rows["node"]) ^ set(network.wiring.nodes))
        raise InputError(f"solution and network differ in {', '.join(odd)}: they must have the same nodes")
    columns = ("service_time", "net_replenishment_time", "safety_stock", "safety_stock_cost")
    return dict(zip(rows["node"], zip(*(rows[c] for c in columns), strict=True), strict=True))


def _cut(name: str) -> str:
    """As many letters as a box holds beside its promise."""
    return name if len(name) <= 14 else name[:13] + "…"


def _draw_promise(ax: Axes, x: float, y: float, text: str, scale: float) -> None:
    ax.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=7.5 * scale,
        fontweight="bold",
        color=PAPER,
        zorder=5,
        bbox={"boxstyle": "round,pad=0.25", "facecolor": INK, "edgecolor": PAPER, "linewidth": 0.8 * scale},
    )


def _draw_legend(ax: Axes, x: float, low: float, dearest: float, scale: float) -> None:
    style: dict[str, Any] = {"va": "center", "fontsize": 7.5 * scale, "color": QUIET}
    y = low + 0.46
    _draw_supplier(ax, x, y, scale, size=0.08)
    ax.text(x + 0.2, y, "supplier", **style)
    _draw_customer(ax, x + 0.88, y, scale, size=0.08)
    ax.text(x + 1.08, y, "customer", **style)
    _draw_promise(ax, x + 1.85, y, "2", scale)
    ax.text(x + 2.05, y, "promised service time", **style)
    ax.text(x + 3.42, y, "on arcs: lead time", **style)
    y = low + 0.2
    ax.text(x - 0.08, y, "in nodes: periods covered · safety stock", **style)
    shades = np.linspace(0, 1, 64)[None]
    bar = (x + 2.8, x + 3.8, y - 0.06, y + 0.06)
    ax.imshow(shades, cmap=_SHADES, extent=bar, aspect="auto", zorder=2)
    ax.plot(
        [bar[0], bar[1], bar[1], bar[0], bar[0]], [bar[2], bar[2], bar[3], bar[3], bar[2]], color=QUIET, lw=0.6 * scale
    )
    ax.text(x + 2.72, y, "cost 0", ha="right", **style)
    ax.text(x + 3.88, y, f"{number(dearest)} per period", **style)
