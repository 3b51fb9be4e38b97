"""One suite for every registered process, and the composition of processes into scenarios."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network
from meio_jax.errors import InputError, ParameterError, UnknownNameError
from meio_jax.processes import (
    CONSTRUCTORS,
    PROCESSES,
    Processes,
    check_processes,
    construct,
    deterministic,
    discrete,
    draw,
    empirical,
    fixed,
    init_processes,
    mean_demand,
    mixed,
    negative_binomial,
    normal,
    outages,
    poisson,
    random_yield,
    replay,
    reports,
    sample_shock,
    sd_demand,
)
from meio_jax.scenario import check_scenario

PERIODS, LANES = 80, 256
CLASSES = sorted({c for kinds in PROCESSES.values() for c in kinds.values()}, key=lambda c: c.kind)
EXAMPLES = {f"{c.kind}-{i}": (c, i) for c in CLASSES for i in range(len(c.examples()))}
every = pytest.mark.parametrize("name", EXAMPLES)


@functools.cache
def example(name):
    cls, i = EXAMPLES[name]
    return cls.examples()[i]


def play(process, key, periods, lanes):
    """Values ``[T, K, B]``."""
    first, rest = jax.random.split(key)

    def step(carry, x):
        values, carry = process.sample(x[1], carry, x[0], lanes)
        return carry, values

    time = jnp.arange(periods, dtype=jnp.int32)
    return jax.lax.scan(step, process.init(first, lanes), (time, jax.random.split(rest, periods)))[1]


#: Little optimisation: compiling is what these tests wait for.
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def program():
    """The compiled `play`, and how often it was traced."""
    traces = []

    def counted(process, key):
        traces.append(1)
        return play(process, key, PERIODS, LANES)

    return quick(counted), traces


def run(process, seed):
    """A key that is used twice raises, in everything that the suite plays."""
    with jax.debug_key_reuse(True):
        return program()[0](process, jax.random.key(seed))


@functools.cache
def values(name, seed=0):
    return np.asarray(run(example(name), seed))


@every
def test_values_are_finite_non_negative_and_of_the_right_shape(name):
    x = values(name)
    assert x.shape == (PERIODS, 3, LANES)
    assert x.dtype == (np.int32 if example(name).role in ("lead_time", "reporting") else np.float32)
    assert np.isfinite(x).all()
    assert (x >= 0).all()
    if example(name).role in ("supply", "yield"):
        assert (x <= 1).all()


@every
def test_same_key_same_values_other_key_other_values(name):
    assert np.array_equal(values(name), run(example(name), 0))
    constant = EXAMPLES[name][0].kind in ("deterministic", "fixed") or name == "replay-0"
    assert np.array_equal(values(name), values(name, 1)) == constant


@every
def test_a_sweep_over_numbers_is_one_program(name):
    values(name)
    traces = program()[1]
    before = len(traces)
    for factor in (0.5, 0.9):
        run(jax.tree.map(lambda x, f=factor: x * f if x.dtype.kind == "f" else x, example(name)), 2)
    assert len(traces) == before


@every
def test_lanes_are_independent(name):
    process, x = example(name), values(name).astype(float)
    for row in x.swapaxes(0, 1):
        means = row.mean(0)  # one number a lane: memory in time does no harm
        if means.std() < 1e-9:
            continue
        for apart in (1, LANES // 2):
            d = means - means.mean()
            r = (d * np.roll(d, apart)).mean() / (d**2).mean()
            assert abs(r) < 5 / np.sqrt(LANES / 2)
        if process.memoryless:
            d = row - row.mean(1, keepdims=True)
            r = (d[:, ::2] * d[:, 1::2]).mean() / (d**2).mean()
            assert abs(r) < 5 / np.sqrt(d.size / 2)


def test_the_key_checker_is_awake():
    def careless(key):
        return jax.random.normal(key) + jax.random.normal(key)

    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        jax.jit(careless)(jax.random.key(0))


@every
def test_parameters_may_vary_by_lane(name):
    process = example(name)
    if process.kind in ("bootstrap", "replay"):
        pytest.skip("a history is one for all lanes")
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], LANES)), process)
    # Tables are summed in another order: now and then a threshold moves by an ulp and a word falls on its other side.
    got, want = np.asarray(run(wide, 0)), values(name)
    assert got.shape == want.shape
    assert np.isclose(got, want, rtol=1e-4, atol=1e-4).mean() > 0.9999


@every
def test_traces_without_implicit_rank_promotion_and_under_vmap(name):
    keys = jax.random.split(jax.random.key(4), 2)
    with jax.numpy_rank_promotion("raise"):
        got = jax.eval_shape(jax.vmap(lambda p, k: play(p, k, 3, 5), in_axes=(None, 0)), example(name), keys)
    assert got.shape == (2, 3, 3, 5)


@every
def test_every_parameter_says_what_it_is(name):
    cls = EXAMPLES[name][0]
    assert cls.__doc__
    for parameter in cls.parameters.values():
        assert parameter.doc and parameter.unit and parameter.form
    assert set(cls.parameters) <= set(
        CONSTRUCTORS["demand" if cls.role == "any" else cls.role][cls.kind].__annotations__
    )


@every
def test_moments_are_those_of_the_draws(name):
    """Where the process states its long-run moments: by means over lanes, so that memory in time does no harm."""
    process = example(name)
    if process.long_run_mean() is None or name == "seasonal-1":  # the latter has a trend
        pytest.skip("no long run")
    x = values(name).astype(float)
    if "rounded" in process.parameters and getattr(process, "rounded", False) and process.kind == "shocked":
        pytest.skip("stated before rounding")
    cycle = getattr(process, "profile", jnp.ones((1, 1))).shape[0] * getattr(process, "length", 1)
    if process.kind == "bootstrap":
        cycle = process.block * process.cycle
    if process.kind == "replay":
        cycle = process.history.shape[0]
    x = x[: len(x) // cycle * cycle]
    for row in range(3):
        lanes = x[:, row].mean(0)
        error = max(lanes.std() / np.sqrt(LANES), 1e-6 * (1 + lanes.mean()))
        assert abs(lanes.mean() - float(process.long_run_mean()[row, 0])) < 5 * error + 1e-3 * getattr(
            process, "rounded", 0
        )
        second = ((x[:, row] - float(process.long_run_mean()[row, 0])) ** 2).mean(0)
        error = max(second.std() / np.sqrt(LANES), 1e-5 * (1 + second.mean()))
        assert abs(second.mean() - float(process.long_run_sd()[row, 0]) ** 2) < 5 * error + 1e-2 * getattr(
            process, "rounded", 0
        )


# Scenarios.


def network(integer=False):
    return build_network(
        [Node("dc"), Node("shop")],
        [
            Arc(OUTSIDE, "dc", lead_time=2, min_lead_time=1, max_lead_time=4),
            Arc("dc", "shop", lead_time=1),
            Arc("shop", CUSTOMER),
            Arc("dc", CUSTOMER),
        ],
        integer=integer,
    )


def world():
    return Processes(
        demand=mixed([(poisson(5.0), 1), (negative_binomial(3.0, 6.0), 0)]),
        lead_time=mixed([(discrete([1, 4], [0.5, 0.5]), 0), (fixed(1), 1)]),
        supply=outages([0.1, 0.0], 0.5),
        yield_=random_yield([0.9, 1.0], [0.05, 0.0]),
        reporting=reports([1, 0], 0.2),
    )


def test_draw_fits_the_network_and_is_reproducible():
    processes = world()
    check_processes(network(), processes)
    scenario = draw(processes, jax.random.key(0), 30, 16)
    check_scenario(network(), scenario)
    assert scenario.periods == 30 and scenario.lanes == 16
    again = draw(processes, jax.random.key(0), 30, 16)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(scenario), jax.tree.leaves(again), strict=True))


def test_what_is_absent_is_not_compiled_and_does_not_touch_the_demand():
    full = draw(world(), jax.random.key(0), 30, 16)
    demand_only = Processes(demand=world().demand)
    carry = jax.eval_shape(lambda key: init_processes(demand_only, key, 2), jax.random.key(0))
    assert len(jax.tree.leaves(carry)) == 4
    part = draw(demand_only, jax.random.key(0), 30, 16)
    assert part.shocks.lead_time is None and part.shocks.report_age is None
    assert np.array_equal(full.shocks.demand, part.shocks.demand)


def test_draw_compiles_once_for_a_sweep():
    before = draw._cache_size()
    for mean in (3.0, 2.0, 1.0):
        draw(Processes(demand=poisson(4.0).replace(mean=jnp.full((1, 1), mean))), jax.random.key(0), 7, 3)
    assert draw._cache_size() == before + 1


def test_sample_shock_under_the_key_checker(key_reuse):
    @quick
    def first_shock(processes, key):
        first, key = jax.random.split(key)
        return sample_shock(processes, key, init_processes(processes, first, 3), jnp.int32(0), 3)[0]

    assert first_shock(world(), jax.random.key(0)).demand.shape == (2, 3)


def test_mean_demand_is_in_the_order_of_the_rows():
    assert np.allclose(mean_demand(world()), [[3.0], [5.0]])
    assert np.allclose(sd_demand(world().demand), np.sqrt([[6.0], [5.0]]))


def test_mixed_serves_rows_in_any_order():
    process = mixed([(deterministic([1.0, 2.0]), (3, 0)), (replay([[5.0, 6.0]] * 9), (1, 2))])
    got, _ = process.sample(jax.random.key(0), process.init(jax.random.key(1), 2), jnp.int32(0), 2)
    assert np.array_equal(got[:, 0], [2.0, 5.0, 6.0, 1.0])


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"demand": poisson(5.0)}, InputError, "demand .poisson. has 1 rows, but the network has 2 customer arcs"),
        ({"demand": None}, InputError, "demand is missing"),
        ({"demand": fixed([1, 1])}, InputError, "must be a demand process"),
        ({"demand": 5.0}, InputError, "must be a process, got float"),
        ({"supply": outages([0.1] * 3, 0.5)}, InputError, "has 3 rows, but the network has 2 inner arcs"),
        ({"lead_time": fixed([2, 2])}, ParameterError, "lead_time of arc 'dc->shop' may be 2 to 2"),
        ({"lead_time": discrete([[1, 5], [1]], [[0.5, 0.5], [1]])}, ParameterError, "arc 'outside->dc' may be 1 to 5"),
        ({"lead_time": discrete([[0, 3], [1]], [[0.5, 0.5], [1]])}, ParameterError, r"may be 0 to 3 .* \[1, 4\]"),
        ({"lead_time": mixed([(poisson(1.0), 0), (poisson(1.0), 1)])}, InputError, "must be a lead_time process"),
    ],
)
def test_check_processes_names_what_does_not_fit(change, error, message):
    with pytest.raises(error, match=message):
        check_processes(network(), world().replace(**change))


def test_an_impossible_lead_time_of_probability_zero_is_no_fault():
    check_processes(network(), world().replace(lead_time=discrete([[1, 9], [1]], [[1.0, 0.0], [1]])))


def test_construct_by_name():
    assert np.array_equal(construct("demand", "poisson", {"mean": 3.0}).mean, [[3.0]])
    assert construct("lead_time", "discrete", {"values": [1, 2], "probabilities": [0.5, 0.5], "crossing": False})
    for args, error in (
        (("demands", "poisson", {}), UnknownNameError),
        (("demand", "fish", {}), UnknownNameError),
        (("demand", "poisson", {"mu": 1}), UnknownNameError),
        (("demand", "poisson", {}), ParameterError),
    ):
        with pytest.raises(error):
            construct(*args)


def test_every_kind_of_the_issue_is_registered():
    assert {role: set(kinds) - {"mixed"} for role, kinds in PROCESSES.items()} == {
        "demand": {
            "autoregressive", "bootstrap", "correlated", "cyclic", "deterministic", "discrete_uniform", "empirical",
            "gamma", "geometric", "intermittent", "markov_demand", "negative_binomial", "normal", "poisson", "replay",
            "seasonal", "shocked",
        },
        "lead_time": {"discrete", "fixed", "markov_lead_time"},
        "supply": {"outages"},
        "yield": {"random_yield", "uniform_yield"},
        "reporting": {"reports"},
    }  # fmt: skip


def test_a_sweep_beyond_the_table_surfaces_as_nan():
    for process in (
        poisson(5.0).replace(mean=jnp.full((1, 1), 500.0)),
        negative_binomial(2.0, 3.0).replace(dispersion=jnp.full((1, 1), 50.0)),
    ):
        got, _ = process.sample(jax.random.key(0), process.init(jax.random.key(1), 2), jnp.int32(0), 2)
        assert np.isnan(got).all()


def test_draws_are_differentiable_in_normal_parameters():
    def total(mean):
        process = normal(5.0, 1.0).replace(mean=mean)
        return play(process, jax.random.key(0), 4, 8).sum()

    assert np.allclose(jax.grad(total)(jnp.full((1, 1), 5.0)), 32.0)


def test_works_in_double_precision(x64):
    for process in (poisson([3.0, 900.0]), normal(3.0, 1.0), empirical([1, 2], [0.5, 0.5]), random_yield(0.9, 0.05)):
        x = quick(lambda process, key: play(process, key, 3, 4))(process, jax.random.key(0))
        assert x.dtype == np.float64 and np.isfinite(x).all()
