"""Several domains, and moving to one that was never seen: what moves, what stays, what
p-values say then.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

from quick import brief
from toys import domains
from unseen.cli import main as cli
from unseen.detector import adapt
from unseen.detector.detector import Detector
from unseen.errors import DataError, FewNormals, NotFitted, Unsupported
from unseen.methods import METHODS
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.forest import Forest
from unseen.methods.multidirectional import MultiDirectional
from unseen.methods.multidirectional_literal import MultiDirectionalLiteral, TwoLevel, own_first
from unseen.methods.resad import ResAD
from unseen.parts.bank import Whitening
from unseen.parts.deviation import Deviation, descriptions
from unseen.parts.domains import Domains
from unseen.parts.nets import Widening
from unseen.parts.ranking import auroc
from unseen.storage.bundle import Bundle
from unseen.testing import scored, toy_rows, trained
from unseen.types import Run, Samples, ability

ABLE = {name: brief(method) for name, method in METHODS.items() if hasattr(method, "adapt")}
RELATIVE = {
    name: ABLE[name]
    for name in ("mahalanobis", "nearest", "multi-directional", "resad", "resad-pp")
}
each_able = pytest.mark.parametrize("method", list(ABLE.values()), ids=list(ABLE))


def run():
    return Run(torch.Generator().manual_seed(3))


def fitted(method=None, rows=150):
    """A detector of two machines, and 12 normal rows of a third, which runs hotter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)) + 6.0 * (np.arange(rows) % 2)[:, None]
    y = np.where(np.arange(rows) < rows - 8, "normal", "leak").astype(object)
    x[y == "leak", 0] += 7.0
    method = method or Nearest(k=1)
    detector = Detector(method, calibration=0.2, random_state=0).fit(
        x, y, groups=np.arange(rows) % 2
    )
    return detector, rng.normal(size=(12, 3)) - 9.0


# domains


def test_pooled_covariance_and_the_nearest_mean_by_hand():
    # Around the means 1 and 101 the rows are -1, 1, -2, 2: 10 / (4 - 2) = 5 is the pooled variance.
    x, group = torch.tensor([[0.0], [2.0], [99.0], [103.0]]), torch.tensor([7, 7, 9, 9])
    method = Mahalanobis(shrinkage=0.0)
    scorer = trained(method, Samples.of(x, group=group))
    rows = torch.tensor([[3.0], [90.0]])
    torch.testing.assert_close(scored(scorer, rows), torch.tensor([2.0, 11.0]) / 5**0.5)
    moved = method.adapt(scorer, Samples.of(torch.tensor([[60.0], [70.0]])), run())
    torch.testing.assert_close(scored(moved, rows), torch.tensor([62.0, 25.0]) / 5**0.5)


def test_whitened_neighbours_keep_the_pooled_covariance():
    x, group = torch.tensor([[0.0], [2.0], [99.0], [103.0]]), torch.tensor([0, 0, 1, 1])
    method = Nearest(k=1, whiten=True, shrinkage=0.0)
    scorer = trained(method, Samples.of(x, group=group))
    torch.testing.assert_close(scored(scorer, torch.tensor([[50.0]])), torch.tensor([48 / 5**0.5]))
    moved = method.adapt(scorer, Samples.of(torch.tensor([[60.0], [70.0]])), run())
    torch.testing.assert_close(scored(moved, torch.tensor([[50.0]])), torch.tensor([10 / 5**0.5]))


