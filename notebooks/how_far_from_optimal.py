# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How far from optimal is it?
#
# A replenishment policy that costs 4.64 a period: is that good? Alone the number says nothing. This notebook goes through
# the systems whose optimum is known, from one shelf to a network, and shows each classical result instead of only
# computing it: where the minimum of the cost lies, what the optimal order looks like, where a network keeps its stock. Where
# no optimum is known it puts one between two bounds.
#
# Every policy here, optimal or not, is a `Policy` of the simulator, so every analytic cost can be checked by playing it.
# The page `docs/how_far_from_optimal.md` tells the whole story, with all methods and all families of instances.

# %%
# %matplotlib inline
import jax
import numpy as np

from meio_jax.evaluate import evaluate
from meio_jax.instances import find, instances
from meio_jax.plot import cost_curves, draw_network, order_surface, plot_service_times
from meio_jax.solvers import Poisson, base_stock_cost, clark_scarf, policy_cost, shang_song, value_iteration
from meio_jax.solvers.methods import solve


def simulated(problem, policy, theta, lanes=256, periods=1_100, warmup=100):
    """Mean cost per period as the simulator plays it, and half its 95 % interval."""
    key = jax.random.key(2026)
    found = evaluate(
        problem.network, {"": (policy, theta)}, problem.processes, key, periods=periods, lanes=lanes, warmup=warmup
    )
    cost = found.kpis[""]["cost"]
    return cost.mean, cost.high - cost.mean


# %% [markdown]
# ## One shelf: the newsvendor's curve
# Demand is Poisson with mean 5 a period, a unit left over costs 1, a unit owed costs 9, and an order takes L periods. The cost of
# a base-stock level S is E[(S - D)+] + 9 E[(D - S)+], where D is the demand of L + 1 periods, and the best S is the critical
# fractile 9 / (1 + 9) of D (Arrow, Harris and Marschak 1951). Two things to see: a longer lead time costs more though nothing is lost,
# and a level that is too low costs far more than one that is too high.

# %%
levels = np.arange(4, 27)
curves = {f"L = {L}": [base_stock_cost(float(s), Poisson(5.0), L, 1.0, 9.0) for s in levels] for L in (0, 1, 2)}
cost_curves(levels, {name: np.where(np.asarray(c) < 25, c, np.nan) for name, c in curves.items()})

# %% [markdown]
# ## A chain: Clark and Scarf (1960)
# Three stages, backorders, normal demand: Example 6.1 of Snyder and Shen. An echelon base-stock policy is optimal, and the
# recursion gives its levels; the solver also proves how far its number can be off. Next to it the heuristic of Shang and Song
# (2003), which needs one newsvendor problem for each stage and no recursion.

# %%
chain = find("serial/example_6_1").problem
exact, heuristic = clark_scarf(chain.network, chain.laws[0]), shang_song(chain.network, chain.laws[0])
print(f"optimum between {exact.lower_bound:.5f} and {exact.upper_bound:.5f}, found {exact.cost:.5f}")
print(f"published {find('serial/example_6_1').known_optimum}")
print("simulated {:.3f} ± {:.3f}".format(*simulated(chain, exact.policy, exact.theta)))
print(f"Shang-Song {heuristic.cost:.5f}: {100 * (heuristic.cost / exact.cost - 1):+.2f} %")
draw_network(chain.network, values=dict(zip(chain.network.wiring.nodes, exact.local_levels, strict=True)))

# %% [markdown]
# How flat is the optimum? Move the level of one stage, keep the others.

# %%
shift = np.linspace(-3, 3, 25)
moved = {}
for n, name in enumerate(chain.network.wiring.nodes):
    costs = []
    for d in shift:
        level = list(exact.echelon_levels)
        level[n] += d
        costs.append(clark_scarf(chain.network, chain.laws[0], levels=level).cost)
    moved[name] = np.where(np.asarray(costs) < 65, costs, np.nan)
cost_curves(shift, moved, x_label="echelon level, away from the optimal one", optimum=exact.cost)

# %% [markdown]
# ## Lost sales: no simple rule is optimal
# Demand that is not met is lost, and an order takes two periods (Zipkin 2008). Now the optimal order depends on all of the pipeline,
# not on its sum. The state is small enough for exact dynamic programming on the very transition that the simulator plays. Below is what
# each policy orders; frames mark where it differs from the optimal order. A base-stock rule orders far too much when the shelf is empty:
# those sales are lost already. A cap mends most of that.

