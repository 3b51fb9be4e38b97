"""What is optimal, seen: cost as a function of a level, and the order as a function of the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.observation import observe
from meio_jax.plot.style import CYCLE, GREEN, INK, PAPER, QUIET, SHADES, axes_for, figures, finish, labels_at_the_right
from meio_jax.policies.base import Policy
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state
from meio_jax.stock import to_whole

__all__ = ["cost_curves", "order_surface", "orders_by_state"]


def cost_curves(
    levels: Any,
    costs: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    simulated: Mapping[str, tuple[Any, Any]] | None = None,
    optimum: float | None = None,
    x_label: str = "base-stock level",
    y_label: str = "cost per period",
    title: str | None = None,
) -> Figure:
    """Cost over a number that one can choose, each curve with its minimum marked.

    Args:
      levels: ``[K]``. costs: by name ``[K]``, money per period; NaN is left out.
      simulated: by name of a curve ``(low [K], high [K])``, drawn as bars over it.
      optimum: the cost of the best of all policies, a line.
      ax, x_label, y_label, title: as elsewhere.

    Raises:
      InputError: lengths do not fit.
    """
    figure, ax = axes_for(ax, (6.4, 3.6))
    x = np.asarray(levels, float)
    lines: list[tuple[float, str, str]] = []
    for colour, (name, values) in zip(CYCLE * (1 + len(costs) // len(CYCLE)), costs.items(), strict=False):
        y = np.asarray(values, float)
        if y.shape != x.shape:
            raise InputError(f"cost curve {name!r}: {y.size} costs for {x.size} levels")
        ax.plot(x, y, color=colour, linewidth=1.8, solid_capstyle="round")
        if np.isfinite(y).any():
            best = int(np.nanargmin(y))
            ax.plot(x[best], y[best], "o", color=colour, markersize=5, markeredgecolor=PAPER, zorder=4)
            label = f"{figures(float(y[best]))} at {x[best]:g}"
            side = "left" if best < 0.1 * x.size else "right" if best > 0.9 * x.size else "center"
            ax.annotate(
                label, (x[best], y[best]), (0, -13), textcoords="offset points", ha=side, fontsize=8, color=colour
            )
            lines.append((float(y[np.isfinite(y)][-1]), name, colour))
        if simulated and name in simulated:
            low, high = (np.asarray(side, float) for side in simulated[name])
            ax.vlines(x, low, high, color=colour, linewidth=5, alpha=0.3)
    if optimum is not None:
        ax.axhline(optimum, color=GREEN, linewidth=1.4, zorder=1)
        lines.append((optimum, f"optimum {figures(optimum)}", GREEN))
    finish(ax, title, x_label, y_label)
    ax.margins(x=0.01, y=0.14)
    figure.draw_without_rendering()  # the layout settles the height in which labels must keep apart
    labels_at_the_right(ax, lines)
    return figure


def orders_by_state(
    network: Network,
    policy: Policy,
    theta: Any,
    on_hand: Any,
    due: Any,
    *,
    arc: int = 0,
    slot: int = 1,
    due_on: int | None = None,
) -> np.ndarray:
    """``[len(due), len(on_hand)]`` what a policy orders on an arc, all else in the system being empty; whole units
    where the network's are.

    Args:
      on_hand: units at the arc's destination after this period's receipt; negative where so many are owed to its
        first customer. due: units that arrive ``slot`` periods from now. The planner sees no demand yet.
      due_on: the arc that they arrive on; default: ``arc``.

    Raises:
      InputError: there is no such arc or slot; units are owed, and there is no customer who waits.
    """
    w = network.wiring
    on = arc if due_on is None else due_on
    if not (0 <= arc < w.n_inner and 0 <= on < w.n_inner) or not 1 <= slot < max(w.slots, 2):
        raise InputError(f"arcs {arc} and {on} of {w.n_inner} with slot {slot} of {w.slots}: there is no such place")
    stock, coming = np.meshgrid(np.asarray(on_hand, float), np.asarray(due, float))
    lanes = stock.size
    state = initial_state(network, lanes)
    dtype = network.holding_cost.dtype
    fresh = state.on_hand.shape[0] - 1
    units = jnp.asarray(stock.ravel(), dtype)
    state = state.replace(
        on_hand=jnp.zeros_like(state.on_hand).at[fresh, w.dst[arc]].set(jnp.maximum(units, 0.0)),
        pipeline=jnp.zeros_like(state.pipeline),
    )
    if stock.min() < 0:
        waiting = [e for e in w.out_arcs[w.dst[arc]] if e >= w.n_inner]
        if not waiting:
            raise InputError(f"{stock.min():g} on hand: {w.nodes[w.dst[arc]]} owes to no customer")
        state = state.replace(backlog=state.backlog.at[waiting[0]].set(jnp.maximum(-units, 0.0)))
    if slot < w.slots:
        state = state.replace(pipeline=state.pipeline.at[slot, on].set(jnp.asarray(coming.ravel(), dtype)))
    shock = Shock(demand=jnp.zeros((w.n_customers, lanes), dtype))
    decision, _ = policy.apply(
        network, theta, policy.memory(network, lanes), observe(network, state, shock), jax.random.key(0)
    )
    return np.asarray(to_whole(w, decision.orders[arc], 0.5), float).reshape(stock.shape)


def order_surface(
    network: Network,
    policies: Mapping[str, tuple[Policy, Any]],
    on_hand: Sequence[float],
    due: Sequence[float],
    *,
    arc: int = 0,
    slot: int = 1,
    due_on: int | None = None,
    title: str | None = None,
) -> Figure:
    """What policies order in each state, one picture each in common colours; see `orders_by_state`.

    Cells in which a policy orders something else than the first one are framed.
    """
    tables = {
        name: orders_by_state(network, policy, theta, on_hand, due, arc=arc, slot=slot, due_on=due_on)
        for name, (policy, theta) in policies.items()
    }
    count, (rows, columns) = len(tables), next(iter(tables.values())).shape
    figure = Figure(
        figsize=(0.6 + count * (0.24 * columns + 0.45), 0.24 * rows + 1.3), facecolor=PAPER, layout="constrained"
    )
    most = max(float(np.nanmax(table)) for table in tables.values())
    first = next(iter(tables.values()))
    for k, (name, table) in enumerate(tables.items()):
        ax = figure.add_subplot(1, count, k + 1)
        ax.imshow(table, origin="lower", cmap=SHADES, vmin=0, vmax=max(most, 1e-9), aspect="equal")
        for i, j in np.ndindex(rows, columns):
            other = table[i, j] != first[i, j]
            colour = QUIET if table[i, j] == 0 else INK
            ax.text(j, i, f"{table[i, j]:.3g}", ha="center", va="center", fontsize=7, color=colour)
            if other:
                ax.add_patch(_frame(j, i))
        finish(ax, name, "on hand", f"due in {slot}" if k == 0 else "")
        every_x, every_y = max(1, columns // 8), max(1, rows // 6)
        ax.set_xticks(range(0, columns, every_x), [f"{on_hand[j]:g}" for j in range(0, columns, every_x)])
        ax.set_yticks(range(0, rows, every_y), [f"{due[i]:g}" for i in range(0, rows, every_y)] if k == 0 else [])
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(length=0)
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold", color=INK, x=0.01, ha="left")
    return figure


def _frame(x: float, y: float) -> Rectangle:
    return Rectangle((x - 0.44, y - 0.44), 0.88, 0.88, fill=False, edgecolor="#dc2626", linewidth=0.9)
