"""Good images once more as another program saved them: what they look like, and that training sees
both.
"""

import numpy as np
import pytest

from unseen.vision.resave import resaved

pytest.importorskip("PIL.Image")


def scene(seed=0):
    """A photo of 48 x 64 pixels, none of them so bright that light would be cut off."""
    return np.random.default_rng(seed).integers(40, 200, (48, 64, 3)).astype(np.uint8)


def test_the_bytes_of_the_file_decide_what_becomes_of_it():
    found = [resaved(scene(), bytes([k])) for k in range(6)]
    assert all((one.dtype, one.shape) == (np.uint8, (48, 64, 3)) for one in found)
    assert np.array_equal(found[3], resaved(scene(), b"\3"))
    assert len({one.tobytes() for one in found}) == 6


def test_light_changes_by_a_tenth_at_most_and_both_ways():
    change = np.array([resaved(scene(), bytes([k])).mean() / scene().mean() for k in range(60)])
    assert (np.abs(change - 1) < 0.11).all()  # a codec moves the mean by less than a hundredth
    assert change.min() < 0.95
    assert change.max() > 1.05


def test_some_are_blurred_and_the_others_keep_their_noise():
    flat = [resaved(scene(), bytes([k])).astype(float) for k in range(60)]
    rough = np.array([np.abs(np.diff(one, axis=1)).mean() / one.mean() for one in flat])
    sharp = np.abs(np.diff(scene().astype(float), axis=1)).mean() / scene().mean()
    assert (rough < 0.5 * sharp).any()
    assert (rough > 0.8 * sharp).any()
