"""``meio instances``: the literature's instances, with what is known of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from meio_jax.cli.common import Result, UsageError

__all__ = ["Instances"]


@dataclasses.dataclass(frozen=True)
class Instances:
    """List the instances of the literature: event order, known optimum, source. 'meio solve' solves one by its name."""

    family: str = ""
    """Only those of this family."""
    json: bool = False
    """A list of JSON objects on standard output."""

    def run(self) -> Result:
        from meio_jax.errors import UnknownNameError
        from meio_jax.instances import instances

        try:
            found = instances(self.family or None)
        except UnknownNameError as e:
            raise UsageError(f"--family: {e}") from e
        data: list[dict[str, Any]] = [
            {
                "id": i.id,
                "family": i.family,
                "title": i.title,
                "timing": i.timing,
                "known_optimum": None if i.known_optimum is None else float(i.known_optimum),
                "source": i.source,
            }
            for i in found
        ]
        return Result(data, _text(data))


def _text(data: list[dict[str, Any]]) -> str:
    """A block for each family under its source; ``-``: no optimum is known."""
    lines = []
    width = max(len(row["id"]) for row in data)
    for family in dict.fromkeys(row["family"] for row in data):
        rows = [row for row in data if row["family"] == family]
        lines += [f"{family}: {source}" for source in dict.fromkeys(row["source"] for row in rows)]
        for row in rows:
            known = "-" if row["known_optimum"] is None else f"{row['known_optimum']:.6g}"
            lines.append(f"  {row['id'].ljust(width)}  {known:>10}  {row['timing'].ljust(12)}  {row['title']}")
        lines.append("")
    solved = sum(row["known_optimum"] is not None for row in data)
    lines.append(f"{len(data)} instances, {solved} with a known optimum (third column: the event order)")
    return "\n".join(lines)
