"""What bodies share whose weights belong to no node: what they see, and how outputs are read off inputs and arcs.

Inside a module an entity axis (nodes, inputs, arcs) comes first, so that to go from one to another is one product with
a constant matrix on the left, forwards and backwards; nothing is scattered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import Head, Scale
from meio_jax.errors import InputError
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation
from meio_jax.policies.bodies.base import WEIGHTS, check_activation, last
from meio_jax.policies.bodies.views import Views, views
from meio_jax.policies.normaliser import init_moments

__all__ = ["Entities", "first", "mean_over", "read_outputs", "read_values", "take"]


@dataclasses.dataclass(frozen=True)
class Entities:
    """Sees every node, input and arc by itself (`meio_jax.policies.bodies.views`); parameters are those of no wiring.

    Attributes:
      widths: hidden layers. activation: between them. shared: actor and critic have them in common.
      slots, ages: of pipelines and of perishable stock that are told apart.

    Raises:
      UnknownNameError: an activation that there is not. InputError: no widths, or no slots.
    """

    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    slots: int = 4
    ages: int = 2

    remembers: ClassVar[bool] = False
    any_wiring: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_activation(self.activation)
        if not self.widths or min(self.widths) < 1 or self.slots < 1 or self.ages < 0:
            raise InputError(
                f"{type(self).__name__}: widths = {self.widths} and slots = {self.slots} must be at least 1, "
                f"ages = {self.ages} not negative"
            )

    def see(self, network: Network, seen: Observation, scale: Scale, cycle: int | None, horizon: int | None) -> Views:
        return views(network, seen, scale, slots=self.slots, ages=self.ages, cycle=cycle, horizon=horizon)

    def moments(self, x: Views) -> Views:
        nodes, inputs, arcs = (init_moments((1, v.shape[-1]), v.dtype) for v in (x.nodes, x.inputs, x.arcs))
        return Views(nodes, inputs, arcs, None, None, None)

    def memory(self, network: Network, lanes: int) -> None:
        return None

    def deviations(self, w: Wiring, head: Head) -> tuple[int, tuple[int, ...]]:
        inputs, arcs = head.channels
        return inputs + arcs, tuple(p.channel + (0 if p.of == "input" else inputs) for p in head.places(w))


def first(x: Views) -> tuple[Array, Array, Array]:
    """What is seen, facts appended, with the entity axis first: ``[N, .., F]``, ``[M, .., F]``, ``[E, .., F]``."""
    pairs = ((x.nodes, x.node_facts), (x.inputs, x.input_facts), (x.arcs, x.arc_facts))
    nodes, inputs, arcs = (jnp.moveaxis(jnp.concatenate(p, -1), -2, 0) for p in pairs)
    return nodes, inputs, arcs


def take(x: Array, index: Sequence[int]) -> Array:
    """``x[index]`` of entities, zeros for -1, as a product that has no scatter in its gradient."""
    if tuple(index) == tuple(range(x.shape[0])):
        return x
    matrix = np.zeros((len(index), x.shape[0]), x.dtype)
    for k, i in enumerate(index):
        if i >= 0:
            matrix[k, i] = 1.0
    return _left(matrix, x)


def _left(matrix: np.ndarray, x: Array) -> Array:
    """A product with the entity axis, as one of plain matrices: the transpose of `jnp.tensordot` is several times
    slower.
    """
    return jnp.matmul(matrix, x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])


def mean_over(x: Array, groups: Sequence[Sequence[int]]) -> Array:
    """For each group of entities their mean, zeros for none."""
    if all(tuple(g) == (k,) for k, g in enumerate(groups)) and len(groups) == x.shape[0]:
        return x
    matrix = np.zeros((len(groups), x.shape[0]), x.dtype)
    for k, g in enumerate(groups):
        matrix[k, list(g)] = 1.0 / max(len(g), 1)
    return _left(matrix, x)


def pooled(x: Array) -> Array:
    """What does not change when entities change places: mean and largest of each number, ``[.., 2 F]``."""
    return jnp.concatenate([x.mean(0), x.max(0)], -1)


def read_outputs(w: Wiring, head: Head, inputs: Array, arcs: Array) -> Array:
    """The last layers, called in a module: ``[M, .., H]`` and ``[I, .., H]`` to ``[.., K]`` or ``[.., K, choices]``."""
    blocks, start = {}, 0
    parts = []
    for of, x, channels in (("input", inputs, head.channels[0]), ("arc", arcs, head.channels[1])):
        if channels:
            out = last(x, channels, head.choices, f"{of}_out")  # [n, .., channels(, choices)]
            axis = -2 if head.choices else -1
            out = jnp.moveaxis(out, axis, 0)  # by channel, then by entity: most heads then read one slice
            out = out.reshape(-1, *out.shape[2:])
            blocks[of] = (start, x.shape[0])
            start += out.shape[0]
            parts.append(out)
    joined = jnp.concatenate(parts)
    index = [blocks[p.of][0] + p.channel * blocks[p.of][1] + p.row for p in head.places(w)]
    first = index[0] if index else 0
    run = index == list(range(first, first + len(index)))
    chosen = joined[first : first + len(index)] if run else take(joined, index)
    return jnp.moveaxis(chosen, 0, -2 if head.choices else -1)


def read_values(nodes: Array, by_node: bool) -> Array:
    """The critic's last layer, called in a module: ``[N, .., H]`` to ``[.., N]``, or of the whole ``[.., 1]``."""
    if by_node:
        return jnp.moveaxis(nn.Dense(1, kernel_init=WEIGHTS, name="node_value")(nodes)[..., 0], 0, -1)
    return nn.Dense(1, kernel_init=WEIGHTS, name="value")(pooled(nodes))
