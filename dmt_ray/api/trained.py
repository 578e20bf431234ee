"""Trained models by name: those of runs, sweeps, ablations and stages, exported folders, and models in MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from shlex import quote

from torch import nn

from dmt_ray import models
from dmt_ray.api.finding import stage_folder
from dmt_ray.api.results import AblationResults, RunResults, SweepResults, open_results
from dmt_ray.config import nearest
from dmt_ray.deploy import folder as model_folder
from dmt_ray.deploy.image_model import ImageModel, default_tiling
from dmt_ray.deploy.model_info import ModelInfo
from dmt_ray.engine.tiles import Tiling
from dmt_ray.errors import ConfigError, MissingStages, ModelError
from dmt_ray.experiments.experiment_file import FOLDERS
from dmt_ray.experiments.trials import best, read_trials
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan
from dmt_ray.plan.files import MODEL, weights_file
from dmt_ray.recipes.networks import NETWORKS
from dmt_ray.report import model_facts
from dmt_ray.store.record import RECORD, Record

IN_MLFLOW = ("models:/", "runs:/")


@dataclass(frozen=True, eq=False)
class Trained:
    """Trained networks and what is needed to use them."""

    name: str  # for people
    networks: tuple[nn.Module, ...]  # one, or A and B; on the CPU
    infos: tuple[ModelInfo, ...]  # of each
    files: tuple[Path, ...]  # of the weights of each

    @property
    def info(self) -> ModelInfo:
        """Classes, working size and the like, which all of the networks have in common."""
        return self.infos[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """What the networks are, for comparison."""
        return tuple(info.key for info in self.infos)

    def best(self) -> "Trained":
        """The network that is best on the validation images alone; of equal ones, or where no score is known, A."""
        scores = [-1.0 if info.score is None else info.score.validation for info in self.infos]
        return self.only(scores.index(max(scores)))

    def only(self, place: int) -> "Trained":
        """One of the networks alone."""
        info = self.infos[place]
        return Trained(info.name, (self.networks[place],), (info,), (self.files[place],))

    def of_side(self, side: str | None) -> "Trained":
        """The network of a side alone; None: the best one.

        Raises:
            ConfigError: If there is no such side.
        """
        sides = [info.side for info in self.infos]
        if side is None:
            return self.best()
        if side not in sides:
            raise ConfigError(f"{self.name} has only model {' and '.join(sides)}, but got --side {side}")
        return self.only(sides.index(side))


def load_model(
    what: str | PathLike[str],
    *,
    storage: str | PathLike[str] = "runs",
    tracking_uri: str | None = None,
    device: str = "auto",
    tile: int | None = None,
    overlap: float = 0.25,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> ImageModel:
    """Load what was trained: pixels in, classes out, with resizing, normalisation and tiles inside.

    ::

        model = dmt_ray.load_model("dmt-shapes")
        classes = model("picture.jpg")  # uint8 [H, W]

    Args:
        what: A run, or a sweep for its best trial, by name, beginning of the name or folder (A and B are averaged where
            there are two); "ABLATION:ROW"; the folder or key of a stage; an exported folder; or a model in MLflow:
            "models:/NAME@ALIAS", "models:/NAME/VERSION" or "runs:/RUN_ID".
        storage: Folder of the results.
        tracking_uri: MLflow; None: as MLFLOW_TRACKING_URI says, else mlflow.db in the storage folder.
        device: "auto", "cpu", "cuda", ...
        tile: Side of a tile in pixels; None: the crops of the training.
        overlap: Smallest overlap of neighbouring tiles, as a fraction of a tile.
        flip: Whether to average over each tile and its mirror image.
        scales: Factors of the sizes at which each tile is seen; their results are averaged.

    Raises:
        UserError: If there is no such model, it cannot be read, or an option is out of range.
    """
    model = find_model(fspath(what), Path(storage), tracking_uri)
    tiling = tiling_of(model, tile, overlap, flip, scales) if model.info.task == "segmentation" else None
    return ImageModel(model.networks, model.info, tiling=tiling, device=device)


def tiling_of(model: Trained, tile: int | None, overlap: float, flip: bool, scales: Sequence[float]) -> Tiling:
    """How pictures are cut for a model.

    Raises:
        ConfigError: If no tile is given, and the model does not know the crops of its training.
    """
    size = default_tiling(model.info).tile if tile is None else (tile, tile)
    return Tiling(size, overlap, flip, tuple(scales))


def find_model(what: str, storage: Path, tracking_uri: str | None = None) -> Trained:
    """The networks that a user names; see `load_model`.

    Args:
        what: Of an ablation's row it is the run in the first column with the first seed.
        storage: Folder of the results.
        tracking_uri: MLflow; None: as MLFLOW_TRACKING_URI says, else mlflow.db in the storage folder.

    Raises:
        MissingStages: If there is none, or its weights are not there.
        ConfigError: If it leaves open which row is meant, or what is named can be no trained model.
        ModelError: If its files cannot be used.
        UserError: If it is not in MLflow.
    """
    if what.startswith(IN_MLFLOW):
        from dmt_ray.tracking.registry import fetch

        return _of_folder(fetch(what, tracking_uri, storage), what)
    if model_folder.is_model_folder(Path(what)):
        return _of_folder(Path(what), what)
    stage = stage_folder(what, storage)
    if stage is not None:
        return _of_stage(stage, what)
    name, _, row = what.partition(":")
    try:
        results = open_results(name, storage)
    except MissingStages:
        if (problem := _no_model(name, storage)) is None:
            raise
        raise ConfigError(f"{problem}; `dmt status --storage {quote(str(storage))}` lists what was trained") from None
    if isinstance(results, SweepResults) and not row:
        sweep = results.file.sweep
        chosen = best(read_trials(results.folder, sweep.name))
        return _of_run(results.run(), {} if chosen is None else sweep.plans(chosen.params))
    if isinstance(results, AblationResults):
        rows = list(dict.fromkeys(results.file.ablation.rows))
        if not row:
            raise ConfigError(f"{results.name} has several rows; name one, as in {name}:{rows[-1]!r}")
        if row not in rows:
            raise ConfigError(f"{results.name} has no row {row!r}; {nearest(row, rows)}")
        run = results.run(row)
        cell = next(cell for cell in results.file.ablation.cells if cell.row == row)
        return _of_run(run, {seed: cell.plan(seed) for seed in results.file.ablation.seeds})
    if row or not isinstance(results, RunResults):
        raise ConfigError(f"NAME:ROW is for ablations, and {results.name} is none; got {what!r}")
    return _of_run(results, {results.run.seed: results.plan})


def _no_model(what: str, storage: Path) -> str | None:
    """What something is that a user takes for a trained model, and what to name instead; None: a name like others."""
    path = Path(what)
    if path.is_file():
        whole = "such as the one that `dmt model export` writes"
        return f"{what} is a file, but a model is a folder, which also says what its classes are, {whole}"
    if any((path / name).is_dir() for name in ("stages", *FOLDERS.values())):
        return f"{what} is a folder of results: pass it as --storage, and name what was trained in it"
    if path.is_dir():
        has = f"neither {model_folder.INFO}, as of an exported model, nor {RECORD}, as of a stage"
        return f"the folder {what} holds no model: it has {has}. Name a model's folder, or a run"
    if what in NETWORKS or models.is_network(what.partition("/")[0]):
        return f"{what!r} is the name of a network, and not of a trained one. Name a run, a sweep or ABLATION:ROW"
    if "/" in what:
        return f"there is no folder {what}. Name the folder of an exported model or of a stage, or a run"
    if what in METHODS:
        train = f"`dmt run --method {what} --storage {quote(str(storage))}` trains by it"
        return f"{what!r} is a method, and no run of it is in {storage}. {train}"
    return None


def _of_folder(folder: Path, what: str) -> Trained:
    network, info = model_folder.read(folder)
    return Trained(what, (network,), (info,), (folder / model_folder.WEIGHTS,))


def _of_stage(folder: Path, what: str) -> Trained:
    names = sorted(path.stem for path in folder.glob("*.json") if path.stem in (MODEL, "A", "B"))
    if not names:
        raise ConfigError(f"{what} is a stage without a model; name one that trains, see `dmt store ls`")
    try:
        record = Record.from_json((folder / RECORD).read_bytes())
    except ValueError as error:
        raise ModelError(f"{folder} cannot be used: {error}") from None
    averaged = [weights_file(name, averaged=True) in record.files for name in names]
    which = list(zip(names, averaged, strict=True))
    infos = [model_facts.of_stage(folder, name, averaged=mean) for name, mean in which]
    files = [folder / weights_file(name, averaged=mean) for name, mean in which]
    return _load(what, infos, files)


def _of_run(run: RunResults, plans: dict[int, Plan]) -> Trained:
    """The models of a run's last rung; `plans`: of all runs with its settings."""
    infos, files = [], []
    for evaluation in run.plan.rungs[-1].values():
        settings = evaluation.config
        folder = run.store.open(evaluation.inputs["model"], files=True)
        facts = {"name": run.name, "method": run.run.method, "recipe": run.config.recipe, "command": run.info.command}
        info = model_facts.of_evaluation(run.store, evaluation, plans.values(), run.info, **facts)
        crop = run.config.finetune.augment.crop
        infos.append(info if info.crop else info.evolve(crop=crop))
        member, averaged = getattr(settings, "member", "") or MODEL, bool(getattr(settings, "averaged", False))
        files.append(folder / weights_file(member, averaged=averaged))
    return _load(run.name, infos, files)


def _load(name: str, infos: Sequence[ModelInfo], files: Sequence[Path]) -> Trained:
    for file in files:
        if not file.is_file():
            raise MissingStages(
                f"{file.parent} holds no {file.name}: it was evicted. Run the same command again to compute it"
            )
    networks = [models.restore(info.model, len(info.classes), file).eval() for info, file in zip(infos, files)]
    return Trained(name, tuple(networks), tuple(infos), tuple(files))
