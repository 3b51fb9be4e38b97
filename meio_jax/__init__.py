"""meio_jax: multi-echelon inventory optimisation with reinforcement learning, in one XLA program."""

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.network import Network, Wiring
from meio_jax.scenario import Scenario, Shock, check_scenario, scenario_of

__all__ = [
    "CUSTOMER",
    "OUTSIDE",
    "Arc",
    "Network",
    "Node",
    "Scenario",
    "Shock",
    "Wiring",
    "build_network",
    "check_scenario",
    "scenario_of",
]