def test_without_groups_mean_and_bank_move_alone():
    data, far = toy_rows().normals, toy_rows(seed=9).normals.x[:20] + 50
    whiten = Whitening(6)
    whiten.fit(data.x, shrinkage=1e-3)
    moved = Mahalanobis().adapt(trained(Mahalanobis(), data), Samples.of(far), run())
    torch.testing.assert_close(
        scored(moved, far), ((far - far.mean(dim=0)) @ whiten.matrix).norm(dim=1)
    )
    near = Nearest(k=1).adapt(trained(Nearest(k=1), data), Samples.of(far), run())
    torch.testing.assert_close(
        scored(near, far + 1), torch.cdist(far + 1, far).amin(dim=1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "method",
    [
        *ABLE.values(),
        Nearest(whiten=True),
        MultiDirectionalLiteral(episodes=2, inner_steps=5, outer_steps=5),
    ],
)
def test_one_group_is_no_group(method):
    data = toy_rows()
    other = dataclasses.replace(data, group=torch.full((len(data),), 7))
    assert torch.equal(
        scored(trained(method, other), data.x), scored(trained(method, data), data.x)
    )


def test_rows_are_described_by_normals_of_their_own_kind():
    data = domains()
    group, normals = Domains(data.normals), data.normals
    deviation = Deviation(6)
    deviation.fit(normals.x, torch.Generator().manual_seed(0), group=normals.group)
    found = group.described(deviation, data.anomalies)
    for kind in range(3):
        own, which = normals.x[normals.group == kind], data.anomalies.group == kind
        rows = data.anomalies.x[which]
        nearest = torch.cdist(rows, own).sort().values[:, :5].mean(dim=1)
        mahalanobis = ((rows - own.mean(dim=0)) @ deviation.whiten.matrix).norm(dim=1)
        torch.testing.assert_close(found[which, 1].exp(), nearest + 1e-3, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found[which, 0].exp(), mahalanobis + 1e-3, rtol=1e-3, atol=0.01)


def test_normals_are_described_by_others_of_their_kind():
    data = domains().normals
    group = Domains(data)
    deviation = Deviation(6)
    deviation.fit(data.x, torch.Generator().manual_seed(0), group=data.group)
    # 60 rows of each kind: one by one
    (rows, words), (synthetic, _) = group.crossed(deviation, data, folds=60, run=run())
    torch.testing.assert_close(rows.x, data.x - group.origins[data.group])
    assert (synthetic.y == 1).all()
    for i in range(0, len(data), 17):
        others = (data.group == data.group[i]) & (torch.arange(len(data)) != i)
        nearest = torch.cdist(data.x[i : i + 1], data.x[others]).sort().values[0, :5].mean()
        assert words[i, 1].exp().item() == pytest.approx(nearest.item() + 1e-3, rel=1e-3)


def test_a_moved_description_is_the_old_one_with_other_rows_and_its_covariance():
    data = domains().normals
    deviation = Deviation(6)
    deviation.fit(data.x, torch.Generator().manual_seed(0), group=data.group)
    before = descriptions(deviation, data.x)
    rows = torch.randn(9, 6, generator=torch.Generator().manual_seed(1)) + 80
    moved = deviation.moved(rows)
    assert torch.equal(descriptions(deviation, data.x), before)
    assert moved.whiten.matrix is deviation.whiten.matrix
    torch.testing.assert_close(moved.whiten.mean, rows.mean(dim=0))
    torch.testing.assert_close(moved.raw.bank.rows, rows)


def test_a_kind_with_one_normal_row_and_a_kind_with_none_do_no_harm():
    data = domains()
    lonely = torch.ones(len(data), dtype=torch.bool)
    lonely[(data.group == 1).nonzero()[1:60]] = False
    lonely[(data.group == 2) & (data.y <= 0)] = False
    for method in (MultiDirectional(), brief(ResAD())):
        assert torch.isfinite(scored(trained(method, data[lonely]), data.x)).all()


@pytest.mark.parametrize("method", [MultiDirectional(), brief(ResAD()), Mahalanobis()])
def test_known_kinds_are_told_apart_without_being_named(method):
    data, new = domains(rows=100, anomalies=8), domains(rows=40, anomalies=8, seed=4)
    score = scored(trained(method, data), new.x)
    assert auroc(score[new.y == 0], score[new.y > 0]) > 0.97
    between = torch.full((1, 6), -5.0)  # between two kinds, near none
    assert scored(trained(method, data), between) > score[new.y == 0].max()


# moving


@pytest.mark.parametrize("method", list(RELATIVE.values()), ids=list(RELATIVE))
def test_where_the_new_kind_lies_does_not_matter(method):
    data, new = domains(), domains(shift=(40.0,), seed=5)
    scorer = trained(method, data)
    here = scored(method.adapt(scorer, new.normals[:8], run()), new.x)
    there = scored(method.adapt(scorer, Samples.of(new.normals.x[:8] - 100), run()), new.x - 100)
    torch.testing.assert_close(there, here, rtol=1e-2, atol=1e-2)


def test_a_kind_can_be_moved_to_without_groups_in_training():
    data, new = domains(shift=(0.0,)), domains(shift=(40.0,), seed=5, axis=2)
    for method in (MultiDirectional(), brief(ResAD())):
        moved = method.adapt(trained(method, data), new.normals[:12], run())
        score = scored(moved, new.x[12:])
        assert auroc(score[new.y[12:] == 0], score[new.y[12:] > 0]) > 0.9


def test_a_method_moves_by_a_single_row():
    for method in ABLE.values():
        moved = method.adapt(trained(method, domains()), domains(shift=(40.0,)).normals[:1], run())
        assert torch.isfinite(scored(moved, domains(shift=(40.0,)).x)).all()


def test_the_literal_recipe_has_a_logit_for_each_kind_and_one_for_anomalies():
    method = MultiDirectionalLiteral(episodes=2, inner_steps=10, outer_steps=10)
    scorer = trained(method, domains(shift=(-2.0, 0.0, 2.0)))
    assert scorer.head[-1].out_features == 4
    again = method.build((6,))
    again.load_state_dict(scorer.state_dict())
    x = domains().x
    assert torch.equal(scored(again, x), scored(scorer, x))
    with torch.no_grad():
        share = (scorer.head(scorer.encoder(x)) / scorer.log_temperature.exp()).softmax(dim=1)[:, 3]
    torch.testing.assert_close(scored(scorer, x), share.logit(), rtol=1e-3, atol=1e-3)
    assert ability(method, "adapt") is None, "it learns where rows lie"


def test_the_inner_level_of_the_literal_recipe_asks_for_the_own_kind():
    scorer = TwoLevel(2, width=4, latent=3, blocks=1)
    scorer.widen(2)
    x, group = (
        torch.randn(4, 2, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 1, 1, 0]),
    )
    loss = scorer.normality(Samples.of(x, group=group), reconstruction=0.0)
    logits = scorer.head(scorer.encoder(x))
    torch.testing.assert_close(
        loss, torch.nn.functional.cross_entropy(logits, group, reduction="none")
    )
    assert own_first(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([2])).tolist() == [
        [3.0, 2.0, 1.0]
    ]


