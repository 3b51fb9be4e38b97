"""The families of HDPO (Alvo, Russo and Kanoria, "Neural inventory control in networks via hindsight differentiable
policy optimization", 2023): one store, four stages in series, transshipment, one warehouse with stores that lose sales.

Orders precede demand (``order_first``), nothing is paid for stock in transit. Where stores differ, their numbers are
drawn from the seeds that the authors published with their settings, by the same NumPy generator, rounded as there.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from meio_jax.instances.base import Instance, Known
from meio_jax.processes import Processes, correlated, normal
from meio_jax.solvers.federgruen_zipkin import federgruen_zipkin
from meio_jax.solvers.laws import Normal, clipped_normal
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import distribution, serial

__all__ = ["INSTANCES", "Stores", "serial_system", "store", "stores", "transshipment", "warehouse"]

SOURCE = "Alvo, Russo and Kanoria, 2023, arXiv:2306.11246"
PENALTIES = (4, 9, 19, 39)

#: Optimal costs computed apart from this package: (lead time, penalty) -> money per period.
_STORE = {(4, 4): 5.0062, (4, 9): 6.2769, (10, 4): 7.4245, (10, 9): 9.3091}
_SERIAL = {(4, 4): 8.7525, (4, 9): 10.7339}
#: Federgruen and Zipkin's bound per store, computed apart: (stores, correlation, lead time, penalty).
_BOUND = {(3, 0.0, 2, 4): 5.1514, (3, 0.0, 2, 9): 6.4585, (3, 0.5, 2, 4): 5.7537, (3, 0.5, 2, 9): 7.2136}


def store(lead: int, penalty: int) -> Instance:
    """One store that keeps unmet demand: N(5, 1.6) cut off at 0, holding cost 1."""

    def make() -> Problem:
        law = clipped_normal(5, 1.6)
        network = serial(
            1, lead_time=lead, holding_cost=1.0, backlog_cost=penalty, initial_on_hand=5, initial_pipeline=5
        )
        return Problem(network, Processes(demand=normal(5, 1.6)), (law,))

    known = _known(_STORE.get((lead, penalty)), "base_stock")
    title = f"one store, lead time {lead}, p = {penalty}"
    return Instance(f"hdpo_store/L{lead}_p{penalty}", "hdpo_store", title, "order_first", SOURCE, make, known)


def serial_system(lead: int, penalty: int) -> Instance:
    """Four stages in series: N(5, 2) cut off at 0, holding costs 0.1, 0.2, 0.5, 1, lead times 2, 4, 3 and ``lead``."""

    def make() -> Problem:
        law = clipped_normal(5, 2)
        network = serial(
            4, lead_time=[2, 4, 3, lead], holding_cost=[0.1, 0.2, 0.5, 1.0], backlog_cost=penalty,
            initial_on_hand=5, initial_pipeline=5,
        )  # fmt: skip
        return Problem(network, Processes(demand=normal(5, 2)), (law,))

    known = _known(_SERIAL.get((lead, penalty)), "clark_scarf")
    title = f"four stages in series, the store's lead time {lead}, p = {penalty}"
    return Instance(f"hdpo_serial/L{lead}_p{penalty}", "hdpo_serial", title, "order_first", SOURCE, make, known)


class Stores(NamedTuple):
    """Numbers of the stores of a system, ``[n]`` each."""

    mean: np.ndarray
    sd: np.ndarray
    holding: np.ndarray
    penalty: np.ndarray
    lead: np.ndarray

    @property
    def laws(self) -> tuple[Normal, ...]:
        """Of each store's demand, not cut off."""
        return tuple(Normal(m, sd) for m, sd in zip(self.mean.tolist(), self.sd.tolist(), strict=True))


def stores(count: int) -> Stores:
    """Demand before it is cut off, costs and lead times of the authors' stores."""

    def draw(seed: int) -> Any:
        return np.random.RandomState(seed)  # the frozen generator that NumPy's global functions use

    mean = draw(33).uniform(2.5, 7.5, count).round(3)
    sd = (mean * draw(92).uniform(0.25, 0.5, count)).round(3)
    return Stores(
        mean, sd, draw(73).uniform(0.7, 1.3, count), draw(28).uniform(6.3, 11.7, count), draw(41).randint(2, 4, count)
    )


