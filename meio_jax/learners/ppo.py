"""Proximal policy optimisation over lanes: rollout, advantages, epochs and evaluation in one program.

Schulman et al. (2017), arXiv 1707.06347; the choices of Andrychowicz et al. (2021), arXiv 2006.05990. Inventory is a
continuing problem: segments of fixed length go on where the last one stopped and bootstrap the value of what comes
  after.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from meio_jax.actions import Scale
from meio_jax.env import Env, EnvState
from meio_jax.errors import InputError
from meio_jax.kpis import kpis, total_cost
from meio_jax.learners.config import PPOConfig, PPOHyper
from meio_jax.learners.gae import gae
from meio_jax.learners.learner import Learner
from meio_jax.learners.ppo_loss import Batch, log_prob_of, ppo_loss
from meio_jax.network import Network
from meio_jax.policies.neural import Theta
from meio_jax.policies.normaliser import Moments, init_moments, update_moments
from meio_jax.policies.scale import measure_scale
from meio_jax.processes import Processes
from meio_jax.rewards import reward_by_node
from meio_jax.rollout import rollout
from meio_jax.solvers.problem import Problem
from meio_jax.struct import pytree

__all__ = ["PPOConfig", "PPOHyper", "TrainState", "init_train", "train_chunk", "value_of"]


@pytree
class TrainState:
    """All that a resumed run needs to be bitwise the run that was never stopped.

    params: weights of actor and critic. optimizer: Adam's moments. moments: of the features. rewards, returns: moments
    of the reward and of the discounted sum of centred rewards in each account; discounted ``[B, G]``: that sum. scale:
    sizes of the network. env: the systems in play. key: of what comes. update: number of updates done. best, best_cost:
    the numbers of the policy that evaluated best so far, and its mean cost (infinite before the first evaluation).
    """

    params: Any
    optimizer: Any
    moments: Moments
    rewards: Moments
    returns: Moments
    discounted: Array
    scale: Scale
    env: EnvState
    key: Array
    update: Array
    best: Any
    best_cost: Array

    @property
    def theta(self) -> Theta:
        """The present policy's numbers, for `meio_jax.learners.config.PPOConfig.policy`."""
        return Theta(self.params, self.moments, self.scale)

    @property
    def best_theta(self) -> Theta:
        """The numbers that evaluated best so far."""
        return Theta(self.best[0], self.best[1], self.scale)

    def replace(self, **changes: Any) -> TrainState:
        return dataclasses.replace(self, **changes)


def init_train(
    config: PPOConfig,
    network: Network,
    processes: Processes,
    hyper: PPOHyper,
    key: Array,
    *,
    scale: Scale | None = None,
) -> TrainState:
    """The state before the first update. The key is consumed.

    Args:
      scale: sizes and reference levels, for example with the levels of a tuned rule, which the untrained policy then
        follows; None: `meio_jax.policies.scale.measure_scale`.

    Raises:
      InputError: the configuration does not fit the network.
    """
    config.check(network)
    return _init(config, network, processes, hyper.arrays(), key, scale)


def train_chunk(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, state: TrainState, updates: int
) -> tuple[TrainState, dict[str, Array]]:
    """Some updates, compiled as one program.

    Args:
      updates: how many; with ``config.eval_every`` a multiple of it.

    Returns:
      The state, and metrics: leaves ``[updates]``, and with evaluation ``eval_*`` leaves ``[updates / eval_every]``.
      Where a loss or a weight is not finite the state stays what it was (with another key) and ``finite`` is false.

    Raises:
      InputError: ``updates`` is no multiple of ``eval_every``.
    """
    if updates < 1 or (config.eval_every and updates % config.eval_every):
        raise InputError(f"updates = {updates} must be a positive multiple of eval_every = {config.eval_every}")
    return _chunk(config, network, processes, hyper.arrays(), state, updates)


def value_of(config: PPOConfig, hyper: PPOHyper, network: Network, state: TrainState) -> Array:
    """``[B]`` the critic's value of what the lanes see now, in units of reward (for continuing problems)."""
    policy, theta = config.policy, state.theta
    _, value = policy.act(network, theta, policy.see(network, theta, state.env.seen))
    centre, size = _reward_scale(config, state.rewards, state.returns)
    return (value * size + centre / (1.0 - jnp.asarray(hyper.discount))).sum(-1)


