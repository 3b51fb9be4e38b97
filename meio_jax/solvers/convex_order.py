"""Lattice laws on either side of a normal law in the convex order: how a computation on a lattice becomes a proof.

X is below Y in the convex order where E f(X) <= E f(Y) for every convex f. Optimal costs of serial and distribution
systems with backorders are built from demand by expectations of convex functions and by minimisation over convex sets,
so they grow with demand in this order: a law below gives a lower bound of the optimum, a law above an upper bound.

To split each value of X between its two neighbours on a lattice of step d, keeping its mean, moves X up in the order.
That is the law above. The split adds a noise on {-a, d - a} with mean 0, whose stop-loss E(noise - x)+ is at most
p q d - p x with p = a / d, q = 1 - p; that of N(0, t^2) is at least its tangent t phi(z) - p x of the same slope, z
the p-quantile. As phi(z) >= p q sqrt(8 / pi), the noise lies below N(0, t^2) with t^2 = pi d^2 / 8. So N(m, s^2 - t^2),
split, lies below N(m, s^2) = N(m, s^2 - t^2) + N(0, t^2). That is the law below.

Shaked and Shanthikumar, Stochastic Orders (2007), section 3.A, https://doi.org/10.1007/978-0-387-34675-5.
"""

from __future__ import annotations

import math

import numpy as np

from meio_jax.errors import ParameterError
from meio_jax.solvers.laws import REACH, Normal, Pmf

__all__ = ["above", "below"]


def above(law: Normal, step: float) -> Pmf:
    """A law on a lattice of this step with the same mean, above ``law`` in the convex order."""
    if not law.sd:
        return Pmf(np.ones(1), law.mean, step)
    reach = math.ceil(REACH * law.sd / step)
    # The integral of each hat function: by quadrature of the density, so that tails are right to the last digits.
    nodes, weights = np.polynomial.legendre.leggauss(8)
    nodes, weights = (1 + nodes) / 2, weights / 2 * (1 - nodes) / 2
    offsets = np.concatenate([-nodes, nodes])
    z = (np.arange(-reach, reach + 1)[:, None] + offsets) * (step / law.sd)
    p = np.exp(-0.5 * z * z) @ np.concatenate([weights, weights])
    return Pmf(p / p.sum(), law.mean - reach * step, step)


def below(law: Normal, step: float) -> Pmf:
    """The same below ``law`` in the convex order.

    Raises:
      ParameterError: the step exceeds 1.5 standard deviations.
    """
    if not law.sd:
        return Pmf(np.ones(1), law.mean, step)
    variance = law.sd**2 - math.pi / 8 * step**2
    if step > 1.5 * law.sd:
        raise ParameterError(f"a lattice of step {step:g} is too coarse for a standard deviation of {law.sd:g}")
    return above(Normal(law.mean, math.sqrt(variance)), step)
