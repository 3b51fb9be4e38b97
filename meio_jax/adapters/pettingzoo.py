"""A PettingZoo parallel environment in which every node is an agent that knows and pays for its own place only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.adapters.game import Game, check_finite, make_game
from meio_jax.adapters.optional import missing
from meio_jax.env import Env, EnvState
from meio_jax.errors import InputError
from meio_jax.indexing import rows
from meio_jax.observation import installation_position
from meio_jax.rewards import reward_by_node
from meio_jax.system import System

try:
    import gymnasium as gym
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise missing("pettingzoo", "gym") from error

__all__ = ["NodeAgentsEnv", "local_features"]


def local_features(game: Game, world: EnvState, node: int) -> Array:
    """``[B, F]`` what a node sees of itself: its stock by age, inputs waiting, what is owed to it and by it, what is on
    its way to it, its orders in the mail, its customers' demand, its installation position, whether its sources can
    ship, and its reports' age. Dimensionless, or in units where the game is ``raw``.
    """
    network, seen, scale = game.env.network, world.seen, game.ruler
    w = network.wiring
    dtype, lanes = game.dtype, seen.on_hand.shape[-1]
    ins, outs = list(w.in_arcs[node]), list(w.out_arcs[node])
    inputs, customers = list(w.inputs_of_node[node]), [e - w.n_inner for e in outs if e >= w.n_inner]
    arcs = jnp.concatenate([scale.arc, scale.demand])
    parts = [seen.on_hand[:, node] / scale.node[node]]
    if seen.components.shape[0]:
        size = rows(scale.node, [node] * len(inputs))
        if network.units is not None:
            size = size * rows(network.units, [w.arcs_of_input[m][0] for m in inputs])
        parts.append(rows(seen.components, inputs) / size)
    parts.append(rows(seen.owed, ins + outs) / rows(arcs, ins + outs))
    parts += [seen.pipeline[k, e][None] / scale.arc[e] for e in ins for k in range(w.max_lead_time[e])]
    if seen.mail is not None:
        parts += [seen.mail[k, e][None] / scale.arc[e] for e in ins for k in range(w.order_delay[e])]
    if customers:
        parts.append(rows(seen.demand, customers) / rows(scale.demand, customers))
    position = (installation_position(network, seen) - scale.local) / scale.local_spread
    parts.append(rows(position, inputs))
    if seen.available is not None:
        parts.append(rows(seen.available.astype(dtype), ins))
    if seen.unreported is not None:
        parts.append(rows(seen.unreported, ins) / rows(scale.arc, ins))
    if seen.report_age is not None:
        parts.append(seen.report_age[node][None].astype(dtype) / 4.0)
    return jnp.concatenate([jnp.broadcast_to(x, (x.shape[0], lanes)) for x in parts]).T


def _all_local(game: Game, world: EnvState) -> list[Array]:
    return [local_features(game, world, n)[0] for n in range(game.env.network.wiring.n_nodes)]


@jax.jit
def _begin(game: Game, key: Array) -> tuple[EnvState, Array, list[Array]]:
    start, after = jax.random.split(key)
    world = game.reset(start, 1)
    return world, after, _all_local(game, world)


@jax.jit
def _play(game: Game, world: EnvState, key: Array, orders: Array) -> tuple[EnvState, Array, list[Array], Array]:
    now, after = jax.random.split(key)
    world, step = game.step(world, orders[None], now)
    pay = reward_by_node(game.env.weights, game.env.network, step.flows)[:, 0]
    return world, after, _all_local(game, world), pay


class NodeAgentsEnv(ParallelEnv[str, np.ndarray, np.ndarray]):
    """Every node an agent, under the node's name.

    An agent orders on its own incoming arcs, quantities in ``[0, limit]``, sees `local_features`, and is paid by
    `meio_jax.rewards.reward_by_node`: its own holding, ordering and production costs and what it owes. The rewards of
    all agents sum to the system's. All agents are truncated at the horizon. `state` is the planner's whole picture.

    Args:
      system: a `System` or an `Env`. horizon: periods of an episode. options: as in
        `meio_jax.adapters.game.make_game`, without ``head``.

    Raises:
      InputError: the network has lanes of its own, a head is given, or an option is out of range.
    """

    metadata: dict[str, Any] = {"name": "meio_jax", "render_modes": [], "is_parallelizable": True}  # noqa: RUF012

    def __init__(self, system: System | Env, horizon: int = 365, **options: Any) -> None:
        if options.get("head") is not None:
            raise InputError("agents order quantities here: a head decides for the whole system")
        if horizon < 1:
            raise InputError(f"horizon = {horizon} must be at least 1")
        self.game = make_game(system, **options)
        if any(leaf.shape[-1] != 1 for leaf in jax.tree.leaves(self.game.env.network)):
            raise InputError("the network has lanes of its own: one of them makes an environment")
        self.horizon = horizon
        w = self.game.env.network.wiring
        self.possible_agents = list(w.nodes)
        self.agents: list[str] = []
        self.world: EnvState | None = None
        self._arcs = {name: list(w.in_arcs[n]) for n, name in enumerate(w.nodes)}
        dtype = self.game.dtype.type
        widths = [x.shape[0] for x in jax.eval_shape(_begin, self.game, jax.random.key(0))[2]]
        self.observation_spaces = {
            name: gym.spaces.Box(-np.inf, np.inf, (f,), dtype) for name, f in zip(w.nodes, widths, strict=True)
        }
        most = np.array(self.game.most[:, 0])
        self.action_spaces = {
            name: gym.spaces.Box(np.zeros(len(a), dtype), most[a], dtype=dtype) for name, a in self._arcs.items()
        }
        self._dice = np.random.default_rng()

    def observation_space(self, agent: str) -> gym.spaces.Space[Any]:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.spaces.Space[Any]:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Time 0; the same seed gives the same episodes from here on."""
        if seed is not None:
            self._dice = np.random.default_rng(seed)
        first, second = self._dice.integers(2**32, size=2, dtype=np.uint32)
        key = jax.random.fold_in(jax.random.key(first), second)
        self.world, self._key, seen = _begin(self.game, key)
        self._t, self.agents = 0, list(self.possible_agents)
        return self._by_agent(seen), {name: {} for name in self.agents}

    def step(
        self, actions: dict[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """One period, with the orders of every agent.

        Raises:
          NonFiniteError: an action, or what came of it, is not finite.
          InputError: an agent's action is missing or has the wrong shape, or no episode is under way.
        """
        if not self.agents:
            raise InputError("no episode is under way: call reset")
        orders = np.zeros(self.game.size, self.game.dtype)
        for name, arcs in self._arcs.items():
            if name not in actions:
                raise InputError(f"the action of {name} is missing")
            action = np.asarray(actions[name])
            if action.shape != (len(arcs),):
                raise InputError(f"the action of {name} has shape {action.shape}, wanted {(len(arcs),)}")
            check_finite(f"the action of {name}", action)
            orders[arcs] = action
        self.world, self._key, seen, pay = _play(self.game, self.world, self._key, orders)
        pay = np.array(pay)
        check_finite("the reward", pay)
        self._t += 1
        over = self._t >= self.horizon
        names = self.possible_agents
        paid = {name: float(x) for name, x in zip(names, pay, strict=True)}
        nothing: dict[str, dict[str, Any]] = {name: {} for name in names}
        self.agents = [] if over else list(names)
        return self._by_agent(seen), paid, dict.fromkeys(names, False), dict.fromkeys(names, over), nothing

    def state(self) -> np.ndarray:
        """``[F]`` what a planner of the whole system sees."""
        if self.world is None:
            raise InputError("no episode is under way: call reset")
        return np.array(_whole(self.game, self.world))

    def _by_agent(self, seen: list[Array]) -> dict[str, np.ndarray]:
        return {name: np.array(x) for name, x in zip(self.possible_agents, jax.device_get(seen), strict=True)}


@jax.jit
def _whole(game: Game, world: EnvState) -> Array:
    return game.see(world)[0]
