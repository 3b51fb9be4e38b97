"""Checkpoints: what comes back is bit for bit what was saved, or an error says why not."""

import asyncio
import errno
import json
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meio_jax import checkpoint
from meio_jax.checkpoint import Checkpoints
from meio_jax.errors import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointStepError,
    CheckpointWarning,
    InputError,
)
from meio_jax.struct import pytree, static


class Pair(NamedTuple):
    left: object
    right: object


@pytree
class Box:
    inside: object
    nothing: object = None
    rule: object = static(default=("a", 1))


def bits(tree):
    """Everything that two trees may differ in."""
    leaves, treedef = jax.tree.flatten(tree)
    rows = []
    for leaf in leaves:
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        data = np.asarray(jax.random.key_data(leaf) if key else leaf)
        kind = "jax" if isinstance(leaf, jax.Array) else type(leaf).__name__
        rows.append((kind, str(leaf.dtype), leaf.shape, data.dtype, data.tobytes()))
    return treedef, rows


def state(step, width=5):
    """A tree as a training run has it, other numbers each step."""
    rng = np.random.default_rng(step)
    params = {
        "dense": {
            "kernel": jnp.asarray(rng.normal(size=(3, width)), jnp.float32),
            "bias": jnp.full(width, step, jnp.float32),
        }
    }
    return Box(
        inside={
            "params": params,
            "optimizer": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)).init(params),
            "key": jax.random.key(step),
            "keys": jax.random.split(jax.random.key(step), (2, 2)),
            "raw": jax.random.key_data(jax.random.key(step)),
            "system": Pair(jnp.zeros((0, 4)), jnp.asarray(rng.integers(0, 9, (2, 4)), jnp.int32)),
            "t": jnp.asarray(step, jnp.int32),
            "flag": jnp.asarray(step % 2 == 0),
            "host": np.float64(step) / 3,
            "days": rng.integers(0, 2**40, 3),
            "off": None,
            "empty": (),
        }
    )


@pytest.fixture
def two(tmp_path):
    """A folder with checkpoints of steps 1 and 2."""
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, state(1))
    checkpoints.save(2, state(2))
    return checkpoints


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def quietly(checkpoints, like):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return checkpoints.restore(like)


# Round trips


def test_a_training_state_comes_back_bit_for_bit(tmp_path):
    Checkpoints(tmp_path).save(7, state(7), {"config": "abc", "levels": [1, 2.5]})
    found = quietly(Checkpoints(tmp_path), state(0))
    step, tree = found
    assert step == found.step == 7
    assert bits(tree) == bits(state(7))
    assert found.note == {"config": "abc", "levels": [1, 2.5]}
    assert found.damaged == {}


def test_an_abstract_template_will_do(tmp_path):
    saved = state(3).replace(inside={k: v for k, v in state(3).inside.items() if k not in ("host", "days")})
    Checkpoints(tmp_path).save(3, saved)
    assert bits(quietly(Checkpoints(tmp_path), jax.eval_shape(lambda: saved)).tree) == bits(saved)


DTYPES = st.sampled_from(["float32", "float64", "int32", "int64", "uint32", "uint8", "int8", "bool", "complex64"])
ARRAYS = DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
LEAVES = st.one_of(
    ARRAYS,
    ARRAYS.filter(lambda a: a.dtype.itemsize <= 4).map(jnp.asarray),
    hnp.arrays("float32", (3,), elements=st.sampled_from([np.nan, -np.nan, np.inf, -0.0, 1e-45])).map(jnp.asarray),
    hnp.arrays("float32", (2,)).map(lambda a: jnp.asarray(a, jnp.bfloat16)),
    st.integers(0, 2**31).map(jax.random.key),
    st.integers(0, 2**31).map(lambda n: jax.random.split(jax.random.key(n, impl="rbg"), (2, 0 if n % 3 == 0 else 3))),
    st.floats(width=32).map(np.float32),
    st.none(),
)
NAMES = st.text(max_size=4).filter(lambda s: s.isprintable()) | st.sampled_from(["a/b", "..", "a.b", "", "é", "x y"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(NAMES, inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=2),
        st.tuples(inner, inner).map(lambda x: Pair(*x)),
        inner.map(Box),
    ),
    max_leaves=8,
)


