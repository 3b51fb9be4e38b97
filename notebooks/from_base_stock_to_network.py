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
# # From a base-stock rule to a network that beats it
#
# A shop loses what it cannot serve, and an order takes four periods. The rule that every textbook has for it,
# base-stock, costs ten percent more than the optimum even with its best level. This notebook starts a neural network
# *as* that rule and lets it learn by the gradient of the cost through the simulator. Within a minute it is within a few
# tenths of a percent of the optimum, which is known for this shop (Zipkin 2008), so that nothing has to be believed.
# Then the same on a chain where base-stock *is* optimal and nothing can be won, and PPO beside it.
#
# `docs/learners.md` says how the learners work. The notebook `what_it_does_differently.py` looks into what was learned.

# %%
# %matplotlib inline
import os
import time

import jax
import numpy as np

from meio_jax.evaluate import evaluate
from meio_jax.instances import find
from meio_jax.learners import pathwise, ppo
from meio_jax.learners.classical import tune_by_gradient
from meio_jax.learners.loop import train
from meio_jax.plot import comparison, learning_curve
from meio_jax.policies import BaseStock, CappedBaseStock
from meio_jax.solvers import clark_scarf, value_iteration
from meio_jax.solvers.played import played

QUICK = os.environ.get("QUICK", "0") != "0"  # shorter runs, to see that all of it works

# %% [markdown]
# ## The shop
# Demand is Poisson with mean 5, a unit left over costs 1, a lost sale costs 4. An order of today can serve the demand
# of four periods from now. What is known of it: the optimum, and the best base-stock rule and the best base-stock rule
# with a largest order (Xin 2021), both costed exactly.

# %%
shop = find("zipkin/poisson-L4-p4")
problem, optimum = shop.problem, shop.known_optimum
known = {k.what: k.cost for k in shop.known if k.what.startswith("best")}
print(f"{'optimum':24}{optimum:8.5f}")
for name, cost in known.items():
    print(f"{name:24}{cost:8.5f}  {100 * (cost / optimum - 1):+.2f} %")

# %% [markdown]
# ## An untrained network is a base-stock rule
# The network's output is not an order but an order-up-to level, as a distance from a reference level; its last layer
# starts at zero. So before any learning it orders up to the reference, whatever it sees. The reference is a guess from
# mean and spread of the demand; nobody has tuned it. Played on the same draws the network and the rule cost the same,
# to the last bit.

# %%
config, hyper = pathwise.for_problem(problem, updates=40 if QUICK else 600, eval_every=20)
untrained = pathwise.init_train(config, problem.network, problem.processes, hyper, jax.random.key(0))
guess = {"level": untrained.theta.scale.echelon}
size = {"lanes": 256, "periods": 400} if QUICK else {"lanes": 1024, "periods": 1000}
of_network = played(problem, config.policy, untrained.theta, jax.random.key(1), **size)
of_rule = played(problem, BaseStock(), guess, jax.random.key(1), **size)
print(f"network, not trained      {of_network.mean:.6f}")
print(f"base-stock, level {guess['level'].item():.2f}   {of_rule.mean:.6f}")

# %% [markdown]
# ## Learning by the gradient of what was paid
# The simulator is a differentiable function of the orders, and the demand does not depend on them. So one backward pass
# over 40 periods of 256 shops says how each weight should move to have paid less, with far less noise than trying
# orders at random would (Alvo, Russo and Kanoria 2023). Quantities stay whole all the time: rounding passes the
# gradient on. After each segment the shops go on from where they stand, and some more periods are played so that the
# last orders answer for what they bring about.
#
# All numbers of the learner are its defaults, the same for every problem; only the length of the run is chosen here. A
# policy is judged on scenarios of its own, the same each time, and the best one so far is kept.

# %%
begun = time.perf_counter()
state, metrics = train(config, problem.network, problem.processes, hyper, state=untrained)
print(f"{config.updates} updates in {time.perf_counter() - begun:.0f} s, compilation included")


def curve(config, network, metrics, tail=0):
    """Validated cost over what was played to learn, millions of periods of one system."""
    each = config.lanes * (config.segment + tail) / 1e6
    cost, error = (np.asarray(metrics[k], float) for k in ("eval_cost", "eval_error"))
    steps = each * config.eval_every * np.arange(1, len(cost) + 1)
    return {"steps": steps, "cost": cost, "low": cost - 1.96 * error, "high": cost + 1.96 * error}


curves = {"pathwise": curve(config, problem.network, metrics, config.tail_periods(problem.network))}
learning_curve(curves, known, optimum=optimum, x_label="million periods played to learn")

