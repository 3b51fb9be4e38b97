"""The standard networks: what they build, how numbers spread over them, and that random ones are always sound."""

import doctest

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meio_jax import topologies
from meio_jax.errors import InputError, NumberError, UnknownNameError
from meio_jax.topologies import (
    RANDOM_FEATURES,
    assembly,
    distribution,
    echelon_holding_cost,
    local_holding_cost,
    multi_source,
    random_dag,
    serial,
    tree,
)


def column(leaf):
    return np.asarray(leaf)[:, 0].tolist()


def arrows(network):
    """Arcs as pairs of names."""
    w = network.wiring
    ends = (*w.nodes, None)  # index -1
    return [(ends[s], ends[d]) for s, d in zip(w.src, w.dst, strict=True)]


def test_the_example_in_the_text():
    assert doctest.testmod(topologies).attempted > 0
    assert doctest.testmod(topologies).failed == 0


def test_serial():
    network = serial(3, holding_cost=(1, 2, 4), lead_time=(3, 2, 1), backlog_cost=9, price=20, timing="demand_first")
    w = network.wiring
    assert w.nodes == ("stage1", "stage2", "stage3")
    assert arrows(network) == [(None, "stage1"), ("stage1", "stage2"), ("stage2", "stage3"), ("stage3", None)]
    assert w.lead_time == (3, 2, 1)
    assert w.timing == "demand_first"
    assert column(network.holding_cost) == [1, 2, 4]
    assert column(network.backlog_cost) == [0, 0, 0, 9]
    assert column(network.price) == [20]
    assert (network.capacity, network.keep, network.transit_holding_cost) == (None, None, None)


def test_what_a_stage_owes_may_differ():
    """One number is the customer's; a sequence says it for every stage, as the beer game has it."""
    network = serial(4, backlog_cost=(1, 2, 3, 4), keep=0.0, initial_on_hand=12, initial_pipeline=4, lead_time=2)
    assert column(network.backlog_cost) == [0, 1, 2, 3, 4]
    assert column(network.keep) == [1, 1, 1, 1, 0]
    assert np.all(network.initial_pipeline == 4)
    assert network.initial_pipeline.shape == (2, 4, 1)


def test_echelon_rates():
    assert local_holding_cost((2, 2, 3)) == [2, 4, 7]
    assert echelon_holding_cost((2, 4, 7)) == [2, 2, 3]
    network = serial(3, echelon_holding_cost=(2, 2, 3), transit_holding_cost="upstream")
    assert column(network.holding_cost) == [2, 4, 7]
    assert column(network.transit_holding_cost) == [0, 2, 4]
    assert column(serial(3, echelon_holding_cost=1).holding_cost) == [1, 2, 3]
    with pytest.raises(InputError, match="not both"):
        serial(2, echelon_holding_cost=1, holding_cost=1)
    with pytest.raises(NumberError, match="echelon rates"):
        local_holding_cost((1, -2))
    with pytest.raises(NumberError, match="echelon rates"):
        serial(2, echelon_holding_cost=(1, float("nan")))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8))
def test_echelon_rates_are_the_inverse_of_local_rates(rates):
    assert echelon_holding_cost(local_holding_cost(rates)) == rates


def test_distribution():
    network = distribution(3, holding_cost=(0.5, 1), lead_time=(2, 1, 2, 3), backlog_cost=9)
    assert network.wiring.nodes == ("warehouse", "retailer1", "retailer2", "retailer3")
    assert arrows(network)[1:] == [("warehouse", f"retailer{i}") for i in (1, 2, 3)] + [
        (f"retailer{i}", None) for i in (1, 2, 3)
    ]
    assert column(network.holding_cost) == [0.5, 1, 1, 1]
    assert network.wiring.lead_time == (2, 1, 2, 3)
    assert column(network.backlog_cost) == [0, 0, 0, 0, 9, 9, 9]


