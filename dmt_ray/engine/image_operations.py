"""Changes of colour, sharpness and place for a whole batch at once, each image by an amount of its own.

Images are float32 ``[N, C, h, w]`` in ``[0, 1]``, before normalisation, RGB where C is 3; others have no colours, and
what changes colours leaves them as they are. Amounts are float32 ``[N, 1, 1, 1]`` on the
same device. Of torchvision's functions only those are used that take a batch: the others take one number, so that on a
GPU the launches would grow with the batch, and some copy a constant to the device, for which the host waits. What
becomes of an image is the same to the last bit in any batch: sums over an image are taken in double precision.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from dmt_ray.config import COLOURS

Amount: TypeAlias = Tensor | float

GREY = 128 / 255
BLUR_REACH = 6  # pixels on each side: three standard deviations of the widest blur


def identity(images: Tensor) -> Tensor:
    """The images as they are."""
    return images


def is_rgb(images: Tensor) -> bool:
    """Whether images have colours."""
    return images.shape[1] == COLOURS


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel from 0 to 1; one that has a single value stays."""
    return _each_channel(functional.autocontrast, images)


def equalize(images: Tensor) -> Tensor:
    """Spread the values of each channel evenly, in 256 steps."""
    return _each_channel(functional.equalize, images)


def _each_channel(of: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Call a function of torchvision's that treats each channel alike, and takes grey or RGB alone."""
    if is_rgb(images):
        return of(images)
    return of(images.flatten(0, 1).unsqueeze(1)).view_as(images)


def grey(images: Tensor) -> Tensor:
    """Luma in all three channels (ITU-R 601)."""
    if not is_rgb(images):
        return images
    luma: Tensor = functional.rgb_to_grayscale(images, num_output_channels=3)
    return luma


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is black, 1 the image, more is brighter."""
    return (images * factor).clamp(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """0 is grey, 1 the image, more is gaudier."""
    if not is_rgb(images):
        return images
    return _blend(grey(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """0 is the image's mean grey, or mean over all channels, 1 the image, more has more contrast."""
    mean = (grey(images)[:, :1] if is_rgb(images) else images).mean(dim=(1, 2, 3), keepdim=True, dtype=torch.float64)
    return _blend(mean.float(), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is smoothed over 3 x 3 pixels, 1 the image, more is sharper; the outermost pixels stay."""
    if min(images.shape[-2:]) < 3:
        return images
    across = images[..., :-2] + images[..., 1:-1] + images[..., 2:]
    smooth = across[..., :-2, :] + across[..., 1:-1, :] + across[..., 2:, :]
    inner = images[..., 1:-1, 1:-1]
    sharpened = images.clone()
    sharpened[..., 1:-1, 1:-1] = _blend((smooth + 4 * inner) / 13, inner, factor)  # the middle counts 5 of 13
    return sharpened


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep so many bits of each value, 1 to 8; ``bits`` is rounded."""
    levels = 1 << bits.round().int()
    return torch.minimum((images * levels).floor(), levels - 1) / levels


def invert(images: Tensor) -> Tensor:
    """The negative."""
    return 1 - images


def solarize_add(images: Tensor, more: Tensor) -> Tensor:
    """Brighten by an amount, and invert what is then in the brighter half."""
    return solarize((images + more).clamp(0, 1), torch.full_like(more, GREY))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the values from the threshold on."""
    return torch.where(images >= threshold, 1 - images, images)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the colour circle by a share of it, in ``[-0.5, 0.5]``."""
    if not is_rgb(images):
        return images
    red, green, blue = images.unbind(dim=1)
    highest, lowest = images.amax(dim=1), images.amin(dim=1)
    chroma = highest - lowest
    divisor = torch.where(chroma > 0, chroma, 1)
    # Place on a circle of six: 0 is red, 2 green, 4 blue.
    place = torch.where(highest == green, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    place = torch.where(highest == red, (green - blue) / divisor, place) + 6 * turn.squeeze(1)
    # Each channel falls from the highest to the lowest value with its distance from the place.
    k = torch.stack([place + 5, place + 3, place + 1], dim=1).remainder(6)
    return highest.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(k, 4 - k).clamp(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of up to 2 pixels; the outermost pixels go on beyond the border."""
    height, width = images.shape[-2:]
    distances = torch.arange(BLUR_REACH + 1, device=images.device, dtype=torch.float64).view(-1, 1, 1, 1, 1)
    shares = (-0.5 * (distances / sigma.double()) ** 2).exp()
    shares = (shares / (2 * shares.sum(dim=0) - 1)).float()
    for axis, length in ((2, height), (3, width)):
        padding = (0, 0, BLUR_REACH, BLUR_REACH) if axis == 2 else (BLUR_REACH, BLUR_REACH, 0, 0)
        wide = nn.functional.pad(images, padding, mode="replicate")
        images = shares[0] * images
        for distance in range(1, BLUR_REACH + 1):
            before, after = (wide.narrow(axis, BLUR_REACH + sign * distance, length) for sign in (-1, 1))
            images = torch.addcmul(images, shares[distance], before + after)
    return images


def shear_x(images: Tensor, slope: Tensor) -> Tensor:
    """Shift each row by ``slope`` times its distance from the middle."""
    return _read(images, xy=slope)


def shear_y(images: Tensor, slope: Tensor) -> Tensor:
    """Shift each column by ``slope`` times its distance from the middle."""
    return _read(images, yx=slope)


def translate_x(images: Tensor, share: Tensor) -> Tensor:
    """Shift to the left by a share of the width."""
    return _read(images, x=share * images.shape[-1])


def translate_y(images: Tensor, share: Tensor) -> Tensor:
    """Shift up by a share of the height."""
    return _read(images, y=share * images.shape[-2])


def shift_x(images: Tensor, pixels: Tensor) -> Tensor:
    """Shift to the left by a number of pixels."""
    return _read(images, x=pixels)


def shift_y(images: Tensor, pixels: Tensor) -> Tensor:
    """Shift up by a number of pixels."""
    return _read(images, y=pixels)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn around the middle, counter-clockwise."""
    angle = degrees.double().deg2rad()
    cosine, sine = angle.cos().float(), angle.sin().float()
    return _read(images, xx=cosine, xy=-sine, yx=sine, yy=cosine)


def cutout(images: Tensor, side: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Black out a square; as `cover`, but for the side, a share of the image's shorter one."""
    return cover(images, side * min(images.shape[-2:]), row, column, value=0.0)


def cover(images: Tensor, side: Tensor, row: Tensor, column: Tensor, value: float = GREY) -> Tensor:
    """Cover a square whose middle lies in the image, and which may reach beyond it (DeVries and Taylor 2017).

    Args:
        images: See above.
        side: In pixels.
        row: Place of the middle from top to bottom, in ``[0, 1]``.
        column: From left to right.
        value: What is seen in its place.
    """
    height, width = images.shape[-2:]
    half = side / 2
    down, across = _places(height, images).view(1, 1, -1, 1), _places(width, images).view(1, 1, 1, -1)
    inside = (down - (row - 0.5) * height).abs() < half
    inside = inside & ((across - (column - 0.5) * width).abs() < half)
    return torch.where(inside, value, images)


def _read(
    images: Tensor, xx: Amount = 1, xy: Amount = 0, x: Amount = 0, yx: Amount = 0, yy: Amount = 1, y: Amount = 0
) -> Tensor:
    """Read each pixel, bilinearly, at (xx across + xy down + x, yx across + yy down + y) from the middle; 0 beyond."""
    height, width = images.shape[-2:]
    down, across = _places(height, images).view(1, 1, -1, 1), _places(width, images).view(1, 1, 1, -1)
    # grid_sample counts from -1 to 1.
    places = (xx * across + xy * down + x) * (2 / width), (yx * across + yy * down + y) * (2 / height)
    grid = torch.stack([place.expand(len(images), 1, height, width) for place in places], dim=-1).squeeze(1)
    return nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _places(length: int, images: Tensor) -> Tensor:
    """Where the pixels of an axis are, counted from its middle."""
    return torch.arange(length, device=images.device, dtype=torch.float32) - (length - 1) / 2


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (other + factor * (images - other)).clamp(0, 1)
