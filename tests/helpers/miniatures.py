"""Miniatures of data sets on disk, with images of the built-in toy data set, in the layouts that pages speak of."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from dmt_ray.data.sets.shapes import generate


def camvid(root: Path) -> Path:
    """32 train, 8 val and 8 test images of 48 x 48, with the classes 0 to 5 of CamVid's eleven."""
    counts = {"train": 32, "val": 8, "test": 8}
    for subset in counts:
        _save(subset, counts, root / subset, root / f"{subset}annot")
    return root


def voc(root: Path) -> Path:
    """Lists train (80 images), trainaug (the same) and val (16)."""
    home = root / "VOCdevkit/VOC2012"
    lists = home / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    counts = {"train": 80, "val": 16, "test": 1}
    for subset in ("train", "val"):
        names = _save(subset, counts, home / "JPEGImages", home / "SegmentationClassAug", ".jpg")
        (lists / f"{subset}.txt").write_text("\n".join(names) + "\n")
    (lists / "trainaug.txt").write_text((lists / "train.txt").read_text())
    return root


def own_folder(root: Path) -> Path:
    """100 images with masks of 0 and 1 and 2, and 8 further images without masks."""
    counts = {"train": 100, "val": 8, "test": 1}
    _save("train", counts, root / "images", root / "masks", classes=3)
    _save("val", counts, root / "more", None)
    return root


def class_folders(root: Path) -> Path:
    """130 train and 8 test images of each of four classes, 32 x 32."""
    pixels = np.random.default_rng(0)
    for subset, count in {"train": 130, "test": 8}.items():
        for name in ("cat", "cow", "dog", "sheep"):
            folder = root / subset / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = pixels.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(image).save(folder / f"{name}_{subset}_{i}.png")
    return root


def _save(
    subset: str, counts: Mapping[str, int], images: Path, masks: Path | None, ending: str = ".png", classes: int = 6
) -> list[str]:
    """Save the images and masks of a subset; their names without an ending."""
    pixels, labels, names = generate(subset, size=48, counts=dict(counts))
    for folder in filter(None, (images, masks)):
        folder.mkdir(parents=True, exist_ok=True)
    for image, mask, name in zip(pixels, labels, names, strict=True):
        Image.fromarray(image).save(images / f"{name}{ending}")
        if masks is not None:
            Image.fromarray(mask % classes).save(masks / f"{name}.png")
    return list(names)
