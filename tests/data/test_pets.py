"""The Oxford-IIIT Pets as torchvision lays them out, with files of a few pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.data import find_root, open_dataset
from dmt_ray.data.sets.pets import PetsData
from dmt_ray.errors import DataError

REPORTED = ("cat_7", "cat_8")
TRIMAP = np.array([[1, 2, 3], [2, 1, 3]], np.uint8)


@pytest.fixture
def root(pets_root: Path) -> Path:
    return pets_root


@pytest.mark.parametrize(
    ("border", "classes", "expected"),
    [
        ("pet", ("background", "pet"), [[1, 0, 1], [0, 1, 1]]),
        ("ignore", ("background", "pet"), [[1, 0, 255], [0, 1, 255]]),
        ("class", ("background", "pet", "border"), [[1, 0, 2], [0, 1, 2]]),
    ],
)
def test_what_a_trimap_means(root, border, classes, expected, tmp_path):
    dataset = open_dataset(PetsData(border=border), root, tmp_path / "cache")
    assert dataset.classes == classes
    assert dataset.subsets["train"].mask(0).tolist() == expected


@pytest.mark.parametrize("place", [".", "oxford-iiit-pet"])
def test_both_lists_are_pooled_and_a_fifth_is_reported(root, place, tmp_path):
    subsets = open_dataset(PetsData(), root / place, tmp_path / "cache").subsets
    assert subsets.keys() == {"train", "test"}
    assert (len(subsets["train"]), len(subsets["test"])) == (8, 2)
    assert {*subsets["train"].ids, *subsets["test"].ids} == {f"cat_{i}" for i in range(10)}


def test_the_reported_images_are_always_the_same(root, tmp_path):
    assert open_dataset(PetsData(), root, tmp_path / "cache").subsets["test"].ids == REPORTED
    home = root / "oxford-iiit-pet/annotations"
    lines = (home / "trainval.txt").read_text() + (home / "test.txt").read_text()
    (home / "trainval.txt").write_text("\n".join(reversed(lines.splitlines())))
    (home / "test.txt").write_text("")
    assert open_dataset(PetsData(), root, tmp_path / "cache").subsets["test"].ids == REPORTED


def complaint(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(PetsData(), root, root.parent / "cache")
    return str(caught.value)


def test_missing_files_are_named(root):
    home = root / "oxford-iiit-pet"
    (home / "images/cat_3.jpg").unlink()
    (home / "annotations/trimaps/cat_7.png").unlink()
    said = complaint(root)
    assert "listed ids without an image; expected oxford-iiit-pet/images/ID.jpg: cat_3" in said
    assert "listed ids without a trimap; expected oxford-iiit-pet/annotations/trimaps/ID.png: cat_7" in said


def test_a_missing_list_is_named(root):
    (root / "oxford-iiit-pet/annotations/test.txt").unlink()
    assert "lists that are missing or cannot be read: oxford-iiit-pet/annotations/test.txt" in complaint(root)


def test_an_id_in_both_lists_and_one_that_leads_out_are_named(root):
    (root / "oxford-iiit-pet/annotations/test.txt").write_text("cat_2 1 1 1\n../../cat 1 1 1\n")
    said = complaint(root)
    assert "ids that are listed twice: cat_2 in oxford-iiit-pet/annotations/test.txt" in said
    assert "list entries that do not begin with a plain id: '../../cat'" in said


def test_a_trimap_has_the_values_one_two_and_three(root):
    Image.fromarray(TRIMAP + 1).save(root / "oxford-iiit-pet/annotations/trimaps/cat_4.png")
    assert "expected 1 (pet), 2 (background) or 3 (border): oxford-iiit-pet/annotations/trimaps/cat_4.png holds 4" in (
        complaint(root)
    )


@pytest.mark.parametrize(("below", "place"), [("", "."), (".", "pets"), ("oxford-iiit-pet", ".")])
def test_dmt_data_leads_to_the_pets(root, below, place, monkeypatch):
    base = root.parent if below == "." else root / below
    monkeypatch.setenv("DMT_DATA", str(base))
    assert find_root(PetsData(), None) == base / place
