"""Poisson and negative binomial demand, by a table of the inverse distribution made from the traced parameters.

The table's length is static: it covers the parameters that the constructor saw. A sweep may `replace` them by
others; where these would need a longer table the demand is NaN, which surfaces, rather than quietly cut short.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import ParameterError
from meio_jax.processes.base import Inverted, Parameter, Process, rows_of
from meio_jax.processes.inverse import count, offset_of, support_needed, thresholds_of_ratios
from meio_jax.struct import pytree, static

__all__ = ["NegativeBinomial", "Poisson", "negative_binomial", "poisson"]

_UNTRACED = "{}: the length of the table follows from the largest {}; construct outside of jit, and replace inside"


def _log_ratio(k: Any, mean: Any, dispersion: Any, xp: Any = jnp) -> Any:
    """Step of the logarithm: p[k]/p[k-1] = m (1 + a (k - 1)) / (k (1 + a m)); a = 0 is Poisson."""
    k = xp.maximum(k, 1.0)
    return xp.log(mean) + xp.log1p(dispersion * (k - 1.0)) - xp.log(k) - xp.log1p(dispersion * mean)


def _entries(kind: str, mean: Array, dispersion: Array) -> int:
    m, a = np.asarray(mean, float), np.asarray(dispersion, float)
    offset = offset_of(m, np.sqrt(m + a * m * m), np)
    return support_needed(kind, offset, lambda k: _log_ratio(k, m, a, np))


def _table(mean: Array, dispersion: Array, entries: int) -> tuple[Array, Array]:
    offset = offset_of(mean, jnp.sqrt(mean + dispersion * mean**2))
    k = offset[None] + jnp.arange(entries, dtype=mean.dtype)[:, None, None]
    table, covered = thresholds_of_ratios(_log_ratio(k, mean[None], dispersion[None]))
    return jnp.where(covered, offset, jnp.nan), table


@pytree
class Poisson(Inverted):
    """P(d) = exp(-mean) mean^d / d!"""

    mean: Array  # [K, 1|B]
    entries: int = static(default=8)

    role = "demand"
    kind = "poisson"
    parameters: ClassVar = {"mean": Parameter("mean demand", "unit/period", high=1e6)}

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return poisson([0.0, 0.3, 12.0]), poisson([5.0, 400.0, 30.0])

    def prepare(self) -> tuple[Array, Array]:
        return _table(self.mean, jnp.zeros_like(self.mean), self.entries)

    def invert(self, carry: tuple[Array, Array], word: Array, t: Array) -> Array:
        offset, table = carry
        return offset + count(word, table).astype(offset.dtype)

    def long_run_mean(self) -> Array:
        return self.mean

    def long_run_sd(self) -> Array:
        return jnp.sqrt(self.mean)


@pytree
class NegativeBinomial(Inverted):
    """Poisson demand whose mean is itself gamma distributed: variance = mean + dispersion mean^2."""

    mean: Array  # [K, 1|B]
    dispersion: Array  # [K, 1|B]
    entries: int = static(default=8)

    role = "demand"
    kind = "negative_binomial"
    parameters: ClassVar = {
        "mean": Parameter("mean demand", "unit/period", high=1e6),
        "variance": Parameter("variance, at least the mean (or give dispersion)", "unit^2/period^2", default=None),
        "dispersion": Parameter("(variance - mean) / mean^2, 0: Poisson (or give variance)", high=1e6, default=None),
    }  # fmt: skip

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return negative_binomial([0.5, 4.0, 30.0], variance=[0.5, 9.0, 90.0]), negative_binomial(
            [1.0, 2.0, 3.0], dispersion=2.0
        )

    def prepare(self) -> tuple[Array, Array]:
        return _table(self.mean, self.dispersion, self.entries)

    def invert(self, carry: tuple[Array, Array], word: Array, t: Array) -> Array:
        offset, table = carry
        return offset + count(word, table).astype(offset.dtype)

    def long_run_mean(self) -> Array:
        return self.mean

    def long_run_sd(self) -> Array:
        return jnp.sqrt(self.mean + self.dispersion * self.mean**2)


def poisson(mean: Any) -> Poisson:
    """Independent Poisson demand. For a sweep construct with the largest mean and `replace`.

    Raises:
      ParameterError: a mean is negative, not finite or above 1e6.
    """
    numbers = rows_of("poisson", Poisson.parameters, mean=mean)
    if isinstance(numbers["mean"], jax.core.Tracer):
        raise ParameterError(_UNTRACED.format("poisson", "mean"))
    return Poisson(**numbers, entries=_entries("poisson", numbers["mean"], jnp.zeros((1, 1))))


def negative_binomial(mean: Any, variance: Any = None, dispersion: Any = None) -> NegativeBinomial:
    """Independent negative binomial demand, given by its mean and either its variance or its dispersion.

    In the other parametrisation: size r = 1 / dispersion, success probability 1 / (1 + dispersion mean).

    Raises:
      ParameterError: not exactly one of variance and dispersion is given, the variance is below the mean, or a number
        is out of its domain.
    """
    kind, table = "negative_binomial", NegativeBinomial.parameters
    if (variance is None) == (dispersion is None):
        raise ParameterError(f"{kind}: give exactly one of variance and dispersion")
    if dispersion is not None:
        numbers = rows_of(kind, table, mean=mean, dispersion=dispersion)
    else:
        numbers = rows_of(kind, table, mean=mean, variance=variance)
        m, v = numbers["mean"], numbers.pop("variance")
        if isinstance(m, jax.core.Tracer) or isinstance(v, jax.core.Tracer):
            raise ParameterError(_UNTRACED.format(kind, "mean and variance"))
        bad = np.broadcast_to((v < m) | ((m == 0) & (v > 0)), np.broadcast_shapes(m.shape, v.shape))
        if bad.any():
            row, lane = (int(i[0]) for i in np.nonzero(bad))
            raise ParameterError(
                f"{kind}: variance = {np.broadcast_to(v, bad.shape)[row, lane]:g} (row {row}) is below the mean "
                f"{np.broadcast_to(m, bad.shape)[row, lane]:g}, or positive where the mean is 0"
            )
        numbers["dispersion"] = (v - m) / jnp.maximum(m, 1e-30) ** 2
        numbers["dispersion"] = jnp.where(m > 0, numbers["dispersion"], 0.0)
    if any(isinstance(x, jax.core.Tracer) for x in numbers.values()):
        raise ParameterError(_UNTRACED.format(kind, "mean and dispersion"))
    return NegativeBinomial(**numbers, entries=_entries(kind, numbers["mean"], numbers["dispersion"]))
