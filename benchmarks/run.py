"""All benchmarks, one table of targets and measurements, and a file of results with the machine's description.

    python -m benchmarks.run [--quick] [--only race,compile,scaling,gradient,import,solvers,learners,peers] [--out DIR]

Ratios are of runs in turns in one process. Peers live in `benchmarks/peers/`, each a script with an environment of its
own (`benchmarks/peers/NAME/.venv`); those without one are left out, and it is said.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from benchmarks import learners, solvers
from benchmarks.race import BACKLOG, BLOCK, MEAN, SD, run_race, seconds
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.parallel import CORES
from meio_jax.policies.base_stock import BaseStock
from meio_jax.processes import Processes, normal
from meio_jax.rollout import rollout
from meio_jax.topologies import serial, tree

HERE = Path(__file__).resolve().parent
POLICY = BaseStock(cascade=True)
#: A rollout may take so many lanes at a time that a block of them holds about as many nodes as 21 by 512.
NODE_LANES = 21 * 512


class Row(NamedTuple):
    """One line of the table. ``met`` is None where there is no target."""

    what: str
    target: str
    measured: str
    met: bool | None
    numbers: dict[str, Any]


def machine() -> dict[str, Any]:
    """What the numbers depend on; no names of hosts or people."""
    model = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists() and (found := re.search(r"model name\s*:\s*(.+)", cpu.read_text())):
        model = found[1].strip()
    versions = {}
    for name in ("jax", "jaxlib", "numpy", "numba"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def kind(about: dict[str, Any]) -> str:
    """A file name for machines of this kind."""
    device = "" if about["device"] == "cpu" else f" {about['device']}"
    return re.sub(r"[^a-z0-9]+", "-", f"{about['cpu']} {about['cores']} cores{device}".lower()).strip("-")


def lanes_for(network: Network) -> int:
    """A block of lanes that stays in the cache: a power of two from 64 to the race's."""
    block = BLOCK
    while block > 64 and block * network.wiring.n_nodes > NODE_LANES:
        block //= 2
    return block


def player(network: Network, lanes: int, periods: int, block: int | None) -> Callable[[], Any]:
    """A rollout of a base-stock policy over fresh normal demand that keeps the mean level of the start."""
    customers = network.wiring.n_customers
    processes = Processes(demand=normal([MEAN] * customers, [SD] * customers))
    theta = POLICY.start(network, mean=[MEAN] * customers, sd=[SD] * customers)
    key = jax.random.key(0)
    return lambda: (
        rollout(
            network, POLICY, theta, processes, key, periods=periods, lanes=lanes, measure=total_cost, block=block
        ).totals
    )


def bushes(quick: bool) -> list[tuple[str, Network]]:
    """Networks of growing size."""
    rules: dict[str, Any] = {"lead_time": 2, "timing": "demand_first", "backlog_cost": BACKLOG, "holding_cost": 1.0}
    sizes: list[tuple[str, Network]] = [
        ("serial", serial(4, **rules)),
        ("serial", serial(10, **rules)),
        ("tree", tree((9,), **rules)),
        ("tree", tree((4, 4), **rules)),
        ("tree", tree((5, 5, 5), **rules)),
        ("serial", serial(50, **rules)),
        ("tree", tree((7, 10, 6), **rules)),
    ]
    return sizes[:4] if quick else sizes


def bench_race(quick: bool) -> Iterator[Row]:
    if importlib.util.find_spec("numba") is None:
        yield Row("race against Numba", ">= 1.0 x", "left out: Numba is not installed", None, {})
        return
    for r in run_race(quick):
        range_ = f"{r.ratio:.2f} x ({r.low:.2f} to {r.high:.2f})"
        measured = f"{range_}; processor time {r.cpu:.2f} x; tuned kernel {r.ratio_tuned:.2f} x"
        yield Row(f"{r.case}, against Numba", f">= {r.target:.1f} x", measured, r.ratio >= r.target, r._asdict())


def bench_compile(quick: bool) -> Iterator[Row]:
    limits = {10: 3.0, 498: 20.0}
    for name, network in bushes(quick):
        nodes = network.wiring.n_nodes
        play = player(network, 64, 50, None)
        jax.clear_caches()
        first = seconds(play)
        took = first - min(seconds(play) for _ in range(3))
        limit = limits.get(nodes)
        what = f"compile a rollout, {name} of {nodes} nodes"
        met = None if limit is None else took <= limit
        yield Row(what, f"<= {limit:.0f} s" if limit else "", f"{took:.1f} s", met, {"nodes": nodes, "seconds": took})


