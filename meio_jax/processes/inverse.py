"""From a random word to a value: inverse distribution functions, accurate in both tails.

A float32 uniform has 2**-24 granularity and cannot tell what happens in the upper tail. Here a value is found by
comparing a whole 32-bit word with thresholds, small words being large values: the upper tail of a threshold is summed
from its own end, the lower tail from the other, so both keep their relative accuracy down to 2**-32. No outcome whose
probability is 0 is ever drawn. Outcomes beyond the 2**-33 tails could not be drawn anyway, so tables end there.

The comparisons cost little beside the random words themselves (threefry); `jax.random.poisson` is over ten times
slower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri

from meio_jax.errors import ParameterError

__all__ = [
    "below", "count", "normal_of_word", "offset_of", "pick", "support_needed", "tail", "thresholds",
    "thresholds_of_probabilities", "thresholds_of_ratios", "uniform_of_key", "word_of_normal",
]  # fmt: skip

#: Standard deviations below the mean at which a table of counts starts: P < exp(-z**2 / 2) < 2**-33.
_START = 6.8
#: Longest table: beyond it a continuous distribution is the better model.
_LONGEST = 1 << 16
#: Up to this many thresholds are compared one by one; more are searched.
_PLAIN = 96


def tail(word: Array, dtype: Any = float) -> Array:
    """The upper tail probability in (0, 1] that a word stands for: never 0, so that its logarithm is finite."""
    return (word.astype(dtype) + 0.5) * 2.0**-32


def thresholds(above: Array, under: Array) -> Array:
    """uint32 thresholds with P(word < threshold) = ``above``; ``under`` is 1 - above, summed from the other end."""
    low = jnp.minimum(above, 0.5) * 2.0**32
    high = jnp.minimum(under, 0.5) * 2.0**32
    rest = jnp.maximum(jnp.floor(high + 0.5).astype(jnp.uint32), jnp.uint32(1))
    return jnp.where(
        above <= 0.5, jnp.floor(low + 0.5).astype(jnp.uint32), jnp.uint32(0xFFFFFFFF) - rest + jnp.uint32(1)
    )


def thresholds_of_probabilities(p: Array) -> Array:
    """Thresholds ``[J - 1, ...]`` of outcomes in ascending order with probabilities ``p [J, ...]``."""
    return thresholds(jnp.cumsum(p[::-1], 0)[::-1][1:], jnp.cumsum(p, 0)[:-1])


def thresholds_of_ratios(log_ratio: Array) -> tuple[Array, Array]:
    """Thresholds of a distribution on consecutive integers, given by log p[j] - log p[j-1].

    Args:
      log_ratio: ``[J, K, 1|B]``; the first entry is ignored.

    Returns:
      thresholds ``[J - 1, K, 1|B]``, and ``[K, 1|B]`` whether the table holds all but 2**-28 of the distribution.
    """
    c = jnp.concatenate([jnp.zeros_like(log_ratio[:1]), jnp.cumsum(log_ratio[1:], 0)])
    p = jnp.exp(c - jnp.max(c, 0, keepdims=True))
    p = p / jnp.sum(p, 0, keepdims=True)
    last = jnp.exp(log_ratio[-1])
    covered = p[-1] * last < 2.0**-28 * (1.0 - last)
    return thresholds_of_probabilities(p), covered


def offset_of(mean: Any, sd: Any, xp: Any = jnp) -> Any:
    """Least value of a table of counts: what lies below it cannot be drawn (a sub-Gaussian lower tail is assumed)."""
    return xp.maximum(xp.floor(mean - _START * sd), 0.0)


def support_needed(kind: str, offset: np.ndarray, log_ratio: Callable[[np.ndarray], np.ndarray]) -> int:
    """Entries a table needs so that what it leaves out could not be drawn, rounded up to a multiple of 8.

    Args:
      kind: for the message.
      offset: ``[K, L]`` least value of the table.
      log_ratio: log p[k] - log p[k-1] for ``k [J, K, L]``.

    Raises:
      ParameterError: more than 65,536 entries would be needed.
    """
    size = 32
    while size <= _LONGEST:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            steps = log_ratio(offset + np.arange(size)[:, None, None])
            c = np.concatenate([np.zeros_like(steps[:1]), np.cumsum(steps[1:], 0)])
            p = np.exp(c - c.max(0))
            last = np.exp(steps[-1])
            left = p[-1] / p.sum(0) * last
        if np.all(left < 2.0**-40 * (1.0 - last)):
            above = np.cumsum(p[::-1], 0)[::-1] / p.sum(0)  # P(value >= offset + j)
            needed = 1 + int(np.max(np.nonzero((above >= 2.0**-33).any((1, 2)))[0]))
            return max(8, -8 * (-needed // 8))
        size *= 2
    raise ParameterError(
        f"{kind}: the counts spread over more than {_LONGEST} values; use 'gamma' or 'normal', rounded"
    )


def _take(table: Array, index: Array) -> Array:
    """``table[index]`` for each row and lane: ``table [J, K, 1|B]``, ``index [K, B]``."""
    _, rows, lanes = table.shape
    at = index * rows + jnp.arange(rows, dtype=index.dtype)[:, None]
    if lanes > 1:
        at = at * lanes + jnp.arange(lanes, dtype=index.dtype)[None, :]
    return table.reshape(-1).at[at].get(mode="promise_in_bounds")


def count(word: Array, table: Array) -> Array:
    """How many thresholds lie above the word: int32 ``[K, B]``; ``word [K, B]``, ``table [J, K, 1|B]`` falling in J.

    Short tables are compared entry by entry, which the compiler turns into a handful of vector instructions; of
    long ones every 2**s-th entry is compared and the rest bisected.
    """
    n = table.shape[0]
    steps = 0
    while n >> steps > _PLAIN:
        steps += 1
    stride = 1 << steps
    if n % stride:
        table = jnp.concatenate([table, jnp.zeros((stride - n % stride, *table.shape[1:]), table.dtype)])
    found = jnp.zeros(word.shape, jnp.int32)
    for j in range(stride - 1, table.shape[0], stride):
        found = found + (word < table[j])
    found = found * stride
    if steps:
        # A sentinel row: bisection may ask for the entry after the last.
        table = jnp.concatenate([table, jnp.zeros((stride, *table.shape[1:]), table.dtype)])
    for step in reversed(range(steps)):
        further = found + (1 << step)
        found = jnp.where(word < _take(table, further - 1), further, found)
    return found


def pick(word: Array, table: Array, values: Array) -> Array:
    """The outcome ``[K, B]``: ``values [J, K, 1|B]`` ascending, ``table [J - 1, K, 1|B]`` their thresholds."""
    if values.shape[0] > _PLAIN:
        return _take(values, count(word, table))
    chosen = jnp.broadcast_to(values[0], word.shape)
    for j in range(table.shape[0]):
        chosen = jnp.where(word < table[j], values[j + 1], chosen)
    return chosen


def below(word: Array, n: Array) -> Array:
    """A uniform integer in 0 .. n - 1 (uint32, 1 <= n < 2**32): the upper half of word * n, in 16-bit pieces."""
    a, b = word >> 16, word & 0xFFFF
    c, d = n >> 16, n & 0xFFFF
    ad, bc = a * d, b * c
    carry = ((b * d) >> 16) + (ad & 0xFFFF) + (bc & 0xFFFF)
    return a * c + (ad >> 16) + (bc >> 16) + (carry >> 16)


def normal_of_word(word: Array, dtype: Any = float) -> Array:
    """Standard normal; accurate in both tails, to 6.3 standard deviations."""
    upper = word < jnp.uint32(1 << 31)
    half = jnp.where(upper, word, jnp.uint32(0xFFFFFFFF) - word)
    z = ndtri(tail(half, dtype))
    return jnp.where(upper, -z, z)


def word_of_normal(z: Array) -> Array:
    """The word that `normal_of_word` turns back into z: what couples rows by a Gaussian copula."""
    half = jnp.minimum(ndtr(-jnp.abs(z)) * 2.0**32, 2.0**31 - 128).astype(jnp.uint32)
    return jnp.where(z > 0, half, jnp.uint32(0xFFFFFFFE) - half)


def uniform_of_key(key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
    """Uniform in (0, 1]: its logarithm is finite. The key is consumed."""
    return 1.0 - jax.random.uniform(key, shape, dtype)
