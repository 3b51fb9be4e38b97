"""Order only at or below a reorder point: (s, S), its capped form, and (r, nQ), on any network."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from meio_jax.network import Network
from meio_jax.policies.positional import PositionRule, surface

__all__ = ["ReorderLots", "ReorderUpTo", "economic_quantity"]


def economic_quantity(network: Network, mean: Array) -> Array:
    """``[M, 1|B]`` sqrt(2 K d / h) with the fixed order cost of the first source; the mean itself where K or h is 0."""
    w = network.wiring
    if network.fixed_order_cost is None:
        return mean
    fixed = jnp.stack([network.fixed_order_cost[arcs[0]] for arcs in w.arcs_of_input])
    holding = jnp.stack([network.holding_cost[n] for n in w.node_of_input])
    some = (fixed > 0) & (holding > 0)
    lot = jnp.sqrt(2.0 * fixed * mean / jnp.where(holding > 0, holding, 1.0))
    return jnp.where(some, jnp.maximum(lot, mean), mean)


def _whole(network: Network, x: Array) -> Array:
    return jnp.ceil(x) if network.wiring.integer else x


@dataclasses.dataclass(frozen=True)
class ReorderUpTo(PositionRule):
    """(s, S): where position <= reorder, order up to ``up_to``. theta: ``{"reorder", "up_to": [M, 1|B]}``.

    An ``up_to`` below ``reorder`` counts as ``reorder``. With ``capped`` theta has ``cap [M, 1|B]`` too, the most
    that is ordered at once: the modified (s, S, q) rule of Bijvank, Bhulai and Huh (2015), European Journal of
    Operational Research 241(2). (s, S) is optimal for one site with a fixed order cost: Scarf (1960).
    """

    capped: bool = False

    whole: ClassVar[tuple[str, ...]] = ("reorder", "up_to", "cap")

    def quantity(self, theta: dict[str, Array], position: Array) -> Array:
        reorder = theta["reorder"]
        need = jnp.maximum(jnp.maximum(theta["up_to"], reorder) - position, 0.0)
        if self.capped:
            need = jnp.minimum(need, jnp.maximum(theta["cap"], 0.0))
        return surface(jnp.where(position <= reorder, need, 0.0), reorder, position, need)

    def numbers(self, network: Network, level: Array, mean: Array) -> dict[str, Array]:
        lot = _whole(network, economic_quantity(network, mean))
        lot = jnp.broadcast_to(lot, jnp.broadcast_shapes(lot.shape, level.shape))
        theta = {"reorder": jnp.broadcast_to(level, lot.shape), "up_to": level + lot}
        return {**theta, "cap": lot} if self.capped else theta


@dataclasses.dataclass(frozen=True)
class ReorderLots(PositionRule):
    """(r, nQ): where position <= reorder, order the fewest lots that lift it above.

    theta: ``{"reorder", "lot": [M, 1|B]}``. As the lot goes to 0 this is a base-stock rule, and that is what a lot <= 0
    means. Veinott (1965), Operations Research 13(3).
    """

    whole: ClassVar[tuple[str, ...]] = ("reorder", "lot")

    def quantity(self, theta: dict[str, Array], position: Array) -> Array:
        reorder, lot = theta["reorder"], theta["lot"]
        short = reorder - position
        size = jnp.where(lot > 0, lot, 1.0)
        lots = (jnp.floor(short / size) + 1.0) * size
        need = jnp.where(lot > 0, lots, short)
        return surface(jnp.where(short >= 0, need, 0.0), short, lot)

    def numbers(self, network: Network, level: Array, mean: Array) -> dict[str, Array]:
        lot = _whole(network, economic_quantity(network, mean))
        lot = jnp.broadcast_to(lot, jnp.broadcast_shapes(lot.shape, level.shape))
        return {"reorder": jnp.broadcast_to(level, lot.shape), "lot": lot}
