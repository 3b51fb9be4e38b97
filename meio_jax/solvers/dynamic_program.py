"""Exact dynamic programming on the simulator's own `transition`: the optimal policy of a small network, as a table.

For whole quantities, fixed lead times and independent demand: lost sales with a lead time (Zipkin 2008, Operations
Research 56(5)), dual sourcing, perishables, fixed order costs, small multi-echelon systems, partial backorders. Nothing
of the physics is written again: see `meio_jax.solvers.reachable`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import ndimage

from meio_jax.errors import UnsuitableError
from meio_jax.network import Network
from meio_jax.policies.table import TablePolicy
from meio_jax.solvers.iteration import Product, Split, backward, iterate, split
from meio_jax.solvers.limits import Demand, Limits, box_of, demand_of, guess, no_table, order_values, states_within
from meio_jax.solvers.markov import distribution_after, finite_cost, stationary
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.reachable import Table, double, explore, position_per_order
from meio_jax.solvers.solution import Solution
from meio_jax.solvers.state_space import Layout, layout_of, number

__all__ = ["METHODS", "value_iteration"]

#: Bytes that the table of next states may take.
MEMORY = 2.5e9
#: Estimated number of states beyond which `unfit` does not even try; the estimate is generous.
TOO_MANY = 2e8
#: Long-run share of time that may be spent at a limit before it is moved out.
AT_LIMIT = 1e-6
#: Probability per period of leaving the box that is let through.
LEAVING = 1e-9
#: Relative tolerance while limits are still being looked for.
LOOSE = 1e-4
#: Times that limits may grow.
GROWTHS = 12
#: Cells of the table that is handed back.
CELLS = 4_000_000
_REFERENCE = "Odoni 1969; MacQueen 1966; Puterman 1994, sections 6.3 and 8.5"


def value_iteration(
    problem: Problem,
    *,
    order: Any = None,
    position: Any = None,
    backlog: Any = None,
    tail: float = 1e-12,
    tolerance: float = 1e-7,
    confirm: bool = False,
    split: bool = True,
    merge: bool = True,
) -> Solution:
    """The optimal policy of a small network and its cost, by the problem's criterion.

    Orders are decided; scarce stock is shared out by the network's own rule. Where a node has several outgoing arcs a
    policy that also decides the allocation may do better, so there the claim is "exact" and ``details["bounds"]`` are
    those on the best of the policies that leave it to the rule.

    "average": cost per period in the long run, bounded from both sides. "discounted": from the network's initial state.
    Where the sum is cut after ``periods``, or a ``warmup`` is played first, the policy is the optimal one for ever
    and its cost is that of the periods that count (claim "exact"; ``details["bounds"]`` are those of the endless sum
    from the initial state). "total": the best plan for ``periods``, a table for each period.

    Args:
      problem: integer network, fixed lead times, whole independent demand (``problem.laws``).
      order: ``[I]`` or one number: the largest order on each inner arc. None: found, see below.
      position: ``[M]`` or one number: the largest echelon position after ordering, units of the node's product.
      backlog: ``[C]`` or one number: the most that a customer may be owed; what exceeds it is forgiven.
      tail: probability cut off each law of demand; its effect on the cost is within ``details["cut_effect"]``.
      tolerance: distance of the bounds, relative to the cost.
      confirm: solve once more with all limits that were found moved out, and check that the bounds overlap.
      split: False plays every order in the general form (slower, the same numbers).
      merge: False counts states apart that have the same future (slower, the same numbers).

    Limits that are not given are guessed from the demand and grown until the optimal policy, in the long run, spends no
    more than a share of 1e-6 of the time at them and leaves the box with a probability below 1e-9;
    ``details["limits"]`` has them. Where a limit that was given binds, the claim is "exact": a better policy may lie
    beyond it. The cost of the policy that is handed back is exact all the same, up to ``details["leaving"]``.

    Raises:
      UnsuitableError: the network or its demand is not of this kind, or has too many states; says what to do.
      NumberError: iteration does not converge.
    """
    reason = unfit(problem, order=order, position=position, backlog=backlog, tail=tail)
    if reason is not None:
        raise UnsuitableError(f"value_iteration cannot treat this problem: {reason}")
    begun = time.perf_counter()
    given = {"order": order, "position": position, "backlog": backlog}
    with jax.enable_x64(True):
        network = double(problem.network)
        demand = demand_of(problem.laws, tail)
        solver = _Solver(problem, network, layout_of(network, merge=merge), demand, given, split)
        found = solver.within(guess(network, problem.laws, given), tolerance)
        while confirm:
            wider = solver.solve(solver.grown(found.table.limits), tolerance, found)
            confirm = not (wider.low <= found.high and found.low <= wider.high)
            found = solver.within(wider.table.limits, tolerance, wider) if confirm else found
        return solver.solution(found, time.perf_counter() - begun)


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """A solved table.

    low, high: bounds on the optimum of the table. cost: of the policy, exactly. choice: ``[T, S]``, T = 1 where it is
    stationary. visits: ``[S]`` share of time in each state.
    """

    table: Table
    split: Split
    values: np.ndarray
    low: float
    high: float
    cost: float
    choice: np.ndarray
    visits: np.ndarray
    sweeps: int


@jax.jit
def _best_choice(product: Product, values: Array, discount: Array) -> Array:
    """``[S]`` the first of the best choices."""
    return product.choices(values, discount).reshape(values.shape[0], -1).argmin(1)


@dataclasses.dataclass
class _Solver:
    problem: Problem
    network: Network
    layout: Layout
    demand: Demand
    given: dict[str, Any]
    apart: bool

    def within(self, limits: Limits, tolerance: float, found: _Found | None = None) -> _Found:
        """Solve, growing the limits that bind until none does that may grow."""
        for _ in range(GROWTHS):
            if found is None or found.table.limits is not limits:
                found = self.solve(limits, max(tolerance, LOOSE), found)
            wider = self.grown(limits, self.binding(found))
            if wider is limits:
                final = self.solve(limits, tolerance, found, found.split)
                wider = self.grown(limits, self.binding(final))
                if wider is limits:
                    return final
                found = final
            limits = wider
        raise UnsuitableError(
            f"the optimum still lies at the limits of the table after they grew {GROWTHS} times (order "
            f"{limits.order.tolist()}, position {limits.position.tolist()}, backlog {limits.backlog.tolist()}): "
            "orders may pay at any size; give order=, position= and backlog="
        )

    def solve(
        self, limits: Limits, tolerance: float, previous: _Found | None = None, parts: Split | None = None
    ) -> _Found:
        """The optimum within limits, iterating from the values of another table."""
        p = self.problem
        parts = parts or split(self.table(limits), apart=self.apart)
        table, product = parts.table, parts.product()
        start = np.bincount(table.start, weights=table.start_probabilities, minlength=table.states)
        if p.criterion == "total":
            return self.plan(parts, product, start)
        average = p.criterion == "average"
        discount = 1.0 if average else p.discount
        it = iterate(product, _carried(table, previous), discount=discount, average=average, tolerance=tolerance)
        sweeps = it.sweeps + (previous.sweeps if previous is not None else 0)
        choice = np.asarray(_best_choice(product, jnp.asarray(it.values), jnp.asarray(discount)))
        chain = parts.chain(choice, start)
        if average:
            visits = stationary(chain, min(1e-9, tolerance * 1e-6))
            return _Found(
                table, parts, it.values, it.low, it.high, float(visits @ chain.cost), choice[None], visits, sweeps
            )
        visits = (stationary(chain, 1e-9) + start + distribution_after(chain, 1) + distribution_after(chain, 10)) / 4
        low, high = (float(start @ it.values) + x * discount / (1 - discount) for x in (it.low, it.high))
        cost = (low + high) / 2
        if p.periods is not None or p.warmup:
            periods = p.periods if p.periods is not None else math.ceil(math.log(1e-12) / math.log(discount))
            cost = finite_cost(chain, periods, discount, p.warmup)
        return _Found(table, parts, it.values, low, high, cost, choice[None], visits, sweeps)

    def table(self, limits: Limits) -> Table:
        orders = math.prod(len(v) for v in order_values(self.network, limits))
        return explore(
            self.network, self.layout, limits, self.demand, passive=self.apart,
            max_states=int(MEMORY / (8 * len(self.demand.probabilities) + 16 * orders)),
        )  # fmt: skip

    def plan(self, parts: Split, product: Product, start: np.ndarray) -> _Found:
        """The finite horizon, from its end."""
        periods, table = self.problem.periods or 1, parts.table
        values, choices = backward(product, jnp.ones(()), periods=periods, keep=True)
        choice, values = np.asarray(choices), np.asarray(values)
        mass, visits = start, np.zeros(table.states)
        for t in range(periods):
            visits += mass / periods
            mass = parts.chain(choice[t], start).law.T @ mass
        cost = float(start @ values)
        return _Found(table, parts, values, cost, cost, cost, choice, visits, periods)

    def binding(self, found: _Found) -> dict[str, np.ndarray]:
        """For each limit, which of its entries bind: the policy spends more than ``AT_LIMIT`` of its time there."""
        table, visits = found.table, found.visits
        at, need = found.choice[0], position_per_order(self.network)
        orders = table.orders(found.choice).max(0)  # of a plan the largest order of all periods
        largest = np.asarray([v[-1] for v in table.values])
        capacity = number(self.network, "order_capacity", orders.shape[1], np.inf)
        order = ((orders >= largest) * visits[:, None]).sum(0) > AT_LIMIT
        # One more order, of the smallest size, would have gone beyond the position that is allowed.
        least = np.asarray([v[1] if len(v) > 1 else 0.0 for v in table.values])
        reached = table.position + orders @ need.T + (need * least).max(1)
        position = ((reached > table.limits.position + 1e-9) * visits[:, None]).sum(0) > AT_LIMIT
        left = float(visits @ table.clipped[np.arange(table.states), at // len(table.passive)])
        backlog = np.full(table.limits.backlog.shape, left > LEAVING) & (table.limits.backlog > 0)
        return {"order": order & (largest < capacity), "position": position, "backlog": backlog}

    def grown(self, limits: Limits, binding: dict[str, np.ndarray] | None = None) -> Limits:
        """Limits moved out where they bind (None: everywhere); the same object where none may move."""
        factor = {"order": 1.4, "position": 1.25, "backlog": 1.5}
        capacity = number(self.network, "order_capacity", len(limits.order), np.inf)
        new = {}
        for name, by in factor.items():
            old = getattr(limits, name)
            which = np.ones(old.shape, bool) if binding is None else binding[name]
            which = which & (old > 0 if name == "backlog" else True) & (self.given[name] is None)
            new[name] = np.where(which, np.ceil(old * by + 1), old)
        new["order"] = np.minimum(new["order"], np.maximum(capacity, limits.order))
        same = all(np.array_equal(new[name], getattr(limits, name)) for name in factor)
        return limits if same else Limits(**new)

    def solution(self, found: _Found, seconds: float) -> Solution:
        p, table = self.problem, found.table
        bound = {name: x for name, x in self.binding(found).items() if x.any()}
        cut = self.cut_effect(found)
        policy, theta = _policy(self, found)
        counts_all = p.criterion != "discounted" or (p.periods is None and not p.warmup)
        shared = any(len(out) > 1 for out in self.network.wiring.out_arcs)
        proven = not bound and counts_all and not shared
        at = found.choice[0]
        details = {
            "states": table.states,
            "orders": (len(table.active), len(table.passive)),
            "demands": len(self.demand.probabilities),
            "sweeps": found.sweeps,
            "seconds": seconds,
            "bounds": (found.low - cut, found.high + cut),
            "coordinates": tuple(c.name for c in self.layout.coordinates),
            "limits": {f.name: getattr(table.limits, f.name).tolist() for f in dataclasses.fields(Limits)},
            "at_limit": tuple(bound),
            "leaving": float(found.visits @ table.clipped[np.arange(table.states), at // len(table.passive)]),
            "cut_effect": cut,
        }
        return Solution(
            found.cost,
            method="value iteration",
            reference=_REFERENCE,
            criterion=p.criterion,
            claim="optimal" if proven else "exact",
            lower_bound=min(found.low, found.cost) - cut if proven else -math.inf,
            upper_bound=min(found.high, found.cost) + cut if counts_all and "backlog" not in bound else math.inf,
            policy=policy,
            theta=theta,
            details=details,
        )

    def cut_effect(self, found: _Found) -> float:
        """Most that the demand cut off can change the cost: what it asks for at its dearest, and where it may lead."""
        w = self.network.wiring
        rates = [number(self.network, name, w.n_arcs, 0.0)[w.n_inner :] for name in ("lost_cost", "backlog_cost")]
        rate = sum(rates) + number(self.network, "price", w.n_customers, 0.0)
        span = float(found.values.max() - found.values.min())
        once = self.demand.cut * span + float(np.maximum(self.demand.missing, 0.0) @ np.abs(rate))
        if self.problem.criterion == "average":
            return once
        return once * (self.problem.periods or 1 / (1 - self.problem.discount))


def _carried(table: Table, previous: _Found | None) -> np.ndarray:
    """First values: those of another table where it knows the state (or its nearest on the edge), else their mean."""
    if previous is None:
        return np.zeros(table.states)
    if previous.table is table:
        return previous.values
    at = previous.table.lookup(previous.table.box.encode(table.box.decode(table.cells)))
    return np.where(at >= 0, previous.values[at], previous.values.mean())


def _policy(solver: _Solver, found: _Found) -> tuple[TablePolicy | None, Any]:
    """The choices as a policy, on the smallest box around all states, or around those that are visited where that is
    too large; (None, None) where both are. Cells that are no known state order what the nearest one does.
    """
    table = found.table
    points = table.box.decode(table.cells)
    orders = table.orders(found.choice)  # [T, S, I]
    for keep in (np.ones(table.states, bool), found.visits > 0):
        low, high = points[:, keep].min(1), points[:, keep].max(1)
        box = type(table.box)(low, high)
        if box.cells * orders.shape[0] * orders.shape[2] <= CELLS:
            break
    else:
        return None, None
    at = np.full(box.cells, -1, np.int64)
    at[box.encode(points[:, keep])] = np.flatnonzero(keep)
    if (at < 0).any():
        hole = (at < 0).reshape(box.sizes)
        nearest = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
        at = at.reshape(box.sizes)[tuple(nearest)].ravel()
    dtype = solver.problem.network.holding_cost.dtype
    theta = {
        "low": jnp.asarray(low, jnp.int32),
        "high": jnp.asarray(high, jnp.int32),
        "orders": jnp.asarray(orders[:, at], dtype),
    }
    return TablePolicy(solver.layout.coordinates), theta


def unfit(problem: Problem, **given: Any) -> str | None:
    """Why a problem has no dynamic program here, or None. Solves nothing."""
    reason = no_table(problem)
    if reason is not None:
        return reason
    if problem.criterion == "total" and problem.warmup:
        return "a warm-up that costs nothing has no place in an optimal plan for a finite horizon; leave it out"
    try:
        demand = demand_of(problem.laws, given.pop("tail", 1e-12))
    except UnsuitableError as error:
        return str(error)
    with jax.enable_x64(True):
        network = double(problem.network)
        limits = guess(network, problem.laws, {"order": None, "position": None, "backlog": None} | given)
        states = states_within(network, limits, box_of(network, layout_of(network), limits, demand))
    if states > TOO_MANY:
        return f"it has about {states:.0e} states; bound order=, position= or backlog=, or use 'search'"
    return None


METHODS: tuple[Method, ...] = (
    Method(
        "value_iteration",
        "exact dynamic program on the simulator's own period: small networks with whole, independent demand",
        "optimal",
        value_iteration,
        unfit,
        1,
    ),
)
