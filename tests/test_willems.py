"""Reading a copy of the Willems (2008) data set: a small chain in its layout, and all ways to be wrong."""

import math
import sys
import types

import pytest

from meio_jax.data.errors import DataUnavailable, EmptyFile, FileTruncated, MissingColumn, UnreadableFile
from meio_jax.data.willems import read_willems
from meio_jax.errors import CycleError, DuplicateNameError, InputError, NumberError, UnknownNameError
from meio_jax.solvers.service_milp import guaranteed_service_milp
from meio_jax.solvers.service_tree import guaranteed_service

pandas = pytest.importorskip("pandas")

# Columns as the workbook has them; the numbers are made up. Two parts, an assembly, two depots with customers.
STAGES = """\
Stage Name,stageCost,relDepth,stageClassification,avgDemand,stdDevDemand,maxServiceTime,serviceLevel,stageTime,\
stdDev stageTime,stageTime_1,stageTime_%_1,xPosition,yPosition
Part_1,10,3,Part,,,,,20,4,,,1,1
Part_2,5,3,Part,,,,,7.5,,7.5,1,1,2
Manuf_1,8,1,Manuf,,,,,3,,,,2,1
Dist_1,1,0,Dist,50,12,0,0.95,2,,,,3,1
Dist_2,1.5,0,Dist,20,9,4,0.99,5,1,,,3,2
"""
ARCS = """\
sourceStage,destinationStage
Part_1,Manuf_1
Part_2,Manuf_1
Manuf_1,Dist_1
Manuf_1,Dist_2
"""


@pytest.fixture
def files(tmp_path):
    """Writes the two files, with replacements of text, and returns the path of the stages."""

    def write(stages=STAGES, arcs=ARCS):
        (tmp_path / "07_SD.csv").write_text(stages)
        (tmp_path / "07_LL.csv").write_text(arcs)
        return tmp_path / "07_SD.csv"

    return write


def test_a_chain_is_read(files):
    chain = read_willems(files())
    assert chain.name == "07"
    assert chain.stages == ("Part_1", "Part_2", "Manuf_1", "Dist_1", "Dist_2")
    assert chain.arcs[2:] == (("Manuf_1", "Dist_1"), ("Manuf_1", "Dist_2"))
    assert chain.cumulative_cost == (10, 5, 23, 24, 24.5)
    assert chain.demand_mean[3:] == (50, 20) and all(math.isnan(x) for x in chain.demand_mean[:3])
    assert chain.classification == ("Part", "Part", "Manuf", "Dist", "Dist")
    model = chain.model(holding_rate=0.2)
    assert model.processing_time == (20, 8, 3, 2, 5)  # rounded up
    assert model.holding_cost == pytest.approx((2, 1, 4.6, 4.8, 4.9))
    assert model.outbound[3:] == (0, 4) and math.isinf(model.outbound[0])
    assert model.bound_factor[3:] == pytest.approx((1.644854, 2.326348), abs=1e-6)
    assert model.bound_factor[0] == model.bound_factor[4]  # the largest that it feeds
    assert model.sigma[0] == pytest.approx(15)
    assert chain.model(time_deviations=2).processing_time == (28, 8, 3, 2, 7)
    assert chain.model(bound_factor=1.0).bound_factor == (1.0,) * 5
    tree, milp = guaranteed_service(model), guaranteed_service_milp(model)
    assert tree.cost == pytest.approx(milp.cost, rel=1e-6)
    assert tree.cost > 0


