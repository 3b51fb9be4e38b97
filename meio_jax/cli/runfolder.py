"""What a training run keeps in its folder, and how the other commands read it back.

``manifest.json`` (options, seed, versions), ``system.yaml`` (what was learned on, where that came from a file),
``metrics.csv``, ``checkpoints/``, ``baseline.json`` (the tuned classical rule), ``report.md``, and what `meio evaluate`
and `meio plot` add.
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

from meio_jax.cli.common import POLICIES, UsageError, make_policy, named, report_memory

if TYPE_CHECKING:
    from meio_jax.instances import Known
    from meio_jax.runs import Run
    from meio_jax.solvers.problem import Problem
    from meio_jax.system import System

__all__ = [
    "HEADS", "LEARNERS", "NETWORKS", "Learned", "Options", "Stop", "Subject", "classical", "fresh_state", "open_run",
    "stops", "subject_of", "subject_of_run", "template",
]  # fmt: skip

SYSTEM = "system.yaml"
#: Learners by name.
LEARNERS = {"ppo": "proximal policy optimisation", "pathwise": "gradients through the simulator"}
CREDITS = ("joint", "local")
#: Networks, and what their outputs mean, by name; made in `meio_jax.learners.choices`.
NETWORKS = ("mlp", "per_node", "graph", "lstm")
HEADS = ("order_up_to", "quantity", "percentage", "capped_base_stock", "reorder_up_to", "tiers")


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a policy is learned for: a system from a file, or an instance of the literature.

    instance: its id, None for a file. known: what the literature knows of it. oldest: how old a report can get.
    """

    system: System
    problem: Problem
    instance: str | None = None
    known: tuple[Known, ...] = ()

    @property
    def oldest(self) -> int:
        return report_memory(self.system)

    @property
    def optimum(self) -> float | None:
        return next((k.cost for k in self.known if k.what == "optimum"), None)


def subject_of(target: str) -> Subject:
    """Of a file's name or an instance's id. Raises `InputError`."""
    if target.endswith((".yaml", ".yml", ".json")) or Path(target).is_file():
        from meio_jax.files import load_system
        from meio_jax.solvers.problem import problem_of

        system = load_system(target)
        return Subject(system, problem_of(system))
    from meio_jax.instances import find
    from meio_jax.system import System

    instance = find(target)
    problem = instance.problem
    return Subject(System(problem.network, problem.processes, name=instance.id), problem, instance.id, instance.known)


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a run: all that makes one run another run than the next, but for its subject and its seed.

    None: the learner's own.
    """

    updates: int | None = None
    lanes: int | None = None
    segment: int | None = None
    epochs: int | None = None
    minibatches: int | None = None
    policy: str | None = None
    widths: tuple[int, ...] | None = None
    head: str | None = None
    learning_rate: float | None = None
    discount: float | None = None
    trace: float | None = None
    credit: str | None = None
    cycle: int | None = None
    eval_every: int | None = None
    smooth_fixed_cost: float | None = None
    pretrain: int | None = None

    def config(self, learner: str, subject: Subject) -> tuple[Any, Any]:
        """Static configuration and numbers of the learner.

        Raises:
          UsageError: an option that the learner does not have. InputError: what does not fit together.
        """
        from meio_jax.errors import InputError
        from meio_jax.learners.registry import LEARNERS as known

        chosen = known[learner]
        ours = ("policy", "widths", "head", "cycle")
        given = {k: v for k, v in dataclasses.asdict(self).items() if v is not None and k not in ours}
        fields = {f.name for kind in (chosen.config, chosen.hyper) for f in dataclasses.fields(kind)}
        for name in given:
            if name not in fields:
                raise UsageError(f"--{name.replace('_', '-')}: the learner {learner} has no such option; leave it out")
        if subject.oldest:
            given["oldest"] = subject.oldest
        policy = self._policy(learner, chosen, subject)
        if self.rule is not None:
            from meio_jax.learners.classical import DEFAULTS, check_smooth

            check_smooth(policy)
            given = DEFAULTS | given
        try:
            config, hyper = chosen.for_problem(subject.problem, policy=policy, **given)
        except InputError as e:
            if type(e) is not InputError:  # what is about the system and not about the options
                raise
            raise UsageError(f"the options do not fit together: {e}") from e
        if config.updates % config.eval_every:
            raise UsageError(f"--updates {config.updates} must be a multiple of --eval-every {config.eval_every}")
        return config, hyper

    @property
    def rule(self) -> str | None:
        """The classical rule whose numbers are learned, None where a network is."""
        return self.policy if self.policy in POLICIES else None

    def _policy(self, learner: str, chosen: Any, subject: Subject) -> Any:
        """The policy that was asked for; None: the learner's own."""
        if self.rule is not None:
            if learner != "pathwise":
                raise UsageError(f"--policy {self.policy}: {learner} learns networks; give --learner pathwise")
            if self.widths is not None or self.head is not None or self.cycle is not None:
                raise UsageError(f"--policy {self.policy}: a rule has no --widths, --head or --cycle")
            return make_policy(self.rule)
        if self.policy is None and self.widths is None and self.head is None and not self.cycle:
            return None
        from meio_jax.learners.choices import neural_policy

        own = chosen.for_problem(subject.problem)[0].policy
        return neural_policy(
            self.policy or "mlp", self.head or own.head, self.widths, cycle=self.cycle or None, horizon=own.horizon
        )

    def described(self, learner: str, subject: Subject) -> dict[str, Any]:
        """What the manifest says, and what a resumed run is compared with."""
        digest = fingerprint(subject.system) if subject.instance is None else None
        options = dataclasses.asdict(self)
        return {"learner": learner, "instance": subject.instance, "system_sha256": digest, "options": options}


