"""Reports of the nodes that reach the planner late, or never."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.processes.base import Parameter, Process, as_process, random_words, rows_of
from meio_jax.processes.inverse import thresholds
from meio_jax.processes.lead_time import discrete, fixed
from meio_jax.struct import pytree, static

__all__ = ["Reports", "oldest_report", "reports"]

_NONE = 1 << 30  # older than any report


@pytree
class Reports(Process):
    """Age of the newest report that the planner has of each node.

    Each node reports in each period. The report of period t becomes visible in t + delay, unless it is missing. The
    planner knows period 0. Values are int32, 0 is up to date:
    age(t) = min(age(t - 1) + 1, ages of the reports that arrive in t).
    """

    delay: Process  # lead-time process with N rows
    missing: Array  # [N, 1|B]
    longest: int = static(default=0)

    role = "reporting"
    kind = "reports"
    parameters: ClassVar = {
        "delay": Parameter("delay of a report: a number or a lead time process", "period", form="process", default=0),
        "missing": Parameter("probability that a report never arrives", high=1.0, open_high=True, default=0.0),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        random = discrete([[0, 1, 5], [2], [3, 1]], [[0.2, 0.3, 0.5], [1.0], [0.5, 0.5]])
        return reports(2, [0.0, 0.1, 0.9]), reports(random, [0.0, 0.5, 0.1])

    @property
    def rows(self) -> int:
        return self.delay.rows

    def init(self, key: Array, lanes: int) -> Any:
        """State of the delays, age, and age of the youngest report ``[longest + 1, N, B]`` by periods to go."""
        age = jnp.full((self.rows, lanes), -1, jnp.int32)
        return self.delay.init(key, lanes), age, jnp.full((self.longest + 1, self.rows, lanes), _NONE, jnp.int32)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        inner, age, under_way = carry
        delay_key, missing_key = jax.random.split(key)
        delay, inner = self.delay.sample(delay_key, inner, t, lanes)
        lost = random_words(missing_key, self.rows, lanes) < thresholds(self.missing, 1.0 - self.missing)
        slot = jnp.arange(self.longest + 1, dtype=jnp.int32)[:, None, None]
        sent = jnp.where((slot == delay.astype(jnp.int32)[None]) & ~lost[None], slot, _NONE)
        under_way = jnp.minimum(under_way, sent)
        age = jnp.minimum(age + 1, under_way[0])
        under_way = jnp.concatenate([under_way[1:], jnp.full_like(under_way[:1], _NONE)])
        return age, (inner, age, under_way)


def reports(delay: Any = 0, missing: Any = 0.0) -> Reports:
    """Late and missing reports, independent between nodes.

    Args:
      delay: whole periods, a number or one per node; or any lead time process, which is then drawn for each report.
      missing: probability that a report never arrives: a number, one per node, or ``[N, B]``.

    Raises:
      ParameterError: a number is out of its domain.
      InputError: ``delay`` is no lead time process.
    """
    table = Reports.parameters
    if not isinstance(delay, Process):
        chance = rows_of("reports", table, missing=missing)["missing"]
        periods = rows_of("reports", {"delay": FIXED}, delay=delay)["delay"]
        if periods.shape[-2] == 1:
            periods = jnp.repeat(periods, chance.shape[-2], axis=-2)
        delay = fixed(periods)
    delay = as_process("reports", "delay", delay, "lead_time")
    chance = rows_of("reports", table, delay.rows, missing=missing)["missing"]
    return Reports(delay, chance, int(np.max(delay.support()[1])))


FIXED = Parameter("periods until a report is visible", "period", high=512, whole=True)


def oldest_report(process: Process | None) -> int:
    """How old a report can get that is worth remembering: the longest delay, and some more where reports get lost.

    0 where reports are prompt. Reads the leaves.
    """
    if process is None:
        return 0
    oldest = 1
    for part in jax.tree.leaves(process, is_leaf=lambda x: isinstance(x, Reports)):
        if isinstance(part, Reports):
            lost = float(np.max(np.asarray(part.missing)))
            again = math.ceil(math.log(1e-3) / math.log(lost)) if lost > 0 else 0
            oldest = max(oldest, part.longest + min(again, 32))
    return oldest
