"""One warehouse with stores whose customers take special deliveries: Van Roy et al.'s cases, and four of Kaynov et al.

The day there: the planner orders, and what is in the warehouse leaves for the stores; then demand comes; of the
customers whom a store cannot serve a share takes a special delivery out of what is left in the warehouse, on the same
day; the others are lost. Here such a delivery is an arc of its own with lead time 0, and the planner sees a day's
demand before its orders (``demand_first``): it sends the special deliveries of the day and decides what leaves for the
stores on the next one. So the regular lead times to stores are a day longer than in the papers, and the costs the same:
a plain loop over the papers' day in tests/test_special_delivery.py agrees. What differs:

- The customers who are `Willing` are so many as there are on average, not a random number.
- A planner may use for special deliveries what reaches the warehouse on the day itself, which the papers do not allow
  where the warehouse has a lead time; the rule `SpecialDelivery` does not.
- Van Roy et al. charge stock before demand, the simulator after it. In the warehouse, where no demand comes, it is the
  same stock; in a store the difference is a day's holding for each unit that it gets, here the unit cost of its arc.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.indexing import rows, sum_first
from meio_jax.instances.base import Instance, Known
from meio_jax.instances.one_warehouse import KAYNOV, PERIODS, demand_of, published
from meio_jax.network import Network
from meio_jax.observation import Observation
from meio_jax.policies.base import Decision
from meio_jax.processes import Process, Processes
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.process_laws import laws_of
from meio_jax.struct import pytree

__all__ = ["INSTANCES", "SpecialDelivery", "Willing", "kaynov_partial", "van_roy"]

VAN_ROY = (
    "Van Roy, Bertsekas, Lee and Tsitsiklis, 36th IEEE Conference on Decision and Control, 1997, and its full-length "
    "report, doi:10.1109/CDC.1997.652501"
)


@pytree
class Willing(Process):
    """A supply process: the same share of each arc's orders can be shipped in every period."""

    share: Array  # [I, 1|B]

    role = "supply"
    kind = "willing"
    parameters: ClassVar = {}

    @property
    def memoryless(self) -> bool:
        return True

    def init(self, key: Array, lanes: int) -> Any:
        return None

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        return jnp.broadcast_to(self.share, (self.rows, lanes)), carry


@dataclasses.dataclass(frozen=True)
class SpecialDelivery:
    """Order up to levels, and deliver specially what the stores lack today.

    theta: ``{"warehouse": [1, 1|B], "store": [K, 1|B]}``. ``echelon``: the warehouse's level is compared with all there
    is in the system and on its way, instead of what is left in the warehouse and on its way there. Scarce stock is
    given out in proportion to what the stores want, or with ``level_out`` so that the least position becomes as large
    as possible. ``same_day``: what reaches the warehouse on a day may be delivered specially on that day.
    """

    echelon: bool = False
    level_out: bool = False
    same_day: bool = False

    theta_has_lanes: ClassVar[bool] = True

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """Levels of a unit of demand a day. The key is not used."""
        w = network.wiring
        lead = jnp.asarray([[float(w.lead_time[e])] for e in _arcs(network, "regular")], network.holding_cost.dtype)
        return {"warehouse": (w.lead_time[0] + 1.0) * jnp.full((1, 1), float(len(lead))), "store": lead + 1.0}

    def memory(self, network: Network, lanes: int) -> Any:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        w = network.wiring
        special, regular = _arcs(network, "special"), _arcs(network, "regular")
        stock, coming, later = sum_first(seen.on_hand), seen.pipeline[0], seen.pipeline[1:].sum(0)
        asked = rows(seen.owed, w.customer_arcs)
        here = rows(stock, [w.src[e] for e in w.customer_arcs]) + rows(coming, regular)
        share = 1.0 if seen.available is None else rows(seen.available, special)
        unmet = share * jnp.maximum(asked - here, 0.0)
        ready = stock[0] + coming[0] if self.same_day else stock[0]
        sent = unmet * _part(ready, sum_first(unmet))
        position = jnp.maximum(here - asked, 0.0) + rows(later, regular)
        left = stock[0] + coming[0] - sum_first(sent)
        want = jnp.maximum(theta["store"] - position, 0.0)
        if self.level_out:
            want = jnp.minimum(want, jnp.maximum(_water(position, left) - position, 0.0))
        shipped = want * _part(left, sum_first(want))
        reached = left + later[0] + (sum_first(position) if self.echelon else -sum_first(shipped))
        ordered = jnp.maximum(theta["warehouse"][0] - reached, 0.0)
        most = jnp.full((w.n_arcs, *asked.shape[1:]), jnp.inf)
        orders = jnp.zeros_like(coming).at[0].set(ordered)
        orders = orders.at[np.asarray(special)].set(sent / share).at[np.asarray(regular)].set(shipped)
        most = most.at[np.asarray(special)].set(sent).at[np.asarray(regular)].set(shipped)
        return Decision(orders, most), memory


