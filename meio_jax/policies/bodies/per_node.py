"""One network for all nodes: each decides by what it sees of itself and by a summary of all the others.

Parameter sharing between agents, with a permutation-invariant summary of the rest: Zaheer et al. (2017), Deep Sets
(arXiv 1703.06114); Gupta, Egorov and Kochenderfer (2017), Cooperative Multi-agent Control Using Deep Reinforcement
Learning. In a warehouse with ten alike stores all ten teach the same weights.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from meio_jax.actions import Head
from meio_jax.network import Wiring
from meio_jax.policies.bodies.base import ACTIVATIONS, WEIGHTS, dense
from meio_jax.policies.bodies.entities import Entities, first, mean_over, pooled, read_outputs, read_values, take
from meio_jax.policies.bodies.views import Views

__all__ = ["PerNode"]


class PerNodeNet(nn.Module):
    """`Views` to (outputs ``[.., K]`` or ``[.., K, choices]``, values ``[.., 1|N]``, no memory)."""

    wiring: Wiring
    head: Head
    widths: tuple[int, ...]
    activation: str
    shared: bool
    by_node: bool

    @nn.compact
    def __call__(self, x: Views, memory: Any = None) -> tuple[Array, Array, Any]:
        w = self.wiring
        nodes, inputs, arcs = first(x)
        around = [mean_over(arcs, w.arcs_of_input), take(mean_over(arcs, w.out_arcs), w.node_of_input)]
        own = jnp.concatenate([take(nodes, w.node_of_input), inputs, *around], -1)  # [M, .., F]

        def torso(name: str) -> Array:
            each = dense(own, self.widths, self.activation, name)
            rest = nn.Dense(self.widths[-1], kernel_init=WEIGHTS, name=f"{name}_summary")(pooled(each))
            mixed = nn.Dense(self.widths[-1], kernel_init=WEIGHTS, name=f"{name}_mix")(each)
            return ACTIVATIONS[self.activation](mixed + rest)

        acts = torso("torso" if self.shared else "actor")
        along = jnp.concatenate([take(acts, w.input_of_arc), arcs[: w.n_inner]], -1)
        out = read_outputs(w, self.head, acts, dense(along, self.widths[-1:], self.activation, "arc"))
        judges = acts if self.shared else torso("critic")
        return out, read_values(mean_over(judges, w.inputs_of_node), self.by_node), memory


@dataclasses.dataclass(frozen=True)
class PerNode(Entities):
    """One network shared by all nodes, on their own features and the mean and largest of all nodes' embeddings.

    A node sees itself, its input, and the mean of the arcs into it and out of it. With nodes in another order the
    orders are in that order and otherwise the same.
    """

    def module(self, w: Wiring, head: Head, by_node: bool) -> PerNodeNet:
        return PerNodeNet(w, head, self.widths, self.activation, self.shared, by_node)
