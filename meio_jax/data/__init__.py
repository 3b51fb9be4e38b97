"""Demand history: real (Complete Journey), the user's own (CSV, Parquet), or synthetic. Light to import."""

from meio_jax.data import errors
from meio_jax.data.errors import *  # noqa: F403
from meio_jax.data.files import read_history, write_history
from meio_jax.data.history import MAX_QUANTITY, MIN_DAYS, History, make_history, split
from meio_jax.data.journey import DEFAULT_GROUP, complete_journey
from meio_jax.data.summary import describe, weekday_index
from meio_jax.data.synthetic import synthetic_history, synthetic_mean

__all__ = [
    "DEFAULT_GROUP",
    "MAX_QUANTITY",
    "MIN_DAYS",
    "History",
    "complete_journey",
    "describe",
    "make_history",
    "read_history",
    "split",
    "synthetic_history",
    "synthetic_mean",
    "weekday_index",
    "write_history",
]
__all__ += errors.__all__
