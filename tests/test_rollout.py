"""Playing a policy: one scan over any source of shocks; what is summed, seen late, compiled; published costs."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Scenario, build_network, scenario_of
from meio_jax.errors import InputError
from meio_jax.kpis import kpis, tally, total_cost
from meio_jax.policies import BaseStock, CappedBaseStock, Decision, ReorderLots, ReorderUpTo
from meio_jax.processes import Processes, deterministic, normal, poisson, replay, reports
from meio_jax.rollout import _rollout, add_compensated, rollout


def serial(timing="demand_first"):
    nodes = [Node("a", holding_cost=2), Node("b", holding_cost=4), Node("c", holding_cost=7)]
    arcs = [
        Arc(OUTSIDE, "a", lead_time=2),
        Arc("a", "b", lead_time=1, transit_holding_cost=2),
        Arc("b", "c", lead_time=1, transit_holding_cost=4),
        Arc("c", CUSTOMER, backlog_cost=37.12),
    ]
    return build_network(nodes, arcs, timing=timing)


LOCAL = jnp.asarray([[22.706 - 12.018], [12.018 - 6.491], [6.491]])
THETA = {"level": LOCAL}
KEY = jax.random.key(0)


def same(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if tolerance:
            np.testing.assert_allclose(x, y, **tolerance)
        else:
            np.testing.assert_array_equal(x, y)


def history(periods=40, lanes=6, seed=3):
    return scenario_of(np.random.default_rng(seed).gamma(5.0, 1.0, (periods, 1, lanes)).astype(np.float32))


@pytest.fixture(scope="module")
def played():
    """One run with its trajectory, that several tests look at."""
    return rollout(serial(), BaseStock(), THETA, history(), KEY, keep_trajectory=True)


def test_a_scenario_is_the_processes_that_drew_it(played):
    drawn = rollout(
        serial(), BaseStock(), THETA, Processes(demand=normal(5.0, 1.0)), KEY, periods=30, lanes=4, keep_trajectory=True
    )
    again = rollout(serial(), BaseStock(), THETA, Scenario(drawn.trajectory.shock), KEY)
    same(again.totals, drawn.totals)
    same(again.carry.state, drawn.carry.state)
    trace = rollout(
        serial(), BaseStock(), THETA, Processes(demand=replay(history().shocks.demand)), KEY, periods=40, lanes=6
    )
    same(trace.totals, played.totals)


def test_with_and_without_trajectory_agree(played):
    network, trajectory = serial(), played.trajectory
    bare = rollout(network, BaseStock(), THETA, history(), KEY)
    assert bare.trajectory is None
    same(bare.totals, played.totals, rtol=1e-6)
    same(bare.carry.state, played.carry.state, rtol=1e-5, atol=1e-5)
    sums = jax.tree.map(
        lambda x: np.asarray(x, np.float64).sum(0), jax.vmap(tally, (None, 0))(network, trajectory.flows)
    )
    same(sums, played.totals, rtol=1e-6)
    same(trajectory.shock.demand, history().shocks.demand)
    assert trajectory.orders.shape == (40, 3, 6)


def test_a_continued_run_is_the_long_run():
    network, scenario = serial(), history()
    half = scenario.periods // 2
    measure = total_cost
    long = rollout(network, BaseStock(), THETA, scenario, KEY, measure=measure)
    first = rollout(network, BaseStock(), THETA, scenario[:half], KEY, measure=measure)
    second = rollout(network, BaseStock(), THETA, scenario[half:], KEY, measure=measure, carry=first.carry)
    same(second.carry.state, long.carry.state)
    same(first.totals + second.totals, long.totals, rtol=1e-6)
    assert int(second.carry.state.t) == scenario.periods


def test_blocks_of_lanes_change_nothing():
    network, scenario = serial(), history()
    # Some numbers vary by lane and must be split with the lanes, others are shared.
    network = network.replace(holding_cost=network.holding_cost * jnp.linspace(1, 2, 6))
    theta = {"level": LOCAL + jnp.arange(6.0)}
    whole = rollout(network, BaseStock(), theta, scenario, KEY)
    parts = rollout(network, BaseStock(), theta, scenario, KEY, block=2)
    same(parts.totals, whole.totals, rtol=1e-6)
    same(parts.carry.state, whole.carry.state, rtol=1e-6)
    drawn = rollout(
        network,
        BaseStock(),
        theta,
        Processes(demand=normal(5.0, 1.0)),
        KEY,
        periods=9,
        lanes=6,
        block=3,
        measure=total_cost,
    )
    assert len(np.unique(np.asarray(drawn.totals))) == 6


def test_warmup_leaves_the_start_out(played):
    late = rollout(serial(), BaseStock(), THETA, history(), KEY, warmup=10)
    counted = jax.tree.map(lambda x: x[10:], played.trajectory.flows)
    sums = jax.tree.map(lambda x: x.sum(0), jax.vmap(tally, (None, 0))(serial(), counted))
    same(late.totals, sums, rtol=1e-5)
    np.testing.assert_array_equal(late.totals.periods, 30)
    np.testing.assert_allclose(kpis(late.totals)["cost"], late.totals.cost / 30, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"periods": 41}, "the scenario has 40 periods, 41 were asked for"),
        ({"lanes": 5}, "the scenario has 6 lanes, 5 were asked for"),
        ({"block": 4}, "block=4 must divide lanes=6"),
        ({"block": 3, "keep_trajectory": True}, "nor with a trajectory"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        rollout(serial(), BaseStock(), THETA, history(), KEY, **options)


def test_processes_need_a_horizon_and_late_reports_a_depth():
    with pytest.raises(InputError, match="needs periods= and lanes="):
        rollout(serial(), BaseStock(), THETA, Processes(demand=normal(5.0, 1.0)), KEY, periods=10)
    late = Processes(demand=normal(5.0, 1.0), reporting=reports([1, 1, 1]))
    with pytest.raises(InputError, match="oldest="):
        rollout(serial(), BaseStock(), THETA, late, KEY, periods=10, lanes=2)


def test_a_one_lane_history_is_met_in_every_lane():
    one = rollout(
        serial(), BaseStock(), {"level": LOCAL + jnp.arange(3.0)}, history(lanes=1), KEY, lanes=3, measure=total_cost
    )
    assert one.totals.shape == (3,)


def test_late_reports_are_a_queue():
    """The policy's picture at t is the true one of t - age, by node; orders since then are known to be unreported."""
    network = serial("order_first")
    w = network.wiring
    rng = np.random.default_rng(4)
    periods, lanes, oldest = 25, 3, 3
    age = rng.integers(0, oldest + 1, (periods, 3, lanes)).astype(np.float32)
    scenario = scenario_of(rng.poisson(5, (periods, 1, lanes)).astype(np.float32), report_age=age)
    played = rollout(network, BaseStock(), THETA, scenario, KEY, keep_trajectory=True, oldest=oldest)
    seen, flows = played.trajectory.seen, jax.tree.map(np.asarray, played.trajectory.flows)
    pipeline = np.asarray(seen.pipeline).sum(1)
    for lane in range(lanes):
        truth = collections.deque(
            maxlen=oldest + 1
        )  # newest first: stock, backlog, in transit at the start of a period
        start = (np.zeros(3), np.zeros(4), np.zeros(3))
        truth.extend([start] * (oldest + 1))
        placed = collections.deque([np.zeros(3)] * oldest, maxlen=oldest)
        for t in range(periods):
            if t:
                truth.appendleft(tuple(x[t - 1, :, lane] for x in (flows.on_hand, flows.backlog, flows.in_transit)))
            for n in range(3):
                a = int(age[t, n, lane])
                np.testing.assert_array_equal(seen.on_hand[t, 0, n, lane], truth[a][0][n])
                (e,) = (e for e in range(3) if w.dst[e] == n)
                np.testing.assert_allclose(pipeline[t, e, lane], truth[a][2][e], rtol=1e-6)
                since = sum(placed[k][e] for k in range(a))
                np.testing.assert_allclose(seen.unreported[t, e, lane], since, rtol=1e-6)
            a = int(age[t, 2, lane])
            np.testing.assert_array_equal(seen.owed[t, 3, lane], truth[a][1][3])
            placed.appendleft(flows.ordered[t, :3, lane])


