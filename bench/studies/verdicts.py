"""Whether verdicts tell new kinds from known ones, and whether the chance of new kinds holds.

python -m bench verdicts                                   # six sets, 5 seeds
python -m bench verdicts --families classes clustered      # the tables by which pieces were chosen
python -m bench verdicts --families images                 # boards and tiles, 100 normals
python -m bench verdicts --short                           # two small sets, a minute

Of each draw (3 seen classes, 10 labelled rows of each) the anomalies among the test rows that the
default flags at p <= .05, at most 300 of a class, are compared: how well does a score tell unseen
classes from seen ones? Beside novelty: its two distances alone, a random forest on normals and
classes (1 - largest chance of a class), and the softmax of a multinomial logistic regression. For
the chance, labels are drawn at random from the attacks of NSL-KDD; what is left unseen is known.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from bench.data.pool import CLASSES, Case, stems
from bench.data.products import product
from bench.data.sets import DEVELOPMENT, SETS
from bench.pages.text import show, spread
from bench.runs.command import finish, resumable
from bench.runs.entrants import own_version
from bench.runs.open_set import auroc, drawn, read
from bench.runs.store import STAMPS, Record, Store, schema
from unseen import Detector, Protocol
from unseen.detector.chance import good_turing

IMAGES = 60  # test images of a class
MOST = 300  # test rows of a class: frequent ones would drown the others
LEAST = 10  # flagged rows of either side, below which a draw does not count
SCORES = ("verdicts", "distance", "distance in classes", "forest", "softmax")
CALLED = (
    "accuracy",
    "new called new",
    "new called known",
    "known called new",
    "known called known",
)
LABELS = (10, 20, 50, 100, 300)
MULTIPLES = (1, 2, 3, 5)  # of 1/11, at which p-values of classes are looked at
VALID = tuple(f"p <= {k}/11" for k in MULTIPLES)
IMAGES = {"boards": 2, "magnetic_tile": 3}  # seen classes of images
MOST_IMAGES = 60  # test images of a class
FAMILIES = ("six", "classes", "clustered", "images")
KEY = ("family", "set", "seed", "version")
SCHEMA = schema(
    text=["family", "set", "version", "error", *STAMPS],
    whole=["seed"],
    real=[*SCORES, *CALLED, *VALID],
)


def main() -> None:
    parser = resumable(__doc__, "verdicts.parquet")
    add = parser.add_argument
    add("--families", nargs="+", choices=FAMILIES, default=["six"])
    add("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of images")
    add("--sets", nargs="+", help="names of some of them")
    add("--seeds", nargs="+", type=int, default=list(range(5)))
    add("--short", action="store_true", help="Shuttle and digits, 1 seed")
    chosen = parser.parse_args()
    cache = chosen.cache
    names = {"six": list(SETS), "classes": stems(CLASSES), "clustered": list(DEVELOPMENT)}
    names["images"] = list(IMAGES)
    wanted = ["shuttle", "digits"] if chosen.short else chosen.sets
    jobs = [
        {"family": family, "set": name, "seed": seed, "version": own_version(), "cache": cache}
        for seed in (chosen.seeds[:1] if chosen.short else chosen.seeds)
        for family in chosen.families
        for name in names[family]
        if not wanted or name in wanted
    ]
    store = Store(chosen.out, SCHEMA, KEY)
    finish(store, jobs, one_run, chosen)
    keys = {store.key_of(job) for job in jobs}
    found = pd.DataFrame([each for each in store.records() if store.key_of(each) in keys])
    report(found[found["verdicts"].notna()])
    chances()


def one_run(job: Record) -> Record:
    """Figures of one draw; none where too few rows of either side are flagged."""
    family, name, seed = job["family"], job["set"], job["seed"]
    if family == "images":
        draw = of_images(name, seed, job["cache"])
    else:
        draw = of_six(name, seed) if family == "six" else of_pool(family, name, seed)
    return {"error": None, **(one_draw(*draw, seed) or {})}


Inputs = tuple[Any, Any, Any, NDArray[Any]]


def of_six(name: str, seed: int) -> Inputs:
    """Training rows, their labels, test rows and their classes, of one of the six sets."""
    data = read(name)
    one, inputs = drawn(data, Protocol(3, 10), seed)
    names = np.array(["normal", *data.names], dtype=object)
    return (*inputs, names[data.answers[one.test]])


def of_pool(family: str, name: str, seed: int) -> Inputs:
    """The same of a table with natural classes, or with clustered anomalies."""
    trial = Case(family, name, "3x10").trial(seed)
    names = np.array(["normal", *(f"class {k}" for k in range(1, trial.answers.max() + 1))])
    return trial.train, trial.kinds, trial.test, names[trial.answers]


def of_images(name: str, seed: int, cache: Path) -> Inputs:
    """The same of images: ten of each seen class and 100 normal ones train."""
    every, names = product(name, cache)
    rng = np.random.default_rng(seed)
    classes = ["normal", *rng.permutation(sorted(set(names) - {"normal"}))]
    rows = {each: rng.permutation(np.flatnonzero(names == each)) for each in classes}
    shown = dict.fromkeys(classes[1 : 1 + IMAGES[name]], 10) | {"normal": 100}
    train = np.concatenate([rows[each][:count] for each, count in shown.items()])
    left = [rows[each][shown.get(each, 0) :][:MOST_IMAGES] for each in classes]
    test = np.concatenate(left)
    return every.take(train), names[train], every.take(test).plain(), names[test]


def one_draw(
    train: Any, labels: Any, test: Any, answers: NDArray[Any], seed: int
) -> dict[str, float] | None:
    """Figures of one draw; None where too few rows of either side are flagged."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(answers == name))[:MOST] for name in np.unique(answers)]
    )
    detector = Detector(random_state=seed).fit(train, labels)
    test, answers = test.take(rows), answers[rows]
    found, x = detector.verdict(test), detector.compared(detector.schema_.admit(test))
    known = detector.known_kinds()
    seen, normal = np.isin(answers, detector.classes_), answers == "normal"
    new = ~seen & ~normal
    flagged = found.code != 0
    if known is None or min((flagged & seen).sum(), (flagged & new).sum()) < LEAST:
        return None
    pieces = known.comparison.compared(x)[0].min(axis=2)
    codes, numbers = detector.references_.codes, detector.references_.numbers
    shown = detector.compared(detector.schema_.admit(train.take(numbers)))
    forest = RandomForestClassifier(300, class_weight="balanced_subsample", random_state=0)
    alone = 1 - forest.fit(shown, codes).predict_proba(x)[:, 1:].max(axis=1)
    model = LogisticRegression(max_iter=300).fit(shown[codes > 0], codes[codes > 0])
    scores = (found.novelty, *pieces[:2], alone, 1 - model.predict_proba(x).max(axis=1))
    own = np.array([found.classes.index(a) if a in found.classes else 0 for a in answers])
    right = (found.share.argmax(axis=1) == own)[flagged & seen]
    p = found.class_pvalue[np.arange(len(own)), own][seen]
    new_rows, seen_rows = found.code[new & flagged], found.code[seen & flagged]
    return {
        **{
            name: auroc(score[flagged & seen], score[flagged & new])
            for name, score in zip(SCORES, scores, strict=True)
        },
        "accuracy": float(right.mean()),
        "new called new": float((new_rows == -1).mean()),
        "new called known": float((new_rows > 0).mean()),
        "known called new": float((seen_rows == -1).mean()),
        "known called known": float((seen_rows > 0).mean()),
        **{f"p <= {k}/11": float((p <= k / 11 + 1e-9).mean()) for k in MULTIPLES},
    }


