"""Label curves: the default and general classifiers as labelled rows grow from 1 to 300 a class.

python -m bench growth            # half an hour of one core
python -m bench growth --sets vowel --seeds 1 --methods evidence-stack catboost
python -m bench growth --methods tabpfn tabicl --weights ~/weights   # as their packages call them
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import unseen
from bench.data.pool import CLASSES, stems, table_of, tabled
from bench.data.sets import SETS
from bench.pages.growth import growth
from bench.peers import PEERS, Peer, Score, found
from bench.peers.preparation import gaps
from bench.runs.command import finish, resumable
from bench.runs.entrants import ENTRANTS
from bench.runs.open_set import ROLES, Data, by_class, read, timed
from bench.runs.store import SPENT, STAMPS, Record, Store, schema
from unseen import Detector, Protocol, Run
from unseen.evaluation.draws import Draw, draw_rows
from unseen.evaluation.metrics import over_classes
from unseen.parts.deviation import Deviation, described_alike, descriptions

LABELS = (1, 3, 10, 30, 100, 300)
SEEN, NORMALS, FOLDS = 3, 2000, 5
KEY = ("set", "seed", "labels", "method", "version")
AUROC = [f"{role}_auroc" for role in ROLES]
SCHEMA = schema(
    text=["set", "method", "version", "error", *STAMPS],
    whole=["seed", "labels", "train_rows", "labelled_rows", "test_rows"],
    real=[*AUROC, *SPENT],
)


@dataclass(frozen=True)
class OnDeviations:
    """A peer that learns from how rows deviate from the normals, as the default's pieces do."""

    peer: Peer

    def version(self) -> str | None:
        own = self.peer.version()
        return own and f"{own}, unseen {unseen.__version__}"

    def fit(self, table: pa.Table, kinds: Any, seed: int) -> Score:
        normal = kinds == "normal"
        schema = Detector("mahalanobis", random_state=seed).fit(table, kinds).schema_
        run = Run(torch.Generator().manual_seed(seed))
        x = torch.from_numpy(schema.encode(table))
        normals, anomalies = x[normal], x[~normal]
        _, shown = described_alike(normals, torch.arange(len(normals)) % FOLDS, anomalies, run)
        deviation = Deviation(x.shape[1])
        deviation.fit(normals, run.generator)
        ordered = np.r_[kinds[normal], kinds[~normal]]  # as they are described
        score = self.peer.fit(tabled(shown.numpy()), ordered, seed)
        return lambda rows: score(
            tabled(descriptions(deviation, torch.from_numpy(schema.encode(rows))).numpy())
        )


@dataclass(frozen=True)
class FromFolder:
    """A pretrained classifier of a package whose weights lie in a folder, not on a hub."""

    package: str
    path: str

    def version(self) -> str | None:
        return self.peer("").version()

    def peer(self, weights: str) -> Peer:
        def learn(x: Any, y: Any, seed: int) -> Score:
            files = sorted(Path(weights).expanduser().glob(f"{self.package}*classifier*.ckpt"))
            if not files:
                raise ValueError(f"{weights}: no {self.package}*classifier*.ckpt in it")
            model = found(self.path)(model_path=str(files[-1]), device="cpu", random_state=seed)
            model.fit(x, y)
            return lambda rows: model.predict_proba(rows)[:, 1]

        return Peer(self.package, gaps, learn)


GENERAL = ("catboost", "xgboost", "random-forest", "logistic-regression")
DEVIATING = {f"{name}, deviations": OnDeviations(PEERS[name]) for name in GENERAL[1:]}
PRETRAINED = {
    "tabpfn": FromFolder("tabpfn", "tabpfn.TabPFNClassifier"),
    "tabicl": FromFolder("tabicl", "tabicl.TabICLClassifier"),
}
ALL: dict[str, Any] = ENTRANTS | DEVIATING | PRETRAINED
METHODS = ("evidence-stack", *GENERAL, *DEVIATING, *PRETRAINED)


def main() -> None:
    parser = resumable(__doc__, "growth.parquet")
    add = parser.add_argument
    tables = [*SETS, *stems(CLASSES)]
    add("--sets", nargs="+", choices=tables, default=tables)
    add("--methods", nargs="+", choices=ALL, default=list(METHODS))
    add("--labels", nargs="+", type=int, default=list(LABELS))
    add("--seeds", type=int, default=2)
    add("--weights", default="", help="folder with the weights of tabpfn and tabicl")
    chosen = parser.parse_args()
    jobs = [
        dict(zip(KEY, (data, seed, labels, name, ALL[name].version()), strict=True))
        | {"weights": chosen.weights}
        for name in runnable(chosen.methods, chosen.weights)
        for seed in range(chosen.seeds)
        for data in chosen.sets
        for labels in chosen.labels
        if labels <= most_labels(rows_of(data).codes, halved=rows_of(data).alike is not None)
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)
    if chosen.out.exists():
        chosen.out.with_suffix(".md").write_text(growth(chosen.out, chosen.out.parent))


def runnable(names: list[str], weights: str) -> list[str]:
    """Those that can run; why others cannot is said."""
    kept = []
    for name in names:
        if ALL[name].version() is None:
            print(f"left out: {name} is not installed")
        elif name in PRETRAINED and not weights:
            print(f"left out: {name} needs weights, and --weights names no folder of them")
        else:
            kept.append(name)
    return kept


@cache
def rows_of(name: str) -> Data:
    """A set of the six, or a development table."""
    if name in SETS:
        return read(name)
    rows, codes, alike = table_of("classes", name)
    names = tuple(f"class {k}" for k in range(1, codes.max() + 1))
    return Data(rows, codes, rows, codes, names, alike)


def most_labels(codes: Any, *, halved: bool) -> int:
    """The last of LABELS that enough classes can give, and one class stays unseen."""
    counts = np.sort(np.bincount(codes)[1:] // (2 if halved else 1))[::-1]
    able = [n for n in LABELS if (counts >= n).sum() >= SEEN and len(counts) > SEEN]
    return max(able, default=0)


def drawn(data: Data, seed: int, labels: int) -> Draw:
    """The draw with the most labels, less labels: all points of a curve share all other rows."""
    most = most_labels(data.codes, halved=data.alike is not None)
    whole = Protocol(seen=SEEN, shots=most, normals=NORMALS)
    draw = draw_rows(data.codes, data.answers, whole, np.random.default_rng(seed), data.alike)
    first = [np.flatnonzero(draw.y == c)[: labels if c else None] for c in (0, *draw.seen)]
    kept = np.concatenate(first)
    return Draw(draw.train[kept], draw.y[kept], draw.seen, draw.test)


def one_run(job: Record) -> Record:
    """Fit and score once."""
    data = rows_of(job["set"])
    draw = drawn(data, job["seed"], job["labels"])
    kinds = np.array(["normal", *data.names], dtype=object)[draw.y]
    entrant = ALL[job["method"]]
    if job["method"] in PRETRAINED:
        entrant = entrant.peer(job["weights"])
    inputs = (data.train.take(draw.train), kinds, data.tested.take(draw.test))
    scores, spent = timed(entrant, inputs, job["seed"])
    classes = by_class(scores, data.answers[draw.test], draw, data.names)
    means = {role: over_classes(classes, role) or {} for role in ROLES}
    return {
        **{f"{role}_auroc": means[role].get("auroc") for role in ROLES},
        "train_rows": len(draw.train),
        "labelled_rows": int((draw.y > 0).sum()),
        "test_rows": len(draw.test),
        **spent,
    }
