"""Whole pictures in tiles: where tiles lie, how seams are blended, and that one tile is the plain network."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from dmt_ray.config import IMAGENET
from dmt_ray.data.dataset import Dataset
from dmt_ray.data.images import Images
from dmt_ray.engine import tiles
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.tiles import Predictor, Tiling, cut, most_likely
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import ConfigError, ModelError
from dmt_ray.models import Padding

CPU = torch.device("cpu")


class Toy(nn.Module):
    """A network of one convolution that takes any size."""

    padding = Padding(1)

    def __init__(self, weights, bias=None):
        super().__init__()
        weights = torch.as_tensor(weights, dtype=torch.float32)
        self.layer = nn.Conv2d(3, len(weights), weights.shape[-1], padding="same")
        self.layer.weight.data, self.layer.bias.data = weights, torch.zeros(len(weights)) if bias is None else bias

    def forward(self, images):
        return self.layer(images)


def brightness(factor=1.0):
    """Two classes, dark and bright, whose logits are the opposite of each other."""
    return Toy(factor * torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1))


def constant(probability):
    """A network that always gives class 1 this probability."""
    return Toy(torch.zeros(2, 3, 1, 1), torch.tensor([1 - probability, probability]).log())


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_a_side_of_110_takes_two_tiles_of_64_at_0_and_46():
    begins, weights = cut(110, 64, 0.25)
    assert begins == [0, 46]
    assert weights[0, :46].eq(1).all()  # which the first tile has for itself
    assert torch.allclose(weights[0, 46:], torch.arange(18, 0, -1) / 19)  # and the 18 pixels that both have


def test_two_tiles_that_share_three_pixels_fade_in_quarters():
    begins, weights = cut(7, 5, 0.5)
    assert begins == [0, 2]
    assert weights.tolist() == [[1, 1, 0.75, 0.5, 0.25], [0.25, 0.5, 0.75, 1, 1]]


@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 110, 500])
def test_weights_of_every_pixel_add_up_to_one(length, overlap):
    begins, weights = cut(length, 64, overlap)
    total = torch.zeros(length)
    for begin, row in zip(begins, weights, strict=True):
        total[begin : begin + 64] += row
    assert torch.allclose(total, torch.ones(length), atol=1e-6)
    assert all(second - first <= max(1, 64 - 64 * overlap) for first, second in pairwise(begins))


def test_a_picture_in_one_tile_gets_the_decisions_of_the_plain_network():
    torch.manual_seed(0)
    network = Toy(torch.randn(5, 3, 3, 3))
    network.padding = Padding(32)
    pixels = noise(50, 70)
    images = Images(
        ("a",),
        np.array([[50, 70]], np.int32),
        np.array([0, 3500]),
        pixels.reshape(-1, 3),
        np.zeros(3500, np.uint8),
        np.ones(1, bool),
    )
    dataset = Dataset("toy", tuple("abcde"), np.zeros((5, 3), np.uint8), "", {"test": images}, None)
    logits = WholeImages(network, Workspace(dataset), images).logits([0])[0]
    prediction = Predictor([network], Tiling((70, 70)), CPU).predict(pixels)
    assert (prediction.classes == logits.argmax(dim=0).numpy()).all()
    assert prediction.confidence == pytest.approx(float(logits.softmax(dim=0).max(dim=0).values.mean()))


@pytest.mark.parametrize("tile", [(16, 16), (10, 23), (1, 1)])
def test_tiles_of_a_network_that_sees_single_pixels_agree_with_the_whole_picture(tile):
    pixels = noise(37, 53)
    bright = (pixels / 255 - IMAGENET.mean) / IMAGENET.std
    prediction = Predictor([brightness()], Tiling(tile), CPU).predict(pixels)
    assert (prediction.classes == (bright.sum(axis=2) > 0)).all()


def test_far_from_seams_a_network_that_sees_neighbours_agrees_with_the_whole_picture():
    torch.manual_seed(0)
    network, pixels = Toy(torch.randn(3, 3, 3, 3)), noise(8, 24)
    whole, tiled = (Predictor([network], Tiling((8, side)), CPU) for side in (24, 16))
    (a,), (b,) = list(whole.bands(pixels)), list(tiled.bands(pixels))
    confidences = [band.maps["confidence"] for band in (a, b)]
    # Tiles at 0 and 8 share the columns 8 to 15: their outermost columns, 8 and 15, miss a neighbour.
    seen = [x for x in range(24) if x not in (8, 15)]
    assert torch.allclose(confidences[0][:, seen], confidences[1][:, seen], atol=1e-6)
    # There they count 1/9, and so no probability is off by more than that.
    assert (confidences[0] - confidences[1]).abs().max() <= 1 / 9


def test_a_seam_between_tiles_that_disagree_is_a_ramp(monkeypatch):
    """A first tile that is certain of class 0, a second that is certain of class 1."""
    predictor = Predictor([brightness()], Tiling((1, 5), 0.5), CPU)
    both = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, :, :, None, None].expand(1, 2, 2, 1, 5)
    monkeypatch.setattr(predictor, "probabilities", lambda _: both)
    (band,) = predictor.bands(noise(1, 7))
    assert band.maps["confidence"].tolist() == [[1, 1, 0.75, 0.5, 0.75, 1, 1]]
    assert band.classes.tolist() == [[0, 0, 0, 0, 1, 1, 1]]


def test_two_networks_are_averaged_and_their_disagreement_is_half_the_difference():
    names = ("confidence", "entropy", "disagreement")
    predictor = Predictor([constant(0.9), constant(0.5)], Tiling((4, 4)), CPU, maps=names)
    band = next(predictor.bands(noise(6, 6)))
    assert band.classes.eq(1).all()
    assert torch.allclose(band.maps["confidence"], torch.tensor(0.7))
    assert torch.allclose(band.maps["disagreement"], torch.tensor(0.4))  # (0.4 + 0.4) / 2
    assert torch.allclose(band.maps["entropy"], torch.tensor(0.8813), atol=1e-4)  # of 0.7 and 0.3, in bits


def test_of_two_networks_each_keeps_its_own_probabilities_where_disagreement_is_wanted():
    predictor = Predictor([constant(0.9), constant(0.5)], Tiling((4, 4), flip=True), CPU, maps=["disagreement"])
    each = predictor.probabilities([noise(4, 4)[np.newaxis]] * 3)
    assert torch.allclose(each[:, :, 1], torch.tensor([0.9, 0.5]).view(2, 1, 1, 1).expand(2, 3, 4, 4))


def test_memory_is_reused_from_batch_to_batch_and_from_picture_to_picture(monkeypatch):
    """Six pictures of two sizes on one predictor are what each is on a predictor of its own."""
    monkeypatch.setattr(tiles, "PIXELS", 200)  # three tiles of 64 pixels go through the network at once
    torch.manual_seed(0)
    networks = [Toy(torch.randn(5, 3, 3, 3)), Toy(torch.randn(5, 3, 3, 3))]
    tiling = Tiling((8, 8), flip=True)
    shared = Predictor(networks, tiling, CPU)
    for height, width in [(20, 33), (5, 7), (20, 33), (8, 8), (40, 9), (5, 7)]:
        one = Predictor(networks, tiling, CPU).predict(noise(height, width))
        again = shared.predict(noise(height, width))
        assert (again.classes == one.classes).all()
        assert again.confidence == one.confidence


def test_networks_of_different_classes_are_an_error():
    with pytest.raises(ModelError, match="differ in their numbers of classes: 2, 3"):
        Predictor([constant(0.5), Toy(torch.zeros(3, 3, 1, 1))], Tiling((4, 4)), CPU).predict(noise(4, 4))


def test_of_classes_that_are_equally_likely_the_first_is_taken():
    confidence, classes = most_likely(torch.tensor([[[0.2, 0.5, 0.1]], [[0.4, 0.5, 0.1]], [[0.4, 0.0, 0.8]]]))
    assert classes.tolist() == [[1, 0, 2]]
    assert torch.equal(confidence, torch.tensor([[0.4, 0.5, 0.8]]))


def test_the_most_likely_of_255_classes_is_what_the_maximum_says():
    probabilities = torch.randn(255, 9, 11, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    expected, at = probabilities.max(dim=0)
    confidence, classes = most_likely(probabilities)
    assert torch.equal(confidence, expected)
    assert torch.equal(classes.long(), at)


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.8])
def test_rows_that_wait_for_the_next_band_stay_in_their_order(overlap):
    """Each row of the picture has a brightness of its own, which its probabilities tell."""
    rows = np.repeat(np.arange(0, 250, 10, dtype=np.uint8)[:, None, None], 3, axis=2)
    whole, tiled = (Predictor([brightness(0.1)], Tiling(tile, overlap), CPU) for tile in ((25, 1), (10, 1)))
    expected = next(whole.bands(rows)).maps["confidence"]
    assert torch.allclose(torch.cat([band.maps["confidence"] for band in tiled.bands(rows)]), expected, atol=1e-6)


def test_a_network_that_is_undecided_has_entropy_one():
    prediction = Predictor([constant(0.5)], Tiling((4, 4)), CPU, maps=["entropy"]).predict(noise(4, 4))
    assert (prediction.maps["entropy"] == 255).all()


def test_disagreement_needs_two_models():
    with pytest.raises(ConfigError, match="disagreement is that of two models, A and B, but there is 1"):
        Predictor([constant(0.5)], Tiling((4, 4)), CPU, maps=["disagreement"])


def test_a_picture_is_predicted_at_the_working_size_and_brought_back():
    """Four quarters of 2 x 2 pixels, at a working size of a pixel each."""
    small = np.array([[0, 255], [255, 0]], np.uint8)
    large = np.kron(small, np.ones((20, 20), np.uint8))
    image = np.repeat(large[..., None], 3, axis=2)
    prediction = Predictor([brightness()], Tiling((2, 2)), CPU, size=(2, 2)).predict(image)
    assert (prediction.classes == large // 255).all()


def test_a_network_that_looks_to_its_left_sees_both_sides_with_flips():
    """Class 1 where the left neighbour is bright; mirrored, where the right one is."""
    kernel = torch.zeros(2, 3, 3, 3)
    kernel[1, :, 1, 0] = 100
    pixels = np.zeros((1, 3, 3), np.uint8)
    pixels[0, 1] = 255
    plain, flipped = (Predictor([Toy(kernel)], Tiling((3, 3), flip=flip), CPU) for flip in (False, True))
    (a,), (b,) = list(plain.bands(pixels)), list(flipped.bands(pixels))
    assert a.classes.tolist()[0][2] == 1
    # The pixel on the left is the mirror image of the one on the right, which only the flipped view knows.
    assert a.maps["confidence"][0, 0] != a.maps["confidence"][0, 2]
    assert b.maps["confidence"][0, 0] == b.maps["confidence"][0, 2]


def test_scales_of_an_even_picture_change_nothing():
    pixels = np.full((9, 14, 3), 200, np.uint8)
    plain, scaled = (
        list(Predictor([brightness(0.1)], Tiling((8, 8), scales=scales), CPU).bands(pixels))
        for scales in ((1.0,), (0.75, 1.0, 1.25))
    )
    for a, b in zip(plain, scaled, strict=True):
        assert torch.allclose(a.maps["confidence"], b.maps["confidence"], atol=1e-5)


def test_no_more_than_a_row_of_tiles_is_in_memory(monkeypatch):
    made = []
    zeros = torch.zeros
    monkeypatch.setattr(tiles.torch, "zeros", lambda *size, **more: made.append(size) or zeros(*size, **more))
    bands = list(Predictor([brightness()], Tiling((8, 8)), CPU).bands(noise(100, 20)))
    assert (1, 2, 8, 20) in made
    assert all(len(size) < 4 or size[2] <= 8 for size in made)
    assert [band.top for band in bands][:3] == [0, 6, 12]
    assert sum(len(band.classes) for band in bands) == 100


def test_how_far_a_picture_is_is_said_after_each_forward_pass(monkeypatch):
    shares = []
    monkeypatch.setattr(tiles, "PIXELS", 2 * 8 * 8)  # two tiles at once
    predictor = Predictor([brightness()], Tiling((8, 8)), CPU, progress=shares.append)
    predictor.predict(noise(14, 20))  # 2 rows of 3 tiles
    assert shares == pytest.approx([2 / 6, 3 / 6, 5 / 6, 6 / 6])


def test_logits_that_are_not_finite_are_an_error():
    with pytest.raises(ModelError, match="not finite"):
        Predictor([brightness(float("nan"))], Tiling((4, 4)), CPU).predict(noise(4, 4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": (0, 4)}, "at least 1 pixel a side, but got 0 x 4"),
        ({"overlap": 1.0}, "below 1, but got 1.0"),
        ({"scales": (0.5, 0)}, r"positive factors .* but got \[0.5, 0\]"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Tiling(**{"tile": (4, 4), **settings})
