"""Results of runs, sweeps and ablations: scores as tables, figures, trained networks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dmt_ray.config import Config, SelectionRule, Side, nearest
from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.locate import all_folders, locate
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.trials import best, read_trials
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import MODEL
from dmt_ray.plan.words import be, counted, numbered
from dmt_ray.results import tidy
from dmt_ray.results.quality import means_over, quality
from dmt_ray.results.scores import Which, metrics, score
from dmt_ray.results.scores import scores as scores_of
from dmt_ray.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

IMAGES = {"selection": "validation", "reported": "test"}  # as records call them -> as the columns of `scores` do
Drawing = tuple[str, Callable[[], "Figure"]]


class Results(ABC):
    """The stored results of a run, a sweep or an ablation."""

    name: str
    store: Store

    @abstractmethod
    def scores(self) -> pd.DataFrame:
        """Scores as fractions, one row per model; NaN where something is not computed yet."""

    @abstractmethod
    def _drawings(self) -> Iterable[Drawing]:
        """All figures, by name."""

    def figures(self) -> list[str]:
        """The names of all figures; `figure()` draws the first."""
        return [name for name, _ in self._drawings()]

    def figure(self, name: str | None = None) -> "Figure":
        """Draw a figure, by name.

        Raises:
            ConfigError: If there is no such figure.
            MissingStages: If the records do not allow it.
        """
        drawings = dict(self._drawings())
        chosen = next(iter(drawings)) if name is None else name
        if chosen not in drawings:
            raise ConfigError(f"{self.name} has no figure {name!r}; {nearest(chosen, drawings)}")
        return drawings[chosen]()

    def __repr__(self) -> str:
        return f"{self._headline()}\n{self.scores().to_string(index=False, float_format='{:.4f}'.format)}"

    def _repr_html_(self) -> str:
        return f"<p>{self._headline()}</p>{self.scores().to_html(index=False, float_format='{:.4f}'.format)}"

    @abstractmethod
    def _headline(self) -> str:
        """Name and state, in one line."""


# ---- a run -----------------------------------------------------------------------------------------------------


class RunResults(Results):
    """One method on its settings with one seed.

    Args:
        run: What it is.
        store: Where its stages are.
        info: Names and colours of the classes.
        executed: The stages that were computed for it just now.

    Attributes:
        name: Method, recipe, seed, and a digest that identifies the run.
        plan: The plan of the run.
    """

    def __init__(self, run: Run, store: Store, info: DatasetInfo, executed: Sequence[Stage] = ()) -> None:
        self.run, self.store, self.info, self.executed = run, store, info, tuple(executed)
        self.name = run.name

    @property
    def config(self) -> Config:
        """The settings, bound to their data."""
        return self.run.config

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs."""
        return self.info.classes

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.run.plan()

    def missing(self) -> list[Stage]:
        """The stages still to compute, inputs first."""
        return self.store.missing(self.plan.targets())

    def scores(self) -> pd.DataFrame:
        """The scores of every model at every rung.

        Returns:
            A row a model with the columns rung, model ("A", "B", or "ensemble" of both), and validation_<metric> and
            test_<metric> for every metric of `results.scores.scores` and `results.quality.quality`, such as test_miou.
        """
        lines = []
        last = len(self.plan.rungs) - 1
        for rung, models in enumerate(self.plan.rungs):
            together = {"ensemble": self.plan.ensemble} if self.plan.ensemble is not None and rung == last else {}
            for side, evaluation in {**models, **together}.items():
                line: dict[str, int | str | float] = {"rung": rung, "model": side}
                for images, values in (metrics(self.store, evaluation) if self.store.has(evaluation) else {}).items():
                    found = scores_of(values) | quality(values, means_over(evaluation, self.info.classes))
                    line |= {f"{IMAGES[images]}_{metric}": value for metric, value in found.items()}
                lines.append(line)
        return pd.DataFrame(lines)

    def model(self, side: Side | None = None, *, rung: int | None = None, rule: SelectionRule = "last") -> "nn.Module":
        """Load a trained network, in eval mode, on the CPU.

        It takes float32 ``[N, C, H, W]`` and returns logits ``[N, K, H, W]``, or ``[N, K, 1, 1]`` in classification.
        Images in ``[0, 1]`` are normalised first, by the mean and std of ``config.data.normalisation``. Where a moving
        average of the weights was scored, these are its weights.

        Args:
            side: "A" or "B"; None: A under the rule "last", else whichever the rule picks.
            rung: After how many iterations; None: after the last one, or whichever the rule picks.
            rule: Which of the models that `side` and `rung` leave is taken. last: that of the last rung; val: the best
                on the validation images; paper: the best on the test images, which is biased upwards by selection.

        Raises:
            ConfigError: If the plan has no such rung or side.
            MissingStages: If it is not computed yet, or its weights were evicted to free space.
        """
        from dmt_ray import models

        evaluation = self._chosen(side, rung, rule)
        folder = self.store.open(evaluation.inputs["model"], files=True)
        member, averaged = getattr(evaluation.config, "member", ""), getattr(evaluation.config, "averaged", False)
        network, _ = models.load(folder, member or MODEL, averaged=averaged)
        return network.eval()

    def _chosen(self, side: Side | None, rung: int | None, rule: SelectionRule) -> Stage:
        rungs = self.plan.rungs
        if rung is not None and not 0 <= rung < len(rungs):
            raise ConfigError(f"{self.name} has the rungs 0 to {len(rungs) - 1}, but got {rung}")
        if rule == "last":
            rung, side = len(rungs) - 1 if rung is None else rung, side or "A"
        found = {
            (number, name): evaluation
            for number, models in enumerate(rungs)
            for name, evaluation in models.items()
            if rung in (None, number) and side in (None, name)
        }
        if not found:
            raise ConfigError(f"{self.name} trains only {' and '.join(rungs[-1])}, but got the side {side!r}")
        if rule == "last":
            return next(iter(found.values()))
        if rule not in ("val", "paper"):
            raise ConfigError(f"a selection rule is 'last', 'val' or 'paper', but got {rule!r}")
        which: Which = "selection" if rule == "val" else "reported"
        return max(found.values(), key=lambda evaluation: score(self.store, evaluation, which))

    def _drawings(self) -> Iterable[Drawing]:
        yield "curves", self._curves
        yield "weights", self._weights

    def _curves(self) -> "Figure":
        from dmt_ray.report.figures.curves import training_curves
        from dmt_ray.results.curves import histories

        tables = histories(self.store, {self.run.seed: self.plan})
        if not tables:
            raise MissingStages(f"{self.name} has no complete training yet")
        return training_curves(tables)

    def _weights(self) -> "Figure":
        from dmt_ray.report.figures.maps import stored_examples, weight_maps

        if self.info.palette is None:
            raise MissingStages(f"the records of {self.name} do not contain the colours of the classes")
        return weight_maps(stored_examples(self.store, self.plan), self.info.palette, self.info.classes)

    def _headline(self) -> str:
        stages, missing = len(self.plan.stages()), len(self.missing())
        lacking = f"{missing:,} of {counted(stages, 'stage')} {be(missing)} missing"
        return f"{self.name}: {lacking if missing else 'complete'}"


