"""From a tree of plain values to one that fits the schema, or to one named error that says where."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from meio_jax.elements import CUSTOMER
from meio_jax.errors import (
    FileError,
    FileTooLargeError,
    InputError,
    MissingDemandError,
    MissingKeyError,
    NumberError,
    ParameterError,
    UnknownKeyError,
    UnknownNameError,
    UnsupportedFileError,
    WrongTypeError,
)
from meio_jax.files.schema import ARC_ROLES, NODE_ROLES, VERSION, document_model, kinds, part_role
from meio_jax.files.syntax import Path_, line_of

__all__ = ["Source", "nearest", "validate"]


class Source:
    """The text that a tree was read from: turns a path into the words that begin a message.

    file: its name, for messages. text: the text, or None where there is none.
    """

    def __init__(self, file: str, text: str | None) -> None:
        self.file, self.text = file, text

    def at(self, path: Path_) -> str:
        """``file:line: arcs[2].lead_time`` as far as each is known."""
        line = line_of(self.text, path) if path and self.text is not None else None
        place = f"{self.file}:{line}" if line else self.file
        return f"{place}: {spell(path)}" if path else place


def spell(path: Path_) -> str:
    """``arcs[2].lead_time``."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known)}" if known else ""


def show(value: Any) -> str:
    """A value in a message: short, in one line, and said what it is."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value if len(value) <= 40 else value[:37] + "..."
        return f"the text {text!r}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"{value:g}" if isinstance(value, float) else str(value)


def validate(tree: Any, source: Source) -> dict[str, Any]:
    """Check a tree against the schema; returns it.

    Raises:
      FileError and its kin, `NumberError`, `ParameterError`, `UnknownNameError`: the first fault.
    """
    if tree is None:
        raise MissingKeyError(f"{source.file}: is empty; `meio schema` says what belongs in it")
    if not isinstance(tree, dict):
        raise WrongTypeError(
            f"{source.at(())}: is {show(tree)}; a network file is a mapping with the keys version, nodes, arcs"
        )
    version = tree.get("version", VERSION)
    if type(version) is not int:  # True is 1 for pydantic
        raise WrongTypeError(f"{source.at(('version',))} is {show(version)}; write version: {VERSION}")
    if version != VERSION:
        raise UnsupportedFileError(f"{source.at(('version',))} is {version}; this program reads version {VERSION}")
    try:
        document_model().model_validate(tree)
    except ValidationError as e:
        _refuse(tree, e, source)
    for i, arc in enumerate(tree["arcs"]):
        inner = arc["to"] != CUSTOMER
        if not inner and arc.get("demand") is None:
            raise MissingDemandError(
                f"{source.at(('arcs', i))}: this arc to a customer has no demand; add for example "
                "demand: {kind: poisson, mean: 5}"
            )
        if inner and arc.get("demand") is not None:
            raise InputError(
                f"{source.at(('arcs', i, 'demand'))}: only arcs to {CUSTOMER!r} have demand; remove it, or change 'to'"
            )
        if not inner and arc.get("supply") is not None:
            raise InputError(
                f"{source.at(('arcs', i, 'supply'))}: customers are served from stock; supply belongs before it"
            )
        if not inner and isinstance(arc.get("lead_time"), dict):
            raise InputError(
                f"{source.at(('arcs', i, 'lead_time'))}: customers are served from stock; put a node before them"
            )
    return tree


#: The order in which faults are reported: what is misspelt explains what is missing.
_URGENCY = {"extra_forbidden": 0, "union_tag_invalid": 1, "missing": 3}


def _refuse(tree: dict[str, Any], error: ValidationError, source: Source) -> NoReturn:
    faults = error.errors(include_url=False, include_context=True)
    places = [(_place(tree, fault["loc"], fault["type"] == "missing"), fault) for fault in faults]
    (path, value), fault = min(places, key=lambda p: _URGENCY.get(p[1]["type"], 2))
    kind, message = _say(tree, path, value, fault["type"], fault.get("ctx", {}), fault["msg"])
    others = f" ({len(faults) - 1} more fault{'s' if len(faults) > 2 else ''} in this file)" if len(faults) > 1 else ""
    raise kind(f"{source.at(path)} {message}{others}") from None


def _place(tree: Any, loc: Sequence[str | int], absent: bool) -> tuple[Path_, Any]:
    """The path of a fault and the value there. pydantic's own path names the members of unions as well."""
    path: list[str | int] = []
    value = tree
    for i, step in enumerate(loc):
        if (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        ):
            path.append(step)
            value = value[step]  # type: ignore[index]
        elif absent and i == len(loc) - 1:
            return (*path, step), None
    return tuple(path), value


