"""Anomalies among the training rows that are taken for normal: what CoMet's weights, and its tasks, save of the AUROC.

1,200 normal rows train, and anomalies of all classes are hidden among them until they make up the rate; a higher rate
hides those of a lower one and more. The test rows are the same at all rates, and no hidden row is among them. Methods
that use labels get 10 labelled rows of each of 3 classes. The sets are the four of the six whose training half can hold
1,200 normal rows and 800 hidden ones; the simulated plant and the digits cannot. All variants of a run start from the
same seed. `trimmed` trains plainly, drops the rows beyond the fence, and trains anew; `soft` are CoMet's weights alone;
`soft + meta` is CoMet as it comes, with Reptile and the penalty by the determinant. The default is there for its audit.

python -m bench.contamination                                      # all of it, an hour or two of one core
python -m bench.contamination --sets shuttle --rates 0 0.1 --seeds 2 --methods devnet
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.entrants import own_version
from bench.results import load
from bench.sets import SETS
from bench.side_by_side import Data, finish, limits, read
from bench.store import Record, Store
from bench.tables import code, failed, markdown, provenance
from unseen.data.schema import Schema
from unseen.data.split import halves, take
from unseen.detector.detector import Detector
from unseen.evaluation.choices import LEAST, Protocol
from unseen.evaluation.draws import Draw, draw_rows
from unseen.methods import METHODS
from unseen.methods.comet import CoMet
from unseen.parts.confidence import Confident, excess, weights
from unseen.parts.nets import seeded
from unseen.parts.ranking import auroc
from unseen.parts.scoring import scores
from unseen.types import Method, Run, Samples, Trainable

RESULTS, PAGE = Path("docs/benchmarks/contamination.parquet"), Path("docs/benchmarks/contamination.md")
CHOSEN = ("nsl_kdd", "unsw_nb15", "shuttle", "thyroid0387")
AROUND = ("autoencoder", "deep-svdd", "devnet", "flow")
RATES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
NORMALS = 1200
VARIANTS = ("plain", "trimmed", "soft", "soft + meta")
AUDITED = ("plain", "soft", "soft + meta")
AUDITOR = "evidence-stack"  # audits, too; weights are none of its business
AUDIT_RATE = 0.1  # at which a tenth of the rows is as many as there are hidden ones
CPU = torch.device("cpu")
KEY = ("set", "seed", "rate", "method", "version")
SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("set", "method", "version", "error")],
        *[(name, pa.int32()) for name in ("seed", "train_rows", "hidden_rows", "labelled_rows", "test_rows")],
        ("rate", pa.float64()),
        *[(variant, pa.float64()) for variant in VARIANTS],
        *[(f"audit: {variant}", pa.float64()) for variant in AUDITED],
        *[(name, pa.float64()) for name in ("fit_seconds", "fit_cpu_seconds", "rows_per_second")],
        *[(name, pa.string()) for name in ("versions", "machine", "date")],
    ]
)


@dataclass(frozen=True)
class Job:
    """One run: all variants of a method on one draw of one data set."""

    set: str
    seed: int
    rate: float
    method: str


def main() -> None:
    """Run all variants on every draw asked for, append the figures to a Parquet file, and write the page of it."""
    options = argparse.ArgumentParser(prog="python -m bench.contamination", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=CHOSEN, default=list(CHOSEN))
    options.add_argument("--methods", nargs="+", choices=[*AROUND, AUDITOR], default=[*AROUND, AUDITOR])
    options.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--retry", action="store_true", help="runs that failed, too")
    options.add_argument("--page", type=Path, default=PAGE, help="Markdown file that is written anew")
    limits(options, RESULTS)
    chosen = options.parse_args()
    for name in chosen.sets:
        SETS[name].tables()  # says now, not once a run, which file is missing
    jobs = [
        Job(data, seed, rate, method)
        for seed in range(chosen.seeds)  # a run that is stopped early has all sets and rates
        for data in chosen.sets
        for method in chosen.methods
        for rate in (chosen.rates if method != AUDITOR else [AUDIT_RATE])
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)
    chosen.page.write_text(page(chosen.out).rstrip() + "\n")
    print(f"written to {chosen.page}")


def one_run(job: Job) -> Record:
    """Train and score each variant once."""
    logging.getLogger("unseen").setLevel(logging.ERROR)
    data, start, cpu = read(job.set), time.perf_counter(), time.process_time()
    draw, hidden = drawn(data, job)
    train = take(data.train, draw.train)
    if job.method == AUDITOR:
        return audited(train, np.array(["normal", *data.names], dtype=object)[draw.y], hidden, job.seed)
    schema = Schema.infer(train, normals=draw.y <= 0)
    rows = Samples.of(torch.from_numpy(schema.encode(train)), torch.from_numpy(draw.y))
    test, answers = torch.from_numpy(schema.encode(take(data.tested, draw.test))), data.answers[draw.test]
    scorers = variants(METHODS[job.method], rows, job.seed, torch.from_numpy(schema.logarithms))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    judged = {name: scores(scorer, test, CPU).double().numpy() for name, scorer in scorers.items()}
    audit = {f"audit: {name}": share_found(scorers[name], rows, hidden) for name in AUDITED} if hidden.any() else {}
    return {
        "version": own_version(),  # of this process, which may have started before a change
        **{name: over_classes(found, answers) for name, found in judged.items()},
        **audit,
        "train_rows": len(draw.train),
        "hidden_rows": int(hidden.sum()),
        "labelled_rows": int((draw.y > 0).sum()),
        "test_rows": len(draw.test),
        "fit_seconds": seconds,
        "fit_cpu_seconds": cpu_seconds,
        "rows_per_second": len(VARIANTS) * len(test) / (time.perf_counter() - start - seconds),
    }


def drawn(data: Data, job: Job) -> tuple[Draw, NDArray[np.bool_]]:
    """The protocol's draw with anomalies of all classes hidden among the normals, and which training rows they are."""
    draw = draw_rows(data.codes, data.answers, Protocol(normals=NORMALS), np.random.default_rng(job.seed), data.alike)
    split = halves(data.codes, np.random.default_rng(job.seed))  # the very split of draw_rows
    half = np.arange(len(data.codes)) if data.alike is None else split[0]
    spare = np.setdiff1d(half[data.codes[half] > 0], draw.train)
    wanted = round(NORMALS * job.rate / (1 - job.rate))
    hidden = np.random.default_rng(job.seed).permutation(spare)[:wanted]
    if len(hidden) < wanted or (draw.y == 0).sum() < NORMALS:
        raise ValueError(f"{job.set} cannot hold {NORMALS} normal and {wanted} hidden rows")
    train, y = np.concatenate([draw.train, hidden]), np.concatenate([draw.y, np.zeros_like(hidden)])
    return Draw(train, y, draw.seen, draw.test), np.arange(len(train)) >= len(draw.train)


