"""One-node networks: what base stock, (s, S) and (r, nQ) cost in the simulator, and what each of them refuses."""

import math

import numpy as np
import pytest

from meio_jax.errors import InputError, NumberError, UnboundedError, UnsuitableError
from meio_jax.processes import Processes, discrete, normal, poisson
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario, Shock
from meio_jax.solvers import Normal, Pmf, Poisson, base_stock
from meio_jax.solvers.lot_size import METHODS as LOT_METHODS
from meio_jax.solvers.lot_size import r_nQ, r_nQ_cost
from meio_jax.solvers.newsvendor import METHODS as LEVEL_METHODS
from meio_jax.solvers.newsvendor import newsvendor_profit
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.reorder_levels import METHODS as REORDER_METHODS
from meio_jax.solvers.reorder_levels import power_approximation, s_S, s_S_cost
from meio_jax.solvers.single_stage import Stage, single_stage
from meio_jax.topologies import distribution, serial

BASE_STOCK, S_S, R_NQ = LEVEL_METHODS[0], REORDER_METHODS[0], LOT_METHODS[0]


# --- As networks, played ---------------------------------------------------------------------------------------------

COSTS = {
    "holding_cost": 1.0, "backlog_cost": 9.0, "lead_time": 2, "transit_holding_cost": 0.25, "unit_cost": 0.5,
    "operating_cost": 0.25, "price": 0.125,
}  # fmt: skip
slow = pytest.mark.slow
PLAYED = [
    (BASE_STOCK, {}, "demand_first"),
    (S_S, {"fixed_order_cost": 20.0}, "order_first"),
    (S_S, {"fixed_order_cost": 20.0}, "demand_first"),
    (R_NQ, {"fixed_order_cost": 20.0}, "order_first"),
    pytest.param(S_S, {"fixed_order_cost": 20.0, "order_delay": 1}, "ship_first", marks=slow),
    pytest.param(R_NQ, {"lot_size": 8.0, "integer": True}, "demand_first", marks=slow),
]


@pytest.mark.parametrize("method, more, timing", PLAYED)
def test_the_simulator_pays_what_was_said(method, more, timing, rngs):
    network = serial(1, **COSTS, **more, timing=timing)
    found = method(Problem(network, Processes(poisson(5.0)), (Poisson(5),)))
    assert found.claim == ("exact" if "fixed_order_cost" in more and method is R_NQ else "optimal")
    lanes, warmup, periods = 512, 40, 240
    demand = rngs.numpy.poisson(5, (periods, 1, lanes)).astype(np.float32)
    played = rollout(network, found.policy, found.theta, Scenario(Shock(demand)), rngs.key, warmup=warmup)
    costs = np.asarray(played.totals.cost, float) / (periods - warmup)
    assert costs.mean() == pytest.approx(found.cost, abs=5 * costs.std(ddof=1) / math.sqrt(lanes))
    if "fixed_order_cost" in more:
        orders = np.asarray(played.totals.fixed, float) / (periods - warmup) / more["fixed_order_cost"]
        assert orders.mean() == pytest.approx(found.numbers["orders"], abs=5 * orders.std(ddof=1) / math.sqrt(lanes))


def test_a_network_is_the_stage_that_it_describes():
    network = serial(1, **COSTS, fixed_order_cost=20, lot_size=4, timing="ship_first")
    stage = single_stage(network, takes=("fixed_order_cost", "lot_size"))
    assert stage == Stage(1.0, 9.0, 2.0, 20.0, "ship_first", 0.25, 0.625, 4.0)
    lanes = serial(1, **{**COSTS, "holding_cost": [(1.0, 3.0)]})
    assert (
        base_stock(lanes, Poisson(5), lane=1).cost
        == base_stock(serial(1, **{**COSTS, "holding_cost": 3.0}), Poisson(5)).cost
    )
    with pytest.raises(UnsuitableError, match="holding_cost differs between lanes: say which lane"):
        base_stock(lanes, Poisson(5))


