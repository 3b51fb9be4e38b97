"""What a linear program of a network is made of: a tree of periods, a start, one lane's numbers, worths at the end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from meio_jax.errors import NonFiniteError, UnsuitableError
from meio_jax.network import Network
from meio_jax.simulator import State

__all__ = ["Numbers", "Start", "Terminal", "Tree", "chain", "relaxations", "replacement_values"]


class Tree(NamedTuple):
    """Possible futures. ``parent [P]`` (-1: the period begins now) comes before its children; ``probability [P]``."""

    parent: np.ndarray
    probability: np.ndarray

    @property
    def depth(self) -> np.ndarray:
        """``[P]`` periods from now."""
        depth = np.zeros(len(self.parent), int)
        for p, parent in enumerate(self.parent):
            depth[p] = 0 if parent < 0 else depth[parent] + 1
        return depth


def chain(periods: int) -> Tree:
    """One future."""
    return Tree(np.arange(periods) - 1, np.ones(periods))


class Start(NamedTuple):
    """One lane of a `State` in float64.

    on_hand ``[A, N]``, components ``[M|0]``, backlog ``[E]``, pipeline ``[L, I]``, mail ``[D, I]`` (D may be 0).
    """

    on_hand: np.ndarray
    components: np.ndarray
    backlog: np.ndarray
    pipeline: np.ndarray
    mail: np.ndarray

    @classmethod
    def of(cls, state: State, lane: int) -> Start:
        mail = state.pipeline[:0] if state.mail is None else state.mail
        parts = (state.on_hand, state.components, state.backlog, state.pipeline, mail)
        return cls(*(np.asarray(x, np.float64)[..., lane if x.shape[-1] > 1 else 0] for x in parts))


class Terminal(NamedTuple):
    """Worth of a unit at the end of the horizon: on_hand ``[N]``, components ``[M]``, in_transit ``[I]``."""

    on_hand: np.ndarray
    components: np.ndarray
    in_transit: np.ndarray


#: Leaves of a network, their rows, and the number that an absent one stands for.
_LEAVES: dict[str, tuple[str, float]] = {
    "holding_cost": ("N", 0.0), "backlog_cost": ("E", 0.0), "lost_cost": ("E", 0.0), "units": ("I", 1.0),
    "keep": ("E", 1.0), "unit_cost": ("I", 0.0), "price": ("C", 0.0), "transit_holding_cost": ("I", 0.0),
    "component_holding_cost": ("M", 0.0), "fixed_order_cost": ("I", 0.0), "lot_size": ("I", 0.0),
    "minimum_order": ("I", 0.0), "order_capacity": ("I", np.inf), "capacity": ("N", np.inf),
    "operating_cost": ("N", 0.0), "storage": ("N", np.inf), "yield_": ("N", 1.0), "shelf_life": ("N", np.inf),
    "scrap_cost": ("N", 0.0),
}  # fmt: skip


class Numbers:
    """One lane of a network in float64, an attribute for each leaf, every absent one filled with its neutral number.

    ``most [I]`` is the largest order that can be placed; ``units`` is ``[M]`` here.

    Raises:
      UnsuitableError: demand that reacts to service (goodwill).
      NonFiniteError: a leaf is NaN.
    """

    holding_cost: np.ndarray
    backlog_cost: np.ndarray
    lost_cost: np.ndarray
    units: np.ndarray
    keep: np.ndarray
    unit_cost: np.ndarray
    price: np.ndarray
    transit_holding_cost: np.ndarray
    component_holding_cost: np.ndarray
    fixed_order_cost: np.ndarray
    lot_size: np.ndarray
    minimum_order: np.ndarray
    order_capacity: np.ndarray
    capacity: np.ndarray
    operating_cost: np.ndarray
    storage: np.ndarray
    yield_: np.ndarray
    shelf_life: np.ndarray
    scrap_cost: np.ndarray
    most: np.ndarray

    def __init__(self, network: Network, lane: int = 0) -> None:
        w = network.wiring
        if network.erosion is not None and np.any(np.asarray(network.erosion) > 0):
            raise UnsuitableError(
                "a linear program cannot hold demand that reacts to service: set erosion to 0, or use `search`"
            )
        count = {"N": w.n_nodes, "E": w.n_arcs, "I": w.n_inner, "C": w.n_customers, "M": w.n_inputs}
        for name, (rows, neutral) in _LEAVES.items():
            leaf = getattr(network, name)
            x = np.full(count[rows], neutral)
            if leaf is not None:
                x = np.asarray(leaf, np.float64)
                x = x[:, lane if x.shape[-1] > 1 else 0]
                if np.isnan(x).any():
                    raise NonFiniteError(f"{name} is NaN in lane {lane}")
            setattr(self, name, x)
        self.units = self.units[[arcs[0] for arcs in w.arcs_of_input]]
        if w.integer:
            self.lot_size = np.where(self.lot_size == 0, 1.0, self.lot_size)
        lot, most = self.lot_size, self.order_capacity
        size = np.where(lot > 0, lot, 1.0)
        least = np.where(lot > 0, np.ceil(self.minimum_order / size) * size, self.minimum_order)
        whole = np.floor(np.where(np.isinf(most), 0.0, most) / size) * size
        most = np.where((lot > 0) & np.isfinite(most), whole, most)
        self.minimum_order = least
        self.most = np.where(least > most, 0.0, most)


def relaxations(network: Network, *, whole: bool = False) -> tuple[str, ...]:
    """What of this network the program does not hold exactly; empty: its optimum is the best plan's own cost.

    A plan may still cost what the program says where something is relaxed: replay it to see.
    """
    w = network.wiring
    keep = np.ones(1) if network.keep is None else np.asarray(network.keep)
    found = {
        "lots and minimum orders: any quantity may be ordered": not whole
        and (network.lot_size is not None or network.minimum_order is not None),
        "fixed order costs: only the share of the largest order is charged": not whole
        and network.fixed_order_cost is not None,
        "whole units: fractions may move": w.integer and not whole,
        "whole units: yields and kept shares are not rounded": w.integer
        and whole
        and (network.yield_ is not None or bool(np.any((keep > 0) & (keep < 1)))),
        "partial backlogging: which part of what is owed is lost": bool(np.any((keep > 0) & (keep < 1))),
        "building: a node may wait although it could build": network.capacity is not None
        or w.n_inputs > w.n_nodes
        or any(w.make_to_order),
        "issuing: the age that suits is taken": network.shelf_life is not None and w.issuing == "lifo",
        "scrapping: earlier than age or storage force it": network.shelf_life is not None
        or network.storage is not None,
    }
    return tuple(what for what, here in found.items() if here)


def replacement_values(network: Network, lane: int = 0) -> Terminal:
    """What it costs to have a unit where it is: purchase, transit and operation along the cheapest sources."""
    w, k = network.wiring, Numbers(network, lane)
    stock, parts, moving = np.zeros(w.n_nodes), np.zeros(w.n_inputs), np.zeros(w.n_inner)
    for n in range(w.n_nodes):
        for m in w.inputs_of_node[n]:
            for e in w.arcs_of_input[m]:
                moving[e] = k.unit_cost[e] + (stock[w.src[e]] if w.src[e] >= 0 else 0.0)
            ways = [moving[e] + k.transit_holding_cost[e] * w.lead_time[e] for e in w.arcs_of_input[m]]
            parts[m] = min(ways)
        good = k.yield_[n] if k.yield_[n] > 0 else 1.0
        stock[n] = k.operating_cost[n] + sum(k.units[m] * parts[m] for m in w.inputs_of_node[n]) / good
    return Terminal(stock, parts, moving)
