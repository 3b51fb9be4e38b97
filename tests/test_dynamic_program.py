"""Exact dynamic programs against published optima, plain loops, Clark and Scarf, and the simulator."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_systems import THREE, dual_sourcing, lost_sales, of_pmf, perishable, two_retailers, two_stages

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.errors import UnsuitableError
from meio_jax.kpis import total_cost
from meio_jax.observation import observe
from meio_jax.policies import BaseStock
from meio_jax.processes import Processes, poisson
from meio_jax.rollout import rollout
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state, transition
from meio_jax.solvers.clark_scarf import clark_scarf
from meio_jax.solvers.dynamic_program import METHODS, value_iteration
from meio_jax.solvers.federgruen_zipkin import federgruen_zipkin
from meio_jax.solvers.laws import Normal, Pmf
from meio_jax.solvers.limits import demand_of
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.problem import Problem

slow = pytest.mark.slow

# --- Published and independently computed optima ---------------------------------------------------------------------

LOST_SALES = [
    ("poisson", 1, 4, 4.04071), ("poisson", 2, 4, 4.39530), ("poisson", 3, 4, 4.59872), ("poisson", 4, 4, 4.72853),
    ("poisson", 1, 19, 6.67574), ("poisson", 2, 19, 7.66442), ("poisson", 3, 19, 8.36251), ("poisson", 4, 19, 8.88718),
    ("geometric", 1, 9, 14.50817), ("geometric", 2, 9, 15.50289), ("geometric", 3, 9, 16.13674),
    ("geometric", 4, 9, 16.57737),
]  # fmt: skip


@pytest.mark.parametrize(
    "demand, lead_time, penalty, cost",
    [pytest.param(*x, marks=[slow] if x[1] > 2 or x[0] == "geometric" else []) for x in LOST_SALES],
)
def test_lost_sales_with_a_lead_time(demand, lead_time, penalty, cost):
    found = value_iteration(lost_sales(lead_time, penalty, demand))
    assert found.claim == "optimal"
    assert found.cost == pytest.approx(cost, abs=5.5e-6)
    assert found.lower_bound <= found.cost <= found.upper_bound
    assert found.upper_bound - found.lower_bound < 1e-6 * cost


@slow
def test_lost_sales_with_a_fixed_order_cost():
    assert value_iteration(lost_sales(2, 14, fixed=5)).cost == pytest.approx(11.4631, abs=5.5e-5)


@pytest.mark.parametrize(
    "lead_time, expediting, cost",
    [(2, 105, 216.769802), (2, 110, 219.733333)]
    + [pytest.param(4, c, v, marks=slow) for c, v in ((105, 216.893051), (110, 220.612232))],
)
def test_dual_sourcing(lead_time, expediting, cost):
    found = value_iteration(dual_sourcing(lead_time, expediting))
    assert found.claim == "optimal"
    assert found.cost == pytest.approx(cost, abs=6e-7)


def test_one_period_of_dual_sourcing_is_the_one_in_the_paper():
    """State (8, 3, 1) after the regular receipt, regular 2, expedited 1, demand 4: state (8, 1, 2), cost 330."""
    network = dual_sourcing(3, 105).network
    start = initial_state(network, 1)
    state = start.replace(
        on_hand=jnp.asarray([[[8.0]]]), pipeline=jnp.asarray([[[0.0], [0.0]], [[3.0], [0.0]], [[1.0], [0.0]]])
    )
    after, flows = transition(network, state, jnp.asarray([[2.0], [1.0]]), Shock(demand=jnp.asarray([[4.0]])))
    received = after.pipeline[0, 0, 0]
    assert (float(after.on_hand[0, 0, 0] + received), *np.asarray(after.pipeline[1:, 0, 0])) == (8.0, 1.0, 2.0)
    # The paper charges 5 on the stock before the next receipt: 8 + 1 - 4 = 5 units.
    assert float(total_cost(network, flows)[0]) == 330.0


PERISHABLES = [
    (1, 7, "lifo", 1552.99), (1, 7, "fifo", 1457.28), (1, 10, "lifo", 1570.86), (1, 10, "fifo", 1463.51),
    (2, 7, "lifo", 1551.42), (2, 7, "fifo", 1461.30),
]  # fmt: skip


@pytest.mark.parametrize(
    "lead_time, waste, issuing, cost",
    [pytest.param(*x, marks=[slow] if x[0] > 1 or x[2] == "fifo" else []) for x in PERISHABLES],
)
def test_perishables(lead_time, waste, issuing, cost):
    """The published numbers are these, rounded to whole ones."""
    assert value_iteration(perishable(2, lead_time, waste, issuing)).cost == pytest.approx(cost, abs=5.5e-3)


@pytest.mark.parametrize(
    "timing, lead_times",
    [("order_first", (1, 1))]
    + [pytest.param(t, x, marks=slow) for t, x in itertools.product(("demand_first", "ship_first"), ((1, 1), (2, 1)))],
)
def test_two_stages_cost_what_clark_and_scarf_say(timing, lead_times):
    problem = two_stages(lead_times, timing)
    found = value_iteration(problem)
    assert found.claim == "optimal"
    assert found.cost == pytest.approx(clark_scarf(problem.network, problem.laws[0]).cost, rel=1e-9)


@slow
def test_two_retailers_lie_between_the_federgruen_zipkin_bound_and_echelon_base_stock():
    problem = two_retailers((np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.4])))
    found = value_iteration(problem)
    assert found.claim == "exact" and found.lower_bound == -np.inf  # who is served first is not its to decide
    low, high = found.details["bounds"]
    assert low <= found.cost <= high + 1e-9
    below = federgruen_zipkin(problem.network, problem.laws)
    theta = {"level": jnp.asarray(below.echelon_levels)[:, None]}
    above = policy_cost(problem, BaseStock(echelon=True), theta).cost
    assert below.lower_bound <= found.cost <= above
    assert above - below.lower_bound < 0.15 * found.cost  # or this says little


# --- Plain loops -----------------------------------------------------------------------------------------------------


def plain(step, states, orders, pmf, discount=1.0, sweeps=400):
    """Value iteration with dictionaries: cost per period, or the value of the first state."""
    v = dict.fromkeys(states, 0.0)
    gain = 0.0
    for _ in range(sweeps):
        new = {}
        for s in states:
            new[s] = min(
                sum(p * (c + discount * v[n]) for w, p in enumerate(pmf) for c, n in [step(s, a, w)])
                for a in orders
                if all(step(s, a, w)[1] in v for w in range(len(pmf)))
            )
        gain = new[states[0]] - v[states[0]]
        v = new if discount < 1 else {s: x - new[states[0]] for s, x in new.items()}
    return v[states[0]] if discount < 1 else gain


def lost_after_a_lead_time_of_two(s, a, w):
    x, q = s  # on hand after receipt, due in the next period
    left = max(x - w, 0)
    return left + 3 * max(w - x, 0), (left + q, a)


def partly_kept(s, a, w):
    """Lead time 1; of each period's unmet demand half is kept, rounded down after what is lost is rounded up at .5."""
    x = s[0]  # net inventory after receipt
    short = min(max(w - max(x, 0), 0), max(w - x, 0))
    lost = int(np.floor(0.5 * short + 0.5))
    net = x - w + lost
    return max(net, 0) + 4 * max(-net, 0) + 6 * lost, (net + a,)


