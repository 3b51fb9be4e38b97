"""Exact solvers and bounds, in float64: what is optimal wherever that is known."""

from meio_jax.solvers.clark_scarf import SerialSystem, clark_scarf, serial_system
from meio_jax.solvers.decomposition import decomposition_aggregation, recursive_optimisation
from meio_jax.solvers.dynamic_program import value_iteration
from meio_jax.solvers.federgruen_zipkin import federgruen_zipkin
from meio_jax.solvers.laws import Law, Normal, Pmf, Poisson, as_law, clipped_normal, discretised
from meio_jax.solvers.metric import metric
from meio_jax.solvers.newsvendor import base_stock, base_stock_cost, newsvendor
from meio_jax.solvers.one_for_one import one_for_one
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.rosling import rosling
from meio_jax.solvers.search import SearchResult, search
from meio_jax.solvers.shang_song import shang_song
from meio_jax.solvers.solution import Solution
from meio_jax.solvers.tree import TreeSystem, tree_system

__all__ = [
    "Law",
    "Normal",
    "Pmf",
    "Poisson",
    "SearchResult",
    "SerialSystem",
    "Solution",
    "TreeSystem",
    "as_law",
    "base_stock",
    "base_stock_cost",
    "clark_scarf",
    "clipped_normal",
    "decomposition_aggregation",
    "discretised",
    "federgruen_zipkin",
    "metric",
    "newsvendor",
    "one_for_one",
    "policy_cost",
    "recursive_optimisation",
    "rosling",
    "search",
    "serial_system",
    "shang_song",
    "tree_system",
    "value_iteration",
]
