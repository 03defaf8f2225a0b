"""Every entry of METHODS keeps the contract; each method does what its paper says, on numbers
worked out by hand.
"""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest as SklearnIsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from quick import brief, parametrised, quick
from unseen.errors import DataError
from unseen.methods import DEFAULT, METHODS
from unseen.methods.catalogue import from_json, to_json
from unseen.methods.deepsad import DeepSAD
from unseen.methods.devnet import DevNet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.evidence import EvidenceStack
from unseen.methods.forest import Forest, grown, laplace
from unseen.methods.isolation import IsolationForest, expected_path
from unseen.methods.logistic import Logistic
from unseen.methods.multidirectional import DescribedScorer, MultiDirectional
from unseen.methods.multidirectional_literal import MultiDirectionalLiteral
from unseen.methods.ratio import NearestRatio
from unseen.parts.deviation import ROWS
from unseen.parts.domains import Domains
from unseen.parts.episodes import HeldOut, at_most, together
from unseen.parts.evidence import MORE, EvidenceScorer, Piece, evidence_weights, mean_auroc
from unseen.parts.ranking import auroc
from unseen.parts.surprisal import Surprisal
from unseen.parts.trees import AGAIN
from unseen.testing import check_method, scored, toy_rows, trained
from unseen.types import Run, Samples, ability


@parametrised(METHODS)
def test_contract(method):
    check_method(method)


WRAPPING = {name: method for name, method in METHODS.items() if ability(method, "base") is not None}


@parametrised(
    {name: dataclasses.replace(method, base=DeepSAD()) for name, method in WRAPPING.items()}
)
def test_what_wraps_a_method_learns_without_labels_as_that_does(method):
    trained(method, toy_rows().normals)  # refuses nothing
    check_method(method)


def test_mahalanobis_by_hand():
    # Variances 4/3 and 16/3 (n - 1 = 3), no covariance; the corner is (1, 2) from the mean: 1/(4/3)
    # + 4/(16/3) = 1.5.
    data = Samples.of(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]))
    scorer = trained(Mahalanobis(shrinkage=0.0), data)
    assert scored(scorer, torch.tensor([[2.0, 4.0]])).item() == pytest.approx(1.5**0.5, abs=1e-5)


def test_mahalanobis_survives_a_direction_without_variance():
    data = Samples.of(torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]))
    scores = scored(trained(Mahalanobis(), data), torch.tensor([[1.5, 1.0], [1.5, 2.0]]))
    assert torch.isfinite(scores).all()
    assert scores[1] > 10  # a deviation where normals never deviate


def test_nearest_by_hand():
    data = Samples.of(torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]))
    scorer = trained(Nearest(k=2), data)
    assert scored(scorer, torch.tensor([[0.0, 0.0]])).item() == pytest.approx((0 + 5) / 2)


def test_nearest_keeps_at_most_its_bank():
    scorer = trained(Nearest(bank=50), toy_rows())
    assert len(scorer.normals.rows) == 50


def test_nearest_ratio_by_hand():
    x = torch.tensor([[-1.0], [1.0], [9.0]])  # mean 0, variance 2: whitened by 1/sqrt(2)
    scorer = trained(NearestRatio(shrinkage=0.0), Samples.of(x, torch.tensor([0, 0, 1])))
    score = scored(
        scorer, torch.tensor([[4.0]])
    ).item()  # 3 from the nearest normal, 5 from the anomaly
    assert score == pytest.approx(np.log((3 / 2**0.5 + 1e-3) / (5 / 2**0.5 + 1e-3)), abs=1e-4)


def test_isolation_forest_scores_as_scikit_learns():
    data = toy_rows()
    scorer = trained(IsolationForest(trees=30, rows=64), data)
    seed = Run(torch.Generator().manual_seed(3)).seed()
    peer = SklearnIsolationForest(n_estimators=30, max_samples=64, random_state=seed).fit(
        data.normals.x.numpy()
    )
    np.testing.assert_allclose(
        scored(scorer, data.x).numpy(), -peer.score_samples(data.x.numpy()), rtol=1e-5
    )


