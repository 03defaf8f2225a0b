"""What a description of deviations says, on rows worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from unseen.data.schema import Schema
from unseen.parts.bank import NEAR, Whitening
from unseen.parts.deviation import (
    FREE,
    Deviation,
    Neighbours,
    Ratio,
    cross_described,
    described_alike,
    descriptions,
)
from unseen.types import Run


def test_neighbours_by_hand():
    # Five points at 0, 1, 2, 3, 4 on a line and one at 100; a row at 5 has neighbours 4, 3, 2, 1,
    # 0.
    near = Neighbours(1)
    near.fill(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [100.0]]))
    # Their own mean distance to the other five, and to the nearest.
    own = [(1 + 2 + 3 + 4 + 100) / 5, (1 + 1 + 2 + 3 + 99) / 5, (2 + 1 + 1 + 2 + 98) / 5]
    own += [(3 + 2 + 1 + 1 + 97) / 5, (4 + 3 + 2 + 1 + 96) / 5]
    expected = [np.log(3), np.log(3) - np.mean(np.log(own)), 0.0, 0.0, 0.0, 1.0]
    np.testing.assert_allclose(near(torch.tensor([[5.0]]))[0], expected, atol=5e-3)


def test_a_residual_in_one_entry_is_less_spread_than_one_in_all():
    near = Neighbours(4)
    near.fill(torch.zeros(3, 4))
    one, four = near(torch.tensor([[2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    assert one[0].item() == pytest.approx(four[0].item(), abs=1e-6)  # as far
    assert one[5].item() == pytest.approx(1.0, abs=2e-3)
    assert four[5].item() == pytest.approx(2.0, abs=2e-3)  # 4 / sqrt(4)
    assert one[4].item() == pytest.approx(np.log(2.0), abs=2e-3)


def fitted(rows=200, d=7):
    g = torch.Generator().manual_seed(0)
    normals = torch.randn(rows, d, generator=g) * torch.arange(1.0, d + 1)
    deviation = Deviation(d)
    deviation.fit(normals, g)
    return deviation, normals, g


def test_columns_stand_where_they_are_said_to():
    deviation, normals, g = fitted()
    x = 3 * torch.randn(5, 7, generator=g)
    columns = deviation(x)
    assert columns.shape == (5, deviation.width)
    whiten = Whitening(7)
    whiten.fit(normals, shrinkage=1e-3)
    z, reference = whiten(x), whiten(normals)
    by_hand = {
        "mahalanobis": z.norm(dim=1),
        "nearest": torch.cdist(x, normals).sort().values[:, :5].mean(dim=1),
        "nearest-whitened": torch.cdist(z, reference).sort().values[:, :5].mean(dim=1),
    }
    for name, distance in by_hand.items():
        torch.testing.assert_close(
            columns[:, FREE.index(name)], (distance + NEAR).log(), atol=1e-4, rtol=1e-4
        )


def test_energy_in_bands_adds_up_to_the_mahalanobis_distance():
    deviation, _, g = fitted(d=10)  # five bands of two components
    columns = deviation(torch.randn(6, 10, generator=g))
    bands = columns[:, len(FREE) :][:, : deviation.bands].exp() - NEAR
    square = (columns[:, 0].exp() - NEAR).square()
    torch.testing.assert_close(2 * bands.sum(dim=1), square, atol=1e-3, rtol=1e-4)


def test_what_a_new_component_carries_shows_in_the_band_of_its_variance():
    deviation, _, _ = fitted(d=7)
    largest, smallest = torch.zeros(2, 7)
    # five standard deviations along the widest and the narrowest axis
    largest[6], smallest[0] = (7 * 5.0, 5.0)
    bands = deviation(torch.stack([largest, smallest]))[:, len(FREE) :][:, : deviation.bands]
    assert bands.argmax(dim=1).tolist() == [0, deviation.bands - 1]


def test_one_column_is_enough():
    deviation, normals, _ = fitted(d=1)
    assert torch.isfinite(descriptions(deviation, normals)).all()


def test_ratio_by_hand():
    deviation, normals, g = fitted()
    anomalies = normals[:3] + 20
    ratio = Ratio(7)
    x = torch.randn(4, 7, generator=g)
    torch.testing.assert_close(  # nothing to compare with
        ratio(deviation.whiten(x), deviation, deviation(x)),
        (torch.cdist(deviation.whiten(x), deviation.whiten(normals)).amin(dim=1) + NEAR).log(),
        atol=1e-4,
        rtol=1e-4,
    )
    ratio.fill(anomalies, deviation, g)
    z, reference, shown = (deviation.whiten(rows) for rows in (x, normals, anomalies))
    near, far = (
        torch.cdist(z, reference).amin(dim=1) + NEAR,
        torch.cdist(z, shown).amin(dim=1) + NEAR,
    )
    torch.testing.assert_close(
        ratio(deviation.whiten(x), deviation, deviation(x)),
        (near / far).log(),
        atol=1e-4,
        rtol=1e-4,
    )


def test_no_row_is_described_by_itself():
    _, normals, g = fitted()
    fold = torch.arange(len(normals)) % 4
    crossed, shifted = cross_described(normals, fold, g, normals + 1)
    for k in range(4):
        reference = normals[fold != k]
        nearest = torch.cdist(normals[fold == k], reference).sort().values[:, :5].mean(dim=1)
        torch.testing.assert_close(
            crossed[fold == k, 1], (nearest + NEAR).log(), atol=1e-4, rtol=1e-4
        )
        nearest = torch.cdist(normals[fold == k] + 1, reference).sort().values[:, :5].mean(dim=1)
        torch.testing.assert_close(
            shifted[fold == k, 1], (nearest + NEAR).log(), atol=1e-4, rtol=1e-4
        )


def test_numbers_are_measured_without_flags():
    _, normals, g = fitted()
    normals[:, 2] = (normals[:, 2] > 4) * 5.0  # a flag
    deviation = Deviation(7)
    deviation.fit(normals, g)
    assert deviation.numbers.columns.tolist() == [0, 1, 3, 4, 5, 6]
    x = torch.randn(5, 7, generator=g)
    columns = deviation(x)
    flipped = x.clone()
    flipped[:, 2] += 5
    place = FREE.index("nearest-numbers")
    torch.testing.assert_close(deviation(flipped)[:, place], columns[:, place])
    assert (deviation(flipped)[:, 1] != columns[:, 1]).all()
    kept = deviation.numbers.columns
    nearest = torch.cdist(x[:, kept], normals[:, kept]).sort().values[:, :5].mean(dim=1)
    torch.testing.assert_close(columns[:, place], (nearest + NEAR).log(), atol=1e-4, rtol=1e-4)


def test_numbers_alone_are_no_evidence_where_there_are_no_flags_or_nothing_else():
    _, normals, g = fitted()
    for rows in (normals, (normals > 0).float()):
        deviation = Deviation(7)
        deviation.fit(rows, g)
        assert [deviation.tells(name) for name in FREE] == [True] * 4 + [False] * 2
        assert (deviation(rows)[:, 4:6] == 0).all()


def test_nearest_on_the_plain_scale_is_measured_without_flags_and_without_logarithms():
    rng = np.random.default_rng(0)
    raw = np.column_stack(
        [rng.lognormal(2.0, 1.5, 300), rng.normal(50.0, 9.0, 300), rng.random(300) < 0.1]
    )
    table = pa.table({"size": raw[:, 0], "heat": raw[:, 1], "flag": raw[:, 2] > 0})
    schema = Schema.infer(table)
    x = torch.from_numpy(schema.encode(table))
    deviation = Deviation(3)
    deviation.fit(
        x[:200], torch.Generator().manual_seed(0), logarithms=torch.from_numpy(schema.logarithms)
    )
    numbers = torch.from_numpy(raw[:, :2])
    plain = (numbers - numbers[:200].mean(dim=0)) / numbers[:200].std(dim=0, correction=0)
    plain = plain.clamp(-10, 10)
    nearest = torch.cdist(plain[200:], plain[:200]).sort().values[:, :5].mean(dim=1)
    found = deviation(x[200:])[:, FREE.index("nearest-plain")]
    torch.testing.assert_close(found, (nearest + NEAR).log().float(), atol=1e-3, rtol=1e-3)
    assert deviation.tells("nearest-plain")


def test_rows_like_normal_ones_are_described_like_them_also_where_these_are_few():
    g = torch.Generator().manual_seed(0)
    normals, like = torch.randn(80, 60, generator=g), torch.randn(400, 60, generator=g)
    fold = torch.arange(80) % 5
    each, found = described_alike(normals, fold, like, Run(torch.Generator().manual_seed(0)))
    assert (len(each), found.shape) == (5, (480, Deviation(60).width))
    of_normals, of_like = found[:80, 0], found[80:, 0]  # log Mahalanobis distances
    assert abs(of_normals.mean() - of_like.mean()) < 0.1 * of_normals.std() + 0.05
    whole = Deviation(60)
    whole.fit(normals, torch.Generator().manual_seed(0))
    nearer = descriptions(whole, like)[:, 0]
    assert of_normals.mean() - nearer.mean() > 0.3  # what all normals would make of them
