"""Random networks, through the public builder, with random numbers in every lane.

A *plan* is what a program is compiled for: wiring, rules, which features exist. `draw` fills a plan with numbers, and
every lane gets its own: one compiled program is thus compared on as many different networks as it has lanes.

Numbers lie on a grid of 1/8, so that most sums, products and ties are exact in float32; with ``integer`` all
quantities are whole (shares stay multiples of 1/8).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from meio_jax import CUSTOMER, OUTSIDE, Arc, Network, Node, Shock, build_network
from meio_jax.network import ALLOCATIONS, ISSUING, TIMINGS
from meio_jax.simulator import Flows, State, initial_state, transition

NODE_FEATURES = ("capacity", "storage", "yield_", "shelf_life")
INNER_FEATURES = ("units", "lot_size", "minimum_order", "order_capacity")
OTHER_FEATURES = (
    "keep", "goodwill", "lead_leaf", "lead_shock", "available", "yield_shock", "allocation", "make_to_order",
    "order_delay",
)  # fmt: skip
FEATURES = NODE_FEATURES + INNER_FEATURES + OTHER_FEATURES


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that is static about a random system."""

    nodes: tuple[str, ...]  # in the order in which they are declared
    make_to_order: tuple[bool, ...]
    perishes: tuple[bool, ...]
    #: name, src, dst, component, lead time, least, longest, order delay
    arcs: tuple[tuple[str, str, str, str, int, int, int, int], ...]
    features: frozenset[str]
    timing: str
    allocation: str
    issuing: str
    integer: bool
    longest_life: int


class System(NamedTuple):
    """A network and what is done to it for T periods, in B lanes."""

    network: Network
    orders: np.ndarray  # [T, I, B]
    shocks: Shock  # leaves [T, .., B]
    allocation: np.ndarray | None  # [T, E, B]


def random_plan(
    rng: np.random.Generator,
    *,
    integer: bool = False,
    largest: int = 7,
    features: frozenset[str] | None = None,
    timing: str | None = None,
    allocation: str | None = None,
    issuing: str | None = None,
) -> Plan:
    """A random acyclic network: assembly, distribution, several sources of a component, several customers of a node."""
    if features is None:
        share = rng.choice([0.2, 0.5, 0.8])
        features = frozenset(f for f in FEATURES if rng.random() < share)
    count = int(rng.integers(1, largest + 1))
    names = [f"n{k}" for k in range(count)]
    longest_lead = int(rng.choice([1, 2, 4]))
    arcs: list[tuple[str, str, str, str, int, int, int, int]] = []

    def add(src: str, dst: str, component: str = "") -> None:
        low = lead = high = delay = 0
        if dst != CUSTOMER:
            lead = int(rng.integers(0, longest_lead + 1))
            low, high = lead, lead
            if features & {"lead_leaf", "lead_shock"} and rng.random() < 0.8:
                low = int(rng.integers(0, lead + 1))
                high = int(rng.integers(lead, longest_lead + 1))
            if "order_delay" in features:
                delay = int(rng.choice([0, 1, 2, 3], p=[0.3, 0.3, 0.3, 0.1])) if arcs else int(rng.integers(1, 3))
        arcs.append((f"a{len(arcs)}", src, dst, component, lead, low, high, delay))

    for k, name in enumerate(names):
        for j in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
            for _ in range(int(rng.choice([1, 2], p=[0.7, 0.3]))):
                outside = k == 0 or rng.random() < 0.3
                add(OUTSIDE if outside else names[int(rng.integers(0, k))], name, f"c{j}" if j else "")
    for name in names:
        feeds = any(a[1] == name for a in arcs)
        for _ in range(int(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1]) if feeds else rng.choice([1, 2, 3]))):
            add(name, CUSTOMER)
    if not any(a[2] == CUSTOMER for a in arcs):  # every node feeds somebody, so the last one has a customer
        raise AssertionError
    rng.shuffle(arcs)
    perishes = [bool(rng.random() < 0.7) for _ in names]
    perishes[int(rng.integers(count))] = True
    order = rng.permutation(count)
    to_order = [("make_to_order" in features and bool(rng.random() < 0.5)) for _ in names]
    return Plan(
        nodes=tuple(names[k] for k in order),
        make_to_order=tuple(to_order),
        perishes=tuple(perishes),
        arcs=tuple(arcs),
        features=features,
        timing=timing or str(rng.choice(TIMINGS)),
        allocation=allocation or str(rng.choice(ALLOCATIONS)),
        issuing=issuing or str(rng.choice(ISSUING)),
        integer=integer,
        longest_life=int(rng.choice([1, 2, 4], p=[0.2, 0.4, 0.4])),
    )


