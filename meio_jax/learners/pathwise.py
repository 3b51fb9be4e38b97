"""Pathwise learning: gradients of the cost through the simulator itself, over many systems at once.

Hindsight differentiable policy optimisation: Alvo, Russo and Kanoria (2023), arXiv 2306.11246; Madeka et al. (2022),
arXiv 2210.03137. As the dynamics are a differentiable function of the decisions and the scenario does not depend on
them, the derivative of a played cost is an unbiased estimate of the derivative of the expected cost, with far less
noise than a score function's.

Inventory is a continuing problem: lanes go on where the last segment stopped. What the decisions of a segment bring
about after its end is counted in a *tail* of some more periods, whose decisions react to what they see but are not
learned from: each decision answers for all that follows from it, and none is counted twice.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jax import Array

from meio_jax.actions import Scale
from meio_jax.errors import InputError
from meio_jax.learners.differentiable import check_differentiable, learned, paid_cost, unit_steps
from meio_jax.learners.learner import Learner
from meio_jax.learners.pathwise_config import PathwiseConfig, PathwiseHyper
from meio_jax.learners.segment import Played, check_length, is_paid, play_segment, shock_of, windows
from meio_jax.learners.validation import validation_cost, validation_of
from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision, Policy
from meio_jax.policies.neural import NeuralPolicy
from meio_jax.policies.normaliser import Moments, init_moments, update_moments
from meio_jax.policies.scale import measure_scale, scale_of
from meio_jax.processes import Processes
from meio_jax.rollout import Carry, begin, play_period
from meio_jax.scenario import Scenario
from meio_jax.solvers.problem import Problem
from meio_jax.struct import pytree

__all__ = ["LEARNER", "PathwiseConfig", "PathwiseHyper", "PathwiseState", "for_problem", "init_train", "train_chunk"]

#: A problem that ends within so many periods is played as a whole in each update.
WHOLE = 128


@pytree
class PathwiseState:
    """All that a resumed run needs to be bitwise the run that was never stopped.

    numbers: what is learned (`meio_jax.learners.differentiable.learned`). average: its Polyak average. unit: what a
    step of 1 is for each. optimizer: Adam's moments. fixed: the policy's numbers before the first update, for what is
    not learned. width: of smoothed fixed costs, units, or None. base: the untrained policy's mean absolute cost of a
    period, by which the loss is divided. carry: the systems in play. key: of what comes. update: updates done.
    best_theta, best_cost: the numbers of the lowest evaluation so far, and that cost (infinite before the first).
    """

    numbers: list[Array]
    average: list[Array]
    unit: list[Array]
    optimizer: Any
    fixed: Any
    width: Array | None
    base: Array
    carry: Carry
    key: Array
    update: Array
    best_theta: Any
    best_cost: Array

    @property
    def theta(self) -> Any:
        """The present policy's numbers, averaged, for `PathwiseConfig.policy`."""
        return learned(self.fixed)[1](self.average)

    def replace(self, **changes: Any) -> PathwiseState:
        return dataclasses.replace(self, **changes)


def for_problem(
    problem: Problem, *, policy: Policy | None = None, **changes: Any
) -> tuple[PathwiseConfig, PathwiseHyper]:
    """One set of defaults for all problems, turned to the problem's criterion.

    Args:
      policy: default: a neural policy, which sees the time where the problem ends.
      **changes: fields of `PathwiseConfig` or `PathwiseHyper`.
    """
    # Enough to tell policies apart that differ by less than a tenth of a percent, at a tenth of the time of learning.
    judged = {"lanes": 512, "periods": 800} if problem.criterion == "average" else {"lanes": 512}
    config: dict[str, Any] = {"eval_every": 100, "validation": validation_of(problem, **judged)}
    hyper: dict[str, Any] = {}
    if problem.criterion == "total":
        assert problem.periods is not None  # `Problem` sees to it
        horizon = problem.warmup + problem.periods
        segment = horizon if horizon <= WHOLE else PathwiseConfig.segment
        config.update(horizon=horizon, ends=True, unpaid=problem.warmup, segment=segment)
    elif problem.criterion == "discounted":
        hyper.update(discount=problem.discount)
    names = {f.name for f in dataclasses.fields(PathwiseConfig)}
    config.update({k: v for k, v in changes.items() if k in names})
    hyper.update({k: v for k, v in changes.items() if k not in names})
    config["policy"] = NeuralPolicy(horizon=config.get("horizon")) if policy is None else policy
    return PathwiseConfig(**config), PathwiseHyper(**hyper)


