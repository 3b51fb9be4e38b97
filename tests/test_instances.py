"""The registries of instances and methods: what holds of every one, and every known value that is found in a moment."""

import math
import re

import numpy as np
import pytest

from meio_jax.errors import DuplicateNameError, UnknownNameError, UnsuitableError
from meio_jax.files import load_system
from meio_jax.instances import families, find, instances
from meio_jax.instances.hdpo import stores
from meio_jax.network import TIMINGS
from meio_jax.processes import check_processes, mean_demand
from meio_jax.solvers import methods as registry
from meio_jax.solvers.laws import Normal
from meio_jax.solvers.method import Method
from meio_jax.solvers.methods import method_named, methods, solve
from meio_jax.solvers.problem import problem_of
from meio_jax.solvers.process_laws import laws_of
from meio_jax.solvers.solution import CLAIMS

#: Share by which a value that was computed elsewhere may differ.
OWN = 5e-4


# --- Every instance ----------------------------------------------------------------------------------------------


def test_ids_and_families():
    every = instances()
    assert len({i.id for i in every}) == len(every) >= 100
    assert [i for f in families() for i in instances(f)] == sorted(every, key=lambda i: families().index(i.family))
    for i in every:
        assert re.fullmatch(r"[a-z][a-z0-9_]*/[A-Za-z0-9_.\-]+", i.id), i.id
        assert i.title and "\n" not in i.title and i.timing in TIMINGS, i.id
        assert re.search(r"\b(19|20)\d\d\b|arXiv", i.source), f"{i.id}: the citation has no year"


def test_known_values_are_sensible():
    for i in instances():
        for k in i.known:
            assert math.isfinite(k.cost) and k.cost != 0, i.id
            assert k.status in ("V", "OWN", "T") and k.source and k.precision >= 0, i.id
            assert k.status != "V" or 0 < k.precision < 0.01 * abs(k.cost), f"{i.id}: {k.what}"
            assert (k.method is None) + (k.rule is None) + (k.compute is None) >= 2, i.id
            assert k.method is None or k.method in methods(), f"{i.id}: no method {k.method}"
        assert len({(k.what, k.source) for k in i.known}) == len(i.known), i.id
        assert i.known_optimum is None or i.known[0].what == "optimum", i.id


@pytest.mark.parametrize("family", families())
def test_networks_and_processes_fit_what_is_said(family):
    for i in instances(family):
        problem = i.problem
        assert problem.network.wiring.timing == i.timing, i.id
        assert problem is i.problem  # made once
        check_processes(problem.network, problem.processes)
        drawn = laws_of(problem.processes.demand, whole=problem.network.wiring.integer)[0] if problem.laws else ()
        mean = mean_demand(problem.processes) if drawn else None
        if mean is None:
            continue
        np.testing.assert_allclose([law.mean for law in drawn], np.asarray(mean)[:, 0], rtol=2e-3, atol=1e-3)
        for said, law in zip(problem.laws, drawn, strict=True):
            # The simulator cuts off at 0 what is negative in the literature, no more and no less.
            cut = float(np.asarray(said.loss(0.0))) - said.mean if isinstance(said, Normal) else 0.0
            assert law.mean == pytest.approx(said.mean + cut, rel=1e-6, abs=1e-6), i.id


FAST = [
    (i.id, k.what)
    for i in instances()
    for k in i.known
    if k.status in ("V", "OWN") and (k.compute or (k.method and method_named(k.method).effort == 0))
]


@pytest.mark.parametrize("name, what", FAST)
def test_known_values(name, what):
    instance = find(name)
    known = next(k for k in instance.known if k.what == what)
    cost = known.compute() if known.compute else solve(instance.problem, known.method).cost
    allowed = known.precision if known.status == "V" else OWN * abs(known.cost)
    assert abs(cost - known.cost) <= allowed * (1 + 1e-9)


def test_auto_finds_the_optimum_and_brackets_it():
    """The first of each family whose optimum is found in a moment."""
    firsts = {find(name).family: name for name, what in reversed(FAST) if what == "optimum"}
    assert len(firsts) >= 6
    for name in firsts.values():
        instance = find(name)
        found, optimum = solve(instance.problem), instance.known_optimum
        assert found.claim in ("optimal", "exact") and found.cost == pytest.approx(optimum, rel=OWN), name
        assert found.lower_bound <= optimum * (1 + OWN) and found.upper_bound >= optimum * (1 - OWN), name


# --- Families ----------------------------------------------------------------------------------------------------


def test_families_are_whole():
    count = {f: len(instances(f)) for f in families()}
    for family, least in {
        "serial": 5, "shang_song": 4, "pirhooshyaran_snyder": 10, "hdpo_store": 24, "hdpo_serial": 16,
        "hdpo_transshipment": 24, "hdpo_warehouse": 6, "kaynov": 10, "stockpyl": 7,
    }.items():  # fmt: skip
        assert count[family] >= least, family


