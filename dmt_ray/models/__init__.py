"""Networks by name: everything that segmentation-models-pytorch builds, and our own; see docs/reference/networks.md."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from dmt_ray.config import Model, Task, nearest
from dmt_ray.errors import ModelError
from dmt_ray.models.deeplab_v2 import DeepLabV2
from dmt_ray.models.dpt import DPT
from dmt_ray.models.frozen import encoder_of as encoder_of
from dmt_ray.models.frozen import freeze
from dmt_ray.models.frozen import train_mode as train_mode
from dmt_ray.models.linear_head import LinearHead
from dmt_ray.models.noise import ChannelDropout as ChannelDropout
from dmt_ray.models.noise import add_noise as add_noise
from dmt_ray.models.noise import classifier as classifier
from dmt_ray.models.noise import complementary_masks as complementary_masks
from dmt_ray.models.noise import stream_masks as stream_masks
from dmt_ray.models.padding import USUAL as USUAL
from dmt_ray.models.padding import Padding as Padding
from dmt_ray.models.padding import padding_of as padding_of
from dmt_ray.models.pretrained import FirstWeights, arguments_of, load_first, named_weights
from dmt_ray.models.setr import SETR
from dmt_ray.models.unet import UNet
from dmt_ray.models.weights import digest as digest
from dmt_ray.models.weights import read, shapes, start_from
from dmt_ray.models.wide_resnet import WideResNet
from dmt_ray.plan.files import MODEL as MODEL
from dmt_ray.plan.files import weights_file
from dmt_ray.plan.words import counted

OURS: dict[str, Callable[..., nn.Module]] = {
    made.__name__: made for made in (DPT, DeepLabV2, LinearHead, SETR, UNet, WideResNet)
}
ON_TIMM = frozenset({"DPT", "LinearHead"})  # take timm's encoders and their weights as smp names them
CLASSIFIERS = frozenset({"WideResNet"})
NO_ENCODER = "none"
WHOLE = {"UNet": "; the U-Net on an encoder is called 'Unet'", "WideResNet": ""}  # have no encoder to choose


def build(model: Model, classes: int, first: FirstWeights | None = None) -> nn.Module:
    """A network with random or the user's weights.

    Args:
        model: Architecture, encoder and further arguments by name.
        classes: Number of output channels K.
        first: The weights that `model.encoder_weights` names, from `first_weights`; None: the encoder's are random.

    Returns:
        A module from float32 ``[N, C, H, W]`` (normalised; C is `model.channels`) to logits ``[N, K, H, W]``, or
        ``[N, K, 1, 1]`` where its task is classification. Random weights come from torch's global generator.

    Raises:
        ModelError: If a name or argument is unknown, or the weights file does not fit.
    """
    _check_names(model)
    if model.encoder_weights is not None and first is None:
        raise ValueError(f"build needs the weights {model.encoder_weights!r} from first_weights")
    network = _network(model, classes, first)
    if model.weights_file:
        start_from(network, Path(model.weights_file))
    return network


def is_network(name: str) -> bool:
    """Whether an architecture or an encoder has this name, whatever letters are capital."""
    import segmentation_models_pytorch as smp

    architectures = [made.__name__ for made in smp.MODEL_ARCHITECTURES_MAPPING.values()]
    names = [*OURS, *architectures, *smp.encoders.get_encoder_names()]
    return name.startswith("tu-") or name.casefold() in map(str.casefold, names)


def first_weights(model: Model, cache: Path) -> FirstWeights | None:
    """The encoder's initial weights that a model names, fetched where this machine does not have them.

    Args:
        model: The settings.
        cache: Folder for those that have to be converted; made where it is missing.

    Returns:
        None where no name is set: the initial weights are random, or come from a file.

    Raises:
        ModelError: If there are no such weights, they are for another encoder, or they cannot be had here.
    """
    if model.encoder_weights is None:
        return None
    _check_names(model)
    return named_weights(model.encoder_weights, model.encoder, cache)


def _check_names(model: Model) -> None:
    if model.architecture not in OURS or model.architecture in ON_TIMM:
        check_encoder(model.encoder)
    elif model.encoder_weights is not None:
        raise ModelError(f"{model.architecture} downloads nothing; give your weights as model.weights_file")


def task_of(model: Model) -> Task:
    """What an architecture is for."""
    return "classification" if model.architecture in CLASSIFIERS else "segmentation"


def _network(model: Model, classes: int, first: FirstWeights | None = None) -> nn.Module:
    if (given := model.arguments.get("in_channels", model.channels)) != model.channels:
        raise ModelError(
            f"model.arguments sets in_channels to {given}, but the images have {counted(model.channels, 'channel')}; "
            "leave it out, and set data.channels where that is wrong"
        )
    try:
        return _made(model, classes, first)
    except ModelError:
        raise
    except Exception as error:  # as many kinds as there are networks; of a huge one also that no memory holds it
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        given = f" (model.arguments sets {', '.join(model.arguments)})" if model.arguments else ""
        raise ModelError(
            f"{model.architecture} with encoder {model.encoder} cannot be built: {message}{given}"
        ) from None


def _made(model: Model, classes: int, first: FirstWeights | None = None) -> nn.Module:
    network = _ours(model, classes, first) if model.architecture in OURS else _from_smp(model, classes, first)
    freeze(network, model)
    return network


def _ours(model: Model, classes: int, first: FirstWeights | None) -> nn.Module:
    name, network, channels = model.architecture, OURS[model.architecture], {"in_channels": model.channels}
    if name not in WHOLE:
        weights = arguments_of(model, first) if name in ON_TIMM else {}
        return network(model.encoder, classes=classes, **weights | channels | model.arguments)
    if model.encoder != NO_ENCODER:
        raise ModelError(
            f"{name} has no encoder to choose, but got {model.encoder!r}; set model.encoder to 'none'{WHOLE[name]}"
        )
    return network(classes=classes, **channels | model.arguments)


def _from_smp(model: Model, classes: int, first: FirstWeights | None) -> nn.Module:
    import segmentation_models_pytorch as smp  # 3 s, and only some networks need it

    known: dict[str, Any] = {made.__name__: made for made in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if model.architecture not in known:
        near = nearest(model.architecture, [*known, *OURS])
        raise ModelError(f"there is no architecture {model.architecture!r}; {near}")
    check_encoder(model.encoder)
    arguments = arguments_of(model, first) | {"in_channels": model.channels} | model.arguments
    network: nn.Module = known[model.architecture](encoder_name=model.encoder, classes=classes, **arguments)
    load_first(network, model, first)
    return network


def check_encoder(encoder: str) -> None:
    """Refuse an encoder that neither segmentation-models-pytorch nor timm knows, naming the nearest right one."""
    from segmentation_models_pytorch.encoders import get_encoder_names

    if encoder.startswith("tu-"):
        import timm

        if not timm.is_model(encoder.removeprefix("tu-")):
            names = [f"tu-{name}" for name in timm.list_models()]
            raise ModelError(f"timm has no network for encoder {encoder!r}; {_one_of(encoder, names)}")
    elif encoder not in get_encoder_names():
        near = _one_of(encoder, get_encoder_names())
        raise ModelError(f"there is no encoder {encoder!r}; {near} Those of timm are named tu-..., as in tu-resnet18.")


def _one_of(word: str, names: list[str]) -> str:
    answer = nearest(word, names)
    return answer if answer.startswith("did") else "see the list of encoders of segmentation-models-pytorch."


def save(
    network: nn.Module,
    folder: Path,
    description: dict[str, Any],
    *,
    name: str = MODEL,
    averaged: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write the weights and what is needed to build the network again into a folder.

    Args:
        network: The module to keep.
        folder: An existing folder.
        description: {"model": settings of `config.Model`, "classes": K, "side": "A" or "B"}.
        name: Which of the folder's models.
        averaged: The moving average of the weights, where there is one.
    """
    for is_average, weights in ((False, network.state_dict()), (True, averaged)):
        if weights is not None:
            tensors = {key: value.detach().to("cpu").contiguous() for key, value in weights.items()}
            save_file(tensors, folder / weights_file(name, averaged=is_average))
    text = json.dumps(description, indent=1, sort_keys=True) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def title(description: Mapping[str, Any]) -> str:
    """A model in words, by its description: "model A (Unet/resnet18)"."""
    return f"model {description['side']} ({description['model']['architecture']}/{description['model']['encoder']})"


