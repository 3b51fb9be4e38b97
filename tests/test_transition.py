"""One period by hand: a case for each paragraph of ARCHITECTURE.md, section 3. Reads as documentation of the rules."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import oracle_initial_state, oracle_network, oracle_shock, oracle_transition

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network, scenario_of
from meio_jax.errors import InputError, NumberError
from meio_jax.observation import (
    Observation,
    echelon_position,
    file_report,
    init_reports,
    installation_position,
    note_orders,
    observe,
)
from meio_jax.policies import BaseStock
from meio_jax.scenario import check_scenario
from meio_jax.simulator import Flows, State, initial_state, place_orders, transition


class Played:
    """A short run of one lane. The oracle plays along, so that a hand case also tests the oracle."""

    def __init__(self, network, orders, demand, allocation=None, **shocks):
        self.w = network.wiring
        state = initial_state(network, 1)
        twin_network = oracle_network(network)
        twin = oracle_initial_state(twin_network)
        self.states: list[State] = [jax.tree.map(np.asarray, state)]
        self.flows: list[Flows] = []
        for t in range(len(demand)):
            now = {k: column(v[t]) for k, v in shocks.items()}
            shock = Shock(demand=column(demand[t]), **now)
            limit = None if allocation is None else column(allocation[t])
            # NumPy from here on: each index into an array of JAX is a program of its own.
            state, flows = jax.tree.map(np.asarray, _transition(network, state, column(orders[t]), shock, limit))
            twin, moved = oracle_transition(
                twin_network, twin, orders[t], oracle_shock(shock), None if allocation is None else allocation[t]
            )
            for name, x in vars(flows).items():
                if x is None:
                    assert getattr(moved, name) is None, name
                    continue
                np.testing.assert_allclose(x[:, 0], getattr(moved, name), rtol=1e-6, atol=1e-6, err_msg=name)
            self.states.append(state)
            self.flows.append(flows)

    def arc(self, field, name):
        """What an arc did in each period."""
        return [round(float(getattr(f, field)[self.w.arcs.index(name), 0]), 5) for f in self.flows]

    def node(self, field, name):
        """What a node did in each period."""
        return [round(float(getattr(f, field)[self.w.nodes.index(name), 0]), 5) for f in self.flows]

    def ages(self, name):
        """The age classes of a node at the end."""
        return self.states[-1].on_hand[:, self.w.nodes.index(name), 0].tolist()


_transition = jax.jit(transition)


def column(numbers):
    """One lane."""
    return np.asarray(numbers, np.float32)[:, None]


def shop(lead_time=1, timing="order_first", integer=False, node=(), customer=(), **arc):
    """A supplier, a shop, a customer."""
    return build_network(
        [Node("shop", **dict(node))],
        [
            Arc(OUTSIDE, "shop", "supply", lead_time=lead_time, **arc),
            Arc("shop", CUSTOMER, "sales", **dict(customer)),
        ],
        timing=timing,
        integer=integer,
    )


def depot(shops=2, timing="order_first", integer=False, stock=10.0, lead_time=1, to_shop=(), **rules):
    """A depot that supplies shops."""
    names = [f"shop {k}" for k in range(shops)]
    arcs = [Arc(OUTSIDE, "depot", "supply", lead_time=1)]
    arcs += [Arc("depot", n, f"to {n}", lead_time=lead_time, **dict(to_shop)) for n in names]
    arcs += [Arc(n, CUSTOMER, f"sales {n}") for n in names]
    nodes = [Node("depot", initial_on_hand=stock), *(Node(n) for n in names)]
    return build_network(nodes, arcs, timing=timing, integer=integer, **rules)


# 0. Placing


@pytest.mark.parametrize(
    ("numbers", "wanted", "placed"),
    [
        ({}, -3.0, 0.0),
        ({}, 2.3, 2.3),
        ({"lot_size": 4.0}, 5.9, 4.0),
        ({"lot_size": 4.0}, 6.0, 8.0),  # a tie goes up
        ({"minimum_order": 5.0}, 2.4, 0.0),
        ({"minimum_order": 5.0}, 2.5, 5.0),  # half of it is enough
        ({"minimum_order": 5.0}, 7.3, 7.3),
        ({"order_capacity": 6.0}, 9.0, 6.0),
        ({"lot_size": 4.0, "order_capacity": 10.0}, 50.0, 8.0),  # whole lots only
        ({"lot_size": 4.0, "minimum_order": 5.0}, 4.4, 8.0),  # two lots are the least
        ({"lot_size": 4.0, "minimum_order": 5.0}, 3.9, 0.0),  # less than half of them, although a lot is nearest
        ({"lot_size": 4.0, "minimum_order": 5.0, "order_capacity": 7.0}, 50.0, 0.0),  # 8 does not fit below 7
    ],
)
def test_wanted_orders_become_possible_orders(numbers, wanted, placed):
    assert float(place_orders(shop(**numbers), jnp.array([[wanted]]))[0, 0]) == pytest.approx(placed)
    assert Played(shop(**numbers), [[wanted]], [[0.0]]).arc("ordered", "supply") == [pytest.approx(placed)]


def test_a_nan_is_never_an_order_of_zero():
    for numbers in ({}, {"lot_size": 4.0}, {"minimum_order": 5.0}, {"order_capacity": 6.0}):
        assert np.isnan(place_orders(shop(**numbers), jnp.array([[jnp.nan]]))).all()


def test_whole_networks_order_whole_units():
    assert Played(shop(integer=True), [[2.5], [2.4], [-0.6]], [[0.0]] * 3).arc("ordered", "supply") == [3.0, 2.0, 0.0]
    net = depot(integer=True, to_shop={"order_capacity": 5.0})  # one arc in lots, the others in units
    net = net.replace(lot_size=jnp.array([[4.0], [0.0], [0.0]]))
    run = Played(net, [[5.0, 2.5, 9.0]], [[0.0, 0.0]])
    assert [run.arc("ordered", a) for a in net.wiring.arcs[:3]] == [[4.0], [3.0], [5.0]]
    happy = shop(integer=True, customer={"erosion": 0.4})
    assert Played(happy, [[0.0]] * 2, [[10.0], [3.0]]).arc("ordered", "sales") == [10.0, 2.0]  # 1.8


# 1. Suppliers


def test_suppliers_ship_what_is_owed_but_in_an_outage():
    run = Played(shop(), [[8.0], [2.0], [0.0]], [[0.0]] * 3, available=[[0.25], [0.0], [1.0]])
    assert run.arc("shipped", "supply") == [2.0, 0.0, 8.0]
    assert run.arc("backlog", "supply") == [6.0, 8.0, 0.0]
    assert run.arc("received", "supply") == [0.0, 2.0, 0.0]
    assert Played(shop(integer=True), [[5.0]], [[0.0]], available=[[0.5]]).arc("shipped", "supply") == [2.0]


def test_a_supplier_that_keeps_no_backlog_forgets():
    run = Played(shop(keep=0.0), [[8.0], [2.0]], [[0.0]] * 2, available=[[0.25], [1.0]])
    assert run.arc("lost", "supply") == [6.0, 0.0]
    assert run.arc("shipped", "supply") == [2.0, 2.0]


# 2. Nodes, and the three timings


def test_an_order_arrives_when_its_lead_time_is_over():
    orders, demand = [[5.0], [0.0], [0.0]], [[0.0]] * 3
    assert Played(shop(lead_time=0), orders, demand).node("on_hand", "shop") == [5.0, 5.0, 5.0]
    assert Played(shop(lead_time=1), orders, demand).node("on_hand", "shop") == [0.0, 5.0, 5.0]
    assert Played(shop(lead_time=2), orders, demand).node("on_hand", "shop") == [0.0, 0.0, 5.0]


def two_in_a_row(timing):
    return build_network(
        [Node("depot", initial_on_hand=3.0), Node("shop", initial_on_hand=1.0)],
        [
            Arc(OUTSIDE, "depot", "supply", lead_time=0),
            Arc("depot", "shop", "to shop", lead_time=0),
            Arc("shop", CUSTOMER, "sales"),
        ],
        timing=timing,
    )


def test_without_lead_times_a_unit_passes_two_nodes_in_one_period():
    for timing in ("order_first", "demand_first"):
        run = Played(two_in_a_row(timing), [[7.0, 10.0]], [[11.0]])
        assert run.arc("received", "supply") == [7.0]
        assert run.arc("shipped", "to shop") == [10.0]  # 3 in stock and the 7 that came today
        assert run.arc("shipped", "sales") == [11.0]
        assert run.node("on_hand", "depot") == run.node("on_hand", "shop") == [0.0]


def test_ship_first_ships_from_the_stock_of_the_start_of_the_period():
    run = Played(two_in_a_row("ship_first"), [[7.0, 10.0]], [[11.0]])
    assert run.arc("shipped", "to shop") == [3.0]  # the 7 of today came too late
    assert run.node("on_hand", "depot") == [7.0]
    assert run.arc("shipped", "sales") == [4.0]  # customers are served after receipts
    assert run.arc("backlog", "to shop") == run.arc("backlog", "sales") == [7.0]


# 3. Build


def plant(units=(1.0, 1.0), integer=False, stock=0.0, timing="order_first", lead_time=0, **node):
    """Two components make a product."""
    return build_network(
        [Node("plant", initial_on_hand=stock, **node)],
        [
            Arc(OUTSIDE, "plant", "frames", component="frame", lead_time=lead_time, units=units[0]),
            Arc(OUTSIDE, "plant", "wheels", component="wheel", lead_time=lead_time, units=units[1]),
            Arc("plant", CUSTOMER, "sales"),
        ],
        integer=integer,
        timing=timing,
    )


def test_the_scarcest_component_binds_and_the_others_wait():
    run = Played(plant(units=(1.0, 2.0)), [[5.0, 6.0], [0.0, 4.0]], [[0.0]] * 2)
    assert run.node("started", "plant") == [3.0, 2.0]
    assert run.flows[0].components[:, 0].tolist() == [2.0, 0.0]
    assert run.flows[1].components[:, 0].tolist() == [0.0, 0.0]


def test_two_sources_of_one_component_add_up():
    net = build_network(
        [Node("plant")],
        [
            Arc(OUTSIDE, "plant", "frames", component="frame"),
            Arc(OUTSIDE, "plant", "cheap wheels", component="wheel"),
            Arc(OUTSIDE, "plant", "good wheels", component="wheel"),
            Arc("plant", CUSTOMER, "sales"),
        ],
    )
    assert net.wiring.n_inputs == 2
    assert Played(net, [[9.0, 2.0, 3.0]], [[0.0]]).node("built", "plant") == [5.0]


def test_capacity_limits_good_units_and_yield_costs_units_started():
    run = Played(plant(capacity=4.0), [[10.0, 10.0], [0.0, 0.0]], [[0.0]] * 2)
    assert run.node("built", "plant") == [4.0, 4.0]
    run = Played(plant(capacity=4.0, yield_=0.5), [[10.0, 10.0], [0.0, 0.0]], [[0.0]] * 2)
    assert run.node("started", "plant") == [8.0, 2.0]
    assert run.node("built", "plant") == [4.0, 1.0]
    run = Played(plant(), [[10.0, 10.0]], [[0.0]], yield_=[[0.0]])
    assert run.node("started", "plant") == [10.0]
    assert run.node("built", "plant") == [0.0]


def test_whole_builds_round_down():
    run = Played(plant(units=(2.0, 1.0), integer=True), [[5.0, 9.0]], [[0.0]])
    assert run.node("started", "plant") == [2.0]
    assert run.flows[0].components[:, 0].tolist() == [1.0, 7.0]
    run = Played(plant(integer=True, yield_=0.75), [[9.0, 9.0]], [[0.0]])
    assert run.node("built", "plant") == [6.0]  # 6.75
    run = Played(plant(integer=True, yield_=0.75, capacity=4.0), [[9.0, 9.0]], [[0.0]])
    assert run.node("started", "plant") == [6.0]  # 5.33 would do
    assert run.node("built", "plant") == [4.0]
    for more in ({}, {"yield_": 1.0}):  # a fractional limit counts as the whole number below it
        run = Played(plant(integer=True, capacity=4.5, **more), [[9.0, 9.0]], [[0.0]])
        assert run.node("started", "plant") == run.node("built", "plant") == [4.0]


def test_make_to_order_builds_what_is_owed_and_not_in_stock():
    run = Played(plant(make_to_order=True, stock=1.0), [[10.0, 10.0], [0.0, 0.0]], [[4.0], [2.0]])
    assert run.node("built", "plant") == [3.0, 2.0]
    assert run.node("on_hand", "plant") == [0.0, 0.0]
    assert run.flows[-1].components[:, 0].tolist() == [5.0, 5.0]


def test_make_to_order_keeps_what_it_does_not_need_also_of_a_single_input():
    run = Played(shop(0, node={"make_to_order": True}), [[9.0], [0.0]], [[4.0], [3.0]])
    assert run.node("built", "shop") == [4.0, 3.0]
    assert [f.components[:, 0].tolist() for f in run.flows] == [[5.0], [2.0]]


def test_make_to_order_with_ship_first_builds_twice_within_one_capacity():
    def made(timing):
        net = build_network(
            [Node("plant", make_to_order=True, capacity=5.0), Node("shop")],
            [
                Arc(OUTSIDE, "plant", "parts", lead_time=1, initial_pipeline=9.0),
                Arc("plant", "shop", "to shop", lead_time=1),
                Arc("plant", CUSTOMER, "direct"),
                Arc("shop", CUSTOMER, "sales"),
            ],
            timing=timing,
        )
        return Played(net, [[0.0, 4.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]])

    run = made("ship_first")
    assert run.arc("shipped", "to shop") == [0.0, 4.0]  # the parts of the first day came after inner shipments
    assert run.arc("shipped", "direct") == [3.0, 0.0]
    assert run.node("built", "plant") == [3.0, 4.0]
    run = made("order_first")
    assert run.node("built", "plant") == [5.0, 2.0]


@pytest.mark.parametrize("timing", ["order_first", "ship_first"])
@pytest.mark.parametrize(
    ("demand", "available", "built"),
    [
        (3.0, 1.0, 5.0),  # 4 for the shop leave a capacity of 1 for the customer
        (1.0, 0.0, (5.0, 4.0)),  # what cannot leave is built nonetheless; with ship_first the customer gets one of it
    ],
)
def test_make_to_order_builds_what_is_owed_on_the_arcs_it_is_about_to_serve(timing, demand, available, built):
    net = build_network(
        [Node("plant", make_to_order=True, capacity=5.0), Node("shop")],
        [
            Arc(OUTSIDE, "plant", "parts", lead_time=1, initial_pipeline=9.0),
            Arc("plant", "shop", "to shop", lead_time=1),
            Arc("plant", CUSTOMER, "direct"),
            Arc("shop", CUSTOMER, "sales"),
        ],
        timing=timing,
    )
    run = Played(
        net, [[0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [demand, 0.0]], available=[[1.0, 1.0], [1.0, available]]
    )  # fmt: skip
    want = built if isinstance(built, float) else built[timing == "ship_first"]
    assert run.node("built", "plant") == [0.0, want]


def test_nothing_is_started_for_nobody():
    """Not even where nothing would come of it: a yield of 0 starts all that is feasible only if something is wanted."""
    run = Played(plant(make_to_order=True), [[6.0, 6.0], [0.0, 0.0]], [[0.0], [1.0]], yield_=[[0.0], [0.0]])
    assert run.node("started", "plant") == [0.0, 6.0]
    assert run.node("built", "plant") == [0.0, 0.0]


def test_three_components_beside_nodes_of_one():
    net = build_network(
        [Node("bike"), Node("bell")],
        [
            *(Arc(OUTSIDE, "bike", part, part) for part in ("frame", "fork", "wheel")),
            Arc(OUTSIDE, "bell", "bells"),
            *(Arc(n, CUSTOMER) for n in ("bike", "bell")),
        ],
    )
    run = Played(net, [[5.0, 4.0, 3.0, 9.0]], [[0.0, 0.0]])
    assert [run.node("built", n) for n in ("bike", "bell")] == [[3.0], [9.0]]


def test_ship_first_lets_only_make_to_order_nodes_build_before_receipts():
    """A node that builds to stock keeps its inputs until it has received, even if a start would yield nothing."""
    net = build_network(
        [Node("maker", make_to_order=True), Node("plant", yield_=0.75)],
        [
            Arc(OUTSIDE, "maker", "parts"),
            Arc("maker", "plant", "made"),
            Arc(OUTSIDE, "plant", "bolts", component="bolt"),
            Arc("plant", CUSTOMER, "sales"),
        ],
        timing="ship_first",
        integer=True,
    )
    order = [net.wiring.arcs.index(n) for n in ("parts", "bolts", "made")]
    assert order == [0, 1, 2]
    run = Played(net, [[9.0, 1.0, 3.0], [0.0, 3.0, 0.0]], [[0.0]] * 2)
    assert run.node("started", "plant") == [0.0, 3.0]  # the first bolt waits for what is made on the second day
    assert run.node("built", "plant") == [0.0, 2.0]


def test_ship_first_builds_once_where_capacity_left_inputs_over():
    net = build_network(
        [Node("maker", make_to_order=True), Node("press", capacity=2.0)],
        [Arc(OUTSIDE, "maker"), Arc(OUTSIDE, "press"), *(Arc(n, CUSTOMER) for n in ("maker", "press"))],
        timing="ship_first",
    )
    run = Played(net, [[0.0, 5.0]] + [[0.0, 0.0]] * 3, [[0.0, 0.0]] * 4)
    assert run.node("built", "press") == [2.0, 2.0, 1.0, 0.0]


# 4. Serve


def test_proportional_sharing():
    run = Played(depot(), [[0.0, 15.0, 5.0]], [[0.0, 0.0]])
    assert run.arc("shipped", "to shop 0") == [7.5]
    assert run.arc("shipped", "to shop 1") == [2.5]


def test_proportional_sharing_of_whole_units_rounds_down_and_gives_the_rest_by_priority():
    run = Played(depot(3, integer=True), [[0.0, 7.0, 7.0, 7.0]], [[0.0] * 3])  # 3.33 each, one is left
    assert [run.arc("shipped", f"to shop {k}") for k in range(3)] == [[4.0], [3.0], [3.0]]
    run = Played(depot(3, integer=True, stock=5.0), [[0.0, 1.0, 3.0, 3.0]], [[0.0] * 3])  # 0.71, 2.14, 2.14
    assert [run.arc("shipped", f"to shop {k}") for k in range(3)] == [[1.0], [2.0], [2.0]]
    run = Played(depot(3, integer=True, stock=5.0), [[0.0, 3.0, 3.0, 3.0]], [[0.0] * 3])  # 1.67 each, two are left
    assert [run.arc("shipped", f"to shop {k}") for k in range(3)] == [[3.0], [1.0], [1.0]]
    run = Played(depot(3, integer=True, stock=8.0), [[0.0, 3.0, 3.0, 3.0]], [[0.0] * 3])  # 2.67; nobody gets a fourth
    assert [run.arc("shipped", f"to shop {k}") for k in range(3)] == [[3.0], [3.0], [2.0]]


def test_priority_goes_in_the_order_given_inner_arcs_first():
    run = Played(depot(allocation="priority"), [[0.0, 8.0, 5.0]], [[0.0, 0.0]])
    assert run.arc("shipped", "to shop 0") == [8.0]
    assert run.arc("shipped", "to shop 1") == [2.0]
    net = build_network(
        [Node("depot", initial_on_hand=5.0), Node("shop")],
        [
            Arc("depot", CUSTOMER, "direct"),
            Arc(OUTSIDE, "depot"),
            Arc("depot", "shop", "to shop"),
            Arc("shop", CUSTOMER),
        ],
        allocation="priority",
    )
    run = Played(net, [[0.0, 4.0]], [[4.0, 0.0]])
    assert run.arc("shipped", "to shop") == [4.0]
    assert run.arc("shipped", "direct") == [1.0]


def test_a_policy_may_hold_stock_back():
    inf = np.inf
    run = Played(depot(), [[0.0, 8.0, 6.0]], [[0.0, 0.0]], allocation=[[inf, 3.0, inf, inf, inf]])
    assert run.arc("shipped", "to shop 0") == [3.0]
    assert run.arc("shipped", "to shop 1") == [6.0]
    assert run.arc("backlog", "to shop 0") == [5.0]
    run = Played(depot(), [[0.0, 8.0, 6.0]], [[0.0, 0.0]], allocation=[[inf, -2.0, 9.0, inf, inf]])
    assert run.arc("shipped", "to shop 0") == [0.0]  # a negative limit is a limit of 0
    assert run.arc("shipped", "to shop 1") == [6.0]  # and no limit lets more leave than is owed
    run = Played(depot(integer=True), [[0.0, 8.0, 6.0]], [[0.0, 0.0]], allocation=[[inf, 3.9, 1.5, inf, inf]])
    assert run.arc("shipped", "to shop 0") == [3.0]
    assert run.arc("shipped", "to shop 1") == [1.0]


def test_an_outage_holds_an_inner_arc_back():
    run = Played(depot(), [[0.0, 8.0, 8.0]], [[0.0, 0.0]], available=[[1.0, 0.0, 0.5]])
    assert run.arc("shipped", "to shop 0") == [0.0]
    assert run.arc("shipped", "to shop 1") == [4.0]
    assert run.arc("backlog", "to shop 0") == [8.0]


@pytest.mark.parametrize(("issuing", "left", "expired"), [("fifo", [1.0, 0.0], 0.0), ("lifo", [0.0, 0.0], 1.0)])
def test_stock_leaves_oldest_or_youngest_first(issuing, left, expired):
    net = build_network(
        [Node("shop", initial_on_hand=2.0, shelf_life=2)],
        [Arc(OUTSIDE, "shop", "supply", lead_time=0), Arc("shop", CUSTOMER, "sales")],
        issuing=issuing,
    )
    run = Played(net, [[0.0], [2.0]], [[0.0], [3.0]])  # on the second day 2 old and 2 fresh units, 3 are sold
    assert run.ages("shop") == left
    assert run.node("expired", "shop") == [0.0, expired]


# 5. Unmet


def test_unmet_demand_is_kept_lost_or_both():
    for keep, lost, backlog in (
        (1.0, [0.0, 0.0], [6.0, 8.0]),
        (0.0, [6.0, 2.0], [0.0, 0.0]),
        (0.5, [3.0, 1.0], [3.0, 4.0]),
    ):
        run = Played(shop(node={"initial_on_hand": 4.0}, customer={"keep": keep}), [[0.0]] * 2, [[10.0], [2.0]])
        assert run.arc("filled", "sales") == [4.0, 0.0]
        assert run.arc("lost", "sales") == lost
        assert run.arc("backlog", "sales") == backlog  # kept once, never lost: 3 + 1


def test_the_oldest_backlog_is_served_first():
    run = Played(shop(lead_time=0), [[0.0], [6.0]], [[4.0], [5.0]])
    assert run.arc("shipped", "sales") == [0.0, 6.0]
    assert run.arc("filled", "sales") == [0.0, 2.0]  # 4 of the 6 went to yesterday's customers
    assert run.arc("backlog", "sales") == [4.0, 3.0]


def test_whole_losses_round_to_the_nearest():
    for keep, lost in ((0.5, 2.0), (0.75, 1.0), (0.875, 0.0)):  # of 3: 1.5, 0.75, 0.375
        run = Played(shop(integer=True, customer={"keep": keep}), [[0.0]], [[3.0]])
        assert run.arc("lost", "sales") == [lost]


# 6. Goodwill


def test_goodwill_erodes_with_bad_service_and_comes_back():
    net = shop(0, node={"initial_on_hand": 5.0}, customer={"erosion": 0.4, "restoration": 0.5, "keep": 0.0})
    run = Played(net, [[0.0], [8.0], [0.0], [0.0]], [[10.0]] * 3 + [[0.0]])
    # Half unserved: 1 - 0.4 / 2 = 0.8. Then 8 are asked for and served: 0.8 + 0.5 * 0.2 = 0.9. Then 9, none served.
    assert run.arc("ordered", "sales") == [10.0, 8.0, 9.0, 0.0]
    assert float(run.states[1].goodwill[0, 0]) == pytest.approx(0.8)
    assert float(run.states[2].goodwill[0, 0]) == pytest.approx(0.9)
    assert float(run.states[3].goodwill[0, 0]) == pytest.approx(0.9 * 0.6)
    assert float(run.states[4].goodwill[0, 0]) == pytest.approx(0.54 + 0.5 * 0.46)  # nobody came, nobody was angry
    assert float(run.states[2].demand[0, 0]) == 8.0


# 7. Pipeline


def test_lead_times_differ_between_arcs():
    run = Played(wheels(), [[1.0, 1.0, 4.0, 0.0, 0.0]] + [[0.0] * 5] * 2, [[0.0]] * 3)
    assert run.arc("received", "outside->east") == [0.0, 1.0, 0.0]
    assert run.arc("received", "outside->bike:frame") == [0.0, 0.0, 4.0]


def test_shipments_of_two_days_may_arrive_together():
    net = shop(lead_time=2, min_lead_time=1, max_lead_time=3)
    run = Played(net, [[1.0], [10.0], [100.0], [0.0]], [[0.0]] * 4, lead_time=[[3.0], [2.0], [1.0], [1.0]])
    assert run.arc("received", "supply") == [0.0, 0.0, 0.0, 111.0]


def test_a_drawn_lead_time_of_0_passes_two_nodes_in_one_period_beside_a_node_of_another_wave():
    net = build_network(
        [Node("depot", initial_on_hand=3.0), Node("shop"), Node("kiosk", initial_on_hand=2.0)],
        [
            Arc(OUTSIDE, "depot", "supply", lead_time=1),
            Arc("depot", "shop", "to shop", lead_time=1, min_lead_time=0, max_lead_time=1),
            Arc(OUTSIDE, "kiosk", "papers", lead_time=1),
            *(Arc(n, CUSTOMER, f"sales {n}") for n in ("shop", "kiosk")),
        ],
    )
    assert len(net.wiring.waves) == 2
    run = Played(net, [[0.0, 0.0, 3.0]], [[2.0, 2.0]], lead_time=[[1.0, 1.0, 0.0]])
    assert run.arc("shipped", "sales shop") == [2.0]
    assert [run.node("on_hand", n) for n in ("depot", "shop", "kiosk")] == [[0.0], [1.0], [0.0]]


def test_drawn_lead_times_may_cross_and_stay_within_bounds():
    net = shop(lead_time=2, min_lead_time=0, max_lead_time=3)
    run = Played(
        net, [[1.0], [10.0], [100.0], [0.0], [0.0]], [[0.0]] * 5, lead_time=[[3.0], [1.0], [0.0], [9.0], [-1.0]]
    )
    assert run.arc("received", "supply") == [0.0, 0.0, 110.0, 1.0, 0.0]
    run = Played(net, [[1.0], [10.0], [0.0], [0.0], [0.0]], [[0.0]] * 5, lead_time=[[9.0], [-1.0], [0.0], [0.0], [0.0]])
    assert run.arc("received", "supply") == [0.0, 10.0, 0.0, 1.0, 0.0]
    swept = net.replace(lead_time=jnp.array([[1.0]]))  # a leaf, for sweeps; the shock's goes before it
    assert Played(swept, [[4.0], [0.0]], [[0.0]] * 2).arc("received", "supply") == [0.0, 4.0]
    assert Played(swept, [[4.0], [0.0]], [[0.0]] * 2, lead_time=[[0.0], [0.0]]).arc("received", "supply") == [4.0, 0.0]


def test_initial_pipeline_is_due_soonest_first():
    run = Played(shop(lead_time=3, initial_pipeline=[1.0, 2.0, 4.0]), [[8.0], [0.0], [0.0], [0.0]], [[0.0]] * 4)
    assert run.arc("received", "supply") == [1.0, 2.0, 4.0, 8.0]
    assert run.arc("in_transit", "supply") == [14.0, 12.0, 8.0, 0.0]


# Orders that travel


def mailed(delay=2, timing="order_first", integer=False, shop=0.0, depot=20.0, lead_time=1, more=(), **numbers):
    """A depot that hears of the shop's orders ``delay`` periods after they were placed."""
    return build_network(
        [Node("depot", initial_on_hand=depot), Node("shop", initial_on_hand=shop)],
        [
            Arc(OUTSIDE, "depot", "supply", lead_time=1, **dict(more)),
            Arc("depot", "shop", "to shop", lead_time=lead_time, order_delay=delay, **numbers),
            Arc("shop", CUSTOMER, "sales"),
        ],
        timing=timing,
        integer=integer,
    )


