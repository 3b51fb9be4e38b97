"""Running means and variances: one pytree that rollout, loss, evaluation and serving all read.

Batches are merged by the parallel form of Welford's update: Chan, Golub and LeVeque (1983), The American Statistician
37(3).
"""

from __future__ import annotations

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


def update_moments(moments: Moments, batch: Array, most: float | None = None) -> Moments:
    """Merge a batch ``[.., F]``.

    Args:
      most: the count is cut to this many samples afterwards, so that the distant past fades; None: it never does.
    """
    axes = tuple(range(batch.ndim - moments.mean.ndim))
    n = 1
    for a in axes:
        n *= batch.shape[a]
    mean = batch.mean(axes)
    variance = jnp.square(batch - mean).mean(axes)
    count = moments.count + n
    weight = n / count
    step = mean - moments.mean
    merged = moments.variance + weight * (variance - moments.variance) + weight * (1 - weight) * jnp.square(step)
    return Moments(
        mean=moments.mean + weight * step,
        variance=merged,
        count=count if most is None else jnp.minimum(count, most),
    )


def normalise(moments: Moments, x: Array, limit: float = 10.0) -> Array:
    """``(x - mean) / deviation``, cut to ``[-limit, limit]``; what never varied stays near 0. NaN stays NaN."""
    deviation = jnp.sqrt(jnp.maximum(moments.variance, 1e-6))
    return jnp.clip((x - moments.mean) / deviation, -limit, limit)
