"""What the outputs of a network mean: order-up-to levels, quantities, adjustments of a rule, tiers.

A head is a frozen dataclass of static configuration; every number that it needs (mean demand, reference levels, their
spread) is a leaf of `Scale`, so a sweep over demand or costs stays one program. Raw outputs are lanes first ``[B, K]``,
as networks make them; orders are lanes last ``[I, B]``. An output of zero means the reference rule: an untrained
network already orders sensibly, and can only be improved (residual heads; Silver et al. 2018, arXiv 1812.06298).
"""

from meio_jax.actions.base import FORBIDDEN, Head, Place, Scale
from meio_jax.actions.levels import CappedBaseStock, OrderUpTo, ReorderUpTo
from meio_jax.actions.percentage import Percentage
from meio_jax.actions.quantities import Quantity, Tiers

__all__ = [
    "FORBIDDEN",
    "CappedBaseStock",
    "Head",
    "OrderUpTo",
    "Percentage",
    "Place",
    "Quantity",
    "ReorderUpTo",
    "Scale",
    "Tiers",
]
