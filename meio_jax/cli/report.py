"""What a run is measured against, its final evaluation, and its report: ``report.md`` and pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meio_jax.cli.runfolder import Subject, best_theta, classical

if TYPE_CHECKING:
    from meio_jax.runs import Run

__all__ = ["costs_of", "estimate_of", "final_evaluation", "reference_of", "report_seeds", "said_more", "write_report"]

#: Seed of the final evaluation: neither the learner's scenarios nor those of its validation.
FINAL = 40_961
#: Of a problem whose cost is an average: periods that count and those before them.
PERIODS, WARMUP = 1000, 200
#: States of stock and of what is due that a picture of orders shows.
SHOWN = 24


def costs_of(subject: Subject, policy: Any, theta: Any, lanes: int) -> Any:
    """``[lanes]`` what a policy costs by the problem's criterion; the same scenarios for every policy, and none of them
    was chosen by.
    """
    import jax

    from meio_jax.solvers.played import played_lanes

    return played_lanes(
        subject.problem, policy, theta, jax.random.key(FINAL), lanes=lanes, periods=PERIODS, warmup=WARMUP,
        oldest=subject.oldest,
    )  # fmt: skip


def estimate_of(costs: Any) -> dict[str, float]:
    """``cost``, and the 95 % interval ``low`` to ``high`` of its mean over replications."""
    from meio_jax.evaluate import t_interval

    low, high = t_interval(costs, 0.95)
    assert low is not None and high is not None  # at least two replications
    return {"cost": float(costs.mean()), "low": low, "high": high}


def reference_of(run: Run, subject: Subject, baseline: dict[str, Any] | None) -> dict[str, Any] | None:
    """What gaps are measured from: the known optimum, one that is proven within seconds, or the tuned rule.

    Kept in ``reference.json``, so that a resumed run measures from the same.
    """
    if (run.folder / "reference.json").exists():
        return dict(run.load_json("reference"))
    found: dict[str, Any] | None = None
    if subject.optimum is not None:
        found = {"what": "the known optimum", "cost": subject.optimum}
    else:
        proven = _proven(subject)
        if proven is not None:
            found = proven
        elif baseline is not None:
            found = {"what": f"tuned {baseline['policy']}", "cost": baseline["cost"]}
    if found is not None:
        run.save_json("reference", found)
    return found


def _proven(subject: Subject) -> dict[str, Any] | None:
    """The cost of the quickest method that proves an optimum within seconds, or for an instance with an end a bound on
    it; None where none fits.
    """
    from meio_jax.errors import InputError
    from meio_jax.solvers.methods import fitting, solve

    problem = subject.problem
    for method in fitting(problem)[0]:
        quick = method.claim == "optimal" and method.effort == 0
        bound = method.name == "hindsight" and problem.criterion == "total"
        if not (quick or bound):
            continue
        try:
            found = solve(problem, method.name)
        except InputError:
            continue
        if quick and found.claim == "optimal":
            return {"what": f"the optimum ({method.name})", "cost": found.cost}
        if bound:
            return {"what": "the hindsight bound", "cost": found.cost}
    return None


def final_evaluation(
    run: Run, subject: Subject, policy: Any, state: Any, baseline: dict[str, Any] | None, lanes: int
) -> dict[str, Any]:
    """The best policy on fresh scenarios, the tuned rule on the same ones, and what the policy costs more, with an
    interval over pairs; kept in ``final.json``.
    """
    if (run.folder / "final.json").exists():
        kept = dict(run.load_json("final"))
        if kept["lanes"] == lanes:
            return kept
    mine = costs_of(subject, policy, best_theta(state), lanes)
    found: dict[str, Any] = {**estimate_of(mine), "lanes": lanes, "rule": None}
    if baseline is not None:
        rule = costs_of(subject, *classical(subject.system, baseline), lanes)
        found["rule"] = {"policy": baseline["policy"], **estimate_of(rule), "more": estimate_of(mine - rule)}
    run.save_json("final", found)
    return found


def write_report(run: Run, subject: Subject, policy: Any, state: Any, data: dict[str, Any]) -> None:
    """``report.md``, the learning curve, and for a small problem what is ordered in each state."""
    import numpy as np

    title = subject.system.name or Path(data["out"]).name
    metrics = run.metrics()
    seen = np.isfinite(metrics["eval_cost"]) if "eval_cost" in metrics else np.zeros(0, bool)
    pictures = []
    if seen.any():
        curve = {"cost": metrics["eval_cost"][seen], "steps": metrics["step"][seen]}
        error = 1.96 * metrics["eval_error"][seen]
        curve |= {"low": curve["cost"] - error, "high": curve["cost"] + error}
        _draw_curves(run.folder / "curves.png", {data["learner"]: curve}, [data], title)
        pictures.append("curves.png")
    pictures += _draw_orders(run.folder, subject, policy, best_theta(state), data)
    lines = [f"# {title}: {data['learner']}, seed {data['seed']}", "", *_rows([data]), ""]
    lines += [f"![{name}]({name})\n" for name in pictures]
    _write(run.folder / "report.md", "\n".join(lines))


def report_seeds(out: Path, subject: Subject, learner: str, runs: Sequence[dict[str, Any]]) -> tuple[Any, str]:
    """Several seeds together: the interquartile mean and a bootstrap interval over seeds, of the final costs and along
    the way. Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the Statistical Precipice, arXiv
    2108.13264.
    """
    import numpy as np

    from meio_jax.evaluate import interquartile
    from meio_jax.runs import Run, write_json

    costs = np.array([r["cost"] if r["final"] is None else r["final"]["cost"] for r in runs], float)
    middle = interquartile(costs)
    best = runs[0]["reference"]["cost"] if runs[0]["reference"] else None
    curves = []
    for r in runs:
        metrics = Run.open(Path(r["out"])).metrics()
        seen = np.isfinite(metrics["eval_cost"])
        curves.append((metrics["step"][seen], metrics["eval_cost"][seen]))
    shortest = min(len(c) for _, c in curves)
    along = [interquartile(np.array([c[k] for _, c in curves])) for k in range(shortest)]
    title = subject.system.name or out.name
    curve = {
        "cost": np.array([e.mean for e in along]), "steps": curves[0][0][:shortest],
        "low": np.array([e.low for e in along]), "high": np.array([e.high for e in along]),
    }  # fmt: skip
    _draw_curves(out / "curves.png", {f"{learner}, {len(runs)} seeds": curve}, runs, title)
    gap = None if not best else 100.0 * (middle.mean - best) / abs(best)
    data = {
        "out": str(out), "learner": learner, "instance": subject.instance, "finished": True, "seeds": len(runs),
        "cost": middle.mean, "low": middle.low, "high": middle.high, "reference": runs[0]["reference"],
        "gap_percent": gap, "runs": list(runs),
    }  # fmt: skip
    write_json(out / "seeds.json", data)
    told = f"interquartile mean {middle.mean:.6g}, "
    told += f"95 % bootstrap interval over seeds [{middle.low:.6g}, {middle.high:.6g}]"
    if gap is not None:
        told += f"; {gap:+.2f} % to {runs[0]['reference']['what']}"
    lines = [
        f"# {title}: {learner}, {len(runs)} seeds",
        "",
        told,
        "",
        *_rows(runs),
        "",
        "![curves.png](curves.png)",
        "",
    ]
    _write(out / "report.md", "\n".join(lines))
    return data, f"{out}: {len(runs)} seeds\n  {told}"


def _rows(runs: Sequence[dict[str, Any]]) -> list[str]:
    """A table with a line for each run, and below it what the runs are compared with."""
    lines = ["| seed | updates | best validation | fresh scenarios (95 %) | gap % |", "|---|---|---|---|---|"]
    for r in runs:
        final = r["final"]
        fresh = "-" if final is None else f"{final['cost']:.6g} [{final['low']:.6g}, {final['high']:.6g}]"
        gap = "-" if r["gap_percent"] is None else f"{r['gap_percent']:+.3f}"
        best = "-" if r["cost"] is None else f"{r['cost']:.6g}"
        lines.append(f"| {r['seed']} | {r['updates']} | {best} | {fresh} | {gap} |")
    first = runs[0]
    lines.append("")
    if first["reference"]:
        lines.append(f"Gaps are from {first['reference']['what']}: {first['reference']['cost']:.6g}.")
    if first["final"] and first["final"]["rule"]:
        rule = first["final"]["rule"]
        lines.append(
            f"Tuned {rule['policy']} on the same fresh scenarios: {rule['cost']:.6g} "
            f"[{rule['low']:.6g}, {rule['high']:.6g}]. The learned policy to it, in pairs: {said_more(rule)}."
        )
    return lines


def said_more(rule: dict[str, Any]) -> str:
    """How much more than a rule the policy costs, in percent of the rule's cost, and the interval over pairs."""
    more, of = rule["more"], abs(rule["cost"])
    if not of:
        return f"{more['cost']:+.4g} [{more['low']:+.4g}, {more['high']:+.4g}]"
    mean, low, high = (100.0 * more[k] / of for k in ("cost", "low", "high"))
    return f"{mean:+.2f} % [{low:+.2f}, {high:+.2f}]"


