"""The standard supply networks, each one call. All of them go through `build_network`, so every check applies.

Numbers are given by name, as in `Node` and `Arc`, upstream before downstream. For a number of nodes (holding cost,
capacity, ...) or of arcs one gives

- one value for all,
- a sequence with one value per level (a chain has one node per level), or
- a sequence with one value per node.

Numbers of supply (lead time, unit cost, lot size, initial pipeline, ...) belong to the arcs *into* a node. Numbers of
demand (``price``, ``erosion``, ``restoration``) belong to the customer's arc. ``backlog_cost``, ``lost_cost`` and
``keep`` say what a node owes: one value concerns customers only, a sequence all that leaves each node, as the beer game
has it. An element of a sequence may itself be one value per lane. ``transit_holding_cost="upstream"`` charges stock in
transit at the local holding rate of where it came from (0 from outside).

>>> serial(3, echelon_holding_cost=(2, 2, 3), lead_time=(2, 1, 1), backlog_cost=37.12).wiring.nodes
('stage1', 'stage2', 'stage3')
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meio_jax.build import build_network
from meio_jax.elements import ARC_NUMBERS, CUSTOMER, NODE_NUMBERS, OUTSIDE, Arc, Node
from meio_jax.errors import InputError, NumberError, UnknownNameError
from meio_jax.network import Network

__all__ = [
    "RANDOM_FEATURES",
    "assembly",
    "distribution",
    "echelon_holding_cost",
    "local_holding_cost",
    "multi_source",
    "random_dag",
    "serial",
    "tree",
]

_RULES = ("timing", "allocation", "issuing", "integer")
_LEAD_TIMES = ("lead_time", "min_lead_time", "max_lead_time", "order_delay")
_OWED = tuple(name for name, n in ARC_NUMBERS.items() if n.of == "all")
_SUPPLY = (*_LEAD_TIMES, *(name for name, n in ARC_NUMBERS.items() if n.of == "inner" and name != "units"))
_DEMAND = tuple(name for name, n in ARC_NUMBERS.items() if n.of == "customer")
_OF_NODES = (*NODE_NUMBERS, "make_to_order")
_LARGEST_BUILT = 10_000


def local_holding_cost(echelon: Sequence[float]) -> list[float]:
    """Local holding rates of a chain from its echelon rates, upstream first: their running sum.

    An echelon rate is what a stage adds to the rate of the stage before it (Snyder and Shen, section 6.2.1).

    Raises:
      NumberError: a rate is NaN, or a local rate would be negative.
    """
    local = np.cumsum(np.asarray(echelon, float))
    if not np.all(local >= 0):
        raise NumberError(f"echelon rates {list(echelon)} give local rates {local.tolist()}: negative or NaN")
    return [float(x) for x in local]


def echelon_holding_cost(local: Sequence[float]) -> list[float]:
    """Echelon holding rates of a chain from its local rates, upstream first: the inverse of `local_holding_cost`."""
    return [float(x) for x in np.diff(np.asarray(local, float), prepend=0.0)]


def serial(stages: int, **numbers: Any) -> Network:
    """A chain outside -> stage1 -> ... -> stageN -> customer; stage N serves the customer.

    Args:
      stages: how many.
      **numbers: see the module's text. Also ``names`` of the nodes; ``echelon_holding_cost`` instead of
        ``holding_cost``; and the rules of `build_network`. The lead time is 1 unless given.

    Raises:
      InputError: a sequence has the wrong length, or the numbers do not fit together.
      UnknownNameError: there is no such number.
    """
    count = _count("stages", stages)
    if "echelon_holding_cost" in numbers:
        if "holding_cost" in numbers:
            raise InputError("give holding_cost or echelon_holding_cost, not both")
        rates = _spread("echelon_holding_cost", numbers.pop("echelon_holding_cost"), list(range(count)))
        numbers["holding_cost"] = local_holding_cost(rates)
    nodes = [f"stage{i + 1}" for i in range(count)]
    lanes = [(i - 1, i, "") for i in range(count)]
    return _build(nodes, list(range(count)), lanes, [count - 1], numbers)


def distribution(retailers: int, **numbers: Any) -> Network:
    """One warehouse, many retailers, each with a customer: ``warehouse``, ``retailer1``, ..., in this order.

    Args:
      retailers: how many.
      **numbers: see the module's text; two values are (warehouse, every retailer). Also ``names``, and the rules of
        `build_network`. The lead time is 1 unless given.

    Raises:
      InputError: a sequence has the wrong length, or the numbers do not fit together.
      UnknownNameError: there is no such number.
    """
    return tree((_count("retailers", retailers),), **numbers)


def tree(branching: Sequence[int], **numbers: Any) -> Network:
    """A tree: each node feeds so many nodes of the next level; the last level serves customers.

    ``(4, 4)`` is a plant, 4 warehouses and 16 retailers. Nodes are numbered level by level.

    Args:
      branching: nodes fed by each node of a level, from the root down.
      **numbers: see the module's text; sequences are per level or per node. Also ``names``, and the rules of
        `build_network`. The lead time is 1 unless given.

    Raises:
      InputError: a sequence has the wrong length, or the numbers do not fit together.
      UnknownNameError: there is no such number.
    """
    levels, parents = _branches("branching", branching)
    depth = levels[-1] + 1
    middle = ["hub"] if depth == 4 else [f"hub{k}" for k in range(1, depth - 2)]
    titles = (["plant", *middle, "warehouse", "retailer"] if depth > 2 else ["warehouse", "retailer"])[-depth:]
    lanes = [(parent, i, "") for i, parent in enumerate(parents)]
    leaves = [i for i, level in enumerate(levels) if level == depth - 1]
    return _build(_titled(titles, levels), levels, lanes, leaves, numbers)


def assembly(components: int | Sequence[int], *, units: Any = 1.0, **numbers: Any) -> Network:
    """Components that are built together into a product; the scarcest binds.

    ``assembly(3)`` is component1, component2, component3 -> product. ``assembly((2, 3))`` has one more level: 2 parts
    in each of 3 subassemblies, these 3 in the product. Parts come from outside. Nodes are numbered level by level.

    Args:
      components: how many, or from the first level down, how many go into each node of the next.
      units: bill of materials: units of a node's output in one unit of what it goes into, for every node but the
        product (one value, one per level, or one per node).
      **numbers: see the module's text. A lead time is that of every arc into the node. Also ``names``, and the rules of
        `build_network`. Inputs that wait at a node to be built in are charged at the rate of where they came from,
        unless ``component_holding_cost`` is given. The lead time is 1 unless given.

    Raises:
      InputError: a sequence has the wrong length, or the numbers do not fit together.
      UnknownNameError: there is no such number.
    """
    widths: list[Any] = list(components) if isinstance(components, (list, tuple, np.ndarray)) else [components]
    backward, users = _branches("components", widths[::-1])  # the same tree from the product up
    n, depth = len(users), backward[-1] + 1
    levels = [depth - 1 - level for level in reversed(backward)]
    goes_into = [n - 1 - user for user in reversed(users)]  # n for the product itself
    middle = ["module"] if depth == 4 else [f"module{k}" for k in range(1, depth - 2)]
    titles = (["part", *middle, "subassembly", "product"] if depth > 2 else ["component", "product"])[-depth:]
    names = _names(numbers, _titled(titles, levels))
    bill = _spread("units", units, levels[:-1]) if n > 1 else []
    lanes = [(-1, i, "") for i in range(n) if levels[i] == 0]
    lanes += [(i, goes_into[i], names[i]) for i in range(n - 1)]
    numbers = {"component_holding_cost": "upstream"} | numbers
    return _build(_titled(titles, levels), levels, lanes, [n - 1], numbers, dict(enumerate(bill)))


def multi_source(sources: int | Sequence[str] = 2, **numbers: Any) -> Network:
    """One stocking node with several suppliers of the same thing: dual sourcing, and more.

    Args:
      sources: how many, or their names, such as ``("regular", "expedited")``; they become the names of the arcs.
      **numbers: numbers of supply per source, in the order of the sources; numbers of the node and of its customer are
        single values. Also ``name`` of the node, and the rules of `build_network`. The lead time is 1 unless given.

    Raises:
      InputError: a sequence has the wrong length, or the numbers do not fit together.
      UnknownNameError: there is no such number.
    """
    if isinstance(sources, str):
        raise InputError("sources must be a number or several names")
    if np.ndim(sources) == 0:
        names = [f"supplier{i + 1}" for i in range(_count("sources", sources))]
    else:
        names = [str(x) for x in sources]  # type: ignore[union-attr]
    _known(numbers, ("name", *_RULES, *_OF_NODES, *_SUPPLY, *_OWED, *_DEMAND))
    numbers = {"lead_time": 1} | numbers
    node = str(numbers.get("name", "store"))
    spread = {k: _spread(k, numbers[k], list(range(len(names))), "sources") for k in _SUPPLY if k in numbers}
    if isinstance(numbers.get("transit_holding_cost"), str) and numbers["transit_holding_cost"] == "upstream":
        spread["transit_holding_cost"] = [0.0] * len(names)
    arcs = [Arc(OUTSIDE, node, name, **{k: v[i] for k, v in spread.items()}) for i, name in enumerate(names)]
    arcs.append(Arc(node, CUSTOMER, **{k: numbers[k] for k in (*_OWED, *_DEMAND) if k in numbers}))
    stock = Node(node, **{k: numbers[k] for k in _OF_NODES if k in numbers})
    return build_network([stock], arcs, **{k: numbers[k] for k in _RULES if k in numbers})


def _count(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= _LARGEST_BUILT:
        raise InputError(f"{name} = {value!r} must be a whole number in [{least}, {_LARGEST_BUILT}]")
    return int(value)


def _branches(name: str, branching: Sequence[int]) -> tuple[list[int], list[int]]:
    """Level and parent (-1 for the root) of each node of a tree, level by level."""
    if np.ndim(branching) != 1:
        raise InputError(f"{name} = {branching!r} must be a sequence of whole numbers")
    levels, parents, row = [0], [-1], [0]
    for depth, width in enumerate(branching, start=1):
        width = _count(name, width)
        if len(levels) + width * len(row) > _LARGEST_BUILT:
            raise InputError(f"{name} = {tuple(branching)} has more than {_LARGEST_BUILT} nodes")
        parents += [parent for parent in row for _ in range(width)]
        row = list(range(len(levels), len(parents)))
        levels += [depth] * len(row)
    return levels, parents


def _titled(titles: Sequence[str], levels: Sequence[int]) -> list[str]:
    """The title of its level for each node, numbered where the level has several nodes."""
    seen = [itertools.count(1) for _ in titles]
    many = [levels.count(k) > 1 for k in range(len(titles))]
    between = ["_" if title[-1].isdigit() else "" for title in titles]
    return [f"{titles[k]}{between[k]}{next(seen[k])}" if many[k] else titles[k] for k in levels]


def _names(numbers: Mapping[str, Any], titles: Sequence[str]) -> list[str]:
    """The user's names of the nodes, or the titles."""
    given = numbers.get("names")
    if given is None:
        return list(titles)
    if not _is_sequence(given) or len(given) != len(titles):
        raise InputError(f"names = {given!r} must be {len(titles)} names, one for each node (upstream first)")
    return [str(x) for x in given]


