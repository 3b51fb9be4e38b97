"""The simulator against a float64 oracle of plain loops, on thousands of random networks.

Each period the oracle starts from the simulator's own state, so rounding cannot pile up and a tolerance of a few
float32 digits is enough: a wrong rule is wrong by far more. In integer mode nothing is re-synchronised but goodwill
(a share), and every number must be equal.
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from oracle import (
    OracleFlows,
    OracleShock,
    OracleState,
    oracle_initial_state,
    oracle_network,
    oracle_transition,
)
from random_systems import FEATURES, System, draw, play, random_plan

from meio_jax.network import ALLOCATIONS, ISSUING, TIMINGS
from meio_jax.simulator import Flows, State

STATE_FIELDS = [f.name for f in dataclasses.fields(OracleState) if f.name != "t"]
SHOCK_FIELDS = [f.name for f in dataclasses.fields(OracleShock)]
FLOW_FIELDS = [f.name for f in dataclasses.fields(OracleFlows)]


def distinct(system: System) -> int:
    """How many lanes are different networks: they differ in at least one leaf."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(system.network)]
    lanes = system.orders.shape[-1]
    return len({b"".join(x[..., k if x.shape[-1] > 1 else 0].tobytes() for x in leaves) for k in range(lanes)})


def at(tree, t):
    return jax.tree.map(lambda x: x[t], tree)


def listed(leaf):
    """``[.., B]`` as one nested list of Python floats per lane."""
    return None if leaf is None else np.moveaxis(np.asarray(leaf, dtype=np.float64), -1, 0).tolist()


def stacked(results: list, name: str, like) -> np.ndarray:
    """A field of ``results[t][lane]`` with time first and lanes last, in the shape of ``like``."""
    values = [[getattr(x, name) for x in period] for period in results]
    return np.moveaxis(np.asarray(values, dtype=np.float64), 1, -1).reshape(np.shape(like))


def same(got, want, relative: float, slack, where: str) -> None:
    """Equal but for ``relative`` and ``slack``; bitwise where both are 0. Arrays ``[T, .., B]``."""
    ok = np.abs(got - want) <= relative * np.abs(want) + slack
    if not ok.all():  # NaN is not ok
        bad = tuple(np.argwhere(~ok)[0])
        raise AssertionError(
            f"{where} at {[int(k) for k in bad]} (period, .., row, lane): simulator {got[bad]}, oracle {want[bad]}; "
            f"{(~ok).sum()} of {ok.size} differ"
        )


def compare(system: System, relative: float, where: str, quick: bool = False) -> int:
    """Compare all lanes and periods; returns how many periods were skipped because a rounding tie was not decidable."""
    w = system.network.wiring
    start, states, flows = play(system, quick=quick)
    periods, _, lanes = system.orders.shape
    nets = [oracle_network(system.network, k) for k in range(lanes)]
    shocks = jax.tree.map(np.asarray, system.shocks)
    shocks = [{f: listed(getattr(at(shocks, t), f)) for f in SHOCK_FIELDS} for t in range(periods)]
    befores = [start, *(at(states, t) for t in range(periods))]
    befores = [{f: listed(getattr(s, f)) for f in STATE_FIELDS} for s in befores]
    orders = [listed(x) for x in system.orders]
    allocation = None if system.allocation is None else [listed(x) for x in system.allocation]

    def theirs(t: int, k: int) -> OracleState:
        return OracleState(**{f: None if v is None else v[k] for f, v in befores[t].items()}, t=t)

    first = [oracle_initial_state(net) for net in nets]
    for name in STATE_FIELDS:
        if getattr(start, name) is not None:
            same(
                getattr(start, name)[None],
                stacked([first], name, getattr(start, name)[None]),
                0.0,
                0.0,
                f"{where}: initial {name}",
            )

    skipped = 0
    after: list[list[OracleState]] = [[] for _ in range(periods)]
    moved: list[list[OracleFlows]] = [[] for _ in range(periods)]
    decided = np.ones((periods, lanes), bool)
    for k in range(lanes):
        mine = first[k]
        for t in range(periods):
            shock = OracleShock(**{f: None if v is None else v[k] for f, v in shocks[t].items()})
            if relative > 0:
                mine = theirs(t, k)
            else:
                mine.goodwill = theirs(t, k).goodwill
                if mine.goodwill is not None and _tie(shock.demand, mine.goodwill):
                    decided[t, k] = False
                    skipped += 1
            mine, flow = oracle_transition(
                nets[k], mine, orders[t][k], shock, None if allocation is None else allocation[t][k]
            )
            after[t].append(mine)
            moved[t].append(flow)
            if not decided[t, k]:
                mine = theirs(t + 1, k)

    def check(what: str, name: str, got, results: list) -> None:
        assert (got is None) == (getattr(results[0][0], name) is None), f"{where}: {name}"
        if got is None:
            return
        want = stacked(results, name, got)
        known = np.broadcast_to(np.expand_dims(decided, tuple(range(1, got.ndim - 1))), got.shape)
        got = np.where(known, got.astype(np.float64), want)
        if name != "goodwill":
            same(
                got,
                want,
                relative,
                0.02 * relative * scale.reshape(periods, *[1] * (got.ndim - 2), lanes),
                f"{where}: {what} {name}",
            )
            return
        # A ratio to what was asked for: ill-conditioned where that was little.
        asked = stacked(moved, "ordered", flows.ordered)[:, w.n_inner :]
        eps = relative or 1e-4
        slack = np.where(asked > 0, np.minimum(0.02 * eps * scale[:, None] / np.maximum(asked, 1e-30), 1.0), 0.0)
        same(got, want, eps, slack, f"{where}: {what} {name}")

    scale = np.ones((periods, lanes))  # differences of large numbers are small numbers with the large ones' rounding
    for results, fields, like in ((moved, FLOW_FIELDS, flows), (after, STATE_FIELDS, states)):
        for name in fields:
            got = getattr(like, name)
            if got is not None and got.size:
                x = np.abs(stacked(results, name, got)).reshape(periods, -1, lanes).max(1)
                scale = np.maximum(scale, x)
    for name in FLOW_FIELDS:
        check("flow", name, getattr(flows, name), moved)
    for name in STATE_FIELDS:
        check("state", name, getattr(states, name), after)
    assert states.t.tolist() == list(range(1, periods + 1))
    return skipped


