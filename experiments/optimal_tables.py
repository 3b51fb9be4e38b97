"""The tables of docs/how_far_from_optimal.md: every method, tried on an example, and every family of instances."""

from __future__ import annotations

from collections.abc import Callable

from meio_jax import Processes
from meio_jax.instances import families, find, instances
from meio_jax.processes import poisson
from meio_jax.solvers import Poisson
from meio_jax.solvers.methods import methods, solve
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import distribution, serial


def one_warehouse() -> Problem:
    """One warehouse that feeds three retailers, all demand kept: Poisson(3) at each, h = 0.5 and 1, b = 9."""
    network = distribution(
        3, lead_time=[2, 1], holding_cost=[0.5, 1.0], backlog_cost=9.0, initial_on_hand=[9, 6], integer=True
    )
    return Problem(network, Processes(demand=poisson([3.0] * 3)), (Poisson(3.0),) * 3)


def one_shelf_with_fixed_cost() -> Problem:
    """One shelf where an order costs 64 whatever its size: Poisson(5), h = 1, b = 9, L = 2."""
    network = serial(1, lead_time=2, holding_cost=1.0, backlog_cost=9.0, fixed_order_cost=64.0, integer=True)
    return Problem(network, Processes(demand=poisson(5.0)), (Poisson(5.0),))


#: What each method is shown on: an instance, or a problem of this file where no instance of the literature fits.
EXAMPLES: dict[str, str | Callable[[], Problem]] = {
    "base_stock": "stockpyl/example_4_1",
    "clark_scarf": "serial/example_6_1",
    "guaranteed_service": "guaranteed_service/example_6_5",
    "guaranteed_service_milp": "guaranteed_service/example_6_5",
    "rosling": "stockpyl/rosling_figure_1",
    "s_S": one_shelf_with_fixed_cost,
    "r_nQ": one_shelf_with_fixed_cost,
    "shang_song": "serial/example_6_1",
    **dict.fromkeys(("best_s_S", "best_s_nQ", "best_modified_s_S_q"), "bijvank/L2-p14-K5"),
    **dict.fromkeys(
        ("best_dual_index", "best_capped_dual_index", "best_single_index", "best_tailored_base_surge"),
        "dual_sourcing/l2-ce105",
    ),
    **dict.fromkeys(("decomposition_aggregation", "recursive_optimisation"), "stockpyl/rong_figure_1a"),
    **dict.fromkeys(("metric", "two_moment", "one_for_one", "federgruen_zipkin"), one_warehouse),
    "rolling_plan": "beer_game/classic",
    **dict.fromkeys(("scenario_tree", "hindsight"), "gym_invmgmt/serial-lost"),
}
#: The others are for lost sales.
LOST_SALES = "zipkin/poisson-L1-p4"


def tables() -> None:
    """The tables of methods, each tried on an example, and of instance families."""
    print("| method | what it finds | claim | source | tried on: cost |\n|---|---|---|---|---|")
    for m in methods().values():
        example = EXAMPLES.get(m.name, LOST_SALES)
        found = solve(find(example).problem if isinstance(example, str) else example(), m.name)
        where = f"`{example}`" if isinstance(example, str) else example.__name__.replace("_", " ")
        claim = m.claim if found.claim == m.claim else f"{m.claim}; here {found.claim}"
        print(f"| `{m.name}` | {m.title} | {claim} | {found.reference} | {where}: {found.cost:.5g} |", flush=True)
    print("\n| family | instances | with an optimum | known values | event order |\n|---|---|---|---|---|")
    for family in families():
        rows = instances(family)
        optima, values = sum(i.known_optimum is not None for i in rows), sum(len(i.known) for i in rows)
        timing = ", ".join(f"`{t}`" for t in dict.fromkeys(i.timing for i in rows))
        print(f"| {family} | {len(rows)} | {optima or '-'} | {values or '-'} | {timing} |")
    every = instances()
    known = sum(i.known_optimum is not None for i in every)
    print(f"\n{len(every)} instances, {known} with a known optimum, {sum(len(i.known) for i in every)} known values")
