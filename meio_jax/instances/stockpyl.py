"""The networks among stockpyl's named instances that are no row of another table here.

stockpyl (Snyder 2023, doi:10.1287/educ.2023.0256) keeps the examples of Snyder and Shen and of some papers as code; its
simulator's trajectories on these networks equal ours (tests/test_peers.py). Demand is seen before ordering, successors
are served in their order, and stock in transit is charged at the rate of the node that it left. Its Examples 6.1,
Problems 6.1 and 6.16 are in the family ``serial``, Shang and Song's rows in ``shang_song``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.instances.base import Instance, Known
from meio_jax.instances.serial import SNYDER_SHEN, serial_problem
from meio_jax.processes import Processes, discrete_uniform, normal, poisson
from meio_jax.solvers.laws import Normal, Pmf, Poisson
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import assembly, local_holding_cost, serial, tree

__all__ = ["INSTANCES"]

_RULES = {"timing": "demand_first", "allocation": "priority"}
_STOCKPYL = "stockpyl 1.0.2 (Snyder 2023, doi:10.1287/educ.2023.0256)"
_ROSLING = f"Rosling, Operations Research 37(4), 1989, Figure 1, doi:10.1287/opre.37.4.565; {_STOCKPYL}"
_RONG = f"Rong, Atan and Snyder, Production and Operations Management 26(9), 2017, doi:10.1111/poms.12717; {_STOCKPYL}"


def example_4_1() -> Instance:
    """The newsvendor of Example 4.1 as a node with lead time 1: N(50, 8), holding cost 0.18, backorder cost 0.70."""

    def make() -> Problem:
        network = serial(
            1, lead_time=1, holding_cost=0.18, backlog_cost=0.7, initial_on_hand=50, initial_pipeline=50, **_RULES
        )
        return Problem(network, Processes(demand=normal(50, 8)), (Normal(50, 8),))

    known = Known("optimum", 1.9976, "Snyder and Shen 2019, Example 4.3", "V", 5e-5, "base_stock")
    return _instance("example_4_1", "newsvendor as a node", SNYDER_SHEN, make, (known,))


def problem_6_2(counts: bool) -> Instance:
    """Problem 6.2: five stages, echelon rates 1, 1, 1, 2, 2 upstream first, lead times of half a period.

    A half is the period here: demand is N(32, 8 / sqrt 2) or Poisson(32), lead times are 1, and rates are charged in
    full in each, so that its cost is one per unit of the problem's time. (stockpyl lists the local rates backwards.)
    """
    law = Poisson(32) if counts else Normal(32, 8 / math.sqrt(2))
    echelon = (1, 1, 1, 2, 2)
    note = "twice 226.84280, what stockpyl 1.0.2 finds for half a period; its sums are truncated"
    known = (Known("optimum", 453.6856, "stockpyl 1.0.2", "OWN", method="clark_scarf", note=note),) if counts else ()
    return _instance(
        "problem_6_2b" if counts else "problem_6_2a",
        f"five stages, {'Poisson' if counts else 'normal'} demand", SNYDER_SHEN,
        lambda: serial_problem(law, local_holding_cost(echelon), (1,) * 5, 24.0), known,
    )  # fmt: skip


def assembly_3_stage() -> Instance:
    """Two components with lead time 2 and a product with lead time 1: N(5, 1), backorder cost 20."""

    def make() -> Problem:
        network = assembly(
            2, lead_time=[2, 2, 1], holding_cost=[1, 1, 2], backlog_cost=20, transit_holding_cost="upstream",
            initial_on_hand=[11, 13, 7], initial_pipeline=5, **_RULES,
        )  # fmt: skip
        return Problem(network, Processes(demand=normal(5, 1)), (Normal(5, 1),))

    return _instance("assembly_3_stage", "two components of one product", _STOCKPYL, make)


def rosling_figure_1() -> Instance:
    """Rosling's assembly tree of seven parts, uniform demand 0 to 10. The figure has no costs: these are ours."""
    lead = {1: 1, 2: 1, 3: 3, 4: 2, 5: 4, 6: 1, 7: 2}
    holding = {1: 9.0, 2: 3.0, 3: 5.0, 4: 4.0, 5: 1.0, 6: 2.0, 7: 1.0}
    start = {1: 8, 2: 8, 3: 24, 4: 16, 5: 32, 6: 8, 7: 16}
    feeds = {5: 2, 6: 4, 7: 4, 4: 3, 2: 1, 3: 1}

    def make() -> Problem:
        nodes = [Node(f"part{k}", holding_cost=holding[k], initial_on_hand=start[k]) for k in (5, 6, 7, 4, 2, 3, 1)]
        arcs = [Arc(OUTSIDE, f"part{k}", lead_time=lead[k], initial_pipeline=5.0) for k in (5, 6, 7)]
        arcs += [
            Arc(
                f"part{k}", f"part{user}", component=f"part{k}", lead_time=lead[user], initial_pipeline=5.0,
                transit_holding_cost=holding[k], component_holding_cost=holding[k],
            )
            for k, user in feeds.items()
        ]  # fmt: skip
        arcs.append(Arc("part1", CUSTOMER, backlog_cost=40.0))
        network = build_network(nodes, arcs, integer=True, **_RULES)
        return Problem(network, Processes(demand=discrete_uniform(0, 10)), (Pmf(np.full(11, 1 / 11)),))

    return _instance("rosling_figure_1", "assembly on four levels, costs ours", _ROSLING, make)


