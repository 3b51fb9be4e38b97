"""Parts of a computation on several cores: the same numbers on any number of them, in any precision, in any program."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import Processes, parallel, rollout, total_cost
from meio_jax.policies import BaseStock
from meio_jax.processes import normal
from meio_jax.solvers import search
from meio_jax.topologies import serial

NETWORK = serial(2, lead_time=1, holding_cost=[1.0, 2.0], backlog_cost=9.0)
WORLD = Processes(demand=normal(5.0, 1.0))
THETA = {"level": jnp.asarray([[14.0], [11.0]])}
KEY = jax.random.key(3)


def play(key=KEY, theta=THETA):
    return rollout(NETWORK, BaseStock(), theta, WORLD, key, periods=20, lanes=24, block=2, measure=total_cost).totals


@pytest.fixture(params=[1, 2, 3, 4])
def cores(request, monkeypatch):
    monkeypatch.setattr(parallel, "CORES", request.param)
    return request.param


def test_the_numbers_do_not_depend_on_the_cores(cores):
    assert parallel.ways(12) == cores
    costs = play()
    one_by_one = jax.jit(play)(KEY)  # traced: one program, no threads
    np.testing.assert_array_equal(costs, one_by_one)
    assert len(np.unique(np.asarray(costs))) == 24  # every block has draws of its own


def test_within_another_program_everything_may_be_a_constant(cores):
    np.testing.assert_array_equal(jax.jit(lambda: play())(), play())


def test_every_thread_draws_as_its_caller_does(cores):
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(play(), jax.jit(play)(KEY))


def test_every_thread_computes_in_the_precision_of_its_caller(cores, x64):
    network = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), NETWORK)
    world = Processes(demand=normal(np.float64(5.0), np.float64(1.0)))
    theta = {"level": jnp.asarray([[14.0], [11.0]], jnp.float64)}
    totals = rollout(network, BaseStock(), theta, world, KEY, periods=20, lanes=24, block=2, measure=total_cost).totals
    assert totals.dtype == jnp.float64


def test_no_key_is_used_twice(cores, key_reuse):
    play(jax.random.key(5))


def test_a_gradient_passes(cores):
    levels = jax.grad(lambda theta: play(theta=theta).mean())(THETA)["level"]
    assert np.isfinite(levels).all() and (np.asarray(levels) != 0).any()


def test_a_gradient_of_what_the_measure_holds_passes(cores):
    def mean(rate, block):
        return rollout(
            NETWORK, BaseStock(), THETA, WORLD, KEY, periods=20, lanes=24, block=block,
            measure=lambda network, flows: rate * total_cost(network, flows),
        ).totals.mean()  # fmt: skip

    assert jax.grad(mean)(3.0, 2) == pytest.approx(float(mean(1.0, 2)), rel=1e-5)


def test_a_search_finds_the_same_on_any_number_of_cores(monkeypatch):
    found = []
    for cores in (1, 4):
        monkeypatch.setattr(parallel, "CORES", cores)
        found.append(search(NETWORK, BaseStock(), WORLD, KEY, periods=20, lanes=8, budget=60))
    np.testing.assert_array_equal(found[0].theta["level"], found[1].theta["level"])
    assert found[0].cost == found[1].cost


def test_parts_run_side_by_side_and_an_error_surfaces(monkeypatch):
    monkeypatch.setattr(parallel, "CORES", 3)
    barrier = threading.Barrier(2, timeout=30)

    def meet(k):
        if k:
            barrier.wait()  # passes only if both are under way at once
        return k, threading.get_ident()

    parts = parallel.side_by_side(meet, 3)
    assert [k for k, _ in parts] == [0, 1, 2] and len({thread for _, thread in parts}) == 3

    def fail(k):
        if k == 2:
            raise ValueError("part 2")
        return k

    with pytest.raises(ValueError, match="part 2"):
        parallel.side_by_side(fail, 3)
    assert parallel.side_by_side(lambda k: k, 3) == [0, 1, 2]  # and the threads are still there


def test_an_error_waits_for_the_other_parts():
    ended = threading.Event()

    def part(k):
        if k == 1:
            raise ValueError("part 1")
        if k == 2:
            time.sleep(0.2)
            ended.set()

    with pytest.raises(ValueError, match="part 1"):
        parallel.side_by_side(part, 3)
    assert ended.is_set()


def test_a_part_may_have_parts_and_several_threads_may_ask_at_once():
    def table(rows):
        return parallel.side_by_side(lambda k: parallel.side_by_side(lambda j: rows * k + j, 3), rows)

    found = {}
    callers = [threading.Thread(target=lambda n=n: found.update({n: table(n)}), daemon=True) for n in (2, 3, 4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert found == {n: [[n * k + j for j in range(3)] for k in range(n)] for n in (2, 3, 4)}


def test_groups_are_equal_and_as_many_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(parallel, "CORES", 4)
    assert [parallel.ways(n) for n in (1, 2, 3, 5, 6, 8, 12)] == [1, 2, 3, 1, 3, 4, 4]
