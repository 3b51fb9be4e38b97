"""What happened: learning curves, stock over time, policies side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.network import Network
from meio_jax.plot.style import (
    BLUE,
    CYCLE,
    GOLD,
    GREEN,
    INK,
    PAPER,
    RED,
    axes_for,
    figures,
    finish,
    labels_at_the_right,
)

__all__ = ["comparison", "learning_curve", "stock_over_time"]


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
    figure, ax = axes_for(ax, (6.4, 3.6))
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
        lines.append((cost, f"{name} {figures(cost)}", greys[i % 3]))
    if optimum is not None:
        ax.axhline(optimum, color=GREEN, linewidth=1.4, zorder=1)
        lines.append((optimum, f"optimum {figures(optimum)}", GREEN))
    # What matters is the end of learning: the wild beginning may leave the picture.
    inside = np.concatenate([*visible, [y for y, _, _ in lines]])
    inside = inside[np.isfinite(inside)]
    if inside.size and np.ptp(inside):
        pad = 0.06 * np.ptp(inside)
        ax.set_ylim(inside.min() - pad, inside.max() + pad)
    if min(spans) < max(spans):
        ax.set_xlim(min(spans), max(spans))
    labels_at_the_right(ax, lines)
    finish(ax, title, x_label, y_label)
    return figure


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
        finish(panel, None)
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
    figure, ax = axes_for(ax, (6.4, 0.95 + 0.34 * len(read)))
    least = read[0][1] if optimum is None else optimum
    for y, (_, mean, low, high) in enumerate(read):
        colour = BLUE if y == 0 else "#52606d"
        ax.plot([low, high], [y, y], color=colour, linewidth=2.2, alpha=0.55, solid_capstyle="round")
        ax.plot([mean], [y], "o", color=colour, markersize=6)
        gap = f"  {100 * (mean - least) / abs(least):+.2f} %" if least and (optimum is not None or y) else ""
        ax.text(
            1.015,
            y,
            f"{figures(mean)}{gap}",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            color=colour,
        )
    if optimum is not None:
        ax.axvline(optimum, color=GREEN, linewidth=1.4, zorder=0)
        ax.text(optimum, -0.75, f" optimum {figures(optimum)}", color=GREEN, fontsize=8.5, va="center")
    ax.set_yticks(range(len(read)), [name for name, *_ in read])
    ax.set_ylim(len(read) - 0.5, -1.0 if optimum is not None else -0.5)
    ax.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    ax.set_axisbelow(True)
    finish(ax, title, x_label)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    return figure
