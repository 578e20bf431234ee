"""What is read from an image or a mask is what the file holds, or the file is refused."""

import io

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from PIL import Image

from dmt_ray.data import pictures
from dmt_ray.data.pictures import LIMIT, MOST_PIXELS, Unfit, read_image, read_mask
from dmt_ray.errors import DataError
from tests.helpers import png_files

RAMP = np.arange(48).reshape(6, 8)


def saved(pixels, format: str, **options) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, format, **options)
    return file.getvalue()


def refusal(read, content: bytes) -> str:
    with pytest.raises(Unfit) as caught:
        read(content)
    kind, holds = caught.value.args
    return f"{kind}: {holds}"


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_grey_mask_of_any_depth_holds_its_numbers(depth):
    numbers = RAMP % 2**depth
    content = png_files.encode(numbers, depth)
    assert (png_files.decode(content) == numbers).all()
    assert read_mask(content).tolist() == numbers.tolist()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_palette_mask_of_any_depth_holds_its_numbers(depth):
    numbers = RAMP % 2**depth
    colours = np.random.default_rng(0).integers(0, 256, (2**depth, 3))
    assert read_mask(png_files.encode(numbers, depth, png_files.PALETTE, colours)).tolist() == numbers.tolist()


def test_an_interlaced_or_compressed_mask_holds_its_numbers():
    mask = Image.fromarray(RAMP.astype(np.uint8))
    assert (read_mask(saved(mask, "PNG", optimize=True)) == RAMP).all()


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "GIF"])
def test_a_mask_of_a_lossy_format_is_refused_whatever_its_name(format):
    said = refusal(read_mask, saved(RAMP.astype(np.uint8), format))
    assert "masks whose content is not PNG, TIFF or BMP" in said
    assert said.endswith(f": {format}")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_an_image_that_is_converted_in_pieces_is_the_whole_image(mode, monkeypatch):
    monkeypatch.setattr(pictures, "ROWS", 4)
    colours = np.random.default_rng(0).integers(0, 256, (11, 7, 3), np.uint8)
    picture = Image.fromarray(colours).convert(mode)
    expected = np.asarray(picture.convert("RGB"))
    assert len(np.unique(expected)) > 1
    assert (read_image(saved(picture, "TIFF")).image == expected).all()


@pytest.mark.parametrize("colour", [png_files.RGB, png_files.GREY_ALPHA, png_files.RGB_ALPHA])
def test_a_mask_with_several_channels_is_refused(colour):
    numbers = np.zeros((4, 4, png_files.CHANNELS[colour]), np.uint8)
    assert "masks in colour" in refusal(read_mask, png_files.encode(numbers, 8, colour))


def test_an_animated_mask_is_refused():
    frames = [Image.fromarray(np.full((4, 4), k, np.uint8)) for k in (0, 1)]
    said = refusal(read_mask, saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    assert "images of several pages or frames" in said
    assert "2 in a PNG" in said


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_every_flipped_bit_of_a_pixel_is_noticed(read):
    content = saved(np.random.default_rng(0).integers(0, 5, (20, 20)).astype(np.uint8), "PNG")
    expected = np.asarray(read(content) if read is read_mask else read(content).image)
    for place in range(8, len(content)):
        broken = bytearray(content)
        broken[place] ^= 8
        try:
            got = read(bytes(broken))
        except Unfit:
            continue
        assert (np.asarray(got if read is read_mask else got.image) == expected).all(), place


@pytest.mark.parametrize("colour", [png_files.GREY, png_files.RGB, png_files.GREY_ALPHA, png_files.RGB_ALPHA])
def test_a_png_image_of_16_bits_needs_a_range_in_grey_and_in_colour(colour):
    pixels = np.full((4, 4, png_files.CHANNELS[colour]), 200, np.uint16)
    pixels = pixels[:, :, 0] if colour == png_files.GREY else pixels
    said = refusal(read_image, png_files.encode(pixels, 16, colour))
    assert "images whose pixels are not 8-bit; set data.range to the numbers that become black and white" in said


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int16"])
@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3)])
def test_a_tiff_image_of_more_than_8_bits_needs_a_range(dtype, shape):
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros(shape, dtype), photometric="rgb" if len(shape) == 3 else "minisblack")
    assert "set data.range" in refusal(read_image, file.getvalue())


def test_a_tiff_image_with_a_fourth_channel_that_is_no_alpha_is_refused():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((4, 4, 4), np.uint8), photometric="rgb", extrasamples=["unspecified"])
    assert "channels other than colour and alpha" in refusal(read_image, file.getvalue())


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "PNG"])
def test_an_image_of_several_pages_is_refused(format):
    pages = [Image.fromarray(np.full((8, 8, 3), k, np.uint8)) for k in (0, 200)]
    assert f"2 in a {format}" in refusal(read_image, saved(pages[0], format, save_all=True, append_images=pages[1:]))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_grey_image_of_few_bits_uses_the_whole_range(depth):
    numbers = RAMP % 2**depth
    image = np.asarray(read_image(png_files.encode(numbers, depth)).image)
    assert (image == (numbers * 255 // (2**depth - 1))[..., None]).all()


@pytest.mark.parametrize("format", ["BMP", "PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3)])
def test_an_image_is_what_another_reader_sees(format, shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    content = saved(pixels, format)
    seen = tifffile.imread(io.BytesIO(content)) if format == "TIFF" else imageio.imread(content)
    seen = np.broadcast_to(seen[..., None], (6, 8, 3)) if seen.ndim == 2 else seen
    assert (np.asarray(read_image(content).image) == seen).all()


def test_alpha_is_dropped_and_the_colours_below_it_are_kept():
    pixels = np.random.default_rng(2).integers(0, 256, (4, 4, 4), dtype=np.uint8)
    assert (np.asarray(read_image(saved(pixels, "PNG")).image) == pixels[:, :, :3]).all()


@pytest.mark.parametrize("format", ["PPM", "JPEG2000", "TGA"])
def test_another_format_is_refused_whatever_its_name(format):
    assert "not a PNG, JPEG, BMP, TIFF, WebP or GIF image" in refusal(
        read_image, saved(np.zeros((8, 8, 3), np.uint8), format)
    )


def test_an_image_above_the_limit_names_the_setting_that_allows_it(monkeypatch):
    content = saved(np.zeros((20, 30), np.uint8), "PNG")
    monkeypatch.setenv(LIMIT, "599")
    said = refusal(read_image, content)
    assert f"images of more than 599 pixels; to read them set the environment variable {LIMIT}" in said
    assert "20 x 30 = 600" in said
    monkeypatch.setenv(LIMIT, "600")
    assert read_image(content).image.shape == (20, 30, 3)


def test_the_limit_must_be_a_number(monkeypatch):
    monkeypatch.setenv(LIMIT, "400 MB")
    with pytest.raises(DataError, match="DMT_MAX_PIXELS is a number of pixels"):
        read_image(saved(np.zeros((2, 2), np.uint8), "PNG"))


def test_without_a_setting_the_limit_is_where_pillow_suspects_an_attack():
    assert MOST_PIXELS == 178_956_970
