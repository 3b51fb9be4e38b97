"""How far a dynamic program looks: demand, orders, positions and backlog that its table covers.

What the user does not give is guessed from the demand over the lead time and grown by `dynamic_program` until the
optimum lies within.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError, NumberError, UnsuitableError
from meio_jax.network import Network
from meio_jax.policies.guess import mean_flow, variance_flow
from meio_jax.simulator import initial_state, place_orders
from meio_jax.solvers.laws import Law, Pmf
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.state_space import Box, Layout, number, unusable

__all__ = ["Demand", "Limits", "box_of", "demand_of", "guess", "no_table", "order_values", "start_of", "states_within"]

#: Joint values of the demand of one period that a table may have.
MOST_DEMANDS = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Demand:
    """The demand of one period as a table, tails cut.

    Attributes:
      values: ``[C, W]`` units; probabilities: ``[W]``.
      cut: probability that was cut off, over all customers.
      missing: ``[C]`` expected units per period by which demand is underrated.
    """

    values: np.ndarray
    probabilities: np.ndarray
    cut: float
    missing: np.ndarray

    @property
    def largest(self) -> np.ndarray:
        """``[C]`` units."""
        return self.values.max(1)


def demand_of(laws: Sequence[Law], tail: float) -> Demand:
    """The joint law of independent customers. Mass above the cut goes to the last value that is kept.

    Raises:
      UnsuitableError: a law is not on whole numbers, or there are too many joint values.
    """
    if not 0 <= tail < 0.01:
        raise NumberError(f"tail = {tail:g} must lie in [0, 0.01)")
    tables = []
    for c, law in enumerate(laws):
        reason = not_whole(law)
        if reason:
            raise UnsuitableError(f"demand of customer {c}: {reason}")
        first, p = law.lattice(1.0)
        above = np.append(np.cumsum(p[::-1])[::-1], 0.0)  # P(D >= first + k)
        last = int(np.argmax(above[1:] <= tail))
        kept = p[: last + 1].copy()
        kept[-1] += above[last + 1]
        values = first + np.arange(last + 1)
        some = kept > 0
        tables.append((values[some], kept[some] / kept.sum(), float(above[last + 1]), law.mean - values @ kept))
    count = math.prod(len(v) for v, _, _, _ in tables)
    if count > MOST_DEMANDS:
        raise UnsuitableError(f"the customers' demands have {count} joint values; a table takes {MOST_DEMANDS}")
    values = np.asarray(list(itertools.product(*(v for v, _, _, _ in tables)))).T
    joint = [math.prod(ps) for ps in itertools.product(*(p for _, p, _, _ in tables))]
    return Demand(values, np.asarray(joint), sum(t for _, _, t, _ in tables), np.asarray([m for *_, m in tables]))


def no_table(problem: Problem) -> str | None:
    """Why a problem has no table of states and demands, or None. Cheap."""
    reason = unusable(problem.network)
    if reason is not None:
        return reason
    if not problem.laws:
        return "the law of its demand is not given (problem.laws: independent, one for each customer); use 'search'"
    for c, law in enumerate(problem.laws):
        reason = not_whole(law)
        if reason is not None:
            return f"demand of customer {c}: {reason}"
    others = ("lead_time", "supply", "yield_", "reporting")
    random = [name for name in others if getattr(problem.processes, name, None) is not None]
    if random:
        return f"its {', '.join(random)} is random, and only demand may be ('search' can treat it)"
    return None


def not_whole(law: Law) -> str | None:
    """Why a law is not one of whole numbers >= 0, or None."""
    if law.step != 1.0:
        step = "continuous" if law.step is None else f"on a lattice of step {law.step:g}"
        return f"it is {step}, and a table needs whole numbers ('clark_scarf' or 'search' can treat it)"
    first = law.first if isinstance(law, Pmf) else 0.0
    if first < 0 or first != math.floor(first):
        return f"it begins at {first:g}, and a table needs whole numbers >= 0"
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class Limits:
    """What a table covers.

    Attributes:
      order: ``[I]`` largest order on each inner arc, units.
      position: ``[M]`` largest echelon position after ordering, units of the node's product; an order of nothing is
        always allowed.
      backlog: ``[C]`` most that a customer may be owed; what exceeds it is forgiven.
    """

    order: np.ndarray
    position: np.ndarray
    backlog: np.ndarray


def _downstream(network: Network) -> np.ndarray:
    """``[N]`` periods from an order's arrival at a node to the customers farthest from it."""
    w = network.wiring
    far = np.zeros(w.n_nodes)
    for n in reversed(range(w.n_nodes)):
        for e in w.out_arcs[n]:
            if e < w.n_inner:
                far[n] = max(far[n], w.lead_time[e] + far[w.dst[e]] + (w.timing == "ship_first"))
    return far


