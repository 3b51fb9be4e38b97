"""Checkpoints that are either restored bit for bit or refused.

A checkpoint is a folder `step-<step>`: the arrays as Orbax writes them, and `manifest.json`, which knows the structure
of the tree, a SHA-256 of every leaf (path, dtype, shape, bytes) and of every file, and one of itself. It is written
under a temporary name and renamed when it is whole, so what a kill or a full disk leaves behind is never taken for a
checkpoint. Saves are synchronous: when `save` returns, the checkpoint is on the disk.

All that a resumed run needs must be in the tree: parameters, optimizer state, simulator state, normaliser, key.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import fcntl
import functools
import hashlib
import importlib
import json
import logging
import operator
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.errors import CheckpointError, CheckpointMismatchError, CheckpointStepError, CheckpointWarning

__all__ = ["Checkpoints", "Restored"]

FORMAT = "meio_jax.checkpoint/1"
MANIFEST = "manifest.json"
ARRAYS = "arrays"

_STEP = re.compile(r"step-(\d{10,})", re.ASCII)
_TEMPORARY = ".tmp-"


@dataclasses.dataclass(frozen=True)
class Restored:
    """What `Checkpoints.restore` found; unpacks as `step, tree`."""

    step: int
    tree: Any
    note: Mapping[str, Any]
    damaged: Mapping[int, str]
    """Newer checkpoints that were passed over, with what is wrong with each."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.step, self.tree))


