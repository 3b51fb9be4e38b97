"""What neural policies are made of: dense layers, one network for all nodes, messages along arcs, memory."""

from meio_jax.policies.bodies.base import Body
from meio_jax.policies.bodies.graph import Graph
from meio_jax.policies.bodies.lstm import LSTM
from meio_jax.policies.bodies.mlp import MLP
from meio_jax.policies.bodies.per_node import PerNode

__all__ = ["LSTM", "MLP", "Body", "Graph", "PerNode"]
