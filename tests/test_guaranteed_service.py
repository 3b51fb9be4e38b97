"""Guaranteed service: published values, stockpyl, brute force over service times, promises kept in simulation."""

import dataclasses
import io
import itertools
import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from meio_jax import plot
from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.errors import (
    CycleError,
    DuplicateNameError,
    InfeasibleError,
    InputError,
    NumberError,
    UnknownNameError,
    UnsuitableError,
)
from meio_jax.instances.guaranteed_service import INSTANCES, as_problem, example_6_5, problem_6_7
from meio_jax.kpis import kpis
from meio_jax.plot.style import PAPER
from meio_jax.processes import Processes, autoregressive, normal
from meio_jax.rollout import rollout
from meio_jax.scenario import scenario_of
from meio_jax.solvers import service_milp
from meio_jax.solvers.guaranteed_service import ServiceModel
from meio_jax.solvers.laws import Normal, Poisson
from meio_jax.solvers.methods import method_named
from meio_jax.solvers.problem import Problem
from meio_jax.solvers.service_cost import service_cost
from meio_jax.solvers.service_milp import guaranteed_service_milp
from meio_jax.solvers.service_network import service_model
from meio_jax.solvers.service_tree import guaranteed_service
from meio_jax.topologies import distribution, multi_source, serial

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "peers" / "service_stockpyl.json").read_text())["trees"]
BOTH = (guaranteed_service, guaranteed_service_milp)


# --- Something that does not share the solvers' code -----------------------------------------------------------------


def plain_cost(model, times):
    """The model's cost of service times by name, by its definition; None where they are not allowed."""
    cost = 0.0
    for j, name in enumerate(model.nodes):
        wait = model.inbound[j]
        for (a, b), lead in zip(model.arcs, model.arc_time, strict=True):
            if b == name:
                wait = max(wait, times[a] + lead)
        net = wait + model.processing_time[j] - times[name]
        if net < 0 or times[name] > model.outbound[j]:
            return None
        cost += model.holding_cost[j] * model.bound_factor[j] * plain_sigma(model, name) * math.sqrt(net)
    return cost


def plain_sigma(model, name):
    """By walking all paths to customers."""
    need = dict.fromkeys(model.nodes, 0.0)

    def walk(at, units):
        need[at] += units
        for (a, b), u in zip(model.arcs, model.units, strict=True):
            if a == at:
                walk(b, units * u)

    walk(name, 1.0)
    p = model.pooling
    return sum((need[n] * sd) ** p for n, sd in zip(model.nodes, model.demand_sd, strict=True)) ** (1 / p)


def brute_force(model, most=None):
    """The least cost over all whole service times."""
    most = [int(min(a, b)) for a, b in zip(model.longest, model.outbound, strict=True)] if most is None else most
    costs = (
        plain_cost(model, dict(zip(model.nodes, s, strict=True)))
        for s in itertools.product(*(range(m + 1) for m in most))
    )
    return min(c for c in costs if c is not None)


@st.composite
def models(draw, tree=True, most=5, longest=3):
    """Small models: trees of arcs in any direction, or networks without a directed cycle."""
    size = draw(st.integers(1, most))
    names = [f"n{i}" for i in range(size)]
    arcs = []
    for i in range(1, size):
        feeders = [draw(st.integers(0, i - 1))] if tree else draw(st.sets(st.integers(0, i - 1), max_size=2))
        for j in sorted(feeders):
            arcs.append((names[j], names[i]) if not tree or draw(st.booleans()) else (names[i], names[j]))

    def row(values):
        return draw(st.lists(values, min_size=size, max_size=size))

    def some(values):
        return draw(st.dictionaries(st.sampled_from(names), values))

    on_arcs = st.lists(st.integers(0, 2), min_size=len(arcs), max_size=len(arcs))
    return ServiceModel(
        nodes=names,
        arcs=arcs,
        processing_time=row(st.integers(0, longest)),
        holding_cost=row(st.sampled_from([0.0, 0.1, 1.0, 4.0, 30.0, 200.0])),  # far apart: stock in many places
        demand_sd=some(st.floats(0, 3)),
        bound_factor=row(st.floats(0.5, 3)),
        inbound=some(st.integers(0, 2)),
        outbound=some(st.integers(0, 3)),
        arc_time=draw(on_arcs),
        units=draw(st.lists(st.sampled_from([1.0, 2.0, 0.5]), min_size=len(arcs), max_size=len(arcs))),
        pooling=draw(st.sampled_from([1.0, 1.5, 2.0])),
    )


