"""A tally by node, arc and customer, from which every indicator of `meio_jax.kpis.indicators` is computed.

All leaves are sums over periods, so they can be added over periods, lanes and machines. It is a ``measure`` of
`meio_jax.rollout` beside the plain `meio_jax.kpis.tally`, which is what learners and searches need and costs less.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import rows, sum_groups
from meio_jax.network import Network, Wiring
from meio_jax.observation import accumulate_downstream
from meio_jax.simulator import Flows
from meio_jax.struct import pytree

__all__ = ["TINY", "PeriodMeasures", "WideMeasure", "WideTally", "echelons", "flow_of_nodes", "streams", "wide_tally"]

#: Smaller shares of what was to be served are rounding errors of the allocation, no stockout.
TINY = 1e-5


@pytree
class WideTally:
    """Sums over periods of what `Flows` says, and of what is not linear in it.

    ordered, shipped, filled, lost ``[E, B]`` units; backlog ``[E, B]``, in_transit ``[I, B]``, on_hand ``[N, B]``,
    components ``[M|0, B]`` unit-periods; built, scrapped ``[N, B]`` units; arrived ``[I, B]`` units, None where orders
    do not travel. placed ``[I, B]``: orders. asked ``[E, B]``: periods in which something was asked for; short ``[E,
    B]``: of these those with unmet demand. ready ``[N, B]``: periods that ended with stock. cycles ``[N, B]``:
    replenishments; short_cycles ``[N, B]``: of these those that came too late (`wide_tally`). placed_squares,
    received_squares, final_squares ``[S, B]``: squares of the `streams`. centre ``[E, B]``: what was taken off orders
    before they were squared, None: nothing. periods ``[B]``: 1.
    """

    ordered: Array
    shipped: Array
    filled: Array
    lost: Array
    backlog: Array
    in_transit: Array
    on_hand: Array
    components: Array
    built: Array
    scrapped: Array
    arrived: Array | None
    placed: Array
    asked: Array
    short: Array
    ready: Array
    cycles: Array
    short_cycles: Array
    placed_squares: Array
    received_squares: Array
    final_squares: Array
    centre: Array | None
    periods: Array

    def replace(self, **changes: Any) -> WideTally:
        return dataclasses.replace(self, **changes)


class PeriodMeasures:
    """The fields of a period's `WideTally`, each computed when it is asked for."""

    def __init__(self, network: Network, flows: Flows, mean_demand: tuple[float, ...] | None = None) -> None:
        self._network, self._flows, self._mean_demand = network, flows, mean_demand

    def __getattr__(self, name: str) -> Any:
        # What is linear in the flows is theirs as it is; all else is a property.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._flows, name)

    @property
    def scrapped(self) -> Array:
        return self._flows.expired + self._flows.overflow

    @property
    def periods(self) -> Array:
        return jnp.ones_like(self._flows.on_hand[0])

    @cached_property
    def _heard(self) -> Array:
        f, inner = self._flows, self._network.wiring.n_inner
        return f.ordered if f.arrived is None else jnp.concatenate([f.arrived, f.ordered[inner:]])

    def _out_of(self, x: Array) -> Array:
        return sum_groups(x, self._network.wiring.out_arcs)

    @property
    def placed(self) -> Array:
        ordered = self._flows.ordered[: self._network.wiring.n_inner]
        return _counted(ordered > 0, ordered)

    @property
    def asked(self) -> Array:
        return _counted(self._heard > 0, self._heard)

    @property
    def short(self) -> Array:
        unmet = self._heard - self._flows.filled
        return _counted((self._heard > 0) & (unmet > TINY * self._heard), unmet)

    @property
    def ready(self) -> Array:
        held = self._flows.on_hand
        return _counted(held > TINY * self._out_of(self._flows.shipped), held)

    @property
    def cycles(self) -> Array:
        return _counted(self._flows.built > 0, self._flows.built)

    @property
    def short_cycles(self) -> Array:
        f, w, keep = self._flows, self._network.wiring, self._network.keep
        owed = f.backlog + f.shipped + f.lost
        behind = owed - self._heard
        if w.timing == "ship_first":  # nodes are served before the delivery, customers after it
            behind = jnp.concatenate([(f.backlog + f.lost)[: w.n_inner], behind[w.n_inner :]])
        size = self._out_of(owed + self._heard)
        late = self._out_of(behind) > TINY * size
        if keep is not None:  # what was lost is owed to nobody: there the shelf must not be bare
            used = f.on_hand + self._out_of(f.shipped) + self.scrapped
            bare = used - f.built <= TINY * (used + f.built)
            late = late | (bare & (self._out_of(1.0 - keep) > 0))
        return _counted((f.built > 0) & late, f.on_hand + f.built + size)

    @property
    def centre(self) -> Array | None:
        if self._mean_demand is None:
            return None
        ordered = self._flows.ordered
        mean = jnp.asarray(np.asarray(self._mean_demand, np.float64)[:, None], ordered.dtype)
        return jnp.broadcast_to(mean_orders(self._network, mean), ordered.shape)

    @cached_property
    def _streams(self) -> tuple[Array, Array, Array]:
        centre = self.centre
        return streams(self._network, self._flows.ordered if centre is None else self._flows.ordered - centre)

    @property
    def placed_squares(self) -> Array:
        return self._streams[0] ** 2

    @property
    def received_squares(self) -> Array:
        return self._streams[1] ** 2

    @property
    def final_squares(self) -> Array:
        return self._streams[2] ** 2


