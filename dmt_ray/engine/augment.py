"""Random scale, crop and flip of a whole batch on its device, and the random numbers behind them.

The random numbers are counter based: those of a sample follow from (seed, stream, epoch, sample) alone. So they do not
depend on the batch a sample is in, on the worker that trains it or on what was drawn before, and training goes on after
a crash as if nothing had happened.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.engine.ranking import from_byte
from dmt_ray.engine.transfer import upload

DRAWS = 4  # random numbers of a sample: scale, row, column, flip

# The last word of the generator's counter, which keeps the uses of one (seed, stream, epoch) apart.
FOR_SAMPLES, _FOR_ORDER, FOR_STRONG, FOR_MIXUP, FOR_BOXES, FOR_LOTS = range(6)


def draw(
    seed: int, stream: int, epoch: int, samples: Sequence[int], *, numbers: int = DRAWS, use: int = FOR_SAMPLES
) -> NDArray[np.float64]:
    """Random numbers for the augmentation of some samples.

    Args:
        seed: 0 or more, below 2**64.
        stream: Number of the list that is drawn from, so that the labelled and the pseudo-labelled list differ.
        epoch: 0 or more.
        samples: Places in the epoch's order, not numbers of images: a short list that is cycled within an epoch then
            gets a new augmentation each time around.
        numbers: How many for each.
        use: What for: ``FOR_SAMPLES`` (scale, row, column, flip), ``FOR_STRONG``, ``FOR_MIXUP``, ``FOR_BOXES``,
            ``FOR_LOTS``.

    Returns:
        float64 ``[len(samples), numbers]`` in ``[0, 1)``.

    Raises:
        ValueError: If a number is negative or too large.
    """
    blocks = [_philox(seed, stream, (0, sample, epoch, use)).random_raw(numbers) for sample in samples]
    # The upper 53 bits of each word, as many as a double holds.
    upper = np.array(blocks, np.uint64).reshape(-1, numbers) >> np.uint64(11)
    return upper.astype(np.float64) * 2.0**-53


def order(seed: int, stream: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order in which an epoch visits n samples: a permutation of ``0..n-1``, int64; arguments as for `draw`."""
    # Sorting raw words and not Generator.permutation, whose numbers numpy may change between versions.
    return np.argsort(_philox(seed, stream, (0, 0, epoch, _FOR_ORDER)).random_raw(n), kind="stable").astype(np.int64)


def _philox(seed: int, stream: int, counter: tuple[int, int, int, int]) -> np.random.Philox:
    if not all(0 <= number < 2**64 for number in (seed, stream, *counter)):
        raise ValueError(
            f"seed, stream, epoch and sample must be 0 or more and below 2**64, "
            f"but got {seed=}, {stream=}, epoch={counter[2]}, sample={counter[1]}"
        )
    return np.random.Philox(key=np.array([seed, stream], np.uint64), counter=np.array(counter, np.uint64))


class Batch(NamedTuple):
    """Augmented samples, as the network and `losses.step_loss` take them."""

    images: Tensor  # float32 [N, C, h, w], normalised
    labels: Tensor  # int64 [N, h, w], IGNORE where the crop reaches beyond the image; [N, 1, 1] in classification
    confidence: Tensor  # float32, of the shape of labels, in [0, 1]; meaningless where the label is IGNORE


