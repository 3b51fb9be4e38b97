"""Four supply systems written by hand for Numba: the yardstick of `benchmarks.race`.

The same physics and the same policy as the library's (timing ``demand_first``, proportional allocation, installation
base-stock levels with orders that travel upstream within the period), written as one would for this one system: a loop
over lanes on all cores, a lane's state in small local arrays, sizes known to the compiler, float32 throughout, nothing
computed that the cost does not need.

Every kernel takes ``demand [T, C, lanes]`` (the crossing one ``lead_time [T, 4, lanes]`` too), so that
`tests/test_race.py` can give both sides the same numbers. With an empty array, as in the race, it draws its own: from
`numpy.random`, as one writes it (Mersenne Twister), or if ``quick`` from a small generator of its own, which is 1.5
times faster and not fit for more than a race. It returns each lane's total cost.
"""

# ruff: noqa: NPY002 (inside Numba there is only the legacy interface, one generator for each thread)

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba import float32, int32, uint64

__all__ = ["assembly", "crossing", "serial", "tree"]

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_FULL_TURN = np.float32(2.0 * math.pi)
_TO_UNIT = np.float32(2.0**-24)

_lanes_in_parallel = nb.njit(parallel=True, fastmath=True, cache=True, error_model="numpy")
_inline = nb.njit(inline="always", fastmath=True, error_model="numpy")


@_inline
def _seed(lane, seed):
    """A generator's state for a lane: the finalizer of SplitMix64. Steele, Lea and Flood (2014)."""
    z = uint64(seed) * uint64(0xD1342543DE82EF95) + uint64(lane + 1) * uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31)) | uint64(1)


@_inline
def _next(state):
    """Xorshift64*, Marsaglia (2003) and Vigna (2016): a new state and 64 bits, the upper ones good."""
    state ^= state >> uint64(12)
    state ^= state << uint64(25)
    state ^= state >> uint64(27)
    return state, state * uint64(0x2545F4914F6CDD1D)


@_inline
def _uniforms(state):
    """A new state and two numbers in (0, 1]."""
    state, bits = _next(state)
    first = (float32(bits >> uint64(40)) + _ONE) * _TO_UNIT
    second = (float32((bits >> uint64(16)) & uint64(0xFFFFFF)) + _ONE) * _TO_UNIT
    return state, first, second


@_inline
def _normals(state):
    """A new state and two standard normals, Box and Muller (1958)."""
    state, u, v = _uniforms(state)
    radius = math.sqrt(float32(-2.0) * math.log(u))
    return state, radius * math.cos(_FULL_TURN * v), radius * math.sin(_FULL_TURN * v)


@_inline
def _lead_time(u, cumulative):
    """1..4 by the inverse of the distribution."""
    return int32(1) + int32(u > cumulative[0]) + int32(u > cumulative[1]) + int32(u > cumulative[2])


@_lanes_in_parallel
def serial(level, holding, backlog_cost, mean, sd, demand, lanes, periods, seed, quick):
    """Four stages in a line, each two periods from the one before."""
    cost = np.zeros(lanes, np.float32)
    given = demand.shape[0] > 0
    for lane in nb.prange(lanes):
        stock = np.empty(4, np.float32)
        owed = np.zeros(5, np.float32)  # owed[n]: to stage n by the one before it; owed[4]: to the customer
        due = np.zeros(4, np.float32)  # arrives now
        later = np.zeros(4, np.float32)  # arrives in the next period
        order = np.zeros(5, np.float32)
        sent = np.zeros(5, np.float32)
        for n in range(4):
            stock[n] = level[n]
        state = _seed(lane, seed)
        spare = _ZERO
        total = _ZERO
        for t in range(periods):
            if given:
                asked = demand[t, 0, lane]
            elif not quick:
                asked = max(_ZERO, float32(np.random.normal(mean, sd)))
            elif t & 1:
                asked = max(_ZERO, mean + sd * spare)
            else:
                state, z, spare = _normals(state)
                asked = max(_ZERO, mean + sd * z)
            order[4] = asked
            for n in range(3, -1, -1):
                position = stock[n] + due[n] + later[n] + owed[n] - owed[n + 1] - order[n + 1]
                order[n] = max(_ZERO, level[n] - position)
            sent[0] = order[0]
            for n in range(4):
                have = stock[n] + due[n]
                want = owed[n + 1] + order[n + 1]
                served = min(have, want)
                stock[n] = have - served
                owed[n + 1] = want - served
                sent[n + 1] = served
                total += holding[n] * stock[n]
            total += backlog_cost * owed[4]
            for n in range(4):
                due[n] = later[n]
                later[n] = sent[n]
        cost[lane] = total
    return cost