def votes(data, trees, x):
    """What scikit-learn's trees vote, one kind after the other, on the draws that Forest makes at
    seed 3.
    """
    g = torch.Generator().manual_seed(3)
    drawn = together(data.normals[torch.randperm(len(data.normals), generator=g)], data.anomalies)
    seeds = torch.randint(2**31 - 1, (trees,), generator=g).tolist()
    y, size, shares = (drawn.y > 0).numpy(), len(drawn), []
    for i, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        anomalies, normals = np.flatnonzero(y), np.flatnonzero(~y)
        count = np.zeros(size)
        np.add.at(
            count,
            anomalies[rng.integers(len(anomalies), size=len(anomalies))],
            size / 2 / len(anomalies),
        )
        np.add.at(
            count, normals[rng.integers(len(normals), size=len(normals))], size / 2 / len(normals)
        )
        kind = ExtraTreeClassifier if i % 2 else DecisionTreeClassifier
        tree = kind(max_features="sqrt", random_state=int(rng.integers(2**31 - 1)))
        tree.fit(drawn.x.numpy(), y, sample_weight=count)
        leaf = tree.apply(x)
        weight = tree.tree_.weighted_n_node_samples[leaf]
        shares.append((weight * tree.predict_proba(x)[:, 1] + 1) / (weight + 2))
    return np.mean(shares, axis=0)


def test_forest_votes_from_scikit_learns_leaves():
    data = toy_rows(20)
    scorer = trained(Forest(trees=30), data)
    # Values that stand on a threshold are the risk of float32: score the training rows themselves.
    np.testing.assert_allclose(
        scored(scorer, data.x).numpy(), votes(data, 30, data.x.numpy()), atol=1e-6
    )


def test_a_leaf_of_many_normals_is_surer_than_one_of_few():
    class Leaves:
        weighted_n_node_samples = np.array([98.0, 1.0, 2.0])
        value = np.array([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])

    np.testing.assert_allclose(laplace(Leaves()), [1 / 100, 1 / 3, 3 / 4])


def test_deep_trees_walk_to_the_same_leaves():
    g = torch.Generator().manual_seed(0)
    # noise: deep trees
    data = Samples.of(torch.randn(1500, 6, generator=g), torch.randint(2, (1500,), generator=g))
    scorer = trained(Forest(trees=10), data)
    assert scorer.depth > 5 * AGAIN
    new = torch.randn(700, 6, generator=g)
    np.testing.assert_allclose(scored(scorer, new).numpy(), votes(data, 10, new.numpy()), atol=1e-6)


def test_expected_path_is_published():
    # Liu et al. 2008: c(2) = 1; c(256) = 2 (ln 255 + 0.5772156649) - 2 * 255 / 256 = 10.2448.
    np.testing.assert_allclose(expected_path(np.array([1, 2, 256])), [0, 1, 10.244771], atol=1e-6)


@pytest.mark.parametrize("method", [DevNet(), Forest(), Logistic()])
def test_methods_that_need_anomalies_say_so(method):
    with pytest.raises(DataError, match=r"0.*label at least one row"):
        trained(brief(method), toy_rows().normals)


def test_logistic_of_more_columns_than_rows_is_the_same_minimum():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 200, generator=g), (torch.arange(30) < 6).long()
    scorer = trained(Logistic(), Samples.of(x + y[:, None], y))
    z = scorer.standard(x + y[:, None]).double().numpy()
    direct = LogisticRegression(
        C=1 / (Logistic().penalty * 30), class_weight="balanced", max_iter=10_000, tol=1e-10
    )
    direct.fit(z, y.numpy())
    np.testing.assert_allclose(
        scorer.weight.numpy(), direct.coef_[0], atol=2e-3 * np.abs(direct.coef_).max()
    )


