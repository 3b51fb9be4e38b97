"""What the outputs of a network mean: order-up-to levels, quantities, adjustments of a rule, tiers.

A head is a frozen dataclass of static configuration; every number that it needs (mean demand, reference levels, their
spread) is a leaf of `Scale`, so a sweep over demand or costs stays one program. Raw outputs are lanes first ``[B, K]``,
as networks make them; orders are lanes last ``[I, B]``. An output of zero means the reference rule: an untrained
network already orders sensibly, and can only be improved (residual heads; Silver et al. 2018, arXiv 1812.06298).
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.indexing import rows
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation, echelon_position, installation_position
from meio_jax.struct import pytree

__all__ = ["Head", "OrderUpTo", "Percentage", "Quantity", "Scale", "Tiers"]


@pytree
class Scale:
    """The size of things in a network, by which features and orders are made dimensionless; see
    `meio_jax.policies.scale`.

    demand ``[C, 1|B]``: mean demand. node ``[N, 1|B]``: mean throughput. arc ``[I, 1|B]``: mean order. echelon, local
    ``[M, 1|B]``: reference levels of echelon and of installation positions, in units of the node's product.
    echelon_spread, local_spread ``[M, 1|B]``: standard deviation of demand over the periods that such a level covers.
    season ``[S, M, 1|B]``: what the reference levels add in period t mod S; None: nothing.
    """

    demand: Array
    node: Array
    arc: Array
    echelon: Array
    local: Array
    echelon_spread: Array
    local_spread: Array
    season: Array | None = None


@runtime_checkable
class Head(Protocol):
    """A map from raw outputs to orders: pure, hashable.

    ``choices``: 0 for a continuous head (raw ``[B, K]`` floats), else the number of options of each of its K decisions
    (raw ``[B, K]`` whole numbers).
    """

    @property
    def choices(self) -> int: ...

    def outputs(self, w: Wiring) -> int:
        """The number K of decisions."""
        ...

    def nodes(self, w: Wiring) -> tuple[int, ...]:
        """For each of the K decisions the node that it orders for."""
        ...

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        """``[B, K]`` to ``[I, B]`` units. NaN stays NaN."""
        ...

    def mask(self, network: Network, scale: Scale, seen: Observation) -> Array | None:
        """``[B or 1, K, choices]`` which options can be taken; None: all of them."""
        ...


class _Continuous:
    choices: ClassVar[int] = 0

    def mask(self, network: Network, scale: Scale, seen: Observation) -> Array | None:
        return None


def _shares(w: Wiring) -> tuple[int, ...]:
    """The inner arcs that share an input with others: each has an output that says how large its share is."""
    return tuple(e for e in range(w.n_inner) if len(w.arcs_of_input[w.input_of_arc[e]]) > 1)


def _to_arcs(network: Network, wanted: Array, logits: Array) -> Array:
    """Split ``[M, B]`` wanted units of own product among the arcs of each input, ``[I, B]`` units of component."""
    w = network.wiring
    per_arc = rows(wanted, w.input_of_arc)
    shared = _shares(w)
    if shared:
        place = {e: i for i, e in enumerate(shared)}
        pieces = []
        for e in range(w.n_inner):
            if e in place:
                rivals = [place[a] for a in w.arcs_of_input[w.input_of_arc[e]]]
                pieces.append(jax.nn.softmax(rows(logits, rivals), axis=0)[rivals.index(place[e])])
            else:
                pieces.append(jnp.ones_like(wanted[0]))
        per_arc = per_arc * jnp.stack(pieces)
    return per_arc if network.units is None else per_arc * network.units


def _position(network: Network, scale: Scale, seen: Observation, position: str) -> tuple[Array, Array, Array]:
    """Position, reference level and spread, ``[M, B]`` and ``[M, 1]``."""
    if position == "echelon":
        at, reference, spread = echelon_position(network, seen), scale.echelon, scale.echelon_spread
    else:
        at, reference, spread = installation_position(network, seen), scale.local, scale.local_spread
    if scale.season is not None:
        reference = reference + jax.lax.dynamic_index_in_dim(scale.season, seen.t % scale.season.shape[0], 0, False)
    return at, reference, spread


@dataclasses.dataclass(frozen=True)
class _ByPosition(_Continuous):
    """One output for each input, compared with a position, and for each of several sources the logit of its share."""

    position: str = "echelon"

    def __post_init__(self) -> None:
        if self.position not in ("echelon", "installation"):
            raise InputError(f"position {self.position!r} is neither 'echelon' nor 'installation'")

    def outputs(self, w: Wiring) -> int:
        return w.n_inputs + len(_shares(w))

    def nodes(self, w: Wiring) -> tuple[int, ...]:
        return (*w.node_of_input, *(w.dst[e] for e in _shares(w)))


@dataclasses.dataclass(frozen=True)
class OrderUpTo(_ByPosition):
    """Outputs are base-stock levels, one for each input: ``level = reference + raw x spread``, order what is missing.

    As the level may depend on all that is seen, every policy can be written this way; a constant output is base-stock.
    Inputs with several sources have one more output for each of them, the logits of their shares.
    """

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        at, reference, spread = _position(network, scale, seen, self.position)
        out = raw.T.astype(at.dtype)
        m = network.wiring.n_inputs
        return _to_arcs(network, jnp.maximum(reference + spread * out[:m] - at, 0.0), out[m:])


@dataclasses.dataclass(frozen=True)
class Quantity(_Continuous):
    """Outputs are quantities, one for each inner arc: ``softplus(raw + log(e - 1)) x mean``; zero orders the mean
    demand.
    """

    def outputs(self, w: Wiring) -> int:
        return w.n_inner

    def nodes(self, w: Wiring) -> tuple[int, ...]:
        return w.dst[: w.n_inner]

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        return scale.arc * jax.nn.softplus(raw.T.astype(scale.arc.dtype) + math.log(math.e - 1.0))


@dataclasses.dataclass(frozen=True)
class Percentage(_ByPosition):
    """Outputs adjust the orders of the reference base-stock rule: ``order x max(0, 1 + step x raw)``."""

    step: float = 0.25

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        at, reference, _ = _position(network, scale, seen, self.position)
        out = raw.T.astype(at.dtype)
        m = network.wiring.n_inputs
        factor = jnp.maximum(1.0 + self.step * out[:m], 0.0)
        return _to_arcs(network, jnp.maximum(reference - at, 0.0) * factor, out[m:])


@dataclasses.dataclass(frozen=True)
class Tiers:
    """Discrete: each inner arc's order is one of these multiples of its mean order.

    A tier above the arc's order capacity, or below its minimum order and not zero, cannot be taken.
    """

    multiples: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0)

    def __post_init__(self) -> None:
        ok = all(math.isfinite(x) and x >= 0 for x in self.multiples)
        if len(self.multiples) < 2 or not ok or list(self.multiples) != sorted(set(self.multiples)):
            raise InputError(f"tiers {self.multiples}: give at least two increasing, finite multiples, none negative")

    @property
    def choices(self) -> int:
        return len(self.multiples)

    def outputs(self, w: Wiring) -> int:
        return w.n_inner

    def nodes(self, w: Wiring) -> tuple[int, ...]:
        return w.dst[: w.n_inner]

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        table = jnp.asarray(self.multiples, scale.arc.dtype)
        return scale.arc * table[raw.T]

    def mask(self, network: Network, scale: Scale, seen: Observation) -> Array | None:
        if network.order_capacity is None and network.minimum_order is None:
            return None
        units = scale.arc[:, :, None] * jnp.asarray(self.multiples, scale.arc.dtype)  # [I, 1|B, n]
        free = jnp.ones(units.shape, bool)
        if network.order_capacity is not None:
            free = free & (units <= network.order_capacity[:, :, None] * (1 + 1e-6))
        if network.minimum_order is not None:
            free = free & ((units == 0) | (units >= network.minimum_order[:, :, None] * (1 - 1e-6)))
        none = ~free.any(-1, keepdims=True)  # nothing fits: take the smallest, and the simulator will cut it down
        free = free | (none & (np.arange(self.choices) == 0))
        return jnp.moveaxis(free, 1, 0)
