"""Strong augmentation of whole batches: other colours, and for classification other places too.

The random numbers are those that `draw_strong` gives for a sample, so what becomes of an image depends on neither its
batch nor the worker. All choices are made on the host, from these numbers, and nothing waits for the device.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray.engine import image_operations as op
from dmt_ray.engine.augment import FOR_STRONG, draw
from dmt_ray.engine.transfer import upload

STRONG_DRAWS = 8  # random numbers of a sample, as many as "jitter" needs

StrongKind = Literal["photometric", "jitter", "any", "dmt"]
Range = tuple[float, float]


class Operation(NamedTuple):
    """A function of `image_operations` and the ranges of its amounts, each of which takes one random number."""

    of: Callable[..., Tensor]
    ranges: tuple[Range, ...] = ()
    signed: bool = False  # whether the first amount goes either way


# RandAugment (Cubuk et al. 2020) without what moves pixels. The ranges are those of torchvision's RandAugment at any of
# its magnitudes.
PHOTOMETRIC = (
    Operation(op.identity),
    Operation(op.autocontrast),  # each channel; one that has a single value stays
    Operation(op.equalize),  # each channel, in 256 steps
    Operation(op.brightness, ((0.1, 1.9),)),
    Operation(op.saturation, ((0.1, 1.9),)),
    Operation(op.contrast, ((0.1, 1.9),)),
    Operation(op.sharpness, ((0.1, 1.9),)),
    Operation(op.posterize, ((8, 4),)),
    Operation(op.solarize, ((1, 0),)),
)
# All of RandAugment, and Cutout; what is uncovered is 0, as beyond the border of an image in `augment`. Cutout's
# largest square, half of the side, is that of its paper on CIFAR-10.
ANY = (
    *PHOTOMETRIC,
    Operation(op.shear_x, ((-0.3, 0.3),)),
    Operation(op.shear_y, ((-0.3, 0.3),)),
    Operation(op.translate_x, ((-150 / 331, 150 / 331),)),
    Operation(op.translate_y, ((-150 / 331, 150 / 331),)),
    Operation(op.rotate, ((-30, 30),)),
    Operation(op.cutout, ((0, 0.5), (0, 1), (0, 1))),
)
# What DMT's authors draw from, at magnitudes of 1 to 10 tenths of the ranges (decision 41). What comes in from
# beyond a border is 0, as in `ANY`; a crop's own border has the colour of `Augment.fill`.
MAGNITUDES = 10
AUTHORS = (
    Operation(op.autocontrast),
    Operation(op.equalize),
    Operation(op.invert),
    Operation(op.rotate, ((0, 30),), signed=True),
    Operation(lambda images, bits: op.posterize(images, bits.floor().clamp(min=1)), ((0, 4),)),
    Operation(op.solarize, ((0, 256 / 255),)),
    Operation(op.solarize_add, ((0, 110 / 255),)),
    Operation(op.saturation, ((0.1, 1.9),)),
    Operation(op.contrast, ((0.1, 1.9),)),
    Operation(op.brightness, ((0.1, 1.9),)),
    Operation(op.sharpness, ((0.1, 1.9),)),
    Operation(op.shear_x, ((0, 0.3),), signed=True),
    Operation(op.shear_y, ((0, 0.3),), signed=True),
    Operation(op.cover, ((0, 40), (0, 1), (0, 1))),  # pixels, as the next two
    Operation(op.shift_x, ((0, 100),), signed=True),
    Operation(op.shift_y, ((0, 100),), signed=True),
)
# RWMS names colour jitter, grey and blur, and follows ST++ (Yang et al. 2022); chances and ranges are those of the ST++
# authors' code. The order within the colour jitter is ours: there it is drawn.
JITTER = (
    Operation(op.brightness, ((0.5, 1.5),)),
    Operation(op.contrast, ((0.5, 1.5),)),
    Operation(op.saturation, ((0.5, 1.5),)),
    Operation(op.hue, ((-0.25, 0.25),)),
)
BLUR = Operation(op.blur, ((0.1, 2.0),))
JITTER_CHANCE, GREY_CHANCE, BLUR_CHANCE = 0.8, 0.2, 0.5


def draw_strong(seed: int, stream: int, epoch: int, samples: Sequence[int]) -> NDArray[np.float64]:
    """Random numbers for the strong augmentation of some samples, float64 ``[len(samples), STRONG_DRAWS]``.

    They are others than those of `augment.draw` for the same samples; arguments and errors are the same.
    """
    return draw(seed, stream, epoch, samples, numbers=STRONG_DRAWS, use=FOR_STRONG)


def strong(images: Tensor, draws: NDArray[np.float64], kind: StrongKind) -> Tensor:
    """Change each image by its own random numbers.

    Args:
        images: float32 ``[N, C, h, w]`` in ``[0, 1]``, before normalisation. Where C is not 3 there are no colours to
            change: saturation, hue and grey leave such images as they are.
        draws: From `draw_strong`, ``[N, STRONG_DRAWS]``.
        kind: ``"photometric"``: one operation of `PHOTOMETRIC` with a random magnitude (RML, Sec. 4.1).
            ``"jitter"``: colour jitter, grey and blur, each or not (RWMS, Experiments).
            ``"any"``: one operation of `ANY` with a random magnitude; some of them move pixels.
            ``"dmt"``: one operation of `AUTHORS` with a magnitude of 1 to 10 (DMT, Sec. 5.2.2).

    Returns:
        New images of the same shape, in the same range.

    Raises:
        ValueError: If there are not `STRONG_DRAWS` numbers for each image.
    """
    if draws.shape != (len(images), STRONG_DRAWS):
        raise ValueError(f"draws must be [{len(images)}, {STRONG_DRAWS}], but got {list(draws.shape)}")
    changed = images.clone()
    if kind == "jitter":
        for place, operation in enumerate(JITTER, start=1):
            _change(changed, draws[:, 0] < JITTER_CHANCE, operation, draws[:, place:])
        _change(changed, draws[:, 5] < GREY_CHANCE, Operation(op.grey), draws)
        _change(changed, draws[:, 6] < BLUR_CHANCE, BLUR, draws[:, 7:])
        return changed
    operations = {"photometric": PHOTOMETRIC, "any": ANY, "dmt": AUTHORS}[kind]
    chosen, amounts = np.floor(draws[:, 0] * len(operations)), draws[:, 1:]
    if kind == "dmt":
        tenths = (1 + np.floor(draws[:, 1] * MAGNITUDES)) / MAGNITUDES
        amounts = np.column_stack([tenths, draws[:, 2:]])
    for number, operation in enumerate(operations):
        _change(changed, chosen == number, operation, amounts)
    return changed


def _change(images: Tensor, chosen: NDArray[np.bool_], operation: Operation, draws: NDArray[np.float64]) -> None:
    """Change some of the images, in place, all at once; the amounts come from the first of the draws."""
    rows = np.flatnonzero(chosen)
    if not len(rows) or operation.of is op.identity:
        return
    index = upload([rows], images.device)
    amounts = [low + (high - low) * draws[rows, i] for i, (low, high) in enumerate(operation.ranges)]
    if operation.signed:
        amounts[0] = np.where(draws[rows, len(operation.ranges)] < 0.5, -amounts[0], amounts[0])
    uploaded = [upload([amount.astype(np.float32)], images.device).view(-1, 1, 1, 1) for amount in amounts]
    images.index_copy_(0, index, operation.of(images.index_select(0, index), *uploaded))
