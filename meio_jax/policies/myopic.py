"""Orders that are best for the period in which they arrive, for one location that loses what it cannot serve.

With lead time L an order of today matters first to the cost of period t + L, and it is the last to do so. The myopic
rule minimises that expected cost alone; myopic-2 adds the expected cost of the period after it, whose order it takes to
be myopic. Both look at the whole pipeline: the stock at t + L is the stock of now, after L demands and L - 1 receipts,
and its law is found exactly, demand by demand.

Morton (1971), Operations Research 19(7); Zipkin (2008), Operations Research 56(5),
https://doi.org/10.1287/opre.1070.0471.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError, ParameterError
from meio_jax.indexing import sum_first
from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision
from meio_jax.policies.guess import of_customers
from meio_jax.policies.positional import surface
from meio_jax.policies.table import Coordinate, TablePolicy
from meio_jax.policies.vector_base_stock import one_source

__all__ = ["Myopic", "highest_position", "lost_sales_costs", "myopic_table"]


def lost_sales_costs(network: Network) -> tuple[Array, Array]:
    """``[1|B]`` each: what a unit of stock costs in a period, and a lost sale less the unit that it saves.

    Raises:
      InputError: not one integer location with one source that loses all unmet demand, or its lead time is 0 with
        ``demand_first`` (then today's order serves demand that is known, and there is nothing to weigh).
    """
    lead, w = one_source(network), network.wiring
    if not w.integer:
        raise InputError("the myopic rules count whole units; build the network with integer=True")
    traced = isinstance(network.keep, jax.core.Tracer)  # then its numbers cannot be read
    if network.keep is None or (not traced and np.any(np.asarray(network.keep[w.n_inner :]) != 0)):
        raise InputError("unmet demand is kept (keep > 0): with backorders the myopic rule is BaseStock")
    if network.shelf_life is not None or network.fixed_order_cost is not None or network.storage is not None:
        raise InputError("shelf_life, storage and fixed_order_cost have no place in the myopic rules")
    if lead == 0 and w.timing == "demand_first":
        raise InputError("with demand_first and a lead time of 0 the order serves demand that is known: order that")
    zero = jnp.zeros_like(network.holding_cost[0])
    lost = zero if network.lost_cost is None else network.lost_cost[w.n_inner]
    price = zero if network.price is None else network.price[0]
    unit = zero if network.unit_cost is None else network.unit_cost[0]
    return network.holding_cost[0], lost + price - unit


def highest_position(network: Network, probabilities: np.ndarray) -> int:
    """The inventory position to which the order would go with backorders: no myopic rule lifts it beyond.

    Args:
      probabilities: ``[K]`` of demand 0, 1, ... in a period.
    """
    holding, penalty = (float(np.asarray(x)[0]) for x in lost_sales_costs(network))
    if not (holding > 0 and penalty > 0):
        raise ParameterError(f"holding cost {holding:g} and penalty {penalty:g} must be positive")
    periods = one_source(network) + int(network.wiring.timing != "demand_first")
    total = np.ones(1)
    for _ in range(periods):
        total = np.convolve(total, probabilities)
    return int(np.searchsorted(np.cumsum(total), penalty / (penalty + holding)))


@dataclasses.dataclass(frozen=True)
class Myopic:
    """Order the least z with P(demand of period t + L <= stock then, z included) >= p / (p + h).

    theta: ``{"demand": [n, 1|B]}``, the probabilities of a demand of 0, 1, ..., n - 1 in a period. It is exact if n
    exceeds `highest_position`; see `numbers`. Costs h and p are the network's, p net of the unit's own cost.
    """

    theta_has_lanes: ClassVar[bool] = True
    whole: ClassVar[tuple[str, ...]] = ()

    def numbers(self, network: Network, probabilities: Any) -> dict[str, Array]:
        """Numbers for a demand with these probabilities ``[K]`` of 0, 1, ...

        Raises:
          InputError: the network is not of this kind, see `lost_sales_costs`.
          ParameterError: the probabilities are no vector that sums to 1.
        """
        p = np.asarray(probabilities, float)
        if p.ndim != 1 or not np.all(p >= 0) or not abs(p.sum() - 1) < 1e-6:
            raise ParameterError("probabilities must be a vector, >= 0, with sum 1")
        size = highest_position(network, p) + 1
        return {"demand": jnp.asarray(np.pad(p, (0, max(0, size - p.size)))[:size, None], network.holding_cost.dtype)}

    def start(self, network: Network, mean: Any = None, sd: Any = 0.0) -> dict[str, Array]:
        """For Poisson demand of this mean (None: 1), or negative binomial where ``sd ** 2`` exceeds it."""
        rate = float(np.asarray(of_customers(network, 1.0 if mean is None else mean, "mean"))[0, 0])
        spread = float(np.asarray(of_customers(network, sd, "sd"))[0, 0])
        from scipy import stats  # here, as it takes as long to import as JAX

        over = spread**2 > rate * (1 + 1e-9) and rate > 0
        law = stats.nbinom(rate**2 / (spread**2 - rate), rate / spread**2) if over else stats.poisson(rate)
        p = law.pmf(np.arange(law.isf(1e-12) + 1))
        return self.numbers(network, p / p.sum())

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """For Poisson demand of one unit per period. The key is not used."""
        return self.start(network)

    def memory(self, network: Network, lanes: int) -> Any:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        holding, penalty = lost_sales_costs(network)
        lead, w = one_source(network), network.wiring
        p = theta["demand"]
        n = p.shape[0]
        stock = sum_first(seen.on_hand)[0] + (seen.pipeline[0, 0] if lead else 0.0) - seen.owed[w.n_inner]
        position = stock + (sum_first(seen.pipeline[1:, 0]) if lead > 1 else 0.0)
        law = _point(stock, n)
        fall = _fall(p)
        for k in range(lead):
            known = k == 0 and w.timing == "demand_first"  # then it is in `owed`
            law = law if known else jnp.einsum("jib,ib->jb", fall, law)
            if k + 1 < lead:
                law = _shifted(law, seen.pipeline[k + 1, 0])
        enough = jnp.concatenate([jnp.cumsum(p, 0), jnp.ones_like(p)])  # P(D <= y), y < 2 n
        above = enough[np.arange(n)[:, None] + np.arange(n)[None, :]]  # [z, stock, 1|B]
        served = jnp.einsum("zib,ib->zb", jnp.broadcast_to(above, (n, n, above.shape[-1])), law)
        order = (served < penalty / (penalty + holding)).sum(0).astype(stock.dtype)
        order = jnp.where(position >= n, 0.0, order)
        order = surface(order, position, penalty + holding, p.sum(0))
        return Decision(jnp.broadcast_to(order, (1, stock.shape[-1]))), memory


def _point(stock: Array, n: int) -> Array:
    """``[n, B]`` all mass at the stock, whole and within 0 .. n - 1."""
    at = jnp.clip(jnp.floor(stock + 0.5), 0, n - 1)
    return (np.arange(n)[:, None] == at[None]).astype(stock.dtype)


def _fall(p: Array) -> Array:
    """``[n, n, 1|B]`` P(stock j after the demand | stock i before it), from probabilities ``[n, 1|B]``."""
    n = p.shape[0]
    sold = np.arange(n)[None, :] - np.arange(n)[:, None]  # of j out of i
    exact = jnp.where((sold >= 0)[:, :, None], p[np.maximum(sold, 0)], 0.0)
    out = 1.0 - (jnp.cumsum(p, 0) - p)  # P(D >= i)
    return jnp.where((np.arange(n) == 0)[:, None, None], out[None], exact)


def _shifted(law: Array, units: Array) -> Array:
    """``[n, B]`` the law of the stock after a receipt of ``units [B]``; what is above n - 1 counts as n - 1."""
    n = law.shape[0]
    at = np.arange(n)[:, None] - jnp.floor(units + 0.5).astype(jnp.int32)[None]
    moved = jnp.where(at >= 0, jnp.take_along_axis(law, jnp.maximum(at, 0), 0), 0.0)
    return jnp.where((np.arange(n) == n - 1)[:, None], 1.0 - moved[:-1].sum(0), moved)


class _Tails:
    """All pipelines ``(x_1, .., x_l)``, l = 0 .. length, of whole orders whose sum is at most ``most``.

    Those of length l are the children of those of length l - 1, ``(x_2, .., x_l)``, with every x_1 that there is room
    for; children stand together. So an expectation over the stock of one pipeline is a row of a table.
    """

    def __init__(self, length: int, most: int) -> None:
        self.most = most
        self.parent, self.first, self.sum, self.start = [np.zeros(1, int)], [np.zeros(1, int)], [np.zeros(1, int)], []
        for _ in range(length):
            room = most - self.sum[-1] + 1
            self.start.append(np.append(0, np.cumsum(room))[:-1])
            parent = np.repeat(np.arange(room.size), room)
            first = np.arange(parent.size) - self.start[-1][parent]
            self.parent.append(parent)
            self.first.append(first)
            self.sum.append(self.sum[-1][parent] + first)

    def behind(self, length: int, order: int) -> np.ndarray:
        """Index of each pipeline of this length with an order placed behind it; meaningless where there is no room."""
        at = np.full(1, order)  # of length 1
        for n in range(1, length + 1):
            at = self.start[n][np.minimum(at[self.parent[n]], self.start[n].size - 1)] + self.first[n]
        return at

    def expect(self, values: np.ndarray, length: int, fall: np.ndarray) -> np.ndarray:
        """``[pipelines of this length, stock]`` expected ``values [pipelines one shorter, stock]`` after a demand and a
        receipt; ``fall[i, j]`` is the probability that stock i becomes j.
        """
        at = np.minimum(self.first[length][:, None] + np.arange(self.most + 1)[None], self.most)
        return values[self.parent[length][:, None], at] @ fall.T


def myopic_table(network: Network, probabilities: Any, *, steps: int = 1) -> tuple[TablePolicy, dict[str, Array]]:
    """The myopic rule of one or two ``steps`` as a table over the states that it can lead to.

    Other states count as the nearest. One step is `Myopic`, computed apart from it; two steps are myopic-2.

    Args:
      probabilities: ``[K]`` of demand 0, 1, ... in a period.

    Raises:
      InputError: the network is not of this kind (`lost_sales_costs`), sees demand before ordering, or has lead time 0.
      ParameterError: the table would have more than 40 million entries.
    """
    lead = one_source(network)
    if lead < 1 or network.wiring.timing == "demand_first" or steps not in (1, 2):
        raise InputError("a myopic table takes 1 or 2 steps, a lead time of at least 1, and demand not seen beforehand")
    holding, penalty = (float(np.asarray(x, float)[0]) for x in lost_sales_costs(network))
    p = np.asarray(probabilities, float)
    most = highest_position(network, p)
    fall = _fall_table(p, most)
    at = np.arange(most + 1)
    short = np.array([np.maximum(np.arange(p.size) - y, 0) @ p for y in at])
    mean = np.arange(p.size) @ p
    entries = math.comb(most + lead, lead) * (most + 1)
    if entries > 4e7:
        raise ParameterError(f"the table would have {entries} entries; Myopic computes one step as it goes")
    tails = _Tails(lead, most)
    cost = (holding * (at - mean + short) + penalty * short)[None]
    for length in range(1, lead + 1):
        cost = tails.expect(cost, length, fall)  # at last: of period t + L, by pipeline with the order, and stock
    best, least = _least(tails, cost, lead - 1)
    if steps == 2:
        best, _ = _least(tails, cost + tails.expect(least, lead, fall), lead - 1)
    return _as_table(network, tails, best, lead)


def _fall_table(p: np.ndarray, most: int) -> np.ndarray:
    """``[i, j]`` P(stock i becomes j) for stock up to ``most``."""
    p = np.pad(p, (0, max(0, most + 1 - p.size)))
    fall = np.zeros((most + 1, most + 1))
    for i in range(most + 1):
        fall[i, 1 : i + 1] = p[:i][::-1]
        fall[i, 0] = 1.0 - p[:i].sum()
    return fall


def _least(tails: _Tails, cost: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The first order with the least cost, and that cost, ``[pipelines, stock]``; 0 where there is no room."""
    stock = np.arange(tails.most + 1)[None]
    room = tails.most - tails.sum[length][:, None] - stock
    best = np.zeros(room.shape, int)
    least = np.full(room.shape, np.inf)
    for order in range(tails.most + 1):
        some = tails.sum[length] + order <= tails.most
        if not some.any():
            break
        value = np.where(room[some] >= order, cost[tails.behind(length, order)[some]], np.inf)
        better = value < least[some] - 1e-12
        best[some] = np.where(better, order, best[some])
        least[some] = np.where(better, value, least[some])
    # Beyond the highest position nothing is ordered; the cost there is that of the highest one, and is never used.
    edge = np.take_along_axis(least, np.maximum(tails.most - tails.sum[length][:, None], 0), 1)
    return best, np.where(np.isfinite(least), least, edge)


def _as_table(network: Network, tails: _Tails, best: np.ndarray, lead: int) -> tuple[TablePolicy, dict[str, Array]]:
    most, largest = tails.most, int(best.max())
    high = [most] + [largest] * (lead - 1)
    sizes = [h + 1 for h in high]
    table = np.zeros(sizes)
    index = np.arange(tails.sum[lead - 1].size)
    orders: list[np.ndarray] = []
    for length in range(lead - 1, 0, -1):
        orders.append(tails.first[length][index])
        index = tails.parent[length][index]
    inside = np.all([x <= largest for x in orders], axis=0) if orders else np.ones(1, bool)
    where = (slice(None), *(x[inside] for x in orders))
    table[where] = best[inside].T.reshape(table[where].shape)
    terms = [Coordinate("stock", (("on_hand", (0, 0), 1), ("pipeline", (0, 0), 1)))]
    terms += [Coordinate(f"due in {k}", (("pipeline", (k, 0), 1),)) for k in range(1, lead)]
    theta = {
        "low": jnp.zeros(lead, jnp.int32),
        "high": jnp.asarray(high, jnp.int32),
        "orders": jnp.asarray(table.reshape(1, -1, 1), network.holding_cost.dtype),
    }
    return TablePolicy(tuple(terms)), theta