def perishing(issuing):
    def step(s, a, w):
        old, new = s
        first = min(w, old if issuing == "fifo" else new)
        second = min(w - first, new if issuing == "fifo" else old)
        used_old, used_new = (first, second) if issuing == "fifo" else (second, first)
        waste, left = old - used_old, new - used_new
        return 3 * a + 5 * (w - first - second) + 7 * waste + left, (left, a)

    return step


def two_sources(s, a, w):
    x, q = s
    regular, fast = a
    net = x + fast - w
    return 10 * regular + 12 * fast + max(net, 0) + 30 * max(-net, 0), (net + q, regular)


def test_lost_sales_equal_a_plain_loop():
    pmf = THREE
    states = [(x, q) for x in range(9) for q in range(5) if x + q <= 8]
    problem = lost_sales(2, 3.0, pmf=pmf)
    found = value_iteration(problem, order=4, position=8)
    assert found.cost == pytest.approx(plain(lost_after_a_lead_time_of_two, states, range(5), pmf), rel=1e-7)


@slow
def test_partial_backorders_equal_a_plain_loop():
    network = build_network(
        [Node("store", holding_cost=1)],
        [Arc(OUTSIDE, "store", lead_time=1), Arc("store", CUSTOMER, backlog_cost=4, lost_cost=6, keep=0.5)],
        integer=True,
    )
    states = [(x,) for x in range(-12, 13)]
    found = value_iteration(of_pmf(network, THREE))
    assert found.claim == "optimal"
    assert found.cost == pytest.approx(plain(partly_kept, states, range(7), THREE), rel=1e-7)


