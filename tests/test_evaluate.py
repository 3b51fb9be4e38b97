"""Comparing policies: same scenarios, honest intervals, numbers that do not drown in float32."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network, scenario_of
from meio_jax.errors import InputError, NonFiniteError, NumberError, UnknownNameError
from meio_jax.evaluate import evaluate, t_interval
from meio_jax.policies import BaseStock
from meio_jax.processes import Processes, normal

KEY = jax.random.key(0)


def site(lead_time=1):
    arcs = [Arc(OUTSIDE, "s", lead_time=lead_time), Arc("s", CUSTOMER, backlog_cost=9)]
    return build_network([Node("s", holding_cost=1)], arcs)


def level(x):
    return BaseStock(), {"level": jnp.asarray([[x]], jnp.float32)}


def numpy_costs(demand, level):
    """The site in float64: order up to the level, receive the previous order, serve."""
    demand = np.asarray(demand, np.float64)
    stock, due, costs = np.zeros(demand.shape[1:]), np.zeros(demand.shape[1:]), []
    for d in demand:
        order = np.maximum(level - stock - due, 0)
        stock, due = stock + due - d, order
        costs.append(np.maximum(stock, 0) + 9 * np.maximum(-stock, 0))
    return np.array(costs)


DEMAND = np.random.default_rng(0).gamma(4.0, 1.5, (200, 1, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def result():
    policies = {"low": level(12.0), "high": level(18.0)}
    return evaluate(site(), policies, scenario_of(DEMAND), KEY, warmup=20, baseline="low")


def test_means_and_intervals_against_numpy(result):
    for name, at in (("low", 12.0), ("high", 18.0)):
        lanes = numpy_costs(DEMAND[:, 0], at)[20:].mean(0)
        x = result.kpis[name]["cost"]
        interval = stats.ttest_1samp(lanes, 0).confidence_interval(0.95)
        np.testing.assert_allclose((x.mean, x.low, x.high), (lanes.mean(), *interval), rtol=1e-5)
    assert result.interval == "lanes" and "40 independent lanes" in result.note


def test_paired_differences_against_numpy(result):
    low, high = (numpy_costs(DEMAND[:, 0], at)[20:].mean(0) for at in (12.0, 18.0))
    d = result.differences["high"]
    interval = stats.ttest_rel(high, low).confidence_interval(0.95)
    np.testing.assert_allclose((d.cost.mean, d.cost.low, d.cost.high), ((high - low).mean(), *interval), rtol=1e-4)
    np.testing.assert_allclose(d.percent.mean, 100 * (high.mean() / low.mean() - 1), rtol=1e-4)
    # The delta method agrees with the jackknife.
    n = len(low)
    leave = np.array([(high.sum() - high[k]) / (low.sum() - low[k]) for k in range(n)])
    jackknife = 100 * np.sqrt((n - 1) / n * ((leave - leave.mean()) ** 2).sum()) * stats.t.ppf(0.975, n - 1)
    np.testing.assert_allclose(d.percent.high - d.percent.mean, jackknife, rtol=0.1)
    assert set(result.differences) == {"high"}
    # Pairing is worth it: unpaired the interval would be wider.
    assert d.cost.high - d.cost.low < result.kpis["low"]["cost"].high - result.kpis["low"]["cost"].low


def test_rows_table_and_json(result):
    rows = result.rows()
    assert [r["policy"] for r in rows] == ["low", "high"]
    assert rows[1]["difference"] == result.differences["high"].cost.mean and rows[0]["percent"] is None
    assert json.loads(json.dumps(result.to_json()))["kpis"]["low"]["fill_rate"]["mean"] == pytest.approx(
        rows[0]["fill_rate"]
    )
    lines = result.table().splitlines()
    assert len({len(x) for x in lines[:4]}) == 1 and lines[0].startswith("policy") and "vs low" in lines[0]


def test_all_policies_meet_the_same_draws(key_reuse):
    source = Processes(demand=normal(5.0, 2.0))
    found = evaluate(
        site(), {"a": level(12.0), "b": level(12.0)}, source, jax.random.key(0), periods=60, lanes=16, baseline="a"
    )
    assert found.differences["b"].cost.mean == 0.0 and found.differences["b"].cost.high == 0.0
    again = evaluate(site(), {"b": level(12.0)}, source, jax.random.key(0), periods=60, lanes=16)
    assert again.kpis["b"] == found.kpis["b"] and again.baseline is None and "vs" not in again.table()


def test_one_history_has_batch_means():
    one = DEMAND[:, :, :1]
    found = evaluate(
        site(), {"low": level(12.0), "high": level(18.0)}, scenario_of(one), KEY, warmup=20, baseline="low"
    )
    costs = {name: numpy_costs(one[:, 0], at)[20:, 0] for name, at in (("low", 12.0), ("high", 18.0))}
    assert found.interval == "batches" and "25 batches of 7 periods" in found.note
    means = {k: v[:175].reshape(25, 7).mean(1) for k, v in costs.items()}
    x = found.kpis["low"]["cost"]
    half = stats.t.ppf(0.975, 24) * means["low"].std(ddof=1) / 5
    np.testing.assert_allclose((x.mean, x.high - x.mean), (costs["low"].mean(), half), rtol=1e-4)
    d = found.differences["high"].cost
    half = stats.t.ppf(0.975, 24) * (means["high"] - means["low"]).std(ddof=1) / 5
    np.testing.assert_allclose((d.mean, d.high - d.mean), ((costs["high"] - costs["low"]).mean(), half), rtol=1e-4)


def test_too_short_a_history_has_no_interval():
    found = evaluate(site(), {"a": level(12.0)}, scenario_of(DEMAND[:30, :, :1]), KEY)
    assert found.interval == "none" and found.kpis["a"]["cost"].low is None
    assert "n/a" in found.table()
    json.dumps(found.to_json())


def test_ten_years_in_float32_are_right():
    demand = np.random.default_rng(1).gamma(2.0, 300.0, (3650, 1, 4)).astype(np.float32)
    found = evaluate(site(), {"a": level(2500.0)}, scenario_of(demand), KEY)
    exact = numpy_costs(demand[:, 0], 2500.0).mean(0)
    np.testing.assert_allclose(found.kpis["a"]["cost"].mean, exact.mean(), rtol=2e-6)
    assert found.kpis["a"]["cost"].low == pytest.approx(t_interval(exact, 0.95)[0], rel=1e-5)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(2000):
        low, high = t_interval(rng.normal(size=8), 0.9)
        hits += low <= 0 <= high
    assert abs(hits / 2000 - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 2000)
    assert t_interval(np.ones(1), 0.9) == (None, None)


def test_what_is_not_finite_names_the_policy():
    with pytest.raises(NonFiniteError, match="policy 'broken': cost is NaN or infinite in 40 of 40"):
        evaluate(site(), {"fine": level(12.0), "broken": level(np.nan)}, scenario_of(DEMAND), KEY, warmup=20)


def test_what_does_not_fit_is_refused():
    fine, scenario = {"a": level(12.0)}, scenario_of(DEMAND)
    with pytest.raises(UnknownNameError, match="baseline 'b' is none of the policies: a"):
        evaluate(site(), fine, scenario, KEY, baseline="b")
    with pytest.raises(InputError, match="at least one policy"):
        evaluate(site(), {}, scenario, KEY)
    with pytest.raises(InputError, match="warmup = 200"):
        evaluate(site(), fine, scenario, KEY, warmup=200)
    with pytest.raises(InputError, match="level = 95"):
        evaluate(site(), fine, scenario, KEY, level=95)
    with pytest.raises(InputError, match="needs periods= and lanes="):
        evaluate(site(), fine, Processes(demand=normal(5.0, 2.0)), KEY)
    with pytest.raises(NumberError, match=r"demand of .* is -1"):
        evaluate(site(), fine, scenario_of(np.full((9, 1), -1.0, np.float32)), KEY)
