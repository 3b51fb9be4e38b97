"""gym-invmgmt's environment behind two pipes, for policies that live in another Python.

Run by experiments/gaps/there.py in gym-invmgmt's own environment (see make_goldens.py). One JSON object a line, and one
line back for each:

    {"scenario": "serial", "backlog": true, "periods": 30}  its nodes and links, in the order of its arrays
    {"seed": 42}                                            {"seen": what it observes after reset(seed=42)}
    {"orders": [..]}                                        {"seen": .., "reward": .., "over": ..}
"""

from __future__ import annotations

import importlib.metadata
import json
import sys

import numpy as np
from gym_invmgmt.core_env import CoreEnv


def describe(env: CoreEnv) -> dict[str, object]:
    net = env.network
    return {
        "version": importlib.metadata.version("gym-invmgmt"),
        "nodes": [str(n) for n in net.main_nodes],
        "links": [[str(a), str(b), int(net.lead_times[a, b])] for a, b in net.reorder_links],
        "markets": len(net.retail_links),
        "backlog": bool(env.backlog),
    }


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the package prints must not come between
    env = None
    for line in sys.stdin:
        asked = json.loads(line)
        if "scenario" in asked:
            env = CoreEnv(scenario=asked["scenario"], num_periods=asked["periods"], backlog=asked["backlog"])
            answer = describe(env)
        elif "seed" in asked:
            answer = {"seen": env.reset(seed=asked["seed"])[0].tolist()}
        else:
            seen, reward, terminated, truncated, _ = env.step(np.array(asked["orders"], float))
            answer = {"seen": seen.tolist(), "reward": reward, "over": bool(terminated or truncated)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
