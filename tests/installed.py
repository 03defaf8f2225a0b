"""The main job with `unseen` as it is installed, with the extra `serve`, far from the checkout:
`python -I tests/installed.py [WHEEL]`. A wheel has to hold the very files that are installed.

Short, with one plain method, and without anything that only tests need: for clean environments.
"""

import csv
import json
import os
import runpy
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata, resources
from pathlib import Path
from urllib.request import Request, urlopen

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


def asked(address, path, token=None, **rows):
    """What the service answers; rows are posted."""
    body = json.dumps(rows).encode() if rows else None
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    with urlopen(Request(address + path, body, headers), timeout=60) as answer:
        return answer.read().decode()


def serves(folder):
    """The service starts on a new database, and says of rows what scoring them said."""
    program = Path(sys.executable).with_name("unseen")
    with (folder / "scores.csv").open(newline="") as file:
        expected = [float(row["pvalue"]) for row in csv.DictReader(file)]
    with (folder / "test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    make = [program, "token", "add", "tests", "--role", "admin", "--home", "home"]
    token = subprocess.run(make, cwd=folder, check=True, capture_output=True, text=True).stdout
    line = [program, "serve", "model", "--home", "home", "--port", "0"]
    server = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        address = next(line.split()[-1] for line in server.stdout if "serving on" in line)
        assert "ready" in asked(address, "/readyz")
        found = json.loads(asked(address, "/v1/models/model/score", token.strip(), rows=rows))
        assert [row["pvalue"] for row in found["rows"]] == expected
        assert "# Model card" in asked(address, "/v1/models/model/card", token.strip())
        assert "<h1" in asked(address, "/review/sign-in")  # templates are in the package
    finally:
        server.terminate()
        server.wait(60)


def held(lines):
    """Each file of the package and its hash, of the lines of a RECORD; not what an installation
    adds.
    """
    found = dict(line.split(",")[:2] for line in lines if line.startswith("unseen"))
    added = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", ".pyc")
    return {name: digest for name, digest in found.items() if not name.endswith(added)}


def holds_what_is_installed(wheel):
    """The same files as those installed, to the last byte."""
    installed = held(metadata.distribution("unseen").read_text("RECORD").splitlines())
    with zipfile.ZipFile(wheel) as file:
        [record] = [name for name in file.namelist() if name.endswith(".dist-info/RECORD")]
        inside = held(file.read(record).decode().splitlines())
    other = {each[0] for each in installed.items() ^ inside.items()}
    assert len(inside) > 100, f"{wheel} holds {len(inside)} files"
    assert not other, f"{wheel} and what is installed differ in {sorted(other)}"


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
    for wheel in sys.argv[1:]:
        holds_what_is_installed(wheel)
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
        serves(folder)
    print(
        f"unseen {unseen.__version__} in {home} works with NumPy {numpy.__version__}, torch "
        f"{torch.__version__}"
    )


if __name__ == "__main__":
    main()
