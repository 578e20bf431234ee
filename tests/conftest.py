import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dmt_ray.config import Config, override
from dmt_ray.data.sets.shapes import CLASSES, generate
from dmt_ray.execution.journal import locked, note_executed
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile, write
from dmt_ray.experiments.sweep import Sweep, Uniform
from dmt_ray.recipes import named
from dmt_ray.results.scores import rung_score
from dmt_ray.store import Store
from tests.helpers.paths import REAL

os.environ.pop("MLFLOW_TRACKING_URI", None)  # of whoever runs the tests

pytest_plugins = ["tests.helpers.records"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let benchmarks/faults.py count the attacks."""
    if item.get_closest_marker("attack") is not None:
        item.user_properties.append(("attacks", 1))


@pytest.fixture(scope="session")
def camvid_folder() -> Path:
    folder = REAL / "camvid"
    if not folder.is_dir():
        pytest.skip("no real images: set DMT_DATA to a folder that holds camvid/")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small pictures of the embedded kind: 24 train, 6 val, 6 test, 32 x 32, with masks and lists."""
    folder = tmp_path_factory.mktemp("pictures")
    for place in ("images", "masks"):
        (folder / place).mkdir()
    counts = {"train": 24, "val": 6, "test": 6}
    for subset in counts:
        images, masks, ids = generate(subset, size=32, counts=counts)
        for image, mask, name in zip(images, masks, ids, strict=True):
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
        (folder / f"{subset}.txt").write_text("\n".join(ids) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny() -> Config:
    """A whole DMT in a second: two iterations of a few steps on `pictures`."""
    lists = {f"{subset}_list": f"{subset}.txt" for subset in ("train", "val", "test")}
    data = {"name": "folder", "classes": list(CLASSES), **lists}
    changes: dict[str, Any] = {
        "data": data,
        "split.labelled": 8,
        "dms_alpha": 0.8,
        "finetune.batch": [2, 6],
        "percentiles": [0.5, 1.0],
        "pretrain.epochs": 10,
        "finetune.epochs": 4,
        "cotrain.epochs": 1,
        "retrain.epochs": 2,
    }
    for training in ("pretrain", "finetune", "online", "cotrain", "retrain", "oracle"):
        changes[f"{training}.augment.crop"] = [32, 32]
    return override(named("shapes"), changes)


@pytest.fixture
def machine(tmp_path: Path, pictures: Path) -> Machine:
    """An empty folder for results, beside `pictures`."""
    return Machine(tmp_path / "runs", pictures)


@pytest.fixture(scope="module")
def module_machine(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Machine:
    """Like `machine`, for all tests of a file."""
    return Machine(tmp_path_factory.mktemp("module") / "runs", pictures)


@pytest.fixture(scope="session")
def small_ablation(tmp_path_factory: pytest.TempPathFactory, pictures: Path, tiny: Config) -> tuple[Path, Store]:
    """The folder of a real ablation of five rows and two seeds, performed in this process, and its store."""
    storage = tmp_path_factory.mktemp("small") / "runs"
    runner = Runner(Machine(storage, pictures, device="cpu"))
    config = runner.bind(tiny, (0, 1))
    rows = {"Baseline": "baseline", "CBST": "cbst", "DST": "dst", "DMT": "dmt", "Oracle": "oracle"}
    cells = tuple(Cell(row, "pictures", method, config, "shapes") for row, method in rows.items())
    ablation = Ablation("small", "Does a small ablation suffice for tests?", "shapes", cells, (0, 1), "Baseline")
    runner.perform([stage for one in ablation.members() for rung in one.plan.rungs for stage in rung.values()])
    command = "python -m ablations.small --seeds 0 1 --rows DMT Oracle --set a=1 --dry-run"
    dataset_info = {"pictures": DatasetInfo.of(runner.dataset(config.data), config, (0, 1), command).to_json()}
    file = ExperimentFile(ablation, storage, pictures, "shapes", (), 0, dataset_info, command)
    write(file.folder, file)
    return file.folder, runner.store


@pytest.fixture(scope="session")
def small_sweep(small_ablation: tuple[Path, Store], pictures: Path, tiny: Config) -> Path:
    """The folder of a real gamma sweep over nine points beside `small_ablation`, performed in this process."""
    from dmt_ray.search.study import Study  # Optuna takes seconds to import

    storage = small_ablation[0].parents[1]
    runner = Runner(Machine(storage, pictures, device="cpu"))
    sweep = Sweep(
        question="gamma_sweep",
        title="Which exponents weigh pseudo labels best?",
        config=runner.bind(tiny),
        method="dmt",
        space={"weight.gamma1": Uniform(0, 8, step=0.25), "weight.gamma2": Uniform(0, 8, step=0.25)},
        seeds=(0,),
        grid=3,
    )
    folder = storage / "sweeps" / sweep.name
    dataset_info = DatasetInfo.of(
        runner.dataset(sweep.config.data), sweep.config, sweep.seeds, "python searches/gamma_sweep.py"
    )
    with locked(folder):
        study = Study(folder, sweep, 9)
        while taken := study.take(token := f"trial {study.remaining}"):
            number, params = taken
            for rung, models in enumerate(sweep.plans(params)[0].rungs):
                executed = runner.perform(models.values())
                note_executed(folder, number, [stage.key for stage in executed])
                if study.report(token, rung, rung_score(runner.store, models)):
                    break
            study.finish(token)
    file = ExperimentFile(sweep, storage, pictures, "tiny", (), 9, dataset_info.to_json(), dataset_info.command)
    write(folder, file)
    return folder


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML file of a user with a folder of pictures."""
    file = tmp_path_factory.mktemp("settings") / "mine.yaml"
    file.write_text(
        "recipe: folder\n"
        "data:\n  classes: [background, disc, square, triangle, star, cross]\n"
        "  train_list: train.txt\n  val_list: val.txt\n  test_list: test.txt\n"
        "split: {labelled: 8, selection: val}\n"
        "model: {encoder: tu-test_resnet, arguments: {encoder_depth: 4, decoder_channels: [32, 16, 8, 8]}}\n"
        "percentiles: [1.0]\n"
        + "".join(
            f"{name}: {{epochs: 2, augment: {{crop: [32, 32]}}}}\n"
            for name in ("pretrain", "finetune", "online", "cotrain", "retrain")
        )
        + "oracle.augment.crop: [32, 32]\n"
    )
    return file
