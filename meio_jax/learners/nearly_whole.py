"""A stand-in for networks whose quantities are whole, on which gradients tell which whole order is best.

Costs are piecewise linear in every order, with kinks at whole numbers, and that is just where whole orders fall: there
JAX takes a mean of the slopes of ``min`` and ``max`` on both sides, and following it ends anywhere between the best
order and half a unit off, at the edge of what is rounded to it. The stand-in plays orders that are nearly whole: a
share of the distance to what was wanted is left in, which lies on the side of the kink that the wanted order is on. The
slope is then that between the two whole orders around what was wanted, and where it changes its sign is the best one.

A share of 1 does not round at all, which is another system where little is ordered at a time: with it the quick source
of dual sourcing is asked for a tenth of a unit in every period, and for nothing once that is rounded. A thousandth is
the true system, whose ties fall on one side by chance. Gap of dual sourcing with l_r = 2 and 4, c_e = 110, and of lost
sales with Poisson(5), L = 2, p = 19, after 600 updates: not at all 1.0 % and more, a thousandth 0.16, 0.16 and 0.07 %,
0.3 of it 0.07, 0.07 and 0.07 %, all of it 0.04, 0.6 and 0.09 %.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision, Policy
from meio_jax.scenario import Shock
from meio_jax.stock import rounded_down

__all__ = ["NearlyWhole", "lots_of", "nearly_whole", "whole_again", "whole_demand"]


def nearly_whole(network: Network) -> Network:
    """The network without rounding of its own: orders are rounded by `NearlyWhole`, demand by `whole_demand`, shares
    and yields not at all.
    """
    w = network.wiring
    most = network.order_capacity
    size = lots_of(network)
    if size is None:
        return network
    if most is not None:
        some = (size > 0) & ~jnp.isinf(most)
        whole = jnp.floor(jnp.where(some, most, 0.0) / jnp.where(size > 0, size, 1.0)) * size
        most = jnp.where(some, whole, most)
    return network.replace(wiring=dataclasses.replace(w, integer=False), lot_size=None, order_capacity=most)


def lots_of(network: Network) -> Array | None:
    """``[1|I, 1|B]`` what orders are multiples of, 0 where of nothing; None where no order is rounded."""
    lot = network.lot_size
    if not network.wiring.integer:
        return lot
    return jnp.ones((1, 1), network.holding_cost.dtype) if lot is None else jnp.where(lot == 0, 1.0, lot)


@dataclasses.dataclass(frozen=True)
class NearlyWhole:
    """A policy whose orders are rounded to lots, but for a share of what rounding takes off; theta is the policy's with
    the lots ``(theta, lots)``.
    """

    policy: Policy
    share: float
    theta_has_lanes: ClassVar[bool] = False

    def init(self, key: Array, network: Network) -> Any:
        return self.policy.init(key, network), lots_of(network)

    def memory(self, network: Network, lanes: int) -> Any:
        return self.policy.memory(network, lanes)

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        theta, lots = theta
        decision, memory = self.policy.apply(network, theta, memory, seen, key)
        if lots is None:
            return decision, memory
        x = jnp.maximum(decision.orders, 0.0)
        size = jnp.where(lots > 0, lots, 1.0)
        whole = jnp.where(lots > 0, rounded_down(x / size + 0.5) * size, x)
        return decision._replace(orders=whole + jax.lax.stop_gradient(self.share * (x - whole))), memory


def whole_demand(network: Network, shock: Shock) -> Shock:
    """The shock with the demand that customers of this network ask for."""
    return shock.replace(demand=jnp.floor(shock.demand + 0.5)) if network.wiring.integer else shock


def whole_again(network: Network, tree: Any) -> Any:
    """What is in the system, rounded again: what was left in does not add up from segment to segment."""
    if not network.wiring.integer:
        return tree
    return jax.tree.map(lambda x: jnp.floor(x + 0.5) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)
