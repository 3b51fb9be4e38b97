"""Planners: they solve a linear program in every period, from the state they see, and place its first orders.

`RollingPlan` plans for one expected future (Baker 1977, Decision Sciences 8(1)); `ScenarioTree` for a tree of them in
which it will learn what was asked for only as time goes on (Birge and Louveaux, Introduction to Stochastic Programming
(2011), chapter 3). Both know the true distribution of demand, given as an *outlook*, and nothing of the future itself:
they are the informed competitors of a learner. `play` steps the simulator and calls HiGHS between its periods.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.errors import InputError, NumberError, UnsuitableError
from meio_jax.evaluate import t_interval
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.processes import Processes, draw
from meio_jax.scenario import Scenario, check_scenario
from meio_jax.simulator import Flows, State, initial_state, transition
from meio_jax.solvers.hindsight import LONGEST, is_cut_short, period_weights, unfit_for_programs
from meio_jax.solvers.laws import Law
from meio_jax.solvers.linear_model import LinearModel
from meio_jax.solvers.linear_parts import Start, Terminal, Tree, chain, replacement_values
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution

__all__ = ["METHODS", "Planner", "Played", "RollingPlan", "ScenarioTree", "branched", "outlook_of", "play", "quantiles"]

#: Equally likely values that an outlook holds of a period's demand.
POINTS = 240


def quantiles(law: Law, points: int = POINTS) -> np.ndarray:
    """``[points]`` equally likely values of a law: the middles of its quantile strata, brought to its mean.

    Nothing below 0: a normal law is cut off there.
    """
    x = np.maximum([law.ppf((i + 0.5) / points) for i in range(points)], 0.0)
    return x * (law.mean / x.mean()) if x.any() else x


def outlook_of(demand: Processes | Sequence[Law], periods: int, *, points: int = POINTS, seed: int = 7) -> np.ndarray:
    """What a planner expects: ``[T, C, K]``, for each period and customer K equally likely values, ascending.

    From laws (the same in every period), or from processes: draws of their own, period by period, so that seasons are
    seen; what periods have to do with each other is not.

    Raises:
      InputError: fewer than one period.
    """
    if periods < 1:
        raise InputError(f"outlook over {periods} periods: at least 1 is needed")
    if isinstance(demand, Processes):
        drawn = np.asarray(draw(demand, jax.random.key(seed), periods, points).shocks.demand, np.float64)
        return np.sort(drawn, -1)
    return np.broadcast_to(np.stack([quantiles(law, points) for law in demand]), (periods, len(demand), points)).copy()


class Planner(Protocol):
    """What `play` plays."""

    def prepare(self, network: Network) -> Callable[[Start, int, np.ndarray | None, np.ndarray | None], np.ndarray]:
        """A function from a lane's start, the period, its demand where that is seen first (``[C]``, else None) and the
        share that sources can ship now (``[I]``, None: all) to the orders ``[I]``.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class RollingPlan:
    """Plan for the expected demand over a horizon, place the first orders, and plan again.

    Attributes:
      outlook: ``[T, C, K]`` as `outlook_of` gives it, or a forecast ``[T, C]``.
      horizon: periods planned ahead; None: to the end of the outlook.
      ends: the system ends with the outlook, so a plan never goes beyond; else its last period goes on for ever.
      quantile: of each period's demand to plan for, a kind of safety stock; None: the mean.
      terminal: worth of what is left where the horizon ends before the system does: None (nothing), "replacement"
        (what it cost to get there) or a `Terminal`.
      discount: of a period.

    Raises:
      InputError, NumberError: an outlook of the wrong shape, with a NaN or a negative value; a horizon below 1.
    """

    outlook: np.ndarray
    horizon: int | None = None
    ends: bool = True
    quantile: float | None = None
    terminal: Terminal | str | None = "replacement"
    discount: float = 1.0

    def __post_init__(self) -> None:
        x = np.asarray(self.outlook, np.float64)
        object.__setattr__(self, "outlook", np.sort(x[..., None] if x.ndim == 2 else x, -1))
        if self.outlook.ndim != 3:
            raise InputError(f"outlook has shape {x.shape}, expected (periods, customers) or with values last")
        if not (np.isfinite(x).all() and (x >= 0).all()):
            raise NumberError("outlook: demand must be finite and not negative")
        if self.horizon is not None and self.horizon < 1:
            raise NumberError(f"horizon = {self.horizon} must be at least 1")
        if self.horizon is None and not self.ends:
            raise InputError("a system that goes on needs horizon=, the periods to plan ahead")

    def reach(self, t: int) -> int:
        """Periods that a plan made in period t looks ahead."""
        left = len(self.outlook) - t if self.ends else np.inf
        if left < 1:
            raise InputError(f"period {t} is beyond the {len(self.outlook)} periods of the outlook")
        return int(min(left, self.horizon or left))

    def ahead(self, t: int) -> np.ndarray:
        """``[H, C, K]`` the outlook from period t on."""
        return self.outlook[np.minimum(t + np.arange(self.reach(t)), len(self.outlook) - 1)]

    def tree(self, horizon: int, seen: bool) -> Tree:
        """The futures that are planned for; ``seen``: the first period's demand is known."""
        return chain(horizon)

    def futures(self, t: int, tree: Tree, seen: bool) -> np.ndarray:
        """``[P, C]`` their demand."""
        ahead = self.ahead(t)
        return ahead.mean(-1) if self.quantile is None else np.quantile(ahead, self.quantile, axis=-1)

    def prepare(self, network: Network) -> Callable[[Start, int, np.ndarray | None, np.ndarray | None], np.ndarray]:
        """See `Planner`. Programs are built once for each length of the horizon."""
        built: dict[Any, tuple[LinearModel, Tree]] = {}
        seen_first = network.wiring.timing == "demand_first"

        def orders(start: Start, t: int, seen: np.ndarray | None, available: np.ndarray | None) -> np.ndarray:
            horizon = self.reach(t)
            key = (horizon, None if available is None else available.tobytes(), self._goes_on(t, horizon))
            if key not in built:
                built[key] = self._build(network, horizon, available, key[-1], seen_first)
            model, tree = built[key]
            demand = self.futures(t, tree, seen_first)
            if seen is not None:
                demand[tree.parent < 0] = seen
            return model.solve(start, demand).orders[0]

        return orders

    def _goes_on(self, t: int, horizon: int) -> bool:
        return not self.ends or t + horizon < len(self.outlook)

    def _build(
        self, network: Network, horizon: int, available: np.ndarray | None, goes_on: bool, seen: bool
    ) -> tuple[LinearModel, Tree]:
        tree = self.tree(horizon, seen)
        share = None
        if available is not None:  # now; what will be down later is not known
            share = np.concatenate([available[None], np.ones((horizon - 1, network.wiring.n_inner))])
        terminal = self.terminal if goes_on else None
        if isinstance(terminal, str):
            if terminal != "replacement":
                raise InputError(f"terminal = {terminal!r} must be 'replacement', a Terminal or None")
            terminal = replacement_values(network)
        weights = self.discount ** np.arange(horizon)
        model = LinearModel(
            network, tree, available=share, weights=weights, rationing=False, frugal=True, terminal=terminal
        )
        return model, tree


