"""The statistics that demand processes are fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meio_jax.data.history import History

__all__ = ["describe", "weekday_index"]

Array = NDArray[np.float64]


def weekday_index(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """`[T]` weekday of each date: 0 is Monday, 6 is Sunday."""
    return (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7  # day 0, 1970-01-01, was a Thursday


def describe(history: History) -> dict[str, Any]:
    """Moments and patterns of a history. Every number is finite; what is undefined takes its neutral value.

    Returns a dict of plain ints and floats and of float64 arrays, with C customers:
        days, customers: T and C.
        mean, variance `[C]`: units and units squared; the sample variance (divisor T - 1).
        dispersion `[C]`: variance / mean, 1 for Poisson (0 where the mean is 0).
        zero_share `[C]`: share of days without demand.
        weekday `[7, C]`: mean on each weekday, Monday first, over the mean of the seven; 1 where undefined.
        weekday_pooled `[7]`: the same for the sum over customers.
        residual_dispersion `[C]`: dispersion left after the weekday profile is divided out of the means:
            sum (d - m)^2 / sum m, m the customer's weekday mean, corrected for the seven means estimated.
        autocorrelation_1, _7, _14 `[C]`: at lags of so many days (0 for a constant series).
        correlation `[C, C]`: between customers, ones on the diagonal.
        correlation_mean: mean off the diagonal (0 for one customer).
        residual_correlation_mean: the same for d - m: the part that a common weekday profile does not
            explain.
        total_mean, total_dispersion, total_autocorrelation_1, _7, _14: of the sum over customers, which is
            what the distribution centre sees.
    """
    demand, weekday = history.demand, weekday_index(history.dates)
    days, customers = demand.shape
    mean, variance = demand.mean(axis=0), _variance(demand)
    weekday_mean = np.stack([demand[weekday == w].mean(axis=0) if (weekday == w).any() else mean for w in range(7)])
    expected = weekday_mean[weekday]
    residual = demand - expected
    freedom = max(days - len(np.unique(weekday)), 1) / days
    correlation, residual_correlation = _correlation(demand), _correlation(residual)
    total = demand.sum(axis=1)
    return {
        "days": days,
        "customers": customers,
        "mean": mean,
        "variance": variance,
        "dispersion": _ratio(variance, mean, 0.0),
        "zero_share": (demand == 0).mean(axis=0),
        "weekday": _ratio(weekday_mean, weekday_mean.mean(axis=0), 1.0),
        "weekday_pooled": _ratio(weekday_mean.sum(axis=1), weekday_mean.sum(axis=1).mean(), 1.0),
        "residual_dispersion": _ratio((residual**2).sum(axis=0), expected.sum(axis=0) * freedom, 0.0),
        **{f"autocorrelation_{lag}": _autocorrelation(demand, lag) for lag in (1, 7, 14)},
        "correlation": correlation,
        "correlation_mean": _off_diagonal_mean(correlation),
        "residual_correlation_mean": _off_diagonal_mean(residual_correlation),
        "total_mean": float(total.mean()),
        "total_dispersion": float(_ratio(_variance(total), total.mean(), 0.0)),
        **{f"total_autocorrelation_{lag}": float(_autocorrelation(total, lag)) for lag in (1, 7, 14)},
    }


def _ratio(top: Any, bottom: Any, undefined: float) -> Array:
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    ratio: Array = np.divide(top, bottom, out=np.full(top.shape, undefined), where=bottom > 0)
    return ratio


def _variance(series: Array) -> Array:
    return np.asarray(series.var(axis=0, ddof=1) if len(series) > 1 else np.zeros(series.shape[1:]))


def _autocorrelation(demand: Array, lag: int) -> Array:
    centred = demand - demand.mean(axis=0)
    return _ratio((centred[lag:] * centred[:-lag]).sum(axis=0), (centred**2).sum(axis=0), 0.0)


def _correlation(series: Array) -> Array:
    centred = series - series.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    correlation = _ratio(centred.T @ centred, np.outer(scale, scale), 0.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _off_diagonal_mean(correlation: Array) -> float:
    size = len(correlation)
    return float((correlation.sum() - size) / (size * (size - 1))) if size > 1 else 0.0
