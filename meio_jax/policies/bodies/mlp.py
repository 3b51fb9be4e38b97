"""Dense layers over all that is seen at once: the body of a network of fixed size.

Separate torsos of actor and critic follow Andrychowicz et al. (2021), What Matters for On-Policy Deep Actor-Critic
Methods (arXiv 2006.05990).
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
from jax import Array

from meio_jax.actions import Head, Scale
from meio_jax.features import features
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation
from meio_jax.policies.bodies.base import WEIGHTS, check_activation, dense, last
from meio_jax.policies.normaliser import Moments, init_moments

__all__ = ["MLP", "ActorCritic", "Flat"]


class ActorCritic(nn.Module):
    """``[.., F]`` to (outputs of the actor ``[.., K]`` or ``[.., K, choices]``, values ``[.., G]``, no memory)."""

    outputs: int
    choices: int
    widths: tuple[int, ...]
    activation: str
    shared: bool
    values: int

    @nn.compact
    def __call__(self, x: Array, memory: Any = None) -> tuple[Array, Array, Any]:
        hidden = dense(x, self.widths, self.activation, "torso" if self.shared else "actor")
        out = last(hidden, self.outputs, self.choices, "actor_out")
        hidden = hidden if self.shared else dense(x, self.widths, self.activation, "critic")
        value = nn.Dense(self.values, kernel_init=WEIGHTS, name="critic_out")(hidden)
        return out, value, memory


class Flat:
    """What bodies share that see `meio_jax.features.features`: one vector, each output with a deviation of its own."""

    any_wiring: ClassVar[bool] = False

    def see(self, network: Network, seen: Observation, scale: Scale, cycle: int | None, horizon: int | None) -> Array:
        return features(network, seen, scale, cycle=cycle, horizon=horizon)

    def moments(self, x: Array) -> Moments:
        return init_moments(x.shape[-1], x.dtype)

    def deviations(self, w: Wiring, head: Head) -> tuple[int, tuple[int, ...]]:
        count = head.outputs(w)
        return count, tuple(range(count))


@dataclasses.dataclass(frozen=True)
class MLP(Flat):
    """Hidden layers of these widths; ``shared``: actor and critic have them in common.

    Raises:
      UnknownNameError: an activation that there is not.
    """

    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False

    remembers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_activation(self.activation)

    def module(self, w: Wiring, head: Head, by_node: bool) -> ActorCritic:
        values = w.n_nodes if by_node else 1
        return ActorCritic(head.outputs(w), head.choices, self.widths, self.activation, self.shared, values)

    def memory(self, network: Network, lanes: int) -> None:
        return None
