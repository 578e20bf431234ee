"""The class of pictures that have one each."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dmt_ray.config import IMAGENET, Normalisation
from dmt_ray.data.decode import Size, resized
from dmt_ray.engine.tiles import Prediction
from dmt_ray.engine.transfer import upload
from dmt_ray.engine.workspace import on_device


class Classifier:
    """Predicts the class of pictures with one network, or with several whose probabilities are averaged.

    Args:
        networks: From normalised float32 ``[N, C, H, W]`` to logits ``[N, K, 1, 1]``; eval mode is set here.
        device: Where the networks run.
        normalisation: What pictures are normalised by.
        size: Working (height, width) of the training; None: the picture's own.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        device: torch.device,
        *,
        normalisation: Normalisation = IMAGENET,
        size: Size = None,
    ) -> None:
        self._networks = [network.to(device).eval() for network in networks]
        self._device, self._size = device, size
        self._mean, self._std = (values.view(-1, 1, 1) for values in on_device(normalisation, device))

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8]) -> Prediction:
        """The class of a picture, ``[1, 1]``, and its probability as the confidence.

        Args:
            image: uint8 ``[H, W, C]``, RGB where C is 3.
        """
        pixels = upload([np.array(resized(image, self._size))[np.newaxis]], self._device)
        batch = (pixels.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std
        likely: Tensor = torch.stack([network(batch).softmax(dim=1) for network in self._networks]).mean(dim=0)
        confidence, number = likely.flatten().max(dim=0)
        return Prediction(np.full((1, 1), int(number), np.uint8), float(confidence), {})
