"""Learners on the clock: what `benchmarks.run` shows of them, and our side of the race against PyTorch.

    python -m benchmarks.run --only learners

The peer is `benchmarks/peers/torch`: the same chain, network and loop. Functions that return a dictionary are called in
processes of their own, through `benchmarks.ours`.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.race import seconds
from meio_jax.instances import find
from meio_jax.kpis import total_cost
from meio_jax.learners import pathwise, ppo
from meio_jax.learners.gradient import cost_gradient
from meio_jax.learners.loop import train, train_seeds
from meio_jax.learners.validation import validation_cost
from meio_jax.policies.neural import NeuralPolicy, Theta
from meio_jax.policies.scale import measure_scale
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario, Shock
from meio_jax.solvers.clark_scarf import clark_scarf

FOUR_STAGES, EXAMPLE = "hdpo_serial/L4_p4", "serial/example_6_1"
WIDTHS = (32, 32)
#: A run ends when its validation cost is so close to the optimal policy's on the same scenarios.
GAP = 0.005


def _policy() -> NeuralPolicy:
    return NeuralPolicy(widths=WIDTHS)


def chain_numbers(instance: str) -> dict[str, Any]:
    """A serial system as plain numbers, and how the pathwise learner goes about it, for the peer."""
    problem = find(instance).problem
    network, w = problem.network, problem.network.wiring
    scale = measure_scale(network, problem.processes, jax.random.key(0), lanes=64)
    config, hyper = pathwise.for_problem(problem, policy=_policy())
    law = problem.laws[0]
    transit = np.zeros(w.n_nodes)
    if network.transit_holding_cost is not None:
        transit = np.broadcast_to(np.asarray(network.transit_holding_cost)[:, 0], w.n_nodes)
    pipeline = np.asarray(network.initial_pipeline)[..., 0]
    best = clark_scarf(network, law)
    demand = problem.processes.demand
    mean, sd = (float(np.asarray(getattr(demand, name)).ravel()[0]) for name in ("mean", "sd"))
    return {
        "chain": {
            "lead": list(w.lead_time),
            "holding": _row(network.holding_cost),
            "transit": transit.tolist(),
            "backlog_cost": float(np.asarray(network.backlog_cost).ravel()[-1]),
            "demand_first": w.timing == "demand_first",
            "mean": mean,
            "sd": sd,
            "size": float(scale.demand[0, 0]),
            "reference": _row(scale.echelon),
            "spread": _row(scale.echelon_spread),
            "on_hand": _row(network.initial_on_hand),
            "pipeline": [pipeline[: w.lead_time[e], e].tolist() for e in range(w.n_inner)],
        },
        "learner": {
            "lanes": config.lanes, "segment": config.segment, "tail": config.tail_periods(network),
            "warmup": config.warmup, "updates": config.updates, "learning_rate": float(hyper.learning_rate),
            "learning_rate_floor": float(hyper.learning_rate_floor), "max_gradient": float(hyper.max_gradient),
            "average": float(hyper.average), "first": float(hyper.first), "second": float(hyper.second),
            "eval_lanes": config.validation.lanes, "eval_periods": config.validation.periods,
            "eval_warmup": config.validation.warmup, "least_deviation": config.least_deviation,
        },
        "optimal_levels": np.asarray(best.theta["level"])[:, 0].tolist(),
    }  # fmt: skip


def _forget() -> None:
    """What comes is compiled anew."""
    jax.config.update("jax_enable_compilation_cache", False)
    jax.clear_caches()


def _row(leaf: Any) -> list[float]:
    return np.asarray(leaf, float)[:, 0].tolist()


def cost_on(file: str, instance: str = FOUR_STAGES) -> dict[str, Any]:
    """Mean cost of a period and its gradient's entries, on demand and weights that the peer left in a file."""
    given = np.load(file)
    problem = find(instance).problem
    network, policy = problem.network, _policy()
    scale = measure_scale(network, problem.processes, jax.random.key(0), lanes=64)
    theta = policy.init(jax.random.key(0), network, scale)
    net = dict(theta.params["net"])
    for k, name in enumerate(("actor_0", "actor_1", "actor_out")):
        net[name] = {"kernel": jnp.asarray(given[f"w{2 * k}"].T), "bias": jnp.asarray(given[f"w{2 * k + 1}"][:, 0])}
    scenario = Scenario(Shock(demand=jnp.asarray(given["demand"])))
    periods = scenario.periods

    def cost(net: Any) -> Any:
        own = Theta({**theta.params, "net": net}, theta.moments, scale)
        totals = rollout(network, policy, own, scenario, jax.random.key(0), measure=total_cost).totals
        return totals.mean() / periods

    value, gradient = jax.jit(jax.value_and_grad(cost))(net)
    flat = []
    for name in ("actor_0", "actor_1", "actor_out"):
        flat += [np.asarray(gradient[name]["kernel"]).T.ravel(), np.asarray(gradient[name]["bias"])]
    return {"cost": float(value), "gradient": np.concatenate(flat).tolist()}


def gradient_speed(
    instance: str = FOUR_STAGES, lanes: int = 8_192, periods: int = 50, rounds: int = 7
) -> dict[str, Any]:
    """System-periods a second, forward and backward."""
    problem = find(instance).problem
    network, policy = problem.network, _policy()
    scale = measure_scale(network, problem.processes, jax.random.key(0), lanes=64)
    theta = policy.init(jax.random.key(1), network, scale)
    keys = iter(jax.random.split(jax.random.key(2), rounds + 1))

    def step() -> Any:
        found = cost_gradient(network, policy, theta, problem.processes, next(keys), periods=periods, lanes=lanes)
        return jax.block_until_ready(found)

    compiling = seconds(step)
    times, busy = [], []
    for _ in range(rounds):
        began = time.process_time()
        times.append(seconds(step))
        busy.append(time.process_time() - began)
    return {
        "system_periods_per_second": lanes * periods / min(times),
        "compile_seconds": compiling,
        "times": times,
        "processor_seconds": min(busy),
    }


