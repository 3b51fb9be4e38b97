"""Every known value of the literature's instances beside ours: ``make golden`` or ``python -m experiments.golden``.

Columns: what is known and its status (V published and recomputed independently, OWN computed independently and not
published, T published only); our cost, by the method or the rule that the instance names, and how it was found; the
same policy as the simulator plays it, with a 95 % interval; the difference of ours from what is known, in percent.

A rule is evaluated exactly where its Markov chain is small enough, else ours is what is simulated. Ends with 1 where a
V value is off its printed precision, an OWN value by more than 0.05 %, or an exact cost lies more than 5 standard
errors from what is simulated; these are listed at the end. T values are shown and not judged. What takes minutes is
left out without ``--slow``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from scipy import stats

from experiments.compile_cache import keep_compiled
from meio_jax.errors import InputError
from meio_jax.evaluate import Estimate
from meio_jax.instances import Instance, Known, families, instances
from meio_jax.solvers.methods import method_named
from meio_jax.solvers.played import played
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution

LANES, PERIODS, WARMUP = 2_048, 1_000, 100
#: Share by which an OWN value may differ.
OWN = 5e-4
#: Standard errors by which an exact cost may differ from what is simulated: once in 2 million rows by chance.
ERRORS = 5.0
#: States that a rule's chain may have before it is simulated instead.
STATES = 200_000
#: A method of this effort takes minutes.
MINUTES = 2


@dataclasses.dataclass
class Row:
    """A known value and ours."""

    instance: str
    what: str
    status: str
    known: float
    ours: float | None = None
    how: str = ""
    claim: str = ""
    simulated: float | None = None
    low: float | None = None
    high: float | None = None
    percent: float | None = None
    seconds: float = 0.0
    source: str = ""
    note: str = ""
    wrong: str = ""


def solutions(instance: Instance, known: Known, slow: bool, made: dict[str, Solution]) -> Solution | str:
    """Our cost of what a known value is the cost of, or why there is none. ``made``: what was solved before."""
    problem = instance.problem
    if known.compute is not None:
        return Solution(known.compute(), method="computed", claim="")
    if known.method is not None:
        method = method_named(known.method)
        if method.effort >= MINUTES and not slow:
            return "takes minutes: --slow"
        if known.method not in made:
            made[known.method] = method(problem)
        return made[known.method]
    if known.rule is None:
        return "not recomputed"
    policy, theta = known.rule()
    try:
        return policy_cost(problem, policy, theta, max_states=STATES)
    except InputError:  # its chain is too large, or it has none: it is simulated
        return Solution(math.nan, method="simulated", claim="approximate", policy=policy, theta=theta)


def row_of(instance: Instance, known: Known, slow: bool, made: dict[str, Any]) -> Row:
    row = Row(instance.id, known.what, known.status, known.cost, source=known.source, note=known.note)
    begin = time.perf_counter()
    try:
        found = solutions(instance, known, slow, made.setdefault("solved", {}))
    except InputError as error:
        row.wrong = row.note = f"{type(error).__name__}: {error}"
        return row
    if isinstance(found, str):
        row.how = found
        return row
    row.how, row.claim = found.method, found.claim
    row.ours = None if math.isnan(found.cost) else found.cost
    policy, theta = (found.policy, found.theta) if known.rule is None else known.rule()
    row.seconds = time.perf_counter() - begin
    if policy is not None:
        cost = simulate(instance.problem, policy, theta)
        row.simulated, row.low, row.high = cost.mean, cost.low, cost.high
        if row.ours is None:
            row.ours = cost.mean
    row.wrong = judge(row, known, modelled=instance.problem.service is not None)
    return row


def simulate(problem: Problem, policy: Any, theta: Any) -> Estimate:
    return played(problem, policy, theta, jax.random.key(1960), lanes=LANES, periods=PERIODS, warmup=WARMUP)


def judge(row: Row, known: Known, modelled: bool) -> str:
    """What is wrong with a row, "" if nothing; fills in the difference. ``modelled``: a cost that no period charges."""
    assert row.ours is not None
    apart = row.ours - row.known
    row.percent = 100 * apart / abs(row.known) if row.known else None
    # An error of the simulation is none of ours: a simulated rule is judged by its own interval.
    error = standard_error(row)
    allowed = {"V": known.precision, "OWN": OWN * abs(row.known)}.get(known.status, math.inf)
    if row.how == "simulated":
        allowed += ERRORS * error
    if abs(apart) > allowed * (1 + 1e-9):
        return f"{row.what}: ours is {row.ours:.8g}, known is {row.known:.8g}, allowed are {allowed:.2g}"
    if row.claim in ("optimal", "exact") and row.simulated is not None and not modelled:
        gap = abs(row.ours - row.simulated)
        if gap > ERRORS * error + 1e-5 * abs(row.ours):  # the simulator counts in single precision
            return f"{row.what}: ours is {row.ours:.8g} and it plays at {row.simulated:.8g} +- {error:.2g}"
    return ""


def standard_error(row: Row) -> float:
    if row.low is None or row.high is None:
        return 0.0
    return (row.high - row.low) / 2 / float(stats.t.ppf(0.975, LANES - 1))


def rows(family: str, slow: bool) -> Iterator[Row]:
    for instance in instances(family):
        made: dict[str, Any] = {}
        for known in instance.known:
            yield row_of(instance, known, slow, made)


def notes(known: list[Instance]) -> Iterator[str]:
    """What a reader must know to compare, each once, with the cases that it concerns where it is not all of them."""
    cases: dict[tuple[str, str], list[str]] = {}
    for instance in known:
        for k in instance.known:
            if k.note:
                cases.setdefault((k.what, k.note), []).append(instance.id.partition("/")[2])
    for (what, note), which in cases.items():
        several = sum(what in (k.what for k in i.known) for i in known)
        whose = "" if len(which) == several else f" ({', '.join(which)})"
        yield f"{what}{whose}: {note}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--family", action="append", choices=families(), metavar="F", help="only this family; may repeat"
    )
    parser.add_argument("--slow", action="store_true", help="also what takes minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    args = parser.parse_args(argv)
    keep_compiled()
    every: list[Row] = []
    for family in args.family or families():
        known = [i for i in instances(family) if i.known]
        if not known:
            continue
        print("", *dict.fromkeys(f"{family}: {i.source}" for i in known), sep="\n", flush=True)
        width = max(len(i.id) for i in known) + 2
        what = max(len(k.what) for i in known for k in i.known) + 2
        numbers = ("known", "ours", "diff %", "simulated", "low", "high")
        print("  " + "".ljust(width + what + 4) + "".join(n.rjust(12) for n in numbers) + "  by")
        for row in rows(family, args.slow):
            every.append(row)
            print("  " + text(row, width, what), flush=True)
        for note in notes(known):
            print(f"  * {note}", flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps([dataclasses.asdict(r) for r in every], indent=1, allow_nan=False))
    wrong = [r for r in every if r.wrong]
    judged = sum(r.ours is not None and r.status != "T" for r in every)
    print(f"\n{len(every)} known values, {judged} recomputed and judged, {len(wrong)} wrong")
    for row in wrong:
        print(f"  {row.instance}, {row.wrong}")
    return 1 if wrong else 0


def text(row: Row, width: int, what: int) -> str:
    def number(x: float | None, sign: str = "") -> str:
        return ("-" if x is None else f"{x:{sign}.4f}").rjust(12)

    cells = [number(row.known), number(row.ours), number(row.percent, "+")]
    cells += [number(x) for x in (row.simulated, row.low, row.high)]
    claim = f" ({row.claim})" if row.claim else ""
    end = row.note if row.wrong and row.ours is None else f"{row.how}{claim}"
    end += f", {row.seconds:.2g} s" if row.ours is not None else ""
    flag = "  <-- wrong" if row.wrong else ""
    return f"{row.instance.ljust(width)}{row.what.ljust(what)}{row.status.ljust(4)}{''.join(cells)}  {end}{flag}"


if __name__ == "__main__":
    sys.exit(main())
