"""Between a checked tree and a `System`: both ways, so that what was read is what gets written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from meio_jax.build import build_network
from meio_jax.elements import ARC_NUMBERS, CUSTOMER, NODE_NUMBERS, OUTSIDE, Arc, Node
from meio_jax.errors import InputError, ParameterError, UnsupportedFileError
from meio_jax.files.schema import VERSION, key_of, kinds, part_role
from meio_jax.files.syntax import Path_
from meio_jax.files.validate import Source
from meio_jax.network import Network
from meio_jax.processes import Processes, check_processes, construct, correlated, mixed
from meio_jax.processes.base import Parameter, Process
from meio_jax.processes.correlated import Correlated
from meio_jax.processes.mixed import Mixed
from meio_jax.system import System

__all__ = ["system_of", "tree_of"]

Spec = dict[str, Any]


# From a tree to a system


def system_of(tree: dict[str, Any], source: Source) -> System:
    """Build what a checked tree describes.

    Raises:
      InputError and its kin: as `build_network` and the processes raise them, with the place put first.
    """
    nodes = [
        Node(
            name=node["id"],
            make_to_order=node.get("make_to_order", False),
            **{f: node[key_of(f)] for f in NODE_NUMBERS if key_of(f) in node and not isinstance(node[key_of(f)], dict)},
        )
        for node in tree["nodes"]
    ]
    times = {i: _build("lead_time", [arc["lead_time"]], [("arcs", i, "lead_time")], source)
             for i, arc in enumerate(tree["arcs"]) if isinstance(arc.get("lead_time"), dict)}  # fmt: skip
    arcs = [
        Arc(
            src=arc["from"],
            dst=arc["to"],
            name=_name(arc),
            component=arc.get("component", ""),
            **_lead_times(arc, times.get(i), ("arcs", i), source),
            **{f: arc[key_of(f)] for f in ARC_NUMBERS if key_of(f) in arc},
        )
        for i, arc in enumerate(tree["arcs"])
    ]
    try:
        network = build_network(
            nodes, arcs, **{k: tree[k] for k in ("timing", "allocation", "issuing", "integer") if k in tree}
        )
    except InputError as e:
        raise type(e)(f"{source.at(_blamed(str(e), tree))}: {e}") from e
    w = network.wiring
    node_at = {node["id"]: i for i, node in enumerate(tree["nodes"])}
    arc_at = {_name(arc): i for i, arc in enumerate(tree["arcs"])}
    at_node = [("nodes", node_at[n]) for n in w.nodes]
    at_arc = [("arcs", arc_at[a]) for a in w.arcs]

    def process(role: str, key: str, places: Sequence[tuple[str, int]]) -> Process | None:
        specs = [_at(tree, place).get(key) for place in places]
        if not any(isinstance(s, dict) for s in specs):
            return None
        whole = [s if isinstance(s, dict) else _neutral(role, s) for s in specs]
        return _build(role, whole, [(*place, key) for place in places], source)

    demand = process("demand", "demand", at_arc[w.n_inner :])
    assert demand is not None  # every arc to a customer has one, and there is such an arc
    if (correlation := tree.get("demand_correlation")) is not None:
        demand = _correlated(demand, correlation, [i for _, i in at_arc[w.n_inner :]], source)
    processes = Processes(
        demand=demand,
        lead_time=process("lead_time", "lead_time", at_arc[: w.n_inner]),
        supply=process("supply", "supply", at_arc[: w.n_inner]),
        yield_=process("yield", "yield", at_node),
        reporting=process("reporting", "reporting", at_node),
    )
    try:
        check_processes(network, processes)
    except InputError as e:
        raise type(e)(f"{source.at(_blamed(str(e), tree))}: {e}") from e
    return System(
        network=network,
        processes=processes,
        name=tree.get("name", ""),
        description=tree.get("description", ""),
        period=tree.get("period", "period"),
        source=json.dumps(tree, ensure_ascii=False, separators=(",", ":")),
    )


def _at(tree: Any, path: Path_) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _name(arc: Spec) -> str:
    """The name of an arc, given or the one that `build_network` would give it."""
    component = arc.get("component", "")
    return arc.get("id") or f"{arc['from']}->{arc['to']}" + (f":{component}" if component else "")


def _blamed(message: str, tree: dict[str, Any]) -> Path_:
    """The first node or arc that a message of the builder names, as a path."""
    found = re.search(r"\b(node|arc) (?:'(.*?)'|\"(.*?)\")(?:[: ]|$)", message)
    if found:
        name = found[2] if found[2] is not None else found[3]
        items = tree["nodes"] if found[1] == "node" else tree["arcs"]
        index = [i for i, item in enumerate(items) if (item["id"] if found[1] == "node" else _name(item)) == name]
        if index:  # of two things with one name the second is at fault
            return (f"{found[1]}s", index[-1])
    return ()


def _lead_times(arc: Spec, process: Process | None, path: Path_, source: Source) -> dict[str, Any]:
    """The arguments of `Arc` that say how long shipments travel; a process gives what the file does not."""
    low, high, nominal = (arc.get(f"{k}_lead_time") for k in ("min", "max", "nominal"))
    if process is None:
        if nominal is not None:
            raise InputError(
                f"{source.at((*path, 'nominal_lead_time'))} goes with a random lead time; write it into 'lead_time'"
            )
        return {"lead_time": arc.get("lead_time", 0), "min_lead_time": low, "max_lead_time": high}
    least, most = _bounds(process)
    low = least if low is None else low
    high = most if high is None else high
    nominal = _nominal(process, low, high) if nominal is None else nominal
    return {"lead_time": nominal, "min_lead_time": low, "max_lead_time": high}


def _bounds(process: Process) -> tuple[int, int]:
    low, high = process.support()
    return int(np.floor(np.min(low))), int(np.ceil(np.max(high)))


def _nominal(process: Process, low: int, high: int) -> int:
    """The mean lead time, rounded half up and inside of the bounds; their middle where no mean is known."""
    mean = process.long_run_mean()
    middle = (low + high) / 2 if mean is None else float(np.mean(np.asarray(mean)))
    return min(max(math.floor(middle + 0.5), low), high)


def _neutral(role: str, value: Any) -> Spec:
    """The process that says no more than a plain number does, or nothing: for rows beside random ones."""
    match role:
        case "lead_time":
            return {"kind": "fixed", "periods": 0 if value is None else value}
        case "supply":
            return {"kind": "outages", "fail": 0, "repair": 1}
        case "yield":
            return {
                "kind": "uniform_yield",
                "low": 1 if value is None else value,
                "high": 1 if value is None else value,
            }
        case "reporting":
            return {"kind": "reports"}
    raise AssertionError(role)


def _correlated(demand: Process, correlation: Any, order: Sequence[int], source: Source) -> Process:
    """Couple the rows. A matrix has the customers in the order of the file; ``order`` are their arcs' places there."""
    if isinstance(correlation, list):
        place = {arc: i for i, arc in enumerate(sorted(order))}
        rows = [place[arc] for arc in order]
        if len(correlation) != len(rows) or any(len(line) != len(rows) for line in correlation):
            raise ParameterError(
                f"{source.at(('demand_correlation',))}: must be a number or a matrix with one row for each of the "
                f"{len(rows)} arcs to customers"
            )
        correlation = [[correlation[i][j] for j in rows] for i in rows]
    try:
        return correlated(demand, correlation)
    except InputError as e:
        raise type(e)(f"{source.at(('demand_correlation',))}: {e}") from e


