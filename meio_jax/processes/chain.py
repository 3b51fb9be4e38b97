"""Markov chains over a few regimes, in lanes. Used by every process that has regimes; no process itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import ParameterError
from meio_jax.processes.base import Parameter
from meio_jax.processes.inverse import thresholds_of_probabilities

__all__ = ["TRANSITION", "chain_of", "chain_tables", "first_state", "next_state", "stationary"]

TRANSITION = Parameter("transition[r][s]: probability to pass from regime r to s in a period", high=1.0, form="matrix")


def stationary(transition: Array) -> Array:
    """Long-run share of each regime ``[R, 1|B]`` of ``transition [R, R, 1|B]``.

    By the method of Grassmann, Taksar and Heyman (1985, doi:10.1287/opre.33.5.1107), which subtracts nothing and so is
    accurate for nearly uncoupled chains too.
    """
    n = transition.shape[0]
    a = transition
    for k in range(n - 1, 0, -1):
        column = a[:k, k] / a[k, :k].sum(0, keepdims=True)
        a = a.at[:k, k].set(column)
        a = a.at[:k, :k].add(column[:, None] * a[k, :k][None])
    share = [jnp.ones_like(a[0, 0])]
    for k in range(1, n):
        share.append(sum(share[i] * a[i, k] for i in range(k)))  # type: ignore[arg-type]
    x = jnp.stack(share)
    return x / x.sum(0, keepdims=True)


def chain_tables(transition: Array) -> tuple[Array, Array]:
    """Thresholds of the first regime ``[R - 1, 1, 1|B]``, and of the next by the present ``[R - 1, R, 1, 1|B]``."""
    first = thresholds_of_probabilities(stationary(transition))
    following = thresholds_of_probabilities(jnp.swapaxes(transition, 0, 1))
    return first[:, None], following[:, :, None]


def first_state(tables: tuple[Array, Array], word: Array) -> Array:
    """A regime from the stationary distribution, int32 of the shape of ``word [K, B]``."""
    state = jnp.zeros(word.shape, jnp.int32)
    for row in tables[0]:
        state = state + (word < row)
    return state


def next_state(tables: tuple[Array, Array], state: Array, word: Array) -> Array:
    """The regime that follows ``state [K, B]``."""
    following = jnp.zeros(word.shape, jnp.int32)
    for row in tables[1]:
        limit = jnp.broadcast_to(row[0], word.shape)
        for regime in range(1, row.shape[0]):
            limit = jnp.where(state == regime, row[regime], limit)
        following = following + (word < limit)
    return following


def chain_of(kind: str, transition: Any, regimes: int) -> Array:
    """Check a transition matrix ``[R, R]`` (or ``[R, R, B]``, one for each lane): returns ``[R, R, 1|B]``.

    Raises:
      ParameterError: a probability is out of [0, 1], a row does not sum to 1, or a regime is out of reach of another.
    """
    if isinstance(transition, jax.core.Tracer):
        return transition if transition.ndim == 3 else transition[..., None]
    try:
        p = np.array(transition, dtype=float)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{kind}: transition must be a square matrix of numbers") from error
    if p.ndim not in (2, 3) or p.shape[:2] != (regimes, regimes):
        raise ParameterError(
            f"{kind}: transition has shape {p.shape}, expected ({regimes}, {regimes}) for {regimes} regimes"
        )
    p = p.reshape(regimes, regimes, -1)
    if (bad := ~TRANSITION.allows(p)).any():
        r, s, lane = (int(i[0]) for i in np.nonzero(bad))
        raise ParameterError(f"{kind}: transition[{r}][{s}] = {p[r, s, lane]:g} is not in {TRANSITION.domain}")
    total = p.sum(1)
    if (bad := np.abs(total - 1.0) > 1e-6).any():
        r, lane = (int(i[0]) for i in np.nonzero(bad))
        raise ParameterError(f"{kind}: transition[{r}] sums to {total[r, lane]:g}, not to 1")
    reach = np.eye(regimes, dtype=bool)[..., None] | (p > 0)
    for _ in range(regimes):
        reach = np.einsum("rsb,stb->rtb", reach, reach)
    if not reach.all():
        r, s, _ = (int(i[0]) for i in np.nonzero(~reach))
        raise ParameterError(f"{kind}: transition never leads from regime {r} to {s}, so there is no long run")
    return jnp.asarray(p / total[:, None], dtype=float)