def _role(path: Path_) -> str | None:
    """The role of the process that a path leads to or into."""
    if len(path) < 3:
        return None
    role = {"arcs": ARC_ROLES, "nodes": NODE_ROLES}.get(str(path[0]), {}).get(str(path[2]))
    return part_role(role) if role is not None and len(path) > 3 else role


def _keys(tree: Any, path: Path_) -> list[str]:
    """The keys that the mapping at a path may have."""
    role = _role(path)
    if role is not None:
        value = tree
        for step in path:
            value = value[step]
        kind = value.get("kind")  # may be anything that a file can hold
        process = kinds(role).get(kind) if isinstance(kind, str) else None
        return ["kind", *process.parameters] if process else ["kind"]
    model: Any = document_model()
    if path:
        model = model.model_fields[path[0]].annotation.__args__[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _say(tree: Any, path: Path_, value: Any, fault: str, ctx: dict[str, Any], msg: str) -> tuple[type[InputError], str]:
    """The error and what to say after the path, for one fault that pydantic found."""
    number = ParameterError if _role(path) and len(path) > 3 else NumberError
    name = path[-1] if path else ""
    if fault == "extra_forbidden":
        return UnknownKeyError, f"is not a known key{nearest(str(name), _keys(tree, path[:-1]))}"
    if fault in ("missing", "union_tag_not_found"):
        if fault == "union_tag_not_found":
            name = "kind"
            return MissingKeyError, f"has no 'kind'; say which process it is{nearest('', _kinds(path))}"
        known = "; `meio schema` says what it means"
        return (
            MissingKeyError,
            f"is missing; add the key {name!r}{known}"
            if name != "version"
            else f"is missing; add 'version: {VERSION}'",
        )
    if fault == "union_tag_invalid" and "(" in str(ctx.get("discriminator")):  # a form of value, not a kind of process
        return WrongTypeError, f"is {show(value)}; write a number, or a list of numbers"
    if fault == "union_tag_invalid":
        return (
            UnknownNameError,
            f"is of the unknown kind {show(value.get('kind'))}{nearest(str(value.get('kind')), _kinds(path))}",
        )
    if fault == "literal_error":
        return UnknownNameError, f"is {show(value)}; write {ctx.get('expected', 'another value')}"
    if fault == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        what = "NaN" if math.isnan(value) else "infinite"
        return number, f"is {what}; give a finite number"
    if fault in ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"):
        sign = {
            "greater_than": "above",
            "greater_than_equal": "at least",
            "less_than": "below",
            "less_than_equal": "at most",
        }.get(fault)
        limit = next(iter(ctx.values()), None)
        want = (
            "a whole number"
            if sign is None
            else f"{sign} {limit:g}"
            if isinstance(limit, int | float)
            else f"{sign} {limit}"
        )
        return number, f"is {show(value)}, and must be {want}"
    if fault in ("too_long", "string_too_long"):
        return FileTooLargeError, f"has more than {ctx.get('max_length')} entries; that is more than is read"
    if fault in ("too_short", "string_too_short"):
        return WrongTypeError, "is empty; give at least one entry"
    if fault == "value_error":
        return WrongTypeError, f"is {show(value)}, and {ctx.get('error', msg)}"
    wanted = {
        "float_type": "a number", "int_type": "a whole number", "int_from_float": "a whole number",
        "string_type": "text",
        "bool_type": "true or false", "list_type": "a list", "dict_type": "a mapping",
        "model_type": "a mapping",
        "model_attributes_type": "a mapping",
    }.get(fault)  # fmt: skip
    if wanted is None:
        return FileError, f"is {show(value)}: {' '.join(msg.split())[:200]}"
    if isinstance(value, str) and "number" in wanted:
        if value.strip().lower().lstrip("+-.") in ("nan", "inf", "infinity"):
            return number, f"is {value!r}; give a finite number"
        return (
            WrongTypeError,
            f"is {show(value)}; write {wanted}, in decimals and without quotes, unit or leading zeros",
        )
    hint = ", in quotes" if wanted == "text" and value is not None and not isinstance(value, dict | list) else ""
    return WrongTypeError, f"is {show(value)}; write {wanted}{hint}"


def _kinds(path: Path_) -> list[str]:
    role = _role(path)
    return list(kinds(role)) if role else []