# ---- sweeps and ablations --------------------------------------------------------------------------------------


class _Recorded(Results):
    """A sweep or an ablation in its folder."""

    _keys: Sequence[str]  # columns that tell its runs apart

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, experiment_file.read(folder)
        self.store, self.name = Store(folder.parents[1]), self.file.experiment.name

    def tidy(self) -> pd.DataFrame:
        """Everything in the records, one number per row (`dmt_ray.results.tidy`)."""
        return tidy.of_folder(self.folder, self.store)

    def scores(self, rule: SelectionRule = "last") -> pd.DataFrame:
        """The scores of every run, one row per run, as fractions.

        Args:
            rule: Which model of a run counts. last: the mean over those of the last rung; val: the best on the
                validation images; paper: the best on the test images, which is biased upwards by selection.

        Returns:
            What tells the runs apart, their state ("there", "missing", "failed", of a trial also "pruned"), the rung
            and the model, and validation_<metric> and test_<metric>, such as test_miou.
        """
        frame = self.tidy()
        keys = list(self._keys)
        runs = frame[[*keys, *(name for name in self._more(frame) if name not in keys), "state"]].drop_duplicates(keys)
        lines = frame[(frame["rule"] == rule) & frame["value"].notna() & ~frame["metric"].str.contains("/")]
        lines = lines[lines["images"].isin(list(IMAGES))]
        titles = lines["images"].map(IMAGES) + "_" + lines["metric"]
        values = lines.assign(title=titles).pivot_table(index=keys, columns="title", values="value", sort=False)
        chosen = lines[[*keys, "rung", "model"]].drop_duplicates(keys)
        return runs.merge(chosen, how="left", on=keys).merge(values.reset_index(), how="left", on=keys)

    def _more(self, frame: pd.DataFrame) -> list[str]:
        """Columns that describe a run."""
        return ["method"]

    def _headline(self) -> str:
        return self.name

    def _of(self, method: str, config: Config, seed: int | None, info: DatasetInfo) -> RunResults:
        experiment = self.file.experiment
        assert not isinstance(experiment, Run)
        seeds = experiment.seeds
        seed = seeds[0] if seed is None else seed
        if seed not in seeds:
            raise ConfigError(f"{self.name} has the {numbered(seeds, 'seed')}, but got {seed}")
        return RunResults(Run(method, config, seed), self.store, info)


