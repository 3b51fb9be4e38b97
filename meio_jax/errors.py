"""Named errors for input that is at fault. Each message says where, and what to do."""

from __future__ import annotations

__all__ = [
    "AliasError",
    "CheckpointError",
    "CheckpointMismatchError",
    "CheckpointStepError",
    "CheckpointWarning",
    "CycleError",
    "DuplicateKeyError",
    "DuplicateNameError",
    "EncodingError",
    "FileError",
    "FileSyntaxError",
    "FileTooLargeError",
    "InfeasibleError",
    "InputError",
    "MissingDemandError",
    "MissingKeyError",
    "MissingSupplierError",
    "NestingError",
    "NonFiniteError",
    "NumberError",
    "OrphanNodeError",
    "ParameterError",
    "RunError",
    "RunExistsError",
    "RunMismatchError",
    "UnboundedError",
    "UnknownKeyError",
    "UnknownNameError",
    "UnsuitableError",
    "UnsupportedFileError",
    "WrongTypeError",
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


class UnsuitableError(InputError):
    """A method cannot treat a problem. The message says why, and which method can."""


class InfeasibleError(InputError):
    """No decision satisfies what is asked for; the message says what contradicts what."""


class UnboundedError(InputError):
    """The problem has no best decision: its cost can be made as small as one likes."""


class FileError(InputError):
    """A file cannot be read or written, or does not hold what it should; the parent of the errors below."""


class FileTooLargeError(FileError):
    """A file is larger, or holds more values, than anyone writes by hand or needs."""


class EncodingError(FileError):
    """A file is not UTF-8 text, or holds control characters."""


class FileSyntaxError(FileError):
    """A file is not well-formed YAML or JSON."""


class AliasError(FileError):
    """YAML anchors, aliases, merge keys or tags: everything is to be written out."""


class NestingError(FileError):
    """Values nested deeper than any sensible file nests them."""


class DuplicateKeyError(FileError):
    """One mapping gives one key twice."""


class UnknownKeyError(FileError):
    """A key that the schema does not know."""


class MissingKeyError(FileError):
    """A key that the schema asks for is not there."""


class WrongTypeError(FileError):
    """A value is of another type than the schema asks for: text for a number, a list for a mapping."""


class MissingDemandError(FileError):
    """An arc to a customer without demand."""


class UnsupportedFileError(FileError):
    """A version or a format that this program does not read, or a system that no file can hold."""


class CheckpointError(InputError):
    """A checkpoint could not be written, or none could be read. The last good one is still there."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint is whole, but of another structure, shape or dtype than what it should be restored into."""


class CheckpointStepError(CheckpointError):
    """A step at or below the latest saved one, or not a step at all."""


class CheckpointWarning(UserWarning):
    """The newest checkpoint is damaged and an older one was restored."""


class RunError(InputError):
    """A run folder cannot be written or read; the message names the file."""


class RunExistsError(RunError):
    """The folder holds a run already."""


class RunMismatchError(RunError):
    """The folder holds a run of another configuration; the message names the fields that differ."""
