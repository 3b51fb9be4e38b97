"""What a policy costs when it is played, by the criterion of a problem: the check on every analytic cost."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError, NonFiniteError
from meio_jax.evaluate import Estimate, t_interval
from meio_jax.kpis import total_cost
from meio_jax.policies.base import Policy
from meio_jax.processes import sample_shock
from meio_jax.rollout import add_compensated, begin, play_period, rollout
from meio_jax.solvers.problem import Problem

__all__ = ["played", "played_lanes"]

#: A discounted sum without a horizon ends where what is left out weighs less than this share.
NEGLIGIBLE = 1e-6


def played(
    problem: Problem,
    policy: Policy,
    theta: Any,
    key: Array,
    *,
    lanes: int = 1024,
    periods: int = 1000,
    warmup: int = 100,
    level: float = 0.95,
    oldest: int = 0,
) -> Estimate:
    """Mean cost of a policy over independent replications, and Student's t interval around it, of ``level``.

    The arguments, and what is raised, are those of `played_lanes`.
    """
    values = played_lanes(problem, policy, theta, key, lanes=lanes, periods=periods, warmup=warmup, oldest=oldest)
    low, high = t_interval(values, level)
    return Estimate(float(values.mean()), low, high)


def played_lanes(
    problem: Problem,
    policy: Policy,
    theta: Any,
    key: Array,
    *,
    lanes: int = 1024,
    periods: int = 1000,
    warmup: int = 100,
    oldest: int = 0,
) -> np.ndarray:
    """``[B]`` what a policy costs in each of some replications, float64; two policies with one key meet the same draws.

    The criterion "average" is money per period over ``periods`` after ``warmup`` more; "total" and "discounted" are
    sums over the problem's own horizon and warm-up, the first counted period having weight 1.

    Args:
      key: of the draws and of stochastic policies; consumed.
      lanes: replications.
      periods, warmup: of "average" alone.
      oldest: with late reports, the greatest age that is remembered.

    Raises:
      InputError: a horizon or a number of lanes that is none.
      NonFiniteError: a cost is NaN or infinite.
    """
    if lanes < 1 or periods < 1 or warmup < 0:
        raise InputError(f"played: lanes = {lanes}, periods = {periods}, warmup = {warmup} cannot be played")
    network, source = problem.network, problem.processes
    if problem.criterion == "discounted":
        left = math.ceil(math.log(NEGLIGIBLE) / math.log(problem.discount))
        horizon = left if problem.periods is None else problem.periods
        costs = _discounted(
            network, policy, theta, source, key, problem.discount, problem.warmup,
            periods=horizon + problem.warmup, lanes=lanes, oldest=oldest,
        )  # fmt: skip
        share = 1.0
    else:
        if problem.criterion == "total":
            assert problem.periods is not None  # `Problem` sees to it
            periods, warmup, share = problem.periods, problem.warmup, 1.0
        else:
            share = 1.0 / periods
        costs = rollout(
            network, policy, theta, source, key, periods=periods + warmup, lanes=lanes, warmup=warmup,
            measure=total_cost, block=512 if lanes % 512 == 0 else None, oldest=oldest,
        ).totals  # fmt: skip
    values = np.asarray(costs, np.float64) * share
    if not np.all(np.isfinite(values)):
        raise NonFiniteError(f"played: the cost of {np.sum(~np.isfinite(values))} of {lanes} lanes is not finite")
    return values


@functools.partial(jax.jit, static_argnames=("policy", "periods", "lanes", "oldest"))
def _discounted(
    network: Any, policy: Policy, theta: Any, source: Any, key: Array, discount: Any, warmup: Any, *,
    periods: int, lanes: int, oldest: int,
) -> Array:  # fmt: skip
    """Discounted cost ``[B]`` of the periods after the warm-up. The key is consumed."""
    start, draw, play = jax.random.split(key, 3)
    carry = begin(network, policy, source, start, lanes, oldest=oldest)
    zero = jnp.zeros((lanes,), network.holding_cost.dtype)

    def step(loop: Any, x: tuple[Array, Array, Array]) -> tuple[Any, None]:
        carry, total, lost = loop
        t, draw, play = x
        shock, process = sample_shock(source, draw, carry.process, carry.state.t, lanes)
        carry, happened = play_period(network, policy, theta, carry, shock, play)
        carry = type(carry)(state=carry.state, memory=carry.memory, process=process, reports=carry.reports)
        weight = jnp.where(t >= warmup, jnp.asarray(discount, zero.dtype) ** (t - warmup), 0.0)
        return (carry, *add_compensated(total, lost, weight * total_cost(network, happened.flows))), None

    feed = jnp.arange(periods), jax.random.split(draw, periods), jax.random.split(play, periods)
    (_, total, _), _ = jax.lax.scan(step, (carry, zero, zero), feed)
    return total
