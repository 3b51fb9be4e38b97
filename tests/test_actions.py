"""Heads, features and rewards: what outputs mean, what a network sees, what it is paid for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import example_6_1, lost_sales

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network
from meio_jax.actions import CappedBaseStock, Head, OrderUpTo, Percentage, Quantity, ReorderUpTo, Tiers
from meio_jax.actions.base import positive
from meio_jax.errors import InputError, UnknownNameError, UnsuitableError
from meio_jax.features import feature_names, features
from meio_jax.kpis import cost_terms, total_cost
from meio_jax.observation import echelon_position, installation_position, observe
from meio_jax.policies import base_stock, reorder
from meio_jax.policies.dual_sourcing import CappedDualIndex
from meio_jax.policies.forecast import ForecastOrderUpTo
from meio_jax.policies.scale import measure_scale, scale_of, scale_of_rule
from meio_jax.policies.seasonal import SeasonalBaseStock
from meio_jax.processes import Processes, normal
from meio_jax.rewards import TERMS, reward
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state, transition
from meio_jax.topologies import assembly, multi_source, serial, tree

HEADS = [
    OrderUpTo(), OrderUpTo("installation"), Quantity(), Percentage(), Percentage("installation"), CappedBaseStock(),
    ReorderUpTo(), Tiers(),
]  # fmt: skip
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
    places = head.places(network.wiring)
    assert len(set(places)) == len(places) == len(head.nodes(network.wiring))
    assert all(p.channel < head.channels[p.of == "arc"] for p in places)


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


def test_a_cap_and_a_lot_by_hand():
    """Against the formulas in NumPy, at positions on both sides of every level."""
    network = NETWORKS["tree"]
    w, rng = network.wiring, np.random.default_rng(5)
    scale = scale_of(network, jnp.full((2, 1), 3.0), jnp.ones((2, 1)))
    _, seen, _ = played(network)
    at = np.asarray(echelon_position(network, seen))
    level, spread, flow = (np.asarray(x) for x in (scale.echelon, scale.echelon_spread, scale.node))
    raw = rng.normal(size=(7, 6)).astype(np.float32)
    raw[:, :3] = (at + rng.normal(0, 5, at.shape) - level).T / spread.T  # levels around the positions
    short = level + spread * raw[:, :3].T - at
    assert (short > 0).any() and (short < 0).any()
    cap = np.maximum(2.0 * flow + flow * raw[:, 3:].T, 0.0)
    found = CappedBaseStock().orders(network, scale, seen, jnp.asarray(raw))
    np.testing.assert_allclose(found, np.minimum(np.maximum(short, 0), cap), rtol=1e-4, atol=1e-5)
    lot = np.maximum(4.0 + flow * raw[:, 3:].T, 0.0)
    found = ReorderUpTo().orders(network, scale.replace(lot=jnp.full((3, 1), 4.0)), seen, jnp.asarray(raw))
    np.testing.assert_allclose(found, np.where(short >= 0, short + lot, 0.0), rtol=1e-4, atol=1e-5)
    assert w.node_of_input == (0, 1, 2) and not ReorderUpTo().differentiable and CappedBaseStock().differentiable


def test_a_leak_changes_the_gradient_alone():
    x = jnp.array([-2.0, 0.5, jnp.nan])
    np.testing.assert_array_equal(positive(x, 0.1), jnp.maximum(x, 0.0))
    np.testing.assert_allclose(jax.grad(lambda x: positive(x, 0.1)[:2].sum())(x), [0.1, 1.0, 0.0], rtol=1e-6)
    network = NETWORKS["serial"]
    scale, (_, seen, _) = scale_of(network), played(network)
    low = jnp.full((7, 3), -500.0)  # far below every position
    slopes = []
    for head in (OrderUpTo(), OrderUpTo(leak=0.1), CappedBaseStock(leak=0.1)):
        raw = low if head.outputs(network.wiring) == 3 else jnp.concatenate([low, jnp.zeros((7, 3))], 1)
        orders, slope = jax.value_and_grad(lambda r, h=head: h.orders(network, scale, seen, r).sum())(raw)
        assert float(orders) == 0
        slopes.append(np.asarray(slope[:, :3]))
    np.testing.assert_array_equal(slopes[0], 0)
    for slope in slopes[1:]:
        np.testing.assert_allclose(slope, np.broadcast_to(0.1 * scale.echelon_spread.T, (7, 3)), rtol=1e-5)


RULES = {
    "base-stock": ("serial", OrderUpTo(), base_stock.BaseStock(echelon=True), {"level": [9.0, 6.0, 4.0]}),
    "local": ("serial", OrderUpTo("installation"), base_stock.BaseStock(cascade=False), {"level": [3.0, 3.5, 4.0]}),
    "share": ("two sources", OrderUpTo(), base_stock.BaseStock(), {"level": [9.0], "share": [1.0, 3.0]}),
    "season": (
        "perishable", Percentage(), SeasonalBaseStock(season=((1.0,), (2.0,), (-1.0,))),
        {"level": [6.0], "swing": [0.5]},
    ),
    "cap": ("perishable", CappedBaseStock(), base_stock.CappedBaseStock(), {"level": [7.0], "cap": [1.5]}),
    "reorder": ("perishable", ReorderUpTo(), reorder.ReorderUpTo(), {"reorder": [3.0], "up_to": [8.0]}),
    "echelon reorder": (
        "serial", ReorderUpTo(), reorder.ReorderUpTo(echelon=True),
        {"reorder": [9.0, 6.0, 3.0], "up_to": [12.0, 6.0, 5.0]},
    ),
    "any": ("two sources", Percentage(rule=CappedDualIndex()), CappedDualIndex(),
            {"expedited": [4.0], "regular": [9.0], "cap": [1.0]}),
    "lots": ("serial", Percentage(rule=reorder.ReorderLots()), reorder.ReorderLots(),
             {"reorder": [2.0, 2.5, 3.0], "lot": [2.0, 2.0, 2.0]}),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_an_untrained_head_is_the_tuned_rule(case):
    name, head, rule, numbers = RULES[case]
    network = NETWORKS[name]
    theta = {k: jnp.asarray(v, float)[:, None] for k, v in numbers.items()}
    scale = scale_of_rule(network, rule, theta, head=head)
    _, seen, _ = played(network)
    wanted = rule.apply(network, theta, None, seen, jax.random.key(0))[0].orders
    raw = jnp.zeros((7, head.outputs(network.wiring)))
    np.testing.assert_allclose(head.orders(network, scale, seen, raw), wanted, rtol=1e-5, atol=1e-5)
    assert float(wanted.max()) > 0
    if isinstance(head, Percentage):
        more = head.orders(network, scale, seen, raw + 1.0)
        np.testing.assert_allclose(more, 1.25 * wanted, rtol=1e-5, atol=1e-5)


def test_installation_levels_with_the_cascade_become_echelon_levels():
    """In the steady state: from where every position is at its level the two order the same (Axsaeter, Rosling)."""
    network = NETWORKS["serial"]
    theta = {"level": jnp.asarray([[3.0], [4.0], [5.0]])}
    rule = base_stock.BaseStock()
    scale = scale_of_rule(network, rule, theta)
    np.testing.assert_allclose(scale.echelon[:, 0], [12.0, 9.0, 5.0])
    state = initial_state(network, 7)
    state = state.replace(on_hand=theta["level"][None] + jnp.zeros((1, 3, 7)))
    rng = np.random.default_rng(0)
    for _ in range(4):
        shock = Shock(demand=jnp.asarray(rng.uniform(0, 3, (1, 7)), float))
        seen = observe(network, state, shock)
        orders = rule.orders(network, theta, seen)
        np.testing.assert_allclose(OrderUpTo().orders(network, scale, seen, jnp.zeros((7, 3))), orders, atol=1e-4)
        state, _ = _period(network, state, orders, shock)


@pytest.mark.parametrize(
    ("network", "head", "rule"),
    [
        ("serial", Quantity(), base_stock.BaseStock()),
        ("serial", OrderUpTo(), base_stock.CappedBaseStock(echelon=True)),
        ("serial", OrderUpTo("installation"), base_stock.BaseStock()),
        ("serial", CappedBaseStock(), base_stock.CappedBaseStock()),
        ("tree", ReorderUpTo(), reorder.ReorderUpTo(echelon=True, capped=True)),
        ("serial", Percentage(rule=base_stock.BaseStock()), base_stock.BaseStock(echelon=True)),
    ],
)
def test_a_head_that_cannot_be_a_rule_says_so(network, head, rule):
    network = NETWORKS[network]
    theta = jax.tree.map(lambda x: np.ones(x.shape), jax.eval_shape(rule.start, network))
    with pytest.raises(UnsuitableError):
        scale_of_rule(network, rule, theta, head=head)


def test_a_percentage_of_a_rule_needs_its_numbers_and_one_that_remembers_is_refused():
    network = NETWORKS["serial"]
    _, seen, _ = played(network)
    with pytest.raises(InputError, match="scale_of_rule"):
        Percentage(rule=base_stock.BaseStock()).orders(network, scale_of(network), seen, jnp.zeros((7, 3)))
    rule = ForecastOrderUpTo()
    head = Percentage(rule=rule)
    scale = scale_of_rule(network, rule, rule.start(network), head=head)
    with pytest.raises(UnsuitableError, match="remembers"):
        head.orders(network, scale, seen, jnp.zeros((7, 3)))


def test_tiers_lean_towards_the_rule():
    network = NETWORKS["tree"]
    scale = scale_of(network, jnp.full((2, 1), 3.0), jnp.ones((2, 1)))
    _, seen, _ = played(network)
    head = Tiers((0.0, 1.0, 2.0, 3.0, 4.0, 5.0), lean=3.0)
    raw = head.mask(network, scale, seen).argmax(-1)
    wanted = OrderUpTo().orders(network, scale, seen, jnp.zeros((7, 3))) / scale.arc
    nearest = np.abs(np.asarray(head.multiples) - np.asarray(wanted)[..., None]).argmin(-1)
    np.testing.assert_array_equal(raw, nearest.T)
    assert len(set(nearest.ravel())) > 2
    tight = network.replace(order_capacity=jnp.full((3, 1), 2.0))  # below half the mean order of the plant
    assert (
        float(head.mask(tight, scale, seen)[:, 0, 1:].max()) < -1e30 and Tiers().mask(tight, scale, seen).dtype == bool
    )


@pytest.mark.parametrize("head", [h for h in HEADS if not h.choices] + [Tiers()], ids=str)
def test_whole_units_stay_whole(head):
    """Orders of networks of whole units are rounded where they are placed, whatever the head says."""
    network = serial(2, lead_time=1, integer=True, backlog_cost=9.0)
    scale = scale_of(network, jnp.array([[3.0]]), jnp.array([[1.5]]))
    state = initial_state(network, 7)
    state = state.replace(on_hand=jnp.asarray(np.random.default_rng(0).integers(0, 9, (1, 2, 7)), float))
    shock = Shock(demand=jnp.full((1, 7), 3.0))
    count = head.outputs(network.wiring)
    raw = (
        jnp.full((7, count), 3)
        if head.choices
        else jnp.asarray(np.random.default_rng(1).normal(size=(7, count)), float)
    )
    orders = head.orders(network, scale, observe(network, state, shock), raw)
    assert bool((orders % 1 != 0).any())
    _, flows = _period(network, state, orders, shock)
    np.testing.assert_array_equal(flows.ordered[:2], jnp.floor(orders + 0.5))


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
        lambda: Tiers(lean=-1.0),
        lambda: Tiers(position="nowhere"),
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
