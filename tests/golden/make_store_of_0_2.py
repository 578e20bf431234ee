"""Makes store_of_0_2.tar.xz: a small storage folder of version 0.2 that later versions have to open.

Run once, by the version that it stands for, and never again: what it holds is what users have on their disks.
    python -m tests.golden.make_store_of_0_2 FILE
It holds every operation and every kind of file that a stage has: an ablation of four rows, a sweep of two trials, a run
with an audit and a bundle, the score of a model, and the pictures that all of it was computed on.
"""

import io
import lzma
import platform
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from dmt_ray.cli.main import main as dmt
from dmt_ray.config import Config, override
from dmt_ray.data.sets.shapes import CLASSES, generate
from dmt_ray.execution.journal import locked, note_executed
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep, Uniform
from dmt_ray.plan import in_order
from dmt_ray.recipes import named
from dmt_ray.results.scores import rung_score
from dmt_ray.search.study import Study

COUNTS = {"train": 12, "val": 3, "test": 3}
STORAGE, DATA = Path("/data/runs"), Path("/data/pictures")  # what the records name, of no machine
TRAININGS = ("pretrain", "finetune", "online", "cotrain", "retrain", "oracle")
SETTINGS = {
    "data": {"name": "folder", "classes": list(CLASSES), **{f"{name}_list": f"{name}.txt" for name in COUNTS}},
    "split.labelled": 6,
    "dms_alpha": 0.8,
    "model": {"architecture": "UNet", "encoder": "none", "arguments": {"base": 1}},
    "percentiles": [1.0],
    "finetune.batch": [2, 4],
    "cotrain.batch": [2, 4],
    "retrain.batch": [2, 4],
    "retrain.keep": "val",
    "retrain.score_every": 1,
    "consistency.noise": "input",
    "consistency.stages": 1,
    **{f"{name}.epochs": 1 for name in TRAININGS},
    **{f"{name}.augment.crop": [32, 32] for name in TRAININGS},
}
SEQUENTIAL = {"order": "sequential", "first": "val", "ensemble": True}
ROWS: dict[str, tuple[str, dict[str, object]]] = {
    "DMT": ("dmt", SEQUENTIAL),
    "RML": ("rml", {}),
    "RWMS": ("rwms", {}),
    "Drafts": ("dst", {"external.masks": "drafts", "external.precision": 0.2}),
}
RECIPE = "pictures.yaml"
NOT_PACKED = {("runs", name) for name in ("data", "audits", "weights")}


def pictures(folder: Path) -> None:
    """Small pictures with masks and lists, and drafts of the masks."""
    for place in ("images", "masks", "drafts"):
        (folder / place).mkdir(parents=True)
    for subset in COUNTS:
        images, masks, ids = generate(subset, size=32, counts=COUNTS)
        for image, mask, name in zip(images, masks, ids, strict=True):
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
            if subset == "train":
                Image.fromarray(np.roll(mask, 1, axis=1)).save(folder / "drafts" / f"{name}.png")
        (folder / f"{subset}.txt").write_text("\n".join(ids) + "\n")
    recipe = {"recipe": "shapes"} | {name: value for name, value in SETTINGS.items() if "." not in name}
    for dotted, value in SETTINGS.items():
        if "." in dotted:
            recipe[dotted] = value
    (folder / RECIPE).write_text(yaml.safe_dump(recipe, sort_keys=False))


def settings(changes: dict[str, object], drafts: Path) -> Config:
    """The settings of a row."""
    changes = {name: str(drafts) if name == "external.masks" else value for name, value in changes.items()}
    return override(override(named("shapes"), SETTINGS).evolve(recipe="pictures"), changes)


def make(folder: Path) -> None:
    """Fill a folder with runs/ and pictures/."""
    storage, data = folder / "runs", folder / "pictures"
    pictures(data)
    runner = Runner(Machine(storage, data, device="cpu"))

    def bound(changes: dict[str, object]) -> Config:
        config = runner.bind(settings(changes, data / "drafts"))
        masks = {"external.masks": str(DATA / "drafts")} if config.external.masks else {}
        return override(config, masks) if masks else config

    # The keys are those of any folder of masks; what is computed has to find them.
    cells = tuple(Cell(row, "pictures", method, bound(changes), "pictures") for row, (method, changes) in ROWS.items())
    for method, changes in ROWS.values():
        config = runner.bind(settings(changes, data / "drafts"))
        runner.perform(Cell("", "", method, config, "pictures").plan(0).targets())
    ablation = Ablation("components", "Does the store of 0.2 open?", "pictures", cells, (0,), "DMT")
    info = DatasetInfo.of(
        runner.dataset(cells[0].config.data), cells[0].config, (0,), "dmt ablate components"
    ).to_json()
    _write(storage, ExperimentFile(ablation, STORAGE, DATA, "pictures", (), 0, {"pictures": info}, info["command"]))
    sweep(runner, storage, bound({}), info)
    run = Run("cbst", bound({}), 0)
    runner.perform(run.plan().targets())
    _write(storage, ExperimentFile(run, STORAGE, DATA, "pictures", dataset_info=info, command="dmt run --method cbst"))
    common = ["--storage", str(storage), "--data", str(data)]
    _dmt("evaluate", "components:DMT", "--recipe", str(data / RECIPE), "--device", "cpu", *common)
    _dmt("audit", run.name, "--hours", "1", *common)
    _dmt("bundle", run.name, "--out", str(folder / "bundle.tar.xz"), *common)
    store = runner.store
    kept = [stage for stage in in_order(run.plan().targets())]  # whose weights and labels stay
    wide = [
        stage for cell in cells for stage in cell.plan(0).stages() if stage.operation.name in ("cotrain", "compose")
    ]
    store.gc(0, keep=[*kept, *wide])
    store.verify()


def sweep(runner: Runner, storage: Path, config: Config, info: dict[str, object]) -> None:
    """Two trials, by hand as a worker does them."""
    space = {"weight.gamma1": Uniform(0, 8), "weight.gamma2": Uniform(0, 8)}
    made = Sweep("gamma_sweep", "Which exponents?", config, "dmt", space, (0,), grid=2)
    folder = storage / "sweeps" / made.name
    with locked(folder):
        study = Study(folder, made, 2)
        while taken := study.take(token := f"trial {study.remaining}"):
            number, params = taken
            for rung, models in enumerate(made.plans(params)[0].rungs):
                note_executed(folder, number, [stage.key for stage in runner.perform(models.values())])
                study.report(token, rung, rung_score(runner.store, models))
            study.finish(token)
    experiment_file.write(folder, ExperimentFile(made, STORAGE, DATA, "pictures", (), 2, info, "dmt sweep gamma_sweep"))


def _write(storage: Path, file: ExperimentFile) -> None:
    experiment_file.write(storage / file.folder.relative_to(STORAGE), file)


def _dmt(*words: str) -> None:
    assert dmt(words) == 0, words


def pack(folder: Path) -> bytes:
    """A tar archive without times, owners, locks, decoded images and what was computed for the audit."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and path.name != "lock" and not NOT_PACKED & {inside.parts[:2]}:
                entry = tarfile.TarInfo(str(inside))
                entry.size = path.stat().st_size
                archive.addfile(entry, io.BytesIO(path.read_bytes()))
    return lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    platform.node = lambda: "golden"
    with tempfile.TemporaryDirectory() as place:
        make(Path(place))
        content = pack(Path(place))
    Path(sys.argv[1]).write_bytes(content)
    print(f"{len(content):,} bytes")