def _known(numbers: Iterable[str], allowed: Sequence[str]) -> None:
    for name in numbers:
        if name not in allowed:
            raise UnknownNameError(f"{name!r} is no number of this network; there are {', '.join(allowed)}")


def _spread(name: str, value: Any, levels: Sequence[int], what: str = "nodes") -> list[Any]:
    """One value per node from a single value, one per level or one per node."""
    if not _is_sequence(value):
        return [value] * len(levels)
    given, depth = len(value), max(levels) + 1
    if given == len(levels):
        return list(value)
    if given == depth:
        return [value[k] for k in levels]
    per_level = f", or one per level: {depth}" if depth != len(levels) else ""
    raise InputError(f"{name} has {given} values, and there are {len(levels)} {what} (upstream first){per_level}")


def _is_sequence(value: Any) -> bool:
    """Whether a value is several; asked of the outer shape only, as elements may differ in length."""
    return isinstance(value, (list, tuple)) or (hasattr(value, "shape") and len(value.shape) > 0)


def _build(
    titles: Sequence[str],
    levels: Sequence[int],
    lanes: Sequence[tuple[int, int, str]],
    leaves: Sequence[int],
    numbers: Mapping[str, Any],
    units: Mapping[int, Any] | None = None,
) -> Network:
    """A network from wiring by index: lanes are (source or -1, destination, component), leaves serve customers."""
    extra = ("names", *_RULES, *_OF_NODES, *_SUPPLY, *_OWED, *_DEMAND)
    _known(numbers, extra)
    numbers = {"lead_time": 1} | dict(numbers)
    names = _names(numbers, titles)
    rows = {k: _spread(k, v, levels) for k, v in numbers.items() if k not in ("names", *_RULES)}
    nodes = [Node(name, **{k: rows[k][i] for k in _OF_NODES if k in rows}) for i, name in enumerate(names)]

    def supply(src: int, dst: int) -> dict[str, Any]:
        found = {k: rows[k][dst] for k in _SUPPLY if k in rows}
        for k, v in found.items():
            if isinstance(v, str):
                if v != "upstream" or "holding" not in k:
                    raise InputError(f"{k} {v!r} is no number" + (" and not 'upstream'" if "holding" in k else ""))
                found[k] = nodes[src].holding_cost if src >= 0 else 0.0
        return found

    owes = {k for k in _OWED if k in rows and _is_sequence(numbers[k])}
    arcs = []
    for src, dst, component in lanes:
        more = {k: rows[k][src] for k in owes} if src >= 0 else {}
        if units and src >= 0:
            more["units"] = units[src]
        more |= supply(src, dst) | {"component": component}
        arcs.append(Arc(OUTSIDE if src < 0 else names[src], names[dst], **more))
    for i in leaves:
        arcs.append(Arc(names[i], CUSTOMER, **{k: rows[k][i] for k in (*_OWED, *_DEMAND) if k in rows}))
    return build_network(nodes, arcs, **{k: numbers[k] for k in _RULES if k in numbers})


