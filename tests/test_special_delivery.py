"""One warehouse with special deliveries: the network against a plain loop over the day as the papers describe it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax.instances import find
from meio_jax.instances.special_delivery import SpecialDelivery, _water
from meio_jax.kpis import total_cost
from meio_jax.processes import draw
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario
from meio_jax.solvers.played import played

PERIODS, WARMUP, LANES = 400, 100, 32


def days(demand, warehouse, store, *, lead, holding, lost, special, willing, capacity):
    """Mean cost a day of order-up-to levels after the warm-up. demand ``[T, K, B]``; see Van Roy et al., section 2.

    lead: days from an order to the warehouse's and to a store's stock. Stock is charged before demand.
    """
    _, stores, lanes = demand.shape
    stock, coming = np.full(lanes, float(warehouse)), np.zeros((lead[0], lanes))
    shelf, sent = np.full((stores, lanes), float(store)), np.zeros((lead[1], stores, lanes))
    total = np.zeros(lanes)
    for t, asked in enumerate(demand):
        position = shelf + sent.sum(0)
        low, high = np.zeros(lanes), np.full(lanes, float(store))
        for _ in range(40):  # halving finds the level to which the stock can raise the lowest
            level = (low + high) / 2
            enough = np.maximum(level - position, 0).sum(0) <= stock
            low, high = np.where(enough, level, low), np.where(enough, high, level)
        shipped = np.maximum(low - position, 0)
        stock = stock - shipped.sum(0)
        order = np.clip(warehouse - stock - coming.sum(0), 0, capacity)
        cost = holding[0] * stock + holding[1] * shelf.sum(0)
        if not lead[0]:
            stock = stock + order
        unmet = np.maximum(asked - shelf, 0)
        wanted = willing * unmet
        given = wanted * np.minimum(1, stock / np.maximum(wanted.sum(0), 1e-12))
        shelf = np.maximum(shelf - asked, 0)
        cost = cost + special * given.sum(0) + lost * (unmet - given).sum(0)
        stock = stock - given.sum(0)
        if lead[0]:
            coming[-1] += order
            stock, coming = stock + coming[0], np.concatenate([coming[1:], 0 * coming[:1]])
        sent[-1] += shipped  # an order of a lead time of one day is there in the morning
        shelf, sent = shelf + sent[0], np.concatenate([sent[1:], 0 * sent[:1]])
        total += cost * (t >= WARMUP)
    return total / (len(demand) - WARMUP)


@pytest.mark.parametrize(
    "name, numbers",
    [
        ("simple", {"lead": (0, 1), "holding": (1, 2), "lost": 50, "special": 10, "willing": 1.0, "capacity": 10}),
        ("case_1", {"lead": (2, 2), "holding": (3, 3), "lost": 60, "special": 0, "willing": 0.8, "capacity": 100}),
    ],
)
def test_the_network_costs_what_the_papers_day_costs(name, numbers):
    instance = find(f"van_roy/{name}")
    network, processes = instance.problem.network, instance.problem.processes
    policy, theta = instance.known[0].rule()
    shocks = draw(processes, jax.random.key(5), PERIODS, LANES).shocks
    ours = rollout(
        network, policy, theta, Scenario(shocks), jax.random.key(0), warmup=WARMUP, measure=total_cost
    ).totals / (PERIODS - WARMUP)
    levels = float(theta["warehouse"][0, 0]), float(theta["store"][0, 0])
    theirs = days(np.asarray(shocks.demand, float), *levels, **numbers)
    # The same demand: what differs is the first and the last days of a run.
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0.02)
    assert float(ours.mean()) == pytest.approx(theirs.mean(), rel=0.004)


@pytest.mark.slow
def test_published_costs_are_near():
    """Not equal: how they were simulated is not printed. Another reproduction is as far off: 0, 1.3 and 7.2 %."""
    for name, off in (("simple", 0.005), ("case_1", 0.015), ("case_2", 0.08)):
        instance = find(f"van_roy/{name}")
        policy, theta = instance.known[0].rule()
        cost = played(instance.problem, policy, theta, jax.random.key(1), lanes=512).mean
        assert cost == pytest.approx(instance.known[0].cost, rel=off)


def test_water_finds_its_level(rngs):
    position = rngs.numpy.normal(5, 4, (6, 40))
    stock = rngs.numpy.uniform(0, 30, 40)
    level = np.asarray(_water(jnp.asarray(position), jnp.asarray(stock)))
    np.testing.assert_allclose(np.maximum(level - position, 0).sum(0), stock, rtol=1e-4, atol=1e-4)


def test_special_deliveries_come_from_what_is_left():
    """Nothing that arrives on a day is delivered specially on it, and no more than there is is promised."""
    instance = find("kaynov/case_11")
    network = instance.problem.network
    theta = {"warehouse": jnp.full((1, 1), 20.0), "store": jnp.full((3, 1), 2.0)}
    seen = rollout(
        network, SpecialDelivery(echelon=True), theta, instance.problem.processes, jax.random.key(2),
        periods=60, lanes=16, keep_trajectory=True,
    ).trajectory  # fmt: skip
    special = [e for e, a in enumerate(network.wiring.arcs) if a.startswith("special")]
    regular = [e for e, a in enumerate(network.wiring.arcs) if a.startswith("regular")]
    shipped, before = np.asarray(seen.flows.shipped), np.asarray(seen.seen.on_hand)[:, 0, 0]
    given = shipped[:, special].sum(1)
    assert given.max() > 0 and np.all(given <= before + 1e-4)
    wanted = np.asarray(seen.orders)
    np.testing.assert_allclose(shipped[:, regular], wanted[:, regular], atol=1e-4)
    np.testing.assert_allclose(shipped[:, special], 0.8 * wanted[:, special], atol=1e-4)
    lost = np.asarray(seen.flows.lost)[:, network.wiring.n_inner :]
    assert lost.sum() > 0 and np.all(np.asarray(seen.flows.backlog) < 1e-4)
