"""Every figure of docs/how_far_from_optimal.md, and every number that the page states beside it.

``make optimal`` or ``python -m experiments.optimal_figures``; ``--only chain service`` makes some of them. Pictures
go to docs/images/optimal_*.png. What `make golden` and ``python -m experiments.planners`` print is not repeated here,
but for one scenario of the planners.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from experiments import planners
from experiments.compile_cache import keep_compiled
from experiments.optimal_tables import one_warehouse, tables
from meio_jax.evaluate import t_interval
from meio_jax.instances import Instance, find, gym_invmgmt, instances
from meio_jax.instances.guaranteed_service import as_problem
from meio_jax.network import Network
from meio_jax.observation import observe
from meio_jax.plot import comparison, cost_curves, draw_network, orders_by_state, plot_service_times, stock_over_time
from meio_jax.plot.style import BLUE, GREEN, INK, PAPER, QUIET, RED, SHADES, finish
from meio_jax.policies import BaseStock
from meio_jax.rollout import rollout
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state
from meio_jax.solvers import (
    Poisson,
    base_stock,
    base_stock_cost,
    clark_scarf,
    federgruen_zipkin,
    metric,
    policy_cost,
    r_nQ,
    rosling,
    s_S,
    s_S_cost,
    search,
    serial_system,
    shang_song,
    value_iteration,
)
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.methods import solve
from meio_jax.solvers.played import played
from meio_jax.solvers.rosling import serial_equivalent
from meio_jax.solvers.shang_song import newsvendor_levels
from meio_jax.solvers.single_stage import Stage

#: Replications of everything that is played, but the retailers.
LANES = 256
IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"


def gap(cost: float, least: float) -> str:
    return f"{100 * (cost - least) / abs(least):+.2f} %"


def one_shelf() -> Figure:
    """Base-stock cost against the level, for three lead times: Poisson(5), h = 1, b = 9."""
    levels = np.arange(4, 27)
    curves = {}
    for lead in (0, 1, 2):
        costs = np.asarray([base_stock_cost(float(s), Poisson(5.0), lead, 1.0, 9.0) for s in levels])
        best = base_stock(Poisson(5.0), lead, 1.0, 9.0)
        print(f"L = {lead}: optimal level {best.echelon_levels[0]:.0f}, cost {best.cost:.4f}")
        if lead == 2:
            low, high = (base_stock_cost(best.echelon_levels[0] + d, Poisson(5.0), lead, 1.0, 9.0) for d in (-4, 4))
            print(f"L = 2, four units below the optimum {low:.4f}, four above {high:.4f}")
        curves[f"L = {lead}"] = np.where(costs < 25, costs, np.nan)
    figure = cost_curves(levels, curves)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def chain() -> Figure:
    """How flat the optimum of a chain is: one echelon level moves, the others stay (Clark and Scarf)."""
    problem = find("serial/example_6_1").problem
    best = clark_scarf(problem.network, problem.laws[0])
    cost = played(problem, best.policy, best.theta, jax.random.key(0), lanes=LANES)  # type: ignore[arg-type]
    print(f"optimum proven between {best.lower_bound:.5f} and {best.upper_bound:.5f}; published 47.66")
    print(
        f"of it {best.constant_cost:g} in transit; simulated {cost.mean:.3f}, 95 % in [{cost.low:.3f}, {cost.high:.3f}]"
    )
    print("echelon levels", *(f"{x:.3f}" for x in best.echelon_levels))
    shift = np.linspace(-3, 3, 49)
    moved = {}
    for n, name in enumerate(problem.network.wiring.nodes):
        step = np.eye(len(best.echelon_levels))[n]
        costs = np.asarray(
            [
                clark_scarf(problem.network, problem.laws[0], levels=list(best.echelon_levels + d * step)).cost
                for d in shift
            ]
        )
        one = [float(costs[np.argmin(abs(shift - d))]) for d in (-1, 1)]
        print(f"{name}: one unit less {gap(one[0], best.cost)}, one more {gap(one[1], best.cost)}")
        moved[name] = np.where(costs < 57, costs, np.nan)
    return cost_curves(shift, moved, x_label="echelon level, units away from the optimal one")


def bounds() -> Figure:
    """Newsvendor bounds of Shang and Song around the optimal echelon levels, four stages and three penalties."""
    names = [i.id for i in instances("shang_song")]
    figure = Figure(figsize=(7.6, 2.9), facecolor=PAPER, layout="constrained")
    for k, name in enumerate(names):
        problem = find(name).problem
        exact, rule = (f(problem.network, problem.laws[0]) for f in (clark_scarf, shang_song))
        low, high = newsvendor_levels(serial_system(problem.network), problem.laws[0])
        backlog = float(problem.network.backlog_cost[-1, 0])
        print(f"{name}: optimum {exact.cost:.4f}, Shang-Song {rule.cost:.4f} ({gap(rule.cost, exact.cost)})")
        ax = figure.add_subplot(1, len(names), k + 1)
        rows = np.arange(len(low))[::-1]
        ax.hlines(rows, low, high, color=BLUE, linewidth=7, alpha=0.3, label="newsvendor bounds")
        ax.plot(rule.echelon_levels, rows, "|", color=INK, markersize=11, markeredgewidth=1.6, label="Shang-Song")
        ax.plot(exact.echelon_levels, rows, "o", color=GREEN, markersize=5, label="optimal")
        finish(ax, None, "echelon level")
        ax.set_title(f"{name.partition('/')[2]}\nb = {backlog:g}, {gap(rule.cost, exact.cost)}", fontsize=9, color=INK)
        ax.set_yticks(rows, [f"stage {len(low) - i}" for i in range(len(low))] if k == 0 else [])
        ax.set_ylim(-0.6, len(low) - 0.4)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    return figure


def assembly() -> Figure:
    """Rosling's tree of seven parts with its optimal echelon levels, and the chain that it is equal to."""
    problem = find("stockpyl/rosling_figure_1").problem
    best = rosling(problem.network, problem.laws[0])
    same = serial_equivalent(problem.network)
    cost = played(problem, best.policy, best.theta, jax.random.key(0), lanes=LANES)  # type: ignore[arg-type]
    print(f"optimum {best.cost:.4f}; simulated {cost.mean:.2f}, 95 % in [{cost.low:.2f}, {cost.high:.2f}]")
    w = problem.network.wiring
    print("equivalent chain, periods covered, longest first:", *(f"{x:g}" for x in same.covered))
    stages: list[list[str]] = [[] for _ in same.covered]
    for e, stage in enumerate(same.stage_of_arc):
        stages[stage].append(w.nodes[w.dst[e]])
    print("its stages:", " -> ".join("+".join(names) for names in stages))
    levels = dict(zip(w.nodes, best.echelon_levels, strict=True))
    return draw_network(problem.network, values=levels, value_label="echelon level")


