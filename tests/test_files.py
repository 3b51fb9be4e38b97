"""Network files: what is written is what is read, and every bad file is one named error that says where."""

# ruff: noqa: E501  (tables of bad files read best with one a line)

import json
import os
import re
import stat
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meio_jax import Arc, Node, build_network, errors
from meio_jax.elements import ARC_NUMBERS, NODE_NUMBERS
from meio_jax.errors import InputError
from meio_jax.files import dump_system, dumps_system, json_schema, load_system, parse_system
from meio_jax.files.schema import ARC_ROLES, NODE_ROLES, key_of, kinds
from meio_jax.files.syntax import DEEPEST, LARGEST_FILE, MOST_VALUES, line_of, parse_tree, resolve
from meio_jax.policies import BaseStock
from meio_jax.processes import PROCESSES, Processes, draw, mixed, normal, poisson
from meio_jax.rollout import rollout
from meio_jax.system import System

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))
TEXTS = {p.stem: p.read_text(encoding="utf-8") for p in EXAMPLES}
#: No file may take longer to be read or refused, in seconds; generous, as tests share their cores.
SLOW = 4.0

GOOD = """\
version: 1
name: test
nodes:
  - {id: a, holding_cost: 1}
  - {id: b, holding_cost: 2}
arcs:
  - {from: outside, to: a, lead_time: 2}
  - {from: a, to: b, lead_time: 1}
  - {from: b, to: customer, backlog_cost: 10, demand: {kind: poisson, mean: 5}}
"""


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


def same(a: System, b: System) -> None:
    """Bitwise the same numbers, the same structure, the same texts."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


# Reading


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_read_and_played(path):
    system = load_system(path)
    policy = BaseStock(echelon=True)
    theta = policy.init(jax.random.key(0), system.network)
    oldest = 0 if system.processes.reporting is None else 3
    played = rollout(
        system.network, policy, theta, system.processes, jax.random.key(1), periods=50, lanes=4, oldest=oldest
    )
    assert np.isfinite(played.totals.cost).all()
    assert (np.asarray(played.totals.demand) > 0).all()
    assert system.name and system.description and system.period in ("day", "week")


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


def test_the_serial_example_is_example_6_1():
    system = load_system(EXAMPLES[0].parent / "serial.yaml")
    theta = {"level": jnp.array([[22.706], [12.018], [6.491]])}
    totals = rollout(
        system.network, BaseStock(echelon=True), theta, system.processes, jax.random.key(0),
        periods=500, lanes=512, warmup=100,
    ).totals  # fmt: skip
    cost = np.asarray(totals.cost / totals.periods)
    assert abs(cost.mean() - 47.66) < 5 * cost.std() / 512**0.5 + 0.005


def test_numbers_arrive_where_they_belong():
    text = changed("holding_cost: 2}", "holding_cost: 2, capacity: 30, shelf_life: 4, yield: 0.5, make_to_order: true}")
    text = changed("lead_time: 2}", "lead_time: 2, unit_cost: 3, lot_size: 5, initial_pipeline: [1, 2]}", text)
    n = parse_system(text).network
    assert n.wiring.nodes == ("a", "b")
    assert n.wiring.lead_time == (2, 1) and n.wiring.make_to_order == (False, True) and n.wiring.ages == 4
    assert np.asarray(n.holding_cost)[:, 0].tolist() == [1, 2]
    assert np.asarray(n.capacity)[:, 0].tolist() == [np.inf, 30]
    assert np.asarray(n.yield_)[:, 0].tolist() == [1, 0.5]
    assert np.asarray(n.unit_cost)[:, 0].tolist() == [3, 0]
    assert np.asarray(n.initial_pipeline)[:, 0, 0].tolist() == [1, 2]


def test_a_number_may_differ_between_lanes():
    system = parse_system(changed("mean: 5", "mean: [5, 50]", changed("holding_cost: 1}", "holding_cost: [1, 3]}")))
    assert system.network.holding_cost.shape == (2, 2)
    assert np.asarray(system.processes.demand.mean).tolist() == [[5, 50]]


def test_random_lead_times_give_the_arc_its_bounds():
    lead = "{kind: discrete, values: [1, 2, 6], probabilities: [0.5, 0.25, 0.25]}"
    w = parse_system(changed("lead_time: 2", f"lead_time: {lead}")).network.wiring
    assert (w.min_lead_time, w.lead_time, w.max_lead_time) == ((1, 1), (3, 1), (6, 1))
    text = changed("lead_time: 2", f"lead_time: {lead}, min_lead_time: 0, max_lead_time: 9, nominal_lead_time: 2")
    w = parse_system(text).network.wiring
    assert (w.min_lead_time, w.lead_time, w.max_lead_time) == ((0, 1), (2, 1), (9, 1))


def test_rows_without_a_process_stay_what_they_were():
    text = changed("lead_time: 2", "lead_time: {kind: discrete, values: [1, 3], probabilities: [0.5, 0.5]}")
    text = changed("holding_cost: 2}", "holding_cost: 2, yield: {kind: uniform_yield, low: 0.5, high: 0.9}}", text)
    text = changed("holding_cost: 1}", "holding_cost: 1, yield: 0.75, reporting: {kind: reports, delay: 2}}", text)
    text = changed("lead_time: 1}", "lead_time: 1, supply: {kind: outages, fail: 0.5, repair: 0.5}}", text)
    shocks = draw(parse_system(text).processes, jax.random.key(0), 40, 8).shocks
    assert set(np.unique(shocks.lead_time[:, 0])) == {1, 3} and set(np.unique(shocks.lead_time[:, 1])) == {1}
    assert set(np.unique(shocks.available[:, 0])) == {1} and set(np.unique(shocks.available[:, 1])) == {0, 1}
    assert set(np.unique(shocks.yield_[:, 0])) == {0.75} and len(np.unique(shocks.yield_[:, 1])) > 10
    assert shocks.report_age[5:, 0].max() == 2 and shocks.report_age[:, 1].max() == 0


def test_like_rows_become_one_process_and_others_a_mixture():
    arc = "  - {{from: b, to: customer, id: {}, demand: {}}}\n"
    kinds_of = ["{kind: poisson, mean: 1}", "{kind: normal, mean: 9, sd: 1}", "{kind: poisson, mean: 3}"]
    text = GOOD + "".join(arc.format(f"c{i}", k) for i, k in enumerate(kinds_of))
    demand = parse_system(text).processes.demand
    assert demand.kind == "mixed" and [p.kind for p in demand.parts] == ["poisson", "normal"]
    assert demand.served == ((0, 1, 3), (2,))
    assert np.asarray(demand.long_run_mean())[:, 0].tolist()[:2] == [5, 1]


def test_a_correlation_matrix_follows_the_order_of_the_file():
    text = """\
