"""Give each peer of the benchmarks an environment of its own: ``make peers``, or this file with names of peers.

``requirements-NAME.txt`` is the lock: every package of the environment with its version, and nothing is resolved anew
(``--no-deps``). Needs Python 3.11 (the pins are for it), itself only the standard library. Whoever is installed is
measured by ``python -m benchmarks.run --only peers``.
"""

from __future__ import annotations

import argparse
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent


def peers() -> list[str]:
    """Whoever has a script that measures."""
    return sorted(path.parent.name for path in HERE.glob("*/measure.py"))


def install(name: str) -> None:
    """Make ``NAME/.venv`` what its lock says; done once for each state of the lock."""
    home, lock = HERE / name / ".venv", HERE / f"requirements-{name}.txt"
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_text() == lock.read_text():
        print(f"{name}: is there")
        return
    print(f"{name}: installing", flush=True)
    venv.create(home, with_pip=True, clear=True)
    subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "-r", lock], check=True)
    stamp.write_text(lock.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(peers())} (default: all)")
    chosen = parser.parse_args().names or peers()
    if unknown := set(chosen) - set(peers()):
        parser.error(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(peers())}")
    for name in chosen:
        install(name)


if __name__ == "__main__":
    main()
