"""Replenishment policies: classical rules and neural networks behind one protocol."""

from meio_jax.policies.anchoring import AnchoringRule
from meio_jax.policies.balanced import BalancedBaseStock
from meio_jax.policies.base import Decision, Policy
from meio_jax.policies.base_stock import BaseStock, CappedBaseStock
from meio_jax.policies.constant import ConstantOrder
from meio_jax.policies.dual_sourcing import CappedDualIndex, DualIndex, SingleIndex, TailoredBaseSurge
from meio_jax.policies.forecast import ForecastOrderUpTo
from meio_jax.policies.guess import initial_levels
from meio_jax.policies.myopic import Myopic
from meio_jax.policies.reorder import ReorderLots, ReorderUpTo
from meio_jax.policies.seasonal import SeasonalBaseStock
from meio_jax.policies.table import TablePolicy
from meio_jax.policies.vector_base_stock import VectorBaseStock

__all__ = [
    "AnchoringRule",
    "BalancedBaseStock",
    "BaseStock",
    "CappedBaseStock",
    "CappedDualIndex",
    "ConstantOrder",
    "Decision",
    "DualIndex",
    "ForecastOrderUpTo",
    "Myopic",
    "Policy",
    "ReorderLots",
    "ReorderUpTo",
    "SeasonalBaseStock",
    "SingleIndex",
    "TablePolicy",
    "TailoredBaseSurge",
    "VectorBaseStock",
    "initial_levels",
]
