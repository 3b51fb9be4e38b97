"""Gamma demand, continuous or rounded to whole units."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammainc, gammaincc

from meio_jax.errors import ParameterError
from meio_jax.processes.base import Inverted, Parameter, Process, rows_of, switch_of
from meio_jax.processes.inverse import count, offset_of, thresholds, uniform_of_key
from meio_jax.struct import pytree, static

__all__ = ["Gamma", "gamma", "log_standard_gamma"]

#: An attempt is refused with probability below 0.049, so five fail with probability below 3e-7; the last then stands.
_ATTEMPTS = 5


def log_standard_gamma(key: Array, shape: Array, size: tuple[int, ...]) -> Array:
    """Logarithm of gamma draws with the given shape parameter and scale 1, by the method of Marsaglia and Tsang (2000).

    doi:10.1145/358407.358414. The attempts are a fixed number, so no loop waits for the slowest lane. Gradients
    do not pass through the shape parameter. The key is consumed.
    """
    shape = jax.lax.stop_gradient(jnp.broadcast_to(shape, size))
    small = shape < 1.0
    d = jnp.where(small, shape + 1.0, shape) - 1.0 / 3.0
    c = 1.0 / jnp.sqrt(9.0 * d)[None]
    normal_key, uniform_key, boost_key = jax.random.split(key, 3)
    x = jax.random.normal(normal_key, (_ATTEMPTS, *size), shape.dtype)
    u = uniform_of_key(uniform_key, (_ATTEMPTS, *size), shape.dtype)
    # Without the barrier the compiler draws the noise anew wherever it is used.
    x, u = jax.lax.optimization_barrier((x, u))
    v = (1.0 + c * x) ** 3
    good = (v > 0) & (jnp.log(u) < 0.5 * x**2 + d[None] * (1.0 - v + jnp.log(jnp.maximum(v, 1e-30))))
    chosen = jnp.maximum(v[-1], 0.0)
    for i in reversed(range(_ATTEMPTS - 1)):
        chosen = jnp.where(good[i], v[i], chosen)
    # In logarithms, because with a small shape most draws are too small for float32.
    boost = jnp.log(uniform_of_key(boost_key, size, shape.dtype)) / shape
    return jnp.log(d * jnp.maximum(chosen, 1e-30)) + jnp.where(small, boost, 0.0)


@pytree
class Gamma(Inverted):
    """Gamma with shape 1 / cv^2 and scale mean cv^2; rounded: floor(X + 1/2), from a table of its inverse."""

    mean: Array  # [K, 1|B]
    cv: Array  # [K, 1|B]
    rounded: bool = static(default=False)
    entries: int = static(default=8)

    role = "demand"
    kind = "gamma"
    parameters: ClassVar = {
        "mean": Parameter("mean demand (before rounding)", "unit/period", low=0.0, high=1e6, open_low=True),
        "cv": Parameter("standard deviation over mean (before rounding)", low=1e-3, high=10.0),
        "rounded": Parameter("whole units only", form="switch", default=False),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return gamma([4.0, 10.0, 1.0], [0.5, 2.0, 0.1]), gamma([4.0, 10.0, 60.0], [0.5, 2.0, 0.1], rounded=True)

    @property
    def invertible(self) -> bool:
        return self.rounded

    def _shape_scale(self) -> tuple[Array, Array]:
        return 1.0 / self.cv**2, self.mean * self.cv**2

    def prepare(self) -> Any:
        if not self.rounded:
            return None
        shape, scale = self._shape_scale()
        offset = offset_of(self.mean, self.mean * self.cv)
        edge = (offset[None] + jnp.arange(self.entries, dtype=offset.dtype)[:, None, None] + 0.5) / scale[None]
        shape = jnp.broadcast_to(shape, edge.shape)
        above = gammaincc(shape, edge)
        table = thresholds(above[:-1], gammainc(shape, edge)[:-1])
        return jnp.where(above[-1] < 2.0**-28, offset, jnp.nan), table

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        if self.rounded:
            return super().sample(key, carry, t, lanes)
        shape, scale = self._shape_scale()
        return scale * jnp.exp(log_standard_gamma(key, shape, (self.rows, lanes))), carry

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        offset, table = carry
        return offset + count(word, table).astype(offset.dtype)

    def _moments(self) -> tuple[Array, Array]:
        """Of the rounded demand: sums over its table of P(D > k) and (2 k + 1) P(D > k)."""
        shape, scale = self._shape_scale()
        offset = offset_of(self.mean, self.mean * self.cv)
        k = offset[None] + jnp.arange(self.entries, dtype=offset.dtype)[:, None, None]
        edge = (k + 0.5) / scale[None]
        above = gammaincc(jnp.broadcast_to(shape, edge.shape), edge)
        first = offset + above.sum(0)
        return first, offset**2 + ((2.0 * k + 1.0) * above).sum(0) - first**2

    def long_run_mean(self) -> Array:
        return self._moments()[0] if self.rounded else self.mean

    def long_run_sd(self) -> Array:
        return jnp.sqrt(self._moments()[1]) if self.rounded else self.mean * self.cv


def _entries(mean: np.ndarray, cv: np.ndarray) -> int:
    """Entries up to the 2**-33 tail; scipy is asked, once: a table that is too short would be a silent fault."""
    from scipy.special import gammainccinv

    mean, cv = np.broadcast_arrays(np.asarray(mean, float), np.asarray(cv, float))
    highest = gammainccinv(1.0 / cv**2, 2.0**-33) * mean * cv**2
    needed = int(np.max(highest + 1.5 - offset_of(mean, mean * cv, np)))
    if needed > 1 << 16:
        raise ParameterError(f"gamma: rounded, the demand spreads over {needed} values; leave it unrounded")
    return max(8, -8 * (-needed // 8))


def gamma(mean: Any, cv: Any, *, rounded: bool = False) -> Gamma:
    """Independent gamma demand with the given mean and coefficient of variation.

    Args:
      mean: units per period: a number, one per row, or ``[K, B]``.
      cv: standard deviation over mean.
      rounded: round(Gamma), as De Moor, Gijsbrechts and Boute (2022, doi:10.1016/j.ejor.2021.10.045) have
        it. For a sweep construct with the largest values and `replace`.

    Raises:
      ParameterError: a number is out of its domain, or rounded demand spreads over more than 65,536 values.
    """
    numbers = rows_of("gamma", Gamma.parameters, mean=mean, cv=cv)
    if not switch_of("gamma", "rounded", rounded):
        return Gamma(numbers["mean"], numbers["cv"])
    if any(isinstance(x, jax.core.Tracer) for x in numbers.values()):
        raise ParameterError(
            "gamma: the length of the table follows from the numbers; construct outside of jit, replace inside"
        )
    entries = _entries(np.asarray(numbers["mean"]), np.asarray(numbers["cv"]))
    return Gamma(numbers["mean"], numbers["cv"], True, entries)