def test_a_layer_that_has_its_number_of_outputs_keeps_its_weights():
    layer = Widening(3, 2)
    before = layer.weight
    layer.widen(2)
    assert layer.weight is before


# the detector


def test_left_out_rows_calibrate_by_hand():
    detector, _ = fitted()
    support = np.array([[0.0, 0, 0], [1.0, 0, 0], [3.0, 0, 0]]) - 20
    moved = detector.adapt(support)
    x = detector.members_[0].encoder.encode(support)
    d = np.linalg.norm(x[:, None] - x[None], axis=2)
    by_hand = sorted([d[0, 1], d[0, 1], d[1, 2]])  # each to the nearest of the other two
    np.testing.assert_allclose(moved.conformal_.scores, by_hand, rtol=1e-4)
    np.testing.assert_allclose(moved.anomaly_score(support), 0, atol=1e-6)
    np.testing.assert_allclose(moved.pvalue(support + np.array([0, 500, 0])), 0.25)


@each_able
def test_the_detector_that_was_moved_stays_as_it_is(method):
    detector, support = fitted(method)
    before, pvalues = detector.anomaly_score(support), detector.pvalue(support)
    state = [
        {k: v.clone() for k, v in member.scorer.state_dict().items()}
        for member in detector.members_
    ]
    moved = detector.adapt(support)
    assert np.array_equal(detector.anomaly_score(support), before)
    assert np.array_equal(detector.pvalue(support), pvalues)
    for member, old in zip(detector.members_, state, strict=True):
        assert all(torch.equal(v, old[k]) for k, v in member.scorer.state_dict().items())
    assert np.array_equal(
        detector.adapt(support).anomaly_score(support), moved.anomaly_score(support)
    )
    if method not in RELATIVE.values():  # MAML learns by gradients, from few of these
        return
    anomalous = support + np.array([9.0, 0, 0])
    assert np.median(moved.pvalue(anomalous)) < 0.2
    assert np.median(moved.pvalue(support)) > 0.3
    assert np.median(detector.pvalue(support)) < 0.05


