"""The committed results as Markdown, for docs/speed.md: ``python -m benchmarks.table [FILE.json]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent


def table(results: dict) -> str:
    """One row a measurement, parts in the order in which they were taken."""
    about = results["machine"]
    lines = [
        f"{about['cpu']}, {about['cores']} cores, device {about['device']}, jax {about['versions']['jax']}, "
        f"Python {about['python']}, {about['date']}.",
        "",
        "| what | target | | measured |",
        "|---|---|---|---|",
    ]
    for rows in results["parts"].values():
        for row in rows:
            met = {True: "met", False: "**missed**", None: ""}[row["met"]]
            lines.append(f"| {row['what']} | {row['target']} | {met} | {row['measured']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: all in benchmarks/results")
    for file in parser.parse_args().files or sorted((HERE / "results").glob("*.json")):
        print(table(json.loads(file.read_text())), end="\n\n")


if __name__ == "__main__":
    main()
