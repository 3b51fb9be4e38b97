"""Every way in which a demand history can be refused, one name each.

All but `DataUnavailable` are `HistoryError`s, hence `InputError`s and `ValueError`s: the input is at fault
and the message says where.
"""

from __future__ import annotations

from meio_jax.errors import InputError

__all__ = [
    "BadCustomer",
    "BadDate",
    "BadQuantity",
    "DataUnavailable",
    "DatesNotContiguous",
    "DatesNotSorted",
    "DemandTooLarge",
    "DuplicateRow",
    "EmptyFile",
    "FileChanged",
    "FileTruncated",
    "HistoryError",
    "MissingColumn",
    "NegativeDemand",
    "NotEnoughStores",
    "ShapeMismatch",
    "TooShort",
    "UnknownProductGroup",
    "UnreadableFile",
]


class DataUnavailable(RuntimeError):
    """The data package (or what reads it) is not installed; the message says how to get it."""


class HistoryError(InputError):
    """A demand history that cannot be used; the parent of all the errors below."""


class ShapeMismatch(HistoryError):
    """Demand is not `[T, C]` for the given T dates and C customers."""


class TooShort(HistoryError):
    """Fewer days than the caller needs."""


class BadDate(HistoryError):
    """A date that is missing, unreadable, carries a time of day or a time zone, or lies absurdly far off."""


class DatesNotSorted(HistoryError):
    """A date earlier than the one before it."""


class DatesNotContiguous(HistoryError):
    """A day is missing between two dates."""


class DuplicateRow(HistoryError):
    """The same date, or the same (date, customer[, product]), more than once."""


class BadCustomer(HistoryError):
    """A customer or product name that is empty, repeated, or holds a control character or outer blanks."""


class BadQuantity(HistoryError):
    """A quantity or a unit value that is missing, NaN, infinite or not a number."""


class NegativeDemand(HistoryError):
    """A quantity below zero. Returns are not demand: net them or drop them first."""


class DemandTooLarge(HistoryError):
    """A quantity above 2**24, from where float32 no longer holds every whole number."""


class UnknownProductGroup(HistoryError):
    """No such product group; the message lists the nearest names."""


class NotEnoughStores(HistoryError):
    """Fewer stores than asked for sell the product group without a long pause."""


class MissingColumn(HistoryError):
    """A file without one of the columns date, customer, quantity, or with one of them twice."""


class EmptyFile(HistoryError):
    """A file with no bytes, or with a header and no rows."""


class FileTruncated(HistoryError):
    """A row with too few or too many fields, an open quote, or fewer rows than the file says it has."""


class FileChanged(HistoryError):
    """A file written by `write_history` whose content no longer has the checksum written with it."""


class UnreadableFile(HistoryError):
    """Not a CSV or Parquet file, or not UTF-8."""
