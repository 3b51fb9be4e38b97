"""gym-invmgmt's own environment, played by a policy of ours.

The environment runs in its own Python (`benchmarks/peers/make_goldens.py` installs it) and tells what it observes; the
policy gives orders for that vector, and the reward is the environment's. Nothing of our simulator takes part.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.instances.gym_invmgmt import PERIODS
from meio_jax.network import Network
from meio_jax.observation import Observation, observe
from meio_jax.policies.base import Policy
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state

__all__ = ["PYTHON", "SEEDS", "Layout", "layout_of", "picture", "play_there"]

#: Where `make_goldens.py` puts the environment, and what serves it there.
PYTHON = Path(tempfile.gettempdir()) / "meio_peers" / "gym-invmgmt" / "bin" / "python"
SERVER = Path(__file__).parents[2] / "benchmarks" / "peers" / "serve_gym_invmgmt.py"
#: The ten published seeds, arXiv 2605.11355.
SEEDS = (42, 123, 456, 789, 1011, 2022, 3033, 4044, 5055, 6066)


class Layout(NamedTuple):
    """Where each number of an `Observation` stands in the environment's vector; one past its end is a zero.

    on_hand ``[N]``, components ``[M]``, owed ``[E]``, pipeline ``[L][I]``, demand ``[C]``; asked ``[links]``: the arc
    of ours that each of its orders is for.
    """

    on_hand: tuple[int, ...]
    components: tuple[int, ...]
    owed: tuple[int, ...]
    pipeline: tuple[tuple[int, ...], ...]
    demand: tuple[int, ...]
    asked: tuple[int, ...]


def layout_of(network: Network, described: dict[str, Any]) -> Layout:
    """Match the environment's arrays with ours, by the names of nodes and links.

    It observes ``[demand of the period before, unmet, stock of each node, what arrives on each link in 0, 1, .. lead
    time - 1 periods, two numbers of its demand engine]``. A factory's stock is feed: here its one input. What is unmet
    is owed only where it is kept.
    """
    w = network.wiring
    nodes, links, markets = described["nodes"], described["links"], described["markets"]
    if markets != w.n_customers or sorted(nodes) != sorted(w.nodes):
        raise ValueError(f"the environment has nodes {nodes} and {markets} markets, the instance {list(w.nodes)}")
    stock = {name: 2 * markets + k for k, name in enumerate(nodes)}
    at, arrivals = 2 * markets + len(nodes), {}
    for a, b, lead in links:
        arrivals[f"{a}>{b}"] = range(at, at + lead)
        at += lead
    none = at + 2
    depth = network.initial_pipeline.shape[0]
    inner = w.arcs[: w.n_inner]
    feed = [stock[w.nodes[n]] if w.make_to_order[n] else none for n in w.node_of_input]
    return Layout(
        on_hand=tuple(none if w.make_to_order[n] else stock[name] for n, name in enumerate(w.nodes)),
        components=tuple(feed) if network.holds_components else (),
        owed=(*[none] * w.n_inner, *(range(markets, 2 * markets) if described["backlog"] else [none] * markets)),
        pipeline=tuple(tuple((*arrivals[x], *[none] * depth)[k] for x in inner) for k in range(depth)),
        demand=tuple(range(markets)),
        asked=tuple(inner.index(f"{a}>{b}") for a, b, _ in links),
    )


def picture(network: Network, layout: Layout, vector: Any, period: Any) -> Observation:
    """What the environment observes as what a policy sees, one lane; its period 0 is ours after the opening."""
    x = jnp.append(jnp.asarray(vector, network.holding_cost.dtype), 0.0)

    def pick(index: Any) -> Any:
        return x[np.asarray(index, int)][..., None]

    return Observation(
        on_hand=pick(layout.on_hand)[None],
        components=pick(layout.components),
        owed=pick(layout.owed),
        pipeline=pick(layout.pipeline),
        demand=pick(layout.demand),
        t=jnp.asarray(period, jnp.int32) + 1,
        available=jnp.ones((network.wiring.n_inner, 1)),
    )


@functools.partial(jax.jit, static_argnames=("policy", "layout"))
def _decide(
    network: Network, policy: Policy, theta: Any, memory: Any, layout: Layout, vector: Any, period: Any
) -> tuple[Any, Any]:
    """Orders in the environment's order, and what is remembered."""
    seen = picture(network, layout, vector, period)
    decision, memory = policy.apply(network, theta, memory, seen, jax.random.key(0))
    return decision.orders[np.asarray(layout.asked), 0], memory


def _opening(network: Network, policy: Policy, theta: Any) -> Any:
    """What a policy remembers of the opening period, which the environment does not have."""
    state = initial_state(network, 1)
    seen = observe(network, state, Shock(demand=state.demand, available=jnp.zeros((network.wiring.n_inner, 1))))
    return policy.apply(network, theta, policy.memory(network, 1), seen, jax.random.key(0))[1]


@contextlib.contextmanager
def _served(python: Path) -> Iterator[Any]:
    """A function that asks the environment; it ends with the block."""
    process = subprocess.Popen(
        [python, "-W", "ignore", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    to, answers = process.stdin, process.stdout

    def ask(**what: Any) -> Any:
        to.write(json.dumps(what) + "\n")
        to.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError(f"the environment of gym-invmgmt ended: {python} {SERVER.name}")
        return json.loads(line)

    try:
        yield ask
    finally:
        to.close()
        process.wait(timeout=60)
        answers.close()


def play_there(
    network: Network,
    policy: Policy,
    theta: Any,
    scenario: str,
    *,
    seeds: tuple[int, ...] = SEEDS,
    python: Path = PYTHON,
) -> dict[str, Any]:
    """Play each seed in the environment itself.

    Args:
      scenario: one of `gym_invmgmt.SCENARIOS`, such as "serial-lost".

    Returns:
      ``profits`` of each seed, ``mean``, ``decision_ms`` (median time from an observation to orders), ``version``.

    Raises:
      FileNotFoundError: there is no ``python``.
    """
    kind, unmet = scenario.split("-")
    profits, times = [], []
    with _served(python) as ask:
        described = ask(scenario=kind, backlog=unmet == "backlog", periods=PERIODS)
        layout = layout_of(network, described)
        opened = _opening(network, policy, theta)
        empty = np.zeros(max(max(layout.on_hand), max(layout.owed)))
        jax.block_until_ready(_decide(network, policy, theta, opened, layout, empty, 0))  # compiled once
        for seed in seeds:
            earned: list[float] = []
            answer, memory, over = ask(seed=seed), opened, False
            while not over:
                begun = time.perf_counter()
                orders, memory = _decide(network, policy, theta, memory, layout, np.array(answer["seen"]), len(earned))
                told = np.asarray(orders, float).tolist()
                times.append(time.perf_counter() - begun)
                answer = ask(orders=told)
                over = answer["over"]
                earned.append(answer["reward"])
            profits.append(float(np.sum(earned)))
    return {
        "profits": profits, "mean": float(np.mean(profits)), "decision_ms": 1e3 * float(np.median(times)),
        "version": described["version"],
    }  # fmt: skip
