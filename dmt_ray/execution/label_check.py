"""Whether there is something to learn, and something to score, in the parts of a split."""

from collections.abc import Sequence

from dmt_ray import IGNORE
from dmt_ray.data import Dataset
from dmt_ray.data.images import Images
from dmt_ray.data.splits import Parts
from dmt_ray.errors import DataError


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
                f"none of the {len(chosen)} {name} images of {dataset.name!r} (split {parts.name}) has a labelled "
                f"pixel: their masks hold only {IGNORE} (ignore). Choose others, or label some of their pixels"
            )


def _any_label(images: Images, positions: Sequence[int]) -> bool:
    return any((images.mask(position) != IGNORE).any() for position in positions)
