"""What stock has cost: a potential that is taken out of rewards, so that a purchase is no loss and a sale no gain.

Where units cost much and keeping them little, rewards are mostly the noise of when something was bought. A potential
``phi`` of the state turns a reward r into ``r + discount phi(after) - phi(before)``, by which no policy gains on
another (Ng, Harada and Russell 1999, Policy Invariance under Reward Transformations).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from meio_jax.network import Network
from meio_jax.rewards import Weights
from meio_jax.simulator import State

__all__ = ["stock_value"]


def stock_value(weights: Weights | None, network: Network, state: State) -> Array | None:
    """``[N, B]`` what the units at each node, and on their way to it, were bought for; what it owes its customers
    counts against it. A unit is worth its components, these their mean cost over their arcs. None where nothing
    is bought.

    Args:
      weights: of the reward's terms (`meio_jax.rewards.reward`): purchases count as they do there.
    """
    w, cost = network.wiring, network.unit_cost
    if cost is None:
        return None
    if weights is not None:
        cost = cost * (weights.get("cost", 0.0) + weights.get("purchase", 0.0))
    on_arc: dict[int, Array] = {}
    of_input: dict[int, Array] = {}
    of_node: list[Array] = []
    for n in range(w.n_nodes):  # upstream before downstream
        value = jnp.zeros((1,), cost.dtype)
        for m in w.inputs_of_node[n]:
            arcs = w.arcs_of_input[m]
            for e in arcs:
                on_arc[e] = cost[e] + (of_node[w.src[e]] if w.src[e] >= 0 else 0.0)
            of_input[m] = sum(on_arc[e] for e in arcs) / len(arcs)  # type: ignore[assignment]
            value = value + of_input[m] * (1.0 if network.units is None else network.units[arcs[0]])
        of_node.append(value)
    held = state.on_hand.sum(0)
    total = []
    for n in range(w.n_nodes):
        worth = of_node[n] * held[n]
        for m in w.inputs_of_node[n]:
            if state.components.shape[0]:
                worth = worth + of_input[m] * state.components[m]
            for e in w.arcs_of_input[m]:
                worth = worth + on_arc[e] * state.pipeline[:, e].sum(0)
        for e in w.out_arcs[n]:
            if e >= w.n_inner:
                worth = worth - of_node[n] * state.backlog[e]
        total.append(worth)
    return jnp.stack([jnp.broadcast_to(x, held.shape[1:]) for x in total])
