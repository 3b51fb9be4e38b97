"""A folder a run, readable by anything: `manifest.json`, `metrics.csv`, `.npz` files, checkpoints beside them.

Whatever stands under its own name is whole: JSON and `.npz` are written under a temporary name and renamed, and a row
of `metrics.csv` that a kill cut short is neither read nor continued.

The manifest says what made the numbers (configuration, seed, versions, machine, commit, command) and holds no path and
no name of a machine or user but what the user gave.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import enum
import io
import json
import math
import os
import platform
import secrets
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.errors import NonFiniteError, RunError, RunExistsError, RunMismatchError

__all__ = ["Run", "differences", "environment", "plain", "read_json", "read_npz", "write_json", "write_npz"]

FORMAT = "meio_jax.run/1"
MANIFEST = "manifest.json"
METRICS = "metrics.csv"
STATUSES = ("running", "done", "failed")

PACKAGES = (
    "meio-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "chex",
    "distrax",
    "orbax-checkpoint",
    "numpy",
    "scipy",
)

NonFinite = Literal["refuse", "null"]


class Run:
    """One run and its folder. As a context manager it ends `done`, or `failed` if an exception passes through.

    Make one with `Run.create`, `Run.open` (to read) or `Run.resume` (to go on).
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._columns, self._last = _head_and_tail(folder / METRICS)

    @classmethod
    def create(
        cls, folder: str | os.PathLike[str], config: Any, *, seed: int, command: Sequence[str] | None = None
    ) -> Self:
        """Start a run in a folder that holds none.

        Args:
            folder: made with its parents if it is not there.
            config: a dict or a dataclass of plain values; see `plain`.
            seed: what the run's key was made from.
            command: the command line; default that of this process, its program without folders.

        Raises:
            RunExistsError: the folder holds a run.
            RunError: the folder cannot be written, or the configuration holds what JSON cannot.
            NonFiniteError: a NaN or an infinity in the configuration.
        """
        folder = Path(folder)
        if (folder / MANIFEST).exists():
            raise RunExistsError(f"{folder}: holds a run already; resume it or choose another folder")
        if (folder / METRICS).exists():
            raise RunExistsError(f"{folder}: holds a {METRICS} without a {MANIFEST}; choose another folder")
        given = plain(config, "config")
        if not isinstance(given, dict):
            raise RunError(f"a configuration is a dict or a dataclass, not a {type(config).__name__}")
        number = plain(seed, "seed")
        if not isinstance(number, int):
            raise RunError(f"seed {seed!r} is not a whole number")
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "status": "running",
            "seed": number,
            "config": given,
            "command": list(_command() if command is None else command),
            "started": _now(),
            "finished": None,
            "reason": None,
            "resumed": [],
            **environment(),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder}: {error.strerror}") from error
        write_json(folder / MANIFEST, manifest)
        return cls(folder, manifest)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], config: Any = None, *, seed: int | None = None) -> Self:
        """A run to read; nothing is changed.

        Args:
            folder: of the run.
            config: if given, the run must be of this configuration.
            seed: if given, the run must be of this seed.

        Raises:
            RunMismatchError: the run is of another configuration or seed; the message names the fields.
            RunError: there is no run, or its manifest is damaged.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.exists():
            raise RunError(f"{folder}: no run here ({MANIFEST} is missing)")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise RunError(f"{path}: not the manifest of a run ({FORMAT})")
        for key, kind in (("config", dict), ("status", str), ("resumed", list), ("seed", int)):
            if not isinstance(manifest.get(key), kind):
                raise RunError(f"{path}: {key} is missing or of a wrong type")
        there: dict[str, Any] = {}
        here: dict[str, Any] = {}
        if config is not None:
            there, here = dict(manifest["config"]), plain(config, "config")
        if seed is not None:
            there["seed (of the run)"], here["seed (of the run)"] = manifest["seed"], plain(seed)
        if wrong := differences(there, here):
            shown = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
            raise RunMismatchError(f"{folder}: holds a run of another configuration: {shown}")
        return cls(folder, manifest)

    @classmethod
    def resume(
        cls, folder: str | os.PathLike[str], config: Any = None, *, seed: int | None = None, step: int = 0
    ) -> Self:
        """Go on with a run from a step, normally that of the checkpoint that was restored.

        Rows of `metrics.csv` beyond the step are dropped (they will come again), in one atomic replacement.

        Raises:
            RunMismatchError: the run is of another configuration or seed; the message names the fields.
            RunError: there is no run, or its manifest or metrics are damaged, or the folder cannot be written.
        """
        run = cls.open(folder, config, seed=seed)
        for left in run.folder.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                left.unlink()
        run._truncate(step)
        now = environment()
        changed = differences({key: run.manifest.get(key) for key in now}, now)
        resumed = [*run.manifest["resumed"], {"step": int(step), "time": _now(), "changed": changed}]
        run._update(status="running", finished=None, reason=None, resumed=resumed)
        return run

    @property
    def status(self) -> str:
        """`running`, `done` or `failed`. A run that was killed says `running`."""
        return str(self.manifest["status"])

    @property
    def checkpoints(self) -> Path:
        """Where the run's checkpoints belong."""
        return self.folder / "checkpoints"

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Append one row to `metrics.csv`. The first row decides the columns; NaN and infinities are kept as such.

        Args:
            step: above that of the row before.
            row: a number for every column: Python, NumPy or JAX scalars. None is an empty field.

        Raises:
            RunError: other columns than before, a value that is no single number, a step that does not rise, or the
                file cannot be written (the rows before stay whole).
        """
        path = self.folder / METRICS
        names = ("step", *row)
        number = _number(path, "step", step)
        if not isinstance(number, int) or isinstance(number, bool):
            raise RunError(f"{path}: step {step!r} is not a whole number")
        if self._last is not None and number <= self._last:
            raise RunError(f"{path}: step {number} is not above {self._last}, that of the last row")
        if "step" in row or not all(isinstance(name, str) and name for name in row):
            raise RunError(f"{path}: columns need names, and step is given on its own")
        if self._columns is not None and set(names) != set(self._columns):
            odd = ", ".join(sorted(set(names) ^ set(self._columns)))
            raise RunError(f"{path}: the columns differ from those of the first row in: {odd}")
        columns = self._columns or names
        values = {"step": number, **{name: _number(path, name, value) for name, value in row.items()}}
        lines = [] if self._columns else [columns]
        _append(path, _csv([*lines, [_shown(values[name]) for name in columns]]))
        self._columns, self._last = columns, number

    def metrics(self) -> dict[str, np.ndarray]:
        """`metrics.csv` by column: `step` as int64, the rest as float64, NaN where a field is empty.

        Raises:
            RunError: the file is damaged.
        """
        columns, rows = _read_metrics(self.folder / METRICS)
        table = {name: [row[k] for row in rows] for k, name in enumerate(columns)}
        return {
            name: np.array(values, dtype=np.int64 if name == "step" else np.float64) for name, values in table.items()
        }

    def save_json(self, name: str, value: Any, *, nonfinite: NonFinite = "refuse") -> Path:
        """`write_json` to `name`.json in the run's folder."""
        path = self._file(name, ".json")
        write_json(path, value, nonfinite=nonfinite)
        return path

    def save_npz(self, name: str, **arrays: Any) -> Path:
        """`write_npz` to `name`.npz in the run's folder."""
        path = self._file(name, ".npz")
        write_npz(path, **arrays)
        return path

    def load_json(self, name: str) -> Any:
        """`read_json` of `name`.json."""
        return read_json(self._file(name, ".json"))

    def load_npz(self, name: str) -> dict[str, np.ndarray]:
        """`read_npz` of `name`.npz."""
        return read_npz(self._file(name, ".npz"))

    def finish(self) -> None:
        """Mark the run as done."""
        self._update(status="done", finished=_now(), reason=None)

    def fail(self, reason: str) -> None:
        """Mark the run as failed, with one line that says why."""
        self._update(status="failed", finished=_now(), reason=reason.strip().partition("\n")[0][:500])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if self.status == "running":
                self.finish()
            return
        # What went wrong matters more than that it could not be written down.
        with contextlib.suppress(RunError):
            self.fail(f"{type(error).__name__}: {error}")

    def _update(self, **fields: Any) -> None:
        manifest = {**self.manifest, **fields}
        write_json(self.folder / MANIFEST, manifest)
        self.manifest = manifest

    def _file(self, name: str, suffix: str) -> Path:
        name = name.removesuffix(suffix)
        if not name or name.startswith(".") or "/" in name or os.sep in name or name + suffix == MANIFEST:
            raise RunError(f"{name!r}: not a name for a file of a run")
        return self.folder / (name + suffix)

    def _truncate(self, step: int) -> None:
        path = self.folder / METRICS
        if not path.exists():
            return
        columns, rows = _read_metrics(path)
        kept = [row for row in rows if row[0] <= step]
        _replace(path, _csv([columns, *([_shown(v) for v in row] for row in kept)]) if columns else b"")
        self._columns, self._last = _head_and_tail(path)


