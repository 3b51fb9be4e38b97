"""A user's own history, as a CSV or Parquet file in long form: one row a date and customer.

Columns (any order, any case): `date` (YYYY-MM-DD), `customer`, `quantity` (units that day), and where the
file holds several products `product`. Days and customers that are absent sold nothing.

`write_history` adds what the columns cannot hold (price, source, notes, the order of customers, a checksum):
in CSV as a first line `# meio_jax.history/1 {json}`, in Parquet as schema metadata. A file without it reads
as well.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import decimal
import hashlib
import importlib
import io
import json
import math
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from meio_jax.data.errors import (
    BadCustomer,
    BadDate,
    BadQuantity,
    DataUnavailable,
    DemandTooLarge,
    DuplicateRow,
    EmptyFile,
    FileChanged,
    FileTruncated,
    MissingColumn,
    NegativeDemand,
    UnknownProductGroup,
    UnreadableFile,
)
from meio_jax.data.history import MAX_QUANTITY, MIN_DAYS, History, make_history

__all__ = ["read_history", "write_history"]

FORMAT = "meio_jax.history/1"
MAGIC = f"# {FORMAT} "
COLUMNS = ("date", "customer", "product", "quantity")
REQUIRED = ("date", "customer", "quantity")
MAX_SPAN_DAYS = 36_525

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Row(NamedTuple):
    where: str
    day: int  # days since 1970-01-01
    customer: str
    product: str | None
    quantity: float


def read_history(
    path: str | os.PathLike[str],
    *,
    product: str | None = None,
    unit_value: float | None = None,
    min_days: int = MIN_DAYS,
) -> History:
    """Read a long-form CSV, or Parquet (`.parquet`, `.pq`); rows may come in any order.

    Args:
        path: the file.
        product: which product to take; needed only where the file holds several.
        unit_value: mean selling price of a unit; default what the file says, else 1 with a note.
        min_days: fewest days accepted.

    Returns:
        A History over all days from the first to the last date, absent ones zero. Customers in the order that
        `write_history` noted, otherwise sorted by name.

    Raises:
        FileNotFoundError: no such file.
        EmptyFile, MissingColumn, FileTruncated, FileChanged, UnreadableFile: the file as a whole.
        BadDate, BadCustomer, BadQuantity, NegativeDemand, DemandTooLarge, DuplicateRow: a row; the message
            begins with the file and the line (CSV, from 1, counting the header) or row (Parquet, from 1).
        UnknownProductGroup: several products and none chosen, or one that is not there.
        TooShort: fewer than `min_days` days.
        DataUnavailable: Parquet without pyarrow.
    """
    path = Path(path)
    data = path.read_bytes()
    if not data.strip():
        raise EmptyFile(f"{path.name}: the file is empty")
    meta, ignored, rows = (_parquet if path.suffix.lower() in (".parquet", ".pq") else _csv)(path.name, data)

    seen: dict[tuple[int, str, str | None], str] = {}
    kept: list[Row] = []
    for row in rows:
        key = (row.day, row.customer, row.product)
        if key in seen:
            what = " and product" if row.product else ""
            earlier = seen[key].split(": ")[-1]
            raise DuplicateRow(
                f"{row.where}: the same date, customer{what} as {earlier}: {_iso(row.day)}, {row.customer!r}"
            )
        seen[key] = row.where
        kept.append(row)
    if not kept:
        raise EmptyFile(f"{path.name}: a header and no rows")
    if meta and meta["rows"] != len(kept):
        raise FileTruncated(f"{path.name}: the file says it has {meta['rows']} rows and has {len(kept)}")
    group, kept = _one_product(path.name, kept, product)

    first, last = min(kept, key=lambda r: r.day), max(kept, key=lambda r: r.day)
    span = last.day - first.day + 1
    if span > MAX_SPAN_DAYS:
        ends = " to ".join(f"{_iso(row.day)} ({row.where.split(': ')[-1]})" for row in (first, last))
        raise BadDate(f"{path.name}: {span} days from {ends}: is one a typing error?")
    present = {row.customer for row in kept}
    customers = [c for c in meta["customers"] if c in present] if meta else sorted(present)
    column = {customer: c for c, customer in enumerate(customers)}
    demand = np.zeros((span, len(customers)))
    for row in kept:
        if row.customer not in column:
            raise FileChanged(f"{row.where}: customer {row.customer!r} is not in the file's own list")
        demand[row.day - first.day, column[row.customer]] = row.quantity

    notes = list(meta["notes"]) if meta else []
    absent = demand.size - len(kept)
    if absent:
        notes.append(f"{absent} of {demand.size} (date, customer) pairs were absent and filled with zero")
    if ignored:
        notes.append(f"columns ignored: {', '.join(ignored)}")
    if unit_value is None and not meta:
        notes.append("no unit value was given: 1 is assumed")
    history = make_history(
        demand,
        np.datetime64(first.day, "D") + np.arange(span),
        customers,
        product_group=group or (meta["product_group"] if meta else path.stem.strip() or "history"),
        unit_value=unit_value if unit_value is not None else (meta["unit_value"] if meta else 1.0),
        source=meta["source"] if meta else f"file {path.name}, sha256 {hashlib.sha256(data).hexdigest()}",
        synthetic=bool(meta["synthetic"]) if meta else False,
        notes=notes,
        min_days=min_days,
    )
    if meta and meta["checksum"] != _checksum(history):
        raise FileChanged(
            f"{path.name}: the numbers are not those that write_history wrote. If the change was meant, "
            f"take the {FORMAT!r} line (CSV) or metadata (Parquet) away: the file is then read as yours"
        )
    return history


def write_history(history: History, path: str | os.PathLike[str]) -> None:
    """Write a CSV, or Parquet for `.parquet` and `.pq`. `read_history` returns the same History, bit for bit.

    Atomic: the bytes go to a temporary file beside `path`, reach the disk, and then take its name; a reader
    finds the old file or the new one, never half of one.

    Raises:
        OSError: the folder is missing or cannot be written.
        DataUnavailable: Parquet without pyarrow.
    """
    path = Path(path)
    meta = {
        "rows": history.demand.size,
        "checksum": _checksum(history),
        "customers": history.customers,
        "product_group": history.product_group,
        "unit_value": history.unit_value,
        "source": history.source,
        "synthetic": history.synthetic,
        "notes": history.notes,
    }
    to_bytes = _to_parquet if path.suffix.lower() in (".parquet", ".pq") else _to_csv
    data = to_bytes(history, json.dumps(meta, allow_nan=False))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _csv(name: str, data: bytes) -> tuple[dict[str, Any] | None, list[str], Iterator[Row]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(f"{name}: line {line}: not UTF-8 text") from error
    meta, offset = None, 0
    if text.startswith(MAGIC):
        head, _, text = text.partition("\n")
        meta, offset = _meta(name, head.removeprefix(MAGIC)), 1
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise FileTruncated(f"{name}: line {reader.line_num + offset}: {error}") from error
    column, ignored = _columns(name, header)

    def rows() -> Iterator[Row]:
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise FileTruncated(f"{name}: line {reader.line_num + offset}: {error}") from error
            where = f"{name}: line {reader.line_num + offset}"
            if not fields:
                continue
            if len(fields) != len(header):
                raise FileTruncated(f"{where}: {len(fields)} fields where the header has {len(header)}")
            yield _row(where, {key: fields[at].strip() for key, at in column.items()})

    return meta, ignored, rows()


def _parquet(name: str, data: bytes) -> tuple[dict[str, Any] | None, list[str], Iterator[Row]]:
    arrow, parquet = _import("pyarrow"), _import("pyarrow.parquet")
    try:
        table = parquet.read_table(io.BytesIO(data))
    except (arrow.ArrowException, OSError) as error:
        raise UnreadableFile(f"{name}: not a whole Parquet file: {error}") from error
    text = (table.schema.metadata or {}).get(FORMAT.encode())
    column, ignored = _columns(name, table.column_names)
    values = {key: table.column(at).to_pylist() for key, at in column.items()}

    def rows() -> Iterator[Row]:
        for r, fields in enumerate(zip(*values.values(), strict=True), start=1):
            yield _row(f"{name}: row {r}", dict(zip(values, fields, strict=True)))

    return _meta(name, text.decode()) if text else None, ignored, rows()


def _to_csv(history: History, meta: str) -> bytes:
    text = io.StringIO(newline="")
    text.write(f"{MAGIC}{meta}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for date, demands in zip(history.dates, history.demand.tolist(), strict=True):
        for customer, quantity in zip(history.customers, demands, strict=True):
            # repr is the shortest text that reads back as the same float64
            shown = repr(int(quantity) if quantity.is_integer() else quantity)
            writer.writerow((date, customer, history.product_group, shown))
    return text.getvalue().encode()


def _to_parquet(history: History, meta: str) -> bytes:
    arrow, parquet = _import("pyarrow"), _import("pyarrow.parquet")
    days, customers = history.demand.shape
    table = arrow.table(
        {
            "date": arrow.array(np.repeat(history.dates, customers)),
            "customer": list(history.customers) * days,
            "product": [history.product_group] * history.demand.size,
            "quantity": history.demand.reshape(-1),
        }
    ).replace_schema_metadata({FORMAT: meta})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _columns(name: str, header: list[str]) -> tuple[dict[str, int], list[str]]:
    names = [column.strip().lower() for column in header]
    for wanted in COLUMNS:
        if names.count(wanted) > 1:
            raise MissingColumn(f"{name}: column {wanted!r} is there {names.count(wanted)} times")
    missing = [wanted for wanted in REQUIRED if wanted not in names]
    if missing:
        hint = "; separate fields by commas" if len(names) == 1 and re.search(r"[;\t|]", names[0]) else ""
        raise MissingColumn(f"{name}: no column {', '.join(missing)} among {header}{hint}")
    ignored = [shown for shown, column in zip(header, names, strict=True) if column not in COLUMNS]
    return {wanted: names.index(wanted) for wanted in COLUMNS if wanted in names}, ignored


def _row(where: str, fields: dict[str, Any]) -> Row:
    product = _name(where, "product", fields["product"]) if "product" in fields else None
    return Row(
        where,
        _day(where, fields["date"]),
        _name(where, "customer", fields["customer"]),
        product,
        _quantity(where, fields["quantity"]),
    )


def _day(where: str, value: Any) -> int:
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None or value.time() != datetime.time():
            raise BadDate(f"{where}: date {value} carries a time of day or a time zone; give a plain date")
        value = value.date()
    if isinstance(value, str) and _DATE.fullmatch(value):
        with contextlib.suppress(ValueError):
            value = datetime.date.fromisoformat(value)
    if not isinstance(value, datetime.date):
        raise BadDate(f"{where}: {value!r} is not a date as YYYY-MM-DD")
    return value.toordinal() - datetime.date(1970, 1, 1).toordinal()


def _name(where: str, what: str, value: Any) -> str:
    if value is None or isinstance(value, float):
        raise BadCustomer(f"{where}: {what} {value!r} is neither text nor a whole number")
    name = str(value)
    if not name or name != name.strip() or not name.isprintable():
        raise BadCustomer(f"{where}: {what} {name!r} is empty, has outer blanks or a control character")
    return name


def _quantity(where: str, value: Any) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal)):
        raise BadQuantity(f"{where}: quantity {value!r} is not a number")
    if not math.isfinite(value):
        raise BadQuantity(f"{where}: quantity {value!r} is not a finite number")
    if value < 0:
        raise NegativeDemand(f"{where}: quantity {value!r} is below zero; returns are not demand")
    if value > MAX_QUANTITY:
        raise DemandTooLarge(f"{where}: quantity {value!r} is above {MAX_QUANTITY} units a day")
    return float(value)


def _one_product(name: str, rows: list[Row], product: str | None) -> tuple[str | None, list[Row]]:
    products = sorted({row.product for row in rows if row.product is not None})
    shown = ", ".join(products[:12]) + (", ..." if len(products) > 12 else "")
    if product is None:
        if len(products) > 1:
            raise UnknownProductGroup(f"{name}: {len(products)} products; choose one with product=: {shown}")
        return (products[0] if products else None), rows
    if not products:
        return product, rows
    if product not in products:
        raise UnknownProductGroup(f"{name}: no product {product!r}; there are: {shown}")
    return product, [row for row in rows if row.product == product]


def _meta(name: str, text: str) -> dict[str, Any]:
    kinds: dict[str, Any] = {
        "rows": int,
        "checksum": str,
        "customers": list,
        "product_group": str,
        "unit_value": (int, float),
        "source": str,
        "synthetic": bool,
        "notes": list,
    }
    try:
        meta = json.loads(text)
    except ValueError as error:
        raise FileTruncated(f"{name}: the {FORMAT} header is not whole: {error}") from error
    meta = meta if isinstance(meta, dict) else {}
    wrong = [key for key, kind in kinds.items() if not isinstance(meta.get(key), kind)]
    if wrong or not all(isinstance(word, str) for word in meta["customers"] + meta["notes"]):
        raise FileChanged(f"{name}: the {FORMAT} header lacks or spoils {', '.join(wrong) or 'a name'}")
    return meta


def _checksum(history: History) -> str:
    """Of the numbers and of what gives them meaning, without the notes: those may grow."""
    words = [history.customers, history.product_group, history.synthetic]
    digest = hashlib.sha256(json.dumps(words).encode())
    digest.update(history.dates.astype("<i8").tobytes())
    digest.update(history.demand.astype("<f8").tobytes())
    return digest.hexdigest()


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataUnavailable("Parquet files need pyarrow: pip install pyarrow, or use a CSV file") from error


def _iso(day: int) -> str:
    return str(np.datetime64(day, "D"))
