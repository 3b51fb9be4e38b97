"""A user's own copy of the supply chains of Willems (2008): stages and arcs from the workbook, or from two CSV files.

The 38 chains belong to the article and carry no licence, so none is shipped. The workbook has two sheets for each
chain: ``NN_SD`` with a row for each stage, ``NN_LL`` with a row for each arc. What is read of them:

================== ================================================================================
Stage Name         any text, unique
stageCost          money that a stage adds to a unit
stageTime          mean periods of work
stdDev stageTime   their standard deviation; may be empty or absent
avgDemand          units per period that the stage's own customers ask for; empty where it has none
stdDevDemand       their standard deviation
maxServiceTime     longest service time that these customers accept; empty is 0
serviceLevel       share of periods in which demand is within its bound, such as 0.95
relDepth           echelons to the customer; not used, may be absent
stageClassification  part, manufacturing, transport, ...; may be absent
================== ================================================================================

and ``sourceStage``, ``destinationStage``. Case, blanks and underscores in the names of columns do not matter, other
columns (positions, distributions of stage times) are passed over.

Willems, Manufacturing & Service Operations Management 10(1), 2008, https://doi.org/10.1287/msom.1070.0176.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from scipy import special

from meio_jax.data.sheets import Row, csv_sheet, table, workbook
from meio_jax.elements import LARGEST
from meio_jax.errors import CycleError, DuplicateNameError, InputError, NumberError, UnknownNameError
from meio_jax.solvers.guaranteed_service import ServiceModel

__all__ = ["WillemsChain", "read_willems"]

_STAGE = ("Stage Name", "stageCost", "stageTime", "avgDemand", "stdDevDemand", "maxServiceTime", "serviceLevel")
_OPTIONAL = ("stdDev stageTime", "stageClassification")
_ARC = ("sourceStage", "destinationStage")


@dataclasses.dataclass(frozen=True)
class WillemsChain:
    """A supply chain as the data set describes it; rows in the file's order, NaN where a cell is empty.

    Attributes:
      name: of the sheet or file.
      stages: ``[N]`` names; arcs: ``[A]`` pairs of names; classification: ``[N]``, "" where there is none.
      cost: ``[N]`` money added to a unit; time, time_sd: ``[N]`` periods.
      demand_mean, demand_sd: ``[N]`` units per period, NaN at stages without customers of their own.
      service_time: ``[N]`` periods; service_level: ``[N]`` share of periods.
    """

    name: str
    stages: tuple[str, ...]
    arcs: tuple[tuple[str, str], ...]
    cost: tuple[float, ...]
    time: tuple[float, ...]
    time_sd: tuple[float, ...]
    demand_mean: tuple[float, ...]
    demand_sd: tuple[float, ...]
    service_time: tuple[float, ...]
    service_level: tuple[float, ...]
    classification: tuple[str, ...]

    @property
    def cumulative_cost(self) -> tuple[float, ...]:
        """``[N]`` money in a unit: what the stage adds and what is in one unit of each of its inputs."""
        index, graph = self._graph()
        total = list(self.cost)
        for j in nx.topological_sort(graph):
            total[j] += sum(total[i] for i in graph.predecessors(j))
        return tuple(total[index[s]] for s in self.stages)

    def model(
        self,
        *,
        holding_rate: float = 1.0,
        bound_factor: Any = None,
        time_deviations: float = 0.0,
        pooling: float = 2.0,
    ) -> ServiceModel:
        """The guaranteed-service model of the chain: one unit of each input in a unit, times rounded up.

        Args:
          holding_rate: holding cost per period as a share of a unit's cumulative cost.
          bound_factor: k, as in `ServiceModel`; None: that of the service level for normal demand, and at stages
            without customers of their own the largest of those that they feed, however far.
          time_deviations: so many standard deviations of its time are added to a stage's mean time.
          pooling: as in `ServiceModel`.

        Raises:
          NumberError: a number is out of its domain.
        """
        if not 0 <= time_deviations <= LARGEST:
            raise NumberError(f"time_deviations = {time_deviations:g} must not be negative")
        if bound_factor is None:
            bound_factor = self._bound_factors()
        mean, deviation, promise = (np.nan_to_num(x) for x in (self.demand_mean, self.demand_sd, self.service_time))
        work = np.asarray(self.time) + time_deviations * np.nan_to_num(self.time_sd)
        return ServiceModel(
            nodes=self.stages,
            arcs=self.arcs,
            processing_time=np.ceil(work - 1e-9).tolist(),
            holding_cost=[holding_rate * c for c in self.cumulative_cost],
            demand_sd=deviation.tolist(),
            bound_factor=bound_factor,
            demand_mean=mean.tolist(),
            outbound={
                s: math.floor(p) for s, p, m in zip(self.stages, promise, self.demand_mean, strict=True) if m == m
            },
            pooling=pooling,
        )

    def _graph(self) -> tuple[dict[str, int], Any]:
        index = {s: j for j, s in enumerate(self.stages)}
        graph = nx.DiGraph([(index[a], index[b]) for a, b in self.arcs])
        graph.add_nodes_from(range(len(self.stages)))
        return index, graph

    def _bound_factors(self) -> list[float]:
        _, graph = self._graph()
        own = special.ndtri(np.asarray(self.service_level))
        factor = [0.0] * len(self.stages)
        for j in reversed(list(nx.topological_sort(graph))):
            below = max((factor[i] for i in graph.successors(j)), default=0.0)
            factor[j] = below if math.isnan(own[j]) else max(0.0, float(own[j]))
        return factor


def read_willems(
    path: str | os.PathLike[str], arcs: str | os.PathLike[str] | None = None, *, chain: int | str | None = None
) -> WillemsChain:
    """Read one chain.

    Args:
      path: the workbook (``.xls``, ``.xlsx``; needs pandas with xlrd or openpyxl), or the CSV file of the stages.
      arcs: the CSV file of the arcs; left out, ``..._LL.csv`` beside ``..._SD.csv``.
      chain: which chain of a workbook: 1 or "01" is ``01_SD`` and ``01_LL``. Not needed where there is one.

    Raises:
      FileNotFoundError: no such file.
      DataUnavailable: a library that reads the workbook is missing; says which, and how to do without.
      EmptyFile, UnreadableFile, FileTruncated, MissingColumn: a file or sheet as a whole.
      DuplicateNameError, UnknownNameError, NumberError, CycleError: a row; the message begins with file and row.
      InputError: which sheets or files are meant is not clear.
    """
    path = Path(path)
    if path.suffix.lower() in (".xls", ".xlsx", ".xlsm"):
        if arcs is not None:
            raise InputError(f"{path.name}: a workbook has its arcs in a sheet of its own; leave arcs= out")
        sheets = workbook(path)
        name = _wanted(path.name, list(sheets), chain)
        stage_rows, arc_rows = sheets[f"{name}_SD"], sheets[f"{name}_LL"]
        where = (f"{path.name}: sheet {name}_SD", f"{path.name}: sheet {name}_LL")
    else:
        if arcs is None:
            if not path.stem.endswith("_SD"):
                raise InputError(
                    f"{path.name}: say where the arcs are, arcs=; or call the files NN_SD.csv and NN_LL.csv"
                )
            arcs = path.with_name(path.stem[:-2] + "LL" + path.suffix)
        name = path.stem.removesuffix("_SD")
        where = (path.name, Path(arcs).name)
        stage_rows, arc_rows = csv_sheet(path), csv_sheet(Path(arcs))
    stages = table(where[0], stage_rows, _STAGE, _OPTIONAL)
    return _chain(name, stages, table(where[1], arc_rows, _ARC, may_be_empty=len(stages) == 1))


def _wanted(file: str, sheets: Sequence[str], chain: int | str | None) -> str:
    """The number of the chain as its sheets have it."""
    names = [s.removesuffix("_SD") for s in sheets if s.endswith("_SD") and s.removesuffix("_SD") + "_LL" in sheets]
    if chain is None and len(names) == 1:
        return names[0]
    wanted = f"{chain:02d}" if isinstance(chain, int) else chain
    if wanted not in names:
        have = f"chains {names[0]} to {names[-1]}" if names else f"sheets {', '.join(sheets)} and no pair NN_SD, NN_LL"
        what = f"there is no chain {wanted}" if wanted else "say which chain, chain="
        raise InputError(f"{file}: {what}; it has {have}")
    return str(wanted)


def _chain(name: str, stages: Sequence[Row], arcs: Sequence[Row]) -> WillemsChain:
    at: dict[str, Row] = {}
    for row in stages:
        stage = row.cells["Stage Name"]
        if not stage:
            raise UnknownNameError(f"{row.where}: Stage Name is empty; name the stage or remove the row")
        if stage in at:
            raise DuplicateNameError(
                f"{row.where}: stage {stage!r} is there already, in {at[stage].where.split(': ')[-1]}"
            )
        at[stage] = row
    pairs: dict[tuple[str, str], Row] = {}
    for row in arcs:
        pair = (row.cells["sourceStage"], row.cells["destinationStage"])
        for column, stage in zip(_ARC, pair, strict=True):
            if stage not in at:
                raise UnknownNameError(
                    f"{row.where}: {column} {stage!r} is no stage; are the stages whole, and of the same chain?"
                )
        if pair in pairs:
            raise DuplicateNameError(
                f"{row.where}: the arc {' -> '.join(pair)} is there already, in {pairs[pair].where.split(': ')[-1]}"
            )
        pairs[pair] = row
    graph = nx.DiGraph(list(pairs))
    if not nx.is_directed_acyclic_graph(graph):
        loop = [(a, b) for a, b, *_ in nx.find_cycle(graph)]
        path = " -> ".join([a for a, _ in loop] + [loop[0][0]])
        raise CycleError(f"{pairs[loop[0]].where}: the arcs {path} form a cycle; a supply chain must be acyclic")
    feeding = {a for a, _ in pairs}
    columns: dict[str, list[Any]] = {
        f.name: [] for f in dataclasses.fields(WillemsChain) if f.name not in ("name", "stages", "arcs")
    }
    for stage, row in at.items():
        mean, deviation = row.number("avgDemand"), row.number("stdDevDemand")
        level = row.number("serviceLevel", most=1.0)
        if math.isnan(mean) != math.isnan(deviation):
            raise NumberError(f"{row.where}: avgDemand and stdDevDemand must both be there or both be empty")
        if math.isnan(mean) and stage not in feeding:
            raise NumberError(
                f"{row.where}: stage {stage!r} feeds no stage and has no demand; give avgDemand and stdDevDemand"
            )
        if not math.isnan(mean) and not 0 < level < 1:
            raise NumberError(
                f"{row.where}: serviceLevel of a stage with demand must lie between 0 and 1, such as 0.95"
            )
        values = {
            "cost": row.number("stageCost", needed=True),
            "time": row.number("stageTime", needed=True),
            "time_sd": row.number("stdDev stageTime"),
            "demand_mean": mean,
            "demand_sd": deviation,
            "service_time": row.number("maxServiceTime"),
            "service_level": level,
            "classification": row.cells.get("stageClassification", ""),
        }
        for key, x in values.items():
            columns[key].append(x)
    return WillemsChain(name, tuple(at), tuple(pairs), **{k: tuple(v) for k, v in columns.items()})
