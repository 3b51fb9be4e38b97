"""A policy that is a table: the observed state is looked up, and there stands the order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision
from meio_jax.policies.constant import ConstantOrder

__all__ = ["Coordinate", "TablePolicy", "read"]


class Coordinate(NamedTuple):
    """One number of the observed state: a sum of entries of `Observation`, with signs.

    ``terms`` are triples (field of `Observation`, index, +1 or -1); units.
    """

    name: str
    terms: tuple[tuple[str, tuple[int, ...], int], ...]


def read(coordinates: Sequence[Coordinate], seen: Observation) -> Array:
    """``[D, B]`` the coordinates of what is seen."""
    rows = []
    for coordinate in coordinates:
        total: Any = 0
        for field, index, sign in coordinate.terms:
            entry = getattr(seen, field)[index]
            total = total + entry if sign > 0 else total - entry
        rows.append(total)
    return jnp.stack(rows)


@dataclasses.dataclass(frozen=True)
class TablePolicy:
    """Order what a table says. theta: ``{"low", "high": [D], "orders": [T, cells, I]}``.

    Cells count through the box ``low .. high`` of whole numbers, last coordinate fastest. A state outside of the box is
    looked up at the nearest edge, and parts of units are rounded. T is 1 for a stationary policy; else row t is played
    in period t, and the last one after it. A NaN in the state is an order of NaN.
    """

    coordinates: tuple[Coordinate, ...]

    theta_has_lanes: ClassVar[bool] = False

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """A table of one cell, which orders the flow of one unit of demand per customer. The key is not used."""
        edge = jnp.zeros(len(self.coordinates), jnp.int32)
        return {"low": edge, "high": edge, "orders": ConstantOrder().start(network)["quantity"][None, None, :, 0]}

    def memory(self, network: Network, lanes: int) -> Any:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        low, high, table = theta["low"], theta["high"], theta["orders"]
        values = read(self.coordinates, seen)
        lost = jnp.isnan(values).any(0)
        whole = jnp.floor(jnp.where(jnp.isnan(values), 0.0, values) + 0.5)
        inside = jnp.clip(whole, low[:, None], high[:, None]).astype(jnp.int32) - low[:, None]
        cell = inside[0]
        for k in range(1, len(self.coordinates)):
            cell = cell * (high[k] - low[k] + 1) + inside[k]
        at = jnp.minimum(seen.t, table.shape[0] - 1)
        orders = table[at, cell].T
        return Decision(jnp.where(lost, jnp.nan, orders).astype(seen.owed.dtype)), memory
