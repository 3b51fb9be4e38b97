"""EOQ and (r, Q): against plain minimisation, enumeration, quadrature, event simulation, and stockpyl."""

import functools
import heapq
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from meio_jax.errors import (
    InputError,
    NumberError,
    ParameterError,
    UnboundedError,
    UnknownNameError,
    UnsuitableError,
)
from meio_jax.solvers.compound_poisson import CompoundPoisson
from meio_jax.solvers.continuous_review import APPROXIMATIONS, r_Q, r_Q_approximation, r_Q_cost
from meio_jax.solvers.eoq import DISCOUNTS, eoq, eoq_cost, eoq_discounts
from meio_jax.solvers.laws import Normal, Pmf, Poisson
from meio_jax.solvers.newsvendor import newsvendor
from meio_jax.solvers.reorder_levels import s_S
from meio_jax.solvers.single_stage import Stage

GOLDENS = Path(__file__).parent / "goldens" / "peers"


def cases(name):
    return json.loads((GOLDENS / f"single_stage_{name}.json").read_text())["cases"]


def same(got, found, rel=1e-9):
    """The numbers of stockpyl have 12 decimals."""
    for name, value in found.items():
        assert got[name] == pytest.approx(value, rel=rel, abs=1e-9), name


# --- EOQ -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("lots"), ids=lambda c: c["what"])
def test_lots_of_stockpyl(case):
    solve = {
        "eoq": eoq,
        "eoqb": lambda K, h, b, d: eoq(K, h, d, backlog_cost=b),
        "epq": lambda K, h, d, P: eoq(K, h, d, production_rate=P),
        "all_units": eoq_discounts,
        "incremental": functools.partial(eoq_discounts, kind="incremental"),
    }
    if case["what"] == "eoq_cost":
        assert eoq_cost(*case["given"]) == pytest.approx(case["found"]["cost"], rel=1e-12)
        return
    found = solve[case["what"]](*case["given"])
    share = found.numbers["backlog"] / found.numbers["lot"] if "backlog" in found.numbers else None
    same({"cost": found.cost, "share": share, **found.numbers}, case["found"])


positive = st.floats(0.05, 500)
forms = st.fixed_dictionaries(
    {}, optional={"backlog_cost": st.floats(0.05, 50), "spare": st.floats(0.05, 5), "unit_cost": st.floats(0, 9)}
)


def as_given(form, rate):
    form = dict(form)
    if "spare" in form:
        form["production_rate"] = rate * (1 + form.pop("spare"))
    return form


@settings(max_examples=30)
@given(positive, positive, positive, forms, st.floats(0.1, 10))
def test_the_identities_of_the_eoq(K, h, d, form, ratio):
    more = as_given(form, d)
    found = eoq(K, h, d, **more)
    lot, constant = found.numbers["lot"], found.constant_cost
    # Ordering costs as much as standing, and being off by a ratio costs the mean of it and its inverse.
    assert found.cost - constant == pytest.approx(2 * K * d / lot)
    assert eoq_cost(lot, K, h, d, **more) == pytest.approx(found.cost)
    off = eoq_cost(ratio * lot, K, h, d, **more) - constant
    assert off == pytest.approx((ratio + 1 / ratio) / 2 * (found.cost - constant))
    assert found.numbers["stock"] + found.numbers["backlog"] == pytest.approx(
        lot * (1 - d / more.get("production_rate", math.inf))
    )
    # No lot and no share of backorders is better, by a search that knows no formula.
    share = (0.0, 1.0) if "backlog_cost" in more else (0.0, 0.0)
    best = optimize.minimize(
        lambda x: eoq_cost(math.exp(x[0]), K, h, d, **more, backlog_share=x[1]),
        [math.log(2 * lot), 0.0], method="L-BFGS-B", bounds=[(math.log(lot / 50), math.log(50 * lot)), share],
    )  # fmt: skip
    assert found.cost <= best.fun * (1 + 1e-12)
    assert found.cost == pytest.approx(best.fun, rel=1e-4)
    # Waiting or a slow production only help.
    assert found.cost <= (eoq(K, h, d).cost + constant) * (1 + 1e-12)


