"""What MLflow calls to load and ask a logged model; the model's file MLmodel names this module."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmt_ray.deploy.folder import read
from dmt_ray.deploy.image_model import ImageModel


class Served:
    """A model behind MLflow's `predict`."""

    def __init__(self, model: ImageModel) -> None:
        self.model = model

    def predict(self, pictures: NDArray[np.uint8], params: dict[str, Any] | None = None) -> NDArray[np.uint8]:
        """Classes of some pictures of one size.

        Args:
            pictures: uint8 ``[N, H, W, C]``, RGB where C is 3.
            params: None are known.

        Returns:
            uint8 ``[N, H, W]``; in classification ``[N, 1, 1]``.
        """
        return np.stack([self.model(picture) for picture in pictures])


def _load_pyfunc(data_path: str) -> Served:
    network, info = read(Path(data_path))
    return Served(ImageModel([network], info))
