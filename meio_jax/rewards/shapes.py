"""Quantities made of quantities: penalties past a threshold, other sizes, other time scales."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.kpis import KPIS, Standards, checked
from meio_jax.network import Network
from meio_jax.rewards.base import Played, column, some_period
from meio_jax.rewards.quantities import Running, running
from meio_jax.struct import pytree, static

__all__ = ["AtEnd", "Exponential", "Hinge", "Scaled", "Summed", "exponential", "hinge", "scaled", "shortfall"]

SIDES = ("above", "below")
#: Beyond this multiple of its scale an exponential penalty goes on along its tangent, so that it stays finite.
STEEPEST = 20.0


def _past(x: Array, threshold: Array | float, side: str) -> Array:
    """How far ``x`` is on the wrong side of the threshold, negative on the right one."""
    apart = x - column(threshold, x)
    return apart if side == "above" else -apart


def _check_side(side: str) -> None:
    if side not in SIDES:
        raise InputError(f"side={side!r} is not one of {', '.join(SIDES)}")


@pytree
class Hinge:
    """0 up to a threshold, then the distance from it (power 1) or its square (power 2).

    side: "above" or "below", where it is bad to be. threshold: a number, ``[1|B]`` or ``[G, 1|B]``.

    Raises:
      InputError: there is no such side or power.
    """

    of: Any
    threshold: Array | float
    side: str = static(default="above")
    power: int = static(default=1)

    def __post_init__(self) -> None:
        _check_side(self.side)
        if self.power not in (1, 2):
            raise InputError(f"power={self.power} is not 1 or 2")

    @property
    def better(self) -> str:
        return "low"

    def init(self, network: Network, lanes: int) -> Any:
        return self.of.init(network, lanes)

    def apply(self, carry: Any, network: Network, played: Played) -> tuple[Array, Any]:
        x, carry = self.of.apply(carry, network, played)
        past = jnp.maximum(_past(x, self.threshold, self.side), 0.0)
        return (past if self.power == 1 else past**2), carry


@pytree
class Exponential:
    """0 up to a threshold, then ``exp(steepness x distance) - 1``; beyond exp(20) along its tangent.

    Raises:
      InputError: there is no such side.
    """

    of: Any
    threshold: Array | float
    steepness: Array | float
    side: str = static(default="above")

    def __post_init__(self) -> None:
        _check_side(self.side)

    @property
    def better(self) -> str:
        return "low"

    def init(self, network: Network, lanes: int) -> Any:
        return self.of.init(network, lanes)

    def apply(self, carry: Any, network: Network, played: Played) -> tuple[Array, Any]:
        x, carry = self.of.apply(carry, network, played)
        z = jnp.maximum(_past(x, self.threshold, self.side), 0.0) * column(self.steepness, x)
        curved = jnp.expm1(jnp.minimum(z, STEEPEST))
        return curved + jnp.exp(STEEPEST) * jnp.maximum(z - STEEPEST, 0.0), carry


@pytree
class Scaled:
    """A quantity over a size, so that a weight means the same on every network: see `reference_sizes`."""

    of: Any
    size: Array | float

    @property
    def better(self) -> str:
        return str(self.of.better)

    def init(self, network: Network, lanes: int) -> Any:
        return self.of.init(network, lanes)

    def apply(self, carry: Any, network: Network, played: Played) -> tuple[Array, Any]:
        x, carry = self.of.apply(carry, network, played)
        return x / column(self.size, x), carry


class BlockCarry(NamedTuple):
    """What the part remembers, the sum so far, the periods so far."""

    inner: Any
    total: Array
    t: Array


@pytree
class Summed:
    """The sum of a quantity or a reward over blocks of ``every`` periods, paid in the last one, 0 before.

    A sum over whole blocks is the same as without. Raises `InputError` where ``every`` is below 1.
    """

    of: Any
    every: int = static()

    def __post_init__(self) -> None:
        _check_every(self.every)

    @property
    def better(self) -> str:
        return str(self.of.better)

    def init(self, network: Network, lanes: int) -> BlockCarry:
        inner = self.of.init(network, lanes)
        value = jax.eval_shape(lambda: self.of.apply(inner, network, some_period(network, lanes))[0])
        return BlockCarry(inner, jnp.zeros(value.shape, value.dtype), jnp.zeros((), jnp.int32))

    def apply(self, carry: BlockCarry, network: Network, played: Played) -> tuple[Array, BlockCarry]:
        x, inner = self.of.apply(carry.inner, network, played)
        total = carry.total + x
        over = (carry.t + 1) % self.every == 0
        paid, left = jnp.where(over, total, 0.0), jnp.where(over, 0.0, total)
        return paid, BlockCarry(inner, left, carry.t + 1)


@pytree
class AtEnd:
    """A quantity or a reward as it stands in the last of every ``every`` periods, 0 in the others.

    With a `Running` that begins anew as often it is the whole week's indicator, once a week. Raises `InputError` where
    ``every`` is below 1.
    """

    of: Any
    every: int = static()

    def __post_init__(self) -> None:
        _check_every(self.every)

    @property
    def better(self) -> str:
        return str(self.of.better)

    def init(self, network: Network, lanes: int) -> tuple[Any, Array]:
        return self.of.init(network, lanes), jnp.zeros((), jnp.int32)

    def apply(self, carry: tuple[Any, Array], network: Network, played: Played) -> tuple[Array, tuple[Any, Array]]:
        x, inner = self.of.apply(carry[0], network, played)
        return jnp.where((carry[1] + 1) % self.every == 0, x, 0.0), (inner, carry[1] + 1)


def _check_every(every: int) -> None:
    if every < 1:
        raise InputError(f"every = {every} must be at least 1 period")


def hinge(of: Any, threshold: Array | float, *, side: str = "above", power: int = 1) -> Hinge:
    """`Hinge` of checked numbers. Raises `NumberError` where the threshold is NaN or infinite."""
    return Hinge(of, checked("threshold", threshold, -1e30, 1e30), side, power)


def exponential(of: Any, threshold: Array | float, steepness: Array | float, *, side: str = "above") -> Exponential:
    """`Exponential` of checked numbers. Raises `NumberError` where the steepness is negative or a number not finite."""
    threshold = checked("threshold", threshold, -1e30, 1e30)
    return Exponential(of, threshold, checked("steepness", steepness, 0.0, 1e30), side)


def scaled(of: Any, size: Array | float) -> Scaled:
    """`Scaled` of a checked size. Raises `NumberError` where it is not positive."""
    return Scaled(of, checked("size", size, 1e-30))


def shortfall(
    kpi: str,
    target: Array | float,
    *,
    by: str = "total",
    decay: Array | float = 0.95,
    every: int | None = None,
    power: int = 1,
    standards: Standards | None = None,
) -> Hinge:
    """How far a running indicator is on the wrong side of its target, 0 on the right one.

    Raises:
      NumberError: the target is negative, or above 1 for a share, or ``decay`` is outside [0, 1].
      UnknownNameError: there is no such indicator for this grouping.
    """
    of: Running = running(kpi, by=by, decay=decay, every=every, standards=standards)
    most = 1.0 if KPIS[kpi].share is not None else 1e30
    checked(f"target of {kpi}", target, 0.0, most)
    return Hinge(of, target, "below" if of.better == "high" else "above", power)
