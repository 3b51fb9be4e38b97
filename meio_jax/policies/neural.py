"""Neural policies: an actor-critic over what its body sees, with any head of `meio_jax.actions`.

Flax ``linen`` modules stand behind plain functions of parameter trees. A state-independent standard deviation follows
Andrychowicz et al. (2021), What Matters for On-Policy Deep Actor-Critic Methods (arXiv 2006.05990); the last layer of
the actor starts at zero, so that an untrained policy is its head's reference rule.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import Head, OrderUpTo, Scale
from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.observation import Observation, observe
from meio_jax.policies.base import Decision
from meio_jax.policies.bodies.base import ACTIVATIONS, Body, check_activation
from meio_jax.policies.bodies.mlp import MLP, ActorCritic
from meio_jax.policies.normaliser import normalise
from meio_jax.policies.scale import scale_of
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state
from meio_jax.struct import pytree

__all__ = ["ACTIVATIONS", "ActorCritic", "NeuralPolicy", "Theta", "ThetaMismatchError"]


class ThetaMismatchError(InputError):
    """Numbers of a policy that were made for another network, or for another policy."""


@pytree
class Theta:
    """The numbers of a neural policy: weights, the moments of its features, and the sizes of the network they were
    learned on.
    """

    params: Any
    moments: Any
    scale: Scale


@dataclasses.dataclass(frozen=True)
class NeuralPolicy:
    """An actor-critic as a policy like any other; ``deterministic``: it orders its most likely action.

    Attributes:
      head: what its outputs mean.
      widths, activation, shared: hidden layers; whether actor and critic share them. Of the body that None stands for.
      cycle, horizon: as in `meio_jax.features.features`.
      by_node: the critic values what will arise at each node, instead of the sum.
      body: what stands between what is seen and the outputs (`meio_jax.policies.bodies`); None:
        ``MLP(widths, activation, shared)``.
    """

    head: Head = OrderUpTo()
    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    cycle: int | None = None
    horizon: int | None = None
    deterministic: bool = True
    by_node: bool = False
    body: Body | None = None
    theta_has_lanes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_activation(self.activation)

    @property
    def made_of(self) -> Body:
        """The body, that of None spelled out."""
        return MLP(self.widths, self.activation, self.shared) if self.body is None else self.body

    @property
    def remembers(self) -> bool:
        """Whether something is carried from period to period: then `act_with_memory` is asked, not `act`."""
        return self.made_of.remembers

    def init(
        self, key: Array, network: Network, scale: Scale | None = None, example: Observation | None = None
    ) -> Theta:
        """Weights that order by the reference rule.

        Args:
          key: consumed.
          scale: sizes of the network; default: those of a mean demand of 1 without spread.
          example: an observation with the fields that will be seen; needed where sources fail or reports are late.
        """
        body, w = self.made_of, network.wiring
        scale = scale_of(network) if scale is None else scale
        if example is None:
            state = initial_state(network, 1)
            example = observe(network, state, Shock(demand=state.demand))
        x = body.see(network, example, scale, self.cycle, self.horizon)
        memory = body.memory(network, 1)
        weights = self._module(network).init(key, jax.tree.map(lambda v: v[:1], x), memory)["params"]
        params: dict[str, Any] = {"net": weights}
        if not self.head.choices:
            count, _ = body.deviations(w, self.head)
            params["log_std"] = jnp.zeros((count,), jax.tree.leaves(x)[0].dtype)
        return Theta(params=params, moments=body.moments(x), scale=scale)

    def memory(self, network: Network, lanes: int) -> Any:
        """What is remembered at time 0: a pytree of leaves ``[.., B]``; None of a body that remembers nothing."""
        return self.made_of.memory(network, lanes)

    def apply(self, network: Network, theta: Theta, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        """One decision for every lane. The key is consumed unless ``deterministic``."""
        mask = self.head.mask(network, theta.scale, seen)
        dist, _, memory = self.act_with_memory(network, theta, self.see(network, theta, seen), memory, mask)
        raw = dist.mode() if self.deterministic else dist.sample(seed=key)
        return Decision(self.head.orders(network, theta.scale, seen, raw)), memory

    def see(self, network: Network, theta: Theta, seen: Observation) -> Any:
        """What a batch keeps of an observation, not yet normalised: features ``[B, F]``, or what the body sees."""
        return self.made_of.see(network, seen, theta.scale, self.cycle, self.horizon)

    def act(
        self, network: Network, theta: Theta, x: Any, mask: Array | None = None, spread: Array | float = 1.0
    ) -> tuple[Any, Array]:
        """The distribution of raw outputs, and the value, for what `see` gave.

        Args:
          x: features ``[.., F]``, or the leaves that the body sees, with any leading axes.
          mask: as made by the head. spread: factor on the standard deviation of a continuous head.

        Returns:
          A distrax distribution over ``[.., K]``, which must not leave a compiled function, and values ``[.., G]``:
          one, or one for each node.

        Raises:
          InputError: the body remembers.
        """
        if self.remembers:
            raise InputError(f"{type(self.body).__name__} remembers: ask act_with_memory, and carry what it gives back")
        dist, value, _ = self.act_with_memory(network, theta, x, None, mask, spread)
        return dist, value

    def act_with_memory(
        self, network: Network, theta: Theta, x: Any, memory: Any, mask: Array | None = None,
        spread: Array | float = 1.0,
    ) -> tuple[Any, Array, Any]:  # fmt: skip
        """`act` for bodies with and without memory: the distribution, the value, and what is remembered next.

        Args:
          x: of one period, ``[B, ..]``, where the body remembers.
          memory: as `memory` and the period before gave it, leaves ``[.., B]``; None where nothing is remembered.

        Raises:
          InputError: the body remembers and no memory is given.
        """
        import distrax  # costs seconds: only what acts pays for it

        if self.remembers and memory is None:
            raise InputError(f"{type(self.body).__name__} remembers: begin with policy.memory(network, lanes)")
        made: Any = self._module(network).apply({"params": theta.params["net"]}, normalise(theta.moments, x), memory)
        out, value, memory = made
        if self.head.choices:
            out = out if mask is None else jnp.where(mask, out, np.finfo(np.float32).min / 2)
            return distrax.Independent(distrax.Categorical(logits=out), 1), value, memory
        log_std = theta.params["log_std"]
        count, own = self.made_of.deviations(network.wiring, self.head)
        log_std = log_std if own == tuple(range(count)) else log_std[np.asarray(own)]
        scale = jnp.broadcast_to(jnp.exp(log_std) * spread, out.shape)
        return distrax.Independent(distrax.Normal(out, scale), 1), value, memory

    def _module(self, network: Network) -> Any:
        return self.made_of.module(network.wiring, self.head, self.by_node)