@hypothesis.given(tree=TREES)
@hypothesis.settings(max_examples=40)
def test_any_tree_of_arrays_comes_back(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    Checkpoints(folder).save(0, tree)
    like = jax.tree.map(lambda x: x, tree)
    assert bits(quietly(Checkpoints(folder), like).tree) == bits(tree)
    shutil.rmtree(folder)


def test_order_of_memory_does_not_matter(tmp_path):
    grid = np.arange(24.0).reshape(2, 3, 4)
    tree = [np.asfortranarray(grid), grid.T, grid[:, ::2, ::-1], np.broadcast_to(grid, (5, 2, 3, 4))]
    Checkpoints(tmp_path).save(0, tree)
    assert bits(quietly(Checkpoints(tmp_path), tree).tree) == bits(tree)


def test_what_is_restored_has_its_own_memory(tmp_path):
    tree = {"host": np.arange(4.0), "device": jnp.arange(4.0)}
    Checkpoints(tmp_path).save(0, tree)
    first, second = (Checkpoints(tmp_path).restore(tree).tree for _ in range(2))
    first["host"][:] = -1
    assert first["host"].flags.owndata and first["host"].flags.writeable
    assert bits(second) == bits(tree)
    assert tree["host"][1] == 1.0
    doubled = jax.jit(lambda x: 2 * x, donate_argnums=0)(second["device"])
    assert doubled[3] == 6.0


def test_what_is_changed_after_a_save_is_not_saved(tmp_path):
    tree = {"x": np.arange(4.0)}
    Checkpoints(tmp_path).save(0, tree)
    tree["x"][:] = 9
    assert list(Checkpoints(tmp_path).restore(tree).tree["x"]) == [0, 1, 2, 3]


def test_float64_needs_x64(tmp_path):
    with jax.enable_x64(True):
        tree = {"x": jnp.arange(3.0)}
        Checkpoints(tmp_path).save(0, tree)
        assert bits(Checkpoints(tmp_path).restore(tree).tree) == bits(tree)
    with pytest.raises(CheckpointMismatchError, match=r"'x'.*float64.*x64"):
        Checkpoints(tmp_path).restore(tree)


def test_it_works_inside_an_event_loop(tmp_path):
    async def notebook():
        Checkpoints(tmp_path).save(1, state(1))
        return Checkpoints(tmp_path).restore(state(0))

    assert bits(asyncio.run(notebook()).tree) == bits(state(1))


def test_a_resumed_run_is_the_run_that_was_never_stopped(tmp_path):
    optimizer = optax.adam(1e-2)

    @jax.jit
    def update(params, moments, key):
        key, now = jax.random.split(key)
        gradient = jax.grad(lambda p: ((p - jax.random.normal(now, p.shape)) ** 2).sum())(params)
        change, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(params, change), moments, key

    def start():
        return jnp.zeros(7), optimizer.init(jnp.zeros(7)), jax.random.key(1)

    straight = start()
    for _ in range(10):
        straight = update(*straight)
    stopped = start()
    for step in range(10):
        stopped = update(*stopped)
        Checkpoints(tmp_path).save(step, stopped)
        stopped = Checkpoints(tmp_path).restore(start()).tree
    assert bits(stopped) == bits(straight)


# Steps


def test_the_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "deep" / "er", keep=3)
    assert checkpoints.steps() == []
    for step in (0, 3, 4, 10, np.int64(12_345_678_901)):
        checkpoints.save(step, {"x": np.array(step)})
    assert checkpoints.steps() == [4, 10, 12_345_678_901]
    assert not list(checkpoints.folder.glob(".tmp-*"))
    assert checkpoints.restore({"x": np.array(0)}).tree["x"] == 12_345_678_901


@pytest.mark.parametrize("step", [2, 1, 0])
def test_a_step_that_does_not_rise_is_refused(two, step):
    before = [(p, p.read_bytes()) for p in files(two.folder)]
    with pytest.raises(CheckpointStepError, match=f"step {step} is not above.* 2"):
        two.save(step, state(step))
    assert before == [(p, p.read_bytes()) for p in files(two.folder)]


@pytest.mark.parametrize("step", [-1, 1.0, "3", None, True])
def test_what_is_no_step_is_refused(tmp_path, step):
    with pytest.raises(CheckpointStepError, match="whole number"):
        Checkpoints(tmp_path).save(step, state(1))


def test_none_kept_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="keep=0"):
        Checkpoints(tmp_path, keep=0)


# What cannot be saved, and other templates


def test_errors_are_input_errors():
    assert issubclass(CheckpointError, InputError)
    assert issubclass(CheckpointMismatchError, CheckpointError) and issubclass(CheckpointStepError, CheckpointError)


