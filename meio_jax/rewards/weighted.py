"""Weighted sums of terms, indicators and penalties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.kpis import KPIS, Standards, checked
from meio_jax.network import Network
from meio_jax.rewards.base import Played
from meio_jax.rewards.quantities import Running, Term
from meio_jax.rewards.terms import Weights, term_names
from meio_jax.struct import pytree

__all__ = ["Total", "Weighted", "weighted"]


@pytree
class Weighted:
    """``- sum of weight x quantity``, a quantity that is better high counting the other way; groups are added up.

    quantities: by any names. weights: for each a number or ``[1|B]``; traced, so a sweep over them is one program.
    """

    quantities: dict[str, Any]
    weights: dict[str, Array | float]

    def init(self, network: Network, lanes: int) -> dict[str, Any]:
        return {name: of.init(network, lanes) for name, of in self.quantities.items()}

    def apply(self, carry: dict[str, Any], network: Network, played: Played) -> tuple[Array, dict[str, Any]]:
        total, after = jnp.zeros_like(played.flows.on_hand[0]), {}
        for name, of in self.quantities.items():
            x, after[name] = of.apply(carry[name], network, played)
            x = self.weights[name] * x.sum(0)
            total = total + x if of.better == "high" else total - x
        return total, after


@pytree
class Total:
    """A weighted sum of rewards."""

    rewards: tuple[Any, ...]
    weights: tuple[Array | float, ...]

    def init(self, network: Network, lanes: int) -> tuple[Any, ...]:
        return tuple(of.init(network, lanes) for of in self.rewards)

    def apply(self, carry: tuple[Any, ...], network: Network, played: Played) -> tuple[Array, tuple[Any, ...]]:
        found = [of.apply(c, network, played) for of, c in zip(self.rewards, carry, strict=True)]
        total = sum((w * x for w, (x, _) in zip(self.weights, found, strict=True)), jnp.zeros_like(found[0][0]))
        return total, tuple(c for _, c in found)


def weighted(
    weights: Weights,
    *,
    quantities: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Array] | None = None,
    by: str = "total",
    decay: Array | float = 0.95,
    standards: Standards | None = None,
) -> Weighted:
    """`Weighted` by name.

    Args:
      weights: for each name its weight: a term of `meio_jax.rewards.reward`, an indicator of `meio_jax.kpis.KPIS`, or
        one of ``quantities``. Positive to keep small what is better low, and large what is better high.
      quantities: others, by names of your own.
      sizes: what each term or indicator is divided by, of `reference_sizes`; None: nothing. ``quantities`` are taken as
        they are (`Scaled`).
      by, decay, standards: of the indicators (`Running`).

    Raises:
      UnknownNameError: a name is no term, indicator or quantity.
      NumberError: a weight or the decay is no number.
      InputError: nothing is weighted.
    """
    if not weights:
        raise InputError("a weighted sum needs at least one weight")
    own = {} if quantities is None else dict(quantities)
    checked("decay", decay, 0.0, 1.0)
    parts: dict[str, Any] = {}
    scales: dict[str, Array | float] = {}
    for name, weight in weights.items():
        scales[name] = checked(f"weight of {name}", weight, -1e30, 1e30)
        if name in own:
            parts[name] = own[name]
        elif name in term_names():
            parts[name] = Term(name)
        elif name in KPIS:
            parts[name] = Running(name, by, None, decay, standards)
        else:
            known = sorted({*term_names(), *KPIS, *own})
            raise UnknownNameError(f"reward term {name!r} is not one of {', '.join(known)}")
        if sizes is not None and name not in own:
            scales[name] = scales[name] / sizes[name]
    return Weighted(parts, scales)
