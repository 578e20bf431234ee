"""Images and masks that are found by patterns, in nested folders, and lists of them; groups that stay together."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.config import Split
from dmt_ray.data import divide, open_dataset
from dmt_ray.data.groups import drawn_groups
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.errors import ConfigError, DataError

OWN = FolderData(classes=("ground", "cat"))


def write(path: Path, number: int, *, mask: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(24) % 2 if mask else np.random.default_rng(number).integers(0, 256, 72)
    Image.fromarray(pixels.astype(np.uint8).reshape((4, 6) if mask else (4, 6, 3))).save(path)


def opened(root: Path, **settings):
    return open_dataset(OWN.evolve(**settings), root, root.parent / "cache")


def ids(dataset) -> list[str]:
    return sorted(id for images in dataset.subsets.values() for id in images.ids)


@pytest.mark.parametrize(
    ("image", "mask", "settings", "id"),
    [
        pytest.param("images/a/{}.jpg", "masks/a/{}.png", {}, "a/{}", id="nested folders"),
        pytest.param("{}.jpg", "{}_mask.png", {"images": "{id}", "masks": "{id}_mask"}, "{}", id="suffix"),
        pytest.param(
            "b/{}.jpg", "b/{}_mask.png", {"images": "{id}.jpg", "masks": "{id}_mask.png"}, "b/{}", id="nested"
        ),
        pytest.param("x/{}.png", "x/gt/{}.bmp", {"images": "x/{id}", "masks": "x/gt/{id}"}, "{}", id="masks inside"),
        pytest.param(
            "{}/image.png", "{}/label.tif", {"images": "{id}/image", "masks": "{id}/label"}, "{}", id="a folder each"
        ),
        pytest.param(
            "im-{}.PNG", "gt-{}.PNG", {"images": "im-{id}", "masks": "gt-{id}"}, "{}", id="prefix and capitals"
        ),
    ],
)
def test_layouts(image, mask, settings, id, tmp_path):
    for i in range(6):
        write(tmp_path / "own" / image.format(i), i)
        write(tmp_path / "own" / mask.format(i), i, mask=True)
    assert ids(opened(tmp_path / "own", **settings)) == [id.format(i) for i in range(6)]


def test_the_same_name_in_two_folders_is_two_images(tmp_path):
    for place in ("a", "b", "b/c"):
        for i in range(2):
            write(tmp_path / f"own/images/{place}/{i}.png", len(place) * 10 + i)
            write(tmp_path / f"own/masks/{place}/{i}.png", i, mask=True)
    assert ids(opened(tmp_path / "own")) == ["a/0", "a/1", "b/0", "b/1", "b/c/0", "b/c/1"]


def test_images_without_a_mask_can_be_unlabelled(own_root):
    data = FolderData(classes=("ground", "cat", "dog"), without_mask="unlabelled")
    (own_root / "masks/p3.png").unlink()
    train = open_dataset(data, own_root, own_root.parent / "cache").subsets["train"]
    assert [id for id, known in zip(train.ids, train.known, strict=True) if not known] == ["p3"]


def test_a_pattern_that_no_file_fits_and_one_that_makes_no_sense(own_root):
    with pytest.raises(DataError, match=r"patterns that no file fits, .*data.masks '\{id\}_gt'"):
        opened(own_root, masks="{id}_gt")
    with pytest.raises(
        ConfigError, match=r"data.images can hold \{id\}, \{folder\}, \* and for masks \{class\}, but got '\{name\}'"
    ):
        opened(own_root, images="{name}_{id}")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeffa/0\r\na/1\r\n\r\n", id="byte order mark, Windows line ends and a blank line"),
        pytest.param("images/a/0.png masks/a/0.png\na/1.png", id="paths"),
    ],
)
def test_lists_of_nested_names(text, tmp_path):
    for i in range(4):
        write(tmp_path / f"own/images/a/{i}.png", i)
        write(tmp_path / f"own/masks/a/{i}.png", i, mask=True)
    (tmp_path / "own/test.txt").write_text(text, encoding="utf-8", newline="")
    assert opened(tmp_path / "own", test_list="test.txt").subsets["test"].ids == ("a/0", "a/1")


def test_lists_may_be_patterns_of_ids(tmp_path):
    for place in ("train/1", "train/2", "test/1"):
        write(tmp_path / f"own/images/{place}.png", len(place) + int(place[-1]))
        write(tmp_path / f"own/masks/{place}.png", 0, mask=True)
    dataset = opened(tmp_path / "own", train_list="train/*", test_list="test/*")
    assert {name: images.ids for name, images in dataset.subsets.items()} == {
        "train": ("train/1", "train/2"),
        "test": ("test/1",),
    }
    with pytest.raises(DataError, match=r"patterns that no image fits: data.test_list 'final/\*'"):
        opened(tmp_path / "own", train_list="train/*", test_list="final/*")


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Images of ten patients, 0 to 9, of whom number k has k % 3 + 1 images."""
    root = tmp_path / "own"
    lines = ["file;who"]
    for patient in range(10):
        for i in range(patient % 3 + 1):
            write(root / f"images/{patient}_{i}.png", patient * 10 + i)
            write(root / f"masks/{patient}_{i}.png", i, mask=True)
            lines.append(f"{patient}_{i}.png;P{patient}")
    (root / "who.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    return root


@pytest.mark.parametrize("groups", ["{group}_*", "who.csv:who"])
def test_no_patient_is_in_two_parts(groups, patients):
    dataset = opened(patients, groups=groups)
    parts = divide(Split(labelled=4, selection=0.3), OWN, dataset)
    train = dataset.subsets["train"].ids
    held = {train[i].split("_")[0] for i in parts.selection[1]}
    tested = {id.split("_")[0] for id in dataset.subsets["test"].ids}
    rest = {train[i].split("_")[0] for i in (*parts.labelled, *parts.unlabelled)}
    assert held
    assert tested
    assert held.isdisjoint(rest)
    assert tested.isdisjoint(rest | held)
    assert {patient for part in (held, rest, tested) for patient in part} == set("0123456789")


def test_groups_are_part_of_what_the_data_are(patients):
    by_name, by_table = (opened(patients, groups=groups) for groups in ("{group}_*", "who.csv:who"))
    assert opened(patients).fingerprint != by_name.fingerprint
    assert by_name.subsets["test"].ids == by_table.subsets["test"].ids  # the names of groups sort alike
    assert json.dumps(sorted(by_table.groups.values())) != json.dumps(sorted(by_name.groups.values()))


def test_a_drawn_share_is_of_whole_groups_and_leaves_one():
    groups = {f"{group}{i}": group for group, count in (("a", 5), ("b", 3), ("c", 2)) for i in range(count)}
    for seed in range(5):
        chosen = drawn_groups(sorted(groups), groups, 0.3, seed)
        assert {groups[id] for id in chosen} < {"a", "b", "c"}
        assert sum(groups[id] in {groups[one] for one in chosen} for id in groups) == len(chosen)


def test_lists_that_tear_a_group_apart_are_refused(patients):
    (patients / "test.txt").write_text("1_0\n")
    with pytest.raises(DataError, match=r"groups with images in two subsets.*: 1 \(1_1 in train, 1_0 in test\)"):
        opened(patients, groups="{group}_*", test_list="test.txt")


def test_unlabelled_images_of_a_tested_patient_are_left_out(patients):
    for patient in range(10):
        write(patients / f"more/{patient}_9.png", 1000 + patient)
    dataset = opened(patients, groups="{group}_*", unlabelled="more")
    tested = {id.split("_")[0] for id in dataset.subsets["test"].ids}
    bare = {id.removeprefix("more/").split("_")[0] for id in dataset.subsets["train"].ids if id.startswith("more/")}
    assert bare == set("0123456789") - tested
    assert any("left out, since others of their group are validation or test images" in one for one in dataset.remarks)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("{group}-*", "images without a group; data.groups is '{group}-\\*'"),
        ("who.csv:whom", "tables without the column 'whom' of data.groups: who.csv has \\['file', 'who'\\]"),
        ("nobody.csv:who", "lists that are missing or cannot be read: nobody.csv"),
        ("patient", "data.groups must be a pattern of the images' names"),
        ("{patient}_{group}", "data.groups can hold {group} once"),
    ],
)
def test_groups_that_cannot_be_found_are_refused(groups, said, patients):
    with pytest.raises((ConfigError, DataError), match=said):
        opened(patients, groups=groups)


