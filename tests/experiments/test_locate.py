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


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        pytest.param("gama_sweep", {}, "; did you mean 'gamma_sweep'?", id="misspelt"),
        pytest.param("gama_sweep-shapes", {}, "; did you mean 'gamma_sweep-shapes'?", id="misspelt beginning"),
        pytest.param(
            "gamma_sweep-shapes-0000ccdd",
            {},
            "; did you mean 'gamma_sweep-shapes-0000cccc'?",
            id="misspelt digest",
        ),
        pytest.param(
            "wild_guess",
            {},
            "there is no sweep or ablation 'wild_guess' in HERE, which holds components-camvid-0000bbbb, "
            "components-shapes-0000aaaa and gamma_sweep-shapes-0000cccc",
            id="nothing near, and no question of ours",
        ),
        pytest.param(
            "human_labels-camvid",
            {},
            "gamma_sweep-shapes-0000cccc. Run `dmt ablate human_labels --storage HERE` to compute it",
            id="a question of ours",
        ),
        pytest.param(
            "components",
            {"recipe": "voc-animals"},
            "there is no sweep or ablation 'components' with the recipe voc-animals in HERE, which holds "
            "components-camvid-0000bbbb and components-shapes-0000aaaa. Run `dmt ablate components --recipe "
            "voc-animals --storage HERE` to compute it",
            id="another recipe",
        ),
        pytest.param(
            "gamma_sweep",
            {"kinds": ["ablation"]},
            "gamma_sweep-shapes-0000cccc is a sweep, and this is for ablations; `dmt report` shows it",
            id="of another kind",
        ),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near_or_there_or_computes_it(storage, name, more, message):
    with pytest.raises(MissingStages) as raised:
        locate(storage, name, **more)
    assert str(raised.value).replace(str(storage), "HERE").endswith(message)


def test_a_folder_of_another_kind_is_told(storage):
    folder = storage / "sweeps" / "gamma_sweep-shapes-0000cccc"
    with pytest.raises(MissingStages, match=r"0000cccc is a sweep, and this is for ablations"):
        locate(storage, str(folder), kinds=("ablation",))


def test_of_many_experiments_the_first_are_listed(storage):
    for number in range(20):
        (storage / "ablations" / f"mine-{number:02}").mkdir()
        (storage / "ablations" / f"mine-{number:02}" / "ablation.json").write_text("{}")
    with pytest.raises(MissingStages, match=r"mine-03, mine-04 and 15 others$"):
        locate(storage, "unheard")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        pytest.param("components", "or compute it first: `dmt ablate components --storage HERE`", id="ours"),
        pytest.param(
            "mine", "or compute one first, as with `dmt ablate components` or `dmt sweep gamma_sweep`", id="not ours"
        ),
    ],
)
def test_an_empty_storage_says_what_computes_something(tmp_path, name, advice):
    with pytest.raises(MissingStages) as raised:
        locate(tmp_path, name)
    assert str(raised.value).replace(str(tmp_path), "HERE").endswith(advice)


def test_all_are_listed_by_name(storage):
    assert [folder.name.partition("-")[0] for folder in all_folders(storage)] == [
        "components",
        "components",
        "gamma_sweep",
    ]
    assert [is_ablation(folder) for folder in all_folders(storage)] == [True, True, False]
