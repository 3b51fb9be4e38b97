"""The race compares equal physics: on the same demand the Numba kernels and the library cost the same, lane by lane."""

import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax.scenario import Scenario, Shock

pytest.importorskip("numba", reason="the bench extra is not installed")

from benchmarks.race import LEAD_TIMES, all_cases

PERIODS, LANES = 60, 6
CASES = [case for case in all_cases() if case.measure == "total_cost"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_demand_same_cost(case, rngs):
    w = case.network.wiring
    demand = np.maximum(rngs.numpy.normal(5.0, 3.0, (PERIODS, w.n_customers, LANES)), 0.0).astype(np.float32)
    lead = rngs.numpy.choice(LEAD_TIMES, (PERIODS, w.n_inner, LANES)).astype(np.int32) if case.crossing else None
    shock = Shock(demand=jnp.asarray(demand), lead_time=None if lead is None else jnp.asarray(lead))
    ours = np.asarray(case.library(LANES, PERIODS, Scenario(shock)))
    theirs = case.kernel(LANES, PERIODS, demand, lead)
    assert ours.std() > 0
    np.testing.assert_allclose(theirs, ours, rtol=2e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fresh_demand_same_mean_cost(case):
    ours = np.asarray(case.library(2_000, 100)) / 100
    theirs = case.kernel(2_000, 100) / 100
    error = np.sqrt(ours.var() / ours.size + theirs.var() / theirs.size)
    assert abs(ours.mean() - theirs.mean()) < 5 * error
