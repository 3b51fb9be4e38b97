"""What a training run keeps in its folder, and how the other commands read it back.

``manifest.json`` (options, seed, versions), ``system.yaml`` (what was learned on), ``metrics.csv``, ``checkpoints/``,
``baseline.json`` (the tuned classical rule), and what `meio evaluate` and `meio plot` add.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from meio_jax.cli.common import UsageError, make_policy, named, report_memory

if TYPE_CHECKING:
    from meio_jax.learners.config import PPOConfig, PPOHyper
    from meio_jax.learners.ppo import TrainState
    from meio_jax.runs import Run
    from meio_jax.system import System

__all__ = ["HEADS", "LEARNERS", "Learned", "Options", "Stop", "classical", "open_run", "stops"]

SYSTEM = "system.yaml"
#: Learners by name.
LEARNERS = {"ppo": "proximal policy optimisation"}
CREDITS = ("joint", "local")
#: What the network's outputs mean, by name; the classes are in `Options.config`.
HEADS = ("order_up_to", "quantity", "percentage", "tiers")


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a learner: all that makes one run another run than the next, but for system and seed."""

    updates: int
    lanes: int
    segment: int
    epochs: int
    minibatches: int
    widths: tuple[int, ...]
    head: str
    learning_rate: float
    discount: float
    eval_every: int
    trace: float = 0.95
    credit: str = "joint"
    cycle: int = 0

    def config(self, system: System) -> tuple[PPOConfig, PPOHyper]:
        """Static configuration and numbers. Raises `InputError` for what does not fit together."""
        from meio_jax.actions import OrderUpTo, Percentage, Quantity, Tiers
        from meio_jax.learners.config import PPOConfig, PPOHyper

        heads = dict(zip(HEADS, (OrderUpTo, Quantity, Percentage, Tiers), strict=True))
        config = PPOConfig(
            lanes=self.lanes,
            segment=self.segment,
            updates=self.updates,
            epochs=self.epochs,
            minibatches=self.minibatches,
            widths=tuple(self.widths),
            head=heads[named("--head", self.head, HEADS)](),
            credit=self.credit,
            cycle=self.cycle or None,
            oldest=report_memory(system),
            eval_every=self.eval_every,
        )
        return config, PPOHyper(learning_rate=self.learning_rate, discount=self.discount, trace=self.trace)

    def described(self, learner: str, system: System) -> dict[str, Any]:
        """What the manifest says, and what a resumed run is compared with."""
        return {"learner": learner, "system_sha256": fingerprint(system), "options": dataclasses.asdict(self)}


def fingerprint(system: System) -> str:
    """Of what a system's file says."""
    from meio_jax.files import dumps_system

    return hashlib.sha256(dumps_system(system, "json").encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Learned:
    """A run that has learned something: what it was on, and its best policy so far."""

    run: Run
    system: System
    policy: Any
    theta: Any
    updates: int


def template(config: PPOConfig, hyper: PPOHyper, system: System) -> TrainState:
    """The shapes of a state, for restoring one."""
    import jax

    from meio_jax.learners.ppo import init_train

    def fresh(key: Any) -> TrainState:
        return init_train(config, system.network, system.processes, hyper, key)

    return jax.eval_shape(fresh, jax.random.key(0))


def open_run(folder: Path) -> Learned:
    """Read a run of `meio train`.

    Raises:
      InputError: there is no run, it has no checkpoint yet, or its files are damaged or not its own.
    """
    from meio_jax.checkpoint import Checkpoints
    from meio_jax.errors import RunError, RunMismatchError
    from meio_jax.files import load_system
    from meio_jax.runs import Run

    run = Run.open(folder)
    given = run.manifest["config"]
    try:
        options = Options(**given["options"])
        learner, digest = given["learner"], given["system_sha256"]
    except (KeyError, TypeError) as e:
        raise RunError(f"{folder}: is no run of 'meio train'") from e
    if learner not in LEARNERS:
        raise RunError(f"{folder}: the learner {learner!r} is not known here")
    system = load_system(run.folder / SYSTEM)
    if fingerprint(system) != digest:
        raise RunMismatchError(f"{run.folder / SYSTEM}: is not the system that this run learned on; restore the file")
    config, hyper = options.config(system)
    if not Checkpoints(run.checkpoints).steps():
        raise RunError(f"{folder}: has no checkpoint yet; let 'meio train' go on first")
    restored = Checkpoints(run.checkpoints).restore(template(config, hyper, system))
    return Learned(run, system, config.policy, best_theta(restored.tree), restored.step)


def best_theta(state: TrainState) -> Any:
    """The numbers of the policy that evaluated best, or of the present one before any evaluation."""
    import numpy as np

    from meio_jax.policies.neural import Theta

    params, moments = state.best
    return Theta(params, moments, state.scale) if np.isfinite(np.asarray(state.best_cost)) else state.theta


def classical(system: System, saved: Mapping[str, Any]) -> tuple[Any, Any]:
    """Policy and theta of a tuned rule from what `baseline.json` says."""
    import jax.numpy as jnp

    dtype = system.network.holding_cost.dtype
    theta = {k: jnp.asarray(v, dtype)[..., None] for k, v in saved["theta"].items()}
    return make_policy(named("policy", saved["policy"], [saved["policy"]])), theta


class Stop:
    """Set when the process was told to stop; ``number`` is the signal's."""

    number: int | None = None

    @property
    def name(self) -> str | None:
        return None if self.number is None else signal.Signals(self.number).name


@contextlib.contextmanager
def stops() -> Iterator[Stop]:
    """While it is open the first Ctrl-C or SIGTERM asks to stop at the next occasion, the second one stops at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.number is not None:
            raise KeyboardInterrupt
        stop.number = number

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_options(options: Options) -> None:
    """Refuse numbers that no run can have. Raises `UsageError`."""
    from meio_jax.cli.common import positive

    whole = ("updates", "lanes", "segment", "epochs", "minibatches", "eval_every")
    positive(most=10**7, **{k: getattr(options, k) for k in whole})
    if not options.widths or min(options.widths) < 1:
        raise UsageError(f"--widths {' '.join(map(str, options.widths))}: give whole numbers of at least 1")
    if options.updates % options.eval_every:
        raise UsageError(f"--updates {options.updates} must be a multiple of --eval-every {options.eval_every}")
    if options.lanes % options.minibatches:
        raise UsageError(f"--lanes {options.lanes} must be a multiple of --minibatches {options.minibatches}")
    if not 0 < options.learning_rate < 1:
        raise UsageError(f"--learning-rate {options.learning_rate:g}: give a number between 0 and 1")
    if not 0 < options.discount < 1:
        raise UsageError(f"--discount {options.discount:g}: give a number between 0 and 1")
    if not 0 <= options.trace <= 1:
        raise UsageError(f"--trace {options.trace:g}: give a number from 0 to 1")
    if options.cycle < 0:
        raise UsageError(f"--cycle {options.cycle}: give a number of periods, or 0 for none")
    named("--credit", options.credit, CREDITS)
    named("--head", options.head, HEADS)
