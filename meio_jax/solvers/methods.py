"""All methods by name, and the one call that solves a problem with one of them.

A module of this folder that has a tuple ``METHODS`` of `Method` is found here; modules are imported when the first
method is asked for.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from meio_jax.errors import DuplicateNameError, NumberError, UnknownNameError, UnsuitableError
from meio_jax.solvers.method import Method
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import CLAIMS, Solution

__all__ = ["AUTO", "fitting", "method_named", "methods", "solve", "solve_by_name"]

#: The name under which `solve` chooses for itself.
AUTO = "auto"


@functools.cache
def methods() -> Mapping[str, Method]:
    """Every method by its name, in the order in which "auto" prefers them: by claim, then by effort, then by name.

    Raises:
      DuplicateNameError: two modules give one name.
    """
    found: dict[str, Method] = {}
    package = __name__.rpartition(".")[0]
    for info in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if f"{package}.{info.name}" == __name__:
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        for method in getattr(module, "METHODS", ()):
            if not isinstance(method, Method):
                continue
            if method.name in found or method.name == AUTO:
                raise DuplicateNameError(f"{info.name}.METHODS: the name {method.name!r} is taken")
            found[method.name] = method
    return {m.name: m for m in sorted(found.values(), key=lambda m: (CLAIMS.index(m.claim), m.effort, m.name))}


def method_named(name: str) -> Method:
    """The method of this name.

    Raises:
      UnknownNameError: there is none; names the nearest.
    """
    known = methods()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {AUTO}, {', '.join(known)}"
        raise UnknownNameError(f"there is no method {name!r}; {hint}")
    return known[name]


def fitting(problem: Problem) -> tuple[list[Method], dict[str, str]]:
    """The methods that say they can treat a problem, the preferred one first, and why each of the others cannot."""
    reasons = {name: _unfit(method, problem) for name, method in methods().items()}
    return [methods()[k] for k, why in reasons.items() if why is None], {
        k: why for k, why in reasons.items() if why is not None
    }


def _unfit(method: Method, problem: Problem) -> str | None:
    try:
        return method.unfit(problem)
    except UnsuitableError as reason:  # found out while looking
        return str(reason)


def solve(problem: Problem, method: str = AUTO) -> Solution:
    """Solve a problem.

    Args:
      problem: what is asked.
      method: a name of `methods`. "auto": the strongest claim that fits (optimal before exact before approximate before
        bound), the least effort among equals; where that one finds only while solving that the problem is too large
        or otherwise not for it, or does not converge, the next.

    Raises:
      UnknownNameError: there is no such method; names the nearest.
      UnsuitableError: the method cannot treat the problem, and why; with "auto": none can, with the reason of each, a
        line a reason.
      InputError: whatever else the method raises.
    """
    return solve_by_name(problem, method)[1]


def solve_by_name(problem: Problem, method: str = AUTO) -> tuple[str, Solution]:
    """`solve`, with the name of the method that did it."""
    if method != AUTO:
        return method, method_named(method)(problem)
    fit, reasons = fitting(problem)
    for candidate in fit:
        try:
            return candidate.name, candidate.solve(problem)
        except (UnsuitableError, NumberError) as reason:  # such as an iteration that does not converge
            reasons[candidate.name] = str(reason)
    raise UnsuitableError(_refusal(problem, reasons))


def _refusal(problem: Problem, reasons: Mapping[str, str]) -> str:
    """All reasons, methods with the same one together."""
    lines = ["no method can treat this problem:"]
    for reason in dict.fromkeys(reasons.values()):
        names = ", ".join(name for name, why in reasons.items() if why == reason)
        lines.append(f"- {names}: {reason}")
    if problem.no_laws:
        lines.append(f"(there is no law of its demand: {problem.no_laws})")
    return "\n".join(lines)
