"""Tiny data sets on disk, one for each layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.data.files import colours
from tests.helpers.cifar10_files import FOLDER, TRAIN, batch, pixels
from tests.helpers.paths import REAL


def _photograph(path: Path, height: int = 4, width: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list(path.stem.encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _mask(path: Path, values: list[int], height: int = 4, width: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(values, np.uint8), (height, width))).save(path)


@pytest.fixture
def camvid_root(tmp_path: Path) -> Path:
    """4 train, 2 val and 3 test images of 4 x 6; each mask holds 0, 3 and 11."""
    root = tmp_path / "camvid"
    for subset, count in {"train": 4, "val": 2, "test": 3}.items():
        for i in range(count):
            _photograph(root / subset / f"{subset}{i}.png")
            _mask(root / f"{subset}annot" / f"{subset}{i}.png", [0, 3, 11])
    return root


@pytest.fixture
def voc_root(tmp_path: Path) -> Path:
    """Lists train (a0, a1), trainaug (a0 ... a4) and val (v0, v1); a1 has a fine mask alone; sizes differ."""
    root = tmp_path / "voc"
    home = root / "VOCdevkit/VOC2012"
    for i, name in enumerate(["a0", "a1", "a2", "a3", "a4", "v0", "v1"]):
        _photograph(home / f"JPEGImages/{name}.jpg", 4 + i, 6)
        folder = "SegmentationClass" if name == "a1" else "SegmentationClassAug"
        path = home / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.resize(np.array([0, 8, 255], np.uint8), (4 + i, 6))
        mask = Image.frombytes("P", (6, 4 + i), values.tobytes())
        mask.putpalette(colours(256).tobytes())
        mask.save(path)
    lists = home / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a0\na1\n")
    (lists / "trainaug.txt").write_text("a0\na1\na2\na3\na4\n")
    (lists / "val.txt").write_text("v0\nv1\n")
    return root


@pytest.fixture
def cityscapes_root(tmp_path: Path) -> Path:
    """2 train images with label ids 7, 11, 4; 1 val image with train ids 0, 18, 255."""
    root = tmp_path / "cityscapes"
    for name in ("aachen/aachen_000000_000019", "bonn/bonn_000001_000019"):
        _photograph(root / f"leftImg8bit/train/{name}_leftImg8bit.png")
        _mask(root / f"gtFine/train/{name}_gtFine_labelIds.png", [7, 11, 4])
    _photograph(root / "leftImg8bit/val/frankfurt/frankfurt_000000_000294_leftImg8bit.png")
    _mask(root / "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelTrainIds.png", [0, 18, 255])
    return root


@pytest.fixture
def ade20k_root(tmp_path: Path) -> Path:
    """3 training and 2 validation images of different heights, with the values 0 (ignore), 1 and 150."""
    root = tmp_path / "ade20k"
    for part, short, count in (("training", "train", 3), ("validation", "val", 2)):
        for i in range(1, count + 1):
            name = f"{part}/ADE_{short}_{i:08d}"
            _photograph(root / f"ADEChallengeData2016/images/{name}.jpg", 3 + i, 6)
            _mask(root / f"ADEChallengeData2016/annotations/{name}.png", [0, 1, 150], 3 + i, 6)
    return root


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """10 images p0 ... p9 with masks of 0, 1, 2 and 255, and 3 further images without masks, of another size."""
    root = tmp_path / "own"
    for i in range(10):
        _photograph(root / f"images/p{i}.jpg")
        _mask(root / f"masks/p{i}.png", [0, 1, 2, 255])
    for i in range(3):
        _photograph(root / f"more/p{i}.png", 8, 5)
    return root


@pytest.fixture
def pets_root(tmp_path: Path) -> Path:
    """Ten images, six in trainval.txt and four in test.txt, with the hidden files that the archives bring along."""
    home = tmp_path / "pets/oxford-iiit-pet"
    for i in range(10):
        _photograph(home / f"images/cat_{i}.jpg", 2, 3)
        _mask(home / f"annotations/trimaps/cat_{i}.png", [1, 2, 3, 2, 1, 3], 2, 3)
    (home / "images/._cat_0.jpg").write_bytes(b"of another system")
    (home / "annotations/trimaps/._cat_0.png").write_bytes(b"of another system")
    (home / "images/cat_0.mat").write_bytes(b"no image")
    (home / "annotations/trainval.txt").write_text("".join(f"cat_{i} 1 1 1\n" for i in range(6)))
    (home / "annotations/test.txt").write_text("".join(f"cat_{i} 1 1 1\n" for i in range(6, 10)))
    return tmp_path / "pets"


@pytest.fixture
def cifar10_root(tmp_path: Path) -> Path:
    """4 images in each of the 5 train files and in the test file."""
    root = tmp_path / "cifar10"
    (root / FOLDER).mkdir(parents=True)
    for seed, name in enumerate([*TRAIN, "test_batch"]):
        (root / FOLDER / name).write_bytes(batch(pixels(4, seed), [0, 9, seed, 3]))
    return root


@pytest.fixture
def folders_root(tmp_path: Path) -> Path:
    """Two train images and one test image of a red cat and of a blue dog each, 4 x 4."""
    root = tmp_path / "class_folders"
    for place in ("train/cat/1", "train/cat/2", "train/dog/1", "train/dog/2", "test/cat/3", "test/dog/3"):
        path = root / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (200, 0, 0) if "cat" in place else (0, 0, 200)).save(path)
    return root


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets, which DMT_DATA names."""
    folder = REAL
    if not folder.is_dir():
        pytest.skip("needs real images: set DMT_DATA to a folder that holds camvid/ and voc_animals/")
    return folder
