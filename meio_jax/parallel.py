"""The cores of one machine: equal parts of a computation side by side, a compiled program on each."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

__all__ = ["is_traced", "side_by_side", "ways"]

T = TypeVar("T")

#: Cores that this process may use.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

#: Of `jax.config`, those that have a context manager of the same name and change what is drawn, compiled or checked.
SWITCHES = (
    "enable_x64", "default_prng_impl", "threefry_partitionable", "default_matmul_precision", "default_device",
    "disable_jit", "debug_key_reuse", "debug_nans", "debug_infs", "numpy_rank_promotion", "numpy_dtype_promotion",
)  # fmt: skip

_here = threading.local()


def ways(parts: int) -> int:
    """In how many equal groups ``parts`` are played side by side: the largest divisor up to the number of cores.

    1 on an accelerator, whose one program is parallel already.
    """
    if jax.default_backend() != "cpu":
        return 1
    return max(k for k in range(1, min(parts, CORES) + 1) if parts % k == 0)


def is_traced(*trees: Any) -> bool:
    """Whether what is computed from these becomes part of a larger program: a leaf is a tracer, or all that is computed
    here is staged (within `jax.jit` constants are no tracers, and what is made of them is one).
    """
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((trees, jnp.add(0, 0))))


def side_by_side(play: Callable[[int], T], count: int) -> list[T]:
    """``[play(0), .., play(count - 1)]``, each from a thread of its own, as soon as the first has been compiled.

    XLA's CPU runtime hardly overlaps what one program could do at once, and a thread's programs run one after another;
    but programs of different threads do run side by side, as the lock of the interpreter is free while they run. The
    first part is called here: it compiles what all of them need once. Its results may still be on their way. Within a
    part the parts follow one another: its thread cannot wait for itself.

    Raises what the first part that fails raises, when all of them have ended.
    """
    first = play(0)
    if getattr(_here, "is_part", False):
        return [first, *(play(k) for k in range(1, count))]
    around = _around()
    rest = [_thread(k).submit(_within, around, play, k) for k in range(1, count)]
    wait(rest)
    return [first, *(part.result() for part in rest)]


@functools.cache
def _thread(k: int) -> ThreadPoolExecutor:
    """One thread for each part, made when it is first needed: two parts in one thread would wait for each other."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"meio-{k}")


def _around() -> tuple[Any, ...]:
    """This thread's values of the switches: ``with jax.enable_x64()`` holds for one thread alone."""
    return tuple(getattr(jax.config, f"jax_{name}") for name in SWITCHES)


def _within(around: tuple[Any, ...], play: Callable[[int], T], k: int) -> T:
    _here.is_part = True  # and remains it: the thread is there for parts alone
    with contextlib.ExitStack() as stack:
        for name, value in zip(SWITCHES, around, strict=True):
            stack.enter_context(getattr(jax, name)(value))
        return play(k)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_thread.cache_clear)  # threads do not survive a fork
