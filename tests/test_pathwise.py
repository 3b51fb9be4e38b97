"""Pathwise learning: its gradients against differences and hand cases, its runs against optima that are known."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network
from meio_jax.actions import Tiers
from meio_jax.errors import InputError, UnknownNameError, UnsuitableError
from meio_jax.kpis import total_cost
from meio_jax.learners import pathwise
from meio_jax.learners.differentiable import fade, learned, limit
from meio_jax.learners.loop import TrainingDivergedError, train, train_seeds
from meio_jax.learners.pathwise import PathwiseConfig, PathwiseHyper, for_problem, init_train, train_chunk
from meio_jax.learners.pathwise_config import reach
from meio_jax.learners.registry import LEARNERS, learner_of
from meio_jax.learners.salvage import replacement_cost, salvage
from meio_jax.learners.segment import play_segment, windows
from meio_jax.learners.validation import Validation, validation_cost, validation_of
from meio_jax.policies.base import Decision
from meio_jax.policies.neural import NeuralPolicy
from meio_jax.processes import Processes, normal, poisson
from meio_jax.rollout import begin, rollout
from meio_jax.scenario import scenario_of
from meio_jax.simulator import initial_state
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import serial

TINY = PathwiseConfig(
    policy=NeuralPolicy(widths=(8,)), lanes=8, segment=6, tail=3, updates=8, warmup=4, eval_every=4,
    validation=Validation(periods=12, warmup=3, lanes=8),
)  # fmt: skip


def store(**changes):
    return serial(1, holding_cost=1.0, lead_time=1, backlog_cost=4.0, initial_on_hand=5.0).replace(**changes)


STORE = store()
WORLD = Processes(demand=normal(5.0, 1.0))


@dataclasses.dataclass(frozen=True)
class Planned:
    """Orders in period t what theta ``[T, I, 1]`` says, whatever is seen: every derivative can be counted by hand."""

    theta_has_lanes: ClassVar[bool] = False

    def init(self, key, network) -> Any:
        return jnp.full((30, network.wiring.n_inner, 1), 5.0)

    def memory(self, network, lanes) -> None:
        return None

    def apply(self, network, theta, memory, seen, key):
        orders = jax.lax.dynamic_index_in_dim(theta, seen.t, 0, False)
        return Decision(jnp.broadcast_to(orders, (orders.shape[0], seen.on_hand.shape[-1]))), memory


@functools.partial(jax.jit, static_argnames=("config",))
def slopes(config, network, scenario, theta, hyper):
    """The gradient of a segment that begins at time 0, in money of its periods."""
    carry = begin(network, config.policy, scenario, jax.random.key(0), config.lanes)

    def loss(theta):
        unit = jnp.asarray(1.0 / config.segment)
        return play_segment(config, network, scenario, hyper, theta, carry, jax.random.key(1), base=unit, width=None)[0]

    return jax.grad(loss)(theta)


@jax.jit
def by_period(network, scenario, theta):
    """``[T, T, I]``: what each order changes in the mean cost of each period, through `rollout` and forward mode."""

    def costs(theta):
        played = rollout(network, Planned(), theta, scenario, jax.random.key(0), keep_trajectory=True)
        return jax.vmap(lambda flows: total_cost(network, flows).mean())(played.trajectory.flows)

    return jax.jacfwd(costs)(theta)[..., 0]


def planned(lanes, **changes):
    """Plays its orders from time 0: a horizon that is longer than what is looked at."""
    base = {"segment": 6, "tail": 6, "horizon": 100, "max_worth": 0.0}
    return PathwiseConfig(policy=Planned(), lanes=lanes, **{**base, **changes})


def same(a, b):
    def one(x, y):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)

    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(one, a, b)


# Gradients


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_each_decision_answers_for_all_that_follows_it_and_the_tail_teaches_nothing(rngs, x64, discount):
    """Of a decision in period t the cost of period s counts discount^(s - t), also in the tail, whose own decisions
    are not learned from.
    """
    network = serial(2, holding_cost=[0.5, 1.0], lead_time=[2, 1], backlog_cost=9.0, initial_on_hand=[40.0, 6.0])
    scenario = scenario_of(rngs.numpy.uniform(2, 8, (12, 1, 4)))
    theta = jnp.asarray(rngs.numpy.uniform(3, 7, (12, 2, 1)))
    found = slopes(planned(4), network, scenario, theta, PathwiseHyper(discount=discount))[..., 0]
    matrix = by_period(network, scenario, theta)  # [s, t, I]
    ages = np.arange(12)[:, None] - np.arange(12)[None]
    expected = (np.where(ages >= 0, discount ** np.maximum(ages, 0), 0.0)[..., None] * matrix).sum(0)
    np.testing.assert_allclose(found[:6], expected[:6], rtol=1e-9, atol=1e-9)
    assert np.abs(expected[:6]).min() > 0.01 and (np.abs(matrix[6:, :6]) > 0.01).any()  # the tail had something to say
    np.testing.assert_array_equal(found[6:], 0.0)


def test_without_a_tail_the_last_decisions_look_free_of_consequences(rngs, x64):
    scenario = scenario_of(rngs.numpy.uniform(2, 8, (12, 1, 4)))
    theta = jnp.full((12, 1, 1), 5.0)
    config = planned(4, bootstrap="none")
    found = slopes(config, store(), scenario, theta, PathwiseHyper())[:6, 0, 0]
    assert found[-1] == 0.0 and (found[:-1] != 0).all()  # it arrives after the segment's end


def test_what_goods_cost_drops_out_but_for_what_demand_makes_necessary(rngs, x64):
    """The salvage value: purchases of a system that keeps backlog are its demand, whatever it orders."""
    scenario = scenario_of(rngs.numpy.uniform(2, 8, (12, 1, 4)))
    theta = jnp.asarray(rngs.numpy.uniform(3, 7, (12, 1, 1)))
    dear = store(unit_cost=jnp.full((1, 1), 100.0))
    free = store(unit_cost=jnp.zeros((1, 1)))
    gradients = [slopes(planned(4), n, scenario, theta, PathwiseHyper()) for n in (dear, free)]
    np.testing.assert_allclose(*gradients, rtol=1e-9, atol=1e-9)


def test_a_slope_at_whole_orders_is_that_between_the_two_around_what_was_wanted(rngs, x64):
    """What is ordered arrives at once: F(k + 1) - F(k), as no tie is split in two."""
    network = build_network(
        [Node("shop", holding_cost=3.0)],
        [Arc(OUTSIDE, "shop", lead_time=0), Arc("shop", CUSTOMER, keep=0.0, lost_cost=7.0)],
        integer=True,
    )
    demand = np.array([0, 1, 2, 2, 3, 4, 5, 5], float)
    scenario = scenario_of(demand[None, None])
    config = planned(8, segment=1, tail=0)

    def cost(k):
        return (3.0 * np.maximum(k - demand, 0) + 7.0 * np.maximum(demand - k, 0)).mean()

    def slope(x, **changes):
        theta = jnp.full((1, 1, 1), x)
        return float(slopes(config.replace(**changes), network, scenario, theta, PathwiseHyper())[0, 0, 0])

    for k in range(5):
        for x in (k + 0.1, k + 0.4, k + 0.6, k + 0.9):
            assert slope(x) == pytest.approx(cost(k + 1) - cost(k), abs=1e-12)
    assert cost(2) - cost(1) < slope(2.1, slack=0.0) < cost(3) - cost(2)  # at a kink: a mean of both


def test_fading_and_limiting_leave_values_alone():
    x = jnp.array([1.0, -2.0, 3.0])
    value, back = jax.vjp(lambda x: limit(fade(x, 0.5), jnp.asarray(2.0)), x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(back(jnp.array([1.0, -8.0, jnp.nan]))[0], [0.5, -1.0, jnp.nan])


def test_replacement_cost_and_salvage_by_hand():
    nodes = [Node("board"), Node("case"), Node("plant", operating_cost=1.0, initial_on_hand=2.0)]
    arcs = [
        Arc(OUTSIDE, "board", "cheap", unit_cost=2.0, lead_time=1, initial_pipeline=3.0),
        Arc(OUTSIDE, "board", "quick", unit_cost=5.0, lead_time=1),
        Arc(OUTSIDE, "case", "case", unit_cost=4.0, lead_time=1),
        Arc("board", "plant", component="board", units=2.0, lead_time=1, initial_pipeline=4.0),
        Arc("case", "plant", component="case", lead_time=1),
        Arc("plant", CUSTOMER, backlog_cost=5.0, price=20.0),
    ]
    network = build_network(nodes, arcs)
    product, _ = replacement_cost(network)
    assert {n: float(v[0]) for n, v in zip(network.wiring.nodes, product, strict=True)} == {
        "board": 2.0, "case": 4.0, "plant": 9.0,
    }  # fmt: skip
    state = initial_state(network, 1)
    state = state.replace(backlog=state.backlog.at[network.wiring.n_inner].set(1.0))
    # two products, three boards coming in, four on their way to the plant; who waits will get a product and pay for it
    assert float(salvage(network, state)[0]) == pytest.approx(2 * 9 + 3 * 2 + 4 * 2 - (9 - 20))


# Runs


def test_a_policy_far_off_learns_the_optimum():
    """Example 6.1 from levels that are a mean demand too low: within 1 % in three hundred small updates, and from the
    empty system that it is judged from, which lanes that only go on would have forgotten.
    """
    probe = probes.example_6_1()
    problem = Problem(probe.network, probe.processes)
    config, hyper = for_problem(
        problem, policy=NeuralPolicy(widths=(16,)), lanes=64, segment=20, updates=300, eval_every=0, learning_rate=1e-2
    )
    state = init_train(config, probe.network, probe.processes, hyper, jax.random.key(0))
    scale = dataclasses.replace(state.fixed.scale, echelon=state.fixed.scale.echelon - 5.0)
    state = init_train(config, probe.network, probe.processes, hyper, jax.random.key(0), scale=scale)
    play = jax.jit(
        lambda theta: validation_cost(
            Validation(periods=300, lanes=512, warmup=50), probe.network, probe.processes, config.policy, theta
        )
    )
    assert play(state.theta)["eval_cost"] > 1.5 * probe.optimum
    state, metrics = train(config, probe.network, probe.processes, hyper, state=state)
    found = play(state.theta)
    assert found["eval_cost"] < 1.01 * probe.optimum
    assert found["eval_cost"] > probe.optimum - 5 * found["eval_error"]
    assert metrics["finite"].all() and metrics["loss"][-1] < metrics["loss"][0]


def test_a_run_is_its_key_and_going_on_is_bitwise_the_unbroken_run():
    hyper = PathwiseHyper()
    key = jax.random.key(3)
    whole, all_metrics = train(TINY, STORE, WORLD, hyper, key)
    calls = []
    part, metrics = train(TINY, STORE, WORLD, hyper, key, chunk=4, callback=lambda s, m: calls.append(int(s.update)))
    same(whole, part)
    same(dict(all_metrics), dict(metrics))
    half, _ = train(TINY, STORE, WORLD, hyper, key, chunk=4, callback=lambda s, m: True)
    assert int(half.update) == 4
    again, _ = train(TINY, STORE, WORLD, hyper, state=half, chunk=4)
    same(whole, again)
    assert calls == [4, 8] and float(whole.best_cost) == all_metrics["eval_cost"].min()
    twice = train_seeds(TINY, STORE, WORLD, hyper, jax.random.split(jax.random.key(9), 3))
    one, _ = train(TINY, STORE, WORLD, hyper, jax.random.split(jax.random.key(9), 3)[1])
    same(twice[1][0], one)
    before = pathwise._chunk._cache_size()
    train_chunk(TINY, STORE.replace(holding_cost=2 * STORE.holding_cost), WORLD, hyper.replace(discount=0.5), half, 4)
    assert pathwise._chunk._cache_size() == before  # numbers compile nothing


def test_a_population_is_its_members_and_a_bad_one_harms_nobody():
    keys = jax.random.split(jax.random.key(5), 3)
    rates = jnp.array([3e-3, jnp.nan, 1e-2])
    hypers = PathwiseHyper().arrays().replace(learning_rate=rates)
    axes = jax.tree.map(lambda _: None, PathwiseHyper().arrays()).replace(learning_rate=0)
    states, metrics = jax.vmap(lambda h, k: train(TINY, STORE, WORLD, h, k), in_axes=(axes, 0))(hypers, keys)
    assert metrics["finite"].tolist() == [[True] * 8, [False] * 8, [True] * 8]
    alone, _ = train(TINY, STORE, WORLD, PathwiseHyper(learning_rate=3e-3), keys[0])
    np.testing.assert_allclose(metrics["cost"].shape, (3, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=2e-3, atol=2e-4), states.numbers, alone.numbers)
    fresh = jax.vmap(lambda h, k: init_train(TINY, STORE, WORLD, h, k), in_axes=(axes, 0))(hypers, keys)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b[1]), states.numbers, fresh.numbers)


@pytest.mark.parametrize("bad", ["rate", "cost"])
def test_a_nan_ends_the_run_and_keeps_the_last_good_state(bad):
    hyper, network = PathwiseHyper(), STORE
    good, _ = train(TINY, STORE, WORLD, hyper, jax.random.key(3), chunk=4, callback=lambda s, m: True)
    if bad == "rate":
        hyper = hyper.replace(learning_rate=jnp.nan)
    else:
        network = STORE.replace(holding_cost=jnp.full((1, 1), jnp.nan))
    with pytest.raises(TrainingDivergedError, match=r"pathwise: .* not finite in update 4") as caught:
        train(TINY, network, WORLD, hyper, chunk=4, state=good)
    same(caught.value.state.numbers, good.numbers)
    same(caught.value.state.carry, good.carry)
    assert not caught.value.metrics["finite"].any()


def test_a_problem_that_ends_is_played_from_its_beginning_and_its_opening_is_not_paid():
    problem = Problem(STORE, WORLD, criterion="total", periods=9, warmup=2)
    config, hyper = for_problem(problem, lanes=8, updates=4, eval_every=2)
    assert (config.segment, config.unpaid, config.tail_periods(STORE), config.begins_anew) == (11, 2, 0, True)
    assert config.policy.horizon == 11
    state = init_train(config, STORE, WORLD, hyper, jax.random.key(1))
    state, metrics = train_chunk(config, STORE, WORLD, hyper, state, 2)
    assert int(state.carry.state.t) == 11 and metrics["eval_cost"].shape == (1,)
    demand = jnp.full((11, 1, 8), 5.0).at[:2].set(500.0)  # a disaster before anything counts costs only later
    theta = jnp.zeros((11, 1, 1))
    quiet = planned(8, segment=11, horizon=11, ends=True, unpaid=2)
    carry = begin(STORE, Planned(), scenario_of(demand), jax.random.key(0), 8)
    played = play_segment(
        quiet, STORE, scenario_of(demand), hyper, theta, carry, jax.random.key(0), base=jnp.ones(()), width=None
    )[1]
    owed = 1000.0 - 5.0 + 5.0 * np.arange(1, 10)
    assert float(played.cost) == pytest.approx(4.0 * owed.sum() / 11)


# Scenarios


def test_history_is_played_in_windows_that_keep_the_calendar():
    history = scenario_of(np.arange(40.0)[:, None, None] + np.array([0.0, 1000.0]))
    config = dataclasses.replace(TINY, policy=NeuralPolicy(cycle=7), lanes=64)
    shock = windows(config, history, jax.random.key(0), 9, jnp.asarray(3))
    values = np.asarray(shock.demand[:, 0])  # [9, 64]
    first = values[0] % 1000
    np.testing.assert_array_equal(values, values[0] + np.arange(9)[:, None])
    assert set(first % 7) == {3.0} and len(set(first)) > 2 and first.max() <= 31
    assert set(values[0] >= 1000) == {True, False}  # both lanes of the history
    held = windows(planned(64), history, jax.random.key(0), 9, jnp.asarray(5)).demand[:, 0] % 1000
    np.testing.assert_array_equal(held, np.broadcast_to(5 + np.arange(9)[:, None], held.shape))


def test_learning_from_history():
    history = scenario_of(np.random.default_rng(0).uniform(3, 7, (40, 1, 1)))
    state, metrics = train(TINY, STORE, history, PathwiseHyper(), jax.random.key(0))
    assert metrics["finite"].all() and np.isfinite(float(state.best_cost))
    with pytest.raises(InputError, match=r"40 periods, and an update plays 50"):
        init_train(TINY.replace(segment=40, tail=6), STORE, history, PathwiseHyper(), jax.random.key(0))


# What it refuses


def fixed(cost):
    return STORE.replace(fixed_order_cost=jnp.full((1, 1), cost))


@pytest.mark.parametrize(
    ("network", "config", "words"),
    [
        (fixed(3.0), TINY, ["fixed cost", "stage", "smooth_fixed_cost", "ppo"]),
        (STORE.replace(minimum_order=jnp.full((1, 1), 2.0)), TINY, ["minimum order", "search"]),
        (STORE, TINY.replace(policy=NeuralPolicy(Tiers())), ["Tiers", "continuous|order_up_to", "ppo"]),
    ],
)
def test_what_has_no_gradient_is_refused_by_name(network, config, words):
    with pytest.raises(UnsuitableError) as caught:
        init_train(config, network, WORLD, PathwiseHyper(), jax.random.key(0))
    for word in words[1:] if words[1] == "stage" else words:
        assert any(w in str(caught.value) for w in word.split("|")) or word == "stage", str(caught.value)


def test_a_fixed_cost_may_be_smoothed_and_is_judged_unsmoothed():
    config = TINY.replace(smooth_fixed_cost=0.5)
    assert "smoothed" in " ".join(config.notes)
    state = init_train(config, fixed(3.0), WORLD, PathwiseHyper(), jax.random.key(0))
    _, metrics = train_chunk(config, fixed(3.0), WORLD, PathwiseHyper(), state, 4)
    assert metrics["finite"].all()
    paid = np.asarray(metrics["loss"]) * float(state.base)
    assert (paid < np.asarray(metrics["cost"])).all()  # orders of mean size, 1 - exp(-2) of the fixed cost
    assert (np.asarray(metrics["cost"]) - paid < 3.0 * 0.3).all()
    true = validation_cost(config.validation, fixed(3.0), WORLD, config.policy, state.theta)["eval_cost"]
    free = validation_cost(config.validation, fixed(0.0), WORLD, config.policy, state.theta)["eval_cost"]
    assert float(true - free) == pytest.approx(3.0, rel=0.05)  # ordered nearly always, and paid in full
    assert TINY.notes == ()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"segment": 0}, "segment"),
        ({"tail": -1}, "tail"),
        ({"ends": True}, "horizon"),
        ({"horizon": 4, "burn_in": 2}, "burn_in"),
        ({"stretch": 4}, "stretch"),
        ({"horizon": 4, "unpaid": 4}, "unpaid"),
    ],
)
def test_a_configuration_that_cannot_be_played_is_refused(changes, word):
    with pytest.raises(InputError, match=word):
        TINY.replace(**changes)


def test_names_that_there_are_not_are_refused():
    with pytest.raises(UnknownNameError, match="bootstrap"):
        TINY.replace(bootstrap="hope")
    with pytest.raises(InputError, match="PathwiseConfig, PPOConfig"):
        learner_of(3)
    assert learner_of(TINY) is LEARNERS["pathwise"]
    with pytest.raises(InputError, match="key"):
        train(TINY, STORE, WORLD, PathwiseHyper())
    with pytest.raises(InputError, match="eval_every"):
        train_chunk(TINY, STORE, WORLD, PathwiseHyper(), None, 3)
    with pytest.raises(InputError, match="lanes"):
        init_train(TINY, STORE.replace(holding_cost=jnp.ones((1, 3))), WORLD, PathwiseHyper(), jax.random.key(0))


# What it is judged by


def test_validation_is_the_criterion_of_the_problem(x64):
    """All three on one scenario, against sums in NumPy."""
    demand = np.random.default_rng(1).uniform(3, 7, (20, 1, 5))
    scenario, theta = scenario_of(demand), jnp.full((20, 1, 1), 5.0)
    network = store()
    played = rollout(network, Planned(), theta, scenario, jax.random.key(0), keep_trajectory=True)
    costs = np.asarray(jax.vmap(lambda f: total_cost(network, f))(played.trajectory.flows))[4:20]  # [16, 5]
    expected = {
        "average": costs.mean(0),
        "total": costs.sum(0),
        "discounted": (0.9 ** np.arange(16)[:, None] * costs).sum(0),
    }
    for criterion, value in expected.items():
        judged = Validation(criterion, periods=16, warmup=4, discount=0.9)
        found = validation_cost(judged, network, scenario, Planned(), theta)
        assert float(found["eval_cost"]) == pytest.approx(value.mean(), rel=1e-9)
        assert float(found["eval_error"]) == pytest.approx(value.std() / 5**0.5, rel=1e-9)


def test_the_defaults_follow_the_criterion():
    discounted = Problem(STORE, WORLD, criterion="discounted", discount=0.9, warmup=7)
    config, hyper = for_problem(discounted, learning_rate=0.5, lanes=16)
    assert hyper.discount == 0.9 and hyper.learning_rate == 0.5 and config.lanes == 16
    assert config.validation == validation_of(discounted, lanes=512) and config.validation.warmup == 7
    assert 0.9**config.validation.periods < 1e-4 < 0.9 ** (config.validation.periods - 2)
    config, hyper = for_problem(Problem(STORE, Processes(demand=poisson(5.0))))
    assert hyper.discount == 1.0 and config.horizon is None and config.tail_periods(STORE) >= reach(STORE)


def test_what_is_learned_of_a_rule_is_its_floats():
    numbers, put = learned({"level": jnp.ones((2, 1)), "cycle": jnp.arange(3)})
    assert len(numbers) == 1
    same(put([numbers[0] + 1]), {"level": 2 * jnp.ones((2, 1)), "cycle": jnp.arange(3)})