@pytest.mark.parametrize("issuing", ["lifo", pytest.param("fifo", marks=slow)])
def test_perishables_equal_a_plain_loop(issuing):
    states = [(i, j) for i in range(6) for j in range(6)]
    problem = perishable(2, 1, 7, issuing, pmf=THREE, most=5, criterion="discounted", discount=0.9)
    found = value_iteration(problem, position=20)
    assert found.claim == "optimal"
    assert found.cost == pytest.approx(plain(perishing(issuing), states, range(6), THREE, 0.9), rel=1e-7)


@slow
def test_two_sources_equal_a_plain_loop():
    network = build_network(
        [Node("store", holding_cost=1)],
        [
            Arc(OUTSIDE, "store", name="regular", lead_time=2, unit_cost=10),
            Arc(OUTSIDE, "store", name="fast", unit_cost=12),
            Arc("store", CUSTOMER, backlog_cost=30),
        ],
        integer=True,
    )
    states = [(x, q) for x in range(-6, 9) for q in range(4) if x + q <= 8]
    orders = list(itertools.product(range(4), repeat=2))
    found = value_iteration(of_pmf(network, THREE))
    assert found.cost == pytest.approx(plain(two_sources, states, orders, THREE, sweeps=120), rel=1e-7)


@slow
@pytest.mark.parametrize("keep, penalty", [(0.0, 5.0), (1.0, 2.0)])
def test_demand_seen_before_ordering_equals_a_plain_loop(keep, penalty):
    """The planner knows this period's demand: the state is what is left of the stock after it."""
    rate = {"lost_cost": penalty} if keep == 0 else {"backlog_cost": penalty}
    network = build_network(
        [Node("store", holding_cost=1)],
        [Arc(OUTSIDE, "store", lead_time=1), Arc("store", CUSTOMER, keep=keep, **rate)],
        integer=True,
        timing="demand_first",
    )

    def step(s, a, w):
        (x,) = s  # net of the demand that is seen
        stays = x if keep else max(x, 0)
        return max(x, 0) + penalty * max(-x, 0), (stays + a - w,)

    states = [(x,) for x in range(-10, 10)]
    found = value_iteration(of_pmf(network, THREE))
    assert found.cost == pytest.approx(plain(step, states, range(8), THREE), rel=1e-7)


def test_a_finite_horizon_equals_plain_recursion():
    network = lost_sales(1, 3.0, pmf=THREE).network
    found = value_iteration(of_pmf(network, THREE, criterion="total", periods=6), order=4, position=9)
    assert found.theta["orders"].shape[0] == 6

    @functools.cache
    def value(x, left):
        if not left:
            return 0.0
        return min(
            sum(
                p * (max(x - w, 0) + 3 * max(w - x, 0) + value(max(x - w, 0) + a, left - 1))
                for w, p in enumerate(THREE)
            )
            for a in range(5)
            if x + a <= 9
        )

    assert found.cost == pytest.approx(value(0, 6), rel=1e-9)


# --- One thing in several ways ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: lost_sales(2, 3.0, pmf=THREE),
        pytest.param(lambda: two_stages((1, 1)), marks=slow),
        pytest.param(lambda: two_stages((2, 1), "demand_first"), marks=slow),
        pytest.param(lambda: two_stages((1, 1), "ship_first"), marks=slow),
        pytest.param(lambda: dual_sourcing(2, 110), marks=slow),
        pytest.param(lambda: perishable(2, 2, 7, "lifo"), marks=slow),
    ],
)
def test_the_general_form_and_states_told_apart_give_the_same(make):
    problem = make()
    limits = {"order": 4, "position": 8} if problem.network.keep is not None and not problem.discount < 1 else {}
    fast = value_iteration(problem, **limits)
    general = value_iteration(problem, split=False, **limits)
    apart = value_iteration(problem, merge=False, **limits)
    assert general.details["orders"][1] == 1 and apart.details["states"] >= fast.details["states"]
    for other in (general, apart):
        assert other.cost == pytest.approx(fast.cost, rel=2e-7)