def init_train(
    config: PathwiseConfig,
    network: Network,
    processes: Processes | Scenario,
    hyper: PathwiseHyper,
    key: Array,
    *,
    scale: Scale | None = None,
    theta: Any = None,
) -> PathwiseState:
    """The state before the first update. The key is consumed.

    Args:
      processes: where shocks come from. A `Scenario` (history, say) is played in random windows, one in each lane and
        update, aligned with the policy's ``cycle`` if it has one (the moving blocks of Künsch 1989,
        doi 10.1214/aos/1176347265); with a ``horizon`` from its beginning.
      scale: sizes and reference levels of a neural policy, for example with the levels of a tuned rule, which the
        untrained policy then follows; None: measured.
      theta: numbers to begin with; None: the policy's own.

    Raises:
      UnsuitableError: something that has no gradient.
      InputError: the configuration does not fit the network or the scenario.
    """
    config.check(network)
    check_differentiable(network, config.policy, config.smooth_fixed_cost)
    if isinstance(processes, Scenario):
        check_length(config, network, processes)
    return _init(config, network, processes, hyper.arrays(), key, scale, theta)


def train_chunk(
    config: PathwiseConfig,
    network: Network,
    processes: Processes | Scenario,
    hyper: PathwiseHyper,
    state: PathwiseState,
    updates: int,
) -> tuple[PathwiseState, dict[str, Array]]:
    """Some updates, compiled as one program.

    Args:
      updates: how many; with ``config.eval_every`` a multiple of it.

    Returns:
      The state, and metrics: leaves ``[updates]``, and with evaluation ``eval_*`` leaves ``[updates / eval_every]``.
      ``cost`` is the true cost of a period of the segment; ``loss`` is what was paid, over the untrained policy's cost.
      Where a loss, a gradient or a number is not finite the state stays what it was (with another key) and ``finite``
      is false.

    Raises:
      InputError: ``updates`` is no multiple of ``eval_every``.
    """
    if updates < 1 or (config.eval_every and updates % config.eval_every):
        raise InputError(f"updates = {updates} must be a positive multiple of eval_every = {config.eval_every}")
    return _chunk(config, network, processes, hyper.arrays(), state, updates)


