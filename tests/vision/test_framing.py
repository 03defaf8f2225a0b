"""Letterbox and tiles, and the way back, by hand."""

import pytest
import torch

from unseen.errors import DataError
from unseen.vision.framing import (
    frame,
    letterbox,
    merge,
    reflected,
    shared,
    side,
    span,
    tiles,
    unletterbox,
)


def test_frame_by_hand():
    assert frame(300, 300, 224) == (0, 0, 224, 224)
    assert frame(50, 200, 100) == (37, 0, 25, 100)
    assert frame(200, 50, 100) == (0, 37, 100, 25)
    assert frame(1, 5000, 100) == (49, 0, 1, 100)  # a line keeps a pixel


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_square_of_that_size_is_left_as_it_is(dtype):
    image = torch.randint(0, 256, (3, 40, 40), generator=torch.Generator().manual_seed(0)).to(dtype)
    assert torch.equal(letterbox(image, 40), image)
    score = image[0].float()
    torch.testing.assert_close(unletterbox(score, 40, 40, 40), score, rtol=1e-4, atol=1e-3)


def test_what_is_left_over_shows_the_reflection_without_its_edge_twice():
    image = torch.arange(6.0).view(1, 2, 3).expand(3, 2, 3)
    assert letterbox(image, 3)[0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [0.0, 1.0, 2.0]]
    narrow = torch.tensor([[1.0], [2.0], [3.0]]).expand(3, 3, 1)
    assert letterbox(narrow, 3)[0].tolist() == [[1.0] * 3, [2.0] * 3, [3.0] * 3]


def test_reflection_goes_back_and_forth_as_often_as_it_takes():
    assert reflected(9, 3, 2).tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert reflected(5, 1, 4).tolist() == [1, 0, 1, 2, 3]
    assert reflected(3, 0, 1).tolist() == [0, 0, 0]


def test_scaling_down_averages_instead_of_skipping():
    # a pixel each
    stripes = torch.tensor([0, 200], dtype=torch.uint8).repeat(64).expand(3, 128, 128)
    found = letterbox(stripes, 16)
    assert found.dtype == torch.uint8
    assert (found[:, :, 2:-2].float() - 100).abs().max() <= 1


@pytest.mark.parametrize(("height", "width"), [(120, 300), (300, 120), (200, 200), (37, 53)])
def test_a_spot_is_where_it_was_after_there_and_back(height, width):
    y, x = int(height * 0.7), int(width * 0.2)
    image = torch.zeros(3, height, width)
    image[:, y - 3 : y + 4, x - 3 : x + 4] = 255.0
    score = unletterbox(letterbox(image, 224)[0], height, width, 224)
    assert score.shape == (height, width)
    weight = score / score.sum()
    rows, columns = torch.arange(float(height)), torch.arange(float(width))
    assert (weight.sum(dim=1) @ rows).item() == pytest.approx(y, abs=0.5)
    assert (weight.sum(dim=0) @ columns).item() == pytest.approx(x, abs=0.5)


def test_a_coarse_map_of_a_wide_image_is_cut_by_hand():
    # an image of 2 x 4 fills the middle rows
    score = torch.tensor([[9.0] * 4, [1.0] * 4, [2.0] * 4, [9.0] * 4])
    found = unletterbox(score, 2, 4, 4)
    torch.testing.assert_close(found, torch.tensor([[1.0] * 4, [2.0] * 4]), rtol=1e-5, atol=1e-5)


def test_sides_by_hand():
    assert (shared(28), span(28, 2), side(224, 2, 28)) == (4, 52, 416)  # 52 cells of 8 pixels
    assert side(224, 3, 14) == (3 * 14 - 2 * 2) * 16
    assert side(224, 1, 27) == 224
    with pytest.raises(DataError, match=r"got 27 cells in a row; take tiles=1"):
        side(224, 2, 27)


@pytest.mark.parametrize(("count", "cells"), [(1, 8), (2, 8), (3, 16), (2, 28), (4, 7), (2, 1)])
def test_cells_of_tiles_lie_on_one_grid(count, cells):
    size = cells * 8
    longer = side(size, count, cells)
    place = torch.arange(longer, dtype=torch.float32)
    square = torch.stack(
        [place[:, None].expand(-1, longer), place.expand(longer, -1), torch.ones(longer, longer)]
    )
    # a map of where each cell is
    each = torch.nn.functional.avg_pool2d(tiles(square, count, size), 8)
    assert each.shape == (count**2, 3, cells, cells)
    torch.testing.assert_close(
        merge(each, count), torch.nn.functional.avg_pool2d(square[None], 8)[0]
    )


def test_where_tiles_overlap_one_fades_into_the_other():
    each = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1, 1).expand(4, 1, 16, 16)
    row = merge(each, 2)[0, 0]
    expected = torch.tensor([0.0] * 14 + [1 / 3, 2 / 3] + [1.0] * 14)
    torch.testing.assert_close(row, expected)


@pytest.mark.parametrize(
    ("longer", "count", "size"), [(10, 2, 4), (11, 3, 8), (9, 1, 8), (8, 2, 8)]
)
def test_a_square_that_tiles_cannot_cover_is_refused(longer, count, size):
    with pytest.raises(DataError, match="cannot cover a square"):
        tiles(torch.zeros(3, longer, longer), count, size)
