"""How far a run is, said while it runs: a bar on a terminal, single lines elsewhere, or nothing.

Called from the host between chunks of compiled work. Standard output is left alone where the caller says that it
carries JSON.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TextIO

import numpy as np

from meio_jax.errors import InputError

__all__ = ["Progress", "gap_percent"]

Mode = Literal["auto", "bar", "lines", "silent"]
_WINDOW = 10  # reports over which the speed is taken


def gap_percent(cost: float, best: float) -> float:
    """How far a cost lies above the best one, in percent of its size; NaN where that is 0 or not finite."""
    if not math.isfinite(cost) or not math.isfinite(best) or best == 0:
        return math.nan
    return 100.0 * (cost - best) / abs(best)


class Progress:
    """A callback for a host loop: `progress(step, cost=...)`, as a context manager around it.

    Args:
        total: the step at which the work is done.
        start: the step it begins at, that of the checkpoint in a resumed run.
        best_classical: cost of the best classical policy, or of what else ``reference`` says; the gap to it is shown
            where it is given.
        mode: `bar`, `lines`, `silent`, or `auto`: a bar on a terminal, else lines.
        json: standard output carries one JSON object; write to standard error.
        stream: where to write; default standard output.
        unit: how many environment steps make one step, for the speed that is shown.
        every: seconds between two lines.
        clock: seconds, rising.

    Raises:
        InputError: `total` or `unit` out of range, an unknown mode, or JSON on a stream that is standard output.
    """

    def __init__(
        self,
        total: int,
        *,
        start: int = 0,
        best_classical: float | None = None,
        reference: str = "best classical",
        mode: Mode = "auto",
        json: bool = False,
        stream: TextIO | None = None,
        unit: int = 1,
        every: float = 5.0,
        label: str = "training",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if total < 0 or start < 0 or unit < 1:
            raise InputError(f"progress from {start} to {total} in units of {unit}: none may be negative")
        if mode not in ("auto", "bar", "lines", "silent"):
            raise InputError(f"progress mode {mode!r}: choose auto, bar, lines or silent")
        if json and stream is sys.stdout:
            raise InputError("progress must not be written to standard output where that carries JSON")
        self.stream: TextIO = stream or (sys.stderr if json else sys.stdout)
        terminal = bool(getattr(self.stream, "isatty", lambda: False)())
        self.mode: Mode = ("bar" if terminal else "lines") if mode == "auto" else mode
        self.total, self.start, self.unit, self.every, self.label = total, start, unit, every, label
        self.best_classical, self.reference = best_classical, reference
        self.step = start
        self.cost: float | None = None
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), start)], maxlen=_WINDOW + 1)
        self._said: float | None = None
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, step: int, cost: Any = None, **more: Any) -> None:
        """Report a step; `cost` and what else is given are single numbers of any kind."""
        self.step = int(step)
        if cost is not None:
            self.cost = float(cost)
        self._seen.append((self._clock(), self.step))
        if self.mode == "silent":
            return
        words = self._words({name: float(value) for name, value in more.items()})
        if self.mode == "bar":
            self._open_bar()
            self._bar.update(self._task, completed=self.step - self.start, words=", ".join(words))
            return
        now = self._seen[-1][0]
        if self._said is None or now - self._said >= self.every or self.step >= self.total:
            self._said = now
            share = f" ({100 * self.step / self.total:.0f} %)" if self.total else ""
            left = self.seconds_left
            eta = [] if left is None or self.step >= self.total else [f"{_clock_face(left)} left"]
            print(f"{self.label} {self.step}/{self.total}{share}: {', '.join([*words, *eta])}", file=self.stream)
            self.stream.flush()

    def on_chunk(self, state: Any, metrics: Mapping[str, Any]) -> None:
        """The callback of `meio_jax.learners.train`: the state's `update`, and the last of the chunk's costs.

        The cost is that of evaluation (`eval_cost`) where the chunk has one, else that of training (`cost`).
        """
        costs = np.ravel(metrics.get("eval_cost", metrics.get("cost", ())))
        self(int(state.update), costs[-1] if costs.size else None)

    @property
    def gap(self) -> float | None:
        """Percent by which the last cost lies above the best classical one; None if either is unknown."""
        if self.cost is None or self.best_classical is None:
            return None
        return gap_percent(self.cost, self.best_classical)

    @property
    def speed(self) -> float | None:
        """Environment steps a second over the last reports; None before there is one."""
        (t0, s0), (t1, s1) = self._seen[0], self._seen[-1]
        return (s1 - s0) * self.unit / (t1 - t0) if t1 > t0 and s1 > s0 else None

    @property
    def seconds_left(self) -> float | None:
        """At the speed of the last reports; None before there is one."""
        return None if self.speed is None else max(0, self.total - self.step) * self.unit / self.speed

    def close(self) -> None:
        """End the bar; nothing for lines."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _words(self, more: Mapping[str, float]) -> list[str]:
        words = [] if self.cost is None else [f"cost {self.cost:.6g}"]
        if self.gap is not None and math.isfinite(self.gap):
            words.append(f"{self.gap:+.2f} % to {self.reference}")
        if self.speed is not None:
            words.append(f"{_short(self.speed)} steps/s")
        return words + [f"{name} {value:.4g}" for name, value in more.items()]

    def _open_bar(self) -> None:
        if self._bar is not None:
            return
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            _eta_column(self),
            console=Console(file=self.stream),
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(self.label, total=self.total - self.start, words="")
        self._bar.start()


def _eta_column(progress: Progress) -> Any:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Left(ProgressColumn):
        def render(self, task: Any) -> Text:
            left = progress.seconds_left
            return Text("" if left is None else f"{_clock_face(left)} left")

    return Left()


def _clock_face(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"
