"""The race: the library's `rollout` against hand-written Numba kernels of the same physics, on the same cores.

    python -m benchmarks.race [--quick] [--only serial,tree]

All are played in turns (A B C A B C ...) in one process, so that other load on the machine meets all of them; what
counts is the median of the ratios of neighbours. All draw their own demand. The kernels play twice: with
`numpy.random`, as one writes it, which is what the target is set against, and with a small generator of their own
("tuned"). A node-step is one node in one period in one lane. The race informs; it never fails for slowness.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
BLOCK = 512
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

    def kernel(
        self, lanes: int, periods: int, demand: Any = None, lead_time: Any = None, quick: bool = False
    ) -> np.ndarray:
        """Total cost of each lane from the Numba kernel; draws where no ``demand [T, C, B]`` is given."""
        from benchmarks import kernels

        f = np.float32
        none = np.zeros((0, 1, 1), f)
        holding = np.asarray(self.network.holding_cost, f)[:, 0]
        numbers = [np.asarray(self.levels, f), holding, f(BACKLOG), f(MEAN), f(SD)]
        given = none if demand is None else np.ascontiguousarray(demand, f)
        if not self.crossing:
            return getattr(kernels, self.name.split()[0])(*numbers, given, lanes, periods, 1, quick)
        cumulative = np.asarray([0.25, 0.5, 0.75], f)
        leads = none.astype(np.int32) if lead_time is None else np.ascontiguousarray(lead_time, np.int32)
        return kernels.crossing(*numbers, cumulative, given, leads, lanes, periods, 1, quick)

    def library(self, lanes: int, periods: int, source: Any = None, block: int | None = None) -> Any:
        """The totals of the measure from `rollout`; over ``source`` if given, else over fresh draws."""
        return rollout(
            self.network, BaseStock(cascade=True), self.theta, self.processes if source is None else source,
            jax.random.key(1), periods=periods, lanes=lanes, measure=MEASURES[self.measure], block=block,
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


class Result(NamedTuple):
    """One case: millions of node-steps a second of each side, and the library's ratios to the two kernels.

    ``cpu``, ``cpu_tuned``: the ratios of processor time, which other load on the machine hardly moves.
    """

    case: str
    nodes: int
    library: float
    numba: float
    tuned: float
    ratio: float
    low: float
    high: float
    ratio_tuned: float
    low_tuned: float
    high_tuned: float
    cpu: float
    cpu_tuned: float
    target: float
    compile_s: float


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def race(case: Case, lanes: int, periods: int, repetitions: int) -> Result:
    """Median and range of the ratios of neighbours; the best time of each side gives its speed."""
    sides: list[Callable[[], Any]] = [
        lambda: case.library(lanes, periods, block=BLOCK),
        lambda: case.kernel(lanes, periods),
        lambda: case.kernel(lanes, periods, quick=True),
    ]
    first = [seconds(side) for side in sides]
    times, busy = np.zeros((2, repetitions, len(sides)))
    for k in range(repetitions):
        for i, side in enumerate(sides):
            before = time.process_time()
            times[k, i] = seconds(side)
            busy[k, i] = time.process_time() - before
    nodes = case.network.wiring.n_nodes
    speed = nodes * lanes * periods / times.min(0) / 1e6
    plain, tuned = times[:, 1] / times[:, 0], times[:, 2] / times[:, 0]
    ranges = [f(x) for x in (plain, tuned) for f in (np.median, np.min, np.max)]
    cpu = [np.median(busy[:, i] / busy[:, 0]) for i in (1, 2)]
    took = first[0] - float(np.median(times[:, 0]))
    return Result(case.name, nodes, *(float(x) for x in (*speed, *ranges, *cpu)), case.target, took)


def run_race(quick: bool = False, only: Sequence[str] = ()) -> list[Result]:
    """All cases, each result printed as it comes."""
    lanes, periods, repetitions = (4_096, 200, 5) if quick else (8_192, 500, 15)
    print(f"{lanes} lanes in blocks of {BLOCK}, {periods} periods, {repetitions} rounds")
    print("millions of node-steps a second; ratios are medians, with their range")
    heads = ("case", "library", "numba", "tuned", "ratio", "ratio to tuned", "processor time", "target", "compile")
    print("{:26}{:>8}{:>7}{:>7}{:>19}{:>19}{:>16}{:>8}{:>9}".format(*heads))
    results = []
    for case in all_cases():
        if only and case.name.split()[0] not in only:
            continue
        r = race(case, lanes, periods, repetitions)
        plain = f"{r.ratio:.2f} ({r.low:.2f}-{r.high:.2f})"
        tuned = f"{r.ratio_tuned:.2f} ({r.low_tuned:.2f}-{r.high_tuned:.2f})"
        speeds = f"{r.library:8.0f}{r.numba:7.0f}{r.tuned:7.0f}"
        cpu = f"{r.cpu:.2f}, {r.cpu_tuned:.2f}"
        print(f"{r.case:26}{speeds}{plain:>19}{tuned:>19}{cpu:>16}{r.target:8.1f}{r.compile_s:8.1f}s", flush=True)
        results.append(r)
    return results


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer lanes, periods and rounds")
    parser.add_argument("--only", default="", help="names of cases, separated by commas")
    args = parser.parse_args(argv)
    try:
        import numba  # noqa: F401
    except ImportError:
        print("the race needs Numba: pip install 'meio-jax[bench]'")
        return 0
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured here
    run_race(args.quick, [x for x in args.only.split(",") if x])
    return 0


if __name__ == "__main__":
    sys.exit(main())