def augment(
    images: Tensor,
    labels: Tensor,
    confidence: Tensor | None,
    *,
    sizes: NDArray[np.int64],
    draws: NDArray[np.float64],
    scale: tuple[float, float],
    crop: tuple[int, int],
    flip: bool,
    mean: Tensor,
    std: Tensor,
    pad: int = 0,
    fill: int = 0,
    further: Callable[[Tensor], Tensor] | None = None,
) -> Batch:
    """Scale, crop, flip and normalise a batch in one resampling (DMT, Sec. 5.1: scale 0.5-1.5, crop, flip).

    Images are read bilinearly, labels and confidences take the nearest pixel; the geometry is the same for all three,
    and what becomes of a sample does not depend on the others in its batch. A crop smaller than the scaled image lies
    anywhere inside it. A larger one holds it anywhere inside, and around it the image is `fill` before normalisation
    and the label `IGNORE`. All places are equally likely. With scale (1, 1), a crop of the image's size and no flip the
    pixels stay as they are. Scaling down does not smooth first.

    Args:
        images: uint8 ``[N, C, H, W]``, padded at the right and the bottom to a common size.
        labels: Classes or `IGNORE`, any integer type, ``[N, H, W]``; or ``[N, 1, 1]``, one of the whole image, which
            stays as it is.
        confidence: uint8, of the shape of ``labels``, in units of 1/255; ``None`` for labels made by people, who are
            sure (1).
        sizes: Height and width of each image within the padding, int64 ``[N, 2]``.
        draws: From `draw`, ``[N, 4]``.
        scale: Lowest and highest factor, uniform in between.
        crop: Height and width of the result, h and w.
        flip: Whether every second image, at random, is mirrored left to right.
        mean: Of the channels, float32 ``[C]``, in the range of images in ``[0, 1]``; on the device of the images.
        std: The same, standard deviation.
        pad: Pixels around the scaled image, which the crop may take in.
        fill: Value of what lies around the image, 0 ... 255.
        further: What else becomes of the images before they are normalised; it is given float32 ``[N, C, h, w]`` in
            ``[0, 1]``, and gives the same back.

    Raises:
        ValueError: If sizes, labels or draws do not fit the batch.
    """
    count, _, height, width = images.shape
    if labels.shape not in ((count, height, width), (count, 1, 1)):
        raise ValueError(f"labels must be {[count, height, width]} or {[count, 1, 1]}, but got {list(labels.shape)}")
    if sizes.shape != (count, 2) or (sizes < 1).any() or (sizes > (height, width)).any():
        raise ValueError(
            f"sizes must be [{count}, 2] between 1 and ({height}, {width}), "
            f"but got shape {sizes.shape} and values {sizes.tolist()}"
        )
    if draws.shape != (count, DRAWS):
        raise ValueError(f"draws must be [{count}, {DRAWS}], but got {draws.shape}")
    factors = scale[0] + (scale[1] - scale[0]) * draws[:, 0]
    rows = _positions(sizes[:, 0], factors, draws[:, 1], crop[0], pad)
    columns = _positions(sizes[:, 1], factors, draws[:, 2], crop[1], pad)
    if flip:
        columns = np.where(draws[:, 3, None] < 0.5, columns[:, :, ::-1], columns)
    # Both axes and all kinds of position in one copy to the device.
    packed = upload([np.concatenate([rows, columns], axis=2).astype(np.float32)], images.device)
    across_rows, across_columns = packed[:, :, : crop[0]], packed[:, :, crop[0] :]
    row_share, column_share = across_rows[3].view(count, 1, -1, 1), across_columns[3].view(count, 1, 1, -1)
    row, column = across_rows[:3].long().unsqueeze(3), across_columns[:3].long().unsqueeze(2)
    inside = (row[2] >= 0) & (column[2] >= 0)

    # Torchvision's transforms take one image at a time, several calls for each. On one CPU thread that costs 1.3 times
    # as much (8x64x64 with labels and confidence: 1.2 ms to 0.9 ms); on a GPU every one of those calls is a launch, and
    # their number grows with the batch. grid_sample takes the batch at once too, but its coordinates are relative to
    # the padded size: the last bits of a grey value would depend on the size of the batch's largest image. Here each
    # neighbour's share is worked out in double precision from the sample alone.
    flat = images.flatten(2)

    def corner(i: int, j: int) -> Tensor:
        index = (row[i] * width + column[j]).view(count, 1, -1).expand(-1, flat.shape[1], -1)
        return flat.gather(2, index).view(count, -1, *crop).float()

    upper = torch.lerp(corner(0, 0), corner(0, 1), column_share)
    lower = torch.lerp(corner(1, 0), corner(1, 1), column_share)
    pixels = torch.lerp(upper, lower, row_share)
    pixels = torch.where(inside.unsqueeze(1), pixels, float(fill))
    if further is not None:
        pixels = further(pixels / 255) * 255
    normalised = torch.addcmul((-mean / std).view(-1, 1, 1), pixels, (1 / (255 * std)).view(-1, 1, 1))

    if labels.shape == (count, height, width):
        nearest = (row[2].clamp(min=0) * width + column[2].clamp(min=0)).flatten(1)
        labels = torch.where(inside, labels.flatten(1).gather(1, nearest).view(count, *crop), IGNORE)
        if confidence is not None:
            confidence = confidence.flatten(1).gather(1, nearest).view(count, *crop)
    sure = torch.ones((), device=images.device).expand(labels.shape) if confidence is None else from_byte(confidence)
    return Batch(normalised, labels.long(), sure)


def _positions(
    size: NDArray[np.int64], factor: NDArray[np.float64], place: NDArray[np.float64], crop: int, pad: int
) -> NDArray[np.float64]:
    """Where along one axis each place of the crop comes from, ``[4, N, crop]``.

    In this order: the two neighbouring pixels of the source for bilinear reading, the nearest pixel (-1 outside the
    image), and the second neighbour's share. The neighbours never lie beyond the image.
    """
    scaled = np.maximum(np.rint(size * factor).astype(np.int64), 1)
    room = scaled + 2 * pad - crop
    first = np.sign(room) * np.floor(place * (abs(room) + 1)).astype(np.int64) - pad
    places = first[:, None] + np.arange(crop)
    size, scaled = size[:, None], scaled[:, None]
    reached = places.clip(0, scaled - 1)
    middle = (2 * reached + 1) * size  # of the pixel, in units of 1 / (2 * scaled): a whole number, hence exact
    nearest = np.where(places == reached, middle // (2 * scaled), -1)
    source = (middle / (2 * scaled) - 0.5).clip(0, size - 1)  # pixel i of the source has its middle at i + 0.5
    before = np.floor(source)
    return np.stack([before, np.minimum(before + 1, size - 1), nearest, source - before])
