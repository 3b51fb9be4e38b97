"""Replenishment policies: classical rules and neural networks behind one protocol."""

from meio_jax.policies.anchoring import AnchoringRule
from meio_jax.policies.balanced import BalancedBaseStock
from meio_jax.policies.base import Decision, Policy
from meio_jax.policies.base_stock import BaseStock, CappedBaseStock
from meio_jax.policies.constant import ConstantOrder
from meio_jax.policies.forecast import ForecastOrderUpTo
from meio_jax.policies.guess import initial_levels
from meio_jax.policies.reorder import ReorderLots, ReorderUpTo
from meio_jax.policies.seasonal import SeasonalBaseStock

__all__ = [
    "AnchoringRule",
    "BalancedBaseStock",
    "BaseStock",
    "CappedBaseStock",
    "ConstantOrder",
    "Decision",
    "ForecastOrderUpTo",
    "Policy",
    "ReorderLots",
    "ReorderUpTo",
    "SeasonalBaseStock",
    "initial_levels",
]
