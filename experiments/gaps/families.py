"""What is learned: families of instances, what each is compared with, and the gaps that are aimed at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.instances import Instance, find, instances
from meio_jax.processes import Processes, discrete, poisson
from meio_jax.solvers.laws import Poisson
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import tree

__all__ = ["FAMILIES", "Family", "instance_named"]


@dataclasses.dataclass(frozen=True)
class Family:
    """Instances that are judged alike.

    Attributes:
      title: for the table. ids: of the instances; the first ``short`` of them are the short version.
      reference: what a gap is measured from: "optimum", "tuned rule" (`search`, at the learner's budget of simulated
        periods or more) or "hindsight" (gym-invmgmt's ten seeds).
      mean, worst: gaps aimed at, percent, by learner: mean over instances and seeds, and of the worst instance (a mean
        over seeds). A learner without an entry has no target here.
    """

    title: str
    ids: tuple[str, ...]
    reference: str = "optimum"
    short: int = 1
    mean: tuple[tuple[str, float], ...] = ()
    worst: tuple[tuple[str, float], ...] = ()


def _tree_problem() -> Problem:
    """A plant, 4 warehouses, 16 retailers; Poisson demand; the plant's supplier takes 2 periods, each step 1 or 2."""
    network = tree(
        (4, 4), lead_time=(2, 1, 2), holding_cost=(0.2, 0.5, 1.0), backlog_cost=9.0, integer=True, timing="order_first",
        initial_on_hand=(160.0, 40.0, 15.0),
    )  # fmt: skip
    means = [3.0 + k % 4 for k in range(16)]
    return Problem(network, Processes(demand=poisson(means)), tuple(Poisson(m) for m in means))


def _general_problem() -> Problem:
    """Nine nodes: two parts makers, an assembler with two components, a second source, depots and shops; every lead
    time is random and orders cross.
    """
    nodes = [
        Node("board", holding_cost=0.2, initial_on_hand=40), Node("case", holding_cost=0.1, initial_on_hand=40),
        Node("plant", holding_cost=0.5, initial_on_hand=30), Node("import", holding_cost=0.5, initial_on_hand=30),
        Node("east", holding_cost=0.8, initial_on_hand=20), Node("west", holding_cost=0.8, initial_on_hand=20),
        *(Node(f"shop {k}", holding_cost=1.0, initial_on_hand=12) for k in (1, 2, 3)),
    ]  # fmt: skip
    random: dict[str, Any] = {"lead_time": 2, "min_lead_time": 1, "max_lead_time": 4}
    arcs = [
        Arc(OUTSIDE, "board", **random), Arc(OUTSIDE, "case", **random),
        Arc("board", "plant", component="board", **random), Arc("case", "plant", component="case", **random),
        Arc(OUTSIDE, "import", **random),
        Arc("plant", "east", **random, component="good"), Arc("import", "east", **random, component="good"),
        Arc("plant", "west", **random),
        Arc("east", "shop 1", **random), Arc("east", "shop 2", **random), Arc("west", "shop 3", **random),
        *(Arc(f"shop {k}", CUSTOMER, backlog_cost=9.0) for k in (1, 2, 3)),
    ]  # fmt: skip
    network = build_network(nodes, arcs, timing="order_first", integer=True)
    means = [4.0, 3.0, 5.0]
    steps = network.wiring.n_inner
    lead = discrete([[1, 2, 3, 4]] * steps, [[0.4, 0.3, 0.2, 0.1]] * steps)
    return Problem(network, Processes(demand=poisson(means), lead_time=lead), tuple(Poisson(m) for m in means))


def _own(name: str, title: str, make: Callable[[], Problem]) -> Instance:
    return Instance(f"general/{name}", "general", title, "order_first", "meio_jax, experiments/gaps", make)


#: Instances of our own: what is compared with is a rule that is tuned here.
OWN = {
    i.id: i
    for i in (
        _own("tree_21", "a plant, 4 warehouses, 16 retailers", _tree_problem),
        _own(
            "nine_nodes", "assembly, a second source, depots and shops; random lead times that cross", _general_problem
        ),
    )
}


def instance_named(name: str) -> Instance:
    """An instance of the literature or of `OWN`. Raises `UnknownNameError`."""
    return OWN.get(name) or find(name)


def _ids(family: str, keep: Callable[[str], bool] = lambda _: True, first: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Ids of a family that ``keep`` admits, those of ``first`` before the others."""
    every = [i.id for i in instances(family) if keep(i.id)]
    return (*first, *(x for x in every if x not in first))


FAMILIES: dict[str, Family] = {
    "serial": Family(
        "serial systems: Snyder and Shen, Pirhooshyaran and Snyder, HDPO's four stages",
        (
            "serial/example_6_1", "hdpo_serial/L4_p4", "pirhooshyaran_snyder/case_4",
            "serial/example_6_1_poisson", "serial/problem_6_1", "serial/problem_6_16", "hdpo_serial/L4_p9",
            *(f"pirhooshyaran_snyder/case_{k}" for k in (1, 2, 5, 6)),
        ),
        mean=(("pathwise", 0.2), ("ppo", 1.0)),
    ),
    "lost_sales": Family(
        "lost sales with a lead time: Zipkin's 32 cases, whole orders",
        _ids("zipkin", first=("zipkin/poisson-L4-p4", "zipkin/geometric-L2-p9", "zipkin/poisson-L2-p19",
                              "zipkin/geometric-L4-p4", "zipkin/poisson-L3-p9", "zipkin/geometric-L4-p39")),
        mean=(("pathwise", 0.2), ("ppo", 1.0)),
        worst=(("pathwise", 0.5),),
    ),
    "dual_sourcing": Family(
        "dual sourcing: Gijsbrechts et al., six cases",
        _ids("dual_sourcing", first=("dual_sourcing/l2-ce110", "dual_sourcing/l4-ce110")),
        mean=(("pathwise", 0.2), ("ppo", 0.5)),
    ),
    "perishables": Family(
        "perishables: De Moor et al., shelf life 2 and 3",
        _ids(
            "de_moor", lambda x: x.startswith(("de_moor/m2", "de_moor/m3")),
            ("de_moor/m2-L2-cw7-fifo", "de_moor/m3-L1-cw7-lifo"),
        ),
        mean=(("pathwise", 0.5), ("ppo", 1.0)),
    ),
    "fixed_cost": Family("fixed order cost: Bijvank et al.", _ids("bijvank"), mean=(("ppo", 1.0),)),
    "gym_invmgmt": Family(
        "gym-invmgmt: four stationary scenarios, ten published seeds", _ids("gym_invmgmt"), "hindsight"
    ),
    "one_warehouse": Family(
        "one warehouse, three retailers: Kaynov et al.",
        tuple(f"kaynov/case_{k}" for k in (6, 1, 7, 9, 11)),
        "tuned rule",
        mean=(("pathwise", 0.0), ("ppo", 0.0)),
    ),
    "general": Family(
        "a tree of 21 nodes, a general network of 9", tuple(OWN), "tuned rule", mean=(("pathwise", -2.0),)
    ),
}  # fmt: skip