@dataclasses.dataclass(frozen=True, eq=False)
class ScenarioTree(RollingPlan):
    """Plan for a tree of futures: the next periods branch, each branch then goes on as one future of its own.

    A decision is the same wherever the planner cannot yet tell the branches apart, so the first orders hedge. Branches
    take the means of equally likely strata of the demand, stretched to its standard deviation; after the last branching
    every future gets strata in an order of its own (a Latin hypercube), drawn with ``seed``.

    Attributes:
      branching: children in the next periods, such as (4, 2, 2): 16 futures.
    """

    branching: tuple[int, ...] = (4, 2, 2)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(b, int) and b >= 1 for b in self.branching):
            raise NumberError(f"branching = {self.branching} must be whole numbers of at least 1")
        if self.quantile is not None:
            raise InputError("a scenario tree has its own futures: leave quantile out")

    def tree(self, horizon: int, seen: bool) -> Tree:
        widths = [1, *self.branching] if seen else list(self.branching)
        parents, probability, last = [], [], np.array([-1])
        count, share = 0, 1.0
        for d in range(horizon):
            b = widths[d] if d < len(widths) else 1
            parent = np.repeat(last, b)
            last = count + np.arange(len(parent))
            count, share = count + len(parent), share / b
            parents.append(parent)
            probability.append(np.full(len(parent), share))
        return Tree(np.concatenate(parents), np.concatenate(probability))

    def futures(self, t: int, tree: Tree, seen: bool) -> np.ndarray:
        rng = np.random.default_rng([self.seed, t])
        depth, ahead = tree.depth, self.ahead(t)
        out = np.zeros((len(depth), ahead.shape[1]))
        branching = [1, *self.branching] if seen else list(self.branching)
        for d, now in enumerate(ahead):
            here = np.flatnonzero(depth == d)
            b = branching[d] if d < len(branching) else 1
            for c, values in enumerate(now):
                if b > 1:  # each parent's children cover the law; customers vary independently of each other
                    points = branched(values, b)
                    order = [np.arange(b) if c == 0 else rng.permutation(b) for _ in range(len(here) // b)]
                    out[here, c] = points[np.concatenate(order)]
                else:
                    out[here, c] = branched(values, len(here))[rng.permutation(len(here))]
        return out


def branched(values: np.ndarray, count: int) -> np.ndarray:
    """``count`` equally likely values for ascending ``values [K]``: means of strata, stretched to the spread of all."""
    if count == 1:
        return np.array([values.mean()])
    edges = np.linspace(0, len(values), count + 1)
    total = np.concatenate([[0.0], np.cumsum(values)])
    means = np.diff(np.interp(edges, np.arange(len(total)), total)) / np.diff(edges)
    spread = means.std()
    return np.maximum(values.mean() + (means - values.mean()) * (values.std() / spread if spread > 0 else 1.0), 0.0)


class Played(NamedTuple):
    """What `play` played: costs ``[T, B]``, orders ``[T, I, B]``, flows with leaves ``[T, .., B]``.

    seconds: that a decision took on average, those of the first period left out.
    """

    costs: np.ndarray
    orders: np.ndarray
    flows: Flows
    seconds: float

    def totals(self, weights: Any = None) -> np.ndarray:
        """``[B]`` cost over the horizon, weighted by period."""
        return self.costs.sum(0) if weights is None else np.asarray(weights, float) @ self.costs


@jax.jit
def _step(network: Network, state: State, orders: Any, shock: Any) -> tuple[State, Flows, Any]:
    after, flows = transition(network, state, orders, shock)
    return after, flows, total_cost(network, flows)


def play(network: Network, planner: Planner, scenario: Scenario, *, state: State | None = None) -> Played:
    """Let a planner play every lane of a scenario, one decision after another, in float64.

    Of the coming period it sees what a policy sees: the demand with ``demand_first``, and which sources can ship.

    Raises:
      InputError, NumberError: the scenario does not fit the network; the network's numbers differ between lanes.
      UnsuitableError: demand reacts to service.
      UnboundedError, InfeasibleError: a plan's program has no optimum.
    """
    check_scenario(network, scenario)
    if any(x.shape[-1] > 1 for x in jax.tree.leaves(network)):
        raise InputError("play: a planner knows one network: its numbers must not differ between lanes")
    if scenario.shocks.report_age is not None:
        raise UnsuitableError("play: reports are late here, and a planner's program starts from the true state")
    w, lanes = network.wiring, scenario.lanes
    decide = planner.prepare(network)
    seen_first = w.timing == "demand_first"
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), network)
        shocks = jax.tree.map(lambda x: np.asarray(x), scenario.shocks)
        state = initial_state(wide, lanes) if state is None else state
        kept: list[tuple[Any, Any, Any]] = []
        spent, decisions = 0.0, 0
        for t in range(scenario.periods):
            shock = jax.tree.map(lambda x, t=t: jnp.asarray(x[t]), shocks)
            available = None if shocks.available is None else np.asarray(shocks.available[t], np.float64)
            orders = np.zeros((w.n_inner, lanes))
            begun = time.perf_counter()
            for lane in range(lanes):
                share = None
                if available is not None:
                    share = available[:, lane if available.shape[-1] > 1 else 0]
                    share = None if (share == 1).all() else share
                seen = np.asarray(shocks.demand[t, :, lane], np.float64) if seen_first else None
                orders[:, lane] = decide(Start.of(state, lane), t, seen, share)
            if t > 0:
                spent, decisions = spent + time.perf_counter() - begun, decisions + lanes
            state, flows, cost = _step(wide, state, jnp.asarray(orders), shock)
            kept.append((orders, jax.tree.map(np.asarray, flows), np.asarray(cost)))
        orders, flows, costs = jax.tree.map(lambda *x: np.stack(x), *kept)
    return Played(costs, orders, flows, spent / max(decisions, 1))