@pytest.mark.parametrize("leaf", [1, 1.5, "text", object(), np.array(["a"]), np.array([1.0], ">f4"), np.array([None])])
def test_a_leaf_that_is_no_array_is_refused_by_path(tmp_path, leaf):
    with pytest.raises(CheckpointError, match=r"leaf \.inside\['rate'\]"):
        Checkpoints(tmp_path).save(1, Box({"rate": leaf, "ok": np.zeros(2)}))
    assert Checkpoints(tmp_path).steps() == []


def test_a_donated_leaf_is_refused_by_path(tmp_path):
    tree = {"w": jnp.arange(3.0)}
    tree["w"].delete()
    with pytest.raises(CheckpointError, match=r"leaf \['w'\] cannot be read"):
        Checkpoints(tmp_path).save(1, tree)


def test_a_traced_leaf_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="Tracer"):
        jax.jit(lambda x: Checkpoints(tmp_path).save(1, {"x": x}))(jnp.ones(2))


@pytest.mark.parametrize("note", [{"x": np.float32(1)}, {"x": float("nan")}, {"x": {1, 2}}])
def test_a_note_that_is_no_json_is_refused(tmp_path, note):
    with pytest.raises(CheckpointError, match="note"):
        Checkpoints(tmp_path).save(1, state(1), note)


W = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    "like, words",
    [
        ({"a": {"w": np.zeros((2, 4), np.float32)}, "b": W}, r"\['a'\]\['w'\].*float32\[2, 3\].*float32\[2, 4\]"),
        ({"a": {"w": W.astype(np.int32)}, "b": W}, r"\['a'\]\['w'\].*float32.*int32"),
        ({"a": {"w": W.astype(np.float16)}, "b": W}, r"\['a'\]\['w'\].*float32.*float16"),
        ({"a": {"w": None}, "b": W}, r"\['a'\]\['w'\].*NoneType"),
        ({"a": {"w": W}, "b": W, "c": W}, r"\['c'\].*wanted"),
        ({"a": {"w": W}}, r"\['b'\].*saved"),
        ({"a": {"v": W}, "b": W}, r"\['a'\]\['w'\]"),
        ({"a": [W], "b": W}, r"\['a'\].*dict.*list"),
        ({"a": {"w": jax.random.key(0)}, "b": W}, r"\['a'\]\['w'\].*key"),
        (W, "the whole tree"),
    ],
)
def test_another_template_is_refused_by_path(tmp_path, like, words):
    Checkpoints(tmp_path).save(1, {"a": {"w": W}, "b": W})
    with pytest.raises(CheckpointMismatchError, match=words):
        Checkpoints(tmp_path).restore(like)


def test_other_kinds_of_keys_and_static_fields_are_refused(tmp_path):
    tree = {"box": Box(W), "key": jax.random.key(0)}
    Checkpoints(tmp_path).save(1, tree)
    with pytest.raises(CheckpointMismatchError, match=r"\['key'\].*fry.*rbg"):
        Checkpoints(tmp_path).restore(tree | {"key": jax.random.key(0, impl="rbg")})
    with pytest.raises(CheckpointMismatchError, match=r"\['box'\].*'a', 1.*'a', 2"):
        Checkpoints(tmp_path).restore(tree | {"box": Box(W, rule=("a", 2))})
    with pytest.raises(CheckpointMismatchError, match=r"\['box'\].*Box.*Pair"):
        Checkpoints(tmp_path).restore(tree | {"box": Pair(W, None)})
    with pytest.raises(CheckpointError, match=r"\['key'\] is a int"):
        Checkpoints(tmp_path).restore(tree | {"key": 3})


@pytest.mark.parametrize(
    "rule, text",
    [
        ((1, 2.5, "x", None, True), "(1, 2.5, 'x', None, True)"),
        ({"b": 1, "a": [2]}, "{'b': 1, 'a': (2)}"),
        (frozenset("hgfedcba"), "{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}"),
        (signal.SIGKILL, "Signals.SIGKILL"),
        (jnp.tanh, "tanh"),
        (Pair, "Pair"),
        (object(), "object"),
        (Box(1, rule=2), "Box(inside=1, nothing=None, rule=2)"),
    ],
)
def test_a_static_field_means_the_same_in_another_process(rule, text):
    assert checkpoint._static(rule) == text


def test_long_and_numeric_static_fields_are_told_apart():
    rules = [tuple(range(500)), tuple(range(501)), np.arange(3), np.arange(3.0), np.zeros((1, 3), int)]
    texts = [checkpoint._what(Box, (rule,)) for rule in rules]
    assert len(set(texts)) == len(rules) and max(map(len, texts)) < 250


