"""Demand that occurs in some periods only, with a size of any distribution."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.processes.base import Parameter, Process, as_process, both, random_words, rows_of, spread
from meio_jax.processes.gamma import gamma
from meio_jax.processes.geometric import geometric
from meio_jax.processes.inverse import thresholds
from meio_jax.struct import pytree

__all__ = ["Intermittent", "intermittent"]


@pytree
class Intermittent(Process):
    """With probability p: shift + size; else 0."""

    size: Process
    probability: Array  # [K, 1|B]
    shift: Array  # [K, 1|B]

    role = "demand"
    kind = "intermittent"
    parameters: ClassVar = {
        "size": Parameter("demand process of the size, where there is demand", "unit", form="process"),
        "probability": Parameter("probability that a period has demand", high=1.0),
        "shift": Parameter("added to the size: 1 makes a size that counts from 0 start at 1", "unit", default=0.0),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (
            intermittent(geometric([4.0, 1.0, 0.0]), [0.2, 1.0, 0.01], shift=1),
            intermittent(gamma([4.0, 1.0, 9.0], 0.5), [0.2, 0.5, 0.0]),
        )

    @property
    def rows(self) -> int:
        return self.size.rows

    @property
    def memoryless(self) -> bool:
        return self.size.memoryless

    @property
    def invertible(self) -> bool:
        return self.size.invertible

    def init(self, key: Array, lanes: int) -> Any:
        return thresholds(self.probability, 1.0 - self.probability), self.size.init(key, lanes)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        if self.invertible:
            return self.invert(carry, random_words(key, self.rows, lanes), t), carry
        occurs, inner = carry
        occurs_key, size_key = jax.random.split(key)
        size, inner = self.size.sample(size_key, inner, t, lanes)
        word = random_words(occurs_key, self.rows, lanes)
        return jnp.where(word < occurs, size + self.shift, 0.0), (occurs, inner)

    def invert(self, carry: Any, word: Array, t: Array) -> Array:
        occurs, inner = carry
        p = jnp.maximum(self.probability, 2.0**-32)
        # The word of the size, uniform again given that there is demand. Small words keep their resolution.
        part = jnp.minimum(word.astype(p.dtype) / p, 2.0**32 - 256.0).astype(jnp.uint32)
        part = jnp.where(self.probability >= 1.0, word, part)
        return jnp.where(word < occurs, self.size.invert(inner, part, t) + self.shift, 0.0)

    def long_run_mean(self) -> Array | None:
        return both(lambda m: self.probability * (m + self.shift), self.size.long_run_mean())

    def long_run_sd(self) -> Array | None:
        def sd(m: Array, s: Array) -> Array:
            m = m + self.shift
            return spread(self.probability * m, self.probability * (s**2 + m**2))

        return both(sd, self.size.long_run_mean(), self.size.long_run_sd())


def intermittent(size: Process, probability: Any, shift: Any = 0.0) -> Intermittent:
    """Intermittent demand: independent of the past, a period has demand with the given probability.

    Args:
      size: any demand process; with ``geometric`` and ``shift=1`` the classic model of spare parts.
      probability: of demand in a period: a number, one per row, or ``[K, B]``.
      shift: units added to the size.

    Raises:
      ParameterError: a number is out of its domain, or serves another number of rows than ``size``.
      InputError: ``size`` is no demand process.
    """
    size = as_process("intermittent", "size", size, "demand")
    numbers = rows_of("intermittent", Intermittent.parameters, size.rows, probability=probability, shift=shift)
    return Intermittent(size, **numbers)
