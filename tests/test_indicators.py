"""Indicators by node, echelon and customer: on numbers that a pencil can check, and against loops over a simulation."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_kpis import bill, made

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network
from meio_jax.errors import InputError, NumberError, UnknownNameError
from meio_jax.kpis import (
    GROUPS,
    KPIS,
    Cycles,
    Waits,
    WideMeasure,
    group_names,
    indicators,
    kpis,
    standards,
    tally,
    unit_values,
    watch,
    wide_tally,
)
from meio_jax.simulator import Flows, initial_state, transition
from meio_jax.topologies import distribution, multi_source, serial, tree

# The busy period of `test_kpis`. A unit is worth 3.5 at the mill (supply 2, work 1.5) and 10.5 at the plant (a bolt 4,
# a board 3.5 + 0.5, work 2.5).
WHOLE = {
    "fill_rate": 23 / 30, "period_service": 0.0, "cycle_service_level": 0.0, "ready_rate": 1.0, "stockouts": 2.0,
    "short_units": 7.0, "lost_sales": 3.0, "lost_revenue": 1 * 12 + 2 * 11, "backorders": 7.0, "wait": 7 / (30 - 3),
    "wait_if_late": 7 / (7 - 3), "average_stock": 24.0, "average_in_transit": 9.0, "holding_cost": 81.5,
    "transit_cost": 14.0, "ordering_cost": 120.0, "purchase_cost": 15.0, "transport_cost": 6 * 0.5,
    "operating_cost": 21.0, "backlog_cost": 90.0, "lost_cost": 34.0, "scrap_cost": 13.5, "sales": 371.0,
    "total_cost": 18.0, "stock_value": 11 * 3.5 + 13 * 10.5,
    "working_capital": 175.0 + (1 * 2 + 5 * 4 + 2 * 4) + (6 * 2 + 1 * 4 + 2 * 4),
    "turnover": (8 * 3.5 + 25 * 10.5) / 175, "days_of_supply": 175 / (10 * 3.5 + 20 * 10.5), "expired": 6.5,
    "expired_value": 4 * 3.5 + 2.5 * 10.5, "slow_moving": 6.24 * 3.5 + 7.4 * 10.5,
    "obsolescence": 40.25 + 0.1 * (6.24 * 3.5 + 7.4 * 10.5),
    "bullwhip": 0.0, "bullwhip_stage": 0.0, "bullwhip_relative": 0.0, "expedited": 0.0, "expedited_share": 0.0,
    "expedite_cost": 0.0, "fill_rate_shortfall": 0.8 - 23 / 30, "period_service_shortfall": 0.5,
    "cycle_service_level_shortfall": 0.9, "ready_rate_shortfall": 0.0,
}  # fmt: skip
AT_NODES = {
    "fill_rate": [14 / 17, 0.75], "stockouts": [2, 1], "backorders": [4 + 1, 6], "wait": [5 / 15.5, 6 / 18],
    "turnover": [(6 + 8) / 11, 25 / 13], "days_of_supply": [11 / 17, 13 / 20], "total_cost": [74, -56],
    "working_capital": [38.5 + 2 + 12, 136.5 + 28 + 12], "transport_cost": [0, 3], "lost_sales": [1.5, 2],
    "slow_moving": [(11 - 0.28 * 17) * 3.5, (13 - 0.28 * 20) * 10.5],
}  # fmt: skip
AT_CUSTOMERS = {
    "fill_rate": [0.8, 0.75], "wait": [1 / 9, 6 / 18], "wait_if_late": [1, 2], "lost_revenue": [12, 22],
    "fill_rate_shortfall": [0.0, 0.05],
}  # fmt: skip


# As programs: op by op each of them would be dozens to compile.
read = jax.jit(indicators, static_argnames=("by", "names"))
READ = {"total": None, "node": tuple(AT_NODES), "customer": tuple(AT_CUSTOMERS)}
read_all = jax.jit(
    lambda network, sums, promise: {
        by: indicators(network, sums, by=by, names=names, standards=promise) for by, names in READ.items()
    }
)
count = jax.jit(wide_tally)
worth = jax.jit(unit_values)


def columns(table):
    return {name: np.asarray(x)[..., 0] for name, x in table.items()}


def test_every_indicator_of_a_period():
    promise = standards(
        fill_rate=0.8, period_service=0.5, cycle_service_level=0.9, ready_rate=1.0, coverage=0.28, write_down=0.1
    )
    network = bill()
    sums = jax.tree.map(lambda x: 3 * np.asarray(x), count(network, made()))  # three such periods: the same indicators
    found = read_all(network, sums, promise)
    whole, nodes, customers = (columns(found[by]) for by in ("total", "node", "customer"))
    assert set(whole) == set(KPIS) == set(WHOLE)
    for table, want in ((whole, WHOLE), (nodes, AT_NODES), (customers, AT_CUSTOMERS)):
        for name, x in want.items():
            np.testing.assert_allclose(table[name], x, rtol=2e-6, atol=1e-6, err_msg=name)
    quiet = {name: float(x[1]) for name, x in found["total"].items()}
    assert quiet["fill_rate"] == quiet["period_service"] == quiet["cycle_service_level"] == 1.0
    assert (quiet["ready_rate"], quiet["total_cost"], quiet["wait"]) == (0.0, -33.0, 0.0)
    assert group_names(network.wiring, "echelon") == ("echelon 0: mill", "echelon 1: plant")
    assert group_names(network.wiring, "customer") == ("direct", "sales")


def test_what_a_unit_is_worth():
    """Two slow sources, one fast; half of what the press makes is good; a store that adds its freight."""
    network = build_network(
        [Node("press", yield_=0.5, operating_cost=1.0), Node("store")],
        [
            Arc(OUTSIDE, "press", "dear", lead_time=3, unit_cost=5.0),
            Arc(OUTSIDE, "press", "cheap", lead_time=2, order_delay=1, unit_cost=4.0),
            Arc(OUTSIDE, "press", "fast", lead_time=1, unit_cost=9.0),
            Arc("press", "store", "freight", lead_time=1, unit_cost=0.25, units=3.0),
            Arc("store", CUSTOMER),
        ],
    )
    values = worth(network)
    assert values.node[:, 0].tolist() == [4 / 0.5 + 1, 3 * 9.25]
    assert values.input[:, 0].tolist() == [4.0, 9.25]
    assert values.arc[:, 0].tolist() == [5.0, 4.0, 9.0, 9.25]
    assert values.added[:, 0].tolist() == [9.0, 3 * 0.25]
    assert values.express[:, 0].tolist() == [0, 0, 1, 0]
    assert values.premium[:, 0].tolist() == [0, 0, 5.0, 0]
    assert worth(serial(2)).node.tolist() == [[1.0], [1.0]]  # nothing costs anything: units are counted


def test_added_values_of_echelon_stocks_are_whole_values_of_local_stocks():
    rng = np.random.default_rng(3)
    network = tree((2, 3), unit_cost=list(rng.uniform(1, 5, 9)), operating_cost=list(rng.uniform(0, 2, 9)))
    w, values = network.wiring, jax.tree.map(np.asarray, worth(network))
    local = rng.uniform(0, 9, w.n_nodes)
    below = [{n} for n in range(w.n_nodes)]
    for n in reversed(range(w.n_nodes)):
        for e in w.out_arcs[n]:
            below[n] |= below[w.dst[e]] if e < w.n_inner else set()
    echelon = [sum(local[m] for m in below[n]) for n in range(w.n_nodes)]
    assert float(values.added[:, 0] @ echelon) == pytest.approx(float(values.node[:, 0] @ local), rel=1e-5)


def test_expediting_is_what_came_fast_and_what_that_cost_more():
    network = multi_source(("slow", "fast"), lead_time=(4, 1), unit_cost=(2.0, 5.0))
    sweep = network.replace(lead_time=jnp.asarray([[4.0, 1.0], [1.0, 1.0]]))  # lead times as numbers, by lane
    sums = count(sweep, one_period(network, shipped=[[6.0, 6.0], [2.0, 2.0], [7.0, 7.0]]))
    names = ("expedited", "expedited_share", "expedite_cost", "purchase_cost")
    found = read(sweep, sums, names=names)
    assert [found[k].tolist() for k in names] == [[2.0, 0.0], [0.25, 0.0], [6.0, 0.0], [22.0, 22.0]]


def one_period(network, **moved):
    """Flows of nothing but ``moved``; lists of rows of lanes."""
    w = network.wiring
    lanes = np.shape(next(iter(moved.values())))[-1]
    counts = dict.fromkeys(("ordered", "shipped", "filled", "lost", "backlog"), w.n_arcs)
    counts |= dict.fromkeys(("received", "in_transit"), w.n_inner)
    counts |= dict.fromkeys(("started", "built", "expired", "overflow", "on_hand"), w.n_nodes)
    parts = {k: np.zeros((n, lanes), np.float32) for k, n in counts.items()}
    parts["components"] = np.zeros((w.n_inputs if network.holds_components else 0, lanes), np.float32)
    return Flows(**parts | {k: np.asarray(v, np.float32) for k, v in moved.items()})


@functools.partial(jax.jit, static_argnames="measure")
def whips(network, flows, measure):
    """By grouping, of flows whose lanes stand for periods."""
    sums = jax.tree.map(lambda x: x.sum(-1, keepdims=True), measure(network, flows))
    names = ("bullwhip", "bullwhip_stage", "bullwhip_relative")
    return {by: indicators(network, sums, by=by, names=names) for by in ("total", "echelon", "node")}


def bullwhip(network, ordered, measure=wide_tally):
    """Of orders ``[T, E]``, with nothing else: by grouping and name a list of numbers."""
    found = whips(network, one_period(network, ordered=np.asarray(ordered).T), measure)
    return {by: {name: np.asarray(x)[..., 0].tolist() for name, x in each.items()} for by, each in found.items()}


def test_bullwhip_of_nodes_and_of_their_echelon():
    """Two stores whose orders swing against each other: each whips, together they do not, and the warehouse does."""
    network = distribution(2, timing="order_first")
    # To the warehouse; to each store; of each customer.
    found = bullwhip(network, [[8, 2, 6, 3, 3], [0, 6, 2, 5, 5]])
    assert found["node"]["bullwhip"] == [16 / 4, 4.0, 4.0]  # over the demand that the node serves in the end
    assert found["node"]["bullwhip_stage"] == [0.0, 4.0, 4.0]  # what the warehouse hears of does not vary
    np.testing.assert_allclose(found["node"]["bullwhip_relative"], [(16 / 16) / (4 / 64), 4.0, 4.0])
    assert found["echelon"]["bullwhip"] == [4.0, 0.0]
    assert found["total"]["bullwhip"] == 4.0


def test_bullwhip_counts_orders_in_units_of_the_product():
    """Four wheels for each car, two axles: what is passed on as it is asked for does not whip."""
    network = build_network(
        [Node("cars"), Node("dealer")],
        [
            Arc(OUTSIDE, "cars", "wheels", "wheel", units=4.0),
            Arc(OUTSIDE, "cars", "axles", "axle", units=2.0),
            Arc("cars", "dealer", units=1.0),
            Arc("dealer", CUSTOMER),
        ],
    )
    found = bullwhip(network, [[4 * d, 2 * d, d, d] for d in (3, 7, 5)])
    assert found["node"]["bullwhip"] == found["node"]["bullwhip_stage"] == [1.0, 1.0]
    assert found["total"]["bullwhip"] == pytest.approx(36.0)  # all parts, as they are counted
    assert found["total"]["bullwhip_relative"] == pytest.approx(1.0)


def test_bullwhip_of_moving_averages(rngs):
    """Chen, Drezner, Ryan and Simchi-Levi (2000): order-up-to with the mean of p periods and a lead time L amplifies
    independent demand by 1 + 2 L / p + 2 (L / p)^2. Within 5 standard errors of a variance ratio of 200,000 periods.

    The mean is 4,000 standard deviations: squares around 0 would leave no digit of the variance.
    """
    p, lead, periods = 4, 2, 200_000
    demand = 40_000.0 + rngs.numpy.normal(0.0, 10.0, periods + p + 1)
    orders = demand[p:-1] + lead / p * (demand[p:-1] - demand[: -p - 1])
    measure = WideMeasure((40_000.0,))
    ratio = bullwhip(serial(1), np.stack([orders, demand[p:-1]], 1), measure)["total"]["bullwhip"]
    assert ratio == pytest.approx(1 + 2 * lead / p + 2 * (lead / p) ** 2, abs=5 * 2.5 * np.sqrt(4 / periods))


SAME = {
    "total_cost": "cost", "fill_rate": "fill_rate", "period_service": "cycle_service", "stockouts": "stockouts",
    "average_stock": "stock", "average_in_transit": "in_transit", "backorders": "backlog", "lost_sales": "lost",
    "expired": "expired",
}  # fmt: skip
SAME_SUMS = {"holding_cost": "holding", "ordering_cost": "fixed", "purchase_cost": "purchase", "sales": "revenue"}
OF_SITES = ("total_cost", "working_capital", "expired_value", "transport_cost")
OF_CUSTOMERS = ("lost_sales", "backorders", "stockouts", "lost_revenue")
COMPARED = {
    "total": sorted({*SAME, *SAME_SUMS, *OF_SITES, *OF_CUSTOMERS}),
    "echelon": OF_SITES,
    "node": (*OF_SITES, "fill_rate", "wait"),
    "customer": (*OF_CUSTOMERS, "wait", "wait_if_late"),
}


class Played(NamedTuple):
    network: object
    flows: Flows  # [T, .., B]
    sums: object
    small: object
    waits: object
    cycles: object
    found: object  # indicators by grouping
    shares: tuple = ()  # of what waited no longer than k, the mean age, the cycle service level


@pytest.fixture(scope="module")
def played():
    """60 periods of a warehouse and two shops; orders to the first travel a day. In lane 0 all unmet demand is kept, in
    lane 1 none, in lane 2 a part; real numbers, so that no shelf is bare by chance.
    """
    keep = [1.0, 0.0, 0.4]
    network = build_network(
        [Node("dc", holding_cost=1.0, initial_on_hand=20.0), Node("a", holding_cost=2.0, shelf_life=6.0), Node("b")],
        [
            Arc(OUTSIDE, "dc", lead_time=2, unit_cost=2.0, fixed_order_cost=5.0),
            Arc("dc", "a", lead_time=1, order_delay=1, unit_cost=0.5, backlog_cost=0.3),
            Arc("dc", "b", lead_time=1, transit_holding_cost=0.1),
            Arc("a", CUSTOMER, "of a", price=9.0, backlog_cost=4.0, lost_cost=1.0, keep=keep),
            Arc("b", CUSTOMER, "of b", price=8.0, backlog_cost=3.0, lost_cost=2.0, keep=keep),
        ],
    )
    rng = np.random.default_rng(11)
    periods = 60
    demand = rng.uniform(0, 6, (periods, 2, 3)) * (rng.random((periods, 2, 3)) < 0.8)
    orders = rng.uniform(0, 14, (periods, 3, 3)) * (rng.random((periods, 3, 3)) < 0.45)
    demand[-14:] = 0.0  # time enough to serve all that was kept
    orders[-14:] = 30.0

    @jax.jit
    def play(network, orders, demand):
        def period(state, x):
            return transition(network, state, x[0], Shock(demand=x[1]))

        _, flows = jax.lax.scan(period, initial_state(network, 3), (orders, demand))
        sums, small = (
            jax.tree.map(lambda x: x.sum(0), jax.vmap(measure, (None, 0))(network, flows))
            for measure in (wide_tally, tally)
        )
        found = {by: indicators(network, sums, by=by, names=COMPARED[by]) for by in GROUPS}
        waits, cycles = watch(Waits(30), network, flows), watch(Cycles(), network, flows)
        return Played(network, flows, sums, small, waits, cycles, found), (waits.within, waits.mean_age, cycles.level)

    done, shares = play(network, orders.astype(np.float32), demand.astype(np.float32))
    return jax.tree.map(np.asarray, done._replace(shares=shares))


def test_the_whole_is_what_the_plain_tally_says(played):
    found, plain = played.found["total"], kpis(played.small)
    for name, other in SAME.items():
        np.testing.assert_allclose(found[name], plain[other], rtol=1e-5, err_msg=name)
    for name, other in SAME_SUMS.items():
        np.testing.assert_allclose(found[name] * 60, getattr(played.small, other), rtol=1e-5, err_msg=name)
    assert np.ptp(found["fill_rate"]) > 0.01 and found["expired"].min() > 0  # there is something to compare


def test_parts_add_up_to_the_whole(played):
    by = played.found
    for name in OF_SITES:
        for g in ("node", "echelon"):
            np.testing.assert_allclose(by[g][name].sum(0), by["total"][name], rtol=1e-5, err_msg=name)
    for name in OF_CUSTOMERS:
        np.testing.assert_allclose(by["customer"][name].sum(0), by["total"][name], rtol=1e-5, err_msg=name)
    assert by["node"]["fill_rate"].shape == (3, 3) and by["echelon"]["total_cost"].shape == (2, 3)


def test_service_of_the_warehouse_is_that_of_the_orders_that_reach_it(played):
    f = played.flows
    heard, filled = f.arrived[:, 1:].sum((0, 1)), f.filled[:, 1:3].sum((0, 1))
    at_nodes = played.found["node"]
    np.testing.assert_allclose(at_nodes["fill_rate"][0], filled / heard, rtol=1e-5)
    np.testing.assert_allclose(at_nodes["wait"][0], f.backlog[:, 1:3].sum((0, 1)) / heard, rtol=1e-5)


def queue_by_hand(flows, customer, lane, longest):
    """Units as [asked for in t, how many], served from the front, lost from the back."""
    queue, served, waiting, aged = [], np.zeros(longest + 1), 0.0, 0.0
    for t in range(flows.ordered.shape[0]):
        asked, shipped, lost = (float(x[t, 3 + customer, lane]) for x in (flows.ordered, flows.shipped, flows.lost))
        queue.append([t, asked])
        for entry in queue:
            out = min(entry[1], shipped)
            entry[1] -= out
            shipped -= out
            served[min(t - entry[0], longest)] += out
        queue[-1][1] -= lost
        waiting += sum(x for _, x in queue)
        aged += sum(x * (t - t0 + 1) for t0, x in queue)
    return served, waiting, aged


def test_waits_are_those_of_a_queue(played):
    for customer in range(2):
        for lane in range(3):
            served, waiting, aged = queue_by_hand(played.flows, customer, lane, 30)
            assert served[30] == 0  # nobody waits as long, so ages are exact
            np.testing.assert_allclose(played.waits.served[:, customer, lane], served, rtol=1e-4, atol=1e-3)
            np.testing.assert_allclose(played.waits.waiting[customer, lane], waiting, rtol=1e-4, atol=1e-3)
            np.testing.assert_allclose(played.waits.aged[customer, lane], aged, rtol=1e-4, atol=1e-3)
    assert (played.waits.served[2, :, 0] > 1).all()


def test_mean_waits_follow_little(played):
    """All are served by the end: unit by unit, and from averages alone, waits are the same."""
    waited = (np.arange(31)[:, None, None] * played.waits.served).sum(0)
    served = played.waits.served.sum(0)
    found = played.found["customer"]
    np.testing.assert_allclose(found["wait"], waited / served, rtol=1e-4, atol=1e-6)
    late = served - played.waits.served[0]
    kept = [0, 2]
    np.testing.assert_allclose(found["wait_if_late"][:, kept], waited[:, kept] / late[:, kept], rtol=1e-4)
    within, age, _ = played.shares
    np.testing.assert_allclose(within[3], played.waits.served[:4].sum(0) / served, rtol=1e-5)
    np.testing.assert_allclose(age[:, kept], played.waits.aged[:, kept] / played.waits.waiting[:, kept], rtol=1e-5)
    assert (age[:, 1] == 0).all()


def test_cycles_are_those_of_a_loop(played):
    f, w = played.flows, played.network.wiring
    for node in range(3):
        for lane in range(3):
            cycles = short = 0
            out = False
            for t in range(60):
                if f.built[t, node, lane] > 0:
                    cycles, short, out = cycles + 1, short + out, False
                for e in w.out_arcs[node]:
                    new = (f.arrived[t] if e < 3 else f.ordered[t])[e, lane]
                    out |= new - f.filled[t, e, lane] > 1e-4 or f.backlog[t, e, lane] > 1e-4
            assert (played.cycles.cycles[node, lane], played.cycles.short[node, lane]) == (cycles, short)
    assert 0.1 < played.shares[2].min() < played.shares[2].max()
    # Without a memory they are counted the same: by what is owed, or by shelves that are bare.
    np.testing.assert_array_equal(played.sums.cycles, played.cycles.cycles)
    np.testing.assert_array_equal(played.sums.short_cycles, played.cycles.short)


def test_the_cycle_of_a_node_that_ships_before_it_receives():
    """A warehouse whose stock of 1 served 1, and from which 4 are wanted on the morning on which 9 come: it served its
    shop before they came, so that order belongs to the cycle before, which it did not cover.
    """
    network = serial(2, lead_time=[2, 1], initial_on_hand=[1.0, 0.0], timing="ship_first")
    orders = np.asarray([[9, 1], [9, 0], [0, 4], [0, 5], [0, 0]], np.float32)[..., None]

    @jax.jit
    def play(orders):
        def period(loop, order):
            state, memory = loop
            state, flows = transition(network, state, order, Shock(demand=jnp.zeros((1, 1))))
            found, memory = Cycles().apply(memory, network, flows)
            return (state, memory), (found, wide_tally(network, flows))

        return jax.lax.scan(period, (initial_state(network, 1), Cycles().init(network, 1)), orders)[1]

    exact, wide = play(orders)
    warehouse = [x[:, 0, 0].tolist() for x in (exact.cycles, exact.short)]
    assert warehouse == [[0, 0, 1, 1, 0], [0, 0, 1, 0, 0]]
    assert warehouse == [x[:, 0, 0].tolist() for x in (wide.cycles, wide.short_cycles)]


def test_nan_is_seen_in_every_count():
    broken = {name: np.array(getattr(made(), name)) for name in ("ordered", "filled")}
    for x in broken.values():
        x[3, 1] = np.nan
    found = read_all(bill(), count(bill(), made(**broken)), standards())["total"]
    for name in ("fill_rate", "period_service", "stockouts", "wait", "cycle_service_level", "bullwhip_stage"):
        assert np.isnan(found[name][1]) and np.isfinite(found[name][0]), name


def test_what_is_refused():
    sums = count(bill(), made())
    with pytest.raises(UnknownNameError, match="fill-rate"):
        indicators(bill(), sums, names=("fill-rate",))
    with pytest.raises(UnknownNameError, match="by='sku'"):
        indicators(bill(), sums, by="sku")
    with pytest.raises(UnknownNameError, match=r"turnover.*not by customer"):
        indicators(bill(), sums, by="customer", names=("turnover",))
    for wrong in (
        {"fill_rate": -0.1},
        {"ready_rate": 1.5},
        {"coverage": float("nan")},
        {"write_down": np.array([2.0])},
    ):
        with pytest.raises(NumberError, match=next(iter(wrong))):
            standards(**wrong)
    with pytest.raises(InputError, match="longest"):
        Waits(0)
