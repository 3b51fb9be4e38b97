"""Markov decision processes written out state by state in plain Python, for instances that a few thousand states hold.

Nothing of the package is used. A *system* is two functions of tuples of whole numbers: ``step(state, order, demand) ->
(state, cost)`` and ``orders(state)``. Below them stand dual sourcing (Gijsbrechts et al. 2022) and perishables (De Moor
et al. 2022), from the papers' own event orders.
"""

import numpy as np


class Chain:
    """Every state that can be reached, where orders and demands lead, and what they cost: ``[S, A, W]``, ``[S, A]``."""

    def __init__(self, start, step, orders, demand):
        self.p = np.asarray(demand, float)
        self.states, self.orders, after, cost = [start], [], [], []
        number = {start: 0}
        for state in self.states:  # grows while it is read
            self.orders.append(list(orders(state)))
            after.append([])
            cost.append([])
            for order in self.orders[-1]:
                ends, costs = zip(*(step(state, order, d) for d in range(self.p.size)), strict=True)
                for end in ends:
                    if end not in number:
                        number[end] = len(self.states)
                        self.states.append(end)
                after[-1].append([number[end] for end in ends])
                cost[-1].append(self.p @ np.asarray(costs))
        width = max(map(len, cost))
        self.after = np.array([a + [a[0]] * (width - len(a)) for a in after])
        self.cost = np.array([c + [np.inf] * (width - len(c)) for c in cost])

    def average(self, width=1e-9):
        """Bounds on the least long-run average cost, and the best orders."""
        value = np.zeros(len(self.states))
        for _ in range(100_000):
            total = self.cost + 0.5 * (value[self.after] @ self.p) + 0.5 * value[:, None]
            new = total.min(1)
            gap = new - value
            if gap.max() - gap.min() < width:
                return gap.min(), gap.max(), [self.orders[s][a] for s, a in enumerate(total.argmin(1))]
            value = new - new[0]
        raise AssertionError("no convergence")

    def discounted(self, discount, periods, warmup):
        """The expected discounted cost of ``periods`` after ``warmup`` ones of the policy that is best for ever."""
        value = np.zeros(len(self.states))
        for _ in range(100_000):
            total = self.cost + discount * (value[self.after] @ self.p)
            new = total.min(1)
            gap = new - value
            value = new + (gap.max() + gap.min()) / 2 * discount / (1 - discount)
            if gap.max() - gap.min() < 1e-10:
                break
        best = (self.cost + discount * (value[self.after] @ self.p)).argmin(1)
        rows = np.arange(value.size)
        value = np.zeros(value.size)
        for _ in range(periods):
            value = self.cost[rows, best] + discount * (value[self.after[rows, best]] @ self.p)
        for _ in range(warmup):
            value = value[self.after[rows, best]] @ self.p
        return value[0]


def dual_sourcing(lead, dear, *, demand=(0.2,) * 5, cheap=100.0, holding=5.0, backlog=495.0, largest=8):
    """State (x, q_1, .., q_{lead-1}): net stock after today's regular receipt, and the regular orders due after it."""

    def step(state, order, d):
        quick, slow = order
        stock = state[0] + quick - d
        cost = dear * quick + cheap * slow + holding * max(stock, 0) + backlog * max(-stock, 0)
        pipeline = [*state[1:], slow]
        return (stock + pipeline[0], *pipeline[1:]), cost

    def any_order(state):
        """All that can be sensible: nobody raises stock beyond 10, the position beyond 4 a period and 6 more."""
        low = max(0, -state[0])
        room = 4 * lead + 6 - sum(state)
        quick = [q for q in range(largest + 1) if q >= low and (q == low or state[0] + q <= 10)]
        return [(q, r) for q in quick for r in range(5) if r == 0 or q + r <= room]

    def rule(kind, *numbers):
        def order(state):
            position = sum(state)
            up = numbers[0] - (position if kind == "single" else state[0])
            quick = min(max(up, 0), largest)
            if kind == "surge":
                return [(quick, numbers[1])]
            slow = max(numbers[1] - position - quick, 0)
            return [(quick, min(slow, largest, *numbers[2:]))]

        return order

    return step, any_order, rule


def perishable(life, lead, waste, issuing, *, order_cost=3.0, shortage=5.0, holding=1.0):
    """State: stock by periods left (the last has just arrived), then the orders on their way, soonest first."""

    def step(state, order, d):
        stock, pipeline = list(state[:life]), [*state[life:], order]
        for age in range(life) if issuing == "fifo" else reversed(range(life)):
            sold = min(stock[age], d)
            stock[age] -= sold
            d -= sold
        cost = order_cost * order + shortage * d + waste * stock[0] + holding * sum(stock[1:])
        return (*stock[1:], pipeline[0], *pipeline[1:]), cost

    def any_order(state):
        return range(11)

    def up_to(level):
        return lambda state: [min(max(level - sum(state), 0), 10)]

    return step, any_order, up_to


def rounded_gamma(mean=4.0, cv=0.5, largest=40):
    from scipy import stats

    law = stats.gamma(1 / cv**2, scale=mean * cv**2)
    edges = law.cdf(np.append(np.arange(largest) + 0.5, np.inf))
    return np.diff(np.append(0.0, edges))
