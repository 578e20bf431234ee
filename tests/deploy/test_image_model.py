"""Pixels in, classes out."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dmt_ray.config import Model
from dmt_ray.deploy.image_model import ImageModel
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.deploy.served import Served
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.models import Padding

INFO = ModelInfo(
    name="toy",
    model=Model(architecture="UNet", encoder="none"),
    classes=("dark", "bright"),
    palette=((0, 0, 0), (255, 255, 255)),
    crop=(8, 8),
    key="",
    data=DataUsed(name="toy"),
)


class Brightness(nn.Module):
    """Dark pixels are of class 0, bright ones of class 1; or the mean of all pixels decides."""

    padding = Padding(1)

    def __init__(self, whole=False):
        super().__init__()
        self.whole = whole

    def forward(self, images):
        bright = images.sum(dim=1, keepdim=True)
        if self.whole:
            bright = bright.mean(dim=(2, 3), keepdim=True)
        return torch.cat([-bright, bright], dim=1)


@pytest.fixture
def pixels():
    """The right half is bright."""
    pixels = np.zeros((6, 20, 3), np.uint8)
    pixels[:, 10:] = 255
    return pixels


def test_an_array_an_image_and_a_file_give_the_same_classes(pixels, tmp_path):
    model = ImageModel([Brightness()], INFO, device="cpu")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for picture in (pixels, Image.fromarray(pixels), tmp_path / "a.png", str(tmp_path / "a.png")):
        classes = model(picture)
        assert (classes.shape, classes.dtype) == ((6, 20), np.uint8)
        assert classes[0].tolist() == [0] * 10 + [1] * 10
    assert model.classes[classes[0, 19]] == "bright"


def test_a_picture_is_resized_to_the_working_size_and_classes_back(pixels):
    seen = []

    class Sizes(Brightness):
        def forward(self, images):
            seen.append(tuple(images.shape[-2:]))
            return super().forward(images)

    model = ImageModel([Sizes()], INFO.evolve(size=(3, 8)), device="cpu")
    assert model(pixels).shape == (6, 20)
    assert seen == [(3, 8)]


def test_maps_and_confidence_come_with_predict(pixels):
    prediction = ImageModel([Brightness()], INFO, device="cpu", maps=["confidence"]).predict(pixels)
    assert prediction.maps["confidence"].shape == (6, 20)
    assert prediction.confidence > 0.9


def test_in_classification_an_image_has_one_class(pixels):
    info = INFO.evolve(task="classification", size=(4, 4), crop=None)
    model = ImageModel([Brightness(whole=True)], info, device="cpu")
    assert model(np.full((5, 5, 3), 255, np.uint8)).tolist() == [[1]]
    assert model(np.zeros((5, 5, 3), np.uint8)).tolist() == [[0]]
    assert Served(model).predict(np.stack([pixels, pixels])).shape == (2, 1, 1)


def test_pictures_of_another_kind_are_errors_that_say_what_was_given(pixels, tmp_path):
    model = ImageModel([Brightness()], INFO, device="cpu")
    with pytest.raises(ConfigError, match=r"uint8 \[height, width, 3\] in 0..255, but got float32 \[6, 20, 3\]"):
        model(pixels.astype(np.float32))
    with pytest.raises(ConfigError, match=r"but got uint8 \[6, 20\]"):
        model(pixels[..., 0])
    with pytest.raises(ConfigError, match="but got int"):
        model(7)
    with pytest.raises(DataError, match="No such file"):
        model(tmp_path / "nowhere.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a PNG"):
        model(tmp_path / "broken.png")
    with pytest.raises(ConfigError, match="which crops it was trained on"):
        ImageModel([Brightness()], INFO.evolve(crop=None), device="cpu")
