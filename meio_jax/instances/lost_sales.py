"""Lost sales with a lead time, one location: Zipkin's 32 cases, and one of Bijvank, Bhulai and Huh with a fixed cost.

Event order: the order due arrives, an order is placed, demand comes, what cannot be served is lost; h for each unit
left, p for each lost. An order placed in period t can serve the demand of period t + L. Long-run average cost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import stats

from meio_jax.errors import InputError
from meio_jax.instances.base import Instance, Known
from meio_jax.policies import BaseStock, CappedBaseStock, ReorderLots, ReorderUpTo
from meio_jax.policies.base import Policy
from meio_jax.policies.myopic import Myopic, myopic_table
from meio_jax.policies.vector_base_stock import VectorBaseStock
from meio_jax.processes import Processes, geometric, poisson
from meio_jax.solvers.laws import Law, Poisson, as_law
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.tuned_rules import probabilities
from meio_jax.topologies import multi_source

__all__ = ["INSTANCES", "bijvank", "zipkin"]

ZIPKIN = "Zipkin (2008), Operations Research 56(5), 1256-1263, https://doi.org/10.1287/opre.1070.0471"
XIN = "Xin (2021), Operations Research 69(1), 61-70, https://doi.org/10.1287/opre.2020.2019"
BIJVANK = "Bijvank, Bhulai and Huh (2015), European Journal of Operational Research 241(2), 381-390, Table 1"
MEAN = 5.0
DEMANDS, LEAD_TIMES, PENALTIES = ("poisson", "geometric"), (1, 2, 3, 4), (4, 9, 19, 39)

#: (demand, L, p): optimum; best base-stock level and its cost; best capped base-stock level, cap and cost.
_TABLE: dict[tuple[str, int, float], tuple[float, int, float, int, int, float]] = {
    ("poisson", 1, 4): (4.04071, 12, 4.16280, 12, 6, 4.06542),
    ("poisson", 1, 9): (5.43822, 13, 5.54747, 14, 6, 5.48123),
    ("poisson", 1, 19): (6.67574, 15, 6.72779, 15, 8, 6.68775),
    ("poisson", 1, 39): (7.83595, 16, 7.86265, 16, 9, 7.84248),
    ("poisson", 2, 4): (4.39530, 16, 4.63864, 17, 5, 4.40573),
    ("poisson", 2, 9): (6.09364, 19, 6.31626, 19, 6, 6.11909),
    ("poisson", 2, 19): (7.66442, 21, 7.84217, 21, 7, 7.72086),
    ("poisson", 2, 39): (9.10638, 22, 9.19028, 22, 8, 9.13258),
    ("poisson", 3, 4): (4.59872, 20, 4.97500, 21, 5, 4.63077),
    ("poisson", 3, 9): (6.53137, 23, 6.86403, 24, 6, 6.61644),
    ("poisson", 3, 19): (8.36251, 26, 8.60449, 26, 6, 8.40104),
    ("poisson", 3, 39): (10.03848, 28, 10.21763, 28, 7, 10.08526),
    ("poisson", 4, 4): (4.72853, 25, 5.19777, 26, 5, 4.79785),
    ("poisson", 4, 9): (6.83594, 28, 7.27093, 29, 5, 6.91228),
    ("poisson", 4, 19): (8.88718, 31, 9.23193, 31, 6, 8.95438),
    ("poisson", 4, 39): (10.79441, 33, 11.06229, 34, 6, 10.89261),
    ("geometric", 1, 4): (9.81749, 12, 10.04180, 13, 5, 9.87124),
    ("geometric", 1, 9): (14.50817, 17, 14.72733, 18, 8, 14.58261),
    ("geometric", 1, 19): (19.21790, 22, 19.40260, 22, 13, 19.31241),
    ("geometric", 1, 39): (23.86569, 27, 24.00664, 27, 16, 23.94722),
    ("geometric", 2, 4): (10.24021, 15, 10.70498, 17, 4, 10.32150),
    ("geometric", 2, 9): (15.50289, 22, 15.98817, 23, 6, 15.64102),
    ("geometric", 2, 19): (20.89055, 28, 21.30815, 28, 9, 21.06654),
    ("geometric", 2, 39): (26.21377, 34, 26.55351, 34, 12, 26.38807),
    ("geometric", 3, 4): (10.46671, 18, 11.13373, 21, 4, 10.52366),
    ("geometric", 3, 9): (16.13674, 26, 16.87167, 27, 6, 16.29556),
    ("geometric", 3, 19): (22.06454, 33, 22.72577, 34, 8, 22.29154),
    ("geometric", 3, 39): (27.96354, 40, 28.51088, 40, 10, 28.22002),
    ("geometric", 4, 4): (10.60650, 21, 11.43828, 25, 4, 10.68863),
    ("geometric", 4, 9): (16.57737, 30, 17.54279, 32, 5, 16.72676),
    ("geometric", 4, 19): (22.95300, 38, 23.84948, 39, 7, 23.20842),
    ("geometric", 4, 39): (29.35593, 45, 30.10784, 46, 9, 29.67016),
}  # fmt: skip
#: Printed in Zipkin's Table 3 and computed apart from it as well: p = 4, Poisson, L = 1 .. 4.
_MYOPIC, _MYOPIC_2 = (4.11, 4.56, 4.84, 5.06), (4.04, 4.41, 4.64, 4.82)
#: The levels of Zipkin's equation (5) for Poisson, L = 4, p = 4, and the cost that he printed.
_VECTOR, _VECTOR_COST = (29, 24, 18, 13, 7), 5.83
#: Cases of the table that were known before; the others were computed here by two programs apart.
_CHECKED = {("poisson", 4), ("poisson", 19), ("geometric", 9)}


def _law(demand: str) -> Law:
    if demand not in DEMANDS:
        raise InputError(f"demand {demand!r} must be one of {', '.join(DEMANDS)}")
    return Poisson(MEAN) if demand == "poisson" else as_law(stats.geom(1 / (1 + MEAN), loc=-1))


def _rule(policy: Policy, **numbers: float) -> Callable[[], tuple[Any, Any]]:
    """What plays a rule with one number each, made when it is asked for."""
    return lambda: (policy, {k: jnp.full((1, 1), v, jnp.float32) for k, v in numbers.items()})


def zipkin(demand: str, lead_time: int, penalty: float) -> Instance:
    """A case of Zipkin (2008): demand with mean 5, h = 1.

    Args:
      demand: "poisson", or "geometric" with P(D = d) = (1/6) (5/6)^d.
      lead_time: at least 1. penalty: money for each lost sale. The paper has L = 1 .. 4 and p = 4, 9, 19, 39; for
        others nothing is known.

    Raises:
      InputError: another demand, or a lead time below 1.
    """
    law = _law(demand)
    if lead_time < 1:
        raise InputError(f"lead_time = {lead_time} must be at least 1")

    def make() -> Problem:
        network = multi_source(
            ("supply",), lead_time=[lead_time], holding_cost=1.0, lost_cost=penalty, keep=0.0, initial_pipeline=MEAN,
            timing="order_first", integer=True,
        )  # fmt: skip
        process = poisson(MEAN) if demand == "poisson" else geometric(MEAN)
        return Problem(network, Processes(demand=process), (law,))

    known: list[Known] = []
    row = _TABLE.get((demand, lead_time, penalty))
    if row is not None:
        optimum, level, cost, cap_level, cap, cap_cost = row
        status = "V" if (demand, penalty) in _CHECKED else "OWN"
        source = "Zipkin 2008" if status == "V" else "computed"
        digit = 5e-6
        capped = _rule(CappedBaseStock(), level=cap_level, cap=cap)
        of_capped = "Xin 2021" if status == "V" else source
        known = [
            Known("optimum", optimum, source, status, digit, "value_iteration"),
            Known("best base-stock", cost, source, status, digit, rule=_rule(BaseStock(), level=level)),
            Known("best capped base-stock", cap_cost, of_capped, status, digit, rule=capped),
        ]
    if (demand, penalty) == ("poisson", 4) and lead_time in LEAD_TIMES:
        known += _myopic(make, probabilities(law), lead_time)
    return Instance(
        f"zipkin/{demand}-L{lead_time}-p{penalty:g}", "zipkin",
        f"lost sales, {demand}(5), L = {lead_time}, p = {penalty:g}", "order_first", ZIPKIN, make, tuple(known),
    )  # fmt: skip


def _myopic(make: Callable[[], Problem], p: np.ndarray, lead_time: int) -> list[Known]:
    """What Zipkin printed of the rules that look ahead."""
    network = functools.cache(lambda: make().network)
    found = [
        Known(
            "myopic", _MYOPIC[lead_time - 1], "Zipkin 2008, Table 3", precision=5e-3,
            rule=lambda: (Myopic(), Myopic().numbers(network(), p)),
        ),
        Known(
            "myopic-2", _MYOPIC_2[lead_time - 1], "Zipkin 2008, Table 3", precision=5e-3,
            rule=lambda: myopic_table(network(), p, steps=2),
        ),
    ]  # fmt: skip
    if lead_time == 4:
        level = jnp.asarray(np.asarray(_VECTOR, np.float32)[:, None])
        rule = (VectorBaseStock(), {"level": level})
        found.append(
            Known("standard vector base-stock", _VECTOR_COST, "Zipkin 2008, Table 3", precision=5e-3, rule=lambda: rule)
        )
    return found


def bijvank(lead_time: int = 2, penalty: float = 14.0, fixed_cost: float = 5.0) -> Instance:
    """Lost sales with a fixed cost of ordering (Bijvank, Bhulai and Huh 2015): Poisson(5), h = 1.

    Published for L = 2, p = 14, K = 5, the case of the table; for others nothing is known.

    Raises:
      InputError: a lead time below 1.
    """
    if lead_time < 1:
        raise InputError(f"lead_time = {lead_time} must be at least 1")

    def make() -> Problem:
        network = multi_source(
            ("supply",), lead_time=[lead_time], holding_cost=1.0, lost_cost=penalty, keep=0.0,
            fixed_order_cost=fixed_cost, initial_pipeline=MEAN, timing="order_first", integer=True,
        )  # fmt: skip
        return Problem(network, Processes(demand=poisson(MEAN)), (Poisson(MEAN),))

    known: tuple[Known, ...] = ()
    if (lead_time, penalty, fixed_cost) == (2, 14, 5):  # printed with two digits: 11.46, 11.62, 11.56, 11.50
        source = "Bijvank, Bhulai and Huh 2015"
        known = (
            Known("optimum", 11.46305, source, precision=5e-6, method="value_iteration"),
            Known("best (s, S)", 11.61815, source, precision=5e-6, rule=_rule(ReorderUpTo(), reorder=17, up_to=23)),
            Known("best (s, nQ)", 11.55522, source, precision=5e-6, rule=_rule(ReorderLots(), reorder=17, lot=7)),
            Known(
                "best modified (s, S, q)", 11.49740, source, precision=5e-6,
                rule=_rule(ReorderUpTo(capped=True), reorder=17, up_to=23, cap=7),
            ),
        )  # fmt: skip
    return Instance(
        f"bijvank/L{lead_time}-p{penalty:g}-K{fixed_cost:g}", "bijvank",
        f"lost sales with fixed cost, Poisson(5), L = {lead_time}, p = {penalty:g}, K = {fixed_cost:g}", "order_first",
        BIJVANK, make, known,
    )  # fmt: skip


INSTANCES: tuple[Instance, ...] = (
    *(zipkin(d, t, p) for d in DEMANDS for t in LEAD_TIMES for p in PENALTIES),
    bijvank(),
)
