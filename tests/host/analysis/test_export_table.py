"""Results as CSV and Parquet, and read as they are by duckdb, polars and pandas."""

import csv
import json

import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_host.analysis.export_table import read_rows, write_table
from mtjkit_host.cli import namespace
from support.commands import finished, invoke, refused

POINTS = [
    {
        "id": "ab", "seed": 18446744073709551615 - k, "net": "Binär, 1/4", "rate": 0.024,
        "accuracy": accuracy, "bits": {"written": 10**12, "wrong": 7, "toggled": None},
        "rrmse_by_layer": [0.5, None],
    }
    for k, accuracy in enumerate((0.5, None, 0.75))
]  # fmt: skip
RUN = (
    b'{"mtjkit_run":2,"count":2}\n{"kernel":"viper","w":[5,1]}\n'
    b'{"i":1,"s":[-3,4],"b":[10,5,2,4,3],"us":12}\n{"i":0,"s":[1,2],"b":[10,6,1,4,3],"us":13}\n'
)


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(point) + "\n" for point in POINTS) + '{"torn": ')
    return path


def test_a_campaign_as_csv(results, tmp_path):
    assert write_table(tmp_path, tmp_path / "a.csv") == 3
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == [str(point["seed"]) for point in POINTS]
    assert [row["accuracy"] for row in rows] == ["0.5", "", "0.75"]
    assert rows[0]["net"] == "Binär, 1/4"
    assert (rows[0]["bits_written"], rows[0]["bits_toggled"]) == (str(10**12), "")
    assert json.loads(rows[0]["rrmse_by_layer"]) == [0.5, None]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_spreadsheet_computes_no_label(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"net": text, text: -1, "list": ["=1"], "b": "b\r=1"}) + "\n"
    )
    write_table(tmp_path / "a.jsonl", tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        assert [*csv.reader(file)] == [
            ["net", "'" + text, "list", "b"], ["'" + text, "-1", '["=1"]', "b =1"]
        ]  # fmt: skip


def test_a_run_file_and_a_runs_json(tmp_path):
    (tmp_path / "run.jsonl").write_bytes(RUN)
    first, second = read_rows(tmp_path / "run.jsonl")
    assert [first[k] for k in ("image", "scores", "wrong", "device_us")] == [1, [-3, 4], 2, 12]
    assert second["toggled"] == 6
    finished(invoke("twin", "--images", "2", "--json", "run.json", cwd=tmp_path))
    said = finished(invoke("table", "run.json", cwd=tmp_path))
    assert said == "1 rows: run.csv\n"
    [row] = csv.DictReader((tmp_path / "run.csv").read_text().splitlines())
    assert (row["images"], row["buffer_ber"]) == ("2", "0.024")


def test_parquet_keeps_types(results, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    write_table(results, tmp_path / "a.parquet")
    columns = "seed, accuracy, bits_written, rrmse_by_layer"
    rows = duckdb.sql(f"select {columns} from '{tmp_path}/a.parquet'").fetchall()
    assert rows == [
        (point["seed"], point["accuracy"], 10**12, point["rrmse_by_layer"]) for point in POINTS
    ]


def test_results_are_read_as_they_are(results):
    path = str(results)
    results.write_text("".join(json.dumps(point) + "\n" for point in POINTS))
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select net, avg(accuracy), max(bits.wrong) from '{path}' group by all")
    assert found.fetchall() == [("Binär, 1/4", 0.625, 7)]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_data_frames_read_results_as_they_are(results, library):
    results.write_text("".join(json.dumps(point) + "\n" for point in POINTS))
    frames = pytest.importorskip(library)
    if library == "polars":
        points = frames.read_ndjson(results)
        assert points["bits"].struct.field("wrong").sum() == 21
    else:
        points = frames.read_json(results, lines=True, dtype={"id": str})
        assert sum(bits["wrong"] for bits in points["bits"]) == 21
    assert [int(seed) for seed in points["seed"]] == [point["seed"] for point in POINTS]
    assert points["accuracy"].mean() == 0.625


def test_what_is_not_a_table_is_refused_in_one_line(tmp_path):
    refused(invoke("table", "x.jsonl", cwd=tmp_path), "x.jsonl", "No such file")
    (tmp_path / "x.jsonl").write_text("[1]\n")
    refused(invoke("table", "x.jsonl", cwd=tmp_path), "x.jsonl: not a results file")
    refused(invoke("table", "x.jsonl", "--output", "x.xls", cwd=tmp_path), ".csv or .parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]
    (tmp_path / "y.jsonl").write_bytes(RUN[:54] + b'{"i":1}\n')
    with pytest.raises(FormatError):
        list(read_rows(tmp_path / "y.jsonl"))
    (tmp_path / "z.jsonl").touch()
    with pytest.raises(FormatError, match="no results yet"):
        write_table(tmp_path / "z.jsonl", tmp_path / "z.csv")
    with pytest.raises(ConfigError):
        write_table(tmp_path / "z.jsonl", tmp_path / "x.jsonl" / "z.csv")
    assert "table" in namespace().tasks


@pytest.mark.parametrize("name", ["text.csv", "text.parquet"])
def test_a_text_that_no_file_can_hold_is_refused(tmp_path, name):
    (tmp_path / "results.jsonl").write_text('{"net": "x\\ud800"}\n')
    with pytest.raises(FormatError, match="half of a surrogate pair"):
        write_table(tmp_path / "results.jsonl", tmp_path / name)
    assert not (tmp_path / name).exists()
