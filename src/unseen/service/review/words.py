"""What figures mean, in words."""

from __future__ import annotations

from datetime import datetime


def chance_in_words(pvalue: float) -> str:
    """How often a normal row scores as high.

    >>> chance_in_words(0.0017)
    '1 in 590 normal rows scores as high'
    >>> chance_in_words(0.4)
    '40 in 100 normal rows score as high'
    """
    if pvalue >= 0.995:
        return "any normal row scores as high"
    if pvalue >= 0.05:
        return f"{100 * pvalue:.0f} in 100 normal rows score as high"
    one = 1 / max(pvalue, 1e-12)
    return f"1 in {float(f'{one:.2g}'):,.0f} normal rows scores as high"


def in_utc(at: datetime) -> str:
    """A time as a reader takes it in.

    >>> from datetime import UTC
    >>> in_utc(datetime(2026, 11, 29, 16, 40, tzinfo=UTC))
    '2026-11-29 16:40 UTC'
    """
    return f"{at:%Y-%m-%d %H:%M} UTC"
