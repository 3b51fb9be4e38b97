"""The beer game by its published costs; the stationary games by a closed form, a solver and a simulation."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Processes, build_network
from meio_jax.errors import UnsuitableError
from meio_jax.instances.beer_game import (
    INSTANCES,
    MAIL,
    STAGES,
    beer_game,
    central_lead_times,
    local_lead_times,
)
from meio_jax.kpis import costs_by_node, total_cost
from meio_jax.processes import poisson
from meio_jax.rollout import rollout
from meio_jax.solvers import clark_scarf
from meio_jax.solvers.laws import Poisson
from meio_jax.solvers.played import played
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.serial import SerialSystem, serial_system
from meio_jax.solvers.shang_song import shang_song
from meio_jax.solvers.state_space import unusable
from meio_jax.solvers.tree import not_tree

GAMES = {i.id.removeprefix("beer_game/"): i for i in INSTANCES}


def by_stage(network, flows):
    """``[N, B]`` cost of each stage."""
    return sum(x for k, x in costs_by_node(network, flows).items() if k != "revenue")


@pytest.mark.parametrize("k, stages", [(0, (46, 50, 54, 54)), (1, None)])
def test_sterman(k, stages):
    game = GAMES["classic"]
    problem, known = game.problem, game.known[k]
    policy, theta = known.rule()
    run = rollout(
        problem.network, policy, theta, problem.processes, jax.random.key(0), periods=problem.periods, lanes=1,
        measure=by_stage, keep_trajectory=True,
    )  # fmt: skip
    cost = dict(zip(STAGES, np.asarray(run.totals)[:, 0].tolist(), strict=True))
    assert sum(cost.values()) == known.cost == (204.0, 180.0)[k]
    if stages is not None:
        assert [cost[s] for s in reversed(STAGES)] == list(stages)
        assert (np.asarray(run.trajectory.flows.ordered)[:4, :4] == 4).all()
    demand = np.asarray(run.trajectory.shock.demand).ravel()
    assert demand.tolist() == [4.0] * 4 + [8.0] * 32


def local_base_stock(levels, lead_times, holding, backlog, demand):
    """Cost per period of levels that every stage keeps for itself: its stock is the level less what the stage before
    owes it and demand over its lead time, which are independent. Upstream first; ``demand`` on 0, 1, ...
    """
    owed, cost = np.array([1.0]), 0.0
    for level, periods, h, b in zip(levels, lead_times, holding, backlog, strict=True):
        for _ in range(periods):
            owed = np.convolve(owed, demand)
        net = level - np.arange(owed.size)
        cost += float((h * np.maximum(net, 0) + b * np.maximum(-net, 0)) @ owed)
        owed = np.bincount(np.maximum(-net, 0).astype(int), weights=owed)
    return cost


def test_local_levels_by_a_closed_form():
    third, ninth = np.full(3, 1 / 3), np.full(9, 1 / 9)
    small = local_base_stock((0, 0, 8, 8), (4, 4, 4, 4), (2,) * 4, (0, 0, 0, 2), third)
    assert GAMES["uniform"].known[1].cost == pytest.approx(small, rel=1e-12)
    large = local_base_stock((14, 20, 20, 19), local_lead_times(), (0.5,) * 4, (1,) * 4, ninth)
    assert GAMES["uniform_8"].known[0].cost == pytest.approx(large, rel=1e-12)


@pytest.mark.parametrize("game, mail", [("uniform", (2, 2, 2, 2)), ("normal", MAIL)])
def test_optima_by_the_recursion_without_mail(game, mail):
    instance = GAMES[game]
    network, law = instance.problem.network, instance.problem.laws[0]
    assert network.wiring.order_delay == mail
    holding, backlog = np.asarray(network.holding_cost)[:, 0], float(network.backlog_cost[-1, 0])
    for known, times in zip(instance.known, (central_lead_times(mail), local_lead_times(mail)), strict=False):
        best = clark_scarf(SerialSystem(holding.tolist(), times, backlog, timing="demand_first"), law)
        assert known.cost == pytest.approx(best.cost, abs=known.precision + 1e-9)
        if known.rule is None:
            continue
        _, theta = known.rule()
        echelon = np.cumsum(np.asarray(theta["level"])[::-1, 0])[::-1]
        limit = np.minimum.accumulate(best.echelon_levels)  # nobody can hold more than those before let through
        np.testing.assert_allclose(np.minimum.accumulate(echelon), limit, atol=1e-5 * limit.max())


@pytest.mark.parametrize("timing", ["demand_first", "order_first", "ship_first"])
def test_clark_scarf_reads_the_mail_of_a_network(timing):
    """Its cost is what its policy costs in the simulator, in every timing, with a charge on what is in transit."""
    network = build_network(
        [Node("plant", 0.5), Node("depot", 1.0), Node("shop", 2.0)],
        [
            Arc(OUTSIDE, "plant", lead_time=1, order_delay=2, transit_holding_cost=0.25),
            Arc("plant", "depot", lead_time=2, order_delay=1, transit_holding_cost=0.5, unit_cost=0.1),
            Arc("depot", "shop", lead_time=1, order_delay=3, transit_holding_cost=1.0),
            Arc("shop", CUSTOMER, backlog_cost=18.0),
        ],
        timing=timing,
    )
    assert serial_system(network).lead_time == (2.0, 0.0, 4.0)
    found = clark_scarf(network, Poisson(6.0))
    problem = Problem(network, Processes(demand=poisson([6.0])), (Poisson(6.0),))
    cost = played(problem, found.policy, found.theta, jax.random.key(1), lanes=256, periods=300, level=0.9999994)
    assert cost.low < found.cost < cost.high  # five standard errors
    assert cost.high - cost.low < 0.07 * found.cost


def test_clark_scarf_of_the_games():
    for name in ("uniform", "normal"):
        problem, known = GAMES[name].problem, GAMES[name].known[0]
        found = clark_scarf(problem.network, problem.laws[0])
        assert found.cost == pytest.approx(known.cost, abs=known.precision + 1e-9)
        assert (found.claim, found.lower_bound, found.local_levels) == ("exact", -np.inf, ())
    slow = beer_game(mail=(1, 4, 2, 2), backlog_cost=(0.0, 0.0, 0.0, 10.0))
    with pytest.raises(UnsuitableError, match="travels longer"):
        clark_scarf(slow, Poisson(4.0))
    for refuse in (not_tree, unusable):
        assert "orders travel (order_delay)" in refuse(slow)
    with pytest.raises(UnsuitableError, match="orders travel"):
        shang_song(beer_game(backlog_cost=(0.0, 0.0, 0.0, 10.0)), Poisson(4.0))


@pytest.mark.parametrize("game, k", [("uniform", 0), ("uniform", 1), ("uniform_8", 0), ("normal", 0), ("normal", 1)])
def test_known_costs_by_simulation(game, k):
    """Mail and shipping as they are, within five standard errors."""
    problem, known = GAMES[game].problem, GAMES[game].known[k]
    best = clark_scarf(problem.network, problem.laws[0]) if known.rule is None else None
    policy, theta = known.rule() if best is None else (best.policy, best.theta)
    periods, lanes = 600, 512
    run = rollout(
        problem.network, policy, theta, problem.processes, jax.random.key(k), periods=periods, lanes=lanes,
        warmup=problem.warmup, measure=total_cost,
    )  # fmt: skip
    cost = np.asarray(run.totals, np.float64) / (periods - problem.warmup)
    error = cost.std(ddof=1) / np.sqrt(lanes)
    assert abs(cost.mean() - known.cost) < 5 * error
    assert error < 0.01 * known.cost
