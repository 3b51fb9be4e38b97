"""The main job, from a year of point-of-sale history to a verdict: ``make demo`` or ``python -m experiments.demo``.

1. Read daily sales of one product group in ten stores; keep the last 13 weeks aside.
2. Fit the demand process on the rest; build a distribution centre that supplies the stores.
3. Tune classical rules by simulation, each with the same budget.
4. Train PPO in the same fitted world, from the tuned weekday rule on; three seeds in one program.
5. Play all of them on fresh scenarios of the fitted world and on the 13 weeks that no fit has seen.

It prints what it found, also where the learner lost, and writes everything to ``results/demo/``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.compile_cache import keep_compiled
from meio_jax.checkpoint import Checkpoints
from meio_jax.data import DataUnavailable, History, complete_journey, split, synthetic_history
from meio_jax.errors import InputError
from meio_jax.evaluate import Evaluation, evaluate
from meio_jax.learners.config import PPOConfig, PPOHyper
from meio_jax.learners.ppo import init_train, train_chunk
from meio_jax.observation import accumulate_downstream
from meio_jax.policies import BaseStock, CappedBaseStock, ReorderUpTo, SeasonalBaseStock
from meio_jax.policies.scale import measure_scale
from meio_jax.processes import Processes
from meio_jax.progress import Progress
from meio_jax.rollout import rollout
from meio_jax.runs import Run
from meio_jax.scenario import scenario_of
from meio_jax.solvers import search
from meio_jax.twin import distribution_centre, fit_demand

HOLDOUT = 91
WEEKDAY = "weekday base-stock"
WARMUP = 28  # whole weeks, so that the calendar of a backtest is that of the fitted process


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much work goes into each part."""

    seeds: int
    updates: int
    lanes: int
    chunks: int
    candidates: int
    search_lanes: int
    fresh_lanes: int


FULL = Budget(seeds=3, updates=120, lanes=512, chunks=20, candidates=3000, search_lanes=32, fresh_lanes=512)
QUICK = Budget(seeds=1, updates=40, lanes=128, chunks=8, candidates=600, search_lanes=16, fresh_lanes=128)


def load(product_group: str | None, synthetic: bool) -> History:
    """The real history, or the package's synthetic one where the data cannot be had; it says which."""
    if not synthetic:
        try:
            return complete_journey(product_group) if product_group else complete_journey()
        except DataUnavailable as error:
            print(f"NOTE: {error}\nNOTE: going on with a SYNTHETIC history; every output is labelled so.", flush=True)
    return synthetic_history(seed=0)


