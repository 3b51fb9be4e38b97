"""Distribution trees in which every node orders what was ordered from it: installation base stock, Poisson demand.

What node n has on order, O_n, is what its supplier owes it plus the demand over its own lead time; the two are
independent. Its stock is [S_n - O_n]+ and what it owes B_n = [O_n - S_n]+. If it serves first come, first served, each
unit owed is owed to child m with probability rate_m / rate_n, independently: what is owed to a child is binomial.

``exact`` carries the laws through (Simon 1971; Graves 1985; Axsater 1990 for the costs). ``metric`` takes O_n as
Poisson with the right mean (Sherbrooke 1968). ``two_moment`` takes it as negative binomial with the right mean and
variance (Graves 1985).

The texts are in continuous time. A periodic system is the same with the demand of ``TreeSystem.covered`` periods for
that of a lead time, where the orders of one period are served in random order. The simulator divides scarce stock in
proportion or by priority instead: with several children per node its costs differ a little.

Sherbrooke, Operations Research 16(1), 1968, https://doi.org/10.1287/opre.16.1.122; Simon, Operations Research 19(5),
1971, https://doi.org/10.1287/opre.19.5.1285; Graves, Management Science 31(10), 1985,
https://doi.org/10.1287/mnsc.31.10.1247; Axsater, Operations Research 38(1), 1990, https://doi.org/10.1287/opre.38.1.64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from meio_jax.errors import InputError, NumberError, UnknownNameError, UnsuitableError
from meio_jax.solvers.laws import Poisson
from meio_jax.solvers.tree import TreeSystem

__all__ = ["APPROACHES", "Evaluation", "on_order", "one_for_one", "poisson_rates"]

APPROACHES = ("exact", "metric", "two_moment")
#: Probability that may be cut off from what is on order.
CUT = 1e-14
#: The largest table of a law: what is on order, in units.
WIDEST = 4_000


class Evaluation(NamedTuple):
    """Expectations ``[N]`` at the end of a period, units; cost: money per period."""

    on_hand: np.ndarray
    owed: np.ndarray
    cost: float


def poisson_rates(laws: Sequence[object]) -> list[float]:
    """Mean demands ``[K]`` per period of Poisson laws. Raises `UnsuitableError` for any other law."""
    for law in laws:
        if not isinstance(law, Poisson):
            raise UnsuitableError(
                f"demand must be Poisson, got {type(law).__name__}: `federgruen_zipkin` bounds other laws"
            )
    return [law.mean for law in laws if isinstance(law, Poisson)]


@functools.lru_cache(maxsize=4096)
def _poisson(mean: float) -> np.ndarray:
    if mean == 0:
        return np.ones(1)
    k = np.arange(_reach(mean + 9 * math.sqrt(mean) + 40))
    return _cut(np.exp(k * math.log(mean) - mean - special.gammaln(k + 1)))


def _negative_binomial(mean: float, variance: float) -> np.ndarray:
    """By its moments, the variance being the larger."""
    q = 1 - mean / variance
    r = mean**2 / (variance - mean)
    k = np.arange(_reach(mean + 9 * math.sqrt(variance) + 40 / -math.log(q)))
    log = special.gammaln(k + r) - special.gammaln(r) - special.gammaln(k + 1) + r * math.log1p(-q) + k * math.log(q)
    return _cut(np.exp(log))


def _reach(x: float) -> int:
    if not x <= WIDEST:
        raise NumberError(f"{x:g} units on order are too many for a table of single units: scale the demand down")
    return int(x) + 1


def _cut(p: np.ndarray) -> np.ndarray:
    """Without an upper tail that does not count."""
    p = p[: p.size - int(np.searchsorted(np.cumsum(p[::-1]), CUT))]
    return p / p.sum()


@functools.lru_cache(maxsize=32)
def _binomials(size: int, share: float) -> np.ndarray:
    """``[size, size]`` P(k of j units), row k, column j."""
    k = np.arange(size)
    return stats.binom.pmf(k[:, None], k[None], share)


def _thinned(p: np.ndarray, share: float) -> np.ndarray:
    """The law of how many of so many units are a child's, each with probability ``share``."""
    if share == 1.0:
        return p
    table = _binomials(1 << (p.size - 1).bit_length(), share)  # few sizes, so that a table serves many levels
    return table[: p.size, : p.size] @ p


def on_order(parent: np.ndarray | None, level: int, share: float, mean: float, approach: str) -> np.ndarray:
    """Probabilities of 0, 1, ... units on order at a node.

    Args:
      parent: the same of its supplier; None: never short. level: the supplier's base-stock level.
      share: of the supplier's orders that are this node's. mean: demand over the node's own cover, units.
      approach: one of `APPROACHES`.
    """
    own = _poisson(mean)
    if parent is None or level >= parent.size:
        return own
    owed = np.append(parent[: level + 1].sum(), parent[level + 1 :])
    if approach == "exact":
        return _cut(np.convolve(_thinned(owed, share), own))
    units = np.arange(owed.size)
    late = float(units @ owed)
    total = mean + share * late
    if approach == "metric":
        return _poisson(total)
    variance = mean + share**2 * (float(units**2 @ owed) - late**2) + share * (1 - share) * late
    if variance <= total * (1 + 1e-12):
        return _poisson(total)
    return _negative_binomial(total, variance)


def one_for_one(
    system: TreeSystem, rates: Sequence[float], levels: Sequence[float], *, approach: str = "exact"
) -> Evaluation:
    """What base-stock levels cost: on hand, owed and money per period, in the long run.

    Args:
      rates: ``[K]`` mean Poisson demand per period at each leaf; levels: ``[N]`` whole installation base-stock levels.

    Raises:
      InputError, NumberError, UnknownNameError: lengths, a level that is negative or not whole, the approach.
    """
    if approach not in APPROACHES:
        raise UnknownNameError(f"approach {approach!r} is not one of {', '.join(APPROACHES)}")
    if len(levels) != len(system.parent):
        raise InputError(f"levels has {len(levels)} values, and there are {len(system.parent)} nodes")
    for x in levels:
        if not (0 <= x <= WIDEST and x == math.floor(x)):
            raise NumberError(f"levels: {x:g} is no whole number in [0, {WIDEST}]")
    flow = system.flow(rates)
    laws: list[np.ndarray] = []
    on_hand, owed = np.zeros(len(flow)), np.zeros(len(flow))
    for n, p in enumerate(system.parent):
        above = None if p < 0 else laws[p]
        share = 1.0 if p < 0 or flow[p] == 0 else float(flow[n] / flow[p])
        level = 0 if p < 0 else int(levels[p])
        laws.append(on_order(above, level, share, float(flow[n] * system.covered[n]), approach))
        short = np.arange(laws[n].size) - levels[n]
        on_hand[n] = np.maximum(-short, 0.0) @ laws[n]
        owed[n] = np.maximum(short, 0.0) @ laws[n]
        if system.timing == "ship_first" and system.children[n]:
            on_hand[n] += flow[n]  # what has arrived since it shipped
    cost = float(np.dot(system.holding_cost, on_hand)) + float(np.dot(system.backlog_cost, owed[list(system.leaves)]))
    return Evaluation(on_hand, owed, cost + system.constant_cost(rates))
