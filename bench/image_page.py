"""The page that `bench.images` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.tables import markdown

COMMAND, DEFAULT = "python -m bench.images", "image-stack"
PUBLISHED = """\
## ResAD's protocol, for those who own MVTec AD and VisA

The folders are read as published. Train on all of one, images of train and test with their masks, one kind of normal a
category, and move to each category of the other with 4 good images:

```python
import numpy as np
from unseen import Detector, Images, Maps, Patches, ResAD


def product(folder, name):  # MVTec AD's layout: train/good, test/*, ground_truth/*
    return Maps.of(Images.read(folder / name), cache="maps")


detector = Detector(Patches(ResAD()), calibration=0.2, random_state=42).fit(maps, labels, groups=categories)
scores = detector.adapt(product(visa, "candle").take(references)).anomaly_score(product(visa, "candle"))
```

Published, WideResNet-50, 4 references, image / pixel AUROC (Yao et al., NeurIPS 2024, table 1), trained on the other:

| | MVTec AD | VisA | BTAD | MVTec 3D |
|---|---|---|---|---|
| ResAD | 90.5 / 95.7 | 86.2 / 97.4 | 95.6 / 97.6 | 70.9 / 97.3 |
| PatchCore on the references | 80.6 / 90.2 | 71.7 / 87.1 | 84.0 / 89.4 | 61.5 / 87.1 |

Neither set is here, so we have not run it."""


def written(records: Sequence[dict[str, Any]]) -> str:
    """All tables: means over draws ± their standard deviation."""
    runs = pd.DataFrame(records)
    parts = {part: runs[runs["part"] == part] for part in ("open", "one", "move", "hidden", "speed")}
    return (
        "\n\n".join(
            [
                "# Images",
                f"```sh\n{COMMAND}\n```",
                f"EfficientNet-Lite0 at 224 pixels. Mean over draws ± sd. {runs['machine'].iloc[-1]}; to "
                f"{runs['date'].max()[:10]}. Seconds are those of a busy machine.",
                *opened(shared(parts["open"])),
                *single(shared(parts["one"])),
                *moved(parts["move"]),
                *hid(parts["hidden"]),
                *fast(parts["speed"]),
                PUBLISHED,
            ]
        )
        + "\n"
    )


def shared(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of the draws that all methods have: means of different draws cannot be compared."""
    each = runs.groupby("draw")["method"].nunique()
    return runs[runs["draw"].isin(each.index[each == runs["method"].nunique()])]


def opened(runs: pd.DataFrame) -> list[str]:
    if runs.empty:
        return []
    names = {
        "unseen_auroc": "unseen AUROC",
        "seen_auroc": "seen AUROC",
        "unseen_worst": "worst unseen class",
        "unseen_tpr_at_5_fpr": "unseen TPR at 5% FPR",
        "unseen_pixel_auroc": "unseen pixel AUROC",
        "unseen_pixel_ap": "pixel AP",
        "unseen_pro": "PRO",
        "flagged": "good flagged at .05",
        "fit_seconds": "fit, s",
    }
    return [
        "## Magnetic tiles: two classes seen, three unseen",
        f"Draws: {runs['draw'].nunique()}, each another pair of seen classes. `patchcore` is the baseline: nearest "
        "neighbours of patches, from a coreset. Pixel figures are of images with unseen defects, and of every fourth "
        "good one.",
        over_draws(runs, ["method"], names, by="unseen_auroc"),
        beside(runs, "unseen_auroc", "unseen classes"),
    ]


def single(runs: pd.DataFrame) -> list[str]:
    if runs.empty:
        return []
    names = {"unseen_auroc": "unseen AUROC", "seen_auroc": "AUROC on its class"}
    return [
        "## Magnetic tiles: one labelled image in all",
        f"Draws: {runs['draw'].nunique()}. Only the default uses the label.",
        over_draws(runs, ["method"], names, by="unseen_auroc"),
        beside(runs, "unseen_auroc", "unseen classes"),
    ]


