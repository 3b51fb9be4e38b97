"""The balances of a network over a tree of periods, as the rows of a linear program; see `linear_model`.

One matrix for a network and a tree; what the start and the demand change is the right-hand sides, which `limits` gives.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from meio_jax.errors import InputError, NonFiniteError
from meio_jax.network import Network
from meio_jax.solvers.linear_parts import Numbers, Start, Tree

__all__ = ["Balances"]

#: What stays of a rounding error when whole quantities are rounded: half a unit.
HALF = 0.5


class Balances:
    """Columns and rows of one lane's program; the arguments are those of `LinearModel`.

    ``at[name]`` holds the columns of each kind, ``[P | G, rows]``; ``used`` those that can be other than 0, in the
    order of ``matrix``; ``blocks[name]`` the rows of each kind of constraint.
    """

    def __init__(
        self,
        network: Network,
        tree: Tree,
        *,
        lane: int,
        lead_time: np.ndarray | None,
        available: np.ndarray | None,
        yield_: np.ndarray | None,
        whole: bool,
        rationing: bool,
        frugal: bool,
    ) -> None:
        self.network, self.tree, self.wiring = network, tree, network.wiring
        self.numbers = Numbers(network, lane)
        self.depth = tree.depth
        self.horizon = int(self.depth.max()) + 1
        w, k, h = self.wiring, self.numbers, self.horizon
        if lead_time is None:
            lead = np.asarray(w.lead_time if network.lead_time is None else _lane(network.lead_time, lane))
            lead_time = np.broadcast_to(lead, (h, w.n_inner))
        self.lead = np.clip(lead_time.astype(int), w.min_lead_time, w.max_lead_time)
        self.available = available
        self.rate = np.broadcast_to(k.yield_, (h, w.n_nodes)) if yield_ is None else np.asarray(yield_, np.float64)
        self.whole, self.rationing, self.frugal = whole, rationing, frugal
        #: Whether what is left over may be worth something: then no order is surely too large.
        self.salvage = bool((k.scrap_cost < 0).any())
        self.ships_first = w.timing == "ship_first"
        self.group: np.ndarray = self._groups()
        self._columns()
        self._constraints()

    # --- Columns ---

    def _groups(self) -> np.ndarray:
        """``[P]`` which periods share their decision: with demand seen first each has its own."""
        if self.wiring.timing == "demand_first":
            return np.arange(len(self.tree.parent))
        return np.unique(self.tree.parent, return_inverse=True)[1]

    def _columns(self) -> None:
        w, p, g = self.wiring, len(self.tree.parent), int(self.group.max()) + 1
        shapes = {
            "ordered": (g, w.n_inner), "sent": (g, w.n_inner), "sold": (p, w.n_customers),
            "backlog": (p, w.n_arcs), "lost": (p, w.n_arcs), "early": (g, w.n_nodes), "started": (p, w.n_nodes),
            "stock": (p, w.n_nodes), "components": (p, w.n_inputs), "scrapped": (p, w.n_nodes),
            "rounded": (p, w.n_nodes), "lots": (g, w.n_inner), "placed": (g, w.n_inner),
        }  # fmt: skip
        self.at: dict[str, np.ndarray] = {}
        self.size = 0
        for name, shape in shapes.items():
            self.at[name] = self.size + np.arange(shape[0] * shape[1]).reshape(shape)
            self.size += shape[0] * shape[1]
        self.upper = np.full(self.size, np.inf)
        self.integral = np.zeros(self.size, bool)
        k, at = self.numbers, self.at
        inner, to_order = w.n_inner, np.asarray(w.make_to_order)
        self.mixed = (k.keep > 0) & (k.keep < 1)

        def fix(name: str, most: Any) -> None:
            self.upper[at[name]] = np.minimum(self.upper[at[name]], most)

        fix("ordered", k.most)
        fix("lost", np.where(k.keep == 1, 0.0, np.inf))
        fix("backlog", np.where(k.keep == 0, 0.0, np.inf))
        outside = np.asarray(w.src[:inner]) < 0
        if self.available is None:  # suppliers ship whatever is ordered
            for name in ("backlog", "lost"):
                self.upper[at[name][:, :inner][:, outside]] = 0.0
        if self.frugal and self.available is None and not w.mail_slots and not k.lost_cost[:inner].any():
            self.upper[at["lost"][:, :inner]] = np.where(k.keep[:inner] == 0, 0.0, self.upper[at["lost"][:, :inner]])
        fix("early", np.where(to_order & self.ships_first, np.inf, 0.0))
        fix("stock", k.storage)
        fix("scrapped", np.where(np.isfinite(k.storage) | np.isfinite(k.shelf_life), np.inf, 0.0))
        fix("rounded", 1.0 + self.ships_first if w.integer and (self.rate != 1).any() else 0.0)
        fix("components", np.where(self._waits(), np.inf, 0.0))
        self.lots = np.zeros(inner, bool)
        self.placed = np.zeros(inner, bool)
        if self.whole:
            self.lots = k.lot_size > 0
            self.placed = (k.minimum_order > 0) | (k.fixed_order_cost > 0)
            self.integral[at["lots"]] = self.integral[at["placed"]] = True
            if w.integer:
                for name in ("sent", "sold", "started", "early"):
                    self.integral[at[name]] = True
        fix("lots", np.where(self.lots, np.inf, 0.0))
        fix("placed", np.where(self.placed, 1.0, 0.0))

    def _waits(self) -> np.ndarray:
        """``[M]`` where components may stay unbuilt at the end of a period."""
        w, k = self.wiring, self.numbers
        if not self.network.holds_components:
            return np.zeros(w.n_inputs, bool)
        node = np.asarray(w.node_of_input)
        several = np.asarray([len(m) > 1 for m in w.inputs_of_node])
        builds_all = ~several & np.isinf(k.capacity) & ~np.asarray(w.make_to_order) & (not w.integer)
        return ~builds_all[node]

    # --- Rows ---

    def _constraints(self) -> None:
        self.triplets: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.blocks: dict[str, np.ndarray] = {}
        self.low: list[np.ndarray] = []
        self.high: list[np.ndarray] = []
        self.count = 0
        w, k, at, tree = self.wiring, self.numbers, self.at, self.tree
        inner, group, parent = w.n_inner, self.group, tree.parent
        src = np.asarray(w.src)
        rate = self.rate[self.depth]  # [P, N]
        node = np.asarray(w.node_of_input)
        before = {name: self._of_parent(name) for name in ("backlog", "stock", "components")}
        sent = at["sent"][group]  # [P, I]
        ordered = self._heard()
        moved = np.concatenate([sent, at["sold"]], 1)  # [P, E]
        early = at["early"][group]

        # What is owed: old and new, less what is shipped and lost.
        rows = self._block("arc", (len(parent), w.n_arcs), 0.0, 0.0)
        for cols, value in ((at["backlog"], 1.0), (at["lost"], 1.0), (moved, 1.0), (before["backlog"], -1.0)):
            self._put(rows, cols, value)
        self._put(rows[:, :inner], ordered, -1.0)

        # Inputs: what arrives waits or is started.
        rows = self._block("input", (len(parent), w.n_inputs), 0.0, 0.0)
        self._put(rows, at["components"], 1.0)
        self._put(rows, before["components"], -1.0)
        self._put(rows, at["started"][:, node], k.units)
        self._put(rows, early[:, node], k.units)
        self._arrivals(rows)

        # Stock.
        rows = self._block("stock", (len(parent), w.n_nodes), 0.0, 0.0)
        for cols, value in ((at["stock"], 1.0), (before["stock"], -1.0), (at["scrapped"], 1.0), (at["rounded"], 1.0)):
            self._put(rows, cols, value)
        self._put(rows, at["started"], -rate)
        self._put(rows, early, -rate)
        leaves = src >= 0
        self._put(rows[:, src[leaves]], moved[:, leaves], 1.0)

        if self.available is not None:
            share = self.available[self.depth]  # [P, I]
            floor = 1.0 - 1e-9 if w.integer else 0.0
            low = np.broadcast_to(np.where(src[:inner] < 0, -floor, -np.inf), share.shape)
            rows = self._block("available", share.shape, low, 0.0)
            self._put(rows, sent, 1.0)
            self._put(rows, ordered, -share)
            self._put(rows, before["backlog"][:, :inner], -share)
        if self.ships_first:
            makes = np.flatnonzero(np.asarray(w.make_to_order)[node])
            rows = self._block("early inputs", (len(parent), len(makes)), -np.inf, 0.0)
            self._put(rows, early[:, node[makes]], k.units[makes])
            self._put(rows, before["components"][:, makes], -1.0)
            rows = self._block("early stock", (len(parent), w.n_nodes), -np.inf, 0.0)
            feeds = np.flatnonzero(leaves[:inner])
            self._put(rows[:, src[feeds]], sent[:, feeds], 1.0)
            self._put(rows, before["stock"], -1.0)
            self._put(rows, early, -rate)
        if np.isfinite(k.capacity).any():
            limited = np.flatnonzero(np.isfinite(k.capacity))
            rows = self._block("capacity", (len(parent), len(limited)), -np.inf, k.capacity[limited])
            self._put(rows, at["started"][:, limited], rate[:, limited])
            self._put(rows, early[:, limited], rate[:, limited])
            self._put(rows, at["rounded"][:, limited], -1.0)
        if any(w.make_to_order):
            self._made_to_order(rate, ordered, before["backlog"])
        if self.mixed.any():
            self._partly_kept(moved, ordered, before["backlog"])
        if np.isfinite(k.shelf_life).any():
            self._perishing(rate)
        if self.whole:
            self._orders()
        self._assemble()

    def _block(self, name: str, shape: tuple[int, ...], low: Any, high: Any) -> np.ndarray:
        """New rows, their lower and upper bounds; returns their indices."""
        index = self.count + np.arange(int(np.prod(shape))).reshape(shape)
        self.count += index.size
        self.blocks[name] = index
        self.low.append(np.broadcast_to(low, shape).ravel().astype(float))
        self.high.append(np.broadcast_to(high, shape).ravel().astype(float))
        return index

    def _put(self, rows: np.ndarray, columns: np.ndarray, values: Any) -> None:
        """Coefficients; a column of -1 is the start, which stands on the right-hand side."""
        rows, columns, values = np.broadcast_arrays(rows, columns, values)
        real = (columns >= 0) & (values != 0)
        self.triplets.append((rows[real], columns[real], values[real].astype(float)))

    def _of_parent(self, name: str) -> np.ndarray:
        return np.where(self.tree.parent[:, None] >= 0, self.at[name][self.tree.parent], -1)

    def _ancestors(self) -> list[np.ndarray]:
        """For 0, 1, .. periods back: the period of the tree that many before each, -1 where that is before now."""
        found = [np.arange(len(self.tree.parent))]
        while (found[-1] >= 0).any():
            found.append(np.where(found[-1] >= 0, self.tree.parent[found[-1]], -1))
        return found[:-1]

    def _heard(self) -> np.ndarray:
        """``[P, I]`` the orders that reach their source in each period: those placed an order delay before."""
        heard = np.full((len(self.group), self.wiring.n_inner), -1)
        for e, delay in enumerate(self.wiring.order_delay):
            if delay < len(self.ancestors):
                ago = self.ancestors[delay]
                heard[:, e] = np.where(ago >= 0, self.at["ordered"][self.group[np.maximum(ago, 0)], e], -1)
        return heard

    def _arrivals(self, rows: np.ndarray) -> None:
        """What was sent on each arc so long ago that it arrives now."""
        w = self.wiring
        feeds = rows[:, list(w.input_of_arc)]
        for back, ago in enumerate(self.ancestors):
            if back > max(w.max_lead_time):
                break
            sender = np.maximum(ago, 0)
            due = (ago >= 0)[:, None] & (self.lead[self.depth[sender]] == back)
            self._put(feeds, np.where(due, self.at["sent"][self.group[sender]], -1), -1.0)

    @cached_property
    def ancestors(self) -> list[np.ndarray]:
        return self._ancestors()

    def _made_to_order(self, rate: np.ndarray, ordered: np.ndarray, before: np.ndarray) -> None:
        """No more is built than is owed on the arcs that are about to be served."""
        w, inner = self.wiring, self.wiring.n_inner
        phases = [("started", range(w.n_arcs))]
        if self.ships_first:
            phases = [("early", range(inner)), ("started", range(inner, w.n_arcs))]
        makes = [n for n in range(w.n_nodes) if w.make_to_order[n]]
        for name, arcs in phases:
            rows = self._block(f"owed {name}", (len(rate), len(makes)), -np.inf, 0.0)
            built = self.at[name][self.group] if name == "early" else self.at[name]
            self._put(rows, built[:, makes], rate[:, makes])
            self._put(rows, self.at["rounded"][:, makes], -1.0)
            for j, n in enumerate(makes):
                out = [e for e in w.out_arcs[n] if e in arcs]
                self._put(rows[:, [j] * len(out)], before[:, out], -1.0)
                to_nodes = [e for e in out if e < inner]
                self._put(rows[:, [j] * len(to_nodes)], ordered[:, to_nodes], -1.0)
        if self.rationing:
            return
        open_ = np.ones((len(rate), inner), bool) if self.available is None else self.available[self.depth] == 1
        free = np.stack([open_[:, [e for e in w.out_arcs[n] if e < inner]].all(1) for n in makes], 1)
        rows = self._block("sent as built", free.shape, -np.inf, np.where(free, 0.0, np.inf))
        self._put(rows, self.at["stock"][:, makes], 1.0)
        self._put(rows, self._of_parent("stock")[:, makes], -1.0)

    def _partly_kept(self, moved: np.ndarray, ordered: np.ndarray, before: np.ndarray) -> None:
        """Of what is unmet, min(ordered, owed - shipped), 1 - keep is lost: relaxed to bounds from above and below."""
        k = self.numbers
        arcs = np.flatnonzero(self.mixed)
        gone, slack = (1.0 - k.keep)[arcs], HALF if self.wiring.integer else 0.0
        shape = (len(moved), len(arcs))
        orders = np.concatenate([ordered, np.full((len(moved), self.wiring.n_customers), -1)], 1)[:, arcs]
        lost = self.at["lost"][:, arcs]
        rows = self._block("lost of ordered", shape, -np.inf, slack)
        self._put(rows, lost, 1.0)
        self._put(rows, orders, -gone)
        rows = self._block("lost of owed", shape, -np.inf, slack)
        self._put(rows, lost, 1.0)
        self._put(rows, moved[:, arcs], gone)
        self._put(rows, before[:, arcs], -gone)
        self._put(rows, orders, -gone)
        rows = self._block("lost at least", shape, -np.inf, slack)
        self._put(rows, lost, -1.0)
        self._put(rows, orders, gone)
        self._put(rows, moved[:, arcs], -gone)

    def _perishing(self, rate: np.ndarray) -> None:
        """Stock at the end of a period was built less than a shelf life before; exact for first in, first out."""
        k = self.numbers
        nodes = np.flatnonzero(np.isfinite(k.shelf_life))
        life = np.minimum(k.shelf_life[nodes], self.wiring.ages).astype(int)
        rows = self._block("fresh", (len(rate), len(nodes)), -np.inf, 0.0)
        self._put(rows, self.at["stock"][:, nodes], 1.0)
        for back, ago in enumerate(self.ancestors[: int(life.max()) - 1]):
            p = np.maximum(ago, 0)
            young = (ago >= 0)[:, None] & (back < life - 1)
            for columns in (self.at["started"][p], self.at["early"][self.group[p]]):
                self._put(rows, np.where(young, columns[:, nodes], -1), -rate[p][:, nodes])

    def _orders(self) -> None:
        """Lots, minimum orders and the occasion of a fixed cost, for each decision."""
        k, at = self.numbers, self.at
        lots, placed = np.flatnonzero(self.lots), np.flatnonzero(self.placed)
        groups = len(at["ordered"])
        rows = self._block("lots", (groups, len(lots)), 0.0, 0.0)
        self._put(rows, at["ordered"][:, lots], 1.0)
        self._put(rows, at["lots"][:, lots], -k.lot_size[lots])
        rows = self._block("least", (groups, len(placed)), -np.inf, 0.0)
        self._put(rows, at["ordered"][:, placed], -1.0)
        self._put(rows, at["placed"][:, placed], k.minimum_order[placed])
        self._block("occasion", (groups, len(placed)), -np.inf, 0.0)  # its limit depends on the demand

    def _assemble(self) -> None:
        row, column, value = (np.concatenate(x) for x in zip(*self.triplets, strict=True))
        self.used = np.flatnonzero(self.upper > 0)
        place = np.full(self.size, -1)
        place[self.used] = np.arange(len(self.used))
        real = place[column] >= 0
        shape = (self.count, len(self.used))
        self.matrix = sparse.csc_array((value[real], (row[real], place[column[real]])), shape=shape)
        self.row_low, self.row_high = np.concatenate(self.low), np.concatenate(self.high)
        del self.triplets, self.low, self.high

    # --- What a start and a demand change ---

    def limits(self, start: Start, demand: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        """The matrix, and the least and greatest value of each row, from a start and the demand ``[P, C]``.

        Raises:
          NonFiniteError, InputError: as `solve`.
        """
        w, k, roots = self.wiring, self.numbers, self.tree.parent < 0
        demand = np.asarray(demand, np.float64)
        if demand.shape != (len(roots), w.n_customers):
            raise InputError(f"demand has shape {demand.shape}, expected ({len(roots)}, {w.n_customers})")
        if not (np.isfinite(demand).all() and all(np.isfinite(x).all() for x in start)):
            raise NonFiniteError("linear program: NaN or infinity in the start or in the demand")
        for e in np.flatnonzero((k.keep == 0) & (start.backlog > 0)):
            raise InputError(f"arc {w.arcs[e]!r} keeps no backlog, but {start.backlog[e]:g} units are owed on it")
        if w.integer:
            demand = np.floor(demand + HALF)
        low, high = self.row_low.copy(), self.row_high.copy()

        def shift(name: str, by: np.ndarray, where: Any = ...) -> None:
            index = self.blocks[name][where]
            low[index] += by
            high[index] += by

        inner = w.n_inner
        mail = np.zeros((self.horizon, inner))
        reach = min(self.horizon, len(start.mail))
        mail[:reach] = start.mail[:reach]
        new = np.concatenate([mail[self.depth], demand], 1)  # [P, E] what is given of the orders that reach each source
        shift("arc", new)
        shift("arc", start.backlog, roots)
        soon = np.zeros((self.horizon, w.n_inner))
        reach = min(self.horizon, len(start.pipeline))
        soon[:reach] = start.pipeline[:reach]
        due = np.zeros((self.horizon, w.n_inputs))
        np.add.at(due.T, np.asarray(w.input_of_arc), soon.T)
        shift("input", due[self.depth])
        stock = start.on_hand.sum(0)
        shift("stock", stock, roots)
        if self.network.holds_components:
            shift("input", start.components, roots)
        if self.available is not None:
            shift("available", self.available[self.depth] * new[:, :inner])
            shift("available", self.available[0] * start.backlog[:inner], roots)
        if self.ships_first:
            shift("early stock", stock, roots)
            makes = np.flatnonzero(np.asarray(w.make_to_order)[np.asarray(w.node_of_input)])
            if len(makes):
                shift("early inputs", start.components[makes], roots)
        if any(w.make_to_order):
            self._owed_at_start(shift, start, new, roots)
        if self.mixed.any():
            arcs = np.flatnonzero(self.mixed)
            gone = (1.0 - k.keep)[arcs]
            asked = new[:, arcs]
            shift("lost of ordered", gone * asked)
            shift("lost of owed", gone * asked)
            shift("lost of owed", gone * start.backlog[arcs], roots)
            shift("lost at least", -gone * asked)
        if np.isfinite(k.shelf_life).any():
            nodes = np.flatnonzero(np.isfinite(k.shelf_life))
            lasts = np.cumsum(start.on_hand[::-1], 0)[::-1][1:]  # [j]: what can still be used after j + 1 periods
            left = np.zeros((self.horizon, w.n_nodes))
            left[: len(lasts)] = lasts[: self.horizon]
            shift("fresh", left[self.depth][:, nodes])
        return self.matrix if not self.placed.any() else self._with_limits(start, demand), low, high

    def _owed_at_start(self, shift: Any, start: Start, new: np.ndarray, roots: np.ndarray) -> None:
        w, inner = self.wiring, self.wiring.n_inner
        makes = [n for n in range(w.n_nodes) if w.make_to_order[n]]
        for name in ("early", "started") if self.ships_first else ("started",):
            for j, n in enumerate(makes):
                out = [e for e in w.out_arcs[n] if not self.ships_first or (e < inner) == (name == "early")]
                shift(f"owed {name}", start.backlog[out].sum(), (roots, j))
                shift(f"owed {name}", new[:, out].sum(1), np.s_[:, j])
        if not self.rationing:
            shift("sent as built", start.on_hand.sum(0)[makes], roots)

    def _with_limits(self, start: Start, demand: np.ndarray) -> Any:
        """The matrix with the most that can be ordered at once where an order has a fixed cost or a minimum."""
        placed = np.flatnonzero(self.placed)
        limit = self._useful(start, demand)[placed]
        place = np.full(self.size, -1)
        place[self.used] = np.arange(len(self.used))
        rows = self.blocks["occasion"]
        cols = (place[self.at["ordered"][:, placed]], place[self.at["placed"][:, placed]])
        values = (np.ones(rows.shape), np.broadcast_to(-limit, rows.shape))
        row, column, value = (np.concatenate([a.ravel() for a in x]) for x in ((rows, rows), cols, values))
        real = column >= 0
        more = sparse.csc_array((value[real], (row[real], column[real])), shape=self.matrix.shape)
        return self.matrix + more

    def _useful(self, start: Start, demand: np.ndarray) -> np.ndarray:
        """``[I]`` the most that is ever worth ordering at once: all that will be asked for downstream."""
        w, k, inner = self.wiring, self.numbers, self.wiring.n_inner
        wanted = start.backlog.copy()
        by_depth = np.zeros((self.horizon, w.n_customers))
        np.maximum.at(by_depth, self.depth, demand)
        wanted[inner:] += by_depth.sum(0)
        rate = np.where(self.rate > 0, self.rate, 1.0).min(0)  # what is started for nothing is not worth ordering
        for n in range(w.n_nodes - 1, -1, -1):
            through = float(np.sum(wanted[list(w.out_arcs[n])]))
            for e in w.in_arcs[n]:
                wanted[e] += k.units[w.input_of_arc[e]] * through / rate[n]
        if self.available is not None:
            share = np.where(self.available > 0, self.available, 1.0).min(0)
            wanted[:inner] /= share
        if self.salvage:
            for free in np.flatnonzero(self.placed & np.isinf(k.most)):
                raise InputError(f"arc {w.arcs[free]!r}: what is left over pays, so give the arc an order_capacity")
            return np.minimum(k.most, 1e9)
        return np.minimum(np.maximum(wanted[:inner] + k.lot_size, k.minimum_order), k.most)


def _lane(leaf: Any, lane: int) -> np.ndarray:
    x = np.asarray(leaf)
    return x[:, lane if x.shape[-1] > 1 else 0]
