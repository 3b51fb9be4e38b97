"""From bytes to a tree of plain values, refusing everything that does not mean what it seems to mean.

YAML here is the part of YAML 1.2 that JSON has too, written with indentation: no aliases, anchors, merge keys, tags or
second documents, and of the unquoted scalars only ``null``, ``true``, ``false`` and decimal numbers are not text. So
``NO`` is text, ``010`` is text (and refused where a number belongs), ``2024-01-31`` is text, and ``1e3`` is a number.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from meio_jax.errors import (
    AliasError,
    DuplicateKeyError,
    EncodingError,
    FileError,
    FileSyntaxError,
    FileTooLargeError,
    NestingError,
    UnsupportedFileError,
)

__all__ = ["DEEPEST", "FORMATS", "LARGEST_FILE", "MOST_VALUES", "line_of", "parse_tree", "read_text", "resolve"]

#: Bytes of a file, values in it, and levels of nesting that are read; beyond them it is refused before it costs time.
LARGEST_FILE = 10_000_000
MOST_VALUES = 200_000
DEEPEST = 32

#: Endings of file names and what they hold.
FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
    ".inf": math.inf, ".Inf": math.inf, ".INF": math.inf, "+.inf": math.inf, "-.inf": -math.inf,
}  # fmt: skip
#: Control characters that no text needs (tab and line feed are fine), halves of surrogate pairs, non-characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

Path_ = tuple[str | int, ...]


def read_text(path: Path) -> tuple[str, str]:
    """The text of a file and its format, ``"yaml"`` or ``"json"``.

    Raises:
      FileError: there is no such file, it is no plain file, or it may not be read.
      FileTooLargeError, EncodingError, UnsupportedFileError: size, encoding, ending.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{path}: is no plain file; give the path of a .yaml, .yml or .json file")
        form = FORMATS.get(path.suffix.lower())
        if form is None:
            raise UnsupportedFileError(
                f"{path}: the name must end in {', '.join(FORMATS)}, so that its format is known"
            )
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileError:
        raise
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise FileError(f"{path}: cannot be read: {reason}; check the path and its permissions") from e
    if len(data) > LARGEST_FILE:
        raise FileTooLargeError(
            f"{path}: is larger than {LARGEST_FILE // 1_000_000} MB; a network file never needs that"
        )
    return decode(data, str(path)), form


