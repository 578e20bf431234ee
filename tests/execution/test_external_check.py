"""Masks from elsewhere, from the first check to a model that has learnt from them."""

import json
import logging
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from dmt_ray.config import override
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.execution.runner import Runner
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.methods import METHODS
from dmt_ray.plan.files import CONFIDENCE, LABELS
from dmt_ray.report.figures.pseudo_labels import ALL, label_errors


@pytest.fixture
def drafts(tmp_path, pictures):
    """The true masks of all train images but the last, with class 5 for class 4."""
    folder = tmp_path / "drafts"
    folder.mkdir()
    for id in (pictures / "train.txt").read_text().split()[:-1]:
        mask = np.array(Image.open(pictures / "masks" / f"{id}.png"))
        mask[mask == 4] = 5
        Image.fromarray(mask).save(folder / f"{id}.png")
    return folder


def test_the_masks_are_identified_and_what_they_lack_is_a_warning(machine, tiny, drafts, caplog):
    config = override(tiny, {"external.masks": str(drafts), "external.precision": 0.99})
    with caplog.at_level(logging.WARNING):
        bound = Runner(machine).bind(config)
    assert len(bound.external.fingerprint) == 20
    assert "star (on no labelled image), cross (0." in caplog.text
    assert Runner(machine).bind(config).external == bound.external  # from remembered digests
    elsewhere = shutil.copytree(drafts, drafts.with_name("copied"))
    moved = Runner(machine).bind(override(config, {"external.masks": str(elsewhere)}))
    assert METHODS["dst"](moved, 0).stages() == METHODS["dst"](bound, 0).stages()


def test_what_cannot_teach_is_an_error_before_any_work(machine, tiny, drafts, tmp_path, pictures):
    (tmp_path / "none").mkdir()
    for changes, kind, said in (
        ({"external.confidence": str(drafts)}, ConfigError, "external.masks is null"),
        ({"external.masks": str(tmp_path / "none")}, DataError, "has the id of a train image"),
        ({"external.masks": str(tmp_path / "nowhere")}, DataError, "there is no folder"),
    ):
        with pytest.raises(kind, match=said):
            Runner(machine).bind(override(tiny, changes))
    for path in drafts.iterdir():
        Image.fromarray(np.roll(np.array(Image.open(path)), 1, axis=1) + 1).save(path)
    with pytest.raises(DataError, match=r"holds 6; expected class numbers 0\.\.5"):
        Runner(machine).bind(override(tiny, {"external.masks": str(drafts)}))


def test_a_model_learns_from_them_and_then_from_itself(machine, tiny, drafts):
    runner = Runner(machine)
    short = {"pretrain.epochs": 1, "finetune.epochs": 1, "external.masks": str(drafts), "external.precision": 0.2}
    plan = METHODS["dst"](runner.bind(override(tiny, short)), 0)
    executed = [stage.operation.name for stage in runner.perform(plan.stages())]
    assert executed.count("adopt") == 1
    assert executed.count("label") == 1
    assert runner.store.missing(plan.stages()) == []
    # Figures of pseudo labels show them as the first ones, by the share that was kept.
    member = SimpleNamespace(cell=SimpleNamespace(row="DST"), seed=0, plan=plan)
    errors = label_errors(runner.store, [member], DatasetInfo(runner.dataset(tiny.data).classes))
    of_all = errors[errors["class"] == ALL].sort_values("iteration")
    assert of_all["iteration"].tolist() == [1, 2]
    assert of_all["share"].tolist() == [pytest.approx(of_all["kept"].iloc[0]), 1.0]
    assert 0 < of_all["error"].iloc[0] < 0.3  # where class 5 stands for class 4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dst", "dmt"])
def test_two_workers_on_ray_adopt_and_learn_what_one_does(method, tmp_path, pictures, tiny, drafts):
    """By `dmt run`: one worker in its own process, two in one Ray Train run; the files are the same to the last bit."""
    changes = {"pretrain.epochs": 1, "finetune.epochs": 1, "pretrain.precision": "float64"}
    changes |= {"finetune.precision": "float64", "external.masks": str(drafts), "external.precision": 0.2}
    recipe = tmp_path / "own.yaml"
    recipe.write_text(yaml.safe_dump(override(tiny, changes).model_dump(mode="json")), encoding="utf-8")
    labels = []
    for workers in ("1", "2"):
        given = ["--recipe", str(recipe), "--data", str(pictures), "--method", method, "--workers", workers]
        storage = tmp_path / f"of {workers}"
        words = [sys.executable, "-m", "dmt_ray.cli", "run", *given, "--storage", str(storage)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        adopted = list((storage / "stages/adopt").iterdir())
        assert len(adopted) == 1
        files = {
            f"{stage.name}/{file}": (stage / file).read_bytes() for stage in adopted for file in (LABELS, CONFIDENCE)
        }
        labels.append(files | {"scores": [json.loads(path.read_text()) for path in scores_in(storage)]})
    assert labels[0].keys() == labels[1].keys()
    assert {name for name in labels[0] if labels[0][name] != labels[1][name]} <= {"scores"}
    for one, two in zip(labels[0]["scores"], labels[1]["scores"], strict=True):
        assert two["reported"]["miou"] == pytest.approx(one["reported"]["miou"], abs=0.02)


def scores_in(storage):
    return sorted((storage / "stages/evaluate").glob("*/metrics.json"))
