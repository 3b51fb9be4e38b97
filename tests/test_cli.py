"""The command line: exit codes, one JSON object and nothing else, runs that go on where they were stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from meio_jax.cli import main
from meio_jax.cli.common import POLICIES, make_policy
from meio_jax.cli.runfolder import LEARNERS, open_run
from meio_jax.progress import Progress

ROOT = Path(__file__).parent.parent
SHOP = str(ROOT / "examples" / "lost_sales.yaml")
SERIAL = str(ROOT / "examples" / "serial.yaml")
QUICK = ["--periods", "40", "--warmup", "10", "--lanes", "8"]
TINY = [
    "--updates", "4", "--eval-every", "2", "--lanes", "8", "--segment", "4", "--epochs", "1", "--minibatches", "2",
    "--widths", "8", "--baseline-budget", "8", "--final-lanes", "0",
]  # fmt: skip


def process(*words, **kwargs):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, capture_output=True, text=True, timeout=300, env=env, cwd=ROOT, check=False, **kwargs)


# As a process


def test_module_help():
    done = process(sys.executable, "-m", "meio_jax", "--help")
    assert done.returncode == 0
    for command in ("schema", "check", "simulate", "train", "evaluate", "plot"):
        assert command in done.stdout


def test_script_with_a_bad_file(tmp_path):
    (tmp_path / "bad.yaml").write_text("version: 1\nnodes: [{id: a, id: a}]\n")
    script = shutil.which("meio", path=str(Path(sys.executable).parent))
    assert script is not None
    done = process(script, "check", str(tmp_path / "bad.yaml"), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "DuplicateKeyError"
    assert done.stderr.startswith("meio: ") and done.stderr.count("\n") == 1


# Help, schema, check


@pytest.mark.parametrize("command", ["schema", "check", "simulate", "train", "evaluate", "plot"])
def test_each_command_has_help(meio, command):
    code, out, _ = meio(command, "--help")
    assert code == 0 and "--json" in out and f"meio {command}" in out


def test_help_names_every_policy_and_learner(meio):
    _, out, _ = meio("simulate", "--help")
    assert all(name in out for name in POLICIES)
    _, out, _ = meio("train", "--help")
    assert all(name in out for name in LEARNERS)


def test_policies_can_be_made():
    for name in POLICIES:
        hash(make_policy(name))


def test_schema(meio, meio_json):
    code, out, _ = meio("schema")
    assert code == 0 and json.loads(out) == meio_json("schema")[1]
    assert {"nodes", "arcs", "version"} <= set(json.loads(out)["properties"])


def test_check(meio, meio_json):
    code, out, _ = meio("check", ROOT / "examples" / "warehouse_retailers.yaml")
    assert code == 0 and "5 nodes in 2 echelons" in out and "correlated" in out
    code, data = meio_json("check", ROOT / "examples" / "assembly.yaml")
    assert code == 0
    assert (data["nodes"], data["arcs"], data["echelons"], data["customer_arcs"]) == (4, 7, 3, 2)
    assert {"capacity", "units", "lot_size", "keep"} <= set(data["features"])
    assert data["random"]["yield"] and data["integer"] is True
    assert meio_json("check", ROOT / "examples" / "fresh_food.yaml")[1]["issuing"] == "lifo"


@pytest.mark.parametrize("command", ["check", "simulate"])
def test_a_bad_file_is_one_line_and_exit_code_1(meio, meio_json, tmp_path, command):
    path = tmp_path / "bad\nname.yaml"
    path.write_text("version: 1\nnodes: [{id: a, holding_cost: .nan}]\narcs: [{from: outside, to: a}]\n")
    code, out, err = meio(command, path)
    assert code == 1 and out == "" and err.startswith("meio: ") and err.count("\n") == 1 and "NaN" in err
    code, data = meio_json(command, path)
    assert code == 1 and data["error"] == "NumberError" and "nodes[0].holding_cost" in data["message"]
    code, data = meio_json(command, tmp_path / "none.yaml")
    assert code == 1 and data["error"] == "FileError"


# Wrong usage


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "schema"),
        (["frobnicate"], "frobnicate"),
        (["simulate"], "PATH"),
        (["simulate", SHOP, "--lanes", "x"], "--lanes"),
        (["simulate", SHOP, "--nothing"], "--nothing"),
        (["train", SHOP], "--out"),
    ],
)
def test_wrong_usage(meio, words, said):
    code, out, err = meio(*words)
    assert code == 2 and out == "" and said in err and "Traceback" not in err


@pytest.mark.parametrize(
    "words, said",
    [
        (["simulate", SHOP, "--lanes", "0"], "--lanes 0"),
        (["simulate", SHOP, "--periods", "-3"], "--periods -3"),
        (["simulate", SHOP, "--periods", "10", "--warmup", "10"], "--warmup 10"),
        (["simulate", SHOP, "--seed", "-1"], "--seed -1"),
        (["simulate", SHOP, "--budget", "0"], "--budget 0"),
        (["simulate", SHOP, "--policy", "bas_stock"], "did you mean base_stock"),
        (["simulate", SHOP, "--policy", "base_stock", "--levels", "1", "2"], "2 numbers given"),
        (["simulate", SERIAL, "--policy", "base_stock", "--levels", "1", "2"], "plant, warehouse, shop"),
        (["simulate", SHOP, "--levels", "nan"], "finite"),
        (["simulate", SHOP, "--theta", "level"], "NAME=VALUE"),
        (["simulate", SHOP, "--theta", "level=a"], "NAME=VALUE"),
        (["simulate", SHOP, "--theta", "levl=3"], "did you mean level"),
        (["simulate", SHOP, "--policy", "forecast", "--levels", "3"], "--theta z="),
        (["train", SHOP, "--out", "x", "--learner", "pqo"], "did you mean ppo"),
        (["train", SHOP, "--out", "x", "--updates", "0"], "--updates 0"),
        (["train", SHOP, "--out", "x", "--updates", "7"], "--eval-every"),
        (["train", SHOP, "--out", "x", "--lanes", "6"], "minibatches"),
        (["train", SHOP, "--out", "x", "--discount", "1.5"], "--discount"),
        (["train", SHOP, "--out", "x", "--head", "quantities"], "did you mean quantity"),
        (["train", SHOP, "--out", "x", "--policy", "grapf"], "did you mean graph"),
        (["train", SHOP, "--out", "x", "--policy", "base_stock"], "--learner pathwise"),
        (["train", SHOP, "--out", "x", "--learner", "pathwise", "--epochs", "2"], "--epochs: the learner pathwise"),
        (["train", SHOP, "--out", "x", "--learner", "pathwise", "--policy", "base_stock", "--head", "tiers"], "--head"),
        (["train", SHOP, "--out", "x", "--final-lanes", "1"], "no interval"),
        (["plot", "x", "--format", "gif"], "png, svg, pdf"),
        (["evaluate", "x", "--policies", "sS"], "--policies sS"),
    ],
)
def test_impossible_options_are_one_line_and_exit_code_2(meio, meio_json, words, said):
    code, out, err = meio(*words)
    assert code == 2 and out == ""
    assert err.startswith("meio: ") and err.count("\n") == 1 and said in err
    code, data = meio_json(*words)
    assert code == 2 and data["error"] == "UsageError"
    assert not Path("x").exists()


# Simulate


def test_simulate(meio, meio_json):
    code, data = meio_json("simulate", SERIAL, "--levels", "22.7", "12", "6.5", *QUICK)
    assert code == 0
    assert data["cost_low"] < data["cost_mean"] < data["cost_high"]
    assert 40 < data["cost_mean"] < 60
    assert {"fill_rate", "stock", "cost", "stockouts"} <= set(data["kpis"])
    assert data["theta"] == {"level": [22.7, 12.0, 6.5]}
    assert (data["periods"], data["lanes"], data["warmup"], data["seed"]) == (40, 8, 10, 0)
    assert meio_json("simulate", SERIAL, "--levels", "22.7", "12", "6.5", *QUICK)[1] == data
    other = meio_json("simulate", SERIAL, "--levels", "22.7", "12", "6.5", *QUICK, "--seed", "1")[1]
    assert other["cost_mean"] != data["cost_mean"]
    code, out, _ = meio("simulate", SERIAL, "--levels", "22.7", "12", "6.5", *QUICK)
    assert code == 0 and "fill_rate" in out and "level: 22.7 12 6.5" in out


def test_simulate_one_lane_has_no_interval_where_there_is_none(meio_json):
    code, data = meio_json("simulate", SHOP, "--periods", "12", "--warmup", "0", "--lanes", "1")
    assert code == 0 and data["cost_low"] is None and data["cost_mean"] > 0


@pytest.mark.parametrize("policy", ["echelon_r_nQ", "constant_order", "forecast"])
def test_simulate_plays_each_kind_of_policy(meio_json, policy):
    code, data = meio_json("simulate", SHOP, "--policy", policy, *QUICK)
    assert code == 0 and data["policy"] == policy and data["cost_mean"] > 0


def test_simulate_with_given_numbers(meio_json):
    words = ["simulate", SHOP, "--policy", "s_S", *QUICK]
    assert meio_json(*words, "--theta", "reorder=10", "up_to=20")[1]["theta"] == {"reorder": [10.0], "up_to": [20.0]}
    start = meio_json(*words)[1]["theta"]
    shifted = meio_json(*words, "--levels", "9")[1]["theta"]
    assert shifted["up_to"][0] - 9 == start["up_to"][0] - start["reorder"][0]


def test_simulate_tunes(meio_json):
    code, data = meio_json("simulate", SHOP, "--tune", "--budget", "12", *QUICK)
    assert code == 0 and 1 <= data["tuned"]["evaluations"] <= 12
    assert 8 <= data["theta"]["level"][0] <= 24


def test_simulate_with_late_reports(meio_json):
    code, data = meio_json("simulate", ROOT / "examples" / "warehouse_retailers.yaml", *QUICK)
    assert code == 0 and np.isfinite(data["cost_mean"])


def test_a_fault_of_the_program_is_said_and_not_mistaken_for_one_of_the_input(meio, monkeypatch):
    monkeypatch.delenv("MEIO_DEBUG", raising=False)
    monkeypatch.setattr("meio_jax.files.load_system", lambda _: 1 / 0)
    code, out, err = meio("check", SHOP)
    assert code == 3 and out == "" and "ZeroDivisionError" in err and "Traceback" not in err
    monkeypatch.setattr("meio_jax.files.load_system", lambda _: (_ for _ in ()).throw(MemoryError()))
    assert meio("check", SHOP)[0] == 1
    monkeypatch.setattr("meio_jax.files.load_system", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert meio("check", SHOP)[0] == 130


def test_nothing_that_libraries_print_reaches_standard_output(meio_json, monkeypatch):
    from meio_jax import files

    def loud(path, load=files.load_system):
        print("hello")
        return load(path)

    monkeypatch.setattr("meio_jax.files.load_system", loud)
    assert meio_json("check", SHOP)[0] == 0


# Train, evaluate, plot


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", SHOP, "--out", str(folder), *TINY]) == 0
    return folder


def rows(folder):
    return (folder / "metrics.csv").read_text()


def test_train_writes_a_run(whole, meio_json):
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["status"] == "done" and manifest["config"]["learner"] == "ppo"
    assert rows(whole).count("\n") == 5
    before = rows(whole)
    code, data = meio_json("train", SHOP, "--out", whole, *TINY)
    assert code == 0 and data["finished"] and data["updates"] == 4 and data["resumed_from"] == 4
    assert data["baseline"]["policy"] == "echelon_base_stock" and data["cost"] > 0
    assert rows(whole) == before


def test_an_instance_is_learned_by_its_gradients_over_seeds(tmp_path, meio_json):
    """The optimum is the reference, each seed a run of its own that can be read back, the report says them together."""
    words = ["--learner", "pathwise", "--updates", "4", "--eval-every", "2", "--lanes", "8", "--segment", "8"]
    words += ["--widths", "8", "--baseline-budget", "8", "--final-lanes", "8", "--seeds", "2", "--patience", "9"]
    code, data = meio_json("train", "zipkin/poisson-L1-p4", "--out", tmp_path / "run", *words)
    assert code == 0 and data["finished"] and len(data["runs"]) == 2
    assert data["reference"] == {"what": "the known optimum", "cost": pytest.approx(4.04071, abs=1e-5)}
    costs = [r["final"]["cost"] for r in data["runs"]]
    assert data["cost"] == pytest.approx(np.mean(costs))
    assert len({rows(tmp_path / "run" / f"seed-{k}") for k in (0, 1)}) == 2
    assert data["gap_percent"] == pytest.approx(100 * (data["cost"] / 4.04071 - 1), abs=1e-3)
    for final in (r["final"] for r in data["runs"]):  # in pairs: the same mean, a narrower interval
        rule, more = final["rule"], final["rule"]["more"]
        assert (
            more["cost"] == pytest.approx(final["cost"] - rule["cost"]) and more["low"] <= more["cost"] <= more["high"]
        )
        assert more["high"] - more["low"] < final["high"] - final["low"] + rule["high"] - rule["low"]
    report = (tmp_path / "run" / "report.md").read_text()
    assert "interquartile mean" in report and "the known optimum: 4.0407" in report
    one = open_run(tmp_path / "run" / "seed-1")
    assert one.updates == 4 and one.subject.instance == "zipkin/poisson-L1-p4"
    assert (one.run.folder / "orders.png").exists() and (one.run.folder / "curves.png").exists()
    again = meio_json("train", "zipkin/poisson-L1-p4", "--out", tmp_path / "run", *words)[1]
    assert [r["final"] for r in again["runs"]] == [r["final"] for r in data["runs"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_goes_on_bitwise(whole, meio, meio_json, tmp_path, monkeypatch, number):
    folder = tmp_path / "stopped"
    report = Progress.on_chunk

    def stop(self, state, metrics):
        report(self, state, metrics)
        signal.raise_signal(number)

    handler = signal.getsignal(number)
    monkeypatch.setattr(Progress, "on_chunk", stop)
    code, data = meio_json("train", SHOP, "--out", folder, *TINY)
    assert code == 128 + number and data["updates"] == 2 and data["stopped_by"] == number.name
    assert not data["finished"] and signal.getsignal(number) is handler
    monkeypatch.undo()
    code, _, err = meio("train", SHOP, "--out", folder, *TINY)
    assert code == 0 and "going on" in err
    a, b = open_run(whole), open_run(folder)
    assert a.updates == b.updates == 4
    for x, y in zip(jax.tree.leaves(a.theta), jax.tree.leaves(b.theta), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
    assert rows(whole) == rows(folder)


def test_another_run_is_not_gone_on_with(whole, meio_json):
    for words, said in (
        (["--discount", "0.9"], "discount"),
        (["--seed", "5"], "seed"),
    ):
        code, data = meio_json("train", SHOP, "--out", whole, *TINY, *words)
        assert code == 1 and data["error"] == "RunMismatchError" and said in data["message"]
    code, data = meio_json("train", SERIAL, "--out", whole, *TINY)
    assert code == 1 and "system_sha256" in data["message"]


def test_evaluate_and_plot(whole, meio, meio_json):
    words = ["--periods", "40", "--warmup", "10", "--lanes", "8", "--budget", "8"]
    code, data = meio_json("evaluate", whole, *words, "--policies", "constant_order")
    assert code == 0 and data["policy"] == "ppo"
    assert set(data["policies"]) == {"ppo", "echelon_base_stock", "constant_order"}
    assert data["cost_mean"] == data["policies"]["ppo"]["cost_mean"] and "fill_rate" in data["kpis"]
    assert set(data["differences"]) == {"ppo", "constant_order"}
    code, data = meio_json("plot", whole, "--periods", "20")
    assert code == 0 and set(data["figures"]) == {"network", "learning", "stock", "comparison"}
    for path in data["figures"].values():
        assert Path(path).read_bytes().startswith(b"\x89PNG")
    code, out, _ = meio("plot", whole, "--periods", "20", "--format", "svg")
    assert code == 0 and all("<svg" in Path(p).read_text() for p in out.split())


def test_what_is_no_run(meio_json, tmp_path):
    for command in ("evaluate", "plot"):
        code, data = meio_json(command, tmp_path)
        assert code == 1 and data["error"] == "RunError"


def test_a_run_whose_system_was_changed_is_refused(whole, meio_json, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    text = (copy / "system.yaml").read_text()
    (copy / "system.yaml").write_text(text.replace("lost_cost: 4", "lost_cost: 5"))
    code, data = meio_json("plot", copy)
    assert code == 1 and "not the system" in data["message"]
