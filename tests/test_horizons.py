"""Finite horizons and Wagner-Whitin: against enumeration, stationary limits, and stockpyl."""

import functools
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meio_jax.errors import InfeasibleError, InputError, NumberError, UnboundedError, UnsuitableError
from meio_jax.solvers.finite_horizon import finite_horizon
from meio_jax.solvers.laws import Normal, Pmf, Poisson, clipped_normal
from meio_jax.solvers.newsvendor import base_stock, newsvendor
from meio_jax.solvers.reorder_levels import s_S
from meio_jax.solvers.single_stage import Stage
from meio_jax.solvers.wagner_whitin import plan_cost, silver_meal, wagner_whitin

GOLDENS = Path(__file__).parent / "goldens" / "peers"


def cases(name):
    return json.loads((GOLDENS / f"single_stage_{name}.json").read_text())["cases"]


# --- Finite horizon --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("finite_horizon"))
def test_finite_horizons_of_stockpyl(case):
    T, h, b, end_h, end_b, c, K, discount, x, p = case["given"]
    found = finite_horizon(
        p, h, b, periods=T, fixed_cost=K, unit_cost=c, discount=discount, terminal_holding_cost=end_h,
        terminal_backlog_cost=end_b, initial=x,
    )  # fmt: skip
    # The levels agree. The cost does not: stockpyl takes a period's cost from the normal loss whatever the law, and
    # enumeration says who is right.
    rows = [[v] * T for v in (tuple(p), h, b, K, c)]
    assert found.cost == pytest.approx(enumerated(*rows, discount, end_h, end_b, False, x), rel=1e-12)
    assert found.cost == pytest.approx(case["found"]["cost"], rel=0.02)
    assert found.numbers["up_to"].tolist() == case["found"]["up_to"]
    # Without a fixed cost stockpyl says s = S; here s is the highest stock at which something is ordered.
    assert found.numbers["reorder"].tolist() == [s - (K == 0) for s in case["found"]["reorder"]]
    assert found.details["s_S"]


def enumerated(laws, h, b, K, c, discount, end_h, end_b, lost, x0):
    """The same cost by recursion over stocks, every order up to all that may still be asked for."""
    T = len(laws)

    @functools.cache
    def value(t, x):
        if t == T:
            return end_h * max(x, 0) + end_b * max(-x, 0)
        most = max(x, sum(len(p) - 1 for p in laws[t:]))
        costs = []
        for y in range(x, most + 1):
            cost = (K[t] if y > x else 0) + c[t] * (y - x)
            for d, q in enumerate(laws[t]):
                left = y - d
                cost += q * (h[t] * max(left, 0) + b[t] * max(-left, 0))
                cost += q * discount * value(t + 1, max(left, 0) if lost else left)
            costs.append(cost)
        return min(costs)

    return value(0, x0)


@st.composite
def horizons(draw):
    T = draw(st.integers(1, 4))
    row = lambda low, high: draw(st.lists(st.floats(low, high), min_size=T, max_size=T))  # noqa: E731
    weights = st.lists(st.floats(0.02, 1), min_size=1, max_size=4)
    laws = [tuple(np.asarray(w) / np.sum(w)) for w in draw(st.lists(weights, min_size=T, max_size=T))]
    K = row(0, 8) if draw(st.booleans()) else [0.0] * T
    lost = draw(st.booleans())
    more = draw(st.tuples(st.floats(0.5, 1), st.floats(0, 3), st.floats(0, 20)))
    return laws, row(0, 3), row(0, 12), K, row(0, 4), *more, lost, draw(st.integers(0 if lost else -3, 5))


@settings(max_examples=40)
@given(horizons())
def test_a_finite_horizon_costs_what_enumeration_says(x):
    laws, h, b, K, c, discount, end_h, end_b, lost, start = x
    found = finite_horizon(
        [Pmf(np.array(p)) for p in laws], h, b, fixed_cost=K, unit_cost=c, discount=discount, initial=start,
        terminal_holding_cost=end_h, terminal_backlog_cost=end_b, lost_sales=lost,
    )  # fmt: skip
    assert found.cost == pytest.approx(enumerated(*x), rel=1e-9, abs=1e-9)
    assert found.criterion == ("total" if discount == 1 else "discounted")
    table = found.numbers
    at = int(np.flatnonzero(table["stock"] == start)[0])
    assert table["cost_to_go"][0, at] == found.cost
    if lost is False and all(discount * k2 <= k1 for k1, k2 in itertools.pairwise(K)):
        assert found.details["s_S"]  # Scarf (1960)


