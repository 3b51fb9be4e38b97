"""A base-stock level for each partial sum of the pipeline, for one location with a lead time."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.indexing import sum_first
from meio_jax.network import Network
from meio_jax.observation import Observation, installation_position
from meio_jax.policies.base import Decision
from meio_jax.policies.guess import of_customers

__all__ = ["VectorBaseStock", "one_source"]


def one_source(network: Network) -> int:
    """The lead time of a single location with a single supplier outside.

    Raises:
      InputError: the network is another, or the lead time varies.
    """
    w = network.wiring
    if w.n_nodes != 1 or w.n_inner != 1 or w.n_customers != 1:
        raise InputError(
            f"this rule is for one node with one source and one customer, and there are {w.n_nodes} nodes, {w.n_inner} "
            f"sources and {w.n_customers} customers; CappedBaseStock plays any network"
        )
    if w.min_lead_time != w.max_lead_time or network.lead_time is not None:
        raise InputError("this rule reads the pipeline slot by slot and needs a lead time that is fixed in the wiring")
    if w.mail_slots:
        raise InputError("orders that travel have no place in this rule: add order_delay to the lead time")
    return w.lead_time[0]


@dataclasses.dataclass(frozen=True)
class VectorBaseStock:
    """Order as much as every level allows: z = (min over l of s_l - v_l)+. theta: ``{"level": [L + 1, 1|B]}``.

    Row 0 is compared with the inventory position; row l with the orders that arrive l or more periods from now, so the
    last row is the largest order. An infinite level allows anything: with the first alone this is base-stock, with the
    first and the last capped base-stock.

    Morton (1969, 1971); Zipkin (2008), Operations Research 56(5), equation (5),
    https://doi.org/10.1287/opre.1070.0471.
    """

    theta_has_lanes: ClassVar[bool] = True
    whole: ClassVar[tuple[str, ...]] = ("level",)

    def start(self, network: Network, mean: Any = None, sd: Any = 0.0) -> dict[str, Array]:
        """Mean and a standard deviation of safety over the periods that each partial sum must cover.

        Raises:
          InputError: the network is not one location with one source, or a shape is wrong.
        """
        lead = one_source(network)
        rate = of_customers(network, 1.0 if mean is None else mean, "mean")
        spread = of_customers(network, sd, "sd")
        late = float(network.wiring.timing != "demand_first")
        periods = jnp.asarray(np.arange(lead + late, late - 1, -1.0)[: lead + 1, None], rate.dtype)
        level = rate * periods + spread * jnp.sqrt(periods)
        level = jnp.maximum(level, rate)  # never a largest order below a period's demand
        return {"level": jnp.ceil(level - 1e-3) if network.wiring.integer else level}

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """For a demand of one unit per period. The key is not used."""
        return self.start(network)

    def memory(self, network: Network, lanes: int) -> Any:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        lead = one_source(network)
        level = theta["level"]
        if level.shape[0] != lead + 1:
            raise InputError(f"level has {level.shape[0]} rows; a lead time of {lead} needs {lead + 1}")
        position = installation_position(network, seen)[0]
        room = level[0] - position
        for k in range(1, lead + 1):
            # Those not yet reported were placed last: they count in every partial sum but the largest order's.
            late = 0.0 if seen.unreported is None or k == lead else seen.unreported[0]
            behind = sum_first(seen.pipeline[k:lead, 0]) if k < lead else 0.0 * position
            room = jnp.minimum(room, level[k] - behind - late)
        units = 1.0 if network.units is None else network.units[0]
        return Decision(jnp.broadcast_to(jnp.maximum(room, 0.0) * units, (1, *position.shape))), memory
