"""From a checked tree to a `System`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from meio_jax.build import build_network
from meio_jax.elements import ARC_NUMBERS, NODE_NUMBERS, Arc, Node
from meio_jax.errors import InputError, ParameterError
from meio_jax.files.schema import key_of, kinds, part_role
from meio_jax.files.syntax import Path_
from meio_jax.files.validate import Source
from meio_jax.processes import Processes, check_processes, construct, correlated, mixed
from meio_jax.processes.base import Parameter, Process
from meio_jax.system import System

__all__ = ["Spec", "arc_name", "neutral", "system_of"]

Spec = dict[str, Any]


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
            name=arc_name(arc),
            component=arc.get("component", ""),
            order_delay=arc.get("order_delay", 0),
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
    arc_at = {arc_name(arc): i for i, arc in enumerate(tree["arcs"])}
    at_node = [("nodes", node_at[n]) for n in w.nodes]
    at_arc = [("arcs", arc_at[a]) for a in w.arcs]

    def process(role: str, key: str, places: Sequence[tuple[str, int]]) -> Process | None:
        specs = [_at(tree, place).get(key) for place in places]
        if not any(isinstance(s, dict) for s in specs):
            return None
        whole = [s if isinstance(s, dict) else neutral(role, s) for s in specs]
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


def arc_name(arc: Spec) -> str:
    """The name of an arc, given or the one that `build_network` would give it."""
    component = arc.get("component", "")
    return arc.get("id") or f"{arc['from']}->{arc['to']}" + (f":{component}" if component else "")


def _blamed(message: str, tree: dict[str, Any]) -> Path_:
    """The first node or arc that a message of the builder names, as a path."""
    found = re.search(r"\b(node|arc) (?:'(.*?)'|\"(.*?)\")(?:[: ]|$)", message)
    if found:
        name = found[2] if found[2] is not None else found[3]
        items = tree["nodes"] if found[1] == "node" else tree["arcs"]
        index = [i for i, item in enumerate(items) if (item["id"] if found[1] == "node" else arc_name(item)) == name]
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


def neutral(role: str, value: Any) -> Spec:
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
    return part, value if isinstance(value, dict) else neutral(part, value)


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
