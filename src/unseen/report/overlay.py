"""What was found where: an image beside its heat as a PNG, and the box around the hottest spot."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError, Unsupported
from unseen.evaluation.pixels import numbered

WIDTH, HEIGHT = 900, 400  # pixels of an overlay
# image, heat, bar: left, bottom, width, height
PLACES = ((10, 10, 350, 330), (370, 10, 350, 330), (788, 24, 18, 300))
# of image, heat and bar: left, right, top, what is written beside them included
CUTS = ((0, 365, 38), (365, 722, 38), (722, WIDTH, 38))
# the true outline; the threshold: neither is a colour of the heat
DEFECT, EDGE = ("#39ff14", "#00e5ff")
# brightness of the image below the heat; share of heat from the threshold on
GREY, OPAQUE = (0.6, 0.85)


def overlay(
    pixels: NDArray[np.uint8],
    heat: NDArray[np.floating[Any]],
    *,
    low: float,
    threshold: float,
    top: float,
    mask: NDArray[np.bool_] | None = None,
    title: str = "",
) -> bytes:
    """A PNG: the image with its defect outlined, and in grey below its heat, outlined where above
    the threshold.

    Colours run from `low` to `top`, whatever the image: the same colour is the same score in all of
    them. (h, w, 3), (h, w), mask (h, w) -> bytes of 900 x 400 pixels
    """
    _check_shapes(pixels, heat, mask, low, threshold, top)
    try:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unsupported(
            'drawing an overlay needs matplotlib: pip install "unseen[images]"'
        ) from error
    colours = ScalarMappable(Normalize(low, top), "inferno")
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="white")
    left, right, bar = (
        figure.add_axes((x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT)) for x, y, w, h in PLACES
    )
    figure.text(0.5, 0.98, title, ha="center", va="top", fontsize=10, parse_math=False)
    _panel(left, pixels, "image")
    if mask is not None and mask.any():
        left.set_title("image, true defect outlined", fontsize=8)
        _outline(left, mask.astype(float), 0.5, outside=0.0, colour=DEFECT)
    weight = OPAQUE * np.clip((heat - low) / (threshold - low), 0, 1) ** 2
    _panel(right, _over_grey(pixels, colours.to_rgba(heat)[..., :3], weight), "heat")
    if heat.max() > threshold:
        right.set_title("heat, outlined where above the threshold", fontsize=8)
        _outline(right, heat, threshold, outside=low, colour=EDGE)
    figure.colorbar(colours, cax=bar).set_label(
        "score of a patch (same scale in all images)", fontsize=8
    )
    bar.set_title(f"{top:.3g} or more", fontsize=8)
    bar.set_xlabel(f"{low:.3g} or less", fontsize=8)
    bar.tick_params(labelsize=8)
    _mark(bar, threshold)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()


def box(heat: NDArray[np.floating[Any]], threshold: float) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the region above the threshold that holds the highest score, in
    pixels, half-open.

    None where no score exceeds the threshold. (h, w) -> 4 integers

    >>> box(np.array([[0.0, 0.0, 0.0], [0.0, 3.0, 2.0]]), threshold=1.0)
    (1, 1, 3, 2)
    """
    if not heat.max() > threshold:
        return None
    region, _ = numbered(heat > threshold)
    rows, columns = np.nonzero(region == region.flat[heat.argmax()])
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def pieces(picture: bytes) -> list[NDArray[np.uint8]]:
    """The image, its heat, and the scale, cut out of an overlay, without white around them: 3 times
    (h, w, 3).
    """
    from PIL import Image  # the extra `images`

    with Image.open(BytesIO(picture), formats=["PNG"]) as whole:
        rgb = np.asarray(whole.convert("RGB"))
    return [_trimmed(rgb[top:, left:right]) for left, right, top in CUTS]


def _trimmed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is left of an image (h, w, 3) without rows and columns of white at its edges."""
    rows, columns = (np.flatnonzero((pixels < 255).any(axis=(axis, 2))) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _check_shapes(
    pixels: NDArray[np.uint8],
    heat: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_] | None,
    low: float,
    threshold: float,
    top: float,
) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(
            f"pixels must be uint8 of shape (h, w, 3), got {pixels.dtype} of shape {pixels.shape}"
        )
    for name, values in {"heat": heat, "mask": mask}.items():
        if values is not None and values.shape != pixels.shape[:2]:
            raise DataError(
                f"{name} must have shape {pixels.shape[:2]} like the image, got {values.shape}"
            )
    if not np.isfinite(heat).all():
        raise DataError("heat has scores that are not finite numbers")
    if not low < threshold <= top < np.inf:
        raise DataError(f"the scale needs low < threshold <= top, got {low}, {threshold}, {top}")


def _over_grey(
    pixels: NDArray[np.uint8], colour: NDArray[Any], weight: NDArray[Any]
) -> NDArray[Any]:
    """The image in dark grey, mixed with the heat's colour by weight: (h, w, 3), (h, w, 3), (h, w)
    -> (h, w, 3).
    """
    grey = GREY * (pixels @ np.array([0.299, 0.587, 0.114])) / 255  # luma of ITU-R BT.601: (h, w)
    return grey[..., None] * (1 - weight[..., None]) + colour * weight[..., None]


def _panel(axes: Any, picture: NDArray[Any], title: str) -> None:
    axes.imshow(picture)
    axes.set_axis_off()
    axes.set_title(title, fontsize=8)


def _outline(axes: Any, field: NDArray[Any], level: float, *, outside: float, colour: str) -> None:
    """The line where a field passes a level; closed at the image's border, beyond which the field
    is `outside`.
    """
    h, w = field.shape
    limits = axes.axis()
    closed = np.pad(field, 1, constant_values=outside)
    axes.contour(
        np.arange(-1, w + 1),
        np.arange(-1, h + 1),
        closed,
        levels=[level],
        colors=[colour],
        linewidths=1.5,
    )
    axes.axis(limits)


def _mark(bar: Any, threshold: float) -> None:
    """The threshold across the colour bar, its name at the left."""
    bar.plot([-0.3, 1], [threshold, threshold], color="black", linewidth=3.5, clip_on=False)
    bar.plot([-0.3, 1], [threshold, threshold], color=EDGE, linewidth=2, clip_on=False)
    place = {
        "xy": (0, threshold),
        "xycoords": bar.get_yaxis_transform(),
        "textcoords": "offset points",
    }
    bar.annotate("threshold", xytext=(-8, 0), ha="right", va="center", fontsize=8, **place)
