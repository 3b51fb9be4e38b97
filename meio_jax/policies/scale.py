"""The size of things in a network: mean flows, reference levels, and how far a level may sensibly be from its
reference.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import Scale
from meio_jax.indexing import rows
from meio_jax.network import Network
from meio_jax.observation import accumulate_downstream
from meio_jax.policies.guess import exposure, initial_levels, mean_flow, variance_flow
from meio_jax.processes import Processes, draw, mean_demand, sd_demand

__all__ = ["measure_scale", "scale_of"]

#: The least spread of a level, as a share of mean demand: deterministic demand still leaves something to decide.
LEAST_SPREAD = 0.1
#: The least size that anything is divided by, in units.
TINY = 1e-6


def scale_of(network: Network, mean: Array | None = None, sd: Array | None = None) -> Scale:
    """Sizes and reference levels from mean and standard deviation of demand, ``[C, 1|B]`` units (default: 1 and 0).

    Levels are those of `meio_jax.policies.guess.initial_levels`; a spread is the standard deviation of the demand that
    the level has to cover, customers being independent.
    """
    w = network.wiring
    dtype = network.holding_cost.dtype
    mean = jnp.ones((w.n_customers, 1), dtype) if mean is None else mean.astype(dtype)
    sd = jnp.zeros_like(mean) if sd is None else sd.astype(dtype)
    flow = mean_flow(network, mean)
    variance = variance_flow(network, sd**2)
    squared = network if network.units is None else network.replace(units=network.units**2)
    sources = np.asarray([[len(w.arcs_of_input[m])] for m in w.input_of_arc], dtype)
    arc = rows(flow, w.input_of_arc) / sources
    arc = arc if network.units is None else arc * network.units

    def at_least(spread: Array) -> Array:
        return jnp.maximum(jnp.maximum(spread, LEAST_SPREAD * flow), TINY)

    together = accumulate_downstream(squared, variance * exposure(network, cascade=True))
    return Scale(
        demand=jnp.maximum(mean, TINY),
        node=jnp.maximum(rows(flow, [inputs[0] for inputs in w.inputs_of_node]), TINY),
        arc=jnp.maximum(arc, TINY),
        echelon=initial_levels(network, mean, sd, echelon=True),
        local=initial_levels(network, mean, sd, cascade=False),
        echelon_spread=at_least(jnp.sqrt(together)),
        local_spread=at_least(jnp.sqrt(variance * exposure(network, cascade=False))),
    )


def measure_scale(network: Network, processes: Processes, key: Array, *, lanes: int, periods: int = 128) -> Scale:
    """`scale_of` for these processes: their own moments, or where no formula is known those of draws. The key is
    consumed.
    """
    mean, sd = mean_demand(processes), sd_demand(processes)
    if mean is None or sd is None:
        demand = draw(processes, key, periods, lanes).shocks.demand
        mean, sd = demand.mean((0, 2))[:, None], demand.std((0, 2))[:, None]
    return scale_of(network, mean, sd)
