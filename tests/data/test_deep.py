"""Images of more than 8 bits become 8 bits by a stated range, and by nothing else."""

import io

import numpy as np
import pytest
import tifffile

from dmt_ray.data import open_dataset
from dmt_ray.data.pictures import Reading, Unfit, read_image
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.errors import ConfigError
from tests.helpers import png_files

NUMBERS = np.array([[0, 1000, 2000, 3000], [4000, 5000, 6000, 65535]])
TO_5000 = Reading(range=(1000, 5000))
GREY_OF_5000 = [[0, 0, 64, 128], [191, 255, 255, 255]]  # (n - 1000) / 4000 * 255


def tiff(numbers, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, numbers, **{"photometric": "minisblack", **options})
    return file.getvalue()


def grey(content: bytes, reading: Reading = TO_5000) -> list[list[int]]:
    pixels = np.asarray(read_image(content, reading).image)
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, :, 0].tolist()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png_files.encode(NUMBERS, 16), id="PNG"),
        pytest.param(png_files.encode(np.repeat(NUMBERS[..., None], 3, 2), 16, png_files.RGB), id="colour PNG"),
        pytest.param(png_files.encode(np.stack([NUMBERS, NUMBERS * 0], 2), 16, png_files.GREY_ALPHA), id="alpha"),
        pytest.param(tiff(NUMBERS.astype(np.uint16)), id="TIFF"),
        pytest.param(tiff(NUMBERS.astype(">u2"), byteorder=">"), id="TIFF of another byte order"),
        pytest.param(tiff(NUMBERS.astype(np.int32)), id="TIFF of 32 bits"),
        pytest.param(tiff(NUMBERS.astype(np.float32)), id="float TIFF"),
        pytest.param(tiff(NUMBERS.astype(np.float64)), id="float TIFF of 64 bits"),
        pytest.param(tiff(np.repeat(NUMBERS[..., None], 3, 2).astype("u2"), photometric="rgb"), id="colour TIFF"),
        pytest.param(
            tiff(np.stack([NUMBERS] * 3).astype("u2"), photometric="rgb", planarconfig="separate"), id="TIFF in planes"
        ),
        pytest.param(
            tiff(np.repeat(NUMBERS[..., None], 3, 2).astype("u2"), photometric="rgb", compression="lzw"), id="LZW"
        ),
        pytest.param(tiff((65535 - NUMBERS).astype(np.uint16), photometric="miniswhite"), id="white is 0"),
    ],
)
def test_a_range_brings_numbers_to_8_bits(content):
    assert grey(content) == GREY_OF_5000


def test_each_channel_keeps_its_own_numbers():
    numbers = np.array([[[0, 32768, 65535]]])
    content = png_files.encode(numbers, 16, png_files.RGB)
    assert np.asarray(read_image(content, Reading(range=(0, 65535))).image).tolist() == [[[0, 128, 255]]]


def test_an_image_of_8_bits_does_not_depend_on_a_range():
    content = png_files.encode(np.array([[0, 100, 255]]), 8)
    assert grey(content) == grey(content, Reading()) == [[0, 100, 255]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(tiff(np.array([[0.5, np.nan]], np.float32)), "NaN or infinite numbers", id="NaN"),
        pytest.param(tiff(NUMBERS.astype(np.uint16))[:-4], "damaged or truncated", id="cut"),
        pytest.param(tiff(np.stack([NUMBERS] * 2).astype(np.uint16)), "several pages", id="two pages"),
        pytest.param(
            tiff(
                np.zeros((4, 4, 5), "u2"),
                photometric="rgb",
                extrasamples=["unspecified", "unspecified"],
                planarconfig="contig",
            ),
            "channels other than colour and alpha",
            id="five channels",
        ),
        pytest.param(
            tiff(np.zeros((4, 4, 4), "u1"), photometric="rgb", extrasamples=["unspecified"], planarconfig="contig"),
            "channels other than colour and alpha",
            id="four channels of 8 bits",
        ),
    ],
)
def test_what_a_range_cannot_read_is_refused(content, said):
    with pytest.raises(Unfit) as caught:
        read_image(content, TO_5000)
    assert said in ": ".join(caught.value.args)


def test_a_data_set_with_another_range_has_another_fingerprint(own_root):
    for path in (own_root / "images").iterdir():
        path.unlink()
    for i in range(10):
        png_files.save(own_root / f"images/p{i}.png", np.arange(24).reshape(4, 6) * 100 + i, 16)
    data = FolderData(classes=("ground", "cat", "dog"))
    first, second = (
        open_dataset(data.evolve(range=limits), own_root, own_root.parent / "cache")
        for limits in [(0, 2300), (0, 4600)]
    )
    assert first.subsets["train"].image(0)[:, :, 0].max() == 255
    assert second.subsets["train"].image(0)[:, :, 0].max() == 128
    assert first.fingerprint != second.fingerprint


def test_a_range_rises():
    with pytest.raises(ConfigError, match="range must be two numbers, the lower one first"):
        FolderData(classes=("a", "b"), range=(5, 5))
