"""Exact solvers against published values, against brute force, and against the simulator."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.errors import InputError, NumberError, ParameterError, UnknownNameError
from meio_jax.network import TIMINGS
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state, transition
from meio_jax.solvers import (
    Normal,
    Pmf,
    Poisson,
    SerialSystem,
    as_law,
    base_stock,
    base_stock_cost,
    clark_scarf,
    clipped_normal,
    discretised,
    newsvendor,
    serial_system,
)
from meio_jax.topologies import distribution, local_holding_cost, serial

A, B = "demand_first", "order_first"


def textbook(echelon, lead_times, backlog_cost, timing=A):
    """As the literature prints it: echelon rates and lead times, customer stage first; transit at the source's rate."""
    return SerialSystem(local_holding_cost(echelon[::-1]), lead_times[::-1], backlog_cost, "upstream", timing)


def hdpo(backlog_cost):
    return SerialSystem((0.1, 0.2, 0.5, 1.0), (2, 4, 3, 4), backlog_cost)


# name: system, demand, cost, decimals that agree (published, V) or None (0.05 %, OWN), echelon levels customer first
GOLDEN = {
    "Snyder & Shen Example 6.1": (
        textbook((3, 2, 2), (1, 1, 2), 37.12),
        Normal(5, 1),
        47.660,
        3,
        (6.491, 12.018, 22.706),
    ),
    "Example 6.1 with Poisson": (textbook((3, 2, 2), (1, 1, 2), 37.12), Poisson(5), 72.0467, 4, (9, 15, 26)),
    "Example 6.1, order first": (
        textbook((3, 2, 2), (1, 1, 2), 37.12, B),
        Normal(5, 1),
        51.186,
        None,
        (12.108, 17.345, 27.866),
    ),
    "Problem 6.1": (textbook((1, 1), (1, 1), 15), Normal(100, 15), 166.2506, None, (123.47, 228.42)),
    "Problem 6.16": (textbook((5, 2), (8, 3), 24), Normal(20, 4), 438.1845, None, (171.19, 232.16)),
    "Shang & Song row 1": (textbook((0.25,) * 4, (0.25,) * 4, 9), Poisson(16), 12.6879, 4, (8, 13, 18, 22)),
    "Shang & Song row 17": (textbook((0.25,) * 4, (0.25,) * 4, 99), Poisson(16), 16.2055, 4, (11, 17, 22, 27)),
    "Pirhooshyaran 1": (SerialSystem((5, 8.2), (1, 1), 25.5, "upstream", A), Normal(3, 0.5), 22.2152, None, None),
    "Pirhooshyaran 2": (SerialSystem((1.9, 4.1), (2, 1), 11.3, "upstream", A), Normal(6, 1.5), 23.0792, None, None),
    "Pirhooshyaran 4": (SerialSystem((5, 10, 25), (2, 1, 1), 50, "upstream", A), Normal(50, 3), 879.893, None, None),
    "Pirhooshyaran 5": (
        SerialSystem((25, 25, 50), (1, 2, 2), 100, "upstream", A),
        Normal(100, 5),
        10567.199,
        None,
        None,
    ),
    "Pirhooshyaran 6": (
        SerialSystem((10, 20, 30), (1, 1, 1), 100, "upstream", A),
        Normal(100, 10),
        3630.733,
        None,
        None,
    ),
    "HDPO serial p=4": (hdpo(4), clipped_normal(5, 2), 8.7525, None, None),
    "HDPO serial p=9": (hdpo(9), clipped_normal(5, 2), 10.7339, None, None),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_clark_scarf_gives_the_known_optimum(name):
    system, demand, cost, decimals, levels = GOLDEN[name]
    found = clark_scarf(system, demand)
    tolerance = 5e-4 * cost if decimals is None else 0.55 * 10.0**-decimals
    assert found.cost == pytest.approx(cost, abs=tolerance)
    if levels is not None:
        assert found.echelon_levels[::-1] == pytest.approx(levels, abs=6e-3)
    # The levels found cost what was said; levels that differ cost no less.
    assert clark_scarf(system, demand, levels=found.echelon_levels).cost == pytest.approx(found.cost, rel=1e-6)
    for shift in (-1.0, 1.0):
        moved = [x + shift for x in found.echelon_levels]
        assert clark_scarf(system, demand, levels=moved).cost >= found.cost * (1 - 1e-6)


@pytest.mark.parametrize("lead_time, penalty, cost", [(4, 4, 5.0062), (4, 9, 6.2769), (10, 4, 7.4245), (10, 9, 9.3091)])
def test_one_store_with_clipped_normal_demand(lead_time, penalty, cost):
    demand = clipped_normal(5, 1.6)
    assert base_stock(demand, lead_time, 1.0, penalty).cost == pytest.approx(cost, abs=6e-5)
    assert clark_scarf(SerialSystem((1,), (lead_time,), penalty), demand).cost == pytest.approx(cost, abs=6e-5)


def test_example_6_1_as_a_network():
    network = serial(
        3,
        echelon_holding_cost=(2, 2, 3),
        lead_time=(2, 1, 1),
        backlog_cost=37.12,
        transit_holding_cost="upstream",
        timing=A,
    )
    found = clark_scarf(network, Normal(5, 1))
    assert found.cost == pytest.approx(47.660, abs=5e-4)
    assert found.local_levels == pytest.approx((10.688, 5.527, 6.491), abs=2e-3)
    assert found.constant_cost == pytest.approx(5 * (1 * 2 + 1 * 4))
    assert sum(found.local_levels) == pytest.approx(found.echelon_levels[0])


# --- Against brute force ---------------------------------------------------------------------------------------------


def two_stage_cost(h_up, h_down, penalty, levels, up, down):
    """E of the holding and backorder cost of two stages by plain enumeration of both lead-time demands."""
    cost = 0.0
    for (d, p), (e, q) in itertools.product(enumerate(up), enumerate(down)):
        x = levels[0] - d
        y = min(levels[1], x) - e
        cost += p * q * (h_up * x + (h_down - h_up) * y + (penalty + h_down) * max(-y, 0.0))
    return cost


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=5),
    st.integers(0, 2),
    st.integers(0, 2),
    st.floats(0.1, 2),
    st.floats(0, 2),
    st.floats(1, 20),
    st.tuples(st.floats(-3, 25), st.floats(-3, 25)),
)
def test_any_levels_cost_what_enumeration_says(weights, up, down, h, more, penalty, levels):
    demand = Pmf(np.asarray(weights) / np.sum(weights))
    laws = [demand.over(up), demand.over(down)]
    tables = [np.pad(law.probabilities, (round(law.first), 0)) for law in laws]
    system = SerialSystem((h, h + more), (up, down), penalty, "upstream", A)
    expected = two_stage_cost(h, h + more, penalty, levels, *tables)
    found = clark_scarf(system, demand, levels=levels)
    assert found.cost == pytest.approx(expected, rel=1e-9, abs=1e-9)
    optimum = clark_scarf(system, demand)
    assert optimum.cost <= expected + 1e-9
    best = min(two_stage_cost(h, h + more, penalty, s, *tables) for s in itertools.product(range(18), range(10)))
    assert optimum.cost == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("timing", TIMINGS)
