"""Images: defect classes without labels, a new product, hidden defects, speed.

python -m bench images                           # all that is missing; then the page
python -m bench images --parts open --methods image-stack --draws 2

Part `one` shows one labelled image in all; `speed` wants a machine that does nothing else.
"""

import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data import data_folder
from bench.data.products import product
from bench.pages.images import images
from bench.runs.command import finish, resumable
from bench.runs.entrants import scored, trained
from bench.runs.open_set import auroc
from bench.runs.store import Record, Store, schema
from unseen import Detector, Images, Maps, Samples, Unsupported, methods
from unseen.evaluation.metrics import tpr_at_fpr
from unseen.evaluation.pixels import pixel_auroc, pixel_average_precision, pro
from unseen.methods import IMAGES, METHODS, Nearest, Patches, ResAD, SimpleNet, Whole
from unseen.vision.pixels import mask_of

TILES, TRAINED = "magnetic_tile", 476
SHOTS, REFERENCES, HIDDEN_SHARES = 10, (2, 4, 8), (0, 10, 20)
SOURCES = {"cookies": (TILES,), "aliens": (TILES,), TILES: ("cookies", "aliens")}  # by target
BACKBONE = "lite0"  # of part `speed`: features alone
OPEN = {
    **IMAGES,
    "whole, nearest": Whole(Nearest(whiten=True, shrinkage=0.1)),
    "patches, ratio": Patches(METHODS["nearest-ratio"]),
    "patches, devnet": Patches(METHODS["devnet"]),
    "patches, simplenet": Patches(SimpleNet()),
    "patches, resad": Patches(ResAD()),
}
ONE = ("image-stack", "patchcore", "patches", "whole, nearest")
MOVED = ("image-stack", "patches, resad", "patches", "whole, nearest")
ALONE = {
    "patches, alone": Patches(Nearest(k=1)),
    "whole, alone": Whole(Nearest(k=1)),
    "whole mahalanobis, alone": Whole(methods.Mahalanobis(shrinkage=0.1)),
}
HIDDEN = {
    "simplenet": Patches(SimpleNet()),
    "simplenet, trimmed": Patches(SimpleNet()),
    "comet(simplenet)": Patches(methods.CoMet(SimpleNet())),
}
KEY = ("part", "set", "method", "draw", "count")  # count: references, per cent hidden, or labels
FIGURES = ["unseen_auroc", "unseen_worst", "unseen_tpr_at_5_fpr", "seen_auroc"]
FIGURES += ["unseen_pixel_auroc", "unseen_pixel_ap", "unseen_pro", "flagged", "precision"]
FIGURES += ["fit_seconds", "images_per_second"]
TEXTS = ["part", "set", "method", "error", "machine", "date"]
SCHEMA = schema(text=TEXTS, whole=["draw", "count"], real=FIGURES)


def main() -> None:
    parser = resumable(__doc__, "images.parquet", limit=7200)
    add = parser.add_argument
    add("--parts", nargs="+", choices=RUNS, default=list(RUNS))
    add("--methods", nargs="+", choices=sorted({*OPEN, *MOVED, *ALONE, *HIDDEN}))
    add("--draws", type=int, default=10, help="at most so many of each")
    add("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of features")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    wanted = [
        job | {"cache": chosen.cache}
        for job in jobs()
        if job["part"] in chosen.parts and job["draw"] < chosen.draws
        if chosen.methods is None or job["method"] in chosen.methods
    ]
    finish(Store(chosen.out, SCHEMA, KEY), wanted, one_run, chosen)
    chosen.out.with_suffix(".md").write_text(images(chosen.out, chosen.out.parent))


