"""`dmt suggest`: what is chosen, what is written, and how it comes back as a labelled list."""

import csv
import io

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from dmt_ray.api import suggesting
from dmt_ray.api.suggesting import Request, suggest
from dmt_ray.api.trained import Trained
from dmt_ray.cli import main as cli
from dmt_ray.config import override
from dmt_ray.data import divide, open_dataset
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.errors import ConfigError, DataError, MissingStages
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS
from dmt_ray.models import Padding
from dmt_ray.plan.operations import pretrain
from dmt_ray.recipes import named
from dmt_ray.recipes.plain_yaml import parse
from tests.helpers.fake_stages import CLASSES

QUIET = Console(quiet=True)
TINY = {"architecture": "UNet", "encoder": "none"}


class Pixelwise(nn.Module):
    """Gives dark pixels one probability of class 1, and bright ones another."""

    padding = Padding(1)

    def __init__(self, dark: float, bright: float) -> None:
        super().__init__()
        self.dark, self.bright = dark, bright

    def forward(self, images):
        second = torch.where(images.sum(dim=1, keepdim=True) > 0, self.bright, self.dark)
        return torch.cat([1 - second, second], dim=1).clamp(min=1e-30).log()


@pytest.fixture
def root(tmp_path):
    """Ten dark pictures with masks; and in new/ five of 8 x 8 of which 0, 4, 4, 8 and 2 columns are bright."""
    folder = tmp_path / "data"
    for name in ("images", "masks", "new"):
        (folder / name).mkdir(parents=True)
    truth = np.zeros((8, 8), np.uint8)
    truth[4:] = 1
    for i in range(10):
        Image.new("RGB", (8, 8)).save(folder / "images" / f"a{i}.png")
        Image.fromarray(truth).save(folder / "masks" / f"a{i}.png")
    for i, columns in enumerate((0, 4, 4, 8, 2)):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[:, :columns] = 255
        Image.fromarray(pixels).save(folder / "new" / f"n{i}.bmp")
    return folder


def info_of(name, key, classes, crop):
    """What is known of a network that nobody has trained."""
    palette = [(number, number, number) for number in range(len(classes))]
    used = DataUsed(name="folder")
    return ModelInfo(name=name, model=TINY, classes=classes, palette=palette, crop=crop, key=key, data=used)


@pytest.fixture
def config():
    data = {"name": "folder", "classes": ["dark", "bright"], "unlabelled": "new"}
    changes = {"data": data, "split.labelled": 2, "split.selection": 0.2, "crop": 8, "model": TINY}
    return override(named("folder"), changes)


@pytest.fixture
def storage(tmp_path, root, config, monkeypatch):
    """A folder of results with a stage that was trained on the data; the models that are found are made up."""
    storage = tmp_path / "runs"
    runner = Runner(Machine(storage, root))
    stage = pretrain(runner.bind(config), seed=0)
    with runner.store.write(stage, {"seconds": 1.0}):
        pass
    networks = (Pixelwise(0.0, 1.0), Pixelwise(0.4, 0.4))

    def found(what, where):
        assert where == storage
        chosen = networks if what == "pair" else networks[:1]
        keys = ("0" * 20 if what == "elsewhere" else stage.key) + " model.safetensors"
        info = info_of(what, keys, ("dark", "bright"), (8, 8))
        return Trained(what, chosen, (info,) * len(chosen), ())

    monkeypatch.setattr(suggesting, "find_model", found)
    return storage


def request(storage, root, **changes):
    out = root / "suggested"
    chosen = {"model": "pair", "count": 3, "by": "disagreement", "out": out, "storage": storage, "data": root}
    return Request(**chosen | {"device": "cpu"} | changes)


def with_settings(config, settings):
    """The config with overrides as they are written behind --set."""
    return override(config, {name: parse(text) for name, _, text in (one.partition("=") for one in settings)})


def test_pictures_with_much_disagreement_that_differ_are_chosen(storage, root):
    made = suggest(request(storage, root), QUIET)
    # A and B differ by 0.4 on dark and by 0.6 on bright pixels. All of n3 is bright, and predicted as class 1; of dark
    # pictures, which differ most from it, all have the same value: the first. n1 is halfway, as is n2.
    first_dark = next(id for id in made.ids if id.startswith("a"))
    assert made.ids == ("new/n3", first_dark, "new/n1")
    assert made.values == pytest.approx((0.6, 0.4, 0.5), abs=1 / 255)
    assert made.unlabelled == 10 - 2 - 2 - 2 + 5  # without the test, validation and labelled pictures


