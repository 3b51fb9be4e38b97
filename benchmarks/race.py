"""The race: the library's `rollout` against hand-written Numba kernels of the same physics, on the same cores.

    python -m benchmarks.race [--quick] [--only serial,tree] [--lanes 8192] [--json FILE]

Both sides are played in turns (A B A B ...) in one process, so that other load on the machine meets both; what counts is
the median of the ratios of neighbours. Both draw their own demand. A node-step is one node in one period in one lane.
The race informs, it never fails for slowness.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.kpis import tally, total_cost
from meio_jax.network import Network
from meio_jax.policies.base_stock import BaseStock
from meio_jax.processes import Processes, discrete, normal
from meio_jax.rollout import rollout
from meio_jax.topologies import assembly, serial, tree

MEAN, SD, BACKLOG = 5.0, 1.0, 20.0
LEAD_TIMES = (1, 2, 3, 4)
MEASURES = {"total_cost": total_cost, "tally": tally}


@dataclasses.dataclass(frozen=True)
class Case:
    """One system on both sides. ``levels`` and ``holding`` are per node."""

    name: str
    network: Network
    levels: tuple[float, ...]
    target: float
    crossing: bool = False
    measure: str = "total_cost"

    @property
    def theta(self) -> dict[str, jax.Array]:
        of_input = [self.levels[n] for n in self.network.wiring.node_of_input]
        return {"level": jnp.asarray(of_input)[:, None]}

    @property
    def processes(self) -> Processes:
        customers = self.network.wiring.n_customers
        demand = normal([MEAN] * customers, [SD] * customers)
        if not self.crossing:
            return Processes(demand=demand)
        lead = discrete([list(LEAD_TIMES)] * self.network.wiring.n_inner, [[0.25] * 4] * self.network.wiring.n_inner)
        return Processes(demand=demand, lead_time=lead)

    def kernel(self, lanes: int, periods: int, demand: Any = None, lead_time: Any = None, seed: int = 1) -> np.ndarray:
        """Total cost of each lane from the Numba kernel; draws where no ``demand [T, C, B]`` is given."""
        from benchmarks import kernels

        f = np.float32
        none = np.zeros((0, 1, 1), f)
        numbers = [np.asarray(self.levels, f), np.asarray(self.network.holding_cost, f)[:, 0], f(BACKLOG), f(MEAN), f(SD)]
        given = none if demand is None else np.ascontiguousarray(demand, f)
        if not self.crossing:
            return getattr(kernels, self.name.split()[0])(*numbers, given, lanes, periods, seed)
        cumulative = np.asarray([0.25, 0.5, 0.75], f)
        leads = none.astype(np.int32) if lead_time is None else np.ascontiguousarray(lead_time, np.int32)
        return kernels.crossing(*numbers, cumulative, given, leads, lanes, periods, seed)

    def library(self, lanes: int, periods: int, source: Any = None, key: int = 1, block: Any = None) -> Any:
        """The totals of the measure from `rollout`; over ``source`` if given, else over fresh draws."""
        return rollout(
            self.network, BaseStock(cascade=True), self.theta, self.processes if source is None else source,
            jax.random.key(key), periods=periods, lanes=lanes, measure=MEASURES[self.measure], block=block,
        ).totals  # fmt: skip


def all_cases() -> list[Case]:
    rules = {"timing": "demand_first", "backlog_cost": BACKLOG}
    line = {"holding_cost": [1.0, 2.0, 3.0, 4.0], **rules}
    wide = {"lead_time": 2, "min_lead_time": min(LEAD_TIMES), "max_lead_time": max(LEAD_TIMES)}
    bush, kit = (240.0, *[60.0] * 4, *[16.0] * 16), (15.0,) * 7
    straight = serial(4, lead_time=2, initial_on_hand=15.0, **line)
    trees = tree((4, 4), lead_time=2, holding_cost=[1.0, 2.0, 3.0], initial_on_hand=[240.0, 60.0, 16.0], **rules)
    kits = assembly((2, 2), lead_time=2, holding_cost=[1.0, 2.5, 6.0], initial_on_hand=15.0, **rules)
    return [
        Case("serial", straight, (15.0,) * 4, 1.0),
        Case("serial with all measures", straight, (15.0,) * 4, 1.0, measure="tally"),
        Case("tree", trees, bush, 1.0),
        Case("assembly", kits, kit, 1.0),
        Case("crossing", serial(4, initial_on_hand=20.0, **wide, **line), (20.0,) * 4, 0.5, crossing=True),
    ]