@each_able
def test_a_moved_detector_is_saved_and_loaded_as_any_other(method, tmp_path):
    detector, support = fitted(method)
    moved = detector.adapt(support)
    Bundle(moved, {}).save(tmp_path / "moved")
    again = Bundle.load(tmp_path / "moved").detector
    assert np.array_equal(again.anomaly_score(support), moved.anomaly_score(support))
    assert np.array_equal(again.pvalue(support + 3), moved.pvalue(support + 3))
    assert np.array_equal(
        again.adapt(support[:5]).anomaly_score(support),
        moved.adapt(support[:5]).anomaly_score(support),
    )


def test_p_values_are_as_fine_as_the_rows_are_many():
    detector, support = fitted()
    moved = detector.adapt(support)
    far = support + 1000
    np.testing.assert_allclose(moved.pvalue(far), 1 / 13)
    assert moved.detect(far, alpha=0.1).all()
    with pytest.warns(FewNormals, match=r"no p-value is below 1/13: .* or ask for 0.077 or more$"):
        assert not moved.detect(far, alpha=0.05).any()


def test_normal_rows_of_the_new_kind_are_flagged_about_as_often_as_asked_for():
    detector, _ = fitted()
    rng = np.random.default_rng(1)
    shares = [
        detector.adapt(rng.normal(size=(19, 3)) - 30)
        .detect(rng.normal(size=(100, 3)) - 30, alpha=0.1)
        .mean()
        for _ in range(25)
    ]
    assert 0.05 < np.mean(shares) < 0.13


def test_labelled_anomalies_neither_calibrate_nor_count_as_normal():
    detector, support = fitted()
    anomalous = support[:2] + np.array([0, 40.0, 0])
    moved = detector.adapt(np.r_[support, anomalous], ["normal"] * 12 + ["leak", "smoke"])
    plain = detector.adapt(support)
    np.testing.assert_array_equal(
        np.sort(moved.conformal_.scores), np.sort(plain.conformal_.scores)
    )
    np.testing.assert_array_equal(moved.anomaly_score(anomalous), plain.anomaly_score(anomalous))
    assert moved.classes_ == ("leak", "smoke")


def test_labels_reach_the_method_under_the_codes_that_they_had():
    seen = []

    class Telling(Nearest):
        def adapt(self, scorer, support, run):
            seen.append(support)
            return super().adapt(scorer, support, run)

    detector, support = fitted(Telling(k=1))
    detector.adapt(support, [None] * 9 + ["smoke", "leak", 0])
    assert seen[-1].y.tolist() == [-1] * 9 + [2, 1, 0]
    assert len(seen) == 11  # ten normal or unlabelled rows one by one, and all
    assert [len(s) for s in seen] == [11] * 10 + [12]


def test_many_rows_calibrate_in_folds(monkeypatch):
    monkeypatch.setattr(adapt, "FOLDS", 4)
    detector, _ = fitted()
    support = np.random.default_rng(2).normal(size=(21, 3)) - 9
    calls = []
    found = Nearest.adapt
    monkeypatch.setattr(Nearest, "adapt", lambda *a: (calls.append(len(a[2])), found(*a))[1])
    moved = detector.adapt(support)
    assert sorted(calls) == [15, 16, 16, 16, 21]
    assert len(moved.conformal_.scores) == 21
    assert moved.conformal_.scores.min() > 0


def test_what_cannot_move_says_what_can():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 3)), [0] * 80 + [1] * 10
    with pytest.raises(
        Unsupported,
        match="Forest cannot move.*mahalanobis, .*multi-directional, nearest, resad, resad-pp",
    ):
        Detector(Forest(trees=4), random_state=0).fit(x, y).adapt(x[:5])


