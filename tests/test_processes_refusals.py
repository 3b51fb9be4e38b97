"""Every number out of its domain is refused by name."""

import math

import jax
import numpy as np
import pytest

from meio_jax.errors import InputError, ParameterError
from meio_jax.processes import (
    PROCESSES,
    autoregressive,
    bootstrap,
    correlated,
    cyclic,
    deterministic,
    discrete,
    discrete_uniform,
    empirical,
    fixed,
    gamma,
    geometric,
    intermittent,
    markov_demand,
    markov_lead_time,
    mixed,
    negative_binomial,
    normal,
    outages,
    poisson,
    random_yield,
    replay,
    reports,
    seasonal,
    shocked,
    uniform_yield,
)

ROW_PARAMETERS = {  # constructor, good arguments
    autoregressive: {"mean": 1.0, "sd": 1.0, "correlation": 0.5},
    deterministic: {"value": 1.0},
    discrete_uniform: {"low": 0, "high": 3},
    fixed: {"periods": 1},
    gamma: {"mean": 1.0, "cv": 1.0},
    geometric: {"mean": 1.0},
    lambda probability, shift: intermittent(poisson(1.0), probability, shift): {"probability": 0.5, "shift": 0.0},
    lambda mean, variance: negative_binomial(mean, variance): {"mean": 1.0, "variance": 2.0},
    lambda mean, dispersion: negative_binomial(mean, dispersion=dispersion): {"mean": 1.0, "dispersion": 2.0},
    normal: {"mean": 1.0, "sd": 1.0},
    outages: {"fail": 0.1, "repair": 0.5},
    poisson: {"mean": 1.0},
    random_yield: {"mean": 0.9, "sd": 0.1},
    lambda missing: reports(0, missing): {"missing": 0.5},
    lambda delay: reports(delay): {"delay": 1},
    lambda trend: seasonal(poisson(1.0), [1.0], trend): {"trend": 0.0},
    lambda probability, size, decay: shocked(poisson(1.0), probability, size, decay): {
        "probability": 0.1, "size": 1.0, "decay": 0.5},
    uniform_yield: {"low": 0.1, "high": 0.5},
}  # fmt: skip
BAD = [math.nan, math.inf, -math.inf, -2.5, 1e12, 10**30, "many", None]


@pytest.mark.parametrize("make, good, name", [(f, g, n) for f, g in ROW_PARAMETERS.items() for n in g])
@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_bad_number_is_refused_with_its_name(make, good, name, bad):
    make(**good)
    if bad is None and name in ("variance", "dispersion"):
        pytest.skip("None is the other parametrisation")
    with pytest.raises(ParameterError, match=rf"\b{name}\b"):
        make(**(good | {name: bad}))


