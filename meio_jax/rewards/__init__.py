"""What a learner is paid for: the negative cost, weighted terms, or a reward composed of parts.

`reward(weights, network, flows)` is the plain one: None for the negative total cost, or a weight for each named term.
Everything else has one protocol (`Reward`, `Quantity` in `meio_jax.rewards.base`): ``init(network, lanes) -> carry``
and ``apply(carry, network, played) -> (value, carry)``. Classes are pytrees whose numbers are traced; the functions in
lower case make them of checked numbers.

Quantities: `Term` (this period), `Running` (an indicator over the recent past), `Gap` (a share below its target, in
events), `Hinge`, `Exponential`, `shortfall` (penalties), `Summed`, `AtEnd` (their own time scale), `Scaled`.

Rewards: `Weighted`, `ServiceFirst` (a hierarchy), `Lagrangian` (constraints), `Shaped` (a potential), `Difference`
(beside a default), `Total` (of rewards). `reference_sizes` makes a weight mean the same on every network.
"""

from meio_jax.rewards.base import Played, Quantity, Reward, begin_reward, pay, pay_along
from meio_jax.rewards.difference import Difference, difference_rewards
from meio_jax.rewards.hierarchy import ServiceFirst, service_first
from meio_jax.rewards.lagrangian import Lagrangian, lagrangian
from meio_jax.rewards.quantities import Gap, Running, Term, gap, running
from meio_jax.rewards.shapes import AtEnd, Exponential, Hinge, Scaled, Summed, exponential, hinge, scaled, shortfall
from meio_jax.rewards.shaping import Shaped, shaped, value_of_stock
from meio_jax.rewards.sizes import reference_sizes
from meio_jax.rewards.terms import TERMS, Weights, reward, reward_by_node
from meio_jax.rewards.weighted import Total, Weighted, weighted

__all__ = [
    "TERMS", "AtEnd", "Difference", "Exponential", "Gap", "Hinge", "Lagrangian", "Played", "Quantity", "Reward",
    "Running", "Scaled", "ServiceFirst", "Shaped", "Summed", "Term", "Total", "Weighted", "Weights", "begin_reward",
    "difference_rewards", "exponential", "gap", "hinge", "lagrangian", "pay", "pay_along", "reference_sizes", "reward",
    "reward_by_node", "running", "scaled", "service_first", "shaped", "shortfall", "value_of_stock", "weighted",
]  # fmt: skip
