"""Instances of one location: event orders step by step, laws of demand, and every known value by a program of its own.

The plain programs (`plain_lost_sales`, `plain_mdp`) share nothing with the package. What they and the package compute
must both be what the tables say, to the last digit that stands there.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from plain_lost_sales import LostSales, furthest, pmf
from plain_mdp import Chain, dual_sourcing, perishable, rounded_gamma

from meio_jax.errors import InputError
from meio_jax.instances import dual_sourcing as dual
from meio_jax.instances import lost_sales, perishables
from meio_jax.kpis import total_cost
from meio_jax.policies.reorder import ReorderLots, ReorderUpTo
from meio_jax.processes import draw
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state, transition
from meio_jax.solvers.dynamic_program import value_iteration
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.process_laws import laws_of

ZIPKIN = [i for i in lost_sales.INSTANCES if i.family == "zipkin"]
EVERY = (*lost_sales.INSTANCES, *dual.INSTANCES, *perishables.INSTANCES)
LANES = 300


def near(value, known):
    """Within half a unit of the last digit that is known."""
    return abs(value - known.cost) <= known.precision * (1 + 1e-6)


def zipkin_case(instance):
    """Demand, lead time and penalty of an id such as zipkin/poisson-L4-p39."""
    demand, lead, penalty = instance.id.split("/")[1].split("-")
    return demand, int(lead[1:]), float(penalty[1:])


def test_the_families_are_whole():
    assert len({i.id for i in EVERY}) == len(EVERY) == 32 + 1 + 6 + 32
    expected = {f"zipkin/{d}-L{t}-p{p}" for d in ("poisson", "geometric") for t in (1, 2, 3, 4) for p in (4, 9, 19, 39)}
    assert {i.id for i in ZIPKIN} == expected
    assert {i.id for i in dual.INSTANCES} == {f"dual_sourcing/l{t}-ce{c}" for t in (2, 3, 4) for c in (105, 110)}
    for instance in EVERY:
        assert instance.known_optimum is not None and instance.timing == "order_first"
        assert "https://doi.org/" in instance.source or instance.family == "bijvank"
        for known in instance.known:
            assert known.method is not None or known.rule is not None or known.status == "T"
            assert known.precision > 0 and known.status in ("V", "OWN", "T")
            # A rule cannot cost less than the optimum; what was simulated for print may seem to.
            assert known.cost >= instance.known_optimum - known.precision - instance.known[0].precision
    with pytest.raises(InputError, match="'normal' must be one of"):
        lost_sales.zipkin("normal", 1, 4)
    with pytest.raises(InputError, match="must be at least 1"):
        dual.dual_sourcing(0, 105)
    assert lost_sales.zipkin("poisson", 6, 4).known == ()


@pytest.mark.parametrize(
    "instance", [ZIPKIN[0], ZIPKIN[16], dual.INSTANCES[0], perishables.INSTANCES[0]], ids=lambda i: i.id
)
def test_what_the_simulator_draws_has_the_law_that_is_stated(instance, rngs):
    problem = instance.problem
    (law,) = problem.laws
    (drawn,), why = laws_of(problem.processes.demand, whole=True)
    assert why == ""
    first, p = law.lattice(1.0)
    other, q = drawn.lattice(1.0)
    support = np.arange(80)
    tables = [np.interp(support, f + np.arange(v.size), v, left=0, right=0) for f, v in ((first, p), (other, q))]
    np.testing.assert_allclose(*tables, atol=1e-9)
    if instance.family == "zipkin" and "geometric" in instance.id:
        np.testing.assert_allclose(tables[0], (1 / 6) * (5 / 6) ** support, rtol=1e-9)
    if instance.family == "de_moor":
        np.testing.assert_allclose(tables[0][:41], rounded_gamma(), atol=1e-12)
    # And what is drawn, by a chi-squared test over the values that are frequent enough.
    demand = np.asarray(draw(problem.processes, rngs.key, 100, 500).shocks.demand).ravel()
    often = tables[0] * demand.size > 20
    counts = np.bincount(demand.astype(int), minlength=80)[:80][often]
    expected = tables[0][often] * demand.size
    chi = ((counts - expected) ** 2 / expected).sum()
    assert chi < often.sum() + 5 * np.sqrt(2 * often.sum())


def one_period(network, stock, pipeline, orders, demand):
    """Play a period from stocks by age ``[A, B]``, negative where owed, and pipelines ``[L, I, B]``: state and cost."""
    state = initial_state(network, stock.shape[-1])
    backlog = state.backlog.at[-1].set(jnp.maximum(-stock.sum(0), 0.0))
    state = state.replace(on_hand=jnp.maximum(stock, 0.0)[:, None], pipeline=pipeline, backlog=backlog)
    after, flows = transition(network, state, orders, Shock(demand=demand[None]))
    return after, np.asarray(total_cost(network, flows))


def test_a_period_of_dual_sourcing():
    """The worked step: state (8, 3, 1), regular 2, expedited 1, demand 4 gives (8, 1, 2) at a cost of 330."""
    network = dual.dual_sourcing(3, 105).problem.network
    regular, quick = (network.wiring.arcs.index(name) for name in ("regular", "expedited"))
    # State 8 is after today's receipt: 6 in stock and 2 due now.
    pipeline = jnp.zeros((3, 2, 1)).at[:, regular, 0].set(jnp.asarray([2.0, 3.0, 1.0]))
    orders = jnp.zeros((2, 1)).at[regular].set(2.0).at[quick].set(1.0)
    after, cost = one_period(network, jnp.full((1, 1), 6.0), pipeline, orders, jnp.full(1, 4.0))
    coming = np.asarray(after.pipeline[:, regular, 0])
    assert (float(after.on_hand[0, 0, 0]) + coming[0], *coming[1:]) == (8, 1, 2)
    assert cost[0] == 330


def test_periods_of_dual_sourcing_against_the_plain_program(rngs):
    network = dual.dual_sourcing(4, 110).problem.network
    regular, quick = (network.wiring.arcs.index(name) for name in ("regular", "expedited"))
    step, _, _ = dual_sourcing(4, 110.0)
    stock, q, e, d = (rngs.numpy.integers(*r, LANES) for r in ((-6, 9), (0, 9), (0, 9), (0, 5)))
    coming = rngs.numpy.integers(0, 5, (4, LANES))
    pipeline = jnp.zeros((4, 2, LANES)).at[:, regular].set(coming.astype(np.float32))
    orders = jnp.zeros((2, LANES)).at[regular].set(q.astype(np.float32)).at[quick].set(e.astype(np.float32))
    start = jnp.asarray(stock[None], jnp.float32)
    after, cost = one_period(network, start, pipeline, orders, jnp.asarray(d, jnp.float32))
    net = np.asarray(after.on_hand[0, 0] - after.backlog[-1])
    for k in range(LANES):
        state = (stock[k] + coming[0, k], *coming[1:, k])
        expected, paid = step(tuple(map(int, state)), (int(e[k]), int(q[k])), int(d[k]))
        slots = np.asarray(after.pipeline[:, regular, k])
        assert (net[k] + slots[0], *slots[1:]) == expected
        assert cost[k] == pytest.approx(paid, rel=1e-6)


@pytest.mark.parametrize(("life", "lead", "issuing"), [(3, 2, "lifo"), (2, 1, "fifo")])
def test_periods_of_perishables_against_the_plain_program(life, lead, issuing, rngs):
    network = perishables.de_moor(life, lead, 7, issuing).problem.network
    step, _, _ = perishable(life, lead, 7, issuing)
    # In the plain state today's arrival is fresh stock already; here it is slot 0.
    stock = rngs.numpy.integers(0, 6, (life, LANES))
    coming, q, d = (rngs.numpy.integers(0, 11, s) for s in ((lead, LANES), LANES, LANES))
    held = jnp.asarray(stock, jnp.float32).at[life - 1].set(0.0)
    after, cost = one_period(
        network, held, jnp.asarray(coming[:, None], jnp.float32), jnp.asarray(q[None], jnp.float32),
        jnp.asarray(d, jnp.float32),
    )  # fmt: skip
    for k in range(LANES):
        state = (*stock[:-1, k], coming[0, k], *coming[1:, k])
        expected, paid = step(tuple(map(int, state)), int(q[k]), int(d[k]))
        slots = np.asarray(after.pipeline[:, 0, k])
        ages = np.asarray(after.on_hand[:, 0, k])
        assert (*ages[:-1], ages[-1] + slots[0], *slots[1:]) == expected
        assert cost[k] == pytest.approx(paid, rel=1e-6)


def test_periods_of_lost_sales_against_plain_python(rngs):
    network = lost_sales.bijvank(3, 19.0, 5.0).problem.network
    stock, q, d = (rngs.numpy.integers(0, n, LANES) for n in (12, 6, 14))
    coming = rngs.numpy.integers(0, 7, (3, LANES))
    after, cost = one_period(
        network, jnp.asarray(stock[None], jnp.float32), jnp.asarray(coming[:, None], jnp.float32),
        jnp.asarray(q[None], jnp.float32), jnp.asarray(d, jnp.float32),
    )  # fmt: skip
    x = stock + coming[0]
    np.testing.assert_array_equal(after.on_hand[0, 0], np.maximum(x - d, 0))
    np.testing.assert_array_equal(after.pipeline[:, 0], [coming[1], coming[2], q])
    np.testing.assert_array_equal(after.backlog, 0)
    np.testing.assert_allclose(cost, np.maximum(x - d, 0) + 19 * np.maximum(d - x, 0) + 5 * (q > 0))


def plain_lost_sales_costs(instance, which):
    """Optimum, best base-stock and best capped base-stock of one of Zipkin's cases, by the NumPy program."""
    demand, lead, penalty = zipkin_case(instance)
    p = pmf(demand)
    if which == 0:
        most, largest = furthest(p, lead, penalty)
        low, high, _ = LostSales(p, lead, penalty, most=most, largest=largest).optimum(width=1e-6)
        return low, high
    theta = {k: int(v[0, 0]) for k, v in instance.known[which].rule()[1].items()}
    cap = theta.get("cap", theta["level"])
    system = LostSales(p, lead, penalty, most=theta["level"], largest=min(cap, theta["level"]))
    return system.bounds(np.minimum(np.maximum(theta["level"] - system.x.sum(0), 0), cap), width=1e-6)