@dataclasses.dataclass(frozen=True)
class Nothing:
    """Orders nothing, ever."""

    theta_has_lanes = True

    def memory(self, network, lanes):
        return None

    def apply(self, network, theta, memory, seen, key):
        return Decision(jnp.zeros((network.wiring.n_inner, seen.owed.shape[-1]))), memory


def test_ten_years_of_days_stay_accurate_in_float32():
    """Summed plainly in float32, 1e7 x 0.1 is 8 % off; ten years of days are no longer than this."""
    network = build_network(
        [Node("s", holding_cost=0.1, initial_on_hand=12345.6)], [Arc(OUTSIDE, "s"), Arc("s", CUSTOMER)]
    )
    periods = 3650
    asked = np.random.default_rng(0).random((periods, 1, 2)).astype(np.float32)
    totals = rollout(network, Nothing(), {}, scenario_of(asked), KEY, keep_trajectory=True)
    stock = np.asarray(totals.trajectory.flows.on_hand, np.float64)[:, 0]
    np.testing.assert_allclose(totals.totals.stock, stock.sum(0), rtol=2e-7)
    np.testing.assert_allclose(totals.totals.demand, asked.astype(np.float64).sum((0, 1)), rtol=2e-7)
    plain = np.float32(0)
    for x in asked[:, 0, 0]:
        plain += x
    assert abs(plain - asked[:, 0, 0].astype(np.float64).sum()) > abs(
        float(totals.totals.demand[0]) - asked[:, 0, 0].astype(np.float64).sum()
    )