def lost_sales() -> Figure:
    """What to order where unmet demand is lost: the optimal order and three rules (Zipkin 2008), L = 2, p = 4."""
    instance = find("zipkin/poisson-L2-p4")
    best, rules = ranked(instance)
    shown = {"optimal": (best.policy, best.theta)}
    shown |= {name: rules[name] for name in ("best base-stock", "best capped base-stock", "myopic")}
    network, figure = instance.problem.network, Figure(figsize=(7.6, 5.8), facecolor=PAPER, layout="constrained")
    tables = {name: orders_by_state(network, *rule, range(14), range(9)) for name, rule in shown.items()}
    most = max(float(table.max()) for table in tables.values())
    for k, (name, table) in enumerate(tables.items()):
        ax = figure.add_subplot(2, 2, k + 1)
        order_table(ax, table, tables["optimal"], most)
        finish_table(ax, name, "on hand" if k > 1 else "", "" if k % 2 else "due in the next period")
    return figure


def order_table(ax: Axes, table: np.ndarray, other: np.ndarray, most: float) -> None:
    """Orders as numbers on shades; what differs from the ``other`` is framed."""
    ax.imshow(table, origin="lower", cmap=SHADES, vmin=0, vmax=most)
    for (i, j), order in np.ndenumerate(table):
        ax.text(j, i, f"{order:g}", ha="center", va="center", fontsize=7.5, color=INK if order else QUIET)
        if order != other[i, j]:
            ax.add_patch(Rectangle((j - 0.44, i - 0.44), 0.88, 0.88, fill=False, edgecolor=RED, linewidth=0.8))


