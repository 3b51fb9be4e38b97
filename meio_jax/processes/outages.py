"""Sources that fail and are repaired."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from meio_jax.processes.base import Parameter, Process, random_words, rows_of
from meio_jax.processes.inverse import thresholds
from meio_jax.struct import pytree

__all__ = ["Outages", "outages"]


@pytree
class Outages(Process):
    """Up (1) or down (0): an arc that is up fails with probability ``fail``, one that is down is up with ``repair``."""

    fail: Array  # [I, 1|B]
    repair: Array  # [I, 1|B]

    role = "supply"
    kind = "outages"
    parameters: ClassVar = {
        "fail": Parameter("probability that an arc that is up is down in the next period", high=1.0),
        "repair": Parameter("probability that an arc that is down is up in the next period", high=1.0, open_low=True),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return (outages([0.1, 0.0, 0.5], [0.4, 1.0, 0.5]),)

    def init(self, key: Array, lanes: int) -> tuple[Array, Array, Array]:
        """Thresholds of staying up and of repair, and who is up in the long run. The key is consumed."""
        up = self.long_run_mean()
        word = random_words(key, self.rows, lanes)
        return (
            thresholds(1.0 - self.fail, self.fail),
            thresholds(self.repair, 1.0 - self.repair),
            word < thresholds(up, self.fail / (self.fail + self.repair)),
        )

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        stays, repaired, up = carry
        up = random_words(key, self.rows, lanes) < jnp.where(up, stays, repaired)
        return up.astype(self.fail.dtype), (stays, repaired, up)

    def long_run_mean(self) -> Array:
        """Availability: repair / (fail + repair)."""
        return self.repair / (self.fail + self.repair)

    def long_run_sd(self) -> Array:
        up = self.long_run_mean()
        return jnp.sqrt(up * (1.0 - up))


def outages(fail: Any, repair: Any) -> Outages:
    """Outages of inner arcs: independent two-state Markov chains, started from their stationary distribution.

    Times up and down are geometric with means 1 / fail and 1 / repair periods.

    Raises:
      ParameterError: a probability is out of [0, 1], or ``repair`` is 0.
    """
    return Outages(**rows_of("outages", Outages.parameters, fail=fail, repair=repair))
