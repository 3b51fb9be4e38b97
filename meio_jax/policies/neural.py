"""Neural policies: an actor-critic over `meio_jax.features`, with any head of `meio_jax.actions`.

Flax ``linen`` modules stand behind plain functions of parameter trees. Separate torsos and a state-independent
standard deviation follow Andrychowicz et al. (2021), What Matters for On-Policy Deep Actor-Critic Methods (arXiv
2006.05990); the last layer of the actor starts at zero, so that an untrained policy is its head's reference rule.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import Head, OrderUpTo, Scale
from meio_jax.errors import UnknownNameError
from meio_jax.features import features
from meio_jax.network import Network
from meio_jax.observation import Observation, observe
from meio_jax.policies.base import Decision
from meio_jax.policies.normaliser import Moments, init_moments, normalise
from meio_jax.policies.scale import scale_of
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state
from meio_jax.struct import pytree

__all__ = ["ACTIVATIONS", "ActorCritic", "NeuralPolicy", "Theta"]

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "elu": nn.elu, "silu": nn.silu, "gelu": nn.gelu}

# Not the orthogonal matrices that PPO is often started with: two batched QR factorisations in one program, as vmap
# makes them, wait for each other for ever in XLA's CPU runtime with two threads (jaxlib 0.10.2).
WEIGHTS = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


@pytree
class Theta:
    """The numbers of a neural policy: weights, the moments of its features, and the sizes of the network they were
    learned on.
    """

    params: Any
    moments: Moments
    scale: Scale


class ActorCritic(nn.Module):
    """``[.., F]`` to (outputs of the actor ``[.., K]`` or ``[.., K, choices]``, values ``[.., G]``)."""

    outputs: int
    choices: int
    widths: tuple[int, ...]
    activation: str
    shared: bool
    values: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        act = ACTIVATIONS[self.activation]

        def torso(name: str) -> Array:
            y = x
            for i, width in enumerate(self.widths):
                y = act(nn.Dense(width, kernel_init=WEIGHTS, name=f"{name}_{i}")(y))
            return y

        hidden = torso("torso" if self.shared else "actor")
        size = self.outputs * max(self.choices, 1)
        out = nn.Dense(size, kernel_init=nn.initializers.zeros, name="actor_out")(hidden)
        if self.choices:
            out = out.reshape(*out.shape[:-1], self.outputs, self.choices)
        hidden = hidden if self.shared else torso("critic")
        value = nn.Dense(self.values, kernel_init=WEIGHTS, name="critic_out")(hidden)
        return out, value


@dataclasses.dataclass(frozen=True)
class NeuralPolicy:
    """An actor-critic as a policy like any other; ``deterministic``: it orders its most likely action.

    Attributes:
      head: what its outputs mean.
      widths, activation, shared: hidden layers; whether actor and critic share them.
      cycle, horizon: as in `meio_jax.features.features`.
      by_node: the critic values what will arise at each node, instead of the sum.
    """

    head: Head = OrderUpTo()
    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    cycle: int | None = None
    horizon: int | None = None
    deterministic: bool = True
    by_node: bool = False
    theta_has_lanes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError(f"activation {self.activation!r} is not one of {', '.join(ACTIVATIONS)}")

    def init(
        self, key: Array, network: Network, scale: Scale | None = None, example: Observation | None = None
    ) -> Theta:
        """Weights that order by the reference rule.

        Args:
          key: consumed.
          scale: sizes of the network; default: those of a mean demand of 1 without spread.
          example: an observation with the fields that will be seen; needed where sources fail or reports are late.
        """
        scale = scale_of(network) if scale is None else scale
        if example is None:
            state = initial_state(network, 1)
            example = observe(network, state, Shock(demand=state.demand))
        x = features(network, example, scale, cycle=self.cycle, horizon=self.horizon)
        weights = self._module(network).init(key, x[:1])["params"]
        params: dict[str, Any] = {"net": weights}
        if not self.head.choices:
            params["log_std"] = jnp.zeros((self.head.outputs(network.wiring),), x.dtype)
        return Theta(params=params, moments=init_moments(x.shape[-1], x.dtype), scale=scale)

    def memory(self, network: Network, lanes: int) -> None:
        return None

    def apply(
        self, network: Network, theta: Theta, memory: None, seen: Observation, key: Array
    ) -> tuple[Decision, None]:
        """One decision for every lane. The key is consumed unless ``deterministic``."""
        dist, _ = self.act(network, theta, self.see(network, theta, seen), self.head.mask(network, theta.scale, seen))
        raw = dist.mode() if self.deterministic else dist.sample(seed=key)
        return Decision(self.head.orders(network, theta.scale, seen, raw)), None

    def see(self, network: Network, theta: Theta, seen: Observation) -> Array:
        """``[B, F]`` features, not yet normalised."""
        return features(network, seen, theta.scale, cycle=self.cycle, horizon=self.horizon)

    def act(
        self, network: Network, theta: Theta, x: Array, mask: Array | None = None, spread: Array | float = 1.0
    ) -> tuple[Any, Array]:
        """The distribution of raw outputs, and the value, for features ``[.., F]``.

        Args:
          mask: as made by the head. spread: factor on the standard deviation of a continuous head.

        Returns:
          A distrax distribution over ``[.., K]``, which must not leave a compiled function, and values ``[.., G]``:
          one, or one for each node.
        """
        import distrax  # costs seconds: only what acts pays for it

        made: Any = self._module(network).apply({"params": theta.params["net"]}, normalise(theta.moments, x))
        out, value = made
        if self.head.choices:
            out = out if mask is None else jnp.where(mask, out, np.finfo(np.float32).min / 2)
            return distrax.Independent(distrax.Categorical(logits=out), 1), value
        scale = jnp.broadcast_to(jnp.exp(theta.params["log_std"]) * spread, out.shape)
        return distrax.Independent(distrax.Normal(out, scale), 1), value

    def _module(self, network: Network) -> ActorCritic:
        outputs = self.head.outputs(network.wiring)
        values = network.wiring.n_nodes if self.by_node else 1
        return ActorCritic(outputs, self.head.choices, self.widths, self.activation, self.shared, values)
