"""Play a policy over a horizon, as one scan: over a given scenario or fresh draws, with or without the trajectory."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.kpis import tally
from meio_jax.network import Network
from meio_jax.observation import Observation, Reports, file_report, init_reports, note_orders, observe
from meio_jax.parallel import is_traced, side_by_side, ways
from meio_jax.policies.base import Policy
from meio_jax.processes import Processes, init_processes, sample_shock
from meio_jax.scenario import Scenario, Shock
from meio_jax.simulator import Flows, State, initial_state, transition
from meio_jax.struct import pytree

__all__ = ["Carry", "Rollout", "Trajectory", "begin", "draw_shocks", "play_period", "rollout"]

#: At most so many periods are drawn and summed together, and their shocks may take so many bytes.
STRETCH, STRETCH_BYTES = 64, 1 << 18


class Trajectory(NamedTuple):
    """Every period of a horizon, leaves ``[T, .., B]``: what was seen, wanted, what happened, what moved."""

    seen: Observation
    orders: Array
    shock: Shock
    flows: Flows


class Rollout(NamedTuple):
    """The result of `rollout`: ``totals`` is the sum of the measure over the periods after the warm-up."""

    totals: Any
    carry: Carry
    trajectory: Trajectory | None


@pytree
class Carry:
    """All that the next period needs: continue a rollout by giving it back."""

    state: State
    memory: Any
    process: Any
    reports: Reports | None


def begin(
    network: Network, policy: Policy, source: Processes | Scenario, key: Array, lanes: int, *, oldest: int = 0
) -> Carry:
    """The carry at time 0. ``oldest``: the greatest age of a report that is remembered. The key is consumed."""
    state = initial_state(network, lanes)
    late = source.shocks.report_age is not None if isinstance(source, Scenario) else source.reporting is not None
    if late and oldest <= 0:
        raise InputError("reports are late here: say with oldest= how old a report may become and still be read")
    return Carry(
        state=state,
        memory=policy.memory(network, lanes),
        process=None if isinstance(source, Scenario) else init_processes(source, key, lanes),
        reports=init_reports(network, state, oldest) if late else None,
    )


def play_period(
    network: Network, policy: Policy, theta: Any, carry: Carry, shock: Shock, key: Array
) -> tuple[Carry, Trajectory]:
    """Observe, decide, move: one period. ``carry.process`` is passed through."""
    seen = observe(network, carry.state, shock)
    reports = carry.reports
    if reports is not None and shock.report_age is not None:
        reports, seen = file_report(network, reports, seen, shock.report_age)
    decision, memory = policy.apply(network, theta, carry.memory, seen, key)
    state, flows = transition(network, carry.state, decision.orders, shock, decision.allocation)
    if reports is not None:
        reports = note_orders(reports, flows.ordered[: network.wiring.n_inner])
    after = Carry(state=state, memory=memory, process=carry.process, reports=reports)
    return after, Trajectory(seen, decision.orders, shock, flows)


def rollout(
    network: Network,
    policy: Policy,
    theta: Any,
    source: Processes | Scenario,
    key: Array,
    *,
    periods: int | None = None,
    lanes: int | None = None,
    warmup: int | Array = 0,
    measure: Callable[[Network, Flows], Any] = tally,
    keep_trajectory: bool = False,
    carry: Carry | None = None,
    block: int | None = None,
    oldest: int = 0,
) -> Rollout:
    """Play ``policy`` in every lane.

    Args:
      source: `Processes` (fresh draws) or a `Scenario` (given shocks).
      key: drives the draws and stochastic policies; consumed.
      periods: horizon; with a scenario at most its length, which is also the default.
      lanes: number of lanes; with a scenario its own number.
      warmup: periods at the start that the totals leave out.
      measure: a hashable ``(network, flows) -> pytree of [B]``, summed over periods: plainly over up to 64 of them,
        these sums with compensation, so that ten years in float32 stay accurate.
      keep_trajectory: also return every period.
      carry: continue from here instead of from the initial state.
      block: play the lanes in blocks of this size, each from start to end, to stay in the cache, and several side by
        side on the cores of a CPU; must divide ``lanes``. On CPUs 512 is good for most networks: see `benchmarks.run`.
        Draws then differ from the unblocked ones; totals are joined again along the lane axis.
      oldest: with late reports, the greatest age that is remembered.

    Raises:
      InputError: horizon or lanes do not fit the source.
    """
    if isinstance(source, Scenario):
        periods = source.periods if periods is None else periods
        if periods > source.periods:
            raise InputError(f"the scenario has {source.periods} periods, {periods} were asked for")
        if lanes is not None and source.lanes not in (1, lanes):
            raise InputError(f"the scenario has {source.lanes} lanes, {lanes} were asked for")
        lanes = source.lanes if lanes is None else lanes
        source = source if periods == source.periods else source[:periods]
    if periods is None or lanes is None or periods < 1 or lanes < 1:
        raise InputError("rollout over processes needs periods= and lanes=, both at least 1")
    if isinstance(warmup, int) and not 0 <= warmup < periods:
        raise InputError(f"warmup = {warmup} must leave something of the {periods} periods")
    if block is not None and (lanes % block or carry is not None or keep_trajectory):
        raise InputError(f"block={block} must divide lanes={lanes}, and goes neither with carry nor with a trajectory")
    if block is not None and block != lanes:
        return _in_blocks(
            network, policy, theta, source, key, warmup,
            periods=periods, lanes=lanes, measure=measure, block=block, oldest=oldest,
        )  # fmt: skip
    return _rollout(
        network, policy, theta, source, key, warmup, carry,
        periods=periods, lanes=lanes, measure=measure, keep=keep_trajectory, oldest=oldest,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=("policy", "periods", "lanes", "measure", "keep", "oldest"))
def _rollout(
    network: Network, policy: Policy, theta: Any, source: Any, key: Array, warmup: Any, carry: Carry | None, *,
    periods: int, lanes: int, measure: Any, keep: bool, oldest: int,
) -> Rollout:  # fmt: skip
    return _scan(network, policy, theta, source, key, warmup, carry, periods, lanes, measure, keep, oldest)


def _in_blocks(
    network: Network, policy: Policy, theta: Any, source: Any, key: Array, warmup: Any, *,
    periods: int, lanes: int, measure: Any, block: int, oldest: int,
) -> Rollout:  # fmt: skip
    """All blocks, in equal groups side by side; the numbers do not depend on how many groups there are."""
    around = [cell.cell_contents for cell in getattr(measure, "__closure__", None) or ()]  # a gradient may be of those
    count = 1 if is_traced(network, theta, source, key, warmup, around) else ways(lanes // block)
    feeds = _dealt(network, theta, source, key, laned=policy.theta_has_lanes, lanes=lanes, block=block, count=count)

    def play(k: int) -> Any:
        return _play_blocks(
            network, policy, theta, source, warmup, feeds[k],
            periods=periods, lanes=lanes, measure=measure, block=block, oldest=oldest,
        )  # fmt: skip

    return _join(side_by_side(play, count), lanes=lanes, block=block)


def _is_split(network: Network, theta: Any, source: Any, laned: bool, lanes: int) -> list[bool]:
    """For each leaf of the three whether it differs between lanes, and so is cut into blocks."""
    parts = ((network, True), (theta, laned), (source, True))
    return [may and x.ndim > 0 and x.shape[-1] == lanes for part, may in parts for x in jax.tree.leaves(part)]


@functools.partial(jax.jit, static_argnames=("laned", "lanes", "block", "count"))
def _dealt(
    network: Network, theta: Any, source: Any, key: Array, *, laned: bool, lanes: int, block: int, count: int
) -> list[tuple[Array, list[Array]]]:
    """For each group the keys of its blocks and their parts of what differs between lanes, a leading axis of blocks."""
    blocks = lanes // block
    split = _is_split(network, theta, source, laned, lanes)
    cut = [
        jnp.moveaxis(x.reshape(*x.shape[:-1], blocks, block), -2, 0)
        for x, yes in zip(jax.tree.leaves((network, theta, source)), split, strict=True)
        if yes
    ]
    groups = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), (jax.random.split(key, blocks), cut))
    return [jax.tree.map(lambda x, k=k: x[k], groups) for k in range(count)]


@functools.partial(jax.jit, static_argnames=("policy", "periods", "lanes", "measure", "block", "oldest"))
def _play_blocks(
    network: Network, policy: Policy, theta: Any, source: Any, warmup: Any, feed: tuple[Array, list[Array]], *,
    periods: int, lanes: int, measure: Any, block: int, oldest: int,
) -> Rollout:  # fmt: skip
    """One group of blocks, one after another, each from start to end; results have a leading axis of blocks."""
    tree: Any
    leaves, tree = jax.tree.flatten((network, theta, source))
    split = _is_split(network, theta, source, policy.theta_has_lanes, lanes)

    def one(args: tuple[Array, list[Array]]) -> Rollout:
        key, parts = args
        own = iter(parts)
        network, theta, source = tree.unflatten([next(own) if s else x for x, s in zip(leaves, split, strict=True)])
        return _scan(network, policy, theta, source, key, warmup, None, periods, block, measure, False, oldest)

    # A gradient plays a block again rather than keep what all of them saw.
    return jax.lax.map(jax.checkpoint(one, prevent_cse=False), feed)


@functools.partial(jax.jit, static_argnames=("lanes", "block"))
def _join(parts: list[Rollout], *, lanes: int, block: int) -> Rollout:
    def join(*x: Array) -> Array:
        laned = x[0].ndim > 1 and x[0].shape[-1] == block
        whole = jnp.concatenate(x)
        return jnp.moveaxis(whole, 0, -2).reshape(*whole.shape[1:-1], lanes) if laned else whole[0]

    return jax.tree.map(join, *parts)


def _scan(
    network: Network, policy: Policy, theta: Any, source: Any, key: Array, warmup: Any, carry: Carry | None,
    periods: int, lanes: int, measure: Any, keep: bool, oldest: int,
) -> Rollout:  # fmt: skip
    """Play stretches of some periods: their shocks are drawn together, and their sum is added to the total once."""
    start, play, draw = jax.random.split(key, 3)
    begun = begin(network, policy, source, start, lanes, oldest=oldest) if carry is None else carry
    scenario = isinstance(source, Scenario)
    each, measured = jax.eval_shape(lambda: _example(network, policy, theta, begun, source, lanes, measure))
    stretch = _stretch(periods, 0 if scenario else sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(each)))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), measured)

    def play_one(loop: tuple[Carry, Any], x: tuple[Array, Shock, Array]) -> tuple[Any, Trajectory | None]:
        carry, part = loop
        index, shock, key = x
        shock = jax.tree.map(lambda v: jnp.broadcast_to(v, (*v.shape[:-1], lanes)), shock)
        carry, happened = play_period(network, policy, theta, carry, shock, key)
        counted = measure(network, happened.flows)
        part = jax.tree.map(lambda p, x: p + jnp.where(index >= warmup, x, 0), part, counted)
        return (carry, part), happened if keep else None

    def play_stretch(loop: tuple[Carry, Any, Any], x: tuple[Array, Any, Array]) -> tuple[Any, Trajectory | None]:
        carry, total, lost = loop
        index, shocks, keys = x
        if not scenario:
            times = carry.state.t + jnp.arange(stretch, dtype=carry.state.t.dtype)
            shocks, process = draw_shocks(source, shocks, carry.process, times, lanes)
            carry = Carry(state=carry.state, memory=carry.memory, process=process, reports=carry.reports)
        (carry, part), kept = jax.lax.scan(play_one, (carry, zeros), (index, shocks, keys))
        return (carry, *add_compensated(total, lost, part)), kept

    feed = (
        jnp.arange(periods),
        source.shocks if scenario else jax.random.split(draw, periods),
        jax.random.split(play, periods),
    )
    feed = jax.tree.map(lambda x: x.reshape(-1, stretch, *x.shape[1:]), feed)
    (after, total, _), kept = jax.lax.scan(play_stretch, (begun, zeros, zeros), feed)
    return Rollout(total, after, jax.tree.map(lambda x: x.reshape(periods, *x.shape[2:]), kept))


def _stretch(periods: int, size: int) -> int:
    """How many periods are drawn and summed together: a divisor of ``periods``; ``size`` is a shock's bytes."""
    most = min(STRETCH, periods, max(1, STRETCH_BYTES // max(1, size)))
    return max(k for k in range(1, most + 1) if periods % k == 0)


def draw_shocks(source: Processes, keys: Array, carry: Any, times: Array, lanes: int) -> tuple[Shock, Any]:
    """The shocks of some periods, leaves ``[k, .., B]``, and the processes' carry after them: all at once where nothing
    drawn depends on the past. ``keys [k]`` are consumed; times ``[k]``.
    """
    processes = [p for field in dataclasses.fields(source) if (p := getattr(source, field.name)) is not None]
    if all(p.memoryless for p in processes):
        return jax.vmap(lambda key, t: sample_shock(source, key, carry, t, lanes)[0])(keys, times), carry

    def one(carry: Any, x: tuple[Array, Array]) -> tuple[Any, Shock]:
        shock, carry = sample_shock(source, x[0], carry, x[1], lanes)
        return carry, shock

    carry, shocks = jax.lax.scan(one, carry, (keys, times))
    return shocks, carry


def _example(
    network: Network, policy: Policy, theta: Any, carry: Carry, source: Any, lanes: int, measure: Any
) -> tuple[Shock, Any]:
    """A shock and what is measured of a period. Only traced for the shapes."""
    key = jax.random.key(0)
    if isinstance(source, Scenario):
        shock = jax.tree.map(lambda v: jnp.broadcast_to(v[0], (*v.shape[1:-1], lanes)), source.shocks)
    else:
        shock, _ = sample_shock(source, key, carry.process, carry.state.t, lanes)
    flows = play_period(network, policy, theta, carry, shock, jax.random.key(1))[1].flows
    return shock, measure(network, flows)


def add_compensated(total: Any, lost: Any, more: Any, count: Any = True) -> tuple[Any, Any]:
    """Kahan's sum over pytrees: ``lost`` carries the rounding error of ``total``. Kahan (1965), CACM 8(1)."""

    def one(total: Array, lost: Array, x: Array) -> tuple[Array, Array]:
        y = jnp.where(count, x, 0.0) - lost
        new = total + y
        return new, (new - total) - y

    pairs = jax.tree.map(one, total, lost, more)
    is_pair = lambda p: isinstance(p, tuple) and len(p) == 2 and not hasattr(p, "_fields")  # noqa: E731
    return jax.tree.map(lambda p: p[0], pairs, is_leaf=is_pair), jax.tree.map(lambda p: p[1], pairs, is_leaf=is_pair)
