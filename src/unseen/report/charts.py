"""Charts as SVG: sizes in their own units, colours by the classes of the page around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

WIDTH, HEIGHT, LEFT, BELOW = 640, 240, 48, 36  # of a chart; room for the numbers at its axes
BINS = 40


def histogram(series: dict[str, NDArray[np.float64]], *, title: str, mark: float) -> Markup:
    """Shares of values by size, each series (n,) as bars of its own; a line at `mark`.

    What lies beyond the highest value of 99% of all is counted in the last bar.

    >>> chart = histogram({"normal": np.arange(9.0)}, title="Scores", mark=7.0)
    >>> chart.count("<rect"), "Scores" in chart
    (9, True)
    """
    every = np.concatenate([values for values in series.values() if len(values)])
    low, high = float(every.min()), max(float(np.quantile(every, 0.99)), mark)
    high = high if high > low else low + 1.0
    edges = np.linspace(low, high, BINS + 1)
    counts = {
        name: np.histogram(values.clip(low, high), edges)[0] / max(len(values), 1)
        for name, values in series.items()
    }
    top = max(float(each.max()) for each in counts.values()) or 1.0
    parts = []
    for k, (name, shares) in enumerate(counts.items()):
        for bin_, share in enumerate(shares):
            if share > 0:
                x, y = _x(edges[bin_], low, high), _y(share, top)
                width = (WIDTH - LEFT) / BINS - 1
                parts.append(
                    f'<rect class="series{k}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                    f'height="{HEIGHT - BELOW - y:.1f}"><title>{escape(name)}: {share:.1%} from '
                    f"{edges[bin_]:.3g}</title></rect>"
                )
    parts.append(_upright(_x(mark, low, high)))
    ticks = [(value, f"{value:.3g}") for value in np.linspace(low, high, 5)]
    return _chart(title, parts, [(_x(v, low, high), text) for v, text in ticks], top)


def pvalue_plot(pvalues: NDArray[np.float64], *, title: str) -> Markup:
    """Share of rows with at most a p-value, beside the line where normal rows lie: (n,) -> SVG.

    >>> "<polyline" in pvalue_plot(np.array([0.1, 0.5]), title="p-values")
    True
    """
    at = np.linspace(0, 1, 101)
    shares = np.searchsorted(np.sort(pvalues), at, side="right") / max(len(pvalues), 1)
    found, due = (
        " ".join(f"{_x(p, 0, 1):.1f},{_y(s, 1.0):.1f}" for p, s in zip(at, each, strict=True))
        for each in (shares, at)
    )
    parts = [
        f'<polyline class="due" points="{due}"/>',
        f'<polyline class="found" points="{found}"/>',
    ]
    return _chart(title, parts, [(_x(p, 0, 1), f"{p:.2g}") for p in (0, 0.25, 0.5, 0.75, 1)], 1.0)


def _chart(
    title: str, parts: Sequence[str], ticks: Sequence[tuple[float, str]], top: float
) -> Markup:
    """A chart with its axes: shares from 0 to `top` upwards."""
    base = HEIGHT - BELOW
    axes = [f'<line class="axis" x1="{LEFT}" y1="{base}" x2="{WIDTH}" y2="{base}"/>']
    axes += [
        f'<text x="{min(max(x, LEFT + 8), WIDTH - 14):.1f}" y="{base + 18}" '
        f'text-anchor="middle">{escape(text)}</text>'
        for x, text in ticks
    ]
    axes += [
        f'<text x="{LEFT - 6}" y="{_y(share, top) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        for share in (0.0, top)
    ]
    inside, label = "".join([*parts, *axes]), escape(title)
    whole = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{inside}</svg>'
    return Markup(whole)  # noqa: S704  what comes from outside is escaped above


def _upright(x: float) -> str:
    return f'<line class="mark" x1="{x:.1f}" y1="8" x2="{x:.1f}" y2="{HEIGHT - BELOW}"/>'


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (WIDTH - LEFT - 1) * (value - low) / (high - low)


def _y(share: float, top: float) -> float:
    return (HEIGHT - BELOW) - (HEIGHT - BELOW - 12) * share / top
