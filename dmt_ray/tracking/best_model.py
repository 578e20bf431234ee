"""The best model as an MLflow model that anybody can load: one graph from plain images to scores, without pickle."""

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray.config import Normalised
from dmt_ray.engine.workspace import STATISTICS
from dmt_ray.models import load
from dmt_ray.tracking.connection import Mirror
from dmt_ray.tracking.publication import BestModel

if TYPE_CHECKING:
    from mlflow.entities import Run

PUBLISHED_MODEL = "published.model"  # key and URI of the model that was logged
EXAMPLE = (2, 3, 64, 64)  # a batch of 1 would be fixed in the graph


class FromImages(nn.Module):
    """A network with its normalisation: float32 RGB ``[N, 3, H, W]`` in ``[0, 1]`` to logits ``[N, K, H, W]``."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalised: Normalised = "imagenet") -> None:
        super().__init__()
        self.network = network
        for name, values in zip(("mean", "std"), STATISTICS[normalised]):
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def log_best_model(mirror: Mirror, run: "Run", model: BestModel) -> str:
    """Log a model with a run, once.

    Returns:
        Its URI, for ``mlflow.pytorch.load_model``.

    Raises:
        MissingStages: If its weights are evicted.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    key, _, uri = run.data.tags.get(PUBLISHED_MODEL, "").partition(" ")
    if key == model.key:
        return uri
    folder = model.folder()
    client = mirror.client
    name, value = model.score
    tags = {"stage": model.stage, name: f"{value:.4f}"}
    logged = client.create_logged_model(mirror.experiment, "model", source_run_id=run.info.run_id, tags=tags)
    try:
        with tempfile.TemporaryDirectory(prefix="dmt-") as temporary:
            path = Path(temporary) / "model"
            save(folder, path, model, Model(run_id=run.info.run_id, model_id=logged.model_id))
            client.log_model_artifacts(logged.model_id, str(path))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, 0)])
    uri = str(logged.model_uri)
    mirror.tag(run, {PUBLISHED_MODEL: f"{model.key} {uri}", "best.model": uri})
    return uri


def save(folder: Path, path: Path, model: BestModel, mlflow_model: object = None) -> None:
    """Write a model from a stage's folder as an MLflow model into a new folder.

    The number and size of images may vary, as far as the network can be traced so.
    """
    import mlflow.pytorch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # An environment made by uv has no pip, and MLflow would warn of that: torch's version is all that is needed.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)

    network, description = load(folder, model.file, averaged=model.averaged)
    classes = int(description["classes"])
    images, logits = (
        Schema([TensorSpec(np.dtype("float32"), (-1, channels, -1, -1), name)])
        for channels, name in ((3, "images"), (classes, "logits"))
    )
    metadata = {
        "input": "RGB images, float32 [N, 3, H, W] in 0..1; the normalisation is in the model",
        "output": "logits [N, K, H, W]; argmax over K gives the class",
        "classes": [model.class_name(k) for k in range(classes)],
        "model": description["model"],
        "first_weights": description.get("first_weights", "random, or from a file by its digest"),
    }
    mlflow.pytorch.save_model(
        FromImages(network, description.get("normalised", "imagenet")).eval(),
        str(path),
        mlflow_model=mlflow_model,
        signature=ModelSignature(images, logits),
        input_example=np.zeros(EXAMPLE, np.float32),
        serialization_format="pt2",
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
        metadata=metadata,
    )
