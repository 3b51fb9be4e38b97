"""Demand of customers that moves together, whatever its distributions: a Gaussian copula."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from meio_jax.errors import InputError, ParameterError
from meio_jax.processes.base import Parameter, Process, as_process
from meio_jax.processes.counts import poisson
from meio_jax.processes.inverse import word_of_normal
from meio_jax.processes.normal import normal
from meio_jax.struct import pytree

__all__ = ["Correlated", "correlated"]


@pytree
class Correlated(Process):
    """The base process with its rows coupled: normals with the given correlations stand in for independent words."""

    base: Process
    factor: Array  # [K, K, 1|B], lower triangle: factor factor' is the matrix of correlations

    role = "demand"
    kind = "correlated"
    parameters: ClassVar = {
        "base": Parameter("demand process that is an inverse of its distribution", form="process"),
        "correlation": Parameter("of the normals behind: a number, or a matrix", low=-1.0, high=1.0, form="matrix"),
    }  # fmt: skip

    @classmethod
    def examples(cls) -> tuple[Process, ...]:
        matrix = [[1, 0.8, 0], [0.8, 1, -0.3], [0, -0.3, 1]]
        return correlated(normal([5.0, 9.0, 2.0], 1.0), 0.5), correlated(poisson([5.0, 30.0, 0.5]), matrix)

    @property
    def rows(self) -> int:
        return self.base.rows

    @property
    def memoryless(self) -> bool:
        return True

    @property
    def correlation(self) -> Array:
        """``[K, K, 1|B]`` correlations of the underlying normals."""
        return jnp.einsum("ijb,kjb->ikb", self.factor, self.factor)

    def init(self, key: Array, lanes: int) -> Any:
        return self.base.init(key, lanes)

    def sample(self, key: Array, carry: Any, t: Array, lanes: int) -> tuple[Array, Any]:
        noise = jax.random.normal(key, (self.rows, lanes), self.factor.dtype)
        # Without the barriers the compiler draws the noise anew for every pair of rows.
        z = (self.factor * lax.optimization_barrier(noise)[None]).sum(1)
        return self.base.invert(carry, lax.optimization_barrier(word_of_normal(z)), t), carry

    def long_run_mean(self) -> Array | None:
        return self.base.long_run_mean()

    def long_run_sd(self) -> Array | None:
        return self.base.long_run_sd()


def correlated(base: Process, correlation: Any) -> Correlated:
    """Couple the rows of a process by a Gaussian copula; every row keeps its exact distribution.

    Args:
      base: a demand process that inverts its distribution: all independent ones except unrounded `gamma`, and
        `seasonal`, `cyclic`, `intermittent`, `mixed` made of such.
      correlation: of the normals behind the demands, one number for every pair or a matrix ``[K, K]``. The
        correlation of the demands themselves is somewhat nearer to 0.

    Raises:
      ParameterError: the matrix is not symmetric, has no unit diagonal, or is not positive semidefinite.
      InputError: ``base`` is no demand process or does not invert its distribution.
    """
    base = as_process("correlated", "base", base, "demand")
    if not base.invertible:
        raise InputError(
            f"correlated: {base.kind!r} does not invert its distribution (it has a memory, or is unrounded gamma)"
        )
    k = base.rows
    try:
        matrix = np.array(correlation, dtype=float)
    except (TypeError, ValueError) as error:
        raise ParameterError("correlated: correlation must be a number or a square matrix of numbers") from error
    if matrix.ndim == 0:
        matrix = np.where(np.eye(k, dtype=bool), 1.0, matrix)
    if matrix.shape != (k, k):
        raise ParameterError(f"correlated: correlation has shape {matrix.shape}, expected ({k}, {k})")
    if (bad := ~Correlated.parameters["correlation"].allows(matrix)).any():
        i, j = (int(x[0]) for x in np.nonzero(bad))
        raise ParameterError(f"correlated: correlation[{i}][{j}] = {matrix[i, j]:g} is not in [-1, 1]")
    if not (np.allclose(matrix, matrix.T, atol=1e-9) and np.allclose(np.diag(matrix), 1.0, atol=1e-9)):
        raise ParameterError("correlated: correlation must be symmetric with ones on its diagonal")
    eigenvalues, vectors = np.linalg.eigh(matrix)
    if eigenvalues[0] < -1e-6:
        raise ParameterError(
            f"correlated: correlation has the eigenvalue {eigenvalues[0]:g}; no demands are correlated like this"
        )
    # Through QR, because a singular matrix (perfect correlation) has no plain Cholesky factor.
    root = np.linalg.qr((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))).T)[1].T
    return Correlated(base, jnp.asarray(root[..., None], dtype=float))
