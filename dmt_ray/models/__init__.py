"""Networks by name: everything that segmentation-models-pytorch builds, and our own."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dmt_ray.config import Model, nearest
from dmt_ray.errors import ModelError
from dmt_ray.models.deeplab_v2 import DeepLabV2

OURS: dict[str, Callable[..., nn.Module]] = {"DeepLabV2": DeepLabV2}

MODEL = "model"  # of the files of a stage that trains one model; a stage that trains two has A and B
AVERAGED = "-averaged"  # behind it, the moving average of the weights


def build(model: Model, classes: int) -> nn.Module:
    """A network with random or the user's weights.

    Args:
        model: Architecture, encoder and further arguments by name.
        classes: Number of output channels K.

    Returns:
        A module from float32 ``[N, 3, H, W]`` (normalised) to logits ``[N, K, H, W]``. Random weights come from
        torch's global generator.

    Raises:
        ModelError: If a name or argument is unknown, or the weights file does not fit.
    """
    network = _network(model, classes)
    if model.weights_file:
        _start_from(network, Path(model.weights_file))
    return network


def _network(model: Model, classes: int) -> nn.Module:
    try:
        if model.architecture in OURS:
            if model.encoder_weights is not None:
                raise ModelError(f"{model.architecture} downloads nothing; give your weights as model.weights_file")
            return OURS[model.architecture](model.encoder, classes=classes, **model.arguments)
        return _from_smp(model, classes)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{model.architecture} with encoder {model.encoder} cannot be built: {message}") from None


def _from_smp(model: Model, classes: int) -> nn.Module:
    import segmentation_models_pytorch as smp  # 3 s, and only some networks need it

    known: dict[str, Any] = {
        name: made
        for name, made in vars(smp).items()
        if inspect.isclass(made) and issubclass(made, smp.base.SegmentationModel)
    }
    if model.architecture not in known:
        raise ModelError(
            f"there is no architecture {model.architecture!r}; {nearest(model.architecture, [*known, *OURS])}"
        )
    check_encoder(model.encoder)
    arguments = {"encoder_weights": model.encoder_weights, **model.arguments}
    network: nn.Module = known[model.architecture](encoder_name=model.encoder, classes=classes, **arguments)
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
        raise ModelError(
            f"there is no encoder {encoder!r}; {_one_of(encoder, get_encoder_names())} "
            "Networks of timm are named tu-..., as in tu-resnet18."
        )


def _one_of(word: str, names: list[str]) -> str:
    answer = nearest(word, names)
    return answer if answer.startswith("did") else "see the list of encoders of segmentation-models-pytorch."


def _start_from(network: nn.Module, file: Path) -> None:
    weights = _read(file)
    own = network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        encoder = {f"encoder.{name}": value for name, value in weights.items()}
        fitting = {name: value for name, value in encoder.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise ModelError(
            f"no tensor of {file} fits the network: it holds e.g. {next(iter(weights), 'nothing')!r}, "
            f"the network e.g. {next(iter(own))!r}. Names must be those of the whole network or of its encoder."
        )
    network.load_state_dict(fitting, strict=False)


def _read(file: Path) -> dict[str, torch.Tensor]:
    if file.suffix != ".safetensors":
        raise ModelError(
            f"weights come as .safetensors, which cannot run code when they are read, but got {file.name!r}. Convert "
            "a file that you trust: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'w.safetensors')"
        )
    try:
        weights: dict[str, torch.Tensor] = load_file(file)
        return weights
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights file {file}: {error}") from None


def digest(file: Path) -> str:
    """Digest of a weights file, 32 hex digits: its identity, wherever it lies."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read the weights file {file}: {error.strerror}") from None


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
    for kind, weights in (("", network.state_dict()), (AVERAGED, averaged)):
        if weights is not None:
            tensors = {key: value.detach().to("cpu").contiguous() for key, value in weights.items()}
            save_file(tensors, folder / f"{name}{kind}.safetensors")
    text = json.dumps(description, indent=1, sort_keys=True) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def load(folder: Path, name: str = MODEL, *, averaged: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """A network in a stage's folder, on the CPU, and its description.

    Args:
        folder: The stage's folder.
        name: Which of its models; see `save`.
        averaged: The moving average of its weights, in place of the last.
    """
    description = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    model = Model(**description["model"]).evolve(weights_file=None, encoder_weights=None)
    network = _network(model, description["classes"])
    network.load_state_dict(load_file(folder / f"{name}{AVERAGED if averaged else ''}.safetensors"))
    return network, description
