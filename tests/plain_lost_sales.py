"""A plain NumPy program for one location with lost sales and a lead time: the cost of a rule, and the optimum.

It shares nothing with the package: states are rows ``(x_0, x_1, .., x_{L-1})``, stock after today's receipt and the
orders that arrive after it, and every transition is written into a sparse matrix. Costs come with bounds: the
least and the greatest difference of two sweeps of value iteration bound the long-run average (Odoni 1969).
"""

import numpy as np
from scipy import sparse


def pmf(kind, tail=1e-13):
    """Demand of mean 5, probabilities of 0, 1, ...; the cut tail goes to the last value."""
    from scipy import stats

    law = stats.poisson(5) if kind == "poisson" else stats.geom(1 / 6, loc=-1)
    p = law.pmf(np.arange(int(law.isf(tail)) + 1))
    p[-1] += 1 - p.sum()
    return p


class LostSales:
    """Stock, pipelines and their sum up to ``most``; orders are cut so that the position stays within it."""

    def __init__(self, p, lead, penalty, *, holding=1.0, fixed=0.0, most, largest=None):
        self.p, self.lead, self.fixed, self.most = p, lead, fixed, most
        self.largest = most if largest is None else largest
        sizes = [most + 1] + [self.largest + 1] * (lead - 1)
        points = np.indices(sizes).reshape(lead, -1)
        self.x = points[:, points.sum(0) <= most]
        self.number = np.full(sizes, -1)
        self.number[tuple(self.x)] = np.arange(self.x.shape[1])
        demand = np.arange(p.size)
        left = self.x[0][:, None] - demand
        self.cost = np.maximum(left, 0) @ p * holding + np.maximum(-left, 0) @ p * penalty
        if p.size > most + 1:  # a demand that empties any stock leads where the largest one does
            self.p = np.append(p[:most], p[most:].sum())

    def after(self, order):
        """Sparse ``[S, S]``: where the orders ``[S]`` lead."""
        count = self.x.shape[1]
        rows, columns, values = [], [], []
        behind = [*self.x[1:], order]
        for d, weight in enumerate(self.p):
            stock = np.maximum(self.x[0] - d, 0) + behind[0]
            rows.append(np.arange(count))
            columns.append(self.number[(stock, *behind[1:])])
            values.append(np.full(count, weight))
        columns = np.concatenate(columns)
        assert columns.min() >= 0
        shape = (count, count)
        return sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), columns)), shape)

    def bounds(self, order, width=1e-9, sweeps=5000):
        """Least and greatest possible average cost of the orders ``[S]``, over the states that they do not leave."""
        order = np.minimum(order, np.minimum(self.most - self.x.sum(0), self.largest)).astype(int)
        matrix = self.after(order)
        start = self.number[(0,) * self.lead]
        reached = np.zeros(self.x.shape[1], bool)  # from an empty system
        reached[sparse.csgraph.breadth_first_order(matrix, start, return_predecessors=False)] = True
        matrix = matrix[reached][:, reached]
        cost = self.cost[reached] + self.fixed * (order[reached] > 0)
        value = np.zeros(cost.size)
        for _ in range(sweeps):
            new = cost + 0.5 * (matrix @ value) + 0.5 * value  # half a period at a time: no period of its own
            gap = new - value
            if gap.max() - gap.min() < width:
                return gap.min(), gap.max()
            value = new - new[0]
        raise AssertionError(f"not within {width}: {gap.min()}, {gap.max()}")

    def optimum(self, width=1e-8, sweeps=5000):
        """Bounds on the least average cost within ``most`` and ``largest``, and the last sweep's orders ``[S]``."""
        count = self.x.shape[1]
        room = np.minimum(self.most - self.x.sum(0), self.largest)
        fall = np.zeros((self.most + 1, self.most + 1))
        for i in range(self.most + 1):
            np.add.at(fall[i], np.maximum(i - np.arange(self.p.size), 0), self.p)
        moves = []
        for order in range(self.largest + 1):
            # Pipelines (x_1, .., order); for each the state that every stock left over makes with it.
            some = np.flatnonzero(room >= order)
            behind = np.stack([*self.x[1:, some], np.full(some.size, order)])
            tails, which = np.unique(behind, axis=1, return_inverse=True)
            stock = np.minimum(np.arange(self.most + 1)[:, None] + tails[0], self.most)
            index = self.number[(stock, *(np.broadcast_to(t, stock.shape) for t in tails[1:]))]
            moves.append((order, some, index.astype(np.int32), which.ravel()))
        value, chosen = np.zeros(count), np.zeros(count, int)
        for _ in range(sweeps):
            best = np.full(count, np.inf)
            for order, some, index, which in moves:
                expected = fall @ np.where(index >= 0, value[index], 0.0)
                total = expected[self.x[0, some], which] + self.fixed * (order > 0)
                chosen[some[total < best[some] - 1e-12]] = order
                best[some] = np.minimum(best[some], total)
            new = self.cost + best
            gap = new - value
            if gap.max() - gap.min() < width:
                return gap.min(), gap.max(), chosen
            value = new - new[0]
        raise AssertionError(f"not within {width}: {gap.min()}, {gap.max()}")


def furthest(p, lead, penalty, holding=1.0):
    """The highest position and the largest order that can be optimal (Zipkin 2008, section 4)."""
    total, levels = np.ones(1), []
    for _ in range(lead + 1):
        total = np.convolve(total, p)
        levels.append(int(np.searchsorted(np.cumsum(total), penalty / (penalty + holding))))
    return levels[-1], levels[0]
