"""Trajectories of stockpyl's simulator on injected demand. Run by make_goldens.py in stockpyl's own environment."""

from __future__ import annotations

import warnings

from common import PERIODS, normal_trace, number, poisson_trace, series, write
from stockpyl.demand_source import DemandSource
from stockpyl.instances import load_instance
from stockpyl.policy import Policy
from stockpyl.sim import simulation
from stockpyl.supply_chain_network import (
    mwor_system,
    network_from_edges,
    owmr_system,
    serial_system,
    single_stage_system,
)
from stockpyl.supply_chain_product import SupplyChainProduct

warnings.filterwarnings("ignore")


def play(name, what, network, demand, **changes):
    """Inject ``demand`` (node -> trace), simulate, write. ``changes``: attribute -> {node: value} set beforehand."""
    for attribute, values in changes.items():
        for index, value in values.items():
            setattr(network.nodes_by_index[index], attribute, value)
    for node in network.nodes:
        node.demand_source = DemandSource()
    for index, trace in demand.items():
        network.nodes_by_index[index].demand_source = DemandSource(type="D", demand_list=[float(x) for x in trace])
    start = {}
    for node in network.nodes:  # as stockpyl itself sets it: the policy's order at position 0
        level = node.initial_inventory_level
        if level is None:
            level = node.inventory_policy.get_order_quantity(product=None, inventory_position=0)
        start[node.index] = node.initial_inventory_level = level
    total = simulation(network, PERIODS, rand_seed=0, progress_bar=False, consistency_checks="E")

    def end(node, period, attribute):
        return getattr(network.nodes_by_index[node].state_vars[period], attribute)

    def one(values):
        """The only value of a dictionary by product: every node here has one product."""
        values = dict(values)
        assert len(values) == 1, values
        return next(iter(values.values()))

    times = range(PERIODS)
    record = {k: {} for k in ("order", "received", "shipped", "backorders", "in_transit", "waiting", "inventory_level")}
    nodes, edges, policy = [], [], {}
    for node in network.nodes:
        n = node.index
        supplier, inner = node.supply_type == "U", bool(node.predecessors())
        nodes.append(
            {
                "id": n,
                "local_holding_cost": number(node.local_holding_cost or 0),
                "in_transit_holding_cost": number(
                    (node.local_holding_cost or 0)
                    if node.in_transit_holding_cost is None
                    else node.in_transit_holding_cost
                ),
                "stockout_cost": number(node.stockout_cost or 0),
                # An order to a supplier outside travels as if it were goods; between nodes it is a time of its own.
                "lead_time": int((node.shipment_lead_time or 0) + (0 if inner else node.order_lead_time or 0)),
                **({"order_delay": int(node.order_lead_time)} if inner and node.order_lead_time else {}),
                "initial_inventory_level": number(start[n]),
                "initial_shipments": number(node.initial_shipments or 0),
                "order_capacity": None if not node.order_capacity else number(node.order_capacity),
            }
        )
        assert not (supplier and inner and node.order_lead_time), "one order delay for a node is not one for its arcs"
        p = node.inventory_policy
        rule = {k: getattr(p, k) for k in ("base_stock_level", "reorder_point", "order_up_to_level")}
        policy[n] = {"type": p.type} | {k: number(v) for k, v in rule.items() if v is not None}
        record["inventory_level"][n] = series(one(end(n, t, "inventory_level")) for t in times)
        for p_index in [*node.predecessor_indices(), *([None] if supplier else [])]:
            key = f"{'outside' if p_index is None else p_index}>{n}"
            material = next(iter(end(n, 0, "inbound_shipment_pipeline")[p_index]))
            product = node.product_indices[0]
            edges.append(
                {
                    "from": "outside" if p_index is None else p_index,
                    "to": n,
                    "units": number(node.NBOM(product=product, predecessor=p_index, raw_material=material)),
                }
            )
            record["order"][key] = series(end(n, t, "order_quantity")[p_index][material] for t in times)
            record["received"][key] = series(end(n, t, "inbound_shipment")[p_index][material] for t in times)
            pipes = [end(n, t, "inbound_shipment_pipeline")[p_index][material] for t in times]
            record["in_transit"][key] = series(sum(p) for p in pipes)
            record["waiting"][key] = series(end(n, t, "raw_material_inventory")[material] for t in times)
        for s_index in node.successor_indices(include_external=True):
            key = f"{n}>{'customer' if s_index is None else s_index}"
            record["shipped"][key] = series(one(end(n, t, "outbound_shipment")[s_index]) for t in times)
            record["backorders"][key] = series(one(end(n, t, "backorders_by_successor")[s_index]) for t in times)
    parts = {
        "holding": "holding_cost_incurred",
        "stockout": "stockout_cost_incurred",
        "in_transit": "in_transit_holding_cost_incurred",
        "total": "total_cost_incurred",
    }
    cost = {k: series(sum(end(n.index, t, a) for n in network.nodes) for t in times) for k, a in parts.items()}
    assert abs(total - sum(cost["total"])) < 1e-6
    write(
        "stockpyl",
        f"stockpyl_{name}",
        {
            "what": what,
            "periods": PERIODS,
            "network": {"nodes": nodes, "edges": edges},
            "policy": policy,
            "demand": {k: series(v) for k, v in demand.items()},
            **record,
            "cost": cost,
        },
    )


