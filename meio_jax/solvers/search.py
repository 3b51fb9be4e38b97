"""Simulation optimisation: good numbers for any policy on any network.

Every candidate meets the same scenarios (common random numbers), and candidates x scenarios are one compiled program.
The winner of a search looks better than it is, since it was chosen on those scenarios; so the best few are compared
again on fresh ones, and the one that wins there is given a cost and an interval on fresh scenarios once more.

Methods: a grid, exhaustive where it is small; CMA-ES (Hansen 2016, arXiv 1604.00772) in parallel restarts, separable
(Ros and Hansen 2008) in high dimension; both finished by a pattern search (Hooke and Jeeves 1961) that also moves
stock between two places.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cmaes import CMA, SepCMA
from jax import Array

from meio_jax.checks import check_network
from meio_jax.errors import InputError, NonFiniteError, NumberError
from meio_jax.evaluate import t_interval
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.parallel import side_by_side, ways
from meio_jax.policies.base import Policy
from meio_jax.processes import Processes, draw
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario, check_scenario
from meio_jax.simulator import Flows

__all__ = ["METHODS", "SearchResult", "search"]

METHODS = ("auto", "grid", "cma", "sep-cma", "pattern")
#: From this many numbers on the covariance matrix of CMA-ES is taken as diagonal.
MANY = 40
#: Lanes that are played at once on a CPU: what stays in its cache.
CACHED = 1024
#: Candidates that are compared again on fresh scenarios.
FINALISTS = 8


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What `search` found.

    theta: the best numbers, like the policy's own. cost, low, high: mean cost per period and its confidence interval
    on scenarios that the search never saw, unless ``in_sample``; low and high are None where there is nothing to take
    an interval over.
    searched_cost: the cost that the search itself saw, which flatters. history ``[n, 2]``: evaluations so far, best
    cost so far.
    evaluations: candidates simulated. method: what was used.
    """

    theta: Any
    cost: float
    low: float | None
    high: float | None
    history: np.ndarray
    evaluations: int
    method: str
    in_sample: bool
    searched_cost: float


@functools.partial(jax.jit, static_argnames=("policy", "measure", "at_once", "oldest"))
def _lane_costs(
    network: Network, policy: Policy, thetas: Any, scenario: Scenario, key: Array, warmup: Any, *,
    measure: Any, at_once: int, oldest: int,
) -> Array:  # fmt: skip
    """``[K, B]`` cost per period of each candidate in each lane; leaves of ``thetas`` have a leading axis K."""

    def one(theta: Any) -> Array:
        common = jax.random.clone(key)  # meant: all candidates meet the same
        totals = rollout(network, policy, theta, scenario, common, warmup=warmup, measure=measure, oldest=oldest).totals
        return totals / (scenario.periods - warmup)

    return jax.lax.map(one, thetas, batch_size=at_once)


@functools.partial(jax.jit, static_argnames=("periods", "lanes"))
def _draw(source: Processes, key: Array, *, periods: int, lanes: int) -> Scenario:
    return draw(source, key, periods, lanes)