class Checkpoints:
    """The checkpoints of one run in one folder, of which the newest `keep` are kept.

    One process at a time may save; any number may restore.

    Args:
        folder: made on the first save.
        keep: at least 1; 2 or more leave one to fall back on.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        if keep < 1:
            raise CheckpointError(f"keep={keep}: at least one checkpoint must be kept")
        self.folder = Path(folder)
        self.keep = keep
        self._damaged: set[int] = set()

    def steps(self) -> list[int]:
        """The steps at which whole checkpoints were written and are still there, ascending; not checked for damage."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(match[1]) for name in names if (match := _STEP.fullmatch(name)))

    def save(self, step: int, tree: Any, note: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint; on return it is on the disk.

        A checkpoint that an earlier `restore` of this object passed over as damaged does not count as the latest; it is
        set aside as `damaged-<step>`.

        Args:
            step: above that of every checkpoint that is there.
            tree: any pytree whose leaves are arrays (NumPy, JAX, typed keys) or NumPy scalars.
            note: JSON values to keep beside the arrays, given back by `restore`.

        Raises:
            CheckpointStepError: the step is at or below the latest one, or is no whole number >= 0.
            CheckpointError: a leaf is no array, the note is no JSON, or the folder cannot be written (full disk, no
                permission, another process is saving). The checkpoints that were there stay.
        """
        step = _as_step(step)
        entries, arrays = _read_tree(tree)
        note = _as_note(note)
        target = self._path(step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._only_writer():
                latest = max((s for s in self.steps() if s not in self._damaged), default=None)
                if latest is not None and step <= latest:
                    raise CheckpointStepError(
                        f"{self.folder}: step {step} is not above the latest checkpoint, that of step {latest}; "
                        "resume from it or choose another folder"
                    )
                self._sweep()
                temporary = self.folder / f"{_TEMPORARY}{target.name}-{secrets.token_hex(4)}"
                try:
                    _write(temporary, step, entries, arrays, note)
                    self._set_damaged_aside()
                    temporary.rename(target)
                    _sync(self.folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
                self._prune()
        except (CheckpointError, MemoryError):
            raise
        except Exception as error:
            there = ", ".join(map(str, self.steps())) or "none"
            full = _is(error, errno.ENOSPC) or _is(error, errno.EDQUOT)
            why = "the disk is full" if full else _first_line(error)
            raise CheckpointError(
                f"{self.folder}: checkpoint of step {step} not written: {why}; steps still there: {there}"
            ) from error

    def restore(self, like: Any) -> Restored:
        """The newest checkpoint that is intact, as `step, tree`.

        Leaves are given back in memory of their own, as what they are in `like`: NumPy arrays and scalars as such, JAX
        arrays, typed keys and `jax.ShapeDtypeStruct` as JAX arrays (strongly typed). Nothing in the folder is changed.

        Args:
            like: a tree of the structure, shapes, dtypes and static fields of the one that was saved, such as a fresh
                state or `jax.eval_shape` of what makes one. Its numbers are not read.

        Returns:
            `Restored`. If newer checkpoints are damaged, `damaged` says which and how, and a `CheckpointWarning` is
            given.

        Raises:
            CheckpointMismatchError: the checkpoint is of another tree than `like`; the message names the first leaf or
                node that differs.
            CheckpointError: there is no checkpoint, or none is intact; the message lists what was found.
        """
        wanted, _ = _read_tree(like, template=True)
        _orbax()  # an installation at fault is not a checkpoint at fault
        damaged: dict[int, str] = {}
        for step in reversed(self.steps()):
            folder = self._path(step)
            try:
                manifest = _read_manifest(folder, step)
                _compare(folder, manifest["tree"], wanted)
                _check_files(folder, manifest["files"])
                arrays = _load(folder, manifest["tree"])
            except _DamageError as damage:
                damaged[step] = str(damage)
                continue
            leaves = jax.tree.leaves(like)
            saved = [entry for entry in manifest["tree"] if "sha256" in entry]
            new = [_like(leaf, array, entry) for leaf, array, entry in zip(leaves, arrays, saved, strict=True)]
            if damaged:
                self._damaged.update(damaged)
                passed = "; ".join(f"step {s}: {why}" for s, why in damaged.items())
                warnings.warn(
                    f"{self.folder}: damaged: {passed}. Restored step {step} instead", CheckpointWarning, stacklevel=2
                )
            return Restored(step, jax.tree.unflatten(jax.tree.structure(like), new), manifest["note"], damaged)
        if damaged:
            found = "; ".join(f"step {s}: {why}" for s, why in damaged.items())
            raise CheckpointError(f"{self.folder}: no checkpoint is intact: {found}")
        raise CheckpointError(f"{self.folder}: there is no checkpoint; found: {_listing(self.folder)}")

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:010d}"

    @contextlib.contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Holds the folder against a second saving process; a kill lets go of it."""
        with open(self.folder / ".lock", "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CheckpointError(f"{self.folder}: another process is saving checkpoints here") from error
            yield

    def _sweep(self) -> None:
        """Removes what killed saves left behind."""
        for left in self.folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _set_damaged_aside(self) -> None:
        for step in sorted(self._damaged):
            aside = self.folder / f"damaged-{step:010d}"
            shutil.rmtree(aside, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                self._path(step).rename(aside)
        self._damaged.clear()

    def _prune(self) -> None:
        """Removes all but the newest; renamed first, so that a kill halfway leaves no half checkpoint."""
        for step in self.steps()[: -self.keep]:
            # One that cannot be removed takes room and harms nothing; the new one is safe already.
            with contextlib.suppress(OSError):
                trash = self.folder / f"{_TEMPORARY}old-{step}-{secrets.token_hex(4)}"
                self._path(step).rename(trash)
                shutil.rmtree(trash, ignore_errors=True)


class _DamageError(Exception):
    """What is wrong with one checkpoint."""


class _Leaf(NamedTuple):
    dtype: str  # "float32", "key<fry>"
    shape: tuple[int, ...]
    array: np.ndarray | None  # a key's data; None for a template
    key: str | None  # name of the key's implementation


# Trees


def _read_tree(tree: Any, template: bool = False) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Every node and leaf in order, and the leaves as NumPy arrays of their own.

    An entry is `{"path", "what"}`; that of a leaf has also `dtype`, `shape`, `key` and (unless of a template) `sha256`.
    """
    entries: list[dict[str, Any]] = []
    arrays: list[np.ndarray] = []

    def walk(path: str, x: Any) -> None:
        treedef: Any
        children, treedef = jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)
        node = treedef.node_data()
        if node is not None:
            entries.append({"path": path, "what": _what(*node)})
            for key, child in children:
                walk(path + jax.tree_util.keystr(key), child)
            return
        leaf = _read_leaf(path, x, template)
        entry: dict[str, Any] = {"path": path, "what": f"{leaf.dtype}{list(leaf.shape)}"}
        if leaf.array is not None:
            entry |= {"dtype": leaf.dtype, "shape": list(leaf.shape), "key": leaf.key}
            arrays.append(leaf.array)
            entry["sha256"] = _digest(entry, leaf.array)
        entries.append(entry)

    walk("", tree)
    return entries, arrays


def _read_leaf(path: str, x: Any, template: bool) -> _Leaf:
    where = f"leaf {path or '(the whole tree)'}"
    known = isinstance(x, (np.ndarray, np.generic, jax.Array)) or (template and isinstance(x, jax.ShapeDtypeStruct))
    if not known or isinstance(x, jax.core.Tracer):
        raise CheckpointError(f"{where} is a {type(x).__name__}, not an array; make it one (jnp.asarray) or static")
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    if not is_key:
        x_dtype = np.dtype(x.dtype)
        if not (jnp.issubdtype(x_dtype, np.number) or x_dtype == np.bool_) or not x_dtype.isnative:
            raise CheckpointError(f"{where} has dtype {x_dtype}, which is no native number, truth value or key")
    shape = tuple(int(n) for n in x.shape)
    if template:
        return _Leaf(str(x.dtype), shape, None, None)
    try:
        data = np.array(jax.random.key_data(x) if is_key else x, order="C", copy=True)
    except RuntimeError as error:  # donated, deleted, or spread over other hosts
        raise CheckpointError(f"{where} cannot be read: {_first_line(error)}") from error
    return _Leaf(str(x.dtype), shape, data, str(jax.random.key_impl(x)) if is_key else None)


def _digest(entry: Mapping[str, Any], array: np.ndarray) -> str:
    about = [entry["path"], entry["dtype"], entry["shape"], entry["key"], str(array.dtype), list(array.shape)]
    digest = hashlib.sha256(json.dumps(about).encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


def _what(kind: type, aux: Any) -> str:
    """A node's type and its static fields, the same in every process."""
    if kind in (type(None), dict) or aux is None:
        return kind.__qualname__  # a dict's keys are in the paths of its children
    text = _static(aux)
    return f"{kind.__qualname__}{text if len(text) <= 200 else ' ' + hashlib.sha256(text.encode()).hexdigest()}"


def _static(value: Any) -> str:
    """Text of a static value; what has no text that is the same in every process goes by its type."""
    match value:
        case enum.Enum():
            return f"{type(value).__qualname__}.{value.name}"
        case np.ndarray() | np.generic():
            value = np.asarray(value)
            return f"{value.dtype}{list(value.shape)}:{hashlib.sha256(value.tobytes()).hexdigest()}"
        case None | bool() | int() | float() | complex() | str() | bytes():
            return repr(value)
        case tuple() | list():
            return f"({', '.join(map(_static, value))})"
        case dict():
            return f"{{{', '.join(f'{_static(k)}: {_static(v)}' for k, v in value.items())}}}"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_static, value)))}}}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (f"{field.name}={_static(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{type(value).__qualname__}({', '.join(parts)})"
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _compare(folder: Path, saved: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Raises `CheckpointMismatchError` at the first node or leaf where two trees differ."""
    there, here = [e["path"] for e in saved], [e["path"] for e in wanted]
    for old, new in zip(saved, wanted, strict=False):
        path = old["path"] or "(the whole tree)"
        if old["path"] == new["path"] and old["what"] != new["what"]:
            raise CheckpointMismatchError(f"{folder}: {path}: saved as {old['what']}, wanted as {new['what']}")
        if old["path"] != new["path"]:
            if old["path"] not in here:
                raise CheckpointMismatchError(f"{folder}: {path}: saved as {old['what']}, not wanted at all")
            missing = new["path"] if new["path"] not in there else path
            raise CheckpointMismatchError(f"{folder}: {missing}: wanted as {new['what']}, not saved")
    if len(there) != len(here):
        longer, verb = (saved, "saved") if len(there) > len(here) else (wanted, "wanted")
        extra = longer[min(len(there), len(here))]
        raise CheckpointMismatchError(f"{folder}: {extra['path']}: only {verb}, as {extra['what']}")


def _like(leaf: Any, array: np.ndarray, entry: Mapping[str, Any]) -> Any:
    """The array in memory of its own, as what it is in the template."""
    if isinstance(leaf, np.generic):
        return array[()]
    if isinstance(leaf, np.ndarray):
        return array
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        raise CheckpointMismatchError(f"leaf {entry['path']} is {array.dtype}, which needs jax_enable_x64")
    new = jnp.array(array, copy=True)
    if entry["key"] is not None:
        new = jax.random.wrap_key_data(new, impl=entry["key"])
    sharding = getattr(leaf, "sharding", None)
    spread = sharding is not None and len(sharding.device_set) > 1
    return jax.device_put(new, sharding) if spread else new


# Files


def _write(folder: Path, step: int, entries: list[dict[str, Any]], arrays: list[np.ndarray], note: Any) -> None:
    folder.mkdir()
    # Orbax knows no empty array and no empty tree; the manifest says all there is to say about those.
    full = {f"{k:06d}": array for k, array in enumerate(arrays) if array.size}
    if full:
        with _quiet_orbax() as orbax:
            orbax.save((folder / ARRAYS).absolute(), full)
    files = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            files[path.relative_to(folder).as_posix()] = _hash_file(path)
            _sync(path)
    manifest = {"format": FORMAT, "step": step, "note": note, "tree": entries, "files": dict(sorted(files.items()))}
    with open(folder / MANIFEST, "xb") as file:
        file.write(_seal(manifest))
        file.flush()
        os.fsync(file.fileno())
    for root, _, _ in os.walk(folder):
        _sync(Path(root))


def _seal(manifest: Mapping[str, Any]) -> bytes:
    """The manifest's only right bytes: its SHA-256 in the first line, JSON below."""
    text = json.dumps(manifest, indent=1, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"sha256": "{digest}", "manifest":\n{text}\n}}\n'.encode()


def _read_manifest(folder: Path, step: int) -> dict[str, Any]:
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise _DamageError(f"{MANIFEST}: {error.strerror}") from error
    try:
        manifest = json.loads(data)["manifest"]
        whole = _seal(manifest) == data
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _DamageError(f"{MANIFEST}: not whole") from error
    if not whole:
        raise _DamageError(f"{MANIFEST}: its bytes are not the ones that were written")
    if manifest["format"] != FORMAT:
        raise _DamageError(f"{MANIFEST}: format {manifest['format']}, this version reads {FORMAT}")
    if manifest["step"] != step:
        raise _DamageError(f"{MANIFEST}: is that of step {manifest['step']}")
    return dict(manifest)


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Before Orbax parses them: no parser is to be trusted with damaged bytes."""
    for name, digest in files.items():
        try:
            same = _hash_file(folder / name) == digest
        except OSError as error:
            raise _DamageError(f"{name}: {error.strerror}") from error
        if not same:
            raise _DamageError(f"{name}: its bytes are not the ones that were written")


def _load(folder: Path, tree: list[dict[str, Any]]) -> list[np.ndarray]:
    """The leaves as NumPy arrays of their own, each with the hash it was saved with."""
    saved = [entry for entry in tree if "sha256" in entry]
    arrays = [np.zeros(*_stored(entry)) for entry in saved]
    like = {f"{k:06d}": array for k, array in enumerate(arrays) if array.size}
    if like:
        try:
            with _quiet_orbax() as orbax:
                loaded = orbax.load((folder / ARRAYS).absolute(), like)
            for name in like:
                arrays[int(name)] = np.array(loaded[name], order="C", copy=True)
        except MemoryError:
            raise
        except Exception as error:
            raise _DamageError(f"Orbax cannot read the arrays: {_first_line(error)}") from error
    for entry, array in zip(saved, arrays, strict=True):
        if _digest(entry, array) != entry["sha256"]:
            raise _DamageError(f"leaf {entry['path']}: not the numbers that were saved")
    return arrays


def _stored(entry: Mapping[str, Any]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the array that stands for a leaf."""
    shape = tuple(entry["shape"])
    if entry["key"] is None:
        return shape, jnp.dtype(entry["dtype"])
    data = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0, impl=entry["key"])))
    return shape + data.shape, np.dtype(data.dtype)