def tune_rules(network: Any, world: Processes, calendar: np.ndarray, budget: Budget, key: jax.Array) -> dict[str, Any]:
    """Classical rules by name, each with (policy, theta), tuned with the same number of candidates and scenarios.

    ``calendar``: expected demand by place in the week, ``[7, C]`` from period 0 on.
    """
    season = SeasonalBaseStock.following(network, calendar)
    rules = {
        "base-stock": BaseStock(),
        "(s, S)": ReorderUpTo(),
        "capped base-stock": CappedBaseStock(),
        WEEKDAY: season,
    }
    tuned: dict[str, Any] = {}
    for name, policy in rules.items():
        began = time.perf_counter()
        first = None
        if tuned:  # all of them contain base-stock: begin where that search ended
            level = tuned["base-stock"][1]["level"]
            first = {
                "(s, S)": {"reorder": level - 1.0, "up_to": level},
                "capped base-stock": {"level": level, "cap": level},
                WEEKDAY: {"level": accumulate_downstream(network, level), "swing": jnp.ones_like(level)},
            }[name]
        found = search(
            network, policy, world, key, theta0=first, budget=budget.candidates, lanes=budget.search_lanes,
            periods=182, warmup=WARMUP,
        )  # fmt: skip
        tuned[name] = (policy, found.theta)
        print(
            f"  {name:20s} {found.cost:8.4f} a day  [{found.low:.4f}, {found.high:.4f}]  "
            f"{found.evaluations} candidates, {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    return tuned


def train_ppo(
    network: Any, world: Processes, rule: tuple[Any, Any], budget: Budget, best: float, run: Run, seed: int
) -> tuple[PPOConfig, Any, dict[str, np.ndarray]]:
    """Train all seeds in one program, from the tuned weekday rule on.

    Returns:
      The configuration, the train states (a leading axis over seeds), and the validation costs ``[seeds, chunks]``.
    """
    every = budget.updates // budget.chunks
    config = PPOConfig(
        updates=budget.updates, lanes=budget.lanes, segment=64, epochs=2, cycle=7, credit="local", eval_every=every,
        eval_lanes=128, eval_periods=210, eval_warmup=WARMUP,
    )  # fmt: skip
    hyper = PPOHyper(learning_rate=3e-4, discount=0.95, trace=0.8, std=0.2, std_end=0.1)
    sizes, start = jax.random.split(jax.random.key(seed))
    scale = measure_scale(network, world, sizes, lanes=budget.lanes)
    policy, theta = rule
    season = theta["swing"] * jnp.asarray(policy.season)[..., None]
    scale = dataclasses.replace(scale, echelon=theta["level"], season=season)
    keys = jax.random.split(start, budget.seeds)
    states = jax.vmap(lambda key: init_train(config, network, world, hyper, key, scale=scale))(keys)
    chunk = jax.jit(jax.vmap(lambda state: train_chunk(config, network, world, hyper, state, every)))
    saved = Checkpoints(run.checkpoints, keep=1)
    costs = []
    steps = budget.seeds * budget.lanes * config.segment
    with Progress(budget.updates, best_classical=best, unit=steps, label="PPO") as progress:
        for k in range(budget.chunks):
            states, metrics = chunk(states)
            if not np.asarray(metrics["finite"]).all():
                print("NOTE: some updates were not finite and were rolled back", flush=True)
            found = np.asarray(metrics["eval_cost"])[:, -1]
            costs.append(found)
            progress((k + 1) * every, found.mean())
            run.log((k + 1) * every, {"eval_cost": found.mean(), **{f"eval_cost_{i}": x for i, x in enumerate(found)}})
    saved.save(budget.updates, states, {"seeds": budget.seeds})
    return config, states, {"cost": np.stack(costs, 1), "steps": np.arange(1, budget.chunks + 1) * every}


def best_numbers(states: Any, member: int) -> Any:
    """Theta of the policy that validated best in one seed's run."""
    one = jax.tree.map(lambda x: x[member], states)
    params, moments = one.best
    return dataclasses.replace(one.theta, params=params, moments=moments)


def report(title: str, found: Evaluation) -> None:
    print(f"\n{title}\n{found.table()}", flush=True)


def figures(run: Run, network: Any, curve: dict[str, Any], tuned: dict[str, float], held: Any, label: str) -> None:
    from meio_jax import plot

    plot.draw_network(network, title=f"Distribution network{label}").savefig(run.folder / "network.png", dpi=130)
    plot.learning_curve(
        curve, tuned, x_label="updates", y_label="validation cost per day", title=f"PPO beside tuned rules{label}"
    ).savefig(run.folder / "learning.png", dpi=130)
    plot.stock_over_time(
        network, held, nodes=network.wiring.nodes[:4], periods=slice(WARMUP, None),
        title=f"PPO on the held-out weeks{label}",
    ).savefig(run.folder / "stock.png", dpi=130)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute instead of five")
    parser.add_argument("--synthetic", action="store_true", help="do not read the real data")
    parser.add_argument("--group", default=None, help="product group of the Complete Journey data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/demo"))
    args = parser.parse_args(argv)
    keep_compiled()
    began = time.perf_counter()
    budget = QUICK if args.quick else FULL

    try:
        history = load(args.group, args.synthetic)
    except InputError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    label = " (SYNTHETIC data)" if history.synthetic else ""
    past, future = split(history, HOLDOUT)
    fit = fit_demand(past)
    network = distribution_centre(past)
    world = Processes(demand=fit.process)
    print(f"Data: {history.product_group}{label}, {history.source}")
    print(
        f"{len(history.customers)} stores, {len(past.dates)} days to learn from, {len(future.dates)} held out; "
        f"{past.demand.sum(1).mean():.1f} units a day, {future.demand.sum(1).mean():.1f} in the held-out weeks",
        flush=True,
    )
    config = {"budget": dataclasses.asdict(budget), "data": history.source, "synthetic": history.synthetic,
              "product_group": history.product_group, "fit": fit.summary()}  # fmt: skip
    clear(args.out)
    with Run.create(args.out, config, seed=args.seed) as run:
        tune_key, fresh_key, held_key = jax.random.split(jax.random.key(args.seed + 1), 3)
        print("Tuning classical rules on the fitted world:", flush=True)
        calendar = np.roll(fit.mean, -fit.start, axis=0)
        rules = tune_rules(network, world, calendar, budget, tune_key)
        first = evaluate(
            network, rules, world, jax.random.key(PPOConfig.eval_seed), periods=210, lanes=128, warmup=WARMUP
        )
        validation = {name: first.kpis[name]["cost"].mean for name in rules}
        setup, states, curve = train_ppo(
            network, world, rules[WEEKDAY], budget, min(validation.values()), run, args.seed
        )

        policies = dict(rules)
        for member in range(budget.seeds):
            policies[f"PPO seed {member}"] = (setup.policy, best_numbers(states, member))
        fresh = evaluate(
            network, policies, world, fresh_key, periods=WARMUP + 364, lanes=budget.fresh_lanes, warmup=WARMUP,
            baseline=WEEKDAY,
        )  # fmt: skip
        days = np.concatenate([past.demand[-WARMUP:], future.demand])
        backtest = scenario_of(days)
        held = evaluate(network, policies, backtest, held_key, warmup=WARMUP, baseline=WEEKDAY)
        report(f"Fresh scenarios of the fitted world, {budget.fresh_lanes} x 364 days{label}", fresh)
        report(
            f"The {HOLDOUT} held-out days, used for no fit (but the stores were chosen on the whole year){label}", held
        )
        played = rollout(network, *policies["PPO seed 0"], backtest, held_key, keep_trajectory=True)
        figures(run, network, curve, validation, played.trajectory, label)
        result = {"synthetic": history.synthetic, "fresh": fresh.to_json(), "held_out": held.to_json()}
        run.save_json("result.json", {**result, "seconds": time.perf_counter() - began})
        (run.folder / "tables.txt").write_text(
            f"Fresh scenarios{label}\n{fresh.table()}\n\nHeld-out days{label}\n{held.table()}\n"
        )
    verdict(fresh, held, budget, label)
    print(f"\n{time.perf_counter() - began:.0f} s; figures, tables, manifest and checkpoint in {args.out}/")
    return 0


def verdict(fresh: Evaluation, held: Evaluation, budget: Budget, label: str) -> None:
    """One honest sentence for each test."""
    for where, found in (("fresh scenarios", fresh), ("the held-out weeks", held)):
        seeds = [found.differences[f"PPO seed {k}"].percent for k in range(budget.seeds)]
        known = [p for p in seeds if p is not None]
        mean = float(np.mean([p.mean for p in known]))
        below = sum(p.high is not None and p.high < 0 for p in known)
        above = sum(p.low is not None and p.low > 0 for p in known)
        classical = min((v["cost"].mean, k) for k, v in found.kpis.items() if not k.startswith("PPO"))[1]
        print(
            f"On {where}{label}: PPO costs {mean:+.2f} % against the tuned {WEEKDAY} (mean of {len(known)} seeds; "
            f"interval below 0 in {below}, above 0 in {above}); the cheapest classical rule was {classical}."
        )


def clear(folder: Path) -> None:
    """Remove what an earlier demo left, and only that."""
    manifest = folder / "manifest.json"
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        ours = "budget" in json.loads(manifest.read_text()).get("config", {})
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise SystemExit(f"{folder} holds something that no demo wrote; choose another folder with --out")
    import shutil

    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
