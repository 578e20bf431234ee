"""`load_model`, `dmt model`: models by name, as folders, as graphs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dmt_ray
from dmt_ray.api.trained import find_model
from dmt_ray.cli import main as cli
from dmt_ray.errors import ConfigError, UserError
from dmt_ray.experiments import experiment_file
from dmt_ray.store import Store
from tests.helpers.fake_stages import CLASSES, PALETTE, TWO_ROWS, ablation_file
from tests.helpers.trained import run_file, store_models

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> Path:
    """A storage folder with a run of DMT; its model B is the better one."""
    storage = tmp_path_factory.mktemp("trained") / "runs"
    run_file(storage, "dmt")
    return storage


def test_a_run_is_loaded_in_one_line_with_both_models_averaged(storage):
    model = dmt_ray.load_model("dmt-shapes", storage=storage, device="cpu")
    classes = model(PIXELS)
    assert classes.shape == (40, 56)
    assert (model.classes, model.palette.tolist()) == (CLASSES, PALETTE.tolist())
    assert "2 networks" in repr(model)
    alone = find_model("dmt-shapes", storage)
    assert [info.side for info in alone.infos] == ["A", "B"]


def test_facts_of_a_run_are_those_of_its_records(storage):
    info = find_model("dmt-shapes", storage).best().info
    assert (info.side, info.method, info.recipe, info.seed) == ("B", "dmt", "shapes", 0)
    assert (info.data.split, info.data.split_digest) == ("random-16-0", "abcabcabcabc")
    assert info.score.validation == pytest.approx(0.6)
    assert (info.score.validation_images, info.score.test_images) == (6, 7)
    assert info.first_weights["licence"] == "Apache-2.0"
    assert info.code == {"torch": "9.9"}


def test_scores_of_a_row_are_means_over_its_seeds(tmp_path):
    store = Store(tmp_path)
    file = replace(ablation_file("files", TWO_ROWS), storage=tmp_path)
    experiment_file.write(file.folder, file)
    for member in file.ablation.members():
        store_models(store, member.plan, validation=(0.5 + 0.1 * member.seed, 0.5 + 0.1 * member.seed))
    scores = {one.rule: one for one in find_model("files:DMT", tmp_path).info.scores}
    assert (scores["last"].n, scores["last"].test) == (2, pytest.approx(0.45))  # 0.4 and 0.5
    assert scores["last"].test_sd == pytest.approx(0.1 / 2**0.5)


def test_an_exported_folder_predicts_as_the_model_that_it_was_exported_from(storage, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["model", "export", "dmt-shapes", "--storage", str(storage), "--out", str(out)]) == 0
    assert "UNet" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "classes.json",
        "config.json",
        "model.safetensors",
        "model_info.json",
        "preprocessor_config.json",
    ]
    key = find_model("dmt-shapes", storage).best().info.key.split()[0]
    exported, stage = (dmt_ray.load_model(what, storage=storage, device="cpu") for what in (out, key))
    assert (exported(PIXELS) == stage(PIXELS)).all()
    assert exported.classes == CLASSES
    photos = tmp_path / "photos"
    photos.mkdir()
    from PIL import Image

    Image.fromarray(PIXELS).save(photos / "a.png")
    words = ["predict", str(photos), "--model", str(out), "--storage", str(tmp_path / "none"), "--device", "cpu"]
    assert cli.main(words) == 0
    with Image.open(tmp_path / "photos-predictions" / "class" / "a.png") as written:
        assert (np.asarray(written) == exported(PIXELS)).all()


def test_a_side_is_chosen_and_a_wrong_one_is_an_error(storage, tmp_path, capsys):
    words = ["model", "export", "dmt-shapes", "--storage", str(storage), "--out", str(tmp_path / "a"), "--side", "A"]
    assert cli.main(words) == 0
    assert dmt_ray.load_model(tmp_path / "a").info.side == "A"
    model = find_model("dmt-shapes", storage).only(0)
    with pytest.raises(ConfigError, match="has only model A, but got --side B"):
        model.of_side("B")


def test_a_folder_that_holds_something_else_is_refused_before_anything_is_written(storage, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert cli.main(["model", "export", "dmt-shapes", "--storage", str(storage), "--out", str(tmp_path)]) == 2
    assert "holds no exported model; choose another folder as --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("unet", "'unet' is the name of a network, and not of a trained one. Name a run, a sweep or ABLATION:ROW; "),
        ("lite0", "'lite0' is the name of a network"),
        ("FPN/resnet18", "'FPN/resnet18' is the name of a network"),
        ("rml", "'rml' is a method, and no run of it is in HERE. `dmt run --method rml --storage HERE` trains by it"),
        ("out/model", "there is no folder out/model. Name the folder of an exported model or of a stage, or a run"),
        ("FOLDER/notes.txt", "notes.txt is a file, but a model is a folder, which also says what its classes are"),
        ("FOLDER", "holds no model: it has neither model_info.json, as of an exported model, nor record.json, as of"),
        ("HERE", "HERE is a folder of results: pass it as --storage, and name what was trained in it"),
        ("dnt-shapes", "there is no sweep, ablation or run 'dnt-shapes' in HERE; did you mean 'dmt-shapes'?"),
    ],
)
def test_what_is_no_trained_model_is_told_with_what_to_name(storage, tmp_path, what, message):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError) as raised:
        find_model(what.replace("HERE", str(storage)).replace("FOLDER", str(tmp_path)), storage)
    assert message in str(raised.value).replace(str(storage), "HERE")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the tracers
def test_graphs_are_written_into_the_folder_and_their_differences_printed(storage, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["model", "export", "dmt-shapes", "--storage", str(storage), "--out", str(out), "--to", "onnx", "pt2"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    for name in ("model.onnx", "model.pt2"):
        assert (out / name).is_file()
        assert f"{name}: any batch, height, width (sides of a multiple of 16 pixels); largest difference" in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of MLflow
def test_a_registered_model_is_loaded_by_its_alias(storage, capsys):
    words = ["model", "register", "dmt-shapes", "--storage", str(storage), "--name", "shapes", "--alias", "champion"]
    assert cli.main(words) == 0
    assert "models:/shapes@champion leads to it" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert "models:/shapes/1 is dmt-shapes" in (said := capsys.readouterr().out)
    assert "which was registered before" in said
    model = dmt_ray.load_model("models:/shapes@champion", storage=storage, device="cpu")
    key = find_model("dmt-shapes", storage).best().info.key.split()[0]
    assert (model(PIXELS) == dmt_ray.load_model(key, storage=storage, device="cpu")(PIXELS)).all()