# Damage


def damage(path, how, rng):
    """Spoils a file; returns what undoes it."""
    data = path.read_bytes()
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(data[: rng.randrange(len(data))])
    elif how == "grow":
        path.write_bytes(data + bytes([rng.randrange(256)]))
    elif how == "zero":
        path.write_bytes(bytes(len(data)))
    else:
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
    return (lambda: path.write_bytes(data)) if data != (path.read_bytes() if path.exists() else None) else None


def attack(checkpoints, times, seed):
    """Damages the newest checkpoint `times` times; counts the answers."""
    rng = random.Random(seed)
    like, old = state(0), bits(state(1))
    targets = files(checkpoints._path(2))
    done = 0
    while done < times:
        path = rng.choice([p for p in targets if p.stat().st_size])
        undo = damage(path, rng.choice(["flip", "flip", "flip", "truncate", "delete", "grow", "zero"]), rng)
        if undo is None:
            continue
        with pytest.warns(CheckpointWarning, match="step 2.*Restored step 1"):
            found = checkpoints.restore(like)
        assert found.step == 1 and list(found.damaged) == [2] and bits(found.tree) == old
        undo()
        done += 1
    assert bits(quietly(checkpoints, like).tree) == bits(state(2))


def test_no_damage_is_silent(two):
    attack(two, 100, seed=1)


@pytest.mark.slow
def test_no_damage_is_silent_in_a_thousand(two):
    attack(two, 1_000, seed=2)


def test_every_byte_of_the_manifest_counts(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"x": np.zeros(0)})
    path = tmp_path / "step-0000000001" / "manifest.json"
    data = path.read_bytes()
    json.loads(data)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(CheckpointError, match="manifest"):
            checkpoints.restore({"x": np.zeros(0)})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax closes its loop too early
def test_leaf_hashes_hold_where_the_files_look_right(two, monkeypatch):
    """The last line of defence with the one before it off: damaged bytes reach Orbax, or it hands out wrong numbers."""
    monkeypatch.setattr(checkpoint, "_check_files", lambda folder, files: None)
    rng = random.Random(3)
    like, known = state(0), {1: bits(state(1)), 2: bits(state(2))}
    targets = [p for p in files(two._path(2)) if p.name != "manifest.json" and p.stat().st_size]
    seen = set()
    for _ in range(30):
        undo = damage(rng.choice(targets), rng.choice(["flip", "truncate", "delete"]), rng)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            found = two.restore(like)
        assert bits(found.tree) == known[found.step]
        assert (found.step == 1) == (2 in found.damaged)
        seen.add(found.step)
        undo()
    assert 1 in seen
    orbax = checkpoint._orbax()
    load = orbax.load
    monkeypatch.setattr(orbax, "load", lambda *args: load(*args) | {"000000": np.zeros(5, np.float32)})
    with pytest.raises(CheckpointError, match=r"step 2: leaf .*not the numbers.*step 1: leaf"):
        two.restore(like)


def test_none_intact_lists_what_was_found(two):
    (two._path(2) / "manifest.json").unlink()
    shutil.rmtree(two._path(1) / "arrays")
    with pytest.raises(CheckpointError, match=r"none|no checkpoint is intact: step 2: manifest.*step 1: arrays/"):
        two.restore(state(0))
    with pytest.raises(CheckpointStepError):
        two.save(1, state(1))


def test_nothing_there_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint; found: no such folder"):
        Checkpoints(tmp_path / "x").restore(state(0))
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"there is no checkpoint; found: notes\.txt"):
        Checkpoints(tmp_path / "y").restore(state(0))
    with pytest.raises(CheckpointError, match="not a folder"):
        Checkpoints(tmp_path / "y" / "notes.txt").restore(state(0))
    with pytest.raises(CheckpointError, match="not written"):
        Checkpoints(tmp_path / "y" / "notes.txt").save(1, state(0))


def test_a_checkpoint_under_another_name_is_damage(two):
    shutil.copytree(two._path(2), two._path(5))
    with pytest.warns(CheckpointWarning, match="step 5.*is that of step 2"):
        assert two.restore(state(0)).step == 2


