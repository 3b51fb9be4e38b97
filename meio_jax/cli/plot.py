"""Placeholder."""

from __future__ import annotations

import dataclasses

from meio_jax.cli.common import Result, UsageError

__all__ = ["Plot"]


@dataclasses.dataclass(frozen=True)
class Plot:
    """Placeholder."""

    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        raise UsageError("not yet")
