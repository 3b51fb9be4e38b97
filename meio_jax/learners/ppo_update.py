"""One update of PPO: a segment of play, what its decisions were worth, and epochs of learning from them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from meio_jax.actions import Scale
from meio_jax.env import Env, EnvState
from meio_jax.kpis import total_cost
from meio_jax.learners.config import PPOConfig, PPOHyper
from meio_jax.learners.gae import gae
from meio_jax.learners.outlook import Outlook, ahead, shock_features
from meio_jax.learners.potential import stock_value
from meio_jax.learners.ppo_loss import Batch, judge, log_prob_of, ppo_loss
from meio_jax.network import Network
from meio_jax.policies.neural import Theta
from meio_jax.policies.normaliser import Moments, normalise, update_moments
from meio_jax.processes import Processes
from meio_jax.rewards import reward_by_node
from meio_jax.rollout import draw_shocks
from meio_jax.struct import pytree

__all__ = ["TrainState", "adam", "outlook_of", "reward_scale", "update_once"]


@pytree
class TrainState:
    """All that a resumed run needs to be bitwise the run that was never stopped.

    params: weights of the policy and of its critic. average: their Polyak average. critic: weights of the baseline
    that looks ahead (`meio_jax.learners.outlook`); empty where none does. optimizer: Adam's moments of both. moments:
    of the features. coming: of the shocks that the baseline sees. rewards, returns: moments of the reward and of the
    discounted sum of centred rewards in each account; discounted ``[B, G]``: that sum. scale: sizes of the network.
    env: the systems in play. memory: the policy's. key: of what comes. update: updates done. best, best_cost: the
    numbers of the policy that evaluated best so far, and its cost (infinite before the first evaluation).
    """

    params: Any
    average: Any
    critic: Any
    optimizer: Any
    moments: Any
    coming: Moments
    rewards: Moments
    returns: Moments
    discounted: Array
    scale: Scale
    env: EnvState
    memory: Any
    key: Array
    update: Array
    best: Any
    best_cost: Array

    @property
    def theta(self) -> Theta:
        """The present policy's numbers, averaged, for `meio_jax.learners.config.PPOConfig.policy`."""
        return Theta(self.average, self.moments, self.scale)

    @property
    def acting(self) -> Theta:
        """The numbers that explore."""
        return Theta(self.params, self.moments, self.scale)

    @property
    def best_theta(self) -> Theta:
        """The numbers that evaluated best so far."""
        params, moments = self.best
        return Theta(params, moments, self.scale)

    def replace(self, **changes: Any) -> TrainState:
        return dataclasses.replace(self, **changes)


def adam() -> optax.GradientTransformation:
    """Of the weights of policy and baseline; the learning rate is applied to what it gives."""
    return optax.scale_by_adam(eps=1e-5)


def outlook_of(config: PPOConfig, network: Network) -> Outlook:
    """The baseline that looks ahead."""
    values = network.wiring.n_nodes if config.credit == "local" else 1
    return Outlook(config.widths, values)


def outlook(config: PPOConfig, network: Network, state: TrainState, critic: Any, part: Batch) -> Array:
    """``[B, T, G]`` what each period's return is expected to be, once what comes is known."""
    assert part.z is not None
    seen, coming = normalise(state.moments, part.x), normalise(state.coming, part.z)
    z = ahead(coming, config.segment, config.looks_ahead(network))
    made: Any = outlook_of(config, network).apply({"params": critic}, seen, z)
    return made


def reward_scale(config: PPOConfig, rewards: Moments, returns: Moments) -> tuple[Array, Array]:
    """What is taken off each reward, and what it is divided by."""
    centre = rewards.mean if config.centre_rewards else jnp.zeros_like(rewards.mean)
    least = 1e-6 * (1.0 + jnp.abs(rewards.mean))
    size = jnp.maximum(jnp.sqrt(returns.variance), least) if config.scale_rewards else jnp.ones_like(returns.mean)
    return centre, size


