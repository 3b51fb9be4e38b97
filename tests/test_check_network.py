"""One bad number in any leaf of a network that was made by `replace` is one error that says where."""

from __future__ import annotations

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Processes, build_network
from meio_jax.checks import check_network
from meio_jax.elements import ARC_NUMBERS, NODE_NUMBERS
from meio_jax.errors import InputError, NumberError
from meio_jax.evaluate import evaluate
from meio_jax.policies import BaseStock
from meio_jax.processes import poisson
from meio_jax.solvers import search
from meio_jax.topologies import RANDOM_FEATURES, random_dag

LANES = 3


@cache
def full(integer: bool = False):
    """Every leaf there is, one number for each lane."""
    node = {
        "holding_cost": 1.0, "initial_on_hand": 4.0, "capacity": 9.0, "operating_cost": 0.5, "storage": 30.0,
        "yield_": 0.75, "shelf_life": 3, "scrap_cost": 1.0,
    }  # fmt: skip
    inner = {
        "unit_cost": 1.0, "transit_holding_cost": 0.1, "component_holding_cost": 0.2, "fixed_order_cost": 5.0,
        "lot_size": 2.0, "minimum_order": 3.0, "order_capacity": 20.0, "initial_pipeline": 2.0, "initial_orders": 1.0,
        "units": 2.0, "lead_time": 2, "min_lead_time": 1, "max_lead_time": 3, "order_delay": 2,
    }  # fmt: skip
    owed = {"backlog_cost": 3.0, "lost_cost": 2.0, "keep": 0.5}
    network = build_network(
        [Node("plant", **node), Node("shop", **node)],
        [
            Arc(OUTSIDE, "plant", "ore", **inner, **owed),
            Arc("plant", "shop", "east", **inner, **owed),
            Arc(OUTSIDE, "shop", "west", **inner, **owed),
            Arc("shop", CUSTOMER, "sales", price=10.0, erosion=0.25, restoration=0.25, **owed),
        ],
        integer=integer,
    )
    network = network.replace(lead_time=jnp.full((3, 1), 2.0))
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], LANES)), network)
    assert all(getattr(wide, f.name) is not None for f in dataclasses.fields(wide))
    return wide


NAMES = [f.name for f in dataclasses.fields(full()) if f.name != "wiring"]
INPUTS = ["plant", "shop"]


def owners(key):
    """The names of a leaf's rows, counted apart from `check_network`."""
    w = full().wiring
    rows = getattr(full(), key).shape[-2]
    return {2: INPUTS, 3: w.arcs[:3], 4: w.arcs, 1: w.arcs[3:]}[rows]


def domain(key):
    if key == "lead_time":
        return 1.0, 3.0, True, False
    n = NODE_NUMBERS.get(key) or ARC_NUMBERS[key]
    return n.low, n.high, n.whole, n.default is None


@given(st.data())
def test_one_bad_number_is_one_named_error(data):
    key = data.draw(st.sampled_from(NAMES))
    leaf = np.array(getattr(full(), key))
    at = tuple(data.draw(st.integers(0, n - 1)) for n in leaf.shape)
    low, high, whole, limitless = domain(key)
    bad = [np.nan, -np.inf, low - max(1.0, abs(low)), high + max(1.0, abs(high))]
    bad += [] if limitless else [np.inf]
    bad += [1.5] if whole else []
    leaf[at] = data.draw(st.sampled_from(bad))
    with pytest.raises(NumberError) as caught:
        check_network(full().replace(**{key: jnp.asarray(leaf)}))
    message = str(caught.value)
    assert f"{key} of " in message and f"lane {at[-1]} is " in message
    assert repr(owners(key)[at[-2]]) in message
    assert leaf.ndim == 2 or f"slot {at[0]}" in message


@given(st.data())
def test_leaves_of_another_shape_are_refused(data):
    key = data.draw(st.sampled_from(NAMES))
    leaf = np.asarray(getattr(full(), key))
    wrong = data.draw(
        st.sampled_from([leaf[..., 0], leaf[None], np.concatenate([leaf, leaf]), np.ones(())])
        if leaf.ndim == 2
        else st.sampled_from([leaf[0], leaf[:1], leaf[:, :1]])
    )
    with pytest.raises(InputError, match=f"network: {key} has shape"):
        check_network(full().replace(**{key: wrong}))


def test_what_the_builder_makes_passes():
    check_network(full())
    check_network(full(integer=True))
    for seed in range(5):
        network = random_dag(seed, 6, features=RANDOM_FEATURES, integer=False)
        check_network(network)
        check_network(jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], 2)), network))
    no_limits = {k: jnp.full((2, 1), jnp.inf) for k in ("capacity", "storage", "shelf_life")}
    check_network(full().replace(**no_limits, order_capacity=jnp.full((3, 1), jnp.inf)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"holding_cost": None}, "holding_cost is None"),
        ({"holding_cost": "dear"}, "no array of numbers"),
        ({"holding_cost": jnp.ones((2, 2))}, "lanes? differ in length|per lane differ"),
        ({"erosion": None}, "belong together"),
        ({"units": jnp.array([[2.0], [2.0], [3.0]])}, "arcs west, east supply one component"),
        ({"minimum_order": jnp.full((3, 1), 30.0)}, "minimum_order of arc 'ore', lane 0 is 30, above order_capacity"),
        ({"shelf_life": jnp.array([[3.0], [4.0]])}, "shelf_life of node 'shop' is 4, more than the 3 age classes"),
        ({"lead_time": jnp.array([[2.0], [2.0], [4.0]])}, "lead_time of arc 'east' is 4, outside of the bounds"),
    ],
)
def test_numbers_that_do_not_fit_together(changes, message):
    with pytest.raises(InputError, match=message):
        check_network(full().replace(**changes))


def test_whole_networks_have_whole_numbers():
    pipeline = full(True).initial_pipeline.at[1, 2, 0].set(0.5)
    with pytest.raises(NumberError, match=r"initial_pipeline of arc 'east', slot 1, lane 0 is 0.5, not whole"):
        check_network(full(True).replace(initial_pipeline=pipeline))
    check_network(full().replace(initial_pipeline=pipeline))


def test_mail_where_no_order_travels_is_refused():
    network = build_network([Node("shop")], [Arc(OUTSIDE, "shop"), Arc("shop", CUSTOMER)])
    assert network.initial_orders is None
    with pytest.raises(InputError, match="initial_orders has shape"):
        check_network(network.replace(initial_orders=jnp.ones((1, 1, 1))))


def test_evaluate_and_search_refuse_it():
    network = build_network([Node("shop")], [Arc(OUTSIDE, "shop"), Arc("shop", CUSTOMER)])
    network = network.replace(holding_cost=jnp.array([[-1.0]]))
    theta = {"level": jnp.array([[4.0]])}
    world, key = Processes(demand=poisson([2.0])), jax.random.key(0)
    for call in (
        lambda: evaluate(network, {"rule": (BaseStock(), theta)}, world, key, periods=3, lanes=2),
        lambda: search(network, BaseStock(), world, key, theta0=theta, periods=3),
    ):
        with pytest.raises(NumberError, match="holding_cost of node 'shop' is -1"):
            call()
