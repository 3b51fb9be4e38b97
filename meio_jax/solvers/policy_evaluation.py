"""What a given policy costs, exactly: its Markov chain on the states that it can reach, from the simulator's own
`transition`."""

from __future__ import annotations

from typing import Any

from meio_jax.policies.base import Policy
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution

__all__ = ["policy_cost"]


def policy_cost(
    problem: Problem,
    policy: Policy,
    theta: Any,
    *,
    tail: float = 1e-12,
    tolerance: float = 1e-9,
    max_states: int = 2_000_000,
) -> Solution:
    """The exact cost of a stationary policy without memory, by the problem's criterion (claim "exact").

    Args:
      problem: integer network, fixed lead times, independent laws of demand (``problem.laws``). "average": cost per
        period in the long run. "discounted": from the network's initial state; with ``periods`` the sum is cut there,
        and ``warmup`` periods are played first. "total": the sum over ``periods``.
      policy, theta: any `Policy` of the package that decides from the present picture alone.
      tail: probability that may be cut off each customer's law of demand.
      tolerance: width of the proven interval around the cost, relative to it.
      max_states: refuse more reachable states than this.

    Raises:
      UnsuitableError: the network, the demand or the policy is not of this kind, or too many states can be reached.
      NonFiniteError: the policy orders NaN.
    """
    raise NotImplementedError
