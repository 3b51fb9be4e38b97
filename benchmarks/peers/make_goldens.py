"""Remake tests/goldens/peers: each peer in an environment of its own, outside of the repository.

    python benchmarks/peers/make_goldens.py [--folder /tmp/meio_peers] [stockpyl] [or-gym] [gym-invmgmt]

Needs Python 3.11 (the pins are for it) and a package index, itself only the standard library. Traces and actions are
seeded: remade goldens equal the committed ones unless a pin was changed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Each writes goldens of its own.
SCRIPTS = {
    "stockpyl": (
        "from_stockpyl.py",
        "from_stockpyl_single_stage.py",
        "from_stockpyl_multi_echelon.py",
        "from_stockpyl_service.py",
    ),
    "or-gym": ("from_or_gym.py",),
    "gym-invmgmt": ("from_gym_invmgmt.py", "from_gym_invmgmt_seeds.py"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="*", metavar="peer", help=f"of {', '.join(SCRIPTS)} (default: all)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "meio_peers")
    args = parser.parse_args()
    for peer in args.peers or SCRIPTS:
        if peer not in SCRIPTS:
            parser.error(f"no peer {peer!r}; there are {', '.join(SCRIPTS)}")
        home = args.folder / peer
        python = home / "bin" / "python"
        stamp = home / "installed.txt"
        pins = HERE / f"requirements-{peer}.txt"
        if not stamp.exists() or stamp.read_text() != pins.read_text():
            venv.create(home, with_pip=True, clear=True)
            install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", pins]
            subprocess.run(install, check=True)
            stamp.write_text(pins.read_text())
        for script in SCRIPTS[peer]:
            subprocess.run([python, "-W", "ignore", HERE / script], check=True, stderr=sys.stderr)


if __name__ == "__main__":
    main()
