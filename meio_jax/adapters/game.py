"""An environment with the numbers that players need: what they see as a vector, what their actions mean."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import FORBIDDEN, Head, Scale
from meio_jax.env import Env, EnvState, Step
from meio_jax.errors import InputError, NonFiniteError
from meio_jax.features import feature_names, features
from meio_jax.kpis import total_cost
from meio_jax.policies.scale import measure_scale
from meio_jax.struct import pytree, static
from meio_jax.system import System

__all__ = ["Game", "Host", "begin", "check_finite", "make_game", "play"]

OBSERVATIONS = ("features", "raw")
#: How far a continuous head's raw outputs may go either way: a head's outputs are of order one.
RAW_LIMIT = 5.0


@pytree
class Game:
    """`Env` with what turns observations and actions into vectors. A pytree: all its numbers can be traced.

    scale: sizes by which features and heads measure. most ``[I, 1|B]``: the largest order that an action can ask for.
    head: what actions mean (`meio_jax.actions`); None: quantities, one for each inner arc, cut to ``[0, most]``.
    raw: observations in units instead of dimensionless. cycle: as in `meio_jax.features.features`.
    oldest: with late reports, the greatest age that is remembered.
    """

    env: Env
    scale: Scale
    most: Array
    head: Head | None = static(default=None)
    raw: bool = static(default=False)
    cycle: int | None = static(default=None)
    oldest: int = static(default=0)

    @property
    def size(self) -> int:
        """The number K of decisions in a period."""
        w = self.env.network.wiring
        return w.n_inner if self.head is None else self.head.outputs(w)

    @property
    def choices(self) -> int:
        """The number of options of each decision, 0 where decisions are continuous."""
        return 0 if self.head is None else self.head.choices

    @property
    def dtype(self) -> np.dtype:
        """Of observations and rewards."""
        return np.dtype(self.env.network.holding_cost.dtype)

    def bounds(self) -> tuple[Array, Array]:
        """``[K]`` the least and the greatest action, of continuous decisions; over all lanes."""
        if self.head is None:
            return jnp.zeros((self.size,), self.dtype), self.most.max(-1)
        return jnp.full((self.size,), -RAW_LIMIT, self.dtype), jnp.full((self.size,), RAW_LIMIT, self.dtype)

    def reset(self, key: Array, lanes: int) -> EnvState:
        """Time 0 in every lane. The key is consumed."""
        return self.env.reset(key, lanes, oldest=self.oldest)

    def see(self, world: EnvState) -> Array:
        """``[B, F]`` what the planner sees, in the order of `names`."""
        return features(self.env.network, world.seen, self.ruler, cycle=self.cycle)

    def names(self, world: EnvState) -> tuple[str, ...]:
        """Of the F numbers of `see`."""
        return feature_names(self.env.network, world.seen, self.ruler, cycle=self.cycle)

    def mask(self, world: EnvState) -> Array | None:
        """``[B, K, choices]`` which options can be taken; None: all of them."""
        found = None if self.head is None else self.head.mask(self.env.network, self.scale, world.seen)
        if found is not None and found.dtype != bool:  # logits to be added: a learner of its own has its own
            found = found > 0.5 * FORBIDDEN
        lanes = world.state.backlog.shape[-1]
        return None if found is None else jnp.broadcast_to(found, (lanes, *found.shape[1:]))

    def orders(self, world: EnvState, action: Array) -> Array:
        """``[B, K]`` actions to ``[I, B]`` units. NaN stays NaN."""
        if self.head is not None:
            return self.head.orders(self.env.network, self.scale, world.seen, action)
        return jnp.clip(action.T.astype(self.dtype), 0.0, self.most)

    def step(self, world: EnvState, action: Array, key: Array) -> tuple[EnvState, Step]:
        """One period with the actions ``[B, K]``. The key draws the period after; it is consumed."""
        return self.env.step(world, self.orders(world, action), key)

    @property
    def ruler(self) -> Scale:
        """By which observations are divided: `scale`, or ones where they are raw."""
        if not self.raw:
            return self.scale
        one, nothing = functools.partial(jax.tree.map, jnp.ones_like), functools.partial(jax.tree.map, jnp.zeros_like)
        return one(self.scale).replace(echelon=nothing(self.scale.echelon), local=nothing(self.scale.local))


def make_game(
    system: System | Env,
    *,
    head: Head | None = None,
    observation: str = "features",
    limit: float | Any = 8.0,
    weights: Any = None,
    cycle: int | None = None,
    oldest: int = 0,
) -> Game:
    """A game of a system.

    Args:
      head: what actions mean; None: quantities.
      observation: "features" (dimensionless, of order one) or "raw" (the same fields in units, components in units of
        their node's product; positions are echelon positions).
      limit: the largest quantity: a number of the arc's mean orders, or an array ``[I]`` or ``[I, B]`` of units. Order
        capacities cap it.
      weights: of the reward's terms, see `meio_jax.rewards.reward`; None: those of the environment, or the negative
        cost.
      cycle: periods of the calendar that is seen. oldest: with late reports, the greatest age that is remembered.

    Raises:
      InputError: an unknown observation, or a limit that is not positive and finite or of the wrong shape.
    """
    env = system if isinstance(system, Env) else Env(system.network, system.processes)
    if weights is not None:
        env = Env(env.network, env.processes, weights)
    if observation not in OBSERVATIONS:
        raise InputError(f"observation {observation!r} is not one of {', '.join(OBSERVATIONS)}")
    network = env.network
    own = max(leaf.shape[-1] for leaf in jax.tree.leaves(network))
    scale = _measure(network, env.processes, jax.random.key(0), lanes=own if own > 1 else 256)
    given = np.asarray(limit, float)
    if given.ndim > 2 or (given.ndim and given.shape[0] != network.wiring.n_inner):
        raise InputError(
            f"limit has shape {given.shape}; give a number or one for each of {network.wiring.n_inner} arcs"
        )
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise InputError("limit must be positive and finite")
    if given.ndim == 0:
        most = scale.arc * float(given)
    else:
        most = jnp.asarray(given[:, None] if given.ndim == 1 else given, scale.arc.dtype)
    if network.order_capacity is not None:
        most = jnp.minimum(most, network.order_capacity)
    return Game(env=env, scale=scale, most=most, head=head, raw=observation == "raw", cycle=cycle, oldest=oldest)


_measure = jax.jit(measure_scale, static_argnames="lanes")


def check_finite(what: str, x: Any) -> None:
    """Refuse a NaN or an infinity by name: in an action it must never become an order.

    Raises:
      NonFiniteError: ``x`` holds one.
    """
    if not np.isfinite(x).all():
        at = np.argwhere(~np.isfinite(np.atleast_1d(x)))[0].tolist()
        raise NonFiniteError(f"{what} is not finite, first at index {at}")


@functools.partial(jax.jit, static_argnames="lanes")
def begin(game: Game, key: Array, lanes: int) -> tuple[EnvState, Array, Array, Array | None]:
    """Time 0: the world, the key of what follows, ``[B, F]`` what is seen, the mask. The key is consumed."""
    start, after = jax.random.split(key)
    world = game.reset(start, lanes)
    return world, after, game.see(world), game.mask(world)


@jax.jit
def play(
    game: Game, world: EnvState, key: Array, action: Array
) -> tuple[EnvState, Array, Array, Array | None, Array, Array]:
    """One period: as `begin`, and reward and cost ``[B]``. The key is consumed."""
    now, after = jax.random.split(key)
    world, step = game.step(world, action, now)
    return world, after, game.see(world), game.mask(world), step.reward, total_cost(game.env.network, step.flows)


class Host:
    """A game played from Python: it holds the world, and hands out NumPy arrays of their own.

    Attributes:
      world: the present `EnvState`. t: periods since the reset. mask: ``[B, K, choices]`` or None.
    """

    def __init__(self, game: Game, lanes: int, horizon: int) -> None:
        if lanes < 1 or horizon < 1:
            raise InputError(f"{lanes} environments over a horizon of {horizon}: both must be at least 1")
        for leaf in jax.tree.leaves(game.env.network):
            if leaf.shape[-1] not in (1, lanes):
                raise InputError(f"the network has {leaf.shape[-1]} lanes of its own, {lanes} were asked for")
        self.game, self.lanes, self.horizon = game, lanes, horizon
        self.world: EnvState | None = None
        self.t = 0
        self.mask: np.ndarray | None = None
        shapes = jax.eval_shape(functools.partial(begin, lanes=lanes), game, jax.random.key(0))
        self.width: int = shapes[2].shape[-1]

    def reset(self, dice: np.random.Generator) -> np.ndarray:
        """Begin anew, with a key from these dice; ``[B, F]`` what is seen."""
        first, second = dice.integers(2**32, size=2, dtype=np.uint32)
        key = jax.random.fold_in(jax.random.key(first), second)
        self.world, self._key, seen, mask = begin(self.game, key, self.lanes)
        self.t = 0
        self.mask = None if mask is None else np.array(mask)
        return np.array(seen)

    @property
    def over(self) -> bool:
        """Whether the horizon is reached, or nothing was begun."""
        return self.world is None or self.t >= self.horizon

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Play ``[B, K]``; what is seen then, rewards and costs ``[B]``.

        Raises:
          NonFiniteError: an action, or what came of it, is not finite.
          InputError: the actions have the wrong shape, or name an option that there is not.
        """
        action = np.asarray(action)
        if action.shape != (self.lanes, self.game.size):
            raise InputError(f"actions have shape {action.shape}, wanted {(self.lanes, self.game.size)}")
        check_finite("the action", action)
        n = self.game.choices
        if n and not ((action >= 0) & (action < n)).all():
            raise InputError(f"an action is none of the options 0 to {n - 1}")
        kind = np.int32 if n else self.game.dtype
        out = play(self.game, self.world, self._key, np.array(action, kind))
        self.world, self._key = out[0], out[1]
        seen, mask, reward, cost = jax.device_get(out[2:])
        self.t += 1
        self.mask = None if mask is None else np.array(mask)
        check_finite("the reward", reward)
        return np.array(seen), np.array(reward, np.float64), np.array(cost, np.float64)
