"""What a given policy costs, exactly: its Markov chain on the states that it can reach, from the simulator's own
`transition`.
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import NonFiniteError, UnsuitableError
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.observation import observe
from meio_jax.policies.base import Policy
from meio_jax.scenario import Shock
from meio_jax.simulator import State, place_orders, transition
from meio_jax.solvers.limits import Demand, demand_of, no_table, start_of
from meio_jax.solvers.markov import Chain, average_cost, chain_of, discounted_cost, finite_cost, stationary
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.reachable import LANES, double
from meio_jax.solvers.solution import Solution
from meio_jax.solvers.state_space import Layout, layout_of

__all__ = ["policy_cost"]

#: States that no path from the start reaches with a greater probability than this are left out; the next is tried where
#: the chain spends time at the edge of what is kept.
PRUNE = (1e-24, 1e-60, 1e-150)
#: Long-run probability of a step into what was left out.
LEAVING = 1e-11
#: Steps away from the start after which the states are taken to have no end.
ROUNDS = 20_000
#: Lanes of a round with few states.
FEW = 1 << 10


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
      tolerance: width of the proven interval around the cost, relative to it (``details["interval"]``).
      max_states: refuse more reachable states than this.

    Raises:
      UnsuitableError: the network, the demand or the policy is not of this kind, or too many states can be reached.
      NonFiniteError: the policy orders NaN.
    """
    reason = no_table(problem)
    if reason is not None:
        raise UnsuitableError(f"policy_cost cannot treat this problem: {reason}")
    begun = time.perf_counter()
    with jax.enable_x64(True):
        network = double(problem.network)
        if jax.tree.leaves(policy.memory(network, 1)):
            raise UnsuitableError(f"{_name(policy)} remembers the past, which is no part of the state; use 'search'")
        chain, left, layout = _settled(network, policy, theta, demand_of(problem.laws, tail), max_states)
    low, high = _bounds(problem, chain, tolerance)
    return Solution(
        (low + high) / 2,
        method="policy evaluation",
        reference="Puterman 1994, sections 6.1 and 8.2",
        criterion=problem.criterion,
        policy=policy,
        theta=theta,
        details={
            "states": len(chain.cost),
            "interval": (low, high),
            "leaving": left,
            "coordinates": tuple(c.name for c in layout.coordinates),
            "seconds": time.perf_counter() - begun,
        },
    )


def _bounds(problem: Problem, chain: Chain, tolerance: float) -> tuple[float, float]:
    """Bounds on the cost by the problem's criterion; equal where it is a finite sum."""
    if problem.criterion == "average":
        return average_cost(chain, tolerance)
    if problem.periods is None:
        return discounted_cost(chain, problem.discount, tolerance, problem.warmup)
    discount = problem.discount if problem.criterion == "discounted" else 1.0
    cost = finite_cost(chain, problem.periods, discount, problem.warmup)
    return cost, cost


class _Told(Exception):
    """The policy tells apart what these coordinates do not."""


class _Blind(Exception):
    """The policy orders NaN: perhaps because it reads a demand that these coordinates do not hold."""


def _settled(
    network: Network, policy: Policy, theta: Any, demand: Demand, max_states: int
) -> tuple[Chain, float, Layout]:
    """The chain, on merged states where the policy does not tell them apart, with enough of them; and the probability
    of a step into what was left out.
    """
    for merge in (True, False):
        layout, left, states = layout_of(network, merge=merge), 1.0, 0
        try:
            for prune in PRUNE:
                chain, edge = _explore(network, layout, policy, theta, demand, prune, max_states)
                left, states = float(stationary(chain) @ edge), len(edge)
                if left <= LEAVING:
                    return chain, left, layout
        except _Told:
            continue
        except _Blind:
            if merge:
                continue
            raise NonFiniteError(
                f"{_name(policy)} orders NaN in some state, or reads last period's demand, which is not in the state"
            ) from None
        raise UnsuitableError(
            f"under this policy stock or backlog has no end: {left:.1e} of the time is spent at the edge of "
            f"{states} states; order on average what is asked for, or use 'search'"
        )
    raise UnsuitableError(
        f"{_name(policy)} decides from more than the present state: from the period, from chance, or from the last "
        "period's demand; use 'search'"
    )


