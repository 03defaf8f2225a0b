"""Overlays of images: outlines and colours by hand, and what cannot be drawn."""

import io
import re
import sys

import numpy as np
import pytest

from unseen.errors import DataError, Unsupported
from unseen.report.overlay import box, overlay, pieces

PIXELS = np.full((40, 40, 3), 120, dtype=np.uint8)
SCALE = {"low": 0.0, "threshold": 2.0, "top": 4.0}
RIGHT = slice(60, 390), slice(380, 710)  # rows and columns of the heat of a square image: 330 x 330


def spot(score=3.0, at=(30, 10)):
    """Heat of 0, but for a square of 9 x 9 around a row and column."""
    heat = np.zeros((40, 40))
    heat[at[0] - 4 : at[0] + 5, at[1] - 4 : at[1] + 5] = score
    return heat


def drawn(heat, mask=None, title="", **scale):
    """An overlay decoded: (400, 900, 3) integers."""
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    png = overlay(PIXELS, heat, mask=mask, title=title, **{**SCALE, **scale})
    return np.array(image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(picture, colour):
    return np.abs(picture - colour).max(axis=-1) < 40


def test_size():
    assert drawn(spot()).shape == (400, 900, 3)


def test_same_input_same_bytes():
    pytest.importorskip("matplotlib")
    first, second = (overlay(PIXELS, spot(), title="a", **SCALE) for _ in range(2))
    assert first == second
    assert b"matplotlib" not in first.lower()


def test_heat_is_bright_where_it_is_hot_and_nowhere_else():
    cold, hot = drawn(np.zeros((40, 40)))[RIGHT], drawn(spot())[RIGHT]
    brighter = (hot - cold).sum(axis=-1)
    # of rows 28 to 33 and columns 8 to 13, at 8.25 pixels each
    rows, columns = (slice(226, 277), slice(61, 112))
    assert brighter[rows, columns].min() > 100
    outside = np.ones((330, 330), dtype=bool)
    outside[205:300, 40:135] = False
    assert (brighter[outside] == 0).all()


def test_the_left_panel_shows_the_image_as_it_is():
    picture = drawn(spot())
    assert (picture[60:390, 20:350] == 120).all()


def test_below_the_low_end_the_image_is_a_darker_grey():
    picture = drawn(np.full((40, 40), -1.0))[RIGHT]
    assert (picture[5:-5, 5:-5] == 72).all()  # 0.6 of 120


def test_a_colour_is_a_score_whatever_else_is_in_the_image():
    one, two = drawn(spot(3.0)), drawn(np.maximum(spot(3.0), spot(4.0, at=(10, 30))))
    assert (one[RIGHT][226:277, 61:112] == two[RIGHT][226:277, 61:112]).all()
    assert (one[RIGHT][61:112, 226:277] != two[RIGHT][61:112, 226:277]).any()


def test_the_outline_runs_around_what_exceeds_the_threshold():
    assert not near(drawn(spot(2.0))[RIGHT], (0, 229, 255)).any()
    rows, columns = np.nonzero(near(drawn(spot(3.0))[RIGHT], (0, 229, 255)))
    edges = [rows.min(), rows.max(), columns.min(), columns.max()]
    assert edges == pytest.approx([26 * 8.25, 35 * 8.25, 6 * 8.25, 15 * 8.25], abs=8.25)


def test_the_outline_closes_at_the_border():
    assert near(drawn(np.full((40, 40), 3.0))[RIGHT], (0, 229, 255)).any()


@pytest.mark.parametrize("threshold", [1.0, 2.0, 3.5])
def test_the_threshold_is_marked_on_the_bar(threshold):
    """The bar is 300 high and ends 24 above the picture's end."""
    rows, _ = np.nonzero(near(drawn(spot(0.5), threshold=threshold)[:, 790:804], (0, 229, 255)))
    assert rows.mean() == pytest.approx(400 - 24 - 300 * threshold / 4, abs=1.5)


def test_the_ends_of_the_bar_are_named():
    """Scores beyond them have their colours: above the bar stands "4 or more", below it "0 or
    less".
    """
    plain, other = drawn(spot()), drawn(spot(), low=-0.001, top=4.01)
    for rows in (slice(50, 74), slice(378, 398)):
        assert (plain[rows, 755:840] < 128).any()
        assert (plain[rows, 755:840] != other[rows, 755:840]).any()


def test_the_mask_is_outlined_at_the_left_only():
    without, picture = drawn(spot()), drawn(spot(), mask=spot() > 0)
    rows, columns = np.nonzero(near(picture[60:390, 20:350], (57, 255, 20)))
    edges = [rows.min(), rows.max(), columns.min(), columns.max()]
    assert edges == pytest.approx([26 * 8.25, 35 * 8.25, 6 * 8.25, 15 * 8.25], abs=8.25)
    assert (picture[:, 365:] == without[:, 365:]).all()


def test_an_empty_mask_changes_nothing():
    assert (drawn(spot(), mask=np.zeros((40, 40), dtype=bool)) == drawn(spot())).all()


def test_a_title_is_no_formula():
    plain, title = drawn(spot()), drawn(spot(), title="a$_b$c$\\nonsense{$")
    assert (plain[:25] != title[:25]).any()
    assert (plain[60:] == title[60:]).all()


@pytest.mark.parametrize(
    ("pixels", "heat", "mask", "scale", "message"),
    [
        (PIXELS / 255, spot(), None, {}, "uint8"),
        (PIXELS[..., 0], spot(), None, {}, r"\(h, w, 3\)"),
        (PIXELS, spot()[1:], None, {}, r"heat must have shape \(40, 40\) .* got \(39, 40\)"),
        (PIXELS, spot(), spot()[1:] > 0, {}, r"mask must have shape \(40, 40\) .* got \(39, 40\)"),
        (PIXELS, spot() * np.nan, None, {}, "not finite"),
        (PIXELS, spot(), None, {"threshold": 0.0}, "low < threshold"),
        (PIXELS, spot(), None, {"threshold": 5.0}, "threshold <= top"),
        (PIXELS, spot(), None, {"threshold": np.inf, "top": np.inf}, "top"),
    ],
)
def test_what_cannot_be_drawn(pixels, heat, mask, scale, message):
    with pytest.raises(DataError, match=message):
        overlay(pixels, heat, mask=mask, **{**SCALE, **scale})


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        Unsupported, match=re.escape('needs matplotlib: pip install "unseen[images]"')
    ):
        overlay(PIXELS, spot(), **SCALE)