version: 1
demand_correlation: [[1, 0.9, 0], [0.9, 1, 0.1], [0, 0.1, 1]]
nodes: [{id: b}, {id: a}]
arcs:
  - {from: outside, to: a}
  - {from: a, to: b}
  - {from: b, to: customer, id: first, demand: {kind: poisson, mean: 1}}
  - {from: a, to: customer, id: second, demand: {kind: poisson, mean: 2}}
  - {from: b, to: customer, id: third, demand: {kind: poisson, mean: 3}}
"""
    system = parse_system(text)
    assert system.network.wiring.arcs[2:] == ("second", "first", "third")
    found = np.asarray(system.processes.demand.correlation)[..., 0]
    np.testing.assert_allclose(found, [[1, 0.9, 0.1], [0.9, 1, 0], [0.1, 0, 1]], atol=1e-6)
    again = parse_system(dumps_system(system.replace(source=None)))
    np.testing.assert_allclose(np.asarray(again.processes.demand.correlation)[..., 0], found, atol=1e-6)


def test_a_file_of_two_thousand_nodes_is_read_quickly():
    nodes = [{"id": f"n{i}"} for i in range(2000)]
    arcs = [{"from": "outside" if i == 0 else f"n{(i - 1) // 2}", "to": f"n{i}", "lead_time": 1} for i in range(2000)]
    arcs += [
        {"from": f"n{i}", "to": "customer", "demand": {"kind": "normal", "mean": i, "sd": 1}} for i in range(999, 2000)
    ]
    start = time.monotonic()
    system = parse_system(json.dumps({"version": 1, "nodes": nodes, "arcs": arcs}), "json")
    assert system.network.wiring.n_nodes == 2000
    assert time.monotonic() - start < 30


# What YAML's words mean


@pytest.mark.parametrize(
    "word, value",
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("010", "010"), ("0x10", "0x10"), ("1_000", "1_000"), ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"), ("1e3", 1000.0), ("-2.5E-1", -0.25), (".5", 0.5), ("5.", 5.0), ("+7", 7), ("0", 0),
        ("null", None), ("~", None), ("", None), ("true", True), ("False", False), ("1.2.3", "1.2.3"), ("=", "="),
        ("9" * 19, float("9" * 19)), ("1e999", np.inf), ("nan", "nan"), ("None", "None"),
    ],
)  # fmt: skip
def test_unquoted_words(word, value):
    found = resolve(word)
    assert found == value and type(found) is type(value)
    assert parse_tree(f"a: {word}\nb: '{word}'", "yaml", "f") == {"a": value, "b": word}


def test_quoted_words_are_text():
    assert parse_tree("a: '1'\nb: \"null\"\nc: |\n  2\n", "yaml", "f") == {"a": "1", "b": "null", "c": "2\n"}


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_byte_order_mark_and_line_ends_do_not_matter(form):
    tree = parse_tree(GOOD, "yaml", "f")
    text = GOOD if form == "yaml" else json.dumps(tree, indent=1)
    assert parse_tree("\ufeff" + text.replace("\n", "\r\n"), form, "f") == tree


@pytest.mark.parametrize(
    "path, line",
    [
        (("version",), 1), (("nodes", 1), 5), (("nodes", 1, "holding_cost"), 5), (("arcs", 2, "demand", "mean"), 9),
        (("arcs", 2, "demand", "sd"), 9), (("arcs", 7), 6), (("nothing",), 1), (("arcs", 0), 7),
    ],
)  # fmt: skip
def test_lines_are_found(path, line):
    assert line_of(GOOD, path) == line


def test_lines_are_found_in_json():
    text = json.dumps(parse_tree(GOOD, "yaml", "f"), indent="\t")
    line = line_of(text, ("arcs", 2, "demand", "mean"))
    assert text.split("\n")[line - 1].strip() == '"mean": 5'


# Writing


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_what_was_read_is_what_is_written(path, form, tmp_path):
    system = load_system(path)
    target = tmp_path / f"copy.{form}"
    dump_system(system, target)
    again = load_system(target)
    same(system, again)
    tree = parse_tree(path.read_text(encoding="utf-8"), "yaml", "f")
    assert parse_tree(target.read_text(encoding="utf-8"), form, "f") == tree
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_a_system_without_its_file_is_written_from_its_arrays(path):
    system = load_system(path)
    again = parse_system(dumps_system(system.replace(source=None)))
    assert again.network.wiring == system.network.wiring
    assert jax.tree.structure(again.replace(source=None)) == jax.tree.structure(system.replace(source=None))
    for x, y in zip(jax.tree.leaves(again.network), jax.tree.leaves(system.network), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def one_row(kind: str, role: str) -> list[System]:
    """Systems with a process of three rows from its own examples, for customers, arcs or nodes."""
    nodes = [Node(n) for n in "abc"]
    inner = [Arc("outside", n, lead_time=1, min_lead_time=0, max_lead_time=9) for n in "abc"]
    network = build_network(nodes, [*inner, *(Arc(n, "customer") for n in "abc")])
    field = "yield_" if role == "yield" else role
    processes = [Processes(**{"demand": poisson([1.0, 2.0, 3.0]), field: p}) for p in PROCESSES[role][kind].examples()]
    return [System(network, p, name="of " + kind) for p in processes]


@pytest.mark.parametrize("role, kind", [(r, k) for r in PROCESSES for k in kinds(r)])
def test_every_process_goes_to_a_file_and_back(role, kind):
    for system in one_row(kind, role):
        text = dumps_system(system)
        assert f"kind: {kind}" in text
        again = parse_system(text)
        same(parse_system(dumps_system(again)), again)
        assert again.network.wiring == system.network.wiring
        assert dumps_system(again.replace(source=None)) == text


def test_a_changed_number_is_written_and_not_the_old_file():
    system = parse_system(GOOD)
    other = system.replace(network=system.network.replace(holding_cost=system.network.holding_cost * 3), name="other")
    tree = parse_tree(dumps_system(other), "yaml", "f")
    assert [n["holding_cost"] for n in tree["nodes"]] == [3, 6] and tree["name"] == "other"


def test_texts_survive_whatever_they_look_like():
    words = [
        "NO",
        "1e3",
        "010",
        "null",
        "",
        "a: b",
        "- x",
        "# no comment",
        "é ∑",
        "two\nlines\n",
        " x ",
        "'\"",
        "1",
        "\t",
    ]
    for word in words:
        system = parse_system(GOOD).replace(description=word)
        for form in ("yaml", "json"):
            assert parse_system(dumps_system(system, form), form).description == word


@settings(max_examples=60)
@given(st.floats(0, 1e9, allow_subnormal=False), st.floats(0, 1, width=32))
def test_every_number_survives(holding, keep):
    arcs = [Arc("outside", "a"), Arc("a", "customer", keep=keep)]
    system = System(build_network([Node("a", holding_cost=holding)], arcs), Processes(poisson(2.0)))
    for form in ("yaml", "json"):
        again = parse_system(dumps_system(system, form), form)
        for x, y in zip(jax.tree.leaves(system.network), jax.tree.leaves(again.network), strict=True):
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_what_no_file_can_hold_is_refused():
    system = parse_system(GOOD)
    lead = system.network.replace(lead_time=jnp.ones((2, 1)))
    with pytest.raises(errors.UnsupportedFileError, match="lead times as leaves"):
        dumps_system(system.replace(network=lead))
    demand = mixed([(poisson(5.0), 0), (poisson(6.0), 1)])  # a file would make one process of both
    two = parse_system(GOOD + "  - {from: b, to: customer, id: x, demand: {kind: poisson, mean: 6}}\n")
    with pytest.raises(errors.UnsupportedFileError, match="cannot be written"):
        dumps_system(two.replace(processes=two.processes.replace(demand=demand)))
    with pytest.raises(errors.UnsupportedFileError, match="format"):
        dumps_system(system, "toml")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    system = parse_system(GOOD)
    target = tmp_path / "system.yaml"
    target.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(errors.FileError, match="No space left"):
        dump_system(system, target)
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["system.yaml"]
    monkeypatch.undo()
    dump_system(system, target)
    assert not stat.S_IMODE(target.stat().st_mode) & stat.S_IXUSR
    with pytest.raises(errors.UnsupportedFileError, match="must end in"):
        dump_system(system, tmp_path / "system.txt")
    with pytest.raises(errors.FileError, match="cannot be written"):
        dump_system(system, tmp_path / "no" / "system.yaml")


# The schema


def test_the_schema_says_what_each_number_means():
    schema = json_schema()
    json.dumps(schema, allow_nan=False)
    defs = schema["$defs"]
    for table, name in ((NODE_NUMBERS, "Node"), (ARC_NUMBERS, "Arc")):
        for field, n in table.items():
            entry = defs[name]["properties"][key_of(field)]
            assert n.doc in entry["description"] and entry["unit"] == n.unit
    for role, classes in PROCESSES.items():
        for kind in kinds(role):
            entry = next(d for d in defs.values() if d["properties"].get("kind", {}).get("const") == kind)
            for parameter, p in classes[kind].parameters.items():
                assert p.doc in entry["properties"][parameter]["description"]
    assert {"demand", "lead_time", "supply"} == set(ARC_ROLES) and {"yield", "reporting"} == set(NODE_ROLES)
    assert set(schema["required"]) == {"version", "nodes", "arcs"}


# Every bad file has its error


BAD = [
    # what to change, the error, the line, words of the message
    ("holding_cost: 1}", "holdng_cost: 1}", "UnknownKeyError", 4, r"nodes\[0\].holdng_cost .*did you mean 'holding_cost'"),
    ("holding_cost: 1}", "holding_cost: 1, reporting: {kind: {a: 1}, x: 1}}", "UnknownKeyError", 4, "reporting.x"),
    ("nodes:", "knots:", "UnknownKeyError", 3, "did you mean 'nodes'"),
    ("mean: 5", "men: 5", "UnknownKeyError", 9, r"arcs\[2\].demand.men .*did you mean 'mean'"),
    ("holding_cost: 1}", "holding_cost: .nan}", "NumberError", 4, "NaN"),
    ("holding_cost: 1}", "holding_cost: nan}", "NumberError", 4, "nan"),
    ("holding_cost: 1}", "holding_cost: -.inf}", "NumberError", 4, "infinite"),
    ("holding_cost: 1}", "holding_cost: 1e999}", "NumberError", 4, "infinite"),
    ("holding_cost: 1}", "holding_cost: -1}", "NumberError", 4, "at least 0"),
    ("holding_cost: 1}", "holding_cost: 1e12}", "NumberError", 4, "at most"),
    ("holding_cost: 1}", f"holding_cost: {'9' * 400}}}", "NumberError", 4, "infinite"),
    ("holding_cost: 1}", "holding_cost: [1, .nan]}", "NumberError", 4, r"holding_cost\[1\]"),
    ("holding_cost: 1}", "holding_cost: []}", "WrongTypeError", 4, "empty"),
    ("holding_cost: 1}", "holding_cost: 010}", "WrongTypeError", 4, "'010'"),
    ("holding_cost: 1}", "holding_cost: NO}", "WrongTypeError", 4, "'NO'"),
    ("holding_cost: 1}", "holding_cost: true}", "WrongTypeError", 4, "true"),
    ("holding_cost: 1}", "holding_cost: '1'}", "WrongTypeError", 4, "'1'"),
    ("holding_cost: 1}", "holding_cost: }", "WrongTypeError", 4, "empty"),
    ("holding_cost: 1}", "holding_cost: {x: 1}}", "WrongTypeError", 4, "mapping"),
    ("holding_cost: 1}", "shelf_life: 2.5}", "NumberError", 4, "whole"),
    ("holding_cost: 1}", "shelf_life: 0}", "NumberError", 4, "at least 1"),
    ("holding_cost: 1}", "make_to_order: 1}", "WrongTypeError", 4, "true or false"),
    ("holding_cost: 1}", "yield: 2}", "NumberError", 4, "at most 1"),
    ("id: a,", "id: 5,", "WrongTypeError", 4, "in quotes"),
    ("id: a,", "id: '',", "WrongTypeError", 4, "empty"),
    ("id: a,", "id: ' a',", "WrongTypeError", 4, "blanks"),
    ("id: a,", "id: 'a\\nb',", None, None, None),
    ("id: a,", 'id: "a\\nb",', "WrongTypeError", 4, "line breaks"),
    ("id: a,", "id: outside,", "InputError", None, "outside"),
    ("id: a,", f"id: {'a' * 300},", "FileTooLargeError", 4, "200"),
    ("id: a, ", "", "MissingKeyError", 4, r"nodes\[0\].id"),
    ("id: b,", "id: a,", "DuplicateNameError", 5, "more than once"),
    ("id: b,", "holding_cost: 3, id: b,", "DuplicateKeyError", 5, "holding_cost"),
    ("version: 1\n", "", "MissingKeyError", None, "version: 1"),
    ("version: 1", "version: 2", "UnsupportedFileError", 1, "reads version 1"),
    ("version: 1", "version: '1'", "WrongTypeError", 1, "version: 1"),
    ("version: 1", "version: true", "WrongTypeError", 1, "version: 1"),
    ("name: test", "name: 12", "WrongTypeError", 2, "in quotes"),
    ("name: test", "timing: demand_frist", "UnknownNameError", 2, "demand_first"),
    ("name: test", "integer: yes", "WrongTypeError", 2, "true or false"),
    ("name: test", "demand_correlation: 2", "NumberError", 2, "at most 1"),
    ("name: test", "demand_correlation: [[1, 0], [0, 1]]", "ParameterError", 2, "matrix"),
    ("name: test", "demand_correlation: x", "WrongTypeError", 2, "number"),
    ("lead_time: 2", "lead_time: 1.5", "WrongTypeError", 7, "whole number"),
    ("lead_time: 2", "lead_time: -1", "NumberError", 7, "at least 0"),
    ("lead_time: 2", "lead_time: 1000", "NumberError", 7, "at most 512"),
    ("lead_time: 2", "lead_time: 2, max_lead_time: 1", "NumberError", 7, "outside -> a|outside->a"),
    ("lead_time: 2", "lead_time: 2, nominal_lead_time: 1", "InputError", 7, "nominal_lead_time"),
    ("lead_time: 2", "lead_time: {kind: discrete, values: [1], probabilities: [0.5]}", "ParameterError", 7, "sum to"),
    ("lead_time: 2", "lead_time: {kind: discrete, values: [1, 2], probabilities: [1]}", "ParameterError", 7, "lengths"),
    ("lead_time: 2", "lead_time: {kind: discrete, values: [1.5], probabilities: [1]}", "ParameterError", 7, r"values\[0\]"),
    ("lead_time: 2", "lead_time: {kind: poisson, mean: 5}", "UnknownNameError", 7, "discrete"),
    ("lead_time: 2", "lead_time: {kind: discrete, values: [5], probabilities: [1]}, max_lead_time: 4", "InputError", 7, "4"),
    ("lead_time: 2", "unit_cost: 1, price: 2", "InputError", 7, "price"),
    ("lead_time: 2", "minimum_order: 9, order_capacity: 5", "NumberError", 7, "minimum_order"),
    ("lead_time: 2", "lead_time: 2, demand: {kind: poisson, mean: 1}", "InputError", 7, "only arcs to 'customer'"),
    ("lead_time: 2", "lead_time: 2, initial_pipeline: [1, 2, 3]", "InputError", 7, "initial_pipeline"),
    (", demand: {kind: poisson, mean: 5}", "", "MissingDemandError", 9, r"arcs\[2\]"),
    (", demand: {kind: poisson, mean: 5}", ", demand: ", "MissingDemandError", 9, r"arcs\[2\]"),
    ("kind: poisson, ", "", "MissingKeyError", 9, "'kind'"),
    ("kind: poisson", "kind: poison", "UnknownNameError", 9, "did you mean 'poisson'"),
    ("kind: poisson", "kind: [1]", "UnknownNameError", 9, "kind"),
    ("mean: 5", "mean: -5", "ParameterError", 9, r"arcs\[2\].demand.mean .*at least 0"),
    ("mean: 5", "mean: .inf", "ParameterError", 9, "infinite"),
    ("mean: 5", "mean: 1e8", "ParameterError", 9, "at most"),
    ("mean: 5", "mean: '5'", "WrongTypeError", 9, "number"),
    ("{kind: poisson, mean: 5}", "5", "WrongTypeError", 9, "mapping"),
    ("{kind: poisson, mean: 5}", "{kind: poisson}", "MissingKeyError", 9, "mean"),
    ("{kind: poisson, mean: 5}", "{kind: negative_binomial, mean: 5, variance: 2}", "ParameterError", 9, "variance"),
    ("{kind: poisson, mean: 5}", "{kind: negative_binomial, mean: 5}", "ParameterError", 9, "exactly one"),
    ("{kind: poisson, mean: 5}", "{kind: seasonal, base: {kind: normal, mean: 1, sd: -1}, profile: [1]}", "ParameterError", 9, "base.sd"),
    ("{kind: poisson, mean: 5}", "{kind: seasonal, base: {kind: nrmal}, profile: [1]}", "UnknownNameError", 9, "normal"),
    ("{kind: poisson, mean: 5}", "{kind: mixed, parts: []}", "UnknownNameError", 9, "mixed"),
    ("demand: {", "supply: {kind: outages, fail: 0.1, repair: 1}, demand: {", "InputError", 9, "served from stock"),
    ("backlog_cost", "lead_time: 1, backlog_cost", "InputError", 9, "served from stock"),
    ("  - {from: a, to: b, ", "  - {from: a, to: c}\n  - {from: a, to: b, ", "UnknownNameError", 8, "'c'"),
    ("  - {from: a, to: b, ", "  - {from: a, to: a}\n  - {from: a, to: b, ", "CycleError", None, "a -> a"),
    ("  - {from: a, to: b, ", "  - {from: outside, to: customer, demand: {kind: poisson, mean: 1}}\n  - {from: a, to: b, ",
     "InputError", 8, "without passing a node"),
    ("from: outside, to: a", "from: b, to: a", "CycleError", None, "a -> b -> a"),
    ("from: outside, to: a", "from: outside, to: b", "MissingSupplierError", 4, "'a'"),
    ("from: a, to: b", "from: outside, to: b", "OrphanNodeError", 4, "feeds nobody"),
    ("  - {id: b, holding_cost: 2}", "  - {id: b, holding_cost: 2}\n  - {id: c}", "OrphanNodeError", 6, "no arc"),
    ("from: a, to: b, lead_time: 1", "from: a, to: b, id: 'b->customer'", "DuplicateNameError", 9, "more than once"),
    ("  - {from: a, to: b, lead_time: 1}", "  - x", "WrongTypeError", 8, "mapping"),
    ("  - {from: a, to: b, lead_time: 1}", "  -", "WrongTypeError", 8, "empty"),
    ("name: test", "name: &x test", "AliasError", 2, "anchor"),
    ("name: test", "name: *x", "AliasError", 2, "alias"),
    ("name: test", "<<: {name: x}", "AliasError", 2, "merge"),
    ("name: test", "name: !!str x", "AliasError", 2, "tag"),
    ("name: test", "name: !!python/object/apply:os.system [x]", "AliasError", 2, "tag"),
    ("name: test", "name: test\nname: again", "DuplicateKeyError", 3, "'name'"),
    ("name: test", "name: [test", "FileSyntaxError", None, "YAML"),
    ("name: test", "name: 'test", "FileSyntaxError", None, "YAML"),
    ("name: test", "\tname: test", "FileSyntaxError", 2, "YAML"),
    ("name: test", "? [name]\n: test", "FileSyntaxError", 2, "key"),
    ("name: test", "name: test\n---\nname: test", "FileSyntaxError", 3, "second document"),
    ("name: test", "name: te\0st", "EncodingError", 2, r"U\+0000"),
    ("name: test", 'name: "te\\0st"', "EncodingError", 2, r"U\+0000"),
    ("name: test", "name: te\x07st", "EncodingError", 2, r"U\+0007"),
    ("name: test", "name: " + "[" * (DEEPEST + 1), "NestingError", 2, "levels"),
]  # fmt: skip


@pytest.mark.parametrize("old, new, error, line, words", [b for b in BAD if b[2]], ids=[b[1][:40] for b in BAD if b[2]])
def test_a_bad_yaml_file_is_one_named_error_that_says_where(old, new, error, line, words):
    with pytest.raises(getattr(errors, error)) as caught:
        parse_system(changed(old, new), name="f.yaml")
    message = str(caught.value)
    assert type(caught.value).__name__ == error or error in ("NumberError", "InputError")
    assert message.startswith(f"f.yaml:{line}: " if line else "f.yaml:"), message
    assert "\n" not in message and len(message) < 600
    assert re.search(words, message), message


@pytest.mark.parametrize("old, new, error, words", [(b[0], b[1], b[2], b[4]) for b in BAD if b[2]][:20])
def test_a_bad_json_file_is_refused_like_the_yaml_file(old, new, error, words):
    tree = parse_tree(changed(old, new), "yaml", "f")
    with pytest.raises(getattr(errors, error), match=words):
        parse_system(json.dumps(tree), "json")


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("", "FileSyntaxError", "f.json:1: "),
        ('{"a": 1,}', "FileSyntaxError", "f.json:1: "),
        ('{"a": 1, "a": 2}', "DuplicateKeyError", "'a'"),
        ('{"version": NaN}', "WrongTypeError", "version"),
        ("[" * 100_000, "NestingError", "levels"),
        ("[" * 40 + "]" * 40, "NestingError", "levels"),
        ('{"name": "\\ud800"}', "EncodingError", "U\\+D800"),
        ('{"version": 1, "name": "\\u0000"}', "EncodingError", "U\\+0000"),
        ("[1, 2]", "WrongTypeError", "a list"),
        ("null", "MissingKeyError", "is empty"),
        ('"x"', "WrongTypeError", "text"),
        ("[" + "1," * MOST_VALUES + "1]", "FileTooLargeError", "values"),
    ],
    ids=range(12),
)
def test_bad_json(text, error, words):
    with pytest.raises(getattr(errors, error), match=words):
        parse_system(text, "json", name="f.json")


def test_json_holds_no_nan(tmp_path):
    path = tmp_path / "f.json"
    path.write_text(
        json.dumps(parse_tree(GOOD, "yaml", "f"), indent=1).replace('"holding_cost": 2', '"holding_cost": NaN')
    )
    with pytest.raises(errors.NumberError, match=r"f.json:\d+: nodes\[1\].holding_cost is NaN"):
        load_system(path)


@pytest.mark.parametrize(
    "name, data, error, words",
    [
        ("f.yaml", b"name: \xff\xfe", "EncodingError", "f.yaml:1: byte 0xff"),
        ("f.yaml", "name: x".encode("utf-16"), "EncodingError", "UTF-16"),
        ("f.yaml", b"", "MissingKeyError", "is empty"),
        ("f.yaml", b"# nothing\n", "MissingKeyError", "is empty"),
        ("f.toml", b"", "UnsupportedFileError", "must end in"),
        ("f.yaml", b"# " + b"x" * LARGEST_FILE, "FileTooLargeError", "10 MB"),
        ("f.yaml", b"- 1\n" * (MOST_VALUES + 1), "FileTooLargeError", "values"),
        ("f.yaml", b"[" * LARGEST_FILE, "NestingError", "levels"),
        ("f.json", b"\xef\xbb\xbf[]", "WrongTypeError", "a list"),
    ],
    ids=range(9),
)
def test_bad_files_on_disk(tmp_path, name, data, error, words):
    path = tmp_path / name
    path.write_bytes(data)
    start = time.monotonic()
    with pytest.raises(getattr(errors, error), match=words):
        load_system(path)
    assert time.monotonic() - start < SLOW


def test_what_is_no_file(tmp_path):
    with pytest.raises(errors.FileError, match="cannot be read: No such file"):
        load_system(tmp_path / "none.yaml")
    with pytest.raises(errors.FileError, match="no plain file"):
        load_system(tmp_path)
    with pytest.raises(errors.FileError, match="no plain file"):
        load_system("/dev/zero")
    with pytest.raises(errors.FileError, match="cannot be read"):
        load_system("a\0b.yaml")


# Mangled files: nothing but named errors comes out, soon


PIECES = [
    "{", "}", "[", "]", ":", ",", "- ", "\n", "  ", "\t", "&a ", "*a", "!!x ", "<<: ", "? ", "| \n", "'", '"', "#", "null", "-1",
    "1e999", ".nan", "0x1F", "9" * 30, "\x00", "\x85", "\u2028", "\ufeff", "\U0001f6b2", "id: a", "kind: ", "outside", "customer",
    "version", "true", "1e6", "0", "1e-30",
]  # fmt: skip


@st.composite
def mangled_bytes(draw_):
    """Bytes of an example with some removed, changed, repeated or put in."""
    data = bytearray(draw_(st.sampled_from(sorted(TEXTS.values()))).encode())
    for _ in range(draw_(st.integers(1, 6))):
        at = draw_(st.integers(0, max(len(data) - 1, 0)))
        match draw_(st.integers(0, 5)):
            case 0:
                data[at : at + 1] = bytes([draw_(st.integers(0, 255))])
            case 1:
                del data[at : at + draw_(st.integers(1, 40))]
            case 2:
                data[at:at] = draw_(st.sampled_from(PIECES)).encode()
            case 3:
                end = draw_(st.integers(at, min(at + 200, len(data))))
                data[at:at] = data[at:end]
            case 4:
                data[at : at + 1] = b"-" if data[at : at + 1].isdigit() else b"7"
            case 5:
                del data[at:]
    return bytes(data)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=5),
    st.sampled_from(["outside", "customer", "poisson", "discrete", 1e9, 1e6, 512, 0, 1, 0.5, -1, 1e-9, 65_000]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["kind", "mean", "sd", "values", "base", "id", "from", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


@st.composite
def mangled_trees(draw_):
    """An example whose values are replaced, removed, moved or renamed somewhere."""
    tree = yaml.safe_load(draw_(st.sampled_from(sorted(TEXTS.values()))))
    for _ in range(draw_(st.integers(1, 4))):
        spots = [(tree, k) for k in tree]
        for part, key in spots:
            value = part[key]
            inner = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
            spots.extend((value, k) for k in inner)
        if not spots:
            break
        part, key = draw_(st.sampled_from(spots))
        match draw_(st.integers(0, 4)):
            case 0:
                part[key] = draw_(VALUES)
            case 1:
                del part[key]
            case 2:
                other, at = draw_(st.sampled_from(spots))
                part[key] = json.loads(json.dumps(other[at])) if _has(other, at) else None
            case 3 if isinstance(part, dict):
                part[draw_(st.sampled_from(["id", "from", "to", "demand", "yield", "x"]))] = part.pop(key)
            case _:
                part[key] = draw_(SCALARS)
    return tree


def _has(part, key) -> bool:
    return key in part if isinstance(part, dict) else key < len(part)


def read_or_refuse(data: bytes, form: str, folder: Path) -> None:
    path = folder / f"mangled.{form}"
    path.write_bytes(data)
    start = time.monotonic()
    try:
        load_system(path)
    except InputError as e:
        message = str(e)
        assert message.startswith(str(path)) and "\n" not in message and len(message) < 1000, message
        message.encode()
    assert time.monotonic() - start < SLOW


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mangled")
    for text in TEXTS.values():  # compile what reading compiles once, so that what is measured is reading
        read_or_refuse(text.encode(), "yaml", path)
    return path


@settings(max_examples=300)
@given(data=mangled_bytes())
def test_mangled_bytes(folder, data):
    read_or_refuse(data, "yaml", folder)


@settings(max_examples=300)
@given(tree=mangled_trees())
def test_mangled_structures(folder, tree):
    read_or_refuse(json.dumps(tree).encode(), "json", folder)


@settings(max_examples=100)
@given(data=st.binary(max_size=200))
def test_random_bytes(folder, data):
    read_or_refuse(data, "yaml", folder)
    read_or_refuse(data, "json", folder)


@pytest.mark.slow
@settings(max_examples=12_000)
@given(data=mangled_bytes())
def test_very_many_mangled_bytes(folder, data):
    read_or_refuse(data, "yaml", folder)


@pytest.mark.slow
@settings(max_examples=12_000)
@given(tree=mangled_trees())
def test_very_many_mangled_structures(folder, tree):
    read_or_refuse(json.dumps(tree).encode(), "json", folder)


def test_a_system_is_a_pytree():
    system = parse_system(GOOD)
    doubled = jax.tree.map(lambda x: 2 * x, system)
    assert doubled.name == "test" and float(doubled.network.holding_cost[0, 0]) == 2
    assert isinstance(hash(jax.tree.structure(system)), int)
    assert System(system.network, Processes(normal(1.0, 1.0))).source is None