def _draw_curves(path: Path, curves: dict[str, Any], runs: Sequence[dict[str, Any]], title: str) -> None:
    from meio_jax.plot import learning_curve

    first = runs[0]
    reference, baseline = first["reference"], first["baseline"]
    proven = reference is not None and "optimum" in reference["what"]
    lines = {} if baseline is None else {f"tuned {baseline['policy']}": baseline["cost"]}
    if reference is not None and "bound" in reference["what"]:
        lines[reference["what"]] = reference["cost"]
    unit = {"average": "cost per period", "discounted": "discounted cost", "total": "total cost"}[first["criterion"]]
    figure = learning_curve(curves, lines, optimum=reference["cost"] if proven else None, y_label=unit, title=title)
    figure.savefig(path, dpi=150)


def _draw_orders(folder: Path, subject: Subject, policy: Any, theta: Any, data: dict[str, Any]) -> list[str]:
    """What is ordered by stock and by what is due next, beside the optimal orders where a table of them can be had: a
    picture for each source of a single stage whose state is at most those two numbers. Their names.
    """
    from meio_jax.errors import InputError
    from meio_jax.plot import order_surface

    network = subject.system.network
    w = network.wiring
    late = [e for e in range(w.n_inner) if w.max_lead_time[e] == 2]  # has an order that is due after this period
    small = w.n_nodes == 1 and max(w.max_lead_time) <= 2 and len(late) <= 1 and w.ages == 1 and w.mail_slots == 0
    if not small or subject.oldest or network.holds_components:
        return []
    stock, due = _met(subject, policy, theta, late)
    policies = {data["learner"]: (policy, theta)}
    if w.integer and subject.problem.laws:
        from meio_jax.solvers.methods import solve

        try:
            best = solve(subject.problem, "value_iteration")
            policies = {"optimal": (best.policy, best.theta), **policies}
        except InputError:
            pass
    names: list[str] = []
    for arc in range(w.n_inner):
        name = "orders.png" if w.n_inner == 1 else f"orders-{arc}.png"
        source = "" if w.n_inner == 1 else f"from {w.arcs[arc]} "
        try:
            figure = order_surface(
                network, policies, stock, due, arc=arc, due_on=late[0] if late else arc,
                title=f"orders {source}by stock and by what is due",
            )  # fmt: skip
        except InputError:
            return names
        figure.savefig(folder / name, dpi=150)
        names.append(name)
    return names


def _met(subject: Subject, policy: Any, theta: Any, late: list[int]) -> tuple[list[int], list[int]]:
    """The stock after receipts, less what is owed, and what is due in the next period, that a policy meets: both from
    the least to the most of all but 1 in 200 periods.
    """
    import jax
    import numpy as np

    from meio_jax.rollout import rollout

    network = subject.system.network
    w = network.wiring
    trajectory = rollout(
        network, policy, theta, subject.system.processes, jax.random.key(FINAL), periods=200, lanes=32,
        keep_trajectory=True,
    ).trajectory  # fmt: skip
    assert trajectory is not None
    seen = jax.tree.map(lambda x: np.asarray(x)[100:], trajectory.seen)
    stock = seen.on_hand.sum((1, 2)) + seen.pipeline[:, 0].sum(1) - seen.owed[:, w.n_inner :].sum(1)

    def spread(x: Any, most: int) -> list[int]:
        low, high = (round(float(q)) for q in np.quantile(x, [0.0025, 0.9975]))
        return list(range(low, high + 1, 1 + (high - low) // most))

    return spread(stock, SHOWN), spread(seen.pipeline[:, 1, late[0]], SHOWN // 2) if late else [0]


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.tmp")
    part.write_text(text)
    part.replace(path)
