"""Which training images are labelled, which images are the validation and the test set; and the halves of DMS."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from dmt_ray.config import Data, Side, Split
from dmt_ray.data.check import Problems
from dmt_ray.data.dataset import Dataset
from dmt_ray.data.files import inside, read_list
from dmt_ray.data.groups import drawn_groups
from dmt_ray.data.images import Images
from dmt_ray.data.published import PUBLISHED
from dmt_ray.data.source import DataSource
from dmt_ray.errors import DataError
from dmt_ray.plan.amounts import SLACK, dms_images
from dmt_ray.plan.key import canonical
from dmt_ray.plan.words import be, counted

AUTHORS_SEED = 7777  # of the splits that the authors of DMT published (the authors' code)
HELD_OUT_SEED = 7_000_777  # of the training images that are held out for validation; no split has this number
VALTINY_OF_A_CLASS = 20  # train images, in classification (DMT, Sec. 5.1: 200 of CIFAR-10)


@dataclass(frozen=True)
class Parts:
    """One split of a data set. Numbers are positions in a subset."""

    name: str  # for people, tags and tables: "authors-1/20-0", "random-60-3", "list-mine"
    digest: str  # 12 hex digits over the ids of the labelled and the validation images
    labelled: tuple[int, ...]  # positions in "train", in the order of the draw: the halves of DMS are its two ends
    unlabelled: tuple[int, ...]  # positions in "train", ascending
    selection: tuple[str, tuple[int, ...]]  # the subset and the positions of the validation images
    reported: tuple[str, tuple[int, ...]]  # the subset and the positions of the test images


def divide(split: Split, data: Data, dataset: Dataset) -> Parts:
    """Divides the images of a data set.

    Rule "authors" is how the authors of DMT drew: the sorted ids, shuffled in place once more for each further split
    number, all from one seed; a share 1/s of N images gives int(N / s), and one more where that is 1 modulo 8 (a
    last batch of one image would break batch normalisation). Rule "random" permutes by the split number. Under both,
    fewer labelled images are the first of more. Rule "list" takes the ids of a file.

    Args:
        split: How to divide; `split.number` says which of the splits of its kind.
        data: The data set's settings: which subset is the test set, and which validation images the authors tuned on.
        dataset: The data set.

    Raises:
        DataError: If the data set does not have the images that the split asks for.
    """
    if split.rule == "per_class" and dataset.task != "classification":
        raise DataError(f"split.rule per_class is for classification, but {dataset.name!r} is for segmentation")
    train = dataset.subsets["train"]
    selection = _selection(split, data, dataset)
    held_out = set(selection[1]) if selection[0] == "train" else set()
    groups = {dataset.groups.get(train.ids[i]) for i in held_out} - {None}
    held_out |= {i for i, id in enumerate(train.ids) if dataset.groups.get(id) in groups}
    known = [int(i) for i in np.flatnonzero(train.known) if int(i) not in held_out]
    if not known:
        raise DataError(f"no train image of {dataset.name!r} has a mask, so none can be labelled: label some")
    order = _order(split, known, dataset)
    labelled = order[: _count(split, len(order), len(known), len(dataset.classes))]
    unlabelled = sorted(set(range(len(train))) - set(labelled) - held_out)
    if not unlabelled:
        raise DataError(
            f"split.labelled is {_amount(split)}, so all {len(labelled):,} train images are labelled and none is left "
            "unlabelled: set a smaller number"
        )
    ids = {
        "labelled": [train.ids[i] for i in labelled],
        "selection": [selection[0], *(dataset.subsets[selection[0]].ids[i] for i in selection[1])],
    }
    return Parts(
        name=f"list-{Path(split.list).stem}" if split.list else f"{split.rule}-{_amount(split)}-{split.number}",
        digest=hashlib.sha256(canonical(ids)).hexdigest()[:12],
        labelled=tuple(labelled),
        unlabelled=tuple(unlabelled),
        selection=selection,
        reported=(data.reported, tuple(range(len(dataset.subsets[data.reported])))),
    )


def dms_half(labelled: Sequence[int], alpha: float, side: Side) -> tuple[int, ...]:
    """The labelled images that one model sees under Difference Maximized Sampling (DMT, Sec. 4.1.2, Fig. 6).

    A takes the first, B the last of the drawn order; what only one of them sees is ceil((1 - alpha) * L) of L images.

    Args:
        labelled: Labelled images in the order in which they were drawn.
        alpha: Share that each side sees, above 0.5 and at most 1 (both see all).
        side: Which model.

    Raises:
        ValueError: If alpha is outside its range.
        DataError: If a side would see no image.
    """
    if not 0.5 < alpha <= 1:
        raise ValueError(f"dms_alpha must be above 0.5 and at most 1, but got {alpha}")
    count = dms_images(len(labelled), alpha)
    if count < 1:
        raise DataError(
            f"with dms_alpha {alpha} and {counted(len(labelled), 'labelled image')} a model would see none: label more"
        )
    return tuple(labelled[:count] if side == "A" else labelled[-count:])


def unlabelled_classes(parts: Parts, dataset: Dataset) -> tuple[str, ...]:
    """Names of the classes that no labelled image holds: nothing can be learnt of them."""
    train, held = dataset.subsets["train"], np.zeros(256, np.bool_)
    for i in parts.labelled:
        held[train.mask(i)] = True
    return tuple(name for name, is_held in zip(dataset.classes, held) if not is_held)


def list_digest(split: Split, dataset: Dataset) -> str:
    """12 hex digits over the ids, in their order, of the file that `split.list` names; "" where there is none.

    Raises:
        DataError: If the file cannot be used.
    """
    return "" if split.list is None else hashlib.sha256(canonical(_listed(split.list, dataset))).hexdigest()[:12]


def _selection(split: Split, data: Data, dataset: Dataset) -> tuple[str, tuple[int, ...]]:
    assert isinstance(data, DataSource)
    train, val = dataset.subsets["train"], dataset.subsets.get("val")
    if split.selection == "val" and val is not None:
        return "val", tuple(range(len(val)))
    if split.selection == "valtiny" and val is not None and data.valtiny:
        return "val", _valtiny(data.valtiny, val)
    if split.selection == "valtiny" and dataset.task == "classification":
        return "train", _of_each_class(train, VALTINY_OF_A_CLASS, "split.selection 'valtiny'")
    if isinstance(split.selection, str):
        tiny = bool(data.valtiny) or dataset.task == "classification"
        choices = ("val, " if val is not None else "") + ("valtiny, " if tiny else "")
        raise DataError(
            f"{dataset.name!r} has no images for split.selection {split.selection!r}; it can be: {choices}a fraction "
            "of the training images to hold out, such as 0.1"
        )
    known = np.array([i for i in np.flatnonzero(train.known) if not data.never_held_out(train.ids[i])], np.int64)
    count = max(1, round(split.selection * len(known)))
    if count >= len(known):
        raise DataError(
            f"split.selection {split.selection} would hold out {count:,} of {counted(len(known), 'train image')} with "
            "a mask, and leave none to be labelled: set a smaller share"
        )
    if split.rule == "per_class":
        each = max(1, round(count / len(dataset.classes)))
        return "train", _of_each_class(train, each, f"split.selection {split.selection}")
    if dataset.groups:
        return "train", _whole_groups(split.selection, known.tolist(), dataset)
    return "train", tuple(sorted(np.random.default_rng(HELD_OUT_SEED).permutation(known)[:count].tolist()))


def _whole_groups(share: float, known: Sequence[int], dataset: Dataset) -> tuple[int, ...]:
    """Positions of about a share of the train images with masks, in whole groups."""
    places = {dataset.subsets["train"].ids[i]: i for i in known}
    chosen = drawn_groups(list(places), dataset.groups, share, HELD_OUT_SEED)
    if len(chosen) == len(places):
        images = f"{counted(len(places), 'train image')} with a mask {be(len(places))}"
        raise DataError(
            f"split.selection {share} cannot hold out whole groups: {images} all of the group "
            f"{dataset.groups[chosen[0]]!r}. Correct data.groups, or set split.selection to val"
        )
    return tuple(sorted(places[id] for id in chosen))


def _of_each_class(train: Images, each: int, what: str) -> tuple[int, ...]:
    """Positions of as many train images of every class, ascending."""
    generator = np.random.default_rng(HELD_OUT_SEED)
    chosen: list[int] = []
    for number in np.unique(train.masks):  # of one pixel each
        places = np.flatnonzero(train.masks == number)
        if each >= len(places):
            raise DataError(
                f"{what} holds out {counted(each, 'image')} a class, but class {number} has "
                f"{counted(len(places), 'train image')}, and none would be left: set a share of the train images, "
                "such as 0.1"
            )
        chosen += generator.permutation(places)[:each].tolist()
    return tuple(sorted(chosen))


def _valtiny(file: str, val: Images) -> tuple[int, ...]:
    ids = (resources.files("dmt_ray.data") / "lists" / file).read_text(encoding="utf-8").split()
    places = {id: i for i, id in enumerate(val.ids)}
    if missing := [id for id in ids if id not in places]:
        raise DataError(
            f"{len(missing):,} of the {len(ids):,} images of split.selection 'valtiny' are not in val, the first is "
            f"{missing[0]}: it needs the whole data set. Set split.selection to val or to a share of the train images"
        )
    return tuple(places[id] for id in ids)


def _order(split: Split, known: list[int], dataset: Dataset) -> list[int]:
    """The train images that can be labelled, in the order in which the split draws them."""
    if split.rule == "list":
        return _from_list(split, known, dataset)
    if split.rule == "random":
        return [int(i) for i in np.random.default_rng(split.number).permutation(known)]
    if split.rule == "per_class":
        return _in_turn(split, known, dataset)
    order = sorted(known, key=dataset.subsets["train"].ids.__getitem__)
    generator = random.Random(AUTHORS_SEED)
    for _ in range(split.number + 1):
        generator.shuffle(order)
    return order


def _in_turn(split: Split, known: list[int], dataset: Dataset) -> list[int]:
    """One image of each class after the other, so that the first n of K classes are n / K of each."""
    generator = np.random.default_rng(split.number)
    classes = dataset.subsets["train"].masks[known]  # of one pixel each
    queues = [generator.permutation(np.flatnonzero(classes == k)).tolist() for k in range(len(dataset.classes))]
    rounds = list(zip(*queues))  # as many as the rarest class has images
    # Within a round the classes are shuffled, so that the two ends that DMS takes mix them.
    return [known[each[i]] for each in rounds for i in generator.permutation(len(each))]


def _from_list(split: Split, known: list[int], dataset: Dataset) -> list[int]:
    assert split.list is not None
    if split.list_digest not in ("", list_digest(split, dataset)):
        raise DataError(f"the ids in {split.list} are not the ones these settings were made for: restore them")
    train = dataset.subsets["train"]
    free = {train.ids[i]: i for i in known}
    problems = Problems()
    listed = _listed(split.list, dataset)
    for id in listed:
        if id not in train.ids:
            problems.add("listed ids that are not train images", id)
        elif id not in free:
            reason = "are held out by split.selection" if train.known[train.ids.index(id)] else "have no mask"
            problems.add(f"listed ids that {reason} and cannot be labelled", id)
    if problems:
        raise problems.error(dataset.name, f"{dataset.root}, list {split.list},")
    return [free[id] for id in listed]


def _listed(name: str, dataset: Dataset) -> list[str]:
    if dataset.root is None:
        raise DataError(f"{dataset.name!r} has no folder and so no list {name}: set split.rule to random or authors")
    problems = Problems()
    path = inside(dataset.root, _path_of(name, dataset), "split.list")
    ids = dataset.subsets["train"].ids
    depth = max(id.count("/") + 1 for id in ids)
    listed = read_list(path, dataset.root, problems, set(ids), depth)
    if problems:
        raise problems.error(dataset.name, dataset.root)
    if not listed:
        raise DataError(f"{path} holds no ids: write one labelled id per line")
    return listed


def _path_of(name: str, dataset: Dataset) -> str:
    """The path, below the data set's folder, of a list by its path or by the name of a published one."""
    published = PUBLISHED.get(name)
    if published is None:
        return name
    if published.data != dataset.name:
        raise DataError(
            f"the published list {name} is for {published.data}, not for {dataset.name}: choose another one"
        )
    # Where the data set's home is a folder in its root, lists of its own lie in there.
    homes = ("", "VOCdevkit/VOC2012", "VOC2012") if published.data == "voc" else ("",)
    assert dataset.root is not None
    for home in homes:
        if (dataset.root / home / published.path).is_file():
            return str(Path(home) / published.path)
    raise DataError(
        f"the published list {name} is not here: there is no {published.path} in {dataset.root}; {published.where}"
    )


