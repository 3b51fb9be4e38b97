"""What the golden scripts share: demand traces and the JSON that they leave. Runs in every peer's environment."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).resolve().parents[2] / "tests" / "goldens" / "peers"
PERIODS = 60


def number(x):
    """A plain number, whole where it is whole, to 12 decimals (peers leave rounding dust below that)."""
    x = round(float(x), 12)
    return int(x) if x == int(x) else x


def series(values):
    """A list of plain numbers, or of lists of them."""
    return [series(v) if np.ndim(v) else number(v) for v in values]


def poisson_trace(seed, mean, periods=PERIODS, spikes=True):
    """Whole demand with three surges and a quiet week, so that stock-outs and empty orders both happen."""
    demand = np.random.default_rng(seed).poisson(mean, periods).astype(float)
    if spikes:
        demand[[periods // 4, periods // 2, periods // 2 + 1]] += np.ceil(2.5 * mean)
        demand[3 * periods // 4 : 3 * periods // 4 + 5] = 0.0
    return demand


def normal_trace(seed, mean, sd, periods=PERIODS):
    """Demand that is not whole, never negative."""
    return np.maximum(np.random.default_rng(seed).normal(mean, sd, periods), 0.0)


def write(package, name, record):
    """Leave ``record`` as tests/goldens/peers/NAME.json, one line per series."""
    head = {
        "peer": package,
        "version": importlib.metadata.version(package),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "name": name,
    }
    GOLDENS.mkdir(parents=True, exist_ok=True)
    path = GOLDENS / f"{name}.json"
    path.write_text(_text({**head, **record}) + "\n")
    print(f"wrote {path.name}: {path.stat().st_size} bytes")


def _text(x, indent=0):
    pad = " " * (indent + 1)
    if isinstance(x, dict):
        inner = ",\n".join(f"{pad}{json.dumps(str(k))}: {_text(v, indent + 1)}" for k, v in x.items())
        return "{\n" + inner + "\n" + " " * indent + "}" if x else "{}"
    if isinstance(x, list) and x and isinstance(x[0], dict) and any(isinstance(v, (dict, list)) for v in x[0].values()):
        return "[\n" + ",\n".join(pad + _text(v, indent + 1) for v in x) + "\n" + " " * indent + "]"
    if isinstance(x, list) and x and isinstance(x[0], dict):
        return "[\n" + ",\n".join(pad + json.dumps(v) for v in x) + "\n" + " " * indent + "]"
    return json.dumps(x, separators=(",", ":"))
