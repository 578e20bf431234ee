"""All figures of an ablation or a sweep, by name, each drawn only when it is needed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dmt_ray.config import nearest
from dmt_ray.config.derived import LABEL_FRACTION
from dmt_ray.errors import ConfigError, MissingStages, UserError
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Ablation, Member
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.experiments.trials import best
from dmt_ray.plan.measures import MEASURES
from dmt_ray.plan.words import be, counted
from dmt_ray.report import figures as fig
from dmt_ray.report.figures.landscape import GAMMAS
from dmt_ray.report.titles import METRICS, METRICS_OF
from dmt_ray.results import names, tidy
from dmt_ray.results.quality import NATS
from dmt_ray.store import Store

Drawing = tuple[str, Callable[[], Figure]]
"""The name of a figure, and what draws it: it raises a UserError where the records do not allow it."""

CAPTIONS = {  # name of a figure, without the column that it is about -> what it shows
    "forest": "Every row's difference to the reference, paired by seed.",
    "iterations": "Score after each iteration.",
    "gains": "What each iteration adds to the same seed's score before any pseudo label.",
    "compute": "Score of each row against its cost in optimizer steps.",
    "hours": "Score of each row against its cost in device hours.",
    "label-errors": "How many pseudo labels are wrong among the most confident fractions.",
    "teachers": "How many of a teacher's labels are wrong among its most confident ones.",
    "class-errors": "How many pseudo labels are wrong, class by class.",
    "disagreement": "How often student and teacher disagree while the student learns.",
    "coupling": "How far apart two teachers stay while they teach, and how accurate their labels are.",
    "calibration": "How often decisions are right, by how confident the model is of them.",
    "reliability": "How much two teachers agree on the images of each phase.",
    "weights": "Pseudo labels, their weights, and what the student then predicts.",
    "qualitative": "The same images as segmented by several models.",
    "confident": "How many of a model's predictions are wrong among its most confident ones.",
    "fractions": "Score against the number of labelled images.",
    "panel": "The best trial: pseudo labels, their weights, and what the student then predicts.",
    "pairs": "What the better model of a pair gains, against how far the two disagree at first.",
    "curves": "Every trial's validation score after each rung.",
    "landscape": "Validation score over both exponents: every trial, and a surface between those of one rung.",
    "slices": "Validation score against each setting.",
    "parallel": "Every trial: all of its settings and its score.",
    "importances": "How much each setting matters, and with what uncertainty.",
    "setting": "Test score against the searched setting.",
    "best-of-k": "What a search with fewer trials would have found.",
}


OF_SCORES = ("forest", "iterations", "gains", "compute", "hours", "fractions")


def check_metric(frame: pd.DataFrame, metric: str) -> str:
    """The metric; raises a ConfigError if there is no such metric of these data, or it is no fraction."""
    known = [one for one in METRICS_OF[tidy.headline(frame)] if one not in NATS]
    if metric not in known:
        raise ConfigError(f"there is no metric {metric!r} for figures; {nearest(metric, known)}")
    return metric


def caption_of(name: str) -> str:
    """What a figure shows, with the name of the ablation's column if it is about one."""
    kind = next((kind for kind in CAPTIONS if name == kind or name.startswith(f"{kind}-")), "")
    column = name.removeprefix(kind).strip("-")
    caption = CAPTIONS.get(kind, name)
    return f"{column}: {caption}" if column and kind else caption


