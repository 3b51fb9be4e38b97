"""What a solver hands back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from meio_jax.network import Network
from meio_jax.policies.base import Policy
from meio_jax.policies.base_stock import BaseStock

__all__ = ["CLAIMS", "CRITERIA", "Solution", "column", "plays_echelon_levels"]

#: What a cost is: money per period in the long run; expected discounted sum; expected plain sum over the horizon.
CRITERIA = ("average", "discounted", "total")
#: What is claimed of a cost. optimal: no policy costs less. exact: it is the cost of the policy handed back, which may
#: be the best of its class only. approximate: a model's value for that policy. bound: no policy costs less, and none is
#: known that costs so little.
CLAIMS = ("optimal", "exact", "approximate", "bound")


@dataclasses.dataclass(frozen=True)
class Solution:
    """A policy, its cost, and how much of both is proven; rows are in the order of the network's nodes.

    ``echelon_levels[n]`` is compared with the echelon inventory position of node n (its own stock and all downstream
    of it, in transit and on order, less what customers are owed); ``local_levels[n]`` with its installation position.
    Levels are often not unique: compare costs.
    """

    #: Money, by ``criterion``; costs are positive, so a profit is negative.
    cost: float
    echelon_levels: tuple[float, ...] = ()
    local_levels: tuple[float, ...] = ()
    method: str = ""
    #: The part of ``cost`` that no policy can change: in-transit holding, purchase and operation.
    constant_cost: float = 0.0
    #: Author, year and place of the method.
    reference: str = ""
    criterion: str = "average"
    claim: str = "exact"
    #: Proven bounds on the cost of the best of all policies, in the units of ``cost``.
    lower_bound: float = -math.inf
    upper_bound: float = math.inf
    #: Other numbers by their usual names: ``reorder``, ``up_to``, ``lot``, ``service_time``, ``safety_stock``, ...
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: What plays it: ``rollout(network, policy, theta, ...)``. None where the network was not given, or nothing can.
    policy: Policy | None = None
    theta: Any = None
    #: How it was found: iterations, sizes, tolerances.
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def replace(self, **changes: Any) -> Solution:
        """A copy with other fields. Raises `TypeError` for a name that is no field."""
        return dataclasses.replace(self, **changes)


def column(values: Any, network: Network) -> Any:
    """``[rows, 1]`` in the network's precision, from plain numbers: a leaf of a policy's theta."""
    return jnp.asarray(np.asarray(values, float).reshape(-1, 1), network.holding_cost.dtype)


def plays_echelon_levels(network: Network, levels: Any) -> dict[str, Any]:
    """``policy`` and ``theta`` of echelon base-stock levels ``[M]``, as fields of a `Solution`."""
    return {"policy": BaseStock(echelon=True), "theta": {"level": column(levels, network)}}
