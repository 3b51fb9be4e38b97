"""Demand out of a history: drawn again in blocks, or replayed as it was."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from meio_jax.errors import ParameterError
from meio_jax.processes.base import Parameter, Process, random_words, switch_of, table_of, whole_of
from meio_jax.processes.inverse import below
from meio_jax.struct import pytree, static

__all__ = ["Bootstrap", "Replay", "bootstrap", "replay"]

_HISTORY = Parameter("demand of each past period and row", "unit/period", form="history")
_EXAMPLE = np.arange(90.0).reshape(30, 3) % 17


def _rows_at(history: Array, position: Array) -> Array:
    """``history [T, K, 1]`` at a position for each lane: ``[K, B]``."""
    return jnp.take(history[..., 0], position, axis=0, mode="clip").T


@pytree
class Bootstrap(Process):
    """Blocks of consecutive periods of a history, all rows together, one after another (Kuensch 1989)."""

    history: Array  # [T, K, 1]
    block: int = static(default=1)
    cycle: int = static(default=1)
    start: int = static(default=0)

    role = "demand"
    kind = "bootstrap"
    parameters: ClassVar = {
        "history": _HISTORY,
        "block": Parameter("periods in a block", "period", low=1, high=1e6, form="whole", default=7),
        "cycle": Parameter(
            "cycle whose place a block keeps: 7 keeps weekdays", "period", low=1, high=1e6, form="whole", default=1
        ),
        "start": Parameter("place of period 0 in the cycle (history: 0)", "period", form="whole", default=0),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return bootstrap(_EXAMPLE, 5), bootstrap(_EXAMPLE, 3, cycle=7, start=2)

    def init(self, key: Array, lanes: int) -> Array:
        """Where in the history each lane is: the first `sample` starts a block."""
        return jnp.zeros((1, lanes), jnp.int32)

    def sample(self, key: Array, carry: Array, t: Array, lanes: int) -> tuple[Array, Array]:
        last = self.history.shape[0] - self.block

        def fresh() -> Array:
            place = (t + self.start) % self.cycle
            choices = (last - place) // self.cycle + 1
            word = random_words(key, 1, lanes)
            return place + self.cycle * below(word, choices.astype(jnp.uint32)).astype(jnp.int32)

        # Words are drawn in the periods that start a block only.
        position = lax.cond(t % self.block == 0, fresh, lambda: carry + 1)
        return _rows_at(self.history, position[0]), position

    def _weights(self) -> np.ndarray:
        """Long-run share of each period of the history ``[T, 1, 1]``."""
        weights = np.zeros(self.history.shape[0])
        places = (np.arange(self.cycle) * self.block + self.start) % self.cycle
        for place in places:
            starts = np.arange(place, len(weights) - self.block + 1, self.cycle)
            for step in range(self.block):
                weights[starts + step] += 1.0 / (len(starts) * self.block * len(places))
        return weights[:, None, None]

    def long_run_mean(self) -> Array:
        return (self.history * self._weights()).sum(0)

    def long_run_sd(self) -> Array:
        return jnp.sqrt(((self.history - self.long_run_mean()) ** 2 * self._weights()).sum(0))


@pytree
class Replay(Process):
    """Period t has the demand of period offset + t of a trace; all rows together."""

    history: Array  # [T, K, 1|B]
    offset: Array  # int32 [1, 1|B]
    anywhere: bool = static(default=False)
    wrap: bool = static(default=False)

    role = "demand"
    kind = "replay"
    parameters: ClassVar = {
        "history": _HISTORY,
        "offset": Parameter("period of the trace that is period 0", "period", high=1e6, whole=True, default=0),
        "anywhere": Parameter("each lane starts at a random period of the trace", form="switch", default=False),
        "wrap": Parameter("start over at the end of the trace; else NaN after it", form="switch", default=False),
    }

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        return replay(_EXAMPLE, 3, wrap=True), replay(_EXAMPLE, anywhere=True, wrap=True)

    @property
    def rows(self) -> int:
        return int(self.history.shape[-2])

    def init(self, key: Array, lanes: int) -> Array:
        """Where the trace starts ``[1, 1|B]``. The key is consumed."""
        if not self.anywhere:
            return self.offset
        return below(random_words(key, 1, lanes), jnp.uint32(self.history.shape[0])).astype(jnp.int32)

    def sample(self, key: Array, carry: Array, t: Array, lanes: int) -> tuple[Array, Array]:
        length = self.history.shape[0]
        position = carry + t
        inside = position < length
        position = position % length if self.wrap else jnp.minimum(position, length - 1)
        if carry.shape[-1] == 1:
            value = lax.dynamic_index_in_dim(self.history, position[0, 0], 0, keepdims=False)
            value = jnp.broadcast_to(value, (self.rows, lanes))
        else:
            value = _rows_at(self.history, position[0])
        return value if self.wrap else jnp.where(inside, value, jnp.nan), carry

    def long_run_mean(self) -> Array:
        """Of the whole trace."""
        return self.history.mean(0)

    def long_run_sd(self) -> Array:
        return self.history.std(0)


def bootstrap(history: Any, block: int = 7, *, cycle: int = 1, start: int = 0) -> Bootstrap:
    """Draw a history again in blocks of consecutive periods. All customers move together, so their correlation is kept.

    Args:
      history: ``[T, K]`` demand of past periods (or ``[T]``).
      block: periods in a block.
      cycle: 7 lets a block start on its own weekday only.
      start: the place in the cycle (weekday, counted from that of the first period of the history) of period 0.

    Raises:
      ParameterError: a number is out of its domain, or the history is shorter than a block and a cycle need.
    """
    kind, table = "bootstrap", Bootstrap.parameters
    past = table_of(kind, "history", history, table["history"])
    if past.shape[-1] != 1:
        raise ParameterError(f"{kind}: history has shape {past.shape}; all lanes draw from one history [periods, rows]")
    numbers = {n: whole_of(kind, n, v, table[n]) for n, v in (("block", block), ("cycle", cycle), ("start", start))}
    if past.shape[0] < numbers["block"] + numbers["cycle"] - 1:
        raise ParameterError(
            f"{kind}: block = {block} with cycle = {cycle} needs a history of at least {block + cycle - 1} periods, "
            f"got {past.shape[0]}"
        )
    return Bootstrap(past, **numbers)


def replay(history: Any, offset: Any = 0, *, anywhere: bool = False, wrap: bool = False) -> Replay:
    """Replay a trace.

    Args:
      history: ``[T, K]`` (or ``[T]``); ``[T, K, B]`` gives every lane a trace of its own, which then has one offset.
      offset: the period of the trace that period 0 has: a number, or one for each lane.
      anywhere: each lane starts at a random period of the trace (needs ``wrap``, excludes ``offset``).
      wrap: start over at its end; without it demand is NaN after the end, which surfaces.

    Raises:
      ParameterError: a number is out of its domain or the options contradict each other.
    """
    kind, table = "replay", Replay.parameters
    trace = table_of(kind, "history", history, table["history"])
    anywhere, wrap = switch_of(kind, "anywhere", anywhere), switch_of(kind, "wrap", wrap)
    first = np.atleast_1d(np.asarray(offset, dtype=float))
    if first.ndim != 1 or not table["offset"].allows(first).all() or (first >= trace.shape[0]).any():
        raise ParameterError(
            f"{kind}: offset = {offset!r} is not a whole number in [0, {trace.shape[0] - 1}], or one per lane"
        )
    if anywhere and (not wrap or first.any()):
        raise ParameterError(f"{kind}: anywhere needs wrap, and excludes an offset")
    if trace.shape[-1] > 1 and (len(first) > 1 or anywhere):
        raise ParameterError(f"{kind}: history with a trace for each lane has one offset for all")
    return Replay(trace, jnp.asarray(first[None], dtype=jnp.int32), anywhere, wrap)
