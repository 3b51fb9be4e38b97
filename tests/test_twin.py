"""From history to a fitted world: the fit recovers what a known world has, and the network is what the history says."""

import jax
import numpy as np
import pytest

from meio_jax import Processes, draw, initial_state
from meio_jax.data import describe, make_history, synthetic_history
from meio_jax.twin import RetailCosts, distribution_centre, fit_demand


@pytest.fixture(scope="module")
def history():
    return synthetic_history(seed=3, stores=5, days=364)


@pytest.fixture(scope="module")
def fit(history):
    return fit_demand(history)


def test_fit_reproduces_mean_dispersion_profile_and_correlation(history, fit):
    facts = describe(history)
    demand = np.asarray(draw(Processes(demand=fit.process), jax.random.key(0), 364, 128).shocks.demand)
    n = demand.shape[0] * demand.shape[2]
    mean = demand.mean((0, 2))
    deviation = demand.std((0, 2))
    assert np.all(np.abs(mean - facts["mean"]) < 5 * deviation / np.sqrt(n))
    weekday = (np.arange(364) + fit.start) % 7
    for day in range(7):
        drawn = demand[weekday == day]
        expected = fit.mean[day]
        bound = 5 * drawn.std((0, 2)) / np.sqrt(drawn.shape[0] * drawn.shape[2])
        assert np.all(np.abs(drawn.mean((0, 2)) - expected) < bound)
        ratio = drawn.var((0, 2)) / drawn.mean((0, 2))
        assert np.allclose(ratio, fit.dispersion, rtol=0.1)
    residual = demand - fit.mean[weekday][:, :, None]
    flat = residual.transpose(1, 0, 2).reshape(5, -1)
    between = np.corrcoef(flat)[np.triu_indices(5, 1)].mean()
    assert between == pytest.approx(facts["residual_correlation_mean"], abs=0.03)


def test_period_zero_falls_on_the_day_after_the_history(history, fit):
    first = int((history.dates[-1] - np.datetime64("1970-01-05", "D")).astype(int) + 1) % 7  # 1970-01-05: a Monday
    assert fit.start == first
    assert fit_demand(history, start=9).start == 2


def test_quiet_demand_is_poisson_and_lone_customers_are_uncorrelated():
    rng = np.random.default_rng(0)
    days = np.arange("2024-01-01", "2024-07-01", dtype="datetime64[D]")
    quiet = make_history(
        np.full((len(days), 1), 4.0) + rng.integers(0, 2, (len(days), 1)),
        dates=days, customers=("a",), product_group="x", unit_value=1.0, source="test", synthetic=True,
    )  # fmt: skip
    fit = fit_demand(quiet)
    assert fit.latent == 0.0
    drawn = np.asarray(draw(Processes(demand=fit.process), jax.random.key(1), 364, 64).shocks.demand)
    assert drawn.mean() == pytest.approx(quiet.demand.mean(), rel=0.02)


def test_network_carries_the_costs_and_the_stores(history):
    costs = RetailCosts(centre_holding=0.01, store_holding=0.03, lost_sale=0.5, store_order=0.2, supplier_lead_time=4)
    network = distribution_centre(history, costs)
    w = network.wiring
    assert w.nodes == ("centre", *(f"store {c}" for c in history.customers))
    assert w.timing == "order_first" and w.integer
    assert w.lead_time[0] == 4 and set(w.lead_time[1:]) == {1}
    assert np.allclose(np.asarray(network.holding_cost)[:, 0], history.unit_value * np.array([0.01] + [0.03] * 5))
    assert np.allclose(np.asarray(network.lost_cost)[w.n_inner :, 0], 0.5 * history.unit_value)
    assert np.all(np.asarray(network.keep)[w.n_inner :] == 0)
    assert np.allclose(np.asarray(network.fixed_order_cost)[1:, 0], 0.2 * history.unit_value)
    stock = np.asarray(initial_state(network, 2).on_hand)
    assert np.all(stock == np.floor(stock)) and np.all(stock > 0)
