"""Rewards composed of parts: identities of theory, loops in NumPy over the same periods, a price found by ascent."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_indicators import one_period

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Scenario, Shock, build_network, rollout
from meio_jax.errors import InputError, NumberError, UnknownNameError
from meio_jax.kpis import KPIS, total_cost
from meio_jax.policies import BaseStock
from meio_jax.rewards import (
    AtEnd,
    Difference,
    Gap,
    Played,
    Running,
    ServiceFirst,
    Shaped,
    Summed,
    Term,
    Total,
    Weighted,
    begin_reward,
    difference_rewards,
    exponential,
    gap,
    hinge,
    lagrangian,
    pay,
    pay_along,
    reference_sizes,
    running,
    scaled,
    service_first,
    shaped,
    shortfall,
    value_of_stock,
    weighted,
)
from meio_jax.simulator import initial_state, transition
from meio_jax.topologies import serial

PERIODS, LANES = 21, 4


def shops():
    """A warehouse with two shops; unmet demand is half kept at one, all kept at the other."""
    return build_network(
        [Node("dc", holding_cost=1.0, initial_on_hand=20.0), Node("a", holding_cost=2.0), Node("b", holding_cost=3.0)],
        [
            Arc(OUTSIDE, "dc", lead_time=1, unit_cost=2.0, fixed_order_cost=5.0),
            Arc("dc", "a", lead_time=1, unit_cost=0.5, transit_holding_cost=0.2),
            Arc("dc", "b", lead_time=2),
            Arc("a", CUSTOMER, "of a", price=9.0, backlog_cost=4.0, lost_cost=1.0, keep=0.5),
            Arc("b", CUSTOMER, "of b", price=8.0, backlog_cost=3.0),
        ],
    )


def draws(periods=PERIODS):
    rng = np.random.default_rng(5)
    orders = rng.uniform(0, 9, (periods, 3, LANES)).astype(np.float32)
    return orders, rng.uniform(0, 6, (periods, 2, LANES)).astype(np.float32)


def play(network, orders, demand):
    """Every period as it was played, leaves ``[T, ..]``."""

    def period(state, x):
        shock = Shock(demand=x[1])
        after, flows = transition(network, state, x[0], shock)
        return after, Played(flows, state, after, shock)

    return jax.lax.scan(period, initial_state(network, orders.shape[-1]), (orders, demand))[1]


def pay_each(rewards, network, played):
    """Of several rewards, by name, ``[T, B]`` each: in one loop, which compiles sooner than one for each."""

    def period(carry, now):
        found = {name: pay(of, carry[name], network, now) for name, of in rewards.items()}
        return {name: c for name, (_, c) in found.items()}, {name: x for name, (x, _) in found.items()}

    lanes = played.flows.on_hand.shape[-1]
    return jax.lax.scan(period, {name: begin_reward(of, network, lanes) for name, of in rewards.items()}, played)[1]


def cover(network, state):
    """Some potential."""
    return 0.3 * state.on_hand.sum((0, 1)) - state.backlog.sum(0) ** 2 * 0.01


TARGETS = [0.0, 0.9, 1.0, 0.9]
#: The plain rewards of `reward`, which remember nothing.
PLAIN = {"terms": {"holding": 2.0, "unmet": 3.0, "revenue": 0.5}, "holding": {"holding": 1.0}, "unmet": {"unmet": 1.0}}
REWARDS = {
    "cost": weighted({"cost": 1.0}),
    "terms": weighted(PLAIN["terms"]),
    "now": weighted({"fill_rate": 10.0, "short_units": 1.0}, decay=0.0),
    "faded": weighted({"fill_rate": 1.0}, decay=0.8),
    "since the start": weighted({"wait": 1.0}, decay=1.0),
    "week so far": Weighted({"f": Running("fill_rate", every=7, decay=1.0)}, {"f": 1.0}),
    "weekly": Weighted({"f": AtEnd(Running("fill_rate", every=7, decay=1.0), 7)}, {"f": 1.0}),
    "summed": Summed(weighted({"cost": 1.0}), 7),
    "hinge": Weighted({"x": hinge(Term("cost"), -10.0)}, {"x": 1.0}),
    "square": Weighted({"x": hinge(Term("stock", by="node"), 8.0, side="below", power=2)}, {"x": 1.0}),
    "exponential": Weighted({"x": exponential(scaled(Term("backlog_units"), 4.0), 0.5, 1.5)}, {"x": 1.0}),
    "shaped": shaped(weighted({"cost": 1.0}), cover, discount=0.9),
    "at cost": shaped(weighted({"cost": 1.0}), discount=1.0),
    "beside": Difference(None, BaseStock(), {"level": jnp.asarray([[30.0], [9.0], [12.0]])}),
    "total": Total((weighted({"holding": 1.0}), weighted({"unmet": 2.0})), (3.0, 0.5)),
    "gap": Weighted({"g": Gap("fill_rate", 0.9, by="customer")}, {"g": 1.0}),
    "first": service_first(shortfall("fill_rate", 0.9), Term("cost"), size=20.0),
    "priced": lagrangian(
        Term("cost"), gap("fill_rate", jnp.asarray(TARGETS)), rate=0.4, proportional=0.2, most=3.0, shared=False
    ),
}


@pytest.fixture(scope="module")
def paid():
    """What was played, and what each reward paid: ``[T, B]``. In the last lane a demand was NaN."""

    @jax.jit
    def pay_all(network, orders, demand):
        played = play(network, orders, demand)
        plain = pay_each(PLAIN, network, played) | {"cost": -jax.vmap(total_cost, (None, 0))(network, played.flows)}
        values = jax.vmap(value_of_stock, (None, 0))(network, played.before)
        last = value_of_stock(network, jax.tree.map(lambda x: x[-1], played.after))
        potential = jax.vmap(cover, (None, 0))(network, played.before), cover(network, _last(played.after))
        return played, plain, (values, last), potential, pay_each(REWARDS, network, played)

    orders, demand = draws()
    demand[3, 0, -1] = np.nan
    return jax.tree.map(np.asarray, pay_all(shops(), orders, demand))


@pytest.fixture
def sound(paid):
    """The lanes in which all is finite."""
    return jax.tree.map(lambda x: x[..., :-1] if x.ndim > 1 or x.shape == (LANES,) else x, paid)


def test_nan_is_paid_as_nan(paid):
    *_, got = paid
    for name, x in got.items():
        assert np.isnan(x.sum(0)).tolist() == [False, False, False, True], name


def _last(tree):
    return jax.tree.map(lambda x: x[-1], tree)


def test_composed_rewards_that_agree_in_theory(sound):
    _, plain, _, _, got = sound
    np.testing.assert_allclose(got["cost"], plain["cost"], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(got["terms"], plain["terms"], rtol=1e-5, atol=1e-3)
    # A sum over blocks is paid late, but it is the same money.
    np.testing.assert_allclose(got["summed"][6::7].sum(0), plain["cost"].sum(0), rtol=1e-5, atol=1e-2)
    assert (np.delete(got["summed"], [6, 13, 20], 0) == 0).all()
    np.testing.assert_allclose(got["hinge"], -np.maximum(10 - plain["cost"], 0), rtol=1e-5, atol=1e-3)


def test_running_indicators_are_ratios_of_faded_sums(sound):
    played, _, _, _, got = sound
    demand, filled = (x[:, 3:].sum(1) for x in (played.flows.ordered, played.flows.filled))
    backlog, lost = (x[:, 3:].sum(1) for x in (played.flows.backlog, played.flows.lost))
    np.testing.assert_allclose(got["now"], 10 * filled / demand - (demand - filled), rtol=1e-4, atol=1e-4)
    for t in range(PERIODS):
        fade = 0.8 ** np.arange(t, -1, -1)[:, None]
        share = (fade * filled[: t + 1]).sum(0) / (fade * demand[: t + 1]).sum(0)
        np.testing.assert_allclose(got["faded"][t], share, rtol=1e-4)
        wait = backlog[: t + 1].sum(0) / (demand - lost)[: t + 1].sum(0)
        np.testing.assert_allclose(got["since the start"][t], -wait, rtol=1e-4, atol=1e-6)
        week = slice(t - t % 7, t + 1)
        np.testing.assert_allclose(got["week so far"][t], filled[week].sum(0) / demand[week].sum(0), rtol=1e-4)
    last = np.arange(PERIODS) % 7 == 6
    np.testing.assert_array_equal(got["weekly"], np.where(last[:, None], got["week so far"], 0))


def test_penalties_past_a_threshold(sound):
    played, _, _, _, got = sound
    stock, owed = played.flows.on_hand, played.flows.backlog[:, 3:].sum(1)
    np.testing.assert_allclose(got["square"], -(np.maximum(8 - stock, 0) ** 2).sum(1), rtol=1e-5)
    z = 1.5 * np.maximum(owed / 4 - 0.5, 0)
    steep = np.expm1(np.minimum(z, 20)) + np.exp(20) * np.maximum(z - 20, 0)
    np.testing.assert_allclose(got["exponential"], -steep, rtol=1e-4, atol=1e-6)
    assert (z > 0).any() and (z == 0).any()


def test_a_gap_adds_up_to_a_share(sound):
    """Its sum is 0 where the share of all periods is the target: so it may stand in a constraint on means."""
    played, _, _, _, got = sound
    demand, filled = (x[:, 3:].sum(1) for x in (played.flows.ordered, played.flows.filled))
    np.testing.assert_allclose(-got["gap"].sum(0), (0.9 * demand - filled).sum(0), rtol=1e-4)


def test_shaping_moves_returns_by_their_ends_alone(sound):
    _, plain, (values, last_value), (cover_of, last_cover), got = sound
    fade = 0.9 ** np.arange(PERIODS)[:, None]
    change = (fade * (got["shaped"] - plain["cost"])).sum(0)
    np.testing.assert_allclose(change, 0.9**PERIODS * last_cover - cover_of[0], rtol=1e-4, atol=1e-3)
    change = (got["at cost"] - plain["cost"]).sum(0)
    np.testing.assert_allclose(change, last_value - values[0], rtol=1e-4, atol=1e-2)
    assert np.abs(got["shaped"] - plain["cost"]).max() > 1  # it does move them in between


def test_stock_at_cost(sound):
    """Units of the warehouse cost 2, those of shop a 2.5 and of b 2."""
    played, _, (values, _), _, _ = sound
    before = played.before
    held, coming = before.on_hand.sum(1), before.pipeline.sum(1)
    want = np.tensordot(held, [2.0, 2.5, 2.0], (1, 0)) + np.tensordot(coming, [2.0, 2.5, 2.0], (1, 0))
    want = want - np.tensordot(before.backlog[:, 3:], [2.5, 2.0], (1, 0))
    np.testing.assert_allclose(values, want, rtol=1e-5, atol=1e-3)


def test_a_weight_is_a_factor(sound):
    _, plain, _, _, got = sound
    np.testing.assert_allclose(got["total"], 3 * plain["holding"] + 0.5 * 2 * plain["unmet"], rtol=1e-5, atol=1e-4)


def test_beside_a_default_only_what_policies_differ_in_is_left(sound):
    """The same scenario under base-stock, played by hand: the difference of rewards, and so of returns."""
    _, plain, _, _, got = sound
    theta, demand = REWARDS["beside"].theta, draws()[1][..., :-1]
    other = rollout(
        shops(), BaseStock(), theta, Scenario(Shock(demand=demand)), jax.random.key(1), lanes=LANES - 1,
        measure=total_cost,
    )  # fmt: skip
    np.testing.assert_allclose(got["beside"].sum(0), plain["cost"].sum(0) + other.totals, rtol=1e-4, atol=1e-2)


@pytest.fixture(scope="module")
def apart():
    """Two shops that share nothing, the second with random demand of its own in each lane."""
    network = build_network(
        [Node("a", holding_cost=1.0), Node("b", holding_cost=1.0, initial_on_hand=9.0)],
        [
            Arc(OUTSIDE, "a", lead_time=1),
            Arc(OUTSIDE, "b", lead_time=2),
            Arc("a", CUSTOMER, backlog_cost=9.0),
            Arc("b", CUSTOMER, backlog_cost=9.0),
        ],
    )
    rng = np.random.default_rng(8)
    demand = np.concatenate([np.full((5, 1, 4), 3.0), rng.uniform(0, 9, (5, 1, 4))], 1).astype(np.float32)
    orders = rng.uniform(0, 6, (5, 2, 1)).astype(np.float32) * np.ones((1, 1, 4), np.float32)
    default = np.full((2, 1), 3.0, np.float32)
    of = {w: weighted({"cost": 1.0, "fill_rate": w}, decay=0.5) for w in (0.0, 50.0)}

    @jax.jit
    def credit(of, default):
        """Of each shop's orders, and of both: over three periods."""
        start, shocks, agents = initial_state(network, 4), Shock(demand=demand), ((0,), (1,), (0, 1))
        return difference_rewards(
            of, network, start, orders, shocks, default, window=3, agents=agents, discount=0.9
        )  # fmt: skip

    @jax.jit
    def total(orders):
        paid = pay_along(of[50.0], network, play(network, orders, demand))
        return (0.9 ** jnp.arange(3)[:, None] * paid[:3]).sum(0)

    other = orders.copy()
    other[0] = default
    wide = np.broadcast_to(default, orders.shape)
    windowed, joint, same = credit(of[0.0], wide), credit(of[50.0], wide)[0, 2], credit(of[0.0], orders)
    return orders, windowed[:, :2], same, joint, total(orders) - total(other)


