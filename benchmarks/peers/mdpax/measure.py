"""mdpax's value iteration beside ours, in turns; run by benchmarks.run in mdpax's own environment.

Both start in a fresh process and compile within the time that counts; both stop when their bounds on the cost are
within the same distance. mdpax is given the box of states and orders that our solver finds for itself.
"""

from __future__ import annotations

import logging
import statistics
import time

import jax.numpy as jnp
import numpy as np
from mdpax.core.problem import Problem
from mdpax.problems.perishable_inventory.de_moor_single_product import DeMoorSingleProductPerishable
from mdpax.solvers.relative_value_iteration import RelativeValueIteration
from mdpax.solvers.value_iteration import ValueIteration
from mdpax.utils.spaces import create_range_space
from scipy import stats

from benchmarks.peers.turns import ours, quick, row, spread, tell

TOLERANCE = 1e-5  # of the cost


class LostSales(Problem):
    """Zipkin (2008): one site, lost sales, Poisson demand of mean 5, h = 1; the state is what is on hand after the
    receipt and the orders on their way, oldest first.
    """

    def __init__(self, lead_time: int, penalty: float, on_hand: int, order: int, demand: int) -> None:
        self.lead_time, self.penalty, self.largest = lead_time, penalty, order
        self.most, self.demand = on_hand, demand
        p = stats.poisson.pmf(np.arange(demand), 5.0)
        self.chance = jnp.asarray(p / p.sum())
        super().__init__()

    @property
    def name(self) -> str:
        return "lost_sales"

    def _construct_state_space(self):
        most = np.asarray([self.most, *[self.largest] * (self.lead_time - 1)])
        space, self._index = create_range_space(np.zeros(self.lead_time, np.int32), most)
        return space

    def _construct_action_space(self):
        return jnp.arange(self.largest + 1).reshape(-1, 1)

    def _construct_random_event_space(self):
        return jnp.arange(self.demand).reshape(-1, 1)

    def state_to_index(self, state):
        return self._index(state)

    def random_event_probability(self, state, action, random_event):
        return self.chance[random_event[0]]

    def transition(self, state, action, random_event):
        left = jnp.maximum(state[0] - random_event[0], 0)
        short = jnp.maximum(random_event[0] - state[0], 0)
        coming = jnp.concatenate([state[1:], action])
        after = jnp.concatenate([jnp.minimum(left + coming[:1], self.most), coming[1:]]).astype(jnp.int32)
        return after, -(left + self.penalty * short)


def timed(make) -> tuple[float, object, object]:
    begin = time.perf_counter()
    solver = make()
    state = solver.solve(max_iterations=10_000)
    return time.perf_counter() - begin, solver, state


def compare(what: str, instance: str, make, rounds: int, cost_of) -> dict:
    theirs, mine, cost = [], [], 0.0
    for _ in range(rounds):
        took, solver, state = timed(make)
        theirs.append(took)
        cost = cost_of(solver, state)
        mine.append(ours("solve_instance", instance=instance, method="value_iteration", tolerance=TOLERANCE))
    ratio = spread([a / b["seconds"] for a, b in zip(theirs, mine, strict=True)])
    return row(
        f"value iteration, {what}, against mdpax", ">= 1.0 x",
        f"{ratio['median']:.1f} x ({ratio['low']:.1f} to {ratio['high']:.1f}); "
        f"{statistics.median(b['seconds'] for b in mine):.1f} s against {statistics.median(theirs):.1f} s, "
        f"compilation included; cost {mine[0]['cost']:.5f}, there {cost:.5f}",
        ratio["median"] >= 1.0, ratio=ratio, theirs=theirs, ours=mine, tolerance=TOLERANCE,
    )  # fmt: skip


def zipkin(rounds: int, lead_time: int) -> dict:
    name = f"zipkin/poisson-L{lead_time}-p39"
    found = ours("solve_instance", instance=name, method="value_iteration", tolerance=TOLERANCE)
    order, position = int(found["limits"]["order"][0]), int(found["limits"]["position"][0])

    def make() -> RelativeValueIteration:
        problem = LostSales(lead_time, 39.0, position, order, found["demands"])
        return RelativeValueIteration(problem, epsilon=TOLERANCE * found["cost"], max_batch_size=4096, verbose=0)

    return compare(f"Zipkin Poisson L={lead_time} p=39", name, make, rounds, lambda solver, state: -float(solver.gain))


def de_moor(rounds: int, shelf_life: int) -> dict:
    name = f"de_moor/m{shelf_life}-L1-cw7-fifo"
    found = ours("solve_instance", instance=name, method="value_iteration", tolerance=TOLERANCE)

    def make() -> ValueIteration:
        problem = DeMoorSingleProductPerishable(
            max_demand=found["demands"] - 1, max_useful_life=shelf_life, lead_time=1, issue_policy="fifo"
        )
        return ValueIteration(problem, gamma=0.99, epsilon=TOLERANCE * found["cost"], max_batch_size=4096, verbose=0)

    def empty(solver: ValueIteration, state: object) -> float:
        """Its test is on the span of the last step, so its values still lack what all states have in common."""
        before = np.asarray(solver.values)
        after = np.asarray(solver._iteration_step()[0])
        step = after - before
        return -float(after[0] + 0.99 / 0.01 * (step.max() + step.min()) / 2)

    return compare(f"De Moor, shelf life {shelf_life}", name, make, rounds, empty)


def main() -> None:
    logging.disable(logging.CRITICAL)
    rounds = 1 if quick() else 3
    tell([de_moor(rounds, 2 if quick() else 3), zipkin(rounds, 2 if quick() else 4)])


if __name__ == "__main__":
    main()
