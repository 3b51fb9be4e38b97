"""The negative cost, or a weighted sum of cost terms and physical quantities, in a period or at each node.

Every term is something to keep small, except ``revenue`` and ``filled``, which count in favour: their terms are
negative. All are read from `Flows` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import jax.numpy as jnp
from jax import Array

from meio_jax.errors import UnknownNameError
from meio_jax.indexing import sum_groups
from meio_jax.kpis import COSTS, costs_by_node, total_cost
from meio_jax.network import Network
from meio_jax.simulator import Flows

__all__ = ["TERMS", "Weights", "reward", "reward_by_node", "term_names", "terms_at_nodes"]

Weights = Mapping[str, Array | float]


def _at_customers(network: Network, units: Array) -> Array:
    """``[C, B]`` to ``[N, B]``, at the node that serves the customer."""
    w = network.wiring
    return sum_groups(units, [[e - w.n_inner for e in arcs if e >= w.n_inner] for arcs in w.out_arcs])


def _unmet(network: Network, flows: Flows) -> Array:
    inner = network.wiring.n_inner
    return _at_customers(network, flows.ordered[inner:] - flows.filled[inner:])


#: Beside the cost terms of `meio_jax.kpis`: physical quantities at each node, units ``[N, B]`` in a period.
TERMS: dict[str, Callable[[Network, Flows], Array]] = {
    "unmet": _unmet,
    "filled": lambda network, flows: -_at_customers(network, flows.filled[network.wiring.n_inner :]),
    "lost_units": lambda network, flows: _at_customers(network, flows.lost[network.wiring.n_inner :]),
    "backlog_units": lambda network, flows: _at_customers(network, flows.backlog[network.wiring.n_inner :]),
    "stock": lambda network, flows: flows.on_hand,
    "in_transit": lambda network, flows: sum_groups(flows.in_transit, network.wiring.in_arcs),
    "ordered": lambda network, flows: sum_groups(flows.ordered[: network.wiring.n_inner], network.wiring.in_arcs),
    "scrapped": lambda network, flows: flows.expired + flows.overflow,
}


def term_names() -> list[str]:
    """All names of terms, sorted."""
    return sorted({"cost", *COSTS, *TERMS})


def terms_at_nodes(names: Iterable[str], network: Network, flows: Flows) -> dict[str, Array]:
    """The named terms of a period at the node where each arises, ``[N, B]``; 0 where the network has no such cost.

    Raises:
      UnknownNameError: a name is no term.
    """
    names = list(names)
    money = costs_by_node(network, flows) if any(name not in TERMS for name in names) else {}
    if "revenue" in money:
        money["revenue"] = -money["revenue"]
    nothing = jnp.zeros_like(flows.on_hand)
    found = {}
    for name in names:
        if name == "cost":
            found[name] = sum(money.values(), nothing)
        elif name in TERMS:
            found[name] = TERMS[name](network, flows)
        elif name in COSTS:
            found[name] = money.get(name, nothing)
        else:
            raise UnknownNameError(f"reward term {name!r} is not one of {', '.join(term_names())}")
    return found


def reward(weights: Weights | None, network: Network, flows: Flows) -> Array:
    """The period's reward ``[B]``: the sum of `reward_by_node`.

    Args:
      weights: None for the negative total cost; else for each named term its weight, a number or ``[1|B]``. Names are
        those of `meio_jax.kpis.COSTS` (money) and of `TERMS` (units), and ``"cost"`` for the total.

    Raises:
      UnknownNameError: a name is no term.
    """
    return -total_cost(network, flows) if weights is None else reward_by_node(weights, network, flows).sum(0)


def reward_by_node(weights: Weights | None, network: Network, flows: Flows) -> Array:
    """The period's reward at the node where it arises, ``[N, B]``. Arguments and errors as in `reward`."""
    weighted = {"cost": 1.0} if weights is None else weights
    total = jnp.zeros_like(flows.on_hand)
    for name, term in terms_at_nodes(weighted, network, flows).items():
        total = total - weighted[name] * term
    return total
