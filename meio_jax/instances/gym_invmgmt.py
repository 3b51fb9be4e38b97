"""gym-invmgmt's environments, version 0.2.1: thirty periods of Poisson(20) demand, four stationary scenarios.

Published mean profits over ten seeds: arXiv 2605.11355. The event order is ``ship_first``: replenishment leaves from
the stock of the period's start, what cannot leave is lost, factories make to order from the feed that they hold; then
goods arrive and the market is served. docs/peers.md shows the physics equal to the environment's.

Factories start with feed, and a `Network` starts with stock and pipelines only. So these systems open one period
early: in the *opening* period nobody asks for anything and nothing can be shipped, and the feed arrives at its end.
Its costs do not count (`Problem.warmup` is 1), and period 1 begins exactly as the environment does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.instances.base import Instance, Known
from meio_jax.network import Network
from meio_jax.processes import Process, Processes, poisson, seasonal
from meio_jax.scenario import Scenario, scenario_of
from meio_jax.solvers.hindsight import hindsight
from meio_jax.solvers.laws import Poisson
from meio_jax.solvers.problem import Problem
from meio_jax.struct import pytree

__all__ = ["INSTANCES", "MEAN", "PERIODS", "Opening", "made_to_order", "opened", "problem", "published", "serial"]
__all__ += ["network"]

#: Mean of the Poisson demand of a period, and the horizon.
MEAN, PERIODS = 20.0, 30
SOURCE = "gym-invmgmt 0.2.1; arXiv 2605.11355"
#: Profit of 30 periods, mean over the ten published seeds. Columns: network and serial, each lost sales and backlog.
_PUBLISHED = {
    "hindsight": (842.0, 845.7, 1023.8, 1023.9),
    "informed multistage program": (809.1, 835.0, 986.5, 1006.3),
    "informed newsvendor": (744.0, 757.1, 856.9, 832.8),
    "best base-stock": (751.7, 765.9, 872.5, 881.6),
    "PPO (MLP)": (581.9, 588.1, 869.1, 855.2),
    "PPO (Transformer)": (587.0, 591.3, 769.9, 836.7),
    "residual RL": (762.4, 766.8, 871.6, 854.4),
    "SAC": (272.2, 276.4, -603.6, -603.3),
}
#: Demand of the 30 periods for each of the ten seeds (after "#"), as the environment draws it from ``reset(seed=)``;
#: the same in all four scenarios. Made by benchmarks/peers/from_gym_invmgmt_seeds.py.
_SEEDS = (
    "24 14 18 22 19 21 25 24 24 19 15 18 20 14 16 19 23 18 22 16 24 23 19 14 22 21 22 21 16 25",  # 42
    "22 16 15 28 20 25 23 28 24 16 20 15 20 28 16 23 17 12 16 15 20 14 21 25 17 20 21 19 20 29",  # 123
    "20 14 34 17 16 20 16 18 18 24 17 28 20 18 18 23 23 17 22 19 22 17 17 16 23 20 15 18 19 23",  # 456
    "13 22 12 24 21 23 19 20 26 15 21 19 25 22 16 20 17 8 20 26 16 17 13 18 16 23 14 27 9 25",  # 789
    "17 16 13 20 16 20 14 18 11 22 18 19 17 19 23 21 19 25 13 22 28 15 22 16 22 18 24 24 18 15",  # 1011
    "16 21 22 13 33 21 29 16 29 17 16 10 12 14 15 19 30 20 19 23 13 21 21 22 22 20 27 21 12 15",  # 2022
    "21 24 15 23 18 26 25 16 17 20 18 14 19 13 17 22 17 18 21 12 23 21 24 14 22 21 11 24 20 14",  # 3033
    "20 20 24 20 23 21 19 23 18 23 18 24 25 19 22 27 23 24 11 19 20 12 25 18 20 23 28 19 23 14",  # 4044
    "16 22 13 20 18 22 21 25 25 22 23 17 17 23 22 19 13 19 25 26 24 18 22 14 11 32 21 22 23 23",  # 5055
    "16 16 14 35 23 18 21 23 22 23 19 17 13 18 21 20 18 21 10 16 27 20 20 15 20 24 16 14 33 24",  # 6066
)
SCENARIOS = ("network-lost", "network-backlog", "serial-lost", "serial-backlog")

#: name: (initial stock, holding cost)
_NETWORK_STORES = {"1": (100, 0.030), "2": (110, 0.020), "3": (80, 0.015)}
#: name: (initial feed, holding cost, capacity, operating cost)
_NETWORK_FACTORIES = {"4": (400, 0.012, 90, 0.010), "5": (350, 0.013, 90, 0.015), "6": (380, 0.011, 80, 0.012)}
#: (source, destination, lead time, purchase price at suppliers outside, transit holding cost); "7", "8": outside.
#: What one node of the system pays to another cancels.
_NETWORK_LINKS = (
    ("2", "1", 5, 0.0, 0.010), ("3", "1", 3, 0.0, 0.015), ("4", "2", 8, 0.0, 0.008), ("4", "3", 10, 0.0, 0.006),
    ("5", "2", 9, 0.0, 0.005), ("6", "2", 11, 0.0, 0.007), ("6", "3", 12, 0.0, 0.004), ("7", "4", 0, 0.15, 0.0),
    ("7", "5", 1, 0.05, 0.005), ("8", "5", 2, 0.07, 0.002), ("8", "6", 0, 0.20, 0.0),
)  # fmt: skip
_SERIAL_STORES = {"1": (100, 0.03), "2": (100, 0.02)}
_SERIAL_FACTORIES = {"3": (200, 0.01, 100, 0.01)}
_SERIAL_LINKS = (("2", "1", 4, 0.0, 0.010), ("3", "2", 4, 0.0, 0.005), ("4", "3", 0, 0.5, 0.0))


@pytree
class Opening(Process):
    """No arc can ship in period 0; from then on all can. ``open_ [I, 1]`` is 1 and says how many arcs there are."""

    open_: Array

    role = "supply"
    kind = "opening"
    parameters: ClassVar = {}

    @property
    def memoryless(self) -> bool:
        return True

    def init(self, key: Array, lanes: int) -> Any:
        return ()

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        share = jnp.where(t == 0, 0.0, self.open_)
        return jnp.broadcast_to(share, (self.rows, lanes)), carry

    def long_run_mean(self) -> Array:
        return self.open_


def made_to_order(
    stores: Mapping[str, tuple[float, float]],
    factories: Mapping[str, tuple[float, float, float, float]],
    links: Sequence[tuple[str, str, int, float, float]],
    *,
    lost_sales: bool,
    price: float = 2.0,
    penalty: float = 0.1,
) -> Network:
    """Stores fed by factories that make to order, one market at the first store; feed arrives at the opening's end.

    Args:
      stores: initial stock and holding cost.
      factories: initial feed, holding cost (of feed and of goods), capacity, operating cost.
      links: source, destination, lead time, unit cost, transit holding cost; a source that is neither is outside.
      lost_sales: unmet demand is lost at ``penalty`` a unit; else it is kept at ``penalty`` a unit and period.
    """
    nodes = [Node(k, initial_on_hand=stock, holding_cost=h) for k, (stock, h) in stores.items()]
    nodes += [
        Node(k, holding_cost=h, capacity=most, operating_cost=cost, make_to_order=True)
        for k, (_, h, most, cost) in factories.items()
    ]
    unmet: dict[str, Any] = {"lost_cost" if lost_sales else "backlog_cost": penalty}
    arcs = [Arc(next(iter(stores)), CUSTOMER, "market", price=price, keep=0.0 if lost_sales else 1.0, **unmet)]
    for src, dst, lead, cost, transit in links:
        inside = src in stores or src in factories
        arcs.append(
            Arc(
                src if inside else OUTSIDE,
                dst,
                f"{src}>{dst}",
                lead_time=lead,
                unit_cost=cost,
                transit_holding_cost=transit,
                component_holding_cost=factories[dst][1] if dst in factories else 0.0,
                keep=0.0,
            )
        )
    built = build_network(nodes, arcs, timing="ship_first", allocation="priority")
    w = built.wiring
    pipeline = np.asarray(built.initial_pipeline).copy()
    for name, (feed, *_) in factories.items():
        pipeline[0, w.in_arcs[w.nodes.index(name)][0], 0] = feed
    return built.replace(initial_pipeline=jnp.asarray(pipeline))


def network(lost_sales: bool = False) -> Network:
    """The divergent environment: one market, three stores, three factories, eleven links."""
    return made_to_order(_NETWORK_STORES, _NETWORK_FACTORIES, _NETWORK_LINKS, lost_sales=lost_sales)


def serial(lost_sales: bool = False) -> Network:
    """The serial environment: two stores and a factory, lead times 4, 4 and 0."""
    return made_to_order(_SERIAL_STORES, _SERIAL_FACTORIES, _SERIAL_LINKS, lost_sales=lost_sales)


def opened(system: Network, demand: Any) -> Scenario:
    """Demand ``[T]``, ``[T, C]`` or ``[T, C, B]`` behind an opening period, ``T + 1`` periods in all."""
    x = np.asarray(demand, float)
    x = x[:, None] if x.ndim == 1 else x
    x = x[..., None] if x.ndim == 2 else x
    x = np.concatenate([np.zeros_like(x[:1]), x])
    available = np.ones((len(x), system.wiring.n_inner, 1))
    available[0] = 0.0
    return scenario_of(x, available=available)


def problem(system: Network, periods: int = PERIODS, mean: float = MEAN) -> Problem:
    """Total cost (profit is negative) of ``periods`` periods of Poisson demand after the opening."""
    w = system.wiring
    calendar = [[0.0] + [1.0] * periods] * w.n_customers
    demand = seasonal(poisson([mean] * w.n_customers), calendar)
    processes = Processes(demand=demand, supply=Opening(jnp.ones((w.n_inner, 1))))
    laws = (Poisson(mean),) * w.n_customers
    return Problem(system, processes, laws, criterion="total", periods=periods, warmup=1)


def published(scenario: str) -> dict[str, float]:
    """Published mean profit over the ten seeds, by method. ``scenario``: one of `SCENARIOS`."""
    column = SCENARIOS.index(scenario)
    return {what: profits[column] for what, profits in _PUBLISHED.items()}


def ten_seeds() -> np.ndarray:
    """Demand of the ten published seeds, ``[T, 1, 10]``."""
    return np.array([[float(x) for x in row.split()] for row in _SEEDS]).T[:, None]


def oracle(system: Network) -> float:
    """Mean hindsight cost on the ten seeds, of policies that, as in the environment, do not ration."""
    weights = np.concatenate([[0.0], np.ones(PERIODS)])
    return hindsight(system, opened(system, ten_seeds()), weights=weights, rationing=False, play=False).mean


def _known(what: str, profit: float, make: Callable[[], Network]) -> Known:
    note = "on ten given seeds, not on fresh draws: python -m experiments.planners plays these"
    if what == "hindsight":
        return Known(what, -profit, SOURCE, "V", 0.05, compute=lambda: oracle(make()), note=note)
    return Known(what, -profit, SOURCE, "T", 0.05, note=note)


def _instance(scenario: str) -> Instance:
    kind, unmet = scenario.split("-")
    build = {"network": network, "serial": serial}[kind]

    def make() -> Network:
        return build(lost_sales=unmet == "lost")

    return Instance(
        id=f"gym_invmgmt/{scenario}",
        family="gym_invmgmt",
        title=f"gym-invmgmt's {kind} environment, {'lost sales' if unmet == 'lost' else 'backlog'}",
        timing="ship_first",
        source=SOURCE,
        make=lambda: problem(make()),
        known=tuple(_known(what, profit, make) for what, profit in published(scenario).items()),
    )


INSTANCES: tuple[Instance, ...] = tuple(map(_instance, SCENARIOS))
