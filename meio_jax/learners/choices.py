"""Policies to learn, by name: what stands between what is seen and what is ordered, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meio_jax.actions import CappedBaseStock, Head, OrderUpTo, Percentage, Quantity, ReorderUpTo, Tiers
from meio_jax.policies.bodies import LSTM, MLP, Body, Graph, PerNode
from meio_jax.policies.neural import NeuralPolicy

__all__ = ["BODIES", "HEADS", "neural_policy"]

#: Networks by name, of hidden layers of given widths (None: their own).
BODIES: dict[str, Callable[[tuple[int, ...] | None], Body]] = {
    "mlp": lambda widths: MLP() if widths is None else MLP(widths),
    "per_node": lambda widths: PerNode() if widths is None else PerNode(widths),
    "graph": lambda widths: Graph() if widths is None else Graph(widths),
    "lstm": lambda widths: LSTM() if widths is None else LSTM(widths[0], widths),
}
#: Meanings of a network's outputs by name.
HEADS: dict[str, Callable[[], Head]] = {
    "order_up_to": OrderUpTo,
    "quantity": Quantity,
    "percentage": Percentage,
    "capped_base_stock": CappedBaseStock,
    "reorder_up_to": ReorderUpTo,
    "tiers": Tiers,
}


def neural_policy(body: str, head: Head | str, widths: tuple[int, ...] | None = None, **fields: Any) -> NeuralPolicy:
    """A neural policy of a name in `BODIES` and one in `HEADS` (or a head); ``fields`` are those of `NeuralPolicy`."""
    return NeuralPolicy(HEADS[head]() if isinstance(head, str) else head, body=BODIES[body](widths), **fields)
