"""The hindsight bound: below every policy on every network, attained where all is linear, equal to enumeration."""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import column, oracle_initial_state, oracle_network, oracle_shock, oracle_transition
from random_systems import FEATURES, System, draw, random_plan
from scipy import optimize

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network
from meio_jax.errors import InputError, NonFiniteError, NumberError, UnboundedError, UnsuitableError
from meio_jax.network import Network
from meio_jax.processes import Processes, deterministic, normal, poisson
from meio_jax.processes import draw as draw_scenario
from meio_jax.scenario import Scenario, scenario_of
from meio_jax.simulator import initial_state
from meio_jax.solvers.clark_scarf import clark_scarf
from meio_jax.solvers.hindsight import METHODS, hindsight, played_costs, solve
from meio_jax.solvers.laws import Normal
from meio_jax.solvers.linear_model import LinearModel
from meio_jax.solvers.linear_parts import Start, Terminal, chain, relaxations, replacement_values
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import distribution, serial

#: HiGHS satisfies constraints to 1e-7; costs here go up to some thousands.
TOLERANCE = 1e-6
#: Features without which a plan, played, must cost what the program says.
LINEAR = ("lead_leaf", "lead_shock", "available", "yield_", "yield_shock", "order_capacity", "units", "allocation")


def with_costs(network: Network, rng: np.random.Generator) -> Network:
    """Every cost term in most networks, the same in all lanes."""
    w = network.wiring

    def rate(rows: int, most: float, always: bool = False) -> Any:
        x = jnp.asarray(np.round(most * rng.random((rows, 1)), 3))
        return x if always or rng.random() < 0.7 else None

    return network.replace(
        holding_cost=rate(w.n_nodes, 2, True),
        backlog_cost=rate(w.n_arcs, 5, True),
        lost_cost=rate(w.n_arcs, 8),
        unit_cost=rate(w.n_inner, 1),
        price=rate(w.n_customers, 6),
        transit_holding_cost=rate(w.n_inner, 0.5),
        component_holding_cost=rate(w.n_inputs, 1),
        fixed_order_cost=rate(w.n_inner, 3),
        operating_cost=rate(w.n_nodes, 1),
        scrap_cost=rate(w.n_nodes, 1),
    )


def a_system(seed: int, *, features: tuple[str, ...] = FEATURES, integer: bool = False, lanes: int = 2) -> System:
    rng = np.random.default_rng(seed)
    share = rng.choice([0.2, 0.5, 0.8])
    chosen = frozenset(f for f in features if f != "goodwill" and rng.random() < share)
    system = draw(random_plan(rng, features=chosen, integer=integer, largest=5), rng, lanes, 6)
    return system._replace(network=with_costs(system.network, rng))


def oracle_cost(system: System, lane: int) -> float:
    """The cost of the horizon: the oracle's flows, and the definition of each cost term written out once more."""
    network, w = system.network, system.network.wiring
    net = oracle_network(network, lane)
    state = oracle_initial_state(net)
    inner = w.n_inner

    def total(name: str, values: Any) -> float:
        leaf = getattr(network, name)
        return 0.0 if leaf is None else float(np.dot(column(leaf, lane), np.asarray(values, float)))

    cost = 0.0
    for t in range(len(system.orders)):
        shock = oracle_shock(jax.tree.map(lambda x, t=t: x[t], system.shocks), lane)
        allocation = None if system.allocation is None else system.allocation[t, :, lane].tolist()
        state, f = oracle_transition(net, state, system.orders[t, :, lane].tolist(), shock, allocation)
        cost += total("holding_cost", f.on_hand) + total("backlog_cost", f.backlog) + total("lost_cost", f.lost)
        cost += total("unit_cost", f.shipped[:inner]) + total("transit_holding_cost", f.in_transit)
        cost += total("operating_cost", f.built) - total("price", f.shipped[inner:])
        cost += total("scrap_cost", np.add(f.expired, f.overflow))
        cost += total("fixed_order_cost", [float(q > 0) for q in f.ordered[:inner]])
        if network.holds_components:
            cost += total("component_holding_cost", f.components)
    return cost