def test_credit_of_an_order_leaves_out_the_luck_of_others(apart):
    orders, windowed, same, _, _ = apart
    assert windowed.shape == (5, 2, 4)
    np.testing.assert_allclose(same, 0.0, atol=1e-4)  # who did what the default does made no difference
    # Shop a, by hand: an order of x instead of 3 changes net stock by x - 3 from the next period on.
    net = np.cumsum(np.concatenate([[0.0], orders[:-1, 0, 0]]) - 3.0)  # at the ends of periods

    def cost(x):
        return np.where(x > 0, x, -9 * x)

    for t in range(5):
        want = sum(
            0.9**j * (cost(net[t + j] - (orders[t, 0, 0] - 3.0)) - cost(net[t + j])) for j in (1, 2) if t + j < 5
        )
        np.testing.assert_allclose(windowed[t, 0], want, rtol=1e-4, atol=1e-3)  # in all lanes, whatever b's demand
    assert np.ptp(np.asarray(windowed)[:, 1], -1).max() > 0.1


def test_credit_of_all_orders_at_once_is_the_difference_of_returns(apart):
    """An agent who gives all orders: the scenario played twice, with the memory of the reward."""
    *_, joint, difference = apart
    np.testing.assert_allclose(joint, difference, rtol=1e-4, atol=1e-3)
    assert np.abs(joint).min() > 1


