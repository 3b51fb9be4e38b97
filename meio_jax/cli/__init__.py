"""The command line: ``meio`` and ``python -m meio_jax``.

Exit codes: 0 done; 1 the input is at fault, said in one line; 2 wrong usage; 3 a fault of this program. A training that
was told to stop (Ctrl-C, SIGTERM) saves first and exits with 130 or 143. With ``--json`` exactly one JSON value is
written to standard output, and everything else to standard error.

Each command is a file in this folder: a dataclass of its options with ``run() -> Result``. What is heavy is imported
there, when the command runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from meio_jax.cli.check import Check
from meio_jax.cli.common import Result, UsageError, one_line
from meio_jax.cli.evaluate import Evaluate
from meio_jax.cli.instances import Instances
from meio_jax.cli.plot import Plot
from meio_jax.cli.schema import Schema
from meio_jax.cli.simulate import Simulate
from meio_jax.cli.solve import Solve
from meio_jax.cli.train import Train
from meio_jax.errors import InputError

__all__ = ["main"]

_COMMANDS: Any = (
    Annotated[Schema, tyro.conf.subcommand("schema")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[Instances, tyro.conf.subcommand("instances")]
    | Annotated[Solve, tyro.conf.subcommand("solve")]
)
_STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
      argv: the words after the program's name; None: those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        command = tyro.cli(
            _COMMANDS,
            args=words,
            prog="meio",
            description="Multi-echelon inventory systems: describe, simulate, learn, compare.",
            config=_STYLE,
        )
    except SystemExit as e:  # tyro has said what is wrong, or shown the help
        code = e.code if isinstance(e.code, int) else 2
        if code and "--json" in words:
            print(json.dumps({"error": "UsageError", "message": "wrong usage; standard error says what"}))
        return code
    as_json = command.json
    try:
        # What libraries may print must not get in between.
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            result = command.run()
    except UsageError as e:
        return _refused(e, 2, as_json)
    except InputError as e:
        return _refused(e, 1, as_json)
    except KeyboardInterrupt:
        print("meio: interrupted", file=sys.stderr)
        if as_json:
            print(json.dumps({"error": "KeyboardInterrupt", "message": "interrupted"}))
        return 130
    except BrokenPipeError:
        return _quietly()
    except Exception as e:
        if "RESOURCE_EXHAUSTED" in str(e) or isinstance(e, MemoryError):
            return _refused(InputError("not enough memory; use fewer lanes"), 1, as_json)
        if os.environ.get("MEIO_DEBUG"):
            traceback.print_exc()
        fault = RuntimeError(f"a fault of this program: {type(e).__name__}: {e} (MEIO_DEBUG=1 shows where)")
        return _refused(fault, 3, as_json)
    return _show(result, as_json)


def _show(result: Result, as_json: bool) -> int:
    try:
        if as_json:
            print(json.dumps(result.data, allow_nan=False, ensure_ascii=False))
        elif result.text:
            print(result.text)
        sys.stdout.flush()
    except BrokenPipeError:
        return _quietly()
    return result.code


def _refused(error: Exception, code: int, as_json: bool) -> int:
    """Say what is wrong in one line; with ``--json`` as an object too."""
    message = one_line(str(error))
    print(f"meio: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": type(error).__name__, "message": message}, ensure_ascii=False))
    return code


def _quietly() -> int:
    """The reader of our output has left: nothing more can be said, and Python must not try while it ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
