"""Which images are labelled, which select and which are reported; the counts are those of the authors' lists."""

import random
from importlib import resources

import numpy as np
import pytest

from dmt_ray.config import Split
from dmt_ray.data import Dataset, Images, divide, dms_half, list_digest, open_dataset
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data.sets.cityscapes import CityscapesData
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.data.sets.voc import VocData
from dmt_ray.errors import DataError

OWN = FolderData(classes=("ground", "cat"))


def images(ids: list[str], without_mask: int = 0) -> Images:
    """Images of one pixel; the last ones have no mask."""
    n = len(ids)
    known = np.arange(n) < n - without_mask
    masks = np.where(known, 0, 255).astype(np.uint8)
    sizes = np.ones((n, 2), np.int32)
    return Images(tuple(ids), sizes, np.arange(n + 1, dtype=np.int64), np.zeros((n, 3), np.uint8), masks, known)


def dataset(name: str = "folder", train: int = 40, root=None, without_mask: int = 0, **others: list[str]) -> Dataset:
    subsets = {"train": images([f"t{i:05}" for i in range(train)], without_mask)}
    subsets |= {subset: images(ids) for subset, ids in others.items()}
    palette = np.zeros((2, 3), np.uint8)
    return Dataset(name, ("ground", "cat"), palette, "f" * 32, subsets, root)


def own(train: int = 40, **arguments) -> Dataset:
    return dataset("folder", train, val=["v0", "v1"], test=["e0", "e1", "e2"], **arguments)


@pytest.mark.parametrize(
    ("s", "total", "labelled"),
    [
        pytest.param(105.82, 10582, 100, id="VOC 1/106"),
        pytest.param(50, 10582, 211, id="VOC 1/50"),
        pytest.param(20, 10582, 530, id="VOC 1/20: 529 is 1 modulo 8"),
        pytest.param(8, 10582, 1322, id="VOC 1/8"),
        pytest.param(29.75, 2975, 100, id="Cityscapes 1/30"),
        pytest.param(8, 2975, 371, id="Cityscapes 1/8"),
    ],
)
def test_authors_numbers_of_labelled_images(s, total, labelled):
    data = dataset("voc", total, val=["v0", "v1"])
    for share in (1 / s, f"1/{s}"):
        parts = divide(Split(labelled=share, rule="authors"), VocData(), data)
        assert (len(parts.labelled), len(parts.unlabelled)) == (labelled, total - labelled)
        assert parts.name == f"authors-1/{s:g}-0"


def test_authors_orders_are_chained_shuffles_of_the_sorted_ids():
    names = [f"t{i:05}" for i in range(40)]
    generator = random.Random(7777)
    for number in range(3):
        generator.shuffle(names)
        parts = divide(Split(labelled="1/4", rule="authors", number=number), OWN, own())
        assert [f"t{i:05}" for i in parts.labelled] == names[:10]


@pytest.mark.parametrize("rule", ["authors", "random"])
@pytest.mark.parametrize("number", [0, 2])
def test_fewer_labelled_images_are_the_first_of_more(rule, number):
    small, middle, large = (
        divide(Split(labelled=labelled, rule=rule, number=number), OWN, own(400)).labelled
        for labelled in (10, 0.1, 0.5)
    )
    assert (len(small), len(large)) == (10, 200)
    assert large[: len(middle)] == middle
    assert middle[: len(small)] == small


@pytest.mark.parametrize("rule", ["authors", "random"])
def test_splits_of_other_numbers_are_others(rule):
    parts = [divide(Split(labelled=20, rule=rule, number=number), OWN, own()) for number in range(4)]
    assert len({frozenset(part.labelled) for part in parts}) == 4
    assert len({part.digest for part in parts}) == 4


def test_random_splits_never_change():
    assert divide(Split(labelled=5), OWN, own()).labelled == (11, 27, 4, 24, 23)
    assert divide(Split(labelled=5, number=3), OWN, own()).labelled == (23, 32, 30, 17, 20)