def random_model(seed, size, extra=0.0, longest=10):
    """A tree of arcs in random directions and, with ``extra``, more arcs downstream."""
    rng = np.random.default_rng(seed)
    names = [f"n{i}" for i in range(size)]
    arcs = set()
    for i in range(1, size):
        j = int(rng.integers(max(0, i - 12), i))
        arcs.add((names[i], names[j]) if not extra and rng.random() < 0.5 else (names[j], names[i]))
        arcs |= {(names[k], names[i]) for k in range(i) if rng.random() < extra}
    served = {n: float(rng.uniform(0.5, 5)) for n in names if rng.random() < 0.3}
    holding = np.cumsum(rng.uniform(0, 1, size)) if extra else rng.uniform(0.1, 3, size)
    return ServiceModel(names, sorted(arcs), rng.integers(0, longest + 1, size), holding, served, 1.645)


# --- Published values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["guaranteed_service", "guaranteed_service_milp"])
@pytest.mark.parametrize("instance", INSTANCES, ids=lambda i: i.id)
def test_snyder_and_shen(instance, method):
    found = method_named(method)(instance.problem)
    (known,) = instance.known
    assert found.cost == pytest.approx(known.cost, abs=known.precision)
    assert found.claim == "optimal"
    assert found.lower_bound <= found.cost == found.upper_bound
    assert found.policy is not None


def test_snyder_and_shen_service_times():
    promised = {i.id.partition("/")[2]: i.problem.service for i in INSTANCES}
    book = {"example_6_3": (0, 0, 1), "example_6_5": (0, 0, 0, 1), "problem_6_7": (2, 3, 0)}
    for name, times in book.items():
        assert service_cost(promised[name], times).cost == guaranteed_service(promised[name]).cost
    numbers = service_cost(promised["problem_6_7"], book["problem_6_7"]).numbers
    assert numbers["inbound_service_time"] == (1, 2, 3)
    assert numbers["net_replenishment_time"] == (0, 0, 5)
    assert numbers["safety_stock"] == pytest.approx((0, 0, 4 * 10 * math.sqrt(5)))
    assert numbers["base_stock"] == pytest.approx((0, 0, 50 * 5 + 4 * 10 * math.sqrt(5)))
    assert numbers["pipeline_stock"] == pytest.approx((50, 50, 100))


@pytest.mark.parametrize("tree", GOLDEN, ids=lambda t: t["name"])
def test_stockpyl_finds_the_same(tree):
    rows = {k: [n[k] for n in tree["nodes"]] for k in tree["nodes"][0]}
    model = ServiceModel(
        [str(n) for n in rows["id"]],
        [(str(a), str(b)) for a, b in tree["arcs"]],
        *(rows[k] for k in ("processing_time", "holding_cost", "demand_sd", "bound_factor")),
        inbound=rows["inbound"],
        outbound=rows["outbound"],
    )
    assert service_cost(model, rows["service_time"]).cost == pytest.approx(tree["cost"], rel=1e-12)
    for solve in BOTH:
        assert solve(model).cost == pytest.approx(tree["cost"], rel=1e-12)


# --- Against brute force, against each other, against the extreme points ---------------------------------------------


@settings(max_examples=60)
@given(models())
def test_a_tree_is_solved_as_brute_force_says(model):
    found, least = guaranteed_service(model), brute_force(model)
    assert found.cost == pytest.approx(least, rel=1e-9, abs=1e-12)
    times = dict(zip(model.nodes, found.numbers["service_time"], strict=True))
    assert plain_cost(model, times) == pytest.approx(found.cost, rel=1e-12, abs=1e-12)
    assert found.numbers["sigma"] == pytest.approx([plain_sigma(model, n) for n in model.nodes])


@settings(max_examples=30)
@given(models(tree=False, most=4))
def test_any_network_is_solved_as_brute_force_says(model):
    found, least = guaranteed_service_milp(model), brute_force(model)
    assert found.cost == pytest.approx(least, rel=1e-6, abs=1e-9)
    assert found.lower_bound <= least * (1 + 1e-7) + 1e-12
    assert found.cost >= least * (1 - 1e-12)
    assert found.claim == "optimal"


@pytest.mark.parametrize("seed", range(4))
def test_both_methods_agree_on_trees(seed):
    model = random_model(seed, 30)
    tree, milp = (solve(model) for solve in BOTH)
    assert milp.cost == pytest.approx(tree.cost, rel=1e-6)
    assert milp.lower_bound <= tree.cost * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_a_chain_stocks_for_all_of_its_wait_or_for_none(seed):
    """Simpson 1958: in series, with customers who wait for nothing, an optimal service time is 0 or all of SI + T; so
    2^(N-1) candidates are enough.
    """
    rng = np.random.default_rng(seed)
    names = "abcdefgh"
    work, holding = rng.integers(0, 9, 8), 3.0 ** np.arange(8) * rng.uniform(0.3, 3, 8)
    model = ServiceModel(names, list(itertools.pairwise(names)), work, holding, {"h": 3.0}, 1.645, inbound={"a": 2})
    best = math.inf
    for passed_on in itertools.product((False, True), repeat=7):
        wait, cost = 2, 0.0
        for j, on in enumerate((*passed_on, False)):
            whole = wait + model.processing_time[j]
            wait = whole if on else 0
            cost += model.holding_cost[j] * 1.645 * 3.0 * math.sqrt(whole - wait)
        best = min(best, cost)
    assert guaranteed_service(model).cost == pytest.approx(best, rel=1e-12)
    assert guaranteed_service_milp(model).cost == pytest.approx(best, rel=1e-6)


