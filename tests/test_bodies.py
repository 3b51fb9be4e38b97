"""Bodies of neural policies: every head with every body, and what each body alone promises."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meio_jax import CUSTOMER, OUTSIDE, Arc, Node, build_network
from meio_jax.actions import CappedBaseStock, OrderUpTo, Percentage, Quantity, ReorderUpTo, Tiers
from meio_jax.errors import InputError, UnknownNameError
from meio_jax.observation import observe
from meio_jax.policies.bodies import LSTM, MLP, Body, Graph, PerNode
from meio_jax.policies.bodies.views import view_names, views
from meio_jax.policies.neural import NeuralPolicy, ThetaMismatchError
from meio_jax.policies.normaliser import init_moments, normalise, update_moments
from meio_jax.policies.scale import scale_of
from meio_jax.processes import Processes, deterministic
from meio_jax.rollout import rollout
from meio_jax.scenario import Shock
from meio_jax.simulator import initial_state
from meio_jax.topologies import assembly, serial, tree

LANES = 3
BODIES = {"mlp": MLP((8,)), "per_node": PerNode((8,)), "graph": Graph((8,), rounds=1), "lstm": LSTM(5, (8,))}
HEADS = {
    "order_up_to": OrderUpTo(),
    "installation": OrderUpTo("installation", leak=0.1),
    "quantity": Quantity(),
    "percentage": Percentage(),
    "capped_base_stock": CappedBaseStock(),
    "reorder_up_to": ReorderUpTo(),
    "tiers": Tiers((0.0, 0.5, 1.0, 2.0), lean=2.0),
}


def mixed():
    """Two stores, the first of which has a second source: heads have outputs for inputs and for some of the arcs."""
    nodes = [Node("w", holding_cost=0.5, initial_on_hand=3.0), Node("a", holding_cost=1.0), Node("b", holding_cost=1.5)]
    arcs = [
        Arc(OUTSIDE, "w", lead_time=2), Arc("w", "a", lead_time=1), Arc("w", "b", lead_time=1),
        Arc(OUTSIDE, "a", lead_time=0, unit_cost=2.0, order_capacity=4.0),
        Arc("a", CUSTOMER, backlog_cost=9.0), Arc("b", CUSTOMER, backlog_cost=19.0),
    ]  # fmt: skip
    return build_network(nodes, arcs)


def seen_of(network, lanes=LANES, seed=0):
    """A picture in which nothing is zero and no two lanes are alike."""
    rng = np.random.default_rng(seed)

    def plain():
        state = initial_state(network, lanes)
        return observe(network, state, Shock(demand=state.demand))

    def fill(x):
        return jnp.asarray(rng.uniform(0, 2, x.shape) if x.ndim else 2, x.dtype)

    return jax.tree.map(fill, jax.eval_shape(plain))


def loud(shapes, seed=1):
    """Weights of these shapes with no layer at zero; NumPy's, so that nothing is compiled."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.5, x.shape), x.dtype), shapes)


def trained(policy, network, seed=1):
    """Numbers as training might leave them; features of mean 1 and variance 1."""
    theta = jax.eval_shape(lambda: policy.init(jax.random.key(0), network))
    moments = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), theta.moments)
    return theta.replace(params=loud(theta.params, seed), moments=moments, scale=sizes(network))


