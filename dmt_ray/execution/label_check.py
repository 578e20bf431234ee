"""Whether there is something to learn, and something to score, in the parts of a split."""

from collections.abc import Sequence

from dmt_ray import IGNORE
from dmt_ray.config import nearest
from dmt_ray.data import Dataset
from dmt_ray.data.images import Images
from dmt_ray.data.splits import Parts
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.plan.words import counted


def check_labels(parts: Parts, dataset: Dataset) -> None:
    """Make sure that each part of a split has a labelled pixel.

    Raises:
        DataError: If all masks of a part are `IGNORE` alone, with the part.
    """
    sets = {"labelled": (dataset.subsets["train"], parts.labelled)}
    for name, (subset, positions) in (("validation", parts.selection), ("test", parts.reported)):
        sets[name] = dataset.subsets[subset], positions
    for name, (images, chosen) in sets.items():
        if not _any_label(images, chosen):
            raise DataError(
                f"none of {counted(len(chosen), f'{name} image')} of {dataset.name!r} (split {parts.name}) has a "
                f"labelled pixel: their masks hold only {IGNORE} (ignore). Choose others, or label some of their pixels"
            )


def check_scored(names: Sequence[str], dataset: Dataset) -> None:
    """Make sure that the classes which the mIoU averages (`Config.scored`) are classes of the data set.

    Raises:
        ConfigError: If one is not, or the data set has no mIoU.
    """
    if not names:
        return
    if dataset.task == "classification":
        raise ConfigError(f"scored chooses the classes of an mIoU, but {dataset.name} is scored by accuracy")
    for name in names:
        if name not in dataset.classes:
            near = nearest(name, dataset.classes)
            raise ConfigError(f"scored names {name!r}, which is no class of {dataset.name}; {near}")


def _any_label(images: Images, positions: Sequence[int]) -> bool:
    return any((images.mask(position) != IGNORE).any() for position in positions)
