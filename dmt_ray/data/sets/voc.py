"""PASCAL VOC 2012 with the masks of SBD: JPEGImages/, SegmentationClassAug/, ImageSets/Segmentation/*.txt."""

from collections.abc import Container
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from dmt_ray.data.check import Problems
from dmt_ray.data.files import MASK_ENDINGS, below, files_in, is_plain, of_ids, read_list
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.source import DataSource, Listing
from dmt_ray.errors import DataError

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VALUES = MaskValues.numbers(len(CLASSES), ignore=255)


class VocData(DataSource):
    """PASCAL VOC 2012 with the SBD-augmented masks (SegmentationClassAug), 21 classes, 255 = ignore."""

    markers: ClassVar[tuple[str, ...]] = ("VOCdevkit",)
    further_folders: ClassVar[tuple[str, ...]] = ("voc_animals",)
    valtiny: ClassVar[str] = "voc_valtiny.txt"
    where: ClassVar[str] = (
        "get VOC 2012 from host.robots.ox.ac.uk/pascal/VOC/voc2012, and the SegmentationClassAug masks made from SBD"
    )

    name: Literal["voc"] = "voc"
    train_list: str = Field("trainaug", description="Name of the list in ImageSets/Segmentation, without .txt.")
    reported: Literal["val"] = "val"

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images and masks of the lists `train_list` and val."""
        home = next((home for home in (root / "VOCdevkit/VOC2012", root / "VOC2012") if home.is_dir()), root)
        images = files_in(home / "JPEGImages", frozenset({".jpg", ".jpeg", ".png"}), root, problems)
        fine, augmented = home / "SegmentationClass", home / "SegmentationClassAug"
        # The masks of SBD are the ones to use; the original ones only stand in for images that SBD does not have.
        more = files_in(augmented, MASK_ENDINGS, root, problems) if augmented.is_dir() or not fine.is_dir() else {}
        masks = (files_in(fine, MASK_ENDINGS, root, problems) if fine.is_dir() else {}) | more
        if not images or not masks:
            return Listing(CLASSES, {"train": [], "val": []})
        lists = home / "ImageSets/Segmentation"
        val = sorted(read_list(lists / "val.txt", root, problems, images))
        train = _train_ids(self.train_list, lists, root, images, more.keys() - set(val), problems)
        image, mask = below(home / "JPEGImages/ID.jpg", root), below(augmented / "ID.png", root)
        files = {f"an image; expected {image}": images, f"a mask; expected {mask}": masks}
        subsets = {
            subset: of_ids(ids, files, VALUES, problems, f" ({subset})")
            for subset, ids in (("train", train), ("val", val))
        }
        return Listing(CLASSES, subsets).check(problems)


def _train_ids(
    name: str, lists: Path, root: Path, known: Container[str], others: set[str], problems: Problems
) -> list[str]:
    if not is_plain(name):
        raise DataError(f"data.train_list must be the name of a list in {lists} without .txt, but got {name!r}")
    path = lists / f"{name}.txt"
    if name == "trainaug" and not path.exists():
        # The 10,582 images of the papers are all that have a mask and are not in val (the authors' code).
        return sorted(others)
    return sorted(read_list(path, root, problems, known))
