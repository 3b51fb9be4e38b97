"""A network with a memory, for what one picture does not show: late reports, demand that has a regime or a trend.

Hochreiter and Schmidhuber (1997), Long Short-Term Memory, Neural Computation 9(8); a forget gate that begins open:
Jozefowicz, Zaremba and Sutskever (2015), An Empirical Exploration of Recurrent Network Architectures.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from meio_jax.actions import Head
from meio_jax.errors import InputError
from meio_jax.network import Network, Wiring
from meio_jax.policies.bodies.base import WEIGHTS, check_activation, dense, last
from meio_jax.policies.bodies.mlp import Flat

__all__ = ["LSTM", "Remembered"]


class Remembered(NamedTuple):
    """``hidden [H, B]``, what is told of the past, and ``cell [H, B]``, what is kept of it: lanes last."""

    hidden: Array
    cell: Array


class RecurrentActorCritic(nn.Module):
    """``[B, F]`` and `Remembered` to (outputs ``[B, K]`` or ``[B, K, choices]``, values ``[B, G]``, `Remembered`)."""

    outputs: int
    choices: int
    cells: int
    widths: tuple[int, ...]
    activation: str
    values: int

    @nn.compact
    def __call__(self, x: Array, memory: Remembered) -> tuple[Array, Array, Remembered]:
        gates = nn.Dense(4 * self.cells, kernel_init=WEIGHTS, name="gates")(jnp.concatenate([x, memory.hidden.T], -1))
        write, forget, read, new = jnp.split(gates, 4, -1)
        cell = nn.sigmoid(forget + 1.0) * memory.cell.T + nn.sigmoid(write) * jnp.tanh(new)
        hidden = nn.sigmoid(read) * jnp.tanh(cell)
        known = jnp.concatenate([x, hidden], -1)  # the present is seen past the memory as well
        out = last(dense(known, self.widths, self.activation, "actor"), self.outputs, self.choices, "actor_out")
        judged = dense(known, self.widths, self.activation, "critic")
        value = nn.Dense(self.values, kernel_init=WEIGHTS, name="critic_out")(judged)
        return out, value, Remembered(hidden.T, cell.T)


@dataclasses.dataclass(frozen=True)
class LSTM(Flat):
    """A memory of ``cells`` numbers in each lane, and dense layers on it and on what is seen now.

    Actor and critic share the memory and nothing else.

    Raises:
      InputError: no cells. UnknownNameError: an activation that there is not.
    """

    cells: int = 64
    widths: tuple[int, ...] = (64,)
    activation: str = "tanh"

    remembers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_activation(self.activation)
        if self.cells < 1:
            raise InputError(f"LSTM: cells = {self.cells} must be at least 1")

    def module(self, w: Wiring, head: Head, by_node: bool) -> RecurrentActorCritic:
        values = w.n_nodes if by_node else 1
        return RecurrentActorCritic(head.outputs(w), head.choices, self.cells, self.widths, self.activation, values)

    def memory(self, network: Network, lanes: int) -> Any:
        nothing = jnp.zeros((self.cells, lanes), network.holding_cost.dtype)
        return Remembered(nothing, nothing)
