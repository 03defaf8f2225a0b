"""The page of `bench.studies.contamination`."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bench.pages.results import DEFAULT, failures, load, provenance
from bench.pages.text import fill, gain, sections, spread, table
from bench.runs.entrants import OURS
from unseen.evaluation.choices import LEAST

VARIANTS = ("plain", "trimmed", "soft", "soft + meta")
AUDITED = ("plain", "soft", "soft + meta")
AUDIT_RATE = 0.1  # at which a tenth of the rows is as many as there are hidden ones
Cell = Callable[[pd.DataFrame, str], str]


def contamination(results: Path, out: Path) -> str:
    runs = load(results, ["rate"])
    good = runs[runs["error"].isna()]
    seeds = good.groupby(["set", "method"])["seed"].nunique()
    parts = []
    for method, part in good[good["method"] != DEFAULT].groupby("method", sort=False):
        parts += [f"## `{method}`", "AUROC, mean over sets ± standard deviation over seeds:"]
        parts += [by_rate(part, means)]
        parts += ["Beside plain: mean over draws ± its standard error, and the draws above 0:"]
        parts += [by_rate(part, differences)]
    return fill(
        "contamination",
        sets=", ".join(good["set"].unique()),
        rates=", ".join(f"{rate:.0%}" for rate in sorted(good["rate"].unique())),
        seeds=" to ".join(dict.fromkeys([str(seeds.min()), str(seeds.max())])),
        least=LEAST,
        provenance=provenance(good, OURS),
        figures=sections(*parts),
        audits=audits(good[good["rate"] == AUDIT_RATE]),
        failed=failures(results, ["set", "rate", "seed"]),
    )


def by_rate(runs: pd.DataFrame, cell: Cell) -> str:
    """A row for each variant, a column for each rate."""
    rates = {f"{rate:.0%}": part for rate, part in runs.groupby("rate")}
    shown = VARIANTS if cell is means else VARIANTS[1:]
    rows = {variant: [cell(part, variant) for part in rates.values()] for variant in shown}
    return table(rows, "variant", list(rates))


def means(part: pd.DataFrame, variant: str) -> str:
    return spread(part.groupby("seed")[variant].mean())


def differences(part: pd.DataFrame, variant: str) -> str:
    return gain(part[variant] - part["plain"])


def audits(runs: pd.DataFrame) -> str:
    """Which share of the hidden rows the lowest-weighted tenth holds."""
    rows = {
        f"`{method}`, {name}": [spread(part[f"audit: {variant}"], 2) for variant in AUDITED]
        for (method, name), part in runs.groupby(["method", "set"], sort=False)
    }
    return table(rows, "method, set", AUDITED) if rows else ""