REFUSED = [
    ({"keep": 0.0, "lost_cost": 9.0}, '"value_iteration"'),
    ({"keep": 0.5}, '"value_iteration"'),
    ({"capacity": 7.0}, 'capacity = 7.*"value_iteration"'),
    ({"order_capacity": 7.0}, 'order_capacity = 7.*"value_iteration"'),
    ({"minimum_order": 4.0}, 'minimum_order = 4.*"value_iteration"'),
    ({"storage": 20.0}, 'storage = 20.*"value_iteration"'),
    ({"shelf_life": 3}, 'shelf_life = 3.*"value_iteration"'),
    ({"yield_": 0.5}, 'yield_ = 0.5.*"value_iteration"'),
    ({"erosion": 0.5}, "erosion.*`search`"),
    ({"fixed_order_cost": 5.0}, '"s_S"'),
    ({"lot_size": 7.0}, '"r_nQ"'),
    ({"lot_size": 7.0, "fixed_order_cost": 5.0}, '"r_nQ"'),
    ({"capacity": 7.0, "fixed_order_cost": 5.0}, 'capacity = 7.*"value_iteration"'),
]


@pytest.mark.parametrize("feature, match", REFUSED, ids=lambda x: next(iter(x)) if isinstance(x, dict) else None)
def test_a_network_that_a_rule_cannot_treat_is_refused(feature, match):
    network = serial(1, holding_cost=1, backlog_cost=9, lead_time=2, **feature)
    problem = Problem(network, Processes(poisson(5.0)), (Poisson(5),))
    taken = {"s_S": ["fixed_order_cost"], "r_nQ": ["fixed_order_cost", "lot_size"]}
    for method in (BASE_STOCK, S_S, R_NQ):
        if set(feature) <= set(taken.get(method.name, ())):
            assert method.unfit(problem) is None
            continue
        with pytest.raises(UnsuitableError, match=match):
            method(problem)
    with pytest.raises(UnsuitableError, match=match):
        base_stock(network, Poisson(5))


def test_lost_sales_with_a_fixed_cost_are_for_value_iteration():
    """Bijvank et al. (2015), L = 2, p = 14, K = 5: the (s, S) optimum with backorders would be another system's."""
    network = serial(1, holding_cost=1, keep=0, lost_cost=14, lead_time=2, fixed_order_cost=5, integer=True)
    problem = Problem(network, Processes(poisson(5.0)), (Poisson(5),))
    for method in (BASE_STOCK, S_S, R_NQ):
        with pytest.raises(UnsuitableError, match=f'^{method.name} cannot.*unmet demand is lost.*"value_iteration"'):
            method(problem)


def test_problems_that_are_no_single_stage_are_refused():
    one = serial(1, holding_cost=1, backlog_cost=9, min_lead_time=0, max_lead_time=3)
    demand, law = Processes(poisson(5.0)), (Poisson(5),)
    chain = serial(2, holding_cost=1, backlog_cost=9)
    for problem, match in (
        (Problem(chain, demand, law), '2 nodes.*"clark_scarf"'),
        (Problem(distribution(2, holding_cost=1, backlog_cost=9), Processes(poisson([5.0, 5.0])), law * 2), "search"),
        (Problem(one, demand.replace(lead_time=discrete([0, 3], [0.5, 0.5])), law), "lead_time process.*`search`"),
        (Problem(one, demand, law, criterion="discounted", discount=0.9), '"discounted".*"value_iteration"'),
        (Problem(one, demand), "law of demand is not known"),
    ):
        for method in (BASE_STOCK, S_S, R_NQ):
            with pytest.raises(UnsuitableError, match=match):
                method(problem)
    uncut = Problem(one, Processes(normal(50.0, 8.0)), (Normal(50, 8),))
    assert BASE_STOCK.unfit(uncut) is None
    for method in (S_S, R_NQ):
        with pytest.raises(UnsuitableError, match="continuous"):
            method(uncut)
    whole = Problem(serial(1, holding_cost=1, backlog_cost=9, integer=True), uncut.processes, uncut.laws)
    with pytest.raises(UnsuitableError, match="counts whole units"):
        BASE_STOCK(whole)


