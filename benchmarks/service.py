"""How long safety-stock placement takes: ``python -m benchmarks.service [--seconds 60]``.

Trees of a thousand stages by dynamic programming; layered networks that are no trees by mixed-integer programs, with
the gap that is left where time runs out.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator

import numpy as np

from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.service_milp import guaranteed_service_milp
from meio_jax.solvers.service_tree import guaranteed_service

#: Shares of the stages that are parts, subassemblies, products, warehouses and shops.
LAYERS = (0.35, 0.2, 0.15, 0.15, 0.15)


def trees(size: int, seed: int) -> Iterator[tuple[str, ServiceModel]]:
    """A chain, and trees of arcs in random directions; processing times of 0 to 10 periods."""
    rng = np.random.default_rng(seed)
    names = [f"n{i}" for i in range(size)]
    work, holding = rng.integers(0, 11, size), rng.uniform(0.1, 3, size)
    chain = list(itertools.pairwise(names))
    yield "chain, one customer", ServiceModel(names, chain, work, np.sort(holding), {names[-1]: 1.0}, 1.645)
    served = {n: float(rng.uniform(0.5, 5)) for n in names if rng.random() < 0.3}
    yield "chain, many customers", ServiceModel(names, chain, work, holding, served, 1.645)
    for title, reach in (("deep tree", 20), ("bushy tree", size)):
        arcs = []
        for i in range(1, size):
            pair = (names[int(rng.integers(max(0, i - reach), i))], names[i])
            arcs.append(pair if rng.random() < 0.5 else pair[::-1])
        yield title, ServiceModel(names, arcs, work, holding, served, 1.645)


def layered(size: int, seed: int) -> ServiceModel:
    """Five layers, each stage feeding about 2.5 of the next; processing times of 1 to 29 periods; value grows."""
    rng = np.random.default_rng(seed)
    layers = [[f"{layer}_{k}" for k in range(max(1, int(share * size)))] for layer, share in enumerate(LAYERS)]
    arcs = set()
    for here, below in itertools.pairwise(layers):
        for a in here:
            fed = min(len(below), 1 + rng.poisson(1.5))
            arcs |= {(a, str(b)) for b in rng.choice(below, size=fed, replace=False)}
        arcs |= {(here[int(rng.integers(len(here)))], b) for b in below if not any(y == b for _, y in arcs)}
    names = [name for layer in layers for name in layer]
    holding = [(depth + 1) ** 2 * float(rng.uniform(0.5, 1.5)) for depth, layer in enumerate(layers) for _ in layer]
    demand = {name: float(rng.uniform(1, 20)) for name in layers[-1]}
    return ServiceModel(names, sorted(arcs), rng.integers(1, 30, len(names)), holding, demand, 1.645)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", type=int, default=1000, help="of the trees")
    parser.add_argument("--seconds", type=float, default=60.0, help="most for a mixed-integer program")
    args = parser.parse_args()
    print(f"{'tree of ' + str(args.stages) + ' stages':<24}{'longest':>8}{'model s':>9}{'solve s':>9}")
    begin = time.perf_counter()
    for title, model in trees(args.stages, 0):
        made = time.perf_counter() - begin
        seconds = []
        for _ in range(3):
            begin = time.perf_counter()
            guaranteed_service(model)
            seconds.append(time.perf_counter() - begin)
        print(f"{title:<24}{max(model.longest):>8}{made:>9.2f}{min(seconds):>9.2f}", flush=True)
        begin = time.perf_counter()
    print(f"\n{'layered network':<24}{'arcs':>8}{'seconds':>9}{'rounds':>9}{'gap %':>9}")
    for size, seed in itertools.product((50, 100, 150, 200), (1, 2)):
        model = layered(size, seed)
        found = guaranteed_service_milp(model, time_limit=args.seconds).details
        title = f"{len(model.nodes)} stages, seed {seed}"
        row = f"{len(model.arcs):>8}{found['seconds']:>9.1f}{found['rounds']:>9}{100 * found['gap']:>9.4f}"
        print(f"{title:<24}{row}", flush=True)


if __name__ == "__main__":
    main()
