"""Heads, features and rewards: what outputs mean, what a network sees, what it is paid for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import example_6_1, lost_sales

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network
from meio_jax.actions import Head, OrderUpTo, Percentage, Quantity, Tiers
from meio_jax.errors import InputError, UnknownNameError
from meio_jax.features import feature_names, features
from meio_jax.kpis import cost_terms, total_cost
from meio_jax.observation import echelon_position, installation_position, observe
from meio_jax.policies.scale import measure_scale, scale_of
from meio_jax.processes import Processes, normal
from meio_jax.rewards import TERMS, reward
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state, transition
from meio_jax.topologies import assembly, multi_source, serial, tree

HEADS = [OrderUpTo(), OrderUpTo("installation"), Quantity(), Percentage(), Percentage("installation"), Tiers()]
NETWORKS = {
    "serial": serial(3, lead_time=(2, 1, 1), holding_cost=1.0, backlog_cost=9.0, timing="demand_first"),
    "tree": tree((2,), lead_time=2, holding_cost=1.0, backlog_cost=9.0),
    "assembly": assembly((2, 2), units=2.0, lead_time=1, holding_cost=1.0, backlog_cost=9.0),
    "two sources": multi_source(("slow", "fast"), lead_time=(3, 0), unit_cost=(1.0, 2.0), backlog_cost=9.0),
    "perishable": serial(1, lead_time=1, shelf_life=3, lost_cost=5.0, keep=0.0),
}
OTHERS = []


@jax.jit
def _period(network, state, orders, shock):
    return transition(network, state, orders, shock)


@functools.cache
def _played(wiring):
    network = next(x for x in [*NETWORKS.values(), *OTHERS] if x.wiring == wiring)
    w, lanes = network.wiring, 7
    rng = np.random.default_rng(3)
    state = initial_state(network, lanes)
    for _ in range(5):
        orders = jnp.asarray(rng.uniform(0, 2, (w.n_inner, lanes)), float)
        shock = Shock(demand=jnp.asarray(rng.uniform(0, 2, (w.n_customers, lanes)), float))
        state, flows = _period(network, state, orders, shock)
    return state, observe(network, state, shock), flows


def played(network):
    """A state of 7 lanes that is not all zeros, what is seen of it, and the last flows."""
    if all(network.wiring != x.wiring for x in [*NETWORKS.values(), *OTHERS]):
        OTHERS.append(network)
    return _played(network.wiring)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("head", HEADS, ids=str)
def test_every_head_orders_on_every_network(head, network):
    assert isinstance(head, Head)
    assert hash(head) == hash(type(head)(**vars(head)))
    scale = scale_of(network)
    _, seen, _ = played(network)
    raw = np.random.default_rng(0).normal(size=(7, head.outputs(network.wiring)))
    raw = jnp.asarray(
        np.clip(np.round(raw + 3), 0, head.choices - 1) if head.choices else raw, int if head.choices else float
    )
    orders = head.orders(network, scale, seen, raw)
    assert orders.shape == (network.wiring.n_inner, 7)
    assert bool((orders >= 0).all()) and bool(jnp.isfinite(orders).all())


@pytest.mark.parametrize("head", [h for h in HEADS if not h.choices], ids=str)
def test_nan_stays_nan(head):
    network = NETWORKS["serial"]
    _, seen, _ = played(network)
    raw = jnp.full((7, head.outputs(network.wiring)), jnp.nan)
    assert bool(jnp.isnan(head.orders(network, scale_of(network), seen, raw)).all())


@pytest.mark.parametrize("position", ["echelon", "installation"])
def test_zero_output_is_the_reference_rule(position):
    network = NETWORKS["serial"]
    scale = scale_of(network, jnp.array([[5.0]]), jnp.array([[1.0]]))
    _, seen, _ = played(network)
    at = echelon_position(network, seen) if position == "echelon" else installation_position(network, seen)
    level = scale.echelon if position == "echelon" else scale.local
    for head in (OrderUpTo(position), Percentage(position)):
        orders = head.orders(network, scale, seen, jnp.zeros((7, 3)))
        np.testing.assert_allclose(orders, jnp.maximum(level - at, 0), rtol=1e-6)
    more = OrderUpTo(position).orders(network, scale, seen, jnp.ones((7, 3)))
    spread = scale.echelon_spread if position == "echelon" else scale.local_spread
    np.testing.assert_allclose(more, jnp.maximum(level + spread - at, 0), rtol=1e-6)


def test_sizes_of_a_chain_and_of_an_assembly():
    scale = scale_of(NETWORKS["serial"], jnp.array([[5.0]]), jnp.array([[1.0]]))
    # Convention A: levels cover lead times 4, 2 and 1 of the echelons, upstream first
    np.testing.assert_allclose(scale.echelon_spread[:, 0], np.sqrt([4.0, 2.0, 1.0]), rtol=1e-6)
    np.testing.assert_allclose(scale.echelon[:, 0], [20 + 2**0.5 + 2, 10 + 2, 5 + 1], rtol=1e-6)
    np.testing.assert_allclose(scale.arc[:, 0], 5.0)
    network = NETWORKS["assembly"]
    sizes = scale_of(network, jnp.array([[5.0]]))
    w = network.wiring
    assert dict(zip(w.nodes, sizes.node[:, 0].tolist(), strict=True))["product"] == 5.0
    into = [e for e in range(w.n_inner) if w.nodes[w.dst[e]] == "product"]
    assert [float(sizes.arc[e, 0]) for e in into] == [10.0, 10.0]  # two of each in a product
    assert float(sizes.node[0, 0]) == 20.0


def test_sizes_are_measured_where_no_formula_is_known():
    class Unknown(type(normal(5.0, 1.0))):
        def long_run_mean(self):
            return None

    demand = normal([5.0], [1.0])
    unknown = Unknown.__new__(Unknown)
    vars(unknown).update(vars(demand))
    network = NETWORKS["serial"]
    jax.tree_util.register_dataclass(Unknown)
    measured = measure_scale(network, Processes(demand=unknown), jax.random.key(0), lanes=256)
    known = measure_scale(network, Processes(demand=demand), jax.random.key(0), lanes=256)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0.02), measured, known)


def test_quantity_zero_is_the_mean_order():
    network = NETWORKS["tree"]
    scale = scale_of(network, jnp.full((2, 1), 3.0))
    _, seen, _ = played(network)
    orders = Quantity().orders(network, scale, seen, jnp.zeros((7, 3)))
    np.testing.assert_allclose(orders, jnp.broadcast_to(scale.arc, orders.shape), rtol=1e-6)


def test_shares_split_an_input_among_its_sources():
    network = NETWORKS["two sources"]
    scale = scale_of(network, jnp.array([[5.0]]), jnp.array([[1.0]]))
    _, seen, _ = played(network)
    head = OrderUpTo()
    assert head.outputs(network.wiring) == 3
    raw = jnp.tile(jnp.array([[0.5, 0.0, 0.0]]), (7, 1))
    even = head.orders(network, scale, seen, raw)
    np.testing.assert_allclose(even[0], even[1], rtol=1e-6)
    one = head.orders(network, scale, seen, raw.at[:, 1].set(50.0))
    np.testing.assert_allclose(one[0], even.sum(0), rtol=1e-5)
    np.testing.assert_allclose(one[1], 0.0, atol=1e-5)


def test_tiers_that_do_not_fit_are_masked():
    head = Tiers((0.0, 0.5, 1.0, 2.0))
    arcs = [Arc(OUTSIDE, "a", order_capacity=6.0, minimum_order=3.0), Arc("a", CUSTOMER)]
    network = build_network([Node("a")], arcs)
    _, seen, _ = played(network)
    scale = scale_of(network, jnp.array([[5.0]]))
    assert head.mask(network, scale, seen).tolist() == [[[True, False, True, False]]]
    tight = network.replace(order_capacity=jnp.array([[1.0]]), minimum_order=jnp.array([[1.0]]))
    assert head.mask(tight, scale, seen).tolist() == [[[True, False, False, False]]]
    assert head.mask(serial(1), scale, seen) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: OrderUpTo("nowhere"),
        lambda: Tiers((1.0,)),
        lambda: Tiers((0.0, float("nan"))),
        lambda: Tiers((2.0, 1.0)),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(make):
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_features_have_a_name_each_and_are_lane_wise(network):
    scale = scale_of(network)
    _, seen, _ = played(network)
    x = features(network, seen, scale, cycle=7, horizon=20)
    names = feature_names(network, seen, scale, cycle=7, horizon=20)
    assert x.shape == (7, len(names)) and len(set(names)) == len(names)
    assert bool(jnp.isfinite(x).all())
    order = np.random.default_rng(0).permutation(7)
    mixed = jax.tree.map(lambda v: v[..., order] if v.ndim else v, seen)
    np.testing.assert_array_equal(features(network, mixed, scale, cycle=7, horizon=20), x[order])


def test_features_leave_out_slots_that_no_shipment_can_reach():
    network = NETWORKS["serial"]
    _, seen, _ = played(network)
    names = feature_names(network, seen, scale_of(network))
    assert [n for n in names if n.startswith("pipeline")] == [
        "pipeline[outside->stage1, 0]", "pipeline[outside->stage1, 1]",
        "pipeline[stage1->stage2, 0]", "pipeline[stage2->stage3, 0]",
    ]  # fmt: skip


def test_features_do_not_see_the_coming_demand():
    network = NETWORKS["tree"]  # order_first
    state, _, _ = played(network)
    scale = scale_of(network)
    x = [features(network, observe(network, state, Shock(demand=jnp.full((2, 7), d))), scale) for d in (0.0, 9.0)]
    np.testing.assert_array_equal(*x)


def test_features_are_the_same_in_other_units():
    """A network whose numbers are all ten times as large looks the same."""
    small, big = NETWORKS["serial"], NETWORKS["serial"]
    _, seen, _ = played(small)
    grown = jax.tree.map(lambda v: v * 10 if jnp.issubdtype(v.dtype, jnp.floating) else v, seen)
    one = features(small, seen, scale_of(small, jnp.array([[1.0]]), jnp.array([[0.3]])))
    ten = features(big, grown, scale_of(big, jnp.array([[10.0]]), jnp.array([[3.0]])))
    np.testing.assert_allclose(one, ten, rtol=1e-5, atol=1e-5)


def test_reward_is_the_negative_cost_or_what_weights_say():
    network = example_6_1().network
    _, _, flows = played(network)
    cost = total_cost(network, flows)
    np.testing.assert_array_equal(reward(None, network, flows), -cost)
    np.testing.assert_array_equal(reward({"cost": 1.0}, network, flows), -cost)
    parts = cost_terms(network, flows)
    by_hand = -(2.0 * parts["holding"] + 0.5 * flows.backlog[network.wiring.n_inner :].sum(0))
    found = jax.jit(lambda w: reward(w, network, flows))({"holding": 2.0, "backlog_units": 0.5})
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)
    for name in TERMS:
        assert reward({name: 1.0}, network, flows).shape == (7,)
    with pytest.raises(UnknownNameError, match="happiness"):
        reward({"happiness": 1.0}, network, flows)


def test_revenue_and_service_count_in_favour():
    network = serial(1, price=3.0, holding_cost=1.0, backlog_cost=1.0)
    _, _, flows = played(network)
    sold = flows.shipped[1]
    np.testing.assert_allclose(reward({"revenue": 1.0}, network, flows), 3.0 * sold, rtol=1e-6)
    np.testing.assert_allclose(reward({"filled": 1.0}, network, flows), flows.filled[1], rtol=1e-6)


def test_integer_networks_get_whole_orders():
    probe = lost_sales()
    scale = measure_scale(probe.network, probe.processes, jax.random.key(0), lanes=8)
    assert float(scale.demand[0, 0]) == pytest.approx(5.0, rel=1e-4)
    assert float(scale.echelon_spread[0, 0]) == pytest.approx(15**0.5, rel=1e-4)
