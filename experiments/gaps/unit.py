"""One cell of the table: a learner on an instance, some seeds; and its file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.gaps.families import FAMILIES, instance_named
from experiments.gaps.judge import costs_of, profits_of, reference_of
from experiments.gaps.there import PYTHON, play_there
from meio_jax.evaluate import t_interval
from meio_jax.instances import gym_invmgmt
from meio_jax.learners.loop import train_seeds
from meio_jax.learners.registry import LEARNERS
from meio_jax.runs import environment, read_json, write_json

__all__ = ["path_of", "run_unit"]

FORMAT = "meio_jax.gaps/1"


def path_of(out: Path, learner: str, name: str) -> Path:
    return out / learner / (name.replace("/", "__") + ".json")


def run_unit(out: Path, family: str, learner: str, name: str, seeds: int, updates: int | None = None) -> dict[str, Any]:
    """Train, judge, write; or read what a run before this one has written for the same seeds and updates."""
    path = path_of(out, learner, name)
    asked = {
        "format": FORMAT,
        "family": family,
        "learner": learner,
        "instance": name,
        "seeds": seeds,
        "updates": updates,
    }
    if path.exists():
        kept: dict[str, Any] = read_json(path)
        if all(kept.get(k) == v for k, v in asked.items()) and not _unplayed(kept):
            return kept
    instance = instance_named(name)
    problem = instance.problem
    known = LEARNERS[learner]
    changes = {} if updates is None else {"updates": updates, "eval_every": max(1, updates // 10)}
    config, hyper = known.for_problem(problem, **changes)
    begun = time.perf_counter()
    keys = jax.random.split(jax.random.key(seeds), seeds)
    runs = train_seeds(config, problem.network, problem.processes, hyper, keys)
    thetas = [jax.block_until_ready(state.best_theta) for state, _ in runs]
    trained = time.perf_counter() - begun
    result: dict[str, Any] = {**asked, "train_seconds": trained, "default_updates": config.updates}
    if FAMILIES[family].reference == "hindsight":
        rows = [profits_of(problem, config.policy, theta) for theta in thetas]
        oracle = gym_invmgmt.oracle(problem.network)
        for row, theta in zip(rows, thetas, strict=True):
            if PYTHON.exists():
                row["there"] = play_there(problem.network, config.policy, theta, name.split("/")[1])
            row["gap"] = 100.0 * (-oracle - row["profit"]) / abs(oracle)
        result |= {"reference": "hindsight", "reference_cost": oracle}
    else:
        reference = reference_of(FAMILIES[family], instance)
        rows = costs_of(problem, config.policy, thetas, reference)
        result |= {"reference": reference.what, "reference_cost": reference.cost, "rules": dict(reference.rules)}
    gaps = np.array([row["gap"] for row in rows])
    low, high = t_interval(gaps, 0.95)
    curves = [np.asarray(metrics["eval_cost"], float).tolist() for _, metrics in runs if "eval_cost" in metrics]
    result |= {
        "rows": rows, "gap": float(gaps.mean()), "gap_low": low, "gap_high": high, "worst": float(gaps.max()),
        "curves": curves, "every": config.eval_every, "config": repr(config), "hyper": repr(hyper),
        "seconds": time.perf_counter() - begun, **environment(),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result, nonfinite="null")
    return result


def _unplayed(kept: dict[str, Any]) -> bool:
    """Whether a cell waits for the environment itself, which was not there and now is."""
    waits = FAMILIES[kept["family"]].reference == "hindsight" and any("there" not in row for row in kept["rows"])
    return waits and PYTHON.exists()
