"""Figures: networks, safety stock on them, learning curves, stock over time, policies. Nothing here needs a display.

Each function draws into ``ax`` where one is given, else into a new `matplotlib.figure.Figure` that belongs to no global
state, and returns the figure: ``draw_network(network).savefig("network.png", dpi=150)``.
"""

from meio_jax.plot.curves import comparison, learning_curve, stock_over_time
from meio_jax.plot.mermaid import mermaid
from meio_jax.plot.network import draw_network
from meio_jax.plot.service import plot_service_times
from meio_jax.plot.surfaces import cost_curves, order_surface, orders_by_state

__all__ = [
    "comparison",
    "cost_curves",
    "draw_network",
    "learning_curve",
    "mermaid",
    "order_surface",
    "orders_by_state",
    "plot_service_times",
    "stock_over_time",
]
