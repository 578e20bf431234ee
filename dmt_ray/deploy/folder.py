"""A trained model as a folder: weights and plain JSON, nothing that runs code when it is read.

The layout is that of Hugging Face's hub. Where segmentation-models-pytorch has the network, its `from_pretrained`
builds it from config.json and model.safetensors; README.md is the model card. `read` here needs no card and no
config.json: model_info.json, classes.json and preprocessor_config.json say all that is needed.
"""

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from dmt_ray import models
from dmt_ray.deploy.card import card
from dmt_ray.deploy.model_info import ModelInfo
from dmt_ray.errors import ConfigError, ModelError
from dmt_ray.files import read_json

WEIGHTS = "model.safetensors"
INFO = "model_info.json"  # marks such a folder
CLASSES = "classes.json"  # [{"name": "road", "colour": [128, 64, 128]}, ...], in the order of the logits
PREPROCESSING = "preprocessor_config.json"
NETWORK = "config.json"
CARD = "README.md"
BILINEAR = 2  # Pillow's number, which preprocessor_config.json holds


def is_model_folder(folder: Path) -> bool:
    """Whether a folder is one that `write` has made."""
    return (folder / INFO).is_file()


def write(folder: Path, weights: Path, info: ModelInfo) -> None:
    """Write a model into a folder; an earlier one there is replaced.

    Args:
        folder: To be made.
        weights: The file of the network's weights, as `models.save` has written it.
        info: All else.

    Raises:
        ConfigError: If the folder holds something else than a model.
    """
    check_target(folder)
    draft = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    draft.mkdir(parents=True)
    try:
        shutil.copyfile(weights, draft / WEIGHTS)
        classes = [
            {"name": name, "colour": list(colour)} for name, colour in zip(info.classes, info.palette, strict=True)
        ]
        known = info.model_dump(mode="json", exclude={"classes", "palette", "size", "normalised", "statistics"})
        _write(draft / INFO, known)
        _write(draft / CLASSES, classes)
        _write(draft / PREPROCESSING, _preprocessing(info))
        _write(draft / NETWORK, network_config(info))
        (draft / CARD).write_text(card(info), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_target(folder: Path) -> None:
    """Raise a ConfigError if a folder cannot be written to, because it holds something else than a model."""
    if folder.exists() and not (folder.is_dir() and (is_model_folder(folder) or not any(folder.iterdir()))):
        raise ConfigError(f"{folder} exists and holds no exported model; choose another folder as --out")


def read(folder: Path) -> tuple[nn.Module, ModelInfo]:
    """The network in a folder, in eval mode and on the CPU, and what is known of it.

    Raises:
        ModelError: If the folder cannot be used: a file is missing or damaged, or the weights do not fit.
    """
    try:
        values = _read(folder / INFO)
        classes, preprocessing = _read(folder / CLASSES), _read(folder / PREPROCESSING)
        size = preprocessing["size"]
        values |= {
            "classes": [one["name"] for one in classes],
            "palette": [one["colour"] for one in classes],
            "size": [size["height"], size["width"]] if preprocessing["do_resize"] else None,
            "normalised": preprocessing["normalised"],
        }
        if preprocessing["normalised"] == "data":
            values["statistics"] = [preprocessing["image_mean"], preprocessing["image_std"]]
        info = ModelInfo(**values)
        models.check_weights(info.model, len(info.classes), folder / WEIGHTS)
        return models.restore(info.model, len(info.classes), folder / WEIGHTS).eval(), info
    except (ConfigError, ModelError) as error:
        raise ModelError(f"{folder} is no model that can be used: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder} is no model that can be used: it does not hold {error}. Export it again") from None


def network_config(info: ModelInfo) -> dict[str, Any]:
    """config.json: what builds the network.

    For networks of segmentation-models-pytorch it is what their `from_pretrained` passes on. Others have no
    "_model_class", at which it stops.
    """
    model = info.model
    if model.architecture in models.OURS:
        return {"library_name": "dmt-ray", "architecture": model.architecture, "encoder": model.encoder} | {
            "arguments": model.arguments,
            "in_channels": info.channels,
        }
    return {
        "_model_class": model.architecture,
        "encoder_name": model.encoder,
        "encoder_weights": None,
        "classes": len(info.classes),
        "in_channels": info.channels,
        **model.arguments,
    }


def _preprocessing(info: ModelInfo) -> Mapping[str, Any]:
    """preprocessor_config.json: Hugging Face's names, then our own."""
    _, mean, std = info.normalisation
    return {
        "do_resize": info.size is not None,
        "size": None if info.size is None else {"height": info.size[0], "width": info.size[1]},
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
        "normalised": info.normalised,
    }


def _write(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{path} cannot be read ({reason}). Export the model again") from None
