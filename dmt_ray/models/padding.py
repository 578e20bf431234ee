"""Which sides of an image a network takes: whole images are padded to these, at the right and the bottom."""

from typing import Any, NamedTuple

from torch import nn

from dmt_ray.errors import ModelError


class Padding(NamedTuple):
    """Sides of ``multiple * k + rest`` pixels."""

    multiple: int
    rest: int = 0

    def of(self, height: int, width: int) -> tuple[int, int, int, int]:
        """What an image of this size lacks at its left, right, top and bottom, for `torch.nn.functional.pad`."""
        return 0, (self.rest - width) % self.multiple, 0, (self.rest - height) % self.multiple

    def check(self, network: str, height: int, width: int) -> None:
        """Refuse images of other sides than the network takes, naming sides that it does.

        Raises:
            ModelError: If a side is no multiple.
        """
        if any(self.of(height, width)):
            m = self.multiple
            side = next(side for side in (height, width) if side % m)
            near = " or ".join(str(n) for n in (side // m * m, side // m * m + m) if n)
            raise ModelError(
                f"{network} takes images whose sides {m} divides, but got {height} x {width}; "
                f"{near} would do for {side}"
            )


USUAL = Padding(32)  # what the encoders of segmentation-models-pytorch divide sides by, at their full depth


def padding_of(network: nn.Module) -> Padding:
    """The padding of a network's whole images: the one place that everything which reads whole images asks.

    Networks of our own say it themselves. Those of segmentation-models-pytorch take multiples of their encoder's
    stride; where that divides 32, as it mostly does, they get multiples of 32 whatever their depth.
    """
    own: Any = getattr(network, "padding", None)
    if isinstance(own, Padding):
        return own
    stride = int(getattr(network.encoder, "output_stride", USUAL.multiple))
    return Padding(stride) if USUAL.multiple % stride else USUAL
