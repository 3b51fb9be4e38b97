"""The literature's rules for one location against their definitions in plain Python, brute force and printed costs."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_lost_sales import LostSales, furthest, pmf

from meio_jax.errors import InputError, ParameterError, UnsuitableError
from meio_jax.instances.dual_sourcing import INSTANCES as DUAL
from meio_jax.instances.dual_sourcing import dual_sourcing
from meio_jax.instances.lost_sales import bijvank, zipkin
from meio_jax.kpis import total_cost
from meio_jax.observation import Observation
from meio_jax.policies import (
    BaseStock,
    CappedBaseStock,
    CappedDualIndex,
    DualIndex,
    Myopic,
    SingleIndex,
    TailoredBaseSurge,
    VectorBaseStock,
)
from meio_jax.policies.base import Policy
from meio_jax.policies.myopic import highest_position, myopic_table
from meio_jax.processes import Processes, normal, reports
from meio_jax.rollout import rollout
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.tuned_rules import METHODS, best_rule, myopic, standard_vector_base_stock
from meio_jax.topologies import multi_source, serial

TWO_SOURCES = (SingleIndex(), DualIndex(), CappedDualIndex(), TailoredBaseSurge())
METHOD = {m.name: m for m in METHODS}
LANES = 100
SHORT = np.array([0.3, 0.1, 0.4, 0.2])  # a demand for brute force


def two(quick=0, slow=3, **more):
    return multi_source(("slow", "quick"), lead_time=[slow, quick], integer=True, backlog_cost=9.0, **more)


def lost(lead, penalty=4.0, **more):
    numbers = {"holding_cost": 1.0, "lost_cost": penalty, "keep": 0.0, "timing": "order_first", "integer": True}
    return multi_source(1, lead_time=[lead], **numbers | more)


def picture(network, stock, pipeline, demand=None):
    """What is seen of net stocks ``[B]`` (negative: owed) and pipelines ``[L, I, B]`` in a system of one node."""
    w, stock = network.wiring, np.asarray(stock, np.float32)
    owed = np.zeros((w.n_arcs, stock.size), np.float32)
    owed[-1] = np.maximum(-stock, 0)
    demand = np.zeros((1, stock.size)) if demand is None else np.asarray(demand)[None]
    if w.timing == "demand_first":
        owed[-1] += demand[0]
    return Observation(
        on_hand=jnp.asarray(np.maximum(stock, 0)[None, None]),
        components=jnp.zeros((0, stock.size)),
        owed=jnp.asarray(owed),
        pipeline=jnp.asarray(pipeline, jnp.float32),
        demand=jnp.asarray(demand, jnp.float32),
        t=jnp.zeros((), jnp.int32),
    )


def seen_by(network, rng, high=6, empty=()):
    """Pictures of a system in `LANES` states: stock, backlog and pipelines of any size, arcs of ``empty`` excepted."""
    w = network.wiring
    pipeline = rng.integers(0, high, (max(1, *w.lead_time), w.n_inner, LANES))
    for e, lead in enumerate(w.lead_time):
        pipeline[lead:, e] = 0
    pipeline[:, list(empty)] = 0
    least = -high if network.keep is None else 0
    return picture(network, rng.integers(least, 2 * high, LANES), pipeline, rng.integers(0, high, LANES))


@functools.partial(jax.jit, static_argnames="policy")
def _orders(network, policy, theta, seen):
    return policy.apply(network, theta, None, seen, jax.random.key(0))[0].orders


def orders_of(network, policy, theta, seen):
    return np.asarray(_orders(network, policy, theta, seen))


def numbers(**values):
    return {k: jnp.full((1, 1), v, jnp.float32) for k, v in values.items()}


def near(value, known):
    """Within half a unit of the last digit that is known."""
    return abs(value - known.cost) <= known.precision * (1 + 1e-6)


@pytest.mark.parametrize(("quick", "slow", "timing"), [(0, 4, "order_first"), (1, 3, "demand_first")])
def test_two_source_rules_against_plain_python(quick, slow, timing, rngs):
    network = two(quick, slow, timing=timing, order_capacity=8.0)
    seen = seen_by(network, rngs.numpy)
    s, q = (network.wiring.arcs.index(name) for name in ("slow", "quick"))
    theta = numbers(expedited=5, regular=14, cap=3, quantity=2)
    got = {p: orders_of(network, p, {k: theta[k] for k in p.start(network)}, seen) for p in TWO_SOURCES}
    for lane in range(LANES):
        due = [float(seen.pipeline[k, e, lane]) for k in range(slow) for e in (s, q) if k <= quick]
        net = float(seen.on_hand[0, 0, lane] - seen.owed[-1, lane])
        x, position = net + sum(due), net + float(seen.pipeline[:, :, lane].sum())
        near_by = min(max(5 - x, 0), 8)
        at_all = min(max(5 - position, 0), 8)
        rest = max(14 - position - near_by, 0)
        expected = {
            SingleIndex(): (at_all, max(14 - position - at_all, 0)),
            DualIndex(): (near_by, rest),
            CappedDualIndex(): (near_by, min(rest, 3)),
            TailoredBaseSurge(): (near_by, 2),
        }
        for policy, orders in expected.items():
            assert (got[policy][q, lane], got[policy][s, lane]) == orders, (policy, lane)


@given(st.integers(-5, 25), st.integers(-5, 12), st.integers(0, 2**31))
@settings(max_examples=12)
def test_limits_of_the_two_source_rules(regular, expedited, seed):
    network = two(0, 4, order_capacity=8.0)
    s, q = (network.wiring.arcs.index(name) for name in ("slow", "quick"))
    rng = np.random.default_rng(seed)
    seen = seen_by(network, rng)
    far = jnp.zeros((2, 1)).at[s].set(1.0)
    # Without quick orders it is base-stock at the slow source, where all is on the way that is on order.
    never = numbers(expedited=-np.inf, regular=regular)
    base = orders_of(network, BaseStock(), {"level": jnp.full((1, 1), float(regular)), "share": far}, seen)
    for policy in (DualIndex(), SingleIndex()):
        got = orders_of(network, policy, never, seen)
        np.testing.assert_array_equal(got[q], 0)
        np.testing.assert_array_equal(np.minimum(got[s], 8), np.minimum(base[s], 8))
    both = numbers(expedited=expedited, regular=regular)
    uncapped = orders_of(network, CappedDualIndex(), both | numbers(cap=np.inf), seen)
    np.testing.assert_array_equal(uncapped, orders_of(network, DualIndex(), both, seen))
    # Without slow orders, now and before, it is base-stock at the quick source.
    seen = seen_by(network, rng, empty=(s,))
    got = orders_of(network, TailoredBaseSurge(), numbers(expedited=expedited, quantity=0), seen)
    level = {"level": jnp.full((1, 1), float(expedited)), "share": 1.0 - far}
    np.testing.assert_array_equal(got[s], 0)
    np.testing.assert_array_equal(got[q], np.minimum(orders_of(network, BaseStock(), level, seen)[q], 8))


@given(st.sampled_from([0, 3]), st.integers(-3, 40), st.integers(0, 9), st.integers(0, 2**31))
@settings(max_examples=12)
def test_vector_base_stock_between_its_relatives(lead, level, cap, seed):
    network = lost(lead, keep=1.0, backlog_cost=9.0)
    seen = seen_by(network, np.random.default_rng(seed))
    vector = np.full((lead + 1, 1), np.inf, np.float32)
    vector[0] = level
    first = orders_of(network, VectorBaseStock(), {"level": jnp.asarray(vector)}, seen)
    np.testing.assert_array_equal(first, orders_of(network, BaseStock(), numbers(level=level), seen))
    if lead:
        vector[-1] = cap
        last = orders_of(network, VectorBaseStock(), {"level": jnp.asarray(vector)}, seen)
        np.testing.assert_array_equal(last, orders_of(network, CappedBaseStock(), numbers(level=level, cap=cap), seen))
    # And all of it, as Zipkin (2008) writes it: x_0 is the stock after the receipt.
    levels = np.sort(np.random.default_rng(seed).integers(0, 25, lead + 1))[::-1]
    got = orders_of(network, VectorBaseStock(), {"level": jnp.asarray(levels[:, None], jnp.float32)}, seen)
    for lane in range(LANES):
        pipeline = np.asarray(seen.pipeline[:lead, 0, lane])
        x = [float(seen.on_hand[0, 0, lane] - seen.owed[-1, lane] + pipeline[:1].sum()), *pipeline[1:]]
        room = [levels[k] - sum(x[k:]) for k in range(max(lead, 1))] + [levels[lead]] * (lead > 0)
        assert got[0, lane] == max(min(room), 0)


def expected_cost(p, x, z, lead, penalty, then=None):
    """Of the period in which an order of today can first serve, by every path of demand; ``then(state)`` is added."""
    total = 0.0
    for path in itertools.product(range(p.size), repeat=lead):
        stock, pipeline = x[0], [*x[1:], z]
        for d, arriving in zip(path, pipeline, strict=True):
            stock = max(stock - d, 0) + arriving
        short = np.array([max(d - stock, 0) * penalty + max(stock - d, 0) for d in range(p.size)])
        total += np.prod(p[list(path)]) * (p @ short)
    if then is not None:
        total += sum(w * then((max(x[0] - d, 0) + [*x[1:], z][0], *[*x[1:], z][1:])) for d, w in enumerate(p))
    return total


def test_myopic_rules_are_best_for_their_periods():
    """Brute force over every path of demand: the least cost, and the first order that has it."""
    penalty, lead = 3.0, 2
    network = lost(lead, penalty)
    tables = {steps: myopic_table(network, SHORT, steps=steps) for steps in (1, 2)}
    most, largest = highest_position(network, SHORT), min(int(t["high"][1]) for _, t in tables.values())
    states = [x for x in itertools.product(range(most + 1), range(largest + 1)) if sum(x) <= most]

    @functools.cache
    def one(x, z):
        return expected_cost(SHORT, x, z, lead, penalty)

    @functools.cache
    def least(x):
        return min(one(x, z) for z in range(9))

    stock, coming = np.asarray(states).T
    together = picture(network, stock, np.stack([0 * coming, coming])[:, None])
    theta = Myopic().numbers(network, SHORT)
    played = orders_of(network, Myopic(), theta, together)[0]
    first, second = (orders_of(network, *tables[steps], together)[0] for steps in (1, 2))
    np.testing.assert_array_equal(played, first)
    for k, x in enumerate(states):
        costs = [one(x, z) for z in range(9)]
        assert costs[int(first[k])] <= min(costs) + 1e-12, x
        costs = [expected_cost(SHORT, x, z, lead, penalty, least) for z in range(9)]
        assert costs[int(second[k])] <= min(costs) + 1e-12, x


def test_myopic_looks_beyond_a_demand_that_is_seen():
    """With demand_first the same pipeline has one demand less before it, so a lead time more without it."""
    late, early = lost(3), lost(2, timing="demand_first")
    theta = Myopic().numbers(late, SHORT)
    stock, coming, demand = np.random.default_rng(3).integers(0, 5, (3, 40))
    seen = picture(early, stock, np.stack([0 * coming, coming])[:, None], demand)
    got = orders_of(early, Myopic(), Myopic().numbers(early, SHORT), seen)[0]
    # After the demand: (stock - demand)+ and what comes tomorrow, in a system that orders before demand.
    other, left = lost(1), np.maximum(stock - demand, 0)
    after = picture(other, left + coming, np.zeros((1, 1, 40)))
    expected = orders_of(other, Myopic(), Myopic().numbers(other, SHORT), after)[0]
    np.testing.assert_array_equal(got, expected)
    assert theta["demand"].shape[0] > Myopic().numbers(early, SHORT)["demand"].shape[0]


@pytest.mark.parametrize("policy", [*TWO_SOURCES, VectorBaseStock(), Myopic()], ids=lambda p: type(p).__name__)
def test_protocol(policy):
    """What the shared suite asks of every policy, on the networks that these are for."""
    network = two(0, 4, order_capacity=8.0) if policy in TWO_SOURCES else lost(3)
    assert isinstance(policy, Policy) and policy.theta_has_lanes and hash(policy) == hash(type(policy)())
    theta = policy.init(jax.random.key(0), network)
    assert all(leaf.shape[-1] == 1 for leaf in jax.tree.leaves(theta))
    assert set(policy.whole) & set(theta) or policy == Myopic()
    start = policy.start(network, jnp.full((1, 1), 4.0), 2.0)
    seen = seen_by(network, np.random.default_rng(0))
    orders = orders_of(network, policy, start, seen)
    assert orders.shape == (network.wiring.n_inner, LANES) and np.isfinite(orders).all() and (orders >= 0).all()
    assert orders.sum() > 0 and (orders % 1 == 0).all()
    for name, leaf in start.items():
        bad = orders_of(network, policy, start | {name: jnp.full_like(leaf, jnp.nan)}, seen)
        assert np.isnan(bad).any(), f"{name} = NaN was swallowed"
    lost_stock = seen.replace(on_hand=jnp.full_like(seen.on_hand, jnp.nan))
    assert np.isnan(orders_of(network, policy, start, lost_stock)).any()
    # Numbers by lane are the same as each alone.
    wide = {k: jnp.repeat(v, LANES, -1) for k, v in start.items()}
    np.testing.assert_array_equal(orders_of(network, policy, wide, seen), orders)


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="'store' must have two sources"):
        DualIndex().start(lost(2))
    with pytest.raises(InputError, match="both take 3 periods"):
        DualIndex().start(two(3, 3))
    with pytest.raises(InputError, match="one node with one source"):
        VectorBaseStock().start(serial(2))
    with pytest.raises(InputError, match="2 rows; a lead time of 3 needs 4"):
        orders_of(
            lost(3),
            VectorBaseStock(),
            numbers(level=5) | {"level": jnp.ones((2, 1))},
            seen_by(lost(3), np.random.default_rng(0)),
        )
    with pytest.raises(InputError, match="orders that travel"):
        VectorBaseStock().start(lost(2, order_delay=1))
    with pytest.raises(InputError, match="unmet demand is kept"):
        Myopic().start(lost(2, keep=1.0))
    with pytest.raises(InputError, match="integer=True"):
        Myopic().start(lost(2, integer=False))
    with pytest.raises(ParameterError, match="must be positive"):
        Myopic().start(lost(2, penalty=0.0))
    with pytest.raises(InputError, match="1 or 2 steps"):
        myopic_table(lost(2), SHORT, steps=3)
    assert "two sources" in METHOD["best_dual_index"].unfit(zipkin("poisson", 1, 4).problem)
    assert "best_dual_index" in METHOD["best_base_stock"].unfit(dual_sourcing(2, 105).problem)
    assert "best_s_S" in METHOD["best_base_stock"].unfit(bijvank().problem)
    assert "no order has a fixed cost" in METHOD["best_s_S"].unfit(zipkin("poisson", 1, 4).problem)
    with pytest.raises(UnsuitableError, match="best_base_stock takes one"):
        METHOD["best_dual_index"](zipkin("poisson", 1, 4).problem)


@pytest.mark.parametrize(
    ("instance", "row"), [(zipkin("poisson", 1, 4), 2), (zipkin("poisson", 1, 4), 4), (dual_sourcing(2, 105), 1)]
)
def test_costs_of_small_cases_are_those_of_the_tables(instance, row):
    """By policy evaluation on the simulator's own period; the whole tables are in `test_instances_single`."""
    known = instance.known[row]
    assert near(policy_cost(instance.problem, *known.rule()).cost, known), known.what


