"""The host's loop around a learner's compiled chunks: progress, early end, and what to do with a NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array

from meio_jax.errors import InputError, NonFiniteError
from meio_jax.learners.registry import learner_of
from meio_jax.network import Network
from meio_jax.parallel import side_by_side, ways
from meio_jax.processes import Processes
from meio_jax.scenario import Scenario

__all__ = ["TrainingDivergedError", "train", "train_seeds"]


class TrainingDivergedError(NonFiniteError):
    """A loss or a weight became NaN or infinite. ``state`` is the last good state, ``metrics`` those of the failed
    chunk.
    """

    def __init__(self, message: str, state: Any, metrics: dict[str, Array]) -> None:
        super().__init__(message)
        self.state = state
        self.metrics = metrics


def train(
    config: Any,
    network: Network,
    processes: Processes | Scenario,
    hyper: Any,
    key: Array | None = None,
    *,
    callback: Callable[[Any, dict[str, Array]], Any] | None = None,
    chunk: int | None = None,
    state: Any = None,
) -> tuple[Any, dict[str, Array]]:
    """Train for ``config.updates`` updates by the learner whose configuration it is. ``jax.vmap`` over it is a search
    over seeds, hyper-parameters and costs.

    Args:
      key: consumed; not used where a state is given.
      callback: called after each chunk with the state and the chunk's metrics; a true answer ends the run early.
      chunk: updates between calls; default: all of them in one program. The last chunk may be shorter.
      state: go on from here, until ``config.updates`` updates are done in all.

    Returns:
      The state, and the metrics of all updates of this call (see `meio_jax.learners.learner.Learner`).

    Raises:
      TrainingDivergedError: a loss or a weight is not finite; it holds the last good state. Under `jax.vmap` nothing is
        raised: such an update is rolled back and the member goes on with another key, and its ``finite`` is false.
      InputError: the configuration does not fit the network, or ``chunk`` is no multiple of ``config.eval_every``, or
        there is neither a key nor a state.
    """
    learner = learner_of(config)
    if state is None:
        if key is None:
            raise InputError("train: give a key to begin with, or a state to go on from")
        state = learner.init_train(config, network, processes, hyper, key)
    traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((state, network, processes, hyper)))
    if traced:
        if callback is not None or chunk is not None:
            raise InputError("callback and chunk are for the host's loop; under vmap or jit leave them out")
        return learner.train_chunk(config, network, processes, hyper, state, config.updates)
    parts: list[dict[str, Array]] = []
    done = int(state.update)
    while done < config.updates:
        updates = min(chunk or config.updates, config.updates - done)
        state, metrics = learner.train_chunk(config, network, processes, hyper, state, updates)
        _check(learner.title, done, state, metrics)
        parts.append(metrics)
        done += updates
        if callback is not None and callback(state, metrics):
            break
    if not parts:
        return state, {}
    return state, jax.tree.map(lambda *x: np.concatenate([np.asarray(v) for v in x]), *parts)


def train_seeds(
    config: Any, network: Network, processes: Processes | Scenario, hyper: Any, keys: Array
) -> list[tuple[Any, dict[str, Array]]]:
    """`train` once for each of ``keys [S]``, on all cores of a CPU: each core plays whole runs, one after another.

    The numbers of a run are those of `train` with its key, on any number of cores. On an accelerator, and where a
    machine has one core, they are played one after another; ``jax.vmap`` over `train` puts seeds in one program.

    Raises:
      TrainingDivergedError: as in `train`, by the first run that diverged, after all have ended.
    """
    learner = learner_of(config)
    count = len(keys)
    cores = ways(max(count, 1) * 64)  # as many as there are, whatever divides the number of seeds
    groups = [list(range(k, count, cores)) for k in range(min(cores, count))]

    def play(k: int) -> list[tuple[Any, dict[str, Array]]]:
        runs = []
        for i in groups[k]:
            state = learner.init_train(config, network, processes, hyper, keys[i])
            runs.append(learner.train_chunk(config, network, processes, hyper, state, config.updates))
        return runs  # not waited for here: a program's results may still be on their way

    found = side_by_side(play, len(groups)) if groups else []
    runs = [found[i % cores][i // cores] for i in range(count)]
    for state, metrics in runs:
        _check(learner.title, 0, state, metrics)
    return [(state, jax.tree.map(np.asarray, metrics)) for state, metrics in runs]


def _check(title: str, done: int, state: Any, metrics: dict[str, Array]) -> None:
    finite = np.asarray(metrics["finite"])
    if not finite.all():
        at = done + int(np.argmin(finite))
        raise TrainingDivergedError(
            f"{title}: a loss or a weight is not finite in update {at}; the last good state is kept", state, metrics
        )
