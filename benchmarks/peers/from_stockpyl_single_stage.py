"""What stockpyl's single-stage functions return. Run by make_goldens.py in stockpyl's own environment.

Each case is a function of this package, its arguments, and stockpyl's numbers for it under the names that are compared.
"""

from __future__ import annotations

import warnings

import numpy as np
from common import number, series, write
from stockpyl.demand_source import DemandSource
from stockpyl.eoq import (
    economic_order_quantity,
    economic_order_quantity_with_all_units_discounts,
    economic_order_quantity_with_backorders,
    economic_order_quantity_with_incremental_discounts,
    economic_production_quantity,
)
from stockpyl.finite_horizon import finite_horizon_dp
from stockpyl.newsvendor import (
    newsvendor_discrete,
    newsvendor_normal,
    newsvendor_normal_explicit,
    newsvendor_poisson,
    newsvendor_poisson_explicit,
)
from stockpyl.rq import (
    r_q_cost,
    r_q_cost_poisson,
    r_q_eil_approximation,
    r_q_eoqb_approximation,
    r_q_eoqss_approximation,
    r_q_loss_function_approximation,
    r_q_optimal_r_for_q,
    r_q_poisson_exact,
)
from stockpyl.ss import s_s_cost_discrete, s_s_discrete_exact, s_s_power_approximation
from stockpyl.wagner_whitin import wagner_whitin

warnings.filterwarnings("ignore")

PMF = {1: 0.25, 2: 0.05, 3: 0.1, 4: 0.2, 5: 0.15, 6: 0.1, 7: 0.1, 8: 0.05}
RQ_NORMAL = ((0.225, 7.5, 8, 1300, 150, 1 / 12), (3.1, 45, 50, 800, 40, 4 / 365), (3 / 14, 40, 85, 192, 17.4, 3))
RQ_POISSON = ((20, 150, 100, 1.5, 2), (4, 28, 4, 12, 0.5), (1, 9, 40, 6, 1.25))
SS_POISSON = ((1, 4, 5, 6), (40, 125, 150, 4), (1, 9, 64, 10), (0.5, 20, 0.2, 3))


def case(what, given, found):
    """One record: numbers as they are, nothing rounded to fit."""
    return {"what": what, "given": given, "found": found}


def newsvendors():
    for h, b, mean, sd in ((0.18, 0.70, 50, 8), (43, 79, 900, 60)):
        level, cost = newsvendor_normal(h, b, mean, sd)
        yield case("normal", [h, b, mean, sd], {"level": number(level), "cost": number(cost)})
    for h, b, mean in ((0.18, 0.70, 50), (200, 270, 18)):
        level, cost = newsvendor_poisson(h, b, mean)
        yield case("poisson", [h, b, mean], {"level": number(level), "cost": number(cost)})
    level, cost = newsvendor_discrete(500_000, 1_000_000, demand_pmf=PMF)
    yield case("pmf", [500_000, 1_000_000, [PMF.get(k, 0) for k in range(9)]], {"level": level, "cost": number(cost)})
    level, cost = newsvendor_normal(0.18, 0.70, 50, 8, lead_time=4)
    yield case("base_stock", [0.18, 0.70, 50, 8, 4], {"level": number(level), "cost": number(cost)})
    for price, unit, salvage, mean, sd in ((1, 0.3, 0.12, 50, 8), (7, 2.5, 1.5, 50, 10)):
        level, profit = newsvendor_normal_explicit(price, unit, salvage, mean, sd)
        yield case("profit_normal", [price, unit, salvage, mean, sd], {"level": number(level), "cost": -number(profit)})
    level, profit = newsvendor_poisson_explicit(1, 0.3, 0.12, 50)
    yield case("profit_poisson", [1, 0.3, 0.12, 50], {"level": number(level), "cost": -number(profit)})


def lots():
    for K, h, d in ((8, 0.225, 1300), (2250, 275, 182_500)):
        lot, cost = economic_order_quantity(K, h, d)
        yield case("eoq", [K, h, d], {"lot": number(lot), "cost": number(cost)})
    _, cost = economic_order_quantity(8, 0.225, 1300, order_quantity=500)
    yield case("eoq_cost", [500, 8, 0.225, 1300], {"cost": number(cost)})
    for K, h, b, d in ((8, 0.225, 5, 1300), (40, 40.05, 60, 2080)):
        lot, share, cost = economic_order_quantity_with_backorders(K, h, b, d)
        yield case("eoqb", [K, h, b, d], {"lot": number(lot), "share": number(share), "cost": number(cost)})
    lot, cost = economic_production_quantity(4, 0.08, 80, 110)
    yield case("epq", [4, 0.08, 80, 110], {"lot": number(lot), "cost": number(cost)})
    for K, i, d, at, price in (
        (8, 0.3, 1300, [0, 400, 800], [0.75, 0.72, 0.68]),
        (2250, 0.25, 182_500, [0, 1200, 2400], [1490, 1220, 1100]),
        (200, 0.2, 1000, [0, 200, 500], [500, 475, 450]),
    ):
        lot, bracket, cost = economic_order_quantity_with_all_units_discounts(K, i, d, at, price)
        yield case("all_units", [K, i, d, at, price], {"lot": number(lot), "bracket": bracket, "cost": number(cost)})
        lot, bracket, cost = economic_order_quantity_with_incremental_discounts(K, i, d, at, price)
        yield case("incremental", [K, i, d, at, price], {"lot": number(lot), "bracket": bracket, "cost": number(cost)})


