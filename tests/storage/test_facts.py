"""What `unseen info` shows of a detector that anybody may have saved: any facts, and no commands to
the terminal.
"""

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest

from unseen.cli import main as cli
from unseen.detector.detector import Detector
from unseen.methods.distances import Mahalanobis
from unseen.storage.bundle import Bundle

COUNTS = {
    "source": "a.csv",
    "label": "y",
    "rows": 9,
    "normals": 7,
    "unlabelled": 0,
    "anomalies": {"leak": 2},
}
REPORT = {
    "method": "nearest",
    "protocol": {"shots": 3, "seeds": 1, "seen": 1, "normals": 9},
    "classes": [],
}


def shown(facts, tmp_path, capsys, names=("a", "b")):
    x = np.random.default_rng(0).normal(size=(60, 2))
    table = pa.table(dict(zip(names, x.T, strict=True)))
    Bundle(Detector(Mahalanobis(), random_state=0).fit(table), facts).save(tmp_path / "m")
    assert cli.main(["info", str(tmp_path / "m")]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"rows": 430}, "rows 430"),
        ({"evaluation": "AUROC 0.9"}, 'evaluation "AUROC 0.9"'),
        ({"evaluation": [REPORT]}, 'evaluation [{"method": "nearest"'),
        ({"evaluation": [{"protocol": 3}]}, 'evaluation [{"protocol": 3}]'),
        ({"created": 5}, "created 5"),
        ({**COUNTS, "anomalies": ["leak"]}, 'anomalies ["leak"]'),
        ({**COUNTS, "rows": 10**30}, "rows 1000000000000000000000000000000"),
        ({"adapted": [1, [2, [3]]]}, "adapted [1, [2, [3]]]"),
        ({"drop": 7}, "drop 7"),
        ({"drop": ["id"], "label": None}, "left out id"),
        ({"note": "x" * 5000}, "(5,002 characters)"),
        ({str(k): k for k in range(25)}, "more facts 5"),
        (COUNTS, "9: 7 normal, 2 anomalies"),
    ],
)
def test_any_facts(tmp_path, capsys, facts, line):
    assert line in " ".join(shown(facts, tmp_path, capsys).split())


@pytest.mark.parametrize(
    "facts",
    [{"drop": None, "label": [1]}, {"rows": "many", "source": 3}, {"group": {}, "rows": -1}],
)
def test_commands_that_read_facts_go_on_without_those_of_no_known_form(tmp_path, capsys, facts):
    shown(facts, tmp_path, capsys)
    arrow_csv.write_csv(
        pa.table({"a": np.arange(40.0) % 7, "b": np.arange(40.0) % 5}), tmp_path / "t.csv"
    )
    assert (
        cli.main(
            ["adapt", str(tmp_path / "m"), str(tmp_path / "t.csv"), "--out", str(tmp_path / "m2")]
        )
        == 0
    )
    assert (
        cli.main(
            [
                "audit",
                str(tmp_path / "m"),
                str(tmp_path / "t.csv"),
                "--out",
                str(tmp_path / "s.csv"),
            ]
        )
        == 2
    )
    assert "t.csv: " in capsys.readouterr().err  # it is another table than the training one


HOSTILE = "a\x1b[2J\u202eb\x9b31m\u2066c"


def test_nothing_commands_the_terminal(tmp_path, capsys):
    counts = {**COUNTS, "source": HOSTILE, "anomalies": {HOSTILE: 2}}
    facts = {**counts, HOSTILE: HOSTILE, "unseen": HOSTILE, "half": "\udcff\r\x07"}
    text = shown(facts, tmp_path, capsys, names=(HOSTILE, "b"))
    assert not {*"\x1b\u202e\x9b\u2066\udcff\r\x07"} & {*text}
    assert text.replace("\n", "").replace(" ", "").count(r"a\x1b[2J\u202eb\x9b31m\u2066c") == 4


def test_nor_do_messages(tmp_path, capsys):
    assert cli.main(["info", str(tmp_path / "\x1b[31mred")]) == 2
    assert r"\x1b[31mred: expected the folder of a saved detector" in capsys.readouterr().err
