"""What is said where a library is missing that only some users need."""

from __future__ import annotations

from meio_jax.errors import InputError

__all__ = ["MissingExtraError", "missing"]


class MissingExtraError(InputError, ImportError):
    """A library is not installed that this part needs; the message says which extra brings it."""


def missing(library: str, extra: str) -> MissingExtraError:
    """The error to raise."""
    return MissingExtraError(f"{library} is not installed; it comes with: pip install 'meio-jax[{extra}]'")