def _count(split: Split, listed: int, known: int, classes: int) -> int:
    """How many of the images in drawn order are labelled."""
    labelled = split.labelled
    if split.rule == "list":
        if labelled != listed or isinstance(labelled, float):
            got = f"{split.list} holds {listed} ids, but split.labelled is {_amount(split)}"
            raise DataError(f"{got}: set split.labelled to {listed}")
        return listed
    if split.rule == "per_class":
        return _count_per_class(split, listed, known, classes)
    if isinstance(labelled, int):
        if labelled > known:
            got = f"split.labelled is {labelled}"
            raise DataError(f"{got}, but only {counted(known, 'train image')} with a mask {be(known)} not held out")
        return labelled
    if split.rule == "random":
        return max(1, round(labelled * known))
    count = math.floor(known * labelled + SLACK)
    if count == 0:
        raise DataError(
            f"split.labelled {_amount(split)} of {counted(known, 'train image')} is less than one image: set a "
            "larger one"
        )
    return min(count + (count % 8 == 1), known)


def _count_per_class(split: Split, listed: int, known: int, classes: int) -> int:
    labelled = split.labelled
    count = labelled if isinstance(labelled, int) else max(1, round(labelled * known / classes)) * classes
    if count % classes:
        below = max(count - count % classes, classes)
        raise DataError(f"split.labelled is {count:,}, which {classes} classes cannot share evenly: set it to {below}")
    if count > known:
        left = f"{counted(known, 'train image')} {be(known)}"
        raise DataError(f"split.labelled is {_amount(split)}, but only {left} not held out")
    if count > listed:
        raise DataError(
            f"split.labelled is {_amount(split)}, {count // classes} of each class, but the rarest class has only "
            f"{counted(listed // classes, 'train image')} not held out: set a smaller one, or split.rule to random"
        )
    return count


def _amount(split: Split) -> str:
    """A number of images, or a share as the papers write it where that is exact: 1/20, 1/105.82, 0.3."""
    if isinstance(split.labelled, int):
        return str(split.labelled)
    s = f"{1 / split.labelled:.6g}"
    return f"1/{s}" if math.isclose(1 / float(s), split.labelled, rel_tol=1e-9) else f"{split.labelled:.6g}"
