"""Guaranteed-service optima of stockpyl. Run in stockpyl's own environment (see make_goldens.py):

    /tmp/meio_peers/stockpyl/bin/python benchmarks/peers/from_stockpyl_service.py

stockpyl's named instances are textbook data; what it computes for them is written with the data that it used.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from common import number, write
from stockpyl.gsm_tree import optimize_committed_service_times, preprocess_tree
from stockpyl.instances import load_instance
from stockpyl.supply_chain_network import network_from_edges

warnings.filterwarnings("ignore")

NAMED = ("example_6_3", "example_6_5", "problem_6_7", "problem_6_8", "problem_6_9", "figure_6_14")


def solved(name: str, tree) -> dict:
    """The data of a tree by node, and stockpyl's optimal cost and service times."""
    tree = preprocess_tree(tree)
    times, cost = optimize_committed_service_times(tree)
    nodes = []
    for node in tree.nodes:
        most, source = node.external_outbound_cst, node.demand_source
        nodes.append(
            {
                "id": node.index,
                "processing_time": number(node.processing_time or 0),
                "holding_cost": float(node.local_holding_cost),
                "bound_factor": float(node.demand_bound_constant),
                "inbound": number(node.external_inbound_cst or 0),
                "outbound": None if most is None or most > 1e9 else number(most),
                "demand_sd": float((source.standard_deviation if source else None) or 0),
                "service_time": number(times[node.index]),
            }
        )
    return {"name": name, "cost": float(cost), "nodes": nodes, "arcs": [list(edge) for edge in tree.edges]}


def random_tree(seed: int, size: int):
    """A tree of arcs in random directions; every sink has demand, and other nodes may."""
    rng = np.random.default_rng(seed)
    edges = []
    for node in range(1, size):
        pair = (int(rng.integers(0, node)), node)
        edges.append(pair if rng.random() < 0.5 else pair[::-1])
    sources = {a for a, _ in edges}
    served = [n not in sources or rng.random() < 0.2 for n in range(size)]
    return network_from_edges(
        edges,
        node_order_in_lists=list(range(size)),
        processing_time=[int(x) for x in rng.integers(0, 6, size)],
        local_holding_cost=[float(x) for x in rng.integers(1, 40, size) / 4],
        demand_bound_constant=[1.645] * size,
        external_inbound_cst=[
            int(x) if n not in {b for _, b in edges} else None for n, x in enumerate(rng.integers(0, 4, size))
        ],
        external_outbound_cst=[
            int(x) if own else None for own, x in zip(served, rng.integers(0, 4, size), strict=True)
        ],
        demand_type=["N" if own else None for own in served],
        mean=[20.0 if own else None for own in served],
        standard_deviation=[float(x) if own else None for own, x in zip(served, rng.integers(1, 9, size), strict=True)],
    )


if __name__ == "__main__":
    records = [solved(name, load_instance(name)) for name in NAMED]
    records += [
        solved(f"random_{size}_{seed}", random_tree(seed, size)) for seed, size in enumerate((4, 7, 10, 15, 20))
    ]
    assert all(math.isfinite(record["cost"]) for record in records)
    write("stockpyl", "service_stockpyl", {"what": "optimal guaranteed-service times of trees", "trees": records})