def test_tree():
    network = tree((4, 4), holding_cost=(1, 2, 3), lead_time=(3, 2, 1), transit_holding_cost="upstream")
    w = network.wiring
    assert w.n_nodes == 21
    assert w.nodes[:6] == ("plant", "warehouse1", "warehouse2", "warehouse3", "warehouse4", "retailer1")
    assert w.levels == (0,) + (1,) * 4 + (2,) * 16
    assert ("warehouse2", "retailer5") in arrows(network)
    assert w.n_customers == 16
    assert column(network.transit_holding_cost) == [0] + [1] * 4 + [2] * 16
    assert tree((2, 3, 1)).wiring.nodes[:3] == ("plant", "hub1", "hub2")
    assert len(set(tree((1, 2, 2, 2, 2)).wiring.nodes)) == 1 + 1 + 2 + 4 + 8 + 16
    assert tree(()).wiring.nodes == ("retailer",)


def test_assembly():
    network = assembly(3, units=(2, 1, 0.5), holding_cost=(1, 2, 3, 10), lead_time=(4, 3, 2, 1), backlog_cost=50)
    w = network.wiring
    assert w.nodes == ("component1", "component2", "component3", "product")
    assert w.component == ("", "", "", "component1", "component2", "component3")
    assert w.n_inputs == 6
    assert w.lead_time == (4, 3, 2, 1, 1, 1)
    assert column(network.units) == [1, 1, 1, 2, 1, 0.5]
    assert column(network.component_holding_cost) == [0, 0, 0, 1, 2, 3]
    assert assembly(2, component_holding_cost=0).component_holding_cost is None


def test_assembly_of_assemblies():
    network = assembly((2, 3), units=(1, 4))
    w = network.wiring
    assert w.nodes[5:] == ("part6", "subassembly1", "subassembly2", "subassembly3", "product")
    assert w.levels == (0,) * 6 + (1,) * 3 + (2,)
    assert [a for a in arrows(network) if a[1] == "subassembly2"] == [
        ("part3", "subassembly2"),
        ("part4", "subassembly2"),
    ]
    assert len(w.inputs_of_node[w.nodes.index("product")]) == 3
    assert column(network.units) == [1] * 12 + [4] * 3
    assert assembly(()).wiring.nodes == ("product",)


def test_multi_source():
    network = multi_source(
        ("regular", "expedited"), lead_time=(4, 0), unit_cost=(100, 105), holding_cost=5, backlog_cost=495
    )
    w = network.wiring
    assert w.arcs[:2] == ("regular", "expedited")
    assert w.lead_time == (4, 0)
    assert w.n_inputs == 1
    assert column(network.unit_cost) == [100, 105]
    assert multi_source(3, transit_holding_cost="upstream").transit_holding_cost is None
    assert multi_source(3, name="depot").wiring.nodes == ("depot",)


