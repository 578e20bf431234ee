import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as theirs

from dmt_ray.engine import image_operations as ours
from dmt_ray.engine.augment import draw
from dmt_ray.engine.strong import ANY, AUTHORS, PHOTOMETRIC, STRONG_DRAWS, draw_strong, strong

KINDS = ["photometric", "jitter", "any", "dmt"]
LINEAR = {"interpolation": InterpolationMode.BILINEAR}


def random_images(count: int = 5, height: int = 24, width: int = 17) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def sheared(image: Tensor, across: float, down: float) -> Tensor:
    shear = [math.degrees(math.atan(slope)) for slope in (across, down)]
    return theirs.affine(image, 0, [0, 0], 1, shear, **LINEAR)


@pytest.mark.parametrize(
    ("name", "amounts", "reference"),
    [
        ("brightness", (0.1, 1.9), theirs.adjust_brightness),
        ("saturation", (0.1, 1.9), theirs.adjust_saturation),
        ("contrast", (0.1, 1.9), theirs.adjust_contrast),
        ("sharpness", (0.1, 1.9), theirs.adjust_sharpness),
        ("posterize", (8, 4), lambda image, bits: theirs.posterize(image, int(bits))),
        ("solarize", (1, 0), theirs.solarize),
        ("hue", (-0.5, 0.5), theirs.adjust_hue),
        ("rotate", (-30, 30), lambda image, angle: theirs.rotate(image, angle, **LINEAR)),
        ("shear_x", (-0.3, 0.3), lambda image, slope: sheared(image, slope, 0)),
        ("shear_y", (-0.3, 0.3), lambda image, slope: sheared(image, 0, slope)),
    ],
)
def test_a_batch_is_changed_as_torchvision_changes_each_image(name, amounts, reference):
    images, strengths = random_images(), torch.linspace(*amounts, steps=5)
    changed = getattr(ours, name)(images, strengths.view(-1, 1, 1, 1))
    expected = torch.stack([reference(image, amount) for image, amount in zip(images, strengths.tolist(), strict=True)])
    torch.testing.assert_close(changed, expected, rtol=0, atol=2e-5)
    assert not torch.equal(changed[1], images[1])


def test_images_without_colours_keep_them_and_change_in_all_else():
    four = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    strength = torch.full((2, 1, 1, 1), 0.5)
    for name in ("saturation", "hue"):
        assert torch.equal(getattr(ours, name)(four, strength), four)
    assert torch.equal(ours.grey(four), four)
    middle = four.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(ours.contrast(four, strength), middle + 0.5 * (four - middle))
    for name in ("autocontrast", "equalize"):  # each channel by itself, as in an image of three
        changed = getattr(ours, name)(four)
        torch.testing.assert_close(changed[:, :3], getattr(ours, name)(four[:, :3]))
        assert not torch.equal(changed[:, 3], four[:, 3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 5])
def test_every_strong_augmentation_takes_any_number_of_channels(kind, channels):
    images = torch.rand(40, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    changed = strong(images, draw_strong(0, 0, 0, range(40)), kind)
    assert changed.shape == images.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    assert not torch.equal(changed, images)


def test_a_blur_is_torchvisions_away_from_the_border():
    images, sigmas = random_images(3, 40, 40), [0.1, 1.0, 2.0]
    blurred = ours.blur(images, torch.tensor(sigmas).view(-1, 1, 1, 1))
    side = 2 * ours.BLUR_REACH + 1
    expected = torch.stack([theirs.gaussian_blur(image, [side, side], [s, s]) for image, s in zip(images, sigmas)])
    inner = slice(ours.BLUR_REACH, -ours.BLUR_REACH)
    torch.testing.assert_close(blurred[..., inner, inner], expected[..., inner, inner], rtol=0, atol=1e-5)


def test_a_blur_leaves_an_even_image_even_up_to_its_border():
    even = torch.full((1, 3, 4, 9), 0.25)
    torch.testing.assert_close(ours.blur(even, torch.full((1, 1, 1, 1), 2.0)), even)


def test_a_translation_by_a_quarter_moves_four_columns_by_one():
    image = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).expand(1, 3, 4, 4)
    quarter = torch.full((1, 1, 1, 1), 0.25)
    torch.testing.assert_close(ours.translate_x(image, quarter)[0, 0, 0], torch.tensor([0.2, 0.3, 0.4, 0.0]))
    down = image.transpose(2, 3)
    torch.testing.assert_close(ours.translate_y(down, quarter)[0, 0, :, 0], torch.tensor([0.2, 0.3, 0.4, 0.0]))


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        pytest.param(0.5, 0.5, [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], id="in the middle"),
        pytest.param(0.0, 1.0, [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]], id="beyond a corner"),
    ],
)
def test_cutout_takes_a_square_of_half_the_side(row, column, expected):
    side, row, column = (torch.full((1, 1, 1, 1), value) for value in (0.5, row, column))
    left = ours.cutout(torch.ones(1, 3, 4, 4), side, row, column)
    assert left.tolist() == [[expected] * 3]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_depend_on_its_company(kind):
    images, draws = random_images(40), draw_strong(0, 1, 2, range(40))
    together = strong(images, draws, kind)
    assert torch.equal(strong(images[::3], draws[::3], kind), together[::3])
    for i in range(40):
        assert torch.equal(strong(images[i : i + 1], draws[i : i + 1], kind)[0], together[i])


