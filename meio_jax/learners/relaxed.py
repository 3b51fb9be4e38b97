"""Networks whose quantities are whole, learned on without rounding.

Costs are piecewise linear in every order, with kinks at whole numbers, and whole orders fall just there. The gradient
of the rounded system passes straight through the rounding (`meio_jax.stock.rounded_down`), but at a kink JAX takes the
mean of the two slopes of ``min`` and ``max``, and following it ends anywhere between the best order and half a unit
off, at the edge of what is rounded to it. Without rounding almost no order falls on a kink: every slope is that between
two whole orders, and where it changes its sign, in the middle of what is rounded to it, is the best one. In lost sales
with a lead time, dual sourcing and serial systems nothing is lost by it: their costs are L-natural convex (Zipkin 2008,
Operations Research 56(4), doi 10.1287/opre.1070.0482), so that from whole states the best order of the relaxed system
is whole. Shares, yields and losses are not rounded either. Lots larger than a unit stay: a policy must see those.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from meio_jax.network import Network
from meio_jax.scenario import Shock

__all__ = ["relaxed", "whole_demand"]


def relaxed(network: Network) -> Network:
    """The network without rounding to whole units; a network that does not round is returned as it is."""
    w = network.wiring
    return network.replace(wiring=dataclasses.replace(w, integer=False)) if w.integer else network


def whole_demand(network: Network, shock: Shock) -> Shock:
    """The shock with the demand that customers of this network ask for."""
    return shock.replace(demand=jnp.floor(shock.demand + 0.5)) if network.wiring.integer else shock