EARLY = {
    "b is early for c": (
        {"a": (4, 10.0), "b": (3, 0.1), "c": (1, 1.0), "d": (0, 100.0), "e": (0, 1.0)},
        (("a", "c"), ("b", "c"), ("b", "d"), ("e", "d")),
        {"a": 4, "b": 0, "c": 0, "d": 0, "e": 0},
        0.1 * math.sqrt(2 * 3) + math.sqrt(5),
    ),
    "b is early for c and d": (
        {"a": (4, 10.0), "b": (3, 0.1), "c": (1, 1.0), "d": (1, 1.0), "e": (4, 10.0), "x": (0, 3.0)},
        (("a", "c"), ("b", "c"), ("b", "d"), ("e", "d"), ("b", "x")),
        {"a": 4, "b": 0, "c": 0, "d": 0, "e": 4, "x": 0},
        0.1 * math.sqrt(3 * 3) + 2 * math.sqrt(5),
    ),
}


@pytest.mark.parametrize("name", EARLY)
def test_what_is_ready_early_may_wait(name):
    """Part b must be at hand at once for one stage, and is early for others, which wait for what takes longer.

    At which node the tree is hung up (the one that is listed last) must not matter.
    """
    rows, arcs, promises, cost = EARLY[name]
    sinks = dict.fromkeys({b for _, b in arcs} - {a for a, _ in arcs}, 1.0)
    for last in rows:
        nodes = [*(n for n in rows if n != last), last]
        model = ServiceModel(nodes, arcs, *({n: r[k] for n, r in rows.items()} for k in (0, 1)), sinks, 1.0)
        found = guaranteed_service(model)
        assert dict(zip(nodes, found.numbers["service_time"], strict=True)) == promises
        assert found.cost == pytest.approx(cost)


def test_a_forest_is_the_sum_of_its_trees():
    one, other = random_model(1, 6), random_model(2, 7)
    names = [*one.nodes, *(f"x{n}" for n in other.nodes)]
    rows = {
        k: [*getattr(one, k), *getattr(other, k)]
        for k in ("processing_time", "holding_cost", "demand_sd", "bound_factor", "outbound")
    }
    both = ServiceModel(names, [*one.arcs, *((f"x{a}", f"x{b}") for a, b in other.arcs)], **rows)
    assert guaranteed_service(both).cost == pytest.approx(guaranteed_service(one).cost + guaranteed_service(other).cost)


def test_a_thousand_stages():
    """A tree, and a chain that takes thousands of periods; the chain's optimum from a plain recursion over cuts."""
    tree = random_model(5, 1000)
    found = guaranteed_service(tree)
    simple = [0] * 1000, [int(min(m, s)) for m, s in zip(tree.longest, tree.outbound, strict=True)]
    assert all(found.cost <= service_cost(tree, times).cost for times in simple)
    rng = np.random.default_rng(3)
    names = [f"n{i}" for i in range(300)]
    work, holding = rng.integers(0, 11, 300), np.exp(np.arange(300) / 20)  # stock in a dozen places
    chain = ServiceModel(names, list(itertools.pairwise(names)), work, holding, {"n299": 2.0}, 1.645)
    until = np.concatenate([[0], np.cumsum(work)])
    best = np.zeros(301)  # stages 1 .. j, the last of which holds stock for all since the one before that does
    for j in range(1, 301):
        best[j] = np.min(best[:j] + holding[j - 1] * 1.645 * 2.0 * np.sqrt(until[j] - until[:j]))
    found = guaranteed_service(chain)
    assert found.cost == pytest.approx(best[300], rel=1e-12)
    assert np.count_nonzero(found.numbers["safety_stock"]) >= 10


def test_a_network_that_is_no_tree_has_proven_bounds():
    found = guaranteed_service_milp(random_model(11, 40, extra=0.04))
    assert found.claim == "optimal"
    assert 0 <= found.details["gap"] <= 1e-6
    assert found.cost * (1 - 1e-6) <= found.lower_bound <= found.cost


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.03, 0.01, 0.003])
def test_bounds_hold_wherever_it_stops(tolerance):
    for seed in range(4):
        model = random_model(seed, 30)
        optimum, found = guaranteed_service(model).cost, guaranteed_service_milp(model, tolerance=tolerance)
        assert found.lower_bound <= optimum * (1 + 1e-9) and found.cost >= optimum * (1 - 1e-9)
        assert found.cost - found.lower_bound <= tolerance * found.cost


