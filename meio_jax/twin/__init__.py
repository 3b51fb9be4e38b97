"""From history to a system that can be simulated: processes fitted to demand records, a network around them."""

from meio_jax.twin.fit import DemandFit, fit_demand
from meio_jax.twin.retail import RetailCosts, distribution_centre

__all__ = ["DemandFit", "RetailCosts", "distribution_centre", "fit_demand"]