def variants(base: Trainable, rows: Samples, seed: int, logarithms: Tensor) -> dict[str, nn.Module]:
    """A scorer of each variant."""

    def fitted(method: Method, data: Samples) -> nn.Module:
        run = Run(torch.Generator().manual_seed(seed), logarithms=logarithms)
        scorer = seeded(lambda: method.build(tuple(data.x.shape[1:])), run.seed())
        method.train(scorer, data, run)
        return scorer.eval()

    plain, kept = fitted(base, rows), rows.y >= 0
    kept[rows.y == 0] = excess(scores(plain, rows.normals.x, CPU)) <= 1
    soft, meta = CoMet(base, meta="none", penalty="none"), CoMet(base, meta="reptile", penalty="det")
    found = plain, fitted(base, rows[kept]), fitted(soft, rows), fitted(meta, rows)
    return dict(zip(VARIANTS, found, strict=True))


def audited(train: pa.Table, kinds: NDArray[np.object_], hidden: NDArray[np.bool_], seed: int) -> Record:
    """The audit of the default, as a user would ask for it."""
    start = time.perf_counter()
    rows = Detector(METHODS[AUDITOR], random_state=seed).fit(train, kinds).audit_["row"].to_numpy()
    found = hidden[rows[: round(AUDIT_RATE * len(rows))]].sum() / hidden.sum()
    seconds = time.perf_counter() - start
    return {
        "version": own_version(),
        "audit: plain": float(found),
        "train_rows": len(hidden),
        "hidden_rows": int(hidden.sum()),
        "fit_seconds": seconds,
        "rows_per_second": len(hidden) / seconds,
    }


def over_classes(score: NDArray[np.float64], answers: NDArray[np.int64]) -> float:
    """Mean AUROC over all anomaly classes with enough test rows."""
    normal = score[answers == 0]
    each = [score[answers == code] for code in np.unique(answers[answers > 0])]
    return float(np.mean([auroc(normal, rows) for rows in each if len(rows) >= LEAST]))


