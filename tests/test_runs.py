"""Run folders and progress: what stands there is whole, and says what it came from."""

import contextlib
import dataclasses
import enum
import errno
import io
import json
import math
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import runs
from meio_jax.errors import InputError, NonFiniteError, RunError, RunExistsError, RunMismatchError
from meio_jax.progress import Progress, gap_percent
from meio_jax.runs import Run, differences, plain, read_json, read_npz, write_json, write_npz


class Colour(enum.Enum):
    RED = 1


class Level(enum.StrEnum):
    HIGH = "h"


class Point(NamedTuple):
    x: float
    y: float


@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = 1e-3
    widths: tuple[int, ...] = (64, 64)
    name: str = "Müller"
    where: Path = Path("data/history.csv")
    colour: Colour = Colour.RED
    limit: float | None = None


CONFIG = Config()


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", CONFIG, seed=7, command=["meio", "train"])


# Plain values and JSON


@pytest.mark.parametrize(
    "value, expected",
    [
        (np.float32(0.1), 0.10000000149011612),
        (np.float64(0.1), 0.1),
        (np.int64(2**40), 2**40),
        (np.bool_(True), True),
        (jnp.float32(2.5), 2.5),
        (jnp.arange(3), [0, 1, 2]),
        (jnp.asarray(1.5, jnp.bfloat16), 1.5),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.zeros((0, 3)), []),
        (np.str_("a"), "a"),
        (Point(1, jnp.float32(2)), {"x": 1, "y": 2.0}),
        (
            CONFIG,
            {
                "rate": 1e-3,
                "widths": [64, 64],
                "name": "Müller",
                "where": "data/history.csv",
                "colour": "RED",
                "limit": None,
            },
        ),
        ({"a": (1, [None, True])}, {"a": [1, [None, True]]}),
        (Level.HIGH, "HIGH"),
    ],
)
def test_values_become_plain(value, expected, tmp_path):
    got = plain(value)
    assert got == expected
    assert type(got) is type(expected)
    write_json(tmp_path / "x.json", {"v": value})
    assert read_json(tmp_path / "x.json") == {"v": expected}


@pytest.mark.parametrize(
    "value, where",
    [
        ({"a": {"b": [0, jax.nn.relu]}}, r"config\.a\.b\.1 is a "),
        ({"a": {1: 2}}, r"config\.a: the key 1"),
        ({"k": jax.random.key(0)}, r"config\.k is a random key"),
        ({"s": {1, 2}}, r"config\.s is a set"),
        ({"c": 1j}, r"config\.c is a complex"),
        ({"c": np.array([object()])}, r"config\.c is of type object"),
        ({"c": Config}, r"config\.c is a type"),
    ],
)
def test_what_has_no_plain_form_is_refused_by_place(value, where):
    with pytest.raises(RunError, match=where):
        plain(value, "config")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), jnp.array([1.0, jnp.nan])])
def test_nan_is_refused_or_null(value, tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"cost": 1})
    with pytest.raises(NonFiniteError, match=r"x\.json\.cost"):
        write_json(path, {"cost": value})
    assert read_json(path) == {"cost": 1}
    write_json(path, {"cost": value}, nonfinite="null")
    assert read_json(path)["cost"] in (None, [1.0, None])


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', '{"a": 1, "a": 2}', "\xff", "[" * 100_000])
def test_bad_json_is_one_error(tmp_path, text):
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_missing_files_are_one_error(tmp_path):
    for read in (read_json, read_npz):
        with pytest.raises(RunError, match="No such file"):
            read(tmp_path / "x")
    with pytest.raises(RunError, match="not written"):
        write_json(tmp_path / "no" / "x.json", 1)


def test_a_full_disk_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, 1)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="No space left"):
            write_json(path, 2)
    assert read_json(path) == 1 and os.listdir(tmp_path) == ["x.json"]


