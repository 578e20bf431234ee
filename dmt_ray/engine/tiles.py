"""Prediction of whole pictures of any size, in overlapping tiles whose seams are blended.

Probabilities are reduced to classes while the tiles are stitched, in bands as high as a row of tiles: the probabilities
of a whole picture are never in memory.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.config import IMAGENET, Normalisation
from dmt_ray.data.decode import Size, resized
from dmt_ray.engine.transfer import upload
from dmt_ray.engine.workspace import on_device
from dmt_ray.errors import ConfigError, ModelError

Map = Literal["confidence", "entropy", "disagreement"]
MAPS: tuple[Map, ...] = ("confidence", "entropy", "disagreement")
PIXELS = 512 * 512  # of the tiles in a forward pass, or those of one tile: bounds the memory of activations


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut, and in how many views a network sees each tile.

    Attributes:
        tile: Height and width of a tile in pixels.
        overlap: Smallest overlap of neighbours as a fraction of the tile, in ``[0, 1)``.
        flip: Whether each view is also seen mirrored, left for right.
        scales: Factors by which tiles are resized before the network sees them; its logits are resized back.
    """

    tile: tuple[int, int]
    overlap: float = 0.25
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        """Raise a ConfigError for what is out of range."""
        if min(self.tile) < 1:
            raise ConfigError(f"a tile has at least 1 pixel a side, but got {self.tile[0]} x {self.tile[1]}")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"the overlap of tiles is a fraction of at least 0 and below 1, but got {self.overlap}")
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ConfigError(f"scales are positive factors such as 0.75 1 1.25, but got {list(self.scales)}")


def cut(length: int, tile: int, overlap: float) -> tuple[list[int], Tensor]:
    """Where the tiles along one side of a picture begin, and how much each of their pixels counts.

    The fewest tiles that overlap by at least the fraction are spread evenly. A side of 110 pixels in tiles of 64 with
    an overlap of 1/4 (16 pixels, so steps of at most 48) takes 1 + ceil((110 - 64) / 48) = 2 tiles, at 0 and 46, which
    share 18 pixels.

    From a border that it shares with a neighbour, a tile's weight rises linearly over the v shared pixels:
    1 / (v + 1), 2 / (v + 1), ..., v / (v + 1), then 1; at the picture's own border it is 1. Where tiles overlap, their
    weights are divided by their sum. Two tiles that share 3 pixels have 3/4, 2/4, 1/4 and 1/4, 2/4, 3/4 there.

    Args:
        length: Of the picture's side, in pixels.
        tile: Of the tile's side, in pixels.
        overlap: Fraction in ``[0, 1)``.

    Returns:
        The first pixel of each of n tiles, and weights, float32 ``[n, min(tile, length)]``. The weights of a picture's
        pixel add up to 1.
    """
    if length <= tile:
        return [0], torch.ones(1, length)
    step = max(1, tile - math.ceil(tile * overlap))
    count = 1 + math.ceil((length - tile) / step)
    begins = [round(i * (length - tile) / (count - 1)) for i in range(count)]
    weights = torch.ones(count, tile, dtype=torch.float64)
    for i, (first, second) in enumerate(pairwise(begins)):
        shared = first + tile - second
        ramp = torch.arange(1, shared + 1, dtype=torch.float64) / (shared + 1)
        weights[i, tile - shared :] = weights[i, tile - shared :].minimum(ramp.flip(0))
        weights[i + 1, :shared] = weights[i + 1, :shared].minimum(ramp)
    total = torch.zeros(length, dtype=torch.float64)
    for begin, row in zip(begins, weights, strict=True):
        total[begin : begin + tile] += row
    each = [row / total[begin : begin + tile] for begin, row in zip(begins, weights, strict=True)]
    return begins, torch.stack(each).float()