def test_the_tables_are_the_policy():
    """Playing the table period by period, in expectation, costs what was said."""
    p = np.array([0.2, 0.3, 0.1, 0.4])
    found = finite_horizon(p, 1.0, 9.0, periods=5, fixed_cost=6.0, unit_cost=0.5, discount=0.95)
    stock, target = found.numbers["stock"], found.numbers["order_up_to"]
    law, total = {0.0: 1.0}, 0.0
    for t in range(5):
        after: dict[float, float] = {}
        for x, weight in law.items():
            y = target[t][int(x - stock[0])]
            assert (y > x) == (x <= found.numbers["reorder"][t])
            assert y in (x, found.numbers["up_to"][t])
            total += 0.95**t * weight * (6.0 * (y > x) + 0.5 * (y - x))
            for d, q in enumerate(p):
                total += 0.95**t * weight * q * (max(y - d, 0) + 9 * max(d - y, 0))
                after[y - d] = after.get(y - d, 0.0) + weight * q
        law = after
    assert total == pytest.approx(found.cost, rel=1e-12)


def test_a_long_horizon_is_the_long_run():
    law = Poisson(6)
    free = finite_horizon(law, 1, 4, periods=60)
    assert set(free.numbers["up_to"][:50]) == {newsvendor(law, 1, 4).echelon_levels[0]}
    one, other = (finite_horizon(law, 1, 4, periods=T, fixed_cost=5) for T in (80, 140))
    best = s_S(Stage(1, 4, 0, 5), law)
    assert (other.cost - one.cost) / 60 == pytest.approx(best.cost, rel=1e-9)
    assert other.numbers["reorder"][0] == best.numbers["reorder"]
    assert other.numbers["up_to"][0] == best.numbers["up_to"]
    # Discounted, with what is left valued at what it cost, one period is all: the fractile (b - (1 - g) c) / (b + h).
    myopic = finite_horizon(law, 1, 4, periods=30, unit_cost=2, discount=0.9, terminal_holding_cost=-2,
                            terminal_backlog_cost=2)  # fmt: skip
    assert set(myopic.numbers["up_to"]) == {law.ppf((4 - 0.1 * 2) / 5)}
    # Demand on a fine lattice.
    fine = finite_horizon(clipped_normal(50, 8), 1.0, 9.0, periods=3)
    assert fine.numbers["up_to"][0] == pytest.approx(base_stock(Normal(50, 8), 0, 1, 9).echelon_levels[0], abs=0.05)


# --- Wagner-Whitin ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("wagner_whitin"))
def test_plans_of_stockpyl(case):
    """With one holding rate: stockpyl charges every period of a wait at the rate of the period of the order."""
    found = wagner_whitin(*case["given"])
    assert found.cost == pytest.approx(case["found"]["cost"], rel=1e-12)
    assert found.numbers["orders"].tolist() == case["found"]["orders"]


def least_of_all_plans(d, K, h, c, initial):
    """Every choice of periods with an order; each order covers all up to the next one."""
    need = np.diff(np.maximum(np.cumsum(d) - initial, 0), prepend=0.0)
    best = math.inf
    for chosen in itertools.product((False, True), repeat=len(d)):
        stock, cost, late = float(initial), 0.0, False
        for t in range(len(d)):
            if chosen[t]:
                until = next((s for s in range(t + 1, len(d)) if chosen[s]), len(d))
                cost += (K[t] if need[t:until].sum() > 0 else 0.0) + c[t] * need[t:until].sum()
                stock += need[t:until].sum()
            stock -= d[t]
            late |= stock < -1e-9
            cost += h[t] * stock
        if not late:
            best = min(best, cost)
    return best


@st.composite
def plans(draw, most=6):
    T = draw(st.integers(1, most))
    row = lambda low, high: draw(st.lists(st.floats(low, high), min_size=T, max_size=T))  # noqa: E731
    demand = draw(st.lists(st.sampled_from((0, 0, 1, 2, 3, 5, 8)), min_size=T, max_size=T))
    return demand, row(0, 20), row(0, 3), row(0, 5), draw(st.sampled_from((0, 0, 2, 7)))