def test_npz_there_and_back(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {"x": jnp.arange(6.0).reshape(2, 3), "n": np.int32(4), "names": ["a", "bc"], "empty": np.zeros((0, 2))}
    write_npz(path, **arrays)
    back = read_npz(path)
    assert set(back) == set(arrays)
    assert back["x"].dtype == np.float32 and back["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert back["n"] == 4 and back["names"].tolist() == ["a", "bc"] and back["empty"].shape == (0, 2)
    for bad in (object(), [None], jax.random.key(0)):
        with pytest.raises(RunError, match="bad"):
            write_npz(path, bad=bad)
    data = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] if rng.random() < 0.3 else data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with contextlib.suppress(RunError):
            read_npz(path)


# The manifest


def test_the_manifest_says_where_the_numbers_come_from(run):
    manifest = read_json(run.folder / "manifest.json")
    assert manifest == run.manifest
    assert manifest["config"] == plain(CONFIG) and manifest["seed"] == 7 and manifest["status"] == "running"
    assert manifest["versions"]["jax"] == jax.__version__ and "meio-jax" in manifest["versions"]
    assert manifest["python"] == sys.version.split()[0]
    assert manifest["machine"]["cpus"] >= manifest["machine"]["cpus_usable"] >= 1
    assert manifest["device"] == {"platform": "cpu", "kind": "cpu", "count": len(jax.devices()), "x64": False}
    assert manifest["command"] == ["meio", "train"]
    assert manifest["started"].endswith("+00:00") and manifest["finished"] is None


def test_no_path_of_the_machine_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/else/bin/meio", "train", "my/net.yaml"])
    run = Run.create(tmp_path / "run", {}, seed=0)
    assert run.manifest["command"] == ["meio", "train", "my/net.yaml"]
    text = (run.folder / "manifest.json").read_text()
    for secret in (str(tmp_path), str(Path.home()), sys.prefix, str(Path(runs.__file__).parent), os.uname().nodename):
        assert len(secret) < 3 or secret not in text
    monkeypatch.setattr(sys, "argv", ["/x/site-packages/meio_jax/__main__.py", "check"])
    assert Run.create(tmp_path / "two", {}, seed=0).manifest["command"] == ["python -m meio_jax", "check"]


def test_the_commit_is_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert runs.environment()["git"] is None

    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *name, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    assert runs.environment()["git"] == {"commit": None, "dirty": False}
    (tmp_path / "a").write_text("1")
    assert runs.environment()["git"] == {"commit": None, "dirty": True}
    git("add", "a")
    git("commit", "-q", "-m", "a")
    assert runs.environment()["git"] == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    monkeypatch.setenv("PATH", "")
    assert runs.environment()["git"] is None


def test_a_run_ends_done_or_failed(tmp_path):
    with Run.create(tmp_path / "a", CONFIG, seed=1) as run:
        assert Run.open(run.folder).status == "running"
    done = Run.open(run.folder)
    assert done.status == "done" and done.manifest["finished"] >= done.manifest["started"]
    with pytest.raises(ZeroDivisionError), Run.create(tmp_path / "b", CONFIG, seed=1):
        _ = 1 / 0
    failed = Run.open(tmp_path / "b")
    assert failed.status == "failed" and failed.manifest["reason"] == "ZeroDivisionError: division by zero"


def test_a_folder_holds_one_run(run, tmp_path):
    before = (run.folder / "manifest.json").read_bytes()
    with pytest.raises(RunExistsError, match="holds a run already"):
        Run.create(run.folder, Config(rate=1.0), seed=1)
    assert (run.folder / "manifest.json").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(RunError):
        Run.create(tmp_path / "file", CONFIG, seed=1)
    with pytest.raises(RunError, match="a dict or a dataclass"):
        Run.create(tmp_path / "new", [1], seed=1)
    with pytest.raises(RunError, match="whole number"):
        Run.create(tmp_path / "new", {}, seed=1.5)
    assert not (tmp_path / "new").exists()


def test_another_configuration_is_refused_by_field(run):
    Run.open(run.folder, CONFIG, seed=7)
    Run.resume(run.folder, dataclasses.replace(CONFIG), seed=np.int64(7))
    other = dataclasses.replace(CONFIG, rate=3e-3, widths=(64,), limit=2.0)
    with pytest.raises(RunMismatchError) as error:
        Run.resume(run.folder, other, seed=8)
    text = str(error.value)
    for words in ("rate: 0.001 there, 0.003 here", "widths: [64, 64] there, [64] here", "limit: null there", "seed"):
        assert words in text
    assert "colour" not in text
    with pytest.raises(RunMismatchError, match=r"extra: only here \(1\).*|rate: only there"):
        Run.open(run.folder, {"extra": 1})


def test_differences_are_exact():
    assert differences({"a": 1, "b": {"c": [1]}}, {"b": {"c": [1]}, "a": 1.0}) == []
    assert differences({"a": True}, {"a": 1}) == ["a: true there, 1 here"]
    assert differences({"a": {"b": 1}}, {"a": {}}) == ["a.b: only there (1)"]
    assert differences({"a": None}, {"a": {}}) == ["a: null there, {} here"]
    assert len(differences("x" * 99, "y")[0]) < 99


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "meio_jax.run/1", "config": 3}'])
def test_a_damaged_manifest_is_one_error(run, text):
    (run.folder / "manifest.json").write_text(text)
    for use in (Run.open, Run.resume):
        with pytest.raises(RunError, match=r"manifest\.json"):
            use(run.folder)