def tiles_together(height: int, width: int) -> int:
    """How many tiles of this size go through a network at once."""
    return max(1, PIXELS // (height * width))


def most_likely(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """The highest probability of each pixel and its class; of classes that are equally likely the first.

    This is what `Tensor.max` gives, which on a CPU compares one number at a time and takes three times as long.

    Args:
        probabilities: ``[K, h, W]`` of at most 255 classes.

    Returns:
        ``[h, W]`` of the same dtype, and uint8 ``[h, W]``.
    """
    count, highest = len(probabilities), probabilities.amax(dim=0)
    before_end = torch.zeros(highest.shape, dtype=torch.uint8, device=highest.device)  # K minus the class
    for number, each in enumerate(probabilities):
        torch.maximum(before_end, (each == highest).byte() * (count - number), out=before_end)
    return highest, count - before_end


@dataclass(frozen=True)
class Band:
    """Some rows of a picture, over its whole width; tensors on the device."""

    top: int  # row of the picture that is the band's first
    classes: Tensor  # uint8 ``[h, W]``
    maps: dict[Map, Tensor]  # float32 ``[h, W]`` in ``[0, 1]``; the confidence is always among them


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is predicted for a picture, at its own size."""

    classes: NDArray[np.uint8]  # ``[H, W]``
    confidence: float  # mean over the picture, in ``[0, 1]``
    maps: dict[Map, NDArray[np.uint8]]  # those that were requested, ``[H, W]``; 255 stands for 1


class Predictor:
    """Predicts pictures with one network, or with several whose probabilities are averaged.

    The probabilities of a pixel are softmax outputs, averaged over views, networks and (weighted by `cut`) tiles; its
    class is the most likely one. A picture that fits in one tile, seen once by one network, gets the network's own
    decision, as `inference.WholeImages` makes it. The maps of a pixel are

    - confidence: the highest probability, between 1 / K and 1;
    - entropy: that of the K probabilities, divided by log K: 0 is certain, 1 is undecided between all classes;
    - disagreement: half the sum of the differences ``|p_A - p_B|`` of two networks' probabilities (total variation):
      0 where both say the same, 1 where they are certain of different classes.

    Args:
        networks: From normalised float32 ``[N, C, H, W]`` to logits ``[N, K, H, W]``; eval mode is set here.
        tiling: How pictures are cut.
        device: Where the networks run.
        normalisation: What pictures are normalised by.
        size: Working (height, width) of the training; pictures are resized to it as the data were, and what is
            predicted is resized back: classes to the nearest pixel, maps bilinearly. None: the picture's own.
        maps: Which maps are kept.
        progress: Called with the share of a picture's tiles that the networks have seen, after each forward pass.

    Raises:
        ConfigError: If the disagreement of other than two networks is requested.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        tiling: Tiling,
        device: torch.device,
        *,
        normalisation: Normalisation = IMAGENET,
        size: Size = None,
        maps: Collection[Map] = (),
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        if "disagreement" in maps and len(networks) != 2:
            raise ConfigError(
                f"disagreement is that of two models, A and B, but there is {len(networks)}. Leave it out of --save, "
                "or name a run of a method that trains two, such as dmt"
            )
        self._networks = [(network.to(device).eval(), models.padding_of(network)) for network in networks]
        self._tiling, self._device, self._size, self._maps = tiling, device, size, tuple(dict.fromkeys(maps))
        self._mean, self._std = (values.view(-1, 1, 1) for values in on_device(normalisation, device))
        self._progress = progress
        self._room: Tensor | None = (
            None  # for probabilities, reused: a CPU takes longer to get new memory than to compute
        )

    def predict(self, image: NDArray[np.uint8]) -> Prediction:
        """Predict a picture.

        Args:
            image: uint8 ``[H, W, C]``, RGB where C is 3.

        Raises:
            ModelError: If a network's logits are not finite.
        """
        pixels = resized(image, self._size)
        classes = np.empty(pixels.shape[:2], np.uint8)
        maps: dict[Map, NDArray[np.uint8]] = {name: np.empty_like(classes) for name in self._maps}
        confidence = 0.0
        for band in self.bands(pixels):
            rows = slice(band.top, band.top + len(band.classes))
            classes[rows] = band.classes.cpu().numpy()
            confidence += float(band.maps["confidence"].sum(dtype=torch.float64))
            for name, values in maps.items():
                values[rows] = (255 * band.maps[name]).round().clamp(0, 255).byte().cpu().numpy()
        return Prediction(
            _brought_to(classes, image.shape, Image.Resampling.NEAREST),
            confidence / classes.size,
            {name: _brought_to(values, image.shape, Image.Resampling.BILINEAR) for name, values in maps.items()},
        )

    @torch.inference_mode()
    def bands(self, pixels: NDArray[np.uint8]) -> Iterator[Band]:
        """Predict a picture at working size, from the top down.

        Args:
            pixels: ``[H, W, C]``.

        Yields:
            Bands that follow each other and cover the picture.

        Raises:
            ModelError: If a network's logits are not finite.
        """
        height, width = pixels.shape[:2]
        tops, down = cut(height, self._tiling.tile[0], self._tiling.overlap)
        lefts, across = cut(width, self._tiling.tile[1], self._tiling.overlap)
        high, wide = down.shape[1], across.shape[1]
        down, across = down.to(self._device), across.to(self._device)
        sums: Tensor | None = None
        together = tiles_together(high, wide)
        for i, top in enumerate(tops):
            for first in range(0, len(lefts), together):
                chosen = range(first, min(first + together, len(lefts)))
                tiles = [pixels[np.newaxis, top : top + high, lefts[j] : lefts[j] + wide] for j in chosen]
                probabilities = self.probabilities(tiles)
                if sums is None:
                    groups, _, classes = probabilities.shape[:3]
                    sums = torch.zeros(groups, classes, high, width, device=self._device)
                for n, j in enumerate(chosen):
                    weights = down[i, :, None] * across[j]
                    sums[..., lefts[j] : lefts[j] + wide].addcmul_(probabilities[:, n], weights)
                self._progress((i + chosen.stop / len(lefts)) / len(tops))
            assert sums is not None
            done = (tops[i + 1] if i + 1 < len(tops) else height) - top
            yield self._reduced(top, sums[:, :, :done])
            rest = high - done
            for first in range(0, rest, done):  # pieces that do not overlap with where they go
                last = min(first + done, rest)
                sums[:, :, first:last] = sums[:, :, first + done : last + done]
            sums[:, :, rest:] = 0

    @torch.inference_mode()
    def probabilities(self, tiles: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Class probabilities of tiles of one size, averaged over all views.

        Args:
            tiles: ``[1, h, w, C]`` each.

        Returns:
            float32 ``[G, N, K, h, w]`` on the device: G is 2 where disagreement was requested, a network each; else 1,
            the mean over the networks. The next call overwrites it.

        Raises:
            ModelError: If the networks differ in their number of classes.
        """
        batch = upload([np.concatenate(tiles)], self._device).permute(0, 3, 1, 2).float() / 255
        views = [
            (scale, mirrored) for scale in self._tiling.scales for mirrored in (False, True)[: 1 + self._tiling.flip]
        ]
        networks = len(self._networks)
        room: Tensor | None = None
        for i, (network, padding) in enumerate(self._networks):
            for v, view in enumerate(views):
                logits = self._logits(batch, network, padding, *view)
                if room is None:
                    room = self._room_for(networks + (len(views) > 1), logits)
                if room.shape[1:] != logits.shape:
                    raise ModelError(
                        f"the models differ in their numbers of classes: {room.shape[2]}, {logits.shape[1]}"
                    )
                torch.softmax(logits, dim=1, out=room[i if v == 0 else networks])
                if v > 0:
                    room[i] += room[networks]
            assert room is not None
            if len(views) > 1:
                room[i] /= len(views)
        assert room is not None
        if networks == 1 or "disagreement" in self._maps:
            return room[:networks]
        for i in range(1, networks):
            room[0] += room[i]
        room[0] /= networks
        return room[:1]

    def _room_for(self, count: int, logits: Tensor) -> Tensor:
        """Reused memory for so many tensors of the shape of some logits, ``[count, N, K, h, w]``."""
        tiles, *shape = logits.shape
        if self._room is None or self._room.shape[1] < tiles or [*self._room.shape[2:]] != shape:
            self._room = torch.empty(count, tiles, *shape, device=logits.device)
        return self._room[:, :tiles]

    def _logits(
        self, batch: Tensor, network: nn.Module, padding: models.Padding, scale: float, mirrored: bool
    ) -> Tensor:
        """A network's logits from one view of tiles, ``[N, K, h, w]``."""
        size = batch.shape[-2:]
        height, width = (max(1, round(side * scale)) for side in size)
        if (height, width) != size:
            batch = nn.functional.interpolate(batch, (height, width), mode="bilinear", antialias=True)
        if mirrored:
            batch = batch.flip(-1)
        batch = nn.functional.pad(batch, padding.of(height, width))
        normalised = ((batch - self._mean) / self._std).to(memory_format=torch.channels_last)
        logits: Tensor = network(normalised)[..., :height, :width].float()
        if mirrored:
            logits = logits.flip(-1)
        if (height, width) != size:
            logits = nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits

    def _reduced(self, top: int, sums: Tensor) -> Band:
        probabilities = sums[0] if len(sums) == 1 else sums.mean(dim=0)
        confidence, classes = most_likely(probabilities)
        if not bool(confidence.isfinite().all()):
            raise ModelError("the model's logits are not finite; its training has diverged")
        maps: dict[Map, Tensor] = {"confidence": confidence}
        if "entropy" in self._maps:
            maps["entropy"] = torch.special.entr(probabilities).sum(dim=0) / math.log(len(probabilities))
        if "disagreement" in self._maps:
            maps["disagreement"] = (sums[0] - sums[1]).abs_().sum(dim=0) / 2
        return Band(top, classes, maps)


def _brought_to(values: NDArray[np.uint8], shape: tuple[int, ...], how: Image.Resampling) -> NDArray[np.uint8]:
    """What was predicted at working size, at the size of a picture of this shape."""
    height, width = shape[:2]
    if values.shape == (height, width):
        return values
    return np.asarray(Image.fromarray(values).resize((width, height), how))
