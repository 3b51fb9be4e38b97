"""``python -m meio_jax`` is ``meio``."""

import sys

from meio_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
