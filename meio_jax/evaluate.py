"""Many policies on the same scenarios: mean cost and KPIs with confidence intervals, and paired differences.

Intervals are Student's t over lanes, which are independent replications (Law, Simulation Modeling and Analysis
(2015), section 9.4). A single lane, usually history, is one realisation: its intervals come from the means of
non-overlapping batches of periods (ibid., section 9.5.3), which measure how much the periods vary, not how other
histories would have gone, and are too narrow where batches are correlated. Where there are fewer than `FEWEST`
batches no interval is given.

Totals are summed with compensation in the simulator's precision, and averaged in float64.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array
from scipy import stats

from meio_jax.checks import check_network
from meio_jax.errors import InputError, NonFiniteError, UnknownNameError
from meio_jax.kpis import Tally, kpis, tally
from meio_jax.network import Network
from meio_jax.policies.base import Policy
from meio_jax.processes import Processes
from meio_jax.rollout import rollout
from meio_jax.scenario import Scenario, check_scenario

__all__ = ["Difference", "Estimate", "Evaluation", "evaluate", "interquartile", "t_interval"]

#: The fewest batches of a single lane from which an interval is computed.
FEWEST = 5
#: Indicators in the columns of `Evaluation.table`, after the cost.
COLUMNS = ("fill_rate", "cycle_service", "stockouts", "stock", "turnover")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean and its confidence interval; ``low`` and ``high`` are None where there is none to be had."""

    mean: float
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Difference:
    """Cost of a policy minus the baseline's on the same scenarios: money per period, and percent of the latter.

    The interval of the percentage is that of a ratio of means, by the delta method; None where the baseline costs
    nothing.
    """

    cost: Estimate
    percent: Estimate | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: ``kpis[policy][indicator]`` (meanings in `meio_jax.kpis.kpis`), ``differences[policy]``.

    ``interval`` says what the intervals are taken over: "lanes", "batches" or "none".
    """

    kpis: dict[str, dict[str, Estimate]]
    differences: dict[str, Difference]
    baseline: str | None
    periods: int
    warmup: int
    lanes: int
    level: float
    interval: str
    note: str

    def rows(self) -> list[dict[str, Any]]:
        """One flat record a policy: name, indicators, difference and percent, each with ``_low`` and ``_high``."""
        out = []
        for name, values in self.kpis.items():
            row: dict[str, Any] = {"policy": name}
            for key, x in values.items():
                row |= {key: x.mean, f"{key}_low": x.low, f"{key}_high": x.high}
            if self.baseline is not None:
                d = self.differences.get(name)
                for key, y in (("difference", d and d.cost), ("percent", d and d.percent)):
                    for suffix, field in (("", "mean"), ("_low", "low"), ("_high", "high")):
                        row[key + suffix] = None if y is None else getattr(y, field)
            out.append(row)
        return out

    def table(self) -> str:
        """Plain text, aligned; a half-width follows each cost."""
        head = ["policy", "cost", "+-"]
        if self.baseline is not None:
            head += [f"vs {self.baseline}", "low", "high"]
        lines = [[*head, *COLUMNS]]
        for name, values in self.kpis.items():
            x = values["cost"]
            line = [name, _text(x.mean), "n/a" if x.high is None else _text(x.high - x.mean)]
            if self.baseline is not None:
                d = self.differences.get(name)
                p = None if d is None else d.percent
                line += ["-", "", ""] if p is None else [_percent(p.mean), _percent(p.low), _percent(p.high)]
            lines.append([*line, *(_text(values[k].mean) for k in COLUMNS)])
        widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
        body = [
            "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]
        return "\n".join([body[0], "-" * len(body[0]), *body[1:], self.note])

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, numbers and None: what `json.dumps` takes."""
        return dataclasses.asdict(self)


def _text(x: float) -> str:
    return f"{x:.0f}" if abs(x) >= 1e5 else f"{x:.5g}"


def _percent(x: float | None) -> str:
    return "n/a" if x is None else f"{x:+.2f} %"


