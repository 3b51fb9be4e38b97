"""rejax's PPO on our gymnax-shaped adapter beside ours, with the same sizes; run by benchmarks.run.

In an environment of its own (`requirements-rejax.txt`), which also holds what `import meio_jax` needs; the package
itself is read from this checkout.
"""

from __future__ import annotations

import statistics

import jax
import rejax

from benchmarks.ours import four_stages
from benchmarks.peers.turns import ours, quick, row, seconds, spread, tell
from meio_jax.actions import OrderUpTo
from meio_jax.adapters import GymnaxEnv
from meio_jax.system import System

SIZES = {"segment": 32, "epochs": 4, "minibatches": 4, "widths": [64, 64]}


def algorithm(lanes: int, updates: int, evaluate: bool) -> rejax.PPO:
    env = GymnaxEnv(System(*four_stages()), horizon=100, head=OrderUpTo())
    steps = lanes * SIZES["segment"] * updates
    made = rejax.PPO.create(
        env=env, env_params=env.default_params, num_envs=lanes, num_steps=SIZES["segment"], num_epochs=SIZES["epochs"],
        num_minibatches=SIZES["minibatches"], total_timesteps=steps, eval_freq=steps,
        agent_kwargs={"hidden_layer_sizes": tuple(SIZES["widths"])},
    )  # fmt: skip
    return (
        made if evaluate else made.replace(eval_callback=lambda algorithm, state, key: (), skip_initial_evaluation=True)
    )


def speed(lanes: int, updates: int, rounds: int) -> dict:
    train = jax.jit(algorithm(lanes, updates, evaluate=False).train)
    play = lambda k: jax.block_until_ready(train(jax.random.key(k)))  # noqa: E731
    play(0)
    theirs, mine = [], []
    for k in range(rounds):
        theirs.append(updates * lanes * SIZES["segment"] / seconds(lambda k=k: play(k)))
        mine.append(ours("ppo_serial", lanes=lanes, updates=updates, **SIZES)["steps_per_second"])
    ratio = spread([a / b for a, b in zip(mine, theirs, strict=True)])
    return row(
        f"PPO steps, {lanes} lanes, against rejax", ">= 1.0 x",
        f"{ratio['median']:.2f} x ({ratio['low']:.2f} to {ratio['high']:.2f}); "
        f"{statistics.median(mine) / 1e3:,.0f} k/s against {statistics.median(theirs) / 1e3:,.0f} k/s",
        ratio["median"] >= 1.0, ratio=ratio, ours=mine, theirs=theirs, sizes=SIZES | {"lanes": lanes},
    )  # fmt: skip


def learns(updates: int) -> dict:
    """Rejax trains on GymnaxEnv: the return of an episode of 100 periods before and after."""
    _, (_, returns) = jax.jit(algorithm(64, updates, evaluate=True).train)(jax.random.key(0))
    means = returns.mean(1)
    before, after = float(means[0]), float(means[-1])
    said = (
        f"cost a period {-before / 100:.1f} before, {-after / 100:.1f} after {updates * 64 * SIZES['segment']:,} steps"
    )
    return row("rejax's PPO trains on GymnaxEnv", "learns", said, after > before, before=before, after=after)


def main() -> None:
    rounds, updates = (1, 10) if quick() else (5, 50)
    tell([learns(20 if quick() else 100), *(speed(lanes, updates, rounds) for lanes in (64, 256))])


if __name__ == "__main__":
    main()
