"""Generalised advantage estimation: Schulman et al. (2016), arXiv 1506.02438."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["gae"]


def gae(
    rewards: Array, values: Array, last_value: Array, discount: Array | float, trace: Array | float
) -> tuple[Array, Array]:
    """Advantages and the value targets that go with them.

    The end of a segment is a truncation: the value of the state after it is bootstrapped. Where the problem itself ends
    there, give a ``last_value`` of zero.

    Args:
      rewards: ``[T, B, ..]``, paid for the action taken in each period.
      values: ``[T, B, ..]``, of what was seen before it.
      last_value: ``[B, ..]``, of what is seen after the last period.
      discount: gamma. trace: lambda.

    Returns:
      advantages, targets ``[T, B, ..]`` (advantage + value).
    """

    def back(carry: tuple[Array, Array], x: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        later, value_after = carry
        reward, value = x
        error = reward + discount * value_after - value
        advantage = error + discount * trace * later
        return (advantage, value), advantage

    _, advantages = jax.lax.scan(back, (jnp.zeros_like(last_value), last_value), (rewards, values), reverse=True)
    return advantages, advantages + values
