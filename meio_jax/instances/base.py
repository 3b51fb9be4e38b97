"""What an instance of the literature is: a problem, where it is from, and the values that are known for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any

from meio_jax.solvers.problem import Problem

__all__ = ["Instance", "Known"]


@dataclasses.dataclass(frozen=True)
class Known:
    """A value of the literature, or one computed apart from this package, and what of ours should equal it.

    Attributes:
      what: "optimum", or what has this cost: "best base-stock", "capped base-stock", "Federgruen-Zipkin bound", ...
      cost: money, by the problem's criterion (a published profit is a negative cost).
      source: author and year; "computed" where nobody printed it.
      status: "V" published and reproduced by an independent computation, "OWN" computed independently and not
        published, "T" published and not recomputed.
      precision: half a unit of the last digit that was printed.
      method: the name of our method that gives this value (`meio_jax.solvers.methods`); None where a rule does.
      rule: ``() -> (policy, theta)`` that has this cost; None where a method gives it.
      compute: ``() -> cost`` by a solver that is given more than a `Problem` says; None where a method or a rule does.
      note: what a reader must know to compare, such as a start state that was never printed.
    """

    what: str
    cost: float
    source: str
    status: str = "V"
    precision: float = 0.0
    method: str | None = None
    rule: Callable[[], tuple[Any, Any]] | None = None
    compute: Callable[[], float] | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Instance:
    """An instance. Making one is cheap: the network is built when ``problem`` is first read.

    Attributes:
      id: ``family/case``, what the command line takes.
      family: the table or paper that it is a row of.
      title: one line.
      timing: the event order, as in `Network`.
      source: citation with a DOI or an arXiv number.
      known: values, the optimum first where it is known.
      make: builds the problem.
    """

    id: str
    family: str
    title: str
    timing: str
    source: str
    make: Callable[[], Problem]
    known: tuple[Known, ...] = ()

    @cached_property
    def problem(self) -> Problem:
        return self.make()

    @property
    def known_optimum(self) -> float | None:
        """The optimal cost, where it is known."""
        return next((k.cost for k in self.known if k.what == "optimum"), None)
