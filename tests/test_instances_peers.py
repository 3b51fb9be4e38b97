"""The peers' environments as instances: the physics of their goldens, the published bounds on the published seeds."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax.instances import gym_invmgmt, or_gym
from meio_jax.kpis import total_cost
from meio_jax.policies import BaseStock
from meio_jax.processes import check_processes, draw
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario, scenario_of
from meio_jax.simulator import initial_state, transition
from meio_jax.solvers.hindsight import hindsight, period_weights
from meio_jax.solvers.planners import RollingPlan, outlook_of, play

GOLDENS = Path(__file__).parent / "goldens" / "peers"
ALL = (*gym_invmgmt.INSTANCES, *or_gym.INSTANCES)


def golden(name):
    return json.loads((GOLDENS / f"{name}.json").read_text())


def test_the_ten_seeds_are_the_environments():
    traces = np.asarray(golden("gym_invmgmt_ten_seeds")["demand"], float).T[:, None]
    np.testing.assert_array_equal(gym_invmgmt.ten_seeds(), traces)


def costs(network, scenario: Scenario, orders) -> np.ndarray:
    """``[T]`` cost of each period in float64 of orders ``[T, I]``."""
    with jax.enable_x64(True):
        double = lambda x: jnp.asarray(np.asarray(x, float))  # noqa: E731
        network, shocks = jax.tree.map(double, (network, scenario.shocks))

        def period(state, now):
            order, shock = now
            state, flows = transition(network, state, order[:, None], shock)
            return state, total_cost(network, flows)[0]

        return np.asarray(jax.lax.scan(period, initial_state(network, 1), (jnp.asarray(orders), shocks))[1])


@pytest.mark.parametrize("kind", ["serial", "network"])
def test_gym_invmgmt_earns_what_the_environment_earns(kind):
    """Every golden run, wild orders too: after the opening each period's reward is the environment's."""
    g = golden(f"gym_invmgmt_{kind}")
    for run in g["runs"]:
        network = getattr(gym_invmgmt, kind)(lost_sales=not run["backlog"])
        w = network.wiring
        column = [[f"{a}>{b}" for a, b in g["reorder_links"]].index(name) for name in w.arcs[: w.n_inner]]
        asked = np.asarray(run["action"], float)[:, column]
        orders = np.concatenate([np.full_like(asked[:1], 50.0), asked])  # what is ordered in the opening is in vain
        demand = np.asarray(run["demand"], float).reshape(-1, 1)
        found = costs(network, gym_invmgmt.opened(network, demand), orders)
        # The network's numbers are float32; costs go up to some hundreds a period.
        np.testing.assert_allclose(-found[1:], run["reward"], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("scenario", gym_invmgmt.SCENARIOS)
def test_hindsight_on_the_ten_seeds_is_the_published_oracle(scenario):
    kind, unmet = scenario.split("-")
    network = getattr(gym_invmgmt, kind)(lost_sales=unmet == "lost")
    horizon = gym_invmgmt.opened(network, gym_invmgmt.ten_seeds())
    weights = np.r_[0.0, np.ones(30)]
    found = hindsight(
        network, horizon, weights=weights, rationing=False, play=scenario in ("network-lost", "serial-lost")
    )
    assert -found.mean == pytest.approx(gym_invmgmt.published(scenario)["hindsight"], abs=0.05)
    if found.played is not None:
        assert found.attained.all()  # the plans earn it in the simulator
    freer = hindsight(
        network, gym_invmgmt.opened(network, gym_invmgmt.ten_seeds()[:, :, :3]), weights=weights, play=False
    )
    assert (freer.bound <= found.bound[:3] + 1e-6).all()


def test_a_plan_for_the_mean_is_between_the_rules_and_the_oracle():
    network = gym_invmgmt.serial(lost_sales=True)
    system = gym_invmgmt.problem(network)
    outlook = outlook_of(system.laws, 31)
    outlook[0] = 0.0
    played = play(network, RollingPlan(outlook), gym_invmgmt.opened(network, gym_invmgmt.ten_seeds()[:, :, :4]))
    bound = hindsight(
        network,
        gym_invmgmt.opened(network, gym_invmgmt.ten_seeds()[:, :, :4]),
        weights=period_weights(system),
        play=False,
    )
    totals = played.totals(period_weights(system))
    assert (bound.bound <= totals + 1e-3).all()
    assert played.costs[0].max() > 0 and 900 < -totals.mean() < 1000


def test_or_gym_earns_what_the_environment_earns():
    """The goldens of its base-stock rule, until it first orders more than a capacity."""
    g = golden("or_gym_invmanagement_default")
    for run in g["runs"]:
        if run["policy"] != "base_stock":
            continue
        network = or_gym.inv_management(run["backlog"])
        w = network.wiring
        asked = np.asarray(run["action"], float)[:, [int(w.nodes[w.dst[e]]) for e in range(w.n_inner)]]
        kept = (asked <= np.asarray(network.order_capacity)[:, 0]).all(1)
        periods = len(asked) if kept.all() else int(np.argmin(kept))
        assert periods >= 10
        demand = np.asarray(run["demand"], float)[:periods, None]
        found = costs(network, scenario_of(demand), asked[:periods])
        np.testing.assert_allclose(-found * 0.97 ** np.arange(periods), run["reward"][:periods], rtol=1e-6, atol=1e-4)


def test_or_gym_bound_and_levels():
    problem = or_gym.INSTANCES[0].problem
    weights = period_weights(problem)
    scenario = draw(problem.processes, jax.random.key(3), 30, 60)
    found = hindsight(problem.network, scenario, weights=weights)
    assert found.relaxed == () and found.attained.all()
    half = 5 * found.bound.std(ddof=1) / np.sqrt(60)
    assert -found.mean == pytest.approx(562.61, abs=half)
    theta = or_gym.levels_as_network((86, 210, 426), problem.network)
    kept = rollout(problem.network, BaseStock(echelon=True), theta, scenario, jax.random.key(0), keep_trajectory=True)
    cost = np.asarray(jax.vmap(total_cost, in_axes=(None, 0))(problem.network, kept.trajectory.flows))
    rule = weights @ cost
    assert (found.bound <= rule).all() and -rule.mean() == pytest.approx(396.3, abs=5 * rule.std(ddof=1) / np.sqrt(60))


@pytest.mark.parametrize("instance", ALL, ids=lambda x: x.id)
def test_an_instance_is_whole(instance):
    problem = instance.problem
    check_processes(problem.network, problem.processes)
    assert problem.network.wiring.timing == instance.timing
    assert instance.known_optimum is None  # a bound is no optimum
    assert instance.id.startswith(instance.family + "/") and instance.source


def test_the_opening_is_void():
    problem = gym_invmgmt.INSTANCES[0].problem
    scenario = draw(problem.processes, jax.random.key(1), 31, 200)
    demand, available = np.asarray(scenario.shocks.demand), np.asarray(scenario.shocks.available)
    assert (demand[0] == 0).all() and (available[0] == 0).all() and (available[1:] == 1).all()
    assert demand[1:].mean() == pytest.approx(20, abs=5 * np.sqrt(20 / demand[1:].size))
    network, start = problem.network, initial_state(problem.network, 200)
    state, flows = transition(network, start, jnp.full((11, 200), 30.0), jax.tree.map(lambda x: x[0], scenario.shocks))
    assert float(flows.shipped.max()) == 0 and float(state.backlog.max()) == 0 and float(state.pipeline.max()) == 0
    feed = {network.wiring.nodes[n]: float(state.components[m, 0]) for m, n in enumerate(network.wiring.node_of_input)}
    assert [feed[k] for k in "456"] == [400, 350, 380]
    stock = {k: float(state.on_hand[0, i, 0]) for i, k in enumerate(network.wiring.nodes)}
    assert [stock[k] for k in "123456"] == [100, 110, 80, 0, 0, 0]
