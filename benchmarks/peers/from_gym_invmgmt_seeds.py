"""The demand of gym-invmgmt's ten published seeds. Run in gym-invmgmt's own environment (see make_goldens.py):

    /tmp/meio_peers/gym-invmgmt/bin/python benchmarks/peers/from_gym_invmgmt_seeds.py

The seeds are those of arXiv 2605.11355: each is given to the environment's ``reset``, which then draws the demand of 30
periods while it is played. Orders do not change the demand (goodwill is off), which is checked.
"""

from __future__ import annotations

import numpy as np
from common import series, write
from gym_invmgmt.core_env import CoreEnv

SEEDS = (42, 123, 456, 789, 1011, 2022, 3033, 4044, 5055, 6066)
PERIODS = 30


def demand(scenario: str, backlog: bool, seed: int, order: float) -> np.ndarray:
    """``[T, retail links]`` what customers asked for, ordering so much on every link in every period."""
    env = CoreEnv(scenario=scenario, num_periods=PERIODS, backlog=backlog)
    env.reset(seed=seed)
    for _ in range(PERIODS):
        env.step(np.full(len(env.network.reorder_links), order))
    return env.D.copy()


if __name__ == "__main__":
    traces = {}
    for scenario in ("network", "serial"):
        drawn = []
        for seed in SEEDS:
            one = demand(scenario, True, seed, 0.0)
            for backlog, order in ((True, 7.0), (False, 20.0)):
                assert np.array_equal(one, demand(scenario, backlog, seed, order))
            drawn.append(one)
        traces[scenario] = np.stack(drawn)  # [seeds, T, 1]
    assert np.array_equal(traces["network"], traces["serial"])
    write(
        "gym-invmgmt",
        "gym_invmgmt_ten_seeds",
        {
            "what": "demand per period of the ten seeds of arXiv 2605.11355: the same in all four scenarios",
            "periods": PERIODS,
            "seeds": list(SEEDS),
            "demand": series(traces["network"][:, :, 0]),
        },
    )
