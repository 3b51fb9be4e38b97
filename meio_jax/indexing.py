"""Rows by constant index, with the lane axis last.

XLA turns a gather with constant indices on the leading axis into plain copies of contiguous lanes, and a slice into
nothing at all; a scatter is never needed. Every function here picks the cheapest form while tracing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

__all__ = ["assemble", "reduce_groups", "rows", "sum_first", "sum_groups"]

#: Beyond this many pieces a sum over groups is written as a segment sum: programs stay small.
PIECES = 24


def rows(x: Array, index: Sequence[int]) -> Array:
    """``x[index]`` on the leading axis for a constant, in-range index."""
    n = len(index)
    if n and list(index) == list(range(index[0], index[0] + n)):
        return x if n == x.shape[0] else jax.lax.slice_in_dim(x, index[0], index[0] + n)
    return x.at[np.asarray(index, dtype=np.int32)].get(mode="promise_in_bounds")


def sum_first(x: Array) -> Array:
    """``x.sum(0)``. Over a few it is written as additions, which fuse with what is around them; a reduction may not."""
    return functools.reduce(jnp.add, x) if 0 < x.shape[0] <= PIECES else x.sum(0)


def assemble(parts: Sequence[tuple[Sequence[int], Array]], count: int) -> Array:
    """Put rows back in their places: the inverse of `rows` over a partition of ``range(count)``."""
    order = [i for index, _ in parts for i in index]
    joined = parts[0][1] if len(parts) == 1 else jnp.concatenate([p for _, p in parts])
    place = [0] * count
    for position, i in enumerate(order):
        place[i] = position
    return rows(joined, place)


def _pieces(groups: Sequence[Sequence[int]]) -> list[tuple[int, int, int]] | None:
    """Runs of equally long groups over consecutive rows, (first row, groups, rows each), or None."""
    pieces: list[tuple[int, int, int]] = []
    at = None
    for group in groups:
        k = len(group)
        if k and list(group) != list(range(group[0], group[0] + k)):
            return None
        if pieces and pieces[-1][2] == k and (k == 0 or group[0] == at):
            first, n, _ = pieces[-1]
            pieces[-1] = (first, n + 1, k)
        else:
            pieces.append((group[0] if k else 0, 1, k))
        at = group[-1] + 1 if k else None
    return pieces


def sum_groups(x: Array, groups: Sequence[Sequence[int]]) -> Array:
    """``[len(groups), B]``: for each group of rows their sum, 0 for an empty group."""
    if all(len(g) == 1 for g in groups):
        return rows(x, [g[0] for g in groups])
    pieces = _pieces(groups)
    if pieces is not None and len(pieces) <= PIECES:
        out = []
        for first, n, k in pieces:
            part = jnp.zeros((n, x.shape[-1]), x.dtype) if k == 0 else jax.lax.slice_in_dim(x, first, first + n * k)
            out.append(part.reshape(n, k, -1).sum(1) if k > 1 else part)
        return out[0] if len(out) == 1 else jnp.concatenate(out)
    if max(len(g) for g in groups) <= 4:
        return reduce_groups(x, groups, jnp.add, 0.0)
    index = [i for g in groups for i in g]
    owner = np.asarray([k for k, g in enumerate(groups) for _ in g], dtype=np.int32)
    return jax.ops.segment_sum(rows(x, index), owner, len(groups), indices_are_sorted=True, mode="promise_in_bounds")


def by_rank(x: Array, groups: Sequence[Sequence[int]], empty: float) -> list[Array]:
    """For r = 0, 1, ..: the r-th row of every group, ``empty`` where a group is shorter; each ``[len(groups), B]``."""
    most = max((len(g) for g in groups), default=0)
    if all(len(g) == most for g in groups):
        return [rows(x, [g[r] for g in groups]) for r in range(most)]
    padded = jnp.concatenate([x, jnp.full((1, x.shape[-1]), empty, x.dtype)])
    none = x.shape[0]
    return [rows(padded, [g[r] if r < len(g) else none for g in groups]) for r in range(most)]


def reduce_groups(
    x: Array, groups: Sequence[Sequence[int]], op: Callable[[Array, Array], Array], empty: float
) -> Array:
    """``[len(groups), B]``: rows of each group combined by ``op``; ``empty`` is its neutral element."""
    first, *others = by_rank(x, groups, empty)
    for other in others:
        first = op(first, other)
    return first
