"""One period by hand: a case for each paragraph of ARCHITECTURE.md, section 3. Reads as documentation of the rules."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import oracle_initial_state, oracle_network, oracle_shock, oracle_transition

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network
from meio_jax.simulator import Flows, State, initial_state, place_orders, transition


class Played:
    """A short run of one lane. The oracle plays along, so that a hand case also tests the oracle."""

    def __init__(self, network, orders, demand, allocation=None, **shocks):
        self.w = network.wiring
        state = initial_state(network, 1)
        twin_network = oracle_network(network)
        twin = oracle_initial_state(twin_network)
        self.states: list[State] = [state]
        self.flows: list[Flows] = []
        for t in range(len(demand)):
            now = {k: jnp.asarray(v[t], jnp.float32)[:, None] for k, v in shocks.items()}
            shock = Shock(demand=jnp.asarray(demand[t], jnp.float32)[:, None], **now)
            limit = None if allocation is None else jnp.asarray(allocation[t], jnp.float32)[:, None]
            order = jnp.asarray(orders[t], jnp.float32)[:, None]
            state, flows = _transition(network, state, order, shock, limit)
            twin, moved = oracle_transition(
                twin_network, twin, orders[t], oracle_shock(shock), None if allocation is None else allocation[t]
            )
            for name, x in vars(flows).items():
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


# 1. Suppliers


def test_suppliers_ship_what_is_owed_but_in_an_outage():
    run = Played(shop(), [[8.0], [2.0], [0.0]], [[0.0]] * 3, available=[[0.25], [0.0], [1.0]])
    assert run.arc("shipped", "supply") == [2.0, 0.0, 8.0]
    assert run.arc("backlog", "supply") == [6.0, 8.0, 0.0]
    assert run.arc("received", "supply") == [0.0, 2.0, 0.0]


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


# 9. Storage


def test_what_does_not_fit_is_scrapped_oldest_first_after_ageing():
    net = shop(0, node={"initial_on_hand": 4.0, "shelf_life": 3, "storage": 6.0})
    run = Played(net, [[5.0], [3.0]], [[1.0], [0.0]])
    # 4 + 5 - 1 = 8 of one age, 2 too many; then 6 older and 3 fresh: 3 of the older ones must go.
    assert run.node("overflow", "shop") == [2.0, 3.0]
    assert run.ages("shop") == [3.0, 3.0, 0.0]


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
