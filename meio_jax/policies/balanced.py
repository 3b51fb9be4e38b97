"""Base-stock for assembly that orders of each part no more than its partners will be there to be built in with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation, echelon_position
from meio_jax.policies.positional import PositionRule
from meio_jax.stock import rounded_down

__all__ = ["BalancedBaseStock", "total_lead_times"]


def total_lead_times(w: Wiring) -> tuple[list[int], list[int]]:
    """``[I]`` periods from an order on each arc to the product's stock by fixed lead times, and ``[I]`` those that are
    left once it has arrived. With ``ship_first`` each arc takes a period more, as nothing is passed on when it arrives.

    Raises:
      InputError: the network is no assembly: a node feeds several others, or an input has several sources.
    """
    if any(len(out) != 1 for out in w.out_arcs) or any(len(arcs) != 1 for arcs in w.arcs_of_input):
        raise InputError(
            "the network is no assembly: every node must feed one other or the one customer, and every input have one "
            "source; BaseStock(echelon=True) plays other networks"
        )
    more = int(w.timing == "ship_first")
    from_node = [0] * w.n_nodes  # from the node's stock on
    for n in range(w.n_nodes - 1, -1, -1):
        (out,) = w.out_arcs[n]
        if out < w.n_inner:
            from_node[n] = w.lead_time[out] + more + from_node[w.dst[out]]
    left = [from_node[w.dst[e]] for e in range(w.n_inner)]
    return [w.lead_time[e] + more + left[e] for e in range(w.n_inner)], left


@dataclasses.dataclass(frozen=True)
class BalancedBaseStock(PositionRule):
    """Echelon base-stock in balance: order on each arc up to its level, but not beyond what will be there of any part
    with a longer way to the product by the time at which the order could be there.

    Rosling (1989), Operations Research 37(4), https://doi.org/10.1287/opre.37.4.565: with the levels of
    `meio_jax.solvers.rosling` no policy costs less in the long run. On a serial network it is
    ``BaseStock(echelon=True)`` that never orders what is not there. Lead times are taken as fixed.

    theta: ``{"level": [M, 1|B]}``, echelon, in units of the node's own product.
    """

    echelon: bool = True

    def orders(self, network: Network, theta: dict[str, Array], seen: Observation) -> Array:
        w = network.wiring
        total, left = total_lead_times(w)
        size = _sets(network)  # units of each node's product in a product
        position = echelon_position(network, seen)
        beyond = _stock_beyond(network, seen, size)
        waits = seen.components.shape[0] > 0
        more = int(w.timing == "ship_first")
        # Longest way first; of two with one way, the upstream one first.
        turn = sorted(range(w.n_inner), key=lambda e: (-total[e], w.dst[e], e))
        orders: list[Array] = [jnp.zeros(())] * w.n_inner
        reached: dict[int, Array] = {}
        for place, e in enumerate(turn):
            m, n = w.input_of_arc[e], w.dst[e]
            parts = size[n] if network.units is None else size[n] * network.units[e]
            here = position[m] / size[n]
            up_to = theta["level"][m] / size[n]
            for f in turn[:place]:
                if left[f] > total[e]:
                    continue  # what has passed f meets the next arc on its way before it meets this order
                of_f = size[w.dst[f]] if network.units is None else size[w.dst[f]] * network.units[f]
                if total[f] == total[e]:
                    there = reached[f] - seen.owed[f] / of_f
                else:
                    soon = [k for k in range(seen.pipeline.shape[0]) if k + more + left[f] <= total[e]]
                    there = beyond[w.dst[f]] + _sum([seen.pipeline[k, f] / of_f for k in soon])
                    if waits:
                        there = there + seen.components[w.input_of_arc[f]] / of_f
                # Only whole sets can be built; what rounding left is given back.
                there = rounded_down(there + 1e-3) if w.integer else there
                up_to = jnp.minimum(up_to, there)
            reached[e] = jnp.maximum(here, up_to)
            orders[e] = (reached[e] - here) * parts
        return jnp.stack(jnp.broadcast_arrays(*orders))


def _sum(terms: Sequence[Array]) -> Array:
    return sum(terms[1:], terms[0]) if terms else jnp.zeros(())


def _sets(network: Network) -> list[Array]:
    """For each node the units ``[1|B]`` of its product in one unit of what the customer gets."""
    w = network.wiring
    size: list[Array] = [jnp.ones((1,), network.holding_cost.dtype)] * w.n_nodes
    if network.units is not None:
        for n in range(w.n_nodes - 1, -1, -1):
            (out,) = w.out_arcs[n]
            if out < w.n_inner:
                size[n] = network.units[out] * size[w.dst[out]]
    return size


def _stock_beyond(network: Network, seen: Observation, size: Sequence[Array]) -> list[Array]:
    """For each node what stands there and beyond, in products ``[B]``, less what the customer is owed."""
    w = network.wiring
    beyond: list[Array] = [jnp.zeros(())] * w.n_nodes
    for n in range(w.n_nodes - 1, -1, -1):
        (out,) = w.out_arcs[n]
        own = _sum(list(seen.on_hand[:, n]))
        if out < w.n_inner:
            own = own + _sum(list(seen.pipeline[:, out]))
            if seen.components.shape[0]:
                own = own + seen.components[w.input_of_arc[out]]
            beyond[n] = own / size[n] + beyond[w.dst[out]]
        else:
            beyond[n] = own - seen.owed[out]
    return beyond
