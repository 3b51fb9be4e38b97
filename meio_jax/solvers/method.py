"""What a method is: a name under which ``meio solve`` finds a solver, and what it asks of a problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from meio_jax.errors import UnsuitableError
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.solution import Solution

__all__ = ["Method"]


@dataclasses.dataclass(frozen=True)
class Method:
    """A solver behind one signature. Each solver module has a tuple ``METHODS`` of these; `meio_jax.solvers.methods`
    collects them.

    Attributes:
      name: lower case with underscores.
      title: one line for a list.
      claim: what its solutions claim at best, see `meio_jax.solvers.solution.CLAIMS`.
      solve: ``problem -> Solution``; raises what its solver raises.
      unfit: ``problem -> reason`` why it cannot treat the problem, naming a method that can where there is one; None:
        it can. Cheap: it reads shapes and numbers and solves nothing.
      effort: 0 milliseconds, 1 seconds, 2 minutes; "auto" takes the strongest claim first, then the least effort.
    """

    name: str
    title: str
    claim: str
    solve: Callable[[Problem], Solution]
    unfit: Callable[[Problem], str | None]
    effort: int = 0

    def __call__(self, problem: Problem) -> Solution:
        """Solve, or refuse. Raises `UnsuitableError` with the reason."""
        reason = self.unfit(problem)
        if reason is not None:
            raise UnsuitableError(f"{self.name} cannot treat this problem: {reason}")
        return self.solve(problem)
