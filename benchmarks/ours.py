"""One figure of ours for a peer's table, in a process of its own: ``python -m benchmarks.ours WHAT '{"option": 1}'``.

The measuring scripts in `benchmarks/peers` call this in turns with their own measurement. The last line printed is a
JSON object.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.race import BLOCK, seconds
from meio_jax.kpis import total_cost
from meio_jax.policies import BaseStock, ConstantOrder
from meio_jax.processes import Processes, normal
from meio_jax.rollout import rollout
from meio_jax.solvers import Normal, clark_scarf
from meio_jax.topologies import local_holding_cost, serial

#: Example 6.1 of Snyder and Shen (2019), upstream first.
EXAMPLE_6_1: dict[str, Any] = {
    "lead_time": [2, 1, 1], "holding_cost": local_holding_cost([2, 2, 3]), "backlog_cost": 37.12,
    "transit_holding_cost": "upstream", "timing": "demand_first",
}  # fmt: skip


def simulate_example_6_1(lanes: int = 8_192, periods: int = 500, rounds: int = 5) -> dict[str, Any]:
    """Node-steps a second of a base-stock policy with fresh normal demand."""
    network, world = serial(3, **EXAMPLE_6_1), Processes(demand=normal(5.0, 1.0))
    theta = {"level": jnp.asarray([[22.706], [12.018], [6.491]])}

    def play() -> Any:
        return rollout(
            network, BaseStock(echelon=True), theta, world, jax.random.key(0),
            periods=periods, lanes=lanes, measure=total_cost, block=BLOCK,
        ).totals  # fmt: skip

    seconds(play)
    took = statistics.median(seconds(play) for _ in range(rounds))
    return {"node_steps_per_second": 3 * lanes * periods / took, "cost": float(np.mean(play())) / periods}


def solve_example_6_1(rounds: int = 20) -> dict[str, Any]:
    """Seconds for the optimal levels, and their cost."""
    network = serial(3, **EXAMPLE_6_1)
    found = clark_scarf(network, Normal(5.0, 1.0))
    took = statistics.median(seconds(lambda: clark_scarf(network, Normal(5.0, 1.0)).cost) for _ in range(rounds))
    return {"seconds": took, "cost": found.cost}


def solve_instance(instance: str, method: str, tolerance: float) -> dict[str, Any]:
    """Seconds to solve an instance of the literature, compilation included and apart, and what was found.

    Discounted costs are those of all periods from the initial state on.
    """
    from meio_jax.instances import find
    from meio_jax.solvers.dynamic_program import value_iteration

    solve = {"value_iteration": value_iteration}[method]
    problem = dataclasses.replace(find(instance).problem, periods=None, warmup=0)
    jax.config.update("jax_enable_compilation_cache", False)
    begin = time.perf_counter()
    found = solve(problem, tolerance=tolerance)
    first = time.perf_counter() - begin
    warm = seconds(lambda: solve(problem, tolerance=tolerance).cost)
    kept = {k: found.details.get(k) for k in ("states", "orders", "demands", "limits")}
    return {"seconds": first, "warm_seconds": warm, "cost": found.cost, **kept}


def gym_invmgmt_steps(scenario: str, lanes: int = 8_192, periods: int = 300, rounds: int = 5) -> dict[str, Any]:
    """Environment steps a second on one of gym-invmgmt's networks, orders at the mean."""
    problem = _gym_invmgmt(scenario)
    policy = ConstantOrder()
    theta = policy.start(problem.network, [20.0])

    def play() -> Any:
        return rollout(
            problem.network, policy, theta, problem.processes, jax.random.key(0),
            periods=periods, lanes=lanes, measure=total_cost, block=BLOCK,
        ).totals  # fmt: skip

    seconds(play)
    took = statistics.median(seconds(play) for _ in range(rounds))
    return {"steps_per_second": periods * lanes / took}


def ppo_gym_invmgmt(profit: float, seed: int = 0, evaluation: int = 10) -> dict[str, Any]:
    """PPO at its defaults on the serial network: steps a second, and seconds, compilation included, until the mode
    policy's mean profit over an episode reaches ``profit``.

    An episode has 30 periods, so the segment is 30, and the problem ends there.
    """
    from meio_jax.learners.config import PPOConfig, PPOHyper
    from meio_jax.learners.loop import train

    problem = _gym_invmgmt("serial")
    begin = time.perf_counter()
    config = PPOConfig(
        segment=30, horizon=30, ends=True, eval_every=evaluation, eval_lanes=512, eval_periods=30, eval_warmup=0
    )
    reached: list[float] = []

    def watch(state: Any, metrics: dict[str, Any]) -> bool:
        best = 30.0 * float(state.best_cost)
        if -best >= profit and not reached:
            reached.append(time.perf_counter() - begin)
        return bool(reached)

    key = jax.random.key(seed)
    state, _ = train(config, problem.network, problem.processes, PPOHyper(), key, callback=watch, chunk=evaluation)
    # Speed: nobody's evaluation is part of the peer's time either.
    fast = dataclasses.replace(config, eval_every=0, updates=120)
    told = {"chunk": 60, "callback": lambda state, metrics: True}
    warm, _ = train(fast, problem.network, problem.processes, PPOHyper(), key, **told)
    took = seconds(
        lambda: train(fast, problem.network, problem.processes, PPOHyper(), key, state=warm, **told)[0].params
    )
    return {
        "seconds_to_profit": reached[0] if reached else None,
        "updates_to_profit": int(state.update),
        "profit": -30.0 * float(state.best_cost),
        "steps_per_second": 60 * fast.lanes * fast.segment / took,
    }


def ppo_serial(
    lanes: int, segment: int, epochs: int, minibatches: int, widths: list[int], updates: int = 50
) -> dict[str, Any]:
    """Environment steps a second of PPO with given sizes on the four-stage serial system, compilation apart."""
    from meio_jax.learners.config import PPOConfig, PPOHyper
    from meio_jax.learners.loop import train

    network, world = four_stages()
    config = PPOConfig(
        lanes=lanes, segment=segment, epochs=epochs, minibatches=minibatches, widths=tuple(widths), updates=2 * updates,
        eval_every=0,
    )  # fmt: skip
    key = jax.random.key(0)
    began = time.perf_counter()
    state, _ = train(config, network, world, PPOHyper(), key, chunk=updates, callback=lambda s, m: True)
    first = time.perf_counter() - began
    took = seconds(lambda: train(config, network, world, PPOHyper(), key, chunk=updates, state=state)[0].params)
    return {"steps_per_second": updates * lanes * segment / took, "compile_seconds": first - took}


def four_stages() -> tuple[Any, Any]:
    """The serial system on which learners are raced."""
    network = serial(
        4,
        lead_time=2,
        holding_cost=[1.0, 2.0, 3.0, 4.0],
        backlog_cost=20.0,
        initial_on_hand=15.0,
        timing="demand_first",
    )  # fmt: skip
    return network, Processes(demand=normal(5.0, 1.0))


def _gym_invmgmt(scenario: str) -> Any:
    from meio_jax.instances import gym_invmgmt

    return gym_invmgmt.problem(getattr(gym_invmgmt, scenario)(lost_sales=False))


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    f.__name__: f
    for f in (simulate_example_6_1, solve_example_6_1, solve_instance, gym_invmgmt_steps, ppo_gym_invmgmt, ppo_serial)
}


def main() -> int:
    what, options = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    if what not in MEASURES:  # not imported by the peers that import this module
        from benchmarks import learners

        MEASURES.update({f.__name__: f for f in learners.MEASURES})
    print(json.dumps(MEASURES[what](**options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
