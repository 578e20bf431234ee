"""Models in MLflow: fetch one by its address, and put one into the registry under a name and an alias."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from dmt_ray.deploy.model_info import ModelInfo
from dmt_ray.errors import ConfigError, ModelError, UserError
from dmt_ray.tracking.best_model import LOADER, OF_MODEL, log_model
from dmt_ray.tracking.connection import Mirror, explain
from dmt_ray.tracking.tracker import mirror_of

LONGEST = 200_000  # bytes of a file MLmodel
FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/MODEL_ID or runs:/RUN_ID"
LOGGED = "dmt.logged_model"  # tag of a registered version: the id of the logged model
MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
NAME = re.compile(r"[^/:]+")
ALIAS = re.compile(r"(?!v\d+$|latest$)[A-Za-z0-9_-]+")


def fetch(uri: str, tracking_uri: str | None, storage: Path) -> Path:
    """The folder of `deploy.folder` that a logged or registered model holds, downloaded where it is not on this disk.

    Args:
        uri: One of `FORMS`.
        tracking_uri: MLflow; None: as MLFLOW_TRACKING_URI says, else mlflow.db in the storage folder.
        storage: Folder of the results.

    Raises:
        UserError: If MLflow cannot be used, or has no such model.
        ModelError: If the model is none that this version has logged.
    """
    with _opened(tracking_uri, storage) as mirror:
        from mlflow.artifacts import download_artifacts

        logged = mirror.client.get_logged_model(_model_id(mirror, uri))
        return data_folder(Path(download_artifacts(logged.artifact_location, tracking_uri=mirror.uri)), uri)


def register(
    info: ModelInfo, write: Callable[[Path], None], name: str, alias: str, tracking_uri: str | None, storage: Path
) -> tuple[str, bool]:
    """Put a model into the registry; the alias, if one is given, then names it.

    A model that is logged already is not logged again, and one that has a version under this name gets no other one.

    Args:
        info: What is known of the model.
        write: Writes the folder of `deploy.folder`.
        name: Of the registered model; it is made where there is none.
        alias: "" for none.
        tracking_uri: MLflow; None: as MLFLOW_TRACKING_URI says, else mlflow.db in the storage folder.
        storage: Folder of the results.

    Returns:
        The version, and whether it is new.

    Raises:
        ConfigError: If MLflow does not allow the name or the alias.
        UserError: If MLflow cannot be used.
    """
    check_names(name, alias)
    with _opened(tracking_uri, storage) as mirror:
        from mlflow.exceptions import MlflowException

        client = mirror.client
        try:
            client.get_registered_model(name)
        except MlflowException:
            client.create_registered_model(name)
        known: list[Any] = client.search_model_versions(f"name = '{name}'")
        version = next((one for one in known if one.tags.get(OF_MODEL) == info.key), None)
        new = version is None
        if version is None:
            model_id = _logged(mirror, info) or log_model(mirror, info, write)[0]
            logged = client.get_logged_model(model_id)
            # MLflow looks a `model_id` up at an address that is global to the process, so it goes into a tag.
            tags = {OF_MODEL: info.key, LOGGED: model_id}
            version = client.create_model_version(name, logged.artifact_location, logged.source_run_id, tags)
        if alias:
            client.set_registered_model_alias(name, alias, version.version)
        return str(version.version), new


def check_names(name: str, alias: str) -> None:
    """Raise a ConfigError for a name or an alias that MLflow does not allow."""
    if not NAME.fullmatch(name) or "'" in name:
        raise ConfigError(f"the name of a registered model has no '/', ':' or quote, but got {name!r}")
    if alias and not ALIAS.fullmatch(alias):
        raise ConfigError(
            "an alias consists of letters, digits, '_' and '-', and is neither 'latest' nor 'v' with a number, but "
            f"got {alias!r}"
        )


@contextmanager
def _opened(tracking_uri: str | None, storage: Path) -> Iterator[Mirror]:
    mirror = mirror_of(tracking_uri, storage)
    try:
        mirror.open()
        yield mirror
    except UserError:
        raise
    except Exception as error:  # every server, driver and proxy has errors of its own
        raise UserError(f"MLflow at {mirror.public_uri} cannot do this: {explain(error)}") from None


def _model_id(mirror: Mirror, uri: str) -> str:
    """The id of the logged model that an address names."""
    client, kind, (first, *rest) = mirror.client, uri.partition(":/")[0], uri.partition(":/")[2].split("/")
    if kind == "runs":
        outputs = client.get_run(first).outputs
        found = [] if outputs is None else [one.model_id for one in outputs.model_outputs]
        if not found:
            raise ModelError(f"the run {first} of MLflow has logged no model; a run does when it is complete")
        return str(found[-1])
    if MODEL_ID.fullmatch(first) and not rest:
        return first
    name, at, alias = first.partition("@")
    if bool(at) == bool(rest) or len(rest) > 1 or not name:
        raise ConfigError(f"a model in MLflow is named as {FORMS}, but got {uri!r}")
    version: Any = client.get_model_version_by_alias(name, alias) if at else client.get_model_version(name, rest[0])
    if LOGGED not in version.tags:
        raise ModelError(f"{uri} was not registered by `dmt model register`, so it is no model of dmt-ray")
    return str(version.tags[LOGGED])


def _logged(mirror: Mirror, info: ModelInfo) -> str | None:
    """The id of a model that was logged with its run."""
    found: list[Any] = mirror.client.search_logged_models(
        [mirror.experiment], filter_string=f"tags.`{OF_MODEL}` = '{info.key}'", max_results=1
    )
    return str(found[0].model_id) if found else None


def data_folder(path: Path, uri: str) -> Path:
    """The folder inside an MLflow model, whose file MLmodel a server has given.

    Raises:
        ModelError: If the file cannot be read, is another program's, or names a folder outside the model's.
    """
    try:
        content = (path / "MLmodel").read_bytes()
        if len(content) > LONGEST:
            raise ValueError(f"it has {len(content):,} bytes")
        flavour = yaml.safe_load(content)["flavors"].get("python_function", {})
        loader, data = flavour.get("loader_module"), flavour.get("data", "")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise ModelError(f"{uri} holds a file MLmodel that cannot be read ({error}). Log the model again") from None
    if loader != LOADER:
        raise ModelError(
            f"{uri} was logged by another program, or by an earlier version of dmt-ray; `dmt publish` logs the models "
            "of all runs in a storage folder"
        )
    if not isinstance(data, str) or "\0" in data or not (path / data).resolve().is_relative_to(path.resolve()):
        raise ModelError(f"{uri} keeps its data outside its own folder, at {data!r}; such a model is not read")
    return path / data
