"""Weights, exported models, what MLflow says of a model, tables of records, and pictures for a served model."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save, save_file

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.deploy import folder as model_folder
from dmt_ray.deploy.image_model import ImageModel
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.deploy.served import Served
from dmt_ray.errors import ConfigError, MissingStages, ModelError, StoreError
from dmt_ray.results import export
from dmt_ray.tracking.registry import data_folder

from . import damage
from .reader import Reader

TINY = Model(architecture="UNet", encoder="none", arguments={"base": 2})
INFO = ModelInfo(
    name="toy",
    model=TINY,
    classes=("dark", "bright"),
    palette=((0, 0, 0), (255, 255, 255)),
    crop=(8, 8),
    key="0123 model.safetensors",
    data=DataUsed(name="toy", settings={"name": "folder", "classes": ["dark", "bright"]}),
)
KINDS = ("u1", "i8", "f4", "f8", "?", "c8", "U3", "O", "M8[s]")  # of arrays that a client may send


@cache
def state_of_tiny() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: value.contiguous() for name, value in models.build(TINY, 2).state_dict().items()}


def _weights(folder: Path) -> None:
    models.restore(TINY, 2, folder / "model.safetensors")


def _first_weights(folder: Path) -> None:
    models.build(TINY.evolve(weights_file=str(folder / "first.safetensors")), 2)


def _weight_files(folder: Path) -> list[bytes]:
    return [save(state_of_tiny(), {"format": "pt"}), save({"a": torch.zeros(2)}), save({"x": torch.zeros(0, 3)})]


def _good(folder: Path) -> Path:
    good = folder / "good"
    if not good.exists():
        save_file(state_of_tiny(), folder / "weights")
        model_folder.write(good, folder / "weights", INFO)
    return good


def _model_folder(name: str, folder: Path) -> None:
    place = _good(folder) / name
    whole = place.read_bytes()
    place.write_bytes((folder / "damaged" / name).read_bytes())
    try:
        model_folder.read(place.parent)
    finally:
        place.write_bytes(whole)


def _model_files(name: str, folder: Path) -> list[bytes]:
    return [(_good(folder) / name).read_bytes()]


def _mlmodel(folder: Path) -> None:
    place = data_folder(folder / "model", "models:/toy/1")
    assert place.resolve().is_relative_to((folder / "model").resolve()), place


def _mlmodels(folder: Path) -> list[bytes]:
    text = "flavors:\n  python_function:\n    data: data/folder\n    loader_module: dmt_ray.deploy.served\n"
    return [text.encode(), f"run_id: 1\nsignature: {{inputs: '[]'}}\n{text}".encode()]


def _records(folder: Path) -> None:
    export.read(folder / "records.parquet")


def _tables(folder: Path) -> list[bytes]:
    frame = pd.DataFrame({"experiment": ["parts-1"] * 3, "row": ["a", "b", "b"], "score": [0.5, 0.25, np.nan]})
    frame.attrs = {"abouts": {"parts-1": {"recipe": "shapes"}}}
    export.write(frame, folder / "some.parquet")
    return [(folder / "some.parquet").read_bytes()]


@cache
def _served() -> Served:
    return Served(ImageModel([models.build(TINY, 2)], INFO, device="cpu"))


def _ask(folder: Path) -> None:
    """The file's bytes say what array the served model is asked with: its dtype, number of axes, sides and pixels."""
    content = (folder / "request.bin").read_bytes().ljust(8, b"\x01")
    kind, axes, *sides = content[:7]
    shape = [side % 20 for side in sides[: axes % 6]]
    pixels = np.resize(np.frombuffer(content[7:], np.uint8), int(np.prod(shape))).reshape(shape)
    made: Any = pixels.tolist() if kind == 255 else pixels.astype(KINDS[kind % len(KINDS)])
    answer = _served().predict(made)
    assert answer.dtype == np.uint8
    assert answer.shape == np.shape(made)[:3]


def _requests(folder: Path) -> list[bytes]:
    return [bytes([0, 4, 2, 9, 11, 3]) + bytes(range(200))]


def _folder(name: str) -> tuple[str, Callable[[Path], object], Callable[[Path], list[bytes]]]:
    return f"damaged/{name}", partial(_model_folder, name), partial(_model_files, name)


READERS = {
    "weights": Reader("model.safetensors", _weights, _weight_files, (ModelError,), None, damage.safetensors),
    "first weights": Reader(
        "first.safetensors", _first_weights, _weight_files, (ModelError,), None, damage.safetensors
    ),
    **{
        f"exported {name}": Reader(*_folder(name), (ModelError,), "good", damage.closed)
        for name in (model_folder.INFO, model_folder.CLASSES, model_folder.PREPROCESSING)
    },
    "MLmodel": Reader("model/MLmodel", _mlmodel, _mlmodels, (ModelError,), "models:/toy/1"),
    "records": Reader("records.parquet", _records, _tables, (StoreError, MissingStages), None, damage.parquet),
    "served pictures": Reader("request.bin", _ask, _requests, (ConfigError,), "picture"),
}
