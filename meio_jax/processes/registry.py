"""All processes by role and kind, found through the ``__all__`` of each file in this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from meio_jax.errors import InputError, ParameterError, UnknownNameError
from meio_jax.processes.base import ROLES, Process

__all__ = ["CONSTRUCTORS", "PROCESSES", "construct"]


def _found() -> dict[type[Process], Callable[..., Process]]:
    """Every process class with its constructor: the function of the same module that bears its kind as name."""
    found: dict[type[Process], Callable[..., Process]] = {}
    package = __name__.rpartition(".")[0]
    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if info.name in ("base", "registry", "world") or info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        for name in module.__all__:
            thing = getattr(module, name)
            if isinstance(thing, type) and issubclass(thing, Process):
                found[thing] = getattr(module, thing.kind)
    return found


_FOUND = _found()

#: Classes by role and kind; what fits any role stands under each.
PROCESSES: dict[str, dict[str, type[Process]]] = {
    role: {c.kind: c for c in sorted(_FOUND, key=lambda c: c.kind) if c.role in (role, "any")} for role in ROLES
}

#: Constructors by role and kind.
CONSTRUCTORS: dict[str, dict[str, Callable[..., Process]]] = {
    role: {kind: _FOUND[c] for kind, c in kinds.items()} for role, kinds in PROCESSES.items()
}


def construct(role: str, kind: str, parameters: Mapping[str, Any]) -> Process:
    """A process from names and numbers, as a file has them. Parts that are processes must have been constructed before.

    Raises:
      UnknownNameError: there is no such role, kind or parameter; says which there are.
      ParameterError, InputError: from the constructor; or a parameter is missing.
    """
    if role not in CONSTRUCTORS:
        raise UnknownNameError(f"there is no role {role!r}; roles are {', '.join(ROLES)}")
    if kind not in CONSTRUCTORS[role]:
        raise UnknownNameError(f"there is no {role} process {kind!r}; kinds are {', '.join(CONSTRUCTORS[role])}")
    table = PROCESSES[role][kind].parameters
    for name in parameters:
        if name not in table:
            raise UnknownNameError(f"{kind}: there is no parameter {name!r}; parameters are {', '.join(table)}")
    for name, parameter in table.items():
        if parameter.required and name not in parameters:
            raise ParameterError(f"{kind}: parameter {name!r} ({parameter.doc}) is missing")
    process = CONSTRUCTORS[role][kind](**parameters)
    if process.role not in (role, "any"):
        raise InputError(f"{kind} is no {role} process")
    return process
