"""What the store guarantees: a stage is written whole or not at all, checked when read, and quarantined if damaged."""

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dmt_ray import recipes
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.plan import Operation, Stage, operations
from dmt_ray.store import DamagedStage, Store, files, stage_dirs
from tests.helpers.stage_records import rewrite

CONFIG = recipes.named("shapes")
A = operations.pretrain(CONFIG, seed=0)
LABELS = operations.label(CONFIG, teacher=A, share=0.2)
TUNED = operations.finetune(CONFIG, start=A, labels=LABELS, seed=0)
SCORE = operations.evaluate(CONFIG, model=TUNED)

WRITER = """
import sys, time
from pathlib import Path
from dmt_ray.plan import operations
from dmt_ray import recipes
from dmt_ray.store import Store
stage = operations.pretrain(recipes.named("shapes"), seed=0)
store = Store(Path(sys.argv[1]))
"""


def put(store: Store, stage: Stage, content: bytes = b"weights", name: str = "model.safetensors") -> Path:
    with store.write(stage) as folder:
        (folder / name).write_bytes(content)
        (folder / "history.csv").write_text("step,loss\n0,1.5\n")
    return store.path(stage)


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER + script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small file system is not permitted: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


# ---- writing ---------------------------------------------------------------------------------------------------


def test_a_stage_is_read_as_it_was_written(store: Store) -> None:
    made: dict[str, object] = {"host": "node1"}
    with store.write(A, made) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
        assert not store.has(A)
        made["seconds"] = 1.5
    assert store.has(A, files=True)
    assert (store.open(A) / "model.safetensors").read_bytes() == b"weights"
    record = store.record(A)
    assert (record.key, record.operation, record.seed) == (A.key, "pretrain", 0)
    assert record.sizes == {"model.safetensors": 7}
    assert record.made.keys() == {"host", "seconds", "when"}
    assert store.path(A) == store.folder / "stages" / "pretrain" / A.key


def test_a_record_knows_the_digests_of_its_inputs(store: Store) -> None:
    put(store, A)
    put(store, LABELS, name="labels.npy")
    record = store.record(LABELS)
    assert record.inputs == {"teacher": A.key}
    assert record.input_digests == {"teacher": store.record(A).digest}


def test_a_block_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-image"), store.write(A) as folder:
        (folder / "model.safetensors").write_bytes(Path("no-such-image.png").read_bytes())
    assert not store.has(A)
    assert list((store.folder / "staging").iterdir()) == []


WRITING = "(folder / 'b').write_bytes(b'2'); print('now', flush=True); time.sleep(60)"
RENAMING = "os.rename = lambda *_: (print('now', flush=True), time.sleep(60))"


