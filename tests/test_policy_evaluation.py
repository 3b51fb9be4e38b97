"""The exact cost of a policy against published costs, closed forms, the dynamic program and the simulator."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import THREE, dual_sourcing, lost_sales, perishable, two_stages

from meio_jax.errors import NonFiniteError, UnsuitableError
from meio_jax.kpis import total_cost
from meio_jax.policies import (
    BaseStock,
    CappedBaseStock,
    ConstantOrder,
    ForecastOrderUpTo,
    ReorderLots,
    ReorderUpTo,
    SeasonalBaseStock,
)
from meio_jax.policies.base import Decision
from meio_jax.rollout import rollout
from meio_jax.solvers.clark_scarf import clark_scarf
from meio_jax.solvers.dynamic_program import value_iteration
from meio_jax.solvers.markov import Chain, average_cost, chain_of, discounted_cost, finite_cost, stationary
from meio_jax.solvers.policy_evaluation import policy_cost

slow = pytest.mark.slow


def rows(*numbers):
    return jnp.asarray(numbers, jnp.float32)[:, None]


def level(s):
    return {"level": rows(s)}


# Zipkin (2008), Poisson or geometric demand with mean 5: (S), or (S, cap). The last digits of six numbers were known as
# 4.63865, 4.97499, 7.84218, 9.23194, 17.54280 and 16.72674; `plain_cost` below says what stands here.
LOST_SALES = [
    ("poisson", 1, 4, (12,), 4.16280), ("poisson", 1, 4, (12, 6), 4.06542),
    ("poisson", 2, 4, (16,), 4.63864), ("poisson", 2, 4, (17, 5), 4.40573),
    ("poisson", 3, 4, (20,), 4.97500), ("poisson", 3, 4, (21, 5), 4.63077),
    ("poisson", 4, 4, (25,), 5.19777), ("poisson", 4, 4, (26, 5), 4.79785),
    ("poisson", 1, 19, (15,), 6.72778), ("poisson", 1, 19, (15, 8), 6.68775),
    ("poisson", 2, 19, (21,), 7.84217), ("poisson", 2, 19, (21, 7), 7.72086),
    ("poisson", 3, 19, (26,), 8.60449), ("poisson", 3, 19, (26, 6), 8.40104),
    ("poisson", 4, 19, (31,), 9.23193), ("poisson", 4, 19, (31, 6), 8.95438),
    ("geometric", 1, 9, (17,), 14.72733), ("geometric", 1, 9, (18, 8), 14.58261),
    ("geometric", 2, 9, (22,), 15.98817), ("geometric", 2, 9, (23, 6), 15.64102),
    ("geometric", 3, 9, (26,), 16.87167), ("geometric", 3, 9, (27, 6), 16.29556),
    ("geometric", 4, 9, (30,), 17.54279), ("geometric", 4, 9, (32, 5), 16.72676),
]  # fmt: skip


@pytest.mark.parametrize(
    "demand, lead_time, penalty, numbers, cost",
    [pytest.param(*x, marks=[slow] if x[1] > 2 or x[0] == "geometric" else []) for x in LOST_SALES],
)
def test_rules_under_lost_sales(demand, lead_time, penalty, numbers, cost):
    policy = BaseStock() if len(numbers) == 1 else CappedBaseStock()
    theta = dict(zip(("level", "cap"), map(rows, numbers), strict=False))
    found = policy_cost(lost_sales(lead_time, penalty, demand), policy, theta)
    assert found.claim == "exact"
    assert found.cost == pytest.approx(cost, abs=5.5e-6)


def plain_cost(lead_time, penalty, level, cap, pmf):
    """The long-run cost of a capped base-stock rule under lost sales, by loops: bounds from relative values."""
    states, rows_, costs = [(0,) * lead_time], [], []
    index = {states[0]: 0}
    for s in states:  # grows as it goes
        a = min(max(level - sum(s), 0), cap)
        row, cost = [], 0.0
        for d, p in enumerate(pmf):
            left = max(s[0] - d, 0)
            cost += p * (left + penalty * max(d - s[0], 0))
            after = (left + a,) if lead_time == 1 else (left + s[1], *s[2:], a)
            if after not in index:
                index[after] = len(states)
                states.append(after)
            row.append(index[after])
        rows_.append(row)
        costs.append(cost)
    after, cost, v = np.asarray(rows_), np.asarray(costs), np.zeros(len(states))
    for _ in range(5000):
        change = cost + v[after] @ pmf - v
        if np.ptp(change) < 1e-8:
            break
        v = v + change - change[0]
    return change.min(), change.max()


@pytest.mark.parametrize(
    "lead_time, penalty, numbers, cost",
    [(2, 4, (16, 99), 4.63864), (2, 19, (21, 99), 7.84217), pytest.param(3, 4, (20, 99), 4.97500, marks=slow)],
)
def test_six_digits_are_those_of_plain_loops(lead_time, penalty, numbers, cost):
    k = np.arange(40)
    pmf = np.exp(-5.0) * 5.0**k / np.cumprod(np.maximum(k, 1).astype(float))
    assert plain_cost(lead_time, penalty, *numbers, pmf) == pytest.approx((cost, cost), abs=5.5e-6)


@slow
def test_six_digits_of_the_geometric_law_are_those_of_plain_loops():
    pmf = (1 / 6) * (5 / 6) ** np.arange(200)
    assert plain_cost(4, 9, 32, 5, pmf) == pytest.approx((16.72676, 16.72676), abs=5.5e-6)


@pytest.mark.parametrize(
    "policy, theta, cost",
    [
        (ReorderUpTo(), {"reorder": rows(17), "up_to": rows(23)}, 11.6182),
        pytest.param(ReorderLots(), {"reorder": rows(17), "lot": rows(7)}, 11.5552, marks=slow),
        pytest.param(
            ReorderUpTo(capped=True), {"reorder": rows(17), "up_to": rows(23), "cap": rows(7)}, 11.4974, marks=slow
        ),
    ],
)
def test_rules_with_a_fixed_order_cost(policy, theta, cost):
    assert policy_cost(lost_sales(2, 14, fixed=5), policy, theta).cost == pytest.approx(cost, abs=5.5e-5)


PERISHABLES = [
    (1, 7, "lifo", 5, 1565.27), (1, 7, "fifo", 7, 1474.55), (1, 10, "lifo", 5, 1580.90), (1, 10, "fifo", 6, 1484.78),
    (2, 7, "lifo", 7, 1589.98), (2, 7, "fifo", 9, 1495.21),
]  # fmt: skip


@pytest.mark.parametrize(
    "lead_time, waste, issuing, up_to, cost",
    [pytest.param(*x, marks=[] if x == PERISHABLES[0] else slow) for x in PERISHABLES],
)
def test_base_stock_of_perishables(lead_time, waste, issuing, up_to, cost):
    found = policy_cost(perishable(2, lead_time, waste, issuing), BaseStock(), level(up_to))
    assert found.criterion == "discounted" and found.cost == pytest.approx(cost, abs=5.5e-3)


@pytest.mark.parametrize("timing", ["order_first", pytest.param("demand_first", marks=slow)])
def test_echelon_levels_cost_what_clark_and_scarf_say(timing):
    """Of any levels, not only of the best; of the best the optimum."""
    problem = two_stages((1, 1), timing)
    best = clark_scarf(problem.network, problem.laws[0]).echelon_levels
    for levels in (best, (best[0] + 2, best[1] - 1)):
        expected = clark_scarf(problem.network, problem.laws[0], levels=levels).cost
        found = policy_cost(problem, BaseStock(echelon=True), {"level": rows(*levels)})
        assert found.cost == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: lost_sales(2, 4),
        pytest.param(lambda: lost_sales(1, 4, timing="demand_first"), marks=slow),
        pytest.param(lambda: dual_sourcing(2, 110), marks=slow),
        pytest.param(lambda: perishable(3, 2, 7, "lifo"), marks=slow),
        pytest.param(lambda: two_stages((2, 1), "ship_first"), marks=slow),
    ],
)
def test_the_table_of_a_dynamic_program_costs_its_optimum(make):
    """Two chains that share the simulator and nothing else."""
    problem = make()
    best = value_iteration(problem)
    assert policy_cost(problem, best.policy, best.theta).cost == pytest.approx(best.cost, rel=1e-8)


@dataclasses.dataclass(frozen=True)
class Watchful(BaseStock):
    """Orders one more where the shelf is empty: it tells stock from what is due."""

    def apply(self, network, theta, memory, seen, key):
        decision, memory = super().apply(network, theta, memory, seen, key)
        return Decision(decision.orders + (seen.on_hand[0] == 0)), memory


@slow
def test_a_policy_that_tells_apart_what_a_rule_does_not(rngs):
    problem = lost_sales(1, 4)
    found = policy_cost(problem, Watchful(), level(11))
    assert "on outside->store, due in 0" in found.details["coordinates"]
    out = rollout(
        problem.network, Watchful(), level(11), problem.processes, rngs.key,
        periods=300, lanes=1024, warmup=50, measure=total_cost,
    )  # fmt: skip
    costs = np.asarray(out.totals, float) / 250
    assert costs.mean() == pytest.approx(found.cost, abs=5 * costs.std() / 32)
    assert found.cost != pytest.approx(policy_cost(problem, BaseStock(), level(11)).cost, abs=1e-3)


@dataclasses.dataclass(frozen=True)
class Repeating(BaseStock):
    """Orders what was asked for in the last period."""

    def apply(self, network, theta, memory, seen, key):
        return Decision(seen.demand), memory


def test_what_is_no_function_of_the_state_is_refused():
    problem = lost_sales(1, 4)
    seasonal = SeasonalBaseStock(season=((0.0,), (1.0,)))
    with pytest.raises(UnsuitableError, match="SeasonalBaseStock decides from more than the present state"):
        policy_cost(problem, seasonal, {**level(11), "swing": rows(1)})
    with pytest.raises(UnsuitableError, match="ForecastOrderUpTo remembers"):
        policy_cost(problem, ForecastOrderUpTo(), ForecastOrderUpTo().start(problem.network))
    with pytest.raises(NonFiniteError, match="reads last period's demand"):
        policy_cost(problem, Repeating(), level(11))
    with pytest.raises(NonFiniteError, match="orders NaN"):
        policy_cost(problem, BaseStock(), level(np.nan))


@slow
def test_stock_without_end_is_refused():
    with pytest.raises(UnsuitableError, match="states"):
        policy_cost(lost_sales(1, 4), ConstantOrder(), {"quantity": rows(6)}, max_states=20_000)


def test_a_constant_order_under_lost_sales():
    """Its stock has no end; what is left out has no weight. By the queue: solve x = (x - d)+ + q by plain power."""
    found = policy_cost(lost_sales(1, 3, pmf=THREE), ConstantOrder(), {"quantity": rows(1)})
    x = np.zeros(400)
    x[0] = 1.0
    for _ in range(4000):
        y = np.zeros(401)
        for d, p in enumerate(THREE):
            y[1 : 401 - d] += p * x[d:]
            y[1] += p * x[:d].sum()
        x = y[:400]
    x /= x.sum()
    on_hand = np.arange(400)
    cost = sum(p * (np.maximum(on_hand - d, 0) + 3 * np.maximum(d - on_hand, 0)) for d, p in enumerate(THREE))
    assert found.cost == pytest.approx(x @ cost, rel=1e-8)


# --- Chains ----------------------------------------------------------------------------------------------------------


def random_chain(rng, n=7, w=3):
    p = rng.dirichlet(np.ones(w))
    after = rng.integers(0, n, (n, w))
    after[:, 0] = (np.arange(n) + 1) % n  # one class
    return chain_of(after, p, rng.normal(size=n), np.eye(n)[0])


def test_costs_of_a_chain_are_those_of_linear_algebra(rngs):
    for _ in range(20):
        chain = random_chain(rngs.numpy)
        p, n = chain.law.toarray(), len(chain.cost)
        pi = np.linalg.lstsq(np.vstack([p.T - np.eye(n), np.ones(n)]), np.append(np.zeros(n), 1.0), rcond=None)[0]
        low, high = average_cost(chain, 1e-11)
        assert low - 1e-12 <= pi @ chain.cost <= high + 1e-12
        assert high - low < 1e-10
        assert stationary(chain) == pytest.approx(pi, abs=1e-10)
        value = np.linalg.solve(np.eye(n) - 0.9 * p, chain.cost)
        low, high = discounted_cost(chain, 0.9)
        assert low - 1e-12 <= value[0] <= high + 1e-12
        powers = [np.linalg.matrix_power(p, t) @ chain.cost for t in range(8)]
        assert finite_cost(chain, 5, 0.9, warmup=3) == pytest.approx(
            sum(0.9**t * powers[3 + t][0] for t in range(5)), abs=1e-12
        )


def test_a_periodic_chain_and_one_with_two_ends():
    loop = chain_of(np.array([[1], [2], [0]]), np.ones(1), np.array([3.0, 0.0, 0.0]), np.eye(3)[0])
    assert average_cost(loop) == pytest.approx((1.0, 1.0))
    assert stationary(loop) == pytest.approx(np.full(3, 1 / 3))
    ends = chain_of(np.array([[1, 2], [1, 1], [2, 2]]), np.array([0.25, 0.75]), np.array([9.0, 1.0, 5.0]), np.eye(3)[0])
    assert average_cost(ends) == pytest.approx((4.0, 4.0))
    assert average_cost(Chain(ends.law, ends.cost, np.eye(3)[1])) == pytest.approx((1.0, 1.0))
