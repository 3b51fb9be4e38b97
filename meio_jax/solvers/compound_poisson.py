"""Compound Poisson demand: customers come at random, and each asks for a random number of units.

Known over any length of time, fractions included, by Panjer's recursion: with q_k the probability that a customer asks
for k and m the mean number of customers,

    f(0) = exp(-m (1 - q_0)),    f(n) = (m / n) sum_{k=1..n} k q_k f(n - k).

Panjer, ASTIN Bulletin 12(1), 1981, https://doi.org/10.1017/S0515036100006796. It has no subtraction, so that every
probability is right to a few units in the last place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from scipy import stats

from meio_jax.elements import LARGEST
from meio_jax.errors import ParameterError
from meio_jax.solvers.laws import TAIL, Pmf

__all__ = ["CompoundPoisson"]

#: Customers that one recursion counts; exp(-m) must not underflow, and the table must not grow with the square of m.
FEW = 16.0


@dataclasses.dataclass(frozen=True, eq=False)
class CompoundPoisson:
    """Demand of one unit of time.

    Attributes:
      rate: mean number of customers.
      size: `Pmf` of what one of them asks for, on a lattice through 0.

    Raises:
      ParameterError: the rate is NaN, negative or too large, or a size may be negative or off the lattice.
    """

    rate: float
    size: Pmf

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= LARGEST:
            raise ParameterError(f"rate = {self.rate:g} is outside [0, {LARGEST:g}]")
        start = self.size.first / self.size.step
        if start < 0 or abs(start - round(start)) > 1e-9:
            raise ParameterError(
                f"size: the smallest is {self.size.first:g}, which must be 0 or a multiple of its step"
            )

    @property
    def step(self) -> float:
        return self.size.step

    @property
    def mean(self) -> float:
        return self.rate * self.size.mean

    @property
    def sd(self) -> float:
        return math.sqrt(self.rate * (self.size.mean**2 + self.size.sd**2))

    @property
    def sizes(self) -> np.ndarray:
        """``[K]`` probabilities that a customer asks for 0, 1, 2, ... steps."""
        return np.concatenate([np.zeros(round(self.size.first / self.step)), self.size.probabilities])

    def over(self, periods: float) -> CompoundPoisson:
        if not 0 <= periods <= 1e6:
            raise ParameterError(f"periods = {periods:g} is outside [0, 1e6]")
        return CompoundPoisson(self.rate * periods, self.size)

    @functools.cached_property
    def _table(self) -> Pmf:
        """The law itself, cut off where laws are."""
        parts = max(1, math.ceil(self.rate / FEW))
        m, q = self.rate / parts, self.sizes
        weighted = (m * np.arange(q.size) * q)[1:]
        most = int(stats.poisson.isf(TAIL, m)) * (q.size - 1)
        f = np.zeros(most + 1)
        f[0] = math.exp(-m * (1 - q[0]))
        for n in range(1, most + 1):
            k = min(n, weighted.size)
            f[n] = weighted[:k] @ f[n - k : n][::-1] / n
        return Pmf(f / f.sum(), 0.0, self.step).over(parts)

    def cdf(self, x: Any) -> np.ndarray:
        return self._table.cdf(x)

    def ppf(self, q: float) -> float:
        return self._table.ppf(q)

    def loss(self, x: Any) -> np.ndarray:
        return self._table.loss(x)

    def lattice(self, step: float) -> tuple[float, np.ndarray]:
        return self._table.lattice(step)