def test_whitening_of_more_columns_than_rows_is_the_same_distance():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20, 50, generator=g) * torch.linspace(0.5, 3, 50)
    new = torch.cat([x[:3], torch.randn(5, 50, generator=g)]).double()
    centred = (x - x.mean(dim=0)).double()
    covariance = centred.T @ centred / 19
    shrunk = covariance + 1e-2 * covariance.diagonal().mean() * torch.eye(50, dtype=torch.float64)
    gap = new - x.mean(dim=0)
    expected = (gap * torch.linalg.solve(shrunk, gap.T).T).sum(dim=1).sqrt()
    found = scored(trained(Mahalanobis(shrinkage=1e-2), Samples.of(x)), new.float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)


def test_devnet_regularises_hidden_kernels_only():
    method = DevNet(hidden=(20, 10))
    scorer = method.build((6,))
    decayed, others = method.optimiser(scorer).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(20, 6), (10, 20)]
    assert decayed["weight_decay"] == pytest.approx(0.02)  # d/dw 0.01 w^2
    assert sorted(tuple(p.shape) for p in others["params"]) == [(1,), (1, 10), (10,), (20,)]


def test_devnet_separates_what_it_was_shown():
    data = toy_rows(40)
    scores = scored(trained(DevNet(steps=400, batch=128), data), data.x)
    assert auroc(scores[data.y == 0], scores[data.y > 0]) > 0.95


LITERAL = MultiDirectionalLiteral()


def test_literal_levels_own_their_parameters():
    scorer = LITERAL.build((6,))
    owned = [{id(p) for p in part} for part in scorer.levels()]
    assert not owned[0] & owned[1]
    assert owned[0] | owned[1] == {id(p) for p in scorer.parameters()}


def test_literal_recipe_keeps_the_contract():
    check_method(quick(LITERAL))


def test_literal_inner_level_does_not_collapse():
    # Normals only: a constant encoder is perfectly confident. Reconstruction must keep the rows
    # apart.
    method = dataclasses.replace(LITERAL, episodes=10, outer_steps=1)
    kept = errors(trained(method, toy_rows()), toy_rows().normals.x)
    lost = errors(
        trained(dataclasses.replace(method, reconstruction=0.0), toy_rows()), toy_rows().normals.x
    )
    assert kept < 0.35  # of a variance of 1
    assert lost > 2 * kept


@torch.no_grad()
def errors(scorer, x):
    return (scorer.decoder(scorer.encoder(x)) - x).square().mean().item()


def test_inner_level_learns_from_normals_alone_and_outer_level_moves_the_head_alone():
    data, method = toy_rows(24), MultiDirectional()
    scorer, tighter = trained(method, data), trained(dataclasses.replace(method, ridge=3.0), data)
    far = Samples.of(torch.where(data.y[:, None] > 0, 50.0, data.x), data.y)
    elsewhere = trained(method, far)
    learned = scorer.deviation.state_dict()
    assert {"whiten.mean", "raw.bank.rows", "whitened.own"} <= learned.keys()
    for other in (tighter, elsewhere):
        for name, tensor in other.deviation.state_dict().items():
            assert torch.equal(tensor, learned[name])
    assert [name for name, _ in scorer.named_parameters()] == ["head.weight", "head.bias"]
    assert tighter.head.weight.norm() < scorer.head.weight.norm() / 2


def test_outer_level_ends_at_its_one_minimum():
    data, method = toy_rows(24), MultiDirectional()
    scorer = trained(method, data)
    # as `trained` does: the same draws in the same order
    run = Run(torch.Generator().manual_seed(3))
    normals, anomalies = (
        at_most(*each, run.generator)
        for each in ((data.normals, method.rows), (data.anomalies, ROWS))
    )
    scorer.deviation.fit(data.normals.x, run.generator)
    rows = method.splits(scorer, Domains(data.normals), normals, anomalies, run)
    head, encoded = scorer.head, scorer.standard(rows.x)
    each = torch.nn.functional.softplus(
        head(encoded).diff(dim=1)[:, 0] * (1 - 2 * (rows.y > 0).float())
    )
    loss = (
        rows.weight * each
    ).sum() / rows.weight.sum() + method.ridge * head.weight.square().sum()
    slope = torch.autograd.grad(loss, head.weight)[0].norm()
    # loss and ridge pull equally hard, and apart
    assert slope < 0.01 * 2 * method.ridge * head.weight.norm()


