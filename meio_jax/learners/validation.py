"""What a learner is judged by while it learns: the problem's own cost, on scenarios that are the same every time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.kpis import kpis, total_cost
from meio_jax.network import Network
from meio_jax.policies.base import Policy
from meio_jax.processes import Processes
from meio_jax.rollout import add_compensated, begin, draw_shocks, play_period, rollout
from meio_jax.scenario import Scenario, Shock
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import CRITERIA

__all__ = ["Validation", "validation_cost", "validation_of"]

#: A discounted sum without a horizon ends where what is left out weighs less than this share.
NEGLIGIBLE = 1e-4
#: Periods of a discounted sum that are drawn and played together.
STRETCH = 16


@dataclasses.dataclass(frozen=True)
class Validation:
    """How a policy is judged: static, hashed into the program.

    Attributes:
      criterion: "average" money per period, the "total" or the "discounted" sum, as in `Problem`.
      periods: that are paid for. warmup: that are played before them and are not.
      lanes: replications. seed: of the scenarios.
      discount: of a period, where the criterion is "discounted"; the first paid period has weight 1.
    """

    criterion: str = "average"
    periods: int = 400
    warmup: int = 100
    lanes: int = 256
    seed: int = 20_230
    discount: float = 1.0

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise UnknownNameError(f"Validation: criterion {self.criterion!r} is not one of {', '.join(CRITERIA)}")
        if self.periods < 1 or self.lanes < 1 or self.warmup < 0:
            raise InputError(
                f"Validation: periods = {self.periods}, lanes = {self.lanes}, warmup = {self.warmup} cannot be played"
            )
        if self.criterion == "discounted" and not 0 < self.discount < 1:
            raise InputError(f"Validation: discount = {self.discount:g} must lie between 0 and 1")

    def replace(self, **changes: Any) -> Validation:
        return dataclasses.replace(self, **changes)


def validation_of(problem: Problem, **changes: Any) -> Validation:
    """The validation by a problem's criterion, over its own horizon and warm-up; ``changes`` are fields."""
    own: dict[str, Any] = {"criterion": problem.criterion}
    if problem.criterion == "discounted":
        endless = math.ceil(math.log(NEGLIGIBLE) / math.log(problem.discount))
        own.update(discount=problem.discount, periods=problem.periods or endless)
    elif problem.criterion == "total":
        own.update(periods=problem.periods)
    if problem.criterion != "average":
        own.update(warmup=problem.warmup)
    return Validation(**{**own, **changes})


def validation_cost(
    validation: Validation,
    network: Network,
    source: Processes | Scenario,
    policy: Policy,
    theta: Any,
    oldest: int = 0,
) -> dict[str, Array]:
    """The cost of a policy by the criterion, and its standard error over replications: ``eval_*`` scalars.

    Args:
      source: processes, from which the same scenarios are drawn each time; or a scenario, of which all lanes are played
        from the initial state, over as many periods as it has if those are fewer.
      oldest: with late reports, the greatest age that is remembered.

    Returns:
      ``eval_cost`` and ``eval_error``; with "average" and "total" also the indicators of `meio_jax.kpis.kpis`, with
      ``eval_cost_per_period`` for the cost among them.
    """
    periods, lanes, warmup = validation.warmup + validation.periods, validation.lanes, validation.warmup
    if isinstance(source, Scenario):
        periods, lanes = min(periods, source.periods), source.lanes
        warmup = warmup if warmup < periods else 0
        source = source[:periods]
    key = jax.random.key(validation.seed)
    if validation.criterion == "discounted":
        costs = _discounted(validation.discount, network, policy, theta, source, key, warmup, periods, lanes, oldest)
        return {"eval_cost": costs.mean(), "eval_error": costs.std() / lanes**0.5}
    played = rollout(
        network, policy, theta, source, key, periods=periods, lanes=lanes, warmup=warmup, oldest=oldest,
    )  # fmt: skip
    found = kpis(played.totals)
    share = float(periods - warmup) if validation.criterion == "total" else 1.0
    out = {f"eval_{name}": x.mean() for name, x in found.items()}
    out["eval_cost_per_period"] = out["eval_cost"]
    out["eval_cost"] = share * out["eval_cost"]
    return {**out, "eval_error": share * found["cost"].std() / lanes**0.5}


def _discounted(
    discount: float, network: Network, policy: Policy, theta: Any, source: Processes | Scenario, key: Array,
    warmup: int, periods: int, lanes: int, oldest: int,
) -> Array:  # fmt: skip
    """``[B]`` the discounted cost of the periods after the warm-up; the key is consumed."""
    start, draw, play = jax.random.split(key, 3)
    carry = begin(network, policy, source, start, lanes, oldest=oldest)
    each = max(k for k in range(1, STRETCH + 1) if periods % k == 0)
    zero = jnp.zeros((lanes,), network.holding_cost.dtype)

    def period(loop: Any, x: tuple[Array, Shock, Array]) -> tuple[Any, None]:
        carry, part = loop
        t, shock, key = x
        shock = jax.tree.map(lambda v: jnp.broadcast_to(v, (*v.shape[:-1], lanes)), shock)
        carry, happened = play_period(network, policy, theta, carry, shock, key)
        weight = jnp.where(t >= warmup, jnp.asarray(discount, zero.dtype) ** (t - warmup), 0.0)
        return (carry, part + weight * total_cost(network, happened.flows)), None

    def stretch(loop: Any, x: tuple[Array, Any, Array]) -> tuple[Any, None]:
        carry, total, lost = loop
        times, feed, keys = x
        if not isinstance(source, Scenario):
            feed, process = draw_shocks(source, feed, carry.process, times, lanes)
            carry = type(carry)(state=carry.state, memory=carry.memory, process=process, reports=carry.reports)
        (carry, part), _ = jax.lax.scan(period, (carry, zero), (times, feed, keys))
        return (carry, *add_compensated(total, lost, part)), None

    feed = source.shocks if isinstance(source, Scenario) else jax.random.split(draw, periods)
    xs = jnp.arange(periods, dtype=jnp.int32), feed, jax.random.split(play, periods)
    xs = jax.tree.map(lambda v: v.reshape(-1, each, *v.shape[1:]), xs)
    (_, total, _), _ = jax.lax.scan(stretch, (carry, zero, zero), xs)
    return total
