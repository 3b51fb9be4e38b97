"""gymnasium environments: one system, or many as the lanes of one compiled program.

Inventory has no natural end: an episode is cut off at the horizon (truncated, never terminated), with the observation
at which a learner may bootstrap. All lanes of a `GymVectorEnv` begin and end together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from meio_jax.adapters.game import Game, Host, make_game
from meio_jax.adapters.optional import missing
from meio_jax.env import Env, EnvState
from meio_jax.errors import InputError
from meio_jax.system import System

try:
    import gymnasium as gym
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError as error:
    raise missing("gymnasium", "gym") from error

__all__ = ["GymEnv", "GymVectorEnv"]


def _action_space(game: Game) -> gym.Space[Any]:
    if game.choices:
        return gym.spaces.MultiDiscrete([game.choices] * game.size)
    low, high = (np.array(x) for x in game.bounds())
    return gym.spaces.Box(low, high, dtype=game.dtype.type)


def _observation_space(host: Host) -> gym.spaces.Box:
    return gym.spaces.Box(-np.inf, np.inf, (host.width,), host.game.dtype.type)


class GymEnv(gym.Env[np.ndarray, np.ndarray]):
    """One system. Rewards are those of `meio_jax.env.Env`; ``info["cost"]`` is the period's cost.

    Actions are quantities in ``[0, limit]`` for each inner arc, or what ``head`` says: a continuous head's raw outputs
    in ``[-5, 5]``, or the tiers' numbers (`MultiDiscrete`; with capacities ``info["action_mask"]`` says which can be
    taken).

    Args:
      system: a `System` or an `Env`. horizon: periods of an episode. Others as in `meio_jax.adapters.game.make_game`.

    Raises:
      InputError: the system has more than one lane of its own, or an option is out of range.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as gymnasium has it

    def __init__(self, system: System | Env, horizon: int = 365, **options: Any) -> None:
        self._host = Host(make_game(system, **options), 1, horizon)
        self.action_space = _action_space(self._host.game)
        self.observation_space = _observation_space(self._host)

    @property
    def world(self) -> EnvState:
        """The present state of the environment, one lane."""
        if self._host.world is None:
            raise gym.error.ResetNeeded("call reset first")
        return self._host.world

    @property
    def game(self) -> Game:
        return self._host.game

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Time 0; the same seed gives the same episodes from here on."""
        super().reset(seed=seed)
        return self._host.reset(self.np_random)[0], self._masked({})

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One period.

        Raises:
          NonFiniteError: the action is not finite. ResetNeeded: the episode is over.
        """
        if self._host.over:
            raise gym.error.ResetNeeded("the episode is over: call reset")
        seen, reward, cost = self._host.step(np.asarray(action)[None])
        return seen[0], float(reward[0]), False, self._host.over, self._masked({"cost": float(cost[0])})

    def action_masks(self) -> np.ndarray:
        """``[K x choices]`` which options can be taken, as masking learners ask for it."""
        game = self._host.game
        if not game.choices:
            raise InputError("actions are continuous: they have no mask")
        mask = self._host.mask
        return np.ones(game.size * game.choices, bool) if mask is None else mask[0].reshape(-1).copy()

    def _masked(self, info: dict[str, Any]) -> dict[str, Any]:
        mask = self._host.mask
        return info if mask is None else {**info, "action_mask": mask[0].copy()}


class GymVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Many systems as the lanes of one compiled program; arrays are given out as writable copies.

    Args:
      system: a `System` or an `Env`. num_envs: lanes; what varies by lane in the network must vary over as many.
      horizon: periods of an episode.
      autoreset_mode: what happens after the end, in gymnasium's words. ``NEXT_STEP``: the next call of `step` begins
        anew (its action is not read, its reward is 0). ``SAME_STEP``: the last step begins anew at once;
        ``infos["final_obs"]`` holds the observations at the end, ``infos["final_info"]`` the rest. ``DISABLED``: call
        `reset`.
      options: as in `meio_jax.adapters.game.make_game`.
    """

    def __init__(
        self,
        system: System | Env,
        num_envs: int,
        horizon: int = 365,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **options: Any,
    ) -> None:
        self._host = Host(make_game(system, **options), num_envs, horizon)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        self.single_action_space = _action_space(self._host.game)
        self.single_observation_space = _observation_space(self._host)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    @property
    def world(self) -> EnvState:
        """The present state of the environment, all lanes."""
        if self._host.world is None:
            raise gym.error.ResetNeeded("call reset first")
        return self._host.world

    @property
    def game(self) -> Game:
        return self._host.game

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Time 0 in all lanes; one seed for all of them, which differ nonetheless.

        Raises:
          InputError: seeds by lane, or a ``reset_mask`` that leaves lanes out: all lanes share one clock.
        """
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise InputError("give one seed for all lanes: they are parts of one program")
        if options and not np.all(options.get("reset_mask", True)):
            raise InputError("reset_mask leaves lanes out: all lanes begin and end together")
        super().reset(seed=seed)
        return self._host.reset(self.np_random), self._masked({})

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One period in all lanes.

        Raises:
          NonFiniteError: an action is not finite. ResetNeeded: nothing was begun, or the end is reached and nothing
            begins anew by itself.
        """
        never, host = np.zeros(self.num_envs, bool), self._host
        if host.over:
            if host.world is None or self.autoreset_mode is AutoresetMode.DISABLED:
                raise gym.error.ResetNeeded("call reset: the episodes are over, or none was begun")
            seen = host.reset(self.np_random)
            return seen, np.zeros(self.num_envs), never, never.copy(), self._masked({})
        seen, reward, cost = host.step(actions)
        cut = np.full(self.num_envs, host.over)
        info = self._masked({"cost": cost, "_cost": ~never})
        if host.over and self.autoreset_mode is AutoresetMode.SAME_STEP:
            final = np.empty(self.num_envs, object)
            final[:] = list(seen)
            seen = host.reset(self.np_random)
            last = {"final_obs": final, "_final_obs": ~never, "final_info": info, "_final_info": ~never}
            info = self._masked(last)
        return seen, reward, never, cut, info

    def _masked(self, info: dict[str, Any]) -> dict[str, Any]:
        mask = self._host.mask
        if mask is None:
            return info
        return {**info, "action_mask": mask.copy(), "_action_mask": np.ones(self.num_envs, bool)}