# What may be bought: a promise of 0.95 that is broken, just kept, or more than kept, at a cost in sizes.
OFFERS = ((0.90, 0.50), (0.95, 0.80), (0.99, 1.00))


def test_service_first_chooses_what_no_weighted_sum_chooses():
    """Three ways to run a shop, as lanes: fill rates 0.90, 0.95, 0.99 at costs 50, 80, 100. The least cost that keeps a
    promise of 0.95 is 80, but it lies above the line between the others, so every weighted sum prefers one of those.
    """
    network = build_network([Node("s", holding_cost=1.0)], [Arc(OUTSIDE, "s"), Arc("s", CUSTOMER)])
    fill, stock = (np.asarray([[x for x, _ in OFFERS]]) * 100, np.asarray([[100 * c for _, c in OFFERS]]))
    asked = np.concatenate([np.zeros((1, 3)), np.full((1, 3), 100.0)])
    flows = one_period(network, ordered=asked, filled=np.concatenate([np.zeros((1, 3)), fill]), on_hand=stock)
    first = service_first(shortfall("fill_rate", 0.95), Term("cost"), size=100.0)

    @jax.jit
    def choose(flows):
        def paid(of):
            return pay(of, begin_reward(of, network, 3), network, Played(flows))[0]

        return paid(first), jax.vmap(lambda p: paid(weighted({"cost": 1.0, "fill_rate": p})))(jnp.logspace(-3, 5, 400))

    ours, sums = choose(flows)
    assert int(ours.argmax()) == 1
    assert set(np.asarray(sums).argmax(1).tolist()) == {0, 2}


