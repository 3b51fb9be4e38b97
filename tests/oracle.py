"""One period of one lane, written from ARCHITECTURE.md section 3 alone: loops over nodes and arcs, Python floats.

This file must stay ignorant of `meio_jax.simulator`. It knows the specification, the wiring and the numbers, nothing
else; it is slow and has no idea that a second lane exists.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

INF = float("inf")


@dataclasses.dataclass
class OracleNetwork:
    """A wiring and the numbers of one lane as plain lists, every absent feature filled with its neutral number."""

    wiring: Any
    initial_on_hand: list[float]
    initial_pipeline: list[list[float]]
    initial_orders: list[list[float]]
    units: list[float]
    keep: list[float]
    lot_size: list[float]
    minimum_order: list[float]
    order_capacity: list[float]
    capacity: list[float]
    storage: list[float]
    yield_: list[float]
    shelf_life: list[float]
    lead_time: list[int]
    erosion: list[float] | None
    restoration: list[float] | None
    holds_components: bool


@dataclasses.dataclass
class OracleShock:
    """One lane of a `Shock`."""

    demand: list[float]
    lead_time: list[float] | None = None
    available: list[float] | None = None
    yield_: list[float] | None = None


@dataclasses.dataclass
class OracleState:
    """One lane of a `State`: ``on_hand[a][n]``, ``components[m]``, ``backlog[e]``, ``pipeline[k][i]`` and
    ``mail[k][i]``.
    """

    on_hand: list[list[float]]
    components: list[float]
    backlog: list[float]
    pipeline: list[list[float]]
    goodwill: list[float] | None
    demand: list[float]
    t: int
    mail: list[list[float]] | None = None


@dataclasses.dataclass
class OracleFlows:
    """One lane of `Flows`."""

    ordered: list[float]
    shipped: list[float]
    filled: list[float]
    lost: list[float]
    backlog: list[float]
    received: list[float]
    in_transit: list[float]
    started: list[float]
    built: list[float]
    expired: list[float]
    overflow: list[float]
    on_hand: list[float]
    components: list[float]
    arrived: list[float] | None = None
    in_mail: list[float] | None = None


def column(leaf: Any, lane: int) -> Any:
    """The numbers of one lane of an array ``[.., 1|B]``, as nested lists of Python floats."""
    x = np.asarray(leaf)
    return x[..., lane if x.shape[-1] > 1 else 0].astype(np.float64).tolist()


def oracle_network(network: Any, lane: int = 0) -> OracleNetwork:
    """One lane of a `Network`."""
    w = network.wiring

    def numbers(name: str, rows: int, neutral: float) -> list[float]:
        leaf = getattr(network, name)
        return [neutral] * rows if leaf is None else column(leaf, lane)

    lead = w.lead_time if network.lead_time is None else column(network.lead_time, lane)
    return OracleNetwork(
        wiring=w,
        initial_on_hand=column(network.initial_on_hand, lane),
        initial_pipeline=column(network.initial_pipeline, lane),
        initial_orders=(
            [[0.0] * w.n_inner for _ in range(max(w.order_delay))]
            if network.initial_orders is None
            else column(network.initial_orders, lane)
        ),
        units=numbers("units", w.n_inner, 1.0),
        keep=numbers("keep", w.n_arcs, 1.0),
        lot_size=numbers("lot_size", w.n_inner, 0.0),
        minimum_order=numbers("minimum_order", w.n_inner, 0.0),
        order_capacity=numbers("order_capacity", w.n_inner, INF),
        capacity=numbers("capacity", w.n_nodes, INF),
        storage=numbers("storage", w.n_nodes, INF),
        yield_=numbers("yield_", w.n_nodes, 1.0),
        shelf_life=numbers("shelf_life", w.n_nodes, INF),
        lead_time=[int(x) for x in lead],
        erosion=None if network.erosion is None else column(network.erosion, lane),
        restoration=None if network.restoration is None else column(network.restoration, lane),
        holds_components=network.holds_components,
    )


def oracle_shock(shock: Any, lane: int = 0) -> OracleShock:
    """One lane of a `Shock`."""

    def numbers(name: str) -> Any:
        return None if getattr(shock, name) is None else column(getattr(shock, name), lane)

    lead = numbers("lead_time")
    return OracleShock(
        demand=column(shock.demand, lane),
        lead_time=None if lead is None else [int(x) for x in lead],
        available=numbers("available"),
        yield_=numbers("yield_"),
    )


def oracle_state(state: Any, lane: int = 0) -> OracleState:
    """One lane of a `State` (or of anything with its fields)."""
    return OracleState(
        on_hand=column(state.on_hand, lane),
        components=column(state.components, lane),
        backlog=column(state.backlog, lane),
        pipeline=column(state.pipeline, lane),
        goodwill=None if state.goodwill is None else column(state.goodwill, lane),
        demand=column(state.demand, lane),
        t=int(np.asarray(state.t)),
        mail=None if state.mail is None else column(state.mail, lane),
    )


def oracle_initial_state(net: OracleNetwork) -> OracleState:
    """Stock is fresh, what is on its way is on its way, orders too, nothing is owed, customers are happy."""
    w = net.wiring
    on_hand = [[0.0] * w.n_nodes for _ in range(w.ages)]
    for n in range(w.n_nodes):
        on_hand[fresh_class(net, n)][n] = net.initial_on_hand[n]
    return OracleState(
        on_hand=on_hand,
        components=[0.0] * (w.n_inputs if net.holds_components else 0),
        backlog=[0.0] * w.n_arcs,
        pipeline=[list(row) for row in net.initial_pipeline],
        goodwill=None if net.erosion is None else [1.0] * w.n_customers,
        demand=[0.0] * w.n_customers,
        t=0,
        mail=[list(row) for row in net.initial_orders] if any(w.order_delay) else None,
    )


def fresh_class(net: OracleNetwork, node: int) -> int:
    life = net.shelf_life[node]
    return net.wiring.ages - 1 if math.isinf(life) else int(life) - 1


def place(x: float, lot: float, minimum: float, capacity: float) -> float:
    """Step 0: the order that an arc makes of a wanted order."""
    if math.isnan(x):
        return x
    x = wanted = max(x, 0.0)
    if lot > 0:
        x = math.floor(x / lot + 0.5) * lot
        minimum = math.ceil(minimum / lot) * lot
        if not math.isinf(capacity):
            capacity = math.floor(capacity / lot) * lot
    if minimum > capacity:
        return 0.0
    if minimum > 0 and wanted < minimum:
        x = minimum if wanted >= minimum / 2 else 0.0
    return min(x, capacity)


def share_out(stock: float, wants: list[float], allocation: str, integer: bool) -> list[float]:
    """Step 4: what each arc gets of the stock; ``wants`` in order of priority."""
    total = sum(wants)
    if allocation == "priority":
        gets = []
        for want in wants:
            got = min(want, stock)
            stock -= got
            gets.append(got)
        return gets
    if total <= stock:
        return list(wants)
    if not integer:
        return [want * stock / total for want in wants]
    gets = [float(math.floor(want * stock / total)) for want in wants]
    left = stock - sum(gets)
    for k, want in enumerate(wants):
        more = min(want - gets[k], left)
        gets[k] += more
        left -= more
    return gets


def oracle_transition(
    net: OracleNetwork,
    state: OracleState,
    orders: list[float],
    shock: OracleShock,
    allocation: list[float] | None = None,
) -> tuple[OracleState, OracleFlows]:
    """Play one period of one lane."""
    w = net.wiring
    integer = w.integer
    inner, arcs, nodes = range(w.n_inner), range(w.n_arcs), range(w.n_nodes)

    stock = [[state.on_hand[a][n] for a in range(w.ages)] for n in nodes]  # [n][a]
    inputs = list(state.components) if net.holds_components else [0.0] * w.n_inputs
    yields = net.yield_ if shock.yield_ is None else shock.yield_
    available = [1.0] * w.n_inner if shock.available is None else shock.available
    lead = []
    for e in inner:
        drawn = int(net.lead_time[e] if shock.lead_time is None else shock.lead_time[e])
        lead.append(min(max(drawn, w.min_lead_time[e]), w.max_lead_time[e]))

    # 0. Placing.
    ordered = [0.0] * w.n_arcs
    for e in inner:
        lot = net.lot_size[e]
        if integer and lot == 0:
            lot = 1.0
        ordered[e] = place(orders[e], lot, net.minimum_order[e], net.order_capacity[e])
    for c in range(w.n_customers):
        asked = shock.demand[c]
        if state.goodwill is not None:
            asked = asked * state.goodwill[c]
        if integer:
            asked = float(math.floor(asked + 0.5))
        ordered[w.n_inner + c] = asked
    new = list(ordered)  # what reaches the source of each arc
    mail = None
    if state.mail is not None:
        mail = [[row[e] for e in inner] for row in state.mail]
        for e in inner:
            new[e] = mail[0][e]
        mail = mail[1:] + [[0.0] * w.n_inner]
        for e in inner:
            if w.order_delay[e] == 0:
                new[e] += ordered[e]
            else:
                mail[w.order_delay[e] - 1][e] += ordered[e]
    owed = [state.backlog[e] + new[e] for e in arcs]

    shipped = [0.0] * w.n_arcs
    received = [0.0] * w.n_inner
    started = [0.0] * w.n_nodes
    built = [0.0] * w.n_nodes

    # 1. Suppliers.
    for e in inner:
        if w.src[e] == -1:
            shipped[e] = owed[e] * available[e]
            if integer:
                shipped[e] = float(math.floor(shipped[e]))

    def receive(n: int) -> None:
        for e in inner:
            if w.dst[e] == n:
                received[e] = state.pipeline[0][e]
                if lead[e] == 0:
                    received[e] += shipped[e]
                inputs[w.input_of_arc[e]] += received[e]

    def build(n: int, served: list[int]) -> None:
        units = {}
        for e in inner:
            if w.dst[e] == n:
                units[w.input_of_arc[e]] = net.units[e]
        feasible = min(inputs[m] / units[m] for m in units)
        if integer:
            feasible = float(math.floor(feasible))
        limit = net.capacity[n] - built[n]
        if w.make_to_order[n]:
            limit = min(limit, max(0.0, sum(owed[e] for e in served) - sum(stock[n])))
        if integer and not math.isinf(limit):
            limit = float(math.floor(limit))
        y = yields[n]
        if limit == 0:
            start = 0.0
        elif y == 0 or math.isinf(limit):
            start = feasible
        else:
            start = min(feasible, float(math.ceil(limit / y)) if integer else limit / y)
        good = min(float(math.floor(start * y)), limit) if integer else start * y
        for m in units:
            inputs[m] -= start * units[m]
        started[n] += start
        built[n] += good
        stock[n][fresh_class(net, n)] += good

    def serve(n: int, served: list[int]) -> None:
        wants = []
        for e in served:
            want = owed[e]
            if e < w.n_inner:
                want = want * available[e]
                if integer:
                    want = float(math.floor(want))
            if allocation is not None:
                most = max(allocation[e], 0.0)
                want = min(want, float(math.floor(most)) if integer and not math.isinf(most) else most)
            wants.append(want)
        gets = share_out(sum(stock[n]), wants, w.allocation, integer)
        for e, got in zip(served, gets, strict=True):
            shipped[e] = got
        leaves = sum(gets)
        ages = range(w.ages) if w.issuing == "fifo" else range(w.ages - 1, -1, -1)
        for a in ages:
            taken = min(stock[n][a], leaves)
            stock[n][a] -= taken
            leaves -= taken

    # 2. Nodes.
    to_nodes = [[e for e in inner if w.src[e] == n] for n in nodes]
    to_customers = [[e for e in arcs if e >= w.n_inner and w.src[e] == n] for n in nodes]
    if w.timing == "ship_first":
        for n in nodes:
            if w.make_to_order[n]:
                build(n, to_nodes[n])
            serve(n, to_nodes[n])
        for n in nodes:
            receive(n)
            build(n, to_customers[n])
        for n in nodes:
            serve(n, to_customers[n])
    else:
        for n in nodes:
            receive(n)
            build(n, to_nodes[n] + to_customers[n])
            serve(n, to_nodes[n] + to_customers[n])

    # 5. Unmet.
    filled, lost, backlog, unmet = [], [], [], []
    for e in arcs:
        filled.append(new[e] - min(new[e], owed[e] - shipped[e]))
        unmet.append(new[e] - filled[e])
        gone = (1.0 - net.keep[e]) * unmet[e]
        if integer:
            gone = float(math.floor(gone + 0.5))
        lost.append(gone)
        backlog.append(owed[e] - shipped[e] - gone)

    # 6. Goodwill.
    goodwill = None
    if state.goodwill is not None and net.erosion is not None and net.restoration is not None:
        goodwill = []
        for c in range(w.n_customers):
            asked = ordered[w.n_inner + c]
            u = unmet[w.n_inner + c] / asked if asked > 0 else 0.0
            g = state.goodwill[c]
            goodwill.append(g * (1 - net.erosion[c] * u) + net.restoration[c] * (1 - g) * (1 - u))

    # 7. Pipeline.
    pipeline = [list(row) for row in state.pipeline[1:]] + [[0.0] * w.n_inner]
    for e in inner:
        if lead[e] >= 1:
            pipeline[lead[e] - 1][e] += shipped[e]

    # 8. Ageing, 9. Storage.
    expired, overflow = [0.0] * w.n_nodes, [0.0] * w.n_nodes
    for n in nodes:
        if not math.isinf(net.shelf_life[n]):
            expired[n] = stock[n][0]
            stock[n] = stock[n][1:] + [0.0]
        overflow[n] = max(0.0, sum(stock[n]) - net.storage[n])
        scrap = overflow[n]
        for a in range(w.ages):
            taken = min(stock[n][a], scrap)
            stock[n][a] -= taken
            scrap -= taken

    components = inputs if net.holds_components else []
    after = OracleState(
        on_hand=[[stock[n][a] for n in nodes] for a in range(w.ages)],
        components=list(components),
        backlog=backlog,
        pipeline=pipeline,
        goodwill=goodwill,
        demand=ordered[w.n_inner :],
        t=state.t + 1,
        mail=mail,
    )
    flows = OracleFlows(
        ordered=ordered,
        shipped=shipped,
        filled=filled,
        lost=lost,
        backlog=list(backlog),
        received=received,
        in_transit=[sum(pipeline[k][e] for k in range(w.slots)) for e in inner],
        started=started,
        built=built,
        expired=expired,
        overflow=overflow,
        on_hand=[sum(stock[n]) for n in nodes],
        components=list(components),
        arrived=None if mail is None else [new[e] for e in inner],
        in_mail=None if mail is None else [sum(row[e] for row in mail) for e in inner],
    )
    return after, flows
