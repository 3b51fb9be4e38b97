"""A head whose outputs adjust the orders of a classical rule."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.actions.base import ByPosition, Place, Scale, per_arc
from meio_jax.errors import InputError, UnsuitableError
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation

__all__ = ["Percentage"]


@dataclasses.dataclass(frozen=True)
class Percentage(ByPosition):
    """Outputs adjust the orders of a rule: ``order x max(0, 1 + step x raw)``.

    Without a ``rule`` it is base-stock with the reference levels, one output for each input. With one, such as
    ``Percentage(rule=CappedDualIndex())``, it is that rule with the numbers ``scale.rule``
    (`meio_jax.policies.scale.scale_of_rule`), one output for each inner arc. Where the rule orders nothing, nothing is
    ordered.
    """

    step: float = 0.25
    rule: Any = None

    channels: ClassVar[tuple[int, int]] = (1, 1)

    def places(self, w: Wiring) -> tuple[Place, ...]:
        return super().places(w) if self.rule is None else tuple(Place("arc", e) for e in range(w.n_inner))

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        if self.rule is not None:
            rule_orders = self._of_rule(network, scale, seen)
            return rule_orders * jnp.maximum(1.0 + self.step * raw.T.astype(rule_orders.dtype), 0.0)
        at, reference, _ = self.measured(network, scale, seen)
        (change,), logits = self.read(network.wiring, raw, at.dtype)
        factor = jnp.maximum(1.0 + self.step * change, 0.0)
        return per_arc(network, scale, jnp.maximum(reference - at, 0.0) * factor, logits)

    def _of_rule(self, network: Network, scale: Scale, seen: Observation) -> Array:
        name = type(self.rule).__name__
        if scale.rule is None:
            raise InputError(
                f"Percentage(rule={name}(..)) needs the rule's numbers: scale = scale_of_rule(network, rule, theta, "
                "head=head)"
            )
        if self.rule.memory(network, 1) is not None:
            raise UnsuitableError(f"{name} remembers, and a head has no memory to keep for it")
        decision, _ = self.rule.apply(network, scale.rule, None, seen, jax.random.key(0))
        if decision.allocation is not None:
            raise UnsuitableError(f"{name} allocates stock as well, which a percentage of its orders leaves out")
        return decision.orders
