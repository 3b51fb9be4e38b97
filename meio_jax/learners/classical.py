"""The numbers of a classical rule by the gradient of its cost: base-stock levels on any network, caps, weights.

The pathwise learner as it is (`meio_jax.learners.pathwise`), on the numbers of a rule instead of a network's weights.
Infinitesimal perturbation analysis of base-stock levels is the oldest use of such gradients in this field (Glasserman
and Tayur 1995, Management Science 41(2), doi:10.1287/mnsc.41.2.263); here it is any rule, on any network.

A rule's numbers have units. Each is counted in one of its own, the amount by which the rule's first numbers differ for
a standard deviation of safety, so that one learning rate serves all of them. Costs of such rules are piecewise linear:
the rate falls to nothing, and of the numbers on the way the average is kept. Where quantities are whole the last word
is that of whole neighbours.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.checks import check_network
from meio_jax.errors import InputError, UnsuitableError
from meio_jax.learners import pathwise
from meio_jax.learners.differentiable import learned
from meio_jax.learners.loop import train
from meio_jax.learners.validation import Validation, validation_cost
from meio_jax.network import Network
from meio_jax.policies.base import Policy
from meio_jax.policies.base_stock import BaseStock
from meio_jax.policies.myopic import Myopic
from meio_jax.policies.reorder import ReorderLots, ReorderUpTo
from meio_jax.policies.table import TablePolicy
from meio_jax.processes import Processes, draw, mean_demand, sd_demand
from meio_jax.processes.reporting import oldest_report
from meio_jax.solvers.played import played
from meio_jax.solvers.problem import Problem

__all__ = ["Tuned", "check_smooth", "first_numbers", "init_rule", "settle", "tune_by_gradient"]

#: Defaults of the pathwise learner that a handful of numbers needs otherwise than thousands of weights do.
DEFAULTS = {"lanes": 64, "updates": 300, "eval_every": 50, "learning_rate": 0.1}
#: Rounds of whole neighbours at most; up to so many whole numbers, two of them are also moved together.
ROUNDS, PAIRS = 40, 6
#: Policies that compare a position with a number, or look one up: a jump, of which a gradient sees nothing.
JUMPS = (ReorderUpTo, ReorderLots, Myopic, TablePolicy)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What `tune_by_gradient` found.

    policy, theta: the rule and its numbers. cost, low, high: its cost by the problem's criterion and the confidence
    interval of that, on scenarios that the tuning never saw (None, None: of a single lane).
    history ``[n, 2]``: periods of one system played so far, and the cost of the numbers of that time on the scenarios
    of the validation.
    updates: steps of the gradient. simulated: periods of one system that were played in all to find the numbers, those
    of validation and neighbours included; a search plays candidates x lanes x periods. validated_cost: what the choice
    was made by, which flatters.
    """

    policy: Policy
    theta: Any
    cost: float
    low: float | None
    high: float | None
    history: np.ndarray
    updates: int
    simulated: int
    validated_cost: float


