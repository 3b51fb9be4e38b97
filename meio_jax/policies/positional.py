"""What all rules share that order by inventory position: whose position, who sees whose orders, which source.

A rule is a function from (numbers, position) to a quantity; this module plays it on any network. With ``cascade``
nodes decide from the customers upstream and each sees the orders that reach it in this same period: those just placed
on it, as in Snyder and Shen (2019), section 6.2, and in stockpyl, or where orders travel those whose delay is over.
Without it all decide at once and a node reacts to an order one period later. Only with the cascade, and where orders
do not travel, do installation and echelon rules coincide (Axsater and Rosling 1993, Management Science 39(10)).
Echelon positions do not need it: an order downstream leaves the sum of positions as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, by_rank, rows, sum_groups
from meio_jax.network import Network
from meio_jax.observation import Observation, echelon_position, from_customers, installation_position
from meio_jax.policies.base import Decision
from meio_jax.policies.guess import initial_levels, mean_flow, of_customers, position_at_start
from meio_jax.simulator import place_orders
from meio_jax.stock import rounded_down

__all__ = ["PositionRule", "first_share", "order_on_arcs", "placed"]


def first_share(network: Network) -> dict[str, Array]:
    """``{"share": [I, 1]}``, all on the first arc of each input in the network's order, so from outside where that is
    a source; ``{}`` where every input has one source.
    """
    w = network.wiring
    if all(len(arcs) == 1 for arcs in w.arcs_of_input):
        return {}
    first = {arcs[0] for arcs in w.arcs_of_input}
    return {"share": jnp.asarray([[float(e in first)] for e in range(w.n_inner)], network.holding_cost.dtype)}


def order_on_arcs(network: Network, inputs: Sequence[int], need: Array, share: Array | None) -> tuple[list[int], Array]:
    """From needs of inputs, in units of the node's product, to orders on arcs.

    Args:
      inputs: indices of inputs; need: ``[len(inputs), B]``.
      share: ``[I, 1|B]`` weights of the alternative sources of an input; negative ones count as 0, and all 0 or None
        means the first source alone. In integer networks the parts are whole and sum to the need.

    Returns:
      The arcs and the orders on them, in the components' own units.
    """
    w = network.wiring
    arcs = [e for m in inputs for e in w.arcs_of_input[m]]
    if network.units is not None:
        need = need * rows(network.units, [w.arcs_of_input[m][0] for m in inputs])
    if all(len(w.arcs_of_input[m]) == 1 for m in inputs):
        return arcs, need
    owner = [k for k, m in enumerate(inputs) for _ in w.arcs_of_input[m]]
    first = np.asarray([e == w.arcs_of_input[m][0] for m in inputs for e in w.arcs_of_input[m]])[:, None]
    if share is None:
        return arcs, jnp.where(first, rows(need, owner), 0.0)
    count = 0
    groups = []
    for m in inputs:
        groups.append(list(range(count, count + len(w.arcs_of_input[m]))))
        count += len(w.arcs_of_input[m])
    weight = jnp.maximum(rows(share, arcs), 0.0)
    total = rows(sum_groups(weight, groups), owner)
    weight = jnp.where(total == 0, first, weight / jnp.where(total == 0, 1.0, total))
    if not w.integer:
        return arcs, rows(need, owner) * weight
    need = rounded_down(need + 0.5)
    parts: list[Array] = []
    reached, given = jnp.zeros(()), jnp.zeros(())
    for part in by_rank(weight, groups, 0.0):  # round the running sums, so that the parts sum to the whole
        reached = reached + part
        now = rounded_down(need * reached + 0.5)
        parts.append(now - given)
        given = now
    n = len(groups)
    return arcs, rows(jnp.concatenate(parts), [r * n + k for k, g in enumerate(groups) for r in range(len(g))])


def placed(network: Network, arcs: Sequence[int], orders: Array) -> Array:
    """What becomes of wanted ``orders [len(arcs), B]`` on some inner arcs after lots, minima and capacities."""

    def part(leaf: Array | None) -> Array | None:
        return None if leaf is None else rows(leaf, arcs)

    limits = {k: part(getattr(network, k)) for k in ("lot_size", "minimum_order", "order_capacity")}
    return place_orders(network.replace(**limits), orders)


def surface(orders: Array, *numbers: Array) -> Array:
    """``orders``, but NaN where any of ``numbers`` is NaN: a comparison would swallow it."""
    bad = jnp.isnan(numbers[0])
    for x in numbers[1:]:
        bad = bad | jnp.isnan(x)
    return jnp.where(bad, jnp.nan, orders)


@dataclasses.dataclass(frozen=True)
class PositionRule:
    """Base of all rules that order by inventory position. A subclass says how much, in `quantity`.

    ``echelon``: compare with echelon positions instead of installation positions.
    ``cascade``: nodes see the orders that reach them in this same period (installation positions only).

    theta is a dictionary of arrays ``[M, 1|B]``, in units of the node's own product, and where some input has several
    sources ``share [I, 1|B]``, their weights.
    """

    echelon: bool = False
    cascade: bool = True

    theta_has_lanes: ClassVar[bool] = True
    #: Names of theta that count units: whole where the network's quantities are.
    whole: ClassVar[tuple[str, ...]] = ("level",)

    def quantity(self, theta: dict[str, Array], position: Array) -> Array:
        """Units wanted, ``[m, B]``, at the given ``position [m, B]``; numbers are the same ``m`` rows of theta."""
        raise NotImplementedError

    def numbers(self, network: Network, level: Array, mean: Array) -> dict[str, Array]:
        """Numbers without shares, from base-stock levels and mean flows, both ``[M, 1|B]``."""
        return {"level": level}

    def start(self, network: Network, mean: Any = None, sd: Any = 0.0) -> dict[str, Array]:
        """Sensible first numbers for customers with a known ``mean`` and ``sd`` of demand per period.

        Without a mean: the positions at time 0, where there are any, since a system is usually described as it
        stands in its steady state; elsewhere levels for one unit of demand per customer and period.

        Raises:
          InputError: ``mean`` or ``sd`` has the wrong shape.
        """
        known = mean is not None
        rate = of_customers(network, mean if known else 1.0, "mean")
        flow = mean_flow(network, rate)
        level = initial_levels(network, rate, sd, echelon=self.echelon, cascade=self.cascade)
        if not known:
            now = position_at_start(network, echelon=self.echelon)
            level = jnp.where(now > 0, now, level)
        return {**self.numbers(network, level, flow), **first_share(network)}

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """First numbers from the network alone, see `start`. The key is not used."""
        return self.start(network)

    def memory(self, network: Network, lanes: int) -> Any:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        return Decision(self.orders(network, theta, seen)), memory

    def orders(self, network: Network, theta: dict[str, Array], seen: Observation) -> Array:
        """Orders on all inner arcs, ``[I, B]``."""
        w = network.wiring
        share = theta.get("share")
        numbers = {k: v for k, v in theta.items() if k != "share"}
        if self.echelon or not self.cascade:
            see = echelon_position if self.echelon else installation_position
            inputs = list(range(w.n_inputs))
            need = self.quantity(numbers, see(network, seen))
            return assemble([order_on_arcs(network, inputs, need, share)], w.n_inner)
        return self._in_turn(network, numbers, share, seen)

    def _in_turn(self, network: Network, numbers: dict[str, Array], share: Array | None, seen: Observation) -> Array:
        w = network.wiring
        position = installation_position(network, seen)
        if seen.mail is not None:
            position = position - rows(_delivered(network, seen.mail), list(w.node_of_input))
        parts: list[tuple[list[int], Array]] = []
        for nodes in from_customers(w):
            inputs = [m for n in nodes for m in w.inputs_of_node[n]]
            here = rows(position, inputs)
            fed = [[e for e in w.out_arcs[n] if e < w.n_inner and not w.order_delay[e]] for n in nodes]
            arcs = [e for f in fed for e in f]
            if arcs:
                at = {e: i for i, e in enumerate(arcs)}
                asked = sum_groups(_pick(parts, arcs), [[at[e] for e in f] for f in fed])
                here = here - rows(asked, [k for k, n in enumerate(nodes) for _ in w.inputs_of_node[n]])
            need = self.quantity({k: rows(v, inputs) for k, v in numbers.items()}, here)
            own, orders = order_on_arcs(network, inputs, need, share)
            parts.append((own, placed(network, own, orders)))
        return assemble(parts, w.n_inner)


def _delivered(network: Network, mail: Array) -> Array:
    """``[N, B]`` orders that reach each node today and that it has not seen yet."""
    w = network.wiring
    return sum_groups(mail[0], [[e for e in out if e < w.n_inner] for out in w.out_arcs])


def _pick(parts: list[tuple[list[int], Array]], arcs: Sequence[int]) -> Array:
    """Rows of ``arcs`` from the parts that hold them, ``[len(arcs), B]``."""
    used = [(index, x) for index, x in parts if set(index) & set(arcs)]
    place = {e: i for i, e in enumerate(e for index, _ in used for e in index)}
    joined = used[0][1] if len(used) == 1 else jnp.concatenate([x for _, x in used])
    return rows(joined, [place[e] for e in arcs])
