"""Proximal policy optimisation over lanes: rollout, advantages, epochs and evaluation in one program.

Schulman et al. (2017), arXiv 1707.06347; the choices of Andrychowicz et al. (2021), arXiv 2006.05990. Inventory is a
continuing problem: segments of fixed length go on where the last one stopped and bootstrap the value of what comes
  after.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import OrderUpTo, ReorderUpTo, Scale, Tiers
from meio_jax.env import Env, EnvState
from meio_jax.errors import InputError, UnsuitableError
from meio_jax.learners import pathwise
from meio_jax.learners.config import PPOConfig, PPOHyper
from meio_jax.learners.differentiable import check_differentiable
from meio_jax.learners.learner import Learner
from meio_jax.learners.outlook import shock_features
from meio_jax.learners.potential import stock_value
from meio_jax.learners.ppo_update import TrainState, adam, outlook_of, reward_scale, update_once
from meio_jax.learners.validation import validation_cost, validation_of
from meio_jax.network import Network
from meio_jax.policies.base import Policy
from meio_jax.policies.neural import NeuralPolicy, Theta, ThetaMismatchError
from meio_jax.policies.normaliser import init_moments
from meio_jax.policies.scale import measure_scale
from meio_jax.processes import Processes
from meio_jax.solvers.problem import Problem

__all__ = ["LEARNER", "PPOConfig", "PPOHyper", "TrainState", "for_problem", "init_train", "train_chunk", "value_of"]

#: Lambda where a segment is the whole problem: with all that comes in sight little noise is left to trade for bias.
WITHIN_SIGHT = 0.98


def init_train(
    config: PPOConfig,
    network: Network,
    processes: Processes,
    hyper: PPOHyper,
    key: Array,
    *,
    scale: Scale | None = None,
    theta: Theta | None = None,
) -> TrainState:
    """The state before the first update. The key is consumed.

    Args:
      scale: sizes and reference levels, for example with the levels of a tuned rule, which the untrained policy then
        follows; None: `meio_jax.policies.scale.measure_scale`.
      theta: numbers of ``config.policy`` to begin with, its scale among them; None: the untrained policy's, or with
        ``config.pretrain`` those that the pathwise learner finds.

    Raises:
      InputError: the configuration does not fit the network.
      ThetaMismatchError: ``theta`` was made for another network or another policy.
      UnsuitableError: a head of tiers none of which an arc can take; with ``config.pretrain``, what has no gradient.
    """
    config.check(network)
    if config.pretrain:
        check_differentiable(network, config.policy)
    if theta is not None:
        _check_theta(config, network, processes, theta)
    state = _init(config, network, processes, hyper.arrays(), key, scale, theta)
    _check_tiers(config, network, state.scale)
    return state


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
    policy, theta = config.policy, state.acting
    x = policy.see(network, theta, state.env.seen)
    _, value, _ = policy.act_with_memory(network, theta, x, state.memory)
    centre, size = reward_scale(config, state.rewards, state.returns)
    value = (value * size + centre / (1.0 - jnp.asarray(hyper.discount))).sum(-1)
    worth = stock_value(hyper.weights, network, state.env.state)
    return value if worth is None else value + worth.sum(0)


@functools.partial(jax.jit, static_argnames=("config",))
def _init(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, key: Array, scale: Scale | None,
    theta: Theta | None,
) -> TrainState:  # fmt: skip
    sizes, start, weights, settle, after = jax.random.split(key, 5)
    env = Env(network, processes, hyper.weights)
    world = env.reset(start, config.lanes, oldest=config.oldest)
    policy = config.policy
    net, of_critic, first = jax.random.split(weights, 3)
    if theta is None:
        if scale is None:
            scale = measure_scale(network, processes, sizes, lanes=config.lanes)
        theta = policy.init(net, network, scale, world.seen)
        if config.pretrain:
            theta = _pretrained(config, network, processes, hyper, theta, first)
    dtype = world.seen.on_hand.dtype
    accounts = network.wiring.n_nodes if config.credit == "local" else 1
    memory = policy.memory(network, config.lanes)

    def period(loop: tuple[EnvState, Any], key: Array) -> tuple[tuple[EnvState, Any], None]:
        world, memory = loop
        order, move = jax.random.split(key)
        decision, memory = policy.apply(network, theta, memory, world.seen, order)
        return (env.step(world, decision, move)[0], memory), None

    if config.warmup and config.horizon is None:
        (world, memory), _ = jax.lax.scan(period, (world, memory), jax.random.split(settle, config.warmup))
    z = shock_features(network, theta.scale, world.shock)
    k = config.looks_ahead(network)
    critic: Any = {}
    if k:
        x = jax.tree.map(lambda v: v[:1], policy.see(network, theta, world.seen))
        critic = outlook_of(config, network).init(of_critic, x, jnp.zeros((1, k, z.shape[-1]), dtype))["params"]
    return TrainState(
        params=theta.params,
        average=theta.params,
        critic=critic,
        optimizer=adam().init((theta.params, critic)),
        moments=theta.moments,
        coming=init_moments(z.shape[-1], dtype),
        rewards=init_moments(accounts, dtype),
        returns=init_moments(accounts, dtype),
        discounted=jnp.zeros((config.lanes, accounts), dtype),
        scale=theta.scale,
        env=world,
        memory=memory,
        key=after,
        update=jnp.zeros((), jnp.int32),
        best=(theta.params, theta.moments),
        best_cost=jnp.asarray(jnp.inf, dtype),
    )


def _pretrained(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, theta: Theta, key: Array
) -> Theta:
    """What the pathwise learner makes of the untrained policy. The key is consumed."""
    own: dict[str, Any] = {"horizon": config.horizon, "ends": config.ends, "unpaid": config.unpaid}
    if config.horizon is not None and config.horizon <= pathwise.WHOLE:
        own["segment"] = config.horizon
    first = pathwise.PathwiseConfig(
        policy=config.policy, lanes=config.lanes, updates=config.pretrain, oldest=config.oldest, **own
    )
    numbers = pathwise.PathwiseHyper(weights=hyper.weights)
    if config.judged_by.criterion == "discounted":
        numbers = numbers.replace(discount=hyper.discount)
    state = pathwise.init_train(first, network, processes, numbers, key, theta=theta)
    return pathwise.train_chunk(first, network, processes, numbers, state, config.pretrain)[0].theta


@functools.partial(jax.jit, static_argnames=("config", "updates"))
def _chunk(
    config: PPOConfig, network: Network, processes: Processes, hyper: PPOHyper, state: TrainState, updates: int
) -> tuple[TrainState, dict[str, Array]]:
    def one(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
        new, metrics = update_once(config, network, processes, hyper, state)
        leaves = (*jax.tree.leaves((new.params, new.critic)), metrics["loss"], metrics["reward"])
        fine = jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()
        kept = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new.replace(key=None), state.replace(key=None))
        return kept.replace(key=new.key), {**metrics, "finite": fine}  # the old key is consumed

    if not config.eval_every:
        return jax.lax.scan(one, state, length=updates)

    def stretch(state: TrainState, _: None) -> tuple[TrainState, Any]:
        state, metrics = jax.lax.scan(one, state, length=config.eval_every)
        found = validation_cost(config.judged_by, network, processes, config.policy, state.theta, config.oldest)
        better = found["eval_cost"] < state.best_cost
        now = (state.average, state.moments)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), now, state.best)
        cost = jnp.where(better, found["eval_cost"], state.best_cost).astype(state.best_cost.dtype)
        return state.replace(best=best, best_cost=cost), (metrics, found)

    state, (metrics, found) = jax.lax.scan(stretch, state, length=updates // config.eval_every)
    return state, {**jax.tree.map(lambda x: x.reshape(updates), metrics), **found}


def _check_tiers(config: PPOConfig, network: Network, scale: Scale) -> None:
    """Refuse tiers of which an arc can take none but the order of nothing. Leaves that are traced are not looked at."""
    head, w = config.head, network.wiring
    most, least = network.order_capacity, network.minimum_order
    if not isinstance(head, Tiers) or any(isinstance(x, jax.core.Tracer) for x in (scale.arc, most, least)):
        return
    units = np.asarray(scale.arc)[:, :, None] * np.asarray(head.multiples)  # [I, 1|B, choices]
    fits = units > 0
    if most is not None:
        fits &= units <= np.asarray(most)[:, :, None] * (1 + 1e-6)
    if least is not None:
        fits &= units >= np.asarray(least)[:, :, None] * (1 - 1e-6)
    for e in range(w.n_inner):
        closed = most is not None and not np.asarray(most)[e].any()
        if not closed and not fits[e].any(-1).all():
            raise UnsuitableError(
                f"ppo: arc {w.arcs[e]!r} can take none of the tiers {units[e, 0].tolist()}: its orders lie between "
                f"{0 if least is None else float(least[e].min()):g} and "
                f"{math.inf if most is None else float(most[e].max()):g} units; give it other multiples"
            )


def _check_theta(config: PPOConfig, network: Network, processes: Processes, theta: Theta) -> None:
    """Refuse numbers of other shapes than those of this policy on this network."""

    def own() -> Theta:
        world = Env(network, processes).reset(jax.random.key(0), 1, oldest=config.oldest)
        return config.policy.init(jax.random.key(0), network, None, world.seen)

    wanted, got = (
        {jax.tree_util.keystr(k): jnp.shape(x) for k, x in jax.tree_util.tree_flatten_with_path(t.params)[0]}
        for t in (jax.eval_shape(own), theta)
    )
    for name in sorted({*wanted, *got}):
        if wanted.get(name) != got.get(name):
            raise ThetaMismatchError(
                f"ppo: theta is of another policy or network: params{name} is {got.get(name, 'missing')}, "
                f"{wanted.get(name, 'nothing')} is expected"
            )


def for_problem(problem: Problem, *, policy: Policy | None = None, **changes: Any) -> tuple[PPOConfig, PPOHyper]:
    """One set of defaults for all problems, turned to the problem's criterion.

    Args:
      policy: a `NeuralPolicy`; default: order-up-to levels, or where ordering has a fixed cost reorder points and lots.
      **changes: fields of `PPOConfig` or `PPOHyper`.

    Raises:
      UnsuitableError: a policy without a distribution over orders.
    """
    names = {f.name for f in dataclasses.fields(PPOConfig)}
    config: dict[str, Any] = {"eval_every": 20, "validation": validation_of(problem)}
    hyper: dict[str, Any] = {}
    if problem.criterion == "total":
        assert problem.periods is not None  # `Problem` sees to it
        horizon = problem.warmup + problem.periods
        config.update(horizon=horizon, ends=True, unpaid=problem.warmup, **_sizes(horizon))
        hyper.update(discount=1.0, trace=WITHIN_SIGHT if horizon <= pathwise.WHOLE else PPOHyper.trace)
    elif problem.criterion == "discounted":
        hyper.update(discount=problem.discount)
    if policy is None:
        config.update(head=OrderUpTo() if problem.network.fixed_order_cost is None else ReorderUpTo())
    elif isinstance(policy, NeuralPolicy):
        config.update({k: getattr(policy, k) for k in ("head", "widths", "activation", "shared", "cycle", "body")})
    else:
        raise UnsuitableError(
            f"ppo: {type(policy).__name__} has no distribution over orders; give a NeuralPolicy, or train with pathwise"
        )
    config.update({k: v for k, v in changes.items() if k in names})
    hyper.update({k: v for k, v in changes.items() if k not in names})
    return PPOConfig(**config), PPOHyper(**hyper)


def _sizes(horizon: int) -> dict[str, int]:
    """A segment that is the whole of a short problem, and lanes for as many decisions an update as by default."""
    if horizon > pathwise.WHOLE:
        return {}
    parts = PPOConfig.minibatches
    lanes = PPOConfig.lanes * PPOConfig.segment / horizon
    return {"segment": horizon, "lanes": parts * max(1, round(lanes / parts))}


LEARNER = Learner(
    name="ppo",
    title="PPO",
    config=PPOConfig,
    hyper=PPOHyper,
    for_problem=for_problem,
    init_train=init_train,
    train_chunk=train_chunk,
)
