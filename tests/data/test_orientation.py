"""Orientations that cameras record: applied to image and mask alike, or refused where they may not fit each other."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from dmt_ray.data import open_dataset
from dmt_ray.data.decode import digest
from dmt_ray.data.orientation import orientation_of, turned
from dmt_ray.data.pictures import Reading, read_image
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.errors import DataError

OWN = FolderData(classes=("ground", "cat", "dog"))
STORED = np.arange(24, dtype=np.uint8).reshape(4, 6)


def tag(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def saved(format: str, orientation: int) -> bytes:
    file = io.BytesIO()
    if format == "TIFF":
        tifffile.imwrite(file, STORED, extratags=[(274, "H", 1, orientation, True)])
    else:
        Image.fromarray(STORED).save(
            file, format, exif=tag(orientation), **({"lossless": True} if format == "WEBP" else {})
        )
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned_as_pillow_turns_them(orientation):
    image = Image.open(io.BytesIO(saved("PNG", orientation)))
    assert turned(STORED, orientation).tolist() == np.asarray(ImageOps.exif_transpose(image)).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_an_image_is_shown_upright_and_stored_as_it_is(format, orientation):
    content = saved(format, orientation)
    picture = read_image(content)
    assert picture.orientation == orientation_of(content) == orientation
    assert np.asarray(picture.stored)[:, :, 0].tolist() == STORED.tolist()
    assert np.asarray(picture.image)[:, :, 0].tolist() == turned(STORED, orientation).tolist()
    assert np.asarray(read_image(content, Reading(orientation="stored")).image)[:, :, 0].tolist() == STORED.tolist()


def test_an_orientation_behind_the_pixels_of_a_png_is_found():
    head, end = saved("PNG", 6), b""
    place = head.index(b"eXIf") - 4
    size = 12 + int.from_bytes(head[place : place + 4], "big")
    end = head[-12:]
    moved = head[:place] + head[place + size : -12] + head[place : place + size] + end
    assert orientation_of(moved) == 6


def test_only_files_with_an_orientation_have_another_digest():
    plain, same = saved("PNG", 1), saved("PNG", 6)
    assert ":" not in digest(plain)
    assert digest(same).endswith(":o6")


def own(root, *, image: int, mask: int = 1, shape: tuple[int, int] = (4, 6), mask_shape: tuple[int, int] = (4, 6)):
    """Writes image and mask p3 with these orientations; the mask holds class 1 in its first stored row."""
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(root / "images/p3.jpg", exif=tag(image))
    numbers = np.zeros(mask_shape, np.uint8)
    numbers[0] = 1
    Image.fromarray(numbers).save(root / "masks/p3.png", **({} if mask == 1 else {"exif": tag(mask)}))


def mask_of(root, data=OWN) -> np.ndarray:
    dataset = open_dataset(data, root, root.parent / "cache")
    images = next(images for images in dataset.subsets.values() if "p3" in images.ids)
    place = images.ids.index("p3")
    assert images.image(place).shape[:2] == images.mask(place).shape
    return images.mask(place)


@pytest.mark.parametrize(
    ("mask", "mask_shape", "row_lies"),
    [
        pytest.param(6, (4, 6), "right", id="the mask has the tag, too"),
        pytest.param(1, (4, 6), "right", id="its size says that it lies as the pixels are stored"),
        pytest.param(1, (6, 4), "top", id="its size says that it lies as the image is shown"),
    ],
)
def test_a_quarter_turn_is_applied_to_both(mask, mask_shape, row_lies, own_root):
    own(own_root, image=6, mask=mask, mask_shape=mask_shape)
    found = mask_of(own_root)
    assert found.shape == (6, 4)
    assert (found[:, -1] == 1).all() if row_lies == "right" else (found[0] == 1).all()


@pytest.mark.parametrize(("image", "shape"), [(3, (4, 6)), (6, (4, 4))])
def test_what_may_lie_in_two_ways_is_refused_until_a_setting_says_how(image, shape, own_root):
    own(own_root, image=image, shape=shape, mask_shape=shape)
    with pytest.raises(DataError, match=r"set data.orientation to `images` .* or to `stored` .*: images/p3.jpg"):
        mask_of(own_root)
    assert (mask_of(own_root, OWN.evolve(orientation="images"))[0] == 1).all()
    assert (mask_of(own_root, OWN.evolve(orientation="stored"))[0] == 1).all()


def test_a_mask_with_another_tag_is_refused(own_root):
    own(own_root, image=3, mask=6)
    with pytest.raises(DataError, match=r"orientation tag other than their images.*: masks/p3.png has 6, its image 3"):
        mask_of(own_root)


def test_a_size_that_no_orientation_explains_is_refused(own_root):
    own(own_root, image=6, mask_shape=(3, 5))
    with pytest.raises(DataError, match=r"masks/p3.png is 3 x 5 but the image 6 x 4"):
        mask_of(own_root)


def test_turned_images_are_named_and_have_another_fingerprint(own_root):
    own(own_root, image=1)
    before = open_dataset(OWN, own_root, own_root.parent / "cache")
    assert before.remarks == ()
    own(own_root, image=6)
    for _ in ("decoded", "from the cache"):
        after = open_dataset(OWN, own_root, own_root.parent / "cache")
        assert after.remarks == ("images that are turned as their orientation tag says: images/p3.jpg",)
    assert after.fingerprint != before.fingerprint
