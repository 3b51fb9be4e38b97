"""Stable-Baselines3 on gym-invmgmt and on our adapter, gym-invmgmt's own speed, beside ours; run by benchmarks.run.

In an environment of its own (`requirements-learners.txt`), which also holds what `import meio_jax` needs; the package
itself is read from this checkout.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from gym_invmgmt.core_env import CoreEnv
from stable_baselines3 import PPO

from benchmarks.peers.turns import ours, quick, row, seconds, spread, tell

STEPS = 200_000
PERIODS = 30


def peer_steps(scenario: str, episodes: int) -> float:
    """Environment steps a second of gym-invmgmt, the same order in every period."""
    env = CoreEnv(scenario=scenario, num_periods=PERIODS, backlog=True)
    order = np.full(env.action_space.shape, 20.0, dtype=env.action_space.dtype)

    def play() -> None:
        for k in range(episodes):
            env.reset(seed=k)
            for _ in range(PERIODS):
                env.step(order)

    play()
    return episodes * PERIODS / seconds(play)


def environment(rounds: int) -> list[dict]:
    rows = []
    for scenario in ("serial", "network"):
        theirs = [peer_steps(scenario, 10 if quick() else 50) for _ in range(rounds)]
        mine = [ours("gym_invmgmt_steps", scenario=scenario)["steps_per_second"] for _ in range(rounds)]
        ratio = spread([a / b for a, b in zip(mine, theirs, strict=True)])
        rows.append(
            row(
                f"environment steps, {scenario}, against gym-invmgmt",
                ">= 3,000 x",
                f"{ratio['median']:,.0f} x ({ratio['low']:,.0f} to {ratio['high']:,.0f}); "
                f"{statistics.median(mine) / 1e6:.1f} M/s, {statistics.median(theirs):,.0f}/s there",
                ratio["median"] >= 3_000,
                ratio=ratio,
                ours=mine,
                theirs=theirs,
            )
        )
    return rows


def profit(model: PPO, env: CoreEnv, episodes: int) -> float:
    """Mean profit of the mode policy."""
    total = 0.0
    for k in range(episodes):
        seen, _ = env.reset(seed=10_000 + k)
        for _ in range(PERIODS):
            action, _ = model.predict(seen, deterministic=True)
            seen, reward, *_ = env.step(action)
            total += float(reward)
    return total / episodes


def learning(steps: int) -> list[dict]:
    """PPO at each library's own defaults on gym-invmgmt's serial network with backlog."""
    env = CoreEnv(scenario="serial", num_periods=PERIODS, backlog=True)
    model = PPO("MlpPolicy", env, seed=0, device="cpu")
    begin = time.perf_counter()
    model.learn(steps)
    took = time.perf_counter() - begin
    reached = profit(model, env, 20 if quick() else 200)
    mine = ours("ppo_gym_invmgmt", profit=reached)
    faster = mine["steps_per_second"] / (steps / took)
    share = None if mine["seconds_to_profit"] is None else mine["seconds_to_profit"] / took
    said = (
        "not reached" if share is None else f"1/{1 / share:.0f}: {mine['seconds_to_profit']:.1f} s against {took:.0f} s"
    )
    return [
        row(
            "PPO steps, gym-invmgmt serial, against SB3", ">= 300 x",
            f"{faster:,.0f} x: {mine['steps_per_second']:,.0f}/s against {steps / took:,.0f}/s",
            faster >= 300, ours=mine, theirs={"seconds": took, "steps": steps, "profit": reached},
        ),
        row(
            f"PPO to SB3's profit after {steps:,} steps", "<= 1/50",
            f"{said}, compilation included; profit {reached:,.1f}, ours {mine['profit']:,.1f}",
            share is not None and share <= 1 / 50, ours=mine, theirs={"seconds": took, "profit": reached},
        ),
    ]  # fmt: skip


def adapter(steps: int) -> dict:
    """SB3 trains on our gymnasium adapter: the cost of a year before and after."""
    from benchmarks.ours import four_stages
    from meio_jax.actions import OrderUpTo
    from meio_jax.adapters import GymEnv
    from meio_jax.system import System

    env = GymEnv(System(*four_stages()), horizon=100, head=OrderUpTo())

    def cost(model: PPO) -> float:
        total = 0.0
        for k in range(5):
            seen, _ = env.reset(seed=10_000 + k)
            for _ in range(100):
                seen, reward, *_ = env.step(model.predict(seen, deterministic=True)[0])
                total -= float(reward)
        return total / 500

    model = PPO("MlpPolicy", env, seed=0, device="cpu")
    before = cost(model)
    took = seconds(lambda: model.learn(steps))
    after = cost(model)
    said = f"cost a period {before:.1f} before, {after:.1f} after {steps:,} steps; {steps / took:,.0f} steps/s"
    return row(
        "SB3's PPO trains on GymEnv", "learns", said, after < before,
        before=before, after=after, steps=steps, seconds=took,
    )  # fmt: skip


def main() -> None:
    rounds = 1 if quick() else 5
    tell([*environment(rounds), adapter(4_096 if quick() else 40_960), *learning(4_096 if quick() else STEPS)])


if __name__ == "__main__":
    main()
