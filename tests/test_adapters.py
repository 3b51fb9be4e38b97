"""Other people's environments around ours: they pass their own checkers and pay what a rollout pays."""

import dataclasses
import importlib
import sys
import warnings
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from pettingzoo.test import parallel_api_test

from meio_jax.actions import OrderUpTo, Quantity, Tiers
from meio_jax.adapters import (
    Game,
    GymEnv,
    Gymnax1Env,
    GymnaxEnv,
    GymVectorEnv,
    MissingExtraError,
    NodeAgentsEnv,
    make_game,
)
from meio_jax.env import Env
from meio_jax.errors import InputError, NonFiniteError
from meio_jax.kpis import total_cost
from meio_jax.observation import echelon_position
from meio_jax.policies.base import Decision
from meio_jax.processes import Processes, normal
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario
from meio_jax.topologies import serial, tree

NUMBERS: dict[str, Any] = {"holding_cost": 1.0, "backlog_cost": 9.0, "lead_time": 2, "initial_on_hand": 6.0}
SYSTEMS = {
    "serial": Env(serial(2, timing="demand_first", **NUMBERS), Processes(demand=normal([5.0], [2.0]))),
    "tree": Env(tree((3,), **NUMBERS), Processes(demand=normal([5.0] * 3, [2.0] * 3))),
    "capped": Env(serial(2, order_capacity=9.0, **NUMBERS), Processes(demand=normal([5.0], [2.0]))),
}
HEADS = {"quantities": None, "order_up_to": OrderUpTo(), "quantity": Quantity(), "tiers": Tiers()}
#: Every head on one system, every system with one head.
PAIRS = [*(("serial", head) for head in HEADS), ("tree", "quantities"), ("capped", "tiers")]
HORIZON = 12
COST = 1e-4  # relative: float32 sums of a dozen terms in another order


@dataclasses.dataclass(frozen=True)
class Replay:
    """Orders that were given: theta is ``[T, I, B]``."""

    theta_has_lanes: ClassVar[bool] = True

    def init(self, key: Any, network: Any) -> Any:
        raise NotImplementedError

    def memory(self, network: Any, lanes: int) -> Any:
        return None

    def apply(self, network: Any, theta: Any, memory: Any, seen: Any, key: Any) -> Any:
        return Decision(theta[seen.t]), None


@jax.jit
def orders_of(game: Game, world: Any, action: Any) -> Any:
    return game.orders(world, action)


def replayed(env: Env, worlds: list[Any], orders: list[Any]) -> np.ndarray:
    """``[T, B]`` the rewards of a rollout over the shocks of these worlds, with these orders ``[I, B]``."""
    shocks = jax.tree.map(lambda *x: jnp.stack(x), *(world.shock for world in worlds))
    theta = jnp.stack([jnp.asarray(x) for x in orders])
    played = rollout(env.network, Replay(), theta, Scenario(shocks), jax.random.key(9), keep_trajectory=True)
    assert played.trajectory is not None
    costs = jax.jit(jax.vmap(total_cost, in_axes=(None, 0)))(env.network, played.trajectory.flows)
    return -np.asarray(costs)