def test_training_goes_on_after_damage(two):
    with open(two._path(2) / "manifest.json", "ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointStepError):
        two.save(2, state(2))
    with pytest.warns(CheckpointWarning):
        assert two.restore(state(0)).step == 1
    assert two.steps() == [1, 2]
    two.save(2, state(2))
    assert two.steps() == [1, 2]
    assert (two.folder / "damaged-0000000002" / "manifest.json").exists()
    assert bits(quietly(two, state(0)).tree) == bits(state(2))


# Disks and kills


def test_a_full_disk_keeps_what_was_there(two, monkeypatch):
    real, calls = os.fsync, []
    fail_at = None

    def fsync(handle):
        calls.append(handle)
        if len(calls) - 1 == fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    two.save(3, state(3))
    refused = 0
    for at in range(100):  # how often a save syncs varies by a call or two, so go on until the last one fails
        calls.clear()
        fail_at = at
        try:
            two.save(4, state(4))
        except CheckpointError as error:
            said = str(error)
            assert "the disk is full" in said
        else:
            break  # this time it synced less often
        if two.steps() != [2, 3]:
            break
        assert "step 4 not written: the disk is full;" in said and "there: 2, 3" in said
        assert not list(two.folder.glob(".tmp-*"))
        assert bits(quietly(two, state(0)).tree) == bits(state(3))
        refused += 1
    assert refused >= 8
    # The last sync is of the names in the folder: the new checkpoint is there by then, though perhaps not on the disk.
    assert bits(quietly(two, state(0)).tree) == bits(state(4))
    fail_at = None
    two.save(5, state(5))
    assert two.steps() == [4, 5]


def test_a_write_that_fails_below_python_keeps_what_was_there(two, caplog):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).normal(size=50_000)  # does not compress
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with caplog.at_level(logging.INFO), pytest.raises(CheckpointError, match=r"step 3 not written.*1, 2"):
            two.save(3, {"x": noise})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caplog.text == ""
    assert [p.name for p in sorted(two.folder.iterdir())] == [".lock", "step-0000000001", "step-0000000002"]
    assert bits(quietly(two, state(0)).tree) == bits(state(2))


def test_two_writers_are_one_too_many(two):
    with two._only_writer(), pytest.raises(CheckpointError, match="another process"):
        Checkpoints(two.folder).save(3, state(3))
    two.save(3, state(3))


def test_what_a_kill_left_is_ignored_and_cleaned(two):
    left = two.folder / ".tmp-step-0000000003-abcd"
    shutil.copytree(two._path(2), left)
    (left / "manifest.json").unlink()
    assert two.steps() == [1, 2]
    assert quietly(two, state(0)).step == 2
    two.save(3, state(3))
    assert not left.exists()


def killed(step):
    """A tree of NumPy arrays, so that a forked child needs nothing of its parent's JAX."""
    rng = np.random.default_rng(step)
    return {"w": rng.normal(size=(40, 40)), "step": np.array(step), "bits": rng.integers(0, 2**31, 1000)}


# Imports once, then forks a saving process for each line: a folder and a first step. Says its id when a save is done.
NURSERY = """
import itertools, os, sys
from meio_jax import checkpoint
from test_checkpoint import killed
checkpoint._orbax()
for line in sys.stdin:
    folder, first = line.split()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print("reaped", flush=True)
        continue
    for step in itertools.count(int(first)):
        checkpoint.Checkpoints(folder).save(step, killed(step))
        if step == int(first):
            print(os.getpid(), flush=True)
"""


def kill_and_restore(folder, times, seed):
    """Kills a saving process at random instants; how often that was inside a save, and the steps resumed from."""
    here = Path(__file__).parent
    env = os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    rng = random.Random(seed)
    inside, steps, first = 0, [], 0
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as nursery:
        try:
            for _ in range(times):
                print(folder, first, file=nursery.stdin, flush=True)
                child = int(nursery.stdout.readline())
                time.sleep(rng.uniform(0, 0.15))
                os.kill(child, signal.SIGKILL)
                assert nursery.stdout.readline() == "reaped\n"
                inside += any(folder.glob(".tmp-step-*"))
                step, tree = quietly(Checkpoints(folder), killed(0))
                assert step >= first and tree["step"] == step
                assert bits(tree) == bits(killed(step))
                steps.append(step)
                first = step + 1
        finally:
            nursery.kill()
    return inside, steps


def test_sigkill_at_any_instant_leaves_a_whole_checkpoint(tmp_path):
    inside, steps = kill_and_restore(tmp_path, 10, seed=1)
    assert inside >= 3, "too few kills fell inside a save"
    assert len(set(steps)) == 10


@pytest.mark.slow
def test_two_hundred_sigkills(tmp_path):
    inside, steps = kill_and_restore(tmp_path, 200, seed=2)
    assert inside >= 50
    assert len(set(steps)) >= 20
