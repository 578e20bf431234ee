"""What is wrong with a data set is said before any training: all of it at once, with the files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.data import open_dataset
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data.sets.cityscapes import CityscapesData
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.data.sets.voc import VocData
from dmt_ray.errors import DataError

OWN = FolderData(classes=("ground", "cat", "dog"))
VOC = "VOCdevkit/VOC2012"


def save(path: Path, *values: int, height: int = 4, width: int = 6) -> None:
    Image.fromarray(np.resize(np.array(values, np.uint8), (height, width))).save(path)


def complaint(data, root: Path) -> str:
    """What opening says; nothing may be left of the attempt."""
    cache = root.parent / "cache"
    with pytest.raises(DataError) as caught:
        open_dataset(data, root, cache)
    assert not cache.exists() or [path for path in cache.iterdir() if not path.name.startswith("files-")] == []
    return str(caught.value)


def test_an_image_without_its_mask(camvid_root):
    (camvid_root / "trainannot/train2.png").unlink()
    assert "images without a mask; expected a PNG file of the same name in trainannot/: train/train2.png" in complaint(
        CamvidData(), camvid_root
    )


def test_a_mask_without_its_image(own_root):
    (own_root / "images/p3.jpg").unlink()
    expected = "masks without an image; expected a file of the same name in images/: masks/p3.png"
    assert expected in complaint(OWN, own_root)


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "cut"])
@pytest.mark.parametrize("file", ["train/train1.png", "valannot/val0.png"])
def test_a_damaged_file(file, content, camvid_root):
    whole = (camvid_root / file).read_bytes()
    (camvid_root / file).write_bytes(whole[: len(whole) - 30] if content is None else content)
    assert f"files that are damaged or truncated: {file} (" in complaint(CamvidData(), camvid_root)


def test_a_truncated_jpeg(own_root):
    path = own_root / "images/p1.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    assert "files that are damaged or truncated: images/p1.jpg (" in complaint(OWN, own_root)


def test_a_file_that_cannot_be_read(camvid_root):
    (camvid_root / "train/train1.png").unlink()
    (camvid_root / "train/train1.png").symlink_to("nowhere.png")
    assert "files that cannot be read: train/train1.png (No such file" in complaint(CamvidData(), camvid_root)


def test_a_mask_of_another_size(camvid_root):
    save(camvid_root / "testannot/test1.png", 0, 3, width=5)
    expected = (
        "masks that differ in size from their images (height x width): testannot/test1.png is 4 x 5 but the image 4 x 6"
    )
    assert expected in complaint(CamvidData(size=(2, 3)), camvid_root)


@pytest.mark.parametrize(
    ("values", "found"),
    [((0, 7), "holds 7"), ((1, 200, 7), "holds 7, 200"), (range(3, 13), "holds 3, 4, 5, 6, 7, ...")],
)
def test_values_that_are_no_class(values, found, own_root):
    save(own_root / "masks/p3.png", *values)
    said = complaint(OWN, own_root)
    assert "masks with values that are neither a class nor ignore; expected 0..2 or 255 (ignore)" in said
    assert f"masks/p3.png {found}" in said


def test_255_is_no_value_of_camvid(camvid_root):
    save(camvid_root / "trainannot/train0.png", 0, 255)
    assert "expected 0..10 or 11 (ignore): trainannot/train0.png holds 255" in complaint(CamvidData(), camvid_root)


def test_values_of_more_than_8_bits(own_root):
    Image.fromarray(np.full((4, 6), 1000, np.uint16)).save(own_root / "masks/p3.png")
    assert "masks/p3.png holds 1000" in complaint(OWN, own_root)


def test_a_coloured_mask(own_root):
    Image.new("RGB", (6, 4)).save(own_root / "masks/p3.png")
    said = complaint(OWN, own_root)
    assert "masks in colour; expected one channel or a palette that holds class numbers" in said
    assert "masks/p3.png (RGB)" in said


def test_an_image_of_16_bits(own_root):
    (own_root / "images/p3.jpg").unlink()
    Image.fromarray(np.full((4, 6), 1000, np.uint16)).save(own_root / "images/p3.png")
    assert "images whose pixels are not 8-bit" in complaint(OWN, own_root)


def test_masks_that_hold_one_class_alone(own_root):
    for path in (own_root / "masks").iterdir():
        save(path, 0, 255)  # 255 for the object: read as ignore, nothing could be learnt
    assert "all hold only class 0 (ground) and ignore" in complaint(OWN, own_root)


def test_the_same_image_in_two_subsets(camvid_root):
    for folder in ("test", "testannot"):
        (camvid_root / folder / "train1.png").write_bytes((camvid_root / folder / "test1.png").read_bytes())
    said = complaint(CamvidData(), camvid_root)
    assert "images in two subsets" in said
    assert "train1 (train and test)" in said


def test_an_id_in_two_lists(voc_root):
    (voc_root / VOC / "ImageSets/Segmentation/val.txt").write_text("v0\na2\n")
    assert "a2 (train and val)" in complaint(VocData(), voc_root)


def test_an_id_twice_in_one_list(voc_root):
    (voc_root / VOC / "ImageSets/Segmentation/val.txt").write_text("v0\nv1\nv0\n")
    said = complaint(VocData(), voc_root)
    assert f"ids that are twice in one list: v0 in {VOC}/ImageSets/Segmentation/val.txt" in said


@pytest.mark.parametrize("entry", ["../a0", "/etc/passwd", "../a0.jpg", "a0.jpg a1.png", "..", "sub\\a0"])
def test_a_list_entry_that_is_no_plain_id(entry, voc_root):
    (voc_root / VOC / "ImageSets/Segmentation/trainaug.txt").write_text(f"a0\n{entry}\n")
    said = complaint(VocData(), voc_root)
    assert "list entries that are not plain ids; expected one file name without its extension per line" in said
    assert repr(entry) in said


def test_a_list_names_an_image_that_does_not_exist(voc_root):
    (voc_root / VOC / "ImageSets/Segmentation/trainaug.txt").write_text("a0\nnone\n")
    said = complaint(VocData(), voc_root)
    assert f"listed ids without an image; expected {VOC}/JPEGImages/ID.jpg: none (train)" in said
    assert "listed ids without a mask" in said


def test_an_own_list_names_an_image_that_does_not_exist(own_root):
    (own_root / "final.txt").write_text("p1\np77\n")
    said = complaint(OWN.evolve(test_list="final.txt"), own_root)
    assert "listed ids that have no image with a mask: p77 (final.txt)" in said


def test_a_missing_list(voc_root):
    said = complaint(VocData(train_list="mine"), voc_root)
    assert f"lists that are missing or cannot be read: {VOC}/ImageSets/Segmentation/mine.txt (No such file" in said


def test_an_empty_list(voc_root):
    (voc_root / VOC / "ImageSets/Segmentation/trainaug.txt").write_text("\n")
    assert "subsets without images: train" in complaint(VocData(), voc_root)


def test_a_list_that_is_no_text(voc_root):
    (voc_root / VOC / "ImageSets/Segmentation/val.txt").write_bytes(b"\xff\xfe\x00")
    assert "val.txt (not a UTF-8 text)" in complaint(VocData(), voc_root)


@pytest.mark.parametrize("folder", ["JPEGImages", "ImageSets"])
def test_a_missing_voc_folder(folder, voc_root):
    (voc_root / VOC / folder).rename(voc_root / "away")
    assert f"{VOC}/{folder}" in complaint(VocData(), voc_root)


@pytest.mark.parametrize("folder", ["train", "trainannot", "test", "testannot"])
def test_a_missing_camvid_folder(folder, camvid_root):
    (camvid_root / folder).rename(camvid_root / "away")
    assert f"folders that are missing or cannot be read: {folder} (No such file" in complaint(CamvidData(), camvid_root)


@pytest.mark.parametrize("folder", ["leftImg8bit/val", "gtFine/train"])
def test_a_missing_cityscapes_folder(folder, cityscapes_root):
    (cityscapes_root / folder).rename(cityscapes_root / "away")
    said = complaint(CityscapesData(), cityscapes_root)
    assert f"folders that are missing or cannot be read: {folder}" in said


def test_a_missing_cityscapes_mask(cityscapes_root):
    (cityscapes_root / "gtFine/train/bonn/bonn_000001_000019_gtFine_labelIds.png").unlink()
    said = complaint(CityscapesData(), cityscapes_root)
    assert "expected gtFine/train/CITY/*_gtFine_labelIds.png: leftImg8bit/train/bonn/bonn_000001_000019" in said


@pytest.mark.parametrize(
    ("folder", "endings"), [("images", ".bmp, .jpeg, .jpg, .png, "), ("masks", ".bmp, .png, .tif, .tiff: ")]
)
def test_an_empty_folder(folder, endings, own_root):
    for path in (own_root / folder).iterdir():
        path.unlink()
    said = complaint(OWN, own_root)
    assert f"folders without files that end in {endings}" in said
    assert said.endswith(f": {folder}")


def test_an_empty_folder_of_further_images(own_root):
    for path in (own_root / "more").iterdir():
        path.unlink()
    assert "folders without images: more" in complaint(OWN.evolve(unlabelled="more"), own_root)


def test_two_images_of_one_name(own_root):
    save(own_root / "images/p3.png", 1)
    said = complaint(OWN, own_root)
    assert "files that differ only in their extension; expected one file per name: images/p3.jpg and p3.png" in said


@pytest.mark.parametrize("setting", ["images", "masks", "unlabelled", "train_list"])
@pytest.mark.parametrize("value", ["../secret", "/etc", "."])
def test_settings_cannot_lead_out_of_the_data_folder(setting, value, own_root):
    said = complaint(OWN.evolve(**{setting: value, "test_list": "final.txt"}), own_root)
    assert f"data.{setting} must name something below" in said


def test_everything_that_is_wrong_is_said_at_once(camvid_root):
    (camvid_root / "trainannot/train0.png").unlink()
    (camvid_root / "train/train1.png").write_bytes(b"")
    save(camvid_root / "valannot/val1.png", 77)
    Image.new("RGB", (6, 4)).save(camvid_root / "testannot/test0.png")
    said = complaint(CamvidData(), camvid_root)
    assert said.startswith(f"the data set 'camvid' in {camvid_root} cannot be used:\n- ")
    for file in ("train/train0.png", "train/train1.png", "valannot/val1.png holds 77", "testannot/test0.png (RGB)"):
        assert file in said


def test_ten_files_are_named_and_the_others_counted(own_root):
    for i in range(10, 23):
        save(own_root / f"masks/x{i}.png", 0, 1)
    said = complaint(OWN, own_root)
    assert "masks/x19.png, and 3 more" in said
    assert "x20" not in said


def test_settings_that_were_made_for_other_data(camvid_root, tmp_path):
    fingerprint = open_dataset(CamvidData(), camvid_root, tmp_path / "decoded").fingerprint
    bound = CamvidData(fingerprint=fingerprint)
    assert open_dataset(bound, camvid_root, tmp_path / "decoded").fingerprint == fingerprint
    save(camvid_root / "trainannot/train0.png", 5, 6)
    assert f"expected fingerprint {fingerprint}, found " in complaint(bound, camvid_root)