@pytest.mark.parametrize("rule", ["authors", "random"])
def test_labelled_and_unlabelled_are_all_train_images_once(rule):
    parts = divide(Split(labelled="1/8", rule=rule), OWN, own(without_mask=7))
    assert sorted(parts.labelled + parts.unlabelled) == list(range(40))
    assert parts.unlabelled == tuple(sorted(parts.unlabelled))
    assert max(parts.labelled) < 33


def test_a_share_is_of_the_images_that_have_masks():
    assert len(divide(Split(labelled=0.5), OWN, own(without_mask=20)).labelled) == 10


def test_all_masks_can_be_labelled_where_others_have_none():
    parts = divide(Split(labelled=1.0), OWN, own(without_mask=7))
    assert (len(parts.labelled), parts.unlabelled) == (33, tuple(range(33, 40)))


def test_a_random_share_is_at_least_one_image():
    assert len(divide(Split(labelled=0.001), OWN, own()).labelled) == 1


@pytest.mark.parametrize(
    ("split", "name"),
    [
        (Split(labelled=12, number=3), "random-12-3"),
        (Split(labelled=0.05), "random-1/20-0"),
        (Split(labelled=0.3), "random-0.3-0"),
        (Split(labelled="1/3"), "random-1/3-0"),
        (Split(labelled=1 / 10.582, rule="authors", number=2), "authors-1/10.582-2"),
    ],
)
def test_a_split_has_a_name_for_people(split, name):
    assert divide(split, OWN, own()).name == name


def test_the_digest_is_of_the_images_and_their_order_alone():
    plain = divide(Split(labelled=5), OWN, own())
    assert plain.digest == divide(Split(labelled="1/8"), OWN, own()).digest
    assert len(plain.digest) == 12
    assert plain.digest != divide(Split(labelled=5), OWN, dataset(val=["v0"], test=["e0"])).digest
    assert plain.digest != divide(Split(labelled=4), OWN, own()).digest


def test_val_selects_and_the_reported_subset_is_reported():
    parts = divide(Split(labelled=5), CamvidData(), own())
    assert parts.selection == ("val", (0, 1))
    assert parts.reported == ("test", (0, 1, 2))
    assert divide(Split(labelled=5), CamvidData(reported="val"), own()).reported == ("val", (0, 1))


@pytest.mark.parametrize("rule", ["authors", "random"])
def test_held_out_images_are_neither_labelled_nor_unlabelled(rule):
    parts = [
        divide(Split(labelled=5, rule=rule, number=number, selection=0.2), OWN, own(without_mask=10))
        for number in (0, 1)
    ]
    subset, held_out = parts[0].selection
    assert subset == "train"
    assert parts[1].selection == parts[0].selection
    assert len(held_out) == 6  # of the 30 that have masks
    assert max(held_out) < 30
    for part in parts:
        assert sorted(part.labelled + part.unlabelled + held_out) == list(range(40))


def test_held_out_images_are_not_the_ones_that_a_split_draws_first():
    held_out = divide(Split(labelled=5, selection=0.25), OWN, own()).selection[1]
    assert all(set(divide(Split(labelled=10, number=n), OWN, own()).labelled) != set(held_out) for n in range(5))


@pytest.mark.parametrize(("name", "count"), [("voc", 20), ("cityscapes", 19)])
def test_valtiny_is_the_authors_list(name, count):
    data = VocData() if name == "voc" else CityscapesData()
    listed = (resources.files("dmt_ray.data") / "lists" / data.valtiny).read_text().split()
    assert len(set(listed)) == count
    val = sorted([*listed, "2000_000000", "zzz"])
    parts = divide(Split(labelled=5, selection="valtiny"), data, dataset(name, val=val))
    assert [val[i] for i in parts.selection[1]] == listed
    assert parts.reported == ("val", tuple(range(count + 2)))
    with pytest.raises(DataError, match=f"1 of the {count} images of split.selection 'valtiny' are not in val"):
        divide(Split(labelled=5, selection="valtiny"), data, dataset(name, val=listed[1:]))