def bench_scaling(quick: bool) -> Iterator[Row]:
    """Cost of a node-step, relative to the cheapest."""
    rounds = 3 if quick else 7
    by_nodes = [(f"{name} {n.wiring.n_nodes}", n, lanes_for(n) * 4) for name, n in bushes(quick)]
    line = bushes(True)[0][1]
    by_lanes = [
        (f"{lanes}", line, lanes) for lanes in ((64, 1_024, 8_192) if quick else (64, 512, 4_096, 16_384, 65_536))
    ]
    for what, systems in (("4 to 500 nodes", by_nodes), ("64 to 65,536 lanes", by_lanes)):
        plays, steps = [], []
        for _, network, lanes in systems:
            block = min(lanes_for(network), max(64, lanes // CORES))  # a block for each core, where there are so many
            periods = max(20, min(1_000, 4_000_000 // (network.wiring.n_nodes * lanes)))
            plays.append(player(network, lanes, periods, block if lanes > block else None))
            steps.append(network.wiring.n_nodes * lanes * periods)
            seconds(plays[-1])
        times = [[seconds(play) for play in plays] for _ in range(rounds)]
        ns = [min(t[i] for t in times) / steps[i] * 1e9 for i in range(len(plays))]
        least = min(ns[1:])  # "past the small end": the first is the small end
        spread = max(ns[1:]) / least
        shown = ", ".join(f"{name}: {x:.1f}" for (name, *_), x in zip(systems, ns, strict=True))
        numbers = dict(zip([name for name, *_ in systems], ns, strict=True))
        yield Row(f"ns per node-step, {what}", "within 2 x", f"{spread:.1f} x ({shown})", spread <= 2, numbers)


def bench_gradient(quick: bool) -> Iterator[Row]:
    """Of the mean cost in the base-stock levels of the line of four: one block of lanes, and many."""
    network = bushes(True)[0][1]
    processes = Processes(demand=normal([MEAN], [SD]))
    theta = POLICY.start(network, mean=[MEAN], sd=[SD])
    key = jax.random.key(0)
    for lanes in (BLOCK, 16 * BLOCK):

        def cost(theta: Any, key: jax.Array, lanes: int = lanes) -> jax.Array:
            block = None if lanes == BLOCK else BLOCK
            played = rollout(
                network, POLICY, theta, processes, key, periods=50, lanes=lanes, measure=total_cost, block=block
            )
            return played.totals.mean() / 50

        forward, both = jax.jit(cost), jax.jit(jax.value_and_grad(cost))
        for program in (forward, both):
            seconds(partial(program, theta, key))
        times = [
            (seconds(partial(both, theta, key)), seconds(partial(forward, theta, key)))
            for _ in range(10 if quick else 50)
        ]
        ratio = statistics.median(a / b for a, b in times)
        numbers = {"ratio": ratio, "both_s": min(a for a, _ in times), "forward_s": min(b for _, b in times)}
        what = f"forward and backward, 50 periods, {lanes} lanes"
        measured = f"{ratio:.1f} x forward, {numbers['both_s'] * 1e3:.1f} ms"
        if lanes == BLOCK:
            yield Row(what, "<= 4 x", measured, ratio <= 4, numbers)
        else:  # blocks are played again for their gradient: a pass more, and a cache less
            yield Row(what, "", measured, None, numbers)


def bench_import(quick: bool) -> Iterator[Row]:
    def start(what: str) -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", f"import {what}"], check=True))

    start("meio_jax")
    pairs = [(start("meio_jax"), start("jax")) for _ in range(3 if quick else 7)]
    ratio = statistics.median(a / b for a, b in pairs)
    numbers = {"ratio": ratio, "meio_jax_s": min(a for a, _ in pairs), "jax_s": min(b for _, b in pairs)}
    yield Row("import meio_jax over import jax", "<= 1.3 x", f"{ratio:.2f} x", ratio <= 1.3, numbers)


def bench_solvers(quick: bool) -> Iterator[Row]:
    yield from (Row(*row) for row in solvers.bench_solvers(quick))


def bench_learners(quick: bool) -> Iterator[Row]:
    """Against the same loop in PyTorch, and what needs no peer."""
    yield from bench_peer(HERE / "peers" / "torch" / "measure.py", quick)
    yield from (Row(*row) for row in learners.bench_learners(quick))


def bench_peers(quick: bool) -> Iterator[Row]:
    scripts = sorted(x for x in (HERE / "peers").glob("*/measure.py") if x.parent.name != "torch")  # with the learners
    if not scripts:
        yield Row("peers", "", "left out: there are no scripts in benchmarks/peers", None, {})
    for script in scripts:
        yield from bench_peer(script, quick)


def bench_peer(script: Path, quick: bool) -> Iterator[Row]:
    """A peer's script prints JSON rows: what, target, measured, met, numbers."""
    python = script.parent / ".venv" / "bin" / "python"
    if not python.exists():
        left_out = "left out: its environment is not installed (make peers)"
        yield Row(f"peer {script.parent.name}", "", left_out, None, {})
        return
    command = [str(python), str(script), *(["--quick"] if quick else [])]
    around = os.environ | {"MEIO_PYTHON": sys.executable, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, env=around, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        yield Row(f"peer {script.parent.name}", "", f"failed: {lines[-1]}", False, {})
        return
    for row in json.loads(done.stdout.splitlines()[-1]):
        yield Row(**row)


PARTS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "race": bench_race,
    "compile": bench_compile,
    "scaling": bench_scaling,
    "gradient": bench_gradient,
    "import": bench_import,
    "solvers": bench_solvers,
    "learners": bench_learners,
    "peers": bench_peers,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller and less exact; nothing is written")
    parser.add_argument("--only", default="", help=f"parts, separated by commas, of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    args = parser.parse_args(argv)
    chosen = [x for x in args.only.split(",") if x] or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured here
    about = machine()
    print(f"{about['cpu']}, {about['cores']} cores, {about['device']}, jax {about['versions']['jax']}", flush=True)
    rows: dict[str, list[Row]] = {}
    for part in chosen:
        rows[part] = []
        for row in PARTS[part](args.quick):
            mark = {True: "met", False: "NOT MET", None: ""}[row.met]
            print(f"{part:9}{row.what:48}{row.target:12}{mark:9}{row.measured}", flush=True)
            rows[part].append(row)
    if args.quick:
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / f"{kind(about)}.json"
    kept = json.loads(file.read_text())["parts"] if file.exists() and args.only else {}
    parts = kept | {part: [row._asdict() for row in found] for part, found in rows.items()}
    file.write_text(json.dumps({"machine": about, "parts": parts}, indent=1) + "\n")
    print(f"written to {os.path.relpath(file)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
