"""Scripts that make the project's tables and figures, one each; run them with ``python -m experiments.NAME``."""
