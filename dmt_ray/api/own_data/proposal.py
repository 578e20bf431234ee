"""What is proposed for a folder, for which machine, and how it is written."""

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmt_ray.config.data import COLOURS, DataSettings
from dmt_ray.data.deep import Range, Ranges
from dmt_ray.data.orientation import QUARTER, UPRIGHT, orientation_of
from dmt_ray.data.source import DataSource
from dmt_ray.data.survey import Layout, Masks, Pictures, look_at_pictures
from dmt_ray.plan.words import be, counted
from dmt_ray.recipes.plain_yaml import parse

TEST_SHARE, VAL_SHARE = 0.2, 0.1  # of the images, and of those that are left
KNOWN = ("camvid", "voc", "cityscapes")  # data sets that a name of a folder gives away
_PLAIN = re.compile(r"[A-Za-z_][\w ./-]*")


@dataclass(frozen=True)
class Machine:
    """What the first guesses depend on, apart from the images."""

    gpu: bool
    pretrained: bool  # whether the extra with first weights is installed

    @classmethod
    def here(cls) -> "Machine":
        """This machine."""
        import torch  # seconds

        from dmt_ray.models.pretrained import PACKAGED

        modules = (weights.module for weights in PACKAGED.values())
        return cls(torch.cuda.is_available(), all(importlib.util.find_spec(module) is not None for module in modules))

    @property
    def side(self) -> int:
        """Longest side of working sizes, and largest side of crops, in pixels."""
        return 768 if self.gpu else 256

    @property
    def steps(self) -> tuple[int, int]:
        """Optimizer steps of pretraining, and of an iteration."""
        return (3000, 600) if self.gpu else (300, 60)


@dataclass(frozen=True)
class Proposal:
    """A recipe for a folder.

    Attributes:
        text: The recipe, YAML with comments.
        findings: What lies in the folder, a line each.
        doubts: What a person should look at, a sentence each.
    """

    text: str
    findings: tuple[str, ...]
    doubts: tuple[str, ...]


def reading(layout: Layout, pictures: Pictures) -> list[str]:
    """Settings of how files are read, where they are needed."""
    lines = []
    if pictures.channels != COLOURS:
        lines += [
            f"  channels: {pictures.channels}   # all that the files hold, as they lie in them",
            "  normalised: data   # by the mean and standard deviation of the training images",
        ]
    if pictures.range is not None and pictures.held is not None:
        held = "; ".join(f"{low:g} to {high:g}" for low, high in _pairs(pictures.held))
        lines.append(f"  range: {_range(pictures.range)}   # becomes black and white; the images hold {held}")
    if pictures.turned and _is_unsure(layout):
        lines.append(
            "  orientation: images   # masks fit the images as viewers show them; `stored`: the pixels as stored"
        )
    return lines


def _is_unsure(layout: Layout) -> bool:
    """Whether an image has an orientation that neither its mask's tag nor its size explains."""
    for image, masks in zip(layout.images, layout.masks, strict=True):
        content = image.read_bytes()
        if (its := orientation_of(content)) != UPRIGHT and orientation_of(masks[0].read_bytes()) == UPRIGHT:
            sizes = look_at_pictures([image]).sizes
            if its not in QUARTER or any(height == width for height, width in sizes):
                return True
    return False


def about(pictures: Pictures) -> list[str]:
    """Sizes and kinds of images, for people."""
    sizes = ", ".join(f"{h} x {w}" for (h, w), _ in pictures.sizes.most_common(3))
    more = f" and {len(pictures.sizes) - 3:,} more" if len(pictures.sizes) > 3 else ""
    kinds = ", ".join(f"{kind} ({count:,})" for kind, count in pictures.kinds.most_common(5))
    return [f"sizes (height x width): {sizes}{more}", f"files: {kinds}"]


def doubts_about(folder: Path, layout: Layout, pictures: Pictures, masks: Masks | None) -> list[str]:
    """What a person should look at."""
    doubts = []
    for name in KNOWN:
        kind = DataSettings.kind(name)
        assert issubclass(kind, DataSource)
        if any((folder / marker).exists() for marker in kind.markers):
            doubts.append(f"this looks like the data set {name}, for which there are recipes: see `dmt recipes`")
    if layout.left_out:
        count = len(layout.left_out)
        doubts.append(f"{counted(count, 'picture')} {be(count)} not used, such as {layout.left_out[0]}")
    for what, unusable in (("image", pictures.unusable), ("mask", masks.unusable if masks else {})):
        if unusable:
            name, why = next(iter(unusable.items()))
            doubts.append(f"{counted(len(unusable), what)} cannot be used, such as {name}: {why}")
    if pictures.turned:
        images = counted(pictures.turned, "image")
        doubts.append(f"{images} with a recorded orientation, which is applied: look at `dmt data show`")
    if pictures.alpha:
        doubts.append(
            f"{counted(pictures.alpha, 'image')} with an alpha channel, which is dropped; if it holds data, set "
            "channels to 4 and normalised to data"
        )
    if masks is not None and masks.looked < masks.count:
        doubts.append(f"of {masks.count} masks {masks.looked} were opened: others may hold further values")
    if masks is not None and masks.meaning == "instances":
        doubts.append("values were taken for numbers of objects; if they are classes, delete mask_values and name them")
    if masks is not None and len(masks.shares) > 64 and masks.kind == "colours":
        doubts.append(
            f"masks hold {len(masks.shares)} colours: blurred edges are ignored; save masks without smoothing"
        )
    return doubts


def _pairs(limits: Ranges) -> Iterable[Range]:
    """The limits of each channel."""
    return (limits,) if isinstance(limits[0], float) else limits


def _range(limits: Ranges) -> str:
    each = [f"[{low:.10g}, {high:.10g}]" for low, high in _pairs(limits)]
    return each[0] if isinstance(limits[0], float) else f"[{', '.join(each)}]"


def text_of(value: object) -> str:
    """Text as YAML, in quotes where it would be read as something else."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text == text.strip() and _reads_as(text) else json.dumps(text)


def _reads_as(text: str) -> bool:
    try:
        read: Mapping[str, Any] = parse(f"{{a: {text}}}")
    except Exception:  # whatever YAML makes of it, it is no plain text
        return False
    return bool(read["a"] == text)
