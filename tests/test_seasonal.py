"""Base-stock levels that follow a season: by hand, and as what an untrained network orders."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import Processes, rollout, total_cost
from meio_jax.errors import InputError
from meio_jax.policies import BaseStock, SeasonalBaseStock
from meio_jax.policies.neural import NeuralPolicy
from meio_jax.policies.scale import scale_of
from meio_jax.processes import deterministic, poisson, seasonal
from meio_jax.topologies import distribution, serial

WEEK = np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]])
KEY = jax.random.key(0)


def cost(network, policy, theta, world):
    return np.asarray(rollout(network, policy, theta, world, KEY, periods=70, lanes=4, measure=total_cost).totals)


def test_season_is_the_demand_that_an_order_covers():
    network = serial(2, lead_time=[2, 1], holding_cost=[1.0, 2.0], backlog_cost=9.0, timing="order_first")
    season = np.array(SeasonalBaseStock.following(network, WEEK).season)
    assert season.shape == (7, 2)
    assert season[0, 1] == (1 + 2) - 8  # the shop: its lead time 1 and the review period, less the average of 2 x 4
    assert season[0, 0] == (1 + 2 + 3 + 4) - 16  # the echelon upstream: 2 + 1 periods and the review
    assert season[6, 1] == (7 + 1) - 8  # around the week's end
    assert np.allclose(season.sum(0), 0)
    seen = serial(2, lead_time=[2, 1], holding_cost=[1.0, 2.0], backlog_cost=9.0, timing="demand_first")
    assert SeasonalBaseStock.following(seen, WEEK).season[0][1] == 1 - 4


def test_swing_zero_is_base_stock_and_swing_one_meets_known_demand_exactly():
    network = serial(1, lead_time=1, holding_cost=1.0, backlog_cost=9.0, initial_on_hand=3.0, timing="order_first")
    rule = SeasonalBaseStock.following(network, WEEK)
    level = jnp.array([[8.0]])
    world = Processes(demand=seasonal(deterministic([1.0]), WEEK[:, 0]))
    flat = cost(network, rule, {"level": level, "swing": jnp.zeros((1, 1))}, world)
    assert np.allclose(flat, cost(network, BaseStock(echelon=True), {"level": level}, world))
    following = cost(network, rule, {"level": level, "swing": jnp.ones((1, 1))}, world)
    assert np.all(following <= 3.0) and np.all(flat > 50)  # no stock is left and nothing is owed, after the first days


def test_demand_of_the_wrong_shape_is_refused():
    with pytest.raises(InputError, match="demand has shape"):
        SeasonalBaseStock.following(serial(1, backlog_cost=1.0), np.ones((7, 2)))


def test_untrained_network_with_a_season_orders_by_the_rule():
    network = distribution(2, lead_time=[2, 1], holding_cost=[0.5, 1.0], backlog_cost=9.0)
    world = Processes(demand=seasonal(poisson([4.0, 6.0]), np.linspace(0.5, 1.5, 7)))
    demand = np.linspace(0.5, 1.5, 7)[:, None] * np.array([[4.0, 6.0]])
    rule = SeasonalBaseStock.following(network, demand)
    theta = {"level": jnp.array([[40.0], [10.0], [14.0]]), "swing": jnp.array([[0.5], [1.0], [0.8]])}
    scale = scale_of(network, jnp.array([[4.0], [6.0]]), jnp.array([[2.0], [2.5]]))
    season = theta["swing"] * jnp.asarray(rule.season)[..., None]
    scale = dataclasses.replace(scale, echelon=theta["level"], season=season)
    policy = NeuralPolicy(cycle=7)
    numbers = policy.init(jax.random.key(1), network, scale)
    np.testing.assert_allclose(cost(network, policy, numbers, world), cost(network, rule, theta, world), rtol=1e-4)
