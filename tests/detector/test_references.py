"""Training rows that stay with a detector."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from unseen import Bundle, Detector
from unseen.detector.references import References, references
from unseen.errors import BundleError, DataError
from unseen.storage.manifest import JSON, SHOWN, digest


def orders(n=300, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "amount": rng.lognormal(size=n),
            "shop": rng.choice(["north", "south"], n),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(9, 999, n), unit="h"),
            "paid": rng.random(n) < 0.9,
        }
    )
    frame.loc[::50, "amount"] = np.nan
    y = np.array(["normal"] * (n - 9) + ["fraud"] * 6 + ["typo"] * 3, dtype=object)
    return frame, y


def fitted(**changes):
    frame, y = orders()
    return Detector("mahalanobis", random_state=0, **changes).fit(frame, y), frame, y


def test_rows_stay_as_they_were():
    detector, frame, y = fitted()
    kept = detector.references_
    assert kept.rows.column_names == [column.name for column in detector.schema_.columns]
    names = np.array(["normal", *detector.classes_])
    np.testing.assert_array_equal(names[kept.codes], y[kept.numbers])
    shop = kept.rows["shop"].to_pylist()
    assert shop == frame["shop"].iloc[kept.numbers].tolist()
    assert len(kept.normals) == 291
    assert len(kept.of_class(2)) == 3
    np.testing.assert_array_equal(
        detector.anomaly_score(kept.rows), detector.anomaly_score(frame.iloc[kept.numbers])
    )


def test_classes_stay_evenly_and_wide_rows_fewer():
    class Wide:
        noun = "rows"
        inputs = ("x",) * 10_000  # 104 rows of them are a million values

        def shown(self, rows):
            return {"x": rows[:, 0]}

    codes = np.repeat([0, 1, 2, -1], [400, 300, 20, 50])
    x = np.arange(770, dtype=float)[:, None]
    kept = references(Wide(), x, codes, np.arange(770), 0)
    assert np.bincount(kept.codes).tolist() == [104, 84, 20]
    np.testing.assert_array_equal(kept.rows["x"].to_numpy(), kept.numbers)


def test_unlabelled_rows_stand_in_where_none_is_normal():
    detector = Detector("mahalanobis").fit(np.random.default_rng(0).normal(size=(50, 2)), [-1] * 50)
    assert detector.references_.codes.tolist() == [0] * 50


def test_they_are_saved_and_loaded(tmp_path):
    detector, *_ = fitted()
    Bundle(detector, {}).save(tmp_path / "m")
    loaded = Bundle.load(tmp_path / "m").detector.references_
    assert loaded.rows.equals(detector.references_.rows.combine_chunks()) or (
        loaded.rows.to_pylist() == detector.references_.rows.to_pylist()
    )
    np.testing.assert_array_equal(loaded.codes, detector.references_.codes)
    np.testing.assert_array_equal(loaded.numbers, detector.references_.numbers)


def test_an_earlier_release_kept_none(tmp_path):
    detector, *_ = fitted()
    del detector.references_
    Bundle(detector, {}).save(tmp_path / "m")
    assert not (tmp_path / "m" / SHOWN).exists()
    assert not hasattr(Bundle.load(tmp_path / "m").detector, "references_")


def rewritten(folder, data):
    """The folder with this file of rows, and hashes that say that it is whole."""
    import json

    from unseen.storage.manifest import canonical

    (folder / SHOWN).write_bytes(data)
    plain = json.loads((folder / JSON).read_text())
    plain.pop("sha256")
    plain["references"] = digest(data)
    (folder / JSON).write_text(json.dumps(plain | {"sha256": digest(canonical(plain))}))


def arrow(table):
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_file(buffer, table.schema) as out:
        out.write_table(table)
    return bytes(buffer.getvalue())


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.drop_columns(["unseen.code"]),
        lambda t: t.drop_columns(["amount"]),
        lambda t: t.set_column(0, "unseen.code", pa.array([9] * len(t))),
        lambda t: t.slice(0, 0),
        lambda t: pa.concat_tables([t] * 20),
        lambda t: t.set_column(
            t.column_names.index("unseen.number"), "unseen.number", [[-1] * len(t)]
        ),
    ],
)
def test_rows_that_nobody_saved_are_refused(tmp_path, change):
    detector, *_ = fitted()
    Bundle(detector, {}).save(tmp_path / "m")
    table = pa.ipc.open_file(pa.py_buffer((tmp_path / "m" / SHOWN).read_bytes())).read_all()
    rewritten(tmp_path / "m", arrow(change(table)))
    with pytest.raises(BundleError):
        Bundle.load(tmp_path / "m")


def test_a_file_that_is_none_or_changed_is_refused(tmp_path):
    detector, *_ = fitted()
    Bundle(detector, {}).save(tmp_path / "m")
    whole = (tmp_path / "m" / SHOWN).read_bytes()
    (tmp_path / "m" / SHOWN).write_bytes(whole[:-9])
    with pytest.raises(BundleError, match="changed since it was saved"):
        Bundle.load(tmp_path / "m")
    for data in (b"", b"ARROW1", whole[:-9], whole[:400] + b"\xff" * 64 + whole[464:]):
        rewritten(tmp_path / "m", data)
        with pytest.raises(BundleError, match="cannot be read"):
            Bundle.load(tmp_path / "m")
    (tmp_path / "m" / SHOWN).unlink()
    with pytest.raises(BundleError, match="missing"):
        Bundle.load(tmp_path / "m")


def test_parts_that_do_not_belong_together():
    table = pa.table({"a": [1, 2]})
    with pytest.raises(DataError, match="one code and one number"):
        References(table, np.zeros(3, np.int64), np.arange(2))
    with pytest.raises(DataError, match="must be 0 or more"):
        References(table, np.array([0, -1]), np.arange(2))


def test_adapting_keeps_the_new_rows():
    frame, _ = orders()
    detector = Detector("resad", random_state=0).fit(frame, groups=np.arange(300) % 3)
    assert detector.adapt(frame[:30]).references_.numbers.max() < 30
