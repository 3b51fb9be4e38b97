"""Random demand, lead times, supply, yields and reports: pure processes whose parameters are leaves.

A process has ``init(key, lanes) -> carry`` and ``sample(key, carry, t, lanes) -> (values [K, B], carry)``. Construct
it by its lower-case function, which checks the numbers. To add one write one file in this folder: a class with
`role`, `kind`, `parameters` and `examples`, a constructor named like its kind, both in ``__all__``; `PROCESSES` and
the tests find it.
"""

from meio_jax.processes.autoregressive import autoregressive
from meio_jax.processes.base import ROLES, Parameter, Process
from meio_jax.processes.correlated import correlated
from meio_jax.processes.counts import negative_binomial, poisson
from meio_jax.processes.deterministic import deterministic
from meio_jax.processes.discrete_uniform import discrete_uniform
from meio_jax.processes.empirical import empirical
from meio_jax.processes.gamma import gamma
from meio_jax.processes.geometric import geometric
from meio_jax.processes.history import bootstrap, replay
from meio_jax.processes.intermittent import intermittent
from meio_jax.processes.lead_time import discrete, fixed
from meio_jax.processes.mixed import mixed
from meio_jax.processes.normal import normal
from meio_jax.processes.outages import outages
from meio_jax.processes.regimes import markov_demand, markov_lead_time
from meio_jax.processes.registry import CONSTRUCTORS, PROCESSES, construct
from meio_jax.processes.reporting import reports
from meio_jax.processes.seasonal import cyclic, seasonal
from meio_jax.processes.shocks import shocked
from meio_jax.processes.world import (
    Processes,
    check_processes,
    draw,
    init_processes,
    mean_demand,
    sample_shock,
    sd_demand,
)
from meio_jax.processes.yields import random_yield, uniform_yield

__all__ = [
    "CONSTRUCTORS", "PROCESSES", "ROLES", "Parameter", "Process", "Processes", "autoregressive", "bootstrap",
    "check_processes", "construct", "correlated", "cyclic", "deterministic", "discrete", "discrete_uniform", "draw",
    "empirical", "fixed", "gamma", "geometric", "init_processes", "intermittent", "markov_demand", "markov_lead_time",
    "mean_demand", "mixed", "negative_binomial", "normal", "outages", "poisson", "random_yield", "replay", "reports",
    "sample_shock", "sd_demand", "seasonal", "shocked", "uniform_yield",
]  # fmt: skip
