"""Dynamic lot sizing: known demand that changes with time, a fixed cost per order, nobody waits (Wagner and Whitin
1958).

Some optimal plan orders only when stock is out, and then for whole periods to come. With D_j the demand of the first j
periods and H_j what it costs to hold a unit from the beginning to period j, an order in period i for periods i .. j - 1
costs K_i + sum_t (c_i + H_t - H_i) d_t, so that with E_j = sum_{t < j} H_t d_t

    f(j) = E_j + min_{i < j} (f(i) - E_i + K_i + (c_i - H_i)(D_j - D_i)),     f(0) = 0.

That is O(T^2), a vector operation per period; faster recursions (Wagelmans, van Hoesel and Kolen 1992) would pay from
tens of thousands of periods on.

Wagner and Whitin, Management Science 5(1), 1958, https://doi.org/10.1287/mnsc.5.1.89; Silver and Meal, Production and
Inventory Management 14(2), 1973; Snyder and Shen, 2nd edition, section 3.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import InfeasibleError, InputError, NumberError
from meio_jax.solvers.solution import Solution

__all__ = ["plan_cost", "silver_meal", "wagner_whitin"]


def _read(
    demand: Sequence[float], fixed_cost: Any, holding_cost: Any, unit_cost: Any, initial: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``[T]`` each. Raises `InputError`, `NumberError`."""
    d = np.asarray(demand, float)
    if d.ndim != 1 or not d.size:
        raise InputError(f"demand must be a sequence of numbers, one for each period; got shape {d.shape}")
    rows = [d]
    for name, x in (("fixed_cost", fixed_cost), ("holding_cost", holding_cost), ("unit_cost", unit_cost)):
        row = np.asarray(x, float)
        if row.shape not in ((), (1,), d.shape):
            raise InputError(f"{name} has shape {row.shape}; give one value, or one for each of {d.size} periods")
        rows.append(np.broadcast_to(row, d.shape))
    for name, row in zip(("demand", "fixed_cost", "holding_cost", "unit_cost"), rows, strict=True):
        bad = np.flatnonzero(~((row >= 0) & (row <= LARGEST)))
        if bad.size:
            raise NumberError(f"{name} = {row[bad[0]]:g} in period {bad[0]} is outside [0, {LARGEST:g}]")
    if not 0 <= initial <= LARGEST:
        raise NumberError(f"initial = {initial:g} is outside [0, {LARGEST:g}]: nobody waits, so nothing can be owed")
    return d, rows[1], rows[2], rows[3]


def _net(d: np.ndarray, h: np.ndarray, initial: float) -> tuple[np.ndarray, float]:
    """``[T]`` demand that the initial stock does not meet, and what holding that stock costs."""
    left = np.maximum(initial - np.cumsum(d), 0.0)
    met = -np.diff(left, prepend=initial)
    return d - met, float(h @ left)


def wagner_whitin(
    demand: Sequence[float],
    fixed_cost: float | Sequence[float],
    holding_cost: float | Sequence[float],
    unit_cost: float | Sequence[float] = 0.0,
    *,
    initial: float = 0.0,
) -> Solution:
    """The cheapest plan that meets all demand in time.

    Args:
      demand: ``[T]`` units, each due in its period; an order arrives in the period in which it is placed.
      fixed_cost: money per order, one value or ``[T]``.
      holding_cost: money per unit at the end of the period, one value or ``[T]``.
      unit_cost: money per unit ordered, one value or ``[T]``.
      initial: stock at the beginning, used first.

    Returns:
      cost over the horizon; numbers: ``orders [T]`` units, ``stock [T]`` at the end of each period, ``cost_to_cover [T
      + 1]`` f(j), the least cost of the first j periods (from what the initial stock leaves to do).

    Raises:
      InputError: lengths differ.
      NumberError: a number is NaN, negative or absurdly large.
    """
    d, K, h, c = _read(demand, fixed_cost, holding_cost, unit_cost, initial)
    need, held = _net(d, h, initial)
    periods = d.size
    H = np.concatenate([[0.0], np.cumsum(h)[:-1]])  # to hold a unit from the beginning to the start of period t
    E, D = (np.concatenate([[0.0], np.cumsum(x)]) for x in (H * need, need))
    slope = c - H
    f = np.zeros(periods + 1)
    base = np.zeros(periods)
    came = np.zeros(periods + 1, int)
    for j in range(1, periods + 1):
        i = j - 1
        base[i] = f[i] - E[i] + K[i] - slope[i] * D[i]
        if need[i] == 0:  # nothing to meet, nothing to pay: -1 says that no order covers this period
            f[j], came[j] = f[i], -1
            continue
        total = base[:j] + slope[:j] * D[j]
        came[j] = int(np.argmin(total))
        f[j] = E[j] + total[came[j]]
    orders = np.zeros(periods)
    j = periods
    while j:
        if came[j] < 0:
            j -= 1
            continue
        orders[came[j]] = D[j] - D[came[j]]
        j = int(came[j])
    return _solution(orders, demand, fixed_cost, holding_cost, unit_cost, initial, True, {"cost_to_cover": f + held})


