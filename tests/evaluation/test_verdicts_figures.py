"""Figures of verdicts, by hand."""

import numpy as np
import pyarrow as pa
import pytest

from unseen import Protocol, evaluate
from unseen.detector.verdicts import Verdicts
from unseen.evaluation.draws import Draw
from unseen.evaluation.verdicts import verdict_figures, verdicts_over_seeds
from unseen.report.evaluation import report

NAMES = ("leak", "crack", "smell")  # the detector knows two, in another order


def verdicts(code, novelty, likeliest):
    n = len(code)
    share = np.eye(2)[likeliest]
    return Verdicts(np.array(code), np.ones(n), share, share, np.array(novelty), ("crack", "leak"))


def found():
    """40 normals, 20 leaks, 20 cracks, 20 rows of a new kind."""
    codes = np.repeat([0, 1, 2, 3], [40, 20, 20, 20])
    code = np.repeat([0, -1, 2, 1, -1, 1, 0, -1, 1, -2], [38, 2, 15, 5, 0, 20, 5, 10, 3, 2])
    likeliest = np.repeat([0, 1, 0, 0], [40, 15, 5, 40])
    novelty = np.repeat([0.0, 0.1, 0.9], [40, 40, 20])
    return verdict_figures(
        verdicts(code, novelty, likeliest), codes, Draw(None, None, (1, 2), None), NAMES
    )


def test_shares_by_hand():
    confusion = found()["confusion"]
    assert list(confusion["normal"].values()) == [0.95, 0, 0, 0.05, 0]
    assert list(confusion["seen"].values()) == [0, 0.875, 0.125, 0, 0]  # .75 and 1, .25 and 0
    assert list(confusion["unseen"].values()) == [0.25, 0, 0.15, 0.5, 0.1]


def test_figures_by_hand():
    one = found()
    assert one["accuracy_among_known"] == 0.875
    assert one["new_called_new"] == 0.5
    assert np.isnan(one["novelty_auroc"])  # 15 alarms of new kinds are too few
    assert verdicts_over_seeds([one, one])["accuracy_among_known"] == 0.875
    assert verdicts_over_seeds([one])["novelty_auroc"] is None
    assert verdicts_over_seeds([None]) is None


def test_an_evaluation_tells_of_verdicts():
    rng = np.random.default_rng(0)
    kind = np.repeat(["normal", "up", "down", "left"], [600, 80, 80, 80])
    x = rng.normal(size=(840, 3))
    x[600:680, 0] += 9
    x[680:760, 0] -= 9
    x[760:, 1] -= 9
    table = pa.table({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "kind": kind})
    entries = evaluate(
        table, label="kind", protocol=Protocol(seen=2, seeds=2), methods="mahalanobis"
    )
    figures = entries[0]["verdicts"]
    assert figures["accuracy_among_known"] > 0.95
    assert figures["novelty_auroc"] > 0.95
    assert figures["new_called_new"] > 0.8
    assert sum(figures["confusion"]["normal"].values()) == pytest.approx(1)
    titles = [str(part) for part in report(entries).renderables]
    assert "Verdicts at p <= 0.05: how rows are called" in titles
    del entries[0]["verdicts"]  # as an earlier release wrote it
    titles = [str(part) for part in report(entries).renderables]
    assert "Verdicts at p <= 0.05: how rows are called" not in titles
