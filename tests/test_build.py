"""`build_network`: every kind of mistake has its name and its place; what nobody uses is not compiled."""

import dataclasses
import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meio_jax.build import build_network
from meio_jax.elements import ARC_NUMBERS, CUSTOMER, LARGEST, LONGEST, NODE_NUMBERS, OUTSIDE, Arc, Node
from meio_jax.errors import (
    CycleError,
    DuplicateNameError,
    InputError,
    MissingSupplierError,
    NumberError,
    OrphanNodeError,
    UnknownNameError,
)
from meio_jax.network import Network

ALWAYS = ("holding_cost", "initial_on_hand", "initial_pipeline", "backlog_cost")


def chain(node=None, arc=None, customer=None, **rules):
    """A supplier, "a", "b", a customer; with changes to "b", to the arc a -> b, to the customer's arc."""
    return build_network(
        [Node("a"), Node("b", **(node or {}))],
        [
            Arc(OUTSIDE, "a", lead_time=1),
            Arc("a", "b", **({"lead_time": 2} | (arc or {}))),
            Arc("b", CUSTOMER, **(customer or {})),
        ],
        **rules,
    )


def test_the_smallest_network():
    network = build_network([Node("a")], [Arc(OUTSIDE, "a"), Arc("a", CUSTOMER)])
    assert network.wiring.arcs == ("outside->a", "a->customer")
    assert network.holding_cost.shape == (1, 1)
    assert network.backlog_cost.shape == (2, 1)
    assert network.initial_pipeline.shape == (1, 1, 1)
    assert not network.holds_components


# --- Mistakes in the wiring ------------------------------------------------------------------------------------------

A, B, C = Node("a"), Node("b"), Node("c")
IN, OUT = Arc(OUTSIDE, "a"), Arc("a", CUSTOMER)


@pytest.mark.parametrize(
    "nodes, arcs, error, message",
    [
        ([], [], InputError, "at least one node"),
        ([A, A], [IN, OUT], DuplicateNameError, "node 'a' appears more than once"),
        ([Node("")], [], InputError, "non-empty"),
        ([Node("outside")], [], InputError, "'outside'"),
        ([Node("customer")], [], InputError, "'customer'"),
        ([Node(3)], [], InputError, "node name 3"),
        ([A], [IN, IN, OUT], DuplicateNameError, "arc 'outside->a' appears more than once"),
        ([A], [IN, dataclasses.replace(OUT, name="outside->a")], DuplicateNameError, "outside->a"),
        ([A], [IN, OUT, Arc("x", "a")], UnknownNameError, "arc 'x->a': 'x' is no node; nodes are a"),
        ([A], [IN, OUT, Arc("a", "y")], UnknownNameError, "'y' is no node"),
        ([A], [IN, OUT, Arc(CUSTOMER, "a")], UnknownNameError, "'customer' is no node"),
        ([A], [IN, OUT, Arc("a", OUTSIDE)], UnknownNameError, "'outside' is no node"),
        ([A], [IN, OUT, Arc(OUTSIDE, CUSTOMER)], InputError, "without passing a node"),
        ([A, B], [IN, OUT], OrphanNodeError, "node 'b' has no arc"),
        ([A, B], [IN, OUT, Arc("a", "b")], OrphanNodeError, "node 'b' feeds nobody"),
        ([A, B], [IN, OUT, Arc("b", CUSTOMER)], MissingSupplierError, "node 'b' has no supplier"),
        ([A], [IN, OUT, Arc("a", "a")], CycleError, "a -> a"),
        ([A, B, C], [Arc("a", "b"), Arc("b", "c"), Arc("c", "a"), OUT], CycleError, "form a cycle"),
        (
            [Node("d"), A, B, C],
            [Arc(OUTSIDE, "d"), Arc("d", "a"), Arc("a", "b"), Arc("b", "c"), Arc("c", "a"), Arc("c", CUSTOMER)],
            CycleError,
            "(a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c) form a cycle",
        ),
    ],
)
def test_wrong_wiring_has_a_named_error(nodes, arcs, error, message):
    with pytest.raises(error, match=message) as caught:
        build_network(nodes, arcs)
    assert type(caught.value) is error


