"""Perishables, the 32 cases of De Moor, Gijsbrechts and Boute (2022): one location, lost sales, a few days of life.

Demand is round(Gamma) with mean 4 and coefficient of variation 0.5. A unit ordered costs 3, a lost sale 5, a unit in
stock at the end of a day 1, an expired one 7 or 10; at most 10 are ordered; discount 0.99. Event order of a day: order,
demand, issue (oldest or youngest first), the last age class expires, the rest is held and ages, the order of L - 1 days
ago arrives fresh. So an order can serve L days later, and what arrives can serve on as many days as its shelf life.

The cost is the expected discounted sum over 365 days after 100 days of warm-up from an empty system, under the policy
that is optimal for ever. Farrington, Wong, Li and Utley (2025) print it as a mean return of simulated years, whose
standard error is about 0.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import stats

from meio_jax.errors import InputError
from meio_jax.instances.base import Instance, Known
from meio_jax.policies import BaseStock
from meio_jax.processes import Processes, gamma
from meio_jax.solvers.laws import Pmf
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import multi_source

__all__ = ["INSTANCES", "de_moor"]

SOURCE = (
    "De Moor, Gijsbrechts and Boute (2022), European Journal of Operational Research 301(2), 535-545, "
    "https://doi.org/10.1016/j.ejor.2021.10.045"
)
PRINTED = "Farrington et al. 2025, Table 3, https://doi.org/10.1007/s10479-025-06551-6"
SHELF_LIVES, LEAD_TIMES, WASTE_COSTS, ISSUING = (2, 3, 4, 5), (1, 2), (7, 10), ("lifo", "fifo")
#: Half a unit of the last digit and three standard errors of the simulation behind the printed values.
_SIMULATED = 2.3

#: (shelf life, L, waste cost, issuing): printed cost of the optimum and of the best base-stock rule; computed cost of
#: the optimum, by two programs apart (None: by one only); best base-stock level and its cost.
_TABLE: dict[tuple[int, int, float, str], tuple[int, int, float | None, int, float]] = {
    (2, 1, 7, "lifo"): (1553, 1565, 1552.99, 5, 1565.27),
    (2, 1, 7, "fifo"): (1457, 1474, 1457.28, 7, 1474.55),
    (2, 1, 10, "lifo"): (1571, 1581, 1570.86, 5, 1580.90),
    (2, 1, 10, "fifo"): (1463, 1485, 1463.51, 6, 1484.78),
    (2, 2, 7, "lifo"): (1551, 1590, 1551.42, 7, 1589.98),
    (2, 2, 7, "fifo"): (1461, 1495, 1461.30, 9, 1495.21),
    (2, 2, 10, "lifo"): (1569, 1606, 1569.20, 7, 1605.95),
    (2, 2, 10, "fifo"): (1469, 1504, 1469.01, 9, 1504.54),
    (3, 1, 7, "lifo"): (1490, 1500, 1489.97, 6, 1500.76),
    (3, 1, 7, "fifo"): (1424, 1435, 1424.39, 8, 1434.95),
    (3, 1, 10, "lifo"): (1498, 1512, 1498.73, 6, 1512.45),
    (3, 1, 10, "fifo"): (1425, 1436, 1425.10, 8, 1436.73),
    (3, 2, 7, "lifo"): (1513, 1533, 1513.37, 8, 1533.34),
    (3, 2, 7, "fifo"): (1435, 1456, 1435.75, 10, 1456.14),
    (3, 2, 10, "lifo"): (1526, 1544, 1526.34, 8, 1544.04),
    (3, 2, 10, "fifo"): (1437, 1457, 1436.84, 10, 1457.27),
    (4, 1, 7, "lifo"): (1459, 1476, None, 7, 1476.34),
    (4, 1, 7, "fifo"): (1422, 1430, None, 8, 1430.20),
    (4, 1, 10, "lifo"): (1465, 1481, None, 6, 1481.10),
    (4, 1, 10, "fifo"): (1422, 1430, None, 8, 1430.25),
    (4, 2, 7, "lifo"): (1480, 1496, None, 9, 1496.60),
    (4, 2, 7, "fifo"): (1432, 1453, None, 11, 1450.52),
    (4, 2, 10, "lifo"): (1489, 1505, None, 9, 1505.05),
    (4, 2, 10, "fifo"): (1432, 1453, None, 11, 1450.65),
    (5, 1, 7, "lifo"): (1443, 1454, None, 7, 1454.37),
    (5, 1, 7, "fifo"): (1422, 1430, None, 8, 1430.06),
    (5, 1, 10, "lifo"): (1446, 1460, None, 7, 1460.48),
    (5, 1, 10, "fifo"): (1422, 1430, None, 8, 1430.06),
    (5, 2, 7, "lifo"): (1463, 1480, None, 9, 1480.95),
    (5, 2, 7, "fifo"): (1432, 1453, None, 11, 1450.20),
    (5, 2, 10, "lifo"): (1467, 1484, None, 9, 1484.58),
    (5, 2, 10, "fifo"): (1432, 1453, None, 11, 1450.21),
}  # fmt: skip


def demand_law() -> Pmf:
    """round(Gamma): P(0) = P(X < 1/2), P(k) = P(k - 1/2 <= X < k + 1/2); X has shape 4 and scale 1."""
    law = stats.gamma(4.0, scale=1.0)
    edges = np.append(np.arange(60) + 0.5, np.inf)
    low, high = np.append(0.0, edges[:-1]), edges
    return Pmf(np.where(low > 4.0, law.sf(low) - law.sf(high), law.cdf(high) - law.cdf(low)))


def de_moor(shelf_life: int, lead_time: int, waste_cost: float, issuing: str) -> Instance:
    """A case of De Moor et al. (2022).

    Args:
      shelf_life: days on which a unit can serve; the paper has 2, 3, 4, 5. lead_time: 1 or 2 there. waste_cost: money
        for a unit that expires, 7 or 10 there. For others nothing is known.
      issuing: "lifo" or "fifo".

    Raises:
      InputError: another issuing rule, or a shelf life or lead time below 1.
    """
    if issuing not in ISSUING:
        raise InputError(f"issuing {issuing!r} must be one of {', '.join(ISSUING)}")
    if shelf_life < 1 or lead_time < 1:
        raise InputError(f"shelf_life = {shelf_life} and lead_time = {lead_time} must be at least 1")

    def make() -> Problem:
        network = multi_source(
            ("supply",), lead_time=[lead_time], unit_cost=3.0, order_capacity=10.0, shelf_life=shelf_life,
            scrap_cost=waste_cost, holding_cost=1.0, lost_cost=5.0, keep=0.0, issuing=issuing, timing="order_first",
            integer=True,
        )  # fmt: skip
        return Problem(
            network, Processes(demand=gamma(4.0, 0.5, rounded=True)), (demand_law(),), "discounted", 0.99, 365, 100
        )

    known: list[Known] = []
    row = _TABLE.get((shelf_life, lead_time, waste_cost, issuing))
    if row is not None:
        printed, printed_base, optimum, level, base = row
        note = "the mean of simulated years, printed as a return"
        if optimum is not None:
            known.append(Known("optimum", optimum, "computed", "OWN", 5e-3, "value_iteration"))
        else:
            known.append(Known("optimum", printed, PRINTED, "T", _SIMULATED, "value_iteration", note=note))
        rule = _rule(level)
        known.append(Known("best base-stock", base, "computed", "OWN", 5e-3, rule=rule))
        if optimum is not None:
            known.append(Known("optimum as printed", printed, PRINTED, "V", _SIMULATED, "value_iteration", note=note))
        tried = _rule(min(level, 10))
        more = note if level <= 10 else f"{note}; it is that of level 10, and level {level} is better"
        known.append(Known("best base-stock as printed", printed_base, PRINTED, "V", _SIMULATED, rule=tried, note=more))
    return Instance(
        f"de_moor/m{shelf_life}-L{lead_time}-cw{waste_cost:g}-{issuing}", "de_moor",
        f"perishables, shelf life {shelf_life}, L = {lead_time}, waste cost {waste_cost:g}, {issuing}", "order_first",
        SOURCE, make, tuple(known),
    )  # fmt: skip


def _rule(level: float) -> Callable[[], tuple[Any, Any]]:
    return lambda: (BaseStock(), {"level": jnp.full((1, 1), level, jnp.float32)})


INSTANCES: tuple[Instance, ...] = tuple(
    de_moor(m, t, w, i) for m in SHELF_LIVES for t in LEAD_TIMES for w in WASTE_COSTS for i in ISSUING
)
