"""Gradients through the simulator against central differences, in float64, at points off the kinks.

The dynamics are piecewise smooth: at a random real point (no lots, no minimum orders, no drawn lead times) a kink has
probability zero, and the derivative along a random direction must be what two evaluations say.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_systems import FEATURES, draw, random_plan

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network
from meio_jax.simulator import initial_state, transition

PERIODS = 10
EPS = 1e-6
#: Shares must stay inside (0, 1); all other numbers are positive quantities.
SHARES = ("keep", "yield_", "erosion", "restoration", "available")
NOT_SMOOTH = ("shelf_life", "lead_time", "lot_size", "minimum_order")


@jax.jit
def cost(point, network):
    """Total cost of a run in all lanes. ``point``: orders, allocation, a dict of leaves and a dict of shocks."""
    network = network.replace(**point["leaves"])
    shocks = Shock(**point["shocks"])
    state = initial_state(network, point["orders"].shape[-1])

    def step(state, inputs):
        state, f = transition(network, state, *inputs)
        held = jnp.sum(network.holding_cost * f.on_hand) + 0.1 * jnp.sum(f.in_transit) + 0.3 * jnp.sum(f.components)
        owed = 4.0 * jnp.sum(network.backlog_cost * f.backlog) + 7.0 * jnp.sum(f.lost) - 5.0 * jnp.sum(f.filled)
        scrap = 2.0 * jnp.sum(f.expired) + 2.5 * jnp.sum(f.overflow) + 0.2 * jnp.sum(f.started) + 0.7 * jnp.sum(f.built)
        smooth = 0.01 * jnp.sum(f.received**2) + 0.01 * jnp.sum(f.shipped**2)  # so that not every slope is constant
        return state, held + owed + scrap + smooth

    return jnp.sum(jax.lax.scan(step, state, (point["orders"], shocks, point.get("allocation")))[1])


def point_of(network, orders, shocks, allocation=None):
    leaves = {
        f.name: x
        for f in dataclasses.fields(network)
        if f.name not in ("wiring", *NOT_SMOOTH) and (x := getattr(network, f.name)) is not None
    }
    kept = {f.name: x for f in dataclasses.fields(shocks) if (x := getattr(shocks, f.name)) is not None}
    point = {"orders": orders, "leaves": leaves, "shocks": kept}
    return point if allocation is None else point | {"allocation": allocation}


def generic(rng, point):
    """Move every number to a random real place nearby."""

    def move(path, x):
        x = np.asarray(x, dtype=np.float64)
        name = path[-1].key
        u = rng.random(x.shape)
        if name in SHARES:
            return jnp.asarray(0.15 + 0.7 * (0.5 * np.clip(x, 0, 1) + 0.5 * u))
        if name in ("initial_pipeline", "initial_orders"):  # nothing beyond an arc's lead time: that row is constant
            return jnp.asarray(np.where(x > 0, x + 0.3 * u, x))
        x = np.where(np.isfinite(x), x, 8.0)  # a limit that does not bind has no slope worth testing
        return jnp.asarray(np.abs(x) + 0.05 + 0.3 * u)

    return jax.tree_util.tree_map_with_path(move, point)


def check(network, point, rng, directions=3):
    gradient = jax.jit(jax.grad(cost))(point, network)
    paths = jax.tree_util.tree_flatten_with_path(point)[0]
    slopes = jax.tree.leaves(gradient)
    moving = 0
    for k, ((path, x), g) in enumerate(zip(paths, slopes, strict=True)):
        assert np.isfinite(g).all(), path
        for _ in range(directions):
            d = rng.normal(size=x.shape)
            if path[-1].key in ("initial_pipeline", "initial_orders"):
                d = np.where(np.asarray(x) > 0, d, 0.0)

            def along(step, k=k, x=x, d=d):
                leaves = [v for _, v in paths]
                leaves[k] = x + step * d
                return float(cost(jax.tree.unflatten(jax.tree.structure(point), leaves), network))

            by_difference = (along(EPS) - along(-EPS)) / (2 * EPS)
            by_gradient = float(np.sum(np.asarray(g) * d))
            moving += by_gradient != 0
            assert by_gradient == pytest.approx(by_difference, rel=2e-5, abs=2e-5 * float(np.abs(g).sum() + 1)), path
    assert moving >= directions  # the test saw slopes


def serial():
    nodes = [Node("factory", 0.5, 4.0), Node("depot", 1.0, 6.0), Node("shop", 2.0, 5.0)]
    arcs = [
        Arc(OUTSIDE, "factory", lead_time=2, initial_pipeline=3.0),
        Arc("factory", "depot", lead_time=1, initial_pipeline=2.0),
        Arc("depot", "shop", lead_time=1, initial_pipeline=2.0, order_delay=1, initial_orders=1.5),
        Arc("shop", CUSTOMER, backlog_cost=9.0),
    ]
    return nodes, arcs


def assembly():
    nodes = [
        Node("plant", 1.0, 2.0, capacity=6.0, yield_=0.8, storage=9.0),
        Node("board", 0.5, 6.0),
        Node("case", 0.2, 7.0),
    ]
    arcs = [
        Arc(OUTSIDE, "board", lead_time=1, initial_pipeline=2.0),
        Arc(OUTSIDE, "case", lead_time=2, initial_pipeline=2.0),
        Arc("board", "plant", component="board", lead_time=1, units=2.0),
        Arc("case", "plant", component="case", lead_time=0),
        Arc("plant", CUSTOMER, backlog_cost=5.0, keep=0.6),
    ]
    return nodes, arcs


def distribution():
    nodes = [Node("depot", 0.3, 5.0, shelf_life=3), *(Node(f"shop {k}", 1.0, 2.0, shelf_life=2) for k in range(3))]
    arcs = [Arc(OUTSIDE, "depot", lead_time=1, initial_pipeline=4.0)]
    arcs += [Arc("depot", f"shop {k}", lead_time=k, keep=0.5) for k in range(3)]
    arcs += [Arc(f"shop {k}", CUSTOMER, backlog_cost=4.0, erosion=0.3, restoration=0.4, keep=0.5) for k in range(3)]
    return nodes, arcs


@pytest.mark.parametrize("timing", ["order_first", "ship_first"])
@pytest.mark.parametrize("make", [serial, assembly, distribution])
def test_gradients_are_the_differences(make, timing, x64, rngs):
    rng = rngs.numpy
    network = build_network(*make(), timing=timing)
    w = network.wiring
    orders = rng.uniform(0, 6, (PERIODS, w.n_inner, 1))
    shocks = Shock(demand=jnp.asarray(rng.uniform(0, 4, (PERIODS, w.n_customers, 1))))
    check(network, generic(rng, point_of(network, orders, shocks)), rng)


@pytest.mark.parametrize("k", range(4))
def test_gradients_in_random_networks(k, x64, rngs):
    """Every smooth feature at once."""
    rng = rngs.numpy
    plan = random_plan(
        rng,
        largest=4,
        features=frozenset(FEATURES) - {*NOT_SMOOTH, "lead_leaf", "lead_shock"} | {"shelf_life"},
        timing=["order_first", "ship_first"][k % 2],
        allocation=["proportional", "priority"][k // 2],
    )
    system = draw(plan, rng, 2, PERIODS)
    check(system.network, generic(rng, point_of(system.network, *system[1:])), rng, directions=2)


@pytest.mark.parametrize("timing", ["order_first", "ship_first"])
@pytest.mark.parametrize("allocation", ["proportional", "priority"])
def test_gradients_are_finite_where_nothing_happens(timing, allocation):
    """No demand, no stock, no orders, yields of zero: ``x / 0`` hides behind a where, its gradient must too."""
    features = frozenset(FEATURES) - {"lead_shock"}
    plan = random_plan(np.random.default_rng(11), features=features, timing=timing, allocation=allocation)
    system = draw(plan, np.random.default_rng(12), 4, PERIODS)
    network = system.network.replace(
        **{k: 0 * getattr(system.network, k) for k in ("initial_on_hand", "initial_pipeline", "initial_orders")}
    )
    dead = system.shocks.replace(
        demand=0 * system.shocks.demand, yield_=0 * system.shocks.yield_, available=0 * system.shocks.available
    )
    point = point_of(network, jnp.zeros_like(system.orders), dead, 0 * jnp.nan_to_num(system.allocation))
    for name in ("lot_size", "minimum_order"):
        point["leaves"][name] = getattr(network, name)
    value, gradient = jax.value_and_grad(cost)(point, network)
    assert np.isfinite(value)
    for path, g in jax.tree_util.tree_flatten_with_path(gradient)[0]:
        assert np.isfinite(g).all(), path
