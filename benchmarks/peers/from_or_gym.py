"""Trajectories of OR-Gym's supply-chain environments. Run by make_goldens.py in OR-Gym's own environment."""

from __future__ import annotations

import warnings

import numpy as np
from common import PERIODS, number, poisson_trace, series, write

warnings.filterwarnings("ignore")

from or_gym.envs.supply_chain.inventory_management import (  # noqa: E402
    InvManagementBacklogEnv,
    InvManagementLostSalesEnv,
)
from or_gym.envs.supply_chain.network_management import NetInvMgmtBacklogEnv, NetInvMgmtLostSalesEnv  # noqa: E402

SERIAL = {
    "default": ("four stages, the environment's own numbers", {}, (91, 211, 416), 20),
    "tight": (
        "four stages, lead times 0, 2 and 1, capacities that bind at every stage, undiscounted",
        {"I0": [20, 30, 15], "c": [14, 13, 12], "L": [0, 2, 1], "alpha": 1.0},
        (30, 70, 100),
        11,
    ),
}


def serial():
    for name, (what, numbers, levels, mean) in SERIAL.items():
        runs = []
        for backlog in (True, False):
            for policy in ("base_stock", "wild"):
                demand = poisson_trace(len(runs) + 70, mean)
                cls = InvManagementBacklogEnv if backlog else InvManagementLostSalesEnv
                env = cls(periods=PERIODS, dist=5, user_D=demand, **numbers)
                env.reset()
                rng = np.random.default_rng(80 + len(runs))
                actions, rewards = [], []
                for t in range(PERIODS):
                    # Its own base_stock_action raises a TypeError in 0.5.0, hence these lines of the same meaning.
                    owed = env.B[t - 1] if t else np.zeros(env.num_stages)
                    position = np.cumsum(env.I[t] + env.T[t] - owed[:-1])
                    if not backlog:
                        position = np.cumsum(env.I[t] + env.T[t])
                    up_to = np.maximum(np.array(levels) - position - (owed[1:] if backlog else 0), 0).astype(int)
                    action = up_to if policy == "base_stock" else rng.integers(-20, 3 * mean, env.num_stages - 1)
                    actions.append(action)
                    rewards.append(env.step(action)[1])
                runs.append(
                    {
                        "backlog": backlog,
                        "policy": policy,
                        "demand": series(demand),
                        "action": series(actions),
                        "inventory": series(env.I[1:]),
                        "pipeline": series(env.T[1:]),
                        "shipped": series(env.S),
                        "backlogged": series(env.B),
                        "lost": series(env.LS),
                        "reward": series(rewards),
                    }
                )
        write(
            "or-gym",
            f"or_gym_invmanagement_{name}",
            {
                "what": what,
                "periods": PERIODS,
                "network": {
                    "I0": series(env.init_inv),
                    "p": number(env.p),
                    "r": series(env.unit_cost),
                    "k": series(env.demand_cost),
                    "h": series(env.holding_cost),
                    "c": series(env.supply_capacity),
                    "L": series(env.lead_time),
                    "alpha": number(env.discount),
                },
                "runs": runs,
            },
        )


def graph(env):
    nodes = [{"id": n} | {k: number(v) for k, v in data.items()} for n, data in env.graph.nodes(data=True)]
    edges = [
        {"from": a, "to": b} | {k: number(data[k]) for k in ("L", "p", "g", "b") if k in data}
        for a, b, data in env.graph.edges(data=True)
    ]
    return {"nodes": nodes, "edges": edges}


def divergent(name, what, actions, demand, starts=None, backlogs=(True, False)):
    runs = []
    for backlog in backlogs:
        cls = NetInvMgmtBacklogEnv if backlog else NetInvMgmtLostSalesEnv
        env = cls(num_periods=len(demand), user_D={(1, 0): demand}, sample_path={(1, 0): False})
        for node, stock in (starts or {}).items():
            env.graph.nodes[node]["I0"] = stock
        env.reset()
        rewards, conflict = [], []
        for t, action in enumerate(actions):
            conflict.append(False)
            for node in env.factory:
                asked = sum(a for a, (s, _) in zip(action, env.reorder_links, strict=True) if s == node)
                data = env.graph.nodes[node]
                conflict[t] |= bool(asked > min(data["C"], data["v"] * env.X.loc[t, node]))
            rewards.append(env.step(list(action))[1])
        runs.append(
            {
                "backlog": backlog,
                "demand": series(demand),
                "action": series(actions),
                "several_customers_short": conflict,
                "inventory": series(env.X.values[1:]),
                "pipeline": series(env.Y.values[1:]),
                "shipped": series(env.S.values),
                "unmet": series(env.U.values),
                "reward": series(rewards),
            }
        )
    write(
        "or-gym",
        f"or_gym_{name}",
        {
            "what": what,
            "periods": len(demand),
            "main_nodes": [int(n) for n in env.main_nodes],
            "reorder_links": [[int(a), int(b)] for a, b in env.reorder_links],
            "network_links": [[int(a), int(b)] for a, b in env.network_links],
            "network": graph(env) | {"alpha": number(env.alpha)},
            "runs": runs,
        },
    )


if __name__ == "__main__":
    serial()
    rng = np.random.default_rng(90)
    calm = rng.integers(0, 9, (PERIODS, 11))
    calm[:, 7:] += 5  # raw material comes faster than it goes
    divergent(
        "network_calm", "its divergent network, small orders: no factory has to ration", calm, poisson_trace(91, 14)
    )
    twice = np.zeros((3, 11), int)
    twice[0, [2, 3]] = 60  # both customers of factory 4 ask for 60 of the 50 that it has
    divergent(
        "network_twice",
        "factory 4 has 50 units and two customers that ask for 60 each",
        twice,
        np.array([1.0, 1.0, 1.0]),
        starts={4: 50},
        backlogs=(True,),
    )