@_lanes_in_parallel
def crossing(level, holding, backlog_cost, mean, sd, cumulative, demand, lead_time, lanes, periods, seed, quick):
    """The line of four with lead times drawn from 1..4 for every shipment: orders cross."""
    cost = np.zeros(lanes, np.float32)
    given = demand.shape[0] > 0
    for lane in nb.prange(lanes):
        stock = np.empty(4, np.float32)
        owed = np.zeros(5, np.float32)
        coming = np.zeros(4, np.float32)  # all that is on its way to a stage
        pipeline = np.zeros((4, 4), np.float32)  # [period modulo 4, stage]
        lead = np.zeros(4, np.int32)
        order = np.zeros(5, np.float32)
        for n in range(4):
            stock[n] = level[n]
        state = _seed(lane, seed)
        spare = _ZERO
        total = _ZERO
        for t in range(periods):
            if given:
                asked = demand[t, 0, lane]
                for n in range(4):
                    lead[n] = lead_time[t, n, lane]
            elif not quick:
                asked = max(_ZERO, float32(np.random.normal(mean, sd)))
                for n in range(4):
                    lead[n] = _lead_time(float32(np.random.random()), cumulative)
            else:
                if t & 1:
                    asked = max(_ZERO, mean + sd * spare)
                else:
                    state, z, spare = _normals(state)
                    asked = max(_ZERO, mean + sd * z)
                for n in range(0, 4, 2):
                    state, u, v = _uniforms(state)
                    lead[n] = _lead_time(u, cumulative)
                    lead[n + 1] = _lead_time(v, cumulative)
            order[4] = asked
            for n in range(3, -1, -1):
                position = stock[n] + coming[n] + owed[n] - owed[n + 1] - order[n + 1]
                order[n] = max(_ZERO, level[n] - position)
            now = t & 3
            sent = order[0]
            for n in range(4):
                arrived = pipeline[now, n]
                pipeline[now, n] = _ZERO
                have = stock[n] + arrived
                coming[n] += sent - arrived
                pipeline[(t + lead[n]) & 3, n] += sent
                want = owed[n + 1] + order[n + 1]
                sent = min(have, want)
                stock[n] = have - sent
                owed[n + 1] = want - sent
                total += holding[n] * stock[n]
            total += backlog_cost * owed[4]
        cost[lane] = total
    return cost


@_lanes_in_parallel
def tree(level, holding, backlog_cost, mean, sd, demand, lanes, periods, seed, quick):
    """A plant, four warehouses, four retailers at each: 21 nodes, two periods apart."""
    cost = np.zeros(lanes, np.float32)
    given = demand.shape[0] > 0
    for lane in nb.prange(lanes):
        stock = np.empty(21, np.float32)
        owed = np.zeros(37, np.float32)  # owed[n]: to node n by its source; owed[21 + r]: to the customer of retailer r
        due = np.zeros(21, np.float32)
        later = np.zeros(21, np.float32)
        order = np.zeros(37, np.float32)
        sent = np.zeros(21, np.float32)
        for n in range(21):
            stock[n] = level[n]
        state = _seed(lane, seed)
        total = _ZERO
        for t in range(periods):
            if given:
                for r in range(16):
                    order[21 + r] = demand[t, r, lane]
            elif not quick:
                for r in range(16):
                    order[21 + r] = max(_ZERO, float32(np.random.normal(mean, sd)))
            else:
                for r in range(0, 16, 2):
                    state, y, z = _normals(state)
                    order[21 + r] = max(_ZERO, mean + sd * y)
                    order[22 + r] = max(_ZERO, mean + sd * z)
            for n in range(20, 4, -1):
                position = stock[n] + due[n] + later[n] + owed[n] - owed[n + 16] - order[n + 16]
                order[n] = max(_ZERO, level[n] - position)
            for n in range(4, -1, -1):
                position = stock[n] + due[n] + later[n] + owed[n]
                for m in range(4 * n + 1, 4 * n + 5):
                    position -= owed[m] + order[m]
                order[n] = max(_ZERO, level[n] - position)
            sent[0] = order[0]
            for n in range(5):
                have = stock[n] + due[n]
                want = _ZERO
                for m in range(4 * n + 1, 4 * n + 5):
                    owed[m] += order[m]
                    want += owed[m]
                if want <= have:
                    stock[n] = have - want
                    for m in range(4 * n + 1, 4 * n + 5):
                        sent[m] = owed[m]
                        owed[m] = _ZERO
                else:
                    share = have / want
                    stock[n] = _ZERO
                    for m in range(4 * n + 1, 4 * n + 5):
                        sent[m] = share * owed[m]
                        owed[m] -= sent[m]
                total += holding[n] * stock[n]
            for n in range(5, 21):
                have = stock[n] + due[n]
                want = owed[n + 16] + order[n + 16]
                served = min(have, want)
                stock[n] = have - served
                owed[n + 16] = want - served
                total += holding[n] * stock[n] + backlog_cost * owed[n + 16]
            for n in range(21):
                due[n] = later[n]
                later[n] = sent[n]
        cost[lane] = total
    return cost