@functools.cache
def _orbax() -> Any:
    """`orbax.checkpoint.v1`, or its older name. Takes seconds, hence not at import."""
    try:
        return importlib.import_module("orbax.checkpoint.v1")
    except ModuleNotFoundError:
        return importlib.import_module("orbax.checkpoint.experimental.v1")


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[Any]:
    """Orbax with the options of nobody else, and without its log: what goes wrong is raised, and said once."""
    orbax = _orbax()
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with orbax.Context():
            yield orbax
    finally:
        log.setLevel(level)


def _hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """To the disk: a file's bytes, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# Words


def _as_step(step: Any) -> int:
    try:
        number = operator.index(step) if not isinstance(step, (bool, np.bool_)) else -1
    except TypeError:
        number = -1
    if number < 0:
        raise CheckpointStepError(f"step {step!r}: not a whole number >= 0")
    return number


def _as_note(note: Mapping[str, Any] | None) -> Any:
    try:
        plain = json.loads(json.dumps(dict(note or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the note is not JSON: {_first_line(error)}") from error
    return plain


def _is(error: BaseException | None, code: int) -> bool:
    """Whether an operating system's error is at the root of this one, whoever passed it on."""
    while error is not None:
        if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0][:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _listing(folder: Path) -> str:
    if not folder.exists():
        return "no such folder"
    if not folder.is_dir():
        return "not a folder"
    return ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
