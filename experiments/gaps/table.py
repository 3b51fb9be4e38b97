"""The table: what was reached, what was aimed at, and what others have published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.gaps.families import FAMILIES, instance_named
from experiments.gaps.unit import path_of
from meio_jax.runs import read_json

__all__ = ["cells", "detail", "summary"]

#: Profits that gym-invmgmt's learners are to reach on the ten seeds.
PROFITS = {
    "pathwise": {"network-lost": 831.0, "network-backlog": 839.0, "serial-lost": 1002.0, "serial-backlog": 1008.0},
    "ppo": {"network-lost": 809.1, "network-backlog": 835.0, "serial-lost": 986.5, "serial-backlog": 1006.3},
}


def cells(out: Path, learners: Iterable[str], families: Iterable[str]) -> list[dict[str, Any]]:
    """All that was computed so far, in the order of the families."""
    paths = [path_of(out, learner, name) for f in families for name in FAMILIES[f].ids for learner in learners]
    return [read_json(path) for path in paths if path.exists()]


def summary(rows: list[dict[str, Any]]) -> str:
    """A line for each family and learner: mean gap over instances and seeds, the worst instance, the aim."""
    lines = [
        "| family | learner | instances | mean gap % | worst instance % | aim | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        for learner in dict.fromkeys(r["learner"] for r in rows):
            here = [r for r in rows if r["family"] == family and r["learner"] == learner]
            if not here:
                continue
            gaps = np.array([r["gap"] for r in here])
            count = f"{len(here)} of {len(FAMILIES[family].ids)}"
            if FAMILIES[family].reference == "hindsight":
                aims = [_profit(r) for r in here]
                got = ", ".join(f"{p:.1f}" for p, _ in aims)
                aim = ", ".join(f"{a:g}" for _, a in aims)
                met = all(p >= a for p, a in aims)
                lines.append(f"| {family} | {learner} | {count} | profit {got} | - | {aim} | {_yes(met)} |")
                continue
            mean, worst = dict(FAMILIES[family].mean).get(learner), dict(FAMILIES[family].worst).get(learner)
            aim = " and ".join(
                x for x in (f"<= {mean:g}" if mean is not None else "", f"worst <= {worst:g}" if worst else "") if x
            )
            reached = (mean is None or gaps.mean() <= mean) and (worst is None or gaps.max() <= worst)
            if FAMILIES[family].reference == "tuned rule" and mean is not None:
                reached = bool(gaps.max() <= mean)
                aim = f"each <= {mean:g}"
            met = _yes(bool(reached)) if mean is not None else "-"
            lines.append(
                f"| {family} | {learner} | {count} | {gaps.mean():+.3f} | {gaps.max():+.3f} | {aim or '-'} | {met} |"
            )
    return "\n".join(lines)


def detail(rows: list[dict[str, Any]]) -> str:
    """A line for each instance and learner, with intervals, and what was published beside."""
    lines = ["| instance | learner | seeds | gap % (95 % over seeds) | worst seed | simulation +- | from | published |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for r in rows:
        instance = instance_named(r["instance"])
        if FAMILIES[r["family"]].reference == "hindsight":
            profits = [row["profit"] for row in r["rows"]]
            own = np.mean([row["own"] for row in r["rows"]])
            ms = max(row["decision_ms"] for row in r["rows"])
            told = f"profit {np.mean(profits):.1f} ({min(profits):.1f} to {max(profits):.1f}); "
            told += f"{own:.1f} on 1,000 own episodes; {ms:.2f} ms"
            if all("there" in row for row in r["rows"]):
                there = [row["there"]["mean"] for row in r["rows"]]
                told += f"; in the environment itself {np.mean(there):.1f} ({min(there):.1f} to {max(there):.1f})"
            lines.append(
                f"| {r['instance']} | {r['learner']} | {r['seeds']} | {told} | {r['worst']:.2f} | 0 | hindsight | |"
            )
            continue
        interval = "" if r["gap_low"] is None else f" [{r['gap_low']:+.3f}, {r['gap_high']:+.3f}]"
        error = max(row["error"] for row in r["rows"])
        published = [
            f"{k.what} {100 * (k.cost - r['reference_cost']) / abs(r['reference_cost']):+.2f}"
            for k in instance.known
            if k.what != "optimum"
        ]
        lines.append(
            f"| {r['instance']} | {r['learner']} | {r['seeds']} | {r['gap']:+.3f}{interval} | {r['worst']:+.3f} |"
            f" {error:.3f} | {r['reference']} {r['reference_cost']:.6g} | {'; '.join(published)} |"
        )
    return "\n".join(lines)


def _profit(row: dict[str, Any]) -> tuple[float, float]:
    """Mean profit on the ten seeds, of the environment itself where it was played, else of ours; and the aim."""
    case = row["instance"].split("/")[1]
    profits = [r["there"]["mean"] if "there" in r else r["profit"] for r in row["rows"]]
    return float(np.mean(profits)), PROFITS[row["learner"]][case]


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"
