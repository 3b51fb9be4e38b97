"""The guaranteed-service model of safety stock: its data.

Every stage j promises to deliver what was ordered from it within its (outbound) service time S_j. It waits SI_j =
max over its inputs i of S_i + L_ij for the slowest of them, works for T_j, and so must cover the demand of its net
replenishment time SI_j + T_j - S_j. Demand over t periods is taken to stay within a bound, mean_j t + k_j sigma_j
sqrt(t), which is the base-stock level; what exceeds the mean is safety stock. The model chooses S_j to minimise

    sum_j h_j k_j sigma_j sqrt(SI_j + T_j - S_j),    0 <= S_j <= SI_j + T_j,  S_j <= what customers of j accept.

Its cost is the holding cost of safety stock as the model counts it. It is not the cost of a simulation: there stages
deliver as soon as they can, early goods are stock too, and demand may leave the bound.

Simpson, Operations Research 6(6), 1958, https://doi.org/10.1287/opre.6.6.863; Graves and Willems, Manufacturing &
Service Operations Management 2(1), 2000, https://doi.org/10.1287/msom.2.1.68.23267; Snyder and Shen, 2nd edition,
section 6.3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import CycleError, DuplicateNameError, InputError, NumberError, UnknownNameError

__all__ = ["ServiceModel"]

#: No stage may wait longer than this, in periods.
LONGEST_WAIT = 100_000


@dataclasses.dataclass(frozen=True)
class ServiceModel:
    """The data of a guaranteed-service model in plain numbers.

    A number of nodes may be given as one value for all, as ``[N]`` values in the order of ``nodes``, or by name; what a
    mapping leaves out is 0. A number of arcs is one value or ``[A]`` values. Times are whole periods.

    Attributes:
      nodes: ``[N]`` names, in any order.
      arcs: ``[A]`` pairs (source, destination) of names, without a cycle.
      processing_time: ``[N]`` T, from having all inputs to having the output.
      holding_cost: ``[N]`` h, money per unit of safety stock and period.
      demand_sd: ``[N]`` of a period's demand of the node's own customers, 0 where it has none; independent over time.
      bound_factor: ``[N]`` k: how many standard deviations are covered (1.645 is 95 % of normal demand).
      demand_mean: ``[N]`` of the own customers' demand; it enters base-stock levels and not the cost.
      inbound: ``[N]`` service time of a supplier outside.
      outbound: ``[N]`` most that S may be; None or infinite: no limit. Where nothing is given it is 0 at nodes that
        have customers of their own or feed no node, and no limit at others; a single value is for the former.
      arc_time: ``[A]`` L, periods on the way from the source to the destination.
      units: ``[A]`` units of the source's product in a unit of the destination's.
      pooling: exponent p >= 1 by which deviations add up, sigma_j^p = sum over customers c of (units_jc sd_c)^p: 2
        for independent customers, 1 for customers that move together.
      safety_stock: instead of k sigma sqrt(t): ``(name, t [K]) -> units [K]``, 0 at 0, rising and concave.

    Raises:
      InputError, DuplicateNameError, UnknownNameError, CycleError: names or lengths do not fit.
      NumberError: a number is NaN, out of its domain or not whole; a safety-stock function is not as it must be.
    """

    nodes: Sequence[str]
    arcs: Sequence[tuple[str, str]]
    processing_time: Any
    holding_cost: Any
    demand_sd: Any
    bound_factor: Any
    demand_mean: Any = 0.0
    inbound: Any = 0
    outbound: Any = None
    arc_time: Any = 0
    units: Any = 1.0
    pooling: float = 2.0
    safety_stock: Callable[[str, np.ndarray], Any] | None = None

    def __post_init__(self) -> None:
        names, arcs = tuple(self.nodes), tuple(map(tuple, self.arcs))
        _check_graph(names, arcs)
        _keep(self, nodes=names, arcs=arcs)
        for name in ("holding_cost", "demand_sd", "bound_factor", "demand_mean"):
            _keep(self, **{name: number_row(name, getattr(self, name), names)})
        for name in ("processing_time", "inbound"):
            _keep(self, **{name: number_row(name, getattr(self, name), names, whole=True)})
        titles = tuple(f"{a} -> {b}" for a, b in arcs)
        _keep(self, arc_time=number_row("arc_time", self.arc_time, titles, whole=True, what="arcs"))
        _keep(self, units=number_row("units", self.units, titles, low=1e-9, what="arcs"))
        if not 1 <= self.pooling <= LARGEST:
            raise NumberError(
                f"pooling = {self.pooling:g}: 2 where customers are independent, 1 where they move together"
            )
        promised = self.serves
        limit: Any = self.outbound
        if limit is None or isinstance(limit, Mapping):
            free = {n: 0.0 if own else math.inf for n, own in zip(names, promised, strict=True)}
            limit = {**free, **(limit or {})}
        elif np.ndim(limit) == 0:
            limit = [limit if own else math.inf for own in promised]
        _keep(self, outbound=number_row("outbound", limit, names, whole=True, high=math.inf))
        if max(self.longest) > LONGEST_WAIT:
            raise NumberError(
                f"goods take up to {max(self.longest)} periods through the network: count in longer periods"
            )
        for j in range(len(names) if self.safety_stock else 0):
            _check_bound(names[j], self.safety(j, np.arange(self.longest[j] + 1)))

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each name."""
        return {name: j for j, name in enumerate(self.nodes)}

    @cached_property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """``[A]`` source and destination of each arc, as places."""
        return tuple((self.index[a], self.index[b]) for a, b in self.arcs)

    @cached_property
    def inputs(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """``[N]`` pairs (source, arc) of each node."""
        return _by_owner(((b, (a, e)) for e, (a, b) in enumerate(self.ends)), len(self.nodes))

    @cached_property
    def outputs(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """``[N]`` pairs (destination, arc) of each node."""
        return _by_owner(((a, (b, e)) for e, (a, b) in enumerate(self.ends)), len(self.nodes))

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The nodes upstream before downstream."""
        graph = nx.DiGraph(list(self.ends))
        graph.add_nodes_from(range(len(self.nodes)))
        return tuple(nx.lexicographical_topological_sort(graph))

    @cached_property
    def serves(self) -> tuple[bool, ...]:
        """``[N]`` whether a node has customers of its own, or feeds nobody."""
        rows = zip(self.demand_mean, self.demand_sd, self.outputs, strict=True)
        return tuple(bool(mean or sd or not out) for mean, sd, out in rows)

    @cached_property
    def mean(self) -> tuple[float, ...]:
        """``[N]`` units that a node must deliver per period."""
        return tuple((self.share @ np.asarray(self.demand_mean)).tolist())

    @cached_property
    def sigma(self) -> tuple[float, ...]:
        """``[N]`` standard deviation of what is asked of a node in a period, by the pooling exponent.

        A customer that is reached on several paths counts with the sum of their units: its demand is one.
        """
        sd = np.asarray(self.demand_sd)
        most = sd.max(initial=0.0) or 1.0
        return tuple((most * ((self.share * (sd / most)) ** self.pooling).sum(axis=1) ** (1 / self.pooling)).tolist())

    @cached_property
    def share(self) -> np.ndarray:
        """``[N, N]`` units of the row's product in a unit of the column's."""
        share = np.eye(len(self.nodes))
        for j in reversed(self.order):
            for i, e in self.outputs[j]:
                share[j] += self.units[e] * share[i]
        return share

    @cached_property
    def shortest_wait(self) -> tuple[int, ...]:
        """``[N]`` least inbound service time: that of an outside supplier, or the longest arc."""
        return tuple(
            max([self.inbound[j], *(self.arc_time[e] for _, e in self.inputs[j])]) for j in range(len(self.nodes))
        )

    @cached_property
    def longest(self) -> tuple[int, ...]:
        """``[N]`` longest replenishment time SI + T, reached where nobody before the node holds stock."""
        most = [0] * len(self.nodes)
        for j in self.order:
            wait = max(
                [self.inbound[j], *(min(most[i], self.outbound[i]) + self.arc_time[e] for i, e in self.inputs[j])]
            )
            most[j] = int(wait) + self.processing_time[j]
        return tuple(most)

    def safety(self, j: int, periods: Any) -> np.ndarray:
        """Safety stock of node ``j`` that covers so many periods ``[K]``."""
        periods = np.asarray(periods, float)
        if self.safety_stock is not None:
            return np.broadcast_to(np.asarray(self.safety_stock(self.nodes[j], periods), float), periods.shape)
        return self.bound_factor[j] * self.sigma[j] * np.sqrt(periods)

    def stock_cost(self, j: int) -> np.ndarray:
        """``[longest + 1]`` money per period for the safety stock of node ``j``, by net replenishment time."""
        return self.holding_cost[j] * self.safety(j, np.arange(self.longest[j] + 1))


def _keep(model: ServiceModel, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(model, name, value)


def _by_owner(pairs: Any, count: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    groups: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for owner, pair in pairs:
        groups[owner].append(pair)
    return tuple(map(tuple, groups))


def _check_graph(names: tuple[str, ...], arcs: tuple[tuple[str, ...], ...]) -> None:
    if not names:
        raise InputError("a guaranteed-service model needs at least one node")
    seen: set[Any] = set()
    for name in names:
        if not isinstance(name, str) or not name:
            raise InputError(f"node name {name!r} must be a text that is not empty")
        if name in seen:
            raise DuplicateNameError(f"node {name!r} appears more than once")
        seen.add(name)
    pairs: set[tuple[str, ...]] = set()
    for arc in arcs:
        if len(arc) != 2:
            raise InputError(f"arc {arc!r} must be a pair of names, (source, destination)")
        a, b = arc
        for name in arc:
            if name not in seen:
                raise UnknownNameError(f"arc {a} -> {b}: there is no node {name!r}")
        if (a, b) in pairs:
            raise DuplicateNameError(f"arc {a} -> {b} appears more than once; give it once, with the sum of the units")
        pairs.add((a, b))
    graph = nx.DiGraph(arcs)
    if not nx.is_directed_acyclic_graph(graph):
        loop = [a for a, _ in nx.find_cycle(graph)]
        raise CycleError(f"the arcs {' -> '.join([*loop, loop[0]])} form a cycle; a supply network must be acyclic")


def number_row(
    name: str,
    given: Any,
    names: tuple[str, ...],
    *,
    whole: bool = False,
    low: float = 0.0,
    high: float = LARGEST,
    what: str = "nodes",
) -> tuple[Any, ...]:
    """A number for each node or arc, checked."""
    if isinstance(given, Mapping):
        for key in given:
            if key not in names:
                raise UnknownNameError(f"{name}: there is no node {key!r}")
        given = [given.get(key, 0) for key in names]
    elif np.ndim(given) == 0:
        given = [given] * len(names)
    if len(given) != len(names):
        raise InputError(f"{name} has {len(given)} values, and there are {len(names)} {what}")
    found: list[Any] = []
    for at, value in zip(names, given, strict=True):
        try:
            x = math.inf if value is None and high == math.inf else float(value)
        except (TypeError, ValueError):
            raise NumberError(f"{what[:-1]} {at!r}: {name} = {value!r} is no number") from None
        where = f"{what[:-1]} {at!r}: {name} = {x:g}"
        if not low <= x <= high:  # also where x is NaN
            raise NumberError(f"{where} is outside [{low:g}, {high:g}]")
        if whole and math.isfinite(x) and x != round(x):
            raise NumberError(f"{where} must be a whole number of periods; round it up, or count in shorter periods")
        found.append(round(x) if whole and math.isfinite(x) else x)
    return tuple(found)


def _check_bound(name: str, stock: np.ndarray) -> None:
    slack = 1e-9 * max(1.0, float(np.abs(stock).max()))
    if not np.all(np.isfinite(stock)) or abs(stock[0]) > slack:
        raise NumberError(
            f"node {name!r}: safety_stock must be finite, and 0 over 0 periods; it is {stock[:3].tolist()} ..."
        )
    rise = np.diff(stock)
    if np.any(rise < -slack) or np.any(np.diff(rise) > slack):
        raise NumberError(f"node {name!r}: safety_stock must rise and be concave in time, as bounds on demand do")