def report(found: pd.DataFrame) -> None:
    """Tables by set: scores, what verdicts say, and p-values of classes; means are of sets."""
    heads = {
        "AUROC of new against known among flagged anomalies": SCORES,
        "Verdicts on flagged anomalies": CALLED,
        "Fresh rows of a class by its p-value": VALID,
    }
    parts = {str(name): part for name, part in found.groupby("set")}
    means = found.groupby("set")[[*SCORES, *CALLED, *VALID]].mean()
    for title, columns in heads.items():
        rows = [
            [name, str(len(part)), *(spread(part[column]) for column in columns)]
            for name, part in parts.items()
        ]
        rows.append(
            ["mean", str(len(found)), *(f"{means[column].mean():.3f}" for column in columns)]
        )
        show(f"\n{title}", ["set", "draws", *columns], rows)
    rows = []
    for name, part in parts.items():
        best = part[list(SCORES[1:])].mean().idxmax()
        ahead = part["verdicts"] - part[best]
        error = f"{ahead.std() / np.sqrt(len(part)):.3f}" if len(part) > 1 else "-"
        rows.append([name, best, f"{ahead.mean():+.3f}", error])
    show(
        "\nNovelty ahead of the best of the others", ["set", "best", "ahead", "paired error"], rows
    )


def chances(draws: int = 400) -> None:
    """How often the interval holds the chance of an unseen kind, by the number of labels."""
    table, _ = SETS["nsl_kdd"].tables()
    kinds = np.array(table["attack"].to_pylist(), dtype=object)
    counts = np.unique(kinds[kinds != "normal"], return_counts=True)[1]
    rows = []
    for n in LABELS:
        rng = np.random.default_rng(n)
        each = [covered(rng, counts / counts.sum(), n) for _ in range(draws)]
        inside, width, estimate, truth = np.mean(each, axis=0)
        rows.append([f"{n}", f"{inside:.1%}", f"{width:.3f}", f"{estimate:.3f}", f"{truth:.3f}"])
    heads = ["labels", "inside", "mean width", "mean estimate", "mean chance"]
    show(f"\nChance of an unseen kind: 90% intervals, {draws} draws each", heads, rows)


def covered(
    rng: np.random.Generator, chance: NDArray[np.float64], n: int
) -> tuple[bool, float, float, float]:
    """Whether the interval from n random labels holds the truth, its width, estimate, and truth."""
    kinds, counts = np.unique(rng.choice(len(chance), n, p=chance), return_counts=True)
    truth = 1 - chance[kinds].sum()
    found = good_turing(counts)
    return found.low <= truth <= found.high, found.high - found.low, found.estimate, truth
