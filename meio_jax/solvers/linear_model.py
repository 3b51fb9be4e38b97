"""The physics of a network as a linear program over a horizon, or over a tree of possible futures.

One program serves all: a deterministic horizon is a tree without branches. Variables are what moves and what stands in
each period of the tree; constraints are the balances of ARCHITECTURE.md, section 3. Every trajectory of `transition`
satisfies them, whatever was ordered and however scarce stock was shared, so the optimum is a lower bound on the cost of
every policy; `meio_jax.solvers.linear_parts.relaxations` names what of a network the program does not hold exactly.

Notation as in `meio_jax.network`, and: P periods of the tree, each with a depth (its time), G groups of periods between
which the planner cannot tell when it decides (siblings, where demand comes after the orders).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from meio_jax.errors import InfeasibleError, NumberError, UnboundedError
from meio_jax.network import Network
from meio_jax.solvers.linear_balances import Balances
from meio_jax.solvers.linear_parts import Start, Terminal, Tree

__all__ = ["LinearModel", "Plan"]

#: Of the largest rate of holding or backlog: too little to change a plan, enough to choose between equal ones.
HAIR = 1e-4


class Plan(NamedTuple):
    """The optimum: its cost, orders ``[P, I]`` and shipments ``[P, E]`` in each period of the tree."""

    cost: float
    orders: np.ndarray
    shipped: np.ndarray


class LinearModel(Balances):
    """The program of one lane: its matrix is built once; start and demand change right-hand sides only.

    Args:
      lane: of the network's numbers.
      lead_time: ``[H, I]`` whole periods a shipment of each depth travels; None: the network's.
      available: ``[H, I]`` share that sources can ship; None: all.
      yield_: ``[H, N]``; None: the network's.
      weights: ``[H]`` of the costs of each depth (discounting, a warm-up that does not count); None: 1.
      whole: lots, minimum orders and fixed costs exactly, and whole units in integer networks: an integer program.
      rationing: also policies that hold stock back with `Decision.allocation` are bounded. Without it a make-to-order
        node sends what it builds.
      frugal: nothing is ordered that is not to be shipped at once, unless it pays: owing on inner arcs costs a hair,
        and nothing is lost there where nothing need be. For planners: without rationing such orders ship as planned.
      terminal: worth of what is left at the end, weighted as the last period; None: nothing, as in the simulator.
    """

    def __init__(
        self,
        network: Network,
        tree: Tree,
        *,
        lane: int = 0,
        lead_time: np.ndarray | None = None,
        available: np.ndarray | None = None,
        yield_: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        whole: bool = False,
        rationing: bool = True,
        frugal: bool = False,
        terminal: Terminal | None = None,
    ) -> None:
        super().__init__(
            network,
            tree,
            lane=lane,
            lead_time=lead_time,
            available=available,
            yield_=yield_,
            whole=whole,
            rationing=rationing,
            frugal=frugal,
        )
        self.weights = np.ones(self.horizon) if weights is None else np.asarray(weights, np.float64)
        self.terminal = terminal
        self.salvage |= terminal is not None
        self._objective()

    def _objective(self) -> None:
        k, at, tree = self.numbers, self.at, self.tree
        cost = np.zeros(self.size)
        p = (tree.probability * self.weights[self.depth])[:, None]  # [P, 1]
        rate = self.rate[self.depth]
        first = np.zeros(len(at["ordered"]), int)
        first[self.group] = np.arange(len(self.group))
        together = np.zeros(len(at["ordered"]))
        np.add.at(together, self.group, tree.probability)
        when = self.depth[first]  # depth of each group
        q = together[:, None]

        def add(name: str, values: Any) -> None:
            cost[at[name]] += values

        add("stock", p * k.holding_cost)
        add("components", p * k.component_holding_cost)
        add("backlog", p * k.backlog_cost)
        add("lost", p * k.lost_cost)
        if self.frugal:
            owing = np.arange(self.wiring.n_arcs) < self.wiring.n_inner
            add("backlog", p * owing * HAIR * max(k.holding_cost.max(), k.backlog_cost.max()))
        add("sold", -p * k.price)
        add("scrapped", p * k.scrap_cost)
        add("started", p * rate * k.operating_cost)
        np.add.at(cost, at["early"][self.group], p * rate * k.operating_cost)
        add("rounded", -p * k.operating_cost)
        elapsed = np.concatenate([[0.0], np.cumsum(self.weights)])
        until = np.minimum(when[:, None] + self.lead[when], self.horizon)
        travels = elapsed[until] - elapsed[when][:, None]
        add("sent", q * (self.weights[when][:, None] * k.unit_cost + travels * k.transit_holding_cost))
        occasion = q * self.weights[when][:, None] * k.fixed_order_cost
        if self.whole:
            add("placed", occasion)
        else:
            add("ordered", np.where(np.isfinite(k.most) & (k.most > 0), occasion / np.maximum(k.most, 1e-12), 0.0))
        if self.terminal is not None:
            leaf = np.ones(len(tree.parent), bool)
            leaf[tree.parent[tree.parent >= 0]] = False
            end = (tree.probability * leaf * self.weights[-1])[:, None]
            add("stock", -end * self.terminal.on_hand)
            add("components", -end * self.terminal.components)
            late = when[:, None] + self.lead[when] >= self.horizon
            add("sent", -q * self.weights[-1] * late * self.terminal.in_transit)
        self.cost = cost[self.used]

    def constant(self, start: Start) -> float:
        """The part of the cost that the start has already decided: what is on its way, as long as it is."""
        k = self.numbers
        slots = np.arange(len(start.pipeline))
        elapsed = np.concatenate([[0.0], np.cumsum(self.weights)])[np.minimum(slots, self.horizon)]
        fixed = float(np.sum(elapsed[:, None] * start.pipeline * k.transit_holding_cost))
        if self.terminal is not None:
            late = start.pipeline[self.horizon :]
            fixed -= float(self.weights[-1] * np.sum(late * self.terminal.in_transit))
        return fixed

    def solve(self, start: Start, demand: np.ndarray, *, gap: float = 1e-6, seconds: float | None = None) -> Plan:
        """The optimum from a start, given the demand ``[P, C]`` (before rounding to whole units).

        Raises:
          UnboundedError: cost can be made as small as one likes, as where scrapping pays more than buying costs.
          InfeasibleError: no plan satisfies the constraints.
          NonFiniteError: NaN in the start or in the demand.
          InputError: the demand has the wrong shape, or something is owed on an arc that keeps no backlog.
          NumberError: HiGHS gave up.
        """
        matrix, low, high = self.limits(start, demand)
        upper = self.upper[self.used]
        integral = self.integral[self.used] if self.whole else None
        options = {"mip_rel_gap": gap} if self.whole else {}
        if seconds is not None:
            options["time_limit"] = seconds
        found = optimize.milp(
            self.cost,
            constraints=optimize.LinearConstraint(matrix, low, high),
            bounds=optimize.Bounds(0.0, upper),
            integrality=integral,
            options=options,
        )
        if found.status == 3 or (found.status == 4 and "nbounded" in found.message):
            raise UnboundedError("the cost has no lower bound: scrap or terminal values pay more than a unit costs")
        if found.status == 2:
            raise InfeasibleError("no plan satisfies the constraints of the network from this start")
        # Out of time: the bound still holds, and the plan is the best that was found.
        late = self.whole and found.status == 1 and found.x is not None
        if found.x is None or not (found.status == 0 or late):
            raise NumberError(f"HiGHS found no optimum: {found.message}")
        x = np.zeros(self.size)
        x[self.used] = np.maximum(found.x, 0.0)
        proven = found.mip_dual_bound if self.whole else None  # None too where nothing of the program is whole
        value = found.fun if proven is None else min(found.fun, proven)
        sent = x[self.at["sent"]][self.group]
        shipped = np.concatenate([sent, x[self.at["sold"]]], 1)
        return Plan(float(value) + self.constant(start), self._needed(x[self.at["ordered"]][self.group], sent), shipped)

    def _needed(self, ordered: np.ndarray, sent: np.ndarray) -> np.ndarray:
        """Orders without what would be ordered in vain: where it costs nothing the program may say any number."""
        k, inner = self.numbers, self.wiring.n_inner
        vain = (k.keep[:inner] == 0) & (k.lost_cost[:inner] == 0) & ~self.lots & ~self.placed
        vain &= np.asarray(self.wiring.order_delay) == 0
        share = np.ones(ordered.shape) if self.available is None else self.available[self.depth]
        enough = np.where(share > 0, sent / np.where(share > 0, share, 1.0), 0.0)
        return np.where(vain, np.minimum(enough, ordered), ordered)
