"""OR-Gym's supply-chain environments, version 0.5.0: InvManagement (a chain of four stages) and NetInvMgmt.

Hubbs et al. 2020, arXiv 2008.06319. Thirty periods of Poisson(20) demand, ``ship_first``; docs/peers.md shows the
physics equal to theirs, and where OR-Gym's is at fault (a node offers each of several customers its whole stock).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.instances import gym_invmgmt
from meio_jax.instances.base import Instance, Known
from meio_jax.network import Network
from meio_jax.processes import Processes, poisson
from meio_jax.solvers.laws import Poisson
from meio_jax.solvers.problem import Problem

__all__ = ["DISCOUNT", "INSTANCES", "inv_management", "levels_as_network", "net_inv_management"]

#: Mean of the Poisson demand of a period, the horizon, and InvManagement's discount factor.
MEAN, PERIODS, DISCOUNT = 20.0, 30, 0.97
SOURCE = "OR-Gym 0.5.0; Hubbs et al. 2020, arXiv 2008.06319"
#: Stages from the retailer up: initial stock, holding cost, and what unmet orders of the stage below cost; then the
#: supplier's capacity and the lead time into each stage.
_STOCK, _HOLDING, _PENALTY = (100, 100, 200), (0.15, 0.10, 0.05), (0.1, 0.075, 0.05, 0.025)
_CAPACITY, _LEAD = (100, 90, 80), (3, 5, 10)
_PRICE, _RAW = 2.0, 0.5


def inv_management(backlog: bool = True) -> Network:
    """InvManagement's chain: stages "2", "1", "0" (the retailer), fed from outside.

    OR-Gym caps what a supplier ships at its capacity; here the order is capped. That is the same for any rule that
    orders no more than the capacity, and for the best plan: what exceeds the capacity is not sent any sooner for having
    been ordered. What stages pay each other cancels.
    """
    keep = float(backlog)

    def unmet(stage: int) -> dict[str, Any]:
        return {"backlog_cost" if backlog else "lost_cost": _PENALTY[stage]}

    nodes = [Node(str(i), initial_on_hand=_STOCK[i], holding_cost=_HOLDING[i]) for i in range(3)]
    arcs = [Arc("0", CUSTOMER, "sales", price=_PRICE, keep=keep, **unmet(0))]
    for i in range(3):
        last = i == 2
        arcs.append(
            Arc(
                OUTSIDE if last else str(i + 1),
                str(i),
                f"into{i}",
                lead_time=_LEAD[i],
                order_capacity=_CAPACITY[i],
                unit_cost=_RAW if last else 0.0,
                keep=keep,
                **unmet(i + 1),
            )
        )
    return build_network(nodes, arcs, timing="ship_first")


def levels_as_network(levels: Any, network: Network) -> Any:
    """OR-Gym's base-stock levels, retailer first and each of the stock from there down, as theta of `BaseStock`."""
    w = network.wiring
    return {"level": jnp.asarray([[float(levels[int(w.nodes[n])])] for n in w.node_of_input])}


def net_inv_management(backlog: bool = True) -> Network:
    """NetInvMgmt's divergent network: the same numbers as gym-invmgmt's, and like that it opens one period early."""
    return gym_invmgmt.network(lost_sales=not backlog)


def _chain(backlog: bool) -> Problem:
    processes, laws = Processes(demand=poisson([MEAN])), (Poisson(MEAN),)
    return Problem(inv_management(backlog), processes, laws, "discounted", DISCOUNT, PERIODS)


INSTANCES: tuple[Instance, ...] = (
    Instance(
        id="or_gym/inv_management-backlog",
        family="or_gym",
        title="OR-Gym InvManagement, a chain of four stages, backlog",
        timing="ship_first",
        source=SOURCE,
        make=lambda: _chain(True),
        known=(
            Known("echelon base-stock (91, 211, 416)", -410.29, "computed", "OWN", 0.005,
                  note="not reproduced: here and in a plain NumPy replica of the environment these levels earn 389.3, "
                  "and the best, (86, 210, 426), 396.3"),
            Known("hindsight", -562.61, "computed", "OWN", 0.005, note="over draws of its own"),
        ),
    ),
    Instance(
        id="or_gym/inv_management-lost",
        family="or_gym",
        title="OR-Gym InvManagement, a chain of four stages, lost sales",
        timing="ship_first",
        source=SOURCE,
        make=lambda: _chain(False),
    ),
    Instance(
        id="or_gym/net_inv_management-backlog",
        family="or_gym",
        title="OR-Gym NetInvMgmt, three stores and three factories, backlog",
        timing="ship_first",
        source=SOURCE,
        make=lambda: gym_invmgmt.problem(net_inv_management(True)),
    ),
    Instance(
        id="or_gym/net_inv_management-lost",
        family="or_gym",
        title="OR-Gym NetInvMgmt, three stores and three factories, lost sales",
        timing="ship_first",
        source=SOURCE,
        make=lambda: gym_invmgmt.problem(net_inv_management(False)),
    ),
)  # fmt: skip
