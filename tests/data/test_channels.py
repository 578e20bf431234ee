"""Images of other than three channels: what is read as a channel, what is refused, and the channels' statistics."""

import io
import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from dmt_ray.config import override
from dmt_ray.data import channel_statistics, open_dataset, report
from dmt_ray.data.decode import resized
from dmt_ray.data.pictures import Reading, Unfit, read_image, rgb
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.recipes import named
from tests.helpers import own_folders, png_files

FOUR = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
FIVE = np.concatenate([FOUR, np.full((2, 3, 1), 255, np.uint8)], axis=2)
PLANES = np.ascontiguousarray(np.moveaxis(FOUR, 2, 0))


def tiff(numbers, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, numbers, **{"photometric": "minisblack", **options})
    return file.getvalue()


def saved(pixels, format: str, mode: str | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(tiff(FOUR, planarconfig="contig"), FOUR, id="TIFF"),
        pytest.param(tiff(PLANES, planarconfig="separate"), FOUR, id="TIFF in planes"),
        pytest.param(tiff(PLANES), FOUR, id="a page for each channel"),
        pytest.param(
            tiff(FOUR, planarconfig="contig", photometric="rgb", extrasamples=["unspecified"]),
            FOUR,
            id="RGB and another one",
        ),
        pytest.param(
            tiff(FOUR, planarconfig="contig", photometric="rgb", extrasamples=["unassalpha"]),
            FOUR,
            id="alpha that is data",
        ),
        pytest.param(
            tiff(FIVE, planarconfig="contig", photometric="rgb", extrasamples=["unspecified", "unassalpha"]),
            FOUR,
            id="alpha behind four",
        ),
        pytest.param(saved(FOUR, "PNG"), FOUR, id="RGBA as PNG"),
        pytest.param(saved(FOUR[:, :, :2], "PNG"), FOUR[:, :, :2], id="two as grey with alpha"),
        pytest.param(saved(FOUR[:, :, :2], "PNG"), FOUR[:, :, :1], id="alpha is dropped from grey"),
        pytest.param(saved(FOUR[:, :, 0], "PNG"), FOUR[:, :, :1], id="grey"),
        pytest.param(saved(FOUR[:, :, 0], "BMP"), FOUR[:, :, :1], id="grey as BMP"),
    ],
)
def test_channels_are_read_as_they_lie_in_the_file(content, expected):
    read = read_image(content, Reading(channels=expected.shape[2])).image
    assert read.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "layout",
    [{"planarconfig": "contig"}, {"planarconfig": "contig", "photometric": "rgb", "extrasamples": ["unspecified"]}],
)
def test_each_channel_of_16_bits_has_its_own_range_or_all_have_one(layout):
    content = tiff(np.array([[[0, 100, 250, 4000]]], np.uint16), **layout)
    ranges = ((0, 255), (0, 1000), (100, 300), (0, 4000))
    assert read_image(content, Reading(ranges, channels=4)).image.tolist() == [[[0, 26, 191, 255]]]
    assert read_image(content, Reading((0, 4000), channels=4)).image.tolist() == [[[0, 6, 16, 255]]]


def test_a_png_of_16_bits_has_its_alpha_as_a_channel():
    content = png_files.encode(np.array([[[0, 65535]]]), 16, png_files.GREY_ALPHA)
    assert read_image(content, Reading((0, 65535), channels=2)).image.tolist() == [[[0, 255]]]
    assert read_image(content, Reading((0, 65535), channels=1)).image.tolist() == [[[0]]]


@pytest.mark.parametrize(
    ("content", "reading", "said"),
    [
        pytest.param(tiff(FOUR, planarconfig="contig"), Reading(), "set data.channels to", id="default"),
        pytest.param(saved(FOUR[:, :, :3], "PNG"), Reading(channels=4), "channels, 4: 3: PNG of mode RGB", id="RGB"),
        pytest.param(saved(FOUR, "PNG"), Reading(channels=1), "data.channels, 1: 3: PNG of mode RGBA", id="colour"),
        pytest.param(saved(FOUR[:, :, :3], "JPEG", "CMYK"), Reading(channels=4), "3: JPEG of mode CMYK", id="CMYK"),
        pytest.param(tiff(PLANES), Reading(channels=5), "cannot all be read: 4 pages", id="one page too few"),
        pytest.param(tiff(FOUR.astype("u2"), planarconfig="contig"), Reading(channels=4), "set data.range", id="deep"),
        pytest.param(tiff(FOUR, planarconfig="contig")[:-4], Reading(channels=4), "damaged or truncated", id="cut"),
    ],
)
def test_what_does_not_have_the_channels_is_refused(content, reading, said):
    with pytest.raises(Unfit) as caught:
        read_image(content, reading)
    assert said in ": ".join(caught.value.args)


