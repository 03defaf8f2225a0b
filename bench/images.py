"""Images: defect classes nobody labelled, a product nobody trained on, defects hidden among the good, and speed.

`open`: magnetic tiles, half of the good ones train (at most 476), with 10 images of each of two defect classes and
their masks; the other half, and all other defective images, are the test. Every pair of the five classes is seen once,
so there are 10 draws; the first five show each class twice. `one`: one labelled image in all, of each class in turn,
two draws each.
`move`: trained on one product or two, with labels, then moved by `adapt` to another with 2, 4 or 8 good images; five
draws of these, the same for all methods. "alone" knows these images and nothing else.
`hidden`: defective images of all classes among the good ones that train, until they make up 0, 10 or 20%; no labels.
`speed`: images a second that the backbone sees, that the default scores from the cache, and seconds of its training on
496 images; on the threads that torch takes, on a machine that does nothing else.

python -m bench.images                           # what is done already is not done again; then the page
python -m bench.images --parts open --methods image-stack --draws 2 --out quick
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from bench import data_folder
from bench.domains import WithoutResidual
from bench.image_page import written
from bench.machine import machine, now
from bench.store import Record, Store
from unseen import pixels
from unseen.data.images import Images, mask
from unseen.detector import Detector
from unseen.measure import auroc, tpr_at_fpr
from unseen.methods import IMAGE_DEFAULT, IMAGES, METHODS, for_images
from unseen.methods.comet import CoMet
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.patches import Patches
from unseen.methods.resad import ResAD
from unseen.methods.simplenet import SimpleNet
from unseen.methods.topk import TopK
from unseen.methods.whole import Whole
from unseen.parts.scoring import scores
from unseen.pictures import Maps
from unseen.types import Method, Run, Samples

PARTS = ("open", "one", "move", "hidden", "speed")
BACKBONE = "lite0"  # as a method of part `speed`: features alone
TILES, NORMAL, TRAINED = "magnetic_tile", "MT_Free", 476
SHOTS, REFERENCES, RATES = 10, (2, 4, 8), (0.0, 0.1, 0.2)
CPU = torch.device("cpu")
BASELINE = "patchcore"  # nearest neighbours of patches
OPEN: dict[str, Method] = {
    "image-stack": IMAGE_DEFAULT,
    BASELINE: IMAGES[BASELINE],
    "patches": IMAGES["patches"],
    "whole": IMAGES["whole"],
    "whole, nearest": Whole(Nearest(whiten=True, shrinkage=0.1)),
    "patches, ratio": for_images(METHODS["nearest-ratio"]),
    "topk": TopK(),
    "patches, devnet": for_images(METHODS["devnet"]),
    "patches, simplenet": Patches(SimpleNet()),
    "patches, resad": Patches(ResAD()),
}
ONE = {name: OPEN[name] for name in ("image-stack", BASELINE, "patches", "whole, nearest")}
MOVED: dict[str, Method] = {
    "image-stack": IMAGE_DEFAULT,
    "patches, resad": Patches(ResAD()),
    "patches, resad, no residual": Patches(WithoutResidual(ResAD())),
    "patches": IMAGES["patches"],
    "whole, nearest": Whole(Nearest(whiten=True, shrinkage=0.1)),
}
ALONE: dict[str, Method] = {
    "patches, alone": Patches(Nearest(k=1)),
    "whole, alone": Whole(Nearest(k=1)),
    "whole mahalanobis, alone": Whole(Mahalanobis(shrinkage=0.1)),
}
HIDDEN: dict[str, Method] = {
    "simplenet": Patches(SimpleNet()),
    "simplenet, trimmed": Patches(SimpleNet()),
    "comet(simplenet)": Patches(CoMet(SimpleNet())),
}
WAYS = {"cookies": (TILES,), "aliens": (TILES,), TILES: ("cookies", "aliens")}  # target -> what is trained on
KEY = ("part", "set", "method", "draw", "count")
FIGURES = (
    "unseen_auroc",
    "unseen_worst",
    "unseen_tpr_at_5_fpr",
    "seen_auroc",
    "unseen_pixel_auroc",
    "unseen_pixel_ap",
    "unseen_pro",
    "flagged",
    "precision",
    "fit_seconds",
    "images_per_second",
)
SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("part", "set", "method", "error", "machine", "date")],
        *[(name, pa.int32()) for name in ("draw", "count")],
        *[(name, pa.float64()) for name in FIGURES],
    ]
)


@dataclass(frozen=True)
class Job:
    """One run. `count`: references in `move`, per cent hidden in `hidden`, labelled images of a class elsewhere."""

    part: str
    set: str
    method: str
    draw: int
    count: int


def main() -> None:
    """Run what is missing, and write the page."""
    options = argparse.ArgumentParser(prog="python -m bench.images", description=main.__doc__)
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options.add_argument("--methods", nargs="+", choices=sorted({*OPEN, *MOVED, *ALONE, *HIDDEN}))
    options.add_argument("--draws", type=int, default=10, help="at most so many of each")
    options.add_argument("--minutes", type=float, default=float("inf"), help="after which no further run is started")
    options.add_argument("--cache", type=Path, default=Path(".cache/images"), help="folder of maps of features")
    options.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help="folder of results and page")
    chosen = options.parse_args()
    logging.getLogger("unseen").setLevel(logging.ERROR)
    store = Store(chosen.out / "images.parquet", SCHEMA, KEY)
    there = store.keys()
    stop = time.monotonic() + 60 * chosen.minutes
    for job in jobs():
        asked = job.part in chosen.parts and job.draw < chosen.draws
        asked &= chosen.methods is None or job.method in chosen.methods
        if not asked or store.key_of(vars(job)) in there or time.monotonic() > stop:
            continue
        found = RUNS[job.part](job, chosen.cache)
        store.append({"machine": machine(), "date": now(), "error": None} | vars(job) | found)
        told = ", ".join(f"{name} {value:.3f}" for name, value in found.items() if value is not None)
        print(" ".join(map(str, vars(job).values())), told, flush=True)
    (chosen.out / "images.md").write_text(written(store.records()))


def jobs() -> Iterator[Job]:
    """All runs, the first draw of everything first."""
    yield Job("speed", TILES, BACKBONE, 0, 64)
    yield Job("speed", TILES, "image-stack", 0, SHOTS)
    for draw in range(10):
        for name in OPEN:
            yield Job("open", TILES, name, draw, SHOTS)
        for name in ONE:
            yield Job("one", TILES, name, draw, 1)
        if draw >= 5:
            continue
        for target in WAYS:
            for name in [*MOVED, *ALONE]:
                yield from (Job("move", target, name, draw, count) for count in REFERENCES)
        for rate in RATES:
            yield from (Job("hidden", TILES, name, draw, round(100 * rate)) for name in HIDDEN)


@cache
def seen(product: str, folder: Path) -> tuple[Maps, NDArray[np.object_]]:
    """Maps of a product, and what each image shows, `normal` or a class of defects."""
    maps = Maps.of(Images.read(data_folder() / "images" / product), cache=folder)
    names = np.array(maps.images.labels, dtype=object)
    good = np.array([name == NORMAL or name.endswith("normal") for name in names])
    return maps, np.where(good, "normal", names)


@cache
def painted(file: Path | None, height: int, width: int) -> NDArray[np.bool_]:
    return np.zeros((height, width), dtype=bool) if file is None else mask(file, (height, width))


def open_set(job: Job, folder: Path) -> Record:
    """Two classes seen, `SHOTS` images each, or in part `one` a single image of one class."""
    maps, names = seen(job.set, folder)
    classes = sorted(set(names) - {"normal"})
    shown = (classes[job.draw % len(classes)],) if job.part == "one" else pair(classes, job.draw)
    rng = np.random.default_rng(job.draw)
    good = rng.permutation(np.flatnonzero(names == "normal"))
    half = min(TRAINED, len(good) // 2)
    labelled = [rng.permutation(np.flatnonzero(names == name))[: job.count] for name in shown]
    rows = np.concatenate([good[:half], *labelled])
    start = time.perf_counter()
    detector = Detector(OPEN[job.method], random_state=job.draw).fit(maps.take(rows), names[rows])
    fitted = time.perf_counter() - start
    tested = np.setdiff1d(np.arange(len(names)), rows)
    return judged(detector, maps.take(tested), names[tested], shown) | {"fit_seconds": fitted}


def pair(classes: list[str], draw: int) -> tuple[str, ...]:
    """Two classes: every pair once in as many draws as there are pairs, each class twice in the first few.

    >>> [pair(["a", "b", "c", "d"], draw) for draw in range(4)]
    [('a', 'b'), ('b', 'c'), ('c', 'd'), ('d', 'a')]
    """
    n = len(classes)
    pairs = [(i, (i + step) % n) for step in range(1, n) for i in range(n)]
    distinct = [both for k, both in enumerate(pairs) if set(both) not in map(set, pairs[:k])]
    return tuple(classes[i] for i in distinct[draw % len(distinct)])


def judged(detector: Detector, maps: Maps, names: NDArray[np.object_], shown: tuple[str, ...]) -> Record:
    """Figures of a fitted detector on test images."""
    start = time.perf_counter()
    scores = detector.anomaly_score(maps)
    rate = len(names) / (time.perf_counter() - start)
    normal = scores[names == "normal"]
    each = {name: auroc(normal, scores[names == name]) for name in sorted(set(names) - {"normal"})}
    unseen = [name for name in each if name not in shown]
    strange = scores[np.isin(names, unseen)]
    found: Record = {
        "unseen_auroc": float(np.mean([each[name] for name in unseen])),
        "unseen_worst": min(each[name] for name in unseen),
        "unseen_tpr_at_5_fpr": tpr_at_fpr(normal, strange, 0.05),
        "seen_auroc": float(np.mean([each[name] for name in shown])) if shown else None,
        "flagged": float(np.mean(detector.conformal_.pvalue(normal) <= 0.05)),
        "images_per_second": rate,
    }
    if not hasattr(detector.members_[0].scorer, "map"):
        return found
    return found | localised(detector, maps.take(np.flatnonzero(np.isin(names, unseen) | every(names == "normal", 4))))


def every(which: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Every so many of these: pixels of all good images would be most of the memory, and tell no more."""
    kept = np.zeros_like(which)
    kept[np.flatnonzero(which)[::step]] = True
    return kept