@pytest.mark.parametrize("timing", ["order_first", "demand_first", "ship_first"])
def test_an_order_is_shipped_when_its_delay_is_over(timing):
    orders = [[0.0, 5.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]]
    run = Played(mailed(timing=timing), orders, [[0.0]] * 4)
    assert run.arc("ordered", "to shop") == [5.0, 3.0, 0.0, 0.0]  # when placed
    assert run.arc("arrived", "to shop") == run.arc("shipped", "to shop") == [0.0, 0.0, 5.0, 3.0]
    assert run.arc("in_mail", "to shop") == [5.0, 8.0, 3.0, 0.0]
    assert run.arc("arrived", "supply") == run.arc("ordered", "supply") == [0.0] * 4  # no delay: at once
    assert run.node("on_hand", "shop") == [0.0, 0.0, 0.0, 5.0]
    fast = Played(mailed(delay=1, timing=timing), orders, [[0.0]] * 4)
    assert fast.arc("shipped", "to shop") == [0.0, 5.0, 3.0, 0.0]
    none = Played(mailed(delay=0, timing=timing), orders, [[0.0]] * 4)
    assert none.arc("shipped", "to shop") == [5.0, 3.0, 0.0, 0.0]
    assert none.flows[0].arrived is None and none.states[0].mail is None and none.w.mail_slots == 0


