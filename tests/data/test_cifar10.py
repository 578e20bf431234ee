"""CIFAR-10's files are pickles: what they hold is read, and nothing in them is run."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from dmt_ray.config import Split
from dmt_ray.data import divide, open_dataset, pickles
from dmt_ray.data.sets.cifar10 import CifarData
from dmt_ray.errors import DataError
from tests.helpers.cifar10_files import FOLDER, TRAIN, batch, pixels


@pytest.fixture
def root(cifar10_root: Path) -> Path:
    return cifar10_root


def complaint(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(CifarData(), root, root.parent / "cache")
    return str(caught.value)


@pytest.mark.parametrize("place", [".", FOLDER])
def test_pixels_and_classes_are_those_of_the_files(root, place, tmp_path):
    dataset = open_dataset(CifarData(), root / place, tmp_path / "cache")
    train, test = dataset.subsets["train"], dataset.subsets["test"]
    assert (dataset.task, len(dataset.classes), len(train), len(test)) == ("classification", 10, 20, 4)
    assert train.ids[:5] == (*(f"data_batch_1/0000{i}" for i in range(4)), "data_batch_2/00000")
    assert [int(train.mask(i)[0, 0]) for i in range(4, 8)] == [0, 9, 1, 3]
    red = pixels(4, seed=1)[2, :1024].reshape(32, 32)
    assert np.array_equal(train.image(6)[..., 0], red)
    assert open_dataset(CifarData(), root / place, tmp_path / "cache").fingerprint == dataset.fingerprint


def test_the_written_file_is_a_pickle_as_python_2_wrote_it():
    found = pickle.loads(batch(pixels(2), [4, 5]), encoding="latin1")  # noqa: S301  # our own bytes
    assert np.array_equal(found["data"], pixels(2))
    assert found["labels"] == [4, 5]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_of_every_protocol_are_read(protocol):
    values = {"labels": [1, 300, 70_000, -2], "names": ("a", None, True), "none": []}
    assert pickles.read(pickle.dumps(values, protocol=protocol)) == values


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("names", [("data", "labels"), (b"data", b"labels")])
def test_a_part_that_python_3_wrote_opens(root, protocol, names, tmp_path):
    content = pickle.dumps(dict(zip(names, (pixels(3, seed=7), [5, 6, 7]), strict=True)), protocol=protocol)
    (root / FOLDER / "test_batch").write_bytes(content)
    test = open_dataset(CifarData(), root, tmp_path / "cache").subsets["test"]
    assert test.masks.tolist() == [5, 6, 7]
    assert np.array_equal(test.image(2)[..., 2], pixels(3, seed=7)[2, 2048:].reshape(32, 32))


def test_a_working_size_resizes(root, tmp_path):
    train = open_dataset(CifarData(size=(8, 16)), root, tmp_path / "cache").subsets["train"]
    assert train.image(0).shape == (8, 16, 3)


def test_other_bytes_are_other_data(root, tmp_path):
    first = open_dataset(CifarData(), root, tmp_path / "cache").fingerprint
    (root / FOLDER / "test_batch").write_bytes(batch(pixels(4, seed=99), [0, 1, 2, 3]))
    assert open_dataset(CifarData(), root, tmp_path / "cache").fingerprint != first


def test_it_divides_by_class(root, tmp_path):
    for name in TRAIN:
        (root / FOLDER / name).write_bytes(batch(pixels(20), [*range(10), *range(10)]))
    dataset = open_dataset(CifarData(), root, tmp_path / "cache")
    parts = divide(Split(labelled=20, rule="per_class", selection=0.2), CifarData(), dataset)
    train = dataset.subsets["train"]
    for positions, each in ((parts.labelled, 2), (parts.selection[1], 2), (parts.unlabelled, 6)):
        classes = [int(train.mask(i)[0, 0]) for i in positions]
        assert np.bincount(classes).tolist() == [each] * 10


@pytest.mark.attack("code in a file", "data set CIFAR-10", "refused, with the file; nothing is run")
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(b"\x80\x02cos\nsystem\nU\x0ctouch called\x85R.", id="GLOBAL and REDUCE"),
        pytest.param(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch called\x85R.", id="STACK_GLOBAL and REDUCE"),
        pytest.param(b"\x80\x02(U\x0ctouch calledios\nsystem\n.", id="INST"),
        pytest.param(b"\x80\x02(cos\nsystem\nU\x0ctouch calledo.", id="OBJ"),
        pytest.param(b"\x80\x02cnumpy\nload\nU\x06called\x85R.", id="another function of numpy"),
    ],
)
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(root, attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (root / FOLDER / "data_batch_2").write_bytes(attack)
    said = complaint(root)
    assert "files that are not batches of CIFAR-10; expected a dict with data, uint8 [N, 3072]" in said
    assert f"{FOLDER}/data_batch_2 (a pickle " in said
    assert not (tmp_path / "called").exists()


def test_the_attack_would_have_worked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(b"\x80\x02cos\nsystem\nU\x0ctouch called\x85R.")  # noqa: S301  # our own bytes
    assert os.path.exists("called")


DOUBLED = b"N" + 60 * b"q\x00h\x00\x86"  # a pair of a pair of a pair ...: too long to be hashed or shown


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "pickle exhausted before seeing STOP"),
        (b"no pickle", "at position 0, opcode b'n' unknown"),
        (b"\x80\x02]q\x01.", "holds a list"),
        (b"\x80\x02}q\x01.", "has no data and no labels"),
        (b"\x80\x02e.", "a damaged pickle"),
        (b"\x80\x02h\x05.", "a damaged pickle"),
        (b"\x80\x02}(U\x04dataNU\x06labels]u.", "its data are no array"),
        (batch(pixels(2), [1, 2])[:-40], ""),
        (batch(pixels(2), [1, 2, 3]), "holds 2 images but 3 labels"),
        (batch(pixels(2), [1, 10]), "holds the label 10"),
        (batch(pixels(2), [1, 2]).replace(b"K\x02e", DOUBLED + b"e"), "holds the label tuple"),
        (b"\x80\x02}" + DOUBLED + b"Ns.", "a dict whose keys are no texts"),
        (b"\x80\x04" + 2 * DOUBLED + b"\x93.", "a damaged pickle"),
        (batch(np.zeros((2, 3000), np.uint8), [1, 2]), "its data are u1 [2, 3072] of 6,000 bytes"),
        (batch(pixels(2), [1, 2]).replace(b"U\x02u1", b"U\x02i1"), "its data are i1 [2, 3072] of 6,144 bytes"),
    ],
)
def test_a_file_that_is_no_batch_is_named_with_what_was_found(root, content, found):
    (root / FOLDER / "test_batch").write_bytes(content)
    said = complaint(root)
    assert f"{FOLDER}/test_batch (" in said
    assert found in said


def test_a_missing_file_is_named(root):
    (root / FOLDER / "data_batch_4").unlink()
    assert f"files that cannot be read: {FOLDER}/data_batch_4 (No such file" in complaint(root)
