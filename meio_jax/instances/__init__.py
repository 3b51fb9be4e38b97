"""The literature: an instance a function, with citation, event order and known optimum.

Each module of this folder has a tuple ``INSTANCES``; `instances` collects them. Making an instance builds no network:
that happens when its ``problem`` is first read.

>>> find("serial/example_6_1").known_optimum
47.66
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from pathlib import Path

from meio_jax.errors import DuplicateNameError, UnknownNameError
from meio_jax.instances.base import Instance, Known

__all__ = ["Instance", "Known", "families", "find", "instances"]


@functools.cache
def _found() -> dict[str, Instance]:
    found: dict[str, Instance] = {}
    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for instance in getattr(module, "INSTANCES", ()):
            if instance.id in found:
                raise DuplicateNameError(f"instances.{info.name}: the id {instance.id!r} is taken")
            found[instance.id] = instance
    return found


def instances(family: str | None = None) -> tuple[Instance, ...]:
    """All instances, or those of a family, in the order of their tables.

    Raises:
      UnknownNameError: there is no such family; names the nearest.
    """
    every = tuple(_found().values())
    if family is None:
        return every
    if family not in families():
        raise UnknownNameError(f"there is no family {family!r}; {_hint(family, families())}")
    return tuple(i for i in every if i.family == family)


def families() -> tuple[str, ...]:
    """The names of the families."""
    return tuple(dict.fromkeys(i.family for i in _found().values()))


def find(name: str) -> Instance:
    """The instance with this id.

    Raises:
      UnknownNameError: there is none; names the nearest, or the first of a family of that name.
    """
    found = _found()
    if name in found:
        return found[name]
    if name in families():
        cases = [i.id for i in instances(name)]
        raise UnknownNameError(f"{name!r} is a family of {len(cases)} instances: {cases[0]}, ...; say which")
    raise UnknownNameError(f"there is no instance {name!r}; {_hint(name, tuple(found))}")


def _hint(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "`meio instances` lists what there is"
