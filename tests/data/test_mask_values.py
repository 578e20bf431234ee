"""Masks as people have them: values, ranges and colours that stand for classes; several files of one image."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from dmt_ray.data import open_dataset
from dmt_ray.data.mask_values import MaskValues, joined
from dmt_ray.data.pictures import Unfit, read_mask
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.recipes import load
from tests.helpers import png_files

CLASSES = ("background", "nucleus")


def saved(pixels, format: str = "PNG", mode: str | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image if mode is None else image.convert(mode)).save(file, format)
    return file.getvalue()


def tiff(pixels, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def classes(content: bytes, coding: dict[str, str], names=CLASSES) -> list[list[int]]:
    values = MaskValues.coded(coding, names)
    return values.classes_of(read_mask(content, values.kind)).tolist()


def refusal(content: bytes, coding: dict[str, str], names=CLASSES) -> str:
    with pytest.raises(Unfit) as caught:
        classes(content, coding, names)
    return ": ".join(caught.value.args)


BLACK_WHITE = {"0": "background", "255": "nucleus"}
GREY = np.array([[0, 255], [255, 0]], np.uint8)
SEEN = [[0, 1], [1, 0]]
RED, BLUE = (200, 0, 0), (0, 0, 90)
COLOURS = {"200 0 0": "background", "0 0 90": "nucleus"}
PAINTED = np.array([[RED, BLUE], [BLUE, RED]], np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(saved(GREY), id="PNG"),
        pytest.param(saved(GREY, "BMP"), id="BMP"),
        pytest.param(saved(GREY, "TIFF"), id="TIFF"),
        pytest.param(tiff(GREY, compression="lzw"), id="LZW"),
        pytest.param(tiff(GREY, photometric="miniswhite"), id="TIFF in which white is 0"),
        pytest.param(tiff(GREY.astype(np.uint16)), id="TIFF of 16 bits"),
        pytest.param(tiff(GREY.astype(np.float32)), id="float TIFF"),
        pytest.param(png_files.encode(GREY.astype(int), 16), id="PNG of 16 bits"),
        pytest.param(saved(np.repeat(GREY[..., None], 3, 2)), id="grey in three channels"),
        pytest.param(saved(GREY, mode="RGBA"), id="grey with alpha"),
        pytest.param(saved(np.repeat(GREY[..., None], 3, 2), "TIFF"), id="grey in three channels of a TIFF"),
    ],
)
def test_grey_values_by_a_map(content):
    assert classes(content, BLACK_WHITE) == SEEN


def painted_palette() -> bytes:
    image = Image.frombytes("P", (2, 2), bytes([7, 3, 3, 7]))
    palette = np.zeros((256, 3), np.uint8)
    palette[7], palette[3] = RED, BLUE
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(saved(PAINTED), id="PNG"),
        pytest.param(saved(PAINTED, "BMP"), id="BMP"),
        pytest.param(saved(PAINTED, "TIFF"), id="TIFF"),
        pytest.param(saved(PAINTED, mode="RGBA"), id="opaque"),
        pytest.param(painted_palette(), id="palette"),
    ],
)
def test_colours_by_a_map(content):
    assert classes(content, COLOURS) == SEEN


def test_a_palette_holds_numbers_where_the_map_is_of_numbers():
    assert classes(painted_palette(), {"7": "background", "3": "nucleus"}) == SEEN


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        pytest.param(
            {"0": "background", "1": "nucleus", "2": "nucleus", "300": "ignore"}, [0, 1, 1, 255], id="several"
        ),
        pytest.param({"0": "background", "1..65535": "nucleus"}, [0, 1, 1, 1], id="one instance a value"),
        pytest.param({"0": "background", "other": "nucleus"}, [0, 1, 1, 1], id="all others"),
        pytest.param({"0": "background", "1..300": "nucleus", "2": "ignore"}, [0, 1, 255, 1], id="a number in a range"),
        pytest.param({"other": "ignore", "1": "background", "2": "nucleus"}, [255, 0, 1, 255], id="few of many"),
    ],
)
def test_several_values_of_one_class(coding, expected):
    assert classes(tiff(np.array([[0, 1, 2, 300]], np.uint16)), coding) == [expected]


def test_negative_numbers():
    coding = {"-1": "ignore", "0": "background", "1": "nucleus"}
    assert classes(tiff(np.array([[-1, 0, 1]], np.int16)), coding) == [[255, 0, 1]]


@pytest.mark.parametrize(
    ("content", "coding", "said"),
    [
        pytest.param(saved([[0, 7]]), BLACK_WHITE, "expected 0 (background), 255 (nucleus): holds 7", id="number"),
        pytest.param(tiff(np.array([[0, 999]], "u2")), BLACK_WHITE, "holds 999", id="large number"),
        pytest.param(saved(PAINTED), {"200 0 0": "background", "1 2 3": "nucleus"}, "holds (0 0 90)", id="colour"),
        pytest.param(saved(PAINTED), BLACK_WHITE, "masks in colour", id="colours for numbers"),
        pytest.param(saved([[[0, 0, 0, 9]]]), COLOURS, "masks with transparent pixels", id="transparent"),
        pytest.param(tiff(GREY.astype("u2")), COLOURS, "masks of more than 8 bits", id="16 bits for colours"),
        pytest.param(tiff(np.array([[0.5]], "f4")), BLACK_WHITE, "numbers that are not whole", id="fractions"),
        pytest.param(tiff(np.stack([GREY, GREY])), BLACK_WHITE, "2 pages", id="pages"),
        pytest.param(tiff(GREY.astype("u2"))[:-2], BLACK_WHITE, "damaged or truncated", id="cut"),
    ],
)
def test_what_the_map_does_not_know_is_refused(content, coding, said):
    assert said in refusal(content, coding)


@pytest.mark.parametrize(
    ("coding", "said"),
    [
        ({"0": "background", "1": "cell"}, "'cell' is no class"),
        ({"0": "background"}, "the class 'nucleus' has no value"),
        ({"0": "background", "#ff0000": "nucleus"}, "'#ff0000' cannot be understood; a value is a number such as 255"),
        ({"0": "background", "9..1": "nucleus"}, "'9..1' cannot be understood"),
        ({"0 0 0": "background", "0 0 300": "nucleus"}, "'0 0 300' cannot be understood"),
        ({"0": "background", "1 2 3": "nucleus"}, "either numbers or colours, not both"),
        ({"0..5": "background", "5..9": "nucleus"}, "0..5 and 5..9 overlap"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(coding, said):
    with pytest.raises(ConfigError, match=said):
        FolderData(classes=CLASSES, mask_values=coding)


def test_a_map_and_other_words_for_the_same_are_refused():
    with pytest.raises(ConfigError, match="leave out ignore and first"):
        FolderData(classes=CLASSES, mask_values=BLACK_WHITE, ignore=9)
    with pytest.raises(ConfigError, match="leave one of them out"):
        FolderData(classes=CLASSES, mask_values=BLACK_WHITE, masks="{id}_{class}")


def test_a_recipe_and_the_command_line_take_a_map(tmp_path):
    path = tmp_path / "nuclei.yaml"
    path.write_text(
        "recipe: folder\ndata:\n  classes: [background, nucleus]\n  mask_values: {0: background, 255: nucleus}\n"
    )
    assert load(str(path)).data.mask_values == BLACK_WHITE
    changed = load(str(path), ["data.mask_values={128 64 0: background, 0 0 0: nucleus}"])
    assert changed.data.mask_values == {"128 64 0": "background", "0 0 0": "nucleus"}


def test_equal_settings_have_equal_hashes():
    one, other = (
        FolderData(classes=CLASSES, mask_values=dict(pairs))
        for pairs in (BLACK_WHITE.items(), reversed(BLACK_WHITE.items()))
    )
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, one.evolve(mask_values={"0": "nucleus", "255": "background"})}) == 2


def test_a_map_that_says_what_is_so_by_default_changes_no_fingerprint(own_root):
    plain = FolderData(classes=("ground", "cat", "dog"))
    same = plain.evolve(mask_values={"0": "ground", "1": "cat", "2": "dog", "255": "ignore"})
    other = plain.evolve(mask_values={"0": "ground", "1": "dog", "2": "cat", "255": "ignore"})
    prints = [open_dataset(data, own_root, own_root.parent / "cache").fingerprint for data in (plain, same, other)]
    assert prints[0] == prints[1] != prints[2]
    assert "mask_values" not in plain.identity()


def test_masks_of_0_and_255_are_refused_with_the_setting_that_reads_them(own_root):
    for path in (own_root / "masks").iterdir():
        path.write_bytes(saved(np.resize(GREY, (4, 6))))
    (own_root / "masks/p3.png").write_bytes(saved(np.full((4, 6), 7)))
    data = FolderData(classes=CLASSES)
    with pytest.raises(DataError, match=r"set by data.mask_values, such as .*: masks/p3.png holds 7"):
        open_dataset(data, own_root, own_root.parent / "cache")


def test_joined_masks_show_the_later_class_and_class_0_below_ignored_pixels():
    first, second = np.array([[0, 0, 1, 2]], np.uint8), np.array([[0, 255, 2, 255]], np.uint8)
    assert joined([first, second]).tolist() == joined([second, first]).tolist() == [[0, 255, 2, 2]]
    assert joined([second]).tolist() == [[0, 255, 2, 255]]


def test_one_file_an_instance(tmp_path):
    root = tmp_path / "cells"
    for i in range(5):
        (root / f"c{i}/images").mkdir(parents=True)
        (root / f"c{i}/masks").mkdir()
        (root / f"c{i}/images/c{i}.png").write_bytes(saved(np.full((2, 3, 3), i)))
        for k in range(3):
            cell = np.zeros((2, 3))
            cell[0, k] = 255 if k < 2 else 0
            (root / f"c{i}/masks/{k}.png").write_bytes(saved(cell))
    data = FolderData(classes=CLASSES, images="{id}/images/{id}.png", masks="{id}/masks/*.png", mask_values=BLACK_WHITE)
    train = open_dataset(data, root, tmp_path / "cache").subsets["train"]
    assert train.mask(0).tolist() == [[1, 1, 0], [0, 0, 0]]
    (root / "c1/masks/9.png").write_bytes(saved(np.full((2, 3), 255)))
    after = open_dataset(data, root, tmp_path / "cache")
    assert any((images.mask(i) == 1).all() for images in after.subsets.values() for i in range(len(images)))


def test_one_file_a_class(tmp_path):
    root = tmp_path / "city"
    root.mkdir()
    for i in range(5):
        (root / f"s{i}.jpg").write_bytes(saved(np.full((1, 3, 3), i), "JPEG"))
        (root / f"s{i}_road.png").write_bytes(saved([[255, 255, 0]]))
        (root / f"s{i}_car.png").write_bytes(saved([[0, 1, 0]]))
    data = FolderData(classes=("other", "road", "car"), images="{id}", masks="{id}_{class}")
    assert open_dataset(data, root, tmp_path / "cache").subsets["train"].mask(0).tolist() == [[1, 2, 0]]
