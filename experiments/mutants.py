"""Plant bugs in a copy of the package and see whether the physics tests notice: ``python -m experiments.mutants``.

Every planted bug is one replacement of text; the text must stand exactly once in its file, or nothing runs. The tests
run with ``-x`` on a mutated copy, those that should notice first; libraries are imported once for all bugs, and
programs that are the same are compiled once. Only a failing test kills: a copy that cannot be imported, or that runs
into the time limit, counts as survived, and the tests must pass on the copy without a bug.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
# As in tests/conftest.py; read by JAX when it is imported.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

LIBRARIES = ("jax", "jax.numpy", "jax.scipy", "numpy", "scipy.stats", "hypothesis")
#: What should notice: a first round of readable tests, a second one for what survives them.
READABLE, PLAYED = (
    ("tests/test_transition.py", "tests/test_kpis.py"),
    ("tests/test_ledgers.py", "tests/test_rollout.py"),
)
RANDOM = ("tests/test_oracle.py", "tests/test_gradients.py")
ENOUGH = 0.95
PASSED = "all tests passed"


class Mutant(NamedTuple):
    """A planted bug. ``first``: words in the names of the tests that should notice it, separated by spaces."""

    file: str  # in meio_jax/, without .py
    what: str
    old: str
    new: str
    first: str = ""


def rounds(mutant: Mutant | None) -> list[tuple[str, ...]]:
    """The files of tests, round by round."""
    if mutant is None:
        return [(*READABLE, *PLAYED, *RANDOM)]
    return [PLAYED, READABLE] if mutant.file == "rollout" else [READABLE, (*PLAYED, *RANDOM)]


class Result(NamedTuple):
    killed: bool
    by: str
    seconds: float


def _in(file: str, *mutants: tuple[str, ...]) -> list[Mutant]:
    return [Mutant(file, *m) for m in mutants]


PLACING = _in(
    "simulator",
    ("a negative order is placed as a positive one", "jnp.maximum(orders, 0.0)", "jnp.abs(orders)", "orders"),
    ("a NaN order is an order of zero", "jnp.maximum(orders, 0.0)", "jnp.where(orders > 0, orders, 0.0)", "nan"),
    ("lots round down", "jnp.floor(q / size + 0.5) * lot", "jnp.floor(q / size) * lot", "possible"),
    ("every order below the minimum is raised to it", "wanted < 0.5 * floor, 0.0, floor)", "wanted <= 0, 0.0, floor)"),
    ("the minimum judges what was rounded", "jnp.where(wanted < 0.5 * floor", "jnp.where(q < 0.5 * floor", "possible"),
    ("the minimum is rounded down to lots", "jnp.ceil(least / size)", "jnp.floor(least / size)", "possible"),
    ("order capacity is ignored", "q = jnp.minimum(q, cap)", "q = jnp.minimum(q, jnp.inf)", "possible"),
    ("capped orders are no whole lots", "jnp.floor(jnp.where(some, most, 0.0) / size) * size, most)", "most, most)"),
    ("a minimum above the capacity is ordered", "jnp.where(floor > cap, q * 0.0, q)", "q", "possible"),
    ("whole networks order fractions beside lots", "jnp.where(lot == 0, 1.0, lot)", "lot", "whole"),
)
DEMAND = _in(
    "simulator",
    ("goodwill does not scale demand", "else shock.demand * state.goodwill", "else shock.demand", "goodwill"),
    ("whole demand rounds down", "to_whole(w, asked, 0.5)", "to_whole(w, asked)", "goodwill"),
    ("backlog is forgotten", "owed = state.backlog + ordered", "owed = ordered", "supplier"),
    (
        "goodwill grows with bad service",
        "(1.0 - network.erosion * share)",
        "(1.0 + network.erosion * share)",
        "goodwill",
    ),
    ("bad service restores goodwill", "(1.0 - goodwill) * (1.0 - share)", "(1.0 - goodwill)", "goodwill"),
    ("goodwill starts at zero", "jnp.ones((w.n_customers, lanes), dtype)", "jnp.zeros((w.n_customers, lanes), dtype)"),
    ("the state remembers demand before goodwill", "demand=asked", "demand=shock.demand", "goodwill"),
    ("time stands still", "t=state.t + 1", "t=state.t", "time"),
)
SUPPLY = _in(
    "simulator",
    ("suppliers ship in an outage", "rows(want, w.outside_arcs)", "rows(owed, w.outside_arcs)", "outage"),
    (
        "an outage leaves fractions",
        "to_whole(w, owed[:inner] * shock.available)",
        "owed[:inner] * shock.available",
        "whole",
    ),
    (
        "inner arcs ship in an outage",
        "[to_whole(w, owed[:inner] * shock.available),",
        "[jnp.where(np.asarray(w.src[:inner])[:, None] < 0, owed[:inner] * shock.available, owed[:inner]),",
        "outage",
    ),
    (
        "a shipment may exceed what is owed",
        "jnp.minimum(want, to_whole(w, jnp.maximum(allocation, 0.0)))",
        "to_whole(w, jnp.maximum(allocation, 0.0))",
        "hold",
    ),
    (
        "a negative allocation ships backwards",
        "to_whole(w, jnp.maximum(allocation, 0.0))",
        "to_whole(w, allocation)",
        "hold",
    ),
    (
        "an allocation splits whole units",
        "to_whole(w, jnp.maximum(allocation, 0.0))",
        "jnp.maximum(allocation, 0.0)",
        "hold",
    ),
    ("a policy cannot hold stock back", "if allocation is not None:", "if False:", "hold"),
)
UNMET = _in(
    "simulator",
    (
        "old backlog counts as today's unmet demand",
        "unmet = jnp.minimum(ordered, owed - shipped)",
        "unmet = owed - shipped",
    ),
    ("what should be kept is lost", "(1.0 - network.keep) * unmet", "network.keep * unmet", "lost"),
    ("kept backlog is lost later", "(1.0 - network.keep) * unmet", "(1.0 - network.keep) * (owed - shipped)", "lost"),
    ("whole losses round down", "network.keep) * unmet, 0.5)", "network.keep) * unmet)", "losses"),
    ("lost demand stays owed", "jnp.maximum(owed - shipped - lost, 0.0)", "jnp.maximum(owed - shipped, 0.0)", "lost"),
    ("nothing is ever lost", "if network.keep is None else", "if True else", "lost"),
    ("all that is shipped counts as filled", "filled=ordered - unmet", "filled=shipped", "oldest"),
)
PIPELINES = [
    *_in(
        "shipments",
        (
            "a swept lead time goes before a drawn one",
            "shock.lead_time if shock.lead_time is not None else network.lead_time",
            "network.lead_time if network.lead_time is not None else shock.lead_time",
            "drawn",
        ),
        (
            "lead times are not clamped",
            "jnp.clip(lead.astype(jnp.int32), low, high)",
            "lead.astype(jnp.int32)",
            "drawn",
        ),
        ("slow shipments arrive today as well", "jnp.where(rows(self.lead, quick) == 0, units, 0.0)", "units", "drawn"),
        (
            "a drawn lead time of 0 never arrives",
            "shortest = self.wiring.lead_time if self.lead is None else self.wiring.min_lead_time",
            "shortest = self.wiring.lead_time",
            "drawn",
        ),
        (
            "everything arrives a period late, the slowest never",
            "np.arange(1, slots + 1,",
            "np.arange(slots,",
            "pipeline lead",
        ),
        ("everything arrives a period early", "np.arange(1, slots + 1,", "np.arange(2, slots + 2,", "drawn lead"),
        (
            "the pipeline does not move",
            "moved = jnp.concatenate([queue[1:], jnp.zeros_like(queue[:1])])",
            "moved = queue",
        ),
        (
            "orders that cross overwrite each other",
            "delay[None] == due, moved + units",
            "delay[None] == due, units",
        ),
        ("all lead times are the longest", "if (fixed == slots).all():", "if (fixed == slots).any():", "lead_time"),
    ),
    *_in(
        "simulator",
        (
            "the first pipeline comes in reverse",
            "wide(network.initial_pipeline)",
            "wide(network.initial_pipeline[::-1])",
            "soonest",
        ),
        ("in transit is what was in transit before", "sum_first(pipeline)", "sum_first(state.pipeline)", "pipeline"),
        (
            "lead time 0 arrives with what was due",
            "return due if instant is None else due + instant",
            "return due if instant is None else instant",
            "drawn",
        ),
    ),
]
MAIL = [
    *_in(
        "shipments",
        (
            "orders in the mail arrive a day early",
            "arrived = mail[0] +",
            "arrived = mail[min(1, len(mail) - 1)] +",
            "mail",
        ),
        ("all orders arrive at once", "jnp.where(at_once, placed, 0.0)", "placed", "travel"),
        (
            "orders to suppliers do not travel",
            "advance(mail, w.order_delay, placed)",
            "advance(mail, [d * (s >= 0) for d, s in zip(w.order_delay, w.src)], placed)",
            "suppliers",
        ),
        (
            "the delay is that of the next arc",
            "advance(mail, w.order_delay, placed)",
            "advance(mail, w.order_delay[1:] + w.order_delay[:1], placed)",
            "delay",
        ),
        (
            "the lead time is taken for the delay",
            "advance(mail, w.order_delay, placed)",
            "advance(mail, w.lead_time, placed)",
            "delay",
        ),
        ("without a delay an order waits for the mail", "[:, None] == 0", "[:, None] < 0", "travel"),
    ),
    *_in(
        "simulator",
        (
            "the mail is dropped",
            "t=state.t + 1,\n        mail=mail",
            "t=state.t + 1,\n        mail=None if mail is None else 0 * mail",
            "delay",
        ),
        ("the mail of time 0 is lost", "if network.initial_orders is None else wide", "if True else wide", "soonest"),
        ("orders are told when they arrive", "ordered if mail is None else", "ordered if True else", "delay"),
        (
            "what is in the mail counts as owed",
            "ordered = jnp.concatenate([arrived, asked])",
            "ordered = jnp.concatenate([placed, asked])",
            "delay",
        ),
        ("in the mail is what was in the mail before", "sum_first(mail)", "sum_first(state.mail)", "delay"),
    ),
]
TIMING = _in(
    "simulator",
    (
        "ship_first receives first",
        'play = _ship_first if w.timing == "ship_first"',
        "play = _ship_first if False",
        "ship_first",
    ),
    (
        "demand_first ships first",
        'if w.timing == "ship_first" else _receive',
        'if w.timing != "order_first" else _receive',
        "lead_times",
    ),
    (
        "order_first ships first",
        'if w.timing == "ship_first" else _receive',
        'if w.timing != "demand_first" else _receive',
        "lead_times",
    ),
    (
        "what is built today leaves tomorrow",
        "for n in nodes], sum_first(stock), want)",
        "for n in nodes], sum_first(stock - site.fresh(built)), want)",
        "build make",
    ),
    (
        "ship_first serves customers from yesterday's stock",
        "serve(w, to_customers, sum_first(stock), want)",
        "serve(w, to_customers, sum_first(state.on_hand), want)",
        "ship_first",
    ),
    (
        "ship_first builds for customers too early",
        "site.net_demand(owed, stock, to_nodes)",
        "site.net_demand(owed, stock, w.out_arcs)",
        "make_to_order",
    ),
    (
        "ship_first builds for inner orders too late",
        "need = site.net_demand(owed, stock, to_customers)",
        "need = site.net_demand(owed, stock, w.out_arcs)",
        "make_to_order",
    ),
    (
        "ship_first has its capacity twice",
        "site.inputs(inputs, received), need, built)",
        "site.inputs(inputs, received), need)",
        "make_to_order",
    ),
    (
        "ship_first reports the second starts only",
        "started + started_too, built",
        "started_too, built",
        "make_to_order",
    ),
    (
        "ship_first starts at nodes that build to stock",
        "jnp.where(now, start, 0.0), jnp.where(now, good, 0.0)",
        "start, good",
        "make_to_order",
    ),
)
BUILDING = [
    *_in(
        "stock",
        ("the bill of materials is upside down", "else inputs / self.units", "else inputs * self.units", "component"),
        ("the bill of materials is not consumed", "else spread * self.units", "else spread", "component"),
        (
            "the most plentiful component binds",
            "of_node, jnp.minimum, jnp.inf",
            "of_node, jnp.maximum, 0.0",
            "component",
        ),
        (
            "builds are fractions",
            "to_whole(w, reduce_groups(each, of_node, jnp.minimum, jnp.inf))",
            "reduce_groups(each, of_node, jnp.minimum, jnp.inf)",
            "builds",
        ),
        (
            "capacity makes a node build to stock",
            "room if limit is None else jnp.minimum(room, limit)",
            "room",
            "make_to_order",
        ),
        (
            "capacity limits starts",
            "starts = jnp.where(open_ended, 0.0, limit) / jnp.where(rate == 0, 1.0, rate)",
            "starts = jnp.where(open_ended, 0.0, limit)",
            "capacity",
        ),
        ("capacity is ignored", "if self.capacity is not None:", "if False:", "capacity"),
        ("yield is ignored without capacity", "to_whole(w, feasible * rate)", "feasible", "builds yield"),
        ("good units are fractions", "to_whole(w, started * rate), limit)", "started * rate, limit)", "builds"),
        ("starts are fractions", "jnp.ceil(starts) if whole else starts", "starts", "builds"),
        (
            "starts round down",
            "jnp.ceil(starts) if whole else starts",
            "jnp.floor(starts) if whole else starts",
            "builds",
        ),
        (
            "limits are fractions",
            "to_whole(w, jnp.broadcast_to(limit, feasible.shape))",
            "jnp.broadcast_to(limit, feasible.shape)",
        ),
        ("without yield all is started for nobody", "jnp.where(limit == 0, 0.0, jnp.inf)", "jnp.inf", "make_to_order"),
        (
            "drawn yields are ignored",
            "shock.yield_ if shock.yield_ is not None else network.yield_",
            "network.yield_",
            "yield",
        ),
        (
            "make to order ignores stock",
            "for n in self.nodes]) - sum_first(stock)",
            "for n in self.nodes])",
            "make_to_order",
        ),
        (
            "all nodes beside one make to order",
            "jnp.where(to_order, jnp.maximum(need, 0.0), jnp.inf)",
            "jnp.maximum(need, 0.0)",
            "make_to_order",
        ),
        ("components do not wait", "rows(components, self.slots) + arrived if", "arrived if", "component"),
    ),
    *_in(
        "simulator",
        (
            "make to order ignores backlog and outages",
            "need = site.net_demand(owed, stock, w.out_arcs)",
            "need = site.net_demand(want, stock, w.out_arcs)",
            "make_to_order",
        ),
    ),
]
SERVING = _in(
    "stock",
    (
        "equal shares for all",
        "return want * rows(share, owner)",
        "return jnp.minimum(want, rows(stock / sum_groups(jnp.ones_like(want), local), owner))",
        "proportional",
    ),
    ("shares although there is enough", "short = total > stock", "short = total > 0", "share"),
    ("the rest of whole shares stays", "return base + _in_turn(", "return base + 0.0 * _in_turn(", "proportional"),
    (
        "whole shares round to the nearest",
        "jnp.floor(want * rows(stock, owner)",
        "jnp.round(want * rows(stock, owner)",
        "proportional",
    ),
    ("the rest of whole shares goes beyond what is wanted", "0.0), want - base)", "0.0), want)", "proportional"),
    ("priority is proportional", 'w.allocation == "priority"', "False", "priority"),
    ("proportional is priority", 'w.allocation == "priority"', "True", "proportional"),
    ("in turn, but all from the same stock", "stock = stock - taken[-1]", "stock = stock - 0.0", "priority"),
    (
        "priority backwards",
        "_in_turn(local, stock, want)",
        "_in_turn([g[::-1] for g in local], stock, want)[::-1]",
        "priority",
    ),
    ("a single arc ships what is not there", "return jnp.minimum(want, rows(stock, owner))", "return want", "unmet"),
)
AGES = [
    *_in(
        "stock",
        ("fifo is lifo", 'if issuing == "fifo" else', 'if issuing == "lifo" else', "oldest"),
        (
            "each class gives the whole amount",
            "classes[a] - take, amount - take",
            "classes[a] - take, amount",
            "oldest",
        ),
        (
            "storage scraps the youngest",
            '_take(stock, over, "fifo"), over',
            '_take(stock, over, "lifo"), over',
            "scrapped",
        ),
        ("overflow is kept", '_take(stock, over, "fifo"), over', "stock, over", "scrapped"),
        (
            "overflow is not told",
            '_take(stock, over, "fifo"), over',
            '_take(stock, over, "fifo"), 0 * over',
            "scrapped",
        ),
        ("what keeps for ever ages", "jnp.where(perishes[None], older, stock)", "older", "shelf"),
        ("what keeps for ever expires", "jnp.where(perishes, stock[0], 0.0)", "stock[0]", "expires"),
        ("the youngest expire", "jnp.where(perishes, stock[0], 0.0)", "jnp.where(perishes, stock[-1], 0.0)", "expires"),
        ("fresh units live longest anywhere", "jnp.minimum(life, w.ages) - 1", "0.0 * life + w.ages - 1", "shelf"),
        (
            "fresh units live a period less",
            "jnp.minimum(life, w.ages) - 1",
            "jnp.maximum(jnp.minimum(life, w.ages) - 2, 0)",
            "expires",
        ),
    ),
    *_in(
        "simulator",
        (
            "storage before ageing",
            "stock, expired = age(network, stock)\n    stock, overflow = store(network, stock)",
            "stock, overflow = store(network, stock)\n    stock, expired = age(network, stock)",
            "scrapped",
        ),
    ),
]
ROWS = [
    *_in(
        "indexing",
        ("only two inputs count", "for other in others:", "for other in others[:1]:", "oracle"),
        ("a missing row is 0", "jnp.full((1, x.shape[-1]), empty, x.dtype)", "jnp.zeros((1, x.shape[-1]), x.dtype)"),
        (
            "a group is as much as its largest",
            "part.reshape(n, k, -1).sum(1)",
            "part.reshape(n, k, -1).max(1)",
            "sources",
        ),
        ("rows stay in the order of the waves", "return rows(joined, place)", "return joined", "ledgers"),
    ),
    *_in(
        "network",
        (
            "waves ignore that a lead time may be drawn as 0",
            "(self.min_lead_time[e] == 0)",
            "(self.lead_time[e] == 0)",
            "oracle",
        ),
        ("waves ignore lead times of 0", "(self.min_lead_time[e] == 0)", "(self.max_lead_time[e] < 0)", "lead_times"),
        ("make to order cannot hold inputs", "or any(w.make_to_order)", "or False", "make_to_order"),
    ),
]
SEEING = _in(
    "observation",
    ("the planner sees demand too early", 'if w.timing == "demand_first":', 'if w.timing != "ship_first":', "sees"),
    ("the planner never sees demand before ordering", 'if w.timing == "demand_first":', "if False:", "sees"),
    ("the demand seen is not owed", "owed[w.n_inner :] + demand]", "owed[w.n_inner :]]", "sees"),
    ("the demand seen is before goodwill", "else shock.demand * state.goodwill", "else shock.demand", "sees"),
    ("the demand seen is not whole", "jnp.floor(demand + 0.5) if w.integer else demand", "demand", "sees"),
    ("positions leave waiting components out", "inputs = inputs + seen.components", "inputs = inputs", "position"),
    (
        "positions add what is owed",
        "sum_first(seen.on_hand) - sum_groups",
        "sum_first(seen.on_hand) + sum_groups",
        "position",
    ),
    ("positions multiply by the bill of materials", "inputs = inputs / rows(", "inputs = inputs * rows(", "position"),
    (
        "positions leave the supplier's backlog out",
        "+ seen.owed[: w.n_inner]",
        "+ 0.0 * seen.owed[: w.n_inner]",
        "position",
    ),
    ("positions leave unreported orders out", "coming = coming + seen.unreported", "coming = coming", "report"),
    ("positions leave the mail out", "coming = coming + sum_first(seen.mail)", "coming = coming", "mail"),
    ("echelons count the mail within twice", "    if unheard:", "    if False:", "position"),
    (
        "the morning's mail is owed and in the mail",
        "jnp.concatenate([jnp.zeros_like(mail[:1]), mail[1:]])",
        "mail",
        "mail",
    ),
    ("the planner opens the mail too late", "if mail is not None:  # the", "if False:  # the", "mail"),
    ("late reports: the mail is today's", "pick(filed.mail, by_target)", "filed.mail[0]", "report"),
    ("echelons divide by the bill of materials", "below = below * rows(", "below = below / rows(", "position"),
    ("echelons count every source in full", "below if (share == 1).all() else below * share", "below", "position"),
    ("late reports: one order too many is unreported", "by_target > k", "by_target >= k", "report"),
    ("late reports: the newest is kept as the oldest", "[now[None], past[:-1]]", "[past[1:], now[None]]", "report"),
    ("late reports beyond memory are fresh", "0, reports.depth - 1)", "0, 10 * reports.depth)", "report"),
    ("late reports by the source of an arc", "list(w.dst[: w.n_inner])", "list(w.src[: w.n_inner])", "report"),
    ("late reports: backlog by the wrong node", "[by_target, by_source]", "[by_target, 0 * by_source]", "report"),
    (
        "late reports: placed orders come in at the wrong end",
        "[ordered[None], reports.orders[:-1]]",
        "[reports.orders[1:], ordered[None]]",
        "report",
    ),
)
COSTS = _in(
    "kpis",
    ("waiting components cost nothing", "holding = holding + charge(", "holding = holding + 0.0 * charge(", "cost"),
    (
        "transit is charged on receipts",
        "charge(network.transit_holding_cost, flows.in_transit",
        "charge(network.transit_holding_cost, flows.received",
    ),
    (
        "backlog is charged once",
        "charge(network.backlog_cost, flows.backlog",
        "charge(network.backlog_cost, flows.ordered - flows.filled",
        "cost",
    ),
    (
        "what is kept is charged as lost",
        "charge(network.lost_cost, flows.lost",
        "charge(network.lost_cost, flows.ordered - flows.filled",
    ),
    ("the fixed cost is per unit", "(flows.ordered[:inner] > 0).astype(zero.dtype)", "flows.ordered[:inner]", "cost"),
    (
        "the fixed cost is per shipment",
        "(flows.ordered[:inner] > 0).astype(zero",
        "(flows.shipped[:inner] > 0).astype(zero",
        "cost",
    ),
    (
        "purchases are paid when ordered",
        "charge(network.unit_cost, flows.shipped[:inner]",
        "charge(network.unit_cost, flows.ordered[:inner]",
    ),
    (
        "bad units cost operation",
        "charge(network.operating_cost, flows.built",
        "charge(network.operating_cost, flows.started",
        "cost",
    ),
    (
        "overflow costs nothing",
        "charge(network.scrap_cost, flows.expired + flows.overflow",
        "charge(network.scrap_cost, flows.expired",
        "cost",
    ),
    (
        "expiry costs nothing",
        "charge(network.scrap_cost, flows.expired + flows.overflow",
        "charge(network.scrap_cost, flows.overflow",
        "cost",
    ),
    (
        "demand pays before it is served",
        "charge(network.price, flows.shipped[inner:]",
        "charge(network.price, flows.ordered[inner:]",
        "cost",
    ),
    (
        "backlog that is served late pays nothing",
        "charge(network.price, flows.shipped[inner:]",
        "charge(network.price, flows.filled[inner:]",
    ),
    ("revenue is a cost in the total", "sum(terms.values(), -revenue)", "sum(terms.values(), revenue)", "cost"),
)
INDICATORS = _in(
    "kpis",
    ("revenue is a cost in the tally", "COSTS[:-1]), -terms", "COSTS[:-1]), terms", "tally"),
    ("the tally leaves scrap out", "for k in COSTS[:-1])", "for k in COSTS[:-2])", "tally"),
    ("a rounding error is a stockout", "(unmet > 1e-5 * demand)", "(unmet > 0)", "round"),
    ("no demand is a stockout", "(unmet > 1e-5 * demand) & (demand > 0)", "(unmet >= 0)", "tally"),
    ("no demand is served", "(asked & ~out)", "(~out)", "tally"),
    ("losses at suppliers are lost sales", "lost=flows.lost[inner:]", "lost=flows.lost", "tally"),
    ("what suppliers owe is backlog", "backlog=flows.backlog[inner:]", "backlog=flows.backlog", "tally"),
    ("sold is what was filled at once", "sold=flows.shipped[inner:]", "sold=flows.filled[inner:]", "tally"),
    ("demand counts as orders", "ordered=flows.ordered[:inner]", "ordered=flows.ordered", "tally"),
    ("overflow does not count as scrap", "expired=(flows.expired + flows.overflow)", "expired=flows.expired", "tally"),
    (
        "the fill rate counts late service",
        "over(sums.filled, sums.demand, 1.0)",
        "over(sums.sold, sums.demand, 1.0)",
        "kpis",
    ),
    (
        "without demand the fill rate is 0",
        "over(sums.filled, sums.demand, 1.0)",
        "over(sums.filled, sums.demand, 0.0)",
        "kpis",
    ),
    ("cycle service per period", "over(sums.served, sums.asked, 1.0)", "over(sums.served, n, 1.0)", "kpis"),
    ("stockouts per demand", "over(sums.stockouts, n, 0.0)", "over(sums.stockouts, sums.asked, 0.0)", "kpis"),
    ("turnover is upside down", "over(sums.sold, sums.stock, 0.0)", "over(sums.stock, sums.sold, 0.0)", "kpis"),
    ("days of supply per unit sold", "over(sums.stock, sums.demand, 0.0)", "over(sums.stock, sums.sold, 0.0)", "kpis"),
)
PLAYING = _in(
    "rollout",
    ("the warm-up is a period longer", "index >= warmup", "index > warmup", "warmup"),
    ("the warm-up is counted", "jnp.where(index >= warmup, x, 0)", "x", "warmup"),
    ("sums are not compensated", "jnp.where(count, x, 0.0) - lost", "jnp.where(count, x, 0.0)", "compensation"),
    ("compensation has the wrong sign", "new, (new - total) - y", "new, y - (new - total)", "compensation"),
    ("stretches are counted again and again", "play_one, (carry, zeros)", "play_one, (carry, total)", "trajectory"),
    (
        "a policy draws from the keys of the world",
        "jax.random.split(play, periods)",
        "jax.random.split(draw, periods)",
        "key",
    ),
    (
        "every period has the same demand",
        "else jax.random.split(draw, periods)",
        "else jnp.broadcast_to(draw, (periods,))",
        "key",
    ),
    (
        "every block has the same demand",
        "jax.random.split(key, blocks), cut",
        "jnp.broadcast_to(key, (blocks,)), cut",
        "blocks",
    ),
    ("a continued run starts anew", "if carry is None else carry", "if True else carry", "continued"),
    ("the clock of the processes starts anew", "times = carry.state.t + jnp.arange", "times = jnp.arange", "scenario"),
    (
        "what a process remembers is dropped",
        "memory=carry.memory, process=process,",
        "memory=carry.memory, process=carry.process,",
        "remember",
    ),
    (
        "what a policy remembers is dropped",
        "Carry(state=state, memory=memory,",
        "Carry(state=state, memory=carry.memory,",
        "remember",
    ),
    (
        "what a policy holds back is shipped",
        "decision.orders, shock, decision.allocation)",
        "decision.orders, shock)",
        "hold",
    ),
    (
        "unreported is what was wanted",
        "note_orders(reports, flows.ordered[: network.wiring.n_inner])",
        "note_orders(reports, decision.orders)",
        "report",
    ),
    ("the planner sees fresh reports", "reports, seen = file_report(", "reports, _ = file_report(", "report"),
    ("a process with a memory is drawn without", "if all(p.memoryless", "if any(p.memoryless", "remember"),
)
SCENARIOS = _in(
    "scenario",
    ("any lead time passes", 'if name == "lead_time":', "if False:", "scenario"),
    ("more than all may be available", "high = np.ones((count, 1))", "high = np.full((count, 1), 2.0)", "scenario"),
    ("infinite demand passes", "(x <= high) & np.isfinite(x))", "(x <= high))", "scenario"),
    ("negative demand passes", "((x >= low) &", "((x >= low - 9) &", "scenario"),
    ("any number of lanes passes", "x.shape[2] not in (1, lanes)", "x.shape[2] < 1", "scenario"),
    ("yields above 1 pass", 'name in ("available", "yield_")', 'name in ("available",)', "scenario"),
)
MUTANTS = [
    *PLACING, *DEMAND, *SUPPLY, *UNMET, *PIPELINES, *MAIL, *TIMING, *BUILDING, *SERVING, *AGES, *ROWS, *SEEING, *COSTS,
    *INDICATORS, *PLAYING, *SCENARIOS,
]  # fmt: skip


class Sorted:
    """A pytest plugin: the tests that should notice come first."""

    def __init__(self, words: str) -> None:
        self.words = words.split()

    def pytest_collection_modifyitems(self, items: list) -> None:
        items.sort(key=lambda item: not any(word in item.nodeid for word in self.words))


def mutate(package: Path, mutant: Mutant) -> str:
    """The text of the file with the bug in it. Raises `SystemExit` if this table no longer fits the package."""
    file = package / f"{mutant.file}.py"
    text = file.read_text()
    if (count := text.count(mutant.old)) != 1:
        raise SystemExit(f"{file.name}: found {count} times, must be once: {mutant.old!r} ({mutant.what})")
    text = text.replace(mutant.old, mutant.new)
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise SystemExit(f"{file.name}: no Python with {mutant.new!r} ({mutant.what}): {error}") from error
    return text


def play(place: Path, tests: Sequence[str], words: str) -> None:
    """In a process of its own: run the tests of a copy and exit with their code. Everything is said in a file."""
    with (place / "said").open("w") as said:
        for stream in (1, 2):
            os.dup2(said.fileno(), stream)
        os.chdir(place)
        sys.path[:0] = [str(place), str(place / "tests")]
        options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist"]
        code = int(pytest.main([*options, *tests], plugins=[Sorted(words)]))
        sys.stdout.flush()
    os._exit(code)


class Attempt:
    """The tests under way in a copy of the repository, on the mutated package if a mutant is given."""

    def __init__(self, copy: Path, mutant: Mutant | None, tests: Sequence[str], limit: float) -> None:
        self.place, self.limit = Path(tempfile.mkdtemp()), limit
        shutil.copytree(copy, self.place, dirs_exist_ok=True)  # with its byte code
        if mutant is not None:
            (self.place / "meio_jax" / f"{mutant.file}.py").write_text(mutate(copy / "meio_jax", mutant))
        self.started = time.perf_counter()
        self.process = multiprocessing.get_context("fork").Process(
            target=play, args=(self.place, tests, mutant.first if mutant else "")
        )
        self.process.start()

    def result(self) -> Result | None:
        """None while the tests run."""
        seconds = time.perf_counter() - self.started
        late = seconds > self.limit
        if self.process.is_alive() and not late:
            return None
        self.process.kill()
        self.process.join()
        said = (self.place / "said").read_text() if (self.place / "said").exists() else ""
        shutil.rmtree(self.place)
        failed = re.search(r"^FAILED (?:tests/)?(\S+)", said, re.M)
        if late:
            return Result(False, f"ran longer than {self.limit:g} s", seconds)
        if self.process.exitcode == 1 and failed:
            return Result(True, failed[1], seconds)
        return Result(False, PASSED if self.process.exitcode == 0 else said.strip()[-600:], seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=None, help="numbers of the bugs to plant, or words of their text")
    parser.add_argument("--jobs", type=int, default=1, help="bugs tried at the same time")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that the tests may take for one bug")
    parser.add_argument("--fast", action="store_true", help="only the first round of tests, which a pencil can check")
    parser.add_argument("--list", action="store_true", help="only say what would be planted")
    options = parser.parse_args(arguments)
    for mutant in MUTANTS:
        mutate(ROOT / "meio_jax", mutant)
    numbered = [
        (k, m)
        for k, m in enumerate(MUTANTS)
        if options.only is None
        or any(str(k) == word or (word in m.what and not word.isdigit()) for word in options.only)
    ]
    if options.list:
        for k, mutant in numbered:
            print(f"{k:3d} {mutant.file:12s} {mutant.what}")
        return 0
    os.nice(15)
    started = time.perf_counter()
    for name in LIBRARIES:  # once for all: no copy of the package and no device is touched before a process forks
        importlib.import_module(name)
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)  # others may be at work in the tree: all bugs are planted in what it is now
        for part in ("meio_jax", "tests", "experiments"):
            shutil.copytree(ROOT / part, copy / part)
        shutil.copy(ROOT / "pyproject.toml", copy)
        if options.only is None:
            healthy = Attempt(copy, None, rounds(None)[0], 4 * options.limit)
            while (result := healthy.result()) is None:
                time.sleep(0.1)
            if result.by != PASSED:
                raise SystemExit(f"without any bug the tests do not pass: {result.by}")
            print(f"    without a bug all tests pass ({result.seconds:.0f} s)", flush=True)
        results: dict[int, Result] = {}
        for part in range(1 if options.fast else 2):
            waiting = [k for k, _ in reversed(numbered) if k not in results or not results[k].killed]
            running: dict[int, Attempt] = {}
            while waiting or running:
                if waiting and len(running) < options.jobs:
                    k = waiting.pop()
                    running[k] = Attempt(copy, MUTANTS[k], rounds(MUTANTS[k])[part], options.limit)
                    continue
                time.sleep(0.05)
                for k, attempt in list(running.items()):
                    if (result := attempt.result()) is not None:
                        del running[k]
                        results[k] = result
                        verdict = "killed  " if result.killed else "survived"
                        what = f"{MUTANTS[k].file}: {MUTANTS[k].what}"
                        print(f"{k:3d} {verdict} {result.seconds:4.0f} s  {what} | {result.by}", flush=True)
    killed = sum(r.killed for r in results.values())
    share = killed / max(1, len(results))
    print(
        f"{killed} of {len(results)} killed: {100 * share:.1f} % in {(time.perf_counter() - started) / 60:.1f} minutes"
    )
    for k, mutant in numbered:
        if not results[k].killed:
            print(f"    survived: {k} {mutant.file}: {mutant.what} | {results[k].by}")
    return 0 if results and share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