def schedules(config: PPOConfig, hyper: PPOHyper, update: Array) -> tuple[Array, Array, Array]:
    """The learning rate, the standard deviation's factor, and the share of the entropy's weight."""
    done = jnp.clip(update.astype(jnp.result_type(float)) / config.updates, 0.0, 1.0)
    left = {"constant": jnp.ones_like(done), "linear": 1.0 - done, "cosine": 0.5 * (1.0 + jnp.cos(jnp.pi * done))}
    share, floor = left[config.schedule], hyper.learning_rate_floor
    rate = hyper.learning_rate * (floor + (1.0 - floor) * share)
    return rate, hyper.std ** (1.0 - done) * hyper.std_end**done, share


def update_once(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, state: TrainState
) -> tuple[TrainState, dict[str, Array]]:
    """Play a segment, learn from it."""
    after, begin, play, learn = jax.random.split(state.key, 4)
    env = Env(network, processes, hyper.weights)
    if config.horizon is not None:
        fresh = env.reset(begin, config.lanes, oldest=config.oldest)
        anew = (fresh, config.policy.memory(network, config.lanes), jnp.zeros_like(state.discounted))
        over = state.env.state.t >= config.horizon
        here = jax.tree.map(lambda a, b: jnp.where(over, a, b), anew, (state.env, state.memory, state.discounted))
        state = state.replace(env=here[0], memory=here[1], discounted=here[2])
    rate, spread, left = schedules(config, hyper, state.update)
    world, memory, batch, values, (rewards, worth), cost = _segment(config, env, state, spread, play)
    t = state.env.state.t + jnp.arange(config.segment + 1)
    counts = _counts(config, t[:-1])
    most = config.memory * config.lanes * config.segment
    within = jnp.ones_like(counts) if not config.ends or config.horizon is None else t[:-1] < config.horizon
    shaped = jnp.where(counts[:, None, None], rewards, 0.0)
    if worth is not None:
        goes_on = jnp.ones_like(counts) if not config.ends or config.horizon is None else t[1:] < config.horizon
        shaped = shaped + hyper.discount * jnp.where(goes_on[:, None, None], worth[:, 1], 0.0) - worth[:, 0]
    reward_moments = update_moments(state.rewards, jnp.where(within[:, None, None], shaped, state.rewards.mean), most)
    centre, _ = reward_scale(config, reward_moments, state.returns)
    centred = jnp.where(within[:, None, None], shaped - centre, 0.0)

    def sum_up(total: Array, reward: Array) -> tuple[Array, Array]:
        total = hyper.discount * total + reward
        return total, total

    discounted, sums = jax.lax.scan(sum_up, state.discounted, centred)
    return_moments = update_moments(state.returns, sums, most)
    _, size = reward_scale(config, reward_moments, return_moments)
    if config.ends and config.horizon is not None:
        values = jnp.where((t < config.horizon)[:, None, None], values, 0.0)
    advantages, targets = gae(centred / size, values[:-1], values[-1], hyper.discount, hyper.trace)
    if batch.z is not None:
        advantages = targets - jnp.swapaxes(outlook(config, network, state, state.critic, batch), 0, 1)
    explained = 1.0 - advantages.sum(-1).var() / jnp.maximum(targets.sum(-1).var(), 1e-12)
    advantages = (advantages * size) @ jnp.asarray(_answers_for(config, network), advantages.dtype)
    if config.normalise_advantages:
        deviation = jnp.maximum(advantages.std((0, 1)), 1e-8)
        advantages = (advantages - advantages.mean((0, 1))) / deviation
    found = (jnp.swapaxes(x, 0, 1) for x in (values[:-1], advantages, targets))
    batch = batch._replace(**dict(zip(("value", "advantage", "target"), found, strict=True)))
    learned, metrics = _learn(config, network, hyper, state, batch, (rate, spread, left), learn)
    moments, coming = state.moments, state.coming
    if config.normalise_features:
        moments = update_moments(moments, batch.x, most)
        coming = coming if batch.z is None else update_moments(coming, batch.z, most)
    new = state.replace(
        **learned, moments=moments, coming=coming, rewards=reward_moments, returns=return_moments,
        discounted=discounted, env=world, memory=memory, key=after, update=state.update + 1,
    )  # fmt: skip
    return new, {
        **metrics,
        "cost": cost,
        "reward": rewards.sum(-1).mean(),
        "explained_variance": explained,
        "learning_rate": rate,
        "std": spread * jnp.exp(state.params["log_std"]).mean() if "log_std" in state.params else spread,
    }


