"""Reasons as a reader and a program are told them."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

import pytest

from unseen.explain.reasons import Change, Neighbour, Reason, Reasons, as_written

BYTES = Reason("bytes_out", 340000, 120, 3.1, 0.62)
SERVICE = Reason("service", "ftp", "http", 1.05, 0.21)
WHY = Reasons(
    6.0,
    1.0,
    0.001,
    (BYTES, SERVICE),
    0.85,
    Change((BYTES, SERVICE), 0.4),
    Neighbour(7, "normal", 2.5),
    None,
    (("Mahalanobis distance", 6.0),),
)


def test_a_sentence_names_columns_values_and_shares():
    assert str(WHY) == (
        "bytes_out 340,000 (nearest normal: 120) 62%; service 'ftp' (nearest normal: 'http') 21%"
    )
    assert str(WHY.change) == "bytes_out 120, service 'http': p 0.4"
    assert str(replace(WHY, columns=())) == "no column raises the score"
    assert str(replace(BYTES, share=float("nan"))) == "bytes_out 340,000 (nearest normal: 120)"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (True, "yes"),
        (3, "3"),
        (2.0, "2"),
        (1234567.25, "1,234,567.2"),
        (-0.000123456, "-0.0001235"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        ("80", "80"),
        ("a b", "'a b'"),
        ("x" * 500, None),
        (dt.date(2026, 11, 29), "2026-11-29"),
        (Decimal("1.50"), "1.50"),
    ],
)
def test_values_are_written_as_a_reader_knows_them(value, words):
    written = as_written(value)
    assert written == words or (words is None and len(written) < 200)


def test_plain_values_are_strict_json():
    odd = Reason("when", dt.datetime(2026, 1, 2), float("nan"), 0.0, float("nan"))
    plain = replace(WHY, columns=(odd,)).to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["columns"][0] == {
        "column": "when",
        "value": "2026-01-02 00:00:00",
        "normal": None,
        "added": 0.0,
        "share": None,
    }
    assert plain["nearest_normal"] == {"row": 7, "label": "normal", "distance": 2.5}
    assert plain["nearest_anomaly"] is None
    assert plain["evidence"] == [["Mahalanobis distance", 6.0]]