def _tie(demand: list[float], goodwill: list[float]) -> bool:
    """Whether float32 and float64 round a demand that goodwill scaled to different whole numbers."""
    low = np.float32(demand) * np.float32(goodwill) + np.float32(0.5)
    return bool((np.floor(low) != np.floor(np.multiply(demand, goodwill) + 0.5)).any())


def rules(k: int) -> dict[str, str]:
    """Every combination of the static rules in turn."""
    return {
        "timing": TIMINGS[k % 3],
        "allocation": ALLOCATIONS[(k // 3) % 2],
        "issuing": ISSUING[(k // 6) % 2],
    }


def sweep(
    seed: int, plans: int, lanes: int, periods: int, relative: float, integer: bool, quick: bool = False
) -> tuple[int, int, set[str]]:
    systems = skipped = 0
    seen: set[str] = set()
    for k in range(plans):
        rng = np.random.default_rng([seed, k])
        plan = random_plan(rng, integer=integer, **rules(k + seed % 100 * plans))
        if k == plans - 1:  # the last one has what no other had: every feature is played in every part
            rest = frozenset(FEATURES) - seen | plan.features
            plan = random_plan(rng, integer=integer, features=rest, **rules(k + seed % 100 * plans))
        system = draw(plan, rng, lanes, periods)
        skipped += compare(system, relative, f"[{seed}, {k}] {plan.timing}/{plan.allocation}/{plan.issuing}", quick)
        systems += distinct(system)
        seen |= plan.features
    return systems, skipped, seen


# Compiling a plan takes longer than playing it, so few plans have many lanes: 38 programs, over 2,340 networks. The
# parts of a test together have every combination of rules. The slow test has 960 plans. Where numbers are compared by
# tolerance it is the rules that are tested, in whatever machine code; whole numbers and doubles run as users run them.


@pytest.mark.parametrize("part", range(4))
def test_continuous(part):
    systems, skipped, seen = sweep(100 + part, 5, 65, 4, 1e-4, False, quick=True)
    assert systems == 5 * 65  # four parts: 1,300 different networks
    assert skipped == 0
    assert seen == set(FEATURES)


@pytest.mark.parametrize("part", range(3))
def test_integer(part):
    systems, skipped, seen = sweep(200 + part, 5, 64, 5, 0.0, True)
    assert systems >= 300  # three parts: over 900; small networks of whole numbers can coincide
    assert skipped <= 0.02 * 5 * 64 * 5
    assert seen == set(FEATURES)


def test_double_precision(x64):
    systems, skipped, seen = sweep(300, 3, 48, 4, 1e-9, False)
    assert systems == 3 * 48
    assert skipped == 0
    assert seen == set(FEATURES)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("integer", [False, True])
def test_many_more(part, integer):
    systems, _, _ = sweep(1_000 + part + 100 * integer, 48, 60, 8, 0.0 if integer else 1e-4, integer)
    assert systems >= 0.9 * 48 * 60


def test_the_oracle_knows_every_field():
    for theirs, mine in ((State, OracleState), (Flows, OracleFlows)):
        assert {f.name for f in dataclasses.fields(theirs)} == {f.name for f in dataclasses.fields(mine)}