def test_service_first_is_a_lexicographic_order():
    """Of two promises and a cost: of all pairs of outcomes the one is better that breaks the first promise less, among
    equals the second, among equals that costs less.
    """
    rng = np.random.default_rng(0)
    levels = np.asarray([0.0, 0.05, 0.1, 0.3])
    first, second = rng.choice(levels, 300), rng.choice(levels, 300)
    cost = rng.uniform(0, 10, 300)
    order = ServiceFirst((), None)
    loss = np.asarray(jax.jit(lambda *x: order.loss(list(x[:2]), x[2]))(first, second, cost), np.float64)
    # Shortfalls differ by 0 or 0.05 and more; below rest / steepness x 10 = 0.01 cost would decide.
    ranks = np.lexsort((cost, second, first))
    assert (np.diff(loss[ranks]) > -1e-3).all()
    assert (first > 0).any() and (first == 0).any()


def test_the_price_of_service_is_found_beside_the_stock():
    """A newsvendor with exponential demand of mean 10 and a promised fill rate of 0.9. Its expected shortage is
    10 exp(-S / 10), so S = 10 ln 10, and the price at which it is worth it h F / (1 - F) = 9 (h = 1). Gradient steps on
    S and dual ascent in one loop end at both. 4,096 quantiles stand for the demand: they leave 0.00075 of the shortage
    out of the tail and lie 0.024 apart at S, so S and the price, of the same slope there, are within 0.04 and 0.06.
    """
    network = build_network([Node("s", holding_cost=1.0)], [Arc(OUTSIDE, "s"), Arc("s", CUSTOMER, "demand", keep=0.0)])
    count = 4096
    demand = (-10 * np.log1p(-(np.arange(count) + 0.5) / count)).astype(np.float32)[None]
    of = lagrangian(Term("cost"), gap("fill_rate", 0.9), rate=0.5)
    state = initial_state(network, count)

    def mean_reward(level, carry):
        after, flows = transition(network, state, jnp.full((1, count), level), Shock(demand=demand))
        paid, carry = pay(of, carry, network, Played(flows, state, after))
        return paid.mean(), (carry, flows.filled[1].sum() / demand.sum())

    @jax.jit
    def learn(start):
        def step(loop, _):
            level, carry = loop
            (_, (carry, share)), slope = jax.value_and_grad(mean_reward, has_aux=True)(level, carry)
            return (level + 4.0 * slope, carry), share

        return jax.lax.scan(step, (start, of.init(network, count)), None, 600)

    (level, carry), share = learn(jnp.asarray(5.0))
    assert carry.multipliers[0].shape == (1, 1)
    assert float(level) == pytest.approx(10 * np.log(10), abs=0.04)
    assert float(carry.multipliers[0][0, 0]) == pytest.approx(9.0, abs=0.06)
    assert float(share[-1]) == pytest.approx(0.9, abs=1e-3)


