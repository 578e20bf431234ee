"""What MLflow calls to load and ask a logged model; the model's file MLmodel names this module."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmt_ray.deploy.folder import read
from dmt_ray.deploy.image_model import ImageModel
from dmt_ray.errors import ConfigError


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

        Raises:
            ConfigError: If they are anything else.
        """
        if not isinstance(pictures, np.ndarray) or pictures.ndim != 4 or 0 in pictures.shape:
            shape = list(pictures.shape) if isinstance(pictures, np.ndarray) else type(pictures).__name__
            raise ConfigError(f"pictures are an array uint8 [N, height, width, 3] without empty sides, but got {shape}")
        return np.stack([self.model(picture) for picture in pictures])


def _load_pyfunc(data_path: str) -> Served:
    network, info = read(Path(data_path))
    return Served(ImageModel([network], info))
