"""Environments in the shape of gymnax, without needing it: pure, one system each, made for ``jit`` and ``vmap``.

`GymnaxEnv` has the older form, ``step -> (obs, state, reward, done, info)``, which rejax and PureJaxRL read;
`Gymnax1Env` that of gymnax 1.0, ``step -> (obs, state, reward, terminated, truncated, info)``. As gymnax asks for it,
`step` begins anew at the horizon; `step_env` never does. Nothing ever terminates: ``info["final_observation"]`` is what
a learner bootstraps from where the horizon cuts it off, and ``discount`` is 1 there.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.adapters.game import Game, make_game
from meio_jax.env import Env, EnvState
from meio_jax.errors import InputError
from meio_jax.struct import pytree
from meio_jax.system import System

__all__ = ["Box", "Discrete", "Gymnax1Env", "GymnaxEnv", "GymnaxParams", "GymnaxState"]


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
    """A space of arrays: ``low`` and ``high`` have its shape."""

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: Any

    def sample(self, key: Array) -> Array:
        """Uniform where it is bounded, standard normal where it is not. The key is consumed."""
        low, high = jnp.broadcast_to(self.low, self.shape), jnp.broadcast_to(self.high, self.shape)
        bounded = jnp.isfinite(low) & jnp.isfinite(high)
        one, two = jax.random.split(key)
        inside = jax.random.uniform(one, self.shape, self.dtype)
        within = jnp.where(bounded, low, 0.0) + inside * jnp.where(bounded, high - low, 1.0)
        return jnp.where(bounded, within, jax.random.normal(two, self.shape, self.dtype))

    def contains(self, x: Array) -> Array:
        """Whether ``x`` lies between the bounds."""
        return jnp.all((x >= self.low) & (x <= self.high))


@dataclasses.dataclass(frozen=True)
class Discrete:
    """Whole numbers below ``n``, of any shape: ``()`` is gymnax's own, ``(K,)`` are K decisions at once."""

    n: int
    shape: tuple[int, ...] = ()
    dtype: Any = jnp.int32

    def sample(self, key: Array) -> Array:
        """Uniform. The key is consumed."""
        return jax.random.randint(key, self.shape, 0, self.n, self.dtype)

    def contains(self, x: Array) -> Array:
        """Whether ``x`` lies between the bounds."""
        return jnp.all((x >= 0) & (x < self.n))


@pytree
class GymnaxState:
    """One system at the time of ordering."""

    world: EnvState

    @property
    def time(self) -> Array:
        """Periods since the reset."""
        return self.world.state.t


@pytree
class GymnaxParams:
    """All numbers of an environment: leaves, so that ``vmap`` over them is a sweep."""

    game: Game
    max_steps_in_episode: Array | int

    def replace(self, **changes: Any) -> GymnaxParams:
        return dataclasses.replace(self, **changes)