def _arcs(network: Network, kind: str) -> list[int]:
    return [e for e, name in enumerate(network.wiring.arcs) if name.startswith(kind)]


def _part(stock: Array, wanted: Array) -> Array:
    """The share of what is wanted that there is."""
    return jnp.minimum(1.0, stock / jnp.where(wanted > 0, wanted, 1.0))


def _water(position: Array, stock: Array) -> Array:
    """The level ``[B]`` to which so much stock raises the lowest of the positions ``[K, B]``."""
    ascending = jnp.sort(position, axis=0)
    count = jnp.arange(1, position.shape[0] + 1, dtype=position.dtype)[:, None]
    return ((stock + jnp.cumsum(ascending, axis=0)) / count).min(0)


def _system(
    lead: tuple[int, Sequence[int]], holding: tuple[float, float], lost: float, special: float, mean: Sequence[float],
    *, before_demand: bool = False, capacity: float | None = None,
) -> Network:  # fmt: skip
    """A warehouse and a store for each mean; ``lead`` and ``holding`` of the warehouse and of the stores."""
    charged = holding[1] if before_demand else 0.0
    nodes = [Node("warehouse", holding_cost=holding[0], initial_on_hand=sum(mean))]
    nodes += [
        Node(f"store{k}", holding_cost=holding[1], initial_on_hand=m * (t + 1))
        for k, (m, t) in enumerate(zip(mean, lead[1], strict=True), 1)
    ]
    arcs = [Arc(OUTSIDE, "warehouse", "supply", lead_time=lead[0], order_capacity=capacity, initial_pipeline=sum(mean))]
    for k, (m, t) in enumerate(zip(mean, lead[1], strict=True), 1):
        arcs += [
            Arc("warehouse", f"store{k}", f"special{k}", keep=0.0, unit_cost=special),
            Arc(
                "warehouse", f"store{k}", f"regular{k}", keep=0.0, lead_time=t + 1, unit_cost=charged,
                initial_pipeline=m,
            ),
            Arc(f"store{k}", CUSTOMER, keep=0.0, lost_cost=lost),
        ]  # fmt: skip
    return build_network(nodes, arcs, timing="demand_first")


def _problem(network: Network, demand: Process, willing: float, **criterion: Any) -> Problem:
    special = _arcs(network, "special")
    share = [[willing if e in special else 1.0] for e in range(network.wiring.n_inner)]
    return Problem(network, Processes(demand=demand, supply=Willing(jnp.asarray(share))), **criterion)


def _levels(warehouse: float, stores: Sequence[float]) -> dict[str, Array]:
    return {"warehouse": jnp.asarray([[float(warehouse)]]), "store": jnp.asarray([[float(x)] for x in stores])}


def _means(demand: Process) -> list[float]:
    return [law.mean for law in laws_of(demand)[0]]


# --- Van Roy, Bertsekas, Lee and Tsitsiklis ----------------------------------------------------------------------

#: Stores, lead times, mean and deviation of a store's demand before it is rounded and cut off at 0, levels; published
#: costs of order-up-to levels and of their best approximate dynamic program.
_VAN_ROY = {
    "simple": (1, (1, 1), (5, 8), (10, 16), 51.7, 52.6),
    "case_1": (10, (2, 2), (5, 14), (330, 23), 1302.0, 1179.0),
    "case_2": (10, (5, 3), (0, 20), (460, 22), 1449.0, 1318.0),
}


