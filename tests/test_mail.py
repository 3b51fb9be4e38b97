"""Policies, features and games on networks whose orders travel. The physics are in test_transition.py."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Processes, Shock, build_network, scenario_of
from meio_jax.adapters.pettingzoo import NodeAgentsEnv
from meio_jax.env import Env
from meio_jax.features import feature_names, features
from meio_jax.observation import echelon_position, observe
from meio_jax.plot import mermaid
from meio_jax.policies import AnchoringRule, BaseStock, SeasonalBaseStock
from meio_jax.policies.scale import scale_of
from meio_jax.processes import normal, poisson, reports
from meio_jax.rollout import rollout
from meio_jax.simulator import initial_state
from meio_jax.solvers.laws import Poisson
from meio_jax.solvers.methods import method_named
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import serial

KEY = jax.random.key(0)


def tree(timing="demand_first", units=2.0, near=0):
    """A plant, a depot and two shops; so many ``units`` of the plant's are in one of the depot's."""
    return build_network(
        [Node("plant"), Node("depot"), Node("near"), Node("far")],
        [
            Arc(OUTSIDE, "plant", lead_time=1, order_delay=2),
            Arc("plant", "depot", lead_time=2, order_delay=1, units=units),
            Arc("depot", "near", lead_time=1, order_delay=near),
            Arc("depot", "far", lead_time=0, order_delay=3),
            Arc("near", CUSTOMER, backlog_cost=9.0),
            Arc("far", CUSTOMER, backlog_cost=9.0),
        ],
        timing=timing,
    )


@pytest.mark.parametrize(
    ("rule", "timing"),
    [
        (BaseStock(), "order_first"),
        (BaseStock(cascade=False), "order_first"),
        (BaseStock(echelon=True), "demand_first"),
        ("anchoring", "demand_first"),
        ("season", "order_first"),
    ],
)
def test_first_levels_meet_certain_demand_exactly(rule, timing):
    """With levels of mean flow times exposure nothing is owed in the end, and nothing is left."""
    network = tree(timing, near=int(rule == "anchoring"))  # whose depot then hears of all orders in the same period
    if rule == "season":
        rule = SeasonalBaseStock.following(network, np.array([[3.0, 5.0]]))
    theta = rule.start(network, jnp.array([3.0, 5.0])) if rule != "anchoring" else None
    if theta is None:
        rule, blind = AnchoringRule(), BaseStock(cascade=False)
        level = blind.start(network, jnp.array([3.0, 5.0]))["level"]
        flow = rule.start(network, jnp.array([3.0, 5.0]))["expected"]
        one = jnp.ones_like(level)
        theta = {"smoothing": 0.5 * one, "alpha": one, "beta": one, "target": level - flow, "expected": flow}
    scenario = scenario_of(np.broadcast_to(np.array([[3.0], [5.0]]), (60, 2, 1)))
    flows = rollout(network, rule, theta, scenario, KEY, keep_trajectory=True).trajectory.flows
    end = jax.tree.map(lambda x: np.asarray(x)[-10:, :, 0], flows)
    np.testing.assert_allclose(end.backlog[:, [0, 4, 5]], 0.0, atol=1e-4)
    np.testing.assert_allclose(end.on_hand, 0.0, atol=1e-4)
    assert end.ordered[:, 0].tolist() == pytest.approx([16.0] * 10)  # the bill of materials
    assert end.in_mail[0].tolist() == pytest.approx([32.0, 16.0, 3.0 * network.wiring.order_delay[2], 15.0])


def test_what_is_expected_follows_the_orders_that_arrive():
    """A stage anchors on what it has been asked for: an order of another size reaches it when its delay is over."""
    for timing, due in (("demand_first", 3), ("order_first", 4)):
        network = build_network(
            [Node("depot", initial_on_hand=100.0), Node("shop", initial_on_hand=100.0)],
            [
                Arc(OUTSIDE, "depot", lead_time=1),
                Arc("depot", "shop", lead_time=1, order_delay=2, initial_orders=4.0),
                Arc("shop", CUSTOMER),
            ],
            timing=timing,
        )
        column = jnp.ones((2, 1))
        theta = {"smoothing": column, "alpha": 0 * column, "beta": column, "target": column, "expected": 4.0 * column}
        demand = np.full((9, 1, 1), 4.0)
        demand[1] = 7.0  # the shop expects 7 in period 1 (or 2, seen a period late) and orders as much
        run = rollout(network, AnchoringRule(), theta, scenario_of(demand), KEY, keep_trajectory=True).trajectory
        orders = np.asarray(run.orders)[:, :, 0]
        shop = int(np.flatnonzero(orders[:, 1] == 7.0)[0])
        assert shop == (1 if timing == "demand_first" else 2)
        assert np.asarray(run.flows.arrived)[shop + 2, 1, 0] == 7.0
        assert np.flatnonzero(orders[:, 0] == 7.0).tolist() == [due if timing == "demand_first" else due + 1]


def test_echelon_positions_at_the_start_count_mail_once():
    network = tree(units=1.0)
    mail = np.zeros((3, 4, 1))
    mail[:2, 0], mail[0, 1], mail[:, 3] = 8.0, 8.0, 5.0
    network = network.replace(initial_orders=jnp.asarray(mail), initial_on_hand=jnp.full((4, 1), 10.0))
    seen = observe(network, initial_state(network, 1), Shock(demand=jnp.zeros((2, 1))))
    at = echelon_position(network, seen)[:, 0].tolist()
    assert at == [40.0 + 16.0, 30.0 + 8.0, 10.0, 10.0 + 15.0]
    assert BaseStock(echelon=True).init(KEY, network)["level"][:, 0].tolist() == at


def test_features_hold_the_mail():
    network = tree()
    source = Processes(demand=normal([3.0, 5.0], [1.0, 1.0]), reporting=reports([1] * 4))
    theta = BaseStock().start(network, jnp.array([3.0, 5.0]))
    run = rollout(network, BaseStock(), theta, source, KEY, periods=12, lanes=3, oldest=1, keep_trajectory=True)
    seen = jax.tree.map(lambda x: x[-1], run.trajectory.seen)
    scale = scale_of(network, jnp.array([[3.0], [5.0]]))
    names, values = feature_names(network, seen, scale), jax.jit(features)(network, seen, scale)
    assert values.shape == (3, len(names))
    mail = {n: k for k, n in enumerate(names) if n.startswith("mail[")}
    assert len(mail) == 2 + 1 + 3
    for name, k in mail.items():
        arc, slot = name.removeprefix("mail[").removesuffix("]").split(", ")
        e = network.wiring.arcs.index(arc)
        np.testing.assert_allclose(values[:, k], seen.mail[int(slot), e] / scale.arc[e], rtol=1e-6)


def test_topologies_pictures_and_agents_know_it():
    def agents(**numbers):
        network = serial(3, backlog_cost=9.0, **numbers)
        return network, NodeAgentsEnv(Env(network, Processes(demand=poisson([3.0]))), 4).observation_spaces

    (network, spaces), (_, without) = agents(order_delay=[1, 2, 2]), agents()
    assert network.wiring.order_delay == (1, 2, 2)
    assert mermaid(network).count("2 + 1") == 2
    assert [spaces[n].shape[0] - without[n].shape[0] for n in network.wiring.nodes] == [1, 2, 2]


def test_blocks_carry_the_mail():
    network, rule = tree("order_first"), BaseStock()
    theta = rule.start(network, jnp.array([3.0, 5.0]), jnp.array([1.0, 1.0]))
    demand = np.random.default_rng(0).integers(0, 9, (24, 2, 4)).astype(float)
    whole = rollout(network, rule, theta, scenario_of(demand), KEY)
    blocks = rollout(network, rule, theta, scenario_of(demand), KEY, block=2)
    np.testing.assert_allclose(blocks.totals.cost, whole.totals.cost, rtol=1e-6)


@pytest.mark.parametrize("name", ["base_stock", "s_S", "r_nQ", "clark_scarf"])
def test_mail_to_a_supplier_is_a_longer_lead_time_that_costs_nothing(name):
    def one(lead_time, order_delay):
        arcs = [
            Arc(OUTSIDE, "shop", lead_time=lead_time, order_delay=order_delay, transit_holding_cost=0.5),
            Arc("shop", CUSTOMER, backlog_cost=9.0),
        ]
        network = build_network([Node("shop", 1.0)], arcs, integer=True)
        return method_named(name)(Problem(network, Processes(demand=poisson([3.0])), (Poisson(3.0),)))

    mail, road = one(1, 2), one(3, 0)
    assert mail.cost == pytest.approx(road.cost - 0.5 * 2 * 3.0, rel=1e-9)
    np.testing.assert_array_equal(jax.tree.leaves(mail.theta), jax.tree.leaves(road.theta))
