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
from meio_jax.solvers.markov import Chain
from meio_jax.solvers.reachable import Table

__all__ = ["Iterated", "Product", "Split", "backward", "iterate", "split"]

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


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Next states taken apart: the law of what demand moves, and the rest.

    law: ``[U, Y]``; group, rest: ``[S, n1]`` the row of the law and the rest (of R) of each pair of state and active
    order; value: ``[Y, R, n2]`` indices of states, S where there is none.
    """

    table: Table
    law: sparse.csr_array
    group: np.ndarray
    rest: np.ndarray
    value: np.ndarray

    def product(self) -> Product:
        """As arrays of JAX."""
        law, table, rests = self.law, self.table, self.value.shape[1]
        size = law.shape[0] * law.shape[1]
        dense = law.nnz > DENSE * size and size < 2e7
        columns, chance = (None, None) if dense else _padded(law)
        return Product(
            law=jnp.asarray(law.toarray()) if dense else None,
            columns=columns,
            chance=chance,
            value=jnp.asarray(self.value.reshape(len(self.value), -1)),
            row=jnp.asarray((self.group * rests + self.rest).astype(np.int32)),
            cost=jnp.asarray(table.cost),
            extra=jnp.asarray(table.extra),
            allowed=None if table.allowed is None else jnp.asarray(table.allowed),
        )

    def chain(self, choice: np.ndarray, start: np.ndarray) -> Chain:
        """The Markov chain of a choice ``[S]`` of orders, from a law ``[S]`` of the state of time 0."""
        table = self.table
        one, two = np.divmod(choice, len(table.passive))
        at = np.arange(table.states)
        law = self.law[self.group[at, one]]
        many = np.diff(law.indptr)
        after = self.value[law.indices, np.repeat(self.rest[at, one], many), np.repeat(two, many)]
        if after.max() >= table.states:
            raise AssertionError("a choice that is not allowed leads out of the table")
        law = sparse.csr_array((law.data, after, law.indptr), shape=(table.states, table.states))
        return Chain(law, table.cost[at, one] + table.extra[two], start)


def split(table: Table, *, apart: bool = True) -> Split:
    """A table's next states taken apart; ``apart=False`` takes each as a whole (R = 1): the general form."""
    n, n1, w = table.after.shape
    flat = table.after.reshape(n * n1, w)
    still = np.zeros(n * n1, flat.dtype)
    if apart:  # the part of a cell that no demand moves
        for stride, size in zip(table.box.strides[~table.moved], table.box.sizes[~table.moved], strict=True):
            still += (flat[:, 0] // stride % size * stride).astype(flat.dtype)
    return _split(table, flat, still) or _split(table, flat, np.zeros_like(still), whole=True)  # type: ignore[return-value]


def _blocks(flat: np.ndarray) -> list[slice]:
    """Rows in blocks whose copies are small."""
    rows = max(1, 2_000_000 // flat.shape[1])
    return [slice(k, k + rows) for k in range(0, len(flat), rows)]


def _split(table: Table, flat: np.ndarray, still: np.ndarray, *, whole: bool = False) -> Split | None:
    """For cells ``flat [S * n1, W]`` of which ``still [S * n1]`` is not moved by demand; None where the products would
    be a waste, unless ``whole``.
    """
    n, n1, w = table.after.shape
    weights = np.random.default_rng(0).integers(1, 2**62, w) * 2 + 1
    marks = np.concatenate([(flat[k] - still[k, None]) @ weights for k in _blocks(flat)])
    _, first, group = np.unique(marks, return_index=True, return_inverse=True)
    laws = flat[first] - still[first, None]
    if not all(np.array_equal(laws[group[k]], flat[k] - still[k, None]) for k in _blocks(flat)):
        raise AssertionError("two rows of next states carry one mark")
    ys, at = np.unique(laws, return_inverse=True)
    rests, rest = np.unique(still, return_inverse=True)
    if not whole and max(len(first), len(ys)) * len(rests) > WASTE * n * n1 + 10_000:
        return None
    p = np.broadcast_to(table.demand.probabilities, laws.shape)
    law = sparse.csr_array((p.ravel().copy(), at.ravel(), np.arange(0, laws.size + 1, w)), shape=(len(first), len(ys)))
    law.sum_duplicates()
    value = table.lookup(ys[:, None, None] + rests[None, :, None] + table.shift)
    value = np.where(value < 0, n, value).astype(np.int32)
    return Split(table, law, group.reshape(n, n1), rest.reshape(n, n1), value)


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
