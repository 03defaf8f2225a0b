"""What docs/guides/moving.md shows reads the formats that it names: files as AWS and Azure document
them become what `fit` takes.
"""

import doctest
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unseen import Images

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "moving.md"


@pytest.fixture(scope="module")
def shown():
    """The functions of the page."""
    found = {}
    for example in doctest.DocTestParser().get_examples(PAGE.read_text()):
        if example.source.startswith(("import", "from", "def")):
            exec(example.source, found)
    return found


def entry(name, kind, **more):
    detail = {"class-name": kind, "type": "groundtruth/image-classification", "confidence": 1}
    line = {"source-ref": f"s3://bucket-1/{name}", "anomaly-label": int(kind != "normal")}
    return json.dumps(line | {"anomaly-label-metadata": detail} | more)


def test_a_manifest_becomes_folders_with_masks(shown, tmp_path):
    bucket = tmp_path / "bucket"
    (bucket / "a").mkdir(parents=True)
    for name in ("a/1.png", "a/2.png", "a/3.jpg"):
        Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(bucket / name)
    mask = np.full((20, 30, 3), 255, np.uint8)
    mask[2:5, 3:9] = (0x2C, 0xA0, 0x2C)  # 18 pixels of a scratch
    mask[10:12, 3:6] = (0x1F, 0x77, 0xB4)  # 6 of a dent
    Image.fromarray(mask).save(bucket / "mask.png")
    colours = {"BACKGROUND": "#ffffff", "scratch": "#2ca02c", "dent": "#1f77b4"}
    named = {
        str(k): {"class-name": name, "hex-color": code, "confidence": 0.0}
        for k, (name, code) in enumerate(colours.items())
    }
    masked = {"anomaly-mask-ref": "s3://bucket-1/mask.png"}
    masked |= {"anomaly-mask-ref-metadata": {"internal-color-map": named}}
    lines = [entry("a/1.png", "normal"), entry("a/2.png", "anomaly", **masked)]
    lines.append(entry("a/3.jpg", "anomaly"))
    (tmp_path / "m.manifest").write_text("\n".join(lines) + "\n")
    shown["moved"](tmp_path / "m.manifest", bucket, tmp_path / "tiles")
    images = Images.read(tmp_path / "tiles")
    assert dict(zip(images.names, images.labels, strict=True)) == {
        "anomaly/000002.jpg": "anomaly",
        "normal/000000.png": "normal",
        "scratch/000001.png": "scratch",
    }
    found = np.asarray(Image.open(tmp_path / "tiles" / "scratch" / "000001_mask.png")) > 0
    assert found.sum() == 24
    assert found[2, 3]
    assert not found[0, 0]


def test_windows_of_failures_become_labels(shown, tmp_path):
    (tmp_path / "sensors.csv").write_text(
        "Timestamp, Sensor 1\n2020/1/1 0:00, 2\n2020/1/1 0:05, 3\n2020/1/1 0:10, 5\n"
    )
    (tmp_path / "labels.csv").write_text(
        "1/1/2020 0:04,1/1/2020 0:05\n1/3/2020 0:00,1/4/2020 0:00\n"
    )
    table = shown["labelled"](tmp_path / "sensors.csv", tmp_path / "labels.csv")
    assert table["what"].tolist() == ["normal", "failure", "normal"]
    assert table.columns.tolist() == ["Timestamp", "Sensor 1", "what"]


def test_many_tables_become_one(shown, tmp_path):
    (tmp_path / "flow.csv").write_text(
        "timestamp,value\n2021-01-01T00:00:00Z,1\n2021-01-01T00:01:00Z,2\n"
    )
    (tmp_path / "heat.csv").write_text("timestamp,value\n2021-01-01T00:01:00Z,7\n")
    table = shown["joined"](tmp_path)
    assert table.columns.tolist() == ["timestamp", "flow", "heat"]
    assert table["flow"].tolist() == [1, 2]
    assert table["heat"].isna().tolist() == [True, False]
