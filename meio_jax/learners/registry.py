"""The learners by name, and the learner that a configuration belongs to."""

from __future__ import annotations

from typing import Any

from meio_jax.errors import InputError
from meio_jax.learners import pathwise, ppo
from meio_jax.learners.learner import Learner

__all__ = ["LEARNERS", "learner_of"]

#: In alphabetical order of their names.
LEARNERS: dict[str, Learner] = {module.LEARNER.name: module.LEARNER for module in (pathwise, ppo)}


def learner_of(config: Any) -> Learner:
    """The learner whose configuration this is.

    Raises:
      InputError: it is no learner's.
    """
    for learner in LEARNERS.values():
        if isinstance(config, learner.config):
            return learner
    known = ", ".join(learner.config.__name__ for learner in LEARNERS.values())
    raise InputError(f"a {type(config).__name__} is no learner's configuration; there are {known}")
