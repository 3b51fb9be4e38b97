"""Newsvendor bounds and heuristic for serial systems (Shang and Song 2003).

Write H'_j for the local holding rate of stage j (upstream first, H'_0 = 0), H for the last one, b for the backorder
rate and D_j for the demand that stage j and all after it must cover. The optimal echelon level of stage j lies between
two critical fractiles of D_j,

    (b + H'_{j-1}) / (b + H)    and    (b + H'_{j-1}) / (b + H'_j):

the first would be right if whatever is here were charged at the last stage's rate, the second if everything after this
stage were as cheap as this stage. The heuristic is their average. What the system costs at the least is what it would
cost if stock were everywhere as cheap as at the first stage: one newsvendor with all lead times.

Shang and Song, Management Science 49(5), 2003, https://doi.org/10.1287/mnsc.49.5.618.15149; Snyder and Shen, 2nd
edition, section 6.2.4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from meio_jax.errors import NumberError, UnknownNameError, UnsuitableError
from meio_jax.network import Network
from meio_jax.solvers.clark_scarf import clark_scarf
from meio_jax.solvers.laws import Law, as_law
from meio_jax.solvers.method import Method
from meio_jax.solvers.newsvendor import newsvendor
from meio_jax.solvers.plain import not_average
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.serial import SerialSystem, not_serial, serial_system
from meio_jax.solvers.solution import Solution

__all__ = ["METHODS", "ROUNDINGS", "newsvendor_levels", "shang_song"]

#: What becomes of an average that demand on a lattice cannot reach.
ROUNDINGS = {"down": math.floor, "nearest": lambda x: math.floor(x + 0.5), "up": math.ceil}


def newsvendor_levels(system: SerialSystem, demand: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds ``[N]`` on the optimal echelon base-stock levels, upstream first.

    Raises:
      UnsuitableError: a stage's local rate is not above that of the stage before it.
      ParameterError: demand is not defined over a fraction of a period.
    """
    local = np.asarray(system.holding_cost)
    rates = np.asarray(system.echelon_holding_cost)
    if not np.all(rates > 0):
        j = int(np.argmin(rates))
        raise UnsuitableError(
            f"stage {j + 1} adds {rates[j]:g} to the holding rate: the newsvendor bounds need rates that rise "
            "downstream; `clark_scarf` needs no such thing"
        )
    law, b = as_law(demand), system.backlog_cost
    before = np.append(0.0, local[:-1])
    ahead = [law.over(t) for t in np.cumsum(system.covered[::-1])[::-1]]
    low = [x.ppf(q) for x, q in zip(ahead, (b + before) / (b + local[-1]), strict=True)]
    high = [x.ppf(q) for x, q in zip(ahead, (b + before) / (b + local), strict=True)]
    return np.asarray(low), np.asarray(high)


def shang_song(
    system: Network | SerialSystem,
    demand: Any,
    *,
    weight: float = 0.5,
    rounding: str = "down",
    lane: int | None = None,
) -> Solution:
    """Heuristic echelon base-stock levels of a serial system, and what they cost exactly.

    Args:
      system: a serial `Network`, or plain numbers.
      demand: of one period, independent between periods; see `meio_jax.solvers.laws.as_law`.
      weight: of the upper bound in the average.
      rounding: "down", "nearest" or "up", to a value that the demand can take, where that is on a lattice.
      lane: which lane's numbers of a network.

    Returns:
      The cost of the levels by the Clark-Scarf recursion. ``numbers``: ``lower`` and ``upper`` (levels, upstream
      first), ``newsvendor_bound`` (money per period, no policy costs less). ``lower_bound`` and ``upper_bound`` are the
      recursion's own.

    Raises:
      UnsuitableError: the network is not serial, or a holding rate does not rise downstream.
      NumberError, UnknownNameError: the weight or the rounding.
    """
    if not 0 <= weight <= 1:
        raise NumberError(f"weight = {weight:g} must lie in [0, 1]")
    if rounding not in ROUNDINGS:
        raise UnknownNameError(f"rounding {rounding!r} is not one of {', '.join(ROUNDINGS)}")
    if isinstance(system, Network) and (reason := not_serial(system, lane=lane, mail=False)) is not None:
        raise UnsuitableError(reason)
    plain = serial_system(system, lane=lane) if isinstance(system, Network) else system
    law = as_law(demand)
    low, high = newsvendor_levels(plain, law)
    levels = (1 - weight) * low + weight * high
    if law.step is not None:
        levels = np.asarray([_rounded(x, law.step, rounding) for x in levels])
    exact = clark_scarf(system, law, levels=levels.tolist(), lane=lane)
    return exact.replace(
        method="Shang-Song",
        reference="Shang & Song 2003, Management Science 49(5)",
        numbers={
            "lower": tuple(low.tolist()),
            "upper": tuple(high.tolist()),
            "newsvendor_bound": _newsvendor_bound(plain, law),
        },
    )


def _rounded(x: float, step: float, rounding: str) -> float:
    """A multiple of the step of the demand; what misses one by an error of rounding is one."""
    return ROUNDINGS[rounding](x / step + (-1e-9 if rounding == "up" else 1e-9)) * step


def _newsvendor_bound(system: SerialSystem, law: Law) -> float:
    """Stock at the rate of the first stage wherever it is, so all of it is best at the last one; the rest as it is."""
    ahead = law.over(sum(system.covered))
    early = sum(system.holding_cost[:-1]) if system.timing == "ship_first" else 0.0  # waits a period at each
    return (
        newsvendor(ahead, system.holding_cost[0], system.backlog_cost).cost
        + system.constant_cost(law.mean)
        + (law.mean * early)
    )


def _unfit(problem: Problem) -> str | None:
    reason = not_average(problem) or not_serial(problem.network, mail=False)
    if reason is None and not all(x > 0 for x in serial_system(problem.network).echelon_holding_cost):
        return "the newsvendor bounds need holding rates that rise downstream; `clark_scarf` does not"
    return reason


METHODS = (
    Method(
        "shang_song",
        "Shang-Song newsvendor heuristic for a serial system, its cost exact",
        "exact",
        lambda problem: shang_song(problem.network, problem.laws[0]),
        _unfit,
    ),
)
