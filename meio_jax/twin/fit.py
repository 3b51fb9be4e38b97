"""Fit a demand process to daily history: weekday means, overdispersion, and what all customers have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meio_jax.data import History, describe, weekday_index
from meio_jax.processes import Process, correlated, cyclic, negative_binomial, poisson

__all__ = ["DemandFit", "fit_demand"]

#: Draws behind the calibration of the copula: its error is far below that of a correlation estimated from a year.
DRAWS = 40_000


class DemandFit(NamedTuple):
    """A fitted process and the numbers that it stands for, all per customer unless said otherwise.

    process: daily demand whose period 0 falls on weekday ``start``. mean ``[7, C]``: units by weekday, Monday first.
    dispersion ``[C]``: variance over mean once weekdays are removed. correlation: of two customers' demands once
    weekdays are removed, averaged over pairs; latent: that of the normals behind them. start: weekday of period 0,
    Monday 0.
    """

    process: Process
    mean: NDArray[np.float64]
    dispersion: NDArray[np.float64]
    correlation: float
    latent: float
    start: int

    def summary(self) -> dict[str, Any]:
        """The fit in plain numbers, for a manifest."""
        return {
            "mean_per_day": [round(float(x), 4) for x in self.mean.mean(0)],
            "weekday_profile": [round(float(x), 4) for x in self.mean.sum(1) / self.mean.sum(1).mean()],
            "dispersion": [round(float(x), 4) for x in self.dispersion],
            "correlation": round(self.correlation, 4),
            "latent_correlation": round(self.latent, 4),
        }


def fit_demand(history: History, *, start: int | None = None) -> DemandFit:
    """Weekday profile x negative binomial, coupled across customers by a Gaussian copula with one correlation.

    The weekday profile is common to all customers (a profile for each would be mostly noise in less than a year) and
    scales each customer's mean. Each customer's dispersion is that of its residuals. The latent correlation is the one
    for which the
    *demands* have the correlation that the residuals have.

    Args:
      history: daily demand. Fit on what a planner had: give the training part of a `split`.
      start: weekday of the process's period 0, Monday 0; None: the day after the history ends.

    Left out, and what that means: trends and holidays within the year, and dependence from one day to the next beyond
    weekdays. Backtests on held-out days show what that costs.
    """
    facts = describe(history)
    profile = np.asarray(facts["weekday_pooled"], float)
    profile = profile / profile.mean()
    mean = profile[:, None] * np.asarray(facts["mean"], float)[None, :]
    dispersion = np.maximum(np.asarray(facts["residual_dispersion"], float), 1.0)
    correlation = float(facts["residual_correlation_mean"])
    first = int(weekday_index(history.dates[-1]) + 1 if start is None else start) % 7
    days = [_day(row, dispersion) for row in mean]
    latent = _latent(mean.mean(0), dispersion, max(correlation, 0.0))
    base = cyclic(days, start=first)
    process = correlated(base, latent) if latent > 0 and len(history.customers) > 1 else base
    return DemandFit(process, mean, dispersion, correlation, latent, first)


def _day(mean: NDArray[np.float64], dispersion: NDArray[np.float64]) -> Process:
    if np.all(dispersion <= 1.0 + 1e-9):
        return poisson(mean)
    return negative_binomial(mean, variance=mean * np.maximum(dispersion, 1.0 + 1e-6))


def _latent(mean: NDArray[np.float64], dispersion: NDArray[np.float64], wanted: float) -> float:
    """The correlation of normals that gives counts the wanted one, by bisection on fixed draws; for an average pair."""
    if wanted <= 0:
        return 0.0
    from scipy import stats

    m, v = float(mean.mean()), float(mean.mean() * dispersion.mean())
    law = stats.nbinom(m * m / max(v - m, 1e-9), m / max(v, m + 1e-9)) if v > m else stats.poisson(m)
    a, b = np.random.default_rng(0).standard_normal((2, DRAWS))
    one = law.ppf(stats.norm.cdf(a))

    def correlation(latent: float) -> float:
        other = law.ppf(stats.norm.cdf(latent * a + np.sqrt(1.0 - latent**2) * b))
        return float(np.corrcoef(one, other)[0, 1])

    low, high = 0.0, 0.99
    for _ in range(12):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if correlation(middle) < wanted else (low, middle)
    return 0.5 * (low + high)