def test_directions_weigh_as_much_as_the_fields_say():
    data, method = toy_rows(24), MultiDirectional(seen_class_weight=0.6, cut=0.25)
    scorer = method.build((6,))
    scorer.deviation.fit(data.normals.x, torch.Generator())
    rows = method.splits(
        scorer,
        Domains(data.normals),
        data.normals,
        data.anomalies,
        Run(torch.Generator().manual_seed(0)),
    )
    # three directions of 120 normals and 120 made from them
    assert len(rows) == 3 * 240 + 24 + 12 + 12
    # normals 1, labelled anomalies 1, pseudo-anomalies 0.25
    assert rows.weight.sum().item() == pytest.approx(2.25)
    shown, hidden = rows[240:264], rows[504:516]
    assert shown.y.bincount().tolist() == [0, 12, 12]
    assert shown.weight.sum().item() == pytest.approx(0.6)
    assert len(hidden.y.unique()) == 1
    assert hidden.weight.sum().item() == pytest.approx(0.2)


def test_a_hidden_class_is_described_as_if_nobody_had_shown_it():
    data, method = toy_rows(24), MultiDirectional()
    scorer = trained(method, data)
    rows = method.splits(
        scorer,
        Domains(data.normals),
        data.normals,
        data.anomalies,
        Run(torch.Generator().manual_seed(0)),
    )
    hidden, other = rows[504:516], rows.y[504]
    x = hidden.x[:, -12:-6]  # position
    nearest = torch.cdist(x, data.x[(data.y > 0) & (data.y != other)]).amin(dim=1)
    normal = torch.cdist(x, data.normals.x).amin(dim=1)
    torch.testing.assert_close(
        hidden.x[:, -14], torch.log1p((normal + 1e-3) / (nearest + 1e-3)), atol=1e-4, rtol=0
    )


def test_nobody_is_close_to_himself():
    scorer = DescribedScorer(1)
    scorer.deviation.fit(torch.tensor([[0.0], [10.0]]), torch.Generator())
    shown = torch.tensor([[2.0], [4.0]])
    words = scorer.deviation(shown)
    of_others, of_all, of_none = (
        scorer.closeness(shown, words, rows, skip=skip)[:, 0].tolist()
        for rows, skip in ((shown, 1), (shown, 0), (shown[:1], 1))
    )
    normal = np.array([2.0, 4.0]) + 1e-3
    assert of_others == pytest.approx(np.log(1 + normal / (2 + 1e-3)), abs=1e-4)
    assert of_all == pytest.approx(np.log(1 + normal / 1e-3), abs=1e-4)
    assert of_none == [0.0, 0.0]


@pytest.mark.parametrize("method", [MultiDirectional(), LITERAL])
def test_multi_directional_says_what_it_needs(method):
    with pytest.raises(DataError, match="3 normal rows.*120 and 0: label"):
        trained(method, toy_rows().normals)
    with pytest.raises(DataError, match="2 and 2: add normal rows, of which [a-z ]*$"):
        trained(method, toy_rows()[118:122])
    with pytest.raises(DataError, match="2 and 0: add normal rows, .*; label at least one anomaly"):
        trained(method, toy_rows()[:2])


@pytest.mark.parametrize("rows", [slice(117, 121), slice(0, 121), slice(0, 124)])
def test_multi_directional_learns_from_few_rows(rows):
    data = toy_rows()[rows]  # 3 normals and 1 anomaly; all and 1; all and 4
    score = scored(trained(MultiDirectional(), data), data.x)
    assert torch.isfinite(score).all()
    assert score[data.y > 0].median() > score[data.y == 0].median()