def rong_figure_1a() -> Instance:
    """Figure 1(a): a tree 1-2-4, Poisson demand of mean 8, holding costs 1/3, 2/3, 1, backorder cost 20, lead times 1.

    (stockpyl's demand is the normal one with the same moments.)
    """

    def make() -> Problem:
        network = tree(
            (2, 2), lead_time=1, holding_cost=[1 / 3, 2 / 3, 1], backlog_cost=20, transit_holding_cost="upstream",
            initial_on_hand=[32, 16, 8], initial_pipeline=[32, 16, 8], integer=True, **_RULES,
        )  # fmt: skip
        return Problem(network, Processes(demand=poisson([8.0] * 4)), (Poisson(8),) * 4)

    return _instance("rong_figure_1a", "distribution tree 1-2-4", _RONG, make)


def rong_figure_1b() -> Instance:
    """Figure 1(b): a tree whose two hubs feed five and three retailers. stockpyl gives the shape and demand alone: lead
    times and costs are those of Figure 1(a).
    """
    nodes = ["root", "hub1", "hub2", *(f"retailer{k}" for k in range(1, 9))]
    parent = {"hub1": "root", "hub2": "root"} | {f"retailer{k}": "hub1" if k <= 5 else "hub2" for k in range(1, 9)}

    def make() -> Problem:
        rate = {k: 1 / 3 if k == "root" else 2 / 3 if k.startswith("hub") else 1.0 for k in nodes}
        flow = dict.fromkeys(nodes[3:], 8.0) | {"hub1": 40.0, "hub2": 24.0, "root": 64.0}
        arcs = [Arc(OUTSIDE, "root", lead_time=1, initial_pipeline=flow["root"])]
        arcs += [
            Arc(up, k, lead_time=1, transit_holding_cost=rate[up], initial_pipeline=flow[k]) for k, up in parent.items()
        ]
        arcs += [Arc(k, CUSTOMER, backlog_cost=20.0) for k in nodes[3:]]
        sites = [Node(k, holding_cost=rate[k], initial_on_hand=flow[k]) for k in nodes]
        network = build_network(sites, arcs, integer=True, **_RULES)
        return Problem(network, Processes(demand=poisson([8.0] * 8)), (Poisson(8),) * 8)

    return _instance("rong_figure_1b", "distribution tree 1-2-(5, 3), costs as in 1(a)", _RONG, make)


def _instance(
    name: str, title: str, source: str, make: Callable[[], Problem], known: tuple[Known, ...] = ()
) -> Instance:
    return Instance(f"stockpyl/{name}", "stockpyl", title, "demand_first", source, make, known)


INSTANCES: tuple[Instance, ...] = (
    example_4_1(),
    problem_6_2(counts=False),
    problem_6_2(counts=True),
    assembly_3_stage(),
    rosling_figure_1(),
    rong_figure_1a(),
    rong_figure_1b(),
)