def test_gradients_are_those_of_differences(x64):
    """Of rewards that have a slope everywhere, by orders that are played: pathwise learning stands on them."""
    network = serial(1, lead_time=1, holding_cost=1.0, backlog_cost=5.0, unit_cost=1.0, initial_on_hand=9.0)
    rng = np.random.default_rng(2)
    orders, demand, direction = rng.uniform(0, 9, (6, 1, 3)), rng.uniform(0, 6, (6, 1, 3)), rng.normal(size=(6, 1, 3))

    def made():
        late = exponential(running("backorders", by="customer"), 0.2, 0.5)
        weights = {"cost": 1.0, "bullwhip": 0.1, "working_capital": 0.4, "late": 1.0}
        sizes = reference_sizes(network, np.asarray([3.0]))
        smooth = weighted(weights, quantities={"late": late}, sizes=sizes, decay=0.7)
        promises = shortfall("fill_rate", 0.99), shortfall("wait", 0.1)
        return Shaped(Total((smooth, service_first(promises, Term("cost"), size=20.0)), (1.0, 0.5)), cover, 0.9)

    @jax.jit
    def slope(orders):
        return jax.value_and_grad(lambda x: pay_along(made(), network, play(network, x, demand)).sum())(orders)

    (_, found), (up, _), (down, _) = (slope(orders + step * direction) for step in (0.0, 1e-6, -1e-6))
    assert np.isfinite(found).all() and (np.abs(found) > 1e-9).mean() > 0.5
    assert float((found * direction).sum()) == pytest.approx(float(up - down) / 2e-6, rel=1e-6)