def test_no_program_claims_more_than_the_optimum():
    """The bounds of the programs themselves, before they are cut at the best cost that was found."""
    model = random_model(2, 30)
    optimum, lines = guaranteed_service(model).cost, service_milp._Lines(model)
    for _ in range(6):
        times, bound = lines.solve(1e-9, None)
        assert bound <= optimum * (1 + 1e-7)
        if not lines.broken_at(service_cost(model, times).numbers["net_replenishment_time"]):
            break
    assert bound == pytest.approx(optimum, rel=1e-6)


def test_a_solver_that_is_stopped_says_how_far_it_came():
    model = random_model(12, 60, extra=0.06)
    stopped = guaranteed_service_milp(model, time_limit=1e-9)
    assert stopped.claim == "exact"
    assert stopped.lower_bound == 0 and stopped.details["gap"] == 1.0
    assert guaranteed_service_milp(model, tolerance=0.2).cost <= stopped.cost


# --- What must hold for every model ----------------------------------------------------------------------------------


@settings(max_examples=30)
@given(models(most=7), st.data())
def test_dearer_or_wilder_is_not_cheaper(model, data):
    j = data.draw(st.integers(0, len(model.nodes) - 1))
    base = guaranteed_service(model).cost
    for name in ("holding_cost", "demand_sd", "bound_factor", "inbound", "processing_time"):
        row = list(getattr(model, name))
        row[j] += 1
        # the promise is left as it was: a node with customers now must not gain or lose one
        changed = dataclasses.replace(model, **{name: row, "outbound": model.outbound})
        assert guaranteed_service(changed).cost >= base * (1 - 1e-12) - 1e-12
    later = list(model.outbound)
    later[j] += 1
    assert guaranteed_service(dataclasses.replace(model, outbound=later)).cost <= base * (1 + 1e-12) + 1e-12


@settings(max_examples=30)
@given(models(most=7), st.floats(0.1, 10), st.integers(2, 4))
def test_money_quantity_and_time_are_units(model, scale, times):
    base = guaranteed_service(model)

    def scaled(by, *names):
        return {n: [by * x for x in getattr(model, n)] for n in names}

    dear = dataclasses.replace(model, **scaled(scale, "holding_cost"), outbound=model.outbound)
    assert guaranteed_service(dear).cost == pytest.approx(scale * base.cost, rel=1e-9, abs=1e-12)
    large = dataclasses.replace(model, **scaled(scale, "demand_sd", "demand_mean"), outbound=model.outbound)
    assert guaranteed_service(large).cost == pytest.approx(scale * base.cost, rel=1e-9, abs=1e-12)
    # Optima lie at vertices of differences of times, so finer periods gain nothing.
    fine = dataclasses.replace(model, **scaled(times, "processing_time", "inbound", "outbound", "arc_time"))
    assert guaranteed_service(fine).cost == pytest.approx(math.sqrt(times) * base.cost, rel=1e-9, abs=1e-12)


@settings(max_examples=30)
@given(models(tree=False, most=7))
def test_never_worse_than_stock_everywhere_or_at_the_end(model):
    found = guaranteed_service_milp(model)
    everywhere = [0] * len(model.nodes)
    at_the_end = [int(min(m, s)) for m, s in zip(model.longest, model.outbound, strict=True)]
    for times in (everywhere, at_the_end):
        assert found.cost <= service_cost(model, times).cost * (1 + 1e-12)


def test_a_bound_of_ones_own():
    """The usual bound as a function is the usual model; a bound that stops growing moves stock to one place."""
    plain = random_model(7, 12)
    factor = dict(zip(plain.nodes, zip(plain.bound_factor, plain.sigma, strict=True), strict=True))
    same = dataclasses.replace(plain, safety_stock=lambda name, t: factor[name][0] * factor[name][1] * np.sqrt(t))
    other = dataclasses.replace(plain, safety_stock=lambda name, t: np.minimum(2 * t, 5.0))
    assert guaranteed_service(same).cost == pytest.approx(guaranteed_service(plain).cost, rel=1e-12)
    tree, milp = (solve(other) for solve in BOTH)
    assert tree.cost == pytest.approx(milp.cost, rel=1e-6)
    assert max(tree.numbers["safety_stock"]) <= 5.0
    for wrong in (lambda name, t: t**2, lambda name, t: -t, lambda name, t: t + 1, lambda name, t: t * np.nan):
        with pytest.raises(NumberError, match="safety_stock must"):
            dataclasses.replace(plain, safety_stock=wrong)


