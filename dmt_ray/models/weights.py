"""Weights from the user's files: safetensors in several layouts of names; nothing is unpickled."""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from dmt_ray.errors import ModelError
from dmt_ray.models.first_layer import fitted
from dmt_ray.models.noise import classifier

log = logging.getLogger(__name__)

FEW = 3  # names in a message
WRAPPERS = re.compile(r"^(module\.|Scale\.)+")  # of DataParallel, and of the multi-scale DeepLab-v2
CLASS_LAYERS = re.compile(r"^layer5\.conv2d_list\.")  # of the COCO checkpoint of DeepLab-v2
ENCODER = ("encoder.", "encoder.model.")  # the second of timm's networks in segmentation-models-pytorch


def start_from(network: nn.Module, file: Path) -> None:
    """Take over the weights of a file, and say in the log how many were taken and what was left out.

    Names may be those of the network itself, of its encoder alone (torchvision's ResNets, timm's networks), or of the
    COCO checkpoint of DeepLab-v2 (``layer1.0.conv1.weight``, ``layer5.conv2d_list.0.weight``), with ``module.`` or
    ``Scale.`` in front or not. What has no place in the network or another shape, as last layers for other
    classes, is left out. A first convolution for RGB is adapted to other channels (`first_layer.for_channels`).

    Raises:
        ModelError: If the file is none of safetensors, or does not cover the backbone: the network's encoder or, where
            it has none, all but its last layer.
    """
    weights = read(file)
    own = network.state_dict()
    taken: dict[str, torch.Tensor] = {}
    left_out = []
    for name, value in weights.items():
        found = ((place, fitted(value, own[place])) for place in _places(name) if place in own)
        place, made = next(((place, made) for place, made in found if made is not None), ("", None))
        if made is not None:
            taken[place] = made
        else:
            left_out.append(name)
    if not taken:
        raise ModelError(
            f"no tensor of {file} fits the network: it holds e.g. {next(iter(weights), 'nothing')!r}, "
            f"the network e.g. {next(iter(own))!r}. Names must be those of the whole network, of its encoder, or of "
            "the COCO checkpoint of DeepLab-v2."
        )
    backbone = list(_backbone(network))
    if missing := [name for name in backbone if name not in taken]:
        raise ModelError(
            f"{file} does not cover the backbone: {len(missing)} of its {len(backbone)} tensors are not there or have "
            f"another shape, e.g. {_some(missing)}; of the file's tensors {_some(left_out) or 'none'} found no place. "
            "Use weights of the same encoder."
        )
    network.load_state_dict(taken, strict=False)
    lost = f"; left out: {', '.join(left_out)}" if left_out else ""
    level = logging.WARNING if left_out else logging.INFO
    log.log(level, "%s: %d of %d tensors taken%s", file.name, len(taken), len(weights), lost)


def _places(name: str) -> Iterator[str]:
    """Where a tensor of this name may belong in a network of ours, the likeliest first."""
    yield name
    bare = WRAPPERS.sub("", name)
    yield bare
    yield CLASS_LAYERS.sub("branches.", bare)
    for prefix in ENCODER:
        yield prefix + bare


def _backbone(network: nn.Module) -> Iterator[str]:
    """Names of the tensors without which a network does not start from a file's knowledge."""
    last = {id(parameter) for parameter in classifier(network).parameters()}
    whole = not hasattr(network, "encoder")
    for name, value in network.state_dict(keep_vars=True).items():
        counter = name.endswith("num_batches_tracked")  # older files have none, and nothing reads it
        if not counter and (id(value) not in last if whole else name.startswith("encoder.")):
            yield name


def _some(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:FEW])


def read(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file.

    Raises:
        ModelError: If it is another kind of file, or cannot be read.
    """
    if file.suffix != ".safetensors":
        raise ModelError(
            f"weights come as .safetensors, which cannot run code when they are read, but got {file.name!r}. Convert "
            "a file that you trust: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'w.safetensors'); "
            "see docs/how-to/own-network.md"
        )
    try:
        weights: dict[str, torch.Tensor] = load_file(file)
        return weights
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights file {file}: {error}") from None


def shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor of a safetensors file, by its header alone.

    Raises:
        ModelError: If it cannot be read.
    """
    try:
        with safe_open(file, "pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the weights file {file}: {error}") from None


def digest(file: Path) -> str:
    """Digest of a weights file, 32 hex digits: its identity, wherever it lies."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read the weights file {file}: {error.strerror}") from None
