"""Exact solvers and bounds, in float64: what is optimal wherever that is known."""

from meio_jax.solvers.clark_scarf import SerialSystem, clark_scarf, serial_system
from meio_jax.solvers.laws import Law, Normal, Pmf, Poisson, as_law, clipped_normal, discretised
from meio_jax.solvers.newsvendor import base_stock, base_stock_cost, newsvendor
from meio_jax.solvers.search import SearchResult, search
from meio_jax.solvers.solution import Solution

__all__ = [
    "Law",
    "Normal",
    "Pmf",
    "Poisson",
    "SearchResult",
    "SerialSystem",
    "Solution",
    "as_law",
    "base_stock",
    "base_stock_cost",
    "clark_scarf",
    "clipped_normal",
    "discretised",
    "newsvendor",
    "search",
    "serial_system",
]