def finish_table(ax: Axes, title: str, x_label: str, y_label: str) -> None:
    finish(ax, title, x_label, y_label)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)


def ranked(instance: Instance) -> tuple[Any, dict[str, Any]]:
    """The optimum and the rules of an instance, printed with their exact gaps."""
    best = value_iteration(instance.problem)
    print(f"{'optimum':28}{best.cost:11.5f}   proven within {best.upper_bound - best.lower_bound:.1g}")
    rules = {known.what: known.rule() for known in instance.known if known.rule is not None}
    for name, (policy, theta) in rules.items():
        cost = policy_cost(instance.problem, policy, theta).cost
        print(f"{name:28}{cost:11.5f}   {100 * (cost / best.cost - 1):+.3f} %")
    return best, rules


def two_sources() -> Figure:
    """Dual sourcing: the classical rules from the best down, for two premiums of the fast source."""
    figure = Figure(figsize=(7.2, 4.6), facecolor=PAPER, layout="constrained")
    for k, name in enumerate(("dual_sourcing/l2-ce105", "dual_sourcing/l2-ce110")):
        instance = find(name)
        print(name)
        best, rules = ranked(instance)
        rows = [(what, policy_cost(instance.problem, *rule).cost) for what, rule in rules.items()]
        index = rows[0][1]
        print("above the capped dual index:", *(f"{100 * (cost / index - 1):.3f} %" for _, cost in rows))
        comparison(rows, figure.add_subplot(2, 1, k + 1), optimum=best.cost, x_label="cost per period" if k else "")
        figure.axes[k].set_title(instance.title, fontsize=9.5, loc="left", color=INK)
    return figure


def perishables() -> Figure:
    """The optimal order where stock keeps for two days: oldest first and youngest first ask for different orders."""
    figure = Figure(figsize=(7.2, 3.9), facecolor=PAPER, layout="constrained")
    found = {}
    for k, issuing in enumerate(("fifo", "lifo")):
        for life in (2, 3):
            problem = find(f"de_moor/m{life}-L1-cw7-{issuing}").problem
            found[life, issuing] = value_iteration(problem)
            cost = found[life, issuing]
            print(f"shelf life {life}, {issuing}: optimum {cost.cost:.2f}, a sum over 365 days")
        problem, best = find(f"de_moor/m2-L1-cw7-{issuing}").problem, found[2, issuing]
        table = orders_by_age(problem.network, best.policy, best.theta, 9, 11)
        ax = figure.add_subplot(1, 2, k + 1)
        order_table(ax, table, np.broadcast_to(table[0], table.shape), 6.0)
        title = "oldest first" if issuing == "fifo" else "youngest first"
        finish_table(ax, f"{title} ({issuing.upper()})", "fresh units", "" if k else "units on their last day")
    for life in (2, 3):
        print(f"shelf life {life}: youngest first costs {gap(found[life, 'lifo'].cost, found[life, 'fifo'].cost)}")
    return figure


def orders_by_age(network: Network, policy: Any, theta: Any, old: int, fresh: int) -> np.ndarray:
    """``[old, fresh]`` orders with so many units on their last day and one day younger, nothing on its way."""
    late, young = np.mgrid[:old, :fresh].reshape(2, -1).astype(float)
    state = initial_state(network, late.size)
    on_hand = jnp.zeros_like(state.on_hand).at[0, 0].set(late).at[1, 0].set(young)
    state = state.replace(on_hand=on_hand, pipeline=jnp.zeros_like(state.pipeline))
    seen = observe(network, state, Shock(demand=jnp.zeros((1, late.size), on_hand.dtype)))
    decision, _ = policy.apply(network, theta, policy.memory(network, late.size), seen, jax.random.key(0))
    return np.asarray(decision.orders[0], float).reshape(old, fresh)


