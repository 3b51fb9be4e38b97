"""What service is promised, and when stock counts as slow: the numbers beside which indicators are judged."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax import Array

from meio_jax.errors import NumberError
from meio_jax.struct import pytree

__all__ = ["Standards", "checked", "standards"]


def checked(name: str, value: Any, low: float = 0.0, high: float = math.inf) -> Any:
    """``value``, unless it holds a number outside ``[low, high]`` or a NaN; what is traced is let through.

    Raises:
      NumberError: says which.
    """
    if not isinstance(value, jax.core.Tracer):
        x = np.asarray(value)
        if x.dtype.kind not in "fiu" or not ((x >= low) & (x <= high)).all():
            raise NumberError(f"{name} = {value} must lie in [{low:g}, {high:g}]")
    return value


@pytree
class Standards:
    """Every field a number, ``[1|B]``, or with one row for each group ``[G, 1|B]``; all are traced.

    fill_rate, period_service, cycle_service_level, ready_rate: targets. coverage ``[1|B]`` or ``[N, 1|B]``: periods of
    its own demand beyond which a node's stock counts as slow-moving. write_down: share of the value of slow-moving
    stock that is written down in a period. The defaults are examples, not advice. `standards` checks the numbers.
    """

    fill_rate: Array | float = 0.95
    period_service: Array | float = 0.95
    cycle_service_level: Array | float = 0.95
    ready_rate: Array | float = 0.95
    coverage: Array | float = 26.0
    write_down: Array | float = 0.01


def standards(**numbers: Any) -> Standards:
    """`Standards` of checked numbers.

    Raises:
      NumberError: a number is NaN or negative, or a target or a share is above 1.
      TypeError: there is no such field.
    """
    for name, value in numbers.items():
        checked(f"standards: {name}", value, 0.0, math.inf if name == "coverage" else 1.0)
    return Standards(**numbers)
