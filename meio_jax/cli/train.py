"""``meio train``: learn a policy for a system, in a folder from which the same command goes on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from meio_jax.cli.common import (
    Result,
    UsageError,
    keep_compiled,
    make_policy,
    named,
    plain_numbers,
    positive,
    say,
    start_theta,
)
from meio_jax.cli.runfolder import (
    LEARNERS,
    SYSTEM,
    Options,
    Stop,
    Subject,
    check_options,
    fresh_state,
    stops,
    subject_of,
    template,
)
from meio_jax.cli.simulate import tune

if TYPE_CHECKING:
    from meio_jax.runs import Run

__all__ = ["Train"]

#: The rule that is tuned beside the learner, for comparison.
BASELINE = "echelon_base_stock"
BASELINE_WITH_ORDER_COSTS = "echelon_s_S"


@dataclasses.dataclass(frozen=True)
class Train:
    """Learn a policy for a system or an instance of the literature. The same command goes on where it was stopped.

    What is not given is the learner's own: one set of numbers for all systems. Ctrl-C and SIGTERM save first.
    While it learns it says how far it is from the optimum where that is known or quickly proven, else from a classical
    rule that is tuned first.
    """

    target: tyro.conf.Positional[str]
    """Network file, .yaml or .json, or an instance ('meio instances' lists them)."""
    out: Path
    """Folder of the run; made if it is not there, gone on with if it holds this run."""
    learner: str = "ppo"
    """Learner: ppo or pathwise."""
    policy: str | None = None
    """What learns: mlp, per_node, graph or lstm; with pathwise also a rule, such as echelon_base_stock."""
    head: str | None = None
    """What a network decides: order_up_to, quantity, percentage, capped_base_stock, reorder_up_to or tiers."""
    widths: tuple[int, ...] | None = None
    """Hidden layers of the networks."""
    cycle: int | None = None
    """Periods in a cycle that the policy sees the time of, 7 for days of the week; 0: none."""
    updates: int | None = None
    """Updates of the policy in all; the schedules end there."""
    lanes: int | None = None
    """Systems that are played side by side."""
    segment: int | None = None
    """Periods between two updates."""
    learning_rate: float | None = None
    """At the start; it falls."""
    discount: float | None = None
    """Worth of the next period's cost."""
    epochs: int | None = None
    """Of ppo: passes over a segment."""
    minibatches: int | None = None
    """Of ppo: parts of each pass."""
    trace: float | None = None
    """Of ppo: lambda of the advantages; lower is less noise and more bias."""
    credit: str | None = None
    """Of ppo: what a decision answers for, joint (all costs) or local (its node, what it feeds, what feeds it)."""
    pretrain: int | None = None
    """Of ppo: updates of the pathwise learner to begin with."""
    smooth_fixed_cost: float | None = None
    """Of pathwise: learn from fixed costs smoothed over this share of a mean order; 0: they are refused."""
    eval_every: int | None = None
    """Updates between two evaluations, after which the run is saved."""
    patience: int = 0
    """Evaluations without a better one after which the run ends; 0: it goes on to the last update."""
    baseline_budget: int = 300
    """Candidates to try for the classical rule; 0: none is tuned."""
    final_lanes: int = 1024
    """Replications of the final evaluation, on scenarios that nothing was chosen by; 0: none."""
    seeds: int = 1
    """Runs with the seeds --seed, --seed + 1, .., each in a folder of its own within --out."""
    seed: int = 0
    """Of everything that is random."""
    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        options = Options(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Options)})
        named("--learner", self.learner, list(LEARNERS))
        positive(0, 2**32 - 1, seed=self.seed)
        positive(0, baseline_budget=self.baseline_budget, patience=self.patience, final_lanes=self.final_lanes)
        positive(1, 1000, seeds=self.seeds)
        if self.final_lanes == 1:
            raise UsageError("--final-lanes 1: one replication has no interval; give at least 2, or 0 for none")
        check_options(options)
        keep_compiled()
        with stops() as stop:
            subject = subject_of(self.target)
            if self.seeds == 1:
                return self._learn(subject, options, stop)
            return self._learn_all(subject, options, stop)

    def _learn_all(self, subject: Subject, options: Options, stop: Stop) -> Result:
        """One run after another, and what they say together."""
        from meio_jax.cli.report import report_seeds

        runs: list[dict[str, Any]] = []
        for seed in range(self.seed, self.seed + self.seeds):
            one = dataclasses.replace(self, out=self.out / f"seed-{seed}", seed=seed, seeds=1)
            result = one._learn(subject, options, stop)
            assert isinstance(result.data, Mapping)
            runs.append(dict(result.data))
            if not runs[-1]["finished"]:
                return Result({"out": str(self.out), "runs": runs, "finished": False}, result.text, result.code)
        data, text = report_seeds(self.out, subject, self.learner, runs)
        return Result(data, text)

    def _learn(self, subject: Subject, options: Options, stop: Stop) -> Result:
        import jax
        import numpy as np

        from meio_jax.checkpoint import Checkpoints
        from meio_jax.cli.report import final_evaluation, reference_of, write_report
        from meio_jax.learners.loop import TrainingDivergedError, train
        from meio_jax.progress import Progress

        system = subject.system
        config, hyper = options.config(self.learner, subject)
        config.check(system.network)
        run, done, state = self._begin(subject, options, config)
        key, search_key = jax.random.split(jax.random.key(self.seed))
        checkpoints = Checkpoints(run.checkpoints)
        began = time.monotonic()
        ended = run.status == "done"
        try:
            baseline = _baseline(run, subject, search_key, self.baseline_budget)
            reference = reference_of(run, subject, baseline)
            what, best = ("", None) if reference is None else (reference["what"], reference["cost"])
            unit = config.lanes * config.segment
            patience = _Patience(self.patience, run)
            with Progress(
                config.updates, start=done, best_classical=best, reference=what, json=self.json, unit=unit
            ) as progress:

                def after(state: Any, metrics: dict[str, Any]) -> bool:
                    _log(run, int(state.update), metrics, config.eval_every)
                    checkpoints.save(int(state.update), state)
                    progress.on_chunk(state, metrics)
                    return stop.number is not None or patience.is_over(metrics)

                if done < config.updates and stop.number is None and not ended:
                    state = fresh_state(options, config, hyper, subject, key) if state is None else state
                    state, _ = train(
                        config, system.network, system.processes, hyper,
                        callback=after, chunk=config.eval_every, state=state,
                    )  # fmt: skip
        except TrainingDivergedError as e:
            run.fail(str(e))
            raise
        except Exception as e:
            run.fail(f"{type(e).__name__}: {e}")
            raise
        updates = done if state is None else int(state.update)
        finished = ended or updates >= config.updates or patience.over
        if finished and run.status != "done":
            run.finish()
        cost = None if state is None or not np.isfinite(np.asarray(state.best_cost)) else float(state.best_cost)
        final = None
        if finished and state is not None and self.final_lanes:
            final = final_evaluation(run, subject, config.policy, state, baseline, self.final_lanes)
        shown = cost if final is None else final["cost"]
        data: dict[str, Any] = {
            "out": str(self.out),
            "learner": self.learner,
            "instance": subject.instance,
            "seed": self.seed,
            "updates": updates,
            "of": config.updates,
            "finished": finished,
            "stopped_by": ("patience" if updates < config.updates else None) if finished else stop.name,
            "resumed_from": done or None,
            "cost": cost,
            "criterion": subject.problem.criterion,
            "baseline": baseline,
            "reference": reference,
            "final": final,
            "gap_percent": None if shown is None or not best else 100.0 * (shown - best) / abs(best),
            "seconds": round(time.monotonic() - began, 3),
        }
        if finished and state is not None:
            write_report(run, subject, config.policy, state, data)
        return Result(data, _text(data), 0 if finished or stop.number is None else 128 + stop.number)

    def _begin(self, subject: Subject, options: Options, config: Any) -> tuple[Run, int, Any]:
        """The run, the updates that are done, and the state after them. Raises `InputError` for other runs."""
        from meio_jax.checkpoint import Checkpoints
        from meio_jax.files import dump_system
        from meio_jax.runs import MANIFEST, Run

        described = options.described(self.learner, subject)
        done, state = 0, None
        if (self.out / MANIFEST).exists():
            run = Run.open(self.out, described, seed=self.seed)
            checkpoints = Checkpoints(run.checkpoints)
            if checkpoints.steps():
                restored = checkpoints.restore(template(options, self.learner, subject))
                done, state = restored.step, restored.tree
                say(f"going on with {self.out} after update {done} of {config.updates}")
            if run.status != "done" or state is None:
                run = Run.resume(self.out, described, seed=self.seed, step=done)
        else:
            run = Run.create(self.out, described, seed=self.seed)
        if subject.instance is None and not (self.out / SYSTEM).exists():
            dump_system(subject.system, self.out / SYSTEM)
        return run, done, state


