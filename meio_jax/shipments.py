"""What is on its way: shipments towards the node that ordered, and orders towards the source that is to ship."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.indexing import assemble, rows
from meio_jax.network import Network, Wiring
from meio_jax.scenario import Shock

__all__ = ["Shipments", "advance", "deliver_mail"]


class Shipments:
    """What has left on each arc so far in this period, and when it arrives."""

    def __init__(self, w: Wiring, network: Network, shock: Shock) -> None:
        self.wiring = w
        self.parts: list[tuple[Sequence[int], Array]] = []
        lead = shock.lead_time if shock.lead_time is not None else network.lead_time
        self.lead: Array | None = None
        if lead is not None:
            low, high = (np.asarray(x, np.int32)[:, None] for x in (w.min_lead_time, w.max_lead_time))
            self.lead = jnp.clip(lead.astype(jnp.int32), low, high)

    def add(self, arcs: Sequence[int], units: Array) -> None:
        self.parts.append((arcs, units))

    def all(self) -> Array:
        return assemble(self.parts, self.wiring.n_arcs)

    def instant(self, arcs: Sequence[int]) -> Array | None:
        """Units on ``arcs`` that arrive within this period, ``[len(arcs), B]``, or None if there can be none."""
        at = {e: (p, i) for p, (index, _) in enumerate(self.parts) for i, e in enumerate(index)}
        shortest = self.wiring.lead_time if self.lead is None else self.wiring.min_lead_time
        quick = [e for e in arcs if shortest[e] == 0]
        if not quick:
            return None
        offset = np.cumsum([0, *(len(index) for index, _ in self.parts)])
        sent = jnp.concatenate([units for _, units in self.parts])
        units = rows(sent, [int(offset[at[e][0]]) + at[e][1] for e in quick])
        if self.lead is not None:
            units = jnp.where(rows(self.lead, quick) == 0, units, 0.0)
        slow = [e for e in arcs if shortest[e] > 0]
        position = {e: i for i, e in enumerate(arcs)}
        parts = [([position[e] for e in quick], units)]
        if slow:
            parts.append(([position[e] for e in slow], jnp.zeros((len(slow), units.shape[-1]), units.dtype)))
        return assemble(parts, len(arcs))

    def advance(self, pipeline: Array) -> Array:
        """The pipeline one period on, ``[L, I, B]``, with this period's shipments in it."""
        w = self.wiring
        return advance(pipeline, w.lead_time if self.lead is None else self.lead, self.all()[: w.n_inner])


def advance(queue: Array, delay: Sequence[int] | Array, units: Array) -> Array:
    """A queue ``[L, I, B]`` one period on, slot 0 being due next, and ``units [I, B]`` in it, due after ``delay``
    periods: whole numbers ``[I]``, or ``[I, 1|B]`` where they are traced. A delay of 0 enters nothing.
    """
    slots = queue.shape[0]
    moved = jnp.concatenate([queue[1:], jnp.zeros_like(queue[:1])])
    due = np.arange(1, slots + 1, dtype=np.int32)[:, None, None]
    if not isinstance(delay, Array):
        fixed = np.asarray(delay, np.int32)
        if (fixed == slots).all():
            return jnp.concatenate([queue[1:], units[None]])
        return jnp.where(fixed[None, :, None] == due, moved + units, moved)
    return jnp.where(delay[None] == due, moved + units, moved)


def deliver_mail(w: Wiring, mail: Array | None, placed: Array) -> tuple[Array, Array | None]:
    """Orders that reach their source in this period ``[I, B]``, and the mail one period on ``[D, I, B]``.

    ``placed [I, B]``: this period's orders. Without order delays there is no mail, and they are there at once.
    """
    if mail is None:
        return placed, None
    at_once = np.asarray(w.order_delay)[:, None] == 0
    arrived = mail[0] + jnp.where(at_once, placed, 0.0) if at_once.any() else mail[0]
    return arrived, advance(mail, w.order_delay, placed)
