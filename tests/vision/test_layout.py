"""How files lie in a folder of images: masks of every layout, what is skipped, and what is said of
it.
"""

from pathlib import Path

import pytest

from unseen.vision.layout import arranged


def laid(*names, normal="normal", links=()):
    """The layout of files with these names."""
    files = sorted(map(Path, names), key=Path.as_posix)
    return arranged(files, [Path(link) for link in links], normal)


def rows(layout):
    """Name, label and mask of each image."""
    masks = {image: spot.as_posix() for image, spot in layout.masks.items()}
    return [(file.as_posix(), label, masks.get(file)) for file, label in layout.labels.items()]


LAYOUTS = {
    "beside, JPEG": (
        ["crack/1.jpg", "crack/1_mask.jpg", "normal/1.jpg"],
        [("crack/1.jpg", "crack", "crack/1_mask.jpg"), ("normal/1.jpg", "normal", None)],
    ),
    "inside the class": (
        ["crack/1.jpg", "crack/2.jpg", "crack/mask/1.jpg", "crack/Masks/2.bmp", "normal/1.jpg"],
        [
            ("crack/1.jpg", "crack", "crack/mask/1.jpg"),
            ("crack/2.jpg", "crack", "crack/Masks/2.bmp"),
            ("normal/1.jpg", "normal", None),
        ],
    ),
    "beside the photos of the class": (
        ["crack/Imgs/1.jpg", "crack/masks/1.png", "normal/Imgs/1.jpg"],
        [("crack/Imgs/1.jpg", "crack", "crack/masks/1.png"), ("normal/Imgs/1.jpg", "normal", None)],
    ),
    "at the top, by class": (
        [
            "crack/1.jpg",
            "ground-truth/crack/1.jpg",
            "ground-truth/hole/1_mask.png",
            "hole/1.jpg",
            "normal/1.jpg",
        ],
        [
            ("crack/1.jpg", "crack", "ground-truth/crack/1.jpg"),
            ("hole/1.jpg", "hole", "ground-truth/hole/1_mask.png"),
            ("normal/1.jpg", "normal", None),
        ],
    ),
    "at the top, beside images": (
        ["Images/crack/1.jpg", "Images/normal/1.jpg", "Masks/crack/1.png"],
        [
            ("Images/crack/1.jpg", "crack", "Masks/crack/1.png"),
            ("Images/normal/1.jpg", "normal", None),
        ],
    ),
    "at the top, without classes": (
        ["crack/c1.jpg", "hole/a/h1.jpg", "masks/c1.jpg", "masks/h1_gt.tif"],
        [("crack/c1.jpg", "crack", "masks/c1.jpg"), ("hole/a/h1.jpg", "hole", "masks/h1_gt.tif")],
    ),
    "no class at all": (
        ["1.jpg", "2.jpg", "mask/2.png"],
        [("1.jpg", None, None), ("2.jpg", None, "mask/2.png")],
    ),
    "a mask of its own before one of the same name": (
        ["a/y.jpg", "a/y.png", "a/mask/y.png"],
        [("a/y.jpg", "a", "a/mask/y.png"), ("a/y.png", "a", "a/mask/y.png")],
    ),
    "below train, too": (
        ["ground_truth/dent/1.png", "test/dent/1.png", "train/dent/1.png", "train/good/1.png"],
        [
            ("train/dent/1.png", "dent", None),
            ("train/good/1.png", "normal", None),
            ("test/dent/1.png", "dent", "ground_truth/dent/1.png"),
        ],
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_masks_are_found_and_are_no_class(case):
    names, expected = LAYOUTS[case]
    layout = laid(*names)
    assert rows(layout) == expected
    assert layout.notes == ()


def test_a_mask_that_may_belong_to_two_images_belongs_to_none_and_it_is_said():
    layout = laid("crack/1.jpg", "hole/1.jpg", "masks/1.png")
    assert rows(layout) == [("crack/1.jpg", "crack", None), ("hole/1.jpg", "hole", None)]
    assert layout.notes == (
        "left out 1 masks, first masks/1.png: it may belong to crack/1.jpg or to hole/1.jpg: give "
        "it the same sub-folder",
    )


def test_the_nearer_of_two_masks_is_taken_and_it_is_said():
    layout = laid("a/1.jpg", "a/1_mask.png", "a/mask/1.png", "mask/a/1.png")
    assert rows(layout) == [("a/1.jpg", "a", "a/1_mask.png")]
    assert layout.notes == (
        "left out 2 masks, first a/mask/1.png: a/1.jpg has another mask, a/1_mask.png",
    )


def test_photos_in_a_folder_called_mask_are_named_unless_they_are_the_normal_ones():
    names = ("mask/1.jpg", "mask/2.jpg", "no_mask/3.jpg")
    layout = laid(*names)
    assert rows(layout) == [("no_mask/3.jpg", "no_mask", None)]
    assert layout.notes == (
        "left out 2 masks, first mask/1.jpg: no image has its name; if the folder 'mask' holds "
        "photos, give it another name",
    )
    layout = laid(*names, normal="mask")
    assert [label for _, label, _ in rows(layout)] == ["mask", "mask", "no_mask"]
    assert layout.notes == ()


def test_a_folder_called_images_is_a_class_where_no_masks_lie_beside_it():
    assert rows(laid("images/1.jpg", "normal/1.jpg"))[0] == ("images/1.jpg", "images", None)


def test_types_that_are_not_read_are_counted_and_pictures_among_them_are_known():
    layout = laid(
        "a.GIF", "b.gif", "c/d.heic", "c/e.mp4", "c/f.jpg", "Thumbs.db", "LICENSE", "mask/f.svg"
    )
    assert rows(layout) == [("c/f.jpg", "c", None)]
    assert [file.as_posix() for file in layout.unread] == ["a.GIF", "b.gif", "c/d.heic", "c/e.mp4"]
    assert layout.notes == (
        "skipped files of types that are not read: 2 .gif, 1 without ending, 1 .db, 1 .heic, 1 "
        ".mp4, 1 .svg",
    )


def test_what_is_neither_train_nor_test_and_links_are_told():
    layout = laid("overview.png", "test/loose.png", "train/good/1.png", links=["train/more"])
    assert rows(layout) == [("train/good/1.png", "normal", None)]
    assert layout.notes == (
        "left out 2 images outside of train/CLASS and test/CLASS, first overview.png",
        "did not follow 1 links to folders, first train/more",
    )


def test_many_masks_of_few_names_take_no_time():
    names = [f"c{i}/{j}.jpg" for i in range(200) for j in range(20)]
    masks = [f"c{i}/mask/{j}.png" for i in range(200) for j in range(20)]
    assert len(laid(*names, *masks).masks) == 4000
