"""A tree of plain values as text that reads back as exactly that tree, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml

from meio_jax.errors import FileError, UnsupportedFileError
from meio_jax.files.syntax import resolve

__all__ = ["render", "write_text"]


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `meio_jax.files.syntax.resolve` would not read as that text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    if "\n" in value.strip("\n") and not any(line != line.rstrip() for line in value.split("\n")):
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|")
    style = None if value == resolve(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def render(tree: dict[str, Any], form: str) -> str:
    """The text of a tree as ``"yaml"`` or ``"json"``."""
    if form == "json":
        return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if form == "yaml":
        return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    raise UnsupportedFileError(f"format {form!r} is not one of yaml, json")


def write_text(path: Path, text: str) -> None:
    """Write a file so that at every instant the old or the new one is there as a whole.

    Raises:
      FileError: it cannot be written; nothing is left behind.
    """
    name = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
        name = None
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise FileError(f"{path}: cannot be written: {reason}; check the folder and its permissions") from e
    finally:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)