def check_bound(seed: int, integer: bool) -> None:
    with jax.enable_x64(True):
        system = a_system(seed, integer=integer)
        found = hindsight(system.network, Scenario(system.shocks), play=False)
        for lane in range(2):
            cost = oracle_cost(system, lane)
            assert found.bound[lane] <= cost + TOLERANCE * max(1.0, abs(cost)), (lane, found.relaxed)


@settings(max_examples=4)
@given(st.integers(0, 10**6), st.booleans())
def test_no_orders_cost_less_on_any_network(seed, integer):
    check_bound(seed, integer)


def fixed_flows(system: System, lane: int, model: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Bounds of the program's variables that hold them to what the oracle did, and the oracle's cost."""
    net = oracle_network(system.network, lane)
    state, inner = oracle_initial_state(net), system.network.wiring.n_inner
    low, high = np.zeros(model.size), model.upper.copy()
    for t in range(len(system.orders)):
        shock = oracle_shock(jax.tree.map(lambda x, t=t: x[t], system.shocks), lane)
        allocation = None if system.allocation is None else system.allocation[t, :, lane].tolist()
        state, f = oracle_transition(net, state, system.orders[t, :, lane].tolist(), shock, allocation)
        fixed = {
            "ordered": f.ordered[:inner], "sent": f.shipped[:inner], "sold": f.shipped[inner:], "lost": f.lost,
            "backlog": f.backlog, "stock": f.on_hand, "scrapped": np.add(f.expired, f.overflow),
        }  # fmt: skip
        if system.network.holds_components:
            fixed["components"] = f.components
        for name, values in fixed.items():
            low[model.at[name][t]] = high[model.at[name][t]] = values
        early = model.at["early"][t]
        low[early], high[early] = 0.0, np.where(model.upper[early] > 0, f.started, 0.0)
        high[model.at["started"][t]] = f.started
    return low, high, oracle_cost(system, lane)


def check_trajectory(seed: int, integer: bool, rationing: bool) -> None:
    """The oracle's trajectory satisfies every constraint, and costs in the program what it costs, or less."""
    with jax.enable_x64(True):
        system = a_system(seed, integer=integer)
        if not rationing:
            system = system._replace(allocation=None)
        shocks, lane = system.shocks, 1
        given = {k: getattr(shocks, k) for k in ("lead_time", "available", "yield_")}
        arrays = {k: None if x is None else np.asarray(x)[..., lane] for k, x in given.items()}
        model = LinearModel(system.network, chain(6), lane=lane, rationing=rationing, **arrays)
        start = Start.of(initial_state(system.network, 2), lane)
        matrix, least, most = model.limits(start, np.asarray(shocks.demand)[:, :, lane])
        low, high, cost = fixed_flows(system, lane, model)
        left_out = np.setdiff1d(np.arange(model.size), model.used)
        assert low[left_out].max(initial=0.0) <= 1e-9
        dust = 1e-7
        found = optimize.milp(
            model.cost,
            constraints=optimize.LinearConstraint(matrix, least - dust, most + dust),
            bounds=optimize.Bounds(low[model.used] - dust, high[model.used] + dust),
        )
        assert found.status == 0, found.message
        value = found.fun + model.constant(start)
        assert value <= cost + 1e-4 * max(1.0, abs(cost))
        if system.network.fixed_order_cost is None and not integer:  # all else is linear in what is fixed
            assert value == pytest.approx(cost, rel=1e-4, abs=1e-3)


@settings(max_examples=16)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_every_trajectory_of_the_simulator_is_feasible(seed, integer, rationing):
    check_trajectory(seed, integer, rationing)


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_where_the_physics_is_linear_the_plan_costs_what_the_bound_says(seed):
    with jax.enable_x64(True):
        system = a_system(seed, features=LINEAR)
        network = system.network.replace(fixed_order_cost=None)
        assume(relaxations(network) == ())
        found = hindsight(network, Scenario(system.shocks), play=False)
        plan = system._replace(network=network, orders=found.orders, allocation=found.allocation)
        for lane in range(2):
            cost = oracle_cost(plan, lane)
            assert found.bound[lane] == pytest.approx(cost, rel=1e-5, abs=1e-4)


# --- Cases with an answer of their own -------------------------------------------------------------------------------


def chain_of_two(**arc: Any) -> Network:
    nodes = [Node("a", holding_cost=0.2, initial_on_hand=1), Node("b", holding_cost=0.5, initial_on_hand=2)]
    arcs = [
        Arc(OUTSIDE, "a", "buy", lead_time=1, unit_cost=0.3, **arc),
        Arc("a", "b", "move", lead_time=1, transit_holding_cost=0.1, **arc),
        Arc("b", CUSTOMER, "sell", price=4.0, backlog_cost=1.0),
    ]
    return build_network(nodes, arcs, integer=True)


@pytest.mark.parametrize(
    "arc",
    [{}, {"minimum_order": 3, "fixed_order_cost": 1.7}, {"lot_size": 2, "fixed_order_cost": 0.9}],
    ids=str,
)
def test_an_integer_program_finds_what_enumeration_finds(arc):
    network, demand = chain_of_two(order_capacity=4, **arc), np.array([[2.0], [3.0], [1.0]])
    # Orders of 0 to 4 on both arcs (those of the last period arrive too late), and what may leave the first node.
    ways = np.array(list(itertools.product(range(5), range(5), range(5), range(5), *[(0, 1, 2, 3, 9)] * 3)), float)
    orders = np.zeros((3, 2, len(ways)))
    orders[:2] = ways[:, :4].reshape(-1, 2, 2).transpose(1, 2, 0)
    limit = np.full((3, 3, len(ways)), np.inf)
    limit[:, 1] = ways[:, 4:].T
    best = played_costs(network, scenario_of(np.repeat(demand[..., None], len(ways), -1)), orders, limit).min()
    whole = hindsight(network, scenario_of(demand), whole=True, play=False)
    loose = hindsight(network, scenario_of(demand), play=False)
    assert whole.bound[0] == pytest.approx(best, abs=1e-6)
    assert loose.bound[0] <= best + 1e-9
    again = played_costs(network, scenario_of(demand), whole.orders, whole.allocation)
    assert again[0] == pytest.approx(best, abs=1e-6)


def test_one_stage_by_hand():
    """Two periods of lead time, demand 3, 4, 5, 6, nothing in stock: the first two periods must wait."""
    nodes = [Node("a", holding_cost=1.0)]
    arcs = [Arc(OUTSIDE, "a", lead_time=2, unit_cost=2.0), Arc("a", CUSTOMER, backlog_cost=10.0)]
    network = build_network(nodes, arcs)
    found = hindsight(network, scenario_of(np.array([[3.0], [4.0], [5.0], [6.0]])))
    # Backlog of 3, then 7; 12 units ordered at once, then 6; nothing is ever in stock.
    assert found.bound[0] == pytest.approx(10 * (3 + 7) + 2 * 18)
    np.testing.assert_allclose(found.orders[:, 0, 0], [12, 6, 0, 0], atol=1e-7)
    assert found.attained.all() and found.relaxed == () and found.low is None
    whole = hindsight(network, scenario_of(np.array([[3.0], [4.0], [5.0], [6.0]])), whole=True)  # nothing to branch on
    assert whole.bound[0] == pytest.approx(found.bound[0])


def test_weights_are_a_discount_and_a_warm_up():
    network = chain_of_two().replace(price=None)
    scenario = scenario_of(np.array([[2.0], [3.0], [1.0], [4.0]]))
    half = hindsight(network, scenario, weights=[0.5] * 4, play=False)
    assert half.bound[0] == pytest.approx(0.5 * hindsight(network, scenario, play=False).bound[0])
    assert hindsight(network, scenario, weights=[0, 0, 0, 0], play=False).bound[0] == 0
    with pytest.raises(InputError, match="weights must be 4 numbers"):
        hindsight(network, scenario, weights=[1.0])


def assembly(capacity: Any) -> Network:
    nodes = [Node("a", holding_cost=0.1), Node("b", holding_cost=1.0, capacity=capacity, storage=30, scrap_cost=0.5)]
    arcs = [
        Arc(OUTSIDE, "a", lead_time=1, order_capacity=20),
        Arc("a", "b", component="x", lead_time=1, units=2.0, component_holding_cost=0.2),
        Arc(OUTSIDE, "b", component="y", lead_time=2, unit_cost=1.0),
        Arc("b", CUSTOMER, lost_cost=12.0, keep=0.0),
    ]
    return build_network(nodes, arcs)


def test_more_capacity_costs_no_more():
    rng = np.random.default_rng(3)
    scenario = scenario_of(rng.poisson(6, (20, 1, 5)).astype(float))
    costs = [hindsight(assembly(c), scenario, play=False).bound for c in (0.0, 2.0, 5.0, 8.0, 20.0, None)]
    assert all((a >= b - 1e-6).all() for a, b in itertools.pairwise(costs))
    lost = 12.0 * np.asarray(scenario.shocks.demand).sum((0, 1))
    np.testing.assert_allclose(costs[0], lost)  # nothing can be built
    assert (costs[0] > costs[2] + 1).all() and (costs[2] > costs[-1] + 1).all()


@pytest.fixture(scope="module")
def example_6_1() -> Problem:
    network = serial(
        3,
        echelon_holding_cost=(2, 2, 3),
        lead_time=(2, 1, 1),
        backlog_cost=37.12,
        transit_holding_cost="upstream",
        timing="demand_first",
    )
    return Problem(network, Processes(demand=normal([5.0], [1.0])), (Normal(5, 1),))


def test_hindsight_is_below_the_exact_optimum(example_6_1):
    (method,) = METHODS
    assert method.unfit(example_6_1) is None
    found = solve(example_6_1, draws=6, play=False)
    exact = clark_scarf(example_6_1.network, Normal(5, 1))
    assert found.claim == "bound" and found.lower_bound <= found.cost < exact.cost
    # What is on its way must be paid for whatever is known: 30 a period, but for the last orders of the horizon.
    assert 0.9 * exact.constant_cost < found.cost


def test_terminal_values_credit_what_is_left():
    network = chain_of_two().replace(price=None)
    scenario = scenario_of(np.zeros((3, 1)))
    worth = replacement_values(network)
    assert worth.on_hand == pytest.approx([0.3, 0.4]) and worth.in_transit == pytest.approx([0.3, 0.3])
    nothing = hindsight(network, scenario, play=False).bound[0]
    assert nothing == pytest.approx(3 * (0.2 * 1 + 0.5 * 2) - 0.1)  # at last it is cheaper on the way
    kept = hindsight(network, scenario, terminal=Terminal(np.array([0.15, 0.2]), np.zeros(2), np.zeros(2)))
    assert kept.bound[0] == pytest.approx(nothing + 0.1 - 0.15 - 0.4)
    left = Terminal(np.array([5.0, 0.0]), np.zeros(2), np.zeros(2))
    with pytest.raises(UnboundedError, match="pay more than a unit costs"):
        hindsight(network, scenario, terminal=left)  # bought for 0.3, worth 5


# --- What cannot be done ---------------------------------------------------------------------------------------------


def test_what_cannot_be_modelled_is_refused(example_6_1):
    demand = np.ones((3, 1))
    moody = distribution(1, backlog_cost=9, erosion=0.1)
    with pytest.raises(UnsuitableError, match="demand that reacts to service"):
        hindsight(moody, scenario_of(demand))
    assert "erosion" in METHODS[0].unfit(Problem(moody, example_6_1.processes))
    with pytest.raises(NumberError, match="demand of"):
        hindsight(chain_of_two(), scenario_of(np.array([[1.0], [np.nan]])))
    with pytest.raises(InputError, match="demand has shape"):
        LinearModel(chain_of_two(), chain(3)).solve(Start.of(initial_state(chain_of_two(), 1), 0), demand[:2])
    broken = chain_of_two()
    broken = broken.replace(backlog_cost=broken.backlog_cost * jnp.nan)
    with pytest.raises(NonFiniteError, match="backlog_cost is NaN in lane 0"):
        hindsight(broken, scenario_of(demand))
    lost = build_network([Node("a")], [Arc(OUTSIDE, "a"), Arc("a", CUSTOMER, "sell", keep=0.0)])
    state = initial_state(lost, 1)
    owing = state.replace(backlog=state.backlog.at[1].set(3.0))
    with pytest.raises(InputError, match="'sell' keeps no backlog, but 3 units"):
        hindsight(lost, scenario_of(demand), state=owing)


def test_thirty_periods_of_a_large_network_are_quick():
    network = distribution(20, backlog_cost=9, holding_cost=1, lead_time=2)
    scenario = draw_scenario(Processes(demand=poisson([5.0] * 20)), jax.random.key(1), 30, 2)
    start = time.process_time()
    hindsight(network, scenario, play=False)
    assert time.process_time() - start < 2.0  # 0.1 s a lane on a quiet core


def test_what_a_method_will_not_take(example_6_1):
    (method,) = METHODS
    service = dataclasses.replace(example_6_1, service=object())
    assert "guaranteed_service" in method.unfit(service)
    late = dataclasses.replace(example_6_1.processes, reporting=deterministic([1.0, 1.0, 1.0]))
    assert "reports are late" in method.unfit(dataclasses.replace(example_6_1, processes=late))
    lanes = example_6_1.network.replace(holding_cost=jnp.ones((3, 2)))
    assert "differ between lanes" in method.unfit(dataclasses.replace(example_6_1, network=lanes))
    with pytest.raises(InputError, match="at least 2"):
        solve(example_6_1, draws=1)
    # In whole units `value_iteration` finds 34.25 here, and the mean after a warm-up of a few periods was 72 and more.
    tight = build_network(
        [Node("a", holding_cost=1.0)],
        [Arc(OUTSIDE, "a", lead_time=1, order_capacity=6), Arc("a", CUSTOMER, backlog_cost=30.0)],
    )
    average = Problem(tight, Processes(demand=poisson(5.7)))
    assert "no bound on the average" in method.unfit(average)
    with pytest.raises(UnsuitableError, match="no bound on the average"):
        solve(average, draws=2)
    assert method.unfit(dataclasses.replace(average, criterion="total", periods=9)) is None
    sells = dataclasses.replace(
        average, network=tight.replace(price=jnp.ones((1, 1))), criterion="discounted", discount=0.99
    )
    assert "would be left out" in method.unfit(sells)
    assert method.unfit(dataclasses.replace(sells, discount=0.9)) is None
    salvage = chain_of_two(fixed_order_cost=1.0)
    with pytest.raises(InputError, match="'buy': what is left over pays, so give the arc an order_capacity"):
        hindsight(salvage, scenario_of(np.ones((3, 1))), whole=True, terminal=replacement_values(salvage))


def test_what_nobody_can_serve_is_lost_by_its_share():
    arcs = [Arc(OUTSIDE, "a", order_capacity=0), Arc("a", CUSTOMER, keep=0.25, lost_cost=4.0, backlog_cost=1.0)]
    network = build_network([Node("a")], arcs)
    found = hindsight(network, scenario_of(np.full((3, 1), 8.0)))
    assert found.bound[0] == pytest.approx(3 * 4.0 * 6 + 1.0 * (2 + 4 + 6))
    assert found.attained.all() and "partial backlogging" in found.relaxed[0]