def test_the_cycle_is_told_in_the_direction_of_the_arcs():
    arcs = [Arc("a", "b"), Arc("b", "c"), Arc("c", "a"), Arc("c", CUSTOMER)]
    with pytest.raises(CycleError) as caught:
        build_network([C, A, B], arcs)
    path = str(caught.value).split("arcs ")[1].split(" form")[0].split(" -> ")
    assert path[0] == path[-1]
    assert set(itertools.pairwise(path)) == {("a", "b"), ("b", "c"), ("c", "a")}


@pytest.mark.parametrize("rule", ["timing", "allocation", "issuing"])
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(UnknownNameError, match=f"{rule} 'best' is not one of"):
        chain(**{rule: "best"})


# --- Mistakes in numbers ---------------------------------------------------------------------------------------------

BAD = [math.nan, -math.inf, math.inf, "much", [1.0, math.nan], [[1.0], [1.0, 2.0]], [], {}]


def places():
    """Every number of nodes, inner arcs and customer arcs, with where its error must say that it is."""
    for name, n in NODE_NUMBERS.items():
        yield "node", name, n, "node 'b'"
    for name, n in ARC_NUMBERS.items():
        if n.of in ("all", "inner"):
            yield "arc", name, n, "arc 'a->b'"
        if n.of in ("all", "customer"):
            yield "customer", name, n, "arc 'b->customer'"


@pytest.mark.parametrize("place, name, n, where", list(places()), ids=lambda x: x if isinstance(x, str) else "")
def test_a_wrong_number_is_named_with_its_place(place, name, n, where):
    values = [x for x in BAD if not (x == math.inf and n.default is None)]
    values += [n.low - 1, n.high * 2 + 1]
    values += [1.5] if n.whole else []
    values += [None] if n.default is not None else []
    for value in values:
        with pytest.raises(NumberError) as caught:
            chain(**{place: {name: value}})
        assert where in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize("name", [k for k, n in (NODE_NUMBERS | ARC_NUMBERS).items() if n.default is None])
def test_infinite_is_no_limit(name):
    place = "node" if name in NODE_NUMBERS else "arc"
    assert getattr(chain(**{place: {name: math.inf}}), name) is None


@pytest.mark.parametrize("value", [-1, 1.5, LONGEST + 1, math.nan, math.inf, True, "two", [1, 2], 10**30])
@pytest.mark.parametrize("name", ["lead_time", "min_lead_time", "max_lead_time"])
def test_a_wrong_lead_time_is_refused(name, value):
    with pytest.raises(NumberError, match=f"arc 'a->b': {name} = "):
        chain(arc={name: value})


def test_a_lead_time_may_be_any_whole_number():
    assert chain(arc={"lead_time": np.int64(3)}).wiring.lead_time == (1, 3)
    assert chain(arc={"lead_time": 4.0}).wiring.lead_time == (1, 4)
    assert all(type(x) is int for x in chain(arc={"lead_time": np.int64(3)}).wiring.lead_time)
    assert chain(arc={"lead_time": LONGEST}).wiring.slots == LONGEST


@pytest.mark.parametrize("bounds", [(3, None), (None, 1), (0, 1), (3, 4)])
def test_a_lead_time_lies_within_its_bounds(bounds):
    with pytest.raises(NumberError, match="lead times must satisfy"):
        chain(arc={"lead_time": 2, "min_lead_time": bounds[0], "max_lead_time": bounds[1]})


def test_no_lead_time_to_a_customer():
    with pytest.raises(InputError, match="arc 'b->customer': customers are served from stock"):
        chain(customer={"lead_time": 1})