def test_auroc_by_hand():
    assert auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])) == 0.875


def test_stack_averages_directions_apart():
    n, low, high = torch.tensor([0.0, 1.0]), torch.tensor([-1.0]), torch.tensor([2.0])
    splits = [HeldOut(torch.zeros(1), torch.zeros(1), known) for known in (False, False, True)]
    assert mean_auroc([(n, high), (n, low), (n, high)], splits).tolist() == [0.5, 1.0]
    # no class held out: the known ones must do
    assert mean_auroc([(n, high)], splits[2:]).tolist() == [1.0, 1.0]


def test_surprise_by_hand():
    surprisal = Surprisal(2)
    # on another scale: the same
    surprisal.fit(torch.stack([torch.arange(100.0), torch.arange(100.0).flip(0) / 10]))
    # Half way between the 50th and the 51st of 100 lies half of them; the tail's mean excess over
    # 90 is 4.5. What is above 20 counts by its logarithm.
    tail = -np.log(1 - 0.905)
    far = 20.0 + np.log(1 + (1e9 - 90) / 4.5 + tail - 20)
    expected = [-np.log(0.5), tail, tail + 2.0, far]
    scores = torch.tensor([49.5, 90.0, 99.0, 1e9])
    np.testing.assert_allclose(
        surprisal(torch.stack([scores, scores / 10])), [expected] * 2, rtol=1e-5
    )


def test_surprise_never_falls():
    surprisal = Surprisal(1)
    g = torch.Generator().manual_seed(0)
    surprisal.fit(torch.randn(1, 57, generator=g).round(decimals=1))  # with ties
    assert (surprisal(torch.linspace(-5, 9, 500)[None]).diff() >= -1e-6).all()


def test_stack_trusts_the_evidence_that_finds_held_out_classes():
    # Classes lie along two axes, far out: distance finds either; a forest that saw only one axis
    # misses the other.
    stack = EvidenceStack(base_scores=("mahalanobis",), on_raw_features=(Forest(trees=20),))
    scorer = trained(stack, toy_rows(24))
    unseen, known = scorer.auroc.T
    assert unseen[0] > unseen[1] + 0.1
    assert scorer.weights[0] > scorer.weights[1]
    assert scorer.weights.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert known[1] > unseen[1]


def test_verdicts_are_weighed_as_written():
    # Unknown: exp(20 * (0.8, 0.8, 1.0) * 20 / 40) = 1 : 1 : e^2; the two that learned say 8.389 /
    # 9.389 > 0.4 of it, so 0.4. Known, where only those two are asked: exp(60 * (0.9, 0.95) * 40 /
    # 60) = 1 : e^2.
    auroc = torch.tensor([[0.8, 0.9], [0.8, 0.9], [1.0, 0.95]])
    e2 = np.exp(2.0)
    unknown = np.array([0.6, 0.4 / (1 + e2), 0.4 * e2 / (1 + e2)])
    known = np.array([0, 1, e2]) / (1 + e2)
    found = evidence_weights(
        auroc,
        torch.tensor([False, True, True]),
        rows=(20, 40),
        inverse_temperature=(20, 60),
        seen_class_weight=0.3,
        most=0.4,
    )
    np.testing.assert_allclose(found, 0.7 * unknown + 0.3 * known, rtol=1e-5)


def weights_by_unseen(auroc, uses_labels):
    """Weights by AUROC on held-out classes alone, at exp(100 AUROC / 2); most from labels: 0.4."""
    return evidence_weights(
        torch.tensor(auroc)[:, None].repeat(1, 2),
        torch.tensor(uses_labels),
        rows=(20, 20),
        inverse_temperature=(100.0, 0.0),
        seen_class_weight=0.0,
        most=0.4,
    )


