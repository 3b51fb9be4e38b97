"""Planners on gym-invmgmt's four stationary scenarios, on its ten published seeds: ``python -m experiments.planners``.

Profit of 30 periods, mean over the seeds with a 95 % interval, beside what was published for the same seeds (arXiv
2605.11355). Nothing is tuned on the seeds: planners know that demand is Poisson(20), the base-stock rule is tuned by
`search` on draws of its own, the newsvendor levels are a formula. ``loss`` is what is missing to the hindsight optimum,
seed by seed. Hindsight bounds rules that do not ration, as the environment has no way to say it; with rationing a
little more could be earned.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.compile_cache import keep_compiled
from meio_jax.evaluate import t_interval
from meio_jax.instances import gym_invmgmt
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.policies import BaseStock, initial_levels
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario
from meio_jax.solvers.hindsight import hindsight, period_weights
from meio_jax.solvers.linear_parts import replacement_values
from meio_jax.solvers.planners import RollingPlan, ScenarioTree, outlook_of, play
from meio_jax.solvers.search import search

#: Our rows, and the published ones that stand beside them.
ROWS = {
    "hindsight": "hindsight",
    "scenario tree": "informed multistage program",
    "rolling plan": "",
    "tuned base-stock": "best base-stock",
    "newsvendor levels": "informed newsvendor",
}


def newsvendor_levels(network: Network) -> dict[str, Any]:
    """Echelon levels that cover the demand of the time they must, with the safety of a newsvendor at the market.

    Short: the margin and the penalty; over: a unit held as long as an order covers. Sources share equally.
    """
    w = network.wiring
    store = w.src[w.n_inner]
    lost = network.lost_cost if network.lost_cost is not None else network.backlog_cost
    assert network.price is not None
    short = float(network.price[0, 0] + lost[w.n_inner, 0]) - replacement_values(network).on_hand[store]
    over = float(network.holding_cost[store, 0]) * (1 + max(w.lead_time[e] for e in w.in_arcs[store]))
    safety = float(stats.norm.ppf(short / (short + over)))
    sd = float(np.sqrt(gym_invmgmt.MEAN))
    return {
        "level": initial_levels(network, gym_invmgmt.MEAN, sd, echelon=True, safety=safety),
        "share": jnp.ones((w.n_inner, 1)),
    }


def played(network: Network, policy: Any, theta: Any, scenario: Scenario) -> np.ndarray:
    """``[B]`` profit of the 30 periods after the opening."""
    kept = rollout(network, policy, theta, scenario, jax.random.key(0), keep_trajectory=True)
    assert kept.trajectory is not None
    costs = jax.vmap(total_cost, in_axes=(None, 0))(network, kept.trajectory.flows)
    return -np.asarray(costs, np.float64)[1:].sum(0)


def tuned(network: Network, problem: Any, budget: int) -> tuple[Any, Any]:
    """The better of echelon and installation base-stock, by its cost on fresh draws."""
    found = []
    for policy in (BaseStock(echelon=True), BaseStock()):
        start = {**policy.start(network, gym_invmgmt.MEAN, gym_invmgmt.MEAN**0.5)}
        if "share" in start:
            start["share"] = jnp.ones_like(start["share"])
        result = search(
            network,
            policy,
            problem.processes,
            jax.random.key(7),
            theta0=start,
            budget=budget,
            lanes=64,
            periods=31,
            warmup=1,
        )
        found.append((result.cost, policy, result.theta))
    return min(found, key=lambda x: x[0])[1:]


def profits(scenario: str, demand: np.ndarray, budget: int) -> dict[str, tuple[np.ndarray, float]]:
    """Name to profit on each seed and the milliseconds that a decision took (for planners)."""
    kind, unmet = scenario.split("-")
    network = getattr(gym_invmgmt, kind)(lost_sales=unmet == "lost")
    problem = gym_invmgmt.problem(network)
    weights = period_weights(problem)
    horizon = gym_invmgmt.opened(network, demand)
    outlook = outlook_of(problem.laws, len(weights))
    outlook[0] = 0.0  # nobody asks for anything in the opening
    out = {"hindsight": (-hindsight(network, horizon, weights=weights, rationing=False, play=False).bound, np.nan)}
    for name, planner in (("scenario tree", ScenarioTree(outlook)), ("rolling plan", RollingPlan(outlook))):
        result = play(network, planner, horizon)
        out[name] = (-result.totals(weights), 1e3 * result.seconds)
    out["tuned base-stock"] = (played(network, *tuned(network, problem, budget), horizon), np.nan)
    levels = newsvendor_levels(network)
    out["newsvendor levels"] = (played(network, BaseStock(echelon=True), levels, horizon), np.nan)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="of the ten")
    parser.add_argument("--budget", type=int, default=1000, help="candidates of each search for base-stock levels")
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {', '.join(gym_invmgmt.SCENARIOS)}")
    args = parser.parse_args()
    if unknown := set(args.scenarios) - set(gym_invmgmt.SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(gym_invmgmt.SCENARIOS)}")
    keep_compiled()
    demand = gym_invmgmt.ten_seeds()[:, :, : args.seeds]
    print(f"{'scenario':16} {'plan':18} {'profit':>8} {'+-':>6} {'published':>10} {'loss':>7} {'+-':>6} {'ms':>6}")
    for scenario in args.scenarios or gym_invmgmt.SCENARIOS:
        begun = time.perf_counter()
        known = gym_invmgmt.published(scenario)
        found = profits(scenario, demand, args.budget)
        best = found["hindsight"][0]
        for name, (profit, ms) in found.items():
            half, behind = (_half(x) for x in (profit, best - profit))
            print(
                f"{scenario:16} {name:18} {profit.mean():8.1f} {half:>6} {known.get(ROWS[name], np.nan):10.1f} "
                f"{(best - profit).mean():7.1f} {behind:>6} {ms:6.0f}"
            )
        print(f"{'':16} {time.perf_counter() - begun:.0f} s", flush=True)


def _half(values: np.ndarray) -> str:
    low, high = t_interval(values, 0.95)
    return "n/a" if low is None or high is None else f"{(high - low) / 2:.1f}"


if __name__ == "__main__":
    main()
