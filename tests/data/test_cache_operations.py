"""A fault at every file operation of decoding, and a power cut behind each: no image is ever read half."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dmt_ray.data.cache import Writer, open_decoded
from dmt_ray.data.decode import Decoded
from dmt_ray.errors import DataError
from tests.helpers.disk import copy_of, every_fault, every_power_cut

IMAGES = [
    Decoded(f"{number}", np.full((2, 3, 3), number, np.uint8), np.full((2, 3), number, np.uint8), True)
    for number in (1, 2)
]


def decode(folder: Path) -> None:
    if open_decoded(folder / "data-12ab", "12ab") is None:
        with Writer(folder / "data-12ab", channels=3) as writer:
            writer.add("train", IMAGES)
            writer.finish("12ab")


def check(folder: Path) -> None:
    subsets = open_decoded(folder / "data-12ab", "12ab")
    if subsets is not None:
        read = [subsets["train"].image(position) for position in range(2)]
        assert all(np.array_equal(image, decoded.image) for image, decoded in zip(read, IMAGES, strict=True))


def test_no_fault_leaves_half_an_image(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    (tmp_path / "data").mkdir()
    tally = every_fault(tmp_path / "data", decode, check, known=(DataError, OSError))
    record_property("faults", tally.faults)
    assert tally.operations > 15
    assert open_decoded(copy_of(tmp_path / "data") / "data-12ab", "12ab") is not None


def test_no_power_cut_leaves_half_an_image(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    (tmp_path / "data").mkdir()
    record_property("power cuts", every_power_cut(tmp_path / "data", decode, check))