def localised(detector: Detector, maps: Maps) -> Record:
    """Figures of the heat maps, of images with a defect of an unseen class and of good ones."""
    heat = detector.heat(maps)
    spots = zip(maps.images.masks, maps.sizes.tolist(), strict=True)
    masks = [painted(file, height, width) for file, (height, width) in spots]
    return {
        "unseen_pixel_auroc": pixels.pixel_auroc(heat, masks),
        "unseen_pixel_ap": pixels.pixel_average_precision(heat, masks),
        "unseen_pro": pixels.pro(heat, masks),
    }


def moved(job: Job, folder: Path) -> Record:
    """To a product never trained on, from a few good images of it."""
    maps, names = seen(job.set, folder)
    good = np.random.default_rng(job.draw).permutation(np.flatnonzero(names == "normal"))
    references = maps.take(good[: job.count])
    tested = np.setdiff1d(np.arange(len(names)), good[: max(REFERENCES)])  # the same test, however many are shown
    x, y = maps.take(tested), names[tested] != "normal"
    if job.method in ALONE:
        alone = scored_alone(ALONE[job.method], references, x, job.draw)
        return {"unseen_auroc": auroc(alone[~y], alone[y])}
    detector = trained_on(WAYS[job.set], job.method, job.draw, folder)
    here = detector.adapt(references)
    found = here.anomaly_score(x)
    flagged = here.conformal_.pvalue(found[~y]) <= 1 / (job.count + 1)
    return {"unseen_auroc": auroc(found[~y], found[y]), "flagged": float(np.mean(flagged))}


