"""Images are decoded once, by whom and how often they are opened, and never half."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.data import open_dataset
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.errors import DataError


def steps_of(root: Path, cache: Path, data: CamvidData | None = None) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    open_dataset(data or CamvidData(), root, cache, lambda done, total: seen.append((done, total)))
    return seen


def age(root: Path) -> None:
    """Makes the files a minute old."""
    for path in root.rglob("*.png"):
        os.utime(path, (time.time() - 60, time.time() - 60))


def decoded(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


def test_data_are_decoded_and_read_once(camvid_root, tmp_path):
    age(camvid_root)
    files, images = 18, 9
    assert steps_of(camvid_root, tmp_path / "cache") == [(i + 1, files + images) for i in range(files + images)]
    assert steps_of(camvid_root, tmp_path / "cache") == []


def test_files_that_were_just_written_are_read_again_but_not_decoded(camvid_root, tmp_path):
    steps_of(camvid_root, tmp_path / "cache")
    assert len(steps_of(camvid_root, tmp_path / "cache")) == 18


def test_a_file_of_the_same_length_but_another_time_is_read_again(camvid_root, tmp_path):
    age(camvid_root)
    before = open_dataset(CamvidData(), camvid_root, tmp_path / "cache").fingerprint
    path = camvid_root / "trainannot/train0.png"
    content = path.read_bytes()
    Image.fromarray(np.resize(np.array([0, 4, 11], np.uint8), (4, 6))).save(path)
    assert len(path.read_bytes()) == len(content)
    os.utime(path, (time.time() - 30, time.time() - 30))
    assert open_dataset(CamvidData(), camvid_root, tmp_path / "cache").fingerprint != before


def test_another_size_is_decoded_beside_without_hashing_again(camvid_root, tmp_path):
    age(camvid_root)
    steps_of(camvid_root, tmp_path / "cache")
    assert len(steps_of(camvid_root, tmp_path / "cache", CamvidData(size=(2, 3)))) == 9
    assert len(decoded(tmp_path / "cache")) == 2


def test_the_folder_is_named_by_the_fingerprint(camvid_root, tmp_path):
    dataset = open_dataset(CamvidData(), camvid_root, tmp_path / "cache")
    assert [path.name for path in decoded(tmp_path / "cache")] == [f"camvid-{dataset.fingerprint[:16]}"]


def test_the_fingerprint_is_of_the_content_not_of_the_place(camvid_root, tmp_path):
    first = open_dataset(CamvidData(), camvid_root, tmp_path / "cache").fingerprint
    camvid_root.rename(tmp_path / "moved")
    age(tmp_path / "moved")
    assert open_dataset(CamvidData(), tmp_path / "moved", tmp_path / "other").fingerprint == first


def change_an_image(root: Path) -> None:
    Image.new("RGB", (6, 4)).save(root / "train/train0.png")


def change_a_mask(root: Path) -> None:
    Image.fromarray(np.full((4, 6), 5, np.uint8)).save(root / "valannot/val1.png")


def rename_an_image(root: Path) -> None:
    for folder in ("train", "trainannot"):
        (root / folder / "train0.png").rename(root / folder / "new.png")


def move_an_image_to_val(root: Path) -> None:
    (root / "train/train0.png").rename(root / "val/train0.png")
    (root / "trainannot/train0.png").rename(root / "valannot/train0.png")


@pytest.mark.parametrize("change", [change_an_image, change_a_mask, rename_an_image, move_an_image_to_val])
def test_a_change_of_the_data_changes_the_fingerprint(change, camvid_root, tmp_path):
    before = open_dataset(CamvidData(), camvid_root, tmp_path / "cache").fingerprint
    change(camvid_root)
    assert open_dataset(CamvidData(), camvid_root, tmp_path / "cache").fingerprint != before


def test_classes_ignore_value_and_size_are_part_of_the_fingerprint(own_root, tmp_path):
    plain = FolderData(classes=("a", "b", "c", "d"))
    variants = [plain, plain.evolve(classes=("a", "b", "c", "e")), plain.evolve(size=(3, 4))]
    for path in (own_root / "masks").iterdir():
        Image.fromarray(np.resize(np.array([0, 1, 2], np.uint8), (4, 6))).save(path)
    variants.append(plain.evolve(ignore=7))
    assert len({open_dataset(data, own_root, tmp_path / "cache").fingerprint for data in variants}) == 4


def test_arrays_are_memory_mapped_and_writing_stays_private(camvid_root, tmp_path):
    mine, other = (open_dataset(CamvidData(), camvid_root, tmp_path / "cache").subsets["train"] for _ in range(2))
    assert isinstance(mine.pixels, np.memmap)
    before = int(other.image(1)[0, 0, 0])
    mine.image(1)[0, 0, 0] = before ^ 1
    assert other.image(1)[0, 0, 0] == before


@pytest.mark.parametrize("name", ["train.pixels.npy", "val.masks.npy", "dataset.json", "test.sizes.npy"])
@pytest.mark.parametrize("damage", ["cut", "grown", "removed"])
def test_a_damaged_folder_is_decoded_again(name, damage, camvid_root, tmp_path):
    age(camvid_root)
    expected = open_dataset(CamvidData(), camvid_root, tmp_path / "cache").subsets["train"].image(0).copy()
    (folder,) = decoded(tmp_path / "cache")
    if damage == "cut":
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    elif damage == "grown":
        (folder / name).write_bytes((folder / name).read_bytes() + b"0")
    else:
        (folder / name).unlink()
    assert len(steps_of(camvid_root, tmp_path / "cache")) == 9
    dataset = open_dataset(CamvidData(), camvid_root, tmp_path / "cache")
    assert np.array_equal(dataset.subsets["train"].image(0), expected)
    assert decoded(tmp_path / "cache") == [folder]


def test_a_folder_of_before_there_was_classification_is_opened(camvid_root, tmp_path):
    age(camvid_root)
    steps_of(camvid_root, tmp_path / "cache")
    (folder,) = decoded(tmp_path / "cache")
    record = json.loads((folder / "dataset.json").read_text())
    del record["one_class"]
    (folder / "dataset.json").write_text(json.dumps(record))
    assert steps_of(camvid_root, tmp_path / "cache") == []


def test_a_damaged_manifest_costs_a_reading_and_no_more(camvid_root, tmp_path):
    age(camvid_root)
    steps_of(camvid_root, tmp_path / "cache")
    (manifest,) = (tmp_path / "cache").glob("files-*.json")
    for text in ('{"train/train0.png": 3}', "[]", "{"):
        manifest.write_text(text)
        assert len(steps_of(camvid_root, tmp_path / "cache")) == 18
    assert len(json.loads(manifest.read_text())) == 18


OPEN = """
import sys, time
from pathlib import Path
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data import open_dataset
time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
dataset = open_dataset(CamvidData(), Path(sys.argv[1]), Path(sys.argv[2]))
print(dataset.fingerprint, dataset.subsets["train"].pixels.sum())
"""


def test_two_processes_can_decode_at_once(camvid_root, tmp_path):
    command = [sys.executable, "-c", OPEN, str(camvid_root), str(tmp_path / "cache"), str(time.time() + 1)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert answers[0] == answers[1] != ""
    assert len(decoded(tmp_path / "cache")) == 1


def test_what_a_killed_process_left_is_removed_after_a_day(camvid_root, tmp_path):
    open_dataset(CamvidData(), camvid_root, tmp_path / "cache")
    (folder,) = decoded(tmp_path / "cache")
    for name, hours in {"old": 25, "young": 1}.items():
        (folder.parent / f".{folder.name}.{name}").mkdir()
        then = time.time() - hours * 3600
        os.utime(folder.parent / f".{folder.name}.{name}", (then, then))
    (folder / "dataset.json").unlink()
    open_dataset(CamvidData(), camvid_root, tmp_path / "cache")
    assert {path.name for path in decoded(tmp_path / "cache")} == {folder.name, f".{folder.name}.young"}


def test_a_cache_that_cannot_be_written_is_named(camvid_root, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write the decoded images to .*file/cache: Not a directory"):
        open_dataset(CamvidData(), camvid_root, tmp_path / "file/cache")


FULL = """
import resource, signal, sys
from pathlib import Path
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data import open_dataset
from dmt_ray.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    open_dataset(CamvidData(), Path(sys.argv[1]), Path(sys.argv[2]))
except DataError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on the size of files")
def test_a_disk_without_room_is_said_and_nothing_is_left(camvid_root, tmp_path):
    # Young files are not remembered, so the first thing that outgrows the limit is the pixels.
    for path in camvid_root.rglob("*.png"):
        os.utime(path)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(camvid_root), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith(
        f"cannot write the decoded images to {tmp_path / 'cache'}: the disk is full, or a limit"
    )
    assert list((tmp_path / "cache").iterdir()) == []