@_lanes_in_parallel
def assembly(level, holding, backlog_cost, mean, sd, demand, lanes, periods, seed, quick):
    """Four parts, two into each of two subassemblies, these into a product: 7 nodes, two periods apart.

    Inputs that wait for their partners are kept beside the stock and cost what they cost where they came from.
    """
    cost = np.zeros(lanes, np.float32)
    given = demand.shape[0] > 0
    for lane in nb.prange(lanes):
        stock = np.empty(7, np.float32)  # parts 0..3, subassemblies 4 and 5, product 6
        waiting = np.zeros(6, np.float32)  # waiting[n]: units of node n that wait at the node they go into
        owed = np.zeros(7, np.float32)  # owed[n]: by node n to what it goes into, or to the customer
        supply = np.zeros(4, np.float32)  # bought parts that arrive now, and
        supply_later = np.zeros(4, np.float32)  # in the next period
        due = np.zeros(6, np.float32)  # units of node n that arrive now where they are going
        later = np.zeros(6, np.float32)
        order = np.zeros(7, np.float32)  # of units of node n
        bought = np.zeros(4, np.float32)
        sent = np.zeros(7, np.float32)
        for n in range(7):
            stock[n] = level[n]
        state = _seed(lane, seed)
        spare = _ZERO
        total = _ZERO
        for t in range(periods):
            if given:
                order[6] = demand[t, 0, lane]
            elif not quick:
                order[6] = max(_ZERO, float32(np.random.normal(mean, sd)))
            elif t & 1:
                order[6] = max(_ZERO, mean + sd * spare)
            else:
                state, z, spare = _normals(state)
                order[6] = max(_ZERO, mean + sd * z)
            own = stock[6] - owed[6] - order[6]
            for n in range(4, 6):
                position = own + waiting[n] + due[n] + later[n] + owed[n]
                order[n] = max(_ZERO, level[6] - position)
            for k in range(4, 6):
                own = stock[k] - owed[k] - order[k]
                for n in range(2 * k - 8, 2 * k - 6):
                    position = own + waiting[n] + due[n] + later[n] + owed[n]
                    order[n] = max(_ZERO, level[k] - position)
            for n in range(4):
                position = stock[n] - owed[n] - order[n] + supply[n] + supply_later[n]
                bought[n] = max(_ZERO, level[n] - position)
            for n in range(7):
                if n < 4:
                    built = supply[n]
                else:
                    a = 2 * n - 8
                    first = waiting[a] + due[a]
                    second = waiting[a + 1] + due[a + 1]
                    built = min(first, second)
                    waiting[a] = first - built
                    waiting[a + 1] = second - built
                    total += holding[a] * waiting[a] + holding[a + 1] * waiting[a + 1]
                have = stock[n] + built
                want = owed[n] + order[n]
                served = min(have, want)
                stock[n] = have - served
                owed[n] = want - served
                sent[n] = served
                total += holding[n] * stock[n]
            total += backlog_cost * owed[6]
            for n in range(4):
                supply[n] = supply_later[n]
                supply_later[n] = bought[n]
            for n in range(6):
                due[n] = later[n]
                later[n] = sent[n]
        cost[lane] = total
    return cost
