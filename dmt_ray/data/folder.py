"""Any folder of images and masks that pair by file name (docs/data.md)."""

from pathlib import Path

import numpy as np

from dmt_ray.config import FolderData
from dmt_ray.data.check import Problems
from dmt_ray.data.files import (
    IMAGE_ENDINGS,
    Item,
    Listing,
    MaskValues,
    below,
    colours,
    files_in,
    inside,
    paired,
    read_list,
)
from dmt_ray.errors import ConfigError

TEST_SEED = 8_000_888  # of the draw of the test images, the same for all splits


def find_files(data: FolderData, root: Path, problems: Problems) -> Listing:
    """The images and masks of the lists, or of a drawn test set, and after the train images those without masks.

    Raises:
        ConfigError: If the lists that are given leave open which images are reported.
    """
    lists = {"train": data.train_list, "val": data.val_list, "test": data.test_list}
    if lists[data.reported] is None and (data.reported == "val" or data.train_list is not None):
        raise ConfigError(
            f"data.reported is {data.reported!r}: set data.{data.reported}_list to the file that lists these images"
        )
    values = MaskValues.numbers(len(data.classes), data.ignore)
    images, masks = inside(root, data.images, "data.images"), inside(root, data.masks, "data.masks")
    items = paired(images, masks, root, values, problems)
    for folder in (images, masks):
        _refuse_folders(folder, root, problems)
    ids = {
        subset: read_list(inside(root, name, f"data.{subset}_list"), root, problems)
        for subset, name in lists.items()
        if name is not None
    }
    for subset in ids:
        for id in ids[subset]:
            if items and id not in items:
                problems.add("listed ids that have no image with a mask", f"{id} ({lists[subset]})")
    if "train" not in ids:
        rest = sorted(items.keys() - {id for listed in ids.values() for id in listed})
        if data.reported not in ids:
            order = np.random.default_rng(TEST_SEED).permutation(len(rest))
            drawn = {rest[i] for i in order[: max(1, round(data.test_share * len(rest)))]}
            ids["test"] = sorted(drawn)
            rest = [id for id in rest if id not in drawn]
        ids["train"] = rest
    subsets = {subset: [items[id] for id in ids[subset] if id in items] for subset in lists if subset in ids}
    if data.unlabelled is not None:
        folder = inside(root, data.unlabelled, "data.unlabelled")
        found = files_in(folder, IMAGE_ENDINGS, root, problems)
        if not found and folder.is_dir():
            problems.add("folders without images", below(folder, root))
        # The folder is part of the id, since both folders may number their images from 1.
        subsets["train"] += [Item(f"{data.unlabelled}/{id}", path, None, values) for id, path in found.items()]
        _refuse_folders(folder, root, problems)
    return Listing(data.classes, colours(len(data.classes)), subsets)


def _refuse_folders(folder: Path, root: Path, problems: Problems) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.name.startswith("."):
            problems.add("folders among the files, which would not be read; expected files alone", below(path, root))
