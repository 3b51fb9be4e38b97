"""Frozen dataclasses that are pytrees: numbers are leaves, what is marked ``static()`` is part of the program."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(**kwargs: Any) -> Any:
    """A dataclass field that is hashed into the compiled program instead of traced."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass, registered as a pytree, with ``replace``.

    A field whose value is ``None`` has no leaf, so switching a feature off removes it from the compiled program.
    """
    new = dataclasses.dataclass(frozen=True, eq=False)(cls)
    if "replace" not in cls.__dict__:
        new.replace = dataclasses.replace  # type: ignore[attr-defined]
    return jax.tree_util.register_dataclass(new)