@pytest.mark.parametrize(
    ("selection", "data", "dataset", "choices"),
    [
        ("val", OWN, dataset(test=["e0"]), "it can be: a fraction"),
        ("valtiny", OWN, own(), "it can be: val, a fraction"),
        ("val", VocData(), dataset("voc", test=["e0"]), "it can be: valtiny, a fraction"),
    ],
)
def test_a_selection_that_does_not_exist(selection, data, dataset, choices):
    with pytest.raises(DataError, match=f"no images for split.selection '{selection}'; {choices}"):
        divide(Split(labelled=5, selection=selection), data, dataset)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(labelled=41), "split.labelled is 41, but only 40 train images with a mask"),
        (Split(labelled=37, selection=0.1), "but only 36 train images with a mask are not held out"),
        (Split(labelled=40), "split.labelled is 40, so all 40 train images are labelled"),
        (Split(labelled=1.0, rule="authors"), "split.labelled is 1/1, so all 40 train images are labelled"),
        (Split(labelled=0.001, rule="authors"), "split.labelled 1/1000 of 40 train images is less than one image"),
        (Split(labelled=1, selection=1.0), "would hold out 40 of 40 train images"),
    ],
)
def test_what_a_split_cannot_ask_for(split, message):
    with pytest.raises(DataError, match=message):
        divide(split, OWN, own())


def test_train_images_without_any_mask():
    with pytest.raises(DataError, match="no train image of 'folder' has a mask"):
        divide(Split(labelled=1), OWN, own(without_mask=40))


def listed(tmp_path, *ids: str, labelled=3, selection="val", **arguments):
    (tmp_path / "mine.txt").write_text("\n".join(ids) + "\n")
    split = Split(labelled=labelled, rule="list", list="mine.txt", selection=selection)
    return divide(split, OWN, own(root=tmp_path, **arguments))


def test_a_list_is_taken_in_its_order(tmp_path):
    parts = listed(tmp_path, "t00007", "t00001", "t00030")
    assert parts.labelled == (7, 1, 30)
    assert parts.name == "list-mine"
    assert parts.digest != listed(tmp_path, "t00001", "t00007", "t00030").digest


@pytest.mark.parametrize(
    ("ids", "arguments", "message"),
    [
        (["t00001", "t00002"], {}, "mine.txt holds 2 ids, but split.labelled is 3: set split.labelled to 2"),
        (["t00001", "t00002"], {"labelled": 0.05}, "split.labelled is 1/20: set split.labelled to 2"),
        (["t00001", "v0", "t00002"], {}, "listed ids that are not train images: v0"),
        (["t00001", "t00039", "t00002"], {"without_mask": 1}, "listed ids that have no mask .*: t00039"),
        (["t00001", "t00001", "t00002"], {}, "ids that are twice in one list: t00001"),
        (["t00001", "../x", "t00002"], {}, "list entries that are not plain ids.*'../x'"),
        ([], {}, "mine.txt holds no ids"),
    ],
)
def test_a_list_that_cannot_be_used(ids, arguments, message, tmp_path):
    with pytest.raises(DataError, match=message):
        listed(tmp_path, *ids, **arguments)


def test_a_list_must_not_name_held_out_images(tmp_path):
    held_out = divide(Split(labelled=5, selection=0.25), OWN, own()).selection[1][0]
    with pytest.raises(DataError, match=f"held out by split.selection .*: t{held_out:05}"):
        listed(tmp_path, f"t{held_out:05}", labelled=1, selection=0.25)


def test_a_list_lies_below_the_data_folder(tmp_path):
    split = Split(labelled=3, rule="list", list="../mine.txt")
    with pytest.raises(DataError, match=r"split\.list must name something below"):
        divide(split, OWN, own(root=tmp_path))
    with pytest.raises(DataError, match="'folder' has no folder and so no list"):
        divide(split, OWN, own(root=None))
    with pytest.raises(DataError, match=r"cannot be read: none\.txt"):
        divide(split.evolve(list="none.txt"), OWN, own(root=tmp_path))


