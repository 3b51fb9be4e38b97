"""Demand with seasons: a profile that scales any process, and a cycle of distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax

from meio_jax.errors import InputError
from meio_jax.processes.base import (
    Parameter,
    Process,
    as_process,
    both,
    outcomes_of,
    rounded_if,
    rows_of,
    spread,
    switch_of,
    whole_of,
)
from meio_jax.processes.counts import poisson
from meio_jax.processes.normal import normal
from meio_jax.struct import pytree, static

__all__ = ["Cyclic", "Seasonal", "cyclic", "seasonal"]


def _now(x: Array, t: Array, start: int) -> Array:
    return lax.dynamic_index_in_dim(x, (t + start) % x.shape[0], 0, keepdims=False)


@pytree
class Seasonal(Process):
    """base x profile[(t + start) mod S] x max(0, 1 + trend t). Nest two for a week within a year."""

    base: Process
    profile: Array  # [S, K, 1|B]
    trend: Array  # [K, 1|B]
    start: int = static(default=0)
    rounded: bool = static(default=False)

    role = "demand"
    kind = "seasonal"
    parameters: ClassVar = {
        "base": Parameter("demand process that is scaled", form="process"),
        "profile": Parameter("factor of each period of the cycle", high=1e6, form="outcomes"),
        "trend": Parameter("growth per period, as a share of period 0", "1/period", low=-1.0, high=1.0, default=0.0),
        "start": Parameter("entry of the profile that period 0 has", "period", form="whole", default=0),
        "rounded": Parameter("whole units only", form="switch", default=False),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        week = seasonal(normal([5.0, 1.0, 9.0], 1.0), [0.5, 1.0, 1.5, 1.0])
        return week, seasonal(poisson([5.0, 1.0, 9.0]), [[1, 2], [2, 1], [1, 1]], trend=0.01, start=1, rounded=True)

    @property
    def rows(self) -> int:
        return self.base.rows

    @property
    def memoryless(self) -> bool:
        return self.base.memoryless

    @property
    def invertible(self) -> bool:
        return self.base.invertible

    def _scale(self, value: Array, t: Array) -> Array:
        growth = jnp.maximum(1.0 + self.trend * t, 0.0)
        return rounded_if(self.rounded, value * (_now(self.profile, t, self.start) * growth))

    def init(self, key: Array, lanes: int) -> Any:
        return self.base.init(key, lanes)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        value, carry = self.base.sample(key, carry, t, lanes)
        return self._scale(value, t), carry

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        return self._scale(self.base.invert(carry, word, t), t)

    def long_run_mean(self) -> Array | None:
        """Over a cycle, at the level of period 0 (a trend has no long run), before rounding."""
        return both(lambda m: self.profile.mean(0) * m, self.base.long_run_mean())

    def long_run_sd(self) -> Array | None:
        def sd(m: Array, s: Array) -> Array:
            return spread(self.profile.mean(0) * m, (self.profile**2).mean(0) * (m**2 + s**2))

        return both(sd, self.base.long_run_mean(), self.base.long_run_sd())


@pytree
class Cyclic(Process):
    """A distribution of its own for each period of a cycle: whole units stay whole, which scaling cannot promise."""

    phases: Process  # every leaf has a leading axis S

    role = "demand"
    kind = "cyclic"
    parameters: ClassVar = {
        "phases": Parameter("demand processes of one kind, one for each period of the cycle", form="processes"),
        "start": Parameter("phase that period 0 has", "period", form="whole", default=0),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (cyclic([poisson([m, 2 * m, 1.0]) for m in (1.0, 4.0, 30.0)], start=1),)

    @property
    def length(self) -> int:
        """S, periods in a cycle."""
        return int(jax.tree.leaves(self.phases)[0].shape[0])

    @property
    def rows(self) -> int:
        return self.phases.rows

    @property
    def memoryless(self) -> bool:
        return True

    @property
    def invertible(self) -> bool:
        return self.phases.invertible

    def init(self, key: Array, lanes: int) -> Any:
        """The tables of all phases. The key is consumed."""
        return jax.vmap(lambda p, k: p.init(k, lanes))(self.phases, jax.random.split(key, self.length))

    def _now(self, carry: Any, t: Array) -> tuple[Process, Any]:
        return jax.tree.map(lambda x: _now(x, t, 0), (self.phases, carry))

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        process, tables = self._now(carry, t)
        return process.sample(key, tables, t, lanes)[0], carry

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        process, tables = self._now(carry, t)
        return process.invert(tables, word, t)

    def long_run_mean(self) -> Array | None:
        means = jax.vmap(lambda p: p.long_run_mean())(self.phases)
        return both(lambda m: m.mean(0), means)

    def long_run_sd(self) -> Array | None:
        means, sds = jax.vmap(lambda p: (p.long_run_mean(), p.long_run_sd()))(self.phases)
        return both(lambda m, s: spread(m.mean(0), (m**2 + s**2).mean(0)), means, sds)


def seasonal(base: Process, profile: Any, trend: Any = 0.0, *, start: int = 0, rounded: bool = False) -> Seasonal:
    """Scale a demand process by a repeating profile and a linear trend.

    Args:
      base: any demand process. Its values are scaled, so counts become fractions unless ``rounded``; see `cyclic`.
      profile: ``[S]`` factors for all rows, or a list per row. They need not average 1.
      trend: growth per period as a share of the level in period 0; the level never falls below 0.
      start: entry of the profile that period 0 has.
      rounded: round the product to whole units, halves up.

    Raises:
      ParameterError, InputError: a number is out of its domain, or a part does not fit.
    """
    base = as_process("seasonal", "base", base, "demand")
    table = Seasonal.parameters
    profiles = outcomes_of("seasonal", table, base.rows, profile=profile)["profile"]
    trends = rows_of("seasonal", table, base.rows, trend=trend)["trend"]
    first = whole_of("seasonal", "start", start, table["start"])
    return Seasonal(base, profiles, trends, start=first, rounded=switch_of("seasonal", "rounded", rounded))


def cyclic(phases: Sequence[Process], *, start: int = 0) -> Cyclic:
    """A cycle of memoryless demand processes of one kind: period t is drawn from ``phases[(t + start) % S]``.

    Raises:
      InputError: the phases are not memoryless demand processes of one kind, with the same rows and lanes.
    """
    parts = [as_process("cyclic", f"phase {i}", p, "demand") for i, p in enumerate(phases)]
    if not parts:
        raise InputError("cyclic: give at least one phase")
    for i, part in enumerate(parts):
        if not part.memoryless:
            raise InputError(
                f"cyclic: phase {i} ({part.kind}) has a memory; cycle memoryless processes, or scale by 'seasonal'"
            )
    if all(hasattr(p, "entries") for p in parts):  # tables of counts, made equally long
        parts = [p.replace(entries=max(p.entries for p in parts)) for p in parts]  # type: ignore[attr-defined]
    first = whole_of("cyclic", "start", start, Cyclic.parameters["start"]) % len(parts)
    parts = parts[first:] + parts[:first]
    alike = {(jax.tree.structure(p), *(x.shape for x in jax.tree.leaves(p))) for p in parts}
    if len(alike) > 1:
        raise InputError("cyclic: the phases must be of one kind, with the same options and the same rows and lanes")
    return Cyclic(jax.tree.map(lambda *x: jnp.stack(x), *parts))
