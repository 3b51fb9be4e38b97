"""Heads whose outputs are the numbers of an order-up-to rule: a level, a level and a cap, a reorder point and a lot."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from meio_jax.actions.base import ByPosition, Scale, first_nan, flow_of_inputs, per_arc, positive
from meio_jax.network import Network
from meio_jax.observation import Observation

__all__ = ["CappedBaseStock", "OrderUpTo", "ReorderUpTo"]


@dataclasses.dataclass(frozen=True)
class OrderUpTo(ByPosition):
    """Outputs are base-stock levels, one for each input: ``level = reference + raw x spread``, order what is missing.

    As the level may depend on all that is seen, every policy can be written this way; a constant output is base-stock.
    Inputs with several sources have one more output for each of them, the logits of their shares.

    ``leak``: where the level lies below the position nothing is ordered, and the level has no gradient; with a leak it
    has this share of the one it has above. Orders are the same.
    """

    leak: float = 0.0

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        at, reference, spread = self.measured(network, scale, seen)
        (level,), logits = self.read(network.wiring, raw, at.dtype)
        short = reference + spread * level - at
        need = positive(short, self.leak) if self.leak else jnp.maximum(short, 0.0)
        return per_arc(network, scale, need, logits)


@dataclasses.dataclass(frozen=True)
class CappedBaseStock(ByPosition):
    """Outputs are a base-stock level and a largest order for each input: min(cap, (level - position)+).

    ``cap = reference + raw x mean flow``, a negative one counting as 0; the reference is that of the scale, else
    ``most`` times the mean flow, which binds in few periods. Good under lost sales with a lead time: Xin (2021),
    Operations Research 69(1). ``leak``: as in `OrderUpTo`.
    """

    most: float = 2.0
    leak: float = 0.0

    channels: ClassVar[tuple[int, int]] = (2, 1)

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        at, reference, spread = self.measured(network, scale, seen)
        (level, cap), logits = self.read(network.wiring, raw, at.dtype)
        flow = flow_of_inputs(network, scale)
        cap = flow * cap + (self.most * flow if scale.cap is None else scale.cap)
        short = reference + spread * level - at
        need = positive(short, self.leak) if self.leak else jnp.maximum(short, 0.0)
        return per_arc(network, scale, jnp.minimum(need, jnp.maximum(cap, 0.0)), logits)


@dataclasses.dataclass(frozen=True)
class ReorderUpTo(ByPosition):
    """Outputs are a reorder point and a least order for each input: where position <= s, order up to s + lot.

    The (s, S) form, which can leave an order out, as a fixed cost asks for (Scarf 1960). ``s = reference + raw x
    spread``; ``lot = reference + raw x mean flow``, a negative one counting as 0, so that a lot of 0 is base-stock; its
    reference is that of the scale, else 0. Whether to order has no gradient.
    """

    differentiable: ClassVar[bool] = False
    channels: ClassVar[tuple[int, int]] = (2, 1)

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        at, reference, spread = self.measured(network, scale, seen)
        (level, lot), logits = self.read(network.wiring, raw, at.dtype)
        lot = flow_of_inputs(network, scale) * lot + (0.0 if scale.lot is None else scale.lot)
        short = reference + spread * level - at
        need = jnp.where(short >= 0, short + jnp.maximum(lot, 0.0), 0.0)
        return per_arc(network, scale, first_nan(need, (short, lot)), logits)
