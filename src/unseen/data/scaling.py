"""Numbers as deviations from the normal: signed logarithm or plain, standardised on normal rows, clipped."""

from __future__ import annotations

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

Fill = Callable[[NDArray[np.float64], int], None]  # fill(block, start) writes the raw rows from `start` on into block


@dataclass(frozen=True)
class Scale:
    """x -> (t(x) - centre) / spread clipped to +-10, t the signed logarithm or, if `plain`, x itself; missing -> fill.

    >>> Scale.learn(np.array([2.0, 4.0, 9.0]), np.array([True, True, False]), plain=True)
    Scale(plain=True, centre=3.0, spread=1.0, fill=0.0)
    """

    plain: bool
    centre: float
    spread: float
    fill: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.centre, self.spread, self.fill]).all() and self.spread > 0):
            raise DataError(f"a scale needs finite numbers and a spread above 0, got {self}")

    @classmethod
    def learn(cls, values: NDArray[np.float64], normals: NDArray[np.bool_], *, plain: bool | None = None) -> Scale:
        """Learn from the finite values of normal rows, (n,) and (n,); `plain=None` lets the values choose.

        Where normal rows do not vary at all, the spread is what rounding may do, so that any real deviation is large.
        """
        finite = np.isfinite(values)
        typical = values[finite & normals] if (finite & normals).any() else values[finite]
        if len(typical) == 0:
            return cls(plain is True, 0.0, 1.0, 0.0)
        logs = signed_log(typical)
        chosen = calls_for_plain(typical, logs) if plain is None else plain
        shown = typical if chosen else logs
        centre, spread = shown.mean(), shown.std()
        if shown.min() == shown.max():
            centre, spread = shown[0], ROUNDING * abs(shown[0]) or ROUNDING * np.abs(signed_log(values[finite])).max()
        spread = max(spread, TINY)
        fill = np.clip((np.median(shown) - centre) / spread, -CLIP, CLIP)
        return cls(chosen, float(centre), float(spread), float(fill))


def signed_log(x: NDArray[np.float64], out: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """sign(x) log(1 + |x|), of any shape; torch's logarithm is several times faster than numpy's."""
    logs: NDArray[np.float64] = np.abs(x, out=out)
    torch.from_numpy(logs).log1p_()
    return np.copysign(logs, x, out=logs)


def calls_for_plain(values: NDArray[np.float64], logs: NDArray[np.float64]) -> bool:
    """Whether the logarithm clearly distorts these finite values, (n,) and (n,), where plain values are all right.

    It tears a symmetric column with a large spread into two heaps; it is what counts and sizes need.

    >>> spread, sizes = 1000 * GAUSSIAN, np.exp(3 * GAUSSIAN)
    >>> calls_for_plain(spread, signed_log(spread)), calls_for_plain(sizes, signed_log(sizes))
    (True, False)
    """
    some = slice(None, None, -(-len(values) // SAMPLE))
    return bend(values[some]) + CLEARLY < bend(logs[some])


def bend(values: NDArray[np.float64]) -> float:
    """Mean distance of the standardised quantiles of values (n,) from a Gaussian's, infinite for a constant."""
    with np.errstate(over="ignore", invalid="ignore"):
        centred = values - values.mean()
        spread = centred.std()
    if not (np.isfinite(spread) and spread > 0):
        return float("inf")
    return float(np.abs(np.quantile(centred, LEVELS) / spread - GAUSSIAN).mean())


def standardise(scales: Sequence[Scale], n: int, fill: Fill) -> NDArray[np.float32]:
    """Raw values, NaN where missing, to deviations in [-10, 10]: (n, d), read through `fill` a block at a time.

    What becomes of a value does not depend on its place in a block, so encoding in batches gives the same bits.
    """
    d = len(scales)
    plain = np.array([scale.plain for scale in scales])
    centre, spread, median = (np.array([getattr(scale, part) for scale in scales]) for part in PARTS)  # (d,) each
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
