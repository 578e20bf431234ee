"""Whether a network can be built, is for the task of the data, and takes the crops of a training."""

import torch

from dmt_ray import models
from dmt_ray.config import Model, Task
from dmt_ray.errors import ModelError


def check_network(model: Model, classes: int, crop: tuple[int, int], task: Task) -> None:
    """Build the network without memory, and push a crop through it.

    Args:
        model: The network, whose weights are left aside: see `check_weights`.
        classes: Number of classes K.
        crop: Height and width in pixels.
        task: Of the data.

    Raises:
        ModelError: If it cannot be built, is for another task than the data, or cannot take such crops.
    """
    with torch.device("meta"):
        network = models.build(model.evolve(weights_file=None, encoder_weights=None), classes)
        _check_task(model, task)
        expected = (2, classes, *((1, 1) if task == "classification" else crop))
        try:
            shape = tuple(network(torch.empty(2, 3, *crop)).shape)
            reason = "" if shape == expected else f"its output has the shape {shape}, not {expected}"
        except (RuntimeError, ModelError) as error:
            reason = " ".join(str(error).split())
        if reason:
            raise ModelError(f"{model.architecture}/{model.encoder} cannot take crops of {crop}: {reason}")


def check_weights(model: Model, classes: int) -> None:
    """Check that the user's weights fit the network; nothing where there are none.

    Raises:
        ModelError: If they do not.
    """
    if model.weights_file:
        models.build(model.evolve(encoder_weights=None), classes)


def _check_task(model: Model, task: Task) -> None:
    if models.task_of(model) == task:
        return
    fitting = [name for name in models.OURS if models.task_of(Model(architecture=name)) == task]
    others = " and what segmentation-models-pytorch builds, such as Unet" if task == "segmentation" else ""
    raise ModelError(
        f"{model.architecture} is for {models.task_of(model)}, but the data are for {task}; "
        f"for those there are {', '.join(fitting)}{others}"
    )