def test_the_layout_of_a_file_does_not_matter(files, tmp_path):
    plain = read_willems(files())
    frame = pandas.read_csv(tmp_path / "07_SD.csv", dtype=str, keep_default_na=False)
    moved = frame[[*frame.columns[::-1]]].rename(columns={"Stage Name": "StageName", "stageTime": " STAGETIME"})
    moved.loc[len(moved)] = ""  # an empty row, as sheets have them
    moved.to_csv(tmp_path / "other.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    again = read_willems(tmp_path / "other.csv", tmp_path / "07_LL.csv")
    assert repr(again).replace("'other'", "'07'") == repr(plain)  # NaN equals itself in text


def test_a_workbook_is_read_as_its_sheets(files, tmp_path, monkeypatch):
    """With the engine's part played by frames, as no engine is a dependency."""
    plain = read_willems(files())
    stages, arcs = (pandas.read_csv(tmp_path / f"07_{x}.csv", header=None, dtype=object) for x in ("SD", "LL"))
    book = {"Readme": pandas.DataFrame([["x"]]), "07_SD": stages, "07_LL": arcs, "12_SD": stages, "12_LL": arcs}
    monkeypatch.setattr(pandas, "read_excel", lambda *args, **more: book)
    monkeypatch.setitem(sys.modules, "openpyxl", types.ModuleType("openpyxl"))
    path = tmp_path / "data.xlsx"
    path.write_bytes(b"PK")
    for chain in (7, "07"):
        assert repr(read_willems(path, chain=chain)) == repr(plain)
    with pytest.raises(InputError, match="say which chain, chain=; it has chains 07 to 12"):
        read_willems(path)
    with pytest.raises(InputError, match="there is no chain 39"):
        read_willems(path, chain=39)
    with pytest.raises(InputError, match="leave arcs= out"):
        read_willems(path, tmp_path / "07_LL.csv", chain=7)
    with pytest.raises(FileNotFoundError, match=r"other\.xlsx"):
        read_willems(tmp_path / "other.xlsx", chain=7)
    del book["12_LL"]
    assert repr(read_willems(path)) == repr(plain)  # the only whole one
    del book["07_LL"]
    with pytest.raises(InputError, match="no pair NN_SD, NN_LL"):
        read_willems(path, chain=7)


@pytest.mark.parametrize("suffix, engine", [(".xls", "xlrd"), (".xlsx", "openpyxl")])
def test_a_workbook_without_its_library_or_in_pieces(tmp_path, monkeypatch, suffix, engine):
    path = tmp_path / f"data{suffix}"
    path.write_bytes(b"PK\x03\x04 cut off")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, engine, None)
        with pytest.raises(DataUnavailable, match=rf"pip install pandas {engine}; or save the sheets as CSV"):
            read_willems(path, chain=1)

    def damaged(*args, **more):
        raise ValueError("File is not a zip file")

    monkeypatch.setitem(sys.modules, engine, types.ModuleType(engine))
    monkeypatch.setattr(pandas, "read_excel", damaged)
    with pytest.raises(UnreadableFile, match=r"not a whole workbook .*zip file"):
        read_willems(path, chain=1)