def test_bounds_close_in_on_the_optimum():
    problem = lost_sales(2, 4)
    exact = value_iteration(problem, tolerance=1e-10).cost
    widths = []
    for tolerance in (0.3, 1e-2, 1e-5):
        found = value_iteration(problem, tolerance=tolerance, order=11, position=27)
        assert found.lower_bound <= exact + 1e-9 and exact <= found.upper_bound + 1e-9
        assert exact <= found.cost + 1e-9  # no policy costs less than the optimum
        assert found.cost <= found.details["bounds"][1] + 1e-9  # and what iteration chose no more than its bound
        widths.append(found.upper_bound - found.lower_bound)
    assert widths == sorted(widths, reverse=True)


def test_demand_cut_off_is_asked_for_at_the_cut():
    found = demand_of([Pmf([0.5, 0.3, 0.15, 0.045, 0.005]), Pmf([0.0, 1.0])], 0.009)
    assert found.values.tolist() == [[0, 1, 2, 3], [1, 1, 1, 1]]
    assert found.probabilities == pytest.approx([0.5, 0.3, 0.15, 0.05])
    assert found.cut == pytest.approx(0.005) and found.missing == pytest.approx([0.005, 0.0])


def test_the_tail_that_is_cut_off_costs_no_more_than_is_said():
    exact = value_iteration(lost_sales(1, 4)).cost
    rough = value_iteration(lost_sales(1, 4), tail=1e-3)
    assert 0 < abs(rough.cost - exact) <= rough.details["cut_effect"]
    assert rough.lower_bound <= exact <= rough.upper_bound


def test_a_limit_that_binds_is_not_called_optimal():
    problem = lost_sales(1, 4)
    free, tight = value_iteration(problem), value_iteration(problem, order=5)
    assert tight.claim == "exact" and tight.details["at_limit"] == ("order",) and tight.lower_bound == -np.inf
    assert tight.cost > free.cost


@slow
def test_limits_that_are_too_near_grow(monkeypatch):
    """From limits far too near the optimum is found all the same; and moving all limits out changes nothing."""
    import meio_jax.solvers.dynamic_program as module

    near = module.guess
    problem = lost_sales(1, 4)
    expected = value_iteration(problem, confirm=True)

    def guess(*args):
        found = near(*args)
        return type(found)(np.ceil(found.order / 3), np.ceil(found.position / 3), found.backlog)

    monkeypatch.setattr(module, "guess", guess)
    found = module.value_iteration(problem)
    assert found.claim == "optimal" and found.cost == pytest.approx(expected.cost, rel=1e-7)


@settings(max_examples=6)
@given(st.floats(0.5, 30), st.floats(0.5, 30), st.floats(0.01, 100))
def test_monotone_in_the_penalty_and_in_scale(low, more, scale):
    def cost(holding, penalty):
        network = build_network(
            [Node("store", holding_cost=holding)],
            [Arc(OUTSIDE, "store", lead_time=2), Arc("store", CUSTOMER, lost_cost=penalty, keep=0)],
            integer=True,
        )
        return value_iteration(of_pmf(network, THREE), order=4, position=8).cost

    first = cost(1.0, low)
    assert first <= cost(1.0, low + more) * (1 + 1e-6)
    assert first <= low * THREE @ np.arange(4) * (1 + 1e-6)  # never to order costs this
    assert cost(scale, low * scale) == pytest.approx(first * scale, rel=1e-5)


