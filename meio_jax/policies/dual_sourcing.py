"""Rules for one thing from two suppliers, a cheap slow one and a dear quick one, at every node of the network.

Which of the two arcs is the quick one is read from their lead times, l_e < l_r. Two positions are looked at: the
*expedited position* x, which is net stock and all that will have arrived once a quick order of today has (slots 0 to
l_e of the pipeline, from whichever source), and the *inventory position* IP, which is net stock and all on order.

    tailored base-surge:  q_e = (S_e - x)+,   q_r = Q
    single index:         q_e = (S_e - IP)+,  q_r = (S_r - IP - q_e)+
    dual index:           q_e = (S_e - x)+,   q_r = (S_r - IP - q_e)+
    capped dual index:    the same, and q_r <= cap

q_e is what is placed, after lots, minima and capacities.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.indexing import assemble, rows, sum_first, sum_groups
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation, installation_position
from meio_jax.policies.base import Decision
from meio_jax.policies.guess import mean_flow, of_customers, variance_flow
from meio_jax.policies.positional import placed

__all__ = ["CappedDualIndex", "DualIndex", "SingleIndex", "TailoredBaseSurge", "two_sources"]


def two_sources(network: Network) -> tuple[list[int], list[int]]:
    """``[M]`` the quick and ``[M]`` the slow arc of each input.

    Raises:
      InputError: an input has not exactly two sources outside with different fixed lead times.
    """
    w = network.wiring
    if network.lead_time is not None:
        raise InputError("lead times must be fixed in the wiring, so that the quick source is known")
    if w.mail_slots:
        raise InputError("orders that travel have no place in these rules: add order_delay to the lead time")
    quick, slow = [], []
    for m, arcs in enumerate(w.arcs_of_input):
        node = w.nodes[w.node_of_input[m]]
        lead = [w.lead_time[e] for e in arcs]
        if len(arcs) != 2 or any(w.src[e] >= 0 for e in arcs):
            raise InputError(f"node {node!r} must have two sources of its input, both outside; BaseStock takes any")
        if lead[0] == lead[1]:
            raise InputError(f"the two sources of node {node!r} both take {lead[0]} periods; one must be quicker")
        first = int(np.argmin(lead))
        quick.append(arcs[first])
        slow.append(arcs[1 - first])
    return quick, slow


def _periods(w: Wiring, arcs: list[int]) -> np.ndarray:
    """``[M, 1]`` periods of demand that an order on each of these arcs must cover."""
    late = int(w.timing != "demand_first")
    return np.asarray([[w.lead_time[e] + late] for e in arcs])


@dataclasses.dataclass(frozen=True)
class _TwoSourceRule:
    """What the rules share. A subclass says in `split` what is ordered quickly, and in `rest` what slowly."""

    theta_has_lanes: ClassVar[bool] = True
    whole: ClassVar[tuple[str, ...]] = ("expedited", "regular", "cap", "quantity")

    def quick(self, theta: dict[str, Array], expedited: Array, position: Array) -> Array:
        """Units wanted of the quick source ``[M, B]``, at the two positions ``[M, B]``."""
        return jnp.maximum(theta["expedited"] - expedited, 0.0)

    def slow(self, theta: dict[str, Array], position: Array) -> Array:
        """Units wanted of the slow source ``[M, B]``, at the position after the quick order."""
        return jnp.maximum(theta["regular"] - position, 0.0)

    def numbers(self, expedited: Array, regular: Array, mean: Array, whole: bool) -> dict[str, Array]:
        """Numbers from two base-stock levels and the mean flow, ``[M, 1|B]``; whole numbers if ``whole``."""
        return {"expedited": expedited, "regular": regular}

    def start(self, network: Network, mean: Any = None, sd: Any = 0.0) -> dict[str, Array]:
        """For each source the base-stock level that it would have alone, at customers' ``mean`` (None: 1) and ``sd``.

        Raises:
          InputError: the nodes do not have two sources each, or a shape is wrong.
        """
        dtype = network.holding_cost.dtype
        flow = mean_flow(network, of_customers(network, 1.0 if mean is None else mean, "mean"))
        variance = variance_flow(network, of_customers(network, sd, "sd") ** 2)
        levels = []
        for arcs in two_sources(network):
            periods = jnp.asarray(_periods(network.wiring, arcs), dtype)
            level = flow * periods + jnp.sqrt(variance * periods)
            levels.append(jnp.ceil(level - 1e-3) if network.wiring.integer else level)
        return self.numbers(levels[0], levels[1], flow, network.wiring.integer)

    def init(self, key: Array, network: Network) -> dict[str, Array]:
        """For a demand of one unit per customer and period. The key is not used."""
        return self.start(network)

    def memory(self, network: Network, lanes: int) -> Any:
        return None

    def apply(self, network: Network, theta: Any, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        w = network.wiring
        quick, slow = two_sources(network)
        units = None if network.units is None else rows(network.units, quick)
        position = installation_position(network, seen)
        near = self.quick(theta, _expedited_position(network, seen, quick, slow), position)
        order = placed(network, quick, near if units is None else near * units)
        far = self.slow(theta, position + (order if units is None else order / units))
        far = jnp.broadcast_to(far, order.shape)
        return Decision(assemble([(quick, order), (slow, far if units is None else far * units)], w.n_inner)), memory


def _expedited_position(network: Network, seen: Observation, quick: list[int], slow: list[int]) -> Array:
    """``[M, B]`` net stock and what arrives no later than a quick order of today would, in the node's own product.

    Of orders that late reports do not show yet, quick ones are among them.
    """
    w = network.wiring
    coming = []
    for e, f in zip(quick, slow, strict=True):
        soon = seen.pipeline[: w.lead_time[e] + 1]
        total = sum_first(soon[:, e]) + sum_first(soon[:, f])
        coming.append(total if seen.unreported is None else total + seen.unreported[e])
    inputs = jnp.stack(coming)
    if seen.components.shape[0]:
        inputs = inputs + seen.components
    if network.units is not None:
        inputs = inputs / rows(network.units, quick)
    own = sum_first(seen.on_hand) - sum_groups(seen.owed, w.out_arcs)
    return inputs + rows(own, list(w.node_of_input))


@dataclasses.dataclass(frozen=True)
class SingleIndex(_TwoSourceRule):
    """Both sources look at the inventory position. theta: ``{"expedited", "regular": [M, 1|B]}``, two levels.

    Scheller-Wolf, Veeraraghavan and van Houtum (2007), Effective dual sourcing with a single index policy.
    """

    def quick(self, theta: dict[str, Array], expedited: Array, position: Array) -> Array:
        return jnp.maximum(theta["expedited"] - position, 0.0)


@dataclasses.dataclass(frozen=True)
class DualIndex(_TwoSourceRule):
    """The quick source looks at the expedited position, the slow one at all of it.

    theta: ``{"expedited", "regular": [M, 1|B]}``, two levels.

    Veeraraghavan and Scheller-Wolf (2008), Operations Research 56(4), https://doi.org/10.1287/opre.1080.0552.
    """


@dataclasses.dataclass(frozen=True)
class CappedDualIndex(_TwoSourceRule):
    """The dual index whose slow orders are at most ``cap``. theta: ``{"expedited", "regular", "cap": [M, 1|B]}``.

    A negative cap counts as 0. Sun and Van Mieghem (2019), Manufacturing & Service Operations Management 21(4), Robust
    dual sourcing inventory management.
    """

    def slow(self, theta: dict[str, Array], position: Array) -> Array:
        return jnp.minimum(jnp.maximum(theta["regular"] - position, 0.0), jnp.maximum(theta["cap"], 0.0))

    def numbers(self, expedited: Array, regular: Array, mean: Array, whole: bool) -> dict[str, Array]:
        cap = jnp.broadcast_to(mean, regular.shape)
        return {"expedited": expedited, "regular": regular, "cap": jnp.ceil(cap) if whole else cap}


@dataclasses.dataclass(frozen=True)
class TailoredBaseSurge(_TwoSourceRule):
    """The same slow order in each period, and quick ones up to a level. theta: ``{"expedited", "quantity": [M, 1|B]}``.

    A quantity at or above the mean demand lets stock grow for ever. Allon and Van Mieghem (2010), Management Science
    56(1), https://doi.org/10.1287/mnsc.1090.1099.
    """

    def slow(self, theta: dict[str, Array], position: Array) -> Array:
        return jnp.maximum(theta["quantity"], 0.0) + 0.0 * position

    def numbers(self, expedited: Array, regular: Array, mean: Array, whole: bool) -> dict[str, Array]:
        base = jnp.broadcast_to(0.75 * mean, expedited.shape)
        return {"expedited": expedited, "quantity": jnp.floor(base) if whole else base}
