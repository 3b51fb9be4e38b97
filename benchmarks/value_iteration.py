"""Exact dynamic programs beside a sparse value iteration in SciPy, on the same problems, limits and tolerance.

    python -m benchmarks.value_iteration

Zipkin's lost sales (Poisson demand 5, lead time 4, penalty 39) and De Moor's perishables (shelf life 3, lead time 2,
FIFO), the latter as average cost so that both stop at the same kind of bound. The sparse form holds one row of next
states for each pair of state and order, built by hand-written vectorised physics; ours plays the package's own
`transition`. Times include building the tables; ours are given with and without compilation.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
from scipy import sparse, stats

from meio_jax.instances.lost_sales import zipkin
from meio_jax.instances.perishables import de_moor, demand_law
from meio_jax.solvers.dynamic_program import value_iteration
from meio_jax.solvers.problem import Problem

TOLERANCE = 1e-7


def sparse_iteration(
    states: np.ndarray,
    orders: np.ndarray,
    pmf: np.ndarray,
    step: Callable[[np.ndarray, float, int], tuple[np.ndarray, np.ndarray]],
    allowed: Callable[[np.ndarray, float], np.ndarray],
) -> tuple[float, int]:
    """Average cost and sweeps. ``states [S, D]``; ``step(states, order, demand) -> next states [S, D], cost [S]``."""
    base = states.max(0) + 1
    code = np.ravel_multi_index(states.T, base)
    index = np.full(int(np.prod(base)), -1)
    index[code] = np.arange(len(states))
    laws, costs = [], []
    for a in orders:
        rows, columns, values, cost = [], [], [], np.full(len(states), np.inf)
        ok = np.flatnonzero(allowed(states, a))
        cost[ok] = 0.0
        for w, p in enumerate(pmf):
            after, c = step(states[ok], a, w)
            cost[ok] += p * c
            rows.append(ok)
            columns.append(index[np.ravel_multi_index(after.T, base)])
            values.append(np.full(len(ok), p))
        triples = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        laws.append(sparse.csr_array(triples, shape=(len(states), len(states))))
        costs.append(cost)
    v, sweeps = np.zeros(len(states)), 0
    while True:
        change = np.minimum.reduce([c + law @ v for c, law in zip(costs, laws, strict=True)]) - v
        low, high = change.min(), change.max()
        sweeps += 1
        if high - low <= TOLERANCE * high:
            return (low + high) / 2, sweeps
        v = v + change - change[0]


def sparse_lost_sales(limits: dict[str, list[float]]) -> tuple[float, int]:
    most, cap = int(limits["order"][0]), int(limits["position"][0])
    grid = itertools.product(range(cap + 1), *[range(most + 1)] * 3)
    states = np.asarray([s for s in grid if sum(s) <= cap])
    top = int(stats.poisson.isf(1e-12, 5))
    pmf = np.append(stats.poisson.pmf(np.arange(top), 5), stats.poisson.sf(top - 1, 5))

    def step(s: np.ndarray, a: float, w: int) -> tuple[np.ndarray, np.ndarray]:
        left = np.maximum(s[:, 0] - w, 0)
        after = np.column_stack([left + s[:, 1], s[:, 2], s[:, 3], np.full(len(s), a, int)])
        return after, left + 39.0 * np.maximum(w - s[:, 0], 0)

    return sparse_iteration(states, np.arange(most + 1), pmf, step, lambda s, a: (s.sum(1) + a <= cap) | (a == 0))


def sparse_perishables(limits: dict[str, list[float]]) -> tuple[float, int]:
    most, cap = int(limits["order"][0]), int(limits["position"][0])
    states = np.asarray([s for s in itertools.product(range(most + 1), repeat=4) if sum(s) <= cap])
    p = demand_law().probabilities
    above = np.cumsum(p[::-1])[::-1]
    last = int(np.argmax(np.append(above[1:], 0.0) <= 1e-12))
    pmf = np.append(p[:last], above[last])

    def step(s: np.ndarray, a: float, w: int) -> tuple[np.ndarray, np.ndarray]:
        need, left = np.full(len(s), w), []
        for k in range(3):  # oldest first
            take = np.minimum(need, s[:, k])
            need = need - take
            left.append(s[:, k] - take)
        after = np.column_stack([left[1], left[2], s[:, 3], np.full(len(s), a, int)])
        return after, 3.0 * a + 5.0 * need + 7.0 * left[0] + left[1] + left[2]

    return sparse_iteration(states, np.arange(most + 1), pmf, step, lambda s, a: (s.sum(1) + a <= cap) | (a == 0))


def main() -> None:
    perishable = de_moor(3, 2, 7.0, "fifo").problem
    cases: dict[str, tuple[Problem, Callable[[dict[str, list[float]]], tuple[float, int]]]] = {
        "Zipkin Poisson L=4 p=39": (zipkin("poisson", 4, 39).problem, sparse_lost_sales),
        "De Moor shelf life 3, L=2": (
            Problem(perishable.network, perishable.processes, perishable.laws),
            sparse_perishables,
        ),
    }
    for name, (problem, peer) in cases.items():
        times = []
        for _ in range(4):
            begun = time.perf_counter()
            found = value_iteration(problem, tolerance=TOLERANCE)
            times.append(time.perf_counter() - begun)
        others = []
        for _ in range(3):
            begun = time.perf_counter()
            cost, sweeps = peer(found.details["limits"])
            others.append(time.perf_counter() - begun)
        warm = times[1:]
        print(
            f"{name}: {found.details['states']} states; cost {found.cost:.6f} (sparse {cost:.6f}, {sweeps} sweeps); "
            f"seconds: first call {times[0]:.2f}, then {min(warm):.2f} to {max(warm):.2f}; "
            f"sparse {min(others):.2f} to {max(others):.2f}"
        )


if __name__ == "__main__":
    main()
