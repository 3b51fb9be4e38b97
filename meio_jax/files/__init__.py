"""Network files: YAML and JSON of one documented schema, read with named errors and written so that they round-trip.

What is read becomes a `System`. Every fault of a file is one `InputError` whose message says the file, the line (where
one is known), the path of the value, what is wrong and what to do.
"""

from __future__ import annotations

import os
from pathlib import Path

from meio_jax.errors import UnsupportedFileError
from meio_jax.files.convert import system_of
from meio_jax.files.describe import tree_of
from meio_jax.files.schema import VERSION, json_schema
from meio_jax.files.syntax import FORMATS, parse_tree, read_text
from meio_jax.files.validate import Source, validate
from meio_jax.files.write import render, write_text
from meio_jax.system import System

__all__ = ["FORMATS", "VERSION", "dump_system", "dumps_system", "json_schema", "load_system", "parse_system"]


def load_system(path: str | os.PathLike[str]) -> System:
    """Read a ``.yaml``, ``.yml`` or ``.json`` file of at most 10 MB.

    Raises:
      FileError: it cannot be read, or what it holds is not what the schema asks for; subclasses name each fault.
      InputError: what `build_network` and the processes refuse, with file, line and path put before it.
    """
    path = Path(path)
    text, form = read_text(path)
    return parse_system(text, form, name=str(path))


def parse_system(text: str, form: str = "yaml", *, name: str = "text") -> System:
    """The system that a text describes.

    Args:
      form: ``"yaml"`` or ``"json"``.
      name: what messages call the text.

    Raises:
      InputError: as `load_system`.
    """
    source = Source(name, text)
    return system_of(validate(parse_tree(text, form, name), source), source)


def dumps_system(system: System, form: str = "yaml") -> str:
    """The text of a system: `parse_system` makes the same system of it, bit for bit where it came from a file.

    Raises:
      UnsupportedFileError: no file can describe it; says why.
    """
    return render(tree_of(system), form)


def dump_system(system: System, path: str | os.PathLike[str]) -> None:
    """Write a system to a ``.yaml``, ``.yml`` or ``.json`` file, whole or not at all.

    Raises:
      UnsupportedFileError: no file can describe the system, or the name has another ending.
      FileError: the file cannot be written.
    """
    path = Path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UnsupportedFileError(f"{path}: the name must end in {', '.join(FORMATS)}, so that the format is known")
    write_text(path, dumps_system(system, form))
