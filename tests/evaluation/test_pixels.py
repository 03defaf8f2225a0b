"""Pixel figures on small images, by hand and beside another implementation."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import label

from unseen.errors import DataError
from unseen.evaluation.pixels import pixel_auroc, pixel_average_precision, pro

HEAT = np.array([[0.9, 0.8, 0.1], [0.7, 0.2, 0.3]])
MASK = np.array([[1, 0, 0], [1, 0, 0]], dtype=bool)


def random(seed, levels):
    """Three images of different sizes with few distinct scores, so with ties; the last is
    normal.
    """
    rng = np.random.default_rng(seed)
    shapes = [(9, 12), (7, 5), (6, 6)]
    masks = [
        rng.random(shape) < share for shape, share in zip(shapes, (0.2, 0.1, 0.0), strict=True)
    ]
    return [rng.integers(0, levels, m.shape) + 2.0 * m for m in masks], masks


def by_loop(maps, masks, limit):
    """PRO by its definition: a loop over thresholds, over images and over regions."""
    points = [(0.0, 0.0)]
    for threshold in sorted({v for heat in maps for v in heat.ravel()}, reverse=True):
        shares, alarms, normals = [], 0, 0
        for heat, mask in zip(maps, masks, strict=True):
            regions, count = label(mask, structure=np.ones((3, 3)))
            shares += [np.mean(heat[regions == k] >= threshold) for k in range(1, count + 1)]
            alarms += np.sum(heat[~mask] >= threshold)
            normals += np.sum(~mask)
        points.append((alarms / normals, np.mean(shares)))
    area = 0.0
    for (r0, o0), (r1, o1) in pairwise(points):
        if r0 < limit and r1 > r0:
            end = min(r1, limit)
            area += (end - r0) * (o0 + o0 + (o1 - o0) * (end - r0) / (r1 - r0)) / 2
    return area / limit


def test_auroc_by_hand():
    # 0.9 outscores 4 normal pixels, 0.7 outscores 3
    assert pixel_auroc([HEAT], [MASK]) == pytest.approx(7 / 8)


def test_average_precision_by_hand():
    assert pixel_average_precision([HEAT], [MASK]) == pytest.approx((1 / 1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("limit", "expected"), [(1.0, 0.875), (0.5, 0.75), (0.25, 0.5), (0.1, 0.5)]
)
def test_pro_by_hand(limit, expected):
    """The overlap is 1/2 up to a rate of 1/4, where it jumps to 1."""
    assert pro([HEAT], [MASK], limit=limit) == pytest.approx(expected)


def test_pro_between_two_thresholds_is_a_straight_line():
    """From (0, 1/2) one step of four tied pixels leads to (3/4, 1): at 0.3 the line is at 0.7, so
    its mean is 0.6.
    """
    heat = np.array([[2.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    assert pro([heat], [np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)]) == pytest.approx(0.6)


def test_ties_count_half():
    heat = np.array([[1.0, 1.0, 0.0]])
    mask = np.array([[True, False, False]])
    assert pixel_auroc([heat], [mask]) == pytest.approx(0.75)
    assert pixel_average_precision([heat], [mask]) == pytest.approx(0.5)


def test_a_perfect_map_scores_one():
    maps, masks = [MASK * 3.0, np.zeros((4, 4))], [MASK, np.zeros((4, 4), dtype=bool)]
    assert pixel_auroc(maps, masks) == pixel_average_precision(maps, masks) == 1
    assert pro(maps, masks) == pytest.approx(1)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_a_constant_map_is_chance(limit):
    maps, masks = [np.ones((2, 3)), np.ones((5, 5))], [MASK, np.zeros((5, 5), dtype=bool)]
    assert pixel_auroc(maps, masks) == pytest.approx(0.5)
    assert pixel_average_precision(maps, masks) == pytest.approx(2 / 31)
    assert pro(maps, masks, limit=limit) == pytest.approx(limit / 2)


@pytest.mark.parametrize("missed", ["tiny", "big"])
def test_pro_counts_regions_not_pixels(missed):
    mask = np.zeros((10, 10), dtype=bool)
    mask[:6, :6] = mask[9, 9] = True
    heat = np.where(mask, 2.0, 1.0)
    heat[(slice(9, 10), slice(9, 10)) if missed == "tiny" else (slice(0, 6), slice(0, 6))] = 0
    assert pro([heat], [mask]) == pytest.approx(0.5)


def test_corners_connect():
    """Half of a region of two diagonal pixels is found, and nothing of the region of one."""
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 0]], dtype=bool)
    heat = np.array([[2.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0]])
    assert pro([heat], [mask]) == pytest.approx(1 / 4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("levels", "limit"), [(3, 0.3), (8, 0.3), (1000, 0.3), (1000, 0.05), (8, 1.0)]
)
def test_pro_is_that_of_a_loop(seed, levels, limit):
    maps, masks = random(seed, levels)
    assert pro(maps, masks, limit=limit) == pytest.approx(by_loop(maps, masks, limit))


@pytest.mark.parametrize("figure", [pixel_auroc, pixel_average_precision, pro])
def test_only_the_order_of_scores_matters(figure):
    maps, masks = random(0, 20)
    expected = figure(maps, masks)
    assert figure(maps[::-1], masks[::-1]) == pytest.approx(expected)
    assert figure([m.T for m in maps], [m.T for m in masks]) == pytest.approx(expected)
    assert figure([4 * m - 7 for m in maps], masks) == pytest.approx(expected)


def test_pro_leaves_its_input_alone():
    heat, mask = HEAT.copy(), MASK.copy()
    pro([heat], [mask])
    assert (heat == HEAT).all()
    assert (mask == MASK).all()


@pytest.mark.parametrize("figure", [pixel_auroc, pixel_average_precision, pro])
@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        ([HEAT, HEAT], [MASK, MASK.T], r"image 1: .* \(2, 3\) and \(3, 2\)"),
        ([HEAT[0]], [MASK[0]], r"image 0: .* \(3,\)"),
        ([HEAT], [MASK, MASK], "1 maps and 2 masks"),
        ([HEAT], [~MASK & MASK], "no.* defect pixel"),
        ([], [], "none of the 0 masks"),
        ([HEAT], [MASK | ~MASK], "no normal pixel"),
        ([HEAT, HEAT * np.nan], [MASK, MASK], "image 1: .* not finite"),
    ],
)
def test_what_cannot_be_measured(figure, maps, masks, message):
    with pytest.raises(DataError, match=message):
        figure(maps, masks)


@pytest.mark.parametrize("limit", [0.0, 1.5, float("nan")])
def test_a_limit_is_a_rate(limit):
    with pytest.raises(DataError, match="limit"):
        pro([HEAT], [MASK], limit=limit)
