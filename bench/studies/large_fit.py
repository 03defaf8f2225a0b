"""`unseen fit` on more rows than memory holds, beside fits on a million rows drawn otherwise.

python -m bench large_fit --scratch DIR --do make    # 5 GB of Parquet in DIR, or --rows
python -m bench large_fit --scratch DIR --do fit --seed 0     # and 1, 2: some minutes each
python -m bench large_fit --scratch DIR --do page    # docs/benchmarks/large-fit.md

Two data sets. "one": normal rows of eight operating modes with heavy tails, three labelled kinds of
anomaly and a fourth that only the test rows have. "sites": the same of 40 sites, of which the
largest has a quarter of the rows and the smallest a few dozen, each with its own level and scale.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from bench.pages.text import fill, markdown, spread
from bench.runs.command import FOLDER, options
from bench.runs.machine import CLI, machine, measured, now, versions
from bench.runs.open_set import auroc

COLUMNS, MODES, SITES, MILLION = 12, 8, 40, 1_000_000
KINDS = {"a": 2e-3, "b": 5e-4, "c": 1e-4}  # share of the rows
SETS = ("one", "sites")
FIGURES = ("every kind", "seen", "unseen", "rare sites")
UNIFORM, SAME = "a uniform million", "a million and as many labels"
LABELS = 10_000  # of a kind, that `fit` keeps
RARE = 20  # the sites with fewest rows
Array = NDArray[np.float64]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for data and results")
    parser.add_argument("--do", choices=("make", "fit", "page"), required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the draw, of the million, of fit")
    parser.add_argument("--out", type=Path, default=FOLDER / "large-fit.md")
    chosen = parser.parse_args()
    for name in chosen.sets:
        if chosen.do == "make":
            make(name, chosen.scratch / name, chosen.rows, chosen.files)
        if chosen.do == "fit":
            compare(name, chosen.scratch / name, chosen.seed)
    if chosen.do == "page":
        chosen.out.write_text(page(chosen.scratch))


def make(name: str, folder: Path, rows: int, files: int) -> None:
    """The data set, test rows, and three uniform samples of a million rows."""
    (folder / "rows").mkdir(parents=True)
    share, samples = min(1.0, MILLION / rows), [list[pa.Table]() for _ in range(3)]
    world = World(name, np.random.default_rng(7))
    for k in range(files):
        rng = np.random.default_rng((8, k))
        table = world.table(rows // files, rng)
        parquet.write_table(
            table,
            folder / "rows" / f"part-{k:03d}.parquet",
            row_group_size=100_000,
            compression="none",
            use_dictionary=["kind", "site"],
        )
        for seed, sample in enumerate(samples):
            pick = np.random.default_rng((9, k, seed))
            here = pick.choice(len(table), round(share * len(table)), replace=False)
            sample.append(table.take(np.sort(here)))
    for seed, sample in enumerate(samples):
        parquet.write_table(pa.concat_tables(sample), folder / f"uniform-{seed}.parquet")
    test = world.table(min(rows, 200_000), np.random.default_rng(10), test=True)
    parquet.write_table(test, folder / "test.parquet")


class World:
    """Where rows come from."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.centres = rng.normal(0.0, 2.0, (MODES, COLUMNS))
        self.mixing = rng.normal(size=(MODES, COLUMNS, COLUMNS)) / np.sqrt(COLUMNS)
        self.away = {kind: rng.normal(size=COLUMNS) for kind in (*KINDS, "unseen")}
        self.several = name == "sites"
        self.level = rng.normal(0.0, 1.0, (SITES, COLUMNS))
        self.scale = rng.uniform(0.7, 1.4, SITES)
        share = 0.75 ** np.arange(SITES)
        self.share = share / share.sum()

    def table(self, n: int, rng: np.random.Generator, *, test: bool = False) -> pa.Table:
        """Rows; to test on, half of them anomalies, of each kind and of an unseen one as many, and
        as many of each site.
        """
        shares = dict.fromkeys(self.away, 0.125) if test else KINDS
        names = np.array(["normal", *shares])
        kind = rng.choice(len(names), n, p=[1 - sum(shares.values()), *shares.values()])
        mode = rng.integers(0, MODES, n)
        x = rng.standard_normal((n, COLUMNS))
        for k in range(MODES):
            here = mode == k
            x[here] = self.centres[k] + x[here] @ self.mixing[k]
        x *= rng.gamma(8.0, 1 / 8.0, (n, 1)) ** -0.5
        for code, each in enumerate(names[1:], start=1):
            here = kind == code
            x[here] += self.away[each] * rng.uniform(0.3, 2.0, (here.sum(), 1))
        columns: dict[str, Any] = {}
        if self.several:
            site = rng.choice(SITES, n, p=None if test else self.share)
            x = x * self.scale[site, None] + self.level[site]
            columns["site"] = pa.array(np.array([f"site {k:02d}" for k in range(SITES)])[site])
        columns |= {f"x{j:02d}": x[:, j] for j in range(COLUMNS)}
        return pa.table(columns | {"kind": names[kind]})


