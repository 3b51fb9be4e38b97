"""What a solver is asked: a system, what its demand is known to be, and which cost counts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from meio_jax.errors import InputError, NumberError, UnknownNameError
from meio_jax.network import Network
from meio_jax.processes import Processes
from meio_jax.solvers.laws import Law
from meio_jax.solvers.solution import CRITERIA

__all__ = ["Problem"]


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
