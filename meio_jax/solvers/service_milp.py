"""Safety-stock placement in any network without a directed cycle: proven bounds by mixed-integer programs.

The cost of a stage is a concave function of its net replenishment time. Put in its place the broken line through it at
some whole times: it lies below, so that the least cost with lines is a lower bound, and the true cost of the service
times that attain it is an upper one. Then break the lines where these times lie, and solve again (Magnanti and others
2006). A line is broken at a new whole time in every round, so the bounds meet; as stages mostly hold stock for all of
their replenishment time or for none of it, they meet soon. With the pieces chosen, what remains is a linear program in
differences of times: its vertices are whole, and no service time needs to be declared so.

Magnanti, Shen, Shu, Simchi-Levi and Teo, Operations Research Letters 34(2), 2006; Humair and Willems, Operations
Research 59(3), 2011, https://doi.org/10.1287/opre.1100.0913.
"""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
from scipy import optimize, sparse

from meio_jax.errors import NumberError
from meio_jax.network import Network
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.service_cost import no_service_model, service_cost
from meio_jax.solvers.solution import Solution

__all__ = ["METHODS", "guaranteed_service_milp"]


def guaranteed_service_milp(
    model: ServiceModel,
    *,
    network: Network | None = None,
    tolerance: float = 1e-6,
    time_limit: float | None = None,
) -> Solution:
    """The service times of least safety-stock cost, with bounds on what any others cost.

    A hundred stages take up to a minute; with two hundred and long times, bounds are still one to three per
    cent apart after a minute (``python -m benchmarks.service``): give a ``time_limit``, or take a larger tolerance.

    Args:
      model: any network without a directed cycle.
      network: the same system for the simulator, for ``policy`` and ``theta``.
      tolerance: share of the cost by which the bounds may differ at the end; HiGHS's own tolerances allow about 1e-7.
      time_limit: seconds after which the best so far is handed back, its claim then being "exact" and not "optimal".

    Returns:
      As `service_cost`, with ``lower_bound`` and ``upper_bound`` (the cost itself) on the optimum of this model, and in
      ``details`` their ``gap`` as a share of the cost, ``rounds``, ``pieces`` and ``seconds``.

    Raises:
      NumberError: the tolerance or the time limit is not positive.
      UnknownNameError: the network has other nodes.
    """
    for name, x in (("tolerance", tolerance), ("time_limit", math.inf if time_limit is None else time_limit)):
        if not x > 0:
            raise NumberError(f"{name} = {x:g} must be positive")
    start = time.monotonic()
    lines = _Lines(model)
    best, lower, rounds = min((service_cost(model, t) for t in _simple(model)), key=lambda s: s.cost), 0.0, 0
    while best.cost - lower > tolerance * best.cost:
        left = None if time_limit is None else time_limit - (time.monotonic() - start)
        if left is not None and left <= 0:
            break
        times, bound = lines.solve(0.1 * tolerance, left)
        rounds += 1
        lower = max(lower, bound)
        if times is None:
            break
        found = service_cost(model, times)
        best = min(best, found, key=lambda s: s.cost)
        if not lines.broken_at(found.numbers["net_replenishment_time"]):
            break  # lines and costs agree there: what is left of the gap is the solver's tolerance
    lower = min(lower, best.cost)
    gap = (best.cost - lower) / best.cost if best.cost else 0.0
    best = service_cost(model, best.numbers["service_time"], network=network)
    return best.replace(
        method="guaranteed service, mixed-integer program",
        claim="optimal" if gap <= tolerance else "exact",
        lower_bound=lower,
        upper_bound=best.cost,
        details={
            "gap": gap,
            "rounds": rounds,
            "pieces": sum(len(x) - 1 for x in lines.breaks),
            "seconds": time.monotonic() - start,
        },
    )


def _simple(model: ServiceModel) -> list[list[int]]:
    """Service times to start from: every stage holds stock, and nobody does who need not."""
    everywhere = [0] * len(model.nodes)
    nowhere = [int(min(m, s)) for m, s in zip(model.longest, model.outbound, strict=True)]
    return [everywhere, nowhere]