class AblationFigures:
    """The figures of an ablation. Only cells and seeds that are complete count.

    Args:
        folder: The ablation's folder, as `<storage>/ablations/<name>`.
        predictor: For the figures that need predictions of stored models.
        rows: Rows whose pictures are shown; empty: the reference, and DMT or else the last row that has iterations.
        metric: What scores are shown by, which leaves the figures of scores alone; None: mIoU or accuracy, all figures.

    Raises:
        ConfigError: If the ablation has no such row, or there is no such metric, or it is no fraction.
        StoreError: If the folder holds no ablation.
    """

    def __init__(
        self, folder: Path, predictor: fig.Predictor, rows: Sequence[str] = (), metric: str | None = None
    ) -> None:
        self.file = experiment_file.read(folder)
        self.ablation: Ablation = self.file.ablation
        for row in rows:
            if row not in self.ablation.rows:
                raise ConfigError(f"{folder.name} has no row {row!r}; {nearest(row, self.ablation.rows)}")
        self.store = Store(folder.parents[1])
        self.frame = tidy.of_ablation(folder, self.store)
        self._measure, self._metric = MEASURES[tidy.headline(self.frame)], metric
        if metric is not None:
            self._measure = METRICS[check_metric(self.frame, metric)]
            self.frame = tidy.by_metric(self.frame, metric)
        self._predictor = predictor
        self._rows = list(rows)
        there = self.frame[self.frame["state"] == "there"]
        complete = set(there[["row", "column", "seed"]].itertuples(index=False, name=None))
        self._runs = [one for one in self.ablation.members() if (one.cell.row, one.cell.column, one.seed) in complete]

    def incomplete(self) -> Iterator[str]:
        """One sentence for each row that lacks seeds, with the command that computes them."""
        lacking = self.frame[self.frame["state"] != "there"]
        for row, column, command in self.frame.attrs["about"]["commands"]:
            count = len(lacking[(lacking["row"] == row) & (lacking["column"] == column)])
            if count:
                of = f", {column}" if len(self.ablation.columns) > 1 else ""
                seeds = sum(one.cell.row == row and one.cell.column == column for one in self.ablation.members())
                state = f"{count} of {counted(seeds, 'seed')} {be(count)} incomplete"
                yield f"{row}{of}: {state}; compute them with `{command}`"

    def drawings(self) -> Iterator[Drawing]:
        """All figures; if there are several columns, figures are named after theirs."""
        frame, measure, columns = self.frame, self._measure, self.ablation.columns
        of_metric = "" if self._metric is None else f"-{self._metric}"
        for column in columns:
            for name, draw in self._of_column(column):
                if self._metric is None or name in OF_SCORES:
                    yield f"{name}{of_metric}-{_as_file(column)}" if len(columns) > 1 else f"{name}{of_metric}", draw
        if len(columns) > 1:
            by_column = partial(fig.fraction_scores, frame, self.ablation)
            yield f"fractions{of_metric}", lambda: fig.score_by_fraction(by_column(), measure=measure)

    def _of_column(self, column: str) -> Iterator[Drawing]:
        frame, reference, measure, store = self.frame, self.ablation.reference, self._measure, self.store
        known = self.file.dataset_info.get(column)
        info = DatasetInfo() if known is None else DatasetInfo.from_json(known)
        runs = [one for one in self._runs if one.cell.column == column]
        by_iteration = partial(fig.score_by_iteration, measure=measure)
        by_hours = partial(fig.score_against_compute, unit="hours", measure=measure)
        of = "images" if measure == MEASURES["accuracy"] else "pixels"
        by_confidence = partial(fig.error_of_most_confident, one_teacher=True, of=of)
        # With twice the steps, its line would be twice as long as all others.
        alike = [one for one in runs if one.cell.method != "dst_double"]
        yield "forest", lambda: fig.forest_plot(fig.paired_differences(frame, column), reference, measure=measure)
        yield "iterations", lambda: by_iteration(fig.iteration_scores(frame, column))
        yield "gains", lambda: by_iteration(fig.iteration_scores(frame, column), gain=True)
        yield "compute", lambda: fig.score_against_compute(fig.costs(frame, column), measure=measure)
        yield "hours", lambda: by_hours(fig.costs(frame, column, unit="hours"))
        errors = partial(fig.label_errors, store, runs, info)
        yield "label-errors", lambda: fig.error_of_most_confident(fig.errors_by_share(errors()))
        yield "teachers", lambda: by_confidence(fig.errors_by_share(fig.teacher_errors(store, runs)))
        yield "class-errors", lambda: self._class_errors(errors())
        yield "disagreement", lambda: fig.disagreement_rates(fig.disagreements(store, alike))
        yield "coupling", lambda: fig.coupling_plot(fig.coupling(store, runs))
        yield "calibration", lambda: fig.calibration_plot(fig.calibration(store, runs))
        yield "reliability", lambda: fig.reliability_plot(fig.reliability(store, runs))
        yield "weights", lambda: self._weights(runs, info)
        yield "qualitative", lambda: self._qualitative(runs, info)
        yield "confident", lambda: by_confidence(fig.errors_by_share(self._confident(runs, info)))

    def _shown(self, runs: Sequence[Member]) -> list[Member]:
        """The rows to show images of, each with the first seed that all of them have."""
        iterated = [one.cell.row for one in runs if len(one.plan.rungs) > 1]
        main = "DMT" if "DMT" in iterated else next(reversed(iterated), "")
        rows = self._rows or list(dict.fromkeys([self.ablation.reference, main]))
        seeds = [{one.seed for one in runs if one.cell.row == row} for row in rows]
        common = sorted(set.intersection(*seeds))
        if not common:
            raise MissingStages(f"no seed of {' and '.join(filter(None, rows))} is complete yet")
        return [one for row in rows for one in runs if (one.cell.row, one.seed) == (row, common[0])]

    def _class_errors(self, errors: pd.DataFrame) -> Figure:
        known = set(errors["row"])
        rows = [row for row in self._rows or ("CBST", "DST", "DMT") if row in known]
        return fig.error_by_class(errors, rows or None)

    def _weights(self, runs: Sequence[Member], info: DatasetInfo) -> Figure:
        iterated = [one for one in self._shown(runs) if len(one.plan.rungs) > 1]
        if not iterated:
            raise MissingStages("no row that makes pseudo labels is complete yet")
        examples = fig.stored_examples(self.store, iterated[-1].plan)
        return fig.weight_maps(examples, _palette(info), info.classes, images=2)

    def _qualitative(self, runs: Sequence[Member], info: DatasetInfo) -> Figure:
        examples = {one.cell.row: self._predictor.examples(one.plan.rungs[-1]["A"]) for one in self._shown(runs)}
        return fig.qualitative(examples, _palette(info), info.classes)

    def _confident(self, runs: Sequence[Member], info: DatasetInfo) -> pd.DataFrame:
        rows, predict = {one.cell.row for one in self._shown(runs)}, self._predictor.confident_errors
        shown = [one for one in runs if one.cell.row in rows]
        return pd.concat([predict(one.plan.rungs[-1]["A"], info, row=one.cell.row) for one in shown])


