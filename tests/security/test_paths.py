"""Names from outside that become paths: none leads out of the folder that it belongs to."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dmt_ray.data.check import Problems
from dmt_ray.data.files import IMAGE_ENDINGS, files_in, inside, read_list
from dmt_ray.data.groups import groups_of
from dmt_ray.data.pairing import Pattern, find
from dmt_ray.errors import DataError, ModelError, StoreError
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.run import Run
from dmt_ray.plan.key import key_of
from dmt_ray.recipes import named
from dmt_ray.results import names
from dmt_ray.store.record import Record
from dmt_ray.store.shared import Shared
from dmt_ray.store.stage_dirs import StageDirs
from dmt_ray.tracking.registry import data_folder
from tests.helpers.fake_stages import TWO_ROWS, ablation_file

KEY = "0123456789abcdef0123"
OUT = ("..", ".", "../x", "a/../../x", "/etc/passwd", "//etc/passwd", "a\\..\\..\\x", "a\0b", "../" * 50 + "etc")


@pytest.mark.attack("path escape", "line of a list of images", "refused, with the line and the list")
@pytest.mark.parametrize("line", [*OUT, "../images/a.png", "/etc/a.png ../b.png", "b/../c.jpg"])
def test_a_line_of_a_list_leads_nowhere_else(tmp_path, line):
    (tmp_path / "train.txt").write_text(f"{line}\n", encoding="utf-8")
    problems = Problems()
    assert read_list(tmp_path / "train.txt", tmp_path, problems, {"a"}, 3) == []
    assert "train.txt" in str(problems.error("toy", tmp_path))


@pytest.mark.attack("path escape", "file or folder that a setting of a data set names", "refused, with the setting")
@pytest.mark.parametrize("name", OUT)
def test_a_setting_leads_nowhere_else(tmp_path, name):
    with pytest.raises(DataError, match=r"data\.train_list must name something below"):
        inside(tmp_path, name, "data.train_list")


@pytest.mark.attack("path escape", "folder or pattern of images and masks", "refused, with the setting")
@pytest.mark.parametrize("text", ["..", "../secret", "/etc", "../{id}.png", "/etc/{id}.png", "a/../../{id}_*.png"])
def test_a_pattern_leads_nowhere_else(tmp_path, text):
    with pytest.raises(DataError, match=r"data\.masks must name something below"):
        find(Pattern(text, "data.masks", IMAGE_ENDINGS), tmp_path, Problems())


@pytest.mark.attack("path escape", "table of groups", "refused, with the setting")
def test_a_table_of_groups_leads_nowhere_else(tmp_path):
    with pytest.raises(DataError, match=r"data\.groups must name something below"):
        groups_of("../patients.csv:patient", ["a"], tmp_path, Problems())


@pytest.mark.attack("path escape", "recipe, method and question in the name of an experiment", "stays in its folder")
@pytest.mark.parametrize("name", ["../../evil", "/etc/cron.d/x", "..", "a/../../b"])
def test_an_experiment_stays_in_the_storage_folder(tmp_path, name):
    run = ExperimentFile(Run("dmt", named("shapes").evolve(recipe=name), 0), tmp_path)
    table = replace(ablation_file(name, TWO_ROWS), storage=tmp_path)
    for file in (run, table):
        assert file.folder.resolve().parent in (tmp_path / "runs", tmp_path / "ablations")


@pytest.mark.attack("path escape", "class, row or recipe in the name of a written file", "becomes one harmless name")
@pytest.mark.parametrize(
    "name", [*OUT, "", "...", "x" * 5000, "\u2024\u2024/\uff0fetc", "a\nb", "--help", "~", "$(id)"]
)
def test_a_name_becomes_one_part_of_a_file_name(name):
    safe = names.file(name)
    assert set(safe) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert safe.strip(".")
    assert len(safe) < 200
    assert not safe.startswith("-")


@pytest.mark.attack(
    "names of devices", "class, row or recipe in the name of a written file", "is no name that Windows reserves"
)
@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("CON", "_CON"),
        ("nul", "_nul"),
        ("aux.camvid", "_aux.camvid"),
        ("COM1", "_COM1"),
        (" lpt9 ", "_lpt9"),
        ("ends in a dot.", "ends-in-a-dot."),
        ("ends in dots...", "ends-in-dots..."),
    ],
)
def test_a_name_that_windows_reserves_becomes_another_one(name, safe):
    assert re.fullmatch(rf"{re.escape(safe)}-[0-9a-f]{{6}}", names.file(name))


@pytest.mark.parametrize("name", ["CONV", "console", "com", "COM10", "auxiliary", "a.con", "ends in a blank "])
def test_other_names_stay_as_they_are(name):
    assert names.file(name) == name.strip().replace(" ", "-")


@pytest.mark.attack("path escape", "operation and key of a stage, also those of plug-ins", "refused")
@pytest.mark.parametrize(
    ("operation", "key"),
    [("../x", KEY), ("a/b", KEY), ("", KEY), ("pretrain", "../../x"), ("pretrain", KEY + "\n"), ("Pretrain\0", KEY)],
)
def test_a_stage_stays_in_the_store(tmp_path, operation, key):
    with pytest.raises(StoreError, match="a stage is named by"):
        StageDirs(tmp_path).stage_path(operation, key)


@pytest.mark.attack("path escape", "file that a record names", "the record counts as damaged")
@pytest.mark.parametrize("name", [*OUT, "-rf", "a/b", "a\n"])
def test_a_record_names_no_file_outside_its_folder(name):
    identity = {"operation": "pretrain", "revision": 1, "config": {}, "seed": 0, "inputs": {}}
    values = {"key": key_of(identity), "summary": "", "input_digests": {}, "made": {}, "evicted": []}
    text = json.dumps({**identity, **values, "files": {name: "0" * 32}, "sizes": {name: 1}})
    with pytest.raises(ValueError, match=r"record\.json is damaged"):
        Record.from_json(text.encode())


@pytest.mark.attack("path escape", "object beside the stages of a shared store", "left out")
@pytest.mark.parametrize("place", ["stages/pretrain/abc", "stages/Evil/" + KEY, "stages/pretrain/" + KEY + "0", "a/b"])
def test_a_shared_store_lists_nothing_but_stages(tmp_path, place):
    for folder in (place, f"stages/label/{KEY}"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "record.json").write_text("{}", encoding="utf-8")
    assert Shared(tmp_path.as_uri()).stages() == [("label", KEY)]


@pytest.mark.attack("path escape", "folder that MLflow's file MLmodel names", "refused, with the model's address")
@pytest.mark.parametrize("data", ["../../..", "/etc", '"a\\0b"', "[a]", "{a: b}", "x/../../y"])
def test_a_model_from_mlflow_stays_in_its_folder(tmp_path, data):
    flavour = f"flavors:\n  python_function: {{loader_module: dmt_ray.deploy.served, data: {data}}}\n"
    (tmp_path / "MLmodel").write_text(flavour, encoding="utf-8")
    with pytest.raises(ModelError, match="models:/toy/1 keeps its data outside its own folder"):
        data_folder(tmp_path, "models:/toy/1")


@pytest.mark.attack("names of files", "control characters, line breaks and other codes than UTF-8", "refused by name")
@pytest.mark.parametrize("name", [b"a\x1b[2J.png", b"a\nb.png", b"a\xff.png", b"a\x7f.png", "a\u2028b.png".encode()])
def test_a_file_with_an_unprintable_name_is_refused(tmp_path, name):
    folder = tmp_path / "images"
    folder.mkdir()
    Path(bytes(folder).decode(), name.decode("utf-8", "surrogateescape")).touch()
    for look in (
        lambda problems: files_in(folder, IMAGE_ENDINGS, tmp_path, problems),
        lambda problems: find(Pattern("images", "data.images", IMAGE_ENDINGS), tmp_path, problems),
    ):
        problems = Problems()
        assert not look(problems)
        message = str(problems.error("toy", tmp_path))
        assert "control characters or are not UTF-8" in message
        assert message.encode().isascii() or "\u2028" in message
        assert "\x1b" not in message