def guess(network: Network, laws: Sequence[Law], given: dict[str, Any]) -> Limits:
    """First limits: mean and 3 standard deviations of the demand that a position covers, and an economic lot.

    ``given`` holds what the user says of ``order``, ``position`` and ``backlog``: a number, or one each.
    """
    w = network.wiring
    mean = np.asarray(_mean_flow(network, np.asarray([[law.mean] for law in laws])), float)[:, 0]
    sd = np.sqrt(np.asarray(_variance_flow(network, np.asarray([[law.sd**2] for law in laws])), float)[:, 0])
    far = _downstream(network)
    fixed, holding = number(network, "fixed_order_cost", w.n_inner, 0.0), number(network, "holding_cost", w.n_nodes, 0)
    step = np.maximum(number(network, "lot_size", w.n_inner, 0.0), number(network, "minimum_order", w.n_inner, 0.0))
    capacity = number(network, "order_capacity", w.n_inner, np.inf)
    units = number(network, "units", w.n_inner, 1.0)
    order, position = np.zeros(w.n_inner), np.zeros(w.n_inputs)
    for m, n in enumerate(w.node_of_input):
        arcs = list(w.arcs_of_input[m])
        periods = max(w.lead_time[e] for e in arcs) + far[n] + (w.timing != "demand_first")
        lot = math.sqrt(2 * fixed[arcs].max() * mean[m] / holding[n]) if holding[n] > 0 else 0.0
        position[m] = math.ceil(mean[m] * periods + 3 * sd[m] * math.sqrt(periods) + lot + step[arcs].max())
        once = (mean[m] + 2.5 * sd[m] + lot) * units[arcs] + step[arcs]
        order[arcs] = np.minimum(np.ceil(once), capacity[arcs])
    backlog = np.zeros(w.n_customers)
    keep = number(network, "keep", w.n_arcs, 1.0)
    for c, law in enumerate(laws):
        node = w.src[w.n_inner + c]
        periods = max(w.lead_time[e] for e in w.in_arcs[node]) + 1
        if keep[w.n_inner + c] > 0:
            backlog[c] = math.ceil(law.mean + 5 * law.sd * math.sqrt(periods))
    found = {"order": order, "position": position, "backlog": backlog}
    for name, value in given.items():
        if value is not None:
            x = np.asarray(value, float)
            if x.shape not in ((), found[name].shape) or not np.all(x >= 0):
                raise InputError(f"{name}: give one number >= 0, or {found[name].size} of them")
            found[name] = np.broadcast_to(x, found[name].shape).copy()
    found["order"] = np.minimum(found["order"], capacity)
    return Limits(**found)


def order_values(network: Network, limits: Limits) -> list[np.ndarray]:
    """For each inner arc the orders ``[k]`` up to its limit that lots, minima and capacities allow, 0 first."""
    w = network.wiring
    most = int(limits.order.max(initial=0.0))
    wanted = np.broadcast_to(np.arange(most + 1, dtype=network.holding_cost.dtype), (w.n_inner, most + 1))
    placed = np.asarray(_place(network, wanted), float)
    return [np.unique(row[row <= limit]) for row, limit in zip(placed, limits.order, strict=True)]


@functools.partial(jax.jit, static_argnames="layout")
def start_of(network: Network, layout: Layout, demand: Any) -> Array:
    """``[D, B]`` the observed state at time 0, for each demand ``[C, B]`` of the first period."""
    return layout.read(network, initial_state(network, demand.shape[-1]), jnp.asarray(demand))


_place, _mean_flow, _variance_flow = jax.jit(place_orders), jax.jit(mean_flow), jax.jit(variance_flow)


def box_of(network: Network, layout: Layout, limits: Limits, demand: Demand) -> Box:
    """A box that holds every state that can be reached within the limits."""
    w = network.wiring
    seen = w.timing == "demand_first"
    customers = limits.backlog + (demand.largest if seen else 0.0)
    owed = np.zeros(w.n_nodes)  # what customers downstream of a node can be owed
    for n in reversed(range(w.n_nodes)):
        for e in w.out_arcs[n]:
            owed[n] += customers[e - w.n_inner] if e >= w.n_inner else owed[w.dst[e]]
    units = number(network, "units", w.n_inner, 1.0)
    whole = owed + [min(limits.position[m] for m in w.inputs_of_node[n]) for n in range(w.n_nodes)]
    keep = number(network, "keep", w.n_arcs, 1.0)
    at_start = np.asarray(start_of(network, layout, np.zeros((w.n_customers, 1))))[:, 0]
    low, high = np.zeros(len(layout.slots)), np.zeros(len(layout.slots))
    for d, (kind, index) in enumerate(layout.slots):
        if kind in ("stock", "net"):
            high[d] = whole[index[1]]
            if kind == "net":
                c = index[2] - w.n_inner
                low[d] = -(limits.backlog[c] if keep[index[2]] > 0 else 0) - (demand.largest[c] if seen else 0)
        elif kind == "component":
            arc = w.arcs_of_input[index[0]][0]
            high[d] = math.ceil((limits.position[index[0]] + owed[w.node_of_input[index[0]]]) * units[arc])
        elif kind == "pending":
            high[d] = demand.largest[index[0]]
        elif kind == "backlog" and index[0] >= w.n_inner:
            high[d] = limits.backlog[index[0] - w.n_inner]
        else:  # an inner arc: what is on its way, or owed to the node at its end
            e = index[-1]
            waits = w.src[e] >= 0 and keep[e] > 0
            high[d] = math.ceil(whole[w.dst[e]] * units[e]) if waits else limits.order[e]
    return Box(np.minimum(low, at_start).astype(np.int64), np.maximum(high, at_start).astype(np.int64))


def states_within(network: Network, limits: Limits, box: Box) -> float:
    """About how many states there are: the points of the box whose sum stays below the largest position."""
    w = network.wiring
    first = [m for m, arcs in enumerate(w.arcs_of_input) if any(w.src[e] < 0 for e in arcs)]
    room = int(limits.position[first].sum() + 2 * limits.backlog.sum()) + 1
    if room > 100_000:
        return float(box.cells)
    ways = np.zeros(room + 1)
    ways[0] = 1.0
    for size in box.sizes:
        total = np.cumsum(ways)
        ways = total - np.concatenate([np.zeros(min(size, room + 1)), total[: max(0, room + 1 - size)]])
    return float(ways.sum())
