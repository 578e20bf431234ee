"""Whether a network can be built, is for the task of the data, and takes the crops, batches and whole images."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from dmt_ray import models
from dmt_ray.config import Model, Task
from dmt_ray.errors import ModelError


def check_network(model: Model, classes: int, size: tuple[int, int], task: Task, what: str = "crops") -> None:
    """Build the network without memory, and push two images through it.

    Args:
        model: The network, whose weights are left aside: see `check_weights`.
        classes: Number of classes K.
        size: Height and width of the images in pixels.
        task: Of the data.
        what: What images of this size are, for the message.

    Raises:
        ModelError: If it cannot be built, is for another task than the data, or cannot take such images.
    """
    _check_task(model, task)
    network = _on_paper(model, classes)
    expected = (2, classes, *((1, 1) if task == "classification" else size))
    try:
        shape = tuple(network(torch.empty(2, model.channels, *size, device="meta")).shape)
        reason = "" if shape == expected else f"its output has the shape {shape}, not {expected}"
    except (RuntimeError, ModelError, AssertionError) as error:  # timm asserts the sizes that its transformers take
        reason = " ".join(str(error).split())
    if reason:
        raise ModelError(f"{model.architecture}/{model.encoder} cannot take {what} of {size}: {reason}")


def objection_to_one(model: Model, classes: int, crop: tuple[int, int]) -> str:
    """Why the network cannot train on a batch of one image; empty if it can.

    BatchNorm has no deviation of a single number: networks that pool an image to one pixel (DeepLabV3Plus, DeepLabV3,
    PAN, UPerNet) cannot train on a batch of one image, as the last of an epoch may be.
    """
    try:
        _on_paper(model, classes)(torch.empty(1, model.channels, *crop, device="meta"))
    except (RuntimeError, ValueError) as error:
        return str(error).splitlines()[0]
    return ""


def padding_of(model: Model, classes: int) -> tuple[int, int] | None:
    """How whole images of a network are padded, as `Model.padding` has it: None for what is usual.

    Raises:
        ModelError: If it cannot be built.
    """
    padding = models.padding_of(_on_paper(model, classes))
    return None if padding in (models.USUAL, models.Padding(1)) else (padding.multiple, padding.rest)


def _on_paper(model: Model, classes: int) -> nn.Module:
    """The network in training mode, without memory and weights."""
    with torch.device("meta"), _ReadableNumbers():
        network = models.build(model.evolve(weights_file=None, encoder_weights=None), classes)
    models.train_mode(network)
    return network


class _ReadableNumbers(TorchFunctionMode):
    """Leaves values to the ranges of numbers that some encoders, such as mit_b0, read while they are built."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        elsewhere = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **elsewhere | (kwargs or {}))


def check_weights(model: Model, classes: int) -> None:
    """Check that the user's weights fit the network; nothing where there are none.

    Raises:
        ModelError: If they do not.
    """
    if model.weights_file:
        models.build(model.evolve(encoder_weights=None), classes)


def check_rates(model: Model, classes: int) -> None:
    """Check that a network can have one learning rate for its encoder and another for the rest.

    Raises:
        ModelError: If it has no encoder.
    """
    if models.encoder_of(_on_paper(model, classes)) is None:
        raise ModelError(
            f"encoder_rate and head_rate are for a network on an encoder, but {model.architecture} has none; set the "
            "learning_rate only"
        )


def check_features(model: Model, classes: int, size: tuple[int, int]) -> None:
    """Check that the features of a network's encoder can be perturbed, with two images of a size that it takes.

    Raises:
        ModelError: If it has no encoder, or they cannot be reached.
    """
    network = _on_paper(model, classes)
    with models.ChannelDropout(network).during(lambda channels, device: torch.ones(2, channels, device=device)):
        network(torch.empty(2, model.channels, *size, device="meta"))


def _check_task(model: Model, task: Task) -> None:
    if models.task_of(model) == task:
        return
    fitting = [name for name in models.OURS if models.task_of(Model(architecture=name)) == task]
    others = " and what segmentation-models-pytorch builds, such as Unet" if task == "segmentation" else ""
    raise ModelError(
        f"{model.architecture} is for {models.task_of(model)}, but the data are for {task}; "
        f"for those there are {', '.join(fitting)}{others}"
    )
