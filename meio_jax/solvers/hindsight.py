"""The hindsight optimum: what the best plan would have cost, had the whole scenario been known.

For each lane a linear program over the horizon (HiGHS); its mean over lanes is a lower bound on the expected cost of
every policy that starts from the same state, and the negative an upper bound on the expected profit. The perfect
information bound of stochastic programming (Madansky 1960, Management Science 6(2)).

The plan is handed back and played through `transition`: where that costs what the program says, the bound of that lane
is attained and nothing was lost to relaxation.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.errors import InputError, UnsuitableError
from meio_jax.evaluate import t_interval
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.processes import draw
from meio_jax.scenario import Scenario, check_scenario
from meio_jax.simulator import State, initial_state, transition
from meio_jax.solvers.linear_model import LinearModel
from meio_jax.solvers.linear_parts import Start, Terminal, chain, relaxations
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution

__all__ = [
    "METHODS",
    "Hindsight",
    "hindsight",
    "is_cut_short",
    "period_weights",
    "played_costs",
    "unfit_for_programs",
]

#: Scenarios that the method draws, fewer where they are large (arcs times periods), and the seed that it draws with.
DRAWS, FEWEST, WORK, SEED = 100, 10, 100_000, 20
#: The longest horizon of the method, where the criterion is an average or an endless sum.
LONGEST = 120
#: A discounted sum ends where a period's cost weighs no more than this.
CUT = 1e-4
REFERENCE = "Madansky 1960, Management Science 6(2)"


@dataclasses.dataclass(frozen=True)
class Hindsight:
    """What `hindsight` found, in money over the whole horizon, weighted as was asked for.

    bound ``[B]``: no plan costs less in this lane. played ``[B]``: what the plan costs in the simulator (None: not
    played); where it equals the bound, the plan is the best there is. orders ``[T, I, B]``, allocation ``[T, E, B]``:
    the plan. mean: of the bound over lanes; low, high: its confidence interval, None with one lane. relaxed: what the
    program does not hold exactly.
    """

    bound: np.ndarray
    played: np.ndarray | None
    orders: np.ndarray
    allocation: np.ndarray
    mean: float
    low: float | None
    high: float | None
    level: float
    relaxed: tuple[str, ...]

    @property
    def attained(self) -> np.ndarray:
        """``[B]`` whether the plan, played, costs what the bound says (to 1e-5 of it)."""
        if self.played is None:
            return np.zeros(self.bound.shape, bool)
        return self.played - self.bound <= 1e-5 * np.maximum(1.0, np.abs(self.bound))


def hindsight(
    network: Network,
    scenario: Scenario,
    *,
    state: State | None = None,
    weights: Any = None,
    whole: bool = False,
    rationing: bool = True,
    terminal: Terminal | None = None,
    play: bool = True,
    level: float = 0.95,
    seconds: float | None = None,
) -> Hindsight:
    """The cost of the best plan for each lane of a scenario, or a lower bound on it where the physics is not linear.

    Args:
      state: where the lanes start; None: the network's initial state.
      weights: ``[T]`` of the costs of each period, such as ``0.97 ** t`` or a warm-up of zeros; None: 1.
      whole: lots, minimum orders, fixed costs and whole units exactly, by branch and bound; slow.
      rationing: also bound policies that hold stock back with `Decision.allocation`.
      terminal: worth of what is left at the end, as `replacement_values` gives it; None: nothing. It is not part of
        ``played``.
      play: replay the plan in the simulator.
      level: of the confidence interval over lanes.
      seconds: limit for one lane's integer program.

    Raises:
      UnsuitableError: demand reacts to service.
      InputError, NumberError: the scenario or the weights do not fit the network.
      UnboundedError: scrap or terminal values pay more than a unit costs.
    """
    w, periods, lanes = network.wiring, scenario.periods, scenario.lanes
    shocks = scenario.shocks
    lead = None
    if shocks.lead_time is not None:  # the simulator clamps, so it may be out of bounds
        bounds = (np.asarray(x)[:, None] for x in (w.min_lead_time, w.max_lead_time))
        lead = np.clip(np.asarray(shocks.lead_time), *bounds)
        scenario = Scenario(shocks.replace(lead_time=jnp.asarray(lead)))
    check_scenario(network, scenario)
    if state is None:
        state = initial_state(network, lanes)
    share = None if weights is None else np.asarray(weights, float)
    if share is not None and (share.shape != (periods,) or not (np.isfinite(share) & (share >= 0)).all()):
        raise InputError(f"weights must be {periods} numbers >= 0, got shape {share.shape}")
    given = {"lead_time": lead, "available": shocks.available, "yield_": shocks.yield_}
    arrays = {k: np.asarray(x) for k, x in given.items() if x is not None}
    leaves = [x for x in jax.tree.leaves(network) if x.shape[-1] > 1]
    one_matrix = not leaves and all(x.shape[-1] == 1 for x in arrays.values())
    demand = np.asarray(shocks.demand, np.float64)

    def of_lane(lane: int) -> dict[str, Any]:
        return {k: x[..., lane if x.shape[-1] > 1 else 0] for k, x in arrays.items()}

    model: LinearModel | None = None
    plans = []
    for lane in range(lanes):
        if model is None or not one_matrix:
            model = LinearModel(
                network,
                chain(periods),
                lane=lane,
                weights=share,
                whole=whole,
                rationing=rationing,
                terminal=terminal,
                **of_lane(lane),
            )
        plans.append(model.solve(Start.of(state, lane), demand[:, :, lane], seconds=seconds))
    bound = np.array([plan.cost for plan in plans])
    orders = np.stack([plan.orders for plan in plans], -1)
    allocation = np.stack([plan.shipped for plan in plans], -1)
    if w.integer:
        allocation = np.floor(allocation + 1e-5)  # what is rounded down in the simulator must not lose a unit to dust
    allocation[:, [e for e in range(w.n_inner) if w.src[e] < 0]] = np.inf
    played = played_costs(network, scenario, orders, allocation, state, share) if play else None
    low, high = t_interval(bound, level)
    return Hindsight(
        bound, played, orders, allocation, float(bound.mean()), low, high, level, relaxations(network, whole=whole)
    )


@jax.jit
def _costs(network: Network, state: State, orders: Any, allocation: Any, shocks: Any) -> jax.Array:
    def period(state: State, now: Any) -> tuple[State, jax.Array]:
        order, limit, shock = now
        after, flows = transition(network, state, order, shock, limit)
        return after, total_cost(network, flows)

    return jax.lax.scan(period, state, (orders, allocation, shocks))[1]


def played_costs(
    network: Network, scenario: Scenario, orders: Any, allocation: Any = None, state: State | None = None,
    weights: Any = None,
) -> np.ndarray:  # fmt: skip
    """``[B]`` cost over the horizon of given orders ``[T, I, B]`` and limits ``[T, E, B]``, played in float64."""
    with jax.enable_x64(True):
        double = lambda x: jnp.asarray(np.asarray(x, np.float64)) if np.issubdtype(x.dtype, np.floating) else x  # noqa: E731
        begun = initial_state(network, scenario.lanes) if state is None else state
        network, begun, shocks = jax.tree.map(double, (network, begun, scenario.shocks))
        begun = jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], scenario.lanes)) if x.ndim else x, begun)
        limit = None if allocation is None else jnp.asarray(allocation)
        costs = np.asarray(_costs(network, begun, jnp.asarray(np.asarray(orders, float)), limit, shocks))
    return costs.sum(0) if weights is None else np.asarray(weights, float) @ costs


# --- As a method ---


def unfit_for_programs(problem: Problem) -> str | None:
    """Why a linear program cannot hold the network of a problem."""
    network = problem.network
    if problem.service is not None:
        return "a guaranteed-service model charges safety stock and no period; `guaranteed_service` solves it"
    if network.erosion is not None and np.any(np.asarray(network.erosion) > 0):
        return "demand reacts to service (erosion); `search` can treat it"
    if any(x.shape[-1] > 1 for x in jax.tree.leaves(network)):
        return "the network's numbers differ between lanes; give it the numbers of one"
    if problem.processes.reporting is not None:
        return "reports are late, and what a program knows is prompt; `search` can treat it"
    return None


def is_cut_short(problem: Problem) -> bool:
    """Whether an endless discounted sum goes on, beyond the longest horizon, with periods that weigh something."""
    return problem.criterion == "discounted" and problem.periods is None and problem.discount**LONGEST > CUT


def period_weights(problem: Problem) -> np.ndarray:
    """``[T]`` weight of each period's cost in the problem's criterion, the warm-up included with zeros."""
    w = problem.network.wiring
    if problem.criterion == "total":
        assert problem.periods is not None
        counted: np.ndarray = np.ones(problem.periods)
        warmup = problem.warmup
    elif problem.criterion == "discounted":
        needed = math.ceil(math.log(CUT) / math.log(problem.discount))
        counted = problem.discount ** np.arange(min(problem.periods or LONGEST, max(needed, 1)))
        warmup = problem.warmup
    else:
        # Long enough for anything to get anywhere before costs count: what the start was no longer matters.
        warmup = max(problem.warmup, 2 + 2 * sum(sorted(w.max_lead_time)[-(max(w.levels) + 1) :]))
        periods = problem.periods or LONGEST
        counted = np.full(periods, 1.0 / periods)
    return np.concatenate([np.zeros(warmup), counted])


def unfit(problem: Problem) -> str | None:
    """Why the method's mean would be no bound, or no program holds the network."""
    reason = unfit_for_programs(problem)
    if reason is not None:
        return reason
    network, processes = problem.network, problem.processes
    limits = (network.capacity, network.order_capacity)
    if problem.criterion == "average" and (
        any(x is not None and np.isfinite(np.asarray(x)).any() for x in limits)
        or any(x is not None for x in (processes.supply, processes.yield_))
    ):
        return (
            "with capacities, outages or random yields stock may take any time to build up, so that the cost after a "
            "warm-up is no bound on the average; ask for a 'total' over a horizon"
        )
    earns = network.price is not None or (
        network.scrap_cost is not None and bool(np.any(np.asarray(network.scrap_cost) < 0))
    )
    if earns and is_cut_short(problem):
        return f"what is earned after {LONGEST} periods would be left out, and the rest is no bound; give periods="
    return None


