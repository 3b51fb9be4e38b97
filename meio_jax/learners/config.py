"""What a PPO run is: its static configuration and its numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from meio_jax.actions import Head, OrderUpTo
from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.policies.neural import NeuralPolicy
from meio_jax.rewards import Weights
from meio_jax.struct import pytree

__all__ = ["PPOConfig", "PPOHyper"]

CREDITS = ("joint", "local")
SCHEDULES = ("constant", "linear", "cosine")


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
      head, widths, activation, shared, cycle: the policy, see `meio_jax.policies.neural.NeuralPolicy`.
      schedule: how the learning rate falls: "constant", "linear" or "cosine".
      normalise_features, centre_rewards, scale_rewards, normalise_advantages: running mean and variance of features;
        running mean of rewards taken off (Naik et al. 2024, arXiv 2405.09999: a continuing problem's values then say
        what differs between states, not what is common to all); division by the deviation of returns; advantages to
        mean 0 and deviation 1 over the whole segment.
      memory: updates after which the past fades from those running moments.
      clip_values: clip the value's move as well.
      horizon: begin anew after this many periods, at the end of a segment; None: never. ends: the problem ends there,
        so nothing is bootstrapped.
      warmup: periods played with the untrained policy before the first update, to leave the initial state behind.
      oldest: with late reports, the greatest age that is remembered.
      eval_every: updates between evaluations of the mode policy; 0: never. eval_lanes, eval_periods, eval_warmup: their
        size; eval_seed: they all use the same scenarios.
    """

    lanes: int = 256
    segment: int = 32
    updates: int = 400
    epochs: int = 4
    minibatches: int = 4
    head: Head = OrderUpTo()
    credit: str = "joint"
    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    cycle: int | None = None
    schedule: str = "linear"
    normalise_features: bool = True
    centre_rewards: bool = True
    scale_rewards: bool = True
    normalise_advantages: bool = True
    memory: int = 100
    clip_values: bool = False
    horizon: int | None = None
    ends: bool = False
    warmup: int = 32
    oldest: int = 0
    eval_every: int = 0
    eval_lanes: int = 256
    eval_periods: int = 500
    eval_warmup: int = 100
    eval_seed: int = 20_230

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
        if self.horizon is not None and (self.horizon < 1 or self.horizon % self.segment):
            raise InputError(f"PPOConfig: segment = {self.segment} must divide horizon = {self.horizon}")
        if self.ends and self.horizon is None:
            raise InputError("PPOConfig: ends=True needs a horizon")
        if min(self.warmup, self.eval_every, self.eval_warmup, self.oldest) < 0:
            raise InputError("PPOConfig: warmup, eval_every, eval_warmup and oldest must not be negative")
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
        )

    def check(self, network: Network) -> None:
        """Refuse a network that has another number of lanes of its own."""
        for leaf in jax.tree.leaves(network):
            lanes = leaf.shape[-1]
            if lanes != 1 and (lanes != self.lanes or (self.eval_every and lanes != self.eval_lanes)):
                raise InputError(
                    f"the network has {lanes} lanes of its own: lanes and, with eval_every, eval_lanes must be the same"
                )


@pytree
class PPOHyper:
    """The numbers of a run: all leaves, so that a search over them is one program. Each a scalar.

    learning_rate falls by the schedule to ``learning_rate_floor`` times itself. discount, trace: gamma and lambda of
      the
    advantages. clip: of the probability ratio. std, std_end: deviation of a continuous head's outputs at the start and
    at the end of the run, geometrically in between (a learned factor comes on top). weights: of the reward's terms,
    None for the negative cost.
    """

    learning_rate: Array | float = 1e-3
    learning_rate_floor: Array | float = 0.02
    discount: Array | float = 0.99
    trace: Array | float = 0.95
    clip: Array | float = 0.2
    entropy_weight: Array | float = 0.0
    value_weight: Array | float = 0.5
    max_gradient: Array | float = 0.5
    std: Array | float = 0.5
    std_end: Array | float = 0.3
    weights: Weights | None = None

    def arrays(self) -> PPOHyper:
        """The same with array leaves, so that a number and an array compile to one program."""
        return jax.tree.map(lambda x: jnp.asarray(x, float), self)

    def replace(self, **changes: Any) -> PPOHyper:
        return dataclasses.replace(self, **changes)
