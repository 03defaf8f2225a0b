"""Drift of sources: rows keep their numbers, and errors their place."""

import logging

import numpy as np
import pyarrow as pa
import pytest

from unseen.detector.detector import Detector
from unseen.detector.policy import Policy
from unseen.errors import DataError
from unseen.io import read
from unseen.scoring.rows import FrameRows
from unseen.scoring.stream import score
from unseen.scoring.tables import TableSource
from unseen.scoring.watch import watched
from unseen.types import Batch


@pytest.fixture(scope="module")
def detector():
    return Detector("mahalanobis", random_state=0).fit(table(1500, 0))


def table(n, seed, shift=0.0):
    return pa.table({"a": np.random.default_rng(seed).normal(shift, size=n), "b": np.arange(n) % 7})


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(read, "ROWS", 100)


def test_a_source_is_as_its_rows(detector):
    rows, seen = pa.concat_tables([table(1000, 1), table(500, 2, shift=2.0)]), []
    found = watched(TableSource(FrameRows(rows)), detector, progress=seen.append)
    assert seen == [100] * 15
    assert found.drifted
    assert (found.since, found.columns) == (
        detector.drift(rows).since,
        detector.drift(rows).columns,
    )


def test_rows_that_cannot_be_scored_keep_their_numbers(detector):
    """Of each block the first fifty are missing, as images are that cannot be read."""

    class Half:
        noun = "rows"

        def batches(self, encoder):
            for k in range(40):
                shift = 3.0 if k >= 20 else 0.0
                rows, keys = table(50, k, shift), pa.table({"row": np.arange(100)})
                yield Batch(rows, keys, np.arange(50, 100), "half")

    found = watched(Half(), detector)
    assert found.rows == 2000
    assert abs(found.since - 2050) <= 60


def test_errors_name_the_place(detector):
    rows = pa.concat_tables([table(200, 1), pa.table({"a": [1.0], "b": [2]})])
    rows = rows.set_column(0, "a", pa.array([*map(str, range(200)), "many"]))
    with pytest.raises(DataError, match="rows 201 to 201, counted from 1 again: column 'a'"):
        watched(TableSource(FrameRows(rows)), detector)


def test_no_rows(detector):
    with pytest.raises(DataError, match="found none that can be scored"):
        watched(TableSource(FrameRows(table(0, 1))), detector)


@pytest.mark.parametrize(("shift", "said"), [(0.0, 0), (1.0, 1)])
def test_scoring_warns_once_of_a_whole_file(detector, caplog, shift, said):
    with caplog.at_level(logging.WARNING, "unseen"):
        source = TableSource(FrameRows(table(1500, 3, shift)))
        rows = sum(map(len, score(source, detector, Policy.alpha(0.05))))
    assert rows == 1500
    warned = [text for text in caplog.messages if "have drifted" in text]
    assert len(warned) == said
