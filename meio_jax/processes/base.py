"""What every process is: a pytree of parameters, `init` and `sample`; and how its parameters are checked.

Shapes: K rows (customers, arcs or nodes that the process serves), B lanes, J outcomes, S phases, T periods, R regimes.
Parameters are leaves ``[K, 1|B]``; where there are several numbers a row, these come first: ``[J, K, 1|B]``. So the
rows are always the last axis but one and the lanes the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, ParameterError

__all__ = [
    "ROLES",
    "Inverted",
    "Parameter",
    "Process",
    "as_process",
    "both",
    "outcomes_of",
    "random_words",
    "rounded_if",
    "rows_of",
    "spread",
    "switch_of",
    "table_of",
    "whole_of",
]  # fmt: skip

ROLES = ("demand", "lead_time", "supply", "yield", "reporting")


class Parameter(NamedTuple):
    """What a constructor's argument means: the check, the file schema and the documentation all read this.

    ``form`` says how it is written: ``"row"`` a number, or one for each row; ``"outcomes"`` a list of numbers, or one
    list for each row; ``"history"`` a list of rows for each period; ``"matrix"`` a list of lists; ``"process"``,
    ``"processes"`` and ``"parts"`` (pairs of process and rows); ``"switch"`` true or false; ``"whole"`` one integer.
    """

    doc: str
    unit: str = "1"
    low: float = 0.0
    high: float = LARGEST
    open_low: bool = False
    open_high: bool = False
    whole: bool = False
    form: str = "row"
    default: Any = ...

    @property
    def required(self) -> bool:
        return self.default is ...

    @property
    def domain(self) -> str:
        """The allowed interval, as it stands in messages."""
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{'the whole numbers of ' if self.whole else ''}{left}{self.low:g}, {self.high:g}{right}"

    def allows(self, x: np.ndarray) -> np.ndarray:
        """Elementwise: finite and inside of the domain."""
        low = x > self.low if self.open_low else x >= self.low
        high = x < self.high if self.open_high else x <= self.high
        whole = x == np.floor(x) if self.whole else np.full(x.shape, True)
        return np.isfinite(x) & low & high & whole


class Process:
    """Base of all processes. A subclass is a `meio_jax.struct.pytree` dataclass whose leaves are its parameters.

    ``role`` says which field of a `Shock` the values belong to ("any" where that is up to its parts), ``kind`` is the
    name in network files and the name of the constructor; ``parameters`` are the constructor's arguments.
    """

    role: ClassVar[str]
    kind: ClassVar[str]
    parameters: ClassVar[Mapping[str, Parameter]]

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        """Small instances with three rows, which the shared test suite puts through its checks."""
        raise NotImplementedError

    @property
    def rows(self) -> int:
        """K, how many rows the process serves."""
        return int(jax.tree.leaves(self)[0].shape[-2])

    @property
    def memoryless(self) -> bool:
        """Whether `sample` returns its carry as it came: periods are then independent of each other."""
        return False

    @property
    def invertible(self) -> bool:
        """Whether `invert` turns a random word into a value, which is what correlation between rows needs."""
        return False

    def init(self, key: Array, lanes: int) -> Any:
        """The state before the first period. The key is consumed."""
        raise NotImplementedError

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        """Values ``[K, B]`` of period ``t`` (an int32 scalar) and the next state. The key is consumed."""
        raise NotImplementedError

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        """The value ``[K, B]`` whose upper tail probability is ``word / 2**32``: it falls as the word grows."""
        raise NotImplementedError

    def replace(self, **changes: Any) -> Self:
        """A copy with other leaves: a sweep that does not compile anew."""
        raise NotImplementedError  # the pytree decorator puts dataclasses.replace here

    def long_run_mean(self) -> Array | None:
        """Mean value in the long run ``[K, 1|B]``; None where no formula is known."""
        return None

    def long_run_sd(self) -> Array | None:
        """Standard deviation of a period's value in the long run ``[K, 1|B]``; None where no formula is known."""
        return None

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest possible value, each ``[K, 1|B]``: lead times must know it. Reads the leaves."""
        raise NotImplementedError


class Inverted(Process):
    """A memoryless process that makes each value from one random word by the inverse of its distribution.

    A subclass writes `prepare` (tables that depend on the parameters, made once in `init`) and `invert`.
    """

    @property
    def memoryless(self) -> bool:
        return True

    @property
    def invertible(self) -> bool:
        return True

    def prepare(self) -> Any:
        return None

    def init(self, key: Array, lanes: int) -> Any:
        """The tables. The key is not needed."""
        return self.prepare()

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        return self.invert(carry, random_words(key, self.rows, lanes), t), carry


def random_words(key: Array, rows: int, lanes: int) -> Array:
    """Uniform uint32 ``[rows, lanes]`` below 2**32 - 1, so that a threshold can say "always". The key is consumed."""
    return jnp.minimum(jax.random.bits(key, (rows, lanes), jnp.uint32), jnp.uint32(0xFFFFFFFE))


def _array(kind: str, name: str, value: Any) -> Any:
    """A float64 NumPy array, or a traced array as it is (its numbers cannot be read)."""
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        x = np.array(value)
    except ValueError as error:
        raise ParameterError(f"{kind}: {name} has rows of different lengths") from error
    if x.dtype.kind not in "iuf" and not jnp.issubdtype(x.dtype, jnp.floating):
        raise ParameterError(f"{kind}: {name} = {value!r} is not a number")
    return x.astype(float)


def _refuse(kind: str, name: str, x: Any, parameter: Parameter) -> None:
    """Raise `ParameterError` for the first number out of the domain; ``x`` has rows and lanes last."""
    if isinstance(x, jax.core.Tracer):
        return
    bad = ~parameter.allows(x)
    if bad.any():
        at = tuple(int(i[0]) for i in np.nonzero(bad))
        *entry, row, lane = at
        place = f"row {row}" + (f", entry {entry[0]}" if entry else "") + (f", lane {lane}" if x.shape[-1] > 1 else "")
        raise ParameterError(
            f"{kind}: {name} = {x[at]:g} ({place}) is not in {parameter.domain}; unit: {parameter.unit}"
        )


def _same_rows(kind: str, arrays: dict[str, Any], rows: int | None = None) -> dict[str, Array]:
    counts = {name: x.shape[-2] for name, x in arrays.items()}
    wanted = max(counts.values()) if rows is None else rows
    for name, n in counts.items():
        if n == 0 or n not in (1, wanted):
            raise ParameterError(f"{kind}: {name} has {n} rows, expected 1 or {wanted}; give a number for each row")
    lanes = {x.shape[-1] for x in arrays.values()} - {1}
    if len(lanes) > 1:
        raise ParameterError(f"{kind}: the parameters have different numbers of lanes: {sorted(lanes)}")

    def wide(x: Any) -> Array:
        x = jnp.asarray(x, dtype=float)
        return x if x.shape[-2] == wanted else jnp.repeat(x, wanted, axis=-2)

    return {name: wide(x) for name, x in arrays.items()}


def rows_of(kind: str, table: Mapping[str, Parameter], rows: int | None = None, **values: Any) -> dict[str, Array]:
    """Check parameters and give them one number of rows: each ``[K, 1|B]``.

    A scalar serves all rows; a sequence has one number per row; a two-dimensional array is ``[K, B]``.

    Args:
      kind: the process, for messages.
      table: domains by name.
      rows: the number of rows that a part of the process has; None: as many as the longest parameter.

    Raises:
      ParameterError: says which parameter, row, value and domain.
    """
    arrays = {}
    for name, value in values.items():
        x = _array(kind, name, value)
        if x.ndim > 2:
            raise ParameterError(
                f"{kind}: {name} has {x.ndim} dimensions; give a number, one per row, or [rows, lanes]"
            )
        arrays[name] = x.reshape(-1, 1) if x.ndim < 2 else x
        _refuse(kind, name, arrays[name], table[name])
    return _same_rows(kind, arrays, rows)


def outcomes_of(kind: str, table: Mapping[str, Parameter], rows: int | None = None, **values: Any) -> dict[str, Array]:
    """Check lists of numbers: each ``[J, K, 1|B]``.

    ``[J]`` serves all rows, a list of lists has one list per row (``[K][J]``, made equally long by repeating the last
    entry, or by zeros in ``probabilities``), three dimensions are taken as ``[J, K, 1|B]``.

    Raises:
      ParameterError: says which parameter, row, entry, value and domain.
    """
    arrays: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Sequence) and value and all(isinstance(row, Sequence) and len(row) for row in value):
            longest = max(len(row) for row in value)
            value = [[*row, *[0.0 if name == "probabilities" else row[-1]] * (longest - len(row))] for row in value]
        x = _array(kind, name, value)
        if x.ndim not in (1, 2, 3) or 0 in x.shape:
            raise ParameterError(f"{kind}: {name} must be a list of numbers or one list per row, got shape {x.shape}")
        arrays[name] = x[:, None, None] if x.ndim == 1 else x.T[:, :, None] if x.ndim == 2 else x
        _refuse(kind, name, arrays[name], table[name])
    if len({x.shape[0] for x in arrays.values()}) > 1:
        lengths = {name: x.shape[0] for name, x in arrays.items()}
        raise ParameterError(f"{kind}: the lists have different lengths: {lengths}")
    if (p := arrays.get("probabilities")) is not None and not isinstance(p, jax.core.Tracer):
        total = p.sum(0)
        if (bad := np.abs(total - 1.0) > 1e-6).any():
            row, lane = (int(i[0]) for i in np.nonzero(bad))
            raise ParameterError(f"{kind}: probabilities of row {row} sum to {total[row, lane]:g}, not to 1")
        arrays["probabilities"] = p / total
    return _same_rows(kind, arrays, rows)


def table_of(kind: str, name: str, value: Any, parameter: Parameter) -> Array:
    """Check a table of numbers per period, ``[T, K]`` or ``[T]``: returns ``[T, K, 1]`` (``[T, K, B]`` is kept).

    Raises:
      ParameterError: says which period, row, value and domain.
    """
    x = _array(kind, name, value)
    if x.ndim not in (1, 2, 3) or 0 in x.shape:
        raise ParameterError(f"{kind}: {name} must be [periods, rows], got shape {x.shape}")
    x = x.reshape(x.shape + (1,) * (3 - x.ndim))
    if not isinstance(x, jax.core.Tracer) and (bad := ~parameter.allows(x)).any():
        t, row, lane = (int(i[0]) for i in np.nonzero(bad))
        raise ParameterError(
            f"{kind}: {name} = {x[t, row, lane]:g} (period {t}, row {row}) is not in {parameter.domain}; "
            f"unit: {parameter.unit}"
        )
    return jnp.asarray(x, dtype=float)


def whole_of(kind: str, name: str, value: Any, parameter: Parameter) -> int:
    """Check a single integer that becomes part of the program."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or not parameter.low <= value <= parameter.high
    ):
        raise ParameterError(f"{kind}: {name} = {value!r} is not in {parameter.domain}; unit: {parameter.unit}")
    return int(value)


