"""The models in MLflow: what is logged, that it serves, and what is registered."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from dmt_ray.deploy import folder as model_folder
from dmt_ray.deploy.image_model import ImageModel
from dmt_ray.errors import ConfigError, ModelError, UserError
from dmt_ray.report import run_files
from dmt_ray.report.publishing import of_ablation, of_run
from dmt_ray.store import Store
from dmt_ray.tracking import Mirror
from dmt_ray.tracking.connection import ARTIFACTS, DATABASE
from dmt_ray.tracking.publish import publish
from dmt_ray.tracking.registry import fetch, register
from tests.helpers.fake_stages import CLASSES, PALETTE, TWO_ROWS, ablation_file
from tests.helpers.trained import FINGERPRINT, run_file, store_models

# MLflow and its dependencies use what Python is about to drop.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")]


@pytest.fixture(scope="module", autouse=True)
def no_figures() -> Iterator[None]:
    """Drawing takes longer than everything else, and is not what these tests are about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_files, "write_run", lambda *_: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def working_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow's own default is a database in the working directory: none of these tests, in this process or in one of
    MLflow's commands, may leave anything there."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage folder with one run whose model is published in its own MLflow."""
    storage = tmp_path_factory.mktemp("published") / "runs"
    file = run_file(storage, "dmt")
    mirror = opened(storage)
    publish(mirror, of_run(file, Store(storage)))
    return storage


def opened(storage: Path) -> Mirror:
    from dmt_ray.files import sqlite_url

    mirror = Mirror(sqlite_url(storage / DATABASE), storage / ARTIFACTS)
    mirror.open()
    return mirror


def published(storage: Path):
    mirror = opened(storage)
    (run,) = mirror.client.search_runs([mirror.experiment])
    models = mirror.client.search_logged_models([mirror.experiment])
    (logged,) = [one for one in models if one.source_run_id == run.info.run_id]
    return mirror, run, logged


def path_of(logged) -> Path:
    return Path(logged.artifact_location.removeprefix("file://"))


def test_a_run_logs_its_better_model_under_a_name_that_says_what_it_is(storage):
    _, run, logged = published(storage)
    assert logged.name == f"{run.info.run_name} B UNet"
    assert logged.source_run_id == run.info.run_id
    assert run.data.tags["best.model"] == f"models:/{logged.model_id}"
    assert logged.tags["miou"] == "0.5000"  # of B on the test images: 0.1 less than on the validation images


def test_the_metadata_hold_classes_colours_preprocessing_and_scores(storage):
    from mlflow.models import Model

    known = Model.load(str(path_of(published(storage)[2]))).metadata
    assert known["classes"] == list(CLASSES)
    assert known["palette"] == PALETTE.tolist()
    assert (known["size"], known["normalised"]) == (None, "imagenet")
    assert known["score"]["validation"] == pytest.approx(0.6)
    # last: the mean of A and B; val: the better one.
    assert [(one["rule"], one["validation"], one["n"]) for one in known["scores"]] == [
        ("last", pytest.approx(0.55), 1),
        ("val", pytest.approx(0.6), 1),
        ("paper", pytest.approx(0.6), 1),
    ]


def test_a_run_names_the_data_that_it_was_trained_on(storage):
    _, run, _ = published(storage)
    (one,) = run.inputs.dataset_inputs
    assert (one.dataset.name, one.dataset.digest) == ("shapes", FINGERPRINT)
    tags = {tag.key: tag.value for tag in one.tags}
    assert (tags["split"], tags["split.digest"]) == ("random-16-0", "abcabcabcabc")


def test_publishing_again_logs_neither_model_nor_data_twice(storage):
    mirror, run, _ = published(storage)
    mirror.client.delete_tag(run.info.run_id, "published.all")  # as if there were something new
    file = run_file(storage, "dmt")
    publish(opened(storage), of_run(file, Store(storage)))
    _, again, _ = published(storage)
    assert len(again.inputs.dataset_inputs) == 1


def test_the_logged_model_predicts_its_own_example_as_the_network_does(storage):
    import mlflow.pyfunc

    path = path_of(published(storage)[2])
    model = mlflow.pyfunc.load_model(str(path))
    example = np.random.default_rng(0).integers(0, 256, (2, 48, 40, 3), np.uint8)
    classes = model.predict(example)
    network, info = model_folder.read(path / "data" / "folder")
    expected = ImageModel([network], info)
    assert (classes == np.stack([expected(picture) for picture in example])).all()
    assert classes.shape == (2, 48, 40)
    assert model.predict(model.input_example).shape == (1, 64, 64)
    assert len(np.unique(classes)) > 1


