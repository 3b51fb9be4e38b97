"""What a unit is worth, where it stands: standard cost rolled up the bill of materials, and what expediting adds.

The standard cost of a unit is what was paid for it on its regular way: the unit costs of its arcs, those of its
components, the operating cost of each node that built it. What a node adds to it is its value added, on which echelon
holding costs are charged (Clark and Scarf 1960, doi:10.1287/mnsc.6.4.475; Silver, Pyke and Thomas 2017): the sum of
added values over echelon stocks is that of whole values over local stocks.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, reduce_groups, rows, sum_groups
from meio_jax.network import Network

__all__ = ["Values", "lead_times", "unit_values"]


class Values(NamedTuple):
    """Money a unit. node ``[N, 1|B]``: in stock; input ``[M, 1|B]``: a component that waits; arc ``[I, 1|B]``: on its
    way, the arc's own cost included; added ``[N, 1|B]``: what the node and its supply add to what comes from other
    nodes; express ``[I, 1|B]``: 1 on arcs that are faster than the slowest source of the same input; premium ``[I,
    1|B]``: what a unit costs more there than from the regular source, 0 on other arcs.
    """

    node: Array
    input: Array
    arc: Array
    added: Array
    express: Array
    premium: Array


def lead_times(network: Network) -> Array:
    """``[I, 1|B]`` periods from an order to its receipt if its source has stock: order delay and lead time."""
    w, dtype = network.wiring, network.holding_cost.dtype
    fixed = np.asarray(w.lead_time)[:, None]
    lead = jnp.asarray(fixed, dtype) if network.lead_time is None else network.lead_time.astype(dtype)
    return lead + jnp.asarray(np.asarray(w.order_delay)[:, None], dtype)


def unit_values(network: Network) -> Values:
    """The standard cost of a unit everywhere.

    The regular source of an input is its slowest, of equally slow ones the cheapest; from there its standard cost is
    taken. A yield below 1 makes good units dearer (a yield of 0 is left out). In a network without unit and operating
    costs every unit counts 1, wherever it stands: values are then units.
    """
    w, dtype = network.wiring, network.holding_cost.dtype
    lead = lead_times(network)
    counted = network.unit_cost is None and network.operating_cost is None
    leaves = [network.unit_cost, network.operating_cost, network.units, network.yield_, lead]
    lanes = max(x.shape[-1] for x in leaves if x is not None)

    def wide(x: Array | None, count: int, default: float) -> Array:
        return jnp.broadcast_to(jnp.asarray(default, dtype) if x is None else x, (count, lanes))

    slowest = reduce_groups(wide(lead, w.n_inner, 0.0), w.arcs_of_input, jnp.maximum, -jnp.inf)
    express = wide(lead, w.n_inner, 0.0) < rows(slowest, w.input_of_arc)
    if counted:
        node, waiting, arc = (jnp.ones((count, 1), dtype) for count in (w.n_nodes, w.n_inputs, w.n_inner))
        return Values(node, waiting, arc, node, express.astype(dtype), jnp.zeros_like(arc))

    cost, units = wide(network.unit_cost, w.n_inner, 0.0), wide(network.units, w.n_inner, 1.0)
    operating, good = wide(network.operating_cost, w.n_nodes, 0.0), wide(network.yield_, w.n_nodes, 1.0)
    good = jnp.where(good > 0, good, 1.0)
    known = jnp.zeros((1, lanes), dtype)  # row 0: outside, whose units cost nothing before they are bought
    place = {-1: 0}
    parts: dict[str, list[tuple[list[int], Array]]] = {"node": [], "input": [], "arc": [], "added": []}
    for level in range(max(w.levels) + 1):
        nodes = [n for n in range(w.n_nodes) if w.levels[n] == level]
        inputs = [m for n in nodes for m in w.inputs_of_node[n]]
        arcs = [e for m in inputs for e in w.arcs_of_input[m]]
        before = rows(known, [place[w.src[e]] for e in arcs])
        at = {e: i for i, e in enumerate(arcs)}
        of_input = [[at[e] for e in w.arcs_of_input[m]] for m in inputs]
        landed = rows(cost, arcs) + before
        regular = jnp.where(rows(express, arcs), jnp.inf, landed)
        each = reduce_groups(regular, of_input, jnp.minimum, jnp.inf)
        bill = rows(units, [w.arcs_of_input[m][0] for m in inputs])
        chosen = regular == rows(each, [k for k, group in enumerate(of_input) for _ in group])
        source = reduce_groups(jnp.where(chosen, before, jnp.inf), of_input, jnp.minimum, jnp.inf)
        row = {m: i for i, m in enumerate(inputs)}
        of_node = [[row[m] for m in w.inputs_of_node[n]] for n in nodes]
        value = sum_groups(each * bill, of_node) / rows(good, nodes) + rows(operating, nodes)
        parts["node"].append((nodes, value))
        parts["input"].append((inputs, each))
        parts["arc"].append((arcs, landed))
        parts["added"].append((nodes, value - sum_groups(source * bill, of_node)))
        place |= {n: known.shape[0] + i for i, n in enumerate(nodes)}
        known = jnp.concatenate([known, value])
    counts = {"node": w.n_nodes, "input": w.n_inputs, "arc": w.n_inner, "added": w.n_nodes}
    found = {name: assemble(part, counts[name]) for name, part in parts.items()}
    premium = jnp.where(express, found["arc"] - rows(found["input"], w.input_of_arc), 0.0)
    return Values(found["node"], found["input"], found["arc"], found["added"], express.astype(dtype), premium)
