"""Folders and lists as others lay them out: read, or refused by name; nothing is left out unseen."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.config import Split
from dmt_ray.data import divide, open_dataset, report, unlabelled_classes
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data.sets.cityscapes import CityscapesData
from dmt_ray.data.sets.class_folders import ClassFoldersData
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.data.sets.voc import VocData
from dmt_ray.errors import ConfigError, DataError
from tests.helpers import png_files

OWN = FolderData(classes=("ground", "cat", "dog"))


def complaint(data, root: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(data, root, root.parent / "cache")
    return str(caught.value)


def opened(data, root: Path):
    return open_dataset(data, root, root.parent / "cache")


@pytest.mark.parametrize("folder", ["train", "trainannot", "val", "testannot"])
def test_folders_among_the_files_of_camvid_are_refused(folder, camvid_root):
    (camvid_root / folder / "seq2").mkdir()
    assert f"folders among the files, which would not be read; expected only files: {folder}/seq2" in complaint(
        CamvidData(), camvid_root
    )


def test_folders_in_those_of_classes_are_read_and_images_beside_them_are_refused(tmp_path):
    root = tmp_path / "cls"
    for subset in ("train", "test"):
        for name in ("cat", "dog"):
            (root / subset / name / "more").mkdir(parents=True)
            for place in (f"{subset}.png", f"more/{subset}.png"):
                Image.new("RGB", (4, 4), "red" if name == "cat" else "blue").save(root / subset / name / place)
    train = opened(ClassFoldersData(), root).subsets["train"]
    assert train.ids == ("train/cat/more/train", "train/cat/train", "train/dog/more/train", "train/dog/train")
    Image.new("RGB", (4, 4)).save(root / "test/loose.png")
    assert "images outside the folders of the classes, which would not be read: test/loose.png" in complaint(
        ClassFoldersData(), root
    )


def test_folders_of_classes_alone_have_test_images_of_each_class_drawn(tmp_path):
    root = tmp_path / "cls"
    for place, (name, count) in enumerate([("a*b", 2), ("cat", 5), ("dog", 10)]):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (4, 4), (place * 60, i, 0)).save(root / name / f"{i}.png")
    data = opened(ClassFoldersData(), root)
    assert data.classes == ("a*b", "cat", "dog")
    held = {name: [id.split("/")[0] for id in images.ids] for name, images in data.subsets.items()}
    assert [held["test"].count(name) for name in data.classes] == [1, 1, 2]
    assert [held["train"].count(name) for name in data.classes] == [1, 4, 8]
    (root / "cat2").mkdir()
    Image.new("RGB", (4, 4)).save(root / "cat2/1.png")
    assert "classes with a single image, which cannot be trained on and tested: cat2" in complaint(
        ClassFoldersData(), root
    )


def test_an_image_of_cityscapes_at_the_wrong_depth_is_refused(cityscapes_root):
    city = next((cityscapes_root / "leftImg8bit/train").iterdir())
    (city / "more").mkdir()
    Image.new("RGB", (8, 4)).save(city / "more/x_leftImg8bit.png")
    said = complaint(CityscapesData(), cityscapes_root)
    where = "leftImg8bit/train"
    assert f"images that would not be read; expected {where}/CITY/*_leftImg8bit.png: {where}/{city.name}" in said


@pytest.mark.parametrize("name", ["valid", "validation", "Val"])
def test_a_subset_under_another_name_is_refused(name, tmp_path):
    root = tmp_path / "cls"
    for subset in ("train", "test", name):
        for kind in ("cat", "dog"):
            (root / subset / kind).mkdir(parents=True)
            Image.new("RGB", (4, 4), (kind == "cat" and "red") or "blue").save(root / subset / kind / f"{subset}.png")
    assert f"folders that would not be read under their names: {name} (expected val)" in complaint(
        ClassFoldersData(), root
    )


def test_an_image_format_that_is_not_read_is_refused_and_other_files_are_remarked(own_root):
    (own_root / "images/notes.txt").write_text("taken on a Sunday")
    assert any("skipped" in remark and "images/notes.txt" in remark for remark in opened(OWN, own_root).remarks)
    (own_root / "images/more.jp2").write_bytes(b"")
    assert "images in formats that are not read" in complaint(OWN, own_root)


def test_images_without_masks_are_sent_to_a_folder_of_their_own(own_root):
    (own_root / "masks/p3.png").unlink()
    said = complaint(OWN, own_root)
    assert "data.without_mask set to unlabelled" in said
    assert "or images without masks in a folder of their own, named by data.unlabelled: images/p3.jpg" in said


def test_the_same_picture_in_two_subsets_is_remarked_and_reported(own_root):
    data = opened(OWN, own_root)
    train, test = data.subsets["train"].ids[0], data.subsets["test"].ids[0]
    for folder, ending in (("images", "jpg"), ("masks", "png")):
        (own_root / folder / f"{test}.{ending}").write_bytes((own_root / folder / f"{train}.{ending}").read_bytes())
    data = opened(OWN, own_root)
    expected = f"images of test that are also in train, so that its scores are of images trained on: {test} is {train}"
    assert expected in data.remarks
    assert f"warning: {expected}" in report(data)
    assert opened(OWN, own_root).remarks == data.remarks  # also from the cache


def test_test_images_among_the_unlabelled_ones_are_remarked(own_root):
    remarks = opened(OWN.evolve(unlabelled="images"), own_root).remarks
    assert any(remark.startswith("images of test that are also in train") for remark in remarks)


def test_masks_whose_classes_count_from_one(own_root):
    for path in (own_root / "masks").iterdir():
        Image.fromarray(np.resize(np.array([0, 1, 2, 3], np.uint8), (4, 6))).save(path)
    data = opened(OWN.evolve(first=1, ignore=0), own_root)
    assert data.subsets["train"].mask(0)[0].tolist() == [255, 0, 1, 2, 255, 0]
    with pytest.raises(ConfigError, match=r"where masks hold 0 for void and classes from 1 on, set first to 1"):
        OWN.evolve(ignore=0)
    with pytest.raises(ConfigError, match="up to 255"):
        OWN.evolve(first=254, ignore=0)


def test_a_setting_that_is_as_before_leaves_identity_alone():
    assert "first" not in OWN.identity()
    assert OWN.evolve(first=1, ignore=0).identity()["first"] == 1


@pytest.mark.parametrize("depth", [2, 4])
def test_a_mask_that_was_read_otherwise_before_has_another_fingerprint(depth, own_root):
    before = opened(OWN, own_root).fingerprint
    numbers = np.resize(np.array([0, 1, 2]), (4, 6))
    assert np.array_equal(png_files.decode((own_root / "masks/p3.png").read_bytes()).shape, (4, 6))
    png_files.save(own_root / "masks/p3.png", numbers, depth)
    after = opened(OWN, own_root)
    assert after.fingerprint != before


@pytest.mark.parametrize(
    "lines",
    [
        ["JPEGImages/v0.jpg SegmentationClass/v0.png", "JPEGImages/v1.jpg SegmentationClass/v1.png"],
        ["v0.jpg", "v1.jpg"],
        ["JPEGImages/v0.jpg,SegmentationClass/v0.png", "JPEGImages/v1.jpg\tSegmentationClass/v1.png"],
    ],
    ids=["pairs", "endings", "commas and tabs"],
)
def test_lists_of_paths(lines, voc_root):
    (voc_root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_text("\n".join(lines))
    assert opened(VocData(), voc_root).subsets["val"].ids == ("v0", "v1")


def test_a_split_may_be_a_list_of_pairs(cityscapes_root):
    data = opened(CityscapesData(), cityscapes_root)
    id = data.subsets["train"].ids[0]
    line = f"leftImg8bit/train/{id}_leftImg8bit.png gtFine/train/{id}_gtFine_labelIds.png"
    (cityscapes_root / "labelled.txt").write_text(f"{line}\n")
    split = Split(labelled=1, rule="list", list="labelled.txt")
    assert divide(split, CityscapesData(), data).labelled == (0,)


def test_a_pair_of_different_names_is_refused(voc_root):
    (voc_root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_text("JPEGImages/v0.jpg Masks/v1.png\n")
    assert "list entries that are not plain ids" in complaint(VocData(), voc_root)


def test_names_that_look_like_others_in_a_list(own_root):
    for folder, ending in (("images", "jpg"), ("masks", "png")):
        for new, old in (("_leftImg8bit", "p1"), ("a.png b", "p2")):
            (own_root / folder / f"{old}.{ending}").rename(own_root / folder / f"{new}.{ending}")
    (own_root / "test.txt").write_text("_leftImg8bit.jpg\na.png b.jpg\n")
    assert opened(OWN.evolve(test_list="test.txt"), own_root).subsets["test"].ids == ("_leftImg8bit", "a.png b")


def test_classes_that_no_labelled_image_holds(own_root):
    for place, path in enumerate(sorted((own_root / "masks").iterdir())):
        Image.fromarray(np.resize(np.array([0, 1 if place else 2], np.uint8), (4, 6))).save(path)
    (own_root / "test.txt").write_text("p1\n")
    data = OWN.evolve(test_list="test.txt")
    dataset = opened(data, own_root)
    parts = divide(Split(labelled=2, selection=0.1), data, dataset)
    held = {int(k) for i in parts.labelled for k in np.unique(dataset.subsets["train"].mask(i))}
    assert unlabelled_classes(parts, dataset) == tuple(name for k, name in enumerate(OWN.classes) if k not in held)
    assert unlabelled_classes(parts, dataset)
