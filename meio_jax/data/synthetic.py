"""A history that nobody lived: for tests, and for machines on which the real data cannot be had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meio_jax.data.errors import HistoryError
from meio_jax.data.history import History, make_history
from meio_jax.data.summary import weekday_index

__all__ = ["synthetic_history", "synthetic_mean"]

# The sizes follow the default Complete Journey group, so that the demo on either tells a similar story.
MEAN = 3.3
SIZE_SPREAD = 2.0
WEEKDAY = (1.05, 0.93, 0.82, 0.78, 0.96, 1.17, 1.29)
ANNUAL = 0.15
COMMON_VARIANCE = 0.10
OWN_VARIANCE = 0.45


def synthetic_mean(dates: NDArray[np.datetime64], stores: int = 10) -> NDArray[np.float64]:
    """`[T, C]` expected demand, units per day: store size times weekday times season.

    Sizes fall geometrically, the largest store sells twice what the smallest does, their mean is 3.3 a day.
    The season is a cosine of amplitude 0.15 with its peak on 1 July.
    """
    size = SIZE_SPREAD ** -np.linspace(0.0, 1.0, stores)
    size *= MEAN / size.mean()
    profile = np.asarray(WEEKDAY) / np.mean(WEEKDAY)
    day = dates.astype(np.int64) - np.datetime64("1970-07-01", "D").astype(np.int64)
    season = 1.0 + ANNUAL * np.cos(2.0 * np.pi * day / 365.25)
    return np.asarray((profile[weekday_index(dates)] * season)[:, None] * size)


def synthetic_history(seed: int, stores: int = 10, days: int = 365, *, start: str = "2017-01-01") -> History:
    """Draw a history from a known law; the same seed gives the same bits (NumPy PCG64).

    With m the `synthetic_mean`, one Gamma factor g_t a day of mean 1 and variance 0.10 common to all stores,
    and d negative binomial of mean m g and variance m g + 0.45 (m g)^2 given g:

        E d = m,   Var d = m + m^2 ((1 + 0.10)(1 + 0.45) - 1),   Cov(d, d') = 0.10 m m' between stores.

    Args:
        seed: any whole number, zero or more.
        stores: number of stores C, at least 1.
        days: number of days T, at least 14.
        start: first day, ISO text.

    Raises:
        HistoryError: fewer than 1 store or a negative seed; TooShort: fewer than 14 days.
    """
    if stores < 1 or seed < 0 or days < 0:
        raise HistoryError(f"stores={stores}, days={days} and seed={seed}: at least one store, no negative number")
    random = np.random.default_rng(seed)
    dates = np.datetime64(start, "D") + np.arange(days)
    mean = synthetic_mean(dates, stores)
    shape = 1.0 / COMMON_VARIANCE
    given = mean * random.gamma(shape, 1.0 / shape, size=(days, 1))
    trials = 1.0 / OWN_VARIANCE
    demand = random.negative_binomial(trials, trials / (trials + given))
    return make_history(
        demand,
        dates,
        [f"synthetic-{c + 1:02d}" for c in range(stores)],
        product_group="SYNTHETIC",
        unit_value=1.75,
        source=f"synthetic: synthetic_history(seed={seed}, stores={stores}, days={days}, start={start!r})",
        synthetic=True,
        notes=("synthetic: drawn from a random generator, no customer bought any of it",),
    )