def quietly(check: Any, *args: Any) -> None:
    """Run another library's checker; unbounded observations, actions in units and a missing spec are meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*Box observation space (minimum|maximum) value is")
        warnings.filterwarnings("ignore", message=".*recommend using a symmetric and normalized space")
        warnings.filterwarnings("ignore", message=".*(not having a spec|no spec|alternative render modes)")
        check(*args)


@pytest.mark.parametrize(("name", "head"), PAIRS)
def test_gymnasium_checks_a_single_system(name, head):
    quietly(check_env, GymEnv(SYSTEMS[name], HORIZON, head=HEADS[head]))


def test_action_spaces_follow_the_head():
    spaces = {name: GymEnv(SYSTEMS["capped"], head=head).action_space for name, head in HEADS.items()}
    assert isinstance(spaces["quantities"], Box) and spaces["quantities"].shape == (2,)
    np.testing.assert_array_equal(spaces["quantities"].low, 0.0)
    np.testing.assert_array_equal(spaces["quantities"].high, 9.0)  # the capacity, below 8 mean orders
    np.testing.assert_array_equal(spaces["order_up_to"].low, -5.0)
    assert isinstance(spaces["tiers"], MultiDiscrete) and spaces["tiers"].nvec.tolist() == [11, 11]
    wide = GymEnv(SYSTEMS["capped"], limit=np.array([3.0, 4.0])).action_space
    assert isinstance(wide, Box) and wide.high.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(("name", "head"), PAIRS)
def test_gymnasium_pays_what_a_rollout_pays(name, head):
    env = GymEnv(SYSTEMS[name], HORIZON, head=HEADS[head])
    env.action_space.seed(3)
    env.reset(seed=5)
    worlds, orders, rewards = [], [], []
    for t in range(HORIZON):
        action = env.action_space.sample()
        worlds.append(env.world)
        orders.append(orders_of(env.game, env.world, action[None]))
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        assert not terminated and truncated == (t == HORIZON - 1)
        assert info["cost"] == pytest.approx(-reward, rel=COST)
    np.testing.assert_allclose(rewards, replayed(SYSTEMS[name], worlds, orders)[:, 0], rtol=COST)
    with pytest.raises(ResetNeeded):
        env.step(env.action_space.sample())


def test_a_zero_of_order_up_to_is_the_reference_rule():
    env = GymEnv(SYSTEMS["serial"], HORIZON, head=OrderUpTo())
    env.reset(seed=1)
    for _ in range(5):
        wanted = env.game.scale.echelon - echelon_position(env.game.env.network, env.world.seen)
        np.testing.assert_allclose(env.game.orders(env.world, jnp.zeros((1, 2))), jnp.maximum(wanted, 0.0), rtol=1e-6)
        env.step(np.zeros(2, np.float32))


def test_raw_observations_are_units():
    env = GymEnv(SYSTEMS["serial"], HORIZON, observation="raw")
    seen, _ = env.reset(seed=0)
    named = dict(zip(env.game.names(env.world), seen, strict=True))
    node = env.game.env.network.wiring.nodes[0]
    assert named[f"on_hand[{node}]"] == 6.0
    positions = [x for name, x in named.items() if name.startswith("position")]
    np.testing.assert_allclose(positions, echelon_position(env.game.env.network, env.world.seen)[:, 0], rtol=1e-6)


def test_seeds_repeat_and_episodes_differ():
    env, other = (GymEnv(SYSTEMS["serial"], 4) for _ in range(2))
    first, second = [], []
    for e, out in ((env, first), (other, second)):
        out.append(e.reset(seed=11)[0])
        out.append(e.step(np.array([5.0, 5.0]))[0])
        out.append(e.reset()[0])
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[2]).any()
    assert (first[0] != env.reset(seed=12)[0]).any()


def test_masks_say_which_tiers_can_be_taken():
    env = GymEnv(SYSTEMS["capped"], head=Tiers((0.0, 1.0, 1.5, 3.0)))
    _, info = env.reset(seed=0)
    assert info["action_mask"].tolist() == [[True, True, True, False]] * 2
    np.testing.assert_array_equal(env.action_masks(), info["action_mask"].reshape(-1))
    assert GymEnv(SYSTEMS["tree"], head=Tiers()).action_masks().all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_surfaces(bad):
    env = GymEnv(SYSTEMS["serial"])
    env.reset(seed=0)
    with pytest.raises(NonFiniteError, match="action"):
        env.step(np.array([1.0, bad]))
    lanes = GymVectorEnv(SYSTEMS["serial"], 2)
    lanes.reset(seed=0)
    with pytest.raises(NonFiniteError, match=r"action.*\[1, 0\]"):
        lanes.step(np.array([[1.0, 1.0], [bad, 1.0]]))
    agents = NodeAgentsEnv(SYSTEMS["serial"])
    agents.reset(seed=0)
    one, two = agents.agents
    with pytest.raises(NonFiniteError, match=two):
        agents.step({one: np.array([1.0]), two: np.array([bad])})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"observation": "pixels"}, "pixels"),
        ({"limit": 0.0}, "limit"),
        ({"limit": [1.0, 2.0, 3.0]}, "shape"),
        ({"limit": float("nan")}, "limit"),
        ({"horizon": 0}, "horizon"),
        ({"weights": {"hodling": 1.0}}, "hodling"),
    ],
)
def test_options_out_of_range_are_refused(options, says):
    def use() -> None:
        env = GymEnv(SYSTEMS["serial"], **options)
        env.reset(seed=0)
        env.step(np.ones(2))

    with pytest.raises(InputError, match=says):
        use()


# Lanes


@pytest.mark.parametrize("head", ["quantities", "order_up_to", "tiers"])
def test_lanes_pay_what_a_rollout_pays(head):
    env = GymVectorEnv(SYSTEMS["tree"], 3, HORIZON, head=HEADS[head])
    env.action_space.seed(3)
    seen, _ = env.reset(seed=5)
    assert env.observation_space.contains(seen)
    assert len({row.tobytes() for row in env.step(env.action_space.sample())[0]}) == 3  # lanes differ
    env.reset(seed=5)
    worlds, orders, rewards = [], [], []
    for t in range(HORIZON):
        action = env.action_space.sample()
        worlds.append(env.world)
        orders.append(orders_of(env.game, env.world, action))
        seen, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(seen) and seen.flags.writeable and reward.flags.writeable
        assert not terminated.any() and (truncated == (t == HORIZON - 1)).all()
        np.testing.assert_allclose(info["cost"], -reward, rtol=COST)
        rewards.append(reward)
    np.testing.assert_allclose(rewards, replayed(SYSTEMS["tree"], worlds, orders), rtol=COST)


def played_past_the_end(mode: AutoresetMode) -> tuple[GymVectorEnv, list[Any]]:
    env = GymVectorEnv(SYSTEMS["serial"], 2, 3, autoreset_mode=mode)
    env.reset(seed=0)
    assert env.metadata["autoreset_mode"] is mode
    return env, [env.step(np.full((2, 2), 5.0, np.float32)) for _ in range(3)]


def test_the_next_step_begins_anew():
    env, steps = played_past_the_end(AutoresetMode.NEXT_STEP)
    assert steps[-1][3].all() and "final_obs" not in steps[-1][4]
    seen, reward, terminated, truncated, _ = env.step(np.full((2, 2), np.nan))  # the action is not read
    assert not (reward.any() or terminated.any() or truncated.any())
    assert int(env.world.state.t) == 0
    np.testing.assert_array_equal(seen, env.game.see(env.world))


def test_the_same_step_begins_anew_and_keeps_what_was_last_seen():
    env, steps = played_past_the_end(AutoresetMode.SAME_STEP)
    _, plain = played_past_the_end(AutoresetMode.NEXT_STEP)
    seen, reward, _, truncated, info = steps[-1]
    assert truncated.all() and info["_final_obs"].all()
    np.testing.assert_array_equal(np.stack(list(info["final_obs"])), plain[-1][0])
    np.testing.assert_array_equal(reward, plain[-1][1])
    np.testing.assert_array_equal(info["final_info"]["cost"], plain[-1][4]["cost"])
    assert int(env.world.state.t) == 0
    np.testing.assert_array_equal(seen, env.game.see(env.world))


def test_nothing_begins_anew_by_itself_where_that_is_off():
    env, _ = played_past_the_end(AutoresetMode.DISABLED)
    with pytest.raises(ResetNeeded):
        env.step(np.ones((2, 2)))
    env.reset(options={"reset_mask": np.array([True, True])})
    with pytest.raises(InputError, match="reset_mask"):
        env.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(InputError, match="one seed"):
        env.reset(seed=[1, 2])


def test_an_array_handed_out_is_nobody_elses():
    env = GymVectorEnv(SYSTEMS["serial"], 2, 5)
    action = np.full((2, 2), 5.0, np.float32)
    seen, _ = env.reset(seed=0)
    kept = seen.copy()
    after, *_ = env.step(action)
    np.testing.assert_array_equal(seen, kept)
    first = np.asarray(env.world.state.pipeline).copy()
    action[:], after[:] = 99.0, 99.0
    np.testing.assert_array_equal(np.asarray(env.world.state.pipeline), first)


def test_lanes_may_differ_in_their_numbers():
    network = SYSTEMS["serial"].network
    rates = network.holding_cost * jnp.array([[1.0, 2.0]])
    wide = Env(network.replace(holding_cost=rates), SYSTEMS["serial"].processes)
    env = GymVectorEnv(wide, 2)
    env.reset(seed=0)
    assert env.step(np.full((2, 2), 30.0))[1].shape == (2,)
    for make in (lambda: GymVectorEnv(wide, 3), lambda: GymEnv(wide), lambda: GymnaxEnv(wide)):
        with pytest.raises(InputError, match="lanes"):
            make()


# gymnax


@pytest.mark.parametrize(
    ("form", "head"), [(GymnaxEnv, "quantities"), (GymnaxEnv, "tiers"), (Gymnax1Env, "order_up_to")]
)
def test_gymnax_pays_what_a_rollout_pays(form, head, key_reuse):
    env = form(SYSTEMS["tree"], HORIZON, head=HEADS[head])
    params = env.default_params
    space = env.action_space(params)
    key, first = jax.random.split(jax.random.key(0))
    seen, state = env.reset(first, params)
    assert seen.shape == env.observation_space(params).shape
    worlds, orders, rewards = [], [], []
    for t in range(HORIZON):
        key, choose, move = jax.random.split(key, 3)
        action = space.sample(choose)
        assert action.shape == space.shape and bool(space.contains(action))
        worlds.append(state.world)
        orders.append(orders_of(params.game, state.world, action[None]))
        out = env.step(move, state, action, params)
        assert len(out) == (5 if form is GymnaxEnv else 6)
        seen, state, reward, *flags, info = out
        rewards.append(reward)
        over = t == HORIZON - 1
        assert [bool(x) for x in flags] == ([over] if form is GymnaxEnv else [False, over])
        assert int(state.time) == (0 if over else t + 1)
        assert bool((seen == info["final_observation"]).all()) != over
        assert float(info["discount"]) == 1.0 and not bool(info["terminated"]) and bool(info["truncated"]) == over
    np.testing.assert_allclose(rewards, replayed(SYSTEMS["tree"], worlds, orders)[:, 0], rtol=COST)


@pytest.mark.parametrize("form", [GymnaxEnv, Gymnax1Env])
def test_gymnax_under_vmap_scan_and_with_another_horizon(form):
    env = form(SYSTEMS["serial"], 50)
    params = env.default_params.replace(max_steps_in_episode=jnp.array([3, 4]))
    axes = jax.tree.map(lambda _: None, env.default_params).replace(max_steps_in_episode=0)
    keys = jax.random.split(jax.random.key(0), 2)
    _, state = jax.vmap(env.reset, in_axes=(0, axes))(keys, params)

    def step(state: Any, key: Any) -> Any:
        action = jnp.full((2, 2), 5.0)
        _, state, reward, *_, info = jax.vmap(env.step, in_axes=(0, 0, 0, axes))(
            jax.random.split(key, 2), state, action, params
        )
        return state, (reward, info["truncated"])

    _, (rewards, cut) = jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(jax.random.key(1), 12)))(state)
    assert cut.sum(0).tolist() == [4, 3]
    assert (rewards[:, 0] != rewards[:, 1]).any()


def test_gymnax_without_parameters_is_the_default():
    env = GymnaxEnv(SYSTEMS["serial"], 5, head=Tiers())
    seen, state = env.reset(jax.random.key(0))
    same, _ = env.reset(jax.random.key(0), env.default_params)
    np.testing.assert_allclose(seen, same, rtol=1e-6)  # as constants, numbers are folded in another order
    assert env.num_actions == 11 and env.action_space().shape == (2,)
    assert env.step(jax.random.key(1), state, jnp.array([1, 2]))[0].shape == seen.shape


def test_step_env_never_begins_anew():
    env = Gymnax1Env(SYSTEMS["serial"], 2)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    for k in range(4):
        _, state, _, terminated, _ = env.step_env(jax.random.key(k + 1), state, jnp.ones(2), params)
        assert int(state.time) == k + 1 and not bool(terminated)


def test_gymnax_transitions_carry_gradients():
    env = GymnaxEnv(SYSTEMS["serial"]).with_transition_gradients()
    _, state = env.reset(jax.random.key(0))

    def cost(order: Any) -> Any:
        total, s = 0.0, state
        for k in range(4):
            _, s, reward, *_ = env.step(jax.random.key(k + 1), s, order)
            total = total - reward
        return total

    slope = jax.grad(cost)(jnp.array([5.0, 5.0]))
    assert np.isfinite(slope).all() and (slope != 0).any()


# PettingZoo


@pytest.mark.parametrize("name", SYSTEMS)
def test_pettingzoo_checks_the_agents(name, capsys):
    quietly(parallel_api_test, NodeAgentsEnv(SYSTEMS[name], HORIZON), 30)


@pytest.mark.parametrize("name", SYSTEMS)
def test_agents_together_are_paid_what_a_rollout_pays(name):
    env = NodeAgentsEnv(SYSTEMS[name], HORIZON)
    w = env.game.env.network.wiring
    env.reset(seed=4)
    worlds, orders, rewards = [], [], []
    for k, agent in enumerate(env.agents):
        env.action_space(agent).seed(k)
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        worlds.append(env.world)
        placed = np.zeros((w.n_inner, 1), np.float32)
        for n, node in enumerate(w.nodes):
            placed[list(w.in_arcs[n]), 0] = actions[node]
        orders.append(placed)
        seen, reward, terminated, truncated, _ = env.step(actions)
        assert all(env.observation_space(a).contains(x) for a, x in seen.items())
        rewards.append(sum(reward.values()))
        assert not any(terminated.values())
    assert all(truncated.values()) and len(rewards) == HORIZON
    np.testing.assert_allclose(rewards, replayed(SYSTEMS[name], worlds, orders)[:, 0], rtol=COST)
    assert env.state().shape == GymEnv(SYSTEMS[name]).observation_space.shape


def test_an_agent_sees_only_its_own_place():
    """What another node's stock is changes nothing in what a node sees, and its own does."""
    game = make_game(SYSTEMS["tree"], observation="raw")
    from meio_jax.adapters.pettingzoo import local_features

    world = game.reset(jax.random.key(0), 1)
    nodes = range(game.env.network.wiring.n_nodes)
    before = [local_features(game, world, n) for n in nodes]
    for changed in nodes:
        on_hand = world.seen.on_hand.at[:, changed].add(1.0)
        other = dataclasses.replace(world, seen=world.seen.replace(on_hand=on_hand))
        for n in nodes:
            same = bool((local_features(game, other, n) == before[n]).all())
            assert same == (n != changed)


def test_agents_seeds_repeat():
    one, two = (NodeAgentsEnv(SYSTEMS["serial"], 3) for _ in range(2))
    for _ in range(2):
        a, b = one.reset(seed=2)[0], two.reset(seed=2)[0]
        for agent in one.agents:
            np.testing.assert_array_equal(a[agent], b[agent])
    with pytest.raises(InputError, match="missing"):
        one.step({})
    with pytest.raises(InputError, match="head"):
        NodeAgentsEnv(SYSTEMS["serial"], head=OrderUpTo())


@pytest.mark.parametrize("library", ["gymnasium", "pettingzoo"])
def test_a_missing_library_is_named_with_its_extra(library, monkeypatch):
    for name in [m for m in sys.modules if m.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"meio_jax.adapters.{library}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"{library} is not installed.*meio-jax\[gym\]"):
        importlib.import_module(f"meio_jax.adapters.{library}")
