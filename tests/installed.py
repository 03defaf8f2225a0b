"""The main job with `unseen` as it is installed, far from the checkout: `python -I
tests/installed.py`.

Short, with one plain method, and without anything that only tests need: for clean environments.
"""

import csv
import os
import runpy
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import numpy
import torch

import unseen

CHECKOUT = Path(__file__).resolve().parents[1]
METHOD = ("--method", "mahalanobis")
TRAIN = ("train.csv", "--label", "kind", "--drop", "row", *METHOD)


def command(folder, *arguments):
    """One command line of the installed program, run in the folder."""
    program = Path(sys.executable).with_name("unseen")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([program, *arguments], cwd=folder, env=environment, check=True)


def flagged(folder, kinds):
    """Share of the rows of some kinds that were called anomalies."""
    with (folder / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] in kinds]
    return sum(row["verdict"] == "anomaly" for row in rows) / len(rows)


def main():
    """Fit, score, evaluate and load again on the demo's tables; an AssertionError where something
    is amiss.
    """
    home = Path(unseen.__file__).resolve().parent
    assert not home.is_relative_to(CHECKOUT / "src"), (
        f"unseen is imported from the checkout, {home}"
    )
    assert resources.files("unseen").joinpath("py.typed").is_file(), (
        "py.typed is not in the package"
    )
    demo = runpy.run_path(str(CHECKOUT / "examples" / "demo.py"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        demo["write_tables"](folder)
        command(folder, "fit", *TRAIN, "--out", "model")
        command(
            folder, "score", "model", "test.csv", "--out", "scores.csv", "--keep", "row", "kind"
        )
        command(folder, "evaluate", *TRAIN, "--test", "test.csv", "--seen", "2", "--seeds", "1")
        command(folder, "info", "model")
        assert flagged(folder, {"normal"}) < 0.15
        assert flagged(folder, set(demo["UNLABELLED"])) > 0.5
    print(
        f"unseen {unseen.__version__} in {home} works with NumPy {numpy.__version__}, torch "
        f"{torch.__version__}"
    )


if __name__ == "__main__":
    main()
