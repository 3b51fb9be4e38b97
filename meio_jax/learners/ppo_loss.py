"""The clipped surrogate objective: Schulman et al. (2017), arXiv 1707.06347, equations 7 and 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from meio_jax.learners.config import PPOConfig, PPOHyper

__all__ = ["Batch", "log_prob_of", "ppo_loss"]


class Batch(NamedTuple):
    """What a segment leaves for the loss, leaves ``[.., ..]`` with any two leading axes.

    x: features, not normalised. mask: of the head, or None. raw ``[.., K]``: what was done; log_prob ``[.., D]``: how
    likely it was, D = K where each decision is judged by itself, else 1. value, target ``[.., G]``: of the critic then
    and of
    `meio_jax.learners.gae.gae`, for each account. advantage ``[.., D]``.
    """

    x: Array
    mask: Array | None
    raw: Array
    log_prob: Array
    value: Array
    advantage: Any
    target: Any


def log_prob_of(config: PPOConfig, dist: Any, raw: Array) -> Array:
    """``[.., D]`` of what was done: of each decision with local credit, else of all of them together."""
    return dist.distribution.log_prob(raw) if config.credit == "local" else dist.log_prob(raw)[..., None]


def ppo_loss(
    config: PPOConfig, hyper: PPOHyper, act: Callable[[Array, Array | None], tuple[Any, Array]], batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """The loss, and its parts. ``act`` gives distribution and value for features and mask."""
    dist, value = act(batch.x, batch.mask)
    log_ratio = log_prob_of(config, dist, batch.raw) - batch.log_prob
    ratio = jnp.exp(log_ratio)
    cut = jnp.clip(ratio, 1.0 - hyper.clip, 1.0 + hyper.clip)
    gain = jnp.minimum(ratio * batch.advantage, cut * batch.advantage).sum(-1).mean()
    miss = jnp.square(value - batch.target)
    if config.clip_values:
        near = batch.value + jnp.clip(value - batch.value, -hyper.clip, hyper.clip)
        miss = jnp.maximum(miss, jnp.square(near - batch.target))
    value_loss = 0.5 * miss.sum(-1).mean()
    entropy = dist.entropy().mean()
    total = -gain + hyper.value_weight * value_loss - hyper.entropy_weight * entropy
    return total, {
        "loss": total,
        "policy_loss": -gain,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": (ratio - 1.0 - log_ratio).mean(),  # Schulman (2020), "Approximating KL divergence": k3
        "clip_fraction": (jnp.abs(ratio - 1.0) > hyper.clip).mean(),
        "ratio_error": jnp.abs(ratio - 1.0).max(),
    }