def test_the_simulator_agrees(timing):
    """The optimum of a three-stage system is what the simulator pays for its levels, within five standard errors."""
    network = serial(
        3,
        holding_cost=(0.5, 1.0, 2.5),
        lead_time=(2, 1, 1),
        backlog_cost=12,
        transit_holding_cost=(0.3, 0.5, 0.7),
        timing=timing,
    )
    found = clark_scarf(network, Poisson(5))
    levels = jnp.asarray(found.echelon_levels)[:, None]
    lanes, warmup, periods = 1024, 60, 240
    demand = np.random.default_rng(5).poisson(5, (warmup + periods, 1, lanes)).astype(np.float32)

    def period(state, d):
        here = state.on_hand.sum(axis=0) + state.pipeline.sum(axis=0)
        echelon = jnp.cumsum(here[::-1], axis=0)[::-1] + state.backlog[:3] - state.backlog[3]
        orders = jnp.maximum(levels - echelon + (d if timing == A else 0.0), 0.0)
        state, flows = transition(network, state, orders, Shock(demand=d))
        stock = (network.holding_cost * flows.on_hand).sum(axis=0)
        moving = (network.transit_holding_cost * flows.in_transit).sum(axis=0)
        return state, stock + moving + (network.backlog_cost * flows.backlog).sum(axis=0)

    _, costs = jax.jit(lambda s, d: jax.lax.scan(period, s, d))(initial_state(network, lanes), demand)
    means = np.asarray(costs, float)[warmup:].mean(axis=0)
    assert means.mean() == pytest.approx(found.cost, abs=5 * means.std(ddof=1) / np.sqrt(lanes))