def switch_of(kind: str, name: str, value: Any) -> bool:
    """Check a switch."""
    if not isinstance(value, bool | np.bool_):
        raise ParameterError(f"{kind}: {name} = {value!r} is neither true nor false")
    return bool(value)


def as_process(kind: str, name: str, value: Any, role: str) -> Process:
    """Check that a part is a process of the role.

    Raises:
      InputError: it is not.
    """
    if not isinstance(value, Process):
        raise InputError(f"{kind}: {name} must be a process, got {type(value).__name__}")
    if value.role not in (role, "any"):
        raise InputError(f"{kind}: {name} must be a {role} process, {value.kind!r} is a {value.role} process")
    return value


def rounded_if(rounded: bool, x: Array) -> Array:
    """To the nearest whole number, halves up, if asked for."""
    return jnp.floor(x + 0.5) if rounded else x


def spread(mean: Array, second_moment: Array) -> Array:
    """Standard deviation from the first two moments; rounding never makes it NaN."""
    return jnp.sqrt(jnp.maximum(second_moment - mean**2, 0.0))


def both(f: Callable[..., Array], *moments: Array | None) -> Array | None:
    """``f`` of the moments if all of them are known, else None."""
    known = [m for m in moments if m is not None]
    return f(*known) if len(known) == len(moments) else None