@pytest.mark.parametrize("kind", KINDS)
def test_images_stay_images_and_those_given_stay_as_they_are(kind):
    images = random_images(64)
    before = images.clone()
    changed = strong(images, draw_strong(0, 0, 0, range(64)), kind)
    assert torch.equal(images, before)
    assert (changed.shape, changed.dtype) == (images.shape, images.dtype)
    assert changed.min() >= -1e-5
    assert changed.max() <= 1 + 1e-5
    assert (changed != images).flatten(1).any(dim=1).float().mean() > 0.75


@pytest.mark.parametrize(("kind", "operations"), [("photometric", PHOTOMETRIC), ("any", ANY)])
def test_each_operation_has_the_same_chance(kind, operations):
    draws = np.full((len(operations), STRONG_DRAWS), 0.3)
    draws[:, 0] = (np.arange(len(operations)) + 0.5) / len(operations)
    images = random_images(1).expand(len(operations), -1, -1, -1)
    changed = strong(images, draws, kind)
    for operation, image in zip(operations, changed, strict=True):
        amounts = [torch.full((1, 1, 1, 1), low + (high - low) * 0.3) for low, high in operation.ranges]
        torch.testing.assert_close(image, operation.of(images[:1], *amounts)[0])
    assert len({image.numpy().tobytes() for image in changed}) == len(operations)


def test_there_are_nine_operations_on_colours_and_six_more_that_move_or_hide():
    names = [operation.of.__name__ for operation in ANY]
    assert (len(PHOTOMETRIC), len(names)) == (9, 15)
    assert names[9:] == ["shear_x", "shear_y", "translate_x", "translate_y", "rotate", "cutout"]


def test_jitter_that_is_drawn_for_nothing_leaves_the_image():
    images = random_images(1)
    draws = np.array([[0.8, 0.1, 0.1, 0.1, 0.1, 0.2, 0.5, 0.9]])  # the chances are .8, .2 and .5
    assert torch.equal(strong(images, draws, "jitter"), images)


def test_jitter_can_be_grey_or_blurred_alone():
    images = random_images(2)
    draws = np.array([[0.9, 0, 0, 0, 0, 0.1, 0.9, 0], [0.9, 0, 0, 0, 0, 0.9, 0.1, 0.5]])
    grey, blurred = strong(images, draws, "jitter")
    torch.testing.assert_close(grey, theirs.rgb_to_grayscale(images[0], 3))
    torch.testing.assert_close(blurred, ours.blur(images[1:], torch.full((1, 1, 1, 1), 1.05))[0])


def test_jitter_changes_colours_one_after_the_other():
    images = random_images(1)
    changed = strong(images, np.array([[0.7, 1.0, 0.0, 0.5, 0.75, 0.9, 0.9, 0.0]]), "jitter")
    expected = theirs.adjust_brightness(images, 1.5)
    expected = theirs.adjust_contrast(expected, 0.5)
    torch.testing.assert_close(changed, theirs.adjust_hue(expected, 0.125), rtol=0, atol=1e-5)  # saturation by 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_read_from_the_device(kind):
    images = random_images(64).to("meta")  # a device without values
    assert strong(images, draw_strong(0, 0, 0, range(64)), kind).shape == images.shape


