"""A supply network as an environment for learners: functional, in lanes, continuing.

The planner sees before it orders, so a state of the environment holds the coming period's shock and what is seen of it.
There
is no reset inside `step`: inventory is a continuing problem, and learners bootstrap where a segment ends. Where a
problem has an end, give a ``horizon`` to what calls `step`, and call `reset` there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax import Array

from meio_jax.errors import InputError
from meio_jax.network import Network
from meio_jax.observation import Observation, Reports, file_report, init_reports, note_orders, observe
from meio_jax.policies.base import Decision
from meio_jax.processes import Processes, init_processes, sample_shock
from meio_jax.rewards import Weights, reward
from meio_jax.scenario import Shock
from meio_jax.simulator import Flows, State, initial_state, transition
from meio_jax.struct import pytree

__all__ = ["Env", "EnvState", "Step"]


@pytree
class EnvState:
    """Everything at the time of ordering: the system, the processes, the coming shock and what is seen."""

    state: State
    process: Any
    reports: Reports | None
    shock: Shock
    seen: Observation


class Step(NamedTuple):
    """What a period brought: ``reward [B]``, and its flows."""

    reward: Array
    flows: Flows


@pytree
class Env:
    """A network, its outside world, and what is paid for: a pytree, so that all its numbers can be traced.

    ``weights``: as in `meio_jax.rewards.reward`. ``oldest``: with late reports, the greatest age that is remembered.
    """

    network: Network
    processes: Processes
    weights: Weights | None = None

    def reset(self, key: Array, lanes: int, *, oldest: int = 0) -> EnvState:
        """Time 0 in every lane. The key is consumed.

        Raises:
          InputError: reports are late and ``oldest`` is not given.
        """
        first, shock = jax.random.split(key)
        state = initial_state(self.network, lanes)
        late = self.processes.reporting is not None
        if late and oldest <= 0:
            raise InputError("reports are late here: say with oldest= how old a report may become and still be read")
        reports = init_reports(self.network, state, oldest) if late else None
        process = init_processes(self.processes, first, lanes)
        coming, process = sample_shock(self.processes, shock, process, state.t, lanes)
        return self._look(state, process, reports, coming)

    def step(self, state: EnvState, action: Array | Decision, key: Array) -> tuple[EnvState, Step]:
        """Order, move one period, look again.

        Args:
          action: ``[I, B]`` units wanted on each inner arc, or a `Decision`.
          key: draws the shock of the period after; consumed.
        """
        lanes = state.state.backlog.shape[-1]
        shock, process = sample_shock(self.processes, key, state.process, state.state.t + 1, lanes)
        return self.follow(state, action, shock, process)

    def follow(self, state: EnvState, action: Array | Decision, shock: Shock, process: Any) -> tuple[EnvState, Step]:
        """`step` with the shock of the period after given, and the processes' carry behind it."""
        decision = action if isinstance(action, Decision) else Decision(action)
        moved, flows = transition(self.network, state.state, decision.orders, state.shock, decision.allocation)
        reports = state.reports
        if reports is not None:
            reports = note_orders(reports, flows.ordered[: self.network.wiring.n_inner])
        after = self._look(moved, process, reports, shock)
        return after, Step(reward(self.weights, self.network, flows), flows)

    def _look(self, state: State, process: Any, reports: Reports | None, shock: Shock) -> EnvState:
        seen = observe(self.network, state, shock)
        if reports is not None and shock.report_age is not None:
            reports, seen = file_report(self.network, reports, seen, shock.report_age)
        return EnvState(state=state, process=process, reports=reports, shock=shock, seen=seen)
