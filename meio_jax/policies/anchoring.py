"""How people order: anchor on expected orders, adjust for stock and supply line.

Sterman (1989), Management Science 35(3).
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, rows, sum_groups
from meio_jax.network import Network
from meio_jax.observation import Observation, installation_position, on_order
from meio_jax.policies.base import Decision
from meio_jax.policies.guess import mean_flow, of_customers
from meio_jax.policies.positional import first_share, order_on_arcs, placed

__all__ = ["Anchor", "AnchoringRule"]


class Anchor(NamedTuple):
    """``expected [M, B]``: how far expected orders have moved from theta's; ``orders [I, B]``: those that the sources
    have heard of since the last decision.
    """

    expected: Array
    orders: Array


@dataclasses.dataclass(frozen=True)
class AnchoringRule:
    """Order max(0, expected + alpha (target - net stock - beta supply line)), all nodes at once.

    Expected orders follow those received with weight ``smoothing`` (0 keeps them). theta: ``smoothing``, ``alpha``,
    ``beta``, ``target``, ``expected``, each ``[M, 1|B]``, and with several sources ``share [I, 1|B]``. With
    alpha = beta = 1 it is an installation base-stock rule without cascade of level target + expected.
    """

    theta_has_lanes: ClassVar[bool] = True
    whole: ClassVar[tuple[str, ...]] = ("target",)

    def start(self, network: Network, mean: Any = None, sd: Any = 0.0) -> dict[str, Array]:
        """Sterman's average player: smoothing 0.36, alpha 0.26, beta 0.34, target 17/4 of the mean flow."""
        flow = mean_flow(network, of_customers(network, 1.0 if mean is None else mean, "mean"))
        one = jnp.ones((network.wiring.n_inputs, 1), flow.dtype)
        theta = {
            "smoothing": 0.36 * one,
            "alpha": 0.26 * one,
            "beta": 0.34 * one,
            "target": 4.25 * flow,
            "expected": flow,
        }
        return {**theta, **first_share(network)}

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """As `start` with one unit of demand per customer. The key is not used."""
        return self.start(network)

    def memory(self, network: Network, lanes: int) -> Anchor:
        w, dtype = network.wiring, network.holding_cost.dtype
        return Anchor(jnp.zeros((w.n_inputs, lanes), dtype), jnp.zeros((w.n_inner, lanes), dtype))

    def apply(
        self, network: Network, theta: Any, memory: Anchor, seen: Observation, key: Array
    ) -> tuple[Decision, Anchor]:
        w = network.wiring
        received = rows(sum_groups(jnp.concatenate([memory.orders, seen.demand]), w.out_arcs), list(w.node_of_input))
        expected = theta["expected"] + memory.expected
        weight = jnp.where(seen.t > 0, theta["smoothing"], 0.0 * theta["smoothing"])
        moved = memory.expected + weight * (received - expected)
        line = on_order(network, seen)
        if network.units is not None:
            line = line / rows(network.units, [arcs[0] for arcs in w.arcs_of_input])
        net = installation_position(network, seen) - line
        gap = theta["target"] - net - theta["beta"] * line
        need = jnp.maximum(theta["expected"] + moved + theta["alpha"] * gap, 0.0)
        arcs, orders = order_on_arcs(network, range(w.n_inputs), need, theta.get("share"))
        orders = assemble([(arcs, placed(network, arcs, orders))], w.n_inner)
        return Decision(orders), Anchor(moved, _next_heard(network, seen, orders))


def _next_heard(network: Network, seen: Observation, orders: Array) -> Array:
    """``[I, B]`` orders that each source will have heard of by the next decision and not yet by this one."""
    if seen.mail is None:
        return orders
    slot = 1 if network.wiring.timing == "demand_first" else 0  # tomorrow's mail, or today's which comes too late
    heard = jnp.where(np.asarray(network.wiring.order_delay)[:, None] <= slot, orders, 0.0)
    return heard + seen.mail[slot] if slot < seen.mail.shape[0] else heard