def test_no_run_is_one_error(tmp_path):
    with pytest.raises(RunError, match="no run here"):
        Run.open(tmp_path / "nothing")
    assert issubclass(RunError, InputError)


# Metrics


def fill(run, steps):
    for step in steps:
        run.log(step, {"cost": jnp.float32(step) / 3, "fill_rate": math.nan if step == 2 else 0.1 * step, "n": step})


def test_metrics_there_and_back(run):
    fill(run, range(5))
    table = Run.open(run.folder).metrics()
    assert list(table) == ["step", "cost", "fill_rate", "n"]
    assert table["step"].dtype == np.int64 and table["step"].tolist() == [0, 1, 2, 3, 4]
    assert table["cost"].astype(np.float32).tobytes() == (np.arange(5, dtype=np.float32) / 3).tobytes()
    assert np.isnan(table["fill_rate"][2]) and table["fill_rate"][3] == 0.1 * 3
    assert Run.open(run.folder)._last == 4


def test_no_metrics_yet(run):
    assert run.metrics() == {}
    Run.resume(run.folder, step=5)


def test_columns_may_come_in_another_order(run):
    run.log(1, {"a": 1, "b": np.float64(2.5), "c": None})
    Run.open(run.folder).log(np.int64(2), {"c": np.array([3.0]), "b": True, "a": np.inf})
    assert (run.folder / "metrics.csv").read_text() == "step,a,b,c\n1,1,2.5,\n2,inf,1,3.0\n"


@pytest.mark.parametrize(
    "step, row, words",
    [
        (4, {"cost": 1.0, "fill_rate": 1.0, "n": 1}, "step 4 is not above 4"),
        (5, {"cost": 1.0, "n": 1}, "fill_rate"),
        (5, {"cost": 1.0, "fill_rate": 1.0, "n": 1, "new": 2}, "new"),
        (5, {"cost": "x", "fill_rate": 1.0, "n": 1}, "cost is a str"),
        (5, {"cost": np.zeros(2), "fill_rate": 1.0, "n": 1}, r"cost has shape \(2,\)"),
        (5.5, {"cost": 1.0, "fill_rate": 1.0, "n": 1}, "whole number"),
        (5, {"cost": 1.0, "fill_rate": 1.0, "step": 1}, "step"),
    ],
)
def test_a_bad_row_is_refused_and_the_rest_stays(run, step, row, words):
    fill(run, range(5))
    before = (run.folder / "metrics.csv").read_bytes()
    with pytest.raises(RunError, match=words):
        run.log(step, row)
    assert (run.folder / "metrics.csv").read_bytes() == before