def _build(role: str, specs: Sequence[Spec], paths: Sequence[Path_], source: Source) -> Process:
    """One process that serves a row for each description. Rows that differ in numbers only become one process."""
    groups: dict[Any, list[int]] = {}
    for row, spec in enumerate(specs):
        groups.setdefault(_signature(role, spec), []).append(row)
    parts: list[tuple[Process, tuple[int, ...]]] = []
    for rows in groups.values():
        mine = [specs[r] for r in rows]
        made = _together(role, mine)
        if made is not None:
            parts.append((made, tuple(rows)))
            continue
        for r, spec in zip(rows, mine, strict=True):  # one by one, which also finds the one at fault
            try:
                parts.append((_make(role, [spec]), (r,)))
            except InputError as e:
                raise type(e)(f"{source.at(paths[r])}: {e}") from e
    return parts[0][0] if len(parts) == 1 else mixed(parts)


def _together(role: str, specs: Sequence[Spec]) -> Process | None:
    """One process for all, or None. What a parameter says once for all rows must be the same for all of them."""
    for once in (False, True):
        try:
            made = _make(role, specs, once)
        except InputError:
            continue
        if made.rows == len(specs):
            return made
    return None


def _nested(role: str, value: Any) -> tuple[str, Spec]:
    """The role of a part, and the part, which may be a plain number."""
    part = part_role(role)
    return part, value if isinstance(value, dict) else _neutral(part, value)


