"""PPO: its parts against plain arithmetic, its values and policies against systems that are known."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from meio_jax.actions import OrderUpTo, Quantity, ReorderUpTo, Tiers
from meio_jax.env import Env
from meio_jax.errors import InputError, NonFiniteError, UnsuitableError
from meio_jax.kpis import kpis
from meio_jax.learners import ppo
from meio_jax.learners.gae import gae
from meio_jax.learners.loop import TrainingDivergedError, train
from meio_jax.learners.potential import stock_value
from meio_jax.learners.ppo import PPOConfig, PPOHyper, for_problem, init_train, train_chunk, value_of
from meio_jax.policies import BaseStock
from meio_jax.policies.base import Policy
from meio_jax.policies.bodies.lstm import LSTM
from meio_jax.policies.neural import NeuralPolicy, ThetaMismatchError
from meio_jax.policies.normaliser import init_moments, normalise, update_moments
from meio_jax.processes import Processes, poisson
from meio_jax.rollout import rollout
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import serial

SMALL = PPOConfig(
    lanes=16, segment=8, updates=10, epochs=2, minibatches=2, widths=(8,), eval_every=5, eval_lanes=16,
    eval_periods=20, eval_warmup=5, warmup=4,
)  # fmt: skip
QUICK = PPOConfig(lanes=64, segment=16, updates=60, widths=(32, 32), warmup=4)


def cost_of(config, probe, theta, periods=600, lanes=128, warmup=50):
    """Mean cost of the mode policy on fresh draws, and its standard error."""
    played = rollout(
        probe.network,
        config.policy,
        theta,
        probe.processes,
        jax.random.key(77),
        periods=periods,
        lanes=lanes,
        warmup=warmup,
    )
    cost = np.asarray(kpis(played.totals)["cost"])
    return cost.mean(), cost.std() / lanes**0.5


def same(a, b, exact=True, **tolerance):
    def one(x, y):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        (np.testing.assert_array_equal if exact else functools.partial(np.testing.assert_allclose, **tolerance))(x, y)

    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(one, a, b)


# The parts


def test_gae_is_the_loop_in_the_paper(rngs, x64):
    T, B = 7, 3
    r, v, last = rngs.numpy.normal(size=(T, B)), rngs.numpy.normal(size=(T, B)), rngs.numpy.normal(size=B)
    discount, trace = 0.9, 0.7
    after = np.concatenate([v[1:], last[None]])
    error = r + discount * after - v
    expected = np.zeros((T, B))
    for t in range(T):
        for k in range(t, T):
            expected[t] += (discount * trace) ** (k - t) * error[k]
    advantages, targets = gae(*map(jnp.asarray, (r, v, last)), discount, trace)
    np.testing.assert_allclose(advantages, expected, rtol=1e-12)
    np.testing.assert_allclose(targets, expected + v, rtol=1e-12)


def test_gae_with_full_trace_is_the_bootstrapped_return(rngs, x64):
    r, v, last = rngs.numpy.normal(size=(5, 2)), rngs.numpy.normal(size=(5, 2)), rngs.numpy.normal(size=2)
    _, targets = gae(*map(jnp.asarray, (r, v, last)), 0.9, 1.0)
    value = last
    for t in range(4, -1, -1):
        value = r[t] + 0.9 * value
        np.testing.assert_allclose(targets[t], value, rtol=1e-12)


def test_moments_of_parts_are_those_of_the_whole(rngs):
    x = (rngs.numpy.normal(size=(600, 4)) * [1, 10, 0.1, 0] + [0, 1000, -3, 5]).astype(np.float32)
    moments = init_moments(4)
    np.testing.assert_array_equal(normalise(moments, jnp.asarray(x[0] * 1e-3)), x[0] * 1e-3)  # nothing seen: identity
    for part in np.split(x, [100, 250]):
        moments = update_moments(
            moments, jnp.asarray(part).reshape(-1, 2, 4) if len(part) % 2 == 0 else jnp.asarray(part)
        )
    np.testing.assert_allclose(moments.mean, x.mean(0, dtype=np.float64), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(moments.variance, x.var(0, dtype=np.float64), rtol=1e-3, atol=1e-6)
    assert float(moments.count) == 600
    assert float(update_moments(moments, jnp.asarray(x), most=700.0).count) == 700
    y = normalise(moments, jnp.asarray(x))
    assert bool((jnp.abs(y) <= 10).all()) and bool(jnp.isnan(normalise(moments, jnp.full(4, jnp.nan))).all())
    np.testing.assert_allclose(y[:, :3].std(0), 1.0, rtol=1e-2)


def test_an_untrained_policy_is_the_reference_rule_and_a_policy_like_any_other():
    probe = probes.example_6_1()
    state = init_train(SMALL, *probe[:2], PPOHyper(), jax.random.key(0))
    policy = SMALL.policy
    assert isinstance(policy, Policy) and not policy.theta_has_lanes
    assert hash(policy) == hash(NeuralPolicy(OrderUpTo(), (8,)))
    decision, _ = policy.apply(probe.network, state.theta, None, state.env.seen, jax.random.key(1))
    rule = OrderUpTo().orders(probe.network, state.scale, state.env.seen, jnp.zeros((16, 3)))
    np.testing.assert_allclose(decision.orders, rule, rtol=1e-6)
    noisy = NeuralPolicy(OrderUpTo(), (8,), deterministic=False)
    one, two = (noisy.apply(probe.network, state.theta, None, state.env.seen, jax.random.key(k))[0] for k in (1, 2))
    assert bool((one.orders != two.orders).any())


# Values and policies that are known


@pytest.mark.parametrize("normalised", [True, False])
def test_a_constant_cost_is_worth_what_it_is_worth(normalised):
    """Truncation treated as an end would give a smaller value."""
    probe = probes.constant_cost(3.0)
    names = ("centre_rewards", "scale_rewards", "normalise_features", "normalise_advantages")
    config = PPOConfig(
        lanes=16,
        segment=8,
        updates=100,
        epochs=4,
        minibatches=1,
        widths=(16,),
        warmup=0,
        **dict.fromkeys(names, normalised),
    )
    hyper = PPOHyper(learning_rate=3e-2, discount=0.9, trace=0.95, max_gradient=100.0)
    state, _ = train(config, *probe[:2], hyper, jax.random.key(0))
    np.testing.assert_allclose(value_of(config, hyper, probe.network, state), -3.0 / (1 - 0.9), rtol=0.01)


def test_where_the_problem_ends_nothing_is_bootstrapped():
    probe = probes.constant_cost(3.0)
    config = PPOConfig(
        lanes=16, segment=4, horizon=4, ends=True, updates=150, epochs=4, minibatches=1, widths=(32,), warmup=0,
        centre_rewards=False, scale_rewards=False, normalise_features=False,
    )  # fmt: skip
    hyper = PPOHyper(learning_rate=2e-2, discount=0.9, trace=1.0, max_gradient=100.0)
    state, _ = train(config, *probe[:2], hyper, jax.random.key(0))
    fresh = state.replace(
        env=state.env.__class__(
            **{**vars(state.env), "seen": state.env.seen.replace(t=jnp.int32(0), demand=0 * state.env.seen.demand)}
        )
    )
    found = value_of(config, hyper.replace(discount=0.0), probe.network, fresh)
    np.testing.assert_allclose(found, -3.0 * (1 + 0.9 + 0.81 + 0.729), rtol=0.03)
    assert int(state.env.state.t) == 4


TIERS = Tiers((0.0, 0.5, 0.8, 1.0, 1.1, 1.2, 1.3, 1.33, 1.4, 1.5, 2.0))


@pytest.mark.parametrize("head", [OrderUpTo(), TIERS], ids=["continuous", "discrete"])
def test_a_reward_that_depends_on_the_order_alone_is_learned(head):
    probe = probes.newsvendor()
    config = PPOConfig(**{**vars(QUICK), "head": head, "updates": 80})
    hyper = PPOHyper(discount=0.9, learning_rate=3e-3)
    start = init_train(config, *probe[:2], hyper, jax.random.key(0))
    before, _ = cost_of(config, probe, start.theta)
    state, metrics = train(config, *probe[:2], hyper, jax.random.key(0))
    after, error = cost_of(config, probe, state.theta)
    assert before > 1.2 * probe.optimum
    assert after < 1.02 * probe.optimum + 2 * error, (before, after, probe.optimum)
    assert metrics["cost"][-10:].mean() < metrics["cost"][0]


def test_a_reward_that_depends_on_what_is_seen_is_learned():
    probe = probes.order_what_is_seen()
    config = PPOConfig(**{**vars(QUICK), "head": Quantity(), "updates": 150})
    hyper = PPOHyper(discount=0.9, learning_rate=3e-3, std=0.3, std_end=0.05)
    start = init_train(config, *probe[:2], hyper, jax.random.key(0))
    state, _ = train(config, *probe[:2], hyper, jax.random.key(0))
    before, after = (cost_of(config, probe, s.theta)[0] for s in (start, state))
    assert after < 0.15 * before, (before, after)


@pytest.mark.slow
def test_a_reward_that_comes_two_periods_later_is_learned():
    probe = probes.base_stock()
    state, _ = train(QUICK, *probe[:2], PPOHyper(learning_rate=3e-3), jax.random.key(0))
    cost, error = cost_of(QUICK, probe, state.theta)
    assert cost < 1.02 * probe.optimum + 2 * error, (cost, probe.optimum)


def test_a_chain_comes_near_its_optimum_in_seconds():
    """The short form of `experiments.ppo_goldens`."""
    probe = probes.example_6_1()
    config = PPOConfig(updates=80, lanes=128, segment=16)
    start = init_train(config, *probe[:2], PPOHyper(), jax.random.key(0))
    state, _ = train(config, *probe[:2], PPOHyper(learning_rate=3e-3), jax.random.key(0))
    before, _ = cost_of(config, probe, start.theta)
    cost, error = cost_of(config, probe, state.theta)
    assert before > 1.02 * probe.optimum, before
    assert cost < 1.01 * probe.optimum, (cost, error)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["example_6_1", "case_1", "case_2", "lost_sales"])
def test_the_default_configuration_reaches_the_optimum(name):
    from experiments.ppo_goldens import INSTANCES, run

    found = run(INSTANCES[name], seeds=2, lanes=512, periods=1100)
    assert found.gap + found.margin < 2.0, found


# What a run is


def test_a_run_that_was_stopped_is_bitwise_the_run_that_was_not():
    probe = probes.example_6_1()
    start = init_train(SMALL, *probe[:2], PPOHyper(), jax.random.key(3))
    whole, all_metrics = train_chunk(SMALL, *probe[:2], PPOHyper(), start, 10)
    half, first = train_chunk(SMALL, *probe[:2], PPOHyper(), start, 5)
    # through the host, as a checkpoint would
    leaves, tree = jax.tree.flatten(half)
    keys = [jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) for x in leaves]
    stored = [np.array(jax.random.key_data(x) if k else x) for x, k in zip(leaves, keys, strict=True)]
    back = [
        jax.random.wrap_key_data(jnp.asarray(x)) if k else jnp.asarray(x) for x, k in zip(stored, keys, strict=True)
    ]
    resumed, second = train_chunk(SMALL, *probe[:2], PPOHyper(), tree.unflatten(back), 5)
    same(whole, resumed)
    same(all_metrics, jax.tree.map(lambda *x: jnp.concatenate(x), first, second))
    assert int(whole.update) == 10


def test_a_run_is_its_key_and_the_host_loop_changes_nothing():
    probe = probes.example_6_1()
    seen = []
    one, metrics = train(
        SMALL, *probe[:2], PPOHyper(), jax.random.key(3), chunk=5, callback=lambda s, m: seen.append(int(s.update))
    )
    two, _ = train(SMALL, *probe[:2], PPOHyper(), jax.random.key(3))
    other, _ = train(SMALL, *probe[:2], PPOHyper(), jax.random.key(4))
    same(one, two)
    assert seen == [5, 10]
    assert metrics["cost"].shape == (10,) and metrics["eval_cost"].shape == (2,)
    assert not np.array_equal(one.params["log_std"], other.params["log_std"])
    part, _ = train(SMALL, *probe[:2], PPOHyper(), jax.random.key(3), chunk=5, callback=lambda s, m: True)
    rest, _ = train(SMALL, *probe[:2], PPOHyper(), jax.random.key(9), state=part)
    same(one, rest)
    assert train(SMALL, *probe[:2], PPOHyper(), jax.random.key(9), state=one) == (one, {})


def test_a_search_over_seeds_rates_and_costs_is_one_vmap():
    probe = probes.example_6_1()
    keys = jax.random.split(jax.random.key(0), 2)
    rates = jnp.array([1e-3, 1e-2])
    costs = jnp.stack([probe.network.holding_cost, 2 * probe.network.holding_cost])

    def one(key, rate, cost):
        network = probe.network.replace(holding_cost=cost)
        return train(SMALL, network, probe.processes, PPOHyper(learning_rate=rate), key)

    grid = jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))
    state, metrics = jax.jit(grid)(keys, rates, costs)
    assert metrics["cost"].shape == (2, 2, 10) and metrics["eval_cost"].shape == (2, 2, 2)
    for i in range(2):
        for j in range(2):
            alone, found = one(keys[i], rates[j], costs[j])
            mine = jax.tree.map(operator.itemgetter((i, j)), (state.params, metrics))
            same(mine, (alone.params, found), exact=False, rtol=2e-3, atol=2e-4)
    assert len({float(x) for x in metrics["cost"][:, :, -1].ravel()}) == 4


def test_numbers_do_not_compile_anew():
    probe = probes.example_6_1()
    state = init_train(SMALL, *probe[:2], PPOHyper(), jax.random.key(0))
    train_chunk(SMALL, *probe[:2], PPOHyper(), state, 5)
    chunks, starts = ppo._chunk._cache_size(), ppo._init._cache_size()
    other = probe.network.replace(holding_cost=probe.network.holding_cost * 2)
    hyper = PPOHyper(learning_rate=jnp.asarray(0.1), clip=0.3, discount=0.5, std=1.0)
    again = init_train(SMALL, other, probe.processes, hyper, jax.random.key(1))
    train_chunk(SMALL, other, probe.processes, hyper, again, 5)
    assert ppo._chunk._cache_size() == chunks and ppo._init._cache_size() == starts


def test_rollout_loss_and_evaluation_see_the_same_numbers():
    """The moments have moved; still the first ratio of an epoch is 1, and the policy that is evaluated uses them."""
    probe = probes.example_6_1()
    state, metrics = train(SMALL, *probe[:2], PPOHyper(), jax.random.key(0))
    assert metrics["first_ratio_error"].max() < 1e-5
    assert float(state.moments.count) > 1 and bool((jnp.abs(state.moments.mean) > 1e-3).any())
    network, policy, theta = probe.network, SMALL.policy, state.theta
    seen = state.env.seen
    decision, _ = policy.apply(network, theta, None, seen, jax.random.key(0))
    x = (np.asarray(policy.see(network, theta, seen)) - state.moments.mean) / np.sqrt(
        np.maximum(state.moments.variance, 1e-6)
    )
    net = jax.tree.map(np.asarray, theta.params["net"])
    hidden = np.tanh(x @ net["actor_0"]["kernel"] + net["actor_0"]["bias"])
    raw = hidden @ net["actor_out"]["kernel"] + net["actor_out"]["bias"]
    np.testing.assert_allclose(
        decision.orders, policy.head.orders(network, theta.scale, seen, jnp.asarray(raw)), rtol=1e-4, atol=1e-4
    )


def test_metrics_say_what_a_practitioner_looks_at():
    probe = probes.newsvendor()
    _, metrics = train(
        PPOConfig(**{**vars(SMALL), "head": TIERS, "clip_values": True, "shared": True, "schedule": "cosine"}),
        *probe[:2],
        PPOHyper(entropy_weight=0.01),
        jax.random.key(0),
    )
    wanted = {
        "loss",
        "policy_loss",
        "value_loss",
        "entropy",
        "approx_kl",
        "clip_fraction",
        "explained_variance",
        "gradient",
    }
    wanted |= {
        "learning_rate",
        "cost",
        "reward",
        "finite",
        "first_ratio_error",
        "eval_cost",
        "eval_error",
        "eval_fill_rate",
    }
    assert wanted <= set(metrics)
    assert all(np.isfinite(x).all() for x in metrics.values())
    np.testing.assert_allclose(metrics["learning_rate"][[0, 5]], [1e-3, 1e-3 * (0.02 + 0.98 * 0.5)], rtol=1e-5)
    np.testing.assert_allclose(metrics["cost"], -metrics["reward"], rtol=1e-5)
    assert (metrics["approx_kl"] >= -1e-6).all() and metrics["entropy"][0] <= np.log(TIERS.choices) + 1e-4


@pytest.mark.parametrize("bad", ["rate", "cost"])
def test_a_nan_stops_the_run_and_keeps_the_last_good_state(bad):
    probe = probes.example_6_1()
    network = probe.network
    hyper = PPOHyper()
    state = None
    if bad == "rate":
        hyper = hyper.replace(learning_rate=float("nan"))
    else:
        state, _ = train_chunk(
            SMALL,
            network,
            probe.processes,
            hyper,
            init_train(SMALL, network, probe.processes, hyper, jax.random.key(0)),
            5,
        )
        network = network.replace(backlog_cost=network.backlog_cost * jnp.nan)
    with pytest.raises(TrainingDivergedError, match=f"update {0 if bad == 'rate' else 5}") as caught:
        train(SMALL, network, probe.processes, hyper, jax.random.key(0), state=state)
    assert isinstance(caught.value, NonFiniteError)
    kept = caught.value.state
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves((kept.params, kept.moments)))
    assert int(kept.update) == (0 if bad == "rate" else 5)
    if state is not None:
        same(kept.params, state.params)


def test_no_key_is_used_twice(key_reuse):
    probe = probes.example_6_1()
    config = PPOConfig(**{**vars(SMALL), "segment": 4, "horizon": 4, "eval_every": 1})
    state = init_train(config, *probe[:2], PPOHyper(), jax.random.key(0))
    state, metrics = train_chunk(config, *probe[:2], PPOHyper(), state, 2)
    assert bool(metrics["finite"].all())


@pytest.mark.parametrize(
    "change, word",
    [
        ({"lanes": 0}, "lanes"),
        ({"minibatches": 3}, "minibatches"),
        ({"schedule": "steps"}, "schedule"),
        ({"horizon": 12}, "horizon"),
        ({"ends": True}, "horizon"),
        ({"warmup": -1}, "warmup"),
        ({"eval_periods": 5}, "eval_warmup"),
        ({"activation": "step"}, "activation"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(change, word):
    with pytest.raises(InputError, match=word):
        _ = PPOConfig(**{**vars(SMALL), **change}).policy


def test_chunks_and_lanes_that_do_not_fit_are_refused():
    probe = probes.example_6_1()
    state = init_train(SMALL, *probe[:2], PPOHyper(), jax.random.key(0))
    with pytest.raises(InputError, match="eval_every"):
        train_chunk(SMALL, *probe[:2], PPOHyper(), state, 3)
    wide = probe.network.replace(holding_cost=jnp.ones((3, 5)))
    with pytest.raises(InputError, match="lanes"):
        init_train(SMALL, wide, probe.processes, PPOHyper(), jax.random.key(0))


# What the contract asks for


def test_a_policy_that_remembers_is_judged_with_the_memory_it_had():
    """The first ratio is 1 only if each lane is replayed from the memory at its segment's start; later segments begin
    with memories that are not those of time 0.
    """
    probe = probes.example_6_1()
    config = SMALL.replace(body=LSTM(cells=4, widths=(8,)), eval_every=0)
    state = init_train(config, *probe[:2], PPOHyper(), jax.random.key(0))
    assert all(bool((x != 0).any()) for x in jax.tree.leaves(state.memory))  # the warm-up is remembered
    state, metrics = train_chunk(config, *probe[:2], PPOHyper(learning_rate=1e-2), state, 4)
    assert metrics["first_ratio_error"].max() < 1e-5 and bool(metrics["finite"].all())
    # Judged with another memory the same deeds are not as likely.
    policy, theta = config.policy, state.acting
    x = policy.see(probe.network, theta, state.env.seen)
    one, other = (
        policy.act_with_memory(probe.network, theta, x, m, None)[0].mode()
        for m in (state.memory, jax.tree.map(jnp.zeros_like, state.memory))
    )
    assert float(jnp.abs(one - other).max()) > 1e-4


def test_the_baseline_knows_what_comes_and_nothing_that_was_decided():
    """Each period's cost is its own demand's luck: a baseline that knows that demand explains it, and one that knows
    what the policy sees explains nothing.
    """
    probe = probes.newsvendor()
    explained = {}
    for k in (0, 1):
        config = SMALL.replace(lookahead=k, updates=60, lanes=64, eval_every=0, widths=(32,), epochs=4)
        hyper = PPOHyper(discount=0.9, trace=0.0, std=0.1, std_end=0.1)
        _, metrics = train(config, *probe[:2], hyper, jax.random.key(0))
        explained[k] = float(metrics["explained_variance"][-5:].mean())
    assert explained[0] < 0.2 and explained[1] > 0.8, explained


def test_purchases_shape_rewards_and_leave_the_policy_its_optimum():
    """What is bought is worth what it cost: along any way the potential telescopes."""
    network = serial(2, lead_time=[2, 1], holding_cost=[1.0, 2.0], unit_cost=[3.0, 1.5], backlog_cost=9.0)
    env = Env(network, Processes(demand=poisson(4.0)))
    state = env.reset(jax.random.key(0), 5)
    # Paid when shipped; a unit at the shop has cost 3 + 1.5, one that a customer waits for will have to be bought.
    for k in range(6):
        before = stock_value(None, network, state.state)
        demand = state.shock.demand
        after, step = env.step(state, jnp.full((2, 5), 2.0 + k), jax.random.key(k + 1))
        bought = 3.0 * step.flows.shipped[0] + 1.5 * step.flows.shipped[1]
        gained = (stock_value(None, network, after.state) - before).sum(0)
        np.testing.assert_allclose(gained, bought - 4.5 * demand[0], rtol=1e-5, atol=1e-4)
        state = after
    assert stock_value(None, probes.example_6_1().network, state.state) is None  # nothing is bought there


def test_a_start_from_given_numbers_and_numbers_of_another_network():
    probe = probes.base_stock()
    state = init_train(SMALL, *probe[:2], PPOHyper(), jax.random.key(0))
    moved = state.theta.replace(params=jax.tree.map(lambda x: x + 0.5, state.theta.params))
    again = init_train(SMALL, *probe[:2], PPOHyper(), jax.random.key(1), theta=moved)
    same(again.theta, moved)
    other = probes.example_6_1()
    with pytest.raises(ThetaMismatchError, match=r"log_std'\] is \(1,\), \(3,\) is expected"):
        init_train(SMALL, *other[:2], PPOHyper(), jax.random.key(0), theta=moved)
    with pytest.raises(ThetaMismatchError, match=r"log_std'\] is \(1,\), nothing is expected"):
        init_train(SMALL.replace(head=TIERS), *probe[:2], PPOHyper(), jax.random.key(0), theta=moved)


def test_tiers_that_an_arc_cannot_take_are_refused():
    probe = probes.base_stock()
    network = probe.network.replace(order_capacity=jnp.full((1, 1), 1.0))  # the mean order is 5
    config = SMALL.replace(head=Tiers((0.0, 0.5, 1.0)))
    with pytest.raises(UnsuitableError, match=r"can take none of the tiers.*0 and 1 units"):
        init_train(config, network, probe.processes, PPOHyper(), jax.random.key(0))
    init_train(SMALL.replace(head=Tiers((0.0, 0.2, 1.0))), network, probe.processes, PPOHyper(), jax.random.key(0))


def test_a_problem_becomes_a_run_by_its_criterion():
    probe = probes.base_stock()
    config, hyper = for_problem(Problem(probe.network, probe.processes), lanes=32, clip=0.1)
    assert (config.horizon, config.lanes, hyper.clip) == (None, 32, 0.1)
    assert (config.judged_by.criterion, config.head) == ("average", OrderUpTo())
    config, hyper = for_problem(
        Problem(probe.network, probe.processes, criterion="total", periods=30, warmup=1),
        policy=NeuralPolicy(Quantity()),
    )
    assert (config.horizon, config.ends, config.unpaid, config.segment, hyper.discount) == (31, True, 1, 31, 1.0)
    assert config.policy.head == Quantity() and config.policy.horizon == 31 and config.judged_by.criterion == "total"
    config, hyper = for_problem(Problem(probe.network, probe.processes, criterion="discounted", discount=0.9, warmup=7))
    assert (hyper.discount, config.horizon, config.judged_by.discount) == (0.9, None, 0.9)
    costly = probe.network.replace(fixed_order_cost=jnp.ones((1, 1)))
    assert for_problem(Problem(costly, probe.processes))[0].head == ReorderUpTo()
    with pytest.raises(UnsuitableError, match="BaseStock has no distribution"):
        for_problem(Problem(probe.network, probe.processes), policy=BaseStock())


def test_a_horizon_that_no_segment_divides_is_filled_up_and_not_paid_for():
    """Five periods in segments of four: the first is worth five costs, though eight are played."""
    probe = probes.constant_cost(3.0)
    config = PPOConfig(
        lanes=16, segment=4, horizon=5, ends=True, updates=300, epochs=4, minibatches=1, widths=(32,), warmup=0,
        centre_rewards=False, scale_rewards=False, normalise_features=False,
    )  # fmt: skip
    hyper = PPOHyper(learning_rate=1e-2, discount=0.9, trace=1.0, max_gradient=100.0)
    state, _ = train(config, *probe[:2], hyper, jax.random.key(0))
    assert int(state.env.state.t) == 8
    seen = state.env.seen.replace(t=jnp.int32(0), demand=0 * state.env.seen.demand)
    fresh = state.replace(env=state.env.__class__(**{**vars(state.env), "seen": seen}))
    found = value_of(config, hyper.replace(discount=0.0), probe.network, fresh)
    np.testing.assert_allclose(found, -3.0 * (1 - 0.9**5) / 0.1, rtol=0.03)


@pytest.mark.slow
def test_pathwise_first_is_where_ppo_begins():
    probe = probes.example_6_1()
    config = PPOConfig(updates=20, lanes=64, segment=16, pretrain=150)
    hyper = PPOHyper(std=0.05, std_end=0.02)
    state = init_train(config, *probe[:2], hyper, jax.random.key(0))
    before, _ = cost_of(config, probe, state.theta)
    assert before < 1.01 * probe.optimum, before
    state, _ = train(config, *probe[:2], hyper, jax.random.key(0), state=state)
    after, _ = cost_of(config, probe, state.theta)
    assert after < 1.01 * probe.optimum, after
    discrete = config.replace(head=TIERS)
    with pytest.raises(UnsuitableError, match="no gradient"):
        init_train(discrete, *probe[:2], hyper, jax.random.key(0))
