"""``meio instances`` and ``meio solve``: JSON shapes, exit codes, and what is said to people."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from meio_jax.cli.solve import _data, _text
from meio_jax.instances import instances
from meio_jax.solvers import methods as registry
from meio_jax.solvers.methods import methods
from meio_jax.solvers.solution import Solution

ROOT = Path(__file__).parent.parent
SERIAL = str(ROOT / "examples" / "serial.yaml")


# Instances


def test_instances_as_json(meio_json):
    code, data = meio_json("instances")
    assert code == 0 and [row["id"] for row in data] == [i.id for i in instances()]
    for row in data:
        assert set(row) == {"id", "family", "title", "timing", "known_optimum", "source"}
        assert row["known_optimum"] is None or isinstance(row["known_optimum"], float)
    assert next(r for r in data if r["id"] == "serial/example_6_1")["known_optimum"] == 47.66
    assert any(r["known_optimum"] is None for r in data)


def test_instances_of_a_family(meio, meio_json):
    code, data = meio_json("instances", "--family", "shang_song")
    assert code == 0 and [row["id"] for row in data] == [f"shang_song/row_{k}" for k in (1, 9, 17, 25)]
    code, out, _ = meio("instances", "--family", "shang_song")
    assert code == 0 and "12.6879" in out and "doi:" in out and "4 instances, 4 with a known optimum" in out
    code, out, err = meio("instances", "--family", "shang_sogn")
    assert code == 2 and out == "" and "did you mean shang_song" in err and err.count("\n") == 1


def test_listing_builds_no_network():
    code = (
        "import sys, meio_jax\n"
        "from meio_jax.network import Network\n"
        "def built(*a, **k): raise SystemExit('a network was built')\n"
        "Network.__init__ = built\n"
        "from meio_jax.cli import main\n"
        "sys.exit(main(['instances', '--json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == len(instances())


# Solve


def test_solve_an_instance(meio, meio_json):
    code, data = meio_json("solve", "serial/example_6_1")
    assert code == 0
    assert data["instance"] == "serial/example_6_1" and data["method"] == "clark_scarf" and data["claim"] == "optimal"
    assert data["known_optimum"] == 47.66 and data["seconds"] > 0
    assert data["gap_percent"] == pytest.approx(100 * (data["cost"] / 47.66 - 1)) and abs(data["gap_percent"]) < 1e-3
    assert data["lower_bound"] <= data["cost"] <= data["upper_bound"]
    assert data["echelon_levels"] == pytest.approx([22.706, 12.018, 6.491], abs=0.01)
    assert data["simulated"] is None and "Clark" in data["reference"]
    code, out, _ = meio("solve", "serial/example_6_1")
    assert code == 0 and "47.66" in out and "optimal: no policy costs less" in out and "Snyder and Shen 2019" in out


def test_a_bound_from_draws_is_not_said_to_be_proven():
    for details, sure in (({}, "proven"), ({"draws": 100}, "three standard errors below the mean")):
        found = Solution(5.0, claim="bound", lower_bound=4.0, details=details)
        assert f"at least 4, {sure}" in _text(_data("it", "hindsight", found, (), 0.1) | {"simulated": None}, found)


def test_solve_a_file_by_name_of_a_method(meio_json):
    code, data = meio_json("solve", SERIAL, "--method", "shang_song")
    assert code == 0 and data["method"] == "shang_song" and data["known_optimum"] is None is data["gap_percent"]
    assert 47.66 <= data["cost"] < 47.7
    assert data["upper_bound"] is None or data["upper_bound"] >= 47.66  # what is infinite is null


def test_solve_and_simulate(meio, meio_json):
    words = ["solve", "hdpo_store/L4_p4", "--simulate", "--lanes", "512", "--periods", "400"]
    code, data = meio_json(*words)
    s = data["simulated"]
    assert code == 0 and s["lanes"] == 512 and s["low"] < s["cost"] < s["high"]
    assert s["cost"] == pytest.approx(data["cost"], abs=5 * (s["high"] - s["low"]) / 4)
    assert meio_json(*words)[1]["simulated"] == s
    code, out, _ = meio(*words)
    assert code == 0 and "95 % in [" in out


def test_each_example_is_solved_or_refused_with_all_reasons(meio, monkeypatch):
    """By the methods that take milliseconds."""
    quick = {name: m for name, m in methods().items() if m.effort == 0}
    monkeypatch.setattr(registry, "methods", lambda: quick)
    codes = {}
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        code, out, err = meio("solve", path, "--json")
        codes[path.stem] = code
        data = json.loads(out)
        if code:
            assert data["error"] == "UnsuitableError" and err.count("\n") == 1 and "Traceback" not in err
            assert all(name in data["message"] for name in quick), path
        else:
            assert data["claim"] in ("optimal", "exact", "approximate", "bound")
    assert codes["serial"] == 0 and set(codes.values()) <= {0, 1}


def test_methods_are_listed(meio, meio_json):
    code, data = meio_json("solve", "--methods")
    assert code == 0 and [m["method"] for m in data["methods"]] == list(methods())
    code, data = meio_json("solve", "serial/example_6_1", "--methods")
    unfit = {m["method"]: m["unfit"] for m in data["methods"]}
    assert code == 0 and unfit["clark_scarf"] is None and "1" not in unfit["base_stock"][:3]
    code, out, _ = meio("solve", "serial/example_6_1", "--methods")
    assert code == 0 and any(line.startswith("+ clark_scarf") for line in out.splitlines())
    assert "- base_stock" in out and unfit["base_stock"] in out


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["solve"], 2, "meio instances"),
        (["solve", "serial/example_6_1", "--method", "clark_scraf"], 2, "did you mean clark_scarf"),
        (["solve", "serial/example_6_1", "--lanes", "0"], 2, "--lanes 0"),
        (["solve", "serial/example_6_1", "--seed", "-1"], 2, "--seed -1"),
        (["solve", "serial/exmple_6_1"], 1, "did you mean serial/example_6_1"),
        (["solve", "shang_song"], 1, "family of 4 instances"),
        (["solve", "nowhere.yaml"], 1, "nowhere.yaml"),
        (["solve", "hdpo_serial/L1_p4", "--method", "base_stock"], 1, "base_stock cannot treat this problem"),
    ],
)
def test_what_cannot_be_is_one_line(meio, words, code, said):
    got, out, err = meio(*words)
    assert got == code and out == ""
    assert err.startswith("meio: ") and err.count("\n") == 1 and said in err
    got, out, err = meio(*words, "--json")
    assert got == code and said in json.loads(out)["message"]


def test_what_has_no_policy_is_not_simulated(meio, monkeypatch):
    real = methods()["clark_scarf"]
    bare = dataclasses.replace(real, solve=lambda problem: real.solve(problem).replace(policy=None))
    monkeypatch.setattr(registry, "methods", lambda: {"clark_scarf": bare})
    code, _, err = meio("solve", SERIAL, "--simulate")
    assert code == 1 and "finds no policy" in err
    assert meio("solve", SERIAL)[0] == 0