def share_found(scorer: nn.Module, rows: Samples, hidden: NDArray[np.bool_]) -> float:
    """Share of the hidden rows in the tenth of the rows with the lowest weights; a plain scorer's are of its scores."""
    taken = rows.y == 0
    inside = isinstance(scorer, Confident)
    standing = scorer.standing[taken] if inside else excess(scores(scorer, rows.x[taken], CPU))
    order = np.lexsort((-standing.numpy(), weights(standing).numpy()))
    lowest = order[: round(AUDIT_RATE * len(order))]
    return float(hidden[taken.numpy()][lowest].sum() / hidden.sum())


def page(results: Path) -> str:
    """What the runs so far say."""
    runs = load(results, ["rate"])
    good = runs[runs["error"].isna()]
    about, command = (__doc__ or "").split("\n\n")[1:3]
    seeds, rates = good.groupby(["set", "method"])["seed"].nunique(), sorted(good["rate"].unique())
    parts = [
        "# Anomalies among the normal rows",
        about,
        code("\n".join(line.split("  ")[0] for line in command.splitlines()[:1])),
        f"Here: {', '.join(good['set'].unique())}; rates {', '.join(f'{rate:.0%}' for rate in rates)}; "
        f"{spelled(seeds.min(), seeds.max())} seeds. Means of all anomaly classes with at least {LEAST} test rows.",
        provenance(good),
    ]
    for method, part in good[good["method"] != AUDITOR].groupby("method", sort=False):
        several = part["set"].nunique() > 1
        parts += [f"## `{method}`", "AUROC, mean over sets ± standard deviation over seeds:", table(part, means)]
        parts += ["Beside plain: mean over draws ± its standard error, and the draws in which it is better:"]
        parts += [table(part, differences)]
        for name, one in part.groupby("set", sort=False) if several else ():
            parts += [f"AUROC on {name}, and beside plain:", table(one, means), table(one, differences)]
    return "\n\n".join([*parts, *audits(good), *failed(results)])


def spelled(least: int, most: int) -> str:
    return str(most) if least == most else f"{least} to {most}"


def table(runs: pd.DataFrame, cell: Any) -> str:
    """A row for each variant, a column for each rate."""
    rates = {f"{rate:.0%}": part for rate, part in runs.groupby("rate")}
    rows = {variant: {rate: cell(part, variant) for rate, part in rates.items()} for variant in VARIANTS}
    kept = rows if cell is means else {name: row for name, row in rows.items() if name != "plain"}
    return markdown(pd.DataFrame.from_dict(kept, orient="index"), "variant")


def means(part: pd.DataFrame, variant: str) -> str:
    each = part.groupby("seed")[variant].mean()
    return f"{each.mean():.3f}" + (f" ± {each.std():.3f}" if len(each) > 1 else "")


def differences(part: pd.DataFrame, variant: str) -> str:
    each = part[variant] - part["plain"]
    error = f" ± {each.std() / len(each) ** 0.5:.3f}" if len(each) > 1 else ""
    return f"{each.mean():+.3f}{error}, {(each > 0).sum()} of {len(each)}"


def audits(good: pd.DataFrame) -> list[str]:
    """Which share of the hidden rows the lowest-weighted tenth holds, where a tenth is hidden."""
    there = good[good["rate"] == AUDIT_RATE]
    if there.empty:
        return []
    rows = {}
    for (method, name), part in there.groupby(["method", "set"], sort=False):
        cells = [part[f"audit: {variant}"] for variant in AUDITED]
        rows[f"`{method}`, {name}"] = [
            "-" if c.isna().all() else f"{c.mean():.2f}" + (f" ± {c.std():.2f}" if len(c) > 1 else "") for c in cells
        ]
    words = (
        "With a tenth hidden: which share of the hidden rows are in the tenth of the rows with the lowest weights "
        f"({AUDIT_RATE:.1f} is chance). Of a plain detector the weights are those of its scores, as in "
        "[`unseen audit`](../guides/auditing.md)."
    )
    found = pd.DataFrame.from_dict(rows, orient="index", columns=list(AUDITED))
    return ["## Audit", words, markdown(found, "method, set")]


if __name__ == "__main__":
    main()
