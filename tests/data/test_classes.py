"""Data sets for classification: an image has one class, and splits have as many images of each."""

import numpy as np
import pytest
from PIL import Image

from dmt_ray.config import Split
from dmt_ray.data import Dataset, Images, divide, open_dataset, report
from dmt_ray.data.sets.class_folders import ClassFoldersData
from dmt_ray.data.sets.digits import DigitsData
from dmt_ray.data.sets.shapes import ShapesData
from dmt_ray.errors import DataError
from tests.helpers.paths import REAL


def of_classes(*classes: int, name: str = "class_folders") -> Dataset:
    """Train images of one pixel with these classes, and one test image; three classes."""

    def images(kinds: tuple[int, ...]) -> Images:
        n = len(kinds)
        return Images(
            ids=tuple(f"{i:03}" for i in range(n)),
            sizes=np.full((n, 2), 2, np.int32),
            offsets=np.arange(n + 1) * 4,
            pixels=np.zeros((4 * n, 3), np.uint8),
            masks=np.array(kinds, np.uint8),
            known=np.ones(n, np.bool_),
            one_class=True,
        )

    subsets = {"train": images(classes), "test": images((0,))}
    return Dataset(name, ("a", "b", "c"), np.zeros((3, 3), np.uint8), "f" * 32, subsets, None, "classification")


def counts(dataset: Dataset, positions: tuple[int, ...]) -> list[int]:
    classes = [int(dataset.subsets["train"].mask(i)[0, 0]) for i in positions]
    return np.bincount(classes, minlength=3).tolist()


def parts(dataset: Dataset, **split):
    return divide(Split(**{"rule": "per_class", "selection": 0.1} | split), ClassFoldersData(), dataset)


def test_digits_are_what_scikit_learn_brings(tmp_path):
    dataset = open_dataset(DigitsData(), None, tmp_path)
    train, test = dataset.subsets["train"], dataset.subsets["test"]
    assert (dataset.task, dataset.classes) == ("classification", tuple("0123456789"))
    assert (len(train), len(test)) == (1297, 500)
    assert np.bincount(test.masks).tolist() == [50] * 10
    assert (train.image(0).shape, train.mask(0).shape) == ((8, 8, 3), (1, 1))
    assert train.pixels.max() == 255
    assert open_dataset(DigitsData(), None, tmp_path).fingerprint == dataset.fingerprint


def test_a_working_size_makes_digits_larger(tmp_path):
    train = open_dataset(DigitsData(size=(16, 24)), None, tmp_path).subsets["train"]
    assert (train.image(3).shape, train.mask(3).shape) == ((16, 24, 3), (1, 1))


@pytest.fixture
def folders(folders_root):
    return folders_root


def test_the_folders_of_train_are_the_classes(folders, tmp_path):
    dataset = open_dataset(ClassFoldersData(), folders, tmp_path / "cache")
    assert dataset.classes == ("cat", "dog")
    assert dataset.subsets["train"].ids == ("train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2")
    assert dataset.subsets["train"].masks.tolist() == [0, 0, 1, 1]
    assert dataset.subsets["train"].image(2)[0, 0].tolist() == [0, 0, 200]


def test_the_same_file_in_another_folder_is_another_data_set(folders, tmp_path):
    first = open_dataset(ClassFoldersData(), folders, tmp_path / "cache").fingerprint
    (folders / "train/cat").rename(folders / "away")
    (folders / "train/dog").rename(folders / "train/cat")
    (folders / "away").rename(folders / "train/dog")
    assert open_dataset(ClassFoldersData(), folders, tmp_path / "cache").fingerprint != first


def test_a_class_that_only_one_subset_has_is_named(folders, tmp_path):
    (folders / "test/dog").rename(folders / "test/wolf")
    with pytest.raises(DataError, match="classes that not all subsets have: train/dog, test/wolf"):
        open_dataset(ClassFoldersData(), folders, tmp_path / "cache")


def test_a_folder_without_classes_is_named(folders, tmp_path):
    for path in (folders / "train").iterdir():
        path.rename(folders / path.name)
    with pytest.raises(DataError, match=r"folders with fewer than two classes; expected one folder per class: train"):
        open_dataset(ClassFoldersData(), folders, tmp_path / "cache")


def test_a_class_without_images_is_named(folders, tmp_path):
    for path in (folders / "train/dog").iterdir():
        path.rename(folders / f"train/cat/dog_{path.name}")
    with pytest.raises(DataError, match="folders without images: train/dog"):
        open_dataset(ClassFoldersData(), folders, tmp_path / "cache")


def test_images_of_several_sizes_need_a_working_size(folders, tmp_path):
    Image.new("RGB", (5, 4)).save(folders / "test/dog/3.png")
    with pytest.raises(DataError) as caught:
        open_dataset(ClassFoldersData(), folders, tmp_path / "cache")
    said = "images of several sizes; set data.size, as [32, 32]: train/cat/1 (4 x 4), test/dog/3 (4 x 5)"
    assert said in str(caught.value)
    test = open_dataset(ClassFoldersData(size=(4, 4)), folders, tmp_path / "cache").subsets["test"]
    assert test.sizes.tolist() == [[4, 4], [4, 4]]


def test_val_is_read_where_it_is_there_and_must_be_where_it_is_reported(folders, tmp_path):
    reported = ClassFoldersData(reported="val")
    with pytest.raises(DataError, match=r"folders that are missing or cannot be read: val \(No such file"):
        open_dataset(reported, folders, tmp_path / "cache")
    (folders / "test").rename(folders / "val")
    subsets = open_dataset(reported, folders, tmp_path / "cache").subsets
    assert list(subsets) == ["train", "val"]
    assert subsets["val"].ids == ("val/cat/3", "val/dog/3")


