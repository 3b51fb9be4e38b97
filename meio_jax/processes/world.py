"""The whole outside world: one process for each thing that the planner cannot influence, drawn as a `Scenario`."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from meio_jax.errors import InputError, ParameterError
from meio_jax.network import Network
from meio_jax.processes.base import Process
from meio_jax.scenario import Scenario, Shock
from meio_jax.struct import pytree

__all__ = [
    "Processes", "check_processes", "draw", "init_processes", "mean_demand", "sample_shock", "sd_demand",
]  # fmt: skip


@pytree
class Processes:
    """What is random, and how; ``None`` where nothing is, which is then not compiled."""

    demand: Process  # C rows, the customer arcs
    lead_time: Process | None = None  # I rows, the inner arcs
    supply: Process | None = None  # I rows, the inner arcs
    yield_: Process | None = None  # N rows, the nodes
    reporting: Process | None = None  # N rows, the nodes

    def replace(self, **changes: Any) -> Processes:
        return dataclasses.replace(self, **changes)


class _Slot(NamedTuple):
    field: str
    role: str
    shock: str
    rows: str


_SLOTS = (
    _Slot("demand", "demand", "demand", "customer"),
    _Slot("lead_time", "lead_time", "lead_time", "inner"),
    _Slot("supply", "supply", "available", "inner"),
    _Slot("yield_", "yield", "yield_", "node"),
    _Slot("reporting", "reporting", "report_age", "node"),
)


def init_processes(processes: Processes, key: Array, lanes: int) -> tuple[Any, ...]:
    """The state of all processes before period 0. The key is consumed."""
    keys = jax.random.split(key, len(_SLOTS))
    parts = [getattr(processes, slot.field) for slot in _SLOTS]
    return tuple(None if p is None else p.init(k, lanes) for p, k in zip(parts, keys, strict=True))


def sample_shock(processes: Processes, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Shock, Any]:
    """The shock of period ``t`` and the next state of the processes. The key is consumed.

    Each process has its own part of the key, so that adding outages leaves the demand as it was.
    """
    keys = jax.random.split(key, len(_SLOTS))
    values: dict[str, Array] = {}
    following: list[Any] = []
    for slot, k, state in zip(_SLOTS, keys, carry, strict=True):
        process = getattr(processes, slot.field)
        if process is None:
            following.append(None)
            continue
        values[slot.shock], state = process.sample(k, state, t, lanes)
        following.append(state)
    return Shock(**values), tuple(following)


@partial(jax.jit, static_argnames=("periods", "lanes"))
def draw(processes: Processes, key: Array, periods: int, lanes: int) -> Scenario:
    """A scenario of ``periods`` periods in ``lanes`` lanes, as one program. The key is consumed.

    The processes are leaves: other parameters of the same shape reuse the program.
    """
    first, rest = jax.random.split(key)

    def step(carry: Any, x: tuple[Array, Array]) -> tuple[Any, Shock]:
        t, k = x
        shock, carry = sample_shock(processes, k, carry, t, lanes)
        return carry, shock

    time = jnp.arange(periods, dtype=jnp.int32)
    _, shocks = lax.scan(step, init_processes(processes, first, lanes), (time, jax.random.split(rest, periods)))
    return Scenario(shocks)


def mean_demand(processes: Processes | Process) -> Array | None:
    """Mean demand per period in the long run ``[C, 1|B]``; None where a process knows no formula."""
    return (processes.demand if isinstance(processes, Processes) else processes).long_run_mean()


def sd_demand(processes: Processes | Process) -> Array | None:
    """Standard deviation of a period's demand in the long run ``[C, 1|B]``; None where a process knows no formula."""
    return (processes.demand if isinstance(processes, Processes) else processes).long_run_sd()


def check_processes(network: Network, processes: Processes) -> None:
    """Refuse processes that do not fit the network. Reads the leaves, so call it outside of compiled code.

    Raises:
      InputError: a process is of another role, or serves another number of rows than the network has.
      ParameterError: a lead time may be drawn that is out of the wiring's bounds of its arc; names the arc.
    """
    w = network.wiring
    names = {"customer": w.arcs[w.n_inner :], "inner": w.arcs[: w.n_inner], "node": w.nodes}
    things = {"customer": "customer arcs", "inner": "inner arcs", "node": "nodes"}
    for slot in _SLOTS:
        process = getattr(processes, slot.field)
        if process is None:
            if slot.field == "demand":
                raise InputError("processes: demand is missing; use deterministic(0.0) for none")
            continue
        _check_role(slot.field, process, slot.role)
        wanted = names[slot.rows]
        if process.rows != len(wanted):
            raise InputError(
                f"processes: {slot.field} ({process.kind}) has {process.rows} rows, but the network has {len(wanted)} "
                f"{things[slot.rows]}: {', '.join(wanted)}; give one value for each"
            )
    if processes.lead_time is not None:
        low, high = processes.lead_time.support()
        least, most = np.array(w.min_lead_time)[:, None], np.array(w.max_lead_time)[:, None]
        if (bad := (low < least) | (high > most)).any():
            row, lane = (int(i[0]) for i in np.nonzero(bad))
            raise ParameterError(
                f"processes: lead_time of arc {names['inner'][row]!r} may be {low[row, lane]:g} to {high[row, lane]:g} "
                f"periods, out of the arc's [{w.min_lead_time[row]}, {w.max_lead_time[row]}]; give the arc "
                "min_lead_time and max_lead_time"
            )


def _check_role(field: str, process: Any, role: str) -> None:
    if not isinstance(process, Process):
        raise InputError(f"processes: {field} must be a process, got {type(process).__name__}")
    if process.role not in (role, "any"):
        raise InputError(f"processes: {field} must be a {role} process, {process.kind!r} is a {process.role} process")
    for part in getattr(process, "parts", ()):
        _check_role(field, part, role)