# --- What must hold for every instance -------------------------------------------------------------------------------

rate = st.floats(0.1, 5)
systems = st.builds(
    lambda local, lead, penalty, timing: SerialSystem(
        np.cumsum(local).tolist(), lead[: len(local)], penalty, 0.0, timing
    ),
    st.lists(rate, min_size=1, max_size=3),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.floats(1, 60),
    st.sampled_from(TIMINGS),
)
demands = st.one_of(st.builds(Poisson, st.floats(0.5, 8)), st.builds(Normal, st.floats(5, 20), st.floats(0.2, 3)))


@settings(max_examples=40)
@given(systems, demands)
def test_a_dearer_backorder_costs_more_and_stocks_more(system, demand):
    cheap, dear = (clark_scarf(dataclasses.replace(system, backlog_cost=b), demand) for b in (10.0, 25.0))
    assert cheap.cost <= dear.cost + 1e-6
    assert all(a <= b + 1e-6 for a, b in zip(cheap.echelon_levels, dear.echelon_levels, strict=True))


@settings(max_examples=40)
@given(systems, demands, st.floats(0.1, 10))
def test_money_is_a_unit(system, demand, scale):
    other = dataclasses.replace(
        system, holding_cost=[scale * h for h in system.holding_cost], backlog_cost=scale * system.backlog_cost
    )
    assert clark_scarf(other, demand).cost == pytest.approx(
        scale * clark_scarf(system, demand).cost, rel=1e-6, abs=1e-9
    )


@settings(max_examples=25)
@given(systems, st.floats(5, 20), st.floats(0.2, 3), st.floats(0.1, 10))
def test_quantity_is_a_unit(system, mean, sd, scale):
    one, other = clark_scarf(system, Normal(mean, sd)), clark_scarf(system, Normal(scale * mean, scale * sd))
    assert other.cost == pytest.approx(scale * one.cost, rel=1e-6, abs=1e-9)
    assert other.echelon_levels == pytest.approx([scale * x for x in one.echelon_levels], rel=1e-5, abs=1e-6)


@settings(max_examples=25)
@given(systems, st.floats(5, 20), st.floats(0.2, 3), st.floats(1, 50))
def test_a_certain_demand_on_top_costs_what_it_waits(system, mean, sd, more):
    """What is certain to be asked for waits nowhere, but for a period at every upper stage where that ships first."""
    one, other = clark_scarf(system, Normal(mean, sd)), clark_scarf(system, Normal(mean + more, sd))
    waits = more * sum(system.holding_cost[:-1]) if system.timing == "ship_first" else 0.0
    assert other.cost == pytest.approx(one.cost + waits, rel=1e-6, abs=1e-7 * (mean + more) * 100)


def test_the_serial_optimum_of_one_stage_is_the_newsvendor():
    for timing, law in itertools.product(TIMINGS, (Poisson(4), Normal(8, 2), Pmf(np.array([0.2, 0.5, 0.3])))):
        one = clark_scarf(SerialSystem((2.0,), (3,), 17.0, 0.4, timing), law)
        other = base_stock(law, 3, 2.0, 17.0, timing=timing, transit_cost=0.4)
        assert one.cost == pytest.approx(other.cost, rel=1e-6)
        assert one.echelon_levels == pytest.approx(other.echelon_levels, abs=2e-4)


def test_a_stage_where_stock_is_cheaper_than_before_it_takes_all():
    found = clark_scarf(SerialSystem((3.0, 1.0), (1, 1), 9.0, 0.0, A), Poisson(5))
    assert found.echelon_levels[1] == np.inf
    assert found.local_levels[0] == 0.0
    # So the two are one stage with the sum of the lead times; on the way stock costs nothing.
    assert found.cost == pytest.approx(base_stock(Poisson(5), 2, 1.0, 9.0, timing=A).cost, rel=1e-9)


def test_no_demand_and_no_lead_time():
    assert clark_scarf(SerialSystem((1, 2), (1, 1), 5.0), Poisson(0)).cost == 0
    assert clark_scarf(SerialSystem((1, 2), (0, 0), 5.0, 0.0, A), Normal(5, 1)).cost == 0
    assert clark_scarf(SerialSystem((1, 2), (1, 1), 5.0), Normal(5, 0)).cost == pytest.approx(0, abs=1e-9)


