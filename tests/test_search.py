"""Simulation optimisation: known optima, whole numbers where needed, honest costs, the same result every time."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network, scenario_of
from meio_jax.errors import InputError, NonFiniteError, NumberError
from meio_jax.policies import BaseStock, CappedBaseStock, Decision, ReorderUpTo
from meio_jax.processes import Processes, normal, poisson
from meio_jax.solvers.search import _lane_costs, search

KEY = jax.random.key(0)


def serial():
    nodes = [Node("a", holding_cost=2), Node("b", holding_cost=4), Node("c", holding_cost=7)]
    arcs = [
        Arc(OUTSIDE, "a", lead_time=2),
        Arc("a", "b", lead_time=1, transit_holding_cost=2),
        Arc("b", "c", lead_time=1, transit_holding_cost=4),
        Arc("c", CUSTOMER, backlog_cost=37.12),
    ]
    return build_network(nodes, arcs, timing="demand_first")


def lost_sales():
    arcs = [Arc(OUTSIDE, "s", lead_time=2), Arc("s", CUSTOMER, keep=0.0, lost_cost=4)]
    return build_network([Node("s", holding_cost=1)], arcs, integer=True)


def nine_nodes():
    nodes = [Node("plant", holding_cost=0.5), Node("d1", holding_cost=1), Node("d2", holding_cost=1)]
    nodes += [Node(f"s{k}", holding_cost=2) for k in range(6)]
    arcs = [Arc(OUTSIDE, "plant", lead_time=3), Arc("plant", "d1", lead_time=2), Arc("plant", "d2", lead_time=2)]
    arcs += [Arc(f"d{1 + k // 3}", f"s{k}", lead_time=1 + k % 2) for k in range(6)]
    return build_network(nodes, arcs + [Arc(f"s{k}", CUSTOMER, backlog_cost=20) for k in range(6)])


@pytest.fixture(scope="module")
def example_6_1():
    source = Processes(demand=normal(5.0, 1.0))
    options = {"periods": 220, "warmup": 20, "lanes": 32, "budget": 600}
    return search(serial(), BaseStock(echelon=True), source, KEY, **options), source, options


def test_it_finds_example_6_1(example_6_1):
    found, _, _ = example_6_1
    assert found.method == "cma" and found.evaluations <= 600 and not found.in_sample
    assert found.low <= 47.66 * 1.003 and found.high >= 47.66
    np.testing.assert_allclose(found.theta["level"][:, 0], [22.706, 12.018, 6.491], atol=0.5)
    assert (np.diff(found.history[:, 0]) > 0).all() and (np.diff(found.history[:, 1]) <= 0).all()
    assert found.searched_cost >= found.history[-1, 1]


def test_the_same_key_finds_the_same(example_6_1):
    found, source, options = example_6_1
    again = search(serial(), BaseStock(echelon=True), source, KEY, **options)
    np.testing.assert_array_equal(again.theta["level"], found.theta["level"])
    assert (again.cost, again.evaluations) == (found.cost, found.evaluations)


def test_one_program_for_everything(example_6_1):
    _, source, options = example_6_1
    before = _lane_costs._cache_size()
    search(serial(), BaseStock(echelon=True), source, jax.random.key(7), **options)
    assert _lane_costs._cache_size() == before


def test_a_grid_of_whole_levels_finds_zipkins():
    """Zipkin (2008): the best base-stock level is 16, the best capped one (17, 5)."""
    source = Processes(demand=poisson(5.0))
    options = {"periods": 1100, "warmup": 100}
    plain = search(lost_sales(), BaseStock(), source, KEY, bounds={"level": (10, 22)}, **options)
    assert plain.method == "grid" and plain.evaluations == 13 and float(plain.theta["level"][0, 0]) == 16
    assert plain.low < 4.63865 < plain.high
    bounds = {"level": (14.5, 20), "cap": (3, 7)}
    capped = search(lost_sales(), CappedBaseStock(), source, KEY, bounds=bounds, **options)
    assert capped.evaluations == 6 * 5
    assert (float(capped.theta["level"][0, 0]), float(capped.theta["cap"][0, 0])) == (17, 5)
    assert capped.low < 4.40573 < capped.high
    zoomed = search(lost_sales(), BaseStock(), source, KEY, theta0={"level": jnp.asarray([[90.0]])}, **options)
    assert zoomed.method == "grid" and float(zoomed.theta["level"][0, 0]) == 16


def test_nine_nodes_in_seconds():
    source = Processes(demand=normal(np.linspace(3, 8, 6), 1.5))
    network = nine_nodes()
    found = search(network, BaseStock(echelon=True), source, KEY, periods=130, warmup=30, lanes=32, budget=800)
    assert found.history[-1, 1] < 0.95 * found.history[0, 1]  # better than the guess it began with
    by_steps = search(
        network, BaseStock(echelon=True), source, KEY, periods=130, warmup=30, lanes=32, budget=1500, method="pattern"
    )
    assert abs(found.cost / by_steps.cost - 1) < 0.02  # two ways, one optimum


def test_no_key_is_used_twice_by_mistake(key_reuse):
    source = Processes(demand=poisson(5.0))
    search(lost_sales(), CappedBaseStock(), source, jax.random.key(1), periods=20, lanes=4, budget=40, fresh_lanes=8)


def test_history_is_searched_in_sample_unless_told():
    demand = np.random.default_rng(0).poisson(5, (400, 1, 1)).astype(np.float32)
    train, test = scenario_of(demand[:300]), scenario_of(demand[300:])
    found = search(lost_sales(), ReorderUpTo(), train, KEY, budget=150)
    assert found.in_sample and found.low is None and found.cost == pytest.approx(found.searched_cost)
    held_out = search(lost_sales(), ReorderUpTo(), train, KEY, budget=150, fresh=test)
    assert not held_out.in_sample and held_out.cost != held_out.searched_cost
    assert all((np.asarray(x) % 1 == 0).all() for x in found.theta.values())


def test_the_winner_is_costed_on_fresh_scenarios():
    """Chosen among many on one short scenario, the best looks better than it is; what is reported does not."""
    source = Processes(demand=poisson(5.0))
    gaps = []
    for k in range(6):
        found = search(
            lost_sales(), CappedBaseStock(), source, jax.random.key(k), bounds={"level": (12, 24), "cap": (3, 12)},
            lanes=1, periods=40, warmup=5, fresh_lanes=64,
        )  # fmt: skip
        gaps.append(found.cost - found.searched_cost)
    assert np.mean(gaps) > 0


@dataclasses.dataclass(frozen=True)
class Odd:
    """Costs what its numbers say; no dictionary, no start."""

    theta_has_lanes: ClassVar[bool] = True

    def init(self, key, network):
        return (jnp.full((1, 1), 3.0), jnp.full((2, 1), 1.0))

    def memory(self, network, lanes):
        return None

    def apply(self, network, theta, memory, seen, key):
        a, b = theta
        wanted = jnp.abs(a - 2.3) + jnp.abs(b - jnp.asarray([[0.4], [5.0]])).sum(0, keepdims=True)
        return Decision(jnp.broadcast_to(wanted, (1, seen.owed.shape[-1]))), memory


def ordered(network, flows):
    return flows.ordered[0]


ONE_SITE = build_network([Node("s")], [Arc(OUTSIDE, "s"), Arc("s", CUSTOMER)])
NO_DEMAND = scenario_of(np.zeros((3, 1, 2), np.float32))


@pytest.mark.parametrize("method", ["cma", "sep-cma", "pattern", "grid"])
def test_any_pytree_by_every_method(method):
    options = {"measure": ordered, "method": method, "budget": 900}
    found = search(
        ONE_SITE, Odd(), NO_DEMAND, KEY, bounds=(0.0, (4.0, [2.0, 8.0])), integer=(False, [False, True]), **options
    )
    assert found.method == method
    assert float(found.theta[0][0, 0]) == pytest.approx(2.3, abs=0.05)
    np.testing.assert_allclose(found.theta[1][:, 0], [0.4, 5.0], atol=0.05)
    assert float(found.theta[1][1, 0]) % 1 == 0
    pinned = search(ONE_SITE, Odd(), NO_DEMAND, KEY, bounds=((1.5, 0.0), (1.5, 8.0)), **options)
    assert float(pinned.theta[0][0, 0]) == 1.5


def test_what_cannot_be_searched_is_refused():
    odd = (ONE_SITE, Odd(), NO_DEMAND, KEY)
    with pytest.raises(NumberError, match=r"bounds of \[1\]\[0\] are empty: \[3, 2\]"):
        search(*odd, bounds=((0.0, 3.0), (1.0, 2.0)), measure=ordered)
    with pytest.raises(NumberError, match="no whole number within the bounds"):
        search(*odd, bounds=(0.2, 0.8), integer=True, measure=ordered)
    with pytest.raises(NumberError, match=r"a grid needs finite bounds, those of \[0\]\[0\] are \[-inf, inf\]"):
        search(*odd, method="grid", measure=ordered)
    with pytest.raises(InputError, match="method 'magic' is none of auto"):
        search(*odd, method="magic")
    with pytest.raises(InputError, match="budget = 0"):
        search(*odd, budget=0)
    with pytest.raises(InputError, match="bounds are"):
        search(*odd, bounds=3.0)
    with pytest.raises(InputError, match="do not fit theta"):
        search(*odd, bounds=(0.0, (1.0, 2.0, 3.0)))
    with pytest.raises(InputError, match="theta has"):
        search(lost_sales(), BaseStock(), NO_DEMAND, KEY, bounds={"levels": (0, 1)})
    with pytest.raises(NumberError, match="theta0 holds a NaN"):
        search(lost_sales(), BaseStock(), NO_DEMAND, KEY, theta0={"level": jnp.full((1, 1), jnp.nan)})
    with pytest.raises(InputError, match="needs periods > warmup"):
        search(lost_sales(), BaseStock(), Processes(demand=poisson(5.0)), KEY)
    with pytest.raises(InputError, match="400 were asked for"):
        search(lost_sales(), BaseStock(), NO_DEMAND, KEY, periods=400)


def broken(network, flows):
    return jnp.where(flows.ordered[0] > 3.0, jnp.nan, flows.ordered[0])


def test_a_cost_that_is_not_finite_is_named():
    with pytest.raises(NonFiniteError, match=r"the cost is NaN or infinite at \['level'\]\[0\]="):
        search(ONE_SITE, BaseStock(), NO_DEMAND, KEY, bounds=(0.0, 8.0), measure=broken)