# The random networks.

_Draw = Callable[[np.random.Generator], Any]
_NODE_FEATURES: dict[str, _Draw] = {
    "capacity": lambda r: float(r.integers(8, 40)),
    "operating_cost": lambda r: round(r.uniform(0.1, 1.0), 2),
    "storage": lambda r: float(r.integers(15, 60)),
    "yield_": lambda r: round(r.uniform(0.7, 1.0), 2),
    "shelf_life": lambda r: int(r.integers(2, 6)),
    "scrap_cost": lambda r: round(r.uniform(0.0, 2.0), 2),
    "make_to_order": lambda r: bool(r.random() < 0.3),
}
_ARC_FEATURES: dict[str, _Draw] = {
    "unit_cost": lambda r: round(r.uniform(0.5, 5.0), 2),
    "transit_holding_cost": lambda r: round(r.uniform(0.0, 0.5), 2),
    "fixed_order_cost": lambda r: float(r.integers(1, 20)),
    "lot_size": lambda r: float(r.integers(2, 6)),
    "minimum_order": lambda r: float(r.integers(1, 5)),
    "order_capacity": lambda r: float(r.integers(10, 50)),
    "initial_pipeline": lambda r: float(r.integers(0, 8)),
    "price": lambda r: round(r.uniform(10.0, 50.0), 2),
    "erosion": lambda r: round(r.uniform(0.0, 0.5), 2),
    "restoration": lambda r: round(r.uniform(0.0, 0.5), 2),
    "lost_cost": lambda r: round(r.uniform(1.0, 10.0), 2),
    "keep": lambda r: [0.0, 1.0, round(r.uniform(0.0, 1.0), 2)][r.integers(3)],
}
#: What `random_dag` can add to a network beyond holding costs, backlog costs, stock and lead times.
RANDOM_FEATURES: tuple[str, ...] = (*_NODE_FEATURES, *_ARC_FEATURES, "random_lead_time", "component_holding_cost")


