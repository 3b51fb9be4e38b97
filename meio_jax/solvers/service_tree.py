"""Safety-stock placement in a tree: the exact dynamic program of Graves and Willems (2000).

A tree here is a network whose arcs form no cycle even without their directions: chains, assembly, distribution, and any
mixture. Hang it up at a node; then every other node k has one neighbour p above it, and what lies below k knows the
rest only through one number: k's service time S where p is downstream, k's inbound service time SI where p is upstream,

    f_k(S)  = B_k(S)  + min over SI of A_k(SI) + c_k(SI + T_k - S),
    g_k(SI) = A_k(SI) + min over S  of B_k(S)  + c_k(SI + T_k - S),

A_k(SI) summing min {f_i(x): x + L_ik <= SI} over the inputs i below k, and B_k(S) summing min {g_j(y): y >= S + L_kj}
over the stages j below k that it feeds. SI ranges from what the arcs alone take to what is possible, and S from 0 to
SI + T_k: the ranges as they were put right in the authors' erratum and by Humair and Willems (2006).

Of all SI (or S) only few need to be tried. As c_k is concave, so is the sum where A_k (or B_k) is; a minimum then lies
where A_k has a convex kink, or at an end of the range.

Graves and Willems, Manufacturing & Service Operations Management 2(1), 2000, https://doi.org/10.1287/msom.2.1.68.23267,
and erratum, 5(2), 2003; Humair and Willems, Operations Research 54(4), 2006.
"""

from __future__ import annotations

import networkx as nx
import numpy as np

from meio_jax.errors import UnsuitableError
from meio_jax.network import Network
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.service_cost import no_service_model, service_cost
from meio_jax.solvers.solution import Solution

__all__ = ["METHODS", "guaranteed_service", "not_a_tree"]


def guaranteed_service(model: ServiceModel, *, network: Network | None = None) -> Solution:
    """The service times of least safety-stock cost in a tree (or in several trees).

    Args:
      model: its arcs form no cycle, whatever their directions.
      network: the same system for the simulator, for ``policy`` and ``theta``.

    Returns:
      As `service_cost`; the claim "optimal" is among all service times of this model.

    Raises:
      UnsuitableError: the arcs form a cycle.
      UnknownNameError: the network has other nodes.
    """
    reason = not_a_tree(model)
    if reason is not None:
        raise UnsuitableError(reason)
    found = service_cost(model, _Tree(model).service_times(), network=network)
    return found.replace(
        method="guaranteed service, tree", claim="optimal", lower_bound=found.cost, upper_bound=found.cost
    )


def not_a_tree(model: ServiceModel) -> str | None:
    """Why a model is no tree; None where it is one."""
    graph = nx.Graph(model.arcs)
    try:
        loop = [a for a, _ in nx.find_cycle(graph)]
    except nx.NetworkXNoCycle:
        return None
    return (
        f"the arcs form a cycle when their directions are left out: {' - '.join([*loop, loop[0]])}; "
        '"guaranteed_service_milp" treats any network without a directed cycle'
    )


