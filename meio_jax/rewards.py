"""What a learner is paid for: the negative cost, or a weighted sum of cost terms and service measures.

Weights are traced: a Pareto sweep over them is one program. Every term is something to keep small, except ``revenue``
and ``filled``, which count in favour. All are read from `Flows` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jax import Array

from meio_jax.errors import UnknownNameError
from meio_jax.kpis import COSTS, cost_terms, total_cost
from meio_jax.network import Network
from meio_jax.simulator import Flows

__all__ = ["TERMS", "reward"]

Weights = Mapping[str, Array | float]


def _unmet(network: Network, flows: Flows) -> Array:
    inner = network.wiring.n_inner
    return (flows.ordered[inner:] - flows.filled[inner:]).sum(0)


#: Beside the cost terms of `meio_jax.kpis`: physical quantities, units ``[B]`` in a period.
TERMS: dict[str, Callable[[Network, Flows], Array]] = {
    "unmet": _unmet,
    "filled": lambda network, flows: -flows.filled[network.wiring.n_inner :].sum(0),
    "lost_units": lambda network, flows: flows.lost[network.wiring.n_inner :].sum(0),
    "backlog_units": lambda network, flows: flows.backlog[network.wiring.n_inner :].sum(0),
    "stock": lambda network, flows: flows.on_hand.sum(0),
    "in_transit": lambda network, flows: flows.in_transit.sum(0),
    "ordered": lambda network, flows: flows.ordered[: network.wiring.n_inner].sum(0),
    "scrapped": lambda network, flows: (flows.expired + flows.overflow).sum(0),
}


def reward(weights: Weights | None, network: Network, flows: Flows) -> Array:
    """The period's reward ``[B]``.

    Args:
      weights: None for the negative total cost; else for each named term its weight, a number or ``[1|B]``. Names are
        those of `meio_jax.kpis.COSTS` (money) and of `TERMS` (units), and ``"cost"`` for the total.

    Raises:
      UnknownNameError: a name is no term.
    """
    if weights is None:
        return -total_cost(network, flows)
    money = cost_terms(network, flows)
    known = {"cost", *COSTS, *TERMS}
    total = jnp.zeros_like(flows.on_hand[0])
    for name, weight in weights.items():
        if name not in known:
            raise UnknownNameError(f"reward term {name!r} is not one of {', '.join(sorted(known))}")
        if name == "cost":
            term = total_cost(network, flows)
        elif name in TERMS:
            term = TERMS[name](network, flows)
        else:
            term = -money[name] if name == "revenue" else money[name]
        total = total - weight * term
    return total
