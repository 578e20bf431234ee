"""Links out of the storage folder, and who may write there."""

import logging
import os
from pathlib import Path

import pytest

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from dmt_ray.recipes import named
from dmt_ray.store import DamagedStage, Store
from dmt_ray.store.format import _warn_of_writers
from tests.helpers.fake_stages import fill


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    fill(store, METHODS["baseline"](named("shapes"), 0), rungs=1)
    return store


@pytest.fixture
def stage() -> Stage:
    return METHODS["baseline"](named("shapes"), 0).rungs[0]["A"].inputs["model"]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is not the store's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine", encoding="utf-8")
    return folder


@pytest.mark.attack("symbolic link", "folder of a stage or of an operation", "refused, with the link")
@pytest.mark.parametrize("level", [0, 1])
def test_a_linked_folder_is_refused(store, stage, outside, level):
    place = store.path(stage) if level == 0 else store.path(stage).parent
    os.rename(place, outside / "moved")
    place.symlink_to(outside / "moved")
    with pytest.raises(StoreError, match="is a symbolic link"):
        store.open(stage)


@pytest.mark.attack("symbolic link", "record of a stage", "the stage counts as damaged; nothing outside is touched")
def test_a_linked_record_is_no_record(store, stage, outside):
    record = store.path(stage) / "record.json"
    os.rename(record, outside / "record.json")
    record.symlink_to(outside / "record.json")
    with pytest.raises(DamagedStage, match=r"record\.json is missing"):
        store.open(stage)
    assert (outside / "record.json").is_file()
    with pytest.raises(MissingStages):
        store.open(stage)


@pytest.mark.attack("symbolic link", "file of a stage", "the stage counts as damaged; nothing outside is touched")
def test_a_linked_file_is_damage(store, stage, outside):
    file = store.path(stage) / "history.csv"
    os.rename(file, outside / "history.csv")
    file.symlink_to(outside / "history.csv")
    with pytest.raises(DamagedStage, match=r"history\.csv is not a plain file"):
        store.open(stage)
    assert (outside / "history.csv").is_file()


@pytest.mark.attack("symbolic link", "leftovers that are tidied away", "the link goes, what it leads to stays")
@pytest.mark.parametrize("place", ["staging/x.otherhost.1.aa", "scratch/pretrain-0123456789abcdef0123"])
def test_tidying_follows_no_link(store, outside, place):
    link = store.folder / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    os.utime(link, (0, 0), follow_symlinks=False)
    store.gc(0)
    assert (outside / "precious.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.attack("storage that everybody may write to", "opening the store", "a warning that says how to end it")
def test_a_storage_that_everybody_can_write_to_is_warned_of(tmp_path, caplog):
    _warn_of_writers.cache_clear()
    Store(tmp_path / "private")
    assert not caplog.records
    Store(tmp_path / "open")
    (tmp_path / "open").chmod(0o777)
    with caplog.at_level(logging.WARNING):
        Store(tmp_path / "open")
        Store(tmp_path / "open")
    (record,) = caplog.records
    assert f"chmod o-w {tmp_path / 'open'}" in record.getMessage()
