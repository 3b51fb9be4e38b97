"""A training that is killed and resumed learns, bit for bit, what it would have learned undisturbed."""

import json
import os
import subprocess
import sys

import pytest

from experiments.survive import ROOT, TINY, Life, failed, names, show


def play(tmp_path, *words):
    out = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "experiments.survive", "--out", out, "--folder", tmp_path / "runs", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text()), done.stdout


def check(found):
    assert not found["faults"]
    assert not any(found["differing"].values())
    assert {"params", "optimizer", "moments", "env", "key", "update"} <= set(found["leaves"])
    assert all(count for name, count in found["leaves"].items() if name != "memory")  # this policy remembers nothing


def test_a_training_survives_some_kills(tmp_path):
    found, text = play(tmp_path, "--kills", "3", "--jobs", "1", "--updates", "16", "--cold", "0", "--once")
    check(found)
    assert found["kills"] >= 3
    assert found["inside_a_save"] >= 1
    assert "survived" in text


@pytest.mark.slow
def test_a_training_survives_many_kills(tmp_path):
    found, _ = play(tmp_path, "--kills", "40", "--cold", "10", "--seed", "1")
    check(found)
    assert found["kills"] >= 40
    assert found["inside_a_save"] >= 10
    assert found["distinct_resume_steps"] >= 10


# That it can fail.

FOUND = {
    "kills": 1, "inside_a_save": 0, "half_written": 0, "half_removed": 0, "before_training": 0, "terms": 0,
    "terms_that_saved_first": 0, "resumes": 1, "distinct_resume_steps": 1, "trainings": 1, "updates_each": 4,
    "leaves": {"params": 9, "key": 1}, "differing": {"params": 0, "key": 0}, "faults": [], "seconds": 1.0,
}  # fmt: skip


def test_the_verdict():
    assert not failed(FOUND)
    for change in (
        {"differing": {"params": 0, "key": 1}},
        {"faults": ["job0-0: metrics.csv differs"]},
        {"trainings": 0},
    ):
        worse = {**FOUND, **change}
        assert failed(worse)
        assert "FAILED" in show(worse)
    assert "1 leaves DIFFER" in show({**FOUND, "differing": {"params": 0, "key": 1}})


def test_a_life_knows_how_it_ended():
    killed = Life("job0-0", "save", 9, "write", 0, 3, None)
    assert killed.killed and not killed.finished
    stopped = Life("job0-0", "term", 143 << 8, None, 0, 3, None)
    assert not stopped.killed and not stopped.finished and os.WEXITSTATUS(stopped.status) == 143
    assert Life("job0-0", "none", 0, None, 0, 3, 3).finished


def test_it_saves_at_every_update_and_a_missing_folder_is_empty(tmp_path):
    assert TINY[TINY.index("--eval-every") + 1] == "1"
    assert names(tmp_path / "nothing") == set()