def moved(runs: pd.DataFrame) -> list[str]:
    if runs.empty:
        return []
    blocks = [
        "## A product never trained on",
        f"AUROC. Draws of reference images: {runs['draw'].nunique()}, the same for all. `alone` knows no other image.",
    ]
    mean = runs.groupby(["method", "count", "draw"])["unseen_auroc"].agg(["mean", "size"]).reset_index()
    mean = mean[mean["size"] == runs["set"].nunique()].rename(columns={"mean": "unseen_auroc"})
    every = pd.concat([runs.assign(set="to " + runs["set"]), mean.assign(set="mean")])
    cells = every.groupby(["method", "set", "count"])["unseen_auroc"].agg(plain).unstack(["set", "count"])
    for target in ["mean", *sorted({"to " + name for name in runs["set"]})]:
        if target in cells.columns.get_level_values(0):
            table = cells[target]
            table.columns = [f"{count} images" for count in table.columns]
            first = table.iloc[:, -1].str[:5].astype(float)
            blocks += [
                f"### {target[0].upper()}{target[1:]}",
                markdown(table.loc[first.sort_values(ascending=False).index], "method"),
            ]
    return blocks


def hid(runs: pd.DataFrame) -> list[str]:
    if runs.empty:
        return []
    table = (
        runs.groupby(["method", "count"])[["unseen_auroc", "unseen_pixel_auroc", "precision"]]
        .agg(plain)
        .unstack("count")
    )
    heads = {"unseen_auroc": "AUROC", "unseen_pixel_auroc": "pixel AUROC", "precision": "audit's precision"}
    table.columns = [f"{heads[str(name)]}, {count}% hidden" for name, count in table.columns]
    return [
        "## Defective images among the good ones",
        "Precision: of the audit's first k images, k the number hidden, the share that is defective.",
        markdown(table, "method"),
    ]


def fast(runs: pd.DataFrame) -> list[str]:
    if runs.empty:
        return []
    targets = {"lite0": "15 images/s", "image-stack": "100 images/s, 180 s"}
    table = runs.set_index("method")[["fit_seconds", "images_per_second"]].map(lambda v: "-" if v != v else f"{v:.1f}")
    table.columns = ["fit on 496 images, s", "images/s"]
    return ["## Speed", markdown(table.assign(target=[targets[name] for name in table.index]), "method")]


def over_draws(runs: pd.DataFrame, by_: list[str], names: dict[str, str], *, by: str) -> str:
    order = runs.groupby(by_)[by].mean().sort_values(ascending=False).index
    table = runs.groupby(by_)[list(names)].agg(plain).loc[order].rename(columns=names)
    return markdown(table, "method")


def beside(runs: pd.DataFrame, figure: str, words: str) -> str:
    """In words, how far the default is above each of the others on the draws of both."""
    table = runs.pivot_table(index="draw", columns="method", values=figure)
    if DEFAULT not in table:
        return ""
    gaps = table.drop(columns=DEFAULT).rsub(table[DEFAULT], axis=0)
    said = [
        f"`{name}` {each.mean():+.3f}"
        + (f" ± {each.std() / len(each) ** 0.5:.3f}" if len(each) > 1 else "")
        + f" ({(each > 0).sum()} of {len(each)})"
        for name, each in ((name, gaps[name].dropna()) for name in gaps)
        if len(each)
    ]
    return (
        f"AUROC on {words}, how far `{DEFAULT}` is above others, ± standard error (draws in which it is): "
        + ", ".join(said)
        + "."
    )


def plain(values: pd.Series) -> str:
    """Mean ± standard deviation over draws."""
    known = values.dropna()
    if known.empty:
        return "-"
    digits = 1 if known.mean() > 1.5 else 3
    sd = f" ± {np.std(known, ddof=1):.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{sd}"