def test_names_and_values_per_lane():
    network = serial(2, names=("mill", "shop"), holding_cost=(1, [2, 3]))
    assert network.wiring.nodes == ("mill", "shop")
    assert np.asarray(network.holding_cost).tolist() == [[1, 1], [2, 3]]
    per_lane = distribution(2, holding_cost=np.arange(6.0).reshape(3, 2))
    assert per_lane.holding_cost.shape == (3, 2)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: serial(0), InputError, "stages = 0"),
        (lambda: serial(2.5), InputError, "stages = 2.5"),
        (lambda: serial(True), InputError, "stages = True"),
        (lambda: serial(3, holding_cost=(1, 2)), InputError, "holding_cost has 2 values, and there are 3 nodes"),
        (lambda: serial(3, echelon_holding_cost=(1, 2)), InputError, "echelon_holding_cost has 2 values"),
        (lambda: serial(2, names=("a",)), InputError, "names"),
        (lambda: serial(2, names="ab"), InputError, "names"),
        (lambda: serial(2, holding=1), UnknownNameError, "'holding' is no number"),
        (lambda: serial(2, holding_cost=-1), NumberError, "stage1.*holding_cost = -1"),
        (lambda: serial(2, lead_time=(1, 1.5)), NumberError, "lead_time = 1.5"),
        (lambda: serial(2, holding_cost="upstream"), NumberError, "holding_cost"),
        (lambda: serial(2, transit_holding_cost="downstream"), InputError, "downstream"),
        (lambda: serial(2, unit_cost="upstream"), InputError, "unit_cost"),
        (lambda: serial(2, timing="tea_first"), UnknownNameError, "tea_first"),
        (lambda: distribution(4, lead_time=(1, 2, 3)), InputError, "there are 5 nodes .*or one per level: 2"),
        (lambda: distribution(-1), InputError, "retailers = -1"),
        (lambda: tree(4), InputError, "sequence of whole numbers"),
        (lambda: tree((4, 0)), InputError, "branching = 0"),
        (lambda: tree((100, 100, 100)), InputError, "more than"),
        (lambda: assembly(0), InputError, "components = 0"),
        (lambda: assembly(3, units=(1, 2)), InputError, "units has 2 values, and there are 3"),
        (lambda: assembly(2, units=0), NumberError, "units = 0"),
        (lambda: multi_source("ab"), InputError, "sources"),
        (lambda: multi_source(0), InputError, "sources = 0"),
        (lambda: multi_source(2, lead_time=(1, 2, 3)), InputError, "lead_time has 3 values, and there are 2 sources"),
        (lambda: multi_source(2, units=2), UnknownNameError, "units"),
        (lambda: random_dag(1, 0), InputError, "nodes = 0"),
        (lambda: random_dag(-1, 3), InputError, "key"),
        (lambda: random_dag(1.5, 3), InputError, "key"),
        (lambda: random_dag(jax.random.PRNGKey(0), 3), InputError, "typed key"),
        (lambda: random_dag(jax.random.split(jax.random.key(0)), 3), InputError, "one typed key"),
        (lambda: random_dag(1, 3, density=1.5), NumberError, "density = 1.5"),
        (lambda: random_dag(1, 3, density=float("nan")), NumberError, "density"),
        (lambda: random_dag(1, 3, features=("wheels",)), UnknownNameError, "wheels"),
        (lambda: random_dag(1, 3, features="all"), InputError, "sequence of names"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def connected(w):
    reached, frontier = {0}, [0]
    links = [(s, d) for s, d in zip(w.src, w.dst, strict=True) if s >= 0 and d >= 0]
    while frontier:
        n = frontier.pop()
        for s, d in links:
            for a, b in ((s, d), (d, s)):
                if a == n and b not in reached:
                    reached.add(b)
                    frontier.append(b)
    return len(reached) == w.n_nodes


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 9),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 4),
    st.lists(st.sampled_from(RANDOM_FEATURES), unique=True, max_size=5),
)
def test_a_random_network_is_valid_and_connected(seed, nodes, density, share, suppliers, integer, longest, features):
    network = random_dag(
        seed,
        nodes,
        density=density,
        assembly_share=share,
        supplier_share=suppliers,
        max_lead_time=longest,
        features=features,
        integer=integer,
    )
    w = network.wiring
    assert w.n_nodes == nodes
    assert connected(w)
    assert w.n_customers >= 1
    assert all(s < d for s, d in zip(w.src, w.dst, strict=True) if s >= 0 and d >= 0)
    assert max(w.max_lead_time) <= longest
    for leaf in jax.tree.leaves(network):
        assert np.all(np.asarray(leaf) >= 0)
    for name in RANDOM_FEATURES:
        if name not in features and name not in ("make_to_order", "random_lead_time", "restoration", "erosion"):
            assert getattr(network, name) is None or (
                name == "initial_pipeline" and not np.any(network.initial_pipeline)
            )


def test_random_networks_differ_by_key_and_repeat():
    def shape(seed):
        network = random_dag(jax.random.key(seed), 8, features=("all",))
        return network.wiring, [np.asarray(x).tolist() for x in jax.tree.leaves(network)]

    assert shape(1) == shape(1)
    assert len({shape(seed)[0] for seed in range(20)}) == 20


def test_random_networks_hold_everything_at_some_time():
    found = [random_dag(seed, 7, features=("all",)) for seed in range(25)]
    for name in RANDOM_FEATURES:
        if name not in ("make_to_order", "random_lead_time"):
            assert any(getattr(n, name) is not None for n in found), name
    w = [n.wiring for n in found]
    assert any(any(x.make_to_order) for x in w)
    assert any(x.min_lead_time != x.max_lead_time for x in w)
    assert any(any(len(k) > 1 for k in x.inputs_of_node) for x in w)  # assembly
    assert any(any(len(k) > 1 for k in x.arcs_of_input) for x in w)  # several sources
    assert any(sum(s < 0 for s in x.src) > 2 for x in w)
    assert any(n.units is not None for n in found)
