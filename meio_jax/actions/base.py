"""What all heads share: the sizes that they measure by, where an output belongs, how an input's order is split."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError
from meio_jax.indexing import rows
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation, echelon_position, installation_position
from meio_jax.struct import pytree

__all__ = ["FORBIDDEN", "ByPosition", "Continuous", "Head", "Place", "Scale", "per_arc", "positive"]

#: The logit of an option that cannot be taken: low enough, and finite, so that its share of an entropy is 0 and no NaN.
FORBIDDEN = float(np.finfo(np.float32).min / 2)


@pytree
class Scale:
    """The size of things in a network, by which features and orders are made dimensionless; see
    `meio_jax.policies.scale`.

    demand ``[C, 1|B]``: mean demand. node ``[N, 1|B]``: mean throughput. arc ``[I, 1|B]``: mean order. echelon, local
    ``[M, 1|B]``: reference levels of echelon and of installation positions, in units of the node's product.
    echelon_spread, local_spread ``[M, 1|B]``: standard deviation of demand over the periods that such a level covers.
    season ``[S, M, 1|B]``: what the reference levels add in period t mod S; None: nothing.

    Of rules that have more than a level: cap ``[M, 1|B]``: the reference for the largest order; lot ``[M, 1|B]``: for
    the least order of an (s, S) rule; share ``[I, 1|B]``: weights of the alternative sources of an input; rule: the
    numbers of a classical rule that is adjusted. None: the head's own.
    """

    demand: Array
    node: Array
    arc: Array
    echelon: Array
    local: Array
    echelon_spread: Array
    local_spread: Array
    season: Array | None = None
    cap: Array | None = None
    lot: Array | None = None
    share: Array | None = None
    rule: Any = None

    def replace(self, **changes: Any) -> Scale:
        return dataclasses.replace(self, **changes)


class Place(NamedTuple):
    """Where one of a head's outputs belongs: to an "input" or an inner "arc" (``of``), in which row of those, and as
    which of its numbers (``channel``).
    """

    of: str
    row: int
    channel: int = 0


@runtime_checkable
class Head(Protocol):
    """A map from raw outputs to orders: pure, hashable.

    Attributes:
      choices: 0 for a continuous head (raw ``[B, K]`` floats), else the number of options of each of its K decisions
        (raw ``[B, K]`` whole numbers).
      differentiable: whether the gradient of orders with respect to raw outputs says how they should change.
      channels: how many numbers a network that reads its outputs off inputs and arcs makes for each of them.
    """

    @property
    def choices(self) -> int: ...

    @property
    def differentiable(self) -> bool: ...

    @property
    def channels(self) -> tuple[int, int]: ...

    def outputs(self, w: Wiring) -> int:
        """The number K of decisions."""
        ...

    def places(self, w: Wiring) -> tuple[Place, ...]:
        """For each of the K decisions what it is a number of."""
        ...

    def nodes(self, w: Wiring) -> tuple[int, ...]:
        """For each of the K decisions the node that it orders for."""
        ...

    def orders(self, network: Network, scale: Scale, seen: Observation, raw: Array) -> Array:
        """``[B, K]`` to ``[I, B]`` units. NaN stays NaN."""
        ...

    def mask(self, network: Network, scale: Scale, seen: Observation) -> Array | None:
        """``[B or 1, K, choices]`` which options can be taken, or as floats what is added to their logits (`FORBIDDEN`
        where they cannot); None: all of them.
        """
        ...


class Placed:
    """A head that says where its outputs belong, and is counted by that."""

    channels: ClassVar[tuple[int, int]]

    def places(self, w: Wiring) -> tuple[Place, ...]:
        raise NotImplementedError

    def outputs(self, w: Wiring) -> int:
        return len(self.places(w))

    def nodes(self, w: Wiring) -> tuple[int, ...]:
        return tuple(w.node_of_input[p.row] if p.of == "input" else w.dst[p.row] for p in self.places(w))


class Continuous(Placed):
    """A head whose decisions are real numbers, with a useful gradient."""

    choices: ClassVar[int] = 0
    differentiable: ClassVar[bool] = True

    def mask(self, network: Network, scale: Scale, seen: Observation) -> Array | None:
        return None


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def positive(x: Array, leak: float = 0.0) -> Array:
    """max(x, 0), whose slope below 0 is said to be ``leak``."""
    return jnp.maximum(x, 0.0)


@positive.defjvp
def _(leak: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return jnp.maximum(primals[0], 0.0), jnp.where(primals[0] > 0, tangents[0], leak * tangents[0])


def _shared(w: Wiring) -> tuple[int, ...]:
    """The inner arcs that share an input with others: each has an output that says how large its share is."""
    return tuple(e for e in range(w.n_inner) if len(w.arcs_of_input[w.input_of_arc[e]]) > 1)


def per_arc(network: Network, scale: Scale, wanted: Array, logits: Array) -> Array:
    """Split ``[M, B]`` wanted units of own product among the arcs of each input, ``[I, B]`` units of component."""
    w = network.wiring
    orders = rows(wanted, w.input_of_arc)
    shared = _shared(w)
    if shared:
        if scale.share is not None:  # softmax of log(weight) is the weight; a weight of 0 can still grow
            logits = logits + jnp.log(jnp.maximum(rows(scale.share, shared), 1e-6))
        place = {e: i for i, e in enumerate(shared)}
        pieces = []
        for e in range(w.n_inner):
            if e in place:
                rivals = [place[a] for a in w.arcs_of_input[w.input_of_arc[e]]]
                pieces.append(jax.nn.softmax(rows(logits, rivals), axis=0)[rivals.index(place[e])])
            else:
                pieces.append(jnp.ones_like(wanted[0]))
        orders = orders * jnp.stack(pieces)
    return orders if network.units is None else orders * network.units


@dataclasses.dataclass(frozen=True)
class ByPosition(Continuous):
    """Outputs for each input, compared with a position, and for each of several sources the logit of its share.

    ``position``: "echelon" or "installation".
    """

    position: str = "echelon"

    channels: ClassVar[tuple[int, int]] = (1, 1)

    def __post_init__(self) -> None:
        if self.position not in ("echelon", "installation"):
            raise InputError(f"position {self.position!r} is neither 'echelon' nor 'installation'")

    def places(self, w: Wiring) -> tuple[Place, ...]:
        each, _ = self.channels
        inputs = (Place("input", m, c) for c in range(each) for m in range(w.n_inputs))
        return (*inputs, *(Place("arc", e) for e in _shared(w)))

    def measured(self, network: Network, scale: Scale, seen: Observation) -> tuple[Array, Array, Array]:
        """Position, reference level and spread, ``[M, B]`` and ``[M, 1|B]``."""
        if self.position == "echelon":
            at, reference, spread = echelon_position(network, seen), scale.echelon, scale.echelon_spread
        else:
            at, reference, spread = installation_position(network, seen), scale.local, scale.local_spread
        if scale.season is not None:
            reference = reference + jax.lax.dynamic_index_in_dim(scale.season, seen.t % scale.season.shape[0], 0, False)
        return at, reference, spread

    def read(self, w: Wiring, raw: Array, dtype: Any) -> tuple[list[Array], Array]:
        """Raw outputs as ``[M, B]`` for each channel of the inputs, and the logits of shares."""
        out = raw.T.astype(dtype)
        each, m = self.channels[0], w.n_inputs
        return [out[c * m : (c + 1) * m] for c in range(each)], out[each * m :]


def flow_of_inputs(network: Network, scale: Scale) -> Array:
    """``[M, 1|B]`` mean throughput of each input's node, units of its product."""
    return rows(scale.node, list(network.wiring.node_of_input))


def first_nan(orders: Array, numbers: Iterable[Array]) -> Array:
    """``orders``, but NaN where any of ``numbers`` is NaN: a comparison would swallow it."""
    for x in numbers:
        orders = jnp.where(jnp.isnan(x), jnp.nan, orders)
    return orders
