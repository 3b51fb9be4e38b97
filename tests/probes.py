"""Systems so small that their best policy and its value are known: they show which part of a learner is at fault."""

from __future__ import annotations

from typing import NamedTuple

from scipy.stats import norm

from meio_jax import CUSTOMER, OUTSIDE, Arc, Network, Node, build_network
from meio_jax.processes import Processes, deterministic, normal, poisson
from meio_jax.topologies import serial


class Probe(NamedTuple):
    """A system and the least long-run cost per period that any policy can have."""

    network: Network
    processes: Processes
    optimum: float


def constant_cost(cost: float = 3.0) -> Probe:
    """Nothing can be ordered, one unit is lost in every period: every value is ``-cost / (1 - discount)``."""
    arcs = [
        Arc(OUTSIDE, "shop", lead_time=1, order_capacity=0.0),
        Arc("shop", CUSTOMER, keep=0.0, lost_cost=cost),
    ]
    return Probe(build_network([Node("shop")], arcs), Processes(demand=deterministic(1.0)), cost)


def newsvendor(mean: float = 5.0, sd: float = 1.0, over: float = 1.0, under: float = 19.0) -> Probe:
    """What is ordered arrives at once and does not keep: the cost depends on this period's order alone.

    With z = Phi^-1(under / (under + over)) the least cost is (under + over) phi(z) sd; Snyder and Shen (2019), 4.3.2.
    """
    arcs = [Arc(OUTSIDE, "shop", lead_time=0), Arc("shop", CUSTOMER, keep=0.0, lost_cost=under)]
    network = build_network([Node("shop", shelf_life=1, scrap_cost=over)], arcs)
    best = (over + under) * norm.pdf(norm.ppf(under / (over + under))) * sd
    return Probe(network, Processes(demand=normal(mean, sd)), float(best))


def order_what_is_seen(mean: float = 5.0, sd: float = 2.0) -> Probe:
    """Demand is seen, what is ordered arrives at once and does not keep: only the observation says what to order."""
    arcs = [Arc(OUTSIDE, "shop", lead_time=0), Arc("shop", CUSTOMER, keep=0.0, lost_cost=1.0)]
    network = build_network([Node("shop", shelf_life=1, scrap_cost=1.0)], arcs, timing="demand_first")
    return Probe(network, Processes(demand=normal(mean, sd)), 0.0)


def base_stock(mean: float = 5.0, sd: float = 1.0, holding: float = 1.0, backlog: float = 19.0) -> Probe:
    """One stage, backorders, lead time 1: an order is paid for two periods later. Zipkin (2000), section 9.4.2."""
    network = serial(1, holding_cost=holding, lead_time=1, backlog_cost=backlog)
    z = norm.ppf(backlog / (backlog + holding))
    best = (holding + backlog) * norm.pdf(z) * sd * 2**0.5
    return Probe(network, Processes(demand=normal(mean, sd)), float(best))


def lost_sales() -> Probe:
    """Zipkin (2008), Poisson(5), lead time 2, p = 4; the best base-stock policy costs 4.63865."""
    network = serial(1, holding_cost=1.0, lead_time=2, lost_cost=4.0, keep=0.0, integer=True)
    return Probe(network, Processes(demand=poisson(5.0)), 4.39530)


def example_6_1() -> Probe:
    """Snyder and Shen (2019), Example 6.1."""
    network = serial(
        3, echelon_holding_cost=(2, 2, 3), lead_time=(2, 1, 1), backlog_cost=37.12,
        transit_holding_cost="upstream", timing="demand_first",
    )  # fmt: skip
    return Probe(network, Processes(demand=normal(5.0, 1.0)), 47.660)
