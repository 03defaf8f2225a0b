"""What is written as JSON, and the page that says what it holds: neither has a field more."""

import csv
import json
import re
import string
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest

from unseen.cli import main as cli
from unseen.io.write import save_json

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
FIGURES = {"auroc", "tpr_at_5_fpr", "tpr_at_1_fpr", "ap_1", "worst_auroc"}
ROLES = {"normal", "seen", "unseen"}
CALLED = {"normal", "its class", "another class", "new kind", "unsure"}


def documented(about):
    """Paths in the section of the page with these words in its heading, and which are objects as a
    whole.
    """
    section = next(part for part in PAGE.read_text().split("\n## ") if about in part.split("\n")[0])
    paths, whole = set(), set()
    for item in re.split(r"\n\* ", section)[1:]:
        names, _, text = " ".join(item.split()).partition(": ")
        found = re.findall(r"`([^`]+)`", names)
        paths.update(found)
        whole.update(found if text.startswith("object") else ())
    return paths, whole


def written(value, whole, path=""):
    """The path of every plain value, names of objects that differ by their data as `*`."""
    if path in whole or not isinstance(value, dict | list):
        return {path}
    if isinstance(value, list):
        return {each for entry in value for each in written(entry, whole, f"{path}[]")}
    found = set()
    for name, inner in value.items():
        starred = set(value) in (FIGURES, ROLES, CALLED)
        below = f"{path}.{'*' if starred else name}".lstrip(".")
        found |= written(inner, whole, below)
    return found


def agree(about, plain):
    """Both ways; a path that may be null is documented as such, and what is below it, too."""
    paths, whole = documented(about)
    found = written(plain, whole)
    assert found <= paths, f"not on the page: {sorted(found - paths)}"
    above = {path for path in paths if any(other.startswith(f"{path}.") for other in paths)}
    assert paths - above <= found, f"on the page alone: {sorted(paths - above - found)}"
    assert plain["format"] == 1


def table(seed, moved=0.0, n=250, **anomalies):
    """Two numbers and a category; rows of a kind lie where it says."""
    rng = np.random.default_rng(seed)
    kinds = ["normal"] * n + [kind for kind in anomalies for _ in range(50)]
    x = (
        rng.normal(size=(len(kinds), 2))
        + np.array([anomalies.get(k, moved) for k in kinds])[:, None]
    )
    level = rng.choice(list(string.ascii_lowercase[:4]), len(kinds))
    return pa.table({"a": x[:, 0], "b": x[:, 1], "c": level, "label": kinds})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    arrow_csv.write_csv(table(0, up=6.0, down=-6.0, far=12.0), folder / "train.csv")
    arrow_csv.write_csv(table(1, moved=1.0, new=6.0), folder / "next.csv")
    assert cli.main(f"fit {folder}/train.csv --label label --out {folder}/m".split()) == 0
    return folder


def test_evaluate(made, tmp_path):
    line = f"evaluate {made}/train.csv --label label --seeds 1 --seen 2 --json {tmp_path}/e.json"
    assert cli.main([*line.split(), "--method", "evidence-stack"]) == 0
    plain = json.loads((tmp_path / "e.json").read_text())
    assert [each["method"] for each in plain["methods"]] == ["evidence-stack"]
    agree("evaluate", plain)
    assert set(plain["methods"][0]["unseen"]) == FIGURES
    assert set(plain["methods"][0]["verdicts"]["confusion"]) == ROLES
    assert set(plain["methods"][0]["verdicts"]["confusion"]["seen"]) == CALLED


def test_drift(made, tmp_path):
    assert cli.main(f"drift {made}/m {made}/next.csv --json {tmp_path}/d.json".split()) == 3
    agree("drift", json.loads((tmp_path / "d.json").read_text()))


def test_reasons(made, tmp_path):
    line = f"score {made}/m {made}/next.csv --out {tmp_path}/s.csv --reasons 2"
    assert cli.main(line.split()) == 0
    with (tmp_path / "s.csv").open(newline="") as file:
        found = [json.loads(row["reasons_json"]) for row in csv.DictReader(file) if row["reasons"]]
    agree("reasons_json", next(plain for plain in found if plain["change"]))


def test_a_difference_between_page_and_output_is_found():
    paths, _ = documented("drift")
    plain = {name: 0 for name in paths if "[" not in name} | {"format": 1}
    columns = [{name.partition(".")[2]: 0 for name in paths if "[" in name}]
    agree("drift", plain | {"columns": columns})
    with pytest.raises(AssertionError, match="not on the page"):
        agree("drift", plain | {"columns": columns, "more": 0})
    with pytest.raises(AssertionError, match="on the page alone: ..columns"):
        agree("drift", plain)


def test_what_is_no_json_is_null(tmp_path):
    save_json(tmp_path / "x.json", {"a": float("nan"), "b": [float("-inf"), 1.5]})
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "format": 1,
        "a": None,
        "b": [None, 1.5],
    }
