"""Geometry between an image and the square that a backbone sees: letterbox, tiles of a larger
square, and the way back.

The square shows the whole image, its aspect kept. What is left over reflects the image, so that no
border and no value appears there that an image does not have.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unseen.errors import DataError

OVERLAP = 1 / 8  # of a tile, rounded to whole cells: what its neighbour sees, too


def frame(height: int, width: int, size: int) -> tuple[int, int, int, int]:
    """Rectangle of the image in the square: top, left, height, width, in pixels.

    >>> frame(100, 400, 224)
    (84, 0, 56, 224)
    """
    longest = max(height, width)
    h, w = max(1, round(height * size / longest)), max(1, round(width * size / longest))
    return (size - h) // 2, (size - w) // 2, h, w


def letterbox(pixels: Tensor, size: int) -> Tensor:
    """The image in the middle of a square, its longer side as long, the rest its reflection: (3, h,
    w) -> (3, s, s).

    Scaled without aliasing; 8 bits stay 8 bits.

    >>> letterbox(torch.tensor([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]]), 4)[0]
    tensor([[5., 6., 7., 8.],
            [1., 2., 3., 4.],
            [5., 6., 7., 8.],
            [1., 2., 3., 4.]])
    """
    top, left, h, w = frame(pixels.shape[1], pixels.shape[2], size)
    scaled = F.interpolate(pixels[None], (h, w), mode="bilinear", antialias=True)[0]
    rows, columns = reflected(size, top, h), reflected(size, left, w)
    return scaled[:, rows.to(pixels.device)][:, :, columns.to(pixels.device)]


def scaled_down(pixels: Tensor, longest: int) -> Tensor:
    """The image, its longer side at most so many pixels: (3, h, w) of 8 bits -> (3, h', w').

    >>> scaled_down(torch.zeros(3, 10, 40, dtype=torch.uint8), 20).shape
    torch.Size([3, 5, 20])
    """
    _, _, h, w = frame(pixels.shape[1], pixels.shape[2], longest)
    if h >= pixels.shape[1] and w >= pixels.shape[2]:
        return pixels
    found: Tensor = F.interpolate(pixels[None], (h, w), mode="bilinear", antialias=True)[0]
    return found


def reflected(size: int, start: int, length: int) -> Tensor:
    """Which of `length` places each of `size` shows when these begin at `start` and go back and
    forth: (size,).

    >>> reflected(8, 3, 3).tolist()
    [1, 2, 1, 0, 1, 2, 1, 0]
    """
    period = max(2 * (length - 1), 1)
    place = (torch.arange(size) - start) % period
    return torch.minimum(place, period - place) if length > 1 else torch.zeros_like(place)


def unletterbox(score: Tensor, height: int, width: int, size: int) -> Tensor:
    """A map of the square of `size` pixels as a map of the image's pixels, bilinear: (h', w') ->
    (height, width).

    >>> unletterbox(torch.tensor([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]), 4, 4, 2).shape
    torch.Size([4, 4])
    """
    top, left, h, w = frame(height, width, size)
    y = (top + (torch.arange(height, device=score.device) + 0.5) * h / height) * 2 / size - 1
    x = (left + (torch.arange(width, device=score.device) + 0.5) * w / width) * 2 / size - 1
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)  # (height, width, 2)
    found = F.grid_sample(
        score[None, None], places[None].to(score), padding_mode="border", align_corners=False
    )
    return found[0, 0]


def cell_boxes(height: int, width: int, size: int, cells: tuple[int, ...]) -> NDArray[np.int64]:
    """Left, top, right, bottom of each cell of the square in pixels of the image, half-open, line
    by line: (cells, 4). Of a cell beside the image, right or bottom is no more than left or top.

    >>> cell_boxes(20, 40, 40, (4, 2)).tolist()[2:5]
    [[0, 0, 20, 10], [20, 0, 40, 10], [0, 10, 20, 20]]
    >>> cell_boxes(20, 40, 40, (4, 2)).tolist()[0]
    [0, 0, 20, 0]
    """
    top, left, h, w = frame(height, width, size)
    down = (np.arange(cells[0] + 1) * size / cells[0] - top) * height / h
    across = (np.arange(cells[1] + 1) * size / cells[1] - left) * width / w
    y, x = (
        np.round(at).clip(0, most).astype(np.int64)
        for at, most in ((down, height), (across, width))
    )
    rows, columns = (each.ravel() for each in np.indices(cells))
    return np.stack([x[columns], y[rows], x[columns + 1], y[rows + 1]], axis=1)


def shared(cells: int) -> int:
    """How many of a tile's cells in a row are its neighbour's, too.

    >>> [shared(cells) for cells in (7, 14, 16, 28)]
    [1, 2, 2, 4]
    """
    return round(cells * OVERLAP)


def span(cells: int, count: int) -> int:
    """Cells in a row of `count` overlapping tiles.

    >>> span(28, 2)
    52
    """
    return count * cells - (count - 1) * shared(cells)


def side(size: int, count: int, cells: int) -> int:
    """Pixels of the square that `count` tiles of `size` in a row cover, when a tile has so many
    cells in a row.

    Tiles lie a whole number of cells apart: the cells of all of them form one grid.

    >>> side(224, 2, 28), side(224, 3, 16)
    (416, 616)
    """
    if count > 1 and size % cells:
        raise DataError(
            f"tiles={count} needs a backbone whose map divides its {size} pixels evenly, got "
            f"{cells} cells in a row; take tiles=1, or another size"
        )
    return span(cells, count) * (size // cells) if count > 1 else size


def tiles(square: Tensor, count: int, size: int) -> Tensor:
    """Overlapping squares that cover a larger one, line by line: (3, s, s) -> (count^2, 3, size,
    size).

    >>> tiles(torch.arange(9.0).view(1, 3, 3), 2, 2)[1, 0]
    tensor([[1., 2.],
            [4., 5.]])
    """
    longer = square.shape[1]
    step = (longer - size) // max(count - 1, 1)
    if longer != size + step * (count - 1) or not step <= size or (count > 1 and step < 1):
        raise DataError(
            f"{count} tiles of {size} pixels in a row cannot cover a square of {longer} evenly; "
            "`side` says which can"
        )
    starts = [step * k for k in range(count)]
    return torch.stack([square[:, y : y + size, x : x + size] for y in starts for x in starts])


def merge(maps: Tensor, count: int) -> Tensor:
    """Maps of `tiles` as one; where they overlap, one fades into the other: (count^2, d, h, w) ->
    (d, H, W).

    The edges of a tile, which know least of what is around them, count least.

    >>> merge(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1, 1), 2)[0]
    tensor([[1., 2.],
            [3., 4.]])
    """
    if count == 1:
        return maps[0]
    d, h, w = maps.shape[1:]
    fade = (_faded(h)[:, None] * _faded(w)).to(maps)
    # the last channel sums the weights
    total = maps.new_zeros(d + 1, span(h, count), span(w, count))
    for k, one in enumerate(maps):
        y, x = k // count * (h - shared(h)), k % count * (w - shared(w))
        total[:d, y : y + h, x : x + w] += one * fade
        total[d, y : y + h, x : x + w] += fade
    return total[:d] / total[d]


def _faded(cells: int) -> Tensor:
    """Weight of each cell in a row of a tile: falls towards the ends, within what is shared.

    >>> _faded(16).tolist()
    [1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 1.0]
    """
    up = torch.arange(1.0, cells + 1)
    return torch.minimum(up, up.flip(0)).clamp(max=shared(cells) + 1)