def solve(problem: Problem, draws: int | None = None, seed: int = SEED, **options: Any) -> Solution:
    """The mean hindsight optimum over ``draws`` scenarios of the problem, as a bound; options as for `hindsight`.

    ``lower_bound`` is the mean less three standard errors. For an average criterion it is the cost per period after a
    warm-up in which all can be got ready, which bounds the long-run average. The others count from the initial state.

    Raises:
      UnsuitableError: the mean would be no bound: an average where capacities, outages or yields decide how long it
        takes to get ready; earnings beyond the horizon of a discounted sum. Or no program holds the network.
      InputError: fewer than two draws.
    """
    reason = unfit(problem)
    if reason is not None:
        raise UnsuitableError(f"hindsight cannot treat this problem: {reason}")
    weights = period_weights(problem)
    if draws is None:
        draws = int(np.clip(WORK // (len(weights) * problem.network.wiring.n_arcs), FEWEST, DRAWS))
    if draws < 2:
        raise InputError(f"draws = {draws}: an interval needs at least 2")
    scenario = draw(problem.processes, jax.random.key(seed), len(weights), draws)
    found = hindsight(problem.network, scenario, weights=weights, **options)
    half = 3.0 * float(found.bound.std(ddof=1)) / math.sqrt(draws)
    details = {
        "draws": draws,
        "seed": seed,
        "periods": int(np.count_nonzero(weights)),
        "low": found.low,
        "high": found.high,
        "level": found.level,
        "relaxed": found.relaxed,
    }
    if found.played is not None:
        details["plans played"] = float(found.played.mean())
        details["attained in"] = float(found.attained.mean())
    return Solution(
        cost=found.mean,
        method="hindsight",
        reference=REFERENCE,
        criterion=problem.criterion,
        claim="bound",
        lower_bound=found.mean - half,
        details=details,
    )


METHODS: tuple[Method, ...] = (
    Method("hindsight", "mean optimum of scenarios known in advance (linear programs)", "bound", solve,
           unfit, 1),
)  # fmt: skip