class _Space:
    """Vectors of numbers and what they mean: flattening, wholeness, bounds, a scale for each coordinate."""

    def __init__(self, theta: Any, bounds: Any, whole: Any, spread: Any = None) -> None:
        leaves = jax.tree.leaves(theta)
        self.tree: Any = jax.tree.structure(theta)
        self.names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(theta)[0]]
        self.shapes = [np.shape(x) for x in leaves]
        self.dtypes = [jnp.asarray(x).dtype for x in leaves]
        self.sizes = [int(np.prod(s)) for s in self.shapes]
        self.start = self.vector(theta) if leaves else np.zeros(0)
        if not self.start.size:
            raise InputError("search: the policy's theta holds no numbers to search for")
        if not np.isfinite(self.start).all():
            raise NumberError("search: theta0 holds a NaN or an infinity")
        self.whole = self._spread(whole).astype(bool)
        low, high = (-np.inf, np.inf) if bounds is None else self._sides(theta, bounds)
        self.low, self.high = self._spread(low), self._spread(high)
        for k in np.flatnonzero(~(self.low <= self.high)):
            raise NumberError(f"search: bounds of {self.name(int(k))} are empty: [{self.low[k]:g}, {self.high[k]:g}]")
        self.low, self.high = (np.where(self.whole, r(x), x) for r, x in ((np.ceil, self.low), (np.floor, self.high)))
        for k in np.flatnonzero(self.low > self.high):
            raise NumberError(f"search: there is no whole number within the bounds of {self.name(int(k))}")
        self.bounded = np.isfinite(self.low) & np.isfinite(self.high)
        self.start = self.repair(self.start)
        largest = np.concatenate([np.full(len(x), np.abs(x).max(initial=0.0)) for x in self._split(self.start)])
        size = np.where(largest > 0, np.maximum(0.3 * np.abs(self.start), 0.1 * largest), 1.0)
        known = np.zeros_like(size) if spread is None else self.vector(spread)
        size = np.where(known > 0, known, size)
        width = np.where(self.bounded, self.high - self.low, np.inf) / 4
        size = np.minimum(size, width)
        self.scale = np.where(self.whole, np.maximum(size, 1.0), np.where(size > 0, size, 1.0))
        self.scale = np.where(self.scale > 0, np.where(self.whole, np.maximum(self.scale, 1.0), self.scale), 1.0)

    def vector(self, theta: Any) -> np.ndarray:
        return np.concatenate([np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(theta)])

    def _sides(self, theta: Any, bounds: Any) -> tuple[Any, Any]:
        if isinstance(bounds, Mapping):
            if not isinstance(theta, Mapping) or not set(bounds) <= set(theta):
                raise InputError(f"search: bounds name {', '.join(map(str, bounds))}, but theta has {self.names}")
            free = (-np.inf, np.inf)
            return tuple({k: bounds.get(k, free)[side] for k in theta} for side in (0, 1))  # type: ignore[return-value]
        if not isinstance(bounds, tuple | list) or len(bounds) != 2:
            raise InputError(
                "search: bounds are (low, high), each a number or like theta, or a dictionary name: (low, high)"
            )
        return bounds[0], bounds[1]

    def _spread(self, tree: Any) -> np.ndarray:
        """A number for all coordinates, or a tree like theta (or a prefix) of numbers or lists of rows, as a vector."""
        shapes = self.tree.unflatten(range(len(self.shapes)))
        out: list[Any] = [None] * len(self.shapes)
        try:

            def put(x: Any, below: Any) -> None:
                for k in jax.tree.leaves(below):
                    values = np.asarray(x)
                    values = values[..., None] if values.ndim == 1 and len(self.shapes[k]) == 2 else values
                    out[k] = np.broadcast_to(values, self.shapes[k]).ravel()

            jax.tree.map(put, tree, shapes, is_leaf=lambda x: isinstance(x, list))
        except ValueError as e:
            raise InputError(f"search: bounds or integer do not fit theta ({', '.join(self.names)}): {e}") from None
        return np.concatenate(out)

    def _split(self, x: np.ndarray) -> list[np.ndarray]:
        return np.split(x, np.cumsum(self.sizes)[:-1], axis=-1)

    def name(self, k: int) -> str:
        leaf = int(np.searchsorted(np.cumsum(self.sizes), k, side="right"))
        return f"{self.names[leaf]}[{k - int(np.sum(self.sizes[:leaf]))}]"

    def repair(self, x: np.ndarray) -> np.ndarray:
        x = np.clip(x, self.low, self.high)
        return np.where(self.whole, np.floor(x + 0.5), x)

    def thetas(self, x: np.ndarray) -> Any:
        """``[K, d]`` vectors to a theta whose leaves have a leading axis K."""
        parts = self._split(x)
        shaped = [
            jnp.asarray(p.reshape(len(x), *s), t) for p, s, t in zip(parts, self.shapes, self.dtypes, strict=True)
        ]
        return self.tree.unflatten(shaped)


