"""Whether p-values below 1/(m + 1) hold: the share of fresh normal rows that a tail flags, of real scores.

python -m bench.tail                # prints a table; needs UNSEEN_DATA

A detector is trained once on each set. Its scores of a large pool of other normals are cut, many times, into m that
calibrate and the rest, which is fresh. Without a tail nothing is flagged below 1/(m + 1).
"""

from __future__ import annotations

import argparse
import logging

import numpy as np
from numpy.typing import NDArray

from bench import show
from bench.sets import SETS
from unseen.data.labels import encode_labels
from unseen.data.split import take
from unseen.detector.conformal import Conformal
from unseen.detector.detector import Detector
from unseen.methods import METHODS

ALPHAS = (1e-3, 1e-4)
TRAINED = 3000
CALIBRATED = (50, 100, 200, 500)


def main() -> None:
    """Share of fresh normals flagged, relative to what is due: 1 is right, below is cautious."""
    options = argparse.ArgumentParser(prog="python -m bench.tail", description=main.__doc__)
    options.add_argument("--sets", nargs="+", choices=SETS, default=["nsl_kdd", "shuttle"])
    options.add_argument("--method", nargs="+", choices=METHODS, default=["mahalanobis", "nearest", "fecam"])
    options.add_argument("--draws", type=int, default=400, help="calibration sets of each size")
    chosen = options.parse_args()
    logging.getLogger("unseen").setLevel(logging.ERROR)
    rows = []
    for name in chosen.sets:
        for method in chosen.method:
            pool = scores(name, method)
            rows += [[name, method, f"{m}", *shares(pool, m, chosen.draws)] for m in CALIBRATED]
    columns = ["set", "method", "m", *(f"share / {alpha:g}" for alpha in ALPHAS), "draws above twice 0.001"]
    show("Share of fresh normals with p <= alpha, divided by alpha", columns, rows)


def scores(name: str, method: str) -> NDArray[np.float64]:
    """Scores of normals that a detector was not trained on."""
    source = SETS[name]
    table, _ = source.tables()
    codes, _ = encode_labels(table[source.label], rows=len(table))
    normals = np.random.default_rng(0).permutation(np.flatnonzero(codes == 0))
    plain = table.drop_columns([source.label])
    detector = Detector(METHODS[method], calibration=0.2, random_state=0).fit(take(plain, normals[:TRAINED]))
    return detector.anomaly_score(take(plain, normals[TRAINED:]))


def shares(pool: NDArray[np.float64], m: int, draws: int) -> list[str]:
    """Mean over draws of the share flagged / alpha, for each alpha; and how many draws flag twice too many at 0.001."""
    found = np.empty((draws, len(ALPHAS)))
    for i in range(draws):
        order = np.random.default_rng([i, m]).permutation(len(pool))
        conformal, fresh = Conformal.fit(pool[order[:m]], tail=True), pool[order[m:]]
        found[i] = [(fresh > conformal.threshold(alpha)).mean() / alpha for alpha in ALPHAS]
    return [*(f"{mean:.2f}" for mean in found.mean(axis=0)), f"{(found[:, 0] > 2).mean():.0%}"]


if __name__ == "__main__":
    main()