def test_pooling():
    """Independent customers add up in squares, others plainly; what is reached on two paths is one demand."""
    hub = {"nodes": ("hub", "a", "b"), "arcs": (("hub", "a"), ("hub", "b")), "processing_time": 1, "holding_cost": 1}
    common = {"demand_sd": {"a": 3, "b": 4}, "demand_mean": {"a": 10, "b": 20}, "bound_factor": 1, "units": (1, 2)}
    assert ServiceModel(**hub, **common).sigma[0] == pytest.approx(math.hypot(3, 8))
    assert ServiceModel(**hub, **common, pooling=1).sigma[0] == pytest.approx(11)
    assert ServiceModel(**hub, **common).mean == (50, 10, 20)
    arcs = (("part", "a"), ("part", "b"), ("a", "end"), ("b", "end"))
    diamond = ServiceModel(("part", "a", "b", "end"), arcs, 1, 1, {"end": 3.0}, 1.0)
    assert diamond.sigma == pytest.approx((6.0, 3.0, 3.0, 3.0))


# --- Promises kept in simulation -------------------------------------------------------------------------------------


def bounded_demand(model, customers, periods, lanes, seed):
    """``[T, C, B]`` wild demand, cut so that every node's stays within its bound over every stretch of time.

    It is mostly as much as the bounds allow, then nothing for a while: bounds are reached and not only respected.
    """
    rng = np.random.default_rng(seed)
    mean, span = np.asarray(model.mean), max(model.longest) + 1
    share = model.share[:, customers]  # [N, C]
    bound = np.stack(
        [mean[j] * np.arange(1, span + 1) + model.safety(j, np.arange(1, span + 1)) for j in range(mean.size)]
    )
    past = np.zeros((span, mean.size, lanes))  # newest first
    demand = np.zeros((periods, len(customers), lanes))
    busy = np.full((len(customers), lanes), True)
    for t in range(periods):
        busy = np.where(rng.random(busy.shape) < 0.15, ~busy, busy)
        wanted = np.where(
            busy, 10.0 * (1 + mean.max()), rng.uniform(0, 1.2, busy.shape) * np.asarray(model.mean)[customers][:, None]
        )
        before = np.concatenate([np.zeros((1, mean.size, lanes)), np.cumsum(past[:-1], axis=0)])
        room = (bound.T[:, :, None] - before).min(axis=0)  # [N, B] what each node can still be asked for
        for c in rng.permutation(len(customers)):
            reached = share[:, c] > 0
            most = (room[reached] / share[reached, c][:, None]).min(axis=0)
            demand[t, c] = np.clip(wanted[c], 0.0, np.maximum(most, 0.0))
            room = room - share[:, c][:, None] * demand[t, c]
        past = np.concatenate([(share @ demand[t])[None], past[:-1]])
    return demand


def shortfalls(network, model, solution, less, lanes=8):
    """The most that was owed on an arc beyond what was ordered within the promise of its source: with the levels of the
    solution, and with so much less, on the same demand.
    """
    w = network.wiring
    customers = [model.index[w.nodes[w.src[e]]] for e in w.customer_arcs]
    warmup, periods = 3 * max(model.longest) + 5, 100
    demand = bounded_demand(model, customers, warmup + periods, lanes, seed=1)
    theta = {"level": solution.theta["level"] - np.repeat([0.0, less], lanes)}
    scenario = scenario_of(np.concatenate([demand, demand], axis=2))
    played = rollout(network, solution.policy, theta, scenario, jax.random.key(0), keep_trajectory=True)
    flows = played.trajectory.flows
    ordered, owed = np.asarray(flows.ordered, float).cumsum(axis=0), np.asarray(flows.backlog, float)
    worst = np.zeros(2 * lanes)
    for e in range(w.n_arcs):
        if w.src[e] >= 0:
            promise = solution.numbers["service_time"][w.src[e]]
            recent = ordered[warmup:, e] - ordered[warmup - promise : ordered.shape[0] - promise, e]
            worst = np.maximum(worst, (owed[warmup:, e] - recent).max(axis=0))
    return worst[:lanes].max(), worst[lanes:].max()


def assembled(timing):
    """Two components of unequal lead times, two of one in a product, which is worked on and sold from a depot."""
    nodes = [Node("slow", 1.0), Node("fast", 1.5), Node("product", 6.0), Node("depot", 7.0)]
    arcs = [
        Arc(OUTSIDE, "slow", lead_time=4),
        Arc(OUTSIDE, "fast", lead_time=1),
        Arc("slow", "product", component="slow", lead_time=3, units=2),
        Arc("fast", "product", component="fast", lead_time=1),
        Arc("product", "depot", lead_time=2),
        Arc("depot", CUSTOMER),
    ]
    return build_network(nodes, arcs, timing=timing)