def kill_a_write(store: Store, last: str) -> None:
    """Kill a process that writes stage A when it has come to `last`."""
    child = start(
        f"import os\nwith store.write(stage) as folder:\n    (folder / 'a').write_bytes(b'1'); {last}", store.folder
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "now\n"
    child.kill()
    child.communicate()
    assert len(list((store.folder / "staging").iterdir())) == 1
    assert not store.has(A)
    assert store.ls() == []
    assert store.missing([A]) == [A]


def test_a_killed_write_leaves_no_stage_and_gc_cleans_up(store: Store) -> None:
    kill_a_write(store, WRITING)
    freed = store.gc(10**9)
    assert [name.split(".")[0] for name in freed.removed] == [f"staging/{A.name}"]
    assert list((store.folder / "staging").iterdir()) == []
    put(store, A)
    assert store.open(A)


def test_a_write_that_was_killed_when_all_was_written_is_put_into_the_store_by_gc(store: Store) -> None:
    kill_a_write(store, RENAMING)
    assert store.gc(10**9).removed == ()
    assert list((store.folder / "staging").iterdir()) == []
    assert (store.open(A) / "a").read_bytes() == b"1"


def test_gc_leaves_what_living_processes_write(store: Store) -> None:
    with store.write(A) as folder:
        assert store.gc(0).removed == ()
        (folder / "model.safetensors").write_bytes(b"weights")
    assert store.open(A)


def test_of_two_processes_that_write_the_same_stage_the_first_one_stays(store: Store, tmp_path: Path) -> None:
    script = """
with store.write(stage) as folder:
    (folder / "model.safetensors").write_bytes(sys.argv[2].encode() * 100_000)
    print("ready", flush=True)
    while not Path(sys.argv[3]).exists():
        time.sleep(0.01)
store.open(stage)
"""
    children = [start(script, store.folder, word, tmp_path / "go") for word in "xy"]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    assert [child.communicate()[1] for child in children] == ["", ""]
    assert [child.returncode for child in children] == [0, 0]
    assert len(set((store.open(A) / "model.safetensors").read_text())) == 1
    assert list((store.folder / "staging").iterdir()) == []


def test_an_intact_stage_is_not_overwritten(store: Store) -> None:
    put(store, A, b"first")
    put(store, A, b"other")
    assert (store.open(A) / "model.safetensors").read_bytes() == b"first"


def test_writing_replaces_a_damaged_stage(store: Store) -> None:
    (put(store, A) / "history.csv").unlink()
    put(store, A, b"again")
    assert (store.open(A) / "model.safetensors").read_bytes() == b"again"
    assert [path.name for path in (store.folder / "damaged").iterdir()] == [f"{A.name}-1"]


def test_scratch_outlives_a_failure_and_goes_with_the_writing(store: Store) -> None:
    (store.scratch(A) / "step-10").write_text("checkpoint")
    with pytest.raises(KeyboardInterrupt), store.write(A):
        raise KeyboardInterrupt
    assert (store.scratch(A) / "step-10").exists()
    put(store, A)
    assert list((store.folder / "scratch").iterdir()) == []


@pytest.mark.parametrize("name", ["record.json", ".hidden", "a b", "folder/"])
def test_a_stage_holds_only_plain_files(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="plain files"), store.write(A) as folder:
        (folder / name).mkdir() if name.endswith("/") else (folder / name).write_text("{}")
    assert not store.has(A)


# ---- reading ---------------------------------------------------------------------------------------------------


def alter(path: Path) -> None:
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    path.write_bytes(b"W" + path.read_bytes()[1:])


def change_record(path: Path, **changes: object) -> None:
    rewrite(path / "record.json", **changes)


DAMAGE = {
    "a missing file": (lambda path: (path / "model.safetensors").unlink(), "model.safetensors is missing"),
    "a truncated file": (lambda path: os.truncate(path / "model.safetensors", 3), "has 3 bytes instead of 7"),
    "an altered file": (lambda path: alter(path / "model.safetensors"), "model.safetensors is altered"),
    "a linked file": (
        lambda path: (
            (path / "model.safetensors").rename(path / "x"),
            (path / "model.safetensors").symlink_to(path / "x"),
        ),
        "is not a plain file",
    ),
    "no record": (lambda path: (path / "record.json").unlink(), "record.json is missing"),
    "half a record": (lambda path: os.truncate(path / "record.json", 50), "record.json is damaged"),
    "a record of something else": (lambda path: change_record(path, key="0" * 20), "belongs to pretrain-000"),
    "another operation": (lambda path: change_record(path, operation="label"), "belongs to label-"),
    "altered settings": (lambda path: change_record(path, seed=1), "settings do not give its key"),
    "a wrong type": (lambda path: change_record(path, files=["model.safetensors"]), "damaged .files"),
    "a path as a file name": (lambda path: change_record(path, files={"../x": "0" * 32}), "damaged .files"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_detected_logged_and_quarantined(store: Store, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    damage, says = DAMAGE[kind]
    path = put(store, A)
    store.open(A)
    damage(path)
    with caplog.at_level(logging.WARNING), pytest.raises(DamagedStage, match=says):
        store.open(A, files=True)
    assert len(caplog.messages) == 1
    assert A.name in caplog.messages[0]
    assert not path.exists()
    assert store.missing([A]) == [A]
    assert [path.name for path in (store.folder / "damaged").iterdir()] == [f"{A.name}-1"]
    put(store, A)
    assert store.open(A) == path


def test_the_bytes_of_weights_are_read_only_where_they_are_needed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, A)
    read: list[str] = []
    digest = files.digest
    monkeypatch.setattr(files, "digest", lambda path: read.append(path.name) or digest(path))
    monkeypatch.setattr(stage_dirs, "_digests", {})
    store.open(A)
    assert read == ["history.csv"]
    store.open(A, files=True)
    assert "model.safetensors" in read


def test_damage_of_the_same_stage_is_numbered(store: Store) -> None:
    for _ in range(3):
        (put(store, A) / "history.csv").unlink()
        with pytest.raises(DamagedStage):
            store.open(A)
    assert sorted(path.name[-2:] for path in (store.folder / "damaged").iterdir()) == ["-1", "-2", "-3"]


def test_a_stage_whose_input_was_computed_again_to_other_bytes_stays_and_is_named(store: Store) -> None:
    path = put(store, A, b"one")
    put(store, LABELS, name="labels.npy")
    os.rename(path, store.folder / "gone")
    assert store.remade() == []  # an input that is not there is no fault
    put(store, A, b"two")
    assert store.open(LABELS)
    assert store.remade() == [f"{LABELS.name} was made from an earlier computation of {A.name}"]


def test_an_unchanged_file_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(store, A)
    for name in ("model.safetensors", "history.csv"):
        os.utime(path / name, (1, 1))
    store.open(A)
    monkeypatch.setattr("dmt_ray.store.files.digest", lambda path: pytest.fail(f"{path} was read again"))
    store.open(A)


def test_a_stage_that_is_replaced_as_soon_as_it_is_written_is_not_taken_for_damaged(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another computation of the same size, as of a stage that was evicted."""
    theirs = put(Store(tmp_path / "theirs"), A, b"two")
    for name in ("model.safetensors", "history.csv"):
        os.utime(theirs / name, (1, 1))
    rename = os.rename

    def then_another_replaces_it(source: Path, target: Path) -> None:
        rename(source, target)
        if target == store.path(A):
            shutil.rmtree(target)
            shutil.copytree(theirs, target)

    monkeypatch.setattr(os, "rename", then_another_replaces_it)
    put(store, A, b"one")
    assert (store.open(A, files=True) / "model.safetensors").read_bytes() == b"two"


def test_a_stage_that_the_store_lacks_is_missing(store: Store) -> None:
    assert not store.has(A)
    with pytest.raises(MissingStages, match=A.name):
        store.open(A)
    with pytest.raises(MissingStages, match=A.name):
        store.record(A)


@pytest.mark.parametrize("operation", ["../outside", "/etc", "", "Label", "a.b"])
def test_names_from_outside_do_not_reach_the_file_system(store: Store, operation: str) -> None:
    with pytest.raises(StoreError, match="lower-case letters"):
        store.has(Stage(Operation(operation, 1), A.config, 0))


def test_a_linked_stage_is_refused(store: Store, tmp_path: Path) -> None:
    path = put(store, A)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    for use in (store.has, store.open, store.record, put.__get__(store)):
        with pytest.raises(StoreError, match="symbolic link"):
            use(A)
    assert (tmp_path / "elsewhere" / "record.json").exists()


# ---- what is missing -------------------------------------------------------------------------------------------


def test_everything_is_missing_at_first_inputs_first(store: Store) -> None:
    assert store.missing([SCORE]) == [A, LABELS, TUNED, SCORE]


def test_a_stage_that_the_store_has_needs_the_records_of_what_it_was_made_from(store: Store) -> None:
    for stage in (A, LABELS, TUNED):
        put(store, stage)
    put(store, SCORE, name="metrics.json")
    store.gc(0)  # takes the files and leaves the records
    assert store.missing([SCORE]) == []
    shutil.rmtree(store.path(LABELS))  # as when it was found damaged, and moved away
    assert store.missing([SCORE]) == [A, LABELS]  # whose labels want the files of A


def test_an_evicted_input_is_computed_again_where_it_is_needed(store: Store) -> None:
    put(store, A)
    put(store, LABELS, name="labels.npy")
    store.gc(0)
    assert store.record(A).evicted == ("model.safetensors",)
    assert store.missing([A, LABELS]) == []
    assert store.missing([A, TUNED]) == [A, LABELS, TUNED]
    put(store, A)
    assert store.missing([TUNED]) == [LABELS, TUNED]


# ---- places that cannot be a store -----------------------------------------------------------------------------


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("hello")
    with pytest.raises(StoreError, match=r"runs is a file. Pass a folder as --storage"):
        Store(tmp_path / "runs")


def test_a_folder_of_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match=r"not a store: .* holds 'thesis.tex'"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ['{"format": 2}', "[1]", "{", ""])
def test_another_format_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(StoreError, match="--storage"):
        Store(tmp_path)


@pytest.mark.parametrize(
    "save",
    [
        pytest.param(lambda path, array: path.write_bytes(array.tobytes()), id="plain"),
        pytest.param(lambda path, array: np.save(path, array), id="numpy"),
        pytest.param(lambda path, array: save_file({"weight": array}, path), id="safetensors"),
    ],
)
def test_a_full_disk_is_said(small_disk: Path, save: Callable[[Path, np.ndarray], None]) -> None:
    store = Store(small_disk)
    big = np.zeros(2_000_000, np.uint8)
    with pytest.raises(StoreError, match=r"disk is full.*--storage"), store.write(A) as folder:
        save(folder / "big", big)
    assert not store.has(A)
    assert list((small_disk / "staging").iterdir()) == []
    put(store, A)
    assert store.open(A)


def test_a_limit_on_file_sizes_is_said(store: Store) -> None:
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from dmt_ray.errors import StoreError
try:
    with store.write(stage) as folder:
        (folder / "model.safetensors").write_bytes(bytes(10_000))
except StoreError as error:
    print(error)
"""
    output, errors = start(script, store.folder).communicate()
    assert "limit on file sizes" in output, errors
    assert not store.has(A)


def test_a_read_only_store_can_be_read_and_says_that_it_cannot_be_written(small_disk: Path) -> None:
    store = Store(small_disk)
    put(store, A)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    store = Store(small_disk)
    assert store.open(A)
    assert len(store.ls()) == 1
    for use in (store.write(LABELS), store.lease(LABELS)):
        with pytest.raises(StoreError, match=r"[Rr]ead-only.*--storage"), use:
            pytest.fail("a read-only store was written")
    with pytest.raises(StoreError, match=r"[Rr]ead-only"):
        store.scratch(A)
    with pytest.raises(StoreError, match=r"[Rr]ead-only"):
        Store(small_disk / "new")
