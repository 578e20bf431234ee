"""`dmt model`: write a trained model for other programs, and put it into MLflow's registry."""

from collections.abc import Sequence
from pathlib import Path

from dmt_ray.api.trained import Trained
from dmt_ray.deploy import folder as model_folder
from dmt_ray.deploy import graph
from dmt_ray.deploy.graph import Format, Graph


def export(model: Trained, out: Path, formats: Sequence[Format]) -> list[Graph]:
    """Write a model's folder, with graphs in it; an earlier export there is replaced.

    Args:
        model: One network.
        out: The folder; see `deploy.folder`.
        formats: Of the graphs: model.onnx, model.pt2.

    Raises:
        ConfigError: If the folder holds something else, or a package is missing.
        ModelError: If the network cannot be exported so. The folder then has the weights, and the graphs before it.
    """
    (network,), (file,), info = model.networks, model.files, model.info
    model_folder.check_target(out)
    for format in formats:
        graph.check_format(format)
    model_folder.write(out, file, info)
    return [graph.write(network, info, format, out / f"model.{format}") for format in formats]


def register(model: Trained, name: str, alias: str, tracking_uri: str | None, storage: Path) -> tuple[str, bool]:
    """Put a model into MLflow's registry; see `tracking.registry.register`."""
    from dmt_ray.tracking import registry

    (file,), info = model.files, model.info
    return registry.register(
        info, lambda folder: model_folder.write(folder, file, info), name, alias, tracking_uri, storage
    )
