"""The beer game: four stages in series between which both goods and orders travel (`Arc.order_delay`).

Sterman (1989), "Modeling managerial behavior: misperceptions of feedback in a dynamic decision making experiment",
Management Science 35(3), doi 10.1287/mnsc.35.3.321; Chen and Samroengraja (2000), "The stationary beer game",
Production and Operations Management 9(1); cases of Oroojlooyjadid, Nazari, Snyder and Takac (2022), "A deep Q-network
for the beer game", M&SOM 24(1), doi 10.1287/msom.2020.0939, with the settings of their published code.

A week: receive, read the orders that came in, ship, then decide; so the event order is ``demand_first``, where what
reaches a stage in a period is seen before it orders. Nothing is paid for goods in transit.

What is best depends on who knows what. Where a player sees only his own stage, base-stock levels for the stage's own
stock and orders are optimal, with the cost of a serial system without mail whose lead times are L_i + d_i, shipping
plus mail (Chen 1999, "Decentralized supply chains subject to information delays", Management Science 45(8)). A planner
who sees all stages orders upstream before the orders from below have come in: echelon base-stock is then optimal among
policies that ship what is owed, with the cost of a system whose lead times are L_i + d_i - d_(i+1), the mail from the
stage below taken off (`meio_jax.solvers.serial`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.instances.base import Instance, Known
from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision
from meio_jax.policies.base_stock import BaseStock
from meio_jax.processes import Process, Processes, deterministic, discrete_uniform, normal, seasonal
from meio_jax.solvers.laws import Law, Normal, Pmf
from meio_jax.solvers.problem import Problem

__all__ = ["INSTANCES", "STAGES", "OpeningBaseStock", "beer_game", "central_lead_times", "local_lead_times"]

#: Upstream first, as in the network.
STAGES = ("factory", "distributor", "wholesaler", "retailer")
#: Weeks that an order travels to where it is filled, and that goods travel back; the factory's order is a production
#: request of one week, and brewing takes two.
MAIL, SHIPPING = (1, 2, 2, 2), (2, 2, 2, 2)

_STERMAN = "Sterman 1989, Management Science 35(3), doi 10.1287/mnsc.35.3.321"
_DEEP = "Oroojlooyjadid et al. 2022, M&SOM 24(1), doi 10.1287/msom.2020.0939"


def beer_game(
    *,
    holding_cost: Sequence[float] = (0.5, 0.5, 0.5, 0.5),
    backlog_cost: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    initial_on_hand: float = 12.0,
    initial_flow: float = 4.0,
    mail: Sequence[int] = MAIL,
    shipping: Sequence[int] = SHIPPING,
    integer: bool = True,
) -> Network:
    """The board; all sequences upstream first, in money per unit and week, and in weeks.

    Args:
      backlog_cost: of what each stage owes.
      initial_flow: units in each place of every pipe, of goods and of orders.
    """
    nodes = [
        Node(s, holding_cost=h, initial_on_hand=initial_on_hand) for s, h in zip(STAGES, holding_cost, strict=True)
    ]
    owed = (0.0, *backlog_cost[:-1])  # by the source of each arc; the supplier of the factory owes nothing
    arcs = [
        Arc(
            source,
            stage,
            lead_time=shipping[i],
            order_delay=mail[i],
            initial_pipeline=initial_flow,
            initial_orders=initial_flow,
            backlog_cost=owed[i],
        )
        for i, (source, stage) in enumerate(zip((OUTSIDE, *STAGES), STAGES, strict=False))
    ]
    arcs.append(Arc(STAGES[-1], CUSTOMER, backlog_cost=backlog_cost[-1]))
    return build_network(nodes, arcs, timing="demand_first", integer=integer)


def local_lead_times(mail: Sequence[int] = MAIL, shipping: Sequence[int] = SHIPPING) -> tuple[int, ...]:
    """Lead times of the serial system without mail that costs as much where every player sees only his own stage."""
    return tuple(s + d for s, d in zip(shipping, mail, strict=True))


def central_lead_times(mail: Sequence[int] = MAIL, shipping: Sequence[int] = SHIPPING) -> tuple[int, ...]:
    """Lead times of the serial system without mail that costs as much where a planner sees all stages. None must be
    negative: an order from below would then travel longer than the stage needs to refill.
    """
    return tuple(s + d - below for s, d, below in zip(shipping, mail, (*mail[1:], 0), strict=True))


@dataclasses.dataclass(frozen=True)
class OpeningBaseStock(BaseStock):
    """Base-stock after ``weeks`` in which every stage orders ``first`` units, as the players of a game are told to."""

    weeks: int = 4
    first: float = 4.0

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        return Decision(jnp.where(seen.t < self.weeks, self.first, self.orders(network, theta, seen))), memory


def _rule(policy: BaseStock, *levels: float) -> Callable[[], tuple[Any, Any]]:
    return lambda: (policy, {"level": jnp.asarray(levels, float)[:, None]})


def _problem(network: Network, demand: Process, law: Law | None, periods: int | None) -> Problem:
    if periods is not None:
        return Problem(network, Processes(demand=demand), criterion="total", periods=periods)
    return Problem(network, Processes(demand=demand), (law,) if law is not None else (), warmup=100)


def _classic() -> Problem:
    step = seasonal(deterministic([1.0]), np.r_[np.full(4, 4.0), np.full(32, 8.0)][:, None].T)
    return _problem(beer_game(), step, None, 36)


def _uniform(high: int, **numbers: Any) -> Problem:
    law = Pmf(np.full(high + 1, 1.0 / (high + 1)))
    return _problem(beer_game(**numbers), discrete_uniform([0], [high]), law, None)


def _normal() -> Problem:
    network = beer_game(
        holding_cost=(0.25, 0.5, 0.75, 1.0),
        backlog_cost=(0.0, 0.0, 0.0, 10.0),
        initial_on_hand=10.0,
        initial_flow=10.0,
        integer=False,
    )
    return _problem(network, normal([10.0], [2.0]), Normal(10.0, 2.0), None)


_CENTRAL = "of a planner who sees all stages, among policies that ship what is owed"
_LOCAL = "every player sees his own stage only"


def _instance(name: str, title: str, source: str, make: Callable[[], Problem], *known: Known) -> Instance:
    return Instance(f"beer_game/{name}", "beer_game", title, "demand_first", source, make, known)


INSTANCES: tuple[Instance, ...] = (
    _instance(
        "classic",
        "Sterman's board: 36 weeks, demand 4 and from week 5 on 8",
        _STERMAN,
        _classic,
        Known(
            "Sterman's best rule",
            204.0,
            "Sterman 1989",
            precision=0.5,
            rule=_rule(OpeningBaseStock(), 24.0, 32.0, 32.0, 32.0),
            note="all order 4 in weeks 1 to 4, then up to 4 + S' with S' = (28, 28, 28, 20), retailer first; "
            "costs (46, 50, 54, 54)",
        ),
        Known(
            "the same rule from week 1 on",
            180.0,
            "computed",
            "OWN",
            rule=_rule(BaseStock(), 24.0, 32.0, 32.0, 32.0),
        ),
    ),
    _instance(
        "uniform",
        "whole demand uniform on 0 to 2, one holding rate; all orders travel 2 weeks and all goods 2 weeks",
        _DEEP,
        lambda: _uniform(
            2,
            holding_cost=(2.0, 2.0, 2.0, 2.0),
            backlog_cost=(0.0, 0.0, 0.0, 2.0),
            initial_on_hand=0.0,
            initial_flow=0.0,
            mail=(2, 2, 2, 2),
        ),
        Known(
            "optimum",
            4.095581635590779,
            "computed",
            "OWN",
            method="clark_scarf",
            note=_CENTRAL,
        ),
        Known(
            "optimum with local information",
            5.191928277185152,
            "computed",
            "OWN",
            rule=_rule(BaseStock(), 0.0, 0.0, 8.0, 8.0),
            note=f"{_LOCAL}; the levels are the published ones",
        ),
    ),
    _instance(
        "uniform_8",
        "whole demand uniform on 0 to 8, every stage pays for what it owes",
        _DEEP,
        lambda: _uniform(8),
        Known(
            "published base-stock levels",
            11.759487688790543,
            "computed",
            "OWN",
            rule=_rule(BaseStock(), 14.0, 20.0, 20.0, 19.0),
            note=_LOCAL,
        ),
    ),
    _instance(
        "normal",
        "stationary game, demand N(10, 2)",
        f"Chen and Samroengraja 2000, Production and Operations Management 9(1); {_DEEP}",
        _normal,
        Known(
            "optimum",
            10.234475,
            "computed",
            "OWN",
            precision=1e-6,
            method="clark_scarf",
            note=_CENTRAL,
        ),
        Known(
            "optimum with local information",
            12.496252,
            "computed",
            "OWN",
            precision=1e-6,
            rule=_rule(BaseStock(), 30.297059, 41.448786, 42.482847, 48.001794),
            note=f"{_LOCAL}; published levels are whole numbers",
        ),
        Known(
            "published base-stock levels",
            12.506404,
            "computed",
            "OWN",
            precision=1e-6,
            rule=_rule(BaseStock(), 30.0, 41.0, 43.0, 48.0),
            note=_LOCAL,
        ),
    ),
)
