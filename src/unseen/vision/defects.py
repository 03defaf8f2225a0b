"""Pseudo-defects: images of good parts, painted on so that they show good parts no more.

Every painter takes pixels (h, w, 3) uint8 of at least 16x16. It returns painted pixels, and the
mask (h, w) bool of where it painted: outside it no pixel differs, inside it the mean change can be
seen. Grey images stay grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

LEAST_SIDE = 16
FULL = 256  # pixels of the images that widths and lengths below are given for
LEAST_COVER = 0.1  # what is covered by less is not painted
FAINT = 12.0  # mean change, in levels of 255, that is too small to be seen
SHIFT = 40.0  # levels by which a faint defect is made darker or brighter
PERIOD = 64  # lattice points after which the gradients of the noise repeat


def painted(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask, str]:
    """A defect of a random kind: the pixels, the mask, and the name of the kind, one of KINDS.

    >>> good = np.full((64, 64, 3), 128, dtype=np.uint8)
    >>> pixels, mask, kind = painted(good, np.random.default_rng(0))
    >>> kind in KINDS, bool(mask[(pixels != good).any(axis=2)].all())
    (True, True)
    """
    kind = KINDS[rng.integers(len(KINDS))]
    return *PAINTERS[kind](pixels, rng), kind


def cut_paste(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A piece of the image pasted elsewhere in it, its colours jittered: CutPaste (Li et al. 2021,
    arXiv 2104.04015).

    Half of the time a rectangle of 2% to 15% of the image and aspect 0.3 to 3.3, else a turned
    scar: of 256 pixels 2 to 16 wide, 10 to 25 long.
    """
    height, width = _height_and_width(pixels)
    if rng.random() < 0.5:
        scale = min(height, width) / FULL
        long = rng.uniform(10, 25)
        wide = rng.uniform(2, min(16, long / 1.5))
        angle = rng.uniform(-np.pi / 4, np.pi / 4)
        return pasted(pixels, rng, max(3.0, long * scale), max(1.5, wide * scale), angle=angle)
    area, aspect = (
        rng.uniform(0.02, 0.15) * height * width,
        np.exp(rng.uniform(np.log(0.3), np.log(3.3))),
    )
    wide = min(width, area / min(height, np.sqrt(area / aspect)))
    return pasted(pixels, rng, area / wide, wide, angle=0.0)


