"""A serial system in plain numbers, from a network or by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from meio_jax.elements import LARGEST
from meio_jax.errors import InputError, NumberError, UnsuitableError
from meio_jax.network import Network
from meio_jax.solvers.newsvendor import covered_periods
from meio_jax.solvers.plain import lead_times, numbers, obstacle, passing_cost

__all__ = ["SerialSystem", "not_serial", "serial_system"]


@dataclasses.dataclass(frozen=True)
class SerialSystem:
    """A serial system in plain numbers, upstream first.

    Attributes:
      holding_cost: ``[N]`` local rates, money per unit and period.
      lead_time: ``[N]`` periods from the stage before (or from outside) to each stage; fractions are allowed where the
        law of demand has them (normal, Poisson).
      backlog_cost: money per unit owed to the customer and period.
      transit_cost: ``[N]`` money per unit in transit to each stage and period; ``"upstream"`` is the local rate of
        where it came from, 0 from outside.
      timing: ``"demand_first"``, ``"order_first"`` or ``"ship_first"``.
      unit_cost: money per unit that passes through the whole system (purchase, operation); no policy changes it.

    Raises:
      InputError: the lengths differ.
      NumberError: a number is NaN, negative or absurdly large.
      UnknownNameError: there is no such timing.
    """

    holding_cost: Sequence[float]
    lead_time: Sequence[float]
    backlog_cost: float
    transit_cost: Sequence[float] | str | float = 0.0
    timing: str = "order_first"
    unit_cost: float = 0.0

    def __post_init__(self) -> None:
        stages = len(self.holding_cost)
        if not stages:
            raise InputError("a serial system needs at least one stage")
        transit = self.transit_cost
        if isinstance(transit, str):
            if transit != "upstream":
                raise InputError(f"transit_cost {transit!r} is neither numbers nor 'upstream'")
            transit = (0.0, *list(self.holding_cost)[:-1])
        elif np.ndim(transit) == 0:
            transit = (transit,) * stages  # type: ignore[assignment]
        rows = {"holding_cost": self.holding_cost, "lead_time": self.lead_time, "transit_cost": transit}
        for name, values in rows.items():
            numbers = tuple(float(x) for x in values)  # type: ignore[union-attr]
            if len(numbers) != stages:
                raise InputError(f"{name} has {len(numbers)} values, and there are {stages} stages (upstream first)")
            object.__setattr__(self, name, numbers)
        for name in (*rows, "backlog_cost", "unit_cost"):
            for x in np.ravel(getattr(self, name)):
                if not 0 <= x <= LARGEST:
                    raise NumberError(f"{name} = {x:g} is outside [0, {LARGEST:g}]")
        if self.backlog_cost == 0:
            raise NumberError("backlog_cost is 0: it would be best to serve nobody")
        covered_periods(0.0, self.timing, serves_customers=True)

    @property
    def echelon_holding_cost(self) -> tuple[float, ...]:
        """``[N]`` what each stage's local rate adds to that of the stage before it."""
        return tuple(float(x) for x in np.diff(np.asarray(self.holding_cost), prepend=0.0))

    @property
    def covered(self) -> tuple[float, ...]:
        """``[N]`` periods of demand that each stage's echelon position must cover."""
        last = len(self.lead_time) - 1
        return tuple(covered_periods(t, self.timing, serves_customers=j == last) for j, t in enumerate(self.lead_time))

    def constant_cost(self, mean: float) -> float:
        """Cost per period that no policy changes, for a mean demand per period: in transit, purchase, operation."""
        return mean * (float(np.dot(self.transit_cost, self.lead_time)) + self.unit_cost)


def not_serial(network: Network, *, lane: int | None = None, mail: bool = True) -> str | None:
    """Why a network is no serial system with backorders; None where it is one. ``mail``: orders may travel."""
    w = network.wiring
    inner, last = range(w.n_inner), w.n_nodes - 1
    chain = all(w.src[e] == w.dst[e] - 1 for e in inner) and sorted(w.dst[: w.n_inner]) == list(range(w.n_nodes))
    if not chain or w.n_customers != 1 or w.src[-1] != last:
        return (
            "the network is not serial: one supplier, a chain of nodes and one customer at its end; `rosling` treats "
            "assembly, `federgruen_zipkin` bounds a warehouse with retailers"
        )
    if np.any(_without_mail(network, lane) < 0):
        return (
            "an order from below travels longer than a stage's own order and shipment together, so that the planner "
            "refills it in time for every order; leave that stage out"
        )
    return obstacle(network, lane=lane, allowed=("order_delay",) if mail else ())


def _without_mail(network: Network, lane: int | None) -> np.ndarray:
    """``[N]`` lead times of the serial system in which no order travels and the same echelon levels cost the same.

    Where orders travel d_i to the source of stage i, its order of period t meets the order of the stage below of period
    t + L_i + d_i - d_(i+1); in between nothing that either decision knows changes what the other can do, and stocks are
    those of a system with these lead times, at other times.
    """
    w = network.wiring
    into = np.argsort(w.dst[: w.n_inner])
    delay = np.asarray(w.order_delay, float)[into]
    return lead_times(network, lane)[into] + delay - np.append(delay[1:], 0.0)


def serial_system(network: Network, *, lane: int | None = None) -> SerialSystem:
    """A serial network as plain numbers, all of whose costs are kept (revenue is not a cost).

    Args:
      network: serial, with backorders and without whatever a Clark-Scarf recursion has no word for. Orders may travel:
        a planner who sees all stages then faces other lead times and pays for the same time in transit.
      lane: which lane's numbers; needed only where numbers differ between lanes.

    Raises:
      UnsuitableError: the network is no such system; says why.
    """
    reason = not_serial(network, lane=lane)
    if reason is not None:
        raise UnsuitableError(reason)
    w = network.wiring
    into = np.argsort(w.dst[: w.n_inner])  # the arc into each node
    per_arc, per_node = passing_cost(network, lane)  # a unit passes every arc and every node once
    transit = numbers(network, "transit_holding_cost", w.n_inner, lane=lane)[into]
    passing = float(per_arc.sum() + per_node.sum())
    if any(w.order_delay):
        passing, transit = passing + float(transit @ lead_times(network, lane)[into]), np.zeros_like(transit)
    return SerialSystem(
        holding_cost=numbers(network, "holding_cost", w.n_nodes, lane=lane).tolist(),
        lead_time=_without_mail(network, lane).tolist(),
        backlog_cost=float(numbers(network, "backlog_cost", w.n_arcs, lane=lane)[-1]),
        transit_cost=transit.tolist(),
        timing=w.timing,
        unit_cost=passing,
    )
