"""The one schema of network files, made from the tables of numbers and of process parameters.

`meio_jax.elements` says what a number of a node or an arc means, each process class what its parameters mean. The
pydantic models, the JSON Schema, the checks of domains and the documentation are derived from these: a new number or a
new process is in the files as soon as it is in its own table.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, ForwardRef, Literal, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    Tag,
    create_model,
)

from meio_jax.elements import ARC_NUMBERS, CUSTOMER, LONGEST, NODE_NUMBERS, OUTSIDE, Number
from meio_jax.network import ALLOCATIONS, ISSUING, TIMINGS
from meio_jax.processes import PROCESSES
from meio_jax.processes.base import Parameter, Process

__all__ = [
    "ARC_ROLES",
    "LONGEST_ID",
    "MOST_ARCS",
    "MOST_NODES",
    "NODE_ROLES",
    "QUEUES",
    "VERSION",
    "document_model",
    "json_schema",
    "kinds",
    "part_role",
]

VERSION = 1
#: More nodes or arcs than any published network has; a file with more is refused.
MOST_NODES = 2_000
MOST_ARCS = 10_000
LONGEST_ID = 200

#: Which key of an arc or a node holds a process of which role.
ARC_ROLES = {"demand": "demand", "lead_time": "lead_time", "supply": "supply"}
NODE_ROLES = {"yield": "yield", "reporting": "reporting"}

#: Numbers whose list has an entry for each period, not for each lane.
QUEUES = ("initial_pipeline", "initial_orders")

#: Processes that speak of several rows: a file mixes kinds by itself, and correlates by ``demand_correlation``.
_JOINT = ("mixed", "correlated")

_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


# Types are values here: made from tables, out of a type checker's sight.
_Annotated: Any = Annotated
_List: Any = list
_Literal: Any = Literal
_Union: Any = Union
_model: Any = create_model


def key_of(field: str) -> str:
    """The key in a file of a field of `Node`: ``yield_`` is ``yield`` there."""
    return field.removesuffix("_")


def kinds(role: str) -> dict[str, type[Process]]:
    """The processes of a role that a single arc or node can have, by kind."""
    return {k: c for k, c in PROCESSES[role].items() if k not in _JOINT}


def part_role(role: str) -> str:
    """The role of the processes that a process is made of: the delay of a report is a lead time."""
    return "lead_time" if role == "reporting" else role


def _describe(doc: str, unit: str) -> str:
    return doc if unit in ("", "1") else f"{doc}, in {unit}"


def _bounded(low: float, high: float, whole: bool, open_low: bool = False, open_high: bool = False) -> Any:
    bounds: dict[str, Any] = {"gt" if open_low else "ge": low, "lt" if open_high else "le": high}
    if whole:
        bounds["multiple_of"] = 1
    return _Annotated[float, Field(**{k: v for k, v in bounds.items() if abs(v) != float("inf")})]


def _form(value: Any) -> str:
    return "process" if isinstance(value, dict) else "list" if isinstance(value, list) else "number"


def _number(n: Number, process: Any = None, lanes: str = "one for each lane") -> Any:
    one = _bounded(n.low, n.high, n.whole)
    forms = [
        _Annotated[one, Tag("number")],
        _Annotated[_List[one], Field(min_length=1, description=lanes), Tag("list")],
    ]
    if process is not None:
        forms.append(_Annotated[process, Tag("process")])
    kind = _Annotated[_Union[tuple(forms)], Discriminator(_form)]
    return kind | None if n.default is None else kind


def _of_table(table: dict[str, Number], processes: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, n in table.items():
        key = key_of(name)
        lanes = "one for each period, soonest first" if name in QUEUES else "one for each lane"
        where = {"inner": ", not on arcs to customers", "customer": ", on arcs to customers only"}.get(n.of, "")
        info = Field(
            default=n.default,
            alias=key,
            description=_describe(n.doc, n.unit) + where,
            json_schema_extra={"unit": n.unit},
        )
        fields[name] = (_number(n, processes.get(key), lanes), info)
    return fields


def _parameter(p: Parameter, name: str, role: str) -> Any:
    one = _bounded(p.low, p.high, p.whole, p.open_low, p.open_high)
    lanes = _Annotated[_List[one], Field(min_length=1, description="one for each lane")]
    several = _Annotated[_List[one], Field(min_length=1)]
    nested = ForwardRef(f"{part_role(role)}_process")
    kind: Any
    match p.form:
        case "row":
            kind = _Annotated[_Annotated[one, Tag("number")] | _Annotated[lanes, Tag("list")], Discriminator(_form)]
        case "outcomes" | "history":
            kind = several
        case "matrix":
            kind = _Annotated[_List[several], Field(min_length=1)]
        case "process":
            kind = nested
            if isinstance(p.default, int | float):
                kind = _Annotated[
                    _Annotated[one, Tag("number")] | _Annotated[nested, Tag("process")], Discriminator(_form)
                ]
        case "processes":
            kind = _Annotated[_List[nested], Field(min_length=1)]
        case "switch":
            kind = StrictBool
        case "whole":
            kind = _Annotated[StrictInt, Field(ge=int(p.low), le=int(p.high))]
        case _:
            raise TypeError(f"parameter {name!r} of a {role} process has the form {p.form!r}, which files do not know")
    default = ... if p.required else p.default
    if default is None:
        kind = kind | None
    return kind, Field(default=default, description=_describe(p.doc, p.unit), json_schema_extra={"unit": p.unit})


@functools.cache
def process_types() -> dict[str, Any]:
    """For each role the annotated union of its processes' models."""
    unions: dict[str, Any] = {}
    models: list[type[BaseModel]] = []
    for role in PROCESSES:
        mine = []
        for kind, process in kinds(role).items():
            fields: dict[str, Any] = {"kind": (_Literal[kind], Field(description="which process"))}
            fields |= {name: _parameter(p, name, role) for name, p in process.parameters.items()}
            doc = (process.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
            name = "".join(word.capitalize() for word in [*role.split("_"), *kind.split("_")])
            mine.append(_model(name, __config__=_CONFIG, __doc__=doc, **fields))
        models += mine
        unions[role] = _Annotated[_Union[tuple(mine)], Field(discriminator="kind")] if len(mine) > 1 else mine[0]
    namespace = {f"{role}_process": union for role, union in unions.items()}
    for model in models:
        model.model_rebuild(_types_namespace=namespace)
    return unions


def _no_blanks(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError("must not begin or end with blanks nor hold line breaks")
    return text


_Id = _Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(_no_blanks)]
_Text = _Annotated[str, Field(max_length=20_000)]


@functools.cache
def document_model() -> type[BaseModel]:
    """The pydantic model of a whole file."""
    unions = process_types()
    whole_lead = _Annotated[int, Field(ge=0, le=LONGEST)]
    lead_time = _Annotated[
        _Annotated[whole_lead, Tag("number")] | _Annotated[unions["lead_time"], Tag("process")],
        Discriminator(lambda v: "process" if isinstance(v, dict) else "number"),
    ]
    node = _model(
        "Node",
        __config__=_CONFIG,
        __doc__="A site that stocks or builds.",
        id=(_Id, Field(description=f"name of the node, unlike {OUTSIDE!r} and {CUSTOMER!r}")),
        **_of_table(NODE_NUMBERS, {"yield": unions["yield"]}),
        make_to_order=(
            bool,
            Field(default=False, description="builds only what is on order, and holds components instead of stock"),
        ),
        reporting=(
            unions["reporting"] | None,
            Field(default=None, description="age in periods of the newest report that the planner has of the node"),
        ),
    )
    arc = _model(
        "Arc",
        __config__=_CONFIG,
        __doc__="A lane of supply.",
        from_=(_Id, Field(alias="from", description=f"id of a node, or {OUTSIDE!r} for a supplier without limits")),
        to=(_Id, Field(description=f"id of a node, or {CUSTOMER!r}")),
        id=(_Id | None, Field(default=None, description="name of the arc; 'from->to' if it is not given")),
        component=(
            _Annotated[str, Field(max_length=LONGEST_ID), AfterValidator(_no_blanks)],
            Field(
                default="", description="arcs into one node that name the same component are alternative sources of it"
            ),
        ),
        lead_time=(
            lead_time,
            Field(
                default=0, description="periods from shipment to receipt, 0 is within the period; a number or a process"
            ),
        ),
        min_lead_time=(whole_lead | None, Field(default=None, description="least lead time; else that of the process")),
        max_lead_time=(
            whole_lead | None,
            Field(default=None, description="longest lead time; else that of the process"),
        ),
        nominal_lead_time=(
            whole_lead | None,
            Field(default=None, description="lead time that rules plan with; else the mean of the process, rounded"),
        ),
        order_delay=(
            whole_lead,
            Field(default=0, description="periods that an order travels before its source can ship, 0 is at once"),
        ),
        demand=(
            unions["demand"] | None,
            Field(default=None, description="on every arc to a customer: units asked for in a period"),
        ),
        supply=(
            unions["supply"] | None,
            Field(default=None, description="share of what is owed that the source can ship"),
        ),
        **_of_table(ARC_NUMBERS, {}),
    )
    return _model(
        "System",
        __config__=_CONFIG,
        __doc__="A supply network and the outside world that it faces: network file of meio_jax.",
        version=(_Literal[VERSION], Field(description=f"version of this schema: {VERSION}")),
        name=(_Annotated[str, Field(max_length=LONGEST_ID)], Field(default="", description="name of the system")),
        description=(_Text, Field(default="", description="what it is and where its numbers come from")),
        period=(
            _Annotated[str, Field(max_length=LONGEST_ID)],
            Field(default="period", description="length of a period, such as 'day'"),
        ),
        timing=(_Literal[TIMINGS], Field(default="order_first", description="what happens first in a period")),
        allocation=(_Literal[ALLOCATIONS], Field(default="proportional", description="how scarce stock is shared out")),
        issuing=(_Literal[ISSUING], Field(default="fifo", description="which age leaves first where stock perishes")),
        integer=(bool, Field(default=False, description="quantities are whole numbers")),
        demand_correlation=(
            _Annotated[
                _Annotated[_bounded(-1, 1, False), Tag("number")]
                | _Annotated[_List[_Annotated[_List[_bounded(-1, 1, False)], Field(min_length=1)]], Tag("list")],
                Discriminator(_form),
            ]
            | None,
            Field(
                default=None,
                description="correlation of the normals behind all demands (a Gaussian copula): one number for every "
                "pair, or a matrix with the arcs to customers in their order in this file",
            ),
        ),
        nodes=(_Annotated[_List[node], Field(min_length=1, max_length=MOST_NODES)], Field(description="sites")),
        arcs=(
            _Annotated[_List[arc], Field(min_length=1, max_length=MOST_ARCS)],
            Field(description="lanes of supply; their order is their order of priority"),
        ),
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of network files, with units and descriptions."""
    schema = document_model().model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"meio_jax/network/{VERSION}", **schema}
