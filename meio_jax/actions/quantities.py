"""Heads whose outputs are quantities: real ones, or tiers of the mean order."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions.base import FORBIDDEN, Continuous, Place, Placed, Scale
from meio_jax.actions.levels import OrderUpTo
from meio_jax.errors import InputError
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation

__all__ = ["Quantity", "Tiers"]


@dataclasses.dataclass(frozen=True)
class Quantity(Continuous):
    """Outputs are quantities, one for each inner arc: ``softplus(raw + log(e - 1)) x mean``; zero orders the mean
    demand.
    """

    channels: ClassVar[tuple[int, int]] = (0, 1)

    def places(self, w: Wiring) -> tuple[Place, ...]:
        return tuple(Place("arc", e) for e in range(w.n_inner))

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        return scale.arc * jax.nn.softplus(raw.T.astype(scale.arc.dtype) + math.log(math.e - 1.0))


@dataclasses.dataclass(frozen=True)
class Tiers(Placed):
    """Discrete: each inner arc's order is one of these multiples of its mean order.

    A tier above the arc's order capacity, or below its minimum order and not zero, cannot be taken.

    ``lean``: what the logit of a tier loses for each mean order that it lies off the order of base-stock with the
    reference levels, for the ``position`` "echelon" or "installation". With 0 an untrained network finds all tiers
    alike (and as a policy orders the first); with more it leans towards that rule, and its most likely order is the
    tier nearest to the rule's.
    """

    multiples: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0)
    lean: float = 0.0
    position: str = "echelon"

    differentiable: ClassVar[bool] = False
    channels: ClassVar[tuple[int, int]] = (0, 1)

    def __post_init__(self) -> None:
        ok = all(math.isfinite(x) and x >= 0 for x in self.multiples)
        if len(self.multiples) < 2 or not ok or list(self.multiples) != sorted(set(self.multiples)):
            raise InputError(f"tiers {self.multiples}: give at least two increasing, finite multiples, none negative")
        if not (math.isfinite(self.lean) and self.lean >= 0):
            raise InputError(f"Tiers: lean = {self.lean} must not be negative")
        OrderUpTo(self.position)  # refuses a position that is none

    @property
    def choices(self) -> int:
        return len(self.multiples)

    def places(self, w: Wiring) -> tuple[Place, ...]:
        return tuple(Place("arc", e) for e in range(w.n_inner))

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        table = jnp.asarray(self.multiples, scale.arc.dtype)
        return scale.arc * table[raw.T]

    def mask(self, network: Network, scale: Scale, seen: Observation) -> Array | None:
        limited = network.order_capacity is not None or network.minimum_order is not None
        free = self._free(network, scale) if limited else None
        if not self.lean:
            return free
        off = jnp.abs(jnp.asarray(self.multiples, scale.arc.dtype) - self._rule(network, scale, seen)[:, :, None])
        offsets = jnp.moveaxis(-self.lean * off, 1, 0)
        return offsets if free is None else jnp.where(free, offsets, FORBIDDEN)

    def _rule(self, network: Network, scale: Scale, seen: Observation) -> Array:
        """``[I, B]`` the reference rule's orders over the mean order."""
        rule = OrderUpTo(self.position)
        nothing = jnp.zeros((seen.on_hand.shape[-1], rule.outputs(network.wiring)), scale.arc.dtype)
        return rule.orders(network, scale, seen, nothing) / scale.arc

    def _free(self, network: Network, scale: Scale) -> Array:
        """``[1|B, I, choices]`` which tiers an arc's limits allow."""
        units = scale.arc[:, :, None] * jnp.asarray(self.multiples, scale.arc.dtype)  # [I, 1|B, n]
        free = jnp.ones(units.shape, bool)
        if network.order_capacity is not None:
            free = free & (units <= network.order_capacity[:, :, None] * (1 + 1e-6))
        if network.minimum_order is not None:
            free = free & ((units == 0) | (units >= network.minimum_order[:, :, None] * (1 - 1e-6)))
        none = ~free.any(-1, keepdims=True)  # nothing fits: take the smallest, and the simulator will cut it down
        free = free | (none & (np.arange(self.choices) == 0))
        return jnp.moveaxis(free, 1, 0)
