"""What an exported graph takes: rows as their encoders see them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.labels import encode_groups
from unseen.detector.detector import Detector
from unseen.storage.onnx_graph import encodings, input_names

Inputs = dict[str, NDArray[Any]]


def onnx_inputs(detector: Detector, X: Any, *, groups: Any = None) -> Inputs:
    """What an exported graph takes for these rows.

    Parameters
    ----------
    detector : Detector
        The one that was exported, or the same loaded from its folder.
    X : data frame, array (n, columns), Images or Maps
        Rows or images like those of training.
    groups : sequence (n,), optional
        Their domains, where `fit` was given some; without, rows are judged beside all.

    Returns
    -------
    dict of str to array
        `x` (n, *f), float32; of a detector of K folds `x0` to `x{K-1}`, one for each. Of rows of a
        table also `unprecedented` (n,), float64: how much each shows that training never did. Where
        domains have p-values of their own also `domain` (n,), int64: the place in `groups_`, -1
        for none.

    Raises
    ------
    NotFitted
        Before `fit`.
    DataError
        For rows of another sort than those of training, and groups that do not name the domain of
        each row.

    >>> rng = np.random.default_rng(0)
    >>> detector = Detector("mahalanobis", random_state=0).fit(rng.normal(size=(2000, 3)))
    >>> inputs = onnx_inputs(detector, [[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    >>> {name: (each.shape, str(each.dtype)) for name, each in inputs.items()}
    {'x': ((2, 3), 'float32'), 'unprecedented': ((2,), 'float64')}
    """
    detector.check_fitted()
    rows, names = detector.schema_.admit(X), input_names(detector)
    found: Inputs = {name: each.encode(rows) for name, each in encodings(detector).items()}
    if "unprecedented" in names:
        found["unprecedented"] = detector.members_[0].encoder.unprecedented(rows)
    if "domain" in names:
        known = tuple(detector.groups_)
        code, _ = encode_groups(groups, rows=len(rows), known=known)
        told = groups is not None
        found["domain"] = np.where(told & (code < len(known)), code, -1)
    return found


def made_up(detector: Detector, n: int, rng: np.random.Generator) -> Inputs:
    """Rows of no table, from near to far: n of each input."""
    found: Inputs = {}
    for name, encoder in encodings(detector).items():
        far = rng.choice([0.3, 1.0, 3.0, 10.0], size=(n, *[1] * len(encoder.shape)))
        x = (far * rng.normal(size=(n, *encoder.shape))).clip(-10, 10)
        found[name] = x.astype(np.float32)
    return found | beside(detector, n, rng)


def beside(detector: Detector, n: int, rng: np.random.Generator) -> Inputs:
    """What a graph takes beside n encoded rows, at random: some show what training never did."""
    found: Inputs = {}
    names = input_names(detector)
    if "unprecedented" in names:
        found["unprecedented"] = np.where(rng.random(n) < 0.2, rng.uniform(0, 3, n).round(1), 0.0)
    if "domain" in names:
        found["domain"] = rng.integers(-1, len(detector.groups_), n)
    return found
