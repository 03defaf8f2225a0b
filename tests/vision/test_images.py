"""Images on disk: which files are taken, what their labels and masks are, and what their pixels
become.
"""

import logging
import os
import struct
import sys
import zlib
from collections import Counter

import numpy as np
import pytest

from unseen.errors import DataError, Unsupported
from unseen.vision import pixels
from unseen.vision.images import Images
from unseen.vision.pixels import eight_bits, mask_of, pixels_of

Image = pytest.importorskip("PIL.Image")

SIDE = 16


@pytest.fixture
def folder(tmp_path):
    """`folder("a/1.jpg", "a/1.png")`: a new folder that holds such files, which nobody opens."""

    def filled(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return filled


def listing(folder, **options):
    """Name, label and mask of each image."""
    found = Images.read(folder, **options)
    masks = [m and m.relative_to(folder).as_posix() for m in found.masks]
    return list(zip(found.names, found.labels, masks, strict=True))


@pytest.fixture
def saved(tmp_path):
    """`saved("a.png", values)`: the path of an image file with these values, an array or a picture
    of Pillow.
    """

    def written(name, values, **options):
        picture = Image.fromarray(values) if isinstance(values, np.ndarray) else values
        picture.save(tmp_path / name, **options)
        return tmp_path / name

    return written


def grey(value, dtype=np.uint8, shape=(SIDE, SIDE)):
    return np.full(shape, value, dtype=dtype)


def ramp(*values, dtype=np.uint16):
    """Rows that repeat these values."""
    return np.tile(np.resize(np.array(values, dtype=dtype), SIDE), (SIDE, 1))


def colour(*rgb):
    return np.full((SIDE, SIDE, len(rgb)), rgb, dtype=np.uint8)


def header(width, height):
    """The start of a PNG file of that size, without its pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0"))
    )


def test_class_is_the_first_folder_and_a_file_outside_of_any_has_none(folder):
    root = folder("normal/1.jpg", "MT_Free/Imgs/x.jpg", "MT_Free/y.jpg", "new.jpg")
    assert listing(root) == [
        ("MT_Free/Imgs/x.jpg", "MT_Free", None),
        ("MT_Free/y.jpg", "MT_Free", None),
        ("new.jpg", None, None),
        ("normal/1.jpg", "normal", None),
    ]


def test_labels_are_folders_whether_or_not_one_is_normal(folder):
    root = folder("a/1.jpg", "b/1.jpg")
    assert Images.read(root, normal="a").labels == ("a", "b")
    assert Images.read(root, normal="c").labels == ("a", "b")


def test_endings_in_any_case_and_nothing_hidden(folder):
    taken = ["a.JPG", "b.jpeg", "c.Png", "d.bmp", "e.tif", "f.TIFF", "g.webp", "h.jfif", "i.jpe"]
    root = folder(*taken, "j.gif", "k.txt", "jpg", ".k.jpg", ".l/m.jpg", "n/.o/p.jpg")
    assert Images.read(root).names == taken


def test_order_of_creation_does_not_matter(tmp_path):
    names = [
        f"{c}/{i}{end}"
        for c in ("a", "a b", "B", "normal")
        for i in range(4)
        for end in (".jpg", ".png")
    ]
    results = []
    for seed in range(3):
        root = tmp_path / str(seed)
        for i in np.random.default_rng(seed).permutation(len(names)):
            (root / names[i]).parent.mkdir(parents=True, exist_ok=True)
            (root / names[i]).touch()
        results.append(listing(root))
    assert results[0] == results[1] == results[2]
    assert [name for name, _, _ in results[0]] == sorted(
        name for name in names if name.endswith(".jpg")
    )


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".bmp", ".tif", ".webp"])
def test_png_of_the_same_name_beside_an_image_is_its_mask(folder, ending):
    root = folder(f"a/x{ending}", "a/x.PNG", "a/y.png", "b/x.png")
    assert listing(root) == [
        (f"a/x{ending}", "a", "a/x.PNG"),
        ("a/y.png", "a", None),
        ("b/x.png", "b", None),
    ]


def test_png_called_mask_belongs_to_every_image_of_its_name(folder):
    root = folder(
        "a/x.1.png", "a/x.1_mask.png", "a/y.jpg", "a/y.png", "a/y_mask.png", "z.bmp", "z_mask.PNG"
    )
    assert listing(root) == [
        ("a/x.1.png", "a", "a/x.1_mask.png"),
        ("a/y.jpg", "a", "a/y_mask.png"),
        ("a/y.png", "a", "a/y_mask.png"),
        ("z.bmp", None, "z_mask.PNG"),
    ]


MVTEC = (
    "ground_truth/hole/000_mask.png",
    "ground_truth/hole/001.png",
    "test/good/000.png",
    "test/hole/000.png",
    "test/hole/001.png",
    "test/hole/002.png",
    "train/good/000.png",
    "train/good/001.png",
)


@pytest.mark.parametrize("normal", ["normal", "good"])
def test_layout_of_mvtec(folder, normal):
    assert listing(
        folder(*MVTEC, "readme.txt", "overview.png", "test/loose.png"), normal=normal
    ) == [
        ("train/good/000.png", normal, None),
        ("train/good/001.png", normal, None),
        ("test/good/000.png", normal, None),
        ("test/hole/000.png", "hole", "ground_truth/hole/000_mask.png"),
        ("test/hole/001.png", "hole", "ground_truth/hole/001.png"),
        ("test/hole/002.png", "hole", None),
    ]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["train/good/1.jpg"], ("normal",)),
        (["train/good/1.jpg", "train/dent/2.jpg", "test/dent/1.jpg"], ("dent", "normal", "dent")),
        (["test/good/1.jpg", "test/dent/1.jpg", "ground_truth/dent/1.png"], ("dent", "normal")),
        (["test/good/1.jpg", "test/dent/1.jpg"], ("test", "test")),
        (["train/normal/1.jpg", "ground_truth/1.jpg"], ("train",)),
    ],
)
def test_layout_of_mvtec_is_known_by_its_folders(folder, names, labels):
    assert Images.read(folder(*names)).labels == labels


def test_masks_without_images_are_left_out_and_logged_once(folder, caplog):
    caplog.set_level(logging.WARNING, logger="unseen")
    root = folder("a/x.jpg", "a/x_mask.png", "b/z_mask.png", "a/y_mask.png")
    assert listing(root) == [("a/x.jpg", "a", "a/x_mask.png")]
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        (
            "unseen",
            "WARNING",
            f"{root}: left out 2 masks, first a/y_mask.png: no image has its name",
        )
    ]


def test_masks_of_mvtec_without_images_are_logged(folder, caplog):
    caplog.set_level(logging.WARNING, logger="unseen")
    Images.read(folder(*MVTEC, "ground_truth/scratch/000_mask.png"))
    assert [r.getMessage().split(": ", 1)[1] for r in caplog.records] == [
        "left out 1 masks, first ground_truth/scratch/000_mask.png: no image has its name; if the "
        "folder 'ground_truth' holds photos, give it another name"
    ]


def test_nothing_is_logged_where_every_mask_has_its_image(folder, caplog):
    caplog.set_level(logging.WARNING, logger="unseen")
    Images.read(folder(*MVTEC))
    assert not caplog.records


def test_links_to_folders_are_not_followed(folder, tmp_path):
    root = folder("in/a/1.jpg", "out/b/2.jpg") / "in"
    (root / "b").symlink_to(tmp_path / "out" / "b")
    (root / "round").symlink_to(root)
    assert Images.read(root).names == ["a/1.jpg"]


def test_folder_that_cannot_be_used(folder):
    root = folder("a/notes.txt", "a/x_mask.png", "a/LICENSE")
    with pytest.raises(DataError, match=r"nowhere: no such folder; check the spelling"):
        Images.read(root / "nowhere")
    with pytest.raises(
        DataError, match=r"notes\.txt: expected a folder of images, found a file; name the folder"
    ):
        Images.read(root / "a" / "notes.txt")
    with pytest.raises(
        DataError, match=r"end in \.jpg, .*\.webp, found 3 files \(\.png, \.txt, LICENSE\); name"
    ):
        Images.read(root)
    (root / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"empty: no image in it; .*, found no file; name another folder"
    ):
        Images.read(root / "empty")


def test_folder_below_that_cannot_be_read(folder, monkeypatch):
    root, scandir = folder("a/1.jpg", "b/2.jpg"), os.scandir

    def refusing(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(
        DataError, match=r"/b: the folder cannot be read \(Permission denied\); allow it"
    ):
        Images.read(root)


def test_take_keeps_what_belongs_together(folder):
    found = Images.read(str(folder("a/1.jpg", "a/1.png", "b/2.jpg", "c/3.jpg")))
    taken = found.take(np.array([2, 0]))
    assert (len(found), len(taken), taken.root) == (3, 2, found.root)
    assert (taken.names, taken.labels) == (["c/3.jpg", "a/1.jpg"], ("c", "a"))
    assert taken.masks == (None, found.root / "a" / "1.png")
    assert len(found.take(np.array([], dtype=np.int64))) == 0
    with pytest.raises(IndexError):
        found.take(np.array([3]))


def test_magnetic_tiles(shared):
    found = Images.read(shared("images/magnetic_tile"), normal="MT_Free")
    counts = {"Free": 952, "Blowhole": 115, "Break": 85, "Crack": 57, "Fray": 32, "Uneven": 103}
    assert Counter(found.labels) == {f"MT_{name}": count for name, count in counts.items()}
    assert list(found.masks) == [file.with_suffix(".png") for file in found.files]
    first = pixels_of(found.files[0])
    assert mask_of(found.masks[0], first.shape[:2]).any()


def test_colours_come_out_as_they_are(saved):
    values = np.random.default_rng(0).integers(0, 256, (17, 20, 3)).astype(np.uint8)
    result = pixels_of(str(saved("a.png", values)))
    assert (result.dtype, result.shape) == (np.uint8, (17, 20, 3))
    assert (result == values).all()
    result[0] = 0  # torch warns of arrays that cannot be written to


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "jpg"])
def test_formats_whatever_their_names_say(saved, ending):
    file = saved(f"a.{ending}", colour(128, 128, 128))
    assert (pixels_of(file.rename(file.with_name("b.jpeg"))) == 128).all()


def test_other_formats_are_not_opened(saved):
    file = saved("a.gif", grey(3))
    with pytest.raises(
        DataError, match=r"b\.png: expected an image \(JPEG, PNG, BMP, TIFF, WEBP\), but it cannot"
    ):
        pixels_of(file.rename(file.with_name("b.png")))


def test_grey_of_8_bits_and_of_1(saved):
    assert (
        pixels_of(saved("a.png", ramp(0, 7, 255, dtype=np.uint8)))[0, :3]
        == [[0] * 3, [7] * 3, [255] * 3]
    ).all()
    dots = Image.fromarray(ramp(0, 255, dtype=np.uint8)).convert("1")
    assert dots.mode == "1"
    assert (pixels_of(saved("b.png", dots))[0, :2] == [[0] * 3, [255] * 3]).all()


DEEP = {
    "16 bits": ((0, 257, 4096, 65535), (0, 1, 16, 255)),  # 4096 / 257 = 15.94
    # 16 and 256 times 255 / 4095 are 0.996 and 15.94
    "12 bits": ((0, 16, 256, 4095), (0, 1, 16, 255)),
    "8 bits": ((0, 1, 128, 255), (0, 1, 128, 255)),
    "more than 8": ((0, 1, 128, 256), (0, 0, 8, 16)),  # 128 * 255 / 4095 = 7.97
}


@pytest.mark.parametrize("case", DEEP)
@pytest.mark.parametrize("kind", ["I;16", "I"])
def test_grey_of_more_bits_is_scaled_by_what_its_largest_value_needs(saved, case, kind):
    values, expected = DEEP[case]
    file = saved("a.tif", ramp(*values, dtype=np.int32 if kind == "I" else np.uint16))
    with Image.open(file) as picture:
        assert picture.mode == kind
    assert (pixels_of(file)[0, :4] == np.array(expected)[:, None]).all()


def test_grey_of_16_bits_in_png(saved):
    assert (
        pixels_of(saved("a.png", ramp(0, 2570, 65535)))[0, :3] == [[0] * 3, [10] * 3, [255] * 3]
    ).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ramp(0, 1.5, dtype=np.float32),
            r"a\.tif: expected .* found float32 from 0\.0 to 1\.5, .*; scale it to 0\.\.65535",
        ),
        (ramp(-1, 5, dtype=np.int32), r"found int32 from -1 to 5"),
        (ramp(0, 65536, dtype=np.int32), r"found int32 from 0 to 65536"),
    ],
)
def test_grey_of_unknown_range_is_refused(saved, values, message):
    with pytest.raises(DataError, match=message):
        pixels_of(saved("a.tif", values))


def test_eight_bits_round_to_the_nearest(tmp_path):
    assert eight_bits(np.array([128, 129, 385, 386, 65535]), tmp_path).tolist() == [0, 1, 1, 2, 255]


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128])])
def test_palette(saved, transparency):
    picture = Image.fromarray(ramp(0, 1, dtype=np.uint8)).convert("P")
    picture.putpalette([10, 20, 30, 200, 100, 0])
    options = {} if transparency is None else {"transparency": transparency}
    assert (
        pixels_of(saved("a.png", picture, **options))[0, :2] == [[10, 20, 30], [200, 100, 0]]
    ).all()


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_alpha_is_dropped(saved, alpha):
    assert (pixels_of(saved("a.png", colour(10, 20, 30, alpha))) == [10, 20, 30]).all()
    assert (pixels_of(saved("b.png", colour(40, alpha))) == 40).all()


def test_cmyk(saved):
    # cyan
    inks = Image.merge("CMYK", [Image.new("L", (SIDE, SIDE), ink) for ink in (255, 0, 0, 0)])
    assert (pixels_of(saved("a.tif", inks)) == [0, 255, 255]).all()


def test_orientation_of_exif_is_applied(saved):
    values = grey(0, shape=(20, 32))
    values[0, :] = 255  # the top row, which is to become the right column
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    result = pixels_of(saved("a.png", values, exif=exif))
    assert result.shape == (32, 20, 3)
    assert (result[:, -1] == 255).all()
    assert (result[:, :-1] == 0).all()


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_first_of_several_frames(saved, ending):
    options = {"lossless": True} if ending == "webp" else {}
    more = [Image.fromarray(colour(200, 0, 0))]
    file = saved(f"a.{ending}", colour(0, 0, 50), save_all=True, append_images=more, **options)
    with Image.open(file) as picture:
        assert picture.n_frames == 2
    assert (pixels_of(file) == [0, 0, 50]).all()


def test_file_that_is_no_image(saved, tmp_path):
    with pytest.raises(DataError, match=r"none\.png: no such file; check the spelling"):
        pixels_of(tmp_path / "none.png")
    (tmp_path / "a.png").touch()
    with pytest.raises(
        DataError, match=r"a\.png: the file is empty; expected an image; copy it anew"
    ):
        pixels_of(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no such format")
    with pytest.raises(
        DataError, match=r"b\.png: expected an image .*, but it cannot be read as one \(.*\); copy"
    ):
        pixels_of(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"cannot be read as one \(.*[Dd]irectory"):
        pixels_of(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_truncated_file(saved, ending, share):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    file = saved(f"a.{ending}", noise)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"a\.{ending}: expected an image"):
        pixels_of(file)


def test_size_is_checked_at_its_limits(saved, monkeypatch):
    monkeypatch.setattr(pixels, "_MOST", 16 * 20)
    assert pixels_of(saved("a.png", grey(0, shape=(16, 20)))).shape == (16, 20, 3)
    message = (
        r"at least 16 pixels a side and at most 320 in all, found 21 x 16; scale it, or remove it"
    )
    with pytest.raises(DataError, match=message):
        pixels_of(saved("b.png", grey(0, shape=(16, 21))))
    with pytest.raises(DataError, match=r"c\.png: expected .*, found 20 x 15"):
        pixels_of(saved("c.png", grey(0, shape=(15, 20))))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        # Pillow warns of a bomb, but it is within our limit
        (10_000, 9_500, "cannot be read as one"),
        (11_000, 10_000, "at most 100000000 in all, found 11000 x 10000"),
        # Pillow refuses
        (20_000, 20_000, "expected at most 100000000 pixels, found far more .*; scale it down"),
    ],
)
def test_large_image_is_refused_before_it_is_decoded(tmp_path, width, height, message):
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "a.png").write_bytes(header(width, height))
    with pytest.raises(DataError, match=message):
        pixels_of(tmp_path / "a.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_without_pillow_it_says_what_to_install(saved, monkeypatch):
    file = saved("a.png", grey(0))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        Unsupported, match=r'^reading images needs Pillow: pip install "unseen\[images\]"$'
    ):
        pixels_of(file)


MASKS = {
    "cut at half": (ramp(0, 127, 128, 255, dtype=np.uint8), [False, False, True, True]),
    "0 and 1": (ramp(0, 1, dtype=np.uint8), [False, True, False, True]),
    "16 bits": (ramp(0, 65535), [False, True, False, True]),
    "any colour": (
        np.tile(np.uint8([[0, 0, 0], [0, 0, 255]]), (SIDE, SIDE // 2, 1)),
        [False, True, False, True],
    ),
    "nothing": (grey(0), [False] * 4),
    "everything": (grey(255), [True] * 4),
}


@pytest.mark.parametrize("case", MASKS)
def test_mask(saved, case):
    values, expected = MASKS[case]
    result = mask_of(saved("a.png", values), (SIDE, SIDE))
    assert (result.dtype, result.shape) == (bool, (SIDE, SIDE))
    assert (result[:, :4] == expected).all()


def test_mask_of_1_bit(saved):
    dots = Image.fromarray(ramp(0, 255, dtype=np.uint8)).convert("1")
    assert mask_of(saved("a.png", dots), (SIDE, SIDE))[0, :2].tolist() == [False, True]


def test_mask_saved_as_jpeg_is_cut_at_half(saved):
    spot = np.zeros((64, 64), dtype=np.uint8)
    spot[19:40, 21:45] = 255
    file = saved("a.jpg", spot, quality=40)
    assert len(np.unique(pixels_of(file))) > 2, "JPEG left greys around the edge"
    assert (mask_of(file, (64, 64)) == (spot > 0)).all()


def test_photo_taken_for_a_mask_is_refused(saved):
    photo = np.random.default_rng(0).integers(60, 180, (SIDE, SIDE)).astype(np.uint8)
    photo[:4] = 0  # a quarter is black
    with pytest.raises(
        DataError, match=r"a\.png: expected a mask, .* but 75% of its pixels are neither; if"
    ):
        mask_of(saved("a.png", photo), (SIDE, SIDE))


def test_file_that_may_not_be_read(saved, monkeypatch):
    file = saved("a.png", grey(0))

    def refusing(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(file), "stat", refusing)
    with pytest.raises(
        DataError, match=r"a\.png: it cannot be read \(Permission denied\); allow it"
    ):
        pixels_of(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names on this system")
def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert Images.read(tmp_path).names == ["gone.png", "pipe.png"]
    with pytest.raises(DataError, match=r"pipe\.png: the file is empty"):
        pixels_of(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        pixels_of(tmp_path / "gone.png")


def test_link_to_a_file_is_read(saved, tmp_path):
    file = saved("a.png", grey(7))
    (tmp_path / "b.png").symlink_to(file)
    assert (pixels_of(tmp_path / "b.png") == 7).all()


def test_mask_of_another_size(saved):
    file = saved("a.png", grey(0, shape=(16, 20)))
    with pytest.raises(
        DataError,
        match=r"a\.png: the mask must have .*its image, \(20, 16\), got \(16, 20\); save it",
    ):
        mask_of(file, (20, 16))


@pytest.mark.parametrize("highest", [2, 127])
def test_mask_that_is_neither_0_and_1_nor_0_and_255(saved, highest):
    file = saved("a.png", ramp(0, highest, dtype=np.uint8))
    with pytest.raises(
        DataError,
        match=rf"a\.png: expected a mask of 0 and 255, .* found values up to {highest}; save",
    ):
        mask_of(file, (SIDE, SIDE))