# --- As methods ---

#: Scenarios that the methods play, with this seed, and how far they plan where the system does not end.
LANES, SEED, AHEAD = 8, 21, 30


def _solve(problem: Problem, kind: type[RollingPlan], name: str, reference: str, **options: Any) -> Solution:
    weights = period_weights(problem)
    periods = len(weights)
    ends = problem.criterion == "total"
    discount = problem.discount if problem.criterion == "discounted" else 1.0
    outlook = outlook_of(problem.processes, periods)
    planner = kind(outlook, horizon=None if ends else AHEAD, ends=ends, discount=discount, **options)
    scenario = draw(problem.processes, jax.random.key(SEED), periods, LANES)
    played = play(problem.network, planner, scenario)
    costs = played.totals(weights)
    low, high = t_interval(costs, 0.95)
    details = {
        "interval": (low, high), "level": 0.95, "draws": LANES, "seed": SEED, "periods": periods,
        "milliseconds a decision": 1e3 * played.seconds,
    }  # fmt: skip
    return Solution(
        float(costs.mean()), method=name, reference=reference, criterion=problem.criterion, claim="approximate",
        details=details,
    )  # fmt: skip


def rolling_plan(problem: Problem) -> Solution:
    """Cost of `RollingPlan`, simulated on fresh draws."""
    return _solve(problem, RollingPlan, "rolling_plan", "Baker 1977, Decision Sciences 8(1)")


def scenario_tree(problem: Problem) -> Solution:
    """Cost of `ScenarioTree`, simulated on fresh draws."""
    return _solve(problem, ScenarioTree, "scenario_tree", "Birge and Louveaux 2011, chapter 3")


def _unfit(problem: Problem) -> str | None:
    if is_cut_short(problem):
        return f"it plays {LONGEST} periods, and what is discounted by {problem.discount:g} goes on; give periods="
    return unfit_for_programs(problem)


METHODS: tuple[Method, ...] = (
    Method("rolling_plan", "plan for the mean demand, again in every period (linear programs)", "approximate",
           rolling_plan, _unfit, 2),
    Method("scenario_tree", "plan for a tree of futures, again in every period (linear programs)", "approximate",
           scenario_tree, _unfit, 2),
)  # fmt: skip
