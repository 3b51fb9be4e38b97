"""The best numbers of a rule of the literature, and the cost of the rules that need no tuning, for one location.

Where a problem has a table of states (whole quantities, independent demand) every candidate is costed exactly, by its
Markov chain (`meio_jax.solvers.policy_evaluation`), and whole numbers are searched: steps of 4, 2 and 1 in each number,
in all together and, of 1, in pairs, until no neighbour is better. Base-stock costs are convex under lost sales
(Janakiraman and Roundy 2004, Operations Research 52(5)), so that there this is the best level. Of a rule with several
numbers it is the best that no neighbour betters. The cost of rules of two sources has several such places; they begin
at the best of all differences of the two levels, each with its best levels (Veeraraghavan and Scheller-Wolf 2008).
Elsewhere `search` tunes by simulation, and the claim is "approximate".
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.errors import InputError, UnsuitableError
from meio_jax.policies.base import Policy
from meio_jax.policies.base_stock import BaseStock, CappedBaseStock
from meio_jax.policies.dual_sourcing import CappedDualIndex, DualIndex, SingleIndex, TailoredBaseSurge, two_sources
from meio_jax.policies.myopic import Myopic, lost_sales_costs, myopic_table
from meio_jax.policies.reorder import ReorderLots, ReorderUpTo
from meio_jax.policies.vector_base_stock import VectorBaseStock, one_source
from meio_jax.processes.reporting import oldest_report
from meio_jax.solvers.laws import Law
from meio_jax.solvers.limits import no_table
from meio_jax.solvers.method import Method
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.search import search
from meio_jax.solvers.solution import Solution

__all__ = ["METHODS", "best_rule", "myopic", "probabilities", "standard_vector_base_stock", "vector_base_stock"]

#: Candidates that are costed exactly at most.
BUDGET = 600
#: States that a candidate may reach.
CANDIDATE = 500_000
#: Relative width of the interval around the cost of a candidate, while others are still looked at.
LOOSE = 1e-7
#: Periods and warm-up of a simulation, where it has to be one and the horizon is for ever.
PERIODS, WARMUP = 2000, 200


def best_rule(
    problem: Problem,
    policy: Any,
    *,
    theta0: Any = None,
    budget: int = BUDGET,
    tolerance: float = 1e-9,
    key: Any = None,
) -> Solution:
    """The best numbers of a rule, by the problem's criterion.

    Args:
      policy: a rule whose theta is a dictionary of arrays ``[rows, 1]`` and that has `start`.
      theta0: where to begin; None: the policy's ``start`` for the mean and the standard deviation of demand.
      budget: candidates to cost.
      tolerance: relative width of the proven interval around the cost that is returned, where it is exact.
      key: for the simulation, where there has to be one; consumed. None: seed 0.

    Returns:
      claim "exact": the cost is that of the rule with these numbers; "approximate": simulated, and
      ``details["interval"]`` is its confidence interval. ``numbers`` has theta as plain numbers.

    Raises:
      UnsuitableError: the problem can neither be costed exactly nor simulated as it is asked (a discounted sum).
      InputError: the policy does not fit the network.
    """
    reason = no_table(problem)
    if reason is None:
        return _exactly(problem, policy, theta0, budget, tolerance)
    if problem.criterion == "discounted":
        raise UnsuitableError(f"a discounted cost is not simulated here, and {reason}")
    return _simulated(problem, policy, theta0, budget, jax.random.key(0) if key is None else key)


def _exactly(problem: Problem, policy: Any, theta0: Any, budget: int, tolerance: float) -> Solution:
    theta = _start(problem, policy) if theta0 is None else theta0
    if any(np.shape(v)[-1] != 1 for v in theta.values()):
        raise InputError("theta0 must have one lane")
    names = [name for name in theta if name in policy.whole]
    shapes = [np.shape(theta[k]) for k in names]
    cuts = np.cumsum([math.prod(s) for s in shapes])[:-1]

    def numbers(x: tuple[int, ...]) -> Any:
        parts = np.split(np.asarray(x, float), cuts)
        dtype = problem.network.holding_cost.dtype
        return theta | {k: jnp.asarray(p.reshape(s), dtype) for k, p, s in zip(names, parts, shapes, strict=True)}

    known: dict[tuple[int, ...], float] = {}
    cut_off = ""

    def cost(x: tuple[int, ...]) -> float:
        nonlocal cut_off
        if x not in known:
            try:
                if "quantity" in names and not _steady(problem, numbers(x)["quantity"]):
                    raise UnsuitableError("the quantity is not below the mean demand: stock grows for ever")
                known[x] = policy_cost(problem, policy, numbers(x), tolerance=LOOSE, max_states=CANDIDATE).cost
            except UnsuitableError as reason:  # such as stock that grows for ever
                known[x], cut_off = math.inf, str(reason)
        return known[x]

    def more() -> bool:
        return len(known) < budget

    starts = _first(theta, names, policy if theta0 is None else None)
    if len(starts) > 1:  # all levels together, their differences kept
        together = [int(k in ("expedited", "regular")) for k in names for _ in range(theta[k].size)]
        starts = [
            _descend(x, cost, more, lambda size: [tuple(s * size * t for t in together) for s in (1, -1)])
            for x in starts
        ]
    here = min(starts, key=cost)
    if not math.isfinite(cost(here)):
        raise UnsuitableError(f"none of the numbers to begin with can be costed: {cut_off}")
    here = _descend(here, cost, more, lambda size: _steps(len(here), size))
    best = policy_cost(problem, policy, numbers(here), tolerance=tolerance)
    return best.replace(
        method=f"best {type(policy).__name__} by exact evaluation",
        numbers=_plain(numbers(here)),
        details={**best.details, "evaluations": len(known), "finished": len(known) < budget},
    )


def _steady(problem: Problem, quantity: Any) -> bool:
    """Whether stock has an end where so much arrives in each period whatever happens."""
    return float(np.asarray(quantity)[0, 0]) < sum(law.mean for law in problem.laws)


def _first(theta: Any, names: list[str], policy: Any) -> list[tuple[int, ...]]:
    """Where to begin: at theta, and for rules of two levels of one location at all their differences up to its own."""
    whole = {k: np.floor(np.asarray(theta[k], float).ravel() + 0.5).astype(int) for k in names}
    starts = [whole]
    if isinstance(policy, SingleIndex | DualIndex):
        apart = int((whole["regular"] - whole["expedited"]).max())
        starts += [whole | {"regular": whole["expedited"] + k} for k in range(max(apart, 0))]
    return [tuple(int(v) for k in names for v in start[k]) for start in starts]


def _descend(
    here: tuple[int, ...],
    cost: Callable[[tuple[int, ...]], float],
    more: Callable[[], bool],
    steps: Callable[[int], Iterable[tuple[int, ...]]],
) -> tuple[int, ...]:
    """Whole numbers that no neighbour betters, from ``steps`` of size 4 down to 1."""
    for size in (4, 2, 1):
        moved = True
        while moved and more():
            moved = False
            for step in steps(size):
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                while more() and cost(there) < cost(here) - 10 * LOOSE * abs(cost(here)):
                    here, moved = there, True
                    there = tuple(a + b for a, b in zip(here, step, strict=True))
    return here


def _steps(count: int, size: int) -> Iterator[tuple[int, ...]]:
    """One number up or down, all of them, and two of them, the same way or against each other."""
    for k in range(count):
        for sign in (1, -1):
            yield tuple(sign * size * (j == k) for j in range(count))
    if count > 1:
        yield from ((size,) * count, (-size,) * count)
    if size > 1:
        return
    for a, b in itertools.combinations(range(count), 2):
        for one, two in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            yield tuple(one * (j == a) + two * (j == b) for j in range(count))


def _start(problem: Problem, policy: Any) -> Any:
    mean, sd = (np.asarray([[getattr(law, k)] for law in problem.laws]) for k in ("mean", "sd"))
    return policy.start(problem.network, jnp.asarray(mean), jnp.asarray(sd))


def _simulated(problem: Problem, policy: Any, theta0: Any, budget: int, key: Any) -> Solution:
    total = problem.criterion == "total"
    periods, warmup = (problem.periods or 1, problem.warmup) if total else (PERIODS, WARMUP)
    found = search(
        problem.network, policy, problem.processes, key, theta0=theta0, budget=budget, periods=periods + warmup,
        warmup=warmup, oldest=oldest_report(problem.processes.reporting),
    )  # fmt: skip
    scale = float(periods) if total else 1.0
    interval = None if found.low is None or found.high is None else (found.low * scale, found.high * scale)
    return Solution(
        found.cost * scale,
        method=f"best {type(policy).__name__} by simulation",
        criterion=problem.criterion,
        claim="approximate",
        numbers=_plain(found.theta),
        policy=policy,
        theta=found.theta,
        details={"interval": interval, "evaluations": found.evaluations, "finished": True},
    )


def _plain(theta: Any) -> dict[str, Any]:
    """Numbers as a reader wants them: one as a number, several as a list."""
    rows = {k: np.asarray(v, float)[..., 0].ravel().tolist() for k, v in theta.items()}
    return {k: v[0] if len(v) == 1 else v for k, v in rows.items()}


def probabilities(law: Law) -> np.ndarray:
    """``[K]`` P(D = 0), P(D = 1), ... of a law on whole numbers."""
    first, p = law.lattice(1.0)
    return np.concatenate([np.zeros(round(first)), p])


def myopic(problem: Problem, *, steps: int = 1) -> Solution:
    """The myopic rule for lost sales, or with ``steps=2`` myopic-2, and its exact cost.

    Raises:
      UnsuitableError: the problem has no table of states.
      InputError: the network is not one location that loses all unmet demand.
    """
    reason = no_table(problem)
    if reason is not None:
        raise UnsuitableError(f"the myopic rules look the demand up in a table: {reason}")
    p = probabilities(problem.laws[0])
    policy: Policy
    if steps == 1:
        policy = Myopic()
        theta: Any = policy.numbers(problem.network, p)
    else:
        policy, theta = myopic_table(problem.network, p, steps=steps)
    found = policy_cost(problem, policy, theta)
    return found.replace(method="myopic" if steps == 1 else f"myopic-{steps}", reference="Morton 1971; Zipkin 2008")


def standard_vector_base_stock(problem: Problem) -> Solution:
    """Morton's bounds on the optimal order as levels: s_l is the backorder system's level for L - l + 1 periods.

    Zipkin (2008), equation (5): the least s with P(demand of these periods <= s) >= p / (p + h), p net of a unit's
    cost.

    Raises:
      UnsuitableError, InputError: as `myopic`.
    """
    reason = no_table(problem)
    if reason is not None:
        raise UnsuitableError(f"the levels are read from a table of the demand: {reason}")
    network = problem.network
    holding, penalty = (float(np.asarray(x)[0]) for x in lost_sales_costs(network))
    lead, late = one_source(network), int(network.wiring.timing != "demand_first")
    total, levels = np.ones(1), []
    for periods in range(1, lead + late + 1):
        total = np.convolve(total, probabilities(problem.laws[0]))
        if periods >= late:
            levels.append(int(np.searchsorted(np.cumsum(total), penalty / (penalty + holding))))
    level = jnp.asarray(np.asarray(levels[::-1], float)[:, None], network.holding_cost.dtype)
    found = policy_cost(problem, VectorBaseStock(), {"level": level})
    return found.replace(
        method="standard vector base-stock", reference="Morton 1969, 1971; Zipkin 2008", numbers={"level": levels[::-1]}
    )


def vector_base_stock(problem: Problem) -> Solution:
    """The best vector base-stock rule that neighbours cannot better, from the best capped base-stock rule on."""
    capped = best_rule(problem, CappedBaseStock())
    lead = one_source(problem.network)
    level, cap = (float(np.asarray(capped.theta[k])[0, 0]) for k in ("level", "cap"))
    levels = np.asarray([level] * max(lead, 1) + [cap] * (lead > 0))
    return best_rule(
        problem, VectorBaseStock(), theta0={"level": jnp.asarray(levels[:, None], problem.network.holding_cost.dtype)}
    )


@dataclasses.dataclass(frozen=True)
class _Fit:
    """What a rule asks of a network."""

    sources: int = 1
    fixed_cost: bool = False
    lost: bool = False

    def unfit(self, problem: Problem) -> str | None:
        w = problem.network.wiring
        if w.n_nodes != 1 or w.n_customers != 1:
            return "it tunes a rule of one location with one customer; `search` tunes levels on any network"
        if w.n_inner != self.sources:
            some = "one source" if self.sources == 1 else "two sources"
            return f"it needs {some}, and there are {w.n_inner}; " + (
                "best_dual_index takes two" if w.n_inner == 2 else "best_base_stock takes one"
            )
        fixed = problem.network.fixed_order_cost is not None
        if fixed != self.fixed_cost and self.sources == 1:
            return (
                "orders have a fixed cost, which this rule pays in every period; best_s_S does not"
                if fixed
                else "no order has a fixed cost; best_base_stock needs no reorder point"
            )
        try:
            if self.sources == 2:
                two_sources(problem.network)
            if self.lost:
                one_source(problem.network)
                lost_sales_costs(problem.network)
        except InputError as error:
            return str(error)
        reason = no_table(problem)
        if reason is not None and (self.lost or problem.criterion == "discounted"):
            return reason
        return None


def _tuned(name: str, title: str, policy: Any, fit: _Fit) -> Method:
    return Method(name, title, "exact", lambda problem: best_rule(problem, policy), fit.unfit, 2)


def _table_fit(problem: Problem) -> str | None:
    """Why there is no table of the myopic-2 rule."""
    reason = _Fit(lost=True).unfit(problem)
    if reason is None and (problem.network.wiring.lead_time[0] < 1 or problem.network.wiring.timing == "demand_first"):
        reason = "it is made for lead times from 1 on and demand that is not seen before ordering; myopic is not"
    return reason


METHODS: tuple[Method, ...] = (
    _tuned("best_base_stock", "the best base-stock level, costed exactly", BaseStock(), _Fit()),
    _tuned("best_capped_base_stock", "the best capped base-stock rule", CappedBaseStock(), _Fit()),
    _tuned("best_s_S", "the best (s, S) rule, with lost sales as well", ReorderUpTo(), _Fit(fixed_cost=True)),
    _tuned("best_s_nQ", "the best (s, nQ) rule, with lost sales as well", ReorderLots(), _Fit(fixed_cost=True)),
    _tuned(
        "best_modified_s_S_q", "the best (s, S) rule with a largest order", ReorderUpTo(capped=True),
        _Fit(fixed_cost=True),
    ),
    _tuned("best_single_index", "the best single-index rule of two sources", SingleIndex(), _Fit(sources=2)),
    _tuned("best_dual_index", "the best dual-index rule of two sources", DualIndex(), _Fit(sources=2)),
    _tuned("best_capped_dual_index", "the best capped dual-index rule", CappedDualIndex(), _Fit(sources=2)),
    _tuned("best_tailored_base_surge", "the best tailored base-surge rule", TailoredBaseSurge(), _Fit(sources=2)),
    Method("myopic", "lost sales: best for the period of arrival", "exact", myopic, _Fit(lost=True).unfit, 1),
    Method(
        "myopic_2", "lost sales: best for the period of arrival and the next", "exact",
        lambda problem: myopic(problem, steps=2), _table_fit, 1,
    ),
    Method(
        "standard_vector_base_stock", "lost sales: Morton's levels for partial sums of the pipeline", "exact",
        standard_vector_base_stock, _Fit(lost=True).unfit, 1,
    ),
    Method(
        "vector_base_stock", "lost sales: the best levels for partial sums of the pipeline", "exact", vector_base_stock,
        _Fit(lost=True).unfit, 2,
    ),
)  # fmt: skip