def fixed_cost() -> Figure:
    """Batches: (s, S) and (r, nQ) against the batch, for Poisson(5), K = 64, h = 1, b = 9, L = 2; and the EOQ curve."""
    stage = Stage(1.0, 9.0, lead_time=2, fixed_cost=64.0)
    law, size = Poisson(5.0), np.arange(5, 71)
    lots = [r_nQ(stage, law, lot=float(q)).cost for q in size]
    best, best_lot = s_S(stage, law), r_nQ(stage, law)
    up = np.arange(5, 90)
    levels = [min(s_S_cost(float(S - q), float(S), stage, law).cost for S in up) for q in size]
    rate = 1.0 * 9.0 / (1.0 + 9.0)
    eoq = [64.0 * 5.0 / q + rate * q / 2 for q in size]
    lot = (2 * 64.0 * 5.0 / rate) ** 0.5
    s, S = best.numbers["reorder"], best.numbers["up_to"]
    print(f"(s, S) = ({s:g}, {S:g}): {best.cost:.4f}, {best.claim}")
    r, q = best_lot.numbers["reorder"], best_lot.numbers["lot"]
    print(f"(r, nQ) = ({r:g}, {q:g}): {best_lot.cost:.4f} ({gap(best_lot.cost, best.cost)})")
    print(f"EOQ with backorders: lot {lot:.2f}, cost {(2 * 64.0 * 5.0 * rate) ** 0.5:.4f}")
    at = r_nQ(stage, law, lot=float(round(lot)))
    print(f"(r, nQ) with the EOQ, {round(lot)}: {at.cost:.4f} ({gap(at.cost, best_lot.cost)} above the best lot)")
    twice = r_nQ(stage, law, lot=2.0 * round(lot))
    print(f"twice that lot: {gap(twice.cost, at.cost)}; in the EOQ formula +25 %")
    curves = {"(r, nQ)": lots, "(s, S)": levels, "EOQ": eoq}
    shown = {k: np.where(np.asarray(v) < 50, v, np.nan) for k, v in curves.items()}
    figure = cost_curves(size, shown, x_label="lot Q, or S - s")
    minima = [text for text in figure.axes[0].texts if " at " in text.get_text()]
    for text, place in zip(minima, ((16, 20), (-6, 36), (0, -13)), strict=True):  # they are too near for one height
        text.set_position(place)
    return figure


def service() -> Figure:
    """Safety stock of a tree of nine sites, placed by guaranteed service; what other placements cost."""
    book = find("guaranteed_service/example_6_5")
    found = solve(book.problem, "guaranteed_service")
    print(f"Example 6.5: {found.cost:.6f}, published {book.known_optimum}")
    problem = nine_sites()
    placed, general = (solve(problem, name) for name in ("guaranteed_service", "guaranteed_service_milp"))
    model = problem.service
    print(
        f"nine sites: {placed.cost:.4f}; by the mixed-integer program [{general.lower_bound:.4f}, {general.cost:.4f}]"
    )
    print(f"sites that hold stock: {sum(x > 0 for x in placed.numbers['safety_stock'])} of {len(model.nodes)}")
    everywhere = sum(float(model.stock_cost(j)[model.processing_time[j]]) for j in range(len(model.nodes)))
    print(f"every site promises 0 and keeps its own stock: {everywhere:.4f} ({gap(everywhere, placed.cost)})")
    return plot_service_times(problem.network, placed)


def nine_sites() -> Any:
    """A made-up electronics chain of nine sites: two parts, two makers, one assembly, a hub and three shops."""
    shops = ("east", "south", "west")
    return as_problem(
        ServiceModel(
            nodes=("wafer", "chip", "board", "case", "assembly", "hub", *shops),
            arcs=(
                ("wafer", "chip"),
                ("chip", "board"),
                ("board", "assembly"),
                ("case", "assembly"),
                ("assembly", "hub"),
                *(("hub", shop) for shop in shops),
            ),
            processing_time=(8, 4, 2, 3, 1, 2, 1, 1, 3),
            holding_cost=(1, 3, 6, 2, 10, 11, 12, 12, 12),
            demand_sd={"east": 8.0, "south": 6.0, "west": 10.0},
            bound_factor=1.645,
            demand_mean={"east": 40.0, "south": 25.0, "west": 50.0},
            outbound={"east": 0, "south": 0, "west": 1},
        )
    )


