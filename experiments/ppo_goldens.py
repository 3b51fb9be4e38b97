"""PPO with one default configuration on instances whose optimum is known: ``python -m experiments.ppo_goldens [--seeds
N]``.

Every policy is evaluated on scenarios that no training run saw, the same for all; intervals are 95 %, over seeds and
lanes. The seeds of an instance train together in one program (``vmap``), so ``seconds`` is for all of them, compilation
included.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from meio_jax.kpis import kpis
from meio_jax.learners.loop import train
from meio_jax.learners.ppo import PPOConfig, PPOHyper
from meio_jax.network import Network
from meio_jax.policies import BaseStock, Policy
from meio_jax.processes import Processes, normal, poisson
from meio_jax.rollout import rollout
from meio_jax.solvers.clark_scarf import clark_scarf
from meio_jax.solvers.laws import Normal
from meio_jax.topologies import serial

__all__ = ["INSTANCES", "Found", "Instance", "run"]


@dataclasses.dataclass(frozen=True)
class Instance:
    """A system, its optimal cost, and the best echelon base-stock levels (empty: those of Clark and Scarf)."""

    name: str
    make: Callable[[], tuple[Network, Processes]]
    optimum: float
    levels: tuple[float, ...]
    source: str


@dataclasses.dataclass(frozen=True)
class Found:
    """What training found: mean cost, its gap to the optimum in percent, half the 95 % interval of that gap."""

    cost: float
    gap: float
    margin: float
    gaps: tuple[float, ...]
    rule: float
    seconds: float
    steps: int


def chain(mean: float, sd: float, **numbers: Any) -> tuple[Network, Processes]:
    """A serial system with convention A: demand is seen first, stock in transit is charged upstream."""
    stages = len(numbers["lead_time"])
    network = serial(stages, transit_holding_cost="upstream", timing="demand_first", **numbers)
    return network, Processes(demand=normal(mean, sd))


def zipkin(lead_time: int, penalty: float) -> tuple[Network, Processes]:
    """Lost sales with Poisson demand: whole orders, placed before demand is seen."""
    network = serial(1, holding_cost=1.0, lead_time=lead_time, lost_cost=penalty, keep=0.0, integer=True)
    return network, Processes(demand=poisson(5.0))


INSTANCES = {
    "example_6_1": Instance(
        "Example 6.1",
        lambda: chain(5.0, 1.0, echelon_holding_cost=(2, 2, 3), lead_time=(2, 1, 1), backlog_cost=37.12),
        47.660, (), "Snyder and Shen (2019)",
    ),
    "case_1": Instance(
        "P&S case 1", lambda: chain(3.0, 0.5, holding_cost=(5, 8.2), lead_time=(1, 1), backlog_cost=25.5),
        22.2152, (), "Pirhooshyaran and Snyder (2021)",
    ),
    "case_2": Instance(
        "P&S case 2", lambda: chain(6.0, 1.5, holding_cost=(1.9, 4.1), lead_time=(2, 1), backlog_cost=11.3),
        23.0792, (), "Pirhooshyaran and Snyder (2021)",
    ),
    "lost_sales": Instance("Zipkin L=2 p=4", lambda: zipkin(2, 4.0), 4.39530, (16.0,), "Zipkin (2008)"),
}  # fmt: skip


def evaluate_theta(
    network: Network, policy: Policy, theta: Any, processes: Processes, lanes: int, periods: int
) -> jax.Array:
    """Mean cost of each lane, ``[lanes]``; all policies meet the same scenarios."""
    key = jax.random.key(424_242)
    played = rollout(network, policy, theta, processes, key, periods=periods, lanes=lanes, warmup=100)
    return kpis(played.totals)["cost"]


def run(
    instance: Instance, *, seeds: int = 3, config: PPOConfig | None = None, hyper: PPOHyper | None = None,
    lanes: int = 1024, periods: int = 2100, first_seed: int = 0,
) -> Found:  # fmt: skip
    """Train ``seeds`` runs with one configuration, evaluate their mode policies.

    Seeds are the first level of a two-level sample: the margin is Student's t over their means, joined with the error
    of the scenarios that they share.
    """
    config, hyper = config or PPOConfig(), hyper or PPOHyper()
    network, processes = instance.make()
    keys = jax.vmap(jax.random.key)(jnp.arange(first_seed, first_seed + seeds))
    began = time.perf_counter()
    state, metrics = jax.jit(jax.vmap(lambda key: train(config, network, processes, hyper, key)))(keys)
    if not bool(metrics["finite"].all()):
        raise FloatingPointError(f"{instance.name}: a run diverged")
    seconds = time.perf_counter() - began
    play = jax.jit(
        jax.vmap(lambda theta: evaluate_theta(network, config.policy, theta, processes, lanes, periods)),
    )
    costs = np.asarray(play(state.theta), np.float64)  # [seeds, lanes]
    means = costs.mean(1)
    scenario_error = costs.mean(0).std(ddof=1) / lanes**0.5
    margin = 1.96 * scenario_error
    if seeds > 1:
        over_seeds = stats.t.ppf(0.975, seeds - 1) * means.std(ddof=1) / seeds**0.5
        margin = float(np.hypot(margin, over_seeds))
    levels = instance.levels
    if not levels:
        demand = processes.demand
        levels = clark_scarf(network, Normal(float(demand.mean[0, 0]), float(demand.sd[0, 0]))).echelon_levels
    theta = {"level": jnp.asarray(levels, float)[:, None]}
    rule = float(evaluate_theta(network, BaseStock(echelon=True), theta, processes, lanes, periods).mean())
    percent = 100.0 / instance.optimum
    return Found(
        cost=float(means.mean()),
        gap=float((means.mean() - instance.optimum) * percent),
        margin=float(margin * percent),
        gaps=tuple(float(x) for x in (means - instance.optimum) * percent),
        rule=rule,
        seconds=seconds,
        steps=config.updates * config.lanes * config.segment,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="PPO, one default configuration, against known optima")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=sorted(INSTANCES), action="append")
    parser.add_argument("--updates", type=int, default=PPOConfig().updates)
    args = parser.parse_args()
    config = PPOConfig(updates=args.updates)
    print(f"{args.seeds} seeds, {config.updates * config.lanes * config.segment / 1e6:.1f} M steps each\n")
    columns = (("optimum", 10), ("base-stock", 12), ("PPO", 10), ("gap %", 8), ("+-", 7), ("seconds", 9))
    print(f"{'instance':<16}" + "".join(f"{name:>{width}}" for name, width in columns) + "   gap of each seed, %")
    for name in args.only or INSTANCES:
        instance = INSTANCES[name]
        found = run(instance, seeds=args.seeds, config=config)
        each = " ".join(f"{x:.2f}" for x in found.gaps)
        print(
            f"{instance.name:<16}{instance.optimum:>10.4f}{found.rule:>12.4f}{found.cost:>10.4f}{found.gap:>8.2f}"
            f"{found.margin:>7.2f}{found.seconds:>9.1f}   {each}",
            flush=True,
        )


if __name__ == "__main__":
    main()