def test_myopic_costs_are_printed_ones_by_a_plain_program():
    """Zipkin (2008), Table 3: p = 4, Poisson, L = 1 .. 4; the chain is written out in NumPy."""
    p = pmf("poisson")
    for lead in (1, 2, 3, 4):
        for known, steps in zip(zipkin("poisson", lead, 4).known[3:5], (1, 2), strict=True):
            _, theta = myopic_table(lost(lead), p, steps=steps)
            table = np.asarray(theta["orders"]).reshape(np.asarray(theta["high"]) + 1)
            system = LostSales(p, lead, 4.0, most=furthest(p, lead, 4.0)[0], largest=int(table.max()))
            low, high = system.bounds(table[tuple(system.x)], width=1e-6)
            assert near((low + high) / 2, known), (known.what, lead)


def test_simulated_cost_lies_in_its_interval():
    instance = dual_sourcing(2, 110)
    known = instance.known[1]
    played = rollout(
        instance.problem.network, *known.rule(), instance.problem.processes, jax.random.key(5), periods=1100, lanes=256,
        warmup=100, measure=total_cost,
    )  # fmt: skip
    costs = np.asarray(played.totals, float) / 1000
    assert abs(costs.mean() - known.cost) < 5 * costs.std() / 16


def test_a_rule_is_tuned_by_simulation_with_late_reports_and_after_a_warm_up():
    network = serial(1, lead_time=1, holding_cost=1.0, backlog_cost=9.0)
    late = Problem(network, Processes(demand=normal(5.0, 1.0), reporting=reports(1)))
    assert best_rule(late, BaseStock(), budget=17).claim == "approximate"
    # Nothing is in stock at first: the first period owes its demand of 5 at 9 each. Later ones cost 2 to 3.
    demand = Processes(demand=normal(5.0, 1.0))
    cold, warm = (
        best_rule(Problem(network, demand, criterion="total", periods=20, warmup=k), BaseStock(), budget=17).cost
        for k in (0, 20)
    )
    assert cold > warm + 20.0


