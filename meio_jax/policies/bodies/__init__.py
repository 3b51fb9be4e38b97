"""What neural policies are made of: dense layers, one network for all nodes, messages along arcs, memory."""

from meio_jax.policies.bodies.base import Body
from meio_jax.policies.bodies.mlp import MLP

__all__ = ["MLP", "Body"]
