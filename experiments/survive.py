"""Kill a training at random instants until it has survived: what it learns must be, bit for bit, what it would have.

`python -m experiments.survive` trains a small policy with ``meio train`` to its end, twice, without disturbing it. Then
it trains the same again in other folders, kills each process (SIGKILL at any instant, a good part of them while a
checkpoint is being written; SIGTERM now and then) and starts it anew, until the training is done and enough kills are
counted. At the end every leaf of the training's state is compared with the undisturbed one's, and so is every byte of
the metrics. The exit code is 1 if anything differs.

A kill counts as one inside a save if it left a checkpoint behind that was half written or half removed. To make lives
cheap they are forks of a process that has imported everything and started nothing; every `--cold`-th one is a fresh
``python -m meio_jax`` instead.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = ROOT / "examples" / "serial.yaml"
#: A training that saves as often as it can, and does little else.
TINY = (
    "--eval-every", "1", "--lanes", "4", "--segment", "4", "--epochs", "2", "--minibatches", "2", "--widths", "4",
    "--baseline-budget", "0",
)  # fmt: skip
#: How lives end, and how often.
ENDS = {"anywhere": 0.2, "training": 0.25, "save": 0.45, "term": 0.1}
#: Seconds of watching until a life is said to hang. A time in which the watcher itself was stopped does not count.
PATIENCE = 300.0
TICK = 0.0005


@dataclasses.dataclass(frozen=True)
class Pace:
    """What an undisturbed run took, in seconds: until its first save, a save, and from one save to the next."""

    start: float
    save: float
    step: float


@dataclasses.dataclass
class Life:
    """One process of a training: how it was to end, how it ended, and where it found and left the run."""

    chain: str
    end: str
    status: int
    inside: str | None
    """What the kill left half done in the folder of checkpoints: "write", "removal" or None."""
    found: int
    left: int
    resumed: int | None
    """The step that the process said it went on from; None if it did not come that far."""
    fault: str | None = None

    @property
    def killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL

    @property
    def finished(self) -> bool:
        return os.WIFEXITED(self.status) and os.WEXITSTATUS(self.status) == 0


# Processes


def command(folder: Path, updates: int) -> list[str]:
    return ["train", str(SYSTEM), "--out", str(folder), "--updates", str(updates), *TINY]


def start(words: list[str], log: Path, cold: bool) -> int:
    """Start ``meio`` with these words; returns the process id."""
    if cold:
        with open(log, "ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "meio_jax", *words], stdout=out, stderr=out, cwd=ROOT, start_new_session=True
            ).pid

    def life() -> int:
        from meio_jax.cli import main

        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        return main(words)

    return fork(life)


def fork(what: Callable[[], int]) -> int:
    """Run a function in a process of its own, which ends with the code that it returns; returns the process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 70
    try:
        code = what()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int) -> int | None:
    """The status of a process that has ended, else None."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return status if done else None


def import_everything() -> None:
    """So that forks need not. Nothing here may start a device: what it starts would not live in a fork."""
    for name in ("distrax", *(f"meio_jax.{m}" for m in ("cli", "learners.loop", "progress", "runs", "files"))):
        importlib.import_module(name)
    importlib.import_module("meio_jax.checkpoint")._orbax()
    xla_bridge = importlib.import_module("jax._src.xla_bridge")
    if xla_bridge._backends:
        raise RuntimeError("a device was started before the first fork")


# One life


def names(checkpoints: Path) -> set[str]:
    try:
        return set(os.listdir(checkpoints))
    except FileNotFoundError:
        return set()


def latest(checkpoints: Path) -> int:
    return max((int(name[5:]) for name in names(checkpoints) if name.startswith("step-")), default=0)


def resumes(folder: Path) -> list[int]:
    try:
        return [int(entry["step"]) for entry in json.loads((folder / "manifest.json").read_text())["resumed"]]
    except FileNotFoundError:
        return []


def tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-6:]) if log.exists() else ""


def live(folder: Path, updates: int, end: str, pace: Pace, dice: random.Random, cold: bool) -> Life:
    """Start the training, end it in the way that is asked for unless it is done before, look at what is left."""
    checkpoints, log = folder / "checkpoints", folder.with_suffix(".log")
    before, found, known = names(checkpoints), latest(checkpoints), len(resumes(folder))
    pid = start(command(folder, updates), log, cold)
    status: int | None = None
    fault, watched = None, 0.0

    def waits(seconds: float) -> Iterator[None]:
        """Until the time is over or the process has ended."""
        nonlocal status, fault, watched
        last = time.monotonic()
        until = last + seconds
        while status is None and fault is None and last < until:
            yield
            time.sleep(TICK)
            now = time.monotonic()
            watched, last = watched + min(now - last, 1.0), now
            status = ended(pid)
            if watched > PATIENCE:
                fault = f"{end}: hangs: {tail(log)}"

    def saving() -> bool:
        return any(name.startswith(".tmp-step-") for name in names(checkpoints) - before)

    try:
        if end in ("anywhere", "term"):
            for _ in waits(dice.uniform(0.0, pace.start + 6 * pace.step)):
                pass
        elif end == "training":
            for _ in waits(math.inf):
                if saving():
                    break
            for _ in waits(dice.uniform(0.0, 8 * pace.step)):
                pass
        elif end == "save":
            for k in range(dice.randint(1, 6)):
                for _ in waits(math.inf):
                    if (not saving()) if k else True:
                        break
                for _ in waits(math.inf):
                    if saving():
                        break
            for _ in waits(dice.uniform(0.0, pace.save)):
                pass
        else:  # to the end of the training
            for _ in waits(math.inf):
                pass
    finally:
        if status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if end == "term" else signal.SIGKILL)
    if status is None and end == "term":
        for _ in waits(math.inf):
            pass
        if status is None:
            os.kill(pid, signal.SIGKILL)
    if status is None:
        _, status = os.waitpid(pid, 0)

    half = names(checkpoints) - before
    inside = "write" if any(n.startswith(".tmp-step-") for n in half) else None
    inside = inside or ("removal" if any(n.startswith(".tmp-old-") for n in half) else None)
    after = resumes(folder)
    resumed = after[-1] if len(after) > known else None
    out = Life(folder.name, end, status, inside, found, latest(checkpoints), resumed, fault)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == (signal.SIGTERM if end == "term" else signal.SIGKILL)
    stopped = end == "term" and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 128 + signal.SIGTERM
    if not (killed or stopped or out.finished):
        out.fault = f"{end}: exit status {status}: {tail(log)}"
    elif resumed is not None and resumed != found:
        out.fault = f"{end}: went on from step {resumed}, though {found} was saved"
    elif out.left < found:
        out.fault = f"{end}: left step {out.left}, though {found} was saved"
    return out


def undisturbed(folder: Path, updates: int) -> Pace:
    """A training to its end, watched."""
    checkpoints, log = folder / "checkpoints", folder.with_suffix(".log")
    born = time.monotonic()
    pid = start(command(folder, updates), log, cold=False)
    first, open_since, saves, status = None, None, [], None
    while status is None:
        now = time.monotonic()
        if now - born > 4 * PATIENCE:
            os.kill(pid, signal.SIGKILL)
        saving = any(name.startswith(".tmp-step-") for name in names(checkpoints))
        if saving and open_since is None:
            open_since = now
            first = first or now
        elif not saving and open_since is not None:
            saves.append(now - open_since)
            open_since = None
        time.sleep(TICK)
        status = ended(pid)
    if status or first is None or not saves:
        raise RuntimeError(f"the undisturbed training failed with status {status}: {tail(log)}")
    return Pace(first - born, sum(saves) / len(saves), (time.monotonic() - first) / updates)


def worker(name: str, base: Path, kills: int, updates: int, pace: Pace, seed: int, cold: int) -> int:
    """Chains of lives, one training after the other, until enough kills are counted and the last one is done."""
    dice = random.Random(f"{seed} {name}")
    lives: list[Life] = []
    chain, count, inside = 0, 0, 0
    while True:
        folder = base / f"{name}-{chain}"
        enough = count >= kills and (4 * inside >= kills or count >= 2 * kills)
        end = "none" if enough else dice.choices(list(ENDS), list(ENDS.values()))[0]
        if not enough and kills - count <= (kills + 3) // 4 - inside:
            end = "save"
        life = live(folder, updates, end, pace, dice, bool(cold) and len(lives) % cold == cold - 1)
        lives.append(life)
        count += life.killed
        inside += life.killed and life.inside is not None
        (base / f"{name}.json").write_text(json.dumps([dataclasses.asdict(life) for life in lives]))
        if life.fault:
            return 1
        if life.finished:
            chain += 1
        if life.finished and enough:
            return 0


# What is left in the end


def final_state(folder: Path) -> tuple[Any, int, str]:
    """The state of a finished training, the step of its checkpoint, and its status."""
    from meio_jax.checkpoint import Checkpoints
    from meio_jax.cli.runfolder import subject_of_run, template
    from meio_jax.runs import Run

    run = Run.open(folder)
    learner, options, subject = subject_of_run(run)
    restored = Checkpoints(run.checkpoints).restore(template(options, learner, subject))
    return restored.tree, restored.step, run.status


def bits(leaf: Any) -> tuple[str, tuple[int, ...], bytes]:
    import jax
    import numpy as np

    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    return str(leaf.dtype), array.shape, array.tobytes()


def differences(folder: Path, reference: Path, updates: int) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """For each field of the training's state its leaves and how many of them differ; and what else differs."""
    import jax

    (state, step, status), (wanted, _, _) = final_state(folder), final_state(reference)
    table = {}
    for field in dataclasses.fields(wanted):
        mine, theirs = (jax.tree.leaves(getattr(s, field.name)) for s in (state, wanted))
        table[field.name] = (len(theirs), sum(bits(a) != bits(b) for a, b in zip(mine, theirs, strict=True)))
    wrong = []
    if not step == int(state.update) == updates:
        wrong.append(f"step {step}, update {int(state.update)}, wanted {updates}")
    if status != "done":
        wrong.append(f"status {status}")
    if (folder / "metrics.csv").read_bytes() != (reference / "metrics.csv").read_bytes():
        wrong.append("metrics.csv differs")
    rows = (folder / "metrics.csv").read_text().splitlines()[1:]
    if [int(row.partition(",")[0]) for row in rows] != list(range(1, updates + 1)):
        wrong.append("metrics.csv does not hold each update once")
    return table, wrong


