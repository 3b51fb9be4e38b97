"""From a `System` to the tree that describes it, so that what was read is what gets written."""

from __future__ import annotations

import json
import math
from typing import Any

import jax
import numpy as np

from meio_jax.elements import ARC_NUMBERS, CUSTOMER, NODE_NUMBERS, OUTSIDE
from meio_jax.errors import InputError, UnsupportedFileError
from meio_jax.files.convert import Spec, arc_name, neutral, system_of
from meio_jax.files.schema import QUEUES, VERSION, key_of, kinds, part_role
from meio_jax.files.validate import Source
from meio_jax.network import Network
from meio_jax.processes.base import Process
from meio_jax.processes.correlated import Correlated
from meio_jax.processes.mixed import Mixed
from meio_jax.system import System

__all__ = ["tree_of"]


def tree_of(system: System) -> dict[str, Any]:
    """The tree that describes a system.

    A system that came from a file, and whose numbers are still the file's, gives the file's own tree; another one is
    written out from its arrays, exactly but for what its constructors normalise again (probabilities: a relative 1e-6).

    Raises:
      UnsupportedFileError: no file can describe the system; says why.
    """
    if system.source is not None:
        tree = json.loads(system.source)
        texts = {"name": system.name, "description": system.description, "period": system.period}
        tree |= {k: v for k, v in texts.items() if v != tree.get(k, "period" if k == "period" else "")}
        if _same(system_of(tree, Source("", None)), system, 0.0):
            return tree
    tree = _header(system) | _elements(system)
    try:
        again = system_of(tree, Source("the written file", None))
    except InputError as e:
        raise UnsupportedFileError(f"this system cannot be written to a file: {e}") from e
    if not _same(again, system, 1e-6):
        raise UnsupportedFileError(
            "this system cannot be written to a file: read again it would be another one, of other parts"
        )
    return tree


