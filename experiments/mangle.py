"""Mangle network files and see that each is refused in one named error: ``python -m experiments.mangle``.

Half of the files are examples with bytes changed, half are examples with values changed, moved, renamed or removed.
Each goes through ``meio check --json`` as a user's would (in one process, so that start-up is paid once). It must end
within a second, with exit code 0 (what is left is still a network) or 1, with one line on standard error, one JSON
object that names an error on standard output, and no traceback. A file is made from its number alone: a failure prints
the number, and ``--first NUMBER --files 1 --show`` shows the file. The exit code is 1 if anything went otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from meio_jax.cli import main as meio

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PIECES = [
    "{", "}", "[", "]", ":", ",", "- ", "\n", "  ", "\t", "&a ", "*a", "!!x ", "<<: ", "? ", "| \n", "'", '"', "#",
    "null", "-1", "1e999", ".nan", ".inf", "0x1F", "9" * 30, "\x00", "\x85", "\u2028", "\ufeff", "\U0001f6b2", "id: a",
    "kind: ", "outside", "customer", "version", "true", "NO", "1e6", "0", "1e-30", "mean: ", "demand: ",
]  # fmt: skip
SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, 1e-9, 1e9, 1e300, -1e-300, 512, 65_000, 10**20, float("nan"), float("inf"), "",
    "x", "outside", "customer", "poisson", "discrete", "normal", "a b", "\u0000", [], {}, [1, 2], {"kind": "poisson"},
    {"mean": [1, 2]},
]  # fmt: skip
NAMES = ["id", "from", "to", "demand", "yield", "name", "lead_time", "x", "kind"]
#: Seconds that a file may take.
SLOW = 1.0


class Verdict(NamedTuple):
    """What became of a file: "accepted", the name of an error, or a fault (``wrong``)."""

    outcome: str
    seconds: float
    wrong: str = ""


def mangled(number: int) -> tuple[bytes, str]:
    """The file of this number: its bytes and its ending."""
    rng = random.Random(number)
    text = rng.choice(sorted(EXAMPLES.glob("*.yaml"))).read_text(encoding="utf-8")
    if number % 2:
        return _mangled_bytes(rng, text), "yaml"
    tree = _mangled_tree(rng, yaml.safe_load(text))
    return json.dumps(tree).encode(), "json"


def _mangled_bytes(rng: random.Random, text: str) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(max(len(data), 1))
        match rng.randrange(7):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 40)]
            case 2:
                data[at:at] = rng.choice(PIECES).encode()
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 200)]
            case 4:
                data[at : at + 1] = b"-" if data[at : at + 1].isdigit() else b"7"
            case 5:
                lines = bytes(data).split(b"\n")
                i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
                data = bytearray(b"\n".join(lines))
            case _:
                del data[at:]
    return bytes(data)


def _mangled_tree(rng: random.Random, tree: Any) -> Any:
    for _ in range(rng.randint(1, 4)):
        spots = [(tree, key) for key in tree]
        for part, key in spots:
            value = part[key]
            inner = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
            spots.extend((value, k) for k in inner)
        if not spots:
            break
        part, key = rng.choice(spots)
        match rng.randrange(5):
            case 0:
                del part[key]
            case 1:
                other, at = rng.choice(spots)
                there = at in other if isinstance(other, dict) else at < len(other)
                part[key] = copy.deepcopy(other[at]) if there else None
            case 2 if isinstance(part, dict):
                part[rng.choice(NAMES)] = part.pop(key)
            case _:
                part[key] = copy.deepcopy(rng.choice(SCALARS))
    return tree


def judge(number: int, folder: Path) -> Verdict:
    """Check the file as the command line does."""
    data, form = mangled(number)
    path = folder / f"mangled.{form}"
    path.write_bytes(data)
    out, said = io.StringIO(), io.StringIO()
    begin = time.perf_counter()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = meio(["check", str(path), "--json"])
    except BaseException as error:  # nothing may escape, not even SystemExit
        return Verdict("escaped", time.perf_counter() - begin, f"{type(error).__name__}: {error}")
    took = time.perf_counter() - begin
    message = said.getvalue()
    try:
        told = json.loads(out.getvalue())
    except ValueError:
        return Verdict("no JSON", took, out.getvalue()[:200])
    if code not in (0, 1) or (code == 1) != ("error" in told):
        return Verdict("exit code", took, f"{code}: {message[:200]}")
    if "Traceback" in message or message.count("\n") > 1 or (code == 1 and not message.startswith("meio: ")):
        return Verdict("not one line", took, message[:400])
    if took > SLOW:
        return Verdict("slow", took, f"{took:.2f} s: {message[:200]}")
    return Verdict(told["error"] if code else "accepted", took)


def many(task: tuple[int, int]) -> tuple[Counter[str], list[tuple[int, Verdict]], float]:
    """Judge ``count`` files from ``first`` on: outcomes, faults, the longest time."""
    first, count = task
    outcomes: Counter[str] = Counter()
    faults, longest = [], 0.0
    with tempfile.TemporaryDirectory() as name:
        for number in range(first, first + count):
            verdict = judge(number, Path(name))
            outcomes[verdict.outcome] += 1
            longest = max(longest, verdict.seconds)
            if verdict.wrong:
                faults.append((number, verdict))
    return outcomes, faults, longest


def _warm() -> None:
    """What the first file of a process pays and no other: imports, compilation of what reading compiles once."""
    for path in EXAMPLES.glob("*.yaml"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            meio(["check", str(path), "--json"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print the files instead")
    args = parser.parse_args()
    if args.show:
        for number in range(args.first, args.first + args.files):
            print(mangled(number)[0].decode(errors="backslashreplace"))
        return 0
    begin = time.perf_counter()
    part = 250
    last = args.first + args.files
    tasks = [(k, min(part, last - k)) for k in range(args.first, last, part)]
    outcomes: Counter[str] = Counter()
    faults: list[tuple[int, Verdict]] = []
    longest = 0.0
    with multiprocessing.get_context("spawn").Pool(args.jobs, initializer=_warm) as pool:
        for found, wrong, slowest in pool.imap_unordered(many, tasks):
            outcomes += found
            faults += wrong
            longest = max(longest, slowest)
    for outcome, count in outcomes.most_common():
        print(f"{outcome:24}{count:>9,}")
    print(f"{outcomes.total():,} files in {time.perf_counter() - begin:.0f} s, the longest {longest:.2f} s")
    for number, verdict in sorted(faults)[:20]:
        print(f"file {number}: {verdict.outcome}: {verdict.wrong}")
    print(f"{len(faults)} of them went wrong" if faults else "each was accepted or refused in one named error")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