def test_lead_time_demand_may_be_given():
    system, demand = textbook((3, 2, 2), (1, 1, 2), 37.12), Poisson(5)
    laws = [Poisson(10), Pmf(Poisson(5).lattice(1.0)[1]), stats.poisson(5)]
    assert clark_scarf(system, demand, lead_time_demand=laws).cost == pytest.approx(72.04674, abs=1e-4)
    with pytest.raises(InputError, match="lead_time_demand has 2 values, and there are 3 stages"):
        clark_scarf(system, demand, lead_time_demand=laws[:2])
    with pytest.raises(InputError, match="one step"):
        clark_scarf(system, demand, lead_time_demand=[Poisson(10), Normal(5, 1), Poisson(5)])


def test_what_every_unit_pays_is_a_constant():
    plain, paid = (
        serial(2, holding_cost=(1, 2), backlog_cost=9, unit_cost=c, operating_cost=o)
        for c, o in ((0, 0), ((2, 3), 0.5))
    )
    one, other = clark_scarf(plain, Poisson(5)), clark_scarf(paid, Poisson(5))
    assert other.cost - one.cost == pytest.approx(5 * (2 + 3 + 0.5 + 0.5))
    assert other.echelon_levels == one.echelon_levels
    assert other.constant_cost - one.constant_cost == pytest.approx(30)


# --- Networks that are no serial system ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "feature",
    [
        {"capacity": 10},
        {"storage": 50},
        {"yield_": 0.9},
        {"shelf_life": 3},
        {"fixed_order_cost": 5},
        {"lot_size": 4},
        {"minimum_order": 2},
        {"order_capacity": 20},
        {"keep": 0.0},
        {"erosion": 0.1},
        {"backlog_cost": (1, 9)},
        {"make_to_order": True},
    ],
)
def test_a_feature_that_breaks_the_recursion_is_refused(feature):
    with pytest.raises(InputError):
        clark_scarf(serial(2, **({"holding_cost": (1, 2), "backlog_cost": 9} | feature)), Poisson(5))


def test_only_a_chain_is_serial():
    with pytest.raises(InputError, match="not serial"):
        serial_system(distribution(2, backlog_cost=9))
    two_suppliers = [Arc(OUTSIDE, "a", "x"), Arc(OUTSIDE, "a", "y"), Arc("a", CUSTOMER, backlog_cost=1)]
    with pytest.raises(InputError, match="not serial"):
        serial_system(build_network([Node("a")], two_suppliers))


def test_a_lane_must_be_chosen_where_numbers_differ():
    network = serial(2, holding_cost=(1, [1.5, 3.0]), backlog_cost=9)
    with pytest.raises(InputError, match="say which lane"):
        clark_scarf(network, Poisson(5))
    costs = [clark_scarf(network, Poisson(5), lane=k).cost for k in (0, 1)]
    assert costs == pytest.approx([clark_scarf(SerialSystem((1, h), (1, 1), 9), Poisson(5)).cost for h in (1.5, 3.0)])


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (((), (), 1.0), InputError, "at least one stage"),
        (((1, 2), (1,), 1.0), InputError, "lead_time has 1 values, and there are 2 stages"),
        (((1, 2), (1, -1), 1.0), NumberError, "lead_time = -1"),
        (((1, float("nan")), (1, 1), 1.0), NumberError, "holding_cost = nan"),
        (((1, 2), (1, 1), 0.0), NumberError, "backlog_cost is 0"),
        (((1, 2), (1, 1), 1.0, "downstream"), InputError, "upstream"),
        (((1, 2), (1, 1), 1.0, 0.0, "tea_first"), UnknownNameError, "tea_first"),
    ],
)
def test_a_wrong_system_is_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        SerialSystem(*arguments)


def test_wrong_levels_are_refused():
    system = SerialSystem((1, 2), (1, 1), 9.0)
    with pytest.raises(InputError, match="levels has 1"):
        clark_scarf(system, Poisson(5), levels=[3])
    with pytest.raises(NumberError, match="NaN"):
        clark_scarf(system, Poisson(5), levels=[3, float("nan")])
    with pytest.raises(NumberError, match="far from"):
        clark_scarf(system, Poisson(5), levels=[1e12, 3])
    with pytest.raises(ParameterError, match="whole numbers"):
        clark_scarf(SerialSystem((1, 2), (0.5, 1), 9.0), Pmf(np.array([0.5, 0.5])))


# --- Newsvendor and laws ---------------------------------------------------------------------------------------------


