"""Figures: they are drawn without a display, hold what they should, and nothing lies upon another."""

import io
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from meio_jax import plot
from meio_jax.errors import InputError, UnknownNameError
from meio_jax.plot.layout import layout_of
from meio_jax.policies import BaseStock, CappedBaseStock
from meio_jax.topologies import assembly, distribution, multi_source, random_dag, serial, tree

NETWORKS = {
    "serial": serial(4, holding_cost=(0.1, 0.2, 0.5, 1), lead_time=(2, 4, 3, 4)),
    "tree": tree((4, 4)),
    "assembly": assembly((2, 3)),
    "distribution": distribution(3),
    "multi_source": multi_source(4),
    "random": random_dag(7, 9, features=("random_lead_time", "make_to_order")),
}


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in ax.texts]


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=60)
    data = buffer.getvalue()
    assert data.startswith(b"\x89PNG")
    return data


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_drawn_whole(name):
    network = NETWORKS[name]
    figure = plot.draw_network(network, title="A network")
    shown = texts(figure)
    assert set(network.wiring.nodes) <= set(shown)
    assert "A network" in shown
    patches = figure.axes[0].patches
    assert sum(isinstance(p, FancyArrowPatch) for p in patches) == network.wiring.n_arcs
    boxes = [p.get_extents() for p in patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == network.wiring.n_nodes + sum(network.wiring.make_to_order)
    assert len(png(figure)) > 1000


@pytest.mark.parametrize("network", [*NETWORKS.values(), *(random_dag(s, 8, density=0.4) for s in range(12))])
def test_no_node_lies_upon_another(network):
    at = layout_of(network.wiring)
    for (x, y), (u, v) in itertools.combinations(at.nodes, 2):
        assert abs(x - u) > 1.3 or abs(y - v) > 0.5
    for (x, y), (u, v) in itertools.product(at.ends.values(), at.nodes):
        assert abs(x - u) > 0.7 or abs(y - v) > 0.3
    passing = [p for stops in at.via.values() for p in stops]
    for (x, y), (u, v) in itertools.product(passing, at.nodes):
        assert abs(x - u) > 0.7 or abs(y - v) > 0.23


def test_a_tree_has_no_crossing_and_stands_in_the_middle():
    w = NETWORKS["tree"].wiring
    at = layout_of(w)
    heights = [at.nodes[n][1] for n in range(5, 21)]
    assert heights == sorted(heights, reverse=True)
    for n in range(1, 5):
        children = [at.nodes[w.dst[e]][1] for e in w.out_arcs[n]]
        assert at.nodes[n][1] == pytest.approx(np.mean(children))


def test_the_drawing_is_the_same_every_time():
    assert layout_of(NETWORKS["random"].wiring) == layout_of(NETWORKS["random"].wiring)


def test_values_are_written_and_shade():
    network = NETWORKS["serial"]
    figure = plot.draw_network(network, values=[83.18, 72.8, 49.0, 32.36], value_label="echelon base-stock level")
    shown = texts(figure)
    assert any("83.2" in t for t in shown)
    assert any("echelon base-stock level" in t for t in shown)
    colours = {p.get_facecolor() for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)}
    assert len(colours) == 4
    only = plot.draw_network(network, values={"stage2": 5.5})
    assert sum("5.5" in t for t in texts(only)) == 1
    with pytest.raises(UnknownNameError, match="'stage9' is no node"):
        plot.draw_network(network, values={"stage9": 1})
    with pytest.raises(InputError, match="there are 4 nodes"):
        plot.draw_network(network, values=[1, 2])


def test_it_draws_where_it_is_told():
    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2)
    assert plot.draw_network(NETWORKS["serial"], left) is figure
    assert plot.comparison([("a", 1.0), ("b", 2.0)], right) is figure
    png(figure)


def test_a_long_name_is_cut_and_an_odd_one_does_no_harm():
    network = serial(2, names=("a very long name of a distribution centre", "$x_{"))
    figure = plot.draw_network(network)
    assert any(t.endswith("…") and len(t) <= 16 for t in texts(figure))
    png(figure)


def test_learning_curve():
    rng = np.random.default_rng(0)
    runs = 50 + 20 * np.exp(-np.arange(30) / 5) + rng.normal(size=(4, 30))
    figure = plot.learning_curve({"cost": runs}, {"base stock": 51.0, "(s,S)": 53.0}, optimum=50.0, title="x")
    assert {"base stock 51.00", "(s,S) 53.00", "optimum 50.00"} <= set(texts(figure))
    assert len(figure.axes[0].collections) == 1  # the band
    png(figure)
    two = plot.learning_curve({"PPO": {"cost": runs[0], "steps": np.arange(30) * 10}, "other": {"cost": runs[1]}})
    assert {"PPO", "other"} <= set(texts(two))
    assert len(two.axes[0].collections) == 0
    png(plot.learning_curve({"cost": [3.0]}))
    png(plot.learning_curve({"cost": runs[0], "low": runs[0] - 1, "high": runs[0] + 1}))
    with pytest.raises(InputError, match="30 points"):
        plot.learning_curve({"cost": runs, "steps": np.arange(7)})