def systems():
    law = Normal(10, 3)
    chain = serial(3, holding_cost=(1, 2, 6), lead_time=(2, 1, 3), timing="order_first")
    shops = distribution(2, holding_cost=(1, 3), lead_time=(3, 2), timing="demand_first")
    yield "chain, order first", chain, service_model(chain, [law], bound_factor=2.0, outbound=1)
    yield "warehouse", shops, service_model(shops, [law, Normal(5, 2)], bound_factor=1.5)
    for timing in ("demand_first", "order_first", "ship_first"):
        network = assembled(timing)
        yield f"assembly, {timing}", network, service_model(network, [law], bound_factor=1.645, outbound=2)
    for instance in INSTANCES:
        yield instance.id, instance.problem.network, instance.problem.service


SYSTEMS = {name: (network, model) for name, network, model in systems()}


SLOW = (
    "guaranteed_service/example_6_3",
    "guaranteed_service/example_6_5",
    "assembly, order_first",
    "assembly, ship_first",
)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in SYSTEMS])
def test_a_promise_is_kept_while_demand_stays_within_its_bound(name):
    """And not with a little less stock, so that the stock is no larger than it must be."""
    network, model = SYSTEMS[name]
    found = guaranteed_service(model, network=network)
    scale = max(found.numbers["base_stock"])
    kept, broken = shortfalls(network, model, found, less=0.02 * scale)
    assert kept <= 1e-5 * scale
    assert broken > 0.005 * scale


def test_where_stock_is_in_one_place_the_simulator_pays_what_the_model_says():
    """Problem 6.7 stocks at the customer only, and with k = 4 its demand hardly ever leaves the bound."""
    problem = INSTANCES[2].problem
    found = guaranteed_service(problem.service, network=problem.network)
    played = rollout(
        problem.network,
        found.policy,
        found.theta,
        problem.processes,
        jax.random.key(1),
        periods=300,
        lanes=256,
        warmup=20,
    )
    cost = np.asarray(kpis(played.totals)["cost"], float)
    assert cost.mean() == pytest.approx(found.cost, abs=5 * cost.std(ddof=1) / math.sqrt(cost.size) + 1e-4 * found.cost)


# --- From a network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda i: i.id)
def test_an_instance_and_its_network_are_one_system(instance):
    problem = instance.problem
    model = problem.service
    limits = dict(zip(model.nodes, model.outbound, strict=True))
    read = service_model(problem.network, problem.laws, bound_factor=model.bound_factor[0], outbound=limits)
    found, other = guaranteed_service(model), guaranteed_service(read)
    assert found.cost == other.cost
    assert found.numbers["net_replenishment_time"] == other.numbers["net_replenishment_time"]
    assert found.local_levels == pytest.approx(other.local_levels)


def test_lead_times_review_and_units_of_a_network():
    model = service_model(assembled("demand_first"), [Normal(10, 3)], bound_factor=1.645, outbound=2)
    at = model.index
    rows = {n: (model.processing_time[j], model.inbound[j], model.shortest_wait[j]) for n, j in at.items()}
    assert rows == {"slow": (4, 0, 0), "fast": (1, 0, 0), "product": (1, 0, 2), "depot": (2, 0, 0)}
    assert model.mean == (20, 10, 10, 10)
    assert model.sigma == pytest.approx((6, 3, 3, 3))
    assert [model.outbound[at[n]] for n in ("slow", "depot")] == [math.inf, 2]
    extra = {
        timing: np.subtract(
            service_model(assembled(timing), [Normal(10, 3)], bound_factor=1.645, outbound=2).processing_time,
            model.processing_time,
        ).tolist()
        for timing in ("order_first", "ship_first")
    }
    assert extra == {"order_first": [0, 0, 0, 1], "ship_first": [1, 1, 1, 1]}


def test_a_supplier_beside_a_feeder_is_waited_for():
    arcs = [
        Arc(OUTSIDE, "part", lead_time=2),
        Arc("part", "kit", component="part", lead_time=1),
        Arc(OUTSIDE, "kit", component="box", lead_time=6),
        Arc("kit", CUSTOMER),
    ]
    network = build_network([Node("part", 1.0), Node("kit", 2.0)], arcs, timing="demand_first")
    model = service_model(network, [Poisson(4)], bound_factor=2.0)
    assert model.processing_time == (2, 1) and model.inbound == (0, 5)
    found = guaranteed_service(model)
    assert found.numbers["service_time"] == (2, 0)  # the kit waits for the box anyway
    assert found.cost == pytest.approx(2 * 2 * 2 * math.sqrt(6))


