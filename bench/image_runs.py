"""What a run of `bench.images` does: train, move, hide defects among the good, take the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench import data_folder
from bench.image_methods import ALONE, HIDDEN, MOVED, OPEN
from bench.store import Record
from unseen.detector.detector import Detector
from unseen.evaluation import pixels
from unseen.evaluation.metrics import tpr_at_fpr
from unseen.parts.ranking import auroc
from unseen.parts.scoring import scores
from unseen.types import Method, Run, Samples
from unseen.vision.images import Images
from unseen.vision.images import mask as mask_of
from unseen.vision.maps import Maps

BACKBONE = "lite0"  # as a method of part `speed`: features alone
TILES, NORMAL, TRAINED = "magnetic_tile", "MT_Free", 476
SHOTS, REFERENCES, RATES = 10, (2, 4, 8), (0.0, 0.1, 0.2)
WAYS = {"cookies": (TILES,), "aliens": (TILES,), TILES: ("cookies", "aliens")}  # target -> what is trained on
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Job:
    """One run. `count`: references in `move`, per cent hidden in `hidden`, labelled images of a class elsewhere."""

    part: str
    set: str
    method: str
    draw: int
    count: int


@cache
def seen(product: str, folder: Path) -> tuple[Maps, NDArray[np.object_]]:
    """Maps of a product, and what each image shows, `normal` or a class of defects."""
    maps = Maps.of(Images.read(data_folder() / "images" / product), resaved=True, cache=folder)
    names = np.array(maps.images.labels, dtype=object)
    good = np.array([name == NORMAL or name.endswith("normal") for name in names])
    return maps, np.where(good, "normal", names)


@cache
def painted(file: Path | None, height: int, width: int) -> NDArray[np.bool_]:
    return np.zeros((height, width), dtype=bool) if file is None else mask_of(file, (height, width))


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
    x, mask, sizes, resaved = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "mask", "sizes", "resaved")
    )
    return Maps(x, mask, sizes, images, parts[0].features, resaved)


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
    taken = np.zeros(len(rows), dtype=int)  # for normal, whatever their folders say
    detector = Detector(HIDDEN[job.method], random_state=job.draw).fit(maps.take(rows), taken)
    audit = detector.audit_
    if job.method.endswith("trimmed"):
        kept = np.setdiff1d(np.arange(len(rows)), audit["row"].to_numpy()[audit["weight"].to_numpy() < 1])
        detector = Detector(HIDDEN[job.method], random_state=job.draw).fit(maps.take(rows[kept]), taken[kept])
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
