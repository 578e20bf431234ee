"""Sweeps and ablations are found by what people call them."""

import os

import pytest

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.locate import all_folders, is_ablation, locate


@pytest.fixture
def storage(tmp_path):
    for number, name in enumerate(
        [
            "ablations/components-shapes-0000aaaa",
            "ablations/components-camvid-0000bbbb",
            "sweeps/gamma_sweep-shapes-0000cccc",
        ]
    ):
        (tmp_path / name).mkdir(parents=True)
        file = tmp_path / name / ("ablation.json" if name.startswith("ablations") else "sweep.json")
        file.write_text("{}")
        os.utime(file, (number, number))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "recipe", "found"),
    [
        pytest.param("components-shapes-0000aaaa", None, "components-shapes-0000aaaa", id="full name"),
        pytest.param("components", None, "components-camvid-0000bbbb", id="of several the newest"),
        pytest.param("components", "shapes", "components-shapes-0000aaaa", id="of a recipe"),
        pytest.param("gamma_sweep", None, "gamma_sweep-shapes-0000cccc", id="a sweep"),
    ],
)
def test_one_is_found_by(storage, name, recipe, found):
    assert locate(storage, name, recipe).name == found


def test_its_folder_is_a_name_too(storage):
    folder = storage / "ablations" / "components-shapes-0000aaaa"
    assert locate(storage / "elsewhere", str(folder)) == folder


def test_what_is_not_there_is_said_with_the_nearest_name(storage):
    with pytest.raises(MissingStages, match="did you mean 'gamma_sweep-shapes-0000cccc'"):
        locate(storage, "gama_sweep-shapes")


def test_an_empty_storage_says_what_computes_something(tmp_path):
    with pytest.raises(MissingStages, match="dmt ablate components"):
        locate(tmp_path, "components")


def test_all_are_listed_by_name(storage):
    assert [folder.name.partition("-")[0] for folder in all_folders(storage)] == [
        "components",
        "components",
        "gamma_sweep",
    ]
    assert [is_ablation(folder) for folder in all_folders(storage)] == [True, True, False]