def _value(spec: Spec, name: str, p: Parameter) -> Any:
    """What is given for a parameter, or its default: so that rows that say it and rows that do not are alike."""
    value = spec.get(name)
    return p.default if value is None and not p.required else value


def _signature(role: str, spec: Spec) -> Any:
    """Hashable; equal for descriptions that can be rows of one process."""
    parts: list[Any] = [spec["kind"]]
    for name, p in kinds(role)[spec["kind"]].parameters.items():
        value = _value(spec, name, p)
        if value is None:
            continue
        match p.form:
            case "process":
                shape: Any = _signature(*_nested(role, value))
            case "processes":
                shape = tuple(_signature(*_nested(role, v)) for v in value)
            case "outcomes" | "history":
                shape = len(value)
            case "row":
                shape = None
            case _:
                shape = json.dumps(value)
        parts.append((name, shape))
    return tuple(parts)


def _make(role: str, specs: Sequence[Spec], once: bool = False) -> Process:
    """One process whose rows are the given descriptions, which have one signature.

    ``once``: numbers that are the same for all rows are given as one number.
    """
    kind = specs[0]["kind"]
    arguments: dict[str, Any] = {}
    for name, p in kinds(role)[kind].parameters.items():
        values = [_value(s, name, p) for s in specs]
        if values[0] is None:
            continue
        match p.form:
            case "row":
                if (once or len(values) == 1) and all(v == values[0] for v in values):
                    one = values[0]
                    arguments[name] = np.array([one], float) if isinstance(one, list) and not once else one
                    continue
                lanes = max(len(v) if isinstance(v, list) else 1 for v in values)
                if any(isinstance(v, list) and len(v) not in (1, lanes) for v in values):
                    raise ParameterError(f"{kind}: {name} is given for different numbers of lanes")
                arguments[name] = np.array([np.broadcast_to(np.asarray(v, float), (lanes,)) for v in values])
            case "outcomes":
                arguments[name] = np.array(values, float).T[..., None]
            case "history":
                arguments[name] = np.array(values, float).T
            case "process":
                parts = [_nested(role, v) for v in values]
                arguments[name] = _make(parts[0][0], [v for _, v in parts])
            case "processes":
                columns = [[_nested(role, v) for v in column] for column in zip(*values, strict=True)]
                arguments[name] = [_make(column[0][0], [v for _, v in column]) for column in columns]
            case _:
                arguments[name] = values[0]
    return construct(role, kind, arguments)


# From a system to a tree


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
        arc |= {"id": name} if name != _name(arc) else {}
        if inner:
            times = (w.lead_time[e], w.min_lead_time[e], w.max_lead_time[e])
            arc |= _times(*times, _brief("lead_time", p.lead_time, e, times[0]))
            arc |= _said("supply", _brief("supply", p.supply, e))
        else:
            arc |= _said("demand", _brief("demand", demand, e - w.n_inner))
        row = {"all": e, "inner": e if inner else None, "customer": None if inner else e - w.n_inner}
        rows = {f: row[n.of] for f, n in ARC_NUMBERS.items() if row[n.of] is not None}
        if inner:
            rows["component_holding_cost"] = w.input_of_arc[e]
        arc |= _numbers(network, ARC_NUMBERS, rows)
        if inner and (pipeline := np.asarray(network.initial_pipeline)[:, e]).any():
            if pipeline.shape[-1] > 1:
                raise UnsupportedFileError("an initial pipeline that differs between lanes does not fit into a file")
            arc["initial_pipeline"] = [_plain(x) for x in pipeline[: w.max_lead_time[e], 0]]
        arcs.append(arc)
    return _said("demand_correlation", correlation) | {"nodes": nodes, "arcs": arcs}


def _numbers(network: Network, table: dict[str, Any], rows: dict[str, int | None]) -> Spec:
    """The numbers of a node or an arc that are not the default."""
    out: Spec = {}
    for name, row in rows.items():
        leaf = None if name == "initial_pipeline" else getattr(network, name)
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
    return number if role != "demand" and spec == _neutral(role, number) else spec


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
