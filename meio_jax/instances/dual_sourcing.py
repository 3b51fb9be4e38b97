"""Dual sourcing, the six cases of Gijsbrechts, Boute, Van Mieghem and Zhang (2022), section 6.2.

One location, demand uniform on 0 .. 4, backorders; c_r = 100 and lead time l_r, or c_e = 105 or 110 at once; h = 5, b =
495, orders of at most 8. Event order: the regular order due arrives, both orders are placed, the expedited one arrives,
demand comes; purchases are paid when ordered. Long-run average cost. The paper prints gaps to the optimum in per cent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from meio_jax.errors import InputError
from meio_jax.instances.base import Instance, Known
from meio_jax.policies.base import Policy
from meio_jax.policies.dual_sourcing import CappedDualIndex, DualIndex, SingleIndex, TailoredBaseSurge
from meio_jax.processes import Processes, discrete_uniform
from meio_jax.solvers.laws import Pmf
from meio_jax.solvers.problem import Problem
from meio_jax.topologies import multi_source

__all__ = ["INSTANCES", "dual_sourcing"]

SOURCE = (
    "Gijsbrechts, Boute, Van Mieghem and Zhang (2022), Manufacturing & Service Operations Management 24(3), 1349-1368, "
    "Figure 9, https://doi.org/10.1287/msom.2021.1064"
)
LEAD_TIMES, COSTS = (2, 3, 4), (105, 110)

#: (l_r, c_e): optimum; best rules and their costs; published gaps in per cent of CDI, DI, SI, TBS and A3C.
_TABLE: dict[tuple[int, float], tuple[float, tuple[Any, ...], tuple[float, ...]]] = {
    (2, 105): (
        216.769802,
        ((4, 7, 2, 216.782407), (4, 7, 217.022059), (5, 6, 218.0), (4, 1, 216.903047)),
        (0.00, 0.11, 0.56, 0.06, 0.52),
    ),
    (2, 110): (
        219.733333,
        ((4, 8, 2, 219.799406), (4, 8, 220.125313), (6, 8, 222.0), (4, 1, 221.903047)),
        (0.03, 0.18, 1.03, 0.99, 0.80),
    ),
    (3, 105): (
        216.876720,
        ((4, 9, 1, 216.878307), (4, 8, 217.458184), (6, 7, 219.0), (4, 1, 216.903047)),
        (0.00, 0.27, 0.98, 0.01, 0.82),
    ),
    (3, 110): (
        220.341051,
        ((4, 10, 2, 220.465662), (4, 9, 221.135300), (8, 10, 225.0), (4, 1, 221.903047)),
        (0.06, 0.36, 2.11, 0.71, 0.51),
    ),
    (4, 105): (
        216.893051,
        ((4, 11, 1, 216.893094), (4, 8, 217.674414), (4, 4, 220.0), (4, 1, 216.903047)),
        (0.00, 0.36, 1.43, 0.00, 1.85),
    ),
    (4, 110): (
        220.612232,
        ((4, 11, 2, 220.863817), (4, 11, 221.685102), (7, 8, 226.0), (4, 1, 221.903047)),
        (0.11, 0.49, 2.44, 0.58, 1.33),
    ),
}  # fmt: skip
_RULES: tuple[tuple[str, Policy, tuple[str, ...]], ...] = (
    ("best capped dual index", CappedDualIndex(), ("expedited", "regular", "cap")),
    ("best dual index", DualIndex(), ("expedited", "regular")),
    ("best single index", SingleIndex(), ("expedited", "regular")),
    ("best tailored base-surge", TailoredBaseSurge(), ("expedited", "quantity")),
)


def dual_sourcing(regular_lead_time: int, expedited_cost: float) -> Instance:
    """A case of Gijsbrechts et al. (2022).

    Args:
      regular_lead_time: at least 1. expedited_cost: money per unit; the paper has l_r = 2, 3, 4 and c_e = 105, 110, for
        others nothing is known.

    Raises:
      InputError: a lead time below 1.
    """
    if regular_lead_time < 1:
        raise InputError(f"regular_lead_time = {regular_lead_time} must be at least 1, beyond the expedited one's 0")

    def make() -> Problem:
        network = multi_source(
            ("regular", "expedited"), lead_time=[regular_lead_time, 0], unit_cost=[100.0, expedited_cost],
            order_capacity=8.0, initial_pipeline=[2.0, 0.0], holding_cost=5.0, backlog_cost=495.0,
            timing="order_first", integer=True,
        )  # fmt: skip
        return Problem(network, Processes(demand=discrete_uniform(0, 4)), (Pmf(np.full(5, 0.2)),))

    known: list[Known] = []
    if (regular_lead_time, expedited_cost) in _TABLE:
        optimum, rules, gaps = _TABLE[regular_lead_time, expedited_cost]
        known.append(Known("optimum", optimum, "computed", "OWN", 5e-6, "value_iteration"))
        for (what, policy, names), (*numbers, cost), gap in zip(_RULES, rules, gaps[:-1], strict=True):
            rule = _rule(policy, dict(zip(names, numbers, strict=True)))
            note = f"published as a gap of {gap:.2f} %"
            known.append(Known(what, cost, "Gijsbrechts et al. 2022", "V", 5e-6, rule=rule, note=note))
        note = f"published as a gap of {gaps[-1]:.2f} %"
        a3c = optimum * (1 + gaps[-1] / 100)
        known.append(Known("A3C", a3c, "Gijsbrechts et al. 2022", "T", 5e-5 * optimum, note=note))
    return Instance(
        f"dual_sourcing/l{regular_lead_time}-ce{expedited_cost:g}",
        "dual_sourcing",
        f"dual sourcing, l_r = {regular_lead_time}, c_e = {expedited_cost:g}",
        "order_first",
        SOURCE,
        make,
        tuple(known),
    )


def _rule(policy: Policy, numbers: dict[str, float]) -> Callable[[], tuple[Any, Any]]:
    return lambda: (policy, {k: jnp.full((1, 1), v, jnp.float32) for k, v in numbers.items()})


INSTANCES: tuple[Instance, ...] = tuple(dual_sourcing(t, c) for t in LEAD_TIMES for c in COSTS)
