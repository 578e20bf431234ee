"""Listing a store, checking it, and freeing space without losing what tables are made of."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dmt_ray import recipes
from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage, operations
from dmt_ray.store import Store, files, leases
from tests.helpers.stage_records import rewrite

CONFIG = recipes.named("shapes")
A, OTHER = (operations.pretrain(CONFIG, seed=seed) for seed in (0, 1))
LABELS = operations.label(CONFIG, teacher=A, share=0.2)
TUNED = operations.finetune(CONFIG, start=A, labels=LABELS, seed=0)
SCORE = operations.evaluate(CONFIG, model=TUNED)

MODEL = {"model.safetensors": 4000, "model.json": 10, "history.csv": 20, "scores.csv": 10}
CONTENT = {
    A: MODEL,
    OTHER: MODEL,
    LABELS: {"labels.npy": 1000, "confidence.npy": 1000, "summary.json": 10},
    TUNED: {**MODEL, "examples.npz": 500},
    SCORE: {"metrics.json": 30},
}


def put(store: Store, *stages: Stage) -> None:
    for stage in stages:
        with store.write(stage, {"host": "node1"}) as folder:
            for name, size in CONTENT[stage].items():
                (folder / name).write_bytes(b"x" * size)


def used(store: Store, stage: Stage, seconds_ago: float) -> None:
    os.utime(store.path(stage) / "record.json", (time.time() - seconds_ago,) * 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_a_listing_names_settings_size_and_date(store: Store) -> None:
    put(store, *CONTENT)
    rows = store.ls()
    assert [row.operation for row in rows] == ["evaluate", "finetune", "label", "pretrain", "pretrain"]
    label = rows[2]
    assert (label.key, label.seed, label.summary, label.bytes) == (LABELS.key, 0, str(LABELS.config), 2010)
    assert label.made.endswith("+00:00")
    assert label.evicted == ()


def test_a_stage_without_a_readable_record_is_logged_and_not_listed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, A, OTHER)
    (store.path(A) / "record.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert [row.key for row in store.ls()] == [OTHER.key]
    assert A.name in caplog.text


def test_verify_quarantines_damaged_stages_and_returns_their_names(store: Store) -> None:
    put(store, *CONTENT)
    path = store.path(TUNED) / "history.csv"
    before = path.stat()
    path.write_bytes(b"y" * 20)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))  # unchanged by its size and time
    assert store.verify().damaged == [TUNED.name]
    assert store.verify().damaged == []
    assert store.missing([SCORE, TUNED]) == [TUNED]


def test_the_size_is_that_of_the_files(store: Store) -> None:
    put(store, LABELS)
    (store.scratch(A) / "checkpoint").write_bytes(b"x" * 300)
    record = (store.path(LABELS) / "record.json").stat().st_size
    assert store.size() == 2010 + record + 300


def test_what_matters_less_is_evicted_first(store: Store) -> None:
    put(store, *CONTENT)
    used(store, A, 300)
    used(store, OTHER, 400)
    used(store, TUNED, 500)
    freed = store.gc(0, keep=[OTHER])
    assert freed.evicted == (
        f"{LABELS.name}/labels.npy",
        f"{LABELS.name}/confidence.npy",
        f"{TUNED.name}/model.safetensors",
        f"{A.name}/model.safetensors",
        f"{TUNED.name}/examples.npz",
    )
    assert freed.left == store.size()
    assert sorted(path.name for path in store.path(TUNED).iterdir()) == [
        "history.csv",
        "model.json",
        "record.json",
        "scores.csv",
    ]
    assert (store.path(OTHER) / "model.safetensors").exists()
    assert store.verify().damaged == []
    assert [row.bytes for row in store.ls() if row.key == TUNED.key] == [40]


def test_of_models_that_were_trained_together_all_weights_can_go_and_no_history(store: Store) -> None:
    trained = METHODS["rml"](CONFIG, 0).rungs[1]["A"].inputs["model"]
    weights = {f"{side}{kind}.safetensors": 4000 for side in "AB" for kind in ("", "-averaged")}
    with store.write(trained) as folder:
        for name, size in {**weights, "A.json": 10, "B.json": 10, "history.csv": 20}.items():
            (folder / name).write_bytes(b"x" * size)
    assert set(store.gc(0).evicted) == {f"{trained.name}/{name}" for name in weights}
    assert {path.name for path in store.path(trained).iterdir()} == {"A.json", "B.json", "history.csv", "record.json"}


def test_of_the_labels_of_a_phase_the_maps_can_go_and_not_the_order_of_the_images(store: Store) -> None:
    student = METHODS["rwms"](CONFIG, 0).rungs[1]["A"].inputs["model"]
    phase = student.inputs["labels"]
    with store.write(phase) as folder:
        for name in ("labels.npy", "rank.npy", "order.csv", "images.npy", "summary.json"):
            (folder / name).write_bytes(b"x" * 100)
    assert store.gc(0).evicted == (f"{phase.name}/labels.npy", f"{phase.name}/rank.npy")


def test_an_averaged_model_goes_with_the_last_one(store: Store) -> None:
    with store.write(A) as folder:
        for name in ("model.safetensors", "model-averaged.safetensors", "model.json"):
            (folder / name).write_bytes(b"x" * 100)
    assert store.gc(0).evicted == (f"{A.name}/model.safetensors", f"{A.name}/model-averaged.safetensors")


def test_no_more_is_evicted_than_the_budget_needs(store: Store) -> None:
    put(store, *CONTENT)
    size = store.size()
    assert store.gc(size).evicted == ()
    used(store, OTHER, 100)
    freed = store.gc(size - 2500)
    assert freed.evicted[:2] == (f"{LABELS.name}/labels.npy", f"{LABELS.name}/confidence.npy")
    assert freed.evicted[2:] == (f"{OTHER.name}/model.safetensors",)
    assert freed.left <= size - 2500
    assert freed.bytes == size - freed.left


def test_reading_a_stage_keeps_it_longer(store: Store) -> None:
    put(store, A, OTHER)
    used(store, A, 500)
    used(store, OTHER, 400)
    store.open(A)
    assert store.gc(store.size() - 1).evicted == (f"{OTHER.name}/model.safetensors",)


def test_what_to_keep_can_be_named_by_key(store: Store) -> None:
    put(store, A, OTHER)
    assert store.gc(0, keep=[A.key, OTHER]).evicted == ()


def test_an_evicted_stage_is_whole_again_when_it_is_written_again(store: Store) -> None:
    put(store, A, LABELS)
    store.gc(0)
    assert store.open(A)
    assert not store.has(A, files=True)
    with pytest.raises(MissingStages, match=r"lacks model\.safetensors"):
        store.open(A, files=True)
    put(store, A)
    assert store.has(A, files=True)
    assert store.open(A, files=True)
    store.open(LABELS)


def test_an_evicted_stage_that_comes_out_different_replaces_the_old_one(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, A, LABELS)
    store.gc(0)
    with caplog.at_level(logging.WARNING), store.write(A) as folder:
        (folder / "model.safetensors").write_bytes(b"another")
    assert "came out different" in caplog.text
    assert (store.open(A, files=True) / "model.safetensors").read_bytes() == b"another"
    assert store.open(LABELS)
    assert len(store.remade()) == 1


def test_leftovers_of_ended_processes_are_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "WATCH", 0.0)
    put(store, A)
    (store.folder / "scratch" / A.name).mkdir(parents=True)
    (store.scratch(OTHER) / "checkpoint").touch()
    (store.folder / "leases").mkdir(exist_ok=True)
    lease = store.folder / "leases" / f"{A.key}.json"
    lease.write_text("{")
    os.utime(lease, (1, 1))
    left = store.folder / "staging" / f"{A.name}.elsewhere.7.0a"
    left.mkdir()
    freed = store.gc(10**9)
    assert freed.removed == (f"leases/{lease.name}", f"staging/{left.name}", f"scratch/{A.name}")
    assert (store.folder / "scratch" / OTHER.name).exists()


def test_tidying_removes_leftovers_and_evicts_nothing(store: Store) -> None:
    put(store, A)
    (store.folder / "scratch" / A.name).mkdir(parents=True)
    with store.write(OTHER):
        assert store.tidy() == (f"scratch/{A.name}",)
        (store.folder / "leases").mkdir(exist_ok=True)
        (store.folder / "leases" / "gc.json").write_text("{}")
        (store.folder / "scratch" / A.name).mkdir()
        assert store.tidy() == ()  # another process is tidying
    assert store.has(A, files=True)
    assert store.open(OTHER)


OLD = 31.0  # seconds: more than a lease is good for


@pytest.mark.parametrize(
    ("stage", "is_whole", "leased", "seconds", "goes"),
    [
        pytest.param(A, True, "", 0, True, id="the store has its stage"),
        pytest.param(A, False, "", 0, False, id="its stage was evicted and is being computed"),
        pytest.param(A, True, "{}", OLD, False, id="leased although the store has its stage"),
        pytest.param(OTHER, True, "", 0, False, id="just written to"),
        pytest.param(OTHER, True, "", OLD, True, id="not written to for long"),
        pytest.param(OTHER, True, "{}", OLD, False, id="leased"),
        pytest.param(OTHER, True, "fetch-{}", OLD, False, id="being fetched"),
    ],
)
def test_when_a_staging_folder_of_another_host_goes(
    store: Store, stage: Stage, is_whole: bool, leased: str, seconds: float, goes: bool
) -> None:
    put(store, A)
    if not is_whole:
        store.gc(0)
    staging = store.folder / "staging" / f"{stage.name}.elsewhere.7.0a"
    staging.mkdir()
    (staging / "history.csv").touch()
    for path in (staging / "history.csv", staging):
        os.utime(path, (time.time() - seconds,) * 2)
    if leased:
        content = {"operation": "pretrain", "inputs": [], "host": "elsewhere", "pid": 7, "started": 1.0, "beat": 1.0}
        (store.folder / "leases").mkdir(exist_ok=True)
        lease = store.folder / "leases" / f"{leased.format(stage.key)}.json"
        lease.write_text(json.dumps(content | {"step": 0, "steps": 1, "token": "0123456789abcdef"}))
    assert store.tidy() == ((f"staging/{staging.name}",) if goes else ())
    assert staging.exists() is not goes


def test_an_interrupted_eviction_is_completed(store: Store) -> None:
    put(store, A)
    record = store.path(A) / "record.json"
    rewrite(record, evicted=["model.safetensors"])
    assert store.open(A)
    assert store.gc(10**9).removed == ()
    os.utime(store.path(A) / "model.safetensors", (1, 1))
    assert store.gc(10**9).removed == (f"stages/pretrain/{A.key}/model.safetensors",)
    assert not (store.path(A) / "model.safetensors").exists()


def test_only_one_process_tidies_at_a_time(store: Store) -> None:
    leases = store.folder / "leases"
    leases.mkdir()
    (leases / "gc.json").write_text("{}")
    with pytest.raises(StoreError, match="another process is tidying"):
        store.gc(0)


def test_a_negative_budget_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="at least 0, but got -1"):
        store.gc(-1)


def test_evicting_and_writing_at_once_damages_nothing(store: Store) -> None:
    script = """