def _counts(config: PPOConfig, t: Array) -> Array:
    """Whether what happens in period t is paid for."""
    if config.horizon is None:
        return jnp.ones_like(t, bool)
    return (t >= config.unpaid) & ((t < config.horizon) if config.ends else True)


def _answers_for(config: PPOConfig, network: Network) -> np.ndarray:
    """``[G, K]``: 1 where a decision answers for an account."""
    w = network.wiring
    if config.credit != "local":
        return np.ones((1, config.head.outputs(w)))
    matrix = np.zeros((w.n_nodes, config.head.outputs(w)))
    for k, node in enumerate(config.head.nodes(w)):
        matrix[list(w.related[node]), k] = 1.0
    return matrix


def _segment(
    config: PPOConfig, env: Env, state: TrainState, spread: Array, key: Array
) -> tuple[EnvState, Any, Batch, Array, tuple[Array, Array | None], Array]:
    """Play a segment: the systems and the memory after it, what the loss needs, values ``[T + 1, B, G]``, rewards ``[T,
    B, G]`` and what stock is worth before and after each period ``[T, 2, B, G]``, cost of a period.

    All that happens outside is drawn first, as it does not depend on what is done.
    """
    policy, network, theta, k = config.policy, env.network, state.acting, config.looks_ahead(env.network)
    periods, lanes, at = config.segment, config.lanes, state.env.state.t
    draw, beyond, choose = jax.random.split(key, 3)
    times = at + 1 + jnp.arange(periods)
    shocks, process = draw_shocks(env.processes, jax.random.split(draw, periods), state.env.process, times, lanes)

    def period(loop: tuple[EnvState, Any], now: tuple[Any, Array]) -> tuple[tuple[EnvState, Any], Any]:
        world, memory = loop
        shock, key = now
        x = policy.see(network, theta, world.seen)
        mask = policy.head.mask(network, theta.scale, world.seen)
        dist, value, memory = policy.act_with_memory(network, theta, x, memory, mask, spread)
        raw = dist.sample(seed=key)
        log_prob = log_prob_of(dist, raw)
        orders = policy.head.orders(network, theta.scale, world.seen, raw)
        before = stock_value(env.weights, network, world.state)
        world, step = env.follow(world, orders, shock, world.process)
        if mask is not None:
            mask = jnp.broadcast_to(mask, (lanes, *mask.shape[1:]))
        kept = Batch(x=x, mask=mask, raw=raw, log_prob=log_prob, value=value)
        local = config.credit == "local"
        paid = reward_by_node(env.weights, network, step.flows).T if local else step.reward[:, None]
        after = stock_value(env.weights, network, world.state)
        worth = None
        if before is not None and after is not None:
            both = jnp.stack([before, after])
            worth = jnp.swapaxes(both if local else both.sum(1, keepdims=True), 1, 2)
        return (world, memory), (kept, paid, worth, total_cost(network, step.flows).mean())

    loop = state.env, state.memory
    (world, memory), (batch, rewards, worth, costs) = jax.lax.scan(
        period, loop, (shocks, jax.random.split(choose, periods))
    )
    world = dataclasses.replace(world, process=process)
    _, last, _ = policy.act_with_memory(network, theta, policy.see(network, theta, world.seen), memory)
    values = jnp.concatenate([batch.value, last[None]])
    by_lane = jax.tree.map(lambda v: jnp.swapaxes(v, 0, 1), batch)
    if policy.remembers:
        by_lane = by_lane._replace(memory=jax.tree.map(lambda v: jnp.moveaxis(v, -1, 0), state.memory))
    if not k:
        return world, memory, by_lane, values, (rewards, worth), costs.mean()
    known = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), state.env.shock, shocks)  # [T + 1, ..]
    z = shock_features(network, theta.scale, known)
    if k > 2:
        further = times[-1] + 1 + jnp.arange(k - 2)
        later, _ = draw_shocks(env.processes, jax.random.split(beyond, k - 2), process, further, lanes)
        z = jnp.concatenate([z, shock_features(network, theta.scale, later)])
    z = jnp.swapaxes(z[: periods + k - 1], 0, 1)  # [B, T + k - 1, F]
    return world, memory, by_lane._replace(z=z), values, (rewards, worth), costs.mean()