def _explore(
    network: Network, layout: Layout, policy: Policy, theta: Any, demand: Demand, prune: float, max_states: int
) -> tuple[Chain, np.ndarray]:
    """The chain on the states that some path from the start reaches with probability ``prune`` at least, and ``[S]``
    the probability of a step out of them; such a step stays where it is.

    Raises:
      _Told: the orders are not a function of the coordinates.
    """
    w = network.wiring
    weights = np.random.default_rng(7).integers(1, 2**62, len(layout.slots)) * 2 + 1
    p, values = demand.probabilities, demand.values
    sizes = [max(1, lanes // len(p)) for lanes in (FEW, LANES)]  # two programs: many chains are short
    play = functools.partial(
        _play, network, layout, policy, theta, demand=jnp.asarray(values), weights=jnp.asarray(weights)
    )
    with np.errstate(over="ignore"):
        lanes = len(p) if w.timing == "demand_first" else 1
        x = np.asarray(start_of(network, layout, values[:, :lanes]))
        marks, first, start = np.unique((x.T.astype(np.int64) * weights).sum(1), return_index=True, return_inverse=True)
        x = x[:, first]
    mass = np.bincount(start.reshape(-1), weights=p if lanes > 1 else np.ones(1))
    chance = np.log(np.maximum(mass, 1e-300))
    known, expanded, parts = np.sort(marks), [marks], []
    rounds = 0
    while x.shape[1]:
        found = []
        chunk = next((size for size in sizes if x.shape[1] <= size), sizes[-1])
        for at in range(0, x.shape[1], chunk):
            part = x[:, at : at + chunk]
            n = part.shape[1]
            padded = np.resize(part.T, (chunk, len(part))).T
            out = play(x=jnp.asarray(padded, jnp.float64), period=jnp.asarray(rounds % 97 + 1, jnp.int32))
            after, mark, cost, ordered, told = (np.asarray(v) for v in out)
            if np.isnan(ordered[:n]).any():
                raise _Blind
            if told[:n].any():
                raise _Told
            parts.append((mark[:n], cost[:n] @ p))
            likely = chance[at : at + chunk][:, None] + np.log(p)
            found.append(_likeliest(after[:, :n].reshape(len(part), -1), mark[:n].ravel(), likely.ravel()))
        after, mark, likely = (np.concatenate(v, -1) for v in zip(*found, strict=True))
        after, mark, likely = _likeliest(after, mark, likely)
        place = np.minimum(np.searchsorted(known, mark), len(known) - 1)
        new = (known[place] != mark) & (likely >= math.log(prune))
        x, chance = after[:, new], likely[new]
        known = np.union1d(known, mark[new])
        expanded.append(mark[new])
        rounds += 1
        if len(known) > max_states or rounds > ROUNDS:
            raise UnsuitableError(
                f"under {_name(policy)} at least {len(known)} states can be reached (max_states={max_states}); "
                "use 'search' or a simulation"
            )
    marks = np.concatenate(expanded)
    order = np.argsort(marks)
    mark, cost = (np.concatenate(v) for v in zip(*parts, strict=True))
    place = np.minimum(np.searchsorted(marks, mark, sorter=order), len(marks) - 1)
    after = order[place]
    out = marks[after] != mark
    after = np.where(out, np.arange(len(marks))[:, None], after)
    start_law = np.pad(mass, (0, len(marks) - len(mass)))
    return chain_of(after, p, cost, start_law), out @ p


def _likeliest(x: np.ndarray, mark: np.ndarray, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the points ``[D, n]`` with one mark the likeliest."""
    order = np.lexsort((-chance, mark))
    first = np.ones(len(order), bool)
    first[1:] = mark[order][1:] != mark[order][:-1]
    kept = order[first]
    return x[:, kept], mark[kept], chance[kept]


@functools.partial(jax.jit, static_argnames=("layout", "policy"))
def _play(
    network: Network, layout: Layout, policy: Policy, theta: Any, x: Array, demand: Array, weights: Array, period: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """One period from states ``[D, n]`` under demands ``[C, W]``.

    Returns:
      Next coordinates ``[D, n, W]``, their marks, costs, sums of orders ``[n, W]``, and ``[n, W]`` whether the policy
      would order otherwise in the true next state, in another period, than in the state that stands for it.
    """
    w = network.wiring
    n, count = x.shape[1], demand.shape[1]
    wide = jnp.repeat(x, count, axis=1)
    lanes = jnp.tile(demand, (1, n))
    dtype = network.holding_cost.dtype

    known = w.timing == "demand_first" and not any(slot.kind == "net" for slot in layout.slots)

    def decide(state: State, asked: Array, seed: int) -> tuple[Array, Array | None]:
        seen = observe(network, state, Shock(demand=asked))
        if not known:  # last period's demand is no part of the state: whoever reads it gets NaN
            seen = seen.replace(demand=jnp.full_like(seen.demand, jnp.nan))
        decision, _ = policy.apply(network, theta, policy.memory(network, n * count), seen, jax.random.key(seed))
        return place_orders(network, decision.orders.astype(dtype)), decision.allocation

    state, asked = layout.write(network, wide, lanes)
    orders, allocation = decide(state, asked, 0)
    after, flows = transition(network, state, orders, Shock(demand=asked), allocation)
    next_x = layout.read(network, after, lanes)
    # What the policy does in the state that really follows, and in the one that stands for it.
    real, real_allocation = decide(after.replace(t=period), lanes, 0)
    stands, its_demand = layout.write(network, next_x, lanes)
    same, same_allocation = decide(stands, its_demand, 1)
    told = jnp.any(real != same, axis=0)
    if real_allocation is not None and same_allocation is not None:
        told = told | jnp.any(real_allocation != same_allocation, axis=0)
    whole = next_x.astype(jnp.int64)
    shape = (n, count)
    return (
        whole.reshape(-1, *shape),
        (whole * weights[:, None]).sum(0).reshape(shape),
        total_cost(network, flows).reshape(shape),
        orders.sum(0).reshape(shape),
        told.reshape(shape),
    )


def _name(policy: Policy) -> str:
    return type(policy).__name__