def test_a_process_is_demand_too():
    network = serial(2, holding_cost=(1, 2), timing="demand_first")
    by_law = service_model(network, [Normal(50, 4)], bound_factor=1.0)
    assert service_model(network, Processes(demand=normal(50, 4)), bound_factor=1.0) == by_law
    with pytest.raises(UnsuitableError, match="independent"):
        service_model(network, autoregressive(50.0, 4.0, 0.5), bound_factor=1.0)


@pytest.mark.parametrize(
    "network, message",
    [
        (serial(2, holding_cost=(1, 2), capacity=10), "capacity"),
        (serial(2, holding_cost=(1, 2), keep=0.0), "keep"),
        (serial(2, holding_cost=(1, 2), fixed_order_cost=3), "fixed_order_cost"),
        (serial(2, holding_cost=(1, 2), make_to_order=True), "makes to order"),
        (serial(2, holding_cost=(1, [2, 3])), "say which lane"),
        (multi_source(2), "node 'store' has 2 sources"),
    ],
)
def test_a_network_that_the_model_has_no_word_for_is_refused(network, message):
    with pytest.raises(UnsuitableError, match=message):
        service_model(network, [Poisson(5)], bound_factor=1.0)
    with pytest.raises(InputError, match="2 laws, and the network has 1 customers"):
        service_model(serial(2), [Poisson(5), Poisson(4)], bound_factor=1.0)


# --- Refusals --------------------------------------------------------------------------------------------------------


def test_what_is_no_tree_is_sent_to_the_other_method():
    arcs = (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))
    diamond = ServiceModel("abcd", arcs, 1, (1, 2, 2, 5), {"d": 1}, 1)
    with pytest.raises(UnsuitableError, match=r"form a cycle.*guaranteed_service_milp"):
        guaranteed_service(diamond)
    problem = as_problem(diamond)
    with pytest.raises(UnsuitableError, match=r"a - b - d - c - a|a - c - d - b - a"):
        method_named("guaranteed_service")(problem)
    found = method_named("guaranteed_service_milp")(problem)
    assert found.cost == pytest.approx(brute_force(diamond), rel=1e-6)
    network = serial(2, backlog_cost=9)
    plain = Problem(network, Processes(demand=normal(5, 1)), (Normal(5, 1),))
    for name in ("guaranteed_service", "guaranteed_service_milp"):
        assert "service=" in method_named(name).unfit(plain)


PLAIN = {
    "nodes": ("a", "b"),
    "arcs": (("a", "b"),),
    "processing_time": 1,
    "holding_cost": 1.0,
    "demand_sd": {"b": 1},
    "bound_factor": 1.0,
}


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"nodes": ()}, InputError, "at least one node"),
        ({"nodes": ("a", "b", "a")}, DuplicateNameError, "'a' appears more than once"),
        ({"nodes": ("a", "b", "")}, InputError, "not empty"),
        ({"arcs": (("a", "c"),)}, UnknownNameError, "a -> c: there is no node 'c'"),
        ({"arcs": (("a", "b"), ("a", "b"))}, DuplicateNameError, "a -> b appears more than once"),
        ({"arcs": (("a", "b"), ("b", "a"))}, CycleError, "form a cycle"),
        ({"arcs": (("a", "a"),)}, CycleError, "form a cycle"),
        ({"processing_time": 1.5}, NumberError, "node 'a': processing_time = 1.5 must be a whole number"),
        ({"processing_time": -1}, NumberError, "processing_time = -1"),
        ({"processing_time": (1, 2, 3)}, InputError, "processing_time has 3 values, and there are 2 nodes"),
        ({"processing_time": 90_000}, NumberError, "count in longer periods"),
        ({"holding_cost": {"a": float("nan")}}, NumberError, "node 'a': holding_cost = nan"),
        ({"holding_cost": ("1", "dear")}, NumberError, "node 'b': holding_cost = 'dear' is no number"),
        ({"processing_time": None}, NumberError, "processing_time = None is no number"),
        ({"arcs": (("a", "b", "c"),)}, InputError, "must be a pair of names"),
        ({"holding_cost": {"z": 1}}, UnknownNameError, "there is no node 'z'"),
        ({"demand_sd": float("inf")}, NumberError, "demand_sd = inf"),
        ({"outbound": {"b": 0.5}}, NumberError, "node 'b': outbound = 0.5"),
        ({"arc_time": (1, 2)}, InputError, "arc_time has 2 values, and there are 1 arcs"),
        ({"arc_time": -1}, NumberError, "arc 'a -> b': arc_time = -1"),
        ({"units": 0}, NumberError, "arc 'a -> b': units = 0"),
        ({"pooling": 0.5}, NumberError, "pooling = 0.5"),
    ],
)
def test_a_wrong_model_is_refused_by_name(changes, error, message):
    with pytest.raises(error, match=message):
        ServiceModel(**(PLAIN | changes))


