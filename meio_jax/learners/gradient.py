"""The gradient of a played cost in a policy's numbers, on all cores of a machine.

A gradient over many lanes is the mean of gradients over blocks of them, and what a block keeps for its backward pass
stays in the cache where it is small. Blocks are dealt to one thread for each core (`meio_jax.parallel`); XLA's own
threads hardly share out matrix products as small as these.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.kpis import total_cost
from meio_jax.learners.differentiable import learned
from meio_jax.network import Network
from meio_jax.parallel import is_traced, side_by_side, ways
from meio_jax.policies.base import Policy
from meio_jax.policies.neural import Theta
from meio_jax.processes import Processes
from meio_jax.rollout import rollout
from meio_jax.simulator import Flows

__all__ = ["BLOCK", "cost_gradient"]

#: Lanes of a block: what they keep of fifty periods and a small network stays in a core's cache.
BLOCK = 128


def cost_gradient(
    network: Network,
    policy: Policy,
    theta: Any,
    processes: Processes,
    key: Array,
    *,
    periods: int,
    lanes: int,
    warmup: int = 0,
    block: int | None = None,
    measure: Callable[[Network, Flows], Array] = total_cost,
    oldest: int = 0,
) -> tuple[Array, Any]:
    """Mean cost of a period over fresh draws, and its gradient.

    Args:
      key: consumed. The numbers depend on ``block`` and not on the number of cores, but for the order in which blocks
        are summed.
      periods, warmup: played, and of these not counted (a gradient goes through them).
      block: lanes that are played at once; must divide ``lanes``; None: 128, or all lanes if it does not.
      measure: a hashable ``(network, flows) -> [B]``, the period's cost.
      oldest: as in `meio_jax.rollout.rollout`.

    Returns:
      cost ``[]``, money per period; gradient, like what is learned of theta: a neural policy's ``params``, any other
      policy's theta (whole numbers in it are given back as they are).

    Raises:
      InputError: ``block`` does not divide ``lanes``; what `meio_jax.rollout.rollout` raises.
    """
    if block is None:
        block = BLOCK if lanes % BLOCK == 0 else lanes
    if lanes < 1 or block < 1 or lanes % block:
        raise InputError(f"cost_gradient: block = {block} must divide lanes = {lanes}, both at least 1")
    count = 1 if is_traced(network, theta, processes, key) else ways(lanes // block)
    keys = _dealt(key, blocks=lanes // block, count=count)

    def part(k: int) -> tuple[Array, list[Array]]:
        return _blocks(
            network, policy, theta, processes, keys[k],
            periods=periods, block=block, warmup=warmup, measure=measure, oldest=oldest,
        )  # fmt: skip

    cost, gradient = _mean(side_by_side(part, count), blocks=lanes // block)
    put = learned(theta)[1](gradient)
    return cost, put.params if isinstance(put, Theta) else put


@functools.partial(jax.jit, static_argnames=("blocks", "count"))
def _dealt(key: Array, *, blocks: int, count: int) -> list[Array]:
    keys = jax.random.split(key, blocks).reshape(count, -1)
    return [keys[k] for k in range(count)]


@functools.partial(jax.jit, static_argnames=("policy", "periods", "block", "warmup", "measure", "oldest"))
def _blocks(
    network: Network, policy: Policy, theta: Any, processes: Processes, keys: Array, *,
    periods: int, block: int, warmup: int, measure: Any, oldest: int,
) -> tuple[Array, list[Array]]:  # fmt: skip
    """Sums over blocks of their mean cost and its gradient."""
    numbers, put = learned(theta)

    def cost(numbers: list[Array], key: Array) -> Array:
        played = rollout(
            network, policy, put(numbers), processes, key,
            periods=periods, lanes=block, warmup=warmup, measure=measure, oldest=oldest,
        )  # fmt: skip
        return played.totals.mean() / (periods - warmup)

    def one(total: Any, key: Array) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(cost)(numbers, key)), None

    zero = jax.tree.map(jnp.zeros_like, (jnp.zeros((), network.holding_cost.dtype), numbers))
    return jax.lax.scan(one, zero, keys)[0]


@functools.partial(jax.jit, static_argnames=("blocks",))
def _mean(parts: list[Any], *, blocks: int) -> Any:
    return jax.tree.map(lambda *x: sum(x[1:], x[0]) / blocks, *parts)