def test_tuning_finds_the_best_levels_of_the_table():
    instance = zipkin("poisson", 1, 4)
    best = best_rule(instance.problem, BaseStock())
    assert near(best.cost, instance.known[1]) and best.claim == "exact" and best.numbers == {"level": 12.0}


@pytest.mark.slow
@pytest.mark.parametrize("instance", DUAL, ids=lambda i: i.id)
def test_tuning_finds_the_best_rules_of_two_sources(instance):
    names = ("best_capped_dual_index", "best_dual_index", "best_single_index", "best_tailored_base_surge")
    for name, known in zip(names, instance.known[1:5], strict=True):
        assert near(METHOD[name](instance.problem).cost, known), name


@pytest.mark.slow
def test_tuning_with_fixed_costs_and_vectors():
    instance = bijvank()
    for name, known in zip(("best_s_S", "best_s_nQ", "best_modified_s_S_q"), instance.known[1:], strict=True):
        assert near(METHOD[name](instance.problem).cost, known), name
    instance = zipkin("poisson", 2, 4)
    vector = METHOD["vector_base_stock"](instance.problem).cost
    assert instance.known[0].cost - 1e-5 <= vector <= instance.known[2].cost + 1e-5
    assert near(METHOD["best_capped_base_stock"](instance.problem).cost, instance.known[2])
    assert near(myopic(instance.problem).cost, instance.known[3])
    assert near(myopic(instance.problem, steps=2).cost, instance.known[4])


@pytest.mark.slow
def test_standard_vector_base_stock_is_the_printed_one():
    instance = zipkin("poisson", 4, 4)
    found = standard_vector_base_stock(instance.problem)
    assert near(found.cost, instance.known[5])
    np.testing.assert_array_equal(found.theta["level"], instance.known[5].rule()[1]["level"])


@pytest.mark.slow
def test_simulated_costs_lie_in_their_intervals():
    """Every rule of every small table, played."""
    for instance in (*DUAL, *(zipkin("poisson", lead, 4) for lead in (1, 2, 3, 4)), bijvank()):
        for known in instance.known:
            if known.rule is None:
                continue
            played = rollout(
                instance.problem.network, *known.rule(), instance.problem.processes, jax.random.key(11), periods=1200,
                lanes=512, warmup=200, measure=total_cost,
            )  # fmt: skip
            costs = np.asarray(played.totals, float) / 1000
            apart = abs(costs.mean() - known.cost)
            assert apart < 5 * costs.std() / np.sqrt(512) + known.precision, (instance.id, known.what)