def test_no_gradient_goes_through_the_multipliers():
    """The slope of two periods is that with the prices that were played, as given numbers."""
    network = serial(1, lead_time=0, holding_cost=1.0, backlog_cost=2.0)
    demand = np.full((2, 1, 1), 4.0, np.float32)
    of = lagrangian(Term("cost"), (gap("fill_rate", 0.9), Term("stock")), rate=3.0, proportional=1.0, start=2.0)

    @jax.jit
    def slopes(orders):
        def learned(x):
            return pay_along(of, network, play(network, x, demand)).sum()

        def given(x, prices):
            played = play(network, x, demand)
            parts = weighted({"cost": 1.0}), Weighted({"g": of.constraints[0]}, {"g": 1.0}), weighted({"stock": 1.0})
            cost, short, stock = (pay_along(r, network, played) for r in parts)
            return (cost + prices[:, :1] * short + prices[:, 1:] * stock).sum()

        # Orders of 3 and 6: a unit short, then one in stock. Gaps 0.6 and -1.4, or what is left of 4 by 5.
        return jax.grad(learned)(orders), jax.grad(given)(orders, prices)

    x = np.asarray([3.0, 6.0], np.float32)[:, None, None]
    short, stock = np.asarray([0.9 * 4 - 3, 0.9 * 4 - 4]), np.asarray([0.0, 1.0])
    first = 2.0 + np.asarray([short[0], stock[0]])
    second = 2.0 + 3.0 * np.asarray([short[0], stock[0]]) + np.asarray([short[1], stock[1]])
    prices = np.stack([first, second]).astype(np.float32)
    learned, given = slopes(x)
    np.testing.assert_allclose(learned, given, rtol=1e-5)
    assert np.abs(learned).min() > 0


def test_multipliers_rise_and_fall_within_their_bounds(sound):
    """Each lane has its own: what is promised there is nothing, 0.9, or all."""
    played, plain, _, _, got = sound
    demand, filled = (x[:, 3:].sum(1) for x in (played.flows.ordered, played.flows.filled))
    broken = np.asarray(TARGETS[:-1]) * demand - filled
    price, prices = np.zeros(LANES - 1), []
    for t in range(PERIODS):
        prices.append(np.clip(price + 0.2 * broken[t], 0, 3))
        np.testing.assert_allclose(got["priced"][t], plain["cost"][t] - prices[t] * broken[t], rtol=1e-4, atol=1e-3)
        price = np.clip(price + 0.4 * broken[t], 0, 3)
    assert np.max(prices, 0).tolist()[::2] == [0, 3] and (np.diff(prices, axis=0) < 0).any()


def test_a_weight_means_the_same_in_other_units_of_the_same_network():
    """Twice the demand, money in another currency: sized terms are what they were, each of them."""
    network, units, money = shops(), 2.5, 40.0
    rates = ("holding_cost", "backlog_cost", "lost_cost", "unit_cost", "price", "transit_holding_cost")
    dear = network.replace(**{k: getattr(network, k) * money for k in rates})
    dear = dear.replace(
        fixed_order_cost=network.fixed_order_cost * money * units, initial_on_hand=network.initial_on_hand * units
    )
    orders, demand = draws(4)

    @jax.jit
    def read(network, orders, demand, mean):
        played = play(network, orders, demand)
        sizes = reference_sizes(network, mean)
        names = ("cost", "backlog", "unmet", "working_capital", "stockouts", "wait")
        of = {name: weighted({name: 1.0}, sizes=sizes, decay=0.5) for name in names}
        return pay_each(of, network, played), sizes

    mean = np.asarray([3.0, 4.0], np.float32)
    one, sizes = read(network, orders, demand, mean)
    other, _ = read(dear, orders * units, demand * units, mean * units)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-5, err_msg=name)
        assert np.abs(one[name]).max() > 1e-3, name
    # By hand: one period's demand everywhere at each node's rate; a full pipeline; every arc ordered on.
    by_hand = {
        "holding": 7 * 1 + 3 * 2 + 4 * 3, "transit": 3 * 0.2, "fixed": 5.0, "purchase": 7 * 2 + 3 * 0.5,
        "backlog": 3 * 4 + 4 * 3, "lost": 3.0, "revenue": 3 * 9 + 4 * 8, "cost": 25 + 0.6 + 5 + 15.5, "unmet": 7.0,
        "stock": 14.0, "in_transit": 7 + 3 + 8, "stockouts": 2.0, "fill_rate": 1.0, "operating": 1.0,
        "working_capital": 7 * 2 + 3 * 2.5 + 4 * 2, "holding_cost": 25.0,
    }  # fmt: skip
    for name, want in by_hand.items():
        np.testing.assert_allclose(sizes[name], want, rtol=1e-5, err_msg=name)