def test_compensation_survives_compilation():
    @jax.jit
    def add(n):
        body = lambda _, s: add_compensated(*s, jnp.float32(0.1))  # noqa: E731
        return jax.lax.fori_loop(0, n, body, (jnp.float32(0), jnp.float32(0)))[0]

    np.testing.assert_allclose(float(add(10**7)), 1e6, rtol=2e-7)


def test_numbers_never_compile_anew():
    network, scenario = serial(), history(periods=7, lanes=2)

    def play(network, theta, key, warmup):
        return rollout(network, BaseStock(), theta, scenario, key, warmup=warmup, measure=total_cost)

    play(network, THETA, KEY, 0)
    before = _rollout._cache_size()
    for k in range(3):
        other = network.replace(holding_cost=network.holding_cost * k, backlog_cost=network.backlog_cost + k)
        play(other, {"level": LOCAL + k}, jax.random.key(k), k)
    assert _rollout._cache_size() == before
    rollout(network, BaseStock(cascade=False), THETA, scenario, KEY, measure=total_cost)
    assert _rollout._cache_size() == before + 1


# Published costs. Lanes are replications; the intervals are 99.9 %, so that a fixed seed says something.


def mean_cost(network, policy, theta, source, *, periods, lanes, warmup=100):
    totals = rollout(
        network, policy, {k: jnp.asarray(v, jnp.float32).reshape(-1, 1) for k, v in theta.items()}, source, KEY,
        periods=periods, lanes=lanes, warmup=warmup, measure=total_cost,
    ).totals  # fmt: skip
    cost = np.asarray(totals, np.float64) / (periods - warmup)
    return cost.mean(), 3.3 * cost.std(ddof=1) / np.sqrt(lanes)


def test_example_6_1_of_snyder_and_shen():
    levels = [22.706, 12.018, 6.491]
    mean, half = mean_cost(
        serial(),
        BaseStock(echelon=True),
        {"level": levels},
        Processes(demand=normal(5.0, 1.0)),
        periods=1100,
        lanes=1024,
    )
    assert half < 0.15
    assert abs(mean - 47.655) < half + 0.006


LOST = {
    "base-stock": (4, 0, BaseStock(), {"level": 16}, 4.63865),
    "capped base-stock": (4, 0, CappedBaseStock(), {"level": 17, "cap": 5}, 4.40573),
    "(s, S)": (14, 5, ReorderUpTo(), {"reorder": 17, "up_to": 23}, 11.6182),
    "(s, nQ)": (14, 5, ReorderLots(), {"reorder": 17, "lot": 7}, 11.5552),
    "(s, S, q)": (14, 5, ReorderUpTo(capped=True), {"reorder": 17, "up_to": 23, "cap": 7}, 11.4974),
}


@pytest.mark.parametrize("rule", LOST)
def test_lost_sales_of_zipkin_and_of_bijvank(rule):
    """Zipkin (2008) and Bijvank, Bhulai and Huh (2015): Poisson(5), lead time 2, holding 1, order first."""
    penalty, fixed, policy, theta, published = LOST[rule]
    arcs = [
        Arc(OUTSIDE, "s", lead_time=2, fixed_order_cost=fixed),
        Arc("s", CUSTOMER, keep=0.0, lost_cost=penalty),
    ]
    network = build_network([Node("s", holding_cost=1)], arcs, timing="order_first", integer=True)
    mean, half = mean_cost(network, policy, theta, Processes(demand=poisson(5.0)), periods=2000, lanes=512)
    assert half < 0.05
    assert abs(mean - published) < half


@pytest.mark.parametrize("ages", [(0, 0, 0), (3, 3, 3), (0, 3, 3), (3, 0, 0), (1, 2, 0), (2, 1, 3)])
def test_reports_of_any_ages_count_every_order_once(ages):
    """Constant demand, stock in plenty: stages above hold what they should; the last lacks the demand not yet told."""
    network, policy = serial(), BaseStock(echelon=True)
    theta = {"level": policy.start(network, [5.0])["level"] + jnp.asarray([[64.0], [40.0], [20.0]])}
    world = Processes(demand=deterministic(5.0), reporting=reports(ages))
    played = rollout(network, policy, theta, world, KEY, periods=150, lanes=1, oldest=4, keep_trajectory=True)
    stock = np.asarray(played.trajectory.flows.on_hand[-10:, :, 0])
    np.testing.assert_allclose(stock, np.tile([24.0, 20.0, 20.0 - 5.0 * ages[-1]], (10, 1)), atol=1e-4)
