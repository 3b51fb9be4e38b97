"""Named errors for input that is at fault. Each message says where, and what to do."""

from __future__ import annotations

__all__ = [
    "CycleError",
    "DuplicateNameError",
    "InputError",
    "MissingSupplierError",
    "NonFiniteError",
    "NumberError",
    "OrphanNodeError",
    "ParameterError",
    "UnknownNameError",
]


class InputError(ValueError):
    """Something given by the user cannot be used. The command line turns it into one line and exit code 1."""


class CycleError(InputError):
    """The arcs of a network form a cycle."""


class DuplicateNameError(InputError):
    """Two things carry one name."""


class MissingSupplierError(InputError):
    """Nothing can ever arrive at a node."""


class NumberError(InputError):
    """A number is NaN, infinite, out of its domain or absurdly large."""


class OrphanNodeError(InputError):
    """A node is connected to nothing, or feeds nobody."""


class ParameterError(NumberError):
    """A parameter of a process lies outside its domain."""


class UnknownNameError(InputError):
    """A name refers to nothing."""


class NonFiniteError(InputError, FloatingPointError):
    """A NaN or an infinity surfaced in a simulation or in a learner."""
