"""The size of things in a network: mean flows, reference levels, and how far a level may sensibly be from its
reference; or the numbers of a tuned rule as the reference.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import CappedBaseStock, OrderUpTo, Percentage, ReorderUpTo, Scale
from meio_jax.errors import UnsuitableError
from meio_jax.indexing import rows
from meio_jax.network import Network
from meio_jax.observation import accumulate_downstream
from meio_jax.policies import base_stock, reorder
from meio_jax.policies.guess import exposure, initial_levels, mean_flow, variance_flow
from meio_jax.policies.reorder import economic_quantity
from meio_jax.policies.seasonal import SeasonalBaseStock
from meio_jax.processes import Processes, draw, mean_demand, sd_demand

__all__ = ["measure_scale", "scale_of", "scale_of_rule"]

#: The least spread of a level, as a share of mean demand: deterministic demand still leaves something to decide.
LEAST_SPREAD = 0.1
#: The rules that a head can be: with the rule's numbers as references an output of zero is the rule.
FOLLOWED: dict[type, tuple[type, ...]] = {
    OrderUpTo: (base_stock.BaseStock,),
    Percentage: (base_stock.BaseStock,),
    CappedBaseStock: (base_stock.CappedBaseStock,),
    ReorderUpTo: (reorder.ReorderUpTo,),
}
#: The least size that anything is divided by, in units.
TINY = 1e-6


def scale_of(network: Network, mean: Array | None = None, sd: Array | None = None) -> Scale:
    """Sizes and reference levels from mean and standard deviation of demand, ``[C, 1|B]`` units (default: 1 and 0).

    Levels are those of `meio_jax.policies.guess.initial_levels`, lots, where orders have a fixed cost, the economic
    order quantity; a spread is the standard deviation of the demand that
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
        lot=None if network.fixed_order_cost is None else economic_quantity(network, flow),
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


def scale_of_rule(
    network: Network, rule: Any, theta: dict[str, Any], *, head: Any = None, scale: Scale | None = None
) -> Scale:
    """The sizes with which an untrained network orders as a rule does, so that it can only be improved.

    ``Percentage(rule=rule)`` follows every rule that remembers nothing. `OrderUpTo` and ``Percentage()`` follow
    base-stock, seasonal or not, `CappedBaseStock` capped base-stock, and `ReorderUpTo` (s, S), at the position that
    head and rule have in common. Where no node orders from another all positions are one. Base-stock for installation
    positions with the cascade is an echelon rule, whose levels are sums (Axsaeter and Rosling 1993, Management Science
    39(10)), unless orders travel, have lots, minima or capacities, or an input has several sources. In networks of
    whole units each source's share is rounded by itself.

    Args:
      rule, theta: a classical rule and its numbers, for example as `meio_jax.solvers.search` finds them.
      head: what the network's outputs mean; default: `OrderUpTo` of echelon positions.
      scale: sizes otherwise, for example of `measure_scale`; default: those of a mean demand of 1.

    Raises:
      UnsuitableError: the head cannot order as the rule does.
    """
    head = OrderUpTo() if head is None else head
    scale = scale_of(network) if scale is None else scale
    if isinstance(head, Percentage) and head.rule is not None:
        if head.rule != rule:
            raise UnsuitableError(f"the head adjusts {head.rule}, and these are the numbers of {rule}")
        return scale.replace(rule=theta)
    name = f"head {type(head).__name__} cannot order as {type(rule).__name__} does"
    followed = FOLLOWED.get(type(head), ())
    if not isinstance(rule, followed) or (isinstance(rule, reorder.ReorderUpTo) and rule.capped):
        raise UnsuitableError(f"{name}; Percentage(rule=..) follows every rule that remembers nothing")
    dtype = network.holding_cost.dtype
    numbers = {k: jnp.asarray(v, dtype) for k, v in theta.items()}
    if isinstance(rule, reorder.ReorderUpTo):
        level = numbers["reorder"]
        scale = scale.replace(lot=jnp.maximum(numbers["up_to"] - level, 0.0))
    else:
        level = numbers["level"]
    if isinstance(rule, SeasonalBaseStock):
        scale = scale.replace(season=numbers["swing"] * jnp.asarray(np.asarray(rule.season)[..., None], dtype))
    scale = scale.replace(cap=numbers.get("cap", scale.cap), share=numbers.get("share", scale.share))
    return _with_levels(network, rule, level, head.position, scale, name)


def _with_levels(network: Network, rule: Any, level: Array, position: str, scale: Scale, name: str) -> Scale:
    """The scale with the rule's levels, for a head of that position."""
    w = network.wiring
    if all(n < 0 for n in w.src[: w.n_inner]):
        return scale.replace(echelon=level, local=level)
    if rule.echelon and position == "echelon":
        return scale.replace(echelon=level)
    if not rule.echelon and not rule.cascade and position == "installation":
        return scale.replace(local=level)
    free = all(x is None for x in (network.lot_size, network.minimum_order, network.order_capacity))
    alone = all(len(arcs) == 1 for arcs in w.arcs_of_input)
    plain = type(rule) is base_stock.BaseStock and rule.cascade and not rule.echelon and not w.mail_slots
    if plain and free and alone and position == "echelon":
        return scale.replace(echelon=accumulate_downstream(network, level))
    raise UnsuitableError(f"{name} on this network by {position} positions; take Percentage(rule=..)")