class _Book:
    """Simulates candidates, at most ``budget`` of them, and remembers all."""

    def __init__(self, space: _Space, play: Callable[[np.ndarray], np.ndarray], budget: int, batch: int) -> None:
        self.space, self.play, self.budget, self.batch = space, play, budget, batch
        self.known: dict[bytes, float] = {}
        self.points: dict[bytes, np.ndarray] = {}
        self.history: list[tuple[int, float]] = []
        self.lowest = np.inf

    @property
    def left(self) -> int:
        return self.budget - len(self.known)

    def costs(self, x: np.ndarray) -> np.ndarray:
        """Costs ``[K]`` of candidates ``[K, d]``, repaired; infinite for those beyond the budget."""
        x = self.space.repair(x).astype(np.float32).astype(np.float64)
        keys = [row.tobytes() for row in x]
        new = list(dict.fromkeys(k for k in keys if k not in self.known))[: max(self.left, 0)]
        rows = dict(zip(keys, x, strict=True))
        for i in range(0, len(new), self.batch):
            part = new[i : i + self.batch]
            costs = self.play(np.stack([rows[k] for k in part])).mean(1)
            for k, cost in zip(part, costs, strict=True):
                self.known[k], self.points[k] = float(cost), rows[k]
        if new:
            self.lowest = min(self.lowest, *(self.known[k] for k in new))
            self.history.append((len(self.known), self.lowest))
        return np.array([self.known.get(k, np.inf) for k in keys])

    def best(self, count: int) -> list[np.ndarray]:
        return [self.points[k] for k in sorted(self.known, key=self.known.__getitem__)[:count]]


def _exhaust(space: _Space, book: _Book) -> None:
    axes = [
        np.arange(a, b + 1) if w else np.array([a]) for a, b, w in zip(space.low, space.high, space.whole, strict=True)
    ]
    book.costs(np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], -1))


def _zoom(space: _Space, book: _Book) -> None:
    """Ever finer grids around the best point; a box without bounds moves on while the best lies on its edge."""
    d = len(space.start)
    points = max(3, int((book.budget / 3) ** (1 / d))) if d > 1 else max(3, min(17, book.budget // 3))
    low = np.where(np.isfinite(space.low), space.low, space.start - 4 * space.scale)
    high = np.where(np.isfinite(space.high), space.high, space.start + 4 * space.scale)
    while book.left > 0:
        seen = len(book.known)
        axes = [np.unique(np.linspace(a, b, points)) for a, b in zip(low, high, strict=True)]
        book.costs(np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], -1))
        best = book.best(1)[0]
        step = (high - low) / (points - 1)
        edge = ((best <= low + 0.5 * step) & (low > space.low)) | ((best >= high - 0.5 * step) & (high < space.high))
        half = np.where(edge, (high - low) / 2, step)
        if len(book.known) == seen or (half <= np.where(space.whole, 0.5, 1e-4 * space.scale)).all():
            return
        low, high = np.maximum(best - half, space.low), np.minimum(best + half, space.high)


def _cma(space: _Space, book: _Book, rng: np.random.Generator, budget: int, restarts: int, separable: bool) -> None:
    """``restarts`` runs side by side, in coordinates in which the scale is 1; those that end begin anew elsewhere."""
    d = len(space.start)
    population = 4 + int(3 * np.log(d))
    limit = len(book.known) + min(budget, book.left)
    point = (space.low == space.high)[:, None]  # it cannot sample from a point; `repair` sees to that
    sides = np.where(point, [[-np.inf, np.inf]], np.stack([space.low, space.high], -1))
    bounds = (sides - space.start[:, None]) / space.scale[:, None]

    def begin(first: bool) -> Any:
        mean = (book.best(1)[0] - space.start) / space.scale
        if not first:
            mean = mean + rng.normal(size=d)
        mean = np.clip(mean, bounds[:, 0], bounds[:, 1])
        kind = SepCMA if separable else CMA
        seed = int(rng.integers(2**31))
        return kind(mean=mean, sigma=0.5 if first else 1.0, bounds=bounds, population_size=population, seed=seed)

    runs = [begin(k == 0) for k in range(restarts)]
    idle = 0
    while len(book.known) < limit and idle < 50:
        seen = len(book.known)
        asked = [[run.ask() for _ in range(population)] for run in runs]
        flat = np.stack([x for xs in asked for x in xs])
        costs = book.costs(space.start + space.scale * flat)
        if not np.isfinite(costs).all():
            return  # the budget ended within this generation
        for k, run in enumerate(runs):
            run.tell(list(zip(asked[k], costs[k * population : (k + 1) * population], strict=True)))
            if run.should_stop() or np.ptp(np.stack(asked[k]), axis=0).max() < 2e-3:
                runs[k] = begin(False)
        idle = idle + 1 if len(book.known) == seen else 0


