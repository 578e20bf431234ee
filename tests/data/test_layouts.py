"""Each layout is found, and its masks mean what its data set says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.config import DATA_SETS, Data
from dmt_ray.data import find_root, open_dataset
from dmt_ray.data.check import Problems
from dmt_ray.data.dataset import fingerprint_of
from dmt_ray.data.sets import shapes
from dmt_ray.data.sets.ade20k import CLASSES as ADE_CLASSES
from dmt_ray.data.sets.ade20k import AdeData
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data.sets.cifar10 import CifarData
from dmt_ray.data.sets.cityscapes import CityscapesData
from dmt_ray.data.sets.class_folders import ClassFoldersData
from dmt_ray.data.sets.digits import DigitsData
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.data.sets.pets import PetsData
from dmt_ray.data.sets.shapes import ShapesData
from dmt_ray.data.sets.voc import VocData
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.testing import check_contents

OWN = FolderData(classes=("ground", "cat", "dog"))
LAYOUTS = {
    "camvid": CamvidData(),
    "voc": VocData(),
    "cityscapes": CityscapesData(),
    "ade20k": AdeData(),
    "own": OWN,
    "pets": PetsData(),
    "cifar10": CifarData(),
    "folders": ClassFoldersData(),
    "shapes": ShapesData(size=(16, 16)),
    "digits": DigitsData(),
}
BUILT_IN = ("shapes", "digits")


def test_every_data_set_is_tested_here():
    assert {data.name for data in LAYOUTS.values()} == DATA_SETS.keys()


@pytest.mark.parametrize(
    ("data", "fingerprint"),
    [
        (ShapesData(), "a00fee2dfcffb4db02bf3ef5cf547510"),
        (ShapesData(size=(16, 16)), "d0dd52995aaab076fa8be9e29ca792c6"),
        (DigitsData(), "49541bca5d4848013996b2c7335d4c2c"),
        (DigitsData(size=(16, 16)), "98e323af7cec8906ecd2c50ebd55d95e"),
    ],
)
def test_fingerprints_are_the_ones_that_old_keys_hold(data, fingerprint):
    assert fingerprint_of(data.content(Path(), Problems()), data, {}) == fingerprint


@pytest.mark.parametrize(
    ("data", "names", "fingerprint"),
    [
        pytest.param(
            FolderData(classes=("p", "q", "r"), unlabelled="more", first=1, ignore=0),
            [*(f"images/{n}.jpg" for n in "abcde"), *(f"masks/{n}.png" for n in "abcde"), "more/a-b.jpg", "more/a.jpg"],
            "2f38b4efa9eba08a4bfe6dfd583fa33f",
            id="folder",
        ),
        pytest.param(
            ClassFoldersData(size=(8, 8)),
            [f"{s}/{c}/{n}.png" for s in ("train", "test") for c in ("x", "y") for n in ("a", "a-b")],
            "becabb6418543fda92abaab3a8554cbe",
            id="class_folders",
        ),
        pytest.param(
            CamvidData(),
            [f"{s}{end}/{n}.png" for s in ("train", "test") for end in ("", "annot") for n in ("a", "b")],
            "c60885ed9a1882540284462710457a62",
            id="camvid",
        ),
    ],
)
def test_fingerprints_of_files_are_the_ones_that_old_keys_hold(data, names, fingerprint, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    content = data.content(tmp_path, Problems())
    digests = {
        path: path.relative_to(tmp_path).as_posix() + (":2" if path.suffix == ".png" else "")
        for path in content.files()
    }
    assert fingerprint_of(content, data, digests) == fingerprint


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "COUNTS", {"train": 4, "val": 2, "test": 3})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("few_shapes")
def test_every_data_set_keeps_the_contract(layout, request):
    root = None if layout in BUILT_IN else request.getfixturevalue(f"{layout}_root")
    check_contents(LAYOUTS[layout], root)  # which also sees that nothing is written into the folder


def test_images_are_what_the_files_hold(camvid_root, tmp_path):
    train = open_dataset(CamvidData(), camvid_root, tmp_path / "cache").subsets["train"]
    for i, name in enumerate(train.ids):
        assert np.array_equal(train.image(i), np.asarray(Image.open(camvid_root / "train" / f"{name}.png")))


def test_eleven_is_ignored_in_camvid(camvid_root, tmp_path):
    dataset = open_dataset(CamvidData(), camvid_root, tmp_path / "cache")
    assert {name: len(images) for name, images in dataset.subsets.items()} == {"train": 4, "val": 2, "test": 3}
    assert dataset.subsets["train"].mask(0)[0].tolist() == [0, 3, 255, 0, 3, 255]


def test_camvid_can_be_without_val_but_not_without_the_reported_test(camvid_root, tmp_path):
    for folder in ("val", "valannot"):
        (camvid_root / folder).rename(tmp_path / folder)
    assert open_dataset(CamvidData(), camvid_root, tmp_path / "cache").subsets.keys() == {"train", "test"}
    with pytest.raises(DataError, match=r"folders that are missing.*: val .*, valannot "):
        open_dataset(CamvidData(reported="val"), camvid_root, tmp_path / "cache")


def test_ade20k_has_150_classes_from_1_on_and_ignores_0(ade20k_root, tmp_path):
    assert len(set(ADE_CLASSES)) == 150
    dataset = open_dataset(AdeData(), ade20k_root, tmp_path / "cache")
    assert {name: images.ids for name, images in dataset.subsets.items()} == {
        "train": ("ADE_train_00000001", "ADE_train_00000002", "ADE_train_00000003"),
        "val": ("ADE_val_00000001", "ADE_val_00000002"),
    }
    assert dataset.subsets["train"].mask(0)[0].tolist() == [255, 0, 149, 255, 0, 149]


def test_ade20k_may_be_the_unpacked_folder_itself(ade20k_root, tmp_path):
    inner = find_root(AdeData(), ade20k_root / "ADEChallengeData2016")
    found = [open_dataset(AdeData(), root, tmp_path / "cache").fingerprint for root in (inner, ade20k_root)]
    assert found[0] == found[1]


def test_a_value_above_150_is_refused_in_ade20k(ade20k_root, tmp_path):
    mask = ade20k_root / "ADEChallengeData2016/annotations/training/ADE_train_00000002.png"
    Image.fromarray(np.full((5, 6), 151, np.uint8)).save(mask)
    with pytest.raises(DataError, match=r"1..150 or 0 \(ignore\)"):
        open_dataset(AdeData(), ade20k_root, tmp_path / "cache")


def test_voc_palettes_are_read_as_class_numbers(voc_root, tmp_path):
    train = open_dataset(VocData(), voc_root, tmp_path / "cache").subsets["train"]
    assert train.ids == ("a0", "a1", "a2", "a3", "a4")
    assert train.sizes.tolist() == [[4, 6], [5, 6], [6, 6], [7, 6], [8, 6]]
    assert train.mask(4)[0].tolist() == [0, 8, 255, 0, 8, 255]


@pytest.mark.parametrize("part", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_is_found_from_each_of_its_folders(part, voc_root, tmp_path):
    dataset = open_dataset(VocData(train_list="train"), voc_root / part, tmp_path / "cache")
    assert dataset.subsets["train"].ids == ("a0", "a1")


def test_without_trainaug_all_augmented_masks_outside_val_are_train(voc_root, tmp_path):
    (voc_root / "VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt").unlink()
    dataset = open_dataset(VocData(), voc_root, tmp_path / "cache")
    assert dataset.subsets["train"].ids == ("a0", "a2", "a3", "a4")  # a1 has no mask in SegmentationClassAug


def test_cityscapes_label_ids_become_train_ids(cityscapes_root, tmp_path):
    dataset = open_dataset(CityscapesData(), cityscapes_root, tmp_path / "cache")
    assert dataset.subsets["train"].ids == ("aachen/aachen_000000_000019", "bonn/bonn_000001_000019")
    assert dataset.subsets["train"].mask(0)[0, :3].tolist() == [0, 2, 255]  # 7 road, 11 building, 4 static
    assert dataset.subsets["val"].mask(0)[0, :3].tolist() == [0, 18, 255]


def test_own_folder_draws_its_test_images(own_root, tmp_path):
    first, again = (open_dataset(OWN, own_root, tmp_path / name) for name in ("cache", "other"))
    train, test = (set(first.subsets[name].ids) for name in ("train", "test"))
    assert (len(train), len(test)) == (8, 2)
    assert train | test == {f"p{i}" for i in range(10)}
    assert again.subsets["test"].ids == first.subsets["test"].ids


def test_own_lists_say_which_images_are_which(own_root, tmp_path):
    for name, ids in {"fit": "p3\np1\n", "check": "p4\n", "final": "p5\np6\n"}.items():
        (own_root / f"{name}.txt").write_text(ids)
    data = OWN.evolve(train_list="fit.txt", val_list="check.txt", test_list="final.txt")
    subsets = open_dataset(data, own_root, tmp_path / "cache").subsets
    assert {name: images.ids for name, images in subsets.items()} == {
        "train": ("p1", "p3"),
        "val": ("p4",),
        "test": ("p5", "p6"),
    }


def test_without_a_train_list_all_images_outside_the_lists_are_train(own_root, tmp_path):
    (own_root / "check.txt").write_text("p4\n\np7\n")
    subsets = open_dataset(OWN.evolve(val_list="check.txt", reported="val"), own_root, tmp_path / "cache").subsets
    assert subsets.keys() == {"train", "val"}
    assert subsets["train"].ids == ("p0", "p1", "p2", "p3", "p5", "p6", "p8", "p9")


@pytest.mark.parametrize("lists", [{"train_list": "fit.txt"}, {"reported": "val"}])
def test_lists_must_say_which_images_are_reported(lists, own_root, tmp_path):
    with pytest.raises(ConfigError, match=r"set data\.(test|val)_list"):
        open_dataset(OWN.evolve(**lists), own_root, tmp_path / "cache")


def test_images_without_masks_come_after_the_train_images(own_root, tmp_path):
    train = open_dataset(OWN.evolve(unlabelled="more"), own_root, tmp_path / "cache").subsets["train"]
    assert train.ids[-3:] == ("more/p0", "more/p1", "more/p2")
    assert train.known.tolist() == [True] * 8 + [False] * 3
    assert train.sizes[-1].tolist() == [8, 5]
    assert (train.mask(10) == 255).all()


def test_own_ignore_value_becomes_255(own_root, tmp_path):
    for path in (own_root / "masks").iterdir():
        mask = np.asarray(Image.open(path))
        Image.fromarray(np.where(mask == 255, 9, mask).astype(np.uint8)).save(path)
    train = open_dataset(OWN.evolve(ignore=9), own_root, tmp_path / "cache").subsets["train"]
    assert train.mask(0)[0].tolist() == [0, 1, 2, 255, 0, 1]


@pytest.mark.parametrize("change", [{"ignore": 2}, {"classes": ("a", "a")}, {"classes": tuple(map(str, range(256)))}])
def test_own_classes_and_ignore_must_fit(change):
    with pytest.raises(ConfigError, match="but got"):
        OWN.evolve(**change)


def test_working_size_resizes_images_smoothly_and_masks_to_the_nearest_pixel(camvid_root, tmp_path):
    striped = np.zeros((4, 6, 3), np.uint8)
    striped[:, ::2] = 200
    Image.fromarray(striped).save(camvid_root / "train/train0.png")
    train = open_dataset(CamvidData(size=(2, 3)), camvid_root, tmp_path / "cache").subsets["train"]
    assert train.sizes.tolist() == [[2, 3]] * 4
    assert 60 < train.image(0)[0, 1, 0] < 140  # antialiased: neither 0 nor 200
    assert set(np.unique(train.mask(0)).tolist()) <= {0, 3, 255}


def test_grey_and_palette_images_become_rgb(camvid_root, tmp_path):
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    Image.fromarray(grey).save(camvid_root / "train/train0.png")
    train = open_dataset(CamvidData(), camvid_root, tmp_path / "cache").subsets["train"]
    assert np.array_equal(train.image(0), np.repeat(grey[..., None], 3, axis=2))


def test_links_inside_the_data_folder_are_followed(camvid_root, tmp_path):
    (camvid_root / "train").rename(tmp_path / "elsewhere")
    (camvid_root / "train").symlink_to(tmp_path / "elsewhere")
    assert len(open_dataset(CamvidData(), camvid_root, tmp_path / "cache").subsets["train"]) == 4


@pytest.mark.usefixtures("few_shapes")
def test_shapes_are_what_the_generator_draws(tmp_path):
    dataset = open_dataset(ShapesData(size=(16, 16)), None, tmp_path / "cache")
    images, masks, ids = shapes.generate("val", size=16, counts=shapes.COUNTS)
    val = dataset.subsets["val"]
    assert val.ids == tuple(ids)
    assert np.array_equal(val.pixels.reshape(images.shape), images)
    assert np.array_equal(val.masks.reshape(masks.shape), masks)
    assert open_dataset(ShapesData(size=(24, 24)), None, tmp_path / "cache").fingerprint != dataset.fingerprint


@pytest.mark.parametrize("size", [(16, 24), (8, 8)])
def test_shapes_are_square_and_not_too_small(size, tmp_path):
    with pytest.raises(DataError, match="square of at least 16 x 16"):
        open_dataset(ShapesData(size=size), None, tmp_path / "cache")


@pytest.mark.parametrize(
    ("data", "made", "place"),
    [
        (CamvidData(), "camvid/trainannot", "camvid"),
        (CamvidData(), "trainannot", "."),
        (VocData(), "voc/VOCdevkit", "voc"),
        (VocData(), "voc_animals/VOCdevkit", "voc_animals"),
        (VocData(), "VOCdevkit", "."),
        (CityscapesData(), "leftImg8bit", "."),
        (OWN, "images", "."),
        (OWN, "folder/images", "folder"),
        (CifarData(), "cifar10/cifar-10-batches-py", "cifar10"),
        (CifarData(), "cifar-10-batches-py", "."),
        (ClassFoldersData(), "cifar10_small/train", "cifar10_small"),
        (ClassFoldersData(), "train", "."),
        (PetsData(), "oxford-iiit-pet", "."),
        (PetsData(), "pets/annotations", "pets"),
    ],
)
def test_dmt_data_leads_to_a_data_set(data: Data, made: str, place: str, tmp_path: Path, monkeypatch):
    (tmp_path / made).mkdir(parents=True)
    monkeypatch.setenv("DMT_DATA", str(tmp_path))
    assert find_root(data, None) == tmp_path / place


def test_a_folder_that_is_given_goes_before_dmt_data(tmp_path, monkeypatch):
    (tmp_path / "camvid").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("DMT_DATA", str(tmp_path))
    assert find_root(CamvidData(), tmp_path / "mine") == tmp_path / "mine"


def test_a_missing_folder_is_said_with_what_to_do(tmp_path, monkeypatch):
    advice = r"Pass --data DIR.* or set the environment variable DMT_DATA to a folder that holds it"
    monkeypatch.delenv("DMT_DATA", raising=False)
    with pytest.raises(DataError, match=f"'camvid' was not found. {advice}"):
        open_dataset(CamvidData(), None, tmp_path / "cache")
    with pytest.raises(DataError, match=f"no folder .*nowhere. {advice}"):
        open_dataset(CamvidData(), tmp_path / "nowhere", tmp_path / "cache")
    monkeypatch.setenv("DMT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"no folder .*camvid .* {advice}"):
        open_dataset(CamvidData(), None, tmp_path / "cache")


def test_the_folder_above_the_data_set_is_recognised(camvid_root, tmp_path):
    with pytest.raises(DataError, match=f"did you mean {camvid_root}"):
        open_dataset(CamvidData(), camvid_root.parent, tmp_path / "cache")
