"""How long the yardsticks take: rows for the table of `benchmarks.run`, those without a peer."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.race import seconds
from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.network import Network
from meio_jax.policies import BaseStock
from meio_jax.processes import Processes, normal
from meio_jax.solvers import search
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.service_tree import guaranteed_service

__all__ = ["bench_solvers"]


def random_service_tree(nodes: int, seed: int) -> ServiceModel:
    """A random spanning tree with arcs in random directions, costs that grow downstream."""
    rng = np.random.default_rng(seed)
    parent = [int(rng.integers(max(0, k - 8), k)) for k in range(1, nodes)]
    down = rng.random(nodes - 1) < 0.6
    arcs = [(p, k) if d else (k, p) for k, p, d in zip(range(1, nodes), parent, down, strict=True)]
    feeds = {a for a, _ in arcs}
    ends = [k not in feeds for k in range(nodes)]
    return ServiceModel(
        nodes=[str(k) for k in range(nodes)],
        arcs=[(str(a), str(b)) for a, b in arcs],
        processing_time=rng.integers(1, 20, nodes),
        holding_cost=rng.uniform(0.5, 5.0, nodes),
        demand_sd=np.where(ends, rng.uniform(1.0, 10.0, nodes), 0.0),
        bound_factor=1.645,
    )


def service_tree_time(quick: bool) -> dict[str, Any]:
    """Seconds for the optimal service times of a tree of 1,000 nodes."""
    nodes = 200 if quick else 1_000
    models = [random_service_tree(nodes, seed) for seed in range(3)]
    times = [seconds(lambda model=model: guaranteed_service(model).cost) for model in models]
    return {"nodes": nodes, "seconds": statistics.median(times), "times": times}


def nine_nodes() -> Network:
    """A plant, two distribution centres, six shops."""
    nodes = [Node("plant", holding_cost=0.5), Node("d1", holding_cost=1), Node("d2", holding_cost=1)]
    nodes += [Node(f"s{k}", holding_cost=2) for k in range(6)]
    arcs = [Arc(OUTSIDE, "plant", lead_time=3), Arc("plant", "d1", lead_time=2), Arc("plant", "d2", lead_time=2)]
    arcs += [Arc(f"d{1 + k // 3}", f"s{k}", lead_time=1 + k % 2) for k in range(6)]
    return build_network(nodes, arcs + [Arc(f"s{k}", CUSTOMER, backlog_cost=20) for k in range(6)])


def search_speed(quick: bool) -> dict[str, Any]:
    """Simulated systems a minute: candidates times scenarios, 100 periods each after 30 of warm-up.

    The second of two searches with other keys counts, so what is compiled is compiled; the scenarios on which the
    winner is costed are not counted.
    """
    network, world = nine_nodes(), Processes(demand=normal(np.linspace(3, 8, 6), 1.5))
    budget, lanes = (1_000, 64) if quick else (8_000, 64)

    def play(seed: int) -> Any:
        key = jax.random.key(seed)
        return search(network, BaseStock(echelon=True), world, key, periods=130, warmup=30, lanes=lanes, budget=budget)

    play(0)
    found: list[Any] = []
    took = seconds(lambda: found.append(play(1)))
    systems = found[0].evaluations * lanes
    return {"systems_per_minute": 60 * systems / took, "systems": systems, "seconds": took, "cost": found[0].cost}


def bench_solvers(quick: bool) -> Iterator[tuple[str, str, str, bool, dict[str, Any]]]:
    """Rows: what, target, measured, met, numbers."""
    tree = service_tree_time(quick)
    what = f"guaranteed service, tree of {tree['nodes']:,} nodes"
    yield what, "< 10 s", f"{tree['seconds']:.2f} s", tree["seconds"] < 10, tree
    speed = search_speed(quick)
    per_minute = speed["systems_per_minute"]
    measured = f"{per_minute / 1e6:.1f} M systems of 130 periods a minute"
    yield "search of base-stock levels, 9 nodes", ">= 1 M/min", measured, per_minute >= 1e6, speed