@functools.partial(jax.jit, static_argnames=("config",))
def _init(
    config: PathwiseConfig, network: Network, source: Any, hyper: PathwiseHyper, key: Array, scale: Scale | None,
    theta: Any,
) -> PathwiseState:  # fmt: skip
    sizes, start, weights, settle, after = jax.random.split(key, 5)
    policy = config.policy
    if scale is None:
        scale = _measured(config, network, source, sizes)
    feed_key, play_key, window = jax.random.split(settle, 3)
    carry = begin(network, policy, source, start, config.lanes, oldest=config.oldest)
    if theta is None:
        theta = _first_numbers(config, network, source, carry, weights, scale)
    periods = config.warmup if config.horizon is None else config.segment
    shocks = windows(config, source, window, periods, carry.state.t)
    width = None
    if config.smooth_fixed_cost:
        width = config.smooth_fixed_cost * scale.arc
    sees = isinstance(policy, NeuralPolicy)
    moments = theta.moments if sees else init_moments(1)

    def period(loop: Any, x: tuple[Array, Any, Array]) -> tuple[Any, None]:
        carry, moments, total, count = loop
        index, feed, key = x
        shock, carry = shock_of(config, source, feed, carry)
        carry, happened = play_period(network, policy, theta, carry, shock, key)
        counts = (index >= periods // 2) if config.horizon is None else is_paid(config, carry.state.t - 1)
        counts = jnp.asarray(counts)
        cost = jnp.abs(paid_cost(hyper.weights, network, happened.flows, width)).mean()
        if isinstance(policy, NeuralPolicy):
            new = update_moments(moments, policy.see(network, theta, happened.seen))
            moments = jax.tree.map(lambda a, b: jnp.where(counts, a, b), new, moments)
        return (carry, moments, total + jnp.where(counts, cost, 0.0), count + counts), None

    feed = jax.random.split(feed_key, periods) if shocks is None else shocks
    zero = jnp.zeros((), network.holding_cost.dtype)
    loop = (carry, moments, zero, zero)
    xs = jnp.arange(periods), feed, jax.random.split(play_key, periods)
    (carry, moments, total, count), _ = jax.lax.scan(period, loop, xs)
    if sees:
        theta = theta.replace(moments=_at_least(moments, config.least_deviation))
    numbers, _ = learned(theta)
    return PathwiseState(
        numbers=numbers,
        average=numbers,
        unit=unit_steps(theta),
        optimizer=_adam(hyper).init(numbers),
        fixed=theta,
        width=width,
        base=jnp.maximum(total / jnp.maximum(count, 1.0), 1e-6),
        carry=carry,
        key=after,
        update=jnp.zeros((), jnp.int32),
        best_theta=theta,
        best_cost=jnp.asarray(jnp.inf, zero.dtype),
    )


def _at_least(moments: Any, deviation: float) -> Any:
    def one(m: Moments) -> Moments:
        return dataclasses.replace(m, variance=jnp.maximum(m.variance, deviation**2))

    return jax.tree.map(one, moments, is_leaf=lambda m: isinstance(m, Moments))


def _measured(config: PathwiseConfig, network: Network, source: Processes | Scenario, key: Array) -> Scale:
    """Sizes and reference levels of a network in its world."""
    if isinstance(source, Scenario):
        demand = source.shocks.demand
        return scale_of(network, demand.mean((0, 2))[:, None], demand.std((0, 2))[:, None])
    return measure_scale(network, source, key, lanes=config.lanes)


def _first_numbers(
    config: PathwiseConfig, network: Network, source: Any, carry: Carry, key: Array, scale: Scale
) -> Any:
    """The policy's own first numbers; the key is consumed."""
    policy, draws = config.policy, jax.random.key(0)  # of shapes alone
    if not isinstance(policy, NeuralPolicy):
        return policy.init(key, network)

    def look() -> Any:
        shocks = windows(config, source, draws, 1, carry.state.t)
        feed = draws if shocks is None else jax.tree.map(lambda x: x[0], shocks)
        shock, _ = shock_of(config, source, feed, carry)
        probe = _Probe()
        return play_period(network, probe, None, carry, shock, draws)[1].seen

    example = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(look))
    return policy.init(key, network, scale, example)


@dataclasses.dataclass(frozen=True)
class _Probe:
    """Orders nothing: stands in where only what is seen is asked for."""

    theta_has_lanes: ClassVar[bool] = False

    def init(self, key: Array, network: Network) -> None:
        return None

    def memory(self, network: Network, lanes: int) -> None:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        return Decision(jnp.zeros((network.wiring.n_inner, seen.on_hand.shape[-1]), seen.on_hand.dtype)), memory


