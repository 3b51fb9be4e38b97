"""Planners: exact where nothing is uncertain, hedged where something is, blind to the future."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network
from meio_jax.errors import InputError, NumberError, UnsuitableError
from meio_jax.processes import Processes, deterministic, poisson, seasonal
from meio_jax.scenario import scenario_of
from meio_jax.solvers.hindsight import hindsight
from meio_jax.solvers.laws import Pmf, Poisson
from meio_jax.solvers.newsvendor import newsvendor
from meio_jax.solvers.planners import (
    METHODS,
    RollingPlan,
    ScenarioTree,
    branched,
    outlook_of,
    play,
    quantiles,
)
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import serial

PERIODS = 10


def chain(timing: str = "order_first", **last):
    nodes = [Node("a", holding_cost=0.2, initial_on_hand=6), Node("b", holding_cost=0.5, initial_on_hand=9)]
    arcs = [
        Arc(OUTSIDE, "a", lead_time=1, unit_cost=0.3, order_capacity=14),
        Arc("a", "b", lead_time=2, transit_holding_cost=0.1),
        Arc("b", CUSTOMER, **({"price": 4.0, "backlog_cost": 1.0} | last)),
    ]
    return build_network(nodes, arcs, timing=timing)


@pytest.mark.parametrize("timing", ["demand_first", "order_first", "ship_first"])
def test_where_demand_is_known_a_rolling_plan_is_the_hindsight_optimum(timing):
    network = chain(timing)
    demand = np.array([3, 9, 1, 7, 7, 0, 12, 4, 2, 5.0])[:, None]
    scenario = scenario_of(demand)
    best = hindsight(network, scenario)
    assert best.attained.all()
    played = play(network, RollingPlan(demand), scenario)
    assert played.totals()[0] == pytest.approx(best.bound[0], rel=1e-5)
    tree = ScenarioTree(demand, branching=(2, 2))  # all branches are the same
    assert play(network, tree, scenario).totals()[0] == pytest.approx(best.bound[0], rel=1e-5)
    wrong = play(network, RollingPlan(np.roll(demand, 1, 0)), scenario).totals()[0]
    assert wrong > best.bound[0] + 0.5


def test_a_planner_does_not_see_the_future():
    network = chain()
    rng = np.random.default_rng(2)
    demand = rng.poisson(6, (PERIODS, 1, 2)).astype(float)
    demand[:6, :, 1] = demand[:6, :, 0]  # two lanes with one past
    planner = ScenarioTree(outlook_of([Poisson(6)], PERIODS), branching=(2, 2))
    played = play(network, planner, scenario_of(demand))
    np.testing.assert_array_equal(played.orders[:7, :, 0], played.orders[:7, :, 1])
    assert (played.orders[7:, :, 0] != played.orders[7:, :, 1]).any()
    again = play(network, planner, scenario_of(demand))
    np.testing.assert_array_equal(again.orders, played.orders)  # and is the same each time
    assert played.costs.shape == (PERIODS, 2) and played.seconds > 0
    np.testing.assert_allclose(played.flows.ordered[:, :2], played.orders, atol=1e-5)


def test_demand_first_is_seen():
    """With a lead time of 0 what is asked for is ordered, whatever was expected."""
    network = build_network(
        [Node("a", holding_cost=1.0)], [Arc(OUTSIDE, "a"), Arc("a", CUSTOMER, backlog_cost=9.0)], timing="demand_first"
    )
    demand = np.array([4.0, 0.0, 7.0, 3.0])[:, None]
    for planner in (RollingPlan(np.full((4, 1), 5.0)), ScenarioTree(outlook_of([Poisson(5)], 4), branching=(3,))):
        played = play(network, planner, scenario_of(demand))
        np.testing.assert_allclose(played.orders[:, 0, 0], demand[:, 0], atol=1e-7)


def newsvendor_network():
    nodes, arcs = [Node("a", holding_cost=1.0)], [Arc(OUTSIDE, "a"), Arc("a", CUSTOMER, lost_cost=4.0, keep=0.0)]
    return build_network(nodes, arcs, timing="order_first")


def test_a_tree_of_one_period_is_the_newsvendor():
    law = Pmf(np.array([0.1, 0.2, 0.3, 0.2, 0.1, 0.1]))
    network = newsvendor_network()
    values = np.repeat(law.values, [1, 2, 3, 2, 1, 1])  # equally likely
    level = newsvendor(law, 1.0, 4.0).echelon_levels[0]
    scenario = scenario_of(np.zeros((1, 1)))
    tree = ScenarioTree(values[None, None], branching=(10,))
    assert play(network, tree, scenario).orders[0, 0, 0] == pytest.approx(level) == 3.0
    assert play(network, RollingPlan(values[None, None]), scenario).orders[0, 0, 0] == pytest.approx(law.mean)
    planned = RollingPlan(values[None, None], quantile=0.99)
    assert play(network, planned, scenario).orders[0, 0, 0] == pytest.approx(5.0, abs=0.1)


def test_hedging_pays():
    network = chain(backlog_cost=12.0, price=0.0)
    demand = np.random.default_rng(4).poisson(6, (PERIODS, 1, 6)).astype(float)
    outlook = outlook_of([Poisson(6)], PERIODS)
    scenario = scenario_of(demand)
    plain, tree = (
        play(network, p, scenario).totals() for p in (RollingPlan(outlook), ScenarioTree(outlook, branching=(4, 3)))
    )
    bound = hindsight(network, scenario, play=False).bound
    assert tree.mean() < 0.9 * plain.mean()
    assert (bound <= tree + 1e-6).all() and (bound <= plain + 1e-6).all()


def test_a_system_that_goes_on_is_stocked_to_the_end():
    """Without worth at the end of the horizon a plan would let the stock run out."""
    network = chain()
    flat = np.full((1, 1), 6.0)
    scenario = scenario_of(np.full((PERIODS, 1), 6.0))
    last = {}
    for terminal in ("replacement", None):
        planner = RollingPlan(flat, horizon=6, ends=False, terminal=terminal)
        last[terminal] = play(network, planner, scenario).flows.filled[-1, -1, 0]
    assert last["replacement"] == pytest.approx(6.0)
    with pytest.raises(InputError, match="terminal = 'worth'"):
        play(network, RollingPlan(flat, horizon=6, ends=False, terminal="worth"), scenario)
    with pytest.raises(InputError, match="period 1 is beyond the 1 periods"):
        play(network, RollingPlan(flat), scenario)


def test_an_outage_that_is_seen_is_planned_for():
    network = chain()
    network = network.replace(keep=np.array([[0.0], [0.0], [1.0]]))
    available = np.ones((PERIODS, 2, 1))
    available[0] = 0.0
    planner = RollingPlan(np.full((PERIODS, 1), 6.0))
    played = play(network, planner, scenario_of(np.full((PERIODS, 1), 6.0), available=available))
    assert played.orders[0].max() == 0 and played.orders[1].max() > 0


# --- Outlooks and trees ----------------------------------------------------------------------------------------------


def test_an_outlook_has_the_mean_and_the_spread_of_its_law():
    law = Poisson(20)
    x = quantiles(law)
    assert x.mean() == pytest.approx(20) and x.std() == pytest.approx(law.sd, rel=0.01)
    calm = Processes(demand=seasonal(poisson([20.0, 5.0]), [0.0, 1.0, 2.0]))
    seen = outlook_of(calm, 6, points=400)
    assert seen.shape == (6, 2, 400) and (np.diff(seen, axis=-1) >= 0).all()
    assert (seen[0] == 0).all() and seen[2, 0].mean() == pytest.approx(40, abs=5 * 9 / 20)
    exact = outlook_of(Processes(demand=deterministic([3.0])), 2)
    assert (exact == 3).all()
    with pytest.raises(InputError, match="outlook over 0 periods"):
        outlook_of([law], 0)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_branches_keep_mean_and_spread(count):
    values = np.sort(np.random.default_rng(1).gamma(8.0, 3.0, 101))
    points = branched(values, count)
    assert points.shape == (count,) and points.mean() == pytest.approx(values.mean())
    assert points.std() == pytest.approx(values.std() if count > 1 else 0.0)
    assert (branched(np.full(5, 2.0), 3) == 2).all()


def test_a_tree_is_what_its_branching_says():
    planner = ScenarioTree(outlook_of([Poisson(9), Poisson(4)], 6), branching=(3, 2))
    tree = planner.tree(6, False)
    assert np.bincount(tree.depth).tolist() == [3, 6, 6, 6, 6, 6]
    assert all(np.isclose(tree.probability[tree.depth == d].sum(), 1) for d in range(6))
    demand = planner.futures(0, tree, False)
    for d in range(6):  # every period of the tree has the law's mean and spread, for both customers
        here = demand[tree.depth == d]
        np.testing.assert_allclose(here.mean(0), [9, 4])
        np.testing.assert_allclose(here.std(0), [3, 2], rtol=0.02)
    known = planner.tree(4, True)
    assert np.bincount(known.depth).tolist() == [1, 3, 6, 6]
    np.testing.assert_array_equal(demand, planner.futures(0, tree, False))


# --- As methods, and what is refused ---------------------------------------------------------------------------------


def test_methods_cost_what_they_cost_on_fresh_draws():
    network = chain()
    problem = Problem(network, Processes(demand=poisson([6.0])), (Poisson(6),), criterion="total", periods=6)
    rolling, tree = (m(problem) for m in METHODS)
    assert [m.name for m in METHODS] == ["rolling_plan", "scenario_tree"]
    for found in (rolling, tree):
        low, high = found.details["interval"]
        assert found.claim == "approximate" and low < found.cost < high
    assert tree.cost != rolling.cost
    endless = dataclasses.replace(problem, criterion="discounted", periods=None, discount=0.99)  # a third after 120
    assert all("goes on" in m.unfit(endless) for m in METHODS)
    assert all(m.unfit(dataclasses.replace(endless, discount=0.9)) is None for m in METHODS)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: RollingPlan(np.ones(3)), InputError, "outlook has shape"),
        (lambda: RollingPlan(np.full((3, 1), np.nan)), NumberError, "finite"),
        (lambda: RollingPlan(np.full((3, 1), -1.0)), NumberError, "not negative"),
        (lambda: RollingPlan(np.ones((3, 1)), horizon=0), NumberError, "horizon = 0"),
        (lambda: RollingPlan(np.ones((3, 1)), ends=False), InputError, "needs horizon="),
        (lambda: ScenarioTree(np.ones((3, 1)), branching=(0,)), NumberError, "branching"),
        (lambda: ScenarioTree(np.ones((3, 1)), quantile=0.5), InputError, "leave quantile out"),
    ],
)
def test_a_wrong_planner_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_cannot_be_planned_is_refused():
    planner, demand = RollingPlan(np.ones((3, 1))), np.ones((3, 1))
    several = serial(1, backlog_cost=9, holding_cost=[[1.0, 2.0]])
    with pytest.raises(InputError, match="must not differ between lanes"):
        play(several, planner, scenario_of(demand))
    with pytest.raises(UnsuitableError, match="reports are late"):
        play(chain(), planner, scenario_of(demand, report_age=np.ones((3, 2))))
    with pytest.raises(UnsuitableError, match="reacts to service"):
        play(serial(1, backlog_cost=9, erosion=0.1), planner, scenario_of(demand))
    assert jax.config.jax_enable_x64 is False  # playing in float64 leaves the precision of others as it was