def test_box_holds_the_region_of_the_highest_score():
    heat = np.array(
        [
            [2.0, 2.0, 0.0, 0.0, 0.0],
            [2.0, 2.0, 0.0, 3.0, 0.0],
            [2.0, 2.0, 0.0, 0.0, 2.0],
        ]
    )
    assert box(heat, 1.0) == (3, 1, 5, 3)  # the smaller region, whose pixels touch at a corner
    assert box(heat, 2.0) == (3, 1, 4, 2)
    assert box(heat, 3.0) is None
    assert box(heat, -1.0) == (0, 0, 5, 3)


def test_an_overlay_is_cut_into_image_heat_and_scale():
    pytest.importorskip("matplotlib")
    png = overlay(PIXELS, spot(), **SCALE)
    image, heat, scale = (part.astype(int) for part in pieces(png))
    assert (image[-330:] == 120).all()
    assert image.shape[1] == 330  # no white is left beside it
    assert image.shape[0] > 335  # what is written above it is
    assert (heat[-330:, :330] == drawn(spot())[RIGHT]).all()
    assert near(scale, (0, 229, 255)).any()  # the threshold is marked on it
    for part in (image, heat, scale):
        assert all((edge < 255).any() for edge in (part[0], part[-1], part[:, 0], part[:, -1]))