def random_dag(
    key: jax.Array | int,
    nodes: int,
    *,
    density: float = 0.2,
    assembly_share: float = 0.3,
    supplier_share: float = 0.2,
    customer_share: float = 0.2,
    max_lead_time: int = 3,
    features: Sequence[str] = (),
    feature_share: float = 0.5,
    timing: str = "order_first",
    allocation: str = "proportional",
    issuing: str = "fifo",
    integer: bool = False,
) -> Network:
    """A random acyclic network, always valid and connected; the same for the same key on every machine.

    Args:
      key: a typed JAX key (consumed), or a whole number as its seed.
      nodes: how many; ``node1`` is upstream of ``nodeN``.
      density: chance of each further arc between two nodes, beyond one feeder for each.
      assembly_share: chance that a further feeder brings another component instead of another source.
      supplier_share: chance that a node has a supplier outside although it has a feeder; and of more sources of supply.
      customer_share: chance that a node serves a customer although it feeds nodes.
      max_lead_time: lead times are whole periods, uniform on 0 .. this.
      features: names from `RANDOM_FEATURES` that nodes and arcs may have, or ``("all",)``.
      feature_share: chance that a node or an arc has a feature that it may have.
      timing, allocation, issuing, integer: as in `build_network`.

    Holding costs grow downstream; a customer's backlog costs 5 to 20 times its node's holding cost.

    Raises:
      InputError, NumberError, UnknownNameError: an argument is out of its domain.
    """
    n = _count("nodes", nodes)
    longest = _count("max_lead_time", max_lead_time, least=0)
    shares = {"density": density, "assembly_share": assembly_share, "supplier_share": supplier_share}
    for name, x in (shares | {"customer_share": customer_share, "feature_share": feature_share}).items():
        if not 0 <= x <= 1:
            raise NumberError(f"{name} = {x:g} must lie in [0, 1]")
    if isinstance(features, str):
        raise InputError(f"features = {features!r} must be a sequence of names")
    if "all" in features:
        features = RANDOM_FEATURES
    _known(features, RANDOM_FEATURES)
    rng = _generator(key)

    wires = _random_wires(rng, n, density, assembly_share, supplier_share)
    names = [f"node{i + 1}" for i in range(n)]
    used = set(features)

    def extra(table: Mapping[str, _Draw], allowed: Iterable[str]) -> dict[str, Any]:
        return {k: table[k](rng) for k in allowed if k in used and rng.random() < feature_share}

    holding = np.zeros(n)
    built = []
    for i in range(n):
        feeders = [src for src, dst, _ in wires if dst == i and src >= 0]
        holding[i] = round(max((holding[f] for f in feeders), default=0.0) + rng.uniform(0.1, 1.0), 2)
        more = extra(_NODE_FEATURES, _NODE_FEATURES)
        built.append(Node(names[i], holding_cost=float(holding[i]), initial_on_hand=float(rng.integers(0, 30)), **more))

    arcs: list[Arc] = []
    inner = [k for k in _ARC_FEATURES if ARC_NUMBERS[k].of in ("all", "inner") and k != "lost_cost"]
    rates: dict[tuple[int, str], float] = {}  # of an input, whoever supplies it
    bills: dict[tuple[int, str], float] = {}
    for src, dst, component in wires:
        more = extra(_ARC_FEATURES, inner)
        if more.get("minimum_order", 0) > 0 and "order_capacity" in more:
            more["order_capacity"] = max(more["order_capacity"], more["minimum_order"])
        if "component_holding_cost" in used:
            more["component_holding_cost"] = rates.setdefault((dst, component), round(rng.uniform(0.0, 0.5), 2))
        if component:
            more["units"] = bills.setdefault((dst, component), float(rng.integers(1, 4)))
        lead = int(rng.integers(0, longest + 1))
        if "random_lead_time" in used and rng.random() < feature_share:
            more["min_lead_time"] = int(rng.integers(0, lead + 1))
            more["max_lead_time"] = int(rng.integers(lead, longest + 1))
        if lead == 0:
            more.pop("initial_pipeline", None)
        source = OUTSIDE if src < 0 else names[src]
        arcs.append(Arc(source, names[dst], f"lane{len(arcs) + 1}", component, lead, **more))
    feeding = {src for src, _, _ in wires}
    outer = [k for k in _ARC_FEATURES if ARC_NUMBERS[k].of in ("all", "customer")]
    for i in range(n):
        if i not in feeding or rng.random() < customer_share:
            backlog = round(float(holding[i] * rng.uniform(5, 20)), 2)
            arcs.append(Arc(names[i], CUSTOMER, backlog_cost=backlog, **extra(_ARC_FEATURES, outer)))
    return build_network(built, arcs, timing=timing, allocation=allocation, issuing=issuing, integer=integer)


