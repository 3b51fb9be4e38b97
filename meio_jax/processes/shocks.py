"""Rare events that lift or cut demand, and fade."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.processes.base import (
    Parameter,
    Process,
    as_process,
    both,
    random_words,
    rounded_if,
    rows_of,
    spread,
    switch_of,
)
from meio_jax.processes.inverse import tail, thresholds
from meio_jax.processes.normal import normal
from meio_jax.struct import pytree, static

__all__ = ["Shocked", "shocked"]


@pytree
class Shocked(Process):
    """base x (1 + s): s jumps to ``size`` now and then, else shrinks to decay x s (0: a spike, near 1: a shift)."""

    base: Process
    probability: Array  # [K, 1|B]
    size: Array  # [K, 1|B]
    decay: Array  # [K, 1|B]
    common: bool = static(default=True)
    rounded: bool = static(default=False)

    role = "demand"
    kind = "shocked"
    parameters: ClassVar = {
        "base": Parameter("demand process in quiet times", form="process"),
        "probability": Parameter("of an event in a period", high=1.0, open_low=True),
        "size": Parameter("change of demand in the period of the event, as a share", low=-1.0, high=1e3),
        "decay": Parameter("share of the change that is left a period later", high=1.0, open_high=True, default=0.0),
        "common": Parameter("events strike all rows at once", form="switch", default=True),
        "rounded": Parameter("whole units only", form="switch", default=False),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        base = normal([5.0, 1.0, 9.0], 1.0)
        return shocked(base, 0.05, 3.0, 0.9), shocked(
            base, [0.5, 0.1, 1.0], [-1.0, 2.0, 1.0], common=False, rounded=True
        )

    @property
    def rows(self) -> int:
        return self.base.rows

    def init(self, key: Array, lanes: int) -> Any:
        """The change in force in the long run: the last event is geometrically old. The key is consumed."""
        base_key, age_key = jax.random.split(key)
        u = tail(random_words(age_key, 1 if self.common else self.rows, lanes), self.size.dtype)
        age = jnp.floor(jnp.log(u) / jnp.log1p(-jnp.minimum(self.probability, 1.0 - 1e-7)))
        return self.base.init(base_key, lanes), self.size * self.decay**age

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        inner, change = carry
        base_key, event_key = jax.random.split(key)
        value, inner = self.base.sample(base_key, inner, t, lanes)
        word = random_words(event_key, 1 if self.common else self.rows, lanes)
        struck = word < thresholds(self.probability, 1.0 - self.probability)
        change = jnp.where(struck, self.size, self.decay * change)
        return rounded_if(self.rounded, value * (1.0 + change)), (inner, change)

    def _change(self) -> tuple[Array, Array]:
        """E s and E s^2, from s' = size with probability p, else decay s."""
        p, q = self.probability, 1.0 - self.probability
        return p * self.size / (1.0 - q * self.decay), p * self.size**2 / (1.0 - q * self.decay**2)

    def long_run_mean(self) -> Array | None:
        """Before rounding."""
        return both(lambda m: m * (1.0 + self._change()[0]), self.base.long_run_mean())

    def long_run_sd(self) -> Array | None:
        def sd(m: Array, s: Array) -> Array:
            first, second = self._change()
            return spread(m * (1.0 + first), (m**2 + s**2) * (1.0 + 2.0 * first + second))

        return both(sd, self.base.long_run_mean(), self.base.long_run_sd())


def shocked(
    base: Process, probability: Any, size: Any, decay: Any = 0.0, *, common: bool = True, rounded: bool = False
) -> Shocked:
    """Demand with rare events. A new event replaces what is left of the last one.

    Args:
      base: any demand process.
      probability: of an event in a period.
      size: 2 triples demand, -1 stops it.
      decay: share of the change left a period later, below 1.
      common: all rows of a lane are struck in the same period (they then share the probability).
      rounded: round the product to whole units, halves up.

    Raises:
      ParameterError, InputError: a number is out of its domain, or ``base`` is no demand process.
    """
    base = as_process("shocked", "base", base, "demand")
    numbers = rows_of("shocked", Shocked.parameters, base.rows, probability=probability, size=size, decay=decay)
    common, rounded = switch_of("shocked", "common", common), switch_of("shocked", "rounded", rounded)
    return Shocked(base, numbers["probability"], numbers["size"], numbers["decay"], common, rounded)
