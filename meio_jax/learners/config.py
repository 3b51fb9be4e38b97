"""What a PPO run is: its static configuration and its numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.actions import Head, OrderUpTo
from meio_jax.errors import InputError
from meio_jax.learners.pathwise_config import reach
from meio_jax.learners.validation import Validation
from meio_jax.network import Network
from meio_jax.policies.bodies.base import Body
from meio_jax.policies.neural import NeuralPolicy
from meio_jax.rewards import Weights
from meio_jax.struct import pytree

__all__ = ["PPOConfig", "PPOHyper"]

CREDITS = ("joint", "local")
SCHEDULES = ("constant", "linear", "cosine")
#: Periods that a baseline looks ahead at most, unless told.
LONGEST = 32


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Sizes and switches, hashed into the compiled program.

    Attributes:
      lanes: systems played side by side. segment: periods between updates. updates: length of the schedules.
      epochs, minibatches: passes over a segment, and the parts of each (groups of whole lanes; must divide ``lanes``).
      credit: "joint" holds every decision answerable for the whole reward; "local" keeps an account for each node and
        holds a decision answerable for its own node, all that it feeds and all that feeds it, not for its siblings: far
        less noise where many sites share a source, at the price of ignoring what they take from each other. The same
        in serial systems.
      head, widths, activation, shared, cycle, body: the policy, see `meio_jax.policies.neural.NeuralPolicy`.
      lookahead: coming periods that the baseline of the advantages knows (`meio_jax.learners.outlook`); None: `reach`
        of the network, or the horizon if that is shorter; 0: the policy's own critic, which knows what the policy sees.
      schedule: how the learning rate and the weight of the entropy fall: "constant", "linear" or "cosine".
      normalise_features, centre_rewards, scale_rewards, normalise_advantages: running mean and variance of features;
        running mean of rewards taken off (Naik et al. 2024, arXiv 2405.09999: a continuing problem's values then say
        what differs between states, not what is common to all); division by the deviation of returns; advantages to
        mean 0 and deviation 1 over the whole segment.
      memory: updates after which the past fades from those running moments.
      clip_values: clip the value's move as well.
      horizon: begin anew after this many periods, at the end of a segment; None: never. ends: the problem ends there,
        so nothing is bootstrapped, and what is played beyond it to fill a segment is not paid for. unpaid: periods at
        the beginning of a horizon that are not paid for.
      warmup: periods played with the untrained policy before the first update, to leave the initial state behind.
      oldest: with late reports, the greatest age that is remembered.
      eval_every: updates between evaluations of the mode policy; 0: never. validation: what they play; None: average
        cost over eval_lanes lanes of eval_periods periods, the first eval_warmup of them not counted, and the scenarios
        of eval_seed.
      pretrain: updates of the pathwise learner (`meio_jax.learners.pathwise`, at its defaults) before the first update.
    """

    lanes: int = 256
    segment: int = 32
    updates: int = 600
    epochs: int = 2
    minibatches: int = 8
    head: Head = OrderUpTo()
    credit: str = "joint"
    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    cycle: int | None = None
    body: Body | None = None
    lookahead: int | None = None
    schedule: str = "cosine"
    normalise_features: bool = True
    centre_rewards: bool = True
    scale_rewards: bool = True
    normalise_advantages: bool = True
    memory: int = 100
    clip_values: bool = False
    horizon: int | None = None
    ends: bool = False
    unpaid: int = 0
    warmup: int = 32
    oldest: int = 0
    eval_every: int = 0
    eval_lanes: int = 256
    eval_periods: int = 500
    eval_warmup: int = 100
    eval_seed: int = 20_230
    validation: Validation | None = None
    pretrain: int = 0

    def __post_init__(self) -> None:
        whole = ("lanes", "segment", "updates", "epochs", "minibatches", "memory", "eval_lanes", "eval_periods")
        for name in whole:
            if getattr(self, name) < 1:
                raise InputError(f"PPOConfig: {name} = {getattr(self, name)} must be at least 1")
        if self.lanes % self.minibatches:
            raise InputError(f"PPOConfig: minibatches = {self.minibatches} must divide lanes = {self.lanes}")
        if self.credit not in CREDITS:
            raise InputError(f"PPOConfig: credit {self.credit!r} is not one of {', '.join(CREDITS)}")
        if self.schedule not in SCHEDULES:
            raise InputError(f"PPOConfig: schedule {self.schedule!r} is not one of {', '.join(SCHEDULES)}")
        if self.horizon is not None and (self.horizon < 1 or (self.horizon % self.segment and not self.ends)):
            raise InputError(f"PPOConfig: segment = {self.segment} must divide horizon = {self.horizon}")
        if self.ends and self.horizon is None:
            raise InputError("PPOConfig: ends=True needs a horizon")
        if self.horizon is not None and self.unpaid >= self.horizon:
            raise InputError(f"PPOConfig: unpaid = {self.unpaid} leaves nothing of horizon = {self.horizon}")
        signed = ("warmup", "eval_every", "eval_warmup", "oldest", "unpaid", "pretrain", "lookahead")
        for name in signed:
            if (getattr(self, name) or 0) < 0:
                raise InputError(f"PPOConfig: {name} = {getattr(self, name)} must not be negative")
        if self.eval_warmup >= self.eval_periods:
            raise InputError(
                f"PPOConfig: eval_warmup = {self.eval_warmup} leaves nothing of {self.eval_periods} periods"
            )

    @property
    def policy(self) -> NeuralPolicy:
        """The policy as it is evaluated and used: deterministic."""
        return NeuralPolicy(
            self.head,
            self.widths,
            self.activation,
            self.shared,
            self.cycle,
            self.horizon if self.ends else None,
            by_node=self.credit == "local",
            body=self.body,
        )

    @property
    def judged_by(self) -> Validation:
        """What evaluations play."""
        if self.validation is not None:
            return self.validation
        paid = self.eval_periods - self.eval_warmup
        return Validation("average", paid, self.eval_warmup, self.eval_lanes, self.eval_seed)

    def replace(self, **changes: Any) -> PPOConfig:
        return dataclasses.replace(self, **changes)

    def looks_ahead(self, network: Network) -> int:
        """Coming periods that the baseline knows, the present one among them."""
        if self.lookahead is not None:
            return self.lookahead
        return min(reach(network), self.horizon or LONGEST, LONGEST)

    def check(self, network: Network) -> None:
        """Refuse a network that has another number of lanes of its own."""
        for leaf in jax.tree.leaves(network):
            lanes = leaf.shape[-1]
            if lanes != 1 and (lanes != self.lanes or (self.eval_every and lanes != self.judged_by.lanes)):
                raise InputError(
                    f"the network has {lanes} lanes of its own: lanes and, with eval_every, those of the evaluation "
                    "must be the same"
                )


