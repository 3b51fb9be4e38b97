"""Service first: while a promise is broken it decides, and only where all are kept does cost."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.kpis import checked
from meio_jax.network import Network
from meio_jax.rewards.base import Played, column
from meio_jax.struct import pytree

__all__ = ["ServiceFirst", "service_first"]


@pytree
class ServiceFirst:
    """A lexicographic order of goals as one reward, by smooth gates.

    With the loss L of all goals after it (at the end the cost c), a goal whose shortfall is s has the loss

        ``(1 - g) L + g (W + steepness s + rest L)``, ``g = 1 - exp(-s / width)``,

    where W is more than L can be. So where s = 0 the loss is L as it is; where s is more than a few widths it is above
    every L, grows with s, and L counts ``rest`` times as much: among equals the cheaper wins. No weighted sum does
    this: it trades one for the other at the same price on both sides of the target. As one number for a lexicographic
    order cannot be continuous, goals trade within some widths of their targets.

    The order holds for costs from 0 to ``dominance`` sizes and shortfalls of at most 1; among broken promises up to
    differences of ``rest / steepness`` times that of cost.

    shortfalls: quantities, 0 where the promise is kept, the most important first; the mean over their groups counts.
    cost: a quantity. size: what it is divided by (`reference_sizes`).
    """

    shortfalls: tuple[Any, ...]
    cost: Any
    size: Array | float = 1.0
    width: Array | float = 0.005
    dominance: Array | float = 10.0
    steepness: Array | float = 100.0
    rest: Array | float = 0.1

    def init(self, network: Network, lanes: int) -> tuple[Any, ...]:
        return tuple(of.init(network, lanes) for of in (*self.shortfalls, self.cost))

    def apply(self, carry: tuple[Any, ...], network: Network, played: Played) -> tuple[Array, tuple[Any, ...]]:
        parts = (*self.shortfalls, self.cost)
        found = [of.apply(c, network, played) for of, c in zip(parts, carry, strict=True)]
        *short, cost = (x for x, _ in found)
        return -self.loss([x.mean(0) for x in short], cost.sum(0) / column(self.size, cost)), tuple(c for _, c in found)

    def loss(self, shortfalls: list[Array], cost: Array) -> Array:
        """The loss of these shortfalls ``[B]`` and of this cost in sizes ``[B]``."""
        worst: Array | float = self.dominance
        total = cost
        for s in reversed(shortfalls):
            open_ = -jnp.expm1(-s / column(self.width, s))
            broken = worst + self.steepness * s + self.rest * total
            total = (1.0 - open_) * total + open_ * broken
            worst = (1.0 + self.rest) * worst + self.steepness
        return total


def service_first(
    shortfalls: Any,
    cost: Any,
    *,
    size: Array | float = 1.0,
    width: Array | float = 0.005,
    dominance: Array | float = 10.0,
    steepness: Array | float = 100.0,
    rest: Array | float = 0.1,
) -> ServiceFirst:
    """`ServiceFirst` of checked numbers; ``shortfalls`` one quantity or several, the most important first.

    Raises:
      InputError: there is no shortfall.
      NumberError: ``size``, ``width``, ``dominance`` or ``steepness`` is not positive, or ``rest`` outside [0, 1].
    """
    shortfalls = (shortfalls,) if hasattr(shortfalls, "apply") else tuple(shortfalls)
    if not shortfalls:
        raise InputError("service first of what? Give at least one shortfall")
    for name, value in (("size", size), ("width", width), ("dominance", dominance), ("steepness", steepness)):
        checked(name, value, 1e-30)
    return ServiceFirst(shortfalls, cost, size, width, dominance, steepness, checked("rest", rest, 0.0, 1.0))