def test_labels_never_have_all_the_weight_however_far_the_others_are_behind():
    # exp(-50 * 0.8) = 4e-18 is nothing beside 1; of the 0.6 that is theirs, 0.2 and 0.21 have
    # 1 : e^(50 * 0.01)
    found = weights_by_unseen([0.2, 0.21, 1.0], [False, False, True])
    share = 0.6 / (1 + np.exp(0.5))
    np.testing.assert_allclose(found, [share, 0.6 - share, 0.4], rtol=1e-4)


def test_where_all_learn_from_labels_nothing_is_taken_from_them():
    # 1 : e^(50 * 0.02) : e^(50 * 0.03), which in float32 sum to a little less than 1
    for low in np.linspace(0.1, 0.9, 50):
        found = weights_by_unseen([low, low + 0.02, low + 0.03], [True] * 3)
        each = np.exp([0.0, 1.0, 1.5])
        np.testing.assert_allclose(found, each / each.sum(), rtol=1e-4)


@pytest.mark.parametrize("base_scores", [(), ("ratio",), ("nearest-numbers", "ratio")])
def test_a_stack_without_evidence_is_refused(base_scores):
    # no labels, and numbers alone: what looks at numbers alone is what looks at all
    with pytest.raises(DataError, match=r"no evidence of this EvidenceStack .* 'mahalanobis'"):
        trained(EvidenceStack(base_scores=base_scores), toy_rows(0))


def test_a_weight_that_moves_no_score_is_none():
    # exp(210 * (1, 0.9, 0) * 1 / 21) = 1 : 0.3679 : 0.000045; the last is below 0.005, and leaves
    # its share
    scorer = EvidenceScorer([Piece(name, False) for name in "abc"], torch.nn.Identity())
    normals = torch.arange(10.0).expand(3, 10)
    anomalies = torch.tensor([[10.0], [8.5], [-1.0]])
    split = HeldOut(torch.zeros(0), torch.zeros(1), known=False)
    usable = torch.ones(3, dtype=torch.bool)
    by = EvidenceStack(
        inverse_temperature=(210.0, 210.0), seen_class_weight=0.0, most_from_labels=1.0
    )
    scorer.weigh([(normals, anomalies)], [split], usable, by)
    np.testing.assert_allclose(scorer.weights, [1 / 1.36788, 0.36788 / 1.36788, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "hidden", "expected"),
    [
        (11, (0.0, 30.0), (0.15, 0.85)),  # labels find what is hidden, too
        (10, (0.0, 30.0), (0.3, 0.7)),  # of so few rows nothing is concluded
        (11, (30.0, 0.0), (0.3, 0.7)),  # what is hidden is found without labels alone
    ],
)
def test_known_classes_count_more_where_hidden_ones_lose_nothing(rows, hidden, expected):
    # On hidden classes both pieces weigh the same, (1 - w) / 2, and labels alone have the other w.
    # The highest normal row has 4.6 in both pieces, known anomalies 0 and 5.6: they rank above it
    # when 5.6 (1 + w) / 2 > 4.6, from 0.7 on, and not at 0.55.
    scorer = EvidenceScorer([Piece("free", False), Piece("labels", True)], torch.nn.Module())
    normals = torch.stack([torch.arange(20.0), torch.arange(20.0)])
    known = torch.tensor([0.0, 19.5])[:, None].repeat(1, rows)
    splits = [
        HeldOut(torch.arange(0), torch.arange(rows), False),
        HeldOut(torch.arange(0), torch.arange(rows), True),
    ]
    scores = [(normals, torch.tensor(hidden)[:, None].repeat(1, rows)), (normals, known)]
    by = EvidenceStack(inverse_temperature=(0.0, 0.0))
    scorer.weigh(scores, splits, torch.tensor([True, True]), by, more=MORE)
    assert scorer.weights.tolist() == pytest.approx(expected)


def test_a_tree_never_misses_a_single_anomaly():
    x, y = np.arange(400, dtype=np.float32)[:, None], np.arange(400) == 200
    for seed in range(20):
        tree = grown(DecisionTreeClassifier, seed, x=x, y=y, weight=np.ones(400), rows=4096)
        assert tree.node_count > 1
        assert tree.weighted_n_node_samples[0] == pytest.approx(400)
        assert tree.value[0, 0].tolist() == pytest.approx([0.5, 0.5])  # both sides weigh the same


