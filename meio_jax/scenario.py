"""The outside world as data: everything that a planner cannot influence, drawn before the system is played.

One `Shock` is one period; a `Scenario` is a horizon of them. The same scenario can be given to any number of policies
(common random numbers), can be history (a backtest), or can be replayed with another order (a counterfactual).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import InputError, NumberError
from meio_jax.network import Network
from meio_jax.struct import pytree

__all__ = ["Scenario", "Shock", "check_scenario", "scenario_of"]


@pytree
class Shock:
    """What happens to the system in one period. ``None`` where nothing random happens: it is then not compiled.

    demand:      ``[C, B]`` units asked for on each customer arc (before goodwill scales it).
    lead_time:   ``[I, B]`` periods that a shipment of this period travels, within the wiring's bounds; None: fixed.
    available:   ``[I, B]`` share of what is owed on an inner arc that its source may ship, 0 an outage; None: 1.
    yield_:      ``[N, B]`` good units per unit started; None: the network's.
    report_age:  ``[N, B]`` age in periods of the newest report that the planner has of a node, 0 up to date; None: 0.
    """

    demand: Array
    lead_time: Array | None = None
    available: Array | None = None
    yield_: Array | None = None
    report_age: Array | None = None

    def replace(self, **changes: Any) -> Shock:
        return dataclasses.replace(self, **changes)


@pytree
class Scenario:
    """A horizon of shocks: every leaf of ``shocks`` has a leading time axis ``[T, ...]``."""

    shocks: Shock

    @property
    def periods(self) -> int:
        return self.shocks.demand.shape[0]

    @property
    def lanes(self) -> int:
        return self.shocks.demand.shape[-1]

    def __getitem__(self, periods: slice) -> Scenario:
        """Part of the horizon, ``scenario[t0:t1]``."""
        return Scenario(jax.tree.map(lambda x: x[periods], self.shocks))


def scenario_of(demand: Any, **others: Any) -> Scenario:
    """A scenario from plain arrays: ``demand`` is ``[T, C]`` (one lane) or ``[T, C, B]``; others as in `Shock`."""

    def lanes_last(x: Any) -> Array:
        x = np.array(x)  # a copy: the device array must not follow later writes into the caller's buffer
        return jnp.asarray(x[..., None] if x.ndim == 2 else x)

    return Scenario(
        Shock(demand=lanes_last(demand), **{k: None if v is None else lanes_last(v) for k, v in others.items()})
    )


def check_scenario(network: Network, scenario: Scenario) -> None:
    """Refuse a scenario that does not fit the network. Reads the values, so call it outside of compiled code.

    Raises:
      InputError: a leaf has the wrong shape.
      NumberError: a value is NaN, negative or out of the wiring's bounds; says which leaf, period, row and lane.
    """
    w = network.wiring
    rows = {
        "demand": w.n_customers,
        "lead_time": w.n_inner,
        "available": w.n_inner,
        "yield_": w.n_nodes,
        "report_age": w.n_nodes,
    }
    names = {
        "demand": w.arcs[w.n_inner :],
        "lead_time": w.arcs,
        "available": w.arcs,
        "yield_": w.nodes,
        "report_age": w.nodes,
    }
    periods, lanes = scenario.periods, scenario.lanes
    for name, count in rows.items():
        leaf = getattr(scenario.shocks, name)
        if leaf is None:
            continue
        x = np.asarray(leaf)
        if x.ndim != 3 or x.shape[0] != periods or x.shape[1] != count or x.shape[2] not in (1, lanes):
            raise InputError(f"scenario: {name} has shape {x.shape}, expected ({periods}, {count}, {lanes})")
        low, high = np.zeros((count, 1)), np.full((count, 1), np.inf)
        if name == "lead_time":
            low, high = np.array(w.min_lead_time)[:, None], np.array(w.max_lead_time)[:, None]
        elif name in ("available", "yield_"):
            high = np.ones((count, 1))
        bad = ~((x >= low) & (x <= high) & np.isfinite(x))
        if bad.any():
            t, row, lane = (int(i[0]) for i in np.nonzero(bad))
            raise NumberError(
                f"scenario: {name} of {names[name][row]!r} in period {t}, lane {lane} is {x[t, row, lane]:g}, "
                f"outside [{low[row, 0]:g}, {high[row, 0]:g}]"
            )
