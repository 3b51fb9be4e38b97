"""A baseline that knows what is coming, used in training alone.

The outside world is a scenario: no decision changes it. So a baseline may depend on the shocks that are still to come
and leaves the policy gradient unbiased, while all of their luck goes out of the advantages (Mao et al. 2019, Variance
Reduction for Reinforcement Learning in Input-Driven Environments, arXiv 1807.02264). What is left is the luck of the
policy's own exploration.

It is no critic: a value that knows the next k shocks learns of one more in every period, and each of these is news as
large as the shock that a value without foresight meets. So returns bootstrap values of what the policy sees, and the
baseline is fitted to these returns: what a return holds of the shocks within its sight, it takes off.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import Scale
from meio_jax.network import Network
from meio_jax.policies.bodies.base import WEIGHTS, dense
from meio_jax.scenario import Shock

__all__ = ["Outlook", "ahead", "shock_features"]


class Outlook(nn.Module):
    """Values ``[.., G]`` of what is seen ``x``, a tree of leaves ``[.., ..]``, and of what comes ``z [.., k, F]``.

    With the future known, costs are nearly piecewise linear: so are its layers.
    """

    widths: tuple[int, ...]
    values: int

    @nn.compact
    def __call__(self, x: Any, z: Array) -> Array:
        lead = z.ndim - 2
        parts = [v.reshape(*v.shape[:lead], -1) for v in (*jax.tree.leaves(x), z)]
        hidden = dense(jnp.concatenate(parts, -1), self.widths, "relu", "outlook")
        return nn.Dense(self.values, kernel_init=WEIGHTS, name="outlook_out")(hidden)


def shock_features(network: Network, scale: Scale, shock: Shock) -> Array:
    """``[.., B, F]`` numbers of order one that say what happens outside, of shocks with any leading axes."""
    w = network.wiring
    parts = [shock.demand / scale.demand]
    if shock.lead_time is not None:
        parts.append(shock.lead_time - np.asarray(w.lead_time)[:, None])
    parts += [x for x in (shock.available, shock.yield_) if x is not None]
    if shock.report_age is not None:
        parts.append(shock.report_age / 4.0)
    lanes = max(x.shape[-1] for x in parts)
    dtype = scale.demand.dtype
    wide = [jnp.broadcast_to(x, (*x.shape[:-1], lanes)).astype(dtype) for x in parts]
    return jnp.swapaxes(jnp.concatenate(wide, -2), -1, -2)


def ahead(z: Array, periods: int, k: int) -> Array:
    """``[B, periods, k, F]`` of ``z [B, periods + k - 1, F]``: each period's own shock and the k - 1 after it."""
    return jnp.stack([z[:, i : i + periods] for i in range(k)], 2)