def _learn(
    config: PPOConfig, network: Network, hyper: PPOHyper, state: TrainState, batch: Batch,
    now: tuple[Array, Array, Array], key: Array,
) -> tuple[dict[str, Any], dict[str, Array]]:  # fmt: skip
    """Epochs of minibatches, each a group of whole lanes: lanes are independent, so only they need to be shuffled."""
    rate, spread, left = now
    size = config.lanes // config.minibatches

    def loss(weights: tuple[Any, Any], part: Batch) -> tuple[Array, dict[str, Array]]:
        params, critic = weights
        judged = judge(config, network, Theta(params, state.moments, state.scale), spread, part)
        total, metrics = ppo_loss(config, hyper, judged, part, left)
        if part.z is not None:
            total = total + 0.5 * jnp.square(outlook(config, network, state, critic, part) - part.target).sum(-1).mean()
        return total, metrics

    def step(carry: Any, part: Batch) -> tuple[Any, dict[str, Array]]:
        weights, average, optimizer, done = carry
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(weights, part)
        gradient, norms = zip(*(_cut(g, hyper.max_gradient) for g in gradient), strict=True)
        move, optimizer = adam().update(gradient, optimizer)
        rates = rate, rate * hyper.critic_rate
        weights = tuple(_moved(w, m, r) for w, m, r in zip(weights, move, rates, strict=True))
        decay = jnp.minimum(hyper.average, (1.0 + done) / (10.0 + done))  # the first numbers are soon forgotten
        average = jax.tree.map(lambda a, p: (a + (1.0 - decay) * (p - a)).astype(a.dtype), average, weights[0])
        return (weights, average, optimizer, done + 1.0), {**metrics, "gradient": norms[0]}

    def epoch(carry: Any, key: Array) -> tuple[Any, dict[str, Array]]:
        order = jax.random.permutation(key, config.lanes)
        parts = jax.tree.map(lambda x: x[order].reshape(config.minibatches, size, *x.shape[1:]), batch)
        return jax.lax.scan(step, carry, parts)

    keys = jax.random.split(key, config.epochs)
    done = state.update.astype(rate.dtype) * (config.epochs * config.minibatches)
    carry = (state.params, state.critic), state.average, state.optimizer, done
    ((params, critic), average, optimizer, _), metrics = jax.lax.scan(epoch, carry, keys)
    first = jnp.abs(metrics.pop("ratio_error")[0, 0])
    last = {name: x[-1].mean() for name, x in metrics.items()}
    learned = {"params": params, "critic": critic, "average": average, "optimizer": optimizer}
    return learned, {**last, "first_ratio_error": first}


def _moved(weights: Any, move: Any, rate: Array) -> Any:
    return jax.tree.map(lambda p, m: p - rate.astype(p.dtype) * m, weights, move)


def _cut(gradient: Any, most: Array | float) -> tuple[Any, Array]:
    """A gradient no longer than ``most``, and how long it was."""
    norm = jnp.sqrt(sum((jnp.square(x).sum() for x in jax.tree.leaves(gradient)), jnp.zeros(())))
    cut = jnp.minimum(1.0, most / jnp.maximum(norm, 1e-12))
    return jax.tree.map(lambda g: g * cut, gradient), norm
