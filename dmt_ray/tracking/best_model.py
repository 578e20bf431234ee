"""The best model as an MLflow model that anybody can load: one graph from plain images to scores, without pickle."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray.engine.workspace import MEAN, STD
from dmt_ray.errors import MissingStages
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.models import MODEL as MODEL_FILE
from dmt_ray.models import load
from dmt_ray.plan import Plan, Stage
from dmt_ray.results.scores import measure, score
from dmt_ray.store import Store
from dmt_ray.tracking.connection import Mirror, log

if TYPE_CHECKING:
    from mlflow.entities import Run

MODEL = "published.model"
EXAMPLE = (2, 3, 64, 64)  # a batch of 1 would be fixed in the graph


class FromImages(nn.Module):
    """A network with its normalisation: float32 RGB ``[N, 3, H, W]`` in ``[0, 1]`` to logits ``[N, K, H, W]``."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.as_tensor(MEAN, dtype=torch.float32).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.as_tensor(STD, dtype=torch.float32).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def log_best_model(
    mirror: Mirror, run: "Run", store: Store, plans: Mapping[int, Plan], dataset_info: DatasetInfo
) -> str | None:
    """Log the model with the highest selection score of the plans' last rungs, once.

    Returns:
        Its URI, for ``mlflow.pytorch.load_model``; None where its weights are evicted.
    """
    evaluations = [evaluation for plan in plans.values() for evaluation in plan.rungs[-1].values()]
    best = max(evaluations, key=lambda evaluation: score(store, evaluation))
    known = run.data.tags.get(MODEL, "").split(" ")
    if known[0] == best.key:
        return known[1]
    try:
        folder = store.open(best.inputs["model"], files=True)
    except MissingStages as error:
        log.warning("the best model is not published: %s", error)
        return None
    uri = _log(mirror, run, folder, best, f"{measure(store, best)}_selection", score(store, best), dataset_info)
    mirror.tag(run, {MODEL: f"{best.key} {uri}", "best.model": uri})
    return uri


def _log(
    mirror: Mirror, run: "Run", folder: Path, evaluation: Stage, name: str, value: float, dataset_info: DatasetInfo
) -> str:
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = mirror.client
    tags = {"stage": evaluation.inputs["model"].key, name: f"{value:.4f}"}
    logged = client.create_logged_model(mirror.experiment, "model", source_run_id=run.info.run_id, tags=tags)
    try:
        with tempfile.TemporaryDirectory(prefix="dmt-") as aside:
            path = Path(aside) / "model"
            save(folder, path, dataset_info, evaluation, Model(run_id=run.info.run_id, model_id=logged.model_id))
            client.log_model_artifacts(logged.model_id, str(path))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, 0)])
    return str(logged.model_uri)


def save(folder: Path, path: Path, dataset_info: DatasetInfo, evaluation: Stage, described: object = None) -> None:
    """Write the evaluated model in a stage's folder as an MLflow model into a new folder.

    The number and size of images may vary, as far as the network can be traced so.
    """
    import mlflow.pytorch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # An environment made by uv has no pip, and MLflow would warn of that: torch's version is all that is needed.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)

    config: Any = evaluation.config
    network, description = load(folder, config.member or MODEL_FILE, averaged=config.averaged)
    classes = int(description["classes"])
    whole = FromImages(network).eval()
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("float32"), (-1, 3, -1, -1), "images")]),
        Schema([TensorSpec(np.dtype("float32"), (-1, classes, -1, -1), "logits")]),
    )
    metadata = {
        "input": "RGB images, float32 [N, 3, H, W] in 0..1; the normalisation is in the model",
        "output": "logits [N, K, H, W]; argmax over K gives the class",
        "classes": [dataset_info.class_name(k) for k in range(classes)],
        "model": description["model"],
    }
    mlflow.pytorch.save_model(
        whole,
        str(path),
        mlflow_model=described,
        signature=signature,
        input_example=np.zeros(EXAMPLE, np.float32),
        serialization_format="pt2",
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
        metadata=metadata,
    )
