"""Convex functions on a lattice that are linear beyond its ends: what the multi-echelon recursions are made of."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["extended", "minimum"]


def extended(rows: np.ndarray, left: int, right: int, low_slope: float, high_slope: float, step: float) -> np.ndarray:
    """Rows ``[R, n]`` with so many points more on either side, along their slopes there."""
    low = rows[:, :1] - low_slope * step * np.arange(left, 0, -1)
    high = rows[:, -1:] + high_slope * step * np.arange(1, right + 1)
    return np.concatenate([low, rows, high], axis=1)


def minimum(c: np.ndarray, at: np.ndarray, high_slope: float, smooth: bool, rounding: float) -> tuple[float, float]:
    """The smallest minimiser of a convex function on a lattice, and its value; infinite where it falls for ever."""
    if high_slope < -rounding:
        return math.inf, math.nan
    k = int(np.argmax(c <= c.min() + rounding * max(1.0, at[-1] - at[0])))
    if not smooth or k in (0, c.size - 1):
        return float(at[k]), float(c[k])
    before, here, after = c[k - 1 : k + 2]
    bend = before - 2 * here + after
    if bend <= 0:
        return float(at[k]), float(here)
    shift = 0.5 * (before - after) / bend  # the parabola through three points
    return float(at[k] + shift * (at[1] - at[0])), float(here - 0.125 * (before - after) ** 2 / bend)
