"""The checker is checked: one bit is flipped in a file of a stage, and `verify` finds it, whichever it is."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dmt_ray import recipes
from dmt_ray.plan import Stage, operations
from dmt_ray.store import Store, shared

CONFIG = recipes.named("shapes")
STAGES = [operations.pretrain(CONFIG, seed=seed) for seed in range(5)]
FLIPS = 100


def put(store: Store, stage: Stage) -> Path:
    """A stage with every kind of file that operations write."""
    numbers = np.arange(200, dtype=np.uint8)
    with store.write(stage, {"seconds": 1.5}) as folder:
        save_file({"weight": numbers.astype(np.float32)}, folder / "model.safetensors")
        (folder / "model.json").write_text(json.dumps({"side": "A"}))
        (folder / "history.csv").write_text("step,loss\n0,1.5\n")
        np.save(folder / "labels.npy", numbers)
        np.savez(folder / "examples.npz", ids=numbers)
    return store.path(stage)


def flip(file: Path, chosen: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    file.write_bytes(content)


def test_every_flipped_bit_is_found(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    store, chosen, found = Store(tmp_path / "runs"), random.Random(0), 0
    kinds = sorted(path.name for path in put(store, STAGES[0]).iterdir())
    assert kinds == ["examples.npz", "history.csv", "labels.npy", "model.json", "model.safetensors", "record.json"]
    for number in range(FLIPS):
        folder = put(store, STAGES[0])
        flip(folder / kinds[number % len(kinds)], chosen)
        found += store.verify().damaged == [STAGES[0].name]
    assert found == FLIPS
    record_property("flipped bits in files", found)


def test_every_bit_of_a_record_counts(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    store = Store(tmp_path / "runs")
    file = put(store, STAGES[0]) / "record.json"
    content = file.read_bytes()
    for bit in range(0, 8 * len(content), 7):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        assert list(store.records()) == []
    record_property("flipped bits in records", len(range(0, 8 * len(content), 7)))


def test_a_share_gets_round_to_all_stages(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for stage in STAGES:
        put(store, stage)
    assert [store.verify(0.4).read for _ in range(2)] == [2, 2]
    damaged = max(STAGES, key=lambda stage: stage.name)  # the only one that was not read yet
    flip(store.path(damaged) / "labels.npy", random.Random(0))
    assert Store(tmp_path / "runs").verify(0.2) == ([damaged.name], 1)
    assert store.verify(0.2) == ([], 1)


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_is_above_nothing_and_at_most_all(tmp_path: Path, share: float) -> None:
    with pytest.raises(ValueError, match="share must be above 0 and at most 1"):
        Store(tmp_path / "runs").verify(share)


def test_a_flipped_bit_in_the_object_store_is_found_and_mended_by_computing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "PAUSES", ())
    url = (tmp_path / "bucket").as_uri()
    one = Store(tmp_path / "one", shared=url)
    for stage in STAGES[:2]:
        put(one, stage)
    (file,) = (tmp_path / "bucket" / "stages" / "pretrain" / STAGES[0].key).glob("*/labels.npy")
    flip(file, random.Random(0))
    other = Store(tmp_path / "other", shared=url)
    assert other.verify_shared() == ([STAGES[0].name], 2)
    assert not other.has(STAGES[0])
    put(other, STAGES[0])
    assert other.verify_shared() == ([], 2)


def test_a_store_of_its_own_has_no_object_store_to_verify(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no object store"):
        Store(tmp_path / "runs").verify_shared()
