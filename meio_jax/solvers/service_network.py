"""A guaranteed-service model of a `Network`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from meio_jax.errors import InputError, UnsuitableError
from meio_jax.network import Network
from meio_jax.processes import Process, Processes
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.laws import Law, as_law
from meio_jax.solvers.plain import lead_times, numbers, obstacle
from meio_jax.solvers.process_laws import laws_of
from meio_jax.solvers.single_stage import covered_periods

__all__ = ["no_network_model", "service_model"]


def service_model(
    network: Network,
    demand: Processes | Process | Sequence[Any],
    *,
    bound_factor: Any,
    outbound: Any = None,
    inbound: Any = 0,
    pooling: float = 2.0,
    lane: int | None = None,
) -> ServiceModel:
    """The guaranteed-service model of a network.

    - Lead times. What all arcs into a node have in common is the node's processing time, and what is left of each is
      the arc's own time, so that an input that takes longer is waited for longer. Of random lead times the longest
      counts, since a promise must hold.
    - Review. With ``demand_first`` an order knows its period's demand, and the net replenishment time is that of the
      lead times. With ``order_first`` a node that serves customers needs a period more, and with ``ship_first`` every
      node does (`meio_jax.solvers.single_stage.covered_periods`); it is part of the processing time.
    - Demand. Means and standard deviations of the customers, pooled upstream; the shape of the laws is not used.
    - Costs. The holding cost of a unit in stock. Backlog costs are not used: the promise takes their place.

    Args:
      network: every input of every node has one source, unmet demand is kept, and nothing else limits the flow.
      demand: ``[C]`` laws of a period's demand (see `meio_jax.solvers.laws.as_law`), or the process of it.
      bound_factor: k, for all or for each node, as in `ServiceModel`.
      outbound, inbound, pooling: as in `ServiceModel`; ``inbound`` is beside the lead times of suppliers outside.
      lane: which lane's numbers; needed only where numbers differ between lanes.

    Raises:
      UnsuitableError: the network has what the model has no word for; says what.
      InputError: the number of laws is not that of the customers. Else as `ServiceModel`.
    """
    reason = no_network_model(network, lane=lane)
    if reason is not None:
        raise UnsuitableError(reason)
    w = network.wiring
    laws = _laws(demand, network)
    lead = lead_times(network, lane) if network.lead_time is not None else np.asarray(w.max_lead_time, float)
    units = numbers(network, "units", w.n_inner, 1.0, lane=lane)
    review = [covered_periods(0, w.timing, serves_customers=any(e >= w.n_inner for e in out)) for out in w.out_arcs]
    common = [min(lead[e] for e in arcs) for arcs in w.in_arcs]
    waits: Any = inbound
    waits = (
        [waits.get(name, 0) for name in w.nodes] if isinstance(waits, Mapping) else np.broadcast_to(waits, w.n_nodes)
    )
    outside = [0.0] * w.n_nodes
    arc_time: dict[tuple[str, str], float] = {}
    needed: dict[tuple[str, str], float] = {}
    for e in range(w.n_inner):
        n, own = w.dst[e], float(lead[e] - common[w.dst[e]])
        if w.src[e] < 0:
            outside[n] = max(outside[n], float(waits[n]) + own)
        else:  # two components from one node are one arc
            pair = (w.nodes[w.src[e]], w.nodes[n])
            arc_time[pair] = max(arc_time.get(pair, 0.0), own)
            needed[pair] = needed.get(pair, 0.0) + float(units[e])
    served = [[laws[e - w.n_inner] for e in out if e >= w.n_inner] for out in w.out_arcs]
    return ServiceModel(
        nodes=w.nodes,
        arcs=tuple(arc_time),
        processing_time=[c + r for c, r in zip(common, review, strict=True)],
        holding_cost=numbers(network, "holding_cost", w.n_nodes, lane=lane).tolist(),
        demand_sd=[sum(law.sd**pooling for law in own) ** (1 / pooling) for own in served],
        bound_factor=bound_factor,
        demand_mean=[sum(law.mean for law in own) for own in served],
        inbound=outside,
        outbound=outbound,
        arc_time=tuple(arc_time.values()),
        units=tuple(needed.values()),
        pooling=pooling,
    )


def no_network_model(network: Network, *, lane: int | None = None) -> str | None:
    """Why a network has no guaranteed-service model; None where it has one."""
    w = network.wiring
    owed = jnp.asarray([[float(e >= w.n_inner)] for e in range(w.n_arcs)])  # costs of backlog do not matter here
    reason = obstacle(network.replace(backlog_cost=owed), lane=lane, allowed=("units",))
    if reason is not None:
        return reason
    for m, arcs in enumerate(w.arcs_of_input):
        if len(arcs) > 1:
            node, component = w.inputs[m]
            what = f"component {component!r} of node {w.nodes[node]!r}" if component else f"node {w.nodes[node]!r}"
            return f"{what} has {len(arcs)} sources; the model knows one source for each input: leave the others out"
    return None


def _laws(demand: Any, network: Network) -> list[Law]:
    w = network.wiring
    if isinstance(demand, Processes):
        demand = demand.demand
    if isinstance(demand, Process):
        found, reason = laws_of(demand, whole=w.integer)
        if reason:
            raise UnsuitableError(f"demand must be independent over time and between customers: {reason}")
        demand = found
    laws = [as_law(x) for x in demand]
    if len(laws) != w.n_customers:
        raise InputError(f"demand: {len(laws)} laws, and the network has {w.n_customers} customers")
    return laws
