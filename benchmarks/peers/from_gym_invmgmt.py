"""Trajectories of gym-invmgmt's environments. Run by make_goldens.py in gym-invmgmt's own environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import PERIODS, number, poisson_trace, series, write
from gym_invmgmt.core_env import CoreEnv

#: Two retailers, three markets, two factories that lose a part of what they start, one of them short of capacity.
YIELDS = """
nodes:
  - {id: 0}
  - {id: 1}
  - {id: 2}
  - {id: 11, I0: 40, h: 0.03}
  - {id: 12, I0: 25, h: 0.04}
  - {id: 21, I0: 60, h: 0.02}
  - {id: 31, I0: 80, C: 30, v: 0.75, o: 0.02, h: 0.01}
  - {id: 32, I0: 50, C: 100, v: 0.5, o: 0.03, h: 0.015}
  - {id: 41}
  - {id: 42}
edges:
  - {from: 11, to: 0, p: 2.0, b: 0.1, demand_dist: poisson, dist_param: {mu: 12}}
  - {from: 11, to: 1, p: 2.2, b: 0.2, demand_dist: poisson, dist_param: {mu: 6}}
  - {from: 12, to: 2, p: 1.9, b: 0.15, demand_dist: poisson, dist_param: {mu: 9}}
  - {from: 21, to: 11, L: 2, p: 1.5, g: 0.010}
  - {from: 21, to: 12, L: 0, p: 1.4, g: 0.012}
  - {from: 31, to: 21, L: 3, p: 1.0, g: 0.005}
  - {from: 31, to: 12, L: 1, p: 1.1, g: 0.006}
  - {from: 32, to: 21, L: 2, p: 0.9, g: 0.007}
  - {from: 41, to: 31, L: 1, p: 0.3, g: 0.001}
  - {from: 41, to: 32, L: 2, p: 0.2, g: 0.002}
  - {from: 42, to: 32, L: 0, p: 0.25, g: 0.003}
"""
#: A factory with two raw materials, stock for one period.
POOLING = """
nodes:
  - {id: 0}
  - {id: 1, I0: 0, h: 0.1}
  - {id: 2, I0: 0, C: 100, v: 1.0, o: 0.0, h: 0.1}
  - {id: 3}
  - {id: 4}
edges:
  - {from: 1, to: 0, p: 2.0, b: 0.1, demand_dist: poisson, dist_param: {mu: 10}}
  - {from: 2, to: 1, L: 1, p: 1.0, g: 0.0}
  - {from: 3, to: 2, L: 0, p: 0.5, g: 0.0}
  - {from: 4, to: 2, L: 0, p: 0.5, g: 0.0}
"""
#: A fixed cost of 5 on an order that the supplier cannot serve.
FIXED = """
nodes:
  - {id: 0}
  - {id: 1, I0: 10, h: 0.0}
  - {id: 2, I0: 0, h: 0.0}
  - {id: 3}
edges:
  - {from: 1, to: 0, p: 0.0, b: 0.0, demand_dist: poisson, dist_param: {mu: 1}}
  - {from: 2, to: 1, L: 1, p: 0.0, g: 0.0, K: 5.0}
  - {from: 3, to: 2, L: 0, p: 0.0, g: 0.0}
"""


def actions_of(policy, env, rng, means):
    net = env.network
    flow = sum(means)
    t = env.period
    if policy == "wild":  # first too little, then more than there is; fractions, and now and then a negative order
        most = 0.6 if t < 0.4 * env.num_periods else 4.4
        return np.round(rng.uniform(-10, most * flow, len(net.reorder_links)), 2)
    action = []
    for supplier, buyer in net.reorder_links:
        sources = [e for e in net.reorder_links if e[1] == buyer]
        coming = sum(env.Y[t, net.reorder_map[e]] for e in sources)
        target = flow / len(sources) * (net.lead_times[supplier, buyer] + 3)
        action.append(max(0.0, np.round(target - (env.X[t, net.node_map[buyer]] + coming) / len(sources), 3)))
    return np.array(action)


def play(name, what, means, scenario="custom", config=None, policies=("base_stock", "wild"), given=None):
    periods = PERIODS if given is None else len(given)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        path = None
        if config:
            path = Path(folder) / "network.yaml"
            path.write_text(config)
        for backlog in (True, False):
            for policy in policies:
                env = CoreEnv(scenario=scenario, num_periods=periods, backlog=backlog, config_path=path)
                links = env.network.retail_links
                demand = {
                    e: poisson_trace(100 + 10 * len(runs) + i, m, periods, spikes=given is None)
                    for i, (e, m) in enumerate(zip(links, means, strict=True))
                }
                env = CoreEnv(scenario=scenario, num_periods=periods, backlog=backlog, config_path=path, user_D=demand)
                assert env.backlog is backlog
                env.reset(seed=0)
                rng = np.random.default_rng(120 + len(runs))
                actions, rewards = [], []
                for t in range(periods):
                    actions.append(np.array(given[t]) if given else actions_of(policy, env, rng, means))
                    rewards.append(env.step(actions[-1])[1])
                order = [env.network.node_map[n] for n in env.network.main_nodes]
                runs.append(
                    {
                        "backlog": backlog,
                        "policy": policy,
                        "demand": series(env.D),
                        "action": series(actions),
                        "inventory": series(env.X[1:, order]),
                        "pipeline": series(env.Y[1:]),
                        "shipped": series(env.S),
                        "unmet": series(env.U),
                        "reward": series(rewards),
                    }
                )
    net = env.network
    nodes = [{"id": n} | {k: number(v) for k, v in data.items()} for n, data in net.graph.nodes(data=True)]
    edges = [
        {"from": a, "to": b} | {k: number(data[k]) for k in ("L", "p", "g", "b", "K") if k in data}
        for a, b, data in net.graph.edges(data=True)
    ]
    write(
        "gym-invmgmt",
        f"gym_invmgmt_{name}",
        {
            "what": what,
            "periods": periods,
            "main_nodes": [int(n) for n in net.main_nodes],
            "reorder_links": [[int(a), int(b)] for a, b in net.reorder_links],
            "network_links": [[int(a), int(b)] for a, b in net.network_links],
            "network": {"nodes": nodes, "edges": edges, "alpha": number(env.alpha)},
            "runs": runs,
        },
    )


if __name__ == "__main__":
    play("serial", "its serial network", [20], "serial")
    play("network", "its divergent network", [20], "network")
    play(
        "yields",
        "two retailers, three markets, yields of 0.75 and 0.5, capacity shared by two customers",
        [12, 6, 9],
        config=YIELDS,
    )
    play(
        "pooling",
        "a factory with two raw materials, of which only one is ever bought",
        [10],
        config=POOLING,
        policies=("one_material",),
        given=[[0, 20, 0], [20, 0, 0], [0, 0, 0]],
    )
    play(
        "fixed",
        "a fixed cost on an order that the supplier cannot serve",
        [1],
        config=FIXED,
        policies=("unserved",),
        given=[[4, 0], [4, 6], [4, 0]],
    )