def test_orders_to_suppliers_travel_too():
    net = mailed(more={"order_delay": 3})
    run = Played(net, [[7.0, 0.0]] + [[0.0, 0.0]] * 4, [[0.0]] * 5, available=[[1.0, 1.0]] * 3 + [[0.5, 1.0]] * 2)
    assert run.arc("shipped", "supply") == [0.0, 0.0, 0.0, 3.5, 1.75]  # it is in time for the outage, not before
    assert run.arc("received", "supply") == [0.0, 0.0, 0.0, 0.0, 3.5]


def test_mail_at_the_start_arrives_soonest_first():
    run = Played(mailed(initial_orders=[1.0, 4.0]), [[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]], [[0.0]] * 3)
    assert run.arc("arrived", "to shop") == [1.0, 4.0, 2.0]
    assert float(run.states[0].mail.sum()) == 5.0
    assert Played(mailed(initial_orders=3.0), [[0.0, 0.0]] * 3, [[0.0]] * 3).arc("arrived", "to shop") == [
        3.0,
        3.0,
        0.0,
    ]


def test_limits_and_fixed_costs_are_of_the_day_on_which_an_order_is_placed():
    run = Played(mailed(lot_size=4.0, order_capacity=9.0), [[0.0, 5.0], [0.0, 40.0]] + [[0.0, 0.0]] * 2, [[0.0]] * 4)
    assert run.arc("ordered", "to shop") == [4.0, 8.0, 0.0, 0.0]
    assert run.arc("arrived", "to shop") == [0.0, 0.0, 4.0, 8.0]
    whole = Played(mailed(integer=True), [[0.0, 2.5]] + [[0.0, 0.0]] * 2, [[0.0]] * 3)
    assert whole.arc("arrived", "to shop") == [0.0, 0.0, 3.0]