def survive(
    kills: int, jobs: int, updates: int, seed: int, cold: int, base: Path, twice: bool = True
) -> dict[str, Any]:
    """Everything; returns what is printed."""
    began = time.monotonic()
    import_everything()
    pace = undisturbed(base / "reference", updates)
    if twice:
        pace = undisturbed(base / "again", updates)
    print(
        f"undisturbed: {pace.start:.2f} s to the first save, then {pace.step:.3f} s an update, "
        f"of which {pace.save:.3f} s in the save",
        flush=True,
    )
    shares = [kills // jobs + (k < kills % jobs) for k in range(jobs)]
    pids = [
        fork(lambda k=k, n=n: worker(f"job{k}", base, n, updates, pace, seed, cold)) for k, n in enumerate(shares) if n
    ]
    codes = [os.waitpid(pid, 0)[1] for pid in pids]
    lives = [Life(**life) for path in sorted(base.glob("job*.json")) for life in json.loads(path.read_text())]
    faults = [life.fault for life in lives if life.fault]
    if any(codes) and not faults:
        faults.append(f"a worker ended with status {codes}")

    finished = sorted({life.chain for life in lives if life.finished})
    table: Counter[str] = Counter()
    leaves: dict[str, int] = {}
    for name in [*(["again"] if twice else []), *finished]:
        found, wrong = differences(base / name, base / "reference", updates)
        faults += [f"{name}: {line}" for line in wrong]
        for field, (n, differ) in found.items():
            leaves[field] = n
            table[field] += differ
    killed = [life for life in lives if life.killed]
    return {
        "kills": len(killed),
        "inside_a_save": sum(life.inside is not None for life in killed),
        "half_written": sum(life.inside == "write" for life in killed),
        "half_removed": sum(life.inside == "removal" for life in killed),
        "before_training": sum(life.left == life.found for life in killed),
        "terms": sum(life.end == "term" and not life.finished for life in lives),
        "terms_that_saved_first": sum(
            os.WIFEXITED(life.status) and os.WEXITSTATUS(life.status) == 143 for life in lives
        ),
        "resumes": sum(bool(life.resumed) for life in lives),
        "distinct_resume_steps": len({life.resumed for life in lives if life.resumed}),
        "trainings": len(finished),
        "updates_each": updates,
        "lives": len(lives),
        "cold_lives_every": cold,
        "leaves": leaves,
        "differing": dict(table),
        "faults": faults,
        "seconds": round(time.monotonic() - began, 1),
    }


def show(found: dict[str, Any]) -> str:
    lines = [
        f"SIGKILLs                   {found['kills']}",
        f"  inside a save            {found['inside_a_save']} (half written {found['half_written']}, "
        f"half removed {found['half_removed']})",
        f"  before anything new      {found['before_training']}",
        f"SIGTERMs                   {found['terms']} ({found['terms_that_saved_first']} saved, exit code 143)",
        f"resumes after step 0       {found['resumes']}, from {found['distinct_resume_steps']} distinct steps",
        f"trainings brought to end   {found['trainings']}, of {found['updates_each']} updates each",
        "",
        f"{'part of the state':<18} {'leaves':>6}  compared with the run never stopped",
    ]
    for name, n in found["leaves"].items():
        differ = found["differing"][name]
        lines.append(f"{name:<18} {n:>6}  {'bitwise equal' if not differ else f'{differ} leaves DIFFER'}")
    lines += [f"FAULT {fault}" for fault in found["faults"]]
    lines.append(f"{'FAILED' if failed(found) else 'survived'} in {found['seconds']} s")
    return "\n".join(lines)


def failed(found: dict[str, Any]) -> bool:
    return bool(found["faults"] or any(found["differing"].values()) or not found["trainings"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.survive", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs at least (default 200)")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side (default 2)")
    parser.add_argument("--updates", type=int, default=60, help="updates of each training (default 60)")
    parser.add_argument("--cold", type=int, default=25, help="every so many lives a fresh interpreter; 0: none")
    parser.add_argument("--once", action="store_true", help="make only one undisturbed run, not two")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--out", type=Path, help="write what was found as JSON")
    parser.add_argument("--folder", type=Path, help="keep the runs in this empty folder")
    args = parser.parse_args()
    if min(args.kills, args.jobs, args.updates) < 1 or args.cold < 0:
        parser.error("--kills, --jobs and --updates are at least 1")
    base = Path(tempfile.mkdtemp(prefix="meio-survive-")) if args.folder is None else args.folder.resolve()
    base.mkdir(parents=True, exist_ok=True)
    if any(base.iterdir()):
        parser.error(f"{base} is not empty")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    os.environ["JAX_PLATFORMS"] = "cpu"
    found = survive(args.kills, args.jobs, args.updates, args.seed, args.cold, base, not args.once)
    print(show(found))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=2) + "\n")
    if args.folder is None and not failed(found):
        shutil.rmtree(base, ignore_errors=True)
    elif failed(found):
        print(f"the runs are in {base}")
    return int(failed(found))


if __name__ == "__main__":
    sys.exit(main())
