"""The protocol of a body: what stands between what a neural policy sees and what its head makes of its outputs.

A body is a frozen dataclass of static configuration. It says what it sees, what it remembers, and makes a Flax module;
the weights live in theta. Every body works with every head (`meio_jax.actions`), and every last layer of an actor
starts at zero, so that an untrained policy is its head's reference rule.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import Array

from meio_jax.actions import Head, Scale
from meio_jax.errors import UnknownNameError
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation

__all__ = ["ACTIVATIONS", "WEIGHTS", "Body", "check_activation"]

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "elu": nn.elu, "silu": nn.silu, "gelu": nn.gelu}

# Not the orthogonal matrices that PPO is often started with: two batched QR factorisations in one program, as vmap
# makes them, wait for each other for ever in XLA's CPU runtime with two threads (jaxlib 0.10.2).
WEIGHTS = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


@runtime_checkable
class Body(Protocol):
    """What a neural policy is made of.

    Attributes:
      remembers: whether something is carried from period to period.
      any_wiring: whether its parameters are the same for every network, so that one theta plays them all.
    """

    remembers: ClassVar[bool]
    any_wiring: ClassVar[bool]

    def module(self, w: Wiring, head: Head, by_node: bool) -> nn.Module:
        """A module ``(x, memory) -> (outputs, values, memory)``.

        Outputs ``[.., K]`` or ``[.., K, choices]`` as the head counts them; values ``[.., 1]``, or ``[.., N]`` with
        ``by_node``. x is what `see` gives, normalised.
        """
        ...

    def see(self, network: Network, seen: Observation, scale: Scale, cycle: int | None, horizon: int | None) -> Any:
        """What a batch keeps of an observation: a pytree of leaves ``[B, ..]``, not yet normalised."""
        ...

    def moments(self, x: Any) -> Any:
        """The moments to begin with, for `meio_jax.policies.normaliser`, of the structure of what `see` gives."""
        ...

    def memory(self, network: Network, lanes: int) -> Any:
        """What is remembered at time 0, leaves ``[.., B]``; None where nothing is."""
        ...

    def deviations(self, w: Wiring, head: Head) -> tuple[int, tuple[int, ...]]:
        """How many standard deviations are learned, and which of them each of the head's K outputs has."""
        ...


def check_activation(name: str) -> None:
    """Raise `UnknownNameError` for a name that is none."""
    if name not in ACTIVATIONS:
        raise UnknownNameError(f"activation {name!r} is not one of {', '.join(ACTIVATIONS)}")


class LanesLast(nn.Module):
    """A dense layer of ``[F, P]``: the parameters of ``nn.Dense``, and rows that a CPU's vector units can run along.

    XLA multiplies small matrices this way round in two thirds of the time (`benchmarks/learners.py`).
    """

    features: int
    kernel_init: Any = WEIGHTS

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", self.kernel_init, (x.shape[0], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias)
        return kernel.T @ x + bias[:, None]


def _flat(x: Array) -> Array:
    """``[.., F]`` to ``[F, P]``; between two layers, and after a normaliser, XLA leaves the transposition out."""
    return x.reshape(-1, x.shape[-1]).T


def dense(x: Array, widths: tuple[int, ...], activation: str, name: str) -> Array:
    """Hidden layers ``name_0``, ``name_1``, .. of the module that calls it."""
    act = ACTIVATIONS[activation]
    y = _flat(x)
    for i, width in enumerate(widths):
        y = act(LanesLast(width, name=f"{name}_{i}")(y))
    return y.T.reshape(*x.shape[:-1], y.shape[0])


def last(x: Array, outputs: int, choices: int, name: str) -> Array:
    """An actor's last layer, zero at first: ``[.., outputs]``, or ``[.., outputs, choices]`` of a discrete head."""
    size = outputs * max(choices, 1)
    out = LanesLast(size, kernel_init=nn.initializers.zeros, name=name)(_flat(x)).T
    return out.reshape(*x.shape[:-1], outputs, choices) if choices else out.reshape(*x.shape[:-1], outputs)