def test_only_orders_that_have_arrived_are_filled_lost_or_owed():
    run = Played(mailed(depot=3.0, keep=0.5), [[0.0, 5.0]] + [[0.0, 0.0]] * 3, [[0.0]] * 4)
    assert run.arc("filled", "to shop") == [0.0, 0.0, 3.0, 0.0]
    assert run.arc("lost", "to shop") == [0.0, 0.0, 1.0, 0.0]
    assert run.arc("backlog", "to shop") == [0.0, 0.0, 1.0, 1.0]


def test_make_to_order_builds_for_orders_that_have_arrived():
    net = build_network(
        [Node("plant", make_to_order=True), Node("shop")],
        [
            Arc(OUTSIDE, "plant", "parts", lead_time=0, initial_pipeline=0.0),
            Arc("plant", "shop", "to shop", lead_time=1, order_delay=1),
            Arc("shop", CUSTOMER, "sales"),
        ],
    )
    run = Played(net, [[9.0, 4.0], [0.0, 0.0]], [[0.0]] * 2)
    assert run.node("built", "plant") == [0.0, 4.0]


@pytest.mark.parametrize("timing", ["order_first", "demand_first"])
def test_positions_with_mail(timing):
    """The shop's own orders count for it wherever they are; the depot reacts to those it has heard of; an order of the
    shop leaves the echelon of the depot as it was.
    """
    net = mailed(timing=timing, shop=1.0, depot=20.0, initial_orders=[3.0, 4.0])
    heard = 3.0 if timing == "demand_first" else 0.0  # today's mail is read before ordering
    quiet = Shock(demand=jnp.zeros((1, 1)))
    seen = observe(net, initial_state(net, 1), quiet)
    assert float(seen.owed[1, 0]) == heard and float(seen.mail.sum()) == 7.0 - heard
    assert installation_position(net, seen)[:, 0].tolist() == [20.0 - heard, 1.0 + 7.0]
    assert echelon_position(net, seen)[:, 0].tolist() == [21.0, 8.0]
    state, _ = transition(net, initial_state(net, 1), jnp.array([[0.0], [6.0]]), quiet)
    later = observe(net, state, quiet)
    assert echelon_position(net, later)[:, 0].tolist() == [21.0, 14.0]
    # With the cascade the depot reacts to what reaches it in this period: 3 and 4 of before, then what the shop orders
    # when it has seen a unit of demand, 0 on the first day and 1 on the next.
    levels, rule, now, orders = {"level": jnp.array([[20.0], [8.0]])}, BaseStock(), initial_state(net, 1), []
    for _ in range(4):
        orders.append(rule.orders(net, levels, observe(net, now, quiet)))
        now, _ = transition(net, now, orders[-1], Shock(demand=jnp.ones((1, 1))))
    assert np.stack(orders)[:, :, 0].tolist() == [[3.0, 0.0], [4.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    blind = BaseStock(cascade=False).orders(net, levels, seen)[:, 0].tolist()
    assert blind == [heard, 0.0]


def test_late_reports_count_every_order_once():
    """In the mail when the report was written, or placed since."""
    net = mailed(shop=0.0, initial_orders=[3.0, 4.0])
    orders = [[1.0, 2.0], [0.0, 6.0], [0.0, 0.0]]
    run = Played(net, orders, [[0.0]] * 3)
    reports = init_reports(net, run.states[0], 2)
    for t, age in enumerate((0.0, 1.0, 2.0)):
        truth = observe(net, run.states[t], Shock(demand=jnp.zeros((1, 1))))
        reports, seen = file_report(net, reports, truth, jnp.array([[0.0], [age]]))
        reports = note_orders(reports, jnp.asarray(orders[t])[:, None])
        placed = 7.0 + sum(o[1] for o in orders[:t])
        got = float(run.states[t].on_hand[0, 1, 0])
        assert float(installation_position(net, seen)[1, 0]) == placed, (t, got)
        assert seen.mail[:, 1, 0].tolist() == [3.0, 4.0]


# 8. Ageing


def test_stock_expires_at_the_end_of_its_last_period():
    for life, expired in ((1, [6.0, 0.0, 0.0]), (2, [0.0, 6.0, 0.0]), (3, [0.0, 0.0, 6.0]), (None, [0.0, 0.0, 0.0])):
        run = Played(shop(node={"initial_on_hand": 6.0, "shelf_life": life}), [[0.0]] * 3, [[0.0]] * 3)
        assert run.node("expired", "shop") == expired


def test_nodes_of_different_shelf_lives_share_a_network():
    net = build_network(
        [Node("fresh", 0.0, 4.0, shelf_life=1), Node("dry", 0.0, 5.0), Node("cool", 0.0, 6.0, shelf_life=3)],
        [*(Arc(OUTSIDE, n) for n in ("fresh", "dry", "cool")), *(Arc(n, CUSTOMER) for n in ("fresh", "dry", "cool"))],
    )
    run = Played(net, [[0.0] * 3], [[0.0] * 3])
    assert [run.ages(n) for n in ("fresh", "dry", "cool")] == [[0.0, 0.0, 0.0], [0.0, 0.0, 5.0], [0.0, 6.0, 0.0]]
    net = build_network(
        [Node("fresh", 0.0, 4.0, shelf_life=1), Node("dry", 0.0, 5.0)],  # one age class, and one of them stays in it
        [*(Arc(OUTSIDE, n) for n in ("fresh", "dry")), *(Arc(n, CUSTOMER) for n in ("fresh", "dry"))],
    )
    run = Played(net, [[0.0] * 2], [[0.0] * 2])
    assert [run.node("expired", n) for n in ("fresh", "dry")] == [[4.0], [0.0]]
    assert [run.ages(n) for n in ("fresh", "dry")] == [[0.0], [5.0]]


# 9. Storage


def test_what_does_not_fit_is_scrapped_oldest_first_after_ageing():
    net = shop(0, node={"initial_on_hand": 4.0, "shelf_life": 3, "storage": 6.0})
    run = Played(net, [[5.0], [3.0]], [[1.0], [0.0]])
    # 4 + 5 - 1 = 8 of one age, 2 too many; then 6 older and 3 fresh: 3 of the older ones must go.
    assert run.node("overflow", "shop") == [2.0, 3.0]
    assert run.ages("shop") == [3.0, 3.0, 0.0]
    run = Played(shop(node={"initial_on_hand": 6.0, "shelf_life": 1, "storage": 4.0}), [[0.0]], [[0.0]])
    assert run.node("expired", "shop") == [6.0]  # what expires needs no room
    assert run.node("overflow", "shop") == [0.0]


# What the planner sees before ordering


@pytest.mark.parametrize(
    ("timing", "integer", "demand", "owed"),
    [
        ("order_first", False, 10.0, 10.0),  # yesterday's
        ("ship_first", False, 10.0, 10.0),
        ("demand_first", False, 3.0, 13.0),  # 5 are in the shock, a bad day cost 40 % of goodwill
        ("demand_first", True, 2.0, 12.0),  # of 3 in the shock 1.8
    ],
)
def test_the_planner_sees_demand_before_ordering_only_with_demand_first(timing, integer, demand, owed):
    net = shop(timing=timing, integer=integer, customer={"erosion": 0.4, "restoration": 0.5})
    state = Played(net, [[0.0]], [[10.0]]).states[-1]
    shock = Shock(demand=jnp.array([[3.0 if integer else 5.0]]), available=jnp.array([[0.25]]))
    seen = observe(net, state, shock)
    assert float(seen.demand[0, 0]) == pytest.approx(demand)
    assert seen.owed[:, 0].tolist() == pytest.approx([0.0, owed])
    assert float(seen.available[0, 0]) == 0.25
    assert int(seen.t) == 1
    _, flows = transition(net, state, jnp.zeros((1, 1)), shock)  # what is seen is what then happens
    if timing == "demand_first":
        assert float(flows.ordered[1, 0]) == float(seen.demand[0, 0])


def wheels():
    """Two makers of wheels supply one builder of bikes, who buys frames."""
    return build_network(
        [Node("east"), Node("west"), Node("bike")],
        [
            Arc(OUTSIDE, "east", lead_time=1),
            Arc(OUTSIDE, "west", lead_time=1),
            Arc(OUTSIDE, "bike", component="frame", lead_time=2),
            Arc("east", "bike", component="wheel", lead_time=1, units=2.0),
            Arc("west", "bike", component="wheel", lead_time=1, units=2.0),
            Arc("bike", CUSTOMER),
        ],
    )


def test_positions_count_all_that_is_on_order_in_own_units():
    net = wheels()
    assert net.wiring.inputs == ((0, ""), (1, ""), (2, "frame"), (2, "wheel"))

    def column(*x):
        return jnp.asarray(x, jnp.float32)[:, None]

    seen = Observation(
        on_hand=column(5, 7, 3)[None],
        components=column(0, 0, 1, 6),
        owed=column(0, 3, 0, 2, 0, 4),
        pipeline=jnp.stack([column(1, 2, 1, 4, 2), column(0, 0, 1, 0, 0)]),
        demand=column(4),
        t=jnp.int32(3),
    )
    # East 5 + 1 - 2 owed to the builder; west 7 + 2 + 3; frames 3 + 1 + 2 - 4; wheels 3 + (6 + 8) / 2 - 4.
    assert installation_position(net, seen)[:, 0].tolist() == [4.0, 12.0, 2.0, 6.0]
    # Every bike downstream holds two wheels, one of each maker.
    assert echelon_position(net, seen)[:, 0].tolist() == [4.0 + 6.0, 12.0 + 6.0, 2.0, 6.0]
    since = column(1, 0, 0, 0, 2)  # ordered since the reports were written, all of one age
    late = seen.replace(unreported=since, unheard=since)
    assert installation_position(net, late)[:, 0].tolist() == [5.0, 12.0, 2.0, 7.0]
    # West has not heard of the two wheels that the builder ordered: they are taken off it all the same.
    assert echelon_position(net, late)[:, 0].tolist() == [5.0 + 7.0, 12.0 - 2.0 + 7.0, 2.0, 7.0]


def test_late_reports_show_a_node_as_it_was():
    net = depot(shops=1, lead_time=1, stock=10.0)  # nodes depot and shop; arcs supply, to shop, sales
    orders = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
    run = Played(net, orders, [[3.0]] * 4)
    reports, pictures = init_reports(net, run.states[0], 2), []
    ages = [(0, 0), (1, 0), (0, 2), (2, 9)]  # of the depot and the shop; 9 is beyond memory, which goes back by 2
    for t, age in enumerate(ages):
        truth = observe(net, run.states[t], Shock(demand=jnp.zeros((1, 1))))
        reports, seen = file_report(net, reports, truth, jnp.asarray(age, jnp.float32)[:, None])
        reports = note_orders(reports, jnp.asarray(orders[t])[:, None])
        pictures.append(seen)
    assert [p.on_hand[0, :, 0].tolist() for p in pictures] == [[10.0, 0.0], [10.0, 0.0], [5.0, 0.0], [8.0, 0.0]]
    assert [p.unreported[:, 0].tolist() for p in pictures] == [[0.0, 0.0], [1.0, 0.0], [0.0, 6.0], [8.0, 10.0]]
    assert [p.pipeline[0, :, 0].tolist() for p in pictures] == [[0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [1.0, 2.0]]
    assert [float(p.demand[0, 0]) for p in pictures] == [0.0, 3.0, 0.0, 3.0]  # the shop's to tell
    assert [float(p.owed[2, 0]) for p in pictures] == [0.0, 3.0, 0.0, 3.0]
    assert pictures[3].report_age[:, 0].tolist() == [2, 2]


def test_what_is_on_its_way_is_for_the_receiver_to_report():
    net = wheels()
    state = initial_state(net, 1)
    reports = init_reports(net, state, 2)
    for orders in ([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 20.0, 30.0, 40.0, 50.0]):
        reports = note_orders(reports, jnp.asarray(orders)[:, None])
    age = jnp.asarray([[0.0], [1.0], [2.0]])  # of east, west and the builder
    _, seen = file_report(net, reports, observe(net, state, Shock(demand=jnp.zeros((1, 1)))), age)
    assert seen.unreported[:, 0].tolist() == [0.0, 20.0, 33.0, 44.0, 55.0]


# The outside world as data


@pytest.mark.parametrize(
    ("leaf", "value", "message"),
    [
        ("demand", -1.0, "demand of 'sales' in period 1, lane 2 is -1"),
        ("demand", np.nan, "demand of 'sales' in period 1, lane 2 is nan"),
        ("demand", np.inf, "demand of 'sales' in period 1, lane 2 is inf"),
        ("lead_time", 0, r"lead_time of 'supply' in period 1, lane 2 is 0, outside \[1, 3\]"),
        ("lead_time", 4, r"lead_time of 'supply' in period 1, lane 2 is 4, outside \[1, 3\]"),
        ("available", 1.5, "available of 'supply'"),
        ("yield_", 1.01, "yield_ of 'shop'"),
        ("yield_", -0.1, "yield_ of 'shop'"),
        ("report_age", -1.0, "report_age of 'shop'"),
    ],
)
def test_impossible_scenarios_are_refused_by_name(leaf, value, message):
    net = shop(lead_time=2, min_lead_time=1, max_lead_time=3)
    fine = dict.fromkeys(("demand", "lead_time", "available", "yield_", "report_age"), 1.0)
    leaves = {k: np.full((4, 1, 3), v) for k, v in fine.items()}
    check_scenario(net, scenario_of(**leaves))
    leaves[leaf][1, 0, 2] = value
    with pytest.raises(NumberError, match=message):
        check_scenario(net, scenario_of(**leaves))


@pytest.mark.parametrize("shape", [(3, 1, 3), (4, 2, 3), (4, 1, 2)])
def test_scenarios_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"available has shape .*, expected \(4, 1, 3\)"):
        check_scenario(shop(), scenario_of(np.ones((4, 1, 3)), available=np.ones(shape)))
    check_scenario(shop(), scenario_of(np.ones((4, 1, 3)), available=np.ones((4, 1, 1))))


def test_a_scenario_does_not_follow_its_source():
    history = np.ones((64, 64, 64), np.float32)
    scenario = scenario_of(history)
    history[:] = 7.0
    assert (np.asarray(scenario.shocks.demand) == 1.0).all()
    assert scenario[3:9].periods == 6


# The clock, and the program


def test_time_moves_on_and_demand_is_remembered():
    run = Played(shop(), [[0.0]] * 2, [[3.0], [4.0]])
    assert [int(s.t) for s in run.states] == [0, 1, 2]
    assert [float(s.demand[0, 0]) for s in run.states] == [0.0, 3.0, 4.0]


def test_a_sweep_over_numbers_is_one_program():
    """New orders, shocks, states and leaves never compile anew; another wiring, rule or feature does, once."""
    traces = 0

    @jax.jit
    def play(network, state, orders, shock):
        nonlocal traces
        traces += 1
        return transition(network, state, orders, shock)

    def go(network, demand=1.0):
        state = initial_state(network, 3)
        orders = jnp.ones((network.wiring.n_inner, 3))
        for _ in range(2):
            state, _ = play(network, state, orders, Shock(demand=jnp.full((network.wiring.n_customers, 3), demand)))

    net = plant(capacity=4.0)
    go(net)
    for cost, most, demand in itertools.product((0.1, 0.2), (3.0, 5.0), (0.0, 7.0)):
        go(net.replace(holding_cost=jnp.full_like(net.holding_cost, cost), capacity=net.capacity * most), demand)
    go(plant(capacity=9.0, stock=2.0))  # built anew: same wiring, same features
    assert traces == 1
    go(net.replace(capacity=jnp.ones((1, 3))))  # a number for each lane is another shape
    assert traces == 2
    go(plant(capacity=4.0, timing="ship_first"))
    assert traces == 3
    go(plant(capacity=4.0, yield_=0.5))
    assert traces == 4
    go(net)
    assert traces == 4
