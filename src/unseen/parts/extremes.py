"""Distributions of what is extreme: generalised Pareto for excesses over a high value, Weibull for
distances.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]


def pareto(excess: Array) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution, P(X > x) = (1 + shape x / scale)^(-1 /
    shape): (k,).

    By probability-weighted moments a_s = E[X (1 - F(X))^s] (Hosking & Wallis 1987): shape = 2 - a_0
    / (a_0 - 2 a_1), scale = (1 - shape) a_0. In closed form, and steadier than maximum likelihood
    for few rows. Shapes are below 1.

    >>> p = (np.arange(10_000) + 0.5) / 10_000
    >>> # quantiles for shape 0.3 and scale 2
    >>> shape, scale = pareto(2 / 0.3 * ((1 - p) ** -0.3 - 1))
    >>> round(shape, 2), round(scale, 2)
    (0.3, 2.0)
    """
    ordered, k = np.sort(excess), len(excess)
    upper = 1 - (np.arange(k) + 0.65) / k  # 1 - F at the plotting positions
    a0, a1 = float(ordered.mean()), float((upper * ordered).mean())
    gap = a0 - 2 * a1
    shape = min(2 - a0 / gap, 0.99) if gap > 1e-12 * a0 else 0.0
    return shape, (1 - shape) * a0


def weibull(distance: Array) -> tuple[float, float]:
    """Shape and scale of a Weibull distribution, P(X > x) = exp(-(x / scale)^shape), by maximum
    likelihood: (k,).

    The shape solves sum x^a log x / sum x^a - 1/a = mean log x; then scale^a = mean x^a. Values
    that (nearly) agree would have an infinite shape: it ends at 100.

    >>> # quantiles for shape 1.5 and scale 2
    >>> x = 2 * (-np.log(1 - (np.arange(10_000) + 0.5) / 10_000)) ** (1 / 1.5)
    >>> shape, scale = weibull(x)
    >>> round(shape, 2), round(scale, 2)
    (1.5, 2.0)
    """
    largest = max(float(distance.max()), 1e-12)
    x = np.maximum(distance, 1e-12) / largest
    logs = np.log(x)

    def slope(a: float) -> float:
        weight = x**a
        return float((weight * logs).sum() / weight.sum() - 1 / a - logs.mean())

    low, high = 1e-2, 100.0
    shape = high if slope(high) < 0 else low if slope(low) > 0 else float(brentq(slope, low, high))
    return shape, largest * float((x**shape).mean()) ** (1 / shape)