@functools.partial(jax.jit, static_argnames=("config", "updates"))
def _chunk(
    config: PathwiseConfig, network: Network, source: Any, hyper: PathwiseHyper, state: PathwiseState, updates: int
) -> tuple[PathwiseState, dict[str, Array]]:
    def one(state: PathwiseState, _: None) -> tuple[PathwiseState, dict[str, Array]]:
        new, metrics = _update(config, network, source, hyper, state)
        leaves = (*new.numbers, metrics["loss"], metrics["gradient"])
        fine = jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()
        kept = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new.replace(key=None), state.replace(key=None))
        return kept.replace(key=new.key), {**metrics, "finite": fine}  # the old key is consumed

    if not config.eval_every:
        return jax.lax.scan(one, state, length=updates)

    def stretch(state: PathwiseState, _: None) -> tuple[PathwiseState, Any]:
        state, metrics = jax.lax.scan(one, state, length=config.eval_every)
        theta = state.theta
        found = validation_cost(config.validation, network, source, config.policy, theta, config.oldest)
        better = found["eval_cost"] < state.best_cost
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), theta, state.best_theta)
        cost = jnp.where(better, found["eval_cost"], state.best_cost).astype(state.best_cost.dtype)
        return state.replace(best_theta=best, best_cost=cost), (metrics, found)

    state, (metrics, found) = jax.lax.scan(stretch, state, length=updates // config.eval_every)
    return state, {**jax.tree.map(lambda x: x.reshape(updates), metrics), **found}


def _update(
    config: PathwiseConfig, network: Network, source: Any, hyper: PathwiseHyper, state: PathwiseState
) -> tuple[PathwiseState, dict[str, Array]]:
    after, start, play = jax.random.split(state.key, 3)
    carry = state.carry
    if config.horizon is not None or config.burn_in is not None:
        fresh = begin(network, config.policy, source, start, config.lanes, oldest=config.oldest)
        over = True if config.horizon is None or config.begins_anew else carry.state.t >= config.horizon
        carry = fresh if over is True else jax.tree.map(lambda a, b: jnp.where(over, a, b), fresh, carry)
    elif config.renew:
        fresh = begin(network, config.policy, source, start, config.lanes, oldest=config.oldest)
        turn = (jnp.arange(config.lanes) + state.update) % config.renew == 0
        own, begun = (carry.state, carry.memory, carry.reports), (fresh.state, fresh.memory, fresh.reports)
        own = jax.tree.map(lambda a, b: jnp.where(turn, a, b) if a.ndim else b, begun, own)  # the time goes on for all
        carry = Carry(state=own[0], memory=own[1], process=carry.process, reports=own[2])
    _, put = learned(state.fixed)

    def loss(numbers: list[Array]) -> tuple[Array, Played]:
        return play_segment(
            config, network, source, hyper, put(numbers), carry, play, base=state.base, width=state.width
        )

    (_, played), gradient = jax.value_and_grad(loss, has_aux=True)(state.numbers)
    gradient = jax.tree.map(jnp.multiply, gradient, state.unit)
    norm = jnp.sqrt(sum(jnp.square(g).sum() for g in gradient))
    cut = jnp.minimum(1.0, hyper.max_gradient / jnp.maximum(norm, 1e-12))
    move, optimizer = _adam(hyper).update([g * cut for g in gradient], state.optimizer)
    rate = _rate(config, hyper, state.update)
    numbers = [p - (rate * m * u).astype(p.dtype) for p, m, u in zip(state.numbers, move, state.unit, strict=True)]
    done = state.update.astype(rate.dtype)
    decay = jnp.minimum(hyper.average, (1.0 + done) / (10.0 + done))  # the first numbers are soon forgotten
    average = [(a + (1.0 - decay) * (p - a)).astype(a.dtype) for a, p in zip(state.average, numbers, strict=True)]
    new = state.replace(
        numbers=numbers, average=average, optimizer=optimizer, carry=played.carry, key=after, update=state.update + 1
    )
    return new, {"loss": played.paid, "cost": played.cost, "learning_rate": rate, "gradient": norm}


def _adam(hyper: PathwiseHyper) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=hyper.first, b2=hyper.second, eps=1e-8)


def _rate(config: PathwiseConfig, hyper: PathwiseHyper, update: Array) -> Array:
    done = jnp.clip(update.astype(jnp.result_type(float)) / config.updates, 0.0, 1.0)
    left = {"constant": jnp.ones_like(done), "linear": 1.0 - done, "cosine": 0.5 * (1.0 + jnp.cos(jnp.pi * done))}
    floor = hyper.learning_rate_floor
    return hyper.learning_rate * (floor + (1.0 - floor) * left[config.schedule])


LEARNER = Learner(
    name="pathwise",
    title="pathwise",
    config=PathwiseConfig,
    hyper=PathwiseHyper,
    for_problem=for_problem,
    init_train=init_train,
    train_chunk=train_chunk,
)