def _same(a: System, b: System, tolerance: float) -> bool:
    """Whether two systems have one wiring, one structure and the same numbers."""
    one, other = (_parts_of(s, tolerance > 0) for s in (a, b))
    shapes: list[Any] = [jax.tree.structure(one), jax.tree.structure(other)]
    return shapes[0] == shapes[1] and all(
        np.shape(u) == np.shape(v)
        and np.allclose(np.asarray(u), np.asarray(v), rtol=tolerance, atol=tolerance, equal_nan=True)
        for u, v in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def _parts_of(system: System, loosely: bool) -> Any:
    """What makes two systems the same; loosely, a correlation counts and not which of its factors is used."""
    demand = system.processes.demand
    if not loosely or not isinstance(demand, Correlated):
        return system.network, system.processes
    return system.network, system.processes.replace(demand=demand.base), demand.correlation


def _header(system: System) -> dict[str, Any]:
    w = system.network.wiring
    head: dict[str, Any] = {"version": VERSION}
    for key, value, default in (
        ("name", system.name, ""), ("description", system.description, ""), ("period", system.period, "period"),
    ):  # fmt: skip
        if value != default:
            head[key] = value
    return head | {"timing": w.timing, "allocation": w.allocation, "issuing": w.issuing, "integer": w.integer}


def _plain(x: Any) -> float | int:
    """The shortest decimal that reads back as the same number in its own precision."""
    value = float(str(x))
    return int(value) if value.is_integer() and abs(value) < 1e15 and math.copysign(1.0, value) > 0 else value


def _row(leaf: Any) -> Any:
    """A row ``[1|B]`` as a number or a list with one for each lane; infinity, "no limit", as None."""
    values = [None if np.isposinf(x) else _plain(x) for x in np.asarray(leaf)]
    return values[0] if len(values) == 1 else values


def _elements(system: System) -> dict[str, Any]:
    network, p = system.network, system.processes
    w = network.wiring
    if network.lead_time is not None:
        raise UnsupportedFileError(
            "lead times as leaves (network.lead_time) are for sweeps; a file holds those of the wiring"
        )
    demand, correlation = p.demand, None  # type: tuple[Process, Any]
    if isinstance(demand, Correlated):
        if demand.factor.shape[-1] > 1:
            raise UnsupportedFileError("a correlation that differs between lanes does not fit into a file")
        matrix = np.asarray(demand.correlation)[..., 0]
        others = {_plain(np.round(x, 6)) for x in matrix[~np.eye(len(matrix), dtype=bool)]}
        square = [
            [1 if i == j else _plain(max(matrix[i, j], matrix[j, i])) for j in range(len(matrix))]
            for i in range(len(matrix))
        ]
        correlation = others.pop() if len(others) == 1 else square
        demand = demand.base
    ends = (*w.nodes, OUTSIDE)
    nodes: list[Spec] = []
    for n, name in enumerate(w.nodes):
        node: Spec = {"id": name}
        node |= _numbers(network, NODE_NUMBERS, dict.fromkeys(NODE_NUMBERS, n))
        node |= {"make_to_order": True} if w.make_to_order[n] else {}
        node |= _said("yield", _brief("yield", p.yield_, n, node.get("yield")))
        node |= _said("reporting", _brief("reporting", p.reporting, n))
        nodes.append(node)
    arcs: list[Spec] = []
    for e, name in enumerate(w.arcs):
        inner = e < w.n_inner
        arc: Spec = {"from": ends[w.src[e]], "to": w.nodes[w.dst[e]] if inner else CUSTOMER}
        arc |= {"component": w.component[e]} if inner and w.component[e] else {}
        arc |= {"id": name} if name != arc_name(arc) else {}
        if inner:
            times = (w.lead_time[e], w.min_lead_time[e], w.max_lead_time[e])
            arc |= _times(*times, _brief("lead_time", p.lead_time, e, times[0]))
            arc |= {"order_delay": w.order_delay[e]} if w.order_delay[e] else {}
            arc |= _said("supply", _brief("supply", p.supply, e))
        else:
            arc |= _said("demand", _brief("demand", demand, e - w.n_inner))
        row = {"all": e, "inner": e if inner else None, "customer": None if inner else e - w.n_inner}
        rows = {f: row[n.of] for f, n in ARC_NUMBERS.items() if row[n.of] is not None}
        if inner:
            rows["component_holding_cost"] = w.input_of_arc[e]
        arc |= _numbers(network, ARC_NUMBERS, rows)
        for key, periods in zip(QUEUES, (w.max_lead_time, w.order_delay), strict=True):
            leaf = getattr(network, key)
            if inner and leaf is not None and (queue := np.asarray(leaf)[:, e]).any():
                if queue.shape[-1] > 1:
                    raise UnsupportedFileError(f"{key} that differs between lanes does not fit into a file")
                arc[key] = [_plain(x) for x in queue[: periods[e], 0]]
        arcs.append(arc)
    return _said("demand_correlation", correlation) | {"nodes": nodes, "arcs": arcs}


def _numbers(network: Network, table: dict[str, Any], rows: dict[str, int | None]) -> Spec:
    """The numbers of a node or an arc that are not the default."""
    out: Spec = {}
    for name, row in rows.items():
        leaf = None if name in QUEUES else getattr(network, name)
        if leaf is not None and (value := _row(leaf[row])) != table[name].default:
            out[key_of(name)] = value
    return out


def _said(key: str, value: Any) -> Spec:
    return {} if value is None else {key: value}


def _times(nominal: int, low: int, high: int, said: Any) -> Spec:
    """The keys of an arc's lead time: a number or a process, and the bounds where they do not follow from it."""
    if not isinstance(said, dict):
        out: Spec = {"lead_time": nominal} if nominal else {}
        return out | ({"min_lead_time": low, "max_lead_time": high} if low != high else {})
    return {"lead_time": said, "min_lead_time": low, "max_lead_time": high, "nominal_lead_time": nominal}


def _brief(role: str, process: Process | None, row: int, number: Any = None) -> Any:
    """One row as a file describes it, or the plain number (or None) where the row says no more than that."""
    if process is None:
        return number
    spec = _described(role, process, row)
    return number if role != "demand" and spec == neutral(role, number) else spec


def _described(role: str, process: Process, row: int) -> Spec:
    """One row of a process as a file describes it."""
    if isinstance(process, Mixed):
        part, rows = next((p, rows) for p, rows in zip(process.parts, process.served, strict=True) if row in rows)
        return _described(role, part, rows.index(row))
    if kinds(role).get(process.kind) is not type(process):
        raise UnsupportedFileError(f"a {role} process of kind {process.kind!r} cannot be written to a file")
    out: Spec = {"kind": process.kind}
    for name, p in process.parameters.items():
        if not hasattr(process, name):
            if p.required:
                raise UnsupportedFileError(f"a {role} process of kind {process.kind!r} does not keep its {name!r}")
            continue
        value = getattr(process, name)
        if p.form in ("outcomes", "history", "matrix") and np.shape(value)[-1] > 1:
            raise UnsupportedFileError(f"{name!r} of a {role} process differs between lanes, which a file cannot say")
        match p.form:
            case "row":
                said: Any = _row(value[row if len(value) > 1 else 0])
            case "outcomes" | "history":
                said = [_plain(v) for v in np.asarray(value)[:, row, 0]]
            case "matrix":
                said = [[_plain(v) for v in line] for line in np.asarray(value)[..., 0]]
            case "process":
                inner = part_role(role)
                said = _brief(inner, value, row, 0) if inner != role else _described(inner, value, row)
            case "processes":
                if isinstance(value, Process):  # stacked phases
                    phases = range(jax.tree.leaves(value)[0].shape[0])
                    value = [jax.tree.map(lambda x, i=i: x[i], value) for i in phases]
                said = [_described(role, v, row) for v in value]
            case _:
                said = value
        if p.required or said != p.default:
            out[name] = said
    return out
