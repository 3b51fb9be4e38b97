"""Classical policies on every kind of network: the rule itself, who sees whose orders, sources, wholeness, NaN."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network, scenario_of
from meio_jax.errors import InputError
from meio_jax.kpis import total_cost
from meio_jax.observation import accumulate_downstream, observe
from meio_jax.policies import (
    AnchoringRule,
    BaseStock,
    CappedBaseStock,
    ConstantOrder,
    ForecastOrderUpTo,
    Policy,
    ReorderLots,
    ReorderUpTo,
    initial_levels,
)
from meio_jax.policies.guess import exposure, mean_flow
from meio_jax.policies.positional import order_on_arcs
from meio_jax.rollout import rollout
from meio_jax.simulator import initial_state

POLICIES = [
    BaseStock(),
    BaseStock(cascade=False),
    BaseStock(echelon=True),
    CappedBaseStock(),
    ReorderUpTo(),
    ReorderUpTo(echelon=True, capped=True),
    ReorderLots(),
    ConstantOrder(),
    ForecastOrderUpTo(),
    ForecastOrderUpTo(echelon=True),
    AnchoringRule(),
]


def serial(timing="demand_first", **kwargs):
    nodes = [Node("a", holding_cost=1), Node("b", holding_cost=2), Node("c", holding_cost=3)]
    arcs = [
        Arc(OUTSIDE, "a", lead_time=2, **kwargs),
        Arc("a", "b", lead_time=1, **kwargs),
        Arc("b", "c", lead_time=1, **kwargs),
        Arc("c", CUSTOMER, backlog_cost=20),
    ]
    return build_network(nodes, arcs, timing=timing)


def assembly(timing="order_first", integer=False):
    nodes = [Node("frame"), Node("wheel"), Node("bike", holding_cost=2)]
    arcs = [
        Arc(OUTSIDE, "frame", lead_time=2),
        Arc(OUTSIDE, "wheel", lead_time=1),
        Arc("frame", "bike", component="frame", lead_time=1),
        Arc("wheel", "bike", component="wheel", lead_time=2, units=2.0),
        Arc("bike", CUSTOMER, backlog_cost=9),
        Arc("wheel", CUSTOMER, backlog_cost=3),
    ]
    return build_network(nodes, arcs, timing=timing, integer=integer)


def distribution(timing="order_first", integer=False):
    nodes = [Node("hub"), *(Node(f"s{k}") for k in range(3))]
    arcs = [Arc(OUTSIDE, "hub", lead_time=2), *(Arc("hub", f"s{k}", lead_time=1 + k) for k in range(3))]
    arcs += [Arc(f"s{k}", CUSTOMER, backlog_cost=9) for k in range(3)]
    return build_network(nodes, arcs, timing=timing, integer=integer)


def dual(integer=False):
    nodes = [Node("far"), Node("shop")]
    arcs = [
        Arc(OUTSIDE, "far", lead_time=3),
        Arc("far", "shop", "slow", lead_time=3),
        Arc(OUTSIDE, "shop", "fast", lead_time=0),
        Arc("shop", CUSTOMER, backlog_cost=9),
    ]
    return build_network(nodes, arcs, integer=integer)


NETWORKS = {"serial": serial, "assembly": assembly, "distribution": distribution, "dual": dual}


def demand(network, periods=12, lanes=4, high=9, seed=0):
    rng = np.random.default_rng(seed)
    return scenario_of(rng.integers(0, high, (periods, network.wiring.n_customers, lanes)).astype(np.float32))


def play(network, policy, theta, scenario):
    return rollout(network, policy, theta, scenario, jax.random.key(0), keep_trajectory=True)


def orders_of(network, policy, theta, scenario):
    return np.asarray(play(network, policy, theta, scenario).trajectory.orders)


@functools.partial(jax.jit, static_argnames=("policy", "lanes"))
def first_orders(network, policy, theta, lanes=2):
    """Orders in the first period, demand 3 of every customer."""
    state = initial_state(network, lanes)
    seen = observe(network, state, Shock(demand=jnp.full((network.wiring.n_customers, lanes), 3.0)))
    decision, _ = policy.apply(network, theta, policy.memory(network, lanes), seen, jax.random.key(0))
    return decision.orders


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_every_policy_runs_on_every_network(policy, kind):
    network = NETWORKS[kind]()
    assert isinstance(policy, Policy) and policy.theta_has_lanes
    assert hash(policy) == hash(dataclasses.replace(policy))
    theta = policy.init(jax.random.key(0), network)
    assert all(leaf.shape[-1] == 1 for leaf in jax.tree.leaves(theta))
    assert ("share" in theta) == (kind == "dual" and policy != ConstantOrder())
    orders = np.asarray(first_orders(network, policy, theta))
    assert orders.shape == (network.wiring.n_inner, 2)
    assert np.isfinite(orders).all() and (orders >= 0).all() and orders.sum() > 0
    known = policy.start(network, jnp.full((network.wiring.n_customers, 1), 5.0), 1.0)
    assert jax.tree.map(jnp.shape, known) == jax.tree.map(jnp.shape, theta)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_nan_in_any_number_surfaces(policy):
    network = dual()
    theta = policy.start(network, 4.0, 1.0)
    for name, leaf in theta.items():
        broken = {**theta, name: jnp.full_like(leaf, jnp.nan)}
        orders = np.asarray(first_orders(network, policy, broken))
        assert np.isnan(orders).any(), f"{name} = NaN was swallowed"
    network = network.replace(initial_on_hand=jnp.full((2, 1), jnp.nan))
    if policy != ConstantOrder():
        assert np.isnan(np.asarray(first_orders(network, policy, theta))).any()


def test_base_stock_against_plain_python():
    network = serial()
    level = np.array([[9.0], [8.0], [7.0]])
    for cascade, expected in ((True, [9 + 8 + 7 + 3, 8 + 7 + 3, 7 + 3]), (False, [9, 8, 7 + 3])):
        orders = first_orders(network, BaseStock(cascade=cascade), {"level": jnp.asarray(level)})
        np.testing.assert_array_equal(orders[:, 0], expected)
    orders = first_orders(network, BaseStock(echelon=True), {"level": jnp.asarray(level)})
    np.testing.assert_array_equal(orders[:, 0], 3 + level[:, 0])


@dataclasses.dataclass(frozen=True)
class Compared:
    """Plays the echelon rule; remembers how far the installation rules were from it."""

    theta_has_lanes = True

    def memory(self, network, lanes):
        return jnp.zeros(lanes), jnp.zeros(lanes)

    def apply(self, network, local, memory, seen, key):
        echelon = {"level": accumulate_downstream(network, local["level"])}
        decision, _ = BaseStock(echelon=True).apply(network, echelon, None, seen, key)
        others = [BaseStock(cascade=c).apply(network, local, None, seen, key)[0].orders for c in (True, False)]
        apart = [jnp.abs(decision.orders - x).max(0) for x in others]
        return decision, tuple(map(jnp.maximum, memory, apart))


@pytest.mark.parametrize(
    ("kind", "timing"),
    [
        ("serial", "demand_first"),
        ("assembly", "order_first"),
        ("distribution", "ship_first"),
        ("assembly", "demand_first"),
    ],
)
def test_installation_with_cascade_is_echelon(kind, timing):
    """Axsater and Rosling (1993): for base-stock rules the two are one, on any network with single sources."""
    network = NETWORKS[kind](timing=timing)
    local = jnp.asarray(np.random.default_rng(1).integers(4, 20, (network.wiring.n_inputs, 1)).astype(np.float32))
    played = rollout(network, Compared(), {"level": local}, demand(network), jax.random.key(0), measure=total_cost)
    with_cascade, without = played.carry.memory
    assert with_cascade.max() < 1e-4
    assert without.min() > 1


def test_the_cascade_sees_what_is_placed_not_what_is_wanted():
    network = serial(lot_size=4.0, order_capacity=12.0)
    orders = first_orders(network, BaseStock(), {"level": jnp.full((3, 1), 5.0)})
    # wants 8 -> 8; 5 + 8 = 13 -> 12, capped at 12; 5 + 12 = 17 -> 16, capped at 12
    np.testing.assert_array_equal(orders[:, 0], [12, 12, 8])


def test_units_of_the_bill_of_materials():
    orders = first_orders(assembly(), BaseStock(), {"level": jnp.asarray([[1.0], [1.0], [5.0], [6.0]])})
    w = assembly().wiring
    got = {w.arcs[e]: float(orders[e, 0]) for e in range(w.n_inner)}
    # order_first: no demand is seen; the bike orders 5 frames and 2 x 6 wheels
    assert list(got.values()) == pytest.approx([1 + 5, 1 + 12, 5, 12])


def test_capped_and_reorder_rules_against_plain_python():
    x = np.arange(-10, 31, dtype=np.float32)[:, None]
    near = lambda theta: {k: jnp.asarray(v, jnp.float32) for k, v in theta.items()}  # noqa: E731
    capped = CappedBaseStock().quantity(near({"level": 17, "cap": 5}), jnp.asarray(x))
    np.testing.assert_array_equal(capped, [[min(5, max(0, 17 - p[0]))] for p in x])
    s_S = ReorderUpTo().quantity(near({"reorder": 12, "up_to": 20}), jnp.asarray(x))
    np.testing.assert_array_equal(s_S, [[20 - p[0] if p[0] <= 12 else 0] for p in x])
    s_S_q = ReorderUpTo(capped=True).quantity(near({"reorder": 12, "up_to": 20, "cap": 10}), jnp.asarray(x))
    np.testing.assert_array_equal(s_S_q, [[min(10, 20 - p[0]) if p[0] <= 12 else 0] for p in x])
    lots = ReorderLots().quantity(near({"reorder": 12, "lot": 7}), jnp.asarray(x))
    expected = []
    for p in x:
        n = 0
        while p[0] + 7 * n <= 12:
            n += 1
        expected.append([7 * n])
    np.testing.assert_array_equal(lots, expected)
    without = ReorderLots().quantity(near({"reorder": 12, "lot": 0}), jnp.asarray(x))
    np.testing.assert_array_equal(without, np.maximum(12 - x, 0))


def test_sources_share_an_order():
    network = dual()
    w = network.wiring
    theta = BaseStock().start(network, 4.0)
    first, second = (w.arcs.index(name) for name in ("fast", "slow"))  # arcs are sorted by source, outside first
    shop = w.input_of_arc[first]
    theta["level"] = theta["level"].at[shop].set(10.0)
    np.testing.assert_array_equal(first_orders(network, BaseStock(), theta)[[first, second], 0], [10, 0])
    theta["share"] = theta["share"].at[first].set(1.0).at[second].set(3.0)
    np.testing.assert_array_equal(first_orders(network, BaseStock(), theta)[[first, second], 0], [2.5, 7.5])
    theta["share"] = theta["share"].at[first].set(-1.0)
    np.testing.assert_array_equal(first_orders(network, BaseStock(), theta)[[first, second], 0], [0, 10])
    theta["share"] = 0.0 * theta["share"]
    np.testing.assert_array_equal(first_orders(network, BaseStock(), theta)[[first, second], 0], [10, 0])
    del theta["share"]
    np.testing.assert_array_equal(first_orders(network, BaseStock(), theta)[[first, second], 0], [10, 0])


def test_whole_orders_are_shared_whole():
    nodes, suppliers = [Node("shop")], 3
    arcs = [Arc(OUTSIDE, "shop", f"s{k}") for k in range(suppliers)] + [Arc("shop", CUSTOMER)]
    network = build_network(nodes, arcs, integer=True)
    rng = np.random.default_rng(2)
    need = jnp.asarray(rng.integers(0, 50, (1, 200)).astype(np.float32))
    share = jnp.asarray(rng.random((suppliers, 200)).astype(np.float32))
    arcs, orders = order_on_arcs(network, [0], need, share)
    assert arcs == [0, 1, 2]
    np.testing.assert_array_equal(orders, np.round(orders))
    np.testing.assert_array_equal(orders.sum(0), need[0])
    assert (np.asarray(orders) >= 0).all()
    assert np.abs(np.asarray(orders) - np.asarray(need * share / share.sum(0))).max() <= 1.0


@pytest.mark.parametrize("kind", ["assembly", "distribution", "dual"])
def test_integer_networks_stay_whole(kind):
    network = NETWORKS[kind](integer=True)
    theta = {**BaseStock().start(network, 4.3, 2.1)}
    assert (np.asarray(theta["level"]) % 1 == 0).all()
    if "share" in theta:
        theta["share"] = jnp.asarray([[1.0], [0.37], [0.63]])
    played = play(network, BaseStock(), theta, demand(network))
    for leaf in (played.trajectory.orders, played.trajectory.flows.on_hand, played.trajectory.flows.backlog):
        np.testing.assert_array_equal(leaf, np.round(leaf))


def test_constant_order_carries_the_mean_flow():
    network = assembly()
    theta = ConstantOrder().start(network, jnp.asarray([5.0, 1.0]))
    w = network.wiring
    customers = [w.nodes[w.src[e]] for e in w.customer_arcs]
    bike, wheel = (5.0, 1.0) if customers[0] == "bike" else (1.0, 5.0)
    np.testing.assert_allclose(theta["quantity"][:, 0], [bike, 2 * bike + wheel, bike, 2 * bike])
    np.testing.assert_array_equal(
        first_orders(network, ConstantOrder(), theta), np.repeat(np.asarray(theta["quantity"]), 2, 1)
    )


def test_mean_flow_and_exposure():
    np.testing.assert_allclose(mean_flow(distribution(), jnp.asarray([[1.0], [2.0], [3.0]]))[:, 0], [6, 1, 2, 3])
    for timing, expected in (("demand_first", [2, 1, 1]), ("order_first", [2, 1, 2]), ("ship_first", [3, 2, 2])):
        np.testing.assert_array_equal(exposure(serial(timing), cascade=True)[:, 0], expected)
    np.testing.assert_array_equal(exposure(serial("order_first"), cascade=False)[:, 0], [3, 2, 2])
    moving = serial().replace(lead_time=jnp.asarray([[3, 1], [1, 1], [2, 1]]))
    np.testing.assert_array_equal(exposure(moving, cascade=True), [[3, 1], [1, 1], [2, 1]])


def test_initial_levels():
    levels = initial_levels(serial(), 5.0, 1.0, echelon=True)
    safety = np.sqrt([2, 1, 1])
    np.testing.assert_allclose(levels[:, 0], np.cumsum((5 * np.array([2, 1, 1]) + safety)[::-1])[::-1], rtol=1e-6)
    with pytest.raises(InputError, match=r"mean has shape \(2,\), expected \(1,\)"):
        initial_levels(serial(), [5.0, 3.0])


def test_first_numbers_from_the_network_alone_are_its_positions():
    full = serial().replace(initial_on_hand=jnp.asarray([[7.0], [0.0], [3.0]]))
    np.testing.assert_array_equal(BaseStock().init(jax.random.key(0), full)["level"][:, 0], [7, 1, 3])


def test_forecast_is_exponential_smoothing():
    network = distribution()
    policy = ForecastOrderUpTo()
    scenario = demand(network, periods=15, lanes=2)
    theta = policy.start(network, 4.0, 2.0)
    theta["alpha"] = jnp.asarray([[0.1], [0.3], [1.0]])
    theta["z"] = jnp.full((4, 1), 1.5)
    played = play(network, policy, theta, scenario)
    asked = np.asarray(scenario.shocks.demand, np.float64)
    alpha = np.array([[0.1], [0.3], [1.0]])
    mean, variance = np.full((3, 2), 4.0), np.full((3, 2), 4.0)
    for t in range(14):  # order_first: in the last period the demand of period 13 is the newest known
        error = asked[t] - mean
        mean, variance = mean + alpha * error, variance + alpha * (error**2 - variance)
    np.testing.assert_allclose(theta["mean"] + played.carry.memory.mean, mean, rtol=1e-4)
    np.testing.assert_allclose(theta["sd"] ** 2 + played.carry.memory.variance, variance, rtol=1e-3, atol=1e-4)
    # The positions after ordering stand at the forecast levels, unless they were above.
    periods = np.array([2.0, 2.0, 3.0, 4.0])[:, None]
    flow, spread = (
        np.concatenate([mean.sum(0, keepdims=True), mean]),
        np.concatenate([variance.sum(0, keepdims=True), variance]),
    )
    level = flow * periods + 1.5 * np.sqrt(spread * periods)
    seen = jax.tree.map(lambda x: x[-1], played.trajectory.seen)
    from meio_jax.observation import installation_position

    orders = np.asarray(played.trajectory.orders[-1])
    after = np.asarray(installation_position(network, seen)) + orders
    after[0] -= orders[1:].sum(0)
    np.testing.assert_array_equal(after[orders > 0] > 0, True)
    np.testing.assert_allclose(after[orders > 0], level[orders > 0], rtol=1e-4)


def test_forecast_gradient_is_finite_where_nothing_varies():
    network = serial()
    policy = ForecastOrderUpTo()
    theta = policy.start(network, 3.0, 0.0)  # the demand is the forecast: no error, no variance

    def cost(theta):
        return first_orders(network, policy, theta).sum()

    for leaf in jax.tree.leaves(jax.grad(cost)(theta)):
        assert np.isfinite(leaf).all()


def test_a_fully_adjusting_anchor_is_base_stock():
    network = distribution()
    theta = AnchoringRule().start(network, 4.0)
    one = jnp.ones((4, 1))
    theta |= {"alpha": one, "beta": one, "smoothing": 0 * one, "target": 9 * one, "expected": 4 * one}
    a = orders_of(network, AnchoringRule(), theta, demand(network))
    b = orders_of(network, BaseStock(cascade=False), {"level": 13 * one}, demand(network))
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_the_anchor_follows_incoming_orders():
    network = serial()
    theta = AnchoringRule().start(network, 4.0)
    theta["smoothing"] = jnp.ones((3, 1))
    scenario = scenario_of(np.array([4, 9, 2, 5], np.float32)[:, None])
    played = play(network, AnchoringRule(), theta, scenario)
    expected = theta["expected"][:, 0] + played.carry.memory.expected[:, 0]
    orders = np.asarray(played.trajectory.orders)[:, :, 0]
    np.testing.assert_allclose(expected, [orders[-2, 1], orders[-2, 2], 5], rtol=1e-5)


def test_a_sweep_over_levels_is_a_sweep_over_lanes():
    network = serial()
    scenario = demand(network, lanes=1)
    levels = jnp.asarray([[8.0, 10.0, 12.0], [5.0, 6.0, 7.0], [5.0, 9.0, 6.0]])
    wide = jax.tree.map(lambda x: jnp.repeat(x, 3, -1), scenario)
    together = orders_of(network, BaseStock(), {"level": levels}, wide)
    for lane in range(3):
        alone = orders_of(network, BaseStock(), {"level": levels[:, lane : lane + 1]}, scenario)
        np.testing.assert_allclose(together[..., lane], alone[..., 0], atol=1e-5)


def test_reorder_quantity_grows_with_the_fixed_cost():
    network = serial(fixed_order_cost=10.0)
    theta = ReorderUpTo().start(network, 5.0, 1.0)
    lots = theta["up_to"] - theta["reorder"]
    np.testing.assert_allclose(lots[:, 0], [math.sqrt(100 / 1), math.sqrt(100 / 2), math.sqrt(100 / 3)], rtol=1e-4)