def plain(value: Any, where: str = "value", *, nonfinite: NonFinite = "refuse") -> Any:
    """The value in dicts, lists, strings, numbers, truth values and None, all of Python's own.

    NumPy and JAX scalars become numbers, arrays nested lists, dataclasses and named tuples dicts, enumerations their
    names, paths the text that was given.

    Args:
        value: what to convert.
        where: its name in messages.
        nonfinite: what to do with NaN and infinities, which JSON cannot hold.

    Raises:
        NonFiniteError: a NaN or an infinity, unless `nonfinite="null"`.
        RunError: something without a plain form, such as a function; the message says where.
    """

    def inner(part: Any, name: object) -> Any:
        return plain(part, f"{where}.{name}", nonfinite=nonfinite)

    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        if nonfinite == "null":
            return None
        raise NonFiniteError(f"{where} is {float(value)}, which JSON cannot hold")
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return plain(_own(value, where).tolist(), where, nonfinite=nonfinite)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise RunError(f"{where}: the key {odd[0]!r} is not text")
        return {key: inner(part, key) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [inner(part, k) for k, part in enumerate(value)]
    raise RunError(f"{where} is a {type(value).__name__}, which has no plain form")


def differences(there: Any, here: Any, where: str = "") -> list[str]:
    """In which fields two plain values differ, one line each: `learner.rate: 0.001 there, 0.003 here`."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [*there, *(key for key in here if key not in there)]
        absent = object()
        lines = []
        for key in keys:
            name, old, new = f"{where}.{key}" if where else key, there.get(key, absent), here.get(key, absent)
            if old is absent:
                lines.append(f"{name}: only here ({_brief(new)})")
            elif new is absent:
                lines.append(f"{name}: only there ({_brief(old)})")
            else:
                lines += differences(old, new, name)
        return lines
    same = type(there) is type(here) and there == here
    number = isinstance(there, (int, float)) and isinstance(here, (int, float))
    if number and not isinstance(there, bool) and not isinstance(here, bool):
        same = there == here  # JSON made in another language may write 1.0 as 1
    return [] if same else [f"{where or 'value'}: {_brief(there)} there, {_brief(here)} here"]


def environment() -> dict[str, Any]:
    """What the numbers of a run depend on besides its configuration: versions, machine, device, commit."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    devices = jax.devices()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "versions": versions,
        "python": platform.python_version(),
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
            "cpus_usable": usable,
        },
        "device": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
            "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        },
        "git": _git(),
    }


