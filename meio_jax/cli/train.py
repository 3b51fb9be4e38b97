"""Placeholder."""

from __future__ import annotations

import dataclasses

from meio_jax.cli.common import Result, UsageError

__all__ = ["Train"]


@dataclasses.dataclass(frozen=True)
class Train:
    """Placeholder."""

    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        raise UsageError("not yet")