def pathwise_to_gap(instance: str = EXAMPLE, every: int = 10, seed: int = 0) -> dict[str, Any]:
    """Seconds, compilation included, until the validation cost is within 0.5 % of the optimal policy's."""
    problem = find(instance).problem
    config, hyper = pathwise.for_problem(problem, policy=_policy(), eval_every=every)
    best = clark_scarf(problem.network, problem.laws[0])
    optimum = float(
        validation_cost(config.validation, problem.network, problem.processes, best.policy, best.theta)["eval_cost"]
    )
    _forget()
    reached: list[tuple[float, int]] = []
    gaps: list[float] = []
    begin = time.perf_counter()

    def watch(state: Any, metrics: dict[str, Any]) -> bool:
        gaps.append(float(metrics["eval_cost"][-1]) / optimum - 1.0)
        if gaps[-1] <= GAP:
            reached.append((time.perf_counter() - begin, int(state.update)))
        return bool(reached)

    key = jax.random.key(seed)
    state, _ = train(config, problem.network, problem.processes, hyper, key, callback=watch, chunk=every)
    plain = dataclasses.replace(config, eval_every=0)  # the peer's speed is without its evaluations too
    step = lambda: jax.block_until_ready(  # noqa: E731
        pathwise.train_chunk(plain, problem.network, problem.processes, hyper, state, 5 * every)[0].update
    )
    step()
    took = seconds(step)
    return {
        "seconds": reached[0][0] if reached else None, "updates": reached[0][1] if reached else None, "gaps": gaps,
        "updates_per_second": 5 * every / took,
    }  # fmt: skip


def long_backpropagation(periods: int = 10_000, lanes: int = 1_024, instance: str = FOUR_STAGES) -> dict[str, Any]:
    """One update of the pathwise learner through all periods of one segment, and the memory that the process took."""
    problem = find(instance).problem
    config, hyper = pathwise.for_problem(
        problem, policy=_policy(), lanes=lanes, segment=periods, updates=1, eval_every=0, warmup=1
    )
    state = pathwise.init_train(config, problem.network, problem.processes, hyper, jax.random.key(0))
    before = _peak()
    state, metrics = pathwise.train_chunk(config, problem.network, problem.processes, hyper, state, 1)
    norm = float(metrics["gradient"][0])
    return {"peak_gib": _peak(), "before_gib": before, "gradient": norm, "finite": bool(metrics["finite"][0])}


def _peak() -> float:
    """GiB of this process at most so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def population(learner: str, seeds: int = 16, updates: int = 100, instance: str = EXAMPLE) -> dict[str, Any]:
    """Seconds for so many seeds one after another; in one program for all of them (`jax.vmap`); and in one that each
    core plays for its share of them (`train_seeds`). Compilation counts in each.
    """
    problem = find(instance).problem
    module = {"pathwise": pathwise, "ppo": ppo}[learner]
    config, hyper = module.LEARNER.for_problem(problem, updates=updates, eval_every=0)
    keys = jax.random.split(jax.random.key(0), seeds)

    def run(key: Any) -> Any:
        return train(config, problem.network, problem.processes, hyper, key)[0].theta

    def single() -> None:
        for key in keys:
            jax.block_until_ready(run(key))

    def together() -> None:
        jax.block_until_ready(jax.jit(jax.vmap(run))(keys))

    def threads() -> None:
        jax.block_until_ready(
            [s.theta for s, _ in train_seeds(config, problem.network, problem.processes, hyper, keys)]
        )

    times = {}
    for name, play in (("single", single), ("together", together), ("threads", threads)):
        _forget()
        times[name] = seconds(play)
    return times


def _apart(what: str, **options: Any) -> dict[str, Any]:
    """A measurement of `benchmarks.ours` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ours", what, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
    return json.loads(done.stdout.splitlines()[-1])


def bench_learners(quick: bool) -> Iterator[tuple[str, str, str, bool | None, dict[str, Any]]]:
    """What needs no peer: rows (what, target, measured, met, numbers)."""
    found = _apart("long_backpropagation", periods=1_000 if quick else 10_000)
    fine = found["finite"] and found["peak_gib"] <= 4
    said = f"{found['peak_gib']:.1f} GiB at most, {found['before_gib']:.1f} before"
    yield "backpropagation, 10,000 periods, 1,024 lanes", "<= 4 GiB", said, fine, found
    for learner, updates in (("pathwise", 100), ("ppo", 50)):
        sizes = {"seeds": 4, "updates": 5} if quick else {"seeds": 16, "updates": updates}
        times = _apart("population", learner=learner, **sizes)
        ratios = {name: times[name] / times["single"] for name in ("threads", "together")}
        said = (
            f"{ratios['threads']:.2f} a thread for each core, {ratios['together']:.2f} with vmap; "
            f"{times['single']:.1f} s one after another, compilation included in all"
        )
        what = f"{sizes['seeds']} seeds of {sizes['updates']} updates, {learner}, one program over single runs"
        yield what, "<= 0.8", said, min(ratios.values()) <= 0.8, times | sizes


MEASURES = (chain_numbers, cost_on, gradient_speed, pathwise_to_gap, long_backpropagation, population)
