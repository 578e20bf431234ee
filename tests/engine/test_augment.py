import numpy as np
import pytest
import torch

from dmt_ray import IGNORE
from dmt_ray.engine.augment import augment, draw, order

RAW = dict(mean=torch.zeros(3), std=torch.full((3,), 1 / 255))  # normalisation that leaves grey values as they are


def random_images(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def settings(images: torch.Tensor, **changes) -> dict:
    """Everything switched off: the pixels should stay as they are."""
    count, _, height, width = images.shape
    usual = dict(
        sizes=np.array([[height, width]] * count),
        draws=np.full((count, 4), 0.5),
        scale=(1.0, 1.0),
        crop=(height, width),
        flip=False,
    )
    return RAW | usual | changes


@pytest.mark.parametrize("size", [(8, 8), (64, 48), (321, 321), (37, 501)])
def test_nothing_switched_on_leaves_every_pixel(size):
    images = random_images(2, *size)
    labels, confidence = images[:, 0], images[:, 1]
    batch = augment(images, labels, confidence, **settings(images))
    torch.testing.assert_close(batch.images, images.float(), rtol=1e-6, atol=1e-4)
    assert torch.equal(batch.labels, labels.long())
    torch.testing.assert_close(batch.confidence, confidence / 255)
    assert (batch.labels.dtype, batch.confidence.dtype) == (torch.int64, torch.float32)


@pytest.mark.parametrize("size", [(8, 8), (37, 501)])
def test_a_flip_mirrors_every_pixel(size):
    images = random_images(2, *size)
    draws = np.array([[0.5, 0.5, 0.5, 0.4], [0.5, 0.5, 0.5, 0.6]])  # below 0.5: mirrored
    batch = augment(images, images[:, 0], None, **settings(images, draws=draws, flip=True))
    assert torch.equal(batch.images[0].round(), images[0].flip(-1).float())
    assert torch.equal(batch.labels[0], images[0, 0].flip(-1).long())
    assert torch.equal(batch.images[1].round(), images[1].float())


def test_labels_of_people_are_sure():
    images = random_images(2, 4, 4)
    assert augment(images, images[:, 0], None, **settings(images)).confidence.unique().tolist() == [1]


def test_normalisation_is_that_of_images_between_zero_and_one():
    images = random_images(1, 4, 4)
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    batch = augment(images, images[:, 0], None, **settings(images, mean=mean, std=std))
    expected = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(batch.images, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("place", "first"), [(0.0, 0), (0.19, 0), (0.21, 1), (0.5, 2), (0.999, 4)])
def test_a_small_crop_starts_at_each_of_its_places(place, first):
    images = random_images(1, 8, 8)
    draws = np.array([[0.5, place, place, 0.9]])
    batch = augment(images, images[:, 0], None, **settings(images, draws=draws, crop=(4, 4)))  # places 0..4
    assert torch.equal(batch.images.round(), images[:, :, first : first + 4, first : first + 4].float())


@pytest.mark.parametrize(("place", "before"), [(0.0, 0), (0.5, 2), (0.999, 3)])
def test_a_large_crop_holds_the_image_and_pads_the_rest(place, before):
    images = random_images(1, 5, 5)
    draws = np.array([[0.5, place, place, 0.9]])
    mean = torch.full((3,), 0.5)
    batch = augment(images, images[:, 0], None, **settings(images, draws=draws, crop=(8, 8), mean=mean))
    expected = torch.zeros(1, 3, 8, 8)
    expected[:, :, before : before + 5, before : before + 5] = images
    labels = torch.full((1, 8, 8), IGNORE)
    labels[:, before : before + 5, before : before + 5] = images[:, 0]
    torch.testing.assert_close(batch.images, expected - 127.5, rtol=0, atol=1e-3)  # 0 before normalisation
    assert torch.equal(batch.labels, labels)


@pytest.mark.parametrize(("place", "shift"), [(0.0, -2), (0.5, 0), (0.999, 2)])
def test_a_crop_of_a_padded_image_may_reach_beyond_its_border(place, shift):
    images = random_images(1, 5, 5)
    draws = np.array([[0.5, place, 0.5, 0.9]])  # only the rows move
    batch = augment(images, images[:, 0], None, **settings(images, draws=draws, pad=2))  # a crop of 5 in 9 pixels
    padded = torch.nn.functional.pad(images, (0, 0, 2, 2))[:, :, 2 + shift : 7 + shift]
    assert torch.equal(batch.images.round(), padded.float())
    seen = torch.nn.functional.pad(images[:, 0].long(), (0, 0, 2, 2), value=IGNORE)[:, 2 + shift : 7 + shift]
    assert torch.equal(batch.labels, seen)


def test_what_lies_around_an_image_has_the_colour_of_the_border():
    images = random_images(1, 5, 5)
    draws = np.array([[0.5, 0.0, 0.5, 0.9]])  # two rows too high
    batch = augment(images, images[:, 0], None, **settings(images, draws=draws, pad=2, fill=128))
    assert torch.equal(batch.images[:, :, :2].round(), torch.full((1, 3, 2, 5), 128.0))
    assert torch.equal(batch.images[:, :, 2:].round(), images[:, :, :3].float())
    assert (batch.labels[:, :2] == IGNORE).all()


def test_the_label_of_a_whole_image_does_not_move():
    images = random_images(3, 8, 8)
    labels, confidence = torch.tensor([4, IGNORE, 2]).view(3, 1, 1), torch.tensor([51, 102, 255]).view(3, 1, 1)
    changes = dict(scale=(0.5, 1.5), crop=(16, 16), flip=True, draws=draw(0, 0, 0, range(3)), pad=4)
    batch = augment(images, labels, confidence.to(torch.uint8), **settings(images, **changes))
    assert torch.equal(batch.labels, labels)
    assert batch.confidence.flatten().tolist() == pytest.approx([0.2, 0.4, 1])
    by_people = augment(images, labels, None, **settings(images, **changes))
    assert by_people.confidence.flatten().tolist() == [1, 1, 1]


def test_further_augmentation_sees_images_between_zero_and_one_and_is_normalised():
    images = random_images(2, 4, 4)
    mean = torch.full((3,), 0.5)
    seen = []

    def invert(bright: torch.Tensor) -> torch.Tensor:
        seen.append(bright)
        return 1 - bright

    batch = augment(images, images[:, 0], None, **settings(images, mean=mean, further=invert))
    torch.testing.assert_close(seen[0], images / 255)
    torch.testing.assert_close(batch.images, 255 - images.float() - 127.5, rtol=0, atol=1e-3)


def test_twice_the_scale_repeats_labels_and_blends_images():
    images = torch.tensor([[10, 50], [10, 50]], dtype=torch.uint8).expand(1, 3, 2, 2)
    batch = augment(images, images[:, 0], None, **settings(images, scale=(2.0, 2.0), crop=(4, 4)))
    assert batch.labels[0, 0].tolist() == [10, 10, 50, 50]
    assert batch.images[0, 0, 0].tolist() == pytest.approx([10, 20, 40, 50])


def test_half_the_scale_takes_every_second_label():
    images = torch.arange(8, dtype=torch.uint8).expand(1, 3, 8, 8)
    batch = augment(images, images[:, 0], None, **settings(images, scale=(0.5, 0.5), crop=(4, 4)))
    assert batch.labels[0, 0].tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("crop", [(24, 24), (64, 40)])
def test_image_label_and_confidence_stay_aligned_under_any_draw(crop):
    height, width, block = 48, 36, 12
    rows, columns = torch.arange(height) // block, torch.arange(width) // block
    regions = (20 * (1 + 3 * rows[:, None] + columns)).to(torch.uint8)  # 4 x 3 blocks of different grey
    images = regions.expand(16, 3, height, width)
    changes = dict(scale=(0.5, 1.5), crop=crop, flip=True, draws=draw(3, 0, 0, range(16)))
    batch = augment(images, images[:, 0], images[:, 0], **settings(images, **changes))
    inside = batch.labels != IGNORE
    torch.testing.assert_close(batch.confidence[inside] * 255, batch.labels[inside].float())
    assert (batch.images[:, 0][~inside] == 0).all()
    grey = batch.images[:, 0].round()
    # A blended pixel lies between two blocks; a shift by a pixel would make pixels of one block's grey disagree.
    one_block = inside & (grey == torch.nn.functional.max_pool2d(grey, 3, 1, 1))
    one_block &= grey == -torch.nn.functional.max_pool2d(-grey, 3, 1, 1)
    assert one_block.float().mean() > 0.2
    assert torch.equal(grey[one_block].long(), batch.labels[one_block])
    # At a border the two are at most half a pixel apart, so no more than half the step can lie between them.
    assert (grey - batch.labels)[inside].abs().max() <= 20 * 4 / 2


def test_what_lies_in_the_padding_of_the_batch_is_never_seen():
    images = random_images(6, 20, 30)
    sizes = np.array([[20, 30], [11, 30], [20, 7], [13, 17], [1, 1], [5, 29]])
    changes = dict(sizes=sizes, scale=(0.5, 1.5), crop=(24, 24), flip=True, draws=draw(0, 0, 0, range(6)))
    clean = augment(images, images[:, 0], images[:, 1], **settings(images, **changes))
    for image, (height, width) in zip(images, sizes, strict=True):
        image[:, height:] = 255
        image[:, :, width:] = 255
    dirty = augment(images, images[:, 0], images[:, 1], **settings(images, **changes))
    for before, after in zip(clean, dirty, strict=True):
        assert torch.equal(before, after)
    alone = changes | dict(sizes=sizes[3:4], draws=draw(0, 0, 0, [3]))
    cut = images[3:4, :, :13, :17]
    unpadded = augment(cut, cut[:, 0], cut[:, 1], **settings(cut, **alone))
    assert torch.equal(unpadded.images[0], clean.images[3])
    assert torch.equal(unpadded.labels[0], clean.labels[3])


def test_scaled_sizes_cover_the_range():
    images = torch.full((400, 3, 8, 8), 9, dtype=torch.uint8)
    changes = dict(scale=(0.5, 1.5), crop=(16, 16), draws=draw(0, 0, 0, range(400)))
    batch = augment(images, images[:, 0], None, **settings(images, **changes))
    heights = (batch.labels != IGNORE).any(dim=2).sum(dim=1)
    assert set(heights.tolist()) == set(range(4, 13))
    assert heights.float().mean().item() == pytest.approx(8, abs=0.3)


def test_draws_depend_on_the_sample_and_not_on_its_batch():
    together = draw(7, 1, 2, [3, 4, 5])
    assert np.array_equal(together[1:2], draw(7, 1, 2, [4]))
    assert np.array_equal(together[::-1], draw(7, 1, 2, [5, 4, 3]))


@pytest.mark.parametrize("other", [(8, 1, 2, [3]), (7, 2, 2, [3]), (7, 1, 3, [3]), (7, 1, 2, [4])])
def test_seed_stream_epoch_and_sample_each_change_a_draw(other):
    assert not (draw(7, 1, 2, [3]) == draw(*other)).any()


def test_draws_are_golden():
    assert draw(7, 0, 1, [2])[0].tolist() == [
        0.09947711776473811,
        0.5247499068098906,
        0.29007721258925234,
        0.904293014883872,
    ]


def test_draws_leave_the_global_generators_alone():
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    draw(0, 0, 0, range(4))
    order(0, 0, 0, 10)
    assert np.array_equal(before, np.random.get_state()[1])
    assert torch.equal(torch_before, torch.get_rng_state())


def test_draws_are_uniform():
    draws = draw(0, 0, 0, range(2000))
    assert draws.shape == (2000, 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(draws.T), np.eye(4), atol=0.08)


def test_an_order_visits_every_sample_once_and_anew_each_epoch():
    first, second = order(7, 0, 0, 50), order(7, 0, 1, 50)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, order(7, 0, 0, 50))


def test_an_order_is_golden():
    assert order(7, 0, 0, 8).tolist() == [2, 5, 7, 1, 3, 4, 0, 6]


def test_no_samples_are_no_draws():
    assert draw(0, 0, 0, []).shape == (0, 4)


def test_bad_input_is_refused():
    images = random_images(2, 4, 4)
    with pytest.raises(ValueError, match="seed=-1"):
        draw(-1, 0, 0, [0])
    with pytest.raises(ValueError, match=r"sizes must be \[2, 2\] between 1 and \(4, 4\)"):
        augment(images, images[:, 0], None, **settings(images, sizes=np.array([[4, 4], [5, 4]])))
    with pytest.raises(ValueError, match=r"draws must be \[2, 4\]"):
        augment(images, images[:, 0], None, **settings(images, draws=np.zeros((1, 4))))
    with pytest.raises(ValueError, match=r"labels must be \[2, 4, 4\] or \[2, 1, 1\], but got \[2, 3, 4\]"):
        augment(images, images[:, 0, :3], None, **settings(images))
