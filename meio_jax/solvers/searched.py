"""The method for every network: a rule of echelon levels, tuned by simulation.

It proves nothing, and is there where nothing else fits: random lead times, late reports, several products' worth of
wiring, demand that remembers. Order costs make it an (s, S) rule, else it is base stock.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from meio_jax.policies.base_stock import BaseStock
from meio_jax.policies.reorder import ReorderUpTo
from meio_jax.processes.reporting import oldest_report
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.search import search
from meio_jax.solvers.solution import Solution

__all__ = ["METHODS", "searched"]

#: Periods that count and warm-up of a candidate's simulation, where the horizon is for ever.
PERIODS, WARMUP = 400, 100
#: Candidates, and scenarios that each of them meets.
BUDGET, LANES = 1_000, 64


def searched(problem: Problem, *, policy: Any = None, budget: int = BUDGET, key: Any = None) -> Solution:
    """The best numbers that `meio_jax.solvers.search.search` finds for a rule, and its cost on fresh scenarios.

    Args:
      policy: the rule; None: echelon base stock, or echelon (s, S) where an order costs something.
      budget: candidates to simulate.
      key: consumed; None: seed 0.

    Returns:
      claim "approximate"; ``details["interval"]`` is the 95 % interval of the cost, ``numbers`` has theta.

    Raises:
      InputError: as `search`.
    """
    if policy is None:
        costly = problem.network.fixed_order_cost is not None
        policy = ReorderUpTo(echelon=True) if costly else BaseStock(echelon=True)
    total = problem.criterion == "total"
    periods, warmup = (problem.periods or 1, problem.warmup) if total else (PERIODS, WARMUP)
    found = search(
        problem.network, policy, problem.processes, jax.random.key(0) if key is None else key, budget=budget,
        periods=periods + warmup, warmup=warmup, lanes=LANES, oldest=oldest_report(problem.processes.reporting),
    )  # fmt: skip
    scale = float(periods) if total else 1.0
    interval = None if found.low is None or found.high is None else (found.low * scale, found.high * scale)
    rows = {name: np.asarray(x, float)[..., 0].tolist() for name, x in found.theta.items()}
    return Solution(
        found.cost * scale,
        method=f"{type(policy).__name__} tuned by simulation",
        reference="Hansen 2016, arXiv 1604.00772",
        criterion=problem.criterion,
        claim="approximate",
        numbers=rows,
        policy=policy,
        theta=found.theta,
        details={"interval": interval, "evaluations": found.evaluations, "searched_by": found.method},
    )


def _unfit(problem: Problem) -> str | None:
    if problem.service is not None:
        return "it is a guaranteed-service model; `guaranteed_service` treats it"
    if problem.criterion == "discounted":
        return "a discounted sum is not searched by simulation"
    return None


METHODS = (
    Method(
        "search",
        "echelon levels tuned by simulation, on any network: no proof",
        "approximate",
        searched,
        _unfit,
        effort=2,
    ),
)
