"""What is read off a period: its costs and movements, an indicator over the recent past, the lack of a share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.kpis import Books, Standards, checked, kpi_named
from meio_jax.kpis.wide import PeriodMeasures
from meio_jax.network import Network
from meio_jax.rewards.base import Played, column, some_period
from meio_jax.rewards.terms import term_names, terms_at_nodes
from meio_jax.struct import pytree, static

__all__ = ["Gap", "Running", "RunningCarry", "Term", "gap", "running"]


@pytree
class Term:
    """A term of `meio_jax.rewards.reward` in this period, of the whole or by node. It remembers nothing.

    Raises:
      UnknownNameError: there is no such term or grouping.
    """

    name: str = static()
    by: str = static(default="total")

    def __post_init__(self) -> None:
        if self.name not in term_names():
            raise UnknownNameError(f"reward term {self.name!r} is not one of {', '.join(term_names())}")
        if self.by not in ("total", "node"):
            raise UnknownNameError(f"by={self.by!r} is not one of total, node")

    @property
    def better(self) -> str:
        return "low"  # what counts in favour is negative already

    def init(self, network: Network, lanes: int) -> None:
        """Nothing is remembered."""

    def apply(self, carry: None, network: Network, played: Played) -> tuple[Array, None]:
        at_nodes = terms_at_nodes([self.name], network, played.flows)[self.name]
        return (at_nodes if self.by == "node" else at_nodes.sum(0, keepdims=True)), None


class RunningCarry(NamedTuple):
    """The sums of the past that the indicator needs, by name of `WideTally`'s fields, and the periods so far."""

    sums: dict[str, Any]
    t: Array


@pytree
class Running:
    """An indicator of `meio_jax.kpis.KPIS` over the recent past: of sums in which the past fades by ``decay``.

    Each past period counts ``decay`` times as much as the one after it: about the last 1 / (1 - decay) periods. 0: this
    period alone; 1: all since the start. With ``every`` the sums begin anew after so many periods: the week so far.
    Counts (of stockouts, cycles) have no gradient; shares of units, waits, money and variances have one.

    Raises:
      UnknownNameError: there is no such indicator, or not for this grouping.
      InputError: ``every`` is below 1.
    """

    kpi: str = static()
    by: str = static(default="total")
    every: int | None = static(default=None)
    decay: Array | float = 0.95
    standards: Standards | None = None

    def __post_init__(self) -> None:
        kpi_named(self.kpi, self.by)
        if self.every is not None and self.every < 1:
            raise InputError(f"every = {self.every} must be at least 1 period")

    @property
    def better(self) -> str:
        return kpi_named(self.kpi, self.by).better

    def init(self, network: Network, lanes: int) -> RunningCarry:
        """Sums of nothing, of those measures that the indicator reads."""
        used: dict[str, Any] = {}

        def look() -> dict[str, Any]:
            self._value(network, _Recorder(PeriodMeasures(network, some_period(network, lanes).flows), used))
            return used

        sums = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(look))
        return RunningCarry(sums, jnp.zeros((), jnp.int32))

    def apply(self, carry: RunningCarry, network: Network, played: Played) -> tuple[Array, RunningCarry]:
        found = PeriodMeasures(network, played.flows)
        anew = False if self.every is None else carry.t % self.every == 0

        def add(old: Array, new: Array) -> Array:
            return new + jnp.where(anew, 0.0, column(self.decay, new) * old)

        sums = {name: jax.tree.map(add, old, getattr(found, name)) for name, old in carry.sums.items()}
        return self._value(network, SimpleNamespace(**sums)), RunningCarry(sums, carry.t + 1)

    def _value(self, network: Network, sums: Any) -> Array:
        return kpi_named(self.kpi, self.by).of(Books(network, sums, self.by, self.standards))


class _Recorder:
    """Measures of a period that keep, by name, those that are read."""

    def __init__(self, measures: PeriodMeasures, used: dict[str, Any]) -> None:
        self._measures, self._used = measures, used

    def __getattr__(self, name: str) -> Any:
        return self._used.setdefault(name, getattr(self._measures, name))


def running(
    kpi: str,
    *,
    by: str = "total",
    decay: Array | float = 0.95,
    every: int | None = None,
    standards: Standards | None = None,
) -> Running:
    """`Running` of checked numbers.

    Raises:
      NumberError: ``decay`` is outside [0, 1].
    """
    return Running(kpi, by, every, checked("decay", decay, 0.0, 1.0), standards)


@pytree
class Gap:
    """How far a share of good events is below its target in this period, in events: ``target x events - good ones``.

    Its mean is 0 where the share of the long run is the target. It is negative above and remembers nothing, so unlike a
    running share it adds up: the constraint ``mean gap <= 0`` is exactly ``share >= target`` (`Lagrangian`).

    size: what it is divided by, to be free of units.

    Raises:
      UnknownNameError: the indicator is no share, or there is none of that name for this grouping.
    """

    kpi: str = static()
    target: Array | float
    by: str = static(default="total")
    size: Array | float = 1.0

    def __post_init__(self) -> None:
        if kpi_named(self.kpi, self.by).share is None:
            raise UnknownNameError(f"indicator {self.kpi!r} is no share of good events, which a gap needs")

    @property
    def better(self) -> str:
        return "low"

    def init(self, network: Network, lanes: int) -> None:
        """Nothing is remembered."""

    def apply(self, carry: None, network: Network, played: Played) -> tuple[Array, None]:
        share = kpi_named(self.kpi, self.by).share
        assert share is not None
        books = Books(network, PeriodMeasures(network, played.flows), self.by)
        good, events = (of(books) for of in share)
        return (column(self.target, good) * events - good) / column(self.size, good), None


def gap(kpi: str, target: Array | float, *, by: str = "total", size: Array | float = 1.0) -> Gap:
    """`Gap` of checked numbers.

    Raises:
      NumberError: the target is outside [0, 1], or the size is not positive.
    """
    return Gap(kpi, checked(f"target of {kpi}", target, 0.0, 1.0), by, checked("size", size, 1e-30))
