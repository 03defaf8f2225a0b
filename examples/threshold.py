"""Choose a threshold after training, without a refit: by flagged normals, by the false share of
alarms, or by budget.

Handwritten digits: 0 to 3 are normal, and no anomaly is labelled. Prints what each policy costs and
what it catches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from unseen import Detector, Nearest


def main() -> None:
    X, digit = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    normals = rng.permutation(np.flatnonzero(digit <= 3))
    train, fresh = normals[:480], normals[480:]
    # so that a fifth of the test rows are anomalies
    kinds = rng.permutation(np.flatnonzero(digit >= 4))[:60]
    detector = Detector(Nearest(), random_state=0).fit(X[train])
    test = X[np.concatenate([fresh, kinds])]
    real = np.repeat([False, True], [len(fresh), len(kinds)])

    print(
        f"trained on {len(train)} normal rows; test: {len(fresh)} normal rows, {len(kinds)} "
        "anomalies"
    )
    print(f"{'policy':<32}{'alarms':>8}{'false':>8}{'normals flagged':>18}{'anomalies found':>18}")
    for alpha in (0.01, 0.05, 0.1):
        show(f"detect(alpha={alpha})", detector.detect(test, alpha=alpha), real)
    for fdr in (0.05, 0.1, 0.2):
        show(f"detect(fdr={fdr})", detector.detect(test, fdr=fdr), real)
    score = detector.anomaly_score(test)
    for budget in (20, 40):
        show(f"the {budget} rows that score highest", score >= np.sort(score)[-budget], real)


def show(policy: str, alarm: NDArray[np.bool_], real: NDArray[np.bool_]) -> None:
    """One line: alarms, the share of them that is false, the share of normal rows flagged, of
    anomalies found.
    """
    false = np.mean(~real[alarm]) if alarm.any() else 0.0
    print(
        f"{policy:<32}{alarm.sum():>8}{false:>8.0%}{alarm[~real].mean():>18.1%}{alarm[real].mean():>18.0%}"
    )


if __name__ == "__main__":
    main()
