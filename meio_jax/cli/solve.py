"""``meio solve``: the best policy of an instance or of a network file, and how much of that is proven."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from meio_jax.cli.common import Result, UsageError, keep_compiled, report_memory
from meio_jax.cli.simulate import check_horizon

if TYPE_CHECKING:
    from meio_jax.instances import Known
    from meio_jax.solvers.problem import Problem
    from meio_jax.solvers.solution import Solution

__all__ = ["Solve"]

_SUFFIXES = (".yaml", ".yml", ".json")
#: What the claims mean, for people.
_CLAIMS = {
    "optimal": "optimal: no policy costs less",
    "exact": "exact: what this policy costs; whether another costs less is not said",
    "approximate": "approximate: a model's value; --simulate plays it",
    "bound": "bound: no policy costs less, and none need cost so little",
}
#: Of the parts of a solution that are tables, so many numbers are shown to people.
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Solve:
    """Solve an instance of the literature ('meio instances' lists them) or a network file."""

    target: tyro.conf.Positional[str] = ""
    """Name of an instance, or a network file, .yaml or .json."""
    method: str = "auto"
    """Name of a method; auto: the one with the strongest claim that fits. --methods lists them."""
    methods: bool = False
    """List the methods, and with a target which of them fit and why the others do not; solve nothing."""
    simulate: bool = False
    """Play the policy that was found, too."""
    periods: int = 1000
    """With --simulate: periods that count, where the cost is an average."""
    warmup: int = 100
    """With --simulate: periods before them."""
    lanes: int = 1024
    """With --simulate: independent replications."""
    seed: int = 0
    """With --simulate: of the random draws."""
    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        if self.methods and not self.target:
            return _list_methods()
        if not self.target:
            raise UsageError("name an instance or a network file; 'meio instances' lists what there is")
        check_horizon(self.periods + self.warmup, self.lanes, self.warmup, self.seed)
        keep_compiled()
        from meio_jax.errors import UnknownNameError, UnsuitableError
        from meio_jax.solvers.methods import AUTO, method_named, solve_by_name

        problem, known, oldest = _read(self.target)
        if self.methods:
            return _list_methods(problem)
        if self.method != AUTO:
            try:
                method_named(self.method)
            except UnknownNameError as e:
                raise UsageError(f"--method: {e}") from e
        begin = time.perf_counter()
        name, found = solve_by_name(problem, self.method)
        seconds = time.perf_counter() - begin
        simulated = None
        if self.simulate:
            if found.policy is None:
                raise UnsuitableError(f"{found.method} finds no policy that can be played: leave out --simulate")
            simulated = self._play(problem, found, oldest)
        data = _data(self.target, name, found, known, seconds) | {"simulated": simulated}
        return Result(data, _text(data, found))

    def _play(self, problem: Problem, found: Solution, oldest: int) -> dict[str, Any]:
        import jax

        from meio_jax.solvers.played import played

        assert found.policy is not None
        cost = played(
            problem, found.policy, found.theta, jax.random.key(self.seed),
            lanes=self.lanes, periods=self.periods, warmup=self.warmup, oldest=oldest,
        )  # fmt: skip
        return {"cost": cost.mean, "low": cost.low, "high": cost.high, "lanes": self.lanes, "seed": self.seed}


def _read(target: str) -> tuple[Problem, tuple[Known, ...], int]:
    """The problem, what is known of it, and how old a report can get."""
    if target.endswith(_SUFFIXES) or Path(target).is_file():
        from meio_jax.files import load_system
        from meio_jax.solvers.problem import problem_of

        system = load_system(target)
        return problem_of(system), (), report_memory(system)
    from meio_jax.instances import find

    instance = find(target)
    return instance.problem, instance.known, 0


def _list_methods(problem: Problem | None = None) -> Result:
    from meio_jax.solvers.methods import fitting, methods

    reasons = {} if problem is None else fitting(problem)[1]
    data: list[dict[str, Any]] = [
        {"method": m.name, "title": m.title, "claim": m.claim, "effort": m.effort}
        | ({} if problem is None else {"unfit": reasons.get(m.name)})
        for m in methods().values()
    ]
    width = max(len(name) for name in methods())
    lines = []
    for row in data:
        mark = "" if problem is None else ("- " if row["unfit"] else "+ ")
        lines.append(f"{mark}{row['method'].ljust(width)}  {row['claim']:<11}  {row['title']}")
        if problem is not None and row["unfit"]:
            lines.append(f"{' ' * (width + 4)}{row['unfit']}")
    return Result({"methods": data}, "\n".join(lines))


def _data(target: str, name: str, found: Solution, known: tuple[Known, ...], seconds: float) -> dict[str, Any]:
    from meio_jax.runs import plain

    optimum = next((k.cost for k in known if k.what == "optimum"), None)
    return plain(
        {
            "instance": target,
            "method": name,
            "title": found.method,
            "cost": found.cost,
            "criterion": found.criterion,
            "claim": found.claim,
            "lower_bound": found.lower_bound,
            "upper_bound": found.upper_bound,
            "known_optimum": optimum,
            "gap_percent": None if not optimum else 100 * (found.cost - optimum) / abs(optimum),
            "known": [
                {"what": k.what, "cost": k.cost, "source": k.source, "method": k.method, "note": k.note} for k in known
            ],
            "interval": found.details.get("interval"),
            "constant_cost": found.constant_cost,
            "echelon_levels": found.echelon_levels,
            "local_levels": found.local_levels,
            "numbers": dict(found.numbers),
            "policy": None if found.policy is None else type(found.policy).__name__,
            "reference": found.reference,
            "seconds": seconds,
        },
        nonfinite="null",
    )


def _text(data: dict[str, Any], found: Solution) -> str:
    reference = f" ({data['reference']})" if data["reference"] else ""
    unit = {"average": " per period", "discounted": ", discounted", "total": " in total"}[found.criterion]
    rows = [("method", f"{data['method']}: {data['title']}{reference}")]
    rows.append(("cost", f"{data['cost']:.6g}{unit}" if data["cost"] is not None else "not finite"))
    rows.append(("claim", _claim(found)))
    if math.isfinite(found.lower_bound) and math.isfinite(found.upper_bound):
        rows.append(("optimum in", f"[{found.lower_bound:.7g}, {found.upper_bound:.7g}], proven"))
    elif math.isfinite(found.lower_bound):
        sure = "three standard errors below the mean" if "draws" in found.details else "proven"  # of scenarios drawn
        rows.append(("optimum", f"at least {found.lower_bound:.7g}, {sure}"))
    elif math.isfinite(found.upper_bound):
        rows.append(("optimum", f"at most {found.upper_bound:.7g}, proven"))
    if found.constant_cost:
        rows.append(("of the cost", f"{found.constant_cost:.6g} cannot be avoided"))
    for known in data["known"]:
        gap = _apart(known, data["method"], found)
        note = f"; {known['note']}" if known["note"] else ""
        rows.append(("known", f"{known['what']} {known['cost']:.6g} ({known['source']}{note}){gap}"))
    for name in ("echelon_levels", "local_levels"):
        if data[name]:
            rows.append((name.replace("_", " "), _short(data[name])))
    rows += [(name.replace("_", " "), _short(value)) for name, value in data["numbers"].items()]
    if data["simulated"]:
        s = data["simulated"]
        interval = "" if s["low"] is None else f", 95 % in [{s['low']:.6g}, {s['high']:.6g}]"
        rows.append(("simulated", f"{s['cost']:.6g}{interval}, {s['lanes']} replications"))
    rows.append(("time", f"{data['seconds']:.3g} s"))
    width = max(len(name) for name, _ in rows)
    return "\n".join([data["instance"], *(f"  {name.ljust(width)}  {value}" for name, value in rows)])


def _apart(known: dict[str, Any], method: str, found: Solution) -> str:
    """How far ours is from what it should equal, or how far a rule of the literature is from our optimum."""
    if known["what"] == "optimum" or known["method"] == method:
        ours, reference, words = found.cost, known["cost"], ", ours {:+.3f} %"
    elif found.claim == "optimal":
        ours, reference, words = known["cost"], found.cost, ", {:+.3f} % from the optimum"
    else:
        return ""
    return "" if not reference else words.format(round(100 * (ours - reference) / abs(reference), 3) + 0.0)  # no -0.000


def _claim(found: Solution) -> str:
    interval = found.details.get("interval")
    if found.claim == "approximate" and interval is not None:
        return f"approximate: simulated, 95 % in [{interval[0]:.6g}, {interval[1]:.6g}]"
    if found.claim == "optimal" and "service_time" in found.numbers:
        return "optimal in its model: no other promises cost less"
    return _CLAIMS[found.claim]


def _short(value: Any) -> str:
    """Numbers in a line; of long tables the beginning."""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_short(v)}" for k, v in value.items())
    if isinstance(value, list):
        more = f" ... ({len(value)})" if len(value) > _SHOWN else ""
        return " ".join(_short(v) for v in value[:_SHOWN]) + more
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
