"""Images of four channels all the way: a recipe, a training that only the fourth can serve, scores, predictions, models
that serve. Nothing of MLflow's appears in the folder that a user works in."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image
from rich.console import Console

from dmt_ray.api.evaluating import evaluate
from dmt_ray.api.own_data import Machine as MachineOfUser
from dmt_ray.api.own_data import propose, write_recipe
from dmt_ray.api.predicting import Job, predict_folder
from dmt_ray.api.trained import Trained, find_model, load_model, tiling_of
from dmt_ray.config import Config, override
from dmt_ray.deploy import folder as model_folder
from dmt_ray.errors import ConfigError
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS
from dmt_ray.results.scores import score
from tests.helpers import own_folders

QUIET = Console(quiet=True)
SHORT = {
    "model": {"architecture": "UNet", "encoder": "none", "arguments": {"base": 4}},
    "split.labelled": 8,
    "pretrain.epochs": 40,
    "pretrain.learning_rate": 0.2,
    "pretrain.batch": [4, 0],
    "pretrain.augment.scale": [1, 1],
}


class World:
    """A folder of images, a recipe for it, and a model that was trained on it; the working directory is beside it."""

    def __init__(self, root) -> None:
        self.images = own_folders.bands(root / "scenes", 16)
        self.work = root / "work"
        self.work.mkdir()
        self.recipe: Config = write_recipe(
            propose(self.images, MachineOfUser(False, False)), root / "s.yaml", self.images
        )
        self.machine = Machine(root / "runs", self.images, "cpu")
        runner = Runner(self.machine)
        self.config = runner.bind(override(self.recipe, SHORT))
        ((evaluation,),) = (tuple(rung.values()) for rung in METHODS["baseline"](self.config, 0).rungs)
        runner.check([evaluation.inputs["model"]])
        runner.perform([evaluation])
        self.score = score(runner.store, evaluation, "reported")
        self.trained: Trained = find_model(str(runner.store.path(evaluation.inputs["model"])), root / "runs")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    root = tmp_path_factory.mktemp("channels")
    with pytest.MonkeyPatch.context() as patch:
        (root / "elsewhere").mkdir()
        patch.chdir(root / "elsewhere")
        return World(root)


def test_the_recipe_names_channels_normalisation_and_a_range_for_each(world):
    data = world.recipe.data
    assert (data.channels, data.normalised) == (4, "data")
    assert data.range == ((0, 1023), (0, 1023), (0, 1023), (0, 4095))


def test_statistics_and_channels_are_filled_in_and_identify_what_is_trained(world):
    mean, std = world.config.data.statistics
    assert (len(mean), len(std), world.config.model.channels) == (4, 4, 4)
    assert all(0.25 < value < 0.35 for value in mean[:3])  # numbers of 0 to 599 in a range of 1023
    key = METHODS["baseline"](world.config, 0).stages()[0].key
    other = override(world.config, {"data.statistics": (mean, (0.5,) * 4)})
    assert METHODS["baseline"](other, 0).stages()[0].key != key


def test_the_network_has_learnt_what_only_the_fourth_channel_shows(world):
    assert world.score > 0.8  # by the other three, a half at most


def test_pictures_are_predicted_with_all_their_channels(world, tmp_path):
    model = world.trained
    job = Job(world.images, tmp_path / "out", ("class", "overlay"), tiling_of(model, None, 0.25, False, (1.0,)), "cpu")
    summary = predict_folder(model, job, QUIET)
    assert (summary.done, summary.broken) == (16, {})  # and no mask among them
    with Image.open(tmp_path / "out/class/s000.png") as classes, Image.open(world.images / "s000_mask.png") as mask:
        assert (np.asarray(classes) == np.asarray(mask)).mean() > 0.97  # 7 % are no background
    with Image.open(tmp_path / "out/overlay/s000.png") as overlay:
        assert overlay.mode == "RGB"


def test_the_model_is_scored_on_other_data_of_as_many_channels_alone(world, tmp_path):
    tiling = tiling_of(world.trained, None, 0.25, False, (1.0,))
    scores = evaluate(world.trained, world.config, world.machine, tiling, QUIET).scores
    assert scores["miou"] == pytest.approx(world.score, abs=0.05)  # in tiles
    (tmp_path / "grey").mkdir()
    for path in world.images.glob("*_mask.png"):
        for name in (path.name, path.name.replace("_mask", "")):
            (tmp_path / "grey" / name).write_bytes(path.read_bytes())
    few, grey = (
        override(world.recipe, {"data.channels": 1, "data.range": None}),
        replace(world.machine, data=tmp_path / "grey"),
    )
    with pytest.raises(ConfigError, match="takes images of 4 channels, but those of folder have 1"):
        evaluate(world.trained, few, grey, tiling, QUIET)


def test_an_exported_folder_takes_files_and_arrays_of_four_channels(world, tmp_path):
    (info,), (file,) = world.trained.infos, world.trained.files
    model_folder.write(tmp_path / "model", file, info)
    model = load_model(tmp_path / "model", device="cpu")
    path = world.images / "s000.tif"
    ranges = np.array(world.config.data.range)
    pixels = np.rint(tifffile.imread(path) * (255 / ranges[:, 1])).clip(0, 255).astype(np.uint8)
    assert (model(pixels) == model(path)).all()
    with pytest.raises(ConfigError, match=r"uint8 \[height, width, 4\] in 0..255, but got uint8 \[64, 64, 3\]"):
        model(pixels[:, :, :3])
    assert "Images of 4 channels in 0..1" in (tmp_path / "model/README.md").read_text()


@pytest.mark.filterwarnings("ignore")  # MLflow and its dependencies use what Python is about to drop
def test_mlflow_serves_pictures_of_four_channels_and_leaves_nothing_where_a_user_works(world, tmp_path, monkeypatch):
    import mlflow.pyfunc

    from dmt_ray.tracking.registry import fetch, register

    monkeypatch.chdir(world.work)
    (info,), (file,) = world.trained.infos, world.trained.files
    storage = tmp_path / "runs"
    register(info, lambda folder: model_folder.write(folder, file, info), "scenes", "champion", None, storage)
    path = fetch("models:/scenes@champion", None, storage).parents[1]
    model = mlflow.pyfunc.load_model(str(path))
    assert model.metadata.signature.inputs.to_dict()[0]["tensor-spec"]["shape"] == (-1, -1, -1, 4)
    example = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 4), np.uint8)
    assert model.predict(example).shape == (2, 64, 64)
    load_model("models:/scenes@champion", storage=storage, device="cpu")(example[0])
    assert list(world.work.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_a_graph_takes_four_channels(world, tmp_path, format):
    from dmt_ray.deploy import graph

    made = graph.write(world.trained.networks[0], world.trained.info, format, tmp_path / f"model.{format}")
    assert made.shape[1] == 4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dmt", "unimatch", "rml"])
def test_methods_with_strong_augmentation_train_on_four_channels(world, method, tmp_path):
    changes = {"percentiles": [1.0], "finetune.epochs": 1, "online.epochs": 1, "model.encoder": "tu-test_resnet"}
    changes |= {"model.architecture": "Unet", "model.arguments": {"encoder_depth": 4, "decoder_channels": [8] * 4}}
    runner = Runner(replace(world.machine, store=tmp_path))
    plan = METHODS[method](runner.bind(override(world.config, changes | {"pretrain.epochs": 1})), 0)
    runner.perform([stage for stage in plan.rungs[-1].values()])
