"""Every command on every page runs; what trains runs as a dry run, on small data where a page speaks of the reader's.

Those that cannot be run are in `pages.NOT_RUN`. A cluster's address is left out: the plan is the same without it.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from safetensors.torch import save_file

from dmt_ray import models
from dmt_ray.cli import main as cli
from dmt_ray.experiments import experiment_file
from dmt_ray.recipes import named
from dmt_ray.store import Store
from tests.helpers import fake_stages, miniatures
from tests.helpers.fake_stages import ablation_file
from tests.helpers.pages import PAGES, as_dmt, blocks, lines
from tests.helpers.paths import REAL, ROOT

COMMANDS = list(dict.fromkeys(line.words for line in lines() if line.why_not_run is None))
OF_DMT = list(dict.fromkeys(words for words in map(as_dmt, COMMANDS) if words is not None))
OTHERS = [words for words in COMMANDS if as_dmt(words) is None]
TRAINS = ("run", "sweep", "ablate")
SHORTEST = ("pretrain.epochs=1", "finetune.epochs=1", "percentiles=[1.0]", "crop=32")  # of the run that predicts
SHORT = ("--trials", "4", "--gpus", "16")  # of the simulation, which else goes on for minutes

pytestmark = pytest.mark.slow


class Place(NamedTuple):
    """Where commands are run: a folder with results in `runs`, and what stands for the paths on pages."""

    folder: Path
    stands_for: dict[str, str]

    def words(self, words: tuple[str, ...]) -> list[str]:
        """A command with folders that exist here, which trains nothing."""
        given = [self.stands_for.get(word, word) for word in words]
        if "--address" in given:
            at = given.index("--address")
            del given[at : at + 2]
        dry = given[1] in TRAINS and len(given) > 2 and not {"--dry-run", "--help"} & set(given)
        return [*given, *(["--dry-run"] if dry else [])]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Results of a gamma sweep on the built-in data and of the ablation of components on it and on CamVid."""
    folder = tmp_path_factory.mktemp("reader")
    runs, store = folder / "runs", Store(folder / "runs")
    fake_stages.sweep(runs, "gamma_sweep")
    for recipe in ("shapes", "camvid"):
        rows = {**fake_stages.TWO_ROWS, "CBST": fake_stages.Row("cbst")}
        file = replace(ablation_file("components", rows, recipe=recipe), storage=runs)
        experiment_file.write(file.folder, file)
        fake_stages.perform(store, file)
    data = folder / "data"
    data.mkdir()
    for name, make in {"camvid": miniatures.camvid, "voc_animals": miniatures.voc}.items():
        if (REAL / name).is_dir():
            (data / name).symlink_to(REAL / name)
        else:
            make(data / name)
    own, animals = miniatures.own_folder(data / "own"), miniatures.class_folders(data / "animals")
    for page in PAGES:  # recipes that pages tell the reader to write
        for text in blocks(page, "yaml"):
            if name := re.match(r"# (\S+\.yaml)", text):
                (folder / name[1]).write_text(text)
    changes = [word for change in SHORTEST for word in ("--set", change)]
    run = [sys.executable, "-m", "dmt_ray.cli", "run", "--recipe", "shapes", "--method", "dmt", *changes]
    subprocess.run(run, cwd=folder, check=True, capture_output=True)
    photos, masks = folder / "path/to/photos", folder / "path/to/masks"
    for made, image in ((photos, Image.new("RGB", (40, 36), "grey")), (masks, Image.new("L", (40, 36), 1))):
        made.mkdir(parents=True)
        image.save(made / "one.png")
    weights = models.build(named("camvid-full").model.evolve(encoder_weights=None), 11).encoder.state_dict()
    save_file(weights, folder / "resnet50.safetensors")
    return Place(
        folder,
        {
            **dict.fromkeys(("path/to/camvid", "/shared/camvid"), str(data / "camvid")),
            "path/to/the/folder": str(own),
            "path/to/animals": str(animals),
            **dict.fromkeys(("/shared/runs", "/scratch/runs"), "runs"),
            "s3://bucket/prefix": f"file://{folder}/bucket",
            "cuda": "cpu",  # of --device
        },
    )


@pytest.fixture
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The reader's folder as the working one; what commands do to this process is undone."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("DMT_DATA", str(place.folder / "data"))
    before = signal.getsignal(signal.SIGTERM)
    yield place
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("words", OF_DMT, ids=shlex.join)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_command_of_this_project_runs(words, here, monkeypatch, capsys) -> None:
    given = here.words(words)
    monkeypatch.setattr(sys, "argv", given)
    computed = trained(here)
    if {"--help", "--version"} & set(given):
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    else:
        assert cli.main() == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert out
    if "--json" in given:
        json.loads(out)
    assert trained(here) <= computed


def trained(here: Place) -> set[Path]:
    """The stored stages, but those that only score a model."""
    records = (here.folder / "runs/stages").rglob("record.json")
    return {record for record in records if record.parents[1].name != "score"}


@pytest.mark.filterwarnings("ignore")  # of the hub's client
def test_the_python_on_the_page_on_exports_runs(here) -> None:
    assert cli.main(["model", "export", "dmt-shapes", "--out", "shapes-model"]) == 0
    for block in blocks(ROOT / "docs/how-to/export.md", "python"):
        exec(compile(block, "docs/how-to/export.md", "exec"), {})


@pytest.mark.parametrize("words", OTHERS, ids=shlex.join)
def test_another_program_of_a_page_runs(words, place, tmp_path) -> None:
    """`make` on this environment: its targets that run for long are only said, and a sweep is a dry run."""
    if words[0] == "make":
        binaries = f"BIN={Path(sys.executable).parent}"
        dry = [] if set(words) & {"help", "ARGS=--dry-run"} else ["--dry-run"]
        words = (*words, *dry, "READY=", binaries, f"STORAGE={tmp_path / 'runs'}")
    else:
        words = (sys.executable, *words[1:], *SHORT)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
