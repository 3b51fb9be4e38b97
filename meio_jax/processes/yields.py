"""Random yields: the share of good units among those started."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import ParameterError
from meio_jax.processes.base import Inverted, Parameter, Process, rows_of
from meio_jax.processes.gamma import log_standard_gamma
from meio_jax.processes.inverse import tail
from meio_jax.struct import pytree

__all__ = ["RandomYield", "UniformYield", "random_yield", "uniform_yield"]


@pytree
class RandomYield(Process):
    """Beta with the given mean and standard deviation; where sd is 0 the yield is the mean."""

    mean: Array  # [N, 1|B]
    sd: Array  # [N, 1|B]

    role = "yield"
    kind = "random_yield"
    parameters: ClassVar = {
        "mean": Parameter("mean share of good units", high=1.0),
        "sd": Parameter("standard deviation, below sqrt(mean (1 - mean)); 0: no noise", high=0.5, open_high=True),
    }  # fmt: skip

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (random_yield([0.9, 1.0, 0.5], [0.05, 0.0, 0.28]),)

    @property
    def memoryless(self) -> bool:
        return True

    def init(self, key: Array, lanes: int) -> None:
        return None

    def sample(self, key: Array, carry: None, t: Array, lanes: int) -> tuple[Array, None]:
        random = self.sd > 0
        mean = jnp.where(random, self.mean, 0.5)
        weight = mean * (1.0 - mean) / jnp.where(random, self.sd, 0.1) ** 2 - 1.0
        shape = jnp.stack([mean * weight, (1.0 - mean) * weight])
        good, bad = log_standard_gamma(key, shape, (2, self.rows, lanes))
        return jnp.where(random, jax.nn.sigmoid(good - bad), self.mean), carry

    def long_run_mean(self) -> Array:
        return self.mean

    def long_run_sd(self) -> Array:
        return self.sd


@pytree
class UniformYield(Inverted):
    """Uniform between low and high."""

    low: Array  # [N, 1|B]
    high: Array  # [N, 1|B]

    role = "yield"
    kind = "uniform_yield"
    parameters: ClassVar = {
        "low": Parameter("least share of good units", high=1.0),
        "high": Parameter("greatest share of good units", high=1.0),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (uniform_yield([0.0, 1.0, 0.4], [1.0, 1.0, 0.6]),)

    def invert(self, carry: None, word: Array, t: Array) -> Array:
        return self.high - (self.high - self.low) * tail(word, self.low.dtype)

    def long_run_mean(self) -> Array:
        return (self.low + self.high) / 2.0

    def long_run_sd(self) -> Array:
        return (self.high - self.low) / 12.0**0.5


def random_yield(mean: Any, sd: Any) -> RandomYield:
    """Beta-distributed yields, independent between nodes and periods.

    With w = mean (1 - mean) / sd^2 - 1 the parameters of the beta distribution are mean w and (1 - mean) w.

    Raises:
      ParameterError: a number is out of its domain, or sd is not below sqrt(mean (1 - mean)).
    """
    numbers = rows_of("random_yield", RandomYield.parameters, mean=mean, sd=sd)
    if not any(isinstance(x, jax.core.Tracer) for x in numbers.values()):
        m, s = np.broadcast_arrays(np.asarray(numbers["mean"]), np.asarray(numbers["sd"]))
        if (bad := (s > 0) & (s**2 >= m * (1 - m))).any():
            row, lane = (int(i[0]) for i in np.nonzero(bad))
            bound = np.sqrt(m[row, lane] * (1 - m[row, lane]))
            raise ParameterError(
                f"random_yield: sd = {s[row, lane]:g} (row {row}) must be below sqrt(mean (1 - mean)) = {bound:g}"
            )
    return RandomYield(**numbers)


def uniform_yield(low: Any, high: Any) -> UniformYield:
    """Uniformly distributed yields, independent between nodes and periods.

    Raises:
      ParameterError: a bound is out of [0, 1], or low exceeds high.
    """
    numbers = rows_of("uniform_yield", UniformYield.parameters, low=low, high=high)
    if not any(isinstance(x, jax.core.Tracer) for x in numbers.values()):
        for row in np.nonzero(np.asarray(numbers["low"] > numbers["high"]).any(-1))[0]:
            raise ParameterError(f"uniform_yield: low exceeds high in row {row}")
    return UniformYield(**numbers)