class _Patience:
    """Counts evaluations since the best one, those of the run before it was resumed included."""

    def __init__(self, most: int, run: Run) -> None:
        import numpy as np

        from meio_jax.runs import METRICS

        self.most, self.best, self.since = most, float("inf"), 0
        if most and (run.folder / METRICS).exists():
            costs = run.metrics().get("eval_cost", np.zeros(0))
            self._add(costs[np.isfinite(costs)])

    @property
    def over(self) -> bool:
        return bool(self.most) and self.since >= self.most

    def is_over(self, metrics: dict[str, Any]) -> bool:
        import numpy as np

        self._add(np.ravel(np.asarray(metrics.get("eval_cost", ()))))
        return self.over

    def _add(self, costs: Any) -> None:
        for cost in costs:
            better = cost < self.best
            self.best, self.since = (float(cost), 0) if better else (self.best, self.since + 1)


def _baseline(run: Run, subject: Subject, key: Any, budget: int) -> dict[str, Any] | None:
    """The tuned classical rule: from the run's folder, else searched for and kept there. The key is consumed."""
    if (run.folder / "baseline.json").exists():
        return dict(run.load_json("baseline"))
    if not budget:
        return None
    fixed = subject.system.network.fixed_order_cost
    name = BASELINE if fixed is None or not bool((fixed > 0).any()) else BASELINE_WITH_ORDER_COSTS
    say(f"tuning {name} with {budget} candidates")
    policy = make_policy(name)
    if subject.problem.criterion == "average":
        found = tune(subject.system, policy, start_theta(policy, subject.system), key, budget, 500, 100)
        theta, cost, low, high = found.theta, found.cost, found.low, found.high
    else:
        from meio_jax.cli.report import costs_of, estimate_of
        from meio_jax.solvers.searched import searched

        theta = searched(subject.problem, policy=policy, budget=budget, key=key).theta
        estimate = estimate_of(costs_of(subject, policy, theta, 1024))
        cost, low, high = estimate["cost"], estimate["low"], estimate["high"]
    baseline = {"policy": name, "theta": plain_numbers(theta), "cost": cost, "low": low, "high": high}
    run.save_json("baseline", baseline)
    return baseline


