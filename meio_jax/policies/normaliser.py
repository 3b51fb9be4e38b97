"""Running means and variances: one pytree that rollout, loss, evaluation and serving all read.

Batches are merged by the parallel form of Welford's update: Chan, Golub and LeVeque (1983), The American Statistician
37(3).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.struct import pytree

__all__ = ["Moments", "init_moments", "normalise", "update_moments"]


@pytree
class Moments:
    """Mean and variance ``[F]`` of what was seen so far, and how many samples they stand for."""

    mean: Array
    variance: Array
    count: Array


def init_moments(size: int | tuple[int, ...], dtype: jnp.dtype | type = jnp.float32) -> Moments:
    """Mean 0, variance 1, of no sample: `normalise` is then the identity."""
    shape = (size,) if isinstance(size, int) else size
    return Moments(jnp.zeros(shape, dtype), jnp.ones(shape, dtype), jnp.zeros((), dtype))


def _is_leaf(x: Any) -> bool:
    return x is None or isinstance(x, Moments)


def update_moments(moments: Any, batch: Any, most: float | None = None) -> Any:
    """Merge a batch ``[.., F]``, or a pytree of batches into one of moments.

    Moments of shape ``[1, F]`` are those of many alike, such as the nodes of a network: a batch ``[.., N, F]`` counts
    as its leading axes, and the N share a mean and a variance. None: what is taken as it is.

    Args:
      most: the count is cut to this many samples afterwards, so that the distant past fades; None: it never does.
    """
    return jax.tree.map(lambda m, x: None if m is None else _update(m, x, most), moments, batch, is_leaf=_is_leaf)


def _update(moments: Moments, batch: Array, most: float | None) -> Moments:
    axes = tuple(range(batch.ndim - moments.mean.ndim))
    n = 1
    for a in axes:
        n *= batch.shape[a]
    mean = batch.mean(axes)
    alike = tuple(k for k, size in enumerate(moments.mean.shape) if size == 1 != mean.shape[k])
    mean = mean.mean(alike, keepdims=True) if alike else mean
    variance = jnp.square(batch - mean).mean(axes)
    variance = variance.mean(alike, keepdims=True) if alike else variance
    count = moments.count + n
    weight = n / count
    step = mean - moments.mean
    merged = moments.variance + weight * (variance - moments.variance) + weight * (1 - weight) * jnp.square(step)
    return Moments(
        mean=moments.mean + weight * step,
        variance=merged,
        count=count if most is None else jnp.minimum(count, most),
    )


def normalise(moments: Any, x: Any, limit: float = 10.0) -> Any:
    """``(x - mean) / deviation``, cut to ``[-limit, limit]``; what never varied stays near 0. NaN stays NaN.

    Of pytrees leaf by leaf, as `update_moments`.
    """
    return jax.tree.map(lambda m, v: v if m is None else _normalise(m, v, limit), moments, x, is_leaf=_is_leaf)


def _normalise(moments: Moments, x: Array, limit: float) -> Array:
    deviation = jnp.sqrt(jnp.maximum(moments.variance, 1e-6))
    if x.ndim == 2 and moments.mean.ndim == 1:  # lanes last, as features are made and as layers take them
        return jnp.clip((x.T - moments.mean[:, None]) / deviation[:, None], -limit, limit).T
    return jnp.clip((x - moments.mean) / deviation, -limit, limit)
