"""Laws of demand from demand processes: what the simulator draws, in float64, for solvers that need the distribution.

Only demand that is independent from period to period and from customer to customer has a law here; `laws_of` says why
another has none. Where the network counts whole units (``integer``), the law is that of the rounded demand.
"""

from __future__ import annotations

import functools
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import stats

from meio_jax.errors import UnsuitableError
from meio_jax.processes import Process
from meio_jax.solvers.laws import TAIL, Law, Normal, Pmf, Poisson, as_law, clipped_normal, discretised

__all__ = ["laws_of"]

#: From so many standard deviations above 0 on, a normal demand that is cut off at 0 is taken as uncut: the cut adds
#: less than 1e-7 standard deviations to its mean.
FAR = 5.0
#: Points that a table may have.
_LONGEST = 2_000_000


class _NoLaw(Exception):
    """A row has no law; the message says why."""


def laws_of(process: Process, *, whole: bool = False) -> tuple[tuple[Law, ...], str]:
    """Laws ``[C]`` of one period's demand of each row, and "": or no laws, and why there are none.

    Parameters are taken as the decimal numbers that were written, which the simulator holds rounded to its precision.

    Args:
      process: a demand process.
      whole: the network counts whole units and rounds demand, halves up.

    Raises:
      UnsuitableError: a parameter differs between lanes.
    """
    try:
        return tuple(_rows(process, whole)), ""
    except _NoLaw as reason:
        return (), str(reason)


def _rows(process: Process, whole: bool) -> list[Law]:
    if process.kind == "mixed":
        rows: dict[int, Law] = {}
        for part, served in zip(process.parts, process.served, strict=True):  # type: ignore[attr-defined]
            rows |= dict(zip(served, _rows(part, whole), strict=True))
        return [rows[k] for k in sorted(rows)]
    if process.kind == "correlated":
        factor = np.asarray(process.factor)  # type: ignore[attr-defined]
        if np.any(factor[~np.eye(len(factor), dtype=bool)]):
            raise _NoLaw("the demands of different customers are correlated")
        return _rows(process.base, whole)  # type: ignore[attr-defined]
    if process.kind == "intermittent":
        sizes = _rows(process.size, whole=False)  # type: ignore[attr-defined]
        chance, shift = _numbers(process, "probability"), _numbers(process, "shift")
        return [_sometimes(*row, whole) for row in zip(sizes, chance, shift, strict=True)]
    make = _LAWS.get(process.kind)
    if make is None:
        raise _NoLaw(f"{process.kind!r} demand depends on the past, on time or on other customers")
    names, law, *switches = make
    columns = [_numbers(process, name) for name in names]
    rounded = whole or any(getattr(process, name) for name in switches)
    return [law(*row, rounded) for row in zip(*columns, strict=True)]


def _numbers(process: Process, name: str) -> list[Any]:
    """A parameter's number for each row, or its list of numbers for each row where it has several."""
    leaf = np.asarray(getattr(process, name))
    if leaf.shape[-1] > 1:
        raise UnsuitableError(
            f"{process.kind}: {name} differs between lanes, and a law is of one system; give a system with one number "
            "for each customer"
        )
    rows = np.moveaxis(leaf[..., 0], -1, 0)
    # The shortest decimal that reads back as the same float32 is what a user wrote: 0.1, not 0.10000000149.
    return np.reshape([float(str(x)) for x in rows.ravel()], rows.shape).tolist()


def _certain(value: float, whole: bool) -> Law:
    return Pmf(np.ones(1), math.floor(value + 0.5) if whole else value)


def _poisson(mean: float, whole: bool) -> Law:
    return Poisson(mean)


def _normal(mean: float, sd: float, whole: bool) -> Law:
    if sd == 0:
        return _certain(mean, whole)
    if whole:
        return _rounded(stats.norm(mean, sd))
    return Normal(mean, sd) if mean >= FAR * sd else clipped_normal(mean, sd)


def _gamma(mean: float, cv: float, whole: bool) -> Law:
    dist = stats.gamma(1 / cv**2, scale=mean * cv**2)
    return _rounded(dist) if whole else discretised(dist)


def _rounded(dist: Any) -> Law:
    """max(0, floor(X + 1/2)) of a continuous law."""
    low = max(0, math.floor(dist.ppf(TAIL) + 0.5))
    high = max(low, math.ceil(dist.isf(TAIL) + 0.5))
    if high - low > _LONGEST:
        raise _NoLaw(f"the demand spreads over {high - low} whole numbers")
    edges = np.arange(low, high + 1) + 0.5
    # Differences from the nearer end keep both tails exact.
    below, above = dist.cdf(edges), dist.sf(edges)
    p = np.where(below[1:] < 0.5, below[1:] - below[:-1], above[:-1] - above[1:])
    return Pmf(np.maximum(np.append(below[0], p), 0.0), float(low))


def _geometric(mean: float, whole: bool) -> Law:
    return as_law(stats.geom(1 / (1 + mean), loc=-1))


def _negative_binomial(mean: float, dispersion: float, whole: bool) -> Law:
    if dispersion == 0 or mean == 0:
        return Poisson(mean)
    return as_law(stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)))


def _uniform(low: float, high: float, whole: bool) -> Law:
    return Pmf(np.full(round(high - low) + 1, 1 / (high - low + 1)), low)


def _empirical(values: list[float], probabilities: list[float], whole: bool) -> Law:
    """On the coarsest lattice that holds all values which occur."""
    kept = [(math.floor(v + 0.5) if whole else v, p) for v, p in zip(values, probabilities, strict=True) if p > 0]
    points = sorted({Fraction(str(v)) for v, _ in kept})
    gaps = [b - a for a, b in itertools.pairwise(points)]
    step = functools.reduce(_common, gaps, Fraction(0)) or Fraction(1)
    count = int((points[-1] - points[0]) / step) + 1
    if count > _LONGEST:
        raise _NoLaw(f"the values of the demand lie on no lattice with fewer than {_LONGEST} points")
    p = np.zeros(count)
    for value, share in kept:
        p[int((Fraction(str(value)) - points[0]) / step)] += share
    return Pmf(p / p.sum(), float(points[0]), float(step))


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The greatest number of which both are whole multiples."""
    return Fraction(math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _sometimes(size: Law, chance: float, shift: float, whole: bool) -> Law:
    """``shift + size`` with this chance, else 0."""
    first, p = size.lattice(size.step) if size.step is not None else (0.0, np.zeros(0))
    first += shift
    if not p.size or size.step != 1 or first != round(first):
        raise _NoLaw("the size of intermittent demand is not in whole units")
    out = np.zeros(round(first) + p.size)
    out[round(first) :] = chance * p
    out[0] += 1 - chance
    return Pmf(out)


#: Kind: names of the parameters, the law of a row, and the switch that rounds it.
_LAWS: dict[str, tuple[Any, ...]] = {
    "deterministic": (("value",), _certain),
    "poisson": (("mean",), _poisson),
    "normal": (("mean", "sd"), _normal, "rounded"),
    "gamma": (("mean", "cv"), _gamma, "rounded"),
    "geometric": (("mean",), _geometric),
    "negative_binomial": (("mean", "dispersion"), _negative_binomial),
    "discrete_uniform": (("low", "high"), _uniform),
    "empirical": (("values", "probabilities"), _empirical),
}
