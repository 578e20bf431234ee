"""MLflow where the storage folder was moved, has an odd name, or holds a database that MLflow cannot use."""

import logging
import shutil
import sqlite3
from pathlib import Path

import pytest

from dmt_ray.errors import UserError
from dmt_ray.files import sqlite_url
from dmt_ray.tracking import Content, Entry, Mirror, Publication, connect
from dmt_ray.tracking.connection import ARTIFACTS, DATABASE
from dmt_ray.tracking.publish import publish

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")]


def mirror_in(folder: Path) -> Mirror:
    folder.mkdir(exist_ok=True)
    mirror = Mirror(sqlite_url(folder / DATABASE), folder / ARTIFACTS)
    mirror.open()
    return mirror


def with_a_file(name: str) -> Publication:
    def write(folder: Path) -> None:
        (folder / "curves.txt").write_text("up")

    content = Content({"seed": "0"}, {"a": "b"}, write_files=write)
    return Publication(Entry(name, {"dmt.name": name}, "FINISHED", lambda: "digest", lambda: content))


def files_of(mirror: Mirror, name: str) -> list[str]:
    (run,) = mirror.find({"dmt.name": name})
    return [file.path for file in mirror.client.list_artifacts(run.info.run_id)]


def test_a_moved_storage_folder_shows_old_files_and_takes_new_ones(tmp_path):
    publish(mirror_in(tmp_path / "old"), with_a_file("first"))
    (tmp_path / "old").rename(tmp_path / "new")
    mirror = mirror_in(tmp_path / "new")
    publish(mirror, with_a_file("second"))
    assert files_of(mirror, "first") == files_of(mirror, "second") == ["curves.txt"]
    assert not (tmp_path / "old").exists()


def test_models_of_a_moved_storage_folder_are_found(tmp_path):
    mirror = mirror_in(tmp_path / "old")
    logged = mirror.client.create_logged_model(mirror.experiment, "model")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_text("w")
    mirror.client.log_model_artifacts(logged.model_id, str(tmp_path / "model"))
    (tmp_path / "old").rename(tmp_path / "new")
    model = mirror_in(tmp_path / "new").client.get_logged_model(logged.model_id)
    assert model.artifact_location.startswith((tmp_path / "new").as_uri() + "/")


def test_files_that_were_deleted_are_published_again(tmp_path):
    mirror = mirror_in(tmp_path / "runs")
    publish(mirror, with_a_file("one"))
    shutil.rmtree(tmp_path / "runs" / ARTIFACTS)
    publish(mirror, with_a_file("one"))
    assert files_of(mirror, "one") == ["curves.txt"]


@pytest.mark.parametrize("name", ["a%20b", "x?y", "z#1", "it's [v2]", "ü & Söhne"])
def test_a_storage_folder_of_any_name_holds_its_database_and_its_files(name, tmp_path):
    mirror = mirror_in(tmp_path / name)
    publish(mirror, with_a_file("one"))
    assert files_of(mirror, "one") == ["curves.txt"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / DATABASE).is_file()


@pytest.mark.parametrize("name", ["it's [v2]", "100% of _ 'quoted'", "both \" and '", "back\\slash'"])
def test_a_run_of_any_name_is_found_again_and_no_other_one(name, tmp_path):
    mirror = mirror_in(tmp_path)
    for each in (name, name.replace("'", "x")):
        publish(mirror, with_a_file(each))
    assert [run.data.tags["dmt.name"] for run in mirror.find({"dmt.name": name})] == [name]


def test_garbage_in_the_database_is_said_at_once(tmp_path):
    (tmp_path / DATABASE).write_bytes(b"this is no database " * 100)
    with pytest.raises(UserError, match=r"mlflow\.db is not an MLflow database .*Move it away: `dmt publish` then"):
        connect(None, tmp_path)


def test_a_database_of_another_version_names_the_command_that_upgrades_it(tmp_path):
    mirror_in(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")  # MLflow does not look again at a file that it knows
    with sqlite3.connect(tmp_path / "new" / DATABASE) as database:
        database.execute("UPDATE alembic_version SET version_num = 'bd07f7e963c5'")
    with pytest.raises(UserError, match=r"another version of MLflow.*`mlflow db upgrade sqlite:///.*or move it away"):
        connect(None, tmp_path / "new")


def test_the_variable_of_mlflow_is_used_and_said(tmp_path, monkeypatch, caplog):
    uri = sqlite_url(tmp_path / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with caplog.at_level(logging.WARNING):
        tracker = connect(None, tmp_path / "runs")
    tracker.close()
    assert tracker.uri == uri
    assert f"results go to MLflow at {uri}, as the variable MLFLOW_TRACKING_URI says" in caplog.text


def test_the_variable_of_mlflow_gives_way_to_an_address_that_was_given(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_url(tmp_path / "elsewhere.db"))
    tracker = connect(sqlite_url(tmp_path / "given.db"), tmp_path / "runs")
    tracker.close()
    assert tracker.uri == sqlite_url(tmp_path / "given.db")
    assert not (tmp_path / "elsewhere.db").exists()
