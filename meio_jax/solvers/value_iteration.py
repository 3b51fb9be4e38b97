"""Value iteration on a `Table`, in JAX and float64, with proven bounds.

E V(next state) of all orders at once is a product: next states split into coordinates that depend on the demand (Y of
their values occur) and the rest (R of them), and the law of the first is the same for many pairs of state and active
order (U groups of them). With the value function laid out as ``V [Y, R x n2]``, the passive orders last, one product
with ``P [U, Y]`` has every expectation that there is. P is dense or, where few of its entries are not 0, rows of
(index, probability).

Bounds on the gain: Odoni (1969), Operations Research 17(5); on discounted values: MacQueen (1966), JMAA 14(1).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import sparse

from meio_jax.errors import NumberError
from meio_jax.solvers.reachable import Table

__all__ = ["Iterated", "Product", "backward", "factorised", "iterate"]

#: Share of P that must not be 0 for a dense product.
DENSE = 0.04
#: Entries of the products of one sweep, beyond what the pairs of state and order need, that are worth their regularity.
WASTE = 4
#: Sweeps between two looks at the bounds.
SWEEPS = 4
#: Rows of P that are worked on together where it is sparse.
ROWS = 512


class Product(NamedTuple):
    """The operator of a table as arrays. S states, n1 and n2 combinations of orders, U, Y, R as above.

    law: ``[U, Y]``, or None; columns, chance: ``[U, K]`` the sparse form, or None.
    value: ``[Y, R * n2]`` indices of states, S where there is none.
    row: ``[S, n1]`` group times R plus rest.
    cost: ``[S, n1]``; extra: ``[n2]``; allowed: ``[S, n1, n2]`` or None.
    """

    law: Array | None
    columns: Array | None
    chance: Array | None
    value: Array
    row: Array
    cost: Array
    extra: Array
    allowed: Array | None

    def expected(self, v: Array) -> Array:
        """``[U * R, n2]`` E V(next state)."""
        laid = jnp.append(v, 0.0)[self.value]
        if self.law is not None:
            out = self.law @ laid
        else:
            out = _sparse_product(self.columns, self.chance, laid)
        return out.reshape(-1, self.extra.shape[0])

    def choices(self, v: Array, discount: Any) -> Array:
        """``[S, n1, n2]`` cost of the period plus discounted E V, infinite where not allowed."""
        q = discount * self.expected(v)[self.row] + (self.cost[:, :, None] + self.extra)
        return q if self.allowed is None else jnp.where(self.allowed, q, jnp.inf)

    def best(self, v: Array, discount: Any) -> Array:
        """``[S]``"""
        return self.choices(v, discount).min((1, 2))


def _sparse_product(index: Any, chance: Any, laid: Array) -> Array:
    """``[U, .]`` rows of (index, probability) times ``laid [Y, .]``, some rows at a time so that they stay in cache."""
    rows, width = index.shape
    blocks = -(-rows // ROWS)
    pad = ((0, blocks * ROWS - rows), (0, 0))
    index, chance = (jnp.pad(x, pad).reshape(blocks, ROWS, width) for x in (index, chance))

    def block(args: tuple[Array, Array]) -> Array:
        at, p = args

        def add(k: Any, total: Array) -> Array:
            return total + p[:, k, None] * laid[at[:, k]]

        return jax.lax.fori_loop(0, width, add, jnp.zeros((ROWS, laid.shape[1]), laid.dtype))

    return jax.lax.map(block, (index, chance)).reshape(blocks * ROWS, -1)[:rows]


@dataclasses.dataclass(frozen=True)
class Iterated:
    """What iteration found: values ``[S]``, the least and the greatest last change of them, sweeps."""

    values: np.ndarray
    low: float
    high: float
    sweeps: int


def factorised(table: Table, *, split: bool = True) -> Product:
    """The operator of a table. ``split=False`` takes every next state as a whole (R = 1): the general form."""
    n, n1, w = table.after.shape
    flat = table.after.reshape(n * n1, w)
    moving = np.zeros_like(flat)
    strides, sizes = table.box.strides, table.box.sizes
    if split:
        varies = []
        for stride, size in zip(strides, sizes, strict=True):
            part = flat // stride % size
            varies.append(bool((part != part[:, :1]).any()))
            if varies[-1]:
                moving += part * stride
    else:
        varies, moving = [True] * len(sizes), flat
    product = _assemble(table, flat, moving)
    if split and product is None:
        product = _assemble(table, flat, flat)
    assert product is not None
    return product


def _assemble(table: Table, flat: np.ndarray, moving: np.ndarray) -> Product | None:
    """The operator for a split of next cells into ``moving`` and the rest; None where its products would be a waste."""
    n, n1, w = table.after.shape
    weights = np.random.default_rng(0).integers(1, 2**63, w, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    marks = (moving.astype(np.uint64) * weights).sum(1, dtype=np.uint64)
    _, first, group = np.unique(marks, return_index=True, return_inverse=True)
    laws = moving[first]
    assert all(  # the hashes of different rows differ
        np.array_equal(laws[group[k : k + 65536]], moving[k : k + 65536]) for k in range(0, len(moving), 65536)
    )
    ys, at = np.unique(laws, return_inverse=True)
    rests, rest = np.unique(flat[:, 0] - moving[:, 0], return_inverse=True)
    if len(rests) > 1 and max(len(first), len(ys)) * len(rests) > WASTE * n * n1 + 10_000:
        return None
    p = np.broadcast_to(table.demand.probabilities, laws.shape)
    indptr = np.arange(0, laws.size + 1, w)
    law = sparse.csr_array((p.ravel().copy(), at.ravel(), indptr), shape=(len(first), len(ys)))
    law.sum_duplicates()
    cells = ys[:, None, None] + rests[None, :, None] + table.shift
    value = table.lookup(cells)
    value = np.where(value < 0, n, value).reshape(len(ys), -1).astype(np.int32)
    dense = law.nnz > DENSE * law.shape[0] * law.shape[1] and law.shape[0] * law.shape[1] < 2e7
    index, chance = (None, None) if dense else _padded(law)
    return Product(
        law=jnp.asarray(law.toarray()) if dense else None,
        columns=index,
        chance=chance,
        value=jnp.asarray(value),
        row=jnp.asarray((group * len(rests) + rest).reshape(n, n1).astype(np.int32)),
        cost=jnp.asarray(table.cost),
        extra=jnp.asarray(table.extra),
        allowed=None if table.allowed is None else jnp.asarray(table.allowed),
    )


def _padded(law: sparse.csr_array) -> tuple[Array, Array]:
    """Rows of (index, probability), all of one length."""
    count = np.diff(law.indptr)
    width = int(count.max())
    index, chance = np.zeros((law.shape[0], width), np.int32), np.zeros((law.shape[0], width))
    place = np.arange(width) < count[:, None]
    index[place], chance[place] = law.indices, law.data
    return jnp.asarray(index), jnp.asarray(chance)


@functools.partial(jax.jit, static_argnames=("average",))
def _run(
    product: Product, values: Array, discount: Array, stay: Array, width: Array, most: Array, *, average: bool
) -> tuple[Array, Array, Array, Array]:
    """Sweep until the changes of all values agree within ``width`` (relative to their size), at most ``most`` times."""

    def sweep(_: Any, loop: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        v, _, _ = loop
        change = product.best(v, discount) - v
        low, high = change.min(), change.max()
        v = v + stay * change
        return (v - v[0] if average else v), low, high

    def going(loop: tuple[Array, tuple[Array, Array, Array]]) -> Array:
        done, (_, low, high) = loop
        size = jnp.maximum(jnp.abs(low), jnp.abs(high))
        scale = size if average else jnp.maximum(size, jnp.abs(loop[1][0]).max() * (1 - discount) / discount)
        return (done < most) & ((done == 0) | ~(high - low <= width * scale))

    def step(loop: tuple[Array, tuple[Array, Array, Array]]) -> tuple[Array, tuple[Array, Array, Array]]:
        done, inner = loop
        return done + SWEEPS, jax.lax.fori_loop(0, SWEEPS, sweep, inner)

    begun = (jnp.zeros((), jnp.int32), (values, -jnp.inf * jnp.ones(()), jnp.inf * jnp.ones(())))
    done, (v, low, high) = jax.lax.while_loop(going, step, begun)
    return v, low, high, done


def iterate(product: Product, values: np.ndarray, *, discount: float, average: bool, tolerance: float) -> Iterated:
    """Value iteration from given values ``[S]`` until the bounds are ``tolerance`` apart, relative to the cost.

    Where the changes do not come together because the chain is periodic, iteration goes on with a chain that stays
    where it is with some probability: the same policies, the same bounds (Schweitzer 1971, JMAA 34(3)).

    Raises:
      NumberError: the bounds do not come together.
    """
    total, gap, stay, low, high = 0, np.inf, 1.0, -np.inf, np.inf
    v = jnp.asarray(values)
    for _ in range(40):
        v, least, most, done = _run(
            product, v, jnp.asarray(discount), jnp.asarray(stay), jnp.asarray(tolerance), jnp.asarray(200),
            average=average,
        )  # fmt: skip
        total += int(done)
        low, high = float(least), float(most)
        if int(done) < 200 or high - low <= tolerance * max(abs(low), abs(high)):
            return Iterated(np.asarray(v), low, high, total)
        if average and high - low > 0.5 * gap:
            stay = 0.8
        gap = high - low
    raise NumberError(
        f"value iteration: the bounds [{low:g}, {high:g}] are still apart after {total} sweeps; allow a wider tolerance"
    )


@functools.partial(jax.jit, static_argnames=("periods", "keep"))
def backward(product: Product, discount: Array, *, periods: int, keep: bool) -> tuple[Array, Array | None]:
    """The finite-horizon program: values ``[S]`` at time 0, and with ``keep`` the best choices ``[T, S]`` in order of
    time.
    """

    def step(v: Array, _: None) -> tuple[Array, Array | None]:
        q = product.choices(v, discount).reshape(v.shape[0], -1)
        return q.min(1), (q.argmin(1).astype(jnp.int32) if keep else None)

    v, choice = jax.lax.scan(step, jnp.zeros_like(product.cost[:, 0]), None, length=periods)
    return v, None if choice is None else choice[::-1]