@pytest.mark.parametrize("place, of", [("arc", "customer"), ("customer", "inner")])
def test_a_number_on_the_wrong_kind_of_arc(place, of):
    for name, n in ARC_NUMBERS.items():
        if n.of == of:
            with pytest.raises(InputError, match=f"{name} is for {of} arcs"):
                chain(**{place: {name: 0.5}})


def test_orders_that_can_never_be_placed():
    with pytest.raises(NumberError, match="minimum_order exceeds order_capacity"):
        chain(arc={"minimum_order": 5, "order_capacity": 4})
    chain(arc={"minimum_order": 5, "order_capacity": 5})


def test_make_to_order_is_true_or_false():
    with pytest.raises(InputError, match="node 'b': make_to_order"):
        chain(node={"make_to_order": 1})


def test_lanes_of_one_number_agree():
    with pytest.raises(InputError, match="holding_cost"):
        build_network(
            [Node("a", holding_cost=[1, 2]), Node("b", holding_cost=[1, 2, 3])], [IN, Arc("a", "b"), Arc("b", CUSTOMER)]
        )


def test_lanes_of_different_numbers_agree():
    with pytest.raises(InputError, match=r"holding_cost has 2.*backlog_cost has 3"):
        chain(node={"holding_cost": [1, 2]}, customer={"backlog_cost": [1, 2, 3]})


def test_numbers_per_lane_are_one_vector():
    with pytest.raises(InputError, match="holding_cost"):
        chain(node={"holding_cost": [[1, 2], [3, 4]]})


def test_lanes_spread():
    network = chain(node={"holding_cost": [1, 2]}, customer={"backlog_cost": 7})
    assert np.asarray(network.holding_cost).tolist() == [[0, 0], [1, 2]]
    assert network.backlog_cost.shape == (3, 1)


def test_one_component_has_one_bill_and_one_rate():
    def two(**second):
        first = Arc(OUTSIDE, "a", "x", units=2, component_holding_cost=1)
        return build_network([A], [first, dataclasses.replace(first, name="y", **second), OUT])

    assert np.asarray(two().units).tolist() == [[2], [2]]
    assert two().component_holding_cost.shape == (1, 1)
    for change in ({"units": 3}, {"component_holding_cost": 2}):
        with pytest.raises(InputError, match=f"x, y supply one component.*{next(iter(change))}"):
            two(**change)
        assert two(**change, component="other").wiring.n_inputs == 2


# --- Pipelines -------------------------------------------------------------------------------------------------------


def test_initial_pipeline():
    arcs = [Arc(OUTSIDE, "a", lead_time=3, initial_pipeline=5), Arc("a", "b", lead_time=2, initial_pipeline=[1, 2])]
    network = build_network([A, B], [*arcs, Arc("b", CUSTOMER)])
    assert np.asarray(network.initial_pipeline)[:, :, 0].tolist() == [[5, 1], [5, 2], [5, 0]]
    with pytest.raises(InputError, match="initial_pipeline has 3 periods, its longest lead time is 2"):
        chain(arc={"initial_pipeline": [1, 2, 3]})
    with pytest.raises(InputError, match="arc 'a->b': initial_pipeline has shape"):
        chain(arc={"initial_pipeline": [[1, 2], [3, 4]]})
    assert np.asarray(chain(arc={"initial_pipeline": [1, 2, 3], "max_lead_time": 3}).initial_pipeline).sum() == 6


def test_nothing_is_under_way_where_nothing_takes_time():
    assert not np.any(np.asarray(chain(arc={"lead_time": 0, "initial_pipeline": 4}).initial_pipeline))


