"""meio_jax: multi-echelon inventory optimisation with reinforcement learning, in one XLA program.

The names here are what a notebook starts with; each room of the package (`processes`, `policies`, `solvers`,
`learners`, `topologies`, `files`, `data`, `twin`, `plot`) has its own. Importing this imports JAX and little else.
"""

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.errors import InputError
from meio_jax.kpis import Tally, cost_terms, kpis, tally, total_cost
from meio_jax.network import Network, Wiring
from meio_jax.observation import Observation, echelon_position, installation_position, observe
from meio_jax.policies.base import Decision, Policy
from meio_jax.processes import Processes, draw
from meio_jax.rollout import Rollout, Trajectory, rollout
from meio_jax.scenario import Scenario, Shock, check_scenario, scenario_of
from meio_jax.simulator import Flows, State, initial_state, transition

__version__ = "0.1.0"

__all__ = [
    "CUSTOMER",
    "OUTSIDE",
    "Arc",
    "Decision",
    "Flows",
    "InputError",
    "Network",
    "Node",
    "Observation",
    "Policy",
    "Processes",
    "Rollout",
    "Scenario",
    "Shock",
    "State",
    "Tally",
    "Trajectory",
    "Wiring",
    "build_network",
    "check_scenario",
    "cost_terms",
    "draw",
    "echelon_position",
    "initial_state",
    "installation_position",
    "kpis",
    "observe",
    "rollout",
    "scenario_of",
    "tally",
    "total_cost",
    "transition",
]
