"""Markov-modulated demand and lead times: hidden regimes, each with a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.processes.base import Parameter, Process, as_process, both, random_words, spread, switch_of
from meio_jax.processes.chain import TRANSITION, chain_of, chain_tables, first_state, next_state, stationary
from meio_jax.processes.counts import poisson
from meio_jax.processes.lead_time import discrete, fixed, in_order
from meio_jax.processes.normal import normal
from meio_jax.struct import pytree, static

__all__ = ["MarkovDemand", "MarkovLeadTime", "markov_demand", "markov_lead_time"]


@pytree
class _Regimes(Process):
    """Values of the process of the regime that is in force."""

    regimes: tuple[Process, ...]
    transition: Array  # [R, R, 1|B]
    common: bool = static(default=True)

    @property
    def rows(self) -> int:
        return self.regimes[0].rows

    def init(self, key: Array, lanes: int) -> Any:
        """A regime from the stationary distribution, and the states of all regimes. The key is consumed."""
        chain_key, *keys = jax.random.split(key, 1 + len(self.regimes))
        tables = chain_tables(self.transition)
        # One period before the first: the first `sample` moves on.
        state = first_state(tables, random_words(chain_key, 1 if self.common else self.rows, lanes))
        return tables, state, tuple(p.init(k, lanes) for p, k in zip(self.regimes, keys, strict=True))

    def _sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        tables, state, inner = carry
        if all(p.invertible for p in self.regimes):
            chain_key, key = jax.random.split(key)
            word = random_words(key, self.rows, lanes)  # one is enough: only one regime is in force
            values = [p.invert(c, word, t) for p, c in zip(self.regimes, inner, strict=True)]
        else:
            chain_key, *keys = jax.random.split(key, 1 + len(self.regimes))
            drawn = [p.sample(k, c, t, lanes) for p, k, c in zip(self.regimes, keys, inner, strict=True)]
            values, inner = [v for v, _ in drawn], tuple(c for _, c in drawn)
        state = next_state(tables, state, random_words(chain_key, *state.shape))
        value = values[0]
        for regime in range(1, len(values)):
            value = jnp.where(state == regime, values[regime], value)
        return value, (tables, state, inner)

    def long_run_mean(self) -> Array | None:
        def mean(*m: Array) -> Array:
            share = stationary(self.transition)
            return sum(s[None] * x for s, x in zip(share, m, strict=True))

        return both(mean, *(p.long_run_mean() for p in self.regimes))

    def long_run_sd(self) -> Array | None:
        def sd(*moments: Array) -> Array:
            share, n = stationary(self.transition), len(self.regimes)
            first = sum(s[None] * m for s, m in zip(share, moments[:n], strict=True))
            second = sum(s[None] * (m**2 + d**2) for s, m, d in zip(share, moments[:n], moments[n:], strict=True))
            return spread(first, second)

        return both(sd, *(p.long_run_mean() for p in self.regimes), *(p.long_run_sd() for p in self.regimes))


@pytree
class MarkovDemand(_Regimes):
    """Demand whose distribution follows a hidden Markov chain (Song and Zipkin 1993, doi:10.1287/opre.41.2.351)."""

    role = "demand"
    kind = "markov_demand"
    parameters: ClassVar = {
        "regimes": Parameter("demand process of each regime", form="processes"),
        "transition": TRANSITION,
        "common": Parameter("all rows are in the same regime", form="switch", default=True),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        chain = [[0.9, 0.1], [0.3, 0.7]]
        low, high = [1.0, 2.0, 3.0], [9.0, 2.0, 30.0]
        return (
            markov_demand([poisson(low), poisson(high)], chain),
            markov_demand([normal(low, 1.0), poisson(high)], chain, common=False),
        )

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        return self._sample(key, carry, t, lanes)


@pytree
class MarkovLeadTime(_Regimes):
    """Lead times whose distribution follows a hidden Markov chain: non-stationary, as in congestion."""

    crossing: bool = static(default=True)

    role = "lead_time"
    kind = "markov_lead_time"
    parameters: ClassVar = {
        "regimes": Parameter("lead time process of each regime", form="processes"),
        "transition": TRANSITION,
        "common": Parameter("all arcs are in the same regime", form="switch", default=True),
        "crossing": Parameter("a later order may arrive earlier", form="switch", default=True),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        regimes = [fixed([1, 2, 0]), discrete([[3, 4], [2, 5], [0, 1]], [[0.5, 0.5], [0.1, 0.9], [0.3, 0.7]])]
        chain = [[0.9, 0.1], [0.3, 0.7]]
        return markov_lead_time(regimes, chain), markov_lead_time(regimes, chain, common=False, crossing=False)

    def init(self, key: Array, lanes: int) -> Any:
        return super().init(key, lanes), None if self.crossing else jnp.zeros((self.rows, lanes), jnp.int32)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        inner, previous = carry
        value, inner = self._sample(key, inner, t, lanes)
        value, previous = in_order(value, previous)
        return value, (inner, previous)

    def long_run_mean(self) -> Array | None:
        """Of the lead times drawn; where orders may not cross, what is effective is longer."""
        return super().long_run_mean() if self.crossing else None

    def long_run_sd(self) -> Array | None:
        return super().long_run_sd() if self.crossing else None

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = zip(*(p.support() for p in self.regimes), strict=True)
        return np.minimum.reduce(np.broadcast_arrays(*low)), np.maximum.reduce(np.broadcast_arrays(*high))


def _parts(kind: str, regimes: Sequence[Process], role: str) -> tuple[Process, ...]:
    parts = tuple(as_process(kind, f"regime {i}", p, role) for i, p in enumerate(regimes))
    if not parts:
        raise InputError(f"{kind}: give at least one regime")
    if len({p.rows for p in parts}) > 1:
        raise InputError(f"{kind}: the regimes serve different numbers of rows: {[p.rows for p in parts]}")
    return parts


def markov_demand(regimes: Sequence[Process], transition: Any, *, common: bool = True) -> MarkovDemand:
    """Markov-modulated demand, started from the stationary distribution of its regimes.

    Args:
      regimes: a demand process for each; all of them serve the same rows.
      transition: ``[R, R]``, or ``[R, R, B]`` with one matrix a lane; each row sums to 1.
      common: the rows of a lane share the regime; else each row has a chain of its own.

    Raises:
      ParameterError: the matrix is no irreducible transition matrix.
      InputError: a regime is no demand process, or the regimes serve different rows.
    """
    kind = "markov_demand"
    parts = _parts(kind, regimes, "demand")
    return MarkovDemand(parts, chain_of(kind, transition, len(parts)), switch_of(kind, "common", common))


def markov_lead_time(
    regimes: Sequence[Process], transition: Any, *, common: bool = True, crossing: bool = True
) -> MarkovLeadTime:
    """Markov-modulated lead times, started from the stationary distribution of the regimes.

    Args:
      regimes: lead time processes, `fixed` or `discrete`; all of them serve the same arcs.
      transition: ``[R, R]``, or ``[R, R, B]`` with one matrix a lane; each row sums to 1.
      common: the arcs of a lane share the regime; else each arc has a chain of its own.
      crossing: False delays an order so that it never overtakes the one before.

    Raises:
      ParameterError: the matrix is no irreducible transition matrix.
      InputError: a regime is no lead time process, or the regimes serve different arcs.
    """
    kind = "markov_lead_time"
    parts = _parts(kind, regimes, "lead_time")
    options = {"common": switch_of(kind, "common", common), "crossing": switch_of(kind, "crossing", crossing)}
    return MarkovLeadTime(parts, chain_of(kind, transition, len(parts)), **options)