def test_alpha_is_no_data_unless_the_settings_say_so():
    assert read_image(saved(FOUR, "PNG")).image.tolist() == FOUR[:, :, :3].tolist()


def test_people_see_the_first_three_channels_or_grey():
    assert rgb(FOUR).tolist() == FOUR[:, :, :3].tolist()
    assert rgb(FOUR[:, :, :2]).tolist() == np.repeat(FOUR[:, :, :1], 3, axis=2).tolist()


def test_channels_are_resized_each_by_itself():
    grey = np.array([[0, 100], [100, 200]], np.uint8)
    pixels = np.stack([grey, 255 - grey, grey, grey], axis=2)
    made = resized(pixels, (1, 1))
    assert made.tolist() == [[[100, 155, 100, 100]]]
    assert resized(pixels[:, :, :3], (1, 1)).tolist() == [[[100, 155, 100]]]


def data_of(**changes) -> FolderData:
    settings = {"classes": ("a", "b"), "images": "{id}", "masks": "{id}_mask", "channels": 4, "normalised": "data"}
    return FolderData(**settings | {"range": (0, 4095)} | changes)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return own_folders.bands(tmp_path_factory.mktemp("own") / "scenes", 10)


def test_a_data_set_keeps_all_channels(scenes, tmp_path):
    dataset = open_dataset(data_of(), scenes, tmp_path)
    train = dataset.subsets["train"]
    assert (dataset.channels, train.image(0).shape) == (4, (64, 64, 4))
    assert train.image(0)[train.mask(0) == 1].min(axis=0)[3] > 180  # 3000 of 4095; the others stay below 600
    assert "2 classes, 4 channels" in report(dataset)


def test_the_number_of_channels_and_their_ranges_identify_the_data(scenes, tmp_path):
    ranges = ((0, 4095), (0, 4095), (0, 4095), (0, 8191))
    prints = {open_dataset(data_of(**c), scenes, tmp_path).fingerprint for c in ({}, {"range": ranges})}
    for path in scenes.glob("*_mask.png"):
        (tmp_path / "rgba").mkdir(exist_ok=True)
        (tmp_path / "rgba" / path.name).write_bytes(path.read_bytes())
        Image.new("RGBA", (64, 64), (1, 2, 3, 4)).save(tmp_path / "rgba" / path.name.replace("_mask", ""))
    for settings in ({}, {"channels": 3, "normalised": "imagenet"}):
        prints.add(open_dataset(data_of(range=None, **settings), tmp_path / "rgba", tmp_path).fingerprint)
    assert len(prints) == 4


def test_statistics_are_those_of_all_training_images_and_kept(tmp_path):
    (tmp_path / "own").mkdir()
    for name, value in (("a", 0), ("b", 255), ("t", 9)):
        pixels = np.zeros((1, 2, 2), np.uint8)
        pixels[..., 0], pixels[..., 1] = value, 51
        Image.fromarray(pixels).save(tmp_path / f"own/{name}.png")
        Image.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / f"own/{name}_mask.png")
    (tmp_path / "own/test.txt").write_text("t\n")
    data = data_of(channels=2, range=None, test_list="test.txt")
    dataset = open_dataset(data, tmp_path / "own", tmp_path / "cache")
    # Of 0, 0, 255, 255; and of 51 everywhere, whose deviation is taken to be a grey level.
    assert channel_statistics(dataset) == ((0.5, 0.2), (0.5, 0.003922))
    (kept,) = (tmp_path / "cache").glob("*/statistics.json")
    kept.write_text(json.dumps([[0.25, 0.5], [1.0, 2.0]]))
    assert channel_statistics(dataset) == ((0.25, 0.5), (1.0, 2.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"normalised": "imagenet"}, "normalised must be 'data' where channels is 4"),
        ({"range": ((0, 1), (0, 1))}, "one for each of the 4 channels, but got 2 pairs"),
        ({"range": ((0, 1), (0, 1), (3, 2), (0, 1))}, r"the lower one first, but got \[3.0, 2.0\]"),
        ({"statistics": ((0.5,), (0.5,))}, "must be 4 means and as many standard deviations"),
        ({"statistics": ((0.5,) * 4, (0.0,) * 4)}, "standard deviations above 0"),
        ({"channels": 0}, "channels must be"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        data_of(**changes)


def test_statistics_before_the_data_are_opened_are_an_error():
    with pytest.raises(ConfigError, match="filled in when the data are opened"):
        _ = data_of().normalisation


def test_images_that_the_program_makes_have_three_channels(tmp_path):
    config = override(named("shapes"), {"data.channels": 4, "data.normalised": "data"})
    with pytest.raises(DataError, match=r"images without the 4 channels of data.channels: .* \(3\)"):
        open_dataset(config.data, None, tmp_path)
