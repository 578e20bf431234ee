"""Real images, where they are at hand: CamVid and a part of PASCAL VOC."""

import time

import numpy as np
import pytest

from dmt_ray.config import Split
from dmt_ray.data import divide, open_dataset
from dmt_ray.data.sets.camvid import CamvidData
from dmt_ray.data.sets.voc import VocData
from dmt_ray.errors import DataError


@pytest.fixture
def root(real_data, request):
    folder = real_data / request.param
    if not folder.is_dir():
        pytest.skip(f"needs real images: {folder.name}/ is not in the folder that DMT_DATA names")
    return folder


@pytest.mark.parametrize("root", ["camvid"], indirect=True)
def test_camvid_is_whole_and_opens_at_once_the_second_time(root, tmp_path):
    data = CamvidData(size=(90, 120))
    first = open_dataset(data, root, tmp_path)
    start = time.perf_counter()
    again = open_dataset(data, root, tmp_path)
    assert time.perf_counter() - start < 1  # about 0.02 s on an idle machine
    assert again.fingerprint == first.fingerprint
    assert {name: len(images) for name, images in again.subsets.items()} == {"train": 367, "val": 101, "test": 233}
    assert set(np.unique(again.subsets["train"].masks).tolist()) == {*range(11), 255}
    assert len(divide(Split(labelled="1/8"), data, again).labelled) == 46


@pytest.mark.parametrize("root", ["voc_animals"], indirect=True)
def test_voc_images_differ_in_size(root, tmp_path):
    dataset = open_dataset(VocData(train_list="train"), root, tmp_path)
    train = dataset.subsets["train"]
    assert len(np.unique(train.sizes, axis=0)) > 20
    assert train.image(5).shape[:2] == train.mask(5).shape == tuple(train.sizes[5])
    assert set(np.unique(train.masks).tolist()) <= {*range(21), 255}
    assert divide(Split(labelled="1/20", rule="authors"), VocData(), dataset).name == "authors-1/20-0"
    with pytest.raises(DataError, match="'valtiny' are not in val"):
        divide(Split(labelled="1/20", selection="valtiny"), VocData(), dataset)
