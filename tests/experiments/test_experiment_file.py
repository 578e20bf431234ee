"""experiment.json and the three files of earlier versions, which it replaces."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dmt_ray.errors import StoreError
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.experiment_file import (
    ExperimentFile,
    content_of,
    kind_of,
    read,
    read_failed,
    saved_runs,
    write,
    write_failed,
)
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.recipes import load

KINDS = ("sweep", "ablation", "run")
INFO = {"classes": ["sky"], "palette": None, "splits": {"0": ["random-8-0", "12ab"]}, "command": "x"}
SPACE = {
    "weight.gamma1": Uniform(0, 8, step=0.25),
    "schedule.iterations": Integer(1, 9),
    "finetune.epochs": Choice(1, 2),
    "method": Choice("dmt", "dst"),
}
POINT = {"weight.gamma1": 5.0, "schedule.iterations": 2, "finetune.epochs": 2, "method": "dst"}


@pytest.fixture
def storage(tmp_path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def file(request, storage) -> ExperimentFile:
    """An experiment of the kind that the test asks for, with something in every field."""
    config = load("shapes", ["finetune.epochs=3"])
    if request.param == "run":
        return ExperimentFile(Run("dmt", config, 3), storage, Path("data"), "shapes", ("a=1",), 0, INFO, "dmt run")
    if request.param == "sweep":
        more = {"seed_by_seed": True, "second": "compute", "extra_metrics": ("disagreement",), "attempt": 2}
        sweep = Sweep("a_search", "What?", config, "dmt", SPACE, (0, 1), (POINT,), **more)
        return ExperimentFile(sweep, storage, Path("data"), "shapes", ("a=1", "b=2"), 12, INFO, "python x.py")
    rows = {"Baseline": Row("baseline"), "DMT, DMS 80 %": Row("dmt", {"dms_alpha": 0.8})}
    columns = {"8": Column({"split.labelled": 8}), "1/20": Column({"split.labelled": 16}, paper="1/20")}
    table = cells("shapes", ["finetune.epochs=3"], rows, columns, lambda config: config)
    ablation = Ablation("parts", "What is each part worth?", "shapes", table, (0, 1), "Baseline", "dmt-9")
    return ExperimentFile(ablation, storage, Path("data"), "shapes", ("a=1",), 0, {"8": INFO}, "python -m x")


def write_earlier(file: ExperimentFile) -> tuple[Path, ExperimentFile]:
    """The experiment as earlier versions wrote it: the file, and what can be read of it."""
    write(file.folder, file)
    content = json.loads((file.folder / "experiment.json").read_text())
    (file.folder / "experiment.json").unlink()
    content["about"] = content.pop("dataset_info")
    left_out = ["kind"]
    if file.kind == "sweep":
        path, known = file.folder / "sweep.json", replace(file, command="")
        content["outcomes"] = content.pop("extra_metrics")
        left_out += ["command"]
    elif file.kind == "ablation":
        path, known = file.folder / "ablation.json", replace(file, changes=())
        left_out += ["changes", "trials"]
    else:
        path = file.storage / "experiments" / f"{file.folder.name}.json"
        known = ExperimentFile(file.run, file.storage, dataset_info=file.dataset_info)
        left_out = [name for name in content if name not in ("method", "config", "seed", "about")]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({name: value for name, value in content.items() if name not in left_out}))
    return path, known


@pytest.mark.parametrize("file", KINDS, indirect=True)
def test_an_experiment_of_every_kind_is_read_back(file):
    write(file.folder, file)
    assert read(file.folder) == file
    assert read(file.folder).experiment.name == file.experiment.name
    assert kind_of(file.folder) == file.kind
    assert content_of(file.folder)["versions"].keys() >= {"python", "torch"}
    assert [path.name for path in file.folder.iterdir()] == ["experiment.json"]


@pytest.mark.parametrize("file", KINDS, indirect=True)
def test_an_experiment_is_of_one_kind(file):
    for kind in set(KINDS) - {file.kind}:
        with pytest.raises(StoreError, match=f"is no {kind}"):
            getattr(file, kind)
    assert getattr(file, file.kind) is file.experiment


@pytest.mark.parametrize("file", KINDS[:2], indirect=True)
def test_the_file_of_an_earlier_version_is_read_and_gives_way(file):
    path, known = write_earlier(file)
    assert path.name == f"{file.kind}.json"
    assert (read(file.folder), kind_of(file.folder)) == (known, file.kind)
    assert content_of(file.folder)["dataset_info"] == file.dataset_info
    write(file.folder, file)
    assert read(file.folder) == file
    assert [path.name for path in file.folder.iterdir()] == ["experiment.json"]


@pytest.mark.parametrize("file", ["run"], indirect=True)
def test_a_run_of_an_earlier_version_is_listed_and_gives_way(file):
    path, known = write_earlier(file)
    other = replace(file, experiment=replace(file.run, seed=1))
    write(other.folder, other)
    assert list(saved_runs(file.storage)) == [other, known]
    write(file.folder, file)
    assert not path.exists()
    assert list(saved_runs(file.storage)) == [other, file]


@pytest.mark.parametrize("file", ["sweep"], indirect=True)
def test_what_the_first_sweep_files_lack_has_its_default(file):
    path, _ = write_earlier(file)
    content = json.loads(path.read_text())
    assert content["space"]["weight.gamma1"] == {"low": 0, "high": 8, "step": 0.25}
    for later in ("seed_by_seed", "second", "outcomes"):
        del content[later]
    path.write_text(json.dumps(content))
    assert read(file.folder).sweep == replace(file.sweep, seed_by_seed=False, second="", extra_metrics=())


@pytest.mark.parametrize("name", ["experiment.json", "sweep.json", "ablation.json"])
def test_a_file_that_describes_no_experiment_is_named(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(StoreError, match=rf"{name} does not describe an experiment"):
        read(tmp_path)


def test_failures_are_noted_beside_it(tmp_path):
    assert read_failed(tmp_path) == {}
    write_failed(tmp_path, {"finetune-0": "it broke"})
    assert read_failed(tmp_path) == {"finetune-0": "it broke"}
