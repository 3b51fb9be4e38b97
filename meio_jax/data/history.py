"""`History`: what customers bought, day by day. The only shape in which demand data enters the toolkit.

Shapes: T days, C customers (stores). Quantities are units per day.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meio_jax.data.errors import (
    BadCustomer,
    BadDate,
    BadQuantity,
    DatesNotContiguous,
    DatesNotSorted,
    DemandTooLarge,
    DuplicateRow,
    HistoryError,
    NegativeDemand,
    ShapeMismatch,
    TooShort,
)

__all__ = ["MAX_QUANTITY", "MIN_DAYS", "History", "make_history", "split"]

MAX_QUANTITY = 2**24
"""Largest quantity accepted: the simulator runs in float32, which holds every whole number only up to here."""

MIN_DAYS = 14
"""Fewest days accepted by default: every weekday twice."""


@dataclass(frozen=True, eq=False)
class History:
    """Daily demand of C customers over T days. Build it with `make_history`, which checks it; read-only.

    Attributes:
        demand: `[T, C]` float64, units per day, zero or more, never NaN.
        dates: `[T]` datetime64[D], one a day without a gap.
        customers: C distinct names, in the order of the columns of `demand`.
        product_group: what was sold.
        unit_value: mean selling price of a unit, in the currency of the source.
        source: provenance: package, version, licence; or the file.
        synthetic: True where a random generator, and no customer, made the numbers.
        notes: what was dropped, filled or assumed on the way in, a sentence each, with counts.
    """

    demand: NDArray[np.float64]
    dates: NDArray[np.datetime64]
    customers: tuple[str, ...]
    product_group: str
    unit_value: float
    source: str
    synthetic: bool
    notes: tuple[str, ...] = ()

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """True where every field is the same, to the last bit."""
        if not isinstance(other, History):
            return NotImplemented
        rest = operator.attrgetter("customers", "product_group", "unit_value", "source", "synthetic", "notes")
        return bool(
            np.array_equal(self.demand, other.demand)
            and np.array_equal(self.dates, other.dates)
            and rest(self) == rest(other)
        )

    def slice(self, start: Any = None, stop: Any = None) -> History:
        """The days from `start` up to but not including `stop`, as a History of its own.

        Args:
            start, stop: day numbers (negative ones count from the end, as in a Python slice), dates
                (`datetime64`, `datetime.date` or `"2017-10-02"`), or None for the ends.

        Raises:
            TooShort: no day is left.
            BadDate: a bound that is neither.
        """
        low, high, _ = slice(self._day(start), self._day(stop)).indices(len(self.dates))
        if high <= low:
            raise TooShort(f"slice({start!r}, {stop!r}) of {len(self.dates)} days leaves no day")
        return replace(self, demand=_frozen(self.demand[low:high]), dates=_frozen(self.dates[low:high]))

    def _day(self, bound: Any) -> int | None:
        if bound is None:
            return None
        if isinstance(bound, SupportsIndex):
            return operator.index(bound)
        try:
            return int(np.searchsorted(self.dates, np.datetime64(bound, "D")))
        except (TypeError, ValueError) as error:
            raise BadDate(f"{bound!r} is neither a day number nor a date") from error


def make_history(
    demand: ArrayLike,
    dates: ArrayLike,
    customers: Sequence[str],
    *,
    product_group: str,
    unit_value: float,
    source: str,
    synthetic: bool = False,
    notes: Sequence[str] = (),
    min_days: int = MIN_DAYS,
) -> History:
    """Check everything and return a History that owns read-only copies of its arrays.

    Args:
        demand: `[T, C]`, whole or real numbers, units per day.
        dates: `[T]`, days in order without a gap (datetime64 of any unit at midnight, dates or ISO text).
        customers: C distinct names.
        product_group, unit_value, source, synthetic, notes: see `History`.
        min_days: fewest days accepted.

    Raises:
        ShapeMismatch, TooShort, BadDate, DatesNotSorted, DatesNotContiguous, DuplicateRow, BadCustomer,
        BadQuantity, NegativeDemand, DemandTooLarge: all are `HistoryError`, each message says where.
    """
    names = _checked_names(customers)
    days = _checked_dates(dates)
    try:
        values = np.asarray(demand)
    except ValueError as error:
        raise ShapeMismatch(f"demand is not a table: {error}") from error
    if values.shape != (len(days), len(names)):
        wanted = (len(days), len(names))
        raise ShapeMismatch(f"demand has shape {values.shape}; the dates and customers need {wanted}")
    if len(days) < min_days:
        raise TooShort(f"{len(days)} days of history; at least {min_days} are needed")
    if values.dtype.kind not in "iuf":
        raise BadQuantity(f"demand has dtype {values.dtype}, not a number type")
    # Compared before the conversion: a huge int64 must be refused for what it is, not for what it rounds to.
    for bad, refusal, text in (
        (~np.isfinite(values), BadQuantity, "is not a finite number"),
        (values < 0, NegativeDemand, "is below zero"),
        (values > MAX_QUANTITY, DemandTooLarge, f"is above {MAX_QUANTITY} units a day"),
    ):
        if bad.any():
            t, c = np.argwhere(bad)[0]
            more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
            raise refusal(f"demand {values[t, c]} of customer {names[c]!r} on {days[t]} {text}{more}")
    if not (math.isfinite(unit_value) and unit_value > 0):
        raise BadQuantity(f"unit_value {unit_value!r} is not a finite number above zero")
    if not source.strip():
        raise HistoryError("source is empty: say where the numbers come from")
    return History(
        demand=_frozen(values.astype(np.float64) + 0.0),  # -0.0 becomes 0.0
        dates=_frozen(days),
        customers=names,
        product_group=_checked_name(product_group, "product group"),
        unit_value=float(unit_value),
        source=source,
        synthetic=bool(synthetic),
        notes=tuple(notes),
    )


def split(history: History, holdout_days: int = 91) -> tuple[History, History]:
    """The history before the last `holdout_days` days, and those days (13 weeks by default).

    The parts are disjoint, in order, and together are the whole.

    Raises:
        TooShort: either part would be empty.
    """
    days = len(history.dates)
    if not 0 < holdout_days < days:
        raise TooShort(f"cannot hold out {holdout_days} of {days} days: both parts need at least one day")
    return history.slice(0, days - holdout_days), history.slice(days - holdout_days, days)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    copy = np.array(array, order="C", copy=True)
    copy.flags.writeable = False
    return copy


def _checked_name(name: str, what: str) -> str:
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise BadCustomer(f"{what} {name!r} is not a non-empty printable text without outer blanks")
    return name


def _checked_names(customers: Sequence[str]) -> tuple[str, ...]:
    names = tuple(_checked_name(name, "customer") for name in customers)
    if not names:
        raise BadCustomer("no customers")
    if len(set(names)) < len(names):
        raise BadCustomer(f"customer {next(n for n in names if names.count(n) > 1)!r} is there more than once")
    return names


def _checked_dates(dates: ArrayLike) -> NDArray[np.datetime64]:
    try:
        given = np.asarray(dates)
        exact = given if given.dtype.kind == "M" else given.astype("datetime64[D]")
    except (TypeError, ValueError) as error:
        raise BadDate(f"dates cannot be read: {error}") from error
    if exact.ndim != 1 or exact.size == 0:
        raise ShapeMismatch(f"dates have shape {exact.shape}; one date a day is needed")
    days = exact.astype("datetime64[D]")
    wrong = np.isnat(exact) | (exact != days)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise BadDate(f"date {exact[at]} (position {at}) is missing or carries a time of day")
    step = np.diff(days).astype(np.int64)
    for bad, refusal, text in (
        (step == 0, DuplicateRow, "is there twice"),
        (step < 0, DatesNotSorted, "is earlier than the one before it"),
        (step > 1, DatesNotContiguous, "comes after a gap; days without sales must be there as zeros"),
    ):
        if bad.any():
            at = int(np.argmax(bad)) + 1
            raise refusal(f"date {days[at]} (position {at}, after {days[at - 1]}) {text}")
    return days