def _generator(key: jax.Array | int) -> np.random.Generator:
    if isinstance(key, jax.Array):
        if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape:
            raise InputError("key must be one typed key, jax.random.key(seed), or a whole number")
        return np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    if isinstance(key, bool) or not isinstance(key, (int, np.integer)) or key < 0:
        raise InputError(f"key = {key!r} must be one typed key, jax.random.key(seed), or a whole number >= 0")
    return np.random.default_rng(int(key))


def _random_wires(
    rng: np.random.Generator, n: int, density: float, assembly_share: float, supplier_share: float
) -> list[tuple[int, int, str]]:
    """(source or -1, destination, component), acyclic and connected: sources always have the smaller index."""
    roots = 1 + int(rng.binomial((n - 1) // 2, 0.3)) if n > 2 else 1
    feeders: list[list[int]] = [[] for _ in range(n)]
    group = list(range(n))  # connected so far: nodes of one group carry one number

    def connect(src: int, dst: int) -> None:
        feeders[dst].append(src)
        old, new = group[dst], group[src]
        group[:] = [new if g == old else g for g in group]

    for i in range(roots, n):
        connect(int(rng.integers(0, i)), i)
        for j in range(i):
            if j not in feeders[i] and rng.random() < density:
                connect(j, i)
    for g in sorted(set(group) - {group[-1]}):  # the last node takes in whatever still stands alone
        connect(int(rng.choice([i for i in range(n) if group[i] == g])), n - 1)

    wires = []
    for i in range(n):
        sources = feeders[i] if i >= roots else [-1]
        if i >= roots and rng.random() < supplier_share:
            sources = [*sources, -1]
        while sources[-1] == -1 and len(sources) < 4 and rng.random() < supplier_share:
            sources = [*sources, -1]
        components = [""]
        for _ in sources[1:]:
            new = rng.random() < assembly_share
            components.append(f"c{len(set(components))}" if new else str(rng.choice(components)))
        wires += [(src, i, component) for src, component in zip(sources, components, strict=True)]
    return wires