def test_ids_are_sorted_whatever_the_classes_are_called(folders, tmp_path):
    for subset in ("train", "test"):
        (folders / subset / "dog").rename(folders / subset / "cat-like")  # "-" comes before "/"
    train = open_dataset(ClassFoldersData(), folders, tmp_path / "cache").subsets["train"]
    assert train.ids == ("train/cat-like/1", "train/cat-like/2", "train/cat/1", "train/cat/2")
    assert train.masks.tolist() == [1, 1, 0, 0]


def test_real_photographs_in_folders(tmp_path):
    root = REAL / "cifar10_small"
    if not root.is_dir():
        pytest.skip("no real images: set DMT_DATA to a folder that holds cifar10_small/")
    dataset = open_dataset(ClassFoldersData(), root, tmp_path)
    train, test = dataset.subsets["train"], dataset.subsets["test"]
    assert dataset.classes[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(train.masks).tolist() == [1000] * 10
    assert np.bincount(test.masks).tolist() == [200] * 10
    assert (train.image(0).shape, train.mask(0).shape) == ((32, 32, 3), (1, 1))
    found = divide(Split(labelled=400, rule="per_class", selection="valtiny"), ClassFoldersData(), dataset)
    assert [len(found.labelled), len(found.selection[1]), len(found.unlabelled)] == [400, 200, 9400]


def test_as_many_images_of_each_class_are_labelled():
    dataset = of_classes(*[0] * 10, *[1] * 20, *[2] * 30)
    found = parts(dataset, labelled=9)
    assert counts(dataset, found.labelled) == [3, 3, 3]
    assert counts(dataset, found.selection[1]) == [2, 2, 2]  # a tenth of 60 is 6
    assert counts(dataset, found.unlabelled) == [5, 15, 25]
    assert found.name == "per_class-9-0"


def test_a_share_is_rounded_to_whole_images_of_each_class():
    dataset = of_classes(*[0, 1, 2] * 20)
    assert len(parts(dataset, labelled=0.25).labelled) == 12  # a quarter of 54 is 13.5: 4 or 5 of each


def test_a_class_that_runs_short_is_said():
    dataset = of_classes(*[0] * 10, *[1] * 20, *[2] * 30)
    assert counts(dataset, parts(dataset, labelled=24).labelled) == [8, 8, 8]  # 2 of each are held out
    said = "split.labelled is 27, 9 of each class, but the rarest class has only 8 train images"
    with pytest.raises(DataError, match=said):
        parts(dataset, labelled=27)


def test_fewer_labelled_images_are_the_first_of_more():
    dataset = of_classes(*[0, 1, 2] * 20)
    assert parts(dataset, labelled=12).labelled[:6] == parts(dataset, labelled=6).labelled


def test_both_ends_of_the_labelled_list_hold_all_classes():
    dataset = of_classes(*[0] * 20, *[1] * 20, *[2] * 20)
    labelled = parts(dataset, labelled=12).labelled
    assert counts(dataset, labelled[:6]) == counts(dataset, labelled[-6:]) == [2, 2, 2]


def test_other_numbers_draw_other_images_and_hold_out_the_same():
    dataset = of_classes(*[0, 1, 2] * 20)
    found = [parts(dataset, labelled=6, number=number) for number in range(3)]
    assert len({part.labelled for part in found}) == 3
    assert len({part.selection for part in found}) == 1


def test_valtiny_holds_out_twenty_train_images_of_each_class():
    dataset = of_classes(*[0, 1, 2] * 25)
    found = parts(dataset, labelled=3, selection="valtiny")
    assert found.selection[0] == "train"
    assert counts(dataset, found.selection[1]) == [20, 20, 20]
    assert not {*found.selection[1]} & {*found.labelled, *found.unlabelled}
    assert counts(dataset, found.unlabelled) == [4, 4, 4]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"labelled": 7}, "split.labelled is 7, which 3 classes cannot share evenly: set it to 6"),
        ({"labelled": 2}, "split.labelled is 2, which 3 classes cannot share evenly: set it to 3"),
        ({"labelled": 300}, "split.labelled is 300, but only 27 train images are not held out"),
        ({"labelled": 3, "selection": "valtiny"}, "'valtiny' holds out 20 images a class, but class 0 has 10"),
        ({"labelled": 3, "selection": "val"}, "it can be: valtiny, a fraction of the training images"),
    ],
)
def test_what_cannot_be_shared_evenly_is_said(split, said):
    with pytest.raises(DataError, match=said):
        parts(of_classes(*[0, 1, 2] * 10), **split)


@pytest.mark.parametrize("selection", ["val", 0.1])
def test_segmentation_has_no_images_of_a_class(selection, tmp_path):
    dataset = open_dataset(ShapesData(size=(16, 16)), None, tmp_path)
    with pytest.raises(DataError, match="per_class is for classification, but 'shapes' is for segmentation"):
        divide(Split(labelled=6, rule="per_class", selection=selection), ShapesData(), dataset)


def test_the_report_counts_images_of_each_class():
    assert report(of_classes(0, 0, 1, 2, 2, 2)).splitlines() == [
        "class_folders: 3 classes, fingerprint " + "f" * 32,
        "",
        "subset  images  without mask  height  width",
        "train        6             0       2      2",
        "test         1             0       2      2",
        "",
        "class  train  test",
        "0 a        2     1",
        "1 b        1     0",
        "2 c        3     0",
    ]
