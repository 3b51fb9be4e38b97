"""What a pathwise run is: its static configuration and its numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.errors import InputError, UnknownNameError
from meio_jax.learners.validation import Validation
from meio_jax.network import Network, Wiring
from meio_jax.policies.base import Policy
from meio_jax.policies.neural import NeuralPolicy
from meio_jax.rewards import Weights
from meio_jax.struct import pytree

__all__ = ["PathwiseConfig", "PathwiseHyper", "reach"]

BOOTSTRAPS = ("tail", "none")
SCHEDULES = ("constant", "linear", "cosine")
#: A segment of more periods than this is played again in the backward pass, stretch by stretch, rather than kept.
KEPT = 128


@dataclasses.dataclass(frozen=True)
class PathwiseConfig:
    """Sizes and switches, hashed into the compiled program.

    Attributes:
      policy: whose numbers are learned: any policy whose decisions are differentiable in them.
      lanes: systems played side by side. segment: periods between updates. updates: length of the schedule.
      bootstrap: what stands for the time after a segment. "tail": ``tail`` more periods, in which decisions answer to
        what they see but their numbers are not learned from, so that each decision of the segment is followed by its
        consequences and none is judged by half of them. "none": nothing; the last decisions look free of consequences.
      tail: periods; None: `reach` of the network.
      horizon: begin anew after this many periods; None: never. ends: nothing is paid after it. unpaid: periods at the
        beginning of a horizon that are not paid for.
      burn_in: begin anew in each update, and play this many periods first, through which no gradient goes; None: go on
        from where the lanes stand.
      renew: in each update every so many-th lane begins anew, another one each time; 0: none does. Lanes that go on for
        ever see only what their policy leads to, and forget how to come out of the state that a planner begins with.
      warmup: periods played with the untrained policy before the first update: they leave the initial state behind,
        measure what features there are, and what the untrained policy costs (or one horizon, where there is one).
      schedule: how the learning rate falls: "constant", "linear" or "cosine".
      stretch: periods that are drawn and played together; a divisor of ``segment``; None: chosen.
      replay: play stretches again in the backward pass instead of keeping what all of them saw (Chen et al. 2016,
        arXiv 1604.06174); None: in segments of more than 128 periods.
      smooth_fixed_cost: a fixed cost K of an order q is learned from as ``K (1 - exp(-q / width))`` with this width in
        mean orders; 0: fixed costs are refused. Evaluations always count the true cost.
      slack: where orders are rounded, the share of what rounding takes off that is left in while learning, so that
        slopes are one-sided (`meio_jax.learners.nearly_whole`); 1 does not round, 0 leaves rounding to the network.
        Evaluations always round.
      max_worth: what a unit more or less in one system may be said to be worth, in times the network's dearest rate
        over its `reach`; 0: anything. Where a policy overreacts, slopes multiply from period to period, and a few
        systems drown the others; true worths are far smaller than this.
      least_deviation: of a feature, by which it is divided: what the untrained policy never varied is not blown up.
      oldest: with late reports, the greatest age that is remembered.
      eval_every: updates between evaluations; 0: never. validation: what they play.
    """

    policy: Policy = NeuralPolicy()
    lanes: int = 256
    segment: int = 40
    updates: int = 1200
    bootstrap: str = "tail"
    tail: int | None = None
    horizon: int | None = None
    ends: bool = False
    unpaid: int = 0
    burn_in: int | None = None
    renew: int = 64
    warmup: int = 64
    schedule: str = "cosine"
    stretch: int | None = None
    replay: bool | None = None
    smooth_fixed_cost: float = 0.0
    slack: float = 0.3
    max_worth: float = 0.5
    least_deviation: float = 0.3
    oldest: int = 0
    eval_every: int = 0
    validation: Validation = Validation()

    def __post_init__(self) -> None:
        for name in ("lanes", "segment", "updates", "warmup"):
            if getattr(self, name) < 1:
                raise InputError(f"PathwiseConfig: {name} = {getattr(self, name)} must be at least 1")
        for name in (
            "eval_every",
            "oldest",
            "unpaid",
            "smooth_fixed_cost",
            "tail",
            "burn_in",
            "renew",
            "slack",
            "max_worth",
        ):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InputError(f"PathwiseConfig: {name} = {value} must not be negative")
        for name, among in (("bootstrap", BOOTSTRAPS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in among:
                raise UnknownNameError(
                    f"PathwiseConfig: {name} {getattr(self, name)!r} is not one of {', '.join(among)}"
                )
        if self.horizon is not None and self.horizon < 1:
            raise InputError(f"PathwiseConfig: horizon = {self.horizon} must be at least 1")
        if self.horizon is not None and self.unpaid >= self.horizon:
            raise InputError(f"PathwiseConfig: unpaid = {self.unpaid} leaves nothing of horizon = {self.horizon}")
        if self.ends and self.horizon is None:
            raise InputError("PathwiseConfig: ends=True needs a horizon")
        if self.burn_in is not None and self.horizon is not None:
            raise InputError("PathwiseConfig: burn_in begins anew in each update; it does not go with a horizon")
        if self.stretch is not None and (self.stretch < 1 or self.segment % self.stretch):
            raise InputError(f"PathwiseConfig: stretch = {self.stretch} must divide segment = {self.segment}")

    def replace(self, **changes: Any) -> PathwiseConfig:
        return dataclasses.replace(self, **changes)

    @property
    def begins_anew(self) -> bool:
        """Whether every update starts from the initial state."""
        return self.burn_in is not None or (self.horizon is not None and self.segment >= self.horizon)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result must know."""
        if not self.smooth_fixed_cost:
            return ()
        return (
            f"fixed costs of ordering were smoothed over {self.smooth_fixed_cost:g} mean orders while learning; "
            "evaluations count them in full",
        )

    def periods_each(self) -> int:
        """Periods that are drawn and played together."""
        if self.stretch is not None:
            return self.stretch
        most = 16 if self.segment <= KEPT else max(16, round(self.segment**0.5))
        best = max(k for k in range(1, most + 1) if self.segment % k == 0)
        return best if best > 3 else self.segment

    def tail_periods(self, network: Network) -> int:
        """Length of the tail, a multiple of the stretch."""
        if self.bootstrap == "none" or (self.ends and self.begins_anew):
            return 0
        wanted = reach(network) if self.tail is None else self.tail
        each = self.periods_each()
        return -(-wanted // each) * each

    @property
    def replays(self) -> bool:
        return self.segment > KEPT if self.replay is None else self.replay

    def check(self, network: Network) -> None:
        """Refuse a network that has another number of lanes of its own."""
        for leaf in jax.tree.leaves(network):
            lanes = leaf.shape[-1]
            if lanes != 1 and (lanes != self.lanes or (self.eval_every and lanes != self.validation.lanes)):
                raise InputError(
                    f"the network has {lanes} lanes of its own: lanes and, with eval_every, those of the validation "
                    "must be the same"
                )


@pytree
class PathwiseHyper:
    """The numbers of a run: all leaves, so that a search over them is one program. Each a scalar.

    learning_rate falls by the schedule to ``learning_rate_floor`` times itself. discount: worth of the next period's
    cost. max_gradient: norm at which a gradient is cut, the loss being in units of the untrained policy's cost.
    average: decay of the Polyak average of the numbers, which is what is evaluated and used (Polyak and Juditsky 1992,
    doi 10.1137/0330046). first, second: decay of Adam's moments. weights: of the reward's terms, None for the negative
    cost.
    """

    learning_rate: Array | float = 1e-2
    learning_rate_floor: Array | float = 0.01
    discount: Array | float = 1.0
    max_gradient: Array | float = 1.0
    average: Array | float = 0.98
    first: Array | float = 0.9
    second: Array | float = 0.999
    weights: Weights | None = None

    def arrays(self) -> PathwiseHyper:
        """The same with array leaves, so that a number and an array compile to one program."""
        return jax.tree.map(lambda x: jnp.asarray(x, float), self)

    def replace(self, **changes: Any) -> PathwiseHyper:
        return dataclasses.replace(self, **changes)


def reach(network: Network) -> int:
    """How long the consequences of an order last, in periods: its longest way to a customer, the longest step of any
    way again for what follows, the shelf life, and two more.
    """
    w: Wiring = network.wiring
    steps = [w.max_lead_time[e] + w.order_delay[e] for e in range(w.n_inner)]
    way = [0] * w.n_nodes
    for n in range(w.n_nodes - 1, -1, -1):
        way[n] = max((steps[e] + way[w.dst[e]] for e in w.out_arcs[n] if e < w.n_inner), default=0)
    longest = max((steps[e] + way[w.dst[e]] for e in range(w.n_inner)), default=0)
    return longest + max(steps, default=0) + (w.ages if network.shelf_life is not None else 0) + 2