def fresh_state(options: Options, config: Any, hyper: Any, subject: Subject, key: Any) -> Any:
    """The state before the first update. The key is consumed."""
    from meio_jax.learners.registry import learner_of

    network, processes = subject.system.network, subject.system.processes
    if options.rule is not None:
        from meio_jax.learners.classical import first_numbers, init_rule

        theta, units = first_numbers(network, processes, config.policy)
        return init_rule(config, network, processes, hyper, key, theta, units)
    return learner_of(config).init_train(config, network, processes, hyper, key)


def fingerprint(system: System) -> str:
    """Of what a system's file says."""
    from meio_jax.files import dumps_system

    return hashlib.sha256(dumps_system(system, "json").encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Learned:
    """A run that has learned something: what it was on, and its best policy so far."""

    run: Run
    subject: Subject
    policy: Any
    theta: Any
    updates: int

    @property
    def system(self) -> System:
        return self.subject.system


def template(options: Options, learner: str, subject: Subject) -> Any:
    """The shapes of a state, for restoring one."""
    import jax

    config, hyper = options.config(learner, subject)
    return jax.eval_shape(lambda key: fresh_state(options, config, hyper, subject, key), jax.random.key(0))


def subject_of_run(run: Run) -> tuple[str, Options, Subject]:
    """Learner, options and subject of a run, from its manifest and its own copy of the system.

    Raises:
      InputError: it is no run of `meio train`, or its system is not what was learned on.
    """
    from meio_jax.errors import RunError, RunMismatchError

    given = run.manifest["config"]
    try:
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given["options"].items()}
        options, learner, digest = Options(**plain), given["learner"], given["system_sha256"]
        instance = given["instance"]
    except (KeyError, TypeError, AttributeError) as e:
        raise RunError(f"{run.folder}: is no run of this 'meio train'") from e
    if learner not in LEARNERS:
        raise RunError(f"{run.folder}: the learner {learner!r} is not known here")
    subject = subject_of(str(run.folder / SYSTEM) if instance is None else instance)
    if instance is None and fingerprint(subject.system) != digest:
        raise RunMismatchError(f"{run.folder / SYSTEM}: is not the system that this run learned on; restore the file")
    return learner, options, subject


def open_run(folder: Path) -> Learned:
    """Read a run of `meio train`.

    Raises:
      InputError: there is no run, it has no checkpoint yet, or its files are damaged or not its own.
    """
    from meio_jax.checkpoint import Checkpoints
    from meio_jax.errors import RunError
    from meio_jax.runs import Run

    run = Run.open(folder)
    learner, options, subject = subject_of_run(run)
    config, _ = options.config(learner, subject)
    if not Checkpoints(run.checkpoints).steps():
        raise RunError(f"{folder}: has no checkpoint yet; let 'meio train' go on first")
    restored = Checkpoints(run.checkpoints).restore(template(options, learner, subject))
    return Learned(run, subject, config.policy, best_theta(restored.tree), restored.step)


def best_theta(state: Any) -> Any:
    """The numbers of the policy that evaluated best, or of the present one before any evaluation."""
    import numpy as np

    return state.best_theta if np.isfinite(np.asarray(state.best_cost)) else state.theta


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
    positive(most=10**7, **{k: v for k in whole if (v := getattr(options, k)) is not None})
    if options.widths is not None and (not options.widths or min(options.widths) < 1):
        raise UsageError(f"--widths {' '.join(map(str, options.widths))}: give whole numbers of at least 1")
    for name in ("learning_rate", "discount", "trace"):
        value = getattr(options, name)
        if value is not None and not (0 < value <= 1 and (value < 1 or name != "learning_rate")):
            word = "between 0 and 1" if name == "learning_rate" else "above 0, at most 1"
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: give a number {word}")
    if options.cycle is not None and options.cycle < 0:
        raise UsageError(f"--cycle {options.cycle}: give a number of periods, or 0 for none")
    for name in ("pretrain", "smooth_fixed_cost"):
        value = getattr(options, name)
        if value is not None and not value >= 0:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: must not be negative")
    if options.credit is not None:
        named("--credit", options.credit, CREDITS)
    if options.head is not None:
        named("--head", options.head, HEADS)
    if options.policy is not None:
        named("--policy", options.policy, (*NETWORKS, *POLICIES))