@pytest.mark.parametrize("kind", KINDS)
def test_no_images_are_no_crash(kind):
    assert strong(random_images(0), draw_strong(0, 0, 0, []), kind).shape == (0, 3, 24, 17)


def test_draws_for_another_number_of_images_are_refused():
    with pytest.raises(ValueError, match=r"draws must be \[5, 8\], but got \[4, 8\]"):
        strong(random_images(), draw_strong(0, 0, 0, range(4)), "any")


def test_draws_are_those_of_the_sample_and_other_than_for_its_place():
    together = draw_strong(7, 1, 2, [3, 4, 5])
    assert np.array_equal(together[1:2], draw_strong(7, 1, 2, [4]))
    assert not (together[:, :4] == draw(7, 1, 2, [3, 4, 5])).any()


def test_draws_are_golden():
    assert draw_strong(7, 0, 1, [2])[0, :3].tolist() == [0.5401374389844525, 0.10705573820165748, 0.7475648368328961]


# ---- what DMT's authors draw from ------------------------------------------------------------------------------


def by_authors(number: int, magnitude: int, image: Tensor, *, left: bool = False) -> Tensor:
    """An image under one of their operations, at a magnitude of 1 to 10."""
    draws = np.full((1, STRONG_DRAWS), 0.5)
    draws[:, 0], draws[:, 1] = (number + 0.5) / len(AUTHORS), (magnitude - 0.5) / 10
    draws[:, 2] = 0.25 if left else 0.75
    return strong(image, draws, "dmt")


def test_the_authors_have_sixteen_operations_and_no_identity():
    assert len(AUTHORS) == 16
    assert ours.identity not in [operation.of for operation in AUTHORS]


@pytest.mark.parametrize(("magnitude", "bits"), [(1, 1), (4, 1), (5, 2), (7, 2), (8, 3), (10, 4)])
def test_their_posterize_keeps_one_to_four_bits(magnitude, bits):
    image = random_images(1)
    assert torch.equal(by_authors(4, magnitude, image), ours.posterize(image, torch.full((1, 1, 1, 1), float(bits))))


@pytest.mark.parametrize(("magnitude", "pixels"), [(1, 10), (2, 20), (10, 100)])
def test_their_translation_is_of_ten_to_a_hundred_pixels(magnitude, pixels):
    image = random_images(1, 5, 120)
    moved = by_authors(14, magnitude, image)
    torch.testing.assert_close(moved[..., : 120 - pixels], image[..., pixels:], rtol=0, atol=1e-4)
    assert moved[..., 120 - pixels :].abs().max() < 1e-4
    back = by_authors(14, magnitude, image, left=True)
    torch.testing.assert_close(back[..., pixels:], image[..., : 120 - pixels], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("magnitude", "side"), [(1, 4), (5, 20), (10, 40)])
def test_their_cutout_covers_a_square_of_four_to_forty_pixels_with_grey(magnitude, side):
    covered = by_authors(13, magnitude, torch.zeros(1, 3, 120, 120))
    assert int((covered[0, 0] > 0).sum()) == side**2
    assert covered.max().item() == pytest.approx(128 / 255)


def test_their_inversions():
    image = torch.tensor([0.0, 0.25, 0.75, 1.0]).view(1, 1, 1, 4).expand(1, 3, 4, 4).clone()
    assert by_authors(2, 3, image)[0, 0, 0].tolist() == [1.0, 0.75, 0.25, 0.0]
    # SolarizeAdd, magnitude 5: 55 / 255 more, and what is then in the brighter half is inverted.
    added = [0.2157, 0.4657, 1 - 0.9657, 0.0]
    assert by_authors(6, 5, image)[0, 0, 0].tolist() == pytest.approx(added, abs=1e-3)
    # Solarize, magnitude 5: from 128 / 255 on; at magnitude 10 nothing is bright enough.
    assert by_authors(5, 5, image)[0, 0, 0].tolist() == pytest.approx([0.0, 0.25, 0.25, 0.0])
    assert torch.equal(by_authors(5, 10, image), image)
