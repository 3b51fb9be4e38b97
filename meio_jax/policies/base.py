"""The protocol of a policy: static configuration is hashed, numbers live in ``theta``, the past in ``memory``."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from jax import Array

from meio_jax.network import Network
from meio_jax.observation import Observation

__all__ = ["Decision", "Policy"]


class Decision(NamedTuple):
    """What a planner decides in a period.

    orders ``[I, B]``: units wanted on each inner arc. allocation ``[E, B]``: the most that may leave on each arc, or
    None to leave scarce stock to the network's rule.
    """

    orders: Array
    allocation: Array | None = None


@runtime_checkable
class Policy(Protocol):
    """A frozen dataclass of static configuration with three pure functions.

    ``theta`` is any pytree of arrays. Where ``theta_has_lanes`` is true their last axis is the lane axis (1 or B), so
    that a sweep over levels is a sweep over lanes; neural networks set it to false, as all lanes share their weights.
    """

    theta_has_lanes: ClassVar[bool]

    def init(self, key: Array, network: Network) -> Any:
        """Sensible first numbers. The key is consumed."""
        ...

    def memory(self, network: Network, lanes: int) -> Any:
        """What the policy remembers at time 0; None if nothing."""
        ...

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        """One decision for every lane. The key is consumed by stochastic policies only."""
        ...