def jobs() -> Iterator[Record]:
    """All runs, the first draw of everything first."""
    keys = [("speed", TILES, BACKBONE, 0, 64), ("speed", TILES, "image-stack", 0, SHOTS)]
    names = [*MOVED, *ALONE]
    for draw in range(10):
        keys += [("open", TILES, name, draw, SHOTS) for name in OPEN]
        keys += [("one", TILES, name, draw, 1) for name in ONE]
        if draw < 5:
            keys += [("move", to, n, draw, k) for to in SOURCES for n in names for k in REFERENCES]
            keys += [("hidden", TILES, n, draw, share) for share in HIDDEN_SHARES for n in HIDDEN]
    return (dict(zip(KEY, key, strict=True)) for key in keys)


def one_run(job: Record) -> Record:
    return RUNS[job["part"]](job)


def some(rng: np.random.Generator, which: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows that are `which`, in random order."""
    return rng.permutation(np.flatnonzero(which))


def open_set(job: Record) -> Record:
    """Two classes seen, or in part `one` a single image of one class."""
    maps, names = product(job["set"], job["cache"])
    classes, draw = sorted(set(names) - {"normal"}), job["draw"]
    single = job["part"] == "one"
    shown = (classes[draw % len(classes)],) if single else pair(classes, draw)
    rng = np.random.default_rng(draw)
    good = some(rng, names == "normal")
    labelled = [some(rng, names == name)[: job["count"]] for name in shown]
    rows = np.concatenate([good[: min(TRAINED, len(good) // 2)], *labelled])
    start = time.perf_counter()
    method = OPEN[job["method"]]
    detector = Detector(method, random_state=draw).fit(maps.take(rows), names[rows])
    fitted = time.perf_counter() - start
    rest = np.setdiff1d(np.arange(len(names)), rows)
    return judged(detector, maps.take(rest), names[rest], shown) | {"fit_seconds": fitted}


def pair(classes: list[str], draw: int) -> tuple[str, ...]:
    """Two classes: every pair once in as many draws as there are pairs, neighbours first.

    >>> [pair(["a", "b", "c", "d"], draw) for draw in range(4)]
    [('a', 'b'), ('b', 'c'), ('c', 'd'), ('d', 'a')]
    """
    n = len(classes)
    pairs = [(i, (i + step) % n) for step in range(1, n) for i in range(n)]
    distinct = [both for k, both in enumerate(pairs) if set(both) not in map(set, pairs[:k])]
    return tuple(classes[i] for i in distinct[draw % len(distinct)])


def judged(
    detector: Detector, maps: Maps, names: NDArray[np.object_], shown: tuple[str, ...]
) -> Record:
    """Figures of a fitted detector on test images."""
    start = time.perf_counter()
    scores = detector.anomaly_score(maps)
    rate = len(names) / (time.perf_counter() - start)
    normal = scores[names == "normal"]
    each = {n: auroc(normal, scores[names == n]) for n in sorted(set(names) - {"normal"})}
    unseen = {name: value for name, value in each.items() if name not in shown}
    anomalous = np.isin(names, list(unseen))
    found: Record = {
        "unseen_auroc": float(np.mean(list(unseen.values()))),
        "unseen_worst": min(unseen.values()),
        "unseen_tpr_at_5_fpr": tpr_at_fpr(normal, scores[anomalous], 0.05),
        "seen_auroc": float(np.mean([each[name] for name in shown])) if shown else None,
        "flagged": float(np.mean(detector.conformal_.pvalue(normal) <= 0.05)),
        "images_per_second": rate,
    }
    good = np.flatnonzero(names == "normal")[::4]  # pixels of all would be most of the memory
    maps = maps.take(np.union1d(np.flatnonzero(anomalous), good))
    try:
        heat = detector.heat(maps)
    except Unsupported:  # of methods without a map
        return found
    sizes = map(tuple, maps.sizes.tolist())
    both = zip(maps.images.masks, sizes, strict=True)
    masks = [mask_of(file, size) if file else np.zeros(size, bool) for file, size in both]
    return found | {
        "unseen_pixel_auroc": pixel_auroc(heat, masks),
        "unseen_pixel_ap": pixel_average_precision(heat, masks),
        "unseen_pro": pro(heat, masks),
    }


def moved(job: Record) -> Record:
    """To a product never trained on, from a few good images of it."""
    maps, names = product(job["set"], job["cache"])
    good = some(np.random.default_rng(job["draw"]), names == "normal")
    references = maps.take(good[: job["count"]])
    rest = np.setdiff1d(np.arange(len(names)), good[: max(REFERENCES)])  # the same at any count
    x, y = maps.take(rest), names[rest] != "normal"
    if job["method"] in ALONE:
        known, test = (torch.from_numpy(each.x).float() for each in (references, x))
        scorer = trained(ALONE[job["method"]], Samples.of(known), job["draw"])
        alone = scored(scorer, test)
        return {"unseen_auroc": auroc(alone[~y], alone[y])}
    detector = trained_on(SOURCES[job["set"]], job["method"], job["draw"], job["cache"])
    here = detector.adapt(references)
    found = here.anomaly_score(x)
    flagged = here.conformal_.pvalue(found[~y]) <= 1 / (job["count"] + 1)
    return {"unseen_auroc": auroc(found[~y], found[y]), "flagged": float(np.mean(flagged))}


@cache
def trained_on(products: tuple[str, ...], method: str, seed: int, folder: Path) -> Detector:
    """A detector trained on these products, each a domain, with labels of each class."""
    rng = np.random.default_rng(seed)
    parts, labels, groups = [], [], []
    for name in products:
        maps, names = product(name, folder)
        good = some(rng, names == "normal")[:TRAINED]
        classes = sorted(set(names) - {"normal"})
        bad = [some(rng, names == defect)[: 2 * SHOTS] for defect in classes]
        rows = np.concatenate([good, *bad])
        parts.append(maps.take(rows))
        labels += [each if each == "normal" else f"{name} {each}" for each in names[rows]]
        groups += [name] * len(rows)
    detector = Detector(OPEN[method], random_state=seed, calibration=0.2)
    return detector.fit(Maps.joined(parts), labels, groups=groups)


def hidden(job: Record) -> Record:
    """Defective images among the good ones, without any label."""
    maps, names = product(job["set"], job["cache"])
    rng, most = np.random.default_rng(job["draw"]), max(HIDDEN_SHARES)
    good, bad = some(rng, names == "normal"), some(rng, names != "normal")
    half = min(TRAINED, len(good) // 2)
    count = round(half * job["count"] / (100 - job["count"]))
    rows = np.concatenate([good[:half], bad[:count]])
    rest = np.concatenate([good[half:], bad[round(half * most / (100 - most)) :]])  # at any rate
    start = time.perf_counter()

    def fitted(kept: NDArray[np.int64]) -> Detector:
        detector = Detector(HIDDEN[job["method"]], random_state=job["draw"])
        return detector.fit(maps.take(kept), np.zeros(len(kept), dtype=int))

    detector = fitted(rows)
    audit = detector.audit_
    doubted, weight = audit["row"].to_numpy(), audit["weight"].to_numpy()
    if job["method"].endswith("trimmed"):
        detector = fitted(rows[np.setdiff1d(np.arange(len(rows)), doubted[weight < 1])])
    seconds = time.perf_counter() - start
    precision = float(np.mean(doubted[:count] >= half)) if count else None
    found = judged(detector, maps.take(rest), names[rest], ())
    return found | {"fit_seconds": seconds, "precision": precision}


def speed(job: Record) -> Record:
    """Seconds and images a second, nothing else."""
    if job["method"] != BACKBONE:
        found = open_set(job)
        return {name: found[name] for name in ("fit_seconds", "images_per_second")}
    files = Images.read(data_folder() / "images" / job["set"]).take(np.arange(job["count"]))
    Maps.of(files.take(np.arange(4)))  # loads the backbone
    start = time.perf_counter()
    Maps.of(files)
    return {"images_per_second": job["count"] / (time.perf_counter() - start)}


RUNS = {"speed": speed, "open": open_set, "one": open_set, "move": moved, "hidden": hidden}
