"""Markov chains with costs: long-run average with proven bounds, discounted and finite sums, stationary law.

Puterman, Markov Decision Processes (1994), appendix A and sections 8.2 and 8.5.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from meio_jax.errors import NumberError

__all__ = ["Chain", "average_cost", "chain_of", "discounted_cost", "distribution_after", "finite_cost", "stationary"]

#: Steps before a chain is called one that does not mix.
STEPS = 1_000_000
#: Probability of moving on, in the lazy chain that stands for a periodic one.
LAZY = 0.8


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """S states: transition law ``[S, S]``, expected cost of a period ``[S]``, law of the state at time 0 ``[S]``."""

    law: sparse.csr_array
    cost: np.ndarray
    start: np.ndarray


def chain_of(after: np.ndarray, probabilities: np.ndarray, cost: np.ndarray, start: np.ndarray) -> Chain:
    """From indices of next states ``[S, W]`` and the probabilities ``[W]`` of what leads there."""
    n, w = after.shape
    p = np.broadcast_to(probabilities, after.shape).ravel().copy()
    law = sparse.csr_array((p, after.ravel().astype(np.int32), np.arange(0, n * w + 1, w)), shape=(n, n))
    law.sum_duplicates()
    return Chain(law, cost, start)


def _closed_classes(chain: Chain) -> list[np.ndarray]:
    """The recurrent classes that can be reached from the start, as indices of states."""
    count, label = csgraph.connected_components(chain.law, directed=True, connection="strong")
    links = chain.law.tocoo()
    some = links.data > 0
    open_ = np.zeros(count, bool)
    from_, to = label[links.coords[0][some]], label[links.coords[1][some]]
    open_[from_[from_ != to]] = True
    reached = csgraph.breadth_first_order(_from_start(chain), len(chain.cost), return_predecessors=False)
    seen = np.zeros(count, bool)
    seen[label[reached[1:]]] = True
    order = np.argsort(label, kind="stable")
    edges = np.searchsorted(label[order], np.arange(count + 1))
    return [order[edges[k] : edges[k + 1]] for k in np.flatnonzero(seen & ~open_)]


def _from_start(chain: Chain) -> sparse.csr_array:
    """The graph with one more node, which leads to every state that time 0 may bring."""
    n = len(chain.cost)
    entry = sparse.csr_array(chain.start[None])
    return sparse.csr_array(
        sparse.block_array([[chain.law, sparse.csr_array((n, 1))], [entry, sparse.csr_array((1, 1))]])
    )


def _gain(law: sparse.csr_array, cost: np.ndarray, tolerance: float) -> tuple[float, float]:
    """Bounds on the average cost of one recurrent class: the least and the greatest change of its values."""
    v, lazy, gap, low, high = np.zeros(len(cost)), 1.0, np.inf, -np.inf, np.inf
    for step in range(STEPS):
        change = cost + law @ v - v
        low, high = float(change.min()), float(change.max())
        if high - low <= tolerance * max(abs(low), abs(high)) or high == low:
            return low, high
        if step % 200 == 199:
            lazy, gap = (LAZY if high - low > 0.5 * gap else lazy), high - low
        v += lazy * change
        v -= v[0]
    raise NumberError(f"the policy's chain does not mix: its average cost is only known to lie in [{low:g}, {high:g}]")


def average_cost(chain: Chain, tolerance: float = 1e-9) -> tuple[float, float]:
    """Bounds on the cost per period in the long run, from the start.

    Raises:
      NumberError: the chain hardly mixes.
    """
    classes = _closed_classes(chain)
    bounds = [_gain(chain.law[c][:, c], chain.cost[c], tolerance) for c in classes]
    if len(classes) == 1:
        return bounds[0]
    ends = _absorbed(chain, classes)
    return tuple(float(sum(p * b[k] for p, b in zip(ends, bounds, strict=True))) for k in (0, 1))  # type: ignore[return-value]


def _absorbed(chain: Chain, classes: list[np.ndarray]) -> list[float]:
    """Probabilities of ending in each class."""
    inside = np.zeros(len(chain.cost), bool)
    for c in classes:
        inside[c] = True
    back, mass = chain.law.T.tocsr(), chain.start.copy()
    for _ in range(STEPS):
        if mass[~inside].sum() < 1e-14:
            break
        mass = back @ mass
    else:
        raise NumberError(f"after {STEPS} steps the chain has not yet come to where it stays: it hardly mixes")
    return [float(mass[c].sum()) for c in classes]


def stationary(chain: Chain, tolerance: float = 1e-13) -> np.ndarray:
    """``[S]`` the long-run share of time in each state, from the start; ``tolerance`` is that of one more step.

    Raises `NumberError` where it hardly mixes.
    """
    back, mass, lazy, moved = chain.law.T.tocsr(), chain.start.copy(), 1.0, np.inf
    for step in range(1, STEPS):
        new = back @ mass
        moved = np.abs(new - mass).sum()
        if moved <= tolerance:
            break
        if step % 500 == 0:
            lazy = LAZY
        mass = mass + lazy * (new - mass)
    else:
        raise NumberError(
            f"after {STEPS} steps the law of the chain still moves by {moved:.1e} a step: it hardly mixes"
        )
    return mass / mass.sum()


def distribution_after(chain: Chain, periods: int) -> np.ndarray:
    """``[S]`` the law of the state after some periods."""
    back, mass = chain.law.T.tocsr(), chain.start.copy()
    for _ in range(periods):
        mass = back @ mass
    return mass


def finite_cost(chain: Chain, periods: int, discount: float = 1.0, warmup: int = 0) -> float:
    """Sum of the expected costs of periods ``warmup .. warmup + periods - 1``, the first of them undiscounted."""
    back, mass, total, weight = chain.law.T.tocsr(), distribution_after(chain, warmup), 0.0, 1.0
    for _ in range(periods):
        total += weight * float((mass * chain.cost).sum())  # no BLAS: its threads cost more than they do
        mass, weight = back @ mass, weight * discount
    return total


def discounted_cost(chain: Chain, discount: float, tolerance: float = 1e-10, warmup: int = 0) -> tuple[float, float]:
    """Bounds on the discounted cost for ever from the start, after ``warmup`` periods that do not count."""
    v, mass, low, high = np.zeros(len(chain.cost)), distribution_after(chain, warmup), -np.inf, np.inf
    for _ in range(STEPS):
        new = chain.cost + discount * (chain.law @ v)
        change = (new - v) * (discount / (1 - discount))
        v, low, high = new, float(change.min()), float(change.max())
        if high - low <= tolerance * max(abs(v + low).max(), 1e-300):
            break
    at = float((mass * v).sum())
    return at + low, at + high
