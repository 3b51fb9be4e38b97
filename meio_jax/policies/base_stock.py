"""Order up to a level: base-stock rules, plain and capped, for installation and echelon positions, on any network."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from meio_jax.network import Network
from meio_jax.policies.positional import PositionRule

__all__ = ["BaseStock", "CappedBaseStock"]


@dataclasses.dataclass(frozen=True)
class BaseStock(PositionRule):
    """Order max(0, level - position). theta: ``{"level": [M, 1|B]}`` and, with several sources, ``share [I, 1|B]``.

    Optimal in echelon form for serial systems: Clark and Scarf (1960), Management Science 6(4).
    """

    def quantity(self, theta: dict[str, Array], position: Array) -> Array:
        return jnp.maximum(theta["level"] - position, 0.0)


@dataclasses.dataclass(frozen=True)
class CappedBaseStock(PositionRule):
    """Order min(cap, max(0, level - position)). theta: ``{"level", "cap": [M, 1|B]}``, a negative cap counting as 0.

    Good under lost sales with a lead time: Xin (2021), Operations Research 69(1).
    """

    whole: ClassVar[tuple[str, ...]] = ("level", "cap")

    def quantity(self, theta: dict[str, Array], position: Array) -> Array:
        need = jnp.maximum(theta["level"] - position, 0.0)
        return jnp.minimum(need, jnp.maximum(theta["cap"], 0.0))

    def numbers(self, network: Network, level: Array, mean: Array) -> dict[str, Array]:
        cap = jnp.broadcast_to(1.5 * mean, jnp.broadcast_shapes(mean.shape, level.shape))
        return {"level": level, "cap": jnp.ceil(cap) if network.wiring.integer else cap}
