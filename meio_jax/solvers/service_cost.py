"""What given service times cost in a guaranteed-service model, and the base-stock levels that keep the promises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from meio_jax.errors import InfeasibleError, InputError, UnknownNameError
from meio_jax.network import Network
from meio_jax.policies.base_stock import BaseStock
from meio_jax.solvers.guaranteed_service import ServiceModel, number_row
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution, column

__all__ = ["no_service_model", "service_cost"]

_REFERENCE = "Simpson 1958; Graves & Willems 2000; Snyder & Shen 2019, section 6.3"


def service_cost(model: ServiceModel, service_time: Any, *, network: Network | None = None) -> Solution:
    """What given service times cost, and the base-stock levels that keep the promises.

    Args:
      model: the data.
      service_time: S of each node: ``[N]`` whole periods, or by name.
      network: the same system for the simulator (nodes of the same names), for ``policy`` and ``theta``.

    Returns:
      A solution whose ``cost`` is the model's. Its rows are in the order of the network's nodes where there is a
      network, else of the model's; ``numbers`` has ``node`` (names), ``service_time``, ``inbound_service_time``,
      ``net_replenishment_time``, ``sigma``, ``safety_stock``, ``safety_stock_cost``, ``base_stock``, and
      ``pipeline_stock`` (in process and on the way, mean). ``policy`` is the installation base-stock rule. Demand
      within its bound is then served within the promise wherever a node that promises more than 0 feeds one
      destination; where it feeds several, the simulator shares scarce stock by its own rule and not by date.

    Raises:
      NumberError, InputError: times are not whole, or do not fit the nodes.
      InfeasibleError: a time is longer than what customers accept, or than the node needs at most.
    """
    names = model.nodes
    if isinstance(service_time, Mapping) and (missing := set(names) - set(service_time)):
        raise InputError(f"service_time leaves out {', '.join(sorted(missing))}")
    times = number_row("service_time", service_time, tuple(names), whole=True)
    inbound, net = [0] * len(names), [0] * len(names)
    for j in model.order:
        s = times[j]
        inbound[j] = max([model.inbound[j], *(times[i] + model.arc_time[e] for i, e in model.inputs[j])])
        net[j] = inbound[j] + model.processing_time[j] - s
        if s > model.outbound[j]:
            raise InfeasibleError(
                f"node {names[j]!r}: service time {s} exceeds the {model.outbound[j]:g} that is accepted"
            )
        if net[j] < 0:
            raise InfeasibleError(f"node {names[j]!r}: service time {s} exceeds its replenishment time of {net[j] + s}")
    safety = np.array([float(model.safety(j, net[j])) for j in range(len(names))])
    cost = np.asarray(model.holding_cost) * safety
    level = np.asarray(model.mean) * net + safety
    busy = [
        model.processing_time[j] + max((model.arc_time[e] for _, e in model.inputs[j]), default=0)
        for j in range(len(names))
    ]
    played: dict[str, Any] = {} if network is None else plays_service_times(model, level, network)
    order = range(len(names)) if network is None else [model.index[n] for n in network.wiring.nodes]

    def row(values: Any) -> tuple[Any, ...]:
        values = values.tolist() if isinstance(values, np.ndarray) else values
        return tuple(values[j] for j in order)

    return Solution(
        math.fsum(cost),
        local_levels=row(level),
        method="guaranteed service",
        reference=_REFERENCE,
        claim="exact",
        numbers={
            "node": row(names),
            "service_time": row(times),
            "inbound_service_time": row(inbound),
            "net_replenishment_time": row(net),
            "sigma": row(model.sigma),
            "safety_stock": row(safety),
            "safety_stock_cost": row(cost),
            "base_stock": row(level),
            "pipeline_stock": row(np.asarray(model.mean) * busy),
        },
        **played,
    )


def plays_service_times(model: ServiceModel, levels: Any, network: Network) -> dict[str, Any]:
    """``policy`` and ``theta`` of base-stock levels ``[N]`` in the order of the model, as fields of a `Solution`.

    Raises:
      UnknownNameError: the network has other nodes.
    """
    w = network.wiring
    if set(w.nodes) != set(model.nodes):
        odd = sorted(set(w.nodes) ^ set(model.nodes))
        raise UnknownNameError(f"network and model differ in {', '.join(odd)}: they must have the same nodes")
    rows = np.asarray([levels[model.index[w.nodes[n]]] for n in w.node_of_input])
    if w.integer:
        rows = np.ceil(rows - 1e-9)
    return {"policy": BaseStock(), "theta": {"level": column(rows, network)}}


def no_service_model(problem: Problem) -> str | None:
    """Why a problem is no guaranteed-service problem; None where it is one."""
    if isinstance(problem.service, ServiceModel):
        return None
    return (
        "nobody promises a service time, and a network file has no word for it: in Python, give the problem a "
        "`ServiceModel` as service= (`service_model` makes one of a network)"
    )
