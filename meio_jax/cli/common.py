"""What the commands share: results, options that are out of range, policies by name, the compilation cache."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "POLICIES",
    "Result",
    "UsageError",
    "keep_compiled",
    "make_policy",
    "named",
    "one_line",
    "plain_numbers",
    "positive",
    "report_memory",
    "say",
    "start_theta",
]

#: Policies by name: what each does. The classes are in `make_policy`.
POLICIES: dict[str, str] = {
    "base_stock": "order up to a level (installation positions)",
    "echelon_base_stock": "order up to a level of echelon stock",
    "capped_base_stock": "order up to a level, at most a cap at once",
    "s_S": "at or below s order up to S (installation positions)",
    "echelon_s_S": "at or below s order up to S (echelon positions)",
    "r_nQ": "at or below r order whole lots of Q (installation positions)",
    "echelon_r_nQ": "at or below r order whole lots of Q (echelon positions)",
    "constant_order": "the same order in every period",
    "forecast": "order up to a level that follows the smoothed demand",
}


class UsageError(ValueError):
    """An option that cannot be: exit code 2."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command found: ``data`` for ``--json``, ``text`` for people, the exit code."""

    data: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    text: str
    code: int = 0


def one_line(text: str) -> str:
    """A message in one line without control characters."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()


def say(*words: object) -> None:
    """A remark, to standard error."""
    print(*words, file=sys.stderr, flush=True)


def positive(least: int = 1, most: int = 10**9, **options: int) -> None:
    """Refuse whole numbers out of range. Raises `UsageError`."""
    for name, value in options.items():
        if not least <= value <= most:
            raise UsageError(f"--{name.replace('_', '-')} {value}: give a whole number from {least} to {most:,}")


def named(option: str, name: str, known: Sequence[str]) -> str:
    """The name if it is known. Raises `UsageError` with the nearest one."""
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    raise UsageError(f"{option} {name}: is not known; {hint}")


def keep_compiled() -> None:
    """Keep compiled programs between runs, in the user's cache folder unless the environment names one.

    ``MEIO_CACHE_DIR`` or JAX's own ``JAX_COMPILATION_CACHE_DIR`` say where; an empty one switches it off.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = os.environ.get("MEIO_CACHE_DIR", str(base / "meio_jax" / "xla"))
    if not folder:
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # it only saves time
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def make_policy(name: str) -> Any:
    """The policy of a name in `POLICIES`."""
    from meio_jax.policies import (
        BaseStock,
        CappedBaseStock,
        ConstantOrder,
        ForecastOrderUpTo,
        ReorderLots,
        ReorderUpTo,
    )

    made: dict[str, Callable[[], Any]] = {
        "base_stock": BaseStock,
        "echelon_base_stock": lambda: BaseStock(echelon=True),
        "capped_base_stock": CappedBaseStock,
        "s_S": ReorderUpTo,
        "echelon_s_S": lambda: ReorderUpTo(echelon=True),
        "r_nQ": ReorderLots,
        "echelon_r_nQ": lambda: ReorderLots(echelon=True),
        "constant_order": ConstantOrder,
        "forecast": ForecastOrderUpTo,
    }
    return made[name]()


def start_theta(policy: Any, system: Any) -> dict[str, Any]:
    """First numbers of a policy for a system, one for all lanes: from the mean and the deviation of its demand."""
    import jax
    import jax.numpy as jnp

    from meio_jax.processes import draw, mean_demand, sd_demand

    mean, sd = mean_demand(system.processes), sd_demand(system.processes)
    if mean is None or sd is None:
        demand = draw(system.processes, jax.random.key(0), 200, 32).shocks.demand
        mean, sd = demand.mean((0, 2))[:, None], demand.std((0, 2))[:, None]
    theta = policy.start(system.network, mean, sd)
    return jax.tree.map(lambda x: jnp.asarray(x).mean(-1, keepdims=True), theta)


def report_memory(system: Any) -> int:
    """How old a report can get that is still remembered, see `meio_jax.processes.reporting.oldest_report`."""
    from meio_jax.processes.reporting import oldest_report

    return oldest_report(system.processes.reporting)


def plain_numbers(theta: Any) -> Any:
    """Arrays as lists of the shortest numbers that read back as the same, an axis of one lane dropped."""
    import jax
    import numpy as np

    def one(x: Any) -> Any:
        x = np.asarray(x)
        x = x[..., 0] if x.ndim and x.shape[-1] == 1 else x
        return np.reshape([float(str(v)) for v in x.ravel()], x.shape).tolist()

    return jax.tree.map(one, theta)
