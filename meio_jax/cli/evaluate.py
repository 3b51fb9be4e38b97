"""``meio evaluate``: the learned policy beside tuned rules, on the same fresh scenarios."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tyro

from meio_jax.cli.common import (
    POLICIES,
    Result,
    keep_compiled,
    make_policy,
    named,
    positive,
    report_memory,
    start_theta,
)
from meio_jax.cli.runfolder import classical, open_run
from meio_jax.cli.simulate import check_horizon, tune

__all__ = ["Evaluate"]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Compare the policy of a run with tuned rules on the same fresh scenarios: costs, intervals, differences."""

    folder: tyro.conf.Positional[Path]
    """Folder of a run of 'meio train'."""
    policies: tuple[str, ...] = ()
    """Rules to tune and compare with, besides the one tuned by 'meio train'; names as in 'meio simulate'."""
    budget: int = 500
    """Candidates to try for each of them."""
    periods: int = 1000
    """Periods to play, the warm-up included."""
    lanes: int = 512
    """Independent replications."""
    warmup: int = 100
    """Periods at the start that do not count."""
    seed: int = 12345
    """Of the scenarios and of the search; unlike that of the training."""
    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        check_horizon(self.periods, self.lanes, self.warmup, self.seed)
        positive(budget=self.budget)
        for name in self.policies:
            named("--policies", name, list(POLICIES))
        keep_compiled()
        import jax

        from meio_jax.evaluate import evaluate
        from meio_jax.runs import plain

        learned = open_run(self.folder)
        system, run = learned.system, learned.run
        learner = run.manifest["config"]["learner"]
        play_key, search_key = jax.random.split(jax.random.key(self.seed))
        policies: dict[str, tuple[Any, Any]] = {learner: (learned.policy, learned.theta)}
        if (run.folder / "baseline.json").exists():
            saved = run.load_json("baseline")
            policies[saved["policy"]] = classical(system, saved)
        for name in self.policies:
            if name not in policies:
                search_key, key = jax.random.split(search_key)
                policy = make_policy(name)
                found = tune(system, policy, start_theta(policy, system), key, self.budget, self.periods, self.warmup)
                policies[name] = policy, found.theta
        others = [name for name in policies if name != learner]
        result = evaluate(
            system.network, policies, system.processes, play_key,
            periods=self.periods, lanes=self.lanes, warmup=self.warmup, oldest=report_memory(system),
            baseline=others[0] if others else None,
        )  # fmt: skip
        found_all = {
            name: {
                "cost_mean": v["cost"].mean,
                "cost_low": v["cost"].low,
                "cost_high": v["cost"].high,
                "kpis": {k: e.mean for k, e in v.items()},
            }
            for name, v in result.kpis.items()
        }
        data = {
            "folder": str(self.folder),
            "policy": learner,
            "updates": learned.updates,
            **found_all[learner],
            "policies": found_all,
            "baseline": result.baseline,
            "differences": {k: dataclasses.asdict(d) for k, d in result.differences.items()},
            "periods": self.periods,
            "lanes": self.lanes,
            "warmup": self.warmup,
            "seed": self.seed,
            "note": result.note,
        }
        data = plain(data, nonfinite="null")
        run.save_json("evaluation", data)
        return Result(data, result.table())
