"""The page of `bench.studies.images`."""

from pathlib import Path

import pandas as pd

from bench.pages.text import fill, gain, markdown, spread

DEFAULT = "image-stack"
OPEN = ["unseen_auroc", "seen_auroc", "unseen_worst", "unseen_tpr_at_5_fpr", "unseen_pixel_auroc"]
OPEN += ["unseen_pixel_ap", "unseen_pro", "flagged", "fit_seconds"]
ONE = ["unseen_auroc", "seen_auroc"]
HIDDEN = ["unseen_auroc", "unseen_pixel_auroc", "precision"]
SPEED = ["fit_seconds", "images_per_second"]


def images(results: Path, out: Path) -> str:
    """All tables: means over draws ± their standard deviation."""
    runs = pd.read_parquet(results)
    good = runs[runs["error"].isna()]
    part = {name: good[good["part"] == name] for name in ("open", "one", "move", "hidden", "speed")}
    opened, single = shared(part["open"]), shared(part["one"])
    speed = part["speed"].set_index("method")[SPEED].rename(columns=heading)
    return fill(
        "images",
        machine=runs["machine"].iloc[-1],
        date=runs["date"].max()[:10],
        open_draws=opened["draw"].nunique(),
        open=by_method(opened, OPEN),
        open_gaps=gaps(opened),
        one_draws=single["draw"].nunique(),
        one=by_method(single, ONE),
        one_gaps=gaps(single),
        move_draws=part["move"]["draw"].nunique(),
        moved=moved(part["move"]) if len(part["move"]) else "",
        hidden=by_count(part["hidden"], HIDDEN),
        speed=markdown(speed.map(lambda v: "-" if v != v else f"{v:.1f}"), "method"),
    )


def shared(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of the draws that all methods have: means of different draws cannot be compared."""
    each = runs.groupby("draw")["method"].nunique()
    return runs[runs["draw"].isin(each.index[each == runs["method"].nunique()])]


def by_method(runs: pd.DataFrame, figures: list[str]) -> str:
    """A row for each method, best on unseen classes first."""
    groups = runs.groupby("method")
    order = groups["unseen_auroc"].mean().sort_values(ascending=False).index
    cells = groups[figures].agg(lambda values: spread(values, 1 if values.mean() > 1.5 else 3))
    return markdown(cells.loc[order].rename(columns=heading), "method")


def heading(figure: str) -> str:
    """`unseen AUROC` for `unseen_auroc`."""
    short = ("auroc", "ap", "pro", "tpr", "fpr")
    return " ".join(word.upper() if word in short else word for word in figure.split("_"))


def gaps(runs: pd.DataFrame) -> str:
    """How far the default is above each of the others on the draws of both."""
    table = runs.pivot_table(index="draw", columns="method", values="unseen_auroc")
    if DEFAULT not in table:
        return ""
    above = table.drop(columns=DEFAULT).rsub(table[DEFAULT], axis=0)
    return ", ".join(f"`{name}` {gain(above[name])}" for name in above) + "."


def moved(runs: pd.DataFrame) -> str:
    """A table of the means over targets, then one for each target."""
    each = runs.groupby(["method", "count", "draw"])["unseen_auroc"].agg(["mean", "size"])
    whole = each.loc[each["size"] == runs["set"].nunique(), "mean"].rename("unseen_auroc")
    parts = {"Mean": whole.reset_index()}
    parts |= {f"To {name}": part for name, part in runs.groupby("set")}
    blocks = []
    for title, part in parts.items():
        means = part.pivot_table(index="method", columns="count", values="unseen_auroc")
        order = means.iloc[:, -1].sort_values(ascending=False).index
        cells = part.groupby(["method", "count"])["unseen_auroc"].agg(spread).unstack("count")
        cells.columns = [f"{count} images" for count in cells.columns]
        blocks += [f"### {title}", markdown(cells.loc[order], "method")]
    return "\n\n".join(blocks)


def by_count(runs: pd.DataFrame, figures: list[str]) -> str:
    cells = runs.groupby(["method", "count"])[figures].agg(spread).unstack("count")
    cells.columns = [f"{heading(name)}, {count}% hidden" for name, count in cells.columns]
    return markdown(cells, "method")