def sizes(network, seed=2):
    """Of no demand in particular."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(scale_of, network)
    return jax.tree.map(lambda x: jnp.asarray(rng.uniform(0.5, 2.0, x.shape), x.dtype), shapes)


# Every head with every body. A body knows of a head where its outputs belong and how many options they have, and heads
# share its weights but the last: one program holds one head of each kind.

KINDS = {
    "order_up_to": "order_up_to", "installation": "order_up_to", "percentage": "order_up_to", "quantity": "quantity",
    "capped_base_stock": "capped_base_stock", "reorder_up_to": "capped_base_stock", "tiers": "tiers",
}  # fmt: skip
OUT = ("actor_out", "input_out", "arc_out")
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quick(f):
    """Compiled in haste: it runs once."""
    return jax.jit(f, compiler_options=FAST)


def split(net):
    """Weights up to the last layers, and those."""
    return {k: v for k, v in net.items() if k not in OUT}, {k: v for k, v in net.items() if k in OUT}


class Played(NamedTuple):
    network: Any
    policies: Any
    thetas: Any
    nets: Any
    x: Any
    fresh: Any
    made: Any
    slope: Any


@functools.cache
def played(body):
    """What a body makes of a picture for each head: raw outputs of fresh and of loud weights, gradients, orders."""
    network, body = mixed(), BODIES[body]
    scale, seen = sizes(network), seen_of(network)
    policies = {name: NeuralPolicy(HEADS[name], body=body) for name in KINDS.values()}
    thetas = {name: trained(policy, network) for name, policy in policies.items()}
    memory = policies["tiers"].memory(network, LANES)
    whole = thetas["order_up_to"].params["net"]
    whole = whole | {
        k: v for theta in thetas.values() for k, v in theta.params["net"].items()
    }  # one without arc outputs
    torso = split(whole)[0]
    outs = {name: split(theta.params["net"])[1] for name, theta in thetas.items()}
    kept = {name: {k: torso[k] for k in split(theta.params["net"])[0]} for name, theta in thetas.items()}

    def ask(name, net, x):
        params = thetas[name].params | {"net": net}
        return policies[name].act_with_memory(network, thetas[name].replace(params=params), x, memory)

    def learn(numbers, x):
        torso, outs = numbers
        made, total = {}, 0.0
        for name in policies:
            dist, value, after = ask(name, {k: torso[k] for k in kept[name]} | outs[name], x)
            made[name] = (dist.mode(), value, after)
            total = total + (dist.distribution.logits[..., 0].sum() if HEADS[name].choices else dist.mode().sum())
        return total, made

    def run(key, numbers, seen):
        x = policies["tiers"].see(network, thetas["tiers"], seen)
        fresh = {}
        for name, policy in policies.items():
            theta = policy.init(key, network, scale, seen)
            fresh[name] = ask(name, theta.params["net"], x)[0]
            fresh[name] = fresh[name].distribution.logits if HEADS[name].choices else fresh[name].mode()
        (_, made), slope = jax.value_and_grad(learn, has_aux=True)(numbers, x)
        return x, fresh, made, slope

    x, fresh, made, slope = quick(run)(jax.random.key(0), (torso, outs), seen)
    nets = {name: {k: torso[k] for k in kept[name]} | outs[name] for name in policies}
    return Played(network, policies, thetas, nets, jax.tree.map(np.asarray, x), fresh, made, slope)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("body", BODIES)
def test_untrained_outputs_are_zero(body, head):
    """Which is the reference rule of every head: `tests/test_actions.py`."""
    found, h, kind = played(body), HEADS[head], KINDS[head]
    w, raw = found.network.wiring, np.asarray(found.fresh[kind])
    assert h.places(w) == HEADS[kind].places(w) and (h.channels, h.choices) == (
        HEADS[kind].channels,
        HEADS[kind].choices,
    )
    assert isinstance(BODIES[body], Body) and hash(NeuralPolicy(h, body=BODIES[body])) is not None
    assert raw.shape == (LANES, h.outputs(w), *((h.choices,) if h.choices else ()))
    np.testing.assert_array_equal(raw, raw[0, 0, 0] if h.choices else 0)  # logits that are all alike


@pytest.mark.parametrize("head", sorted(set(KINDS.values())))
@pytest.mark.parametrize("body", BODIES)
def test_trained_outputs_differ_by_lane_and_have_gradients(body, head):
    found = played(body)
    w, h = found.network.wiring, HEADS[head]
    raw, value, after = found.made[head]
    assert raw.shape == (LANES, h.outputs(w)) and value.shape == (LANES, 1)
    assert np.isfinite(raw).all() and np.isfinite(value).all() and (after is None) == (not BODIES[body].remembers)
    if not h.choices:
        assert (np.ptp(np.asarray(raw), 0) > 1e-3).all()
    torso, outs = found.slope
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found.slope))
    read = {"actor_out"} | {f"{p.of}_out" for p in h.places(w)}
    assert all((np.abs(layer["kernel"]).max() > 1e-3) == (name in read) for name, layer in outs[head].items())
    learned = {k: np.abs(v["kernel"]).max() for k, v in torso.items()}
    assert all((most == 0) if "critic" in k or "value" in k else (most > 1e-5) for k, most in learned.items()), learned


@pytest.mark.parametrize(("body", "head"), [("graph", "capped_base_stock"), ("lstm", "tiers")])
def test_a_policy_sees_asks_its_body_and_orders_by_its_head_and_nan_is_no_order_of_zero(body, head):
    found = played(body)
    network, policy, theta = found.network, found.policies[head], found.thetas[head]
    hurt = theta.replace(params=jax.tree.map(lambda x: x * np.nan, theta.params))

    def both(theta, hurt, seen, key):
        memory = policy.memory(network, LANES)
        mask = policy.head.mask(network, theta.scale, seen)
        dist, _, after = policy.act_with_memory(network, theta, policy.see(network, theta, seen), memory, mask)
        by_hand = policy.head.orders(network, theta.scale, seen, dist.mode())
        played = policy.apply(network, theta, memory, seen, key), policy.apply(network, hurt, memory, seen, key)
        return (by_hand, after), *played

    by_hand, (decision, after), (nan, _) = quick(both)(theta, hurt, seen_of(network), jax.random.key(0))
    np.testing.assert_array_equal(decision.orders, by_hand[0])
    jax.tree.map(np.testing.assert_array_equal, after, by_hand[1])
    assert np.isfinite(decision.orders).all() and np.isnan(nan.orders).all()


# What each body computes, by loops over nodes and arcs in NumPy


def layer(net, name, x, act=np.tanh):
    y = x @ np.asarray(net[name]["kernel"], np.float64) + np.asarray(net[name].get("bias", 0.0), np.float64)
    return act(y) if act else y


def outputs_of(w, head, net, inputs, arcs):
    """``[K]`` from what is known of each input and inner arc."""
    read = {"input": inputs, "arc": arcs}
    return [layer(net, f"{p.of}_out", read[p.of][p.row], None)[p.channel] for p in head.places(w)]


def lane_of(x, b):
    """What one lane sees of each node, input and arc, normalised by moments of mean 1 and variance 1, facts as they
    are.
    """
    parts = ((x.nodes, x.node_facts), (x.inputs, x.input_facts), (x.arcs, x.arc_facts))
    return [np.concatenate([np.clip(v[b] - 1.0, -10, 10), facts[b]], -1).astype(np.float64) for v, facts in parts]


def mean(rows, width):
    return np.mean(rows, 0) if len(rows) else np.zeros(width)


def test_mlp_by_hand():
    found = played("mlp")
    net, x = found.nets["quantity"], np.clip(found.x - 1.0, -10, 10)
    assert net["actor_0"]["kernel"].shape == (found.x.shape[-1], 8)
    assert set(net) == {"actor_0", "actor_out", "critic_0", "critic_out"}
    raw, value, _ = found.made["quantity"]
    np.testing.assert_allclose(raw, layer(net, "actor_out", layer(net, "actor_0", x), None), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value, layer(net, "critic_out", layer(net, "critic_0", x), None), rtol=1e-4, atol=1e-5)


def test_no_body_is_the_mlp_of_the_policys_widths():
    network = serial(2)
    plain, made = NeuralPolicy(widths=(5, 4), shared=True), NeuralPolicy(body=MLP((5, 4), shared=True))
    theta, seen = trained(plain, network), seen_of(network)
    programs = [
        jax.make_jaxpr(lambda t, s, p=p: p.apply(network, t, None, s, None)[0])(theta, seen) for p in (plain, made)
    ]
    assert str(programs[0]) == str(programs[1])
    plain.check(network, trained(made, network))


@pytest.mark.parametrize("head", ["capped_base_stock", "quantity"])
def test_per_node_by_hand(head):
    found = played("per_node")
    w, net = found.network.wiring, found.nets[head]
    for b in range(LANES):
        nodes, inputs, arcs = lane_of(found.x, b)

        def known(name, w=w, nodes=nodes, inputs=inputs, arcs=arcs):
            each = []
            for m, n in enumerate(w.node_of_input):
                into = mean([arcs[e] for e in w.arcs_of_input[m]], arcs.shape[1])
                out = mean([arcs[e] for e in w.out_arcs[n]], arcs.shape[1])
                each.append(layer(net, f"{name}_0", np.concatenate([nodes[n], inputs[m], into, out])))
            rest = layer(net, f"{name}_summary", np.concatenate([np.mean(each, 0), np.max(each, 0)]), None)
            return [np.tanh(layer(net, f"{name}_mix", z, None) + rest) for z in each]

        acts, judges = known("actor"), known("critic")
        along = [layer(net, "arc_0", np.concatenate([acts[w.input_of_arc[e]], arcs[e]])) for e in range(w.n_inner)]
        of_nodes = [np.mean([judges[m] for m in w.inputs_of_node[n]], 0) for n in range(w.n_nodes)]
        value = layer(net, "value", np.concatenate([np.mean(of_nodes, 0), np.max(of_nodes, 0)]), None)
        raw = outputs_of(w, HEADS[head], net, acts, along)
        np.testing.assert_allclose(found.made[head][0][b], raw, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.made[head][1][b], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["order_up_to", "quantity"])
def test_graph_by_hand(head):
    found = played("graph")
    w, net = found.network.wiring, found.nets[head]
    for b in range(LANES):
        nodes, inputs, arcs = lane_of(found.x, b)
        known = {}
        for name in ("actor", "critic"):
            node = [np.concatenate([x, np.mean(inputs[list(w.inputs_of_node[n])], 0)]) for n, x in enumerate(nodes)]
            node = [layer(net, f"{name}_node_0", x) for x in node]
            arc = [layer(net, f"{name}_arc_0", x) for x in arcs]
            sent = []
            for e in range(w.n_arcs):
                total = layer(net, f"{name}_message_0", arc[e], None)
                if w.src[e] >= 0:
                    total = total + layer(net, f"{name}_source_0", node[w.src[e]], None)
                if w.dst[e] >= 0:
                    total = total + layer(net, f"{name}_target_0", node[w.dst[e]], None)
                sent.append(np.tanh(total))
            ends = [[mean([sent[e] for e in a[n]], 8) for a in (w.in_arcs, w.out_arcs)] for n in range(w.n_nodes)]
            known[name] = (
                [x + layer(net, f"{name}_update_0", np.concatenate([x, *ends[n]])) for n, x in enumerate(node)],
                [a + s for a, s in zip(arc, sent, strict=True)],
            )
        node, arc = known["actor"]
        slots = []
        for m, n in enumerate(w.node_of_input):
            into = np.mean([arc[e] for e in w.arcs_of_input[m]], 0)
            slots.append(layer(net, "input_0", np.concatenate([node[n], into, inputs[m]])))
        inner = [layer(net, "inner_0", np.concatenate([slots[w.input_of_arc[e]], arc[e]])) for e in range(w.n_inner)]
        judge = known["critic"][0]
        value = layer(net, "value", np.concatenate([np.mean(judge, 0), np.max(judge, 0)]), None)
        np.testing.assert_allclose(
            found.made[head][0][b], outputs_of(w, HEADS[head], net, slots, inner), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(found.made[head][1][b], value, rtol=1e-4, atol=1e-5)


def by_hand_lstm(net, x, memory):
    hidden, cell = memory
    gates = layer(net, "gates", np.concatenate([x, hidden], -1), None)
    write, forget, read, new = np.split(gates, 4, -1)
    cell = cell / (1 + np.exp(-forget - 1)) + np.tanh(new) / (1 + np.exp(-write))
    hidden = np.tanh(cell) / (1 + np.exp(-read))
    known = np.concatenate([x, hidden], -1)
    return layer(net, "actor_out", layer(net, "actor_0", known), None), (hidden, cell)


def test_lstm_by_hand_remembers_lane_by_lane():
    """Two histories with the same present; an untrained memory makes no difference to the orders."""
    found, head = played("lstm"), "quantity"
    network, policy, net = found.network, found.policies[head], found.nets[head]
    theta = found.thetas[head].replace(params=found.thetas[head].params | {"net": net})

    @quick
    def step(theta, x, memory):
        dist, _, after = policy.act_with_memory(network, theta, x, memory)
        return dist.mode(), after

    memory, plain = policy.memory(network, LANES), (np.zeros((LANES, 5)), np.zeros((LANES, 5)))
    assert all(v.shape == (5, LANES) for v in memory)
    first, present = found.x.copy(), np.broadcast_to(found.x[:1], found.x.shape)
    first[2] = first[1]  # lanes 1 and 2 have the same past, lane 0 another
    for x in (first, present):
        raw, memory = step(theta, jnp.asarray(x), memory)
        by_hand, plain = by_hand_lstm(net, np.clip(x - 1.0, -10, 10).astype(np.float64), plain)
        np.testing.assert_allclose(raw, by_hand, rtol=1e-4, atol=1e-5)
    assert np.abs(raw[0] - raw[1]).max() > 1e-2
    np.testing.assert_array_equal(raw[1], raw[2])
    fresh = theta.params | {"net": net | {"actor_out": jax.tree.map(jnp.zeros_like, net["actor_out"])}}
    np.testing.assert_array_equal(step(theta.replace(params=fresh), jnp.asarray(present), memory)[0], 0)


# Bodies of no wiring


def shuffled(network, order):
    """The same network, its nodes written down in another order, and where its nodes, inputs and arcs were."""
    w = network.wiring
    nodes = [Node(w.nodes[n], holding_cost=float(network.holding_cost[n, 0])) for n in order]
    ends = [
        (OUTSIDE if s < 0 else w.nodes[s], CUSTOMER if d < 0 else w.nodes[d]) for s, d in zip(w.src, w.dst, strict=True)
    ]
    arcs = [Arc(*ends[e], lead_time=w.lead_time[e] if e < w.n_inner else 0) for e in range(w.n_arcs - 1, -1, -1)]
    new = build_network(nodes, arcs).wiring
    place = (
        [w.nodes.index(n) for n in new.nodes],
        [w.inputs.index((w.nodes.index(new.nodes[n]), c)) for n, c in new.inputs],
    )
    return new, (*place, [w.arcs.index(a) for a in new.arcs])


@pytest.mark.parametrize("body", ["per_node", "graph"])
def test_nodes_in_another_order_order_the_same(body):
    found, head = played(body), "capped_base_stock"
    w, net, policy = found.network.wiring, found.nets[head], NeuralPolicy(HEADS[head], body=BODIES[body], by_node=True)
    new, (nodes, inputs, arcs) = shuffled(found.network, [2, 1, 0])
    assert nodes != [0, 1, 2] and arcs != list(range(w.n_arcs))
    net = net | {"node_value": loud(jax.eval_shape(lambda: {"kernel": jnp.zeros((8, 1)), "bias": jnp.zeros(1)}))}

    def act(wiring, x):
        return BODIES[body].module(wiring, policy.head, True).apply({"params": net}, x)[:2]

    moved = type(found.x)(*(v[:, i] for v, i in zip(found.x, (nodes, inputs, arcs) * 2, strict=True)))
    one, two = quick(lambda a, b: (act(w, a), act(new, b)))(found.x, moved)
    place = {p: k for k, p in enumerate(policy.head.places(w))}
    where = {"input": inputs, "arc": arcs}
    same = [place[p._replace(row=where[p.of][p.row])] for p in policy.head.places(new)]
    np.testing.assert_allclose(two[0], one[0][:, same], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two[1], one[1][:, nodes], rtol=1e-5, atol=1e-6)
    assert np.ptp(np.asarray(one[1]), 1).min() > 1e-3


@pytest.mark.parametrize("body", ["per_node", "graph"])
def test_one_theta_plays_every_network(body):
    policy = NeuralPolicy(CappedBaseStock(), body=BODIES[body], cycle=7, by_node=True)
    networks = [
        serial(2, lead_time=(6, 1), timing="demand_first", order_delay=2), assembly((2,), units=2.0), tree((2, 2)),
        serial(1, shelf_life=3, lost_cost=5.0, keep=0.0, fixed_order_cost=3.0),
    ]  # fmt: skip
    theta = trained(policy, networks[0])
    for network in networks:
        theta = theta.replace(scale=sizes(network))
        policy.check(network, theta)
        seen = seen_of(network)
        orders = jax.eval_shape(
            lambda n=network, t=theta, s=seen: policy.apply(n, t, None, s, jax.random.key(0))[0].orders
        )
        assert orders.shape == (network.wiring.n_inner, LANES)


def test_what_is_told_goes_one_arc_further_with_each_round_both_ways():
    network = serial(4)
    policy = NeuralPolicy(Quantity(), body=Graph((8,), rounds=1))
    theta, lanes = trained(policy, network), 5
    x = jax.tree.map(np.asarray, quick(lambda s: policy.see(network, theta, s))(seen_of(network, 1)))
    x = jax.tree.map(lambda v: np.repeat(v, lanes, 0), x)
    for n in range(4):
        x.nodes[n, n, 0] += 0.5  # in lane n node n has more on hand, and the last lane is left alone
    raw = np.asarray(quick(lambda x: policy.act(network, theta, x)[0].mode())(x))
    moved = np.abs(raw[:4] - raw[4]) > 1e-6
    near = np.abs(np.arange(4)[:, None] - np.arange(4)) <= 1
    np.testing.assert_array_equal(moved, near)


# What is seen


def test_views_have_names_are_finite_and_say_what_they_mean():
    network = mixed()
    scale, seen = sizes(network), seen_of(network)
    found = quick(functools.partial(views, slots=3, cycle=7, horizon=20))(network, seen, scale)
    names = view_names(network, seen, scale, slots=3, cycle=7, horizon=20)
    for x, name, count in zip(found, names, (3, 3, 6) * 2, strict=True):
        assert x.shape == (LANES, count, len(name)) and len(set(name)) == len(name)
        assert np.isfinite(x).all()
    w, at = (
        network.wiring,
        {
            k: dict(zip(n, np.moveaxis(np.asarray(x), -1, 0), strict=True))
            for k, n, x in zip(names._fields, names, found, strict=True)
        },
    )
    np.testing.assert_allclose(at["nodes"]["on_hand"].T, seen.on_hand[0] / scale.node, rtol=1e-6)
    into_w = w.arcs.index("outside->w")
    np.testing.assert_allclose(
        at["arcs"]["pipeline 1"][:, into_w], seen.pipeline[1, into_w] / scale.arc[into_w], rtol=1e-6
    )
    np.testing.assert_array_equal(at["arcs"]["pipeline 2"], 0)  # no arc is so long
    np.testing.assert_allclose(at["arc_facts"]["lead_time"][0, into_w], np.log(3.0), rtol=1e-6)
    np.testing.assert_array_equal(at["arcs"]["available"], 1)
    for facts in (at["node_facts"], at["arc_facts"]):
        assert all((x >= 0).all() and (x <= 2).all() for x in facts.values())
    to_b = w.arcs.index("b->customer")
    np.testing.assert_allclose(at["arc_facts"]["late"][0, to_b], 19.0 / (19.0 + 1.5), rtol=1e-5)
    short = quick(functools.partial(views, slots=1))(network, seen, scale)  # one slot holds all that is on its way
    at = dict(
        zip(view_names(network, seen, scale, slots=1).arcs, np.moveaxis(np.asarray(short.arcs), -1, 0), strict=True)
    )
    np.testing.assert_allclose(at["pipeline 0"][:, :4].T, seen.pipeline.sum(0) / scale.arc, rtol=1e-6)


def test_moments_of_many_alike_are_shared():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(5, 6, 4, 3)) * [1, 4, 0.1] + [0, 10, -3]).astype(np.float32)
    tree = {"alike": init_moments((1, 3)), "facts": None, "flat": init_moments(2)}
    batch = {"alike": jnp.asarray(x), "facts": jnp.asarray(x[..., :1]), "flat": jnp.asarray(x[..., 0, :2])}
    new, out = quick(lambda t, b: (update_moments(t, b), normalise(update_moments(t, b), b)))(tree, batch)
    np.testing.assert_allclose(new["alike"].mean, x.mean((0, 1, 2))[None], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(new["alike"].variance, x.var((0, 1, 2))[None], rtol=1e-4)
    assert float(new["alike"].count) == float(new["flat"].count) == 30 and new["facts"] is None
    np.testing.assert_array_equal(out["facts"], batch["facts"])
    np.testing.assert_allclose(np.asarray(out["alike"]).std((0, 1, 2)), 1.0, rtol=1e-4)


# Refusals


def test_numbers_of_another_network_or_policy_are_refused():
    one, two = serial(2), serial(3)
    policy = NeuralPolicy(widths=(8,))
    theta = trained(policy, one)
    policy.check(one, theta)

    def play(network, theta, seen):
        jax.eval_shape(lambda: policy.apply(network, theta, None, seen, jax.random.key(0))[0])

    with pytest.raises(ThetaMismatchError, match=r"theta.scale.node has 2 rows.* needs 3"):
        policy.check(two, theta)
    with pytest.raises(ThetaMismatchError, match=r"theta.scale.node has 2 rows"):
        play(two, theta, seen_of(two))
    moved = theta.replace(scale=sizes(two))
    with pytest.raises(ThetaMismatchError, match=r"theta.params\['log_std'\] has shape \(2,\).*needs \(3,\)"):
        play(two, moved, seen_of(two))
    with pytest.raises(ThetaMismatchError, match=r"actor_0'\]\['bias'\] has shape \(8,\).*needs \(9,\)"):
        NeuralPolicy(widths=(9,)).check(one, theta)
    with pytest.raises(ThetaMismatchError, match=r"body LSTM .* on 2 nodes"):
        NeuralPolicy(body=LSTM()).check(one, theta)
    with pytest.raises(ThetaMismatchError, match="other fields of the observation"):
        play(one, theta, seen_of(one).replace(available=jnp.ones((2, LANES))))


def test_late_reports_and_outages_are_no_other_network():
    network = serial(2)
    policy = NeuralPolicy(widths=(8,))
    seen = seen_of(network, 1).replace(available=jnp.ones((2, 1)))
    theta = jax.eval_shape(lambda: policy.init(jax.random.key(0), network, None, seen))
    policy.check(network, theta.replace(scale=sizes(network)))


def test_a_body_that_remembers_is_asked_with_its_memory():
    network = serial(1)
    policy = NeuralPolicy(body=LSTM(4, (4,)))
    theta, seen = trained(policy, network), seen_of(network)
    with pytest.raises(InputError, match=r"LSTM remembers: begin with policy.memory"):
        jax.eval_shape(lambda: policy.apply(network, theta, None, seen, jax.random.key(0))[0])
    with pytest.raises(InputError, match="act_with_memory"):
        policy.act(network, theta, None)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: MLP(activation="sign"), UnknownNameError), (lambda: PerNode(activation="sign"), UnknownNameError),
        (lambda: Graph(rounds=0), InputError), (lambda: LSTM(0), InputError), (lambda: Graph(()), InputError),
        (lambda: PerNode(slots=0), InputError),
    ],
)  # fmt: skip
def test_bodies_that_make_no_sense_are_refused(make, error):
    with pytest.raises(error):
        make()


@pytest.mark.slow
def test_memory_is_carried_through_a_rollout_in_blocks():
    """Demand that does not change: every lane of every block must be the first lane of a plain rollout."""
    network = serial(2, holding_cost=1.0, backlog_cost=9.0)
    policy = NeuralPolicy(body=LSTM(4, (4,)))
    theta, world = trained(policy, network), Processes(demand=deterministic([1.5]))
    ways = [rollout(network, policy, theta, world, jax.random.key(0), periods=12, lanes=8, block=b) for b in (None, 4)]
    memories = [np.asarray(way.carry.memory.cell) for way in ways]
    assert memories[0].shape == (4, 8) and np.abs(memories[0]).max() > 1e-2
    np.testing.assert_allclose(memories[0], memories[1], rtol=1e-5)
    np.testing.assert_allclose(memories[1], np.repeat(memories[1][:, :1], 8, 1), rtol=1e-6)
    np.testing.assert_allclose(ways[0].totals.cost, ways[1].totals.cost, rtol=1e-5)