def test_weights_and_targets_of_a_sweep_are_one_program():
    network = serial(1, lead_time=0, holding_cost=1.0, backlog_cost=1.0)
    orders, demand = np.full((2, 1, 1), 2.0, np.float32), np.full((2, 1, 1), 3.0, np.float32)
    traces = []

    @jax.jit
    def run(of, orders, demand):
        traces.append(1)
        return pay_along(of, network, play(network, orders, demand)).sum()

    def made(weight, target):
        return weighted({"cost": weight, "late": 1.0}, quantities={"late": shortfall("fill_rate", target)})

    found = [float(run(made(w, t), orders, demand)) for w, t in ((1.0, 0.9), (2.0, 0.9), (1.0, 0.8))]
    assert len(traces) == 1 and len(set(found)) == 3


def test_names_of_terms_and_of_indicators_are_different_names():
    from meio_jax.kpis import COSTS
    from meio_jax.rewards import TERMS

    assert not {"cost", *COSTS, *TERMS} & set(KPIS)


def test_what_is_refused():
    network = shops()
    state, flows = initial_state(network, 1), None
    with pytest.raises(UnknownNameError, match="servce"):
        weighted({"cost": 1.0, "servce": 2.0})
    with pytest.raises(UnknownNameError, match="turnover"):
        running("turnover", by="customer")
    with pytest.raises(UnknownNameError, match="holdings"):
        Term("holdings")
    with pytest.raises(UnknownNameError, match="no share"):
        gap("wait", 0.5)
    for wrong in (-0.1, 1.2, float("nan"), None, "0.9"):
        with pytest.raises(NumberError, match="target of fill_rate"):
            shortfall("fill_rate", wrong)
        with pytest.raises(NumberError, match="target of fill_rate"):
            gap("fill_rate", wrong)
    with pytest.raises(NumberError, match="target of wait"):
        shortfall("wait", -1.0)
    with pytest.raises(NumberError, match="weight of cost"):
        weighted({"cost": np.nan})
    with pytest.raises(NumberError, match="decay"):
        weighted({"wait": 1.0}, decay=1.1)
    with pytest.raises(NumberError, match="rate"):
        lagrangian(Term("cost"), gap("fill_rate", 0.9), rate=-1.0)
    with pytest.raises(NumberError, match="width"):
        service_first(shortfall("fill_rate", 0.9), Term("cost"), width=0.0)
    cost = Term("cost")
    for wrong in (
        lambda: weighted({}),
        lambda: service_first((), cost),
        lambda: lagrangian(cost, ()),
        lambda: hinge(cost, 1.0, side="over"),
        lambda: hinge(cost, 1.0, power=3),
        lambda: Summed(cost, 0),
        lambda: running("wait", every=0),
        lambda: begin_reward(cost, network, 1),
        lambda: begin_reward(3.0, network, 1),
        lambda: reference_sizes(network, [1.0]),
        lambda: shaped(weighted({"cost": 1.0}), discount=1.0).apply(None, network, Played(flows)),
    ):
        with pytest.raises(InputError):
            wrong()
    with pytest.raises(InputError, match="window"):
        difference_rewards(None, network, state, np.zeros((2, 3, 1)), Shock(demand=np.zeros((2, 2, 1))), 0.0, window=0)
    with pytest.raises(InputError, match="agent 0"):
        difference_rewards(
            None, network, state, np.zeros((2, 3, 1)), Shock(demand=np.zeros((2, 2, 1))), 0.0, window=1, agents=[(3,)]
        )
