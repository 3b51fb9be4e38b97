"""The exact optimum of an assembly system with backorders (Rosling 1989): a serial system in disguise.

Every arc is a decision to order a part. Order the arcs by their total lead time M, from the order to the product's
stock. In long-run balance a part with a shorter way is never ordered beyond what is coming of those with a longer one,
and all that matters of the latter is whether it comes in time: the arcs stand one behind the other like the stages of a
serial system whose lead times are the differences of M, with the same echelon holding rates.

The echelon rate of an arc is what a set of its parts costs more at rest after it than before it. Parts that arrive at a
node together are built at once; a part whose arc into a node is longer than its partners' waits there for them, at its
``component_holding_cost``. What goes into a unit of the product counts as one unit (bill of materials). Where arcs
have one M they are one stage.

Rosling, Operations Research 37(4), 1989, https://doi.org/10.1287/opre.37.4.565; Chen and Zheng, Management Science
40(11), 1994, https://doi.org/10.1287/mnsc.40.11.1426.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from meio_jax.errors import InputError, UnsuitableError
from meio_jax.network import Network
from meio_jax.policies.balanced import BalancedBaseStock, total_lead_times
from meio_jax.solvers.clark_scarf import recursion
from meio_jax.solvers.laws import as_law
from meio_jax.solvers.method import Method
from meio_jax.solvers.plain import lead_times, not_average, numbers, obstacle, passing_cost
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution, column

__all__ = ["METHODS", "SerialEquivalent", "rosling", "serial_equivalent"]


@dataclasses.dataclass(frozen=True)
class SerialEquivalent:
    """The serial system that an assembly system is; stages are in order of their total lead time, longest first.

    Attributes:
      stage_of_arc: ``[I]`` which stage each inner arc belongs to.
      sets: ``[N]`` units of each node's product in one unit of what the customer gets.
      covered: ``[K]`` periods of demand that each stage's echelon position must cover.
      echelon_holding_cost: ``[K]`` money per set and period.
      backlog_cost: money per unit owed to the customer and period.
      shift: what to add to the serial system's cost, per unit of mean demand.
      constant: the part of the cost that no policy changes, per unit of mean demand.
    """

    stage_of_arc: tuple[int, ...]
    sets: tuple[float, ...]
    covered: tuple[float, ...]
    echelon_holding_cost: tuple[float, ...]
    backlog_cost: float
    shift: float
    constant: float


def _not_assembly(network: Network, lane: int | None = None) -> str | None:
    w = network.wiring
    try:
        total_lead_times(w)
    except InputError as error:
        return f"{error}; `federgruen_zipkin` and `decomposition_aggregation` treat distribution"
    if network.lead_time is not None:
        return "its lead times are numbers, not part of the wiring, by which the balanced policy orders: build it anew"
    return obstacle(network, lane=lane, allowed=("units",))


def serial_equivalent(network: Network, *, lane: int | None = None) -> SerialEquivalent:
    """Rosling's reduction of an assembly network to a serial system.

    Raises:
      UnsuitableError: the network is no assembly with backorders, or stock at some node is cheaper than what goes into
        it, where the reduction does not hold; says which.
    """
    reason = _not_assembly(network, lane)
    if reason is not None:
        raise UnsuitableError(reason)
    w = network.wiring
    total, _ = total_lead_times(w)
    lead = lead_times(network, lane)
    units = numbers(network, "units", w.n_inner, 1.0, lane)
    sets = np.ones(w.n_nodes)
    for n in range(w.n_nodes - 1, -1, -1):
        (out,) = w.out_arcs[n]
        if out < w.n_inner:
            sets[n] = units[out] * sets[w.dst[out]]
    parts = np.asarray([units[e] * sets[w.dst[e]] for e in range(w.n_inner)])  # units on each arc in a set
    holding = numbers(network, "holding_cost", w.n_nodes, lane=lane)
    before = np.asarray([holding[w.src[e]] if w.src[e] >= 0 else 0.0 for e in range(w.n_inner)]) * parts
    waiting = numbers(network, "component_holding_cost", w.n_inputs, lane=lane)[list(w.input_of_arc)] * parts
    rate = np.zeros(w.n_inner)
    chain = all(len(arcs) == 1 for arcs in w.in_arcs)
    for n, arcs in enumerate(w.in_arcs):
        shortest = min(lead[e] for e in arcs)
        last = [e for e in arcs if lead[e] == shortest]  # what they bring is built as it comes
        early = [e for e in arcs if lead[e] > shortest]
        for e in early:
            rate[e] = waiting[e] - before[e]
        built = holding[n] * sets[n] - waiting[early].sum() - before[last].sum()
        rate[last[0]] = built
        for cost, name in ((built, f"a unit at {w.nodes[n]}"), *((rate[e], f"a part of {w.arcs[e]}") for e in early)):
            if not chain and cost < -1e-6 * holding.max(initial=1.0):
                raise UnsuitableError(
                    f"{name} costs less at rest than what goes into it ({cost:g} money/set/period): Rosling's "
                    "reduction needs holding rates that rise downstream; `search` tunes BalancedBaseStock() there"
                )
    ways = sorted(set(total), reverse=True)
    stage = [ways.index(t) for t in total]
    late = float(w.timing == "order_first")
    covered = [a - b for a, b in zip(ways, [*ways[1:], -late], strict=True)]
    rates = np.zeros(len(ways))
    np.add.at(rates, stage, rate)
    # The recursion charges a stage's stock after the demand that the stage covers, the simulator after that of all
    # periods up to the end of the one in which an order arrives; and it charges what is in transit at the rate before.
    until = lead + (w.timing != "demand_first")
    moved = float(rate @ (until - np.asarray(covered)[stage])) + float(before @ lead)
    per_arc, per_node = passing_cost(network, lane)
    transit = numbers(network, "transit_holding_cost", w.n_inner, lane=lane)
    constant = float((transit * lead + per_arc) @ parts) + float(per_node @ sets)
    return SerialEquivalent(
        stage_of_arc=tuple(stage),
        sets=tuple(sets.tolist()),
        covered=tuple(float(t) for t in covered),
        echelon_holding_cost=tuple(np.where(np.abs(rates) < 1e-9 * (1 + holding.max()), 0.0, rates).tolist()),
        backlog_cost=float(numbers(network, "backlog_cost", w.n_arcs, lane=lane)[-1]),
        shift=constant - moved,
        constant=constant,
    )


def rosling(network: Network, demand: Any, *, tolerance: float | None = None, lane: int | None = None) -> Solution:
    """The optimal balanced echelon base-stock policy of an assembly system, per period in the long run.

    Args:
      network: every node feeds one other node or the one customer. Bills of materials and any lead times are allowed.
      demand: of the product in one period, independent between periods; see `meio_jax.solvers.laws.as_law`.
      tolerance: as in `meio_jax.solvers.clark_scarf.clark_scarf`.
      lane: which lane's numbers of the network.

    Returns:
      ``echelon_levels[n]`` in units of node n's product (for a node whose arcs differ in length, of the shortest), and
      a `BalancedBaseStock` that plays them.

    Raises:
      UnsuitableError: as `serial_equivalent`.
      ParameterError: demand is out of its domain.
    """
    same = serial_equivalent(network, lane=lane)
    law, w = as_law(demand), network.wiring
    laws = [law.over(t) for t in same.covered]
    found = recursion(
        same.echelon_holding_cost, laws, same.backlog_cost, tolerance=tolerance, shift=law.mean * same.shift
    )
    reached = np.minimum.accumulate(found.levels)
    level = np.zeros(w.n_inputs)
    for e in range(w.n_inner):
        level[w.input_of_arc[e]] = reached[same.stage_of_arc[e]] * same.sets[w.dst[e]]
    return Solution(
        found.cost,
        tuple(float(min(level[m] for m in inputs)) for inputs in w.inputs_of_node),
        method="Rosling",
        constant_cost=law.mean * same.constant,
        reference="Rosling 1989, Operations Research 37(4)",
        claim="optimal",
        lower_bound=found.lower,
        upper_bound=found.upper,
        policy=BalancedBaseStock(),
        theta={"level": column(level, network)},
        details={"error": found.upper - found.lower, "fineness": found.fineness, "stages": len(same.covered)},
    )


def _unfit(problem: Problem) -> str | None:
    reason = not_average(problem) or _not_assembly(problem.network)
    if reason is not None:
        return reason
    try:
        serial_equivalent(problem.network)
    except UnsuitableError as error:
        return str(error)
    return None


METHODS = (
    Method(
        "rosling",
        "Rosling's reduction: the optimum of an assembly system",
        "optimal",
        lambda problem: rosling(problem.network, problem.laws[0]),
        _unfit,
    ),
)