def saw_tooth(K, h, b, d, P, lot, owed):
    """The cost of one cycle of production and consumption, stock integrated piece by piece."""
    top = lot * (1 - d / P) - owed
    times = [owed / (P - d), top / (P - d), top / d, owed / d]  # backlog falls, stock rises, stock falls, backlog rises
    areas = b * owed * (times[0] + times[3]) / 2 + h * top * (times[1] + times[2]) / 2
    return (K + areas) / sum(times)


@settings(max_examples=30)
@given(positive, positive, positive, positive, st.floats(0.1, 4), positive, st.floats(0, 1))
def test_the_cost_of_a_lot_is_the_area_under_the_saw_tooth(K, h, b, d, spare, lot, share):
    P = d * (1 + spare)
    cost = eoq_cost(lot, K, h, d, backlog_cost=b, production_rate=P, backlog_share=share)
    assert cost == pytest.approx(saw_tooth(K, h, b, d, P, lot, share * lot * (1 - d / P)))


@pytest.mark.parametrize("kind", DISCOUNTS)
@settings(max_examples=15)
@given(st.floats(1, 300), st.floats(0.05, 1), st.floats(10, 2000), st.lists(st.floats(5, 400), min_size=1, max_size=3),
       st.lists(st.floats(0.02, 0.3), min_size=3, max_size=3))  # fmt: skip
def test_discounts_against_a_grid_of_lots(kind, K, i, d, widths, cuts):
    at = np.concatenate([[0.0], np.cumsum(widths)])
    price = 10 * np.cumprod([1.0, *(1 - c for c in cuts[: len(widths)])])

    ends = np.append(at[1:], np.inf)

    def cost(Q):
        j = np.searchsorted(at, Q, side="right") - 1
        if kind == "all_units":
            paid = price[j] * Q
        else:
            paid = sum(c * (min(Q, end) - begin) for c, begin, end in zip(price, at, ends, strict=True) if begin < Q)
        return K * d / Q + i * paid / 2 + d * paid / Q

    found = eoq_discounts(K, i, d, at, price, kind=kind)
    assert cost(found.numbers["lot"]) == pytest.approx(found.cost)
    grid = np.concatenate([at[1:], np.geomspace(0.5, 20_000, 1500)])
    assert found.cost <= min(cost(Q) for Q in grid) * (1 + 1e-12)


# --- (r, Q) under continuous review ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("continuous_review"), ids=lambda c: c["what"])
def test_continuous_review_of_stockpyl(case):
    what, x = case["what"], case["given"]
    if what == "poisson":
        h, b, K, mean, L = x
        found = r_Q(Poisson(mean), L, h, b, K)
    elif what == "poisson_cost":
        r, Q, h, b, K, mean, L = x
        assert r_Q_cost(r, Q, Poisson(mean), L, h, b, K) == pytest.approx(case["found"]["cost"], rel=1e-9)
        return
    else:
        h, b, K, mean, sd, L, *lot = x
        given_ = Normal(mean, sd), L, h, b, K
        found = r_Q(*given_, lot=lot[0]) if lot else r_Q_approximation(what, *given_)
    # What stockpyl iterates it stops at 1e-6; its lead times were written with 12 decimals.
    same({"cost": found.cost, **found.numbers}, case["found"], rel=2e-7)