def silver_meal(
    demand: Sequence[float],
    fixed_cost: float | Sequence[float],
    holding_cost: float | Sequence[float],
    unit_cost: float | Sequence[float] = 0.0,
    *,
    initial: float = 0.0,
) -> Solution:
    """The heuristic of Silver and Meal: an order covers more periods as long as its cost per period falls.

    Arguments, results and errors as for `wagner_whitin`, without ``cost_to_cover``. Purchase counts in the cost of the
    plan, not in the rule.
    """
    d, K, h, _ = _read(demand, fixed_cost, holding_cost, unit_cost, initial)
    need, _ = _net(d, h, initial)
    orders, i = np.zeros(d.size), 0
    while i < d.size:
        if need[i] == 0:
            i += 1
            continue
        cost, carry, j = K[i], 0.0, i + 1
        while j < d.size:
            carry += h[j - 1]
            more = cost + carry * need[j]
            if more / (j + 1 - i) > cost / (j - i):
                break
            cost, j = more, j + 1
        orders[i] = need[i:j].sum()
        i = j
    return _solution(orders, demand, fixed_cost, holding_cost, unit_cost, initial, False, {})


def plan_cost(
    orders: Sequence[float] | np.ndarray,
    demand: Sequence[float],
    fixed_cost: float | Sequence[float],
    holding_cost: float | Sequence[float],
    unit_cost: float | Sequence[float] = 0.0,
    *,
    initial: float = 0.0,
) -> float:
    """What any plan costs; ``orders [T]``, the other arguments as for `wagner_whitin`.

    Raises:
      InfeasibleError: some demand would have to wait; says in which period.
      InputError, NumberError: as `wagner_whitin`.
    """
    d, K, h, c = _read(demand, fixed_cost, holding_cost, unit_cost, initial)
    q = np.asarray(orders, float)
    if q.shape != d.shape:
        raise InputError(f"orders has shape {q.shape}, demand {d.shape}")
    if not np.all((q >= 0) & (q <= LARGEST * d.size)):
        raise NumberError("orders must be numbers that are not negative")
    stock = _stock(q, d, initial)
    short = np.flatnonzero(stock < -1e-9 * (1 + d.sum()))
    if short.size:
        raise InfeasibleError(f"in period {short[0]} the plan is {-stock[short[0]]:g} units short: order more by then")
    return float(K @ (q > 0) + h @ np.maximum(stock, 0.0) + c @ q)


def _stock(q: np.ndarray, d: np.ndarray, initial: float) -> np.ndarray:
    return initial + np.cumsum(q) - np.cumsum(d)


def _solution(
    orders: np.ndarray, demand: Any, fixed_cost: Any, holding_cost: Any, unit_cost: Any, initial: float, optimal: bool,
    more: dict[str, Any],
) -> Solution:  # fmt: skip
    cost = plan_cost(orders, demand, fixed_cost, holding_cost, unit_cost, initial=initial)
    # Sums of many periods leave rounding dust where stock runs out.
    stock = np.maximum(_stock(orders, np.asarray(demand, float), initial), 0.0)
    return Solution(
        cost, method="Wagner-Whitin" if optimal else "Silver-Meal", criterion="total",
        reference="Wagner & Whitin 1958" if optimal else "Silver & Meal 1973",
        claim="optimal" if optimal else "exact", lower_bound=cost if optimal else -np.inf, upper_bound=cost,
        numbers={"orders": orders, "stock": stock, **more},
    )  # fmt: skip