def test_orders_on_their_way():
    arcs = [Arc(OUTSIDE, "a", order_delay=3, initial_orders=5), Arc("a", "b", order_delay=2, initial_orders=[1, 2])]
    network = build_network([A, B], [*arcs, Arc("b", CUSTOMER)])
    assert network.wiring.order_delay == (3, 2) and network.wiring.mail_slots == 3
    assert np.asarray(network.initial_orders)[:, :, 0].tolist() == [[5, 1], [5, 2], [5, 0]]
    assert chain(arc={"order_delay": 2}).initial_orders is None
    assert chain().wiring == chain(arc={"order_delay": 0, "initial_orders": 4}).wiring  # nothing travels
    with pytest.raises(InputError, match="initial_orders has 3 periods, its order delay is 2"):
        chain(arc={"initial_orders": [1, 2, 3], "order_delay": 2})
    with pytest.raises(InputError, match="initial_orders has 1 periods, its order delay is 0"):
        chain(arc={"initial_orders": [1]})
    for delay in (-1, 1.5, math.nan, 513, True, "2"):
        with pytest.raises(NumberError, match=r"arc 'a->b': order_delay = .* must be a whole number of periods"):
            chain(arc={"order_delay": delay})
    with pytest.raises(InputError, match="demand is with its node at once"):
        chain(customer={"order_delay": 1})
    with pytest.raises(NumberError, match=r"initial_orders = .* is not whole"):
        chain(arc={"order_delay": 1, "initial_orders": 0.5}, integer=True)


# --- What is built ---------------------------------------------------------------------------------------------------


def test_what_nobody_uses_is_not_there():
    network = chain()
    fields = [f.name for f in dataclasses.fields(Network) if f.name != "wiring"]
    assert [f for f in fields if getattr(network, f) is not None] == list(ALWAYS)
    assert len(jax.tree.leaves(network)) == len(ALWAYS)


@pytest.mark.parametrize("place, name, n, where", list(places()), ids=lambda x: x if isinstance(x, str) else "")
def test_one_use_brings_one_leaf(place, name, n, where):
    value = 2 if n.high > 1 else 0.5
    network = chain(**{place: {name: value} | ({"order_delay": 1} if name == "initial_orders" else {})})
    new = {f.name for f in dataclasses.fields(Network) if getattr(network, f.name) is not None} - {"wiring", *ALWAYS}
    expected = {"erosion", "restoration"} if name in ("erosion", "restoration") else {name} - set(ALWAYS)
    assert new == expected
    rows = np.asarray(getattr(network, name))
    assert rows.shape[-1] == 1
    if name != "initial_pipeline":
        assert np.sum(rows == value) == 1


def test_no_limit_is_infinite_beside_a_limit():
    network = chain(node={"capacity": 3, "shelf_life": 4})
    assert np.asarray(network.capacity).ravel().tolist() == [math.inf, 3]
    assert np.asarray(network.shelf_life).ravel().tolist() == [math.inf, 4]
    assert network.wiring.ages == 4
    assert network.holds_components


def test_nodes_are_put_upstream_first():
    arcs = [
        Arc("b", "c", name="bc"),
        Arc("a", "b", name="ab"),
        Arc("c", CUSTOMER, name="c!"),
        Arc(OUTSIDE, "a", name="in"),
    ]
    network = build_network([Node("c", holding_cost=3), Node("b", holding_cost=2), Node("a", holding_cost=1)], arcs)
    assert network.wiring.nodes == ("a", "b", "c")
    assert network.wiring.arcs == ("in", "ab", "bc", "c!")
    assert np.asarray(network.holding_cost).ravel().tolist() == [1, 2, 3]


def test_an_order_that_is_upstream_first_is_kept():
    nodes = [Node(x) for x in "zyxw"]
    arcs = [Arc(OUTSIDE, x, name=f"to {x}") for x in "wxyz"] + [Arc(x, CUSTOMER) for x in "xwzy"]
    network = build_network(nodes, arcs)
    assert network.wiring.nodes == tuple("zyxw")
    assert network.wiring.arcs[:4] == ("to w", "to x", "to y", "to z")  # one source: the order given
    assert network.wiring.arcs[4:] == tuple(f"{x}->customer" for x in "zyxw")


