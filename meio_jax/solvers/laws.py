"""Laws of stationary demand in float64: what an exact solver needs to know about the sum of several periods.

`Normal` and `Poisson` are known in closed form for any length of time, fractions included; `Pmf` is any law on a
lattice; `discretised` turns any other continuous law into a `Pmf` that has exactly its mean.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol

import numpy as np
from scipy import signal, special, stats

from meio_jax.elements import LARGEST
from meio_jax.errors import ParameterError

__all__ = ["Law", "Normal", "Pmf", "Poisson", "as_law", "clipped_normal", "convolve", "discretised"]

#: Probability that may be cut off at each end of a law: below the rounding of a float64 sum.
TAIL = 1e-16
#: The same for the normal law, in standard deviations.
REACH = 8.5


class Law(Protocol):
    """Demand over some time: one period, or, after ``over``, several independent ones."""

    @property
    def mean(self) -> float:
        """Units."""

    @property
    def sd(self) -> float:
        """Units."""

    @property
    def step(self) -> float | None:
        """Distance of two neighbouring values; None: continuous."""

    def over(self, periods: float) -> Law:
        """The sum of so many independent periods. Raises `ParameterError` where that is not defined."""

    def cdf(self, x: Any) -> np.ndarray:
        """P(D <= x), of the shape of ``x``."""

    def ppf(self, q: float) -> float:
        """The smallest x with P(D <= x) >= q."""

    def loss(self, x: Any) -> np.ndarray:
        """E[max(D - x, 0)], of the shape of ``x``."""

    def lattice(self, step: float) -> tuple[float, np.ndarray]:
        """First value and probabilities ``[K]`` of the law on a lattice of this step."""


def _checked(what: str, x: float, low: float, high: float = LARGEST) -> float:
    if not low <= x <= high:  # also where x is NaN
        raise ParameterError(f"{what} = {x:g} is outside [{low:g}, {high:g}]")
    return float(x)


def _periods(periods: float) -> float:
    return _checked("periods", periods, 0.0, 1e6)


def convolve(a: np.ndarray, b: np.ndarray, mode: str = "full") -> np.ndarray:
    """Convolution of two vectors: directly where that is cheap (no rounding between far-apart entries), else by FFT."""
    if a.size * b.size <= 4_000_000:
        return np.convolve(a, b, mode)  # type: ignore[call-overload]
    return np.asarray(signal.oaconvolve(a, b, mode))


@dataclasses.dataclass(frozen=True)
class Normal:
    """Normal demand; negative demand is possible, as in the textbooks.

    Raises:
      ParameterError: a parameter is NaN, negative (``sd``) or larger than any number in a network may be.
    """

    mean: float
    sd: float
    step: None = dataclasses.field(default=None, init=False)

    def __post_init__(self) -> None:
        _checked("mean", self.mean, -LARGEST)
        _checked("sd", self.sd, 0.0)

    def over(self, periods: float) -> Normal:
        n = _periods(periods)
        return Normal(self.mean * n, self.sd * math.sqrt(n))

    def cdf(self, x: Any) -> np.ndarray:
        x = np.asarray(x, float) - self.mean
        return special.ndtr(x / self.sd) if self.sd else (x >= 0).astype(float)

    def ppf(self, q: float) -> float:
        return self.mean + self.sd * float(special.ndtri(q)) if self.sd else self.mean

    def loss(self, x: Any) -> np.ndarray:
        x = np.asarray(x, float) - self.mean
        if not self.sd:
            return np.maximum(-x, 0.0)
        z = x / self.sd
        return self.sd * (np.exp(-z * z / 2) / math.sqrt(2 * math.pi) - z * special.ndtr(-z))

    def lattice(self, step: float) -> tuple[float, np.ndarray]:
        """The density at points around the mean: exact for smooth functions far beyond the order of the step."""
        if not self.sd:
            return self.mean, np.ones(1)
        reach = math.ceil(REACH * self.sd / step)
        p = np.exp(-0.5 * (np.arange(-reach, reach + 1) * (step / self.sd)) ** 2)
        return self.mean - reach * step, p / p.sum()


@dataclasses.dataclass(frozen=True)
class Poisson:
    """Poisson demand in whole units.

    Raises:
      ParameterError: the mean is NaN, negative or too large.
    """

    mean: float
    step: float = dataclasses.field(default=1.0, init=False)

    def __post_init__(self) -> None:
        _checked("mean", self.mean, 0.0)

    @property
    def sd(self) -> float:
        return math.sqrt(self.mean)

    def over(self, periods: float) -> Poisson:
        return Poisson(self.mean * _periods(periods))

    def cdf(self, x: Any) -> np.ndarray:
        return np.asarray(stats.poisson.cdf(np.asarray(x, float), self.mean))

    def ppf(self, q: float) -> float:
        return float(stats.poisson.ppf(q, self.mean)) if self.mean else 0.0

    def loss(self, x: Any) -> np.ndarray:
        x = np.asarray(x, float)
        whole = np.floor(x)
        above = stats.poisson.sf(whole, self.mean)
        return np.maximum(self.mean * (above + stats.poisson.pmf(whole, self.mean)) - x * above, 0.0)

    def lattice(self, step: float) -> tuple[float, np.ndarray]:
        if step != self.step:
            raise ParameterError(f"Poisson demand lives on whole numbers, not on a lattice of step {step:g}")
        if not self.mean:
            return 0.0, np.ones(1)
        low, high = stats.poisson.ppf(TAIL, self.mean), stats.poisson.isf(TAIL, self.mean)
        p = stats.poisson.pmf(np.arange(low, high + 1), self.mean)
        return float(low), p / p.sum()


@dataclasses.dataclass(frozen=True, eq=False)
class Pmf:
    """Any law on a lattice: ``P(D = first + k step) = probabilities[k]``.

    Raises:
      ParameterError: probabilities are not a vector, NaN, negative or do not sum to 1 (within 1e-6; they are then
        scaled to do so), or the step is not positive.
    """

    probabilities: np.ndarray
    first: float = 0.0
    step: float = 1.0

    def __post_init__(self) -> None:
        p = np.asarray(self.probabilities, float)
        if p.ndim != 1 or not p.size:
            raise ParameterError(f"probabilities must be a vector, got shape {p.shape}")
        if not np.all(p >= 0) or not abs(p.sum() - 1) <= 1e-6:
            raise ParameterError(f"probabilities must be >= 0 and sum to 1; least {p.min():g}, sum {p.sum():g}")
        _checked("step", self.step, 1e-12)
        _checked("first", self.first, -LARGEST)
        object.__setattr__(self, "probabilities", p / p.sum())

    @property
    def values(self) -> np.ndarray:
        """``[K]`` units."""
        return self.first + self.step * np.arange(self.probabilities.size)

    @property
    def mean(self) -> float:
        return float(self.values @ self.probabilities)

    @property
    def sd(self) -> float:
        return math.sqrt(float((self.values - self.mean) ** 2 @ self.probabilities))

    def over(self, periods: float) -> Pmf:
        n = round(_periods(periods))
        if n != periods:
            raise ParameterError(f"a law on a lattice has no sum over {periods:g} periods: only whole numbers of them")
        total, power = Pmf(np.ones(1), 0.0, self.step), self
        while n:
            if n & 1:
                total = total._plus(power)
            n >>= 1
            if n:
                power = power._plus(power)
        return total

    def _plus(self, other: Pmf) -> Pmf:
        p = np.maximum(convolve(self.probabilities, other.probabilities), 0.0)
        low = int(np.searchsorted(np.cumsum(p), TAIL))
        high = p.size - int(np.searchsorted(np.cumsum(p[::-1]), TAIL))
        return Pmf(p[low:high], self.first + other.first + self.step * low, self.step)

    def cdf(self, x: Any) -> np.ndarray:
        return np.append(0.0, np.cumsum(self.probabilities))[self._above(x)]

    def ppf(self, q: float) -> float:
        k = int(np.searchsorted(np.cumsum(self.probabilities), q - 1e-13))
        return float(self.values[min(k, self.probabilities.size - 1)])

    def loss(self, x: Any) -> np.ndarray:
        x = np.asarray(x, float)
        mass = np.append(np.cumsum(self.probabilities[::-1])[::-1], 0.0)
        units = np.append(np.cumsum((self.probabilities * self.values)[::-1])[::-1], 0.0)
        k = self._above(x)
        return np.maximum(units[k] - x * mass[k], 0.0)

    def _above(self, x: Any) -> np.ndarray:
        """Index of the first value above x, allowing for rounding."""
        k = np.floor((np.asarray(x, float) - self.first) / self.step + 1e-9) + 1
        return np.clip(k, 0, self.probabilities.size).astype(int)

    def lattice(self, step: float) -> tuple[float, np.ndarray]:
        if step != self.step:
            raise ParameterError(f"this law lives on a lattice of step {self.step:g}, not of {step:g}")
        return self.first, self.probabilities


def discretised(dist: Any, *, low: float | None = None, step: float | None = None) -> Pmf:
    """A continuous law (a frozen `scipy.stats` distribution, clipped at ``low`` if given) on a fine lattice.

    Each value is split between its two neighbours so that its mean is kept: expectations of functions that are linear
    between lattice points are exact, and the variance grows by less than ``step ** 2 / 4``. The step is by default a
    200th of the standard deviation.

    Raises:
      ParameterError: the law has no finite mean and variance.
    """
    sd = float(dist.std())
    if not (math.isfinite(sd) and sd > 0 and math.isfinite(float(dist.mean()))):
        raise ParameterError("the law must have a finite mean and a positive, finite variance")
    step = sd / 200 if step is None else _checked("step", step, 1e-12)
    first = float(dist.ppf(TAIL)) if low is None else float(max(low, dist.ppf(TAIL)))
    count = max(1, math.ceil((float(dist.isf(TAIL)) - first) / step)) + 1
    if count > 2_000_000:
        raise ParameterError(f"the law is too wide for a lattice of step {step:g}: {count} points")
    # P(D > x) integrated over each cell; its differences are the integrals of the hat functions.
    nodes, weights = np.polynomial.legendre.leggauss(5)
    x = first + step * (np.arange(count)[:, None] + 0.5 + nodes / 2)
    share = np.append(1.0, dist.sf(x) @ weights / 2)
    p = np.maximum(-np.diff(share), 0.0)
    return Pmf(p / p.sum(), first, step)


def clipped_normal(mean: float, sd: float, low: float = 0.0) -> Pmf:
    """max(N(mean, sd), low), as a fine lattice.

    Raises:
      ParameterError: as for `Normal`; ``sd`` must be positive.
    """
    Normal(mean, sd)
    return discretised(stats.norm(mean, sd), low=low)


def as_law(demand: Any) -> Law:
    """A `Law` from one, from a frozen `scipy.stats` distribution, or from probabilities of 0, 1, 2, ...

    Raises:
      ParameterError: it is none of these, or its parameters are out of their domain.
    """
    if all(hasattr(demand, name) for name in ("over", "loss", "lattice")):
        return demand
    if isinstance(getattr(demand, "dist", None), stats.rv_discrete):
        low, high = demand.ppf(TAIL), demand.isf(TAIL)
        if not (math.isfinite(low) and math.isfinite(high) and high - low <= 2_000_000):
            raise ParameterError(f"the law reaches from {low:g} to {high:g}: too wide for a table")
        return Pmf(demand.pmf(np.arange(low, high + 1)), float(low))
    if hasattr(demand, "sf") and hasattr(demand, "isf"):
        return discretised(demand)
    try:
        return Pmf(np.asarray(demand, float))
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{demand!r} is no law of demand: {error}") from error
