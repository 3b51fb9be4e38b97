"""Laws of demand against the draws of the processes that they are of, and against their own moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax.errors import UnsuitableError
from meio_jax.files import load_system
from meio_jax.processes import (
    Processes,
    autoregressive,
    correlated,
    deterministic,
    discrete_uniform,
    draw,
    empirical,
    gamma,
    geometric,
    intermittent,
    mean_demand,
    mixed,
    negative_binomial,
    normal,
    poisson,
    sd_demand,
    seasonal,
)
from meio_jax.solvers.laws import Normal, Pmf, Poisson
from meio_jax.solvers.problem import problem_of
from meio_jax.solvers.process_laws import laws_of
from meio_jax.system import System
from meio_jax.topologies import serial

#: One of each kind, each with two rows, and where the cut or the rounding matters.
KINDS = {
    "deterministic": deterministic([4.0, 2.5]),
    "poisson": poisson([0.3, 12.0]),
    "normal": normal([5.0, 1.0], [1.0, 2.0]),
    "normal rounded": normal([20.0, 0.5], [0.8, 3.0], rounded=True),
    "gamma": gamma([4.0, 10.0], [0.5, 1.5]),
    "gamma rounded": gamma([4.0, 10.0], [0.5, 1.5], rounded=True),
    "geometric": geometric([5.0, 0.7]),
    "negative binomial": negative_binomial([4.0, 6.0], variance=[9.0, 6.0]),
    "discrete uniform": discrete_uniform([0, 3], [4, 11]),
    "empirical": empirical([[0.5, 2.0, 7.25], [3, 1, 1]], [[0.2, 0.5, 0.3], [0.25, 0.5, 0.25]]),
    "intermittent": intermittent(geometric([4.0, 1.0]), [0.3, 0.9], shift=1),
}
DRAWS = 100_000


@pytest.fixture(scope="module")
def sample():
    """Draws of every kind from one program: ``{kind: [2, n]}``."""
    together = mixed([(p, (2 * k, 2 * k + 1)) for k, p in enumerate(KINDS.values())])
    rows = np.asarray(draw(Processes(demand=together), jax.random.key(7), 1, DRAWS).shocks.demand[0], float)
    return {name: rows[2 * k : 2 * k + 2] for k, name in enumerate(KINDS)}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_draws_follow_the_law(sample, kind, whole):
    laws, reason = laws_of(KINDS[kind], whole=whole)
    assert reason == "" and len(laws) == 2
    for law, x in zip(laws, np.floor(sample[kind] + 0.5) if whole else sample[kind], strict=True):
        n = x.size
        assert x.mean() == pytest.approx(law.mean, abs=5 * law.sd / np.sqrt(n) + 1e-6 * (1 + law.mean))
        fourth = np.mean((x - x.mean()) ** 4)
        assert x.var() == pytest.approx(law.sd**2, abs=5 * np.sqrt(fourth / n) + 1e-4 * law.sd**2)
        points = np.unique(np.quantile(x, np.linspace(0.02, 0.98, 25)))
        if law.step is None:
            low = high = law.cdf(points)
        elif law.step < law.sd / 50:  # a fine lattice moves what is drawn by less than a step
            low, high = law.cdf(points - law.step), law.cdf(points + law.step)
        else:  # between lattice points, where single precision cannot move a draw to the other side
            points = points + 0.37 * law.step
            low = high = law.cdf(points)
        drawn = (x[:, None] <= points).mean(0)
        error = 5 * np.sqrt(np.clip(drawn * (1 - drawn), 1 / n, None) / n)
        assert np.all(drawn >= low - error) and np.all(drawn <= high + error)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_that_the_process_knows(kind):
    laws, _ = laws_of(KINDS[kind])
    if "rounded" in kind:  # the process's own are by a midpoint rule
        tolerance = 2e-3
    else:
        tolerance = 2e-5
    np.testing.assert_allclose([law.mean for law in laws], mean_demand(KINDS[kind])[:, 0], rtol=tolerance)
    np.testing.assert_allclose([law.sd for law in laws], sd_demand(KINDS[kind])[:, 0], rtol=10 * tolerance, atol=1e-6)


def test_kinds_of_laws():
    assert laws_of(poisson([5.0, 0.1]))[0] == (Poisson(5.0), Poisson(0.1))  # the decimal numbers, not float32's
    near, far = laws_of(normal([4.9, 5.0], 1.0))[0]
    assert far == Normal(5.0, 1.0)  # the cut at 0 does not matter
    assert isinstance(near, Pmf) and near.first == 0
    assert isinstance(laws_of(normal(50.0, 1.0), whole=True)[0][0], Pmf)
    (law,), _ = laws_of(empirical([0.1, 0.4, 1.0], [0.2, 0.3, 0.5]))
    assert law.step == pytest.approx(0.3) and law.probabilities == pytest.approx([0.2, 0.3, 0, 0.5])


def test_mixed_rows_stay_in_place():
    laws, _ = laws_of(mixed([(poisson([4.0, 30.0]), (2, 0)), (deterministic(1.0), 1)]))
    assert [law.mean for law in laws] == [30, 1, 4]


@pytest.mark.parametrize(
    "process, said",
    [
        (seasonal(poisson(5.0), [1.0, 2.0]), "'seasonal'"),
        (autoregressive(5.0, 1.0, 0.5), "'autoregressive'"),
        (mixed([(poisson(3.0), 0), (seasonal(poisson(5.0), [1.0, 2.0]), 1)]), "'seasonal'"),
        (correlated(normal([5.0, 9.0], 1.0), 0.5), "correlated"),
        (intermittent(gamma(4.0, 0.5), 0.5), "whole units"),
    ],
)
def test_demand_without_a_law_says_why(process, said):
    laws, reason = laws_of(process)
    assert laws == () and said in reason


def test_rows_that_are_coupled_by_nothing_have_laws():
    assert laws_of(correlated(poisson([5.0, 9.0]), 0.0))[0] == (Poisson(5.0), Poisson(9.0))
    assert laws_of(correlated(poisson(5.0), 0.9))[0] == (Poisson(5.0),)


def test_numbers_that_differ_between_lanes_are_refused():
    with pytest.raises(UnsuitableError, match="mean differs between lanes"):
        laws_of(poisson(jnp.asarray([[4.0, 5.0]])))


def test_problem_of_a_system():
    network = serial(1, backlog_cost=1.0, integer=True)
    problem = problem_of(System(network, Processes(demand=normal(5.0, 1.0))), criterion="total", periods=9)
    assert problem.criterion == "total" and problem.periods == 9 and problem.no_laws == ""
    assert isinstance(problem.laws[0], Pmf) and problem.laws[0].step == 1  # the network counts whole units
    assert "correlated" in problem_of(load_system("examples/warehouse_retailers.yaml")).no_laws