def test_a_list_that_changed_since_the_settings_were_made(tmp_path):
    listed(tmp_path, "t00007", "t00001", "t00030")
    split = Split(labelled=3, rule="list", list="mine.txt")
    bound = split.evolve(list_digest=list_digest(split, own(root=tmp_path)))
    assert divide(bound, OWN, own(root=tmp_path)).labelled == (7, 1, 30)
    (tmp_path / "mine.txt").write_text("t00007\nt00001\nt00031\n")
    with pytest.raises(DataError, match="not the ones these settings were made for"):
        divide(bound, OWN, own(root=tmp_path))


def test_without_a_list_there_is_no_list_digest():
    assert list_digest(Split(labelled=3), own()) == ""


@pytest.mark.parametrize(("labelled", "half"), [(100, 80), (211, 168), (530, 424), (1322, 1057)])
def test_authors_numbers_of_dms(labelled, half):
    order = tuple(range(labelled))
    assert dms_half(order, 0.8, "A") == order[:half]
    assert dms_half(order, 0.8, "B") == order[-half:]


@pytest.mark.parametrize("hundredths", range(51, 101))
def test_dms_shares_are_not_hurt_by_rounding(hundredths):
    order = tuple(range(100))
    assert len(dms_half(order, hundredths / 100, "A")) == hundredths


def test_both_sides_together_see_all_labelled_images():
    order = (9, 4, 7, 1, 3)
    first, last = dms_half(order, 0.6, "A"), dms_half(order, 0.6, "B")
    assert (first, last) == ((9, 4, 7), (7, 1, 3))
    assert dms_half(order, 1, "A") == dms_half(order, 1, "B") == order


@pytest.mark.parametrize("alpha", [0.5, 0.0, 1.01, float("nan")])
def test_dms_alpha_has_a_range(alpha):
    with pytest.raises(ValueError, match=r"dms_alpha must be above 0\.5 and at most 1, but got"):
        dms_half((1, 2, 3), alpha, "A")


def test_a_side_must_see_an_image():
    with pytest.raises(DataError, match="a model would see none"):
        dms_half((1,), 0.8, "A")


UNIMATCH = Split(labelled=2, rule="list", list="unimatch-voc-92", selection="val")


def test_a_published_list_is_read_by_its_name(voc_root, tmp_path):
    data = open_dataset(VocData(), voc_root, tmp_path / "cache")
    file = voc_root / "splits/pascal/92/labeled.txt"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"JPEGImages/{name}.jpg SegmentationClass/{name}.png\n" for name in ("a3", "a1")))
    parts = divide(UNIMATCH, VocData(), data)
    assert [data.subsets["train"].ids[i] for i in parts.labelled] == ["a3", "a1"]
    assert parts.name == "list-unimatch-voc-92"
    digest = list_digest(UNIMATCH, data)
    file.write_text("a3\na2\n")
    with pytest.raises(DataError, match="are not the ones these settings were made for"):
        divide(UNIMATCH.evolve(list_digest=digest), VocData(), data)


def test_the_1464_images_are_voc_s_own_list(voc_root, tmp_path):
    data = open_dataset(VocData(), voc_root, tmp_path / "cache")
    parts = divide(UNIMATCH.evolve(list="unimatch-voc-1464"), VocData(), data)
    assert [data.subsets["train"].ids[i] for i in parts.labelled] == ["a0", "a1"]


def test_a_published_list_that_is_not_there_says_where_to_get_it(voc_root, tmp_path):
    data = open_dataset(VocData(), voc_root, tmp_path / "cache")
    with pytest.raises(
        DataError, match=r"no splits/pascal/92/labeled.txt in .*; copy the folder splits/ of github.com"
    ):
        divide(UNIMATCH, VocData(), data)


def test_a_published_list_is_for_its_own_data_set(voc_root, tmp_path):
    data = open_dataset(VocData(), voc_root, tmp_path / "cache")
    with pytest.raises(DataError, match="list unimatch-cityscapes-1_8 is for cityscapes, not for voc"):
        divide(UNIMATCH.evolve(list="unimatch-cityscapes-1_8"), VocData(), data)