def put(x: np.ndarray, dtype: Any) -> jax.Array:
    """An array on the device. `jnp.asarray` would compile a program for each shape."""
    return jax.device_put(x.astype(dtype))


def draw(plan: Plan, rng: np.random.Generator, lanes: int, periods: int) -> System:
    """Fill a plan with numbers: every leaf is ``[.., lanes]`` and every lane a network of its own."""
    has = plan.features
    step = 1.0 if plan.integer else 0.125

    def grid(high: float, low: float = 0.0, shape: Any = lanes) -> np.ndarray:
        return low + step * rng.integers(0, round((high - low) / step) + 1, shape)

    def eighths(low: int, high: int, shape: Any = lanes) -> np.ndarray:
        return rng.integers(low, high + 1, shape) / 8.0

    def some(x: np.ndarray, neutral: float, share: float = 0.3) -> np.ndarray:
        """In some lanes, but never in lane 0, the neutral value: the feature must stay in the program."""
        off = rng.random(lanes) < share
        off[0] = False
        return np.where(off, neutral, x)

    nodes = []
    for name in plan.nodes:
        k = int(name[1:])
        numbers: dict[str, Any] = {"initial_on_hand": grid(20)}
        if "capacity" in has:
            numbers["capacity"] = some(
                grid(14, 1 if plan.integer else 0.5) + (0.5 if rng.random() < 0.3 else 0), np.inf
            )
        if "storage" in has:
            numbers["storage"] = some(grid(25), np.inf)
        if "yield_" in has:
            y = some(eighths(0, 8), 1.0)
            y[0] = 0.75
            numbers["yield_"] = y
        if "shelf_life" in has and plan.perishes[k]:
            life = some(rng.integers(1, plan.longest_life + 1, lanes).astype(float), np.inf)
            life[0] = plan.longest_life
            numbers["shelf_life"] = life
        nodes.append(Node(name, make_to_order=plan.make_to_order[k], **numbers))

    units: dict[tuple[str, str], np.ndarray] = {}  # the sources of one component share its bill of materials
    arcs = []
    for name, src, dst, component, lead, low, high, delay in plan.arcs:
        numbers = {}
        if "keep" in has:
            keep = some(eighths(0, 8), float(rng.integers(0, 2)))
            keep[0] = 0.5
            numbers["keep"] = keep
        if dst == CUSTOMER:
            if "goodwill" in has:
                numbers["erosion"] = eighths(1, 6)
                numbers["restoration"] = eighths(1, 6)
            arcs.append(Arc(src, dst, name, **numbers))
            continue
        if "units" in has:
            if (dst, component) not in units:
                x = rng.integers(1, 4, lanes).astype(float) if plan.integer else eighths(2, 24)
                x[0] = 2.0
                units[dst, component] = x
            numbers["units"] = units[dst, component]
        if "lot_size" in has:
            lot = some(grid(6, step), 0.0)
            numbers["lot_size"] = lot
        if "minimum_order" in has:
            numbers["minimum_order"] = some(grid(8, step), 0.0)
        if "order_capacity" in has:
            numbers["order_capacity"] = some(grid(18, 8), np.inf)
        times = {"lead_time": lead, "min_lead_time": low, "max_lead_time": high, "order_delay": delay}
        arcs.append(Arc(src, dst, name, component, **times, **numbers))
    network = build_network(
        nodes, arcs, timing=plan.timing, allocation=plan.allocation, issuing=plan.issuing, integer=plan.integer
    )
    w, dtype = network.wiring, network.initial_on_hand.dtype
    least, longest = np.array(w.min_lead_time)[:, None], np.array(w.max_lead_time)[:, None]
    lead_kind = np.int32 if sum(map(ord, plan.arcs[0][0])) % 2 else np.float32
    pipeline = grid(10, 0, (w.slots, w.n_inner, lanes)) * (np.arange(w.slots)[:, None, None] < longest)
    network = network.replace(initial_pipeline=put(pipeline, dtype))
    if w.mail_slots:
        mail = grid(10, 0, (w.mail_slots, w.n_inner, lanes))
        mail = mail * (np.arange(w.mail_slots)[:, None, None] < np.array(w.order_delay)[:, None])
        network = network.replace(initial_orders=put(mail, dtype))
    if "lead_leaf" in has:
        x = rng.integers(least - 1, longest + 2, (w.n_inner, lanes))  # a little outside of the bounds: clamped
        network = network.replace(lead_time=put(x, lead_kind))

    orders = rng.integers(-32, 160, (periods, w.n_inner, lanes)) / 8.0
    if rng.random() < 0.3:
        orders = orders + rng.random(orders.shape) / 8.0
    orders[rng.random(orders.shape) < 0.15] = 0.0
    demand = grid(12, 0, (periods, w.n_customers, lanes)) * (rng.random((periods, w.n_customers, lanes)) < 0.85)
    others: dict[str, Any] = {}
    if "lead_shock" in has:
        others["lead_time"] = put(rng.integers(least - 1, longest + 2, (periods, w.n_inner, lanes)), lead_kind)
    if "available" in has:
        x = eighths(0, 8, (periods, w.n_inner, lanes))
        others["available"] = put(np.where(rng.random(x.shape) < 0.5, np.round(x), x), dtype)
    if "yield_shock" in has:
        others["yield_"] = put(eighths(0, 8, (periods, w.n_nodes, lanes)), dtype)
    allocation = None
    if "allocation" in has:
        allocation = grid(16, 0, (periods, w.n_arcs, lanes))
        allocation = np.where(rng.random(allocation.shape) < 0.3, np.inf, allocation)
    shocks = Shock(demand=put(demand, dtype), **others)
    return System(network, orders.astype(dtype), shocks, None if allocation is None else allocation.astype(dtype))


