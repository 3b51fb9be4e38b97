"""Costs and indicators by hand: every term on numbers that a pencil can check, and nothing taken from the simulator."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network
from meio_jax.kpis import COSTS, Tally, cost_terms, costs_by_node, kpis, tally, total_cost
from meio_jax.simulator import Flows, initial_state, transition
from meio_jax.topologies import serial

# As programs: op by op each of them would be dozens to compile.
cost_terms_of, costs_at, measured, move, indicators_of = (
    jax.jit(f) for f in (cost_terms, costs_by_node, tally, transition, kpis)
)


def bill():
    """A mill feeds a plant, which needs bolts as well; both sell. Every rate is another number."""
    nodes = [
        Node("mill", holding_cost=2.0, operating_cost=1.5, scrap_cost=4.0, capacity=99.0),
        Node("plant", holding_cost=3.0, operating_cost=2.5, scrap_cost=-1.0),  # scrap that is worth something
    ]
    supply = Arc(
        OUTSIDE, "mill", "supply", unit_cost=2.0, transit_holding_cost=1.0, component_holding_cost=10.0,
        fixed_order_cost=50.0, backlog_cost=7.0, lost_cost=10.0,
    )  # fmt: skip
    bolts = Arc(
        OUTSIDE, "plant", "bolts", "bolt", unit_cost=4.0, transit_holding_cost=2.0, component_holding_cost=0.5,
        fixed_order_cost=60.0, backlog_cost=1.0, lost_cost=3.0,
    )  # fmt: skip
    to_plant = Arc(
        "mill", "plant", "to plant", "board", unit_cost=0.5, transit_holding_cost=3.0, component_holding_cost=4.0,
        fixed_order_cost=70.0, backlog_cost=2.0, lost_cost=4.0,
    )  # fmt: skip
    direct = Arc("mill", CUSTOMER, "direct", price=12.0, backlog_cost=5.0, lost_cost=6.0)
    sales = Arc("plant", CUSTOMER, "sales", price=11.0, backlog_cost=9.0, lost_cost=8.0)
    network = build_network(nodes, [supply, bolts, to_plant, direct, sales])
    assert network.wiring.arcs == ("supply", "bolts", "to plant", "direct", "sales")
    assert network.wiring.inputs == ((0, ""), (1, "bolt"), (1, "board"))
    return network


def made(**changes):
    """What moved in a busy period (lane 0) and in one in which three units were sold at once (lane 1)."""
    busy = {
        "ordered": [5, 0, 7, 10, 20], "shipped": [4, 1, 6, 8, 25], "filled": [4, 0, 6, 8, 15],
        "lost": [1, 0, 0.5, 1, 2], "backlog": [3, 2, 4, 1, 6], "received": [2, 3, 9], "in_transit": [6, 1, 2],
        "started": [5, 8], "built": [4, 6], "expired": [1, 2], "overflow": [3, 0.5], "on_hand": [11, 13],
        "components": [1, 5, 2],
    }  # fmt: skip
    quiet = {k: [0] * len(v) for k, v in busy.items()}
    quiet |= {k: [0, 0, 0, 0, 3] for k in ("ordered", "shipped", "filled")}
    lanes = {k: np.stack([np.asarray(x[k], np.float32) for x in (busy, quiet)], 1) for k in busy}
    return Flows(**lanes | changes)


BY_HAND = {
    "holding": 11 * 2 + 13 * 3 + (1 * 10 + 5 * 0.5 + 2 * 4),  # stock, and components that wait
    "transit": 6 * 1 + 1 * 2 + 2 * 3,
    "backlog": 3 * 7 + 2 * 1 + 4 * 2 + 1 * 5 + 6 * 9,
    "lost": 1 * 10 + 0 * 3 + 0.5 * 4 + 1 * 6 + 2 * 8,
    "fixed": 50 + 70,  # of any size; no bolts were ordered, although one came
    "purchase": 4 * 2 + 1 * 4 + 6 * 0.5,  # what was shipped
    "operating": 4 * 1.5 + 6 * 2.5,  # good units
    "scrap": (1 + 3) * 4 - (2 + 0.5) * 1,
    "revenue": 8 * 12 + 25 * 11,  # what was shipped, late or not
}


def test_every_cost_term():
    terms = cost_terms_of(bill(), made())
    assert set(terms) == set(BY_HAND) == set(COSTS)
    assert COSTS[-1] == "revenue"
    for name, x in terms.items():
        assert x.tolist() == [BY_HAND[name], 33.0 if name == "revenue" else 0.0], name
    assert total_cost(bill(), made()).tolist() == [18.0, -33.0]  # 389 of costs, 371 of revenue


def test_every_cost_term_at_its_node():
    terms = costs_at(bill(), made())
    by_hand = {
        "holding": [22 + 10, 39 + 2.5 + 8],
        "transit": [6, 2 + 6],
        "backlog": [21 + 8 + 5, 2 + 54],  # what the mill owes, and what its supplier owes it
        "lost": [10 + 2 + 6, 0 + 16],
        "fixed": [50, 70],
        "purchase": [8, 4 + 3],
        "operating": [6, 15],
        "scrap": [16, -2.5],
        "revenue": [96, 275],
    }
    assert {name: x[:, 0].tolist() for name, x in terms.items()} == by_hand
    whole = cost_terms_of(bill(), made())
    for name, x in terms.items():
        assert x.sum(0).tolist() == whole[name].tolist()


def test_what_is_absent_costs_nothing():
    network = build_network([Node("s")], [Arc(OUTSIDE, "s"), Arc("s", CUSTOMER)])
    flows = Flows(**{
        k: jnp.full((rows, 1), 7.0)
        for rows, names in (
            (2, ("ordered", "shipped", "filled", "lost", "backlog")),
            (1, ("received", "in_transit", "started", "built", "expired", "overflow", "on_hand")),
            (0, ("components",)),
        )
        for k in names
    })  # fmt: skip
    assert {float(x[0]) for x in cost_terms_of(network, flows).values()} == {0.0}
    assert float(total_cost(network, flows)[0]) == 0.0
    assert all((x == 0).all() for x in costs_at(network, flows).values())


def test_rates_may_vary_by_lane():
    network = bill().replace(holding_cost=jnp.asarray([[2.0, 1.0], [3.0, 5.0]]))
    flows = made(on_hand=jnp.asarray([[11.0, 4.0], [13.0, 6.0]]))
    assert cost_terms(network, flows)["holding"].tolist() == [81.5, 34.0]


def test_the_tally():
    t = measured(bill(), made())
    by_hand = {
        "cost": [18.0, -33.0],
        "demand": [30, 3],
        "filled": [23, 3],
        "lost": [3, 0],  # to customers
        "sold": [33, 3],  # late or not
        "backlog": [7, 0],  # to customers
        "stockouts": [2, 0],
        "served": [0, 1],  # nobody came to the mill in lane 1
        "asked": [2, 1],
        "stock": [24, 0],
        "in_transit": [9, 0],
        "ordered": [12, 0],  # by the planner
        "expired": [6.5, 0],  # and overflow
        "periods": [1, 1],
    }
    parts = {"backlog_cost": "backlog", "lost_cost": "lost"}
    for name, x in vars(t).items():
        want = by_hand.get(name, [BY_HAND.get(parts.get(name, name)), 33.0 if name == "revenue" else 0.0])
        assert x.tolist() == want, name
        assert x.dtype == jnp.float32


def test_a_customer_partly_served_is_a_stockout_and_the_other_is_not():
    def column(direct, sales):
        return jnp.asarray([[0.0], [0.0], [0.0], [direct], [sales]])

    flows = made(ordered=column(10.0, 20.0), filled=column(10.0, 19.0))
    t = measured(bill(), flows)
    assert [float(x[0]) for x in (t.stockouts, t.served, t.asked)] == [1.0, 1.0, 2.0]


def test_a_rounding_error_of_the_allocation_is_no_stockout():
    third = np.float32(10) / np.float32(3)
    for filled, out in ((third, 0.0), (third * np.float32(1 - 1e-6), 0.0), (third * np.float32(0.999), 1.0)):
        zeros = jnp.zeros((4, 1))
        flows = made(
            ordered=jnp.concatenate([zeros, jnp.full((1, 1), third)]),
            filled=jnp.concatenate([zeros, jnp.full((1, 1), filled)]),
        )
        t = measured(bill(), flows)
        assert (float(t.stockouts[0]), float(t.served[0])) == (out, 1.0 - out)


def sums(**numbers):
    return Tally(**{k: np.asarray([numbers.get(k, 0.0)], np.float32) for k in Tally.__dataclass_fields__})


def test_indicators():
    found = indicators_of(
        sums(
            cost=30, demand=40, filled=30, served=3, asked=6, stockouts=2, stock=80, in_transit=12, backlog=16, lost=6,
            sold=20, expired=10, periods=4, ordered=77,
        )
    )  # fmt: skip
    assert {k: float(x[0]) for k, x in found.items()} == {
        "cost": 7.5, "fill_rate": 0.75, "cycle_service": 0.5, "stockouts": 0.5, "stock": 20.0, "in_transit": 3.0,
        "backlog": 4.0, "lost": 1.5, "turnover": 0.25, "days_of_supply": 2.0, "expired": 2.5,
    }  # fmt: skip


def test_without_demand_nobody_was_disappointed():
    found = {k: float(x[0]) for k, x in indicators_of(sums(periods=5, stock=10)).items()}
    assert found.pop("fill_rate") == found.pop("cycle_service") == 1.0
    assert found.pop("stock") == 2.0
    assert set(found.values()) == {0.0}
    nothing = {k: float(x[0]) for k, x in indicators_of(sums()).items()}
    assert all(np.isfinite(x) for x in nothing.values())
    slopes = jax.jit(jax.grad(lambda s: sum(x.sum() for x in kpis(s).values())))(sums())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))  # x / 0 hides behind a where


def test_tallies_add_up_to_exact_ratios():
    """The fill rate of a horizon is no mean of fill rates: 1 of 10 and 10 of 10 is 11 of 20, weighted by demand."""
    both = jax.tree.map(np.add, sums(demand=10, filled=1, periods=1), sums(demand=90, filled=90, periods=1))
    assert float(indicators_of(both)["fill_rate"][0]) == pytest.approx(0.91)


@pytest.mark.parametrize(
    ("keep", "cost", "fill_rate", "cycle_service", "lost", "backlog", "sold"),
    [
        # 4 of 10 at once; then 7 come, 6 of them for yesterday, 1 of 2 for today. 9 x (6 + 1) + 14 - 110.
        (1.0, -33.0, 5 / 12, 0.0, 0.0, 7.0, 11.0),
        # 4 of 10 at once, 6 are lost; then both of 2, and 5 are left. 5 + 3 x 6 + 14 - 60.
        (0.0, -23.0, 6 / 12, 0.5, 6.0, 0.0, 6.0),
    ],
)
def test_two_days_of_a_shop(keep, cost, fill_rate, cycle_service, lost, backlog, sold):
    network = build_network(
        [Node("shop", holding_cost=1.0, initial_on_hand=4.0)],
        [
            Arc(OUTSIDE, "shop", lead_time=1, unit_cost=2.0),
            Arc("shop", CUSTOMER, price=10.0, backlog_cost=9.0, lost_cost=3.0, keep=keep),
        ],
    )
    state, days = initial_state(network, 1), []
    for order, demand in ((7.0, 10.0), (0.0, 2.0)):
        state, flows = move(
            network, state, np.full((1, 1), order, np.float32), Shock(demand=np.full((1, 1), demand, np.float32))
        )
        days.append(measured(network, flows))
    total = jax.tree.map(np.add, *days)
    found = indicators_of(total)
    assert float(total.cost[0]) == pytest.approx(cost)
    assert float(found["fill_rate"][0]) == pytest.approx(fill_rate)
    assert float(found["cycle_service"][0]) == cycle_service
    assert [float(x[0]) for x in (total.lost, total.backlog, total.sold)] == [lost, backlog, sold]


def test_nan_demand_is_nan_in_every_measure_of_service():
    network = serial(1, lead_time=1, holding_cost=1.0, backlog_cost=9.0, initial_on_hand=5.0)
    state = initial_state(network, 2)
    _, flows = move(network, state, np.zeros((1, 2), np.float32), Shock(demand=np.array([[np.nan, 3.0]], np.float32)))
    found = indicators_of(measured(network, flows))
    for name in ("cost", "fill_rate", "cycle_service", "stockouts", "turnover", "days_of_supply"):
        assert np.isnan(found[name][0]), name
        assert np.isfinite(found[name][1]), name