@pytree
class PPOHyper:
    """The numbers of a run: all leaves, so that a search over them is one program. Each a scalar.

    learning_rate falls by the schedule to ``learning_rate_floor`` times itself, entropy_weight to 0. discount, trace:
    gamma and lambda of the advantages. clip: of the probability ratio. std, std_end: deviation of a continuous head's
    outputs at the start and at the end of the run, geometrically in between (a learned factor comes on top). average:
    decay of the Polyak average of the weights over gradient steps; it is what is evaluated and used (Polyak and
    Juditsky 1992, doi 10.1137/0330046). critic_rate: learning rate of the baseline, in learning rates. weights: of the
    reward's terms, None for the negative cost.
    """

    learning_rate: Array | float = 1e-3
    learning_rate_floor: Array | float = 0.02
    discount: Array | float = 0.99
    trace: Array | float = 0.9
    clip: Array | float = 0.2
    entropy_weight: Array | float = 0.0
    value_weight: Array | float = 0.5
    max_gradient: Array | float = 0.5
    std: Array | float = 0.5
    std_end: Array | float = 0.5
    average: Array | float = 0.998
    critic_rate: Array | float = 3.0
    weights: Weights | None = None

    def arrays(self) -> PPOHyper:
        """The same with array leaves, so that a number and an array compile to one program."""
        return jax.tree.map(lambda x: jnp.asarray(x, float), self)

    def replace(self, **changes: Any) -> PPOHyper:
        return dataclasses.replace(self, **changes)
