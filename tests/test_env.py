"""The environment for learners plays the same system as `rollout`, and never begins anew by itself."""

import dataclasses
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import example_6_1

from meio_jax.env import Env
from meio_jax.errors import InputError
from meio_jax.kpis import total_cost
from meio_jax.observation import echelon_position
from meio_jax.policies.base import Decision
from meio_jax.processes import Processes, discrete, normal, reports
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario
from meio_jax.topologies import serial, tree

LANES, PERIODS = 5, 12


@dataclasses.dataclass(frozen=True)
class UpToTwenty:
    """Each input's echelon position up to 20."""

    theta_has_lanes: ClassVar[bool] = False

    def init(self, key: Any, network: Any) -> None:
        return None

    def memory(self, network: Any, lanes: int) -> None:
        return None

    def apply(self, network: Any, theta: Any, memory: Any, seen: Any, key: Any) -> Any:
        return Decision(jnp.maximum(20.0 - echelon_position(network, seen), 0.0)), None


def numbers(**others: Any) -> dict[str, Any]:
    return {"holding_cost": 1.0, "backlog_cost": 9.0, "lead_time": 2, "initial_on_hand": 6.0, **others}


SYSTEMS = {
    "order_first": (serial(2, **numbers()), 1),
    "demand_first": (serial(2, timing="demand_first", **numbers()), 1),
    "ship_first": (serial(2, timing="ship_first", **numbers()), 1),
    "goodwill": (
        serial(2, timing="demand_first", erosion=0.5, restoration=0.2, keep=0.5, lost_cost=3.0, **numbers()),
        1,
    ),
    "tree": (tree((3,), **numbers()), 3),
}


def env_of(name: str) -> Env:
    network, customers = SYSTEMS[name]
    return Env(network, Processes(demand=normal([5.0] * customers, [2.0] * customers)))


@partial(jax.jit, static_argnames=("lanes", "oldest"))
def reset(env: Env, key: jax.Array, lanes: int = LANES, oldest: int = 0) -> Any:
    return env.reset(key, lanes, oldest=oldest)


@jax.jit
def step(env: Env, state: Any, orders: Any, key: jax.Array) -> Any:
    return env.step(state, orders, key)


def play(env: Env, key: jax.Array, periods: int = PERIODS, oldest: int = 0) -> tuple[list[Any], Any]:
    """The shock, what was seen, the reward and the flows of each period, with the policy of this file."""
    first, *keys = jax.random.split(key, periods + 1)
    state = reset(env, first, oldest=oldest)
    orders = jax.jit(lambda state: UpToTwenty().apply(env.network, None, None, state.seen, None)[0])
    out = []
    for k in keys:
        shock, seen = state.shock, state.seen
        state, moved = step(env, state, orders(state), k)
        out.append((shock, seen, moved.reward, moved.flows))
    return jax.tree.map(np.asarray, out), state


@pytest.mark.parametrize("name", SYSTEMS)
def test_steps_are_the_periods_of_a_rollout(name, rngs):
    env = env_of(name)
    out, state = play(env, rngs.key)
    shocks = jax.tree.map(lambda *x: np.stack(x), *[o[0] for o in out])
    same = rollout(env.network, UpToTwenty(), None, Scenario(shocks), jax.random.key(0), keep_trajectory=True)
    flows = jax.tree.map(lambda *x: np.stack(x), *[o[3] for o in out])
    seen = jax.tree.map(lambda *x: np.stack(x), *[o[1] for o in out])
    for mine, theirs in ((flows, same.trajectory.flows), (seen, same.trajectory.seen), (state.state, same.carry.state)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), mine, theirs)
    cost = jax.jit(total_cost)
    for _, _, reward, moved in out:
        np.testing.assert_allclose(reward, -cost(env.network, moved), rtol=1e-6)
    assert int(state.state.t) == PERIODS


def test_late_reports_are_those_of_a_rollout(rngs):
    network, _ = SYSTEMS["order_first"]
    late = reports(discrete([[0, 1, 2]] * 2, [[0.2, 0.5, 0.3]] * 2))
    env = Env(network, Processes(demand=normal(5.0, 2.0), reporting=late))
    out, _ = play(env, rngs.key, oldest=3)
    shocks = jax.tree.map(lambda *x: np.stack(x), *[o[0] for o in out])
    assert float(shocks.report_age.max()) > 0
    same = rollout(env.network, UpToTwenty(), None, Scenario(shocks), jax.random.key(0), keep_trajectory=True, oldest=3)
    seen = jax.tree.map(lambda *x: np.stack(x), *[o[1] for o in out])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), seen, same.trajectory.seen)
    with pytest.raises(InputError, match="oldest"):
        env.reset(jax.random.key(0), LANES)


def test_the_same_keys_give_the_same_world_whatever_is_ordered(rngs):
    env = env_of("tree")
    first, *keys = jax.random.split(rngs.key, 5)
    one = two = reset(env, first)
    for k in keys:
        one, _ = step(env, one, np.zeros((4, LANES), np.float32), k)
        two, _ = step(env, two, np.full((4, LANES), 9.0, np.float32), k)
        np.testing.assert_array_equal(one.shock.demand, two.shock.demand)


def test_lanes_have_their_own_demand(rngs):
    env = env_of("order_first")
    state = reset(env, rngs.key, 2000)
    after, _ = step(env, state, np.zeros((2, 2000), np.float32), jax.random.key(1))
    d = np.stack([state.shock.demand[0], after.shock.demand[0]])
    assert len(np.unique(d)) > 3900
    bound = 4 / 2000**0.5
    assert abs(np.corrcoef(d)[0, 1]) < bound
    assert abs(np.corrcoef(d[0, :-1], d[0, 1:])[0, 1]) < bound


def test_weights_are_what_is_paid_and_can_be_traced(rngs):
    env = env_of("order_first")
    state = reset(env, rngs.key)

    @jax.jit
    def paid(weights: Any) -> Any:
        moved = Env(env.network, env.processes, weights).step(state, jnp.full((2, LANES), 5.0), jax.random.key(2))[1]
        return moved.reward, moved.flows

    for weight in (1.0, 3.0):
        reward, flows = paid({"stock": weight})
        np.testing.assert_allclose(reward, -weight * flows.on_hand.sum(0), rtol=1e-6)
    assert paid._cache_size() == 1


def test_a_nan_order_surfaces(rngs):
    env = env_of("order_first")
    state = reset(env, rngs.key)
    for k in jax.random.split(jax.random.key(1), 3):
        state, moved = step(env, state, np.full((2, LANES), np.nan, np.float32), k)
    assert np.isnan(moved.reward).all()


def test_no_key_is_used_twice(rngs, key_reuse):
    env = Env(*example_6_1()[:2])
    out, _ = play(env, rngs.key, 3)
    assert len(out) == 3