@cache
def trained_on(products: tuple[str, ...], method: str, seed: int, folder: Path) -> Detector:
    """A detector trained on these products, each a kind of normal, with labelled images of each class of defects."""
    rng = np.random.default_rng(seed)
    parts, labels, groups = [], [], []
    for product in products:
        maps, names = seen(product, folder)
        good = rng.permutation(np.flatnonzero(names == "normal"))[:TRAINED]
        classes = sorted(set(names) - {"normal"})
        rows = np.concatenate(
            [good, *(rng.permutation(np.flatnonzero(names == name))[: 2 * SHOTS] for name in classes)]
        )
        parts.append(maps.take(rows))
        labels += [name if name == "normal" else f"{product} {name}" for name in names[rows]]
        groups += [product] * len(rows)
    return Detector(MOVED[method], random_state=seed, calibration=0.2).fit(joined(parts), labels, groups=groups)


def joined(parts: list[Maps]) -> Maps:
    """The images of several folders."""
    images = Images(
        files=tuple(file for part in parts for file in part.images.files),
        labels=tuple(label for part in parts for label in part.images.labels),
        masks=tuple(spot for part in parts for spot in part.images.masks),
        root=data_folder(),
    )
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "mask", "sizes"))
    return Maps(*arrays, images, parts[0].features)


