"""Rows that are served by different processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.processes.base import Parameter, Process
from meio_jax.processes.counts import poisson
from meio_jax.processes.deterministic import deterministic
from meio_jax.processes.normal import normal
from meio_jax.struct import pytree, static

__all__ = ["Mixed", "mixed"]


@pytree
class Mixed(Process):
    """Part i serves the rows ``served[i]``. Of any role, as long as all parts have the same."""

    parts: tuple[Process, ...]
    served: tuple[tuple[int, ...], ...] = static()

    role = "any"
    kind = "mixed"
    parameters: ClassVar = {"parts": Parameter("pairs of a process and the rows that it serves", form="parts")}

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (
            mixed([(poisson([4.0, 30.0]), (2, 0)), (normal(5.0, 1.0), (1,))]),
            mixed([(deterministic(3.0), 0), (poisson([1.0, 2.0]), (1, 2))]),
        )

    @property
    def rows(self) -> int:
        return sum(len(rows) for rows in self.served)

    @property
    def memoryless(self) -> bool:
        return all(p.memoryless for p in self.parts)

    @property
    def invertible(self) -> bool:
        return all(p.invertible for p in self.parts)

    def _in_place(self, values: Sequence[Array]) -> Array:
        """The values of the parts, each in its rows."""
        lanes = max(v.shape[-1] for v in values)
        joined = jnp.concatenate([jnp.broadcast_to(v, (*v.shape[:-1], lanes)) for v in values], axis=-2)
        order = np.argsort([row for rows in self.served for row in rows])
        return joined if (order == np.arange(len(order))).all() else joined[..., order, :]

    def init(self, key: Array, lanes: int) -> Any:
        """The states of the parts. The key is consumed."""
        keys = jax.random.split(key, len(self.parts))
        return tuple(p.init(k, lanes) for p, k in zip(self.parts, keys, strict=True))

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        keys = jax.random.split(key, len(self.parts))
        drawn = [p.sample(k, c, t, lanes) for p, k, c in zip(self.parts, keys, carry, strict=True)]
        return self._in_place([v for v, _ in drawn]), tuple(c for _, c in drawn)

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        parts = zip(self.parts, carry, self.served, strict=True)
        return self._in_place([p.invert(c, word[jnp.array(rows)], t) for p, c, rows in parts])

    def _moment(self, moments: list[Array | None]) -> Array | None:
        known = [m for m in moments if m is not None]
        return self._in_place(known) if len(known) == len(moments) else None

    def long_run_mean(self) -> Array | None:
        return self._moment([p.long_run_mean() for p in self.parts])

    def long_run_sd(self) -> Array | None:
        return self._moment([p.long_run_sd() for p in self.parts])

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = zip(*(p.support() for p in self.parts), strict=True)
        least, most = (self._in_place([jnp.asarray(x) for x in bound]) for bound in (low, high))
        return np.asarray(least), np.asarray(most)


def mixed(parts: Sequence[tuple[Process, int | Sequence[int]]]) -> Mixed:
    """One process out of several, each serving some rows: ``mixed([(poisson(5.0), 0), (replay(trace), (2, 1))])``.

    Args:
      parts: pairs of a process and the row or rows that it serves, in the order of the process's own rows. Together
        they serve every row from 0 on once.

    Raises:
      InputError: a part is no process or of another role, serves another number of rows, or a row is served twice or
        not at all.
    """
    processes: list[Process] = []
    served: list[tuple[int, ...]] = []
    for i, (process, rows) in enumerate(parts):
        if not isinstance(process, Process):
            raise InputError(f"mixed: part {i} must be a process, got {type(process).__name__}")
        processes.append(process)
        served.append((rows,) if isinstance(rows, int) else tuple(int(r) for r in rows))
        if process.rows != len(served[-1]):
            raise InputError(f"mixed: part {i} ({process.kind}) has {process.rows} rows but is given rows {served[-1]}")
    roles = {p.role for p in processes} - {"any"}
    if len(roles) > 1:
        raise InputError(f"mixed: the parts have different roles: {', '.join(sorted(roles))}")
    rows_served = sorted(row for rows in served for row in rows)
    if not rows_served or rows_served != list(range(len(rows_served))):
        raise InputError(f"mixed: every row from 0 on must be served once, got {rows_served}")
    return Mixed(tuple(processes), tuple(served))
