"""Known optima beside ours, exact and simulated: ``make golden`` or ``python -m experiments.golden``.

For serial systems (Clark and Scarf 1960) our cost is the exact solver's, and "simulated" is its policy as the
simulator plays it. For lost sales (Zipkin 2008) the published value is that of the best base-stock and of the best
capped base-stock rule, and ours is those rules simulated. Intervals are 95 %.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.compile_cache import keep_compiled
from meio_jax import Arc, Network, Node, Processes, build_network, total_cost
from meio_jax.evaluate import t_interval
from meio_jax.policies import BaseStock, CappedBaseStock
from meio_jax.processes import normal, poisson
from meio_jax.rollout import rollout
from meio_jax.solvers import Normal, Poisson, clark_scarf
from meio_jax.topologies import local_holding_cost, serial

LANES, PERIODS, WARMUP = 2_048, 1_100, 100


class Golden(NamedTuple):
    """A published value, ours if a solver gives it, and what to simulate."""

    name: str
    published: float
    source: str
    exact: float | None
    network: Network
    policy: Any
    theta: dict[str, Any]
    world: Processes


def serial_cases() -> list[Golden]:
    """Rates and lead times upstream first; in transit units are charged at the rate of where they came from."""
    rates = local_holding_cost
    cases = [
        ("Example 6.1", 47.660, "Snyder and Shen 2019", rates([2, 2, 3]), (2, 1, 1), 37.12, (5, 1), "demand_first"),
        ("Example 6.1, Poisson", 72.0467, "computed", rates([2, 2, 3]), (2, 1, 1), 37.12, (5,), "demand_first"),
        ("Example 6.1, order first", 51.186, "computed", rates([2, 2, 3]), (2, 1, 1), 37.12, (5, 1), "order_first"),
        ("Problem 6.1", 166.2506, "computed", rates([1, 1]), (1, 1), 15.0, (100, 15), "demand_first"),
        ("Problem 6.16", 438.1845, "computed", rates([2, 5]), (3, 8), 24.0, (20, 4), "demand_first"),
        ("case 1", 22.21, "Pirhooshyaran and Snyder 2021", [5, 8.2], (1, 1), 25.5, (3, 0.5), "demand_first"),
        ("case 2", 23.07, "Pirhooshyaran and Snyder 2021", [1.9, 4.1], (2, 1), 11.3, (6, 1.5), "demand_first"),
        ("case 4", 879.88, "Pirhooshyaran and Snyder 2021", [5, 10, 25], (2, 1, 1), 50.0, (50, 3), "demand_first"),
        ("case 5", 10567.199, "computed", [25, 25, 50], (1, 2, 2), 100.0, (100, 5), "demand_first"),
        ("case 6", 3630.733, "computed", [10, 20, 30], (1, 1, 1), 100.0, (100, 10), "demand_first"),
    ]  # fmt: skip
    out = []
    for name, value, source, holding, lead, backlog, law, timing in cases:
        network = serial(
            len(lead), lead_time=lead, holding_cost=holding, backlog_cost=backlog, transit_holding_cost="upstream",
            timing=timing,
        )  # fmt: skip
        found = clark_scarf(network, Poisson(*law) if len(law) == 1 else Normal(*law))
        world = Processes(demand=poisson(*law) if len(law) == 1 else normal(*law))
        theta = {"level": list(found.echelon_levels)}
        out.append(Golden(name, value, source, found.cost, network, BaseStock(echelon=True), theta, world))
    return out


def lost_sales_cases() -> list[Golden]:
    table = {  # lead time, penalty: best level and its cost; best capped level, its cap and its cost
        (1, 4): (12, 4.16280, 12, 6, 4.06542),
        (2, 4): (16, 4.63865, 17, 5, 4.40573),
        (4, 4): (25, 5.19777, 26, 5, 4.79785),
        (1, 19): (15, 6.72778, 15, 8, 6.68775),
        (2, 19): (21, 7.84218, 21, 7, 7.72086),
        (4, 19): (31, 9.23194, 31, 6, 8.95438),
    }
    world = Processes(demand=poisson(5.0))
    out = []
    for (lead, penalty), (level, cost, capped, cap, better) in table.items():
        network = build_network(
            [Node("shop", holding_cost=1.0, initial_on_hand=5)],
            [
                Arc("outside", "shop", lead_time=lead, initial_pipeline=5.0),
                Arc("shop", "customer", keep=0.0, lost_cost=float(penalty)),
            ],
            integer=True,
        )
        name = f"lost sales, L={lead}, p={penalty}"
        rules = (
            (BaseStock(), {"level": [level]}, cost),
            (CappedBaseStock(), {"level": [capped], "cap": [cap]}, better),
        )
        for policy, theta, value in rules:
            kind = "capped base-stock" if "cap" in theta else "base-stock"
            out.append(Golden(f"{name}, {kind}", value, "Zipkin 2008", None, network, policy, theta, world))
    return out


def simulate(case: Golden) -> tuple[float, float, float]:
    """Mean cost per period and its interval."""
    theta = {k: jnp.asarray(v, jnp.float32).reshape(-1, 1) for k, v in case.theta.items()}
    played = rollout(
        case.network, case.policy, theta, case.world, jax.random.key(1960),
        periods=PERIODS, lanes=LANES, warmup=WARMUP, measure=total_cost, block=512,
    )  # fmt: skip
    cost = np.asarray(played.totals, np.float64) / (PERIODS - WARMUP)
    low, high = t_interval(cost, 0.95)
    assert low is not None and high is not None
    return float(cost.mean()), low, high


def main() -> int:
    keep_compiled()
    columns = ("published", "ours", "simulated", "low", "high")
    print(f"{'instance':42s}{'source':31s}" + "".join(f"{c:>12s}" for c in columns) + f"{'diff':>10s}")
    for case in [*serial_cases(), *lost_sales_cases()]:
        mean, low, high = simulate(case)
        ours = mean if case.exact is None else case.exact
        exact = "-" if case.exact is None else f"{case.exact:.4f}"
        gap = 100 * (ours / case.published - 1)
        numbers = f"{case.published:12.4f}{exact:>12s}{mean:12.4f}{low:12.4f}{high:12.4f}{gap:+9.3f}%"
        print(f"{case.name:42s}{case.source:31s}{numbers}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