import sys, time
from pathlib import Path
from dmt_ray.plan import operations
from dmt_ray import recipes
from dmt_ray.errors import MissingStages
from dmt_ray.store import Store, files
store = Store(Path(sys.argv[1]))
stage = operations.pretrain(recipes.named("shapes"), seed=0)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    if sys.argv[2] == "evicts":
        store.gc(0)
        continue
    with store.write(stage) as folder:
        (folder / "model.safetensors").write_bytes(b"x")
        (folder / "labels.npy").write_bytes(b"y")
    try:
        store.open(stage)
    except MissingStages:  # another process is just replacing the evicted stage by a whole one
        pass
"""
    roles = ("evicts", "writes", "writes")
    children = [
        subprocess.Popen([sys.executable, "-c", script, store.folder, role], stderr=subprocess.PIPE) for role in roles
    ]
    assert [child.communicate()[1] for child in children] == [b"", b"", b""]
    assert not (store.folder / "damaged").exists()


@pytest.mark.slow
def test_ten_thousand_stages_are_listed_in_two_seconds(store: Store) -> None:
    put(store, TUNED)
    record = store.path(TUNED) / "record.json"
    rewrite(record)
    text = record.read_text()
    for number in range(10_000):
        folder = store.folder / "stages" / "finetune" / f"{number:020x}"
        folder.mkdir()
        (folder / "record.json").write_text(text.replace(TUNED.key, folder.name))
    begun = time.perf_counter()
    assert len(store.ls()) == 10_001
    assert time.perf_counter() - begun < 2


# ---- eviction beside work that begins ----------------------------------------------------------------------------


def test_files_of_a_stage_that_somebody_begins_to_read_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, A)
    taken: list[object] = []
    replace = files.replace

    def then_another_begins(path: Path, *arguments: Any, **further: Any) -> None:
        replace(path, *arguments, **further)
        if path.name == "record.json" and not taken:  # the record says by now that the files are evicted
            taken.append(Store(store.folder)._leases.take(LABELS.key, "label", [A.key]))

    monkeypatch.setattr(files, "replace", then_another_begins)
    assert store.gc(0).evicted == ()
    assert store.record(A).evicted == ()
    assert store.open(A, files=True)


def test_a_whole_stage_that_a_killed_process_left_in_staging_is_put_back(store: Store) -> None:
    put(store, A)
    path = store.path(A)
    staging = store.folder / "staging" / f"{A.name}.{files.HOST}.4000001.00000000"
    staging.parent.mkdir(exist_ok=True)
    path.rename(staging)
    assert not store.has(A)
    assert store.tidy() == ()
    assert store.open(A, files=True)


def test_a_damaged_stage_that_a_killed_process_left_in_staging_is_removed(store: Store) -> None:
    put(store, A)
    path = store.path(A)
    staging = store.folder / "staging" / f"{A.name}.{files.HOST}.4000001.00000000"
    staging.parent.mkdir(exist_ok=True)
    path.rename(staging)
    (staging / "model.safetensors").write_bytes(b"y" * 4000)
    assert store.tidy() == (f"staging/{staging.name}",)
    assert not store.has(A)
