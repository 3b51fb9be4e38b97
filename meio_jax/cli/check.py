"""``meio check``: is a network file right, and what is in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from meio_jax.cli.common import Result

if TYPE_CHECKING:
    from meio_jax.system import System

__all__ = ["Check"]


@dataclasses.dataclass(frozen=True)
class Check:
    """Check a network file and say what is in it."""

    file: tyro.conf.Positional[Path]
    """Network file, .yaml or .json."""
    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        from meio_jax.files import load_system

        system = load_system(self.file)
        data = {"file": str(self.file), **summary(system)}
        return Result(data, _text(data))


def summary(system: System) -> dict[str, Any]:
    """Sizes, rules and features in use."""
    import numpy as np

    from meio_jax.elements import ARC_NUMBERS, NODE_NUMBERS
    from meio_jax.processes import mean_demand

    network, w = system.network, system.network.wiring
    always = {"holding_cost", "initial_on_hand", "initial_pipeline", "initial_orders", "backlog_cost"}
    used = [k for k in (*NODE_NUMBERS, *ARC_NUMBERS) if k not in always and getattr(network, k, None) is not None]
    random = {
        role.removesuffix("_"): sorted(_kinds(process))
        for role in ("demand", "lead_time", "supply", "yield_", "reporting")
        if (process := getattr(system.processes, role)) is not None
    }
    mean = mean_demand(system.processes)
    return {
        "name": system.name,
        "description": system.description,
        "period": system.period,
        "nodes": w.n_nodes,
        "arcs": w.n_arcs,
        "supplier_arcs": len(w.outside_arcs),
        "customer_arcs": w.n_customers,
        "echelons": max(w.levels) + 1,
        "longest_lead_time": max(w.max_lead_time),
        "longest_order_delay": w.mail_slots,
        "timing": w.timing,
        "allocation": w.allocation,
        "issuing": w.issuing if w.ages > 1 else None,
        "integer": w.integer,
        "features": [k.removesuffix("_") for k in used] + (["make_to_order"] if any(w.make_to_order) else []),
        "random": random,
        "mean_demand": None if mean is None else round(float(np.asarray(mean).mean(-1).sum()), 6),
    }


def _kinds(process: Any) -> set[str]:
    """The kinds of a process and of those that it is mixed or coupled of."""
    if process.kind == "mixed":
        return set().union(*(_kinds(p) for p in process.parts))
    if process.kind == "correlated":
        return {"correlated", *_kinds(process.base)}
    return {process.kind}


def _text(data: dict[str, Any]) -> str:
    rows = {
        "network": f"{data['nodes']} nodes in {data['echelons']} echelons, {data['arcs']} arcs "
        f"({data['supplier_arcs']} from suppliers, {data['customer_arcs']} to customers)",
        "lead times": f"up to {data['longest_lead_time']} {data['period']}s",
        **({"order delays": f"up to {d} {data['period']}s"} if (d := data["longest_order_delay"]) else {}),
        "rules": ", ".join(
            [
                data["timing"],
                data["allocation"],
                *([data["issuing"]] if data["issuing"] else []),
                *(["integer"] * data["integer"]),
            ]
        ),
        "features": ", ".join(data["features"]) or "none beyond holding and backlog",
        **{f"random {role}": ", ".join(kinds) for role, kinds in data["random"].items()},
        "mean demand": "not known in closed form"
        if data["mean_demand"] is None
        else f"{data['mean_demand']:g} units a {data['period']}",
    }
    width = max(map(len, rows))
    title = data["name"] or data["file"]
    return "\n".join([f"{title}: the file is right", *(f"  {k.ljust(width)}  {v}" for k, v in rows.items())])
