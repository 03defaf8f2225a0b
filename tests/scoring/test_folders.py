"""Folders of images as a source: listed once, whatever becomes of them; and what is doubted."""

import logging

import numpy as np
import pytest
from PIL import Image

from unseen.errors import DataError
from unseen.scoring.folders import ImageFolder


def test_a_folder_is_listed_once(tmp_path):
    def save(name):
        Image.fromarray(np.zeros((40, 40), dtype=np.uint8)).save(tmp_path / name)

    save("b.png")
    save("c.png")
    source = ImageFolder(tmp_path)
    assert source.count() == 2
    save("a.png")  # it comes first by name, and would move all row numbers
    assert list(source.images.names) == ["b.png", "c.png"]
    assert source.count() == 2
    assert list(ImageFolder(tmp_path).images.names) == ["a.png", "b.png", "c.png"]


def saved(folder, *names):
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        values = rng.integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(values).save(folder / name)


def test_a_folder_that_seems_to_hold_normal_images_is_doubted(tmp_path, caplog):
    saved(
        tmp_path, *(f"train_normal/{k}.png" for k in range(4)), "test_normal/a.png", "crack/b.png"
    )
    saved(tmp_path, "not_good/c.png", "abnormal/d.png")
    with caplog.at_level(logging.WARNING, logger="unseen"):
        ImageFolder(tmp_path, "train_normal").labelled()
    doubts = [r.message for r in caplog.records if "taken for a class" in r.message]
    assert doubts == [
        "sub-folder 'test_normal' is taken for a class of anomalies: if its images are normal, "
        "move them into 'train_normal', or leave them out"
    ]


def test_normals_of_another_product_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(DataError, match="none of its 1 images can be used"):
        ImageFolder(tmp_path).normals()
