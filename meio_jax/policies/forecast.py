"""Forecast-driven order-up-to: levels follow exponentially smoothed demand, carried upstream through the network."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from meio_jax.network import Network
from meio_jax.observation import Observation, accumulate_downstream
from meio_jax.policies.base import Decision
from meio_jax.policies.guess import exposure, mean_flow, of_customers, variance_flow
from meio_jax.policies.positional import PositionRule, first_share

__all__ = ["Forecast", "ForecastOrderUpTo"]


class Forecast(NamedTuple):
    """How far the forecast has moved from theta's prior: ``mean`` and ``variance`` of each customer, ``[C, B]``."""

    mean: Array
    variance: Array


@dataclasses.dataclass(frozen=True)
class ForecastOrderUpTo(PositionRule):
    """Order up to forecast x periods + z x sigma x sqrt(periods), periods being those that an order must cover.

    theta: ``alpha [C, 1|B]`` weight of the newest demand, in [0, 1]; ``mean``, ``sd`` ``[C, 1|B]`` forecast and
    standard deviation before anything was seen; ``z [M, 1|B]`` standard deviations of safety stock; with several
    sources ``share [I, 1|B]``. sigma is the root of the smoothed squared one-step error of the forecast. Upstream
    nodes use the sum of the forecasts that they serve, with the bill of materials. Brown (1959); its bullwhip: Chen
    et al. (2000), Management Science 46(3).
    """

    whole: ClassVar[tuple[str, ...]] = ()

    def quantity(self, theta: dict[str, Array], position: Array) -> Array:
        return jnp.maximum(theta["level"] - position, 0.0)

    def start(self, network: Network, mean: Any = None, sd: Any = None) -> dict[str, Array]:
        """Numbers alpha 0.1, z 1, and as prior ``mean`` (None: 1) and ``sd`` (None: half the mean) of the demand."""
        rate = of_customers(network, 1.0 if mean is None else mean, "mean")
        spread = 0.5 * rate if sd is None else of_customers(network, sd, "sd")
        return {
            "alpha": jnp.full((network.wiring.n_customers, 1), 0.1, rate.dtype),
            "mean": rate,
            "sd": spread,
            "z": jnp.ones((network.wiring.n_inputs, 1), rate.dtype),
            **first_share(network),
        }

    def memory(self, network: Network, lanes: int) -> Forecast:
        nothing = jnp.zeros((network.wiring.n_customers, lanes), network.holding_cost.dtype)
        return Forecast(nothing, nothing)

    def apply(
        self, network: Network, theta: Any, memory: Forecast, seen: Observation, key: Array
    ) -> tuple[Decision, Forecast]:
        alpha = jnp.clip(theta["alpha"], 0.0, 1.0)
        if network.wiring.timing != "demand_first":  # at time 0 there is no previous demand
            alpha = jnp.where(seen.t > 0, alpha, 0.0 * alpha)
        mean, variance = theta["mean"] + memory.mean, theta["sd"] ** 2 + memory.variance
        error = seen.demand - mean
        memory = Forecast(memory.mean + alpha * error, memory.variance + alpha * (error**2 - variance))
        mean, variance = theta["mean"] + memory.mean, theta["sd"] ** 2 + memory.variance
        periods = exposure(network, cascade=self.cascade or self.echelon)
        square = variance_flow(network, variance) * periods
        some = square != 0  # both branches guarded: the root has no gradient at 0
        spread = jnp.where(some, jnp.sqrt(jnp.maximum(jnp.where(some, square, 1.0), 0.0)), 0.0)
        level = mean_flow(network, mean) * periods + theta["z"] * spread
        level = accumulate_downstream(network, level) if self.echelon else level
        numbers = {"level": level, **({"share": theta["share"]} if "share" in theta else {})}
        return Decision(self.orders(network, numbers, seen)), memory
