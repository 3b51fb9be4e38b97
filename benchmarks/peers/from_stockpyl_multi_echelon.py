"""What stockpyl's solvers of serial systems say. Run by stockpyl's own environment, as make_goldens.py sets it up:

    python benchmarks/peers/make_goldens.py stockpyl && /tmp/meio_peers/stockpyl/bin/python THIS FILE

Its newsvendor heuristic is exact arithmetic (weight 1 is the lower bound, 0 the upper). Its expected cost is on a grid
of the default size, with tails cut off at 3e-5: off by about a tenth of a percent.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from common import number, series, write
from stockpyl.demand_source import DemandSource
from stockpyl.instances import load_instance
from stockpyl.ssm_serial import expected_cost, newsvendor_heuristic, optimize_base_stock_levels

warnings.filterwarnings("ignore")

#: Customer stage first, as stockpyl counts: echelon rates, lead times, backorder rate, mean and sd (None: Poisson).
SYSTEMS = {
    "example_6_1": ((3, 2, 2), (1, 1, 2), 37.12, 5, 1),
    "example_6_1_poisson": ((3, 2, 2), (1, 1, 2), 37.12, 5, None),
    "problem_6_1": ((1, 1), (1, 1), 15, 100, 15),
    "problem_6_16": ((5, 2), (8, 3), 24, 20, 4),
    "shang_song_row_1": ((0.25,) * 4, (0.25,) * 4, 9, 16, None),
    "shang_song_row_17": ((0.25,) * 4, (0.25,) * 4, 99, 16, None),
    "five_stages": ((1, 0.5, 2, 0.25, 1), (1, 2, 1, 3, 2), 40, 12, 3),
    "five_stages_poisson": ((1, 0.5, 2, 0.25, 1), (1, 2, 1, 3, 2), 40, 12, None),
}


def heuristics():
    rows = {}
    for name, (rates, lead_times, penalty, mean, sd) in SYSTEMS.items():
        source = (
            DemandSource(type="P", mean=mean)
            if sd is None
            else DemandSource(type="N", mean=mean, standard_deviation=sd)
        )
        n = len(rates)
        common = {
            "num_nodes": n,
            "node_order_in_lists": list(range(1, n + 1)),
            "echelon_holding_cost": list(rates),
            "lead_time": list(lead_times),
            "stockout_cost": penalty,
            "demand_source": source,
        }
        levels = {}
        for weight in (0.0, 0.5, 1.0):
            found = newsvendor_heuristic(**common, weight=weight)
            levels[str(weight)] = series([found[j] for j in range(1, n + 1)])
        row = {
            "echelon_holding_cost": series(rates),
            "lead_time": series(lead_times),
            "stockout_cost": penalty,
            "mean": mean,
            "sd": sd,
            "levels": levels,
        }
        if sd is None:
            for rounding in ("up", "down", "nearest"):
                found = newsvendor_heuristic(**common, round_type=rounding)
                levels[rounding] = series([found[j] for j in range(1, n + 1)])
        rows[name] = row
    return rows


def costs():
    """The expected cost of stockpyl's own best levels and of levels beside them."""
    out = []
    network = load_instance("example_6_1")
    start = time.perf_counter()
    levels, cost = optimize_base_stock_levels(network=network, S=None, plots=False, x_num=1000, d_num=100)
    seconds = time.perf_counter() - start
    print(f"optimize_base_stock_levels on Example 6.1: {cost:.4f} in {seconds:.2f} s")
    for shift in (0.0, -0.4, 0.7):
        moved = {j: float(np.round(s + shift, 3)) for j, s in levels.items()}
        cost = expected_cost(moved, network=load_instance("example_6_1"))
        out.append({"levels": series([moved[j] for j in sorted(moved)]), "cost": number(cost)})
    return out


if __name__ == "__main__":
    write(
        "stockpyl",
        "multi_echelon_stockpyl",
        {"what": "serial systems, customer stage first", "heuristic": heuristics(), "example_6_1": costs()},
    )
