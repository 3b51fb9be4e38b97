"""Exact solvers and bounds, in float64: what is optimal wherever that is known."""

from meio_jax.solvers.clark_scarf import SerialSystem, clark_scarf, serial_system
from meio_jax.solvers.compound_poisson import CompoundPoisson
from meio_jax.solvers.continuous_review import r_Q, r_Q_approximation, r_Q_cost
from meio_jax.solvers.decomposition import decomposition_aggregation, recursive_optimisation
from meio_jax.solvers.dynamic_program import value_iteration
from meio_jax.solvers.eoq import eoq, eoq_cost, eoq_discounts
from meio_jax.solvers.federgruen_zipkin import federgruen_zipkin
from meio_jax.solvers.finite_horizon import finite_horizon
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.hindsight import Hindsight, hindsight
from meio_jax.solvers.laws import Law, Normal, Pmf, Poisson, as_law, clipped_normal, discretised
from meio_jax.solvers.linear_parts import Terminal, replacement_values
from meio_jax.solvers.lot_size import r_nQ, r_nQ_cost
from meio_jax.solvers.methods import solve
from meio_jax.solvers.metric import metric
from meio_jax.solvers.newsvendor import base_stock, base_stock_cost, newsvendor, newsvendor_profit
from meio_jax.solvers.one_for_one import one_for_one
from meio_jax.solvers.planners import RollingPlan, ScenarioTree, outlook_of, play
from meio_jax.solvers.policy_evaluation import policy_cost
from meio_jax.solvers.problem import Problem, problem_of
from meio_jax.solvers.reorder_levels import power_approximation, s_S, s_S_cost
from meio_jax.solvers.rosling import rosling
from meio_jax.solvers.search import SearchResult, search
from meio_jax.solvers.service_cost import service_cost
from meio_jax.solvers.service_milp import guaranteed_service_milp
from meio_jax.solvers.service_network import service_model
from meio_jax.solvers.service_tree import guaranteed_service
from meio_jax.solvers.shang_song import shang_song
from meio_jax.solvers.single_stage import Stage, single_stage
from meio_jax.solvers.solution import Solution
from meio_jax.solvers.tree import TreeSystem, tree_system
from meio_jax.solvers.tuned_rules import best_rule
from meio_jax.solvers.wagner_whitin import plan_cost, silver_meal, wagner_whitin

__all__ = [
    "CompoundPoisson",
    "Hindsight",
    "Law",
    "Normal",
    "Pmf",
    "Poisson",
    "Problem",
    "RollingPlan",
    "ScenarioTree",
    "SearchResult",
    "SerialSystem",
    "ServiceModel",
    "Solution",
    "Stage",
    "Terminal",
    "TreeSystem",
    "as_law",
    "base_stock",
    "base_stock_cost",
    "best_rule",
    "clark_scarf",
    "clipped_normal",
    "decomposition_aggregation",
    "discretised",
    "eoq",
    "eoq_cost",
    "eoq_discounts",
    "federgruen_zipkin",
    "finite_horizon",
    "guaranteed_service",
    "guaranteed_service_milp",
    "hindsight",
    "metric",
    "newsvendor",
    "newsvendor_profit",
    "one_for_one",
    "outlook_of",
    "plan_cost",
    "play",
    "policy_cost",
    "power_approximation",
    "problem_of",
    "r_Q",
    "r_Q_approximation",
    "r_Q_cost",
    "r_nQ",
    "r_nQ_cost",
    "recursive_optimisation",
    "replacement_values",
    "rosling",
    "s_S",
    "s_S_cost",
    "search",
    "serial_system",
    "service_cost",
    "service_model",
    "shang_song",
    "silver_meal",
    "single_stage",
    "solve",
    "tree_system",
    "value_iteration",
    "wagner_whitin",
]
