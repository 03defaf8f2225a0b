"""Pseudo-defects: where they paint, that they can be seen, and the noise behind them."""

import numpy as np
import pytest

from unseen.errors import DataError
from unseen.vision.defects import (
    KINDS,
    PAINTERS,
    blotch,
    cut_paste,
    fade,
    gradient_noise,
    jittered,
    laid,
    painted,
    pasted,
    perlin,
    scratch,
    shuffled,
    stroke,
)

SHAPES = ((16, 16), (16, 60), (61, 17), (64, 48))


def image(shape=(64, 48), *, seed=0):
    """Random colours: no two places are alike."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)


def even(level, shape=(64, 48)):
    return np.full((*shape, 3), level, dtype=np.uint8)


def areas(painter, *, shape=(256, 256)):
    """Share of an even image that a painter covers, for 40 seeds."""
    return np.array(
        [painter(even(100, shape), np.random.default_rng(seed))[1].mean() for seed in range(40)]
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_only_what_the_mask_covers_is_changed(kind, shape):
    before = image(shape)
    kept = before.copy()
    for seed in range(8):
        after, mask = PAINTERS[kind](before, np.random.default_rng(seed))
        assert (after.dtype, after.shape, mask.dtype, mask.shape) == (
            np.uint8,
            before.shape,
            np.bool_,
            shape,
        )
        assert np.array_equal(after[~mask], before[~mask])
        assert not np.array_equal(after, before)
        assert mask.mean() < 0.25
    assert np.array_equal(before, kept)


@pytest.mark.parametrize("level", [0, 100, 255])
@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_of_an_even_image_can_be_seen(kind, level):
    for shape in SHAPES:
        for seed in range(8):
            after, mask = PAINTERS[kind](even(level, shape), np.random.default_rng(seed))
            assert np.abs(after[mask].astype(int) - level).mean() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_grey_stays_grey(kind):
    grey = image()[:, :, :1].repeat(3, axis=2)
    for seed in range(20):
        after, _ = PAINTERS[kind](grey, np.random.default_rng(seed))
        assert (after == after[:, :, :1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_defect(kind):
    first, second, other = (
        PAINTERS[kind](image(), np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_painted_draws_every_kind_and_says_which():
    said = set()
    for seed in range(24):
        after, mask, kind = painted(image(), np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rng.integers(len(KINDS))  # the draw of the kind
        again = PAINTERS[kind](image(), rng)
        assert np.array_equal(after, again[0])
        assert np.array_equal(mask, again[1])
        said.add(kind)
    assert said == {"cut_paste", "perlin", "scratch", "blotch"}


@pytest.mark.parametrize(
    "pixels", [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3)), np.zeros((15, 32, 3), np.uint8)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_arrays_are_refused(kind, pixels):
    with pytest.raises(DataError, match=r"uint8 of shape \(height, width, 3\), at least 16"):
        PAINTERS[kind](pixels, np.random.default_rng(0))


def test_cut_paste_draws_rectangles_and_scars():
    share = areas(cut_paste)
    rectangles = share > 0.015
    assert 0.3 < rectangles.mean() < 0.7
    assert share.max() < 0.155
    assert share[~rectangles].min() > 15 / 256**2  # 2 x 10, less the rim
    assert share[~rectangles].max() < 420 / 256**2  # 16 x 25, and the rim


def test_rectangles_are_full_and_of_bounded_aspect():
    for seed in range(40):
        mask = cut_paste(even(100, (128, 128)), np.random.default_rng(seed))[1]
        if mask.mean() > 0.015:
            high, wide = mask.any(axis=1).sum(), mask.any(axis=0).sum()
            assert mask.sum() == high * wide
            assert 0.28 < wide / high < 3.5


def test_pasted_upright_is_a_jittered_copy_of_another_place():
    """A ramp of 5 levels a column: 7 columns away or more it differs by 35, of which jitter takes
    at most 21.
    """
    before = even(0, (16, 32)) + 40 + 5 * np.arange(32, dtype=np.uint8)[:, None]
    for seed in range(20):
        after, mask = pasted(before, np.random.default_rng(seed), 16.0, 4.0, angle=0.0)
        first = mask[0].argmax()
        assert np.array_equal(np.flatnonzero(mask[0]), first + np.arange(4))
        assert (mask == mask[0]).all()
        assert (np.abs(after[mask].astype(int) - before[mask]) >= 14).all()
        steps = np.diff(after[:, first : first + 4].astype(int), axis=1)
        assert ((steps >= 4) & (steps <= 6)).all()


def test_areas_of_the_other_kinds():
    share = areas(perlin, shape=(100, 100))
    assert 0.009 < share.min() < 0.02 < 0.08 < share.max() < 0.101
    assert areas(blotch, shape=(100, 100)).max() < np.pi * (0.15 * 1.3) ** 2
    # length 150, width 3, and a soft pixel on each side
    assert areas(scratch).max() < 150 * 5 / 256**2


def test_scratch_changes_all_it_crosses_the_same_way():
    for seed in range(10):
        after, mask = scratch(even(128), np.random.default_rng(seed))
        change = after[mask].astype(int) - 128
        assert (change > 0).all() or (change < 0).all()


def test_stroke_covers_by_distance():
    """One dab of radius 1 in the middle of pixel (2, 1): 1 there, 0.5 one pixel away, 1.5 - sqrt 2
    diagonally.
    """
    cover = stroke((5, 3), np.array([[2.5, 1.5]]), np.array([1.0]))
    near = 1.5 - np.sqrt(2)
    assert cover == pytest.approx(
        np.array([[0, 0, 0], [near, 0.5, near], [0.5, 1, 0.5], [near, 0.5, near], [0, 0, 0]])
    )


def test_stroke_ignores_what_lies_outside():
    cover = stroke((4, 4), np.array([[-0.5, 0.5], [9.0, 9.0]]), np.array([1.0, 1.0]))
    assert cover[0, 0] == 0.5
    assert cover.sum() == pytest.approx(0.5 + (1.5 - np.sqrt(2)))


def test_gradient_noise_by_hand():
    """In the middle of a cell every corner weighs 1/4: the mean of gradient times way from the
    corner.
    """
    slopes = np.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 2.0]]])
    ramps = (0.5, -0.5, -0.5 + 0.5, -1.0)  # ways (0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, -0.5)
    assert gradient_noise(slopes, np.array(0.5), np.array(0.5)) == pytest.approx(sum(ramps) / 4)
    # a quarter below the corner (0, 0); fade(0.75) of its gradient (1, 0)
    edge = 0.25 * 1.0 * 0.896484375
    below = -0.75 * 1.0 * 0.103515625  # three quarters above the corner (1, 0), gradient (1, 1)
    assert gradient_noise(slopes, np.array(0.25), np.array(0.0)) == pytest.approx(edge + below)


def test_gradient_noise_is_zero_on_the_lattice_continuous_and_periodic():
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(3, 4, 2))
    y, x = np.arange(-3.0, 6.0)[:, None] + np.zeros(9), np.arange(-3.0, 6.0) + np.zeros((9, 1))
    assert (gradient_noise(slopes, y, x) == 0).all()
    off = rng.uniform(size=y.shape)
    across = gradient_noise(slopes, y - 1e-9, x + off) - gradient_noise(slopes, y + 1e-9, x + off)
    assert np.abs(across).max() < 1e-7
    assert gradient_noise(slopes, y + 3 + off, x + 4 + off) == pytest.approx(
        gradient_noise(slopes, y + off, x + off)
    )


def test_fade_by_hand():
    assert fade(np.array([0.0, 0.25, 0.5, 1.0])) == pytest.approx([0, 0.103515625, 0.5, 1])


def test_jitter_of_nothing_and_of_grey():
    pixels = image()
    assert jittered(pixels, np.random.default_rng(0), strength=0.0) == pytest.approx(
        pixels.astype(float)
    )
    moved = jittered(even(100), np.random.default_rng(0), strength=0.1)
    assert (moved == moved[0, 0, 0]).all()
    assert 0 < abs(moved[0, 0, 0] - 100) <= 12.8


def test_shuffled_tiles_hold_the_image():
    """Only colours of the image, and in each tile of 4x4 the pixels of some window of it."""
    pixels = np.arange(16 * 20 * 3).reshape(16, 20, 3).astype(np.uint8)
    tile = shuffled(pixels, np.random.default_rng(0))[:4, :4]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (4, 4), axis=(0, 1)).reshape(
        -1, 3, 16
    )
    found = np.sort(tile.reshape(16, 3).T[0])
    assert any(np.array_equal(np.sort(window[0]), found) for window in windows)


def test_laid_blends_and_shifts_what_is_faint():
    cover = np.zeros((16, 16))
    cover[3, 4], cover[5, 6], cover[7, 8] = 1.0, 0.5, 0.09
    after, mask = laid(even(100, (16, 16)), np.full((16, 16, 3), 160.0), cover)
    assert np.argwhere(mask).tolist() == [[3, 4], [5, 6]]
    assert after[mask].tolist() == [[160] * 3, [130] * 3]
    faint, _ = laid(even(100, (16, 16)), np.full((16, 16, 3), 95.0), cover)
    assert faint[3, 4].tolist() == [135] * 3
    faint, _ = laid(even(250, (16, 16)), np.full((16, 16, 3), 999.0), cover)
    assert faint[3, 4].tolist() == [215] * 3
