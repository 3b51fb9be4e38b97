"""Trajectories equal to those of stockpyl, OR-Gym and gym-invmgmt, period by period; where not, whose physics is wrong.

The goldens in tests/goldens/peers were made by the peers themselves (benchmarks/peers); no peer is needed here. Each
test builds the peer's network in meio_jax from the peer's own numbers, replays the same demand and orders, and, for
stockpyl, asks our policy for its orders in every period. docs/peers.md says what was found, and
``python tests/test_peers.py`` prints the largest differences.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, Shock, build_network
from meio_jax.kpis import cost_terms, total_cost
from meio_jax.network import Network
from meio_jax.observation import observe
from meio_jax.policies import BaseStock, ReorderUpTo
from meio_jax.simulator import Flows, State, initial_state, transition

GOLDENS = Path(__file__).parent / "goldens" / "peers"
STOCKPYL = sorted(p.stem for p in GOLDENS.glob("stockpyl_*.json"))
SERIAL = ["or_gym_invmanagement_default", "or_gym_invmanagement_tight"]
GRAPHS = ["or_gym_network_calm", "gym_invmgmt_serial", "gym_invmgmt_network", "gym_invmgmt_yields"]
#: In float64, in units or money; the peers sum in another order. Quantities go up to 500, costs up to 50,000.
TOLERANCE = 1e-9


@functools.cache
def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDENS / f"{name}.json").read_text())


def play(*args: Any):
    """`_play`, as NumPy arrays."""
    return jax.tree.map(np.asarray, _play(*args))


@functools.partial(jax.jit, static_argnums=5)
def _play(network, state, orders, demand, limit=None, policy=None, theta=None):
    """Replay orders [T, I] and demand [T, C]: flows, costs, and what ``policy`` would have ordered, all [T, ..]."""

    def period(state: State, now: tuple[jax.Array, jax.Array]):
        order, asked = now
        shock = Shock(demand=asked[:, None])
        wanted = jnp.zeros(())
        if policy is not None:
            seen = observe(network, state, shock)
            wanted = policy.apply(network, theta, None, seen, jax.random.key(0))[0].orders[:, 0]
        after, flows = transition(network, state, order[:, None], shock, limit)
        return after, (flows, total_cost(network, flows), cost_terms(network, flows), wanted)

    _, (flows, cost, terms, wanted) = jax.lax.scan(period, state, (orders, demand))
    return jax.tree.map(lambda x: x[..., 0], (flows, cost, terms)) + (wanted,)


def columns(names, series: dict[str, list], periods: int) -> np.ndarray:
    """``[T, len(names)]`` from the series by name, zero where there is none."""
    return np.stack([np.asarray(series.get(n, [0.0] * periods), float) for n in names], 1)


def largest(pairs: dict[str, tuple[Any, Any]]) -> dict[str, float]:
    """The largest absolute difference of each pair."""
    return {k: float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for k, (a, b) in pairs.items()}


def check(differences: dict[str, float], tolerance: float = TOLERANCE) -> None:
    for what, x in differences.items():
        assert x <= tolerance, f"{what} differs by {x:g}"


# stockpyl: demand is seen, orders cascade, nodes receive, build and serve from upstream, successors in their order.


def stockpyl_network(g: dict[str, Any]) -> Network:
    data = {n["id"]: n for n in g["network"]["nodes"]}
    units = {f"{e['from']}>{e['to']}": e["units"] for e in g["network"]["edges"]}
    nodes = [
        Node(str(k), holding_cost=n["local_holding_cost"], initial_on_hand=n["initial_inventory_level"])
        for k, n in data.items()
    ]
    arcs = []
    for key in [*g["shipped"], *(k for k in g["order"] if k.startswith("outside"))]:  # successors in their order
        src, dst = key.split(">")
        if dst == "customer":
            arcs.append(Arc(src, CUSTOMER, key, backlog_cost=data[int(src)]["stockout_cost"]))
            continue
        n = data[int(dst)]
        feeder = {} if src == "outside" else data[int(src)]
        capacity = n["order_capacity"]
        arcs.append(
            Arc(
                OUTSIDE if src == "outside" else src,
                dst,
                key,
                component=src,
                lead_time=n["lead_time"],
                order_delay=n.get("order_delay", 0),
                units=units[key],
                transit_holding_cost=feeder.get("in_transit_holding_cost", 0.0),
                component_holding_cost=feeder.get("local_holding_cost", 0.0),
                order_capacity=None if capacity is None else capacity * units[key],
                initial_pipeline=n["initial_shipments"],
                backlog_cost=feeder.get("stockout_cost", 0.0),
            )
        )
    return build_network(nodes, arcs, timing="demand_first", allocation="priority")


def stockpyl_policy(g: dict[str, Any], network: Network):
    """The rule that stockpyl followed, or None where we have none like it (balanced echelon base-stock)."""
    w = network.wiring
    rules = [g["policy"][w.nodes[n]] for n in w.node_of_input]

    def numbers(key: str) -> jax.Array:
        return jnp.asarray([[float(r[key])] for r in rules])

    kinds = {r["type"] for r in rules}
    if kinds <= {"BS", "EBS"}:
        return BaseStock(echelon=kinds == {"EBS"}), {"level": numbers("base_stock_level")}
    if kinds == {"sS"}:
        return ReorderUpTo(), {"reorder": numbers("reorder_point"), "up_to": numbers("order_up_to_level")}
    return None, None


def stockpyl_played(name: str):
    g = golden(name)
    network = stockpyl_network(g)
    w, periods = network.wiring, g["periods"]
    inner = w.arcs[: w.n_inner]
    orders = columns(inner, g["order"], periods)
    demand = columns([a.split(">")[0] for a in w.arcs[w.n_inner :]], g["demand"], periods)
    policy, theta = stockpyl_policy(g, network)
    start = initial_state(network, 1)
    flows, _, terms, wanted = play(network, start, jnp.asarray(orders), jnp.asarray(demand), None, policy, theta)
    if policy is not None and network.order_capacity is not None:
        wanted = np.minimum(wanted, np.asarray(network.order_capacity)[:, 0])
    return g, network, orders, flows, terms, wanted


def stockpyl_differences(name: str) -> dict[str, float]:
    g, network, orders, flows, terms, wanted = stockpyl_played(name)
    w, periods = network.wiring, g["periods"]
    inner = w.arcs[: w.n_inner]
    ours_owed = np.zeros((periods, w.n_nodes))
    for e, src in enumerate(w.src):
        if src >= 0:
            ours_owed[:, src] += flows.backlog[:, e]
    sold = [a for a in w.arcs if not a.startswith("outside")]
    mine = [w.arcs.index(a) for a in sold]
    waiting = columns(inner, g["waiting"], periods)
    ours_waiting = flows.components[:, list(w.input_of_arc)] if network.holds_components else np.zeros_like(waiting)
    pairs = {
        "ordered": (flows.ordered[:, : w.n_inner], orders),
        "inventory level": (flows.on_hand - ours_owed, columns(w.nodes, g["inventory_level"], periods)),
        "shipped": (flows.shipped[:, mine], columns(sold, g["shipped"], periods)),
        "received": (flows.received, columns(inner, g["received"], periods)),
        "backorders": (flows.backlog[:, mine], columns(sold, g["backorders"], periods)),
        "in transit": (flows.in_transit, columns(inner, g["in_transit"], periods)),
        "waiting components": (ours_waiting, waiting),
        "holding cost": (terms["holding"], g["cost"]["holding"]),
        "stockout cost": (terms["backlog"], g["cost"]["stockout"]),
        "in-transit cost": (terms["transit"], g["cost"]["in_transit"]),
        "cost": (terms["holding"] + terms["backlog"] + terms["transit"], g["cost"]["total"]),
    }
    if wanted.ndim == 2 and {p["type"] for p in g["policy"].values()} != {"EBS"}:
        pairs["policy"] = (wanted, orders)
    return largest(pairs)


@pytest.mark.parametrize("name", STOCKPYL)
def test_stockpyl(name, x64):
    check(stockpyl_differences(name))


def test_stockpyl_covers_what_it_should():
    assert len(STOCKPYL) >= 10
    assert {golden(n)["version"] for n in STOCKPYL} == {"1.0.2"}
    for n in STOCKPYL:  # each trace must hurt: some customer waits in some period
        owed = [v for k, v in golden(n)["backorders"].items() if k.endswith("customer")]
        assert max(map(max, owed)) > 0, n


def test_stockpyl_echelon_rule_takes_off_the_order_from_below_where_it_means_the_demand_of_customers(x64):
    """Customers' demand lowers an echelon position (Clark and Scarf); stockpyl subtracts the successor's order."""
    g, network, orders, _, _, wanted = stockpyl_played("stockpyl_serial_echelon")
    assert network.wiring.arcs == ("outside>0", "0>1", "1>2", "2>customer")
    demand = np.asarray(g["demand"]["2"])
    np.testing.assert_allclose(wanted[:, 2], orders[:, 2], atol=TOLERANCE)  # here the two are the same
    for stage, below in ((1, orders[:, 2]), (0, orders[:, 1])):
        both = (wanted[:, stage] > 0) & (orders[:, stage] > 0)
        gap = wanted[:, stage] - orders[:, stage]
        np.testing.assert_allclose(gap[both], (demand - below)[both], atol=TOLERANCE)
        assert stage == 0 or np.abs(gap[both]).max() >= 5


# OR-Gym's InvManagement: stages ship from the stock of the period's start up to their capacity, then receive and sell.


def or_gym_differences(name: str) -> dict[str, float]:
    g = golden(name)
    worst: dict[str, float] = {}
    for run in g["runs"]:
        for what, x in or_gym_run(g, run).items():
            worst[what] = max(x, worst.get(what, 0.0))
    return worst


def or_gym_run(g: dict[str, Any], run: dict[str, Any]) -> dict[str, float]:
    numbers, stages, periods = g["network"], len(g["network"]["I0"]), g["periods"]
    keep = float(run["backlog"])
    unmet = "backlog_cost" if run["backlog"] else "lost_cost"
    names = [f"stage{i}" for i in range(stages)]
    nodes = [Node(n, holding_cost=numbers["h"][i], initial_on_hand=numbers["I0"][i]) for i, n in enumerate(names)]
    nodes.append(Node("plant", initial_on_hand=1e7))  # raw material without end; its capacity is that of its arc
    arcs = [
        Arc(OUTSIDE, "plant"),
        Arc("stage0", CUSTOMER, "sales", price=numbers["p"], keep=keep, **{unmet: numbers["k"][0]}),
    ]
    for i, src in enumerate([*names[1:], "plant"]):
        last = i == stages - 1
        arcs.append(
            Arc(
                src,
                names[i],
                f"into{i}",
                lead_time=numbers["L"][i],
                unit_cost=numbers["r"][-1] if last else 0.0,  # inner prices cancel
                keep=keep,
                **{unmet: numbers["k"][i + 1]},
            )
        )
    network = build_network(nodes, arcs, timing="ship_first")
    w = network.wiring
    into = [w.arcs.index(f"into{i}") for i in range(stages)]
    chain = [w.arcs.index("sales"), *into]
    at = [w.nodes.index(n) for n in names]
    orders = np.zeros((periods, w.n_inner))
    orders[:, into] = run["action"]
    limit = np.full((w.n_arcs, 1), np.inf)
    limit[into, 0] = numbers["c"]
    demand = np.asarray(run["demand"], float)[:, None]
    flows, cost, _, _ = play(
        network, initial_state(network, 1), jnp.asarray(orders), jnp.asarray(demand), jnp.asarray(limit)
    )
    return largest(
        {
            "on hand": (flows.on_hand[:, at], run["inventory"]),
            "in transit": (flows.in_transit[:, into], run["pipeline"]),
            "shipped": (flows.shipped[:, chain], run["shipped"]),
            "backlog": (flows.backlog[:, chain], run["backlogged"]),
            "lost": (flows.lost[:, chain], run["lost"]),
            "reward": (-cost * numbers["alpha"] ** np.arange(periods), run["reward"]),
        }
    )


@pytest.mark.parametrize("name", SERIAL)
def test_or_gym_inventory_management(name, x64):
    runs = golden(name)["runs"]
    assert {r["backlog"] for r in runs} == {True, False}
    assert any(np.max(r["backlogged"]) > 0 for r in runs) and any(np.max(r["lost"]) > 0 for r in runs)
    check(or_gym_differences(name))


# gym-invmgmt and OR-Gym's NetInvMgmt: factories make to order from the feed they hold; no replenishment is backlogged.


def graph_network(g: dict[str, Any], backlog: bool, pooled: bool = True) -> tuple[Network, State]:
    """``pooled``: whatever feeds a node is one component, as these environments have it."""
    nodes = {n["id"]: n for n in g["network"]["nodes"]}
    links = [(e["from"], e["to"], e) for e in g["network"]["edges"]]
    markets = set(nodes) - {a for a, _, _ in links}
    raw = set(nodes) - {b for _, b, _ in links}
    factories = [k for k, n in nodes.items() if "C" in n]
    sites = []
    for k in g["main_nodes"]:
        n = nodes[k]
        if k in factories:
            rate = {"yield_": n["v"], "operating_cost": n["o"] / n["v"]}
            sites.append(Node(str(k), capacity=n["C"], make_to_order=True, **rate))
        else:
            sites.append(Node(str(k), holding_cost=n["h"], initial_on_hand=n["I0"]))
    arcs = []
    for src, dst, e in links:
        name = f"{src}>{dst}"
        if dst in markets:
            unmet = {"backlog_cost" if backlog else "lost_cost": e["b"]}
            arcs.append(Arc(str(src), CUSTOMER, name, price=e["p"], keep=float(backlog), **unmet))
            continue
        arcs.append(
            Arc(
                OUTSIDE if src in raw else str(src),
                str(dst),
                name,
                component="" if pooled else str(src),
                lead_time=e["L"],
                unit_cost=e["p"] if src in raw else 0.0,  # inner prices cancel
                transit_holding_cost=e["g"],
                component_holding_cost=nodes[dst]["h"] if dst in factories else 0.0,
                fixed_order_cost=e.get("K", 0.0),
                keep=0.0,
            )
        )
    network = build_network(sites, arcs, timing="ship_first", allocation="priority")
    w = network.wiring
    state = initial_state(network, 1)
    feed = [[float(nodes[k]["I0"]) if (k := int(w.nodes[n])) in factories else 0.0] for n in w.node_of_input]
    return network, state.replace(components=jnp.asarray(feed)) if network.holds_components else state


def graph_run(g: dict[str, Any], run: dict[str, Any], pooled: bool = True) -> tuple[Network, Flows, jax.Array]:
    network, state = graph_network(g, run["backlog"], pooled)
    w = network.wiring
    demand = np.asarray(run["demand"], float).reshape(g["periods"], -1)
    sales = [f"{a}>{b}" for a, b in g["network_links"] if [a, b] not in g["reorder_links"]]
    asked = columns(w.arcs[w.n_inner :], dict(zip(sales, demand.T, strict=True)), g["periods"])
    orders = columns(
        w.arcs[: w.n_inner],
        dict(zip((f"{a}>{b}" for a, b in g["reorder_links"]), np.asarray(run["action"], float).T, strict=True)),
        g["periods"],
    )
    flows, cost, _, _ = play(network, state, jnp.asarray(orders), jnp.asarray(asked))
    return network, flows, cost


def stock_at(network: Network, flows: Flows, main_nodes) -> np.ndarray:
    """``[T, nodes]``: finished stock, and the feed that make-to-order nodes hold."""
    w = network.wiring
    feed = np.zeros_like(np.asarray(flows.on_hand))
    for m, n in enumerate(w.node_of_input if network.holds_components else ()):
        feed[:, n] += flows.components[:, m]
    return (np.asarray(flows.on_hand) + feed)[:, [w.nodes.index(str(k)) for k in main_nodes]]


def graph_pairs(g: dict[str, Any], run: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    network, flows, cost = graph_run(g, run)
    w = network.wiring
    inner = [w.arcs.index(f"{a}>{b}") for a, b in g["reorder_links"]]
    every = [w.arcs.index(f"{a}>{b}") for a, b in g["network_links"]]
    sales = [e for e in every if e not in inner]
    unmet = flows.backlog if run["backlog"] else flows.lost
    return {
        "stock": (stock_at(network, flows, g["main_nodes"]), run["inventory"]),
        "in transit": (flows.in_transit[:, inner], run["pipeline"]),
        "shipped": (flows.shipped[:, every], run["shipped"]),
        "unmet": (unmet[:, sales], run["unmet"]),
        "reward": (-cost * g["network"]["alpha"] ** np.arange(g["periods"]), run["reward"]),
    }


def graph_differences(name: str) -> dict[str, float]:
    g = golden(name)
    worst: dict[str, float] = {}
    for run in g["runs"]:
        for what, x in largest(graph_pairs(g, run)).items():
            worst[what] = max(x, worst.get(what, 0.0))
    return worst


def _inner(g: dict[str, Any]) -> list[int]:
    return [g["network_links"].index(e) for e in g["reorder_links"]]


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name, x64):
    runs = golden(name)["runs"]
    assert {r["backlog"] for r in runs} == {True, False}
    assert all(np.max(r["unmet"]) > 0 for r in runs if r.get("policy") == "wild")
    refused = [np.any(np.asarray(r["action"]) > np.asarray(r["shipped"])[:, _inner(golden(name))]) for r in runs]
    assert any(refused) or name == "or_gym_network_calm"
    check(graph_differences(name))


# Where a peer's physics is another one.


def test_or_gym_ships_the_same_stock_to_two_customers(x64):
    g = golden("or_gym_network_twice")
    run = g["runs"][0]
    links = [f"{a}>{b}" for a, b in g["network_links"]]
    two = [links.index("4>2"), links.index("4>3")]
    peer, stock = np.asarray(run["shipped"])[:, two], np.asarray(run["inventory"])[:, g["main_nodes"].index(4)]
    assert peer[0].tolist() == [50, 50] and stock[0] == -50  # 100 units left a factory that had 50
    assert peer[1].tolist() == [-50, -50] and stock[1] == 50  # and then customers who asked for nothing sent 100 back

    network, flows, _ = graph_run(g, run)
    w = network.wiring
    ours = np.asarray(flows.shipped)[:, [w.arcs.index("4>2"), w.arcs.index("4>3")]]
    assert ours.tolist() == [[50, 0], [0, 0], [0, 0]]
    left = stock_at(network, flows, [4])[:, 0]
    assert (left == 0).all()
    others = [i for i, n in enumerate(g["main_nodes"]) if n != 4]
    rest = np.asarray(run["inventory"])[:, others], stock_at(network, flows, np.asarray(g["main_nodes"])[others])
    np.testing.assert_allclose(*rest, atol=TOLERANCE)


def test_gym_invmgmt_pools_the_components_of_a_product(x64):
    g = golden("gym_invmgmt_pooling")
    assert g["reorder_links"] == [[2, 1], [3, 2], [4, 2]]
    run = g["runs"][0]
    bought, shipped = np.asarray(run["action"]), np.asarray(run["shipped"])
    assert bought[:, 2].sum() == 0 and shipped[:, 1].tolist() == [0, 20, 0]  # 20 built without any of material 4
    check(largest(graph_pairs(g, run)))  # so do we, told that 3 and 4 bring the same thing

    network, flows, _ = graph_run(g, run, pooled=False)  # told that they do not
    assert flows.built.max() == 0
    assert stock_at(network, flows, [2])[:, 0].tolist() == [20, 20, 20]


def test_gym_invmgmt_charges_fixed_costs_on_what_is_served_not_on_what_is_ordered(x64):
    g = golden("gym_invmgmt_fixed")
    run = g["runs"][0]
    assert run["reward"] == [0, 0, -5]  # ordered three times, served once
    pairs = graph_pairs(g, run)
    assert pairs.pop("reward")[0].tolist() == [-5, -5, -5]
    check(largest(pairs))


def main() -> None:
    """The largest difference of each golden, in both precisions."""
    for name in [*STOCKPYL, *SERIAL, *GRAPHS]:
        of = stockpyl_differences if name in STOCKPYL else or_gym_differences if name in SERIAL else graph_differences
        with jax.enable_x64(True):
            double = of(name)
        single = of(name)
        most = max(double, key=double.__getitem__)
        g = golden(name)
        runs = len(g.get("runs", [0]))
        print(
            f"{name:32} {runs} x {g['periods']} periods  float64 {max(double.values()):.1e} ({most})"
            f"  float32 {max(single.values()):.1e}"
        )


if __name__ == "__main__":
    main()