def scored_alone(method: Method, references: Maps, x: Maps, seed: int) -> NDArray[np.float64]:
    """Scores by what the references alone teach."""
    scorer: Any = method.build(x.x.shape[1:])
    method.train(scorer, Samples.of(torch.from_numpy(references.x).float()), Run(torch.Generator().manual_seed(seed)))
    return scores(scorer.eval(), torch.from_numpy(x.x).float(), CPU).double().numpy()


def hidden(job: Job, folder: Path) -> Record:
    """Defective images among the good ones; nobody says which."""
    maps, names = seen(job.set, folder)
    rng = np.random.default_rng(job.draw)
    good, bad = (rng.permutation(np.flatnonzero(which)) for which in (names == "normal", names != "normal"))
    half = min(TRAINED, len(good) // 2)
    count = round(half * job.count / (100 - job.count))
    rows = np.concatenate([good[:half], bad[:count]])
    tested = np.concatenate([good[half:], bad[round(half * RATES[-1] / (1 - RATES[-1])) :]])  # the same at every rate
    start = time.perf_counter()
    detector = Detector(HIDDEN[job.method], random_state=job.draw).fit(maps.take(rows))
    audit = detector.audit_
    if job.method.endswith("trimmed"):
        kept = np.setdiff1d(np.arange(len(rows)), audit["row"].to_numpy()[audit["weight"].to_numpy() < 1])
        detector = Detector(HIDDEN[job.method], random_state=job.draw).fit(maps.take(rows[kept]))
    fitted = time.perf_counter() - start
    first = audit["row"].to_numpy()[:count]
    precision = float(np.mean(first >= half)) if count else None
    found = judged(detector, maps.take(tested), names[tested], ())
    return found | {"fit_seconds": fitted, "precision": precision}


def speed(job: Job, folder: Path) -> Record:
    """Seconds and images a second, nothing else."""
    if job.method != BACKBONE:
        found = open_set(job, folder)
        return {name: found[name] for name in ("fit_seconds", "images_per_second")}
    images = Images.read(data_folder() / "images" / job.set).take(np.arange(job.count))
    Maps.of(images.take(np.arange(4)))  # loads the backbone
    start = time.perf_counter()
    Maps.of(images)
    return {"images_per_second": job.count / (time.perf_counter() - start)}


RUNS = {"speed": speed, "open": open_set, "one": open_set, "move": moved, "hidden": hidden}

if __name__ == "__main__":
    main()
