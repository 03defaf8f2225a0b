"""Which columns of new rows are distributed otherwise than in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, false_discovery_control, ks_2samp

MATTERS = 0.1  # share of the rows that must have moved, at least, to call it more than small
TOLD = 0.02  # and to tell of it at all: setting aside rows far out moves less
RARE = 5  # rows that a level is expected in, below which it is pooled with others that are rare
OTHER = "other levels"


@dataclass(frozen=True)
class Shift:
    """How one column differs from training.

    Parameters
    ----------
    column : str
        Its name.
    what : {"number", "level", "gaps"}
        What differs: the values of numbers (of a text its length), the levels of a category or of
        yes and no, or how often a value is missing.
    effect : float
        Share of the rows that have moved at least: the largest difference between distribution
        functions (numbers), or the total variation distance (levels, gaps).
    pvalue : float
        Of Kolmogorov and Smirnov's test (numbers) or the G test (levels, gaps), adjusted for the
        number of tests (Benjamini & Hochberg 1995).
    before, after : float
        Medians, where those moved; else the shares of rows that `where` names.
    where : str
        "median", a level, "missing", or a bound such as "above 3".
    """

    column: str
    what: Literal["number", "level", "gaps"]
    effect: float
    pvalue: float
    before: float
    after: float
    where: str

    @property
    def matters(self) -> bool:
        """Whether at least a tenth of the rows moved."""
        return self.effect >= MATTERS

    def in_words(self) -> str:
        """The shift as a clause, such as "'bytes' moved: median 120 -> 340"."""
        if self.where == "median":
            return f"{self.column!r} moved: median {self.before:.6g} -> {self.after:.6g}"
        share = f"{percent(self.before)} -> {percent(self.after)} of rows"
        where = self.where if self.what == "number" else f"is {self.where!r}"
        where = "is missing" if self.what == "gaps" else where
        return f"{self.column!r} {where}: {share}"


def column_shifts(
    before: Mapping[str, NDArray[Any]],
    after: Mapping[str, NDArray[Any]],
    level: float,
    rest: Callable[[], None] = lambda: None,
) -> tuple[Shift, ...]:
    """The columns that differ between two samples, given as `readings` gives them, largest effect
    first; at most a share `level` of them by chance (Benjamini-Hochberg over all tests). `rest` is
    called after each column.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2, 500))
    >>> found = column_shifts({"a": x[0], "b": x[1]}, {"a": x[0] + 2, "b": x[1] + 0.01}, 0.01)
    >>> [shift.column for shift in found]
    ['a']
    """
    every = list[Shift]()
    for name in before:
        every += filter(None, _tested(name, before[name], after[name]))
        rest()
    if not every:
        return ()
    adjusted = false_discovery_control([shift.pvalue for shift in every])
    found = [
        Shift(**(vars(shift) | {"pvalue": float(p)}))
        for shift, p in zip(every, adjusted, strict=True)
        if p <= level and shift.effect >= TOLD
    ]
    return tuple(sorted(found, key=lambda shift: -shift.effect))


def _tested(name: str, a: NDArray[Any], b: NDArray[Any]) -> list[Shift | None]:
    """Tests of one column: of its gaps, and of its values."""
    numeric = a.dtype.kind == "f"
    gaps = [np.isnan(x) if numeric else np.array([v is None for v in x], bool) for x in (a, b)]
    shares = [float(gap.mean()) for gap in gaps]
    table = np.array([[gap.sum(), (~gap).sum()] for gap in gaps])
    effect, pvalue = abs(shares[0] - shares[1]), _g_test(table)
    missing = Shift(name, "gaps", effect, pvalue, shares[0], shares[1], "missing")
    found: list[Shift | None] = [missing]
    kept = [x[~gap] for x, gap in zip((a, b), gaps, strict=True)]
    if not len(kept[0]) or not len(kept[1]):
        return found
    return [*found, _numbers_shift(name, *kept) if numeric else _levels_shift(name, *kept)]


def _numbers_shift(name: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> Shift:
    """Kolmogorov-Smirnov: with ties its p-value is too large, never too small."""
    result = ks_2samp(a, b, method="asymp")
    middle, moved = float(np.median(a)), float(np.median(b))
    finite = a[np.isfinite(a)]
    low, high = np.quantile(finite, [0.1, 0.9]) if len(finite) else (0.0, 0.0)
    at, effect = float(result.statistic_location), float(result.statistic)
    p = float(result.pvalue)
    if abs(moved - middle) > 0.1 * max(high - low, 1e-12):
        return Shift(name, "number", effect, p, middle, moved, "median")
    shares = float((a > at).mean()), float((b > at).mean())
    return Shift(name, "number", effect, p, shares[0], shares[1], f"above {at:.6g}")


def _levels_shift(name: str, a: NDArray[Any], b: NDArray[Any]) -> Shift | None:
    """G test of levels by sample, those pooled that are rare."""
    counts = [Counter(x.tolist()) for x in (a, b)]
    smaller = min(len(a), len(b)) / (len(a) + len(b))
    common = [each for each, n in sum(counts, Counter[str]()).most_common() if n * smaller >= RARE]
    if not common:
        return None
    table = np.array([[each[level] for level in common] for each in counts])
    rest = np.array([len(a), len(b)]) - table.sum(axis=1)
    table = np.column_stack([table, rest]) if rest.any() else table
    shares = table / table.sum(axis=1, keepdims=True)
    moved = int(np.abs(shares[1] - shares[0]).argmax())
    return Shift(
        name,
        "level",
        float(np.abs(shares[1] - shares[0]).sum() / 2),
        _g_test(table),
        float(shares[0, moved]),
        float(shares[1, moved]),
        [*common, OTHER][moved],
    )


def _g_test(table: NDArray[np.int64]) -> float:
    """p-value of the likelihood-ratio test of counts (2, k); 1 where nothing can differ."""
    told = table[:, table.sum(axis=0) > 0]
    if told.shape[1] < 2:
        return 1.0
    return float(chi2_contingency(told, lambda_="log-likelihood").pvalue)


def percent(share: float) -> str:
    """A share as it is said.

    >>> percent(0.0402), percent(0.113), percent(0.998), percent(0.00004)
    ('4%', '11%', '99.8%', '0.004%')
    """
    if share > 0.99:
        return f"{100 * share:.4g}%"
    return f"{100 * share:.2g}%"
