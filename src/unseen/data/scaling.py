"""Numbers as deviations from the normal: signed logarithm or plain, standardised on normal rows,
clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm

from unseen.errors import DataError

CLIP = 10.0  # deviations beyond this many standard deviations are all alike
ROUNDING = 1e-6  # what a constant may vary, relative to its size, before it counts as a deviation
TINY = float(np.finfo(np.float64).tiny)  # spreads below it lose their digits
CELLS = 1 << 21  # values encoded at a time: enough to keep two threads busy, and little memory
SAMPLE = 10_000  # rows that the choice between plain and logarithm looks at
LEVELS = np.linspace(0.01, 0.99, 99)
GAUSSIAN: NDArray[np.float64] = norm.ppf(LEVELS)
PARTS = ("centre", "spread", "fill")
CLEARLY = 0.1  # by how many standard deviations the plain values must lie nearer to a Gaussian

# fill(block, start) writes the raw rows from `start` on into block
Fill = Callable[[NDArray[np.float64], int], None]


@dataclass(frozen=True)
class Scale:
    """x -> (t(x) - centre) / spread, clipped to +-10; missing -> fill.

    Parameters
    ----------
    plain : bool
        Whether t(x) is x itself; else it is the signed logarithm.
    centre : float
        Mean of t over normal rows.
    spread : float
        Standard deviation of t over normal rows, above 0; what rounding may do where they do not
        vary.
    fill : float
        What stands for a missing value, from -10 to 10: the median of normal rows, scaled.

    >>> Scale.learn(np.array([2.0, 4.0, 9.0]), np.array([True, True, False]), plain=True)
    Scale(plain=True, centre=3.0, spread=1.0, fill=0.0)
    """

    plain: bool
    centre: float
    spread: float
    fill: float

    def __post_init__(self) -> None:
        if not (all(map(math.isfinite, (self.centre, self.spread, self.fill))) and self.spread > 0):
            raise DataError(f"a scale needs finite numbers and a spread above 0, got {self}")
        if abs(self.fill) > CLIP:
            raise DataError(
                f"what stands for a missing value must lie within -{CLIP:g} and {CLIP:g}, got "
                f"{self}"
            )

    @classmethod
    def learn(
        cls, values: NDArray[np.float64], normals: NDArray[np.bool_], *, plain: bool | None = None
    ) -> Scale:
        """Learn from the finite values of normal rows, (n,) and (n,); `plain=None` lets the values
        choose.

        Where normal rows do not vary at all, the spread is what rounding may do, so that any real
        deviation is large."""
        [scale] = scales_of(values[:, None], normals, plain=plain)
        return scale


def scales_of(
    values: NDArray[np.float64], normals: NDArray[np.bool_], *, plain: bool | None = None
) -> list[Scale]:
    """`Scale.learn` of many columns at once, bit for bit: (n, k) and (n,) -> k scales."""
    n, k = values.shape
    step = max(CELLS // max(n, 1), 1)
    parts = (np.ascontiguousarray(values[:, start : start + step].T) for start in range(0, k, step))
    return [scale for part in parts for scale in _scales_of(part, normals, plain)]


def _scales_of(
    columns: NDArray[np.float64], normals: NDArray[np.bool_], plain: bool | None
) -> list[Scale]:
    """Scales of columns that lie side by side: (k, n) and (n,) -> k scales; those with equally many
    values at once.
    """
    finite = np.isfinite(columns)
    usable = finite & normals
    none = ~usable.any(axis=1)
    usable[none] = finite[none]
    counts = usable.sum(axis=1)
    found = np.empty((4, len(columns)))  # plain, centre, spread, fill
    for count in np.unique(counts).tolist():
        rows = np.flatnonzero(counts == count)
        if count == 0:
            found[:, rows] = np.array([plain is True, 0.0, 1.0, 0.0])[:, None]
            continue
        typical = columns[rows][usable[rows]].reshape(len(rows), count)
        found[:, rows] = _statistics(typical, np.where(finite[rows], columns[rows], 0.0), plain)
    return [Scale(bool(p), c, s, f) for p, c, s, f in found.T.tolist()]


def _statistics(
    typical: NDArray[np.float64], values: NDArray[np.float64], plain: bool | None
) -> NDArray[np.float64]:
    """Whether to take values as they are, centre, spread and fill: (k, m), and all finite values
    (k, n) -> (4, k).
    """
    logs = signed_log(typical)
    chosen = np.broadcast_to(
        calls_for_plain(typical, logs) if plain is None else plain, len(typical)
    )
    shown = np.where(chosen[:, None], typical, logs)
    centre, spread = shown.mean(axis=1), shown.std(axis=1)
    same = np.flatnonzero(shown.min(axis=1) == shown.max(axis=1))
    centre[same] = shown[same, 0]
    of_size = ROUNDING * np.abs(centre[same])
    spread[same] = np.where(
        of_size > 0, of_size, ROUNDING * signed_log(np.abs(values[same])).max(axis=1, initial=0.0)
    )
    spread = np.maximum(spread, TINY)
    fill = np.clip((np.median(shown, axis=1) - centre) / spread, -CLIP, CLIP)
    return np.stack([chosen, centre, spread, fill])


def signed_log(
    x: NDArray[np.float64], out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """sign(x) log(1 + |x|), of any shape; torch's logarithm is several times faster than
    numpy's.
    """
    logs: NDArray[np.float64] = np.abs(x, out=out)
    torch.from_numpy(logs).log1p_()
    return np.copysign(logs, x, out=logs)


def calls_for_plain(values: NDArray[np.float64], logs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the logarithm clearly distorts finite values, where plain values are all right: (k,
    m) twice -> (k,).

    It tears a symmetric column with a large spread into two heaps; it is what counts and sizes
    need.

    >>> columns = np.stack([1000 * GAUSSIAN, np.exp(3 * GAUSSIAN)])  # a large spread, and sizes
    >>> calls_for_plain(columns, signed_log(columns))
    array([ True, False])
    """
    sample = slice(None, None, -(-values.shape[1] // SAMPLE))
    return np.asarray(_bend(values[:, sample]) + CLEARLY < _bend(logs[:, sample]))


def _bend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean distance of the standardised quantiles from a Gaussian's, infinite for a constant: (k,
    m) -> (k,).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        centred = values - values.mean(axis=1, keepdims=True)
        spread = centred.std(axis=1)
        usable = np.isfinite(spread) & (spread > 0)
        found = np.full(len(values), np.inf)
        found[usable] = np.abs(_quantiles(centred[usable]) / spread[usable, None] - GAUSSIAN).mean(
            axis=1
        )
    return found


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """np.quantile(values, LEVELS, axis=1), bit for bit and several times faster for few rows: (k,
    m) -> (k, 99).
    """
    ordered = np.sort(values, axis=1)
    place = (values.shape[1] - 1) * LEVELS
    below = np.floor(place).astype(np.int64)
    low, high = ordered[:, below], ordered[:, np.minimum(below + 1, values.shape[1] - 1)]
    share, step = place - below, high - low
    return np.where(share >= 0.5, high - step * (1 - share), low + step * share)


def standardise(scales: Sequence[Scale], n: int, fill: Fill) -> NDArray[np.float32]:
    """Raw values, NaN where missing, to deviations in [-10, 10]: (n, d), read through `fill` a
    block at a time.

    What becomes of a value does not depend on its place in a block, so encoding in batches gives
    the same bits."""
    d = len(scales)
    plain = np.array([scale.plain for scale in scales])
    # (d,) each
    centre, spread, median = (
        np.array([getattr(scale, part) for scale in scales]) for part in PARTS
    )
    step = max(CELLS // max(d, 1), 1)
    encoded = np.empty((n, d), dtype=np.float32)
    raw, scratch = np.empty((min(n, step), d)), np.empty((min(n, step), d))
    for start in range(0, n, step):
        block, z = raw[: n - start], scratch[: n - start]
        fill(block, start)
        signed_log(block, out=z)
        if plain.any():
            np.copyto(z, block, where=plain)
        with np.errstate(over="ignore"):  # what is too large is clipped in any case
            z -= centre
            z /= spread
        np.clip(z, -CLIP, CLIP, out=z)
        if np.isnan(z.sum()):
            np.copyto(z, median, where=np.isnan(z))
        encoded[start : start + len(z)] = z
    return encoded