def test_the_message_says_row_value_lane_and_domain():
    with pytest.raises(ParameterError, match=r"poisson: mean = -3 \(row 1\) is not in \[0, 1e\+06\]"):
        poisson([1.0, -3.0])
    with pytest.raises(ParameterError, match=r"normal: sd = nan \(row 0, lane 1\)"):
        normal(1.0, [[1.0, math.nan]])
    with pytest.raises(ParameterError, match=r"outages: repair = 0 \(row 0\) is not in \(0, 1\]"):
        outages(0.1, 0.0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: poisson([]), "mean has 0 rows"),
        (lambda: poisson([[[1.0]]]), "3 dimensions"),
        (lambda: poisson(True), "mean = True is not a number"),
        (lambda: poisson([[1.0], [1.0, 2.0]]), "different lengths"),
        (lambda: normal([1.0, 2.0], [1.0, 2.0, 3.0]), "mean has 2 rows, expected 1 or 3"),
        (lambda: normal([[1.0, 2.0]], [[1.0, 2.0, 3.0]]), "different numbers of lanes"),
        (lambda: normal(1.0, 1.0, rounded=1), "rounded = 1 is neither true nor false"),
        (lambda: negative_binomial(5.0), "exactly one of variance and dispersion"),
        (lambda: negative_binomial(5.0, 6.0, 0.1), "exactly one of variance and dispersion"),
        (lambda: negative_binomial([5.0, 5.0], [6.0, 4.0]), r"variance = 4 \(row 1\) is below the mean"),
        (lambda: negative_binomial(1e6, dispersion=1.0), "more than 65536 values"),
        (lambda: gamma(1e6, 1.0, rounded=True), "spreads over"),
        (lambda: discrete_uniform([0, 5], [3, 4]), "low exceeds high in row 1"),
        (lambda: discrete_uniform(0.5, 4), "low = 0.5"),
        (lambda: uniform_yield(0.9, 0.1), "low exceeds high"),
        (lambda: random_yield(0.9, 0.31), r"sd = 0.31 \(row 0\) must be below sqrt"),
        (lambda: random_yield(1.0, 0.1), "sd = 0.1"),
        (lambda: empirical([1, 2], [0.5, 0.4]), "probabilities of row 0 sum to 0.9"),
        (lambda: empirical([[1, 2], [1, 2]], [[0.5, 0.5], [0.5, 0.6]]), "probabilities of row 1 sum to 1.1"),
        (lambda: empirical([1, 2], [1.5, -0.5]), "probabilities = 1.5"),
        (lambda: empirical([1, 2, 3], [0.5, 0.5]), "lists have different lengths"),
        (lambda: empirical([], []), "must be a list of numbers"),
        (lambda: empirical([1, math.nan], [0.5, 0.5]), "values = nan"),
        (lambda: discrete([1.5, 2], [0.5, 0.5]), "values = 1.5 .* whole numbers"),
        (lambda: discrete([-1, 2], [0.5, 0.5]), "values = -1"),
        (lambda: discrete([1, 1000], [0.5, 0.5]), "values = 1000"),
        (lambda: discrete([1, 2], [0.5, 0.6]), "sum to 1.1"),
        (lambda: discrete([1, 2], [0.5, 0.5], crossing="no"), "crossing"),
        (lambda: markov_demand([poisson(1.0)] * 2, [[0.5, 0.5], [0.5, 0.6]]), r"transition\[1\] sums to 1.1"),
        (lambda: markov_demand([poisson(1.0)] * 2, [[0.5, 0.5], [math.nan, 1]]), r"transition\[1\]\[0\] = nan"),
        (lambda: markov_demand([poisson(1.0)] * 2, [[1.0, 0.0], [0.5, 0.5]]), "never leads from regime 0 to 1"),
        (lambda: markov_demand([poisson(1.0)] * 2, [[1.0]]), "transition has shape"),
        (lambda: markov_lead_time([fixed(1)] * 2, "chain"), "transition must be a square matrix"),
        (lambda: correlated(poisson([1.0, 2.0]), 1.5), "correlation.*1.5 is not in"),
        (lambda: correlated(poisson([1.0] * 3), -0.9), "eigenvalue"),
        (lambda: correlated(poisson([1.0, 2.0]), [[1, 0.5], [0.4, 1]]), "symmetric"),
        (lambda: correlated(poisson([1.0, 2.0]), [[1, 0.5]]), "shape"),
        (lambda: correlated(poisson([1.0, 2.0]), math.nan), "correlation"),
        (lambda: correlated(poisson([1.0, 2.0]), "much"), "correlation"),
        (lambda: bootstrap([[1.0], [-1.0]], 1), r"history = -1 \(period 1, row 0\)"),
        (lambda: bootstrap([[1.0], [math.nan]], 1), "history = nan"),
        (lambda: bootstrap([], 1), "history must be"),
        (lambda: bootstrap(np.ones((5, 1)), 7), "block = 7 .* at least 7 periods, got 5"),
        (lambda: bootstrap(np.ones((10, 1)), 7, cycle=7), "at least 13 periods"),
        (lambda: bootstrap(np.ones((9, 1)), 0), "block = 0"),
        (lambda: bootstrap(np.ones((9, 1)), 1.5), "block = 1.5"),
        (lambda: bootstrap(np.ones((9, 1, 2)), 2), "one history"),
        (lambda: replay([[1.0]], -1), "offset = -1"),
        (lambda: replay([[1.0]], 1), "offset = 1"),
        (lambda: replay([[1.0]], math.nan), "offset = nan"),
        (lambda: replay([[1.0]], anywhere=True), "anywhere needs wrap"),
        (lambda: replay(np.ones((3, 1, 2)), [0, 1]), "one offset"),
        (lambda: seasonal(poisson(1.0), [1.0, -1.0]), "profile = -1"),
        (lambda: seasonal(poisson([1.0, 2.0]), [[1.0]] * 3), "profile has 3 rows"),
        (lambda: seasonal(poisson(1.0), [1.0], start=-1), "start = -1"),
        (lambda: intermittent(poisson(1.0), [0.5, 0.5]), "probability has 2 rows"),
        (lambda: reports([0, 1], [0.1] * 3), "missing has 3 rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: seasonal(5.0, [1.0]), "base must be a process, got float"),
        (lambda: seasonal(fixed(1), [1.0]), "must be a demand process"),
        (lambda: intermittent(outages(0.1, 0.5), 0.5), "must be a demand process"),
        (lambda: shocked(None, 0.1, 1.0), "base must be a process"),
        (lambda: correlated(autoregressive(1.0, 1.0, 0.5), 0.5), "does not invert"),
        (lambda: correlated(gamma([1.0, 2.0], 1.0), 0.5), "unrounded gamma"),
        (lambda: cyclic([]), "at least one phase"),
        (lambda: cyclic([poisson(1.0), normal(1.0, 1.0)]), "of one kind"),
        (lambda: cyclic([poisson(1.0), poisson([1.0, 2.0])]), "same rows"),
        (lambda: cyclic([autoregressive(1.0, 1.0, 0.5)]), "has a memory"),
        (lambda: markov_demand([], []), "at least one regime"),
        (lambda: markov_demand([poisson(1.0), poisson([1.0, 2.0])], np.full((2, 2), 0.5)), "different numbers of rows"),
        (lambda: markov_lead_time([poisson(1.0)], [[1.0]]), "must be a lead_time process"),
        (lambda: reports(poisson(1.0)), "must be a lead_time process"),
        (lambda: mixed([]), "every row from 0"),
        (lambda: mixed([(poisson(1.0), 0), (poisson(1.0), 0)]), "served once"),
        (lambda: mixed([(poisson(1.0), 1)]), "every row from 0"),
        (lambda: mixed([(poisson([1.0, 2.0]), 0)]), "has 2 rows"),
        (lambda: mixed([(poisson(1.0), 0), (fixed(1), 1)]), "different roles"),
        (lambda: mixed([(3.0, 0)]), "must be a process"),
    ],
)
def test_what_does_not_fit_together_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_table_needs_numbers_that_can_be_read():
    with pytest.raises(ParameterError, match="construct outside of jit"):
        jax.jit(lambda m: poisson(m).mean)(1.0)


def test_every_default_is_inside_its_domain():
    for kinds in PROCESSES.values():
        for cls in kinds.values():
            for name, p in cls.parameters.items():
                if isinstance(p.default, float):
                    assert p.allows(np.array(p.default)), (cls.kind, name)