@functools.partial(jax.jit, static_argnames=("config",))
def _init(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, key: Array, scale: Scale | None
) -> TrainState:
    sizes, start, weights, settle, after = jax.random.split(key, 5)
    if scale is None:
        scale = measure_scale(network, processes, sizes, lanes=config.lanes)
    env = Env(network, processes, hyper.weights)
    world = env.reset(start, config.lanes, oldest=config.oldest)
    policy = config.policy
    theta = policy.init(weights, network, scale, world.seen)
    dtype = world.seen.on_hand.dtype
    accounts = network.wiring.n_nodes if config.credit == "local" else 1

    def period(world: EnvState, key: Array) -> tuple[EnvState, None]:
        order, move = jax.random.split(key)
        decision, _ = policy.apply(network, theta, None, world.seen, order)
        return env.step(world, decision, move)[0], None

    if config.warmup and config.horizon is None:
        world, _ = jax.lax.scan(period, world, jax.random.split(settle, config.warmup))
    return TrainState(
        params=theta.params,
        optimizer=_adam().init(theta.params),
        moments=theta.moments,
        rewards=init_moments(accounts, dtype),
        returns=init_moments(accounts, dtype),
        discounted=jnp.zeros((config.lanes, accounts), dtype),
        scale=scale,
        env=world,
        key=after,
        update=jnp.zeros((), jnp.int32),
        best=(theta.params, theta.moments),
        best_cost=jnp.asarray(jnp.inf, dtype),
    )