class _Tree:
    """The tables of the program. A is kept by SI from the node's least wait on, B by S from 0 on."""

    def __init__(self, model: ServiceModel) -> None:
        self.model = model
        count = len(model.nodes)
        self.cost = [model.stock_cost(j) for j in range(count)]  # c by net replenishment time
        self.least = model.shortest_wait
        self.most_out = [int(min(m, s)) for m, s in zip(model.longest, model.outbound, strict=True)]
        self.above, self.hung = self._hang()
        self.a, self.b = [np.zeros(0)] * count, [np.zeros(0)] * count
        self.value = [np.zeros(0)] * count  # f by S or g by SI
        for k in reversed(self.hung):
            self._fill(k)

    def _hang(self) -> tuple[list[int], list[int]]:
        """The node above each (-1: none), and all nodes, each after the one above it."""
        graph = nx.Graph(self.model.ends)
        graph.add_nodes_from(range(len(self.model.nodes)))
        above, order = [-1] * len(graph), []
        for part in nx.connected_components(graph):
            root = max(part)
            order.append(root)
            for p, k in nx.bfs_edges(graph, root):
                above[k] = p
                order.append(k)
        return above, order

    def _fill(self, k: int) -> None:
        model, c, work = self.model, self.cost[k], self.model.processing_time[k]
        waits = np.arange(self.least[k], model.longest[k] - work + 1)  # SI
        a, b = np.zeros(waits.size), np.zeros(self.most_out[k] + 1)
        for i, e in model.inputs[k]:
            if i != self.above[k]:  # the best of all that the input may promise
                best = np.minimum.accumulate(self.value[i])
                a += best[np.minimum(waits - model.arc_time[e], best.size - 1)]
        for j, e in model.outputs[k]:
            if j != self.above[k]:
                best = np.minimum.accumulate(self.value[j][::-1])[::-1]
                b += best[np.maximum(np.arange(b.size) + model.arc_time[e] - self.least[j], 0)]
        self.a[k], self.b[k] = a, b
        if self.above[k] in (j for j, _ in model.outputs[k]):
            out = np.arange(b.size)
            wait = np.maximum(self.least[k], out - work)  # SI cannot be less
            best, back = a[wait - self.least[k]] + c[wait + work - out], c[::-1]
            for at in _kinks(a):
                x = self.least[k] + at
                top = min(b.size, x + work + 1)  # S that this SI allows
                first = c.size - 1 - x - work
                np.minimum(best[:top], back[first : first + top] + a[at], out=best[:top])
            self.value[k] = b + best
        else:
            out = np.minimum(b.size - 1, waits + work)  # S cannot be more
            best = b[out] + c[waits + work - out]
            for x in _kinks(b):
                first = max(self.least[k], x - work)  # SI that allows this S
                part = best[first - self.least[k] :]
                np.minimum(part, c[first + work - x :][: part.size] + b[x], out=part)
            self.value[k] = a + best

    def service_times(self) -> list[int]:
        """S of each node, read from the top of the tree down."""
        model = self.model
        out, wait = [0] * len(self.hung), [0] * len(self.hung)
        for k in self.hung:
            work, c, p = model.processing_time[k], self.cost[k], self.above[k]
            arc = next((e for j, e in (*model.inputs[k], *model.outputs[k]) if j == p), -1)
            if p >= 0 and model.ends[arc] == (k, p):
                out[k] = int(np.argmin(self.value[k][: wait[p] - model.arc_time[arc] + 1]))
                first = max(self.least[k], out[k] - work)
                total = self.a[k][first - self.least[k] :]
                total = total + c[first + work - out[k] :][: total.size]
                wait[k] = first + int(np.argmin(total))
            else:
                first = self.least[k] if p < 0 else max(self.least[k], out[p] + model.arc_time[arc])
                wait[k] = first + int(np.argmin(self.value[k][first - self.least[k] :]))
                total = self.b[k][: wait[k] + work + 1]
                total = total + c[wait[k] + work - np.arange(total.size)]
                out[k] = total.size - 1 - int(np.argmin(total[::-1]))  # of equals the longest: less stock
        return out


def _kinks(values: np.ndarray) -> list[int]:
    """Where a function on whole numbers is not concave, with the ends of its range."""
    inside = 1 + np.flatnonzero(np.diff(values, 2) > 0)
    return sorted({0, *inside.tolist(), values.size - 1})


def _unfit(problem: Problem) -> str | None:
    return no_service_model(problem) or not_a_tree(problem.service)


METHODS = (
    Method(
        "guaranteed_service",
        "Guaranteed-service model: the optimal service times of a tree",
        "optimal",
        lambda problem: guaranteed_service(problem.service, network=problem.network),
        _unfit,
    ),
)
