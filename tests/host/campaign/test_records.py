"""A line of the results file that comes back from elsewhere: every field has its type and range."""

import json
import math

import pytest
from mtjkit_core.errors import FormatError
from mtjkit_host.campaign.points import ACCURACY, RRMSE, Point
from mtjkit_host.campaign.records import Bits, Record, ResultsFile

POINTS = {
    kind: Point(kind, "net", "a" * 64, "b" * 64, 20, "feature_maps", "flip", 0.01, 0, 0)
    for kind in (ACCURACY, RRMSE)
}
RECORDS = {
    ACCURACY: Record(POINTS[ACCURACY], 5, Bits(9, 4, 1, 4, 2), 0.5, correct=15, accuracy=0.75),
    RRMSE: Record(POINTS[RRMSE], 5, Bits(9), 0.5, rrmse=None, rrmse_by_layer=(0.5, None)),
}


def read(folder, kind, **changes):
    values = {**RECORDS[kind].to_json(), **changes}
    (folder / "results.jsonl").write_text(json.dumps(values) + "\n")
    with ResultsFile(folder / "results.jsonl") as file:
        return file.records([POINTS[kind]])


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_comes_back(tmp_path, kind):
    assert read(tmp_path, kind) == [RECORDS[kind]]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (ACCURACY, "correct", 21),
        (ACCURACY, "correct", 15.0),
        (ACCURACY, "correct", None),
        (ACCURACY, "accuracy", math.nan),
        (ACCURACY, "accuracy", 0.5),
        (ACCURACY, "threshold", -1),
        (ACCURACY, "threshold", True),
        (ACCURACY, "seconds", math.inf),
        (ACCURACY, "seconds", 10**400),
        (ACCURACY, "bits", {"written": 9, "wrong": 10}),
        (ACCURACY, "bits", {"written": 0}),
        (ACCURACY, "bits", []),
        (RRMSE, "rrmse", "0.5"),
        (RRMSE, "rrmse", -1.0),
        (RRMSE, "rrmse_by_layer", [math.nan]),
        (RRMSE, "rrmse_by_layer", 3),
    ],
)
def test_a_field_of_another_type_or_range_is_refused(tmp_path, kind, key, value):
    with pytest.raises(FormatError, match="is damaged; remove it"):
        read(tmp_path, kind, **{key: value})