def transshipment(count: int, correlation: float, lead: int, penalty: int) -> Instance:
    """A depot that hands on all it receives to stores that keep unmet demand; lead time 3 into it, ``lead`` out of it.

    Stores' holding cost is 1. Demand is normal, jointly where it is correlated; the simulator cuts it off at 0. The
    depot has no storage, and scrapping there costs so much that a sensible planner leaves nothing behind.
    """

    def make() -> Problem:
        s = stores(count)
        network = distribution(
            count, lead_time=[3] + [lead] * count, holding_cost=[0.0] + [1.0] * count, backlog_cost=penalty,
            storage=[0.0] + [None] * count, scrap_cost=[100.0] + [0.0] * count,
            initial_on_hand=[0.0, *s.mean], initial_pipeline=[s.mean.sum(), *s.mean],
        )  # fmt: skip
        if correlation:
            return Problem(network, _world(s, correlation), (), no_laws=_COUPLED)
        return Problem(network, _world(s, correlation), s.laws)

    def bound() -> float:
        network, s = make().network, stores(count)
        coupled = (1 - correlation) * (s.sd @ s.sd) + correlation * s.sd.sum() ** 2
        return federgruen_zipkin(network, s.laws, total=Normal(float(s.mean.sum()), math.sqrt(coupled))).cost

    per_store = _BOUND.get((count, correlation, lead, penalty))
    known: tuple[Known, ...] = ()
    if per_store is not None:
        note = "of all stores together; for unclipped normal demand"
        by: dict[str, Any] = {"compute": bound} if correlation else {"method": "federgruen_zipkin"}
        known = (Known("Federgruen-Zipkin bound", count * per_store, "computed 2026", "OWN", note=note, **by),)
    title = f"a depot without stock, {count} stores, correlation {correlation:g}, lead time {lead}, p = {penalty}"
    name = f"hdpo_transshipment/n{count}_rho{correlation:g}_L{lead}_p{penalty}"
    return Instance(name, "hdpo_transshipment", title, "order_first", SOURCE, make, known)


def warehouse(count: int) -> Instance:
    """A warehouse that may hold stock (0.3 a period, lead time 3) and stores that lose sales; correlation 0.5."""

    def make() -> Problem:
        s = stores(count)
        network = distribution(
            count, lead_time=[3, *s.lead.tolist()], holding_cost=[0.3, *s.holding], keep=0.0,
            lost_cost=[0.0, *s.penalty], initial_on_hand=[0.0, *s.mean],
            initial_pipeline=[s.mean.sum(), *s.mean],
        )  # fmt: skip
        return Problem(network, _world(s, 0.5), (), no_laws=_COUPLED)

    title = f"a warehouse and {count} stores that lose sales, correlation 0.5"
    return Instance(f"hdpo_warehouse/n{count}", "hdpo_warehouse", title, "order_first", SOURCE, make)


_COUPLED = "the demands of different stores are correlated"


def _world(s: Stores, correlation: float) -> Processes:
    demand = normal(s.mean, s.sd)
    return Processes(demand=correlated(demand, correlation) if correlation else demand)


def _known(cost: float | None, method: str) -> tuple[Known, ...]:
    return () if cost is None else (Known("optimum", cost, "computed 2026", "OWN", method=method),)


INSTANCES: tuple[Instance, ...] = (
    *itertools.starmap(store, itertools.product((1, 4, 7, 10, 15, 20), PENALTIES)),
    *itertools.starmap(serial_system, itertools.product((1, 2, 3, 4), PENALTIES)),
    *itertools.starmap(transshipment, itertools.product((3, 5, 10), (0.0, 0.5), (2, 6), (4, 9))),
    *map(warehouse, (3, 5, 10, 20, 30, 50)),
)
