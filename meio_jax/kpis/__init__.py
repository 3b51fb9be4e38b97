"""Costs and key performance indicators, read from `Flows` and the network's numbers and nothing else.

Tallies are additive: sums over periods, lanes and machines are all that is needed to compute any ratio exactly.

`tally` and `kpis`: what every rollout keeps, of the whole network.
`wide_tally` and `indicators`: by node, echelon and customer; `KPIS` is the table of all of them.
`watch` with `Waits` or `Cycles`: what depends on the order of periods.
"""

from meio_jax.kpis.books import GROUPS, Books, group_names
from meio_jax.kpis.costs import COSTS, cost_terms, costs_by_node, total_cost
from meio_jax.kpis.indicators import KPIS, Kpi, indicators, kpi_named
from meio_jax.kpis.standards import Standards, checked, standards
from meio_jax.kpis.totals import Tally, kpis, tally
from meio_jax.kpis.values import Values, unit_values
from meio_jax.kpis.waits import Cycles, CycleTally, Waits, WaitTally, watch
from meio_jax.kpis.wide import WideMeasure, WideTally, flow_of_nodes, wide_tally

__all__ = [
    "COSTS",
    "GROUPS",
    "KPIS",
    "Books",
    "CycleTally",
    "Cycles",
    "Kpi",
    "Standards",
    "Tally",
    "Values",
    "WaitTally",
    "Waits",
    "WideMeasure",
    "WideTally",
    "checked",
    "cost_terms",
    "costs_by_node",
    "flow_of_nodes",
    "group_names",
    "indicators",
    "kpi_named",
    "kpis",
    "standards",
    "tally",
    "total_cost",
    "unit_values",
    "watch",
    "wide_tally",
]