# --- Numbers at fault ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, match, call",
    [
        (NumberError, "both 0", lambda: Stage(0, 0)),
        (NumberError, "backlog_cost = nan", lambda: Stage(1, float("nan"))),
        (NumberError, "fixed_cost = -5", lambda: Stage(1, 9, 0, -5)),
        (NumberError, "lead_time = -1", lambda: Stage(1, 9, -1)),
        (InputError, "timing 'early'", lambda: Stage(1, 9, timing="early")),
        (UnboundedError, "holding_cost is 0", lambda: s_S(Stage(0, 9, 0, 5), Poisson(5))),
        (UnboundedError, "backlog_cost is 0", lambda: r_nQ(Stage(1, 0, 0, 5), Poisson(5))),
        (UnsuitableError, "continuous.*clipped_normal", lambda: s_S(Stage(1, 9, 0, 5), Normal(5, 1))),
        (UnsuitableError, "continuous.*`r_Q`", lambda: r_nQ(Stage(1, 9, 0, 5), Normal(5, 1))),
        (UnsuitableError, "returns have no place", lambda: s_S(Stage(1, 9), Pmf(np.full(3, 1 / 3), -1.0))),
        (UnsuitableError, "never are 0", lambda: s_S(Stage(1, 9), Pmf(np.full(3, 1 / 3), 0.5))),
        (UnsuitableError, "multiples of 2", lambda: r_nQ(Stage(1, 9), Pmf(np.array([0.5, 0, 0.5])))),
        (UnsuitableError, "demand is 0", lambda: r_nQ(Stage(1, 9), Poisson(0))),
        (InputError, "whole numbers", lambda: s_S(Stage(1, 9, 0.5), Pmf(np.array([0.5, 0.5])))),
        (NumberError, "up_to = inf", lambda: s_S_cost(1, math.inf, Stage(1, 9), Poisson(5))),
        (NumberError, "lot = 2.5", lambda: r_nQ(Stage(1, 9), Poisson(5), lot=2.5)),
        (NumberError, "no multiple of the lots of 3", lambda: r_nQ(Stage(1, 9, lot=3), Poisson(5), lot=4)),
        (NumberError, "reorder = 0.5", lambda: r_nQ_cost(0.5, 2, Stage(1, 9), Poisson(5))),
        (UnsuitableError, '"s_S" can', lambda: base_stock(Stage(1, 9, 0, 5), Poisson(5))),
        (UnsuitableError, '"r_nQ" can', lambda: s_S(Stage(1, 9, lot=4), Poisson(5))),
        (
            UnsuitableError,
            "demand that varies",
            lambda: power_approximation(Stage(1, 9, 0, 5), Pmf(np.array([0, 1.0]))),
        ),
        (InputError, "a Network or a Stage", lambda: s_S("stage", Poisson(5))),
        (InputError, "give both rates", lambda: base_stock(Poisson(5), 2)),
        (InputError, "brings its own rates", lambda: base_stock(Stage(1, 9), Poisson(5), 1.0, 9.0)),
        (UnboundedError, "every unit more", lambda: newsvendor_profit(Poisson(5), 9, 3, salvage=4)),
        (NumberError, "both 0|price = -1", lambda: newsvendor_profit(Poisson(5), -1, 3)),
        (NumberError, "too large a table|needs", lambda: s_S(Stage(1e-6, 1e-6, 0, 1e9), Poisson(1))),
    ],
)
def test_a_number_at_fault_is_named(error, match, call):
    with pytest.raises(error, match=match):
        call()