def pasted(
    pixels: Pixels, rng: np.random.Generator, long: float, wide: float, *, angle: float
) -> tuple[Pixels, Mask]:
    """An upright rectangle of the image, `long` by `wide` pixels, pasted elsewhere and turned by
    `angle`.
    """
    sides = np.array(_height_and_width(pixels))
    half = np.array([long, wide]) / 2
    turn = np.abs([[np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    reach = np.minimum(turn @ half, sides / 2)  # of the turned rectangle, from its middle
    to = rng.uniform(reach, sides - reach)
    free = np.maximum(sides - 2 * half, 1e-9)
    # its middle, a quarter or more away
    source = half + (to - half + rng.uniform(0.25, 0.75, 2) * free) % free
    offsets = _turned(sides, to, angle)  # (2, h, w)
    rows, columns = (
        np.floor(source[i] + offsets[i]).astype(int).clip(0, sides[i] - 1) for i in (0, 1)
    )
    cover = (np.abs(offsets) <= half[:, None, None]).all(axis=0)
    return laid(pixels, jittered(pixels, rng, strength=0.1)[rows, columns], cover.astype(float))


def perlin(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Patches where Perlin noise is high, blended with a texture: DRAEM (Zavrtanik et al. 2021,
    arXiv 2108.07610).

    The texture is the image itself in shuffled tiles of other colours; 10% to all of it shows.
    """
    sides = np.array(_height_and_width(pixels))
    most = min(5, int(np.log2(sides.min() / 8)))
    down, right = _turned(sides, sides / 2, rng.uniform(-np.pi / 2, np.pi / 2))
    cells = 2.0 ** rng.integers(0, most + 1, 2) / sides
    start = rng.uniform(0, PERIOD, 2)
    noise = gradient_noise(_gradients(rng), start[0] + down * cells[0], start[1] + right * cells[1])
    away = np.hypot(*_turned(sides, rng.uniform(0, sides), 0.0)) / (
        rng.uniform(0.25, 0.8) * sides.min()
    )
    near = noise - away**2  # a defect is in one place, not all over the image
    cover = near >= np.quantile(near, 1 - rng.uniform(0.01, 0.1))
    texture = jittered(shuffled(pixels, rng), rng, strength=0.3)
    beta = rng.uniform(0.1, 1.0)
    return laid(pixels, (1 - beta) * pixels + beta * texture, cover.astype(float))


def scratch(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A thin curve, darker or brighter than what it crosses: of 256 pixels 1 to 3 wide, 40 to 150
    long.
    """
    height, width = _height_and_width(pixels)
    scale = min(height, width) / FULL
    n = int(2 * rng.uniform(40, 150) * scale)  # steps of half a pixel
    heading = rng.uniform(0, 2 * np.pi) + rng.uniform(0.1, 1.0) * rng.normal(
        size=n
    ).cumsum() / np.sqrt(n)
    path = np.stack([np.sin(heading), np.cos(heading)], axis=1).cumsum(axis=0) / 2  # (n, 2)
    path += rng.uniform(0, [height, width]) - path[n // 2]
    radius = max(1.0, rng.uniform(1, 3) * scale) / 2 * np.sin(np.linspace(0, np.pi, n)) ** 0.5
    contrast = rng.uniform(40, 120) * rng.choice([-1, 1])
    return laid(pixels, pixels + contrast, stroke((height, width), path, radius))


def blotch(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A smooth blob, darker or brighter, like a stain or uneven light: its radii are 3% to 15% of
    the shorter side.
    """
    sides = np.array(_height_and_width(pixels))
    radius = np.maximum(1.5, rng.uniform(0.03, 0.15, 2) * sides.min())
    down, right = (
        _turned(sides, rng.uniform(0, sides), rng.uniform(0, np.pi)) / radius[:, None, None]
    )
    start = rng.uniform(0, PERIOD, 2)
    wobble = gradient_noise(_gradients(rng), start[0] + down, start[1] + right)
    depth = 1 - np.hypot(down, right) - 0.3 * wobble
    cover = fade(np.clip(depth / rng.uniform(0.3, 0.9), 0, 1))
    return laid(pixels, pixels + rng.uniform(25, 80) * rng.choice([-1, 1]), cover)


PAINTERS = {"cut_paste": cut_paste, "perlin": perlin, "scratch": scratch, "blotch": blotch}
KINDS = tuple(PAINTERS)


def gradient_noise(gradients: Floats, y: Floats, x: Floats) -> Floats:
    """Perlin's gradient noise (2002) at points in units of the lattice: (a, b, 2), (...), (...) ->
    (...).

    Each corner of a cell gives its gradient times the way from it; in between they are faded.
    Repeats after a and b.

    >>> gradient_noise(np.array([[[0.0, 1.0]]]), np.array([0.5, 0.5]), np.array([0.25, 3.0]))
    array([0.146..., 0. ])
    """
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = y - top, x - left
    total = np.zeros_like(y)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        # (..., 2)
        slope = gradients[(top + i) % gradients.shape[0], (left + j) % gradients.shape[1]]
        ramp = slope[..., 0] * (down - i) + slope[..., 1] * (right - j)
        total += ramp * fade(1 - np.abs(down - i)) * fade(1 - np.abs(right - j))
    return total


def _gradients(rng: np.random.Generator) -> Floats:
    """Random directions, one per point of the lattice: (PERIOD, PERIOD, 2)."""
    angle = rng.uniform(0, 2 * np.pi, (PERIOD, PERIOD))
    return np.stack([np.sin(angle), np.cos(angle)], axis=2)


def fade(t: Floats) -> Floats:
    """Perlin's step from 0 to 1 with no slope and no bend at either end: 6t^5 - 15t^4 + 10t^3."""
    return t**3 * (t * (6 * t - 15) + 10)


def jittered(pixels: Pixels, rng: np.random.Generator, *, strength: float) -> Floats:
    """Brightness, contrast, saturation and hue changed by up to `strength` of half their range: (h,
    w, 3) -> same.
    """
    light, contrast, saturation, hue = rng.uniform(-strength, strength, 4)
    grey = pixels.mean(axis=2, keepdims=True)
    colour = pixels - grey
    # a quarter turn about grey
    across = (np.roll(colour, 1, axis=2) - np.roll(colour, -1, axis=2)) / np.sqrt(3)
    colour = np.cos(np.pi * hue) * colour + np.sin(np.pi * hue) * across
    middle = grey.mean()
    return middle + 128 * light + (1 + contrast) * (grey - middle) + (1 + saturation) * colour


def shuffled(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """An image made of square tiles from random places, each turned by quarters and perhaps
    flipped: same shape.
    """
    height, width = _height_and_width(pixels)
    side = max(4, min(height, width) // 8)

    def tile() -> Pixels:
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        window = np.rot90(pixels[top : top + side, left : left + side], int(rng.integers(4)))
        return window[:, :: rng.choice([-1, 1])]

    rows = [
        np.concatenate([tile() for _ in range(0, width, side)], axis=1)
        for _ in range(0, height, side)
    ]
    return np.concatenate(rows)[:height, :width]


def _turned(sides: NDArray[np.int_], centre: Floats, angle: float) -> Floats:
    """Pixels' places, down and right, on axes through `centre` that are turned by `angle`: (2, h,
    w) in pixels.
    """
    y, x = np.arange(sides[0])[:, None] + 0.5 - centre[0], np.arange(sides[1]) + 0.5 - centre[1]
    return np.stack([np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x])


def stroke(sides: tuple[int, int], path: Floats, radius: Floats) -> Floats:
    """How much of each pixel a brush covers that follows the path: (n, 2) points, (n,) radii -> (h,
    w) in [0, 1].
    """
    reach = np.arange(-np.ceil(radius.max() + 0.5), np.ceil(radius.max() + 0.5) + 1)
    y, x = np.floor(path[:, :1]) + reach, np.floor(path[:, 1:]) + reach  # (n, k)
    # (n, k, k)
    away = np.hypot((y + 0.5 - path[:, :1])[:, :, None], (x + 0.5 - path[:, 1:])[:, None])
    part = np.clip(radius[:, None, None] + 0.5 - away, 0, 1)
    rows, columns = (
        np.broadcast_to(v.astype(int), part.shape) for v in (y[:, :, None], x[:, None])
    )
    inside = (rows >= 0) & (rows < sides[0]) & (columns >= 0) & (columns < sides[1])
    cover = np.zeros(sides)
    np.maximum.at(cover, (rows[inside], columns[inside]), part[inside])
    return cover


def laid(pixels: Pixels, paint: Floats, cover: Floats) -> tuple[Pixels, Mask]:
    """Paint laid over the pixels as far as it covers, shifted where it would hardly show: (h, w, 3)
    x 2, (h, w).
    """
    mask = cover >= LEAST_COVER
    before, after = pixels[mask].astype(float), np.clip(paint[mask], 0, 255)  # (k, 3)
    if np.abs(after - before).mean() < FAINT:
        after = np.clip(after + (SHIFT if before.mean() < 128 else -SHIFT), 0, 255)
    result = pixels.copy()
    result[mask] = np.rint(before + cover[mask][:, None] * (after - before))
    return result, mask


def _height_and_width(pixels: Pixels) -> tuple[int, int]:
    """Height and width of an image that can be painted on."""
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != 3
        or pixels.shape[2] != 3
        or min(pixels.shape[:2]) < LEAST_SIDE
    ):
        raise DataError(
            f"pixels must be uint8 of shape (height, width, 3), at least {LEAST_SIDE} high and "
            f"wide, got {pixels.dtype} {pixels.shape}: convert the image to RGB, or enlarge it"
        )
    return pixels.shape[0], pixels.shape[1]