def retailers() -> Figure:
    """One warehouse, three retailers: rules above the Federgruen-Zipkin bound, played by the simulator."""
    problem = one_warehouse()
    network, laws, key = problem.network, problem.laws, jax.random.key(0)
    bound = federgruen_zipkin(network, laws)
    print(f"Federgruen-Zipkin bound {bound.cost:.4f}")
    rows: list[tuple[Any, ...]] = [("lower bound", bound.cost)]
    for name, approach in (("METRIC", "metric"), ("two-moment", "two_moment"), ("one-for-one", "exact")):
        found = metric(network, laws, approach=approach)
        cost = played(problem, found.policy, found.theta, key)  # type: ignore[arg-type]
        levels = " ".join(f"{x:g}" for x in found.local_levels)
        print(f"{name}: levels {levels}, its own cost {found.cost:.4f}, plays at {cost.mean:.4f}")
        rows.append((f"{name} levels", cost.mean, cost.low, cost.high))
    tuned = search(network, BaseStock(), problem.processes, key, periods=220, warmup=20, lanes=64, budget=600)
    cost = played(problem, BaseStock(), tuned.theta, jax.random.key(1))
    levels = " ".join(f"{x:g}" for x in np.asarray(tuned.theta["level"])[:, 0])
    print(f"best base-stock: levels {levels}, plays at {cost.mean:.4f}, 95 % in [{cost.low:.4f}, {cost.high:.4f}]")
    print(f"certified: at most {100 * (cost.high / bound.cost - 1):.1f} % above the optimum")
    return comparison([*rows, ("best base-stock", cost.mean, cost.low, cost.high)])


def plans() -> Figure:
    """gym-invmgmt's serial network with lost sales: planners and rules below the hindsight bound, on its ten seeds."""
    scenario = "serial-lost"
    found = planners.profits(scenario, gym_invmgmt.ten_seeds(), 1000)
    best = found["hindsight"][0].mean()
    rows = []
    for name, (profit, _) in found.items():
        low, high = t_interval(profit, 0.95)
        assert low is not None and high is not None
        short = 100 * (1 - profit.mean() / best)
        print(f"{name}: profit {profit.mean():.1f} +- {(high - low) / 2:.1f}, {short:.1f} % below hindsight")
        rows.append((name, -profit.mean()))
    published = {k: v for k, v in gym_invmgmt.published(scenario).items() if k in ("PPO (MLP)", "residual RL")}
    for name, profit in published.items():
        print(f"{name}, published: {profit:.1f}, {100 * (1 - profit / best):.1f} % below hindsight")
        rows.append((f"{name}, published", -profit))
    return comparison(rows, x_label="cost of 30 periods (a profit is negative)")


def beer_game() -> Figure:
    """Sterman's board under his best rule: what every stage holds and owes."""
    instance = find("beer_game/classic")
    for known in instance.known:
        assert known.rule is not None
        total = played(instance.problem, *known.rule(), jax.random.key(0), lanes=1)
        print(f"{known.what}: {total.mean:g}, known {known.cost:g}")
    policy, theta = instance.known[0].rule()  # type: ignore[misc]
    kept = rollout(
        instance.problem.network, policy, theta, instance.problem.processes, jax.random.key(0),
        periods=36, lanes=1, keep_trajectory=True,
    )  # fmt: skip
    for name in ("uniform", "normal"):
        game = find(f"beer_game/{name}")
        optimum, local = game.known_optimum, next(k.cost for k in game.known if "local" in k.what)
        print(f"beer_game/{name}: sees all {optimum:.4f}, sees its own stage only {local:.4f} ({gap(local, optimum)})")
    return stock_over_time(instance.problem.network, kept.trajectory)


FIGURES: dict[str, Callable[[], Figure]] = {
    f.__name__: f
    for f in (
        one_shelf, chain, bounds, assembly, lost_sales, two_sources, perishables, fixed_cost, service, retailers,
        plans, beer_game,
    )
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*FIGURES, "tables"], metavar="F", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--out", type=Path, default=IMAGES, metavar="FOLDER", help="where pictures go")
    args = parser.parse_args()
    keep_compiled()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only or [*FIGURES, "tables"]:
        begin = time.perf_counter()
        if name == "tables":
            print("\n# tables")
            tables()
            continue
        print(f"\n# {name}: {(FIGURES[name].__doc__ or '').splitlines()[0]}", flush=True)
        FIGURES[name]().savefig(args.out / f"optimal_{name}.png", dpi=120)
        print(f"({time.perf_counter() - begin:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
