"""What a learned policy costs, as sharply as its system allows, and what that is compared with."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from experiments.gaps.families import Family
from meio_jax.errors import UnsuitableError
from meio_jax.evaluate import t_interval
from meio_jax.instances import Instance, gym_invmgmt
from meio_jax.kpis import total_cost
from meio_jax.policies.base import Policy
from meio_jax.processes.reporting import oldest_report
from meio_jax.rollout import rollout
from meio_jax.solvers.methods import solve
from meio_jax.solvers.played import played
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.searched import searched
from meio_jax.solvers.solution import Solution

__all__ = ["Reference", "costs_of", "profits_of", "reference_of"]

#: Of final simulations: replications, periods that count and periods before them, and a seed that no learner uses.
LANES, PERIODS, WARMUP, SEED = 2048, 2000, 200, 77_001
#: States up to which a policy's cost is computed instead of simulated.
STATES = 20_000
#: Candidates that a classical rule is tuned with, each on 64 lanes x 1,200 periods.
BUDGET = 3000
#: Episodes of our own for a problem that ends.
EPISODES = 1000


@dataclasses.dataclass(frozen=True)
class Reference:
    """What gaps are measured from.

    what: "optimum", or the rule. cost: by the problem's criterion, positive where lower is better. policy, theta: a
    partner for simulations, played on the same scenarios; partner_cost: what it costs, known apart from them (None:
    found in the same simulation). rules: all that were tuned, with their costs.
    """

    what: str
    cost: float
    policy: Policy | None = None
    theta: Any = None
    partner_cost: float | None = None
    rules: tuple[tuple[str, float], ...] = ()


def reference_of(family: Family, instance: Instance) -> Reference:
    """The optimum, proven or published, or the best rule that a search finds."""
    problem = instance.problem
    if family.reference == "tuned rule":
        return _best_rule(problem)
    if family.reference == "hindsight":
        system = problem.network
        return Reference("hindsight", gym_invmgmt.oracle(system))
    known = instance.known_optimum
    if instance.family in ("zipkin", "dual_sourcing", "de_moor", "bijvank"):
        assert known is not None
        rules = [k for k in instance.known if k.rule is not None]
        if not rules:
            return Reference("optimum", known)
        best = min(rules, key=lambda k: k.cost)
        assert best.rule is not None
        policy, theta = best.rule()
        if problem.criterion == "discounted":
            return Reference("optimum", known)
        return Reference("optimum", known, policy, theta, best.cost)
    found = solve(problem)
    if found.claim != "optimal":
        raise UnsuitableError(f"{instance.id}: no optimum is known, and none was proven ({found.claim})")
    return Reference("optimum", found.cost, found.policy, found.theta, found.cost)


def _best_rule(problem: Problem) -> Reference:
    from meio_jax.policies import BaseStock, CappedBaseStock

    tuned: dict[str, Solution] = {}
    rules = {"echelon base stock": BaseStock(echelon=True), "base stock": BaseStock(), "capped": CappedBaseStock()}
    for name, rule in rules.items():
        tuned[name] = searched(problem, policy=rule, budget=BUDGET, key=jax.random.key(4))
    best = min(tuned, key=lambda name: tuned[name].cost)
    rows = tuple((name, float(found.cost)) for name, found in tuned.items())
    return Reference(f"tuned {best}", tuned[best].cost, tuned[best].policy, tuned[best].theta, rules=rows)


@dataclasses.dataclass(frozen=True)
class Forgetful:
    """A policy that is shown the mean instead of the newest demand.

    Where demand is independent from period to period the newest one says nothing that the state does not, and without
    it the policy is one of the state alone, whose cost can be computed exactly.
    """

    policy: Policy
    theta_has_lanes: ClassVar[bool] = False

    def init(self, key: Any, network: Any) -> Any:
        return self.policy.init(key, network)

    def memory(self, network: Any, lanes: int) -> Any:
        return self.policy.memory(network, lanes)

    def apply(self, network: Any, theta: Any, memory: Any, seen: Any, key: Any) -> Any:
        mean = jnp.broadcast_to(theta.scale.demand, seen.demand.shape).astype(seen.demand.dtype)
        return self.policy.apply(network, theta, memory, seen.replace(demand=mean), key)


def costs_of(
    problem: Problem, policy: Policy, thetas: list[Any], reference: Reference, *, exact: bool = True
) -> list[dict[str, Any]]:
    """For each theta: ``cost``, ``gap`` in percent of the reference, ``error`` (half a 95 % interval of the gap,
    0 where it is exact), ``how`` and ``seconds``.
    """
    out = []
    base = None
    for theta in thetas:
        begun = time.perf_counter()
        row: dict[str, Any]
        try:
            if not exact:
                raise UnsuitableError("simulate")
            cost = policy_cost(problem, Forgetful(policy), theta, tail=1e-9, max_states=STATES).cost
            row = {"cost": cost, "gap": _percent(cost - reference.cost, reference.cost), "error": 0.0, "how": "exact"}
        except UnsuitableError:
            if problem.criterion == "discounted":  # no pairs, but many lanes
                found = played(problem, policy, theta, jax.random.key(SEED), lanes=8 * LANES)
                half = 0.0 if found.high is None else found.high - found.mean
                row = {"cost": found.mean, "gap": _percent(found.mean - reference.cost, reference.cost),
                       "error": _percent(half, reference.cost), "how": "simulated"}  # fmt: skip
            else:
                mine = _lanes(problem, policy, theta)
                how, centre = "simulated", reference.cost
                if reference.policy is not None:
                    base = _lanes(problem, reference.policy, reference.theta) if base is None else base
                    how = "simulated in pairs"
                    known = reference.partner_cost
                    mine, centre = (mine - base + known, centre) if known is not None else (mine, base)
                apart, cost = mine - centre, float(mine.mean())
                low, high = t_interval(apart, 0.95)
                assert low is not None and high is not None
                row = {"cost": cost, "gap": _percent(apart.mean(), np.mean(centre)),
                       "error": _percent((high - low) / 2, np.mean(centre)), "how": how}  # fmt: skip
        out.append({**row, "seconds": time.perf_counter() - begun})
    return out


def _percent(difference: float, of: Any) -> float:
    return 100.0 * float(difference) / abs(float(of))


def _lanes(problem: Problem, policy: Policy, theta: Any) -> np.ndarray:
    """``[B]`` cost by the criterion (average or total) in each replication, on the same scenarios every time."""
    total = problem.criterion == "total"
    periods, warmup = (problem.periods or 1, problem.warmup) if total else (PERIODS, WARMUP)
    costs = rollout(
        problem.network, policy, theta, problem.processes, jax.random.key(SEED), periods=periods + warmup,
        lanes=LANES, warmup=warmup, measure=total_cost, block=512, oldest=oldest_report(problem.processes.reporting),
    ).totals  # fmt: skip
    return np.asarray(costs, np.float64) / (1.0 if total else periods)


@functools.partial(jax.jit, static_argnames=("policy",))
def _decide(network: Any, policy: Policy, theta: Any, seen: Any) -> Any:
    return policy.apply(network, theta, policy.memory(network, 1), seen, jax.random.key(0))[0].orders


def profits_of(problem: Problem, policy: Policy, theta: Any) -> dict[str, Any]:
    """gym-invmgmt: profit on the ten published seeds, over `EPISODES` of our own, and the time of one decision."""
    network = problem.network
    key = jax.random.key(SEED)
    given = gym_invmgmt.opened(network, gym_invmgmt.ten_seeds())
    ten = -np.asarray(
        rollout(network, policy, theta, given, key, warmup=problem.warmup, measure=total_cost).totals, np.float64
    )
    own = -np.asarray(
        rollout(
            network, policy, theta, problem.processes, jax.random.fold_in(key, 1), lanes=EPISODES,
            periods=problem.warmup + (problem.periods or 0), warmup=problem.warmup, measure=total_cost,
        ).totals, np.float64,
    )  # fmt: skip
    from meio_jax.observation import observe
    from meio_jax.scenario import Shock
    from meio_jax.simulator import initial_state

    state = initial_state(network, 1)
    supply = jnp.ones((network.wiring.n_inner, 1))
    seen = observe(network, state, Shock(demand=state.demand, available=supply))
    _decide(network, policy, theta, seen).block_until_ready()
    begun = time.perf_counter()
    for _ in range(200):
        np.asarray(_decide(network, policy, theta, seen))
    low, high = t_interval(own, 0.95)
    return {
        "profit": float(ten.mean()), "own": float(own.mean()), "own_low": low, "own_high": high,
        "decision_ms": 1e3 * (time.perf_counter() - begun) / 200,
    }  # fmt: skip