class AblationResults(_Recorded):
    """A table: rows, columns and seeds."""

    _keys = ("row", "column", "seed")

    def run(self, row: str, column: str | None = None, *, seed: int | None = None) -> RunResults:
        """One of its runs; by default in the first column, with the first seed.

        Raises:
            ConfigError: If there is no such row, column or seed.
        """
        ablation = self.file.ablation
        column = ablation.columns[0] if column is None else column
        for title, name, known in (("row", row, ablation.rows), ("column", column, ablation.columns)):
            if name not in known:
                raise ConfigError(f"{self.name} has no {title} {name!r}; {nearest(name, known)}")
        cell = next(cell for cell in ablation.cells if (cell.row, cell.column) == (row, column))
        known_info = self.file.dataset_info_of(cell)
        info = DatasetInfo() if known_info is None else DatasetInfo.from_json(known_info)
        return self._of(cell.method, cell.config, seed, info)

    def _drawings(self) -> Iterable[Drawing]:
        from dmt_ray.report.figures.drawing import AblationFigures
        from dmt_ray.report.figures.predictions import Predictor

        predictor = Predictor(self.folder.parents[1], self.file.data, "auto", computes=False)
        return AblationFigures(self.folder, predictor).drawings()


class SweepResults(_Recorded):
    """A search: trials and seeds."""

    _keys = ("trial", "seed")

    def _more(self, frame: pd.DataFrame) -> list[str]:
        """Adds the trial's settings, and the score that the search maximised."""
        return ["method", *(name for name in map(str, frame.columns) if name.startswith("param/")), "score"]

    def run(self, trial: int | None = None, *, seed: int | None = None) -> RunResults:
        """A trial as a run; by default the best one, with the first seed.

        Raises:
            ConfigError: If there is no such trial or seed.
            MissingStages: If no trial is complete yet.
        """
        sweep = self.file.sweep
        trials = {one.number: one for one in read_trials(self.folder, sweep.name)}
        chosen = best(list(trials.values())) if trial is None else trials.get(trial)
        if chosen is None and trial is None:
            raise MissingStages(f"no trial of {self.name} is complete yet")
        if chosen is None:
            raise ConfigError(f"{self.name} has {counted(len(trials), 'trial')}, numbered from 0, but got {trial}")
        method, config = sweep.method_of(chosen.params), sweep.config_of(chosen.params)
        return self._of(method, config, seed, DatasetInfo.from_json(self.file.dataset_info))

    def _drawings(self) -> Iterable[Drawing]:
        from dmt_ray.report.figures.drawing import of_sweep

        return of_sweep(self.folder)


# ---- what a storage folder holds -------------------------------------------------------------------------------


def open_results(name: str, storage: str | Path = "runs") -> RunResults | SweepResults | AblationResults:
    """The results of a run, a sweep or an ablation.

    Args:
        name: Its full name, or the beginning of it, such as "components" or "dmt-shapes"; then the one of these that
            was begun, or gone on with, last.
        storage: Folder of the results.

    Raises:
        MissingStages: If there is none, with the nearest name.
    """
    folder = locate(Path(storage), name, kinds=("sweep", "ablation", "run"))
    file = experiment_file.read(folder)
    if file.kind == "run":
        return RunResults(file.run, Store(folder.parents[1]), DatasetInfo.from_json(file.dataset_info))
    return SweepResults(folder) if file.kind == "sweep" else AblationResults(folder)


def list_results(storage: str | Path = "runs") -> pd.DataFrame:
    """List the runs, sweeps and ablations in a storage folder: columns kind and name."""
    folders = all_folders(Path(storage), ("sweep", "ablation", "run"))
    return pd.DataFrame([(experiment_file.kind_of(one), one.name) for one in folders], columns=["kind", "name"])
