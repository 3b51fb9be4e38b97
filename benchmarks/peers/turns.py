"""What the measuring scripts share: our own figures, taken in turns with the peer's, and the rows that they print.

Runs in every peer's environment: only the standard library. ``MEIO_PYTHON`` is the interpreter that has meio_jax; the
runner (`benchmarks.run`) sets it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def quick() -> bool:
    return "--quick" in sys.argv


def ours(what: str, **options: Any) -> dict[str, Any]:
    """One measurement of `benchmarks.ours`, in a process of its own."""
    python = os.environ.get("MEIO_PYTHON") or str(ROOT / ".venv" / "bin" / "python")
    command = [python, "-m", "benchmarks.ours", what, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"benchmarks.ours {what} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def seconds(play: Callable[[], Any]) -> float:
    """Of one call."""
    begin = time.perf_counter()
    play()
    return time.perf_counter() - begin


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def row(what: str, target: str, measured: str, met: bool | None, **numbers: Any) -> dict[str, Any]:
    """A line of the table, see `benchmarks.run.Row`."""
    return {"what": what, "target": target, "measured": measured, "met": met, "numbers": numbers}


def tell(rows: list[dict[str, Any]]) -> None:
    """Print the rows as the one JSON value that the runner reads, in the last line."""
    print(json.dumps(rows))
