"""The two protocols of this package, and how a reward of either kind is begun and paid.

A *quantity* is something to read off a period: a cost, an indicator, a penalty on one. A *reward* is what a learner is
paid, to be made large; it is put together from quantities. Both are frozen dataclasses whose numbers are leaves, so a
sweep over weights, targets or time scales is one program, and both may remember: moving averages, weeks, multipliers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.rewards.terms import Weights, reward
from meio_jax.scenario import Shock
from meio_jax.simulator import Flows, State, initial_state

__all__ = ["Played", "Quantity", "Reward", "begin_reward", "column", "needed", "pay", "pay_along", "some_period"]


class Played(NamedTuple):
    """A period that was played: what moved, and for those that ask for it the state before it and after it and what
    the outside world did.
    """

    flows: Flows
    before: State | None = None
    after: State | None = None
    shock: Shock | None = None


class Quantity(Protocol):
    """Something to read off a period, ``[G, B]``: one row, or one for each echelon, node or customer.

    better: "low" or "high".
    """

    @property
    def better(self) -> str:
        """Whether it is to be kept "low" or "high"."""
        ...

    def init(self, network: Network, lanes: int) -> Any:
        """What it remembers at time 0; None if nothing."""
        ...

    def apply(self, carry: Any, network: Network, played: Played) -> tuple[Array, Any]:
        """Its value in this period ``[G, B]``, and what it remembers after it."""
        ...


class Reward(Protocol):
    """What a learner is paid in a period, ``[B]``, to be made large."""

    def init(self, network: Network, lanes: int) -> Any:
        """What it remembers at time 0; None if nothing."""
        ...

    def apply(self, carry: Any, network: Network, played: Played) -> tuple[Array, Any]:
        """The reward of this period ``[B]``, and what it remembers after it."""
        ...


def is_plain(weights: Any) -> bool:
    """Whether this is None or weights of terms by name, as `meio_jax.rewards.reward` has them, and remembers nothing.

    Raises:
      InputError: it is neither that nor a `Reward`.
    """
    if weights is None or isinstance(weights, Mapping):
        return True
    if hasattr(weights, "better") or not hasattr(weights, "apply"):
        raise InputError(f"{type(weights).__name__} is no reward: give None, weights of terms by name, or a Reward")
    return False


def begin_reward(weights: Weights | Reward | None, network: Network, lanes: int) -> Any:
    """What a reward remembers at time 0; None where it remembers nothing."""
    return None if is_plain(weights) else weights.init(network, lanes)  # type: ignore[union-attr]


def pay(weights: Weights | Reward | None, carry: Any, network: Network, played: Played) -> tuple[Array, Any]:
    """The reward ``[B]`` of a period, and what is remembered after it, whether or not there is a memory."""
    if is_plain(weights):
        return reward(weights, network, played.flows), carry  # type: ignore[arg-type]
    return weights.apply(carry, network, played)  # type: ignore[union-attr]


def pay_along(weights: Weights | Reward | None, network: Network, played: Played) -> Array:
    """The rewards ``[T, B]`` of periods that were played, leaves ``[T, .., B]``, from a memory of nothing."""

    def period(carry: Any, now: Played) -> tuple[Any, Array]:
        paid, carry = pay(weights, carry, network, now)
        return carry, paid

    begun = begin_reward(weights, network, played.flows.on_hand.shape[-1])
    return jax.lax.scan(period, begun, played)[1]


def needed(played: Played, *names: str) -> list[Any]:
    """The parts of a period that a reward cannot do without.

    Raises:
      InputError: one was not given.
    """
    for name in names:
        if getattr(played, name) is None:
            raise InputError(f"this reward reads the {name} of a period: give it in Played(.., {name}=..)")
    return [getattr(played, name) for name in names]


def column(x: Array | float, like: Array) -> Array:
    """``x`` as something that stands beside ``like [G, B]``, in its dtype."""
    return jnp.asarray(x, like.dtype)


def some_period(network: Network, lanes: int) -> Played:
    """A period of nothing. Only traced, for shapes (`jax.eval_shape`)."""
    w = network.wiring
    state = initial_state(network, lanes)
    rows = dict.fromkeys(("ordered", "shipped", "filled", "lost", "backlog"), w.n_arcs)
    rows |= dict.fromkeys(("received", "in_transit"), w.n_inner)
    rows |= dict.fromkeys(("started", "built", "expired", "overflow", "on_hand"), w.n_nodes)
    rows |= {"components": state.components.shape[0]}
    rows |= dict.fromkeys(("arrived", "in_mail"), w.n_inner) if w.mail_slots else {}
    flows = Flows(**{name: jnp.zeros((count, lanes), state.backlog.dtype) for name, count in rows.items()})
    return Played(flows, state, state, Shock(demand=state.demand))