def tune_by_gradient(
    problem: Problem,
    policy: Policy | None = None,
    key: Array | None = None,
    *,
    theta0: Any = None,
    level: float = 0.95,
    fresh_lanes: int = 1024,
    fresh_periods: int = 1000,
    **changes: Any,
) -> Tuned:
    """Numbers of a rule at which the gradient of its cost vanishes.

    Args:
      policy: whose orders are continuous in its numbers; None: echelon base stock.
      key: consumed; None: seed 0. The result is the same for the same key.
      theta0: where to start; None: `first_numbers`.
      level: of the confidence interval.
      fresh_lanes, fresh_periods: of the simulation that says what the result costs (periods where the horizon is for
        ever).
      **changes: fields of `PathwiseConfig` or `PathwiseHyper`; ``learning_rate`` is in the numbers' own units.

    Raises:
      UnsuitableError: the rule jumps in its numbers, or the network has costs that do; it says what to do instead.
      InputError: the policy or theta0 does not fit the network.
      NumberError: a number of the network is out of its domain.
      TrainingDivergedError: a cost or a number became NaN or infinite.
    """
    network, processes = problem.network, problem.processes
    policy = BaseStock(echelon=True) if policy is None else policy
    check_network(network)
    check_smooth(policy)
    begin, units = first_numbers(network, processes, policy)
    if theta0 is None:
        theta0 = begin
    elif jax.tree.map(jnp.shape, theta0) != jax.tree.map(jnp.shape, begin):
        raise InputError(f"tune_by_gradient: theta0 has shapes {_shapes(theta0)}, the policy's are {_shapes(begin)}")
    theta0 = jax.tree.map(lambda x: jnp.asarray(x, network.holding_cost.dtype), theta0)
    config, hyper = pathwise.for_problem(
        problem, policy=policy, **(DEFAULTS | {"oldest": oldest_report(processes.reporting)} | changes)
    )
    learn, cost = jax.random.split(jax.random.key(0) if key is None else key)
    state = init_rule(config, network, processes, hyper, learn, theta0, units)
    state, metrics = train(config, network, processes, hyper, state=state)

    check = config.validation
    each = config.lanes * (config.segment + config.tail_periods(network) + (config.burn_in or 0))
    one = check.lanes * (check.warmup + check.periods)  # periods of one system in a validation
    theta, found, simulated = state.theta, np.inf, config.lanes * config.warmup + each * config.updates
    history = np.zeros((0, 2))
    if config.eval_every:
        theta, found = state.best_theta, float(state.best_cost)
        costs = np.asarray(metrics["eval_cost"], np.float64)
        at = np.arange(1, len(costs) + 1)
        history = np.stack([config.lanes * config.warmup + at * (each * config.eval_every + one), costs], -1)
        simulated += one * len(costs)
    whole = _whole(policy, network, theta)
    if whole:
        play = functools.partial(_costs, check, network, processes, policy, oldest=config.oldest)
        theta, found, candidates = settle(play, theta, whole)
        simulated += one * candidates
    estimate = played(
        problem, policy, theta, cost, lanes=fresh_lanes, periods=fresh_periods, warmup=check.warmup, level=level,
        oldest=config.oldest,
    )  # fmt: skip
    return Tuned(
        policy=policy,
        theta=theta,
        cost=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        history=history,
        updates=config.updates,
        simulated=simulated,
        validated_cost=found,
    )


def init_rule(
    config: pathwise.PathwiseConfig, network: Network, processes: Processes, hyper: pathwise.PathwiseHyper, key: Array,
    theta0: Any, units: Any,
) -> pathwise.PathwiseState:  # fmt: skip
    """`pathwise.init_train` for a rule: from ``theta0``, in steps of ``units`` (of `first_numbers`; 0 or None: the
    learner's own). The key is consumed.
    """
    state = pathwise.init_train(config, network, processes, hyper, key, theta=theta0)
    own = state.unit if units is None else learned(units)[0]
    return state.replace(unit=[jnp.where(u > 0, u, v).astype(v.dtype) for u, v in zip(own, state.unit, strict=True)])


def check_smooth(policy: Policy) -> None:
    """Refuse a rule whose orders jump in its numbers.

    Raises:
      UnsuitableError: with the rule's name and what to do instead.
    """
    if isinstance(policy, JUMPS):
        raise UnsuitableError(
            f"{type(policy).__name__} compares or looks up, a jump in its numbers that a gradient does not see; "
            "tune it with search"
        )