def test_too_few_rows_other_columns_and_no_fit_are_refused():
    detector, support = fitted()
    with pytest.raises(DataError, match="given 1 normal rows of 1, and needs at least 2"):
        detector.adapt(support[:1])
    with pytest.raises(DataError, match="given 1 normal rows of 3"):
        detector.adapt(support[:3], ["leak", "leak", "normal"])
    with pytest.raises(DataError, match="2 features.*3"):
        detector.adapt(support[:, :2])
    with pytest.raises(NotFitted):
        Detector(Nearest()).adapt(support)


# the command line


def machine(offset, rows=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)) + offset
    return {"heat": x[:, 0], "noise": x[:, 1]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a detector of two machines, and ten normal rows of a third."""
    monkeypatch.chdir(tmp_path)
    parts = [machine(0.0), machine(8.0, seed=1)]
    table = pa.table({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})
    table = table.append_column("machine", pa.array(["a"] * 60 + ["b"] * 60)).append_column(
        "kind", [["normal"] * 120]
    )
    parquet.write_table(table, "train.parquet")
    parquet.write_table(pa.table(machine(-20.0, rows=10, seed=2)), "c.parquet")
    line = "fit train.parquet --label kind --group machine --method nearest --out m"
    assert cli.main(line.split()) == 0
    return tmp_path


def test_the_command_moves_a_saved_detector(here, capsys):
    capsys.readouterr()
    assert cli.main(["adapt", "m", "c.parquet", "--out", "m2"]) == 0
    printed = capsys.readouterr()
    # the level that `score` takes by itself
    assert printed.err.startswith("note: level 0.05 asked for, but with 10 calibration normals")
    for line in (
        "c.parquet has 10 rows",
        "10 normal rows of the new domain",
        "smallest p-value is 0.091",
        "score m2 DATA",
    ):
        assert line in printed.out
    new = machine(-20.0, seed=3)
    moved = Bundle.load("m2")
    by_hand = Bundle.load("m").detector.adapt(pa.table(machine(-20.0, rows=10, seed=2)))
    assert np.array_equal(
        moved.detector.anomaly_score(pa.table(new)), by_hand.anomaly_score(pa.table(new))
    )
    assert moved.facts["adapted"] == {"source": "c.parquet", "rows": 10}
    assert "adapted" not in Bundle.load("m").facts
    assert cli.main(["info", "m2"]) == 0
    assert "a domain of which c.parquet has 10 rows" in capsys.readouterr().out


def test_the_command_heeds_a_label_column_if_there_is_one(here, capsys):
    rows = pa.table(machine(-20.0, rows=10, seed=2)).append_column(
        "kind", [["normal"] * 8 + ["leak"] * 2]
    )
    parquet.write_table(rows.append_column("machine", [["c"] * 10]), "c2.parquet")
    capsys.readouterr()
    assert cli.main(["adapt", "m", "c2.parquet", "--out", "m2"]) == 0
    assert len(Bundle.load("m2").detector.conformal_.scores) == 8
    assert capsys.readouterr().err.count("note: ") == 1  # 8 normal rows cannot flag at 0.05


def test_the_command_refuses_what_it_cannot_do(here, capsys):
    assert cli.main(["adapt", "m", "c.parquet", "--out", "m"]) == 2
    assert "m: exists already" in capsys.readouterr().err
    parquet.write_table(pa.table({"heat": [1.0, 2.0]}), "less.parquet")
    assert cli.main(["adapt", "m", "less.parquet", "--out", "m2"]) == 2
    assert "noise" in capsys.readouterr().err
    assert not (here / "m2").exists()


def test_rows_that_what_adapted_cannot_follow_are_warned_of(caplog):
    rng = np.random.default_rng(2)
    detector = Detector("nearest", random_state=0).fit(rng.normal(size=(300, 3)))
    detector.adapt(rng.normal(size=(30, 3)) + 9)  # elsewhere, as wide: followed
    assert "score higher" not in caplog.text
    detector.adapt(rng.normal(size=(30, 3)) * 50)  # in other units
    assert "most of these normal rows score higher" in caplog.text