# %%
shop = find("zipkin/poisson-L2-p4")
best = value_iteration(shop.problem)
rules = {k.what: k.rule() for k in shop.known if k.rule and k.what.startswith("best")}
shown = {"optimal": (best.policy, best.theta), **rules}
order_surface(shop.problem.network, shown, range(15), range(9))

# %%
print(f"optimal{best.cost:26.5f}   published {shop.known_optimum}")
for name, (policy, theta) in rules.items():
    cost = policy_cost(shop.problem, policy, theta).cost  # exact as well: its Markov chain, no simulation
    print(
        f"{name:24}{cost:9.5f}{100 * (cost / best.cost - 1):+8.2f} %   simulated {simulated(shop.problem, policy, theta)[0]:.3f}"
    )

# %% [markdown]
# ## Two suppliers: a ranking of rules
# A regular source that takes two periods, and one that delivers at once for 5 % more (Gijsbrechts et al. 2022). Single index, dual index and
# tailored base-surge are the classical rules; the capped dual index is within a hundredth of a percent.

# %%
dual = find("dual_sourcing/l2-ce105")
best = value_iteration(dual.problem)
print(f"{'optimal':28}{best.cost:9.4f}")
for known in dual.known:
    if known.rule:
        cost = policy_cost(dual.problem, *known.rule()).cost
        print(f"{known.what:28}{cost:9.4f}{100 * (cost / best.cost - 1):+8.3f} %")

# %% [markdown]
# ## Where should a network keep its safety stock?
# The guaranteed-service model asks another question: if every site promises its customers a service time and holds what it takes to
# keep the promise, which promises cost least? A dynamic program answers it for trees (Graves and Willems 2000), a mixed-integer program for
# any network. Stock gathers at few places: the others hold none and pass their time on.

# %%
tree = find("guaranteed_service/example_6_5").problem
placed = solve(tree, "guaranteed_service")
print(f"cost {placed.cost:.6f}, published {find('guaranteed_service/example_6_5').known_optimum}")
plot_service_times(tree.network, placed)

# %% [markdown]
# ## A network without a known optimum: between two bounds
# One warehouse, three retailers, Poisson demand, backorders: nobody knows the optimum, not even the form of the best policy. But it
# cannot cost less than the bound of Federgruen and Zipkin (1984), in which the warehouse may move what it has sent from one retailer to
# another; and it need not cost more than the best rule that we can find. The gap between the two is certified: whatever the optimum is,
# this rule is no further from it. A planner who knows the future (the hindsight bound, one linear program for each future) pays next to
# nothing here, since all cost is that of not knowing; that bound earns its place where capacities, prices and lost sales decide.

# %%
from meio_jax import Processes, draw
from meio_jax.policies import BaseStock
from meio_jax.processes import poisson
from meio_jax.solvers import federgruen_zipkin, search
from meio_jax.solvers.hindsight import hindsight
from meio_jax.topologies import distribution

network = distribution(
    3, lead_time=[2, 1], holding_cost=[0.5, 1.0], backlog_cost=9.0, initial_on_hand=[9, 6], integer=True
)
world = Processes(demand=poisson([3.0] * 3))
relaxed = federgruen_zipkin(network, [Poisson(3.0)] * 3)
known = hindsight(network, draw(world, jax.random.key(1), 120, 8))
found = search(network, BaseStock(echelon=True), world, jax.random.key(0), periods=220, warmup=20, lanes=64, budget=600)
print(f"knows the future             {known.mean / 120:7.4f}")
print(f"may move stock between shops {relaxed.cost:7.4f}")
print(f"best echelon base-stock      {found.cost:7.4f}   [{found.low:.4f}, {found.high:.4f}]")
print(f"certified: at most {100 * (found.high / relaxed.cost - 1):.1f} % above the optimum")
draw_network(network, values=dict(zip(network.wiring.nodes, found.theta["level"][:, 0], strict=True)))

# %% [markdown]
# ## Your own system
# `meio instances` lists what the literature knows, `meio solve INSTANCE` solves one, and `meio solve FILE` takes a network file of
# yours: it takes the strongest method that fits, says what it claims (optimal, exact for its rule, approximate, a bound), and if none fits
# it says why each does not. `make golden` computes everything that has a known value and prints published, ours and simulated side by side.

# %%
families: dict[str, list[str]] = {}
for i in instances():
    families.setdefault(i.family, []).append(i.id)
for family, ids in families.items():
    print(f"{family:22}{len(ids):4}   such as {ids[0]}")