def write_json(path: str | os.PathLike[str], value: Any, *, nonfinite: NonFinite = "refuse") -> None:
    """Write a value as JSON, atomically; see `plain` for what it may hold.

    Raises:
        NonFiniteError: a NaN or an infinity, unless `nonfinite="null"` turns them into null.
        RunError: a value without a plain form, or the file cannot be written (the one that was there stays).
    """
    text = json.dumps(plain(value, Path(path).name, nonfinite=nonfinite), indent=2, allow_nan=False, ensure_ascii=False)
    try:
        data = f"{text}\n".encode()
    except UnicodeEncodeError as error:
        raise RunError(f"{path}: holds text that is no Unicode: {error.reason}") from error
    _replace(Path(path), data)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file, strictly: no NaN, no repeated key.

    Raises:
        RunError: the file is missing, damaged or no JSON.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    try:
        return json.loads(Path(path).read_bytes(), object_pairs_hook=once, parse_constant=refuse)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged or not JSON: {error}") from error


def write_npz(path: str | os.PathLike[str], **arrays: Any) -> None:
    """Write arrays as a compressed `.npz`, atomically.

    Raises:
        RunError: a value that is no array of numbers, truth values or text, or the file cannot be written.
    """
    buffer = io.BytesIO()
    own = {name: _own(value, f"{Path(path).name}: {name}") for name, value in arrays.items()}
    np.savez_compressed(buffer, **own)  # type: ignore[arg-type]
    _replace(Path(path), buffer.getvalue())


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, read at once.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, AttributeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise RunError(f"{path}: damaged or not an .npz file: {error}") from error
    except Exception as error:  # zlib.error and what else a decompressor may think of
        raise RunError(f"{path}: damaged: {error}") from error