def first_numbers(network: Network, processes: Processes, policy: Policy, *, lanes: int = 256) -> tuple[Any, Any]:
    """Where to start, and what is 1 for each number: what a standard deviation of safety makes of it.

    Args:
      lanes: of the draws that stand for a demand whose moments no formula gives.

    Returns:
      theta, for the mean and standard deviation of the demand; and the units, like theta, 0 where the rule cannot tell;
      None for a policy that has no ``start``.
    """
    start = getattr(policy, "start", None)
    if start is None:
        return policy.init(jax.random.key(0), network), None
    mean, sd = mean_demand(processes), sd_demand(processes)
    if mean is None or sd is None:
        demand = draw(processes, jax.random.key(0), 128, lanes).shocks.demand
        mean, sd = demand.mean((0, 2))[:, None], demand.std((0, 2))[:, None]
    mean, sd = (x.mean(-1, keepdims=True).astype(network.holding_cost.dtype) for x in (mean, sd))
    safe, bare = (jax.tree.map(lambda x: x.mean(-1, keepdims=True), start(network, mean, s)) for s in (sd, 0.0 * sd))
    return safe, jax.tree.map(lambda a, b: jnp.abs(a - b), safe, bare)


def _shapes(theta: Any) -> str:
    named = jax.tree_util.tree_flatten_with_path(theta)[0]
    return ", ".join(f"{jax.tree_util.keystr(path)} {np.shape(x)}" for path, x in named)


def _whole(policy: Policy, network: Network, theta: Any) -> tuple[str, ...]:
    """The names of theta that are whole."""
    names = getattr(policy, "whole", ())
    return tuple(k for k in theta if k in names) if network.wiring.integer and isinstance(theta, Mapping) else ()


@functools.partial(jax.jit, static_argnames=("check", "policy", "oldest"))
def _costs(
    check: Validation, network: Network, processes: Processes, policy: Policy, thetas: Any, *, oldest: int
) -> Array:
    """``[K]`` costs of candidates, leaves with a leading axis K, all on the validation's scenarios."""

    def one(theta: Any) -> Array:
        return validation_cost(check, network, processes, policy, theta, oldest)["eval_cost"]

    return jax.lax.map(one, thetas)


def settle(play: Callable[[Any], Array], theta: Any, names: tuple[str, ...]) -> tuple[Any, float, int]:
    """From rounded numbers to whole numbers that no neighbour betters.

    Args:
      play: from theta with a leading axis K, whose length is always the same, to the costs ``[K]`` of K candidates.
      names: of theta's entries that are whole; the others stay as they are.

    Returns:
      theta, its cost, and how many candidates were played.
    """
    shapes = [theta[k].shape for k in names]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])
    here = np.concatenate([np.asarray(theta[k], np.float64).ravel() for k in names])
    here = np.floor(here + 0.5)
    d = len(here)
    moves = [sign * np.eye(d)[i] for i in range(d) for sign in (1.0, -1.0)]
    if d <= PAIRS:
        moves += [
            a * np.eye(d)[i] + b * np.eye(d)[j]
            for i, j in itertools.combinations(range(d), 2)
            for a in (1.0, -1.0)
            for b in (1.0, -1.0)
        ]
    steps = np.stack([np.zeros(d), *moves])
    known: dict[bytes, float] = {}
    played = 0

    def made(x: np.ndarray) -> Any:
        """``[K, d]`` to a theta with a leading axis K."""
        parts = np.split(x, ends[:-1], axis=-1)
        own = {k: jnp.asarray(p.reshape(-1, *s), theta[k].dtype) for k, p, s in zip(names, parts, shapes, strict=True)}
        return {k: own.get(k, jnp.broadcast_to(v, (len(x), *v.shape))) for k, v in theta.items()}

    for _ in range(ROUNDS):
        near = here + steps
        if any(row.tobytes() not in known for row in near):
            costs = np.asarray(play(made(near)), np.float64)
            played += len(near)
            known.update({row.tobytes(): float(c) for row, c in zip(near, costs, strict=True)})
        best = min(near, key=lambda row: known[row.tobytes()])
        if known[best.tobytes()] >= known[here.tobytes()]:
            break
        here = best
    return jax.tree.map(lambda x: x[0], made(here[None])), known[here.tobytes()], played
