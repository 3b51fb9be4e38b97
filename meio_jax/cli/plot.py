"""``meio plot``: the pictures of a run."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from meio_jax.cli.common import Result, keep_compiled, named, positive, report_memory
from meio_jax.cli.runfolder import open_run

if TYPE_CHECKING:
    from meio_jax.cli.runfolder import Learned

__all__ = ["Plot"]

FORMATS = ("png", "svg", "pdf")


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw the network, the learning curve, stock over time and, after 'meio evaluate', the comparison of a run."""

    folder: tyro.conf.Positional[Path]
    """Folder of a run of 'meio train'."""
    format: str = "png"
    """png, svg or pdf."""
    periods: int = 90
    """Periods of stock to show."""
    seed: int = 0
    """Of the scenario that is shown."""
    json: bool = False
    """One JSON object on standard output."""

    def run(self) -> Result:
        named("--format", self.format, FORMATS)
        positive(periods=self.periods, most=10_000)
        positive(0, 2**32 - 1, seed=self.seed)
        keep_compiled()
        learned = open_run(self.folder)
        paths = {}
        for name, figure in self._figures(learned).items():
            path = learned.run.folder / f"{name}.{self.format}"
            _save(figure, path, self.format)
            paths[name] = str(path)
        return Result({"folder": str(self.folder), "figures": paths}, "\n".join(paths.values()))

    def _figures(self, learned: Learned) -> dict[str, Any]:
        import jax
        import numpy as np

        from meio_jax.plot import comparison, draw_network, learning_curve, stock_over_time
        from meio_jax.rollout import rollout

        run, system = learned.run, learned.system
        title = system.name or None
        figures = {"network": draw_network(system.network, title=title)}
        metrics = run.metrics()
        baseline = run.load_json("baseline") if (run.folder / "baseline.json").exists() else None
        if "eval_cost" in metrics and (seen := np.isfinite(metrics["eval_cost"])).any():
            cost, error = metrics["eval_cost"][seen], 1.96 * metrics["eval_error"][seen]
            curve = {"cost": cost, "steps": metrics["step"][seen], "low": cost - error, "high": cost + error}
            lines = {} if baseline is None else {baseline["policy"]: baseline["cost"]}
            figures["learning"] = learning_curve(curve, lines, y_label=f"cost per {system.period}", title=title)
        played = rollout(
            system.network, learned.policy, learned.theta, system.processes, jax.random.key(self.seed),
            periods=self.periods, lanes=1, keep_trajectory=True, oldest=report_memory(system),
        )  # fmt: skip
        figures["stock"] = stock_over_time(system.network, played.trajectory, title=title)
        if (run.folder / "evaluation.json").exists():
            found = run.load_json("evaluation")["policies"]
            rows = [(k, v["cost_mean"], v["cost_low"], v["cost_high"]) for k, v in found.items()]
            figures["comparison"] = comparison(rows, x_label=f"cost per {system.period} (95 % interval)", title=title)
        return figures


def _save(figure: Any, path: Path, form: str) -> None:
    """Write a figure, whole or not at all. Raises `FileError`."""
    from meio_jax.errors import FileError

    temporary = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(temporary, format=form, dpi=150)
        os.replace(temporary, path)
    except OSError as e:
        temporary.unlink(missing_ok=True)
        raise FileError(f"{path}: cannot be written: {e.strerror or e}") from e
