"""Messages along the arcs of the network, in both directions, a few rounds of them.

Gilmer et al. (2017), Neural Message Passing for Quantum Chemistry (arXiv 1704.01212), with states of arcs as in
Battaglia et al. (2018), Relational inductive biases, deep learning, and graph networks (arXiv 1806.01261). After k
rounds a node knows of all that is k arcs away, suppliers and customers alike; the weights are the same in every
network.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from meio_jax.actions import Head
from meio_jax.errors import InputError
from meio_jax.network import Wiring
from meio_jax.policies.bodies.base import ACTIVATIONS, WEIGHTS, dense
from meio_jax.policies.bodies.entities import Entities, first, mean_over, read_outputs, read_values, take
from meio_jax.policies.bodies.views import Views

__all__ = ["Graph"]


class GraphNet(nn.Module):
    """`Views` to (outputs ``[.., K]`` or ``[.., K, choices]``, values ``[.., 1|N]``, no memory)."""

    wiring: Wiring
    head: Head
    widths: tuple[int, ...]
    activation: str
    shared: bool
    by_node: bool
    rounds: int

    @nn.compact
    def __call__(self, x: Views, memory: Any = None) -> tuple[Array, Array, Any]:
        w, act, width = self.wiring, ACTIVATIONS[self.activation], self.widths[-1]
        nodes, inputs, arcs = first(x)
        whole = jnp.concatenate([nodes, mean_over(inputs, w.inputs_of_node)], -1)

        def linear(x: Array, name: str, bias: bool = True) -> Array:
            return nn.Dense(width, use_bias=bias, kernel_init=WEIGHTS, name=name)(x)

        def torso(name: str) -> tuple[Array, Array]:
            node = dense(whole, self.widths, self.activation, f"{name}_node")
            arc = dense(arcs, self.widths, self.activation, f"{name}_arc")
            for k in range(self.rounds):
                # A product for each end and one for the arc: the same as one of the three joined, on fewer rows.
                ends = take(linear(node, f"{name}_source_{k}", False), w.src)
                ends = ends + take(linear(node, f"{name}_target_{k}", False), w.dst)
                message = act(linear(arc, f"{name}_message_{k}") + ends)
                arc = arc + message
                came, went = mean_over(message, w.in_arcs), mean_over(message, w.out_arcs)
                node = node + act(linear(jnp.concatenate([node, came, went], -1), f"{name}_update_{k}"))
            return node, arc

        node, arc = torso("torso" if self.shared else "actor")
        of_arcs = mean_over(arc, w.arcs_of_input)
        slots = jnp.concatenate([take(node, w.node_of_input), of_arcs, inputs], -1)
        slots = dense(slots, (width,), self.activation, "input")
        inner = jnp.concatenate([take(slots, w.input_of_arc), arc[: w.n_inner]], -1)
        out = read_outputs(w, self.head, slots, dense(inner, (width,), self.activation, "inner"))
        judge = node if self.shared else torso("critic")[0]
        return out, read_values(judge, self.by_node), memory


@dataclasses.dataclass(frozen=True)
class Graph(Entities):
    """Message passing over the arcs; ``rounds``: of messages, both ways in each, added to what was known before."""

    widths: tuple[int, ...] = (32,)
    rounds: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds < 1:
            raise InputError(f"Graph: rounds = {self.rounds} must be at least 1; without messages it is PerNode")

    def module(self, w: Wiring, head: Head, by_node: bool) -> GraphNet:
        return GraphNet(w, head, self.widths, self.activation, self.shared, by_node, self.rounds)
