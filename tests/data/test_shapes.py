import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest

from dmt_ray.data.sets.shapes import CLASSES, generate

FEW = {"train": 6, "val": 6, "test": 6}

FRESH = """
from hashlib import sha256
from dmt_ray.data.sets.shapes import generate
images, masks, names = generate("train", counts={"train": 6})
print(sha256(images.tobytes() + masks.tobytes()).hexdigest())
"""


def test_the_same_bytes_twice():
    first, second = generate("train", counts=FEW), generate("train", counts=FEW)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert first[2] == second[2]


def test_the_same_bytes_in_a_fresh_process():
    images, masks, _ = generate("train", counts=FEW)
    fresh = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == sha256(images.tobytes() + masks.tobytes()).hexdigest()


def test_an_image_does_not_depend_on_how_many_there_are():
    few, more = generate("train", counts={"train": 3}), generate("train", counts={"train": 5, "val": 9})
    assert np.array_equal(few[0], more[0][:3])
    assert np.array_equal(few[1], more[1][:3])


def test_images_of_a_subset_and_subsets_differ():
    images = np.concatenate([generate(subset, counts=FEW)[0] for subset in FEW])
    assert len({image.tobytes() for image in images}) == 18


def test_every_class_occurs_and_no_other_value():
    _, masks, _ = generate("test", counts={"test": 40})
    assert np.array_equal(np.unique(masks), np.arange(len(CLASSES)))


@pytest.mark.parametrize("size", [32, 64])
def test_shapes_and_types_and_names(size):
    images, masks, names = generate("val", size=size, counts={"val": 2})
    assert images.shape == (2, size, size, 3)
    assert images.dtype == np.uint8
    assert masks.shape == (2, size, size)
    assert masks.dtype == np.uint8
    assert names == ["val_0000", "val_0001"]


def test_an_object_can_be_seen():
    """Where the mask has an edge the image changes more than elsewhere, so the two lie over each other."""
    images, masks, _ = generate("train", counts={"train": 40})
    edge = masks[:, :, 1:] != masks[:, :, :-1]
    step = np.abs(np.diff(images.astype(float).mean(axis=-1), axis=2))
    assert step[edge].mean() > 1.5 * step[~edge].mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"subset": "tset"}, "train, val, test.*'tset'", id="unknown subset"),
        pytest.param({"subset": "train", "size": 8}, "at least 16 pixels.*8", id="too small"),
        pytest.param({"subset": "train", "counts": {"train": -1}}, "must not be negative.*-1", id="negative count"),
    ],
)
def test_impossible_wishes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(**arguments)