@pytest.mark.parametrize(
    ("image", "mask", "settings"),
    [
        ("images/{}.jpg", "masks/{}.jpg", {}),
        ("images/{}.png", "masks/{}.JPEG", {"without_mask": "unlabelled"}),  # and not taken for images without a mask
        ("{}.jpg", "{}_mask.jpg", {"images": "{id}", "masks": "{id}_mask"}),
    ],
)
def test_masks_as_jpeg_are_refused_with_the_reason_and_a_way_out(image, mask, settings, tmp_path):
    for i in range(6):
        write(tmp_path / "own" / image.format(i), i)
        write(tmp_path / "own" / mask.format(i), i, mask=True)
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "own", **settings)
    (line,) = str(caught.value).splitlines()[1:]
    assert "change numbers and colours" in line
    assert "docs/how-to/own-images.md#masks-as-jpeg" in line
    assert mask.format(0) in line


def test_jpegs_beside_masks_of_their_own_names_are_no_masks(tmp_path):
    for i in range(6):
        write(tmp_path / f"own/{i}.jpg", i)
        write(tmp_path / f"own/{i}.png", i, mask=True)
    settings = {"images": "{id}.jpg", "masks": "{id}", "without_mask": "unlabelled"}
    (tmp_path / "own/5.png").unlink()
    assert ids(opened(tmp_path / "own", **settings)) == ["0", "1", "2", "3", "4", "5"]