def t_interval(values: np.ndarray, level: float, mean: float | None = None) -> tuple[float, float] | tuple[None, None]:
    """Student's t interval of the mean of independent ``values``, around ``mean`` if given; None for fewer than two."""
    n = len(values)
    if n < 2:
        return None, None
    centre = float(values.mean()) if mean is None else mean
    half = float(stats.t.ppf(0.5 + level / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return centre - half, centre + half


def interquartile(values: Any, level: float = 0.95) -> Estimate:
    """The mean of the middle half of some runs, and its percentile bootstrap interval over them.

    Agarwal et al. (2021), Deep Reinforcement Learning at the Edge of the Statistical Precipice, arXiv 2108.13264: less
    moved by one odd seed than the mean, and steadier than the median. A single run has no interval.
    """
    x = np.asarray(values, float)
    mean = float(stats.trim_mean(x, 0.25))
    if len(x) < 2:
        return Estimate(mean, None, None)
    drawn = x[np.random.default_rng(0).integers(0, len(x), (4000, len(x)))]
    low, high = np.quantile(stats.trim_mean(drawn, 0.25, axis=1), [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(mean, float(low), float(high))


def batches(series: Any, size: int) -> Any:
    """Sums over non-overlapping batches of periods: leaves ``[T, ..]`` to ``[T // size, ..]``; the rest is left out."""
    count = jax.tree.leaves(series)[0].shape[0] // size
    return jax.tree.map(lambda x: x[: count * size].reshape(count, size, *x.shape[1:]).sum(1), series)


@functools.partial(jax.jit, static_argnames=("policy", "periods", "lanes", "oldest"))
def _series(
    network: Network, policy: Policy, theta: Any, source: Any, key: Array, *, periods: int, lanes: int, oldest: int
) -> Tally:
    """The tally of every period, leaves ``[T, B]``."""
    played = rollout(
        network, policy, theta, source, key, periods=periods, lanes=lanes, keep_trajectory=True, oldest=oldest
    )
    assert played.trajectory is not None
    return jax.vmap(tally, in_axes=(None, 0))(network, played.trajectory.flows)


def _indicators(sums: Tally) -> dict[str, np.ndarray]:
    """KPIs of tallies in float64, each ``[n]``."""
    values = {k: np.asarray(v, np.float64) for k, v in kpis(sums).items()}
    return {**values, "cost": np.asarray(sums.cost, np.float64) / np.asarray(sums.periods, np.float64)}


def _check_finite(name: str, sums: Tally) -> None:
    for field in dataclasses.fields(sums):
        bad = ~np.isfinite(np.asarray(getattr(sums, field.name)))
        if bad.any():
            raise NonFiniteError(
                f"policy {name!r}: {field.name} is NaN or infinite in {int(bad.sum())} of {bad.size} lanes or periods "
                f"(first: {int(np.flatnonzero(bad)[0])}); check its theta and the scenario"
            )


def evaluate(
    network: Network,
    policies: Mapping[str, tuple[Policy, Any]],
    source: Processes | Scenario,
    key: Array,
    *,
    periods: int | None = None,
    lanes: int | None = None,
    warmup: int = 0,
    level: float = 0.95,
    baseline: str | None = None,
    batch: int = 7,
    oldest: int = 0,
    block: int | None = None,
) -> Evaluation:
    """Play all policies on the same scenarios and compare them.

    Args:
      policies: name to (policy, theta).
      source: `Processes`, of which every policy meets the same draws, as they depend on the key alone; or a
        `Scenario`.
      key: consumed.
      periods, lanes: horizon and replications; with a scenario its own are the default.
      warmup: periods at the start that do not count.
      level: of the confidence intervals.
      baseline: the policy that the others are compared with, by paired differences; None: no comparison.
      batch: with one lane, the periods in a batch (7: weeks of days).
      oldest, block: as in `rollout`.

    Raises:
      InputError: no policies; horizon, warm-up or lanes do not fit.
      NumberError: a scenario does not fit the network, or a number of the network is out of its domain.
      UnknownNameError: the baseline is none of the policies.
      NonFiniteError: a NaN or an infinity surfaced; names the policy.
    """
    if not policies:
        raise InputError("evaluate needs at least one policy")
    if baseline is not None and baseline not in policies:
        raise UnknownNameError(f"baseline {baseline!r} is none of the policies: {', '.join(policies)}")
    if not 0 < level < 1:
        raise InputError(f"level = {level} must lie between 0 and 1, as 0.95 does")
    check_network(network)
    if isinstance(source, Scenario):
        check_scenario(network, source)
        periods = source.periods if periods is None else periods
        lanes = source.lanes if lanes is None else lanes
    if periods is None or lanes is None:
        raise InputError("evaluate over processes needs periods= and lanes=")
    if not 0 <= warmup < periods:
        raise InputError(f"warmup = {warmup} must be at least 0 and below periods = {periods}")
    if lanes == 1 and batch < 1:
        raise InputError(f"batch = {batch} must be at least 1 period")

    whole: dict[str, dict[str, np.ndarray]] = {}  # over the horizon, [B]
    parts: dict[str, dict[str, np.ndarray]] = {}  # what intervals are taken over, [n]
    for name, (policy, theta) in policies.items():
        common = jax.random.clone(key)  # meant: all policies meet the same
        if lanes > 1:
            sums = rollout(
                network,
                policy,
                theta,
                source,
                common,
                periods=periods,
                lanes=lanes,
                warmup=warmup,
                oldest=oldest,
                block=block,
            ).totals
            _check_finite(name, sums)
            whole[name] = parts[name] = _indicators(sums)
            continue
        series = _series(network, policy, theta, source, common, periods=periods, lanes=1, oldest=oldest)
        series = jax.tree.map(lambda x: np.asarray(x, np.float64)[warmup:, 0], series)
        _check_finite(name, series)
        whole[name] = _indicators(jax.tree.map(lambda x: x.sum(keepdims=True), series))
        parts[name] = _indicators(batches(series, batch))
    count = len(next(iter(parts.values()))["cost"])
    interval = "lanes" if lanes > 1 else ("batches" if count >= FEWEST else "none")

    def estimate(values: np.ndarray, centre: float) -> Estimate:
        return Estimate(centre, *((None, None) if interval == "none" else t_interval(values, level, centre)))

    found = {
        name: {k: estimate(parts[name][k], float(v.mean())) for k, v in values.items()}
        for name, values in whole.items()
    }
    differences = {}
    if baseline is not None:
        base, base_mean = parts[baseline]["cost"], found[baseline]["cost"].mean
        for name in policies:
            if name != baseline:
                apart, centre = parts[name]["cost"] - base, found[name]["cost"].mean - base_mean
                percent = None
                if base_mean != 0:
                    ratio = 100.0 * centre / abs(base_mean)
                    percent = estimate((100.0 * apart - ratio * np.sign(base_mean) * base) / abs(base_mean), ratio)
                differences[name] = Difference(estimate(apart, centre), percent)
    unit = {
        "lanes": f"{lanes} independent lanes",
        "batches": f"{count} batches of {batch} periods of one history (correlation between batches is not in them)",
        "none": "nothing: one history too short for batch means, so no intervals (n/a)",
    }[interval]
    note = f"{100 * level:g} % intervals over {unit}; {periods - warmup} periods after {warmup} of warm-up"
    return Evaluation(found, differences, baseline, periods, warmup, lanes, level, interval, note)
