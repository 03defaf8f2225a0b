"""Whether p-values below 1/(m + 1) hold: the share of fresh normal rows that a tail flags.

python -m bench tail                # prints a table; needs UNSEEN_DATA

A detector is trained once on each set. Its scores of a large pool of other normals are cut, many
times, into m that calibrate and the rest, which is fresh. Without a tail nothing is flagged below
1/(m + 1). A share of 1 times alpha is right, less is cautious.
"""

import numpy as np
from numpy.typing import NDArray

from bench.data.sets import SETS
from bench.pages.text import show
from bench.runs.command import options
from unseen import Conformal, Detector
from unseen.methods import METHODS

ALPHAS = (1e-3, 1e-4)
TRAINED = 3000
CALIBRATED = (50, 100, 200, 500)


def main() -> None:
    parser = options(__doc__)
    add = parser.add_argument
    add("--sets", nargs="+", choices=SETS, default=["nsl_kdd", "shuttle"])
    add("--method", nargs="+", choices=METHODS, default=["mahalanobis", "nearest", "fecam"])
    add("--draws", type=int, default=400, help="calibration sets of each size")
    chosen = parser.parse_args()
    rows = []
    for name in chosen.sets:
        for method in chosen.method:
            pool = scores(name, method)
            rows += [[name, method, f"{m}", *shares(pool, m, chosen.draws)] for m in CALIBRATED]
    heads = [f"share / {alpha:g}" for alpha in ALPHAS]
    columns = ["set", "method", "m", *heads, "draws above twice 0.001"]
    show("Share of fresh normals with p <= alpha, divided by alpha", columns, rows)


def scores(name: str, method: str) -> NDArray[np.float64]:
    """Scores of normals that a detector was not trained on."""
    table, _ = SETS[name].tables()
    normal = np.array(table[SETS[name].label].to_pylist()) == "normal"
    rows = np.random.default_rng(0).permutation(np.flatnonzero(normal))
    plain = table.drop_columns([SETS[name].label])
    detector = Detector(METHODS[method], calibration=0.2, random_state=0)
    return detector.fit(plain.take(rows[:TRAINED])).anomaly_score(plain.take(rows[TRAINED:]))


def shares(pool: NDArray[np.float64], m: int, draws: int) -> list[str]:
    """Mean share flagged / alpha, for each alpha; draws that flag twice too many at 0.001."""
    found = np.empty((draws, len(ALPHAS)))
    for i in range(draws):
        order = np.random.default_rng([i, m]).permutation(len(pool))
        conformal, fresh = Conformal.fit(pool[order[:m]], tail=True), pool[order[m:]]
        found[i] = [(fresh > conformal.threshold(alpha)).mean() / alpha for alpha in ALPHAS]
    return [*(f"{mean:.2f}" for mean in found.mean(axis=0)), f"{(found[:, 0] > 2).mean():.0%}"]
