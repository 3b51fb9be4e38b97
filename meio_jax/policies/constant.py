"""The same order every period, whatever happens."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array

from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision
from meio_jax.policies.guess import mean_flow, of_customers
from meio_jax.policies.positional import first_share, order_on_arcs

__all__ = ["ConstantOrder"]


@dataclasses.dataclass(frozen=True)
class ConstantOrder:
    """Order ``quantity`` on each inner arc. theta: ``{"quantity": [I, 1|B]}``, units of the component.

    Under lost sales asymptotically optimal as the lead time grows: Goldberg et al. (2016), Mathematics of Operations
    Research 41(3).
    """

    theta_has_lanes: ClassVar[bool] = True
    whole: ClassVar[tuple[str, ...]] = ("quantity",)

    def start(self, network: Network, mean: Any = None, sd: Any = 0.0) -> dict[str, Array]:
        """The mean flow of each arc, from the customers' ``mean`` demand (None: 1 each); first sources carry it all."""
        flow = mean_flow(network, of_customers(network, 1.0 if mean is None else mean, "mean"))
        inputs = range(network.wiring.n_inputs)
        arcs, orders = order_on_arcs(network, inputs, flow, first_share(network).get("share"))
        order = {e: k for k, e in enumerate(arcs)}
        return {"quantity": jnp.stack([orders[order[e]] for e in range(network.wiring.n_inner)])}

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """The flow of one unit of demand per customer and period. The key is not used."""
        return self.start(network)

    def memory(self, network: Network, lanes: int) -> Any:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        quantity = theta["quantity"]
        lanes = seen.owed.shape[-1]
        return Decision(jnp.broadcast_to(quantity, (quantity.shape[0], lanes))), memory