def test_pirhooshyaran_and_snyder_printed_within_a_twentieth_of_a_percent():
    for i in instances("pirhooshyaran_snyder"):
        printed = i.known[-1].cost
        assert solve(i.problem, "clark_scarf").cost == pytest.approx(printed, rel=5e-4), i.id


def test_hdpo_stores_are_those_of_the_authors():
    s = stores(3)
    assert s.mean.tolist() == [3.743, 4.75, 4.555] and s.sd.tolist() == [1.765, 2.124, 1.622]
    assert set(stores(50).lead.tolist()) == {2, 3}
    ten = stores(10)
    assert np.all((ten.holding >= 0.7) & (ten.holding <= 1.3)) and np.all((ten.penalty >= 6.3) & (ten.penalty <= 11.7))
    np.testing.assert_array_equal(ten.mean[:3], s.mean)


def test_bounds_of_transshipment_rise_with_what_is_hard():
    def bound(rho, lead, penalty):
        return find(f"hdpo_transshipment/n3_rho{rho}_L{lead}_p{penalty}")

    cost = {key: solve(bound(*key).problem, "federgruen_zipkin").cost for key in ((0, 2, 4), (0, 2, 9), (0, 6, 4))}
    assert cost[0, 2, 4] < cost[0, 2, 9] and cost[0, 2, 4] < cost[0, 6, 4]


def test_a_cost_of_shang_and_song_is_per_unit_of_time():
    """In continuous time: a pipeline of rate 16 over three quarters at local rates .25, .5, .75 costs 6."""
    found = solve(find("shang_song/row_1").problem)
    assert found.constant_cost == pytest.approx(16 * 0.25 * (0.25 + 0.5 + 0.75))
    assert found.echelon_levels == (22, 18, 13, 8)


# --- Names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: find("serial/exmple_6_1"), "did you mean serial/example_6_1"),
        (lambda: find("shang_song"), "family of 4 instances: shang_song/row_1"),
        (lambda: find("???"), "meio instances"),
        (lambda: instances("seriel"), "did you mean serial"),
        (lambda: method_named("clark_scraf"), "did you mean clark_scarf"),
        (lambda: method_named("???"), "known are auto"),
    ],
)
def test_an_unknown_name_gets_the_nearest(call, said):
    with pytest.raises(UnknownNameError, match=said):
        call()


def test_an_id_in_two_files_is_refused(monkeypatch):
    from meio_jax import instances as package
    from meio_jax.instances import hdpo

    monkeypatch.setattr(hdpo, "INSTANCES", (*hdpo.INSTANCES, find("serial/example_6_1")))
    package._found.cache_clear()
    try:
        with pytest.raises(DuplicateNameError, match="'serial/example_6_1' is taken"):
            instances()
    finally:
        package._found.cache_clear()


# --- Methods -----------------------------------------------------------------------------------------------------


def test_methods_are_in_the_order_of_their_claims():
    ranks = [(CLAIMS.index(m.claim), m.effort) for m in methods().values()]
    assert ranks == sorted(ranks)
    assert {"base_stock", "clark_scarf", "rosling", "federgruen_zipkin"} <= set(methods())
    for name, m in methods().items():
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and m.title and m.claim in CLAIMS and m.effort in (0, 1, 2)


def _method(name, claim, effort, answer):
    def act(problem):
        if isinstance(answer, str):
            raise UnsuitableError(answer)
        return answer

    return Method(name, name, claim, act, lambda problem: None, effort)


def test_auto_takes_the_strongest_claim_and_then_the_least_effort(monkeypatch):
    problem = find("serial/example_6_1").problem
    answer = solve(problem)
    made = [
        _method("guess", "approximate", 0, answer.replace(method="guess")),
        _method("slow", "optimal", 2, answer.replace(method="slow")),
        _method("large", "optimal", 0, "too large"),
        _method("quick", "optimal", 1, answer.replace(method="quick")),
    ]
    order = sorted(made, key=lambda m: (CLAIMS.index(m.claim), m.effort))
    monkeypatch.setattr(registry, "methods", lambda: {m.name: m for m in order})
    assert solve(problem).method == "quick"  # what was too large to solve is passed over
    assert solve(problem, "guess").method == "guess"
    with pytest.raises(UnsuitableError, match="too large"):
        solve(problem, "large")


def test_where_nothing_fits_every_reason_is_said_in_a_line(monkeypatch):
    few = {name: methods()[name] for name in ("base_stock", "clark_scarf", "rosling")}
    monkeypatch.setattr(registry, "methods", lambda: few)
    problem = problem_of(load_system("examples/fresh_food.yaml"))
    with pytest.raises(UnsuitableError) as refusal:
        solve(problem)
    first, *lines, last = str(refusal.value).splitlines()
    assert first == "no method can treat this problem:"
    assert [line.partition(": ")[0] for line in lines] == ["- base_stock", "- clark_scarf, rosling"]
    assert "2 suppliers" in lines[0] and "markov_demand" in last
    with pytest.raises(UnsuitableError, match="clark_scarf cannot treat this problem"):
        solve(problem, "clark_scarf")