def played_events(rng, rate, lead, h, b, K, reorder, lot, events, sizes=(0.0, 1.0)):
    """Costs per unit of time of stretches of events, one by one: demand lowers the position, an order lifts it."""
    now, net, position, coming, cost = 0.0, reorder + lot, reorder + lot, [], 0.0
    means, before, start = [], 0.0, 0.0
    asked = rng.choice(len(sizes), events + 1, p=sizes)
    for k in range(1, events + 1):
        ask = now + rng.exponential(1 / rate)
        while coming and coming[0][0] <= ask:
            came, lots = heapq.heappop(coming)
            cost += (came - now) * (h * max(net, 0) + b * max(-net, 0))
            now, net = came, net + lots
        cost += (ask - now) * (h * max(net, 0) + b * max(-net, 0))
        now, net, position = ask, net - asked[k], position - asked[k]
        if position <= reorder:
            more = lot * ((reorder - position) // lot + 1)
            heapq.heappush(coming, (now + lead, more))
            position, cost = position + more, cost + K
        if k % (events // 40) == 0:
            means.append((cost - before) / (now - start))
            before, start = cost, now
    return np.array(means[1:])


def test_an_r_Q_costs_what_its_events_do(rngs):
    for numbers in ((6.0, 1.25, 1.0, 9.0, 40.0), (1.5, 2.0, 20.0, 150.0, 100.0)):
        rate, lead, h, b, K = numbers
        found = r_Q(Poisson(rate), lead, h, b, K)
        means = played_events(rngs.numpy, *numbers, found.numbers["reorder"], found.numbers["lot"], 40_000)
        assert means.mean() == pytest.approx(found.cost, abs=5 * means.std(ddof=1) / math.sqrt(means.size))


def test_customers_who_ask_for_several_units(rngs):
    """Against events, against an enumeration of numbers of customers, and against the best of a grid."""
    sizes, given_ = np.array([0.0, 0.5, 0.2, 0.0, 0.3]), (1.25, 1.0, 9.0, 25.0)
    law = CompoundPoisson(3.0, Pmf(sizes))
    found = r_Q(law, *given_)
    r, Q = found.numbers["reorder"], found.numbers["lot"]
    means = played_events(rngs.numpy, 3.0, *given_, r, Q, 40_000, sizes)
    assert means.mean() == pytest.approx(found.cost, abs=5 * means.std(ddof=1) / math.sqrt(means.size))
    assert found.cost == pytest.approx(
        min(r_Q_cost(s, lot, law, *given_) for lot in range(1, 40) for s in range(-20, 25)), rel=1e-12
    )
    for mean in (0.7, 40.0):  # one recursion, and several
        table, customers = np.zeros(600), np.ones(1)
        for k in range(140):
            table[: customers.size] += stats.poisson.pmf(k, mean) * customers
            customers = np.convolve(customers, sizes)[:600]
        wide = CompoundPoisson(mean / 2.5, Pmf(sizes)).over(2.5)
        first, p = wide.lattice(1.0)
        assert p == pytest.approx(table[int(first) : int(first) + p.size], abs=1e-15)
        assert (wide.mean, wide.sd) == pytest.approx((Pmf(p, first).mean, Pmf(p, first).sd), rel=1e-9)
    # Customers who ask for one each are Poisson demand, under either review.
    one = CompoundPoisson(5.0, Pmf(np.array([0.0, 1.0])))
    assert r_Q(one, *given_).cost == pytest.approx(r_Q(Poisson(5), *given_).cost, rel=1e-12)
    assert s_S(Stage(1, 9, 2, 5), one).cost == pytest.approx(s_S(Stage(1, 9, 2, 5), Poisson(5)).cost, rel=1e-12)
    with pytest.raises(UnsuitableError, match="multiples of 2 only"):
        r_Q(CompoundPoisson(5.0, Pmf(np.array([0.0, 0.0, 1.0]))), *given_)
    with pytest.raises(ParameterError, match="rate = -1"):
        CompoundPoisson(-1.0, Pmf(sizes))
    with pytest.raises(ParameterError, match="smallest is -1"):
        CompoundPoisson(1.0, Pmf(sizes, -1.0))


rates = st.tuples(st.floats(0, 3), st.floats(0.2, 5), st.floats(0.5, 30))  # lead time, holding, backlog


@settings(max_examples=10)
@given(st.floats(0.3, 8), rates, st.floats(0.0, 30))
def test_no_r_Q_costs_less_with_poisson_demand(mean, given_, K):
    law = Poisson(mean)
    found = r_Q(law, *given_, K)
    assert found.claim == "optimal"
    level = round(newsvendor(law.over(given_[0]), *given_[1:]).echelon_levels[0])  # some lot brings the position there
    grid = {(r, Q): r_Q_cost(r, Q, law, *given_, K) for Q in range(1, 36) for r in range(level - Q - 2, level + 2)}
    best = min(grid, key=grid.get)
    assume(best[1] < 34)
    assert found.cost == pytest.approx(grid[best], rel=1e-11)
    some = r_Q(law, *given_, K, lot=5)
    assert some.cost == pytest.approx(min(v for (_, Q), v in grid.items() if Q == 5), rel=1e-11)
    if K > 0:
        for kind in ("eoqb", "eoq_ss"):
            assert r_Q_approximation(kind, law, *given_, K).cost >= found.cost * (1 - 1e-12)
    # One by one under continuous review (r, Q) is (s, S): the limit of the optima of ever shorter periods.
    n = 500
    short = Stage(given_[1], given_[2], given_[0] * n, K * n, "demand_first")
    assert s_S(short, Poisson(mean / n)).cost == pytest.approx(found.cost, rel=3 * mean / n)


@settings(max_examples=30)
@given(st.floats(1, 2000), st.floats(0.05, 0.5), rates, st.floats(0.05, 50))
@example(1300.0, 0.1, (1 / 12, 0.225, 7.5), 8.0)
def test_normal_demand_against_quadrature_and_plain_minimisation(mean, cv, given_, K):
    lead_time, h, b = given_
    assume(lead_time > 0.01)
    law = Normal(mean, cv * mean)
    lead = stats.norm(mean * lead_time, cv * mean * math.sqrt(lead_time))
    found = r_Q(law, lead_time, h, b, K)
    r, Q = found.numbers["reorder"], found.numbers["lot"]

    def G(y):
        z = (y - lead.mean()) / lead.std()
        loss = lead.std() * (stats.norm.pdf(z) - z * stats.norm.sf(z))
        return h * (y - lead.mean()) + (h + b) * loss

    area = integrate.quad(G, r, r + Q, points=[min(max(lead.mean(), r), r + Q)], epsabs=0, epsrel=1e-10)[0]
    assert found.cost == pytest.approx((K * mean + area) / Q, rel=1e-8)
    # First-order conditions: both ends cost what the policy does on average.
    assert G(r) == pytest.approx(found.cost, rel=1e-8)
    assert G(r + Q) == pytest.approx(found.cost, rel=1e-8)
    best = optimize.minimize(
        lambda x: r_Q_cost(x[0], math.exp(x[1]), law, lead_time, h, b, K), [lead.mean(), math.log(Q) + 0.3],
        method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 2000},
    )  # fmt: skip
    assert found.cost <= best.fun * (1 + 1e-12)
    assert found.cost == pytest.approx(best.fun, rel=1e-5)
    # Zheng (1992): the deterministic lot costs at most an eighth more; and demand that varies is never cheaper.
    rough = r_Q_approximation("eoqb", law, lead_time, h, b, K).cost
    assert found.cost * (1 - 1e-12) <= rough <= 1.125 * found.cost
    assert found.cost >= eoq(K, h, mean, backlog_cost=b).cost
    for kind in APPROXIMATIONS:
        try:
            assert r_Q_approximation(kind, law, lead_time, h, b, K).cost >= found.cost * (1 - 1e-12)
        except UnsuitableError as reason:
            assert kind in ("eil", "loss") and kind in str(reason)  # noqa: PT017


@settings(max_examples=30)
@given(st.floats(1, 200), st.sampled_from((0.0, 0.01, 0.1, 0.4)), rates, st.floats(0.01, 50), st.floats(1.01, 4))
def test_r_Q_in_other_units_and_with_dearer_numbers(mean, cv, given_, K, scale):
    L, h, b = given_
    for law, other in ((Normal(mean, cv * mean), Normal(scale * mean, scale * cv * mean)), (Poisson(mean), None)):
        cost = r_Q(law, L, h, b, K).cost
        assert r_Q(law, L, scale * h, scale * b, scale * K).cost == pytest.approx(scale * cost, rel=1e-9)
        assert r_Q(law, L, h, scale * b, K).cost >= cost * (1 - 1e-12)
        assert r_Q(law, L, h, b, scale * K).cost >= cost * (1 - 1e-12)
        if other is not None:
            assert r_Q(other, L, h / scale, b / scale, K).cost == pytest.approx(cost, rel=1e-8)
    sure = r_Q(Normal(mean, 0), L, h, b, K)
    assert sure.cost == pytest.approx(eoq(K, h, mean, backlog_cost=b).cost, rel=1e-9, abs=1e-9)


def test_without_a_fixed_cost_r_Q_is_base_stock():
    for law in (Normal(50, 8), Poisson(6)):
        best = newsvendor(law.over(2.0), 1.0, 9.0)
        found = r_Q(law, 2.0, 1.0, 9.0, 0.0)
        assert found.cost == pytest.approx(best.cost, rel=1e-12)
        assert found.numbers["reorder"] + found.numbers["lot"] == pytest.approx(best.echelon_levels[0])
        # The lot of normal demand vanishes with the fixed cost, without a jump of the cost.
        costs = [r_Q(law, 2.0, 1.0, 9.0, K).cost for K in (1e-300, 1e-15, 1e-11, 1e-9, 1e-6)]
        assert costs == sorted(costs)
        assert costs[0] == pytest.approx(best.cost, rel=1e-12)
        assert costs[-1] == pytest.approx(best.cost, rel=1e-4)
    # Near its minimum G is a parabola: the lot goes with the cube root of the fixed cost, what it adds with its square.
    small, large = (r_Q(Normal(50, 8), 2.0, 1.0, 9.0, K) for K in (1e-12, 1e-6))
    added = [x.cost - newsvendor(Normal(100, 8 * math.sqrt(2)), 1.0, 9.0).cost for x in (small, large)]
    assert large.numbers["lot"] == pytest.approx(100 * small.numbers["lot"], rel=1e-3)
    assert added[1] == pytest.approx(1e4 * added[0], rel=1e-3)


# --- Numbers at fault ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error, match, call",
    [
        (UnboundedError, "holding_cost is 0", lambda: eoq(8, 0, 10)),
        (UnboundedError, "does not exceed demand_rate", lambda: eoq(8, 1, 10, production_rate=10)),
        (NumberError, "backlog_cost = 0 must be positive", lambda: eoq(8, 1, 10, backlog_cost=0)),
        (NumberError, "demand_rate = nan", lambda: eoq(8, 1, float("nan"))),
        (NumberError, "lot = 0 units", lambda: eoq_cost(0, 8, 1, 10)),
        (NumberError, "backlog_share = 0.5", lambda: eoq_cost(5, 8, 1, 10, backlog_share=0.5)),
        (InputError, "must rise from 0", lambda: eoq_discounts(8, 0.3, 10, [1, 5], [3, 2])),
        (InputError, "must fall", lambda: eoq_discounts(8, 0.3, 10, [0, 5], [2, 3])),
        (InputError, "one length", lambda: eoq_discounts(8, 0.3, 10, [0, 5], [2])),
        (UnknownNameError, "kind 'none'", lambda: eoq_discounts(8, 0.3, 10, [0], [2], kind="none")),
        (UnsuitableError, "`r_nQ`", lambda: r_Q(Pmf(np.array([0.5, 0.5])), 1, 1, 9, 5)),
        (UnboundedError, "backlog_cost is 0", lambda: r_Q(Poisson(5), 1, 1, 0, 5)),
        (NumberError, "lead_time = -1", lambda: r_Q(Poisson(5), -1, 1, 9, 5)),
        (NumberError, "demand = 0", lambda: r_Q(Poisson(0), 1, 1, 9, 5)),
        (NumberError, "lot = 2.5", lambda: r_Q(Poisson(5), 1, 1, 9, 5, lot=2.5)),
        (NumberError, "lot = 0 units", lambda: r_Q(Normal(5, 1), 1, 1, 9, 5, lot=0)),
        (NumberError, "reorder = 0.5 must be a whole", lambda: r_Q_cost(0.5, 2, Poisson(5), 1, 1, 9, 5)),
        (NumberError, "reorder = nan", lambda: r_Q_cost(float("nan"), 2, Poisson(5), 1, 1, 9, 5)),
        (UnknownNameError, "approximation 'best'", lambda: r_Q_approximation("best", Poisson(5), 1, 1, 9, 5)),
        (UnsuitableError, "exact for Poisson", lambda: r_Q_approximation("eil", Poisson(5), 1, 1, 9, 5)),
        (UnsuitableError, "finds no reorder point", lambda: r_Q_approximation("eil", Normal(1, 0.1), 1, 5, 1, 50)),
        (NumberError, "`base_stock` is for that", lambda: r_Q_approximation("eoqb", Poisson(5), 1, 1, 9, 0)),
    ],
)  # fmt: skip
def test_a_number_at_fault_is_named(error, match, call):
    with pytest.raises(error, match=match):
        call()
