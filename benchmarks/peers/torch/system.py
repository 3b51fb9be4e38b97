"""A serial supply chain, a policy and the pathwise loop in PyTorch: the loop that a careful engineer would write there.

The same period, features, network, loss and schedule as `meio_jax` (`benchmarks.learners` checks cost and gradient on
common demand and weights). Vectorised over lanes, lanes last so that every row is contiguous; a pipeline is a queue of
rows that nothing has to shift.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

Weights = list[Tensor]  # kernel [out, in] and bias [out, 1] of each layer


class Serial(NamedTuple):
    """A chain, upstream first. Rows are stages; money per unit and period, units, periods."""

    lead: tuple[int, ...]
    holding: Tensor  # [N, 1]
    transit: Tensor  # [N, 1] of units on their way to each stage
    backlog_cost: float
    demand_first: bool
    mean: float
    sd: float
    size: float  # mean flow: units of the features
    reference: Tensor  # [N, 1] echelon levels of the rule that an untrained network follows
    spread: Tensor  # [N, 1] what an output of 1 is
    on_hand: Tensor  # [N, 1]
    pipeline: list[list[float]]  # of each stage, slot 0 next

    @classmethod
    def read(cls, numbers: dict[str, Any]) -> Serial:
        def column(name: str) -> Tensor:
            return torch.tensor(numbers[name])[:, None]

        rows = ("holding", "transit", "reference", "spread", "on_hand")
        rest = {k: v for k, v in numbers.items() if k not in rows} | {"lead": tuple(numbers["lead"])}
        return cls(**{k: column(k) for k in rows}, **rest)

    @property
    def features(self) -> int:
        n = len(self.lead)
        return n + (n + 1) + sum(self.lead) + 1 + n


class State(NamedTuple):
    """Of B systems: stock and what is owed downstream ``[N, B]``, the pipeline's rows ``[B]``, demand last seen."""

    on_hand: Tensor
    owed: Tensor
    pipeline: tuple[tuple[Tensor, ...], ...]
    demand: Tensor

    def detach(self) -> State:
        rows = tuple(tuple(x.detach() for x in queue) for queue in self.pipeline)
        return State(self.on_hand.detach(), self.owed.detach(), rows, self.demand.detach())


def begin(chain: Serial, lanes: int) -> State:
    n = len(chain.lead)
    rows = tuple(tuple(torch.full((lanes,), float(x)) for x in queue) for queue in chain.pipeline)
    return State(chain.on_hand.expand(n, lanes), torch.zeros(n, lanes), rows, torch.zeros(1, lanes))


def first_weights(chain: Serial, widths: tuple[int, ...], generator: torch.Generator) -> Weights:
    """Scaled normals, the last layer zero: an untrained network follows the reference rule."""
    sizes = [chain.features, *widths, len(chain.lead)]
    out: Weights = []
    for k, (a, b) in enumerate(itertools.pairwise(sizes)):
        last = k == len(sizes) - 2
        kernel = torch.zeros(b, a) if last else torch.randn(b, a, generator=generator) / math.sqrt(a)
        out += [kernel.requires_grad_(), torch.zeros(b, 1).requires_grad_()]
    return out


def see(chain: Serial, state: State, demand: Tensor) -> tuple[Tensor, Tensor]:
    """Features ``[F, B]`` and echelon positions ``[N, B]`` before ordering."""
    owed, newest = state.owed, state.demand
    if chain.demand_first:
        owed, newest = torch.cat([owed[:-1], owed[-1:] + demand]), demand
    on_the_way = torch.stack([sum(queue[1:], queue[0]) for queue in state.pipeline])
    nothing = torch.zeros_like(owed[:1])
    due = torch.cat([nothing, owed])  # on each arc: from outside, between stages, to the customer
    local = state.on_hand + on_the_way + due[:-1] - owed
    position = torch.flip(torch.cumsum(torch.flip(local, [0]), 0), [0])
    slots = torch.stack([x for queue in state.pipeline for x in queue])
    sizes = torch.cat([state.on_hand, due, slots, newest]) / chain.size
    return torch.cat([sizes, (position - chain.reference) / chain.spread]), position


def decide(chain: Serial, weights: Weights, mean: Tensor, deviation: Tensor, x: Tensor, position: Tensor) -> Tensor:
    """Orders ``[N, B]``, up to the levels that the network says."""
    h = torch.clamp((x - mean) / deviation, -10.0, 10.0)
    for k in range(0, len(weights) - 2, 2):
        h = torch.tanh(torch.addmm(weights[k + 1], weights[k], h))
    out = torch.addmm(weights[-1], weights[-2], h)
    return torch.relu(chain.reference + chain.spread * out - position)


def period(
    chain: Serial, weights: Weights, mean: Tensor, deviation: Tensor, state: State, demand: Tensor
) -> tuple[State, Tensor]:
    """One period: see, order, receive, serve. The state after it and its cost ``[B]``."""
    x, position = see(chain, state, demand)
    orders = decide(chain, weights, mean, deviation, x, position)
    stock = state.on_hand + torch.stack([queue[0] for queue in state.pipeline])
    want = state.owed + torch.cat([orders[1:], demand])
    shipped = torch.minimum(stock, want)
    stock, owed = stock - shipped, want - shipped
    moved = torch.cat([orders[:1], shipped[:-1]]).unbind(0)
    pipeline = tuple((*queue[1:], row) for queue, row in zip(state.pipeline, moved, strict=True))
    cost = (chain.holding * stock).sum(0) + chain.backlog_cost * owed[-1]
    if bool((chain.transit != 0).any()):
        on_the_way = torch.stack([sum(queue[1:], queue[0]) for queue in pipeline])
        cost = cost + (chain.transit * on_the_way).sum(0)
    return State(stock, owed, pipeline, demand), cost


def draw(chain: Serial, periods: int, lanes: int, generator: torch.Generator | None = None) -> Tensor:
    """Normal demand cut off at 0, ``[T, 1, B]``."""
    return torch.clamp(chain.mean + chain.sd * torch.randn(periods, 1, lanes, generator=generator), min=0.0)


def play(
    chain: Serial, weights: Weights, mean: Tensor, deviation: Tensor, state: State, demand: Tensor, step: Any = period
) -> tuple[State, Tensor]:
    """Some periods: the state after them and their mean costs over lanes ``[T]``."""
    costs = []
    for t in range(demand.shape[0]):
        state, cost = step(chain, weights, mean, deviation, state, demand[t])
        costs.append(cost.mean())
    return state, torch.stack(costs)