def test_pictures_drafts_table_and_sheet_are_written_and_progress_follows(storage, root):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    suggest(request(storage, root), console)
    assert "3 of 3 chosen pictures, 100 % of the pixels" in console.file.getvalue()
    out = root / "suggested"
    assert (out / "pictures/new/n1.bmp").read_bytes() == (root / "new/n1.bmp").read_bytes()
    draft = Image.open(out / "masks/new/n1.png")
    assert draft.mode == "P"
    assert np.asarray(draft)[3].tolist() == [1] * 4 + [0] * 4
    with (out / "suggested.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows][::2] == ["new/n3", "new/n1"]
    assert (rows[0]["picture"], rows[0]["mask"]) == ("pictures/new/n3.bmp", "masks/new/n3.png")
    sheet = Image.open(out / "sheet.png")
    assert sheet.width > sheet.height > 2 * 200  # two rows of two
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 4


def test_the_list_and_the_corrected_masks_make_a_new_split_on_the_same_validation_and_test_images(
    storage, root, config, tmp_path
):
    made = suggest(request(storage, root), QUIET)
    old = open_dataset(config.data, root, tmp_path / "cache")
    before = divide(config.split, config.data, old)
    assert made.settings[-1] == "data.corrected=[suggested/masks]"
    more = with_settings(config, made.settings)
    new = open_dataset(more.data, root, tmp_path / "cache")
    after = divide(more.split, more.data, new)
    ids = new.subsets["train"].ids
    assert [ids[i] for i in after.labelled] == [*(old.subsets["train"].ids[i] for i in before.labelled), *made.ids]
    assert (after.selection, after.reported) == (before.selection, before.reported)
    assert new.subsets["train"].mask(ids.index("new/n1"))[0].tolist() == [1] * 4 + [0] * 4
    dark = next(id for id in made.ids if id.startswith("a"))
    assert new.subsets["train"].mask(ids.index(dark))[:, 0].tolist() == [0] * 4 + [1] * 4  # its own mask, not the draft


def test_masks_that_fit_no_image_and_empty_folders_are_named(root, config, tmp_path):
    (root / "mended/new").mkdir(parents=True)
    (root / "none").mkdir()
    Image.new("L", (8, 8)).save(root / "mended/new/n9.png")
    changed = override(config, {"data": {"corrected": ["mended", "none"]}})
    with pytest.raises(DataError, match=r"without PNG files: none(.|\n)*without an image.*: mended/new/n9.png"):
        open_dataset(changed.data, root, tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"set data\.unlabelled, too"):
        override(config, {"data": {"corrected": ["mended"], "unlabelled": None}})


@pytest.mark.parametrize("by", ["entropy", "random"])
def test_one_model_can_suggest_by_entropy_or_chance(storage, root, by):
    made = suggest(request(storage, root, model="one", by=by, seed=3), QUIET)
    assert len(set(made.ids)) == 3
    assert made.values == (0, 0, 0)  # the model is certain everywhere


def test_what_cannot_be_suggested_is_said_before_anything_is_written(storage, root):
    for changes, said in (
        ({"model": "one"}, "disagreement is that of two models.*--by entropy"),
        ({"count": 12}, "--count is 12, but folder has only 9 unlabelled pictures"),
        ({"count": 0}, "from 1 on, but got 0"),
        ({"seed": -1}, "from 0 on, but got -1"),
        ({"out": root / "new"}, "exists and holds something"),
    ):
        with pytest.raises(ConfigError, match=said):
            suggest(request(storage, root, **changes), QUIET)
    with pytest.raises(MissingStages, match="does not say which pictures elsewhere was trained on"):
        suggest(request(storage, root, model="elsewhere", by="random"), QUIET)
    assert not (root / "suggested").exists()


def test_the_command_prints_the_settings_of_the_next_run(storage, root, tmp_path, capsys):
    words = ["suggest", "--model", "pair", "--count", "3", "--storage", str(storage), "--data", str(root)]
    assert cli.main([*words, "--out", str(root / "round 1"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "3 of 9 unlabelled pictures, by disagreement" in said
    assert "0.600  new/n3" in said
    assert (
        "--set 'split.list=round 1/labelled.txt' --set 'split.labelled=5' --set 'data.corrected=[round 1/masks]'"
        in said
    )
    assert cli.main([*words, "--out", str(tmp_path / "far"), "--device", "cpu", "--by", "random"]) == 0
    assert f"move far to {root} first" in capsys.readouterr().out


def test_pictures_that_the_program_draws_are_written_and_take_no_list(tmp_path, monkeypatch):
    storage, config = tmp_path / "runs", named("shapes")
    runner = Runner(Machine(storage))
    stage = pretrain(runner.bind(config), seed=0)
    with runner.store.write(stage, {"seconds": 1.0}):
        pass
    info = info_of("one", f"{stage.key} model.safetensors", CLASSES, (64, 64))
    model = Trained("one", (Pixelwise(0.0, 1.0),), (info,), ())
    monkeypatch.setattr(suggesting, "find_model", lambda what, where: model)
    made = suggest(Request("one", 2, "random", tmp_path / "out", storage, device="cpu"), QUIET)
    assert (made.settings, made.unlabelled) == ((), 500 - 16)
    images = runner.dataset(config.data).subsets["train"]
    first = np.asarray(Image.open(tmp_path / f"out/pictures/{made.ids[0]}.png"))
    assert (first == images.image(images.ids.index(made.ids[0]))).all()


@pytest.mark.slow
def test_the_earlier_run_is_found_whole_beside_the_one_on_the_longer_list(storage, root, config):
    made = suggest(request(storage, root), QUIET)
    small = {"crop": 16, "dms_alpha": 1.0, "percentiles": [1.0], "pretrain.batch": [3, 0]}
    small |= {"pretrain.epochs": 1, "finetune.epochs": 1}
    config = override(config, small)
    runner = Runner(Machine(storage, root))
    first = METHODS["dmt"](runner.bind(config), 0)
    executed = runner.perform(first.stages())
    assert len(executed) == len(first.stages())
    more = with_settings(config, made.settings)
    second = METHODS["dmt"](Runner(Machine(storage, root)).bind(more), 0)
    # Every stage has learnt from the labelled images, or looks at a model that has.
    assert not set(first.stages()) & set(second.stages())
    assert runner.perform(second.stages()) == second.stages()
    again = Runner(Machine(storage, root))
    assert again.store.missing(METHODS["dmt"](again.bind(config), 0).stages()) == []
    assert again.store.missing(METHODS["dmt"](again.bind(more), 0).stages()) == []
