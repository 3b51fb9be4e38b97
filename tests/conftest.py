"""What every test stands on: CPU, cached compilation, fixed seeds, switches for the strict modes of JAX."""

import json
import os
import zlib
from pathlib import Path
from typing import NamedTuple

# Read by JAX when it is first imported, which is below.
_CACHE = Path(__file__).resolve().parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import jax
import numpy as np
import pytest

# The x64 and key_reuse fixtures are switches without state: the examples of a test may share one.
_QUIET = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, print_blob=True, suppress_health_check=_QUIET
)
hypothesis.settings.register_profile(
    "thorough", max_examples=2_000, deadline=None, print_blob=True, suppress_health_check=_QUIET
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

#: The files that take longest when nothing is compiled yet, longest first. Workers take a file at a time: with these
#: first, none is left at the end to one worker while the other has nothing to do.
LONGEST = (
    "test_ppo.py",
    "test_processes.py",
    "test_oracle.py",
    "test_credit.py",
    "test_cli.py",
    "test_gradients.py",
    "test_ledgers.py",
    "test_notebooks.py",
    "test_transition.py",
    "test_files.py",
    "test_survive.py",
    "test_rollout.py",
    "test_race.py",
    "test_checkpoint.py",
    "test_env.py",
)


def pytest_configure(config: pytest.Config) -> None:
    # xdist would begin with the files that have most tests, and end with those that have one long test.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


class Rngs(NamedTuple):
    """The two sources of randomness of a test."""

    numpy: np.random.Generator
    key: jax.Array  # typed; split it, use each part once


@pytest.fixture
def rngs(request: pytest.FixtureRequest) -> Rngs:
    """A NumPy generator and a JAX key, seeded by the test's own name: fixed for a test, other in the next."""
    seed = zlib.crc32(request.node.nodeid.encode())
    return Rngs(np.random.default_rng(seed), jax.random.key(seed))


@pytest.fixture
def x64():
    """The test computes in float64 and int64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def key_reuse():
    """A key used twice raises `jax.errors.KeyReuseError`."""
    with jax.debug_key_reuse(True):
        yield


@pytest.fixture
def meio(capfd):
    """Run a command of the command line in this process: exit code, standard output, standard error."""
    from meio_jax.cli import main

    def run(*words):
        capfd.readouterr()
        code = main([str(w) for w in words])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def meio_json(meio):
    """Run a command with ``--json``: exit code and the one value that it prints."""

    def run(*words):
        code, out, err = meio(*words, "--json")
        assert out.count("\n") == 1 and out.endswith("\n"), out
        assert "Traceback" not in err
        return code, json.loads(out, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))

    return run


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Let go of a file's compiled programs: each holds some memory maps, of which a process may have 65,530."""
    yield
    jax.clear_caches()
