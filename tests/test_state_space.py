"""The coordinates of a dynamic program: states that are merged have one future, and nothing is lost in writing back."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.kpis import total_cost
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state, transition
from meio_jax.solvers.state_space import Box, Lookup, layout_of

slow = pytest.mark.slow


def store(timing="order_first", node=(), supply=(), customer=(), issuing="fifo"):
    """One store, one supplier, one customer; numbers of each as keywords."""
    return build_network(
        [Node("store", holding_cost=2, **dict(node))],
        [
            Arc(OUTSIDE, "store", **({"lead_time": 2, "unit_cost": 1, "fixed_order_cost": 3} | dict(supply))),
            Arc("store", CUSTOMER, **({"backlog_cost": 7} | dict(customer))),
        ],
        timing=timing, issuing=issuing, integer=True,
    )  # fmt: skip


def pair(timing="order_first", **warehouse):
    return build_network(
        [Node("warehouse", holding_cost=1, **warehouse), Node("a", holding_cost=2), Node("b", holding_cost=3)],
        [
            Arc(OUTSIDE, "warehouse", lead_time=1),
            Arc("warehouse", "a", lead_time=1, transit_holding_cost=1),
            Arc("warehouse", "b", lead_time=0),
            Arc("a", CUSTOMER, backlog_cost=7),
            Arc("b", CUSTOMER, lost_cost=7, keep=0),
        ],
        timing=timing, allocation="priority", integer=True,
    )  # fmt: skip


LOST, PARTLY = {"keep": 0.0, "lost_cost": 5, "backlog_cost": 0}, {"keep": 0.5, "lost_cost": 5}
PERISHING = {"shelf_life": 3, "scrap_cost": 4}
NETWORKS = {
    "backorders": lambda: store(),
    "partly kept": lambda: store(customer=PARTLY),
    "lifo": lambda: store(node=PERISHING, customer=LOST, issuing="lifo"),
    "lost, seen": lambda: store("demand_first", customer=LOST),
    "two retailers": lambda: pair(),
    "lost": lambda: store(customer=LOST),
    "lead time 0": lambda: store(supply={"lead_time": 0}),
    "seen": lambda: store("demand_first"),
    "partly kept, seen": lambda: store("demand_first", customer=PARTLY),
    "ship first": lambda: store("ship_first"),
    "price": lambda: store(customer={"price": 11}),
    "price, seen": lambda: store("demand_first", customer={"price": 11}),
    "operated": lambda: store(node={"operating_cost": 2}),
    "perishing, owed": lambda: store(node=PERISHING),
    "perishing, seen": lambda: store("demand_first", node=PERISHING, customer=LOST),
    "storage": lambda: store(node={"storage": 6, "scrap_cost": 4}),
    "capacity": lambda: store(node={"capacity": 3}),
    "yield": lambda: store(node={"yield_": 0.5}),
    "two retailers, seen": lambda: pair("demand_first"),
    "two retailers, ship first": lambda: pair("ship_first"),
    "two retailers, capacity": lambda: pair(capacity=4),
}
FAST = ("partly kept", "lifo", "two retailers, seen")


def random_states(network, rng, lanes):
    """States such as the end of a period leaves: nobody is owed what his source has, fresh stock has aged."""
    w = network.wiring
    start = initial_state(network, lanes)

    def whole(shape, most):
        return rng.integers(0, most + 1, shape).astype(float)

    on_hand = whole(start.on_hand.shape, 5)
    if network.shelf_life is not None:
        on_hand[-1] = 0
    keep = np.ones((w.n_arcs, 1)) if network.keep is None else np.asarray(network.keep)
    backlog = whole(start.backlog.shape, 4) * (keep > 0)
    backlog[list(w.outside_arcs)] = 0
    for node, out in enumerate(w.out_arcs):
        for e in out:
            backlog[e] *= on_hand[:, node].sum(0) == 0
    pipeline = whole(start.pipeline.shape, 4)
    for e, k in itertools.product(range(w.n_inner), range(w.slots)):
        pipeline[k, e] *= k < w.lead_time[e]
    components = whole(start.components.shape, 3)
    parts = {"on_hand": on_hand, "backlog": backlog, "pipeline": pipeline, "components": components}
    return start.replace(**{k: jnp.asarray(v) for k, v in parts.items()})


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST else slow) for n in NETWORKS])
def test_states_that_are_merged_have_one_future(name, rngs, x64):
    """The state with the same coordinates costs the same and leads to the same coordinates, whatever is ordered and
    asked for.
    """
    network = jax.tree.map(lambda x: x.astype(float), NETWORKS[name]())
    w, lanes = network.wiring, 4000
    state = random_states(network, rngs.numpy, lanes)
    orders = jnp.asarray(rngs.numpy.integers(0, 6, (w.n_inner, lanes)).astype(float))
    now, later = (jnp.asarray(rngs.numpy.integers(0, 7, (w.n_customers, lanes)).astype(float)) for _ in range(2))
    demand = {"demand_first": later}.get(w.timing, now)  # what is not seen yet

    def both(state):
        for merge in (True, False):
            layout = layout_of(network, merge=merge)
            x = layout.read(network, state, now)
            stands, asked = layout.write(network, x, demand)
            yield x, layout.read(network, stands, asked if w.timing == "demand_first" else now)
            for s, d in ((state, now), (stands, asked)):
                after, flows = transition(network, s, orders, Shock(demand=d))
                yield layout.read(network, after, later), total_cost(network, flows)

    out = jax.jit(lambda state: tuple(both(state)))(state)
    for k in (0, 3):
        (x, again), (after, cost), (after_too, cost_too) = out[k : k + 3]
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(after, after_too)
        np.testing.assert_allclose(cost, cost_too, rtol=1e-12)
    assert len(out[0][0]) <= len(out[3][0])


def test_what_is_merged_and_what_is_not():
    def names(network):
        return [c.name for c in layout_of(network).coordinates]

    assert names(store()) == ["net inventory of store", "on outside->store, due in 1"]
    assert names(store(customer=LOST)) == names(store(customer=PARTLY)) == names(store())
    assert names(store(customer={"price": 11}))[:2] == ["stock of store", "owed on store->customer"]
    assert "on outside->store, due in 0" in names(store(node={"operating_cost": 2}))
    assert names(store("demand_first", customer=PARTLY))[:3] == [
        "stock of store", "owed on store->customer", "demand on store->customer",
    ]  # fmt: skip


def test_a_box_counts_and_a_lookup_finds(monkeypatch):
    box = Box(np.array([-2, 0, 5]), np.array([3, 0, 9]))
    points = np.array(list(itertools.product(range(-2, 4), [0], range(5, 10)))).T
    cells = box.encode(points)
    assert box.cells == 30 and (cells == np.arange(30)).all()
    assert (box.decode(cells) == points).all()
    assert box.encode(np.array([[-9], [4], [99]])) == box.encode(np.array([[-2], [0], [9]]))
    known = np.array([7, 3, 29])
    asked = np.array([3, 4, 29, 7, -1, 31])
    expected = [1, -1, 2, 0, -1, -1]
    assert Lookup(box, known)(asked).tolist() == expected
    monkeypatch.setattr(Lookup, "TABLE", 0)
    assert Lookup(box, known)(asked).tolist() == expected