def test_wrong_service_times_are_refused():
    model = ServiceModel(**PLAIN, outbound={"b": 4})
    for times, error, message in (
        ((0, 5), InfeasibleError, "node 'b': service time 5 exceeds the 4"),
        ((2, 0), InfeasibleError, "node 'a': service time 2 exceeds its replenishment time of 1"),
        ((0, 0.5), NumberError, "whole number"),
        ((0,), InputError, "has 1 values"),
        ({"a": 0}, InputError, "leaves out b"),
    ):
        with pytest.raises(error, match=message):
            service_cost(model, times)
    with pytest.raises(UnknownNameError, match="same nodes"):
        guaranteed_service(model, network=serial(2))
    for wrong in ({"tolerance": 0.0}, {"time_limit": -1.0}, {"tolerance": float("nan")}):
        with pytest.raises(NumberError, match="must be positive"):
            guaranteed_service_milp(model, **wrong)


def test_rows_follow_the_network():
    """A model lists its nodes in any order; with a network the rows are in the network's."""
    model = dataclasses.replace(
        example_6_5(),
        nodes=("4", "2", "3", "1"),
        **{
            k: dict(zip(example_6_5().nodes, getattr(example_6_5(), k), strict=True))
            for k in (
                "processing_time",
                "holding_cost",
                "demand_sd",
                "demand_mean",
                "bound_factor",
                "inbound",
                "outbound",
            )
        },
    )
    network = as_problem(example_6_5()).network
    own, other = guaranteed_service(model), guaranteed_service(model, network=network)
    assert own.numbers["node"] == model.nodes and other.numbers["node"] == network.wiring.nodes == ("1", "3", "2", "4")
    for name in own.numbers:
        here = dict(zip(own.numbers["node"], own.numbers[name], strict=True))
        assert here == dict(zip(other.numbers["node"], other.numbers[name], strict=True))
    assert np.asarray(other.theta["level"])[:, 0] == pytest.approx(other.local_levels)


def test_a_model_is_data():
    """Hashable, equal where its numbers are, whole levels where the network counts in whole units."""
    assert hash(example_6_5()) == hash(example_6_5()) and example_6_5() == example_6_5()
    assert example_6_5() != problem_6_7()
    network = serial(2, holding_cost=(1, 2), timing="demand_first", integer=True)
    model = service_model(network, [Poisson(3)], bound_factor=1.645)
    found = guaranteed_service(model, network=network)
    level = np.asarray(found.theta["level"])[:, 0]
    assert level == pytest.approx(np.ceil(found.local_levels))
    assert not np.array_equal(level, found.local_levels)


# --- The picture -----------------------------------------------------------------------------------------------------


def drawn(figure):
    figure.savefig(io.BytesIO(), dpi=60)
    return [t.get_text() for ax in figure.axes for t in ax.texts]


def test_service_times_are_drawn_on_the_network():
    problem = as_problem(example_6_5())
    found = guaranteed_service(problem.service, network=problem.network)
    figure = plot.plot_service_times(problem.network, found, title="Example 6.5")
    shown = drawn(figure)
    assert {"Example 6.5", "covers 3 · 2.45", "covers 1 · 1.41", "covers 1 · 1", "no safety stock"} <= set(shown)
    promises = [t.get_text() for t in figure.axes[0].texts if t.get_bbox_patch() and t.get_color() == PAPER]
    assert promises == ["0", "0", "0", "1", "2"]  # the nodes', and the example in the legend
    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    colours = [p.get_facecolor() for p in boxes]
    assert len(colours) == 4 and colours[3] == (1.0, 1.0, 1.0, 1.0)  # no stock, no colour
    assert colours[2][0] < colours[1][0] < colours[0][0] < 1.0  # the dearer, the bluer
    plain = drawn(plot.plot_service_times(problem.network, found, legend=False))
    assert len(plain) < len(shown) and "supplier" not in plain
    # What stands at the box's end covers no other text.
    canvas = FigureCanvasAgg(figure)
    extents = [t.get_window_extent(canvas.get_renderer()) for t in figure.axes[0].texts]
    for (i, a), (j, b) in itertools.combinations(enumerate(extents), 2):
        assert not a.overlaps(b), (shown[i], shown[j])


def test_a_drawing_of_something_else_is_refused():
    problem = as_problem(example_6_5())
    found = guaranteed_service(problem.service)
    left, right = Figure(figsize=(12, 4)).subplots(1, 2)
    assert drawn(plot.plot_service_times(problem.network, found, right, legend=False))
    with pytest.raises(InputError, match="differ in"):
        plot.plot_service_times(serial(2), found, left)
    with pytest.raises(InputError, match="has no service times"):
        plot.plot_service_times(problem.network, found.replace(numbers={}), left)
