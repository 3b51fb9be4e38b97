"""The clipped surrogate objective: Schulman et al. (2017), arXiv 1707.06347, equations 7 and 9."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.learners.config import PPOConfig, PPOHyper
from meio_jax.network import Network
from meio_jax.policies.neural import Theta

__all__ = ["Batch", "Judged", "judge", "log_prob_of", "ppo_loss"]


class Batch(NamedTuple):
    """What a segment leaves for the loss: whole lanes, leaves ``[B, T, ..]``.

    x: what the policy saw, not normalised. mask: of the head, or None. raw ``[.., K]``: what was done; log_prob ``[..,
    K]``: how likely each of it was. value, target ``[.., G]``: of the critic then and of
    `meio_jax.learners.gae.gae`, for each account. advantage ``[.., K]``. z ``[.., k, F]``: what was
    to come, or None. memory ``[B, ..]``: of the policy before the first period, or None.
    """

    x: Any
    mask: Array | None
    raw: Array
    log_prob: Array
    value: Array
    advantage: Any = None
    target: Any = None
    z: Array | None = None
    memory: Any = None


class Judged(NamedTuple):
    """log_prob ``[.., K]`` of what was done, entropy ``[..]``, value ``[.., G]`` by the policy's own critic."""

    log_prob: Array
    entropy: Array
    value: Array


def log_prob_of(dist: Any, raw: Array) -> Array:
    """``[.., K]`` of each decision that was taken. Decisions are independent given what is seen, and each is clipped by
    itself: the clip of a product would let one that moved far hold all others.
    """
    log_prob: Array = dist.distribution.log_prob(raw)
    return log_prob


def judge(config: PPOConfig, network: Network, theta: Theta, spread: Array, batch: Batch) -> Judged:
    """What the policy of ``theta`` says to what was done. One that remembers sees each lane again from its first
    period, with the memory it had there.
    """
    policy = config.policy
    if not policy.remembers:
        dist, value = policy.act(network, theta, batch.x, batch.mask, spread)
        return Judged(log_prob_of(dist, batch.raw), dist.entropy(), value)

    def period(memory: Any, at: tuple[Any, Array | None, Array]) -> tuple[Any, Judged]:
        x, mask, raw = at
        dist, value, memory = policy.act_with_memory(network, theta, x, memory, mask, spread)
        return memory, Judged(log_prob_of(dist, raw), dist.entropy(), value)

    first = jax.tree.map(lambda v: jnp.moveaxis(v, 0, -1), batch.memory)
    by_time = jax.tree.map(lambda v: jnp.swapaxes(v, 0, 1), (batch.x, batch.mask, batch.raw))
    _, judged = jax.lax.scan(period, first, by_time)
    return jax.tree.map(lambda v: jnp.swapaxes(v, 0, 1), judged)


def ppo_loss(
    config: PPOConfig, hyper: PPOHyper, judged: Judged, batch: Batch, left: Array
) -> tuple[Array, dict[str, Array]]:
    """The loss of policy and critic, and its parts. ``left``: share of the entropy's weight that is left."""
    log_ratio = judged.log_prob - batch.log_prob
    ratio = jnp.exp(log_ratio)
    cut = jnp.clip(ratio, 1.0 - hyper.clip, 1.0 + hyper.clip)
    gain = jnp.minimum(ratio * batch.advantage, cut * batch.advantage).sum(-1).mean()
    value = judged.value
    miss = jnp.square(value - batch.target)
    if config.clip_values:
        near = batch.value + jnp.clip(value - batch.value, -hyper.clip, hyper.clip)
        miss = jnp.maximum(miss, jnp.square(near - batch.target))
    value_loss = 0.5 * miss.sum(-1).mean()
    entropy = judged.entropy.mean()
    total = -gain + hyper.value_weight * value_loss - hyper.entropy_weight * left * entropy
    return total, {
        "loss": total,
        "policy_loss": -gain,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": (ratio - 1.0 - log_ratio).mean(),  # Schulman (2020), "Approximating KL divergence": k3
        "clip_fraction": (jnp.abs(ratio - 1.0) > hyper.clip).mean(),
        "ratio_error": jnp.abs(ratio - 1.0).max(),
    }