def _pattern(space: _Space, book: _Book, rng: np.random.Generator, step: float) -> None:
    """Single steps along each coordinate and exchanges between two, shrinking where nothing helps."""
    d = len(space.start)
    book.costs(space.start[None])
    size = np.where(space.whole, np.maximum(1.0, np.floor(step * space.scale)), step * space.scale)
    pairs = [(i, j) for i, j in itertools.permutations(range(d), 2)]
    while book.left > 0:
        best = book.best(1)[0]
        before = book.lowest
        moves = [sign * size[i] * np.eye(d)[i] for i in range(d) for sign in (1.0, -1.0)]
        chosen = pairs if len(pairs) <= 4 * d else [pairs[k] for k in rng.choice(len(pairs), 4 * d, replace=False)]
        moves += [size[i] * np.eye(d)[i] - size[j] * np.eye(d)[j] for i, j in chosen]
        costs = book.costs(best + np.stack(moves))
        good = [moves[k] for k in np.argsort(costs, kind="stable") if costs[k] < before][: 2 * d]
        if len(good) > 1:  # what helps alone may help together, and further
            together = np.cumsum(np.stack(good), 0)
            book.costs(best + np.concatenate([together[1:], 2.0 * together[:d]]))
        if book.lowest >= before:
            if (size <= np.where(space.whole, 1.0, 1e-3 * space.scale)).all():
                return
            size = np.where(space.whole, np.maximum(1.0, np.floor(size / 2)), size / 2)


