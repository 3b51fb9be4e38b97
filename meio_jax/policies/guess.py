"""First numbers for classical rules: mean demand carried upstream, times the periods to cover, plus safety.

The periods that an order at a node must cover depend on the timing: the order delay and the lead time, one more where
demand strikes after the order (``order_first``: at nodes with customers; ``ship_first``: everywhere), and one more
where a node sees the orders of nodes only a period later (no cascade).
Snyder and Shen, Fundamentals of Supply Chain Theory (2019), sections 4.3 and 6.2.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.indexing import rows, sum_groups
from meio_jax.network import Network
from meio_jax.observation import Observation, accumulate_downstream, echelon_position, installation_position
from meio_jax.simulator import initial_state

__all__ = ["exposure", "initial_levels", "mean_flow", "position_at_start", "variance_flow"]


def of_customers(network: Network, values: Any, name: str) -> Array:
    """``values`` as ``[C, 1|B]``: one number for all customers, one per customer, or one per customer and lane."""
    x = jnp.asarray(values, network.holding_cost.dtype)
    count = network.wiring.n_customers
    if x.ndim == 0:
        return jnp.broadcast_to(x, (count, 1))
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[0] != count:
        raise InputError(f"{name} has shape {np.shape(values)}, expected ({count},) or ({count}, lanes)")
    return x


def mean_flow(network: Network, demand: Array) -> Array:
    """``[M, 1|B]`` units that each input's node must deliver per period, given the customers' mean ``[C, 1|B]``.

    An input with several sources draws on them in equal shares. Losses to yield and unkept demand are left out.
    """
    w = network.wiring
    served = [[e - w.n_inner for e in out if e >= w.n_inner] for out in w.out_arcs]
    return accumulate_downstream(network, rows(sum_groups(demand, served), list(w.node_of_input)))


def variance_flow(network: Network, variance: Array) -> Array:
    """``[M, 1|B]`` variance per period of what each input's node must deliver; customers are taken as independent."""
    squared = None if network.units is None else network.units**2
    return mean_flow(network.replace(units=squared), variance)


def exposure(network: Network, *, cascade: bool) -> Array:
    """``[M, 1|B]`` periods of demand that an order on each input must cover; alternative sources are averaged."""
    w = network.wiring
    if network.lead_time is None:
        lead = jnp.asarray(np.asarray(w.lead_time)[:, None], network.holding_cost.dtype)
    else:
        lead = network.lead_time.astype(network.holding_cost.dtype)
    delay = np.asarray(w.order_delay)
    lead = lead + np.asarray(delay[:, None], lead.dtype) if delay.any() else lead
    count = np.asarray([[len(arcs)] for arcs in w.arcs_of_input], lead.dtype)
    review = []
    for n in w.node_of_input:
        sells = any(e >= w.n_inner for e in w.out_arcs[n])
        late = w.timing == "ship_first" or (w.timing == "order_first" and sells)
        seen_at_once = [w.timing == "demand_first" and w.order_delay[e] > 0 for e in w.out_arcs[n] if e < w.n_inner]
        blind = not cascade and not all(seen_at_once)
        review.append([float(late) + float(blind)])
    return sum_groups(lead, w.arcs_of_input) / count + np.asarray(review, lead.dtype)


def initial_levels(
    network: Network, mean: Any, sd: Any = 0.0, *, echelon: bool = False, cascade: bool = True, safety: float = 1.0
) -> Array:
    """``[M, 1|B]`` base-stock levels to start from: mean flow x exposure + safety x sd x sqrt(exposure).

    Args:
      mean, sd: per period, of each customer's demand: a number, ``[C]`` or ``[C, 1|B]``, units.
      echelon: levels for echelon positions: the sum of the installation levels from here to the customers, less the
        mail within the echelon.
      cascade: orders of the same period are seen upstream.
      safety: standard deviations of safety stock.

    Raises:
      InputError: ``mean`` or ``sd`` has the wrong shape.
    """
    periods = exposure(network, cascade=cascade or echelon)
    mean, sd = of_customers(network, mean, "mean"), of_customers(network, sd, "sd")
    spread = jnp.sqrt(variance_flow(network, sd**2) * periods)
    levels = mean_flow(network, mean) * periods + safety * spread
    if echelon:
        levels = accumulate_downstream(network, levels - _mail_from_below(network, mean_flow(network, mean)))
    return jnp.ceil(levels - 1e-3) if network.wiring.integer else levels


def _mail_from_below(network: Network, flow: Array) -> Array:
    """``[M, 1|B]`` mean orders of nodes on their way to each input's node, which do not lower its position yet."""
    w = network.wiring
    if not any(w.order_delay):
        return jnp.zeros_like(flow)
    weight = np.asarray([[d / len(w.arcs_of_input[m])] for d, m in zip(w.order_delay, w.input_of_arc, strict=True)])
    mail = rows(flow, w.input_of_arc) * jnp.asarray(weight, flow.dtype)
    mail = mail if network.units is None else mail * network.units
    to_nodes = [[e for e in out if e < w.n_inner] for out in w.out_arcs]
    return rows(sum_groups(mail, to_nodes), list(w.node_of_input))


def position_at_start(network: Network, *, echelon: bool = False) -> Array:
    """``[M, 1|B]`` installation or echelon positions at time 0."""
    lanes = max(leaf.shape[-1] for leaf in jax.tree.leaves(network))
    state = initial_state(network, lanes)
    seen = Observation(
        on_hand=state.on_hand, components=state.components, owed=state.backlog, pipeline=state.pipeline,
        demand=state.demand, t=state.t, mail=state.mail,
    )  # fmt: skip
    return echelon_position(network, seen) if echelon else installation_position(network, seen)
