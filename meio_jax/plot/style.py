"""What all figures share: colours, axes, and labels that keep out of each other's way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from meio_jax.errors import InputError

INK, QUIET, PAPER = "#1f2933", "#7b8794", "#ffffff"
NODE, SUPPLIER, CUSTOMER = "#dbeafe", "#e7e5e4", "#fde68a"
BLUE, RED, GOLD = "#2563eb", "#dc2626", "#d97706"
GREEN = "#059669"  # the optimum, and nothing else
CYCLE = (BLUE, GOLD, "#7c3aed", "#db2777", "#0891b2", "#65a30d", "#9f1239", "#475569")
SHADES = LinearSegmentedColormap.from_list("stock", ["#f0f7ff", "#7db4fb"])


def figure_of(ax: Axes) -> Figure:
    """The figure that ``ax`` belongs to. Raises `InputError` where there is none."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise InputError("ax belongs to no figure")
    return figure


def axes_for(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The given axes, or new ones of ``size`` inches in a figure of their own."""
    if ax is not None:
        return figure_of(ax), ax
    figure = Figure(figsize=size, facecolor=PAPER, layout="constrained")
    return figure, figure.add_subplot()


def finish(ax: Axes, title: str | None, x_label: str = "", y_label: str = "") -> None:
    """Title, labels and the quiet look of all axes."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#9aa5b1")
    ax.tick_params(colors="#52606d", labelsize=8.5)
    ax.set_xlabel(x_label, fontsize=9, color=INK)
    ax.set_ylabel(y_label, fontsize=9, color=INK)
    if title:
        ax.set_title(title, fontsize=11, fontweight="bold", color=INK, loc="left")


def labels_at_the_right(ax: Axes, lines: Sequence[tuple[float, str, str]]) -> None:
    """Texts beside the ends of lines, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    lines = sorted(lines, key=lambda x: -x[0])
    room = 9.0 / 72 / ax.get_window_extent().height * figure_of(ax).dpi * 1.15
    heights = [(y - low) / (high - low) for y, _, _ in lines]
    for at, (_, text, colour) in zip(spread_out(heights, [room] * len(lines)), lines, strict=True):
        ax.text(1.015, at, text, transform=ax.transAxes, va="center", fontsize=8.5, color=colour)


def spread_out(wish: Sequence[float], size: Sequence[float]) -> list[float]:
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


def figures(x: float) -> str:
    """Enough figures to tell policies apart."""
    return f"{x:,.1f}" if abs(x) >= 1000 else f"{x:.2f}" if abs(x) >= 10 else f"{x:.4g}"


def number(x: float) -> str:
    """A number in few characters, for boxes and arcs."""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def lane_of(leaf: Any, lane: int) -> np.ndarray:
    """One lane of a leaf, whether or not it differs between lanes."""
    values = np.asarray(leaf, float)
    return values[:, lane if values.shape[-1] > 1 else 0]
