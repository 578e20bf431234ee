"""Folders of images as people bring them: nuclei, street scenes, 16-bit TIFFs, folders of classes."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from dmt_ray.data.sets.shapes import generate

STREET = {"sky": (128, 128, 128), "road": (128, 64, 128), "car": (64, 0, 128)}


def drawn(count: int, size: int = 64) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and masks of the built-in toy data set."""
    images, masks, _ = generate("train", size=size, counts={"train": count})
    return images, masks


def nuclei(root: Path, count: int = 24) -> Path:
    """Pictures of several sizes, and masks of 0 and 255 in a folder beside them."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i, (image, mask) in enumerate(zip(*drawn(count), strict=True)):
        height, width = 64 - 4 * (i % 3), 64 - 8 * (i % 2)
        Image.fromarray(image[:height, :width]).save(root / f"images/n{i:03d}.png")
        Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)[:height, :width]).save(root / f"masks/n{i:03d}.png")
    return root


def street(root: Path, count: int = 24) -> Path:
    """Photographs and masks in colour, side by side in train/ and test/, with a list of the colours."""
    colours = np.array([(0, 0, 0), *STREET.values()], np.uint8)
    for i, (image, mask) in enumerate(zip(*drawn(count), strict=True)):
        folder = root / ("test" if i % 4 == 0 else "train")
        folder.mkdir(parents=True, exist_ok=True)
        kind = np.where(mask == 0, 1, np.where(mask < 3, 2, 3))
        kind[:2] = 0  # without a class
        Image.fromarray(image).save(folder / f"street_{i:03d}.jpg", quality=95)
        Image.fromarray(colours[kind]).save(folder / f"street_{i:03d}_label.png")
    lines = ["0 0 0 Void", *(f"{r} {g} {b} {name}" for name, (r, g, b) in STREET.items())]
    (root / "label_colors.txt").write_text("\r\n".join(lines), encoding="utf-8")
    return root


def deep(root: Path, count: int = 24) -> Path:
    """Grey TIFF images of 12 bits in 16, in a folder for each patient, with TIFF masks in which objects are numbered.

    Image i shows 3 + i % 6 bright squares of 10 x 10 on a dark ground.
    """
    random = np.random.default_rng(0)
    for i in range(count):
        image, mask = random.integers(0, 600, (64, 64), np.uint16), np.zeros((64, 64), np.uint16)
        for k in range(3 + i % 6):
            y, x = 4 + 20 * (k // 3), 4 + 20 * (k % 3)
            image[y : y + 10, x : x + 10] += 3000
            mask[y : y + 10, x : x + 10] = k + 1
        folder = root / f"p{i // 3}"
        for name, pixels in (("raw", image), ("labels", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / name / f"{i % 3}.tif", pixels)
    return root


def classes(root: Path, count: int = 12) -> Path:
    """Images of several sizes in a folder for each class."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(count):
            image = random.integers(0, 120, (20 + i % 3, 24, 3), dtype=np.uint8)
            image[..., number] += 120
            Image.fromarray(image).save(root / name / f"{i}.jpg")
    return root


def bands(root: Path, count: int = 24) -> Path:
    """TIFF images of red, green, blue and near infrared, 16 bits each, beside masks of 0 and 1.

    Image i shows 3 + i % 6 squares of 10 x 10 that are bright in the near infrared, and in no other channel.
    """
    root.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(count):
        image, mask = random.integers(0, 600, (64, 64, 4), np.uint16), np.zeros((64, 64), np.uint8)
        for k in range(3 + i % 6):
            y, x = 4 + 20 * (k // 3), 4 + 20 * (k % 3)
            image[y : y + 10, x : x + 10, 3] += 3000
            mask[y : y + 10, x : x + 10] = 1
        tifffile.imwrite(root / f"s{i:03d}.tif", image, photometric="rgb", extrasamples=["unspecified"])
        Image.fromarray(mask).save(root / f"s{i:03d}_mask.png")
    return root
