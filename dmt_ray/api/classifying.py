"""Pictures that have one class each: what `dmt predict` makes of them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from dmt_ray.config import Normalised
from dmt_ray.data.decode import Size, resized
from dmt_ray.engine.tiles import Prediction
from dmt_ray.engine.transfer import upload
from dmt_ray.engine.workspace import STATISTICS

CAPTION = 0.12  # height of the line with the class, of the picture's height
LOWEST = 14  # pixels of that line
WIDEST = 0.62  # width of a character, of its height, about


class Classifier:
    """Predicts the class of pictures with one network, or with several whose probabilities are averaged.

    Args:
        networks: From normalised float32 ``[N, 3, H, W]`` to logits ``[N, K, 1, 1]``; eval mode is set here.
        device: Where the networks run.
        normalised: Whose statistics pictures are normalised by.
        size: Working (height, width) of the training; None: the picture's own.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        device: torch.device,
        *,
        normalised: Normalised = "imagenet",
        size: Size = None,
    ) -> None:
        self._networks = [network.to(device).eval() for network in networks]
        self._device, self._size = device, size
        statistics = upload([np.array(STATISTICS[normalised], np.float32)], device)
        self._mean, self._std = statistics.view(2, 3, 1, 1)

    @torch.inference_mode()
    def predict(self, image: Image.Image) -> Prediction:
        """The class of a picture, as that of all its pixels, and its probability as the confidence.

        Args:
            image: RGB.
        """
        pixels = upload([np.array(resized(image, self._size))[np.newaxis]], self._device)
        batch = (pixels.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std
        likely: Tensor = torch.stack([network(batch).softmax(dim=1) for network in self._networks]).mean(dim=0)
        confidence, number = likely.flatten().max(dim=0)
        return Prediction(np.full((image.height, image.width), int(number), np.uint8), float(confidence), {})


def captioned(image: Image.Image, name: str, confidence: float, colour: NDArray[np.uint8]) -> Image.Image:
    """A picture with a line below it, in the class's colour, that names the class and its probability in percent."""
    text = f"{name} {100 * confidence:.0f} %"
    height = max(LOWEST, round(CAPTION * image.height))
    made = Image.new("RGB", (image.width, image.height + height), tuple(colour.tolist()))
    made.paste(image, (0, 0))
    size = min(0.7 * height, image.width / (WIDEST * len(text)))
    ink = "black" if colour.mean() > 127 else "white"
    place = (image.width / 2, image.height + height / 2)
    ImageDraw.Draw(made).text(place, text, ink, ImageFont.load_default(max(4.0, size)), anchor="mm")
    return made
