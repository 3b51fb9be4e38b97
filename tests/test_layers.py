"""Imports go down only: every module stands on a floor and imports from its own or from below."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "meio_jax"

# The rooms of the house. A new module directly under meio_jax/ gets its line here.
FLOORS = {
    "errors": 0,
    "struct": 0,
    "elements": 0,
    "indexing": 0,
    "parallel": 0,
    "network": 0,
    "checks": 0,
    "build": 0,
    "scenario": 0,
    "simulator": 1,
    "shipments": 1,
    "stock": 1,
    "processes": 1,
    "topologies": 1,
    "kpis": 2,
    "observation": 2,
    "rewards": 2,
    "actions": 2,
    "files": 2,
    "system": 2,
    "rollout": 3,
    "features": 3,
    "policies": 3,
    "env": 3,
    "solvers": 4,
    "adapters": 4,
    "learners": 4,
    "evaluate": 4,
    "checkpoint": 4,
    "runs": 4,
    "instances": 5,
    "twin": 5,
    "explain": 5,
    "operate": 5,
    "data": 5,
    "plot": 6,
    "cli": 6,
    "progress": 6,
    "__main__": 6,
}
# The public surface re-exports from every floor below the command line, and nothing imports from it.
SURFACE = 5.5

# Heavy or interactive libraries, and the only rooms that may import them, even inside a function.
RESERVED = {
    "matplotlib": {"plot"},
    "tyro": {"cli"},
    "rich": {"cli", "progress"},
    "gymnasium": {"adapters"},
    "pettingzoo": {"adapters"},
}


class Import(NamedTuple):
    """One import statement's target, absolute, with its line."""

    module: str
    line: int


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the package that exists, by dotted name."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """All imports of a module wherever they stand, `importlib.import_module("...")` included."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in known else base, node.lineno)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called in ("importlib.import_module", "import_module", "__import__"):
                yield Import(str(node.args[0].value), node.lineno)


def room(module: str) -> str:
    """The part of the package that a module belongs to; "" for the public surface."""
    return module.partition(".")[2].partition(".")[0]


def floor(module: str) -> float:
    """The floor of a module; fails with what to do where it has none."""
    name = room(module)
    if not name:
        return SURFACE
    if name not in FLOORS:
        pytest.fail(f"{PACKAGE}.{name} has no floor: add it to FLOORS in tests/test_layers.py and to ARCHITECTURE.md")
    return FLOORS[name]


def is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")


def violations(name: str, known: dict[str, Path]) -> list[str]:
    """What a module imports that it must not, one line each."""
    wrong = []
    here = floor(name)
    for target, line in imports(name, known[name], known):
        where = f"{known[name].name}:{line}"
        if is_ours(target):
            if target != name and floor(target) > here:
                wrong.append(f"{where}: {name} (floor {here}) imports {target} (floor {floor(target)})")
        else:
            library = target.partition(".")[0]
            allowed = RESERVED.get(library)
            if allowed is not None and room(name) not in allowed:
                wrong.append(f"{where}: only {', '.join(sorted(allowed))} may import {library}")
    return wrong


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A cycle of the graph as the path around it, or [] where there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(node: str) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        for following in sorted(graph.get(node, ())):
            if found := visit(following):
                return found
        done.add(path.pop())
        return []

    for start in sorted(graph):
        if found := visit(start):
            return found
    return []


def graph_of(known: dict[str, Path]) -> dict[str, set[str]]:
    return {
        name: {t for t, _ in imports(name, path, known) if is_ours(t) and t != name} for name, path in known.items()
    }


MODULES = modules()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_down_only(name):
    wrong = violations(name, MODULES)
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_a_detour():
    around = cycle(graph_of(MODULES))
    assert not around, " -> ".join(around)


# The rest shows that the checks above can fail.


@pytest.fixture
def house(tmp_path):
    """Writes a package of the given sources (`a__in__b` is a/b.py); returns its modules."""

    def build(**sources: str) -> dict[str, Path]:
        for name, source in {"__init__": "", **sources}.items():
            path = tmp_path / PACKAGE / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return modules(tmp_path)

    return build


@pytest.mark.parametrize(
    "source",
    [
        "from meio_jax import simulator",
        "from meio_jax.simulator import rollout",
        "from . import simulator",
        "from .simulator import rollout",
        "import meio_jax.simulator as s",
        "def f():\n    from meio_jax.simulator import rollout",
        "import importlib\nimportlib.import_module('meio_jax.simulator')",
        "from meio_jax import rollout",
        "def f():\n    import matplotlib.pyplot as plt",
        "from rich.progress import Progress",
        "import tyro",
    ],
)
def test_a_forbidden_import_is_seen(house, source):
    known = house(network=source, simulator="")
    assert len(violations("meio_jax.network", known)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import jax",
        "from meio_jax.network import Network",
        "from . import scenario",
        "from .network import N",
    ],
)
def test_an_allowed_import_is_let_through(house, source):
    known = house(network="", scenario="", simulator=source)
    assert violations("meio_jax.simulator", known) == []


def test_a_relative_import_inside_a_subpackage_is_resolved(house):
    lines = ["from ..kpis import a", "from .. import env", "from . import nets", "from ..cli import d"]
    known = house(
        env="",
        kpis="",
        policies__in____init__="",
        policies__in__rules="\n".join(lines),
        policies__in__nets="",
        cli="",
    )
    assert graph_of(known)["meio_jax.policies.rules"] == {
        f"meio_jax.{m}" for m in ("kpis", "env", "policies.nets", "cli")
    }
    assert len(violations("meio_jax.policies.rules", known)) == 1


def test_an_unlisted_module_is_refused(house):
    known = house(attic="")
    with pytest.raises(pytest.fail.Exception, match="has no floor"):
        violations("meio_jax.attic", known)


def test_a_cycle_is_seen(house):
    known = house(
        kpis="from meio_jax import rewards",
        rewards="def f():\n    from meio_jax import actions",
        actions="from .kpis import a",
        observation="from meio_jax import kpis",
    )
    assert cycle(graph_of(known)) == [f"meio_jax.{m}" for m in ("actions", "kpis", "rewards", "actions")]