def test_logistic_is_at_the_minimum_of_what_it_says_to_minimise():
    data = toy_rows(20)
    scorer = trained(Logistic(penalty=0.3), data)
    w = scorer.weight.double().requires_grad_()
    b = scorer.bias.double().requires_grad_()
    y = (data.y > 0).double()
    x = (data.x - data.normals.x.mean(dim=0)) / (data.normals.x.std(dim=0, correction=0) + 1e-6)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        x.double() @ w + b, y, reduction="none"
    )
    mean = (loss[y > 0].mean() + loss[y == 0].mean()) / 2 + 0.3 / 2 * w.square().sum()
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(mean, (w, b))])
    assert gradient.abs().max() < 1e-4
    assert w.detach().abs().max() > 0.1


def test_stack_without_labels_weighs_label_free_evidence_equally():
    scorer = trained(quick(DEFAULT), toy_rows().normals)
    torch.testing.assert_close(scorer.weights, torch.tensor([0.25] * 4 + [0.0] * 7))


def test_stack_with_one_labelled_anomaly_weighs_evidence_equally_and_learns_from_it():
    one = toy_rows()[:121]
    assert len(one.anomalies) == 1
    scorer = trained(quick(DEFAULT), one)
    # 5 of 9 pieces learned, and may say half; there are no flags to leave out, and no logarithms to
    # undo.
    torch.testing.assert_close(
        scorer.weights, torch.tensor([0.5 / 4] * 4 + [0.0] * 2 + [0.5 / 5] * 5)
    )
    without = scored(trained(quick(DEFAULT), one.normals), one.x)
    rank = (scored(scorer, one.x) >= scored(scorer, one.x)[-1]).sum()
    assert rank <= (without >= without[-1]).sum()


def test_stack_with_one_class_holds_out_its_halves():
    data = toy_rows(24)
    one = data[data.y != 2]
    scorer = trained(quick(DEFAULT), one)
    assert (~scorer.auroc.isnan()).all(dim=1).sum() == 9
    assert (scorer.weights > 0).sum() == 9


def test_stack_judges_normals_by_evidence_that_did_not_see_them():
    # Every normal stands in the bank of the final scorer, at distance 0 of itself; the surprise
    # must not know that.
    data = toy_rows()
    scorer = trained(EvidenceStack(base_scores=("nearest",)), data.normals)
    with torch.no_grad():
        inside = scorer.base.deviation(data.normals.x)[:, 1]
    assert scorer.surprisal.normals[0].median() > inside.median() + 0.1


def test_stack_refuses_unknown_measures_and_too_few_normals():
    with pytest.raises(DataError, match="no base score 'nearly'; there are mahalanobis, nearest"):
        EvidenceStack(base_scores=("nearly",))
    with pytest.raises(DataError, match="was given 2, and needs at least 3"):
        trained(DEFAULT, toy_rows().normals[:2])


def test_unknown_method_and_field_are_named():
    with pytest.raises(DataError, match="unknown method 'nope'.*mahalanobis"):
        from_json({"name": "nope"})
    with pytest.raises(DataError, match="no field 'shrink'.*shrinkage"):
        from_json({**to_json(Mahalanobis()), "shrink": 1})


def test_evidence_of_rows_like_normal_ones_is_worth_chance():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(140, 60)).astype(np.float32))
    y = torch.tensor([0] * 80 + [1] * 30 + [2] * 30)
    method = EvidenceStack()
    scorer = method.build((60,))
    method.train(scorer, Samples.of(x, y), Run(torch.Generator().manual_seed(0)))
    names = ("Mahalanobis distance", "whitened distance to the nearest normals")
    free = [piece.auroc_unseen for piece in scorer.evidence if piece.name in names]
    assert len(free) == 2
    assert min(free) > 0.35
    assert max(free) < 0.65
