"""Economic order quantities: constant demand, a fixed cost per order, no uncertainty.

One formula covers the classical three. With rho = 1 - demand_rate / production_rate (1 where an order arrives at once)
and w = backlog_cost / (holding_cost + backlog_cost) (1 where nobody waits), an order of Q of which a share x waits
costs per unit of time

    g(Q, x) = K d / Q + rho Q (h (1 - x)^2 + b x^2) / 2,       Q* = sqrt(2 K d / (h rho w)),   x* = 1 - w,
    g(Q*, x*) = sqrt(2 K d h rho w),                          g(Q, x*) / g(Q*, x*) = (Q / Q* + Q* / Q) / 2.

Harris (1913), reprinted in Operations Research 38(6), 1990, https://doi.org/10.1287/opre.38.6.947; Zipkin, Foundations
of Inventory Management (2000), chapter 3; Snyder and Shen, 2nd edition, sections 3.2 to 3.5 (quantity discounts: 3.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, NumberError, UnboundedError, UnknownNameError
from meio_jax.solvers.single_stage import check_rates
from meio_jax.solvers.solution import Solution

__all__ = ["DISCOUNTS", "eoq", "eoq_cost", "eoq_discounts"]

DISCOUNTS = ("all_units", "incremental")


def _shape(demand_rate: float, holding_cost: float, backlog_cost: float, production_rate: float) -> tuple[float, float]:
    """The numbers rho and w. Raises as `eoq`."""
    check_rates("units/time", demand_rate=demand_rate)
    check_rates("money/unit/time", holding_cost=holding_cost)
    for name, x in (("backlog_cost", backlog_cost), ("production_rate", production_rate)):
        if not x > 0:
            raise NumberError(f"{name} = {x:g} must be positive; leave it out (infinite) where there is none")
    if production_rate <= demand_rate:
        raise UnboundedError(
            f"production_rate = {production_rate:g} does not exceed demand_rate = {demand_rate:g}: stock runs out for "
            "ever, and there is no order quantity"
        )
    w = 1.0 if math.isinf(backlog_cost) else backlog_cost / (holding_cost + backlog_cost)
    return 1.0 - demand_rate / production_rate, w


def eoq(
    fixed_cost: float,
    holding_cost: float,
    demand_rate: float,
    *,
    backlog_cost: float = math.inf,
    production_rate: float = math.inf,
    unit_cost: float = 0.0,
) -> Solution:
    """The economic order quantity; with planned backorders, at a finite production rate, or with both.

    Args:
      fixed_cost: money per order.
      holding_cost: money per unit and time.
      demand_rate: units per time.
      backlog_cost: money per unit owed and time; infinite: nobody waits.
      production_rate: units per time in which an order comes in; infinite: at once.
      unit_cost: money per unit bought, the same for all.

    Returns:
      cost per unit of time; numbers: ``lot`` Q*, ``backlog`` the most that is owed, ``stock`` the most on hand,
      ``cycle`` the time between orders.

    Raises:
      NumberError: a number is NaN, not positive where it must be, or absurdly large.
      UnboundedError: holding stock costs nothing, or production is no faster than demand.
    """
    check_rates("money/order", fixed_cost=fixed_cost)
    check_rates("money/unit", unit_cost=unit_cost)
    rho, w = _shape(demand_rate, holding_cost, backlog_cost, production_rate)
    if holding_cost == 0 and fixed_cost * demand_rate > 0:
        raise UnboundedError("holding_cost is 0: the larger the lot the better; give it")
    lot = math.sqrt(2 * fixed_cost * demand_rate / (holding_cost * rho * w)) if fixed_cost * demand_rate > 0 else 0.0
    constant = unit_cost * demand_rate
    cost = math.sqrt(2 * fixed_cost * demand_rate * holding_cost * rho * w) + constant
    return Solution(
        cost, method="EOQ", constant_cost=constant, reference="Harris 1913; Zipkin 2000, chapter 3", claim="optimal",
        lower_bound=cost, upper_bound=cost,
        numbers={
            "lot": lot,
            "backlog": (1 - w) * rho * lot,
            "stock": w * rho * lot,
            "cycle": lot / demand_rate if demand_rate else math.inf,
        },
    )  # fmt: skip


def eoq_cost(
    lot: float,
    fixed_cost: float,
    holding_cost: float,
    demand_rate: float,
    *,
    backlog_cost: float = math.inf,
    production_rate: float = math.inf,
    unit_cost: float = 0.0,
    backlog_share: float | None = None,
) -> float:
    """Cost per unit of time of any order quantity; arguments as for `eoq`.

    Args:
      lot: Q, units.
      backlog_share: x, the share of demand that waits; None: the best one, ``h / (h + b)`` for any lot.

    Raises:
      NumberError, UnboundedError: as `eoq`; also where the lot is not positive, or the share is outside [0, 1] or
        positive where nobody may wait.
    """
    check_rates("money/order", fixed_cost=fixed_cost)
    check_rates("money/unit", unit_cost=unit_cost)
    rho, w = _shape(demand_rate, holding_cost, backlog_cost, production_rate)
    if not 0 < lot <= LARGEST:
        raise NumberError(f"lot = {lot:g} units is outside (0, {LARGEST:g}]")
    x = 1 - w if backlog_share is None else backlog_share
    if not 0 <= x <= 1 or (x > 0 and math.isinf(backlog_cost)):
        raise NumberError(f"backlog_share = {x:g} must lie in [0, 1], and be 0 without a backlog_cost")
    waiting = backlog_cost * x * x if x else 0.0
    standing = 0.5 * rho * lot * (holding_cost * (1 - x) ** 2 + waiting)
    return fixed_cost * demand_rate / lot + standing + unit_cost * demand_rate


def eoq_discounts(
    fixed_cost: float,
    holding_rate: float,
    demand_rate: float,
    breakpoints: Sequence[float],
    unit_costs: Sequence[float],
    *,
    kind: str = "all_units",
) -> Solution:
    """The order quantity under quantity discounts, found among the best of every price bracket.

    All units: an order of ``breakpoints[j] <= Q < breakpoints[j + 1]`` pays ``unit_costs[j]`` for every unit.
    Incremental: it pays each price for the units of that bracket only.

    Args:
      fixed_cost: money per order.
      holding_rate: money per unit of time and money's worth of stock, at the price that was paid for it.
      demand_rate: units per time.
      breakpoints: ``[J]`` units, rising from 0.
      unit_costs: ``[J]`` money per unit, falling.
      kind: ``"all_units"`` or ``"incremental"``.

    Returns:
      cost per unit of time, purchase included; numbers: ``lot``, ``bracket`` (its index).

    Raises:
      InputError: lengths differ, breakpoints do not rise from 0, or prices do not fall.
      NumberError, UnknownNameError: a number or the kind is out of its domain.
    """
    if kind not in DISCOUNTS:
        raise UnknownNameError(f"kind {kind!r} is not one of {', '.join(DISCOUNTS)}")
    for name, x in (("fixed_cost", fixed_cost), ("holding_rate", holding_rate), ("demand_rate", demand_rate)):
        if not 0 < x <= LARGEST:
            raise NumberError(f"{name} = {x:g} is outside (0, {LARGEST:g}]")
    at, price = np.asarray(breakpoints, float), np.asarray(unit_costs, float)
    if at.ndim != 1 or at.shape != price.shape or not at.size:
        raise InputError(f"breakpoints and unit_costs must have one length, got {at.shape} and {price.shape}")
    if at[0] != 0 or not np.all(np.diff(at) > 0):
        raise InputError(f"breakpoints {at.tolist()} must rise from 0")
    if not np.all(np.diff(price) < 0) or not np.all(price > 0):
        raise InputError(f"unit_costs {price.tolist()} must fall and stay positive")
    # What an order pays beyond price[j] Q: nothing, or what its first units cost more than price[j].
    extra = np.zeros(at.size)
    if kind == "incremental":
        extra[1:] = np.cumsum(at[1:] * (price[:-1] - price[1:]))
    free = np.sqrt(2 * (fixed_cost + extra) * demand_rate / (holding_rate * price))
    # A bracket's curve falls up to `free` and then rises; what lies at or beyond its end, the next bracket has cheaper.
    lots = np.where(free < np.append(at[1:], np.inf), np.maximum(free, at), np.nan)
    costs = (fixed_cost + extra) * demand_rate / lots + holding_rate * (price * lots + extra) / 2 + price * demand_rate
    best = int(np.nanargmin(costs))
    cost = float(costs[best])
    return Solution(
        cost, method=f"EOQ, {kind.replace('_', ' ')} discounts", reference="Snyder & Shen 2019, section 3.4",
        claim="optimal", lower_bound=cost, upper_bound=cost, numbers={"lot": float(lots[best]), "bracket": best},
    )  # fmt: skip
