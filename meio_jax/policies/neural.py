"""Neural policies: an actor-critic over what its body sees, with any head of `meio_jax.actions`.

Flax ``linen`` modules stand behind plain functions of parameter trees. A state-independent standard deviation follows
Andrychowicz et al. (2021), What Matters for On-Policy Deep Actor-Critic Methods (arXiv 2006.05990); the last layer of
the actor starts at zero, so that an untrained policy is its head's reference rule.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from meio_jax.actions import FORBIDDEN, Head, OrderUpTo, Scale
from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.observation import Observation, observe
from meio_jax.policies.base import Decision
from meio_jax.policies.bodies.base import ACTIVATIONS, Body, check_activation
from meio_jax.policies.bodies.mlp import MLP, ActorCritic
from meio_jax.policies.normaliser import Moments, normalise
from meio_jax.policies.scale import scale_of
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state
from meio_jax.struct import pytree

__all__ = ["ACTIVATIONS", "ActorCritic", "NeuralPolicy", "Theta", "ThetaMismatchError"]


class ThetaMismatchError(InputError):
    """Numbers of a policy that were made for another network, or for another policy."""


@pytree
class Theta:
    """The numbers of a neural policy: weights, the moments of its features, and the sizes of the network they were
    learned on.
    """

    params: Any
    moments: Any
    scale: Scale

    def replace(self, **changes: Any) -> Theta:
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class NeuralPolicy:
    """An actor-critic as a policy like any other; ``deterministic``: it orders its most likely action.

    Attributes:
      head: what its outputs mean.
      widths, activation, shared: hidden layers; whether actor and critic share them. Of the body that None stands for.
      cycle, horizon: as in `meio_jax.features.features`.
      by_node: the critic values what will arise at each node, instead of the sum.
      body: what stands between what is seen and the outputs (`meio_jax.policies.bodies`); None:
        ``MLP(widths, activation, shared)``.
    """

    head: Head = OrderUpTo()
    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    cycle: int | None = None
    horizon: int | None = None
    deterministic: bool = True
    by_node: bool = False
    body: Body | None = None
    theta_has_lanes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_activation(self.activation)

    @property
    def made_of(self) -> Body:
        """The body, that of None spelled out."""
        return MLP(self.widths, self.activation, self.shared) if self.body is None else self.body

    @property
    def remembers(self) -> bool:
        """Whether something is carried from period to period: then `act_with_memory` is asked, not `act`."""
        return self.made_of.remembers

    def init(
        self, key: Array, network: Network, scale: Scale | None = None, example: Observation | None = None
    ) -> Theta:
        """Weights that order by the reference rule.

        Args:
          key: consumed.
          scale: sizes of the network; default: those of a mean demand of 1 without spread.
          example: an observation with the fields that will be seen; needed where sources fail or reports are late.
        """
        body, w = self.made_of, network.wiring
        scale = scale_of(network) if scale is None else scale
        self._check_scale(network, scale)
        example = next(_pictures(network)) if example is None else example
        x = body.see(network, example, scale, self.cycle, self.horizon)
        memory = body.memory(network, 1)
        weights = self._module(network).init(key, jax.tree.map(lambda v: v[:1], x), memory)["params"]
        params: dict[str, Any] = {"net": weights}
        if not self.head.choices:
            count, _ = body.deviations(w, self.head)
            params["log_std"] = jnp.zeros((count,), jax.tree.leaves(x)[0].dtype)
        return Theta(params=params, moments=body.moments(x), scale=scale)

    def memory(self, network: Network, lanes: int) -> Any:
        """What is remembered at time 0: a pytree of leaves ``[.., B]``; None of a body that remembers nothing."""
        return self.made_of.memory(network, lanes)

    def apply(self, network: Network, theta: Theta, memory: Any, seen: Observation, key: Array) -> tuple[Decision, Any]:
        """One decision for every lane. The key is consumed unless ``deterministic``.

        Raises:
          ThetaMismatchError: theta was made for another network or another policy.
          InputError: the body remembers and no memory is given.
        """
        mask = self.head.mask(network, theta.scale, seen)
        dist, _, memory = self.act_with_memory(network, theta, self.see(network, theta, seen), memory, mask)
        raw = dist.mode() if self.deterministic else dist.sample(seed=key)
        orders = self.head.orders(network, theta.scale, seen, raw)
        if self.head.choices:  # the largest of numbers that are none is the first, which orders nothing
            lost = jnp.isnan(dist.distribution.logits).any((-1, -2))
            orders = jnp.where(lost, jnp.nan, orders)
        return Decision(orders), memory

    def see(self, network: Network, theta: Theta, seen: Observation) -> Any:
        """What a batch keeps of an observation, not yet normalised: features ``[B, F]``, or what the body sees."""
        self._check_scale(network, theta.scale)
        return self.made_of.see(network, seen, theta.scale, self.cycle, self.horizon)

    def act(
        self, network: Network, theta: Theta, x: Any, mask: Array | None = None, spread: Array | float = 1.0
    ) -> tuple[Any, Array]:
        """The distribution of raw outputs, and the value, for what `see` gave.

        Args:
          x: features ``[.., F]``, or the leaves that the body sees, with any leading axes.
          mask: as made by the head: of options, or what is added to their logits.
          spread: factor on the standard deviation of a continuous head.

        Returns:
          A distrax distribution over ``[.., K]``, which must not leave a compiled function, and values ``[.., G]``:
          one, or one for each node.

        Raises:
          InputError: the body remembers.
        """
        if self.remembers:
            raise InputError(f"{type(self.body).__name__} remembers: ask act_with_memory, and carry what it gives back")
        dist, value, _ = self.act_with_memory(network, theta, x, None, mask, spread)
        return dist, value

    def act_with_memory(
        self, network: Network, theta: Theta, x: Any, memory: Any, mask: Array | None = None,
        spread: Array | float = 1.0,
    ) -> tuple[Any, Array, Any]:  # fmt: skip
        """`act` for bodies with and without memory: the distribution, the value, and what is remembered next.

        Args:
          x: of one period, ``[B, ..]``, where the body remembers.
          memory: as `memory` and the period before gave it, leaves ``[.., B]``; None where nothing is remembered.

        Raises:
          InputError: the body remembers and no memory is given.
        """
        import distrax  # costs seconds: only what acts pays for it

        if self.remembers and memory is None:
            raise InputError(f"{type(self.body).__name__} remembers: begin with policy.memory(network, lanes)")
        if not _same_width(theta.moments, x):
            self._refuse(network, theta)
        try:
            made: Any = self._module(network).apply(
                {"params": theta.params["net"]}, normalise(theta.moments, x), memory
            )
        except flax.errors.FlaxError:
            self._refuse(network, theta)
            raise
        out, value, memory = made
        if self.head.choices:
            if mask is not None:
                out = jnp.where(mask, out, FORBIDDEN) if mask.dtype == bool else out + mask
            return distrax.Independent(distrax.Categorical(logits=out), 1), value, memory
        log_std = theta.params["log_std"]
        count, own = self.made_of.deviations(network.wiring, self.head)
        log_std = log_std if own == tuple(range(count)) else log_std[np.asarray(own)]
        scale = jnp.broadcast_to(jnp.exp(log_std) * spread, out.shape)
        return distrax.Independent(distrax.Normal(out, scale), 1), value, memory

    def check(self, network: Network, theta: Theta) -> None:
        """Refuse numbers that were made for another network or another policy.

        Bodies whose weights are those of no wiring take theirs from any network; their sizes are the network's own.

        Raises:
          ThetaMismatchError: names the first number that does not fit, and says what to do.
        """
        self._check_scale(network, theta.scale)
        found = _shapes_of(theta)
        wanted = (self._shapes(network, seen) for seen in _pictures(network))
        plain = next(wanted)
        if found != plain and found not in wanted:
            odd = next(k for k in {**plain, **found} if plain.get(k) != found.get(k))
            raise ThetaMismatchError(
                f"theta{odd} has shape {found.get(odd, 'none')}, and {self._describe(network)} needs "
                f"{plain.get(odd, 'none')}: these numbers are of another network or another policy; make new ones "
                "with policy.init(key, network, scale), or train a body that takes any wiring (PerNode, Graph)"
            )

    def _refuse(self, network: Network, theta: Theta) -> None:
        """Say what does not fit: a number of theta, or a field that is seen now and was not, or the other way round."""
        self.check(network, theta)
        raise ThetaMismatchError(
            "theta was made for other fields of the observation (sources that fail, late reports): give policy.init an "
            "example= of what will be seen"
        )

    def _check_scale(self, network: Network, scale: Scale) -> None:
        w = network.wiring
        wanted = {"demand": w.n_customers, "node": w.n_nodes, "arc": w.n_inner, "echelon": w.n_inputs}
        for name, count in wanted.items():
            rows = getattr(scale, name).shape[0]
            if rows != count:
                raise ThetaMismatchError(
                    f"theta.scale.{name} has {rows} rows, and {self._describe(network)} needs {count}: these are "
                    "the sizes of another network; weights of PerNode and Graph go along with "
                    "theta.replace(scale=measure_scale(network, processes, key, lanes=256))"
                )

    def _describe(self, network: Network) -> str:
        w = network.wiring
        body, head = type(self.made_of).__name__, type(self.head).__name__
        return f"body {body} with head {head} on {w.n_nodes} nodes and {w.n_arcs} arcs"

    def _shapes(self, network: Network, seen: Observation) -> dict[str, tuple[int, ...]]:
        key = jax.random.key(0)  # of shapes alone
        return _shapes_of(jax.eval_shape(lambda: self.init(key, network, None, seen)))

    def _module(self, network: Network) -> Any:
        return self.made_of.module(network.wiring, self.head, self.by_node)


def _shapes_of(theta: Theta) -> dict[str, tuple[int, ...]]:
    """The shape of each weight and moment, by its path."""
    parts = {".params": theta.params, ".moments": theta.moments}
    found = {name: jax.tree_util.tree_leaves_with_path(part) for name, part in parts.items()}
    return {name + jax.tree_util.keystr(path): x.shape for name, leaves in found.items() for path, x in leaves}


def _same_width(moments: Any, x: Any) -> bool:
    """Whether what is seen has as many numbers as there are moments."""
    moments = [m.mean for m in jax.tree.leaves(moments, is_leaf=lambda m: isinstance(m, Moments))]
    return all(m.shape[-1] == v.shape[-1] for m, v in zip(moments, jax.tree.leaves(x), strict=False))


def _pictures(network: Network) -> Iterator[Observation]:
    """What may be seen of a network at time 0: plainly, with sources that fail, with late reports, with both."""
    w = network.wiring
    state = initial_state(network, 1)
    plain = observe(network, state, Shock(demand=state.demand))
    orders, age = jnp.zeros_like(state.backlog[: w.n_inner]), jnp.zeros((w.n_nodes, 1), jnp.int32)
    for late, fails in itertools.product((False, True), repeat=2):
        seen = plain.replace(unreported=orders, unheard=orders, report_age=age) if late else plain
        yield seen.replace(available=jnp.ones_like(orders)) if fails else seen
