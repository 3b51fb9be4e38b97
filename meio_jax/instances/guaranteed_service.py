"""Safety-stock placement: the guaranteed-service examples of Snyder and Shen, sections 6.3.

The book gives no mean demand, as the cost does not depend on it. So that the networks can be played, the mean is five
standard deviations here. A supplier's service time outside is part of the lead time of its arc.
"""

from __future__ import annotations

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.instances.base import Instance, Known
from meio_jax.processes import Processes, normal
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.laws import Normal
from meio_jax.solvers.problem import Problem

__all__ = ["INSTANCES", "as_problem", "example_6_3", "example_6_5", "problem_6_7"]

SOURCE = "Snyder and Shen, Fundamentals of Supply Chain Theory, 2nd edition, 2019, section 6.3"
#: Mean demand in standard deviations, where only these are given.
MEAN = 5.0


def example_6_3() -> ServiceModel:
    """Example 6.3: three stages in series, numbered from the customer."""
    return ServiceModel(
        nodes=("3", "2", "1"),
        arcs=(("3", "2"), ("2", "1")),
        processing_time=(1, 0, 1),
        holding_cost=(2, 4, 7),
        demand_sd={"1": 1.0},
        bound_factor=1.0,
        demand_mean={"1": MEAN},
        inbound={"3": 1},
        outbound={"1": 1},
    )


def problem_6_7() -> ServiceModel:
    """Problem 6.7: three stages in series, numbered from the customer."""
    return ServiceModel(
        nodes=("3", "2", "1"),
        arcs=(("3", "2"), ("2", "1")),
        processing_time=(1, 1, 2),
        holding_cost=(2, 3, 4),
        demand_sd={"1": 10.0},
        bound_factor=4.0,
        demand_mean={"1": 10 * MEAN},
        inbound={"3": 1},
        outbound={"1": 0},
    )


def example_6_5() -> ServiceModel:
    """Example 6.5: stage 1 feeds 3, which feeds 2 and 4; both have customers."""
    return ServiceModel(
        nodes=("1", "3", "2", "4"),
        arcs=(("1", "3"), ("3", "2"), ("3", "4")),
        processing_time={"1": 2, "3": 1, "2": 1, "4": 1},
        holding_cost={"1": 1, "3": 2, "2": 3, "4": 3},
        demand_sd={"2": 1.0, "4": 1.0},
        bound_factor=1.0,
        demand_mean={"2": MEAN, "4": MEAN},
        inbound={"1": 1},
        outbound={"2": 0, "4": 1},
    )


def as_problem(model: ServiceModel) -> Problem:
    """A model with its network, which sees demand first: an arc's lead time is its own and the destination's T.

    Nodes that nobody feeds have a supplier outside, whose service time is part of its arc's lead time. Every node with
    demand has one customer, of normal demand.
    """
    arcs, served = [], []
    for j, name in enumerate(model.nodes):
        work = model.processing_time[j]
        if not model.inputs[j] or model.inbound[j]:
            component = "supplied" if model.inputs[j] else ""
            arcs.append(Arc(OUTSIDE, name, component=component, lead_time=work + model.inbound[j]))
        for i, e in model.inputs[j]:
            component = model.nodes[i] if len(model.inputs[j]) > 1 or model.inbound[j] else ""
            units = float(model.units[e])
            lead = work + model.arc_time[e]
            arcs.append(Arc(model.nodes[i], name, component=component, lead_time=lead, units=units))
        if model.serves[j]:
            arcs.append(Arc(name, CUSTOMER))
            served.append(j)
    nodes = [Node(name, holding_cost=float(h)) for name, h in zip(model.nodes, model.holding_cost, strict=True)]
    network = build_network(nodes, arcs, timing="demand_first")
    w = network.wiring
    index = [model.index[w.nodes[w.src[e]]] for e in w.customer_arcs]
    mean, sd = ([float(row[j]) for j in index] for row in (model.demand_mean, model.demand_sd))
    laws = tuple(Normal(m, s) for m, s in zip(mean, sd, strict=True))
    return Problem(network, Processes(demand=normal(mean, sd)), laws, service=model)


def _instance(case: str, title: str, model: ServiceModel, optimum: float) -> Instance:
    return Instance(
        id=f"guaranteed_service/{case}",
        family="guaranteed_service",
        title=title,
        timing="demand_first",
        source=SOURCE,
        make=lambda: as_problem(model),
        known=(
            Known(
                "optimum",
                optimum,
                "Snyder & Shen 2019",
                precision=5e-7,
                method="guaranteed_service",
                note="holding cost of safety stock as the guaranteed-service model counts it",
            ),
        ),
    )


INSTANCES: tuple[Instance, ...] = (
    _instance("example_6_3", "Snyder & Shen Example 6.3: three stages in series", example_6_3(), 2.828427),
    _instance("example_6_5", "Snyder & Shen Example 6.5: a tree of four stages", example_6_5(), 8.277917),
    _instance("problem_6_7", "Snyder & Shen Problem 6.7: three stages in series", problem_6_7(), 357.770876),
)