def random_system(rng: np.random.Generator, *, lanes: int = 8, periods: int = 6, integer: bool = False) -> System:
    """A random plan, filled with numbers."""
    return draw(random_plan(rng, integer=integer), rng, lanes, periods)


def _played(network: Network, state: State | None, orders: Any, shocks: Shock, allocation: Any, lanes: int) -> Any:
    def step(state: State, inputs: Any) -> Any:
        after, flows = transition(network, state, *inputs)
        return after, (after, flows)

    start = initial_state(network, lanes) if state is None else state
    return start, *jax.lax.scan(step, start, (orders, shocks, allocation))[1]


_play = jax.jit(_played, static_argnames="lanes")
#: The same program, less optimised by LLVM: half the time to compile.
_play_quick = jax.jit(_played, static_argnames="lanes", compiler_options={"xla_backend_optimization_level": 0})


def play(system: System, state: State | None = None, *, quick: bool = False) -> tuple[State, State, Flows]:
    """Play a system: the state it starts from, the states ``[T, ..]`` after each period, the flows ``[T, ..]``.

    The results are NumPy arrays. ``quick``: the same rules in machine code that is compiled sooner and runs slower, for
    tests whose subject is the rules.
    """
    lanes = system.orders.shape[-1]
    program = _play_quick if quick else _play
    return jax.tree.map(
        np.asarray, program(system.network, state, system.orders, system.shocks, system.allocation, lanes)
    )