# Metrics


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _shown(value: float | None) -> str:
    return "" if value is None else repr(value)


def _number(path: Path, name: str, value: Any) -> int | float | None:
    """A Python number, with the value it had."""
    if value is None:
        return None
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        array = _own(value, f"{path}: {name}")
        if array.size != 1:
            raise RunError(f"{path}: {name} has shape {array.shape}, not a single number")
        value = array.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    raise RunError(f"{path}: {name} is a {type(value).__name__}, not a number")


def _read_metrics(path: Path) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Columns and rows; a last line without its end was cut short by a kill and is left out."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return (), []
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error
    whole = data[: data.rfind(b"\n") + 1]
    try:
        lines = list(csv.reader(io.StringIO(whole.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path}: damaged: {error}") from error
    if not lines:
        return (), []
    columns = tuple(lines[0])
    if columns[:1] != ("step",) or len(set(columns)) < len(columns):
        raise RunError(f"{path}: line 1: not a header that begins with step")
    rows: list[list[Any]] = []
    for k, fields in enumerate(lines[1:], start=2):
        if len(fields) != len(columns):
            raise RunError(f"{path}: line {k}: {len(fields)} fields where the header has {len(columns)}")
        try:
            row = [int(fields[0]), *(_parsed(field) for field in fields[1:])]
        except ValueError as error:
            raise RunError(f"{path}: line {k}: {error}") from error
        if rows and row[0] <= rows[-1][0]:
            raise RunError(f"{path}: line {k}: step {row[0]} after step {rows[-1][0]}")
        rows.append(row)
    return columns, rows


def _parsed(field: str) -> int | float | None:
    if not field:
        return None
    try:
        return int(field)
    except ValueError:
        return float(field)


def _head_and_tail(path: Path) -> tuple[tuple[str, ...] | None, int | None]:
    """The columns and the last step of a file of metrics."""
    columns, rows = _read_metrics(path)
    return columns or None, rows[-1][0] if rows else None


# Files


def _append(path: Path, data: bytes) -> None:
    """All of the data at the end of the file, or nothing. A line that a kill cut short goes first."""
    size = None
    try:
        with open(path, "ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                size = _end_of_last_line(file, size)
                file.truncate(size)
            try:
                if file.write(data) != len(data):
                    raise OSError(None, "the disk is full")
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise RunError(f"{path}: row not written: {error.strerror}") from error


def _end_of_last_line(file: io.RawIOBase | Any, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - 4096)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _replace(path: Path, data: bytes) -> None:
    """The file as a whole, or the one that was there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise RunError(f"{path}: not written: {error.strerror}") from error


def _own(value: Any, where: str) -> np.ndarray:
    """A NumPy array of its own of numbers, truth values or text."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        raise RunError(f"{where} is a random key; store its seed, or its key_data as an array")
    try:
        array = np.array(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{where} is no array: {error}") from error
    if array.dtype.kind == "V" and jnp.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32)  # bfloat16 and the like, which only JAX can read back
    if array.dtype.kind not in "biufcUS":
        raise RunError(f"{where} is of type {array.dtype}, not of numbers")
    return array


# The machine


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _command() -> list[str]:
    """The program without the folder it lies in, and the arguments as the user gave them."""
    program = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path("python")
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return [name, *sys.argv[1:]]


def _processor() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _git() -> dict[str, Any] | None:
    """Commit of the checkout that the process runs in, and whether it holds changes; None outside of one."""

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "--no-optional-locks", *words], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    if ask("rev-parse", "--is-inside-work-tree") != "true":
        return None
    changes = ask("status", "--porcelain")
    return {"commit": ask("rev-parse", "--verify", "HEAD"), "dirty": None if changes is None else bool(changes)}


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
