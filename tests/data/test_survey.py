"""What `dmt data init` makes of file names, images and masks."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dmt_ray.data.survey import layout_of, look_at_masks, look_at_pictures
from dmt_ray.errors import DataError

IMAGE, MASK = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)


def made(root: Path, names: str, count: int = 3) -> Path:
    """A folder with these files, "#" standing for 0, 1, ...; those that end in .txt hold the names of 0 and 1."""
    for name in names.split():
        for i in range(count):
            path = root / name.replace("#", str(i))
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".txt":
                path.write_text("0\n1\n")
            else:
                Image.fromarray(IMAGE).save(path)
    return root


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        pytest.param("images/#.jpg masks/#.png", {"images": "images", "masks": "masks"}, id="two folders"),
        pytest.param("d/Imgs/#.jpg d/GT/#.png", {"images": "d/Imgs", "masks": "d/GT"}, id="other words, deeper"),
        pytest.param("images/a/#.jpg masks/a/#.png", {"images": "images", "masks": "masks"}, id="nested"),
        pytest.param("#.jpg #_mask.png", {"images": "{id}", "masks": "{id}_mask"}, id="suffix"),
        pytest.param("x/#_rgb.png x/#_gt.png", {"images": "x/{id}_rgb", "masks": "x/{id}_gt"}, id="two suffixes"),
        pytest.param("im/#.jpg seg/#_seg.png", {"images": "im", "masks": "seg/{id}_seg"}, id="folder and suffix"),
        pytest.param("x/#.png x/masks/#.png", {"images": "x", "masks": "x/masks"}, id="masks inside"),
        pytest.param(
            "a/raw/#.tif b/raw/#.tif a/labels/#.tif b/labels/#.tif",
            {"images": "{folder}/raw/{id}", "masks": "{folder}/labels/{id}"},
            id="a folder before both",
        ),
        pytest.param(
            "train/image/#.png test/image/#.png train/label/#.png test/label/#.png",
            {
                "images": "{folder}/image/{id}", "masks": "{folder}/label/{id}",
                "train_list": "train/*", "test_list": "test/*",
            },
            id="subsets before both",
        ),
        pytest.param(
            "train/#.png trainannot/#.png val/#.png valannot/#.png",
            {
                "images": "{folder}/{id}", "masks": "{folder}annot/{id}",
                "train_list": "train/*", "val_list": "val/*", "reported": "val",
            },
            id="folders that go on",
        ),
        pytest.param(
            "images/train/#.jpg images/test/#.jpg labels/train/#.png labels/test/#.png",
            {"images": "images", "masks": "labels", "train_list": "train/*", "test_list": "test/*"},
            id="subsets behind both",
        ),
        pytest.param(
            "c#/images/c#.png c#/masks/a.png c#/masks/b.png",
            {"images": "{id}/images/*", "masks": "{id}/masks/*"},
            id="one file an object",
        ),
        pytest.param("p#/image.png p#/mask.png", {"images": "{id}/image", "masks": "{id}/mask"}, id="one name each"),
        pytest.param(
            "images/#.jpg masks/#.png test.txt",
            {"images": "images", "masks": "masks", "test_list": "test.txt"},
            id="a list",
        ),
        pytest.param(
            "images/#.jpg masks/#.png unlabeled/#.jpg",
            {"images": "images", "masks": "masks", "unlabelled": "unlabeled"},
            id="more images",
        ),
    ],
)  # fmt: skip
def test_images_and_masks_are_found(names, settings, tmp_path):
    layout = layout_of(made(tmp_path / "own", names))
    assert layout.task == "segmentation"
    assert dict(layout.settings) == settings
    assert len(layout.images) == len(layout.masks) >= 3
    assert not layout.left_out


def test_images_without_a_mask_and_pictures_of_neither_kind_are_told(tmp_path):
    root = made(tmp_path / "own", "images/#.jpg masks/#.png", 4)
    (root / "masks/2.png").unlink()
    made(root, "figures/plot.png", 1)
    layout = layout_of(root)
    assert layout.settings["without_mask"] == "unlabelled"
    assert [path.name for path in layout.bare] == ["2.jpg"]
    assert layout.left_out == ("figures/plot.png",)


@pytest.mark.parametrize(
    ("names", "classes", "subsets"),
    [
        ("cat/#.jpg dog/x/#.jpg", ("cat", "dog"), {}),
        ("train/cat/#.jpg train/dog/#.jpg test/cat/#.jpg test/dog/#.jpg", ("cat", "dog"), {"train": 6, "test": 6}),
    ],
)
def test_folders_of_classes_are_found(names, classes, subsets, tmp_path):
    layout = layout_of(made(tmp_path / "own", names))
    assert (layout.task, layout.classes, dict(layout.subsets)) == ("classification", classes, subsets)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("photos/#.jpg", r"holds 3 pictures \(photos/0.jpg, .*\), but no masks with names that say so"),
        ("notes.txt", "holds no pictures that are read; expected .bmp"),
    ],
)
def test_what_cannot_be_told_is_said(names, said, tmp_path):
    with pytest.raises(DataError, match=said):
        layout_of(made(tmp_path / "own", names))
    with pytest.raises(DataError, match="there is no folder"):
        layout_of(tmp_path / "other")


@pytest.mark.parametrize(
    ("each", "meaning"),
    [
        pytest.param([[0, 1, 2], [0, 2], [0, 1, 255]], "numbers", id="classes and ignore"),
        pytest.param([[0, 255], [0], [255]], "values", id="black and white"),
        pytest.param([[0, 127, 255]], "values", id="three greys"),
        pytest.param([list(range(n)) for n in (3, 5, 6, 8)], "instances", id="as many as there are objects"),
        pytest.param([[0, 5, 1000], list(range(300))], "instances", id="more than classes can be"),
        pytest.param([[0, 1, 2], [3, 5, 6], [255]], "numbers", id="most of seven classes"),
        pytest.param([[0, 4, 9], [0, 30], [7, 8]], "values", id="some of many classes"),
    ],
)
def test_what_numbers_mean(each, meaning, tmp_path):
    paths = []
    for i, values in enumerate(each):
        paths.append(tmp_path / f"{i}.tif")
        tifffile.imwrite(paths[-1], np.array([values], np.uint16))
    assert look_at_masks(paths, tmp_path).meaning == meaning


def test_colours_and_their_names(tmp_path):
    Image.fromarray(np.array([[(0, 0, 0), (128, 64, 128)]], np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(MASK).save(tmp_path / "b.png")
    (tmp_path / "colours.txt").write_text("\ufeff0 0 0\tVoid\r\n128,64,128, road side\r\n", encoding="utf-8")
    masks = look_at_masks([tmp_path / "a.png", tmp_path / "b.png"], tmp_path)
    assert (masks.kind, masks.meaning) == ("colours", "colours")
    assert masks.names == {"0 0 0": "Void", "128 64 128": "road side"}
    assert masks.shares == {0: 25 / 26, (128 << 16) + (64 << 8) + 128: 1 / 26}


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[0, 3000]], np.uint16), (0, 4095)),
        (np.array([[5, 200]], np.uint16), (0, 255)),
        (np.array([[0.25, 0.75]], np.float32), (0, 1)),
        (np.array([[-2.5, 7.5]], np.float32), (-2.5, 7.5)),
    ],
)
def test_the_range_of_deep_images(pixels, expected, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    Image.fromarray(IMAGE).save(tmp_path / "b.png")
    pictures = look_at_pictures([tmp_path / "a.tif", tmp_path / "b.png"])
    assert pictures.range == expected
    assert pictures.sizes == Counter({(1, 2): 1, (4, 6): 1})


def test_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    Image.fromarray(IMAGE).save(tmp_path / "b.jpg")
    pictures = look_at_pictures([tmp_path / "a.png", tmp_path / "b.jpg"])
    assert list(pictures.unusable) == ["a.png"]
    assert look_at_pictures([tmp_path / "b.jpg"]).kinds == {"JPEG RGB": 1}


@pytest.mark.parametrize("mask", ["masks/{}.jpg", "images/{}_mask.jpg"])
def test_masks_as_jpeg_are_not_taken_for_a_class(mask, tmp_path):
    for i in range(4):
        for name in (f"images/{i}.jpg", mask.format(i)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.fromarray(IMAGE).save(tmp_path / name)
    with pytest.raises(DataError, match=r"JPEG and other lossy formats .*: 4 of "):
        layout_of(tmp_path)
