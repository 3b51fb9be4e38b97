"""Sheets as rows of text by the names of their columns: from CSV files or workbooks, with errors that say where."""

from __future__ import annotations

import csv
import importlib
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from meio_jax.data.errors import DataUnavailable, EmptyFile, FileTruncated, MissingColumn, UnreadableFile
from meio_jax.elements import LARGEST
from meio_jax.errors import NumberError

__all__ = ["Row", "csv_sheet", "table", "workbook"]


class Row(NamedTuple):
    """A row: file, sheet and number of it for messages, and its cells by column."""

    where: str
    cells: dict[str, str]

    def number(self, column: str, *, needed: bool = False, most: float = LARGEST) -> float:
        """The number in a cell, NaN where it is empty. Raises `NumberError`."""
        text = self.cells.get(column, "")
        if not text:
            if needed:
                raise NumberError(f"{self.where}: {column} is empty; a number is needed")
            return math.nan
        try:
            x = float(text)
        except ValueError:
            raise NumberError(f"{self.where}: {column} = {text!r} is no number") from None
        if not 0 <= x <= most:  # also where x is NaN
            hint = "; leave the cell empty where there is none" if math.isnan(x) else ""
            hint = "; give it as a share, such as 0.95" if most == 1.0 and x > 1 else hint
            raise NumberError(f"{self.where}: {column} = {x:g} is outside [0, {most:g}]{hint}")
        return x


def table(
    where: str,
    rows: list[list[str]],
    needed: Sequence[str],
    optional: Sequence[str] = (),
    *,
    may_be_empty: bool = False,
) -> list[Row]:
    """Rows by the names of the columns (case, blanks and underscores do not matter), rows without any text left out.

    Raises:
      EmptyFile, MissingColumn, FileTruncated: the sheet as a whole, or a row that is shorter or longer than the header.
    """
    if not rows or not any(rows[0]):
        raise EmptyFile(f"{where}: it is empty; the first row must name the columns {', '.join(needed)}")
    header = [_bare(x) for x in rows[0]]
    place: dict[str, int] = {}
    for column in (*needed, *optional):
        found = header.count(_bare(column))
        if found > 1:
            raise MissingColumn(f"{where}: column {column!r} is there {found} times; keep one")
        if found:
            place[column] = header.index(_bare(column))
        elif column in needed:
            hint = "; separate fields by commas" if len(header) == 1 else ""
            raise MissingColumn(f"{where}: no column {column!r} among {', '.join(map(repr, rows[0]))}{hint}")
    found_rows = []
    for r, fields in enumerate(rows[1:], start=2):
        if not any(fields):
            continue
        if len(fields) != len(header):
            raise FileTruncated(
                f"{where}: row {r}: {len(fields)} fields where the header has {len(header)}; is the file cut off?"
            )
        found_rows.append(Row(f"{where}: row {r}", {column: fields[i] for column, i in place.items()}))
    if not found_rows and not may_be_empty:
        raise EmptyFile(f"{where}: a header and no rows; export the whole sheet")
    return found_rows


def _bare(column: str) -> str:
    return re.sub(r"[\s_]", "", column).lower()


def csv_sheet(path: Path) -> list[list[str]]:
    """Rows of text. Raises `FileNotFoundError`, `UnreadableFile`, `FileTruncated`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path.name}: not UTF-8 text; save it as CSV UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [[field.strip() for field in row] for row in reader]
    except csv.Error as error:
        raise FileTruncated(f"{path.name}: row {reader.line_num}: {error}; is the file cut off?") from error


def workbook(path: Path) -> dict[str, list[list[str]]]:
    """All sheets by name, empty cells as "".

    Raises:
      FileNotFoundError: no such file.
      DataUnavailable: pandas, or what it reads the workbook with, is missing.
      UnreadableFile: it is damaged, or no workbook.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    engine = "xlrd" if path.suffix.lower() == ".xls" else "openpyxl"
    try:
        pandas = importlib.import_module("pandas")
        importlib.import_module(engine)
    except ImportError as error:
        raise DataUnavailable(
            f"{path.name}: workbooks need pandas and {engine}: pip install pandas {engine}; or save the sheets as CSV "
            "files and read these"
        ) from error
    try:
        sheets = pandas.read_excel(path, sheet_name=None, header=None, dtype=object, engine=engine)
    except Exception as error:  # each engine has errors of its own for a damaged file
        raise UnreadableFile(f"{path.name}: not a whole workbook ({error}); download it anew") from error
    return {
        str(name): [["" if x is None or x != x else str(x).strip() for x in row] for row in sheet.to_numpy(object)]
        for name, sheet in sheets.items()
    }
