"""What a saved detector holds, and the page that says so: neither has a field more."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest
from safetensors import safe_open

from toys import domains, maps_of
from unseen import Bundle, Detector
from unseen.cli import main as cli
from unseen.methods.distances import Mahalanobis, Nearest
from unseen.methods.patches import Patches
from unseen.testing import toy_maps

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bundle.md"


def documented(about):
    """Names of the fields that the page lists below `about`, and the text of each."""
    section = PAGE.read_text().partition("\n## Field by field\n")[2].partition("\n## ")[0]
    text = section.partition(f"\n`{about}`")[2]
    items = re.split(r"\n\* ", re.split(r"\n\n(?!\*)", text)[0])[1:]
    found = {}
    for item in items:
        for each in re.split(r"; (?=`)", " ".join(item.split())):
            names, _, meaning = each.partition(": ")
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", names), meaning)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Saved detectors with everything that one may have: domains, classes that were held out in one
    pass, heat maps.
    """
    place = tmp_path_factory.mktemp("saved")
    data = domains(rows=40, anomalies=6)
    x, site = data.x.numpy(), data.group.numpy()
    kinds = np.where(data.y == 0, "normal", np.where(np.arange(len(x)) % 2, "up", "down"))
    detectors = {
        "domains": Detector(Nearest(), random_state=0).fit(x, kinds, groups=site),
        "one pass": Detector(random_state=0).fit(x, kinds),
        "images": Detector(Patches(Mahalanobis()), calibration=0.5).fit(maps_of(toy_maps())),
    }
    for name, detector in detectors.items():
        Bundle(detector).save(place / name)
    return list(place.iterdir())


def test_the_text(folders):
    plain = [json.loads((folder / "bundle.json").read_text()) for folder in folders]
    fields = documented("bundle.json")
    assert set.union(*map(set, plain)) == set(fields)
    settings = set(re.findall(r"`(\w+)`", fields["detector"].partition("[")[0]))
    assert set.union(*(set(each["detector"]) for each in plain)) == settings
    assert plain[0]["format"] == int(fields["format"])


def test_the_tensors(folders):
    names = set()
    for folder in folders:
        with safe_open(folder / "tensors.safetensors", framework="pt") as file:
            names |= {re.sub(r"^\d+\.(scorer)?", r"\1", name) for name in list(file.keys())}
    scorers = {name for name in names if name.startswith("scorer.")}
    assert scorers
    assert names - scorers | {"scorer.*"} == set(documented("tensors.safetensors"))


def test_the_rows_that_stay(folders):
    text = PAGE.read_text().partition("\n`references.arrow`: ")[2].partition("\n## ")[0]
    with pa.ipc.open_file(folders[0] / "references.arrow") as file:
        own = {name for name in file.schema.names if name.startswith("unseen.")}
    assert own == set(re.findall(r"`(unseen\.\w+)`", text))


def test_the_facts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    n = 240
    columns = {name: rng.normal(size=n) for name in "abc"}
    columns |= {"day": np.arange(n) // 20, "site": np.arange(n) % 2, "id": np.arange(n)}
    columns["what"] = ["normal"] * (n - 20) + ["leak"] * 20
    arrow_csv.write_csv(pa.table(columns), "t.csv")
    light = "--method mahalanobis"
    for line in (
        f"fit t.csv --label what --drop id --group site {light} --out a",
        f"fit t.csv --label what --drop id --block day {light} --out b",
        f"fit t.csv --no-header {light} --out c",
        f"fit t.csv --label what --drop id --group site --rows 100 {light} --out g",
        "adapt a t.csv --out d",
        "recalibrate b t.csv --out e",
        "check b t.csv -n 5 --out look.csv",
    ):
        assert cli.main(line.split()) == 0, line
    text = (tmp_path / "look.csv").read_text().replace('\n"",', '\n"normal",')
    (tmp_path / "look.csv").write_text(text)
    assert cli.main(["check", "b", "t.csv", "--answers", "look.csv", "--out", "f"]) == 0
    facts = {}
    for name in "abcdefg":
        facts |= json.loads((tmp_path / name / "bundle.json").read_text())["facts"]
    fields = documented("facts")
    assert set(facts) <= set(fields)
    # of images, and of detectors that a single method equals
    assert set(fields) - set(facts) <= {"failed", "simpler"}
    for name in ("adapted", "recalibrated", "checked", "drawn"):
        assert set(facts[name]) == set(re.findall(r"`(\w+)`", fields[name]))
