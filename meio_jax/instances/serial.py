"""Serial systems: Snyder and Shen's examples, Shang and Song's table, Pirhooshyaran and Snyder's ten cases.

All of them see the period's demand before they order (``demand_first``) unless said otherwise, keep unmet demand, and
pay for stock in transit at the rate of the stage that it left. Their demand is normal in the literature; the simulator
cuts it off at 0, which for these numbers happens in less than one of 30,000 periods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from meio_jax.instances.base import Instance, Known
from meio_jax.processes import Processes, normal, poisson
from meio_jax.solvers.laws import Law, Normal, Poisson
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import local_holding_cost, serial

__all__ = ["INSTANCES", "pirhooshyaran_snyder", "serial_problem", "shang_song", "snyder_shen"]

SNYDER_SHEN = "Snyder and Shen, Fundamentals of Supply Chain Theory, 2nd ed., 2019, doi:10.1002/9781119584445"
SHANG_SONG = "Shang and Song, Management Science 49(5), 2003, Table 1, doi:10.1287/mnsc.49.5.618.15147"
PIRHOOSHYARAN_SNYDER = "Pirhooshyaran and Snyder, 2021, Tables 2 and 3, arXiv:2006.05608"


def serial_problem(
    law: Law, holding: Sequence[float], lead: Sequence[int], backlog: float, timing: str = "demand_first"
) -> Problem:
    """A chain with local rates and lead times, upstream first; every stage starts with its lead-time demand."""
    covered = [(t + 1) * law.mean for t in lead]
    network = serial(
        len(lead), holding_cost=list(holding), lead_time=list(lead), backlog_cost=backlog, timing=timing,
        transit_holding_cost="upstream", initial_on_hand=covered, initial_pipeline=law.mean,
        integer=isinstance(law, Poisson),
    )  # fmt: skip
    demand = poisson(law.mean) if isinstance(law, Poisson) else normal(law.mean, law.sd)
    return Problem(network, Processes(demand=demand), (law,))


def optimum(cost: float, source: str, *, precision: float = 0.0, status: str = "V", note: str = "") -> Known:
    return Known("optimum", cost, source, status, precision, "clark_scarf", note=note)


# --- Snyder and Shen ---------------------------------------------------------------------------------------------


class _Example(NamedTuple):
    title: str
    law: Law
    echelon: tuple[float, ...]  # echelon holding rates, upstream first
    lead: tuple[int, ...]
    backlog: float
    timing: str
    known: Known


_EXAMPLES = {
    "example_6_1": _Example(
        "Example 6.1: three stages, normal demand", Normal(5, 1), (2, 2, 3), (2, 1, 1), 37.12, "demand_first",
        optimum(47.660, "Snyder and Shen 2019", precision=5e-4),
    ),
    "example_6_1_poisson": _Example(
        "Example 6.1 with Poisson demand", Poisson(5), (2, 2, 3), (2, 1, 1), 37.12, "demand_first",
        optimum(72.0467, "computed 2026", precision=5e-5),
    ),
    "example_6_1_order_first": _Example(
        "Example 6.1 where orders precede the period's demand", Normal(5, 1), (2, 2, 3), (2, 1, 1), 37.12,
        "order_first", optimum(51.186, "computed 2026", status="OWN"),
    ),
    "problem_6_1": _Example(
        "Problem 6.1: two stages", Normal(100, 15), (1, 1), (1, 1), 15.0, "demand_first",
        optimum(166.2506, "computed 2026", status="OWN", note="stockpyl's tests have 170.28, from a coarse grid"),
    ),
    "problem_6_16": _Example(
        "Problem 6.16: two stages, long lead times", Normal(20, 4), (2, 5), (3, 8), 24.0, "demand_first",
        optimum(438.1845, "computed 2026", status="OWN", note="stockpyl's tests have 451.65, from a coarse grid"),
    ),
}  # fmt: skip


def snyder_shen(name: str) -> Instance:
    """An example of section 6.2: ``example_6_1``, ``example_6_1_poisson``, ``example_6_1_order_first``,
    ``problem_6_1``, ``problem_6_16``. The book gives echelon holding rates.
    """
    e = _EXAMPLES[name]
    return Instance(
        f"serial/{name}", "serial", e.title, e.timing, SNYDER_SHEN,
        lambda: serial_problem(e.law, local_holding_cost(e.echelon), e.lead, e.backlog, e.timing), (e.known,),
    )  # fmt: skip


# --- Shang and Song ----------------------------------------------------------------------------------------------

#: Row: echelon rates, upstream first; backorder rate; optimal cost per unit of time; half a unit of its last digit. Of
#: the table's 32 rows these four could be confirmed (they are stockpyl's instances ``shang_song_*``).
_ROWS = {
    1: ((0.25, 0.25, 0.25, 0.25), 9.0, 12.6879, 5e-5),
    9: ((0.25, 2.5, 2.5, 0.25), 9.0, 53.008, 5e-4),
    17: ((0.25, 0.25, 0.25, 0.25), 99.0, 16.2055, 5e-5),
    25: ((0.25, 2.5, 2.5, 0.25), 99.0, 74.564, 5e-4),
}


def shang_song(row: int) -> Instance:
    """A row of Table 1: four stages, Poisson demand of rate 16 in continuous time, lead times of a quarter each.

    Reviewed in continuous time, cost depends on the demand over lead times alone; so it does here, where the planner
    sees demand before ordering. With a quarter of the unit of time as the period, demand is Poisson(4) a period, lead
    times are 1, and the laws over lead times are those of the paper. Rates are charged in full in each period, so a
    period's cost is the paper's cost per unit of time.
    """
    echelon, backlog, cost, precision = _ROWS[row]
    return Instance(
        f"shang_song/row_{row}", "shang_song", f"four stages, echelon rates {echelon} upstream first, b = {backlog:g}",
        "demand_first", SHANG_SONG,
        lambda: serial_problem(Poisson(4), local_holding_cost(echelon), (1, 1, 1, 1), backlog),
        (optimum(cost, "Shang and Song 2003", precision=precision),),
    )  # fmt: skip


# --- Pirhooshyaran and Snyder ------------------------------------------------------------------------------------


class _Case(NamedTuple):
    mean: float
    sd: float
    holding: tuple[float, ...]  # local rates, upstream first
    lead: tuple[int, ...]
    backlog: float
    printed: float
    computed: float | None = None


_CASES = {
    1: _Case(3, 0.5, (5, 8.2), (1, 1), 25.5, 22.21, 22.2152),
    2: _Case(6, 1.5, (1.9, 4.1), (2, 1), 11.3, 23.07, 23.0792),
    3: _Case(5, 1, (2, 4, 7), (2, 1, 1), 37.12, 47.65, 47.660),
    4: _Case(50, 3, (5, 10, 25), (2, 1, 1), 50, 879.88, 879.893),
    5: _Case(100, 5, (25, 25, 50), (1, 2, 2), 100, 10568.23, 10567.199),
    6: _Case(100, 10, (10, 20, 30), (1, 1, 1), 100, 3630.14, 3630.733),
    7: _Case(3, 0.4, (4, 5.75, 7.9, 10.8), (1, 1, 1, 1), 35.5, 63.39),
    8: _Case(5, 1.2, (5, 5, 5, 10), (1, 1, 1, 1), 30, 101.48),
    9: _Case(80, 4, (10, 20, 30, 40, 50), (1, 1, 1, 1, 1), 200, 8559.85),
    10: _Case(25, 2, (5, 10, 25, 50, 50), (2, 1, 1, 1, 1), 150, 2500.79),
}


def pirhooshyaran_snyder(case: int) -> Instance:
    """Serial case 1 to 10. What is printed was computed on a grid and is up to 0.05 % off; for cases 1 to 6 the optimum
    is also known from an independent computation, and comes first. Case 3 is Example 6.1.
    """
    c = _CASES[case]
    known = []
    if c.computed is not None:
        known.append(optimum(c.computed, "computed 2026", status="OWN"))
    what = "optimum" if c.computed is None else "optimum as printed"
    source, note = "Pirhooshyaran and Snyder 2021", "printed from a grid: within 0.05 %"
    known.append(Known(what, c.printed, source, "T", method="clark_scarf", note=note))
    return Instance(
        f"pirhooshyaran_snyder/case_{case}", "pirhooshyaran_snyder",
        f"{len(c.lead)} stages, N({c.mean:g}, {c.sd:g}), b = {c.backlog:g}", "demand_first", PIRHOOSHYARAN_SNYDER,
        lambda: serial_problem(Normal(c.mean, c.sd), c.holding, c.lead, c.backlog), tuple(known),
    )  # fmt: skip


INSTANCES: tuple[Instance, ...] = (
    *map(snyder_shen, _EXAMPLES),
    *map(shang_song, _ROWS),
    *map(pirhooshyaran_snyder, _CASES),
)
