"""Folders of images as a source: listed once, whatever becomes of the folder meanwhile."""

import numpy as np
from PIL import Image

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