def test_a_resumed_run_has_the_metrics_of_the_run_never_stopped(tmp_path):
    straight = Run.create(tmp_path / "a", CONFIG, seed=7)
    fill(straight, range(20))
    stopped = Run.create(tmp_path / "b", CONFIG, seed=7)
    fill(stopped, range(14))
    with open(stopped.folder / "metrics.csv", "ab") as file:
        file.write(b"14,4.66")  # killed within a row
    (stopped.folder / ".manifest.json.abc.tmp").touch()
    assert len(Run.open(stopped.folder).metrics()["step"]) == 14
    stopped = Run.resume(stopped.folder, CONFIG, seed=7, step=9)
    assert stopped.metrics()["step"].tolist() == list(range(10))
    assert [entry["step"] for entry in stopped.manifest["resumed"]] == [9]
    assert stopped.manifest["resumed"][0]["changed"] == []
    fill(stopped, range(10, 20))
    one, other = ((tmp_path / name / "metrics.csv").read_bytes() for name in "ab")
    assert one == other
    assert sorted(os.listdir(stopped.folder)) == ["manifest.json", "metrics.csv"]


def test_a_resume_says_what_changed_around_it(run):
    manifest = run.manifest | {"versions": run.manifest["versions"] | {"jax": "0.1"}, "status": "failed"}
    write_json(run.folder / "manifest.json", manifest)
    again = Run.resume(run.folder)
    assert again.status == "running"
    assert again.manifest["resumed"][0]["changed"] == [f'versions.jax: "0.1" there, "{jax.__version__}" here']


@pytest.mark.parametrize("cut", range(40))
def test_a_file_cut_anywhere_goes_on(run, cut):
    fill(run, range(2))
    path = run.folder / "metrics.csv"
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    again = Run.open(run.folder)
    fill(again, range(2 if again._last == 1 else 0 if again._last is None else 1, 3))
    assert Run.open(run.folder).metrics()["step"].tolist()[-1] == 2
    assert path.read_bytes().startswith(data)


