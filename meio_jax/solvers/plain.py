"""A network's leaves as plain float64 numbers, and the features that no analytic method here has a word for."""

from __future__ import annotations

import math

import numpy as np

from meio_jax.errors import UnsuitableError
from meio_jax.network import Network
from meio_jax.solvers.problem import Problem

__all__ = ["lead_times", "not_average", "numbers", "obstacle", "passing_cost"]

#: What each leaf is where a network does not use it: rows, and the value that changes nothing.
_NEUTRAL = {
    "capacity": ("n_nodes", math.inf),
    "storage": ("n_nodes", math.inf),
    "yield_": ("n_nodes", 1.0),
    "shelf_life": ("n_nodes", math.inf),
    "units": ("n_inner", 1.0),
    "fixed_order_cost": ("n_inner", 0.0),
    "lot_size": ("n_inner", 0.0),
    "minimum_order": ("n_inner", 0.0),
    "order_capacity": ("n_inner", math.inf),
    "erosion": ("n_customers", 0.0),
    "keep": ("n_arcs", 1.0),
}

#: What else is read, and must be the same in all lanes unless one is chosen.
_READ = ("holding_cost", "backlog_cost", "transit_holding_cost", "component_holding_cost", "unit_cost",
         "operating_cost", "lead_time")  # fmt: skip


def numbers(network: Network, name: str, rows: int, empty: float = 0.0, lane: int | None = None) -> np.ndarray:
    """``[rows]`` of a leaf, ``empty`` where the network does without it.

    Raises:
      UnsuitableError: the numbers differ between lanes and no ``lane`` is given.
    """
    leaf = getattr(network, name)
    if leaf is None:
        return np.full(rows, empty)
    values = np.asarray(leaf, float)
    if values.shape[-1] == 1:
        return values[:, 0]
    if lane is None:
        raise UnsuitableError(f"{name} differs between lanes: say which lane")
    return values[:, lane]


def lead_times(network: Network, lane: int | None = None) -> np.ndarray:
    """``[I]`` whole periods on each inner arc."""
    w = network.wiring
    if network.lead_time is None:
        return np.asarray(w.lead_time, float)
    return np.round(numbers(network, "lead_time", w.n_inner, lane=lane))


def passing_cost(network: Network, lane: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """``[I]`` and ``[N]``: what every unit pays on an arc and at a node, whatever the policy."""
    w = network.wiring
    return numbers(network, "unit_cost", w.n_inner, lane=lane), numbers(network, "operating_cost", w.n_nodes, lane=lane)


def obstacle(network: Network, *, lane: int | None = None, allowed: tuple[str, ...] = ()) -> str | None:
    """Why base-stock theory with full backlogging does not describe this network, or None.

    ``allowed``: leaves that the caller treats itself, or "order_delay".
    """
    w = network.wiring
    for name in (*_READ, *_NEUTRAL):
        leaf = getattr(network, name)
        if lane is None and leaf is not None and leaf.shape[-1] > 1:
            return f"{name} differs between lanes: say which lane"
    for name, (rows, value) in _NEUTRAL.items():
        if name not in allowed and not np.all(numbers(network, name, getattr(w, rows), value, lane) == value):
            if name == "keep":
                return (
                    "keep has no place in this theory, in which all unmet demand waits; `value_iteration` treats small "
                    "networks that lose sales, `search` finds good levels of any by simulation"
                )
            return (
                f"{name} has no place in this theory, which is exact only without it; `search` finds good levels by "
                "simulation"
            )
    if any(w.order_delay) and "order_delay" not in allowed:
        return (
            "its orders travel (order_delay), which this theory has no word for; `clark_scarf` treats serial systems "
            "with mail, and `search` finds good levels by simulation"
        )
    if any(w.make_to_order):
        return "a node that makes to order holds no stock: leave it out and add its lead time to the next"
    backlog = numbers(network, "backlog_cost", w.n_arcs, lane=lane)
    if np.any(backlog[: w.n_inner]):
        return "backlog_cost between nodes has no place in this theory, only the customers'"
    if not np.all(backlog[w.n_inner :] > 0):
        return "backlog_cost of a customer is 0: it would be best to serve nobody; give it a cost"
    return None


def not_average(problem: Problem) -> str | None:
    """Why a problem is not one of long-run average cost with known, independent demand; None where it is."""
    if problem.criterion != "average":
        return f"it finds the long-run average cost, not the {problem.criterion} one; `search` takes any horizon"
    if not problem.laws:
        return "it needs the law of demand of one period, independent over time; `search` needs draws only"
    for name in ("lead_time", "supply", "yield_", "reporting"):
        if getattr(problem.processes, name, None) is not None:
            return f"it has no word for a random {name.rstrip('_')}; `search` tunes levels on draws of it"
    return None
