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
from bench.runs.entrants import ENTRANTS, trained
from bench.runs.open_set import ROLES, Data, auroc, read, timed
from bench.runs.store import SPENT, STAMPS, Record, Store, schema
from unseen import Detector, Protocol, Samples
from unseen.evaluation.draws import Draw, draw_rows
from unseen.methods import EvidenceStack

LABELS = (1, 3, 10, 30, 100, 300)
SEEN, NORMALS, FOLDS = 3, 2000, 5
LEAST = 10  # test rows of a class, below which it does not count
DESCRIBING = EvidenceStack(base_scores=("mahalanobis",), folds=2)  # its deviation features are used
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
        schema = Detector("mahalanobis", random_state=seed).fit(table, kinds).schema_
        x, normal = torch.from_numpy(schema.encode(table)), torch.from_numpy(kinds == "normal")
        fold = torch.arange(len(x)) % FOLDS

        def deviation(of: torch.Tensor) -> Any:
            return trained(DESCRIBING, Samples.of(x[of]), seed).base.deviation

        each = [deviation(normal & (fold != k)) for k in range(FOLDS)]
        shown = torch.empty(len(x), each[0].width)
        for k, other in enumerate(each):  # a row that is its own neighbour looks too normal
            shown[fold == k] = other(x[fold == k])
        score, whole = self.peer.fit(tabled(shown.numpy()), kinds, seed), deviation(normal)

        def scored(rows: pa.Table) -> Any:
            parts = torch.from_numpy(schema.encode(rows)).split(4096)
            return score(tabled(torch.cat([whole(part) for part in parts]).numpy()))

        return scored


def pretrained(package: str, path: str, weights: str) -> Peer:
    """A classifier whose weights lie in a folder, not on a hub."""

    def learn(x: Any, y: Any, seed: int) -> Score:
        files = sorted(Path(weights).expanduser().glob(f"{package}*classifier*.ckpt"))
        if not files:
            raise ValueError(f"no {package}*classifier*.ckpt in {weights}")
        model = found(path)(model_path=str(files[-1]), device="cpu", random_state=seed).fit(x, y)
        return lambda rows: model.predict_proba(rows)[:, 1]

    return Peer(package, gaps, learn)


GENERAL = ("catboost", "xgboost", "random-forest", "logistic-regression")
DEVIATING = {f"{name}, deviations": OnDeviations(PEERS[name]) for name in GENERAL[1:]}
PRETRAINED = {"tabpfn": "tabpfn.TabPFNClassifier", "tabicl": "tabicl.TabICLClassifier"}
METHODS = ("evidence-stack", *GENERAL, *DEVIATING, *PRETRAINED)


def entrants(weights: str = "") -> dict[str, Any]:
    hub = {name: pretrained(name, path, weights) for name, path in PRETRAINED.items()}
    return ENTRANTS | DEVIATING | hub


def main() -> None:
    parser = resumable(__doc__, "growth.parquet")
    add = parser.add_argument
    tables = [*SETS, *stems(CLASSES)]
    add("--sets", nargs="+", choices=tables, default=tables)
    add("--methods", nargs="+", choices=entrants(), default=list(METHODS))
    add("--labels", nargs="+", type=int, default=list(LABELS))
    add("--seeds", type=int, default=2)
    add("--weights", default="", help="folder with the weights of tabpfn and tabicl")
    chosen = parser.parse_args()
    jobs = [
        dict(zip(KEY, (data, seed, labels, name, version), strict=True)) | {"weights": weights}
        for name, version, weights in runnable(chosen.methods, chosen.weights)
        for seed in range(chosen.seeds)
        for data in chosen.sets
        for labels in chosen.labels
        if labels <= most_labels(rows_of(data))
    ]
    finish(Store(chosen.out, SCHEMA, KEY), jobs, one_run, chosen)
    chosen.out.with_suffix(".md").write_text(growth(chosen.out, chosen.out.parent))


def runnable(names: list[str], weights: str) -> list[tuple[str, str, str]]:
    """Methods that can run, their versions and weights; why others cannot is said."""
    kept = []
    for name in names:
        version = entrants()[name].version()
        if version is None:
            print(f"left out: {name} is not installed")
        elif name in PRETRAINED and not weights:
            print(f"left out: {name} needs --weights, a folder that holds them")
        else:
            kept.append((name, version, weights if name in PRETRAINED else ""))
    return kept


@cache
def rows_of(name: str) -> Data:
    """A set of the six, or a development table."""
    if name in SETS:
        return read(name)
    rows, codes, alike = table_of("classes", name)
    names = tuple(f"class {k}" for k in range(1, codes.max() + 1))
    return Data(rows, codes, rows, codes, names, alike)


def most_labels(data: Data) -> int:
    """The last of LABELS that enough classes can give, once a half of each is left for the test."""
    counts = np.bincount(data.codes)[1:] // (1 if data.alike is None else 2)
    return max((n for n in LABELS if (counts >= n).sum() >= SEEN), default=0)


def drawn(data: Data, seed: int, labels: int) -> Draw:
    """The draw with the most labels, less labels: all points of a curve share all other rows."""
    whole = Protocol(seen=SEEN, shots=most_labels(data), normals=NORMALS)
    draw = draw_rows(data.codes, data.answers, whole, np.random.default_rng(seed), data.alike)
    first = [np.flatnonzero(draw.y == c)[: labels if c else None] for c in (0, *draw.seen)]
    kept = np.concatenate(first)
    return Draw(draw.train[kept], draw.y[kept], draw.seen, draw.test)


def one_run(job: Record) -> Record:
    """Fit and score once."""
    data = rows_of(job["set"])
    draw = drawn(data, job["seed"], job["labels"])
    kinds = np.array(["normal", *data.names], dtype=object)[draw.y]
    inputs = (data.train.take(draw.train), kinds, data.tested.take(draw.test))
    scores, spent = timed(entrants(job["weights"])[job["method"]], inputs, job["seed"])
    answers = data.answers[draw.test]
    each: dict[str, list[float]] = {role: [] for role in ROLES}
    for code in np.unique(answers[answers > 0]):
        if (answers == code).sum() >= LEAST:
            figure = auroc(scores[answers == 0], scores[answers == code])
            each["seen" if code in draw.seen else "unseen"].append(figure)
    return {
        **{f"{role}_auroc": float(np.mean(figures)) for role, figures in each.items()},
        "train_rows": len(draw.train),
        "labelled_rows": int((draw.y > 0).sum()),
        "test_rows": len(draw.test),
        **spent,
    }
