"""Pixels in, classes out: networks with all that stands between them and a picture."""

from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from dmt_ray.config import COLOURS
from dmt_ray.data.decode import picture_of
from dmt_ray.data.pictures import Unfit
from dmt_ray.deploy.model_info import ModelInfo
from dmt_ray.engine.classifier import Classifier
from dmt_ray.engine.tiles import Map, Prediction, Predictor, Tiling
from dmt_ray.engine.workspace import device_of
from dmt_ray.errors import ConfigError, DataError

Picture = Image.Image | NDArray[np.uint8] | str | PathLike[str]


class ImageModel:
    """One trained network, or several whose probabilities are averaged.

    ::

        model = dmt_ray.load_model("dmt-shapes")
        classes = model("picture.jpg")
        model.classes[classes[0, 0]]

    Args:
        networks: On the CPU; they take the same pictures.
        info: What is known of the first one.
        tiling: How pictures are cut; None: into tiles as large as the crops of the training.
        device: "auto", "cpu", "cuda", ...
        maps: What `predict` gives beside classes: "confidence", "entropy", "disagreement".

    Attributes:
        classes: Names of the classes.
        palette: Their RGB colours, uint8 ``[K, 3]``.
        info: What is known of the model.

    Raises:
        ConfigError: If no tiling is given, and the crops are not known.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        info: ModelInfo,
        *,
        tiling: Tiling | None = None,
        device: str = "auto",
        maps: Collection[Map] = (),
    ) -> None:
        self.info, self.classes, self.palette = info, info.classes, np.array(info.palette, np.uint8)
        self._device = device_of(device)
        self._networks = [network.to(self._device).eval() for network in networks]
        how: dict[str, Any] = {"normalisation": info.normalisation, "size": info.size}
        self._predictor: Predictor | Classifier
        if info.task == "segmentation":
            self._predictor = Predictor(self._networks, tiling or default_tiling(info), self._device, maps=maps, **how)
        else:
            self._predictor = Classifier(self._networks, self._device, **how)

    def __call__(self, picture: Picture) -> NDArray[np.uint8]:
        """The class of every pixel, ``[H, W]`` of the picture's own size; in classification ``[1, 1]``.

        Args:
            picture: A PIL image, an array uint8 ``[H, W, C]``, or the path of a file; RGB where C is 3.

        Raises:
            ConfigError: If an array is of another kind.
            DataError: If the file cannot be read.
            ModelError: If a network's logits are not finite.
        """
        return self.predict(picture).classes

    def predict(self, picture: Picture) -> Prediction:
        """Classes, the mean confidence, and the maps that were asked for; see `__call__`."""
        return self._predictor.predict(_pixels(picture, self.info))

    def __repr__(self) -> str:
        count = len(self._networks)
        kind = f"{count} networks" if count > 1 else self.info.network
        return f"<ImageModel {self.info.name}: {kind}, {len(self.classes)} classes>"


def default_tiling(info: ModelInfo) -> Tiling:
    """Tiles as large as the crops of the training, with the usual overlap.

    Raises:
        ConfigError: If the crops are not known.
    """
    if info.crop is None:
        raise ConfigError(f"{info.name} does not say which crops it was trained on; give the side of a tile (--tile)")
    return Tiling(info.crop)


def _pixels(picture: Picture, info: ModelInfo) -> NDArray[np.uint8]:
    """A picture's pixels, ``[H, W, C]``."""
    if isinstance(picture, Image.Image):
        image = picture.convert("RGB") if info.channels == COLOURS else picture
        picture = np.atleast_3d(np.asarray(image))
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != info.channels:
            raise ConfigError(
                f"a picture as an array is uint8 [height, width, {info.channels}] in 0..255, but got {picture.dtype} "
                f"{list(picture.shape)}"
            )
        return picture
    if not isinstance(picture, str | PathLike):
        raise ConfigError(f"a picture is an image, an array or the path of a file, but got {type(picture).__name__}")
    try:
        return picture_of(Path(picture).read_bytes(), info.data.settings)
    except OSError as error:
        raise DataError(f"{picture} cannot be read ({error.strerror})") from None
    except Unfit as unfit:
        raise DataError(f"{picture} cannot be used: {unfit.args[0]} ({unfit.args[1]})") from None
