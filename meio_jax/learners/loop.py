"""The host's loop around a learner's compiled chunks: progress, early end, and what to do with a NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array

from meio_jax.errors import InputError, NonFiniteError
from meio_jax.learners.config import PPOConfig, PPOHyper
from meio_jax.learners.ppo import TrainState, init_train, train_chunk
from meio_jax.network import Network
from meio_jax.processes import Processes

__all__ = ["TrainingDivergedError", "train"]


class TrainingDivergedError(NonFiniteError):
    """A loss or a weight became NaN or infinite. ``state`` is the last good state, ``metrics`` those of the failed
    chunk.
    """

    def __init__(self, message: str, state: TrainState, metrics: dict[str, Array]) -> None:
        super().__init__(message)
        self.state = state
        self.metrics = metrics


def train(
    config: PPOConfig,
    network: Network,
    processes: Processes,
    hyper: PPOHyper,
    key: Array,
    *,
    callback: Callable[[TrainState, dict[str, Array]], Any] | None = None,
    chunk: int | None = None,
    state: TrainState | None = None,
) -> tuple[TrainState, dict[str, Array]]:
    """Train for ``config.updates`` updates. ``jax.vmap`` over it is a search over seeds, hyper-parameters and costs.

    Args:
      key: consumed; not used where a state is given.
      callback: called after each chunk with the state and the chunk's metrics; a true answer ends the run early.
      chunk: updates between calls; default: all of them in one program. The last chunk may be shorter.
      state: go on from here, until ``config.updates`` updates are done in all.

    Returns:
      The state, and the metrics of all updates of this call (see `meio_jax.learners.ppo.train_chunk`).

    Raises:
      TrainingDivergedError: a loss or a weight is not finite; it holds the last good state. Under `jax.vmap` nothing is
        raised: such an update is rolled back and the member goes on with another key, and its ``finite`` is false.
      InputError: the configuration does not fit the network, or ``chunk`` is no multiple of ``config.eval_every``.
    """
    state = init_train(config, network, processes, hyper, key) if state is None else state
    traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((state, network, processes, hyper)))
    if traced:
        if callback is not None or chunk is not None:
            raise InputError("callback and chunk are for the host's loop; under vmap or jit leave them out")
        return train_chunk(config, network, processes, hyper, state, config.updates)
    parts: list[dict[str, Array]] = []
    done = int(state.update)
    while done < config.updates:
        updates = min(chunk or config.updates, config.updates - done)
        state, metrics = train_chunk(config, network, processes, hyper, state, updates)
        finite = np.asarray(metrics["finite"])
        if not finite.all():
            at = done + int(np.argmin(finite))
            message = f"PPO: a loss or a weight is not finite in update {at}; the last good state is kept"
            raise TrainingDivergedError(message, state, metrics)
        parts.append(metrics)
        done += updates
        if callback is not None and callback(state, metrics):
            break
    if not parts:
        return state, {}
    return state, jax.tree.map(lambda *x: np.concatenate([np.asarray(v) for v in x]), *parts)
