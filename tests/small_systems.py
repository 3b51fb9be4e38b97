"""The systems of the dynamic programs' tests: lost sales, dual sourcing, perishables, two echelons."""

import numpy as np
from scipy import stats

from meio_jax.build import build_network
from meio_jax.elements import CUSTOMER, OUTSIDE, Arc, Node
from meio_jax.processes import Processes, empirical, geometric, poisson
from meio_jax.solvers.laws import Pmf, Poisson, as_law
from meio_jax.solvers.problem import Problem

THREE = np.array([0.3, 0.4, 0.2, 0.1])
UNIFORM = np.full(5, 0.2)


def of_pmf(network, *pmfs, **criterion):
    """A problem whose customers ask for 0, 1, 2, ... with the given probabilities."""
    width = max(len(p) for p in pmfs)
    values = [list(range(width)) for _ in pmfs]
    padded = [np.pad(np.asarray(p, float), (0, width - len(p))).tolist() for p in pmfs]
    return Problem(network, Processes(demand=empirical(values, padded)), tuple(Pmf(p) for p in pmfs), **criterion)


def lost_sales(lead_time, penalty, demand="poisson", fixed=0.0, timing="order_first", pmf=None, **arc):
    """Zipkin (2008) with h = 1; mean demand 5, or a given law."""
    supply = Arc(OUTSIDE, "store", lead_time=lead_time, fixed_order_cost=fixed, **arc)
    network = build_network(
        [Node("store", holding_cost=1)],
        [supply, Arc("store", CUSTOMER, lost_cost=penalty, keep=0)],
        integer=True,
        timing=timing,
    )
    if pmf is not None:
        return of_pmf(network, pmf)
    if demand == "poisson":
        return Problem(network, Processes(demand=poisson(5.0)), (Poisson(5.0),))
    return Problem(network, Processes(demand=geometric(5.0)), (as_law(stats.geom(1 / 6, loc=-1)),))


def dual_sourcing(lead_time, expediting, penalty=495.0, holding=5.0, pmf=UNIFORM, most=8):
    """Gijsbrechts et al. (2022), section 6.2."""
    arcs = [
        Arc(OUTSIDE, "store", name="regular", lead_time=lead_time, unit_cost=100, order_capacity=most),
        Arc(OUTSIDE, "store", name="expedited", lead_time=0, unit_cost=expediting, order_capacity=most),
        Arc("store", CUSTOMER, backlog_cost=penalty),
    ]
    return of_pmf(build_network([Node("store", holding_cost=holding)], arcs, integer=True), pmf)


def rounded_gamma(mean=4.0, cv=0.5):
    """round(Gamma), the demand of De Moor et al. (2022)."""
    law = stats.gamma(1 / cv**2, scale=mean * cv**2)
    k = np.arange(60)
    p = law.cdf(k + 0.5) - np.where(k > 0, law.cdf(k - 0.5), 0.0)
    return p / p.sum()


def perishable(shelf_life, lead_time, waste, issuing, pmf=None, most=10, **criterion):
    """De Moor et al. (2022): order 3, shortage 5, holding 1."""
    network = build_network(
        [Node("store", holding_cost=1, shelf_life=shelf_life, scrap_cost=waste)],
        [
            Arc(OUTSIDE, "store", lead_time=lead_time, unit_cost=3, order_capacity=most),
            Arc("store", CUSTOMER, lost_cost=5, keep=0),
        ],
        integer=True,
        issuing=issuing,
    )
    criterion = criterion or {"criterion": "discounted", "discount": 0.99, "periods": 365, "warmup": 100}
    return of_pmf(network, rounded_gamma() if pmf is None else pmf, **criterion)


def two_stages(lead_times, timing="order_first", pmf=THREE, penalty=9.0, **criterion):
    """A warehouse and a store in series, with backorders."""
    network = build_network(
        [Node("warehouse", holding_cost=1), Node("store", holding_cost=2)],
        [
            Arc(OUTSIDE, "warehouse", lead_time=lead_times[0]),
            Arc("warehouse", "store", lead_time=lead_times[1]),
            Arc("store", CUSTOMER, backlog_cost=penalty),
        ],
        integer=True,
        timing=timing,
    )
    return of_pmf(network, pmf, **criterion)


def two_retailers(pmfs, penalty=9.0, allocation="priority"):
    """One warehouse and two retailers, all lead times 1, with backorders."""
    network = build_network(
        [Node("warehouse", holding_cost=1), Node("a", holding_cost=2), Node("b", holding_cost=2)],
        [
            Arc(OUTSIDE, "warehouse", lead_time=1),
            Arc("warehouse", "a", lead_time=1),
            Arc("warehouse", "b", lead_time=1),
            Arc("a", CUSTOMER, backlog_cost=penalty),
            Arc("b", CUSTOMER, backlog_cost=penalty),
        ],
        integer=True,
        allocation=allocation,
    )
    return of_pmf(network, *pmfs)