def line(number, text):
    """STAGES with a line replaced; lines count from 1, the header."""
    lines = STAGES.splitlines()
    lines[number - 1] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "stages, error, message",
    [
        ("", EmptyFile, "07_SD.csv: it is empty"),
        (STAGES.splitlines()[0] + "\n", EmptyFile, "07_SD.csv: a header and no rows"),
        (STAGES.replace("stageCost", "price"), MissingColumn, "07_SD.csv: no column 'stageCost' among 'Stage Name'"),
        (STAGES.replace("relDepth", "stage_cost"), MissingColumn, "'stageCost' is there 2 times"),
        (STAGES.replace(",", ";"), MissingColumn, "separate fields by commas"),
        (STAGES[:-9], FileTruncated, "07_SD.csv: row 6: 9 fields where the header has 14"),
        (STAGES + 'Dist_3,"1', FileTruncated, "07_SD.csv: row 7: unexpected end"),
        (
            line(3, "Part_1,5,3,Part,,,,,7,,,,1,2"),
            DuplicateNameError,
            "row 3: stage 'Part_1' is there already, in row 2",
        ),
        (line(3, ",5,3,Part,,,,,7,,,,1,2"), UnknownNameError, "row 3: Stage Name is empty"),
        (line(2, "Part_1,10,3,Part,,,,,-20,4,,,1,1"), NumberError, "07_SD.csv: row 2: stageTime = -20 is outside"),
        (line(2, "Part_1,10,3,Part,,,,,,4,,,1,1"), NumberError, "row 2: stageTime is empty"),
        (line(2, "Part_1,10,3,Part,,,,,NaN,4,,,1,1"), NumberError, "row 2: stageTime = nan.*leave the cell empty"),
        (line(2, "Part_1,10,3,Part,,,,,inf,4,,,1,1"), NumberError, "row 2: stageTime = inf"),
        (line(2, "Part_1,ten,3,Part,,,,,20,4,,,1,1"), NumberError, "row 2: stageCost = 'ten' is no number"),
        (line(2, "Part_1,10,3,Part,,,,,20,-4,,,1,1"), NumberError, "row 2: stdDev stageTime = -4"),
        (line(5, "Dist_1,1,0,Dist,50,,0,0.95,2,,,,3,1"), NumberError, "row 5: avgDemand and stdDevDemand must both"),
        (line(5, "Dist_1,1,0,Dist,,,0,0.95,2,,,,3,1"), NumberError, "row 5: stage 'Dist_1' feeds no stage"),
        (line(5, "Dist_1,1,0,Dist,50,12,0,95,2,,,,3,1"), NumberError, "serviceLevel = 95.*as a share, such as 0.95"),
        (line(5, "Dist_1,1,0,Dist,50,12,0,,2,,,,3,1"), NumberError, "row 5: serviceLevel of a stage with demand"),
        (line(5, "Dist_1,1,0,Dist,50,12,0,1,2,,,,3,1"), NumberError, "row 5: serviceLevel of a stage with demand"),
        (line(5, "Dist_1,1,0,Dist,50,12,-1,0.9,2,,,,3,1"), NumberError, "row 5: maxServiceTime = -1"),
    ],
)
def test_a_wrong_stage_is_refused_by_name(files, stages, error, message):
    with pytest.raises(error, match=message) as caught:
        read_willems(files(stages=stages))
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    "arcs, error, message",
    [
        ("", EmptyFile, "07_LL.csv: it is empty"),
        ("sourceStage,destinationStage\n", EmptyFile, "07_LL.csv: a header and no rows"),
        (ARCS.replace("sourceStage", "from"), MissingColumn, "07_LL.csv: no column 'sourceStage'"),
        (ARCS + "Part_3,Manuf_1\n", UnknownNameError, "07_LL.csv: row 6: sourceStage 'Part_3' is no stage"),
        (ARCS + "Part_1,\n", UnknownNameError, "07_LL.csv: row 6: destinationStage '' is no stage"),
        (ARCS + "Part_1\n", FileTruncated, "07_LL.csv: row 6: 1 fields where the header has 2"),
        (ARCS + "Part_1,Manuf_1\n", DuplicateNameError, "row 6: the arc Part_1 -> Manuf_1 is there already, in row 2"),
        (ARCS + "Dist_1,Part_1\n", CycleError, "07_LL.csv: row .*form a cycle"),
        (ARCS + "Part_1,Part_1\n", CycleError, "row 6: the arcs Part_1 -> Part_1 form a cycle"),
    ],
)
def test_a_wrong_arc_is_refused_by_name(files, arcs, error, message):
    with pytest.raises(error, match=message):
        read_willems(files(arcs=arcs))


def test_files_that_are_not_there_or_not_text(files, tmp_path):
    path = files()
    with pytest.raises(NumberError, match="time_deviations"):
        read_willems(path).model(time_deviations=-1)
    path.write_bytes("Stage Name,stageCost\nZürich,1\n".encode("latin-1"))
    with pytest.raises(UnreadableFile, match=r"07_SD\.csv: not UTF-8"):
        read_willems(path)
    files()
    (tmp_path / "07_LL.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"07_LL\.csv"):
        read_willems(path)
    path.rename(tmp_path / "stages.csv")
    with pytest.raises(InputError, match="say where the arcs are, arcs="):
        read_willems(tmp_path / "stages.csv")
