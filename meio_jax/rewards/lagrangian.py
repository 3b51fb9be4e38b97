"""Cost under constraints, exactly: the multipliers are found in the same program as the policy."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.kpis import checked
from meio_jax.network import Network
from meio_jax.rewards.base import Played, column, some_period
from meio_jax.struct import pytree, static

__all__ = ["Lagrangian", "LagrangianCarry", "lagrangian"]


class LagrangianCarry(NamedTuple):
    """multipliers: of each constraint ``[G, 1]``, or ``[G, B]`` where each lane has its own; inner: of the parts."""

    multipliers: tuple[Array, ...]
    inner: tuple[Any, ...]


@pytree
class Lagrangian:
    """``-(cost + sum of multiplier x constraint)``: the least mean cost with every mean constraint at most 0.

    A multiplier is the price of a broken constraint, in cost a unit of it. It rises by ``rate x constraint`` each
    period while the constraint is broken and falls towards 0 while it is kept (dual ascent). A policy that maximises
    this reward and multipliers that no longer move are the solution of the constrained problem and its shadow prices:
    of average-cost Markov decision processes (Altman 1999, Constrained Markov Decision Processes), with constraints
    that add up over periods, such as `Gap`; running shares do not. Learn multipliers slower than the policy.

    cost, constraints: quantities; each row of a constraint has its own multiplier. rate: step of dual ascent.
    proportional: what is added to a multiplier for the constraint of this very period, which damps the oscillation of
    the two (Stooke, Achiam and Abbeel 2020, arXiv 2007.03964); 0: nothing. most: the largest multiplier, where no
    policy keeps the constraint. start: multipliers at time 0. shared: lanes are draws of one world and have the
    multiplier of their mean; False: each lane its own, as in a sweep over targets.

    No gradient goes through the multipliers: they are another player, who wants the opposite.
    """

    cost: Any
    constraints: tuple[Any, ...]
    rate: Array | float = 0.01
    proportional: Array | float = 0.0
    most: Array | float = 1e6
    start: Array | float = 0.0
    shared: bool = static(default=True)

    def init(self, network: Network, lanes: int) -> LagrangianCarry:
        parts = (self.cost, *self.constraints)
        inner = tuple(of.init(network, lanes) for of in parts)

        def look() -> list[Array]:
            played = some_period(network, lanes)
            return [of.apply(c, network, played)[0] for of, c in zip(parts, inner, strict=True)]

        width = 1 if self.shared else lanes
        first = [
            jnp.broadcast_to(jnp.asarray(self.start, x.dtype), (x.shape[0], width)) for x in jax.eval_shape(look)[1:]
        ]
        return LagrangianCarry(tuple(first), inner)

    def apply(self, carry: LagrangianCarry, network: Network, played: Played) -> tuple[Array, LagrangianCarry]:
        parts = (self.cost, *self.constraints)
        found = [of.apply(c, network, played) for of, c in zip(parts, carry.inner, strict=True)]
        loss = found[0][0].sum(0)
        after = []
        for multiplier, (x, _) in zip(carry.multipliers, found[1:], strict=True):
            broken = jax.lax.stop_gradient(x)
            broken = broken.mean(-1, keepdims=True) if self.shared else broken
            most = column(self.most, x)
            price = jnp.clip(multiplier + column(self.proportional, x) * broken, 0.0, most)
            loss = loss + (price * x).sum(0)
            after.append(jnp.clip(multiplier + column(self.rate, x) * broken, 0.0, most))
        return -loss, LagrangianCarry(tuple(after), tuple(c for _, c in found))


def lagrangian(
    cost: Any,
    constraints: Any,
    *,
    rate: Array | float = 0.01,
    proportional: Array | float = 0.0,
    most: Array | float = 1e6,
    start: Array | float = 0.0,
    shared: bool = True,
) -> Lagrangian:
    """`Lagrangian` of checked numbers; ``constraints`` one quantity or several.

    Raises:
      InputError: there is no constraint.
      NumberError: a number is negative or NaN.
    """
    constraints = (constraints,) if hasattr(constraints, "apply") else tuple(constraints)
    if not constraints:
        raise InputError("a Lagrangian needs at least one constraint")
    for name, value in (("rate", rate), ("proportional", proportional), ("most", most), ("start", start)):
        checked(name, value)
    return Lagrangian(cost, constraints, rate, proportional, most, start, shared)
