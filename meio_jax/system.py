"""A supply network together with the outside world that it faces: what a file holds and a learner meets."""

from __future__ import annotations

import dataclasses
from typing import Any

from meio_jax.network import Network
from meio_jax.processes import Processes
from meio_jax.struct import pytree, static

__all__ = ["System"]


@pytree
class System:
    """What a network file says. A pytree: the numbers are leaves, the texts are part of the program.

    network: wiring and numbers. processes: demand, lead times, supply, yields and reporting.
    name, description: for people. period: the length of a period, "day" or "week", for axes and tables.
    source: the file's content as canonical JSON, None for a system made in Python; `meio_jax.files.dump_system` writes
    it back as long as the numbers are still the ones it describes.
    """

    network: Network
    processes: Processes
    name: str = static(default="")
    description: str = static(default="")
    period: str = static(default="period")
    source: str | None = static(default=None)

    def replace(self, **changes: Any) -> System:
        """A copy with other parts. Raises `TypeError` for a name that is no field."""
        return dataclasses.replace(self, **changes)