def base_stock(network, levels, kind="BS"):
    for index, level in levels.items():
        node = network.nodes_by_index[index]
        node.inventory_policy = Policy(type=kind, base_stock_level=level, node=node)
    return network


def instances():
    play("example_4_1", "one stage", load_instance("example_4_1_network"), {0: normal_trace(1, 50, 8)})
    play("example_6_1", "serial, 3 stages", load_instance("example_6_1"), {1: normal_trace(2, 5, 1)})
    play("problem_6_1", "serial, 2 stages", load_instance("problem_6_1"), {1: normal_trace(3, 100, 15)})
    play("problem_6_2a_adj", "serial, 5 stages", load_instance("problem_6_2a_adj"), {1: normal_trace(4, 64, 8)})
    play("problem_6_2b_adj", "serial, 5 stages", load_instance("problem_6_2b_adj"), {1: poisson_trace(5, 64)})
    play("problem_6_16", "serial, lead times 3 and 8", load_instance("problem_6_16"), {1: normal_trace(6, 20, 4)})
    play("assembly_3_stage", "assembly, 2 components", load_instance("assembly_3_stage"), {0: poisson_trace(7, 5)})
    play(
        "rosling_figure_1",
        "assembly on 4 levels, balanced echelon base-stock; costs added",
        load_instance("rosling_figure_1"),
        {1: poisson_trace(8, 5)},
        local_holding_cost={1: 9, 2: 3, 3: 5, 4: 4, 5: 1, 6: 2, 7: 1},
        stockout_cost={1: 40},
    )
    tree = load_instance("rong_atan_snyder_figure_1a")
    play("rong_figure_1a", "tree 1-2-4", tree, {n: poisson_trace(10 + n, 8) for n in (3, 4, 5, 6)})
    wide = base_stock(
        load_instance("rong_atan_snyder_figure_1b"),
        {0: 60, 1: 45, 2: 30, **{n: 12 + n for n in range(3, 11)}},
    )
    play(
        "rong_figure_1b",
        "tree 1-2-8; lead times (0 too), levels and costs added",
        wide,
        {n: poisson_trace(20 + n, 8) for n in range(3, 11)},
        shipment_lead_time={0: 2, 1: 1, 2: 0, 3: 1, 4: 2, 5: 0, 6: 1, 7: 3, 8: 1, 9: 0, 10: 2},
        local_holding_cost={0: 0.25, 1: 0.5, 2: 0.75, **{n: 1 + n / 8 for n in range(3, 11)}},
        stockout_cost={0: 0, 1: 2, **dict.fromkeys(range(3, 11), 20)},
    )


