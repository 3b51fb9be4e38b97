"""The notebooks run from top to bottom."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.py"))
LEARNING = ("from_base_stock_to_network", "what_it_does_differently")  # train networks, whole runs


def _case(path):
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in LEARNING else [])


@pytest.mark.parametrize("path", map(_case, NOTEBOOKS))
def test_notebook_runs(path, tmp_path):
    jupytext = pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    notebook = jupytext.read(path)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    drawn = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(drawn) >= 4