def test_a_failed_run_does_not_hide_the_rest():
    cost = np.array([60.0, 55, np.nan, 52, 51, np.inf])
    png(plot.learning_curve({"cost": cost}, {"base stock": 50.0}))
    png(plot.learning_curve({"PPO": {"cost": cost}, "broken": {"cost": cost * np.nan}}))


@pytest.mark.parametrize("lane_axis", [True, False])
def test_stock_over_time(lane_axis):
    network = NETWORKS["distribution"]
    w = network.wiring
    rng = np.random.default_rng(0)
    flows = {
        "on_hand": rng.uniform(0, 9, (50, w.n_nodes, 3)),
        "backlog": rng.uniform(0, 2, (50, w.n_arcs, 3)),
        "ordered": rng.uniform(0, 5, (50, w.n_arcs, 3)),
    }
    if not lane_axis:
        flows = {k: v[..., 0] for k, v in flows.items()}
    figure = plot.stock_over_time(network, flows, nodes=("warehouse", "retailer2"), periods=slice(10, 30), title="x")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["warehouse", "retailer2"]
    line = figure.axes[0].lines[0]
    assert line.get_xdata().tolist() == list(range(10, 30))
    assert line.get_ydata() == pytest.approx(flows["on_hand"].reshape(50, w.n_nodes, -1)[10:30, 0, 0])
    asked = figure.axes[0].lines[1].get_ydata()
    assert asked == pytest.approx(flows["ordered"].reshape(50, w.n_arcs, -1)[10:30, 1:4, 0].sum(axis=1))
    png(figure)
    with pytest.raises(UnknownNameError, match="'shop' is no node"):
        plot.stock_over_time(network, flows, nodes=["shop"])
    with pytest.raises(InputError, match="on_hand has shape"):
        plot.stock_over_time(network, flows | {"on_hand": np.zeros((50, 9))})
    png(
        plot.stock_over_time(
            NETWORKS["tree"], {"on_hand": np.ones((5, 21)), "backlog": np.ones((5, 37)), "ordered": np.ones((5, 37))}
        )
    )


def test_comparison():
    rows = [
        {"name": "PPO", "mean": 48.1, "low": 47.9, "high": 48.3},
        ("base stock", 47.7, 47.6, 47.8),
        ("constant", 61.0),
    ]
    figure = plot.comparison(rows, optimum=47.66)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["base stock", "PPO", "constant"]
    assert any("+0.92 %" in t for t in texts(figure))
    png(figure)
    assert any("+0.84 %" in t for t in texts(plot.comparison(rows)))
    png(plot.comparison([("profit", -5.0), ("nothing", 0.0)]))
    with pytest.raises(InputError, match="no policy"):
        plot.comparison([])
    with pytest.raises(InputError, match="no name and mean"):
        plot.comparison([{"name": "PPO"}])


def test_mermaid():
    text = plot.mermaid(assembly(2, lead_time=(3, 2, 1)))
    assert text.startswith("flowchart LR\n")
    assert '  n2["product"]' in text
    assert '  s0((supplier)) -->|"3"| n0' in text
    assert '  n1 -->|"1"| n2' in text
    assert "  n2 --> c4((customer))" in text
    odd = plot.mermaid(serial(1, names=('a "b"\n<c>',)))
    assert 'n0["a &quot;b&quot; &lt;c&gt;"]' in odd


def test_an_order_surface_is_what_the_policy_orders():
    network = serial(1, lead_time=2, holding_cost=1.0, lost_cost=4.0, keep=0.0, integer=True)
    rule, theta = BaseStock(), {"level": jnp.asarray([[9.0]])}
    table = plot.orders_by_state(network, rule, theta, range(12), range(4))
    on_hand, due = np.meshgrid(np.arange(12), np.arange(4))
    assert (table == np.maximum(9 - on_hand - due, 0)).all()
    capped = (CappedBaseStock(), {"level": jnp.asarray([[9.0]]), "cap": jnp.asarray([[3.0]])})
    figure = plot.order_surface(network, {"plain": (rule, theta), "capped": capped}, range(12), range(4))
    plain, other = figure.axes
    assert [t.get_text() for t in other.texts] == [f"{min(x, 3):g}" for x in table.ravel()]
    assert len(other.patches) == (table > 3).sum() and not plain.patches  # what differs from the first is framed
    with pytest.raises(InputError, match="no such place"):
        plot.orders_by_state(network, rule, theta, range(3), range(3), arc=1)


def test_an_order_surface_knows_what_is_owed_and_whole_units():
    network = serial(1, lead_time=2, holding_cost=1.0, backlog_cost=4.0, integer=True)
    rule, theta = BaseStock(), {"level": jnp.asarray([[8.6]])}
    table = plot.orders_by_state(network, rule, theta, range(-3, 4), [0, 2])
    assert table.tolist() == [[12, 11, 10, 9, 8, 7, 6], [10, 9, 8, 7, 6, 5, 4]]


def test_a_cost_curve_marks_its_minimum():
    levels = np.arange(5.0)
    figure = plot.cost_curves(levels, {"a": (levels - 3) ** 2 + 2, "b": 9 - levels}, optimum=1.5)
    said = [t.get_text() for t in figure.axes[0].texts]
    assert {"2 at 3", "5 at 4", "optimum 1.5", "a", "b"} <= set(said)
    with pytest.raises(InputError, match="4 costs for 5 levels"):
        plot.cost_curves(levels, {"a": np.ones(4)})