def built():
    play(
        "serial_4",
        "serial_system: lead times 3, 0, 2, 1; stock at time 0 above and below the levels, a full pipeline",
        serial_system(
            4,
            local_holding_cost=[0.5, 1, 2, 4],
            stockout_cost=[0, 0, 0, 25],
            shipment_lead_time=[3, 0, 2, 1],
            policy_type="BS",
            base_stock_level=[45, 8, 28, 20],
            initial_inventory_level=[10, 30, 5, 12],
            initial_shipments=[7, 0, 4, 9],
        ),
        {3: poisson_trace(40, 10)},
    )
    network = serial_system(
        3,
        local_holding_cost=[1, 2, 4],
        in_transit_holding_cost=[0.25, 1.5, 0],
        stockout_cost=[0, 0, 30],
        shipment_lead_time=[2, 1, 1],
        policy_type="sS",
        reorder_point=[40, 15, 12],
        order_up_to_level=[80, 40, 25],
        order_capacity=[60, 30, 18],
    )
    play(
        "serial_sS",
        "serial_system: (s, S) rules, order capacities, own in-transit rates",
        network,
        {2: poisson_trace(41, 7)},
    )
    echelon = serial_system(
        3,
        local_holding_cost=[1, 2, 4],
        stockout_cost=[0, 0, 30],
        shipment_lead_time=[2, 1, 1],
        initial_inventory_level=[5, 0, 20],  # the last stage starts above its level and orders little at first
    )
    base_stock(echelon, {0: 42, 1: 24, 2: 14}, "EBS")
    play("serial_echelon", "serial_system: echelon base-stock", echelon, {2: poisson_trace(42, 7)})
    play(
        "single_order_lead",
        "single_stage_system: an order lead time of 2 and a shipment lead time of 3",
        single_stage_system(
            local_holding_cost=1,
            stockout_cost=9,
            order_lead_time=2,
            shipment_lead_time=3,
            policy_type="BS",
            base_stock_level=55,
        ),
        {0: poisson_trace(43, 9)},
    )
    play(
        "serial_order_lead",
        "serial_system: orders travel 1, 2 and 3 periods, shipments 2, 1 and 1",
        serial_system(
            3,
            local_holding_cost=[1, 2, 4],
            stockout_cost=[0, 3, 30],
            order_lead_time=[1, 2, 3],
            shipment_lead_time=[2, 1, 1],
            policy_type="BS",
            base_stock_level=[24, 23, 32],
        ),
        {2: poisson_trace(44, 7)},
    )
    play(
        "owmr_4",
        "owmr_system: warehouse and 4 retailers, scarce stock in order of retailers, backorder cost at the warehouse",
        owmr_system(
            4,
            local_holding_cost=[1, 2, 2.5, 3, 3.5],
            stockout_cost=[1.5, 10, 20, 30, 40],
            shipment_lead_time=[3, 1, 2, 0, 4],
            policy_type="BS",
            base_stock_level=[70, 14, 22, 9, 35],
        ),
        {n: poisson_trace(50 + n, 6) for n in (1, 2, 3, 4)},
    )
    play(
        "mwor_3",
        "mwor_system: 3 components of one product",
        mwor_system(
            3,
            local_holding_cost={0: 8, 1: 1, 2: 2, 3: 1.5},
            stockout_cost={0: 50},
            shipment_lead_time={0: 2, 1: 1, 2: 3, 3: 5},
            policy_type="BS",
            base_stock_level={0: 24, 1: 9, 2: 26, 3: 36},
        ),
        {0: poisson_trace(60, 7)},
    )
    mixed = network_from_edges(
        [(0, 2), (1, 2), (1, 3), (2, 4), (2, 5), (3, 5)],
        node_order_in_lists=[0, 1, 2, 3, 4, 5],
        local_holding_cost=[1, 1, 3, 2, 5, 7],
        stockout_cost=[0, 0, 0, 12, 30, 45],
        shipment_lead_time=[2, 1, 1, 2, 1, 1],
        policy_type="BS",
        base_stock_level=[30, 42, 25, 40, 14, 15],
    )
    mixed.nodes_by_index[3].supply_type = "U"  # its own supplier beside node 1
    mixed._build_product_attributes()
    play(
        "mixed",
        "network_from_edges: assembly and distribution at once; a node with a feeder and a supplier of its own; "
        "customers at an inner node",
        mixed,
        {3: poisson_trace(61, 5), 4: poisson_trace(62, 6), 5: poisson_trace(63, 5)},
    )
    bill = network_from_edges(
        [(1, 3), (2, 3)],
        node_order_in_lists=[1, 2, 3],
        local_holding_cost=[1, 2, 9],
        stockout_cost=[0, 0, 60],
        shipment_lead_time=[1, 2, 1],
    )
    products = {n: SupplyChainProduct(10 * n) for n in (1, 2, 3)}
    products[3].set_bill_of_materials(raw_material=10, num_needed=2)
    products[3].set_bill_of_materials(raw_material=20, num_needed=5)
    for n, product in products.items():
        bill.nodes_by_index[n].add_product(product)
    base_stock(bill, {1: 22, 2: 80, 3: 14})
    play(
        "bill_of_materials", "products: 2 and 5 units of the components in one product", bill, {3: poisson_trace(64, 6)}
    )


if __name__ == "__main__":
    instances()
    built()
