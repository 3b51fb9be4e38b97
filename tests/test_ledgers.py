"""What must hold in every network and every period, whatever the rules: books that balance, symmetries, loud NaN.

A handful of compiled plans is shared by all tests; hypothesis draws the numbers.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_systems import FEATURES, Plan, System, draw, play, random_plan

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network, scenario_of
from meio_jax.policies import Decision
from meio_jax.processes import Process, Processes, normal, reports
from meio_jax.rollout import rollout
from meio_jax.struct import pytree

LANES, PERIODS = 16, 8
COMMON = frozenset(FEATURES)
#: (features, timing, allocation, issuing, integer): each is one compiled program.
KINDS = [
    (frozenset(), "order_first", "proportional", "fifo", False),
    (COMMON, "order_first", "proportional", "fifo", False),
    (COMMON - {"allocation", "lead_leaf", "order_delay"}, "ship_first", "priority", "lifo", False),
    (COMMON - {"make_to_order", "capacity"}, "demand_first", "priority", "lifo", True),
    (COMMON - {"allocation", "lead_shock"}, "ship_first", "proportional", "fifo", True),
    (COMMON - {"allocation", "lead_shock", "yield_shock"}, "order_first", "priority", "fifo", False),
]


@cache
def plan(kind: int) -> Plan:
    features, timing, allocation, issuing, integer = KINDS[kind]
    for seed in range(1_000):  # the first random wiring that has everything
        p = random_plan(
            np.random.default_rng([7, kind, seed]),
            features=features, timing=timing, allocation=allocation, issuing=issuing, integer=integer,
        )  # fmt: skip
        inputs = {(a[2], a[3]) for a in p.arcs if a[2] != CUSTOMER}
        sources = [(a[2], a[3]) for a in p.arcs if a[2] != CUSTOMER]
        life = p.longest_life > 1 or "shelf_life" not in features
        if 4 <= len(p.nodes) <= 6 and len(inputs) > len(p.nodes) and len(sources) > len(inputs) and life:
            if "make_to_order" not in features or any(p.make_to_order):
                return p
    raise AssertionError("no such wiring")


def drawn(kind: int, seed: int) -> System:
    return draw(plan(kind), np.random.default_rng(seed), LANES, PERIODS)


systems = st.builds(drawn, st.integers(0, len(KINDS) - 1), st.integers(0, 2**32 - 1))
few = settings(max_examples=25)


def close(got, want, scale=200.0):
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-6 * scale)


@given(systems)
@few
def test_books_balance(system):
    w, net = system.network.wiring, system.network
    start, states, f = play(system)
    before = jax.tree.map(lambda first, later: np.concatenate([first[None], later[:-1]]), start, states)

    def zero(rows):
        return np.zeros((PERIODS, rows, LANES))

    # Nodes: stock, and inputs that wait.
    out, used, arrived = zero(w.n_nodes), zero(w.n_inputs), zero(w.n_inputs)
    units = np.ones((w.n_inner, 1)) if net.units is None else np.asarray(net.units)
    for e, n in enumerate(w.src):
        if n >= 0:
            out[:, n] += f.shipped[:, e]
    close(f.on_hand, before.on_hand.sum(1) + f.built - out - f.expired - f.overflow)
    close(f.on_hand, states.on_hand.sum(1))
    for e, m in enumerate(w.input_of_arc):
        arrived[:, m] += f.received[:, e]
        used[:, m] = f.started[:, w.node_of_input[m]] * units[e]
    if net.holds_components:
        close(f.components, before.components + arrived - used)
    else:
        assert f.components.shape[1] == 0
        close(arrived, used)
    assert (f.built <= f.started * (1 + 1e-6)).all()
    if net.capacity is not None:
        assert (f.built <= np.asarray(net.capacity) * (1 + 1e-5)).all()
    if net.storage is not None:
        assert (f.on_hand <= np.asarray(net.storage) + 1e-4).all()

    # Arcs: what is owed, what is on its way.
    inner = slice(0, w.n_inner)
    new = f.ordered  # what reaches the source of each arc
    assert (f.arrived is None) == (f.in_mail is None) == (states.mail is None) == (not any(w.order_delay))
    if f.arrived is not None:
        new = np.concatenate([f.arrived, f.ordered[:, w.n_inner :]], 1)
        close(f.in_mail, before.mail.sum(1) + f.ordered[:, inner] - f.arrived)
        close(f.arrived.sum(0), f.ordered[:, inner].sum(0) + start.mail.sum(0) - f.in_mail[-1])
        close(f.in_mail, states.mail.sum(1))
        for e, delay in enumerate(w.order_delay):  # each order reaches its source when its time has come
            first = start.mail[:delay, e]
            close(f.arrived[:, e], np.concatenate([first, f.ordered[:, e]])[:PERIODS])
    close(f.backlog, before.backlog + new - f.shipped - f.lost)
    close(f.in_transit, before.pipeline.sum(1) + f.shipped[:, inner] - f.received)
    total = f.shipped[:, inner].sum(0) + start.pipeline.sum(0) - f.in_transit[-1]
    close(f.received.sum(0), total)
    for name in ("backlog", "components"):
        np.testing.assert_array_equal(getattr(f, name), getattr(states, name))

    # Nothing is negative, nothing leaves that is not there or not wanted.
    for name, x in (*vars(f).items(), *vars(states).items()):
        assert x is None or (x >= 0).all(), name
    assert (out <= (before.on_hand.sum(1) + f.built) * (1 + 1e-5) + 1e-4).all()
    assert (f.shipped <= (before.backlog + new) * (1 + 1e-5) + 1e-4).all()
    assert (f.filled <= new).all()
    assert (f.filled <= f.shipped + 1e-4).all()
    assert (f.filled + f.lost <= new + 1e-4).all()
    keep = np.ones((w.n_arcs, 1)) if net.keep is None else np.asarray(net.keep)
    assert (f.lost[:, np.broadcast_to(keep == 1, (w.n_arcs, LANES))] == 0).all()
    never_kept = np.broadcast_to(keep == 0, (w.n_arcs, LANES))
    assert (f.backlog[:, never_kept] <= 1e-4).all()
    if w.integer:
        for name, x in vars(f).items():
            assert x is None or (x == np.floor(x)).all(), name


@given(systems, st.integers(0, 2**32 - 1))
@few
def test_lanes_do_not_meet(system, seed):
    """Permuted lanes give permuted results, bit by bit."""
    order = np.random.default_rng(seed).permutation(LANES)

    def permuted(tree):
        tree = jax.tree.map(np.asarray, tree)
        return jax.tree.map(lambda x: x[..., order] if np.ndim(x) and x.shape[-1] == LANES else x, tree)

    plain, other = play(system), play(permuted(system))
    for a, b in zip(jax.tree.leaves(permuted(plain)), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@given(systems)
@few
def test_units_do_not_matter(system):
    """All quantities times 4 give all flows times 4, bit by bit (not where quantities are whole)."""
    if system.network.wiring.integer:
        return
    quantities = (
        "initial_on_hand", "initial_pipeline", "initial_orders", "lot_size", "minimum_order", "order_capacity",
        "capacity", "storage",
    )  # fmt: skip
    bigger = {k: 4 * np.asarray(v) for k in quantities if (v := getattr(system.network, k)) is not None}
    scaled = System(
        system.network.replace(**bigger),
        4 * system.orders,
        system.shocks.replace(demand=4 * np.asarray(system.shocks.demand)),
        None if system.allocation is None else 4 * system.allocation,
    )
    (_, states, flows), (_, states4, flows4) = play(system), play(scaled)
    for name, x in vars(flows).items():
        if x is not None:
            np.testing.assert_array_equal(4 * x, getattr(flows4, name), err_msg=name)
    if states.goodwill is not None:
        np.testing.assert_array_equal(states.goodwill, states4.goodwill)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_declaration_order_does_not_matter(kind, rngs):
    """The same nodes and arcs declared in another order, compared by name. An arc keeps its rank at its node."""
    rng = rngs.numpy
    p = plan(kind)
    system = drawn(kind, 3)
    w, net = system.network.wiring, system.network
    renamed = {n: f"site {k}" for n, k in zip(p.nodes, rng.permutation(len(p.nodes)), strict=True)}
    renamed |= {OUTSIDE: OUTSIDE, CUSTOMER: CUSTOMER}
    shuffled = [p.arcs[k] for k in rng.permutation(len(p.arcs))]
    ranks = {src: iter([a for a in (shuffled if src == OUTSIDE else p.arcs) if a[1] == src]) for src in renamed}
    arcs = [next(ranks[a[1]]) for a in shuffled]
    nodes = sorted(renamed[n] for n in p.nodes)

    def numbers(rows, names, name):
        row = names.index(name)
        return {k: np.asarray(getattr(net, k)[row]) for k in rows if getattr(net, k) is not None}

    old = {new: n for n, new in renamed.items()}
    node_rows = ("initial_on_hand", "capacity", "storage", "yield_", "shelf_life")
    inner_rows = ("units", "lot_size", "minimum_order", "order_capacity", "keep")
    made_nodes = [
        Node(n, make_to_order=p.make_to_order[int(old[n][1:])], **numbers(node_rows, w.nodes, old[n])) for n in nodes
    ]
    made_arcs = []
    for name, src, dst, component, lead, low, high, delay in arcs:
        given_numbers = numbers(inner_rows if dst != CUSTOMER else ("keep",), w.arcs, name)
        if dst == CUSTOMER and net.erosion is not None:
            row = w.arcs.index(name) - w.n_inner
            given_numbers |= {k: np.asarray(getattr(net, k)[row]) for k in ("erosion", "restoration")}
        made_arcs.append(
            Arc(
                renamed[src], renamed[dst], name, component,
                lead_time=lead, min_lead_time=low, max_lead_time=high, order_delay=delay, **given_numbers,
            )
        )  # fmt: skip
    other = build_network(
        made_nodes, made_arcs, timing=w.timing, allocation=w.allocation, issuing=w.issuing, integer=w.integer
    )
    v = other.wiring
    assert (v.nodes, v.arcs) != (w.nodes, w.arcs)
    arc = [w.arcs.index(name) for name in v.arcs]
    inner, customer = arc[: w.n_inner], [a - w.n_inner for a in arc[w.n_inner :]]
    node = [w.nodes.index(old[n]) for n in v.nodes]
    inputs = [w.inputs.index((w.nodes.index(old[v.nodes[n]]), c)) for n, c in v.inputs]
    other = other.replace(
        initial_pipeline=np.asarray(net.initial_pipeline)[:, inner],
        lead_time=None if net.lead_time is None else np.asarray(net.lead_time)[inner],
        initial_orders=None if net.initial_orders is None else np.asarray(net.initial_orders)[:, inner],
    )
    rows = {"demand": customer, "lead_time": inner, "available": inner, "yield_": node}
    shocks = Shock(**{
        k: None if (x := getattr(system.shocks, k)) is None else np.asarray(x)[:, index] for k, index in rows.items()
    })  # fmt: skip
    allocation = None if system.allocation is None else system.allocation[:, arc]
    _, _, here = play(system)
    _, _, there = play(System(other, system.orders[:, inner], shocks, allocation))
    index = {
        **dict.fromkeys(("ordered", "shipped", "filled", "lost", "backlog"), arc),
        **dict.fromkeys(("received", "in_transit", "arrived", "in_mail"), inner),
        "components": inputs if net.holds_components else [],
    }
    for name, x in vars(here).items():
        if x is None:
            continue
        # Sums run in another order: not bitwise. Over several periods a rounding error may decide a lot: one period.
        periods = PERIODS if w.integer else 1
        np.testing.assert_allclose(
            getattr(there, name)[:periods], x[:periods][:, index.get(name, node)],
            rtol=0 if w.integer else 1e-5, atol=0 if w.integer else 1e-4, err_msg=name,
        )  # fmt: skip


def first_period(system: System):
    """The state after it, and its flows; by the program that all tests of this plan share."""
    _, states, flows = play(system)
    return jax.tree.map(lambda x: x[0], (states, flows))


def poisoned(x, where) -> np.ndarray:
    x = np.array(x)
    x[where] = np.nan
    return x


def loud(kind: int, after_state, flows, lane: int) -> None:
    """NaN is in what stands, moves or waits in the mail, in that lane and in no other."""
    stands = [x for x in (flows.on_hand, flows.backlog, flows.shipped, flows.in_mail) if x is not None]
    seen = sum(np.isnan(np.asarray(x)).any(0) for x in stands) > 0
    assert seen[lane], f"kind {kind}: NaN vanished"
    others = np.arange(LANES) != lane
    for x in jax.tree.leaves((after_state, flows)):
        assert x.ndim == 0 or not np.isnan(np.asarray(x)[..., others]).any()


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_nan_orders_and_demand_surface(kind):
    system = drawn(kind, 5)
    w = system.network.wiring
    for e in range(w.n_inner):
        after, flows = first_period(system._replace(orders=poisoned(system.orders, (0, e, 3))))
        assert np.isnan(flows.ordered[e, 3]), w.arcs[e]
        loud(kind, after, flows, 3)
    for c in range(w.n_customers):
        shocks = system.shocks.replace(demand=poisoned(system.shocks.demand, (0, c, 4)))
        loud(kind, *first_period(system._replace(shocks=shocks)), 4)


LEAVES = [
    "initial_on_hand", "initial_pipeline", "initial_orders", "units", "keep", "yield_", "storage", "order_capacity",
    "capacity", "erosion", "restoration",
]  # fmt: skip


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_nan_in_a_leaf_surfaces(leaf):
    """Every entry of a lane is poisoned: within the horizon it shows in stock, backlog or shipments."""
    system = drawn(5, 6)  # nothing in its shocks overrides a leaf
    ill = {leaf: poisoned(getattr(system.network, leaf), (..., 2))}
    _, _, flows = play(system._replace(network=system.network.replace(**ill)))
    seen = sum(np.isnan(f).any((0, 1)) for f in (flows.on_hand, flows.backlog, flows.shipped)) > 0
    assert seen[2], f"NaN in {leaf} vanished"
    assert seen.sum() == 1


# What playing carries along: a policy's memory and limits, a process's memory, the keys of both.


@dataclasses.dataclass(frozen=True)
class Diary:
    """Orders as many units as periods went by, lets at most theta leave, and notes a random number."""

    theta_has_lanes = False

    def memory(self, network, lanes):
        return jnp.zeros((network.wiring.n_inner, lanes))

    def apply(self, network, theta, memory, seen, key):
        note = jax.random.normal(key, memory.shape)
        limit = jnp.full(seen.owed.shape, theta)
        return Decision(memory + 0.001 * note, limit), memory + 1.0


@pytree
class Counted(Process):
    """Demand counts the periods since the process began, and says it cannot know them but by remembering."""

    role: ClassVar[str] = "demand"
    first: jax.Array

    def init(self, key, lanes):
        return jnp.broadcast_to(self.first, (1, lanes))

    def sample(self, key, carry, t, lanes):
        return carry, carry + 1.0


@pytree
class Clock(Process):
    """One more than a multiple of the period that it is, without a memory."""

    role: ClassVar[str] = "any"
    scale: jax.Array
    memoryless = True

    def init(self, key, lanes):
        return ()

    def sample(self, key, carry, t, lanes):
        return jnp.broadcast_to(1.0 + self.scale * t, (1, lanes)), carry


def counter():
    nodes = [Node("shop", initial_on_hand=1e4)]
    return build_network(nodes, [Arc(OUTSIDE, "shop", lot_size=1.0), Arc("shop", CUSTOMER)])


@pytest.mark.parametrize("late", [False, True])
def test_policies_and_processes_remember(late):
    """Over 40 periods and in a run that goes on, also beside a process that needs no memory."""
    source = Processes(demand=Counted(jnp.full((1, 1), 5.0)), reporting=reports(2) if late else None)
    here, key = {"lanes": 2, "keep_trajectory": True, "oldest": 2}, jax.random.key(3)
    long = rollout(counter(), Diary(), 1e3, source, key, periods=40, **here)
    onward = rollout(counter(), Diary(), 1e3, source, key, periods=40, carry=long.carry, **here)
    days = np.arange(80)
    runs = [long.trajectory, onward.trajectory]
    flows = jax.tree.map(lambda *x: np.concatenate(x), *(r.flows for r in runs))
    np.testing.assert_array_equal(flows.ordered[:, 0], np.stack([days, days], 1))
    np.testing.assert_array_equal(flows.ordered[:, 1], 5 + np.stack([days, days], 1))
    if late:  # what was placed counts, in whole lots
        placed = np.concatenate([r.seen.unreported for r in runs])[:, 0]
        np.testing.assert_array_equal(placed[2:], (flows.ordered[1:-1] + flows.ordered[:-2])[:, 0])
        old = np.concatenate([r.seen.on_hand for r in runs])[:, 0, 0]
        np.testing.assert_array_equal(old[3:], flows.on_hand[:-3, 0])


def test_the_clock_goes_on_beside_a_process_that_remembers():
    here, key, one = {"lanes": 2, "keep_trajectory": True}, jax.random.key(3), jnp.ones((1, 1))
    for demand in (Counted(one), Clock(one)):
        source = Processes(demand=demand, yield_=Clock(0 * one))
        first = rollout(counter(), Diary(), 1e3, source, key, periods=40, **here)
        then = rollout(counter(), Diary(), 1e3, source, key, periods=40, carry=first.carry, **here)
        asked = np.concatenate([x.trajectory.shock.demand[:, 0, 0] for x in (first, then)])
        np.testing.assert_array_equal(asked, 1 + np.arange(80))


def test_a_policy_holds_stock_back():
    scenario = scenario_of(np.full((4, 1, 1), 10.0, np.float32))
    played = rollout(counter(), Diary(), 3.0, scenario, jax.random.key(0), keep_trajectory=True)
    assert played.trajectory.flows.shipped[:, 1, 0].tolist() == [3.0] * 4


def test_the_policy_and_the_world_draw_from_keys_of_their_own(key_reuse):
    """The checker refuses a key that is used twice; and no two periods are alike."""
    source = Processes(demand=normal(50.0, 5.0))
    played = rollout(counter(), Diary(), 1e3, source, jax.random.key(8), periods=64, lanes=64, keep_trajectory=True)
    demand = np.asarray(played.trajectory.shock.demand[:, 0])
    note = np.asarray(played.trajectory.orders[:, 0]) - np.arange(64)[:, None]
    assert len(np.unique(demand)) > 4000
    assert len(np.unique(note)) > 60 * 64 / 2  # of small differences of floats
    bound = 4 / 64  # 4 / sqrt(n)
    for x, y in ((demand, note), (demand[1:], demand[:-1]), (demand[:, 1:], demand[:, :-1])):
        assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < bound


def test_blocks_of_lanes_have_their_own_demand():
    source = Processes(demand=normal(50.0, 5.0))
    totals = rollout(counter(), Diary(), 1e3, source, jax.random.key(8), periods=3, lanes=6, block=2).totals
    assert len(np.unique(totals.demand)) == 6  # of lanes that are alike in all else


def test_every_state_and_flow_field_is_in_the_books():
    _, states, flows = play(drawn(0, 1))
    assert {f.name for f in dataclasses.fields(flows)} == {
        "ordered", "shipped", "filled", "lost", "backlog", "received", "in_transit", "started", "built", "expired",
        "overflow", "on_hand", "components", "arrived", "in_mail",
    }  # fmt: skip
    assert {f.name for f in dataclasses.fields(states)} == {
        "on_hand", "components", "backlog", "pipeline", "demand", "goodwill", "t", "mail",
    }  # fmt: skip
