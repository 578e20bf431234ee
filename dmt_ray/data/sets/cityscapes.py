"""Cityscapes as it is downloaded: leftImg8bit/ and gtFine/, a folder for each city, the 19 classes of the benchmark."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dmt_ray.data.check import Problems
from dmt_ray.data.files import Item, below
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.source import DataSource, Listing

# label id in the files, class, colour: the benchmark's own table (cityscapesScripts, helpers/labels.py)
_LABELS = (
    (7, "road", (128, 64, 128)), (8, "sidewalk", (244, 35, 232)), (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)), (13, "fence", (190, 153, 153)), (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)), (20, "traffic sign", (220, 220, 0)), (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)), (23, "sky", (70, 130, 180)), (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)), (26, "car", (0, 0, 142)), (27, "truck", (0, 0, 70)), (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)), (32, "motorcycle", (0, 0, 230)), (33, "bicycle", (119, 11, 32)),
)  # fmt: skip
CLASSES = tuple(name for _, name, _ in _LABELS)
PALETTE = np.array([colour for _, _, colour in _LABELS], np.uint8)
LABEL_IDS = MaskValues.of(
    {value: number for number, (value, _, _) in enumerate(_LABELS)}, range(34), "label ids 0..33 of Cityscapes"
)
TRAIN_IDS = MaskValues.numbers(len(CLASSES), ignore=255)
_IMAGE = "_leftImg8bit.png"


class CityscapesData(DataSource):
    """Cityscapes: leftImg8bit/ and gtFine/ with the 19 train ids."""

    markers: ClassVar[tuple[str, ...]] = ("leftImg8bit",)
    valtiny: ClassVar[str] = "cityscapes_valtiny.txt"
    where: ClassVar[str] = (
        "register at www.cityscapes-dataset.com, and get leftImg8bit_trainvaltest and gtFine_trainvaltest"
    )

    name: Literal["cityscapes"] = "cityscapes"
    reported: Literal["val"] = "val"

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images and fine masks of train and val; masks of train ids go before masks of label ids."""
        subsets = {subset: _subset(subset, root, problems) for subset in ("train", "val")}
        return Listing(CLASSES, subsets, colours=PALETTE).check(problems)


def _subset(subset: str, root: Path, problems: Problems) -> list[Item]:
    images, masks = root / "leftImg8bit" / subset, root / "gtFine" / subset
    missing = [folder for folder in (images, masks) if not folder.is_dir()]
    for folder in missing:
        problems.add("folders that are missing or cannot be read", below(folder, root))
    if missing:
        return []
    found = sorted(images.glob(f"*/*{_IMAGE}"))
    if not found:
        problems.add(f"folders without files CITY/*{_IMAGE}", below(images, root))
    for path in sorted(set(images.rglob("*.png")) - set(found)):
        if not any(part.startswith(".") for part in path.relative_to(images).parts):
            kind = f"images that would not be read; expected {below(images, root)}/CITY/*{_IMAGE}"
            problems.add(kind, below(path, root))
    items = []
    for image in found:
        id = f"{image.parent.name}/{image.name.removesuffix(_IMAGE)}"
        for ending, values in (("labelTrainIds", TRAIN_IDS), ("labelIds", LABEL_IDS)):
            if (mask := masks / f"{id}_gtFine_{ending}.png").exists():
                items.append(Item(id, image, mask, values))
                break
        else:
            kind = f"images without a mask; expected {below(masks, root)}/CITY/*_gtFine_labelIds.png"
            problems.add(kind, below(image, root))
    return items