def _counted(happened: Array, of: Array) -> Array:
    """1 where it happened, NaN where what it is judged by is: comparisons would hide that."""
    return happened.astype(of.dtype) + of * 0.0


@dataclasses.dataclass(frozen=True)
class WideMeasure:
    """A ``measure`` for `meio_jax.rollout`: ``measure(network, flows) -> WideTally``.

    mean_demand: each customer's, about. Variances are differences of sums of squares, which in float32 lose digits
    where the mean is much larger than the standard deviation (a thousandth of the variance at 20 times); taking the
    mean off first keeps them. None: nothing is taken off.
    """

    mean_demand: tuple[float, ...] | None = None

    def __call__(self, network: Network, flows: Flows) -> WideTally:
        period = PeriodMeasures(network, flows, self.mean_demand)
        return WideTally(**{field.name: getattr(period, field.name) for field in dataclasses.fields(WideTally)})


def wide_tally(network: Network, flows: Flows) -> WideTally:
    """The wide measure of one period, orders squared as they are.

    A replenishment is a period in which units are added to a node's stock. It came too late if something was owed by
    the node at the start of that period: then the stock of the cycle before it did not cover its demand. Where unmet
    demand is not all kept it came too late also if the shelf was bare by then (a stockout as Silver, Pyke and Thomas
    (2017), chapter 6, have it: the stock on hand drops to zero; whole demand that takes just the last unit counts).
    `meio_jax.kpis.waits` counts cycles exactly, from a trajectory.
    """
    return WideMeasure()(network, flows)


def echelons(w: Wiring) -> tuple[tuple[int, ...], ...]:
    """The nodes of each level of the wiring, from the suppliers down."""
    return tuple(tuple(n for n in range(w.n_nodes) if w.levels[n] == k) for k in range(max(w.levels) + 1))


def flow_of_nodes(network: Network, demand: Array) -> Array:
    """``[N, B]`` what each node would have to deliver if all of ``demand [C, B]`` were passed on at once, in units of
    its own product; alternative sources have equal shares.
    """
    w = network.wiring
    served = [[e - w.n_inner for e in out if e >= w.n_inner] for out in w.out_arcs]
    by_input = accumulate_downstream(network, rows(sum_groups(demand, served), list(w.node_of_input)))
    return rows(by_input, [inputs[0] for inputs in w.inputs_of_node])


def mean_orders(network: Network, demand: Array) -> Array:
    """``[E, B]`` what would be ordered on each arc if all of ``demand [C, B]`` were passed on at once."""
    w = network.wiring
    sources = np.asarray([[len(w.arcs_of_input[m])] for m in w.input_of_arc], demand.dtype)
    arc = rows(flow_of_nodes(network, demand), w.dst[: w.n_inner]) / sources
    arc = arc if network.units is None else arc * network.units
    return jnp.concatenate([arc, jnp.broadcast_to(demand, (w.n_customers, arc.shape[-1]))])


def streams(network: Network, ordered: Array) -> tuple[Array, Array, Array]:
    """Orders placed, orders received, and the customers' demand behind them, ``[S, B]`` each, of ``ordered [E, B]``.

    Rows: the N nodes, then the echelons, their nodes added up, then the whole. A node's orders are in units of its own
    product, the mean over its inputs; what it receives is of nodes and customers alike; the demand behind it is
    `flow_of_nodes`. The whole places orders outside, and receives its customers' demand: plain sums of units.
    """
    w = network.wiring
    inner, demand = ordered[: w.n_inner], ordered[w.n_inner :]
    own = inner if network.units is None else inner / network.units
    placed = sum_groups(own, w.in_arcs)
    inputs = np.asarray([[len(x)] for x in w.inputs_of_node], placed.dtype)
    placed = placed if (inputs == 1).all() else placed / inputs
    received, final = sum_groups(ordered, w.out_arcs), flow_of_nodes(network, demand)
    levels, everywhere = echelons(w), demand.sum(0, keepdims=True)
    outside = rows(inner, w.outside_arcs).sum(0, keepdims=True)

    def rows_of(x: Array, whole: Array) -> Array:
        return jnp.concatenate([x, sum_groups(x, levels), whole])

    return rows_of(placed, outside), rows_of(received, everywhere), rows_of(final, everywhere)