class GymnaxEnv:
    """One system, with the older 5-tuple.

    Args:
      system: a `System` or an `Env`. horizon: periods of an episode; `GymnaxParams.max_steps_in_episode` can change it.
      options: as in `meio_jax.adapters.game.make_game`. A head with one decision has actions of shape ``()``.

    Raises:
      InputError: the network has lanes of its own, or an option is out of range.
    """

    #: The simulator never stops a gradient.
    supports_transition_gradients = True
    transition_gradients_enabled = True

    def __init__(self, system: System | Env, horizon: int = 365, **options: Any) -> None:
        if horizon < 1:
            raise InputError(f"horizon = {horizon} must be at least 1")
        self._game = make_game(system, **options)
        if any(leaf.shape[-1] != 1 for leaf in jax.tree.leaves(self._game.env.network)):
            raise InputError("the network has lanes of its own: one of them makes an environment; vmap over the rest")
        self._horizon = horizon
        first = jax.eval_shape(functools.partial(self._game.reset, lanes=1), jax.random.key(0))
        self._width = jax.eval_shape(self._game.see, first).shape[-1]

    @property
    def name(self) -> str:
        return "meio_jax"

    @property
    def default_params(self) -> GymnaxParams:
        return GymnaxParams(self._game, self._horizon)

    @property
    def num_actions(self) -> int:
        """The number of options of one decision, or of continuous decisions."""
        return self._game.choices or self._game.size

    def with_transition_gradients(self) -> Self:
        """This environment: its transitions always carry gradients."""
        return self

    def observation_space(self, params: GymnaxParams | None = None) -> Box:
        shape = (self._width,)
        return Box(np.full(shape, -np.inf), np.full(shape, np.inf), shape, self._game.dtype)

    def action_space(self, params: GymnaxParams | None = None) -> Box | Discrete:
        game = self._game if params is None else params.game
        if game.choices:
            return Discrete(game.choices, () if game.size == 1 else (game.size,))
        low, high = game.bounds()
        return Box(low, high, (game.size,), game.dtype)

    def state_space(self, params: GymnaxParams | None = None) -> Any:
        raise NotImplementedError("states are pytrees of the simulator: they have no space")

    @functools.partial(jax.jit, static_argnames="self")
    def reset(self, key: Array, params: GymnaxParams | None = None) -> tuple[Array, GymnaxState]:
        """Time 0. The key is consumed."""
        return self.reset_env(key, self.default_params if params is None else params)

    @functools.partial(jax.jit, static_argnames="self")
    def step(
        self, key: Array, state: GymnaxState, action: Array, params: GymnaxParams | None = None
    ) -> tuple[Any, ...]:
        """One period; at the horizon the state and the observation are those of a new episode. The key is consumed."""
        params = self.default_params if params is None else params
        now, again = jax.random.split(key)
        seen, after, reward, _, info = self.step_env(now, state, action, params)
        cut = info["truncated"]
        fresh = self.reset_env(again, params)
        seen, after = jax.tree.map(lambda a, b: jnp.where(cut, a, b), fresh, (seen, after))
        return self._tuple(seen, after, reward, info)

    def _tuple(self, seen: Array, state: GymnaxState, reward: Array, info: dict[str, Array]) -> tuple[Any, ...]:
        return seen, state, reward, info["truncated"], info

    def reset_env(self, key: Array, params: GymnaxParams) -> tuple[Array, GymnaxState]:
        """As `reset`."""
        state = GymnaxState(params.game.reset(key, 1))
        return self.get_obs(state, params), state

    def step_env(
        self, key: Array, state: GymnaxState, action: Array, params: GymnaxParams
    ) -> tuple[Array, GymnaxState, Array, Array, dict[str, Array]]:
        """One period, going on beyond any horizon: ``(obs, state, reward, done or terminated, info)``. The key is
        consumed.
        """
        world, step = params.game.step(state.world, jnp.asarray(action).reshape(1, params.game.size), key)
        after = GymnaxState(world)
        seen = self.get_obs(after, params)
        info = {
            "terminated": jnp.zeros((), bool),
            "truncated": self.is_truncated(after, params),
            "final_observation": seen,
            "discount": self.discount(after, params),
        }
        return seen, after, step.reward[0], self.is_terminal(after, params), info

    def get_obs(self, state: GymnaxState, params: GymnaxParams | None = None, key: Array | None = None) -> Array:
        """``[F]`` what the planner sees. The key is not used."""
        return (self._game if params is None else params.game).see(state.world)[0]

    def observe(self, key: Array, state: GymnaxState, action: Array | None, params: GymnaxParams) -> Array:
        """As `get_obs`."""
        return self.get_obs(state, params)

    def is_truncated(self, state: GymnaxState, params: GymnaxParams) -> Array:
        """Whether the horizon is reached."""
        return state.time >= params.max_steps_in_episode

    def is_terminal(self, state: GymnaxState, params: GymnaxParams) -> Array:
        """Whether the episode is over: the older form knows only this word, for the horizon too."""
        return self.is_truncated(state, params)

    def discount(self, state: GymnaxState, params: GymnaxParams) -> Array:
        """1: what follows always counts."""
        return jnp.ones((), self._game.dtype)


class Gymnax1Env(GymnaxEnv):
    """One system, with the six values of gymnax 1.0: ``(obs, state, reward, terminated, truncated, info)``."""

    def _tuple(self, seen: Array, state: GymnaxState, reward: Array, info: dict[str, Array]) -> tuple[Any, ...]:
        return seen, state, reward, info["terminated"], info["truncated"], info

    def is_terminated(self, state: GymnaxState, params: GymnaxParams) -> Array:
        """Never."""
        return jnp.zeros((), bool)

    def is_terminal(self, state: GymnaxState, params: GymnaxParams) -> Array:
        """Never: what the horizon cuts off is `is_truncated`."""
        return self.is_terminated(state, params)
