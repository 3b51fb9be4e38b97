"""The pathwise loop in PyTorch on its CPU beside ours; run by ``python -m benchmarks.run --only learners``.

In an environment of its own (`requirements-torch.txt`), which has PyTorch and NumPy. Both sides may use all cores.
PyTorch is measured as it comes and through ``torch.compile``; a ratio is to the quicker of the two.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from system import Serial, State, Weights, begin, draw, first_weights, period, play, see

from benchmarks.peers.turns import ours, quick, row, seconds, spread, tell

FOUR_STAGES, EXAMPLE = "hdpo_serial/L4_p4", "serial/example_6_1"
WIDTHS = (32, 32)
GAP = 0.005
LANES, PERIODS = 8_192, 50
Step = Callable[..., tuple[State, torch.Tensor]]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_system(chain: Serial) -> float:
    """The greatest difference of cost and gradient, over their size, on the same demand and the same weights."""
    weights = first_weights(chain, WIDTHS, generator(1))
    with torch.no_grad():
        weights[-2].normal_(0.0, 0.2, generator=generator(2))  # else nothing flows through the hidden layers
    demand = draw(chain, PERIODS, 64, generator(3))
    zero, one = torch.zeros(chain.features, 1), torch.ones(chain.features, 1)
    _, costs = play(chain, weights, zero, one, begin(chain, 64), demand)
    costs.mean().backward()
    mine = np.concatenate([w.grad.numpy().ravel() for w in weights])
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "given.npz")
        np.savez(file, demand=demand.numpy(), **{f"w{k}": w.detach().numpy() for k, w in enumerate(weights)})
        found = ours("cost_on", file=file)
    theirs = np.asarray(found["gradient"])
    off = np.abs(mine - theirs).max() / np.abs(theirs).max()
    return max(float(off), abs(float(costs.mean().detach()) / found["cost"] - 1.0))


def gradient_step(chain: Serial, step: Step, lanes: int) -> Callable[[], float]:
    """One update by Adam from the initial state: draws, forward, backward, clipped gradient."""
    weights = first_weights(chain, WIDTHS, generator(1))
    adam = torch.optim.Adam(weights, 1e-3)
    zero, one = torch.zeros(chain.features, 1), torch.ones(chain.features, 1)

    def update() -> float:
        adam.zero_grad()
        _, costs = play(chain, weights, zero, one, begin(chain, lanes), draw(chain, PERIODS, lanes), step)
        loss = costs.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
        return float(loss.detach())

    return update


def race(chain: Serial) -> dict[str, Any]:
    off = same_system(chain)
    if not off < 1e-3:
        raise RuntimeError(f"the two systems are not the same: cost or gradient differ by {off:.2g}")
    lanes, rounds = (1_024, 1) if quick() else (LANES, 5)
    eager = gradient_step(chain, period, lanes)
    ways: dict[str, Callable[[], float]] = {"eager": eager, "on one thread": alone(eager)}
    compiling = None
    if not quick():
        ways["compiled"] = gradient_step(chain, torch.compile(period), lanes)
        compiling = seconds(ways["compiled"])
    eager()
    speeds: dict[str, list[float]] = {name: [] for name in (*ways, "ours")}
    busy = []
    for _ in range(rounds):
        for name, step in ways.items():
            speeds[name].append(lanes * PERIODS / min(seconds(step) for _ in range(3)))
        found = ours("gradient_speed", lanes=lanes, periods=PERIODS)
        speeds["ours"].append(found["system_periods_per_second"])
        began = time.process_time()
        ways["on one thread"]()
        busy.append((time.process_time() - began) / found["processor_seconds"])
    middle = {name: statistics.median(x) for name, x in speeds.items() if x}
    best = max((name for name in middle if name != "ours"), key=middle.__getitem__)
    ratio = spread([a / b for a, b in zip(speeds["ours"], speeds[best], strict=True)])
    said = (
        f"{ratio['median']:.1f} x ({ratio['low']:.1f} to {ratio['high']:.1f}): {middle['ours'] / 1e6:.2f} M/s against "
        + ", ".join(f"{middle[name] / 1e6:.2f} {name}" for name in ways)
        + f"; processor time {statistics.median(busy):.1f} x"
    )
    return row(
        f"system-periods, forward and backward, {lanes:,} lanes, against PyTorch", ">= 5 x", said,
        ratio["median"] >= 5, ratio=ratio, speeds=speeds, busy=busy, difference=off, compile_seconds=compiling,
        **about(),
    )  # fmt: skip


def alone(step: Callable[[], float]) -> Callable[[], float]:
    """The same on one thread: where cores are busy, threads that wait for each other lose."""

    def play() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return step()
        finally:
            torch.set_num_threads(threads)

    return play


def about() -> dict[str, Any]:
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def rule_cost(chain: Serial, levels: list[float], demand: torch.Tensor, warmup: int) -> float:
    """Mean cost of a period of echelon base stock at these levels, by the same code: a network that says nothing."""
    there = chain._replace(reference=torch.tensor(levels)[:, None])
    return policy_cost(there, first_weights(there, WIDTHS, generator(0)), demand, warmup)


@torch.no_grad()
def policy_cost(
    chain: Serial, weights: Weights, demand: torch.Tensor, warmup: int, mean: Any = 0.0, deviation: Any = 1.0
) -> float:
    wide = (chain.features, 1)
    mean, deviation = torch.zeros(wide) + mean, torch.zeros(wide) + deviation
    _, costs = play(chain, weights, mean, deviation, begin(chain, demand.shape[-1]), demand)
    return float(costs[warmup:].double().mean())


def learn(chain: Serial, how: dict[str, Any], levels: list[float], every: int, updates: int, seed: int) -> Any:
    """Our pathwise learner: segments that go on, a tail that is not learned from, Polyak's average of the weights.

    Left out is what has no effect here: the salvage value (nothing is bought) and the bound on a unit's worth.

    Returns seconds and updates until the gap is reached, None if it never is, the gaps and updates a second.
    """
    torch.manual_seed(seed)
    evaluation = draw(chain, how["eval_warmup"] + how["eval_periods"], how["eval_lanes"], generator(20_230))
    optimum = rule_cost(chain, levels, evaluation, how["eval_warmup"])
    started = time.perf_counter()
    weights = first_weights(chain, WIDTHS, generator(seed))
    state, lanes = begin(chain, how["lanes"]), how["lanes"]
    mean, deviation, base, state = warm_up(chain, how, weights, state)
    adam = torch.optim.Adam(weights, how["learning_rate"], betas=(how["first"], how["second"]), eps=1e-8)
    average = [w.detach().clone() for w in weights]
    gaps: list[float] = []
    evaluating = 0.0
    for k in range(updates):
        left = 0.5 * (1.0 + math.cos(math.pi * k / how["updates"]))
        floor = how["learning_rate_floor"]
        adam.param_groups[0]["lr"] = how["learning_rate"] * (floor + (1.0 - floor) * left)
        adam.zero_grad()
        after, paid = play(chain, weights, mean, deviation, state.detach(), draw(chain, how["segment"], lanes))
        still = [w.detach() for w in weights]
        _, later = play(chain, still, mean, deviation, after, draw(chain, how["tail"], lanes))
        ((paid.sum() + later.sum()) / (how["segment"] * base)).backward()
        torch.nn.utils.clip_grad_norm_(weights, how["max_gradient"])
        adam.step()
        state = after
        with torch.no_grad():
            decay = min(how["average"], (1.0 + k) / (10.0 + k))
            for a, w in zip(average, weights, strict=True):
                a.lerp_(w, 1.0 - decay)
        if (k + 1) % every == 0:
            begun = time.perf_counter()
            gaps.append(policy_cost(chain, average, evaluation, how["eval_warmup"], mean, deviation) / optimum - 1.0)
            evaluating += time.perf_counter() - begun
            if gaps[-1] <= GAP:
                break
    took = time.perf_counter() - started
    done = len(gaps) * every
    reached = bool(gaps) and gaps[-1] <= GAP
    return {
        "seconds": took if reached else None, "updates": done if reached else None, "gaps": gaps,
        "updates_per_second": done / (took - evaluating),
    }  # fmt: skip


@torch.no_grad()
def warm_up(chain: Serial, how: dict[str, Any], weights: Weights, state: State) -> tuple[Any, Any, float, State]:
    """Leave the initial state; moments of the features and the untrained policy's cost, of the second half."""
    periods, lanes = how["warmup"], how["lanes"]
    zero, one = torch.zeros(chain.features, 1), torch.ones(chain.features, 1)
    demand = draw(chain, periods, lanes)
    kept, costs = [], []
    for t in range(periods):
        if t >= periods // 2:
            kept.append(see(chain, state, demand[t])[0])
        state, cost = period(chain, weights, zero, one, state, demand[t])
        costs.append(cost.mean())
    x = torch.stack(kept)
    deviation = x.var((0, 2), unbiased=False)[:, None].sqrt().clamp(min=how["least_deviation"])
    return x.mean((0, 2))[:, None], deviation, float(torch.stack(costs[periods // 2 :]).mean()), state


def to_gap(rounds: int, every: int) -> dict[str, Any]:
    numbers = ours("chain_numbers", instance=EXAMPLE)
    chain, how = Serial.read(numbers["chain"]), numbers["learner"]
    theirs, mine = [], []
    quicker(chain, how, numbers["optimal_levels"])
    for seed in range(rounds):
        theirs.append(learn(chain, how, numbers["optimal_levels"], every, how["updates"], seed))
        mine.append(ours("pathwise_to_gap", instance=EXAMPLE, every=every, seed=seed))
    what = f"0.5 % gap on Example 6.1, {how['lanes']} lanes, against PyTorch"
    if any(r["seconds"] is None for r in (*theirs, *mine)):
        return row(what, "<= 1/5", "not reached by " + ("PyTorch" if mine[0]["seconds"] else "ours"), False)
    ratio = spread([a["seconds"] / b["seconds"] for a, b in zip(mine, theirs, strict=True)])
    a, b = (statistics.median(r["seconds"] for r in side) for side in (mine, theirs))
    n, m = (statistics.median(r["updates"] for r in side) for side in (mine, theirs))
    u, v = (statistics.median(r["updates_per_second"] for r in side) for side in (mine, theirs))
    said = (
        f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}): {a:.1f} s, compilation included, for "
        f"{n:.0f} updates against {b:.1f} s for {m:.0f}; {u:.0f} updates/s once compiled against {v:.0f}"
    )
    return row(what, "<= 0.20", said, ratio["median"] <= 0.2, ratio=ratio, ours=mine, theirs=theirs, **about())


def quicker(chain: Serial, how: dict[str, Any], levels: list[float]) -> None:
    """Take as many threads as are quicker on so few lanes: all, or one."""
    speeds = {}
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        few = learn(chain, how, levels, every=5, updates=5, seed=0)
        speeds[threads] = few["updates_per_second"]
    torch.set_num_threads(max(speeds, key=speeds.__getitem__))


def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    rows = [race(Serial.read(ours("chain_numbers", instance=FOUR_STAGES)["chain"]))]
    rows.append(to_gap(1 if quick() else 3, 10))
    tell(rows)


if __name__ == "__main__":
    main()