def load(folder: Path, name: str = MODEL, *, averaged: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """A network in a stage's folder, on the CPU, and its description.

    Args:
        folder: The stage's folder.
        name: Which of its models; see `save`.
        averaged: The moving average of its weights, in place of the last.
    """
    description = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    file = folder / weights_file(name, averaged=averaged)
    return restore(Model(**description["model"]), description["classes"], file), description


def check_weights(model: Model, classes: int, file: Path) -> None:
    """Compare the shapes in a file with those of a network that is not built: no memory may hold one from elsewhere.

    Raises:
        ModelError: If the file cannot be read, or is not of such a network.
    """
    held = shapes(file)
    try:
        with torch.device("meta"):
            network = _made(model.evolve(weights_file=None, encoder_weights=None), classes)
    except ModelError:
        raise
    except Exception:  # of a network that looks at its own values, or that cannot be built: `restore` says so
        return
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wrong = [name for name in {**held, **expected} if held.get(name) != expected.get(name)]
    if wrong:
        raise ModelError(
            f"{file} does not hold the weights of {model.architecture}: {len(wrong):,} of {len(expected):,} tensors "
            f"are missing, of another shape or of no use in it, e.g. {wrong[0]!r}, which should be of shape "
            f"{list(expected.get(wrong[0], ())) or 'nothing'} and is of {list(held.get(wrong[0], ())) or 'nothing'}"
        )


def restore(model: Model, classes: int, file: Path) -> nn.Module:
    """A network with the weights of a file, on the CPU.

    Raises:
        ModelError: If the file cannot be read, or is not of such a network.
    """
    network = _network(model.evolve(weights_file=None, encoder_weights=None), classes)
    try:
        network.load_state_dict(read(file))
    except RuntimeError as error:
        raise ModelError(f"{file} does not hold the weights of {model.architecture}: {error}") from None
    return network
