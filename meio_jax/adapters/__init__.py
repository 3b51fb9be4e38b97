"""Supply networks for other people's learners: gymnasium, gymnax-shaped and PettingZoo environments.

Each is `meio_jax.env.Env` underneath, seen and played through a `Game`. gymnasium and PettingZoo come with the extra
``meio-jax[gym]`` and are imported when their adapter is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meio_jax.adapters.game import Game, make_game
    from meio_jax.adapters.gymnasium import GymEnv, GymVectorEnv
    from meio_jax.adapters.gymnax import Gymnax1Env, GymnaxEnv
    from meio_jax.adapters.optional import MissingExtraError
    from meio_jax.adapters.pettingzoo import NodeAgentsEnv

__all__ = [
    "Game",
    "GymEnv",
    "GymVectorEnv",
    "Gymnax1Env",
    "GymnaxEnv",
    "MissingExtraError",
    "NodeAgentsEnv",
    "make_game",
]

_HOME = {
    "Game": "game",
    "make_game": "game",
    "GymEnv": "gymnasium",
    "GymVectorEnv": "gymnasium",
    "Gymnax1Env": "gymnax",
    "GymnaxEnv": "gymnax",
    "MissingExtraError": "optional",
    "NodeAgentsEnv": "pettingzoo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
