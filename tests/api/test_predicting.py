"""`dmt predict`: which model is meant, what is written, what is done again and what is not."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from torch import nn, zeros

from dmt_ray.api import finding, predicting, trained
from dmt_ray.api.predicting import Job, predict_folder
from dmt_ray.api.trained import Trained
from dmt_ray.cli import main as cli
from dmt_ray.config import Model
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.engine.tiles import Tiling
from dmt_ray.errors import ConfigError, DataError, MissingStages
from dmt_ray.execution import progress
from dmt_ray.experiments import experiment_file
from dmt_ray.models import Padding
from dmt_ray.store import Store
from tests.helpers import png_files
from tests.helpers.fake_stages import CLASSES, TWO_ROWS, ablation_file
from tests.helpers.fake_stages import PALETTE as PALETTE_OF_SHAPES
from tests.helpers.trained import TINY, store_models

PALETTE = np.array([[0, 0, 0], [200, 100, 0]], np.uint8)
QUIET = Console(quiet=True)


class Brightness(nn.Module):
    """Dark pixels are of class 0, bright ones of class 1; counts the tiles that it has seen."""

    padding = Padding(1)
    seen = 0

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(zeros(1))

    def forward(self, images):
        Brightness.seen += len(images)
        bright = images.sum(dim=1, keepdim=True)
        return 100 * bright.new_tensor([-1, 1]).view(1, 2, 1, 1) * bright


@pytest.fixture
def model():
    Brightness.seen = 0
    info = ModelInfo(
        name="toy",
        model=TINY,
        classes=("dark", "bright"),
        palette=PALETTE.tolist(),
        crop=(8, 8),
        key="0123 model.safetensors",
        data=DataUsed(name="toy"),
    )
    return Trained("toy", (Brightness(),), (info,), ())


@pytest.fixture
def pictures(tmp_path):
    """Two pictures, the lower quarter of the one in a folder is bright, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    pixels = np.zeros((12, 20, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    pixels[9:] = 255
    Image.fromarray(pixels).save(folder / "deep" / "b.png")
    (folder / "broken.png").write_bytes(b"nothing")
    return folder


def job(pictures, **changes):
    out = pictures.with_name("out")
    return Job(
        **{"pictures": pictures, "out": out, "save": ("class", "overlay"), "tiling": Tiling((8, 8)), "device": "cpu"}
        | changes
    )


def test_a_folder_gives_class_numbers_overlays_and_shares_and_names_what_is_broken(model, pictures):
    todo = job(pictures)
    summary = predict_folder(model, todo, QUIET)
    assert (summary.done, summary.earlier, list(summary.broken)) == (2, 0, ["broken.png"])
    classes = Image.open(todo.out / "class" / "deep" / "b.png")
    assert np.asarray(classes)[:, 0].tolist() == [0] * 9 + [1] * 3
    assert classes.mode == "P"
    assert np.asarray(classes.convert("RGB"))[11, 0].tolist() == [200, 100, 0]
    overlay = np.asarray(Image.open(todo.out / "overlay" / "deep" / "b.png"))
    assert overlay[11, 0].tolist() == [227, 177, 127]  # halfway between white and the class's colour
    with (todo.out / "predictions.csv").open(newline="") as file:
        rows = {row["picture"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["a.png", "deep/b.png"]
    assert float(rows["deep/b.png"]["share/bright"]) == 0.25
    assert float(rows["a.png"]["confidence"]) == 1
    assert rows["a.png"]["height"] == "12"


def test_overlay_and_shares_that_are_made_in_pieces_are_of_the_whole_picture(model, pictures, monkeypatch):
    monkeypatch.setattr(predicting, "ROWS", 5)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    Image.fromarray(pixels).save(pictures / "a.png")
    todo = job(pictures)
    predict_folder(model, todo, QUIET)
    overlay, classes = (np.asarray(Image.open(todo.out / kind / "a.png")) for kind in ("overlay", "class"))
    assert (overlay == (pixels.astype(int) + PALETTE[classes]) // 2).all()
    with (todo.out / "predictions.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert float(row["share/bright"]) == pytest.approx(classes.mean(), abs=1e-6)


def test_only_what_is_new_or_changed_is_computed_again(model, pictures):
    todo = job(pictures)
    predict_folder(model, todo, QUIET)
    before = Brightness.seen
    assert predict_folder(model, todo, QUIET).earlier == 2
    assert Brightness.seen == before
    (todo.out / "class" / "a.png").unlink()
    assert predict_folder(model, todo, QUIET).earlier == 1
    Image.new("RGB", (20, 12), "white").save(pictures / "a.png")
    assert predict_folder(model, todo, QUIET).earlier == 1
    assert np.asarray(Image.open(todo.out / "class" / "a.png")).all()


def test_progress_goes_by_the_pixels_and_ends_at_all_of_them_although_one_picture_is_damaged(
    model, pictures, monkeypatch
):
    """Of 8 x 8 and 12 x 20 = 240 pixels; one that is none counts as much as the others do, 152."""
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    Image.new("RGB", (8, 8)).save(pictures / "a.png")

    def shown() -> list[tuple[str, str]]:
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        predict_folder(model, job(pictures), console)
        found = re.findall(r"(\d) of 3 pictures, (\d+) %", console.file.getvalue())
        return [one for i, one in enumerate(found) if one not in found[:i]]

    # Of 456 are 0.8 * 64 = 51 predicted, 58 with the first of two files, 64 with both; 64 + 152 = 216 gone through;
    # 96 more predicted with the first row of tiles, 192 with the second.
    first = [("0", "11"), ("0", "13"), ("0", "14"), ("1", "14")]
    last = [("2", "47"), ("2", "68"), ("2", "89"), ("2", "95"), ("2", "100"), ("3", "100")]
    assert shown() == [*first, *last]
    (pictures.with_name("out") / "class" / "deep" / "b.png").unlink()
    assert shown() == [("1", "14"), *last]  # what was predicted before counts as done, too


def test_a_row_that_a_killed_process_left_unfinished_is_not_believed(model, pictures):
    todo = job(pictures)
    predict_folder(model, todo, QUIET)
    table = todo.out / "predictions.csv"
    whole = table.read_text()
    table.write_text(whole[:-20])
    assert predict_folder(model, todo, QUIET).earlier == 1
    assert table.read_text() == whole


def test_a_folder_of_other_settings_or_of_something_else_is_not_written_to(model, pictures):
    predict_folder(model, job(pictures), QUIET)
    with pytest.raises(ConfigError, match="flip was False, and now is True"):
        predict_folder(model, job(pictures, tiling=Tiling((8, 8), flip=True)), QUIET)
    with pytest.raises(ConfigError, match="exists and holds no predictions"):
        predict_folder(model, job(pictures / "deep", out=pictures), QUIET)
    with pytest.raises(ConfigError, match="lies in the folder of the pictures"):
        job(pictures, out=pictures / "out")


def test_a_folder_in_which_nothing_was_predicted_yet_takes_other_settings(model, pictures, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(predicting, "_predict_one", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict_folder(model, job(pictures, tiling=Tiling((8, 8), flip=True)), QUIET)
    assert predict_folder(model, job(pictures), QUIET).earlier == 0


@pytest.mark.parametrize("device", ["cuda:7", "foo"])
def test_a_device_that_is_not_there_is_an_error_before_anything_is_written(device, model, pictures):
    todo = job(pictures, device=device)
    with pytest.raises(ConfigError, match=f"there is no device '{device}' here; available: cpu"):
        predict_folder(model, todo, QUIET)
    assert not todo.out.exists()


def test_true_masks_give_the_miou_and_a_bad_one_is_named(model, pictures, tmp_path):
    masks = tmp_path / "masks"
    (masks / "deep").mkdir(parents=True)
    truth = np.zeros((12, 20), np.uint8)
    truth[6:] = 1
    truth[0] = 255
    Image.fromarray(truth).save(masks / "deep" / "b.png")
    Image.fromarray(np.full((12, 20), 7, np.uint8)).save(masks / "a.png")
    todo = job(pictures, masks=masks)
    summary = predict_folder(model, todo, QUIET)
    # Of 11 rows 5 are dark and 6 bright; predicted are 8 and 3: IoU 5/8 and 3/6.
    assert summary.scores["miou"] == pytest.approx((5 / 8 + 3 / 6) / 2)
    assert summary.scores["images"] == 1
    assert "it holds 7" in summary.broken[str(masks / "a.png")]
    assert json.loads((todo.out / "scores.json").read_text())["iou"] == {"dark": 0.625, "bright": 0.5}
    with pytest.raises(ConfigError, match="add class to --save"):
        job(pictures, masks=masks, save=("overlay",))


def test_where_no_mask_can_be_used_the_first_one_is_named_and_the_predictions_are_kept(model, pictures, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.zeros((6, 10), np.uint8)).save(masks / "a.png")
    todo = job(pictures, masks=masks)
    with pytest.raises(DataError, match=rf"could be used: .*a\.png: .* it is 6 x 10, .* predictions are in {todo.out}"):
        predict_folder(model, todo, QUIET)
    assert (todo.out / "class" / "a.png").is_file()


def test_masks_of_other_names_are_an_error_before_anything_is_predicted(model, pictures, tmp_path):
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((12, 20), np.uint8)).save(tmp_path / "masks" / "a_mask.png")
    todo = job(pictures, masks=tmp_path / "masks")
    with pytest.raises(DataError, match=r"has the name of a picture; the mask of a\.png would be .*masks/a\.png"):
        predict_folder(model, todo, QUIET)
    assert not todo.out.exists()
    assert Brightness.seen == 0


def test_a_folder_without_pictures_and_pictures_of_one_name_are_errors(model, pictures, tmp_path):
    Image.new("RGB", (4, 4)).save(pictures / "a.bmp")
    with pytest.raises(DataError, match=r"a.bmp and a.png .* rename one"):
        predict_folder(model, job(pictures), QUIET)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        predict_folder(model, job(tmp_path / "empty"), QUIET)
    with pytest.raises(ConfigError, match="there is no folder"):
        job(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"a\.bmp is a file\. Name the folder"):
        job(pictures / "a.bmp")


def test_a_stage_is_named_by_its_key_as_the_store_lists_it(tmp_path):
    folder = tmp_path / "stages" / "finetune" / "0123456789abcdef0123"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{}")
    named = [finding.stage_folder(what, tmp_path) for what in ("0123456789", "finetune-01234567", str(folder))]
    assert named == [folder] * 3
    assert finding.stage_folder("components", tmp_path) is None
    with pytest.raises(MissingStages, match="there are no sweeps"):
        trained.find_model("nothing", tmp_path)


# ---- which model -----------------------------------------------------------------------------------------------


def test_a_row_of_an_ablation_gives_its_last_models_with_colours_and_crop(tmp_path):
    store = Store(tmp_path)
    file = replace(ablation_file("files", TWO_ROWS), storage=tmp_path)
    experiment_file.write(file.folder, file)
    members = {(member.cell.row, member.seed): member.plan for member in file.ablation.members()}
    plan = members["DMT", 0]
    store_models(store, plan)
    model = trained.find_model("files:DMT", tmp_path)
    assert [key.split()[0] for key in model.keys] == [plan.rungs[-1][side].inputs["model"].key for side in "AB"]
    assert model.info.classes == CLASSES
    assert (np.array(model.info.palette) == PALETTE_OF_SHAPES).all()
    assert (model.info.crop, model.info.size) == ((64, 64), None)
    alone = trained.find_model(plan.rungs[-1]["A"].inputs["model"].key, tmp_path)
    assert alone.keys == model.keys[:1]
    assert alone.info.classes[1] == "class 1"
    with pytest.raises(ConfigError, match="has several rows; name one, as in files:'DMT'"):
        trained.find_model("files", tmp_path)
    with pytest.raises(ConfigError, match="has no row 'DMTT'; did you mean 'DMT'"):
        trained.find_model("files:DMTT", tmp_path)
    with pytest.raises(ConfigError, match="is a stage without a model"):
        trained.find_model(plan.rungs[-1]["A"].key, tmp_path)


def test_a_model_that_is_not_computed_yet_is_an_error(tmp_path):
    file = replace(ablation_file("files", TWO_ROWS), storage=tmp_path)
    with Store(tmp_path).write(next(iter(file.ablation.members())).plan.stages()[0], {"seconds": 1.0}):
        pass  # the store exists, the models do not
    experiment_file.write(file.folder, file)
    with pytest.raises(MissingStages):
        trained.find_model("files:DMT", tmp_path)


def test_the_command_predicts_with_a_row_and_says_where_and_what_was_not_used(tmp_path, pictures, capsys):
    storage = tmp_path / "runs"
    store = Store(storage)
    file = replace(ablation_file("files", TWO_ROWS), storage=storage)
    experiment_file.write(file.folder, file)
    plan = next(member.plan for member in file.ablation.members() if member.cell.row == "DMT")
    store_models(store, plan)
    words = ["predict", str(pictures), "--model", "files:DMT", "--storage", str(storage), "--tile", "16"]
    assert cli.main(words) == 1  # broken.png
    said = capsys.readouterr()
    assert f"2 pictures: {tmp_path / 'photos-predictions'}" in said.out
    assert "not used: broken.png" in said.err
    with Image.open(tmp_path / "photos-predictions/class/deep/b.png") as written:
        assert (written.size, written.mode) == ((20, 12), "P")
    (pictures / "broken.png").unlink()
    assert cli.main(words) == 0
    assert "2 pictures (2 of them before)" in capsys.readouterr().out


class Redness(nn.Module):
    """Pictures are of class 1 where red prevails, with one logit a picture and class."""

    def forward(self, images):
        red = (images[:, :1] - images[:, 2:]).mean(dim=(2, 3), keepdim=True)
        return red.new_tensor([-1, 1]).view(1, 2, 1, 1) * red.sign() * np.log(3) / 2


@pytest.fixture
def classifier():
    info = ModelInfo(
        name="toy",
        model=Model(architecture="WideResNet", encoder="none", encoder_weights=None),
        task="classification",
        classes=("sea", "rose"),
        palette=PALETTE.tolist(),
        size=(4, 4),
        crop=(8, 8),
        key="0123 model.safetensors",
        data=DataUsed(name="toy"),
    )
    return Trained("toy", (Redness(),), (info,), ())


def read_as(model, data):
    """The model, trained on data with these settings."""
    return replace(model, infos=(model.info.evolve(data=DataUsed(name="folder", settings=data)),))


def test_pictures_with_one_class_get_a_caption(classifier, tmp_path):
    (tmp_path / "photos").mkdir()
    for name, colour in (("a", (0, 0, 200)), ("b", (200, 0, 0))):
        Image.new("RGB", (60, 40), colour).save(tmp_path / f"photos/{name}.png")
    todo = job(tmp_path / "photos")
    assert predict_folder(classifier, todo, QUIET).done == 2
    with (todo.out / "predictions.csv").open(newline="") as file:
        rows = {row["picture"]: row for row in csv.DictReader(file)}
    assert float(rows["b.png"]["share/rose"]) == float(rows["a.png"]["share/sea"]) == 1
    assert float(rows["b.png"]["confidence"]) == pytest.approx(0.75)  # 3 to 1
    assert np.unique(Image.open(todo.out / "class/b.png")).tolist() == [1]
    overlay = np.asarray(Image.open(todo.out / "overlay/b.png"))
    assert overlay.shape == (40 + 14, 60, 3)
    assert (overlay[:40] == (200, 0, 0)).all()
    line = overlay[40:].reshape(-1, 3)
    assert line[0].tolist() == [200, 100, 0]
    assert (line != line[0]).any()  # there is a text


@pytest.mark.parametrize(
    "changes", [{"save": ("class", "entropy")}, {"tiling": Tiling((8, 8), flip=True)}, {"masks": "photos"}]
)
def test_what_makes_no_sense_for_one_class_is_refused(changes, classifier, pictures):
    changes = {name: pictures if name == "masks" else value for name, value in changes.items()}
    with pytest.raises(ConfigError, match="gives a picture one class: leave out --masks, --tile"):
        predict_folder(classifier, job(pictures, **changes), QUIET)


def test_pictures_are_read_as_the_training_read_its_own(model, tmp_path):
    (tmp_path / "photos").mkdir()
    numbers = np.zeros((12, 20), int)
    numbers[9:] = 4000
    png_files.save(tmp_path / "photos/a.png", numbers, 16)
    assert list(predict_folder(model, job(tmp_path / "photos"), QUIET).broken) == ["a.png"]
    for name in ("a.png", "b.png"):
        Image.fromarray(np.where(numbers > 0, 255, 0).astype(np.uint8)).save(tmp_path / f"photos/{name[0]}_mask.png")
    data = {
        "name": "folder", "classes": ["dark", "bright"], "masks": "{id}_mask", "range": (0, 4000),
        "mask_values": {"0": "dark", "255": "bright"},
    }  # fmt: skip
    (tmp_path / "masks").mkdir()
    (tmp_path / "photos/a_mask.png").replace(tmp_path / "masks/a.png")
    todo = job(tmp_path / "photos", out=tmp_path / "out", masks=tmp_path / "masks")
    summary = predict_folder(read_as(model, data), todo, QUIET)
    assert (summary.done, summary.broken) == (1, {})  # b_mask.png is a mask
    assert summary.scores["miou"] == 1


def test_a_folder_of_masks_alone_is_refused(model, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("L", (20, 12)).save(tmp_path / "photos/a_mask.png")
    data = {"name": "folder", "classes": ["dark", "bright"], "masks": "{id}_mask"}
    with pytest.raises(DataError, match="holds only masks, by their names"):
        predict_folder(read_as(model, data), job(tmp_path / "photos"), QUIET)
