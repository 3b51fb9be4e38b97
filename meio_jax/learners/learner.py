"""What a learner is: two pure functions over a state, and how a problem becomes its configuration.

Every learner is one module that ends with ``LEARNER``; `meio_jax.learners.registry` finds it, and
`meio_jax.learners.loop.train`, the command line and the sweeps know learners by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Learner"]


class Learner(NamedTuple):
    """A learner by name.

    Attributes:
      name: what the command line takes. title: one line.
      config: its frozen, hashable configuration class, with ``policy``: the policy as it is evaluated and used, and
        ``updates``: how many make a run.
      hyper: its class of traced numbers, a pytree.
      for_problem: ``(problem, *, policy=None, **changes) -> (config, hyper)``: one set of defaults for all problems,
        turned to the problem's criterion. ``changes`` are fields of either.
      init_train: ``(config, network, processes, hyper, key, *, scale=None, theta=None) -> state``; the key is consumed.
        The state has ``update``, ``theta``, ``best_theta``, ``best_cost`` and ``replace``, and is all that a resumed
        run needs.
      train_chunk: ``(config, network, processes, hyper, state, updates) -> (state, metrics)``. Metrics are leaves
        ``[updates]``, at least ``loss``, ``cost``, ``learning_rate`` and ``finite``, and with evaluation ``eval_*``
        leaves ``[updates / eval_every]``, at least ``eval_cost`` and ``eval_error``. Where ``finite`` is false the
        state is what it was before that update.
    """

    name: str
    title: str
    config: type
    hyper: type
    for_problem: Callable[..., tuple[Any, Any]]
    init_train: Callable[..., Any]
    train_chunk: Callable[..., tuple[Any, dict[str, Any]]]
