"""Rules tuned by the gradient of their cost, against closed forms, exact solvers, brute force and the search.

Default: one small system each for a continuous and a whole number, and what needs no compilation. Slow: the literature.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from meio_jax.errors import InputError, UnsuitableError
from meio_jax.instances import find
from meio_jax.learners.classical import check_smooth, first_numbers, settle, tune_by_gradient
from meio_jax.learners.gradient import cost_gradient
from meio_jax.learners.validation import Validation
from meio_jax.policies import (
    BalancedBaseStock,
    BaseStock,
    CappedBaseStock,
    CappedDualIndex,
    Myopic,
    ReorderLots,
    ReorderUpTo,
    SeasonalBaseStock,
)
from meio_jax.processes import Processes, normal, poisson
from meio_jax.solvers.clark_scarf import clark_scarf
from meio_jax.solvers.played import played
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.search import search
from meio_jax.topologies import serial, tree

HOLDING, PENALTY = 1.0, 4.0
MEAN, SD = 20.0, 4.0


def one_stage(integer: bool = False) -> Problem:
    """A newsvendor in every period: the order of a period arrives in the next, after one more demand."""
    network = serial(
        1, lead_time=1, holding_cost=HOLDING, backlog_cost=PENALTY, integer=integer, initial_on_hand=10,
        initial_pipeline=6 if integer else MEAN,
    )  # fmt: skip
    demand = poisson(6.0) if integer else normal(MEAN, SD)
    return Problem(network, Processes(demand=demand))


def newsvendor_slope(level: float, periods: int = 2) -> float:
    """Derivative of h E(S - D)+ + p E(D - S)+ in S, D the demand of some periods."""
    below = stats.norm.cdf(level, periods * MEAN, SD * periods**0.5)
    return HOLDING * below - PENALTY * (1.0 - below)


# --- the gradient on all cores -----------------------------------------------------------------------------------


def test_the_gradient_over_blocks_is_the_newsvendors() -> None:
    problem = one_stage()
    level = 2 * MEAN + 0.5 * SD * 2**0.5
    cost, gradient = cost_gradient(
        problem.network, BaseStock(), {"level": jnp.asarray([[level]])}, problem.processes, jax.random.key(3),
        periods=60, warmup=10, lanes=512, block=64,
    )  # fmt: skip
    # 25,600 lane-periods, each dependent on its neighbour alone: a slope's deviation is at most (h + p) / 2.
    allowed = 5 * 0.5 * (HOLDING + PENALTY) * (2 / 25_600) ** 0.5
    assert float(gradient["level"][0, 0]) == pytest.approx(newsvendor_slope(level), abs=allowed)
    assert float(cost) == pytest.approx(newsvendor_cost(level), abs=5 * PENALTY * SD * (2 / 25_600) ** 0.5)


def newsvendor_cost(level: float, periods: int = 2) -> float:
    sd = SD * periods**0.5
    z = (level - periods * MEAN) / sd
    short = sd * (stats.norm.pdf(z) - z * (1.0 - stats.norm.cdf(z)))
    return HOLDING * (level - periods * MEAN + short) + PENALTY * short


def test_blocks_must_divide_the_lanes() -> None:
    problem = one_stage()
    with pytest.raises(InputError, match="block = 3 must divide lanes = 8"):
        cost_gradient(
            problem.network, BaseStock(), {"level": jnp.ones((1, 1))}, problem.processes, jax.random.key(0),
            periods=5, lanes=8, block=3,
        )  # fmt: skip


# --- where to start ----------------------------------------------------------------------------------------------


def test_numbers_start_at_a_standard_deviation_of_safety_and_are_counted_in_it() -> None:
    problem = one_stage()
    theta, unit = first_numbers(problem.network, problem.processes, CappedBaseStock())
    assert float(theta["level"][0, 0]) == pytest.approx(2 * MEAN + SD * 2**0.5, rel=1e-3)
    assert float(unit["level"][0, 0]) == pytest.approx(SD * 2**0.5, rel=1e-3)
    assert float(unit["cap"][0, 0]) == 0.0  # the rule cannot tell: the learner's own unit stands


@pytest.mark.parametrize("policy", [ReorderUpTo(), ReorderLots(), Myopic()])
def test_rules_that_jump_are_refused_by_name(policy: object) -> None:
    with pytest.raises(UnsuitableError, match=f"{type(policy).__name__} .* tune it with search"):
        tune_by_gradient(one_stage(integer=True), policy)  # type: ignore[arg-type]
    check_smooth(SeasonalBaseStock())


def test_numbers_of_another_network_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"theta0 has shapes \['level'\] \(2, 1\), the policy's are \['level'\] \(1, 1\)"
    ):
        tune_by_gradient(one_stage(), BaseStock(), theta0={"level": jnp.ones((2, 1))})


# --- whole numbers at the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_settling_finds_the_best_whole_numbers_of_a_convex_cost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, 3))
    curve, best = root @ root.T + 0.5 * np.eye(3), rng.uniform(-4, 4, 3)
    calls = []

    def cost(x: np.ndarray) -> np.ndarray:
        return np.einsum("...i,ij,...j", x - best, curve, x - best)

    def play(theta: dict[str, jax.Array]) -> jax.Array:
        x = np.concatenate([np.asarray(theta["level"])[..., 0], np.asarray(theta["cap"])[..., 0]], -1)
        calls.append(len(x))
        assert np.all(np.asarray(theta["alpha"]) == 0.25)
        return jnp.asarray(cost(x.astype(float)))

    theta = {
        "alpha": jnp.asarray([[0.25]]),
        "level": jnp.asarray(best[:2, None] + 0.2, jnp.float32),
        "cap": jnp.asarray(best[2:, None] - 0.2, jnp.float32),
    }
    found, value, count = settle(play, theta, ("level", "cap"))
    here = np.concatenate([np.asarray(found["level"]).ravel(), np.asarray(found["cap"]).ravel()])
    near = [here + np.asarray(d) for d in itertools.product((-1, 0, 1), repeat=3) if np.abs(d).sum() <= 2]
    assert np.all(here == np.floor(here))
    assert value == pytest.approx(cost(here), rel=1e-5)
    assert value <= min(cost(x) for x in near) + 1e-5
    assert count == sum(calls) and len(set(calls)) == 1
    assert found["alpha"].shape == (1, 1)


# --- tuned -------------------------------------------------------------------------------------------------------


def test_a_whole_level_is_the_newsvendors() -> None:
    problem = one_stage(integer=True)
    best = int(stats.poisson.ppf(PENALTY / (HOLDING + PENALTY), 12.0))
    check = Validation(periods=200, warmup=20, lanes=128)
    start = {"level": jnp.asarray([[best + 5.0]])}
    found = tune_by_gradient(
        problem, BaseStock(), jax.random.key(1), theta0=start, updates=60, eval_every=30, learning_rate=0.2,
        validation=check, fresh_lanes=256, fresh_periods=200,
    )  # fmt: skip
    assert found.theta["level"].tolist() == [[float(best)]]
    demand = np.arange(60)
    law = stats.poisson.pmf(demand, 12.0)
    exact = law @ (HOLDING * np.maximum(best - demand, 0) + PENALTY * np.maximum(demand - best, 0))
    half = (found.high - found.low) / 2
    assert found.cost == pytest.approx(exact, abs=5 / 1.96 * half)
    assert found.history.shape == (2, 2) and np.all(np.diff(found.history[:, 0]) > 0)
    assert found.updates == 60 and found.simulated > found.history[-1, 0]  # neighbours were played too


def test_echelon_levels_of_example_6_1_are_clark_and_scarfs() -> None:
    instance = find("serial/example_6_1")
    exact = clark_scarf(instance.problem.network, instance.problem.laws[0])
    found = tune_by_gradient(instance.problem, updates=120, eval_every=0, fresh_lanes=512, fresh_periods=400)
    theirs = played(
        instance.problem, exact.policy, exact.theta, jax.random.split(jax.random.key(0))[1], lanes=512, periods=400,
        warmup=100,
    )  # fmt: skip
    assert found.cost <= theirs.mean * 1.001  # on the same draws; the cost is flat around the optimum
    assert found.low * 0.999 < exact.cost < found.high * 1.001
    levels = np.asarray(found.theta["level"]) - np.asarray(exact.theta["level"])
    assert np.abs(levels).max() < 0.25  # a tenth of a standard deviation of the stage with the widest


LITERATURE = [
    ("serial/problem_6_16", BaseStock(echelon=True), "optimum", 0.002),
    ("serial/example_6_1", BaseStock(), "optimum", 0.002),  # installation levels with the cascade: the same rule
    ("serial/example_6_1_poisson", BaseStock(echelon=True), "optimum", 0.002),
    *((f"pirhooshyaran_snyder/case_{k}", BaseStock(echelon=True), "optimum", 0.002) for k in (1, 4, 7, 10)),
    ("hdpo_serial/L4_p4", BaseStock(echelon=True), "optimum", 0.002),
    ("hdpo_serial/L4_p9", BaseStock(echelon=True), "optimum", 0.002),
    ("zipkin/poisson-L4-p4", CappedBaseStock(), "best capped base-stock", 0.002),
    ("zipkin/poisson-L4-p39", CappedBaseStock(), "best capped base-stock", 0.002),
    ("dual_sourcing/l4-ce105", CappedDualIndex(), "best capped dual index", 0.002),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "policy", "what", "share"), LITERATURE, ids=lambda x: x if isinstance(x, str) else "")
def test_the_literatures_rules_are_found(name: str, policy: BaseStock, what: str, share: float) -> None:
    instance = find(name)
    (known,) = (k.cost for k in instance.known if k.what == what)
    found = tune_by_gradient(instance.problem, policy, fresh_lanes=4096)
    half = (found.high - found.low) / 2
    assert found.cost - 2 * half <= known * (1 + share)
    assert found.cost + 2 * half >= known * (1 - 1e-4)  # nothing is better than the best


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["serial/example_6_1", "hdpo_serial/L4_p4", "pirhooshyaran_snyder/case_7", "stockpyl/assembly_3_stage", "tree"],
)
def test_it_costs_what_a_search_finds_with_fewer_periods_played(name: str) -> None:
    problem = tree_of_21() if name == "tree" else find(name).problem
    policy = BalancedBaseStock() if "assembly" in name else BaseStock(echelon=True)
    found = tune_by_gradient(problem, policy)
    lanes, periods, budget = 64, 500, 1_000
    by_search = search(
        problem.network, policy, problem.processes, jax.random.key(5), budget=budget, lanes=lanes, periods=periods,
        warmup=100,
    )  # fmt: skip
    common = {"lanes": 2048, "periods": 1000, "warmup": 100}
    costs = [played(problem, policy, theta, jax.random.key(9), **common) for theta in (found.theta, by_search.theta)]
    half = (costs[0].high - costs[0].low) / 2  # type: ignore[operator]
    assert costs[0].mean <= costs[1].mean + half
    assert found.simulated * 4 < by_search.evaluations * lanes * periods


def tree_of_21() -> Problem:
    """Four regions with four shops each; costs and demand differ."""
    rng = np.random.default_rng(4)
    network = tree(
        (4, 4), lead_time=[3, *[2] * 4, *[1] * 16], holding_cost=[0.3, *[0.6] * 4, *[1.0] * 16],
        backlog_cost=rng.uniform(5, 15, 16).round(1).tolist(), timing="order_first", initial_on_hand=10.0,
    )  # fmt: skip
    mean = rng.uniform(4, 12, 16).round(1)
    return Problem(network, Processes(demand=normal(mean.tolist(), (0.3 * mean).round(2).tolist())))
