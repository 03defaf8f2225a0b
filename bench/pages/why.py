"""The page of `bench.studies.why`: each method beside its baseline, and why some lie below."""

import dataclasses
from pathlib import Path

import pandas as pd

from bench.pages.results import CELL, blocks, load, of_cell, over_seeds, over_sets
from bench.pages.text import FOLDER, fill, gain, number, sections, table
from bench.runs.open_set import HEADLINE
from bench.runs.store import Record
from unseen.evaluation.choices import LEAST
from unseen.methods import METHODS

DOMAINS = ("fecam", "dcc", "duq", "csad", "resad", "resad-pp")  # labels or not, they know domains
FIGURE = "unseen_auroc"
HEADS = ["baseline", "unseen, beside baseline"]
ALONG = {  # where an anomaly lies -> its thirds, lowest values first
    "direction": ("direction least like a label's", "middle", "most like"),
    "distance": ("nearest to the normals", "middle", "farthest"),
    "column": ("least extreme in a column", "middle", "most extreme"),
}


def baseline(name: str) -> str:
    """What a method has to beat: the one that it wraps, or the simplest one of its kind."""
    method = METHODS[name]
    values = [getattr(method, field.name) for field in dataclasses.fields(method)]
    wrapped = [value for value in values if dataclasses.is_dataclass(value)]
    if wrapped:
        return next(n for n, known in METHODS.items() if type(known) is type(wrapped[0]))
    return "nearest-ratio" if method.uses_labels and name not in DOMAINS else "mahalanobis"


def gaps(runs: pd.DataFrame, name: str) -> pd.Series:
    """How far a method is above its baseline on unseen classes, draw by draw."""
    draws = blocks(runs, FIGURE, ["set", "seed"], whole=False)
    both = draws.reindex(columns=[name, baseline(name)]).dropna()
    return both.iloc[:, 0] - both.iloc[:, 1]


def by_set(gap: pd.Series) -> pd.Series:
    """Means over seeds, furthest behind first."""
    return gap.groupby(level="set", sort=False).mean().sort_values(kind="stable")


def below(runs: pd.DataFrame) -> list[str]:
    """The methods that lie below their baseline on unseen classes."""
    means = {name: by_set(gaps(runs, name)).mean() for name in METHODS if name != baseline(name)}
    return [name for name, mean in means.items() if round(mean, 3) < 0]


def why(results: Path, out: Path) -> str:
    runs = of_cell(load(results, CELL), HEADLINE)
    file = results.with_name("why.parquet")
    found = load(file, []) if file.exists() else pd.DataFrame(columns=["method", "error"])
    words, parts = causes(), []
    for name in below(runs):
        mine = found[(found["method"] == name) & found["error"].isna()]
        parts += [f"## {name}", words.get(name, ("", ""))[1], by_thirds(mine.to_dict("records"))]
    return fill(
        "why",
        seeds=runs["seed"].nunique(),
        methods=overview(runs),
        least=LEAST,
        below=sections(*parts),
    )


def causes() -> dict[str, tuple[str, str]]:
    """Why methods lie below, by name: what each is with the cause removed, and words."""
    parts = (FOLDER / "why_causes.md").read_text().split("\n## ")[1:]
    heads = [part.strip().split("\n\n", 1) for part in parts]
    return {h.partition(": ")[0]: (h.partition(": ")[2], words) for h, words in heads}


def overview(runs: pd.DataFrame) -> str:
    """A row for each method, best on unseen classes first."""
    means = over_sets(over_seeds(runs, FIGURE))
    rows = {}
    for name in means[means.index.isin(METHODS)].sort_values(ascending=False).index:
        beside = "" if name == baseline(name) else gain(gaps(runs, name))
        rows[name] = [f"`{baseline(name)}`", beside]
    return table(rows, "method", HEADS)


def by_thirds(records: list[Record]) -> str:
    """Where the anomalies lie that each scorer finds."""
    if not records:
        return ""
    labels = METHODS[records[0]["baseline"]].uses_labels
    along = ["direction" if labels else "column", "distance"]
    rows: dict[str, list[str]] = {}
    for record in records:
        for one in record["scorers"]:
            thirds = [f"{value:.2f}" for name in along for value in one[f"{name}_thirds"]]
            cells = [number(one["auroc"]), *thirds, f"{one['blind']:.0%}"]
            rows[f"{record['set']}: `{one['scorer']}`"] = cells
    thirds = [third for name in along for third in ALONG[name]]
    return table(rows, "", ["AUROC", *thirds, "blind"])
