"""(r, Q) under continuous review with backorders: exact, and the classical approximations.

Rates are per unit of *time*, not per period: an order of Q leaves at the moment at which the inventory position falls
to r and arrives a lead time later. D is the demand of the lead time, G(y) = h E[y - D]+ + b E[D - y]+, and

    c(r, Q) = (K d + sum_{y = r+1 .. r+Q} G(y)) / Q      Poisson demand, one by one: optimal among all policies
    c(r, Q) = (K m E[min(X, Q)] + sum G(y)) / Q          compound Poisson: m customers, each asking for X; as many lots
                                                         as lift the position above r, the best of this kind of policy
    c(r, Q) = (K d + integral_r^{r+Q} G(y) dy) / Q       normal demand, taken as a diffusion that falls without jumps

The sum is minimised by the sweep of `meio_jax.solvers.lot_size`. The integral is known in closed form through the
second loss function n2(x) = E[((D - x)+)^2] / 2, and the minimum is where G(r) = G(r + Q) = c: with F(c) = integral of
(c - G)+, which is convex and increasing, F(c) = K d, solved by Newton's method from above.

Federgruen and Zheng, Operations Research 40(4), 1992, https://doi.org/10.1287/opre.40.4.808; Zheng, Management Science
38(1), 1992, https://doi.org/10.1287/mnsc.38.1.87 (the integral; EOQB costs at most 1/8 more than the optimum); Hadley
and Whitin, Analysis of Inventory Systems (1963), chapter 4; Snyder and Shen, 2nd edition, sections 5.2 to 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize, special

from meio_jax.elements import LARGEST
from meio_jax.errors import NumberError, UnboundedError, UnknownNameError, UnsuitableError
from meio_jax.solvers.compound_poisson import CompoundPoisson
from meio_jax.solvers.eoq import eoq
from meio_jax.solvers.laws import Law, Normal, Poisson, as_law
from meio_jax.solvers.lot_size import best_lots, lots_cost, whole_lots
from meio_jax.solvers.newsvendor import newsvendor
from meio_jax.solvers.single_stage import check_rates
from meio_jax.solvers.solution import Solution

__all__ = ["APPROXIMATIONS", "r_Q", "r_Q_approximation", "r_Q_cost"]

#: Each finds r and Q in its own way; what they cost is exact for all.
APPROXIMATIONS = ("eoqb", "eoq_ss", "eil", "loss")


def _law(
    demand: Any, lead_time: float, holding_cost: float, backlog_cost: float, fixed_cost: float
) -> tuple[Normal | Poisson | CompoundPoisson, Law]:
    """Demand of a unit of time, and of the lead time. Raises as `r_Q`."""
    check_rates("money/unit/time", holding_cost=holding_cost, backlog_cost=backlog_cost)
    check_rates("money/order", fixed_cost=fixed_cost)
    if not 0 <= lead_time <= LARGEST:
        raise NumberError(f"lead_time = {lead_time:g} is outside [0, {LARGEST:g}]")
    for name, x in (("holding_cost", holding_cost), ("backlog_cost", backlog_cost)):
        if x == 0:
            raise UnboundedError(f"{name} is 0: there is no best policy, the rarer an order the better; give it")
    law = as_law(demand)
    if not isinstance(law, (Normal, Poisson, CompoundPoisson)):
        raise UnsuitableError(
            "continuous review takes Poisson, CompoundPoisson or Normal demand; `r_nQ` takes any demand per period"
        )
    if not law.mean > 0:
        raise NumberError(f"demand = {law.mean:g} per unit of time must be positive")
    return law, law.over(lead_time)


def _customers(law: Poisson | CompoundPoisson) -> tuple[float, np.ndarray]:
    """How many come in a unit of time, and ``[K]`` probabilities of what one asks for, in steps."""
    if isinstance(law, Poisson):
        return law.mean, np.array([0.0, 1.0])
    common = int(np.gcd.reduce(np.flatnonzero(law.sizes)))
    if common != 1:
        raise UnsuitableError(f"customers ask for multiples of {common * law.step:g} only: count in these")
    return law.rate, law.sizes


def _position_cost(lead: Law, h: float, b: float) -> Callable[[Any], np.ndarray]:
    return lambda y: h * (np.asarray(y, float) - lead.mean) + (h + b) * lead.loss(y)


def _second_loss(lead: Law, x: float) -> float:
    """E[((D - x)+)^2] / 2 of the normal law; Snyder and Shen, equation (C.35)."""
    if not lead.sd:
        return 0.5 * max(lead.mean - x, 0.0) ** 2
    z = (x - lead.mean) / lead.sd
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return 0.5 * lead.sd**2 * ((z * z + 1) * float(special.ndtr(-z)) - z * density)


def _normal_cost(lead: Law, rate: float, h: float, b: float, fixed: float, reorder: float, lot: float) -> float:
    """c(r, Q) of the normal law."""
    owed = _second_loss(lead, reorder) - _second_loss(lead, reorder + lot)
    return fixed * rate / lot + h * (reorder + lot / 2 - lead.mean) + (h + b) * owed / lot


def r_Q(
    demand: Any,
    lead_time: float,
    holding_cost: float,
    backlog_cost: float,
    fixed_cost: float,
    *,
    lot: float | None = None,
) -> Solution:
    """The best (r, Q) policy and its long-run average cost per unit of time.

    Args:
      demand: of one unit of time, `Poisson`, `CompoundPoisson` or `Normal`.
      lead_time: units of time.
      holding_cost, backlog_cost: money per unit and unit of time.
      fixed_cost: money per order.
      lot: Q, units, where it is given and only r is to be found.

    Returns:
      numbers: ``reorder`` r, ``lot`` Q, ``orders`` per unit of time. Without a fixed cost normal demand is ordered
      continuously: the lot is 0, and the cost that of base stock.

    Raises:
      UnsuitableError: demand is none of these; says which method can.
      NumberError: a number is NaN, negative or absurdly large, or the lot is not positive (for Poisson: not whole).
      UnboundedError: a rate is 0.
    """
    h, b, fixed = holding_cost, backlog_cost, fixed_cost
    law, lead = _law(demand, lead_time, h, b, fixed)
    start = newsvendor(lead, h, b).echelon_levels[0]
    G = _position_cost(lead, h, b)
    if isinstance(law, (Poisson, CompoundPoisson)):
        (rate, sizes), step = _customers(law), law.step
        guess = max(1, round(eoq(fixed, h, law.mean, backlog_cost=b).numbers["lot"] / step))
        whole = 0 if lot is None else whole_lots("lot", lot, step)
        found = best_lots(lambda y: G(step * y), round(start / step), sizes, fixed * rate, guess=guess, lot=whole)
        best = lot is None and isinstance(law, Poisson)
        return _solution(found.reorder * step, found.lot * step, found.cost, law, "(r, Q), exact", best)
    if lot is not None:
        reorder = _normal_reorder(G, start, _positive(lot))
        return _solution(
            reorder, lot, _normal_cost(lead, law.mean, h, b, fixed, reorder, lot), law, "(r, Q), exact", False
        )
    base = eoq(fixed, h, law.mean, backlog_cost=b)
    if fixed == 0:
        return _solution(start, 0.0, float(G(start)), law, "(r, Q), exact", True)
    if lead.sd:
        # So near its minimum G is a parabola, and what a fixed cost this small adds is lost in the rounding of G.
        bend = (h + b) * math.exp(-0.5 * ((start - lead.mean) / lead.sd) ** 2) / (lead.sd * math.sqrt(2 * math.pi))
        half = (1.5 * fixed * law.mean / bend) ** (1 / 3)
        if half < 1e-4 * lead.sd:
            cost = float(G(start)) + 0.5 * bend * half**2
            return _solution(start - half, 2 * half, cost, law, "(r, Q), exact", True)
    # No demand that varies makes a position dearer than G(y*) and the deterministic cost of being off it.
    cost = float(G(start)) + base.cost
    for _ in range(100):
        low, high = _sides(G, start, cost, h, b)
        over = cost - _normal_cost(lead, law.mean, h, b, fixed, low, high - low)  # (F(c) - K d) / (high - low)
        cost -= over
        if abs(over) <= 1e-14 * cost:
            break
    low, high = _sides(G, start, cost, h, b)
    return _solution(
        low, high - low, _normal_cost(lead, law.mean, h, b, fixed, low, high - low), law, "(r, Q), exact", True
    )


def _sides(G: Callable[[Any], np.ndarray], start: float, cost: float, h: float, b: float) -> tuple[float, float]:
    """Where the convex G takes the value ``cost``, below and above its minimiser."""

    def side(sign: int, slope: float) -> float:
        far = max((cost - float(G(start))) / slope, 1e-12)
        while G(start + sign * far) < cost:
            far *= 2
        return float(optimize.brentq(lambda y: float(G(y)) - cost, start, start + sign * far, xtol=1e-13 * (1 + far)))

    return side(-1, b), side(1, h)


def _normal_reorder(G: Callable[[Any], np.ndarray], start: float, lot: float) -> float:
    """The r with G(r) = G(r + Q), which is best for this lot."""
    return float(optimize.brentq(lambda r: float(G(r + lot) - G(r)), start - lot, start, xtol=1e-13 * (1 + lot)))


def _positive(lot: float) -> float:
    if not 0 < lot <= LARGEST:
        raise NumberError(f"lot = {lot:g} units is outside (0, {LARGEST:g}]")
    return lot


def r_Q_cost(
    reorder: float,
    lot: float,
    demand: Any,
    lead_time: float,
    holding_cost: float,
    backlog_cost: float,
    fixed_cost: float,
) -> float:
    """The long-run average cost per unit of time of any (r, Q), without error; arguments as for `r_Q`.

    Raises:
      as `r_Q`; `NumberError` also where the reorder point is not finite (for Poisson: not whole).
    """
    law, lead = _law(demand, lead_time, holding_cost, backlog_cost, fixed_cost)
    if not math.isfinite(reorder):
        raise NumberError(f"reorder = {reorder:g} must be finite")
    if isinstance(law, Normal):
        return _normal_cost(lead, law.mean, holding_cost, backlog_cost, fixed_cost, reorder, _positive(lot))
    step = law.step
    if abs(reorder / step - round(reorder / step)) > 1e-9:
        raise NumberError(f"reorder = {reorder:g} must be a whole multiple of {step:g}, as demand is")
    G, (rate, sizes) = _position_cost(lead, holding_cost, backlog_cost), _customers(law)
    lots = whole_lots("lot", lot, step)
    return lots_cost(lambda y: G(step * y), round(reorder / step), lots, sizes, fixed_cost * rate)


def r_Q_approximation(
    kind: str, demand: Any, lead_time: float, holding_cost: float, backlog_cost: float, fixed_cost: float
) -> Solution:
    """(r, Q) by a classical approximation, and what it really costs; arguments as for `r_Q`.

    - ``"eoqb"``: the lot of the EOQ with backorders, and the best r for it (Zheng 1992).
    - ``"eoq_ss"``: the lot of the EOQ, and the newsvendor's level of lead-time demand as r: safety stock.
    - ``"eil"``: expected inventory level (Hadley and Whitin): Q = sqrt(2 d (K + b n(r)) / h) and P(D > r) = Q h / (b
      d), in turns; it charges b per unit that was ever short, which is right only where nobody waits longer than a unit
      of time.
    - ``"loss"``: loss functions (Hadley and Whitin): Q = sqrt(2 (K d + (h + b) n2(r)) / h) and n(r) = h Q / (h + b).

    Where demand is in whole units, ``"eoqb"`` and ``"eoq_ss"`` are rounded to them; the others are for normal demand.

    Returns:
      cost: exact for the r and Q found; numbers as for `r_Q`, and ``model_cost``, what the approximation itself takes
      the cost to be, where it has such a value.

    Raises:
      UnknownNameError: there is no such approximation.
      UnsuitableError: as `r_Q`; also where ``"eil"`` finds no r, as backorders are too cheap for its model.
      NumberError, UnboundedError: as `r_Q`; also where the fixed cost is 0.
    """
    if kind not in APPROXIMATIONS:
        raise UnknownNameError(f"approximation {kind!r} is not one of {', '.join(APPROXIMATIONS)}")
    h, b = holding_cost, backlog_cost
    law, lead = _law(demand, lead_time, h, b, fixed_cost)
    if fixed_cost == 0:
        raise NumberError("fixed_cost is 0: without it there is no lot; `base_stock` is for that")
    step = law.step
    model: dict[str, float] = {}
    if kind == "eoqb":
        size = eoq(fixed_cost, h, law.mean, backlog_cost=b).numbers["lot"]
        found = r_Q(law, lead_time, h, b, fixed_cost, lot=step * max(1, round(size / step)) if step else size)
        return found.replace(method="(r, Q), eoqb")
    if kind == "eoq_ss":
        reorder, size = newsvendor(lead, h, b).echelon_levels[0], eoq(fixed_cost, h, law.mean).numbers["lot"]
        if step:
            reorder, size = step * round(reorder / step), step * max(1, round(size / step))
    else:
        if step:
            raise UnsuitableError(f"approximation {kind!r} is for normal demand; `r_Q` is exact for Poisson demand")
        reorder, size, model = _in_turns(kind, law.mean, lead, h, b, fixed_cost)
    cost = r_Q_cost(reorder, size, law, lead_time, h, b, fixed_cost)
    found = _solution(reorder, size, cost, law, f"(r, Q), {kind}", False)
    return found.replace(numbers={**found.numbers, **model})


def _in_turns(
    kind: str, rate: float, lead: Law, h: float, b: float, fixed: float
) -> tuple[float, float, dict[str, float]]:
    """The r and Q of "eil" and "loss", each from the other until both stand still."""
    size, reorder = eoq(fixed, h, rate).numbers["lot"], math.nan
    for _ in range(10_000):
        before = reorder, size
        if kind == "eil":
            short = size * h / (b * rate)
            if short >= 1:
                raise UnsuitableError(
                    f"'eil' finds no reorder point: with a lot of {size:g} holding costs more than its backorders ever "
                    "can; `r_Q` is exact"
                )
            reorder = lead.ppf(1 - short)
            size = math.sqrt(2 * rate * (fixed + b * float(lead.loss(reorder))) / h)
        else:
            reorder = _inverse_loss(lead, h * size / (h + b))
            size = math.sqrt(2 * (fixed * rate + (h + b) * _second_loss(lead, reorder)) / h)
        if abs(reorder - before[0]) <= 1e-12 * (1 + abs(reorder)) and abs(size - before[1]) <= 1e-12 * size:
            break
    else:
        raise UnsuitableError(f"{kind!r} does not settle on these numbers; `r_Q` is exact")
    if kind == "loss":
        return reorder, size, {}
    short = float(lead.loss(reorder))
    cost = h * (reorder - lead.mean + size / 2) + fixed * rate / size + b * rate * short / size
    return reorder, size, {"model_cost": cost}


def _inverse_loss(lead: Law, value: float) -> float:
    """The x with E[D - x]+ = value > 0."""
    low = lead.mean - value - 1e-12  # E[D - x]+ >= mean - x
    high = lead.mean + 10 * lead.sd
    while lead.loss(high) > value:
        high += 10 * lead.sd
    return float(optimize.brentq(lambda x: float(lead.loss(x)) - value, low, high, xtol=1e-13 * (1 + abs(high))))


def _solution(reorder: float, lot: float, cost: float, law: Law, method: str, best: bool) -> Solution:
    bounds: dict[str, Any] = {"claim": "optimal", "lower_bound": cost} if best else {}
    if isinstance(law, CompoundPoisson):
        orders = law.rate * float(np.minimum(law.step * np.arange(law.sizes.size), lot) @ law.sizes) / lot
    else:
        orders = law.mean / lot if lot else math.inf
    return Solution(
        cost, method=method, reference="Federgruen & Zheng 1992; Zheng 1992", upper_bound=cost,
        numbers={"reorder": float(reorder), "lot": float(lot), "orders": orders}, **bounds,
    )  # fmt: skip