def _log(run: Run, update: int, metrics: dict[str, Any], every: int) -> None:
    """A row of `metrics.csv` for each update of a chunk that ends with ``update``; evaluations in its last one."""
    import numpy as np

    columns = {k: np.asarray(v) for k, v in metrics.items() if k != "finite"}
    count = len(columns["cost"])
    for i in range(count):
        row: dict[str, Any] = {}
        for name, values in columns.items():
            if name.startswith("eval_"):
                row[name] = values[i // every] if (i + 1) % every == 0 else None
            else:
                row[name] = values[i]
        run.log(update - count + i + 1, row)


def _text(data: dict[str, Any]) -> str:
    unit = {"average": "per period", "discounted": "discounted", "total": "in total"}[data["criterion"]]
    lines = [f"{data['out']}: {data['updates']} of {data['of']} updates"]
    if data["cost"] is not None:
        lines.append(f"  learned policy      {data['cost']:.5g} {unit} (best of its evaluations)")
    if data["final"]:
        f = data["final"]
        lines.append(f"  on fresh scenarios  {f['cost']:.5g}, 95 % in [{f['low']:.5g}, {f['high']:.5g}]")
    if data["baseline"]:
        lines.append(f"  {data['baseline']['policy']}  {data['baseline']['cost']:.5g} {unit} (tuned)")
    if data["final"] and data["final"]["rule"]:
        from meio_jax.cli.report import said_more

        lines.append(f"  to it, in pairs     {said_more(data['final']['rule'])}")
    if data["reference"] and data["gap_percent"] is not None:
        lines.append(f"  gap                 {data['gap_percent']:+.2f} % to {data['reference']['what']}")
    if data["finished"]:
        early = "; it ended early: no better evaluation for a while" if data["stopped_by"] == "patience" else ""
        lines.append(f"  'meio evaluate {data['out']}' compares in pairs{early}")
    else:
        lines.append(f"  stopped by {data['stopped_by']}; the same command goes on")
    return "\n".join(lines)