def plans():
    for h, K, d, c in (
        (2, 500, [90, 120, 80, 70], 0),
        (0.8, 120, [150, 100, 80, 200], 0),
        (0.1, 100, [730, 580, 445, 650, 880], 0),
        # One holding rate: stockpyl charges every period of a wait at the rate of the period in which it was ordered.
        (2, [300, 90, 500, 120, 800, 60], [90, 0, 80, 70, 10, 55], [4, 6, 3, 5, 2, 7]),
    ):
        q, cost, *_ = wagner_whitin(len(d), h, K, d, c)
        found = {"orders": series(q[1:]), "cost": number(cost)}
        yield case("wagner_whitin", [d, K, h, c], found)


def continuous_review():
    for h, b, K, mean, sd, L in RQ_NORMAL:
        given = [h, b, K, mean, sd, number(L)]
        lot = 1.2 * economic_order_quantity(K, h, mean)[0]
        reorder = r_q_optimal_r_for_q(lot, h, b, mean, sd, L)
        cost = r_q_cost(reorder, lot, h, b, K, mean, sd, L)
        yield case("r_for_Q", [*given, number(lot)], {"reorder": number(reorder), "cost": number(cost)})
        for kind, solve in (
            ("eoqb", r_q_eoqb_approximation), ("eoq_ss", r_q_eoqss_approximation), ("eil", r_q_eil_approximation),
            ("loss", r_q_loss_function_approximation),
        ):  # fmt: skip
            reorder, lot, *model = solve(h, b, K, mean, sd, L)
            found = {"reorder": number(reorder), "lot": number(lot)}
            found["cost"] = number(r_q_cost(reorder, lot, h, b, K, mean, sd, L))
            if model:
                found["model_cost"] = number(model[0])
            yield case(kind, given, found)
    for h, b, K, mean, L in RQ_POISSON:
        reorder, lot, cost = r_q_poisson_exact(h, b, K, mean, L)
        found = {"reorder": number(reorder), "lot": number(lot), "cost": number(cost)}
        yield case("poisson", [h, b, K, mean, L], found)
        cost = r_q_cost_poisson(reorder - 1, lot + 2, h, b, K, mean, L)
        yield case("poisson_cost", [number(reorder - 1), number(lot + 2), h, b, K, mean, L], {"cost": number(cost)})


def reorder_levels():
    for h, b, K, mean in SS_POISSON:
        s, S, cost = s_s_discrete_exact(h, b, K, True, mean)
        yield case("poisson", [h, b, K, mean], {"reorder": number(s), "up_to": number(S), "cost": number(cost)})
        cost = s_s_cost_discrete(s - 2, S + 1, h, b, K, True, mean)
        yield case("poisson_cost", [number(s - 2), number(S + 1), h, b, K, mean], {"cost": number(cost)})
    p = [PMF.get(k, 0) for k in range(9)]
    # The table of demand must reach as far as S - s does, else stockpyl reads past its end.
    s, S, cost = s_s_discrete_exact(1, 6, 12, False, demand_hi=60, demand_pmf=p + [0] * 52)
    yield case("pmf", [1, 6, 12, p], {"reorder": number(s), "up_to": number(S), "cost": number(cost)})
    for h, b, K, mean, sd in ((0.18, 0.70, 2.5, 50, 8), (2, 36, 60, 190, 48)):
        s, S = s_s_power_approximation(h, b, K, mean, sd)
        yield case("power", [h, b, K, mean, sd], {"reorder": number(s), "up_to": number(S)})


def horizons():
    p = [PMF.get(k, 0) for k in range(9)]
    demand = DemandSource(type="CD", demand_list=list(range(9)), probabilities=p)
    for T, h, b, end_h, end_b, c, K, discount, x in (
        (6, 1, 10, 1, 10, 2, 0, 0.98, 0),
        (6, 1, 10, 0.5, 12, 2, 20, 0.98, 3),
        (4, 0.5, 4, 0, 0, 0, 6, 1.0, 0),
    ):
        s, S, cost, *_ = finite_horizon_dp(
            T, h, b, end_h, end_b, c, K, demand_source=demand, discount_factor=discount, initial_inventory_level=x,
            x_range=np.arange(-60, 80),
        )  # fmt: skip
        found = {"reorder": series(s[1:]), "up_to": series(S[1:]), "cost": number(cost)}
        yield case("pmf", [T, h, b, end_h, end_b, c, K, discount, x, p], found)


for name, cases in (
    ("newsvendor", newsvendors), ("lots", lots), ("continuous_review", continuous_review),
    ("reorder_levels", reorder_levels), ("finite_horizon", horizons), ("wagner_whitin", plans),
):  # fmt: skip
    write("stockpyl", f"single_stage_{name}", {"cases": list(cases())})