# %% [markdown]
# The band is the noise of the validation, 256 shops over 400 periods; the wobble along the curve is far smaller, since
# all points share their scenarios.
#
# ## How far from optimal?
# The optimal policy is computed by dynamic programming on the very transition that the simulator plays. On common
# random numbers most of the luck cancels in the difference, so the gap has a narrow interval. These draws were seen
# neither in training nor in validation.

# %%
best = value_iteration(problem)
rules = {k.what: k.rule() for k in shop.known if k.what in known}
policies = {"optimal": (best.policy, best.theta), **rules, "network": (config.policy, state.best_theta)}
found = evaluate(
    problem.network, policies, problem.processes, jax.random.key(2), periods=100 + size["periods"], warmup=100,
    lanes=size["lanes"], baseline="optimal",
)  # fmt: skip
print(found.table())
gap = found.differences["network"].percent
print(f"\ngap of the network {gap.mean:.3f} %, 95 % interval [{gap.low:.3f}, {gap.high:.3f}]")
rows = [
    {"name": name, "mean": optimum + d.cost.mean, "low": optimum + d.cost.low, "high": optimum + d.cost.high}
    for name, d in found.differences.items()
]
comparison(rows, optimum=optimum, x_label="optimum + paired difference (95 % interval)")

# %% [markdown]
# ## The null case: where base-stock is optimal
# A learner that beats everything is to be distrusted. In a chain with backorders an echelon base-stock policy is
# optimal (Clark and Scarf 1960): the network can come down to 47.66 and no further. Three lines, the same defaults.

# %%
chain = find("serial/example_6_1")
config_c, hyper_c = pathwise.for_problem(chain.problem, updates=40 if QUICK else 300, eval_every=20)
state_c, metrics_c = train(config_c, chain.problem.network, chain.problem.processes, hyper_c, jax.random.key(0))

# %%
levels = clark_scarf(chain.problem.network, chain.problem.laws[0])
found_c = evaluate(
    chain.problem.network,
    {"optimal": (levels.policy, levels.theta), "network": (config_c.policy, state_c.best_theta)},
    chain.problem.processes, jax.random.key(3), periods=100 + size["periods"], warmup=100, lanes=size["lanes"],
    baseline="optimal",
)  # fmt: skip
gap = found_c.differences["network"].percent
print(f"gap of the network {gap.mean:.3f} %, 95 % interval [{gap.low:.3f}, {gap.high:.3f}]")
learning_curve(
    {"pathwise": curve(config_c, chain.problem.network, metrics_c, config_c.tail_periods(chain.problem.network))},
    optimum=chain.known_optimum, x_label="million periods played to learn",
)  # fmt: skip

# %% [markdown]
# ## PPO beside it
# PPO is told less: not how the cost depends on the orders, only what was paid after them. So it needs no gradient of
# the simulator, and learns where there is none (fixed costs, choices among a few orders); where there is one it has to
# find by trial what the pathwise learner reads off. The same shop, the same first policy, its own defaults.

# %%
config_p, hyper_p = ppo.for_problem(problem, updates=20 if QUICK else 300, eval_every=10)
begun = time.perf_counter()
state_p, metrics_p = train(config_p, problem.network, problem.processes, hyper_p, jax.random.key(0))
print(f"{config_p.updates} updates in {time.perf_counter() - begun:.0f} s, compilation included")
curves["PPO"] = curve(config_p, problem.network, metrics_p)
learning_curve(curves, known, optimum=optimum, x_label="million periods played to learn")

# %% [markdown]
# ## The same gradient tunes a rule
# A network is one thing to differentiate; the two numbers of the capped base-stock rule are another. From a guess, by
# gradient, then settled on whole numbers that no neighbour betters:

# %%
tuned = tune_by_gradient(problem, CappedBaseStock(), jax.random.key(4), updates=50 if QUICK else 300, eval_every=50)
print({name: x.item() for name, x in tuned.theta.items()}, f"cost {tuned.cost:.4f} [{tuned.low:.4f}, {tuned.high:.4f}]")
print(f"known as the best: {known['best capped base-stock']}")

# %% [markdown]
# ## What this shows, and what it does not
# - A network that starts as an untuned rule gets past the best rule of its kind and the best rule with a cap, and the
#   rest of the way to the optimum can be measured. One seed is shown; `make gaps` trains five on each family of
#   instances and reports those that miss their aim as well.
# - On the chain nothing could be won, and nothing was: there the network is an expensive way to find base-stock levels.
# - The optimum is known here because the shop is small. Where it is not, the yardsticks are a rule that is tuned as
#   hard as the network and a bound from below (`docs/how_far_from_optimal.md`).
# - Seconds depend on the machine; the periods played do not.
#
# The same for a file of yours: `meio train my_network.yaml --learner pathwise --out results/mine`.
