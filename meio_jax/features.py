"""What a network sees: the observation as numbers of order one, ``[B, F]``, in a fixed order.

Fields, in this order; those that a network does not have are left out:

=================== ==============================================================================================
``on_hand``         A x N, stock by age, over the node's mean throughput
``components``      M, inputs waiting, over the node's mean throughput (in units of its product)
``owed``            E, backlog (with ``demand_first``: and this period's demand), over the arc's mean order
``pipeline``        units on their way over the mean order, by arc, then by slot; only slots that the arc can fill
``mail``            orders on their way to their source over the mean order, likewise
``demand``          C, newest demand over its mean
``position``        M, echelon position: distance from the reference level in spreads (`meio_jax.actions.Scale`)
``available``       I, share that a source can ship
``unreported``      I, orders that no report shows yet, over the mean order
``report_age``      N, periods / 4
``calendar``        sine and cosine of the period within ``cycle``, where one is given
``progress``        share of the horizon that has passed, where there is one
=================== ==============================================================================================
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import Scale
from meio_jax.indexing import rows
from meio_jax.network import Network
from meio_jax.observation import Observation, echelon_position

__all__ = ["feature_names", "features"]


def features(
    network: Network, seen: Observation, scale: Scale, *, cycle: int | None = None, horizon: int | None = None
) -> Array:
    """``[B, F]`` dimensionless numbers of what is seen. Finite where the observation is; NaN stays NaN."""
    parts = _fields(network, seen, scale, cycle, horizon)
    lanes = seen.on_hand.shape[-1]
    wide = [jnp.broadcast_to(x, (*x.shape[:-1], lanes)).reshape(-1, lanes) for _, x in parts]
    return jnp.concatenate(wide).T


def feature_names(
    network: Network, seen: Observation, scale: Scale, *, cycle: int | None = None, horizon: int | None = None
) -> tuple[str, ...]:
    """The name of each of the F numbers, for example ``pipeline[plant->shop, 2]``; shapes are read, values are not."""
    w = network.wiring
    inputs = [f"{w.nodes[n]}:{c}" if c else w.nodes[n] for n, c in w.inputs]
    inner, customers = w.arcs[: w.n_inner], w.arcs[w.n_inner :]
    labels: dict[str, list[str]] = {
        "on_hand": [f"{n}, {a}" if w.ages > 1 else n for a in range(w.ages) for n in w.nodes],
        "components": inputs,
        "owed": list(w.arcs),
        "pipeline": [f"{inner[e]}, {k}" for e in range(w.n_inner) for k in range(w.max_lead_time[e])],
        "mail": [f"{inner[e]}, {k}" for e in range(w.n_inner) for k in range(w.order_delay[e])],
        "demand": list(customers),
        "position": inputs,
        "available": list(inner),
        "unreported": list(inner),
        "report_age": list(w.nodes),
        "calendar": ["sin", "cos"],
        "progress": ["t"],
    }
    return tuple(f"{name}[{x}]" for name, _ in _fields(network, seen, scale, cycle, horizon) for x in labels[name])


def _fields(
    network: Network, seen: Observation, scale: Scale, cycle: int | None, horizon: int | None
) -> list[tuple[str, Array]]:
    w = network.wiring
    dtype = seen.on_hand.dtype
    fields = [("on_hand", seen.on_hand / scale.node)]
    if seen.components.shape[0]:
        size = rows(scale.node, list(w.node_of_input))
        if network.units is not None:
            size = size * rows(network.units, [arcs[0] for arcs in w.arcs_of_input])
        fields.append(("components", seen.components / size))
    fields.append(("owed", seen.owed / jnp.concatenate([scale.arc, scale.demand])))
    for name, queue, longest in (("pipeline", seen.pipeline, w.max_lead_time), ("mail", seen.mail, w.order_delay)):
        slots = [(k, e) for e in range(w.n_inner) for k in range(longest[e])]
        if queue is not None and slots:
            used = rows(queue.reshape(-1, queue.shape[-1]), [k * w.n_inner + e for k, e in slots])
            fields.append((name, used / rows(scale.arc, [e for _, e in slots])))
    fields.append(("demand", seen.demand / scale.demand))
    fields.append(("position", (echelon_position(network, seen) - scale.echelon) / scale.echelon_spread))
    if seen.available is not None:
        fields.append(("available", seen.available.astype(dtype)))
    if seen.unreported is not None:
        fields.append(("unreported", seen.unreported / scale.arc))
    if seen.report_age is not None:
        fields.append(("report_age", seen.report_age.astype(dtype) / 4.0))
    if cycle is not None:
        angle = (seen.t % cycle).astype(dtype) * (2.0 * np.pi / cycle)
        fields.append(("calendar", jnp.stack([jnp.sin(angle), jnp.cos(angle)])[:, None].astype(dtype)))
    if horizon is not None:
        fields.append(("progress", (seen.t.astype(dtype) / horizon)[None, None]))
    return fields