def compare(name: str, folder: Path, seed: int) -> None:
    """Fit on all rows and on a uniform million, and test both; what is done is not done again."""
    done = {(run["set"], run["data"], run["seed"]) for run in runs(folder.parent)}
    several = {"rows": "all", f"uniform-{seed}.parquet": UNIFORM, f"same-{seed}.parquet": SAME}
    for data, called in several.items():
        if (name, called, seed) in done or (called == SAME and name != "one"):
            continue
        if called == SAME:
            with_labels(folder, seed)
        model, scores = folder / f"m-{seed}-{data}", folder / "scores.parquet"
        group = ["--group", "site"] if name == "sites" else []
        words = ["--label", "kind", *group, "--seed", str(seed), "--out", str(model)]
        shutil.rmtree(model, ignore_errors=True)
        _, seconds, peak = measured([*CLI, "fit", str(folder / data), *words])
        scores.unlink(missing_ok=True)
        keep = ["--keep", "kind", *(["site"] if group else [])]
        test = str(folder / "test.parquet")
        measured([*CLI, "score", str(model), test, "--out", str(scores), *keep])
        facts = json.loads((model / "bundle.json").read_text())["facts"]
        files = sorted(folder.glob("rows/*")) if data == "rows" else [folder / data]
        found = {
            "set": name,
            "data": called,
            "seed": seed,
            "rows": facts.get("drawn", facts)["rows"],
            "gigabytes": sum(file.stat().st_size for file in files) / 1e9,
            "normals": facts["normals"],
            "anomalies": sum(facts["anomalies"].values()),
            "seconds": seconds,
            "fit_seconds": facts["fit_seconds"],
            "peak": peak,
            **figures(parquet.read_table(scores)),
        }
        with (folder.parent / "results.jsonl").open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(found, flush=True)


def with_labels(folder: Path, seed: int) -> None:
    """The normal rows of a uniform million, and as many labelled anomalies as a fit on all rows
    has, drawn by other random numbers.
    """
    uniform = parquet.read_table(folder / f"uniform-{seed}.parquet")
    parts = [uniform.filter(pc.field("kind") == "normal")]
    chosen = [("kind", "!=", "normal")]
    labelled = [parquet.read_table(file, filters=chosen) for file in sorted(folder.glob("rows/*"))]
    rows, rng = pa.concat_tables(labelled), np.random.default_rng((11, seed))
    kinds = np.array(rows["kind"].to_pylist())
    for kind in KINDS:
        here = rng.permutation(np.flatnonzero(kinds == kind))[:LABELS]
        parts.append(rows.take(np.sort(here)))
    parquet.write_table(pa.concat_tables(parts), folder / f"same-{seed}.parquet")


def figures(scored: pa.Table) -> dict[str, float]:
    """AUROC of all kinds, of those seen, of the unseen one, and at the sites with fewest rows.

    >>> figures(pa.table({"kind": ["normal", "a", "unseen"], "score": [0.5, 1.0, 0.0]}))
    {'every kind': 0.5, 'seen': 1.0, 'unseen': 0.0}
    """
    kind, score = np.array(scored["kind"].to_pylist()), scored["score"].to_numpy()
    normal, seen = kind == "normal", np.isin(kind, [*KINDS])
    found = {
        "every kind": auroc(score[normal], score[~normal]),
        "seen": auroc(score[normal], score[seen]),
        "unseen": auroc(score[normal], score[kind == "unseen"]),
    }
    if "site" in scored.column_names:
        site = np.array(scored["site"].to_pylist())
        rare = site >= f"site {SITES - RARE:02d}"
        found["rare sites"] = auroc(score[rare & normal], score[rare & ~normal])
    return {name: float(value) for name, value in found.items()}


def runs(scratch: Path) -> Iterator[dict[str, Any]]:
    """What was measured."""
    file = scratch / "results.jsonl"
    yield from map(json.loads, file.read_text().splitlines() if file.exists() else [])


def page(scratch: Path) -> str:
    """The page, from the results in a folder."""
    import pandas as pd

    order = {name: k for k, name in enumerate((*SETS, "all", SAME, UNIFORM))}
    every = pd.DataFrame(
        sorted(runs(scratch), key=lambda run: (order[run["set"]], order[run["data"]], run["seed"]))
    )
    costs, quality, gaps = {}, {}, {}
    for (name, data), part in every.groupby(["set", "data"], sort=False):
        first, label = part.iloc[0], f"{name}, {data}"
        reading = part["seconds"] - part["fit_seconds"]
        costs[label] = {
            "rows": f"{first['rows']:,}",
            "GB": f"{first['gigabytes']:.2f}",
            "normal rows kept": f"{first['normals']:,}",
            "labelled": f"{first['anomalies']:,}",
            "seconds": spread(part["seconds"], 0),
            "of which training": spread(part["fit_seconds"], 0),
            "rows read a second": f"{(part['rows'] / reading).mean():,.0f}",
            "peak MB": spread(part["peak"], 0),
        }
        names = [each for each in FIGURES if each in part and part[each].notna().any()]
        quality[label] = {each: spread(part[each], 4) for each in names}
    for name, part in every.groupby("set", sort=False):
        for each in (each for each in FIGURES if each in part):
            both = part.pivot(index="seed", columns="data", values=each)
            for other in (other for other in (SAME, UNIFORM) if other in both):
                gap = (both["all"] - both[other]).dropna()
                if len(gap):
                    gaps[f"{name}, {each}, {other}"] = {
                        "mean": f"{gap.mean():+.4f}",
                        "lowest": f"{gap.min():+.4f}",
                        "highest": f"{gap.max():+.4f}",
                    }
    return fill(
        "large_fit",
        seeds=every["seed"].nunique(),
        machine=f"{machine()}. {now()[:10]}. Versions: {versions()}",
        costs=markdown(pd.DataFrame(costs).T, "data"),
        quality=markdown(pd.DataFrame(quality).T.fillna(""), "data"),
        gaps=markdown(pd.DataFrame(gaps).T, "AUROC of a fit on all less that on"),
        sites=SITES,
        rare=RARE,
        columns=COLUMNS,
    )


if __name__ == "__main__":
    main()
