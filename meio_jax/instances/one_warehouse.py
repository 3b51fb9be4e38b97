"""One warehouse with retailers: Kaynov et al.'s cases in which the retailers keep or lose what they cannot serve.

Four more cases of theirs and the three of Van Roy et al. are in `meio_jax.instances.special_delivery`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from meio_jax.instances.base import Instance, Known
from meio_jax.processes import Process, Processes, discrete_uniform, mixed, normal, poisson
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.process_laws import laws_of
from meio_jax.topologies import distribution

__all__ = ["INSTANCES", "KAYNOV", "PERIODS", "demand_of", "kaynov", "published"]

KAYNOV = (
    "Kaynov, van Knippenberg, Menkovski, van Breemen and van Jaarsveld, International Journal of Production Economics "
    "267, 2024, Table A.3, doi:10.1016/j.ijpe.2023.109088"
)
PERIODS = 100
#: What the cost of an instance can be compared with, and how far.
_NOTE = "the start state is not printed; reproductions elsewhere differ by 1 to 6 %"

_THREE = [("poisson", 3)] * 3
_MIXED = [("normal", 1, 5), ("normal", 5, 1), ("poisson", 0.5)]


class _Case(NamedTuple):
    unmet: str
    warehouse: int  # lead times
    retailers: tuple[int, ...]
    demand: Sequence[tuple]
    proportional: float  # published costs over 100 periods, a mean of 1,000 replications
    min_shortage: float
    ppo: float


_CASES = {
    1: _Case("kept", 2, (1, 1, 1), _THREE, 1655.51, 1609.47, 1637.20),
    2: _Case("kept", 2, (1, 1, 1), [("uniform", 0, 6), ("normal", 3, 1), ("poisson", 3)], 1383.88, 1426.84, 1417.46),
    3: _Case("kept", 2, (1, 1, 1), _MIXED, 1776.04, 1800.50, 1731.67),
    4: _Case("kept", 2, (1, 2, 3), _THREE, 1858.93, 1857.30, 1908.95),
    5: _Case("kept", 5, (3, 3, 3), _MIXED, 2246.84, 2306.89, 2331.07),
    6: _Case("lost", 1, (1, 1, 1), _THREE, 1373.91, 1366.51, 1347.34),
    7: _Case("lost", 2, (1, 1, 1), _THREE, 1406.27, 1408.08, 1405.08),
    8: _Case("lost", 5, (1, 1, 1), _THREE, 1508.12, 1516.67, 1495.49),
    9: _Case("lost", 2, (1, 2, 3), _THREE, 1535.96, 1561.56, 1511.68),
    10: _Case("lost", 5, (3, 3, 3), _MIXED, 1736.55, 1741.60, 1674.54),
}


def demand_of(rows: Sequence[tuple]) -> Process:
    """Demand of each retailer from its kind and numbers; normal demand is rounded and cut off at 0."""
    kinds: dict[str, Callable[..., Process]] = {
        "poisson": poisson,
        "uniform": discrete_uniform,
        "normal": lambda mean, sd: normal(mean, sd, rounded=True),
    }
    return mixed([(kinds[kind](*numbers), k) for k, (kind, *numbers) in enumerate(rows)])


def published(proportional: float, min_shortage: float, ppo: float) -> tuple[Known, ...]:
    """Costs of echelon base-stock with either allocation, its levels tuned, and of the paper's PPO."""
    source = "Kaynov et al. 2024"
    return (
        Known("echelon base-stock, proportional", proportional, source, "T", 0.005, note=_NOTE),
        Known("echelon base-stock, min-shortage", min_shortage, source, "T", 0.005, note=_NOTE),
        Known("PPO", ppo, source, "T", 0.005, note=_NOTE),
    )


def kaynov(case: int) -> Instance:
    """Case 1 to 10: a warehouse (holding cost 0.5) and three retailers (1 each), total cost of 100 periods.

    A unit that a retailer cannot serve costs 9, in each period that it waits (cases 1 to 5) or once, when it is lost (6
    to 10). What arrives is there for the period's orders, and demand comes after them (``order_first``). All pipelines
    start with a mean demand in each place, retailers with the mean demand of their lead time and a period more, the
    warehouse empty.
    """
    c = _CASES[case]

    def make() -> Problem:
        process = demand_of(c.demand)
        laws, _ = laws_of(process, whole=True)
        mean = [law.mean for law in laws]
        unmet = {"backlog_cost": 9.0} if c.unmet == "kept" else {"keep": 0.0, "lost_cost": 9.0}
        network = distribution(
            3, lead_time=[c.warehouse, *c.retailers], holding_cost=[0.5, 1.0], integer=True,
            initial_on_hand=[0, *(round(m * (t + 1)) for m, t in zip(mean, c.retailers, strict=True))],
            initial_pipeline=[round(sum(mean)), *(round(m) for m in mean)], **unmet,
        )  # fmt: skip
        return Problem(network, Processes(demand=process), laws, criterion="total", periods=PERIODS)

    title = f"warehouse and 3 retailers, unmet demand {c.unmet}, lead times {c.warehouse} and {c.retailers}"
    known = published(c.proportional, c.min_shortage, c.ppo)
    return Instance(f"kaynov/case_{case}", "kaynov", title, "order_first", KAYNOV, make, known)


INSTANCES: tuple[Instance, ...] = tuple(map(kaynov, _CASES))
