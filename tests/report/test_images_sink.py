"""The sink of judged images: it tells how far it is, and writes a row for each file."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from pyarrow import csv

from unseen.report.images import ImageSink


def judged(*names):
    n = len(names)
    return SimpleNamespace(
        keys=pa.table({"file": names, "problem": pa.array([None] * n, pa.string())}),
        score=np.arange(n) + 0.5,
        pvalue=np.full(n, 0.5),
        verdict=np.full(n, "normal"),
        threshold=0.05,
        kinds=None,
        reasons=None,
    )


def test_parts_become_one_table(tmp_path):
    detector = SimpleNamespace(members_=[SimpleNamespace(peaks=None)])
    sink = ImageSink(None, detector, tmp_path / "s.csv", None, 0.05)
    sink.write(iter([judged("a.png", "b.png"), judged("c.png")]))
    assert (sink.rows, sink.flagged) == (3, 0)
    written = csv.read_csv(tmp_path / "s.csv")
    assert written["file"].to_pylist() == ["a.png", "b.png", "c.png"]
    assert written["score"].to_pylist() == [0.5, 1.5, 0.5]