def test_a_model_is_registered_once_and_its_alias_leads_to_its_folder(storage):
    _, _, logged = published(storage)
    folder = path_of(logged) / "data" / "folder"
    _, info = model_folder.read(folder)

    def never(_: Path) -> None:
        raise AssertionError("the model is logged already")

    assert register(info, never, "shapes", "champion", None, storage) == ("1", True)
    assert register(info, never, "shapes", "best", None, storage) == ("1", False)
    for uri in ("models:/shapes@champion", "models:/shapes@best", "models:/shapes/1", f"models:/{logged.model_id}"):
        assert fetch(uri, None, storage) == path_of(logged) / "data" / "folder"
    assert fetch(f"runs:/{logged.source_run_id}", None, storage) == path_of(logged) / "data" / "folder"
    other = info.evolve(key="other model.safetensors", name="other")
    assert register(
        other, lambda out: model_folder.write(out, folder / model_folder.WEIGHTS, other), "shapes", "", None, storage
    ) == ("2", True)


def test_what_is_not_in_mlflow_or_wrongly_named_is_an_error(storage):
    with pytest.raises(ConfigError, match=r"is named as models:/NAME@ALIAS, .* but got 'models:/shapes'"):
        fetch("models:/shapes", None, storage)
    with pytest.raises(UserError, match=r"cannot do this: .*nothing"):
        fetch("models:/nothing@champion", None, storage)
    with pytest.raises(ConfigError, match="neither 'latest' nor"):
        register(None, lambda _: None, "shapes", "latest", None, storage)  # type: ignore[arg-type]
    mirror = opened(storage)
    bare = mirror.create("bare", {}, None)
    with pytest.raises(ModelError, match="has logged no model"):
        fetch(f"runs:/{bare.info.run_id}", None, storage)
    mirror.client.delete_run(bare.info.run_id)


def test_each_row_of_a_finished_ablation_logs_the_model_of_its_best_seed(tmp_path):
    store = Store(tmp_path)
    file = replace(ablation_file("files", TWO_ROWS), storage=tmp_path)
    for member in file.ablation.members():
        better = member.seed == 1
        store_models(store, member.plan, validation=(0.7, 0.6) if better else (0.5, 0.4))
    mirror = opened(tmp_path)
    publish(mirror, of_ablation(tmp_path, file, store, "stopped", {}))
    assert not mirror.client.search_logged_models([mirror.experiment])
    publish(mirror, of_ablation(tmp_path, file, store, "finished", {}))
    names = sorted(one.name for one in mirror.client.search_logged_models([mirror.experiment]))
    assert names == [f"{file.ablation.name} {row} · seed 1 A UNet" for row in ("Baseline", "DMT")]


# ---- MLflow's own commands -------------------------------------------------------------------------------------


def mlflow(*words: str) -> list[str]:
    return [sys.executable, "-m", "mlflow", "models", *words, "--env-manager", "local"]


@pytest.mark.slow
def test_mlflow_models_predict_takes_the_models_own_example(storage, tmp_path):
    path = path_of(published(storage)[2])
    out = tmp_path / "out.json"
    words = mlflow("predict", "-m", str(path), "-i", str(path / "serving_input_example.json"), "-o", str(out))
    done = subprocess.run([*words, "-t", "json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.array(json.loads(out.read_text())["predictions"]).shape == (1, 64, 64)


@pytest.mark.slow
def test_mlflow_models_serve_answers_with_classes(storage, tmp_path):
    path = path_of(published(storage)[2])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = mlflow("serve", "-m", str(path), "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    # As in an environment that is activated: MLflow calls a server of it by name.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    body = (path / "serving_input_example.json").read_bytes()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with (tmp_path / "log.txt").open("w+") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, env=environment)
        try:
            classes = np.array(answer_of(server, request, log)["predictions"])
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)
    assert classes.shape == (1, 64, 64)
    assert set(np.unique(classes)) <= set(range(len(CLASSES)))


def answer_of(server: subprocess.Popen[bytes], request: urllib.request.Request, log: IO[str]) -> Any:
    """What a server answers as soon as it listens."""
    for _ in range(300):
        if server.poll() is not None:
            log.seek(0)
            pytest.fail(f"the server has ended: {log.read()[-2000:]}")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            pytest.fail(f"the server answers {error.code}: {error.read().decode()[:2000]}")
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        time.sleep(1)
    pytest.fail("the server does not listen")