# --- The policy, played ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: lost_sales(2, 4),
        pytest.param(lambda: lost_sales(2, 14, fixed=5), marks=slow),
        pytest.param(lambda: dual_sourcing(2, 110), marks=slow),
        pytest.param(lambda: perishable(2, 1, 7, "fifo", criterion="average"), marks=slow),
        pytest.param(lambda: perishable(3, 2, 7, "lifo", criterion="average"), marks=slow),
        pytest.param(lambda: two_stages((2, 1)), marks=slow),
        pytest.param(lambda: two_stages((1, 1), "demand_first"), marks=slow),
        pytest.param(lambda: two_stages((1, 1), "ship_first"), marks=slow),
    ],
)
def test_the_policy_costs_in_the_simulator_what_was_said(make, rngs):
    problem = make()
    found = value_iteration(problem)
    lanes, periods, warmup = 2048, 300, 60
    out = rollout(
        problem.network, found.policy, found.theta, problem.processes, rngs.key,
        periods=periods, lanes=lanes, warmup=warmup, measure=total_cost,
    )  # fmt: skip
    costs = np.asarray(out.totals, float) / (periods - warmup)
    error = costs.std(ddof=1) / np.sqrt(lanes)
    assert error < 0.01 * found.cost
    assert costs.mean() == pytest.approx(found.cost, abs=5 * error)


def test_a_state_outside_of_the_table_is_clamped_and_nan_surfaces():
    problem = lost_sales(1, 4)
    found = value_iteration(problem)
    network = problem.network
    stock = jnp.asarray([0.0, 1e6, -3.0, jnp.nan, 2.6, 3.0])
    state = initial_state(network, 6)
    seen = observe(network, state.replace(on_hand=stock[None, None]), Shock(demand=jnp.zeros((1, 6))))
    decision, _ = found.policy.apply(network, found.theta, None, seen, jax.random.key(0))
    orders = np.asarray(decision.orders[0])
    assert np.isnan(orders[3]) and not np.isnan(np.delete(orders, 3)).any()
    assert orders[1] == 0 and orders[0] > 0
    assert orders[2] == orders[0] and orders[4] == orders[5]


@slow
def test_a_plan_for_a_finite_horizon_is_played_period_by_period(rngs):
    """In the last periods nothing that is ordered can arrive."""
    network = build_network(
        [Node("store", holding_cost=1)],
        [Arc(OUTSIDE, "store", lead_time=1, unit_cost=1), Arc("store", CUSTOMER, lost_cost=9, keep=0)],
        integer=True,
    )
    problem = of_pmf(network, THREE, criterion="total", periods=5)
    found = value_iteration(problem)
    out = rollout(
        network, found.policy, found.theta, problem.processes, rngs.key,
        periods=5, lanes=4096, measure=total_cost, keep_trajectory=True,
    )  # fmt: skip
    orders = np.asarray(out.trajectory.flows.ordered[:, 0])
    assert (orders[0] > 0).all() and (orders[-1] == 0).all()
    costs = np.asarray(out.totals, float)
    assert costs.mean() == pytest.approx(found.cost, abs=5 * costs.std() / 64)


# --- What it cannot treat --------------------------------------------------------------------------------------------


def test_what_has_no_table_is_refused_by_name():
    (method,) = METHODS
    good = lost_sales(1, 4)
    assert method.unfit(good) is None and method.claim == "optimal"
    nodes = [Node("store", holding_cost=1)]
    arcs = [Arc(OUTSIDE, "store", lead_time=1), Arc("store", CUSTOMER, backlog_cost=4)]
    late = [Arc(OUTSIDE, "store", lead_time=1, max_lead_time=3), arcs[1]]
    cases = {
        "integer=True": Problem(build_network(nodes, arcs), good.processes, good.laws),
        "continuous": Problem(good.network, good.processes, (Normal(5, 1),)),
        "problem.laws": Problem(good.network, Processes(demand=poisson(5.0))),
        "lead times vary": Problem(build_network(nodes, late, integer=True), good.processes, good.laws),
        "states": two_retailers([np.full(12, 1 / 12)] * 2),
    }
    for words, problem in cases.items():
        with pytest.raises(UnsuitableError, match=words):
            method(problem)


def test_too_many_states_for_memory_are_refused_with_their_number(monkeypatch):
    import meio_jax.solvers.dynamic_program as module

    monkeypatch.setattr(module, "MEMORY", 1e5)
    with pytest.raises(UnsuitableError, match=r"more than \d+ states.*order=, position= or backlog=.*net inventory"):
        value_iteration(lost_sales(2, 4))