@functools.partial(jax.jit, static_argnames=("config", "updates"))
def _chunk(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, state: TrainState, updates: int
) -> tuple[TrainState, dict[str, Array]]:
    def one(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
        new, metrics = _update(config, network, processes, hyper, state)
        leaves = (*jax.tree.leaves(new.params), metrics["loss"], metrics["reward"])
        fine = jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()
        kept = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new.replace(key=None), state.replace(key=None))
        return kept.replace(key=new.key), {**metrics, "finite": fine}  # the old key is consumed

    if not config.eval_every:
        return jax.lax.scan(one, state, length=updates)

    def stretch(state: TrainState, _: None) -> tuple[TrainState, Any]:
        state, metrics = jax.lax.scan(one, state, length=config.eval_every)
        found = _evaluate(config, network, processes, state)
        better = found["eval_cost"] < state.best_cost
        now = (state.params, state.moments)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), now, state.best)
        state = state.replace(best=best, best_cost=jnp.where(better, found["eval_cost"], state.best_cost))
        return state, (metrics, found)

    state, (metrics, found) = jax.lax.scan(stretch, state, length=updates // config.eval_every)
    return state, {**jax.tree.map(lambda x: x.reshape(updates), metrics), **found}


def _evaluate(config: PPOConfig, network: Network, processes: Processes, state: TrainState) -> dict[str, Array]:
    """The mode policy on scenarios that are the same each time and for every run."""
    played = rollout(
        network, config.policy, state.theta, processes, jax.random.key(config.eval_seed),
        periods=config.eval_periods, lanes=config.eval_lanes, warmup=config.eval_warmup, oldest=config.oldest,
    )  # fmt: skip
    found = kpis(played.totals)
    out = {f"eval_{name}": x.mean() for name, x in found.items()}
    return {**out, "eval_error": found["cost"].std() / config.eval_lanes**0.5}


def _adam() -> optax.GradientTransformation:
    return optax.scale_by_adam(eps=1e-5)


def _reward_scale(config: PPOConfig, rewards: Moments, returns: Moments) -> tuple[Array, Array]:
    """What is taken off each reward, and what it is divided by."""
    centre = rewards.mean if config.centre_rewards else jnp.zeros_like(rewards.mean)
    least = 1e-6 * (1.0 + jnp.abs(rewards.mean))
    size = jnp.maximum(jnp.sqrt(returns.variance), least) if config.scale_rewards else jnp.ones_like(returns.mean)
    return centre, size


def _schedules(config: PPOConfig, hyper: PPOHyper, update: Array) -> tuple[Array, Array]:
    """The learning rate and the standard deviation's factor."""
    done = jnp.clip(update.astype(jnp.result_type(float)) / config.updates, 0.0, 1.0)
    left = {"constant": jnp.ones_like(done), "linear": 1.0 - done, "cosine": 0.5 * (1.0 + jnp.cos(jnp.pi * done))}
    floor = hyper.learning_rate_floor
    rate = hyper.learning_rate * (floor + (1.0 - floor) * left[config.schedule])
    return rate, hyper.std ** (1.0 - done) * hyper.std_end**done


def _update(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, state: TrainState
) -> tuple[TrainState, dict[str, Array]]:
    after, begin, play, learn = jax.random.split(state.key, 4)
    env = Env(network, processes, hyper.weights)
    world, discounted = state.env, state.discounted
    if config.horizon is not None:
        fresh = env.reset(begin, config.lanes, oldest=config.oldest)
        over = world.state.t >= config.horizon
        world = jax.tree.map(lambda a, b: jnp.where(over, a, b), fresh, world)
        discounted = jnp.where(over, 0.0, discounted)
    rate, spread = _schedules(config, hyper, state.update)
    world, batch, rewards, values, cost = _segment(config, env, state.theta, spread, world, play)

    most = config.memory * config.lanes * config.segment
    reward_moments = update_moments(state.rewards, rewards, most)
    centre, _ = _reward_scale(config, reward_moments, state.returns)

    def sum_up(total: Array, reward: Array) -> tuple[Array, Array]:
        total = hyper.discount * total + reward - centre
        return total, total

    discounted, sums = jax.lax.scan(sum_up, discounted, rewards)
    return_moments = update_moments(state.returns, sums, most)
    _, size = _reward_scale(config, reward_moments, return_moments)
    last = values[-1]
    if config.ends and config.horizon is not None:
        last = jnp.where(world.state.t >= config.horizon, 0.0, last)
    advantages, targets = gae((rewards - centre) / size, values[:-1], last, hyper.discount, hyper.trace)
    explained = 1.0 - (targets - values[:-1]).sum(-1).var() / jnp.maximum(targets.sum(-1).var(), 1e-12)
    advantages = (advantages * size) @ jnp.asarray(_answers_for(config, network), advantages.dtype)
    if config.normalise_advantages:
        deviation = jnp.maximum(advantages.std((0, 1)), 1e-8)
        advantages = (advantages - advantages.mean((0, 1))) / deviation
    batch = batch._replace(advantage=advantages, target=targets)
    params, optimizer, metrics = _learn(config, network, hyper, state, batch, rate, spread, learn)
    moments = state.moments
    if config.normalise_features:
        moments = update_moments(moments, batch.x, most)
    new = state.replace(
        params=params, optimizer=optimizer, moments=moments, rewards=reward_moments, returns=return_moments,
        discounted=discounted, env=world, key=after, update=state.update + 1,
    )  # fmt: skip
    return new, {
        **metrics,
        "cost": cost,
        "reward": rewards.sum(-1).mean(),
        "explained_variance": explained,
        "learning_rate": rate,
        "std": spread,
    }


def _answers_for(config: PPOConfig, network: Network) -> np.ndarray:
    """``[G, D]``: 1 where a decision answers for an account."""
    w = network.wiring
    if config.credit != "local":
        return np.ones((1, 1))
    matrix = np.zeros((w.n_nodes, config.head.outputs(w)))
    for k, node in enumerate(config.head.nodes(w)):
        matrix[list(w.related[node]), k] = 1.0
    return matrix


def _segment(
    config: PPOConfig, env: Env, theta: Theta, spread: Array, world: EnvState, key: Array
) -> tuple[EnvState, Batch, Array, Array, Array]:
    """Play a segment: the systems after it, what the loss needs ``[T, B, ..]``, rewards ``[T, B]``, values ``[T + 1,
    B]``, cost.
    """
    policy, network = config.policy, env.network

    def period(world: EnvState, key: Array) -> tuple[EnvState, Any]:
        choose, move = jax.random.split(key)
        x = policy.see(network, theta, world.seen)
        mask = policy.head.mask(network, theta.scale, world.seen)
        dist, value = policy.act(network, theta, x, mask, spread)
        raw = dist.sample(seed=choose)
        log_prob = log_prob_of(config, dist, raw)
        orders = policy.head.orders(network, theta.scale, world.seen, raw)
        world, step = env.step(world, orders, move)
        if mask is not None:
            mask = jnp.broadcast_to(mask, (config.lanes, *mask.shape[1:]))
        kept = Batch(x=x, mask=mask, raw=raw, log_prob=log_prob, value=value, advantage=None, target=None)
        local = config.credit == "local"
        paid = reward_by_node(env.weights, network, step.flows).T if local else step.reward[:, None]
        return world, (kept, paid, total_cost(network, step.flows).mean())

    world, (batch, rewards, costs) = jax.lax.scan(period, world, jax.random.split(key, config.segment))
    _, last = policy.act(network, theta, policy.see(network, theta, world.seen))
    return world, batch, rewards, jnp.concatenate([batch.value, last[None]]), costs.mean()


def _learn(
    config: PPOConfig, network: Network, hyper: PPOHyper, state: TrainState, batch: Batch, rate: Array,
    spread: Array, key: Array,
) -> tuple[Any, Any, dict[str, Array]]:  # fmt: skip
    """Epochs of minibatches, each a group of whole lanes: lanes are independent, so only they need to be shuffled."""
    size = config.lanes // config.minibatches
    by_lane = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), batch)

    def loss(params: Any, part: Batch) -> tuple[Array, dict[str, Array]]:
        theta = Theta(params, state.moments, state.scale)
        return ppo_loss(config, hyper, functools.partial(config.policy.act, network, theta, spread=spread), part)

    def step(carry: tuple[Any, Any], part: Batch) -> tuple[tuple[Any, Any], dict[str, Array]]:
        params, optimizer = carry
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(params, part)
        metrics["gradient"] = jnp.sqrt(sum(jnp.square(x).sum() for x in jax.tree.leaves(gradient)))
        cut = jnp.minimum(1.0, hyper.max_gradient / jnp.maximum(metrics["gradient"], 1e-12))
        gradient = jax.tree.map(lambda g: g * cut, gradient)
        move, optimizer = _adam().update(gradient, optimizer)
        return (jax.tree.map(lambda p, m: p - rate.astype(p.dtype) * m, params, move), optimizer), metrics

    def epoch(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], dict[str, Array]]:
        order = jax.random.permutation(key, config.lanes)
        parts = jax.tree.map(lambda x: x[order].reshape(config.minibatches, size, *x.shape[1:]), by_lane)
        return jax.lax.scan(step, carry, parts)

    keys = jax.random.split(key, config.epochs)
    (params, optimizer), metrics = jax.lax.scan(epoch, (state.params, state.optimizer), keys)
    first = jnp.abs(metrics.pop("ratio_error")[0, 0])
    last = {name: x[-1].mean() for name, x in metrics.items()}
    return params, optimizer, {**last, "first_ratio_error": first}


def for_problem(problem: Problem, **changes: Any) -> tuple[PPOConfig, PPOHyper]:
    """The defaults, turned to a problem's criterion. ``changes`` are fields of `PPOConfig` or `PPOHyper`."""
    names = {f.name for f in dataclasses.fields(PPOConfig)}
    config: dict[str, Any] = {"eval_every": 20}
    hyper: dict[str, Any] = {"discount": problem.discount} if problem.criterion == "discounted" else {}
    if problem.criterion == "total" and problem.periods is not None:
        horizon = problem.warmup + problem.periods
        config.update(horizon=horizon, segment=horizon, ends=True)
    config.update({k: v for k, v in changes.items() if k in names})
    hyper.update({k: v for k, v in changes.items() if k not in names and k != "policy"})
    return PPOConfig(**config), PPOHyper(**hyper)


LEARNER = Learner(
    name="ppo",
    title="PPO",
    config=PPOConfig,
    hyper=PPOHyper,
    for_problem=for_problem,
    init_train=init_train,
    train_chunk=train_chunk,
)