def search(
    network: Network,
    policy: Policy,
    source: Processes | Scenario,
    key: Array,
    *,
    theta0: Any = None,
    bounds: Any = None,
    budget: int = 2000,
    lanes: int = 64,
    periods: int | None = None,
    warmup: int = 0,
    method: str = "auto",
    integer: Any = None,
    measure: Callable[[Network, Flows], Array] = total_cost,
    restarts: int = 2,
    fresh: Processes | Scenario | None = None,
    fresh_lanes: int | None = None,
    level: float = 0.95,
    oldest: int = 0,
) -> SearchResult:
    """Find the theta with the lowest mean cost per period.

    Args:
      policy: any whose theta has a lane axis of size 1 (or none).
      source: `Processes`, drawn anew to search, to choose among the best and to cost the winner; or a `Scenario`
        (history).
      key: consumed. The result is the same for the same key.
      theta0: where to start; None: the policy's ``start`` for the mean and standard deviation of the demand, else its
        ``init``.
      bounds: ``(low, high)``, each a number or like theta (a list gives the rows of a leaf); or
        ``{name: (low, high)}`` for a theta that is a dictionary. None: free.
      budget: candidates that may be simulated, those on fresh scenarios not counted.
      lanes, periods, warmup: of the scenarios searched on; a scenario brings its own lanes and, by default, periods.
      method: "grid" (exhaustive, or zooming in where that exceeds the budget), "cma", "sep-cma", "pattern", or
        "auto": a grid for one number or where all whole vectors within the bounds are affordable, else CMA-ES.
      integer: which numbers are whole: True, False, or like theta; None: those that the policy calls ``whole``, in
        integer networks.
      measure: a hashable ``(network, flows) -> [B]``, the period's cost.
      restarts: runs of CMA-ES side by side.
      fresh: where the winner is costed; None: fresh draws from ``source``, or in sample if that is a scenario.
      fresh_lanes: of the fresh draws, rounded up to a multiple of ``lanes``; None: ``max(256, 4 x lanes)``.
      level: of the confidence interval.
      oldest: as in `rollout`.

    Raises:
      InputError: an unknown method; bounds, horizon or theta0 of the wrong shape; a budget below 1.
      NumberError: empty bounds; a grid without finite bounds on two or more numbers; a scenario that does not fit the
        network; a number of the network out of its domain.
      NonFiniteError: a candidate's cost is NaN or infinite; says which.
    """
    check_network(network)
    if method not in METHODS:
        raise InputError(f"search: method {method!r} is none of {', '.join(METHODS)}")
    if budget < 1 or restarts < 1:
        raise InputError(f"search: budget = {budget} and restarts = {restarts} must be at least 1")
    for given in (source, fresh):
        if isinstance(given, Scenario):
            check_scenario(network, given)
    for_search, for_choice, for_cost, for_policy, for_start, for_rng = jax.random.split(key, 6)
    scenario = _scenario(source, for_search, periods, lanes, warmup)

    begin, spread = _start(policy, network, scenario, for_start)
    if theta0 is None:
        theta0 = begin
    elif jax.tree.map(jnp.shape, theta0) != jax.tree.map(jnp.shape, begin):
        spread = None
    space = _Space(theta0, bounds, _whole(policy, network, theta0, integer), spread)
    d = len(space.start)
    sizes = np.where(space.whole | (space.low == space.high), space.high - space.low + 1, np.inf)
    small = bool(np.prod(sizes) <= budget)
    if method == "grid" and not small and d > 1 and not space.bounded.all():
        k = int(np.flatnonzero(~space.bounded)[0])
        raise NumberError(
            f"search: a grid needs finite bounds, those of {space.name(k)} are [{space.low[k]:g}, {space.high[k]:g}]"
        )
    if method == "auto":
        method = "grid" if small or d == 1 else ("cma" if d < MANY else "sep-cma")
    if method in ("cma", "sep-cma") and d == 1:
        method = "grid"  # CMA-ES needs two dimensions

    batch = restarts * (4 + int(3 * np.log(d))) if method.endswith("cma") else 16
    room = CACHED if jax.default_backend() == "cpu" else 64 * CACHED

    def play(x: np.ndarray, scenario: Scenario = scenario) -> np.ndarray:
        """``[K, B]`` costs of at most ``batch`` candidates; always filled up to that number, so that it compiles
        once.
        """
        filled = np.concatenate([x, np.repeat(x[:1], batch - len(x), 0)])
        count = ways(batch)
        size = batch // count
        at_once = max(1, min(size, room // scenario.lanes))

        def group(k: int) -> Array:
            return _lane_costs(
                network, policy, space.thetas(filled[k * size : (k + 1) * size]), scenario,
                jax.random.clone(for_policy), jnp.asarray(warmup), measure=measure, at_once=at_once, oldest=oldest,
            )  # fmt: skip

        costs = [np.asarray(part, np.float64) for part in side_by_side(group, count)]
        out = np.concatenate(costs)[: len(x)]
        bad = ~np.isfinite(out).all(1)
        if bad.any():
            worst = x[int(np.flatnonzero(bad)[0])]
            values = ", ".join(f"{space.name(k)}={v:g}" for k, v in enumerate(worst[:12]))
            raise NonFiniteError(f"search: the cost is NaN or infinite at {values}")
        return out

    def play_fresh(x: np.ndarray, where: Processes | Scenario, key: Array) -> np.ndarray:
        """``[K, fresh lanes]`` costs on scenarios of the same size as the one searched on, as many as are needed."""
        if isinstance(where, Scenario):
            return play(x, _scenario(where, key, None, lanes, warmup))
        many = max(256, 4 * lanes) if fresh_lanes is None else fresh_lanes
        keys = jax.random.split(key, -(-many // lanes))
        drawn = [_scenario(where, k, scenario.periods, lanes, warmup) for k in keys]
        parts = [x[i : i + batch] for i in range(0, len(x), batch)]
        return np.concatenate([np.concatenate([play(part, one) for one in drawn], 1) for part in parts])

    rng = np.random.default_rng(np.asarray(jax.random.key_data(for_rng)).ravel().tolist())
    book = _Book(space, play, budget, batch)
    if method == "grid" and small:
        _exhaust(space, book)
    elif method == "grid":
        _zoom(space, book)
    elif method == "pattern":
        _pattern(space, book, rng, 1.0)
    else:
        book.costs(space.start[None])
        book.costs(space.start + np.linspace(-2.5, 4.0, book.batch - 1)[:, None] * space.scale)
        _cma(space, book, rng, int(0.75 * budget), restarts, method == "sep-cma")
        _pattern(space, book, rng, 0.25)

    in_sample = fresh is None and isinstance(source, Scenario)
    best = book.best(1)[0]
    start = space.repair(space.start[None]).astype(np.float32).astype(np.float64)
    kept = list(start) if start[0].tobytes() in book.known else []  # the start always competes
    finalists = np.stack(list({x.tobytes(): x for x in [*kept, *book.best(FINALISTS)]}.values()))
    if in_sample:
        costs = play(best[None])[0]
    else:
        where = source if fresh is None else fresh
        if isinstance(where, Processes):
            best = finalists[play_fresh(finalists, where, for_choice).mean(1).argmin()]
        costs = play_fresh(best[None], where, for_cost)[0]
    low, high = t_interval(costs, level)
    theta = jax.tree.map(lambda x: x[0], space.thetas(best[None]))
    return SearchResult(
        theta=theta,
        cost=float(costs.mean()),
        low=low,
        high=high,
        history=np.array(book.history),
        evaluations=len(book.known),
        method=method,
        in_sample=in_sample,
        searched_cost=book.known[best.tobytes()],
    )


def _scenario(source: Processes | Scenario, key: Array, periods: int | None, lanes: int, warmup: int) -> Scenario:
    if isinstance(source, Scenario):
        if periods is not None and periods > source.periods:
            raise InputError(f"search: the scenario has {source.periods} periods, {periods} were asked for")
        source = source if periods is None else source[:periods]
        periods = source.periods
    if periods is None or not 0 <= warmup < periods or lanes < 1:
        raise InputError(f"search: needs periods > warmup >= 0 and lanes >= 1, got {periods}, {warmup}, {lanes}")
    return source if isinstance(source, Scenario) else _draw(source, key, periods=periods, lanes=lanes)


def _start(policy: Policy, network: Network, scenario: Scenario, key: Array) -> tuple[Any, Any]:
    """First numbers, and if the policy can tell, how much each differs for one standard deviation of safety."""
    start = getattr(policy, "start", None)
    if start is None:
        return policy.init(key, network), None
    demand = np.asarray(scenario.shocks.demand, np.float64)
    mean, sd = (jnp.asarray(x[:, None], network.holding_cost.dtype) for x in (demand.mean((0, 2)), demand.std((0, 2))))
    # A network may vary by lane, theta does not.
    safe, bare = (jax.tree.map(lambda x: x.mean(-1, keepdims=True), start(network, mean, s)) for s in (sd, 0.0 * sd))
    return safe, jax.tree.map(lambda a, b: jnp.abs(a - b), safe, bare)


def _whole(policy: Policy, network: Network, theta: Any, integer: Any) -> Any:
    """Which numbers are whole, as a tree like theta or one value for all."""
    if integer is not None and not isinstance(integer, bool):
        return integer
    names = getattr(policy, "whole", None)
    wanted = network.wiring.integer if integer is None else integer
    if names is None or not isinstance(theta, Mapping):
        return bool(integer)
    return {k: wanted and k in names for k in theta}
