"""One stage over a finite horizon: stochastic dynamic programming with a fixed cost, and numbers that change with time.

In each period: look at the stock x, order up to y >= x (it arrives at once), demand d, costs. With V the cost to go,

    H_t(y) = c_t y + h_t E[y - D_t]+ + b_t E[D_t - y]+ + discount E[V_{t+1}(y - D_t)]      ((y - D_t)+ under lost sales)
    V_t(x) = -c_t x + min(H_t(x), K_t + min_{y > x} H_t(y)),        V_T(x) = terminal holding x+ + terminal backlog x-.

Where discount K_{t+1} <= K_t the optimal rule of every period is (s_t, S_t): Scarf (1960), in Mathematical Methods in
the Social Sciences. Snyder and Shen, 2nd edition, sections 4.3.3 and 4.4.3; Bellman, Glicksberg and Gross, Management
Science 2(1), 1955, https://doi.org/10.1287/mnsc.2.1.83.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, NumberError, UnboundedError, UnsuitableError
from meio_jax.solvers.laws import TAIL, Law, as_law, convolve
from meio_jax.solvers.single_stage import counts
from meio_jax.solvers.solution import Solution

__all__ = ["finite_horizon"]

#: Entries of a table over stock and time.
LARGEST_TABLE = 20_000_000
_INSTEAD = "clipped_normal(mean, sd) or discretised(...) put it on a lattice"


def finite_horizon(
    demand: Any,
    holding_cost: float | Sequence[float],
    backlog_cost: float | Sequence[float],
    *,
    periods: int | None = None,
    fixed_cost: float | Sequence[float] = 0.0,
    unit_cost: float | Sequence[float] = 0.0,
    discount: float = 1.0,
    terminal_holding_cost: float = 0.0,
    terminal_backlog_cost: float = 0.0,
    lost_sales: bool = False,
    initial: float = 0.0,
) -> Solution:
    """The optimal policy and expected cost over ``T`` periods; any number may be one value or one per period.

    Stock lives on the lattice of demand, wide enough for every stock that is reached with a probability above 1e-15: no
    truncation is felt.

    Args:
      demand: law of one period, or a sequence of T laws on one lattice, independent; see `as_law`.
      holding_cost, backlog_cost: money per unit on hand and per unit owed at the end of a period. Under lost sales
        ``backlog_cost`` is money per unit lost.
      periods: T, where no sequence says it.
      fixed_cost: money per order. unit_cost: money per unit ordered.
      discount: of a period, in (0, 1].
      terminal_holding_cost: money per unit left at the end, negative where it can be sold off.
      terminal_backlog_cost: money per unit still owed at the end.
      lost_sales: unmet demand is lost.
      initial: stock at the beginning, on the lattice.

    Returns:
      cost from ``initial`` on; numbers, with n stocks: ``stock [n]``, ``cost_to_go [T + 1, n]``, ``order_up_to [T, n]``
      (the stock itself where nothing is ordered), ``up_to [T]`` S_t, ``reorder [T]`` s_t, the highest stock at which an
      order is placed (minus infinity: never). ``details["s_S"]``: whether every period's rule is exactly (s_t, S_t).

    Raises:
      InputError: sequences of different lengths, or no length at all.
      NumberError: a number is NaN, out of its domain or absurdly large, or the tables would be.
      UnsuitableError: a law is continuous or may be negative, or the laws' lattices differ.
      UnboundedError: in some period, stock that is bought for the end brings more than it costs.
    """
    laws, each = _laws(demand)
    numbers = {
        "holding_cost": holding_cost, "backlog_cost": backlog_cost, "fixed_cost": fixed_cost, "unit_cost": unit_cost,
    }  # fmt: skip
    rows = {name: np.atleast_1d(np.asarray(x, float)) for name, x in numbers.items()}
    lengths = {name: row.shape for name, row in rows.items() if row.size != 1 or row.ndim != 1}
    if each:
        lengths["demand"] = (len(laws),)
    if periods is not None:
        lengths["periods"] = (periods,)
    if len(set(lengths.values())) != 1 or len(next(iter(lengths.values()))) != 1:
        raise InputError(f"the horizon is not one number: {lengths or 'give periods='}")
    horizon = next(iter(lengths.values()))[0]
    if not 1 <= horizon <= 1_000_000:
        raise NumberError(f"a horizon of {horizon} periods is outside [1, 1000000]")
    for name, row in rows.items():
        if not np.all((row >= 0) & (row <= LARGEST)):
            raise NumberError(f"{name} has a value that is NaN or outside [0, {LARGEST:g}]: {row.tolist()[:8]}")
    if not 0 < discount <= 1:
        raise NumberError(f"discount = {discount:g} is outside (0, 1]")
    if not abs(terminal_holding_cost) <= LARGEST or not 0 <= terminal_backlog_cost <= LARGEST:
        raise NumberError("a terminal cost is NaN, absurdly large, or negative for what is owed")
    h, b, K, c = (np.broadcast_to(row, horizon) for row in rows.values())
    _check_bounded(h, c, discount, terminal_holding_cost)
    step, tables = _tables(laws)
    start = _on_lattice(initial, step)
    if lost_sales and start < 0:
        raise NumberError(f"initial = {initial:g} is negative: under lost sales nothing is owed")
    most = _most(tables if len(tables) > 1 else tables * horizon, LARGEST_TABLE // (horizon + 1))
    low, high = (0 if lost_sales else start - most), max(start, 0) + most
    n = high - low + 1
    if n * (horizon + 1) > LARGEST_TABLE:
        raise NumberError(f"tables of {n} stocks in {horizon} periods are too large: use larger units")
    x = step * np.arange(low, high + 1)
    value = np.zeros((horizon + 1, n))
    value[-1] = terminal_holding_cost * np.maximum(x, 0) + terminal_backlog_cost * np.maximum(-x, 0)
    target = np.zeros((horizon, n), int)
    reorder, up_to = np.full(horizon, -math.inf), np.zeros(horizon)
    plain = True
    for t in reversed(range(horizon)):
        law, p = (laws[0], tables[0]) if len(laws) == 1 else (laws[t], tables[t])
        following = value[t + 1]
        below = np.full(p.size - 1, following[0])
        if not lost_sales:  # far below all that can be reached costs are linear
            below -= (following[1] - following[0]) * np.arange(p.size - 1, 0, -1)
        expected = convolve(np.concatenate([below, following]), p, "valid")
        H = c[t] * x + h[t] * (x - law.mean) + (h[t] + b[t]) * law.loss(x) + discount * expected
        best = _first_minimum_above(H)
        ordering = K[t] + H[best] < H
        target[t] = np.where(ordering, best, np.arange(n))
        value[t] = np.where(ordering, K[t] + H[best], H) - c[t] * x
        top = int(np.argmin(H))
        up_to[t] = x[top]
        if ordering.any():
            k = int(np.flatnonzero(ordering)[-1])
            reorder[t] = x[k]
            plain &= bool(ordering[: k + 1].all() and np.all(best[: k + 1] == top))
    cost = float(value[0, start - low])
    return Solution(
        cost, method="finite horizon", reference="Scarf 1960; Snyder & Shen 2019, section 4.3.3",
        criterion="total" if discount == 1 else "discounted", claim="optimal", lower_bound=cost, upper_bound=cost,
        numbers={
            "stock": x, "cost_to_go": value, "order_up_to": x[target], "up_to": up_to, "reorder": reorder,
        },
        details={"s_S": plain, "stocks": n},
    )  # fmt: skip


def _laws(demand: Any) -> tuple[list[Law], bool]:
    """The laws, and whether there is one for each period."""
    several = isinstance(demand, (list, tuple)) and not all(isinstance(d, (int, float, np.number)) for d in demand)
    laws = [as_law(d) for d in demand] if several else [as_law(demand)]
    if len({law.step for law in laws}) > 1:
        raise UnsuitableError("demand: the laws of all periods must live on lattices of one step")
    return laws, several


def _tables(laws: Sequence[Law]) -> tuple[float, list[np.ndarray]]:
    read = [counts(law, instead=_INSTEAD) for law in laws]
    return read[0][0], [p for _, p in read]


def _on_lattice(initial: float, step: float) -> int:
    if not abs(initial) <= LARGEST or abs(initial / step - round(initial / step)) > 1e-9:
        raise NumberError(f"initial = {initial:g} must be a whole multiple of {step:g}, as demand is")
    return round(initial / step)


def _most(tables: Sequence[np.ndarray], limit: int) -> int:
    """The most that may be asked for over the horizon, in steps, but for a probability of 1e-15."""
    total = np.ones(1)
    origin = 0
    for p in tables:
        total = np.maximum(convolve(total, p), 0.0)
        low = int(np.searchsorted(np.cumsum(total), TAIL))
        high = total.size - int(np.searchsorted(np.cumsum(total[::-1]), TAIL))
        origin, total = origin + low, total[low:high]
        if origin + total.size > limit:
            raise NumberError(f"demand over the horizon may exceed {limit} steps of its lattice: use larger units")
    return origin + total.size


def _first_minimum_above(H: np.ndarray) -> np.ndarray:
    """``[n]`` index of the smallest minimiser of H from each index on."""
    least = np.minimum.accumulate(H[::-1])[::-1]
    at = np.where(least == H, np.arange(H.size), H.size)
    return np.minimum.accumulate(at[::-1])[::-1]


def _check_bounded(h: np.ndarray, c: np.ndarray, discount: float, terminal: float) -> None:
    """A unit that is bought in period t and never asked for must not earn."""
    later = terminal
    for t in reversed(range(h.size)):
        later = h[t] + discount * later
        if c[t] + later < -1e-12 * (abs(terminal) + c[t]):
            raise UnboundedError(
                f"a unit bought in period {t} and sold off at the end earns {-(c[t] + later):g}, however many: raise "
                "terminal_holding_cost"
            )
