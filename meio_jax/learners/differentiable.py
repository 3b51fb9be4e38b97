"""What a gradient can and cannot tell: the numbers of a policy that are learned, and terms that are refused by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.errors import UnsuitableError
from meio_jax.kpis import total_cost
from meio_jax.network import Network
from meio_jax.policies.base import Policy
from meio_jax.policies.neural import Theta
from meio_jax.rewards import Weights, reward
from meio_jax.simulator import Flows

__all__ = ["check_differentiable", "fade", "learned", "paid_cost", "unit_steps"]


@jax.custom_jvp
def fade(x: Array, share: Array | float) -> Array:
    """``x``, of which only ``share`` of the gradient comes back: a discount once a period, or 0 to stop it."""
    return x


@fade.defjvp
def _faded(primals: tuple[Array, Any], tangents: tuple[Array, Any]) -> tuple[Array, Array]:
    x, share = primals
    return x, tangents[0] * jnp.asarray(share, x.dtype)


def fade_all(tree: Any, share: Array | float) -> Any:
    """`fade` on the floats of a tree."""
    return jax.tree.map(lambda x: fade(x, share) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


@jax.custom_vjp
def limit(x: Array, bound: Array) -> Array:
    """``x``, of whose gradient each number is cut to ``[-bound, bound]``; NaN stays NaN."""
    return x


def _limit_forward(x: Array, bound: Array) -> tuple[Array, Array]:
    return x, bound


def _limit_back(bound: Array, g: Array) -> tuple[Array, None]:
    return jnp.clip(g, -bound, bound), None


limit.defvjp(_limit_forward, _limit_back)


def limit_all(tree: Any, bound: Array) -> Any:
    """`limit` on the floats of a tree."""
    return jax.tree.map(lambda x: limit(x, bound.astype(x.dtype)) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def dearest(network: Network) -> Array:
    """``[]`` the greatest money that a unit can cost or bring at once: the largest rate for what is owed, lost, bought
    or sold.
    """
    rates = (network.backlog_cost, network.lost_cost, network.unit_cost, network.price)
    found = [jnp.abs(x).max() for x in rates if x is not None]
    return jnp.stack([jnp.abs(network.holding_cost).max(), *found]).max()


def learned(theta: Any) -> tuple[list[Array], Callable[[list[Array]], Any]]:
    """The numbers of a policy that are learned, and how they are put back: the weights of a neural policy (not the
    moments of its features, nor the sizes of the network), and every float of any other policy.
    """
    whole = theta.params if isinstance(theta, Theta) else theta
    tree: Any
    leaves, tree = jax.tree.flatten(whole)
    moves = [jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating) for x in leaves]

    def put(numbers: list[Array]) -> Any:
        own = iter(numbers)
        part = tree.unflatten([next(own) if m else x for m, x in zip(moves, leaves, strict=True)])
        return dataclasses.replace(theta, params=part) if isinstance(theta, Theta) else part

    return [jnp.asarray(x) for m, x in zip(moves, leaves, strict=True) if m], put


def unit_steps(theta: Any) -> list[Array]:
    """For each number of `learned` what a step of 1 is: 1 for weights; for the numbers of a classical rule, which have
    units, a tenth of their size.
    """
    numbers, _ = learned(theta)
    if isinstance(theta, Theta):
        return [jnp.ones_like(x) for x in numbers]
    return [0.1 * jnp.maximum(jnp.abs(x), jnp.abs(x).mean()) + 1e-6 for x in numbers]


def check_differentiable(network: Network, policy: Policy, smooth_fixed_cost: float = 0.0) -> None:
    """Refuse what gradients through the simulator cannot see. Leaves that are traced are not looked at.

    Raises:
      UnsuitableError: a fixed cost of ordering that is not smoothed, a minimum order, a head of discrete choices. It
        says where, why, and what to do instead.
    """
    w = network.wiring
    instead = "train with ppo, or tune a rule with search"
    head = getattr(policy, "head", None)
    if head is not None and not getattr(head, "differentiable", True):
        raise UnsuitableError(
            f"pathwise: head {type(head).__name__} decides whether to order, or among some orders, and a choice has no "
            "gradient; take order_up_to, capped_base_stock, percentage or quantity, or train with ppo"
        )
    arc = _positive(network.fixed_order_cost)
    if arc is not None and not smooth_fixed_cost:
        raise UnsuitableError(
            f"pathwise: arc {w.arcs[arc]!r} has a fixed cost of ordering, a jump that a gradient does not see; "
            f"{instead}, or set smooth_fixed_cost= to learn from a smoothed one"
        )
    arc = _positive(network.minimum_order)
    if arc is not None:
        raise UnsuitableError(
            f"pathwise: arc {w.arcs[arc]!r} has a minimum order, a jump that a gradient does not see; {instead}"
        )


def _positive(leaf: Array | None) -> int | None:
    """The first row of a leaf with a positive number; None if there is none, or it is traced."""
    if leaf is None or isinstance(leaf, jax.core.Tracer):
        return None
    at = np.nonzero((np.asarray(leaf) > 0).any(-1))[0]
    return int(at[0]) if len(at) else None


def paid_cost(weights: Weights | None, network: Network, flows: Flows, width: Array | None) -> Array:
    """``[B]`` what is kept small: the cost, or the negative of a weighted reward; fixed costs smoothed where a
    ``width [I, 1|B]`` in units is given.
    """
    cost = total_cost(network, flows) if weights is None else -reward(weights, network, flows)
    fixed = network.fixed_order_cost
    if width is None or fixed is None:
        return cost
    q = flows.ordered[: network.wiring.n_inner]
    share = 1.0 if weights is None else weights.get("cost", 0.0) + weights.get("fixed", 0.0)
    return cost + share * (fixed * (-jnp.expm1(-q / width) - (q > 0))).sum(0)