def cases(instances, quick):
    """Parameters of a test, marked slow unless ``quick`` says otherwise."""
    return [pytest.param(i, id=i.id, marks=() if quick(i) else pytest.mark.slow) for i in instances]


@pytest.mark.parametrize("instance", cases(ZIPKIN, lambda i: zipkin_case(i)[1] <= 2))
def test_zipkins_table_by_a_plain_program(instance):
    for which in range(3):
        known = instance.known[which]
        low, high = plain_lost_sales_costs(instance, which)
        assert low - known.precision <= known.cost <= high + known.precision, known.what


def test_bijvanks_row_by_a_plain_program():
    instance = lost_sales.bijvank()
    p = pmf("poisson")
    low, high, _ = LostSales(p, 2, 14.0, fixed=5.0, most=26, largest=16).optimum(width=1e-6)
    assert near((low + high) / 2, instance.known[0])
    system = LostSales(p, 2, 14.0, fixed=5.0, most=24)
    position = system.x.sum(0)
    orders = {
        "best (s, S)": np.where(position <= 17, 23 - position, 0),
        "best (s, nQ)": np.where(position <= 17, 7 * ((17 - position) // 7 + 1), 0),
        "best modified (s, S, q)": np.where(position <= 17, np.minimum(23 - position, 7), 0),
    }
    for known in instance.known[1:]:
        low, high = system.bounds(orders[known.what], width=1e-6)
        assert near((low + high) / 2, known), known.what
        assert isinstance(known.rule()[0], ReorderUpTo | ReorderLots)


@pytest.mark.parametrize("instance", cases(dual.INSTANCES, lambda i: "/l2-" in i.id))
def test_dual_sourcing_by_a_plain_program(instance):
    lead, dear = int(instance.id.split("/l")[1][0]), float(instance.id[-3:])
    step, any_order, rule = dual_sourcing(lead, dear)
    low, high, _ = Chain((4, *(2,) * (lead - 1)), step, any_order, (0.2,) * 5).average(1e-7)
    assert near((low + high) / 2, instance.known[0])

    def kept(state, order, d):  # stock beyond 80 is never seen
        after, cost = step(state, order, d)
        return (min(after[0], 80), *after[1:]), cost

    for kind, known in zip(("capped", "dual", "single", "surge"), instance.known[1:5], strict=True):
        numbers = [int(v[0, 0]) for v in known.rule()[1].values()]
        if kind != "surge":
            numbers = [int(known.rule()[1][k][0, 0]) for k in ("expedited", "regular", "cap") if k in known.rule()[1]]
        low, high, _ = Chain((numbers[0], *(0,) * (lead - 1)), kept, rule(kind, *numbers), (0.2,) * 5).average(1e-7)
        assert near((low + high) / 2, known), known.what
        # Printed gaps are rounded or cut off.
        printed = float(known.note.split()[-2])
        assert abs(100 * (known.cost / instance.known[0].cost - 1) - printed) < 0.0101


@pytest.mark.parametrize("instance", cases(perishables.INSTANCES, lambda i: i.id == "de_moor/m2-L1-cw7-fifo"))
def test_perishables_by_a_plain_program(instance):
    life, lead, waste, issuing = instance.id.split("/m")[1].split("-")
    life, lead, waste = int(life), int(lead[1:]), int(waste[2:])
    step, any_order, up_to = perishable(life, lead, waste, issuing)
    start, law = (0,) * (life + lead - 1), rounded_gamma()
    for known in instance.known:
        if known.rule is not None:
            level = int(known.rule()[1]["level"][0, 0])
            assert near(Chain(start, step, up_to(level), law).discounted(0.99, 365, 100), known), known.what
    if life <= 3:  # beyond there are too many states for plain Python
        cost = Chain(start, step, any_order, law).discounted(0.99, 365, 100)
        assert all(near(cost, known) for known in instance.known if known.method == "value_iteration")


OURS = {"zipkin/poisson-L2-p4", "dual_sourcing/l2-ce110", "de_moor/m2-L1-cw10-lifo"}


@pytest.mark.parametrize("instance", cases(EVERY, lambda i: i.id in OURS))
def test_the_dynamic_program_finds_the_known_optimum(instance):
    found = value_iteration(instance.problem)
    for known in instance.known:
        if known.method == "value_iteration":
            assert near(found.cost, known), known.what
    if instance.problem.criterion == "average":
        best, printed = instance.known[0].cost, instance.known[0].precision
        assert found.claim == "optimal"
        assert found.lower_bound - printed <= best <= found.upper_bound + printed


@pytest.mark.slow
@pytest.mark.parametrize("instance", EVERY, ids=lambda i: i.id)
def test_policy_evaluation_finds_the_known_costs(instance):
    for known in instance.known:
        if known.rule is not None:
            assert near(policy_cost(instance.problem, *known.rule()).cost, known), known.what


def test_policy_evaluation_of_a_perishable():
    known = perishables.INSTANCES[1].known[1]
    assert near(policy_cost(perishables.INSTANCES[1].problem, *known.rule()).cost, known)
