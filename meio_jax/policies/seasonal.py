"""Base-stock levels that follow a known season, such as the days of the week."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision
from meio_jax.policies.base_stock import BaseStock
from meio_jax.policies.guess import mean_flow
from meio_jax.stock import rounded_down

__all__ = ["SeasonalBaseStock"]


@dataclasses.dataclass(frozen=True)
class SeasonalBaseStock(BaseStock):
    """Echelon base-stock; in period t the level is ``level + swing x season[t mod S]``, whole in integer networks.

    theta: ``{"level", "swing": [M, 1|B]}`` and, with several sources, ``share [I, 1|B]``. A swing of 0 is a constant
    level, 1 follows the expected demand over the periods that an order has to cover.

    ``season``: S tuples of M numbers, units of each node's product, made by `following`.
    """

    echelon: bool = True
    season: tuple[tuple[float, ...], ...] = ()

    whole: ClassVar[tuple[str, ...]] = ("level",)

    @classmethod
    def following(cls, network: Network, demand: Any) -> Self:
        """The rule for a demand whose mean in period t is ``demand[t mod S]``, ``[S, C]`` units.

        The season of an input is its expected demand over the lead time to the customer (with the delay of its own
        order) and the review period, less the average over the cycle.

        Raises:
          InputError: the demand has the wrong shape.
        """
        w = network.wiring
        mean = np.asarray(demand, float)
        if mean.ndim != 2 or mean.shape[1] != w.n_customers:
            raise InputError(f"demand has shape {mean.shape}, expected (periods of the cycle, {w.n_customers})")
        flow = np.asarray(mean_flow(network, jnp.asarray(mean.T, network.holding_cost.dtype)), float)  # [M, S]
        review = 0 if w.timing == "demand_first" else 1
        windows = [t + review for t in _lead_times_to_customers(network)]
        ahead = np.stack([_moving_sum(row, n) for row, n in zip(flow, windows, strict=True)])
        season = (ahead - ahead.mean(1, keepdims=True)).T
        return cls(season=tuple(tuple(float(x) for x in row) for row in season))

    def start(self, network: Network, mean: Any = None, sd: Any = 0.0) -> dict[str, Array]:
        first = super().start(network, mean, sd)
        return {**first, "swing": jnp.ones_like(first["level"])}

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        now = season_now(jnp.asarray(self.season, theta["level"].dtype)[..., None], seen.t)
        level = theta["level"] + theta["swing"] * now
        level = rounded_down(level + 0.5) if network.wiring.integer else level
        rest = {k: v for k, v in theta.items() if k != "swing"}
        return Decision(self.orders(network, {**rest, "level": level}, seen)), memory


def _moving_sum(row: np.ndarray, count: int) -> np.ndarray:
    """The sum of ``count`` entries of a cycle from each entry on."""
    return np.sum([np.roll(row, -k) for k in range(count)], axis=0) if count else np.zeros_like(row)


def season_now(season: Array, t: Array) -> Array:
    """``[S, M, 1]`` to the ``[M, 1]`` of period t."""
    return jax.lax.dynamic_index_in_dim(season, t % season.shape[0], keepdims=False)


def _lead_times_to_customers(network: Network) -> list[int]:
    """``[M]`` periods from an order on each input to its last customer, by the longest way and the longest source.

    Of order delays only its own counts: by the time it arrives, those below have ordered what is to go on at once.
    """
    w = network.wiring
    below = [0] * w.n_nodes
    total, first = [0] * w.n_inputs, [0] * w.n_inputs
    for n in range(w.n_nodes - 1, -1, -1):
        below[n] = max((total[w.input_of_arc[e]] for e in w.out_arcs[n] if e < w.n_inner), default=0)
        for m in w.inputs_of_node[n]:
            total[m] = below[n] + max(w.lead_time[e] for e in w.arcs_of_input[m])
            first[m] = below[n] + max(w.lead_time[e] + w.order_delay[e] for e in w.arcs_of_input[m])
    return first
