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
from pathlib import Path

import pyarrow as pa

from bench.image_methods import ALONE, HIDDEN, MOVED, ONE, OPEN
from bench.image_page import written
from bench.image_runs import BACKBONE, RATES, REFERENCES, RUNS, SHOTS, TILES, WAYS, Job
from bench.machine import machine, now
from bench.store import Store

PARTS = ("open", "one", "move", "hidden", "speed")
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


if __name__ == "__main__":
    main()
