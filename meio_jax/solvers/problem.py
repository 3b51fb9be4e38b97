"""What a solver is asked: a system, what its demand is known to be, and which cost counts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from meio_jax.errors import InputError, NumberError, UnknownNameError
from meio_jax.network import Network
from meio_jax.processes import Processes
from meio_jax.solvers.laws import Law
from meio_jax.solvers.process_laws import laws_of
from meio_jax.solvers.solution import CRITERIA
from meio_jax.system import System

__all__ = ["Problem", "problem_of"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A system and a criterion.

    Attributes:
      network: wiring and numbers.
      processes: the outside world as the simulator draws it.
      laws: ``[C]`` demand of one period of each customer in float64, independent between periods and customers; empty
        where it is not known, or not of that kind.
      criterion: which cost counts, see `meio_jax.solvers.solution.CRITERIA`.
      discount: of a period, for "discounted".
      periods: horizon, for "total", and where a "discounted" sum is truncated.
      warmup: periods played first whose cost does not count; they are not part of ``periods``.
      service: the data of a guaranteed-service model (`meio_jax.solvers.guaranteed_service`), where it is one.
      no_laws: why ``laws`` is empty, for messages.

    Raises:
      UnknownNameError, NumberError, InputError: a criterion that there is not; a discount outside (0, 1); "total"
        without a horizon; laws that do not fit the customers.
    """

    network: Network
    processes: Processes
    laws: tuple[Law, ...] = ()
    criterion: str = "average"
    discount: float = 1.0
    periods: int | None = None
    warmup: int = 0
    service: Any = None
    no_laws: str = ""

    def __post_init__(self) -> None:
        customers = self.network.wiring.n_customers
        if self.criterion not in CRITERIA:
            raise UnknownNameError(f"criterion {self.criterion!r} is not one of {', '.join(CRITERIA)}")
        if len(self.laws) not in (0, customers):
            raise InputError(f"laws: {len(self.laws)} given for {customers} customers; give one for each, or none")
        if self.criterion == "discounted" and not 0 < self.discount < 1:
            raise NumberError(f"discount = {self.discount:g} must lie between 0 and 1 for a discounted criterion")
        if self.criterion == "total" and self.periods is None:
            raise InputError("criterion 'total' needs periods=, the horizon")
        if self.periods is not None and self.periods < 1:
            raise NumberError(f"periods = {self.periods} must be at least 1")
        if self.warmup < 0 or not math.isfinite(self.warmup):
            raise NumberError(f"warmup = {self.warmup} must not be negative")


def problem_of(system: System, **criterion: Any) -> Problem:
    """What is asked of a system that was loaded from a file: by default its least long-run average cost.

    The laws are those of its demand where that is independent between periods and customers; ``no_laws`` says why not.

    Args:
      system: a network and its processes.
      **criterion: ``criterion``, ``discount``, ``periods``, ``warmup`` of the `Problem`.

    Raises:
      UnsuitableError: a parameter of the demand differs between lanes.
      UnknownNameError, NumberError, InputError: as for `Problem`.
    """
    laws, reason = laws_of(system.processes.demand, whole=system.network.wiring.integer)
    return Problem(system.network, system.processes, laws, no_laws=reason, **criterion)