def test_a_failed_append_leaves_whole_rows(run):
    fill(run, range(3))
    path = run.folder / "metrics.csv"
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        with pytest.raises(RunError, match="row not written"):
            fill(run, [3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    fill(run, [3])
    assert run.metrics()["step"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("line", ["x,1.0,1.0,1", "3,1.0,1.0", "3,one,1.0,1", "1,1.0,1.0,1", '3,"1.0,1.0,1'])
def test_damaged_metrics_are_refused_by_line(run, line):
    fill(run, range(3))
    with open(run.folder / "metrics.csv", "a") as file:
        file.write(line + "\n")
    for use in (Run.open, Run.resume):
        with pytest.raises(RunError, match=r"metrics\.csv"):
            use(run.folder)


# Other files


def test_files_of_a_run(run):
    run.save_json("result", {"cost": np.float32(1.5)})
    run.save_npz("curve.npz", cost=np.arange(3))
    assert run.load_json("result") == {"cost": 1.5}
    assert run.load_npz("curve")["cost"].tolist() == [0, 1, 2]
    assert run.checkpoints == run.folder / "checkpoints"
    for name in ("", "a/b", "../x", ".hidden", "manifest", "manifest.json"):
        with pytest.raises(RunError, match="not a name"):
            run.save_json(name, 1)


def test_a_killed_writer_never_leaves_half_a_file(tmp_path):
    code = "import sys; from meio_jax.runs import write_json\n"
    code += "for k in range(10**9): write_json(sys.argv[1], [k] * 20_000); k or print(flush=True)"
    path = tmp_path / "x.json"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        for _ in range(30):
            assert len(set(read_json(path))) == 1
        child.kill()
    assert len(read_json(path)) == 20_000


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def play(progress, clock, costs, seconds=2.0):
    with progress:
        for k, cost in enumerate(costs, start=1):
            clock.now += seconds
            progress(progress.start + k, cost=cost)


def test_lines_where_there_is_no_terminal():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(10, best_classical=80.0, stream=stream, clock=clock, unit=1_000, every=5.0)
    play(progress, clock, jnp.linspace(120, 84, 10))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training 1/10 (10 %): cost 120, +50.00 % to best classical, 500 steps/s, 0:18 left"
    assert lines[-1] == "training 10/10 (100 %): cost 84, +5.00 % to best classical, 500 steps/s"
    assert len(lines) == 4  # one in five seconds, and the last
    assert "\x1b" not in stream.getvalue()


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    stream, clock = Terminal(), Clock()
    progress = Progress(4, best_classical=80.0, stream=stream, clock=clock, unit=3_000_000, label="learning")
    assert progress.mode == "bar"
    play(progress, clock, [100.0, 90.0, 84.0])
    for words in ("learning", "cost 84", "+5.00 % to best classical", "1.5 M steps/s", "75%", "0:02 left"):
        assert words in stream.getvalue()
    progress.close()


def test_silence(capsys):
    progress = Progress(3, mode="silent")
    play(progress, Clock(), [1.0, 2.0, 3.0])
    assert progress.step == 3 and progress.cost == 3.0
    assert capsys.readouterr() == ("", "")


def test_json_on_standard_output_is_left_alone(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for mode in ("auto", "lines", "bar"):
        play(Progress(3, mode=mode, json=True), Clock(), [1.0, 2.0, 3.0])
        out, err = capsys.readouterr()
        assert out == "" and "cost 3" in err
    with pytest.raises(InputError, match="standard output"):
        Progress(3, json=True, stream=sys.stdout)


def test_a_resumed_run_begins_where_it_stopped():
    stream, clock = io.StringIO(), Clock()
    play(Progress(10, start=8, stream=stream, clock=clock), clock, [1.0, math.nan])
    assert stream.getvalue().splitlines()[0].startswith("training 9/10 (90 %): cost 1, 0.5 steps/s, 0:02 left")
    assert "cost nan" in stream.getvalue()


def test_the_callback_of_a_learner():
    stream = io.StringIO()
    progress = Progress(4, stream=stream, every=0)
    metrics = {"cost": jnp.array([9.0, 8.0]), "eval_cost": jnp.array([7.0])}
    assert progress.on_chunk(SimpleNamespace(update=jnp.int32(2)), metrics) is None
    assert (progress.step, progress.cost) == (2, 7.0)
    progress.on_chunk(SimpleNamespace(update=np.int32(4)), {"cost": np.array([6.0, 5.0])})
    assert (progress.step, progress.cost) == (4, 5.0)
    progress.on_chunk(SimpleNamespace(update=4), {})
    assert "4/4" in stream.getvalue()


def test_the_gap_is_in_percent_of_the_best():
    assert gap_percent(110, 100) == pytest.approx(10)
    assert gap_percent(-90, -100) == pytest.approx(10)  # a profit as a negative cost
    assert (
        math.isnan(gap_percent(1, 0)) and math.isnan(gap_percent(math.nan, 1)) and math.isnan(gap_percent(1, math.inf))
    )
    assert Progress(1, mode="silent").gap is None and Progress(1, mode="silent").seconds_left is None


@pytest.mark.parametrize("wrong", [{"total": -1}, {"total": 1, "unit": 0}, {"total": 1, "mode": "loud"}])
def test_bad_settings_are_refused(wrong):
    with pytest.raises(InputError):
        Progress(**wrong)


def test_rich_is_imported_only_for_a_bar():
    code = "import sys; import meio_jax.progress as p; p.Progress(1, mode='lines')(1, cost=2.0); "
    code += "print(json.dumps('rich.progress' in sys.modules))"
    run = subprocess.run([sys.executable, "-c", "import json\n" + code], capture_output=True, text=True, timeout=100)
    assert json.loads(run.stdout.splitlines()[-1]) is False, run.stderr
