"""The best model as an MLflow model that serves: pictures in, classes out, with the preprocessing inside.

What is logged is the folder of `deploy.folder`, weights and plain JSON, and the module that MLflow loads it with. To
log it copies files: no network is built, and no graph is traced.
"""

import json
import logging
import re
import tempfile
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmt_ray.config import COLOURS
from dmt_ray.deploy import folder as model_folder
from dmt_ray.deploy.model_info import ModelInfo
from dmt_ray.errors import MissingStages
from dmt_ray.plan.words import counted
from dmt_ray.results.names import LONGEST
from dmt_ray.tracking.connection import Mirror
from dmt_ray.tracking.publication import BestModel

if TYPE_CHECKING:
    from mlflow.entities import Run

PUBLISHED_MODEL = "published.model"  # key and URI of the model that was logged
LOADER = "dmt_ray.deploy.served"
EXAMPLE = (1, 64, 64)  # number, height, width
OF_MODEL = "dmt.model"  # tag of a logged model: `ModelInfo.key`


def log_best_model(mirror: Mirror, run: "Run", model: BestModel) -> str:
    """Log a model with a run, once.

    Returns:
        Its URI, for ``mlflow.pyfunc.load_model``.

    Raises:
        MissingStages: If its weights are evicted.
    """
    from mlflow.entities import LoggedModelOutput

    key, _, uri = run.data.tags.get(PUBLISHED_MODEL, "").partition(" ")
    if key == model.key:
        return uri
    info, weights = model.info(), model.weights()
    if not weights.is_file():
        raise MissingStages(f"{info.key} was evicted to free space")
    model_id, uri = log_model(mirror, info, lambda folder: model_folder.write(folder, weights, info), run)
    mirror.client.log_outputs(run.info.run_id, [LoggedModelOutput(model_id, 0)])
    mirror.tag(run, {PUBLISHED_MODEL: f"{model.key} {uri}", "best.model": uri})
    return uri


def log_model(
    mirror: Mirror, info: ModelInfo, write: Callable[[Path], None], run: "Run | None" = None
) -> tuple[str, str]:
    """Log a model with a run, or by itself.

    Args:
        mirror: Where to.
        info: What is known of it.
        write: Writes the folder of `deploy.folder`.
        run: The run.

    Returns:
        Id and URI of the logged model.
    """
    from mlflow.models import Model

    client, run_id = mirror.client, None if run is None else run.info.run_id
    tags = {OF_MODEL: info.key} | ({} if info.score is None else {info.score.measure: f"{info.score.test:.4f}"})
    logged = client.create_logged_model(mirror.experiment, name_of(info), source_run_id=run_id, tags=tags)
    try:
        with tempfile.TemporaryDirectory(prefix="dmt-") as temporary:
            folder, path = Path(temporary) / "folder", Path(temporary) / "model"
            write(folder)
            save(folder, path, info, Model(run_id=run_id, model_id=logged.model_id))
            client.log_model_artifacts(logged.model_id, str(path))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id), str(logged.model_uri)


def name_of(info: ModelInfo) -> str:
    """A model's name in MLflow, which allows few characters: "dmt-shapes-seed0-1a2b3c4d A Unet-resnet18"."""
    return re.sub(r"""[/:.%"']+""", "-", f"{info.name} {info.network}")[:LONGEST]


def save(folder: Path, path: Path, info: ModelInfo, mlflow_model: Any = None) -> None:
    """Write a folder of `deploy.folder` as an MLflow model into a new folder."""
    with warnings.catch_warnings(action="ignore"):  # of MLflow, about its own type hints
        import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # An environment made by uv has no pip, and MLflow would warn of that.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    # Without names: `predict` and a server then take a plain array.
    sides = (1, 1) if info.task == "classification" else (-1, -1)
    shapes = (-1, -1, -1, info.channels), (-1, *sides)
    pictures, classes = (Schema([TensorSpec(np.dtype("uint8"), shape)]) for shape in shapes)
    mlflow.pyfunc.save_model(
        str(path),
        loader_module=LOADER,
        data_path=str(folder),
        signature=ModelSignature(pictures, classes),
        input_example=np.zeros((*EXAMPLE, info.channels), np.uint8),
        pip_requirements=[f"dmt-ray=={metadata.version('dmt-ray')}"],
        metadata=json.loads(json.dumps(_metadata(info))),
        mlflow_model=mlflow_model,
    )


def _metadata(info: ModelInfo) -> dict[str, Any]:
    """What a reader of the file MLmodel wants to know."""
    kind = "RGB pictures" if info.channels == COLOURS else f"pictures of {counted(info.channels, 'channel')}"
    return {
        "input": f"{kind}, uint8 [N, H, W, {info.channels}]; resizing, normalisation and tiles are in the model",
        "output": "the class of each pixel, uint8 [N, H, W]; in classification [N, 1, 1]",
        **info.model_dump(mode="json"),
    }
