"""``meio simulate``: play a rule on a system and say what it costs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import tyro

from meio_jax.cli.common import (
    POLICIES,
    Result,
    UsageError,
    keep_compiled,
    make_policy,
    named,
    plain_numbers,
    positive,
    report_memory,
    start_theta,
)

__all__ = ["Simulate"]


@dataclasses.dataclass(frozen=True)
class Simulate:
    """Play a policy on a system: mean cost per period with its 95 % interval, and key figures.

    Policies: base_stock, echelon_base_stock, capped_base_stock, s_S, echelon_s_S, r_nQ, echelon_r_nQ, constant_order,
    forecast. Without --levels or --theta they start from the mean and deviation of demand; --tune finds better numbers.
    """

    file: tyro.conf.Positional[Path]
    """Network file, .yaml or .json."""
    policy: str = "echelon_base_stock"
    """Name of the policy."""
    levels: tuple[float, ...] = ()
    """The policy's first number (level, s, r or quantity) for each node in the file's order, or one for all."""
    theta: tuple[str, ...] = ()
    """Any of the policy's numbers, each as NAME=VALUE or NAME=VALUE,VALUE,.. with one for each node."""
    tune: bool = False
    """Search for good numbers first."""
    budget: int = 500
    """With --tune: candidates to try."""
    periods: int = 1000
    """Periods to play, the warm-up included."""
    lanes: int = 256
    """Independent replications."""
    seed: int = 0
    """Of the random draws."""
    warmup: int = 100
    """Periods at the start that do not count."""
    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        check_horizon(self.periods, self.lanes, self.warmup, self.seed)
        positive(budget=self.budget)
        named("--policy", self.policy, list(POLICIES))
        given = read_theta(self.policy, self.levels, self.theta)
        keep_compiled()
        import jax

        from meio_jax.evaluate import evaluate
        from meio_jax.files import load_system

        system = load_system(self.file)
        policy = make_policy(self.policy)
        theta = place_theta(system.network, start_theta(policy, system), given)
        search_key, play_key = jax.random.split(jax.random.key(self.seed))
        oldest = report_memory(system)
        data: dict[str, Any] = {}
        if self.tune:
            found = tune(system, policy, theta, search_key, self.budget, self.periods, self.warmup)
            theta = found.theta
            data["tuned"] = {"evaluations": found.evaluations, "method": found.method}
        result = evaluate(
            system.network, {self.policy: (policy, theta)}, system.processes, play_key,
            periods=self.periods, lanes=self.lanes, warmup=self.warmup, oldest=oldest,
        )  # fmt: skip
        values = result.kpis[self.policy]
        cost = values["cost"]
        data = {
            "file": str(self.file),
            "name": system.name,
            "policy": self.policy,
            "theta": plain_numbers(theta),
            "periods": self.periods,
            "lanes": self.lanes,
            "seed": self.seed,
            "warmup": self.warmup,
            "cost_mean": cost.mean,
            "cost_low": cost.low,
            "cost_high": cost.high,
            "kpis": {k: v.mean for k, v in values.items()},
            "kpis_low": {k: v.low for k, v in values.items()},
            "kpis_high": {k: v.high for k, v in values.items()},
            "note": result.note,
            **data,
        }
        numbers = "; ".join(f"{k}: {_short(v)}" for k, v in data["theta"].items())
        return Result(data, f"{system.name or self.file}\n{result.table()}\n{self.policy}: {numbers}")


def _short(values: Any) -> str:
    return (
        " ".join(f"{v:g}" for v in values)
        if isinstance(values, list) and not any(isinstance(v, list) for v in values)
        else str(values)
    )


def check_horizon(periods: int, lanes: int, warmup: int, seed: int) -> None:
    """Refuse sizes that cannot be played. Raises `UsageError`."""
    positive(periods=periods, most=10_000_000)
    positive(lanes=lanes, most=10_000_000)
    positive(0, 2**32 - 1, seed=seed)
    positive(0, warmup=warmup)
    if warmup >= periods:
        raise UsageError(f"--warmup {warmup} leaves nothing of --periods {periods}; give fewer")


def read_theta(policy: str, levels: tuple[float, ...], theta: tuple[str, ...]) -> dict[str, list[float]]:
    """The numbers that were given, by name. Raises `UsageError`."""
    given: dict[str, list[float]] = {}
    if levels:
        first = {"s_S": "reorder", "r_nQ": "reorder", "constant_order": "quantity"}
        if policy == "forecast":
            raise UsageError(
                "--levels: the policy forecast has none; use --theta z=.. (standard deviations of safety stock)"
            )
        given[first.get(policy.removeprefix("echelon_"), "level")] = list(levels)
    for word in theta:
        name, equals, values = word.partition("=")
        try:
            given[name] = [float(v) for v in values.split(",")]
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError(f"--theta {word}: write NAME=VALUE or NAME=VALUE,VALUE,..")
    for name, numbers in given.items():
        if not all(math.isfinite(v) for v in numbers):
            raise UsageError(f"{name}: the numbers must be finite, got {numbers}")
    return given


def place_theta(network: Any, theta: dict[str, Any], given: dict[str, list[float]]) -> dict[str, Any]:
    """The starting numbers with the given ones in their places. Raises `UsageError`."""
    import jax.numpy as jnp

    out = dict(theta)
    for name, values in given.items():
        named("--theta", name, list(theta))
        rows = theta[name].shape[0]
        if len(values) not in (1, rows):
            w = network.wiring
            nodes = [w.nodes[n] for n in w.node_of_input]
            whose = {w.n_inner: w.arcs[: w.n_inner], w.n_inputs: nodes}.get(rows, w.arcs[w.n_inner :])
            raise UsageError(f"{name}: {len(values)} numbers given; give 1, or {rows}: for {', '.join(whose)}")
        out[name] = jnp.broadcast_to(jnp.asarray(values, theta[name].dtype)[:, None], theta[name].shape)
        if name == "reorder" and "up_to" in out and "up_to" not in given:  # keep the distance between s and S
            out["up_to"] = out["reorder"] + (theta["up_to"] - theta["reorder"])
    return out


def tune(system: Any, policy: Any, theta: Any, key: Any, budget: int, periods: int, warmup: int) -> Any:
    """Good numbers for a policy, see `meio_jax.solvers.search.search`. The key is consumed."""
    from meio_jax.solvers.search import search

    most = warmup + min(periods - warmup, 400)
    return search(
        system.network, policy, system.processes, key,
        theta0=theta, budget=budget, periods=most, warmup=warmup, oldest=report_memory(system),
    )  # fmt: skip