class _Lines:
    """The broken lines below the costs, and the program over them. Costs are scaled so that the dearest stage has 1."""

    def __init__(self, model: ServiceModel) -> None:
        self.model = model
        self.cost = [model.stock_cost(j) for j in range(len(model.nodes))]
        self.scale = max(float(c[-1]) for c in self.cost) or 1.0
        self.breaks: list[list[int]] = []  # one line over all that is possible: the first program is a linear one
        for j, most in enumerate(model.longest):
            own = model.shortest_wait[j] + model.processing_time[j]
            self.breaks.append(sorted({int(max(0.0, own - model.outbound[j])), most}))

    def broken_at(self, times: tuple[int, ...]) -> bool:
        """Break each line at a time; False: they were all broken there."""
        new = False
        for x, t in zip(self.breaks, times, strict=True):
            if t not in x:
                x.append(t)
                x.sort()
                new = True
        return new

    def solve(self, gap: float, time_limit: float | None) -> tuple[list[int] | None, float]:
        """Service times that are best with lines (None: none found in time), and a lower bound on their cost."""
        program = self._program()
        options: dict[str, Any] = {"mip_rel_gap": gap}
        if time_limit is not None:
            options["time_limit"] = time_limit
        found = optimize.milp(**program, options=options)
        whole = np.flatnonzero(program["integrality"])
        # A program without whole variables is a linear one, for which no dual bound is told: its optimum is its own.
        bound = found.mip_dual_bound if whole.size else found.fun
        bound = -math.inf if bound is None or (not whole.size and found.status != 0) else float(bound)
        if found.x is None:
            return None, bound * self.scale
        if whole.size:  # a vertex of what is left once the pieces are chosen
            chosen = np.round(found.x[whole])
            low, high = program["bounds"].lb.copy(), program["bounds"].ub.copy()
            low[whole] = high[whole] = chosen
            vertex = optimize.milp(
                **(program | {"bounds": optimize.Bounds(low, high), "integrality": np.zeros(low.size)})
            )
            found = vertex if vertex.x is not None else found
        return self._rounded(found.x), bound * self.scale

    def _rounded(self, x: np.ndarray) -> list[int]:
        model = self.model
        times = [0] * len(model.nodes)
        for j in model.order:
            wait = max([model.inbound[j], *(times[i] + model.arc_time[e] for i, e in model.inputs[j])])
            times[j] = int(min(max(round(x[j]), 0), model.outbound[j], wait + model.processing_time[j]))
        return times

    def _program(self) -> dict[str, Any]:
        """Columns: S ``[N]``, SI ``[N]``, and for each piece whether it is used and the time on it."""
        model, n = self.model, len(self.model.nodes)
        pieces = [
            (j, lo, hi)
            for j, x in enumerate(self.breaks)
            for lo, hi in (itertools.pairwise(x) if len(x) > 1 else [(x[0], x[0])])
        ]
        k = len(pieces)
        use, on = 2 * n + np.arange(k), 2 * n + k + np.arange(k)
        objective, integrality = np.zeros(2 * n + 2 * k), np.zeros(2 * n + 2 * k)
        low, high = np.zeros(2 * n + 2 * k), np.full(2 * n + 2 * k, np.inf)
        high[:n] = np.minimum(model.longest, model.outbound)
        low[n : 2 * n] = model.shortest_wait
        high[n : 2 * n] = np.asarray(model.longest) - model.processing_time
        high[use] = 1
        rows: list[tuple[dict[int, float], float, float]] = []
        net: list[dict[int, float]] = [{j: 1.0, n + j: -1.0} for j in range(n)]
        one: list[dict[int, float]] = [{} for _ in range(n)]
        for p, (j, lo, hi) in enumerate(pieces):
            c = self.cost[j] / self.scale
            slope = (c[hi] - c[lo]) / (hi - lo) if hi > lo else 0.0
            objective[use[p]], objective[on[p]] = c[lo] - slope * lo, slope
            integrality[use[p]] = len(self.breaks[j]) > 2
            high[on[p]] = hi
            net[j][on[p]] = one[j][use[p]] = 1.0
            rows.append(({on[p]: 1.0, use[p]: -float(lo)}, 0.0, np.inf))
            rows.append(({on[p]: 1.0, use[p]: -float(hi)}, -np.inf, 0.0))
        for j in range(n):
            rows.append((net[j], model.processing_time[j], model.processing_time[j]))
            rows.append((one[j], 1.0, 1.0))
        for e, (a, b) in enumerate(model.ends):
            rows.append(({n + b: 1.0, a: -1.0}, model.arc_time[e], np.inf))
        entries = [(r, c, v) for r, (row, _, _) in enumerate(rows) for c, v in row.items()]
        at_row, at_column, values = (np.asarray(x) for x in zip(*entries, strict=True))
        matrix = sparse.csr_array((values, (at_row, at_column)), shape=(len(rows), objective.size))
        limits = optimize.LinearConstraint(matrix, [x for _, x, _ in rows], [x for _, _, x in rows])
        return {"c": objective, "integrality": integrality, "bounds": optimize.Bounds(low, high), "constraints": limits}


def _unfit(problem: Problem) -> str | None:
    return no_service_model(problem)


METHODS = (
    Method(
        "guaranteed_service_milp",
        "Guaranteed-service model: the optimal service times of any network, with proven bounds",
        "optimal",
        lambda problem: guaranteed_service_milp(problem.service, network=problem.network),
        _unfit,
        effort=1,
    ),
)