def of_sweep(folder: Path) -> Iterator[Drawing]:
    """The figures of a sweep in its folder, as `<storage>/sweeps/<name>`."""
    swept = fig.read_sweep(folder)
    sweep, trials, measure = swept.sweep, swept.trials, swept.sweep.score_name
    yield "panel", lambda: _best_panel(folder, swept)
    yield from of_trials(sweep, trials)
    if {"disagreement", "gain"} <= set(sweep.extra_metrics):
        store = Store(folder.parents[1])
        yield "pairs", lambda: fig.pairs_plot(fig.disagreement_and_gain(swept, store), measure)
    yield "parallel", lambda: fig.parallel_coordinates(sweep.space, trials, measure)
    if len(sweep.space) > 1:
        yield "importances", lambda: fig.importance_plot(fig.importances(sweep.space, trials))
    else:
        [setting] = sweep.space
        yield "setting", lambda: fig.score_by_setting(fig.setting_scores(swept), setting, measure=measure)
    yield "best-of-k", lambda: _best_of_k(swept)
    if sweep.second == "compute":
        by_compute = partial(fig.score_against_compute, images="selection", measure=measure)
        yield "compute", lambda: by_compute(fig.trial_costs(trials))
    if LABEL_FRACTION in sweep.space:
        yield "fractions", lambda: fig.score_by_fraction(fig.sweep_fraction_scores(swept), measure=measure)


def of_trials(sweep: Sweep, trials: Sequence[Trial]) -> Iterator[Drawing]:
    """The figures that even a running sweep has: every trial's score after each rung, and over what is searched."""
    measure = sweep.score_name
    if not sweep.seed_by_seed:
        yield "curves", lambda: fig.curves(trials, measure)
    if tuple(sweep.space) == GAMMAS:
        yield "landscape", lambda: fig.landscape_of(sweep, trials)
    yield "slices", lambda: fig.slices(sweep.space, trials, measure)


def _best_panel(folder: Path, swept: fig.SweepTrials) -> Figure:
    winner = best(swept.trials)
    if winner is None:
        raise MissingStages("no trial is complete yet")
    info = DatasetInfo.from_json(experiment_file.read(folder).dataset_info)
    plan = next(iter(swept.sweep.plans(winner.params).values()))
    examples = fig.stored_examples(Store(folder.parents[1]), plan)
    return fig.weight_maps(examples, _palette(info), info.classes, images=2)


def _best_of_k(swept: fig.SweepTrials) -> Figure:
    complete = swept.complete
    if not complete:
        raise MissingStages("no trial is complete yet")
    known = all(trial.number in swept.test_scores for trial in complete)
    on_test = [swept.test_mean(trial) for trial in complete] if known else None
    curve = fig.best_of_k([trial.score or 0.0 for trial in complete], on_test)
    return fig.best_of_k_plot(curve, swept.sweep.score_name)


def save_all(
    drawings: Iterable[Drawing], out: Path, ending: str, only: Sequence[str] = ()
) -> Iterator[tuple[Path | None, str]]:
    """Draw and write figures, one by one.

    Args:
        drawings: The figures.
        out: Folder for the files.
        ending: "png", "pdf" or "svg".
        only: Names of some figures, without their column; empty: all.

    Yields:
        The file; or None, and why a figure was left out.

    Raises:
        ConfigError: If there is no figure of a name in `only`.
    """
    for name in only:
        if name not in CAPTIONS:
            raise ConfigError(f"there is no figure {name!r}; {nearest(name, CAPTIONS)}")
    for name, draw in drawings:
        if not only or any(name == kind or name.startswith(f"{kind}-") for kind in only):
            try:
                yield fig.save(draw(), out / f"{name}.{ending}"), ""
            except UserError as error:
                yield None, f"left out: {name}: {error}"


def _palette(info: DatasetInfo) -> NDArray[np.uint8]:
    if info.palette is None:
        raise MissingStages("the records do not contain the colours of the classes")
    return info.palette


def _as_file(column: str) -> str:
    """A column as part of a file's name."""
    return names.file(column)
