"""What is left at the end of a tail is worth what it would cost to have it again: the classical salvage value.

Veinott (1965), Management Science 12(3), 206-222, doi 10.1287/mnsc.12.3.206: with purchase cost c a unit and unsold
units credited at c, purchases drop out of the problem but for what demand makes necessary. Without the credit a unit
bought now looks dear where the order that it saves lies beyond the last period, and this false signal is a hundred
times as large as the true one where goods cost a hundred times what keeping them costs.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from meio_jax.indexing import sum_first
from meio_jax.network import Network
from meio_jax.simulator import State

__all__ = ["replacement_cost", "salvage"]


def replacement_cost(network: Network) -> tuple[list[Array], list[Array]]:
    """The least cost of bringing forth a unit: of each node's product ``[N]``, and of each input ``[M]`` in units of
    the product that it goes into; money ``[1|B]`` each. Holding costs on the way are not counted.
    """
    w = network.wiring
    zero = jnp.zeros((1,), network.holding_cost.dtype)
    product: list[Array] = []
    inputs = [zero] * w.n_inputs
    for n in range(w.n_nodes):  # upstream first
        total = zero if network.operating_cost is None else network.operating_cost[n]
        for m in w.inputs_of_node[n]:
            for k, e in enumerate(w.arcs_of_input[m]):
                source = product[w.src[e]] if w.src[e] >= 0 else zero
                price = source if network.unit_cost is None else source + network.unit_cost[e]
                price = price if network.units is None else price * network.units[e]
                inputs[m] = price if k == 0 else jnp.minimum(inputs[m], price)
            total = total + inputs[m]
        product.append(total)
    return product, inputs


def salvage(network: Network, state: State) -> Array:
    """``[B]`` what would be paid to have what the system holds, less what has to be brought forth for those who wait,
    and what they will pay for it.
    """
    w = network.wiring
    product, inputs = replacement_cost(network)
    on_hand, coming = sum_first(state.on_hand), sum_first(state.pipeline)
    total = sum((on_hand[n] * product[n] for n in range(w.n_nodes)), jnp.zeros_like(on_hand[0]))
    of_arc = [inputs[m] for m in w.input_of_arc]
    of_slot = list(inputs)
    if network.units is not None:
        first = [network.units[arcs[0]] for arcs in w.arcs_of_input]
        of_arc = [v / first[m] for v, m in zip(of_arc, w.input_of_arc, strict=True)]
        of_slot = [v / u for v, u in zip(of_slot, first, strict=True)]
    total = total + sum(coming[e] * of_arc[e] for e in range(w.n_inner))
    for m in range(state.components.shape[0]):
        total = total + state.components[m] * of_slot[m]
    for e in range(w.n_inner, w.n_arcs):
        worth = product[w.src[e]]
        if network.price is not None:
            worth = worth - network.price[e - w.n_inner]
        total = total - state.backlog[e] * worth
    return total