def van_roy(name: str) -> Instance:
    """Long-run average cost of ``simple``, ``case_1`` or ``case_2``.

    ``simple`` has one store, holding costs 1 and 2, a special delivery at 10, a lost sale at 50, and all customers are
    willing; at most 10 units are made a day. What is ordered reaches the warehouse within the day, too late for that
    day's shipments to the store: a lead time of 1 here. The cases have ten stores, holding costs 3, free special
    deliveries, a lost sale at 60, eight willing customers in ten, at most 100 units a day. Storage is limited to 50
    units at each place in ``simple``, to 1,000 and 100 in the cases; here it is not: no sensible rule comes near.
    """
    count, lead, law, levels, base_stock, best = _VAN_ROY[name]

    def make() -> Problem:
        demand = demand_of([("normal", *law)] * count)
        if name == "simple":
            numbers, willing, capacity = ((1.0, 2.0), 50.0, 10.0), 1.0, 10.0
        else:
            numbers, willing, capacity = ((3.0, 3.0), 60.0, 0.0), 0.8, 100.0
        network = _system((lead[0], [lead[1]] * count), *numbers, _means(demand), before_demand=True, capacity=capacity)
        return _problem(network, demand, willing)

    def rule() -> tuple[Any, Any]:
        policy = SpecialDelivery(level_out=True, same_day=name == "simple")
        return policy, _levels(levels[0], [levels[1]] * count)

    half, source = 0.05 if name == "simple" else 0.5, "Van Roy et al. 1997"
    note = f"warehouse and store level {levels}; how they simulated is not printed in full"
    known = (
        Known("order-up-to levels", base_stock, source, "T", half, rule=rule, note=note),
        Known("approximate dynamic program", best, source, "T", half),
    )
    title = f"{name.replace('_', ' ')}: {count} store{'s' * (count > 1)} with special deliveries"
    return Instance(f"van_roy/{name}", "van_roy", title, "demand_first", VAN_ROY, make, known)


# --- Kaynov et al., "partial back-ordering" ----------------------------------------------------------------------

_MIXED: list[tuple] = [("normal", 1, 5), ("normal", 5, 1), ("poisson", 0.5)]
_SLOPE: list[tuple] = [("normal", 2 * k, 20 - 4 * k) for k in range(6)] + [("poisson", m) for m in (0.5, 3, 9, 12)]
#: Stores' lead time, demand, costs (warehouse, store, lost sale); published: proportional, min-shortage, PPO.
_PARTIAL: dict[int, tuple[int, list[tuple], tuple[float, float, float], tuple[float, float, float]]] = {
    11: (1, [("poisson", 3)] * 3, (0.5, 1.0, 9.0), (1111.76, 1109.96, 971.86)),
    12: (1, _MIXED, (0.5, 1.0, 9.0), (1402.38, 1406.43, 1118.92)),
    13: (2, [("normal", 5, 14)] * 10, (3.0, 3.0, 60.0), (101727.47, 99882.51, 79727.39)),
    14: (2, _SLOPE, (3.0, 3.0, 60.0), (53358.86, 52787.41, 42835.02)),
}


def kaynov_partial(case: int) -> Instance:
    """Case 11 to 14: eight customers in ten take a special delivery, which is free; total cost of 100 periods.

    The warehouse's lead time is 2. Normal demand is rounded and cut off at 0.
    """
    lead, law, (at_warehouse, at_store, lost), costs = _PARTIAL[case]

    def make() -> Problem:
        demand = demand_of(law)
        network = _system((2, [lead] * len(law)), (at_warehouse, at_store), lost, 0.0, _means(demand))
        return _problem(network, demand, 0.8, criterion="total", periods=PERIODS)

    title = f"warehouse and {len(law)} stores with special deliveries, lead times 2 and {lead}"
    return Instance(f"kaynov/case_{case}", "kaynov", title, "demand_first", KAYNOV, make, published(*costs))


INSTANCES: tuple[Instance, ...] = (*map(kaynov_partial, _PARTIAL), *map(van_roy, _VAN_ROY))
