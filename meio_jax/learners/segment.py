"""A segment of the pathwise learner: what is played, what is paid for, and through what the gradient goes."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.kpis import total_cost
from meio_jax.learners.differentiable import dearest, fade_all, limit_all, paid_cost
from meio_jax.learners.nearly_whole import NearlyWhole, lots_of, nearly_whole, whole_again, whole_demand
from meio_jax.learners.pathwise_config import PathwiseConfig, PathwiseHyper, reach
from meio_jax.learners.salvage import salvage
from meio_jax.network import Network
from meio_jax.processes import Processes
from meio_jax.rollout import Carry, draw_shocks, play_period
from meio_jax.scenario import Scenario, Shock

__all__ = ["Played", "check_length", "is_paid", "play_segment", "shock_of", "windows"]


class Played(NamedTuple):
    """What a segment brought: ``paid``, its paid cost over its periods and the base; ``cost``, its true cost of a
    period; ``carry``, the systems at its end, without its tail.
    """

    paid: Array
    cost: Array
    carry: Carry


def play_segment(
    config: PathwiseConfig, network: Network, source: Processes | Scenario, hyper: PathwiseHyper, theta: Any,
    carry: Carry, key: Array, *, base: Array, width: Array | None,
) -> tuple[Array, Played]:  # fmt: skip
    """Play a segment and its tail.

    Args:
      base: money that the loss is divided by. width ``[I, 1|B]``: of smoothed fixed costs, units; None: not smoothed.
      key: consumed.

    Returns:
      What is differentiated, the paid cost of segment and tail less the salvage value at the end, mean over lanes,
      over the segment's periods and the base; and what was played.
    """
    burn, window, draw, play = jax.random.split(key, 4)
    policy, lanes, each = config.policy, config.lanes, config.periods_each()
    segment, tail, first = config.segment, config.tail_periods(network), config.burn_in or 0
    shocks = windows(config, source, window, first + segment + tail, carry.state.t)
    if first:
        draw_first, play_first = jax.random.split(burn)
        head = jax.random.split(draw_first, first) if shocks is None else jax.tree.map(lambda x: x[:first], shocks)
        carry = _burn_in(config, network, source, theta, carry, head, jax.random.split(play_first, first))
        shocks = None if shocks is None else jax.tree.map(lambda x: x[first:], shocks)
    carry = jax.lax.stop_gradient(carry)
    real, lots = network, lots_of(network) if config.slack else None
    if lots is not None:
        network, policy = nearly_whole(network), NearlyWhole(policy, config.slack)
    unit = segment * base
    most = config.max_worth * reach(real) * dearest(real)

    def period(loop: Any, x: tuple[Array, Shock, Array]) -> tuple[Any, None]:
        carry, own, paid, true = loop
        t, shock, key = x
        carry = fade_all(carry, hyper.discount)
        if config.max_worth and hyper.weights is None:
            carry = limit_all(carry, most / (lanes * unit))
        if lots is not None:
            shock = whole_demand(real, shock)
        carry, happened = play_period(network, policy, own if lots is None else (own, lots), carry, shock, key)
        counts = is_paid(config, t)
        cost = paid_cost(hyper.weights, network, happened.flows, width).mean()
        paid = paid + jnp.where(counts, cost, 0.0)
        true = true + jax.lax.stop_gradient(jnp.where(counts, total_cost(network, happened.flows).mean(), 0.0))
        return (carry, own, paid, true), None

    def stretch(carry: Carry, x: tuple[Array, Any, Array]) -> tuple[Carry, Any]:
        index, feed, keys = x
        # In the tail decisions react, but what they would teach is not taken back to the numbers.
        own = fade_all(theta, (index * each < segment).astype(jnp.result_type(float)))
        times = carry.state.t + jnp.arange(each, dtype=carry.state.t.dtype)
        if not isinstance(source, Scenario):
            feed, process = draw_shocks(source, feed, carry.process, times, lanes)
            carry = Carry(state=carry.state, memory=carry.memory, process=process, reports=carry.reports)
        zero = jnp.zeros((), network.holding_cost.dtype)
        (carry, _, paid, true), _ = jax.lax.scan(period, (carry, own, zero, zero), (times, feed, keys))
        return carry, (paid, true, jax.lax.stop_gradient(carry))

    total = segment + tail
    feed = jax.random.split(draw, total) if shocks is None else shocks
    xs = (feed, jax.random.split(play, total))
    xs = jax.tree.map(lambda x: x.reshape(total // each, each, *x.shape[1:]), xs)
    body = jax.checkpoint(stretch, prevent_cse=False) if config.replays else stretch
    last, (paid, true, carries) = jax.lax.scan(body, carry, (jnp.arange(total // each), *xs))
    stretches = segment // each
    end = jax.tree.map(lambda x: x[stretches - 1], carries)
    if lots is not None:
        end = dataclasses.replace(end, state=whole_again(real, end.state), reports=whole_again(real, end.reports))
    whole = paid.sum()
    if tail and not config.ends and hyper.weights is None:
        whole = whole - salvage(network, fade_all(last.state, hyper.discount)).mean()
    return whole / unit, Played(paid[:stretches].sum() / unit, true[:stretches].sum() / segment, end)


def _burn_in(
    config: PathwiseConfig, network: Network, source: Any, theta: Any, carry: Carry, feed: Any, keys: Array
) -> Carry:
    def period(carry: Carry, x: tuple[Any, Array]) -> tuple[Carry, None]:
        feed, key = x
        shock, carry = shock_of(config, source, feed, carry)
        return play_period(network, config.policy, jax.lax.stop_gradient(theta), carry, shock, key)[0], None

    return jax.lax.scan(period, carry, (feed, keys))[0]


def shock_of(config: PathwiseConfig, source: Any, feed: Any, carry: Carry) -> tuple[Shock, Carry]:
    """The coming shock: given, or drawn from a key, which is consumed."""
    if isinstance(source, Scenario):
        return feed, carry
    shock, process = draw_shocks(source, feed[None], carry.process, carry.state.t[None], config.lanes)
    shock = jax.tree.map(lambda x: x[0], shock)
    return shock, Carry(state=carry.state, memory=carry.memory, process=process, reports=carry.reports)


def is_paid(config: PathwiseConfig, t: Array) -> Array:
    """Whether period t counts."""
    if config.horizon is None:
        return jnp.ones((), bool)
    return (t >= config.unpaid) & ((t < config.horizon) if config.ends else True)


def check_length(config: PathwiseConfig, network: Network, source: Scenario) -> None:
    """Raise `InputError` where a scenario is shorter than what an update plays."""
    needed = (config.burn_in or 0) + config.segment + config.tail_periods(network)
    if config.horizon is not None:
        needed = config.horizon if config.ends else config.horizon + config.tail_periods(network)
    if source.periods < needed:
        raise InputError(
            f"pathwise: the scenario has {source.periods} periods, and an update plays {needed}; "
            "give a shorter segment, tail or horizon"
        )


def windows(config: PathwiseConfig, source: Any, key: Array, periods: int, t: Array) -> Shock | None:
    """Of a scenario ``periods`` periods for each lane, leaves ``[T, .., B]``; else None. The key is consumed.

    As many lanes as are played are played as they are; of another number each lane plays one at random.
    """
    if not isinstance(source, Scenario):
        return None
    begins, which = jax.random.split(key)
    lanes = config.lanes
    if config.horizon is not None:
        first = jnp.broadcast_to(t, (lanes,))
    else:
        cycle = getattr(config.policy, "cycle", None) or 1
        last = max(source.periods - periods, 0)
        first = cycle * jax.random.randint(begins, (lanes,), 0, last // cycle + 1)
        first = first + (t % cycle)  # the calendar that the policy sees goes on
    own = jnp.arange(lanes) if source.lanes == lanes else jax.random.randint(which, (lanes,), 0, source.lanes)
    at = jnp.minimum(first[None] + jnp.arange(periods)[:, None], source.periods - 1)  # [T, B]
    return jax.tree.map(lambda x: jnp.moveaxis(x[at, :, own[None] % x.shape[-1]], 1, -1), source.shocks)
