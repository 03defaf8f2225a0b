"""Charts as SVG: sizes in their own units, colours by the classes of the page around them; and what
they show as rows of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

Array = NDArray[np.float64]
WIDTH, HEIGHT, LEFT, BELOW = 640, 250, 62, 40  # of a chart; room for the numbers at its axes
BINS = 40
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5)  # at which p-values are counted in the table


@dataclass(frozen=True)
class Chart:
    """A drawing, what it shows in words, and the same as a table.

    Parameters
    ----------
    words : str
        What it shows, and how to read it.
    drawing : Markup
        SVG.
    heads : list of str
        Heads of the table's columns.
    rows : list of list of str
        The table.
    """

    words: str
    drawing: Markup
    heads: list[str]
    rows: list[list[str]]


def axis_of(series: dict[str, Array], mark: float) -> tuple[float, float]:
    """Lowest and highest value that is drawn: what lies beyond the highest of 99% of all values is
    drawn there.

    >>> axis_of({"normal": np.arange(101.0)}, mark=7.0)
    (0.0, 99.0)
    """
    every = np.concatenate([values for values in series.values() if len(values)])
    low, high = float(every.min()), max(float(np.quantile(every, 0.99)), mark)
    return low, high if high > low else low + 1.0


def histogram(series: dict[str, Array], *, title: str, words: str, mark: float) -> Chart:
    """Shares of values by size, each series (n,) as bars of its own; a line at `mark`.

    >>> chart = histogram({"normal": np.arange(9.0)}, title="Scores", words="", mark=7.0)
    >>> chart.drawing.count("<rect"), chart.rows
    (9, [['normal', '0.4', '2', '4', '6', '7.6']])
    """
    low, high = axis_of(series, mark)
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
                x, y = x_of(edges[bin_], low, high), _y(share, top)
                width = (WIDTH - LEFT) / BINS - 1
                parts.append(
                    f'<rect class="series{k}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                    f'height="{HEIGHT - BELOW - y:.1f}"><title>{escape(name)}: {share:.1%} from '
                    f"{edges[bin_]:.3g}</title></rect>"
                )
    parts.append(_upright(x_of(mark, low, high)))
    ticks = [(x_of(v, low, high), f"{v:.3g}") for v in np.linspace(low, high, 5)]
    rows = [
        [name, *(f"{value:.4g}" for value in np.quantile(values, QUANTILES))]
        for name, values in series.items()
        if len(values)
    ]
    heads = ["score", *(f"{share:.0%} at most" for share in QUANTILES)]
    return Chart(words, _chart(f"{title}. {words}", parts, ticks, top), heads, rows)


def pvalue_plot(pvalues: Array, *, title: str, words: str) -> Chart:
    """Share of rows with at most a p-value, beside the line where normal rows lie: (n,) -> chart.

    >>> pvalue_plot(np.array([0.1, 0.5]), title="p-values", words="").rows[2:]
    [['0.1', '50%', '10%'], ['0.25', '50%', '25%'], ['0.5', '100%', '50%']]
    """
    at = np.linspace(0, 1, 101)
    found, due = (
        " ".join(f"{x_of(p, 0, 1):.1f},{_y(s, 1.0):.1f}" for p, s in zip(at, each, strict=True))
        for each in (_shares(pvalues, at), at)
    )
    parts = [
        f'<polyline class="due" points="{due}"/>',
        f'<polyline class="found" points="{found}"/>',
    ]
    ticks = [(x_of(p, 0, 1), f"{p:.2g}") for p in (0, 0.25, 0.5, 0.75, 1)]
    levels = np.array(LEVELS)
    rows = [
        [f"{level:g}", f"{share:.3g}%", f"{100 * level:g}%"]
        for level, share in zip(LEVELS, 100 * _shares(pvalues, levels), strict=True)
    ]
    heads = ["p-value at most", "of these rows", "of normal rows"]
    return Chart(words, _chart(f"{title}. {words}", parts, ticks, 1.0), heads, rows)


def daily(counts: dict[str, int], *, title: str, words: str, what: str) -> Chart:
    """How many of something there were on each day, as bars: counts by day, in their order.

    >>> chart = daily({"11-28": 4, "11-29": 2}, title="Alarms", words="", what="alarms")
    >>> chart.drawing.count("<rect"), chart.rows
    (2, [['11-28', '4'], ['11-29', '2']])
    """
    top = max(counts.values(), default=0) or 1
    step = (WIDTH - LEFT) / max(len(counts), 1)
    parts, ticks = [], []
    for k, (day, count) in enumerate(counts.items()):
        x, y = LEFT + k * step, _y(count, top)
        parts.append(
            f'<rect class="series0" x="{x + 0.1 * step:.1f}" y="{y:.1f}" width="{0.8 * step:.1f}" '
            f'height="{HEIGHT - BELOW - y:.1f}"><title>{escape(day)}: {count:,}</title></rect>'
        )
        if k in (0, len(counts) - 1):
            ticks.append((x + (0.9 if k else 0.1) * step, day))
    rows = [[day, f"{count:,}"] for day, count in counts.items()]
    drawing = _chart(f"{title}. {words}", parts, ticks, top, "{:,.0f}")
    return Chart(words, drawing, ["day", what], rows)


def x_of(value: float, low: float, high: float) -> float:
    """Where a value stands in a chart, from its left; those beyond the axis at its ends."""
    return LEFT + (WIDTH - LEFT - 1) * (min(max(value, low), high) - low) / (high - low)


def _shares(pvalues: Array, at: Array) -> Array:
    return np.searchsorted(np.sort(pvalues), at, side="right") / max(len(pvalues), 1)


def _chart(
    label: str,
    parts: Sequence[str],
    ticks: Sequence[tuple[float, str]],
    top: float,
    form: str = "{:.0%}",
) -> Markup:
    """A chart with its axes: shares, or counts, from 0 to `top` upwards."""
    base = HEIGHT - BELOW
    axes = [f'<line class="axis" x1="{LEFT}" y1="{base}" x2="{WIDTH}" y2="{base}"/>']
    for k, (x, text) in enumerate(ticks):
        anchor = "start" if not k else "end" if k == len(ticks) - 1 else "middle"
        axes.append(
            f'<text x="{x:.1f}" y="{base + 26}" text-anchor="{anchor}">{escape(text)}</text>'
        )
    axes += [
        f'<text x="{LEFT - 6}" y="{_y(share, top) + 6:.1f}" text-anchor="end">'
        f"{form.format(share)}</text>"
        for share in (0.0, top)
    ]
    inside, name = "".join([*parts, *axes]), escape(label)
    whole = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{inside}</svg>'
    return Markup(whole)  # noqa: S704  what comes from outside is escaped above


def _upright(x: float) -> str:
    """The line that the page's slider moves."""
    return f'<path class="mark" transform="translate({x:.1f})" d="M0 8V{HEIGHT - BELOW}"/>'


def _y(share: float, top: float) -> float:
    return (HEIGHT - BELOW) - (HEIGHT - BELOW - 14) * share / top