def decode(data: bytes, where: str) -> str:
    """UTF-8 text, a byte order mark taken off. Raises `EncodingError`, which says the line."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise EncodingError(f"{where}:1: is UTF-16 or UTF-32; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise EncodingError(f"{where}:{line}: byte 0x{data[e.start]:02x} is not UTF-8; save the file as UTF-8") from e
    return text


def parse_tree(text: str, form: str, where: str) -> Any:
    """Plain dicts, lists, strings, numbers, booleans and None.

    Args:
      form: ``"yaml"`` or ``"json"``.
      where: name of the file, for messages.

    Raises:
      FileSyntaxError, EncodingError, FileTooLargeError, NestingError, AliasError, DuplicateKeyError: each with the line
        where one is known.
    """
    if len(text) > LARGEST_FILE:
        raise FileTooLargeError(
            f"{where}: is larger than {LARGEST_FILE // 1_000_000} MB; a network file never needs that"
        )
    text = text.removeprefix("\ufeff")
    if bad := _UNPRINTABLE.search(text.replace("\r\n", " \n")):
        _check_text(bad.group(), f"{where}:{text.count(chr(10), 0, bad.start()) + 1}")
    if form == "yaml":
        return _parse_yaml(text, where)
    if form == "json":
        return _parse_json(text, where)
    raise UnsupportedFileError(f"{where}: format {form!r} is not one of yaml, json")


def _check_text(text: str, where: str) -> None:
    if bad := _UNPRINTABLE.search(text):
        raise EncodingError(f"{where}: holds the character U+{ord(bad.group()):04X}, which text never needs; remove it")


def resolve(text: str) -> str | float | int | bool | None:
    """What an unquoted YAML scalar means. Whole numbers of at most 18 digits are `int`, longer ones `float`."""
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    return text


# YAML


def _events(text: str, where: str) -> Iterator[Any]:
    """The events inside of the one document."""
    documents = 0
    parser = yaml.parse(text, Loader=_Loader)
    while True:
        try:
            event = next(parser)
        except StopIteration:
            return
        except yaml.MarkedYAMLError as e:
            mark = e.problem_mark or e.context_mark
            problem = " ".join(str(e.problem or e.context).split())
            at = f":{min(mark.line, text.count(chr(10))) + 1}" if mark else ""
            raise FileSyntaxError(
                f"{where}{at}: is not well-formed YAML: {problem}; check indentation, brackets and quotes near it"
            ) from e
        except yaml.reader.ReaderError as e:
            raise EncodingError(
                f"{where}: holds the character {e.character!r}, which YAML does not allow; remove it"
            ) from e
        except (yaml.YAMLError, ValueError, OverflowError) as e:
            raise FileSyntaxError(f"{where}: is not well-formed YAML: {' '.join(str(e).split())[:200]}") from e
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            line = event.start_mark.line + 1 if event.start_mark else 1
            if documents > 1:
                raise FileSyntaxError(f"{where}:{line}: a second document begins; one file holds one system")
            if event.tags:
                raise AliasError(f"{where}:{line}: %TAG is not read here; remove it")
        elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
            yield event


class _Frame:
    """A collection that is being read."""

    __slots__ = ("key", "value")

    def __init__(self, value: dict[str, Any] | list[Any]) -> None:
        self.value = value
        self.key: str | None = None


def _parse_yaml(text: str, where: str) -> Any:
    stack: list[_Frame] = []
    count = 0
    root: Any = None

    def at(event: Any) -> str:
        return f"{where}:{event.start_mark.line + 1}"

    for event in _events(text, where):
        if isinstance(event, yaml.AliasEvent):
            raise AliasError(f"{at(event)}: YAML aliases (*{event.anchor}) are not read here; write the value out")
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            stack.pop()
            continue
        if event.anchor is not None:
            raise AliasError(f"{at(event)}: YAML anchors (&{event.anchor}) are not read here; remove it")
        if event.tag is not None:
            raise AliasError(f"{at(event)}: YAML tags ({event.tag}) are not read here; remove it")
        count += 1
        if count > MOST_VALUES:
            raise FileTooLargeError(
                f"{at(event)}: holds more than {MOST_VALUES} values; keep long histories in a table file"
            )
        frame = stack[-1] if stack else None
        if isinstance(event, yaml.ScalarEvent):
            _check_text(event.value, at(event))
            if frame is not None and isinstance(frame.value, dict) and frame.key is None:
                if event.value == "<<" and event.implicit[0]:
                    raise AliasError(f"{at(event)}: YAML merge keys (<<) are not read here; write the keys out")
                if event.value in frame.value:
                    raise DuplicateKeyError(f"{at(event)}: the key {event.value!r} is given twice; keep one")
                frame.key = event.value
                continue
            value: Any = resolve(event.value) if event.implicit[0] else event.value
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            if frame is not None and isinstance(frame.value, dict) and frame.key is None:
                raise FileSyntaxError(
                    f"{at(event)}: a key must be text, not a list or a mapping; check the brackets near this line"
                )
        if frame is None:
            root = value
        elif isinstance(frame.value, list):
            frame.value.append(value)
        else:
            assert frame.key is not None
            frame.value[frame.key] = value
            frame.key = None
        if not isinstance(event, yaml.ScalarEvent):
            if len(stack) >= DEEPEST:
                raise NestingError(f"{at(event)}: is nested more than {DEEPEST} levels deep; no system needs that")
            stack.append(_Frame(value))
    return root


def line_of(text: str, path: Path_) -> int | None:
    """The line, from 1, of the value at a path of keys and indices, or of the nearest enclosing one that is there.

    Reads YAML, and JSON as the part of YAML that it is. None if the text cannot be read that far.
    """
    best: int | None = None
    stack: list[
        list[Any]
    ] = []  # [key or index of what is being read, whether it is a mapping that waits for a key or None]
    try:
        for event in _events(text.removeprefix("\ufeff"), ""):
            if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                stack.pop()
                continue
            named = True
            if stack:
                top = stack[-1]
                if top[1] is None:
                    top[0] += 1
                else:
                    named = top[1]
                    top[1] = not named
                    if named:
                        top[0] = getattr(event, "value", None)
            if named:
                here = tuple(frame[0] for frame in stack)
                if path[: len(here)] == here:
                    best = event.start_mark.line + 1
                    if len(here) == len(path):
                        return best
            if isinstance(event, yaml.MappingStartEvent):
                stack.append([None, True])
            elif isinstance(event, yaml.SequenceStartEvent):
                stack.append([-1, None])
    except FileError:
        pass  # JSON that is no YAML: the nearest line found so far
    return best


# JSON


def _parse_json(text: str, where: str) -> Any:
    count = 0

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal count
        count += len(items)
        out = dict(items)
        if len(out) != len(items):
            seen: set[str] = set()
            twice = next(k for k, _ in items if k in seen or seen.add(k))  # type: ignore[func-returns-value]
            lines = [m.start() for m in re.finditer(re.escape(json.dumps(twice, ensure_ascii=False)) + r"\s*:", text)]
            at = f":{text.count(chr(10), 0, lines[-1]) + 1}" if len(lines) == 2 else ""
            raise DuplicateKeyError(f"{where}{at}: the key {twice!r} is given twice in one object; keep one")
        return out

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) <= 18 else float(digits)

    try:
        tree = json.loads(text, object_pairs_hook=pairs, parse_int=whole)
    except json.JSONDecodeError as e:
        raise FileSyntaxError(
            f"{where}:{e.lineno}: is not well-formed JSON: {e.msg}; check commas, brackets and quotes there"
        ) from e
    except RecursionError as e:
        raise NestingError(f"{where}: is nested more than {DEEPEST} levels deep; no system needs that") from e
    stack: list[tuple[Any, int]] = [(tree, 0)]
    values = 0
    while stack:
        value, depth = stack.pop()
        values += 1
        if isinstance(value, dict | list):
            if depth >= DEEPEST:
                raise NestingError(f"{where}: is nested more than {DEEPEST} levels deep; no system needs that")
            if values + len(stack) + len(value) > MOST_VALUES:
                raise FileTooLargeError(
                    f"{where}: holds more than {MOST_VALUES} values; keep long histories in a table file"
                )
            stack.extend((v, depth + 1) for v in (value.values() if isinstance(value, dict) else value))
            strings = [k for k in value if isinstance(k, str)]
        else:
            strings = [value] if isinstance(value, str) else []
        for s in strings:
            _check_text(s, where)
    return tree