def test_priority_is_the_order_given_inner_arcs_first():
    """Out-arcs of a node: inner before customer, each kind in the order in which it was written."""
    arcs = [
        Arc("a", CUSTOMER, name="walk-in"),
        Arc("a", "c", name="to c"),
        Arc("a", CUSTOMER, name="mail"),
        Arc("a", "b", name="to b"),
        IN,
        Arc("b", CUSTOMER),
        Arc("c", CUSTOMER),
    ]
    w = build_network([A, B, C], arcs).wiring
    assert [w.arcs[e] for e in w.out_arcs[0]] == ["to c", "to b", "walk-in", "mail"]


def test_equal_wirings_are_one_program():
    one, two = chain(node={"holding_cost": 1}), chain(node={"holding_cost": 5})
    assert one.wiring == two.wiring
    assert hash(one.wiring) == hash(two.wiring)
    assert jax.tree.structure(one) == jax.tree.structure(two)
    traces = []

    @jax.jit
    def cost(network):
        traces.append(1)
        return network.holding_cost.sum()

    assert (float(cost(one)), float(cost(two)), len(traces)) == (1, 5, 1)
    others = [
        chain(timing="demand_first"),
        chain(allocation="priority"),
        chain(issuing="lifo"),
        chain(integer=True),
        chain(arc={"lead_time": 3}),
        chain(arc={"max_lead_time": 3}),
        chain(arc={"component": "x"}),
        chain(arc={"name": "x"}),
        chain(node={"make_to_order": True}),
        chain(node={"shelf_life": 2}),
        chain(node={"storage": 2}),
    ]
    assert [x.wiring == one.wiring for x in others] == [False] * 10 + [True]


def test_build_does_not_change_what_it_is_given():
    nodes, arcs = [B, A], [Arc("b", CUSTOMER), Arc("a", "b"), IN]
    build_network(nodes, arcs)
    assert nodes == [B, A]
    assert arcs == [Arc("b", CUSTOMER), Arc("a", "b"), IN]


def test_a_large_network_is_built_in_time():
    nodes = [Node(f"n{i}") for i in range(2000)]
    arcs = [Arc(OUTSIDE, "n0"), *(Arc(f"n{i // 3}", f"n{i}") for i in range(1, 2000))]
    arcs += [Arc(f"n{i}", CUSTOMER) for i in range(2000)]
    w = build_network(nodes, arcs).wiring
    assert len(w.out_arcs) == w.n_nodes == 2000
    assert max(w.levels) == 7


@settings(max_examples=60)
@given(st.data())
def test_nodes_always_come_upstream_first(data):
    """Any acyclic set of arcs, in any order of writing."""
    n = data.draw(st.integers(1, 7))
    edges = [(i, j) for j in range(n) for i in range(j) if data.draw(st.booleans())]
    arcs = [Arc(f"n{i}", f"n{j}") for i, j in edges] + [Arc(f"n{i}", CUSTOMER) for i in range(n)]
    arcs += [Arc(OUTSIDE, f"n{j}") for j in range(n) if all(d != j for _, d in edges)]
    nodes = data.draw(st.permutations([Node(f"n{i}", holding_cost=i + 1) for i in range(n)]))
    network = build_network(nodes, data.draw(st.permutations(arcs)))
    w = network.wiring
    assert all(s < d for s, d in zip(w.src, w.dst, strict=True) if s >= 0 and d >= 0)
    assert {(w.nodes[s], w.nodes[d]) for s, d in zip(w.src, w.dst, strict=True) if s >= 0 and d >= 0} == {
        (f"n{i}", f"n{j}") for i, j in edges
    }
    assert list(w.src[: w.n_inner]) == sorted(w.src[: w.n_inner])
    assert list(w.src[w.n_inner :]) == sorted(w.src[w.n_inner :])
    assert [f"n{round(h) - 1}" for h in np.asarray(network.holding_cost).ravel().tolist()] == list(w.nodes)


def test_the_largest_number_is_taken():
    assert float(chain(node={"holding_cost": LARGEST}).holding_cost[1, 0]) == LARGEST
    with pytest.raises(NumberError, match="outside"):
        chain(node={"holding_cost": LARGEST * 1.001})
