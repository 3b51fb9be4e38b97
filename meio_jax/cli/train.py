"""``meio train``: learn a policy for a system, in a folder from which the same command goes on."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from meio_jax.cli.common import (
    Result,
    keep_compiled,
    make_policy,
    named,
    plain_numbers,
    positive,
    say,
    start_theta,
)
from meio_jax.cli.runfolder import LEARNERS, SYSTEM, Options, Stop, check_options, stops, template
from meio_jax.cli.simulate import tune

if TYPE_CHECKING:
    from meio_jax.learners.ppo import TrainState
    from meio_jax.runs import Run
    from meio_jax.system import System

__all__ = ["Train"]

#: The rule that is tuned beside the learner, for comparison.
BASELINE = "echelon_base_stock"
BASELINE_WITH_ORDER_COSTS = "echelon_s_S"


@dataclasses.dataclass(frozen=True)
class Train:
    """Learn a policy for a system. The same command goes on where it was stopped.

    Ctrl-C and SIGTERM save before they stop. A classical rule is tuned first, to compare with.
    """

    file: tyro.conf.Positional[Path]
    """Network file, .yaml or .json."""
    out: Path
    """Folder of the run; made if it is not there, gone on with if it holds this run."""
    learner: str = "ppo"
    """Learner: ppo."""
    updates: int = 400
    """Updates of the policy in all; the schedules end there."""
    lanes: int = 256
    """Systems that are played side by side."""
    segment: int = 32
    """Periods between two updates."""
    epochs: int = 4
    """Passes over a segment."""
    minibatches: int = 4
    """Parts of each pass."""
    widths: tuple[int, ...] = (64, 64)
    """Hidden layers of the networks."""
    head: str = "order_up_to"
    """What the policy decides: order_up_to, quantity, percentage or tiers."""
    learning_rate: float = 1e-3
    """At the start; it falls."""
    discount: float = 0.99
    """Worth of the next period's cost."""
    trace: float = 0.95
    """Lambda of the advantages: lower is less noise and more bias."""
    credit: str = "joint"
    """What a decision answers for: joint (all costs) or local (its node, what it feeds, what feeds it)."""
    cycle: int = 0
    """Periods in a cycle that the policy sees the time of, 7 for days of the week; 0: none."""
    eval_every: int = 20
    """Updates between two evaluations, after which the run is saved."""
    baseline_budget: int = 300
    """Candidates to try for the classical rule; 0: none is tuned."""
    seed: int = 0
    """Of everything that is random."""
    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        names = [f.name for f in dataclasses.fields(Options)]
        options = Options(**{name: getattr(self, name) for name in names})
        named("--learner", self.learner, list(LEARNERS))
        positive(0, 2**32 - 1, seed=self.seed)
        positive(0, baseline_budget=self.baseline_budget)
        check_options(options)
        keep_compiled()
        from meio_jax.files import load_system

        with stops() as stop:
            return self._learn(load_system(self.file), options, stop)

    def _learn(self, system: System, options: Options, stop: Stop) -> Result:
        import jax
        import numpy as np

        from meio_jax.checkpoint import Checkpoints
        from meio_jax.learners.loop import TrainingDivergedError, train
        from meio_jax.progress import Progress

        config, hyper = options.config(system)
        config.check(system.network)
        run, done, state = self._begin(system, options)
        key, search_key = jax.random.split(jax.random.key(self.seed))
        checkpoints = Checkpoints(run.checkpoints)
        began = time.monotonic()
        try:
            baseline = _baseline(run, system, search_key, self.baseline_budget)
            best = None if baseline is None else baseline["cost"]
            unit = config.lanes * config.segment
            with Progress(config.updates, start=done, best_classical=best, json=self.json, unit=unit) as progress:

                def after(state: TrainState, metrics: dict[str, Any]) -> bool:
                    _log(run, int(state.update), metrics, config.eval_every)
                    checkpoints.save(int(state.update), state)
                    progress.on_chunk(state, metrics)
                    return stop.number is not None

                if done < config.updates and stop.number is None:
                    state, _ = train(
                        config, system.network, system.processes, hyper, key,
                        callback=after, chunk=config.eval_every, state=state,
                    )  # fmt: skip
        except TrainingDivergedError as e:
            run.fail(str(e))
            raise
        except Exception as e:
            run.fail(f"{type(e).__name__}: {e}")
            raise
        updates = done if state is None else int(state.update)
        finished = updates >= config.updates
        if finished and run.status != "done":
            run.finish()
        cost = None if state is None or not np.isfinite(np.asarray(state.best_cost)) else float(state.best_cost)
        data: dict[str, Any] = {
            "out": str(self.out),
            "learner": self.learner,
            "updates": updates,
            "of": config.updates,
            "finished": finished,
            "stopped_by": None if finished else stop.name,
            "resumed_from": done or None,
            "cost": cost,
            "baseline": baseline,
            "gap_percent": None if cost is None or not best else 100.0 * (cost - best) / abs(best),
            "seconds": round(time.monotonic() - began, 3),
        }
        return Result(data, _text(data), 0 if finished or stop.number is None else 128 + stop.number)

    def _begin(self, system: System, options: Options) -> tuple[Run, int, TrainState | None]:
        """The run, the updates that are done, and the state after them. Raises `InputError` for other runs."""
        from meio_jax.checkpoint import Checkpoints
        from meio_jax.files import dump_system
        from meio_jax.runs import MANIFEST, Run

        described = options.described(self.learner, system)
        done, state = 0, None
        if (self.out / MANIFEST).exists():
            run = Run.open(self.out, described, seed=self.seed)
            checkpoints = Checkpoints(run.checkpoints)
            if checkpoints.steps():
                restored = checkpoints.restore(template(*options.config(system), system))
                done, state = restored.step, restored.tree
                say(f"going on with {self.out} after update {done} of {options.updates}")
            if done < options.updates or run.status != "done":
                run = Run.resume(self.out, described, seed=self.seed, step=done)
        else:
            run = Run.create(self.out, described, seed=self.seed)
        if not (self.out / SYSTEM).exists():
            dump_system(system, self.out / SYSTEM)
        return run, done, state


def _baseline(run: Run, system: System, key: Any, budget: int) -> dict[str, Any] | None:
    """The tuned classical rule: from the run's folder, else searched for and kept there. The key is consumed."""
    if (run.folder / "baseline.json").exists():
        return dict(run.load_json("baseline"))
    if not budget:
        return None
    fixed = system.network.fixed_order_cost
    name = BASELINE if fixed is None or not bool((fixed > 0).any()) else BASELINE_WITH_ORDER_COSTS
    say(f"tuning {name} with {budget} candidates")
    policy = make_policy(name)
    found = tune(system, policy, start_theta(policy, system), key, budget, 500, 100)
    baseline = {
        "policy": name,
        "theta": plain_numbers(found.theta),
        "cost": found.cost,
        "low": found.low,
        "high": found.high,
    }
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
    lines = [f"{data['out']}: {data['updates']} of {data['of']} updates"]
    if data["cost"] is not None:
        lines.append(f"  learned policy      {data['cost']:.5g} per period (best of its evaluations)")
    if data["baseline"]:
        lines.append(f"  {data['baseline']['policy']}  {data['baseline']['cost']:.5g} per period (tuned)")
    if data["gap_percent"] is not None:
        lines.append(
            f"  difference          {data['gap_percent']:+.2f} %; 'meio evaluate {data['out']}' compares in pairs"
        )
    if not data["finished"]:
        lines.append(f"  stopped by {data['stopped_by']}; the same command goes on")
    return "\n".join(lines)
