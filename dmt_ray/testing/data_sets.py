"""The contract of a data set: the same content under the same fingerprint, and images as the engine takes them."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from dmt_ray import IGNORE
from dmt_ray.config import DataSettings
from dmt_ray.data import Dataset, Images, open_dataset
from dmt_ray.data.check import Problems
from dmt_ray.data.source import DataSource
from dmt_ray.plan.key import canonical
from dmt_ray.plan.words import counted
from dmt_ray.testing.contract import ContractBroken, Task, ask, packed, require

FINGERPRINT = 32  # hex digits


def check_dataset(data: DataSettings, root: Path | None = None) -> None:
    """Check the contract of a data set; all its images are read twice.

    Its settings can be written and read; its content has the same fingerprint every time, in every process; nothing is
    written into its folder; images are uint8 RGB, masks hold class numbers or IGNORE; names are unique and in order.

    Args:
        data: Its settings.
        root: Its folder; None: as `data.find_root` finds it.

    Raises:
        ContractBroken: With what was found and what to change.
        DataError: If its files are not as it expects.
    """
    dataset = check_contents(data, root)
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        settings, place = data.model_dump(mode="json"), None if root is None else str(root.absolute())
        _, fingerprint = ask(Task("dataset", packed(type(data), f"data set {data.name!r}"), settings, folder, place))
    require(
        fingerprint.strip() == dataset.fingerprint,
        f"{data.name} has the fingerprint {dataset.fingerprint} here and {fingerprint.strip()} in a fresh "
        "process: what "
        "`identity` returns follows the order of a set, the address of an object, or a global random number",
    )


def check_contents(data: DataSettings, root: Path | None = None) -> Dataset:
    """The same without another process.

    Returns:
        The opened data set.
    """
    require(isinstance(data, DataSource), f"{type(data).__name__} must be a subclass of dmt_ray.data.source.DataSource")
    assert isinstance(data, DataSource)
    name = data.name
    _check_settings(data)
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        before = _files(root)
        dataset = open_dataset(data, root, Path(folder) / "one")
        again = open_dataset(data, root, Path(folder) / "two")
        require(
            _files(root) == before,
            f"{name} writes into its folder {root}: `content` may only read; decoded images are kept elsewhere",
        )
        require(
            dataset.fingerprint == again.fingerprint,
            f"{name} has another fingerprint when it is opened again: `identity` must return the same values "
            "for the same "
            "content",
        )
        _check_dataset(data, dataset)
        for subset, images in dataset.subsets.items():
            require(
                np.array_equal(images.pixels, again.subsets[subset].pixels)
                and np.array_equal(images.masks, again.subsets[subset].masks),
                f"the {subset} images of {name} are others when they are decoded again, under the same "
                "fingerprint: seed "
                "every random generator with a constant, and raise the revision when what it draws changes",
            )
        for subset, images in dataset.subsets.items():
            _check_images(f"{subset} of {name}", data, dataset, images)
        return dataset


def _check_settings(data: DataSource) -> None:
    name, values = data.name, data.model_dump(mode="json")
    try:
        read = type(data)(**values)
    except ValueError as error:
        raise ContractBroken(f"the settings of {name} cannot be read from the JSON that they become: {error}") from None
    require(read == data, f"the settings of {name} change when they are written as JSON and read again")
    left_out = type(data).model_fields.keys() - data.identity().keys() - type(data).not_identity
    left_out = {field for field in left_out if not data.is_neutral(field)}
    require(
        not left_out,
        f"`identity` of {name} leaves out {', '.join(sorted(left_out))}: equal keys would mean different data",
    )
    if not data.in_files:
        content = data.content(Path(), Problems())
        try:
            canonical(content.identity(data.size, {}))
        except TypeError as error:
            raise ContractBroken(f"what {name} says of its content has no fingerprint: {error}") from None


def _files(root: Path | None) -> dict[Path, int]:
    return {} if root is None else {path: path.lstat().st_mtime_ns for path in root.rglob("*")}


def _check_dataset(data: DataSource, dataset: Dataset) -> None:
    name, classes = data.name, len(dataset.classes)
    require((dataset.name, dataset.task) == (name, data.task), f"{name} is opened as {dataset.name}, {dataset.task}")
    require(2 <= classes < IGNORE, f"{name} has {counted(classes, 'class', 'classes')}: it needs 2 to {IGNORE - 1}")
    require(len(set(dataset.classes)) == classes, f"{name} gives two of its classes the same name: {dataset.classes}")
    require(
        dataset.palette.shape == (classes, 3) and len(np.unique(dataset.palette, axis=0)) == classes,
        f"{name} needs a colour of its own for each of its {classes} classes, uint8 [{classes}, 3], but "
        "`palette` has the "
        f"shape {dataset.palette.shape} and {len(np.unique(dataset.palette, axis=0))} different ones",
    )
    require(len(dataset.fingerprint) == FINGERPRINT, f"the fingerprint of {name} must have {FINGERPRINT} digits")
    lacking = {"train", data.reported} - dataset.subsets.keys()
    require(
        not lacking, f"{name} lacks the subset {' and '.join(sorted(lacking))}; it has {', '.join(dataset.subsets)}"
    )


def _check_images(place: str, data: DataSource, dataset: Dataset, images: Images) -> None:
    ids = list(images.ids)
    twice = [one for one, count in Counter(ids).items() if count > 1]
    require(not twice, f"two images of {place} have the same name: {', '.join(twice)}")
    require(ids == sorted(ids), f"the images of {place} are not in the order of their names: sort them in `content`")
    count = len(images)
    require(
        count == len(ids) == len(images.sizes) == len(images.known) and images.offsets[-1] == len(images.pixels),
        f"the arrays of {place} do not match each other",
    )
    single = data.task == "classification"
    for i in range(count):
        height, width = images.sizes[i]
        image, mask = images.image(i), images.mask(i)
        require(
            image.shape == (height, width, data.channels) and image.dtype == np.uint8,
            f"image {ids[i]} of {place} must be uint8 [{height}, {width}, {data.channels}], but is {image.dtype} "
            f"{list(image.shape)}",
        )
        expected = (1, 1) if single else (height, width)
        require(
            mask.shape == expected and mask.dtype == np.uint8,
            f"the mask of {ids[i]} of {place} must be uint8 {list(expected)}, but is {mask.dtype} {list(mask.shape)}",
        )
        strange = set(np.unique(mask).tolist()) - {*range(len(dataset.classes)), IGNORE}
        require(
            not strange,
            f"the mask of {ids[i]} of {place} holds {sorted(strange)}: allowed are the classes 0 to "
            f"{len(dataset.classes) - 1} and {IGNORE} for ignored pixels",
        )