@settings(max_examples=80)
@given(plans())
def test_no_plan_costs_less_than_wagner_and_whitins(x):
    demand, K, h, c, initial = x
    found = wagner_whitin(demand, K, h, c, initial=initial)
    assert found.cost == pytest.approx(least_of_all_plans(*x), rel=1e-9, abs=1e-9)
    assert found.numbers["cost_to_cover"][-1] == pytest.approx(found.cost, rel=1e-9, abs=1e-9)
    orders, stock = found.numbers["orders"], found.numbers["stock"]
    assert stock == pytest.approx(initial + np.cumsum(orders) - np.cumsum(demand), abs=1e-9)
    assert np.all(stock >= 0)
    # Demand that no order is needed for, and periods before the first that is, cost nothing more.
    assert silver_meal(demand, K, h, c, initial=initial).cost >= found.cost - 1e-9


@settings(max_examples=40)
@given(plans(30), st.data())
def test_no_random_plan_costs_less(x, data):
    demand, K, h, c, initial = x
    early = data.draw(st.lists(st.floats(0, 1), min_size=len(demand), max_size=len(demand)))
    owed = np.cumsum(demand) - initial
    orders = np.diff(np.maximum.accumulate(np.maximum(owed + np.asarray(early) * 10, 0)), prepend=0.0)
    found = wagner_whitin(demand, K, h, c, initial=initial)
    assert plan_cost(orders, demand, K, h, c, initial=initial) >= found.cost - 1e-9 * (1 + found.cost)
    scaled = wagner_whitin(demand, [2 * k for k in K], [2 * v for v in h], [2 * v for v in c], initial=initial)
    assert scaled.cost == pytest.approx(2 * found.cost, rel=1e-9, abs=1e-9)


def test_long_and_even_demand_costs_what_the_eoq_says():
    """With whole cycles of n periods: K / n + h (n - 1) / 2 a period, at best."""
    found = wagner_whitin([1.0] * 600, 50, 1)
    assert found.cost == pytest.approx(600 * min(50 / n + (n - 1) / 2 for n in range(1, 60)))
    assert silver_meal([1.0] * 600, 50, 1).cost == pytest.approx(found.cost, rel=1e-9)
    some = wagner_whitin([730, 580, 445, 650, 880], 100, 0.1)
    assert plan_cost(some.numbers["orders"], [730, 580, 445, 650, 880], 100, 0.1) == some.cost


# --- Numbers at fault ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, match, call",
    [
        (InputError, "give periods=", lambda: finite_horizon(Poisson(5), 1, 9)),
        (InputError, "not one number", lambda: finite_horizon(Poisson(5), [1, 1], [9, 9, 9])),
        (NumberError, "holding_cost has a value", lambda: finite_horizon(Poisson(5), [1, -1], 9)),
        (NumberError, "discount = 0", lambda: finite_horizon(Poisson(5), 1, 9, periods=3, discount=0)),
        (NumberError, "initial = 0.5", lambda: finite_horizon(Poisson(5), 1, 9, periods=3, initial=0.5)),
        (NumberError, "nothing is owed",
         lambda: finite_horizon(Poisson(5), 1, 9, periods=3, initial=-1, lost_sales=True)),
        (NumberError, "larger units", lambda: finite_horizon(Poisson(5000), 1, 9, periods=900)),
        (UnsuitableError, "continuous", lambda: finite_horizon(Normal(5, 1), 1, 9, periods=3)),
        (UnsuitableError, "one step", lambda: finite_horizon([Poisson(5), clipped_normal(5, 1)], 1, 9)),
        (UnboundedError, "period 2 and sold off at the end earns 1,",
         lambda: finite_horizon(Poisson(5), 1, 9, periods=3, unit_cost=1, terminal_holding_cost=-3)),
        (NumberError, "demand = -1 in period 1", lambda: wagner_whitin([3, -1], 5, 1)),
        (NumberError, "fixed_cost = nan", lambda: wagner_whitin([3, 1], float("nan"), 1)),
        (NumberError, "nothing can be owed", lambda: wagner_whitin([3, 1], 5, 1, initial=-1)),
        (InputError, "holding_cost has shape", lambda: wagner_whitin([3, 1], 5, [1, 1, 1])),
        (InputError, "sequence of numbers", lambda: wagner_whitin([], 5, 1)),
        (InfeasibleError, "in period 1 the plan is 2 units short", lambda: plan_cost([4, 0, 9], [3, 3, 1], 5, 1)),
        (InputError, "orders has shape", lambda: plan_cost([4], [3, 3], 5, 1)),
    ],
)  # fmt: skip
def test_a_number_at_fault_is_named(error, match, call):
    with pytest.raises(error, match=match):
        call()
