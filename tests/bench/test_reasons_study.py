"""The study of reasons: what is planted lies far out, precision by hand, and a slice of it runs."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from bench.data.causes import CAUSES
from bench.studies import reasons as study

from unseen.explain.reasons import Neighbour


class Fitted(study.case):
    """As a draw of a set, of rows of its own: two numbers and a rare level among the test rows."""

    def __init__(self):
        from unseen import Detector

        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 4)).round(3)
        x[300:310, 1] = 50.0  # anomalies, far out in one column
        level = np.where(np.arange(400) % 2, "a", "b").astype(object)
        level[310:320] = "new"
        table = pa.table({**{f"x{j}": x[:, j] for j in range(4)}, "level": level})
        self.normals, self.tests = table.slice(0, 300), table.slice(300)
        self.train = self.normals
        self.answers = (np.arange(100) < 20).astype(int)
        self.names, self.seed = ("far",), 0
        self.detector = Detector("mahalanobis", random_state=0).fit(self.normals)
        self.schema = self.detector.members_[0].encoder
        self.columns = [column.name for column in self.schema.columns]
        self.owner = np.asarray(self.schema.origin)


@pytest.fixture(scope="module")
def fitted():
    return Fitted()


def test_planted_columns_lie_far_out_and_all_others_are_the_rows_own(fitted):
    rows, where = study.plant(fitted, 2, 30)
    assert where.sum(axis=1).tolist() == [2] * 30
    assert len(rows) == 30
    tests = set(map(tuple, np.column_stack([fitted.tests[f"x{j}"] for j in (0, 2)]).tolist()))
    for k in np.flatnonzero(~where[:, [0, 2]].any(axis=1)):
        assert (rows["x0"][k].as_py(), rows["x2"][k].as_py()) in tests
    planted = np.array(rows["x1"])[where[:, 1]]
    low, high = np.quantile(np.array(fitted.normals["x1"]), [0.005, 0.995])
    assert ((planted < low) | (planted > high)).all()
    assert set(np.array(rows["level"])[where[:, 4]]) <= {"new"}


def test_what_lies_far_out_does_so_beyond_all_but_the_last_normals(fitted):
    rows = fitted.tests.take([0, 10, 30])  # far in x1, a new level, like the normals
    middle = pa.table({name: rows[name] for name in rows.column_names}).to_pandas()
    middle[["x0", "x2", "x3"]] = 0.0
    middle.loc[1:, "x1"] = 0.0
    far = study.far_out(fitted, pa.Table.from_pandas(middle))
    assert [np.flatnonzero(each).tolist() for each in far] == [[1], [4], []]


def test_precision_by_hand():
    where = np.array([[True, True, False, False], [False, False, False, True]])
    assert study.hits(np.array([[1, 2, 0], [3, 0, 1]]), where) == 0.75
    assert np.isnan(study.hits(np.zeros((0, 3), dtype=int), where[:0]))


@pytest.mark.parametrize("ranker", ["reasons", "z-score", "gradient"])
def test_rankers_find_a_column_that_is_far_out(fitted, ranker):
    far = fitted.tests.slice(0, 3)
    assert study.RANKERS[ranker](fitted, far)[:, 0].tolist() == [1, 1, 1]


def test_causes_are_columns_of_the_process_and_few():
    names = {f"xmeas_{k:02}" for k in range(1, 42)} | {f"xmv_{k:02}" for k in range(1, 12)}
    assert all(set(causes) <= names and len(causes) <= 6 for causes in CAUSES.values())


def test_figures_of_what_is_put_back(fitted):
    chosen = type("Chosen", (), {"rows": 5})
    name, rows, five, ten, median, many, error, _ = study.back([fitted], "mine", chosen)
    assert (name, rows, ten, median, many) == ("mine", "5", five, "1", "0.00")
    assert float(error) < 1e-6


def test_the_error_is_that_of_the_detectors_own_scores(fitted):
    rows = fitted.tests.slice(0, 3)
    reasons = fitted.detector.explain(rows)
    wrong = [replace(reasons[0], rest=reasons[0].rest + 0.25), *reasons[1:]]
    assert study.error(fitted, rows, reasons) < 1e-6
    assert study.error(fitted, rows, wrong) == pytest.approx(0.25)
    highest = int(study.explained_scores(fitted, fitted.train).argmax())
    other = replace(reasons[0], nearest_normal=Neighbour(highest, "normal", 0.0))
    assert study.error(fitted, rows.slice(0, 1), [other]) > 0.01
