"""The main job on real data: handwritten digits, through the command line that you would use
yourself.

Digits 0 to 3 are normal. Of the digits 4, 5 and 6 ten rows each are labelled. The digits 7, 8 and 9
are anomalies that nobody has labelled: training never sees one. Writes a folder: train.csv,
test.csv, model/, scores.csv, evaluation.json.

    python examples/demo.py [FOLDER]   (default: demo; replaces what an earlier run wrote there)
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NORMAL, LABELLED, UNLABELLED = NAMES[:4], NAMES[4:7], NAMES[7:]
TRAIN = 120  # training rows of each normal digit; the others, some 60 of each, are for the test
SHOTS = 10  # labelled rows of each labelled digit
WRITTEN = ("train.csv", "test.csv", "model", "scores.csv", "evaluation.json")


def write_tables(folder: Path) -> None:
    """train.csv and test.csv: a row number, 64 pixels, and the kind of the row, "normal" or a
    digit's name.
    """
    digits = load_digits()
    rng = np.random.default_rng(0)
    train, test = [], []
    for value, name in enumerate(NAMES):
        rows = rng.permutation(np.flatnonzero(digits.target == value))
        shown = TRAIN if name in NORMAL else SHOTS if name in LABELLED else 0
        train.append(rows[:shown])
        test.append(rows[shown:])
    for file, parts in (("train.csv", train), ("test.csv", test)):
        with (folder / file).open("w", newline="") as out:
            table = csv.writer(out)
            table.writerow(["row", *(f"pixel{i}" for i in range(64)), "kind"])
            for row in rng.permutation(np.concatenate(parts)):
                name = NAMES[digits.target[row]]
                kind = "normal" if name in NORMAL else name
                table.writerow([row, *digits.data[row].astype(int), kind])


def clear(folder: Path) -> None:
    """Remove what an earlier run wrote, and nothing else."""
    for name in WRITTEN:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def unseen(*arguments: str) -> None:
    """One command line, shown as you would type it, then run."""
    print("\n$ unseen", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "unseen", *arguments], check=True)


def alarms(folder: Path, alpha: float) -> None:
    """Share of the rows of each kind with a p-value of at most alpha."""
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"\nAlarms in {folder / 'scores.csv'} at p <= {alpha}, by what the rows really are:")
    for kind in ("normal", *LABELLED, *UNLABELLED):
        pvalues = [float(row["pvalue"]) for row in rows if row["kind"] == kind]
        what = (
            ""
            if kind == "normal"
            else "  ten rows were labelled"
            if kind in LABELLED
            else "  never labelled"
        )
        print(f"  {kind:<8}{np.mean(np.array(pvalues) <= alpha):>6.0%} of {len(pvalues)}{what}")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    clear(folder)
    write_tables(folder)
    train, test, model = str(folder / "train.csv"), str(folder / "test.csv"), str(folder / "model")
    unseen("fit", train, "--label", "kind", "--drop", "row", "--out", model)
    unseen("score", model, test, "--out", str(folder / "scores.csv"), "--keep", "row", "kind")
    alarms(folder, alpha=0.05)
    unseen(
        *(
            "evaluate",
            train,
            "--test",
            test,
            "--label",
            "kind",
            "--drop",
            "row",
            "--seen",
            "2",
            "--seeds",
            "2",
        ),
        *("--method", "evidence-stack", "devnet", "mahalanobis"),
        *("--json", str(folder / "evaluation.json")),
    )
    print(f"\nIn {folder}/: {', '.join(WRITTEN)}")


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["demo"]))
