"""What was found where: an image beside its heat as a PNG, the box around the hottest region, and a
report page.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import DataError, Unsupported
from unseen.evaluation.pixels import numbered

WIDTH, HEIGHT = 900, 400  # pixels of an overlay
# image, heat, bar: left, bottom, width, height
PLACES = ((10, 10, 350, 330), (370, 10, 350, 330), (788, 24, 18, 300))
# the true outline; the threshold: neither is a colour of the heat
DEFECT, EDGE = ("#39ff14", "#00e5ff")
# brightness of the image below the heat; share of heat from the threshold on
GREY, OPAQUE = (0.6, 0.85)
HEADS = ("image", "label", "score", "p-value", "verdict", "where")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --text: #1b1b1f; --faint: #5c5f66;
  --ground: #fff; --line: #d8dae0; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #e6e6ea; --faint: #a3a6ae; --ground: #16171a; --line: #35373d; }}
}}
body {{ margin: 2rem auto; max-width: 90rem; padding: 0 1rem; overflow-x: auto;
  font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); }}
h1 {{ font-size: 1.5rem; }}
header p {{ color: var(--faint); max-width: 45rem; margin: 0.25rem 0; }}
table {{ border-collapse: collapse; width: 100%; margin-top: 1.5rem; }}
th, td {{ padding: 0.5rem 0.75rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }}
thead th {{ color: var(--faint); font-weight: normal; }}
tbody th {{ overflow-wrap: anywhere; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
td:last-child {{ width: 60%; }}
small {{ color: var(--faint); }}
img {{ display: block; min-width: 28rem; max-width: 100%; height: auto; border-radius: 4px; }}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
{notes}
</header>
<main>
<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Shown:
    """An image in the report.

    Parameters
    ----------
    name : str
        Path of its file below the folder.
    label : str or None
        What its folder calls it; None where it is not known.
    score : float
        How anomalous it is.
    pvalue : float
        Chance that a normal image scores as high.
    verdict : str
        "anomaly" or "normal".
    picture : bytes
        A PNG of `overlay`.
    file : str
        Name of the file that keeps the picture beside the report; empty for none.
    """

    name: str
    label: str | None
    score: float
    pvalue: float
    verdict: str
    picture: bytes
    file: str = ""


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


def page(rows: Iterable[Shown], *, title: str, notes: Sequence[str]) -> str:
    """A report as one HTML file that loads nothing: a row for each image, in the order given, below
    the notes.

    >>> "<h1>Tiles &amp; cracks</h1>" in page(
    ...     [], title="Tiles & cracks", notes=["Threshold at p = 0.05."]
    ... )
    True
    """
    heads = (
        f'<th scope="col"{_number_class(head in ("score", "p-value"))}>{head}</th>'
        for head in HEADS
    )
    return PAGE.format(
        title=escape(title),
        notes="\n".join(f"<p>{escape(note)}</p>" for note in notes),
        heads="".join(heads),
        rows="\n".join(map(_line, rows)),
    )


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


def _line(row: Shown) -> str:
    """A table row, all of whose text is escaped."""
    name, verdict, score = escape(row.name), escape(row.verdict), f"{row.score:.5g}"
    alt = f"{name}: the image, and its heat; score {score}, {verdict}"
    picture = f"data:image/png;base64,{b64encode(row.picture).decode()}"
    kept = f"<small>{escape(row.file)}</small>" if row.file else ""
    cells = (
        f'<th scope="row">{name}</th>',
        f"<td>{'not known' if row.label is None else escape(row.label)}</td>",
        f"<td{_number_class()}>{score}</td>",
        f"<td{_number_class()}>{row.pvalue:.2g}</td>",
        f"<td>{verdict}</td>",
        f'<td><img src="{picture}" width="{WIDTH}" height="{HEIGHT}" alt="{alt}">{kept}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


def _number_class(numeric: bool = True) -> str:
    return ' class="number"' if numeric else ""
