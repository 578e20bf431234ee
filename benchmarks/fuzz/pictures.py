"""Images and masks, and the pickles of CIFAR-10."""

import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from dmt_ray.data import open_dataset
from dmt_ray.data.check import Problems, Steps
from dmt_ray.data.decode import BadFileError, Decoder, digest
from dmt_ray.data.files import Item
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.data.pictures import Reading
from dmt_ray.data.sets.cifar10 import FILES, CifarData
from dmt_ray.errors import DataError

from . import damage
from .reader import Reader

SIDES = (5, 7)
CODED = {
    "plain": MaskValues.numbers(2, 255),
    "in numbers": MaskValues.coded({"0": "a", "1..300": "b", "other": "ignore"}, ("a", "b")),
    "in colours": MaskValues.coded({"0 0 0": "a", "1 1 1": "b", "other": "ignore"}, ("a", "b")),
}


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def _decode(folder: Path, item: Item, reading: Reading) -> None:
    digests = {path: digest(path.read_bytes()) for path in (item.image, item.mask) if path is not None}
    image, wrong = Decoder(folder, None, reading, digests, _pool(), Problems(), Steps(None, 0)).decode(item)
    if wrong:
        raise wrong[0]
    assert image is not None
    height, width = image.mask.shape
    assert image.image.dtype == np.uint8
    assert image.image.shape == (height, width, 3)


def _image(reading: Reading, folder: Path) -> None:
    _decode(folder, Item("picture", folder / "picture.png", None, CODED["plain"]), reading)


def _mask(values: MaskValues, folder: Path) -> None:
    Image.fromarray(_pixels()).save(folder / "whole.png")
    _decode(folder, Item("picture", folder / "whole.png", folder / "mask.png", values), Reading(orientation="images"))


def _pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*SIDES, 3), np.uint8)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
    return file.getvalue()


def _images(folder: Path) -> list[bytes]:
    image, tagged = Image.fromarray(_pixels()), Image.Exif()
    tagged[0x0112] = 6
    deep = _pixels()[..., 0].astype(np.uint16) * 257
    return [
        *(_saved(image, kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")),
        *(_saved(image, kind, exif=tagged) for kind in ("PNG", "JPEG", "WEBP", "TIFF")),
        *(_saved(image.convert(mode), "PNG") for mode in ("L", "P", "LA", "RGBA", "1")),
        _saved(Image.fromarray(deep), "PNG"),
        *(_tiff(deep, compression=packing) for packing in (None, "zlib", "lzw", "packbits")),
        _tiff(_pixels(), compression="zlib", tile=(16, 16)),
        _tiff(_pixels()[..., 0].astype(np.float32) / 255, predictor=True, compression="zlib"),
        _tiff(_pixels(), bigtiff=True),
    ]


def _masks(folder: Path) -> list[bytes]:
    numbers: NDArray[np.uint8] = np.resize(np.array([0, 1, 255], np.uint8), SIDES)
    grey = Image.fromarray(numbers)
    colours = Image.fromarray(np.repeat(numbers[..., None], 3, axis=2))
    return [
        *(_saved(one, kind) for one in (grey, grey.convert("P"), colours) for kind in ("PNG", "BMP")),
        *(_tiff(numbers, compression=packing) for packing in (None, "zlib", "lzw")),
        _tiff(numbers.astype(np.float32)),
        _tiff(numbers.astype(np.int32)),
    ]


def _repaired(content: bytes) -> bytes:
    return damage.png(content) if content[1:4] == b"PNG" else content


def _cifar(folder: Path) -> None:
    content = (folder / "root" / "data_batch_1").read_bytes()
    for name in FILES["train"] + FILES["test"]:
        (folder / "root" / name).write_bytes(content if name == "data_batch_1" else _batches(folder)[0])
    try:
        open_dataset(CifarData(), folder / "root", folder / "cache")
    finally:
        shutil.rmtree(folder / "cache", ignore_errors=True)


def _batches(folder: Path) -> list[bytes]:
    """Two images, as Python 2 and as Python 3 pickle them; written by opcodes, since nothing here is unpickled."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + (2 * 3072).to_bytes(4, "little") + bytes(range(256)) * 24 + b"tb"
    )
    old = b"\x80\x02}q\x01(U\x06labelsq\x04](K\x01K\x02eU\x04data" + array + b"u."
    new = b"\x80\x04}\x94(C\x06labels\x94](K\x01K\x02eC\x04data\x94" + array + b"u."
    return [old, new]


READERS = {
    **{
        f"image{title}": Reader("picture.png", partial(_image, reading), _images, (BadFileError,), None, _repaired)
        for title, reading in {
            "": Reading(),
            " with a range": Reading(range=(0.0, 65535.0)),
            " as stored": Reading(orientation="stored"),
        }.items()
    },
    **{
        f"mask {title}": Reader("mask.png", partial(_mask, values), _masks, (BadFileError,), None, _repaired)
        for title, values in CODED.items()
    },
    "CIFAR-10": Reader("root/data_batch_1", _cifar, _batches, (DataError,)),
}