def test_newsvendor_textbook_normal():
    """Snyder and Shen, Example 4.3: h = 0.18, p = 0.70, N(50, 8): S = 56.6 and cost 1.9976."""
    found = newsvendor(Normal(50, 8), 0.18, 0.70)
    assert found.echelon_levels[0] == pytest.approx(56.6, abs=0.05)
    assert found.cost == pytest.approx(1.9976, abs=5e-4)


@settings(max_examples=40)
@given(st.floats(0.5, 30), st.floats(0.1, 5), st.floats(0.1, 50))
def test_newsvendor_poisson_is_the_best_of_all_levels(mean, holding, penalty):
    found = newsvendor(Poisson(mean), holding, penalty)
    costs = [base_stock_cost(y, Poisson(mean), 0, holding, penalty) for y in range(80)]
    assert found.cost == pytest.approx(min(costs), rel=1e-9, abs=1e-12)
    assert costs[round(found.echelon_levels[0])] == pytest.approx(found.cost, rel=1e-9, abs=1e-12)


def test_newsvendor_at_the_edges():
    assert newsvendor(Pmf(np.array([0.5, 0.5])), 1.0, 0.0).echelon_levels == (0.0,)
    assert newsvendor(Pmf(np.array([0.5, 0.5])), 0.0, 1.0).echelon_levels == (1.0,)
    assert newsvendor(Normal(3, 0), 1.0, 2.0).cost == 0
    with pytest.raises(NumberError, match="both 0"):
        newsvendor(Poisson(5), 0, 0)
    with pytest.raises(NumberError, match="backlog_cost = -1"):
        newsvendor(Poisson(5), 1, -1)
    with pytest.raises(NumberError, match="level = nan"):
        base_stock_cost(float("nan"), Poisson(5), 1, 1, 9)


laws = [
    (Normal(5, 2), stats.norm(5, 2)),
    (Poisson(3.5), stats.poisson(3.5)),
    (Pmf(np.array([0.1, 0.0, 0.9]), 4.0, 0.5), None),
    (discretised(stats.gamma(2.5, scale=2)), stats.gamma(2.5, scale=2)),
    (as_law(stats.geom(1 / 6, loc=-1)), stats.geom(1 / 6, loc=-1)),
]


@pytest.mark.parametrize("law, truth", laws)
def test_a_law_agrees_with_itself_and_with_scipy(law, truth):
    first, p = law.lattice(law.step or law.sd / 100)
    values = first + (law.step or law.sd / 100) * np.arange(p.size)
    assert p.sum() == pytest.approx(1)
    assert values @ p == pytest.approx(law.mean, rel=1e-9)
    assert np.sqrt((values - law.mean) ** 2 @ p) == pytest.approx(law.sd, rel=1e-6)
    for x in (law.mean - 1.3 * law.sd, law.mean, law.mean + 2.1 * law.sd):
        assert law.loss(x) == pytest.approx(np.maximum(values - x, 0) @ p, abs=1e-4 * law.sd)
    if truth is not None:
        assert law.mean == pytest.approx(truth.mean(), rel=1e-6)
        assert law.sd == pytest.approx(truth.std(), rel=1e-4)
        assert law.ppf(0.9) == pytest.approx(truth.ppf(0.9), abs=0.02 * law.sd)
        assert law.cdf(law.mean + 0.3) == pytest.approx(truth.cdf(law.mean + 0.3), abs=5e-3)
    three = law.over(3)
    assert three.mean == pytest.approx(3 * law.mean)
    assert three.sd == pytest.approx(np.sqrt(3) * law.sd)
    assert law.over(0).loss(0.0) == 0


def test_clipping_is_exact_in_the_mean():
    z = stats.norm.cdf(2.5) * 5 + 2 * stats.norm.pdf(2.5)
    assert clipped_normal(5, 2).mean == pytest.approx(z, rel=1e-9)
    assert clipped_normal(5, 2).first == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normal(5, -1),
        lambda: Normal(float("nan"), 1),
        lambda: Poisson(-1),
        lambda: Poisson(float("inf")),
        lambda: Pmf(np.array([0.5, 0.6])),
        lambda: Pmf(np.array([1.5, -0.5])),
        lambda: Pmf(np.array([[1.0]])),
        lambda: Pmf(np.array([])),
        lambda: discretised(stats.cauchy()),
        lambda: as_law("many"),
        lambda: Poisson(5).over(-1),
        lambda: Poisson(5).lattice(0.5),
    ],
)
def test_a_parameter_out_of_its_domain_is_refused(make):
    with pytest.raises(ParameterError):
        make()
