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
# # From a year of sales to a replenishment policy
#
# The story of `make demo`, to read and to play with: real point-of-sale history becomes a simulated distribution network;
# classical rules are tuned on it; PPO learns on it; and weeks that no fit has seen decide.
# Budgets are small here, so that the notebook runs in about a minute. `make demo` spends five.

# %%
# %matplotlib inline
import dataclasses

import jax
import numpy as np

from meio_jax import Processes, draw, rollout, scenario_of
from meio_jax.data import DataUnavailable, complete_journey, describe, split, synthetic_history
from meio_jax.evaluate import evaluate
from meio_jax.plot import comparison, draw_network, learning_curve, stock_over_time
from meio_jax.twin import distribution_centre, fit_demand

try:
    history = complete_journey(stores=6)
except DataUnavailable as error:
    print(error)
    history = synthetic_history(seed=0, stores=6)
history.source

# %% [markdown]
# ## What the history looks like
# Daily units of one product group in six stores. Demand is overdispersed (variance over mean above 1, so Poisson would be
# too tame), has a weekly rhythm, and the stores move together a little.

# %%
past, future = split(history, 91)
facts = describe(past)
print("mean per day     ", np.round(facts["mean"], 2))
print("variance / mean  ", np.round(facts["dispersion"], 2))
print("weekday, Mon-Sun ", np.round(facts["weekday_pooled"], 2))
print("correlation      ", round(float(facts["residual_correlation_mean"]), 3))

# %% [markdown]
# ## A world to practise in
# The fit is a weekday profile times a negative binomial for each store, coupled by a Gaussian copula. It is data to the
# simulator: a `Scenario` is drawn first, and the dynamics are a deterministic function of it.

# %%
fit = fit_demand(past)
world = Processes(demand=fit.process)
scenario = draw(world, jax.random.key(0), 364, 64)
drawn = np.asarray(scenario.shocks.demand)
print(
    "history: mean", past.demand.mean().round(2), " total's variance / mean", round(float(facts["total_dispersion"]), 2)
)
total = drawn.sum(1)
print("fitted:  mean", drawn.mean().round(2), " total's variance / mean", (total.var() / total.mean()).round(2))

# %%
network = distribution_centre(past)
draw_network(network)

# %% [markdown]
# ## Tuned base-stock
# A level for each node, found by simulation: every candidate meets the same scenarios, and the winner's cost is taken on
# fresh ones.

# %%
from meio_jax.observation import accumulate_downstream
from meio_jax.policies import BaseStock, SeasonalBaseStock
from meio_jax.solvers import search

tuned = search(network, BaseStock(), world, jax.random.key(1), budget=400, lanes=16, periods=120, warmup=28)
levels = tuned.theta["level"]
print(f"cost a day {tuned.cost:.3f}  [{tuned.low:.3f}, {tuned.high:.3f}] after {tuned.evaluations} candidates")
dict(zip(network.wiring.nodes, np.asarray(levels)[:, 0].astype(int), strict=True))

# %% [markdown]
# ## A rule that knows the weekday
# The learner will see the day of the week, so a fair baseline must too: levels that swing with the demand that an order
# has to cover. (`make demo` tunes the swing as well.)

# %%
season = SeasonalBaseStock.following(network, np.roll(fit.mean, -fit.start, axis=0))
weekday = {"level": accumulate_downstream(network, levels), "swing": np.ones_like(levels)}

# %% [markdown]
# ## PPO, from that rule on
# The network's outputs are order-up-to levels. Untrained it orders by the weekday rule; what it can add is the
# pipeline and the stock elsewhere. `credit="local"` keeps an account for each node, so that a store's decision is not
# judged by the luck of the other stores. Rollout, advantages, updates and evaluation are one compiled program.

# %%
from meio_jax.learners.config import PPOConfig, PPOHyper
from meio_jax.learners.loop import train
from meio_jax.learners.ppo import init_train
from meio_jax.policies.scale import measure_scale

config = PPOConfig(
    updates=60,
    lanes=128,
    epochs=2,
    cycle=7,
    credit="local",
    eval_every=10,
    eval_lanes=64,
    eval_periods=140,
    eval_warmup=28,
)
hyper = PPOHyper(learning_rate=3e-4, discount=0.95, trace=0.8, std=0.2, std_end=0.1)
scale = measure_scale(network, world, jax.random.key(2), lanes=128)
scale = dataclasses.replace(scale, echelon=weekday["level"], season=np.asarray(season.season)[..., None])
state = init_train(config, network, world, hyper, jax.random.key(3), scale=scale)
state, metrics = train(config, network, world, hyper, jax.random.key(4), state=state)
learning_curve(
    {"cost": metrics["eval_cost"], "steps": np.arange(1, 7) * 10}, {"tuned base-stock": tuned.cost}, title="Learning"
)

# %% [markdown]
# ## The verdict
# All policies meet the same draws, so their differences are far better known than their costs. The second table is one
# history: its intervals come from weekly batches and are wide, as they should be.

# %%
params, moments = state.best
policies = {
    "base-stock": (BaseStock(), tuned.theta),
    "weekday base-stock": (season, weekday),
    "PPO": (config.policy, dataclasses.replace(state.theta, params=params, moments=moments)),
}
fresh = evaluate(
    network, policies, world, jax.random.key(5), periods=200, lanes=128, warmup=28, baseline="weekday base-stock"
)
print(fresh.table())

# %%
backtest = scenario_of(np.concatenate([past.demand[-28:], future.demand]))
held_out = evaluate(network, policies, backtest, jax.random.key(6), warmup=28, baseline="weekday base-stock")
print(held_out.table())

# %%
comparison([(name, k["cost"].mean, k["cost"].low, k["cost"].high) for name, k in fresh.kpis.items()])

# %%
played = rollout(network, *policies["PPO"], backtest, jax.random.key(6), keep_trajectory=True)
stock_over_time(network, played.trajectory, nodes=network.wiring.nodes[:3], title="PPO on weeks that no fit has seen")

# %% [markdown]
# ## Where to go on
# * Change `RetailCosts` and run again: nothing compiles anew.
# * Give the same `evaluate` call another policy, or another scenario: history, a stress test, a counterfactual.
# * `meio schema` prints the format of network files; `examples/` has five of them.
