"""Which rows each seed of an open-set evaluation trains on and tests on."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen.data.split import Rows, block_halves, class_halves
from unseen.errors import DataError
from unseen.evaluation.choices import Protocol
from unseen.wording import option

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Draw:
    """One seed's rows.

    Parameters
    ----------
    train : array
        Numbers of rows of the training table (n,).
    y : array
        What training is told of them (n,): 0 normal, also for hidden anomalies, else the code of a
        seen class.
    seen : tuple of int
        Codes of the anomaly classes with labels, in rising order.
    test : array
        Numbers of rows of the test table (k,).
    """

    train: Rows
    y: NDArray[np.int64]
    seen: tuple[int, ...]
    test: Rows


def draw_rows(
    codes: NDArray[np.int64],
    answers: NDArray[np.int64],
    choices: Protocol,
    rng: np.random.Generator,
    alike: NDArray[np.int64] | None,
    blocks: NDArray[np.int64] | None = None,
) -> Draw:
    """One seed's rows: all of both tables when there are two, else a split, less test rows that
    training shows too.

    Parameters
    ----------
    codes, answers : array
        Codes of the labels of the table to train on (n,), and of that to test on (k,): 0 normal.
    choices : Protocol
        How many classes and rows are labelled.
    rng : Generator
        Where the randomness comes from: one of its own for each seed.
    alike : array or None
        For one table that is split, a number for each row, the same for rows that are copies (n,);
        None for two tables.
    blocks : array or None
        For one table, the block of each row (n,): whole blocks train, and the others test.

    Returns
    -------
    Draw
        Rows to train on with what training is told, and rows to test on.
    """
    if alike is None:
        train, test = np.arange(len(codes)), np.arange(len(answers))
    else:
        train, test = (
            class_halves(codes, rng) if blocks is None else block_halves(codes, blocks, rng)
        )
        if blocks is not None:
            _check_blocks(blocks[codes == 0], blocks[train][codes[train] == 0])
        test = test[~np.isin(alike[test], alike[train])]
    seen = _draw_seen(
        codes[train], len(np.union1d(codes[codes > 0], answers[answers > 0])), choices, rng
    )
    return Draw(*_draw_training(codes, train, seen, choices, rng), seen, test)


def _check_blocks(normal: NDArray[np.int64], training: NDArray[np.int64]) -> None:
    """Raise unless enough blocks of normal rows train to tell how blocks differ."""
    count, train = len(np.unique(normal)), len(np.unique(training))
    if train < 2:
        raise DataError(
            f"normal rows are of {count:,} blocks, about half of which train and the others test: "
            f"{train} would train, and it takes at least 2, better 8. Bring rows of more blocks, "
            f"test on another file ({option('test', ...)}), or name another column"
        )


def _draw_seen(
    codes: NDArray[np.int64], classes: int, choices: Protocol, rng: np.random.Generator
) -> tuple[int, ...]:
    """Anomaly classes that get labels, of those with enough rows; one always stays out, also when
    they are few.
    """
    counts = np.bincount(codes)
    eligible = [c for c in range(1, len(counts)) if counts[c] >= choices.shots]
    enough = len(eligible) >= choices.seen and classes > choices.seen
    count = choices.seen if enough else len(eligible) - 1
    return tuple(sorted(rng.choice(eligible, count, replace=False).tolist())) if count > 0 else ()


def _draw_training(
    codes: NDArray[np.int64],
    rows: Rows,
    seen: tuple[int, ...],
    choices: Protocol,
    rng: np.random.Generator,
) -> tuple[Rows, NDArray[np.int64]]:
    """Training normals, `shots` rows of each seen class, and hidden anomalies of those classes
    among the normals.
    """
    shuffled = rng.permutation(rows)
    normals = shuffled[codes[shuffled] == 0][: choices.normals]
    of_class = [shuffled[codes[shuffled] == c] for c in seen]
    shots = [r[: choices.shots] for r in of_class]
    rest = rng.permutation(np.concatenate([shuffled[:0], *(r[choices.shots :] for r in of_class)]))
    wanted = round(len(normals) * choices.contamination / (1 - choices.contamination))
    if wanted > len(rest):
        log.warning(
            "contamination: %d unlabelled anomalies of the seen classes wanted, %d there are",
            wanted,
            len(rest),
        )
    normals = np.concatenate([normals, rest[:wanted]])
    y = np.repeat([0, *seen], [len(normals), *map(len, shots)]).astype(np.int64)
    return np.concatenate([normals, *shots]), y
