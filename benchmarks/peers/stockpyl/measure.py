"""stockpyl's simulation and its serial optimiser beside ours. Run in stockpyl's own environment by benchmarks.run."""

from __future__ import annotations

import statistics

from stockpyl.instances import load_instance
from stockpyl.sim import simulation
from stockpyl.ssm_serial import optimize_base_stock_levels

from benchmarks.peers.turns import ours, quick, row, seconds, spread, tell

#: The optimal cost of Example 6.1 as Snyder and Shen (2019) print it.
OPTIMUM = 47.660


def simulate(rounds: int, periods: int) -> dict:
    """Node-steps a second on Example 6.1, three stages, normal demand, base-stock levels in place."""
    network = load_instance("example_6_1")
    for node, level in zip(network.nodes, (6.49, 5.53, 10.69), strict=False):
        node.inventory_policy.type, node.inventory_policy.base_stock_level = "BS", level
        node.inventory_policy.node = node
    theirs, mine = [], []
    for k in range(rounds):
        took = seconds(lambda k=k: simulation(network, periods, rand_seed=k, progress_bar=False))
        theirs.append(3 * periods / took)
        mine.append(ours("simulate_example_6_1")["node_steps_per_second"])
    ratio = spread([a / b for a, b in zip(mine, theirs, strict=True)])
    return row(
        "simulate Example 6.1, against stockpyl", ">= 20,000 x",
        f"{ratio['median']:,.0f} x ({ratio['low']:,.0f} to {ratio['high']:,.0f}); "
        f"{statistics.median(theirs):,.0f} node-steps/s there",
        ratio["median"] >= 20_000, ratio=ratio, theirs=theirs, ours=mine,
    )  # fmt: skip


def solve(rounds: int) -> dict:
    """Optimal levels of Example 6.1, each with its own defaults; ours must be within 1e-4 of the optimum."""
    theirs, mine, cost = [], [], 0.0
    for _ in range(rounds):
        network = load_instance("example_6_1")
        found = []
        theirs.append(
            seconds(lambda found=found, network=network: found.append(optimize_base_stock_levels(network=network)))
        )
        cost = float(found[0][1])
        mine.append(ours("solve_example_6_1"))
    ratio = spread([a / b["seconds"] for a, b in zip(theirs, mine, strict=True)])
    return row(
        "Clark-Scarf, Example 6.1, against stockpyl", ">= 50 x",
        f"{ratio['median']:,.0f} x ({ratio['low']:,.0f} to {ratio['high']:,.0f}); cost {mine[0]['cost']:.5f} in "
        f"{1e3 * statistics.median(b['seconds'] for b in mine):.1f} ms, "
        f"stockpyl {cost:.5f} in {statistics.median(theirs):.1f} s",
        ratio["median"] >= 50 and abs(mine[0]["cost"] / OPTIMUM - 1) <= 1e-4, ratio=ratio, theirs=theirs, ours=mine,
    )  # fmt: skip


def main() -> None:
    rounds = 1 if quick() else 5
    tell([simulate(rounds, 200 if quick() else 1_000), solve(min(rounds, 3))])


if __name__ == "__main__":
    main()
