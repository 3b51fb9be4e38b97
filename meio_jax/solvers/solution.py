"""What a solver hands back."""

from __future__ import annotations

import dataclasses

__all__ = ["Solution"]


@dataclasses.dataclass(frozen=True)
class Solution:
    """The best policy of a class and its long-run average cost per period, in the order of the network's nodes.

    ``echelon_levels[n]`` is compared with the echelon inventory position of node n (its own stock and all downstream
    of it, in transit and on order, less what customers are owed); ``local_levels[n]`` with its installation position.
    Levels are often not unique: compare costs.
    """

    cost: float
    echelon_levels: tuple[float, ...]
    local_levels: tuple[float, ...]
    method: str
    #: The part of ``cost`` that no policy can change: in-transit holding, purchase and operation.
    constant_cost: float = 0.0
    reference: str = ""
